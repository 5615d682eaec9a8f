"""Encodings of tables: prepared rows become what a family's classifier takes; fitted on real training rows only."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.networks.rows import Mixed
from harness.preprocessing.encoder import Encoding
from harness.preprocessing.tabular import Layout, Rows
from harness.registry.space import Space, choice

#: Bins a number is cut into, at its quantiles.
BINS = 16


def most_informative(rows: Rows, y: npt.NDArray[np.int64], layout: Layout, share: float) -> list[int]:
    """Positions of the columns that tell most about `y`, ascending: numbers first, then categories.

    `share` of the columns is kept, at least one; among equals the earlier column stays.
    """
    information = mutual_information(rows, y, layout)
    count = max(1, math.ceil(share * len(information)))
    return sorted(int(j) for j in np.argsort(-information, kind="stable")[:count])


def mutual_information(rows: Rows, y: npt.NDArray[np.int64], layout: Layout) -> npt.NDArray[np.float64]:
    """Mutual information of every column with `y` in nats, shape (p + q,); numbers are cut at their quantiles.

    The plug-in estimate grows with the number of levels even for noise: (levels − 1)(classes − 1) / 2n is taken off
    (Miller 1955), or a category of many levels would always be chosen.
    """
    inner = np.linspace(0, 1, BINS + 1)[1:-1]
    columns = [(np.searchsorted(np.unique(np.quantile(c, inner)), c, side="right"), BINS) for c in rows.numbers.T]
    columns += [(codes.astype(np.int64), levels) for codes, levels in zip(rows.codes.T, layout.levels, strict=True)]
    return np.array([_information(column, levels, y) for column, levels in columns])


def _information(column: npt.NDArray[np.int64], levels: int, y: npt.NDArray[np.int64]) -> float:
    k = int(y.max()) + 1
    joint = np.bincount(column * k + y, minlength=levels * k).reshape(-1, k) / len(y)
    given, prior = joint.sum(axis=1, keepdims=True), joint.sum(axis=0, keepdims=True)
    there = joint > 0
    plain = float(np.sum(joint[there] * np.log(joint[there] / (given * prior)[there])))
    bias = (np.count_nonzero(given) - 1) * (np.count_nonzero(prior) - 1) / (2 * len(y))
    return plain - bias


#: Quantiles kept of each number: enough for the shape of a distribution, too few to give rows away.
QUANTILES = 101
#: Ranges into which the piecewise encoding cuts a number.
PIECES = 8


@dataclass(frozen=True)
class Ramp:
    """A monotone map of one number to standard normal scores, through some quantiles of the training rows."""

    values: npt.NDArray[np.float64]
    scores: npt.NDArray[np.float64]
    width = 1

    def __call__(self, column: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """The scores of a column (n,), as (n, 1)."""
        return np.interp(column, self.values, self.scores)[:, None]


@dataclass(frozen=True)
class Squash:
    """One number measured from its median in interquartile ranges, far values drawn in to ±3.

    RealMLP's robust scaling and smooth clipping (Holzmüller et al., Better by default, NeurIPS 2024).
    """

    middle: float
    spread: float
    width = 1

    def __call__(self, column: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """The values of a column (n,), as (n, 1)."""
        x = (column - self.middle) / self.spread
        return (x / np.sqrt(1 + (x / 3) ** 2))[:, None]


@dataclass(frozen=True)
class Pieces:
    """One number as how far it is through each of several ranges, from 0 to 1: a kink at every edge for a linear layer.

    The piecewise linear encoding of Gorishniy et al. (On embeddings for numerical features, NeurIPS 2022), with edges at
    quantiles, after the number itself squashed.
    """

    squash: Squash
    edges: npt.NDArray[np.float64]

    @property
    def width(self) -> int:
        """The number itself, and its ranges."""
        return len(self.edges)

    def __call__(self, column: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """The values of a column (n,), as (n, width)."""
        pieces = (column[:, None] - self.edges[:-1]) / np.diff(self.edges)
        return np.hstack([self.squash(column), pieces.clip(0, 1)])


@dataclass(frozen=True)
class Numbers:
    """Which numbers are kept, and how each is scaled; no maps where they stay standardised."""

    kept: tuple[int, ...]
    maps: tuple[Ramp | Squash | Pieces, ...] = ()

    @property
    def width(self) -> int:
        """The columns that they take."""
        return sum(one.width for one in self.maps) if self.maps else len(self.kept)

    def write(self, rows: Rows, out: npt.NDArray[np.floating]) -> None:
        """Write the numbers of rows into `out` (n, width)."""
        if not self.maps:
            out[:] = rows.numbers[:, list(self.kept)]
        start = 0
        for j, one in zip(self.kept, self.maps, strict=bool(self.maps)):
            out[:, start : start + one.width] = one(rows.numbers[:, j])
            start += one.width


@dataclass(frozen=True)
class OneHotEncoder:
    """Numbers, then one column per level; a category of two levels is one column."""

    numbers: Numbers
    categories: tuple[tuple[int, int], ...]  #: position and number of levels of each category kept
    dtype: str

    def transform(self, rows: Rows) -> npt.NDArray[np.floating]:
        """An array of shape (n, width)."""
        start, every = self.numbers.width, np.arange(len(rows))
        out = np.zeros((len(rows), start + sum(_width(levels) for _, levels in self.categories)), dtype=self.dtype)
        self.numbers.write(rows, out[:, :start])
        for j, levels in self.categories:
            if levels > 2:
                out[every, start + rows.codes[:, j]] = 1
            elif levels == 2:
                out[:, start] = rows.codes[:, j]
            start += _width(levels)
        return out


@dataclass(frozen=True)
class MixedEncoder:
    """Numbers and level indices for a network that makes of a category what it likes."""

    numbers: Numbers
    categories: tuple[tuple[int, int], ...]  #: position and number of levels of each category kept

    def transform(self, rows: Rows) -> Mixed:
        """The rows as a network takes them, in single precision."""
        numbers = np.empty((len(rows), self.numbers.width), np.float32)
        self.numbers.write(rows, numbers)
        places, levels = ([one[at] for one in self.categories] for at in (0, 1))
        return Mixed(numbers, rows.codes[:, places], tuple(levels))


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


def fit_mixed(
    rows: Rows, y: npt.NDArray[np.int64], layout: Layout, scaling: str = "robust", select: str = "all"
) -> MixedEncoder:
    """Learn which columns are kept and how numbers are scaled."""
    return MixedEncoder(*_columns(rows, y, layout, scaling, select))


def feature_sources(encoder: Any, layout: Layout) -> tuple[str, ...]:
    """The raw column of every encoded one, in order; an indicator's is the number that it says is missing.

    Raises `TypeError` for an encoder whose rows are no columns.
    """
    plain = len(layout.categories) - len(layout.indicators)
    names = [name for name, _ in layout.categories[:plain]] + [layout.numbers[j] for j in layout.indicators]
    if isinstance(encoder, OrdinalEncoder):
        return (*layout.numbers, *names)
    if isinstance(encoder, NativeEncoder):
        return (*layout.numbers, *names[:plain])
    if not isinstance(encoder, OneHotEncoder):
        raise TypeError(f"{type(encoder).__name__} makes no columns of rows")
    kept, maps = encoder.numbers.kept, encoder.numbers.maps
    widths = [one.width for one in maps] if maps else [1] * len(kept)
    numbers = [layout.numbers[j] for j, width in zip(kept, widths, strict=True) for _ in range(width)]
    return (*numbers, *(names[j] for j, levels in encoder.categories for _ in range(_width(levels))))


def _fit_one_hot(rows: Rows, y: npt.NDArray[np.int64], layout: Layout, how: tuple[str, str, str]) -> OneHotEncoder:
    scaling, select, dtype = how
    return OneHotEncoder(*_columns(rows, y, layout, scaling, select), dtype)


def _columns(
    rows: Rows, y: npt.NDArray[np.int64], layout: Layout, scaling: str, select: str
) -> tuple[Numbers, tuple[tuple[int, int], ...]]:
    """The numbers kept and how they are scaled, and the positions and levels of the categories kept."""
    count = len(layout.numbers)
    kept = most_informative(rows, y, layout, SHARES[select]) if select != "all" else range(count + len(layout.levels))
    numbers = tuple(j for j in kept if j < count)
    maps = () if scaling == "standard" else tuple(MAPS[scaling](rows.numbers[:, j]) for j in numbers)
    return Numbers(numbers, maps), tuple((j - count, layout.levels[j - count]) for j in kept if j >= count)


def _ramp(column: npt.NDArray[np.float64]) -> Ramp:
    """Normal scores of a column's quantiles; a value that fills several quantiles gets the middle of them."""
    from scipy.special import ndtri

    levels = np.linspace(0, 1, QUANTILES)
    values, place = np.unique(np.quantile(column, levels), return_inverse=True)
    middle = np.bincount(place, weights=levels) / np.bincount(place)
    half = 0.5 / QUANTILES  # the ends are half a step from 0 and 1, so that scores stay finite
    return Ramp(values, ndtri(np.clip(middle, half, 1 - half)))


def _squash(column: npt.NDArray[np.float64]) -> Squash:
    """Half the range where the quartiles are equal, and nothing where all values are."""
    low, middle, high = np.quantile(column, [0.25, 0.5, 0.75])
    spread = high - low or (column.max() - column.min()) / 2
    return Squash(float(middle), float(spread) or 1.0)


def _pieces(column: npt.NDArray[np.float64]) -> Pieces:
    """Ranges between quantiles; of two values or one the squashed number says all."""
    edges = np.unique(np.quantile(column, np.linspace(0, 1, PIECES + 1)))
    return Pieces(_squash(column), edges if len(edges) > 2 else edges[:1])


def _width(levels: int) -> int:
    return levels if levels > 2 else levels - 1


#: Ways to scale a number; `standard` leaves it as it was prepared.
MAPS: dict[str, Callable[[npt.NDArray[np.float64]], Ramp | Squash | Pieces]] = {
    "quantile": _ramp,
    "robust": _squash,
    "piecewise": _pieces,
}

SHARES = {"half": 0.5, "quarter": 0.25}


def _scaled(*scalings: str, default: str) -> Space:
    return {"scaling": choice(*scalings, default=default), "select": choice("all", *SHARES, default="all")}


TABULAR = (
    Encoding("one_hot_scaled", fit_one_hot, _scaled("standard", "quantile", default="standard")),
    Encoding("one_hot", fit_one_hot_single, _scaled("standard", "quantile", default="quantile")),
    Encoding("mixed", fit_mixed, _scaled("standard", *MAPS, default="robust")),
    Encoding("ordinal", fit_ordinal, {}),
    Encoding("native", fit_native, {}),
)
