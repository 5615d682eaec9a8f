"""Encodings of tables: prepared rows become what a family's classifier takes; fitted on real training rows only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.data.prepare import Layout, Rows
from harness.declare.space import Space, choice
from harness.search.encoding import Encoding
from harness.search.information import most_informative

#: Quantiles kept of each number: enough for the shape of a distribution, too few to give rows away.
QUANTILES = 101


@dataclass(frozen=True)
class Ramp:
    """A monotone map of one number to standard normal scores, through some quantiles of the training rows."""

    values: npt.NDArray[np.float64]
    scores: npt.NDArray[np.float64]


@dataclass(frozen=True)
class OneHotEncoder:
    """Numbers, then one column per level; a category of two levels is one column."""

    numbers: tuple[int, ...]
    ramps: tuple[Ramp, ...]  #: one per number kept, or none where numbers stay standardised
    categories: tuple[tuple[int, int], ...]  #: position and number of levels of each category kept
    dtype: str

    def transform(self, rows: Rows) -> npt.NDArray[np.floating]:
        """An array of shape (n, width)."""
        width = len(self.numbers) + sum(_width(levels) for _, levels in self.categories)
        out = np.zeros((len(rows), width), dtype=self.dtype)
        for at, j in enumerate(self.numbers):
            column = rows.numbers[:, j]
            ramp = self.ramps[at] if self.ramps else None
            out[:, at] = column if ramp is None else np.interp(column, ramp.values, ramp.scores)
        start, every = len(self.numbers), np.arange(len(rows))
        for j, levels in self.categories:
            if levels > 2:
                out[every, start + rows.codes[:, j]] = 1
            elif levels == 2:
                out[:, start] = rows.codes[:, j]
            start += _width(levels)
        return out


@dataclass(frozen=True)
class OrdinalEncoder:
    """Numbers and level indices side by side, for trees."""

    def transform(self, rows: Rows) -> npt.NDArray[np.float32]:
        """A float32 array of shape (n, p + q)."""
        return np.hstack([rows.numbers, rows.codes]).astype(np.float32)


@dataclass(frozen=True)
class NativeEncoder:
    """A data frame whose missing numbers are missing again and whose categories are pandas categories.

    Columns are called `n0`, `n1`, … and `c0`, `c1`, …: XGBoost and LightGBM refuse some characters in names.
    """

    layout: Layout

    def transform(self, rows: Rows) -> Any:
        """A data frame of p numbers and the categories; an indicator speaks through NaN and has no column."""
        import pandas as pd

        plain = len(self.layout.categories) - len(self.layout.indicators)
        numbers = rows.numbers.copy()
        for at, j in enumerate(self.layout.indicators):
            numbers[rows.codes[:, plain + at] == 1, j] = np.nan
        columns: dict[str, Any] = {f"n{j}": numbers[:, j] for j in range(numbers.shape[1])}
        for j, levels in enumerate(self.layout.levels[:plain]):
            columns[f"c{j}"] = pd.Categorical.from_codes(rows.codes[:, j], categories=pd.RangeIndex(levels))
        return pd.DataFrame(columns, index=pd.RangeIndex(len(rows)))


def fit_one_hot(
    rows: Rows, y: npt.NDArray[np.int64], layout: Layout, scaling: str = "standard", select: str = "all"
) -> OneHotEncoder:
    """Learn which columns are kept and how numbers are scaled; float64 for linear models."""
    return _fit_one_hot(rows, y, layout, (scaling, select, "float64"))


def fit_one_hot_single(
    rows: Rows, y: npt.NDArray[np.int64], layout: Layout, scaling: str = "standard", select: str = "all"
) -> OneHotEncoder:
    """The same in single precision, for networks, which heavy tails hurt: there quantiles are the default."""
    return _fit_one_hot(rows, y, layout, (scaling, select, "float32"))


def fit_ordinal(rows: Rows, y: npt.NDArray[np.int64], layout: Layout) -> OrdinalEncoder:  # noqa: ARG001 -- a contract
    """Nothing is learnt."""
    return OrdinalEncoder()


def fit_native(rows: Rows, y: npt.NDArray[np.int64], layout: Layout) -> NativeEncoder:  # noqa: ARG001 -- a contract
    """Nothing is learnt but the layout."""
    return NativeEncoder(layout)


def _fit_one_hot(rows: Rows, y: npt.NDArray[np.int64], layout: Layout, how: tuple[str, str, str]) -> OneHotEncoder:
    scaling, select, dtype = how
    count = len(layout.numbers)
    kept = most_informative(rows, y, layout, SHARES[select]) if select != "all" else range(count + len(layout.levels))
    numbers = tuple(j for j in kept if j < count)
    ramps = tuple(_ramp(rows.numbers[:, j]) for j in numbers) if scaling == "quantile" else ()
    categories = tuple((j - count, layout.levels[j - count]) for j in kept if j >= count)
    return OneHotEncoder(numbers, ramps, categories, dtype)


def _ramp(column: npt.NDArray[np.float64]) -> Ramp:
    """Normal scores of a column's quantiles; a value that fills several quantiles gets the middle of them."""
    from scipy.special import ndtri

    levels = np.linspace(0, 1, QUANTILES)
    values, place = np.unique(np.quantile(column, levels), return_inverse=True)
    middle = np.bincount(place, weights=levels) / np.bincount(place)
    half = 0.5 / QUANTILES  # the ends are half a step from 0 and 1, so that scores stay finite
    return Ramp(values, ndtri(np.clip(middle, half, 1 - half)))


def _width(levels: int) -> int:
    return levels if levels > 2 else levels - 1


SHARES = {"half": 0.5, "quarter": 0.25}


def _scaled(default: str) -> Space:
    return {"scaling": choice("standard", "quantile", default=default), "select": choice("all", *SHARES, default="all")}


TABULAR = (
    Encoding("one_hot_scaled", fit_one_hot, _scaled("standard")),
    Encoding("one_hot", fit_one_hot_single, _scaled("quantile")),
    Encoding("ordinal", fit_ordinal, {}),
    Encoding("native", fit_native, {}),
)
