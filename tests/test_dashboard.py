"""The Optuna dashboard's notes: what they say, when they change, that nothing on disk does."""

import hashlib
import json
import re
import shutil

import numpy as np
import optuna
import pytest
from fixtures_run import tumours, write_run
from markdown_it import MarkdownIt
from optuna_dashboard import get_note, wsgi

from harness.api.dashboard import MergedStudies
from harness.api.merged_storage import explain_absent_importances, explain_too_few_trials
from harness.api.study_notes import SplitTrials, describe_study, read_test_scores
from harness.evaluation.ranking import rank_entries
from harness.evaluation.score_collection import collect_scores
from harness.metrics.classification import METRICS
from harness.registry.space import choice, log_float
from harness.report.leaderboard import format_frame_csv, make_leaderboard_frame
from harness.search.study import SearchCache, StudyPlan, TrialResult, run_study
from harness.store.store import Store

METRIC = {metric.name: metric for metric in METRICS}
SPACE = {"C": log_float(1e-3, 10, default=1.0), "encode.select": choice("all", "ha|lf", default="all")}
NAME = "tumours/logistic_regression/none"
HOSTILE = '<img src=x onerror="alert(1)"> | **bold** $x$ [a](javascript:b)'


def evaluate(params, number):
    if number == 1:
        raise ValueError("too much")
    return TrialResult(0.5 - abs(params["C"] - 3) / 100, np.full((4, 2), 0.5, dtype=np.float32))


def search_one(
    store: Store, trials: int, evaluate=evaluate, fold: int = 1, family: str = "logistic_regression"
) -> None:
    """Bring the study of one cell to so many trials."""
    record = next(
        one for one in store.read_every_record() if (one.strategy, one.fold, one.family) == ("none", fold, family)
    )
    plan = StudyPlan(
        f"tumours/{family}/none/r0f{fold}",
        SPACE,
        trials,
        None,
        1,
        "average_precision",
        True,
        store.journal_path(record.id),
    )
    run_study(plan, evaluate, SearchCache(lambda _: None, dict))


def write_table(store: Store) -> None:
    scores = collect_scores(store, METRIC)
    table = make_leaderboard_frame(scores, [rank_entries(scores, task) for task in scores.run["tasks"]])
    (store.folder / "leaderboard.csv").write_text(format_frame_csv(table))


def note_of(merged: MergedStudies, name: str = NAME) -> str:
    return get_note(optuna.load_study(study_name=name, storage=merged.storage))


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Store:
    return write_run(tmp_path_factory.mktemp("runs") / "whole", [tumours()])


@pytest.fixture
def store(whole, tmp_path) -> Store:
    shutil.copytree(whole.folder, tmp_path / "run")
    store = Store(tmp_path / "run")
    search_one(store, 4)
    return store


def digests(store: Store) -> dict[str, str]:
    return {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(store.folder.rglob("*"))
        if path.is_file()
    }


def test_a_study_carries_a_note_and_nothing_on_disk_changes(store):
    before = digests(store)
    merged = MergedStudies(store)
    assert merged.read_new_trials() == 1
    said = note_of(merged)
    assert digests(store) == before
    best = optuna.load_study(study_name=NAME, storage=merged.storage).best_trial
    for part in (
        "tumours: Tumours",
        "417 rows of 5 columns: 357 No, 60 Yes",
        "repeat 0, fold 1",
        f"Best (trial {best.number})",
        "Default (trial 0)",
        f"{best.value:.4f}",
        f"{best.params['C']:.4g}",
        "1 trial failed: ValueError: too much.",
    ):
        assert part in said
    assert "Test rows" not in said
    assert "leaderboard" not in said


def test_a_note_follows_the_search_and_the_report(store):
    merged = MergedStudies(store)
    merged.read_new_trials()
    first = note_of(merged)
    merged.read_new_trials()
    assert note_of(merged) == first
    search_one(store, 12)
    merged.read_new_trials()
    second = note_of(merged)
    assert second != first
    write_table(store)
    (store.folder / "report.html").write_text("<p>")
    merged.read_new_trials()
    third = note_of(merged)
    scores = collect_scores(store, METRIC)
    for stage in ("default", "tuned"):
        place = rank_entries(scores, "tumours").find_line("logistic_regression", "none", stage)
        mean, sd = place.rows.mean("average_precision"), place.rows["average_precision"].std(ddof=1)
        line = next(one for one in third.splitlines() if one.startswith(f"| Test rows, {stage}"))
        assert f"average_precision {mean:.3f} ± {sd:.3f} " in line
    assert "`report.html`" in third


def test_a_search_without_a_score_says_so(store, tmp_path):
    def fails(_params, _number):
        raise ValueError("no")

    fresh = Store(tmp_path / "fresh")
    shutil.copytree(store.folder, fresh.folder, ignore=shutil.ignore_patterns("study.journal"))
    search_one(fresh, 2, fails)
    merged = MergedStudies(fresh)
    merged.read_new_trials()
    assert "No trial has a score yet. 2 trials failed: ValueError: no." in note_of(merged)


@pytest.mark.parametrize(("n_splits", "cells"), [(1, 2 * 7 + 2 * 3), (2, 2 * 7 + 2 * 5)])
def test_hostile_names_are_text(store, n_splits, cells):
    run = store.read_run()
    about = run["tasks"]["tumours"] | {
        "title": HOSTILE,
        "classes": [HOSTILE, "b"],
        "objective": HOSTILE,
        "features": HOSTILE,
    }
    cell = {"task": HOSTILE, "family": HOSTILE, "strategy": HOSTILE, "repeat": 0, "fold": 0}
    trial = optuna.trial.create_trial(
        value=0.5,
        params={HOSTILE: HOSTILE},
        distributions={HOSTILE: optuna.distributions.CategoricalDistribution([HOSTILE])},
    )
    splits = [SplitTrials("r0f0", (trial,)), SplitTrials("r0f1", (trial,))]
    said = describe_study(splits[:n_splits], cell, about, {}, "")
    html = MarkdownIt("commonmark", {"html": True}).enable("table").render(said)
    for mark in ("<img", "<strong>bold", "<a ", 'href="'):
        assert mark not in html
    assert html.count("<td") == cells, "no name begins a cell"
    assert not re.search(r"(?<!\\)\$", said), "no name begins a formula, which the dashboard would render"


def test_decisions_are_those_at_one_half_of_what_is_not_recalibrated(tmp_path):
    lines = ["task,family,strategy,stage,calibration,objective,score,score_sd,f1"]
    for calibration in ("none", "isotonic"):
        lines.append(f"t,f,s,tuned,{calibration},f1,0.{len(lines)}00,0.01,0.7")
    path = tmp_path / "leaderboard.csv"
    path.write_text("\n".join([*lines, ""]))
    ((who, said),) = read_test_scores(path).items()
    assert who == ("t", "f", "s", "tuned")
    assert said.startswith("f1 0.100 ± 0.010")


@pytest.mark.parametrize(
    "text", ["", "a,b\n1,2\n", "task,family,strategy,stage,calibration,objective\nt,f,s,tuned,none,f1\n"]
)
def test_tables_of_another_form_say_nothing(tmp_path, text):
    path = tmp_path / "leaderboard.csv"
    path.write_text(text)
    assert read_test_scores(path) == {}
    assert read_test_scores(tmp_path / "nothing.csv") == {}


TORN = {
    "record": b'{"op_code": 4, "user_attr": {"reas',
    "character": '{"op_code": 4, "reason": "é'.encode()[:-1],
    "NUL bytes": b"\0" * 100,
}


@pytest.mark.parametrize("torn", TORN.values(), ids=TORN)
def test_an_incomplete_record_hides_no_trial_and_nothing_on_disk_changes(store, torn):
    (journal,) = store.folder.rglob("study.journal")
    journal.write_bytes(journal.read_bytes() + torn)
    before = digests(store)
    merged = MergedStudies(store)
    assert merged.read_new_trials() == 1
    assert len(optuna.load_study(study_name=NAME, storage=merged.storage).trials) == 4
    assert digests(store) == before


def test_a_journal_that_cannot_be_read_does_not_end_the_dashboard(store):
    (journal,) = store.folder.rglob("study.journal")
    journal.write_bytes(b"[1, 2]\n" * 3)
    merged = MergedStudies(store)
    merged.read_new_trials()
    assert merged.storage.get_all_studies() == []


def test_the_trials_of_all_splits_are_one_study_and_the_baseline_has_none(store):
    search_one(store, 3, fold=0)
    search_one(store, 2, family="majority")
    merged = MergedStudies(store)
    assert merged.read_new_trials() == 1
    study = optuna.load_study(study_name=NAME, storage=merged.storage)
    assert [trial.user_attrs["split"] for trial in study.trials] == ["r0f0"] * 3 + ["r0f1"] * 4
    assert [trial.user_attrs["trial of the split"] for trial in study.trials] == [0, 1, 2, 0, 1, 2, 3]
    assert study.metric_names == ["average_precision"]
    best = {}
    for trial in study.trials:
        if trial.value is not None:
            best[trial.user_attrs["split"]] = max(trial.value, best.get(trial.user_attrs["split"], 0))
    mean = f"{sum(best.values()) / 2:.4f}, the mean of the best of 2 splits"
    assert study.user_attrs["best inner score"].startswith(mean)
    note, splits = note_of(merged), store.read_run()["tasks"]["tumours"]["splits"]
    for part in (
        mean,
        f"2 of {splits}, with 7 trials",
        "| r0f0  |      3 |",
        f"{best['r0f1']:.4f} | C = ",
        "2 trials failed",
    ):
        assert part in note
    search_one(store, 6, fold=0)
    merged.read_new_trials()
    splits = [trial.user_attrs["split"] for trial in optuna.load_study(study_name=NAME, storage=merged.storage).trials]
    assert splits == ["r0f0"] * 3 + ["r0f1"] * 4 + ["r0f0"] * 3


def test_a_search_that_began_anew_replaces_its_trials_and_no_others(store):
    search_one(store, 3, fold=0)
    merged = MergedStudies(store)
    merged.read_new_trials()
    for journal in store.folder.rglob("study.journal"):
        if b"r0f1" in journal.read_bytes():
            journal.unlink()
    search_one(store, 2, fold=1)
    merged.read_new_trials()
    splits = [trial.user_attrs["split"] for trial in optuna.load_study(study_name=NAME, storage=merged.storage).trials]
    assert splits == ["r0f0"] * 3 + ["r0f1"] * 2


def test_every_split_is_a_study_on_demand(store):
    search_one(store, 3, fold=0)
    merged = MergedStudies(store, by_cell=True)
    assert merged.read_new_trials() == 2
    name = NAME.removeprefix("tumours/")
    for fold, study in enumerate(sorted(merged.storage.get_all_studies(), key=lambda one: one.study_name)):
        assert re.fullmatch(rf"{name}/r0f{fold}: best 0\.\d{{4}}", study.study_name)
    assert "repeat 0, fold 1" in note_of(merged, f"{NAME}/r0f1")


def summaries(merged: MergedStudies) -> list[tuple[int, str]]:
    """Numbers and names of studies as the page gets them."""
    answer = b"".join(wsgi(merged.storage)({"PATH_INFO": "/api/studies", "REQUEST_METHOD": "GET"}, lambda *_: None))
    return [(one["study_id"], one["study_name"]) for one in json.loads(answer)["study_summaries"]]


def test_cards_show_the_best_score_and_studies_are_numbered_without_gaps(store):
    search_one(store, 3, fold=0)
    search_one(store, 2, family="bayes")
    search_one(store, 1, lambda *_: 1 / 0, family="bayes", fold=0)
    merged = MergedStudies(store)
    merged.read_new_trials()
    merged.read_new_trials()
    name = NAME.removeprefix("tumours/")
    best = optuna.load_study(study_name=NAME, storage=merged.storage).user_attrs["best inner score"][:6]
    assert summaries(merged) == [
        (0, f"{name}: best {best} (2 of 4 splits)"),
        (1, "bayes/none: best 0.4800 (1 of 4 splits)"),
    ]
    assert optuna.load_study(study_name=f"{name}: best {best} (2 of 4 splits)", storage=merged.storage).trials


def test_a_study_without_a_score_says_so_and_one_that_was_deleted_comes_back(store):
    search_one(store, 1, lambda *_: 1 / 0, family="bayes")
    merged = MergedStudies(store)
    merged.read_new_trials()
    assert (1, "bayes/none: no score yet") in summaries(merged)
    optuna.delete_study(study_name=NAME, storage=merged.storage)
    write_table(store)  # notes are written again
    assert merged.read_new_trials() == 2
    assert len(optuna.load_study(study_name=NAME, storage=merged.storage).trials) == 4


def test_importances_need_enough_trials(store):
    merged = MergedStudies(store)
    merged.read_new_trials()
    [study] = merged.storage.get_all_studies()
    answers = []
    app = explain_absent_importances(lambda environ, start: [b"of the dashboard"], merged.storage)
    for path in (
        f"/api/studies/{study._study_id}/param_importances",
        "/api/studies",
        "/api/studies/99/param_importances",
    ):
        answers.append(b"".join(app({"PATH_INFO": path}, lambda *_: None)))
    reason = "too few trials: 3 of 30"
    bar = {"name": reason, "importance": 0.0, "distribution": "CategoricalDistribution"}
    assert json.loads(answers[0]) == {"param_importances": [[bar]]}
    assert answers[1:] == [b"of the dashboard", b"of the dashboard"]
    search_one(store, 33)  # one fails, and two parameters need 20
    merged.read_new_trials()
    assert not explain_too_few_trials(merged.storage, study._study_id)
