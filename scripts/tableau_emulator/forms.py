"""The two forms of the REST API, XML and JSON: reads requests, chooses the form of an answer, and writes JSON.

JSON has the same elements without the root. Attributes are keys. An element that may repeat is a list, and has no key
if there is none of it. The schema decides what is a flag or a number; everything else is text.
"""

import json
import re
from typing import Any

from lxml import etree
from starlette.responses import Response

from tableau_emulator import xml
from tableau_emulator.errors import malformed

_JSON = "application/json"
_RANGE = re.compile(r"([^\s;,]+)[^,]*?(?:;\s*q=([01](?:\.\d*)?)\s*)?(?:,|$)")  # of an Accept header
_UNWANTED = (0.0, 0, 0)
# In the schema boolean, and integers of a limited size. Integers of any size are text, such as those of a page; so are
# showTabs and encryptExtracts.
_FLAGS = re.compile(
    "allowSubscriptionAttachments|attach(Image|Pdf)|current|deleted|disableSubscriptions|embedPassword|enabled"
    "|has(Alert|Extracts)|hidden|incremental|is(Active|Certified|Published|Severe)|sendIfViewEmpty|shared|suspended|topLevelProject"
    r"|use(DefaultTimeZone|RemoteQueryAgent)|writeable|\w+Enabled"
)
_NUMBERS = re.compile("offlineInteractionSupportedPhase|sheetImageMaxAge(Ceiling|Floor)|sizeInBytes")
# Elements that may repeat, and are not called as what they are in without an s.
_REPEATED = {
    ("capabilities", "capability"),
    ("dataQualityWarningList", "dataQualityWarning"),
    ("permissions", "granteeCapabilities"),
}


def read(body: bytes, content_type: str) -> xml.Element:
    """The root of a request's body, without namespaces. Raises ApiError 400000 if it is not of its content type."""
    if content_type.partition(";")[0].strip().lower() != _JSON:
        return xml.parse(body)
    root = etree.Element("tsRequest")
    try:
        asked = json.loads(body)
        if not isinstance(asked, dict):
            raise ValueError
        _fill(root, asked)
    # Keys that can't be names in XML, and values that can't be text, are a ValueError, too.
    except (RecursionError, ValueError):
        raise malformed("The request is not a JSON object of the API.") from None
    return root


def answer(response: Response, accept: str) -> Response:
    """The response in the form that the Accept header asks for. What is not an answer of the API stays as it is."""
    if not isinstance(response, xml.Answer) or _wanted(accept) != _JSON:
        return response
    headers = {key: value for key, value in response.headers.items() if not key.startswith("content-")}
    text = json.dumps(_children(response.root), ensure_ascii=False, separators=(",", ":"))
    return Response(text, response.status_code, headers, _JSON)


def _wanted(accept: str) -> str:
    """The media type that is wanted most: by quality, named exactly rather than with a *, named first, or else XML."""
    ranges = [(name, float(quality or 1)) for name, quality in _RANGE.findall(accept.lower())]

    def rank(media_type: str) -> tuple[float, int, int]:
        for vagueness, pattern in enumerate((media_type, media_type.partition("/")[0] + "/*", "*/*")):
            for place, (name, quality) in enumerate(ranges):
                if name == pattern:
                    return (quality, -vagueness, -place) if quality else _UNWANTED
        return _UNWANTED

    return max(("application/xml", "text/xml", _JSON), key=rank)


def _fill(node: xml.Element, asked: dict[str, Any]) -> None:
    for key, value in asked.items():
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, dict):
                _fill(etree.SubElement(node, key), each)
            elif isinstance(value, list):
                etree.SubElement(node, key).text = xml.text(each)
            elif each is not None:
                node.set(key, xml.text(each))


def _children(node: xml.Element) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for child in node:
        name = xml.tag(child)
        if xml.tag(node) == name + "s" or (xml.tag(node), name) in _REPEATED:
            found.setdefault(name, []).append(_value(child))
        else:
            found[name] = _value(child)
    return found


def _value(node: xml.Element) -> Any:
    """An element as JSON. Text beside attributes has the key `value`."""
    attributes = {key: _typed(key, text) for key, text in node.attrib.items()}
    if node.text is None:
        return _children(node) | attributes
    text = _typed(xml.tag(node), node.text)
    return {"value": text} | attributes if attributes else text


def _typed(name: str, text: str) -> str | int | bool:
    if _FLAGS.fullmatch(name):
        return text == "true"
    return int(text) if _NUMBERS.fullmatch(name) else text
