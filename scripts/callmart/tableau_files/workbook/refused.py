"""Refused: what a template may not bring along, because it is one customer's, or no workbook's business."""

import re
from collections.abc import Iterator

from lxml import etree

from callmart.base.errors import UserError
from callmart.tableau_files.fields import Source
from callmart.tableau_files.workbook.references import FORMULA, REFERENCE, base_of, field_of, unbracketed

# Formulas that leave Tableau: to the database, to another program, to who is looking.
LOOKING = r"ISMEMBEROF|ISUSERNAME|ISFULLNAME|ISCURRENTUSER|USERATTRIBUTE\w*"
FUNCTIONS = {
    r"RAWSQL\w*": "holds custom SQL; use Tableau's own functions",
    r"SCRIPT_\w+|MODEL_\w+": "hands its rows to a program outside Tableau; compute it within",
    LOOKING: "asks who is looking; whoever may see a customer's workbook sees all of it",
}
FUNCTION = re.compile(r"\b([A-Z_]+)\s*\(", re.IGNORECASE)
CUSTOM_SQL = ("text", "stored-proc", "custom-sql-table")
OUTSIDE = {"bitmap", "web"}  # pictures and pages, which are files and addresses elsewhere
WITHIN = "tsl:"  # what an action opens that stays in the workbook
NO_MEMBER = ("%null%", "%all%")  # of filters and groups: what is unknown, and all

# What a formula decides by, and what it computes for itself.
DECIDES = re.compile(r"\{[^{}]*\}|\b(?:IF|ELSEIF|CASE|WHEN)\b.*?\b(?:THEN|WHEN)\b", re.IGNORECASE | re.DOTALL)

# A formula with a sign for each queue or so, for each text with words in it, and for each other text: so it can be
# shortened, whatever is done with a queue before a word is compared with it.
THEIRS, WORDS, MARKS = "\0", "\1", "\2"
NAMELESS = re.compile(rf"\b(?:ISNULL|LEN|COUNTD?)\(\s*{THEIRS}\s*\)", re.IGNORECASE)
WRAPPED = re.compile(
    rf"\w*\(\s*{THEIRS}\s*(?:,\s*(?:\d+|{MARKS})\s*)*\)|\bIFNULL\(\s*{THEIRS}\s*,\s*{WORDS}\s*\)"
    rf"|\bIIF\([^()]*,[^()]*{THEIRS}[^()]*\)|\{{[^{{}}]*:\s*{THEIRS}\s*\}}"
    rf"|{THEIRS}\s*\+\s*[{WORDS}{MARKS}]|[{WORDS}{MARKS}]\s*\+\s*{THEIRS}",
    re.IGNORECASE,
)
WRAPPED_WORDS = re.compile(rf"\b(?!IN\b)\w+\(\s*{WORDS}\s*\)", re.IGNORECASE)
SIGN = r"(?:<>|[=!<>]=?)"
OF_BOTH = r"\b(?!(?:IN|IFNULL|IIF|RANK\w*)\b)\w+\("
COMPARED = re.compile(
    rf"{THEIRS}\s*{SIGN}\s*\(*\s*{WORDS}|{WORDS}\s*\)*\s*{SIGN}\s*{THEIRS}|{THEIRS}\s*IN\s*\([^()]*{WORDS}"
    rf"|CASE\s+{THEIRS}(?:(?!\bEND\b).)*?\bWHEN\s+{WORDS}"
    rf"|{OF_BOTH}\s*{THEIRS}\s*,[^()]*{WORDS}|{OF_BOTH}\s*{WORDS}\s*,[^()]*{THEIRS}",
    re.IGNORECASE | re.DOTALL,
)


def bring_along(root: etree._Element, own: etree._Element, name: str) -> None:
    """Raise UserError for what would come along beside the published data source: SQL, data, other programs."""
    caption = own.get("caption") or own.get("name")
    for element in root.iter(etree.Element):
        tag, attributes = element.tag, element.attrib
        if tag == "relation" and attributes.get("type") in CUSTOM_SQL:
            raise UserError(f"{name}: '{caption}' holds custom SQL; use the marts' tables as they are")
        if attributes.get("one-time-sql", "").strip():
            raise UserError(f"{name}: '{caption}' holds initial SQL; take it out of the connection")
        if (tag == "extract" and attributes.get("enabled") != "false") or tag.startswith("local-data"):
            raise UserError(
                f"{name}: '{caption}' has an extract, data of its own; choose Live and save it again"
            )
        if tag == "connection" and own not in element.iterancestors():
            raise UserError(
                f"{name}: it has a connection of its own outside '{caption}'"
                f" ({attributes.get('class', 'unknown')}); remove it"
            )
        if tag == "add-in":
            raise UserError(f"{name}: it has an extension, which would be handed the data; take it out")
        if tag == "zone" and OUTSIDE & {attributes.get("type"), attributes.get("type-v2")}:
            raise UserError(
                f"{name}: a dashboard shows {attributes.get('param') or 'a page'}, which is not in the workbook, and"
                " nothing may be loaded from outside; take it out"
            )
        if tag == "link" and not attributes.get("expression", "").startswith(WITHIN):
            raise UserError(
                f"{name}: an action opens {attributes.get('expression') or 'a page'}, which could be handed what a"
                " customer clicks on; take it out"
            )
        if tag == "calculation":
            _leave_tableau(element, attributes.get("formula", ""), name)


def _leave_tableau(calculation: etree._Element, formula: str, name: str) -> None:
    bare = FORMULA.sub("x", formula)
    if calculation.get("class") == "passthrough":
        bare = f"RAWSQL({bare})"
    for function in FUNCTION.findall(bare):
        for pattern, why in FUNCTIONS.items():
            if re.fullmatch(pattern, function, re.IGNORECASE):
                raise UserError(f"{name}: {_calculated(calculation)} {why}")


def _calculated(calculation: etree._Element) -> str:
    column = calculation.getparent()
    assert column is not None
    return f"'{column.get('caption') or unbracketed(column.get('name'))}'"


# -- what one customer has ---------------------------------------------------------------------------------------


def theirs(own: etree._Element, source: Source) -> set[str]:
    """The fields whose values are a customer's own words: queues, agents, lines, and what is computed from them."""
    found = {field.name for field in source.fields.values() if field.is_their_own}
    texts = [
        (unbracketed(column.get("name")), calculation)
        for column in own.iterfind("column[@datatype='string']")
        for calculation in column.iterfind("calculation")
    ]
    before = 0
    while before < len(found):
        before = len(found)
        found |= {name for name, calculation in texts if found & set(_fields(calculation))}
    return found


def _fields(calculation: etree._Element) -> Iterator[str]:
    """The fields whose values a calculation can have, and not those by which it only decides or counts."""
    yield unbracketed(calculation.get("column"))
    formula = FORMULA.sub(lambda found: found[0] if found["field"] else " ", calculation.get("formula", ""))
    for found in FORMULA.finditer(DECIDES.sub(" ", formula)):
        yield base_of(found["field"])


def members(root: etree._Element, own: etree._Element, source: Source, name: str) -> None:
    """Raise UserError where single queues, agents or lines are named, which are one customer's: no other has them, or
    may read of them.
    """
    fields = theirs(own, source)
    named = _named_by_parameters(root)
    for column in root.iterfind("datasources/datasource[@name='Parameters']/column"):
        for key in ("source-field", "default-value-field"):
            if field_of(column.get(key)) in fields:
                raise UserError(
                    f"{name}: the parameter '{column.get('caption') or column.get('name')}' lists what one customer"
                    f" has of [{field_of(column.get(key))}]; use a filter instead"
                )
    for element in root.iter(etree.Element):
        match element.tag:
            case "groupfilter":
                _check_filter(element, fields, named, name)
            case "calculation":
                _check_calculation(element, fields, named, name)
            case "annotation" if marked := _mentioned(element) & fields:
                raise UserError(
                    f"{name}: an annotation marks one of [{min(marked)}], which is one customer's; take it out"
                )


def _named_by_parameters(root: etree._Element) -> dict[str, str]:
    """The words that parameters hold, by their names; those that hold none are left out."""
    named = {}
    for column in root.iterfind("datasources/datasource[@name='Parameters']/column[@datatype='string']"):
        values = [
            column.get("value", ""),
            *(one.get("value", "") for one in column.iterfind("members/member")),
        ]
        if said := next((value for value in values if re.search(r"\w", value)), None):
            named[unbracketed(column.get("name"))] = said
    return named


def _check_filter(element: etree._Element, fields: set[str], named: dict[str, str], name: str) -> None:
    chosen = [element.get(key) for key in ("member", "from", "to")]
    level = field_of(element.get("level"))
    of = {level} & fields if any(one is not None and one not in NO_MEMBER for one in chosen) else set()
    if element.find("tuples") is not None:
        of |= _mentioned(element) & fields
    if of or _is_compared(element.get("expression", ""), fields, named):
        field = min(
            of or fields & {field_of(each.get("level")) for each in element.iter("groupfilter")} or {level}
        )
        raise UserError(
            f"{name}: a filter on [{field}] names single members, which are one customer's; choose all and save it"
        )


def _check_calculation(element: etree._Element, fields: set[str], named: dict[str, str], name: str) -> None:
    if element.find("bin") is not None and unbracketed(element.get("column")) in fields:
        raise UserError(
            f"{name}: the group {_calculated(element)} is of single members of [{unbracketed(element.get('column'))}],"
            " which are one customer's; take it out"
        )
    if _is_compared(element.get("formula", ""), fields, named):
        raise UserError(
            f"{name}: {_calculated(element)} compares a queue, agent or line with a name, which is one customer's;"
            " compute it without"
        )


def _is_compared(formula: str, fields: set[str], named: dict[str, str]) -> bool:
    """Whether a word stands in it that only one of these fields can have."""

    def sign_of(text: str) -> str:
        return WORDS if re.search(r"\w", text) else MARKS

    def plain(found: re.Match[str]) -> str:
        if found["text"] is not None:
            return sign_of(found["text"])
        if found["parameter"] is not None:
            return sign_of(named.get(found["parameter"], ""))
        return THEIRS if base_of(found["field"] or "") in fields else " "

    bare = FORMULA.sub(plain, formula)
    while not COMPARED.search(bare):
        shorter = WRAPPED.sub(THEIRS, NAMELESS.sub(" ", bare))
        if shorter == bare:
            shorter = WRAPPED_WORDS.sub(WORDS, bare)
        if shorter == bare:
            return False
        bare = shorter
    return True


def _mentioned(element: etree._Element) -> set[str]:
    """The fields that an element and those in it name."""
    texts = [text for one in element.iter(etree.Element) for text in (one.text, *one.attrib.values()) if text]
    return {base_of(found[2]) for text in texts for found in REFERENCE.finditer(str(text))} | {
        field_of(str(text)) for text in texts if str(text).startswith("[")
    }
