"""Draws the pictures of README: reports of the demo's customers, always of the same week.

`make pictures` runs it. The same code gives the same bytes, on any day until the week is older than two years.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

from callmart.access import logins
from callmart.base.progress import quietly
from callmart.base.settings import PROJECT, Settings
from callmart.cli import demo
from callmart.database import embedded_server, server
from callmart.database.lock import exclusive
from callmart.declarations import exposures
from callmart.operations import stages
from callmart.reports import drawing, paper, reading, weeks

FOLDER = PROJECT / "docs" / "pictures"
WEEK = weeks.parse("2026-W47")
# Each report and whose it is: none shows agents by their keys, which are others in each home.
PICTURES = {"accessibility": 1044, "traffic": 1045, "handling": 1044}
SHARPNESS = 84  # pixels per inch: what is needed to read them, in small files


def main() -> None:
    with TemporaryDirectory() as folder:
        settings = Settings(home=Path(folder), dsn=None, folders=[])
        try:
            with server.connect(settings) as connection, exclusive(connection):
                demo.play(connection, settings, stages.Ran(), quietly, WEEK)
                customers = {name: reading.customer(connection, number) for name, number in PICTURES.items()}
                connection.commit()
                declared = drawing.Declared.of(settings)
                with logins.connect(settings, "publisher") as publisher:
                    for name, customer in customers.items():
                        page = drawing.draw(publisher, declared, exposures.named(name), customer, WEEK, "en")
                        (FOLDER / f"{name}.png").write_bytes(paper.as_png(page, SHARPNESS))
        finally:
            embedded_server.stop(settings.home)


if __name__ == "__main__":
    main()
