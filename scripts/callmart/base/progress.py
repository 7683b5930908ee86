"""How those who watch are told what is at work, and how much of it is finished."""

from collections.abc import Callable

OnStep = Callable[[str, str, int, int], None]  # stage, item, finished, of
OnItem = Callable[[str, int, int], None]  # item, finished, of


def quietly(*step: object, **named: object) -> None:
    """Progress that nobody watches."""
