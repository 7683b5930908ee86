"""The rights of persons, and what each kind of person has of them.

The database takes no other request (objects/privacy.sql). docs/privacy.md has this table: run
`.venv/bin/python -m callmart.privacy.decided` to write it there.
"""

from collections.abc import Iterator, Mapping
from typing import Literal, NamedTuple, get_args

from callmart.base.errors import UserError
from callmart.base.person import Kind

# lifting: an objection, a restriction or a withdrawal is taken back.
Right = Literal[
    "erasure", "access", "portability", "rectification", "objection", "restriction", "withdrawal", "lifting"
]

# After these nothing of the person may be left where they reach.
TAKING_AWAY: tuple[Right, ...] = ("erasure", "objection", "restriction", "withdrawal")


class Cells(NamedTuple):
    """What is done for each kind of person who has this right: the right itself, or the one that serves the purpose;
    None if nothing does. And why.
    """

    agent: Right | None
    caller: Right | None
    contact: Right | None
    recipient: Right | None
    why: str


def _all(right: Right, why: str) -> Cells:
    return Cells(right, right, right, right, why)


def _of_agents(right: Right, instead: Right | None, why: str) -> Cells:
    return Cells(right, instead, instead, instead, why)


DECIDED: Mapping[Right, Cells] = {
    "erasure": _all("erasure", "whoever has data here can have it erased"),
    "access": _all("access", "whoever has data here can see it"),
    "portability": _all("portability", "it is the package of an access, for a machine to read"),
    "rectification": Cells(
        "rectification",
        "erasure",
        "rectification",
        "rectification",
        "of a caller there is the key of a number, in which nothing can be corrected",
    ),
    "objection": _of_agents(
        "objection", "erasure", "only agents are shown; a caller is counted, and the others are written to"
    ),
    "restriction": _of_agents("restriction", "erasure", "only who is shown can stop being shown"),
    "withdrawal": _of_agents(
        "withdrawal", "erasure", "without consent nothing is left to do with a number or an address"
    ),
    "lifting": _of_agents("lifting", None, "it ends an objection, a restriction or a withdrawal"),
}


def has(right: Right, kind: Kind) -> bool:
    """Whether a kind of person has a right."""
    return _decided(right, kind) == right


def require(right: Right, kind: Kind) -> None:
    """Raise UserError, which says what to enter instead, if a kind of person does not have a right."""
    if has(right, kind):
        return
    instead = _decided(right, kind)
    remedy = (
        f"enter the letter with `--right {instead}`" if instead else "there is nothing to take back; say so"
    )
    raise UserError(f"a {kind} has no {right}, because {DECIDED[right].why}: {remedy}")


def _decided(right: Right, kind: Kind) -> Right | None:
    cells: Mapping[str, Right | None] = DECIDED[right]._asdict()
    return cells[kind]


def pairs() -> Iterator[tuple[Right, Kind]]:
    """Each right with each kind of person who has it."""
    for right in get_args(Right):
        for kind in get_args(Kind):
            if has(right, kind):
                yield right, kind


def table() -> Iterator[str]:
    """The table in Markdown."""
    yield f"| right | {' | '.join(get_args(Kind))} | why |"
    yield f"|{' --- |' * (len(get_args(Kind)) + 2)}"
    for right, (*cells, why) in DECIDED.items():
        yield f"| {right} | {' | '.join(cell or 'nothing' for cell in cells)} | {why} |"
