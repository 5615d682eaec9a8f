"""Influence values: what deleting a row changes, for every metric that declares them, with ties, several classes and weights."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from harness.metrics.classification import METRICS
from harness.metrics.influence import average_precision_influence, group_jackknife_influence, roc_auc_influence
from harness.metrics.metric import Predictions

ROWS = 20_000
COSTS = {2: ((0.0, 1.0), (5.0, 0.0)), 3: ((0.0, 1.0, 2.0), (5.0, 0.0, 1.0), (3.0, 1.0, 0.0))}
WITH_INFLUENCE = [metric for metric in METRICS if metric.influence is not None]


def predictions(classes: int, decimals: int, rows: int = ROWS) -> Predictions:
    """Uneven classes and noisy probabilities, which tie if they are rounded to few decimals."""
    rng = np.random.default_rng([classes, decimals])
    y = rng.choice(classes, size=rows, p=[0.8, 0.2] if classes == 2 else [0.6, 0.3, 0.1])
    logits = rng.normal(size=(rows, classes)) + 1.5 * np.eye(classes)[y]
    proba = np.round(np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True), decimals)
    return Predictions(y, proba, 0.3, COSTS[classes])


def delete_row(p: Predictions, row: int) -> Predictions:
    return Predictions(np.delete(p.y, row), np.delete(p.proba, row, axis=0), p.threshold, p.costs)


@pytest.mark.parametrize("decimals", [9, 2])
@pytest.mark.parametrize(
    ("metric", "classes"),
    [(metric, classes) for metric in WITH_INFLUENCE for classes in (2, 3) if classes == 2 or not metric.binary_only],
    ids=lambda parameter: getattr(parameter, "name", parameter),
)
def test_influence_is_what_deleting_a_row_changes(metric, classes, decimals):
    p = predictions(classes, decimals)
    influence = metric.influence(p, None)
    total = metric.compute(p)
    sample = np.random.default_rng(0).choice(ROWS, size=20, replace=False)
    jackknife = [(ROWS - 1) * (total - metric.compute(delete_row(p, row))) for row in sample]
    scale = influence.std()
    assert abs(influence.mean()) < 1e-6 * scale
    assert influence[sample] == pytest.approx(jackknife, abs=1e-3 * np.abs(influence).max())
    spread = float(np.sqrt(np.mean(np.square(jackknife)) / np.mean(influence[sample] ** 2)))
    assert spread == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize(
    ("metric", "classes"),
    [(metric, classes) for metric in WITH_INFLUENCE for classes in (2, 3) if classes == 2 or not metric.binary_only],
    ids=lambda parameter: getattr(parameter, "name", parameter),
)
def test_influence_of_a_weighted_row_is_what_deleting_it_changes(metric, classes):
    unweighted = predictions(classes, 9)
    weights = np.random.default_rng(6).uniform(0.2, 3, size=ROWS)
    p = Predictions(unweighted.y, unweighted.proba, unweighted.threshold, unweighted.costs, weights)
    influence = metric.influence(p, None)
    total = metric.compute(p)
    sample = np.random.default_rng(0).choice(ROWS, size=20, replace=False)
    jackknife = []
    for row in sample:
        remaining_weights = np.delete(weights, row)
        deleted = delete_row(p, row)
        remaining = Predictions(deleted.y, deleted.proba, p.threshold, p.costs, remaining_weights)
        remaining_share = remaining_weights.sum() / weights.sum()
        jackknife.append(ROWS * remaining_share * (total - metric.compute(remaining)))
    assert influence[sample] == pytest.approx(jackknife, abs=1e-3 * np.abs(influence).max())
    spread = float(np.sqrt(np.mean(np.square(jackknife)) / np.mean(influence[sample] ** 2)))
    assert spread == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("metric", WITH_INFLUENCE, ids=lambda metric: metric.name)
def test_a_row_of_weight_two_counts_as_two_equal_rows(metric):
    p = predictions(2, 2, rows=300)
    weights = np.random.default_rng(1).integers(1, 4, size=300).astype(float)
    rows = np.repeat(np.arange(300), weights.astype(int))
    repeated = Predictions(p.y[rows], p.proba[rows], p.threshold, p.costs)
    by_row = np.bincount(rows, weights=metric.influence(repeated, None)) / len(rows)
    assert metric.influence(p, weights) / 300 == pytest.approx(by_row, abs=1e-9)


@pytest.mark.parametrize(
    ("influence", "score"),
    [(roc_auc_influence, roc_auc_score), (average_precision_influence, average_precision_score)],
    ids=["roc_auc", "average_precision"],
)
def test_influence_is_the_derivative_with_respect_to_the_weight_of_a_row(influence, score):
    p = predictions(2, 2, rows=200)
    scores, positive = p.proba[:, 1], p.y == 1
    weights = np.random.default_rng(2).uniform(0.5, 2, size=200)
    weights /= weights.mean()
    expected = []
    for row in range(200):
        step = np.zeros(200)
        step[row] = 1e-5
        above, below = (score(positive, scores, sample_weight=weights + change) for change in (step, -step))
        expected.append(200 * weights[row] * (above - below) / 2e-5)
    assert influence(positive, scores, weights) == pytest.approx(expected, abs=1e-4)


def test_variance_of_roc_auc_is_that_of_delong():
    p = predictions(2, 9, rows=500)
    positive, scores = p.y == 1, p.proba[:, 1]
    wins = (scores[positive][:, None] > scores[~positive]) + 0.5 * (scores[positive][:, None] == scores[~positive])
    delong = wins.mean(1).var() / positive.sum() + wins.mean(0).var() / (~positive).sum()
    influence = roc_auc_influence(positive, scores, np.ones(500))
    assert (influence**2).mean() / 500 == pytest.approx(delong, rel=1e-9)


def test_groups_of_rows_stand_for_rows_where_a_metric_declares_no_influence():
    p = predictions(2, 9)
    groups = np.random.default_rng(3).integers(0, 50, size=ROWS)
    brier = next(metric for metric in METRICS if metric.name == "brier")
    influence = group_jackknife_influence(brier.compute, p, groups)
    totals = np.bincount(groups, weights=influence)
    assert (totals**2).sum() / ROWS == pytest.approx((brier.influence(p, None) ** 2).mean(), rel=0.5)
