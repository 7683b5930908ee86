"""The audit's checks of pages and mails in the home: they set and load nothing, and are of the customer in whose folder
they are. A contract orders each of them.
"""

import re
from collections.abc import Iterator, Sequence
from email import message_from_bytes, policy
from email.message import EmailMessage
from html import unescape
from pathlib import Path

import psycopg
from lxml import html

from callmart.audit.check import Check
from callmart.base import disk
from callmart.base.keys import epochs, fits, known_key
from callmart.base.settings import Settings
from callmart.database import fingerprints, tombstones
from callmart.declarations import exposures
from callmart.mailing import places as outbox
from callmart.reports import shelf

FOLDERS = ("audit", "quality", "reports")

ADDRESSEES = ("To", "Cc", "Bcc", "Resent-To", "Resent-Cc", "Resent-Bcc")

# What Python raises for a mail whose addresses or character set it can't read.
UNREADABLE = (LookupError, ValueError)

_RUNNING = ("script", "iframe", "frame", "object", "embed", "applet", "base", "form", "portal")
_ADDRESSES = (
    "src",
    "srcset",
    "href",
    "xlink:href",
    "data",
    "poster",
    "background",
    "action",
    "formaction",
    "ping",
)
# What an address may be: a place in the page, a page beside it, or something that the page itself holds.
_WITHIN = re.compile(r"\s*(#.*|data:(image|font)/.*|cid:.*|(?!//)[^:]*)", re.DOTALL)
_LOADING_STYLE = re.compile(r"@import|url\((?!\s*['\"]?(data:|#))", re.IGNORECASE)


def of_pages(settings: Settings) -> Check:
    """Check that no page and no mail runs, sets or loads anything: no script, no cookie, nothing from outside."""
    looked_at, found = 0, list[str]()
    for file, pages in _pages(settings):
        for page in pages:
            looked_at += 1
            if wrong := next(reaching_out(page), None):
                name = file.relative_to(settings.home)
                found.append(
                    f"{name}: {wrong}; callmart writes no such page: remove it, and find out who changed it"
                )
    return Check.of(
        "pages", "no page or mail sets a cookie, runs a program or loads anything", looked_at, found,
        applies=looked_at > 0,
    )  # fmt: skip


def _pages(settings: Settings) -> Iterator[tuple[Path, list[bytes]]]:
    for folder in FOLDERS:
        for file in disk.files(settings.home / folder):
            if file.suffix == ".html":
                yield file, [file.read_bytes()]
    for mail in outbox.mails(settings):
        yield mail.path, _pages_of(mail)


def _pages_of(mail: outbox.Mail) -> list[bytes]:
    """The pages in a mail. One that can't be read is no page."""
    try:
        parts = [part for part in _letter(mail).walk() if part.get_content_type() == "text/html"]
        return [str(part.get_content()).encode() for part in parts]
    except UNREADABLE:
        return [b""]


def _letter(mail: outbox.Mail) -> EmailMessage:
    return message_from_bytes(mail.path.read_bytes(), policy=policy.default)


def reaching_out(page: bytes) -> Iterator[str]:
    """What in a page sets, runs or loads something. A link is followed only by whoever clicks it."""
    try:
        root = html.document_fromstring(page, parser=html.HTMLParser(encoding="utf-8"))
    except (ValueError, html.etree.ParserError):
        yield "it is no page"
        return
    if not page[:100].lstrip().lower().startswith(b"<!doctype html"):
        yield "it is no page"
    for element in root.iter(html.etree.Element):
        name = str(element.tag).rpartition("}")[2].lower()
        if name in _RUNNING:
            yield f"it has <{name}>"
        for key, value in element.attrib.items():
            attribute, address = str(key).lower(), str(value)
            if attribute.startswith("on"):
                yield f"it has the attribute {attribute}"
            is_link = name == "a" and re.match(r"\s*(https?|mailto):", address)
            if attribute in _ADDRESSES and not is_link and not _WITHIN.fullmatch(address):
                yield f"it loads something by {attribute}"
            if attribute == "http-equiv" and address.lower() in ("set-cookie", "refresh"):
                yield f"it has http-equiv {address.lower()}"
            if attribute == "style" and _LOADING_STYLE.search(address):
                yield "its style loads something"
        if name == "style" and _LOADING_STYLE.search(element.text or ""):
            yield "its style loads something"


def of_owners(connection: psycopg.Connection, settings: Settings) -> Check:
    """Check that no drawn page or mail is another customer's than its place says, that no page is another report, and
    that a mail goes to nobody but the one for whom its name says that it was written.
    """
    names = connection.execute("select customer_id, name from registry.customer").fetchall()
    reports = {
        title: name
        for name, report in exposures.reports().items()
        for title in (report.title.en, report.title.nl)
    }
    looked_at, found = 0, list[str]()
    for page in shelf.pages(settings):
        looked_at += 1
        with page.path.open("rb") as file:
            head = file.read(1 << 16).decode("utf-8", "replace")
        title = re.search(r"<title>(.*?)</title>", head)
        report, _, rest = unescape(title[1] if title else "").partition(" · ")
        named = [customer for customer, name in names if rest.startswith(f"{name} · ")]
        own_report = exposures.current_name(page.report)
        if (named and page.customer_id not in named) or reports.get(report, own_report) != own_report:
            place = page.path.relative_to(settings.home)
            found.append(f"{place} shows another customer or another report: remove it, and draw it again")
    for mail in outbox.mails(settings):
        looked_at += 1
        if wrong := _wrong_with(mail, names, connection, settings):
            found.append(f"{mail.path.relative_to(settings.home)} {wrong}: remove it")
    return Check.of(
        "pages", "every drawn page and mail is of the customer in whose folder it is", looked_at, found,
        applies=looked_at > 0,
    )  # fmt: skip


def of_contracts(connection: psycopg.Connection, settings: Settings) -> Check:
    """Check that each page on the shelf, and each mail in the outbox, is one that a contract orders today."""
    kept = len(list(shelf.pages(settings))) + len(list(outbox.mails(settings)))
    found = [
        f"customer {page.customer_id}, {page.report} of {page.week}"
        for page in shelf.unordered(connection, settings)
    ]
    found += [
        f"{mail.path.relative_to(settings.home)}: the next run removes it"
        for mail in outbox.unordered(connection, settings)
    ]
    return Check.of(
        "contracts", "every drawn page and mail is of a customer whose contract orders those reports",
        kept, found, applies=kept > 0,
    )  # fmt: skip


def _wrong_with(
    mail: outbox.Mail,
    names: Sequence[tuple[int, str]],
    connection: psycopg.Connection,
    settings: Settings,
) -> str | None:
    """What is wrong with a mail, if anything is. One of ours has its name as its id, and begins with its customer."""
    try:
        letter = _letter(mail)
        body = letter.get_body(("plain",))
        text = str(body.get_content()) if body else ""
        addresses = {str(address) for field in ADDRESSEES for address in letter.get_all(field, ())}
        own_place = outbox.file(settings, mail.customer_id, letter)
    except UNREADABLE:
        return "can't be read"
    named = [customer for customer, name in names if name == text.partition("\n")[0].rstrip()]
    if own_place != mail.path:
        return "is another mail than its name says"
    if named and mail.customer_id not in named:
        return "shows another customer"
    if not addresses or not all(_is_for(connection, settings, mail, address) for address in addresses):
        return "goes to somebody else than its name says"
    return None


def _is_for(connection: psycopg.Connection, settings: Settings, mail: outbox.Mail, address: str) -> bool:
    """Whether a mail was written to this address, as its name says. Without the customer's key nobody can tell."""
    fingerprint = fingerprints.of_customers(connection, [mail.customer_id]).get(mail.customer_id)
    if fingerprint is None or not fits(settings.home, mail.customer_id, fingerprint):
        return True
    key = known_key(settings.home, mail.customer_id, fingerprint)
    return mail.known_by in (tombstones.of_address(known, address) for known in epochs(key))
