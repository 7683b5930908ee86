"""What `--help` shows is what was written."""

from collections.abc import Iterator
from typing import Any

import typer
from rich.text import Text

from callmart.cli.main import app


def written(command: Any) -> Iterator[str]:
    """The help of a command, of its options, and of the commands in it."""
    yield command.help or ""
    for one in command.params:
        yield getattr(one, "help", None) or ""
    for below in getattr(command, "commands", {}).values():
        yield from written(below)


def test_no_word_in_brackets_is_lost_as_markup() -> None:
    lost = [text for text in written(typer.main.get_command(app)) if Text.from_markup(text).plain != text]
    assert lost == []
