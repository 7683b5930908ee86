"""Settings: from the environment (CALLMART_*) and callmart.toml; secrets only from environment or file."""

from functools import cache
from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo, available_timezones

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from callmart.errors import UserError

PROJECT = Path(__file__).resolve().parents[2]
CONFIG_FILE = PROJECT / "callmart.toml"

Platform = Literal["vcare", "vcloud", "sip_trunk", "isdn2", "isdn30"]


class Folder(BaseModel):
    """A folder whose files `callmart run` lands every night."""

    model_config = ConfigDict(extra="forbid")

    path: Path
    format: str = "auto"
    customer: int | None = None
    platform: Platform = "vcloud"
    time_zone: str | None = None


class Tableau(BaseModel):
    """The Tableau server to publish to; without `server` the local emulator."""

    model_config = ConfigDict(extra="forbid")

    server: str | None = None
    site: str = ""
    token_name: str = "callmart"
    token_file: Path | None = None
    token: SecretStr | None = None
    allow_cloud: bool = False


class Settings(BaseSettings):
    """Everything that can be set, with its default."""

    model_config = SettingsConfigDict(
        env_prefix="CALLMART_", env_nested_delimiter="__", toml_file=CONFIG_FILE, extra="forbid"
    )

    home: Path = PROJECT / ".callmart"
    dsn: SecretStr | None = None
    time_zone: str = "Europe/Amsterdam"  # the provider's: decides when a day is too old
    max_reject_share: float = Field(default=0.05, ge=0, le=1)
    folders: list[Folder] = []
    tableau: Tableau = Tableau()

    @field_validator("home")
    @classmethod
    def _absolute(cls, home: Path) -> Path:
        return home.expanduser().resolve()

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        if name not in available_timezones():
            raise ValueError(f"unknown time zone {name!r}; use an IANA name such as Europe/Amsterdam")
        return name

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
        name = ".".join(str(part) for part in first["loc"])
        raise UserError(
            f"setting {name}: {first['msg']}; correct it in {CONFIG_FILE} or in CALLMART_{name.upper()}"
        ) from None
