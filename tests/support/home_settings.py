"""The settings of a test's home, which has a server of its own, or is on the cluster of CALLMART_TEST_CITUS_DSN."""

import os
from pathlib import Path

from pydantic import SecretStr

from callmart.base.settings import EMULATOR, Privacy, Settings, Tableau

CLUSTER = os.environ.get("CALLMART_TEST_CITUS_DSN", "")  # the owner's URI of a database that tests may empty
ON_CLUSTER = "on-cluster"  # the name of a home there, so that other processes know it


def settings_of(home: Path) -> Settings:
    """As tests use them."""
    if home.name != ON_CLUSTER:
        return Settings(home=home, dsn=None, folders=[])
    return Settings(
        home=home,
        dsn=SecretStr(CLUSTER),
        folders=[],
        tableau=Tableau(server=EMULATOR),
        privacy=Privacy(ledger_copy=_ledger(home)),
    )


def with_dsn(home: Path, dsn: str) -> Settings:
    """Of a database of somebody else's."""
    return Settings(home=home, dsn=SecretStr(dsn), folders=[])


def environment_of(home: Path) -> dict[str, str]:
    """The same, as a command gets them."""
    if home.name != ON_CLUSTER:
        return {"CALLMART_HOME": str(home)}
    return {
        "CALLMART_HOME": str(home),
        "CALLMART_DSN": CLUSTER,
        "CALLMART_TABLEAU__SERVER": EMULATOR,
        "CALLMART_PRIVACY__LEDGER_COPY": str(_ledger(home)),
    }


def _ledger(home: Path) -> Path:
    return home.with_name(f"ledger-of-{home.name}")
