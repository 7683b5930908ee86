"""Parses the lines of each text format into rows. All values are text."""

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from callmart.base import sql_file
from callmart.base.raw_format import COLUMNS
from callmart.land.formats import CEL_COLUMNS, LOG_COLUMNS, REALTIME_COLUMNS
from callmart.land.source import Source

SQL = sql_file.statements(__file__)

_WELL_QUOTED = r'^("([^"]|"")*"|[^",]*)(,("([^"]|"")*"|[^",]*))*$'


def csv(source: Source, blocks: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """Yield the rows of a CSV file, with the column names of its header. Quoting is as in RFC 4180, but every row is
    one line. A line that isn't CSV, or has the wrong number of columns, is rejected.
    """
    names = source.header or CEL_COLUMNS
    header_read = source.header is None
    for block in blocks:
        lines = block
        if not header_read and lines.num_rows:
            header_read = True
            source.tally.rows -= 1
            lines = lines.slice(1)
        # An open quote would swallow the lines after it, and a lone CR would split a line.
        if pc.any(pc.match_substring_regex(lines["text"], '[\r"]')).as_py():
            well_quoted = pc.and_not(
                pc.match_substring_regex(lines["text"], _WELL_QUOTED),
                pc.match_substring(lines["text"], "\r"),
            )
            source.tally.reject(
                lines.filter(pc.invert(well_quoted))["line_number"],
                "the line is not CSV: quotes are open or in the wrong place",
            )
            lines = lines.filter(well_quoted)
        if lines.num_rows:
            yield _parse_csv(source, names, lines.combine_chunks())


def _parse_csv(source: Source, header: tuple[str, ...], lines: pa.Table) -> pa.Table:
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
    numbers = lines["line_number"]
    if wrong:
        positions = pa.array(wrong, pa.int64())
        than = "the header" if source.header else "a channel event log"
        source.tally.reject(numbers.take(positions), f"the line has more or fewer columns than {than}")
        right = pc.invert(pc.is_in(pa.arange(0, lines.num_rows), value_set=positions))
        numbers = numbers.filter(right)
    return table.add_column(0, "line_number", numbers)


def ndjson(source: Source, blocks: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """Yield the rows of JSON objects. A line with an unknown key, a repeated key or a nested value is rejected."""
    paths = [f"$.{column}" for column in COLUMNS]
    values = ", ".join(f"fields[{position}] as {column}" for position, column in enumerate(COLUMNS, start=1))
    for block in blocks:
        source.connection.register("block", block)
        rows = source.connection.sql(
            SQL["ndjson"].format(values=values),
            params={"paths": paths, "columns": list(COLUMNS)},
        ).to_arrow_table()
        source.connection.unregister("block")
        yield _without_faults(source, rows)


def queue_log(source: Source, blocks: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """Yield the rows of a queue_log file, by LOG_COLUMNS. `data` holds the parameters, joined with |."""
    for block in blocks:
        source.connection.register("block", block)
        rows = source.connection.sql(SQL["queue_log"]).to_arrow_table()
        source.connection.unregister("block")
        yield _without_faults(source, rows)


def log_of_realtime(table: pa.Table) -> pa.Table:
    """Return the rows of the realtime table with the columns of the file (LOG_COLUMNS)."""
    data = pc.binary_join_element_wise(
        *(table[f"data{position}"] for position in range(1, 6)),
        "|",
        null_handling="replace",
        null_replacement="",
    )
    columns = [table["line_number"], *(table[name] for name in REALTIME_COLUMNS[:5]), data]
    return pa.table(columns, names=["line_number", *LOG_COLUMNS])


def _without_faults(source: Source, rows: pa.Table) -> pa.Table:
    """The rows without a `fault`. The others are rejected."""
    faulty = rows.filter(pc.is_valid(rows["fault"]))
    source.tally.reject(faulty["line_number"], faulty["fault"])
    return rows.filter(pc.is_null(rows["fault"])).drop_columns("fault")
