"""What an erasure does in each place to each kind of person. Nothing is left out: a place without its row is refused by
a test.

docs/privacy.md has this table, and that of base/rights.py. Run `.venv/bin/python -m callmart.privacy.decided` to write
them there.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal, NamedTuple, get_args

from callmart.base import declared, rights
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
    "extracts": Cells(
        "written anew", "written anew", "searched", "searched", "they have the rows of the marts"
    ),
    "drawn reports": _all(
        "written anew", "all of the customer's are removed, and drawn again when somebody asks"
    ),
    "outbox": _all(
        "written anew", "all of the customer's mails are removed; those that went out are elsewhere"
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


def table() -> Iterator[str]:
    """The table in Markdown."""
    yield f"| place | {' | '.join(get_args(Kind))} | why |"
    yield f"|{' --- |' * (len(get_args(Kind)) + 2)}"
    for place, cells in DECIDED.items():
        yield f"| {place} | {' | '.join(cells)} |"


def write(file: Path) -> None:
    """Write the tables into the file, each between its markers. Raises UserError if one is missing."""
    for name, lines in (("rights", rights.table()), ("places", table())):
        begin, end = f"<!-- {name}, written by {COMMAND} -->\n", f"<!-- end of {name} -->\n"
        before, _, rest = file.read_text(encoding="utf-8").partition(begin)
        _, found, after = rest.partition(end)
        if not found:
            raise declared.wrong(
                file, f"the {name}", f"put `{begin.strip()}` and `{end.strip()}` around them"
            )
        content = "\n".join(lines)
        file.write_text(f"{before}{begin}\n{content}\n\n{end}{after}", encoding="utf-8")


if __name__ == "__main__":
    with saying_mistakes():
        write(FILE)
