"""CALLMART_DSN: how a server is named, and what must prove it. Nothing here needs one."""

from pathlib import Path
from typing import Any

import pytest
from psycopg.conninfo import conninfo_to_dict

from callmart.access import logins
from callmart.base.errors import UserError
from callmart.database import server
from home_settings import with_dsn

REMOTE = [
    "postgresql://u@db.example.org/d",
    "postgresql://u@10.0.0.1:5433/d",
    "postgresql://u@localhost,db.example.org/d",
    "host=localhost hostaddr=10.0.0.1 user=u dbname=d",
    "hostaddr=10.0.0.1 user=u dbname=d",
]
BY_ITSELF = {"options": "-c search_path=pg_catalog"}
LOCAL = [
    "postgresql://u@/d",
    "postgresql://u@/d?host=/run/postgresql",
    "postgresql://u@localhost/d",
    "postgresql://u@127.0.0.1:5433/d",
    "postgresql://u@[::1]/d",
]


@pytest.mark.parametrize("dsn", REMOTE)
def test_another_machine_must_prove_who_it_is(tmp_path: Path, dsn: str) -> None:
    parts = conninfo_to_dict(server.uri(with_dsn(tmp_path, dsn)))
    assert parts == conninfo_to_dict(dsn) | {"sslmode": "verify-full", "sslrootcert": "system"} | BY_ITSELF


@pytest.mark.parametrize("dsn", [*LOCAL, "postgresql://u@db.example.org/d?sslmode=require"])
def test_this_machine_need_not_and_what_is_said_is_kept(tmp_path: Path, dsn: str) -> None:
    assert conninfo_to_dict(server.uri(with_dsn(tmp_path, dsn))) == conninfo_to_dict(dsn) | BY_ITSELF


def test_options_of_one_s_own_are_kept_but_not_the_path(tmp_path: Path) -> None:
    uri = server.uri(
        with_dsn(tmp_path, "postgresql://u@/d?options=-c%20work_mem%3D1GB%20-c%20search_path%3Dx")
    )
    assert conninfo_to_dict(uri)["options"] == "-c work_mem=1GB -c search_path=x -c search_path=pg_catalog"


def test_an_address_that_only_a_variable_names_must_prove_who_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGHOSTADDR", "192.0.2.1")
    assert conninfo_to_dict(server.uri(with_dsn(tmp_path, LOCAL[0])))["sslmode"] == "verify-full"


@pytest.mark.parametrize(
    ("dsn", "service"), [("service=mart user=u dbname=d", ""), ("postgresql://u@/d", "mart")]
)
def test_a_service_of_libpq_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dsn: str, service: str
) -> None:
    monkeypatch.setenv("PGSERVICE", service)
    with pytest.raises(UserError, match="names a service of libpq"):
        server.uri(with_dsn(tmp_path, dsn))


def test_an_authority_of_one_s_own_is_kept(tmp_path: Path) -> None:
    parts = conninfo_to_dict(
        server.uri(with_dsn(tmp_path, "postgresql://u@db.example.org/d?sslrootcert=/ca.pem"))
    )
    assert (parts["sslmode"], parts["sslrootcert"]) == ("verify-full", "/ca.pem")


def test_duties_connect_as_the_owner_does_and_customers_to_the_same_server(tmp_path: Path) -> None:
    """With their own passwords, and nothing that is secret."""
    server_ = "host=a.example,b.example&hostaddr=10.0.0.5,10.0.0.6&port=1,2&target_session_attrs=read-write"
    way = "sslmode=verify-full&sslrootcert=/ca.pem"
    own = "sslcert=/own.crt&sslkey=/own.key&connect_timeout=5"
    (passfile := tmp_path / "own").touch(mode=0o600)
    of_owner = f"passfile={passfile}&options=-cx&application_name=x&client_encoding=latin1&require_auth=gss"
    dsn = f"postgresql://u:secret@/d?{server_}&{way}&{own}&{of_owner}"
    settings = with_dsn(tmp_path, dsn)

    def parts(role: str, *more: str) -> dict[str, Any]:
        typed = role in logins.typed("d")
        own = [] if typed else [f"passfile={logins.passfile(tmp_path, role)}"]
        return conninfo_to_dict(f"postgresql://{role}@/d?{'&'.join((server_, way, *more, *own))}")

    for duty in ("loader", "publisher", "privacy_approver"):
        assert conninfo_to_dict(logins.duty_uri(settings, duty)) == parts(f"d_{duty}", own)
    assert conninfo_to_dict(logins.login_uri(settings, "d_customer_7")) == parts("d_customer_7")
    locked = with_dsn(tmp_path, f"{dsn}&sslpassword=secret")  # only the owner can open the key
    assert conninfo_to_dict(logins.duty_uri(locked, "loader")) == parts("d_loader", "connect_timeout=5")


def test_the_host_of_the_environment_counts_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGHOST", "db.example.org")
    parts = conninfo_to_dict(server.uri(with_dsn(tmp_path, "postgresql://u@/d")))
    assert parts["sslmode"] == "verify-full"


@pytest.mark.parametrize(
    "dsn",
    [
        "nonsense",
        "postgresql://host",
        "postgresql://user@host",
        "postgresql://host/database",
        "postgresql://u:secret@secret@host/d",
        "postgresql://u:secret/secret@host/d",
        "postgresql://u:%secret@host/d",
        "host=h user=u dbname=d password='secret",
        "host=h user=u dbname=d port=secret",
    ],
)
def test_a_dsn_that_is_not_understood_is_one_sentence_without_the_password(tmp_path: Path, dsn: str) -> None:
    with pytest.raises(UserError) as refused:
        server.connect(with_dsn(tmp_path, dsn))
    said = str(refused.value)
    assert said.startswith(
        "CALLMART_DSN is not understood; write postgresql://user:password@host:port/database"
    )
    assert "secret" not in said and "\n" not in said


def test_a_password_with_colons_is_written_as_libpq_reads_it(tmp_path: Path) -> None:
    settings = with_dsn(tmp_path, "postgresql://owner:pa%3Ass%5Cword@localhost/callmart")
    assert "word" not in logins.owner_uri(settings).partition("passfile=")[0].partition("//")[2]
    assert logins.passfile(tmp_path, "owner").read_text() == "*:*:*:owner:pa\\:ss\\\\word\n"
