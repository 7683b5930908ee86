"""Audits that leave out what takes most of their time, for tests that are about something else."""

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

from callmart.audit import attacking, inference, recomputed
from callmart.audit.attacks import ATTACKS
from callmart.audit.attacks.attack import Aim
from callmart.audit.check import Check
from callmart_home import Callmart


@contextmanager
def infers_nothing(*instead: Check) -> Iterator[None]:
    """The audit asks nothing of plans, estimates and times, and computes no day anew: test_inference and
    test_recomputed do. It has these checks instead.
    """
    computed = Check("quality", recomputed.NAME, 1, 0)
    with (
        patch.object(inference, "checks", lambda *_: instead),
        patch.object(recomputed, "of_days", lambda *_: computed),
    ):
        yield


@contextmanager
def attacks_at(*aims: Aim) -> Iterator[None]:
    """The audit makes only the attacks that have these aims. Most of the time of all goes into writing to each table as
    each login.
    """
    with patch.object(attacking, "ATTACKS", [attack for attack in ATTACKS if attack.aim in aims]):
        yield


@contextmanager
def attacks_of(*families: str) -> Iterator[None]:
    """The audit makes only the attacks of these families."""
    with patch.object(attacking, "ATTACKS", [attack for attack in ATTACKS if attack.family in families]):
        yield


@contextmanager
def attacks_nothing() -> Iterator[None]:
    """The audit looks, and neither attacks nor infers."""
    with attacks_at(), infers_nothing():
        yield


@contextmanager
def done(callmart: Callmart, change: str, undo: str) -> Iterator[None]:
    """A change by the superuser, and its end."""
    for statement in (change, undo):
        with callmart.superuser() as superuser:
            superuser.execute(statement)
        if statement == change:
            yield
