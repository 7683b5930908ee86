"""How those who watch are told what is at work, and how much of it is finished."""

from collections.abc import Callable

OnStep = Callable[[str, str, int, int], None]  # stage, item, finished, of
OnItem = Callable[[str, int, int], None]  # item, finished, of
OnCustomer = Callable[[int, int, int], None]  # customer, finished, of


def by_customer(on_step: OnStep, stage: str) -> OnCustomer:
    """What is told of the customers of a stage."""
    return lambda customer, finished, of: on_step(stage, f"customer {customer}", finished, of)


def quietly(*step: object, **named: object) -> None:
    """Progress that nobody watches."""
