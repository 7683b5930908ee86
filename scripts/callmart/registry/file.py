"""Reads the registry file, which lists the customers and what they have ordered."""

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator, ValidationError

from callmart.base import controls, matrix, telephone, yaml_file
from callmart.base.declared import as_list
from callmart.base.errors import UserError
from callmart.base.settings import LONGEST_KEPT_DAYS, Site, TimeZone
from callmart.base.spelling import is_address, plain
from callmart.base.strict import Strict, first_mistake, line_of
from callmart.declarations import exposures
from callmart.registry import hours

Option = Literal["none", "standard", "detailed"]
OPTIONS: tuple[Option, ...] = ("none", *matrix.OPTIONS)  # each opens more than the previous one


def _share(written: object) -> float:
    """Read a share of contacts, as 0.8 or 80 %."""
    percentage = re.fullmatch(r"(\d{1,3}(?:\.\d+)?) ?%", str(written))
    share = float(percentage[1]) / 100 if percentage else written
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share <= 1:
        raise ValueError("not a share of contacts; write it as 80 % or 0.8, and at most 100 %")
    return float(share)


def _without_controls(written: str) -> str:
    if controls.CONTROL.search(written):
        raise ValueError(
            "has a control character, which steers a terminal or the direction of writing; write it anew without that"
        )
    return written


def _address(written: str) -> str:
    if not is_address(written):
        raise ValueError("not a mail address; write it as name@example.org")
    return written


Day = Annotated[date, BeforeValidator(hours.day)]
Text = Annotated[str, Field(min_length=1, max_length=255), AfterValidator(_without_controls)]
Share = Annotated[float, PlainValidator(_share)]
Period = Annotated[hours.Period, PlainValidator(hours.period)]
Holiday = Annotated[hours.Holiday, PlainValidator(hours.holiday)]
Seconds = Annotated[int, Field(ge=0, le=86_400)]
Email = Annotated[str, Field(max_length=255), AfterValidator(_without_controls), AfterValidator(_address)]
MailFormat = Literal["pdf", "csv", "both"]


class Service(Strict):
    """How well contacts are to be answered, and when: for all customers, a customer, or a queue."""

    service_level_target: Share | None = None
    opening_hours: Annotated[list[Period], Field(min_length=1)] | None = None
    holidays: Annotated[list[Holiday], BeforeValidator(as_list)] | None = None


class Defaults(Service):
    """The values for customers that don't give their own."""

    time_zone: TimeZone = "Europe/Amsterdam"
    locale: Literal["nl", "en"] = "nl"
    service_level_s: Seconds = 20
    short_abandon_s: Seconds = 5


class Contract(Strict):
    """An option that is ordered from a day (inclusive) until a day (exclusive)."""

    option: Option
    from_: Day = Field(alias="from")
    until: Day | None = None


class Queue(Service):
    """A queue with a label, or values of its own."""

    name: Text
    label: Text | None = None
    service_level_s: Seconds | None = None
    short_abandon_s: Seconds | None = None


class Line(Strict):
    """A trunk or number of the customer's own."""

    name: Text
    label: Text | None = None
    channels: Annotated[int, Field(ge=1, le=100_000)] | None = None  # how many calls it carries at once


class Agent(Strict):
    """An agent whose name the customer wants to see."""

    id: Text
    name: Text
    email: Email | None = None


class Contact(Strict):
    """A person who may speak for the customer."""

    name: Text
    email: Email
    authorised: bool = False


class Recipient(Strict):
    """A person who gets the weekly mail and may sign in to Tableau."""

    email: Email
    reports: list[Text]
    mail_format: MailFormat = "pdf"


class Customer(Service):
    """A customer as it is written in the file."""

    id: int = Field(gt=0, lt=2**31 - 1)  # PostgreSQL doesn't allow the largest integer as an array bound
    name: Text
    time_zone: TimeZone | None = None
    locale: Literal["nl", "en"] | None = None
    anonymous_agents: bool = False
    connection: Literal["extract", "live"] = "extract"
    sql_login: bool = False  # a customer with a live connection has one anyway
    export: bool = False  # its users may export data on Tableau
    tableau_site: Site | None = None  # of its own
    contact_list: bool = False
    contact_list_days: Annotated[int, Field(ge=1, le=LONGEST_KEPT_DAYS)] | None = None
    contracts: list[Contract] = Field(default=[])
    queues: list[Queue] = Field(default=[])
    lines: list[Line] = Field(default=[])
    statuses: dict[Text, Literal["available", "in_call", "wrap_up", "break", "away", "training"]] = Field(
        default={}
    )
    agents: list[Agent] = Field(default=[])
    contacts: list[Contact] = Field(default=[])
    recipients: list[Recipient] = Field(default=[])


class Registry(Strict):
    """The whole file."""

    defaults: Defaults = Defaults()
    customers: list[Customer]


class _Mistake(NamedTuple):
    """A mistake that shows only when entries are compared: where it is, and the sentence, with the remedy."""

    place: tuple[str | int, ...]
    sentence: str


def load(path: Path) -> Registry:
    """Return the registry in the file. Raises UserError, with the line and the remedy, if it is wrong."""
    absent = "name an existing registry file"
    document = yaml_file.load(path, str(path), absent)
    if not isinstance(document, dict):
        raise UserError(f"{path} is not a registry; begin it with `customers:`")

    def line(place: Iterable[str | int]) -> int:
        return line_of(yaml_file.load(path, str(path), absent, lines=True), place)

    try:
        registry = Registry.model_validate(document, context=path.parent)
    except ValidationError as error:
        mistake = first_mistake(error)
        keys = "customers, defaults" if len(mistake.place) == 1 else "docs/registry.md has all keys"
        raise UserError(mistake.sentence(str(path), line(mistake.place), mistake.place, keys)) from None
    for check in (_wrong_dates, _wrong_contact_lists, _given_twice, _unknown_reports):
        for place, sentence in check(registry):
            raise UserError(f"{path} line {line(place)}: {sentence}")
    return registry


def earlier_names(registry: Registry) -> dict[str, str]:
    """Return the earlier names of reports that the file uses, each with the name that the report has now."""
    used = {name for c in registry.customers for r in c.recipients for name in r.reports}
    now = {name: exposures.current_name(name) for name in sorted(used)}
    return {name: current for name, current in now.items() if name != current}


def wants_csv(registry: Registry) -> int:
    """Return how many recipients have ordered their reports as CSV files, which only callmart's own mails have."""
    return sum(r.mail_format != "pdf" for c in registry.customers for r in c.recipients if r.reports)


def status_word(written: str) -> str:
    """Return a customer's own word for a status in the form in which words are compared (judging.sql)."""
    return written.strip(" ").lower()


def _wrong_dates(registry: Registry) -> Iterator[_Mistake]:
    """Contracts and opening hours that overlap, or end before they begin."""

    def in_order(
        dated: Sequence[Contract | hours.Period], place: tuple[str | int, ...], whose: str
    ) -> Iterator[_Mistake]:
        earlier_until: date | None = date.min
        for i in sorted(range(len(dated)), key=lambda i: dated[i].from_):
            one = dated[i]
            if one.until is not None and one.until <= one.from_:
                yield _Mistake(
                    (*place, i), f"{whose} ends before it begins; until is exclusive and must be after from"
                )
            if earlier_until is None or one.from_ < earlier_until:
                yield _Mistake(
                    (*place, i),
                    f"{whose} from {one.from_} overlaps the one before; "
                    "end that one with `until` on or before this day",
                )
            earlier_until = one.until

    yield from in_order(
        registry.defaults.opening_hours or (), ("defaults", "opening_hours"), "the period of opening hours"
    )
    for at, customer in enumerate(registry.customers):
        place, whose = ("customers", at), f"customer {customer.id}'s"
        period = f"{whose} period of opening hours"
        yield from in_order(customer.contracts, (*place, "contracts"), f"{whose} contract")
        yield from in_order(customer.opening_hours or (), (*place, "opening_hours"), period)
        for i, queue in enumerate(customer.queues):
            queue_place = (*place, "queues", i, "opening_hours")
            yield from in_order(queue.opening_hours or (), queue_place, f"{period} of a queue")


def _wrong_contact_lists(registry: Registry) -> Iterator[_Mistake]:
    for at, customer in enumerate(registry.customers):
        if customer.contact_list != (customer.contact_list_days is not None):
            key = "contact_list" if customer.contact_list else "contact_list_days"
            yield _Mistake(
                ("customers", at, key),
                f"customer {customer.id} has one of contact_list and contact_list_days; "
                "a list of contacts needs both, none needs neither",
            )


def _given_twice(registry: Registry) -> Iterator[_Mistake]:
    """Ids and names that are given twice: of customers, and of what each customer lists. A queue or line named by a
    telephone number is the same one however the number is written.
    """
    numbers = telephone.numbers_in_names(
        name
        for customer in registry.customers
        for name in (*(queue.name for queue in customer.queues), *(line.name for line in customer.lines))
    )

    def once(names: Iterable[str], place: tuple[str | int, ...], what: str) -> Iterator[_Mistake]:
        before: set[str] = set()
        for i, name in enumerate(names):
            if name in before:
                yield _Mistake((*place, i), f"{what} is given twice; keep one of the two")
            before.add(name)

    yield from once((str(c.id) for c in registry.customers), ("customers",), "this customer id")
    for at, customer in enumerate(registry.customers):
        for key, names, what in (
            ("queues", [numbers.get(queue.name, queue.name) for queue in customer.queues], "this queue"),
            ("lines", [numbers.get(line.name, line.name) for line in customer.lines], "this line"),
            ("statuses", map(status_word, customer.statuses), "a status word, in any case of letters,"),
            ("agents", [agent.id for agent in customer.agents], "this agent id"),
            ("contacts", [plain(one.email) for one in customer.contacts], "this contact's address"),
            ("recipients", [plain(one.email) for one in customer.recipients], "this recipient's address"),
        ):
            yield from once(names, ("customers", at, key), what)
        for i, recipient in enumerate(customer.recipients):
            yield from once(
                map(exposures.current_name, recipient.reports),
                ("customers", at, "recipients", i, "reports"),
                "a report, by its present name or an earlier one,",
            )
        if customer.agents and customer.anonymous_agents:
            yield _Mistake(
                ("customers", at, "agents"),
                f"customer {customer.id} has anonymous agents, whose names are never kept; "
                "remove `agents` or `anonymous_agents`",
            )


def _unknown_reports(registry: Registry) -> Iterator[_Mistake]:
    for at, customer in enumerate(registry.customers):
        for i, recipient in enumerate(customer.recipients):
            for j, name in enumerate(recipient.reports):
                if exposures.current_name(name) not in exposures.reports():
                    yield _Mistake(
                        ("customers", at, "recipients", i, "reports", j),
                        f"this report is not declared; name one of {', '.join(exposures.reports())}",
                    )
