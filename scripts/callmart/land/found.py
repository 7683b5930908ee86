"""A file that waits to land, and what it was found to be: its look, a digest, and its bytes if they are few."""

import errno
import json
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from stat import S_ISREG
from typing import BinaryIO

from callmart.base.disk import is_gone
from callmart.base.errors import UserError
from callmart.land.gate import Defaults
from callmart.land.look import Look, refuse_name, unreadable, vanished

BLOCK = 4 << 20  # bytes read at a time; a longer line is an error


@dataclass(frozen=True)
class Delivery:
    """A file to land, and how. `listed` is the file as its folder showed it; None if somebody named it, and then it may
    be a link. If it is not `settled`, lines may be added while it is read, as to a log that is in use.
    """

    path: Path
    format: str
    defaults: Defaults
    listed: Look | None = None
    settled: bool = False

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
    seen_ns: int  # when that was
    digest: str  # of the content
    data: bytes | None  # the content; None if it is larger than a block
    file: BinaryIO  # what was opened, whatever is at its path now; open only without `data`

    @property
    def content(self) -> tuple[str, str]:
        """What is the same for files of which only one lands: the digest, and the options."""
        return self.digest, self.delivery.asked


def find(delivery: Delivery) -> Found:
    """Read a file once. Raises UserError if it can't be read, or is no longer what its folder showed."""
    path = delivery.path
    refuse_name(path)
    if delivery.listed and is_gone(path):
        raise vanished(path)
    if not path.is_file():
        raise UserError(
            f"{path} is not a file; name an existing file of raw events, or remove it from the landing folder"
        )
    try:
        with ExitStack() as opened:
            file = opened.enter_context(open(path, "rb", opener=no_link if delivery.listed else None))
            seen_ns = time.time_ns()
            stat = os.fstat(file.fileno())
            if not S_ISREG(stat.st_mode):
                raise _changed(path)
            look = Look.of(stat)
            start = file.read(BLOCK + 1)
            if len(start) <= BLOCK:
                found = Found(delivery, look, seen_ns, sha256(start).hexdigest(), start, file)
            else:
                file.seek(0)
                found = Found(delivery, look, seen_ns, digest_of(file, look.size), None, file)
            refuse_changed(found)
            if found.data is None:
                opened.pop_all()  # whoever lands it closes it
    except OSError as error:
        raise _changed(path) if error.errno == errno.ELOOP else unreadable(path, error) from None
    return found


def pieces(file: BinaryIO, size: int) -> Iterator[bytes]:
    """The content of a file that had this size. One that is made longer meanwhile could last for hours: a hole of
    terabytes takes no place.
    """
    while size > 0 and (piece := file.read(min(size, 1 << 20))):
        yield piece
        size -= len(piece)


def digest_of(file: BinaryIO, size: int) -> str:
    """The digest of the content of a file that had this size."""
    digest = sha256()
    for piece in pieces(file, size):
        digest.update(piece)
    return digest.hexdigest()


def refuse_changed(found: Found) -> None:
    """Raise UserError unless the file is still what it was when the reading began, and when its folder was read. One
    that is not settled may have grown at its end.
    """
    path, look, listed = found.delivery.path, found.look, found.delivery.listed
    now = Look.of(path.lstat() if listed else path.stat())
    if not (
        now == look == listed
        if found.delivery.settled
        else now.grew_from(look)
        and look.grew_from(listed or look)
        and (now == look or _begins_as_read(found))
    ):
        raise _changed(path)


def _begins_as_read(found: Found) -> bool:
    """Whether the file still begins with what was read. Written over, it can be as long: then what has landed would be
    known by the digest of what has not.
    """
    with os.fdopen(os.dup(found.file.fileno()), "rb") as again:  # `found.file` can have kept what it read
        again.seek(0)
        return digest_of(again, found.look.size if found.data is None else len(found.data)) == found.digest


def no_link(path: str, flags: int) -> int:
    """For `open`: a link that took a file's place could lead to another customer's folder, and is an error. A pipe that
    took it does not block.
    """
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)


def _changed(path: Path) -> UserError:
    return UserError(f"{path} changed meanwhile, and nothing of it landed; land it again when it is complete")
