"""Uploads a file in chunks, so that a broken connection costs one chunk and not the whole file.

The REST API can't be asked how much has arrived; only a successful append returns the size, in whole megabytes. So a
chunk without an answer is sent again, and the size then shows whether the server has it twice.
"""

import time
from collections.abc import Iterator
from math import ceil
from pathlib import Path
from xml.etree.ElementTree import ParseError

import requests
from tableauserverclient.config import BYTES_PER_MB, config
from tableauserverclient.server import RequestFactory
from tableauserverclient.server.endpoint.exceptions import InternalServerError, NonXMLResponseError
from tableauserverclient.server.endpoint.fileuploads_endpoint import Fileuploads

from callmart.base.errors import UserError

_NO_ANSWER = (requests.RequestException, InternalServerError, NonXMLResponseError, ParseError)
_TRIES = 3  # per chunk, and per file
_PAUSE_S = 1.0  # the pause doubles with each try
_TELLING_MB = 4  # for smaller chunks, the rounded size doesn't show whether one is there once or twice


class _WrongSize(UserError):
    """The server has more or less than what was sent."""


class Uploads(Fileuploads):  # type: ignore[misc]  # TSC has no types for it
    """TSC's uploads, but with retries: of a chunk if possible, otherwise of the whole file."""

    def upload(self, file: Path) -> str:
        """Upload `file`; return the id of the upload session that has all of it."""
        for tried in range(1, _TRIES):
            try:
                return self._upload(file)
            except (_WrongSize, *_NO_ANSWER):
                time.sleep(_PAUSE_S * 2**tried)
        return self._upload(file)

    def _upload(self, file: Path) -> str:
        session: str = self.initiate()
        held = 0
        for chunk in _chunks(file):
            held = self._append(session, chunk, held)
        return session

    def _append(self, session: str, chunk: bytes, held: int) -> int:
        """Append a chunk to a session with `held` megabytes; return how many it has then."""
        request, content_type = RequestFactory.Fileupload.chunk_req(chunk)
        megabytes = len(chunk) / BYTES_PER_MB
        is_telling = megabytes >= _TELLING_MB
        for tried in range(1, _TRIES + 1):
            try:
                holds: int = self.append(session, request, content_type).file_size
                break
            except _NO_ANSWER:
                if not is_telling or tried == _TRIES:
                    raise
                time.sleep(_PAUSE_S * 2**tried)
        if is_telling and abs(holds - held - megabytes) > megabytes / 2:
            raise _WrongSize("the upload did not arrive in the size in which it was sent; run again")
        return holds


def _chunks(file: Path) -> Iterator[bytes]:
    """The file in chunks of equal size, so that no chunk is too small for the check of the size."""
    size = file.stat().st_size
    count = ceil(size / (config.CHUNK_SIZE_MB * BYTES_PER_MB))
    with file.open("rb") as content:
        while chunk := content.read(ceil(size / count)):
            yield chunk
