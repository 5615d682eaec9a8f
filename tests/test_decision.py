"""The recommendation: which entry, why, and what it says; judged on the committed sample run with verdicts as the case needs them."""

from dataclasses import replace
from pathlib import Path

import pytest

from harness.evaluation.decision import recommend_entry, represent_families
from harness.evaluation.ranking import BASELINE, RankedEntry, Ranking, rank_entries
from harness.evaluation.score_collection import collect_scores
from harness.evaluation.scores import Entry, Scores
from harness.metrics.classification import METRICS
from harness.report.leaderboard import format_verdict
from harness.report.sections.recommendation import recommendation_advice
from harness.store.store import Store

SAMPLE = Path(__file__).parents[1] / "results" / "sample"
METRIC = {metric.name: metric for metric in METRICS}
SIMPLE = Entry("logistic_regression", "none", "default")


@pytest.fixture(scope="module")
def scores() -> Scores:
    return collect_scores(Store(SAMPLE), METRIC)


@pytest.fixture(scope="module")
def ranking(scores: Scores) -> Ranking:
    return rank_entries(scores, "telco_churn_quarter")


def judged(ranking: Ranking, **verdicts: tuple[str, float]) -> Ranking:
    """The ranking with these verdicts and differences against the best entry; all others are worse."""
    entries = []
    for ranked in ranking.entries:
        if ranked.comparison is not None and ranked.entry.family != BASELINE:
            verdict, difference = verdicts.get("_".join(ranked.entry[:3]), ("worse", 0.1))
            comparison = replace(ranked.comparison, verdict=verdict, difference=difference)
            entries.append(replace(ranked, comparison=comparison))
        else:
            entries.append(ranked)
    return replace(ranking, entries=tuple(entries))


def used(scores: Scores, ranking: Ranking, prefer: str = "simple") -> tuple[Entry, str]:
    recommendation = recommend_entry(scores, ranking, prefer)
    assert recommendation.entry is not None
    return recommendation.entry.entry, recommendation.reason


def advice(scores: Scores, ranking: Ranking) -> dict[str, str]:
    lines = recommendation_advice(scores, ranking, recommend_entry(scores, ranking, "simple"))
    return {line.label: line.text for line in lines}


def best_of(ranking: Ranking) -> RankedEntry:
    assert ranking.best is not None
    return ranking.best


@pytest.mark.parametrize(
    ("verdict", "difference", "reason"),
    [
        ("practically equal", 0.005, "simpler"),
        ("undecided", 0.005, "simpler_undecided"),
        ("undecided", 0.02, "best"),
        ("worse", 0.005, "best"),
    ],
)
def test_a_simpler_entry_is_taken_where_it_is_equal_or_undecided_and_close(
    scores, ranking, verdict, difference, reason
):
    case = judged(ranking, logistic_regression_none_default=(verdict, difference))
    expected = SIMPLE if reason != "best" else best_of(ranking).entry
    assert used(scores, case) == (expected, reason)
    assert used(scores, case, "score") == (best_of(ranking).entry, "best")


def test_the_sentence_says_whether_the_simpler_entry_is_equal_or_undecided(scores, ranking):
    equal = advice(scores, judged(ranking, logistic_regression_none_default=("practically equal", 0.005)))
    assert "practically equal to the best one" in equal["Use"]
    close = advice(scores, judged(ranking, logistic_regression_none_default=("undecided", 0.005)))
    assert "That it is better by 0.005 is not shown" in close["Use"]
    assert "which may cost up to 0.067" in close["Use"]
    assert "practically equal" not in close["Use"] + close["Settled"]
    best = advice(scores, judged(ranking))
    assert best["Use"].startswith(best_of(ranking).name + ":")
    assert "Not settled" not in best


def test_simplicity_is_strategy_then_tuning_then_network_then_score(scores, ranking):
    in_order = [
        Entry("xgb", "none", "default"),
        Entry("dense_network", "none", "default"),
        Entry("logistic_regression", "none", "tuned"),
        Entry("xgb", "none", "tuned"),  # as simple as the one before, with a lower score
        Entry("dense_network", "none", "tuned"),
        Entry("logistic_regression", "class_weight", "default"),
    ]
    close = {"_".join(entry[:3]): ("undecided", 0.005) for entry in in_order}
    for entry in in_order:
        assert used(scores, judged(ranking, **close))[0] == entry
        del close["_".join(entry[:3])]


def test_seconds_play_no_part_as_they_differ_from_run_to_run(scores, ranking):
    entries = []
    for ranked in ranking.entries:
        columns = {name: -column if name == "fit_seconds" else column for name, column in ranked.rows.columns.items()}
        entries.append(replace(ranked, rows=replace(ranked.rows, columns=columns)))
    assert used(scores, replace(ranking, entries=tuple(entries))) == used(scores, ranking)


def test_a_family_is_represented_by_its_recommended_or_best_entry_of_any_stage(scores, ranking):
    close = judged(ranking, logistic_regression_none_default=("undecided", 0.005))
    represented = represent_families(scores, close)
    assert [ranked.entry for ranked in represented] == [
        SIMPLE,
        Entry("xgb", "smote", "default"),
        Entry("dense_network", "smote", "default"),
    ]
    ranks = [ranked.rank for ranked in represented]
    assert ranks == sorted(ranks)


def test_an_undecided_entry_outside_the_set_of_possible_best_ones_is_not_the_best(scores, ranking):
    entries = tuple(replace(ranked, may_be_best=ranked.rank == 1) for ranked in ranking.entries)
    excluded = replace(ranking, entries=entries)
    undecided = [rival for rival in excluded.rivals if rival.comparison.verdict == "undecided"]
    assert undecided
    assert {format_verdict(excluded, rival) for rival in undecided} == {"not the best"}
    assert f"{len(undecided)} entries are not the best" in advice(scores, excluded)["Settled"]
    assert "may be the best" not in advice(scores, excluded).get("Not settled", "")
    assert used(scores, excluded) == (best_of(ranking).entry, "best")
    assert {format_verdict(ranking, rival) for rival in ranking.rivals} == {"undecided"}


def test_an_entry_that_is_not_better_than_the_baseline_is_never_taken(scores, ranking):
    case = judged(ranking, logistic_regression_none_default=("undecided", 0.005))
    uncertain = dict(case.with_baseline)
    uncertain[SIMPLE] = replace(uncertain[SIMPLE], verdict="undecided")
    assert used(scores, replace(case, with_baseline=uncertain)) == (best_of(ranking).entry, "best")


def test_nothing_is_recommended_on_noise(scores, ranking):
    recommendation = recommend_entry(scores, replace(ranking, above_baseline=False), "simple")
    assert (recommendation.entry, recommendation.reason) == (None, "no_better_than_baseline")
    assert advice(scores, replace(ranking, above_baseline=False))["Use"].startswith("none of these entries")


def test_nothing_is_preferred_where_nothing_is_tested(scores, ranking):
    assert used(scores, replace(ranking, no_test_reason="2 splits")) == (best_of(ranking).entry, "untested")


def test_the_remedy_concerns_the_best_entry_where_another_is_recommended(scores, ranking):
    close = recommend_entry(scores, judged(ranking, logistic_regression_none_default=("undecided", 0.005)), "simple")
    assert close.remedy is not None
    assert close.remedy.rival == best_of(ranking).entry
    far = recommend_entry(scores, judged(ranking, xgb_smote_default=("undecided", 0.02)), "simple")
    assert far.remedy is not None
    assert far.remedy.rival == Entry("xgb", "smote", "default")
    assert recommend_entry(scores, judged(ranking), "simple").remedy is None


def test_every_entry_is_the_recommended_one_the_best_one_or_has_a_verdict(scores, ranking):
    recommendation = recommend_entry(scores, ranking, "simple")
    listed = [*recommendation.equal, *recommendation.undecided, *recommendation.worse, recommendation.entry]
    names = [ranked.entry for ranked in listed if ranked is not None]
    ranked_names = [ranked.entry for ranked in ranking.entries if ranked.rank and ranked.entry.family != BASELINE]
    assert set(names) | {best_of(ranking).entry} == set(ranked_names)
    assert len(names) == len(set(names))
