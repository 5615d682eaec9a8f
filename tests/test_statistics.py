"""The statistics of the report, held against scipy, closed forms, a worked example and simulation."""

import math

import numpy as np
import pytest
from fixtures_across import scores_of
from scipy import stats

from harness.evaluation.corrected_t import estimate_mean_with_interval, holm, signed_rank_test
from harness.evaluation.scores import ScoreRows
from harness.evaluation.significance import compare_all_with_best
from harness.evaluation.variance import ScoreSample, estimate_variance
from harness.metrics.classification import METRICS
from harness.metrics.metric import Predictions

SCORES = [0.81, 0.84, 0.79, 0.86, 0.80]


def test_without_the_correction_it_is_the_textbook_t_interval():
    found, expected = estimate_mean_with_interval(SCORES, ratio=0.0), stats.ttest_1samp(SCORES, 0.0)
    low, high = expected.confidence_interval(0.95)
    assert (found.mean - found.ci_half_width, found.mean + found.ci_half_width) == pytest.approx((low, high))
    assert found.p == pytest.approx(expected.pvalue)


def test_paired_differences_are_the_paired_t_test():
    other = [0.80, 0.80, 0.78, 0.83, 0.81]
    found = estimate_mean_with_interval(np.subtract(SCORES, other), ratio=0.0)
    assert found.p == pytest.approx(stats.ttest_rel(SCORES, other).pvalue)


def test_the_variance_is_corrected_as_nadeau_and_bengio_say():
    # Five splits of 4:1, so s² (1/5 + 1/4); the t quantile of 4 degrees of freedom is 2.776 in any printed table.
    half = 2.776 * math.sqrt(np.var(SCORES, ddof=1) * (1 / 5 + 1 / 4))
    assert estimate_mean_with_interval(SCORES, ratio=0.25).ci_half_width == pytest.approx(half, rel=1e-3)


def test_more_repeats_can_never_beat_the_overlap_of_training_rows():
    rng = np.random.default_rng(0)
    many = rng.normal(0, 1, 10_000)
    assert estimate_mean_with_interval(many, ratio=0.25).ci_half_width == pytest.approx(
        1.96 * math.sqrt(0.25), rel=0.02
    )


@pytest.mark.parametrize("values", [[0.5], [0.5, 0.7]])
def test_one_or_two_splits_carry_a_mean_and_no_claim(values):
    found = estimate_mean_with_interval(values, ratio=0.25)
    assert found.mean == pytest.approx(np.mean(values))
    assert math.isnan(found.ci_half_width)
    assert math.isnan(found.p)


def test_a_figure_that_a_split_lacks_is_not_averaged_away():
    assert math.isnan(estimate_mean_with_interval([0.5, math.nan, 0.6], ratio=0.25).mean)
    assert math.isnan(estimate_mean_with_interval([], ratio=0.25).mean)


def test_equal_entries_differ_by_nothing():
    found = estimate_mean_with_interval([0.0] * 5, ratio=0.25)
    assert (found.mean, found.ci_half_width, found.p) == (0.0, 0.0, 1.0)


def test_holm_as_in_the_worked_example():
    # what p.adjust of R gives for these five
    assert holm([0.01, 0.02, 0.03, 0.04, 0.05]) == pytest.approx([0.05, 0.08, 0.09, 0.09, 0.09])
    assert holm([0.04, 0.01, 0.9]) == pytest.approx([0.08, 0.03, 0.9])


def test_holm_passes_over_what_was_not_tested():
    adjusted = holm([0.01, math.nan, 0.02])
    assert adjusted[0] == pytest.approx(0.02)
    assert math.isnan(adjusted[1])


def significant_pairs(scores: np.ndarray, resolution: float = 0.0) -> np.ndarray:
    """Which pairs of entries differ significantly, judged over all pairs by scores alone, (m, m)."""
    unknown = np.zeros((len(scores), len(scores)))
    sample = ScoreSample(scores[:, None, :], ("family",) * len(scores), unknown, unknown, unknown, resolution)
    variance = estimate_variance(sample)
    compared, _ = compare_all_with_best(sample, variance, int(sample.means.argmax()), rope=0.0, sign=1, seed=0)
    differences = np.abs(sample.means[:, None] - sample.means[None, :])
    return differences > compared.critical_value * variance.standard_errors + 1e-12


def simulated(rng: np.random.Generator, entries: int, splits: int, ratio: float) -> np.ndarray:
    """Errors of entries in splits, correlated just as much as the correction says: ρ/(1 − ρ) = n_test/n_train."""
    rho = ratio / (1 + ratio)
    shared, own = rng.normal(size=(entries, 1)), rng.normal(size=(entries, splits))
    return math.sqrt(rho) * shared + math.sqrt(1 - rho) * own


@pytest.mark.parametrize(("entries", "splits"), [(2, 5), (6, 3), (12, 10)])
def test_among_equal_entries_the_best_is_set_apart_in_at_most_five_of_a_hundred_runs(entries, splits):
    rng, runs, wrong = np.random.default_rng(entries), 100, 0
    for _ in range(runs):
        figures = rng.normal(size=(entries, splits))
        wrong += significant_pairs(figures)[figures.mean(axis=1).argmax()].any()
    assert wrong / runs <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / runs)


def test_a_real_difference_is_found_and_its_size_decides_how_often():
    rng, found = np.random.default_rng(3), {}
    for shift in (1.0, 3.0, 6.0):
        lift = np.array([[shift]] + [[0.0]] * 5)
        found[shift] = np.mean([significant_pairs(lift + simulated(rng, 6, 10, 0.25))[0, 1:].all() for _ in range(50)])
    assert found[1.0] < found[3.0] < found[6.0]
    assert found[6.0] > 0.9


def test_entries_that_are_the_same_are_never_told_apart():
    figures = np.vstack([SCORES, SCORES, np.subtract(SCORES, 0.5) + 1e-3 * np.arange(len(SCORES))])
    apart = significant_pairs(figures)
    assert not apart[0, 1]
    assert apart[0, 2]
    assert (apart == apart.T).all()


@pytest.mark.parametrize(("entries", "splits", "rows"), [(2, 3, 30), (10, 3, 100), (12, 5, 30)])
def test_among_equal_entries_with_figures_in_steps_the_best_is_set_apart_as_seldom(entries, splits, rows):
    """Accuracies of equal entries on the same rows: nine of ten rows are decided alike, differences are a few steps."""
    rng, runs, wrong = np.random.default_rng(splits + entries), 80, 0
    for _ in range(runs):
        base, own = (rng.random((m, splits, rows)) < 0.9 for m in (1, entries))
        figures = np.where(rng.random((1, splits, rows)) < 0.9, base, own).mean(axis=2)
        wrong += significant_pairs(figures, 1 / rows)[figures.mean(axis=1).argmax()].any()
    assert wrong / runs <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / runs)


def test_the_same_step_in_every_split_is_not_beyond_all_doubt():
    step = [1 / 30, 1 / 30, 1 / 30]
    assert estimate_mean_with_interval(step, ratio=0.5, resolution=1 / 30).p > 0.05
    assert estimate_mean_with_interval(step, ratio=0.5).p == 1  # without a grain nothing is known of chance
    assert estimate_mean_with_interval(np.multiply(step, 20), ratio=0.5, resolution=1 / 30).p < 0.001


def test_what_is_the_same_in_every_split_is_told_apart_where_one_row_could_not_explain_it():
    perfect, floor = np.ones(3), np.full(3, 0.2)
    assert estimate_mean_with_interval(perfect - floor, ratio=0.5, resolution=1 / 20).p < 0.01
    assert significant_pairs(np.vstack([perfect, floor, floor]), 1 / 20)[0].tolist() == [False, True, True]
    assert not significant_pairs(np.vstack([perfect, perfect - 1 / 20]), 1 / 20).any()


@pytest.mark.parametrize("grain", [0.0, 1e-9, 1 / 20])
def test_what_only_rounding_tells_apart_is_the_same(grain):
    noise = np.array([1.1e-16, 2.2e-16, 1.1e-16, 1.2e-16, 1.1e-16])
    assert estimate_mean_with_interval(noise, ratio=0.25, resolution=grain).p == 1
    assert not significant_pairs(np.vstack([SCORES, np.add(SCORES, noise)]), grain).any()


@pytest.mark.parametrize("name", ["roc_auc", "average_precision", "lift_at_10", "brier"])
def test_among_equal_entries_that_are_nearly_perfect_hardly_any_is_set_apart(name):
    """Equal entries that get one row in a hundred wrong: figures in steps, often the same difference in every split."""
    rng, runs, rows, entries = np.random.default_rng(5), 80, 60, 8
    metric, y = next(m for m in METRICS if m.name == name), np.repeat([0, 1], [45, 15])
    scores = scores_of({"one": {("xgb", "none"): [0.5] * 3}})
    at = ScoreRows(
        ((0, 0),), (("", "tuned", "half"),), {"row_share": np.array([1 / rows]), "rare_row_share": np.array([1 / 15])}
    )
    wrong = {scores.score_resolution("one", metric, at): 0, 1e-9: 0}
    for _ in range(runs):
        base, own = (np.where(rng.random((m, 3, rows)) < 0.99, y, 1 - y) * 0.98 + 0.01 for m in (1, entries))
        said = np.where(rng.random((entries, 3, rows)) < 0.5, base, own)
        figures = [[metric.compute(Predictions(y, np.column_stack([1 - p, p]))) for p in one] for one in said]
        for grain in wrong:
            wrong[grain] += significant_pairs(np.array(figures), grain).any()
    floored, bare = (count / runs for count in wrong.values())
    assert floored <= 0.05
    assert bare > floored + 0.02  # without what one row is worth the same runs claim more


def test_rankings_move_by_no_more_than_the_row_that_moved():
    """The largest change of the area under the curve, and of the lift, when one row of 100 changes its place."""
    rng, y = np.random.default_rng(1), np.repeat([0, 1], [90, 10])
    score = rng.permutation(100) / 100 + 0.5 * y
    for name, classes in (("roc_auc", ["No", "Yes"]), ("lift_at_10", ["No", "Yes"]), ("roc_auc", ["a", "b", "c", "d"])):
        scores = scores_of({"one": {("xgb", "none"): [0.5] * 3}}, one={"classes": classes})
        k, metric = len(classes), next(m for m in METRICS if m.name == name)
        truth = y if k == 2 else np.repeat([0, 1, 2, 3], [10, 20, 30, 40])
        said = np.column_stack([1 - score, score]) if k == 2 else rng.random((100, k)) + 0.5 * np.eye(k)[truth]
        rows = ScoreRows(
            ((0, 0),),
            (("", "tuned", "half"),),
            {"row_share": np.array([1 / 100]), "rare_row_share": np.array([1 / 10])},
        )
        moved = []
        for row in range(100):
            for place in (-1.0, 2.0):
                other = said.copy()
                other[row] = [1 - place, place] if k == 2 else np.roll(other[row], 1)
                moved.append(abs(metric.compute(Predictions(truth, other)) - metric.compute(Predictions(truth, said))))
        assert 0 < max(moved) <= scores.score_resolution("one", metric, rows) + 1e-12, (name, k)


def test_costs_below_zero_have_a_grain_as_well():
    scores = scores_of({"one": {("xgb", "none"): [0.5] * 3}}, one={"costs": [[0.0, -1.0], [-10.0, -2.0]]})
    rows = ScoreRows(
        ((0, 0),), (("", "tuned", "half"),), {"row_share": np.array([1 / 200]), "rare_row_share": np.array([1 / 20])}
    )
    assert scores.score_resolution("one", next(m for m in METRICS if m.name == "expected_cost"), rows) == pytest.approx(
        10 / 200
    )


def test_the_signed_rank_test_is_the_textbook_one():
    # Six differences of one sign: 2 of the 2^6 equally likely signs are as extreme.
    assert signed_rank_test([0.1, 0.2, 0.3, 0.4, 0.5, 0.6]).p == pytest.approx(2 / 64)
    # Ranks 1 to 7, the negative one has rank 1: sums of ranks of at most 1 can be had in 2 ways.
    found = signed_rank_test([-0.01, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7])
    assert (found.sum, found.p, found.n) == (26, pytest.approx(2 * 2 / 128), 7)
    assert signed_rank_test([0.1, 0.0, math.nan]).n == 1
    assert signed_rank_test([0.0, 0.0]).p == 1


def test_the_signed_rank_test_is_exact_where_differences_tie():
    differences = np.array([0.1, 0.1, -0.1, 0.2, 0.3, 0.3, 0.3, -0.2])
    exact = stats.wilcoxon(differences, method=stats.PermutationMethod(n_resamples=np.inf)).pvalue
    assert signed_rank_test(differences).p == pytest.approx(exact)


def test_means_over_all_rows_move_by_one_of_them_and_shares_of_a_class_by_one_of_the_rarest():
    """Each metric's largest change when one decision of 200 is turned round, against what one row is said to be worth."""
    scores = scores_of({"one": {("xgb", "none"): [0.5] * 3}}, one={"costs": [[0.0, 1.0], [10.0, 0.0]]})
    y = np.repeat([0, 1], [180, 20])
    rows = ScoreRows(
        ((0, 0),), (("", "tuned", "half"),), {"row_share": np.array([1 / 200]), "rare_row_share": np.array([1 / 20])}
    )
    decided = np.where(np.random.default_rng(0).random(200) < 0.8, y, 1 - y)
    for metric in METRICS:
        if metric.metric_type == "decision":
            moved = []
            for turned in range(200):
                other = np.where(np.arange(200) == turned, 1 - decided, decided)
                figures = [
                    metric.compute(Predictions(y, np.column_stack([1 - said, said]), 0.5, scores.costs("one")))
                    for said in (decided, other)
                ]
                moved.append(abs(figures[0] - figures[1]))
            step = scores.score_resolution("one", metric, rows)
            assert max(moved) <= step + 1e-12, metric.name
            if metric.over_rows:
                assert max(moved) == pytest.approx(step), metric.name
    assert scores.score_resolution("one", next(m for m in METRICS if m.name == "expected_cost"), rows) == pytest.approx(
        10 / 200
    )
