"""What the emulator remembers: a SQLite database and a folder of files, readable by this user alone."""

import hashlib
import os
import sqlite3
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, Self

ALL_USERS = "All Users"
KEPT_REQUESTS = 20_000  # of the request log
_STALE_UPLOAD_S = 86_400

_SCHEMA = """
create table if not exists site (id text primary key, name text not null, content_url text not null unique);
create table if not exists user (id text primary key, name text not null unique, site_role text not null);
create table if not exists token (
    name text primary key, secret_hash text not null, user_id text not null references user
);
create table if not exists session (
    token_name text primary key references token,  -- one live session a token
    key_hash text not null unique, expires_at real not null
);
create table if not exists user_group (id text primary key, name text not null unique);
create table if not exists project (
    id text primary key, name text not null, description text not null, content_permissions text not null,
    parent_id text references project, owner_id text not null references user,
    created_at text not null, updated_at text not null
);
create unique index if not exists project_name on project (coalesce(parent_id, ''), name);
create table if not exists datasource (
    id text primary key, name text not null, description text not null, content_url text not null unique,
    type text not null, project_id text not null references project, owner_id text not null references user,
    file text not null, size integer not null, created_at text not null, updated_at text not null,
    unique (project_id, name)
);
create table if not exists tag (
    content_id text not null, label text not null, primary key (content_id, label)
) without rowid;
create table if not exists rule (
    content_id text not null,
    scope text not null,  -- 'own', or the kind of content whose default in a project this is
    grantee_kind text not null, grantee_id text not null, capability text not null, mode text not null,
    primary key (content_id, scope, grantee_kind, grantee_id, capability)
) without rowid;
create table if not exists upload (id text primary key, created_at real not null);
create table if not exists request (
    id integer primary key, at text not null, method text not null, path text not null,
    status integer not null, bytes integer not null
);
"""


class LoggedRequest(NamedTuple):
    """A request that was answered; the path without its query."""

    method: str
    path: str
    status: int
    bytes: int


def now() -> str:
    """This moment, as the API writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def digest(secret: str) -> str:
    """What is kept of a secret: enough to recognise it."""
    return hashlib.sha256(secret.encode()).hexdigest()


class State:
    """The state in `folder`, made when it is not there yet. Close it, or use it in a with statement."""

    def __init__(self, folder: Path) -> None:
        self.files = folder / "files"
        self.uploads = folder / "uploads"
        self._discarded: list[Path] = []
        for made in (folder, self.files, self.uploads):
            made.mkdir(mode=0o700, parents=True, exist_ok=True)
        database = folder / "state.sqlite"
        os.close(os.open(database, os.O_CREAT, 0o600))
        self.database = sqlite3.connect(database, timeout=10, isolation_level=None)
        self.database.row_factory = sqlite3.Row
        self.database.execute("pragma journal_mode = wal")
        self.database.execute("pragma synchronous = normal")
        self.database.execute("pragma foreign_keys = on")
        with self.transaction():
            for statement in _SCHEMA.split(";\n"):
                self.database.execute(statement)
            if self.one("select 1 from site") is None:
                self._found_site()

    def _found_site(self) -> None:
        """What every Tableau site has from the start."""
        owner, at = new_luid(), now()
        self.write("insert into site values (?, 'Default', '')", new_luid())
        self.write("insert into user values (?, 'callmart', 'ServerAdministrator')", owner)
        self.write("insert into user_group values (?, ?)", new_luid(), ALL_USERS)
        self.write(
            "insert into project values (?, 'Default', ?, 'ManagedByOwner', null, ?, ?, ?)",
            new_luid(), "The default project that was automatically created by Tableau.", owner, at, at,
        )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Lets go of the database."""
        self.database.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All of the writes inside, or none; what they discard goes when they are safe."""
        self._discarded.clear()
        self.database.execute("begin immediate")
        try:
            yield
        except BaseException:
            self.database.execute("rollback")
            raise
        self.database.execute("commit")
        for file in self._discarded:
            file.unlink(missing_ok=True)

    def discard(self, file: str) -> None:
        """Removes a published file once the transaction is through."""
        self._discarded.append(self.files / file)

    def one(self, query: str, *values: Any) -> sqlite3.Row | None:
        """The first row of `query`, or None."""
        row: sqlite3.Row | None = self.database.execute(query, values).fetchone()
        return row

    def all(self, query: str, *values: Any) -> list[sqlite3.Row]:
        """All rows of `query`."""
        return self.database.execute(query, values).fetchall()

    def write(self, statement: str, *values: Any) -> int:
        """The number of rows that `statement` wrote."""
        return self.database.execute(statement, values).rowcount

    def all_users(self) -> str:
        """The LUID of the group that everybody is in."""
        return str(self.all("select id from user_group where name = ?", ALL_USERS)[0]["id"])

    def admit(self, token_name: str, secret: str) -> None:
        """Lets the administrator sign in with this personal access token, and with no other of that name."""
        with self.transaction():
            self.write(
                "insert into token select ?, ?, id from user where site_role = 'ServerAdministrator' "
                "on conflict (name) do update set secret_hash = excluded.secret_hash",
                token_name, digest(secret),
            )  # fmt: skip

    def forget(self, content_id: str) -> None:
        """Drops the permissions and tags of content that is being deleted."""
        self.write("delete from rule where content_id = ?", content_id)
        self.write("delete from tag where content_id = ?", content_id)

    def log(self, request: LoggedRequest) -> None:
        """Adds to the request log, which forgets the oldest."""
        with self.transaction():
            self.write("insert into request values (null, ?, ?, ?, ?, ?)", now(), *request)
            self.write("delete from request where id <= (select max(id) from request) - ?", KEPT_REQUESTS)

    def requests(self) -> list[LoggedRequest]:
        """The request log, oldest first."""
        rows = self.all("select method, path, status, bytes from request order by id")
        return [LoggedRequest(*row) for row in rows]

    def sweep(self) -> None:
        """Removes files that nothing refers to: what a crash or an abandoned upload left behind."""
        with self.transaction():
            self.write("delete from upload where created_at < ?", time.time() - _STALE_UPLOAD_S)
            kept = {row[0] for row in self.all("select file from datasource")}
            under_way = {row[0] for row in self.all("select id from upload")}
        for folder, wanted in ((self.files, kept), (self.uploads, under_way)):
            for file in folder.iterdir():
                if file.name not in wanted:
                    file.unlink()


def new_luid() -> str:
    """An identifier such as Tableau gives to everything."""
    return str(uuid.uuid4())


def append(file: Path, content: bytes) -> int:
    """The size of `file` in bytes after `content` was added; made readable by this user alone."""
    with os.fdopen(os.open(file, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600), "ab") as handle:
        handle.write(content)
        return handle.tell()
