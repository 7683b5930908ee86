"""Uploading a file in chunks, of which one that breaks off does not cost the whole.

The REST API can't be asked how much has arrived; only an append that succeeds tells the size, in whole megabytes. So a
chunk without an answer is sent once more, and the size then tells whether the server has it twice.
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
_TRIES = 3  # of a chunk, and of a file
_PAUSE_S = 1.0  # and twice as long before the next try
_TELLING_MB = 4  # of a smaller chunk rounded sizes do not tell whether it is there once or twice


class _Astray(UserError):
    """The server holds something else than what was sent."""


class Uploads(Fileuploads):  # type: ignore[misc]  # TSC has no types for it
    """TSC's uploads, going on where they broke off, and beginning anew where that can't be."""

    def upload(self, file: Path) -> str:
        """The upload session that holds all of `file`."""
        for tried in range(1, _TRIES):
            try:
                return self._upload(file)
            except (_Astray, *_NO_ANSWER):
                time.sleep(_PAUSE_S * 2**tried)
        return self._upload(file)

    def _upload(self, file: Path) -> str:
        session: str = self.initiate()
        held = 0
        for chunk in _chunks(file):
            held = self._append(session, chunk, held)
        return session

    def _append(self, session: str, chunk: bytes, held: int) -> int:
        """Adds a chunk to the megabytes that a session holds; how many it holds then."""
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
            raise _Astray("what arrived of the upload is not as large as what was sent; run again.")
        return holds


def _chunks(file: Path) -> Iterator[bytes]:
    """A file in chunks of one size, so that none is too small to be told."""
    size = file.stat().st_size
    count = ceil(size / (config.CHUNK_SIZE_MB * BYTES_PER_MB))
    with file.open("rb") as content:
        while chunk := content.read(ceil(size / count)):
            yield chunk
