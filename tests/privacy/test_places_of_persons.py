"""Everything belongs to one place, each place is decided for each kind of person, and a person planted there is found.

Some places are those in which nobody thought of a person.
"""

import gzip
import io
import os
import zipfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, get_args

import psycopg
import pyarrow as pa
import pyarrow.parquet
import pytest
import tableauserverclient as TSC
from pydantic import SecretStr

from callmart.access import drift
from callmart.audit import persons as audit
from callmart.base import disk, evidence
from callmart.base.errors import UserError
from callmart.base.keys import fingerprint_of
from callmart.base.needles import Needles
from callmart.base.person import Blocked, Counts, Kind, Person, Proof, Work
from callmart.base.settings import Folder
from callmart.database import embedded_server, searching
from callmart.environments import databases
from callmart.environments.known import Environment
from callmart.privacy import decided, places, procedure
from callmart.privacy.package import shelf
from callmart.publish import holdings
from callmart.publish import places as published
from callmart.tableau_files import hyper
from callmart_home import Callmart
from centre import NAMED
from emulated import WORKBOOK, custom_view
from erasures import CALLER, CHEF, LEAVER, STAYER, do, key_of, of, plan_of

pytestmark = [pytest.mark.server, pytest.mark.usefixtures("unchecked")]

WORD, ADDRESS = "Verzonnen Persoon", "planted@persoon.example"
KINDS: tuple[Kind, ...] = get_args(Kind)
PLACE = {place.name: place for place in places.PLACES}

Planter = Callable[[Work], AbstractContextManager[object]]


def made_up(work: Work, kind: Kind) -> Person:
    """Somebody of whom nothing is there but what a test has planted."""
    person = of(work, kind, "+31201234567" if kind == "caller" else ADDRESS)
    addresses = frozenset({ADDRESS} if kind in ("contact", "recipient") else ())
    return Person(NAMED, kind, frozenset({WORD}), person.keys, person.until, addresses)


# -- what belongs where ----------------------------------------------------------------------------------------------


def test_every_table_path_and_kind_of_content_belongs_to_exactly_one_place(work: Work) -> None:
    assert places.uncovered(work.connection, work.settings) == []
    assert len(PLACE) == len(places.PLACES)


STRAY = [
    "letter.pdf",
    "temp/duckdb_temp_storage-0.tmp",
    "events.duckdb.wal",
    "dbt/compiled/callmart/models/marts/letter.pdf",
    "quality/uncommitted/letter.pdf",
    "extracts/1001/letter.pdf",
    "extracts/letter.hyper",
    "reports/letter.html",
    "outbox/letter.eml",
    "emulator/backup/state.sqlite",
    "postgres/base/letter.txt",
    "postgres/pg_wal/letter.txt",
    "keys/old/customer_1001.key",
]


@pytest.mark.parametrize("path", STRAY)
def test_a_path_that_nobody_knows_is_named_however_deep_it_lies(work: Work, path: str) -> None:
    with file(work, path):
        assert places.uncovered(work.connection, work.settings) == [f"path {path}"]


@pytest.mark.parametrize("name", ["elsewhere", "extracts/1001/elsewhere.hyper"])
def test_a_link_is_no_place(work: Work, tmp_path: Path, name: str) -> None:
    link = work.settings.home / name
    link.symlink_to(tmp_path)
    try:
        assert places.uncovered(work.connection, work.settings) == [f"link {name}"]
    finally:
        link.unlink()


def test_a_folder_that_can_not_be_read_is_no_empty_one(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = os.scandir

    def scandir(folder: Any) -> Any:
        if Path(folder).name == "quality":
            raise PermissionError(13, "Permission denied", folder)
        return inner(folder)

    monkeypatch.setattr(os, "scandir", scandir)
    (work.settings.home / "quality").mkdir(exist_ok=True)
    with pytest.raises(UserError, match=r"quality can't be read \(Permission denied\)"):
        list(disk.files(work.settings.home))
    with pytest.raises(Blocked, match="can't be read"):
        plan_of(work, of(work, "agent", LEAVER))
    assert list(disk.files(work.settings.home / "nowhere")) == []


@pytest.mark.parametrize(
    ("made", "named"),
    [("table elsewhere.letter (name text)", "letter"), ("sequence elsewhere.letters", "letters")],
)
def test_a_table_that_nobody_knows_keeps_a_request_open(work: Work, made: str, named: str) -> None:
    with committed(work, f"create schema elsewhere; create {made}", "drop schema elsewhere cascade"):
        with pytest.raises(Blocked, match=f"nobody knows who is in table elsewhere.{named}") as blocked:
            plan_of(work, of(work, "agent", LEAVER))
        assert (blocked.value.place, blocked.value.code) == ("places", "unknown place")
        assert audit.of_places(work.connection, work.settings).found == (f"table elsewhere.{named}",)


def test_a_new_kind_of_content_on_tableau_has_to_be_claimed(
    work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = holdings.endpoints()
    assert len(known) > 30
    monkeypatch.setattr(holdings, "endpoints", lambda: [*known, "collections"])
    assert places.uncovered(work.connection, work.settings) == ["content collections"]


def test_a_column_that_does_not_say_whom_it_points_to_keeps_a_request_open(work: Work) -> None:
    with committed(work, "alter table raw.event add letter text", "alter table raw.event drop letter"):
        for step in (plan_of, partial(do, request=1)):
            with pytest.raises(Blocked, match="letter") as blocked:
                step(work, of(work, "agent", LEAVER))
            assert (blocked.value.place, blocked.value.code) == ("places", "undeclared")


def test_nobody_is_a_number_but_by_the_keys_of_calls_and_events(home: Callmart) -> None:
    """Those are sought as numbers; a number to call is so only if it has more than 32 bits."""
    rows = home.rows(
        "select distinct column_name::text as name from access.pointing_column"
        " where data_type in ('bigint', 'numeric') and persons && '{agent,caller,contact,recipient}'"
    )
    assert {row["name"] for row in rows} == {"call_key", "event_key"}


def test_the_register_knows_every_place_and_what_is_counted(
    work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = {f"{kind}{whose}" for kind in holdings.FILES.values() for whose in ("", " of others")}
    assert counted | {f"list of {name}" for name in holdings.LISTS} <= set(evidence.WORDS)
    monkeypatch.setattr(places, "PLACES", (*places.PLACES[1:], places.Searched("attic")))
    assert places.uncovered(work.connection, work.settings)[:2] == ["place attic", "place doorway"]


# -- each place, for each kind of person -----------------------------------------------------------------------------


def test_every_cell_is_decided_and_the_page_shows_it(tmp_path: Path) -> None:
    assert set(decided.DECIDED) == set(PLACE)
    assert decided.Cells._fields == (*KINDS, "why")
    assert set(PLANTERS) == set(PLACE)
    copy = tmp_path / "privacy.md"
    copy.write_text(decided.FILE.read_text())
    decided.write(copy)
    assert copy.read_text() == decided.FILE.read_text(), f"run {decided.COMMAND}"


@contextmanager
def file(work: Work, path: str, content: bytes = WORD.encode()) -> Iterator[Path]:
    """A file of the home."""
    written = work.settings.home / path
    above = [folder for folder in written.parents if not folder.exists()]
    written.parent.mkdir(parents=True, exist_ok=True)
    before = written.read_bytes() if written.exists() else None
    written.write_bytes(content)
    try:
        yield written
    finally:
        written.unlink(missing_ok=True)
        if before is not None:
            written.write_bytes(before)
        for folder in above:
            if folder.exists() and not any(folder.iterdir()):
                folder.rmdir()


@contextmanager
def committed(work: Work, statement: str, undone: str) -> Iterator[None]:
    """A statement of the owner that is kept until the end."""
    work.connection.execute(statement.encode())
    work.connection.commit()
    try:
        yield
    finally:
        work.connection.rollback()
        work.connection.execute(undone.encode())
        work.connection.commit()


def changed(statement: str, **values: object) -> Planter:
    """A statement of the owner that is rolled back."""

    @contextmanager
    def planted(work: Work) -> Iterator[None]:
        with work.connection.transaction(force_rollback=True):
            assert work.connection.execute(statement.encode(), values or None).rowcount
            yield

    return planted


def table_in(schema: str) -> Planter:
    return changed(f"create table {schema}.planted as select '{WORD}' as word")


def zipped(name: str, content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr(name, content)
    return buffer.getvalue()


def workbook_file(work: Work, word: str) -> bytes:
    """A workbook on one of the site's data sources, with this word as the name of a sheet."""
    source = next(iter(TSC.Pager(work.tableau().datasources)))
    return WORKBOOK.format(source=source.content_url).replace("Helper", word).encode()


@contextmanager
def workbook(
    work: Work, project: str = "Default", name: str = "saved", word: str = WORD
) -> Iterator[TSC.WorkbookItem]:
    """A workbook that somebody saved on Tableau."""
    server = work.tableau()
    luid = next(each.id for each in TSC.Pager(server.projects) if each.name == project)
    with file(work, "emulator/uploads/saved.twb", workbook_file(work, word)) as path:
        item = server.workbooks.publish(TSC.WorkbookItem(luid, name), path, "CreateNew")
    try:
        yield item
    finally:
        server.workbooks.delete(item.id)


@contextmanager
def group(work: Work) -> Iterator[None]:
    server = work.tableau()
    made = server.groups.create(TSC.GroupItem(f"team of {WORD}"))
    yield
    server.groups.delete(made.id)


@contextmanager
def landing_folder(work: Work) -> Iterator[None]:
    """A raw file, in which the word is packed."""
    folder = work.settings.home.parent / "landing"
    folder.mkdir()
    rows = pa.table({"agent": ["somebody", WORD] * 500})
    pyarrow.parquet.write_table(rows, folder / "raw.parquet", compression="gzip", write_statistics=False)
    work.settings.folders = [Folder(path=folder)]
    try:
        yield
    finally:
        work.settings.folders = []
        (folder / "raw.parquet").unlink()
        folder.rmdir()


@contextmanager
def view_of_ours(work: Work) -> Iterator[None]:
    """Somebody has chosen the person in one of our workbooks, and saved that."""
    server = work.tableau()
    ours = next(each for each in TSC.Pager(server.workbooks) if "Voorbeeld" in each.project_name)
    view = custom_view(ours, server.users.get_by_id(server.user_id), "planted")
    luid = server.custom_views.publish(view, io.BytesIO(f'{{"filter": "{WORD}"}}'.encode())).id
    yield
    if luid in {each.id for each in TSC.Pager(server.custom_views)}:
        server.custom_views.delete(luid)


def event_of(work: Work, kind: Kind) -> AbstractContextManager[object]:
    person = made_up(work, kind)
    at = person.until - timedelta(minutes=1)
    return changed(
        audit.SQL["put_in"], customer=NAMED, key=min(person.keys), kind=kind, at=at
    )(work)  # fmt: skip


def row_of_agent(work: Work, table: str) -> AbstractContextManager[object]:
    key = min(made_up(work, "agent").keys)
    row = f"insert into {table} (customer_id, agent_key, agent) values ({NAMED}, '{key}', '{WORD}')"
    return committed(work, row, f"delete from {table} where agent_key = '{key}'")


@contextmanager
def package_of(work: Work, kind: Kind) -> Iterator[None]:
    """Of a package, the note says whose it is."""
    whose = shelf.tombstones(key_of(work), ((kind, key) for key in made_up(work, kind).keys))
    note = shelf.Note(
        request=9, customer_id=NAMED, written="2026-01-01", key=fingerprint_of(key_of(work)),
        whose=tuple(whose), content="", sealed="",
    )  # fmt: skip
    folder = f"packages/{NAMED}/request-9"
    with file(work, f"{folder}.json", note.model_dump_json().encode()), file(work, f"{folder}.zip.age", b""):
        yield


@contextmanager
def environment_of_customer(work: Work) -> Iterator[None]:
    """An environment without any tables, which says that it holds the customer."""
    databases.create(work.connection, Environment(name="planted", customers=(NAMED,)))
    try:
        yield
    finally:
        databases.drop(work.connection, work.settings, "planted")


PLANTERS: dict[str, Planter] = {
    "doorway": lambda work: committed(
        work,
        f"insert into raw.incoming_agent values ({NAMED}, 'key', '{WORD}', now())",
        "truncate raw.incoming_agent",
    ),
    "build": table_in("build"),
    "events": changed(f"update raw.event set queue = '{WORD}' where customer_id = {NAMED}"),
    "registry": changed(
        f"insert into registry.contact (customer_id, email, name, authorised)"
        f" values ({NAMED}, '{ADDRESS}', '{WORD}', false)"
    ),
    "marts": lambda work: row_of_agent(work, "store.agent"),
    "environments": environment_of_customer,
    "extracts": lambda work: file(work, f"extracts/{NAMED}/.arrow-dead/a", WORD.encode("utf-16-le")),
    "drawn reports": lambda work: file(work, f"reports/{NAMED}/agents-2026-W01.html"),
    "outbox": lambda work: file(work, f"outbox/{NAMED}/2026-W01.agents.key.eml"),
    "packages": lambda work: file(work, f"packages/{NAMED}/request-9.zip.age"),
    "tableau content": view_of_ours,
    "tableau users": group,
    "emulator": lambda work: file(work, "emulator/files/left", zipped("a.twb", WORD.encode())),
    "registry of customers": changed(
        f"update registry.customer set name = '{WORD}' where customer_id = {NAMED}"
    ),
    "landed files": changed(f"insert into raw.reject select file_id, 1, '{WORD}' from raw.file limit 1"),
    "usage": table_in("usage"),
    "books": changed(f"insert into ops.audit_log (action) values ('{WORD}')"),
    "register": table_in("privacy"),
    "checks and logs": lambda work: file(work, "dbt/run/callmart/models/marts/planted.sql"),
    "keys and secrets": lambda work: file(work, "secrets/planted"),
    "demo": lambda work: file(work, "demo/2026-W01/events.csv.gz", gzip.compress(WORD.encode() * 9)),
    "temporary files": lambda work: file(work, "tmp/tmp1234/left.tdsx", zipped("a.tds", WORD.encode())),
    "registry file": lambda work: file(work, "registry.yml"),
    "elsewhere": landing_folder,
    "server files": lambda work: committed(
        work, f"comment on table raw.event is '{WORD}'", "comment on table raw.event is null"
    ),
}


# What of the person's own is erased, where that is something else than the planted word.
OWN: dict[tuple[str, Kind], Planter] = {
    ("events", "agent"): lambda work: event_of(work, "agent"),
    ("events", "caller"): lambda work: event_of(work, "caller"),
    ("registry", "agent"): lambda work: row_of_agent(work, "registry.agent"),
    **{("packages", kind): partial(package_of, kind=kind) for kind in KINDS},
}
# What has tests of its own, by real persons: test_erasing.py and test_killed.py.
OF_REAL_PERSONS = {("marts", "caller"), ("tableau users", "contact"), ("tableau users", "recipient")}
AFTER_DELETION = ("emulator", "server files")  # they keep what was deleted until they are written anew


@pytest.mark.parametrize("place", PLANTERS)
def test_whoever_is_planted_in_a_place_is_found_there_and_goes_as_decided(work: Work, place: str) -> None:
    """Each cell of the table: what is erased or written anew is gone, and everything else stays."""
    work.needles = Needles([WORD])
    for kind, decision in zip(KINDS, decided.DECIDED[place], strict=False):
        person, is_gone = made_up(work, kind), False
        with OWN.get((place, kind), PLANTERS[place])(work):
            if kind == KINDS[0] or (place, kind) in OWN:
                assert found(place, PLACE[place].prove(work, person)), kind
            if place not in AFTER_DELETION and (place, kind) not in OF_REAL_PERSONS:
                PLACE[place].treat(work, person)
                is_gone = not found(place, PLACE[place].prove(work, person))
                assert is_gone == (decision in ("erased", "written anew")), kind
        if place in AFTER_DELETION and (place, kind) not in OF_REAL_PERSONS:
            PLACE[place].treat(work, person)
        assert is_gone or not found(place, PLACE[place].prove(work, person)), kind


def test_what_only_hyper_can_read_is_found_in_an_extract(work: Work) -> None:
    path = work.settings.home / f"extracts/{NAMED}/planted.hyper"
    with hyper.written(path) as connection:
        # Of several values Hyper stores how far they are from the smallest.
        connection.execute_command(
            "create table planted as select 31207654320 + n as number from generate_series(1, 9) as s (n)"
        )
    try:
        work.needles = Needles(["31207654325"])
        assert not work.needles.in_file(path), "its bytes show nothing"
        assert PLACE["extracts"].prove(work, made_up(work, "caller")).left == {"files": 1}
    finally:
        path.unlink()


def test_accounts_are_those_of_contacts_and_recipients(work: Work) -> None:
    members = published.Members()
    people: dict[Kind, str] = {"agent": STAYER, "caller": CALLER, "contact": CHEF, "recipient": CHEF}
    counted = {kind: members.find(work, of(work, kind, word))["users"] for kind, word in people.items()}
    assert counted == {kind: decided.DECIDED["tableau users"]._asdict()[kind] == "erased" for kind in KINDS}


def found(place: str, proof: Proof) -> bool:
    """Where a person looks, it is something to attest."""
    return len(proof.to_attest) > 1 if place == "elsewhere" else bool(proof.left)


def test_an_account_that_is_not_ours_has_to_be_attested(work: Work) -> None:
    server = work.tableau()
    work.needles = Needles(["planted@persoon.example"])
    user = server.users.add(TSC.UserItem("planted@persoon.example", "Viewer"))
    for kind in KINDS:
        proof = published.Members().prove(work, made_up(work, kind))
        assert (proof.left, proof.to_attest) == (Counts(), ("account of others on tableau",))
    server.users.remove(user.id)
    assert published.Members().prove(work, made_up(work, "agent")).to_attest == ()


# -- Tableau, outside the customer's projects ------------------------------------------------------------------------


def on_tableau(work: Work) -> Counts:
    return published.Content().prove(work, made_up(work, "agent")).left


def test_what_others_made_of_it_is_found_wherever_they_saved_it(work: Work) -> None:
    work.needles = Needles([WORD])
    assert on_tableau(work) == {}
    with workbook(work):
        assert on_tableau(work) == {"workbooks of others": 1, "list of views": 1}
    with workbook(work, word="Helper", name=WORD):
        assert on_tableau(work) == {"list of workbooks": 1}


def test_an_earlier_revision_is_found(work: Work) -> None:
    work.needles = Needles([WORD])
    with workbook(work) as item:
        with file(work, "emulator/uploads/again.twb", workbook_file(work, "Helper")) as path:
            work.tableau().workbooks.publish(item, path, "Overwrite")
        assert on_tableau(work) == {"workbooks of others": 1}


def test_a_custom_view_of_ours_goes_and_one_of_others_stays(work: Work) -> None:
    """It keeps the values of a filter, such as an agent's name, when the workbook is published anew."""
    server, person = work.tableau(), made_up(work, "agent")
    work.needles = Needles([WORD])
    owner = server.users.get_by_id(server.user_id)
    ours = next(each for each in TSC.Pager(server.workbooks) if "Voorbeeld" in each.project_name)
    with workbook(work, word="Helper") as theirs:
        for item in (ours, theirs):
            for name, chosen in (("one", WORD), ("another", "nobody")):
                server.custom_views.publish(
                    custom_view(item, owner, name), io.BytesIO(f'{{"filter": "{chosen}"}}'.encode())
                )
        assert on_tableau(work) == {"custom views of others": 2}
        assert published.Content().treat(work, person)["custom views"] == 1
        assert on_tableau(work) == {"custom views of others": 1}
        left = {(view.workbook.id, view.name) for view in TSC.Pager(server.custom_views)}
        assert left == {(ours.id, "another"), (theirs.id, "one"), (theirs.id, "another")}


def test_what_may_not_be_read_has_to_be_attested(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as what is in somebody's personal space."""

    def download(*_: Any, **__: Any) -> Any:
        raise TSC.ServerResponseError("403004", "Forbidden", "not yours")

    with workbook(work):
        monkeypatch.setattr(type(work.tableau().workbooks), "download", download)
        proof = published.Content().prove(work, made_up(work, "agent"))
        assert proof.to_attest == ("content that callmart may not read",)


def test_flows_are_searched_as_well(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    """The emulator has none. Those in a customer's project are of others, and stop nothing."""
    ours = next(each.id for each in TSC.Pager(work.tableau().projects) if "Voorbeeld" in each.name)
    flows = [TSC.FlowItem(project, "a flow") for project in ("0" * 36, ours)]
    for number, flow in enumerate(flows):
        flow._id = str(number) * 36

    class Flows:
        baseurl = work.tableau().flows.baseurl
        get_request = work.tableau().flows.get_request

        def get(self, options: Any) -> Any:
            return flows, type("Pages", (), {"total_available": 2, "page_number": 1, "page_size": 2})

        def download(self, luid: str, filepath: str) -> str:
            Path(filepath).write_bytes(zipped("flow", WORD.encode()))
            return filepath

    work.needles = Needles([WORD])
    monkeypatch.setattr(work.tableau(), "flows", Flows())
    assert on_tableau(work) == {"flows of others": 2}
    assert published.Content().treat(work, made_up(work, "agent"))["custom views"] == 0


# -- places of the server that nobody thought of ---------------------------------------------------------------------

ODD = {
    "a comment on a role": (
        f"comment on role callmart_analyst is '{WORD}'", "comment on role callmart_analyst is null",
    ),
    "a large object": (f"select lo_from_bytea(4711, '{WORD}')", "select lo_unlink(4711)"),
    "a packed large object": (
        f"select lo_from_bytea(4711, convert_to(repeat('{WORD} ', 900), 'UTF8'))", "select lo_unlink(4711)",
    ),
    "a setting of a role": (
        f"alter role callmart_analyst set application_name = '{WORD}'",
        "alter role callmart_analyst reset application_name",
    ),
    "a message in the log": (f"set log_min_messages = log; do $$ begin raise log '{WORD}'; end $$", "select 1"),
}  # fmt: skip


def test_the_bytes_of_the_server_are_searched_wherever_somebody_is(home: Callmart, work: Work) -> None:
    files, person = PLACE["server files"], made_up(work, "agent")
    for what, (planted, undone) in ODD.items():
        with home.superuser() as postgres:
            work.needles = Needles([WORD])
            postgres.execute("alter role callmart_analyst reset all")
            before = files.prove(work, person).left.total()
            postgres.execute(planted.encode())
            postgres.commit()
            assert files.prove(work, person).left.total() > before, what
            postgres.execute(undone.encode())


def test_on_a_server_elsewhere_the_catalogue_is_asked(work: Work) -> None:
    work.needles = Needles([WORD])
    assert not searching.catalogue(work)
    with changed(f"comment on table raw.event is '{WORD}'")(work):
        assert searching.catalogue(work)
    work.connection.rollback()
    assert work.connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE


# Functions that somebody else has made, and that would fit better than PostgreSQL's own.
TRAPS = {"pg_stat_statements_reset": "", "format": "text, name, name, text", "pg_relation_filenode": "oid"}


def test_statements_that_an_extension_keeps_are_found_and_forgotten(home: Callmart) -> None:
    """PostgreSQL's own pg_stat_statements, which keeps a command as it was typed, and shows counts to every login."""
    with embedded_server.administrator(home.home) as postgres:
        postgres.execute("alter system set shared_preload_libraries = 'pg_stat_statements'")
    embedded_server.stop(home.home)
    files = PLACE["server files"]
    with (
        embedded_server.administrator(home.home) as postgres,
        home.connect() as owner,
        procedure.working(owner, home.settings) as work,
    ):
        postgres.execute("create extension pg_stat_statements schema public")
        for name, arguments in TRAPS.items():
            owner.execute(
                f"create function public.{name}({arguments}) returns text language plpgsql"
                " as $$ begin raise exception 'called'; end $$".encode()
            )
        owner.commit()
        assert ["any login can count" in one.text for one in drift.of_server(owner)] == [True]
        postgres.execute(embedded_server.ADMINISTRATOR.read_bytes())
        assert list(drift.of_server(owner)) == []
        elsewhere = home.settings.model_copy(update={"dsn": SecretStr("postgresql://elsewhere")})
        work.needles = Needles([WORD])
        both, person = (work, replace(work, settings=elsewhere)), made_up(work, "agent")
        assert [files.prove(one, person).left["statements"] for one in both] == [0, 0]
        before = files.prove(work, person).left
        owner.execute(f"do $$ begin perform '{WORD}'; end $$".encode())
        owner.commit()
        assert files.prove(work, person).left["files"] > before["files"]
        assert files.prove(both[1], person).left == {"statements": 1}
        files.treat(both[1], person)
        assert files.prove(both[1], person).left == {"statements": 1}  # only a superuser may
        files.treat(work, person)
        assert files.prove(work, person).left["files"] <= before["files"]
        assert files.prove(both[1], person).left == {}
        for name, arguments in TRAPS.items():
            owner.execute(f"drop function public.{name}({arguments})".encode())
        owner.commit()
        postgres.execute("drop extension pg_stat_statements")
        postgres.execute("alter system reset shared_preload_libraries")
    embedded_server.stop(home.home)
