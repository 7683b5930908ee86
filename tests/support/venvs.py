"""Environments of other programs, each made of packages from the index."""

import re
import subprocess
import sys
from pathlib import Path

from callmart.base.settings import PROJECT


def installed(folder: Path, *packages: str, like_ours: bool = False) -> Path:
    """Where the programs of a new environment with these packages are. `like_ours` takes the versions of locks/run.txt,
    for what has to work beside callmart.
    """
    options: list[str | Path] = []
    if like_ours:
        locked = re.findall(r"^[\w.-]+==[^\\\n]+", (PROJECT / "locks/run.txt").read_text(), re.MULTILINE)
        constraints = folder.with_suffix(".txt")
        constraints.write_text("\n".join(locked))
        options = ["--constraint", constraints]
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    subprocess.run([folder / "bin" / "pip", "install", "--quiet", *options, *packages], check=True)
    return folder / "bin"
