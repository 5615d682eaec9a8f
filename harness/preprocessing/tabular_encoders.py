"""Encodings of tables: prepared rows are converted to the input of a classifier; fitted on real training rows only."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from harness.networks.rows import MixedRows
from harness.preprocessing.tabular import ColumnLayout, PreparedRows
from harness.preprocessing.transforms import FIT_SCALER, Floats, Scaler
from harness.preprocessing.weighted import compute_quantiles

Labels: TypeAlias = npt.NDArray[np.int64]

N_BINS = 16  #: of a number, bounded by its quantiles, where its mutual information with the labels is estimated
#: Shares of the columns that may be selected.
SELECTED_SHARES = {"half": 0.5, "quarter": 0.25}


def most_informative_columns(rows: PreparedRows, y: Labels, layout: ColumnLayout, share: float) -> list[int]:
    """Select the columns with the highest mutual information with the labels.

    Parameters
    ----------
    rows : PreparedRows
        Training rows.
    y : array of shape (n_rows,), int
        Labels.
    layout : ColumnLayout
        The columns of `rows`.
    share : float
        Share of the columns to select, rounded up; at least one is selected.

    Returns
    -------
    list of int
        Ascending positions, numbers before categories; of equal columns the first is selected.
    """
    information_by_column = mutual_information(rows, y, layout)
    n_selected = max(1, math.ceil(share * len(information_by_column)))
    selected_columns: list[int] = np.sort(np.argsort(-information_by_column, kind="stable")[:n_selected]).tolist()
    return selected_columns


def mutual_information(rows: PreparedRows, y: Labels, layout: ColumnLayout) -> Floats:
    """Estimate the mutual information of each column with the labels.

    Numbers are binned at their quantiles. The plug-in estimate grows with the number of levels even for noise: its bias,
    (levels - 1)(classes - 1) / 2n, is subtracted, or a category with many levels would always be selected.

    Returns
    -------
    array of shape (n_numbers + n_categories,)
        Mutual information in nats.

    References
    ----------
    Miller (1955), Note on the bias of information estimates.
    """
    inner_levels = np.linspace(0, 1, N_BINS + 1)[1:-1]
    estimates = []
    for column in rows.numbers.T:
        edges = np.unique(compute_quantiles(column, inner_levels, rows.weights))
        estimates.append(
            _mutual_information_of_category(np.searchsorted(edges, column, side="right"), N_BINS, y, rows.weights)
        )
    for level_codes, n_levels in zip(rows.codes.T, layout.levels, strict=True):
        estimates.append(_mutual_information_of_category(level_codes.astype(np.int64), n_levels, y, rows.weights))
    return np.array(estimates)


def _mutual_information_of_category(level_codes: Labels, n_levels: int, y: Labels, weights: Floats | None) -> float:
    n_classes, n_rows = int(y.max()) + 1, len(y) if weights is None else float(weights.sum())
    counts = np.bincount(level_codes * n_classes + y, weights=weights, minlength=n_levels * n_classes)
    joint_shares = counts.reshape(-1, n_classes) / n_rows
    level_shares, class_shares = joint_shares.sum(axis=1, keepdims=True), joint_shares.sum(axis=0, keepdims=True)
    does_occur = joint_shares > 0
    plug_in_estimate = float(
        np.sum(joint_shares[does_occur] * np.log(joint_shares[does_occur] / (level_shares * class_shares)[does_occur]))
    )
    information_bias = (np.count_nonzero(level_shares) - 1) * (np.count_nonzero(class_shares) - 1) / (2 * n_rows)
    return plug_in_estimate - information_bias


@dataclass(frozen=True)
class NumericEncoder:
    """The selected numeric columns and their scalers; without scalers, they stay standardised."""

    columns: tuple[int, ...]
    scalers: tuple[Scaler, ...] = ()

    @property
    def widths(self) -> list[int]:
        """Number of encoded columns of each selected column."""
        return [column_scaler.width for column_scaler in self.scalers] or [1] * len(self.columns)

    @property
    def width(self) -> int:
        """Number of encoded columns."""
        return sum(self.widths)

    def write(self, rows: PreparedRows, out: npt.NDArray[np.floating]) -> None:
        """Write the encoded columns of rows into `out`, shape (n_rows, width)."""
        if not self.scalers:
            out[:] = rows.numbers[:, list(self.columns)]
            return
        first_column = 0
        for j, column_scaler in zip(self.columns, self.scalers, strict=True):
            out[:, first_column : first_column + column_scaler.width] = column_scaler(rows.numbers[:, j])
            first_column += column_scaler.width


@dataclass(frozen=True)
class OneHotEncoder:
    """Numbers, then one column per level of a category; a category of two levels is one column.

    Attributes
    ----------
    numbers : NumericEncoder
        Encoder of the numeric columns.
    categories : tuple of (int, int)
        Position and number of levels of each selected category.
    dtype : str
        Precision of the encoded rows.
    """

    numbers: NumericEncoder
    categories: tuple[tuple[int, int], ...]
    dtype: str

    def transform(self, rows: PreparedRows) -> npt.NDArray[np.floating]:
        """Encode rows as an array of shape (n_rows, n_columns)."""
        first_column, row_positions = self.numbers.width, np.arange(len(rows))
        width = first_column + sum(_one_hot_width(n_levels) for _, n_levels in self.categories)
        out = np.zeros((len(rows), width), dtype=self.dtype)
        self.numbers.write(rows, out[:, :first_column])
        for j, n_levels in self.categories:
            if n_levels > 2:
                out[row_positions, first_column + rows.codes[:, j]] = 1
            elif n_levels == 2:
                out[:, first_column] = rows.codes[:, j]
            first_column += _one_hot_width(n_levels)
        return out


def _one_hot_width(n_levels: int) -> int:
    return n_levels if n_levels > 2 else n_levels - 1


@dataclass(frozen=True)
class MixedEncoder:
    """Numbers and level codes, for networks, which embed categories or encode them themselves.

    `categories` are the position and number of levels of each selected category.
    """

    numbers: NumericEncoder
    categories: tuple[tuple[int, int], ...]

    def transform(self, rows: PreparedRows) -> MixedRows:
        """Encode rows in single precision."""
        number_columns = np.empty((len(rows), self.numbers.width), np.float32)
        self.numbers.write(rows, number_columns)
        positions = [position for position, _ in self.categories]
        return MixedRows(number_columns, rows.codes[:, positions], tuple(n_levels for _, n_levels in self.categories))


@dataclass(frozen=True)
class OrdinalEncoder:
    """Numbers, unscaled, and level codes side by side, for trees."""

    reads_unscaled = True

    def transform(self, rows: PreparedRows) -> npt.NDArray[np.float32]:
        """Encode rows as a float32 array of shape (n_rows, n_numbers + n_categories)."""
        return np.hstack([rows.tree_numbers, rows.codes]).astype(np.float32)


@dataclass(frozen=True)
class NativeEncoder:
    """A data frame with missing numbers, unscaled, and pandas categories, for boosting libraries that handle both.

    Columns are named `n0`, `n1`, … and `c0`, `c1`, …: XGBoost and LightGBM refuse some characters in names.
    """

    layout: ColumnLayout
    reads_unscaled = True

    def transform(self, rows: PreparedRows) -> Any:
        """Encode rows as a data frame of the numbers and the categories; an indicator becomes NaN in its number."""
        import pandas as pd

        n_table_categories = self.layout.n_table_categories
        tree_numbers = rows.tree_numbers.copy()
        for position, j in enumerate(self.layout.indicators, start=n_table_categories):
            tree_numbers[rows.codes[:, position] == 1, j] = np.nan
        columns: dict[str, Any] = {f"n{j}": tree_numbers[:, j] for j in range(tree_numbers.shape[1])}
        for j, n_levels in enumerate(self.layout.levels[:n_table_categories]):
            columns[f"c{j}"] = pd.Categorical.from_codes(rows.codes[:, j], categories=pd.RangeIndex(n_levels))
        return pd.DataFrame(columns, index=pd.RangeIndex(len(rows)))


@dataclass(frozen=True)
class FrameEncoder:
    """A data frame with the names of the table: numbers imputed and standardised, categories by the names of their levels.

    For pipelines of one's own that select columns by name.
    """

    layout: ColumnLayout

    def transform(self, rows: PreparedRows) -> Any:
        """Encode rows as a data frame of the columns of the table."""
        import pandas as pd

        columns: dict[str, Any] = {name: rows.numbers[:, j] for j, name in enumerate(self.layout.numbers)}
        for j, (name, levels) in enumerate(self.layout.categories[: self.layout.n_table_categories]):
            columns[name] = pd.Categorical.from_codes(rows.codes[:, j], categories=pd.Index(levels))
        return pd.DataFrame(columns, index=pd.RangeIndex(len(rows)))


def fit_one_hot_encoder(
    rows: PreparedRows, y: Labels, layout: ColumnLayout, scaling: str = "standard", select: str = "all"
) -> OneHotEncoder:
    """Fit a one-hot encoder in double precision, for linear models.

    Parameters
    ----------
    rows : PreparedRows
        Real training rows.
    y : array of shape (n_rows,), int
        Labels.
    layout : ColumnLayout
        The columns of `rows`.
    scaling : {"standard", "quantile", "robust", "piecewise"}, default "standard"
        Scaling of numbers; "standard" leaves them as they were prepared.
    select : {"all", "half", "quarter"}, default "all"
        Share of the columns that is selected, by mutual information.

    Returns
    -------
    OneHotEncoder
        The encoder.
    """
    return OneHotEncoder(*_select_and_scale_columns(rows, y, layout, scaling, select), "float64")


def fit_one_hot_single(
    rows: PreparedRows, y: Labels, layout: ColumnLayout, scaling: str = "standard", select: str = "all"
) -> OneHotEncoder:
    """Fit a one-hot encoder in single precision, for networks; parameters as of `fit_one_hot_encoder`.

    Heavy tails harm networks: their space has quantiles as the default scaling.
    """
    return OneHotEncoder(*_select_and_scale_columns(rows, y, layout, scaling, select), "float32")


def fit_mixed_encoder(
    rows: PreparedRows, y: Labels, layout: ColumnLayout, scaling: str = "robust", select: str = "all"
) -> MixedEncoder:
    """Fit an encoder that leaves categories as codes; parameters as of `fit_one_hot_encoder`."""
    return MixedEncoder(*_select_and_scale_columns(rows, y, layout, scaling, select))


def fit_ordinal_encoder(rows: PreparedRows, y: Labels, layout: ColumnLayout) -> OrdinalEncoder:  # noqa: ARG001 -- a contract
    """Return an ordinal encoder, which learns nothing."""
    return OrdinalEncoder()


def fit_native_encoder(rows: PreparedRows, y: Labels, layout: ColumnLayout) -> NativeEncoder:  # noqa: ARG001 -- a contract
    """Return a native encoder, which learns nothing but the layout."""
    return NativeEncoder(layout)


def fit_frame_encoder(rows: PreparedRows, y: Labels, layout: ColumnLayout) -> FrameEncoder:  # noqa: ARG001 -- a contract
    """Return an encoder with the names of the table, which learns nothing but the layout."""
    return FrameEncoder(layout)


def _select_and_scale_columns(
    rows: PreparedRows, y: Labels, column_layout: ColumnLayout, scaling_method: str, selected_share: str
) -> tuple[NumericEncoder, tuple[tuple[int, int], ...]]:
    """Select columns and fit the scalers of the numbers; of the categories, positions and numbers of levels."""
    n_numbers = len(column_layout.numbers)
    selected_columns = list(range(n_numbers + len(column_layout.levels)))
    if selected_share != "all":
        selected_columns = most_informative_columns(rows, y, column_layout, SELECTED_SHARES[selected_share])
    number_columns = tuple(j for j in selected_columns if j < n_numbers)
    column_scalers: tuple[Scaler, ...] = ()
    if scaling_method != "standard":
        column_scalers = tuple(FIT_SCALER[scaling_method](rows.numbers[:, j], rows.weights) for j in number_columns)
    categories = tuple((j - n_numbers, column_layout.levels[j - n_numbers]) for j in selected_columns if j >= n_numbers)
    return NumericEncoder(number_columns, column_scalers), categories


def source_columns_of_encoding(encoder: Any, layout: ColumnLayout) -> tuple[str, ...]:
    """Name the column of the table from which each encoded column is made.

    Parameters
    ----------
    encoder : OneHotEncoder, OrdinalEncoder or NativeEncoder
        A fitted encoder.
    layout : ColumnLayout
        The columns of the prepared rows.

    Returns
    -------
    tuple of str
        A name for each encoded column; for an indicator, that of its number.

    Raises
    ------
    TypeError
        If the encoded rows have no columns.
    """
    names = [name for name, _ in layout.categories[: layout.n_table_categories]]
    if isinstance(encoder, (NativeEncoder, FrameEncoder)):
        return (*layout.numbers, *names)
    names += [layout.numbers[j] for j in layout.indicators]
    if isinstance(encoder, OrdinalEncoder):
        return (*layout.numbers, *names)
    if not isinstance(encoder, OneHotEncoder):
        raise TypeError(f"{type(encoder).__name__} makes no columns of rows")
    source_columns: list[str] = []
    for j, width in zip(encoder.numbers.columns, encoder.numbers.widths, strict=True):
        source_columns += [layout.numbers[j]] * width
    for j, n_levels in encoder.categories:
        source_columns += [names[j]] * _one_hot_width(n_levels)
    return tuple(source_columns)
