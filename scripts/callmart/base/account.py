"""Accounts of the operating system: the one that callmart runs as, and others by their number."""

import os
import pwd


def account() -> str:
    """The name of ours. The environment is not asked: anybody can set LOGNAME, and after `su` it may name the former
    account.
    """
    return name_of(os.geteuid())


def name_of(number: int) -> str:
    """The name of an account, or its number if it has none."""
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)
