"""A comparison as a page and as JSON. Neither has a value of a row: only counts, sums and how far they are apart."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path

from callmart.base.errors import UserError
from callmart.base.secret_files import secret_file
from callmart.base.templates import template
from callmart.environments.comparing import FEWEST_PERSONS
from callmart.environments.differences import Compared

CELLS_SHOWN = 500  # on the page; JSON has all


def refuse_format(file: Path) -> None:
    """Raise UserError for a file that is neither a page nor JSON."""
    if file.suffix not in _FORMATS:
        raise UserError(f"--out {file} is no {' and no '.join(_FORMATS)}: name one of these")


def write(compared: Compared, file: Path) -> None:
    """Write the comparison, in the format that the file's name says, mode 0600."""
    secret_file(file, _FORMATS[file.suffix](compared))


def as_json(compared: Compared) -> str:
    """The whole comparison as JSON: each column with its counts of cells, and the cells that differ, largest first."""
    environment = compared.environment
    return json.dumps(
        {
            "environment": environment.name,
            "customers": environment.customers,
            "from": str(environment.first_day),
            "to": str(environment.last_day),
            "days": compared.days,
            "left_out": compared.left_out,
            "held_back": environment.held_back,
            "compared_by_sums": compared.summed,
            "not_compared": compared.not_compared,
            "columns": [
                {
                    "mart": column.mart,
                    "column": column.column,
                    "only": column.only,
                    "equal": column.equal,
                    "changed": column.count("changed"),
                    "only_here": column.count("only here"),
                    "only_there": column.count("only there"),
                }
                for column in compared.columns
            ],
            "cells": [asdict(cell) | {"day": cell.day and str(cell.day)} for cell in compared.cells],
        }
    )


def as_html(compared: Compared) -> str:
    """The comparison as one HTML file that needs no other, for light and dark screens and for paper."""
    cells = compared.cells
    return template("callmart.environments", "diff.html.j2").render(
        compared=compared, cells=cells[:CELLS_SHOWN], more=len(cells[CELLS_SHOWN:]), fewest=FEWEST_PERSONS
    )


_FORMATS: Mapping[str, Callable[[Compared], str]] = {".html": as_html, ".json": as_json}
