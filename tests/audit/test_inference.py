"""Nothing of others can be inferred: by plans, estimates, time, questions made at random, or plans that are kept."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from random import Random

import psycopg
import pytest

from callmart.access import logins, roles
from callmart.audit import generated, inference, planner, scratch, timed
from callmart.audit.scene import scene_of
from callmart.base.progress import quietly
from callmart.database import embedded_server, server
from callmart_home import Callmart
from centre import ANONYMOUS, NAMED, STANDARD, WITH_DATA, queue_of


@pytest.fixture(scope="module")
def owner(played: Callmart) -> Iterator[psycopg.Connection]:
    with server.connect(played.settings, autocommit=True) as connection:
        yield connection


# -- what the audit asks ---------------------------------------------------------------------------------------------


def test_nothing_can_be_inferred(played: Callmart, owner: psycopg.Connection) -> None:
    scene = scene_of(owner, played.settings)
    checks = list(inference.checks(owner, played.settings, scene, quietly))
    assert [check.outcome for check in checks] == ["holds"] * 3, checks
    plans, estimates, time = (check.looked_at for check in checks)
    assert plans > 400 < estimates
    assert time >= 11


def test_all_that_customers_read_is_asked_in_every_context(
    played: Callmart, owner: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = scene_of(owner, played.settings)
    seen: dict[str, list[str]] = {}

    def note(
        _: object,
        relation: str,
        secrets: list[planner.Secret],
        contexts: Iterable[str] = tuple(planner.CONTEXTS),
        __: str = "true",
    ) -> tuple[int, list[str]]:
        seen.setdefault(relation, []).extend(contexts)
        assert secrets
        return 1, ["queue by comparison"] * (relation == "mart.queue_label")

    monkeypatch.setattr(planner, "oracle", note)
    monkeypatch.setattr(planner, "estimates", lambda *_: (1, []))
    monkeypatch.setattr(inference, "_controls", lambda _: dict.fromkeys(inference.WAYS, True))
    monkeypatch.setattr(timed, "tells", lambda *_: False)
    plans, *_ = inference.checks(owner, played.settings, scene, quietly)
    assert [plans.outcome, *plans.found] == [
        "BREACH",
        f"customer {NAMED}, mart.queue_label: queue by comparison",
    ]
    granted = owner.execute(
        "select oid::regclass::text from pg_class where relnamespace = 'mart'::regnamespace and relkind = 'v'"
        " and has_table_privilege(%s, oid, 'select')",
        [roles.customer_role(embedded_server.DATABASE, NAMED)],
    ).fetchall()
    without_rows = {"mart.holiday", "mart.opening_hours", "mart.held_back_day", "mart.line_label"}
    assert seen.keys() == {name for (name,) in granted} - without_rows
    assert all(sorted(contexts) == sorted(planner.CONTEXTS) for contexts in seen.values())


@pytest.mark.parametrize("name", scratch.LEAKING)
def test_what_leaked_before_is_found_out_by_plans(owner: psycopg.Connection, name: str) -> None:
    with scratch.relation(owner, scratch.LEAKING[name]) as source:
        looked_at, found = planner.oracle(owner, source, scratch.SECRETS)
    assert looked_at == len(planner.CONTEXTS) * sum(len(secret.conditions()) for secret in scratch.SECRETS)
    shapes = {one.split(" by ")[1].split(",")[0] for one in found}
    contexts = {one.rsplit(", ", 1)[1] for one in found}
    free = {"array subscript", "NULL test", "boolean test", "jsonb subscript"}
    if name == "bounds only":
        assert shapes >= free | {"= any", ">= any"} and contexts == set(planner.CONTEXTS)
    else:
        assert shapes == free and contexts == {"union all"}


def test_what_costs_more_than_a_comparison_is_found_out_by_any_shape(owner: psycopg.Connection) -> None:
    with scratch.relation(owner, scratch.DEAR) as source:
        looked_at, found = planner.oracle(owner, source, scratch.SECRETS)
        assert len(found) == looked_at > 50
        assert any(timed.tells(owner, source, scratch.SECRETS) for _ in range(inference.ATTEMPTS))


def test_ours_differs_by_the_protection_alone(owner: psycopg.Connection) -> None:
    with scratch.relation(owner, scratch.OURS) as source:
        assert planner.oracle(owner, source, scratch.SECRETS)[1] == []
        assert planner.estimates(owner, source, scratch.SECRETS)[1] == []
        assert not timed.tells(owner, source, scratch.SECRETS)


def test_samples_are_found_out_by_estimates(owner: psycopg.Connection) -> None:
    with scratch.relation(owner, scratch.OURS, sampled=True) as source:
        _, found = planner.estimates(owner, source, scratch.SECRETS)
        assert {one.split(" by ")[0] for one in found} == {secret.column for secret in scratch.SECRETS}


def test_a_question_that_is_refused_proves_nothing(played: Callmart, owner: psycopg.Connection) -> None:
    with played.connect(STANDARD) as customer:
        secret = planner.Secret("agent_key", "text", "a", "b", "a", "b")
        assert planner.oracle(customer, "mart.agent_day", [secret]) == (0, [])
        assert planner.estimates(customer, "mart.agent_day", [secret]) == (0, [])


def test_a_control_that_tells_nothing_fails_the_check(
    played: Callmart, owner: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inference, "asked", lambda *_: {})
    monkeypatch.setitem(scratch.LEAKING, "a plain view", scratch.OURS)
    monkeypatch.setattr(scratch, "DEAR", scratch.OURS)
    assert inference._controls(owner) == {"plans": False, "estimates": True, "time": False}


def test_the_scratch_relations_are_gone(owner: psycopg.Connection) -> None:
    with scratch.relation(owner, scratch.OURS):
        pass
    assert owner.execute("select to_regclass('pg_temp.audited_rows')").fetchall() == [(None,)]


def test_nothing_that_is_found_holds_a_value(owner: psycopg.Connection) -> None:
    with scratch.relation(owner, scratch.DEAR) as source:
        found = planner.oracle(owner, source, scratch.SECRETS)[1]
        place = generated.Place(owner, source, scratch.TYPES, scratch.SECRETS, "scratch")
        found += generated.put(1, 50, [place]).found
    for secret in scratch.SECRETS:
        assert found and not any(secret.there in one or secret.nowhere in one for one in found)


MUTANTS = {
    "no barrier": "alter view mart.queue_interval set (security_barrier = false)",
    "a policy that is dearer": "alter policy own_rows on store.queue_interval_{month} using"
    " (customer_id = access.current_customer() and call_date >= access.retention_floor());"
    " alter policy own_rows on store.queue_interval using"
    " (customer_id = access.current_customer() and call_date >= access.retention_floor())",
    "a function that is not folded": "alter function access.own() stable",
}


# A policy that takes its time, behind no barrier.
SLOW = (
    "alter view mart.queue_interval set (security_barrier = false);"
    " alter policy own_rows on store.queue_interval"
    " using (customer_id = substring(current_user::text from '[0-9]+$')::integer)"
)


def test_a_mart_that_answers_slower_is_found_out(played: Callmart, owner: psycopg.Connection) -> None:
    with as_customer(played, owner, SLOW) as (customer, where):
        assert any(
            timed.tells(customer, where.relation, where.secrets, where.within)
            for _ in range(inference.ATTEMPTS)
        )


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_wall_that_is_taken_down_is_found_out(
    played: Callmart, owner: psycopg.Connection, mutant: str
) -> None:
    with as_customer(played, owner, MUTANTS[mutant]) as (customer, where):
        assert planner.oracle(customer, where.relation, where.secrets, within=where.within)[1]


@contextmanager
def as_customer(
    played: Callmart, owner: psycopg.Connection, mutant: str
) -> Iterator[tuple[psycopg.Connection, inference.Place]]:
    """A customer on the mart itself, within a transaction in which its protection was changed."""
    mart = next(mart for mart in scene_of(owner, played.settings).marts if mart.name == "queue_interval")
    where = inference.place(
        owner, mart, "mart.queue_interval", NAMED, inference.last_month(owner, mart, NAMED)
    )
    ((month,),) = owner.execute(
        "select to_char(max(call_date), 'YYYYMM') from store.queue_interval"
    ).fetchall()
    assert where
    with played.superuser() as superuser:
        superuser.execute(mutant.replace("{month}", month))
        superuser.execute(
            roles.statement("set local role {}", roles.customer_role(embedded_server.DATABASE, NAMED))
        )
        yield superuser, where
        superuser.rollback()


@pytest.mark.parametrize("leaks", [True, False])
def test_chance_is_not_taken_for_a_leak_nor_hides_one(leaks: bool, seed: int) -> None:
    """Parallel workers share the rows by chance: any of a hundred answers can come."""
    random = Random(seed)

    def ask(question: str) -> str:
        return f"{question if leaks else ''}{random.randrange(100)}"

    outcomes = {planner.told_apart(ask, ("there", "nowhere")) for _ in range(50)}
    assert outcomes == {"leaked" if leaks else "silent"}


# -- questions made at random ----------------------------------------------------------------------------------------

# A leak of the kinds that there were is found by one of 50. Before a release, 10,000 are asked.
QUESTIONS = 500


@pytest.mark.thorough
def test_no_question_made_at_random_tells_anything(
    played: Callmart, owner: psycopg.Connection, seed: int
) -> None:
    """With the seed, `python -m callmart.audit.generated` asks the same again."""
    with generated.places(owner, played.settings) as places:
        assert len(places) > 20
        outcome = generated.put(seed, QUESTIONS, places)
    assert outcome.found == [], seed
    assert outcome.counts["refused"] < QUESTIONS / 5
    assert outcome.counts["silent"] > QUESTIONS / 2


@pytest.mark.parametrize("name", scratch.LEAKING)
def test_as_many_find_out_what_leaks(owner: psycopg.Connection, seed: int, name: str) -> None:
    assert generated.control(owner, scratch.LEAKING[name], seed, QUESTIONS).found, seed


def test_a_seed_makes_the_same_questions_again(owner: psycopg.Connection) -> None:
    place = generated.Place(owner, "mart", scratch.TYPES, scratch.SECRETS)

    def first(seed: int) -> list[generated.Question]:
        return [
            question for _, (_, question) in zip(range(50), generated.questions(seed, [place]), strict=False)
        ]

    assert first(1) == first(1) != first(2)


# -- one session of many roles ---------------------------------------------------------------------------------------

# Ways of asking for the queues of a mart, which name their customer; each is made once, and used as each customer.
FUNCTION = "create function pg_temp.asked() returns setof text"
MADE_ONCE = {
    "prepared": "prepare asked as {query}",
    "prepared with a parameter": "prepare asked (text) as {query} and queue <> $1",
    "an SQL function with a string body": f"{FUNCTION} language sql as $${{query}}$$",
    "a function that begins atomic": f"{FUNCTION} begin atomic {{query}}; end",
    "a stable function": f"{FUNCTION} language sql stable as $${{query}}$$",
    "plpgsql": f"{FUNCTION} language plpgsql as $$ begin return query {{query}}; end $$",
    "plpgsql by a loop": f"{FUNCTION} language plpgsql as $$ declare q text;"
    " begin for q in {query} loop return next q; end loop; end $$",
    "a view": "create view pg_temp.asked with (security_invoker) as {query}",
}
QUERIES = (
    "select queue from mart.queue_interval as m where true",
    "select queue from (select * from mart.queue_interval offset 0) as m where true",
    "select queue from (select * from mart.queue_interval union all select * from mart.queue_interval) as m where true",
    "select m.queue from mart.queue_interval as m join mart.queue_day as d using (call_date, queue) where true",
    "select queue from mart.queue_interval as m where customer_id = access.current_customer()",
    "select queue from mart.queue_ratios as m where true",
)


def asked(way: str) -> str:
    if way.startswith("prepared"):
        return "execute asked ('nothing')" if "parameter" in way else "execute asked"
    return "select * from pg_temp.asked" if way == "a view" else "select * from pg_temp.asked()"


@pytest.fixture(scope="module")
def publisher(played: Callmart) -> Iterator[psycopg.Connection]:
    """The publisher, who may make temporary things, as on a server that is not the embedded one."""
    with psycopg.connect(
        host=str(embedded_server.start(played.home)),
        user="postgres",
        dbname=embedded_server.DATABASE,
        autocommit=True,
    ) as superuser:
        superuser.execute("grant temporary on database callmart to public")
        superuser.execute("alter event trigger refuse_definitions disable")
        with logins.connect(played.settings, "publisher") as session:
            session.autocommit = True
            session.execute("set default_transaction_read_only = off")
            yield session
        superuser.execute("revoke temporary on database callmart from public")
        superuser.execute("alter event trigger refuse_definitions enable")


def become(session: psycopg.Connection, customer: int) -> None:
    session.execute(roles.statement("set role {}", roles.customer_role(embedded_server.DATABASE, customer)))


def turns(random: Random) -> list[int]:
    """Each customer some times, in any order."""
    return random.sample([*WITH_DATA] * 4, 4 * len(WITH_DATA))


@pytest.mark.parametrize("mode", ["auto", "force_generic_plan", "force_custom_plan"])
@pytest.mark.parametrize("way", MADE_ONCE)
def test_a_plan_is_of_the_role_that_runs_it(publisher: psycopg.Connection, way: str, mode: str) -> None:
    """Who one is stands in the plan as a constant: none may outlive a change of role, or it shows another's rows."""
    random = Random(f"{way} {mode}")
    for query in QUERIES:
        publisher.execute("reset role")
        with publisher.transaction(force_rollback=True):
            publisher.execute(f"set local plan_cache_mode = {mode}")
            become(publisher, random.choice(WITH_DATA))
            publisher.execute("deallocate all")
            publisher.execute(MADE_ONCE[way].format(query=query))
            if way == "a view":
                publisher.execute("grant select on pg_temp.asked to public")
            for customer in turns(random):
                become(publisher, customer)
                rows = publisher.execute(asked(way)).fetchall()
                assert {queue for (queue,) in rows} == {queue_of(customer)}, (query, customer)


def test_in_a_pipeline_each_statement_is_of_its_role(publisher: psycopg.Connection) -> None:
    customers = turns(Random(1))
    for query in QUERIES:
        cursors = []
        with publisher.pipeline():
            for customer in customers:
                become(publisher, customer)
                cursors.append(publisher.cursor())
                cursors[-1].execute(query, prepare=True)
        for customer, cursor in zip(customers, cursors, strict=True):
            assert {queue for (queue,) in cursor.fetchall()} == {queue_of(customer)}, (query, customer)


def test_a_cursor_shows_the_rows_of_who_declared_it(publisher: psycopg.Connection) -> None:
    """So it is closed before a role changes: PostgreSQL keeps what it stands for."""
    with publisher.transaction(force_rollback=True):
        become(publisher, NAMED)
        publisher.execute(f"declare asked cursor for {QUERIES[0]}")
        become(publisher, ANONYMOUS)
        assert publisher.execute("fetch 1 from asked").fetchall() == [(queue_of(NAMED),)]
        publisher.execute("close asked")
        publisher.execute(f"declare asked cursor for {QUERIES[0]}")
        assert publisher.execute("fetch 1 from asked").fetchall() == [(queue_of(ANONYMOUS),)]
