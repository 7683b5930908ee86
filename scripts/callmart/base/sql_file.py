"""SQL in files: the statements of a module are in the .sql file beside it, each under its name.

-- name: passed
-- What it does, and why.
select …;

If a statement is filled in by `.format`, write its own braces (in a regular expression, say) twice.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import LiteralString, cast

_NAME = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)


def statements(module: str) -> Mapping[str, LiteralString]:
    """The statements of a module by name. `module` is its `__file__`."""
    _, *parts = _NAME.split(Path(module).with_suffix(".sql").read_text(encoding="utf-8"))
    return {
        name: cast(LiteralString, text.strip().removesuffix(";"))
        for name, text in zip(parts[::2], parts[1::2], strict=True)
    }
