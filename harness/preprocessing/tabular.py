"""Preparation of tables: missing values, rare categories and standardisation, fitted on real training rows only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import pandas as pd

#: A level needs this share of the training rows, and `RARE_COUNT` rows, to be kept apart from other rare ones.
RARE_SHARE = 0.002
RARE_COUNT = 5
#: Maximum number of levels of a category; the most frequent are kept.
MAX_LEVELS = 100
OTHER, MISSING = "(other)", "(missing)"


@dataclass(frozen=True)
class ColumnLayout:
    """The columns of prepared rows.

    Attributes
    ----------
    numbers : tuple of str
        Names of the numeric columns.
    categories : tuple of (str, tuple of str)
        Name and levels of each category. The indicators of missing values come last, with the levels ("no", "yes").
    indicators : tuple of int
        For each indicator, the position of its numeric column.
    """

    numbers: tuple[str, ...]
    categories: tuple[tuple[str, tuple[str, ...]], ...]
    indicators: tuple[int, ...] = ()

    @property
    def levels(self) -> tuple[int, ...]:
        """Number of levels of each category."""
        return tuple(len(levels) for _, levels in self.categories)

    @property
    def n_table_categories(self) -> int:
        """Number of categories that are columns of the table, which excludes the indicators."""
        return len(self.categories) - len(self.indicators)


@dataclass(frozen=True)
class PreparedRows:
    """Rows without missing values.

    Attributes
    ----------
    numbers : array of shape (n_rows, n_numbers), float64
        Numeric columns, imputed and standardised.
    codes : array of shape (n_rows, n_categories), int32
        Level of each category, as an index into the levels of the layout.
    """

    numbers: npt.NDArray[np.float64]
    codes: npt.NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.numbers)

    def take(self, index: npt.NDArray[np.int64]) -> PreparedRows:
        """Select rows by position."""
        return PreparedRows(self.numbers[index], self.codes[index])


@dataclass(frozen=True)
class TabularPreprocessor:
    """Fitted preparation of tables; contains statistics of the training rows, never the rows.

    Attributes
    ----------
    layout : ColumnLayout
        The columns of prepared rows.
    medians, means, deviations : array of shape (n_numbers,)
        Replacement of missing numbers; mean and standard deviation of the imputed columns (1 for a constant column).
    unknown_levels, missing_levels : tuple of int
        Level of an unknown and of a missing string, for each category of the table.
    """

    layout: ColumnLayout
    medians: npt.NDArray[np.float64]
    means: npt.NDArray[np.float64]
    deviations: npt.NDArray[np.float64]
    unknown_levels: tuple[int, ...]
    missing_levels: tuple[int, ...]

    def transform(self, X: pd.DataFrame) -> PreparedRows:
        """Prepare rows.

        Parameters
        ----------
        X : DataFrame
            Rows with the columns of the training rows.

        Returns
        -------
        PreparedRows
            The rows in the columns of `layout`; unknown and rare levels are `OTHER`.
        """
        layout, n_table_categories = self.layout, self.layout.n_table_categories
        raw = X[list(layout.numbers)].to_numpy(dtype=np.float64)
        is_missing = np.isnan(raw)
        numbers = (np.where(is_missing, self.medians, raw) - self.means) / self.deviations
        codes = np.empty((len(X), len(layout.categories)), dtype=np.int32)
        for j, (name, levels) in enumerate(layout.categories[:n_table_categories]):
            codes[:, j] = _level_codes(X[name], levels, self.unknown_levels[j], self.missing_levels[j])
        codes[:, n_table_categories:] = is_missing[:, list(layout.indicators)]
        return PreparedRows(numbers, codes)


def fit_preprocessor(X: pd.DataFrame) -> TabularPreprocessor:
    """Fit the preparation of tables to real training rows.

    Numeric columns with missing values get an indicator; categories with missing values get a level for them.

    Parameters
    ----------
    X : DataFrame
        Training rows with float64 columns (missing: NaN) and `category` columns of strings.

    Returns
    -------
    TabularPreprocessor
        Medians, means, standard deviations and levels of the training rows.
    """
    names = [name for name in X.columns if X[name].dtype != "category"]
    raw = X[names].to_numpy(dtype=np.float64)
    is_missing = np.isnan(raw)
    medians = np.zeros(len(names))
    for j in np.flatnonzero(~is_missing.all(axis=0)):
        medians[j] = np.median(raw[~is_missing[:, j], j])
    imputed = np.where(is_missing, medians, raw)
    deviations = imputed.std(axis=0)
    categories: list[tuple[str, tuple[str, ...]]] = []
    unknown_levels: list[int] = []
    missing_levels: list[int] = []
    for name in X.columns:
        if X[name].dtype == "category":
            levels, unknown_level, missing_level = _fit_levels(X[name])
            categories.append((str(name), levels))
            unknown_levels.append(unknown_level)
            missing_levels.append(missing_level)
    indicators = tuple(np.flatnonzero(is_missing.any(axis=0)).tolist())
    categories += [(f"{names[j]} missing", ("no", "yes")) for j in indicators]
    return TabularPreprocessor(
        ColumnLayout(tuple(names), tuple(categories), indicators),
        medians,
        imputed.mean(axis=0),
        np.where(deviations > 1e-12 * np.maximum(1, np.abs(medians)), deviations, 1.0),
        tuple(unknown_levels),
        tuple(missing_levels),
    )


def _fit_levels(column: pd.Series) -> tuple[tuple[str, ...], int, int]:
    """Levels of a category, the most frequent first, with the positions of the levels for unknown and missing strings."""
    counts = column.value_counts()  # by count; equal counts keep the order of the categories
    counts = counts[counts > 0]
    min_count = max(RARE_COUNT, RARE_SHARE * len(column))
    # The most frequent level is kept even if it is rare: a category needs at least one.
    n_frequent = max(1, min(MAX_LEVELS, int((counts >= min_count).sum())))
    levels = list(map(str, counts.index[:n_frequent]))
    unknown_level = 0
    if len(levels) < len(counts):
        unknown_level = len(levels)
        levels.append(_unused_name(OTHER, levels))
    missing_level = unknown_level
    if column.isna().any() or not levels:
        missing_level = len(levels)
        levels.append(_unused_name(MISSING, levels))
    return tuple(levels), unknown_level, missing_level


def _level_codes(
    column: pd.Series, levels: tuple[str, ...], unknown_level: int, missing_level: int
) -> npt.NDArray[np.int32]:
    """Level of each row of a category, found once per distinct string and not per row."""
    import pandas as pd

    categorical = column.array
    if not isinstance(categorical, pd.Categorical):
        categorical = pd.Categorical(column.astype("str").where(column.notna()))
    positions = {level: position for position, level in enumerate(levels)}
    # The last entry is for code -1, by which pandas marks missing values.
    level_of_code = [positions.get(str(name), unknown_level) for name in categorical.categories] + [missing_level]
    codes: npt.NDArray[np.int32] = np.array(level_of_code, dtype=np.int32)[categorical.codes]
    return codes


def _unused_name(name: str, levels: list[str]) -> str:
    while name in levels:
        name += "_"
    return name
