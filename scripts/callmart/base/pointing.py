"""Whom a column can point to, and which columns must say so. The database has the same lists: schema.py fills them into
objects/pointing.sql, where dbt's macros ask for them.
"""

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

NOBODY: tuple[Whom, ...] = ("nobody",)
