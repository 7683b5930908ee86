"""Counts of things in sentences."""


def several(count: int, thing: str) -> str:
    """How many there are of a thing: 1 column, 2 columns."""
    return f"{count:,} {thing}{'' if count == 1 else 's'}"
