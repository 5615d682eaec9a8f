"""Optimism and power against scikit-learn, scipy, closed forms and simulation."""

from dataclasses import replace

import numpy as np
import pytest
from fixtures_run import tumours, write_run
from scipy import stats
from sklearn.metrics import average_precision_score

from harness.evaluation.ranking import rank_entries
from harness.evaluation.reliability import (
    inner_minus_outer_scores,
    measure_entry_optimism,
    measure_selection_optimism,
)
from harness.evaluation.score_collection import collect_scores
from harness.metrics.classification import METRICS
from harness.metrics.metric import Metric
from harness.report.content import Evidence, Figure
from harness.report.render.markdown import render_markdown_part
from harness.report.sections.protocol import tabulate_cell_statuses
from harness.report.sections.reliability import (
    detectable_difference,
    make_reliability_sections,
    select_compared_entries,
)
from harness.store.store import Store

METRIC = {metric.name: metric for metric in METRICS}


@pytest.fixture(scope="module")
def evidence(full_run) -> Evidence:
    return evidence_of(full_run)


def evidence_of(store: Store, metrics: dict[str, Metric] = METRIC) -> Evidence:
    scores = collect_scores(store, metrics)
    return Evidence(store, scores, tuple(rank_entries(scores, task) for task in scores.run["tasks"]))


def ranking_of(evidence: Evidence, task: str):
    return next(one for one in evidence.rankings if one.task == task)


def words(evidence: Evidence, task: str = "") -> str:
    parts = [part for section in make_reliability_sections(evidence) if section.task == task for part in section.parts]
    return "\n".join(render_markdown_part(part) for part in parts if not isinstance(part, Figure))


def test_beliefs_are_inner_minus_outer_scores_of_the_records(evidence):
    ranking = ranking_of(evidence, "tumours")
    one = next(
        b
        for b in measure_entry_optimism(evidence.scores, ranking)
        if b.entry[:3] == ("logistic_regression", "none", "tuned")
    )
    cells = [
        r for r in evidence.store.read_every_record() if (r.task, r.family, r.strategy) == ("tumours", *one.entry[:2])
    ]
    inner = [next(o for o in cell.outcomes if o.stage == "tuned").inner_score for cell in cells]
    outer = []
    for cell in cells:
        said = evidence.store.read_predictions(cell)
        outer.append(average_precision_score(said.test_y, said.test["tuned"][:, 1]))
    assert one.gap.mean == pytest.approx(np.mean(inner) - np.mean(outer), abs=1e-6)
    assert one.trials == 3
    assert not any(b.entry.family == "majority" for b in measure_entry_optimism(evidence.scores, ranking))


def test_too_much_belief_is_positive_whichever_way_the_metric_goes(tmp_path):
    store = write_run(tmp_path / "run", [tumours(objective="log_loss")])
    for record in store.read_every_record():  # a search that believed in a log loss of nothing
        outcomes = tuple(replace(outcome, inner_score=0.0) for outcome in record.outcomes)
        store.write_cell(replace(record, outcomes=outcomes), store.read_predictions(record))
    evidence = evidence_of(store)
    found = [
        b
        for b in measure_entry_optimism(evidence.scores, evidence.rankings[0])
        if b.entry.stage in ("default", "tuned")
    ]
    assert found
    assert all(one.gap.mean == pytest.approx(one.outer) and one.outer > 0 for one in found)


def test_what_choosing_added_is_the_difference_of_the_stages(evidence):
    ranking = ranking_of(evidence, "tumours")
    found = measure_selection_optimism(evidence.scores, ranking)
    assert found.difference.mean == pytest.approx(found.tuned.mean - found.default.mean)
    tuned = [b for b in measure_entry_optimism(evidence.scores, ranking) if b.entry.stage == "tuned"]
    assert found.pairs == len(tuned)
    assert found.tuned.mean == pytest.approx(np.mean([b.gap.mean for b in tuned]))


def test_choosing_among_trials_of_pure_luck_is_found_out():
    """The best of k scores that are all noise is too good by the expected maximum of k normal draws."""
    rng, trials, noise = np.random.default_rng(2), 20, 0.05
    inner = (0.8 + noise * rng.normal(size=(4000, trials))).max(axis=1)
    ranking = type("Ranked", (), {"metric": METRIC["roc_auc"]})
    found = inner_minus_outer_scores(ranking, {"inner": inner, "roc_auc": np.full(4000, 0.8)}).mean()
    expected = noise * stats.norm.expect(lambda x: x * trials * stats.norm.cdf(x) ** (trials - 1))
    assert found == pytest.approx(expected, rel=0.02)


# The first against the others, and the words


def test_entries_are_compared_with_the_best_as_the_ranking_judges_them(evidence):
    ranking = ranking_of(evidence, "tumours")
    compared = select_compared_entries(ranking)
    assert ranking.best not in compared
    assert [place.rank for place in compared] == sorted(place.rank for place in compared)
    said = words(evidence, "tumours")
    for place in compared:
        comparison = place.comparison
        assert detectable_difference(comparison) > (comparison.high - comparison.low) / 2
        lines = [line for line in said.splitlines() if f"| {place.name} " in line]
        assert any(f"| {comparison.verdict} " in line for line in lines)


@pytest.mark.parametrize("task", ["one_split", "later_rows", "three_digits", "tumours"])
def test_every_task_has_sentences(evidence, task):
    said = words(evidence, task)
    assert ("better than another is not known" in said) == (task in ("one_split", "later_rows"))
    assert ("P(best)" in said) == (task not in ("one_split", "later_rows"))
    assert "nan" not in said.lower().replace("finance", "")


def test_over_several_tasks_there_is_a_line_for_each(evidence):
    said = words(evidence)
    for task in ("tumours", "three_digits", "one_split", "later_rows"):
        assert said.count(f"| {task} ") >= 2  # the overview, and the coverage


def test_a_task_where_nothing_is_ok_is_in_the_coverage_alone(tmp_path):
    failed = {
        ("tumours", family, strategy, fold): ("failed", "no")
        for family in ("majority", "logistic_regression", "bayes")
        for strategy in ("none", "class_weight", "searched")
        for fold in range(4)
    }
    evidence = evidence_of(write_run(tmp_path / "run", [tumours()], failed))
    (row,) = tabulate_cell_statuses(evidence.scores).rows
    assert row[-1] == 0
    assert all(section.task == "" for section in make_reliability_sections(evidence))


def test_coverage_counts_every_planned_cell(evidence):
    table = tabulate_cell_statuses(evidence.scores)
    names = [column.heading for column in table.columns]
    for row in table.rows:
        counts = dict(zip(names, row, strict=True))
        assert sum(counts[name] for name in names[2:-1]) == counts["Cells"]
        assert counts["Covered"] == counts["ok"] / counts["Cells"]


def test_pictures_are_drawn_from_plain_values_and_are_the_same_each_time(evidence):
    pictures = [p for section in make_reliability_sections(evidence) for p in section.parts if isinstance(p, Figure)]
    assert {picture.name for picture in pictures} >= {"tumours.honesty", "one_split.honesty"}
    assert "array(" not in repr([picture.draw.args for picture in pictures])
    drawn = pictures[0].draw()
    assert drawn == pictures[0].draw()
    assert drawn.startswith(b"<svg")
    for picture in pictures[1:]:
        assert picture.draw()
