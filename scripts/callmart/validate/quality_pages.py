"""Writes Great Expectations' Data Docs, one page per build in CALLMART_HOME/quality: what was checked and what failed.

Great Expectations' own renderers write the pages. They get results that were reduced to counts, without values, keys
or days. A page loads nothing from elsewhere (no script, font or picture) and links only to the other pages.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

from lxml import html

from callmart.base.secret_files import secret_file
from callmart.base.settings import Settings
from callmart.validate.result import Result

COUNTS = ("element_count", "missing_count", "missing_percent", "unexpected_count", "unexpected_percent")
KEPT = {"section", "div", "h5", "h6", "p", "span", "b", "strong", "br", "ul", "li", "table", "thead", "tbody"}
KEPT |= {"tr", "th", "td"}
SIGNS = {
    "fa-check-circle": ("✓", "met"),
    "fa-exclamation-triangle": ("!", "failed"),
    "fa-times": ("✗", "failed"),
}

STYLE = """
:root { color-scheme: light dark; --ink: #1b2430; --soft: #5b6675; --line: #d9dfe6; --paper: #fff; --band: #f3f5f8;
  --met: #1a7f45; --failed: #b3261e; --warning: #8a5a00 }
@media (prefers-color-scheme: dark) { :root { --ink: #e6eaf0; --soft: #9aa6b5; --line: #323b47; --paper: #14181e;
  --band: #1d232b; --met: #5bd08c; --failed: #ff8a80; --warning: #f0c060 } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 60rem;
  margin: 2.5rem auto; padding: 0 1.25rem }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .25rem }
h2 { font-size: 1.2rem; margin: 2.5rem 0 .5rem }
h5 { font-size: 1rem; margin: 1.5rem 0 .25rem }
p { margin: .25rem 0; color: var(--soft) }
a { color: inherit }
table { border-collapse: collapse; width: 100%; margin: .5rem 0 1rem; font-variant-numeric: tabular-nums }
th, td { text-align: left; vertical-align: top; padding: .4rem .75rem .4rem 0; border-bottom: 1px solid var(--line);
  overflow-wrap: anywhere }
th, .name { white-space: nowrap }
th { font-weight: 600; color: var(--soft); font-size: .85rem }
section th:first-child { width: 4rem } section th:last-child { width: 10rem }
.number { text-align: right }
.met { color: var(--met) } .failed, .text-danger { color: var(--failed) } .warning { color: var(--warning) }
.badge { font: .85em ui-monospace, monospace; background: var(--band); padding: .1em .35em; border-radius: .25em }
summary { cursor: pointer; padding: .35rem 0; color: var(--soft) }
@media print { body { max-width: none; margin: 0 } details { break-inside: avoid } }
"""


def folder(settings: Settings) -> Path:
    """Return the folder of the pages."""
    return settings.home / "quality"


def section(found: Any, results: Sequence[Result]) -> str:
    """Return a page's section about one mart: Great Expectations' result of its suite, without values."""
    from great_expectations.render.renderer.page_renderer import ValidationResultsPageRenderer

    for one in found.results:
        result = results[one.expectation_config.meta["number"]]
        one.result = {name: one.result[name] for name in COUNTS if name in one.result}
        if "element_count" not in one.result:
            one.result["observed_value"] = "met" if one.success else f"{len(result.failing)} days fail"
        if "name" in one.expectation_config.meta:
            one.expectation_config.description = result.expectation
        one.exception_info = {}

    # Leave out the first section, Great Expectations' overview: the page has a shorter one.
    sections = ValidationResultsPageRenderer().render(found).sections[1:]
    rendered = [
        _plain(_view().render({"section": one.to_json_dict(), "section_loop": {"index": number}}))
        for number, one in enumerate(sections, 1)
    ]
    failed = [one for one in rendered if 'class="failed"' in one]
    met = [one for one in rendered if one not in failed]
    expected, unmet = len(results), sum(1 for result in results if result.failing)
    return "".join(
        [
            f"<h2>{escape(found.suite_name)}</h2>",
            f"<p>{expected - unmet} of {expected} expectations met</p>",
            *failed,
            f"<details><summary>{len(met)} more, all met</summary>{''.join(met)}</details>" if met else "",
        ]
    )


@cache
def _view() -> Any:
    """Great Expectations' templates. They are cached because each new view would compile them again."""
    from great_expectations.render.view.view import DefaultJinjaSectionView

    return DefaultJinjaSectionView()


def write(
    settings: Settings, build_id: int, built_on: date, results: Sequence[Result], sections: Iterable[str]
) -> None:
    """Write the page of a build, and write the index again."""
    critical = {day for result in results if result.severity == "critical" for day in result.failing}
    unmet = [result for result in results if result.failing]
    title = f"build {build_id}: {len(results) - len(unmet)} of {len(results)} expectations met"
    if critical:
        title += f", {len(critical)} days to hold back"
    rows = [
        f'<tr><td class="name">{escape(one.mart)}</td><td>{escape(one.expectation)}</td>'
        f'<td class="name {"failed" if one.severity == "critical" else "warning"}">{one.severity}</td>'
        f'<td class="number">{len(one.failing)}</td>'
        f'<td class="number">{len({customer for customer, _ in one.failing})}</td></tr>'
        for one in unmet
    ]
    table = (
        "<table><thead><tr><th>mart</th><th>expectation that is not met</th><th>severity</th>"
        '<th class="number">days</th><th class="number">customers</th></tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table>"
    )
    body = f"<p>{built_on} · <a href='index.html'>all builds</a></p>{table if rows else ''}"
    _write(folder(settings) / f"{built_on}-{build_id}.html", title, body + "".join(sections))
    write_index(settings)


def write_index(settings: Settings) -> None:
    """Write the index: all pages that exist, newest first, each with its own title."""
    pages = sorted(of_builds(settings), key=lambda page: page[1:], reverse=True)
    rows = [
        f"<tr><td class='name'>{day}</td><td><a href='{path.name}'>{_title(path)}</a></td></tr>"
        for path, day, _ in pages
    ]
    table = (
        f"<table><thead><tr><th>day</th><th>checked</th></tr></thead><tbody>{''.join(rows)}</tbody></table>"
    )
    _write(folder(settings) / "index.html", "callmart: quality", table)


def of_builds(settings: Settings) -> Iterator[tuple[Path, str, int]]:
    """The pages that exist, each with the day and the number of its build."""
    for path in folder(settings).glob("*.html"):
        if found := re.fullmatch(r"(\d{4}-\d{2}-\d{2})-(\d+)", path.stem):
            yield path, found[1], int(found[2])


def _title(path: Path) -> str:
    """The title of a page, as HTML. It is at the beginning, and the rest is long."""
    with path.open(encoding="utf-8") as page:
        found = re.search("<title>(.*?)</title>", page.read(1000))
    return found[1] if found else escape(path.stem)


def _write(path: Path, title: str, body: str) -> None:
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    secret_file(
        path,
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}"><style>{STYLE}</style></head>'
        f"<body><h1>{escape(title)}</h1>{body}</body></html>\n",
    )


def _plain(rendered: str) -> str:
    """Great Expectations' HTML reduced to text and tables, without links, scripts, pictures and styles."""
    part = html.fragment_fromstring(rendered, create_parent="section")
    for element in list(part.iter("i")):
        for name, (sign, meaning) in SIGNS.items():
            if name in element.classes:
                element.tag, element.text = "b", sign
                element.set("class", meaning)
    for element in list(part.iter("a")):
        element.drop_tag()
    for element in list(part.iter()):
        if element.tag not in KEPT:
            element.drop_tree()
            continue
        shown = {"failed", "met", "text-danger", "badge"}.intersection(element.get("class", "").split())
        element.attrib.clear()
        if shown:
            element.set("class", " ".join(sorted(shown)))
    return str(html.tostring(part, encoding="unicode"))
