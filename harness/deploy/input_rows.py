"""New rows as a bundle takes them: read column by column, checked; what is odd is flagged and answered all the same."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.data.images import read_image
from harness.deploy.schema import Schema
from harness.deploy.validate import BadRows, Flag, read_column
from harness.errors import DataError
from harness.registry.task import Features

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["BadRows", "Flag", "Read", "by_column", "read_pictures", "read_rows"]


@dataclass(frozen=True)
class Read:
    """Rows ready for a model, and what is odd about them, column by column. `ignored` are columns that it does not read."""

    X: Features
    flags: tuple[Flag, ...] = ()
    ignored: tuple[str, ...] = ()


def by_column(schema: Schema, rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Rows, each a mapping from column to value, as columns; raises `BadRows` for the first row that lacks a column."""
    columns: dict[str, list[Any]] = {}
    for one in schema.features:
        try:
            columns[one.name] = [row[one.name] for row in rows]
        except KeyError:
            lacking = next(i for i, row in enumerate(rows) if one.name not in row)
            raise BadRows(f"row {lacking}: column {one.name!r} is missing", one.name, lacking) from None
    others = {str(name) for row in rows if len(row) > len(schema.features) for name in row} - set(columns)
    return columns | {name: [] for name in sorted(others)}


def read_rows(schema: Schema, columns: Mapping[str, Sequence[Any]] | pd.DataFrame) -> Read:
    """Columns of new rows as features; raises `BadRows` where a column is missing, a value infinite or of a wrong type.

    Values may be numbers, texts, true and false, None; text is understood as in training. Missing values, categories
    that training did not know and numbers beyond its range are answered like any other, and flagged.
    """
    import pandas as pd

    names = [one.name for one in schema.features]
    for name in names:
        if name not in columns:
            raise BadRows(f"column {name!r} is missing: expected {', '.join(names[:30])}", name)
    ignored = tuple(str(name) for name in columns if name not in names)
    if schema.modality == "image":
        return read_pictures(schema, list(columns[names[0]]))
    found: dict[str, Any] = {}
    flags: list[Flag] = []
    for one in schema.features:
        found[one.name], odd = read_column(one, columns[one.name])
        flags += odd
    return Read(found[names[0]] if schema.modality == "text" else pd.DataFrame(found), tuple(flags), ignored)


def read_pictures(schema: Schema, contents: Iterable[bytes]) -> Read:
    """PNG or JPEG files as pictures of the size of training; raises `BadRows` for the first that cannot be read."""
    import numpy as np

    assert schema.picture is not None  # noqa: S101 -- a schema of pictures has their shape
    images = []
    for row, content in enumerate(contents):
        try:
            images.append(read_image(content, schema.picture))
        except DataError as error:
            raise BadRows(f"row {row}: {error}", schema.features[0].name, row) from error
    return Read(np.stack(images) if images else np.empty((0, *schema.picture), np.uint8))
