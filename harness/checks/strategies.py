"""The contract of an imbalance strategy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from harness.checks.small import small
from harness.checks.verdict import Verdict, named, run_checks
from harness.declare.space import defaults
from harness.declare.strategy import Strategy


def check_strategy(strategy: Strategy) -> Iterator[Verdict]:
    """Hold a strategy to the contract, on a small mixed table: what its kind must give, and the same for the same seed."""

    def describes_itself() -> str:
        return "" if strategy.description else "a description must be given"

    by_kind = {"weight": _weighting, "resample": _resampling, "ensemble": _ensemble}
    own = by_kind[strategy.kind](strategy) if strategy.kind in by_kind else []
    yield from run_checks("strategy", strategy.name, [named(strategy.name), describes_itself, *own])


def _weighting(strategy: Strategy) -> list[Callable[[], str]]:
    import numpy as np

    def weighs_every_row() -> str:
        y = small("tabular", 2).y
        weights = np.asarray(_built(strategy, y, None))
        if weights.shape != y.shape or not (weights > 0).all() or not np.isfinite(weights).all():
            return f"one positive weight per row is expected, but got shape {weights.shape}"
        return ""

    return [weighs_every_row]


def _resampling(strategy: Strategy) -> list[Callable[[], str]]:
    import numpy as np

    from harness.data.prepare import fit_preparer
    from harness.search.fold_cache import FoldCache
    from harness.search.resample import resample

    def resampled() -> Any:
        table = small("tabular", 2)
        preparer = fit_preparer(table.X)
        rows, params = preparer.transform(table.X), defaults(strategy.space)
        return (*resample(strategy, params, rows, table.y, preparer.layout, 5, FoldCache()), preparer.layout)

    def makes_typed_rows() -> str:
        made, y, layout = resampled()
        if len(made) != len(y) or not np.isfinite(made.numbers).all():
            return f"{len(made)} rows for {len(y)} labels, or numbers that are not finite"
        if (made.codes < 0).any() or (made.codes >= np.array(layout.levels)).any():
            return "a category that does not exist was made"
        return "" if len(np.unique(y)) == 2 else "a class was lost"

    def repeats_itself() -> str:
        (first, y, _), (second, z, _) = resampled(), resampled()
        same = len(y) == len(z) and (first.numbers == second.numbers).all() and (y == z).all()
        return "" if same else "the same seed made other rows: draw from `seed` alone"

    return [makes_typed_rows, repeats_itself]


def _ensemble(strategy: Strategy) -> list[Callable[[], str]]:
    import numpy as np

    def makes_a_classifier() -> str:
        """Probabilities of a shape that sums to one, the same for the same seed."""
        from sklearn.linear_model import LogisticRegression

        y = small("tabular", 2).y
        X = (y + np.random.default_rng(1).normal(size=len(y))).reshape(-1, 1)
        members = (_built(strategy, lambda _seed: LogisticRegression(), 5) for _ in range(2))
        first, second = (one.fit(X, y).predict_proba(X) for one in members)
        if first.shape != (len(y), 2) or abs(first.sum(axis=1) - 1).max() > 1e-6:
            return f"rows of shape {first.shape} must sum to one"
        return "" if (first == second).all() else "the same seed gave other probabilities: draw from `seed` alone"

    return [makes_a_classifier]


def _built(strategy: Strategy, *given: Any) -> Any:
    assert strategy.build is not None  # noqa: S101 -- checked where strategies are declared
    return strategy.build(*given, **defaults(strategy.space))
