"""The errors that a person sees."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

DISK_FULL = "53100"  # the SQLSTATE


class UserError(Exception):
    """A mistake that the user can correct: one sentence that names the thing and the remedy. The exit code is 2.

    The sentence never contains a customer's data: only file, line, setting, customer number, column.
    """


@contextmanager
def saying_mistakes() -> Iterator[None]:
    """For a module that is run as a program: a user's mistake ends it with the sentence alone, and exit code 2."""
    try:
        yield
    except UserError as mistake:
        sys.stderr.write(f"error: {mistake}\n")
        sys.exit(2)


def kind(error: Exception) -> str:
    """What went wrong, without the message of the database or a driver: that can contain a row."""
    if isinstance(error, UserError):
        return str(error)
    if state := getattr(error, "sqlstate", None):
        return f"SQLSTATE {state}{': the disk is full' if state == DISK_FULL else ''}"
    reason = error.strerror if isinstance(error, OSError) else None
    return f"{type(error).__name__}: {reason}" if reason else type(error).__name__
