"""Tries every setting and connection, and changes nothing: it starts no server, makes no file and writes no row.

Each check stands alone. One that finds something wrong, or breaks off, doesn't keep the others from being made. What
can't be tried, because something else is wrong or doesn't run, is reported as not checked, never as ok.
"""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import psycopg
from pydantic import SecretStr

from callmart.access import drift, logins
from callmart.backup import sealed
from callmart.base import disk, keys
from callmart.base.errors import UserError, kind
from callmart.base.secret_files import refuse_shared
from callmart.base.settings import CONFIG_FILE, AlarmMail, Alerts, Folder, MailServer, Settings
from callmart.database import clock, fingerprints, ledger, restoring, schema, server
from callmart.land import arriving
from callmart.mailing import sending
from callmart.operations import alerts, health
from callmart.publish import bookkeeping, emulator, tableau

ADMINISTRATORS = (
    "ServerAdministrator",
    "SiteAdministratorCreator",
    "SiteAdministratorExplorer",
    "SiteAdministrator",
)
AGAIN = "then run `callmart doctor` again"

Outcome = Literal["ok", "wrong", "not checked"]


@dataclass(frozen=True)
class Check:
    """What was tried, how it turned out, and in one sentence what was found, with the remedy if it is wrong."""

    name: str
    outcome: Outcome
    found: str


class NotChecked(Exception):
    """A check can't be made. The message says why, and how it can be."""


def checks(load: Callable[[], Settings]) -> Iterator[Check]:
    """Make all checks. `load` returns the settings; UserError if one is wrong."""
    try:
        settings = load()
    except UserError as mistake:
        yield Check("settings", "wrong", str(mistake))
        yield Check("everything else", "not checked", f"correct the settings first, {AGAIN}")
        return
    yield Check("settings", "ok", _sources(settings))
    yield _tried("home", partial(_home, settings.home))
    written = [settings.home, *(folder.move_to for folder in settings.folders if folder.move_to)]
    for place in dict.fromkeys(written):
        yield _tried(f"disk of {place}", partial(_disk, place, settings))
    yield _tried("backups", partial(_backups, settings))
    yield _tried("privacy", partial(_privacy, settings))
    yield from _of_alerts(settings)
    if settings.mail.smtp is not None:
        yield _tried("mail.smtp", partial(_mail_server, settings.mail.smtp))
    yield from _of_database(settings)
    yield _tried("Tableau", partial(_tableau, settings))
    if not settings.folders:
        yield Check("folders", "ok", "none is set; `callmart land` takes single files")
    for folder in settings.folders:
        yield _tried(f"folder {folder.path}", partial(_folder, folder))


def _tried(name: str, check: Callable[[], str]) -> Check:
    """Make a check. It returns what is well, or raises."""
    try:
        return Check(name, "ok", check())
    except NotChecked as reason:
        return Check(name, "not checked", str(reason))
    except UserError as mistake:
        return Check(name, "wrong", str(mistake))
    except Exception as error:  # not its message: that can contain a row or a secret
        return Check(name, "wrong", f"the check broke off ({kind(error)}); correct that, and run it again")


def _sources(settings: Settings) -> str:
    """Where the settings come from, and which are set."""
    source = f"{CONFIG_FILE} and the environment" if CONFIG_FILE.is_file() else "the environment"
    return f"from {source}: {', '.join(sorted(settings.model_fields_set)) or 'none, all have their defaults'}"


def _first_of(wrong: Sequence[str]) -> str:
    """The first of several sentences, and how many others there are."""
    return wrong[0] + (f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else "")


# -- this machine ----------------------------------------------------------------------------------------------


def _home(home: Path) -> str:
    try:
        found = home.stat()
    except FileNotFoundError:
        raise NotChecked(f"{home} is not there yet; `callmart start` makes it") from None
    if not home.is_dir():
        raise UserError(f"{home} is not a folder; let CALLMART_HOME name a folder of your own")
    if found.st_uid != os.geteuid():
        raise UserError(
            f"{home} belongs to another user (number {found.st_uid}); run callmart as that user, "
            f"or hand it over: `chown -R $(id -un) {home}`"
        )
    usual = 0o711 if os.geteuid() == 0 else 0o700
    if found.st_mode & 0o777 & ~usual:
        raise UserError(f"other users can open {home}; close it with `chmod {usual:o} {home}`")
    if not os.access(home, os.W_OK | os.X_OK, effective_ids=True):
        raise UserError(
            f"{home} can't be written to; give this user write permission with `chmod {usual:o} {home}`"
        )
    return f"{home} is this user's alone"


def _disk(place: Path, settings: Settings) -> str:
    while not place.exists():  # what is yet to be made is made on this disk
        place = place.parent
    disk = health.disk_of(place)
    free, least = disk.free / 2**30, disk.least_free(settings) / 2**30
    if free < least:
        raise UserError(
            f"{free:.1f} GiB are free; make room until there are {least:.1f}, or use another disk"
        )
    if disk.files < settings.health.disk_free_share:
        raise UserError(f"{disk.files:.0%} of its inodes are free; delete files that nobody needs")
    return f"{free:.0f} GiB are free"


def _backups(settings: Settings) -> str:
    if settings.backup_passphrase is None and settings.backup_passphrase_file is None:
        return "no passphrase is set; `callmart backup` needs one"
    sealed.passphrase(settings)
    return "there is a passphrase for the keys"


def _privacy(settings: Settings) -> str:
    copy = settings.privacy.ledger_copy
    if copy is None:
        ledger.refuse_one_copy(settings, needed=ledger.last(settings)[0] > 0)
        return (
            "no second copy of the ledger is set (privacy.ledger_copy): after a loss of CALLMART_HOME nobody knows who "
            "was erased since the last backup"
        )
    if not copy.parent.is_dir():
        raise UserError(f"privacy.ledger_copy: {copy.parent} is not a folder; make it, or mount its volume")
    if copy.exists():
        refuse_shared(copy, "privacy.ledger_copy")
    if not os.access(copy.parent, os.W_OK | os.X_OK, effective_ids=True):
        raise UserError(f"privacy.ledger_copy: {copy.parent} can't be written to; give it to this user")
    if disk.on_one_volume(copy.parent, settings.home):
        return (
            f"the second copy of the ledger is {copy}, on the volume of CALLMART_HOME: better on another one"
        )
    return f"the second copy of the ledger is {copy}"


def _of_alerts(settings: Settings) -> Iterator[Check]:
    set_up = settings.alerts
    if set_up == Alerts():
        yield Check("alerts", "ok", "none are set up; nobody is told when a night fails")
    for setting, url in ("ping_url", set_up.ping_url), ("webhook_url", set_up.webhook_url):
        if url is not None:
            yield _tried(f"alerts.{setting}", partial(_answers, setting, url))
    if set_up.mail is not None:
        yield _tried("alerts.mail", partial(_mail, set_up.mail))


def _answers(setting: str, url: SecretStr) -> str:
    alerts.try_url(setting, url)
    return "its server answers; nothing was sent"


def _mail(mail: AlarmMail) -> str:
    alerts.try_mail(mail)
    return _accepted(mail)


def _mail_server(server: MailServer) -> str:
    sending.try_server(server)
    return _accepted(server)


def _accepted(server: MailServer) -> str:
    return "the mail server accepts the login; nothing was sent" if server.user else "the mail server answers"


def _folder(folder: Folder) -> str:
    if not folder.path.is_dir():
        raise UserError(f"{folder.path} is not a folder; mount it, or correct `folders` in callmart.toml")
    if not os.access(folder.path, os.R_OK | os.X_OK, effective_ids=True):
        raise UserError(f"{folder.path} can't be read; give this user read permission")
    if folder.after != "keep" and not os.access(folder.path, os.W_OK, effective_ids=True):
        raise UserError(
            f'{folder.path} can\'t be written to, and after = "{folder.after}" takes files away; '
            "give this user write permission"
        )
    if folder.move_to is not None and not folder.move_to.is_dir():
        raise UserError(
            f"move_to {folder.move_to} is not a folder; make it or mount it, and give it to this user"
        )
    if folder.move_to is not None and not os.access(
        folder.move_to, os.R_OK | os.W_OK | os.X_OK, effective_ids=True
    ):
        raise UserError(f"move_to {folder.move_to} can't be written to; give this user write permission")
    arriving.arrived(folder, time.time)  # raises if it can't be looked into, or leads elsewhere
    return f"readable{'' if folder.after == 'keep' else ' and writable'}; what landed: {folder.after}"


# -- the database ----------------------------------------------------------------------------------------------


def _of_database(settings: Settings) -> Iterator[Check]:
    """Connect to the database, and try what needs a connection."""
    names = ("TLS", "schema", "clock", "rights", "logins", "keys", "ledger", "Tableau sites")
    with ExitStack() as opened:
        connections: list[psycopg.Connection] = []

        def connect() -> str:
            connections.append(opened.enter_context(closing(server.connect(_reached(settings)))))
            connections[0].read_only = True
            version = connections[0].info.parameter_status("server_version") or "?"
            return f"PostgreSQL {version.split()[0]} as {connections[0].info.user}"

        yield (found := _tried("database", connect))
        if found.outcome != "ok":
            for name in names:
                yield Check(name, "not checked", "the database has to answer first")
            return
        (connection,) = connections

        def tried(name: str, check: Callable[[], str]) -> Check:
            def anew() -> str:
                connection.rollback()  # an error of the last check would be one of this, too
                return check()

            return _tried(name, anew)

        yield tried("TLS", partial(_tls, connection, settings))
        yield (current := tried("schema", partial(_schema, connection, settings)))
        for name, check in (
            ("clock", partial(_clock, connection, settings)),
            ("rights", partial(_rights, connection, settings)),
            ("logins", partial(_logins, connection, settings)),
            ("keys", partial(_keys, connection, settings.home)),
            ("ledger", partial(_ledger, connection, settings)),
            ("Tableau sites", partial(_sites, connection, settings)),
        ):
            if current.outcome == "ok":
                yield tried(name, check)
            else:
                yield Check(name, "not checked", "the schema has to be current first")


def _reached(settings: Settings) -> Settings:
    """The settings by which the embedded server is not started."""
    try:
        return server.if_running(settings)
    except server.NotRunning as reason:
        raise NotChecked(f"{reason}, {AGAIN}") from None


def _tls(connection: psycopg.Connection, settings: Settings) -> str:
    if wrong := server.open_way(_reached(settings)):
        raise UserError(wrong)
    return "encrypted" if connection.pgconn.ssl_in_use else "the server is on this machine"


def _schema(connection: psycopg.Connection, settings: Settings) -> str:
    restoring.refuse(connection)
    schema.require(connection, settings.time_zone)
    return "up to date"


def _clock(connection: psycopg.Connection, settings: Settings) -> str:
    reading = clock.read(connection, settings)
    connection.rollback()
    if reading.doubt:
        raise UserError(reading.doubt)
    return f"{reading.today}, believed"


def _rights(connection: psycopg.Connection, settings: Settings) -> str:
    found = drift.find(connection, None)
    connection.rollback()
    if stopping := drift.stopping(connection, settings, found):
        first = _first_of([one.text for one in stopping])
        raise UserError(f"{first}; `callmart access diff` shows all, `callmart access apply` corrects")
    return "as access.yml says"


def _logins(connection: psycopg.Connection, settings: Settings) -> str:
    """Log in as each duty and customer, with the password in its file."""
    wrong, reached = [], _reached(settings)
    known = logins.known(connection)
    connection.rollback()
    for role in known:
        try:
            refuse_shared(logins.passfile(settings.home, role), f"login {role}")
            psycopg.connect(logins.login_uri(reached, role)).close()
        except UserError as mistake:
            wrong.append(str(mistake))
        except OSError:
            wrong.append(
                f"login {role}: its password file is missing or can't be read; run `callmart access apply`"
            )
        except psycopg.OperationalError as error:
            renewing = (
                "; `callmart access apply` makes a new password" if logins.is_of_password(error) else ""
            )
            wrong.append(f"login {role}: {server.cause(error)}{renewing}")
    if wrong:
        raise UserError(_first_of(wrong))
    return f"{len(known)}, each with the password in its file"


def _keys(connection: psycopg.Connection, home: Path) -> str:
    """Compare the installation's key and each customer's with its fingerprint in the database."""
    known = fingerprints.known(connection)
    connection.rollback()
    for whose, fingerprint in known.items():
        path = keys.key_file(home, whose)
        try:
            refuse_shared(path, f"the key of {keys.named(whose)}")
        except OSError:
            raise UserError(
                f"the key of {keys.named(whose)} is missing or can't be read ({path}): {keys.RESTORE}"
            ) from None
        keys.known_key(home, whose, fingerprint)
    return f"{len(known)}, each that of its data"


def _ledger(connection: psycopg.Connection, settings: Settings) -> str:
    problems = ledger.compare(connection, settings).problems
    connection.rollback()
    if problems:
        raise UserError(problems[0])
    return f"entry {ledger.last(settings)[0]} is the last one, in the ledger as in the database"


# -- Tableau ---------------------------------------------------------------------------------------------------


def _require_running(settings: Settings) -> None:
    tableau.require_server(settings)
    if settings.tableau.is_emulated and not emulator.is_running(settings.home):
        raise NotChecked(f"the emulator is not running: `callmart start` starts it, {AGAIN}")


def _tableau(settings: Settings) -> str:
    """Sign in. Whether projects can be made follows from the user's role on the site."""
    _require_running(settings)
    with tableau.connect(settings) as signed_in:
        which = "the emulator" if settings.tableau.is_emulated else settings.tableau.server
        return f"{which}, API {signed_in.version}, signed in as {_role(signed_in)}"


def _sites(connection: psycopg.Connection, settings: Settings) -> str:
    """Sign in to the sites that customers have, or had, for themselves."""
    own = [site for site in bookkeeping.sites(connection, settings) if site]
    connection.rollback()
    if not own:
        return "no customer has one of its own"
    _require_running(settings)
    wrong = []
    for site in own:
        try:
            with tableau.connect(settings, site) as signed_in:
                _role(signed_in)
        except UserError as mistake:
            wrong.append(f"site '{site}': {mistake}")
    if wrong:
        raise UserError(_first_of(wrong))
    return f"{', '.join(own)}, each signed in to"


def _role(signed_in: Any) -> str:
    """The site role of the user. Raises UserError if it is too little."""
    user = signed_in.users.get_by_id(str(signed_in.user_id))
    if user.site_role not in ADMINISTRATORS:
        raise UserError(
            f"the user {user.name} is {user.site_role} on the site and can't make projects at its top; "
            "make it SiteAdministratorExplorer or SiteAdministratorCreator"
        )
    return str(user.site_role)
