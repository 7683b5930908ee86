"""How long a status, a login, a membership or a call lasts at most is said once per language."""

import re

from callmart.base.raw_format import LONGEST_PHASE
from callmart.base.settings import PROJECT


def test_models_have_the_same() -> None:
    macro = (PROJECT / "macros" / "phases" / "longest_phase.sql").read_text(encoding="utf-8")
    (hours,) = re.findall(r"interval '([0-9]+) hours'", macro)
    assert int(hours) * 3600 == LONGEST_PHASE.total_seconds()


def test_no_other_sql_says_it() -> None:
    days = f"{LONGEST_PHASE.days} days'"
    files = [*(PROJECT / "scripts").rglob("*.sql"), *(PROJECT / "models").rglob("*.sql")]
    assert len(files) > 50
    assert [
        file
        for file in files
        if file.parent.name != "migrations" and days in file.read_text(encoding="utf-8")
    ] == []
