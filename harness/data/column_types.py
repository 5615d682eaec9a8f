"""Types that a user declares for columns: `amount=number,when=date:%d.%m.%y,code=category,id=id,free=drop`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, TypeAlias, cast

from harness.errors import DataError, EvenhandError
from harness.readings import MAX_DATE_FORMAT

DeclaredKind: TypeAlias = Literal["number", "date", "category", "id", "drop"]

KINDS = ("number", "date", "category", "id", "drop")
EXAMPLE = "amount=number,when=date:%d.%m.%y,code=category,id=id,free=drop"
#: A comma is the end of a type where another name and type follow, as formats of dates and names may hold commas.
ENTRY_END = re.compile(rf",(?=[^,]+?=(?:{'|'.join(KINDS)})(?::|,|$))")


@dataclass(frozen=True)
class DeclaredType:
    """A declared type of a column.

    Attributes
    ----------
    kind : {"number", "date", "category", "id", "drop"}
        The type.
    date_format : str, default ""
        Format of dates, with the codes of ``strptime``.
    """

    kind: DeclaredKind
    date_format: str = ""


def parse_column_type(text: str, column: str) -> DeclaredType:
    """Read a type such as ``number`` or ``date:%d.%m.%y``.

    Raises
    ------
    DataError
        If there is no such type, or the format of dates is none.
    """
    column_kind, _, date_format = text.strip().partition(":")
    if column_kind not in KINDS:
        raise DataError(f"column {column!r} cannot be of type {text!r}: there are {', '.join(KINDS)} (as in {EXAMPLE})")
    if date_format and column_kind != "date":
        raise DataError(f"column {column!r}: only a date has a format, but found {text!r}")
    if date_format and not _is_date_format(date_format):
        raise DataError(f"column {column!r}: {date_format!r} is no format of dates, expected one like %d.%m.%Y")
    return DeclaredType(cast("DeclaredKind", column_kind), date_format)


def _is_date_format(date_format: str) -> bool:
    import pandas as pd

    if "%" not in date_format or len(date_format) > MAX_DATE_FORMAT:
        return False
    try:
        day = datetime(2021, 3, 14, 15, 9, 26, tzinfo=UTC).strftime(date_format)
        return bool(pd.notna(pd.to_datetime(day, format=date_format, errors="coerce")))
    except ValueError:
        return False


def parse_types_option(texts: Iterable[str]) -> dict[str, str]:
    """Read the option `--types`.

    Parameters
    ----------
    texts : iterable of str
        Each like ``amount=number,when=date:%d.%m.%y``.

    Returns
    -------
    dict of str to str
        Column → its type, which is valid.

    Raises
    ------
    EvenhandError
        If an entry is not a column and a type.
    """
    column_types: dict[str, str] = {}
    for text in texts:
        for entry in ENTRY_END.split(text):
            column, equals_sign, column_kind = entry.rpartition("=")
            if not equals_sign or not column:
                raise EvenhandError(f"--types: expected column=type, as in {EXAMPLE}, but found {entry!r}")
            parse_column_type(column_kind, column)
            column_types[column.strip()] = column_kind.strip()
    return column_types


def check_column_types(types: Mapping[str, str]) -> dict[str, DeclaredType]:
    """Read the declared types of a task; raises `DataError` for one that does not exist."""
    return {column: parse_column_type(text, column) for column, text in types.items()}
