"""Says of a report that some of its figures are of an earlier definition, or are not known of earlier days: a rebuild
has not come to them yet, or can't.
"""

from collections.abc import Iterator
from datetime import date

from callmart.declarations.exposures import Report
from callmart.reports.scene import Scene


def notes(scene: Scene, report: Report) -> Iterator[str]:
    """What a reader of the report needs to know."""
    earlier: list[date] = []
    unknown: dict[str, date] = {}
    days = _days(scene, report)
    for mart in dict.fromkeys(sheet.mart for sheet in report.sheets):
        measures = [one for sheet in report.sheets if sheet.mart == mart for one in scene.measures(sheet)]
        found = scene.reader.definitions(mart, days)
        known = [one for one in found if one.definition_id is not None]
        earlier += [one.last_day for one in known[1:]]
        for one in found:
            for measure in measures:
                if measure.columns.difference(one.columns):
                    unknown.setdefault(measure.caption, one.last_day)
    language = scene.language
    if earlier:
        yield language.say("earlier_definition", day=language.with_year(max(earlier)))
    if unknown:
        day = max(unknown.values())
        yield language.say("not_known", day=language.with_year(day), names=language.listed(list(unknown)))


def _days(scene: Scene, report: Report) -> set[date]:
    """The days that the report shows."""
    period = scene.period
    days = {*period.days, *period.before}
    for sheet in report.sheets:
        if sheet.is_trend:
            days.update(period.weeks if sheet.over == "weeks" else period.months)
    return days
