"""A real mail server for tests."""

import ssl
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, Envelope, LoginPassword

from tls import Certificate

SECRET = "s3cret"


class Letters:
    """A mail server's letters, and who may hand in some."""

    def __init__(self) -> None:
        self.got: list[Envelope] = []
        self.refused: set[str] = set()
        self.later: set[str] = set()
        self.sender = "250 OK"  # what it says of whoever sends
        self.bye = "221 Bye"
        self.most = 0  # letters in a session, if there is a limit
        self.logins: list[tuple[bytes, bytes]] = []
        # Answers instead, if it says something.
        self.before: Callable[[Envelope], Awaitable[str]] | None = None

    async def handle_MAIL(
        self, server: Any, session: Any, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        envelope.mail_from = address
        session.letters = getattr(session, "letters", 0) + 1
        if self.most and session.letters > self.most:
            return "421 too many letters in this session"
        return self.sender

    async def handle_RCPT(
        self, server: Any, session: Any, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address in self.refused:
            return "550 no such user"
        if address in self.later:
            return "450 try again later"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Envelope) -> str:
        if self.before is not None and (answer := await self.before(envelope)):
            return answer
        self.got.append(envelope)
        return "250 OK"

    async def handle_QUIT(self, server: Any, session: Any, envelope: Envelope) -> str:
        return self.bye

    def authenticate(
        self, server: Any, session: Any, envelope: Envelope, mechanism: str, given: LoginPassword
    ) -> AuthResult:
        self.logins.append((given.login, given.password))
        return AuthResult(success=given == LoginPassword(b"callmart", SECRET.encode()), handled=False)


@contextmanager
def mail_server(port: int, shown: Certificate | None = None, *, tls: bool = False) -> Iterator[Letters]:
    """A real mail server. With a certificate it wants STARTTLS and a login; with `tls` it speaks nothing else."""
    letters = Letters()
    context = None
    if shown is not None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(shown.file, shown.key)
    controller = Controller(
        letters,
        hostname="localhost",
        port=port,
        ssl_context=context if tls else None,
        tls_context=None if tls else context,
        require_starttls=context is not None and not tls,
        auth_required=context is not None and not tls,
        authenticator=letters.authenticate,
    )
    controller.start()
    try:
        yield letters
    finally:
        controller.stop()
