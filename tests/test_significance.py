"""Verdicts on differences: variance from rows and folds, intervals that hold together, and no claims about equal entries."""

import math

import numpy as np
import pytest
from simulations.significance import (
    BOUND,
    Setting,
    compute_auc_of_entries,
    compute_metric_of_entries,
    simulate,
)
from sklearn.metrics import average_precision_score

from harness.errors import EvenhandError
from harness.evaluation.metric_cache import MetricValues
from harness.evaluation.preferences import store_preferences
from harness.evaluation.scores import ScoreRows, Scores
from harness.evaluation.significance import (
    bound_interval_to_range,
    compare_all_with_best,
    compare_pairs,
    probabilities_of_being_best,
    read_verdict_from_interval,
    score_intervals,
)
from harness.evaluation.task_comparisons import random_ranking_gain
from harness.evaluation.variance import (
    ERROR_STRETCH,
    MAX_PRIOR_DEGREES,
    ScoreSample,
    estimate_variance,
    pair_difference_variances,
    training_variances,
)
from harness.metrics.classification import METRICS
from harness.store.store import Store

METRIC = {metric.name: metric for metric in METRICS}


def sample_of(scores, row_variance=1e-4, groups=None, rows=1000) -> ScoreSample:
    """Entries with these scores by split, whose independent row variance per split is given."""
    scores = np.asarray(scores, dtype=float)[:, None, :]
    size, splits = len(scores), scores.shape[2]
    covariance = row_variance / splits * np.eye(size)
    fourth = 3 * pair_difference_variances(covariance) ** 2 / rows
    return ScoreSample(scores, tuple(groups or ["family"] * size), covariance, covariance, fourth)


def normal_sample(seed, entries=8, folds=5, training=0.0, row_variance=1e-4) -> ScoreSample:
    rng = np.random.default_rng(seed)
    common = 0.02 * rng.normal(size=(1, folds))
    scores = 0.8 + common + np.sqrt(row_variance + training) * rng.normal(size=(entries, folds))
    return sample_of(scores, row_variance, [f"family {entry // 2}" for entry in range(entries)])


@pytest.mark.parametrize(
    ("low", "high", "sign", "verdict"),
    [
        (-0.009, 0.008, 1, "practically equal"),
        (0.002, 0.009, 1, "practically equal"),
        (0.002, 0.05, 1, "better"),
        (0.002, 0.05, -1, "worse"),
        (-0.05, -0.001, 1, "worse"),
        (-0.05, -0.001, -1, "better"),
        (-0.05, 0.05, 1, "undecided"),
        (-0.011, 0.005, 1, "undecided"),
    ],
)
def test_verdicts_follow_the_interval_and_the_region_of_practical_equivalence(low, high, sign, verdict):
    assert read_verdict_from_interval(low, high, rope=0.01, sign=sign) == verdict


def test_two_entries_are_judged_by_the_spread_between_folds_alone():
    scores = [[0.80, 0.82, 0.81], [0.78, 0.79, 0.80]]
    variance = estimate_variance(sample_of(scores))
    differences = np.subtract(*scores)
    assert variance.prior_weights[0, 1] == 0
    assert variance.standard_errors[0, 1] == pytest.approx(ERROR_STRETCH * differences.std(ddof=1) / math.sqrt(3))


def test_many_stable_entries_share_what_is_known_about_training():
    weights = [estimate_variance(normal_sample(seed, entries=16)).prior_weights for seed in range(5)]
    assert np.median(weights) > MAX_PRIOR_DEGREES / 2


@pytest.mark.parametrize("training", [0.0, 9e-4])
def test_standard_errors_are_those_of_the_differences(training):
    errors, differences = [], []
    for seed in range(200):
        sample = normal_sample(seed, training=training)
        errors.append(estimate_variance(sample).standard_errors[0, 5] / ERROR_STRETCH)
        differences.append(sample.means[0] - sample.means[5])
    assert np.sqrt(np.mean(np.square(errors))) == pytest.approx(np.std(differences), rel=0.2)


def test_training_variance_is_given_to_the_entry_that_has_it():
    own = np.array([0.0, 0.0, 1.0, 4.0])
    excess = own[:, None] + own[None, :]
    np.fill_diagonal(excess, 0.0)
    assert training_variances(excess) == pytest.approx(own)


def test_repeats_do_not_make_the_row_part_smaller():
    once = normal_sample(1)
    repeated = ScoreSample(
        np.repeat(once.scores, 4, axis=1),
        once.groups,
        once.row_covariance,  # the same rows, predicted four times
        once.split_covariance / 4,
        once.fourth_moments,
    )
    errors = [estimate_variance(sample).standard_errors[0, 1] for sample in (once, repeated)]
    row_part = math.sqrt(pair_difference_variances(once.row_covariance)[0, 1])
    assert errors[1] >= 0.7 * ERROR_STRETCH * row_part
    assert errors[1] == pytest.approx(errors[0], rel=0.5)


def test_a_clear_difference_is_found_and_its_interval_contains_it():
    sample = normal_sample(3)
    scores = sample.scores.copy()
    scores[0] += 0.1
    shifted = ScoreSample(scores, sample.groups, sample.row_covariance, sample.split_covariance, sample.fourth_moments)
    variance = estimate_variance(shifted)
    compared, possible = compare_all_with_best(shifted, variance, 0, rope=0.01, sign=1, seed=0)
    assert {comparison.verdict for comparison in compared.pairs} == {"worse"}
    assert possible.tolist() == [True] + [False] * 7
    assert probabilities_of_being_best(shifted, variance, sign=1, seed=0)[0] > 0.99
    comparison = compare_pairs(shifted, variance, [(0, 1)], rope=0.01, sign=1, seed=0).pairs[0]
    assert comparison.low < 0.1 < comparison.high


def test_more_comparisons_make_intervals_wider_and_draws_are_seeded():
    sample = normal_sample(4)
    variance = estimate_variance(sample)
    single = compare_pairs(sample, variance, [(0, 1)], rope=0.01, sign=1, seed=0)
    several = compare_pairs(sample, variance, [(0, other) for other in range(1, 8)], rope=0.01, sign=1, seed=0)
    assert single.critical_value < several.critical_value
    assert several == compare_pairs(sample, variance, [(0, other) for other in range(1, 8)], rope=0.01, sign=1, seed=0)


def test_entries_with_equal_predictions_are_practically_equal():
    scores = np.array([[0.8, 0.7, 0.9]] * 3)
    covariance = np.full((3, 3), 1e-4)
    sample = ScoreSample(scores[:, None, :], ("family",) * 3, covariance, covariance, np.zeros((3, 3)))
    variance = estimate_variance(sample)
    compared, possible = compare_all_with_best(sample, variance, 0, rope=0.01, sign=1, seed=0)
    assert {comparison.verdict for comparison in compared.pairs} == {"practically equal"}
    assert possible.all()


@pytest.mark.parametrize(
    ("centre", "bounds"), [(0.999, (0, 1)), (1.0, (0, 1)), (0.01, (0, math.inf)), (0.0, (0, math.inf)), (-0.9, (-1, 1))]
)
def test_no_interval_leaves_the_range_of_its_metric(centre, bounds):
    low, high = bound_interval_to_range(np.array([centre]), np.array([0.2]), bounds)
    assert bounds[0] <= low[0] <= centre <= high[0] <= bounds[1]
    assert low[0] < high[0]


def test_intervals_of_scores_cover_the_expected_score():
    covered = []
    for seed in range(300):
        rng = np.random.default_rng(seed)
        scores = 0.8 + 0.03 * rng.normal(size=(4, 5))
        sample = sample_of(scores, 9e-4)
        low, high = score_intervals(sample, estimate_variance(sample), (0.0, 1.0))
        covered.append((low[0] <= 0.8) & (high[0] >= 0.8))
    assert np.mean(covered) >= 0.93


@pytest.mark.parametrize(
    "setting",
    [Setting(2, 3, 1, 300, "unstable"), Setting(8, 3, 1, 300, "stable"), Setting(8, 3, 1, 300, "unstable", "log_loss")],
    ids=str,
)
def test_equal_entries_are_seldom_called_different(setting):
    outcome = simulate(setting, 60, seed=0)
    assert outcome.error <= BOUND + 0.025  # at most five of 60; `make simulations` has 2,000 repetitions


def test_the_simulations_score_entries_as_the_package_does():
    rng = np.random.default_rng(4)
    y, logits = rng.permutation(np.arange(200) < 50).astype(np.int64), rng.normal(size=(3, 200))
    for computed, expected in zip(
        compute_auc_of_entries(y, logits), compute_metric_of_entries(METRIC["roc_auc"], y, logits), strict=True
    ):
        assert computed == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("rope", "prefer", "message"), [(-1.0, None, "--rope"), (math.nan, None, "--rope"), (None, "best", "--prefer")]
)
def test_preferences_are_checked(tmp_path, rope, prefer, message):
    with pytest.raises(EvenhandError, match=message):
        store_preferences(Store(tmp_path), rope, prefer)


def test_the_baseline_is_credited_with_what_a_random_order_scores_on_few_rows():
    rng, rows, positives = np.random.default_rng(0), 30, 6
    y = np.arange(rows) < positives
    random_orders = np.mean([average_precision_score(y, rng.random(rows)) for _ in range(2000)])
    key = ("cell", "tuned", "tuned")
    values = MetricValues(None, {}, np.array([[0, rows - positives], [0, positives]]))
    scores = Scores({}, (), {}, {key: values}, {})
    gain = random_ranking_gain(scores, METRIC["average_precision"], ScoreRows(((0, 0),), (key,)))
    assert positives / rows + gain == pytest.approx(random_orders, abs=0.005)
    assert random_ranking_gain(scores, METRIC["roc_auc"], ScoreRows(((0, 0),), (key,))) == 0
