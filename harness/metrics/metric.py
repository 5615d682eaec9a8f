"""A metric: one figure computed from stored predictions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Array = TypeVar("Array", bound="npt.NDArray[Any]")
MetricType: TypeAlias = Literal["ranking", "decision", "probability"]


@dataclass(frozen=True)
class Predictions:
    """What a classifier said about some rows, and what was true.

    `y` (n,) holds 0..k-1, `proba` (n, k) the probabilities. With two classes a row is called positive where
    `proba[:, 1] >= threshold`; otherwise the most probable class is taken. `costs[true][predicted]` or None.

    All arrays are read-only: several metrics are computed from the same predictions.
    """

    y: npt.NDArray[np.int64]
    proba: npt.NDArray[np.floating]
    threshold: float | None = 0.5
    costs: tuple[tuple[float, ...], ...] | None = None

    def __post_init__(self) -> None:
        # Views and not copies: the caller's own arrays stay writable.
        object.__setattr__(self, "y", _read_only(self.y.view()))
        object.__setattr__(self, "proba", _read_only(self.proba.view()))

    @property
    def binary(self) -> bool:
        """Whether there are two classes."""
        return bool(self.proba.shape[1] == 2)

    @cached_property
    def labels(self) -> npt.NDArray[np.int64]:
        """The decided class of every row, shape (n,)."""
        if self.binary and self.threshold is not None:
            decided: npt.NDArray[np.int64] = (self.proba[:, 1] >= self.threshold).astype("int64")
            return _read_only(decided)
        most: npt.NDArray[np.int64] = self.proba.argmax(axis=1)
        return _read_only(most)

    @cached_property
    def _steps(self) -> dict[int, tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
        return {}

    def steps(self, one: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Rows of a class, and rows in all, at or above each distinct probability of it, from the highest down.

        Sorted once for all metrics that rank.
        """
        import numpy as np

        if one not in self._steps:
            order = np.argsort(self.proba[:, one])[::-1]
            ends = np.append(
                np.flatnonzero(np.diff(self.proba[order, one])), len(order) - 1
            )  # of rows of one probability
            self._steps[one] = _read_only(np.cumsum(self.y[order] == one)[ends]), _read_only(ends + 1)
        return self._steps[one]

    @cached_property
    def confusion(self) -> npt.NDArray[np.int64]:
        """Counts of shape (k, k): rows are the truth, columns the decision."""
        import numpy as np

        k = self.proba.shape[1]
        counts: npt.NDArray[np.int64] = np.bincount(self.y * k + self.labels, minlength=k * k).reshape(k, k)
        return _read_only(counts)


def _read_only(array: Array) -> Array:
    """The same array, which can no longer be written to."""
    array.flags.writeable = False
    return array


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One figure of quality: `compute(predictions)` returns a float, NaN where it is not defined.

    `over_rows` says of a figure of decisions that it is a plain mean over all rows, so that one row of n moves it by 1/n
    of what a decision is worth, and not by a share of its class. `span` is what lies between its worst and its best value,
    1 for most and where there are no bounds: tests take one row to be worth a share of it.
    """

    name: str
    compute: Callable[[Predictions], float]
    metric_type: MetricType
    greater_is_better: bool = True
    binary_only: bool = False
    needs_costs: bool = False
    over_rows: bool = False
    span: float = 1.0
    version: int = 1  #: raised whenever `compute` changes, so that kept figures are computed anew
    label: str = ""
    description: str = ""
