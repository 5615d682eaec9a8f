"""Two entries on the splits that both have: differences of all metrics, what they consist of, and the rows decided otherwise.

All differences are A − B. Where the splits have the same rows for both, differences are taken split by split, with the
corrected interval of `corrected_t.estimate_mean_with_interval`; otherwise there are two means and no test.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import filterfalse
from operator import attrgetter
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from harness.evaluation.corrected_t import Estimate, holm, significant_direction
from harness.evaluation.metric_cache import DEFAULT_THRESHOLD, TUNED_THRESHOLD
from harness.evaluation.ranking import estimate_paired_difference
from harness.evaluation.scores import Entry, ScoreRows, Scores, SplitKey
from harness.metrics.classification import class_report, decompose_brier_score
from harness.metrics.logits import Floats
from harness.metrics.metric import DEFAULT_CUT, CostMatrix, Metric, Predictions, best_threshold
from harness.store.record import Record
from harness.store.store import Store

Integers: TypeAlias = npt.NDArray[np.int64]


@dataclass(frozen=True)
class ComparedEntry:
    """One of the two: an entry of a task in a run."""

    store: Store
    scores: Scores
    task: str
    entry: Entry

    def score_rows(self, threshold_kind: str) -> ScoreRows:
        """Get its scores at one kind of threshold."""
        return self.scores.score_rows_of_entry(self.task, self.entry, threshold_kind)

    @property
    def name(self) -> str:
        """Task and entry."""
        return f"{self.task}/{self.entry.name}"


@dataclass(frozen=True)
class EntryPredictions:
    """The predictions of an entry for the test rows of one split: positions and labels (n,), probabilities (n, k)."""

    rows: Integers
    y: Integers
    proba: npt.NDArray[np.float32]
    threshold: float | None  #: the tuned one, None with several classes
    weights: npt.NDArray[np.float64] | None = None

    @property
    def labels(self) -> Sequence[int]:
        """The positive class, or all classes where there are several."""
        return (1,) if self.proba.shape[1] == 2 else range(self.proba.shape[1])

    def predict_classes(self, threshold_kind: str) -> Integers:
        """Predict the class of every row at a kind of threshold."""
        threshold = DEFAULT_CUT if threshold_kind == DEFAULT_THRESHOLD else self.threshold
        return Predictions(self.y, self.proba, threshold).labels


@dataclass(frozen=True)
class EntryPair:
    """Two entries with the splits that both have, and their stored predictions there.

    `unpaired_reason` says why the splits cannot be compared one by one; it is empty where they can.
    """

    a: ComparedEntry
    b: ComparedEntry
    splits: tuple[SplitKey, ...]
    unpaired_reason: str = ""
    predictions: dict[SplitKey, tuple[EntryPredictions, EntryPredictions]] = field(default_factory=dict)

    @property
    def threshold_kinds(self) -> tuple[str, ...]:
        """The kinds of threshold that both have."""
        kinds_b = self.b.scores.threshold_kinds(self.b.task)
        return tuple(kind for kind in self.a.scores.threshold_kinds(self.a.task) if kind in kinds_b)

    @property
    def costs(self) -> CostMatrix:
        """The costs of decisions in the first run."""
        return self.a.scores.costs(self.a.task)

    def score_rows(self, side: ComparedEntry, threshold_kind: str) -> ScoreRows:
        """Get the scores of one entry: in the common splits, or in all of its own where the splits are not the same."""
        rows = side.score_rows(threshold_kind)
        return rows if self.unpaired_reason else rows.select(self.splits)


@dataclass(frozen=True)
class MetricDifference:
    """One metric of both: means, the difference A − B, and its p value after Holm over all differences shown.

    `direction` is 1 where A is significantly better, −1 where B is, 0 otherwise.
    """

    name: str
    metric_type: str
    threshold_kind: str  #: empty where no threshold is used
    a: float
    b: float
    difference: Estimate
    greater_is_better: bool = True
    adjusted_p: float = math.nan
    direction: int = 0


def pair_entries(a: ComparedEntry, b: ComparedEntry) -> EntryPair:
    """Find the splits that two entries share, and read their stored predictions.

    Parameters
    ----------
    a, b : ComparedEntry
        The two entries, of one run or of two.

    Returns
    -------
    EntryPair
        Probabilities of ensembles and recalibrated entries are computed with the tables and not stored: they have no
        `predictions` here.

    Raises
    ------
    StoreError
        If predictions cannot be read.
    """
    splits = a.score_rows(DEFAULT_THRESHOLD).select(b.score_rows(DEFAULT_THRESHOLD).splits).splits
    unpaired_reason = _unpaired_reason(a, b)
    if unpaired_reason:
        return EntryPair(a, b, splits, unpaired_reason)
    predictions = {}
    for split in splits:
        predictions_a, predictions_b = _read_predictions(a, split), _read_predictions(b, split)
        if predictions_a is not None and predictions_b is not None:
            predictions[split] = predictions_a, predictions_b
        rows_a, rows_b = _test_row_positions(a, split, predictions_a), _test_row_positions(b, split, predictions_b)
        if rows_a is None or rows_b is None or not np.array_equal(rows_a, rows_b):
            return EntryPair(a, b, splits, f"the rows of {a.task} are split otherwise in the second run")
    return EntryPair(a, b, splits, predictions=predictions)


def _unpaired_reason(a: ComparedEntry, b: ComparedEntry) -> str:
    if a.task != b.task:
        return f"{a.task} and {b.task} are different tasks"
    print_a, print_b = (side.scores.run["tasks"][side.task]["fingerprint"] for side in (a, b))
    if print_a != print_b:
        return f"the data of {a.task} differ between the runs (SHA-256 {print_a[:12]}… and {print_b[:12]}…)"
    return ""


def _test_row_positions(side: ComparedEntry, split: SplitKey, predictions: EntryPredictions | None) -> Integers | None:
    """The test rows of a split: those of the entry's predictions, or of any cell of the task that has them."""
    if predictions is not None:
        return predictions.rows
    for record in _records_of_entries(side.scores):
        if record.task == side.task and (record.repeat, record.fold) == split and record.outcomes:
            return side.store.read_predictions(record).test_rows
    return None


def _records_of_entries(scores: Scores) -> Iterator[Record]:
    return (cell.record for cell in scores.cells if cell.record is not None)


def _read_predictions(side: ComparedEntry, split: SplitKey) -> EntryPredictions | None:
    threshold_kind = side.scores.threshold_kinds(side.task)[-1]
    rows = side.score_rows(threshold_kind)
    position = rows.splits.index(split)
    cell_id, stage, _ = rows.score_keys[position]
    record = next((record for record in _records_of_entries(side.scores) if record.id == cell_id), None)
    if record is None or stage not in {outcome.stage for outcome in record.outcomes}:
        return None
    stored = side.store.read_predictions(record)
    threshold = float(rows["threshold"][position]) if threshold_kind == TUNED_THRESHOLD else None
    return EntryPredictions(
        stored.test_rows,
        stored.test_y,
        stored.test[stage],
        threshold,
        stored.test_weights,
    )


def compare_metrics(pair: EntryPair) -> list[MetricDifference]:
    """Compare every metric that is defined for both, those of decisions at each kind of threshold."""
    differences = []
    for metric in filterfalse(attrgetter("is_detail"), pair.a.scores.metrics.values()):
        is_decision = metric.metric_type == "decision"
        for threshold_kind in pair.threshold_kinds if is_decision else pair.threshold_kinds[-1:]:
            columns = [pair.score_rows(side, threshold_kind)[metric.name] for side in (pair.a, pair.b)]
            if all(len(column) and not np.isnan(column).all() for column in columns):
                name, kind = metric.label or metric.name, threshold_kind if is_decision else ""
                differences.append(_score_column_difference(pair, name, (metric.metric_type, kind), columns, metric))
    return differences


def decompose_differences(pair: EntryPair) -> list[MetricDifference]:
    """Decompose a difference of decisions and one of probabilities, where predictions are stored.

    With two classes the score of decisions at the tuned threshold is the sum of two parts: the score at the best of all
    thresholds (chosen on the test rows, so it is not achievable), which depends on the ranking alone, and what the chosen
    threshold loses. Of the Brier score the parts are miscalibration and discrimination, by an isotonic regression of the
    labels on the probabilities [1]_; the score is the first minus the second plus the uncertainty of the labels, which is
    the same for both.

    Parameters
    ----------
    pair : EntryPair
        The two entries.

    Returns
    -------
    list of MetricDifference
        Empty where the splits are not paired or some predictions are not stored.

    References
    ----------
    .. [1] Dimitriadis, Gneiting & Jordan (2021), Stable reliability diagrams for probabilistic classifiers, PNAS 118.
    """
    if pair.unpaired_reason or len(pair.predictions) < len(pair.splits) or not pair.splits:
        return []
    differences = []
    if TUNED_THRESHOLD in pair.threshold_kinds:
        differences += _best_threshold_and_loss(pair, pair.a.scores.metrics["expected_cost" if pair.costs else "f1"])
    brier = pair.a.scores.metrics.get("brier")
    if brier is not None:
        parts = np.empty((len(pair.splits), 2, 2))
        for position, split in enumerate(pair.splits):
            for side, predictions in enumerate(pair.predictions[split]):
                parts[position, side] = decompose_brier_score(predictions.y, predictions.proba, predictions.labels)
        for part, name in enumerate(("miscalibration", "discrimination")):
            columns = parts[:, 0, part], parts[:, 1, part]
            metric = replace(brier, greater_is_better=name == "discrimination")
            differences.append(_score_column_difference(pair, f"Brier: {name}", ("probability", ""), columns, metric))
    return differences


def _best_threshold_and_loss(pair: EntryPair, metric: Metric) -> list[MetricDifference]:
    """The score at the best of all thresholds, and what the tuned threshold loses."""
    best, tuned = np.empty((2, len(pair.splits))), np.empty((2, len(pair.splits)))
    for position, split in enumerate(pair.splits):
        for side, predictions in enumerate(pair.predictions[split]):
            y, proba = predictions.y, predictions.proba
            weights = predictions.weights
            threshold = best_threshold(y, proba, pair.costs, weights=weights)
            best[side, position] = metric.compute(Predictions(y, proba, threshold, pair.costs, weights))
            tuned[side, position] = metric.compute(Predictions(y, proba, predictions.threshold, pair.costs, weights))
    label, loss_kind = metric.label or metric.name, ("decision", TUNED_THRESHOLD)
    of_best = _score_column_difference(pair, f"{label} at the best of all thresholds", ("ranking", ""), best, metric)
    return [
        of_best,
        _score_column_difference(pair, f"{label} lost by the threshold chosen", loss_kind, tuned - best, metric),
    ]


def compare_class_metrics(pair: EntryPair, threshold_kind: str) -> list[MetricDifference]:
    """Compare precision and recall of every class; with two classes, `compare_metrics` has them."""
    classes = pair.a.scores.classes(pair.a.task)
    if len(classes) < 3 or not all(len(pair.score_rows(side, threshold_kind)) for side in (pair.a, pair.b)):
        return []
    recall = pair.a.scores.metrics["recall"]
    reports = []  # per entry (splits, 2, classes)
    for side in (pair.a, pair.b):
        values = [side.scores.metric_values[key] for key in pair.score_rows(side, threshold_kind).score_keys]
        reports.append(np.array([class_report(scored.confusion)[:2] for scored in values]))
    differences = []
    for label, class_name in enumerate(classes):
        for part, metric_name in enumerate(("precision", "recall")):
            columns = [report[:, part, label] for report in reports]
            name, kind = f"{metric_name} of {class_name}", ("decision", threshold_kind)
            differences.append(_score_column_difference(pair, name, kind, columns, recall))
    return differences


def adjust_difference_p_values(differences: Sequence[MetricDifference]) -> list[MetricDifference]:
    """Add Holm's adjusted p values over all differences, and which entry is significantly better."""
    p_values = holm([difference.difference.p for difference in differences])
    adjusted = []
    for difference, p in zip(differences, p_values, strict=True):
        direction = significant_direction(difference.difference, p, greater_is_better=difference.greater_is_better)
        adjusted.append(replace(difference, adjusted_p=p, direction=direction))
    return adjusted


def rank_correlation(pair: EntryPair) -> float:
    """Compute Spearman's rank correlation of the two entries' probabilities, the mean over classes and splits.

    References
    ----------
    Spearman (1904), The Proof and Measurement of Association between Two Things, American Journal of Psychology 15.
    """
    from scipy.stats import spearmanr

    correlations = []
    for predictions_a, predictions_b in pair.predictions.values():
        for label in predictions_a.labels:
            a, b = predictions_a.proba[:, label], predictions_b.proba[:, label]
            if np.ptp(a) and np.ptp(b):  # equal probabilities for all rows have no order
                correlations.append(float(spearmanr(a, b).statistic))
    return float(np.mean(correlations)) if correlations else math.nan


def _score_column_difference(
    pair: EntryPair,
    name: str,
    kind: tuple[str, str],
    columns: Sequence[Floats] | Floats,
    metric: Metric,
) -> MetricDifference:
    """The difference of two columns of scores, one per split, in the order of the pair's splits.

    `kind` is the type of the metric and the kind of threshold.
    """
    rows = pair.score_rows(pair.b, pair.threshold_kinds[-1])
    a, b = float(columns[0].mean()), float(columns[1].mean())
    if pair.unpaired_reason:
        difference = Estimate(a - b, math.nan, math.nan, len(columns[0]))
    else:
        difference = estimate_paired_difference(pair.b.scores, pair.b.task, metric, columns[0] - columns[1], rows)
    return MetricDifference(name, *kind, a, b, difference, metric.greater_is_better)


@dataclass(frozen=True)
class ChangedRow:
    """A test row with different predictions: its position in the task's table, encoded classes, and the probabilities.

    The probabilities are those of the positive class where there are two classes, otherwise of the true one.
    """

    split: SplitKey
    row: int
    label: int
    predicted_a: int
    predicted_b: int
    proba_a: float
    proba_b: float


@dataclass(frozen=True)
class ClassAgreement:
    """How many rows of one class are predicted correctly by both, by one only, by neither, and with different classes."""

    label: int
    rows: int
    both_correct: int
    only_a_correct: int
    only_b_correct: int
    neither_correct: int
    disagreements: int


def find_changed_rows(pair: EntryPair, threshold_kind: str) -> list[ChangedRow]:
    """Find the rows with different predictions at a kind of threshold, the largest differences of probability first."""
    changed = []
    for split, (a, b) in pair.predictions.items():
        predicted_a, predicted_b = a.predict_classes(threshold_kind), b.predict_classes(threshold_kind)
        columns = np.where(a.proba.shape[1] == 2, 1, a.y)
        for position in np.flatnonzero(predicted_a != predicted_b):
            changed_row = ChangedRow(
                split=split,
                row=int(a.rows[position]),
                label=int(a.y[position]),
                predicted_a=int(predicted_a[position]),
                predicted_b=int(predicted_b[position]),
                proba_a=float(a.proba[position, columns[position]]),
                proba_b=float(b.proba[position, columns[position]]),
            )
            changed.append(changed_row)
    return sorted(changed, key=lambda row: (-abs(row.proba_a - row.proba_b), row.split, row.row))


def count_class_agreement(pair: EntryPair, threshold_kind: str) -> list[ClassAgreement]:
    """Count how many rows of each class each entry predicts correctly, over all splits."""
    y = np.concatenate([a.y for a, _ in pair.predictions.values()])
    predicted_a = np.concatenate([a.predict_classes(threshold_kind) for a, _ in pair.predictions.values()])
    predicted_b = np.concatenate([b.predict_classes(threshold_kind) for _, b in pair.predictions.values()])
    agreement = []
    for label in range(len(pair.a.scores.classes(pair.a.task))):
        rows = y == label
        a, b = predicted_a[rows] == label, predicted_b[rows] == label
        masks = (a & b, a & ~b, ~a & b, ~a & ~b, predicted_a[rows] != predicted_b[rows])
        agreement.append(ClassAgreement(label, int(rows.sum()), *(int(mask.sum()) for mask in masks)))
    return agreement
