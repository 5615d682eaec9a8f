"""Logarithms of probabilities, and the regressions on them that calibrators and ensembles use."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Labels: TypeAlias = npt.NDArray[np.int64]
Proba: TypeAlias = npt.NDArray[np.floating]
Floats: TypeAlias = npt.NDArray[np.float64]

MAX_STEPS, TOLERANCE = 100, 1e-10  #: of Newton's method


def log_proba(proba: Proba, minimum: float) -> Floats:
    """Take the logarithm of probabilities, after raising those below `minimum` to it."""
    return np.asarray(np.log(np.clip(proba.astype(float), minimum, 1.0)))


def softmax(scores: Floats) -> Floats:
    """Turn rows (n, k) of scores into probabilities (n, k)."""
    exponentials = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(axis=1, keepdims=True))


def logistic(features: Floats, targets: Floats, ridge: Floats, row_weights: Floats | None = None) -> Floats:
    """Fit a logistic regression by Newton's method.

    Parameters
    ----------
    features : ndarray of shape (d, n)
        Include a row of ones for an intercept.
    targets : ndarray of shape (n,)
        Between 0 and 1.
    ridge : ndarray of shape (d,)
        ``ridge * weights**2 / 2`` is added to the sum of the losses.
    row_weights : ndarray of shape (n,), optional
        Weights of the losses.

    Returns
    -------
    ndarray of shape (d,)
        The weights.
    """

    weighted_targets = targets
    if row_weights is not None:
        weighted_targets = targets * row_weights

    def derivatives(weights: Floats) -> tuple[float, Floats, Floats]:
        score = weights @ features
        exp_minus_magnitude = np.exp(-np.abs(score))  # never overflows, and serves the probabilities and the loss
        proba = np.where(score < 0, exp_minus_magnitude, 1.0) / (1 + exp_minus_magnitude)
        losses = np.maximum(score, 0) + np.log1p(exp_minus_magnitude)
        residuals, curvatures = proba - targets, proba * (1 - proba)
        if row_weights is not None:
            losses, residuals, curvatures = losses * row_weights, residuals * row_weights, curvatures * row_weights
        loss = float(losses.sum() - weighted_targets @ score)
        return loss, features @ residuals, (features * curvatures) @ features.T

    return _newton_minimum(derivatives, ridge)


def conditional_logit(features: Floats, y: Labels, ridge: Floats, row_weights: Floats | None = None) -> Floats:
    """Fit a conditional logit model by Newton's method.

    The weighted sum of the features, which differ by class, gives the logarithms of the class probabilities.

    Parameters
    ----------
    features : ndarray of shape (d, n, k)
        d features of each of k classes.
    y : ndarray of shape (n,)
        Labels from 0 to k - 1.
    ridge, row_weights
        As for `logistic`.

    Returns
    -------
    ndarray of shape (d,)
        The weights.

    References
    ----------
    McFadden (1974), Conditional Logit Analysis of Qualitative Choice Behavior.
    """
    rows = np.arange(len(y))
    counts = np.ones(len(y)) if row_weights is None else row_weights

    def derivatives(weights: Floats) -> tuple[float, Floats, Floats]:
        score = np.tensordot(weights, features, 1)
        proba = softmax(score)
        top_score = score.max(axis=1)
        losses = np.log(np.exp(score - top_score[:, None]).sum(axis=1)) + top_score - score[rows, y]
        mean_features = (features * proba).sum(axis=2)
        flat_features = features.reshape(len(features), -1)
        hessian = (flat_features * (proba * counts[:, None]).reshape(-1)) @ flat_features.T - (
            mean_features * counts
        ) @ mean_features.T
        gradient = (mean_features * counts).sum(axis=1) - (features[:, rows, y] * counts).sum(axis=1)
        return float((losses * counts).sum()), gradient, hessian

    return _newton_minimum(derivatives, ridge)


def _newton_minimum(derivatives: Callable[[Floats], tuple[float, Floats, Floats]], ridge_penalties: Floats) -> Floats:
    """Minimise a convex function with a ridge penalty, given its value, gradient and Hessian.

    A step that does not lower the function is halved until it does.
    """
    weights = np.zeros(len(ridge_penalties))

    def penalized(point: Floats) -> tuple[float, Floats, Floats]:
        loss, gradient, hessian = derivatives(point)
        return (
            loss + float(ridge_penalties @ point**2) / 2,
            gradient + ridge_penalties * point,
            hessian + np.diag(ridge_penalties),
        )

    loss, gradient, hessian = penalized(weights)
    for _ in range(MAX_STEPS):
        step = np.linalg.lstsq(hessian, gradient, rcond=None)[0]
        expected_decrease = float(step @ gradient)
        if not expected_decrease > TOLERANCE * (abs(loss) + 1):
            break
        candidate_point = penalized(weights - step)
        while candidate_point[0] > loss and np.abs(step).max() > TOLERANCE:
            step = step / 2
            candidate_point = penalized(weights - step)
        if candidate_point[0] > loss:
            break
        weights, (loss, gradient, hessian) = weights - step, candidate_point
    return weights
