"""Logistic regression with an L2 penalty."""

from typing import Any

from harness.registry.family import Family
from harness.registry.space import log_float


def build(seed: int, **params: Any) -> Any:
    """A multinomial logistic regression."""
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(random_state=seed, max_iter=1000, **params)


FAMILY = Family(
    name="logistic_regression",
    build=build,
    space={"C": log_float(1e-4, 1e2, default=1.0)},
    encodings={"tabular": "one_hot_scaled", "text": "tfidf", "image": "embedding"},
    description="linear in the features, L2 penalty",
)
