"""The registry: who the customers are and what they have ordered, as desired state in a file.

`load` reads registry.yml, `plan` says what applying it would change, `apply` does it. What a contract closes is a
deletion, also where its date lies in the future, and is shown as one; `remove` deletes it when its day has come. Of a
customer with no contract now or later nothing is kept here but the customer itself.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

import psycopg
from psycopg import sql
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.constructor import RoundTripConstructor

from callmart.access import memberships, sessions
from callmart.base import yaml_file
from callmart.base.errors import UserError
from callmart.base.keys import ensure_key, fingerprint_of, keyed, new_key
from callmart.base.settings import Settings, TimeZone
from callmart.database import clock, schema
from callmart.declarations import exposures

Option = Literal["none", "standard", "detailed"]
OPTIONS: tuple[Option, ...] = ("none", "standard", "detailed")  # each opens more than the one before


def _day(written: object) -> date:
    try:
        day = date.fromisoformat(str(written))
    except ValueError:
        day = date.min
    if day == date.min:  # the first day there is has no eve
        raise ValueError("no date; write it as 2026-03-01")
    return day


Day = Annotated[date, BeforeValidator(_day)]
Text = Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[^\x00-\x1f]+$")]
Seconds = Annotated[int, Field(ge=0, le=86_400)]
Email = Annotated[str, Field(max_length=255, pattern=r"^[^@\x00-\x20]+@[^@\x00-\x20]+$")]


class Strict(BaseModel):
    """Unknown keys and other types are errors: a typing error must not change what is promised."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Defaults(Strict):
    """What holds for a customer that says nothing else."""

    time_zone: TimeZone = "Europe/Amsterdam"
    locale: Literal["nl", "en"] = "nl"
    service_level_s: Seconds = 20
    short_abandon_s: Seconds = 5


class Contract(Strict):
    """What is ordered from a day on, until a day (exclusive)."""

    option: Option
    from_: Day = Field(alias="from")
    until: Day | None = None


class Queue(Strict):
    """A queue with thresholds or a label of its own."""

    name: Text
    label: Text | None = None
    service_level_s: Seconds | None = None
    short_abandon_s: Seconds | None = None


class Agent(Strict):
    """An agent whose name the customer wants to see."""

    id: Text
    name: Text
    email: Email | None = None


class Contact(Strict):
    """Who may speak for the customer."""

    name: Text
    email: Email
    authorised: bool = False


class Recipient(Strict):
    """Who gets the weekly mail and may sign in on Tableau."""

    email: Email
    reports: list[Text]


class Customer(Strict):
    """A customer, as the file has it."""

    id: int = Field(gt=0, lt=2**31 - 1)  # the last integer can be no bound of an array in PostgreSQL
    name: Text
    time_zone: TimeZone | None = None
    locale: Literal["nl", "en"] | None = None
    anonymous_agents: bool = False
    connection: Literal["extract", "live"] = "extract"
    sql_login: bool = False  # live data sources have one anyway
    contracts: list[Contract] = []
    queues: list[Queue] = []
    statuses: dict[Text, Literal["available", "in_call", "wrap_up", "break", "away", "training"]] = {}
    agents: list[Agent] = []
    contacts: list[Contact] = []
    recipients: list[Recipient] = []


class Registry(Strict):
    """The whole file."""

    defaults: Defaults = Defaults()
    customers: list[Customer]


# -- reading ---------------------------------------------------------------------------------------------------


class _Constructor(RoundTripConstructor):
    """Leaves a date as it is written: one that does not exist is an error of ours, with its line."""


_Constructor.add_constructor("tag:yaml.org,2002:timestamp", _Constructor.construct_scalar)


def load(path: Path) -> Registry:
    """The registry in the file; UserError with the line and the remedy where it is wrong."""
    yaml = YAML()
    yaml.Constructor = _Constructor
    document = yaml_file.load(path, str(path), "name an existing registry file", yaml)
    if not isinstance(document, CommentedMap):
        raise UserError(f"{path} holds no registry; begin it with `customers:`")
    try:
        registry = Registry.model_validate(document)
    except ValidationError as error:
        raise UserError(_sentence(path, document, error)) from None
    _check_contracts(path, document, registry)
    _check_names(path, document, registry)
    _check_reports(path, document, registry)
    return registry


def _sentence(path: Path, document: CommentedMap, error: ValidationError) -> str:
    """The first error as a sentence; never with the value, which may be a name."""
    errors = error.errors(include_url=False, include_input=False)
    # An unknown key first: what is missing may be what it was meant to be.
    first = min(errors, key=lambda one: one["type"] != "extra_forbidden")
    place = [part for part in first["loc"] if part != "[key]"]
    # What does not look like a key can be a name.
    name = ".".join(str(part) if re.fullmatch("[a-z_0-9]+", str(part)) else "…" for part in place)
    if first["type"] == "extra_forbidden":
        known = "customers, defaults" if len(place) == 1 else "see docs/registry.md for the keys that exist"
        message = f"unknown key {name}; remove or correct it ({known})"
    else:
        message = f"{name}: {first['msg'].removeprefix('Value error, ')}"
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return f"{path} line {_line(document, place)}: {message}{more}"


def _line(document: Any, place: Iterable[Any]) -> int:
    """The line of the deepest part of the place that the file has."""
    line = 1
    for part in place:
        if isinstance(document, CommentedMap) and part in document:
            line = document.lc.key(part)[0] + 1
        elif isinstance(document, CommentedSeq) and isinstance(part, int) and part < len(document):
            line = document.lc.item(part)[0] + 1
        else:
            break
        document = document[part]
    return line


def _check_contracts(path: Path, document: CommentedMap, registry: Registry) -> None:
    for at, customer in enumerate(registry.customers):
        earlier_until: date | None = date.min
        order = sorted(range(len(customer.contracts)), key=lambda i: customer.contracts[i].from_)
        for i in order:
            contract = customer.contracts[i]
            line = _line(document, ["customers", at, "contracts", i])
            if contract.until is not None and contract.until <= contract.from_:
                raise UserError(
                    f"{path} line {line}: customer {customer.id}'s contract ends before it begins; "
                    "until is exclusive and must lie after from"
                )
            if earlier_until is None or contract.from_ < earlier_until:
                raise UserError(
                    f"{path} line {line}: customer {customer.id}'s contract from {contract.from_} overlaps the "
                    "one before; end that one with `until` on or before this day"
                )
            earlier_until = contract.until


def _check_names(path: Path, document: CommentedMap, registry: Registry) -> None:
    """Names that must be given once: customers, and what stands under each."""

    def once(names: list[str], place: list[Any], what: str) -> None:
        for i, name in enumerate(names):
            if name in names[:i]:
                line = _line(document, [*place, i])
                raise UserError(f"{path} line {line}: {what} is given twice; keep one of the two")

    once([str(c.id) for c in registry.customers], ["customers"], "this customer id")
    for at, customer in enumerate(registry.customers):
        place: list[Any] = ["customers", at]
        once([q.name for q in customer.queues], [*place, "queues"], "this queue")
        once(
            [_word(w) for w in customer.statuses],
            [*place, "statuses"],
            "a status word, in any case of letters,",
        )
        once([a.id for a in customer.agents], [*place, "agents"], "this agent id")
        once([c.email for c in customer.contacts], [*place, "contacts"], "this contact's address")
        once([r.email for r in customer.recipients], [*place, "recipients"], "this recipient's address")
        if customer.agents and customer.anonymous_agents:
            raise UserError(
                f"{path} line {_line(document, [*place, 'agents'])}: customer {customer.id} has anonymous "
                "agents, whose names are never kept; remove `agents` or `anonymous_agents`"
            )


def _check_reports(path: Path, document: CommentedMap, registry: Registry) -> None:
    for at, customer in enumerate(registry.customers):
        for i, recipient in enumerate(customer.recipients):
            for j, name in enumerate(recipient.reports):
                if name not in exposures.reports():
                    line = _line(document, ["customers", at, "recipients", i, "reports", j])
                    raise UserError(
                        f"{path} line {line}: this report is not declared; "
                        f"name one of {', '.join(exposures.reports())}"
                    )


# -- what it says, as rows ----------------------------------------------------------------------------------------

Rows = set[tuple[Any, ...]]

# The tables of a customer, with the columns that the file decides.
TABLES: dict[str, tuple[str, ...]] = {
    "contract": ("option", "valid_from", "valid_until"),
    "queue": ("queue", "label", "service_level_s", "short_abandon_s"),
    "status_word": ("word", "status"),
    "contact": ("email", "name", "authorised"),
    "recipient": ("email", "reports"),
}
CUSTOMER = (
    "name",
    "time_zone",
    "locale",
    "anonymous_agents",
    "connection",
    "sql_login",
    "service_level_s",
    "short_abandon_s",
)
CHANGES_NUMBERS = ("time_zone", "service_level_s", "short_abandon_s")


@dataclass
class State:
    """A customer as the database holds it or should hold it."""

    customer: tuple[Any, ...]  # in the order of CUSTOMER
    tables: dict[str, Rows]
    agents: Rows = field(default_factory=set)  # id, name and address of those who are named

    def value(self, column: str) -> Any:
        """A column of the customer itself."""
        return self.customer[CUSTOMER.index(column)]

    def option_on(self, day: date) -> Option:
        """What is ordered on a day."""
        for option, valid_from, valid_until in self.tables["contract"]:
            if valid_from <= day and (valid_until is None or day < valid_until):
                return option  # type: ignore[no-any-return]
        return "none"

    def today(self, now: datetime) -> date:
        """The date at the customer."""
        return now.astimezone(ZoneInfo(self.value("time_zone"))).date()

    def is_ordered(self, *options: Option, today: date) -> bool:
        """Whether one of the options is ordered now or later."""
        return any(
            option in options and (valid_until is None or today < valid_until)
            for option, _, valid_until in self.tables["contract"]
        )

    def keeps_agents(self, today: date) -> bool:
        """Whether ids and names of agents may be kept at all."""
        return self.is_ordered("detailed", today=today) and not self.value("anonymous_agents")

    def turns(self) -> set[date]:
        """The days on which the option can change."""
        return {day for row in self.tables["contract"] for day in row[1:] if day is not None}


def _nothing() -> dict[str, Rows]:
    return {table: set() for table in TABLES}


NOBODY = State((None,) * len(CUSTOMER), _nothing())


def desired_states(registry: Registry, now: datetime) -> dict[int, State]:
    """What the file asks for, by customer, on the day that it is there."""
    return {customer.id: _desired(customer, registry.defaults, now) for customer in registry.customers}


def _word(written: str) -> str:
    return written.casefold().strip()


def _desired(customer: Customer, defaults: Defaults, now: datetime) -> State:
    state = State(
        (
            customer.name,
            customer.time_zone or defaults.time_zone,
            customer.locale or defaults.locale,
            customer.anonymous_agents,
            customer.connection,
            customer.sql_login,
            defaults.service_level_s,
            defaults.short_abandon_s,
        ),
        {
            "contract": {(c.option, c.from_, c.until) for c in customer.contracts if c.option != "none"},
            "queue": {
                (
                    q.name,
                    q.label,
                    defaults.service_level_s if q.service_level_s is None else q.service_level_s,
                    defaults.short_abandon_s if q.short_abandon_s is None else q.short_abandon_s,
                )
                for q in customer.queues
            },
            "status_word": {(_word(word), status) for word, status in customer.statuses.items()},
            "contact": {(c.email, c.name, c.authorised) for c in customer.contacts},
            "recipient": {(r.email, tuple(r.reports)) for r in customer.recipients},
        },
    )
    today = state.today(now)
    if not state.is_ordered("standard", "detailed", today=today):
        return State(state.customer, _nothing())
    if state.keeps_agents(today):
        state.agents = {(a.id, a.name, a.email) for a in customer.agents}
    return state


def current_states(connection: psycopg.Connection) -> dict[int, State]:
    """What the database holds, by customer."""
    columns = sql.SQL(", ").join(map(sql.Identifier, CUSTOMER))
    states = {
        row[0]: State(row[1:], _nothing())
        for row in connection.execute(
            sql.SQL("select customer_id, {} from registry.customer").format(columns)
        )
    }
    for table, names in TABLES.items():
        query = sql.SQL("select customer_id, {} from registry.{}").format(
            sql.SQL(", ").join(map(sql.Identifier, names)), sql.Identifier(table)
        )
        for customer_id, *values in connection.execute(query):
            row = tuple(tuple(v) if isinstance(v, list) else v for v in values)
            states[customer_id].tables[table].add(row)
    for customer_id, *agent in connection.execute(
        "select customer_id, agent, name, email from registry.agent where name is not null"
    ):
        states[customer_id].agents.add(tuple(agent))
    return states


# -- planning --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Change:
    """One line of the plan."""

    customer_id: int
    text: str
    deletes: bool = False


def plan(current: dict[int, State], desired: dict[int, State], today: date) -> list[Change]:
    """What applying would change; nothing where the two are equal."""
    changes: list[Change] = []
    for customer_id in sorted(current.keys() | desired.keys()):
        before, after = current.get(customer_id), desired.get(customer_id)
        if after is None:
            changes.append(Change(customer_id, "is gone from the file: everything of it is deleted", True))
            continue
        if before is None:
            options = ", ".join(_spans(after)) or "none"
            changes.append(Change(customer_id, f"new: {options}"))
        else:
            changes.extend(Change(customer_id, text) for text in _edits(before, after))
            if after.value("anonymous_agents") and not before.value("anonymous_agents"):
                changes.append(Change(customer_id, "agents become anonymous: their names are deleted", True))
        changes.extend(Change(customer_id, text, True) for text in _closings(before or NOBODY, after, today))
        if before != after:
            changes.extend(Change(customer_id, text) for text in _unopened(after, today))
    return changes


def _spans(state: State) -> Iterator[str]:
    for option, valid_from, valid_until in sorted(state.tables["contract"], key=lambda row: row[1]):
        yield f"{option} from {valid_from}" + (f" until {valid_until}" if valid_until else "")


def _edits(before: State, after: State) -> Iterator[str]:
    for column in CUSTOMER:
        if before.value(column) != after.value(column):
            yield f"{column} changes"
    for what in (*TABLES, "agent"):
        old, new = (state.agents if what == "agent" else state.tables[what] for state in (before, after))
        if old != new:
            yield f"{what}: {len(new - old)} added, {len(old - new)} removed"


def _unopened(after: State, today: date) -> Iterator[str]:
    """The reports that somebody is to get and that no contract opens, now or later."""
    asked = {name for _, names in after.tables["recipient"] for name in names}
    for report in exposures.reports().values():
        if report.name in asked and not after.is_ordered(
            *(option for option in OPTIONS if report.is_opened_by(option)), today=today
        ):
            yield f"recipient: nobody gets {report.name}, which no contract of the customer opens"


def _closings(before: State, after: State, today: date) -> Iterator[str]:
    """What the contract closes that it leaves open now: by taking days away, or on a day to come."""
    for day in sorted(before.turns() | after.turns()):
        old, new = before.option_on(day), after.option_on(day)
        eve = day - timedelta(days=1)
        falls = _rank(new) < _rank(after.option_on(eve))
        fell = _rank(old) < _rank(before.option_on(eve))
        if _rank(new) < _rank(old) or (falls and not fell and (day > today or before is not NOBODY)):
            lost = "everything" if new == "none" else "what only detailed opens"
            old_option = old if _rank(new) < _rank(old) else after.option_on(eve)
            again = _opened_again(after, day, today)
            of_days = f" of the days before {again}" if again else ""
            yield f"{old_option} becomes {new} on {day}: {lost}{of_days} is deleted"


def _opened_again(state: State, closed: date, today: date) -> date | None:
    """The day from which on is kept what a day closes: the first of the span that covers today, where that is later."""
    rank = _rank(state.option_on(closed))
    if closed > today or _rank(state.option_on(today)) <= rank:
        return None
    return max(
        day
        for day in state.turns()
        if day <= today
        and _rank(state.option_on(day)) > rank >= _rank(state.option_on(day - timedelta(days=1)))
    )


def _rank(option: Option) -> int:
    return OPTIONS.index(option)


# -- applying --------------------------------------------------------------------------------------------------


def apply(connection: psycopg.Connection, settings: Settings, registry: Registry) -> list[str]:
    """Make database, roles and keys what the registry says; a sentence for each thing that somebody else has to do.
    Commits: what the registry says, and the access that it opens and closes, in one transaction; then the logins.
    """
    with sessions.making_way(connection):
        _write_all(connection, settings, registry)
        memberships.follow_contracts(connection, settings)
        connection.commit()
        return memberships.finish(connection, settings, None).problems


def _write_all(connection: psycopg.Connection, settings: Settings, registry: Registry) -> None:
    schema.apply(connection, settings.time_zone)
    now = clock.now(connection)
    current, desired = current_states(connection), desired_states(registry, now)
    for customer_id in current.keys() - desired.keys():
        connection.execute("delete from registry.customer where customer_id = %s", [customer_id])
    changed = current.keys() - desired.keys()
    for customer_id, after in desired.items():
        before = current.get(customer_id)
        key = _key(connection, settings, customer_id) if after.tables["contract"] else None
        if before != after:
            changed = changed | {customer_id}
            _write(connection, customer_id, after, fingerprint_of(key) if key else None)
            _write_agents(connection, customer_id, after, key, after.today(now))
            _mark_days(connection, customer_id, before or NOBODY, after)
    connection.execute("select ops.follow_contracts()")
    if changed:
        connection.execute("insert into registry.version default values")
        for customer_id in sorted(changed):
            connection.execute(
                "insert into ops.audit_log (action, customer_id) values ('registry applied', %s)",
                [customer_id],
            )


def _key(connection: psycopg.Connection, settings: Settings, customer_id: int) -> bytes:
    known = connection.execute(
        "select key_fingerprint from registry.customer"
        " where customer_id = %s and key_fingerprint is not null",
        [customer_id],
    ).fetchone()
    if known is None and _was_removed(connection, customer_id):
        return new_key(settings.home, customer_id)
    return ensure_key(settings.home, customer_id, known[0] if known else None)


def _was_removed(connection: psycopg.Connection, customer_id: int) -> bool:
    """Whether all of the customer went, so that a key that still stands there came of a backup."""
    return connection.execute(
        """
        select
            exists (select from ops.audit_log where customer_id = %(customer)s and action = 'removed')
            and not exists (select from raw.file_customer where customer_id = %(customer)s)
        """,
        {"customer": customer_id},
    ).fetchone() == (True,)


def forget_customer(connection: psycopg.Connection, settings: Settings, customer_id: int) -> bool:
    """Let the registry be as if the customer had never been there; what is ordered for later stays, under a new key.
    Whether a key is needed: if not, its file may go.
    """
    state = current_states(connection).get(customer_id)
    if state is None:
        return False
    today = state.today(clock.now(connection))
    is_ordered = state.is_ordered("standard", "detailed", today=today)
    key = new_key(settings.home, customer_id) if is_ordered else None
    if not is_ordered:
        state = State(state.customer, _nothing())
    if not state.keeps_agents(today):
        state.agents = set()
    connection.execute(
        "update registry.customer set key_fingerprint = null where customer_id = %s", [customer_id]
    )
    connection.execute("delete from registry.agent where customer_id = %s", [customer_id])
    _write(connection, customer_id, state, fingerprint_of(key) if key else None)
    _write_agents(connection, customer_id, state, key, today)
    return is_ordered


def _write(connection: psycopg.Connection, customer_id: int, state: State, fingerprint: str | None) -> None:
    columns = ("customer_id", *CUSTOMER, "key_fingerprint")
    connection.execute(
        # The key goes with what it was made for, not before.
        sql.SQL(
            "insert into registry.customer as known ({}) values ({}) on conflict (customer_id) do update set {},"
            " key_fingerprint = coalesce(excluded.key_fingerprint, known.key_fingerprint)"
        ).format(
            sql.SQL(", ").join(map(sql.Identifier, columns)),
            sql.SQL(", ").join(sql.Placeholder() * len(columns)),
            sql.SQL(", ").join(
                sql.SQL("{0} = excluded.{0}").format(sql.Identifier(column)) for column in CUSTOMER
            ),
        ),
        [customer_id, *state.customer, fingerprint],
    )
    for table, names in TABLES.items():
        connection.execute(
            sql.SQL("delete from registry.{} where customer_id = %s").format(sql.Identifier(table)),
            [customer_id],
        )
        insert = sql.SQL("insert into registry.{} (customer_id, {}) values (%s, {})").format(
            sql.Identifier(table),
            sql.SQL(", ").join(map(sql.Identifier, names)),
            sql.SQL(", ").join(sql.Placeholder() * len(names)),
        )
        with connection.cursor() as cursor:
            cursor.executemany(
                insert,
                [
                    [customer_id, *(list(v) if isinstance(v, tuple) else v for v in row)]
                    for row in state.tables[table]
                ],
            )


def _write_agents(
    connection: psycopg.Connection, customer_id: int, state: State, key: bytes | None, today: date
) -> None:
    """The names that the customer gives its agents; where none may be kept, no id stays either."""
    forget = "delete from registry.agent where customer_id = %s"
    if state.keeps_agents(today):
        # Who was named and never seen is nobody without the name.
        connection.execute(f"{forget} and name is not null and last_day is null", [customer_id])
        forget = (
            "update registry.agent set name = null, email = null where customer_id = %s and name is not null"
        )
    if connection.execute(forget, [customer_id]).rowcount:
        connection.execute(
            "insert into ops.to_vacuum (relation) values ('registry.agent') on conflict do nothing"
        )
    if key is not None:
        with connection.cursor() as cursor:
            cursor.executemany(
                """
                insert into registry.agent (customer_id, agent_key, agent, name, email) values (%s, %s, %s, %s, %s)
                on conflict (customer_id, agent_key) do update
                set agent = excluded.agent, name = excluded.name, email = excluded.email
                """,
                [
                    (customer_id, keyed(key, "agent", agent), agent, name, email)
                    for agent, name, email in state.agents
                ],
            )
    if connection.execute("select to_regclass('store.agent')").fetchone() != (None,):
        connection.execute(
            "update store.agent set agent = registry.agent_label(customer_id, agent_key) where customer_id = %s",
            [customer_id],
        )
        connection.execute(
            "insert into ops.to_vacuum (relation) values ('store.agent') on conflict do nothing"
        )


def _mark_days(connection: psycopg.Connection, customer_id: int, before: State, after: State) -> None:
    """Mark the days whose numbers change, all of them; those of another contract are marked by ops.follow_contracts."""
    if before.value("time_zone") != after.value("time_zone"):  # also of who is back before all of it went
        # Days move too: the last day of one zone can hold calls of the next day of another.
        connection.execute("select raw.redate(%s)", [customer_id])
    if before.tables["queue"] != after.tables["queue"] or any(
        before.value(column) != after.value(column) for column in CHANGES_NUMBERS
    ):
        connection.execute(
            """
            insert into ops.dirty_day (customer_id, call_date, cause)
            select distinct customer_id, call_date, 'registry'
            from ops.opened_day where customer_id = %s and isfinite(call_date)
            on conflict (customer_id, call_date) do update set mark = nextval('ops.mark'), cause = excluded.cause
            """,
            [customer_id],
        )
