"""Tells people what began to be wrong, and what has ended: by webhook and by mail, each once per channel.

ops.alarm holds what each channel was told. It changes only when a message was delivered, so one that could not be sent
is sent again the next time. While the database can't be used, a file in CALLMART_HOME holds who was told of that.
"""

import smtplib
import socket
import ssl
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import psycopg
import requests
from pydantic import SecretStr

from callmart.base import smtp
from callmart.base.errors import UserError, kind
from callmart.base.secret_files import secret_file
from callmart.base.settings import LOOPBACK, AlarmMail, Settings
from callmart.database import lock, server
from callmart.operations.health import KINDS, Health, Trouble

TIMEOUT_S = 10


class Key(NamedTuple):
    """What makes a trouble another one: its columns in ops.alarm."""

    kind: str
    customer_id: int | None = None
    request: int | None = None
    days_left: int | None = None


_NO_DATABASE = Key("database")
Told = dict[str, set[Key]]  # by channel
Deliver = Callable[["Message"], str | None]  # raises UserError, or returns what one should know all the same


class Undelivered(UserError):
    """A message could not be delivered. The sentence holds no address and no URL."""


@dataclass(frozen=True)
class Message:
    """What began and ended since a channel was last told, and all that is wrong now."""

    began: list[Trouble]
    ended: list[str]
    troubles: list[Trouble]
    host: str = field(default_factory=socket.gethostname)

    @property
    def subject(self) -> str:
        return f"callmart on {self.host}: troubles: {len(self.began)} new, {len(self.ended)} ended"

    @property
    def text(self) -> str:
        parts: dict[str, Sequence[object]] = {
            "Began": self.began,
            "Ended": self.ended,
            "Wrong now": self.troubles,
        }
        blocks = [
            "\n".join([f"{name}:", *(f"- {one}" for one in found)]) for name, found in parts.items() if found
        ]
        return "\n\n".join([self.subject, *blocks]) + "\n"

    def as_json(self) -> dict[str, Any]:
        """As the webhook gets it. `text` is what chat programs show."""
        return {
            "text": self.text,
            "host": self.host,
            "began": [asdict(one) for one in self.began],
            "ended": self.ended,
            "troubles": [asdict(one) for one in self.troubles],
        }


def ping(settings: Settings) -> None:
    """Call alerts.ping_url, if it is set. Raises Undelivered."""
    if settings.alerts.ping_url:
        _call("ping_url", "GET", settings.alerts.ping_url)


def send(settings: Settings, health: Health) -> list[str]:
    """Tell each channel what it was not told yet. Returns a sentence per message that was not delivered, or one if
    there is no channel and something to tell.
    """
    channels = dict(_channels(settings))
    if not channels:
        return ["nobody was told: set alerts.webhook_url or alerts.mail"] if health.troubles else []
    failures = list[str]()
    try:
        with _told(settings, health, list(channels)) as told:
            if told is not None:
                failures += _failures(channels, told, health)
    except (UserError, psycopg.Error, OSError) as error:
        failures.append(
            f"what others were told could not be read or noted ({kind(error)}): the next look tells them what is left,"
            " perhaps again"
        )
    return failures


def _failures(channels: dict[str, Deliver], told: Told, health: Health) -> Iterator[str]:
    """Send the messages, note in `told` what was delivered, and yield a sentence for what was not."""
    wrong = {Key(one.kind, one.customer_id, one.request, one.days_left): one for one in health.troubles}
    going_on = {key[:3] for key in wrong}  # a deadline that came nearer has not ended
    if health.books is None:  # nobody knows what else they were told
        wrong = {key: one for key, one in wrong.items() if key == _NO_DATABASE}
    for channel, deliver in channels.items():
        began, ended = wrong.keys() - told[channel], told[channel] - wrong.keys()
        if began or ended:
            try:
                remark = deliver(
                    Message(
                        [wrong[key] for key in wrong if key in began],
                        [_said_of(key) for key in sorted(ended, key=_place) if key[:3] not in going_on],
                        health.troubles,
                    )
                )
            except UserError as failure:
                yield str(failure)
                continue
            told[channel] = set(wrong)
            if remark:
                yield remark


def _said_of(key: Key) -> str:
    """A trouble that has ended."""
    which = f"{KINDS[key.kind]} ({key.request})" if key.request else KINDS[key.kind]
    return str(Trouble(key.kind, key.customer_id, which))


def _place(key: Key) -> tuple[int, int, int]:
    """By kind, in the order in which health looks, by customer and by request."""
    return list(KINDS).index(key.kind), key.customer_id or 0, key.request or 0


# -- what was told ---------------------------------------------------------------------------------------------------


@contextmanager
def _told(settings: Settings, health: Health, channels: list[str]) -> Iterator[Told | None]:
    """Yield what each channel was told, and keep what it was told within the block. None if another command is just
    telling them.
    """
    file = settings.home / "told_of_no_database"
    of_database = set(file.read_text().split()) if file.exists() else set()
    told: Told = {channel: {_NO_DATABASE} if channel in of_database else set() for channel in channels}
    if health.books is None:
        yield told
    else:
        with server.connect(settings) as connection:
            lock.wait_at_most(connection, lock.TIMEOUT)
            try:
                # Of a stronger mode any duty could keep us out (database/lock.py).
                connection.execute("lock table ops.alarm in share update exclusive mode nowait")
            except psycopg.errors.LockNotAvailable:
                yield None
                return
            connection.execute(
                "delete from ops.alarm where channel <> all(%s) or trouble <> all(%s)",
                [channels, list(KINDS)],
            )
            for channel, *key in connection.execute(
                "select channel, trouble, customer_id, request, days_left from ops.alarm"
            ):
                told[channel].add(Key(*key))
            before = {channel: set(keys) for channel, keys in told.items()}
            yield told
            _keep(connection, before, told)
    now_told = {channel for channel in channels if _NO_DATABASE in told[channel]}
    if now_told != of_database:
        secret_file(file, "\n".join(sorted(now_told)))


def _keep(connection: psycopg.Connection, before: Told, told: Told) -> None:
    for channel, keys in told.items():
        for key in before[channel] - keys:
            connection.execute(
                "delete from ops.alarm where (channel, trouble, customer_id, request, days_left)"
                " is not distinct from (%s::text, %s::text, %s::integer, %s::integer, %s::integer)",
                [channel, *key],
            )
        for key in keys - before[channel]:
            connection.execute(
                "insert into ops.alarm (channel, trouble, customer_id, request, days_left)"
                " values (%s, %s, %s, %s, %s)",
                [channel, *key],
            )


# -- channels --------------------------------------------------------------------------------------------------------


def _channels(settings: Settings) -> Iterator[tuple[str, Deliver]]:
    alerts = settings.alerts
    if (url := alerts.webhook_url) is not None:
        yield "webhook", lambda message: _call("webhook_url", "POST", url, message.as_json())
    if (mail := alerts.mail) is not None:
        yield "mail", lambda message: _mail(mail, message)


def _call(setting: str, method: str, url: SecretStr, content: dict[str, Any] | None = None) -> None:
    """Send a request. Whoever answers can't redirect it, and its answer is not read."""
    secret = url.get_secret_value()
    with requests.Session() as session:
        session.trust_env = urlsplit(secret).hostname not in LOOPBACK  # no proxy on this machine
        try:
            with session.request(
                method, secret, json=content, timeout=TIMEOUT_S, allow_redirects=False, stream=True
            ) as answer:
                status = answer.status_code
        except requests.RequestException as error:
            raise Undelivered(_sentence(f"alerts.{setting}", type(error).__name__)) from None
    if status >= 300:
        raise Undelivered(_sentence(f"alerts.{setting}", f"status {status}"))


def _mail(mail: AlarmMail, message: Message) -> str | None:
    """Send a mail. Returns a remark if the server refused some of its recipients."""
    letter = EmailMessage()
    letter["From"], letter["To"], letter["Subject"] = mail.from_, ", ".join(mail.to), message.subject
    letter["Date"], letter["Message-ID"] = formatdate(), make_msgid(domain="callmart")
    letter["Auto-Submitted"] = "auto-generated"
    letter.set_content(message.text)
    with _logged_in(mail) as session:
        refused = session.send_message(letter)
    if not refused:
        return None
    return (
        f"alerts.mail: {len(refused)} of {len(mail.to)} recipients were refused by the server: correct `to`"
    )


@contextmanager
def _logged_in(mail: AlarmMail) -> Iterator[smtplib.SMTP]:
    """A session with the mail server. Whatever goes wrong within the block is raised as Undelivered."""
    try:
        with smtp.session(mail, "alerts.mail", TIMEOUT_S) as session:
            yield session
    except (OSError, ValueError) as error:  # smtplib's errors are OSErrors
        code = getattr(error, "smtp_code", None)
        raise Undelivered(_sentence("alerts.mail", f"{kind(error)}{f' {code}' if code else ''}")) from None


def try_mail(mail: AlarmMail) -> None:
    """Log in to the mail server, and send nothing. Raises Undelivered."""
    with _logged_in(mail) as session:
        session.noop()


def try_url(setting: str, url: SecretStr) -> None:
    """Connect to the server of a URL, with TLS if it is https, and send nothing. Raises Undelivered."""
    parts = urlsplit(url.get_secret_value())
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    try:
        with socket.create_connection((host, port), timeout=TIMEOUT_S) as connected:
            if parts.scheme == "https":
                ssl.create_default_context().wrap_socket(connected, server_hostname=host).close()
    except (OSError, ValueError) as error:
        raise Undelivered(_sentence(f"alerts.{setting}", kind(error))) from None


def _sentence(setting: str, why: str) -> str:
    return f"{setting}: not delivered ({why}): correct the setting or whoever is called; the next one tries again"
