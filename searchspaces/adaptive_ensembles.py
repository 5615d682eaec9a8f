"""Ensembles on balanced subsets whose later members depend on how the earlier ones predict: RUSBoost, self-paced ensembles."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from harness.registry.space import integer
from harness.registry.strategy import Strategy
from harness.registry.task import fill_empty_columns, take

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Labels = npt.NDArray[np.int64]
    Floats = npt.NDArray[np.float64]

#: Pseudo-losses nearer to 0 count as this: a member without error would have an infinite weight.
SMALLEST_LOSS = 1e-6
N_BINS = 20  #: of hardness, the number in the paper


class RusBoost:
    """Boosting in which each member is fitted on as many rows of every class as the rarest class has.

    It is AdaBoost.M2, whose members give probabilities: rows that the members so far predict badly have larger weights. The
    subsets are drawn without replacement, the weights of their rows are passed to the member, and its error is measured on
    all training rows. Boosting ends early where a member is no better than chance.

    Parameters
    ----------
    member : callable
        Returns an unfitted classifier of any family that accepts `sample_weight`, for a seed.
    seed : int
        Seed of the subsets and of the members.
    members : int
        Largest number of classifiers.

    Attributes
    ----------
    class_counts_ : array of shape (n_classes,)
        Number of rows of each class that one member is fitted on.
    fitted_ : list
        The fitted classifiers.
    member_weights_ : array of shape (n_members,)
        Their weights in the mean of probabilities; they add up to 1.

    References
    ----------
    Freund and Schapire (1997), A decision-theoretic generalization of on-line learning and an application to boosting
    (AdaBoost.M2).
    Seiffert, Khoshgoftaar, Van Hulse and Napolitano (2010), RUSBoost: a hybrid approach to alleviating class imbalance.
    """

    def __init__(self, member: Callable[[int], Any], seed: int, members: int) -> None:
        self.member = member
        self.seed = seed
        self.members = members

    def fit(self, X: Any, y: Labels, sample_weight: Floats | None = None, **validation: Any) -> RusBoost:
        """Fit the members one after the other; returns itself."""
        import numpy as np

        rng = np.random.default_rng(self.seed)
        self.class_counts_ = balanced_counts(y)
        weights = np.ones(len(y)) if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
        weights = weights / weights.sum()
        self.fitted_: list[Any] = []
        member_weights = []
        for seed in rng.integers(2**31, size=self.members).tolist():
            subset = draw_balanced_rows(y, rng)
            subset_weights = weights[subset] / weights[subset].mean()
            features = fill_empty_columns(take(X, subset))
            classifier = self.member(seed).fit(features, y[subset], sample_weight=subset_weights, **validation)
            true_class, other_classes = class_probabilities(classifier, X, y)
            loss = float(weights @ (1 - true_class + other_classes)) / 2
            if loss >= 0.5 and self.fitted_:
                break
            self.fitted_.append(classifier)
            ratio = max(loss, SMALLEST_LOSS) / (1 - min(loss, 0.5 - SMALLEST_LOSS))
            member_weights.append(max(-math.log(ratio), SMALLEST_LOSS))
            weights = weights * ratio ** ((1 + true_class - other_classes) / 2)
            weights = weights / weights.sum()
        self.member_weights_ = np.array(member_weights) / sum(member_weights)
        del self.member  # a function of this process, which cannot be pickled
        return self

    def predict_proba(self, X: Any) -> Floats:
        """Return the weighted mean of the members' probabilities, shape (n_rows, n_classes)."""
        import numpy as np

        probabilities = [classifier.predict_proba(X) for classifier in self.fitted_]
        return np.asarray(np.average(probabilities, axis=0, weights=self.member_weights_), dtype=np.float64)


class SelfPacedEnsemble:
    """The mean of classifiers on balanced subsets that are drawn by how hard rows are for the members so far.

    The hardness of a row is 1 minus the mean probability of its class. The rows of a class are divided into 20 bins of
    hardness. In the first rounds the bins contribute equal hardness to a subset, so that most of its rows are easy; towards
    the last round they contribute equal numbers of rows, so that the few hard ones are drawn more and more often, while easy
    ones stay. All rows of the rarest class are always drawn.

    The paper draws a fixed number of rows from each bin; here rows are drawn with probabilities for which this number is
    expected, so that a bin with fewer rows needs no rule. It has two classes; here each class but the rarest is treated as
    its majority class.

    Parameters
    ----------
    member : callable
        Returns an unfitted classifier of any family for a seed.
    seed : int
        Seed of the subsets and of the members.
    members : int
        Number of classifiers; one more is fitted to a random subset, only to have a first hardness.

    Attributes
    ----------
    class_counts_ : array of shape (n_classes,)
        Number of rows of each class that one member is fitted on.
    fitted_ : list
        The fitted classifiers.

    References
    ----------
    Liu, Cao, Gao, Bian, Chen, Chang and Liu (2020), Self-paced ensemble for highly imbalanced massive data classification,
    ICDE.
    """

    def __init__(self, member: Callable[[int], Any], seed: int, members: int) -> None:
        self.member = member
        self.seed = seed
        self.members = members

    def fit(self, X: Any, y: Labels, sample_weight: Floats | None = None, **validation: Any) -> SelfPacedEnsemble:
        """Fit the members one after the other; returns itself."""
        import numpy as np

        rng = np.random.default_rng(self.seed)
        self.class_counts_ = balanced_counts(y)
        subset, true_class_sum = draw_balanced_rows(y, rng), np.zeros(len(y))
        fitted = []
        for position, seed in enumerate(rng.integers(2**31, size=self.members + 1).tolist()):
            if position:
                hardness = 1 - true_class_sum / position
                subset = draw_balanced_rows(y, rng, self_paced_weights(y, hardness, position / self.members))
            weights = None if sample_weight is None else sample_weight[subset]
            features = fill_empty_columns(take(X, subset))
            fitted.append(self.member(seed).fit(features, y[subset], sample_weight=weights, **validation))
            true_class_sum += class_probabilities(fitted[-1], X, y)[0]
        self.fitted_ = fitted[1:]
        del self.member  # a function of this process, which cannot be pickled
        return self

    def predict_proba(self, X: Any) -> Floats:
        """Return the mean of the members' probabilities, shape (n_rows, n_classes)."""
        import numpy as np

        probabilities = [classifier.predict_proba(X) for classifier in self.fitted_]
        return np.asarray(np.mean(probabilities, axis=0), dtype=np.float64)


def balanced_counts(y: Labels) -> Labels:
    """Number of rows of each class in a balanced subset: that of the rarest class, 0 for classes without rows."""
    import numpy as np

    counts = np.bincount(y)
    return counts.clip(max=counts[counts > 0].min())


def draw_balanced_rows(y: Labels, rng: np.random.Generator, row_weights: Floats | None = None) -> Labels:
    """Draw as many rows of every class as the rarest has, without replacement; returns ascending positions.

    Parameters
    ----------
    y : array of shape (n_rows,), int
        Labels.
    rng : Generator
        Source of random numbers.
    row_weights : array of shape (n_rows,), optional
        Positive weights, to which the chance of a row within its class is proportional.
    """
    import numpy as np

    drawn = []
    for label, size in enumerate(balanced_counts(y).tolist()):
        rows = np.flatnonzero(y == label)
        chances = None
        if row_weights is not None and size:
            chances = row_weights[rows] / row_weights[rows].sum()
        drawn.append(rng.choice(rows, size, replace=False, p=chances))
    return np.sort(np.concatenate(drawn))


def class_probabilities(classifier: Any, X: Any, y: Labels) -> tuple[Floats, Floats]:
    """Predict the probability of each row's class, and the mean probability of the other classes."""
    import numpy as np

    probabilities = np.asarray(classifier.predict_proba(X), dtype=np.float64)
    true_class = probabilities[np.arange(len(y)), y]
    return true_class, (1 - true_class) / (probabilities.shape[1] - 1)


def self_paced_weights(y: Labels, hardness: Floats, progress: float) -> Floats:
    """Weights of rows for drawing a subset: each bin of hardness has the weight 1 / (its mean hardness + pace).

    Parameters
    ----------
    y : array of shape (n_rows,), int
        Labels; the rows of each class have bins of their own.
    hardness : array of shape (n_rows,)
        From 0 to 1.
    progress : float
        From 0 in the first round to 1 in the last; the pace is ``tan(progress * pi / 2)``.
    """
    import numpy as np

    bins = y * N_BINS + (hardness * N_BINS).astype(np.int64).clip(0, N_BINS - 1)
    counts = np.bincount(bins)
    mean_hardness = np.bincount(bins, weights=hardness) / np.maximum(counts, 1)
    bin_weights = 1 / (mean_hardness.clip(min=SMALLEST_LOSS) + math.tan(progress * math.pi / 2))
    weights: Floats = (bin_weights / np.maximum(counts, 1))[bins]
    return weights


RUSBOOST = Strategy(
    name="rusboost",
    kind="ensemble",
    build=RusBoost,
    space={"members": integer(3, 15, default=8)},
    description="boosting whose members are fitted to an equal number of rows of every class",
    weighs_rows=True,
)

SELF_PACED_ENSEMBLE = Strategy(
    name="self_paced_ensemble",
    kind="ensemble",
    build=SelfPacedEnsemble,
    space={"members": integer(3, 15, default=8)},
    description="the mean of classifiers on even classes, with more and more of the rows that are hard to classify",
)
