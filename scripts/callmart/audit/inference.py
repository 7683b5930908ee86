"""Tests what a customer can infer about others without seeing a row: from plans, from estimates, and from time.

Some customers query each mart, and together they use all contexts. That is enough, because the protection of a mart is
the same for all customers. What customers may read besides the marts is queried by one of them. As a control, each way
is also tried on a scratch relation that is known to leak.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import psycopg

from callmart.access.rights import shown_in
from callmart.audit import besides, planner, scratch, timed
from callmart.audit.channels import session_of
from callmart.audit.check import Check
from callmart.audit.scene import Attacker, Scene, attackers
from callmart.base import sql_file
from callmart.base.errors import kind
from callmart.base.progress import OnStep
from callmart.base.settings import Settings
from callmart.declarations.mart import Mart

SQL = sql_file.statements(__file__)

ASKERS = len(planner.CONTEXTS)  # customers per mart; if there are fewer, some use several contexts
ATTEMPTS = 3  # at a control by time: other programs can disturb it

AREA = "what can be inferred"


@dataclass(frozen=True)
class Place:
    """A relation that a customer reads, and the secrets of others that it must not learn there."""

    relation: str
    types: Mapping[str, str]  # of the columns that are also columns of the mart's table
    nullable: Sequence[str]  # those of these columns that can be null
    within: str  # a condition for the rows: those of one month, if the mart has days
    secrets: Sequence[planner.Secret]


def place(
    connection: psycopg.Connection, mart: Mart, relation: str, asker: int, within: str = "true"
) -> Place | None:
    """Look up a relation and secrets in it, as the owner. None if no other customer has rows there. Queries have to
    read the rows that meet `within`, and no others: there the asker may have what is a secret here.
    """
    columns = connection.execute(
        SQL["columns"], {"relation": relation, "table": mart.table, "day": mart.day or ""}
    ).fetchall()
    types = {name: type for name, type, _ in columns}
    secrets = planner.secrets(connection, mart.table, types, asker, within)
    if not secrets:
        return None
    return Place(relation, types, [name for name, _, nullable in columns if nullable], within, secrets)


def last_month(connection: psycopg.Connection, mart: Mart, asker: int) -> str:
    """A condition for the last month in which others have rows. Without it, queries would read two years."""
    if not mart.day:
        return "true"
    ((first, end),) = connection.execute(
        f"""
        select month::date::text, (month + interval '1 month')::date::text
        from (
            select date_trunc('month', max("{mart.day}")) as month from {mart.table} where customer_id <> {asker}
        ) as last
        """
    ).fetchall()
    return f"m.\"{mart.day}\" >= '{first}' and m.\"{mart.day}\" < '{end}'" if first else "true"


def asked(scene: Scene) -> dict[Attacker, list[tuple[Mart, str]]]:
    """Which customers query which relations: per mart the first that have rows and may read it."""
    customers = [attacker for attacker in attackers(scene) if attacker.customer]
    found: dict[Attacker, list[tuple[Mart, str]]] = defaultdict(list)
    for mart in scene.all_marts:
        readers = (
            one for one in customers if mart.group in one.opens and one.own in scene.holders[mart.name]
        )
        for attacker in islice(readers, ASKERS):
            found[attacker] += [
                (mart, relation) for relation in shown_in(mart) if relation in scene.relations
            ]
    return found


def checks(owner: psycopg.Connection, settings: Settings, scene: Scene, on_step: OnStep) -> Iterator[Check]:
    """Run all queries and the controls: one check per way. The owner's connection must be in autocommit mode."""
    looked_at: Counter[str] = Counter()
    found: dict[str, list[str]] = defaultdict(list)
    turns: Counter[str] = Counter()
    askers = asked(scene)
    readers = Counter(relation for relations in askers.values() for _, relation in relations)
    for number, (attacker, relations) in enumerate(askers.items()):
        on_step("infer", attacker.name, number, len(askers))
        with session_of(settings, attacker) as session:
            if session is None:
                continue  # the check of logins reports it
            for mart, relation in relations:
                contexts = list(planner.CONTEXTS)[turns[relation] :: readers[relation]]
                is_first = turns[relation] == 0
                turns[relation] += 1
                for way, tried, told in _ask(owner, session, mart, relation, attacker, contexts, is_first):
                    looked_at[way] += tried
                    found[way] += (f"{attacker.name}, {relation}: {one}" for one in told)
    for one in besides.besides(owner, settings, scene):
        with session_of(settings, one.asker) as session:
            for way, tried, told in _ask_besides(session, one) if session else ():
                looked_at[way] += tried
                found[way] += (f"{one.asker.name}, {one.relation}: {each}" for each in told)
    on_step("infer", "", len(askers), len(askers))
    proven = _controls(owner)
    for way, name in WAYS.items():
        # If no two customers have rows in the same mart, there is nothing to infer.
        yield Check.of(AREA, name, looked_at[way] * proven[way], found[way], applies=bool(askers))


def _ask(
    owner: psycopg.Connection,
    session: psycopg.Connection,
    mart: Mart,
    relation: str,
    attacker: Attacker,
    contexts: Sequence[str],
    is_first: bool,
) -> Iterator[tuple[str, int, list[str]]]:
    """Query a relation as a customer: per way, how much was looked at, and what it told. The first customer looks at
    estimates and time, too, which are the same for all.
    """
    where = place(owner, mart, relation, attacker.own, last_month(owner, mart, attacker.own))
    if where is None:
        return
    yield "plans", *planner.oracle(session, relation, where.secrets, contexts, where.within)
    if is_first:
        samples = planner.samples(owner, mart.table, where.types, attacker.own)
        yield "estimates", *planner.estimates(session, relation, samples)
        yield "estimates", *planner.nulls(session, relation, where.nullable)
        leaked = timed.tells(session, relation, where.secrets, where.within)
        yield "time", 1, ["a comparison"] * leaked


def _ask_besides(session: psycopg.Connection, where: besides.Besides) -> Iterator[tuple[str, int, list[str]]]:
    """Query a relation besides the marts as its asker, as `_ask` does a mart."""
    try:
        secrets = where.secrets(session)
    except psycopg.Error as error:
        yield "plans", 0, [f"it can't be read ({kind(error)})"]
        return
    if secrets:
        yield "plans", *planner.oracle(session, where.relation, secrets)
        nobodys = planner.with_nobodys(secrets, where.asker.own)
        yield "estimates", *planner.estimates(session, where.relation, nobodys)
        leaked = timed.tells(session, where.relation, secrets)
        yield "time", 1, ["a comparison"] * leaked


WAYS = {
    "plans": "no plan reveals whether a condition is true for another customer's row, in any shape and context",
    "estimates": "EXPLAIN's estimate for a value is the same whether another customer has it or nobody",
    "time": f"no query takes longer for another customer's value than for nobody's (at most"
    f" {timed.PAIRS} pairs each, and {timed.FALSE_ALARMS:.0e} false alarms)",
}  # fmt: skip


def _controls(owner: psycopg.Connection) -> dict[str, bool]:
    """Whether each way finds the leak in a leaking relation, and none in the same relation with our protection."""

    def leaks(protection: scratch.Protection, ask: Callable[[str], bool], *, sampled: bool = False) -> bool:
        with scratch.relation(owner, protection, sampled=sampled) as source:
            return ask(source)

    def by_plan(source: str) -> bool:
        return bool(planner.oracle(owner, source, scratch.SECRETS)[1])

    def by_plan_of_a_union(source: str) -> bool:
        """In a union each of them tells any secret. To name all that they tell would take seconds."""
        return bool(planner.oracle(owner, source, scratch.SECRETS[:1], ["union all"])[1])

    def by_estimate(source: str) -> bool:
        return bool(planner.estimates(owner, source, scratch.SECRETS)[1])

    def by_time(source: str) -> bool:
        return any(timed.tells(owner, source, scratch.SECRETS) for _ in range(ATTEMPTS))

    return {
        "plans": all(leaks(each, by_plan_of_a_union) for each in scratch.LEAKING.values())
        and not leaks(scratch.OURS, by_plan),
        "estimates": leaks(scratch.OURS, by_estimate, sampled=True) and not leaks(scratch.OURS, by_estimate),
        "time": leaks(scratch.DEAR, by_time),
    }
