"""A report on paper: A4 pages as a PDF whose words can be searched, or one long picture. Laid out by typst."""

import json
import re
import unicodedata
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import typst
import vl_convert

from callmart.base.errors import UserError
from callmart.reports.charts import FONT
from callmart.reports.page import Page

FONTS = Path(str(files("callmart.reports").joinpath("fonts")))
SHARPNESS = 144  # pixels per inch of a picture
_INCH = 96  # pixels of an SVG
# Our font has none of these: it would draw boxes.
_JOINING = "\ufe0f\u200d"
_PICTOGRAPH = f"[{_JOINING}\u2600-\u27bf\U0001f000-\U0001faff\U000e0020-\U000e007f]"
_PICTOGRAPHS = re.compile(f" ?{_PICTOGRAPH}+")


def as_pdf(page: Page) -> bytes:
    """Return the PDF. The same page gives the same bytes."""
    return typeset(_layout(), "pdf", page=_said(page), paper="a4")


def as_png(page: Page, sharpness: float = SHARPNESS) -> bytes:
    """Return the picture, as wide as A4 and as long as the report."""
    # By way of an SVG: a picture that typst itself makes lacks rows of pixels of the charts, and so halves of letters.
    drawn = typeset(_layout(), "svg", page=_said(page), paper="long").decode()
    return bytes(vl_convert.svg_to_png(drawn, scale=sharpness / _INCH))


def typeset(layout: bytes, form: Literal["pdf", "svg"], **inputs: str) -> bytes:
    """Return what a layout makes of its inputs, in our fonts and no others."""
    printed = {name: _PICTOGRAPHS.sub(_in_words, text) for name, text in inputs.items()}
    made: Any = _compiler().compile(input=layout, format=form, sys_inputs=printed)
    return bytes(made)


def _in_words(found: re.Match[str]) -> str:
    """Nothing, or if a name is made of nothing else, what the pictographs are called."""
    text, before, after = found.string, found.start(), found.end()
    is_alone = text[before - 1 : before] + text[after : after + 1] in ('""', "><")
    ends_quoted = (
        text[before - 2 : before] == '\\"'
    )  # a quotation mark of the text, not the one that begins it
    if not is_alone or ends_quoted:
        return ""
    called = [unicodedata.name(one, "").lower() for one in found[0].strip() if one not in _JOINING]
    return ", ".join(filter(None, called))


def _said(page: Page) -> str:
    return json.dumps(page, default=_shown, ensure_ascii=False)


def _shown(part: Any) -> dict[str, Any]:
    """A part of a page for the layout, without what only CSV and Excel files have."""
    return {name: value for name, value in vars(part).items() if name != "records"}


@cache
def _layout() -> bytes:
    return files("callmart.reports").joinpath("paper.typ").read_bytes()


@cache
def _compiler() -> typst.Compiler:
    """The typesetter with its font. No other font is used: a page looks the same on every machine."""
    fonts = typst.Fonts(include_system_fonts=False, include_embedded_fonts=False, font_paths=[str(FONTS)])
    if FONT not in fonts.families():
        raise UserError(f"the font {FONT} is missing: bring its files back into {FONTS}")
    return typst.Compiler(font_paths=fonts, ignore_system_fonts=True)
