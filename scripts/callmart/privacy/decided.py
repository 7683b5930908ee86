"""What is decided about each place: what an erasure does there to each kind of person, what leaving an agent out does,
and what a package has of it. Nothing is missing: a place without its row is refused by a test.

docs/privacy.md has these tables, and that of base/rights_of_persons.py. Run
`.venv/bin/python -m callmart.privacy.decided` to write them there.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Literal, NamedTuple, get_args

from callmart.base import declared, rights_of_persons
from callmart.base.errors import saying_mistakes
from callmart.base.person import Kind
from callmart.base.settings import PROJECT

FILE = PROJECT / "docs" / "privacy.md"
COMMAND = ".venv/bin/python -m callmart.privacy.decided"

# erased: the person's rows or accounts go, or change. written anew: without the person. searched: nothing of such a
# person gets there, and a hit keeps the request open. attested: callmart can't change it, and a person confirms.
Decision = Literal["erased", "written anew", "searched", "attested"]


class Cells(NamedTuple):
    """The decision for each kind of person, and why nothing of some of them is there."""

    agent: Decision
    caller: Decision
    contact: Decision
    recipient: Decision
    why: str


def _all(decision: Decision, why: str) -> Cells:
    return Cells(decision, decision, decision, decision, why)


DECIDED: Mapping[str, Cells] = {
    "doorway": _all("written anew", "it is empty unless a file lands; then the erasure waits"),
    "build": _all("written anew", "what was computed and not opened is discarded"),
    "events": Cells("erased", "erased", "searched", "searched", "an event knows no address"),
    "registry": Cells("erased", "searched", "erased", "erased", "it has no numbers of callers"),
    "marts": Cells(
        "erased", "written anew", "searched", "searched", "a mart shows nobody but agents, and counts callers"
    ),
    "environments": _all(
        "written anew", "those that hold the customer are dropped; whoever needs one makes it anew"
    ),
    "extracts": Cells(
        "written anew", "written anew", "searched", "searched", "they have the rows of the marts"
    ),
    "drawn reports": _all(
        "written anew", "all of the customer's are removed, and drawn again when somebody asks"
    ),
    "outbox": _all(
        "written anew",
        "all of the customer's mails are removed, and the next run writes those of last week; those that went out are "
        "elsewhere",
    ),
    "packages": _all("erased", "what was made for a request of the person is removed"),
    "tableau content": Cells(
        "written anew",
        "written anew",
        "searched",
        "searched",
        "it has the rows of the marts; what others have made of it stays until they remove it",
    ),
    "tableau users": Cells(
        "attested", "attested", "erased", "erased", "callmart gives accounts to contacts and recipients only"
    ),
    "emulator": _all("written anew", "its database keeps what is deleted until then"),
    "registry of customers": _all("searched", "names of customers, queues and lines"),
    "landed files": _all("searched", "keys and counts of files"),
    "usage": _all("searched", "counts over all customers"),
    "books": _all("searched", "days, counts and codes"),
    "register": _all("searched", "keyed hashes and counts"),
    "checks and logs": _all("searched", "counts and code; values are never written there"),
    "keys and secrets": _all("searched", "keys, passwords, and the ledger's salted digests"),
    "demo": _all("searched", "made-up events"),
    "temporary files": _all("written anew", "what a process that was killed has left is removed"),
    "registry file": _all("searched", "a person edits it, callmart never does"),
    "elsewhere": _all("attested", "the telephone system, raw files, mails and downloads"),
    "server files": _all(
        "written anew", "rows that are deleted stay in files; a server elsewhere is attested"
    ),
}


# What leaving an agent out does in a place, for an objection, a restriction or a withdrawal; a lifting undoes it. left
# out: the agent's rows go. written anew: without the agent. name dropped: the row stays. discarded: computed again.
LeavingOut = Literal["left out", "written anew", "name dropped", "discarded", "stays"]


class LeftOut(NamedTuple):
    """The decision for an agent who is left out, and why."""

    decision: LeavingOut
    why: str


LEFT_OUT: Mapping[str, LeftOut] = {
    "doorway": LeftOut("stays", "what lands, lands as before"),
    "build": LeftOut("discarded", "it was computed with the agent"),
    "events": LeftOut("stays", "the agent's calls count in queues, and everything can be shown again"),
    "registry": LeftOut(
        "name dropped",
        "id and address as well; no registry file and no landing brings them back until the lifting",
    ),
    "marts": LeftOut(
        "left out", "of those that show agents; what agents did is hidden where the agent worked"
    ),
    "environments": LeftOut("written anew", "those that hold the customer are dropped"),
    "extracts": LeftOut("written anew", "they have the rows of the marts"),
    "drawn reports": LeftOut(
        "written anew", "all of the customer's are removed, and drawn when somebody asks"
    ),
    "outbox": LeftOut(
        "written anew",
        "all of the customer's mails are removed, and the next run writes those of last week; those that went out stay",
    ),
    "packages": LeftOut("stays", "whoever asked for their own data gets it all the same"),
    "tableau content": LeftOut("written anew", "it has the rows of the marts"),
    "tableau users": LeftOut("stays", "an account is no report"),
    "emulator": LeftOut("written anew", "its database keeps what is deleted until then"),
    "registry of customers": LeftOut("stays", "names of customers, queues and lines"),
    "landed files": LeftOut("stays", "keys and counts of files"),
    "usage": LeftOut("stays", "counts over all customers"),
    "books": LeftOut("stays", "days, counts and codes"),
    "register": LeftOut("stays", "it says who is left out, by a tombstone"),
    "checks and logs": LeftOut("stays", "counts and code"),
    "keys and secrets": LeftOut("stays", "the ledger says who is left out, by a tombstone"),
    "demo": LeftOut("stays", "made-up events"),
    "temporary files": LeftOut("written anew", "what a process that was killed has left is removed"),
    "registry file": LeftOut("stays", "it may go on naming the agent"),
    "elsewhere": LeftOut("stays", "the letter says what the customer can do"),
    "server files": LeftOut("name dropped", "the events are there as well"),
}

# The places that show agents.
SHOWING = tuple(place for place, one in LEFT_OUT.items() if one.decision in ("left out", "written anew"))


# What a package for a person has of a place, whatever kind of person it is. in it: the person's rows. a copy: what is
# there is in the package from another place. nobody: nobody is there who could ask. the customer's: callmart doesn't
# have it.
InPackage = Literal["in it", "a copy", "nobody", "the customer's"]


class Packed(NamedTuple):
    """The decision for a place, and why."""

    decision: InPackage
    why: str


PACKED: Mapping[str, Packed] = {
    "doorway": Packed("a copy", "a file is there only while it lands"),
    "build": Packed("a copy", "computed from the events"),
    "events": Packed("in it", "what the telephone system told"),
    "registry": Packed("in it", "ids, names and addresses"),
    "marts": Packed("in it", "agents, and the calls of callers"),
    "environments": Packed("a copy", "events and marts of some days"),
    "extracts": Packed("a copy", "they have the rows of the marts"),
    "drawn reports": Packed("a copy", "they have the rows of the marts"),
    "outbox": Packed("a copy", "reports, and the address of the recipient"),
    "packages": Packed("a copy", "the rows of an earlier day"),
    "tableau content": Packed("a copy", "it has the rows of the marts"),
    "tableau users": Packed("a copy", "they have the addresses of the registry"),
    "emulator": Packed("a copy", "as on Tableau"),
    "registry of customers": Packed("nobody", "names of customers, queues and lines"),
    "landed files": Packed("nobody", "keys and counts of files"),
    "usage": Packed("nobody", "counts over all customers"),
    "books": Packed("nobody", "days, counts and codes; our own staff"),
    "register": Packed("in it", "the requests about the person, and those that the person made"),
    "checks and logs": Packed("nobody", "counts and code"),
    "keys and secrets": Packed("nobody", "keys, passwords, and salted digests"),
    "demo": Packed("nobody", "made-up events"),
    "temporary files": Packed("a copy", "what a process that was killed has left of Tableau's"),
    "registry file": Packed("a copy", "what the registry has"),
    "elsewhere": Packed("the customer's", "the telephone system, mails and downloads; the letter says so"),
    "server files": Packed("a copy", "the bytes of the tables"),
}


def table(heads: Iterable[str], decided: Mapping[str, tuple[str, ...]]) -> Iterator[str]:
    """A table of decisions in Markdown, a row per place."""
    names = ("place", *heads, "why")
    yield f"| {' | '.join(names)} |"
    yield f"|{' --- |' * len(names)}"
    for place, cells in decided.items():
        yield f"| {place} | {' | '.join(cells)} |"


def write(file: Path) -> None:
    """Write the tables into the file, each between its markers. Raises UserError if one is missing."""
    tables = {
        "rights": rights_of_persons.table(),
        "places": table(get_args(Kind), DECIDED),
        "left out": table(["agent"], LEFT_OUT),
        "packages": table(["in a package"], PACKED),
    }
    declared.fill(file, COMMAND, {name: "\n".join([*lines, ""]) for name, lines in tables.items()})


if __name__ == "__main__":
    with saying_mistakes():
        write(FILE)
