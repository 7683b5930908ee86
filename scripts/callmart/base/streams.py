"""The standard streams, which whoever starts us may have closed."""

import os
import sys


def ensure_open() -> None:
    """Let a stream that is closed (`>&-`) lead nowhere. What is opened next, such as a session with the database, would
    get its number, and then what other programs print.
    """
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(number, True)
    os.close(number)
    sys.stdin = sys.stdin or os.fdopen(0)
    sys.stdout = sys.stdout or os.fdopen(1, "w")
    sys.stderr = sys.stderr or os.fdopen(2, "w")
