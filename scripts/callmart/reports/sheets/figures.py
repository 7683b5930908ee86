"""Key figures of the week, each beside the week before and its target."""

from typing import Any

from callmart.declarations.exposures import Sheet
from callmart.reports import records
from callmart.reports.measures import Measure
from callmart.reports.page import Section, Tile, Verdict
from callmart.reports.scene import NOW, Scene


def draw(scene: Scene, sheet: Sheet) -> Section:
    """Draw a sheet of key figures."""
    shown = scene.measures(sheet)
    rows = scene.rows(sheet, compared=True)
    weeks = {row[NOW]: row for row in rows}
    now, before = weeks.get(True, {}), weeks.get(False, {})
    return Section(
        name=sheet.name,
        title=scene.language.of(sheet.title),
        kind="figures",
        records=records.of(scene, sheet, shown, rows),
        tiles=[_tile(scene, one, now.get(one.name), before.get(one.name)) for one in shown],
    )


def _tile(scene: Scene, measure: Measure, now: Any, before: Any) -> Tile:
    language = scene.language
    change, direction = "", 0
    if now is None:
        change = language.say("no_data")
    elif before is None:
        change = language.say("none_before")
    else:
        change, direction = language.change(measure, now, before)
    better = measure.metric and measure.metric.better
    verdict: Verdict = ""
    if better and direction:
        verdict = "better" if direction == (1 if better == "more" else -1) else "worse"
    target = scene.target(measure)
    said = ""
    if target is not None and now is not None:
        said = language.say("on_target" if now >= target else "off_target", value=language.share(target))
    return Tile(
        caption=measure.caption,
        value=language.value(measure.unit, now),
        change=f"{change} {language.say(verdict)}" if verdict else change,
        verdict=verdict,
        before=language.say("was", value=language.value(measure.unit, before)) if before is not None else "",
        target=said,
        meaning=measure.description,
    )
