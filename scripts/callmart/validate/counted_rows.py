"""`unexpected_rows_expectation` without the rows. Great Expectations' own runs its query twice: once to count the rows,
and once to fetch some of them. We want none: which days fail is asked later, and no row leaves the database.
"""

from typing import Any, ClassVar

from great_expectations.expectations.core import UnexpectedRowsExpectation

COUNT, ROWS = "unexpected_rows_query.row_count", "unexpected_rows_query.table"


class CountedRowsExpectation(UnexpectedRowsExpectation):  # type: ignore[misc]  # it has no types
    """No row answers the query, and if one does, only their number is known."""

    metric_dependencies: ClassVar[tuple[str, ...]] = (COUNT,)

    def _validate(self, metrics: dict[str, Any], *arguments: Any, **named: Any) -> Any:
        return super()._validate({COUNT: metrics[COUNT], ROWS: []}, *arguments, **named)
