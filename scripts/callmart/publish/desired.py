"""What a customer is to have on Tableau."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from callmart.declarations.exposures import Report
from callmart.tableau_files import workbook
from callmart.tableau_files.fields import Source
from callmart.tableau_files.tds import Live


@dataclass(frozen=True)
class DataSource:
    """A data source around an extract, or live with the customer's own login; the same content has the same hash.

    `restore` writes an extract again that is not on disk any more.
    """

    source: Source
    held: Path | Live
    content_hash: str
    rows: int | None = None  # nobody counts what is live
    password: str | None = field(default=None, repr=False)  # of the login that is embedded, where it is live
    restore: Callable[[], None] = field(default=lambda: None, repr=False, compare=False)

    @property
    def name(self) -> str:
        """What it is called on Tableau."""
        return self.source.title


@dataclass(frozen=True)
class Workbook:
    """A report on the customer's data source of its group."""

    report: Report
    customer: str
    source: Source
    content_hash: str  # of all but the place of the data source

    @property
    def name(self) -> str:
        """What it is called on Tableau."""
        return str(getattr(self.report.title, self.source.locale))

    def build(self, published: workbook.PublishedSource) -> bytes:
        """The .twb on the data source where it was published."""
        return workbook.build(self.report, self.customer, self.source, published)


@dataclass(frozen=True)
class Mail:
    """A report that a member gets every week, by the clock of Tableau: on a day such as Monday, at 07:00:00."""

    workbook: str
    member: str
    subject: str
    message: str
    day: str
    time: str


@dataclass(frozen=True)
class Publication:
    """What a customer is to have, all of it; with no content an empty project.

    Members are the addresses of those who may sign in and look. Nothing is mailed as long as there is a reason to
    `hold` it. A `problem` is why nothing may change.
    """

    customer_id: int
    name: str
    data_sources: tuple[DataSource, ...] = ()
    workbooks: tuple[Workbook, ...] = ()
    members: tuple[str, ...] = ()
    mails: tuple[Mail, ...] = ()
    hold: str | None = None
    problem: str | None = None

    @property
    def project(self) -> str:
        """The name of the customer's project."""
        return f"{self.customer_id} {self.name}"
