"""Hands letters to the mail server, or puts them into the outbox if none is set."""

import re
import smtplib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from email.message import EmailMessage
from email.policy import SMTP

from callmart.base import smtp
from callmart.base.errors import UserError, kind
from callmart.base.secret_files import secret_file
from callmart.base.settings import MailServer, Settings
from callmart.mailing import places

TIMEOUT_S = 60.0
# For the answer to a letter, which a server may look through first. RFC 5321 would wait twice as long, and a run waits.
ANSWER_S = 300.0
FAILURES = 3  # of sessions in a row, after which the mail server is left alone
_CLOSING = 421  # the server ends the session
_BEGIN = 3  # the first digit of the answer to DATA: the server waits for the letter

# Takes a letter and the customer whose it is. Calls the third when the letter goes for good: what becomes of it after
# that, only the mail server knows.
Carry = Callable[[EmailMessage, int, Callable[[], None]], None]


class Refused(Exception):
    """No mail can go to this recipient. The text is the mail server's code, never its words, or says what is wrong."""


class Undelivered(Exception):
    """The mail server did not take a letter now, and may take it later. The text is the cause, and names nobody."""


class Unanswered(Exception):
    """The mail server has the letter and has not said whether it takes it. The text is the cause, and names nobody."""


class Unreachable(UserError):
    """There is no mail server to talk to, or none that takes our mails."""


@contextmanager
def carrier(settings: Settings) -> Iterator[Carry]:
    """What carries letters, as [mail] says."""
    if settings.mail.smtp is None:
        yield lambda letter, customer_id, sent: _put(settings, letter, customer_id, sent)
    else:
        with ExitStack() as sessions:
            yield _Talking(settings.mail.smtp, sessions).carry


def try_server(server: MailServer) -> None:
    """Log in to the mail server, and send nothing. Raises Unreachable."""
    with ExitStack() as sessions:
        _Talking(server, sessions).open()


def _put(settings: Settings, letter: EmailMessage, customer_id: int, sent: Callable[[], None]) -> None:
    secret_file(places.file(settings, customer_id, letter), letter.as_bytes(policy=SMTP))
    sent()


class _Talking:
    """Talks to a mail server, in one session as long as that goes well."""

    def __init__(self, server: MailServer, sessions: ExitStack) -> None:
        self._server = server
        self._sessions = sessions
        self._session: smtplib.SMTP | None = None
        self._failures = 0

    def carry(self, letter: EmailMessage, customer_id: int, sent: Callable[[], None]) -> None:
        if self._failures == FAILURES:
            raise Unreachable(self._says(f"{FAILURES} sessions in a row failed"))
        if not str(letter["To"]).isascii():
            raise Refused("not an address in ASCII")
        is_new = self._session is None
        try:
            self._hand_in(letter, sent)
        except Undelivered:
            if is_new or self._session is not None:
                raise
            self._hand_in(letter, sent)  # many servers end a session after some letters

    def _hand_in(self, letter: EmailMessage, sent: Callable[[], None]) -> None:
        session = self.open()
        is_sent = False
        try:
            answer = session.mail(str(letter["From"]))
            if answer[0] >= 500:  # which says nothing of the recipient
                raise Unreachable(
                    f"mail.from: the mail server takes nothing from this address ({answer[0]}): correct it, or let "
                    "mail.smtp.user send from it; the next run tries again"
                )
            _accept(answer)
            _accept(session.rcpt(str(letter["To"])))
            _accept(session.docmd("DATA"), _BEGIN)
            sent()
            _hand_over(session, letter.as_bytes(policy=SMTP))
            is_sent = True
            _accept(_answer(session))
        except smtplib.SMTPResponseException as error:
            self._answered(session, error.smtp_code)
            raise (Refused if error.smtp_code >= 500 else Undelivered)(str(error.smtp_code)) from None
        except (OSError, ValueError) as error:
            self._failed()
            raise (Unanswered if is_sent else Undelivered)(kind(error)) from None
        except BaseException:  # the server can be waiting for the letter
            session.close()
            self._close()
            raise
        self._failures = 0

    def open(self) -> smtplib.SMTP:
        """The session, made anew if there is none. Raises Unreachable."""
        if self._session is None:
            try:
                self._session = self._sessions.enter_context(
                    smtp.session(self._server, "mail.smtp", TIMEOUT_S)
                )
                self._session.ehlo_or_helo_if_needed()
            except UserError as error:  # the password can't be read
                raise Unreachable(str(error)) from None
            except (OSError, ValueError) as error:
                code = f" {error.smtp_code}" if isinstance(error, smtplib.SMTPResponseException) else ""
                raise Unreachable(self._says(f"{kind(error)}{code}")) from None
        return self._session

    def _answered(self, session: smtplib.SMTP, code: int) -> None:
        """Go on after a letter that the server does not take, which says nothing of other letters."""
        if code == _CLOSING:
            self._failed()
            return
        self._failures = 0
        try:
            _accept(session.rset())
        except OSError:
            self._close()

    def _failed(self) -> None:
        self._failures += 1
        self._close()

    def _close(self) -> None:
        """Give up the session. The next letter gets another one."""
        self._session = None
        self._sessions.close()

    def _says(self, why: str) -> str:
        return (
            f"mail.smtp: the mail server can't be used ({why}): correct the setting or the server; "
            "the next run tries again"
        )


def _hand_over(session: smtplib.SMTP, letter: bytes) -> None:
    """Send a letter to a server that waits for it. It is not `session.data`, which does not tell a server that goes
    away before it has the whole letter, and so drops it, from one that goes away after that.
    """
    assert session.sock is not None
    session.sock.settimeout(ANSWER_S)
    session.send(re.sub(rb"(?m)^\.", b"..", letter) + b".\r\n")


def _answer(session: smtplib.SMTP) -> tuple[int, bytes]:
    """What a server says of a letter that it has."""
    answer = session.getreply()
    assert session.sock is not None
    session.sock.settimeout(TIMEOUT_S)
    return answer


def _accept(answer: tuple[int, bytes], wanted: int = 2) -> None:
    code, words = answer
    if code // 100 != wanted:
        raise smtplib.SMTPResponseException(code, words)
