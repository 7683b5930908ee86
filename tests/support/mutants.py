"""Takes away what protects persons, one thing at a time, in a copy of the project, and looks whether a test finds it.

    .venv/bin/python tests/support/mutants.py          all of tests/data/mutants.yml, and first the tests without any
    .venv/bin/python tests/support/mutants.py 3 17     these, by their place in the list

It takes an hour on two cores, so it is run by hand.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import yaml
from rich.console import Console

ROOT = Path(__file__).parents[2]
LIST = ROOT / "tests" / "data" / "mutants.yml"
OUT = Console(highlight=False, soft_wrap=True, markup=False)


class Mutant(NamedTuple):
    """`there` stands once in the file and becomes `instead`; the tests of `found_by` have to notice."""

    mutant: str
    file: str
    there: str
    instead: str
    found_by: str


def mutants() -> list[Mutant]:
    """The mutants of the list."""
    return [Mutant(**one) for one in yaml.safe_load(LIST.read_text(encoding="utf-8"))]


def main(numbers: list[int]) -> int:
    """Try mutants; returns how many survived."""
    found = mutants()
    with tempfile.TemporaryDirectory(prefix="callmart-mutants-") as folder:
        copy = _copied(Path(folder) / "project")
        for tests in sorted({one.found_by for one in found}) if not numbers else ():
            if _first_failure(copy, tests):
                raise SystemExit(f"{tests} fails without a mutant")
        survivors = [
            number for number in numbers or range(len(found)) if not _is_found(copy, number, found[number])
        ]
    OUT.print(f"{len(numbers or found)} mutants, {len(survivors)} survived")
    return len(survivors)


def _is_found(copy: Path, number: int, mutant: Mutant) -> bool:
    file = copy / mutant.file
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace(mutant.there, mutant.instead), encoding="utf-8")
    try:
        failure = _first_failure(copy, mutant.found_by)
    finally:
        file.write_text(text, encoding="utf-8")
    OUT.print(f"{number} {mutant.mutant}: {failure or 'SURVIVED'}")
    return bool(failure)


def _first_failure(copy: Path, tests: str) -> str:
    """What pytest says of the first test that fails; an empty text if all pass."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-n", "0", "-x", "-q", "-p", "no:cacheprovider", "-m", "not external", tests],
        cwd=copy, env=os.environ | {"PYTHONPATH": str(copy / "scripts")}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    said = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    if done.returncode != (1 if said else 0):  # as where a fixture of all tests can't be imported
        raise SystemExit(f"{tests} could not be run:\n{done.stdout}{done.stderr}")
    return said[0] if said else ""


def _copied(place: Path) -> Path:
    """A copy of what git knows."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in filter(None, listed.stdout.split("\0")):
        target = place / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, target)
    return place


if __name__ == "__main__":
    sys.exit(min(1, main([int(number) for number in sys.argv[1:]])))
