"""The attempts: each attack, aimed by an attacker at the targets of the scene, and made.

The tests and `callmart audit` use this, each with their own connections.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import psycopg

from callmart.access import roles
from callmart.access.rights import SCHEMAS
from callmart.audit.attacks import ATTACKS
from callmart.audit.attacks.attack import NOT_INSTALLED, Aim, Attack
from callmart.audit.scene import Attacker, Scene, row_of
from callmart.base.matrix import USAGE
from callmart.declarations.mart import Mart


@dataclass(frozen=True)
class Attempt:
    """An attack by one attacker on one target (`place`), ready to run."""

    attack: Attack
    place: str
    sql: str
    control: str
    allowed: frozenset[object]


# -- an attacker's attempts ------------------------------------------------------------------------------------------


def attempts(scene: Scene, attacker: Attacker, attacks: Iterable[Attack] = ATTACKS) -> Iterator[Attempt]:
    """All attacks that an attacker can make, each on each of its targets."""
    anywhere = _names(scene, attacker)
    for attack in attacks:
        if attack.kind == "look" and attack.aim != "server" and not attacker.customer:
            continue  # a duty has no rows of its own to compare with; acts check that it reads no mart
        if attack.aim in ("server", "role") and attacker.login != attacker.role:
            continue  # these depend on the login, which is the publisher's, and it tries them as itself
        for place, names in _places(scene, attacker, attack.aim):
            filled = anywhere | names
            control = filled | (
                {"mart": names["table"], "row": names["table_row"]} if "table" in names else {}
            )
            yield Attempt(
                attack,
                place,
                attack.sql.format_map(filled),
                (attack.control or attack.sql).format_map(control),
                _allowed(scene, attacker, place) if attack.own else frozenset(),
            )


def _allowed(scene: Scene, attacker: Attacker, place: str) -> frozenset[object]:
    """The numbers of rows that a look may show: none, or the number of the attacker's own rows."""
    return frozenset({0, scene.rows.get((attacker.own, place.removeprefix("mart.")), 0)})


def _places(scene: Scene, attacker: Attacker, aim: Aim) -> list[tuple[str, dict[str, str]]]:
    """The targets of an attack: the name of each in the report, and the texts to fill into the SQL."""
    match aim:
        case "server":
            return [("", {})]
        case "relation" | "columns":
            readable = attacker.reads | attacker.reads_partly
            closed = [name for name in scene.relations if name not in readable]
            names = closed if aim == "relation" else sorted(attacker.reads_partly)
            return [(name, {"relation": name}) for name in names]
        case "table":
            return [
                (name, {"relation": name, "column": column})
                for name, column in scene.tables.items()
                if name not in attacker.writes
            ]
        case "role":
            own = attacker.becomes | {attacker.role} | _far_customers(scene, attacker)
            return [(role, {"target": role}) for role in scene.roles if role not in own]
        case "doorway" | "standard's doorway" | "anonymous doorway":
            return [("", {"customer": str(customer)}) for customer in _landed_for(scene, attacker, aim)]
    return [
        (mart.shown_as, _of_mart(scene, attacker, mart))
        for mart in scene.all_marts
        if _is_aimed_at(mart, attacker, aim)
    ]


def _landed_for(scene: Scene, attacker: Attacker, aim: Aim) -> list[int]:
    """A customer of the kind that an attack on landing needs. None if the attacker may not land files."""
    if "raw.incoming" not in attacker.writes:
        return []
    of_kind = {
        "doorway": set(scene.customers),
        "standard's doorway": {
            customer for customer, option in scene.customers.items() if option == "standard"
        },
        "anonymous doorway": scene.anonymous,
    }
    return sorted(of_kind[aim])[:1]


def _far_customers(scene: Scene, attacker: Attacker) -> set[str]:
    """The roles of all customers except the next one. Setting the role is really tried with one customer only, because
    each with each would be quadratic. The attack `memberships` checks the rights for all of them at once.
    """
    ids = sorted(scene.customers)
    following = next((customer for customer in ids if customer > attacker.own), min(ids, default=0))
    return {roles.customer_role(scene.database, customer) for customer in ids if customer != following}


def _of_mart(scene: Scene, attacker: Attacker, mart: Mart) -> dict[str, str]:
    """The texts for a mart, and another customer that has rows in it, if there is one."""
    other = next((customer for customer in scene.holders[mart.name] if customer != attacker.own), None)
    names = {
        "mart": mart.shown_as,
        "table": mart.table,
        "row": "q",
        "table_row": row_of(mart, attacker.own),
        "anothers": str(scene.anothers.get((attacker.own, mart.name), 0)),
        "day": mart.day or "",
    }
    return names if other is None else names | {"other": str(other)}


def _is_aimed_at(mart: Mart, attacker: Attacker, aim: Aim) -> bool:
    """Whether a mart is a target of an attack. A duty attacks all marts."""
    if mart.group == USAGE or (aim == "dated mart" and not mart.day):
        return False
    is_open = mart.group in attacker.opens or not attacker.customer
    return is_open != (aim == "closed mart")


def _names(scene: Scene, attacker: Attacker) -> dict[str, str]:
    """The texts to fill into an attack's SQL that don't depend on its target. The other customer is one with a role:
    that of a contract that begins today is made by the next run.
    """
    others = ((customer, roles.customer_role(scene.database, customer)) for customer in scene.customers)
    other, other_role = next(
        (one for one in others if one[0] != attacker.own and one[1] in scene.roles), (0, scene.owner)
    )
    return {
        "database": scene.database,
        "owner": scene.owner,
        "floor": scene.floor,
        "role": attacker.role,
        "own": str(attacker.own),
        "other": str(other),
        "other_role": other_role,
        "any_mart": scene.marts[0].table if scene.marts else "registry.customer",
        "ours": f"array[{_list(SCHEMAS)}]",
        "calls": _list(attacker.calls),
        "writes": _list(attacker.writes),
        # A duty sees the samples of relations that it may read. A customer sees none, not even of its marts.
        "sampled": _list(set() if attacker.customer else attacker.reads | attacker.reads_partly),
        "becomes": _list(attacker.becomes or {attacker.role}),
        "groups": _list(
            {roles.group_role(scene.database, group) for group in attacker.opens} | {attacker.role}
        ),
    }


def _list(names: Iterable[str]) -> str:
    return ", ".join(f"'{name}'" for name in sorted(names))


# -- making one ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Answer:
    """The result of an attack or its control: what it was shown, as numbers, or how it was refused. Never a value."""

    shown: frozenset[object] = frozenset()
    refused: str | None = None  # SQLSTATE

    def withstood(self, attempt: Attempt) -> bool:
        """Whether the attacker got nothing."""
        if self.refused is not None:
            return self.refused in attempt.attack.refusals
        return attempt.attack.kind == "look" and self.shown <= attempt.allowed

    def absent(self) -> bool:
        """Whether this server lacks what the attack needs."""
        return self.refused in NOT_INSTALLED

    def proves(self, attempt: Attempt) -> bool:
        """As the answer to a control: whether there was something to get."""
        return self.refused is None and (attempt.attack.kind == "act" or bool(self.shown - attempt.allowed))


# The errors that attacks raise if they have reached another customer's row.
BETRAYING = (psycopg.errors.DivisionByZero, psycopg.errors.InvalidTextRepresentation)


def make(connection: psycopg.Connection, statements: str, attack: Attack) -> Answer:
    """Run an attack or its control, and roll it back."""
    notices: list[str] = []

    def hear(notice: psycopg.errors.Diagnostic) -> None:
        notices.append(notice.message_primary or "")

    connection.add_notice_handler(hear)
    try:
        with connection.transaction(force_rollback=True):
            shown = run(connection, statements)
    except psycopg.Error as error:
        if attack.via == "error" and isinstance(error, BETRAYING):
            return Answer(frozenset({"a row of another"}))
        return Answer(refused=error.sqlstate or "none")
    finally:
        connection.remove_notice_handler(hear)
    match attack.via:
        case "rows":
            return Answer(frozenset(shown - {None}))
        case "notices":
            return Answer(frozenset({sum(message.isdecimal() for message in notices)}))
        case "error":
            return Answer()


def run(connection: psycopg.Connection, statements: str) -> set[object]:
    """Run several statements, and return the values in the first column of the last one's result."""
    *first, last = statements.strip().rstrip(";").split(";\n")
    for statement in first:
        connection.execute(statement)
    with connection.cursor() as cursor:
        if re.match("copy .* to stdout", last):
            with cursor.copy(last) as copy:
                return {int(row[0]) for row in copy.rows() if row[0] is not None}
        cursor.execute(last)
        return {row[0] for row in cursor} if cursor.description else set()
