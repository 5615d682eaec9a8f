"""LightGBM."""

from typing import Any

from harness.registry.family import Family
from harness.registry.space import integer, log_float, real


def build(seed: int, **params: Any) -> Any:
    """Boosted trees grown leaf by leaf that accept missing values and categories."""
    from lightgbm import LGBMClassifier

    return LGBMClassifier(
        subsample_freq=1,  # without it `subsample` has no effect
        deterministic=True,
        force_row_wise=True,  # else it times both ways and takes the faster, which can differ from run to run
        n_jobs=1,
        random_state=seed,
        verbosity=-1,
        **params,
    )


FAMILY = Family(
    name="lightgbm",
    build=build,
    space={
        "learning_rate": log_float(0.02, 0.3, default=0.1),
        "n_estimators": integer(50, 200, default=100, log=True),
        "num_leaves": integer(3, 32, default=8, log=True),
        "min_child_samples": integer(5, 100, default=20, log=True),
        "subsample": real(0.5, 1.0, default=1.0),
        "colsample_bytree": real(0.3, 1.0, default=1.0),
        "reg_lambda": log_float(1e-4, 1e2, default=1e-4),
    },
    encodings={"tabular": "native", "text": "lsa", "image": "principal"},
    description="boosted trees grown leaf by leaf (LightGBM)",
    needs=("lightgbm",),
    extra="boosting",
)
