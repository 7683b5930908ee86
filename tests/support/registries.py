"""Registries as tests write them."""

from datetime import date
from pathlib import Path

Span = tuple[str, date, date | None]

ONE = "customers:\n  - id: 1\n    name: One\n"
LONG_AGO = date(2020, 1, 1)
OPEN: Span = ("detailed", LONG_AGO, None)


def contracts(*spans: Span) -> str:
    """The contracts of a customer, in YAML's short form."""
    written = (
        f"{{option: {option}, from: {first}{f', until: {until}' if until else ''}}}"
        for option, first, until in spans
    )
    return f"contracts: [{', '.join(written)}]"


def write(folder: Path, text: str | bytes) -> Path:
    file = folder / "registry.yml"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return file
