"""Recalibrated probabilities: calibrators fitted on inner out-of-fold rows, and the correction of a known prior.

A calibrator is a value that can be cached, compared and saved with a model. It is fitted on the out-of-fold probabilities of
training rows and never sees a test label. With several classes the isotonic and sigmoid calibrators are fitted to each class
against the rest and their probabilities are normalised (Zadrozny & Elkan 2002), as scikit-learn does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from harness.metrics.logits import Floats, Labels, Proba, conditional_logit, log_proba, logistic, softmax
from harness.metrics.metric import CostMatrix, best_threshold

NO_CALIBRATION, PRIOR_CORRECTION = "none", "prior"
FITTED_CALIBRATIONS = ("isotonic", "sigmoid", "temperature")  #: calibrators that are fitted on rows
CALIBRATIONS = (NO_CALIBRATION, *FITTED_CALIBRATIONS, PRIOR_CORRECTION)
#: In fitting, lower probabilities are raised to this: a stored 0 is no reason to move all others.
MIN_FIT_PROBA = float(np.finfo(np.float32).eps)
MIN_PROBA = 1e-30  #: in applying; so low that the order of the rows does not change
N_FOLDS = 5  #: of the rows, where a threshold must not be chosen on rows that its calibrator was fitted on


@dataclass(frozen=True)
class IsotonicFunction:
    """A non-decreasing function, linear between its knots: `x` (m,) probabilities, `y` (m,) their calibrated values."""

    x: Floats
    y: Floats

    def apply(self, proba: Proba, label: int) -> Floats:
        """Calibrate the probabilities of one class, (n, k) → (n,)."""
        return np.interp(_class_probabilities(proba, label), self.x, self.y)


@dataclass(frozen=True)
class SigmoidFunction:
    """A logistic function of the log-odds."""

    slope: float
    shift: float

    def apply(self, proba: Proba, label: int) -> Floats:
        """Calibrate the probabilities of one class, (n, k) → (n,)."""
        return _logistic_function(self.slope * _log_odds(proba, label, MIN_PROBA) + self.shift)


@dataclass(frozen=True)
class OneVsRestCalibrator:
    """One function per class, the results normalised; with two classes one function, for the positive class."""

    functions: tuple[IsotonicFunction | SigmoidFunction, ...]

    def __call__(self, proba: Proba) -> Floats:
        """Calibrate probabilities (n, k)."""
        if proba.shape[1] == 2:
            return _add_negative_column(self.functions[0].apply(proba, 1))
        calibrated_columns = [
            class_function.apply(proba, class_label) for class_label, class_function in enumerate(self.functions)
        ]
        return _normalize_rows(np.stack(calibrated_columns, axis=1))


@dataclass(frozen=True)
class TemperatureScaling:
    """All log-odds multiplied by one number, the inverse of the temperature."""

    inverse: float

    def __call__(self, proba: Proba) -> Floats:
        """Calibrate probabilities (n, k)."""
        return softmax(log_proba(proba, MIN_PROBA) * self.inverse)


@dataclass(frozen=True)
class PriorCorrection:
    """Probabilities that were learnt under the class counts `training_counts`, corrected to `true_counts`."""

    true_counts: tuple[float, ...]
    training_counts: tuple[float, ...]

    def __call__(self, proba: Proba) -> Floats:
        """Correct probabilities (n, k)."""
        return correct_prior(proba, self.true_counts, self.training_counts)


Weights: TypeAlias = Floats | None
Calibrator: TypeAlias = OneVsRestCalibrator | TemperatureScaling | PriorCorrection
#: Fits a calibrator on probabilities, labels and, where rows have them, weights.
CalibratorFit: TypeAlias = Callable[..., Calibrator]


def fit_calibrator(
    name: str, proba: Proba, y: Labels, weights: Weights = None
) -> OneVsRestCalibrator | TemperatureScaling:
    """Fit one of `FITTED_CALIBRATIONS`.

    Parameters
    ----------
    name : {"isotonic", "sigmoid", "temperature"}
        ``isotonic`` is the non-decreasing step function nearest the labels, linear between its steps [1]_. ``sigmoid`` is
        a logistic function of the log-odds, with targets that keep it finite [2]_. ``temperature`` divides all log-odds by
        one number, which never changes the most probable class [3]_.
    proba : ndarray of shape (n, k)
        Probabilities without NaN.
    y : ndarray of shape (n,)
        Labels; each class must have a row.
    weights : ndarray of shape (n,), optional
        Weights of the rows.

    Returns
    -------
    OneVsRestCalibrator or TemperatureScaling
        A function of probabilities (n, k).

    References
    ----------
    .. [1] Zadrozny & Elkan (2002), Transforming Classifier Scores into Accurate Multiclass Probability Estimates, KDD.
    .. [2] Platt (1999), Probabilistic Outputs for Support Vector Machines.
    .. [3] Guo, Pleiss, Sun & Weinberger (2017), On Calibration of Modern Neural Networks, ICML.
    """
    if name == "temperature":
        return _fit_temperature(proba, y, weights)
    fit_functions: Mapping[str, Callable[[Proba, Labels, int, Weights], IsotonicFunction | SigmoidFunction]]
    fit_functions = {"isotonic": _fit_isotonic, "sigmoid": _fit_sigmoid}
    labels = (1,) if proba.shape[1] == 2 else range(proba.shape[1])
    return OneVsRestCalibrator(tuple(fit_functions[name](proba, y, label, weights) for label in labels))


def make_calibrator(
    name: str,
    proba: Proba,
    y: Labels,
    true_counts: Sequence[float],
    training_counts: Sequence[float],
    weights: Weights = None,
) -> Calibrator | None:
    """Make a calibrator by name, from rows or from class counts.

    Parameters
    ----------
    name : str
        One of `CALIBRATIONS`.
    proba : ndarray of shape (n, k)
        Probabilities to fit on; rows with NaN are left out.
    y : ndarray of shape (n,)
        Their labels.
    true_counts, training_counts : sequence of float
        Rows per class before and after the strategy, for ``"prior"``.
    weights : ndarray of shape (n,), optional
        Weights of the rows.

    Returns
    -------
    Calibrator or None
        None for ``"none"``.
    """
    if name == NO_CALIBRATION:
        return None
    if name == PRIOR_CORRECTION:
        return PriorCorrection(tuple(true_counts), tuple(training_counts))
    has_prediction = ~np.isnan(proba).any(axis=1)
    return fit_calibrator(
        name, proba[has_prediction], y[has_prediction], None if weights is None else weights[has_prediction]
    )


def choose_calibrated_threshold(
    fit: CalibratorFit, proba: Proba, y: Labels, seed: int, costs: CostMatrix = None, weights: Weights = None
) -> float:
    """Choose the threshold of two classes after a calibration, on rows that the calibrator was not fitted on.

    Parameters
    ----------
    fit : callable
        Fits a calibrator on probabilities and labels; with weights, on these too.
    proba : ndarray of shape (n, 2)
        Probabilities without NaN.
    y : ndarray of shape (n,)
        Labels; each class has at least `N_FOLDS` rows (`has_enough_rows`).
    seed : int
        Of the assignment of rows to folds.
    costs : tuple of tuple of float, optional
        As for `best_threshold`.
    weights : ndarray of shape (n,), optional
        Weights of the rows.

    Returns
    -------
    float
        The threshold on the calibrated probabilities.
    """
    return best_threshold(y, cross_calibrate(fit, proba, y, seed, weights), costs, weights=weights)


def cross_calibrate(fit: CalibratorFit, proba: Proba, y: Labels, seed: int, weights: Weights = None) -> Proba:
    """Calibrate every row by a calibrator that was fitted without the row; parameters as for `choose_calibrated_threshold`."""
    folds = assign_folds(y, N_FOLDS, seed)

    def fit_to_rows(rows: Labels) -> Calibrator:
        if weights is None:
            return fit(proba[rows], y[rows])
        return fit(proba[rows], y[rows], weights[rows])

    return calibrate_out_of_fold(fit_to_rows, proba, folds).astype(np.float32)


def correct_prior(proba: Proba, true_counts: Sequence[float], training_counts: Sequence[float]) -> Floats:
    """Correct probabilities for another share of the classes in training.

    Each probability is multiplied by the ratio of the two priors and the row is normalised. This holds for weights and for
    rows repeated or left out at random, which change how common a class is and nothing within it.

    Parameters
    ----------
    proba : ndarray of shape (n, k)
        Probabilities learnt under `training_counts`.
    true_counts, training_counts : sequence of float
        Rows per class.

    Returns
    -------
    ndarray of shape (n, k)
        Probabilities under `true_counts`.

    References
    ----------
    Elkan (2001), The Foundations of Cost-Sensitive Learning, IJCAI. Saerens, Latinne & Decaestecker (2002), Adjusting the
    Outputs of a Classifier to New a Priori Probabilities, Neural Computation 14.
    """
    true_shares, training_shares = np.asarray(true_counts, dtype=float), np.asarray(training_counts, dtype=float)
    prior_ratio = np.divide(
        true_shares / true_shares.sum(),
        training_shares / training_shares.sum(),
        out=np.zeros_like(true_shares),
        where=training_shares > 0,
    )
    return _normalize_rows(proba.astype(float) * prior_ratio)


def assign_folds(y: Labels, n_folds: int, seed: int) -> Labels:
    """Assign every row to a fold, (n,); each fold has nearly the same share of every class."""
    rng = np.random.default_rng(seed)
    folds = np.zeros(len(y), dtype=np.int64)
    first_fold = 0
    for class_label in np.unique(y):
        rows = rng.permutation(np.flatnonzero(y == class_label))
        folds[rows] = (first_fold + np.arange(len(rows))) % n_folds
        first_fold += len(rows)
    return folds


def calibrate_out_of_fold(fit: Callable[[Labels], Callable[[Proba], Floats]], proba: Proba, folds: Labels) -> Floats:
    """Calibrate every row by a calibrator that was fitted without the row's fold.

    Parameters
    ----------
    fit : callable
        Gets positions of rows and returns a function of probabilities.
    proba : ndarray of shape (n, k)
        Probabilities.
    folds : ndarray of shape (n,)
        The fold of every row.

    Returns
    -------
    ndarray of shape (n, k)
        Calibrated probabilities.
    """
    calibrated_proba = np.empty(proba.shape)
    for fold in np.unique(folds):
        is_test = folds == fold
        calibrated_proba[is_test] = fit(np.flatnonzero(~is_test))(proba[is_test])
    return calibrated_proba


def has_enough_rows(y: Labels, classes: int, n_folds: int) -> bool:
    """Check that each class has a row in every fold, so that calibrators can be fitted on all folds but one."""
    return bool((np.bincount(y, minlength=classes) >= n_folds).all())


def has_known_prior(strategy: Mapping[str, object], name: str) -> bool:
    """Check that a strategy only changes how common classes are: by weights, or by rows chosen at random.

    Parameters
    ----------
    strategy : mapping
        The strategy as `run.json` describes it. In runs made before ``chooses`` was stored, the two strategies for which
        it holds are recognised by their names.
    name : str
        The name of the strategy.

    Returns
    -------
    bool
        Whether `PriorCorrection` applies.
    """
    if strategy.get("kind") == "weight":
        return True
    selects_rows = strategy.get("chooses", name in ("random_oversampling", "random_undersampling"))
    return strategy.get("kind") == "resample" and bool(selects_rows)


def _class_probabilities(proba: Proba, class_label: int) -> Floats:
    return np.asarray(proba[:, class_label].astype(float))


def _log_odds(proba: Proba, class_label: int, lowest_probability: float) -> Floats:
    """The log-odds (n,) of a class. Of two classes both columns are used: in float32, 1 − 1e-9 is 1."""
    log_proba_pair = log_proba(
        proba if proba.shape[1] == 2 else _add_negative_column(_class_probabilities(proba, class_label)),
        lowest_probability,
    )
    return log_proba_pair[:, 1] - log_proba_pair[:, 0]


def _fit_isotonic(proba: Proba, y: Labels, class_label: int, weights: Weights) -> IsotonicFunction:
    from scipy.optimize import isotonic_regression

    class_proba, in_class = _class_probabilities(proba, class_label), y == class_label
    proba_order = np.argsort(class_proba, kind="stable")
    distinct_proba, level_starts = np.unique(class_proba[proba_order], return_index=True)
    row_weights = np.ones(len(class_proba)) if weights is None else weights
    level_counts = np.add.reduceat(row_weights[proba_order], level_starts)
    isotonic_levels = isotonic_regression(
        np.add.reduceat((in_class * row_weights)[proba_order], level_starts) / level_counts, weights=level_counts
    ).x
    is_knot = np.ones(len(isotonic_levels), dtype=bool)
    is_knot[1:-1] = (isotonic_levels[1:-1] != isotonic_levels[:-2]) | (isotonic_levels[1:-1] != isotonic_levels[2:])
    return IsotonicFunction(distinct_proba[is_knot], isotonic_levels[is_knot])


def _fit_sigmoid(proba: Proba, y: Labels, class_label: int, weights: Weights) -> SigmoidFunction:
    log_odds, in_class = _log_odds(proba, class_label, MIN_FIT_PROBA), y == class_label
    row_weights = np.ones(len(y)) if weights is None else weights
    class_rows, other_rows = row_weights[in_class].sum(), row_weights[~in_class].sum()
    smoothed_targets = np.where(in_class, (class_rows + 1) / (class_rows + 2), 1 / (other_rows + 2))
    sigmoid_slope, sigmoid_shift = logistic(
        np.stack([log_odds, np.ones_like(log_odds)]), smoothed_targets, np.zeros(2), weights
    )
    return SigmoidFunction(float(sigmoid_slope), float(sigmoid_shift))


def _fit_temperature(proba: Proba, y: Labels, weights: Weights) -> TemperatureScaling:
    log_probabilities = log_proba(proba, MIN_FIT_PROBA)
    if proba.shape[1] == 2:
        inverse_temperature = logistic(
            (log_probabilities[:, 1] - log_probabilities[:, 0])[None], (y == 1).astype(float), np.zeros(1), weights
        )
    else:
        inverse_temperature = conditional_logit(log_probabilities[None], y, np.zeros(1), weights)
    # Where higher probabilities came true less often, nearly uniform probabilities remain.
    return TemperatureScaling(max(float(inverse_temperature[0]), 1e-3))


def _normalize_rows(raw_proba: Floats) -> Floats:
    """Rows (n, k) divided by their sums; uniform where the sum is 0."""
    row_sums = raw_proba.sum(axis=1, keepdims=True)
    return np.asarray(
        np.divide(raw_proba, row_sums, out=np.full_like(raw_proba, 1 / raw_proba.shape[1]), where=row_sums > 0)
    )


def _logistic_function(log_odds: Floats) -> Floats:
    from scipy.special import expit

    return np.asarray(expit(log_odds))


def _add_negative_column(positive_proba: Floats) -> Floats:
    return np.stack([1 - positive_proba, positive_proba], axis=1)
