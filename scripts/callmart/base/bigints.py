"""Looks for many bigints in bytes in one pass: as PostgreSQL stores them, in both byte orders, and as text.

Nothing has to be compiled, and reading does not become slower with their number. The bytes are read as words of four
or eight, one after the other. Each form of a bigint is so long that it contains one of these words whole, wherever it
begins. The words are looked up in tables of hashes, and the few that pass are compared in full.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

Bytes = bytes | bytearray | memoryview

_BLOCK = 1 << 20  # bytes that are read at once, so that what is computed stays in the processor's cache
_ODD = (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F)  # of each filter: a multiplication by it spreads words
_MOST_BITS = 24  # of a filter's table
LONGEST = 20  # a bigint as text, with its sign


def stored(number: int) -> tuple[bytes, bytes]:
    """A bigint as PostgreSQL stores it on one or the other kind of machine, and sends it."""
    return number.to_bytes(8, "little", signed=True), number.to_bytes(8, "big", signed=True)


class Bigints:
    """Bigints that are sought together. They have to be random, as keys are: parts of other numbers, such as four
    zeros, are everywhere. Those are `left_out`.
    """

    def __init__(self, numbers: Sequence[int]) -> None:
        sought = {place: number for place, number in enumerate(numbers) if _is_random(number)}
        self.left_out = {place: number for place, number in enumerate(numbers) if place not in sought}
        places = np.array(list(sought), np.int64)
        self._sought = [
            _Forms([form for number in sought.values() for form in stored(number)], places.repeat(2), 4),
            _Forms([b"%d" % number for number in sought.values()], places, 8),
        ]

    def in_bytes(self, data: Bytes) -> frozenset[int]:
        """Which bigints are in the data, by their places in what was given."""
        return frozenset[int]().union(*(forms.in_bytes(data) for forms in self._sought))


def _is_random(number: int) -> bool:
    """Whether parts of it are rare enough, and its text is so long that it contains a word whole."""
    return len(set(stored(number)[0])) > 5 and len(b"%d" % number) >= 16


class _Forms:
    """Forms of numbers, each of 8 or of 16 to 20 bytes, and whose they are. `size` is that of a word."""

    def __init__(self, forms: Sequence[bytes], whose: Any, size: int) -> None:
        self._size, self._whose = size, whose
        lengths: Any = np.fromiter(map(len, forms), np.int64, len(forms))
        padded: Any = np.frombuffer(b"".join(form.ljust(LONGEST) for form in forms), np.uint8)
        each = np.lib.stride_tricks.sliding_window_view(padded.reshape(-1, LONGEST), 8, axis=1)
        every = np.arange(len(forms))
        # Eight bytes at each of these three places together are the whole form.
        self._places = np.stack([np.zeros_like(lengths), np.maximum(lengths - 16, 0), lengths - 8])
        self._parts = [np.ascontiguousarray(each[every, place]).view("<u8")[:, 0] for place in self._places]
        # The words that begin at the first `size` places of each form: what is read has one of them whole.
        within = [np.ascontiguousarray(each[:, at, :size]).view(f"<u{size}")[:, 0] for at in range(size)]
        words = np.concatenate(within)
        order = np.argsort(words, kind="stable")
        self._words, self._of = words[order], np.tile(every, size)[order]
        self._at = np.repeat(np.arange(size), len(forms))[order]
        self._filters = self._made_filters()

    def _made_filters(self) -> list[tuple[Any, Any, Any]]:
        """Tables of the hashes of all words. Whatever is not in all of them is no word of ours."""
        bits = min(_MOST_BITS, len(self._words).bit_length() + 5)
        made = []
        for odd in _ODD:
            kind = self._words.dtype.type
            factor, shift = kind(odd & (1 << 8 * self._size) - 1), kind(8 * self._size - bits)
            table: Any = np.zeros(1 << bits, np.bool_)
            table[self._words * factor >> shift] = True
            made.append((factor, shift, table))
        return made

    def in_bytes(self, data: Bytes) -> set[int]:
        """Whose forms are in the data."""
        count = len(data) // self._size
        if not len(self._words) or len(data) < 8:
            return set()
        words = np.frombuffer(data, self._words.dtype, count)
        # Eight bytes from each place on.
        eights = np.ndarray(len(data) - 7, "<u8", data, strides=(1,))
        found = set[int]()
        for begin in range(0, count, _BLOCK // self._size):
            block = words[begin : begin + _BLOCK // self._size]
            at = self._candidates(block)
            if len(at):
                found.update(self._compared(block[at], (at + begin) * self._size, eights))
        return found

    def _candidates(self, block: Any) -> Any:
        """Where the block has words that pass all filters."""
        at = None
        for factor, shift, table in self._filters:
            words = block if at is None else block[at]
            passed = np.flatnonzero(table[words * factor >> shift])
            at = passed if at is None else at[passed]
        return at

    def _compared(self, words: Any, at: Any, eights: Any) -> Any:
        """Whose forms are where one of these words is."""
        first = np.searchsorted(self._words, words, "left")
        times = np.searchsorted(self._words, words, "right") - first
        # A word can be of several forms: each is compared.
        each: Any = np.repeat(np.arange(len(words)), times)
        entry = np.repeat(first - np.cumsum(times) + times, times) + np.arange(times.sum())
        form, begin = self._of[entry], at[each] - self._at[entry]
        fits = (begin >= 0) & (begin + self._places[-1][form] < len(eights))
        form, begin = form[fits], begin[fits]
        for places, parts in zip(self._places, self._parts, strict=True):
            same = eights[begin + places[form]] == parts[form]
            form, begin = form[same], begin[same]
        return self._whose[form].tolist()
