"""Tests whether the time that a query takes reveals a value. Two queries that differ in one value run in turns.

The time reveals the value if the median ratio of their times is certainly further from 1 than LEAST. As soon as that is
certain, or that it is closer, no more pairs run. The confidence interval of the median uses only the order of the
ratios, so it needs no assumption about their distribution, and some pairs that another process slowed down don't
matter. A comparison gives a false alarm with probability FALSE_ALARMS at most.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from itertools import cycle, islice
from math import comb

import psycopg

from callmart.audit.planner import SEQUENTIAL, Secret

PAIRS, LOOKS = 200, 5  # at most; after a fifth of the pairs is the first look whether it is certain
LEAST = 1.05
FALSE_ALARMS = 1e-6
LONG_ENOUGH = 0.001  # seconds; the time of a shorter query depends more on the client than on the server
MOST_LOOPS = 100_000
NOBODYS = "\x7f"  # a character that no text of the registry or of raw data has


def _interval(ratios: Sequence[float]) -> tuple[float, float]:
    """The confidence interval of the median."""
    place, ordered = _place(len(ratios)), sorted(ratios)
    return ordered[place], ordered[-1 - place]


@cache
def _place(pairs: int) -> int:
    """Where among the sorted ratios the confidence interval begins; it ends as far from their end."""
    place, fewer = -1, 0.0  # the probability that so few ratios are below the median
    while (fewer := fewer + comb(pairs, place + 1) / 2**pairs) <= FALSE_ALARMS / LOOKS / 2:
        place += 1
    return place


def tells(session: psycopg.Connection, source: str, secrets: Sequence[Secret], within: str = "true") -> bool:
    """Whether queries take longer or shorter for another customer's value than for a value that nobody has. A text is
    asked for if there is one: mostly more rows have it than have a moment, and the reader's number is a constant.
    """
    secret = next((secret for secret in secrets if secret.type == "text"), secrets[-1])
    there, nowhere = _alike(secret).conditions()["comparison"]
    pair = f"{there} and {within}", f"{nowhere} and {within}"
    with session.transaction(force_rollback=True):
        for name, value in SEQUENTIAL.items():
            session.execute(f"set local {name} = {value}")
        loops = 1
        while _seconds(session, source, pair[1], loops) < LONG_ENOUGH and loops < MOST_LOOPS:
            loops *= 2
        more, ratios = _ratios(session, source, pair, loops), list[float]()
        for _ in range(LOOKS):
            ratios += islice(more, PAIRS // LOOKS)
            lowest, highest = _interval(ratios)
            if lowest > LEAST or highest < 1 / LEAST:
                return True
            if lowest > 1 / LEAST and highest < LEAST:
                return False
    return False


def _alike(secret: Secret) -> Secret:
    """With a text of nobody's that is as long as the other: PostgreSQL tells texts of different lengths apart sooner,
    also in the asker's own rows.
    """
    if secret.type != "text":
        return secret
    last = secret.there[-1:]
    return replace(secret, nowhere=secret.there[:-1] + NOBODYS * len(last.encode()))


def _ratios(session: psycopg.Connection, source: str, pair: tuple[str, str], loops: int) -> Iterator[float]:
    """Ratios of the times of two queries, without end. In turns, one or the other is the first."""
    for order in cycle((1, -1)):
        seconds = [_seconds(session, source, condition, loops) for condition in pair[::order]][::order]
        yield seconds[0] / seconds[1]


def _seconds(session: psycopg.Connection, source: str, condition: str, loops: int) -> float:
    """The time of a query that evaluates the condition `loops` times per row."""
    question = f"select count(*) from generate_series(1, {loops}) as g left join {source} as m on {condition}"
    begin = time.perf_counter()
    session.execute(question)
    return time.perf_counter() - begin
