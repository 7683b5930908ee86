"""Settings: from the environment (CALLMART_*) and callmart.toml; secrets only from environment or file."""

import os
import tomllib
from functools import cache
from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from callmart.errors import UserError

PROJECT = Path(__file__).resolve().parents[2]
CONFIG_FILE = Path(os.environ.get("CALLMART_CONFIG", PROJECT / "callmart.toml"))

Platform = Literal["vcare", "vcloud", "sip_trunk", "isdn2", "isdn30"]


def _known_zone(name: str) -> str:
    if name not in available_timezones():
        raise ValueError("unknown time zone; use an IANA name such as Europe/Amsterdam")
    return name


TimeZone = Annotated[str, AfterValidator(_known_zone)]

# As the project sees it: a command means the same from any folder.
Place = Annotated[Path, AfterValidator(lambda path: (PROJECT / path.expanduser()).resolve())]


class Folder(BaseModel):
    """A folder whose files `callmart run` lands every night."""

    model_config = ConfigDict(extra="forbid")

    path: Place
    format: str = "auto"
    customer: int | None = None
    platform: Platform = "vcloud"
    time_zone: TimeZone | None = None


class ConnectedApp(BaseModel):
    """A connected app with direct trust, and the user in whose name it signs in."""

    model_config = ConfigDict(extra="forbid")

    client_id: str
    secret_id: str
    username: str
    secret_file: Place | None = None
    secret: SecretStr | None = None


class Tableau(BaseModel):
    """The Tableau server to publish to; without `server` the local emulator."""

    model_config = ConfigDict(extra="forbid")

    server: str | None = None
    site: str = ""
    token_name: str = "callmart"
    token_file: Place | None = None
    token: SecretStr | None = None
    connected_app: ConnectedApp | None = None  # in the place of the token
    allow_cloud: bool = False
    time_zone: TimeZone | None = None  # of the clock by which Tableau mails; by default the provider's
    keep_extracts: bool | None = None  # when they are published; by default only where no server is named

    @property
    def keeps_extracts(self) -> bool:
        """Whether a customer's extracts stay on disk when they are published."""
        return self.server is None if self.keep_extracts is None else self.keep_extracts


class Settings(BaseSettings):
    """Everything that can be set, with its default."""

    model_config = SettingsConfigDict(
        env_prefix="CALLMART_", env_nested_delimiter="__", toml_file=CONFIG_FILE, extra="forbid"
    )

    home: Place = PROJECT / ".callmart"
    dsn: SecretStr | None = None
    time_zone: TimeZone = "Europe/Amsterdam"  # the provider's: decides when a day is too old
    max_reject_share: float = Field(default=0.05, ge=0, le=1)
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
        return Settings()
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = [str(part) for part in first["loc"]]
        raise UserError(
            f"setting {'.'.join(place)}: {first['msg'].removeprefix('Value error, ')}; "
            f"correct it in {CONFIG_FILE} or in CALLMART_{'__'.join(place).upper()}"
        ) from None
    except SettingsError as error:
        raise UserError(f"{error}; write its value in the environment as JSON") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise UserError(f"{CONFIG_FILE} can't be read ({error}); correct it there") from None
