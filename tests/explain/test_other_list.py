"""Another system's list of contacts is read as it says, or refused in a sentence that quotes nothing of it."""

from datetime import UTC, datetime
from pathlib import Path
from zipfile import ZipFile
from zoneinfo import ZoneInfo

import openpyxl
import pytest

from callmart.base.errors import UserError
from callmart.explain import other_list
from callmart.explain.other_list import Other

AMSTERDAM = ZoneInfo("Europe/Amsterdam")
HEAD = "moment,queue,outcome,wait\n"
ROW = "2026-11-24T09:59:50+01:00,q,answered,20\n"
FIRST = Other(2, datetime(2026, 11, 24, 8, 59, 50, tzinfo=UTC), "q", "answered", 20)

UNDERSTOOD = {
    "as it should be": (HEAD + ROW, None),
    "as a Dutch Excel writes it": ("\ufeff" + (HEAD + ROW).replace(",", ";").replace("\n", "\r\n"), None),
    "columns in another order": ("wait,outcome,queue,moment\n20,answered,q,2026-11-24T08:59:50Z\n", None),
    "its clock is named": (HEAD + ROW.replace("T", " ").replace("+01:00", ""), AMSTERDAM),
    "empty lines": (HEAD + ROW + ",,,\n\n", None),
}


@pytest.mark.parametrize(("text", "zone"), UNDERSTOOD.values(), ids=UNDERSTOOD)
def test_a_list_is_understood(tmp_path: Path, text: str, zone: ZoneInfo | None) -> None:
    (tmp_path / "list.csv").write_bytes(text.encode())
    assert other_list.read(tmp_path / "list.csv", zone) == [FIRST]


def test_what_it_does_not_say_is_none(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("moment\n2026-11-24T09:59:50+01:00\n2026-11-24T09:00:00+01:00\n")
    assert other_list.read(tmp_path / "list.csv", None) == [
        Other(3, datetime(2026, 11, 24, 8, tzinfo=UTC), None, None, None),
        Other(2, FIRST.moment, None, None, None),
    ]


def test_a_workbook_is_understood(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    book.active.append(["moment", "queue", "outcome", "wait"])
    book.active.append([datetime(2026, 11, 24, 9, 59, 50), "q", "answered", 20])
    book.save(tmp_path / "list.xlsx")
    assert other_list.read(tmp_path / "list.xlsx", AMSTERDAM) == [FIRST]
    with pytest.raises(UserError, match="line 2: moment has no time zone"):
        other_list.read(tmp_path / "list.xlsx", None)


WRONG = {
    "no time zone": (HEAD + "2026-11-24 09:59:50,secret,,\n", "line 2: moment has no time zone"),
    "a column too many": (
        "moment,queue,agent\n",
        "the first row calls column 3 none of moment, queue, outcome, wait",
    ),
    "a column without a name": ("moment,,queue\n", "the first row calls column 2 none of"),
    "no names": (ROW.replace("q", "secret"), "the first row calls column 1 none of"),
    "a comma in a value": (
        HEAD + ROW.replace("20\n", "20,5\n"),
        "line 2 has more values than the first row has names",
    ),
    "the first year": (
        HEAD + "0001-01-01T00:00:00+14:00,q,,\n",
        "line 2: moment is in the first or the last year of all",
    ),
    "the last year": (
        HEAD + "9999-12-31T23:59:00-12:00,q,,\n",
        "line 2: moment is in the first or the last year of all",
    ),
    "no moment": ("queue,wait\nsecret,1\n", "has not one column moment"),
    "moment twice": ("moment,moment\n", "has not one column moment"),
    "nothing": ("", "has not one column moment"),
    "no date": (HEAD + "secret,q,answered,20\n", "line 2: moment is no date and time"),
    "no moment in a row": (HEAD + ",q,answered,20\n", "line 2: moment is no date and time"),
    "another word": (
        HEAD + ROW.replace("answered", "secret"),
        "line 2: outcome is a word that callmart does not",
    ),
    "no number": (HEAD + ROW.replace("20\n", "0:20\n"), "line 2: wait is no number of seconds"),
    "below 0": (HEAD + ROW.replace(",20\n", ",-20\n"), "line 2: wait is below 0"),
    "no end": (HEAD + ROW.replace(",20\n", ",inf\n"), "line 2: wait is below 0 or without end"),
    "no text": (b"moment\n\xff\xfe\n", "can't be read as CSV in UTF-8"),
}


@pytest.mark.parametrize(("text", "said"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_said(tmp_path: Path, text: str | bytes, said: str) -> None:
    (tmp_path / "list.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError) as refused:
        other_list.read(tmp_path / "list.csv", None)
    assert said in str(refused.value)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("clock", ["2026-10-25 02:30:00", "2026-03-29 02:30:00"], ids=["twice", "never"])
def test_an_hour_that_is_not_one_hour_is_refused(tmp_path: Path, clock: str) -> None:
    (tmp_path / "list.csv").write_text(f"moment\n{clock}\n")
    with pytest.raises(UserError, match="line 2: moment is not one moment in Europe/Amsterdam"):
        other_list.read(tmp_path / "list.csv", AMSTERDAM)


def test_what_is_no_workbook_is_refused(tmp_path: Path) -> None:
    (tmp_path / "list.xlsx").write_text(HEAD + ROW)
    with pytest.raises(UserError, match="can't be read as a workbook"):
        other_list.read(tmp_path / "list.xlsx", None)


@pytest.mark.parametrize("part", ["xl/workbook.xml", "xl/styles.xml", "xl/worksheets/sheet1.xml"])
def test_a_workbook_with_a_damaged_part_is_refused(tmp_path: Path, part: str) -> None:
    """What breaks off there ends in errors of two parsers, both of which are errors of syntax."""
    book = openpyxl.Workbook()
    book.active.append(["moment"])
    book.save(tmp_path / "whole.xlsx")
    with ZipFile(tmp_path / "whole.xlsx") as whole, ZipFile(tmp_path / "list.xlsx", "w") as damaged:
        for name in whole.namelist():
            damaged.writestr(name, b"<secret" if name == part else whole.read(name))
    with pytest.raises(UserError, match="can't be read as a workbook"):
        other_list.read(tmp_path / "list.xlsx", None)
