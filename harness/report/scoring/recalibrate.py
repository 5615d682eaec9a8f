"""Probabilities made sounder afterwards: calibrators fitted on inner out-of-fold rows, and the correction of a known prior.

Nothing here sees a test label: a calibrator is fitted on what a classifier said of training rows that it had not learnt from.
With several classes isotonic and sigmoid calibrators are fitted to each class against the rest and their probabilities
normalised (Zadrozny & Elkan 2002), as scikit-learn does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Labels: TypeAlias = npt.NDArray[np.int64]
Proba: TypeAlias = npt.NDArray[np.floating]
Floats: TypeAlias = npt.NDArray[np.float64]
Calibrator: TypeAlias = Callable[[Proba], Floats]  #: probabilities (n, k) → probabilities (n, k)

FITTED = ("isotonic", "sigmoid", "temperature")  #: calibrators that are fitted on rows
PRIOR = "prior"
LEAST = float(
    np.finfo(np.float32).eps
)  #: in fitting, less is taken for this: a stored 0 is no reason to move all others
TINY = 1e-30  #: in applying, so that the order of rows stays what it is
PARTS = 5  #: into which the rows are cut where a threshold must not be chosen on rows that its calibrator was fitted on
STEPS, TOLERANCE = 100, 1e-10  #: of Newton's method


def fit_calibrator(name: str, proba: Proba, y: Labels) -> Calibrator:
    """One of FITTED, fitted on probabilities (n, k) without NaN and labels (n,); each class must have a row.

    `isotonic`: the non-decreasing step function nearest the labels, linear between its steps (Zadrozny & Elkan 2002).
    `sigmoid`: a logistic function of the log-odds, with Platt's (1999) targets that keep it finite. `temperature`: all
    log-odds divided by one number (Guo et al. 2017), which never changes the most probable class.
    """
    if name == "temperature":
        return _temperature(proba, y)
    fit = {"isotonic": _isotonic, "sigmoid": _sigmoid}[name]
    if proba.shape[1] == 2:
        positive = fit(_of_class(proba, 1, name, LEAST), y == 1)
        return lambda seen: _two(positive(_of_class(seen, 1, name, TINY)))
    each = [fit(_of_class(proba, one, name, LEAST), y == one) for one in range(proba.shape[1])]

    def calibrate(seen: Proba) -> Floats:
        raw = np.stack([one(_of_class(seen, at, name, TINY)) for at, one in enumerate(each)], axis=1)
        return _shares(raw)

    return calibrate


def correct_prior(proba: Proba, before: Sequence[float], after: Sequence[float]) -> Floats:
    """Probabilities (n, k) learnt under class counts `after`, as they are under `before`, where rows of a class are alike.

    Each is multiplied by the ratio of the two priors and the row normalised: Elkan (2001), Saerens, Latinne & Decaestecker
    (2002). It holds for weights and for rows repeated or left out at random, which change how common a class is and
    nothing within it.
    """
    true, seen = np.asarray(before, dtype=float), np.asarray(after, dtype=float)
    ratio = np.divide(true / true.sum(), seen / seen.sum(), out=np.zeros_like(true), where=seen > 0)
    return _shares(proba.astype(float) * ratio)


def parts_of(y: Labels, parts: int, seed: int) -> Labels:
    """A part (n,) for every row, each part with nearly the same share of every class; the same for the same seed."""
    rng = np.random.default_rng(seed)
    found = np.zeros(len(y), dtype=np.int64)
    start = 0
    for one in np.unique(y):
        rows = rng.permutation(np.flatnonzero(y == one))
        found[rows] = (start + np.arange(len(rows))) % parts
        start += len(rows)
    return found


def cross_fitted(fit: Callable[[Labels], Calibrator], proba: Proba, parts: Labels) -> Floats:
    """Probabilities (n, k), each from a calibrator that was fitted without the row's part; `fit` gets positions of rows."""
    found = np.empty(proba.shape)
    for part in np.unique(parts):
        out = parts == part
        found[out] = fit(np.flatnonzero(~out))(proba[out])
    return found


def enough(y: Labels, classes: int, parts: int) -> bool:
    """Whether each class has a row in every part, so that calibrators can be fitted on all but one of them."""
    return bool((np.bincount(y, minlength=classes) >= parts).all())


def logs_of(proba: Proba, least: float) -> Floats:
    """Logarithms of probabilities, those below `least` taken for it."""
    logs: Floats = np.log(np.clip(proba.astype(float), least, 1.0))
    return logs


def _of_class(proba: Proba, one: int, name: str, least: float) -> Floats:
    """What a calibrator of one class takes: its probability, or for `sigmoid` the log-odds.

    Of two classes both columns are used: float32 cannot tell 1 − 1e-9 from 1.
    """
    column = proba[:, one].astype(float)
    if name == "isotonic":
        return column
    pair = logs_of(proba if proba.shape[1] == 2 else _two(column), least)
    return pair[:, 1] - pair[:, 0]


def _isotonic(said: Floats, came: npt.NDArray[np.bool_]) -> Callable[[Floats], Floats]:
    from scipy.optimize import isotonic_regression

    order = np.argsort(said, kind="stable")
    values, begins = np.unique(said[order], return_index=True)
    counts = np.diff(np.append(begins, len(said))).astype(float)
    steps = isotonic_regression(np.add.reduceat(came[order].astype(float), begins) / counts, weights=counts).x
    corners = np.ones(len(steps), dtype=bool)
    corners[1:-1] = (steps[1:-1] != steps[:-2]) | (steps[1:-1] != steps[2:])
    return lambda seen: np.interp(seen, values[corners], steps[corners])


def _sigmoid(said: Floats, came: npt.NDArray[np.bool_]) -> Callable[[Floats], Floats]:
    positives, negatives = came.sum(), (~came).sum()
    targets = np.where(came, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    slope, shift = logistic(np.stack([said, np.ones_like(said)]), targets, np.zeros(2))
    return lambda seen: _expit(slope * seen + shift)


def _temperature(proba: Proba, y: Labels) -> Calibrator:
    logs = logs_of(proba, LEAST)
    if proba.shape[1] == 2:
        sharpness = logistic((logs[:, 1] - logs[:, 0])[None], (y == 1).astype(float), np.zeros(1))
    else:
        sharpness = pool(logs[None], y, np.zeros(1))
    inverse = max(float(sharpness[0]), 1e-3)  # more is said of what came true less often: next to nothing is left of it
    return lambda seen: softmax(logs_of(seen, TINY) * inverse)


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


def softmax(score: Floats) -> Floats:
    """Rows (n, k) of numbers as probabilities."""
    raised = np.exp(score - score.max(axis=1, keepdims=True))
    shares: Floats = raised / raised.sum(axis=1, keepdims=True)
    return shares


def _shares(raw: Floats) -> Floats:
    """Rows (n, k) divided by their sums; where that is 0, all alike."""
    total = raw.sum(axis=1, keepdims=True)
    found: Floats = np.divide(raw, total, out=np.full_like(raw, 1 / raw.shape[1]), where=total > 0)
    return found


def _expit(score: Floats) -> Floats:
    from scipy.special import expit

    found: Floats = expit(score)
    return found


def _two(positive: Floats) -> Floats:
    return np.stack([1 - positive, positive], axis=1)


def prior_is_known(strategy: Mapping[str, object], name: str) -> bool:
    """Whether a strategy, as `run.json` describes it, only changes how common classes are: weights, rows chosen at random.

    Runs made before `chooses` was stored are told by the names of the two strategies that did.
    """
    if strategy.get("kind") == "weight":
        return True
    chooses = strategy.get("chooses", name in ("random_oversampling", "random_undersampling"))
    return strategy.get("kind") == "resample" and bool(chooses)
