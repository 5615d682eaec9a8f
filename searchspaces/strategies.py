"""The imbalance strategies: what is done about uneven classes before a classifier learns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from harness.declare.space import integer
from harness.declare.strategy import Strategy

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


def balanced(y: npt.NDArray[np.int64], costs: Sequence[Sequence[float]] | None) -> npt.NDArray[np.float64]:  # noqa: ARG001 -- weights know costs; these need none
    """Every class weighs the same in sum."""
    return softened(y, None, strength=1.0)


def softened(
    y: npt.NDArray[np.int64], costs: Sequence[Sequence[float]] | None, strength: float = 0.0
) -> npt.NDArray[np.float64]:
    """A class weighs (commonest / its own rows) ** strength; with a cost matrix, what its errors cost instead.

    Costs count as in Ting (2002): a class weighs the sum of its row of the matrix off the diagonal.
    """
    import numpy as np

    counts = np.bincount(y)
    if costs is None:
        by_class = (counts.max() / np.maximum(counts, 1)) ** strength
    else:
        matrix = np.asarray(costs, dtype=np.float64)
        by_class = matrix.sum(axis=1) - np.diag(matrix)
    weights = by_class[y]
    return np.asarray(weights / weights.mean(), dtype=np.float64)


def smote(seed: int, k_neighbors: int) -> Any:
    """Chawla et al. (2002)."""
    from imblearn import over_sampling

    return over_sampling.SMOTE(random_state=seed, k_neighbors=k_neighbors)


NONE = Strategy(name="none", kind="none", description="nothing is done: the rows as they are")

CLASS_WEIGHT = Strategy(
    name="class_weight", kind="weight", build=balanced, description="rows weighted so that all classes weigh the same"
)

SMOTE = Strategy(
    name="smote",
    kind="resample",
    build=smote,
    space={"k_neighbors": integer(1, 15, default=5)},
    description="synthetic rows between neighbours of one class, until classes are even",
)
