"""Attacks on landing: rows as `prepare` would never make them, written with the loader's login."""

from collections.abc import Iterator

from callmart.audit.attacks.attack import Aim, Attack

# Rows that the loader can write to raw.incoming: one that lands, and variants of it that `prepare` would never make.
# Of this moment, because an hour ago there may have been no contract.
SOUND = {
    "customer_id": "{customer}", "occurred_at": "now()", "event_key": "1", "identified": "true",
    "platform": "'vcloud'", "event": "'queue_joined'", "call_key": "1", "queue": "'q'",
}  # fmt: skip
KEY = "repeat('0123456789abcdef', 2)"
NAMED = {
    "customer_id": "{customer}",
    "agent_key": KEY,
    "agent": "'a'",
    "last_at": "now()",
}


def _insert(table: str, row: dict[str, str]) -> str:
    return f"insert into raw.{table} ({', '.join(row)}) values ({', '.join(row.values())});\n"


OPTIONS = '["auto", null, "vcloud", null]'


def _keep(
    turned_away: int = 0, by: str = "{{}}", name: str = KEY, rejected: int = 0, asked: str = OPTIONS
) -> str:
    """Land the rows in raw.incoming; a division by zero if none landed."""
    file = (
        f"'file_number', 1, 'name_key', {name}, 'path_key', {KEY}, 'content_key', {KEY}, 'asked', '{asked}',"
        f" 'row_count', 9, 'rejected', {rejected}, 'turned_away', {turned_away}, 'turned_away_by', '{by}'::jsonb,"
        " 'incomplete_last_line', false, 'erased', 0"
    )
    return f"select 1 / landed from raw.keep(0, jsonb_build_array(jsonb_build_object({file})))"


BEGIN = "set transaction isolation level {};\n"
LAND = BEGIN.format("read committed")  # as the loader says it, whatever the server's default
LANDS = LAND + _insert("incoming", SOUND) + _keep()
CONTROL = "chr(27) || '[31m'"
NUMBER, NAME = "'+31612345678'", "'Noor Zandvliet'"
TRANSFERRED = {"event": "'transferred'", "reason": "'blind'", "target_kind": "'number'"}
STATUS = {"event": "'agent_status'", "call_key": "null", "queue": "null", "agent_key": KEY}
ENDED = {"event": "'call_ended'", "reason": "'caller'"}
ON_A_LINE = {"platform": "'sip_trunk'", "event": "'call_ended'", "queue": "null"}

HANDED_OVER: dict[str, tuple[str, dict[str, str]]] = {
    "number": ("a telephone number instead of its key", {"number_key": NUMBER}),
    "name": ("an agent's name instead of its key", {"event": "'agent_connected'", "agent_key": NAME}),
    "device": ("a device's name instead of its key", {"device_key": "'SIP/101-noor'"}),
    "target": ("a number instead of a target's key", TRANSFERRED | {"target_key": NUMBER}),
    "form of a key": ("a key in another form", {"number_key": f"upper({KEY})"}),
    "prefix of a key": ("a key with a prefix", {"number_key": f"'~' || {KEY}"}),
    "reserved key": ("a key as only erased agents have", STATUS | {"agent_key": f"'~' || {KEY}"}),
    "mark of the erased": ("an agent's name as the mark of an erased row", {"erased": NAME}),
    "withheld number": (
        "the key of a number that was withheld",
        {"number_key": KEY, "number_withheld": "true"},
    ),
    "number elsewhere": ("a number's key with an event that has no number", ENDED | {"number_key": KEY}),
    "target in clear": ("a number that was dialled, as text", TRANSFERRED | {"target": NUMBER}),
    "queue in clear": ("a number as the name of a queue", {"queue": NUMBER}),
    "line in clear": ("a number as the name of a line", ON_A_LINE | {"line": "'06 12-34 56 78'"}),
    "target queue in clear": (
        "a number as the queue that a call was transferred to",
        TRANSFERRED | {"target_kind": "'queue'", "target": "'sales 020-1234567'"},
    ),
    "target of nothing": ("a target's key with an event that has no target", {"target_key": KEY}),
    "device in clear": ("a person's device, as text", {"line": "'SIP/101-noor'"}),
    "agent on a line": ("an agent on a line, which has no agents", ON_A_LINE | {"agent_key": KEY}),
    "platform": ("an unknown platform", {"platform": "'fax'"}),
    "event": ("an unknown event", {"event": "'hello'"}),
    "reason": ("a reason of another event", ENDED | {"reason": "'full'"}),
    "reason of none": ("a reason with an event that has no reasons", {"reason": NAME}),
    "status": ("an unknown status", STATUS | {"reason": NAME}),
    "direction": ("an unknown direction", {"event": "'call_started'", "direction": "'up'"}),
    "kind of target": ("an unknown kind of target", TRANSFERRED | {"target_kind": "'person'"}),
    "recording": ("a recording of a call that has not ended", {"recorded": "true"}),
    "negative duration": ("a negative duration", ENDED | {"duration_s": "-1"}),
    "no duration": ("a duration that is not a number", ENDED | {"duration_s": "'NaN'"}),
    "endless duration": ("an infinite duration", ENDED | {"duration_s": "'infinity'"}),
    "duration of nothing": ("a duration with an event that ends nothing", {"duration_s": "1"}),
    "negative wait": ("a negative wait", ENDED | {"wait_s": "-1"}),
    "long text": ("a text that is too long", {"queue": "repeat('q', 256)"}),
    "control character": ("a control character in the name of a queue", {"queue": CONTROL}),
    "future": ("a day in the future", {"occurred_at": "now() + interval '25 hours'"}),
    "end of time": ("an infinite moment", {"occurred_at": "'infinity'"}),
    "beginning of time": ("a moment of minus infinity", {"occurred_at": "'-infinity'"}),
    "expired": ("a day that is too old", {"occurred_at": "'{floor}'::timestamp - interval '2 days'"}),
    "stranger": ("a customer that is not in the registry", {"customer_id": "0"}),
}


def _attacks() -> Iterator[Attack]:
    """The attacks on landing: the loader writes a row with one mistake, and raw.keep must refuse it."""
    # 23514: refuse_unprepared refuses it. 22012: no contract keeps the row, so nothing landed.
    states = ("23514", "22012")
    for name, (tries, change) in HANDED_OVER.items():
        sql = LAND + _insert("incoming", SOUND | change) + _keep()
        yield Attack(name, tries, "landing", "act", "doorway", sql, LANDS, refusals=states)
    aims: tuple[tuple[str, Aim, str, dict[str, str]], ...] = (
        ("id under standard", "standard's doorway", "the id of an agent under a standard contract", {}),
        ("id of an anonymous agent", "anonymous doorway", "the id of an anonymous agent", {}),
        (
            "id of a stranger's agent",
            "doorway",
            "the id of an unknown customer's agent",
            {"customer_id": "0"},
        ),
        (
            "id behind a name",
            "doorway",
            "the id of an agent with a name instead of a key",
            {"agent_key": NAME},
        ),
        (
            "id for ever",
            "doorway",
            "the id of an agent with a last day that never expires",
            {"last_at": "'infinity'"},
        ),
        ("long id", "doorway", "an id that is too long", {"agent": "repeat('a', 256)"}),
        ("control character in an id", "doorway", "an id with a control character", {"agent": CONTROL}),
    )
    for name, aim, tries, change in aims:
        sql = LAND + _insert("incoming", SOUND) + _insert("incoming_agent", NAMED | change) + _keep()
        yield Attack(name, tries, "landing", "act", aim, sql, LANDS, refusals=("23514",))
    for name, tries, keep in (
        (
            "turned away of a stranger",
            "a count for a customer that is not in the registry",
            _keep(1, '{{"0": 1}}'),
        ),
        ("turned away of a name", "a count for a name", _keep(1, '{{"Noor Zandvliet": 1}}')),
        ("counts", "more rows than were counted", _keep(1, '{{"null": 2}}')),
        ("file in clear", "the name of a file instead of its key", _keep(name=NUMBER)),
        (
            "number in a reason",
            "a number as the reason of a rejected row",
            _insert("incoming_reject", {"line_number": "1", "reason": NUMBER}) + _keep(rejected=1),
        ),
        ("negative counts", "a negative count", _keep(-1, '{{"null": -1}}')),
        (
            "name in the options",
            "a name as the time zone of a file",
            _keep(asked='["auto", null, "vcloud", "Noor/Zandvliet"]'),
        ),
        (
            "number in the options",
            "a number as the customer of a file",
            _keep(asked='["auto", 612345678, "vcloud", null]'),
        ),
        ("other options", "options that no file has", _keep(asked='["Noor Zandvliet"]')),
        (
            "long reason",
            "a reason that is too long",
            _insert("incoming_reject", {"line_number": "1", "reason": "repeat('r', 256)"})
            + _keep(rejected=1),
        ),
        (
            "control character in a reason",
            "a reason with a control character",
            _insert("incoming_reject", {"line_number": "1", "reason": CONTROL}) + _keep(rejected=1),
        ),
    ):
        sql = LAND + _insert("incoming", SOUND) + keep
        yield Attack(name, tries, "landing", "act", "doorway", sql, LANDS, refusals=("23514",))
    sql = BEGIN.format("repeatable read") + _insert("incoming", SOUND) + _keep()
    yield Attack(
        "snapshot", "landing in the database as it was before somebody was erased or a contract ended",
        "landing", "act", "doorway", sql, LANDS, refusals=("23514",),
    )  # fmt: skip


ATTACKS: tuple[Attack, ...] = tuple(_attacks())
