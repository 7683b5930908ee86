"""When the certificates of servers end that callmart reaches by TLS."""

import socket
import ssl
import struct
from datetime import datetime
from urllib.parse import urlsplit

from cryptography import x509

from callmart.base.errors import UserError, kind
from callmart.base.settings import Settings
from callmart.database import server

TIMEOUT_S = 10
_SSL_REQUEST = struct.pack("!ii", 8, 80877103)  # PostgreSQL's own beginning of TLS

Ends = dict[str, datetime | str]


def ends(settings: Settings) -> Ends:
    """When the certificates of the database server and of Tableau end, or why one can't be looked at. If the database
    has several servers, the first to end counts. A DSN that is wrong names no server: connecting says so.
    """
    found: Ends = {}
    try:
        servers = server.tls_servers(settings)
    except UserError:
        servers = []
    of_database = [_end_of(host, port, _SSL_REQUEST) for host, port in servers]
    if of_database:
        found["database"] = min(of_database, key=lambda end: (isinstance(end, datetime), end))
    url = settings.tableau.server or ""
    if url.startswith("https:"):
        try:
            tableau = urlsplit(url)
            found["tableau"] = _end_of(tableau.hostname or "", tableau.port or 443)
        except ValueError:
            found["tableau"] = "tableau.server is not a URL"
    return found


def _end_of(host: str, port: int, opening: bytes = b"") -> datetime | str:
    """When the certificate ends that a server shows. Nobody is trusted here: only its last moment is read."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with socket.create_connection((host, port), TIMEOUT_S) as plain:
            if opening:
                plain.sendall(opening)
                if plain.recv(1) != b"S":
                    return "it offers no TLS"
            with context.wrap_socket(plain, server_hostname=host) as encrypted:
                shown = encrypted.getpeercert(binary_form=True)
        return x509.load_der_x509_certificate(shown or b"").not_valid_after_utc
    except (OSError, ValueError) as error:
        return kind(error)
