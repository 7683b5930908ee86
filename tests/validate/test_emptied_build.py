"""If the server crashes, PostgreSQL empties what was computed, and the tables stay. Nothing may be opened of that."""

import psycopg
import pytest

from callmart.base.errors import UserError
from callmart.opening import opening
from callmart_home import Callmart
from checking import check

ANEW = r"window changed after .*; run `callmart build` again"


def offered(connection: psycopg.Connection) -> int:
    ((found,),) = connection.execute("select sum(offered) from store.queue_interval").fetchall()
    return int(found)


def test_days_that_a_crash_has_emptied_are_neither_checked_nor_opened(
    played: Callmart, owner: psycopg.Connection
) -> None:
    open_before = offered(owner)
    check(played, owner, "queue_interval")
    opening.empty_build(owner)
    owner.commit()
    with pytest.raises(UserError, match=ANEW):
        opening.open_build(owner, played.settings)
    with pytest.raises(UserError, match=ANEW):
        check(played, owner, "queue_interval")
    owner.rollback()
    assert played.build_and_open().opened_days > 0, "they are dirty all the same"
    assert offered(owner) == open_before


def test_days_that_were_computed_without_rows_are_opened(played: Callmart, owner: psycopg.Connection) -> None:
    owner.execute("delete from raw.event")
    owner.commit()
    assert played.build_and_open().opened_days > 0
    ((rows,),) = owner.execute("select count(*) from store.queue_interval").fetchall()
    assert rows == 0
