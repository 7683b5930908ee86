"""How much the row groups of a Parquet file unpack to, by the heads of their pages.

The footer says so too, but nobody holds it to that: Arrow goes by the pages.
"""

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

_HEAD = 1 << 10  # bytes read of a page's head at first
_LONGEST_HEAD = 16 << 20  # bytes; Arrow reads no longer one
_LONGEST_INTEGER = 10  # bytes
_TYPE, _UNPACKED, _PACKED = 1, 2, 3  # fields of a head
_COUNTED_IN = {0: 5, 3: 8}  # by a page's type, the field with the number of its values
_VALUES = 1  # the field of that
_WIDTHS = {1: 0, 2: 0, 3: 1, 7: 8}  # of true, false, a byte and a fraction

Fields = dict[int, Any]


def unpacked(file: pa.NativeFile, metadata: pq.FileMetaData) -> Iterator[int]:
    """Yield the bytes that each row group unpacks to. Raises ValueError or OSError if a head can't be read."""
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        yield sum(_of_column(file, group.column(column)) for column in range(group.num_columns))


def _of_column(file: pa.NativeFile, column: pq.ColumnChunkMetaData) -> int:
    """The bytes that a column of a row group unpacks to: of those pages that Arrow reads."""
    at = min(column.dictionary_page_offset or column.data_page_offset, column.data_page_offset)
    end = at + column.total_compressed_size
    size = values = 0
    while at < end and values < column.num_values:
        head, length = _head(file, at, end)
        packed = _size(head, _PACKED)
        size += max(packed, _size(head, _UNPACKED))
        counted_in = _COUNTED_IN.get(_size(head, _TYPE))
        values += _size(head.get(counted_in, {}), _VALUES) if counted_in else 0
        at += length + packed
    return size


def _size(fields: Any, name: int) -> int:
    """A size among the fields. Raises ValueError if it is none that Arrow would read as the same."""
    found = fields.get(name) if isinstance(fields, dict) else None
    if type(found) is not int or not 0 <= found < 1 << 31:
        raise ValueError("a page's head has no such size")
    return found


def _head(file: pa.NativeFile, at: int, end: int) -> tuple[Fields, int]:
    """The head of the page at a place, and its length."""
    most = _HEAD
    while True:
        data = file.read_at(min(most, end - at), at)
        try:
            return _fields(data, 0)
        except IndexError:  # it is longer
            if len(data) < most or most >= _LONGEST_HEAD:
                raise ValueError("a page's head breaks off") from None
            most <<= 7
        except RecursionError:
            raise ValueError("a page's head has too many levels") from None


# -- Thrift's compact protocol, in which a head is written -----------------------------------------------------------


def _fields(data: bytes, at: int) -> tuple[Fields, int]:
    """The fields of a struct by their numbers, and where it ends. Raises IndexError if it breaks off."""
    found: Fields = {}
    number = 0
    while byte := data[at]:
        at += 1
        if byte >> 4:
            number += byte >> 4
        else:
            number, at = _integer(data, at)
        found[number], at = _value(byte & 15, data, at)
    return found, at + 1


def _value(kind: int, data: bytes, at: int) -> tuple[Any, int]:
    if kind in _WIDTHS:
        return None, at + _WIDTHS[kind]
    match kind:
        case 4 | 5 | 6:
            return _integer(data, at)
        case 8:
            length, at = _number(data, at)
            return None, at + length
        case 9 | 10:
            return _list(data, at)
        case 12:
            return _fields(data, at)
    raise ValueError("no head of a page has this")


def _list(data: bytes, at: int) -> tuple[None, int]:
    kind, length = data[at] & 15, data[at] >> 4
    at += 1
    if length == 15:
        length, at = _number(data, at)
    for _ in range(length):
        _, at = _value(3 if kind in (1, 2) else kind, data, at)
        if at > len(data):
            raise IndexError
    return None, at


def _integer(data: bytes, at: int) -> tuple[int, int]:
    number, at = _number(data, at)
    return number >> 1 ^ -(number & 1), at


def _number(data: bytes, at: int) -> tuple[int, int]:
    number = 0
    for shift in range(_LONGEST_INTEGER):
        byte = data[at + shift]
        number |= (byte & 127) << 7 * shift
        if byte < 128:
            return number, at + shift + 1
    raise ValueError("an integer is too long")
