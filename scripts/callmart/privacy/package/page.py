"""What the page and the PDF of a package say: the same on the screen and on paper, in Dutch or English."""

import re
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from callmart.base.declared import Locale, Texts, texts
from callmart.base.pointing import Whom
from callmart.declarations import processing
from callmart.declarations.captions import file as captions_file
from callmart.privacy.letters import day_in_words
from callmart.privacy.package.own_rows import Contents, Rows, Somebody

LONGEST = 200  # rows of a table on the page; the CSV file has all
_KEY = re.compile(r"^([0-9a-f]{8})[0-9a-f]{24}$")  # on the page its beginning is enough


KINDS: Mapping[Whom, Texts] = {
    "agent": texts("een medewerker", "an agent"),
    "caller": texts("een beller", "a caller"),
    "contact": texts("een contactpersoon", "a contact"),
    "recipient": texts("een ontvanger van rapporten", "a recipient of reports"),
}
_OTHERS: Mapping[Whom, Texts] = {
    **KINDS,
    "staff": texts("iemand van de aanbieder", "somebody of the provider"),
    "nobody": texts("(weggelaten)", "(left out)"),
}

WORDS = {
    "title": texts("Gegevens van {kind}", "Data of {kind}"),
    "at": texts("bij {customer}, tot en met {day}", "at {customer}, up to and including {day}"),
    "intro": texts(
        "Dit is alles wat callmart van u heeft. Het kent u alleen als sleutel of, waar een organisatie u heeft "
        "opgegeven, met naam of adres. Van een telefoonnummer is er alleen de sleutel. Wie er verder in uw gegevens "
        "voorkomt, staat er als iemand: een medewerker, een beller.",
        "This is everything that callmart has of you. It knows you by a keyed hash only or, where an organisation "
        "has named you, by name or address. Of a telephone number there is only the hash. Whoever else is in your "
        "data is shown as somebody: an agent, a caller.",
    ),
    "forms": texts(
        "Alles staat ook in data.json en in de map csv, voor een machine.",
        "All of it is also in data.json and in the folder csv, for a machine.",
    ),
    "recipients": texts("Wie de gegevens ziet", "Who sees the data"),
    "rights": texts("Uw rechten", "Your rights"),
    "what_rights": texts(
        "U kunt uw gegevens laten corrigeren, wissen, beperken of meenemen, bezwaar maken, en een klacht indienen "
        "bij de Autoriteit Persoonsgegevens. Over een verzoek beslist de organisatie die hierboven staat.",
        "You can have your data corrected, erased, restricted or taken with you, object, and complain to the Dutch "
        "data protection authority (Autoriteit Persoonsgegevens). The organisation above decides on a request.",
    ),
    "decisions": texts(
        "Niemand wordt op grond hiervan automatisch beoordeeld.",
        "Nobody is judged automatically on the ground of this.",
    ),
    "why": texts("Waarvoor", "What for"),
    "source": texts("Waarvandaan", "From where"),
    "kept": texts("Hoe lang", "For how long"),
    "first_rows": texts(
        "De eerste {shown} van {all} regels; het CSV-bestand heeft ze alle.",
        "The first {shown} of {all} rows; the CSV file has all.",
    ),
    "rows": texts("Regels: {all}.", "Rows: {all}."),
    "same": texts("Overal gelijk", "The same everywhere"),
    "meaning": texts("Wat de kolommen betekenen", "What the columns mean"),
    "left_out": texts("Niet in dit pakket", "Not in this package"),
    "nothing": texts("Hier is niets van u", "Nothing of you is in"),
    "yes": texts("ja", "yes"),
    "no": texts("nee", "no"),
    "and": texts(" of ", " or "),
    "page": texts("pagina", "page"),
}


def page(contents: Contents, language: Locale) -> dict[str, Any]:
    """What the page says, as words that are ready to be laid out."""

    def say(name: str, **parts: object) -> str:
        return WORDS[name].of(language).format(**parts)

    return {
        "locale": language,
        "title": say("title", kind=KINDS[contents.person.kind].of(language)),
        "at": say("at", customer=contents.customer, day=day_in_words(contents.last_day, language)),
        "paragraphs": [say("intro"), say("forms"), say("decisions")],
        "recipients": [one.of(language) for one in processing.processing().recipients],
        "sections": [_section(one, contents, language) for one in contents.tables if one.rows],
        "nothing": [one.holding.caption.of(language) for one in contents.tables if not one.rows],
        "words": {
            name: say(name)
            for name in (
                "recipients",
                "rights",
                "what_rights",
                "same",
                "meaning",
                "left_out",
                "nothing",
                "page",
            )
        },
    }


def _section(one: Rows, contents: Contents, language: Locale) -> dict[str, Any]:
    said, zone = one.holding, ZoneInfo(contents.time_zone)
    cells = [
        [_shown(name, value, zone, language) for name, value in zip(one.columns, row, strict=True)]
        for row in one.rows[:LONGEST]
    ]
    # A column with one value takes the room of others, and one without says nothing. The CSV file has them.
    values = [set(column) for column in zip(*cells, strict=True)]
    varying = [place for place, found in enumerate(values) if len(found) > 1]
    named = "first_rows" if len(one.rows) > LONGEST else "rows"
    return {
        "title": f"{said.caption.of(language)} ({said.table})",
        "facts": [
            [WORDS[name].of(language), text.of(language)]
            for name, text in (("why", said.why), ("source", said.source), ("kept", said.kept))
        ],
        "remark": WORDS[named].of(language).format(shown=LONGEST, all=len(one.rows)),
        "same": [
            [one.columns[place], *found]
            for place, found in enumerate(values)
            if len(found) == 1 and found != {""}
        ],
        "head": [one.columns[place] for place in varying],
        "rows": [[row[place] for place in varying] for row in cells] if varying else [],
        "meanings": [[name, said.columns[name].of(language)] for name in one.columns],
        "left_out": [[name, why.of(language)] for name, why in said.left_out.items()],
    }


def _shown(column: str, value: Any, zone: ZoneInfo, language: Locale) -> str:
    """A value to read: moments on the customer's clock, and words as reports write them."""
    match value:
        case None:
            said = ""
        case Somebody():
            said = somebody(value, language)
        case bool():
            said = WORDS["yes" if value else "no"].of(language)
        case datetime():
            said = f"{value.astimezone(zone) if value.tzinfo else value:%d-%m-%Y %H:%M:%S}"
        case date():
            said = f"{value:%d-%m-%Y}"
        case list():
            said = ", ".join(map(str, value))
        case _:
            known = captions_file().values.get(column, {}).get(str(value))
            said = known.of(language) if known else _KEY.sub(r"\1…", str(value))
    return said


def somebody(value: Somebody, language: Locale) -> str:
    """What stands where a value points to somebody else."""
    return WORDS["and"].of(language).join(_OTHERS[one].of(language) for one in value.whom)
