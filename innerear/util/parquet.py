"""Read Parquet files that others made: what a small file promises is counted before it is unfolded."""

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
    groups = (metadata.row_group(at) for at in range(metadata.num_row_groups))
    values = sum(group.column(at).num_values for group in groups for at in range(group.num_columns))
    if max(values, metadata.num_rows) > MOST_VALUES:
        raise InputError(f"{path}: it unfolds to {values:,} values, more than {MOST_VALUES:,}; split it")
    return metadata


def read_parquet(path: Path) -> pd.DataFrame:
    """A Parquet file of plain columns as a table; errors as `check_parquet`."""
    metadata = check_parquet(path)
    schema = metadata.schema.to_arrow_schema()
    texts = [field.name for field in schema if pa.types.is_string(field.type)]
    file = pq.ParquetFile(path, metadata=metadata, read_dictionary=texts)
    table = file.read(use_threads=False)  # these files are small
    for at, field in enumerate(schema):
        column = table.column(at)
        if pa.types.is_dictionary(column.type):
            if _written_out(column) > MOST_BYTES:
                raise InputError(f"{path}: the strings of {field.name!r} unfold beyond {MOST_BYTES} bytes")
            table = table.set_column(at, field, column.cast(field.type))
    made: pd.DataFrame = table.to_pandas()
    return made


def _written_out(column: pa.ChunkedArray) -> int:
    """Bytes of a column of strings once each is written out."""
    lengths = (pc.take(pc.binary_length(chunk.dictionary), chunk.indices) for chunk in column.chunks)
    return sum(pc.sum(pc.cast(each, pa.int64())).as_py() or 0 for each in lengths)
