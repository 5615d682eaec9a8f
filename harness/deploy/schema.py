"""The rows that a bundle takes: names, types, ranges and levels of columns, and their distribution in training."""

from __future__ import annotations

import datetime
import itertools
import operator
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any, Literal, TypeAlias, cast

import numpy as np
import numpy.typing as npt
import pandas as pd

from harness.data.omissions import MIN_IDENTIFIER_ROWS
from harness.preprocessing.tabular import fit_table_preprocessor
from harness.readings import MISSING_WORDS, WRITTEN, ColumnKind, ColumnReading
from harness.registry.task import Features, Modality, Table, Task

Kind: TypeAlias = Literal["number", "date", "category", "text", "picture"]

IMAGE = "picture"  #: name and kind of the one feature of an image task
NUMBER_OF_BINS = 10
GREY_LEVEL = 128
#: Names of columns whose values name a row: customer_id, OrderNo, phone.
IDENTIFIER_NAME = re.compile(
    r"(?i:(^|[\W_])(id|uuid|guid|phone|telephone|mobile|e-?mail|surname|name)([\W_]|$)|(^|[\W_])(no|nr|number|key)$)"
    r"|[a-z](Id|ID|No|Nr|Number|Key|Name)$"
)
MIN_IDENTIFIER_DIGITS = 6  #: from which whole numbers that all differ and have as many digits are identifiers
#: The kinds of column of each modality, and the ways in which the values of each kind may be written.
KINDS = {"tabular": ("number", "date", "category"), "text": ("text",), "image": (IMAGE,)}
WRITTEN_FORMS = {**WRITTEN, IMAGE: ("",)}
MAX_IMAGE_VALUES = 100_000_000


@dataclass(frozen=True)
class Feature:
    """One column that a bundle reads, and its distribution over the training rows.

    Attributes
    ----------
    name : str
        Name of the column.
    kind : str
        Its type.
    written : str
        How the text of a value is to be understood, one of `WRITTEN_FORMS`: the order of dates, a decimal comma, categories that
        were numbers or true and false.
    low, high, median : float or None
        Of the known numbers: of dates in days since 1970, of texts in characters, of images in mean brightness from 0 to
        255. None for categories, and where no number is known.
    levels : tuple of str
        The values of a category that the model distinguishes, commonest first.
    edges : tuple of float
        Inner limits of the bins of numbers.
    shares : tuple of float
        Training rows per bin or level, as shares of all (sum 1). For categories all other values follow; the last share is
        that of missing values.
    literals : tuple of str
        Words such as NA that are values of this column in training, where they mean a missing value elsewhere.
    is_identifier : bool
        Whether it is a number that only names a row, such as that of a customer: a new one is always another.
    reading : ColumnReading or None
        How the column was read in training; None in bundles of earlier versions, and for texts and images.
    """

    name: str
    kind: Kind
    written: str = ""
    low: float | None = None
    high: float | None = None
    median: float | None = None
    levels: tuple[str, ...] = ()
    edges: tuple[float, ...] = ()
    shares: tuple[float, ...] = ()
    literals: tuple[str, ...] = ()
    is_identifier: bool = False
    reading: ColumnReading | None = None

    @cached_property
    def column_reading(self) -> ColumnReading:
        """How values of new rows are read. Bundles of earlier versions have no literals, but may have them as levels."""
        if self.reading is not None:
            return self.reading
        known_values = {*self.literals, *self.levels}
        return ColumnReading(
            cast("ColumnKind", self.kind), self.written, tuple(filter(known_values.__contains__, MISSING_WORDS))
        )

    def format_number(self, number: float | None) -> str:
        """Format a number of this column for people, a date as 2024-01-31; empty for None."""
        if number is None:
            return ""
        if self.kind == "date" and -719_162 <= number < 2_932_897:  # the years 1 to 9999
            return str(datetime.date(1970, 1, 1) + datetime.timedelta(days=int(number // 1)))
        return f"{number:.6g}"


@dataclass(frozen=True)
class Schema:
    """The rows that a bundle takes; a text task has one feature, the text, and an image task one, the image.

    Attributes
    ----------
    modality : str
        Kind of data.
    target : str
        Name of the predicted column.
    classes : tuple of str
        Names of the classes, in the order of the probabilities.
    features : tuple of Feature
        The columns that are read.
    rows : int
        Number of training rows.
    image_shape : tuple of int or None
        Height, width and channels of images; None for other data. Its key in JSON is ``picture``.
    """

    modality: Modality
    target: str
    classes: tuple[str, ...]
    features: tuple[Feature, ...]
    rows: int
    image_shape: tuple[int, int, int] | None = None

    def as_dict(self) -> dict[str, Any]:
        """Convert to plain values for JSON."""
        schema_fields = asdict(self)
        schema_fields["picture"] = schema_fields.pop("image_shape")
        return schema_fields

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Schema:
        """Read what `as_dict` returned; raises `KeyError`, `TypeError` or `ValueError` where it is no schema."""
        features = []
        for feature in fields["features"]:
            tuple_fields = {name: _convert_list_to_tuple(feature[name]) for name in ("levels", "edges", "shares")}
            tuple_fields["literals"] = _convert_list_to_tuple(feature.get("literals", []))
            column_reading = feature.get("reading")
            if column_reading is not None:
                column_reading = ColumnReading.from_dict(column_reading)
            features.append(Feature(**(feature | tuple_fields | {"reading": column_reading})))
        parsed_fields = {**fields, "classes": _convert_list_to_tuple(fields["classes"]), "features": tuple(features)}
        image_shape = parsed_fields.pop("picture")
        if image_shape is not None:
            image_shape = _convert_list_to_tuple(image_shape)
        schema = cls(**parsed_fields, image_shape=image_shape)
        _check_schema(schema)
        return schema


def describe_task_rows(task: Task, table: Table) -> Schema:
    """Describe the rows of a task.

    Parameters
    ----------
    task : Task
        The declaration.
    table : Table
        The rows as they are trained on, and how they were read.

    Returns
    -------
    Schema
        Types and distribution of all columns.
    """
    X, image_shape = table.X, None
    if task.modality == "image":
        features = [_add_number_distribution(Feature(IMAGE, "picture"), text_length_or_brightness(X))]
        image_shape = tuple(X.shape[1:])
    elif task.modality == "text":
        features = [_add_number_distribution(Feature(str(task.text), "text"), text_length_or_brightness(X))]
    else:
        levels = dict(fit_table_preprocessor(X).layout.categories)
        features = [_describe_column(table.readings[name], X[name], levels.get(str(name), ())) for name in X.columns]
    return Schema(task.modality, task.target, table.classes, tuple(features), len(table.y), image_shape)


def typical_row(schema: Schema) -> Features:
    """Make one typical row: medians and commonest levels; an empty text; a grey image."""

    if schema.image_shape:
        return np.full((1, *schema.image_shape), GREY_LEVEL, dtype=np.uint8)
    if schema.modality == "text":
        return np.array([""], dtype=object)
    row: dict[str, Any] = {}
    for feature in schema.features:
        if feature.kind == "category":
            categories = pd.Index(feature.levels, dtype="str")
            row[feature.name] = pd.Categorical(feature.levels[:1] or (None,), categories=categories)
        else:
            row[feature.name] = np.array([feature.median], dtype=np.float64)
    return pd.DataFrame(row)


def count_rows_per_bin(schema: Schema, X: Features) -> tuple[npt.NDArray[np.int64], ...]:
    """Count the rows in each bin of each feature.

    Parameters
    ----------
    schema : Schema
        Gives the bins.
    X : DataFrame or ndarray
        Rows as the model takes them.

    Returns
    -------
    tuple of ndarray
        One array per feature, in the order of `Feature.shares`.
    """
    if schema.modality != "tabular":
        return (_count_values_per_bin(schema.features[0], text_length_or_brightness(X)),)
    return tuple(_count_values_per_bin(feature, X[feature.name]) for feature in schema.features)


def _convert_list_to_tuple(json_sequence: Any) -> tuple[Any, ...]:
    if not isinstance(json_sequence, list):  # a string would become its letters
        raise TypeError("no list where one is due")
    return tuple(json_sequence)


def _check_schema(schema: Schema) -> None:
    """Raise `ValueError` for what `describe_task_rows` never returns: rows would be misread, or cause a traceback."""
    names = [feature.name for feature in schema.features]
    feature_kinds: tuple[str, ...] = ()
    if isinstance(schema.modality, str):
        feature_kinds = KINDS.get(schema.modality, ())
    _require_schema_condition(bool(feature_kinds), "its modality")
    _require_schema_condition(isinstance(schema.target, str), "the target")
    _require_schema_condition(are_unique_strings(schema.classes) and len(schema.classes) > 1, "the classes")
    _require_schema_condition(are_unique_strings(names), "the names of columns")
    _require_schema_condition(
        len(names) == 1 or (schema.modality == "tabular" and bool(names)), "how many columns there are"
    )
    _require_schema_condition(type(schema.rows) is int and schema.rows > 0, "the training rows")
    _require_schema_condition(_is_image_shape(schema), "the shape of images")
    for feature in schema.features:
        name = repr(feature.name[:60])
        _require_schema_condition(isinstance(feature.is_identifier, bool), f"what {name} is")
        _require_schema_condition(
            feature.kind in feature_kinds and feature.written in WRITTEN_FORMS[feature.kind], f"the kind of {name}"
        )
        _require_schema_condition(are_unique_strings(feature.literals), f"the literals of {name}")
        feature_reading = feature.column_reading
        _require_schema_condition(
            (feature_reading.kind, feature_reading.written) == (feature.kind, feature.written), f"the reading of {name}"
        )
        _require_schema_condition(_has_valid_range(feature) and _has_valid_bins(feature), f"the distribution of {name}")


def are_unique_strings(names: Sequence[Any]) -> bool:
    """Tell whether these are strings, each different from the others."""
    return all(isinstance(name, str) for name in names) and len(set(names)) == len(names)


def _is_image_shape(schema: Schema) -> bool:
    """Tell whether the shape of images is valid, or is None for other data."""
    shape: Any = schema.image_shape
    if shape is None or schema.modality != "image":
        return shape is None and schema.modality != "image"
    if len(shape) != 3 or not all(type(side_length) is int and side_length > 0 for side_length in shape):
        return False
    height, width, color_channels = shape
    return color_channels in (1, 3) and height * width * color_channels <= MAX_IMAGE_VALUES


def _has_valid_range(feature: Feature) -> bool:
    lowest_number, median, highest_number = feature.low, feature.median, feature.high
    if lowest_number is None and median is None and highest_number is None:
        return True
    if feature.kind == "category" or not _are_finite_numbers((lowest_number, median, highest_number)):
        return False
    return lowest_number <= median <= highest_number  # type: ignore[operator]  # these are numbers


def _has_valid_bins(feature: Feature) -> bool:
    """Tell whether levels or edges are sound, and the shares belong to them."""
    if feature.kind == "category":
        is_sound, bins = are_unique_strings(feature.levels) and not feature.edges, len(feature.levels) + 2
    else:
        is_sound, bins = not feature.levels and _are_finite_numbers(feature.edges), len(feature.edges) + 2
        is_sound = is_sound and all(itertools.starmap(operator.lt, itertools.pairwise(feature.edges)))
    if not is_sound or not _are_finite_numbers(feature.shares) or len(feature.shares) != bins:
        return False
    return min(feature.shares) >= 0 and max(feature.shares) <= 1 and abs(sum(feature.shares) - 1) < 1e-6


def _are_finite_numbers(checked_numbers: Iterable[Any]) -> bool:
    return all(
        type(checked_number) in (int, float) and abs(checked_number) <= sys.float_info.max
        for checked_number in checked_numbers
    )


def _require_schema_condition(is_fulfilled: bool, condition_subject: str) -> None:
    if not is_fulfilled:
        raise ValueError(f"{condition_subject} cannot be so")


def _describe_column(
    column_reading: ColumnReading, column_values: pd.Series, prepared_levels: tuple[str, ...]
) -> Feature:
    name = str(column_values.name)
    feature = Feature(name, cast("Kind", column_reading.kind), column_reading.written, reading=column_reading)
    if column_reading.kind != "category":
        is_identifier = column_reading.kind == "number" and _is_identifier_column(column_values)
        return _add_number_distribution(replace(feature, is_identifier=is_identifier), column_values.to_numpy())
    # The preparation merges rare values into a level of its own, which is not a value of the column.
    seen_values = set(column_values.cat.categories)
    levels = tuple(level for level in prepared_levels if level in seen_values)
    return _add_bin_shares(replace(feature, levels=levels, literals=column_reading.literals), column_values)


def _is_identifier_column(column_numbers: pd.Series) -> bool:
    """Whether whole numbers differ in all rows and have a name or a number of digits as identifiers have."""
    known_numbers = column_numbers.dropna()
    if len(known_numbers) < MIN_IDENTIFIER_ROWS or not known_numbers.is_unique or bool((known_numbers % 1 != 0).any()):
        return False
    lowest_text, highest_text = f"{known_numbers.min():.0f}", f"{known_numbers.max():.0f}"
    return IDENTIFIER_NAME.search(str(column_numbers.name)) is not None or (
        len(lowest_text) == len(highest_text) >= MIN_IDENTIFIER_DIGITS
    )


def _add_number_distribution(feature: Feature, column_values: npt.NDArray[np.float64]) -> Feature:
    """Add the range, the median, the deciles and the shares of its known numbers."""

    known_numbers = column_values[~np.isnan(column_values)]
    if len(known_numbers):
        quartered_numbers = known_numbers * 0.25  # the difference of two numbers of 1e308 has no float
        edges = (np.unique(np.quantile(quartered_numbers, np.linspace(0, 1, NUMBER_OF_BINS + 1)[1:-1])) * 4).tolist()
        lowest_number, highest_number, median = (
            float(known_numbers.min()),
            float(known_numbers.max()),
            float(np.median(quartered_numbers) * 4),
        )
        feature = replace(feature, low=lowest_number, high=highest_number, median=median, edges=tuple(edges))
    return _add_bin_shares(feature, column_values)


def _add_bin_shares(feature: Feature, column_values: Any) -> Feature:
    counts = _count_values_per_bin(feature, column_values)
    return replace(feature, shares=tuple((counts / max(counts.sum(), 1)).tolist()))


def _count_values_per_bin(feature: Feature, column_values: Any) -> npt.NDArray[np.int64]:

    if feature.kind == "category":
        positions, other_levels_bin = dict(zip(feature.levels, itertools.count())), len(feature.levels)
        bins = [positions.get(str(category), other_levels_bin) for category in column_values.cat.categories]
        bins.append(other_levels_bin + 1)  # for code -1, which pandas uses for missing
        return np.bincount(np.array(bins)[column_values.cat.codes.to_numpy()], minlength=other_levels_bin + 2).astype(
            np.int64
        )
    column_numbers, missing_bin = np.asarray(column_values, dtype=np.float64), len(feature.edges) + 1
    bin_numbers = np.where(
        np.isnan(column_numbers), missing_bin, np.searchsorted(feature.edges, column_numbers, side="right")
    )
    return np.bincount(bin_numbers, minlength=missing_bin + 1).astype(np.int64)


def text_length_or_brightness(X: Features) -> npt.NDArray[np.float64]:
    """The one number (n,) by which texts and images are binned: characters, mean brightness."""

    if X.ndim == 1:
        return np.array(list(map(len, X)), dtype=np.float64)
    return np.asarray(X.reshape(len(X), -1).mean(axis=1), dtype=np.float64)
