"""What a customer can infer of others without being shown a row: by plans, by estimates, by the time that it takes.

Each mart is asked by some of the customers that read it, by all of them in all contexts together: what protects it is
the same for each. Each way is tried on a scratch relation first that is known to leak by it.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import psycopg

from callmart.access.rights import shown_in
from callmart.audit import planner, scratch, timed
from callmart.audit.attempts import Attacker, Scene, attackers, table_of
from callmart.audit.channels import log_in_as
from callmart.audit.check import Check, few
from callmart.base import sql_file
from callmart.base.settings import Settings
from callmart.declarations import dbt_project

SQL = sql_file.statements(__file__)

ASKERS = len(planner.CONTEXTS)  # of each mart; with fewer some ask in several contexts
ATTEMPTS = 3  # of a control by time, on a machine that has other things to do

AREA = "what can be inferred"


@dataclass(frozen=True)
class Place:
    """A relation that a customer reads, and what of others it must not learn there."""

    relation: str
    types: Mapping[str, str]  # of its columns that are columns of the table as well
    nullable: Sequence[str]  # those of them that can be empty
    within: str  # of its rows those of one month, where a mart has days
    secrets: Sequence[planner.Secret]


def place(connection: psycopg.Connection, mart: dbt_project.Mart, relation: str, asker: int) -> Place | None:
    """A relation as a customer may ask of it, looked up by the owner; None where nobody else has rows."""
    table, within = table_of(mart), "true"
    if mart.day:
        within = _last_month(connection, table, mart.day, asker)
    columns = connection.execute(
        SQL["columns"], {"relation": relation, "table": table, "day": mart.day or ""}
    ).fetchall()
    types = {name: type for name, type, _ in columns}
    secrets = planner.secrets(connection, table, types, asker, within)
    if not secrets:
        return None
    return Place(relation, types, [name for name, _, nullable in columns if nullable], within, secrets)


def _last_month(connection: psycopg.Connection, table: str, day: str, asker: int) -> str:
    """The condition that only the last month is asked for in which others have rows: a mart can have two years."""
    ((first, end),) = connection.execute(
        f"""
        select month::date::text, (month + interval '1 month')::date::text
        from (select date_trunc('month', max("{day}")) as month from {table} where customer_id <> {asker}) as last
        """
    ).fetchall()
    return f"m.\"{day}\" >= '{first}' and m.\"{day}\" < '{end}'" if first else "true"


def asked(scene: Scene, most: int = ASKERS) -> dict[Attacker, list[tuple[dbt_project.Mart, str]]]:
    """Which customers ask which relations: of each the first that have rows and may read it."""
    customers = [attacker for attacker in attackers(scene) if attacker.customer]
    found: dict[Attacker, list[tuple[dbt_project.Mart, str]]] = defaultdict(list)
    for mart in scene.marts:
        readers = (one for one in customers if mart.group in one.opens and one.own in scene.holders(mart))
        for attacker in islice(readers, most):
            found[attacker] += [
                (mart, relation) for relation in shown_in(mart) if relation in scene.relations
            ]
    return found


def checks(
    owner: psycopg.Connection, settings: Settings, scene: Scene, on_step: Callable[[str, str, int, int], None]
) -> Iterator[Check]:
    """Ask all, and the controls. The owner's connection is in autocommit."""
    tally = {way: ([0], list[str]()) for way in ("plans", "estimates", "time")}
    of_place: dict[str, int] = defaultdict(int)

    def count(way: str, attacker: Attacker, relation: str, looked_at: int, found: list[str]) -> None:
        tally[way][0][0] += looked_at
        tally[way][1].extend(f"{attacker.name}, {relation}: {one}" for one in found)

    askers = asked(scene)
    readers = {relation: sum(relation in {name for _, name in each} for each in askers.values())
               for relation in {name for each in askers.values() for _, name in each}}  # fmt: skip
    for number, (attacker, relations) in enumerate(askers.items()):
        on_step("infer", attacker.name, number, len(askers))
        try:
            session = log_in_as(settings, attacker)
        except psycopg.OperationalError:
            continue  # that a login is locked out is a check of its own
        with session:
            for mart, relation in relations:
                where = place(owner, mart, relation, attacker.own)
                turn = of_place[relation]
                of_place[relation] += 1
                if where is None:
                    continue
                contexts = list(planner.CONTEXTS)[turn :: readers[relation]]
                count(
                    "plans",
                    attacker,
                    relation,
                    *planner.oracle(session, relation, where.secrets, contexts, where.within),
                )
                if turn == 0:
                    samples = planner.samples(owner, table_of(mart), where.types, attacker.own)
                    count("estimates", attacker, relation, *planner.estimates(session, relation, samples))
                    count(
                        "estimates",
                        attacker,
                        relation,
                        *planner.nulls(session, relation, where.nullable),
                    )
                    told = timed.tells(session, relation, where.secrets[0], where.within)
                    count("time", attacker, relation, 1, ["a comparison"] * told)
    on_step("infer", "", len(askers), len(askers))
    proven = _controls(owner)
    for way, name in WAYS.items():
        (looked_at,), found = tally[way]
        # Where no two customers have a mart in common there is nothing to infer.
        yield Check(AREA, name, looked_at * proven[way], len(found), few(found), applies=bool(askers))


WAYS = {
    "plans": "no plan tells whether a condition holds for another customer's row, in any shape and context",
    "estimates": "what EXPLAIN expects of a value is the same whether another customer has it or nobody",
    "time": f"no question takes longer for another customer's value than for nobody's ({timed.PAIRS} pairs each,"
    f" at most {timed.FALSE_ALARMS:.0e} false alarms)",
}  # fmt: skip


def _controls(owner: psycopg.Connection) -> dict[str, bool]:
    """Whether each way finds a leak where there is one, and none in what differs from it by our protection alone."""

    def leaks(protection: scratch.Protection, ask: Callable[[str], bool], *, sampled: bool = False) -> bool:
        with scratch.relation(owner, protection, sampled=sampled) as source:
            return ask(source)

    def by_plan(source: str) -> bool:
        return bool(planner.oracle(owner, source, scratch.SECRETS)[1])

    def by_estimate(source: str) -> bool:
        return bool(planner.estimates(owner, source, scratch.SECRETS)[1])

    def by_time(source: str) -> bool:
        return any(timed.tells(owner, source, scratch.SECRETS[0]) for _ in range(ATTEMPTS))

    return {
        "plans": all(leaks(each, by_plan) for each in scratch.LEAKING.values())
        and not leaks(scratch.OURS, by_plan),
        "estimates": leaks(scratch.OURS, by_estimate, sampled=True) and not leaks(scratch.OURS, by_estimate),
        "time": leaks(scratch.DEAR, by_time),
    }
