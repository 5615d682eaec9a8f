"""Preparation of tables: missing values, rare categories and standardisation, fitted on real training rows only."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from harness.preprocessing.weighted import compute_lower_median, compute_median, compute_moments, count_values
from harness.registry.task import take_weights

if TYPE_CHECKING:
    import pandas as pd

    from harness.preprocessing.target_encoding import TargetEncoding

Floats: TypeAlias = npt.NDArray[np.float64]

#: A level needs this share of the training rows, and `RARE_COUNT` rows, to be kept apart from other rare ones.
RARE_SHARE = 0.002
RARE_COUNT = 5
#: Maximum number of levels of a category; the most frequent are kept.
MAX_LEVELS = 100
OTHER, MISSING = "(other)", "(missing)"
#: A category has many levels where so many of them are merged with others, and so large a share of the rows has one of these.
MANY_MERGED_LEVELS = 20
MANY_MERGED_SHARE = 0.05
#: Distance from the median, in typical distances, from which values are clipped before standardisation: with 9999999999
#: for "unknown" in a column of ages, the mean and the deviation would be those of the sentinel alone.
EXTREME_DISTANCE, CLIP_DISTANCE = 1e6, 10.0
#: Largest magnitude of a number for trees, which may compute in single precision; even sums of many rows are finite.
MAX_TREE_NUMBER = 1e30
#: Trees of scikit-learn take values that differ by less than 1e-7 for equal: below this typical distance, columns are rescaled.
MIN_TREE_SPREAD = 1e-2
#: Typical distances from 0 within which single precision distinguishes the values of a column well enough.
MAX_TREE_OFFSET = 16
#: Magnitudes whose squares have no overflow or underflow.
SAFE_MAGNITUDES = (1e-150, 1e150)


@dataclass(frozen=True)
class ColumnLayout:
    """The columns of prepared rows.

    Attributes
    ----------
    numbers : tuple of str
        Names of the numeric columns; last, those of categories that are encoded by class shares, once per encoded column.
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
    unscaled : array of shape (n_rows, n_numbers), float64, or None
        Numeric columns for trees: imputed, not standardised. None where no tree reads these rows.
    weights : array of shape (n_rows,), float64, or None
        Weights of the rows, above 0; None where all count the same.
    """

    numbers: Floats
    codes: npt.NDArray[np.int32]
    unscaled: Floats | None = None
    weights: Floats | None = None

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def tree_numbers(self) -> Floats:
        """The numeric columns as trees read them."""
        return self.numbers if self.unscaled is None else self.unscaled

    def take(self, index: npt.NDArray[np.int64]) -> PreparedRows:
        """Select rows by position."""
        unscaled_numbers = None if self.unscaled is None else self.unscaled[index]
        weights = take_weights(self.weights, index)
        return PreparedRows(self.numbers[index], self.codes[index], unscaled_numbers, weights)

    def unscale(self, rows: PreparedRows) -> PreparedRows:
        """Add the unscaled numbers to rows that a strategy made from these: equal numbers stay equal, others are interpolated."""
        if self.unscaled is None or rows.unscaled is not None:
            return rows
        unscaled_numbers = np.empty_like(rows.numbers)
        for j in range(unscaled_numbers.shape[1]):
            distinct_numbers, first_positions = np.unique(self.numbers[:, j], return_index=True)
            unscaled_numbers[:, j] = np.interp(rows.numbers[:, j], distinct_numbers, self.unscaled[first_positions, j])
        return replace(rows, unscaled=unscaled_numbers)


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
    limits : array of shape (2, n_numbers) or None
        Lowest and highest value of each number before it is standardised; None where none is clipped.
    tree_scaling : array of shape (2, n_numbers) or None
        What is subtracted from each number for trees, and what it is divided by; None where all stay as they are.
    for_trees : bool
        Whether trees read unscaled numbers; they do not in models of earlier versions.
    target_encoding : TargetEncoding or None
        Encoding of categories by class shares, which are the last numbers of the layout; None where there are none.
    """

    layout: ColumnLayout
    medians: Floats
    means: Floats
    deviations: Floats
    unknown_levels: tuple[int, ...]
    missing_levels: tuple[int, ...]
    limits: Floats | None = None
    tree_scaling: Floats | None = None
    for_trees: bool = False
    target_encoding: TargetEncoding | None = None

    @property
    def table_columns(self) -> tuple[set[str], set[str]]:
        """Names of the numbers and of the categories of the table that are read."""
        column_layout = self.layout
        categories = {name for name, _ in column_layout.categories[: column_layout.n_table_categories]}
        if self.target_encoding is not None:
            categories |= set(self.target_encoding.names)
        return set(column_layout.numbers[: len(self.medians)]), categories

    def transform(self, X: pd.DataFrame, unscaled: bool = False) -> PreparedRows:
        """Prepare rows.

        Parameters
        ----------
        X : DataFrame
            Rows with the columns of the training rows.
        unscaled : bool, default False
            Whether trees read these rows.

        Returns
        -------
        PreparedRows
            The rows in the columns of `column_layout`; unknown and rare levels are `OTHER`.
        """
        column_layout, n_table_categories = self.layout, self.layout.n_table_categories
        raw_numbers = X[list(column_layout.numbers[: len(self.medians)])].to_numpy(dtype=np.float64)
        is_missing = np.isnan(raw_numbers)
        imputed_numbers = np.where(is_missing, self.medians, raw_numbers)
        tree_numbers = self._scale_for_trees(imputed_numbers) if unscaled and self.for_trees else None
        if self.limits is not None:
            imputed_numbers = np.clip(imputed_numbers, *self.limits)
        # Halves, because the difference of two numbers of 1e308 has no float; otherwise the quotient is the same to the bit.
        scaled_numbers = (imputed_numbers * 0.5 - self.means * 0.5) / (self.deviations * 0.5)
        level_codes = np.empty((len(X), len(column_layout.categories)), dtype=np.int32)
        for j, (name, levels) in enumerate(column_layout.categories[:n_table_categories]):
            level_codes[:, j] = levels_to_codes(X[name], levels, self.unknown_levels[j], self.missing_levels[j])
        level_codes[:, n_table_categories:] = is_missing[:, list(column_layout.indicators)]
        rows = PreparedRows(scaled_numbers, level_codes, tree_numbers)
        return rows if self.target_encoding is None else self.target_encoding.append_to(rows, X)

    def _scale_for_trees(self, imputed_numbers: Floats) -> Floats:
        with np.errstate(over="ignore"):  # clipped below
            if self.tree_scaling is not None:
                column_offsets, scales = self.tree_scaling
                imputed_numbers = (imputed_numbers - column_offsets) / scales
        return np.clip(imputed_numbers, -MAX_TREE_NUMBER, MAX_TREE_NUMBER)


def fit_table_preprocessor(X: pd.DataFrame, weights: Floats | None = None) -> TabularPreprocessor:
    """Fit the preparation of tables to real training rows.

    Numeric columns with missing values get an indicator; categories with missing values get a level for them.

    Parameters
    ----------
    X : DataFrame
        Training rows with float64 columns (missing: NaN) and `category` columns of strings.
    weights : array of shape (n_rows,) or None, default None
        Weights of the rows, above 0.

    Returns
    -------
    TabularPreprocessor
        Medians, means, standard deviations and levels of the training rows.
    """
    names = [name for name in X.columns if X[name].dtype != "category"]
    raw_numbers = X[names].to_numpy(dtype=np.float64)
    is_missing = np.isnan(raw_numbers)
    column_medians = np.zeros(len(names))
    for j in np.flatnonzero(~is_missing.all(axis=0)):
        known = ~is_missing[:, j]
        known_weights = take_weights(weights, known)
        column_medians[j] = (
            compute_median(raw_numbers[known, j] * 0.5, known_weights) * 2
        )  # the sum of two numbers of 1e308 has no float
    imputed_numbers = np.where(is_missing, column_medians, raw_numbers)
    column_spreads = _median_absolute_deviations(imputed_numbers, column_medians, weights)
    outlier_limits = _find_outlier_limits(imputed_numbers, column_medians, column_spreads)
    means, standard_deviations = mean_and_standard_deviation(
        imputed_numbers if outlier_limits is None else np.clip(imputed_numbers, *outlier_limits), weights
    )
    categories: list[tuple[str, tuple[str, ...]]] = []
    unknown_levels: list[int] = []
    missing_levels: list[int] = []
    for name in X.columns:
        if X[name].dtype == "category":
            levels, unknown_level, missing_level = _fit_category_levels(X[name], weights)
            categories.append((str(name), levels))
            unknown_levels.append(unknown_level)
            missing_levels.append(missing_level)
    missing_indicators = tuple(np.flatnonzero(is_missing.any(axis=0)).tolist())
    categories += [(f"{names[j]} missing", ("no", "yes")) for j in missing_indicators]
    return TabularPreprocessor(
        ColumnLayout(tuple(names), tuple(categories), missing_indicators),
        column_medians,
        means,
        standard_deviations,
        tuple(unknown_levels),
        tuple(missing_levels),
        outlier_limits,
        _find_tree_scaling(imputed_numbers, column_medians, column_spreads),
        for_trees=True,
    )


def _median_absolute_deviations(imputed_numbers: Floats, column_medians: Floats, weights: Floats | None) -> Floats:
    """Median distance from the median of the values that differ from it, for each column; 0 for a constant column."""
    column_spreads = np.zeros(len(column_medians))
    for j, median in enumerate(column_medians):
        with np.errstate(over="ignore"):
            distances = np.abs(imputed_numbers[:, j] - median)
        differs = distances > 0
        if differs.any():
            distance = compute_lower_median(distances[differs], take_weights(weights, differs))
            column_spreads[j] = min(distance, np.finfo(float).max)
    return column_spreads


def _find_outlier_limits(imputed_numbers: Floats, column_medians: Floats, column_spreads: Floats) -> Floats | None:
    """Limits of the columns of which some values are extremely far from the others; infinite for other columns."""
    outlier_limits = np.array([np.full(len(column_medians), -np.inf), np.full(len(column_medians), np.inf)])
    if not imputed_numbers.size:
        return None
    farthest_distances = np.abs(imputed_numbers * 0.5 - column_medians * 0.5).max(axis=0)
    extreme_columns = np.flatnonzero(
        (column_spreads > 0) & (farthest_distances / EXTREME_DISTANCE > column_spreads * 0.5)
    )
    if not len(extreme_columns):
        return None
    outlier_limits[0, extreme_columns] = (
        column_medians[extreme_columns] - CLIP_DISTANCE * column_spreads[extreme_columns]
    )
    outlier_limits[1, extreme_columns] = (
        column_medians[extreme_columns] + CLIP_DISTANCE * column_spreads[extreme_columns]
    )
    return outlier_limits


def mean_and_standard_deviation(imputed: Floats, weights: Floats | None = None) -> tuple[Floats, Floats]:
    """Mean and standard deviation of each column, the latter 1 for a constant column."""
    if not imputed.size:
        return np.zeros(imputed.shape[1]), np.ones(imputed.shape[1])
    column_magnitudes = np.abs(imputed).max(axis=0)
    smallest_safe, largest_safe = SAFE_MAGNITUDES
    is_unsafe = (column_magnitudes > 0) & ((column_magnitudes < smallest_safe) | (column_magnitudes > largest_safe))
    scaling_units = _power_of_two_below(np.where(is_unsafe, column_magnitudes, 1.0))
    scaled_numbers = imputed / scaling_units if is_unsafe.any() else imputed
    means, standard_deviations = (moments * scaling_units for moments in compute_moments(scaled_numbers, weights))
    does_vary = (imputed.min(axis=0) < imputed.max(axis=0)) & (standard_deviations * 0.5 > 0)
    return means, np.where(does_vary, standard_deviations, 1.0)


def _power_of_two_below(column_magnitudes: Floats) -> Floats:
    """Largest power of 2 that is not above each magnitude: a division by it changes no digit."""
    powers_of_two: Floats = np.ldexp(1.0, np.frexp(column_magnitudes)[1] - 1)
    return powers_of_two


def _find_tree_scaling(imputed_numbers: Floats, column_medians: Floats, column_spreads: Floats) -> Floats | None:
    """Offsets and scales of the numbers that single precision, or a tree of scikit-learn, would not tell apart as they are.

    Trees depend on the order of values only: scaling changes them by rounding, and is left out where it is not needed.
    """
    if not imputed_numbers.size:
        return None
    with np.errstate(over="ignore"):
        single_precision = imputed_numbers.astype(np.float32)
    is_exact = (single_precision == imputed_numbers).all(axis=0)
    is_precise = is_exact | (np.abs(column_medians) / MAX_TREE_OFFSET <= column_spreads)
    is_plain = (
        is_precise & (np.abs(imputed_numbers).max(axis=0) <= MAX_TREE_NUMBER) & (column_spreads >= MIN_TREE_SPREAD)
    )
    is_plain |= column_spreads == 0
    if is_plain.all():
        return None
    scales = _power_of_two_below(np.where(is_plain, 1.0, column_spreads))
    return np.array([np.where(is_plain, 0.0, column_medians), scales])


def many_level_categories(X: pd.DataFrame, weights: Floats | None = None) -> tuple[str, ...]:
    """Name the categories with many levels: those of which merging rare levels hides what many rows are.

    They are few in most tables. Where there are any, the search chooses between merging and target encoding.
    """
    names, n_rows = [], len(X) if weights is None else weights.sum()
    for name in X.columns:
        if X[name].dtype == "category":
            counts, n_frequent = _count_rows_per_level(X[name], weights)
            merged_levels = counts.iloc[n_frequent:]
            if len(merged_levels) >= MANY_MERGED_LEVELS and merged_levels.sum() >= MANY_MERGED_SHARE * n_rows:
                names.append(str(name))
    return tuple(names)


def _count_rows_per_level(column: pd.Series, weights: Floats | None) -> tuple[pd.Series, int]:
    """Rows of each level of a category, the most frequent first, and how many of the levels are not merged with others."""
    counts = count_values(column, weights)
    min_count = max(RARE_COUNT, RARE_SHARE * (len(column) if weights is None else float(weights.sum())))
    # The most frequent level is kept even if it is rare: a category needs at least one.
    return counts, max(1, min(MAX_LEVELS, int((counts >= min_count).sum())))


def _fit_category_levels(column: pd.Series, weights: Floats | None) -> tuple[tuple[str, ...], int, int]:
    """Levels of a category, the most frequent first, with the positions of the levels for unknown and missing strings."""
    counts, n_frequent = _count_rows_per_level(column, weights)
    levels = list(map(str, counts.index[:n_frequent]))
    unknown_level = 0
    if len(levels) < len(counts):
        unknown_level = len(levels)
        levels.append(unused_name(OTHER, levels))
    missing_level = unknown_level
    if column.isna().any() or not levels:
        missing_level = len(levels)
        levels.append(unused_name(MISSING, levels))
    return tuple(levels), unknown_level, missing_level


def levels_to_codes(
    column: pd.Series, levels: tuple[str, ...], unknown_level: int, missing_level: int
) -> npt.NDArray[np.int32]:
    """Level of each row of a category, found once per distinct string and not per row."""
    import pandas as pd

    pandas_categorical = column.array
    if not isinstance(pandas_categorical, pd.Categorical):
        pandas_categorical = pd.Categorical(column.astype("str").where(column.notna()))
    positions = {level: position for position, level in enumerate(levels)}
    # The last entry is for code -1, by which pandas marks missing values.
    level_of_code = [positions.get(str(name), unknown_level) for name in pandas_categorical.categories] + [
        missing_level
    ]
    level_codes: npt.NDArray[np.int32] = np.array(level_of_code, dtype=np.int32)[pandas_categorical.codes]
    return level_codes


def unused_name(name: str, levels: list[str]) -> str:
    """Append underscores to a name until no level has it."""
    while name in levels:
        name += "_"
    return name
