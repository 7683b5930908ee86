"""Refuses templates that contain what belongs to one customer, or what no workbook may contain."""

import re
from collections.abc import Iterator

from lxml import etree

from callmart.base.errors import UserError
from callmart.tableau_files.fields import Source
from callmart.tableau_files.workbook.references import FORMULA, REFERENCE, base_of, field_of, unbracketed

# Functions that use something outside the data source: the database, another program, or the identity of the user.
USER_FUNCTIONS = r"ISMEMBEROF|ISUSERNAME|ISFULLNAME|ISCURRENTUSER|USERATTRIBUTE\w*"
FUNCTIONS = {
    r"RAWSQL\w*": "contains custom SQL; use Tableau's own functions",
    r"SCRIPT_\w+|MODEL_\w+": "passes rows to a program outside Tableau; compute it within",
    USER_FUNCTIONS: "depends on the user; remove it, as whoever may see a customer's workbook sees all of it",
}
FUNCTION = re.compile(r"\b([A-Z_]+)\s*\(", re.IGNORECASE)
CUSTOM_SQL = ("text", "stored-proc", "custom-sql-table")
OUTSIDE = {"bitmap", "web"}  # zones that show files or web pages from elsewhere
WITHIN = "tsl:"  # the prefix of actions that stay in the workbook
NO_MEMBER = ("%null%", "%all%")  # in filters and groups: unknown, and all

# The conditions of a formula and its level-of-detail expressions: their fields don't become the formula's value.
DECIDES = re.compile(r"\{[^{}]*\}|\b(?:IF|ELSEIF|CASE|WHEN)\b.*?\b(?:THEN|WHEN)\b", re.IGNORECASE | re.DOTALL)

# To find out whether a formula compares a customer's own value (e.g. a queue) with a word, the formula is rewritten:
# one sign replaces each customer's own field, one each text with words, and one each other text. Then functions around
# the signs are removed step by step, until a comparison shows or nothing is left to remove.
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
    """Raise UserError if the template contains more than the published data source: SQL, data, or other programs."""
    caption = own.get("caption") or own.get("name")
    for element in root.iter(etree.Element):
        tag, attributes = element.tag, element.attrib
        if tag == "relation" and attributes.get("type") in CUSTOM_SQL:
            raise UserError(f"{name}: '{caption}' contains custom SQL; use the marts' tables as they are")
        if attributes.get("one-time-sql", "").strip():
            raise UserError(f"{name}: '{caption}' contains initial SQL; remove it from the connection")
        if (tag == "extract" and attributes.get("enabled") != "false") or tag.startswith("local-data"):
            raise UserError(
                f"{name}: '{caption}' has its own extract, i.e. data; choose Live and save it again"
            )
        if tag == "connection" and own not in element.iterancestors():
            raise UserError(
                f"{name}: it has another connection besides '{caption}'"
                f" ({attributes.get('class', 'unknown')}); remove it"
            )
        if tag == "add-in":
            raise UserError(f"{name}: it has an extension, which would get the data; remove it")
        if tag == "zone" and OUTSIDE & {attributes.get("type"), attributes.get("type-v2")}:
            raise UserError(
                f"{name}: a dashboard shows {attributes.get('param') or 'a page'} from outside the workbook, which is"
                " not allowed; remove it"
            )
        if tag == "link" and not attributes.get("expression", "").startswith(WITHIN):
            raise UserError(
                f"{name}: an action opens {attributes.get('expression') or 'a page'}, which could receive what a"
                " customer clicks on; remove it"
            )
        if tag == "calculation":
            _check_functions(element, attributes.get("formula", ""), name)


def _check_functions(calculation: etree._Element, formula: str, name: str) -> None:
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


# -- what belongs to one customer --------------------------------------------------------------------------------


def customers_own(own: etree._Element, source: Source) -> set[str]:
    """Return the fields with a customer's own words as values: queues, agents, lines, and texts computed from them."""
    found = {field.name for field in source.fields.values() if field.is_customers_own}
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
    """The fields whose values a calculation can return, without those that it only uses in conditions or counts."""
    yield unbracketed(calculation.get("column"))
    formula = FORMULA.sub(lambda found: found[0] if found["field"] else " ", calculation.get("formula", ""))
    for found in FORMULA.finditer(DECIDES.sub(" ", formula)):
        yield base_of(found["field"])


def members(root: etree._Element, own: etree._Element, source: Source, name: str) -> None:
    """Raise UserError if the template names a queue, agent or line. They belong to one customer: others don't have them
    and must not read about them.
    """
    fields = customers_own(own, source)
    named = _named_by_parameters(root)
    for column in root.iterfind("datasources/datasource[@name='Parameters']/column"):
        for key in ("source-field", "default-value-field"):
            if field_of(column.get(key)) in fields:
                raise UserError(
                    f"{name}: the parameter '{column.get('caption') or column.get('name')}' lists one customer's"
                    f" values of [{field_of(column.get(key))}]; use a filter instead"
                )
    for element in root.iter(etree.Element):
        match element.tag:
            case "groupfilter":
                _check_filter(element, fields, named, name)
            case "calculation":
                _check_calculation(element, fields, named, name)
            case "annotation" if marked := _mentioned(element) & fields:
                raise UserError(
                    f"{name}: an annotation marks a value of [{min(marked)}], which is one customer's; remove it"
                )


def _named_by_parameters(root: etree._Element) -> dict[str, str]:
    """One value with words per parameter, by the parameter's name. Parameters without any are left out."""
    named = {}
    for column in root.iterfind("datasources/datasource[@name='Parameters']/column[@datatype='string']"):
        values = [
            column.get("value", ""),
            *(one.get("value", "") for one in column.iterfind("members/member")),
        ]
        if word := next((value for value in values if re.search(r"\w", value)), None):
            named[unbracketed(column.get("name"))] = word
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
            f"{name}: a filter on [{field}] names single members, which are one customer's; choose all and save again"
        )


def _check_calculation(element: etree._Element, fields: set[str], named: dict[str, str], name: str) -> None:
    if element.find("bin") is not None and unbracketed(element.get("column")) in fields:
        raise UserError(
            f"{name}: the group {_calculated(element)} has single members of [{unbracketed(element.get('column'))}],"
            " which are one customer's; remove it"
        )
    if _is_compared(element.get("formula", ""), fields, named):
        raise UserError(
            f"{name}: {_calculated(element)} compares a queue, agent or line with a name, which is one customer's;"
            " compute it without the name"
        )


def _is_compared(formula: str, fields: set[str], named: dict[str, str]) -> bool:
    """Whether a formula compares one of these fields with a word."""

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
    """The fields that an element and its descendants name."""
    texts = [text for one in element.iter(etree.Element) for text in (one.text, *one.attrib.values()) if text]
    return {base_of(found[2]) for text in texts for found in REFERENCE.finditer(str(text))} | {
        field_of(str(text)) for text in texts if str(text).startswith("[")
    }
