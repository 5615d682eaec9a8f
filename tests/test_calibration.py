"""Recalibration: calibrators against scikit-learn and closed forms, priors, thresholds, and what the report says of them."""

import math
import shutil
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest
from fixtures_run import three_digits, tumours, write_run
from sklearn.calibration import _SigmoidCalibration, _TemperatureScaling
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from harness.evaluation.frames import collect_score_frame
from harness.evaluation.gains import read_calibration_directions, recalibration_effects
from harness.evaluation.ranking import rank_entries
from harness.evaluation.score_collection import collect_scores
from harness.evaluation.scores import Entry, Scores, entry_statuses
from harness.metrics.calibration import (
    CALIBRATIONS,
    FITTED_CALIBRATIONS,
    N_FOLDS,
    PriorCorrection,
    assign_folds,
    calibrate_out_of_fold,
    correct_prior,
    fit_calibrator,
    has_enough_rows,
    has_known_prior,
    make_calibrator,
)
from harness.metrics.classification import METRICS
from harness.metrics.logits import conditional_logit, logistic, softmax
from harness.metrics.metric import best_threshold
from harness.report.content import Evidence, Figure
from harness.report.figures.reliability import choose_axis_limit
from harness.report.leaderboard import make_leaderboard_frame
from harness.report.sections.gains import make_calibration_sections
from harness.seeding import seed_of
from harness.store.store import Store

METRIC = {metric.name: metric for metric in METRICS}


def distorted(n: int = 4000, classes: int = 2, sharpness: float = 2.5, seed: int = 0):
    """Labels, true probabilities, and the same with log-odds times `sharpness`."""
    rng = np.random.default_rng(seed)
    score = rng.normal(size=(n, classes)) - np.arange(classes)
    true = softmax(score)
    y = (true.cumsum(axis=1) > rng.random(n)[:, None]).argmax(axis=1)
    return y, true, softmax(score * sharpness).astype(np.float32)


def mean_log_loss(y, proba) -> float:
    return float(-np.log(np.clip(proba[np.arange(len(y)), y], 1e-6, 1)).mean())


# --- calibrators -----------------------------------------------------------------------------------------------------


def test_isotonic_is_that_of_scikit_learn():
    y, _, said = distorted()
    said = np.round(said, 2)  # with ties
    mine = fit_calibrator("isotonic", said, y)(said)[:, 1]
    theirs = IsotonicRegression(out_of_bounds="clip", y_min=0, y_max=1).fit(said[:, 1], y).predict(said[:, 1])
    assert mine == pytest.approx(theirs, abs=1e-6)
    new = np.linspace(0, 1, 101, dtype=np.float32)
    pair = np.stack([1 - new, new], axis=1)
    again = IsotonicRegression(out_of_bounds="clip").fit(said[:, 1].astype(float), y).predict(new.astype(float))
    assert fit_calibrator("isotonic", said, y)(pair)[:, 1] == pytest.approx(again, abs=1e-6)


def test_sigmoid_is_platts_as_scikit_learn_fits_it_to_log_odds():
    y, _, said = distorted()
    odds = np.log(said[:, 1].astype(float)) - np.log(said[:, 0].astype(float))
    theirs = _SigmoidCalibration().fit(odds, y).predict(odds)
    assert fit_calibrator("sigmoid", said, y)(said)[:, 1] == pytest.approx(theirs, abs=1e-3)


@pytest.mark.parametrize("classes", [2, 4])
def test_temperature_finds_the_one_that_was_hidden(classes):
    y, true, said = distorted(20_000, classes, sharpness=2.5)
    found = fit_calibrator("temperature", said, y)(said)
    assert np.log(said[:, 1] / said[:, 0]) / np.log(found[:, 1] / found[:, 0]) == pytest.approx(2.5, rel=0.05)
    assert np.abs(found - true).max() < 0.02
    assert (found.argmax(axis=1) == said.argmax(axis=1)).all()


def test_temperature_is_that_of_scikit_learn():
    y, _, said = distorted(classes=3)
    theirs = _TemperatureScaling().fit(np.log(said.astype(float)), y).predict(np.log(said.astype(float)))
    assert fit_calibrator("temperature", said, y)(said) == pytest.approx(theirs, abs=1e-3)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("name", FITTED_CALIBRATIONS)
def test_calibrators_give_probabilities_that_are_nearer_the_truth_on_new_rows(name, classes):
    y, _, said = distorted(classes=classes)
    new_y, _, new = distorted(classes=classes, seed=1)
    found = fit_calibrator(name, said, y)(new)
    assert found.sum(axis=1) == pytest.approx(1.0)
    assert found.min() >= 0
    assert mean_log_loss(new_y, found) < mean_log_loss(new_y, new)


def test_monotone_calibrators_leave_the_order_of_rows():
    y, _, said = distorted()
    said[:5] = [[1, 0], [1 - 1e-9, 1e-9], [1 - 1e-8, 1e-8], [0.5, 0.5], [0.0, 1.0]]
    for name in ("sigmoid", "temperature"):
        found = fit_calibrator(name, said, y)(said)[:, 1]
        assert (np.diff(found[np.argsort(said[:, 1], kind="stable")]) >= 0).all()
        assert (np.diff(found[:3]) > 0).all()


def test_newton_agrees_with_scikit_learn_for_two_classes_and_for_several():
    rng = np.random.default_rng(2)
    X = rng.normal(size=(500, 3))
    y = (X @ [1.0, -2.0, 0.5] + rng.normal(size=500) > 0.3).astype(np.int64)
    features = np.vstack([X.T, np.ones(500)])
    theirs = LogisticRegression(C=0.5, tol=1e-10, max_iter=1000).fit(X, y)
    mine = logistic(features, y.astype(float), np.array([2.0, 2.0, 2.0, 0.0]))
    assert mine == pytest.approx([*theirs.coef_[0], theirs.intercept_[0]], abs=1e-5)
    # The same as a choice between two: the features of one, nothing for the other.
    pair = np.stack([np.zeros_like(features), features], axis=2)
    assert conditional_logit(pair, y, np.array([2.0, 2.0, 2.0, 0.0])) == pytest.approx(mine, abs=1e-6)


def test_classes_that_nothing_is_said_of_share_alike():
    y, _, said = distorted(classes=3)
    said[:] = [1, 0, 0]
    found = fit_calibrator("isotonic", said, y)(said)
    assert found[0] == pytest.approx(np.bincount(y) / len(y))


# --- priors ----------------------------------------------------------------------------------------------------------


def test_a_prior_is_taken_back_in_closed_form():
    # Learnt on even classes, true share 1 : 9, said 0.5: the odds are one ninth.
    assert correct_prior(np.array([[0.5, 0.5]]), [90, 10], [50, 50])[0] == pytest.approx([0.9, 0.1])
    assert correct_prior(np.array([[0.2, 0.8]]), [90, 10], [50, 50])[0, 1] == pytest.approx(0.8 / (0.8 + 0.2 * 9))
    several = correct_prior(np.array([[0.2, 0.3, 0.5]]), [6, 3, 1], [1, 1, 1])[0]
    assert several == pytest.approx(np.array([1.2, 0.9, 0.5]) / 2.6)
    said = np.array([[0.3, 0.7]])
    assert correct_prior(said, [5, 5], [7, 7]) == pytest.approx(said)


def test_a_prior_is_only_taken_back_where_a_strategy_changes_nothing_else():
    kinds = {"class_weight": "weight", "random_oversampling": "resample", "smote": "resample", "searched": "searched"}
    known = {name for name, kind in kinds.items() if has_known_prior({"kind": kind}, name)}
    assert known == {"class_weight", "random_oversampling"}
    assert has_known_prior({"kind": "resample", "chooses": True}, "mine")
    assert not has_known_prior({"kind": "resample", "chooses": False}, "random_oversampling")


# --- cross-fitting ---------------------------------------------------------------------------------------------------


def test_parts_hold_nearly_the_same_share_of_every_class_and_follow_the_seed():
    y = np.repeat([0, 1, 2], [100, 23, 7])
    parts = assign_folds(y, 5, seed=3)
    assert np.array_equal(parts, assign_folds(y, 5, seed=3))
    assert not np.array_equal(parts, assign_folds(y, 5, seed=4))
    for one in range(3):
        counts = np.bincount(parts[y == one], minlength=5)
        assert counts.max() - counts.min() <= 1
    assert has_enough_rows(y, 3, 5)
    assert not has_enough_rows(y, 3, 8)
    assert not has_enough_rows(y, 4, 5)


def test_no_row_is_calibrated_by_what_was_fitted_on_it():
    y, _, said = distorted(500)
    parts = assign_folds(y, N_FOLDS, 0)
    seen = []

    def fit(rows):
        seen.append(set(rows.tolist()))
        return fit_calibrator("isotonic", said[rows], y[rows])

    found = calibrate_out_of_fold(fit, said, parts)
    assert [set(range(500)) - rows for rows in seen] == [
        set(np.flatnonzero(parts == p).tolist()) for p in range(N_FOLDS)
    ]
    out = parts == 2
    assert np.array_equal(found[out], fit(np.flatnonzero(~out))(said[out]))


# --- in a run --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Store:
    failed = {("three_digits", "bayes", "class_weight", fold): ("failed", "two priors") for fold in range(4)}
    tasks = [tumours(), three_digits(), tumours("later", forward=True)]
    return write_run(tmp_path_factory.mktemp("runs") / "three", tasks, failed)


@pytest.fixture(scope="module")
def scores(store):
    return collect_scores(store, METRIC)


def recalibrated(scores: Scores, task: str) -> set[Entry]:
    return {entry for of, entry, _ in scores.by_entry if of == task and entry.calibration != "none"}


def test_recalibrated_entries_are_rows_of_their_own_and_no_others_change(store, scores):
    table = collect_score_frame(scores)
    assert {one.calibration for one in entry_statuses(scores, "tumours")} == {"none"}
    found = {one for one in recalibrated(scores, "tumours") if one.family == "bayes"}
    fitted = {Entry("bayes", s, "tuned", c) for s in ("none", "class_weight", "searched") for c in FITTED_CALIBRATIONS}
    assert found == fitted | {Entry("bayes", "class_weight", "tuned", "prior")}
    rows = table[(table.task == "tumours") & (table.calibration != "none")]
    assert rows.entry.str.endswith(tuple(CALIBRATIONS[1:])).all()
    assert rows[["log_loss", "brier", "ece", "f1", "threshold", "trials", "inner_score"]].notna().all(axis=None)
    assert not (rows.family == "majority").any()
    several = table[(table.task == "three_digits") & (table.calibration != "none")]
    assert set(several.calibration) == set(CALIBRATIONS[1:])
    assert set(several.threshold_kind) == {"half"}


def test_figures_are_those_of_a_calibrator_fitted_on_inner_rows(store, scores):
    rows = scores.score_rows_of_entry("tumours", Entry("bayes", "none", "tuned", "isotonic"), "tuned")
    for at, record in enumerate(
        r for r in store.read_every_record() if (r.task, r.family, r.strategy) == ("tumours", "bayes", "none")
    ):
        seen = store.read_predictions(record)
        model = IsotonicRegression(out_of_bounds="clip").fit(seen.inner["tuned"][:, 1].astype(float), seen.train_y)
        proba = model.predict(seen.test["tuned"][:, 1].astype(float))
        assert rows["brier"][at] == pytest.approx(np.mean((proba - seen.test_y) ** 2), abs=1e-6)


def test_rows_that_no_inner_fold_predicted_are_left_out(store, tmp_path):
    shutil.copytree(store.folder, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "derived", ignore_errors=True)
    run = Store(tmp_path / "run")
    for record in (one for one in run.read_every_record() if one.status == "ok"):
        seen = run.read_predictions(record)
        for inner in seen.inner.values():
            inner[::4] = np.nan  # as the earliest rows are where time goes forward
        run.write_cell(record, seen)
    found = collect_scores(run, METRIC)
    for entry in (
        *recalibrated(found, "later"),
        Entry("any", "greedy", "ensembled"),
        Entry("any", "stacking", "ensembled"),
    ):
        rows = found.score_rows_of_entry("later", entry, "tuned")
        assert len(rows) == 4
        assert np.isfinite(rows["log_loss"]).all()


def test_test_labels_change_no_probability_and_no_threshold(store, tmp_path):
    shutil.copytree(store.folder, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "derived", ignore_errors=True)
    run = Store(tmp_path / "run")
    spread = replace(METRIC["ece"], name="spread", compute=lambda p: float(p.proba[:, 1] @ np.arange(len(p.proba))))
    before = collect_scores(run, {**METRIC, "spread": spread})
    for record in (one for one in run.read_every_record() if one.status == "ok"):
        seen = run.read_predictions(record)
        run.write_cell(record, replace(seen, test_y=np.roll(seen.test_y, 7)))
    after = collect_scores(run, {**METRIC, "spread": spread})
    checked = 0
    for key, rows in before.by_entry.items():
        for name in ("threshold", "spread", "inner"):
            assert np.array_equal(rows[name], after.by_entry[key][name], equal_nan=True), (key, name)
        checked += key[1].calibration != "none" or key[1].stage == "ensembled"
    assert checked > 50
    assert all(before.ensembles[at].weights == after.ensembles[at].weights for at in before.ensembles)


def test_the_threshold_is_chosen_on_rows_that_the_calibrator_was_not_fitted_on(store, scores):
    record = next(
        r for r in store.read_every_record() if (r.task, r.family, r.strategy) == ("tumours", "bayes", "none")
    )
    seen = store.read_predictions(record)
    said, y = seen.inner["tuned"], seen.train_y
    parts = assign_folds(y, N_FOLDS, seed_of("tumours", 0, record.fold, "recalibrate"))
    unseen = calibrate_out_of_fold(lambda rows: fit_calibrator("sigmoid", said[rows], y[rows]), said, parts)
    rows = scores.score_rows_of_entry("tumours", Entry("bayes", "none", "tuned", "sigmoid"), "tuned")
    assert rows["threshold"][record.fold] == best_threshold(y, unseen.astype(np.float32))


# --- what the report says --------------------------------------------------------------------------------------------


def test_the_section_says_what_is_shown_and_nothing_where_splits_follow_time(store, scores):
    rankings = tuple(rank_entries(scores, task) for task in scores.run["tasks"])
    found = make_calibration_sections(Evidence(store, scores, rankings))
    assert [one.task for one in found] == ["tumours", "three_digits", "later"]
    for one in found:
        pictures = [part for part in one.parts if isinstance(part, Figure)]
        assert len(pictures) == 1
        assert isinstance(pictures[0].draw, partial)
        assert "array" not in repr(pictures[0].draw.args)
    assert "is not shown to change" in found[0].parts[1] or "is shown to make" in found[0].parts[1]
    assert found[2].parts[1].startswith("No reading: the splits follow time")
    lines = recalibration_effects(scores, rankings[0])
    plain = next(one for one in lines if one.entry == Entry("bayes", "class_weight", "tuned"))
    iso = next(one for one in lines if one.entry == Entry("bayes", "class_weight", "tuned", "isotonic"))
    assert iso.differences[0].mean == pytest.approx(iso.means[0] - plain.means[0])


@pytest.mark.parametrize(
    ("directions", "word"),
    [
        ((0, 0, 0), "undecided"),
        ((1, 0, 0), "better probabilities"),
        ((-1, -1, 1), "worse probabilities, better decisions"),
        ((-1, 1, 0), "log loss and Brier disagree"),
        ((0, 0, -1), "worse decisions"),
    ],
)
def test_readings(directions, word):
    assert read_calibration_directions(*directions) == word


def test_columns_of_the_csv_stay_where_they_are(scores):
    table = make_leaderboard_frame(scores, [rank_entries(scores, "tumours")])
    assert table.columns[:9].tolist() == [
        *("task", "entry", "family", "strategy", "stage", "calibration", "threshold_kind", "folds", "status")
    ]
    assert isinstance(table, pd.DataFrame)


# --- calibrators as values --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("name", CALIBRATIONS[1:])
def test_a_calibrator_is_a_value_that_leaves_out_what_was_never_predicted(name, classes):
    y, _, said = distorted(300, classes)
    with_gaps = said.copy()
    with_gaps[:50] = np.nan
    counts = [1.0] * classes, list(range(1, classes + 1))
    found, alone = make_calibrator(name, with_gaps, y, *counts), make_calibrator(name, said[50:], y[50:], *counts)
    assert found is not None
    assert type(found).__dataclass_params__.frozen
    assert found(said).tobytes() == alone(said).tobytes()
    assert found(said).sum(axis=1) == pytest.approx(1)
    if name == "prior":
        assert found == PriorCorrection(tuple(counts[0]), tuple(counts[1]))


def test_a_few_wide_intervals_are_cut_off_and_no_mean_ever_is():
    changes = [(0.01, 0.02)] * 20
    assert choose_axis_limit(changes) == choose_axis_limit([]) == choose_axis_limit([(math.nan, 1.0)]) == 0
    assert 0.03 < choose_axis_limit([*changes, (0.0, 5.0)]) < 0.1
    assert choose_axis_limit([*changes, (5.0, 0.1)]) == 0


def test_no_calibration_is_no_calibrator():
    assert make_calibrator("none", np.zeros((0, 2)), np.zeros(0, dtype=int), (), ()) is None
