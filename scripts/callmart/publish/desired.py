"""The types of what a customer should have on Tableau."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Literal

from callmart.declarations.exposures import Report
from callmart.tableau_files import workbook
from callmart.tableau_files.fields import Source
from callmart.tableau_files.tds import Live, Types


def digest_of(*parts: bytes) -> str:
    """A hash of several parts. Each part is hashed first, so that it matters where one ends and the next begins."""
    return joined(*(sha256(part).digest() for part in parts))


def joined(*hashes: bytes) -> str:
    """The hash of several parts, by the hash of each."""
    return sha256(b"".join(hashes)).hexdigest()


@dataclass(frozen=True)
class DataSource:
    """A data source: around an extract, or live with the customer's own login. Equal content has an equal hash.

    `types` are those with which the extract was written, None if that is not known. `restore` writes the extract again
    if it is no longer on disk, or not the file with the hash `file_hash` that was proved. `note` is what people should
    know of its figures.
    """

    source: Source
    data: Path | Live
    content_hash: str
    rows: int | None = None  # None for a live connection
    password: str | None = field(default=None, repr=False)  # of the embedded login of a live connection
    types: Types | None = field(default=None, repr=False, compare=False)
    restore: Callable[[], None] = field(default=lambda: None, repr=False, compare=False)
    note: str = ""
    file_hash: str | None = field(default=None, repr=False, compare=False)

    @property
    def name(self) -> str:
        """The data source's name on Tableau."""
        return self.source.title


@dataclass(frozen=True)
class Workbook:
    """A report, on the customer's data source of the report's group."""

    report: Report
    customer: str
    source: Source
    content_hash: str  # without the addresses in it
    rows_in: str = ""  # the name of the workbook with the contacts behind its numbers, if the customer has it
    target: float | None = None  # of the service level, if all queues have the same

    @property
    def name(self) -> str:
        """The workbook's name on Tableau."""
        return self.report.title.of(self.source.locale)

    def build(self, published: workbook.PublishedSource, rows_at: str = "") -> bytes:
        """Return the .twb that uses the data source at this address, and leads to the workbook of this content URL."""
        return workbook.build(
            self.report, self.customer, self.source, published, rows_at=rows_at, target=self.target
        )


MailState = Literal["to come", "sending", "over"]


@dataclass(frozen=True)
class Mail:
    """A report that a member gets by mail every week, on a day such as Monday, at 07:00:00 on the site's clock.

    `hour` is that of the last complete week, and `state` how far it is with it. Once it is over, the mail is suspended:
    otherwise Tableau would mail the next week without anybody having looked whether it is whole.
    """

    workbook: str
    member: str
    subject: str
    message: str
    day: str
    time: str
    hour: datetime
    state: MailState


@dataclass(frozen=True)
class Publication:
    """Everything that one customer should have. Without content it is an empty project.

    `members` are the addresses of the people who may sign in and look. While `no_mail_because` gives a reason, nothing
    is mailed to anybody. While `problem` gives a reason, nothing changes except that its mail is suspended. `site` is
    the customer's own; "" is the one that customers share. `at` is the moment of which all this is, and `mails_seen`
    that at which a publication last saw which mails had gone out.
    """

    customer_id: int
    name: str
    data_sources: tuple[DataSource, ...] = ()
    workbooks: tuple[Workbook, ...] = ()
    members: tuple[str, ...] = ()
    mails: tuple[Mail, ...] = ()
    no_mail_because: str | None = None
    problem: str | None = None
    exports: bool = False  # its members may export data
    warning: str | None = None  # what people should know of its data, while days are held back
    site: str = ""
    at: datetime | None = field(default=None, repr=False)
    mails_seen: datetime | None = field(default=None, repr=False)

    @property
    def warnings(self) -> dict[str, str]:
        """What each data source says of its data, if there is something to say, by the name of the source."""
        said = {one.name: " ".join(filter(None, (self.warning, one.note))) for one in self.data_sources}
        return {name: text for name, text in said.items() if text}

    @property
    def project(self) -> str:
        """The name of the customer's project."""
        return f"{self.customer_id} {self.name}"

    @property
    def mail_stopped_because(self) -> str | None:
        """The reason why mail that is to come is suspended."""
        return self.no_mail_because if any(mail.state == "to come" for mail in self.mails) else None

    @property
    def digest(self) -> str:
        """A digest of all of it: the same as long as Tableau should hold the same."""
        sources = [(one.name, one.content_hash, one.note) for one in self.data_sources]
        workbooks = [(one.name, one.content_hash) for one in self.workbooks]
        others = replace(self, data_sources=(), workbooks=())
        return sha256(repr((sources, workbooks, others)).encode()).hexdigest()
