"""The version of this emulator's code, by which a running emulator of other code is recognised."""

import hashlib
from functools import cache
from pathlib import Path

from tableau_emulator import __version__

_FOLDER = Path(__file__).parent


@cache
def version() -> str:
    """The release and a hash of the files of the package, since those also change between releases."""
    digest = hashlib.sha256()
    for file in sorted(_FOLDER.rglob("*")):
        if file.suffix in (".py", ".sql"):
            content = file.read_bytes()
            digest.update(f"{file.relative_to(_FOLDER)} {len(content)}\n".encode() + content)
    return f"{__version__}+{digest.hexdigest()[:12]}"
