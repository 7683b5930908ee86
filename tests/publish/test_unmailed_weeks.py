"""The runs after one in which a mail was suspended: what they tell of it, and what the database keeps of that."""

from datetime import timedelta
from pathlib import Path

import pytest

from callmart.base.progress import quietly
from callmart.database import clock
from callmart.publish import deriving, sites, tableau
from callmart_home import Callmart
from published import subscriptions


def test_the_first_run_after_the_hour_tells_what_was_not_sent(
    home_elsewhere: tuple[Callmart, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    home, _ = home_elsewhere
    home.apply("""
customers:
  - id: 1
    name: Een
    contracts: [{option: standard, from: 2020-01-01}]
    recipients: [{email: chef@een.example, reports: [traffic]}]
""")
    with home.connect() as connection, tableau.at_sites(home.settings) as to:

        def run() -> tuple[str | None, list[bool]]:
            plans = sites.plan(sites.read(connection, home.settings, to, only_due=True))
            (outcome,) = sites.apply(connection, home.settings, to, plans, quietly)
            assert outcome.error is None
            return outcome.alert, [not each.suspended for each in subscriptions(to())]

        assert run() == (None, [True])
        now = clock.now(connection)
        monkeypatch.setattr(deriving, "mail_stopped", lambda _: {1: "a day is held back"})
        monkeypatch.setattr(deriving, "_hour", lambda *_: now + timedelta(hours=1))
        assert run() == ("customer 1: the weekly mail is suspended: a day is held back", [False])
        monkeypatch.setattr(deriving, "_hour", lambda *_: now - timedelta(minutes=1))
        connection.execute("update ops.publication set mails_seen = mails_seen - interval '1 hour'")
        connection.commit()
        alert, mails = run()
        assert "1 of last week's mails were not sent" in str(alert)
        assert mails == [False]
        monkeypatch.setattr(deriving, "SENDING", timedelta())
        assert run() == run() == (None, [False])
