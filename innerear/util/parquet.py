"""Read Parquet files that others made: what a small file promises is counted before it is unfolded."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from innerear.util.errors import InputError
from innerear.util.reading import regular

MOST_VALUES = 100_000_000
"""Values of all columns: those of some millions of outcomes."""
MOST_BYTES = 1 << 30
"""Bytes of the strings of a column once each is written out; a dictionary stores one of them once."""
Unreadable = (pa.ArrowException, OSError, ValueError, TypeError, KeyError)
"""What pyarrow and pandas raise of damaged files."""


def check_parquet(path: Path) -> pq.FileMetaData:
    """The metadata of a Parquet file that is no larger unfolded than it may be.

    Raises
    ------
    InputError
        If it is no regular file, or has too many values.
    `Unreadable`
        If it is damaged.
    """
    regular(path)
    metadata = pq.read_metadata(path)
    values = sum(column.num_values for column in _columns(metadata))
    if max(values, metadata.num_rows) > MOST_VALUES:
        raise InputError(f"{path}: it unfolds to {values:,} values, more than {MOST_VALUES:,}; split it")
    return metadata


def read_parquet(path: Path) -> pd.DataFrame:
    """A Parquet file of plain columns as a table; errors as `check_parquet`."""
    metadata = check_parquet(path)
    schema = metadata.schema.to_arrow_schema()
    doubtful: list[str] = []
    if _at_most(metadata) > MOST_BYTES:  # no string is longer than its column: most need no closer look
        if odd := next((field for field in schema if not _is_plain(field.type)), None):
            raise InputError(f"{path}: {odd.name!r} is of type {odd.type}; save it as text or numbers")
        doubtful = [field.name for field in schema if _is_text(field.type)]
    table = pq.ParquetFile(path, metadata=metadata, read_dictionary=doubtful).read(use_threads=False)
    for name in doubtful:
        column, at = table.column(name), schema.get_field_index(name)
        if _written_out(column) > MOST_BYTES:
            raise InputError(f"{path}: the strings of {name!r} unfold beyond {MOST_BYTES:,} bytes; split it")
        table = table.set_column(at, schema.field(at), column.cast(schema.field(at).type))
    made: pd.DataFrame = table.to_pandas()
    return made


def _is_plain(kind: pa.DataType) -> bool:
    """Whether a value takes a few bytes, or is a string of which there is one of each (a dictionary)."""
    return bool(pa.types.is_primitive(kind) or _is_text(kind) or pa.types.is_dictionary(kind))


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _at_most(metadata: pq.FileMetaData) -> int:
    """Bytes that all columns cannot exceed once each value is written out."""
    return sum(column.num_values * column.total_uncompressed_size for column in _columns(metadata))


def _columns(metadata: pq.FileMetaData) -> Iterator[pq.ColumnChunkMetaData]:
    for group in map(metadata.row_group, range(metadata.num_row_groups)):
        yield from map(group.column, range(group.num_columns))


def _written_out(column: pa.ChunkedArray) -> int:
    """Bytes of a column of strings once each is written out."""
    lengths = (pc.take(pc.binary_length(chunk.dictionary), chunk.indices) for chunk in column.chunks)
    return sum(pc.sum(pc.cast(each, pa.int64())).as_py() or 0 for each in lengths)
