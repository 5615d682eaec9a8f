"""Bagging of balanced subsets around any family."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from harness.registry.space import integer
from harness.registry.strategy import Strategy

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


class BalancedEnsemble:
    """The mean of classifiers that each saw as many rows of every class as the rarest has.

    Each subset is drawn without replacement, so every member sees all rows of the rarest class and its own share of the
    others (EasyEnsemble's subsets, Liu et al. 2009). `member(seed)` returns an unfitted classifier of any family;
    a validation set for early stopping is handed through as it is.
    """

    def __init__(self, member: Callable[[int], Any], seed: int, members: int) -> None:
        self.member = member
        self.seed = seed
        self.members = members

    def fit(
        self,
        X: Any,
        y: npt.NDArray[np.int64],
        sample_weight: npt.NDArray[np.float64] | None = None,
        **watched: Any,
    ) -> BalancedEnsemble:
        """Fit every member on its subset."""
        import numpy as np

        rng = np.random.default_rng(self.seed)
        classes = [np.flatnonzero(y == c) for c in np.unique(y)]
        size = min(len(rows) for rows in classes)
        self.class_counts_ = np.bincount(y).clip(max=size)  #: rows of each class that one member saw
        fits = []
        for _ in range(self.members):
            chosen = np.sort(np.concatenate([rng.choice(rows, size, replace=False) for rows in classes]))
            weight = None if sample_weight is None else sample_weight[chosen]
            taken = X.iloc[chosen] if hasattr(X, "iloc") else X[chosen]
            fits.append({"X": taken, "y": y[chosen], "sample_weight": weight, **watched})
        seeds = [int(seed) for seed in rng.integers(2**31, size=self.members)]
        self.fitted_ = [self.member(seed).fit(**fit) for seed, fit in zip(seeds, fits, strict=True)]
        del self.member  # a function of this process: what is fitted can be pickled
        return self

    def predict_proba(self, X: Any) -> npt.NDArray[np.float64]:
        """The members' mean probabilities, shape (n, k)."""
        import numpy as np

        return np.asarray(np.mean([one.predict_proba(X) for one in self.fitted_], axis=0), dtype=np.float64)


BALANCED_ENSEMBLE = Strategy(
    name="balanced_ensemble",
    kind="ensemble",
    build=BalancedEnsemble,
    space={"members": integer(3, 15, default=8)},
    description="the mean of several classifiers, each fitted to an equal number of rows of every class",
)
