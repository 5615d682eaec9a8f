"""k nearest neighbours."""

from __future__ import annotations

from typing import Any

from harness.errors import Inapplicable
from harness.registry.family import Family
from harness.registry.space import choice, integer

NO_WEIGHTS = "neighbours vote as rows and are not fitted: k-NN has no sample weights"


class NearestNeighbors:
    """The classes of the nearest training rows, all of which it stores; of fewer rows than `n_neighbors` all are neighbours.

    Distances are computed by brute force: with the columns of one-hot encoded tables, search trees are slower.
    """

    def __init__(self, n_neighbors: int, weights: str) -> None:
        self.n_neighbors = n_neighbors
        self.weights = weights

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> NearestNeighbors:
        """Store the rows; raises `Inapplicable` for weights."""
        from sklearn.neighbors import KNeighborsClassifier

        if sample_weight is not None:
            raise Inapplicable(NO_WEIGHTS)
        n_neighbors = min(self.n_neighbors, len(y))
        classifier = KNeighborsClassifier(n_neighbors, weights=self.weights, algorithm="brute", n_jobs=1)
        self.model_ = classifier.fit(X, y)
        return self

    def predict_proba(self, X: Any) -> Any:
        """Return probabilities, shape (n_rows, n_classes)."""
        return self.model_.predict_proba(X)


def build(seed: int, n_neighbors: int = 15, weights: str = "uniform") -> NearestNeighbors:  # noqa: ARG001 -- a contract
    """A classifier that draws nothing."""
    return NearestNeighbors(n_neighbors, weights)


#: Cover and Hart (1967), Nearest neighbor pattern classification; votes weighted by distance: Dudani (1976). Where classes are
#: uneven, few neighbours give a rare class the probability 0 almost everywhere, so that k is searched up to 100 and is 15 by
#: default instead of scikit-learn's 5 (Hand and Vinciotti 2003, Choosing k for two-class nearest neighbour classifiers with
#: unbalanced classes).
FAMILY = Family(
    name="nearest_neighbors",
    build=build,
    space={
        "n_neighbors": integer(3, 100, default=15, log=True),
        "weights": choice("uniform", "distance", default="uniform"),
    },
    encodings={"tabular": "one_hot_scaled", "text": "tfidf", "image": "embedding"},
    description="the classes of the k nearest training rows (k-NN)",
    limits={"weight": NO_WEIGHTS},
)
