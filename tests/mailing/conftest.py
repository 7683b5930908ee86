"""The fixtures of tests of mails: every hour has come, and nothing was mailed yet."""

from collections.abc import Iterator

import psycopg
import pytest

from callmart.mailing import mailing, places
from callmart_home import Callmart


@pytest.fixture(scope="module", autouse=True)
def on_time() -> Iterator[None]:
    """The hour of every report has come."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mailing, "_has_come", lambda *_: True)
        yield


@pytest.fixture
def owner(two_weeks: Callmart) -> Iterator[psycopg.Connection]:
    """The owner. Nothing was mailed yet."""
    with two_weeks.connect() as connection:
        connection.execute("delete from registry.mailed")
        connection.execute("delete from ops.held_back")
        connection.commit()
        for mail in places.mails(two_weeks.settings):
            mail.path.unlink()
        yield connection
