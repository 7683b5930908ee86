"""The mutants that are tried by hand (tests/support/mutants.py) still fit the code."""

from collections import Counter

from mutants import ROOT, mutants


def test_each_mutant_changes_one_place_and_names_its_tests() -> None:
    listed = mutants()
    assert len(listed) >= 60
    assert Counter(one.mutant for one in listed).most_common(1)[0][1] == 1
    for one in listed:
        assert (ROOT / one.file).read_text(encoding="utf-8").count(one.there) == 1, one.mutant
        assert one.there != one.instead and (ROOT / one.found_by).is_file(), one.mutant


def test_each_mutant_is_python_still() -> None:
    """One that nothing can import is found by any test."""
    for one in mutants():
        if one.file.endswith(".py"):
            text = (ROOT / one.file).read_text(encoding="utf-8")
            compile(text.replace(one.there, one.instead), one.mutant, "exec")
