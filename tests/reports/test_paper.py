"""What a report looks like on paper, whatever names a customer gives."""

import io
from itertools import pairwise

import pypdf
import pytest

from callmart.reports import paper
from callmart.reports.page import Day, Grid, Page, Records, Section, Tile

HEAD = ["Aangeboden", "Opgenomen", "Afgehaakt", "Servicelevel", "Gemiddelde wachttijd", "Langste wachttijd"]
NUMBERS = ["1.042", "1.043", "1.044", "94,5%", "21 s", "5:01 min"]
SENTENCE = "Een wachtrij waarvan iemand in een vlaag van volledigheid alles in de naam heeft geschreven"
NOTHING = Records([], [])
WORDS = {name: name for name in ("table", "meaning", "look", "page", "rows")}


def page(section: Section) -> Page:
    return Page(
        "x", "Titel", "", 1, "Klant", "nl", "2026-W47", "Week 47", "", "", [], [], [section], [], WORDS, "2026-11-09"
    )  # fmt: skip


def places(drawn: Page) -> dict[str, tuple[float, float]]:
    """Where each text begins on the first page, by the text: from the left and from below."""
    found = {}

    def visit(text: str, matrix: list[float], of_text: list[float], *_: object) -> None:
        if text.strip():
            left = of_text[4] * matrix[0] + matrix[4]
            found[text.strip()] = (left, of_text[5] * matrix[3] + matrix[5])

    pypdf.PdfReader(io.BytesIO(paper.as_pdf(drawn))).pages[0].extract_text(visitor_text=visit)
    return found


@pytest.mark.parametrize("names", [1, 2])
@pytest.mark.parametrize("name", [SENTENCE, "Verzekeringen" * 9])
def test_a_long_name_leaves_room_for_the_numbers(name: str, names: int) -> None:
    grid = Grid(
        [*["", ""][:names], *HEAD], [[*[each, "Bram"][:names], *NUMBERS] for each in (name, "kort")], names
    )
    found = places(page(Section("per_queue", "Per wachtrij", "table", NOTHING, grid=grid)))
    assert all(after - before > 30 for before, after in pairwise(found[number][0] for number in NUMBERS))


def test_a_long_word_of_a_list_does_not_stand_over_the_next_column() -> None:
    day = Day("2026-11-16", "maandag", Grid(["Wachtrij", "Wachttijd"], [["Verzekeringen" * 15, "21 s"]]))
    found = places(page(Section("contacts", "Contacten", "list", NOTHING, days=[day])))
    assert max(map(len, found)) < 13 * 15 / 2


def test_a_pictograph_is_no_box() -> None:
    """Of a name that has nothing else, its words are written."""
    names = [
        "Winkel \U0001f6d2",
        "\U0001f468\u200d\U0001f469\ufe0f",
        "\u2603 IJs",
        "Zo\u00eb \U0001f600 S. \U0001f337, B.",
        'Bij "Jo" \U0001f600',
        " \U0001f600",
    ]
    grid = Grid(["", *HEAD], [[name, *NUMBERS] for name in names])
    found = places(page(Section("per_queue", "Per wachtrij", "table", NOTHING, grid=grid)))
    assert {"Winkel", "man, woman", "IJs", "Zo\u00eb S., B.", 'Bij "Jo"', "grinning face"} <= found.keys()


def test_a_key_figure_without_a_week_before_has_no_gap() -> None:
    tile = Tile("Servicelevel", "100%", "geen week ervoor", "", "", "doel 80% gehaald", "")
    found = places(page(Section("key_figures", "De week", "figures", NOTHING, tiles=[tile])))
    assert found["geen week ervoor"][1] - found["doel 80% gehaald"][1] < 14


@pytest.mark.parametrize("value", ["12,34 uur", "1.234.567,89 uur", "94,5%"])
def test_a_key_figure_and_its_unit_stand_in_one_line(value: str) -> None:
    tiles = [Tile("Gesprekstijd", value, "geen week ervoor", "", "", "", "")] * 6
    drawn = paper.as_pdf(page(Section("key_figures", "De week", "figures", NOTHING, tiles=tiles)))
    assert pypdf.PdfReader(io.BytesIO(drawn)).pages[0].extract_text().count(value) == 6


def test_the_words_of_a_head_keep_apart_beside_a_long_name() -> None:
    """Nine measures, as of agents."""
    head = ["", "Gesprekken", "Uitgaande gesprekken", "Niet opgenomen", *HEAD]
    grid = Grid(head, [[SENTENCE, *["20,04 uur"] * 9]])
    drawn = paper.as_pdf(page(Section("per_agent", "Per medewerker", "table", NOTHING, grid=grid)))
    words = pypdf.PdfReader(io.BytesIO(drawn)).pages[0].extract_text(extraction_mode="layout").split()
    assert {"gesprekken", "opgenomen", "Aangeboden", "Opgenomen"} <= set(words)
