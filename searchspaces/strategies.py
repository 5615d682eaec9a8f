"""The imbalance strategies: weights and resampling of the training rows."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from harness.registry.space import choice, integer, real
from harness.registry.strategy import Strategy

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Labels = npt.NDArray[np.int64]
    Costs = Sequence[Sequence[float]] | None


def balanced_weights(y: Labels, costs: Costs) -> npt.NDArray[np.float64]:  # noqa: ARG001 -- other strategies use the costs
    """Weights (n_rows,) with mean 1, whose sum is the same for all classes."""
    return cost_weights(y, None, strength=1.0)


def cost_weights(y: Labels, costs: Costs, strength: float = 0.0) -> npt.NDArray[np.float64]:
    """Weights (n_rows,) with mean 1: the cost of errors on a row's class, or (largest class / this class) ** strength.

    With a cost matrix the weight of a class is the sum of its row without the diagonal (Ting 2002), and `strength` is unused.
    """
    import numpy as np

    if costs is None:
        counts = np.bincount(y)
        class_weights = (counts.max() / np.maximum(counts, 1)) ** strength
    else:
        matrix = np.asarray(costs, dtype=np.float64)
        class_weights = matrix.sum(axis=1) - np.diag(matrix)
    weights = class_weights[y]
    return np.asarray(weights / weights.mean(), dtype=np.float64)


def oversampled_counts(y: Labels, strength: float) -> dict[int, int]:
    """Target size per class: `strength` of the way, in ratios, from its own size up to that of the largest class."""
    import numpy as np

    counts = np.bincount(y)
    return {c: max(n, round(n * (counts.max() / n) ** strength)) for c, n in enumerate(counts.tolist()) if n}


def undersampled_counts(y: Labels, strength: float) -> dict[int, int]:
    """Target size per class: `strength` of the way, in ratios, from its own size down to that of the smallest class."""
    import numpy as np

    counts = np.bincount(y)
    smallest = counts[counts > 0].min()
    return {c: min(n, round(n * (smallest / n) ** strength)) for c, n in enumerate(counts.tolist()) if n}


def random_oversampling(seed: int, strength: float) -> Any:
    """Sampler that repeats rows of rare classes."""
    from imblearn.over_sampling import RandomOverSampler

    return RandomOverSampler(sampling_strategy=partial(oversampled_counts, strength=strength), random_state=seed)


def random_undersampling(seed: int, strength: float) -> Any:
    """Sampler that removes rows of common classes."""
    from imblearn.under_sampling import RandomUnderSampler

    return RandomUnderSampler(sampling_strategy=partial(undersampled_counts, strength=strength), random_state=seed)


def smote(seed: int, k_neighbors: int) -> Any:
    """SMOTE (Chawla et al. 2002)."""
    from imblearn import over_sampling

    return over_sampling.SMOTE(random_state=seed, k_neighbors=k_neighbors)


def borderline_smote(seed: int, k_neighbors: int, m_neighbors: int, kind: str) -> Any:
    """Borderline-SMOTE (Han et al. 2005)."""
    from imblearn.over_sampling import BorderlineSMOTE

    return BorderlineSMOTE(random_state=seed, k_neighbors=k_neighbors, m_neighbors=m_neighbors, kind=kind)


def adasyn(seed: int, n_neighbors: int) -> Any:
    """ADASYN (He et al. 2008)."""
    from imblearn import over_sampling

    return over_sampling.ADASYN(random_state=seed, n_neighbors=n_neighbors)


def smote_tomek(seed: int, k_neighbors: int) -> Any:
    """SMOTE followed by the removal of Tomek links (Batista et al. 2003)."""
    from imblearn.combine import SMOTETomek
    from imblearn.under_sampling import TomekLinks

    cleaning = TomekLinks(sampling_strategy="all")
    return SMOTETomek(random_state=seed, smote=smote(seed, k_neighbors), tomek=cleaning)


def smote_enn(seed: int, k_neighbors: int, n_neighbors: int) -> Any:
    """SMOTE followed by edited nearest neighbours (Batista et al. 2004)."""
    from imblearn.combine import SMOTEENN
    from imblearn.under_sampling import EditedNearestNeighbours

    cleaning = EditedNearestNeighbours(sampling_strategy="all", n_neighbors=n_neighbors)
    return SMOTEENN(random_state=seed, smote=smote(seed, k_neighbors), enn=cleaning)


NONE = Strategy(name="none", kind="none", description="nothing is done: the rows as they are")

CLASS_WEIGHT = Strategy(
    name="class_weight",
    kind="weight",
    build=balanced_weights,
    description="rows weighted so that all classes weigh the same",
)

COST_SENSITIVE = Strategy(
    name="cost_sensitive",
    kind="weight",
    build=cost_weights,
    space={"strength": real(0.0, 1.5, default=0.5)},
    uses_costs=True,
    description="rows weighted by what errors cost, else by a searched power of how rare their class is",
)

RANDOM_OVERSAMPLING = Strategy(
    name="random_oversampling",
    kind="resample",
    selects_existing_rows=True,
    build=random_oversampling,
    space={"strength": real(0.2, 1.0, default=1.0)},
    description="rows of rare classes repeated, as far as searched (1: until classes are even)",
)

RANDOM_UNDERSAMPLING = Strategy(
    name="random_undersampling",
    kind="resample",
    selects_existing_rows=True,
    build=random_undersampling,
    space={"strength": real(0.2, 1.0, default=1.0)},
    description="rows of common classes left out, as far as searched (1: until classes are even)",
)

SMOTE = Strategy(
    name="smote",
    kind="resample",
    build=smote,
    space={"k_neighbors": integer(1, 15, default=5)},
    description="synthetic rows between neighbours of one class, until classes are even",
)

BORDERLINE_SMOTE = Strategy(
    name="borderline_smote",
    kind="resample",
    build=borderline_smote,
    space={
        "k_neighbors": integer(1, 15, default=5),
        "m_neighbors": integer(5, 15, default=10),
        "kind": choice("borderline-1", "borderline-2", default="borderline-1"),
    },
    description="SMOTE from those rows of a rare class that other classes surround",
)

ADASYN = Strategy(
    name="adasyn",
    kind="resample",
    build=adasyn,
    space={"n_neighbors": integer(1, 15, default=5)},
    description="SMOTE with more rows where a rare class is hard to distinguish from others",
)

SMOTE_TOMEK = Strategy(
    name="smote_tomek",
    kind="resample",
    build=smote_tomek,
    space={"k_neighbors": integer(1, 15, default=5)},
    description="SMOTE, then rows of different classes that are each other's nearest are removed",
)

SMOTE_ENN = Strategy(
    name="smote_enn",
    kind="resample",
    build=smote_enn,
    space={"k_neighbors": integer(1, 15, default=5), "n_neighbors": choice(3, 5, 7, default=3)},
    description="SMOTE, then rows with any nearest neighbour of another class are removed",
)

SEARCHED = Strategy(name="searched", kind="searched", description="the search chooses among the run's strategies")
