"""How names and addresses are compared."""

import pytest

from callmart.base.spelling import plain


@pytest.mark.parametrize(
    "spellings",
    [
        ("p@een.example", " P@EEN.Example\n"),
        ("Groß@een.example", "GROẞ@een.example", "gross@een.example"),
        ("Ren\u00e9", "Rene\u0301", "REN\u00c9"),
        ("\u0130lker", "I\u0307lker"),  # the Turkish capital with a dot, as one letter or two
        ("Σίσυφος", "ΣΊΣΥΦΟΣ"),
        ("ﬁ", "FI"),
    ],
)
def test_however_it_is_spelt_it_is_one(spellings: tuple[str, ...]) -> None:
    assert len(set(map(plain, spellings))) == 1
    assert plain(plain(spellings[0])) == plain(spellings[0])


@pytest.mark.parametrize(
    ("one", "other"), [("\u0130lker", "ilker"), ("\u0131lker", "ilker"), ("Jose", "José")]
)
def test_other_letters_are_others(one: str, other: str) -> None:
    assert plain(one) != plain(other)
