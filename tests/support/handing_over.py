"""How the loader asks the server to store what it has written to raw.incoming, past everything that Python does."""

import json
from typing import Any

from callmart.access import logins
from callmart.base.keys import keyed
from callmart_home import Callmart
from erasing import key_of

# Of a row: values as SQL, in which %(key)s is the agent's.
ROW = {"customer_id": "%(customer)s", "occurred_at": "%(at)s", "event_key": "1", "identified": "true",
       "platform": "'vcloud'", "event": "'agent_connected'", "call_key": "1", "agent_key": "%(key)s"}  # fmt: skip


def keep(**file: Any) -> str:
    """The query that stores a file of one row. `file` says what is told otherwise of the file."""
    told = {
        "file_number": 1,
        "name_key": "a" * 32,
        "path_key": "c" * 32,
        "content_key": "b" * 32,
        "asked": '["auto", null, "vcloud", null]',
        "row_count": 1,
        "rejected": 0,
        "turned_away": 0,
        "turned_away_by": {},
        "incomplete_last_line": False,
        "erased": 0,
    }
    return f"select landed from raw.keep(1, '{json.dumps([told | file])}')"


def handed_over(callmart: Callmart, customer: int, agent: str, moment: Any, **change: str) -> int:
    """Hand a row over as the loader; returns how many landed. Nothing is kept."""
    row = ROW | change
    with logins.connect(callmart.settings, "loader") as loader:
        loader.execute(
            f"insert into raw.incoming ({', '.join(row)}) values ({', '.join(row.values())})".encode(),
            {"customer": customer, "at": moment, "key": keyed(key_of(callmart, customer), "agent", agent)},
        )
        kept = loader.execute(keep().encode())
        ((landed,),) = kept.fetchall()
        loader.rollback()
    return int(landed)
