"""A task: a data set, its target, its positive class, and how it must be evaluated."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

from harness.arguments import (
    FLAG,
    FUNCTION,
    MAPPING,
    MATRIX,
    NAME,
    NAME_TUPLE,
    TEXT,
    check_declaration_fields,
    describe_argument,
    option_kind,
    optional_kind,
)
from harness.errors import DataError, DeclarationError
from harness.findings import Finding
from harness.readings import ColumnReading

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

Modality: TypeAlias = Literal["tabular", "text", "image"]
#: A declared type: number, date, date:%d.%m.%y (a format), category, id or drop.
ColumnType: TypeAlias = str
#: What a task's `load` returns: a data frame, or for images something with `images`, `labels` and `notes`.
Raw: TypeAlias = Any
#: The features of rows: a data frame, texts (n,), or images (n, height, width, channels).
Features: TypeAlias = Any


@dataclass(frozen=True, kw_only=True)
class Task:
    """A data set, its target, and how models of it must be evaluated.

    `load(data_dir)` returns the raw rows as they are published; `data_dir` is the user's data directory or None, and it
    raises `Unavailable` where the data are not here. The other fields describe these rows.

    In a text task all features come from the column `text`. The `load` of an image task returns `LabeledImages`
    (harness.data.images); its target has no column, only a name.
    """

    name: str
    load: Callable[[Path | None], Raw]
    target: str
    positive: str | None = None  #: the positive class as written in the data; None: the rarer of two
    title: str = ""
    description: str = ""
    source: str = ""
    licence: str = ""
    citation: str = ""
    modality: Modality = "tabular"
    text: str | None = None  #: column that holds the texts of a text task
    banned: Mapping[str, str] = field(default_factory=dict)  #: column → why no model may see it
    types: Mapping[str, ColumnType] = field(default_factory=dict)  #: where inference would be wrong
    drop_missing_target: bool = False  #: rows without a label are left out; otherwise they are an error
    group: str | None = None  #: column: rows of one group stay on one side of every split
    time: str | None = None  #: column: every test row is later than every training row
    split: str | None = None  #: column of `train` and `test`, or of the folds that rows are tested in: the outer splits
    weights: str | None = None  #: column of row weights: a row counts as so many rows, and one of weight 0 is left out
    ids: tuple[str, ...] = ()  #: columns that name a row: never features, repeated in tables of predictions
    costs: tuple[tuple[float, ...], ...] | None = None  #: costs[true][predicted], classes in encoded order
    costs_by_class: Mapping[str, Mapping[str, float]] = field(default_factory=dict)  #: true class → predicted → cost

    def __post_init__(self) -> None:
        check_declaration_fields(
            self,
            name=NAME,
            load=FUNCTION,
            target=NAME,
            positive=optional_kind(TEXT),
            title=TEXT,
            description=TEXT,
            source=TEXT,
            licence=TEXT,
            citation=TEXT,
            modality=option_kind(*get_args(Modality)),
            text=optional_kind(NAME),
            banned=MAPPING,
            types=MAPPING,
            group=optional_kind(NAME),
            time=optional_kind(NAME),
            split=optional_kind(NAME),
            weights=optional_kind(NAME),
            ids=NAME_TUPLE,
            costs=optional_kind(MATRIX),
            costs_by_class=MAPPING,
            drop_missing_target=FLAG,
        )
        problem_text = ""
        if self.target in self.banned:
            problem_text = f"the target {self.target!r} is also banned"
        elif self.time is not None and self.split is not None:
            problem_text = "a time column and a split column exclude each other"
        elif (self.modality == "text") != (self.text is not None):
            problem_text = "a text task, and no other, names the column that holds its texts"
        elif self.costs is not None and self.costs_by_class:
            problem_text = "costs are given twice, as a matrix and by class"
        elif self.modality == "image" and any(map(bool, self._columns_of_rows())):
            problem_text = "images have no columns that could be named"
        if problem_text:
            raise DeclarationError(f"task {self.name!r}: {problem_text}")

    def _columns_of_rows(self) -> tuple[Any, ...]:
        """Fields that name columns, which rows of images do not have."""
        return self.group, self.time, self.split, self.weights, self.ids, self.banned, self.types

    @property
    def column_roles(self) -> dict[str, str]:
        """Column → its role, of those that are no features: target, text, group, time, split, weights or id."""
        roles_by_column = {self.target: "target"}
        for column_role in ("text", "group", "time", "split", "weights"):
            name = getattr(self, column_role)
            if name is not None:
                roles_by_column.setdefault(name, column_role)
        for name in self.ids:
            roles_by_column.setdefault(name, "id")
        return roles_by_column


@dataclass(frozen=True)
class Table:
    """The rows of a task in memory, typed, the target encoded.

    `X` of a tabular task is a data frame with float64 columns (missing: NaN) and `category` columns of strings (missing:
    NaN); of a text task an object array (n,) of strings; of an image task a uint8 array (n, height, width, 1 or 3).

    `y` (n,) holds 0..k-1; of two classes, 1 is the positive one. `groups` (n,) int, `time` (n,) sortable, `test` (n,) bool,
    `folds` (n,) int, the predefined fold that a row is tested in, `weights` (n,) float64 above 0 and `ids`, a data frame of
    texts, are None where the task has none. `notes` are what reading the rows found, such as columns that were left out;
    `dates` are columns of days since 1970; `readings` say how each column of a table was read, and how new rows are to be read.
    """

    X: Features
    y: npt.NDArray[np.int64]
    classes: tuple[str, ...]
    groups: npt.NDArray[np.int64] | None = None
    time: npt.NDArray[np.int64] | None = None
    test: npt.NDArray[np.bool_] | None = None
    notes: tuple[Finding, ...] = ()
    dates: tuple[str, ...] = ()
    readings: Mapping[str, ColumnReading] = field(default_factory=dict)
    folds: npt.NDArray[np.int64] | None = None
    weights: npt.NDArray[np.float64] | None = None
    ids: pd.DataFrame | None = None

    def __post_init__(self) -> None:
        for part_name in ("X", "y"):
            if not hasattr(getattr(self, part_name), "shape"):
                expected_type = "a data frame or an array" if part_name == "X" else "an array"
                raise DataError(
                    f"{part_name} must be {expected_type}, but got {describe_argument(getattr(self, part_name))}"
                )

    @property
    def has_predefined_split(self) -> bool:
        """Whether a column says which rows are tested."""
        return self.test is not None or self.folds is not None

    @property
    def total_weight(self) -> float:
        """The number of rows, or the sum of their weights."""
        return float(len(self.y) if self.weights is None else self.weights.sum())

    def take(self, rows: npt.NDArray[np.int64]) -> Table:
        """The rows at these positions."""
        taken_parts: dict[str, Any] = {}
        for name in ("groups", "time", "test", "folds", "weights"):
            column = getattr(self, name)
            if column is not None:
                taken_parts[name] = column[rows]
        if self.ids is not None:
            taken_parts["ids"] = self.ids.iloc[rows]
        return replace(self, X=take(self.X, rows), y=self.y[rows], **taken_parts)


def take(X: Features, rows: npt.NDArray[np.int64]) -> Features:
    """The rows at these positions of features of any kind."""
    return X.iloc[rows] if hasattr(X, "iloc") else X[rows]


def take_weights(
    weights: npt.NDArray[np.float64] | None, rows: npt.NDArray[np.int64] | npt.NDArray[np.bool_]
) -> npt.NDArray[np.float64] | None:
    """The weights of these rows; None where rows have none."""
    return None if weights is None else weights[rows]


def fill_empty_columns(X: Any) -> Any:
    """Fill columns of a data frame without a known number by 0: the histograms of scikit-learn need a number in each.

    No classifier splits by such a column, so that its predictions do not depend on the number.
    """
    if not hasattr(X, "select_dtypes"):
        return X
    number_columns = X.select_dtypes("number")
    empty_columns = list(number_columns.columns[number_columns.isna().all()])
    return X.assign(**dict.fromkeys(empty_columns, 0.0)) if empty_columns else X
