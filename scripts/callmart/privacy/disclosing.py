"""Gives a person what there is of the person: plans the package, makes it, and proves that nobody else is in it.

For the rights of access and of portability. Nothing of the person changes. The package is made from the rows each time,
so a proof can make it again, look into that, and know that the encrypted one has the same content.
"""

import io
import re
import zipfile
from collections.abc import Iterator

from callmart.base.needles import Hits, Needles
from callmart.base.patterns import matching
from callmart.base.person import Blocked, Counts, Place, Proof
from callmart.database import clock
from callmart.database.tombstones import Kind, of_address
from callmart.privacy.package import own_rows, packing, shelf
from callmart.privacy.package.own_rows import Contents, counted_as
from callmart.privacy.package.shelf import Packages
from callmart.privacy.places import PLACES, each, require_covered
from callmart.privacy.procedure import Case, OnProof, Plan, Steps, blocked

# What looks like a key of somebody, or like a telephone number, in any text of the package.
_KEYS = re.compile(r"[0-9a-f]{32}|(?<![\w.])-?\d{15,19}(?![\w.])")
_NUMBERS = re.compile(r"(?<![\w.+-])(?:\+|0)\d{8,14}(?![\w.])")
_BY_CHANCE = re.compile(r"[0-9a-fA-F.:+-]{0,11}")
_TEXTS = (".html", ".json", ".csv")


def plan(case: Case) -> Plan:
    """Count the person's rows in each place. Changes nothing."""
    return _plan(case, _contents(case))


def do(case: Case, steps: Steps) -> None:
    """Make the package, encrypted by `work.seal`. There is nothing to control. Raises Blocked, and makes none, if
    somebody else would be in it.
    """
    work, seal = case.work, case.work.seal
    assert seal is not None, "whoever asks for a package says how it is encrypted"
    with clock.guarded(work.connection, work.settings):
        contents = _contents(case)
        planned = _plan(case, contents)
        steps.begin(planned.hash)
        content = packing.pack(contents)
        with blocked(Packages.name):
            if others := len(_strangers(contents, content)):
                raise Blocked(
                    "others",
                    f"the package would show {others} words or keys of others, so none was made; report it",
                )
            today = clock.today(work.connection, work.settings)
            work.connection.commit()
            whose = shelf.tombstones(case.key, _pseudonyms(contents, case.key))
            shelf.write(case, today, whose, content, seal.seal(content))
        made = Counts({"packages": 1, seal.how: 1})
        each(
            lambda place: made if place.name == Packages.name else planned.counts[place.name], steps.on_place
        )


def prove(case: Case, on_place: OnProof) -> int:
    """Make the package again, see that it is what was encrypted, and look for others in it."""
    with clock.guarded(case.work.connection, case.work.settings):
        contents = _contents(case)
        content = packing.pack(contents)

        def proof(place: Place) -> Proof:
            if place.name != Packages.name:
                return Proof(Counts(), Counts())
            if not shelf.holds(case, content):
                raise Blocked(
                    "package",
                    "the package is gone, or what there is of the person has changed since it was made: make it again "
                    f"with `callmart privacy plan {case.request}`, `approve` and `do`",
                )
            others = Counts(others=len(_strangers(contents, content)))
            return Proof(Counts(files=len(_texts(content))), +others)

        each(proof, on_place)
        return len(_needles(contents).whole)


def _contents(case: Case) -> Contents:
    require_covered(case.work)
    connection = case.work.connection
    with blocked("places"), connection.transaction():
        # All tables as they are at one moment.
        connection.execute("set transaction isolation level repeatable read")
        return own_rows.of(connection, case.work.settings, case.person, case.key)


def _plan(case: Case, contents: Contents) -> Plan:
    found = {place.name: Counts() for place in PLACES}
    for one in contents.tables:
        (place,) = (place.name for place in PLACES if matching(place.tables).fullmatch(one.holding.table))
        found[place][counted_as(one.holding.table)] += len(one.rows)
    return Plan(case.whose, {place: +counts for place, counts in found.items()})


def _pseudonyms(contents: Contents, key: bytes) -> Iterator[tuple[Kind, str]]:
    """By which an erasure knows whose package it is."""
    for one in contents.person.keys:
        yield contents.person.kind, one
    for address in contents.own.addresses:
        yield "contact", of_address(key, address)
        yield "recipient", of_address(key, address)


# -- nobody else -----------------------------------------------------------------------------------------------------


def _strangers(contents: Contents, content: bytes) -> set[str]:
    """What of others is in a package: their words and keys, and whatever looks like a key or a number and is not the
    person's. What would be there without a row is our own.
    """
    needles, texts = _needles(contents), _texts(content)
    hits, ours = Hits(), Hits()
    for text in texts:
        hits |= needles.in_bytes(text.encode())
    numbers = {
        number
        for text in texts
        for number in _NUMBERS.findall(text)
        if not any(number in own for own in contents.own.texts)
    }
    for text in _texts(packing.pack(contents.without_rows)) if hits or numbers else ():
        ours |= needles.in_bytes(text.encode())
        numbers -= set(_NUMBERS.findall(text))
    found = {needles.texts[place] for place in hits.texts - ours.texts}
    keys = {key for text in texts for key in _KEYS.findall(text)}
    return found | numbers | (keys - set(map(str, contents.own.numbers)) - contents.own.texts)


def _needles(contents: Contents) -> Needles:
    """The words and keys of everybody else. Some can't be sought in bytes: what is part of a word of the person's, and
    a short number, such as an agent's id, which is in moments and keys by chance.
    """
    own = contents.own
    words = [word.lower() for word in own.texts]
    parts = {
        other
        for other in own.others
        if _BY_CHANCE.fullmatch(other) or any(other.lower() in word for word in words)
    }
    return Needles(own.others | own.keys_of_others, (), parts)


def _texts(content: bytes) -> list[str]:
    """The texts in a package. What is on paper is on the page as well."""
    with zipfile.ZipFile(io.BytesIO(content)) as packed:
        return [packed.read(name).decode() for name in packed.namelist() if name.endswith(_TEXTS)]
