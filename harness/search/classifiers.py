"""The classifier of a configuration: one of its family, or an ensemble of them where that is the strategy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.registry.family import limit_leaf_sizes
from harness.registry.strategy import Strategy


def build_classifier(
    build_member: Callable[[int], Any], strategy: tuple[Strategy, Mapping[str, Any]], seed: int
) -> Any:
    """Build an unfitted classifier, or an ensemble of them where that is the strategy.

    Parameters
    ----------
    build_member : callable
        Builds an unfitted classifier of the family from a seed.
    strategy : tuple of Strategy and mapping
        The strategy and its parameters.
    seed : int
        Seed of the classifier.
    """
    applied, params = strategy
    if applied.kind == "ensemble":
        assert applied.build is not None  # noqa: S101 -- checked where strategies are declared
        return applied.build(build_member, seed, **params)
    return build_member(seed)


def limit_leaves(
    strategy: Strategy, params: dict[str, Any], y: npt.NDArray[np.int64], real_rows: int
) -> dict[str, Any]:
    """Lower the sizes of leaves where a strategy leaves so few rows that a tree would have one leaf.

    Parameters
    ----------
    strategy : Strategy
        The strategy.
    params : dict
        Parameters of the family.
    y : array of shape (n_rows,), int
        Labels of the rows after the strategy.
    real_rows : int
        How many rows there were before.
    """
    rows = len(y)
    if strategy.kind == "ensemble":  # each member is fitted on as many rows of every class as the rarest has
        counts = np.bincount(y)
        rows = int((counts > 0).sum() * counts[counts > 0].min())
    if rows >= real_rows:
        return params
    return limit_leaf_sizes(params, rows)
