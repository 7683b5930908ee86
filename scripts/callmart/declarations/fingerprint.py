"""A hash that changes with what the project declares: what was found in it before is then looked for again."""

from hashlib import sha256
from pathlib import Path

from callmart.base import declared

# The code that says what is right in a declaration.
RULES = (Path(declared.__file__).parent, Path(__file__).parent)


def of(*places: Path) -> str:
    """Return a hash of the contents of files, and of all files in folders, and of the rules."""
    files = [
        file for place in (*RULES, *places) for file in (place.rglob("*") if place.is_dir() else [place])
    ]
    digest = sha256()
    for file in sorted(files):
        if file.is_file() and file.suffix != ".pyc":
            digest.update(f"{file}\n{sha256(file.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()
