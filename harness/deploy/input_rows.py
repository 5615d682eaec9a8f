"""New rows as a bundle takes them: read column by column and checked; unusual values are flagged and predicted all the same."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from harness.data.images import read_image
from harness.deploy.schema import Schema
from harness.deploy.validate import Flag, InvalidRowsError, read_column
from harness.errors import DataError
from harness.registry.task import Features

__all__ = ["Flag", "InvalidRowsError", "ModelInputs", "columns_of", "read_images", "read_rows"]


@dataclass(frozen=True)
class ModelInputs:
    """Rows ready for a model.

    Attributes
    ----------
    X : DataFrame or ndarray
        The features.
    flags : tuple of Flag
        Unusual values, column by column.
    ignored : tuple of str
        Columns that the model does not read.
    """

    X: Features
    flags: tuple[Flag, ...] = ()
    ignored: tuple[str, ...] = ()


def columns_of(schema: Schema, rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Turn rows, each a mapping from column to value, into columns.

    Parameters
    ----------
    schema : Schema
        Gives the columns that every row must have.
    rows : sequence of mapping
        The rows.

    Returns
    -------
    dict of list
        Values by column; columns that the schema does not name have no values.

    Raises
    ------
    InvalidRowsError
        For the first row that lacks a column.
    """
    columns: dict[str, list[Any]] = {}
    for feature in schema.features:
        try:
            columns[feature.name] = [row[feature.name] for row in rows]
        except KeyError:
            incomplete = next(i for i, row in enumerate(rows) if feature.name not in row)
            message = f"row {incomplete}: column {feature.name!r} is missing"
            raise InvalidRowsError(message, feature.name, incomplete) from None
    names: set[str] = set()
    for row in rows:
        if len(row) > len(schema.features):
            names.update(map(str, row))
    return columns | {name: [] for name in sorted(names.difference(columns))}


def read_rows(schema: Schema, columns: Mapping[str, Sequence[Any]] | pd.DataFrame) -> ModelInputs:
    """Read columns of new rows as features.

    Values may be numbers, texts, booleans and None; text is understood as in training. Missing values, categories that
    training did not know and numbers outside its range are read and flagged.

    Parameters
    ----------
    schema : Schema
        The rows that the bundle takes.
    columns : mapping of sequence, or DataFrame
        Values by column.

    Returns
    -------
    ModelInputs
        Features, flags and ignored columns.

    Raises
    ------
    InvalidRowsError
        If a column is missing, or a value is infinite or of a wrong type.
    """

    names = [feature.name for feature in schema.features]
    for name in names:
        if name not in columns:
            raise InvalidRowsError(f"column {name!r} is missing: expected {', '.join(names[:30])}", name)
    ignored = tuple(str(name) for name in columns if name not in names)
    if schema.modality == "image":
        return read_images(schema, list(columns[names[0]]))
    read_columns: dict[str, Any] = {}
    flags: list[Flag] = []
    for feature in schema.features:
        read_columns[feature.name], column_flags = read_column(feature, columns[feature.name])
        flags += column_flags
    if schema.modality == "text":
        return ModelInputs(read_columns[names[0]], tuple(flags), ignored)
    return ModelInputs(pd.DataFrame(read_columns), tuple(flags), ignored)


def read_images(schema: Schema, contents: Iterable[bytes]) -> ModelInputs:
    """Read PNG or JPEG files as images of the size of training; raises `InvalidRowsError` for the first that is none."""

    assert schema.image_shape is not None  # noqa: S101 -- a schema of images has their shape
    images = []
    for row, content in enumerate(contents):
        try:
            images.append(read_image(content, schema.image_shape))
        except DataError as error:
            raise InvalidRowsError(f"row {row}: {error}", schema.features[0].name, row) from error
    return ModelInputs(np.stack(images) if images else np.empty((0, *schema.image_shape), np.uint8))
