"""Parses the lines of each text format into rows. All values are text."""

from collections.abc import Iterator, Sequence

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from callmart.base import sql_file
from callmart.base.raw_format import COLUMNS, PLACE_SCHEMA
from callmart.land.formats import CEL_COLUMNS, LOG_COLUMNS, REALTIME_COLUMNS
from callmart.land.source import Source, Tally, reject

SQL = sql_file.statements(__file__)

_WELL_QUOTED = r'^("([^"]|"")*"|[^",]*)(,("([^"]|"")*"|[^",]*))*$'


def without_header(source: Source, blocks: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """Yield the lines of a CSV file without the first one, if that is a header."""
    header_read = source.header is None
    for block in blocks:
        lines = block
        if not header_read and lines.num_rows:
            header_read = True
            source.tally.rows -= 1
            lines = lines.slice(1)
        yield lines


def csv(sources: Sequence[Source], blocks: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """Yield the rows of CSV files that have the same header, with its column names. Quoting is as in RFC 4180, but
    every row is one line. A line that isn't CSV, or has the wrong number of columns, is rejected.
    """
    for block in blocks:
        lines = block
        # An open quote would swallow the lines after it, and a lone CR would split a line.
        if pc.any(pc.match_substring_regex(lines["text"], '[\r"]')).as_py():
            well_quoted = pc.and_not(
                pc.match_substring_regex(lines["text"], _WELL_QUOTED),
                pc.match_substring(lines["text"], "\r"),
            )
            reject(
                _tallies(sources),
                lines.filter(pc.invert(well_quoted)),
                "the line is not CSV: quotes are open or in the wrong place",
            )
            lines = lines.filter(well_quoted)
        if lines.num_rows:
            yield _parse_csv(sources, lines.combine_chunks())


def _parse_csv(sources: Sequence[Source], lines: pa.Table) -> pa.Table:
    header = sources[0].header or CEL_COLUMNS
    whole = pa.ListArray.from_arrays(pa.array([0, lines.num_rows], pa.int32()), lines["text"].chunk(0))
    text = pc.binary_join(whole, "\n")[0].as_buffer()
    wrong: list[int] = []

    def skip(row: pacsv.InvalidRow) -> str:
        wrong.append(row.number - 1)
        return "skip"

    table = pacsv.read_csv(
        pa.BufferReader(text),
        read_options=pacsv.ReadOptions(column_names=header, use_threads=False, block_size=text.size + 1),
        parse_options=pacsv.ParseOptions(invalid_row_handler=skip),
        convert_options=pacsv.ConvertOptions(
            column_types=dict.fromkeys(header, pa.string()),
            null_values=[""],
            strings_can_be_null=True,
            check_utf8=False,  # lines.blocks has checked it
        ),
    )
    if wrong:
        positions = pa.array(wrong, pa.int64())
        than = "the header" if sources[0].header else "a channel event log"
        reject(_tallies(sources), lines.take(positions), f"the line has more or fewer columns than {than}")
        lines = lines.filter(pc.invert(pc.is_in(pa.arange(0, lines.num_rows), value_set=positions)))
    for position, column in enumerate(PLACE_SCHEMA.names):
        table = table.add_column(position, column, lines[column])
    return table


def ndjson(
    connection: duckdb.DuckDBPyConnection, sources: Sequence[Source], blocks: Iterator[pa.Table]
) -> Iterator[pa.Table]:
    """Yield the rows of JSON objects. A line with an unknown key, a repeated key or a nested value is rejected."""
    paths = [f"$.{column}" for column in COLUMNS]
    values = ", ".join(f"fields[{position}] as {column}" for position, column in enumerate(COLUMNS, start=1))
    for block in blocks:
        connection.register("block", block)
        rows = connection.sql(
            SQL["ndjson"].format(values=values),
            params={"paths": paths, "columns": list(COLUMNS)},
        ).to_arrow_table()
        connection.unregister("block")
        yield _without_faults(sources, rows)


def queue_log(
    connection: duckdb.DuckDBPyConnection, sources: Sequence[Source], blocks: Iterator[pa.Table]
) -> Iterator[pa.Table]:
    """Yield the rows of queue_log files, by LOG_COLUMNS. `data` holds the parameters, joined with |."""
    for block in blocks:
        connection.register("block", block)
        rows = connection.sql(SQL["queue_log"]).to_arrow_table()
        connection.unregister("block")
        yield _without_faults(sources, rows)


def log_of_realtime(table: pa.Table) -> pa.Table:
    """Return the rows of the realtime table with the columns of the file (LOG_COLUMNS)."""
    data = pc.binary_join_element_wise(
        *(table[f"data{position}"] for position in range(1, 6)),
        "|",
        null_handling="replace",
        null_replacement="",
    )
    columns = [table[name] for name in (*PLACE_SCHEMA.names, *REALTIME_COLUMNS[:5])]
    return pa.table([*columns, data], names=[*PLACE_SCHEMA.names, *LOG_COLUMNS])


def _without_faults(sources: Sequence[Source], rows: pa.Table) -> pa.Table:
    """The rows without a `fault`. The others are rejected."""
    faulty = rows.filter(pc.is_valid(rows["fault"]))
    reject(_tallies(sources), faulty, faulty["fault"])
    return rows.filter(pc.is_null(rows["fault"])).drop_columns("fault")


def _tallies(sources: Sequence[Source]) -> dict[int, Tally]:
    return {source.number: source.tally for source in sources}
