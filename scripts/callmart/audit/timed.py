"""What the time tells that a question takes: pairs of questions that differ in one value, asked by turns.

Told apart are they when the median of the paired ratios is surely more than LEAST from 1. Its confidence interval
comes from the order of the ratios alone, whatever their distribution; another process that slows some pairs changes
nothing. The false-alarm rate of a comparison is at most FALSE_ALARMS.
"""

import time
from math import comb

import psycopg

from callmart.audit.planner import SEQUENTIAL, Secret

PAIRS = 200
LEAST = 1.05
FALSE_ALARMS = 1e-6
LONG_ENOUGH = 0.001  # seconds; shorter questions say more of the client than of the server
MOST_LOOPS = 100_000


def _rank() -> int:
    """How many of the ratios may lie on the other side of the interval's end."""
    tail, rank = 0.0, 0
    while (tail := tail + comb(PAIRS, rank) / 2**PAIRS) <= FALSE_ALARMS / 2:
        rank += 1
    return rank


RANK = _rank()


def tells(session: psycopg.Connection, source: str, secret: Secret, within: str = "true") -> bool:
    """Whether a value of another customer makes a question last longer or shorter than a value of nobody."""
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
    """How long a question takes in which each row is met so often."""
    question = f"select count(*) from generate_series(1, {loops}) as g left join {source} as m on {condition}"
    begin = time.perf_counter()
    session.execute(question)
    return time.perf_counter() - begin
