"""Threshold goals: their text, the cut that they choose on inner rows, what the sealed rows make of it, and what is refused."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from fixtures_run import three_digits, tumours, write_run
from sklearn.metrics import confusion_matrix, fbeta_score, precision_score, recall_score

from harness.api.stored_run import open_run
from harness.errors import EvenhandError
from harness.evaluation.decision_measures import decision_measures, measure_interval
from harness.evaluation.metric_cache import TUNED_THRESHOLD
from harness.evaluation.score_collection import collect_scores
from harness.evaluation.scores import Entry
from harness.evaluation.threshold_goals import check_goals, compare_with_goal_level, evaluate_goals
from harness.metrics.classification import METRICS
from harness.metrics.threshold import (
    ThresholdGoal,
    choose_threshold,
    goal_obstacle,
    least_cost_labels,
    parse_goal,
    parse_goals,
    parse_single_goal,
)
from harness.report.write import write_leaderboard, write_report
from harness.store.store import Store

METRIC = {metric.name: metric for metric in METRICS}
COSTS = ((0.0, 1.0), (10.0, 0.0))
ENTRY = Entry("logistic_regression", "none", "tuned")
GOALS = ["f1", "cost", "f-beta:2", "recall>=0.8", "precision>=0.9", "top:0.1", "capacity:40"]
#: Two class priors do not fit three classes.
FAILED = {("three_digits", "bayes", "class_weight", fold): ("failed", "ValueError") for fold in range(4)}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    digits = replace(three_digits(), about={"costs": [[0.0, 1.0, 1.0], [9.0, 0.0, 9.0], [1.0, 1.0, 0.0]]})
    tasks = [tumours(), tumours("with_costs", costs=[[0.0, 1.0], [10.0, 0.0]]), digits]
    return write_run(tmp_path_factory.mktemp("goals") / "run", tasks, FAILED)


@pytest.fixture(scope="module")
def scores(store):
    return collect_scores(store, METRIC)


def result_of(store, scores, task, goal, entry=ENTRY):
    (result,) = evaluate_goals(store, scores, task, [entry], [parse_goal(goal)])
    return result


def random_rows(seed=0, rows=400, decimals=None):
    rng = np.random.default_rng(seed)
    y = (rng.random(rows) < 0.2).astype(np.int64)
    positive = 1 / (1 + np.exp(-rng.normal(1.5 * y - 1.5, 1)))
    return y, (positive if decimals is None else positive.round(decimals)).astype(np.float32)


# --- the text of a goal ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", [*GOALS, "f-beta:0.5", "recall>=1", "top:1", "precision>=0.1234567890123", "capacity:1"]
)
def test_a_goal_is_written_as_it_was_read(text):
    assert parse_goal(text).text == text
    assert parse_goal(parse_goal(text).text) == parse_goal(text)


def test_a_goal_may_be_written_without_a_sign_of_the_shell():
    assert parse_goal(" Recall:0.80") == parse_goal("recall>=0.8") == ThresholdGoal("recall", 0.8)
    assert parse_goals(["f1", "recall:.8", "recall>=0.80"]) == parse_goals(["f1", "recall>=0.8"])
    assert parse_goals("f1") == (ThresholdGoal("f1"),)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("recall", "quote it"),
        ("recal>=0.8", "goals are like f1, cost"),
        ("top>=0.1", "goals are like f1, cost"),
        ("recall>=80", "a share above 0 and at most 1 is expected, but got 80"),
        ("recall>=nan", "a share above 0"),
        ("precision>=", "goals are like f1, cost"),
        ("top:0", "a share above 0"),
        ("top:ten", "'ten' is no number"),
        ("f-beta:-1", "a beta above 0 is expected"),
        ("capacity:2.5", "a whole number of rows"),
        ("capacity:inf", "a whole number of rows"),
        ("", "goals are like f1, cost"),
    ],
)
def test_a_goal_that_is_none_is_refused_in_a_line(text, message):
    with pytest.raises(EvenhandError, match=message) as refusal:
        parse_goal(text)
    assert "\n" not in str(refusal.value)


def test_a_model_has_one_goal():
    assert parse_single_goal(None) is None
    assert parse_single_goal(["top:0.1"]) == "top:0.1"
    with pytest.raises(EvenhandError, match="name one goal and not 2"):
        parse_single_goal(["f1", "top:0.1"])


# --- the cut --------------------------------------------------------------------------------------------------------


def every_cut(y, positive):
    """Predictions at every distinct cut, and at one above all rows."""
    return [(positive >= cut).astype(int) for cut in (*np.unique(positive), 2.0)]


@pytest.mark.parametrize(("seed", "decimals"), [(0, None), (1, 1), (2, 1)])
def test_no_other_cut_serves_a_goal_better(seed, decimals):
    y, positive = random_rows(seed, decimals=decimals)
    cuts = every_cut(y, positive)

    def decided(text, **options):
        chosen = choose_threshold(parse_goal(text), y, positive, **options)
        assert chosen.reached
        return (positive >= chosen.threshold).astype(int)

    best = max(fbeta_score(y, labels, beta=2, zero_division=0) for labels in cuts)
    assert fbeta_score(y, decided("f-beta:2"), beta=2) == pytest.approx(best)
    feasible = [labels for labels in cuts if recall_score(y, labels) >= 0.8]
    labels = decided("recall>=0.8")
    assert recall_score(y, labels) >= 0.8
    assert precision_score(y, labels) == pytest.approx(max(precision_score(y, labels) for labels in feasible))
    feasible = [labels for labels in cuts if labels.any() and precision_score(y, labels) >= 0.4]
    labels = decided("precision>=0.4")
    assert precision_score(y, labels) >= 0.4
    assert recall_score(y, labels) == pytest.approx(max(recall_score(y, labels) for labels in feasible))
    if decimals is None:
        assert decided("top:0.1").sum() == 40
        assert decided("capacity:100", table_rows=1000).sum() == 40
    cheapest = min((confusion_matrix(y, labels) * np.array(COSTS)).sum() for labels in cuts)
    assert (confusion_matrix(y, decided("cost", costs=COSTS)) * np.array(COSTS)).sum() == cheapest


def test_ties_are_never_separated_and_a_capacity_is_never_exceeded():
    y, positive = np.array([1, 0, 1, 0, 0, 0, 0, 0, 0, 0]), np.array([0.9, 0.7, 0.7, 0.7, *[0.1] * 6])
    chosen = choose_threshold(parse_goal("top:0.3"), y, positive)
    assert (positive >= chosen.threshold).sum() == 1
    nothing = choose_threshold(parse_goal("top:0.1"), y, np.full(10, 0.5))
    assert not nothing.reached
    assert not (np.full(10, 0.5) >= nothing.threshold).any()


def test_a_capacity_above_the_rows_takes_every_row():
    y, positive = random_rows()
    chosen = choose_threshold(parse_goal("capacity:5000"), y, positive, table_rows=400)
    assert chosen.reached
    assert (positive >= chosen.threshold).all()


def test_a_precision_that_nothing_reaches_takes_the_nearest_and_says_so():
    y, positive = np.array([0, 1, 0, 1, 0]), np.array([0.9, 0.8, 0.5, 0.4, 0.1])
    chosen = choose_threshold(parse_goal("precision>=0.9"), y, positive)
    assert not chosen.reached
    assert precision_score(y, positive >= chosen.threshold) == 0.5


@pytest.mark.parametrize("goal", ["f1", "f-beta:2", "recall>=0.8", "precision>=0.5"])
def test_without_a_positive_row_nothing_is_chosen(goal):
    chosen = choose_threshold(parse_goal(goal), np.zeros(4, dtype=int), np.linspace(0, 1, 4))
    assert (chosen.threshold, chosen.reached) == (0.5, False)
    assert not choose_threshold(parse_goal(goal), np.array([], dtype=int), np.empty((0, 2))).reached


def test_the_class_of_least_expected_cost_is_not_the_most_probable_one():
    costs = ((0.0, 1.0, 1.0), (9.0, 0.0, 9.0), (1.0, 1.0, 0.0))
    proba = np.array([[0.6, 0.3, 0.1], [0.9, 0.02, 0.08]])
    assert least_cost_labels(proba, costs).tolist() == [1, 0]


# --- over the splits of a run ---------------------------------------------------------------------------------------


def test_f1_and_cost_are_the_thresholds_that_the_run_chose_itself(store, scores):
    for task, goal in (("tumours", "f1"), ("with_costs", "cost")):
        result = result_of(store, scores, task, goal)
        stored = scores.score_rows_of_entry(task, ENTRY, TUNED_THRESHOLD)
        expected = stored["threshold"] if goal == "f1" else [d.threshold for d in result.decisions]
        assert list(result.thresholds.values()) == list(expected)
        measured = [decision_measures(2, COSTS)[goal].compute(decision.sealed) for decision in result.decisions]
        if goal == "f1":
            assert measured == pytest.approx(stored["f1"])


def test_thresholds_do_not_depend_on_test_rows(store, scores, tmp_path):
    before = result_of(store, scores, "tumours", "recall>=0.8")
    flipped = Store(tmp_path / "run")
    flipped.write_run(store.read_run())
    for cell in scores.cells:
        if cell.task == "tumours":
            stored = store.read_predictions(cell.record)
            flipped.write_cell(cell.record, replace(stored, test_y=stored.test_y[::-1].copy()))
    after = result_of(flipped, collect_scores(flipped, METRIC), "tumours", "recall>=0.8")
    assert after.thresholds == before.thresholds
    assert after.promised == before.promised
    assert after.sealed_measure != before.sealed_measure


def test_what_was_promised_and_attained_is_counted_from_stored_predictions(store, scores):
    result = result_of(store, scores, "tumours", "recall>=0.8")
    assert result.promised >= 0.8
    inner_hits = inner_positives = hits = positives = predicted = 0
    for cell in scores.cells:
        if (cell.task, cell.family, cell.strategy) != ("tumours", *ENTRY[:2]):
            continue
        stored = store.read_predictions(cell.record)
        threshold = result.thresholds[cell.record.repeat, cell.record.fold]
        inner, sealed = stored.inner["tuned"][:, 1] >= threshold, stored.test["tuned"][:, 1] >= threshold
        inner_hits += (inner & (stored.train_y == 1)).sum()
        inner_positives += (stored.train_y == 1).sum()
        hits += (sealed & (stored.test_y == 1)).sum()
        positives += (stored.test_y == 1).sum()
        predicted += sealed.sum()
    assert result.promised == pytest.approx(inner_hits / inner_positives)
    assert result.sealed_measure.value == pytest.approx(hits / positives)
    assert result.attained["precision"].value == pytest.approx(hits / predicted)
    assert 0 <= result.sealed_measure.low < result.sealed_measure.value < result.sealed_measure.high <= 1


def test_capacity_counts_rows_of_the_whole_table(store, scores):
    table_rows = scores.run["tasks"]["tumours"]["rows"]
    result = result_of(store, scores, "tumours", "capacity:40")
    assert result.level == pytest.approx(40 / table_rows)
    assert result.promised <= 40 / table_rows
    sealed = sum(decision.sealed[:, 1].sum() for decision in result.decisions)
    assert sealed / table_rows == pytest.approx(result.sealed_measure.value)


def test_several_classes_are_decided_by_expected_cost(store, scores):
    result = result_of(store, scores, "three_digits", "cost")
    baseline = scores.score_rows_of_entry("three_digits", ENTRY, "half").mean("expected_cost")
    assert result.sealed_measure.value <= baseline
    assert math.isnan(result.decisions[0].threshold)
    assert set(result.attained) == {"accuracy", "cost"}
    assert evaluate_goals(store, scores, "three_digits", [ENTRY], parse_goals(["recall>=0.8"])) == []


def test_recalibrated_entries_choose_on_rows_that_their_calibrator_did_not_see(store, scores):
    entry = Entry("logistic_regression", "none", "tuned", "sigmoid")
    result = result_of(store, scores, "tumours", "f1", entry)
    assert list(result.thresholds.values()) == list(
        scores.score_rows_of_entry("tumours", entry, TUNED_THRESHOLD)["threshold"]
    )


def test_goals_that_make_no_sense_for_any_task_are_refused():
    binary, several = (2, None), (3, None)
    with pytest.raises(EvenhandError, match="declares no costs"):
        check_goals(parse_goals("cost"), {"a": binary})
    with pytest.raises(EvenhandError, match="makes no sense for task 'a': it has 3 classes"):
        check_goals(parse_goals("recall>=0.8"), {"a": several})
    check_goals(parse_goals("recall>=0.8"), {"a": several, "b": binary})
    assert goal_obstacle(parse_goal("cost"), 3, COSTS) == ""


# --- intervals and outcomes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["recall", "precision", "share", "f1", "cost"])
def test_intervals_cover_the_truth_and_stay_within_bounds(name):
    rng = np.random.default_rng(1)
    truth = np.array([[0.80, 0.05], [0.06, 0.09]])
    measure = decision_measures(2, COSTS)[name]
    expected = measure.compute(truth)
    covered = 0
    for _ in range(300):
        counts = [rng.multinomial(200, truth.ravel()).reshape(2, 2) for _ in range(5)]
        interval = measure_interval(measure, counts)
        assert measure.bounds[0] <= interval.low <= interval.value <= interval.high <= measure.bounds[1]
        covered += interval.low <= expected <= interval.high
    assert covered / 300 >= 0.93


def test_a_perfect_share_has_an_interval_and_repeats_do_not_narrow_it():
    measure = decision_measures(2, None)["recall"]
    perfect = measure_interval(measure, [np.array([[80, 0], [0, 20]])] * 5)
    assert (perfect.value, perfect.high) == (1.0, 1.0)
    assert 0.9 < perfect.low < 1
    counts = [np.array([[80, 0], [5, 15]]), np.array([[80, 0], [9, 11]])]
    once, twice = measure_interval(measure, counts), measure_interval(measure, counts * 2, repeats=2)
    assert twice.high - twice.low == pytest.approx(once.high - once.low, rel=0.05)
    nothing = measure_interval(decision_measures(2, None)["precision"], [np.array([[90, 0], [10, 0]])])
    assert math.isnan(nothing.value)


def test_a_promise_is_met_missed_within_error_or_missed():
    measure = decision_measures(2, None)["recall"]
    goal = parse_goal("recall>=0.8")
    outcomes = []
    for hits in (85, 77, 60):
        interval = measure_interval(measure, [np.array([[400, 0], [100 - hits, hits]])])
        outcomes.append(compare_with_goal_level(goal, 0.8, interval))
    assert outcomes == ["met", "within_error", "missed"]
    share = decision_measures(2, None)["share"]
    few, many = (measure_interval(share, [np.array([[900 - n, n], [90, 10]])]) for n in (50, 300))
    assert compare_with_goal_level(parse_goal("top:0.1"), 0.1, few) == "met"
    assert compare_with_goal_level(parse_goal("top:0.1"), 0.1, many) == "missed"


# --- run, report, Python --------------------------------------------------------------------------------------------


def test_the_frame_is_tidy(store):
    run = open_run(store.folder)
    frame = run.evaluate_thresholds(GOALS)
    keys = ["task", "entry", "goal", "repeat", "fold"]
    assert not frame.duplicated(keys).any()
    binary = frame[frame["task"] == "tumours"]
    assert set(binary["goal"]) == set(GOALS) - {"cost"}
    assert set(frame[frame["task"] == "three_digits"]["goal"]) == {"cost"}
    assert "any/any/chosen" in set(frame["entry"])
    recall = binary[binary["goal"] == "recall>=0.8"]
    assert (recall["inner_recall"] == recall["promised"]).all()
    assert (recall["recall"] == recall["attained"]).all()
    assert (recall["level"] == 0.8).all()
    assert "f1" in set(run.thresholds["goal"])
    with pytest.raises(EvenhandError, match="goals are like"):
        run.evaluate_thresholds("recal>=0.8")


def test_the_report_has_a_sentence_and_a_table_per_task_only_where_goals_are_wanted(store):
    plain = write_leaderboard(store, METRIC)
    assert "Where to cut" not in plain.markdown.read_text(encoding="utf-8")
    files = write_leaderboard(store, METRIC, parse_goals(["recall>=0.8", "cost"]))
    text = files.markdown.read_text(encoding="utf-8")
    assert text.count("### Where to cut: threshold goals") == 3
    assert "- `recall>=0.8` with " in text
    assert "the inner rows promised recall 0.8" in text
    assert "`cost` makes no sense here: the task declares no costs of decisions" in text
    assert "recall>=0.8 with" in files.summary


def test_a_run_remembers_its_goals(store, tmp_path):
    run = Store(tmp_path / "run")
    run.write_run(store.read_run() | {"thresholds": ["top:0.1"]})
    for cell in collect_scores(store, METRIC).cells:
        if cell.task == "tumours":
            run.write_cell(cell.record, store.read_predictions(cell.record))
    assert set(open_run(run.folder).thresholds["goal"]) == {"top:0.1"}
    page = write_report(run, METRIC).page.read_text(encoding="utf-8")
    assert "Where to cut: threshold goals" in page
    description = json.loads((run.folder / "run.json").read_text(encoding="utf-8"))
    assert description["thresholds"] == ["top:0.1"]
