"""The words of a column that says yes or no: `callmart check` lets no others be declared, and reports show them."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from callmart.base.declared import Caption
from callmart.base.settings import Settings
from callmart.declarations import captions
from callmart.declarations.captions import Captions
from callmart.reports import weeks
from callmart.reports.drawing import Declared
from callmart.reports.language import Language
from callmart.reports.scene import Scene
from today import YESTERDAY
from wrong_project import WrongProject, wrong_project

pytestmark = pytest.mark.dated

OPEN = '    "true": {nl: Binnen openingstijden, en: Within opening hours}'
WEEK = weeks.of(YESTERDAY)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WrongProject:
    return wrong_project(tmp_path, monkeypatch)


def test_a_word_that_is_neither_yes_nor_no_is_a_mistake(project: WrongProject) -> None:
    line = project.change("captions.yml", OPEN, OPEN.replace('"true"', "tru"))
    sentence = "open says yes or no; write true, or another of false, in quotation marks"
    assert project.check() == [f"captions.yml line {line}: values.open.tru: {sentence}"]


def test_a_bare_true_is_the_word_as_well(project: WrongProject) -> None:
    project.change("captions.yml", OPEN, OPEN.replace('"true"', "true"))
    assert project.check() == []
    assert captions.read(project.folder / "captions.yml").values["open"].keys() == {"true", "false"}


def test_a_report_shows_the_words_of_a_column_of_ones_own_and_else_yes_and_no() -> None:
    """As Tableau does, by its aliases."""
    known, period = Declared.of(Settings()), weeks.counted(WEEK, WEEK.sunday, [])
    weekend = {
        "true": Caption(nl="In het weekend", en="At the weekend"),
        "false": Caption(nl="Door de week", en="On weekdays"),
    }
    words = Captions(known.marts.values(), captions.File(order=[], values={"weekend": weekend}))
    scene = Scene(cast(Any, SimpleNamespace()), period, Language("nl"), known.marts, known.metrics, words)
    said = [scene.label(grain, value) for grain in ("weekend", "other") for value in (True, False, None)]
    assert said == ["In het weekend", "Door de week", "", "ja", "nee", ""]
    assert scene.label("open", None) == "Geen openingstijden bekend"
