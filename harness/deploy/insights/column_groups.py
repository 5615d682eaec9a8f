"""Which columns go together, so that a model may take one for the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from harness.registry.task import Features

if TYPE_CHECKING:
    import pandas as pd

CLOSE = 0.8  #: share of the spread of ranks, or of Cramér's V, from which columns are said to go together
MOST_ROWS = 4000


def groups_of(parts: Sequence[Features]) -> list[tuple[str, ...]]:
    """Groups of two or more columns that go together, in the order of the table; `parts` are frames of equal columns.

    Two numbers by their rank correlation (Spearman 1904), two categories by Cramér's V with Bergsma's correction (2013),
    a number and a category by the correlation ratio of ranks. Columns linked by others are in one group.
    """
    import pandas as pd

    X = pd.concat(list(parts), ignore_index=True).iloc[:MOST_ROWS]
    names = list(X.columns)
    ranks = {name: _ranks(X[name]) for name in names}
    codes = {name: _codes(X[name]) for name in names if X[name].dtype == "category"}
    leader = {name: name for name in names}
    for at, one in enumerate(names):
        for other in names[at + 1 :]:
            if leader[one] != leader[other] and _close(one, other, ranks, codes) >= CLOSE:
                old, new = leader[other], leader[one]
                leader = {name: new if lead == old else lead for name, lead in leader.items()}
    groups = [tuple(name for name in names if leader[name] == lead) for lead in dict.fromkeys(leader.values())]
    return [group for group in groups if len(group) > 1]


def _close(
    one: str, other: str, ranks: dict[str, npt.NDArray[np.float64]], codes: dict[str, npt.NDArray[np.int64]]
) -> float:
    if one in codes and other in codes:
        return _cramer(codes[one], codes[other])
    if one in codes or other in codes:
        category, number = (one, other) if one in codes else (other, one)
        return _ratio(codes[category], ranks[number])
    spread = ranks[one].std() * ranks[other].std()
    return abs(float(np.mean(ranks[one] * ranks[other]) / spread)) if spread else 0.0


def _ranks(column: pd.Series) -> npt.NDArray[np.float64]:
    """Centred ranks; missing values in the middle."""
    if column.dtype == "category":
        return np.zeros(len(column))
    ranks = column.rank().to_numpy(np.float64)
    return np.nan_to_num(ranks - np.nanmean(ranks) if np.isfinite(ranks).any() else ranks, nan=0.0)


def _codes(column: pd.Series) -> npt.NDArray[np.int64]:
    return np.unique(column.cat.codes.to_numpy(np.int64), return_inverse=True)[1]


def _ratio(codes: npt.NDArray[np.int64], ranks: npt.NDArray[np.float64]) -> float:
    """Square root of the share of a number's spread that lies between the levels of a category."""
    total = float((ranks**2).sum())
    sums, counts = np.bincount(codes, weights=ranks), np.bincount(codes)
    return float(np.sqrt((sums**2 / counts).sum() / total)) if total else 0.0


def _cramer(one: npt.NDArray[np.int64], other: npt.NDArray[np.int64]) -> float:
    """Cramér's V, corrected for what chance gives to many levels."""
    r, k, n = int(one.max()) + 1, int(other.max()) + 1, len(one)
    if min(r, k) < 2 or n < 2:
        return 0.0
    table = np.bincount(one * k + other, minlength=r * k).reshape(r, k)
    expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0) / n
    phi = max(0.0, float(((table - expected) ** 2 / expected).sum()) / n - (r - 1) * (k - 1) / (n - 1))
    rows, columns = r - (r - 1) ** 2 / (n - 1), k - (k - 1) ** 2 / (n - 1)
    return float(np.sqrt(phi / max(1e-12, min(rows - 1, columns - 1))))
