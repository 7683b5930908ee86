"""A report on paper: A4 pages as a PDF whose words can be searched, or one long picture. Laid out by typst."""

import json
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import typst

from callmart.base.errors import UserError
from callmart.reports.charts import FONT
from callmart.reports.page import Page

FONTS = Path(str(files("callmart.reports").joinpath("fonts")))
SHARPNESS = 144  # pixels per inch of a picture


def as_pdf(page: Page) -> bytes:
    """Return the PDF. The same page gives the same bytes."""
    return bytes(_compile(page, "pdf", "a4"))


def as_png(page: Page, sharpness: float = SHARPNESS) -> bytes:
    """Return the picture, as wide as A4 and as long as the report."""
    return bytes(_compile(page, "png", "long", sharpness))


def _compile(page: Page, form: Literal["pdf", "png"], paper: str, sharpness: float = SHARPNESS) -> Any:
    compiler, layout = _compiler()
    inputs = {"page": json.dumps(page, default=_shown), "paper": paper}
    return compiler.compile(input=layout, format=form, ppi=sharpness, sys_inputs=inputs)


def _shown(part: Any) -> dict[str, Any]:
    """A part of a page for the layout, without what only CSV and Excel files have."""
    return {name: value for name, value in vars(part).items() if name != "records"}


@cache
def _compiler() -> tuple[typst.Compiler, bytes]:
    """The typesetter with its font, and the layout. No other font is used: a page looks the same on every machine."""
    fonts = typst.Fonts(include_system_fonts=False, include_embedded_fonts=False, font_paths=[str(FONTS)])
    if FONT not in fonts.families():
        raise UserError(f"the font {FONT} is missing: bring its files back into {FONTS}")
    layout = files("callmart.reports").joinpath("paper.typ").read_bytes()
    return typst.Compiler(font_paths=fonts, ignore_system_fonts=True), layout
