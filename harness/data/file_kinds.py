"""Kinds of tables in files, by name or by first bytes."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Literal, TypeAlias

from harness.errors import DataError

PARQUET_SUFFIXES = (".parquet", ".pq")
EXCEL_SUFFIXES = (".xlsx", ".xlsm")
JSON_SUFFIXES = (".jsonl", ".ndjson", ".json")
PACKED_SUFFIXES = (".gz", ".zst", ".zip")
PARQUET_MAGIC, OLD_EXCEL_MAGIC = b"PAR1", b"\xd0\xcf\x11\xe0"

FileKind: TypeAlias = Literal["csv", "parquet", "excel", "json"]


def detect_file_kind(path: Path) -> FileKind:
    """Find what kind of table a file is, by its name or else its first bytes; raises `DataError` where it is none.

    Raises
    ------
    DataError
        If there is no such file, or it is known to be no table.
    """
    _check_is_file(path)
    suffix = _unpacked_suffix(path)
    with path.open("rb") as file:
        magic_bytes = file.read(4)
        file.seek(max(0, path.stat().st_size - 4))
        ends_as_parquet = file.read(4) == PARQUET_MAGIC
    if suffix in PARQUET_SUFFIXES or (magic_bytes == PARQUET_MAGIC and ends_as_parquet):
        return "parquet"
    if magic_bytes == OLD_EXCEL_MAGIC or suffix == ".xls":
        raise DataError(f"{path} is an Excel file of the old kind or protected by a password: save it as .xlsx or CSV")
    if suffix in EXCEL_SUFFIXES or _is_excel_zip(path, magic_bytes):
        return "excel"
    if suffix in JSON_SUFFIXES:
        return "json"
    return "csv"


def _check_is_file(path: Path) -> None:
    if not path.exists():
        raise DataError(f"no such file: {path}")
    if not path.is_file():
        raise DataError(f"{path} is a folder: name a CSV or Parquet file")


def _unpacked_suffix(path: Path) -> str:
    """The last suffix of a file that does not say how it is packed, in lower case."""
    for suffix in reversed(path.suffixes):
        if suffix.lower() not in PACKED_SUFFIXES:
            return suffix.lower()
    return ""


def _is_excel_zip(path: Path, magic_bytes: bytes) -> bool:
    """Whether a zip is an Excel file."""
    if magic_bytes != b"PK\x03\x04":
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return "xl/workbook.xml" in archive.namelist()
    except (zipfile.BadZipFile, ValueError):
        return False
