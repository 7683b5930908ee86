"""An argument of an expectation that Great Expectations can't take."""

import pytest

from callmart.base.errors import UserError
from callmart.declarations.mart import Mart
from callmart.validate import suites


def test_an_argument_of_the_wrong_type_is_said_in_a_sentence_with_the_file() -> None:
    mart = Mart(name="queue_day", group="queue", key=("customer_id",), day="call_date", declared=())
    kwargs = {"column": "wait_max_s", "max_value": "many"}
    wrong = {"type": "expect_column_values_to_be_between", "severity": "warning", "kwargs": kwargs}
    with pytest.raises(UserError) as error:
        suites._suite(mart, [wrong])
    assert str(error.value) == (
        "expectations/queue_day.yml: expect_column_values_to_be_between can't take what kwargs say for max_value; "
        "correct it there"
    )
