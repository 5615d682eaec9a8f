"""An ensemble of classifiers of any family, each fitted on a balanced subset."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from harness.registry.space import integer
from harness.registry.strategy import Strategy
from harness.registry.task import fill_empty_columns

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


class BalancedEnsemble:
    """The mean of classifiers, each fitted on as many rows of every class as the rarest class has.

    Subsets are drawn without replacement, so every member is fitted on all rows of the rarest class and on a random share of
    the others. This is UnderBagging (Barandela et al. 2003) without replacement, and EasyEnsemble (Liu et al. 2009) with
    members of any family in place of AdaBoost. Validation rows for early stopping are passed on unchanged.

    Parameters
    ----------
    member : callable
        Returns an unfitted classifier of any family for a seed.
    seed : int
        Seed of the subsets and of the members.
    members : int
        Number of classifiers.

    Attributes
    ----------
    class_counts_ : array of shape (n_classes,)
        Number of rows of each class that one member is fitted on.
    fitted_ : list
        The fitted classifiers.
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
        **validation: Any,
    ) -> BalancedEnsemble:
        """Fit every member on its subset; returns itself."""
        import numpy as np

        rng = np.random.default_rng(self.seed)
        classes = [np.flatnonzero(y == c) for c in np.unique(y)]
        size = min(map(len, classes))
        self.class_counts_ = np.bincount(y).clip(max=size)
        subsets = []
        for _ in range(self.members):
            subsets.append(np.sort(np.concatenate([rng.choice(rows, size, replace=False) for rows in classes])))
        self.fitted_ = []
        for seed, subset in zip(rng.integers(2**31, size=self.members).tolist(), subsets, strict=True):
            features = X.iloc[subset] if hasattr(X, "iloc") else X[subset]
            weight = None if sample_weight is None else sample_weight[subset]
            features = fill_empty_columns(features)
            self.fitted_.append(self.member(seed).fit(features, y[subset], sample_weight=weight, **validation))
        del self.member  # a function of this process, which cannot be pickled
        return self

    def predict_proba(self, X: Any) -> npt.NDArray[np.float64]:
        """Return the mean of the members' probabilities, shape (n_rows, n_classes)."""
        import numpy as np

        probabilities = [classifier.predict_proba(X) for classifier in self.fitted_]
        return np.asarray(np.mean(probabilities, axis=0), dtype=np.float64)


BALANCED_ENSEMBLE = Strategy(
    name="balanced_ensemble",
    kind="ensemble",
    build=BalancedEnsemble,
    space={"members": integer(3, 15, default=8)},
    description="the mean of several classifiers, each fitted to an equal number of rows of every class",
)
