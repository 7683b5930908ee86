"""What can be reckoned of a customer from sums over all, by linear programming. It knows nothing of the suppression.

The attacker knows every number that shows and who is in it, may be a customer who knows its own part, and takes each
customer's use for steady: as often in each number that it is in at all. That is the worst case: where use changes from
month to month, one number says little of another. That a number does not show is not used here. It says that it would
have told something of somebody; test_usage_attacks.py shows that other numbers would not have shown either.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

MANY = 10


@dataclass(frozen=True)
class Shown:
    """A number, and the customers who are in it."""

    total: int
    customers: Collection[int]


def confined(numbers: Collection[Shown], uses: Mapping[int, int], insider: int) -> Iterator[str]:
    """What is known more narrowly than the rules allow.

    To an outsider a part is less than half, so it can be nothing and can be twice as much. To an insider two parts are
    less than 85 %, so that the other can be 0.3 of itself less or more: 15 % are left beside one of less than half. And
    ten customers are in whatever sum or difference is known.
    """
    for known, slack in (({}, 1.0), ({insider: uses[insider]}, 0.3)):
        for who, (least, most) in intervals(numbers, known).items():
            if least > (1 - slack) * uses[who] + 1e-6 or most < (1 + slack) * uses[who] - 1e-6:
                yield f"{uses[who]} of customer {who} is {least:.1f} to {most:.1f} to who knows {list(known)}"
    if (fewest := fewest_apart(numbers)) < MANY:
        yield f"a sum of {fewest} customers is known"


def intervals(numbers: Collection[Shown], known: Mapping[int, int]) -> dict[int, tuple[float, float]]:
    """The least and the most that each part can be, given all numbers and some of the parts."""
    from scipy.optimize import linprog  # each worker imports this module, and one runs its test

    customers = sorted({who for number in numbers for who in number.customers} - known.keys())
    sums = _sums(numbers, customers)
    totals = [number.total - sum(known.get(who, 0) for who in number.customers) for number in numbers]
    found = {}
    for at, who in enumerate(customers):
        goal = np.eye(len(customers))[at]
        least, most = (linprog(sign * goal, A_eq=sums, b_eq=totals) for sign in (1, -1))
        assert (least.status, most.status) == (0, 0), (least.message, most.message)
        found[who] = (least.fun, -most.fun)
    return found


def fewest_apart(numbers: Collection[Shown]) -> int:
    """How few customers are in a sum or difference of numbers, with any weights: the fewest that is found by making the
    others' weights as small as they can be. There may be fewer still.
    """
    from scipy.optimize import linprog

    customers = sorted({who for number in numbers for who in number.customers})
    # Those who are in the same numbers have the same weight.
    kinds, of_kind = np.unique(_sums(numbers, customers).T, axis=0, return_counts=True)
    number_of_kinds, columns = kinds.shape
    # The numbers' weights, then those of the kinds, signs aside.
    sizes = -np.eye(number_of_kinds)
    at_least = np.vstack([np.hstack([kinds, sizes]), np.hstack([-kinds, sizes])])
    fewest = len(customers)
    for kind in kinds:
        solved = linprog(
            np.concatenate([np.zeros(columns), of_kind]),
            at_least,
            np.zeros(2 * number_of_kinds),
            [[*kind, *np.zeros(number_of_kinds)]],
            [1],
            bounds=[(None, None)] * columns + [(0, None)] * number_of_kinds,
        )
        assert solved.status == 0, solved.message
        fewest = min(fewest, int(of_kind[solved.x[columns:] > 1e-7].sum()))
    return fewest


def _sums(numbers: Collection[Shown], customers: Collection[int]) -> np.ndarray:
    """A row a number, a column a customer: whether it is in it."""
    sums: np.ndarray = np.array([[float(who in number.customers) for who in customers] for number in numbers])
    return sums
