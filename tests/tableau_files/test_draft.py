"""A workbook that is filled into a draft is, byte for byte, the one that is drawn for the customer alone."""

from hypothesis import given
from hypothesis import strategies as some

from callmart.base.settings import SITE
from callmart.declarations import exposures
from callmart.tableau_files.workbook import PublishedSource, build, draft
from tableau_files import source

SERVER = "https://tableau.example.nl"
NAMES = some.one_of(some.just(""), some.just("Bakker & Zn. <\"'>\r\n{{customer}}"), some.text(max_size=20))
URLS = some.text(some.characters(exclude_categories=["C"]), min_size=1, max_size=20)


@given(
    name=some.sampled_from(sorted(exposures.reports())),
    locale=some.sampled_from(["nl", "en"]),
    customer=NAMES,
    site=some.one_of(some.just(""), some.from_regex(SITE, fullmatch=True)),
    content_url=URLS,
    rows_at=some.one_of(some.just(""), URLS),
    target=some.sampled_from([None, 0.8]),
)
def test_a_draft_is_filled_as_it_would_be_drawn(
    name: str, locale: str, customer: str, site: str, content_url: str, rows_at: str, target: float | None
) -> None:
    report, published = exposures.reports()[name], PublishedSource(SERVER, site, content_url)
    of = source(report.group, locale)
    rows = exposures.reports()[report.rows_in] if report.rows_in and rows_at else None
    alone, _ = draft.drawn(report, customer, of, published, rows, rows_at, target)
    assert build(report, customer, of, published, rows_at=rows_at, target=target) == alone


def test_a_report_is_drawn_once_for_all_customers() -> None:
    report = exposures.reports()["traffic"]
    draft.of.cache_clear()
    for number in range(5):
        published = PublishedSource(SERVER, "", f"queues_{number}")
        build(
            report, f"Customer {number}", source(report.group, "nl"), published, rows_at=f"contacts_{number}"
        )
    assert draft.of.cache_info().misses == 1
