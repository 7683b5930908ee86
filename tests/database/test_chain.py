"""The ledger's chain: whatever is done to its text is found, and what has ended can go."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from callmart.database import chain
from callmart.database.chain import Body, Broken, Chain


def hexadecimal(size: int) -> st.SearchStrategy[str]:
    """So many bytes, drawn at once and not digit by digit."""
    return st.binary(min_size=size, max_size=size).map(bytes.hex)


# One number each: Hypothesis draws a datetime as seven.
MOMENTS = st.integers(0, 10 * 365 * 86_400_000_000).map(
    lambda passed: datetime(2020, 1, 1, tzinfo=UTC) + timedelta(microseconds=passed)
)
BODIES = st.builds(
    Body,
    customer_id=st.integers(1, 9999),
    kind=st.sampled_from(["agent", "caller", "contact", "recipient"]),
    key=st.none() | hexadecimal(8),
    until=MOMENTS,
    at=MOMENTS,
    request=st.none() | st.integers(1, 999),
    tombstones=st.dictionaries(
        st.sampled_from(["agent", "caller", "call"]),
        st.lists(hexadecimal(16), max_size=3, unique=True).map(lambda found: tuple(sorted(found))),
        max_size=2,
    ),
    right=st.sampled_from(["erasure", "objection", "lifting", "rectification"]),
    since=st.none() | MOMENTS,
)
LEDGERS = st.lists(BODIES, min_size=1, max_size=5)
NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)
ERASED = Body(7, "agent", "0" * 16, NEW_YEAR, NEW_YEAR, 1, {"agent": ("a" * 32,)})


def ledger_of(bodies: list[Body]) -> Chain:
    ledger = Chain(chain.new_ledger())
    for body in bodies:
        ledger = replace(ledger, entries=(*ledger.entries, ledger.followed_by(body)))
    return ledger


@given(LEDGERS)
def test_a_ledger_is_read_as_it_was_written(bodies: list[Body]) -> None:
    ledger = ledger_of(bodies)
    assert chain.parse(ledger.text()) == ledger
    assert chain.parse(ledger.text()).last == ledger.last


@given(LEDGERS)
def test_the_last_digest_is_verified(bodies: list[Body]) -> None:
    """No other entry follows from it."""
    ledger = ledger_of(bodies)
    *others, last = ledger.entries
    for changed in (replace(last, digest="0" * 64), replace(last, digest=last.previous)):
        with pytest.raises(Broken):
            chain.parse(replace(ledger, entries=(*others, changed)).text())


@given(LEDGERS, st.data())
def test_every_changed_byte_is_found(bodies: list[Body], data: st.DataObject) -> None:
    text = bytearray(ledger_of(bodies).text())
    place = data.draw(st.integers(0, len(text) - 1))
    byte = data.draw(st.integers(0, 255))
    assume(text[place] != byte)
    text[place] = byte
    with pytest.raises(Broken):
        chain.parse(bytes(text))


@given(LEDGERS, st.data())
def test_every_byte_more_or_less_is_found(bodies: list[Body], data: st.DataObject) -> None:
    """A space between two words of JSON, too."""
    text = ledger_of(bodies).text()
    # Without the end of the last line it is one that was not finished.
    place = data.draw(st.integers(0, len(text) - 2))
    spaced = data.draw(st.sampled_from([place, text.index(b":", place) if b":" in text[place:] else place]))
    for changed in (text[:spaced] + b" " + text[spaced:], text[:place] + text[place + 1 :]):
        with pytest.raises(Broken):
            chain.parse(changed)


@given(st.lists(BODIES, min_size=2, max_size=5), st.data())
def test_a_line_that_is_gone_doubled_or_moved_is_found(bodies: list[Body], data: st.DataObject) -> None:
    ledger = ledger_of(bodies)
    lines = ledger.text().splitlines(keepends=True)
    order = data.draw(st.lists(st.sampled_from(range(len(lines))), min_size=1, max_size=len(lines) + 1))
    assume(order != list(range(len(order))))  # what is left after a cut at the end
    with pytest.raises(Broken):
        chain.parse(b"".join(lines[place] for place in order))


@given(LEDGERS, st.data())
def test_an_end_that_is_cut_off_shows_beside_the_whole(bodies: list[Body], data: st.DataObject) -> None:
    ledger = ledger_of(bodies)
    text = ledger.text()
    cut = chain.whole_lines(text[: data.draw(st.integers(len(chain.header(ledger.ledger)), len(text) - 1))])
    assert chain.parse(cut).common(ledger) == len(chain.parse(cut).entries) < len(ledger.entries)


@given(LEDGERS, BODIES, st.data())
def test_an_entry_made_anew_shows_beside_the_original(
    bodies: list[Body], other: Body, data: st.DataObject
) -> None:
    """Whoever can write the file can also compute a whole new chain: it is another one from there on."""
    ledger, place = ledger_of(bodies), data.draw(st.integers(0, len(bodies) - 1))
    forged = Chain(ledger.ledger, ledger.entries[:place])
    for body in [other, *bodies[place + 1 :]]:
        forged = replace(forged, entries=(*forged.entries, forged.followed_by(body)))
    assert chain.parse(forged.text()).common(ledger) == place


@given(LEDGERS)
def test_the_same_bodies_are_another_ledger_elsewhere(bodies: list[Body]) -> None:
    ledger, elsewhere = ledger_of(bodies), ledger_of(bodies)
    assert elsewhere.common(ledger) == -1
    mixed = chain.header(ledger.ledger) + b"".join(map(chain.line, elsewhere.entries))
    with pytest.raises(Broken):
        chain.parse(mixed)


@given(LEDGERS, st.data())
def test_bodies_can_go_and_the_chain_still_verifies(bodies: list[Body], data: st.DataObject) -> None:
    ledger = ledger_of(bodies)
    ended = data.draw(st.sets(st.sampled_from(range(len(bodies)))))
    left = replace(
        ledger,
        entries=tuple(
            entry.without_body() if place in ended else entry for place, entry in enumerate(ledger.entries)
        ),
    )
    read = chain.parse(left.text())
    assert read.last == ledger.last
    assert read.common(ledger) == len(bodies)
    for place in ended:
        for tombstones in bodies[place].tombstones.values():
            others = {
                one
                for n, body in enumerate(bodies)
                if n not in ended
                for own in body.tombstones.values()
                for one in own
            }
            assert not any(one.encode() in left.text() for one in tombstones if one not in others)


def test_a_commitment_can_not_be_tried() -> None:
    """With the body but without the salt, the digest that stays tells nothing."""
    ledger = Chain(chain.new_ledger())
    one, other = ledger.followed_by(ERASED), ledger.followed_by(ERASED)
    assert one.commitment != other.commitment
    assert len(bytes.fromhex(one.salt or "")) == 32


def test_an_erasure_is_written_as_before_there_were_other_rights() -> None:
    """Else a ledger of an earlier version would break."""
    text = ledger_of([ERASED]).text().decode()
    assert "right" not in text and "since" not in text
    assert '"right":"objection"' in ledger_of([replace(ERASED, right="objection")]).text().decode()


def test_the_time_of_writing_does_not_make_another_erasure() -> None:
    assert ERASED.says_the_same(replace(ERASED, at=ERASED.at + timedelta(days=1)))
    assert not ERASED.says_the_same(replace(ERASED, request=2))
    assert not ERASED.says_the_same(None)


def test_nothing_but_a_ledger_is_one() -> None:
    for text in (b"", b"\n", b"{}\n", b"[]\n", json.dumps({"ledger": 1, "format": 1}).encode() + b"\n"):
        with pytest.raises(Broken):
            chain.parse(text)
