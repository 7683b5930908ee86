"""What the README shows works as it is written there."""

import re
from pathlib import Path

import pytest

import tableau_emulator
from emulated import World
from tableau_emulator import client

README = (Path(tableau_emulator.__file__).parent / "README.md").read_text()


def examples(heading: str) -> list[str]:
    """The Python of a section."""
    section = README.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return re.findall(r"```python\n(.*?)```", section, re.DOTALL)


def test_the_first_minute(
    here: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "token").write_text(here.emulator.token)
    monkeypatch.chdir(tmp_path)
    program = "\n".join(examples("The first minute"))
    places = (("http://127.0.0.1:8765", here.emulator.url), ("/tmp/tableau", str(tmp_path)))
    assert all(place in README for place, _ in places)
    for place, real in places:
        program = program.replace(place, real)
    exec(program, {})
    promised = re.findall(r"print\(.*\)  # (.*)", program)
    assert capsys.readouterr().out.splitlines() == promised == ["['Calls']"] * 2


def test_the_faults(here: World) -> None:
    (program,) = examples("Faults")
    desk = client.Desk(here.emulator)
    exec(program, {"desk": desk})
    assert len(desk.pending()) == len(program.splitlines())
