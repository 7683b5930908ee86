"""Charts as SVG, drawn by Vega-Lite. All texts in them are ready to read: a chart knows nothing of languages and units.

A chart is as wide as a phone, so that page and paper show the same one, in one column or in several. It is readable
without colours: lines differ by dashes, parts of a bar by lightness, order and numbers.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import time
from typing import Any, Literal

import vl_convert

from callmart.reports.measures import Unit
from callmart.tableau_files.workbook.book import ALARM, COLOURS, GREY, SHADES

Territory = Literal["nl-NL", "en-GB"]
FONT = "Liberation Sans"  # vl-convert has it; with a font that it lacks it would draw no text, and not say so
WIDTH = 360
# In the dark, the page shows these in other colours, but letters on parts of bars as they are.
INK, FAINT, PAPER = "#1A1A1A", "#D9D9D9", "#FFFFFF"
ON_LIGHT, ON_DARK = "black", "white"
FORMS: Mapping[Unit, str] = {
    "count": ",d",
    "number": ",.2~f",
    "hours": ",.0f",
    "seconds": ",d",
    "share": ".0%",
    "agents": ",d",
}  # of d3
CLOCK = "floor(datum.value / 60) + ':' + format(datum.value % 60, '02d')"  # how seconds are written
WHOLE = "datum.value % 1 ? '' : datum.label"
# A day that is not over says until when, below it: beside the others it would have no room, and be left out.
BELOW = r"split(replace(datum.label, regexp('^(\\S+ \\S+) (\\S+) '), '$1|$2|'), '|')"
STEPS = (5, 10, 15, 30, 60, 120, 300, 600)  # seconds between the lines behind a chart
SMALL, LABEL = 11, 10  # sizes of letters
SYMBOL, LETTER = 22, 6  # widths in a legend
LINES = (COLOURS[0], GREY, ALARM)
DASHES = ([1, 0], [4, 3], [9, 3])
POINTS = (42, 14)  # sizes; a target has none
HALO = {"color": PAPER, "stroke": PAPER, "strokeWidth": 3}  # behind letters
LONG_DAY = 64  # quarter-hours; those of a longer day are drawn lower
LIGHTEST = 150  # on a darker part of a bar, letters are white

CONFIG: Mapping[str, Any] = {
    "font": FONT,
    "background": None,
    "padding": 2,
    "view": {"stroke": None},
    "axis": {
        "labelColor": INK,
        "labelFontSize": SMALL,
        "titleColor": INK,
        "titleFontSize": SMALL,
        "titleFontWeight": "normal",
        "gridColor": FAINT,
        "domainColor": FAINT,
        "tickColor": FAINT,
        "labelOverlap": True,
    },
    "legend": {
        "orient": "top",
        "direction": "horizontal",
        "title": None,
        "labelFontSize": SMALL,
        "labelColor": INK,
        "labelLimit": 170,
        "symbolType": "square",
        "offset": 6,
        "rowPadding": 1,
    },
}


@dataclass(frozen=True)
class Point:
    """A value at a place of a line."""

    x: str | float
    y: float | None
    series: str
    words: str  # what it says when somebody points at it
    label: str = ""


@dataclass(frozen=True)
class Axis:
    """An axis of values: its d3 format, and where it begins and ends, if not at the highest value. One of seconds can
    say minutes and seconds; then it ends, and has a line at each step.
    """

    form: str
    begin: float = 0
    end: float | None = None
    step: int = 0

    @classmethod
    def clock(cls, begin: float, highest: float) -> "Axis":
        """An axis of minutes and seconds."""
        step = next((step for step in STEPS if step * 5 >= highest - begin), STEPS[-1])
        return cls("", begin // step * step, math.ceil(highest / step) * step, step)


@dataclass(frozen=True)
class Mark:
    """A part of a bar, from `begin` to `end`, or the text at the end of a whole bar."""

    x: str | float
    begin: float
    end: float
    words: str
    series: str = ""
    label: str = ""
    ink: str = INK


@dataclass(frozen=True)
class Cell:
    """A cell of a heat map."""

    x: str
    y: str
    shade: str
    words: str


def lines(
    points: Sequence[Point],
    series: Sequence[str],
    axis: Axis,
    places: Sequence[str] | None,
    territory: Territory,
) -> str:
    """Lines: the first drawn through with its values, the second dashed and grey, the third a target. One without a
    name is left out. Without `places` they go over the hours.
    """
    x: dict[str, Any] = _hours() if places is None else _named("x", places)
    named = [name for name in series if name]
    legend: dict[str, Any] = {"symbolType": "stroke", "symbolSize": 300, "symbolStrokeWidth": 2, "columns": 3}
    legend["offset"] = 16  # above the numbers of the highest points
    key = {"sort": None, "legend": legend if len(named) > 1 else None}
    looks = {
        channel: {
            "field": "series",
            "scale": {
                "domain": named,
                "range": [look for look, name in zip(looks, series, strict=False) if name],
            },
        }
        | key
        for channel, looks in (("color", LINES), ("strokeDash", DASHES))
    }
    shown: dict[str, Any] = {"x": x, "y": _values("y", axis), "description": {"field": "words"}}
    layers: list[dict[str, Any]] = [
        {
            "mark": {
                "type": "line",
                "strokeWidth": 2,
                "invalid": "break-paths-filter-domains",
                "point": len({point.x for point in points}) == 1,  # of which no line can be drawn
            },
            "encoding": shown | looks,
        }
    ]
    if places is not None:
        # Also where a value has no neighbours, and so no line.
        for name, colour, size in reversed(list(zip(series, LINES, POINTS, strict=False))):
            point = {"type": "point", "filled": True, "size": size, "opacity": 1, "color": colour}
            layers.append(_only(name) | {"mark": point, "encoding": shown})
        for look in (HALO, {"color": INK}):
            text = {"type": "text", "dy": -10, "fontSize": LABEL, **look}
            layers.append(_only(series[0]) | {"mark": text, "encoding": shown | {"text": {"field": "label"}}})
    return _svg({"data": _data(points), "layer": layers, "height": 150}, territory)


def bars(
    parts: Sequence[Mark],
    totals: Sequence[Mark],
    series: Sequence[str],
    axis: Axis,
    places: Sequence[str] | None,
    territory: Territory,
    *,
    has_legend: bool = False,
    lying: bool = False,
) -> str:
    """Bars of stacked parts; lying bars have their names on the left. Without `places` they stand over the hours."""
    across, along = ("y", "x") if lying else ("x", "y")
    place = _hours() if places is None else _named(across, places)
    shown = {across: place, "description": {"field": "words"}}
    of_part = {
        **shown,
        along: _values("begin", axis),
        f"{along}2": {"field": "end"},
    }
    of_part[along]["axis"]["labelBound"] = lying  # else the last number can be cut off
    bar: dict[str, Any] = {"type": "bar", "stroke": PAPER, "strokeWidth": 0.5}
    if places is None:
        bar |= {"width": 4, "strokeWidth": 0}
    legend = _legend(series) if has_legend else {"legend": None}
    layers = [
        {
            "data": _data(parts),
            "mark": bar,
            "encoding": of_part
            | {
                "color": {
                    "field": "series",
                    "scale": {
                        "domain": list(series),
                        "range": [_colour(number) for number in range(len(series))],
                    },
                    **legend,
                }
            },
        },
        *_labels(parts, totals, shown, along, axis),
    ]
    height = 22 * len(places or ()) if lying else 190
    return _svg({"layer": layers, "height": height}, territory)


def _labels(
    parts: Sequence[Mark], totals: Sequence[Mark], shown: dict[str, Any], along: str, axis: Axis
) -> list[dict[str, Any]]:
    """The layers of the words: in the middle of parts, and behind or above the whole bars."""
    text = {"type": "text", "fontSize": LABEL}
    return [
        {
            "data": _data([part for part in parts if part.label]),
            "transform": [{"calculate": "(datum.begin + datum.end) / 2", "as": "middle"}],
            "mark": text,
            "encoding": shown
            | {
                along: _values("middle", axis),
                "text": {"field": "label"},
                "color": {"field": "ink", "scale": None},
            },
        },
        {
            "data": _data(totals),
            "mark": text
            | ({"align": "left", "dx": 4} if along == "x" else {"dy": -7})
            | {"fontWeight": "bold", "color": INK},
            "encoding": shown | {along: _values("end", axis), "text": {"field": "label"}},
        },
    ]


def heat_map(
    cells: Sequence[Cell],
    shades: Sequence[str],
    days: Sequence[str],
    quarters: Sequence[str],
    territory: Territory,
) -> str:
    """A week as in a diary: days beside each other, quarter-hours below each other. Darker means more."""
    whole = [quarter for quarter in quarters if quarter.endswith(":00")]
    spec = {
        "data": _data(cells),
        "mark": {"type": "rect"},
        "height": len(quarters) * (7 if len(quarters) <= LONG_DAY else 4.5),
        "encoding": {
            "x": _named("x", days)
            | {"axis": {"orient": "top", "labelAngle": 0, "labelExpr": BELOW, "title": None, "ticks": False}},
            "y": {
                "field": "y",
                "type": "ordinal",
                "sort": None,
                "scale": {"domain": list(quarters)},
                "axis": {"values": whole, "title": None, "grid": True, "bandPosition": 0, "labelOffset": 4},
            },
            "color": {
                "field": "shade",
                "scale": {"domain": list(shades), "range": list(SHADES[-len(shades) :])},
                **_legend(shades),
            },
            "description": {"field": "words"},
        },
    }
    return _svg(spec, territory)


def ink_on(series: Sequence[str], part: str) -> str:
    """The colour of letters on a part of a bar."""
    colour = _colour(list(series).index(part))
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return ON_LIGHT if 0.3 * red + 0.59 * green + 0.11 * blue > LIGHTEST else ON_DARK


def _colour(number: int) -> str:
    """The colour of a part of a bar. After the last one they begin anew."""
    return COLOURS[number % len(COLOURS)]


def hour(moment: time) -> float:
    """A time of day as a place on an axis of hours."""
    return moment.hour + moment.minute / 60


# -- parts -------------------------------------------------------------------------------------------------------


def _only(series: str) -> dict[str, Any]:
    return {"transform": [{"filter": {"field": "series", "equal": series}}]}


def _data(items: Sequence[Point | Mark | Cell]) -> dict[str, Any]:
    return {"values": [asdict(item) for item in items]}


def _named(channel: str, places: Sequence[str]) -> dict[str, Any]:
    axis: dict[str, Any] = {"title": None, "ticks": False, "domain": False}
    axis |= (
        {"labelAngle": 0, "labelExpr": BELOW} if channel == "x" else {"labelLimit": 150, "labelPadding": 4}
    )
    return {"field": "x", "type": "ordinal", "sort": None, "scale": {"domain": list(places)}, "axis": axis}


def _hours() -> dict[str, Any]:
    axis = {
        "title": None,
        "grid": False,
        "labelExpr": "datum.value % 1 ? '' : datum.label + ':00'",
        "format": "02d",
        "tickMinStep": 1,
        "tickCount": 8,
        "labelSeparation": 4,
    }
    return {"field": "x", "type": "quantitative", "axis": axis, "scale": {"zero": False, "nice": False}}


def _values(field: str, axis: Axis) -> dict[str, Any]:
    scale: dict[str, Any] = {"domainMin": axis.begin, "nice": axis.end is None}
    scale |= {"domainMax": axis.end} if axis.end else {}
    look: dict[str, Any] = {"title": None, "domain": False}
    if axis.step and axis.end:
        steps = range(int(axis.begin), int(axis.end) + 1, axis.step)
        look |= {"values": list(steps), "labelExpr": CLOCK}
    else:
        look |= {"format": axis.form, "tickCount": 4}
        if not axis.form.endswith(
            ("%", "~f")
        ):  # whole numbers: else the axis of a small sum says 0 five times
            # Up to 2, d3 steps by halves, whatever the least step is.
            look |= {"tickMinStep": 1, "labelExpr": WHOLE}
    return {"field": field, "type": "quantitative", "scale": scale, "axis": look}


def _legend(series: Sequence[str]) -> dict[str, Any]:
    """In one row, if there is room for it."""
    width = sum(SYMBOL + LETTER * len(name) for name in series)
    columns = len(series) if width <= WIDTH else 2
    return {"sort": None, "legend": {"columns": columns, "values": list(series)}}


def _svg(spec: dict[str, Any], territory: Territory) -> str:
    """Draw a chart. Its marks get titles, which a browser shows to whoever points at them."""
    svg = vl_convert.vegalite_to_svg(
        {
            "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
            "width": WIDTH,
            "autosize": {"type": "fit-x", "contains": "padding"},
            "config": CONFIG,
            **spec,
        },
        allowed_base_urls=[],
        format_locale=territory,
    )
    return re.sub(r'(<path aria-label="([^"]*)"[^>]*)/>', r"\1><title>\2</title></path>", svg)
