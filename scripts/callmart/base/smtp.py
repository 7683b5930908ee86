"""Sessions with a mail server, encrypted unless the server is on this machine."""

import smtplib
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from callmart.base.secret_files import secret_of
from callmart.base.settings import MailServer

_PORTS = {"starttls": 587, "tls": 465, "none": 25}


@contextmanager
def session(server: MailServer, setting: str, timeout_s: float) -> Iterator[smtplib.SMTP]:
    """A session with a mail server, logged in if a user is set. `setting` is the name of its settings, for messages.

    Raises OSError or ValueError if the server can't be reached or refuses, and UserError if the password can't be read.
    """
    port = server.port or _PORTS[server.encryption]
    trusted = ssl.create_default_context()
    smtp = (
        smtplib.SMTP_SSL(server.host, port, timeout=timeout_s, context=trusted)
        if server.encryption == "tls"
        else smtplib.SMTP(server.host, port, timeout=timeout_s)
    )
    try:
        if server.encryption == "starttls":
            smtp.starttls(context=trusted)
        if server.user is not None:
            password = secret_of(f"{setting}.password_file", server.password, server.password_file)
            smtp.login(server.user, password)
        yield smtp
    finally:
        with suppress(OSError):  # smtplib's errors are OSErrors; what the server has taken, it has taken
            smtp.quit()
