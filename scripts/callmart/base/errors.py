"""The errors that a person sees."""

import errno
import sys
from collections.abc import Iterator
from contextlib import contextmanager

DISK_FULL = "53100"  # the SQLSTATE
_FULL = (errno.ENOSPC, errno.EDQUOT)  # of the system; the second is a user's share of a disk

# What the server finds wrong in the text of a statement, before it reads a row: syntax, and columns, tables and
# functions that are not there, are ambiguous or have the wrong type.
_IN_THE_TEXT = ("42601", "42702", "42703", "42803", "42804", "42883", "42P01")


class UserError(Exception):
    """A mistake that the user can correct: one sentence that names the thing and the remedy. The exit code is 2.

    The sentence never contains a customer's data: only file, line, setting, customer number, column.
    """


def unknown_customer(customer_id: int) -> UserError:
    """The mistake of naming a customer that is not in the registry."""
    return UserError(f"there is no customer {customer_id}: `callmart status` lists them")


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
        return kind_of_state(state)
    reason = error.strerror if isinstance(error, OSError) else None
    return f"{type(error).__name__}: {reason}" if reason else type(error).__name__


def kind_of_state(state: str) -> str:
    """What went wrong, by the SQLSTATE that the server gave."""
    return f"SQLSTATE {state}{': the disk is full' if state == DISK_FULL else ''}"


def is_disk_full(error: Exception) -> bool:
    """Whether the system, or the database, says that a disk is full."""
    return getattr(error, "errno", None) in _FULL or getattr(error, "sqlstate", None) == DISK_FULL


def mistake_in_sql(error: BaseException | None) -> str | None:
    """What the server says of the text of a statement, which names no value; None for any other error."""
    diagnosis = getattr(error, "diag", None)
    if diagnosis is None or diagnosis.sqlstate not in _IN_THE_TEXT:
        return None
    hint = diagnosis.message_hint or ""
    near = f" ({hint[0].lower()}{hint[1:].rstrip('.')})" if hint.startswith("Perhaps ") else ""
    return f"{diagnosis.message_primary}{near}"
