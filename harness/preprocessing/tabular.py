"""Typed rows: missing values filled, rare categories folded, numbers standardised; fitted on real training rows only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import pandas as pd

#: A level needs this share of the training rows (and `RARE_COUNT` rows) to stand for itself.
RARE_SHARE = 0.002
RARE_COUNT = 5
#: The most levels a category keeps; the commonest stay.
MOST_LEVELS = 100
OTHER, MISSING = "(other)", "(missing)"


@dataclass(frozen=True)
class Layout:
    """What the columns of prepared rows are.

    `categories` are (name, levels); the missing-value indicators come last among them, with levels ("no", "yes"), and
    `indicators` says which number column each of these speaks of.
    """

    numbers: tuple[str, ...]
    categories: tuple[tuple[str, tuple[str, ...]], ...]
    indicators: tuple[int, ...] = ()

    @property
    def levels(self) -> tuple[int, ...]:
        """How many levels each category has."""
        return tuple(len(levels) for _, levels in self.categories)


@dataclass(frozen=True)
class Rows:
    """Prepared rows: `numbers` (n, p) float64, filled and standardised; `codes` (n, q) int32, indices into the levels."""

    numbers: npt.NDArray[np.float64]
    codes: npt.NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.numbers)

    def take(self, index: npt.NDArray[np.int64]) -> Rows:
        """The rows at these positions."""
        return Rows(self.numbers[index], self.codes[index])


@dataclass(frozen=True)
class Preparer:
    """How raw rows become prepared ones; holds statistics of the training rows, never the rows."""

    layout: Layout
    medians: npt.NDArray[np.float64]
    means: npt.NDArray[np.float64]
    deviations: npt.NDArray[np.float64]
    fallbacks: tuple[int, ...]  #: level of a value that training did not know, per category
    missing: tuple[int, ...]  #: level of a missing value, per category

    def transform(self, X: pd.DataFrame) -> Rows:
        """Prepare rows with the columns that were fitted; a value that training did not know becomes `(other)`."""
        layout = self.layout
        raw = X[list(layout.numbers)].to_numpy(dtype=np.float64)
        missing = np.isnan(raw)
        numbers = (np.where(missing, self.medians, raw) - self.means) / self.deviations
        plain = len(layout.categories) - len(layout.indicators)
        codes = np.empty((len(X), len(layout.categories)), dtype=np.int32)
        for j, (name, levels) in enumerate(layout.categories[:plain]):
            codes[:, j] = _codes(X[name], levels, self.fallbacks[j], self.missing[j])
        codes[:, plain:] = missing[:, list(layout.indicators)]
        return Rows(numbers, codes)


def fit_preparer(X: pd.DataFrame) -> Preparer:
    """Learn medians, spreads and levels from real training rows.

    `X` has float64 columns (missing: NaN) and `category` columns of strings. Numbers that miss values get an indicator; a
    category that does gets a level of its own.
    """
    names = [name for name in X.columns if X[name].dtype != "category"]
    raw = X[names].to_numpy(dtype=np.float64)
    missing = np.isnan(raw)
    medians = np.array([np.median(c[~np.isnan(c)]) if (~np.isnan(c)).any() else 0.0 for c in raw.T])
    filled = np.where(missing, medians, raw)
    deviations = filled.std(axis=0)
    categories: list[tuple[str, tuple[str, ...]]] = []
    fallbacks: list[int] = []
    missing_levels: list[int] = []
    for name in X.columns:
        if X[name].dtype == "category":
            levels, unknown, absent = _levels(X[name])
            categories.append((str(name), levels))
            fallbacks.append(unknown)
            missing_levels.append(absent)
    indicators = tuple(int(i) for i in np.flatnonzero(missing.any(axis=0)))
    categories += [(f"{names[i]} missing", ("no", "yes")) for i in indicators]
    return Preparer(
        Layout(tuple(names), tuple(categories), indicators),
        medians,
        filled.mean(axis=0),
        np.where(deviations > 1e-12 * np.maximum(1, np.abs(medians)), deviations, 1.0),
        tuple(fallbacks),
        tuple(missing_levels),
    )


def _levels(column: pd.Series) -> tuple[tuple[str, ...], int, int]:
    """The levels that stand for themselves, commonest first, and where an unknown and a missing value go."""
    counts = column.value_counts()  # by count; equal counts keep the order of the categories
    counts = counts[counts > 0]
    enough = max(RARE_COUNT, RARE_SHARE * len(column))
    kept = [str(level) for level in counts.index[counts.to_numpy() >= enough]][:MOST_LEVELS]
    if not kept and len(counts):
        kept = [str(counts.index[0])]
    levels = list(kept)
    fallback = 0
    if len(kept) < len(counts):
        fallback = len(levels)
        levels.append(_unused(OTHER, levels))
    missing = fallback
    if column.isna().any() or not levels:
        missing = len(levels)
        levels.append(_unused(MISSING, levels))
    return tuple(levels), fallback, missing


def _codes(column: pd.Series, levels: tuple[str, ...], fallback: int, missing: int) -> npt.NDArray[np.int32]:
    """Level indices of a category column: one look-up per category, not per row."""
    import pandas as pd

    values = column.array
    if not isinstance(values, pd.Categorical):
        values = pd.Categorical(column.astype("str").where(column.notna()))
    position = {level: i for i, level in enumerate(levels)}
    # The last place serves code -1, which is pandas' way to say missing.
    table = [position.get(str(value), fallback) for value in values.categories] + [missing]
    codes: npt.NDArray[np.int32] = np.array(table, dtype=np.int32)[values.codes]
    return codes


def _unused(name: str, taken: list[str]) -> str:
    while name in taken:
        name += "_"
    return name
