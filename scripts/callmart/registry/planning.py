"""Plans what applying the registry file would change.

If a contract closes access to data, the plan shows a deletion, even if its date is in the future: retention deletes the
data on that day.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

from callmart.declarations import exposures
from callmart.registry.file import OPTIONS, Option
from callmart.registry.states import CUSTOMER, NOBODY, TABLES, State


@dataclass(frozen=True)
class Change:
    """One line of the plan."""

    customer_id: int
    text: str
    deletes: bool = False


def plan(current: dict[int, State], desired: dict[int, State], today: date) -> list[Change]:
    """Return what applying would change. The list is empty if both states are equal."""
    changes: list[Change] = []
    for customer_id in sorted(current.keys() | desired.keys()):
        before, after = current.get(customer_id), desired.get(customer_id)
        if after is None:
            changes.append(Change(customer_id, "is gone from the file: all of its data is deleted", True))
            continue
        if before is None:
            options = ", ".join(_spans(after)) or "none"
            changes.append(Change(customer_id, f"new: {options}"))
        else:
            changes.extend(Change(customer_id, text) for text in _edits(before, after))
            if after.becomes_anonymous(before):
                changes.append(Change(customer_id, "agents become anonymous: their names are deleted", True))
            changes.extend(Change(customer_id, text, True) for text in _shorter_lists(before, after))
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
            what = ": what is published moves to the other site" if column == "tableau_site" else ""
            yield f"{column} changes{what}"
    for what in (*TABLES, "agent"):
        old, new = (state.agents if what == "agent" else state.tables[what] for state in (before, after))
        if old != new:
            yield f"{what}: {len(new - old)} added, {len(old - new)} removed"


def _shorter_lists(before: State, after: State) -> Iterator[str]:
    """The list of contacts, if it is kept for a shorter time, or not ordered any more."""
    old, new = (state.value("contact_list_days") for state in (before, after))
    if old is not None and new is None:
        yield "the list of contacts is not ordered any more: it is deleted"
    elif old is not None and new < old:
        yield f"the list of contacts is kept for {new} days instead of {old}: what is older is deleted"


def _unopened(after: State, today: date) -> Iterator[str]:
    """One line per report that recipients ask for although no contract opens it, now or later."""
    asked = {name for _, names, _ in after.tables["recipient"] for name in names}
    orders = [] if after.value("contact_list_days") is None else ["contact_list"]
    for report in exposures.reports().values():
        if report.name in asked and not after.is_ordered(
            *(option for option in OPTIONS if report.is_opened_by(option, orders)), today=today
        ):
            yield f"recipient: nobody gets {report.name}, which no contract of the customer opens"


def _closings(before: State, after: State, today: date) -> Iterator[str]:
    """One line per day on which the new contracts close something that is open now: past days, or days to come."""
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
    """The day from which the data that is closed on `closed` is kept again, if today's contract opens it again."""
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
