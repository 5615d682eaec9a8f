"""The baseline: predicts the share of each class among the training rows, whatever the features."""

from typing import Any

from harness.registry.family import Family


def build(seed: int) -> Any:
    """A classifier that ignores the features."""
    from sklearn.dummy import DummyClassifier

    return DummyClassifier(strategy="prior", random_state=seed)


FAMILY = Family(
    name="majority",
    build=build,
    space={},
    encodings={"tabular": "ordinal", "text": "texts", "image": "pixels"},
    description="predicts the training prior: the baseline",
    strategies=("none",),
    trials=1,
)
