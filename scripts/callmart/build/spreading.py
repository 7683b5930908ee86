"""Computes the window at several places at once, some customers at each: on the nodes of a cluster, where their events
are, or in several sessions of one server.

The models are computed there as dbt compiled them, on a node with shards in the place of events and calls. What else
they read is small: the customers' rows are copied to the place, and our functions with them. All of that is temporary
and never committed, so a place keeps nothing. Only the rows of marts come back, and what their suites look at, into the
tables of `build` where dbt computes them. What follows on a build is the same.
"""

import os
import re
from collections import Counter, defaultdict
from collections.abc import Container, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing, suppress
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from threading import Event, Lock

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from callmart.base import sql_file
from callmart.base.errors import UserError, is_disk_full, kind, mistake_in_sql
from callmart.base.progress import OnItem
from callmart.base.settings import PROJECT, Settings
from callmart.database import cluster, lock, server
from callmart.database.cluster import Place
from callmart.database.piping import pipe
from callmart.declarations import dbt_project, expectations
from callmart.declarations.dbt_project import Compiled
from callmart.declarations.mart import Mart

SQL = sql_file.statements(__file__)

LARGE = tuple(f"source.callmart.{table}" for table in cluster.DISTRIBUTED)  # dbt's ids
# A day that only another mart's reach brought into the window has not changed here.
NOT_REACHED = (
    ' where not exists (select 1 from build."window" as w where w.reached and w.customer_id = model.customer_id'
    " and w.call_date = model.{day})"
)
OURS = "access|build|ops|privacy|raw|registry|store"  # schemas

# As in macros/window/settings_to_compute.sql and macros/store/window.sql.
TO_COMPUTE = (
    "set local work_mem = '64MB'; set local enable_mergejoin = off; set local default_statistics_target = 10"
)
MANY_CALLS = 100_000  # with fewer, a place costs more to begin than it gains
MOST_OF_ONE = 1.5  # times an equal share: with more at one place, the others have soon nothing to do
MOST_SESSIONS = 8  # of one server, each with memory for its sorts
ELSEWHERE = 2  # sessions of a server on another machine, whose cores we don't know


@dataclass(frozen=True)
class Plan:
    """What is computed at places: models, each after those that it reads. The rows of the `returning` come back, and
    dbt leaves the `inner` out.
    """

    models: tuple[Compiled, ...]
    marts: Mapping[str, Mart]  # those of them that are marts, by name
    returning: tuple[str, ...]
    inner: tuple[str, ...]


def run(
    connection: psycopg.Connection,
    settings: Settings,
    marts: Sequence[Mart],
    places: Sequence[Place],
    on_model: OnItem,
) -> list[Compiled]:
    """As `dbt_project.run`: what reads events is computed at these places, then dbt computes what is left. Commits."""
    compiled = dbt_project.compiled_models(settings)
    planned = plan(compiled, marts, _checked(marts))
    compute(connection, planned, places)
    dbt_project.run(settings, on_model, without=planned.inner, computed=planned.returning)
    return compiled


def places(connection: psycopg.Connection, settings: Settings) -> list[Place]:
    """Where to compute the window. Nowhere, if dbt is to compute it: a window of few calls, or one in which a customer
    has most of them.
    """
    if cluster.is_coordinator(connection):
        return cluster.places(connection, [customer for (customer,) in connection.execute(SQL["customers"])])
    calls: dict[int, int] = dict(connection.execute(SQL["calls"]).fetchall())
    if sum(calls.values()) < MANY_CALLS:
        return []
    sessions = ELSEWHERE if settings.dsn else min(os.cpu_count() or 1, MOST_SESSIONS)
    return [Place(None, (), customers) for customers in split(calls, sessions)]


def split(calls: Mapping[int, int], number: int) -> list[tuple[int, ...]]:
    """Split customers into at most `number` groups with nearly as many calls each: into fewer where a customer has more
    than such a part. No groups if that is impossible.
    """
    number = min(number, len(calls))
    if number < 2:
        return []
    groups: list[list[int]] = [[] for _ in range(number)]
    loads = [0] * number
    for customer in sorted(calls, key=lambda one: -calls[one]):
        least = loads.index(min(loads))
        groups[least].append(customer)
        loads[least] += calls[customer]
    if max(loads) * number > MOST_OF_ONE * sum(loads):
        return split(calls, number - 1)
    return [tuple(group) for group in groups]


def plan(compiled: Sequence[Compiled], marts: Sequence[Mart], checked: Container[str]) -> Plan:
    """Plan which models are computed at places: those that read events or calls other than through a mart, and what
    these read. The rows of marts come back, and of the models that are `checked`.

    Raises UserError if one of them also reads a mart's history, which a place doesn't have.
    """
    by_id = {model.model: model for model in compiled}
    by_name = {mart.name: mart for mart in marts}
    graph = {name: model.reads for name, model in by_id.items()}
    ordered = [by_id[name] for name in TopologicalSorter(graph).static_order() if name in by_id]
    passing = {*LARGE}  # who reads one of these reads events
    spread: set[str] = set()
    for model in ordered:
        if not passing.isdisjoint(model.reads):
            spread.add(model.model)
            if model.name not in by_name:
                passing.add(model.model)
    other_marts = {model.model for model in ordered if model.name in by_name} - spread
    possible = [model for model in ordered if model.model not in other_marts]
    needed = {*spread}
    for model in reversed(possible):
        if model.model in needed:
            needed.update(model.reads)
    there = tuple(one for one in possible if one.model in needed)
    for model in there:
        if '"store".' in model.sql:
            raise UserError(
                f"model {model.name} reads events and a mart's history, so it can't be computed some customers at a "
                "time: let one model read the events, and another that one and the history"
            )
    returning = tuple(
        one.name for one in there if one.model in spread and (one.name in by_name or one.name in checked)
    )
    return Plan(
        there,
        {model.name: by_name[model.name] for model in there if model.name in by_name},
        returning,
        tuple(one.name for one in there if one.model in spread and one.name not in returning),
    )


def _checked(marts: Sequence[Mart]) -> set[str]:
    """The models that suites read."""
    entries = (entry for mart in marts for entry in expectations.added(mart))
    return {name for entry in entries for name in re.findall(r"\bbuild\.(\w+)", str(entry.kwargs))}


def compute(connection: psycopg.Connection, planned: Plan, places: Sequence[Place]) -> list[Counter[str]]:
    """Compute the window at places, into the tables of `build`. Commits. Returns how many rows of each model came from
    each node or session.

    Raises UserError if a node can't be reached, or a model fails; then it is computed again from the beginning.
    """
    for name in planned.returning:
        connection.execute(sql.SQL("drop table if exists {} cascade").format(sql.Identifier("build", name)))
    work = _Work(connection, planned, _carried(connection, planned))
    connection.commit()
    sessions = _sessions(places)
    with ThreadPoolExecutor(len(sessions)) as threads:
        computing = [threads.submit(_in_session, work, of_session) for of_session in sessions]
        try:
            for one in as_completed(computing):
                one.result()
        except BaseException:  # also Ctrl-C and SIGTERM
            work.end()
            raise
    return [one.result() for one in computing]


def _sessions(places: Sequence[Place]) -> list[list[Place]]:
    """The places that one session computes, one after the other: all of a node, or one of a server."""
    together = defaultdict[object, list[Place]](list)
    for place in places:
        together[place.node or place].append(place)
    return list(together.values())


@dataclass(frozen=True)
class _Carried:
    """What places get: relations with their columns, and the functions that models call."""

    relations: Mapping[str, str]  # per relation the columns with their types, as DDL
    by_customer: frozenset[str]  # those with a customer_id, of which only the place's customers are copied
    functions: tuple[str, ...]  # the statements that make them, each after those that it calls


def _carried(connection: psycopg.Connection, planned: Plan) -> _Carried:
    """Find what the models read besides events and calls, themselves and through our functions."""
    texts = [_without_database(model.sql, connection.info.dbname) for model in planned.models]
    own = {f"build.{model.name}" for model in planned.models} | {*cluster.DISTRIBUTED}
    functions: dict[str, str] = {}
    for text in texts:
        _add_functions(connection, text, functions)
    words = {
        f"{schema}.{name}"
        for text in (*texts, *functions.values())
        for schema, name in re.findall(rf"\b({OURS})\.(\w+)\b(?!\s*\()", text)
    }
    rows = connection.execute(SQL["columns"], {"relations": sorted(words - own)}).fetchall()
    return _Carried(
        {name: columns for name, columns, _ in rows},
        frozenset(name for name, _, has_customer in rows if has_customer),
        tuple(functions.values()),
    )


def _add_functions(connection: psycopg.Connection, text: str, functions: dict[str, str]) -> None:
    """Add the definitions of our functions that a text calls, each after those that it calls itself."""
    for schema, name in re.findall(rf"\b({OURS})\.(\w+)\s*\(", text):
        function = f"{schema}.{name}"
        if function in functions:
            continue
        found = connection.execute(SQL["definition"], {"schema": schema, "name": name}).fetchone()
        if found is None:  # a table with its columns
            continue
        functions[function] = ""  # it may call itself
        _add_functions(connection, found[0].partition(function)[2], functions)
        del functions[function]
        functions[function] = found[0]


@dataclass(frozen=True)
class _Work:
    """What all sessions have in common."""

    connection: psycopg.Connection
    planned: Plan
    carried: _Carried
    making: Lock = field(default_factory=Lock)  # of tables in `build`
    over: Event = field(default_factory=Event)  # one session has failed, or callmart is to end
    running: list[psycopg.Connection] = field(default_factory=list)

    def end(self) -> None:
        """End what all sessions do. Otherwise they would finish models that nobody waits for, or wait for a lock."""
        self.over.set()
        for session in self.running:
            with suppress(psycopg.Error):  # a server that is lost does nothing more
                session.cancel_safe()


def _in_session(work: _Work, places: Sequence[Place]) -> Counter[str]:
    """Compute places, one after the other. Returns the rows per model."""
    rows: Counter[str] = Counter()
    node = places[0].node
    with (
        _connected(work.connection) as own,
        # Closed without a commit or rollback: the server takes a while to drop what is left, and nobody waits.
        closing(cluster.connect(work.connection, node) if node else _connected(work.connection)) as there,
    ):
        own.autocommit = there.autocommit = False
        work.running.extend((own, there))
        for place in places:
            there.rollback()  # what the place before left
            rows += _at_place(own, there, place, work)
        own.commit()
    return rows


def _connected(connection: psycopg.Connection) -> psycopg.Connection:
    """Another connection of the same login. Raises UserError with the cause if there is none."""
    try:
        return lock.second(connection)
    except psycopg.OperationalError as error:
        raise UserError(f"a build of many calls has several sessions: {server.cause(error)}") from None


def _at_place(own: psycopg.Connection, there: psycopg.Connection, place: Place, work: _Work) -> Counter[str]:
    """Compute the models for the customers of a place. Returns the rows per model that came back."""
    planned, carried = work.planned, work.carried
    names = {relation: f'pg_temp."{relation}"' for relation in carried.relations}
    names |= {f"build.{model.name}": f'pg_temp."build.{model.name}"' for model in planned.models}
    names |= dict(place.shards)
    again = "run the same command again"
    step, remedy = "what the models read", again
    where = f" on the node {place.node} of the cluster" if place.node else ""
    rows: Counter[str] = Counter()
    try:
        there.execute(TO_COMPUTE)
        for relation, columns in carried.relations.items():
            if work.over.is_set():
                return rows
            _carry(
                own, there, relation, columns, place.customers if relation in carried.by_customer else None
            )
        for function in carried.functions:
            there.execute(_placed(function, names, own.info.dbname).encode())
        for model in planned.models:
            if work.over.is_set():
                return rows
            step = f"model {model.name}"
            remedy = f"run `dbt run --select +{model.name}` in {PROJECT} to see why"
            for statement in _statements(model, planned.marts.get(model.name), names, own.info.dbname):
                there.execute(statement.encode())
        for model in planned.models:
            if model.name in planned.returning:
                step, remedy = f"bringing back {model.name}", again
                rows[model.name] = _bring_back(own, there, model, work.making)
    except psycopg.Error as error:
        if there.closed or there.broken:
            raise UserError(
                f"the server{where} broke off while it computed: if it is not running, start it; then {again}"
            ) from None
        if is_disk_full(error):
            remedy = f"make room, then {again}"
        raise UserError(f"{step} failed{where} ({mistake_in_sql(error) or kind(error)}): {remedy}") from None
    return rows


def _carry(
    own: psycopg.Connection,
    there: psycopg.Connection,
    relation: str,
    columns: str,
    customers: Sequence[int] | None,
) -> None:
    """Copy a relation into a temporary table of a place: all its rows, or those of customers."""
    there.execute(f'create temporary table "{relation}" ({columns})'.encode())
    query = sql.SQL("select * from {}").format(sql.Identifier(*relation.split(".")))
    if customers is not None:
        query += sql.SQL(" where customer_id = any({}::integer[])").format(list(customers))
    pipe(own, query, there, sql.Identifier("pg_temp", relation))
    there.execute(f'analyze pg_temp."{relation}"'.encode())


def _statements(model: Compiled, mart: Mart | None, names: Mapping[str, str], database: str) -> Iterator[str]:
    """The statements that compute a model at a place, as the macros in macros/store do for dbt."""
    query, name = _placed(model.sql, names, database), f'"build.{model.name}"'
    if mart is None:
        yield f"create temporary {'view' if model.is_view else 'table'} {name} as {query}"
    else:
        columns = ", ".join(f'"{column}"' for column in mart.columns)
        of_window = ""
        if mart.day and not mart.reach_days:
            of_window = _placed(NOT_REACHED, names, database).format(day=mart.day)
        yield f"create temporary table {name} ({_columns(mart)})"
        yield f"insert into {name} ({columns}) select {columns} from ({query}) as model{of_window}"
    if not model.is_view:
        yield f"analyze {name}"


def _placed(text: str, names: Mapping[str, str], database: str) -> str:
    """A text of SQL with the relations of a place instead of the server's or the coordinator's, and with its own
    functions instead of ours.
    """
    text = _without_database(text, database)
    text = re.sub(rf"\b(?:{OURS})\.(\w+)(?=\s*\()", r"pg_temp.\1", text)
    return re.sub(
        rf'\b({OURS})\.(?:"(\w+)"|(\w+)\b)',
        lambda found: names.get(f"{found[1]}.{found[2] or found[3]}", found[0]),
        text,
    )


def _without_database(text: str, database: str) -> str:
    """A text of SQL that names our relations by their schema alone, as our functions do."""
    return re.sub(f'"{re.escape(database)}"."({OURS})"."(\\w+)"', r"\1.\2", text)


def _bring_back(own: psycopg.Connection, there: psycopg.Connection, model: Compiled, making: Lock) -> int:
    """Copy the rows of a model into its table in `build`, which the first place makes. Returns how many."""
    name = model.name
    ((columns,),) = there.execute(SQL["columns_there"], {"relation": f'pg_temp."build.{name}"'}).fetchall()
    with making:
        # As the macros of macros/store make it for dbt.
        own.execute(
            f'create unlogged table if not exists build."{name}" ({columns})'
            " with (autovacuum_enabled = false)".encode()
        )
        # At once: if the build breaks off here, no column is there that does not say it.
        own.execute(
            "select access.declare_persons(%s::regclass, %s)", [f'build."{name}"', Jsonb(dict(model.persons))]
        )
        own.commit()
    rows = sql.SQL("select * from {}").format(sql.Identifier("pg_temp", f"build.{name}"))
    return pipe(there, rows, own, sql.Identifier("build", name))


def _columns(mart: Mart) -> str:
    """The columns with their types, as DDL."""
    return ", ".join(f'"{column.name}" {column.data_type}' for column in mart.declared)
