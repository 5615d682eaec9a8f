"""How certain the model is of the rows, whether its probabilities hold, and warnings where they mislead."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from harness.deploy.error_analysis import wilson_interval
from harness.deploy.insights.contact_list import is_close_call
from harness.deploy.insights.scored_rows import ScoredRows
from harness.deploy.validate import MISSING_VALUE
from harness.report.render.cells import format_number, format_share
from harness.report.render.markdown import escape

N_BINS = 10
MIN_OUTCOMES = 100  #: rows with an outcome below which probabilities are not compared with it
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
Z_95 = 1.96
MAX_RATIO = 1.2  #: ratio of mean probability and positive rate from which sums of probabilities mislead
MAX_RATIO_PARTLY_HELD_OUT = 1.5  #: the same if only some of the training rows were held out
CALIBRATION_HINT = "`evenhand export --calibration sigmoid` mends that"


@dataclass(frozen=True)
class ReliabilityBin:
    """Rows of neighbouring probabilities: their mean probability, the positives among them, and the 95 % interval of the share."""

    rows: int
    mean_probability: float
    positives: int
    low: float
    high: float

    @property
    def share(self) -> float:
        """Share of positive rows."""
        return self.positives / self.rows

    @property
    def is_calibrated(self) -> bool:
        """Whether the mean probability lies in the interval of the share."""
        return self.low <= self.mean_probability <= self.high


@dataclass(frozen=True)
class ConfidenceAssessment:
    """How certain the model is of the rows, and how many of its predictions came true."""

    rows: int
    predicted_positive: int
    close_calls: int  #: rows whose odds differ from the threshold's by less than a factor of 1.5
    quantiles: tuple[float, ...]  #: of the probabilities, at QUANTILES
    unseen_values: tuple[tuple[str, int], ...]  #: column, rows with a value that training did not have
    missing_values: tuple[tuple[str, int], ...]  #: column, rows without a value
    bins: tuple[ReliabilityBin, ...] = ()
    expected_positives: float = 0.0  #: sum of the probabilities of the rows with an outcome
    standard_deviation: float = 0.0  #: of the number of positives, if the probabilities are calibrated
    positives: int = 0  #: among the rows with an outcome

    @property
    def is_calibrated(self) -> bool:
        """Whether there are as many positives as the probabilities say, within what chance allows."""
        return abs(self.positives - self.expected_positives) <= Z_95 * max(self.standard_deviation, 0.5)


def assess_confidence(scored: ScoredRows) -> ConfidenceAssessment:
    """Assess how certain the model is of rows of two classes.

    Parameters
    ----------
    scored : ScoredRows
        Rows of two classes; their outcomes are used where they are known.

    Returns
    -------
    Confidence
        Without bins if fewer than 100 outcomes are known.
    """
    p = scored.positive_proba
    unseen_by_column: Counter[str] = Counter()
    missing_by_column = _count_missing_by_column(scored)
    for unusual_values in scored.flags.values():
        unseen_by_column.update(
            unusual_value.column for unusual_value in unusual_values if unusual_value.code != MISSING_VALUE
        )
    rows = scored.evaluated_rows
    known_p, known_y = p[rows], scored.y[rows]
    return ConfidenceAssessment(
        rows=len(scored),
        predicted_positive=int((p >= scored.threshold).sum()),
        close_calls=int(is_close_call(p, scored.threshold).sum()),
        quantiles=tuple(np.quantile(p, QUANTILES).tolist()),
        unseen_values=tuple(unseen_by_column.most_common()),
        missing_values=tuple(missing_by_column.most_common()),
        bins=_reliability_bins(known_p, known_y) if len(rows) >= MIN_OUTCOMES else (),
        expected_positives=float(known_p.sum()),
        standard_deviation=float(np.sqrt((known_p * (1 - known_p)).sum())),
        positives=int((known_y == 1).sum()),
    )


def _count_missing_by_column(scored_rows: ScoredRows) -> Counter[str]:
    """Count the missing values of each column, also where they are no flag because training had as many."""
    missing_by_column: Counter[str] = Counter()
    if not hasattr(scored_rows.X, "columns"):
        for unusual_values in scored_rows.flags.values():
            missing_by_column.update(
                unusual_value.column for unusual_value in unusual_values if unusual_value.code == MISSING_VALUE
            )
        return missing_by_column
    for name, column in scored_rows.X.items():
        if count := int(column.isna().sum()):
            missing_by_column[str(name)] = count
    return missing_by_column


def _reliability_bins(p: npt.NDArray[np.float64], y: npt.NDArray[np.int64]) -> tuple[ReliabilityBin, ...]:
    """Divide rows into tenths by probability; rows of equal probability are in one bin."""
    edges = np.unique(np.quantile(p, np.linspace(0, 1, N_BINS + 1)[1:-1]))
    bin_index = np.searchsorted(edges, p, side="right")
    bins = []
    for index in np.unique(bin_index):
        is_in_bin = bin_index == index
        rows, positives = int(is_in_bin.sum()), int((y[is_in_bin] == 1).sum())
        bins.append(ReliabilityBin(rows, float(p[is_in_bin].mean()), positives, *wilson_interval(positives, rows)))
    return tuple(bins)


def warn_of_miscalibration(scored: ScoredRows, confidence: ConfidenceAssessment) -> str:
    """Warn if probabilities add up to far more or fewer positives than there are.

    The held-out training rows are checked first, which requires no outcomes of the scored rows; then the scored rows.

    Parameters
    ----------
    scored : ScoredRows
        Rows of two classes.
    confidence : ConfidenceAssessment
        Of these rows.

    Returns
    -------
    str
        Markdown, empty if there is nothing to warn about.
    """
    positive_class = escape(scored.positive_name)
    held_out_predictions, counts = scored.bundle.read_held_out_proba(), scored.bundle.manifest.get("counts")
    if held_out_predictions is not None and counts:
        p = held_out_predictions.proba[~np.isnan(held_out_predictions.proba).any(axis=1), 1].astype(np.float64)
        positive_rate = counts[1] / sum(counts)
        # If some rows were never held out, the others can truly differ from them: by time, or because they are a test part.
        max_ratio = MAX_RATIO
        if len(p) < len(held_out_predictions.proba):
            max_ratio = MAX_RATIO_PARTLY_HELD_OUT
        if len(p) and _is_miscalibrated(p, positive_rate, max_ratio):
            calibration_hint = ""
            if scored.bundle.manifest["calibration"] == "none":
                calibration_hint = f"; {CALIBRATION_HINT}"
            return (
                f"**The probabilities are no frequencies.** Of the {len(p):,} training rows that were held out they said "
                f"{format_share(float(p.mean()))} {positive_class} on average, and {format_share(positive_rate)} of all are. Rank by "
                f"them, and take numbers and profits that are expected from them as an order only{calibration_hint}."
            )
    if confidence.bins and not confidence.is_calibrated:
        p = scored.positive_proba[scored.evaluated_rows]
        positive_rate = confidence.positives / len(p)
        if _is_miscalibrated(p, positive_rate, MAX_RATIO):
            return (
                f"**The probabilities do not hold here.** Of the {len(p):,} rows whose outcome is known they say "
                f"{format_share(float(p.mean()))} {positive_class} on average, and {format_share(positive_rate)} are. Take numbers and "
                "profits that are expected from them as an order only."
            )
    return ""


def _is_miscalibrated(p: npt.NDArray[np.float64], positive_rate: float, max_ratio: float) -> bool:
    """Whether the mean of probabilities (n,) differs from the positive rate by a large factor and by more than chance allows."""
    mean, chance_deviation = float(p.mean()), Z_95 * math.sqrt(float((p * (1 - p)).sum())) / len(p)
    return abs(mean - positive_rate) > chance_deviation and max(mean, positive_rate) > max_ratio * min(
        mean, positive_rate
    )


def warn_of_leakage(scored: ScoredRows) -> str:
    """Warn if new rows are predicted better than the sealed test rows of the run.

    A training row that was changed afterwards, such as a customer one month later or a rounded number, equals no training row
    and counts as new; a suspiciously good score can reveal such rows.

    Parameters
    ----------
    scored : ScoredRows
        Rows, of which those with an outcome that equal no training row are scored.

    Returns
    -------
    str
        Markdown, empty if there is nothing to warn about.
    """
    rows = np.flatnonzero(scored.new_rows_with_outcome)
    metric, label = "accuracy", "accuracy"
    if scored.has_two_classes:
        metric, label = "roc_auc", "ROC AUC"
    measured = (scored.bundle.manifest.get("measured") or {}).get(metric)
    if measured is None or len(rows) < MIN_OUTCOMES or len(np.unique(scored.y[rows])) < 2:
        return ""
    if scored.has_two_classes:
        score, score_low = _auc_with_lower_bound(scored.y[rows], scored.positive_proba[rows])
    else:
        correct_rows = int((scored.bundle.choose_classes(scored.proba[rows]) == scored.y[rows]).sum())
        score, score_low = correct_rows / len(rows), wilson_interval(correct_rows, len(rows))[0]
    measured_high = measured["high"]
    if measured_high is None:
        measured_high = measured["mean"]
    if score_low <= measured_high:
        return ""
    return (
        f"**Too good to be new?** On the {len(rows):,} rows that equal none of the training rows the {label} is "
        f"{format_number(score)}, where the run measured {format_number(measured['mean'])} on sealed rows. They may be rows that the "
        "model has learnt from, in a changed form: a month more, a rounded number. If so, all that is counted on them flatters."
    )


def warn_of_changed_training_rows(scored: ScoredRows) -> str:
    """Warn that rows counted as new may be changed training rows.

    Parameters
    ----------
    scored : ScoredRows
        The rows.

    Returns
    -------
    str
        Markdown: `warn_of_leakage` if that warns, else what counts as new; empty without new rows that have an outcome.
    """
    if not scored.new_rows_with_outcome.any():
        return ""
    return warn_of_leakage(scored) or (
        "A row counts as new where it equals none of the training rows. One that the model has learnt from and that was changed "
        "since does so too, the same customer a month later, though the model knows the outcome: leave such rows out."
    )


def _auc_with_lower_bound(y: npt.NDArray[np.int64], p: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Return the area under the ROC curve, and the lower end of its 95 % interval (Hanley & McNeil 1982)."""
    from scipy.stats import rankdata

    positives, negatives = int((y == 1).sum()), int((y == 0).sum())
    area_under_curve = float((rankdata(p)[y == 1].sum() - positives * (positives + 1) / 2) / (positives * negatives))
    q1, q2 = area_under_curve / (2 - area_under_curve), 2 * area_under_curve**2 / (1 + area_under_curve)
    variance = (
        area_under_curve * (1 - area_under_curve)
        + (positives - 1) * (q1 - area_under_curve**2)
        + (negatives - 1) * (q2 - area_under_curve**2)
    )
    return area_under_curve, area_under_curve - Z_95 * math.sqrt(max(0.0, variance) / (positives * negatives))
