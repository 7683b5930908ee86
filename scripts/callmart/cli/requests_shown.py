"""How requests of persons, their plans and their evidence are shown."""

from collections.abc import Sequence
from itertools import groupby

from rich import box
from rich.table import Table

from callmart.base.settings import settings
from callmart.cli.terminal import out, plain
from callmart.land.places import Cell
from callmart.privacy.register import Correction, Evidence, Request
from callmart.privacy.reporting import Kept

_OF_PROOF = ("left", "to_attest")  # the counts of a proof that are not of what was looked at

_CHANGES = {
    "hidden": "what agents did is no longer shown",
    "staffing": "staffing",
    "callers": "callers and repeat callers; in a list of contacts their keys and numbers",
}


def print_requests(requests: Sequence[Request]) -> None:
    """Print a row per request, with the days that are left."""
    table = _table("request", "customer", "right", "about", "answer by", "left", "state", "next")
    for one in requests:
        table.add_row(
            str(one.number),
            str(one.customer_id),
            one.asked_right,
            one.kind or "",
            str(one.due) if one.days_left is not None else "",
            f"[{colour(one)}]{one.left}[/]" if one.left else "",
            f"blocked: {plain(one.blocked_place)}" if one.blocked_place else one.state,
            plain(one.refused_why or one.todo),
        )
    out.print(table)


def print_plan(found: Request, evidence: Sequence[Evidence]) -> None:
    """Print what a plan would do, in counts."""
    assert found.until is not None
    until = found.until.astimezone(settings().zone)
    out.print(
        f"request {found.number} of customer {found.customer_id}: {found.asked_right} of "
        f"{'an' if found.kind == 'agent' else 'a'} {found.kind}, up to {until:%Y-%m-%d %H:%M}; opened by "
        f"{found.opened_by}, planned by {found.planned_by}; answer it by {found.due} ({found.left})",
        soft_wrap=True,
    )
    print_counts(evidence, "find")


def print_counts(evidence: Sequence[Evidence], *steps: str) -> None:
    """Print what was found or treated: a row per thing, and the places without anything in a line."""
    told = [one for one in evidence if one.step in steps]
    table = _table("place", "what", "count")
    for one in told:
        for what, counted in one.counts.items():
            table.add_row(plain(one.place), plain(what), f"{counted:,}")
    if table.row_count:
        out.print(table)
    if empty := [one.place for one in told if not one.counts]:
        out.print(f"nothing in {', '.join(empty)}", soft_wrap=True)


def print_corrections(corrections: Sequence[Correction]) -> None:
    """Print a row per correction of whose events are."""
    if not corrections:
        out.print("no corrections")
        return
    table = _table("request", "customer", "events of", "are of", "from", "until")
    for one in corrections:
        since, until = (moment.astimezone(settings().zone) for moment in (one.since, one.until))
        table.add_row(
            str(one.request), str(one.customer_id), one.mistaken, one.corrected,
            f"{since:%Y-%m-%d %H:%M}", f"{until:%Y-%m-%d %H:%M}",
        )  # fmt: skip
    out.print(table)


def print_cells(cells: Sequence[Cell]) -> None:
    """Print the queues and days whose figures change, as spans of days."""
    if not cells:
        out.print("no figure of a queue changes")
        return
    table = _table("queue", "what changes", "days", "from", "to")
    for (change, queue), own in groupby(sorted(cells), key=lambda cell: (cell.change, cell.queue)):
        days = [cell.call_date for cell in own]
        table.add_row(plain(queue), _CHANGES[change], str(len(days)), str(min(days)), str(max(days)))
    out.print(table)
    out.print("all other figures stay, and the counts of contacts still show the difference")


def print_proof(evidence: Sequence[Evidence]) -> None:
    """Print what was looked at and what is left, a row per place."""
    table = _table("place", "looked at", "left", "a person attests")
    for one in evidence:
        if one.step == "prove":
            left, waits = one.counts.get("left", 0), one.counts.get("to_attest", 0)
            looked = (f"{counted:,} {what}" for what, counted in one.counts.items() if what not in _OF_PROOF)
            table.add_row(
                plain(one.place), plain(", ".join(looked)), f"{left:,}", str(waits or ""),
                style="bold red" if left else "",
            )  # fmt: skip
    out.print(table)


def print_kept(kept: Sequence[Kept]) -> None:
    """Print what is kept of a customer, and of whom: a row per table."""
    table = _table("table", "what", "rows", "of whom", "from", "to", "kept")
    for one in kept:
        whom = ", ".join(f"{counted:,} {what}" for what, counted in one.persons.items())
        days = ("" if day is None else str(day) for day in (one.first, one.last))
        table.add_row(one.table, plain(one.caption), f"{one.rows:,}", whom or "nobody", *days, one.kept)
    out.print(table)


def colour(one: Request) -> str:
    """The colour of the days that are left."""
    if one.warning is None:
        return "green"
    return "bold red" if one.warning < 0 else "red" if one.warning <= 3 else "yellow"


def _table(*columns: str) -> Table:
    """A table without a frame; columns of numbers stand on the right."""
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", show_edge=False)
    for column in columns:
        numeric = column in ("request", "customer", "rows", "count", "left", "days", "a person attests")
        table.add_column(column, justify="right" if numeric else "left", overflow="fold")
    return table
