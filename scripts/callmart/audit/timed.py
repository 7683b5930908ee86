"""Tests whether the time that a query takes reveals a value. Two queries that differ in one value run in turns.

The time reveals the value if the median ratio of their times is certainly further from 1 than LEAST. The confidence
interval of the median uses only the order of the ratios, so it needs no assumption about their distribution, and some
pairs that another process slowed down don't matter. A comparison gives a false alarm with probability FALSE_ALARMS at
most.
"""

import time
from math import comb

import psycopg

from callmart.audit.planner import SEQUENTIAL, Secret

PAIRS = 200
LEAST = 1.05
FALSE_ALARMS = 1e-6
LONG_ENOUGH = 0.001  # seconds; the time of a shorter query depends more on the client than on the server
MOST_LOOPS = 100_000


def _rank() -> int:
    """How many of the sorted ratios are outside the confidence interval at each end."""
    tail, rank = 0.0, 0
    while (tail := tail + comb(PAIRS, rank) / 2**PAIRS) <= FALSE_ALARMS / 2:
        rank += 1
    return rank


RANK = _rank()


def tells(session: psycopg.Connection, source: str, secret: Secret, within: str = "true") -> bool:
    """Whether queries take longer or shorter for another customer's value than for a value that nobody has."""
    there, nowhere = secret.conditions()["comparison"]
    pair = f"{there} and {within}", f"{nowhere} and {within}"
    with session.transaction(force_rollback=True):
        for name, value in SEQUENTIAL.items():
            session.execute(f"set local {name} = {value}")
        loops = 1
        while _seconds(session, source, pair[1], loops) < LONG_ENOUGH and loops < MOST_LOOPS:
            loops *= 2
        ratios = []
        for number in range(PAIRS):
            order = 1 if number % 2 else -1
            seconds = [_seconds(session, source, condition, loops) for condition in pair[::order]][::order]
            ratios.append(seconds[0] / seconds[1])
    ratios.sort()
    return ratios[RANK] > LEAST or ratios[-1 - RANK] < 1 / LEAST


def _seconds(session: psycopg.Connection, source: str, condition: str, loops: int) -> float:
    """The time of a query that evaluates the condition `loops` times per row."""
    question = f"select count(*) from generate_series(1, {loops}) as g left join {source} as m on {condition}"
    begin = time.perf_counter()
    session.execute(question)
    return time.perf_counter() - begin
