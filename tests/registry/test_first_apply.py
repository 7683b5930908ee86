"""The first `registry apply`, which makes the database, can break off and be run again."""

from collections.abc import Callable

from callmart.access import drift
from callmart_home import Callmart
from centre import REGISTRY
from commands import command_of, mistake


def test_a_first_apply_that_broke_off_is_finished_by_the_next(make_callmart: Callable[[], Callmart]) -> None:
    callmart = make_callmart()
    file = callmart.home / "first.yml"
    file.write_text(REGISTRY)
    command = command_of(callmart.home)
    with callmart.superuser() as superuser:
        superuser.execute("create role admin in role callmart_owner")
    assert "admin acts as callmart_owner, the owner: have a superuser undo it, and apply again" in mistake(
        command("registry", "apply", file)
    )
    with callmart.superuser() as superuser:
        superuser.execute("drop role admin")
    done = command("registry", "apply", file)
    assert (done.returncode, done.stderr) == (0, "")
    assert command("status").returncode == 0
    with callmart.connect() as owner:
        assert drift.find(owner, None) == []

        # Where a mart has data, it was an upgrade that broke off.
        owner.execute("delete from access.applied")
        owner.execute("create table store.made ()")
        owner.commit()
    assert "back up, then run `callmart upgrade`" in mistake(command("registry", "apply", file))
