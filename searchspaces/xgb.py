"""XGBoost."""

from typing import Any

from harness.registry.family import Family
from harness.registry.space import integer, log_float, real


def build(seed: int, **params: Any) -> Any:
    """Boosted trees on histograms that accept missing values and categories."""
    from xgboost import XGBClassifier

    return XGBClassifier(
        tree_method="hist", max_bin=128, enable_categorical=True, n_jobs=1, random_state=seed, verbosity=0, **params
    )


FAMILY = Family(
    name="xgb",
    build=build,
    space={
        "learning_rate": log_float(0.02, 0.3, default=0.1),
        "n_estimators": integer(50, 200, default=100, log=True),
        "max_depth": integer(2, 8, default=4),
        "min_child_weight": log_float(0.1, 50.0, default=1.0),
        "subsample": real(0.5, 1.0, default=1.0),
        "colsample_bytree": real(0.3, 1.0, default=1.0),
        "reg_lambda": log_float(1e-2, 1e2, default=1.0),
    },
    encodings={"tabular": "native", "text": "lsa", "image": "principal"},
    description="boosted trees (XGBoost)",
    needs=("xgboost",),
)
