"""Reads a reference file, CSV or Parquet, as columns; what its cells mean is ``macro.reference_checks``."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from kalshi_assets.errors import UsageError

SUFFIXES = (".csv", ".parquet")


def read_reference_file(path: Path) -> pa.Table:
    """The file's columns as they are written: texts of a CSV, typed ones of a Parquet file; an empty cell is null.

    Raises:
        UsageError: no such file, another kind of file, or one that is damaged.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise UsageError(f"{path.name} is neither CSV nor Parquet: give a file that ends in .csv or .parquet.")
    try:
        if path.suffix.lower() == ".parquet":
            return pq.ParquetFile(path).read()
        with path.open("rb") as file:
            names = file.readline().decode("utf-8-sig").strip().split(",")
        cells = {name.strip().strip('"'): pa.string() for name in names}
        return pacsv.read_csv(
            path,
            read_options=pacsv.ReadOptions(column_names=list(cells), skip_rows=1),
            convert_options=pacsv.ConvertOptions(column_types=cells, strings_can_be_null=True, null_values=[""]),
        )
    except OSError as error:
        raise UsageError(f"{path.name} cannot be read: {error.strerror or error}.") from error
    except (pa.ArrowException, UnicodeDecodeError) as error:
        said = str(error).splitlines()[0]
        raise UsageError(f"{path.name} is damaged or no table: {said}") from error


def sha256_of(path: Path) -> str:
    """The hash of the file's bytes.

    Raises:
        UsageError: the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UsageError(f"{path.name} cannot be read: {error.strerror or error}.") from error
