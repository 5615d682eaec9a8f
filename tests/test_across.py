"""What is said over all tasks, against published tables, other packages, closed forms and simulation."""

from __future__ import annotations

import re
import warnings

import numpy as np
import pandas as pd
import pytest
from baycomp import SignedRankTest
from fixtures_across import METRIC, drawn, rankings_of, scores_of
from scikit_posthocs import posthoc_conover_friedman
from scipy import stats

from harness.evaluation import cross_task, task_statistics
from harness.evaluation.cross_task import (
    count_entry_coverage,
    find_common_tasks,
    impute_missing_splits,
    select_completed_rankings,
    select_family_entry_rows,
)
from harness.evaluation.score_collection import collect_scores
from harness.evaluation.scores import Entry
from harness.report.content import Evidence, Figure
from harness.report.figures.cross_task import _assign_lanes
from harness.report.render.markdown import render_markdown_part
from harness.report.sections.cross_task import make_cross_task_sections, pairwise_posteriors
from harness.report.sections.cross_task_table import ONE_TASK, cross_task_overview, summarize_cross_task_ranks
from harness.report.sections.suitability import groups_of_task

#: Demšar (2006), table 6: AUC of C4.5, C4.5+m, C4.5+cf and C4.5+m+cf on 14 data sets; the paper ranks the two
#: that it prints as 0.975 before rounding, 2 and 3.
DEMSAR = np.array(
    [
        [0.763, 0.768, 0.771, 0.798],
        [0.599, 0.591, 0.590, 0.569],
        [0.954, 0.971, 0.968, 0.967],
        [0.628, 0.661, 0.654, 0.657],
        [0.882, 0.888, 0.886, 0.898],
        [0.936, 0.931, 0.916, 0.931],
        [0.661, 0.668, 0.609, 0.685],
        [0.583, 0.583, 0.563, 0.625],
        [0.775, 0.838, 0.866, 0.875],
        [1.000, 1.000, 1.000, 1.000],
        [0.940, 0.962, 0.965, 0.962],
        [0.619, 0.666, 0.614, 0.669],
        [0.972, 0.981, 0.97501, 0.975],
        [0.957, 0.978, 0.946, 0.970],
    ]
).T
XGB, LR, NET = ("xgb", "none"), ("logistic_regression", "none"), ("dense_network", "none")


def tuned(family: str, strategy: str = "none") -> Entry:
    return Entry(family, strategy, "tuned")


# --- ranks -----------------------------------------------------------------------------------------------------------


def test_mean_ranks_are_those_that_demsar_published():
    assert task_statistics.task_ranks(DEMSAR).mean(axis=1).round(3).tolist() == [3.143, 2.0, 2.893, 1.964]


def test_friedman_and_iman_davenport_give_demsars_figures():
    of_tasks = task_statistics.task_ranks(DEMSAR)
    test = task_statistics.friedman_test(of_tasks)
    # The paper leaves ties uncorrected: its χ² divides by the spread of ranks without ties, k(k+1)/12 per task.
    n, k = 14, 4
    uncorrected = test.chi2 * ((of_tasks**2).sum() - n * k * (k + 1) ** 2 / 4) / (n * k * (k + 1) * (k - 1) / 12)
    assert uncorrected == pytest.approx(9.28, abs=0.005)
    assert (n - 1) * uncorrected / (n * (k - 1) - uncorrected) == pytest.approx(3.69, abs=0.005)
    assert test.degrees == (3, 39)
    assert test.f == pytest.approx((n - 1) * test.chi2 / (n * (k - 1) - test.chi2))
    assert test.p == pytest.approx(stats.f.sf(test.f, 3, 39))


@pytest.mark.parametrize("seed", range(3))
def test_friedman_is_scipys(seed):
    means = np.random.default_rng(seed).integers(0, 6, (5, 12)).astype(float)  # with many ties
    assert task_statistics.friedman_test(task_statistics.task_ranks(means)).chi2 == pytest.approx(
        stats.friedmanchisquare(*means).statistic
    )


def test_tasks_that_all_say_the_same():
    equal, agreed = np.ones((3, 8)), np.tile([[3.0], [2.0], [1.0]], 8)
    assert task_statistics.friedman_test(task_statistics.task_ranks(equal)).p == 1
    assert (task_statistics.pairwise_p_values(equal) == 1).all()
    assert task_statistics.friedman_test(task_statistics.task_ranks(agreed)).p == 0
    # Three pairs, each with Wilcoxon's smallest p value for 8 tasks, times three.
    assert task_statistics.pairwise_p_values(agreed)[0].tolist() == pytest.approx([1, 3 * 2 / 2**8, 3 * 2 / 2**8])


def test_conover_with_holm_is_that_of_scikit_posthocs():
    expected = posthoc_conover_friedman(DEMSAR.T, p_adjust="holm").to_numpy()
    found = task_statistics.adjust_pairwise_p_values(
        task_statistics.conover_p_values(task_statistics.task_ranks(DEMSAR))
    )
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_wilcoxon_is_scipys_exact_test_and_demsars_example():
    means = np.random.default_rng(6).standard_normal((3, 17)).cumsum(axis=0)
    expected = [stats.wilcoxon(means[0], means[j], method="exact").pvalue for j in (1, 2)]
    assert task_statistics.wilcoxon_p_values(means)[0, 1:].tolist() == pytest.approx(expected)
    # C4.5 against C4.5+m with its two ties left out (the paper splits them, and finds p below 0.05 as well).
    differences = DEMSAR[0] - DEMSAR[1]
    differences = np.round(differences[differences != 0], 3)
    exact = stats.wilcoxon(differences, method=stats.PermutationMethod(n_resamples=np.inf)).pvalue
    assert task_statistics.wilcoxon_p_values(np.vstack([differences, np.zeros(12)]))[0, 1] == pytest.approx(exact)
    assert exact < 0.05


def test_a_pair_needs_both_tests_and_friedman():
    means = np.random.default_rng(5).standard_normal((4, 10)) + np.array([[1.0], [0.7], [0], [0]])
    found = task_statistics.pairwise_p_values(means)
    both = np.maximum(
        task_statistics.adjust_pairwise_p_values(task_statistics.conover_p_values(task_statistics.task_ranks(means))),
        task_statistics.adjust_pairwise_p_values(task_statistics.wilcoxon_p_values(means)),
    )
    assert (found >= both - 1e-12).all()
    assert (found >= min(1, task_statistics.friedman_test(task_statistics.task_ranks(means)).p)).all()
    assert np.array_equal(found, found.T)


@pytest.mark.parametrize("hopeless", [0, 4])
def test_equal_entries_are_told_apart_in_five_of_a_hundred_runs_at_most(hopeless):
    """Also where others are always last, which alone makes Conover's test find differences in a quarter of the runs."""
    rng, runs, found, conover = np.random.default_rng(1), 200, 0, 0
    last = -np.arange(9.0, 9.0 + hopeless)[:, None] * np.ones(12)
    for _ in range(runs):
        means = np.vstack([rng.standard_normal((4, 12)), last])
        found += (task_statistics.pairwise_p_values(means)[:4, :4] < 0.05).any()
        conover_p = task_statistics.conover_p_values(task_statistics.task_ranks(means))
        conover += (task_statistics.adjust_pairwise_p_values(conover_p)[:4, :4] < 0.05).any()
    assert found / runs <= 0.05
    assert conover / runs > 0.15 or not hopeless


def test_tasks_needed_is_where_wilcoxon_begins():
    for k in (2, 3, 5, 12):
        n, pairs = task_statistics.min_tasks_for_significance(k), k * (k - 1) / 2
        assert pairs * 2 / 2**n < 0.05 <= pairs * 2 / 2 ** (n - 1)


def test_spans_join_whatever_is_not_apart_and_nothing_shares_a_span_without_need():
    rng = np.random.default_rng(3)
    for _ in range(20):
        p_values = np.triu(rng.uniform(0, 0.2, (7, 7)), 1)
        p_values += p_values.T + np.eye(7)
        found = task_statistics.tied_groups(p_values)
        for i in range(7):
            for j in range(i + 1, 7):
                if p_values[i, j] >= 0.05:
                    assert any(a <= i and j <= b for a, b in found)
        assert all(p_values[a, b] >= 0.05 for a, b in found)
        assert all(not (a <= c and d <= b) for a, b in found for c, d in found if (a, b) != (c, d))


# --- strength --------------------------------------------------------------------------------------------------------


def test_battles_count_ties_half_and_every_task_alike():
    won = task_statistics.pairwise_wins(np.array([[3.0, 1, 2], [3, 2, 1]]))
    np.testing.assert_allclose(won, [[0, 0.5], [0.5, 0]])
    assert task_statistics.pairwise_wins(np.array([[1.0], [0.0]])).tolist() == [[0, 1], [0, 0]]


@pytest.mark.parametrize(("wins", "tasks"), [(7, 10), (5, 10), (10, 10), (0, 3)])
def test_two_entries_have_a_closed_form(wins, tasks):
    won = np.array([[[0, at < wins], [at >= wins, 0]] for at in range(tasks)], dtype=float)
    odds = (wins + 0.5) / (tasks - wins + 0.5)
    first, second = task_statistics.fit_bradley_terry_ratings(won)
    assert first - second == pytest.approx(400 * np.log10(odds), abs=1e-6)
    assert (first + second) / 2 == pytest.approx(1000)


def test_strengths_are_the_likeliest():
    """At the maximum every entry's expected number of wins is its actual one (Zermelo 1929)."""
    won = np.array([task_statistics.pairwise_wins(f) for f in np.random.default_rng(2).standard_normal((9, 6, 5))])
    found = task_statistics.fit_bradley_terry_ratings(won)
    whole = won.sum(axis=0) + (1 - np.eye(6)) / 2
    chance = 1 / (1 + 10 ** ((found[None, :] - found[:, None]) / 400))
    expected = ((whole + whole.T) * chance * (1 - np.eye(6))).sum(axis=1)
    np.testing.assert_allclose(expected, whole.sum(axis=1), atol=1e-6)


def test_who_never_loses_stays_finite_and_its_interval_is_open_upwards():
    won = np.zeros((6, 3, 3))
    won[:, 0, 1:] = 1
    won[:, 1, 2] = won[:, 2, 1] = 0.5
    centre, (lower, upper) = task_statistics.fit_bradley_terry_ratings(won), task_statistics.rating_intervals(won, 0)
    assert np.isfinite([centre, lower, upper]).all()
    assert upper[0] - centre[0] > centre[0] - lower[0] > 50
    assert centre[1] == pytest.approx(centre[2])


@pytest.mark.parametrize("effects", [(0.0, 0.2, 0.4, 1.0), (0.0, 0.2, 0.4, 3.0)])
def test_intervals_hold_the_true_strength(effects):
    """Tasks drawn from a population whose strengths are known from many of them; the last entry may win nearly always."""
    rng, k, tasks, runs = np.random.default_rng(4), len(effects), 8, 100

    def draw(n: int) -> np.ndarray:
        figures = (np.array(effects) + 0.7 * rng.standard_normal((n, k)))[:, :, None]
        return np.array([task_statistics.pairwise_wins(f) for f in figures + 0.3 * rng.standard_normal((n, k, 5))])

    truth = task_statistics.fit_bradley_terry_ratings(draw(5000))
    held = [
        (lower <= truth) & (truth <= upper)
        for lower, upper in (task_statistics.rating_intervals(draw(tasks), s) for s in range(runs))
    ]
    assert 0.88 <= np.mean(held) <= 0.99


def test_intervals_are_the_same_with_the_same_seed():
    won = np.array([task_statistics.pairwise_wins(f) for f in np.random.default_rng(2).standard_normal((6, 4, 5))])
    assert np.array_equal(task_statistics.rating_intervals(won, 7), task_statistics.rating_intervals(won, 7))


# --- practical differences -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shift", [0.0, 0.008, 0.03])
def test_signed_rank_is_baycomps(shift):
    rng = np.random.default_rng(8)
    first = rng.uniform(0.6, 0.9, 18)
    second = first - shift + 0.02 * rng.standard_normal(18)
    found = task_statistics.signed_rank_posterior(first - second, task_statistics.draw_task_weights(18, 0))
    # baycomp speaks of y − x: its "left" is where x is better.
    expected = SignedRankTest.probs(first, second, rope=0.01, nsamples=10_000, random_state=1)
    np.testing.assert_allclose(found, expected, atol=0.02)
    assert sum(found) == pytest.approx(1)


def test_a_pair_that_never_differs_by_more_than_the_region_is_equal():
    found = task_statistics.signed_rank_posterior(
        np.array([0.004, -0.003, 0.002, 0.0, -0.004]), task_statistics.draw_task_weights(5, 0)
    )
    assert found == (0, 1, 0)


def test_pairs_take_the_tasks_whose_differences_have_a_scale():
    figures = drawn(7, {XGB: 0.1, LR: 0.0})
    for task in ("task_00", "task_01"):
        figures[task] = {entry: [-1.0 * v for v in values] for entry, values in figures[task].items()}
        figures[task]["majority", "none"] = [0.0] * 5  # a cost that nothing can be measured by
    scores = scores_of(figures, **{t: {"objective": "expected_cost"} for t in ("task_00", "task_01")})
    together = find_common_tasks(rankings_of(scores))
    assert np.isnan(cross_task.difference_units_by_task(together)).sum() == 2
    assert (
        pairwise_posteriors(together, 2)[0, 1].second > 0.9
    )  # entries are in alphabetical order here: xgb is the second


# --- distance from the best ------------------------------------------------------------------------------------------


def test_wins_normalised_and_improvability_by_hand():
    figures = {
        "a": {("majority", "none"): [0.2, 0.2], XGB: [0.8, 0.8], LR: [0.5, 0.7]},
        "b": {("majority", "none"): [0.5, 0.5], XGB: [0.9, 0.7], LR: [0.9, 0.9]},
    }
    together = find_common_tasks(rankings_of(scores_of(figures)))
    assert [e.family for e in together.entries] == ["logistic_regression", "xgb"]
    assert cross_task.count_wins(together.mean_scores).tolist() == [1, 1]
    np.testing.assert_allclose(cross_task.normalize_and_average_scores(together), [(2 / 3 + 1) / 2, (1 + 0.75) / 2])
    np.testing.assert_allclose(cross_task.improvability(together), [(0.5 + 0) / 2, (0 + 0.5) / 2])


def test_less_may_be_better():
    figures = {t: {("majority", "none"): [0.4] * 3, XGB: [0.1] * 3, LR: [0.2] * 3} for t in "ab"}
    scores = scores_of(figures, a={"objective": "brier"}, b={"objective": "brier"})
    overview = cross_task_overview(find_common_tasks(rankings_of(scores)))
    assert [e.family for e in overview.common.entries] == ["xgb", "logistic_regression"]
    np.testing.assert_allclose(cross_task.improvability(overview.common), [0, 0.5])
    np.testing.assert_allclose(cross_task.normalize_and_average_scores(overview.common), [1, 2 / 3])


# --- what is missing -------------------------------------------------------------------------------------------------


def test_one_lacking_task_of_many_is_left_out_and_so_is_an_entry_that_lacks_many():
    figures = drawn(12, {XGB: 0.02, LR: 0.01, NET: 0.0, ("bayes", "none"): -0.1})
    figures["task_03"][XGB][2] = None
    for at in range(4, 12):
        figures[f"task_{at:02d}"]["bayes", "none"] = [None] * 5
    rankings = rankings_of(scores_of(figures))
    together = find_common_tasks(rankings)
    assert {e.family for e in together.entries} == {"xgb", "logistic_regression", "dense_network"}
    assert len(together.tasks) == 11
    assert "task_03" not in together.tasks
    found = {one.entry.family: (one.tasks, one.splits, one.missing_splits) for one in count_entry_coverage(rankings)}
    assert found == {
        "logistic_regression": (12, 60, 0),
        "dense_network": (12, 60, 0),
        "xgb": (11, 59, 1),
        "bayes": (4, 20, 40),
    }


def test_a_lacking_split_is_filled_in_with_that_of_the_majority_row():
    figures = {
        "a": {("majority", "none"): [0.1, 0.3], XGB: [0.8, None], LR: [0.5, 0.7]},
        "b": {("majority", "none"): [0.5, 0.5], XGB: [0.9, 0.7], LR: [None, None]},
        "c": {("majority", "none"): [None, 0.5], XGB: [0.9, None], LR: [0.9, 0.7]},
    }
    together = impute_missing_splits(rankings_of(scores_of(figures)))
    assert together.tasks == ("a", "b")
    assert [e.family for e in together.entries] == ["logistic_regression", "xgb"]
    np.testing.assert_allclose(together.scores[0], [[0.5, 0.7], [0.8, 0.3]])
    np.testing.assert_allclose(together.scores[1], [[0.5, 0.5], [0.9, 0.7]])


def test_means_never_run_over_different_splits():
    """An entry that has only the easy split of a task is not compared there."""
    figures = {t: {("majority", "none"): [0.1] * 3, XGB: [0.9, None, None], LR: [0.8, 0.3, 0.3]} for t in "abcd"}
    together = find_common_tasks(rankings_of(scores_of(figures)))
    assert together.entries == (tuned("logistic_regression"),)


def test_families_stand_for_what_inner_scores_chose():
    figures = drawn(6, {XGB: 0.02, ("xgb", "searched"): 0.3, LR: 0.0})
    together = find_common_tasks(rankings_of(scores_of(figures)), select_family_entry_rows)
    assert [e.family for e in together.entries] == ["logistic_regression", "xgb"]
    np.testing.assert_allclose(together.mean_scores[1], [np.mean(one[XGB]) for one in figures.values()])


# --- sections --------------------------------------------------------------------------------------------------------


def text_of(found) -> str:
    parts = [part for section in found for part in (section.title, *section.parts) if not isinstance(part, Figure)]
    return "\n\n".join(map(render_markdown_part, parts))


def pictures_of(found) -> dict[str, Figure]:
    return {part.name: part for section in found for part in section.parts if isinstance(part, Figure)}


def made(figures, **tasks):
    scores = scores_of(figures, **tasks)
    return make_cross_task_sections(Evidence(None, scores, tuple(rankings_of(scores))))


ENTRIES = {
    (f, s): 0.03 * i - 0.02 * j for i, f in enumerate(("xgb", "bayes", "net")) for j, s in enumerate(("none", "smote"))
}


def test_one_task_is_a_sentence():
    assert [section.parts for section in made(drawn(1, ENTRIES))] == [(ONE_TASK,)]


def test_few_tasks_have_neither_tests_nor_intervals():
    found = made(drawn(4, ENTRIES))
    said = text_of(found)
    assert "no test over tasks is made" in said
    assert not re.search(r"Friedman|interval \||Bayesian|χ²", said)
    assert set(pictures_of(found)) == {"all-tasks.strengths", "all-tasks.battles"}
    assert pictures_of(found)["all-tasks.strengths"].draw.args[3] == ()


def test_many_tasks_have_everything_and_the_same_twice():
    first, second = (made(drawn(12, ENTRIES)) for _ in range(2))
    assert repr(first) == repr(second)
    assert [section.title for section in first] == [
        "Over all tasks",
        "Mean ranks, and significant differences",
        "Who beats whom",
        "Is the difference worth having?",
        "Which family suits which data",
    ]
    assert set(pictures_of(first)) == {
        "all-tasks.ranks",
        "all-tasks.strengths",
        "all-tasks.battles",
        "all-tasks.practical.entries",
        "all-tasks.practical.families",
    }
    said = text_of(first)
    assert "Coverage: every entry has all 60 splits of all 12 tasks." in said
    assert "filled in" not in said


def test_arguments_of_pictures_are_plain_and_their_files_too():
    for picture in pictures_of(made(drawn(6, ENTRIES))).values():
        assert "array" not in repr(picture.draw.args)
        assert "np." not in repr(picture.draw.args)
        assert picture.draw().startswith(b"<svg")


def test_too_few_tasks_for_any_pair_is_said():
    assert "no pair could have been significantly different on 6 tasks" in text_of(made(drawn(6, ENTRIES)))
    assert "no pair could have been significantly different" not in text_of(made(drawn(12, ENTRIES)))


def test_what_is_missing_is_shown_with_what_became_of_it():
    figures = drawn(6, ENTRIES)
    figures["task_02"]["xgb", "none"][1] = None
    said = text_of(made(figures))
    assert re.search(r"xgb/none +\| +5 of 6 \| 29 of 30 \| timeout 1", said)
    assert "Left out, because some splits of some task are lacking" in said or "Tasks left out" in said
    assert re.search(r"xgb/none/tuned +\| .*\| +1 of 30", said)


def test_tasks_without_figures_and_splits_that_were_not_run_are_told():
    figures = drawn(6, ENTRIES, splits=3)
    figures["task_03"] = {entry: [None] * 3 for entry in figures["task_03"]}
    run = {task: {"splits": 5} for task in figures if task != "task_00"}
    said = text_of(found := made(figures, **run))
    assert "6 tuned entries on 5 of 6 tasks" in said
    assert "on all" not in said
    assert "Not evaluated, as no entry has scores: task_03." in said
    assert "Of 5 planned splits only 3 have scores of any entry on task_01, task_02, task_04 and task_05: " in said
    assert re.search(r"xgb/none +\| +1 of 6 \| 15 of 28 \|", said)
    assert "every entry has all" not in said
    assert "Not evaluated, as no entry has scores: task_03." in summarize_cross_task_ranks(
        rankings_of(scores_of(figures, **run))
    )
    assert found[0].title == "Over all tasks"
    assert "on every task: what is said" in text_of(
        made(drawn(3, ENTRIES), **{f"task_0{i}": {"splits": 9} for i in range(3)})
    )


def test_one_evaluated_task_of_several_is_told_as_that():
    figures = drawn(3, ENTRIES)
    figures |= {task: {entry: [None] * 5 for entry in figures[task]} for task in ("task_01", "task_02")}
    rankings = rankings_of(scores_of(figures))
    assert summarize_cross_task_ranks(rankings) == ["1 of 3 tasks has been evaluated: too few to average over."]
    assert [list(section.parts) for section in made(figures)] == [summarize_cross_task_ranks(rankings)]


def test_no_entry_that_two_tasks_share_is_a_sentence_too():
    figures = {
        "a": {("majority", "none"): [0.1] * 3, XGB: [0.9] * 3},
        "b": {("majority", "none"): [0.1] * 3, LR: [0.9] * 3},
    }
    found = made(figures)
    assert "No entry has all splits of two tasks." in text_of(found)
    assert "All entries on 2 tasks." in text_of(found)


def test_a_run_without_majority_row_or_with_that_alone():
    figures = drawn(6, ENTRIES)
    without = {task: {e: v for e, v in entries.items() if e[0] != "majority"} for task, entries in figures.items()}
    assert "majority" not in pictures_of(made(without))["all-tasks.battles"].draw.args[0]
    alone = {task: {("majority", "none"): entries["majority", "none"]} for task, entries in figures.items()}
    assert "No entry has all splits of two tasks." in text_of(made(alone))


def test_hostile_names_stay_text():
    name = "<b>|`x`*$\\"
    found = made(drawn(6, {(name, "no|ne"): 0.02, LR: 0.01, NET: 0.0}))
    said = text_of(found)
    assert "<b>" not in said
    assert "no|ne" not in said
    assert "no\\|ne" in said
    for picture in pictures_of(found).values():
        assert picture.draw()


def test_groups_of_tasks():
    assert groups_of_task({"counts": [98, 2], "rows": 100, "modality": "text"})[::2] == (
        "text",
        "rarest class up to 5 %",
    )
    assert groups_of_task({"counts": [900, 9100], "rows": 10_000})[1:] == (
        "up to 10,000 rows",
        "rarest class up to 20 %",
    )
    said = text_of(made(drawn(6, ENTRIES), task_01={"modality": "text", "rows": 50_000}))
    assert re.search(r"more than 10,000 rows \| +1 \|", said)


def test_a_real_small_run_with_everything_in_it(full_run):
    scores = collect_scores(full_run, METRIC)
    rankings = rankings_of(scores)
    found = make_cross_task_sections(Evidence(full_run, scores, tuple(rankings)))
    said = text_of(found)
    assert "timeout" in said
    assert "bayes/searched" in said
    together = find_common_tasks(select_completed_rankings(rankings))
    assert {e.name for e in together.entries} == {
        "bayes/none/tuned",
        *(f"logistic_regression/{s}/tuned" for s in ("none", "class_weight", "searched")),
    }
    # Against the rows themselves: the mean rank of an entry over the four tasks.
    means = pd.DataFrame(
        {r.task: {p.entry: p.score.mean for p in r.entries if p.entry in together.entries} for r in rankings}
    )
    expected = means.rank(ascending=False).mean(axis=1).sort_index()
    assert task_statistics.task_ranks(together.mean_scores).mean(axis=1) == pytest.approx(expected.to_numpy())
    assert summarize_cross_task_ranks(rankings[:1]) == [ONE_TASK]


def test_lines_beside_a_picture_do_not_touch():
    spans = [(0, 3), (1, 5), (4, 8), (6, 9)]
    lanes = _assign_lanes(spans)
    for i, (a, b) in enumerate(spans):
        for j, (c, d) in enumerate(spans):
            assert i == j or lanes[i] != lanes[j] or b < c or d < a


def test_a_hundred_entries_are_shown_in_part():
    many = {(f"family_{i}", "none"): 0.003 * i for i in range(45)}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = made(drawn(6, many))
    assert "The figure shows the first 40 of 45 entries." in text_of(found)
    assert len(pictures_of(found)["all-tasks.ranks"].draw.args[0]) == 40
