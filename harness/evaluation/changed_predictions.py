"""Test rows for which two entries predict different classes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from harness.evaluation.metric_cache import DEFAULT_THRESHOLD
from harness.evaluation.paired_comparison import EntryPair, EntryPredictions
from harness.evaluation.scores import SplitKey
from harness.metrics.metric import Predictions
from harness.metrics.threshold import DEFAULT_CUT


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


def changed_rows(pair: EntryPair, threshold_kind: str) -> list[ChangedRow]:
    """Find the rows with different predictions at a kind of threshold, the largest differences of probability first."""
    changed = []
    for split, (a, b) in pair.predictions.items():
        predicted_a, predicted_b = _predicted(a, threshold_kind), _predicted(b, threshold_kind)
        columns = np.where(a.proba.shape[1] == 2, 1, a.y)
        for position in np.flatnonzero(predicted_a != predicted_b):
            row, label, column = int(a.rows[position]), int(a.y[position]), columns[position]
            labels = int(predicted_a[position]), int(predicted_b[position])
            probabilities = float(a.proba[position, column]), float(b.proba[position, column])
            changed.append(ChangedRow(split, row, label, *labels, *probabilities))
    return sorted(changed, key=lambda row: (-abs(row.proba_a - row.proba_b), row.split, row.row))


def class_agreement(pair: EntryPair, threshold_kind: str) -> list[ClassAgreement]:
    """Count how many rows of each class each entry predicts correctly, over all splits."""
    y = np.concatenate([a.y for a, _ in pair.predictions.values()])
    predicted_a = np.concatenate([_predicted(a, threshold_kind) for a, _ in pair.predictions.values()])
    predicted_b = np.concatenate([_predicted(b, threshold_kind) for _, b in pair.predictions.values()])
    agreement = []
    for label in range(len(pair.a.scores.classes(pair.a.task))):
        rows = y == label
        a, b = predicted_a[rows] == label, predicted_b[rows] == label
        masks = (a & b, a & ~b, ~a & b, ~a & ~b, predicted_a[rows] != predicted_b[rows])
        agreement.append(ClassAgreement(label, int(rows.sum()), *(int(mask.sum()) for mask in masks)))
    return agreement


def _predicted(predictions: EntryPredictions, threshold_kind: str) -> npt.NDArray[np.int64]:
    threshold = DEFAULT_CUT if threshold_kind == DEFAULT_THRESHOLD else predictions.threshold
    return Predictions(predictions.y, predictions.proba, threshold).labels
