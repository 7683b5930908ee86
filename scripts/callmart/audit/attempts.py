"""Who attacks what: the list of attacks, aimed at the marts, relations and roles that there are.

Used by the tests and by `callmart audit`, each with connections of its own.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import psycopg

from callmart.access import roles
from callmart.access.rights import POLICY_FUNCTIONS, SCHEMAS, STATISTIC, shown_in
from callmart.audit.attacks import ATTACKS, NOT_INSTALLED, Aim, Attack
from callmart.base import sql_file
from callmart.base.settings import Settings
from callmart.declarations import dbt_project, standing
from callmart.declarations.matrix import Duty, matrix, split

SQL = sql_file.statements(__file__)


@dataclass(frozen=True)
class Attacker:
    """Who attacks: a customer, or a duty, by its own login."""

    name: str
    role: str
    login: str  # its own, or where a customer has ordered none the publisher's, who becomes it
    own: int  # a duty's is the customer whose data it tries to get
    customer: bool
    opens: frozenset[str]  # mart groups
    reads: frozenset[str] = frozenset()  # relations
    reads_partly: frozenset[str] = frozenset()  # relations of which some columns
    writes: frozenset[str] = frozenset()
    becomes: frozenset[str] = frozenset()
    calls: frozenset[str] = frozenset()  # functions


@dataclass(frozen=True)
class Scene:
    """What stands in the database, for attacks to be aimed at."""

    database: str
    owner: str
    floor: str  # the oldest day that is kept, reckoned here and not by the function that the policies use
    marts: tuple[dbt_project.Mart, ...]
    relations: tuple[str, ...]
    sequences: frozenset[str]
    tables: dict[str, str]  # of each a column that can be written
    roles: tuple[str, ...]
    logins: frozenset[str]  # the roles that may log in
    customers: dict[int, str]  # the option of today
    anonymous: frozenset[int]  # those of them whose agents have no names
    rows: dict[tuple[int, str], int] = field(default_factory=dict)  # how many a customer may see of a mart
    anothers: dict[tuple[int, str], int] = field(default_factory=dict)  # the hash of a row that is another's
    left: tuple[dbt_project.Mart, ...] = ()  # what the project has taken out

    @property
    def standing(self) -> tuple[dbt_project.Mart, ...]:
        """All that a customer may read its rows in, and nobody else's."""
        return (*self.marts, *self.left)

    def holders(self, mart: dbt_project.Mart) -> list[int]:
        """The customers that have rows in a mart."""
        return sorted(customer for customer, name in self.rows if name == mart.name)


@dataclass(frozen=True)
class Attempt:
    """An attack by one attacker on one place, ready to run."""

    attack: Attack
    place: str
    sql: str
    control: str
    allowed: frozenset[object]


def name_of(mart: dbt_project.Mart) -> str:
    """A mart as its readers name it."""
    return f"{'usage' if mart.group == 'usage' else 'mart'}.{mart.name}"


def table_of(mart: dbt_project.Mart) -> str:
    """The table in which a mart's rows stand; its owner reads it, and none of the views."""
    return f"{'usage' if mart.group == 'usage' else 'store'}.{mart.name}"


# -- the scene -------------------------------------------------------------------------------------------------------


def scene(connection: psycopg.Connection, settings: Settings) -> Scene:
    """What stands in the database. Read as the owner, or as a superuser."""
    owner, database, floor = connection.execute(
        SQL["database"], {"time_zone": settings.time_zone}
    ).fetchall()[0]
    relations = connection.execute(SQL["relations"], {"schemas": list(SCHEMAS)}).fetchall()
    names = {name for name, *_ in relations}
    marts = tuple(mart for mart in (*dbt_project.marts(settings), STATISTIC) if name_of(mart) in names)
    left = tuple(mart for mart in standing.undeclared(connection, marts) if name_of(mart) in names)
    of_customers = [mart for mart in (*marts, *left) if mart.group != "usage"]
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
        customers=dict(
            connection.execute("select customer_id, option from registry.current_option order by 1")
        ),
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


def _rows(
    connection: psycopg.Connection, mart: dbt_project.Mart, floor: str
) -> Iterator[tuple[tuple[int, str], int]]:
    kept = f"where {mart.day} >= '{floor}'" if mart.day else ""
    for customer, count in connection.execute(
        f"select customer_id, count(*) from {table_of(mart)} {kept} group by 1"
    ):
        yield (customer, mart.name), count


def _anothers(connection: psycopg.Connection, mart: dbt_project.Mart, customer: int) -> int | None:
    """The hash of a row that another customer has and this one has not, as if it were this one's."""
    row = f"hashtextextended({_row_of(mart, customer)}::text, 0)"
    found = connection.execute(
        f"select * from (select {row} from {table_of(mart)} as q where customer_id <> {customer} limit 100) as others"
        f" except select {row} from {table_of(mart)} as q where customer_id = {customer} limit 1"
    ).fetchone()
    return found[0] if found else None


def _row_of(mart: dbt_project.Mart, customer: int) -> str:
    """A row of a mart's table, with another number."""
    columns = ("q." + column for column in mart.columns if column != "customer_id")
    return f"row({customer}, {', '.join(columns)})"


def attackers(scene: Scene) -> list[Attacker]:
    """Every customer with a contract, and every duty."""
    customers = [_customer(scene, customer, option) for customer, option in scene.customers.items()]
    return customers + [_duty(scene, name, duty) for name, duty in matrix().duties.items()]


def _customer(scene: Scene, customer: int, option: str) -> Attacker:
    opens = frozenset(roles.opens(option))
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
        calls=frozenset(duty.execute),
    )


def _shown(scene: Scene, opens: frozenset[str]) -> frozenset[str]:
    """The relations that the marts of these groups are seen in."""
    return frozenset(
        relation
        for mart in scene.standing
        if mart.group in opens
        for relation in shown_in(mart)
        if relation in scene.relations
    )


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
    """The attacks that an attacker can make, each on every place that it is aimed at."""
    for attack in attacks:
        if attack.kind == "look" and attack.aim != "server" and not attacker.customer:
            continue  # a duty has no rows of its own to look at: that it reads no mart is a reach
        if attack.aim in ("server", "role") and attacker.login != attacker.role:
            continue  # the publisher's own reach, which it tries as itself
        for place, names in _places(scene, attacker, attack.aim):
            filled = _names(scene, attacker) | names
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
    """What a look may show: none of the rows of a mart, or as many as are the attacker's own."""
    return frozenset({0, scene.rows.get((attacker.own, place.removeprefix("mart.")), 0)})


def _places(scene: Scene, attacker: Attacker, aim: Aim) -> list[tuple[str, dict[str, str]]]:
    """Where an attack is aimed: each place as the report names it, and what stands for it in SQL."""
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
        for mart in scene.standing
        if _is_aimed_at(mart, attacker, aim)
    ]


def _landed_for(scene: Scene, attacker: Attacker, aim: Aim) -> list[int]:
    """A customer of the kind that an attack at the doorway is about, where the attacker may land anything at all."""
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
    """The roles of all customers but the next one. Of all of them at once the attack `memberships` asks whether one
    could become them; that it is so is tried with one, since each with each is quadratic.
    """
    ids = sorted(scene.customers)
    following = next((customer for customer in ids if customer > attacker.own), min(ids, default=0))
    return {roles.customer_role(scene.database, customer) for customer in ids if customer != following}


def _of_mart(scene: Scene, attacker: Attacker, mart: dbt_project.Mart) -> dict[str, str]:
    """A mart, and another customer that has rows in it, where there is one."""
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


def _is_aimed_at(mart: dbt_project.Mart, attacker: Attacker, aim: Aim) -> bool:
    """Whether a mart is one that an attack is about; a duty tries its hand at all of them."""
    if mart.group == "usage" or (aim == "dated mart" and not mart.day):
        return False
    is_open = mart.group in attacker.opens or not attacker.customer
    return is_open != (aim == "closed mart")


def _names(scene: Scene, attacker: Attacker) -> dict[str, str]:
    """What the places in an attack's SQL stand for, whatever it is aimed at."""
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
        # The samples of what a duty may read are not hidden from it; a customer sees none, not even of its marts.
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
    """What an attack or its control met: how much it was shown, or how it was refused. Never a value."""

    shown: frozenset[object] = frozenset()
    refused: str | None = None  # SQLSTATE

    def withstood(self, attempt: Attempt) -> bool:
        """Whether an attacker that was answered so has got nothing."""
        if self.refused is not None:
            return self.refused in attempt.attack.refusals
        return attempt.attack.kind == "look" and self.shown <= attempt.allowed

    def absent(self) -> bool:
        """Whether what an attack needs is not on this server at all."""
        return self.refused in NOT_INSTALLED

    def proves(self, attempt: Attempt) -> bool:
        """Whether the owner that was answered so shows that there was something to get."""
        return self.refused is None and (attempt.attack.kind == "reach" or bool(self.shown - attempt.allowed))


# The errors that attacks raise where they have reached another's row.
BETRAYING = (psycopg.errors.DivisionByZero, psycopg.errors.InvalidTextRepresentation)


def make(connection: psycopg.Connection, statements: str, attack: Attack) -> Answer:
    """Run an attack or its control; nothing of it is kept."""
    told: list[str] = []

    def hear(notice: psycopg.errors.Diagnostic) -> None:
        told.append(notice.message_primary or "")

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
            return Answer(frozenset({sum(message.isdecimal() for message in told)}))
        case "error":
            return Answer()


def run(connection: psycopg.Connection, statements: str) -> set[object]:
    """The first column of what the last of several statements returns."""
    *first, last = statements.strip().rstrip(";").split(";\n")
    for statement in first:
        connection.execute(statement)
    with connection.cursor() as cursor:
        if re.match("copy .* to stdout", last):
            with cursor.copy(last) as copy:
                return {int(row[0]) for row in copy.rows() if row[0] is not None}
        cursor.execute(last)
        return {row[0] for row in cursor} if cursor.description else set()
