"""Findings about the entries of a run: when each is given, and where they are shown."""

from dataclasses import replace

import numpy as np
import pytest
from fixtures_across import rankings_of, scores_of
from fixtures_run import everything

import evenhand
from harness.evaluation.model_findings import MODEL_CODES, collect_model_findings, parameters_at_range_ends
from harness.evaluation.scores import Entry, ScoreRows, Scores
from harness.evaluation.search_history import CellSearch, RunSearches, SearchParameter, SearchTrial
from harness.metrics.classification import METRICS
from harness.report.write import write_leaderboard

TASK = "churn"
NOISE = np.array([0.0, 0.004, -0.003, 0.002, -0.004])
MAJORITY = {("majority", "none"): [0.1] * 5}


def scored(**families: float) -> Scores:
    """Scores of families around a mean each, above a majority row of .1."""
    entries = {
        (family, "none"): (mean + NOISE[::-1] * (1 + number)).tolist()
        for number, (family, mean) in enumerate(families.items())
    }
    return scores_of({TASK: MAJORITY | entries})


def with_columns(scores: Scores, family: str, stage: str = "tuned", **columns: object) -> Scores:
    """Scores in which the rows of an entry have further or other columns."""
    by_entry = dict(scores.by_entry)
    for kind in ("half", "tuned"):
        rows = by_entry[TASK, Entry(family, "none", "tuned"), kind]
        full = {name: np.broadcast_to(np.asarray(column, dtype=float), 5).copy() for name, column in columns.items()}
        by_entry[TASK, Entry(family, "none", stage), kind] = ScoreRows(
            rows.splits, rows.score_keys, dict(rows.columns) | full
        )
    return replace(scores, by_entry=by_entry)


def found_in(scores: Scores, *searches: CellSearch) -> dict[str, str]:
    """Codes of the findings, with the entry that each is about."""
    findings = collect_model_findings(scores, rankings_of(scores)[0], RunSearches(searches))
    assert {finding.code for finding in findings} <= set(MODEL_CODES)
    return {finding.code: finding.column for finding in findings}


def test_ordinary_results_have_no_findings():
    assert found_in(scored(xgb=0.5, forest=0.49, linear=0.48, dense=0.47)) == {}


def test_an_entry_below_the_baseline_is_found():
    assert found_in(scored(xgb=0.5, bayes=0.05)) == {"worse_than_baseline": "bayes/none/tuned"}


def test_a_search_that_made_an_entry_worse_is_found():
    scores = scored(xgb=0.5, linear=0.5)
    better = with_columns(scores, "xgb", "default", average_precision=0.6 + NOISE, trial=0)
    assert found_in(better)["tuning_hurts"] == "xgb/none/tuned"
    assert "tuning_hurts" not in found_in(
        with_columns(scores, "xgb", "default", average_precision=0.5 + NOISE, trial=0)
    )


def cell(best: dict[str, object], split: int) -> CellSearch:
    """A search whose last of twelve trials is the best."""
    axes = (
        SearchParameter("C", 0.001, 100.0, log=True),
        SearchParameter("depth", 2, 10),
        SearchParameter("kind", options=("a", "b")),
    )
    trials = [SearchTrial(number, 0.1, {"C": 1.0, "depth": 5, "kind": "a"}, "", 1.0, 1.0) for number in range(11)]
    return CellSearch(TASK, "linear", "none", (0, split), (*trials, SearchTrial(11, 0.2, best, "", 1.0, 1.0)), axes, {})


@pytest.mark.parametrize(
    ("best", "edges"),
    [
        ({"C": 99.0, "depth": 10, "kind": "b"}, ["C upper"]),  # a range of a few whole numbers has its ends in it
        ({"C": 0.00101, "depth": 5, "kind": "a"}, ["C lower"]),
        ({"C": 50.0, "depth": 5}, []),
        ({}, []),
    ],
)
def test_the_edge_of_a_range_is_measured_as_it_is_searched(best, edges):
    assert parameters_at_range_ends(cell(best, 0), greater=True) == edges


def test_a_search_at_the_edge_in_most_splits_is_found():
    edge, inside = {"C": 99.5, "depth": 5, "kind": "a"}, {"C": 1.0, "depth": 5, "kind": "a"}
    scores = scored(linear=0.5)
    assert found_in(scores, *[cell(edge, split) for split in range(5)]) == {"space_edge": "linear/none/tuned"}
    mixed = [cell(edge, 0), cell(edge, 1), *[cell(inside, split) for split in (2, 3, 4)]]
    assert found_in(scores, *mixed) == {}


@pytest.mark.parametrize(("train", "codes"), [(0.99, {"overfitting"}), (0.55, set())])
def test_over_fitting_is_a_gap_that_is_large_for_what_was_learned(train, codes):
    assert found_in(with_columns(scored(xgb=0.5, linear=0.48), "xgb", train=train)).keys() == codes


def test_an_entry_that_varies_far_more_than_others_is_found():
    scores = scored(xgb=0.5, forest=0.5, linear=0.5, dense=0.5)
    unstable = with_columns(scores, "dense", average_precision=[0.6, 0.3, 0.6, 0.2, 0.6])
    assert found_in(unstable)["unstable_training"] == "dense/none/tuned"


def test_probabilities_that_a_recalibration_improves_are_found():
    scores = scored(xgb=0.5)
    plain = with_columns(scores, "xgb", log_loss=0.5 + NOISE, brier=0.2 + NOISE, ece=0.1, f1=0.5 + NOISE)
    by_entry = dict(plain.by_entry)
    for kind in ("half", "tuned"):
        rows = by_entry[TASK, Entry("xgb", "none", "tuned"), kind]
        columns = dict(rows.columns) | {"log_loss": 0.4 + 1.1 * NOISE, "brier": 0.15 + 1.1 * NOISE}
        by_entry[TASK, Entry("xgb", "none", "tuned", "sigmoid"), kind] = ScoreRows(
            rows.splits, rows.score_keys, columns
        )
    scores = replace(plain, by_entry=by_entry, metrics={metric.name: metric for metric in METRICS})
    assert found_in(scores) == {"poor_probabilities": "xgb/none/tuned"}


@pytest.mark.parametrize(("seconds", "codes"), [(20.0, {"needless_cost"}), (0.5, set())])
def test_a_slow_winner_with_a_quick_rival_is_found(seconds, codes):
    scores = with_columns(scored(xgb=0.5, linear=0.4995), "xgb", fit_seconds=seconds)
    assert found_in(with_columns(scores, "linear", fit_seconds=0.1)).keys() == codes


def test_findings_of_a_run_are_in_python_and_below_the_tables(tmp_path):
    store = everything(tmp_path / "run")
    run = evenhand.open_run(store.folder)
    findings = run.findings()
    assert list(findings.columns) == ["task", "code", "severity", "column", "rows", "message", "advice"]
    about_models = findings[findings.code.isin(MODEL_CODES)]
    text = write_leaderboard(store, run.registry.metrics).details.read_text()
    assert ("Conspicuous in these results" in text) == bool(len(about_models))
