"""The command as a person or a scheduler uses it: its words and its exit code."""

import gzip
import json
import os
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, time, timedelta
from pathlib import Path
from time import sleep
from typing import Any
from unittest.mock import Mock

import psycopg
import pytest

from callmart import __version__
from callmart.access import logins
from callmart.database import embedded_server
from callmart.database.lock import exclusive
from callmart.declarations import dbt_project
from callmart.mailing import places
from callmart.reports import shelf, weeks
from callmart_home import Callmart
from commands import Command, command_from_scratch, command_of, mistake
from tableau_emulator.state import State
from today import TODAY, YESTERDAY

DETAILED, NOTHING, GONE = 1042, 1046, 999
WEEK = weeks.last_complete(TODAY)
REGISTRY = f"""\
customers:
  - {{id: {DETAILED}, name: One, sql_login: true, contracts: [{{option: detailed, from: 2025-01-01}}],
     agents: [{{id: A, name: Ada}}]}}
  - {{id: {NOTHING}, name: None}}
"""
NOON = int(datetime.combine(YESTERDAY, time(12)).timestamp())
LOG = (
    f"{NOON}|{NOON}.1|sales|NONE|ENTERQUEUE||0612345678|1\n"
    f"{NOON + 9}|{NOON}.1|sales|A|CONNECT|9|{NOON}.2|3\n"
    f"{NOON + 69}|{NOON}.1|sales|A|COMPLETECALLER|9|60|1\n"
)
HEADER = "customer_id,platform,event,occurred_at,call_id,queue"
ROW = f"{DETAILED},vcloud,queue_joined,{YESTERDAY}T12:00:00Z,c1,sales"


@pytest.fixture(scope="module")
def ready(callmart: Callmart, tmp_path_factory: pytest.TempPathFactory) -> Callmart:
    """A registry, a log, and all stages done, each by the command alone: the first and what publishes in processes that
    import by themselves all that they need.
    """
    from_scratch = command_from_scratch(callmart.home)
    command = command_of(callmart.home)
    folder = tmp_path_factory.mktemp("input")
    (folder / "registry.yml").write_text(REGISTRY)
    (folder / "queue_log").write_text(LOG)
    for arguments, said in (
        (["registry", "apply", folder / "registry.yml"], "registry: 2 customers, "),
        (["land", folder / "queue_log", "--customer", "1042"], "queue_log: 3 rows: "),
        (["build"], "build: 1 day computed"),
        (["validate"], "validate: "),
        (["open"], "open: 1 day opened"),
        (["extract"], "extract: 3 files in "),
        (["publish"], "publish: 1 customer, "),
    ):
        imports = arguments[0] in ("registry", "publish")
        done = (from_scratch if imports else command)(*arguments)
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines()[-1].startswith(said)
    return callmart


def contents(callmart: Callmart) -> dict[str, int]:
    """How many rows every table has, apart from the record of runs."""
    with callmart.connect() as connection:
        tables = connection.execute(
            "select format('%I.%I', nspname, relname) from pg_class as c join pg_namespace as n on n.oid = relnamespace"
            " where relkind = 'r' and nspname in ('registry', 'raw', 'build', 'store', 'usage', 'ops')"
            " and relname not in ('run', 'run_stage')"
        ).fetchall()
        counts = " union all ".join(f"select '{name}', count(*) from {name}" for (name,) in tables)
        return dict(connection.execute(counts).fetchall())


# -- bad input -----------------------------------------------------------------------------------------------------

FILES: dict[str, tuple[bytes | None, list[str], str]] = {
    "missing": (None, [], "is not a file; name an existing file"),
    "empty": (b"", [], "is empty; deliver it again, or leave it out"),
    "empty, compressed": (gzip.compress(b""), [], "is empty"),
    "binary": (b"\x7fELF\x02\x01\x01" + bytes(200), [], "is a binary file"),
    "a broken archive": (gzip.compress(ROW.encode() * 99)[:40], [], "deliver the whole file again"),
    "UTF-16": ((HEADER + "\n" + ROW + "\n").encode("utf-16"), [], "is UTF-16; save it as UTF-8"),
    "UTF-16 without a mark": ((HEADER + "\n" + ROW + "\n").encode("utf-16-le"), [], "UTF-16; deliver UTF-8"),
    "Latin-1": ((HEADER + "\n" + ROW.replace("sales", "caf\xe9") + "\n").encode("latin-1"), [], "line 2"),
    "a column too many": (f"{HEADER},agnt\n{ROW},A\n".encode(), [], "agnt"),
    "a column missing": (HEADER.replace(",event", "").encode() + b"\n1\n", [], "event"),
    "a log of another format": (
        b"[2026-01-01 10:00:00] VERBOSE[1] pbx.c: Executing\n" * 3, [],
        "or a line of a queue_log or a channel event log;",
    ),
    "a table of another kind": (b"calldate,clid,src,dst\n2026-01-01,x,1,2\n", [], "is not a header of the raw format"),
    "rows that break the rules": (f"{HEADER}\n{ROW}\n{ROW.replace('joined', 'jumped')}\n".encode(), [], "line 3"),
    "not what was said": (LOG.encode(), ["--format", "parquet"], "is not a Parquet file; use format auto"),
    "an unknown format": (LOG.encode(), ["--format", "xml"], "use one of auto, csv, ndjson, parquet, queue_log"),
    "an unknown customer": (LOG.encode(), ["--customer", str(GONE)], f"customer {GONE} is not in the registry"),
    "a log of nobody": (LOG.encode(), [], "--customer"),
    "an unknown zone": (LOG.encode(), ["--customer", "1042", "--timezone", "Mars/X"], "such as Europe/Amsterdam"),
}  # fmt: skip


@pytest.mark.parametrize(("content", "options", "remedy"), FILES.values(), ids=FILES.keys())
def test_a_bad_file_is_one_sentence_and_changes_nothing(
    ready: Callmart, command: Command, tmp_path: Path, content: bytes | None, options: list[str], remedy: str
) -> None:
    file = tmp_path / "events"
    if content is not None:
        file.write_bytes(content)
    before = contents(ready)
    done = command("land", file, *options)
    said = mistake(done)
    assert remedy in said
    assert str(file) in said or "customer" in said or "format" in said or "time zone" in said
    assert done.stdout == ""
    assert contents(ready) == before


def test_one_bad_file_of_several_leaves_no_half_of_it(
    ready: Callmart, command: Command, tmp_path: Path
) -> None:
    """Those beside it are known afterwards; their customer has no contract, so that no other test sees of it."""
    files = [tmp_path / name for name in "abc"]
    for number, file in enumerate(files):
        file.write_text(f"{HEADER}\n{ROW.replace(str(DETAILED), str(NOTHING)).replace('c1', f'c{number}')}\n")
    files[1].write_text(f"{HEADER}\n{ROW}\nbroken\n")
    before = ready.rows("select count(*) from raw.event")
    done = command("land", *files)
    assert f"{files[1]}: 1 of 2 rows can't be landed (first " in mistake(done)
    assert [line.partition(":")[0] for line in done.stdout.splitlines()] == ["a", "c"]
    assert ready.rows("select count(*) from raw.event") == before


REGISTRIES = {
    "missing": (None, "name an existing registry file"),
    "an overlap": (
        "customers:\n  - id: 1042\n    name: One\n    contracts:\n"
        "      - {option: detailed, from: 2025-01-01}\n      - {option: standard, from: 2026-01-01}\n",
        " line 6: customer 1042's contract from 2026-01-01 overlaps the one before; end that one",
    ),
    "an unknown zone": (
        "customers:\n  - id: 1042\n    name: One\n    time_zone: Mars/X\n",
        " line 4: customers.0.time_zone: unknown time zone; use an IANA name",
    ),
    "a zone of the machine": (
        "customers:\n  - id: 1042\n    name: One\n    time_zone: localtime\n",
        " line 4: customers.0.time_zone: unknown time zone; use an IANA name",
    ),
    "not YAML": ("customers: [\n", "correct the YAML there"),
    "what deletes": ("customers: []\n", "deleted by 2 changes; correct the file, or confirm that with --yes"),
}


@pytest.mark.parametrize(("text", "remedy"), REGISTRIES.values(), ids=REGISTRIES.keys())
def test_a_bad_registry_changes_nothing(
    ready: Callmart, command: Command, tmp_path: Path, text: str | None, remedy: str
) -> None:
    file = tmp_path / "registry.yml"
    if text is not None:
        file.write_text(text)
    before = contents(ready)
    assert remedy in mistake(command("registry", "apply", file))
    assert contents(ready) == before
    ready.rows("select 1", customer_id=DETAILED)


def test_the_plan_is_shown_before_it_is_refused(ready: Callmart, command: Command, tmp_path: Path) -> None:
    (tmp_path / "registry.yml").write_text("customers: [{id: 2, name: New}]\n")
    done = command("registry", "apply", tmp_path / "registry.yml")
    assert done.stdout.splitlines() == [
        "+ customer 2: new: none",
        "- customer 1042: is gone from the file: all of its data is deleted",
        "- customer 1046: is gone from the file: all of its data is deleted",
    ]
    assert "nothing was applied, as data would be deleted by 2 changes" in mistake(done)


def test_what_deletes_is_done_with_yes(make_callmart: Callable[..., Callmart], tmp_path: Path) -> None:
    """The first registry names a report as it was called before, and orders CSV files, which Tableau doesn't mail. The
    command says so.
    """
    other = make_callmart(ready=True)
    command = command_of(other.home)
    recipients = "recipients: [{email: a@example.org, reports: [drukte, handling], mail_format: csv}]"
    (tmp_path / "registry.yml").write_text(REGISTRY.replace("agents:", f"{recipients}, agents:"))
    done = command("registry", "apply", tmp_path / "registry.yml")
    assert done.returncode == 0
    assert "registry.yml uses earlier names of reports, which callmart 1.0 will refuse" in done.stderr
    names, files = done.stderr.splitlines()
    assert names.endswith("; write traffic for drukte")
    assert files.startswith("1 recipient ordered CSV files, which Tableau does not mail")
    again = command("registry", "apply", tmp_path / "registry.yml")
    assert "CSV" not in again.stderr, "nothing has changed"
    (tmp_path / "registry.yml").write_text("customers: []\n")
    done = command("registry", "apply", tmp_path / "registry.yml", "--yes")
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1] == "registry: 0 customers, 2 changes applied"
    assert other.rows("select from registry.customer") == []


def test_what_was_drawn_with_names_goes_when_agents_become_anonymous(
    make_callmart: Callable[..., Callmart], tmp_path: Path
) -> None:
    other, file = make_callmart(ready=True), tmp_path / "registry.yml"
    command = command_of(other.home)
    file.write_text(REGISTRY)
    assert command("registry", "apply", file).returncode == 0
    pages = [shelf.place(other.settings, customer, "agents", WEEK) for customer in (DETAILED, GONE)]
    mail = places.folder(other.settings) / str(DETAILED) / f"{WEEK}.agents.1.eml"
    for path in (*pages, mail):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("Ada")
    file.write_text(REGISTRY.replace("agents: [{id: A, name: Ada}]", "anonymous_agents: true"))
    assert command("registry", "apply", file).returncode == 2
    assert all(path.exists() for path in (*pages, mail)), "nothing was confirmed"
    assert command("registry", "apply", file, "--yes").returncode == 0
    assert [path.exists() for path in (*pages, mail)] == [False, False, False]


@pytest.mark.parametrize(
    "arguments", [["run"], ["run", "--json"], ["publish"], ["publish", "--plan"], ["demo"]]
)
def test_a_database_of_one_s_own_says_where_it_is_published(
    ready: Callmart, command: Command, arguments: list[str]
) -> None:
    dsn = logins.owner_uri(ready.settings)
    before = contents(ready)
    done = command(*arguments, CALLMART_DSN=dsn)
    assert 'not published until this is set; name your Tableau server, or write "emulator"' in mistake(done)
    assert done.stdout == ""
    assert contents(ready) == before


def test_the_other_stages_need_not_be_told_and_the_emulator_can_be_named(
    ready: Callmart, command: Command
) -> None:
    dsn = logins.owner_uri(ready.settings)
    assert command("extract", CALLMART_DSN=dsn).returncode == 0
    said = command("publish", "--plan", CALLMART_DSN=dsn, CALLMART_TABLEAU__SERVER="emulator")
    assert said.returncode == 0, said.stderr
    assert "data sources and workbooks unchanged" in said.stdout


def test_callmart_toml_is_heeded(ready: Callmart, command: Command, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (log := tmp_path / "in" / "queue_log").write_text(LOG)
    os.utime(log, (0, 0))  # complete long ago
    (file := tmp_path / "callmart.toml").write_text(
        f'[[folders]]\npath = "{tmp_path / "in"}"\ncustomer = {NOTHING}\n'
    )
    done = command("run", "--json", CALLMART_CONFIG=str(file))
    assert [one["turned_away"] for one in json.loads(done.stdout)["files"]] == [3]
    assert done.returncode == 0


def test_a_dead_tableau_is_named_and_nothing_changes(
    ready: Callmart, command: Command, free_port: int
) -> None:
    dead = f"http://127.0.0.1:{free_port}"
    before = contents(ready)
    done = command("publish", CALLMART_TABLEAU__SERVER=dead, CALLMART_TABLEAU__TOKEN="secret")
    assert f"no Tableau server answers at {dead}; start it or correct tableau.server" in mistake(done)
    assert contents(ready) == before


def test_a_run_without_folder_and_tableau_says_so_as_json(
    ready: Callmart, command: Command, free_port: int, tmp_path: Path
) -> None:
    dead = f"http://127.0.0.1:{free_port}"
    folders = json.dumps([{"path": str(tmp_path / "none")}, {"path": str(tmp_path), "settle_seconds": 0}])
    (tmp_path / "bad.csv.gz").write_bytes(gzip.compress(ROW.encode() * 99)[:40])
    done = command(
        "run",
        "--json",
        CALLMART_FOLDERS=folders,
        CALLMART_TABLEAU__SERVER=dead,
        CALLMART_TABLEAU__TOKEN="secret",
        CALLMART_LOG__FORMAT="json",
    )
    assert done.returncode == 1
    events = [json.loads(line)["event"] for line in done.stderr.splitlines()]
    assert events[-1] == "run: problems", "and no line of a library, which warns of each attempt to connect"
    ran = json.loads(done.stdout)
    assert ran["problems"] == [
        f"{tmp_path / 'none'} is not a folder; correct `folders` in callmart.toml",
        f"{tmp_path / 'bad.csv.gz'} is damaged or breaks off; deliver the whole file again",
        f"no Tableau server answers at {dead}; start it or correct tableau.server",
    ]
    assert (ran["files"], ran["extracts"], ran["published_changes"]) == ([], 3, 0)


def test_a_run_whose_database_breaks_off_says_so_as_json(ready: Callmart, command: Command) -> None:
    """All its connections are ended, the one that holds its lock as well, while it builds: then there are five."""
    socket = embedded_server.start(ready.home)

    def end_it() -> int:
        with psycopg.connect(
            host=str(socket), user="postgres", dbname="callmart", autocommit=True
        ) as postgres:
            while not (
                ended := postgres.execute(
                    "with own as (select pid from pg_stat_activity where usename = 'callmart_owner'"
                    " and application_name <> 'kept')"
                    " select count(pg_terminate_backend(pid)) from own where (select count(*) from own) > 4"
                ).fetchall()[0][0]
            ):
                sleep(0.01)
            return int(ended)

    with ThreadPoolExecutor(1) as pool:
        ended = pool.submit(end_it)
        done = command("run", "--json")
        assert ended.result() > 4
    assert done.returncode == 2, done.stderr
    ran = json.loads(done.stdout)
    assert (
        "the lock of the run was lost, so another run may have worked at the same time: run it again"
        in ran["problems"]
    )
    assert "Traceback" not in done.stderr
    assert command("run").returncode == 0


def test_the_demo_leaves_a_real_tableau_and_real_customers_alone(
    make_callmart: Callable[[], Callmart], command: Command, ready: Callmart
) -> None:
    before = contents(ready)
    assert "unset tableau.server" in mistake(
        command("demo", CALLMART_TABLEAU__SERVER="https://t.example.org")
    )
    ready.apply(REGISTRY + "  - {id: 7, name: Seven}\n")
    try:
        assert "customers of yours, which the demo would delete" in mistake(command("demo"))
    finally:
        ready.apply(REGISTRY)
    assert contents(ready)["raw.file"] == before["raw.file"]


def test_the_emulator_takes_another_port_where_its_own_is_taken(ready: Callmart, command: Command) -> None:
    record = json.loads((ready.home / "emulator" / "server.json").read_text())
    assert "Tableau emulator" in command("stop").stdout
    with socket.create_server(("127.0.0.1", record["port"])):
        assert command("publish", "--plan").returncode == 0
    moved = json.loads((ready.home / "emulator" / "server.json").read_text())
    assert moved["port"] != record["port"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["build"],
        ["validate"],
        ["open"],
        ["extract"],
        ["publish"],
        ["expire"],
        ["demo"],
        ["privacy", "refuse", "1", "--because", "mistake"],
        ["registry", "apply"],
    ],
)
def test_a_second_run_at_the_same_time_says_so(
    ready: Callmart, command: Command, tmp_path: Path, arguments: list[str]
) -> None:
    (file := tmp_path / "registry.yml").write_text(REGISTRY)
    before = contents(ready)
    with ready.connect() as first, exclusive(first):
        done = command(*arguments, *([file] if arguments[0] == "registry" else []))
    assert "another callmart run is at work on this database; wait until it has finished" in mistake(done)
    assert contents(ready) == before


@pytest.mark.parametrize("arguments", [["access", "apply"], ["upgrade"]])
def test_it_says_so_before_it_reads_the_project(
    ready: Callmart, command: Command, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    """After a change that takes ten seconds."""
    monkeypatch.setattr(dbt_project, "marts", Mock(side_effect=AssertionError("it was read")))
    with ready.connect() as first, exclusive(first):
        assert "another callmart run is at work" in mistake(command(*arguments))


@pytest.mark.parametrize(
    "arguments",
    [
        ["land", "/etc/hostname"], ["build"], ["validate"], ["open"], ["extract"], ["publish"], ["publish", "--plan"],
        ["expire"], ["expire", "--plan"], ["retire", "x"], ["clock"], ["run"], ["status"], ["dsn"],
        ["dsn", "--customer", "1042"],
    ],
)  # fmt: skip
def test_before_the_registry_every_stage_says_what_to_do_first(empty: Callmart, arguments: list[str]) -> None:
    done = command_of(empty.home)(*arguments)
    assert "run `callmart registry apply registry.yml` first" in mistake(done)
    assert done.stdout == ""


@pytest.fixture(scope="module")
def empty(make_callmart: Callable[[], Callmart]) -> Callmart:
    return make_callmart()


@pytest.mark.parametrize("customer", [NOTHING, GONE])
def test_there_is_no_login_without_a_contract(ready: Callmart, command: Command, customer: int) -> None:
    done = command("dsn", "--customer", str(customer))
    assert f"customer {customer} has no contract today" in mistake(done)
    assert done.stdout == ""


# -- what it prints --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "user"), [([], "callmart_owner"), (["--customer", "1042"], "callmart_customer_1042")]
)
def test_dsn_prints_one_uri_that_works_and_holds_no_password(
    ready: Callmart, command: Command, options: list[str], user: str
) -> None:
    done = command("dsn", *options)
    assert (done.returncode, done.stderr) == (0, "")
    (uri,) = done.stdout.splitlines()
    with psycopg.connect(uri) as connection:
        assert connection.info.user == user
    secrets = [file.read_text().strip().split(":")[-1] for file in (ready.home / "secrets").glob("*.pgpass")]
    assert secrets
    assert not any(secret in uri for secret in secrets)


AGAIN = {
    "land": "queue_log: landed before, nothing to do",
    "build": "build: nothing to do",
    "validate": "validate: nothing to do",
    "open": "open: 0 days opened (0 rows), 0 held back",
    "extract": "extract: 3 files in {home}/extracts, 0 written now",
    "publish": "publish: 1 customer, 0 changes, 0 failed",
    "registry": "registry: 2 customers, 0 changes applied",
}


@pytest.mark.parametrize("stage", AGAIN)
def test_a_stage_alone_does_nothing_twice_and_says_so(
    ready: Callmart, command: Command, tmp_path: Path, stage: str
) -> None:
    (tmp_path / "registry.yml").write_text(REGISTRY)
    (tmp_path / "queue_log").write_text(LOG)
    options = {"land": ["queue_log", "--customer", "1042"], "registry": ["apply", "registry.yml"]}
    command(stage, *options.get(stage, []), cwd=tmp_path)  # another test may have changed something since
    before = contents(ready)
    done = command(stage, *options.get(stage, []), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == AGAIN[stage].format(home=ready.home)
    assert contents(ready) == before


def test_run_prints_one_line_and_again_changes_nothing(ready: Callmart, command: Command) -> None:
    command("run")  # which makes the months ahead
    before = contents(ready)
    done = command("run")
    assert done.returncode == 0
    assert done.stdout.splitlines() == [
        "run: 0 files, 0 days opened, 0 held back, 0 of 3 extracts written, 0 changes on Tableau"
    ]
    assert contents(ready) == before


def test_run_as_json(ready: Callmart, command: Command) -> None:
    ran: dict[str, Any] = json.loads(command("run", "--json").stdout)
    assert ran.keys() == {
        "expired", "files", "built_days", "opened_days", "opened_rows", "held_back_days", "warnings", "extracts",
        "rebuilt_days", "extracts_written", "mails", "published_changes", "removed_customers", "problems",
        "skipped", "seal",
    }  # fmt: skip
    assert (ran["extracts"], ran["extracts_written"], ran["problems"]) == (3, 0, [])


def test_status_as_json(ready: Callmart, command: Command) -> None:
    found = json.loads(command("status", "--json").stdout)
    assert found.keys() == {"run", "customers", "requests", "rotation", "earlier_definitions", "environments"}
    assert not any(found[key] for key in ("requests", "rotation", "earlier_definitions", "environments"))
    detailed, nothing = found["customers"]
    assert detailed.pop("extract_rows") > 0
    assert detailed == {
        "customer_id": DETAILED,
        "name": "One",
        "option": "detailed",
        "contacts": 1,
        "first_day": str(YESTERDAY),
        "last_day": str(YESTERDAY),
        "dirty_days": 0,
        "held_back_days": 0,
        "turned_away_rows": 0,
        "quality": "passed",
        "tableau": f"callmart / {DETAILED} One",
        "needs_look": False,
        "held_back": [],
        "unopened": [],
    }
    assert nothing.keys() == detailed.keys() | {"extract_rows"}
    assert (nothing["option"], nothing["contacts"], nothing["tableau"]) == ("none", 0, "nothing there")


def test_status_as_a_table(ready: Callmart, command: Command) -> None:
    shown = command("status").stdout
    assert shown.startswith("last run: ")
    assert f"{DETAILED} One" in shown
    assert "passed" in shown
    assert "…" not in shown and "nobody has opened" not in shown


def test_tableau_says_which_days_are_held_back(ready: Callmart, command: Command) -> None:
    def said() -> list[tuple[str, str]]:
        with State(ready.home / "emulator") as state:
            return [
                (row["name"], row["message"])
                for row in state.all(
                    "select name, message from quality_warning join datasource on datasource.id = content_id"
                )
            ]

    held = "insert into ops.held_back (customer_id, call_date, build_id, cause) values (%s, '2026-06-01', 1, 'x')"
    with ready.connect() as owner:
        owner.execute(held, [DETAILED])
    assert "+ warning 'Wachtrijen'" in command("publish").stdout
    sources = {name for name, _ in said()}
    assert sources >= {"Wachtrijen", "Medewerkers"}
    assert {message for _, message in said()} == {
        "Niet meegeteld, omdat de controle van de gegevens nog loopt: ma 1 jun."
    }
    assert "warning" not in command("publish").stdout
    with ready.connect() as owner:
        owner.execute("delete from ops.held_back")
    assert "- warning 'Wachtrijen'" in command("publish").stdout
    assert said() == []


def test_status_names_reports_that_nobody_opens(ready: Callmart, command: Command) -> None:
    with ready.connect() as owner:
        owner.execute(
            "insert into registry.report_use values (%s, 'traffic', 0, '2026-06-01')"
            " on conflict (customer_id, report) do update set since = excluded.since",
            [DETAILED],
        )
    said = f"customer {DETAILED}: nobody has opened traffic (since 2026-06-01) on Tableau for 8 weeks: ask whether"
    assert said in command("status").stdout
    detailed = json.loads(command("status", "--json").stdout)["customers"][0]
    assert detailed["unopened"] == [{"report": "traffic", "since": "2026-06-01"}]
    with ready.connect() as owner:
        owner.execute("delete from registry.report_use")


def test_version() -> None:
    done = command_of(Path("/nonexistent"))("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"callmart {__version__}\n", "")


def test_it_works_from_any_folder_and_writes_nothing_there(
    ready: Callmart, command: Command, tmp_path: Path
) -> None:
    (tmp_path / "here").mkdir()
    assert command("run", cwd=tmp_path / "here").returncode == 0
    assert list((tmp_path / "here").iterdir()) == []


def test_stop_stops_both_and_the_next_command_starts_what_it_needs(ready: Callmart, command: Command) -> None:
    assert command("publish", "--plan").returncode == 0
    assert command("stop").stdout == "stopped: database, Tableau emulator\n"
    assert command("stop").stdout == "nothing was running\n"
    assert command("status").returncode == 0


def test_no_word_of_a_caller_or_an_agent_is_printed(
    ready: Callmart, command: Command, tmp_path: Path
) -> None:
    day = TODAY - timedelta(days=2)
    rows = [f"{DETAILED},vcloud,queue_joined,{day}T12:00:00Z,c{n},sales" for n in range(40)]
    (file := tmp_path / "events.csv").write_text(
        f"{HEADER},other_number,agent\n"
        + "".join(f"{row},+31612345678,Ada\n" for row in rows)
        + f"{rows[0].replace('vcloud', 'Ada')},0612345678,Ada\n"
    )
    assert (done := command("land", file)).returncode == 0
    assert "1 row rejected" in done.stdout and "line 42: " in done.stdout
    assert not [word for word in ("Ada", "12345678") if word in done.stdout + done.stderr]
