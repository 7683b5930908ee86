"""A home whose queues, lines and call ids are telephone numbers, as the version before keyed calls left its database.

tests/data/numbered/473b98c.dump is this home as commit 473b98c landed, built and opened it. Its keys are known, so that
a test can land the same files again. With that commit checked out: .venv/bin/python tests/support/numbered.py FILE
"""

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from callmart.base.keys import key_file
from callmart.base.secret_files import secret_file
from callmart.base.settings import PROJECT, Settings
from callmart_home import Callmart
from dumps import dump
from events import Row, event, ndjson

DUMP = PROJECT / "tests" / "data" / "numbered" / "473b98c.dump"
NAMED, PLAIN = 1, 2
KEYS = {customer: bytes([customer]) * 32 for customer in (NAMED, PLAIN)}
DAYS = [datetime(2026, 11, day, tzinfo=UTC) for day in (20, 21)]

# The registry knows one number as the customer's own.
REGISTRY = f"""
customers:
  - id: {NAMED}
    name: Voorbeeld
    contracts: [{{option: detailed, from: 2025-01-01}}]
    queues: [{{name: "+31201112222", service_level_s: 30}}]
  - {{id: {PLAIN}, name: Fietsen, contracts: [{{option: detailed, from: 2025-01-01}}]}}
"""
OWN, OTHER, SPELLED, LINE = "+31201112222", "020-1234567", "0201234567", "030 765 4321"


def rows(customer: int) -> list[Row]:
    """Calls in queues that are named by numbers, and on a line that is; agents who are members of such a queue."""
    found = []
    for day in DAYS:
        at = day + timedelta(hours=9)
        for number, queue in enumerate((OWN, OTHER, "sales") + ((SPELLED,) if customer == PLAIN else ())):
            call, moment = f"061234567{number}-{day.day}", at + timedelta(minutes=10 * number)
            in_queue = {"call_id": call, "queue": queue}
            agent = {**in_queue, "agent": f"SIP/{number % 2}"}
            member = {"agent": f"SIP/{number % 2}", "queue": queue}
            found += [
                event("agent_logged_in", moment - timedelta(minutes=9), agent=f"SIP/{number % 2}", line="0611112222"),
                event("agent_joined_queue", moment - timedelta(minutes=8), **member),
                event("call_started", moment, call_id=call, direction="inbound", other_number="0612345678"),
                event("queue_joined", moment, **in_queue, other_number="0612345678"),
                event("ring_started", moment + timedelta(seconds=2), **agent),
                event("ring_ended", moment + timedelta(seconds=9), **agent, reason="answered"),
                event("agent_connected", moment + timedelta(seconds=9), **agent),
                event("transferred", moment + timedelta(seconds=60), **agent, reason="blind", target=OTHER,
                      target_kind="queue"),
                event("agent_released", moment + timedelta(seconds=60), **agent, reason="transfer"),
                event("call_ended", moment + timedelta(seconds=70), call_id=call, reason="caller"),
                event("agent_left_queue", moment + timedelta(minutes=4), **member),
                event("agent_logged_out", moment + timedelta(minutes=5), agent=f"SIP/{number % 2}", line="0611112222"),
            ]  # fmt: skip
        trunk = {"call_id": f"0687654321-{day.day}", "platform": "sip_trunk", "line": LINE}
        found += [
            event("call_started", at, **trunk, direction="inbound", other_number="0687654321"),
            event("call_answered", at + timedelta(seconds=5), **trunk),
            event(
                "call_ended", at + timedelta(seconds=50), **trunk, reason="caller", event_id=f"e-{day.day}"
            ),
        ]
    return [row | {"customer_id": customer} for row in found]


def files() -> dict[str, str]:
    """The files that were landed: their names hold numbers, too."""
    return {f"calls of +3161234567{customer}.ndjson": ndjson(*rows(customer)) for customer in KEYS}


def put_keys(callmart: Callmart) -> None:
    """Put the keys into a home."""
    for customer, key in KEYS.items():
        secret_file(key_file(callmart.home, customer), key)


def land(callmart: Callmart) -> list[int]:
    """Land the files; return how many events of each are new."""
    landed = []
    for name, text in files().items():
        (callmart.home / name).write_text(text)
        landed.append(callmart.land(callmart.home / name).landed)
        (callmart.home / name).unlink()
    return landed


def main(file: Path) -> None:
    with TemporaryDirectory() as folder:
        callmart = Callmart(Settings(home=Path(folder) / "home", dsn=None, folders=[]))
        try:
            put_keys(callmart)
            callmart.apply(REGISTRY)
            land(callmart)
            callmart.build_unchecked()
            dump(callmart, file)
        finally:
            callmart.stop()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
