"""The scene of the attacks: who attacks, the customers and the duties, and what there is in the database to get."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import psycopg

from callmart.access import roles
from callmart.access.rights import POLICY_FUNCTIONS, SCHEMAS, SHARING_FUNCTIONS, STATISTIC, shared, shown_in
from callmart.base import sql_file
from callmart.base.matrix import USAGE, Duty, matrix, split
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

    @cached_property
    def holders(self) -> Mapping[str, list[int]]:
        """The customers that have rows in a mart, by mart."""
        found = defaultdict(list)
        for customer, mart in sorted(self.rows):
            found[mart].append(customer)
        return found


def scene_of(connection: psycopg.Connection, settings: Settings) -> Scene:
    """Look up the targets in the database, as the owner or a superuser."""
    owner, database, floor = connection.execute(
        SQL["database"], {"time_zone": settings.time_zone}
    ).fetchall()[0]
    relations = connection.execute(SQL["relations"], {"schemas": list(SCHEMAS)}).fetchall()
    names = {name for name, *_ in relations}
    marts = tuple(mart for mart in (*dbt_project.marts(settings), STATISTIC) if mart.shown_as in names)
    left = tuple(mart for mart in mart_tables.undeclared(connection, marts) if mart.shown_as in names)
    of_customers = [mart for mart in (*marts, *left) if mart.group != USAGE]
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
        f"select customer_id, count(*) from {mart.table} {kept} group by 1"
    ):
        yield (customer, mart.name), count


def _anothers(connection: psycopg.Connection, mart: Mart, customer: int) -> int | None:
    """The hash of a row that another customer has and this one does not, with this customer's number in it."""
    row = f"hashtextextended({row_of(mart, customer)}::text, 0)"
    found = connection.execute(
        f"select * from (select {row} from {mart.table} as q where customer_id <> {customer} limit 100) as others"
        f" except select {row} from {mart.table} as q where customer_id = {customer} limit 1"
    ).fetchone()
    return found[0] if found else None


def row_of(mart: Mart, customer: int) -> str:
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
