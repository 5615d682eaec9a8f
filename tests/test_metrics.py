"""Metrics and thresholds, held against scikit-learn, imbalanced-learn, brute force and figures worked out by hand."""

import math

import numpy as np
import pytest
from imblearn.metrics import geometric_mean_score
from scipy import stats
from sklearn import metrics as sk

from harness.errors import DeclarationError
from harness.metrics import selection
from harness.metrics.classification import METRICS
from harness.metrics.metric import Metric, Predictions, best_threshold
from harness.metrics.steps import count_steps

COMPUTE = {metric.name: metric.compute for metric in METRICS}
COSTS = ((0.0, 1.0), (7.0, 0.5))


def predictions(classes: int, seed: int = 0, rows: int = 300, threshold: float | None = 0.4) -> Predictions:
    """Predictions that are right more often than not, as float32, some of them level."""
    rng = np.random.default_rng(seed)
    y = np.r_[
        np.arange(classes), rng.choice(classes, rows - classes, p=np.arange(classes, 0, -1) / sum(range(classes + 1)))
    ]
    proba = rng.dirichlet(np.ones(classes), rows) + 0.6 * np.eye(classes)[y]
    proba = np.round(proba / proba.sum(axis=1, keepdims=True), 2)
    return Predictions(y, (proba / proba.sum(axis=1, keepdims=True)).astype(np.float32), threshold)


def reference(p: Predictions) -> dict[str, float]:
    average = "binary" if p.binary else "macro"
    score = p.proba[:, 1] if p.binary else p.proba
    return {
        "accuracy": sk.accuracy_score(p.y, p.labels),
        "balanced_accuracy": sk.balanced_accuracy_score(p.y, p.labels),
        "precision": sk.precision_score(p.y, p.labels, average=average, zero_division=0),
        "recall": sk.recall_score(p.y, p.labels, average=average),
        "f1": sk.f1_score(p.y, p.labels, average=average, zero_division=0),
        "mcc": sk.matthews_corrcoef(p.y, p.labels),
        "g_mean": geometric_mean_score(p.y, p.labels, average="multiclass"),
        "roc_auc": sk.roc_auc_score(p.y, score, multi_class="ovr"),
        "average_precision": sk.average_precision_score(p.y, score),
        "log_loss": sk.log_loss(p.y, p.proba),
        "brier": sk.brier_score_loss(p.y, score),
    }


@pytest.mark.parametrize("classes", [2, 3, 5])
@pytest.mark.parametrize("threshold", [0.4, 0.999])
def test_agrees_with_established_implementations(classes, threshold):
    for seed in range(3):
        p = predictions(classes, seed, threshold=threshold if classes == 2 else None)
        for name, expected in reference(p).items():
            assert COMPUTE[name](p) == pytest.approx(expected, abs=1e-6), name


def test_negative_class_is_the_positive_one_of_the_mirrored_question():
    p = predictions(2)
    for name, score in {"precision": sk.precision_score, "recall": sk.recall_score, "f1": sk.f1_score}.items():
        assert COMPUTE[f"{name}_negative"](p) == pytest.approx(score(p.y, p.labels, pos_label=0))


def test_only_binary_metrics_have_no_value_for_several_classes():
    p = predictions(3, threshold=None)
    empty = {name for name, compute in COMPUTE.items() if math.isnan(compute(p))}
    assert empty == {metric.name for metric in METRICS if metric.binary_only} | {"expected_cost"}


def test_precision_of_nothing_is_zero_and_recall_of_nothing_undefined():
    nobody_called = Predictions(np.array([0, 1, 1]), np.array([[0.9, 0.1]] * 3))
    assert COMPUTE["precision"](nobody_called) == COMPUTE["f1"](nobody_called) == COMPUTE["mcc"](nobody_called) == 0
    nobody_there = Predictions(np.array([0, 0]), np.array([[0.9, 0.1], [0.2, 0.8]]))
    undefined = ("recall", "f1", "roc_auc", "average_precision", "lift_at_10", "balanced_accuracy")
    assert all(math.isnan(COMPUTE[name](nobody_there)) for name in undefined)


def test_log_loss_of_a_certain_error_is_finite():
    certain = Predictions(np.array([1]), np.array([[1.0, 0.0]], dtype=np.float32))
    assert COMPUTE["log_loss"](certain) == pytest.approx(-math.log(np.finfo(np.float32).eps))


def test_ece_is_the_mean_gap_between_said_and_seen():
    # Four rows said 0.3 of which two are positive, four said 0.9 of which three are: gaps 0.2 and 0.15.
    positive = np.array([0.3] * 4 + [0.9] * 4)
    p = Predictions(np.array([1, 1, 0, 0, 1, 1, 1, 0]), np.column_stack([1 - positive, positive]))
    assert COMPUTE["ece"](p) == pytest.approx((4 * 0.2 + 4 * 0.15) / 8)


def test_ece_of_several_classes_looks_at_the_most_probable_one():
    p = Predictions(np.array([0, 1]), np.array([[0.8, 0.1, 0.1], [0.8, 0.1, 0.1]]), None)
    assert COMPUTE["ece"](p) == pytest.approx(0.8 - 0.5)


def test_lift_counts_the_first_tenth_against_a_random_tenth():
    y = np.array([1, 1] + [0] * 14 + [1] * 4)  # 6 of 20 are positive, both of the first two are
    positive = np.linspace(1, 0, 20)
    p = Predictions(y, np.column_stack([1 - positive, positive]))
    assert COMPUTE["lift_at_10"](p) == pytest.approx(1 / 0.3)


def test_lift_of_constant_probabilities_is_one_in_whatever_order_rows_come():
    p = Predictions(np.array([1] * 3 + [0] * 27), np.full((30, 2), 0.5))
    assert COMPUTE["lift_at_10"](p) == pytest.approx(1.0)


def test_expected_cost_is_per_row():
    p = Predictions(np.array([0, 0, 1, 1]), np.array([[0.9, 0.1], [0.1, 0.9], [0.9, 0.1], [0.1, 0.9]]), 0.5, COSTS)
    assert COMPUTE["expected_cost"](p) == pytest.approx((0 + 1 + 7 + 0.5) / 4)


SELECTION = {metric.name: metric.compute for metric in selection.METRICS}


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("threshold", [0.4, 0.999])
def test_f2_and_ks_agree_with_established_implementations(classes, threshold):
    for seed in range(3):
        p = predictions(classes, seed, threshold=threshold if classes == 2 else None)
        average = "binary" if classes == 2 else "macro"
        expected = sk.fbeta_score(p.y, p.labels, beta=2, average=average, zero_division=0)
        assert SELECTION["f2"](p) == pytest.approx(expected)
        distances = []
        for label in (1,) if classes == 2 else range(classes):
            positive, negative = p.proba[p.y == label, label], p.proba[p.y != label, label]
            distances.append(stats.ks_2samp(positive, negative).statistic)
        assert SELECTION["ks"](p) == pytest.approx(np.mean(distances), abs=1e-6)


@pytest.mark.parametrize("least", [0.3, 0.5, 0.9])
def test_recall_at_a_precision_is_the_best_point_of_the_curve(least):
    for seed in range(3):
        p = predictions(2, seed)
        precision, recall, _ = sk.precision_recall_curve(p.y, p.proba[:, 1])
        feasible = recall[precision >= least]
        assert selection.recall_at_precision(least)(p) == pytest.approx(feasible.max(initial=0.0))
    never = Predictions(np.array([1, 0, 0, 0]), np.array([[0.9, 0.1], [0.1, 0.9], [0.1, 0.9], [0.1, 0.9]]))
    assert SELECTION["recall_at_precision"](never) == 0


def test_precision_of_the_first_tenth_is_the_lift_times_the_share_of_positives():
    for seed in range(3):
        p = predictions(2, seed, rows=333)
        assert SELECTION["precision_at_10"](p) == pytest.approx(COMPUTE["lift_at_10"](p) * p.y.mean())
    first = np.argsort(-np.linspace(0, 1, 50))[:5]
    y = (np.arange(50) % 3 == 0).astype(int)
    distinct = Predictions(y, np.column_stack([1 - np.linspace(0, 1, 50), np.linspace(0, 1, 50)]))
    assert SELECTION["precision_at_10"](distinct) == pytest.approx(y[first].mean())


def test_metrics_of_a_selection_are_undefined_without_positive_rows_and_for_several_classes():
    nobody, several = Predictions(np.zeros(5, dtype=int), np.full((5, 2), 0.5)), predictions(3, threshold=None)
    for metric in selection.METRICS:
        assert math.isnan(metric.compute(nobody)), metric.name
        assert math.isnan(metric.compute(several)) == metric.binary_only, metric.name
        assert metric.is_detail


def test_every_metric_explains_itself_in_one_line():
    for metric in (*METRICS, *selection.METRICS):
        assert metric.label
        assert 20 < len(metric.description) < 125
        assert "\n" not in metric.description


# --- thresholds ------------------------------------------------------------------------------------------------------


def objective(y: np.ndarray, positive: np.ndarray, threshold: float, costs) -> float:
    """What the threshold is chosen for, computed through the very decision that the leaderboard makes."""
    p = Predictions(y, np.column_stack([1 - positive, positive]), threshold, costs)
    return COMPUTE["f1"](p) if costs is None else -COMPUTE["expected_cost"](p)


@pytest.mark.parametrize("costs", [None, COSTS, ((0.0, 5.0), (1.0, 0.0))])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_no_threshold_is_better_than_the_best_one(costs, dtype):
    rng = np.random.default_rng(1)
    for rows in (2, 5, 40):
        for decimals in (1, 8):
            y = np.r_[1, rng.integers(0, 2, rows - 1)]
            positive = np.round(rng.random(rows), decimals).astype(dtype)
            chosen = objective(y, positive, best_threshold(y, positive, costs), costs)
            tried = [objective(y, positive, float(t), costs) for t in [0.0, 1.1, *positive]]
            assert chosen == pytest.approx(max(tried), abs=1e-12)


def test_threshold_lies_in_the_middle_between_neighbours():
    proba = np.array([[0.9, 0.1], [0.8, 0.2], [0.4, 0.6], [0.3, 0.7]])
    assert best_threshold(np.array([0, 0, 1, 1]), proba) == pytest.approx(0.4)


def test_threshold_separates_neighbours_that_differ_in_the_last_bit():
    low = np.float32(0.3)
    positive = np.array([low, np.nextafter(low, np.float32(1))])
    threshold = best_threshold(np.array([0, 1]), positive)
    assert ((positive >= threshold) == [False, True]).all()


def test_rows_without_probability_are_left_out():
    positive = np.array([0.2, np.nan, 0.8, np.nan])
    assert best_threshold(np.array([0, 1, 1, 0]), positive) == best_threshold(np.array([0, 1]), np.array([0.2, 0.8]))


def test_constant_probabilities_call_every_row_positive_because_that_is_the_best_f1():
    assert best_threshold(np.array([0, 0, 0, 1]), np.full(4, 0.25)) == pytest.approx(0.125)
    assert best_threshold(np.array([0, 1]), np.zeros(2)) == 0.0


def test_where_every_alarm_is_too_dear_nothing_is_called_positive():
    positive = np.array([0.2, 0.9, 1.0], dtype=np.float32)
    assert not (positive >= best_threshold(np.array([0, 1, 0]), positive, ((0.0, 9.0), (1.0, 0.0)))).any()


def test_without_rows_or_positives_it_is_one_half():
    assert best_threshold(np.array([], dtype=int), np.empty((0, 2))) == 0.5
    assert best_threshold(np.array([0, 0]), np.array([0.1, 0.7])) == 0.5


def test_of_equally_good_cuts_the_one_nearest_one_half_is_taken():
    # Cuts at 0.15 and at 0.5 cost the same: one missed row against two false alarms.
    y, positive = np.array([1, 0, 0, 1]), np.array([0.2, 0.3, 0.4, 0.6])
    assert best_threshold(y, positive, ((0.0, 1.0), (2.0, 0.0))) == pytest.approx(0.5)


@pytest.mark.parametrize("decimals", [1, 2, 7])
def test_ranking_metrics_are_scikit_learns_to_the_bit(decimals):
    rng = np.random.default_rng(decimals)
    for rows in (3, 40, 1500):
        y = np.r_[0, 1, (rng.random(rows) < 0.2).astype(np.int64)]
        positive = np.round(rng.random(len(y)), decimals).astype(np.float32)
        p = Predictions(y, np.stack([1 - positive, positive], axis=1))
        assert COMPUTE["roc_auc"](p) == sk.roc_auc_score(y, positive)
        assert COMPUTE["average_precision"](p) == sk.average_precision_score(y, positive)


@pytest.mark.parametrize("classes", [2, 3])
def test_a_metric_cannot_write_into_predictions(classes):
    given = predictions(classes)
    y, proba = given.y.copy(), given.proba.copy()
    shared = Predictions(y, proba)
    for array in (shared.y, shared.proba, shared.labels, shared.confusion, *shared.steps(1)):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0
    assert np.array_equal(y, given.y)
    assert np.array_equal(proba, given.proba)
    assert y.flags.writeable
    assert proba.flags.writeable, "the caller's own arrays are left as they are"


def test_no_metric_can_make_the_predictions_writable_again():
    proba = np.array([[0.2, 0.8], [0.6, 0.4]], dtype=np.float32)
    predictions = Predictions(np.array([1, 0]), proba)
    with pytest.raises(ValueError, match="WRITEABLE"):
        predictions.proba.flags.writeable = True
    assert proba.flags.writeable
    assert Predictions(np.array([], dtype=np.int64), np.empty((0, 2))).proba.shape == (0, 2)


def test_no_metric_has_the_name_of_another_column():
    with pytest.raises(DeclarationError, match="another column"):
        Metric(name="threshold", compute=lambda _: 0.5, metric_type="decision")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("lowest", [0, -3], ids=["of bits", "of positions"])
def test_steps_count_the_rows_at_or_above_every_distinct_score(dtype, lowest):
    rng = np.random.default_rng(0)
    scores, is_hit = rng.integers(lowest, 7, 50).astype(dtype) / 8, rng.random(50) < 0.3
    expected_hits, expected_rows = [], []
    for score in np.unique(scores)[::-1]:
        expected_hits.append((is_hit & (scores >= score)).sum())
        expected_rows.append((scores >= score).sum())
    for weights in (None, np.ones(50)):
        hits, rows = count_steps(is_hit, scores, weights)
        assert hits.tolist() == expected_hits
        assert rows.tolist() == expected_rows
