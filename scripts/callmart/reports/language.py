"""Numbers, days and words as a customer's language writes them."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from functools import cache
from typing import Any, Literal

from babel import Locale as BabelLocale
from babel.dates import format_date
from babel.numbers import format_decimal

from callmart.base.declared import Locale, Texts, texts
from callmart.reports.charts import Territory
from callmart.reports.measures import Measure, Unit

TERRITORIES: Mapping[Locale, Territory] = {"nl": "nl-NL", "en": "en-GB"}
DASH = "–"  # where a number is not known
MINUTE, HOUR = 60, 3600  # seconds
AGENTS, HOURS, NUMBER = "#,##0.0", "#,##0.00", "#,##0.00"  # as on Tableau


WORDS = {
    "week": texts("Week {number}", "Week {number}"),
    "week_of": texts("Week", "Week"),
    "month_of": texts("Maand", "Month"),
    "from_to": texts("{first} t/m {last}", "{first} to {last}"),
    "compared": texts("vergeleken met week {number}", "compared with week {number}"),
    "not_compared": texts(
        "niet vergeleken met week {number}, waarvan dagen ontbreken",
        "not compared with week {number}, which lacks days",
    ),
    "compared_days": texts(
        "vergeleken met dezelfde dagen van week {number}", "compared with the same days of week {number}"
    ),
    "through": texts("Gegevens tot en met {day}", "Data through {day}"),
    "through_so_far": texts(
        "Gegevens tot en met {day} {time}, tot nu toe", "Data through {day} {time}, so far"
    ),
    "so_far": texts("Tot nu toe", "So far"),
    "until": texts("{day} tot {time}", "{day} until {time}"),
    "unfinished": texts(
        "{day} is nog niet voorbij: die dag is per dag te zien, tot {time}, en telt verder nergens mee.",
        "{day} is not over: it is shown by day, until {time}, and counts nowhere else.",
    ),
    "going_on": texts(
        "Deze week loopt nog. De cijfers gaan over de dagen tot en met gisteren.",
        "This week is still going on. The figures are about the days until yesterday.",
    ),
    "just_begun": texts(
        "Deze week is net begonnen: er is nog geen dag voorbij. Kies een eerdere week.",
        "This week has just begun: no day of it is over yet. Choose an earlier week.",
    ),
    "held_back": texts(
        "Niet meegeteld, omdat de controle van de gegevens nog loopt: {days}.",
        "Not counted, because the data is still being checked: {days}.",
    ),
    "earlier_definition": texts(
        "Een deel van de cijfers tot en met {day} is volgens een eerdere definitie berekend.",
        "Some of the figures up to {day} were computed by an earlier definition.",
    ),
    "not_known": texts("Nog niet bekend tot en met {day}: {names}.", "Not known yet up to {day}: {names}."),
    "was": texts("was {value}", "was {value}"),
    "same": texts("gelijk", "the same"),
    "almost": texts("vrijwel gelijk", "almost the same"),
    "points": texts("punt", "points"),
    "better": texts("beter", "better"),
    "worse": texts("slechter", "worse"),
    "no_data": texts("geen gegevens", "no data"),
    "no_hours": texts("Geen openingstijden bekend", "No opening hours known"),
    "narrowed": texts("Alleen: {words}.", "Only: {words}."),
    "not_narrowed": texts("Dat geldt niet voor: {sheets}.", "This does not apply to: {sheets}."),
    "of_week": texts("week {number}", "week {number}"),
    "without_weeks": texts(
        "Een week met een dag die nog wordt gecontroleerd, ontbreekt.",
        "A week with a day that is still being checked is missing.",
    ),
    "without_months": texts(
        "Een maand met een dag die nog wordt gecontroleerd, ontbreekt.",
        "A month with a day that is still being checked is missing.",
    ),
    "yes": texts("ja", "yes"),
    "no": texts("nee", "no"),
    "first_rows": texts(
        "De eerste {shown} van {all}. In een CSV-bestand staan ze alle; uw leverancier kan het meesturen.",
        "The first {shown} of {all}. A CSV file has them all; your provider can send it along.",
    ),
    "rows": texts("Elk gesprek", "Every contact"),
    "none_before": texts("geen week ervoor", "no week before"),
    "target": texts("doel {value}", "target {value}"),
    "threshold": texts("De norm", "The threshold"),
    "short": texts("Korte ophangers", "Short abandons"),
    "short_within": texts("Afgehaakt in minder dan {value}", "Abandoned in less than {value}"),
    "within": texts("Opgenomen binnen {value}", "Answered within {value}"),
    "on_target": texts("doel {value} gehaald", "target {value} met"),
    "off_target": texts("doel {value} niet gehaald", "target {value} missed"),
    "extremes": texts(
        "{measure}: hoogste {top} ({high}), laagste {bottom} ({low}).",
        "{measure}: highest {top} ({high}), lowest {bottom} ({low}).",
    ),
    "most": texts("{measure}: hoogste {top} ({high}).", "{measure}: highest {top} ({high})."),
    "constant": texts("{measure}: steeds {value}.", "{measure}: {value} throughout."),
    "below": texts("Onder het doel: {where}.", "Below the target: {where}."),
    "too_few": texts(
        "Te weinig: {where}. Het grootste tekort is om {top}: {value} in plaats van {needed}.",
        "Too few: {where}. They fall short most at {top}: {value} instead of {needed}.",
    ),
    "enough": texts("Steeds genoeg.", "Enough throughout."),
    "one_weeks": texts(
        "Er is nog maar één week te tonen, {where}: {value}. Vanaf de tweede staat hier een lijn.",
        "There is only one week to show yet, {where}: {value}. From the second on, there is a line.",
    ),
    "one_months": texts(
        "Er is nog maar één maand te tonen, {where}: {value}. Vanaf de tweede staat hier een lijn.",
        "There is only one month to show yet, {where}: {value}. From the second on, there is a line.",
    ),
    "look": texts("Kijk eerst naar", "Look here first"),
    "focus": texts("{where}: {part} van {whole} {missed}", "{where}: {part} of {whole} {missed}"),
    "and": texts("en", "and"),
    "total": texts("Totaal", "Total"),
    "together": texts("Samen", "Together"),
    "no_name": texts("zonder naam", "no name"),
    "cut": texts("De eerste {shown} van {all}.", "The first {shown} of {all}."),
    "table": texts("Als tabel", "As a table"),
    "meaning": texts("Wat de getallen tellen", "What the numbers count"),
    "empty_sheet": texts("Hier valt deze week niets te tonen.", "There is nothing to show here this week."),
    "empty_trend": texts("Hier is nog niets te tonen.", "There is nothing to show here yet."),
    "hours": texts("{value} uur", "{value} h"),
    "seconds": texts("{value} s", "{value} s"),
    "minutes": texts("{value} min", "{value} min"),
    "in_hours": texts("uren", "hours"),
    "in_minutes": texts("minuten", "minutes"),
    "in_seconds": texts("seconden", "seconds"),
    "page": texts("pagina", "page"),
    "mail_subject": texts("Uw weekrapporten: {reports}", "Your weekly reports: {reports}"),
    "mail_reason": texts(
        "U krijgt deze mail omdat uw organisatie hem voor u heeft besteld. Wilt u hem niet meer, zeg dat dan daar.",
        "You get this mail because your organisation ordered it for you. If you no longer want it, tell them.",
    ),
}


class Language:
    """One of the two languages of reports."""

    def __init__(self, locale: Locale) -> None:
        self.locale = locale
        self.territory = TERRITORIES[locale]
        self._babel = BabelLocale.parse(self.territory, sep="-")
        self.date = cache(self._date)

    def say(self, name: str, **parts: object) -> str:
        """A text of ours, with its parts filled in."""
        return self.of(WORDS[name]).format(**parts)

    def of(self, text: Texts) -> str:
        """A declared text in this language."""
        return text.of(self.locale)

    # -- days ------------------------------------------------------------------------------------------------------

    def _date(self, day: date, form: str) -> str:
        return str(format_date(day, form, locale=self._babel))

    def weekday(self, day: date) -> str:
        """As on an axis: ma 16."""
        return self.date(day, "EEE d")

    def short(self, day: date) -> str:
        """As in a sentence: ma 16 nov."""
        return self.date(day, "EEE d MMM").rstrip(".")

    def long(self, day: date) -> str:
        """As alone: maandag 16 november."""
        return self.date(day, "EEEE d MMMM")

    def with_year(self, day: date) -> str:
        """As alone, of any year: maandag 16 november 2026."""
        return self.date(day, "EEEE d MMMM y")

    def month(self, day: date) -> str:
        """As on an axis: nov 26."""
        return self.date(day, "MMM yy").replace(".", "")

    def whole_month(self, day: date) -> str:
        """As in a sentence: november 2026."""
        return self.date(day, "MMMM y")

    def moment(self, moment: datetime, day: date) -> str:
        """A moment in a list of a day: with its date only if that is another one."""
        at = f"{moment:%H:%M:%S}"
        return at if moment.date() == day else f"{self.short(moment.date())} {at}"

    def days(self, days: Sequence[date]) -> str:
        """The first and last of some days."""
        first, last = days[0], days[-1]
        form = "d" if first.month == last.month else "d MMMM" if first.year == last.year else "d MMMM y"
        return self.say("from_to", first=self.date(first, form), last=self.date(last, "d MMMM y"))

    def listed(self, words: Sequence[str]) -> str:
        """Several things in a row: a, b en c."""
        *others, last = words
        return f"{', '.join(others)} {self.say('and')} {last}" if others else last

    # -- numbers ---------------------------------------------------------------------------------------------------

    def number(self, value: float, form: str = "#,##0") -> str:
        """A number with the separators of the language."""
        return str(format_decimal(value, form, locale=self._babel))

    def share(self, value: float, form: str = "#,##0.#%") -> str:
        """A share, in percent."""
        return self.number(value, form)

    def value(self, unit: Unit, value: Any) -> str:
        """A value with its unit."""
        if value is None:
            return DASH
        match unit:
            case "share":
                return self.share(value, "#,##0.0%")
            case "hours":
                return self._duration(round(value * HOUR))
            case "seconds":
                return self._duration(round(value))
            case "agents" | "number":
                return self.number(value, AGENTS if unit == "agents" else NUMBER)
            case _:
                return self.number(value)

    def _duration(self, seconds: int) -> str:
        """In the unit that says something: a short talk is not 0.0 hours, nor a day logged in 1440 minutes."""
        if seconds < MINUTE:
            return self.say("seconds", value=self.number(seconds))
        if seconds < HOUR:
            return self.say("minutes", value=self.clock(seconds))
        return self.say("hours", value=self.number(seconds / HOUR, HOURS))

    def clock(self, seconds: int) -> str:
        """Minutes and seconds."""
        return f"{seconds // MINUTE}:{seconds % MINUTE:02}"

    def unit(self, unit: Unit | Literal["minutes"]) -> str:
        """The unit of a chart whose numbers have none; empty for counts and shares."""
        return self.say(f"in_{unit}") if unit in ("hours", "minutes", "seconds") else ""

    def change(self, measure: Measure, now: float, before: float) -> tuple[str, int]:
        """The change of a measure, and its sign: of shares in points, of averages in seconds, of sums in percent. It is
        that of the values as they are shown, so that whoever subtracts them finds it, and one too small to be seen
        counts as none.
        """
        match measure.unit:
            case "share":
                now_shown, before_shown = (round(Decimal(str(value)) * 100, 1) for value in (now, before))
                difference = float(now_shown - before_shown)
                shown = f"{self.number(abs(difference), '#,##0.0')} {self.say('points')}"
            case "seconds":
                difference = round(now) - round(before)
                shown = self.value("seconds", abs(difference))
            case _ if not before:
                return "", 0
            case _:
                difference = round(now / before - 1, 3)
                shown = self.number(abs(difference), "#,##0.0%")
        if not difference:
            is_same = self.value(measure.unit, now) == self.value(measure.unit, before)
            return self.say("same" if is_same else "almost"), 0
        return f"{'▲' if difference > 0 else '▼'} {shown}", 1 if difference > 0 else -1
