"""Groups of associated columns, which a model can substitute for each other."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from harness.registry.task import Features

if TYPE_CHECKING:
    import pandas as pd

MIN_ASSOCIATION = 0.8  #: absolute rank correlation, Cramér's V or correlation ratio from which columns are grouped
MAX_ROWS = 4000


def find_column_groups(frames: Sequence[Features]) -> list[tuple[str, ...]]:
    """Find groups of two or more strongly associated columns.

    Two numbers are compared by Spearman's rank correlation, two categories by Cramér's V with Bergsma's correction, a
    number and a category by the correlation ratio of ranks. Groups are connected components: columns that are linked by
    other columns are in one group.

    Parameters
    ----------
    frames : sequence of DataFrame
        Rows with equal columns; the first 4,000 are used.

    Returns
    -------
    list of tuple of str
        The groups, and the names in each, in the order of the columns.

    References
    ----------
    Spearman (1904), The proof and measurement of association between two things.
    Bergsma (2013), A bias-correction for Cramér's V and Tschuprow's T.
    """
    import pandas as pd

    X = pd.concat(list(frames), ignore_index=True).iloc[:MAX_ROWS]
    names = list(X.columns)
    ranks = {name: _centred_ranks(X[name]) for name in names}
    codes = {name: _level_codes(X[name]) for name in names if X[name].dtype == "category"}
    group = dict(zip(names, names, strict=True))  # column → first column of its group
    for first, second in itertools.combinations(names, 2):
        if group[first] != group[second] and _association(first, second, ranks, codes) >= MIN_ASSOCIATION:
            merged = group[second]
            for name in names:
                if group[name] == merged:
                    group[name] = group[first]
    members: dict[str, list[str]] = {}
    for name in names:
        members.setdefault(group[name], []).append(name)
    return [tuple(columns) for columns in members.values() if len(columns) > 1]


def _association(
    first: str, second: str, ranks: dict[str, npt.NDArray[np.float64]], codes: dict[str, npt.NDArray[np.int64]]
) -> float:
    if first in codes and second in codes:
        return _cramers_v(codes[first], codes[second])
    if first in codes:
        return _correlation_ratio(codes[first], ranks[second])
    if second in codes:
        return _correlation_ratio(codes[second], ranks[first])
    scale = float(ranks[first].std() * ranks[second].std())
    if not scale:
        return 0.0
    return abs(float(np.mean(ranks[first] * ranks[second])) / scale)


def _centred_ranks(column: pd.Series) -> npt.NDArray[np.float64]:
    """Ranks minus their mean, missing values at 0; zeros for a category."""
    if column.dtype == "category":
        return np.zeros(len(column))
    ranks = column.rank().to_numpy(np.float64)
    if np.isfinite(ranks).any():
        ranks = ranks - np.nanmean(ranks)
    return np.asarray(np.nan_to_num(ranks, nan=0.0), dtype=np.float64)


def _level_codes(column: pd.Series) -> npt.NDArray[np.int64]:
    return np.unique(column.cat.codes.to_numpy(np.int64), return_inverse=True)[1]


def _correlation_ratio(codes: npt.NDArray[np.int64], ranks: npt.NDArray[np.float64]) -> float:
    """Square root of the share of a number's variance that lies between the levels of a category."""
    total = float((ranks**2).sum())
    if not total:
        return 0.0
    sums, counts = np.bincount(codes, weights=ranks), np.bincount(codes)
    return float(np.sqrt((sums**2 / counts).sum() / total))


def _cramers_v(first: npt.NDArray[np.int64], second: npt.NDArray[np.int64]) -> float:
    """Cramér's V, corrected for the bias that grows with the number of levels."""
    r, k, n = int(first.max()) + 1, int(second.max()) + 1, len(first)
    if min(r, k) < 2 or n < 2:
        return 0.0
    counts = np.bincount(first * k + second, minlength=r * k).reshape(r, k)
    expected = counts.sum(axis=1, keepdims=True) * counts.sum(axis=0) / n
    phi = max(0.0, float(((counts - expected) ** 2 / expected).sum()) / n - (r - 1) * (k - 1) / (n - 1))
    rows, columns = r - (r - 1) ** 2 / (n - 1), k - (k - 1) ** 2 / (n - 1)
    return float(np.sqrt(phi / max(1e-12, min(rows - 1, columns - 1))))
