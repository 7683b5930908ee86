"""Aims the attacks at the marts, relations and roles of a database, and runs them.

The tests and `callmart audit` use this, each with their own connections.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import psycopg

from callmart.access import roles
from callmart.access.rights import POLICY_FUNCTIONS, SCHEMAS, SHARING_FUNCTIONS, STATISTIC, shared, shown_in
from callmart.audit.attacks import ATTACKS
from callmart.audit.attacks.attack import NOT_INSTALLED, Aim, Attack
from callmart.base import sql_file
from callmart.base.matrix import Duty, matrix, split
from callmart.base.settings import Settings
from callmart.declarations import dbt_project, mart_tables
from callmart.declarations.mart import Mart

SQL = sql_file.statements(__file__)


@dataclass(frozen=True)
class Attacker:
    """A customer or a duty that makes attacks."""

    name: str
    role: str
    login: str  # its own; if a customer has ordered none, the publisher's, which sets its role
    own: int  # the customer's number; for a duty that of a customer whose data it tries to get
    customer: bool
    opens: frozenset[str]  # mart groups
    reads: frozenset[str] = frozenset()  # relations
    reads_partly: frozenset[str] = frozenset()  # relations of which it may read some columns
    writes: frozenset[str] = frozenset()
    becomes: frozenset[str] = frozenset()
    calls: frozenset[str] = frozenset()  # functions


@dataclass(frozen=True)
class Scene:
    """The targets for attacks: what the database has."""

    database: str
    owner: str
    floor: str  # the oldest day that is kept, computed here and not by the function that the policies use
    marts: tuple[Mart, ...]
    relations: tuple[str, ...]
    sequences: frozenset[str]
    tables: dict[str, str]  # by name, each with a column that can be written
    roles: tuple[str, ...]
    logins: frozenset[str]  # the roles that may log in
    customers: dict[int, str]  # by number, with the option of today
    opens: dict[int, frozenset[str]]  # by customer, the mart groups that its contract opens today
    shared: dict[str, str]  # views that read no mart, with their group
    anonymous: frozenset[int]  # the customers whose agents have no names
    rows: dict[tuple[int, str], int] = field(default_factory=dict)  # that a customer may see of a mart
    anothers: dict[tuple[int, str], int] = field(default_factory=dict)  # the hash of another customer's row
    left: tuple[Mart, ...] = ()  # marts that were taken out of the project and still have tables

    @property
    def all_marts(self) -> tuple[Mart, ...]:
        """All marts that customers may read, also those that were taken out of the project."""
        return (*self.marts, *self.left)

    def holders(self, mart: Mart) -> list[int]:
        """The customers that have rows in a mart."""
        return sorted(customer for customer, name in self.rows if name == mart.name)


@dataclass(frozen=True)
class Attempt:
    """An attack by one attacker on one target (`place`), ready to run."""

    attack: Attack
    place: str
    sql: str
    control: str
    allowed: frozenset[object]


def name_of(mart: Mart) -> str:
    """The relation that a mart's readers read."""
    return f"{'usage' if mart.group == 'usage' else 'mart'}.{mart.name}"


def table_of(mart: Mart) -> str:
    """The table that has a mart's rows. The owner reads this, not the view."""
    return f"{'usage' if mart.group == 'usage' else 'store'}.{mart.name}"


# -- the scene -------------------------------------------------------------------------------------------------------


def scene(connection: psycopg.Connection, settings: Settings) -> Scene:
    """Look up the targets in the database, as the owner or a superuser."""
    owner, database, floor = connection.execute(
        SQL["database"], {"time_zone": settings.time_zone}
    ).fetchall()[0]
    relations = connection.execute(SQL["relations"], {"schemas": list(SCHEMAS)}).fetchall()
    names = {name for name, *_ in relations}
    marts = tuple(mart for mart in (*dbt_project.marts(settings), STATISTIC) if name_of(mart) in names)
    left = tuple(mart for mart in mart_tables.undeclared(connection, marts) if name_of(mart) in names)
    of_customers = [mart for mart in (*marts, *left) if mart.group != "usage"]
    contracts = connection.execute(
        "select customer_id, option, orders from registry.current_option order by 1"
    ).fetchall()
    rows = {key: count for mart in of_customers for key, count in _rows(connection, mart, floor)}
    return Scene(
        database=database,
        owner=owner.strip('"'),
        floor=floor,
        marts=marts,
        relations=tuple(name for name, *_ in relations),
        sequences=frozenset(name for name, kind, _ in relations if kind == "S"),
        tables={name: column for name, kind, column in relations if kind in "rpv" and column},
        roles=tuple(name for (name,) in connection.execute("select rolname from pg_roles order by 1")),
        logins=frozenset(
            name for (name,) in connection.execute("select rolname from pg_roles where rolcanlogin")
        ),
        customers={customer: option for customer, option, _ in contracts},
        opens={customer: frozenset(roles.opens(option, orders)) for customer, option, orders in contracts},
        shared=shared(connection),
        anonymous=frozenset(
            customer
            for (customer,) in connection.execute(
                "select customer_id from registry.customer join registry.current_option using (customer_id)"
                " where anonymous_agents"
            )
        ),
        rows=rows,
        anothers={
            (customer, mart.name): found
            for mart in of_customers
            for customer, name in rows
            if name == mart.name and (found := _anothers(connection, mart, customer)) is not None
        },
        left=left,
    )


def _rows(connection: psycopg.Connection, mart: Mart, floor: str) -> Iterator[tuple[tuple[int, str], int]]:
    kept = f"where {mart.day} >= '{floor}'" if mart.day else ""
    for customer, count in connection.execute(
        f"select customer_id, count(*) from {table_of(mart)} {kept} group by 1"
    ):
        yield (customer, mart.name), count


def _anothers(connection: psycopg.Connection, mart: Mart, customer: int) -> int | None:
    """The hash of a row that another customer has and this one does not, with this customer's number in it."""
    row = f"hashtextextended({_row_of(mart, customer)}::text, 0)"
    found = connection.execute(
        f"select * from (select {row} from {table_of(mart)} as q where customer_id <> {customer} limit 100) as others"
        f" except select {row} from {table_of(mart)} as q where customer_id = {customer} limit 1"
    ).fetchone()
    return found[0] if found else None


def _row_of(mart: Mart, customer: int) -> str:
    """A row of a mart's table, with its customer number replaced by `customer`."""
    columns = ("q." + column for column in mart.columns if column != "customer_id")
    return f"row({customer}, {', '.join(columns)})"


def attackers(scene: Scene) -> list[Attacker]:
    """The attackers: every customer with a contract, and every duty."""
    customers = [_customer(scene, customer) for customer in scene.customers]
    return customers + [_duty(scene, name, duty) for name, duty in matrix().duties.items()]


def _customer(scene: Scene, customer: int) -> Attacker:
    opens = scene.opens[customer]
    role = roles.customer_role(scene.database, customer)
    return Attacker(
        name=f"customer {customer}",
        role=role,
        login=role if role in scene.logins else roles.duty_role(scene.database, "publisher"),
        own=customer,
        customer=True,
        opens=opens,
        reads=_shown(scene, opens),
        calls=frozenset(f"access.{function}" for function in POLICY_FUNCTIONS),
    )


def _duty(scene: Scene, name: str, duty: Duty) -> Attacker:
    opens = frozenset(duty.groups)
    whole = frozenset(
        relation for entry in duty.select for relation in _named(scene, entry) if "(" not in entry
    )
    partly = {relation for entry in duty.select for relation in _named(scene, entry)} - whole
    return Attacker(
        name=name,
        role=roles.duty_role(scene.database, name),
        login=roles.duty_role(scene.database, name),
        own=min(scene.customers, default=0),
        customer=False,
        opens=opens,
        reads=whole | _shown(scene, opens),
        reads_partly=frozenset(partly),
        writes=frozenset(relation for entry in duty.insert for relation in _named(scene, entry)),
        becomes=frozenset(roles.customer_role(scene.database, each) for each in scene.customers)
        if duty.becomes
        else frozenset(),
        calls=frozenset({*duty.execute, *(f"access.{function}" for function in SHARING_FUNCTIONS)}),
    )


def _shown(scene: Scene, opens: frozenset[str]) -> frozenset[str]:
    """The relations that readers of these groups may read."""
    of_marts = frozenset(
        relation
        for mart in scene.all_marts
        if mart.group in opens
        for relation in shown_in(mart)
        if relation in scene.relations
    )
    return of_marts | {view for view, group in scene.shared.items() if group in opens}


def _named(scene: Scene, entry: str) -> set[str]:
    """The relations that an entry of the role matrix names."""
    schema, name, _ = split(entry)
    if name == "*":
        return {
            relation
            for relation in scene.relations
            if relation.startswith(f"{schema}.") and relation not in scene.sequences
        }
    return {f"{schema}.{name}"} & set(scene.relations)


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
        (name_of(mart), _of_mart(scene, attacker, mart))
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
    others = [customer for customer in scene.holders(mart) if customer != attacker.own]
    names = {
        "mart": name_of(mart),
        "table": table_of(mart),
        "row": "q",
        "table_row": _row_of(mart, attacker.own),
        "anothers": str(scene.anothers.get((attacker.own, mart.name), 0)),
        "day": mart.day or "",
    }
    return names | {"other": str(others[0])} if others else names


def _is_aimed_at(mart: Mart, attacker: Attacker, aim: Aim) -> bool:
    """Whether a mart is a target of an attack. A duty attacks all marts."""
    if mart.group == "usage" or (aim == "dated mart" and not mart.day):
        return False
    is_open = mart.group in attacker.opens or not attacker.customer
    return is_open != (aim == "closed mart")


def _names(scene: Scene, attacker: Attacker) -> dict[str, str]:
    """The texts to fill into an attack's SQL that don't depend on its target."""
    other = next((customer for customer in scene.customers if customer != attacker.own), 0)
    return {
        "database": scene.database,
        "owner": scene.owner,
        "floor": scene.floor,
        "role": attacker.role,
        "own": str(attacker.own),
        "other": str(other),
        "other_role": roles.customer_role(scene.database, other) if other else scene.owner,
        "any_mart": table_of(scene.marts[0]) if scene.marts else "registry.customer",
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
