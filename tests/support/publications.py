"""Publications as tests want them."""

from dataclasses import replace
from datetime import UTC, datetime

from callmart.declarations import exposures
from callmart.publish.desired import DataSource, Mail, Publication, Workbook
from callmart.tableau_files import tds
from tableau_files import marts

MONDAY = Mail(
    "Drukte",
    "chef@example.org",
    "Uw weekrapport Drukte & meer",
    "Bijgaand: <het rapport>.",
    "Monday",
    "07:00:00",
    hour=datetime(2100, 1, 4, 6, tzinfo=UTC),
    state="to come",
)


def report(name: str, on: DataSource, customer: str = "Voorbeeld") -> Workbook:
    return Workbook(exposures.reports()[name], customer, on.source, f"hash-of-{name}")


def with_members(publication: Publication, *names: str) -> Publication:
    return replace(publication, members=names)


def live(password: str) -> DataSource:
    login = tds.Live("db.example.nl", "5432", "callmart", "callmart_customer_7", "verify-full")
    return DataSource(tds.source("queue", marts(), "nl"), login, f"hash-of-{password}", password=password)
