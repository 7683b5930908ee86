"""What a package has of a person, and that nobody else is in it."""

import io
import json
import zipfile
from time import perf_counter

from callmart.base.person import Work
from callmart.privacy import own_rows, package
from erasures import ANOTHER, CALLER, CHEF, CONTACT, LEAVER, key_of, of


def test_look(work: Work) -> None:
    for kind, word in (("agent", LEAVER), ("caller", CALLER), ("contact", CONTACT), ("recipient", CHEF)):
        t = perf_counter()
        contents = own_rows.of(work.connection, work.settings, of(work, kind, word), key_of(work))
        t1 = perf_counter()
        packed = package.pack(contents)
        t2 = perf_counter()
        print(
            kind,
            [(one.holding.table, len(one.rows)) for one in contents.tables],
            t1 - t,
            t2 - t1,
            len(packed),
        )
        open(f"/tmp/{kind}.zip", "wb").write(packed)
        from callmart.privacy import disclosing

        print(disclosing._strangers(contents, packed), perf_counter() - t2)
        assert package.pack(contents) == packed
