"""The XML of the REST API: requests read with or without the namespace, answers written with it."""

import re
from typing import Any

from lxml import etree
from starlette.responses import Response

from tableau_emulator.errors import ApiError, malformed

VERSION = "3.29"
# In the place of a version: what Tableau has not settled yet, such as files of custom views.
EXPERIMENTAL = "exp"
PRODUCT = "2026.2.0"
NAMESPACE = "http://tableau.com/api"
_XSI = "http://www.w3.org/2001/XMLSchema-instance"
_SCHEMA_FILE = f"ts-api_{VERSION.replace('.', '_')}.xsd"
NO_TEXT = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # characters illegal in XML
_SCHEMA = f"{NAMESPACE} https://help.tableau.com/samples/en-us/rest_api/{_SCHEMA_FILE}"

Element = Any  # lxml ships no types


def element(tag: str, /, *children: Element | str, **attributes: str | int | bool | None) -> Element:
    """An element in the API's namespace. Attributes that are None are left out."""
    node = etree.Element(f"{{{NAMESPACE}}}{tag}", nsmap={None: NAMESPACE})
    for key, value in attributes.items():
        if value is not None:
            node.set(key, text(value))
    for child in children:
        if isinstance(child, str):
            node.text = child
        else:
            node.append(child)
    return node


def text(value: object) -> str:
    """A value as the API writes it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def tag(node: Element) -> str:
    """The name of an element without its namespace."""
    return str(etree.QName(node).localname)


class Answer(Response):
    """An answer of the API. It is in XML; `root` is for those who want it in another form."""

    media_type = "application/xml"

    def __init__(self, root: Element, status: int) -> None:
        super().__init__(etree.tostring(root, xml_declaration=True, encoding="UTF-8"), status)
        self.root = root


def reply(*content: Element, status: int = 200) -> Answer:
    """An answer with `content`."""
    root = etree.Element(f"{{{NAMESPACE}}}tsResponse", nsmap={None: NAMESPACE, "xsi": _XSI})
    root.set(f"{{{_XSI}}}schemaLocation", _SCHEMA)
    root.extend(content)
    return Answer(root, status)


def failure(error: ApiError) -> Answer:
    """The answer for `error`."""
    # The schema requires the detail before the summary.
    parts = element("detail", NO_TEXT.sub("\ufffd", error.detail)), element("summary", error.summary)
    return reply(element("error", *parts, code=error.code), status=error.status)


def child(root: Element, name: str) -> Element:
    """The child `name` of a tsRequest. Raises ApiError 400000 if it is missing."""
    found = root.find(name) if root.tag == "tsRequest" else None
    if found is None:
        raise malformed(f"The request has no element tsRequest/{name}.")
    return found


def parse(body: bytes) -> Element:
    """The root of the document in `body`, with all namespaces removed."""
    parser = etree.XMLParser(resolve_entities=False, no_network=True, remove_comments=True, remove_pis=True)
    try:
        root = etree.fromstring(body, parser)
    except etree.XMLSyntaxError:
        raise malformed("The request is not well-formed XML.") from None
    for node in root.iter(etree.Element):
        node.tag = tag(node)
    return root
