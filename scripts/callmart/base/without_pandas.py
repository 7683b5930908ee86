"""Keeps pyarrow from importing pandas, which takes 35 MiB and 0.2 s.

pyarrow does so as soon as it makes an array of a list, to see whether that is one of pandas'. None is; pandas is
installed only for Great Expectations. pyarrow looks for it once and remembers, so it is asked while pandas can't be
found. Who needs pandas can import it afterwards, and `to_pandas` finds it again.
"""

import sys
from collections.abc import Sequence
from types import ModuleType

import pyarrow as pa


class _Hidden:
    """Looks for modules before all others, and says that there is no pandas."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> None:
        if name == "pandas":
            raise ModuleNotFoundError(name)


if "pandas" not in sys.modules:
    sys.meta_path.insert(0, _Hidden)
    try:
        pa.array([])
    finally:
        sys.meta_path.remove(_Hidden)
