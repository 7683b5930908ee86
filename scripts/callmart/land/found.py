"""A file that waits to land, and what it was found to be: its look, a digest, and its bytes if they are few."""

import json
import os
from dataclasses import dataclass
from hashlib import file_digest, sha256
from pathlib import Path

from callmart.base.errors import UserError
from callmart.land.gate import Defaults
from callmart.land.look import Look, unreadable

BLOCK = 4 << 20  # bytes read at a time; a longer line is an error


@dataclass(frozen=True)
class Delivery:
    """A file to land, and how. `settled` is the file as it was found complete. Without it, lines may be added while it
    is read, as to a log that is in use.
    """

    path: Path
    format: str
    defaults: Defaults
    settled: Look | None = None

    @property
    def asked(self) -> str:
        """The options given with the file. With other options, e.g. another customer, the same content lands again."""
        return json.dumps(
            [self.format, self.defaults.customer_id, self.defaults.platform, self.defaults.time_zone]
        )


@dataclass(frozen=True)
class Found:
    """A file as it was found."""

    delivery: Delivery
    look: Look  # as the reading began
    digest: str  # of the content
    data: bytes | None  # the content; None if it is larger than a block


def find(delivery: Delivery) -> Found:
    """Read a file once. Raises UserError if it can't be read, or changes meanwhile."""
    path = delivery.path
    if not path.is_file():
        raise UserError(
            f"{path} is not a file; name an existing file of raw events, or remove it from the landing folder"
        )
    try:
        with path.open("rb") as file:
            look = Look.of(os.fstat(file.fileno()))
            start = file.read(BLOCK + 1)
            if len(start) <= BLOCK:
                found = Found(delivery, look, sha256(start).hexdigest(), start)
            else:
                file.seek(0)
                found = Found(delivery, look, file_digest(file, "sha256").hexdigest(), None)
        refuse_changed(found)
    except OSError as error:
        raise unreadable(path, error) from None
    return found


def refuse_changed(found: Found) -> None:
    """Raise UserError unless the file is still what it was when the reading began."""
    path, settled, look = found.delivery.path, found.delivery.settled, found.look
    if not (Look.of(path.lstat()) == look == settled if settled else Look.of(path.stat()).grew_from(look)):
        raise UserError(
            f"{path} changed meanwhile, and nothing of it landed; land it again when it is complete"
        )
