"""The register of requests: who may do what, in which order, and what stays in the log."""

import pytest

from callmart.base.errors import UserError
from requests_of_persons import Desk


def test_smoke(desk: Desk) -> None:
    number = desk.open(1, "p@EEN.example")
    desk.bring(number, "closed")
    print(desk.logged(number))
    with pytest.raises(UserError) as e:
        desk.open(1, "r@een.example")
    print(e.value)
