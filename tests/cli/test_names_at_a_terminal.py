"""What a person sees at a terminal of a name that a sender chose."""

import pytest
from rich.console import Console

from callmart.cli.terminal import plain


@pytest.mark.parametrize(
    ("name", "shown"),
    {
        "\x1b[2J\x1b[31mred.csv": r"\x1b[2J\x1b[31mred.csv",
        "a.csv\nerror: all is lost": r"a.csv\nerror: all is lost",
        "\u202evsc.exe": r"\u202evsc.exe",
        "\x9b2Ja": r"\x9b2Ja",
        "a.csv\u2028error: all is lost": r"a.csv\u2028error: all is lost",
        "[red]verzonden[/] Zoë 日本\xa0.csv": "[red]verzonden[/] Zoë 日本\xa0.csv",
    }.items(),
)
def test_a_name_is_shown_and_steers_nothing(name: str, shown: str) -> None:
    console = Console(width=200, force_terminal=True, color_system=None)
    with console.capture() as capture:
        console.print(plain(name), soft_wrap=True)
    assert capture.get() == f"{shown}\n"
