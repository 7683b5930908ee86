"""Charts that were drawn already, by any worker: Vega-Lite takes most of the time of a page."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any
from unittest.mock import patch

from callmart.reports import charts

DRAW = charts._svg


@contextmanager
def kept_drawings(folder: Path) -> Iterator[None]:
    """Within it, a chart is drawn once. Whoever wants to see it drawn anew calls for `DRAW`."""
    folder.mkdir(exist_ok=True)

    def drawn(spec: dict[str, Any], territory: charts.Territory) -> str:
        told = json.dumps([spec, territory], sort_keys=True)
        kept = folder / f"{sha256(told.encode()).hexdigest()}.svg"
        if not kept.exists():
            draft = kept.with_suffix(f".{id(spec)}")
            draft.write_text(DRAW(spec, territory))
            draft.replace(kept)
        return kept.read_text()

    with patch.object(charts, "_svg", drawn):
        yield
