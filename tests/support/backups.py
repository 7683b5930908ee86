"""What tests of backups share: a passphrase, a published home, and what a database holds, looked at by itself."""

import re
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

from pydantic import SecretStr

from callmart.backup import backup, restore
from callmart.backup.manifest import Manifest
from callmart.base.settings import PROJECT, Privacy, Tableau
from callmart.database import ledger
from callmart_home import Callmart
from commands import command_of
from tableau_emulator.process import Emulator

PASSPHRASE = "a passphrase of the tests"

# What a restore writes itself, and what is about the roles of one server.
OWN = ("ops.audit_log", "ops.clock", "ops.running_now", "ops.to_vacuum", "privacy.ledger")
OF_ROLES = ("access.applied", "access.closing", "access.definition", "access.granted")


def with_settings(callmart: Callmart, **settings: Any) -> Callmart:
    """The same callmart with a passphrase, a second copy of the ledger, and other settings."""
    privacy = Privacy(ledger_copy=callmart.home.with_name(f"ledger-of-{callmart.home.name}"))
    update = {"backup_passphrase": SecretStr(PASSPHRASE), "privacy": privacy} | settings
    return Callmart(callmart.settings.model_copy(update=update))


def with_ledger_copy(callmart: Callmart, folder: Path) -> Callmart:
    """The same callmart with a passphrase, and with the copy of its ledger in another folder."""
    copied = with_settings(callmart, privacy=Privacy(ledger_copy=folder / "ledger"))
    with copied.connect() as connection:
        ledger.close(connection, copied.settings)
    return copied


def publishing_to(emulator: Emulator) -> dict[str, Any]:
    """The settings that name an emulator as if it was a Tableau server of somebody else's."""
    tableau = Tableau(
        server=emulator.url,
        token_name=emulator.token_name,
        token=SecretStr(emulator.token),
        keep_extracts=True,
    )
    return {"tableau": tableau}


def back_up(callmart: Callmart, folder: Path) -> Manifest:
    with callmart.connect() as connection:
        return backup.back_up(connection, callmart.settings, folder)


def restored(callmart: Callmart, folder: Path, **options: Any) -> restore.Restored:
    opened = restore.open_backup(folder, callmart.settings)
    with callmart.connect() as connection:
        return restore.restore(
            connection, callmart.settings, opened, options.pop("accepted", None), take_over=False, **options
        )


def content(callmart: Callmart) -> dict[str, list[str]]:
    """Every row of every table, but for what a restore itself writes."""
    return {
        name: sorted(row["t"] for row in callmart.rows(f"select t::text as t from {name} as t"))
        for name in callmart.tables()
        if name not in OWN + OF_ROLES
    }


def tables_with(callmart: Callmart, words: str) -> set[str]:
    """The tables in which a regular expression is found, of a key for example."""
    return {
        name
        for name in callmart.tables()
        if callmart.rows(f"select from {name} as t where to_jsonb(t)::text ~ %s limit 1", words)
    }


def logins(callmart: Callmart) -> set[str]:
    """The roles of callmart that can log in, without the owner."""
    rows = callmart.rows("select rolname from pg_roles where rolcanlogin and rolname ~ '^callmart_'")
    return {row["rolname"] for row in rows} - {"callmart_owner"}


def blocks_of_the_runbook() -> list[list[str]]:
    """The commands of each block in the runbook's section."""
    page = (PROJECT / "docs" / "runbook.md").read_text()
    section = page.split("\n## Back up and restore\n")[1].split("\n## ")[0]
    return [
        [line for line in map(str.strip, block.splitlines()) if line.startswith("callmart ")]
        for block in re.findall(r"^ *```\n(.*?)^ *```", section, flags=re.MULTILINE | re.DOTALL)
    ]


class Runbook:
    """Does what the runbook says, with other places."""

    def __init__(self, folder: Path, registry: Path, environment: dict[str, str]) -> None:
        self.folder, self.registry, self.environment = folder, registry, environment
        found = blocks_of_the_runbook()
        (self.to_back_up,), self.to_restore, self.to_take_over, (self.to_restore_keys,) = found

    def run(self, home: Path, line: str) -> CompletedProcess[str]:
        program, *words = line.split()
        places = {"/srv/backup/2026-11-26": str(self.folder), "registry.yml": str(self.registry)}
        assert program == "callmart"
        return command_of(home)(*(places.get(word, word) for word in words), **self.environment)
