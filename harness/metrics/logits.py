"""Probabilities on the scale of their logarithms, and the regressions on that scale that calibrators and ensembles use."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Labels: TypeAlias = npt.NDArray[np.int64]
Proba: TypeAlias = npt.NDArray[np.floating]
Floats: TypeAlias = npt.NDArray[np.float64]

STEPS, TOLERANCE = 100, 1e-10  #: of Newton's method


def logs_of(proba: Proba, least: float) -> Floats:
    """Logarithms of probabilities, those below `least` taken for it."""
    logs: Floats = np.log(np.clip(proba.astype(float), least, 1.0))
    return logs


def softmax(score: Floats) -> Floats:
    """Rows (n, k) of numbers as probabilities."""
    raised = np.exp(score - score.max(axis=1, keepdims=True))
    shares: Floats = raised / raised.sum(axis=1, keepdims=True)
    return shares


def logistic(features: Floats, targets: Floats, ridge: Floats) -> Floats:
    """Weights (d,) of a logistic regression: features (d, n), targets (n,) between 0 and 1, Newton's method.

    `ridge` (d,) times half the squared weights is added to the sum of the losses.
    """

    def slopes(weights: Floats) -> tuple[float, Floats, Floats]:
        score = weights @ features
        small = np.exp(-np.abs(score))  # what never overflows serves the probabilities and the loss
        said = np.where(score < 0, small, 1.0) / (1 + small)
        loss = float((np.maximum(score, 0) + np.log1p(small)).sum() - targets @ score)
        return loss, features @ (said - targets), (features * (said * (1 - said))) @ features.T

    return _newton(slopes, ridge)


def pool(features: Floats, y: Labels, ridge: Floats) -> Floats:
    """Weights (d,) with which features (d, n, k) add up to the logarithms of the probabilities of the labels: conditional
    logit (McFadden 1974), Newton's method; `ridge` as for `logistic`.
    """
    rows = np.arange(len(y))

    def slopes(weights: Floats) -> tuple[float, Floats, Floats]:
        score = np.tensordot(weights, features, 1)
        said = softmax(score)
        top = score.max(axis=1)
        loss = float((np.log(np.exp(score - top[:, None]).sum(axis=1)) + top - score[rows, y]).sum())
        mean = (features * said).sum(axis=2)
        flat = features.reshape(len(features), -1)
        spread = (flat * said.reshape(-1)) @ flat.T - mean @ mean.T
        return loss, mean.sum(axis=1) - features[:, rows, y].sum(axis=1), spread

    return _newton(slopes, ridge)


def _newton(slopes: Callable[[Floats], tuple[float, Floats, Floats]], ridge: Floats) -> Floats:
    """Where a convex function is least, from its value, gradient and Hessian; steps are halved until they go down."""
    weights = np.zeros(len(ridge))

    def ridged(at: Floats) -> tuple[float, Floats, Floats]:
        loss, gradient, hessian = slopes(at)
        return loss + float(ridge @ at**2) / 2, gradient + ridge * at, hessian + np.diag(ridge)

    loss, gradient, hessian = ridged(weights)
    for _ in range(STEPS):
        step = np.linalg.lstsq(hessian, gradient, rcond=None)[0]
        gain = float(step @ gradient)
        if not gain > TOLERANCE * (abs(loss) + 1):
            break
        found = ridged(weights - step)
        while found[0] > loss and np.abs(step).max() > TOLERANCE:
            step = step / 2
            found = ridged(weights - step)
        if found[0] > loss:
            break
        weights, (loss, gradient, hessian) = weights - step, found
    return weights
