"""One attack, as data: what it tries, on what, and how PostgreSQL must answer."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["look", "act"]
# The targets of an attack, and so how often an attacker makes it. `server`: once. `mart`, `dated mart`, `closed mart`:
# for each mart that its contract opens, each of these with a day, each that the contract does not open. `relation`: for
# each relation that it may not read. `table`: for each that it may not write. `columns`: for each that it may read in
# part. `role`: for each other role. `doorway`: by the duty that lands files, with rows of some customer, of one under
# standard, or of one whose agents are anonymous.
Aim = Literal[
    "server", "mart", "dated mart", "closed mart", "relation", "table", "columns", "role",
    "doorway", "standard's doorway", "anonymous doorway",
]  # fmt: skip
Via = Literal["rows", "notices", "error"]

REFUSED = "42501"
NOT_INSTALLED = ("0A000", "58P01")
# The errors with which PostgreSQL refuses to do to a view what is possible only with a table.
NO_TABLE = (REFUSED, "0A000", "42703", "42809", "55000")
# The control if not even the owner may run the attack: a statement that everybody may run.
ALLOWED = "set local work_mem = '8MB'"


@dataclass(frozen=True)
class Attack:
    """One attack. Its SQL has texts to fill in: {mart} (the relation that readers read), {table} (the table with the
    rows), {own}, {other} and so on. Statements are separated by a semicolon and a new line.
    """

    name: str
    tries: str
    family: str
    kind: Kind
    aim: Aim
    sql: str
    control: str | None = None  # what the owner runs; None means the same statement
    via: Via = "rows"  # how a look gets its answer: from the returned rows, from notices, or from an error
    own: bool = True  # whether a look may get the attacker's own rows
    refusals: tuple[str, ...] = (REFUSED,)
