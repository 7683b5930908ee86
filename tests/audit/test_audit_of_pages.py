"""The audit's checks of pages: none sets or loads anything, and each shows the customer in whose folder it is."""

import pytest

from callmart.audit import pages
from callmart.base.keys import key_file
from callmart.database import tombstones
from callmart_home import Callmart
from centre import STANDARD
from erasing import key_of

PAGE = (
    '<!doctype html><html><head><style>p { color: red; background: url("data:,") }</style>'
    "<title>Drukte</title></head><body>"
    "<p id=a><a href='#a'>x</a> <a href='https://tableau.example/'>y</a> <a href='1001/page.html'>z</a>"
    "<img src='data:image/png;base64,AA'>MORE</p></body></html>"
)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("<script>document.cookie = 'a=b'</script>", "it has <script>"),
        ("<img src=//outside.example/a.gif>", "it loads something by src"),
        ("<img src='https://outside.example/a.gif'>", "it loads something by src"),
        ("<meta http-equiv=Set-Cookie content='a=b'>", "it has http-equiv set-cookie"),
        ("<p onclick='x()'>", "it has the attribute onclick"),
        ("<a href='javascript:x()'>", "it loads something by href"),
        ("<p style='background: url(https://outside.example/a)'>", "its style loads something"),
        ("<style>@import 'a.css'</style>", "its style loads something"),
        ("<link rel=stylesheet href='http://outside.example/a.css'>", "it loads something by href"),
        ("<svg><image xlink:href='http://outside.example/a.png'></svg>", "it loads something by xlink:href"),
    ],
)
def test_what_a_page_sets_or_loads_is_found(more: str, said: str) -> None:
    assert list(pages.reaching_out(PAGE.replace("MORE", more).encode())) == [said]


def test_a_page_that_keeps_to_itself_is_no_breach() -> None:
    assert list(pages.reaching_out(PAGE.encode())) == []
    assert list(pages.reaching_out(b"RIFF....WAVEfmt ")) == ["it is no page"]


@pytest.mark.server
def test_a_page_of_another_customer_or_report_is_a_breach(played: Callmart) -> None:
    place = played.home / "reports" / str(STANDARD) / "traffic-2026-W40.html"
    place.parent.mkdir(parents=True)
    for title, is_good in (
        ("Drukte · Fietsen · Week 40", True),
        ("Traffic · Fietsen · Week 40", True),
        ("Drukte · as it was called before · Week 40", True),
        ("Drukte · Voorbeeld · Week 40", False),
        ("Medewerkers · Fietsen · Week 40", False),
    ):
        place.write_text(f"<!doctype html><meta charset=utf-8><title>{title}</title>")
        with played.connect() as owner:
            check = pages.of_owners(owner, played.settings)
        said = f"reports/{STANDARD}/{place.name} shows another customer or another report: remove it, and draw it again"
        assert check.found == (() if is_good else (said,)), title
    assert pages.of_pages(played.settings).outcome == "holds"
    place.write_text("<!doctype html><script></script>")
    found = pages.of_pages(played.settings).found
    assert len(found) == 1 and found[0].startswith(f"reports/{STANDARD}/{place.name}: it has <script>; ")
    place.unlink()
    place.parent.rmdir()


@pytest.mark.server
def test_a_mail_to_another_customers_recipient_is_a_breach(played: Callmart) -> None:
    place = played.home / "outbox" / str(STANDARD) / "2026-W40.traffic.abc.eml"
    place.parent.mkdir(parents=True)
    for to, found in (
        (
            "chef@een.example",
            (f"outbox/{STANDARD}/{place.name} goes to another customer's recipient: remove it",),
        ),
        ("who.was@een.example", ()),
    ):
        place.write_text(f"X-Oldest-Day: 2026-09-28\nTo: {to}\nSubject: x\n\nx")
        with played.connect() as owner:
            assert pages.of_owners(owner, played.settings).found == found
    known_by = tombstones.of_address(key_of(played, STANDARD), "chef@een.example")
    own = place.rename(place.with_name(f"2026-W40.traffic.{known_by}.eml"))
    own.write_text("X-Oldest-Day: 2026-09-28\nTo: chef@een.example\nSubject: x\n\nx")
    with played.connect() as owner:
        assert pages.of_owners(owner, played.settings).outcome == "holds", (
            "a recipient of this customer's before"
        )
        key = key_file(played.home, STANDARD)
        hidden = key.rename(key.with_suffix(".hidden"))
        assert pages.of_owners(owner, played.settings).outcome == "BREACH", "nobody can tell without the key"
        hidden.rename(key)
        owner.execute("delete from registry.customer where customer_id = %s", [STANDARD])
        assert pages.of_owners(owner, played.settings).outcome == "holds", "the next run removes the mail"
        owner.rollback()
    own.unlink()
    place.parent.rmdir()
