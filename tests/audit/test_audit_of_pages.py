"""The audit's checks of pages: none sets or loads anything, and each shows the customer in whose folder it is."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from callmart.audit import pages
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


MAILED = "2026-W40.traffic"
TO = "To: chef@drie.example"
TEXT = "Fietsen\n\nDrukte"


def written(name: str, to: str = TO, text: str = TEXT) -> str:
    """A mail of this name, as it stands in the outbox."""
    return f"X-Oldest-Day: 2026-09-28\n{to}\nSubject: x\nMessage-ID: <{name}@callmart.invalid>\n\n{text}\n"


@pytest.fixture
def in_outbox(played: Callmart) -> Iterator[Path]:
    """The place of a mail to somebody who was a recipient."""
    known_by = tombstones.of_address(key_of(played, STANDARD), "chef@drie.example")
    place = played.home / "outbox" / str(STANDARD) / f"{MAILED}.{known_by}.eml"
    place.parent.mkdir(parents=True)
    yield place
    shutil.rmtree(place.parent)


@pytest.mark.server
@pytest.mark.parametrize(
    ("to", "text", "wrong"),
    [
        (TO, TEXT, None),
        (TO, "as it was called before\n\nDrukte", None),
        ("To: chef@een.example", TEXT, "goes to somebody else than its name says"),
        ("To: nobody.knows@example.org", TEXT, "goes to somebody else than its name says"),
        (f"{TO}\nCc: nobody.knows@example.org", TEXT, "goes to somebody else than its name says"),
        (f"{TO}, nobody.knows@example.org", TEXT, "goes to somebody else than its name says"),
        ("X-To: chef@drie.example", TEXT, "goes to somebody else than its name says"),
        ("Resent-To: nobody.knows@example.org", TEXT, "goes to somebody else than its name says"),
        (f"{TO}\nContent-Type: text/plain; charset=nobodys", TEXT, "can't be read"),
        (f"{TO}\nContent-Type: text/plain; charset=undefined", TEXT, "can't be read"),
        (f"{TO}\nContent-Type: text/plain; charset*=idna''%ff", TEXT, "can't be read"),
        (f'{TO}\nCc: "', TEXT, "can't be read"),
        (TO, "Voorbeeld\n\nDrukte", "shows another customer"),
    ],
)
def test_a_mail_to_somebody_else_or_of_another_customer_is_a_breach(
    played: Callmart, in_outbox: Path, to: str, text: str, wrong: str | None
) -> None:
    in_outbox.write_text(written(in_outbox.stem, to, text))
    with played.connect() as owner:
        found = pages.of_owners(owner, played.settings).found
    assert found == ((f"outbox/{STANDARD}/{in_outbox.name} {wrong}: remove it",) if wrong else ())


@pytest.mark.server
@pytest.mark.parametrize("charset", ["charset=nobodys", "charset=undefined", "charset*=idna''%ff"])
def test_a_mail_whose_page_can_not_be_read_is_a_breach(
    played: Callmart, in_outbox: Path, charset: str
) -> None:
    in_outbox.write_text(written(in_outbox.stem, f"{TO}\nContent-Type: text/html; {charset}"))
    (found,) = pages.of_pages(played.settings).found
    assert found.startswith(f"outbox/{STANDARD}/{in_outbox.name}: it is no page; ")


@pytest.mark.server
def test_a_mail_that_was_put_in_another_s_place_is_a_breach(played: Callmart, in_outbox: Path) -> None:
    in_outbox.write_text(written(f"{MAILED}.{'0' * 32}"))
    with played.connect() as owner:
        found = pages.of_owners(owner, played.settings).found
    assert found == (f"outbox/{STANDARD}/{in_outbox.name} is another mail than its name says: remove it",)


@pytest.mark.server
def test_a_mail_of_a_customer_that_is_gone_is_told_until_the_next_run(played: Callmart) -> None:
    """Its recipient can be another customer's, too. Nobody has its key to ask."""
    place = played.home / "outbox" / "9999" / f"{MAILED}.abc.eml"
    place.parent.mkdir(parents=True)
    place.write_text(written(place.stem, "To: chef@een.example", "as it was called before"))
    with played.connect() as owner:
        assert pages.of_owners(owner, played.settings).found == ()
        assert pages.of_contracts(owner, played.settings).found == (
            f"outbox/9999/{place.name}: the next run removes it",
        )
    shutil.rmtree(place.parent)
