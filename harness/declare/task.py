"""A task: a data set, its target, its positive class, and how it must be evaluated."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from harness.errors import DeclarationError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

Modality: TypeAlias = Literal["tabular", "text", "image"]
ColumnType: TypeAlias = Literal["number", "category"]


@dataclass(frozen=True, kw_only=True)
class Task:
    """What is to be predicted from what.

    `load(data_dir)` returns the raw rows as they are published; `data_dir` is the user's data directory or None, and it
    raises `Unavailable` where the data are not here. Everything else says how these rows are to be understood.
    """

    name: str
    load: Callable[[Path | None], pd.DataFrame]
    target: str
    positive: str | None = None  #: the positive class as written in the data; None: the rarer of two
    title: str = ""
    description: str = ""
    source: str = ""
    licence: str = ""
    citation: str = ""
    modality: Modality = "tabular"
    banned: Mapping[str, str] = field(default_factory=dict)  #: column → why no model may see it
    types: Mapping[str, ColumnType] = field(default_factory=dict)  #: where inference would be wrong
    group: str | None = None  #: column: rows of one group stay on one side of every split
    time: str | None = None  #: column: every test row is later than every training row
    split: str | None = None  #: column that says `train` or `test`: the one outer split
    costs: tuple[tuple[float, ...], ...] | None = None  #: costs[true][predicted], classes in encoded order

    def __post_init__(self) -> None:
        if self.target in self.banned:
            raise DeclarationError(f"task {self.name!r}: the target {self.target!r} is also banned")
        if self.time is not None and self.split is not None:
            raise DeclarationError(f"task {self.name!r}: a time column and a split column exclude each other")


@dataclass(frozen=True)
class Table:
    """The rows of a task in memory, typed, the target encoded.

    `X` has float64 columns (missing: NaN) and `category` columns of strings (missing: NaN). `y` (n,) holds 0..k-1; of
    two classes, 1 is the positive one. `groups` (n,) int, `time` (n,) sortable and `test` (n,) bool are None where the
    task has none. `notes` says what was noticed and left out, `dates` which columns are days since 1970.
    """

    X: pd.DataFrame
    y: npt.NDArray[np.int64]
    classes: tuple[str, ...]
    groups: npt.NDArray[np.int64] | None = None
    time: npt.NDArray[np.int64] | None = None
    test: npt.NDArray[np.bool_] | None = None
    notes: tuple[str, ...] = ()
    dates: tuple[str, ...] = ()

    def take(self, rows: npt.NDArray[np.int64]) -> Table:
        """The rows at these positions."""
        return Table(
            X=self.X.iloc[rows],
            y=self.y[rows],
            classes=self.classes,
            groups=None if self.groups is None else self.groups[rows],
            time=None if self.time is None else self.time[rows],
            test=None if self.test is None else self.test[rows],
            notes=self.notes,
            dates=self.dates,
        )
