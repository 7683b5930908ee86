"""What customers cost that nothing happens to: commands with many customers, compared with few, in one run.

`python bench/customers.py [CUSTOMERS] [ONE_IN]`, beside 200. One in ten, or in so many, has a login of its own, one in
two a detailed contract; all are on the emulated Tableau. Each command is a process of its own, start included. A night
is the first run of a day: it looks on Tableau at those whose turn it is, which later runs of the day don't.
"""

import os
import sys
import tempfile
from pathlib import Path

import yaml
from rich.console import Console

from callmart.base.settings import Settings
from callmart.database import embedded_server, server
from callmart.publish import emulator
from simulated import command

MANY, FEW = 5000, 200
WITH_LOGIN = 10  # one in so many, unless the command says otherwise
# Seconds, for 5,000 customers.
GOALS = {
    "registry apply, the first time": 180,
    "registry apply without a change": 5,
    "access diff": 10,
    "status": 2,
    "the first night": None,
    "a night of nothing": 10,
    "a later run of nothing": None,
}


def main() -> None:
    """Print seconds, and their ratio to few customers."""
    out = Console(highlight=False, soft_wrap=True)
    many = int(sys.argv[1]) if len(sys.argv) > 1 else MANY
    one_in = int(sys.argv[2]) if len(sys.argv) > 2 else WITH_LOGIN
    few, more = _measure(FEW, one_in), _measure(many, one_in)
    for name, goal in GOALS.items():
        out.print(
            f"{name}: {few[name]:.1f} s with {FEW} customers, {more[name]:.1f} s with {many:,}, ratio "
            f"{more[name] / few[name]:.1f}; {f'goal for {MANY:,}: {goal} s' if goal else 'no goal'} "
            f"(load {os.getloadavg()[0]:.1f})"
        )


def _measure(customers: int, one_in: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="callmart-bench-") as folder:
        settings = Settings(home=Path(folder) / "home", dsn=None, folders=[])
        registry = Path(folder) / "registry.yml"
        wanted = [_customer(1 + each, one_in) for each in range(customers)]
        registry.write_text(yaml.safe_dump({"customers": wanted}))
        try:
            seconds = {
                "registry apply, the first time": command(settings, "registry", "apply", registry).seconds
            }
            command(settings, "access", "diff")  # lets dbt read the project
            seconds |= {
                "registry apply without a change": command(settings, "registry", "apply", registry).seconds,
                "access diff": command(settings, "access", "diff").seconds,
                "status": command(settings, "status").seconds,
                "the first night": command(settings, "run").seconds,
            }
            command(settings, "run")  # finds what the first one has published
            _pass_a_day(settings)
            return seconds | {
                "a night of nothing": command(settings, "run").seconds,
                "a later run of nothing": command(settings, "run").seconds,
            }
        finally:
            emulator.stop(settings.home)
            embedded_server.stop(settings.home)


def _pass_a_day(settings: Settings) -> None:
    """Let the books say that what was done today was done yesterday, when everybody was looked at."""
    with server.connect(settings) as connection:
        connection.execute("update ops.publication set looked_on = current_date - 1")


def _customer(number: int, one_in: int) -> dict[str, object]:
    return {
        "id": number,
        "name": f"bench {number}",
        "sql_login": number % one_in == 0,
        "contracts": [{"option": "detailed" if number % 2 else "standard", "from": "2025-01-01"}],
        "queues": [{"name": "sales"}, {"name": "help"}],
        "recipients": [{"email": f"chef@{number}.example", "reports": []}],
    }


if __name__ == "__main__":
    main()
