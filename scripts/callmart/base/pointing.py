"""Whom a column can point to, which columns must say so, and which persons a mart may show. The database has the same
lists: schema.py fills them into objects/pointing.sql, where dbt's macros ask for them.
"""

from collections.abc import Mapping
from typing import Literal, get_args

Whom = Literal["agent", "caller", "contact", "recipient", "staff", "nobody"]
WHOM: tuple[Whom, ...] = get_args(Whom)

# A column of any other type can contain a name, a telephone number or a key, so it must say whose. That includes
# `bigint` and `numeric`: a telephone number fits into them, and keys of calls are bigint.
COUNTS_AND_MOMENTS = (
    "smallint",
    "integer",
    "double precision",
    "boolean",
    "date",
    "timestamp with time zone",
    "timestamp without time zone",
)

# The persons that a mart of a group may show. Only a detailed contract opens the group `agent`, and only the order of a
# list of contacts the group `contact`. A group that is not listed is open under every contract, and shows nobody.
SHOWN: Mapping[str, tuple[Whom, ...]] = {
    "agent": ("agent", "caller", "nobody"),
    "contact": ("caller", "nobody"),
}
NOBODY: tuple[Whom, ...] = ("nobody",)
