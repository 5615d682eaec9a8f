"""CatBoost."""

from __future__ import annotations

from typing import Any

from harness.registry.family import Family
from harness.registry.space import integer, log_float


class CatBoost:
    """CatBoost with the categories of a data frame found by their dtype: the library itself needs their names."""

    def __init__(self, seed: int, **params: Any) -> None:
        self.seed = seed
        self.params = params

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> CatBoost:
        """Fit on numbers (n_rows, n_columns), or on a data frame whose categories have the dtype `category`."""
        from catboost import CatBoostClassifier

        categories = [name for name in getattr(X, "columns", ()) if X[name].dtype == "category"]
        self.model_ = CatBoostClassifier(
            cat_features=categories,
            thread_count=1,
            random_seed=self.seed,
            allow_writing_files=False,
            verbose=False,
            **self.params,
        ).fit(X, y, sample_weight=sample_weight)
        return self

    def predict_proba(self, X: Any) -> Any:
        """Return probabilities, shape (n_rows, n_classes)."""
        return self.model_.predict_proba(X, thread_count=1)


FAMILY = Family(
    name="catboost",
    build=CatBoost,
    space={
        "learning_rate": log_float(0.02, 0.3, default=0.1),
        "iterations": integer(50, 200, default=100, log=True),
        "depth": integer(2, 8, default=5),
        "l2_leaf_reg": log_float(0.3, 30.0, default=3.0),
        "random_strength": log_float(0.1, 10.0, default=1.0),
    },
    encodings={"tabular": "native", "text": "lsa", "image": "principal"},
    description="boosted symmetric trees with ordered statistics of categories (CatBoost)",
    needs=("catboost",),
    extra="boosting",
)
