"""What an unknown word was probably meant to be."""

from collections.abc import Iterable
from difflib import get_close_matches

FEW = 14  # words that a sentence can list


def nearest(word: object, known: Iterable[str]) -> str | None:
    """The known word that this one is most like, if it is like one."""
    return next(iter(get_close_matches(str(word), list(known), 1)), None)


def instead(word: object, known: Iterable[str]) -> str:
    """What to write instead of an unknown word: the nearest one, and which there are. It never repeats the word."""
    there = list(dict.fromkeys(known))
    near = there[0] if len(there) == 1 else nearest(word, there)
    others = [one for one in there if one != near]
    if len(others) > FEW:
        others = [*get_close_matches(str(word), others, 3, cutoff=0), "…"]
    listed = ", ".join(others)
    if near is None:
        return f"write one of {listed}" if listed else "remove it, there is none"
    return f"write {near}, or another of {listed}" if listed else f"write {near}"
