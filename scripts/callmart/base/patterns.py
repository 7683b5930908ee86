"""Patterns of the names of tables, paths and kinds of content."""

import re
from functools import cache

_WILD = {"**/": r"(?:[^/]+/)*", "*": r"[^/]*", "#": r"[0-9A-F]+"}


@cache
def matching(patterns: tuple[str, ...]) -> re.Pattern[str]:
    """What matches a whole name if one of the patterns does: `*` is anything within a name, `#` a number, which can be
    hexadecimal, `**/` any folders.
    """
    return re.compile(
        "|".join(
            "".join(_WILD.get(piece, re.escape(piece)) for piece in re.split(r"(\*\*/|\*|#)", pattern))
            for pattern in patterns
        )
    )


def tops(patterns: tuple[str, ...]) -> re.Pattern[str]:
    """What matches the first part of a name, up to a slash, if one of the patterns can match the whole name."""
    return matching(tuple(pattern.partition("/")[0] for pattern in patterns))
