"""Where to look first: the hours in which most contacts kept the report's first share from being perfect."""

from callmart.declarations.exposures import QUARTER_HOUR, Report, column_of
from callmart.declarations.metrics import Metric, total_sql
from callmart.reports.measures import Measure
from callmart.reports.scene import Grain, Scene, expression

SHOWN = 3
FEWEST = 2  # a single contact is no pattern


def find(scene: Scene, report: Report) -> list[str]:
    """One sentence per hour and queue, the worst first. Empty if no measure of the report says what is missed."""
    metric = next(
        (
            one.metric
            for sheet in report.sheets
            for one in scene.measures(sheet)
            if one.metric and one.metric.missed
        ),
        None,
    )
    if metric is None or metric.missed is None or QUARTER_HOUR not in scene.marts[metric.mart].columns:
        return []
    grains: list[Grain] = ["day", "hour"]
    if column_of(report.filtered) in scene.marts[metric.mart].columns:
        grains.append(report.filtered)
    rows = scene.reader.rows(
        metric.mart, {grain: expression(grain) for grain in grains}, _counts(metric), scene.period.days
    )
    worst = sorted(
        (row for row in rows if (row["missed"] or 0) >= FEWEST),
        key=lambda row: (-row["missed"], row["day"], row["hour"], *(row[grain] for grain in grains[2:])),
    )
    language = scene.language
    return [
        language.say(
            "focus",
            where=f"{language.short(row['day'])} {row['hour']:%H}:00–{row['hour']:%H}:59"
            + "".join(f", {scene.label(grain, row[grain])}" for grain in grains[2:]),
            part=language.number(row["missed"]),
            whole=language.number(row["whole"]),
            missed=language.of(metric.missed),
        )
        for row in worst[:SHOWN]
    ]


def _counts(metric: Metric) -> list[Measure]:
    """How many contacts there were, and how many of them missed."""
    over, per = total_sql(metric, metric.over), total_sql(metric, metric.per)
    missed = f"{per} - {over}" if metric.better == "more" else over
    return [Measure(name, "", "", "count", sql) for name, sql in (("missed", missed), ("whole", per))]
