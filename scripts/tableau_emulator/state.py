"""The emulator's state: a SQLite database and a folder of files, readable only by this user."""

import hashlib
import json
import os
import sqlite3
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple, Self

from tableau_emulator.capabilities import NEW_PROJECT
from tableau_emulator.errors import EmulatorError

# The changes that make the tables, by number. A state has the number of the last one that it got as its version.
CHANGES = {
    int(file.name.partition("_")[0]): file.read_text(encoding="utf-8")
    for file in files("tableau_emulator").joinpath("schema").iterdir()
    if file.name.endswith(".sql")
}
VERSION = max(CHANGES)
ALL_USERS = "All Users"
SITE_SETTINGS = {  # of a new site, by their names in the API
    "adminMode": "ContentAndUsers",
    "allowSubscriptionAttachments": "true",
    "askDataMode": "DisabledByDefault",
    "disableSubscriptions": "false",
    "extractEncryptionMode": "disabled",
    "revisionHistoryEnabled": "true",
    "revisionLimit": "25",
    "state": "Active",
    "subscribeOthersEnabled": "true",
    "userVisibilityMode": "FULL",
}
ADMINISTRATOR = "admin"  # of a new state
KEPT_REQUESTS = 200_000  # size of the request log
_PRUNED_EVERY = 1_000  # requests
_STALE_UPLOAD_S = 86_400


# The tables of what belongs to content, and goes with it.
_OF_CONTENT = (
    "rule", "tag", "connection", "subscription", "revision", "favorite", "task", "quality_warning"
)  # fmt: skip


class Rows(Sequence[sqlite3.Row]):
    """The rows of a query, of which only those are read that are asked for."""

    def __init__(self, state: "State", query: str, *values: Any) -> None:
        self._state, self._query, self._values = state, query, values

    def __len__(self) -> int:
        return self._size

    @cached_property
    def _size(self) -> int:
        return int(self._state.all(f"select count(*) from ({self._query})", *self._values)[0][0])

    def __iter__(self) -> Iterator[sqlite3.Row]:
        return iter(self._state.all(self._query, *self._values))

    def __getitem__(self, place: Any) -> Any:
        if not isinstance(place, slice):
            return list(self)[place]
        first, end, _ = place.indices(len(self))
        return self._state.all(f"{self._query} limit ? offset ?", *self._values, max(0, end - first), first)


class LoggedRequest(NamedTuple):
    """An entry of the request log. The path is without the query."""

    method: str
    path: str
    status: int
    bytes: int


def now() -> str:
    """The present time in the API's format."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def digest(secret: str) -> str:
    """A hash of a secret, which is stored instead of it."""
    return hashlib.sha256(secret.encode()).hexdigest()


class State:
    """The state in `folder`, created if it doesn't exist yet. Close it, or use it in a with statement.

    Raises EmulatorError if the folder has files of another program, as `sweep` deletes files that it doesn't know.
    """

    def __init__(self, folder: Path) -> None:
        self.files = folder / "files"
        self.uploads = folder / "uploads"
        self._discarded: list[Path] = []
        database = folder / "state.sqlite"
        for made in (folder, self.files, self.uploads):
            made.mkdir(mode=0o700, parents=True, exist_ok=True)
            if made != folder and not database.exists() and any(made.iterdir()):
                raise EmulatorError(f"{made} contains files of another program; name another folder")
        if not database.exists():  # otherwise closing it would end the locks that this process has on it
            os.close(os.open(database, os.O_CREAT, 0o600))
        self.database = sqlite3.connect(database, timeout=10, isolation_level=None)
        self.database.row_factory = sqlite3.Row
        _refuse_newer(self.database)
        self.database.execute("pragma journal_mode = wal")
        self.database.execute("pragma synchronous = normal")
        if _version(self.database) != VERSION:
            with self.transaction():
                self._upgrade()
        self.database.execute("pragma foreign_keys = on")

    def _tables(self) -> list[str]:
        query = "select name from sqlite_master where type = 'table' and name not like 'sqlite_%'"
        return [row["name"] for row in self.all(query)]

    def _upgrade(self) -> None:
        """Makes the changes that the state doesn't have yet: all of them if it is new."""
        version = _version(self.database)  # another process may have been faster
        if version == 0 and self._tables():
            raise EmulatorError("state.sqlite belongs to another program; name another folder")
        if 0 < version < min(CHANGES):
            raise EmulatorError(
                f"the state is of version {version}, which is too old for this emulator; delete the folder to begin "
                "with an empty one, or name another folder"
            )
        for number in sorted(CHANGES):
            if number > version:
                for statement in CHANGES[number].split(";\n"):
                    self.database.execute(statement)
        self.database.execute(f"pragma user_version = {VERSION}")
        if version == 0:
            self.found_site("Default", "", ADMINISTRATOR)

    def reset(self) -> None:
        """Resets the state to that of a new emulator. Only the tokens of the first administrator stay."""
        with self.transaction():
            self.database.execute("pragma defer_foreign_keys = on")
            name = self.administrator()["name"]
            tokens = self.all(
                "select name, secret_hash from token where user_id = ?", self.administrator()["id"]
            )
            for table in self._tables():
                self.write(f"delete from {table}")
            self.found_site("Default", "", name)
            for token in tokens:
                self.insert("token", **token, user_id=self.administrator()["id"])
        self.sweep()

    def found_site(self, name: str, content_url: str, administrator: str) -> str:
        """Creates a site with what every Tableau site has from the start; returns its LUID."""
        site, owner, at = new_luid(), new_luid(), now()
        self.insert(
            "site", id=site, name=name, content_url=content_url, settings=json.dumps(SITE_SETTINGS)
        )  # fmt: skip
        self.insert("user_group", id=new_luid(), site_id=site, name=ALL_USERS)
        self.add_user(owner, site, administrator, "ServerAdministrator")
        project = new_luid()
        self.insert(
            "project", id=project, site_id=site, name="Default", content_permissions="ManagedByOwner",
            description="The default project that was automatically created by Tableau.",
            owner_id=owner, created_at=at, updated_at=at,
        )  # fmt: skip
        self.welcome(site, project)
        return site

    def add_user(
        self, luid: str, site: str, name: str, role: str, auth_setting: str = "ServerDefault"
    ) -> None:
        """Adds a user to a site, and to the group All Users. Who is on another site has the same account here."""
        account = self.one("select email from user where name = ?", name)
        self.insert(
            "user", id=luid, site_id=site, name=name, full_name=name, email=account["email"] if account else "",
            site_role=role, auth_setting=auth_setting,
        )  # fmt: skip
        self.insert("membership", group_id=self.all_users(site), user_id=luid)

    def welcome(self, site: str, project_id: str) -> None:
        """Gives a new project the rules that Tableau gives it: All Users may view and publish."""
        everybody = self.all_users(site)
        for scope, capabilities in NEW_PROJECT.items():
            for capability in capabilities:
                self.insert(
                    "rule", content_id=project_id, scope=scope, grantee_kind="group", grantee_id=everybody,
                    capability=capability, mode="Allow",
                )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the database."""
        self.database.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commits all writes in the block, or none. Discarded files are deleted after the commit."""
        database = self.database
        self._discarded.clear()
        database.execute("begin immediate")
        try:
            yield
        except BaseException:
            database.execute("rollback")
            raise
        database.execute("commit")
        for file in self._discarded:
            file.unlink(missing_ok=True)

    @contextmanager
    def read_from(self, database: sqlite3.Connection) -> Iterator[None]:
        """In the block, everything is read from another database, an older copy of this one."""
        own, self.database = self.database, database
        try:
            yield
        finally:
            self.database = own

    def discard(self, file: str) -> None:
        """Deletes a published file after the transaction is committed."""
        self._discarded.append(self.files / file)

    def one(self, query: str, *values: Any) -> sqlite3.Row | None:
        """The first row of `query`, or None."""
        row: sqlite3.Row | None = self.database.execute(query, values).fetchone()
        return row

    def all(self, query: str, *values: Any) -> list[sqlite3.Row]:
        """All rows of `query`."""
        return self.database.execute(query, values).fetchall()

    def write(self, statement: str, *values: Any) -> int:
        """Executes `statement`; returns the number of rows that it wrote."""
        return self.database.execute(statement, values).rowcount

    def insert(self, table: str, **values: Any) -> None:
        """Adds a row."""
        columns, marks = ", ".join(values), ", ".join("?" * len(values))
        self.write(f"insert into {table} ({columns}) values ({marks})", *values.values())

    def ensure(self, table: str, **values: Any) -> None:
        """Adds a row unless there is one with its key."""
        columns, marks = ", ".join(values), ", ".join("?" * len(values))
        self.write(f"insert or ignore into {table} ({columns}) values ({marks})", *values.values())

    def update(self, table: str, luid: str, **values: Any) -> None:
        """Changes the row with a LUID."""
        changes = ", ".join(f"{column} = ?" for column in values)
        self.write(f"update {table} set {changes} where id = ?", *values.values(), luid)

    def setting(self, site: str, name: str) -> str:
        """The value of a site's setting, one that every site has."""
        return str(
            self.all("select json_extract(settings, '$.' || ?) from site where id = ?", name, site)[0][0]
        )

    def all_users(self, site: str) -> str:
        """The LUID of a site's group All Users."""
        rows = self.all("select id from user_group where site_id = ? and name = ?", site, ALL_USERS)
        return str(rows[0]["id"])

    def user(self, name: str, content_url: str = "") -> sqlite3.Row:
        """The user of this name on a site. Raises KeyError if there is none."""
        row = self.one(
            "select user.* from user join site on site.id = site_id where user.name = ? and content_url = ?",
            name, content_url,
        )  # fmt: skip
        if row is None:
            raise KeyError(name)
        return row

    def administrator(self) -> sqlite3.Row:
        """The first administrator of the server."""
        return self.all(
            "select user.* from user join site on site.id = site_id "
            "where content_url = '' and site_role = 'ServerAdministrator' order by user.rowid limit 1"
        )[0]

    def admit(self, token_name: str, secret: str, user: str | None = None) -> None:
        """Lets a user sign in with this personal access token. It replaces another token with the same name.

        Without a user, it is a token of the first administrator.
        """
        with self.transaction():
            holder = self.administrator() if user is None else self.user(user)
            self.write(
                "insert into token (name, secret_hash, user_id) values (?, ?, ?) on conflict (name) "
                "do update set secret_hash = excluded.secret_hash, user_id = excluded.user_id",
                token_name, digest(secret), holder["id"],
            )  # fmt: skip

    def set_password(self, user: str, password: str, content_url: str = "") -> None:
        """Lets a user sign in with this password."""
        with self.transaction():
            self.update("user", self.user(user, content_url)["id"], password_hash=digest(password))

    def connect_app(
        self, client_id: str, secret_id: str, secret: str, scopes: list[str] | None = None
    ) -> None:
        """Trusts the JSON web tokens that a connected app signs with this secret, for these scopes or for all."""
        with self.transaction():
            self.write("delete from app_scope where secret_id = ?", secret_id)
            self.write(
                "insert or replace into connected_app (client_id, secret_id, secret) values (?, ?, ?)",
                client_id, secret_id, secret,
            )  # fmt: skip
            for scope in scopes or ():
                self.insert("app_scope", secret_id=secret_id, scope=scope)

    def forget(self, content_id: str) -> None:
        """Deletes everything that belongs to content that is being deleted."""
        for revision in self.all("select file from revision where content_id = ?", content_id):
            self.discard(revision["file"])
        for table in _OF_CONTENT:
            self.write(f"delete from {table} where content_id = ?", content_id)

    def log(self, request: LoggedRequest) -> None:
        """Adds an entry to the request log, and deletes the oldest ones."""
        cursor = self.database.execute("insert into request values (null, ?, ?, ?, ?, ?)", (now(), *request))
        if (last := cursor.lastrowid or 0) % _PRUNED_EVERY == 0:
            self.write("delete from request where id <= ?", last - KEPT_REQUESTS)

    def requests(self) -> list[LoggedRequest]:
        """The request log, oldest first."""
        rows = self.all("select method, path, status, bytes from request order by id")
        return [LoggedRequest(*row) for row in rows]

    def sweep(self) -> None:
        """Deletes files to which nothing refers: those that a crash or an abandoned upload left behind."""
        with self.transaction():
            self.write("delete from upload where created_at < ?", time.time() - _STALE_UPLOAD_S)
            kept = {row[0] for row in self.all("select file from revision")}
            under_way = {row[0] for row in self.all("select file from upload")}
        for folder, wanted in ((self.files, kept), (self.uploads, under_way)):
            for file in folder.iterdir():
                if file.name not in wanted:
                    file.unlink()


def refuse_newer(folder: Path) -> None:
    """Raises EmulatorError if the state in `folder` is from a newer emulator. Changes nothing."""
    if (folder / "state.sqlite").exists():
        with closing(sqlite3.connect(folder / "state.sqlite", timeout=10)) as database:
            _refuse_newer(database)


def _refuse_newer(database: sqlite3.Connection) -> None:
    if (version := _version(database)) > VERSION:
        raise EmulatorError(
            f"the state is of version {version}, from a newer emulator, and this one knows {VERSION}; use the newer "
            "one, or name another folder"
        )


def _version(database: sqlite3.Connection) -> int:
    return int(database.execute("pragma user_version").fetchone()[0])


def new_luid() -> str:
    """A new identifier in Tableau's form."""
    return str(uuid.uuid4())


def append(file: Path, content: bytes) -> int:
    """Appends `content` to `file`, which is readable only by this user. Returns its new size in bytes."""
    with os.fdopen(os.open(file, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600), "ab") as handle:
        handle.write(content)
        return handle.tell()
