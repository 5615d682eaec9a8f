"""How much each column says about the target, for feature selection inside a fold."""

import math

import numpy as np
import numpy.typing as npt

from harness.data.prepare import Layout, Rows

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
