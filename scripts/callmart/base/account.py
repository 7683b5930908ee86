"""The account of the operating system that callmart runs as."""

import os
import pwd


def account() -> str:
    """Its name, or its number if it has none. The environment is not asked: anybody can set LOGNAME, and after `su` it
    may name the former account.
    """
    number = os.geteuid()
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)
