"""Settings, from the environment (CALLMART_*) and callmart.toml."""

import os
import re
import stat
import sys
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Self, get_args
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, available_timezones

from pydantic import (
    AfterValidator,
    BaseModel,
    Field,
    PlainValidator,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from callmart.base.errors import UserError
from callmart.base.secret_files import refuse_shared
from callmart.base.strict import Strict, first_mistake

PROJECT = Path(__file__).resolve().parents[3]
COMMAND = Path(sys.executable).with_name("callmart")  # of this installation
CONFIG_FILE = Path(os.environ.get("CALLMART_CONFIG", PROJECT / "callmart.toml"))

# Variables that begin like a setting and are not: the name of the settings' file, and what profiles.yml reads.
NO_SETTINGS = (
    "CALLMART_CONFIG",
    *(f"CALLMART_PG_{part}" for part in ("HOST", "PORT", "USER", "DATABASE", "SSLMODE", "SSLROOTCERT")),
)
OF_THE_TESTS = "CALLMART_TEST_"

EMULATOR = "emulator"  # as tableau.server

Platform = Literal["vcare", "vcloud", "sip_trunk", "isdn2", "isdn30"]


@cache  # 600 files are read
def time_zones() -> set[str]:
    """The names of time zones. Debian's `localtime` is none: DuckDB does not know it, and it differs by machine. The
    other four are none, as PostgreSQL takes them for abbreviations, without summer time.
    """
    return available_timezones() - {"localtime", "CET", "EET", "MET", "WET"}


def _known_zone(name: str) -> str:
    if name not in time_zones():
        raise ValueError("unknown time zone; use an IANA name such as Europe/Amsterdam")
    return name


TimeZone = Annotated[str, AfterValidator(_known_zone)]


def _path(written: object) -> Path:
    """A path, relative to the project's folder, so that a command does the same in any folder. An empty text would be
    that folder itself, and as `home` be filled and closed.
    """
    if not isinstance(written, str | Path) or not str(written):
        raise ValueError("not a path; write one, or remove the setting")
    return PROJECT / Path(written).expanduser()


Place = Annotated[Path, PlainValidator(lambda written: _path(written).resolve())]


def _where_it_lies(written: object) -> Path:
    """Where a folder of raw files lies. Only links of root and of this user are followed: whoever delivers one
    customer's files may own the folder around its own, and lead it into another customer's.
    """
    parts, place = list(reversed(_path(written).parts)), Path()
    for _ in range(10_000):  # links can lead in a circle
        if not parts:
            return place
        part = parts.pop()
        there = place.parent if part == ".." else place / part
        try:
            entry = there.lstat()
        except OSError:
            entry = None
        if entry is not None and stat.S_ISLNK(entry.st_mode) and entry.st_uid in (0, os.geteuid()):
            parts += reversed(there.readlink().parts)
        else:
            place = there
    raise ValueError("links lead in a circle; name the folder itself")


FolderOfRawFiles = Annotated[Path, PlainValidator(_where_it_lies)]

LONGEST_KEPT_DAYS = 730  # nothing is kept for more than two years, with or without a leap day


class Folder(Strict, strict=False):
    """A folder whose files `callmart run` lands every night, and what becomes of them."""

    path: FolderOfRawFiles
    format: str = "auto"
    customer: int | None = None
    platform: Platform = "vcloud"
    time_zone: TimeZone | None = None
    settle_seconds: int = Field(default=60, ge=0, le=86_400)  # a file that changed later is still being sent
    done: bool = False  # whether the sender puts NAME.done beside each file when it is complete
    after: Literal["keep", "delete", "move"] = "keep"  # what becomes of a file that landed
    move_to: FolderOfRawFiles | None = None
    keep_days: int = Field(default=30, ge=1, le=LONGEST_KEPT_DAYS)  # of what was moved

    @model_validator(mode="after")
    def _moves_to_a_folder(self) -> Self:
        if self.after == "move" and self.move_to is None:
            raise ValueError('after = "move" needs move_to; name a folder to move to, outside home')
        if self.after != "move" and (unused := self.model_fields_set & {"move_to", "keep_days"}):
            raise ValueError(f'{min(unused)} needs after = "move"; set that, or remove {min(unused)}')
        return self


class ConnectedApp(Strict, strict=False):
    """A connected app with direct trust, and the user that it signs in as."""

    client_id: str
    secret_id: str
    username: str
    secret_file: Place | None = None
    secret: SecretStr | None = None


class TableauLogin(Strict, strict=False):
    """How to sign in to Tableau: by a personal access token, or by a connected app."""

    token_name: str = "callmart"
    token_file: Place | None = None
    token: SecretStr | None = None
    connected_app: ConnectedApp | None = None  # instead of the token


SITE = r"[A-Za-z0-9_-]+"  # a site's name in its URLs


def _site_name(written: object) -> str:
    """Return the name of a site. Raises ValueError if no site can have that name."""
    if not isinstance(written, str) or not re.fullmatch(SITE, written):
        raise ValueError(
            "not a Tableau site; write its name as in its URLs, after /site/: letters, digits, - and _"
        )
    return written


Site = Annotated[str, PlainValidator(_site_name)]


class Tableau(TableauLogin):
    """The Tableau server to publish to, or the local emulator."""

    server: str | None = None
    # Which customers share, unless they have one of their own.
    site: Annotated[str, AfterValidator(lambda name: name and _site_name(name))] = ""
    # By site: how to sign in there, if not as on all others.
    sites: dict[Site, TableauLogin] = Field(default={})
    allow_cloud: bool = False
    time_zone: TimeZone | None = None  # Tableau mails by this clock; by default the provider's
    keep_extracts: bool | None = None  # on disk after publishing; by default only with the emulator

    @property
    def is_emulated(self) -> bool:
        """Whether publishing goes to the local emulator."""
        return self.server in (None, EMULATOR)

    @model_validator(mode="after")
    def _has_one_login_per_site(self) -> Self:
        if self.site in self.sites:
            raise ValueError(f"sites.{self.site} is the site that customers share; set its login beside site")
        return self

    def own_site(self, name: str | None) -> str:
        """Return a customer's own site; "" if it has none, or if it is the one that customers share."""
        return "" if name is None or name == self.site else name

    @property
    def keeps_extracts(self) -> bool:
        """Whether a customer's extracts stay on disk after they are published."""
        return self.is_emulated if self.keep_extracts is None else self.keep_extracts


class Log(Strict, strict=False):
    """The lines on stderr that a command writes where there is no terminal."""

    level: Literal["info", "warning", "error"] = "info"
    format: Literal["text", "json"] = "text"


class Health(Strict, strict=False):
    """When something is a trouble for `callmart health`. 0 turns a check off."""

    good_run_hours: float = Field(default=26, ge=0)  # that the last good run may lie back
    silent_days: int = Field(default=1, ge=0)  # on which data of a customer was expected, and none came
    # The embedded server's write-ahead log takes 2, and extracts are written anew beside the old ones.
    disk_free_gib: float = Field(default=5, ge=0)
    disk_free_share: float = Field(default=0.05, ge=0, lt=1)
    # The data of a database of one's own, if this machine can see its volume.
    database_folder: Place | None = None
    certificate_days: int = Field(default=21, ge=0, le=36_500)  # that a certificate must still be valid
    backup_days: float = Field(default=7, ge=0)  # that the last backup may lie back


LOOPBACK = ("localhost", "127.0.0.1", "::1")


def _encrypted(url: SecretStr) -> SecretStr:
    """A URL may go to another machine by https only. The URL is not repeated: it can contain a secret."""
    try:
        parts = urlsplit(url.get_secret_value())
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host or parts.scheme not in ("http", "https"):
        raise ValueError("not a URL; write https:// and the address")
    if parts.scheme == "http" and host not in LOOPBACK:
        raise ValueError("not encrypted; write https://")
    return url


SecretUrl = Annotated[SecretStr, AfterValidator(_encrypted)]


def _address(written: str) -> str:
    if not re.fullmatch(r"[\w.+-]+@[\w.-]+", written, re.ASCII):
        raise ValueError("not a mail address; write it as name@example.org")
    return written


Address = Annotated[str, AfterValidator(_address)]


class MailServer(Strict, strict=False):
    """A mail server, and how to log in to it."""

    host: str
    port: int | None = Field(default=None, gt=0, lt=65536)
    encryption: Literal["starttls", "tls", "none"] = "starttls"
    user: str | None = None
    password: SecretStr | None = None
    password_file: Place | None = None

    @model_validator(mode="after")
    def _is_safe(self) -> Self:
        if self.encryption == "none" and self.host not in LOOPBACK:
            raise ValueError("mail to another machine must be encrypted; set encryption to starttls or tls")
        if (self.user is None) != (self.password is None and self.password_file is None):
            raise ValueError("a user needs a password_file, and a password needs a user; set both or neither")
        return self


class AlarmMail(MailServer):
    """The mail server by which alarms are sent, and to whom."""

    to: list[Address] = Field(min_length=1)
    from_: Address = Field(alias="from")


class Mail(Strict, strict=False):
    """Who mails the weekly reports: Tableau by its subscriptions, or callmart."""

    sender: Literal["tableau", "callmart"] = "tableau"
    from_: Address | None = Field(default=None, alias="from")
    smtp: MailServer | None = None  # without one, callmart puts its mails into CALLMART_HOME/outbox

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if self.smtp is not None and self.sender != "callmart":
            raise ValueError('smtp needs sender = "callmart"; set that, or remove smtp')
        if self.smtp is not None and self.from_ is None:
            raise ValueError("smtp needs the address that mails come from; set from")
        return self


class Alerts(Strict, strict=False):
    """Who is told that something is wrong."""

    # Called after each good run; whoever is called notices that no call came.
    ping_url: SecretUrl | None = None
    webhook_url: SecretUrl | None = None
    mail: AlarmMail | None = None


class Rebuild(Strict, strict=False):
    """How much of a night `run` spends on days that were computed by an earlier definition."""

    minutes_per_night: float = Field(default=30, ge=0)  # of all runs of a day together; 0: none


class Privacy(Strict, strict=False):
    """What keeps persons who were erased from coming back."""

    ledger_copy: Place | None = None  # the second copy of the ledger: a file outside the home and its backups


class Settings(BaseSettings):
    """Everything that can be set, with its default."""

    model_config = SettingsConfigDict(
        env_prefix="CALLMART_", env_nested_delimiter="__", toml_file=CONFIG_FILE, extra="forbid"
    )

    home: Place = PROJECT / ".callmart"
    dsn: SecretStr | None = None
    time_zone: TimeZone = "Europe/Amsterdam"  # the provider's: decides when a day is too old
    # For a server on which nobody can run administrator.sql: continue although a customer's login can make the server
    # unusable for everybody.
    accept_shutting_out: bool = False
    max_reject_share: float = Field(default=0.05, ge=0, le=1)
    max_file_rows: int = Field(default=50_000_000, gt=0)  # of a file to land
    max_file_gib: float = Field(default=32, gt=0)  # decompressed
    folders: list[Folder] = []
    backup_passphrase_file: Place | None = None
    backup_passphrase: SecretStr | None = None
    # How long you keep a backup. Answers to persons say it, and tombstones end by it.
    backup_kept_days: int | None = Field(default=None, ge=0, le=36_500)
    tableau: Tableau = Tableau()
    log: Log = Log()
    health: Health = Health()
    alerts: Alerts = Alerts()
    mail: Mail = Mail()
    privacy: Privacy = Privacy()
    rebuild: Rebuild = Rebuild()
    metrics_file: Place | None = None  # written for Prometheus, after each run and each `callmart health`

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (
            init_settings,
            env_settings,
            _Credentials(settings_cls),
            TomlConfigSettingsSource(settings_cls),
        )

    @property
    def zone(self) -> ZoneInfo:
        """The provider's time zone."""
        return ZoneInfo(self.time_zone)


class _Credentials(EnvSettingsSource):
    """Settings that systemd gives a service as files: LoadCredential=. Each file is named like the variable."""

    def _load_env_vars(self) -> dict[str, str]:
        return {name.lower(): value for name, value in _credentials().items()}


def _credentials() -> dict[str, str]:
    """The credentials of this service that are named like settings. Only systemd and the service can open them."""
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    try:
        files = [
            file
            for file in (Path(folder).iterdir() if folder else ())
            if file.name.upper().startswith("CALLMART_")
        ]
        return {file.name: file.read_text("utf-8").removesuffix("\n") for file in files}
    except (OSError, UnicodeDecodeError):
        raise UserError(
            f"the credentials in {folder} can't be read; correct LoadCredential= of the service, "
            "or unset CREDENTIALS_DIRECTORY"
        ) from None


@cache
def settings() -> Settings:
    """The settings of this process. Raises UserError, naming the setting, if one is wrong or unknown."""
    try:
        _refuse_missing_file()
        _refuse_unknown([*os.environ, *_credentials()])
        found = Settings()
        _refuse_shared_file()
        _refuse_nested(found)
        _refuse_named_twice(found)
        return found
    except ValidationError as error:
        mistake = first_mistake(error)
        place = [str(part) for part in mistake.place]
        raise UserError(
            f"setting {'.'.join(place)}: {mistake.remedy}"
            f" ({CONFIG_FILE} or CALLMART_{'__'.join(place).upper()})"
        ) from None
    except SettingsError as error:
        raise UserError(f"{error}; write its value in the environment as JSON") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise UserError(f"{CONFIG_FILE} can't be read ({error}); correct it there") from None


def _refuse_missing_file() -> None:
    """Raise UserError if CALLMART_CONFIG names a file that is missing, or callmart.toml is not a regular file. Without
    this the defaults would be used silently.
    """
    if not CONFIG_FILE.is_file() and ("CALLMART_CONFIG" in os.environ or os.path.lexists(CONFIG_FILE)):
        raise UserError(
            f"{CONFIG_FILE} is not a file; set CALLMART_CONFIG to your callmart.toml, or unset it"
        )


def _refuse_unknown(names: Iterable[str]) -> None:
    """Raise UserError for a variable that begins like a setting and is not one. After a typing error the default would
    be used silently.
    """
    known = [*_variables(Settings, "CALLMART_"), *NO_SETTINGS]
    for name in sorted(names):
        given = name.upper()
        if given.startswith("CALLMART_") and not given.startswith(OF_THE_TESTS) and given not in known:
            nearest = get_close_matches(given, known, 1, 0)[0]
            raise UserError(f"{name} is not a setting; unset it, or write {nearest} if that is what you mean")


def _variables(model: type[BaseModel], prefix: str) -> Iterator[str]:
    """The environment variables that settings are read from: one per setting, and one per part of a setting."""
    for name, field in model.model_fields.items():
        variable = prefix + (field.alias or name).upper()
        yield variable
        kind = field.annotation
        for part in get_args(kind) if isinstance(kind, UnionType) else [kind]:
            if isinstance(part, type) and issubclass(part, BaseModel):
                yield from _variables(part, f"{variable}__")


def _refuse_shared_file() -> None:
    """Raise UserError if callmart.toml contains a secret and other users can open it."""
    if CONFIG_FILE.is_file() and any(
        map(_is_secret, _names_in(tomllib.loads(CONFIG_FILE.read_text("utf-8"))))
    ):
        refuse_shared(CONFIG_FILE, "the settings contain a secret")


def _refuse_nested(settings: Settings) -> None:
    """Raise UserError if files would be moved into the home, whose backups would keep them, or into a landing folder,
    where they would land again; or if the ledger's copy would be lost with the home.
    """
    copy = settings.privacy.ledger_copy
    if copy is not None and copy.is_relative_to(settings.home):
        raise UserError(
            f"setting privacy.ledger_copy: {copy} is in {settings.home}, and would be lost with it; name a file on "
            "another volume, outside home and its backups"
        )
    for folder in settings.folders:
        for other in (settings.home, *(each.path for each in settings.folders)):
            if folder.move_to is not None and folder.move_to.is_relative_to(other):
                raise UserError(
                    f"setting folders.move_to: {folder.move_to} is in {other}; name a folder outside home "
                    "and outside the folders that are landed"
                )


def _refuse_named_twice(settings: Settings) -> None:
    """Raise UserError if a landing folder is named twice: its files would land for the customers of both."""
    named = Counter(folder.path for folder in settings.folders)
    for path, times in named.items():
        if times > 1:
            raise UserError(
                f"setting folders: {path} is named {times} times, so its files would land as often; name it once, and "
                "give each customer a folder of its own"
            )


_SECRETS = {
    "backup_passphrase",
    "dsn",
    "tableau.token",
    "tableau.connected_app.secret",
    "alerts.ping_url",
    "alerts.webhook_url",
    "alerts.mail.password",
    "mail.smtp.password",
}


def _is_secret(name: str) -> bool:
    return re.sub(rf"^tableau\.sites\.{SITE}\.", "tableau.", name) in _SECRETS


def _names_in(table: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """The names of all settings in a TOML table. The name of a part has a dot, as in tableau.token."""
    for name, value in table.items():
        yield prefix + name
        if isinstance(value, dict):
            yield from _names_in(value, f"{prefix}{name}.")
