"""The textfile for Prometheus: strictly in its format, by its conventions, and without any customer."""

import errno
import os
import re
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from callmart.base.errors import UserError
from callmart.operations import textfile
from callmart.operations.health import KINDS, Books, Disk, Health, Trouble, _Moments
from callmart.operations.record import Run, Stage

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
CUSTOMER = 987654321

BASE_UNITS = ("_seconds", "_bytes")
OTHER_UNITS = ("_ms", "_milliseconds", "_minutes", "_hours", "_gib", "_mb", "_percent")

Sample = tuple[str, tuple[tuple[str, str], ...]]


def parsed(text: str) -> dict[Sample, float]:
    """What Prometheus' text format says, as strictly as its grammar is: HELP, TYPE, then the samples of a metric."""
    assert text.endswith("\n")
    found: dict[Sample, float] = {}
    announced: list[str] = []
    state, name = "samples", ""
    for line in text.splitlines():
        if help_ := re.fullmatch(r"# HELP ([a-z][a-z0-9_]*) (\S.*)", line):
            assert state == "samples", line
            state, name = "help", help_[1]
            assert name not in announced, "one group per metric"
            announced.append(name)
        elif type_ := re.fullmatch(r"# TYPE ([a-z][a-z0-9_]*) gauge", line):
            assert (state, type_[1]) == ("help", name), line
            state = "type"
        else:
            sample = re.fullmatch(r"([a-z][a-z0-9_]*)(?:\{([^{}]*)\})? (-?[0-9.]+(?:e[+-]?[0-9]+)?)", line)
            assert sample, line
            assert state in ("type", "samples"), line
            state = "samples"
            assert sample[1] == name, line
            labels = sample[2].split(",") if sample[2] else []
            pairs = [re.fullmatch(r'([a-z_]+)="([a-z_]+)"', label) for label in labels]
            key = (name, tuple((pair[1], pair[2]) for pair in pairs if pair))
            assert all(pairs), line
            assert key not in found, "one sample per set of labels"
            found[key] = float(sample[3])
    assert state == "samples"
    return found


def health(*, run: Run | None) -> Health:
    books = Books(
        clock_doubt=None,
        run=run,
        is_at_work=True,
        moments=_Moments(NOW - timedelta(hours=9), NOW, None, NOW),
        silent=[(CUSTOMER, date(2026, 11, 24)), (CUSTOMER + 1, date(2026, 11, 25))],
        held_back=[(CUSTOMER, 3), (CUSTOMER + 2, 1)],
        behind=[(CUSTOMER, "its last extract is not published")],
        keys=[],
        requests=[],
    )
    troubles = [
        Trouble("silent", CUSTOMER, "x"),
        Trouble("silent", CUSTOMER + 1, "x"),
        Trouble("backup", None, "x"),
    ]
    disks: dict[str, Disk | str] = {"home": Disk(5 * 2**30, 2**40), "database": "OSError"}
    return Health(books, disks, {"tableau": NOW + timedelta(days=9), "database": "OSError"}, troubles)


RUN = Run(
    17, NOW - timedelta(hours=9, minutes=2), NOW - timedelta(hours=9), "problems", 2, None,
    (Stage("land", NOW - timedelta(minutes=2), NOW - timedelta(minutes=1), "done", {"files": CUSTOMER}, None),),
)  # fmt: skip


def test_the_file_says_how_callmart_is(tmp_path: Path) -> None:
    file = tmp_path / "callmart.prom"
    textfile.write(file, health(run=RUN), NOW)
    found = parsed(file.read_text())
    plain = {name.removeprefix("callmart_"): value for (name, labels), value in found.items() if not labels}
    assert plain == {
        "health_timestamp_seconds": NOW.timestamp(),
        "database_up": 1,
        "run_at_work": 1,
        "last_run_success_timestamp_seconds": (NOW - timedelta(hours=9)).timestamp(),
        "last_run_timestamp_seconds": RUN.began_at.timestamp(),
        "last_run_problems": 2,
        "run_duration_seconds": 120,
        "days_held_back": 4,
        "customers_silent": 2,
        "customers_behind": 1,
    }
    labelled = {key: value for key, value in found.items() if key[1] and key[0] != "callmart_troubles"}
    assert labelled == {
        ("callmart_run_stage_duration_seconds", (("stage", "land"),)): 60,
        ("callmart_disk_free_bytes", (("volume", "home"),)): 5 * 2**30,
        ("callmart_disk_size_bytes", (("volume", "home"),)): 2**40,
        ("callmart_certificate_end_timestamp_seconds", (("server", "tableau"),)): (NOW + timedelta(days=9)).timestamp(),
    }  # fmt: skip
    troubles = {labels[0][1]: value for (name, labels), value in found.items() if name == "callmart_troubles"}
    assert troubles == dict.fromkeys(KINDS, 0) | {"silent": 2, "backup": 1}
    assert str(CUSTOMER) not in file.read_text()


def test_names_follow_the_conventions() -> None:
    names = Counter(name for name, _ in parsed(textfile.text(health(run=RUN), NOW)))
    for name in names:
        assert name.startswith("callmart_")
        assert not name.endswith(("_total", "_count", "_sum", "_bucket", *OTHER_UNITS)), (
            "these mean something else"
        )
        assert "timestamp" not in name or name.endswith("_timestamp_seconds")
        assert not re.search("duration|free|size", name) or name.endswith(BASE_UNITS)


@pytest.mark.parametrize("broken", ["no database", "no run", "a run that died"])
def test_what_is_not_known_is_left_out(broken: str) -> None:
    found = health(run=None if broken == "no run" else RUN)
    if broken == "no database":
        found = Health(None, found.disks, found.certificates, [Trouble("database", None, "x")])
    elif broken == "a run that died":
        found = health(run=Run(18, NOW, None, "died", 0, None))
    samples = parsed(textfile.text(found, NOW))
    names = {name for name, _ in samples}
    assert samples["callmart_database_up", ()] == (broken != "no database")
    assert "callmart_run_duration_seconds" not in names
    assert ("callmart_days_held_back" in names) == (broken != "no database")
    assert ("callmart_last_run_timestamp_seconds" in names) == (broken == "a run that died")


def test_it_is_written_whole_and_others_may_read_it(tmp_path: Path) -> None:
    file = tmp_path / "callmart.prom"
    file.write_text("the one before")
    with file.open() as reader:
        textfile.write(file, health(run=RUN), NOW)
        assert reader.read() == "the one before", "whoever reads it reads one of both"
    assert file.stat().st_mode & 0o777 == 0o644
    assert list(tmp_path.iterdir()) == [file]


def test_a_link_in_the_place_of_the_draft_leads_nowhere(tmp_path: Path) -> None:
    """Whoever reads the file may own its folder, and would have a secret of ours written over and opened."""
    secret = tmp_path / "secret"
    secret.write_text("secret")
    secret.chmod(0o600)
    file = tmp_path / "callmart.prom"
    (tmp_path / f".callmart.prom.{os.getpid()}").symlink_to(secret)
    textfile.write(file, health(run=RUN), NOW)
    assert (secret.read_text(), secret.stat().st_mode & 0o777) == ("secret", 0o600)
    assert not file.is_symlink() and "callmart_" in file.read_text()


def test_a_full_disk_gets_no_draft_and_the_file_before_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each run has a draft of another name: one per run would stay."""

    def full(number: int, mode: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    file = tmp_path / "callmart.prom"
    file.write_text("before")
    monkeypatch.setattr(os, "fchmod", full)
    with pytest.raises(
        UserError, match=r"can't be written \(OSError: No space left on device\); make room there"
    ):
        textfile.write(file, health(run=None), NOW)
    assert [path.name for path in tmp_path.iterdir()] == ["callmart.prom"]
    assert file.read_text() == "before"


def test_a_file_that_can_not_be_written_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"setting metrics_file: .* can't be written \(FileNotFoundError"):
        textfile.write(tmp_path / "none" / "callmart.prom", health(run=RUN), NOW)
