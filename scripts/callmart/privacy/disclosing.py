"""Gives a person what there is of the person: plans what is in the package, makes it, and proves that nobody else is.

For the rights of access and of portability. Nothing of the person changes. The package is made from the rows each time,
so a proof can make it again, look into that, and know that the encrypted one has the same content.
"""

import io
import re
import zipfile
from collections.abc import Iterator

from callmart.base.keys import keyed
from callmart.base.needles import Hits, Needles
from callmart.base.patterns import matching
from callmart.base.person import Blocked, Counts, Person, Proof, Work
from callmart.database import clock
from callmart.database.tombstones import Kind, of_address
from callmart.privacy import own_rows, package, packages
from callmart.privacy.own_rows import Contents, counted_as
from callmart.privacy.packages import Packages
from callmart.privacy.places import PLACES, require_covered
from callmart.privacy.procedure import Begin, OnPlace, OnProof, Plan, blocked

# What looks like a key of somebody, or like a telephone number, in any text of the package.
_KEYS = re.compile(r"[0-9a-f]{32}|(?<![\w.])-?\d{15,19}(?![\w.])")
_NUMBERS = re.compile(r"(?<![\w.+-])(?:\+|0)\d{8,14}(?![\w.])")
_BY_CHANCE = re.compile(r"[0-9a-fA-F.:+-]{0,11}")
_TEXTS = (".html", ".json", ".csv")


def plan(work: Work, person: Person, key: bytes) -> Plan:
    """Count the person's rows in each place. `key` is the customer's. Changes nothing."""
    return _plan(_contents(work, person, key), key)


def do(
    work: Work,
    person: Person,
    key: bytes,
    request: int,
    begin: Begin,
    on_control: OnPlace,
    on_place: OnPlace,
) -> None:
    """Make the package, encrypted by `work.seal`. `begin` is called before, with the hash of the plan as it is now, and
    `on_place` for each place with what the package has of it. There is nothing to control.

    Raises Blocked if somebody else is in it: then there is no package.
    """
    seal = work.seal
    assert seal is not None, "whoever asks for a package says how it is encrypted"
    with clock.guarded(work.connection, work.settings):
        contents = _contents(work, person, key)
        planned = _plan(contents, key)
        begin(planned.hash)
        content = package.pack(contents)
        with blocked(Packages.name):
            if others := len(_strangers(contents, content)):
                raise Blocked(
                    "others",
                    f"the package would show {others} words or keys of others, so none was made; report it",
                )
            today = clock.today(work.connection, work.settings)
            work.connection.commit()
            packages.write(
                work.settings,
                key,
                person.customer_id,
                request,
                today,
                packages.tombstones(key, _pseudonyms(contents, key)),
                content,
                seal.seal(content),
            )
        made = Counts({"packages": 1, seal.how: 1})
        for place in PLACES:
            on_place(place.name, made if place.name == Packages.name else planned.counts[place.name])


def prove(work: Work, person: Person, key: bytes, request: int, on_place: OnProof) -> int:
    """Make the package again, see that it is what was encrypted, and look for others in it. Returns how many words of
    others could be sought as whole values only.
    """
    with clock.guarded(work.connection, work.settings):
        contents = _contents(work, person, key)
        content = package.pack(contents)
        with blocked(Packages.name):
            if not packages.holds(work.settings, key, person.customer_id, request, content):
                raise Blocked(
                    "package",
                    "the package is gone, or what there is of the person has changed since it was made: make it again "
                    f"with `callmart privacy plan {request}`, `approve` and `do`",
                )
            others = Counts(others=len(_strangers(contents, content)))
        for place in PLACES:
            is_it = place.name == Packages.name
            on_place(
                place.name,
                Proof(Counts(files=len(_texts(content))), +others) if is_it else Proof(Counts(), Counts()),
            )
        return len(_needles(contents).whole)


def _contents(work: Work, person: Person, key: bytes) -> Contents:
    require_covered(work)
    with blocked("places"), work.connection.transaction():
        # All tables as they are at one moment.
        work.connection.execute("set transaction isolation level repeatable read")
        return own_rows.of(work.connection, work.settings, person, key)


def _plan(contents: Contents, key: bytes) -> Plan:
    found = {place.name: Counts() for place in PLACES}
    for one in contents.tables:
        (place,) = (place.name for place in PLACES if matching(place.tables).fullmatch(one.holding.table))
        found[place][counted_as(one.holding.table)] += len(one.rows)
    person = contents.person
    whose = keyed(key, "plan", f"{' '.join(sorted(person.keys))} {person.until.timestamp()}")
    return Plan(whose, {place: +counts for place, counts in found.items()}, ())


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
    for text in _texts(package.pack(contents.without_rows)) if hits else ():
        ours |= needles.in_bytes(text.encode())
    found = {needles.texts[place] for place in hits.texts - ours.texts}
    keys = {key for text in texts for key in _KEYS.findall(text)}
    numbers = {number for text in texts for number in _NUMBERS.findall(text)}
    return found | (keys - set(map(str, contents.own.numbers)) | numbers) - contents.own.texts


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
