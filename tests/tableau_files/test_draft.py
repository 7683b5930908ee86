"""A workbook that is filled into a draft is, byte for byte, the one that is drawn for the customer alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as some

from callmart.base.declared import Locale
from callmart.base.errors import UserError
from callmart.base.settings import SITE
from callmart.declarations import exposures
from callmart.tableau_files.workbook import PublishedSource, build, draft
from tableau_files import source

pytestmark = pytest.mark.thorough

SERVER = "https://tableau.example.nl"
MARKS = some.sampled_from([draft.CUSTOMER, draft.SITE, draft.CONTENT_URL, draft.ROWS_AT])
NAMES = some.one_of(
    some.sampled_from(["", "Bakker & Zn. <\"'>\r\n{{customer}}"]), MARKS, some.text(max_size=20)
)
URLS = some.one_of(MARKS, some.text(some.characters(exclude_categories=["C"]), min_size=1, max_size=20))


@given(
    name=some.sampled_from(sorted(exposures.reports())),
    locale=some.sampled_from(["nl", "en"]),
    customer=NAMES,
    server=some.sampled_from([SERVER, "http://localhost:8000/"]),
    site=some.one_of(some.just(""), MARKS, some.from_regex(SITE, fullmatch=True)),
    content_url=URLS,
    rows_at=some.one_of(some.just(""), URLS),
    target=some.sampled_from([None, 0.8, 0.9]),
)
def test_a_draft_is_filled_as_it_would_be_drawn(
    name: str,
    locale: Locale,
    customer: str,
    server: str,
    site: str,
    content_url: str,
    rows_at: str,
    target: float | None,
) -> None:
    report, published = exposures.reports()[name], PublishedSource(server, site, content_url)
    of = source(report.group, locale)
    rows = exposures.reports()[report.rows_in] if report.rows_in and rows_at else None
    try:
        alone, _ = draft.drawn(report, customer, of, published, rows, rows_at, target)
    except UserError:  # its name looks like a field to whoever checks the fields
        assert "[" in customer
        return
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


def test_a_report_that_has_changed_is_drawn_anew() -> None:
    report, of = exposures.reports()["traffic"], source("queue", "nl")
    published = PublishedSource(SERVER, "", "queues")
    changed = report.model_copy(update={"sheets": report.sheets[:1]})
    assert build(report, "One", of, published) != build(changed, "One", of, published)


@pytest.mark.parametrize("customer", ["[Parameters].[weeks_back]", "[a].[b]"])
def test_a_customer_may_be_called_like_a_field(customer: str) -> None:
    report = exposures.reports()["traffic"]
    published = PublishedSource(SERVER, "", "queues")
    assert customer.encode() in build(report, customer, source("queue", "nl"), published)
