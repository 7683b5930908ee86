"""Settings: from the environment (CALLMART_*) and callmart.toml; secrets only from environment or file."""

import os
import tomllib
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, get_args
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, BaseModel, Field, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from callmart.base.errors import UserError
from callmart.base.keys import refuse_shared
from callmart.base.strict import Strict, first_mistake

PROJECT = Path(__file__).resolve().parents[3]
CONFIG_FILE = Path(os.environ.get("CALLMART_CONFIG", PROJECT / "callmart.toml"))

# What begins like a setting and is none: where the settings stand, what profiles.yml asks for, the test suite's own.
NO_SETTINGS = (
    "CALLMART_CONFIG",
    *(f"CALLMART_PG_{part}" for part in ("HOST", "PORT", "USER", "DATABASE", "SSLMODE", "SSLROOTCERT")),
)
OF_THE_TESTS = "CALLMART_TEST_"

EMULATOR = "emulator"  # as tableau.server

Platform = Literal["vcare", "vcloud", "sip_trunk", "isdn2", "isdn30"]


def _known_zone(name: str) -> str:
    if name not in available_timezones():
        raise ValueError("unknown time zone; use an IANA name such as Europe/Amsterdam")
    return name


TimeZone = Annotated[str, AfterValidator(_known_zone)]

# As the project sees it: a command means the same from any folder.
Place = Annotated[Path, AfterValidator(lambda path: (PROJECT / path.expanduser()).resolve())]


class Folder(Strict, strict=False):
    """A folder whose files `callmart run` lands every night."""

    path: Place
    format: str = "auto"
    customer: int | None = None
    platform: Platform = "vcloud"
    time_zone: TimeZone | None = None


class ConnectedApp(Strict, strict=False):
    """A connected app with direct trust, and the user in whose name it signs in."""

    client_id: str
    secret_id: str
    username: str
    secret_file: Place | None = None
    secret: SecretStr | None = None


class Tableau(Strict, strict=False):
    """The Tableau server to publish to, or the local emulator: where that is meant, a database of one's own says so."""

    server: str | None = None
    site: str = ""
    token_name: str = "callmart"
    token_file: Place | None = None
    token: SecretStr | None = None
    connected_app: ConnectedApp | None = None  # in the place of the token
    allow_cloud: bool = False
    time_zone: TimeZone | None = None  # of the clock by which Tableau mails; by default the provider's
    keep_extracts: bool | None = None  # when they are published; by default only with the emulator

    @property
    def is_emulated(self) -> bool:
        """Whether it is the local emulator that is published to."""
        return self.server in (None, EMULATOR)

    @property
    def keeps_extracts(self) -> bool:
        """Whether a customer's extracts stay on disk when they are published."""
        return self.is_emulated if self.keep_extracts is None else self.keep_extracts


class Settings(BaseSettings):
    """Everything that can be set, with its default."""

    model_config = SettingsConfigDict(
        env_prefix="CALLMART_", env_nested_delimiter="__", toml_file=CONFIG_FILE, extra="forbid"
    )

    home: Place = PROJECT / ".callmart"
    dsn: SecretStr | None = None
    time_zone: TimeZone = "Europe/Amsterdam"  # the provider's: decides when a day is too old
    # Go on although customers' logins can shut everybody out of a server on which nobody can run administrator.sql.
    accept_shutting_out: bool = False
    max_reject_share: float = Field(default=0.05, ge=0, le=1)
    max_file_rows: int = Field(default=50_000_000, gt=0)  # of a file to land
    max_file_gib: float = Field(default=32, gt=0)  # unpacked
    folders: list[Folder] = []
    tableau: Tableau = Tableau()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)

    @property
    def zone(self) -> ZoneInfo:
        """The provider's time zone."""
        return ZoneInfo(self.time_zone)


@cache
def settings() -> Settings:
    """The settings of this process; a wrong one is a UserError that names it."""
    try:
        _refuse_missing_file()
        _refuse_unknown(os.environ)
        found = Settings()
        _refuse_shared_file()
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
    """A file that is named or there must be a file: what can't be read is never taken for an empty one."""
    if not CONFIG_FILE.is_file() and ("CALLMART_CONFIG" in os.environ or os.path.lexists(CONFIG_FILE)):
        raise UserError(f"{CONFIG_FILE} is no file; let CALLMART_CONFIG name your callmart.toml, or unset it")


def _refuse_unknown(names: Iterable[str]) -> None:
    """UserError for a variable that begins like a setting and is none: a slip would leave the default in force."""
    known = [*_variables(Settings, "CALLMART_"), *NO_SETTINGS]
    for name in sorted(names):
        given = name.upper()
        if given.startswith("CALLMART_") and not given.startswith(OF_THE_TESTS) and given not in known:
            nearest = get_close_matches(given, known, 1, 0)[0]
            raise UserError(f"{name} is no setting; unset it, or write {nearest} if that is what you mean")


def _variables(model: type[BaseModel], prefix: str) -> Iterator[str]:
    """The variables that settings are read from: of each by its name, and of its parts, if it has any."""
    for name, field in model.model_fields.items():
        variable = prefix + name.upper()
        yield variable
        kind = field.annotation
        for part in get_args(kind) if isinstance(kind, UnionType) else [kind]:
            if isinstance(part, type) and issubclass(part, BaseModel):
                yield from _variables(part, f"{variable}__")


def _refuse_shared_file() -> None:
    """UserError where callmart.toml holds a secret and others than its owner can read it."""
    if CONFIG_FILE.is_file() and _SECRETS & set(_names_in(tomllib.loads(CONFIG_FILE.read_text("utf-8")))):
        refuse_shared(CONFIG_FILE, "secrets stand in it")


_SECRETS = {"dsn", "tableau.token", "tableau.connected_app.secret"}


def _names_in(table: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """The names of all settings in a TOML table, those of its parts with a dot."""
    for name, value in table.items():
        yield prefix + name
        if isinstance(value, dict):
            yield from _names_in(value, f"{prefix}{name}.")
