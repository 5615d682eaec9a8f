"""Forests: of trees on bootstrap samples, and of extremely randomised trees."""

from typing import Any

from harness.registry.family import Family
from harness.registry.space import choice, integer, real


def build(seed: int, **params: Any) -> Any:
    """A forest of 100 trees, scikit-learn's default: more cost proportionally more time and change little."""
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(n_estimators=100, n_jobs=1, random_state=seed, **params)


FAMILY = Family(
    name="random_forest",
    build=build,
    space={
        "max_features": choice("sqrt", 0.25, 0.5, 0.75, default="sqrt"),
        "min_samples_leaf": integer(1, 64, default=1, log=True),
        "max_samples": real(0.3, 1.0, default=1.0),
        "criterion": choice("gini", "entropy", default="gini"),
    },
    encodings={"tabular": "ordinal", "text": "lsa", "image": "principal"},
    description="100 trees on bootstrap samples",
)


def build_extra_trees(seed: int, **params: Any) -> Any:
    """A forest of 100 trees on all rows, each split at the best of a few random thresholds."""
    from sklearn.ensemble import ExtraTreesClassifier

    return ExtraTreesClassifier(n_estimators=100, n_jobs=1, random_state=seed, **params)


#: Geurts, Ernst and Wehenkel (2006), Extremely randomized trees, Machine Learning 63. They draw the square root of the columns by
#: default and more where many are noise; larger leaves smooth probabilities, which single rows in a leaf make 0 or 1 in each tree.
EXTRA_TREES = Family(
    name="extra_trees",
    build=build_extra_trees,
    space={
        "max_features": choice("sqrt", 0.25, 0.5, 0.75, 1.0, default="sqrt"),
        "min_samples_leaf": integer(1, 64, default=1, log=True),
        "criterion": choice("gini", "entropy", default="gini"),
    },
    encodings={"tabular": "ordinal", "text": "lsa", "image": "principal"},
    description="100 trees on all rows, split at random thresholds (extremely randomised trees)",
)
