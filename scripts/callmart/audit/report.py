"""Writes the audit's report: one HTML file that needs no other files, and the same as JSON."""

import json
from collections.abc import Iterable
from dataclasses import asdict
from itertools import groupby
from pathlib import Path

from callmart.audit.audit import Audit
from callmart.audit.channels import CHANNELS, GOOD, Cell
from callmart.audit.check import Check
from callmart.audit.visible import VISIBLE
from callmart.base.secret_files import private_folder, secret_file
from callmart.base.settings import Settings
from callmart.base.templates import template
from callmart.publish.grants import ALLOWED


def ready(settings: Settings, folder: Path | None = None) -> Path:
    """Return the folder for reports, by default `audit` in CALLMART_HOME. It is made if it is missing."""
    folder = folder or settings.home / "audit"
    private_folder(folder)
    return folder


def write(audit: Audit, folder: Path) -> list[Path]:
    """Write the report as HTML and JSON, mode 0600. Returns the two files."""
    name = f"{audit.at:%Y-%m-%dT%H%M%S}"
    written = [folder / f"{name}.html", folder / f"{name}.json"]
    for file, text in zip(written, (as_html(audit), as_json(audit)), strict=True):
        secret_file(file, text)
    return written


def as_json(audit: Audit) -> str:
    """The whole audit as JSON."""
    return json.dumps(
        {
            "at": audit.at.isoformat(timespec="seconds"),
            "versions": audit.versions,
            "summary": summary(audit),
            "checks": [asdict(check) | {"outcome": check.outcome} for check in audit.checks],
            "declared on Tableau": ALLOWED,
            "who sees by office": audit.persons,
            "matrix": [asdict(cell) for cell in audit.cells],
            "what PostgreSQL lets nobody close": VISIBLE,
        },
        indent=1,
    )


def summary(audit: Audit) -> dict[str, int]:
    """The most important numbers of an audit."""
    return {
        "customers": audit.customers,
        "marts": len({cell.mart for cell in audit.cells}),
        "checks": len(audit.checks),
        "looked at": sum(check.looked_at for check in audit.checks),
        "breaches": sum(check.breaches for check in audit.checks),
        "checks that looked at nothing": sum(check.outcome.startswith("NOTHING") for check in audit.checks),
    }


def as_html(audit: Audit) -> str:
    """The whole audit as HTML, for light and dark screens and for paper."""
    areas = _by_area(check for check in audit.checks if not check.area.startswith("attacks"))
    attacks = _by_area(check for check in audit.checks if check.area.startswith("attacks"))
    return template("callmart.audit", "report.html.j2").render(
        audit=audit,
        summary=summary(audit),
        areas=areas,
        attacks={area.removeprefix("attacks: "): checks for area, checks in attacks.items()},
        channels=CHANNELS,
        good=GOOD,
        customers=_by_customer(audit.cells),
        declared=ALLOWED,
        visible=VISIBLE,
    )


def _by_area(checks: Iterable[Check]) -> dict[str, list[Check]]:
    areas: dict[str, list[Check]] = {}
    for check in checks:
        areas.setdefault(check.area, []).append(check)
    return areas


def _by_customer(cells: tuple[Cell, ...]) -> list[tuple[Cell, dict[str, dict[str, str]]]]:
    """Per customer: its first cell, which has number and option, and the outcomes by mart and channel."""
    found = []
    for _, of_customer in groupby(cells, lambda cell: cell.customer_id):
        several = list(of_customer)
        marts: dict[str, dict[str, str]] = {}
        for cell in several:
            marts.setdefault(cell.mart, {})[cell.channel] = cell.outcome
        found.append((several[0], marts))
    return found
