"""The day on which the tests run. The product goes by the clock and by nothing else, so whatever it opens, keeps or
removes is tested on days around this one. `make test-days` runs those tests on odd days, with the clock itself moved.
"""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

AT_THE_PROVIDER = ZoneInfo("Europe/Amsterdam")
TODAY = datetime.now(AT_THE_PROVIDER).date()
YESTERDAY = TODAY - timedelta(days=1)


def is_over() -> bool:
    """Whether a new day began since the tests did."""
    return datetime.now(AT_THE_PROVIDER).date() != TODAY
