"""Writes .hyper files, and proves them before they may be published."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psycopg
from tableauhyperapi import escape_string_literal

from callmart.base import sql_file
from callmart.base.errors import UserError
from callmart.declarations.data_through import THROUGH
from callmart.declarations.mart import Mart
from callmart.extract.reading import ALL, Part, parts_of, stream
from callmart.tableau_files import fields, hyper

SQL = sql_file.statements(__file__)


class Unproven(UserError):
    """A file that could not be made, or failed its checks. The earlier file stays."""

    customer_id: int | None = None


class OtherCustomers(Unproven):
    """A file that had rows of another customer."""


def opened_rows(owner: psycopg.Connection, customer_id: int) -> Mapping[str, int]:
    """How many rows of each mart were opened for a customer."""
    return dict(owner.execute(SQL["opened_rows"], {"customer": customer_id}).fetchall())


class Draft:
    """A file of a customer, under another name until it is proven."""

    def __init__(self, path: Path, customer_id: int, marts: Sequence[Mart], parts: Sequence[Part]) -> None:
        self.path = path.with_suffix(".new.hyper")
        self._customer_id = customer_id
        self._marts, self._parts = marts, parts

    def write(self, arrow: Path, earlier: Path, oldest: str | None) -> None:
        """Write the parts from their Arrow streams, and the other months, from the oldest day on, from the earlier
        file. Raises HyperException if Hyper can't.
        """
        with hyper.written(self.path) as file:
            file.catalog.create_schema(hyper.SCHEMA)
            for mart in self._marts:
                table = _table(self.path.stem, mart)
                columns = ", ".join(
                    f'"{column}" {fields.type_of(mart, column).hyper}' for column in mart.columns
                )
                file.execute_command(f"create table {table} ({columns})")
                for part in parts_of(mart, self._parts):
                    rows = escape_string_literal(str(stream(arrow, mart, part)))
                    file.execute_command(f"copy {table} from {rows} with (format => 'arrowstream')")
            if ALL not in self._parts:
                self._keep(file, earlier, oldest)
        self.path.chmod(0o600)

    def _keep(self, file: Any, earlier: Path, oldest: str | None) -> None:
        """Copy the rows of the earlier file that stay."""
        hyper.attach(file, earlier, "earlier")
        for mart in self._marts:
            if mart.day and oldest:
                replaced = self._was_read(mart)
                columns = ", ".join(f'"{column}"' for column in mart.columns)
                file.execute_command(
                    f"insert into {_table(self.path.stem, mart)} ({columns})"
                    f" select {columns} from {_table('earlier', mart)}"
                    f" where \"{mart.day}\" >= date '{oldest}' and not ({replaced})"
                )

    def _was_read(self, mart: Mart) -> str:
        """The condition of the rows that were read from the mart."""
        return " or ".join(part.condition(mart.day) for part in parts_of(mart, self._parts)) or "false"

    def prove(self, owner: psycopg.Connection, opened: Mapping[str, int]) -> None:
        """Open the file again and check it. Raises Unproven if it has rows of another customer, not as many of a mart
        as were `opened`, other sums than the mart in the parts that were read, or another last open day.
        """
        asked = " union all ".join(self._asked(owner, mart) for mart in self._marts)
        answers = {name: answer for name, *answer in hyper.rows(self.path, asked)}
        for mart in self._marts:
            own, rows, same = answers[mart.name]
            if mart is THROUGH:
                if (own, rows, same) != (1, 1, True):
                    raise self._broken("does not say how far the data goes")
            elif own != rows:
                raise OtherCustomers(
                    f"the extract of customer {self._customer_id} had rows of another customer in {mart.name}: "
                    "it was deleted; run `callmart audit` before anything else"
                )
            elif rows != (wanted := opened.get(mart.name, 0)):
                raise self._broken(f"has {rows} rows of {mart.name} where {wanted} were opened")
            elif not same:
                raise self._broken(f"does not have the same sums as mart.{mart.name}")

    def has_same_rows(self, file: Path) -> bool:
        """Return whether another file has the same columns and rows, in whatever order."""
        with hyper.opened(file) as opened:
            hyper.attach(opened, self.path, "draft")
            for mart in self._marts:
                if sorted(hyper.columns(opened, "file", mart.name)) != sorted(mart.columns):
                    return False
                columns = ", ".join(f'"{column}"' for column in mart.columns)
                one, other = (f"select {columns} from {_table(name, mart)}" for name in ("file", "draft"))
                differing = f"({one} except all {other}) union all ({other} except all {one})"
                if opened.execute_scalar_query(f"select count(*) from ({differing}) as differing"):
                    return False
        return True

    def _asked(self, owner: psycopg.Connection, mart: Mart) -> str:
        """The query for a table's name, how many of its rows are this customer's, how many it has, and whether it is
        right about what was read. For all tables it is asked at once: Hyper compiles each query.
        """
        expected = self._through(owner) if mart is THROUGH else self._sums(owner, mart)
        same = " and ".join(f"{what} is not distinct from {value}" for what, value in expected.items())
        table = f'"{hyper.SCHEMA}"."{mart.name}"'
        return (
            f"select '{mart.name}', held.*, read.* from"
            f" (select count(case when customer_id = {self._customer_id} then 1 end), count(*) from {table}) as held,"
            f" (select {same} from {table} where {self._was_read(mart)}) as read"
        )

    def _sums(self, owner: psycopg.Connection, mart: Mart) -> dict[str, Any]:
        """The sums of the parts that were read in the mart's table, read without the customers' policy."""
        summed = [column for column in mart.additive if fields.type_of(mart, column).tableau == "integer"]
        sums = ["count(*)", *(f'sum("{column}")' for column in summed)]
        kept = f' and "{mart.day}" >= access.retention_floor()' if mart.day else ""
        row = owner.execute(
            f'select {", ".join(sums)} from store."{mart.name}"'
            f" where customer_id = %s and ({self._was_read(mart)}){kept}",
            [self._customer_id],
        ).fetchone()
        assert row is not None
        return {what: "null" if value is None else value for what, value in zip(sums, row, strict=True)}

    def _through(self, owner: psycopg.Connection) -> dict[str, Any]:
        """What the one row says of how far the data goes."""
        through = owner.execute(SQL["through"], {"customer": self._customer_id}).fetchone() or (None, None)
        return {
            f"max({column})": f"{kind} '{value}'" if value else "null"
            for column, kind, value in zip(("through", "so_far"), ("date", "timestamp"), through, strict=True)
        }

    def _broken(self, wrong: str) -> Unproven:
        return Unproven(
            f"the extract of customer {self._customer_id} {wrong}: it was deleted; "
            "run `callmart run` again, and if it stays so read docs/runbook.md"
        )


def _table(database: str, mart: Mart) -> str:
    return f'"{database}"."{hyper.SCHEMA}"."{mart.name}"'
