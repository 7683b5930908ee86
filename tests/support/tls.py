"""TLS in front of a PostgreSQL that has none, so that what a client says of certificates can be tried anywhere."""

import shutil
import socket
import ssl
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

SSL_REQUEST = 80877103
WITH_OPENSSL = shutil.which("openssl") is not None


@dataclass(frozen=True)
class Certificate:
    """A certificate that has signed itself, so that it is its own authority, and its key."""

    file: Path
    key: Path


def certificate(folder: Path, host: str) -> Certificate:
    """Make a certificate for a host name."""
    made = Certificate(folder / f"{host}.pem", folder / f"{host}.key")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", f"/CN={host}", "-addext", f"subjectAltName=DNS:{host}", "-out", made.file, "-keyout", made.key],
        check=True, capture_output=True,
    )  # fmt: skip
    return made


@contextmanager
def in_front_of(behind: Path, certificate: Certificate) -> Iterator[int]:
    """The port of this machine at which the server on that socket is reached by TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.file, certificate.key)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            with suppress(OSError):
                while True:
                    client, _ = listener.accept()
                    Thread(target=_serve, args=(client, context, behind), daemon=True).start()

        Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


def _serve(client: socket.socket, context: ssl.SSLContext, behind: Path) -> None:
    with suppress(OSError):
        while struct.unpack("!ii", client.recv(8, socket.MSG_WAITALL))[1] != SSL_REQUEST:
            client.sendall(b"N")  # no other kind of encryption
        client.sendall(b"S")
        inner = context.wrap_socket(client, server_side=True)
        server = socket.socket(socket.AF_UNIX)
        server.connect(str(behind))
        Thread(target=_pass_on, args=(server, inner), daemon=True).start()
        _pass_on(inner, server)


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while block := source.recv(1 << 16):
            target.sendall(block)
    with suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)
