"""The contract of a metric."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from harness.checks.verdict import Verdict, named, run_checks
from harness.declare.metric import Metric, Predictions

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

FACES = ("ranking", "decision", "probability")


def check_metric(metric: Metric) -> Iterator[Verdict]:
    """Hold a metric to the contract: a finite float, better for better predictions, indifferent to the order of rows."""
    import numpy as np

    rng = np.random.default_rng(4)
    y = (rng.random(400) < 0.3).astype(np.int64)
    costs = ((0.0, 1.0), (5.0, 0.0)) if metric.needs_costs else None

    def score(strength: float, order: npt.NDArray[np.int64] | None = None) -> float:
        noise = np.random.default_rng(6).random(len(y))
        positive = np.clip(strength * y + (1 - strength) * noise, 0.01, 0.99)
        proba = np.column_stack([1 - positive, positive])
        rows = np.arange(len(y)) if order is None else order
        return metric.compute(Predictions(y[rows], proba[rows], costs=costs))

    def has_a_face() -> str:
        return "" if metric.face in FACES else f"face must be one of {FACES}, but got {metric.face!r}"

    def is_a_finite_float() -> str:
        value = score(0.5)
        return (
            "" if isinstance(value, float) and np.isfinite(value) else f"a finite float is expected, but got {value!r}"
        )

    def prefers_the_better() -> str:
        good, bad = score(0.9), score(0.1)
        better = good > bad if metric.greater_is_better else good < bad
        return "" if better else f"good predictions scored {good:.3f}, bad ones {bad:.3f}: look at greater_is_better"

    def does_not_mind_the_order() -> str:
        one, other = score(0.4), score(0.4, rng.permutation(len(y)))
        return "" if abs(one - other) < 1e-9 else f"other order, other value: {one} and {other}"

    checks = [named(metric.name), has_a_face, is_a_finite_float, prefers_the_better, does_not_mind_the_order]
    yield from run_checks("metric", metric.name, checks)
