"""dbt reaches the database by the way that CALLMART_DSN names, and nobody else does after it."""

import os
from pathlib import Path
from types import SimpleNamespace

import pytest
from pydantic import SecretStr

from callmart.base.settings import Settings
from callmart.declarations import dbt_project

WAYS: dict[str, tuple[str, dict[str, str], dict[str, str]]] = {
    "the socket": ("postgresql://u@/d", {}, {"CALLMART_PG_HOST": "", "CALLMART_PG_PORT": "5432"}),
    "what libpq's variables say": (
        "postgresql://u@/d",
        {"PGHOST": "/run/other", "PGPORT": "5433", "PGPASSWORD": "p"},
        {
            "CALLMART_PG_HOST": "/run/other",
            "CALLMART_PG_PORT": "5433",
            "DBT_ENV_SECRET_CALLMART_PG_PASSWORD": "p",
        },
    ),
    "the DSN before the variables": (
        "postgresql://u@localhost:1/d",
        {"PGHOST": "/run/other", "PGPORT": "5433"},
        {"CALLMART_PG_HOST": "localhost", "CALLMART_PG_PORT": "1"},
    ),
    "several hosts with one port": (
        "postgresql://u@a:5433,b:5433/d?target_session_attrs=read-write",
        {},
        {"CALLMART_PG_HOST": "a,b", "CALLMART_PG_PORT": "5433", "PGTARGETSESSIONATTRS": "read-write"},
    ),
    "an address without a name": (
        "hostaddr=127.0.0.1 user=u dbname=d",
        {},
        {"CALLMART_PG_HOST": "", "PGHOSTADDR": "127.0.0.1"},
    ),
    "a certificate": (
        "postgresql://u@h/d?sslcert=/c.pem&sslkey=/k.pem&sslrootcert=/ca.pem",
        {},
        {
            "PGSSLCERT": "/c.pem",
            "PGSSLKEY": "/k.pem",
            "CALLMART_PG_SSLROOTCERT": "/ca.pem",
            "CALLMART_PG_SSLMODE": "verify-full",
        },
    ),
}


@pytest.mark.parametrize(("dsn", "variables", "expected"), WAYS.values(), ids=WAYS.keys())
def test_dbt_has_the_owners_way_and_only_while_it_works(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    dsn: str,
    variables: dict[str, str],
    expected: dict[str, str],
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    seen: dict[str, str] = {}

    def invoke(_: list[str]) -> SimpleNamespace:
        seen.update(os.environ)
        return SimpleNamespace(exception=None)

    before = dict(os.environ)
    settings = Settings(home=tmp_path, dsn=SecretStr(dsn), folders=[])
    dbt_project._invoke(SimpleNamespace(invoke=invoke), settings, "parse")
    assert {name: seen.get(name) for name in expected} == expected
    assert dict(os.environ) == before
