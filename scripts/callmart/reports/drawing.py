"""Draws a customer's report of a week: as a page, a PDF, a picture or a table, by the ending of the file's name."""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import psycopg

from callmart.base.declared import Locale
from callmart.base.errors import UserError, kind
from callmart.base.settings import Settings
from callmart.declarations import captions, dbt_project, exposures, metrics
from callmart.declarations.captions import Captions
from callmart.declarations.exposures import Dimension, Report
from callmart.declarations.mart import Mart
from callmart.declarations.metrics import Metric
from callmart.reports import definitions, focus, html, paper, sheets, spreadsheet, values, weeks
from callmart.reports.language import Language
from callmart.reports.page import Page, Section
from callmart.reports.reading import Customer, Queue, Through, Unopened, reading
from callmart.reports.scene import NOW, Scene
from callmart.reports.weeks import Period, Week

WITHIN_THRESHOLD, SHORT = "answered_in_threshold", "short_abandoned"
NOTHING: Mapping[Dimension, Collection[str]] = {}
ENDINGS: Mapping[str, Callable[[Page], bytes]] = {
    ".html": html.render,
    ".pdf": paper.as_pdf,
    ".png": paper.as_png,
    ".csv": values.as_csv,
    ".xlsx": spreadsheet.as_xlsx,
}


def ending(file: Path) -> Callable[[Page], bytes]:
    """Return what draws such a file. Raises UserError for an ending that is none of them."""
    if file.suffix.lower() not in ENDINGS:
        raise UserError(f"{file}: a report is drawn as {', '.join(ENDINGS)}; end the name with one of them")
    return ENDINGS[file.suffix.lower()]


class NoData(UserError):
    """A week of which the customer has no data."""


class NoDay(UserError):
    """A week of which no day is over."""


def undrawn(customer: Customer, report: Report, error: Exception) -> str:
    """Say that a report was not drawn, and why."""
    return f"customer {customer.customer_id}: the report {report.name} was not drawn: {kind(error)}"


@dataclass(frozen=True)
class Declared:
    """What the project declares about reports. It is read and checked once, and serves all customers."""

    marts: Mapping[str, Mart]
    metrics: Mapping[str, Metric]
    captions: Captions

    @classmethod
    def of(cls, settings: Settings) -> "Declared":
        """Raises UserError if a report shows what its marts lack."""
        marts = dbt_project.marts(settings)
        exposures.check_all(marts)
        return cls({mart.name: mart for mart in marts}, metrics.metrics(), captions.captions(marts))


def draw(
    publisher: psycopg.Connection,
    declared: Declared,
    report: Report,
    customer: Customer,
    week: Week | None = None,
    locale: Locale | None = None,
    *,
    only: Mapping[Dimension, Collection[str]] = NOTHING,
    or_empty: bool = False,
) -> Page:
    """Draw a report of a week, by default the last one that is over, in the customer's language or another. `only` are
    values of dimensions, such as queues by what they are called: then it shows no others.

    Raises UserError if the contract does not open the report. If the page may not be empty, raises NoDay if no day of
    the week is over, and NoData if the customer has no data of the week; for a report of trends only, if it has none at
    all.
    """
    if "open" in only and not report.filters_hours(declared.marts):
        raise UserError(
            f"the report {report.name} does not tell opening hours apart: leave out --open or --closed"
        )
    language = Language(locale or customer.locale)
    week = week or weeks.last_complete(customer.today)
    with reading(publisher, customer) as reader:
        for dimension, words in only.items():
            # People's choice counts for all sheets. Other columns are one mart's own, as a field is on Tableau.
            reader.narrow(dimension, words, None if dimension == report.filtered else report.main_mart)
        unfinished = reader.through.day if reader.through and reader.through.so_far else None
        period = weeks.counted(
            week, customer.today, reader.held_back, unfinished, _first_day(customer, report)
        )
        if not (period.has_begun or period.unfinished or or_empty):
            raise NoDay(f"{week} has no day that is over: name a week before it, or leave --week out")
        scene = Scene(reader, period, language, declared.marts, declared.metrics, declared.captions)
        of_week = [sheet for sheet in report.sheets if not sheet.is_trend]
        # Trends take long, so they are drawn only if there is something to show. A report of nothing else has no week.
        drawn = {sheet.name: sheets.draw(scene, sheet) for sheet in of_week or report.sheets}
        if not report.is_opened_by(customer.option, customer.orders):
            raise Unopened(customer)
        has_data = any(row.get(NOW, True) for section in drawn.values() for row in section.records.rows)
        if not has_data and not or_empty:
            raise NoData(_nothing(customer, week, reader.through, "open" in only))
        two_weeks = {*week.days, *week.before.days}
        notices = list(_notices(scene, reader.through, [day for day in reader.held_back if day in two_weeks]))
        notices += definitions.notes(scene, report)
        notices += _narrowed(scene, report, only)
        if period.has_begun and (not has_data or all(section.is_empty for section in drawn.values())):
            notices.append(language.of(report.empty))
        drawn |= {sheet.name: sheets.draw(scene, sheet) for sheet in report.sheets if sheet.name not in drawn}
        sections = [drawn[sheet.name] for sheet in report.sheets]
        return _page(scene, report, customer, week, sections, notices)


def _first_day(customer: Customer, report: Report) -> date | None:
    """The first day of which a report has the whole data. None if no day is open."""
    first_days = [
        customer.since,
        customer.detailed_since if report.option == "detailed" else None,
        customer.contacts_since if report.shows_contacts else None,
    ]
    return max(filter(None, first_days), default=None)


def _page(
    scene: Scene,
    report: Report,
    customer: Customer,
    week: Week,
    drawn: list[Section],
    notices: list[str],
) -> Page:
    language, period = scene.language, scene.period
    return Page(
        name=report.name,
        title=language.of(report.title),
        subtitle=language.of(report.subtitle),
        customer_id=customer.customer_id,
        customer=customer.name,
        locale=language.locale,
        week=str(week),
        period=f"{language.say('week', number=week.number)} · {language.days(week.days)}",
        days=[(day.isoformat(), language.weekday(day)) for day in period.days],
        compared=_compared(language, period),
        through=_through(language, week, scene.reader.through),
        notices=notices,
        focus=focus.find(scene, report),
        sections=[
            _said(language, section, "empty_trend" if sheet.is_trend else "empty_sheet")
            for section, sheet in zip(drawn, report.sheets, strict=True)
        ],
        meanings=list(_meanings(scene, report).items()),
        words=_words(scene),
        oldest_day=str(_oldest_day(report, week)),
    )


def _oldest_day(report: Report, week: Week) -> date:
    """The oldest day that a report of a week can show: of the week before, or of a trend."""
    has_trend = any(sheet.is_trend for sheet in report.sheets)
    return week.first_of_trend if has_trend else week.before.monday


def _words(scene: Scene) -> dict[str, str]:
    """Words of ours."""
    return {
        name: scene.language.say(name)
        for name in ("table", "meaning", "threshold", "short", "look", "page", "rows")
    }


def _narrowed(scene: Scene, report: Report, only: Mapping[Dimension, Collection[str]]) -> Iterator[str]:
    """That only some days or hours are shown, and in which sheets it is all the same."""
    shown = [(dimension, words) for dimension, words in only.items() if dimension != report.filtered]
    if not shown:
        return
    language = scene.language
    for dimension, words in shown:
        yield language.say("narrowed", words=language.listed([scene.label(dimension, one) for one in words]))
    if others := [language.of(sheet.title) for sheet in report.sheets if sheet.mart != report.main_mart]:
        yield language.say("not_narrowed", sheets=language.listed(others))


def _nothing(customer: Customer, week: Week, through: Through | None, is_narrowed: bool) -> str:
    if through is None:
        return f"customer {customer.customer_id} has no data yet: `callmart status` says what was landed and opened"
    if is_narrowed:
        return (
            f"customer {customer.customer_id} has no data of {week} that counts as such: name another week, or see "
            "whether the registry has its opening_hours"
        )
    return (
        f"customer {customer.customer_id} has no data of {week}: its data goes through {through.day}; "
        "name another week"
    )


def _through(language: Language, week: Week, through: Through | None) -> str:
    if through is None:
        return ""
    if through.so_far and through.day in week.days:
        time = f"{through.so_far:%H:%M}"
        return language.say("through_so_far", day=language.long(through.day), time=time)
    return language.say("through", day=language.long(min(through.day, week.sunday)))


def _notices(scene: Scene, through: Through | None, held_back: list[date]) -> Iterator[str]:
    language, unfinished = scene.language, scene.period.unfinished
    if scene.period.is_going_on:
        yield language.say("going_on" if scene.period.has_begun else "just_begun")
    if unfinished and through and through.so_far:
        day, time = language.long(unfinished), f"{through.so_far:%H:%M}"
        yield language.say("unfinished", day=day[:1].upper() + day[1:], time=time)
    if held_back:
        yield language.say("held_back", days=language.listed([language.short(day) for day in held_back]))


def _compared(language: Language, period: Period) -> str:
    if period.days and not period.before:
        return language.say("not_compared", number=period.week.before.number)
    return language.say(
        "compared" if len(period.days) == 7 else "compared_days", number=period.week.before.number
    )


def _said(language: Language, section: Section, empty: str) -> Section:
    return replace(section, empty=language.say(empty)) if section.is_empty else section


def _meanings(scene: Scene, report: Report) -> dict[str, str]:
    shown = [one for sheet in report.sheets for one in scene.measures(sheet)]
    meanings = {one.caption: one.description for one in shown if one.description}
    if any(WITHIN_THRESHOLD in one.columns for one in shown):
        meanings[scene.language.say("threshold")] = _limit(scene, "within", lambda queue: queue.threshold_s)
    if any(SHORT in one.columns for one in shown):
        meanings[scene.language.say("short")] = _limit(scene, "short_within", lambda queue: queue.short_s)
    return meanings


def _limit(scene: Scene, said: str, of: Callable[[Queue], int]) -> str:
    """Within how many seconds something has to happen, then the queues for which it is another number."""
    language, queues = scene.language, scene.reader.queues
    usual = of(queues[None])
    parts = [language.say(said, value=language.value("seconds", usual))]
    for limit_s in sorted({of(queue) for queue in queues.values()} - {usual}):
        names = [queue.shown or name for name, queue in queues.items() if name and of(queue) == limit_s]
        parts.append(f"{language.listed(sorted(names))}: {language.value('seconds', limit_s)}")
    return "; ".join(parts)
