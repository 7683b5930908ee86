"""Compares the contacts behind a number with another system's list: which are missing on which side, and why.

A contact of the list is one of ours if it joined the same queue at about the same moment; or another queue, if outcome
and wait agree too. Of all ways to pair them, the one with most pairs is taken, and of these the most alike.
"""

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Literal

from callmart.explain.contacts import Contact
from callmart.explain.explaining import Explained
from callmart.explain.other_list import Other

Side = Literal["only here", "only there", "differs"]

# What unlike pairs cost. A contact that is alone costs more than any pair.
ALONE, QUEUE, OUTCOME, WAIT, UNCOUNTED = 1e6, 1000.0, 100.0, 20.0, 10.0


@dataclass(frozen=True)
class Difference:
    """A contact that one side lacks, or of which the sides differ. `why` is a word or two, `detail` a sentence."""

    side: Side
    why: str
    detail: str
    here: Contact | None
    there: Other | None


@dataclass(frozen=True)
class Compared:
    """How many contacts each side has, how many are the same, and all differences in the order of their moments.

    here = same + those that differ + only here. there = same + those that differ + only there + elsewhere.
    """

    here: int
    there: int
    same: int
    elsewhere: int  # contacts of the list that are those of other queues, in the same way here
    differences: tuple[Difference, ...]
    hint: str | None  # if hardly any contact is on both sides

    @property
    def whys(self) -> Counter[tuple[Side, str]]:
        """How many differences there are of each kind."""
        return Counter((one.side, one.why) for one in self.differences)


def compare(explained: Explained, listed: Sequence[Other], within: timedelta) -> Compared:
    """Compare the contacts behind a number with a list. Moments and waits may differ by `within`."""
    ours = sorted((*explained.counted, *explained.others), key=lambda one: one.joined_at)
    labels = explained.question.labels
    pairs = _pairs(ours, listed, within, labels)
    here, there = [one.joined_at for one in ours], [other.moment for other in listed]
    alike = Counter(map(_said, listed))
    partner = {id(other): contact for contact, other in pairs}
    found, same, elsewhere = [], 0, 0
    for other in listed:
        contact = partner.get(id(other))
        if contact is not None and _is_elsewhere(explained, contact, other):
            elsewhere += 1
        elif contact is None:
            is_alone = not _near(here, other.moment, within)
            found.append(_unknown_here(other, alike[_said(other)], is_alone=is_alone))
        elif not contact.is_counted:
            found.append(_only_there(explained, contact, other))
        elif difference := _differs(contact, other, within, labels):
            found.append(difference)
        else:
            same += 1
    met = {id(contact) for contact, _ in pairs}
    found += [
        _only_here(explained, one, listed, is_alone=not _near(there, one.joined_at, within))
        for one in explained.counted
        if id(one) not in met
    ]
    hint = _hint(ours, listed, within) if 2 * len(pairs) < len(listed) else None
    found.sort(key=lambda one: one.here.joined_at if one.here else one.there.moment)  # type: ignore[union-attr] # one is there
    return Compared(len(explained.counted), len(listed), same, elsewhere, tuple(found), hint)


# -- pairs -------------------------------------------------------------------------------------------------------------


def _pairs(
    ours: Sequence[Contact], there: Sequence[Other], within: timedelta, labels: Mapping[str, str]
) -> list[tuple[Contact, Other]]:
    """The contacts that are on both sides. Both sequences are in the order of their moments."""
    from scipy.sparse import coo_array  # takes longer to import than all of callmart
    from scipy.sparse.csgraph import min_weight_full_bipartite_matching

    if not ours:
        return []
    moments = [other.moment for other in there]
    edges: list[tuple[float, int, int]] = []
    for i, contact in enumerate(ours):
        near = _near(moments, contact.joined_at, within)
        alike = ((_cost(contact, there[j], within, labels), j) for j in near)
        edges += [(cost, i, j) for cost, j in alike if cost is not None]
        edges.append((ALONE, i, len(there) + i))
    costs, rows, columns = zip(*edges, strict=True)
    matrix = coo_array((costs, (rows, columns)), shape=(len(ours), len(there) + len(ours))).tocsr()
    paired = zip(*min_weight_full_bipartite_matching(matrix), strict=True)
    return [(ours[i], there[j]) for i, j in paired if j < len(there)]


def _near(moments: Sequence[datetime], moment: datetime, within: timedelta) -> range:
    """Where there are moments, in their order, that are about this one."""
    return range(bisect_left(moments, moment - within), bisect_right(moments, moment + within))


def _cost(contact: Contact, other: Other, within: timedelta, labels: Mapping[str, str]) -> float | None:
    """How unlike a contact and one of the list are, above 0; None if they can't be the same."""
    is_other_queue = other.queue is not None and not _is_of_queue(contact, other, labels)
    is_other_outcome = other.outcome is not None and other.outcome != contact.outcome
    waits_differ = _waits_differ(contact, other, within)
    if is_other_queue and (is_other_outcome or waits_differ):
        return None
    apart = abs(contact.joined_at - other.moment) / max(within, timedelta(microseconds=1))
    cost = 1 + apart + QUEUE * is_other_queue + OUTCOME * is_other_outcome + WAIT * waits_differ
    return cost + UNCOUNTED * (not contact.is_counted)


def _is_of_queue(contact: Contact, other: Other, labels: Mapping[str, str]) -> bool:
    """Whether the list names the contact's queue, as the source does or by its label, which several queues can have."""
    return other.queue in (contact.queue, labels.get(contact.queue, contact.queue))


def _waits_differ(contact: Contact, other: Other, within: timedelta) -> bool:
    """Whether both waits are known and differ. A list can have whole seconds, whichever way they were rounded."""
    if contact.wait_s is None or other.wait_s is None:
        return False
    return abs(contact.wait_s - other.wait_s) > max(within.total_seconds(), 1)


def _said(other: Other) -> tuple[object, ...]:
    """What a list says of a contact."""
    return other.moment, other.queue, other.outcome, other.wait_s


# -- reasons -----------------------------------------------------------------------------------------------------------


def _is_elsewhere(explained: Explained, contact: Contact, other: Other) -> bool:
    """Whether the list says the same of it as we do: that it belongs to a queue that is not asked about."""
    question = explained.question
    return _is_of_queue(contact, other, question.labels) and contact.queue not in question.queues


def _differs(
    contact: Contact, other: Other, within: timedelta, labels: Mapping[str, str]
) -> Difference | None:
    """What the two sides say differently of a contact that both have."""
    if other.queue is not None and not _is_of_queue(contact, other, labels):
        return Difference("differs", "another queue", f"there it is of {other.queue}", contact, other)
    if other.outcome is not None and other.outcome != contact.outcome:
        return Difference("differs", "another outcome", f"there it is {other.outcome}", contact, other)
    if _waits_differ(contact, other, within):
        return Difference("differs", "another wait", f"there it waited {other.wait_s:g} s", contact, other)
    return None


def _unknown_here(other: Other, alike: int, *, is_alone: bool) -> Difference:
    """Why a contact of the list is none of ours. It is alone if none of ours joined at about its moment; the list has
    so many alike.
    """
    why, detail = "unknown here", "no contact of any queue joined at about this moment"
    if not is_alone and alike > 1:
        why = "more there"
        detail = f"the list has {alike} like it, more than joined here at about this moment"
    elif not is_alone:
        detail = "what joined at about this moment is other contacts of the list, or of another queue"
    return Difference("only there", why, detail, None, other)


def _only_there(explained: Explained, contact: Contact, other: Other) -> Difference:
    """Why a contact of the list that is one of ours is not counted here."""
    question = explained.question
    if not question.first <= contact.call_date <= question.last:
        why, detail = "another day", f"here it is of {contact.call_date}, by the customer's clock"
    elif contact.queue not in question.queues:
        why, detail = "another queue", f"here it joined {contact.queue}"
    elif other.outcome is not None and other.outcome != contact.outcome:
        why, detail = "another outcome", f"here it is {contact.outcome}"
    elif _is_short(contact):
        why = "short"
        detail = f"here it is short: abandoned after {contact.wait_s:g} s, before {contact.short_abandon_s} s"
    elif question.measure.is_of_threshold and _is_late(contact):
        why = "another threshold"
        detail = f"here it waited {contact.wait_s:g} s, and the threshold is {contact.service_level_s} s"
    elif not contact.is_asked:
        why, detail = "not shown", "here its quarter-hour does not show what the number needs"
    else:
        why, detail = (
            contact.outcome,
            f"here it is {contact.outcome}, which {question.measure.name} does not count",
        )
    return Difference("only there", why, detail, contact, other)


def _only_here(
    explained: Explained, contact: Contact, there: Sequence[Other], *, is_alone: bool
) -> Difference:
    """Why the list may lack a contact that is counted here, by what usually distinguishes two systems. It is alone if
    the list has none at about its moment.
    """
    longest = max((other.wait_s for other in there if other.wait_s is not None), default=None)
    if contact.came_from is not None and contact.came_after == "answered":
        why, detail = "transferred", f"its call was answered in {contact.came_from} before"
    elif contact.came_from is not None:
        why, detail = "overflowed", f"its call was in {contact.came_from} before, {contact.came_after}"
    elif _is_of_other_day(explained, contact, there):
        day = contact.joined_at.astimezone(UTC).date()
        why, detail = "another day", f"by UTC it is of {day}, and the list has none of the hours between"
    elif _is_short(contact):
        why, detail = "short", f"abandoned after {contact.wait_s:g} s"
    elif _outweighs(explained, contact, longest):
        why, detail = (
            "another threshold",
            f"it waited {contact.wait_s:g} s, longer than any of the list ({longest:g} s)",
        )
    elif contact.outcome not in ("answered", "abandoned"):
        why, detail = contact.outcome, f"it is {contact.outcome}: the list may have no such contacts"
    else:
        why = "unknown there"
        detail = f"the list has {'no contact' if is_alone else 'fewer contacts'} at about this moment"
    return Difference("only here", why, detail, contact, None)


def _is_short(contact: Contact) -> bool:
    return contact.outcome == "abandoned" and (contact.wait_s or 0) < contact.short_abandon_s


def _is_late(contact: Contact) -> bool:
    return contact.outcome in ("answered", "abandoned") and (contact.wait_s or 0) > contact.service_level_s


def _outweighs(explained: Explained, contact: Contact, longest: float | None) -> bool:
    return (
        explained.question.measure.is_of_threshold
        and longest is not None
        and contact.wait_s is not None
        and contact.wait_s > longest
    )


def _is_of_other_day(explained: Explained, contact: Contact, there: Sequence[Other]) -> bool:
    """Whether the contact is of another day by UTC, and the list seems to be cut by UTC."""
    first, last = explained.question.first, explained.question.last

    def is_outside(day: date) -> bool:
        return not first <= day <= last

    return is_outside(contact.joined_at.astimezone(UTC).date()) and not any(
        is_outside(other.moment.date()) for other in there
    )


def _hint(ours: Sequence[Contact], there: Sequence[Other], within: timedelta) -> str | None:
    """Whether the clocks of the two sides differ: by which half hours most contacts of the list have one of ours."""
    moments = [one.joined_at for one in ours]

    def met(shift: timedelta) -> int:
        at = ((other.moment + shift, bisect_left(moments, other.moment + shift - within)) for other in there)
        return sum(n < len(moments) and moments[n] <= moment + within for moment, n in at)

    shifts = [timedelta(minutes=30 * step) for step in range(-28, 29) if step]
    best = max(shifts, key=met)
    if 2 * met(best) < len(there):
        return None
    hours = best.total_seconds() / 3600
    moved = f"{abs(hours):g} hours {'later' if hours > 0 else 'earlier'}"
    return f"{met(best)} of its contacts would be ours {moved}: is its time zone right?"
