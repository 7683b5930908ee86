"""A wrong setting is named in one sentence that says what to write instead, and that does not show its value. So is a
word that a command does not take.
"""

import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from callmart.base.settings import PROJECT, Mail
from callmart.database import embedded_server
from callmart.declarations import dbt_project
from callmart_home import Callmart
from commands import Command, mistake
from events import registry


@pytest.fixture(scope="module")
def applied(callmart: Callmart) -> Callmart:
    """With a registry, so that a command goes on where nothing is wrong."""
    callmart.apply(registry("id: 1, contracts: []"))
    return callmart


SETTINGS: dict[str, tuple[dict[str, str], str]] = {
    "a wrong password": (
        {"CALLMART_DSN": "postgresql://nobody:wr0ng@/callmart?host={socket}"},
        "CALLMART_DSN: the password is wrong, or there is no such user",
    ),
    "no server": (
        {"CALLMART_DSN": "postgresql://u:wr0ng@127.0.0.1:{port}/d"},
        "CALLMART_DSN: nothing listens on this host and port",
    ),
    "no DSN": ({"CALLMART_DSN": "wr0ng"}, "CALLMART_DSN is not understood; write postgresql://"),
    "a superuser": (
        {"CALLMART_DSN": "postgresql://postgres@/callmart?host={socket}"},
        "create role callmart_owner",
    ),
    "an unknown zone": ({"CALLMART_TIME_ZONE": "Mars/X"}, "CALLMART_TIME_ZONE"),
    "a share above all": ({"CALLMART_MAX_REJECT_SHARE": "5"}, "CALLMART_MAX_REJECT_SHARE"),
    # As CALLMART_HOME it would be the project's folder.
    "an empty path": (
        {"CALLMART_PRIVACY__LEDGER_COPY": ""},
        "setting privacy.ledger_copy: not a path; write one, or remove the setting",
    ),
    "more days than there are": ({"CALLMART_BACKUP_KEPT_DAYS": "9999999999"}, "setting backup_kept_days: "),
    "an unknown part": (
        {"CALLMART_TABLEAU__SERVR": "wr0ng"},
        "CALLMART_TABLEAU__SERVR is not a setting; unset it, or write CALLMART_TABLEAU__SERVER if",
    ),
    "no site": (
        {"CALLMART_TABLEAU__SITE": "Wr0ng BV"},
        "setting tableau.site: not a Tableau site; write its name as in its URLs, after /site/",
    ),
    "a slip": (
        {"CALLMART_TIMEZONE": "wr0ng"},
        "CALLMART_TIMEZONE is not a setting; unset it, or write CALLMART_TIME_ZONE",
    ),
    "a slip in lower case": (
        {"callmart_dns": "wr0ng"},
        "callmart_dns is not a setting; unset it, or write CALLMART_DSN",
    ),
    "a URL with a secret": (
        {"CALLMART_ALERTS__WEBHOOK_URL": "http://hooks.example.org/wr0ng"},
        "setting alerts.webhook_url: not encrypted; write https://",
    ),
    "a part of mail": (
        {"CALLMART_ALERTS__MAIL__FORM": "wr0ng"},
        "CALLMART_ALERTS__MAIL__FORM is not a setting; unset it, or write CALLMART_ALERTS__MAIL__FROM",
    ),
    "a part of what has none": (
        {"CALLMART_FOLDERS__PATH": "wr0ng"},
        "CALLMART_FOLDERS__PATH is not a setting",
    ),
    "a part too deep": (
        {"CALLMART_TABLEAU__CONNECTED_APP__CLIENT": "wr0ng"},
        "CALLMART_TABLEAU__CONNECTED_APP__CLIENT is not a setting; unset it, or write "
        "CALLMART_TABLEAU__CONNECTED_APP__CLIENT_ID",
    ),
    "no file": (
        {"CALLMART_CONFIG": "/nowhere/callmart.toml"},
        "/nowhere/callmart.toml is not a file; set CALLMART_CONFIG",
    ),
    "a folder for a file": (
        {"CALLMART_CONFIG": "/etc"},
        "/etc is not a file; set CALLMART_CONFIG to your callmart.toml",
    ),
    "an empty name": (
        {"CALLMART_CONFIG": ""},
        ". is not a file; set CALLMART_CONFIG to your callmart.toml, or unset it",
    ),
    "no JSON": ({"CALLMART_FOLDERS": "wr0ng"}, '"folders"'),
    "a home that is a file": ({"CALLMART_HOME": "/etc/passwd"}, "CALLMART_HOME /etc/passwd can't be used"),
}


@pytest.mark.parametrize(("environment", "remedy"), SETTINGS.values(), ids=SETTINGS.keys())
def test_a_wrong_setting_is_named(
    applied: Callmart, command: Command, free_port: int, environment: dict[str, str], remedy: str
) -> None:
    place = {"socket": str(embedded_server.start(applied.home)), "port": str(free_port)}
    done = command("status", **{name: value.format(**place) for name, value in environment.items()})
    said = mistake(done)
    assert remedy in said
    assert "wr0ng" not in said


CONFIGS = {
    "no TOML": (b"home = \n", "can't be read"),
    "not UTF-8": (b'time_zone = "caf\xe9"\n', "can't be read"),
    "an unknown key": (b'timezone = "UTC"\n', "setting timezone: "),
    "an unknown part": (b'[tableau]\nservr = "x"\n', "setting tableau.servr: "),
    "another type": (b'folders = "x"\n', "setting folders: "),
    "a folder without a path": (b"[[folders]]\ncustomer = 1\n", "setting folders.0.path: "),
}


@pytest.mark.parametrize(("text", "remedy"), CONFIGS.values(), ids=CONFIGS.keys())
def test_a_wrong_callmart_toml_is_named(command: Command, tmp_path: Path, text: bytes, remedy: str) -> None:
    (file := tmp_path / "callmart.toml").write_bytes(text)
    said = mistake(command("status", CALLMART_CONFIG=str(file)))
    assert remedy in said
    assert str(file) in said


@pytest.mark.parametrize(
    "text",
    [
        'dsn = "postgresql://u:wr0ng@/d"\n',
        '[tableau]\ntoken = "wr0ng"\n',
        '[alerts]\nping_url = "https://hooks.example.org/wr0ng"\n',
        '[tableau.connected_app]\nclient_id = "c"\nsecret_id = "s"\nusername = "u"\nsecret = "wr0ng"\n',
    ],
)
def test_a_callmart_toml_with_a_secret_is_its_owner_s_alone(
    applied: Callmart, command: Command, tmp_path: Path, text: str
) -> None:
    (file := tmp_path / "callmart.toml").write_text(text)
    file.chmod(0o640)
    said = mistake(command("status", CALLMART_CONFIG=str(file)))
    assert f"other users can open {file}; close it with `chmod 600 {file}`" in said
    assert "wr0ng" not in said
    if "token" in text:
        file.chmod(0o600)
        assert command("status", CALLMART_CONFIG=str(file)).returncode == 0


def test_what_dbt_and_the_tests_say_is_no_slip(applied: Callmart, command: Command) -> None:
    theirs = {
        name: "x" for name in dbt_project._environment(applied.settings) if name.startswith("CALLMART_")
    }
    asked = set(re.findall(r"env_var\('(CALLMART_\w+)'", (PROJECT / "profiles.yml").read_text()))
    assert asked
    assert asked == theirs.keys()
    assert command("status", **theirs, CALLMART_TEST_QUERIES="x").returncode == 0


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ({"smtp": {"host": "localhost"}}, "smtp needs sender"),
        ({"sender": "callmart", "smtp": {"host": "localhost"}}, "set from"),
        ({"sender": "callmart", "from": "nobody"}, "not a mail address"),
        ({"sender": "pigeon"}, "tableau"),
        (
            {
                "sender": "callmart",
                "from": "reports@provider.example",
                "smtp": {"host": "mail.example", "encryption": "none"},
            },
            "encrypted",
        ),
    ],
)
def test_wrong_settings_of_mails(written: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Mail.model_validate(written)


def test_a_token_that_others_read_is_refused(
    applied: Callmart, command: Command, free_port: int, tmp_path: Path
) -> None:
    (file := tmp_path / "token").write_text("wr0ng")
    file.chmod(0o644)
    dead = f"http://127.0.0.1:{free_port}"
    done = command("publish", CALLMART_TABLEAU__SERVER=dead, CALLMART_TABLEAU__TOKEN_FILE=str(file))
    assert f"other users can open {file}; close it with `chmod 600 {file}`" in mistake(done)


def test_a_bundle_of_authorities_that_is_not_there_is_named(applied: Callmart, command: Command) -> None:
    done = command(
        "publish",
        CALLMART_TABLEAU__SERVER="https://tableau.example.org",
        CALLMART_TABLEAU__TOKEN="x",
        REQUESTS_CA_BUNDLE="/none",
    )
    assert "REQUESTS_CA_BUNDLE does not name a file of certificates" in mistake(done)


EXPLAIN = ("explain", "offered", "--customer", "1", "--from", "2026-11-24")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["release", "--customer", "1"], "Missing option '--day'"),
        (["privacy", "verify", "1"], "Choose from: code, called-back, in-person; --help says"),
        (["release", "--customer", "x"], "Invalid value for '--customer': write a whole number; --help says"),
        (
            ["rebuild", "--customer", "0"],
            "'--customer': write a number greater than or equal to 1; --help says",
        ),
        (["publish", "--plan", "--forget-site", "x"], "--forget-site does: leave out one of the two"),
        (["publish", "--forget-site", "x", "--json"], "asks nothing: leave out --json and --yes"),
        (["publish", "--forget-site", "x", "--yes"], "asks nothing: leave out --json and --yes"),
        (
            ["privacy", "verify", "1", "--how", "code", "--alone", "--shared"],
            "--alone and --shared exclude each other: leave out one of the two",
        ),
        (["report", "traffic", "--closed", "--open"], "--open and --closed exclude each other"),
        (["expire", "--plan", "--accept", "x"], "--plan and --accept exclude each other: leave out one of"),
        (["publish", "--plan", "--yes"], "--plan and --yes exclude each other: leave out one of the two"),
        (
            [*EXPLAIN, "--timezone", "UTC"],
            "--timezone is about another system's list: name that by --against",
        ),
        ([*EXPLAIN, "--within", "0"], "--within is about another system's list: name that by --against"),
        (["restore", "x", "--keys", "--take-over"], "--keys restores keys alone: name only a folder beside"),
        (["restore", "--take-over", "--accept", "2026-12-03"], "name the folder of a backup"),
        (["try", "x", "--drop", "--once"], "--drop removes the environment: name nothing beside it"),
        (["nonsense"], "No such command 'nonsense'"),
        (["status", "--nope"], "No such option: --nope"),
        (["workbook", "traffic", "--customer", "1", "--out", "a.txt"], "--out a.txt is no .twb: name one"),
        (["access", "rotate", "--duty", "boss"], "`callmart dsn --duty boss` says what to do"),
    ],
)
def test_words_that_no_command_takes(command: Command, arguments: list[str], told: str) -> None:
    assert told in mistake(command(*arguments))
