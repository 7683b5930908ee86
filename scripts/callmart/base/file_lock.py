"""Locks on files, each of which ends with its process."""

import fcntl
import time
from typing import IO

from callmart.base.errors import UserError


def take(file: IO[str], patience_s: float, otherwise: str) -> None:
    """Take the lock on an open file. Raises UserError, with what is said `otherwise`, if another process has it for
    longer than that: it may have been suspended, and would never end.
    """
    patient_until = time.monotonic() + patience_s
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > patient_until:
                raise UserError(otherwise) from None
        time.sleep(0.05)
