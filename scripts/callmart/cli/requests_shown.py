"""How requests of persons, their plans and their evidence are shown."""

import json
from collections.abc import Sequence
from itertools import groupby

from callmart.base.counting import several
from callmart.base.settings import settings
from callmart.cli.terminal import out, plain, show, table
from callmart.land.places import Cell
from callmart.privacy.register import CorrectionShown, Evidence, Logged, Request
from callmart.privacy.reporting import Stock

_NUMBERS = ("request", "customer", "rows", "count", "left", "days", "a person attests")
_OF_PROOF = ("left", "to_attest")  # the counts of a proof that are not of what was looked at

_CHANGES = {
    "hidden": "what agents did is no longer shown",
    "staffing": "staffing",
    "callers": "callers and repeat callers; in a list of contacts their keys and numbers",
}
_SHOWN_AGAIN = _CHANGES | {"hidden": "what agents did is shown again"}


def print_requests(requests: Sequence[Request]) -> None:
    """Print a row per request, with the days that are left."""
    rows = table(
        "request", "customer", "right", "about", "answer by", "left", "state", "next", right=_NUMBERS
    )
    for one in requests:
        rows.add_row(
            str(one.number),
            str(one.customer_id),
            one.asked_right,
            one.kind or "",
            str(one.due) if one.days_left is not None else "",
            f"[{colour(one)}]{one.left}[/]" if one.left else "",
            f"blocked: {plain(one.blocked_place)}" if one.blocked_place else one.state,
            plain(one.refused_why or one.todo),
        )
    show(rows)


def print_plan(found: Request, evidence: Sequence[Evidence]) -> None:
    """Print what a plan would do, in counts."""
    assert found.until is not None
    until = found.until.astimezone(settings().zone)
    out.print(
        f"request {found.number} of customer {found.customer_id}: {found.asked_right} of "
        f"{'an' if found.kind == 'agent' else 'a'} {found.kind}, up to {until:%Y-%m-%d %H:%M}; opened by "
        f"{found.opened_by}, planned by {found.planned_by}; answer it by {found.due} ({found.left})"
    )
    print_counts(evidence, "find")


def print_counts(evidence: Sequence[Evidence], *steps: str) -> None:
    """Print what was found or treated: a row per thing, and the places without anything in a line."""
    told = [one for one in evidence if one.step in steps]
    rows = table("place", "what", "count", right=_NUMBERS)
    for one in told:
        for what, counted in one.counts.items():
            rows.add_row(plain(one.place), plain(what), f"{counted:,}")
    if rows.row_count:
        show(rows)
    if empty := [one.place for one in told if not one.counts]:
        out.print(f"nothing in {', '.join(empty)}")


def print_log(log: Sequence[Logged]) -> None:
    """Print what was done with a request: a row per step, with the login that took it."""
    rows = table("when", "who", "what", "")
    for one in log:
        told = (
            f"{name}: {value if isinstance(value, str) else json.dumps(value)}"
            for name, value in one.details.items()
        )
        moment = one.at.astimezone(settings().zone)
        rows.add_row(f"{moment:%Y-%m-%d %H:%M:%S}", plain(one.actor), one.step, plain(", ".join(told)))
    show(rows)


def print_corrections(corrections: Sequence[CorrectionShown]) -> None:
    """Print a row per correction of whose events are."""
    if not corrections:
        out.print("no corrections")
        return
    rows = table("request", "customer", "events of", "are of", "from", "until", right=_NUMBERS)
    for one in corrections:
        since, until = (moment.astimezone(settings().zone) for moment in (one.since, one.until))
        rows.add_row(
            str(one.request), str(one.customer_id), one.mistaken, one.corrected,
            f"{since:%Y-%m-%d %H:%M}", f"{until:%Y-%m-%d %H:%M}",
        )  # fmt: skip
    show(rows)


def print_cells(cells: Sequence[Cell], *, again: bool) -> None:
    """Print the queues and days whose figures change, as spans of days. `again`: what was hidden is shown again."""
    if not cells:
        out.print("no figure of a queue changes")
        return
    rows = table("queue", "what changes", "days", "from", "to", right=_NUMBERS)
    for (change, queue), own in groupby(sorted(cells), key=lambda cell: (cell.change, cell.queue)):
        days = [cell.call_date for cell in own]
        what = (_SHOWN_AGAIN if again else _CHANGES)[change]
        rows.add_row(plain(queue), what, str(len(days)), str(min(days)), str(max(days)))
    show(rows)
    stay = "all other figures stay"
    out.print(stay if again else f"{stay}, and the counts of contacts still show the difference")


def print_proof(evidence: Sequence[Evidence]) -> None:
    """Print what was looked at and what is left, a row per place."""
    rows = table("place", "looked at", "left", "a person attests", right=_NUMBERS)
    for one in evidence:
        if one.step == "prove":
            left, waits = one.counts.get("left", 0), one.counts.get("to_attest", 0)
            looked = (
                several(counted, what.removesuffix("s"))
                for what, counted in one.counts.items()
                if what not in _OF_PROOF
            )
            rows.add_row(
                plain(one.place), plain(", ".join(looked)), f"{left:,}", str(waits or ""),
                style="bold red" if left else "",
            )  # fmt: skip
    show(rows)


def print_kept(kept: Sequence[Stock]) -> None:
    """Print what is kept of a customer, and of whom: a row per table."""
    rows = table("table", "what", "rows", "of whom", "from", "to", "kept", right=_NUMBERS)
    for one in kept:
        whom = ", ".join(several(counted, what.removesuffix("s")) for what, counted in one.persons.items())
        days = ("" if day is None else str(day) for day in (one.first, one.last))
        rows.add_row(one.table, plain(one.caption), f"{one.rows:,}", whom or "nobody", *days, one.kept)
    show(rows)


def colour(one: Request) -> str:
    """The colour of the days that are left."""
    if one.warning is None:
        return "green"
    return "bold red" if one.warning < 0 else "red" if one.warning <= 3 else "yellow"
