"""A customer as rows: the desired state from the registry file, and the current state in the database."""

from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
from psycopg import sql

from callmart.base.identifiers import listed
from callmart.declarations import exposures
from callmart.registry.file import Customer, Defaults, Option, Registry, Service, status_word
from callmart.registry.hours import days_of

Rows = set[tuple[Any, ...]]

# The tables with a customer's rows, and the columns that come from the file.
TABLES: dict[str, tuple[str, ...]] = {
    "contract": ("option", "valid_from", "valid_until"),
    "queue": ("queue", "label", "service_level_s", "short_abandon_s", "service_level_target"),
    "line": ("line", "label", "channels"),
    "status_word": ("word", "status"),
    "contact": ("email", "name", "authorised"),
    "recipient": ("email", "reports", "mail_format"),
    "opening_hours": ("queue", "valid_from", "valid_until", "weekday", "call_date", "opens", "closes"),
    "holiday": ("queue", "call_date"),
}
NAMED = ("queue", "line")  # the tables of names that may look like telephone numbers
CUSTOMER = (
    "name",
    "time_zone",
    "locale",
    "anonymous_agents",
    "connection",
    "sql_login",
    "service_level_s",
    "short_abandon_s",
    "service_level_target",
    "contact_list_days",
    "export",
    "tableau_site",
)
CHANGES_NUMBERS = ("time_zone", "service_level_s", "short_abandon_s", "service_level_target")


@dataclass
class State:
    """A customer as it is, or should be, in the database."""

    customer: tuple[Any, ...]  # in the order of CUSTOMER
    tables: dict[str, Rows]
    agents: Rows = field(default_factory=set)  # id, name and address of the agents with a name

    def value(self, column: str) -> Any:
        """Return a column of the customer's own row."""
        return self.customer[CUSTOMER.index(column)]

    def option_on(self, day: date) -> Option:
        """Return the option that is ordered for a day."""
        for option, valid_from, valid_until in self.tables["contract"]:
            if _holds(day, valid_from, valid_until):
                return option  # type: ignore[no-any-return]
        return "none"

    def today(self, now: datetime) -> date:
        """Return the date by the customer's clock."""
        return now.astimezone(ZoneInfo(self.value("time_zone"))).date()

    def is_ordered(self, *options: Option, today: date) -> bool:
        """Return whether one of the options is ordered now or later."""
        return any(
            option in options and (valid_until is None or today < valid_until)
            for option, _, valid_until in self.tables["contract"]
        )

    def keeps_agents(self, today: date) -> bool:
        """Return whether ids and names of agents may be kept at all."""
        return self.is_ordered("detailed", today=today) and not self.value("anonymous_agents")

    def becomes_anonymous(self, before: "State") -> bool:
        """Return whether its agents were not anonymous before, and are now."""
        return self.value("anonymous_agents") and not before.value("anonymous_agents")

    def own_names(self) -> set[str]:
        """Return the names of the queues and lines that the registry knows as the customer's own."""
        return {name for table in NAMED for name, *_ in self.tables[table]}

    def thresholds(self) -> Rows:
        """Return the thresholds and targets of the queues that have their own, and the channels of lines."""
        queues = {(queue, *numbers) for queue, _, *numbers in self.tables["queue"]}
        return queues | {("line", line, channels) for line, _, channels in self.tables["line"] if channels}

    def hours_on(self, day: date) -> Rows:
        """Return what is said of a day: whether there are opening hours at all, those of weekdays, whichever it is, and
        those of its date, holidays.
        """
        valid = {
            (queue, weekday, call_date, *minutes)
            for queue, valid_from, valid_until, weekday, call_date, *minutes in self.tables["opening_hours"]
            if _holds(day, valid_from, valid_until)
        }
        # A day of a period is closed if neither its weekday nor its date has hours.
        declared = {queue for queue, *_ in valid}
        return (
            {(queue, "declared") for queue in declared}
            | {row for row in valid if row[2] in (None, day)}
            | {(q, "holiday") for q, holiday in self.tables["holiday"] if holiday == day and q in declared}
        )

    def days_of_hours(self) -> set[date]:
        """Return the days on which opening hours begin, end, or are their own."""
        days = {day for row in self.tables["opening_hours"] for day in row[1:3] + row[4:5] if day is not None}
        return days | {day for _, day in self.tables["holiday"]}

    def turns(self) -> set[date]:
        """Return the days on which the option can change."""
        return {day for row in self.tables["contract"] for day in row[1:] if day is not None}


def _holds(day: date, valid_from: date, valid_until: date | None) -> bool:
    """Whether a contract, or opening hours, of these days hold on a day."""
    return valid_from <= day and (valid_until is None or day < valid_until)


def nothing() -> dict[str, Rows]:
    """The tables of a customer of whom the registry keeps only the own row."""
    return {table: set() for table in TABLES}


NOBODY = State((None,) * len(CUSTOMER), nothing())


def first_day_of_other_hours(before: State, after: State) -> date | None:
    """Return the first day on which opening hours or holidays differ; None if they are the same."""
    if all(before.tables[table] == after.tables[table] for table in ("opening_hours", "holiday")):
        return None
    days = sorted(before.days_of_hours() | after.days_of_hours())
    return next((day for day in days if before.hours_on(day) != after.hours_on(day)), None)


def desired_states(registry: Registry, now: datetime) -> dict[int, State]:
    """Return the states that the file asks for, by customer. `now` decides which contracts are over."""
    return {customer.id: _desired(customer, registry.defaults, now) for customer in registry.customers}


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
            customer.service_level_target or defaults.service_level_target,
            customer.contact_list_days,
            customer.export,
            customer.tableau_site,
        ),
        {
            "contract": {(c.option, c.from_, c.until) for c in customer.contracts if c.option != "none"},
            "queue": {
                (
                    q.name,
                    q.label,
                    defaults.service_level_s if q.service_level_s is None else q.service_level_s,
                    defaults.short_abandon_s if q.short_abandon_s is None else q.short_abandon_s,
                    q.service_level_target or customer.service_level_target or defaults.service_level_target,
                )
                for q in customer.queues
            },
            "line": {(one.name, one.label, one.channels) for one in customer.lines},
            "status_word": {(status_word(word), status) for word, status in customer.statuses.items()},
            "contact": {(c.email, c.name, c.authorised) for c in customer.contacts},
            "recipient": {
                (r.email, tuple(map(exposures.current_name, r.reports)), r.mail_format)
                for r in customer.recipients
            },
            **_opening(customer, defaults, now.year),
        },
    )
    today = state.today(now)
    if not state.is_ordered("standard", "detailed", today=today):
        return State(state.customer, nothing())
    if state.keeps_agents(today):
        state.agents = {(a.id, a.name, a.email) for a in customer.agents}
    return state


def _opening(customer: Customer, defaults: Defaults, this_year: int) -> dict[str, Rows]:
    """Opening hours and holidays: of the customer, and whole ones of each queue that has any of its own."""
    scopes: list[tuple[str | None, tuple[Service, ...]]] = [(None, (customer, defaults))]
    scopes += [
        (q.name, (q, customer, defaults))
        for q in customer.queues
        if q.opening_hours is not None or q.holidays is not None
    ]
    rows: dict[str, Rows] = {"opening_hours": set(), "holiday": set()}
    for queue, given_by in scopes:
        periods = next((one.opening_hours for one in given_by if one.opening_hours is not None), [])
        holidays = next((one.holidays for one in given_by if one.holidays is not None), [])
        rows["opening_hours"] |= {
            (queue, period.from_, period.until, *hours) for period in periods for hours in period.hours
        }
        if periods:
            rows["holiday"] |= {(queue, day) for day in days_of(holidays, this_year)}
    return rows


def current_states(connection: psycopg.Connection) -> dict[int, State]:
    """Return the states in the database, by customer."""
    columns = listed(CUSTOMER)
    states = {
        row[0]: State(row[1:], nothing())
        for row in connection.execute(
            sql.SQL("select customer_id, {} from registry.customer").format(columns)
        )
    }
    for table, names in TABLES.items():
        query = sql.SQL("select customer_id, {} from registry.{}").format(
            listed(names), sql.Identifier(table)
        )
        for customer_id, *values in connection.execute(query):
            states[customer_id].tables[table].add(
                tuple(tuple(value) if isinstance(value, list) else value for value in values)
            )
    for customer_id, *agent in connection.execute(
        "select customer_id, agent, name, email from registry.agent where name is not null"
    ):
        states[customer_id].agents.add(tuple(agent))
    return states
