"""Example data: the demo and the simulator."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from callmart.base.counting import several
from callmart.base.settings import settings
from callmart.cli.looking import print_status
from callmart.cli.terminal import out, plain, progress

app = typer.Typer()


@app.command()
def demo() -> None:
    """Run the whole chain on example data, from an empty home to five customers on Tableau."""
    from callmart.cli import demo as example

    with progress() as step:
        customers = example.demo(settings(), step)
    print_status(customers)
    for line in example.what_next(settings()):
        out.print(plain(line))


@app.command("simulate")
def simulate_(
    folder: Annotated[Path, typer.Argument(help="Where registry.yml, events/ and truth/ go.")],
    customers: Annotated[int, typer.Option(min=1, help="How many; options and platforms take turns.")] = 3,
    days: Annotated[int, typer.Option(min=1, help="How many; the last is yesterday.")] = 7,
    contacts: Annotated[int, typer.Option(min=1, help="Contacts per customer and day.")] = 1000,
    seed: Annotated[int, typer.Option(help="The same seed gives the same files.")] = 1,
    dirt: Annotated[bool, typer.Option("--dirt", help="Also late, repeated and broken rows.")] = False,
) -> None:
    """Simulate contact centres. Writes the events to land, and the figures that the marts must show."""
    from callmart.simulator import files

    yesterday = datetime.now(settings().zone).date() - timedelta(days=1)
    played = [yesterday - timedelta(days=back) for back in reversed(range(days))]
    events = files.write(folder, customers, played, contacts_per_day=contacts, seed=seed, dirt=dirt)
    out.print(f"{several(events, 'event')} of {several(customers, 'customer')} in {plain(folder)}")
