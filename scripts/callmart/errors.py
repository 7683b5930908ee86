"""The errors that a person sees."""


class UserError(Exception):
    """A mistake that the user can mend: one sentence that names the thing and the remedy; exit code 2.

    Never carries a customer's values: only file, line, setting, customer number, column.
    """
