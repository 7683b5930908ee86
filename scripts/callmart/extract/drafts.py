"""Writes .hyper files, and proves them before they may be published."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psycopg
from tableauhyperapi import HyperException, TableName, escape_name, escape_string_literal

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


class Foreign(Unproven):
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
        file. Raises Unproven if Hyper can't.
        """
        try:
            with hyper.written(self.path) as file:
                file.catalog.create_schema(hyper.SCHEMA)
                for mart in self._marts:
                    columns = ", ".join(
                        f"{escape_name(column)} {fields.type_of(mart, column).hyper}"
                        for column in mart.columns
                    )
                    file.execute_command(f"create table {self._table(mart)} ({columns})")
                    for part in parts_of(mart, self._parts):
                        rows = escape_string_literal(str(stream(arrow, mart, part)))
                        file.execute_command(
                            f"copy {self._table(mart)} from {rows} with (format => 'arrowstream')"
                        )
                if ALL not in self._parts:
                    self._keep(file, earlier, oldest)
        except HyperException as error:
            raise Unproven(
                f"Hyper could not write the extract of customer {self._customer_id} ({error.context_id!r}): "
                "check whether the disk is full, and run this again"
            ) from None
        self.path.chmod(0o600)

    def _keep(self, file: Any, earlier: Path, oldest: str | None) -> None:
        """Copy the rows of the earlier file that stay."""
        hyper.attach(file, earlier, "earlier")
        for mart in self._marts:
            if mart.day and oldest:
                replaced = self._read(mart)
                columns = ", ".join(str(escape_name(column)) for column in mart.columns)
                file.execute_command(
                    f"insert into {self._table(mart)} ({columns})"
                    f" select {columns} from {TableName('earlier', hyper.SCHEMA, mart.name)}"
                    f" where \"{mart.day}\" >= date '{oldest}' and not ({replaced})"
                )

    def _read(self, mart: Mart) -> str:
        """The condition of the rows that were read from the mart."""
        return " or ".join(part.condition(mart.day) for part in parts_of(mart, self._parts)) or "false"

    def _table(self, mart: Mart) -> TableName:
        return TableName(self.path.stem, hyper.SCHEMA, mart.name)

    def prove(self, owner: psycopg.Connection) -> None:
        """Open the file again and check it: it has rows of this customer only, as many as `open` recorded, in the parts
        that were read the same sums as the marts, and the last open day. Raises Unproven if not.
        """
        opened = opened_rows(owner, self._customer_id)
        with hyper.opened(self.path) as file:
            for mart in self._marts:
                if mart is not THROUGH:
                    self._prove_mart(owner, file, mart, opened.get(mart.name, 0))
            self._prove_through(owner, file)

    def _prove_mart(self, owner: psycopg.Connection, file: Any, mart: Mart, opened: int) -> None:
        table = TableName(hyper.SCHEMA, mart.name)
        read = self._read(mart)
        summed = [column for column in mart.additive if fields.type_of(mart, column).tableau == "integer"]
        sums = ", ".join(["count(*)", *(f'sum("{column}")' for column in summed)])
        ((own, rows),) = file.execute_list_query(
            f"select count(case when customer_id = {self._customer_id} then 1 end), count(*) from {table}"
        )
        if own != rows:
            raise Foreign(
                f"the extract of customer {self._customer_id} had rows of another customer in {mart.name}: "
                "it was deleted; run `callmart audit` before anything else"
            )
        if rows != opened:
            raise self._broken(f"has {rows} rows of {mart.name} where {opened} were opened")
        (totals,) = file.execute_list_query(f"select {sums} from {table} where {read}")
        if totals != self._totals(owner, mart, sums, read):
            raise self._broken(f"does not have the same sums as mart.{mart.name}")

    def _totals(self, owner: psycopg.Connection, mart: Mart, sums: str, read: str) -> list[Any]:
        """The same sums in the mart's table, read without the customers' policy."""
        kept = f' and "{mart.day}" >= access.retention_floor()' if mart.day else ""
        row = owner.execute(
            f'select {sums} from store."{mart.name}" where customer_id = %s and ({read}){kept}',
            [self._customer_id],
        ).fetchone()
        assert row is not None
        return list(row)

    def _prove_through(self, owner: psycopg.Connection, file: Any) -> None:
        """Check the row that says how far the data goes."""
        through = owner.execute(SQL["through"], {"customer": self._customer_id}).fetchone() or (None, None)
        day, moment = (
            f"{kind} '{value}'" if value else "null"
            for kind, value in zip(("date", "timestamp"), through, strict=True)
        )
        said = file.execute_list_query(
            f"select customer_id = {self._customer_id} and through is not distinct from {day}"
            f" and so_far is not distinct from {moment}"
            f" from {TableName(hyper.SCHEMA, THROUGH.name)}"
        )
        if said != [[True]]:
            raise self._broken("does not say how far the data goes")

    def _broken(self, wrong: str) -> Unproven:
        return Unproven(
            f"the extract of customer {self._customer_id} {wrong}: it was deleted; "
            "run `callmart run` again, and if it stays so read docs/runbook.md"
        )
