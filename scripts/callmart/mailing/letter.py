"""A mail with a recipient's reports: the key figures in its words, each report attached. It loads nothing and follows
nobody.
"""

from collections.abc import Collection, Sequence
from email.message import EmailMessage
from email.utils import formatdate

from callmart.base.templates import template
from callmart.registry.file import MailFormat
from callmart.reports import paper, values
from callmart.reports.language import Language
from callmart.reports.page import Page

DOMAIN = "callmart.invalid"  # never anybody's
NOBODY = f"reports@{DOMAIN}"  # where mails in the outbox come from, if no address is set


class Enclosed:
    """A report of a customer, drawn once for all who get it: on paper and as a table, as far as somebody gets that."""

    def __init__(self, page: Page, subject: str, forms: Collection[MailFormat]) -> None:
        self.page = page
        self.subject = subject
        self.pdf = paper.as_pdf(page) if {"pdf", "both"}.intersection(forms) else b""
        self.csv = values.as_csv(page) if {"csv", "both"}.intersection(forms) else b""

    @property
    def remarks(self) -> list[str]:
        """How far its data goes, and what it lacks."""
        return [said for said in (self.page.through, *self.page.notices) if said]

    @property
    def tiles(self) -> list[dict[str, str]]:
        """The key figures."""
        return [
            {
                "caption": tile.caption,
                "value": tile.value,
                "said": ", ".join(filter(None, (tile.change, tile.before, tile.target))),
            }
            for section in self.page.sections
            for tile in section.tiles
        ]

    @property
    def meanings(self) -> dict[str, str]:
        """What the key figures count, the threshold, and which abandon is short."""
        said = {
            self.page.words["threshold"],
            self.page.words["short"],
            *(one["caption"] for one in self.tiles),
        }
        return {caption: meaning for caption, meaning in self.page.meanings if caption in said}


def write(
    language: Language,
    reports: Sequence[Enclosed],
    form: MailFormat,
    sender: str,
    recipient: str,
    known_by: str,
) -> EmailMessage:
    """Return the mail. Its id follows from `known_by`, the recipient's pseudonym, and from what is in it: if it should
    arrive twice, mail programs show it once.
    """
    letter = EmailMessage()
    # The outbox keeps it until that day is too old.
    letter["X-Oldest-Day"] = min(each.page.oldest_day for each in reports)
    letter["From"], letter["To"] = sender, recipient
    letter["Subject"] = _subject(language, reports)
    letter["Date"] = formatdate(localtime=True)
    letter["Message-ID"] = (
        f"<{reports[0].page.week}.{'-'.join(each.page.name for each in reports)}.{known_by}@{DOMAIN}>"
    )
    letter["Auto-Submitted"] = "auto-generated"
    words = {
        "customer": reports[0].page.customer,
        "reports": reports,
        "look": language.say("look"),
        "focus": list(dict.fromkeys(sentence for each in reports for sentence in each.page.focus)),
        "meaning": language.say("meaning"),
        "meanings": {caption: said for each in reports for caption, said in each.meanings.items()},
        "reason": language.say("mail_reason"),
        "locale": language.locale,
    }
    letter.set_content(template("callmart.mailing", "letter.txt.j2").render(words))
    letter.add_alternative(template("callmart.mailing", "letter.html.j2").render(words), subtype="html")
    for each in reports:
        name = f"{each.page.title} {each.page.week}"
        if form in ("pdf", "both"):
            letter.add_attachment(each.pdf, maintype="application", subtype="pdf", filename=f"{name}.pdf")
        if form in ("csv", "both"):
            letter.add_attachment(
                each.csv,
                maintype="text",
                subtype="csv",
                params={"charset": "utf-8"},
                filename=f"{name}.csv",
            )
    # Last: a new content takes the headers of the former one away.
    letter["Content-Language"] = language.locale
    return letter


def _subject(language: Language, reports: Sequence[Enclosed]) -> str:
    """That of the report; of several, their titles. No word of it is about a person."""
    if len(reports) == 1:
        return reports[0].subject
    titles = [each.page.title for each in reports]
    return language.say("mail_subject", reports=language.listed(titles))
