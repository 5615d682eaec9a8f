"""Probabilities made sounder afterwards: calibrators fitted on inner out-of-fold rows, and the correction of a known prior.

A calibrator is a value: it can be kept, compared and saved with a model. Nothing here sees a test label: it is fitted on what a
classifier said of training rows that it had not learnt from. With several classes isotonic and sigmoid calibrators are
fitted to each class against the rest and their probabilities normalised (Zadrozny & Elkan 2002), as scikit-learn does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from harness.metrics.logits import Floats, Labels, Proba, logistic, logs_of, pool, softmax
from harness.metrics.threshold import best_threshold

NONE, PRIOR = "none", "prior"
FITTED = ("isotonic", "sigmoid", "temperature")  #: calibrators that are fitted on rows
CALIBRATIONS = (NONE, *FITTED, PRIOR)
LEAST = float(
    np.finfo(np.float32).eps
)  #: in fitting, less is taken for this: a stored 0 is no reason to move all others
TINY = 1e-30  #: in applying, so that the order of rows stays what it is
PARTS = 5  #: into which the rows are cut where a threshold must not be chosen on rows that its calibrator was fitted on


@dataclass(frozen=True)
class Steps:
    """A function that never falls, linear between its corners: `at` (m,) probabilities, what `comes` (m,) of them."""

    at: Floats
    comes: Floats

    def of(self, proba: Proba, one: int) -> Floats:
        """What the probabilities (n, k) of one class become, (n,)."""
        return np.interp(_column(proba, one), self.at, self.comes)


@dataclass(frozen=True)
class Curve:
    """A logistic function of the log-odds."""

    slope: float
    shift: float

    def of(self, proba: Proba, one: int) -> Floats:
        """What the probabilities (n, k) of one class become, (n,)."""
        return _expit(self.slope * _log_odds(proba, one, TINY) + self.shift)


@dataclass(frozen=True)
class EachClass:
    """One function per class, and what comes of them normalised; of two classes that of the positive one alone."""

    functions: tuple[Steps | Curve, ...]

    def __call__(self, proba: Proba) -> Floats:
        """Probabilities (n, k) from probabilities (n, k)."""
        if proba.shape[1] == 2:
            return _two(self.functions[0].of(proba, 1))
        return _shares(np.stack([one.of(proba, at) for at, one in enumerate(self.functions)], axis=1))


@dataclass(frozen=True)
class Temperature:
    """All log-odds multiplied by one number."""

    inverse: float

    def __call__(self, proba: Proba) -> Floats:
        """Probabilities (n, k) from probabilities (n, k)."""
        return softmax(logs_of(proba, TINY) * self.inverse)


@dataclass(frozen=True)
class Prior:
    """Probabilities learnt under class counts `after`, as they are under `before`."""

    before: tuple[float, ...]
    after: tuple[float, ...]

    def __call__(self, proba: Proba) -> Floats:
        """Probabilities (n, k) from probabilities (n, k)."""
        return correct_prior(proba, self.before, self.after)


Calibrator: TypeAlias = EachClass | Temperature | Prior


def fit_calibrator(name: str, proba: Proba, y: Labels) -> EachClass | Temperature:
    """One of FITTED, fitted on probabilities (n, k) without NaN and labels (n,); each class must have a row.

    `isotonic`: the non-decreasing step function nearest the labels, linear between its steps (Zadrozny & Elkan 2002).
    `sigmoid`: a logistic function of the log-odds, with Platt's (1999) targets that keep it finite. `temperature`: all
    log-odds divided by one number (Guo et al. 2017), which never changes the most probable class.
    """
    if name == "temperature":
        return _temperature(proba, y)
    fits: Mapping[str, Callable[[Proba, Labels, int], Steps | Curve]] = {"isotonic": _isotonic, "sigmoid": _sigmoid}
    classes = (1,) if proba.shape[1] == 2 else range(proba.shape[1])
    return EachClass(tuple(fits[name](proba, y, one) for one in classes))


def calibrator_of(
    name: str, proba: Proba, y: Labels, before: Sequence[float], after: Sequence[float]
) -> Calibrator | None:
    """A calibration by its name, None for `none`: fitted on the rows of `proba` (n, k) that are not NaN, or from class counts."""
    if name == NONE:
        return None
    if name == PRIOR:
        return Prior(tuple(before), tuple(after))
    known = ~np.isnan(proba).any(axis=1)
    return fit_calibrator(name, proba[known], y[known])


def threshold_after(
    fit: Callable[[Proba, Labels], Calibrator],
    proba: Proba,
    y: Labels,
    seed: int,
    costs: tuple[tuple[float, ...], ...] | None = None,
) -> float:
    """The threshold of two classes after a calibration, chosen on rows that their calibrator was not fitted on.

    `proba` (n, 2) without NaN and `y` (n,), of which each class has PARTS rows at least (`enough`).
    """
    parts = parts_of(y, PARTS, seed)
    corrected = cross_fitted(lambda rows: fit(proba[rows], y[rows]), proba, parts).astype(np.float32)
    return best_threshold(y, corrected, costs)


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


def cross_fitted(fit: Callable[[Labels], Callable[[Proba], Floats]], proba: Proba, parts: Labels) -> Floats:
    """Probabilities (n, k), each from a calibrator that was fitted without the row's part; `fit` gets positions of rows."""
    found = np.empty(proba.shape)
    for part in np.unique(parts):
        out = parts == part
        found[out] = fit(np.flatnonzero(~out))(proba[out])
    return found


def enough(y: Labels, classes: int, parts: int) -> bool:
    """Whether each class has a row in every part, so that calibrators can be fitted on all but one of them."""
    return bool((np.bincount(y, minlength=classes) >= parts).all())


def prior_is_known(strategy: Mapping[str, object], name: str) -> bool:
    """Whether a strategy, as `run.json` describes it, only changes how common classes are: weights, rows chosen at random.

    Runs made before `chooses` was stored are told by the names of the two strategies that did.
    """
    if strategy.get("kind") == "weight":
        return True
    chooses = strategy.get("chooses", name in ("random_oversampling", "random_undersampling"))
    return strategy.get("kind") == "resample" and bool(chooses)


def _column(proba: Proba, one: int) -> Floats:
    column: Floats = proba[:, one].astype(float)
    return column


def _log_odds(proba: Proba, one: int, least: float) -> Floats:
    """The log-odds (n,) of a class. Of two classes both columns are used: float32 cannot tell 1 − 1e-9 from 1."""
    pair = logs_of(proba if proba.shape[1] == 2 else _two(_column(proba, one)), least)
    return pair[:, 1] - pair[:, 0]


def _isotonic(proba: Proba, y: Labels, one: int) -> Steps:
    from scipy.optimize import isotonic_regression

    said, came = _column(proba, one), y == one
    order = np.argsort(said, kind="stable")
    values, begins = np.unique(said[order], return_index=True)
    counts = np.diff(np.append(begins, len(said))).astype(float)
    steps = isotonic_regression(np.add.reduceat(came[order].astype(float), begins) / counts, weights=counts).x
    corners = np.ones(len(steps), dtype=bool)
    corners[1:-1] = (steps[1:-1] != steps[:-2]) | (steps[1:-1] != steps[2:])
    return Steps(values[corners], steps[corners])


def _sigmoid(proba: Proba, y: Labels, one: int) -> Curve:
    said, came = _log_odds(proba, one, LEAST), y == one
    positives, negatives = came.sum(), (~came).sum()
    targets = np.where(came, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    slope, shift = logistic(np.stack([said, np.ones_like(said)]), targets, np.zeros(2))
    return Curve(float(slope), float(shift))


def _temperature(proba: Proba, y: Labels) -> Temperature:
    logs = logs_of(proba, LEAST)
    if proba.shape[1] == 2:
        sharpness = logistic((logs[:, 1] - logs[:, 0])[None], (y == 1).astype(float), np.zeros(1))
    else:
        sharpness = pool(logs[None], y, np.zeros(1))
    # Where more is said of what came true less often, next to nothing is left of it.
    return Temperature(max(float(sharpness[0]), 1e-3))


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
