"""The errors that a person sees."""


class UserError(Exception):
    """A mistake that the user can correct: one sentence that names the thing and the remedy. The exit code is 2.

    The sentence never contains a customer's data: only file, line, setting, customer number, column.
    """


def kind(error: Exception) -> str:
    """What went wrong, without the message of the database or a driver: that can contain a row."""
    if isinstance(error, UserError):
        return str(error)
    if state := getattr(error, "sqlstate", None):
        return f"SQLSTATE {state}"
    reason = error.strerror if isinstance(error, OSError) else None
    return f"{type(error).__name__}: {reason}" if reason else type(error).__name__
