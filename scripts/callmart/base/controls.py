"""Control characters: those that steer a terminal, begin a line, or change the direction of writing."""

import re

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
RE2 = r"[\p{Cc}\x{2028}-\x{202e}\x{2066}-\x{2069}]"  # the same for DuckDB
ARE = r"[\u0001-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]"  # and for PostgreSQL


def shown(text: str) -> str:
    """The text with its control characters as escapes: they are shown, not done."""
    return CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
