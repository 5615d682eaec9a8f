"""Two entries and two runs compared: pairs, what differences are made of, rows that changed sides, words."""

import csv
import json
import math
import re
import shutil

import numpy as np
import pytest
from fixtures_run import three_digits, tumours, write_run
from sklearn.metrics import brier_score_loss, f1_score, precision_recall_curve

from harness.errors import EvenhandError
from harness.evaluation.corrected_t import holm
from harness.evaluation.paired_comparison import (
    ComparedEntry,
    adjust_difference_p_values,
    compare_class_metrics,
    compare_metrics,
    count_class_agreement,
    decompose_differences,
    find_changed_rows,
    pair_entries,
    rank_correlation,
)
from harness.evaluation.score_collection import collect_scores
from harness.evaluation.scores import find_entry_by_name
from harness.evaluation.strategy_effects import strategy_differences
from harness.metrics.classification import METRICS
from harness.report.compare import compare_runs_or_entries
from harness.store.store import Store

BY_NAME = {metric.name: metric for metric in METRICS}
WEIGHTED, PLAIN = "tumours/logistic_regression/class_weight", "tumours/logistic_regression/none"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Two tasks, one with three classes."""
    lost = {("three_digits", "bayes", "class_weight", fold): ("failed", "no priors") for fold in range(4)}
    return write_run(tmp_path_factory.mktemp("compare") / "run", [tumours(), three_digits()], lost)


@pytest.fixture(scope="module")
def scores(run):
    return collect_scores(run, BY_NAME)


@pytest.fixture
def other(run, tmp_path):
    """A second run with the same cells, to be changed."""
    shutil.copytree(run.folder, tmp_path / "other")
    return Store(tmp_path / "other")


def pair_of(run, scores, a, b):
    return pair_entries(*(ComparedEntry(run, scores, *find_entry_by_name(scores, one)) for one in (a, b)))


@pytest.fixture(scope="module")
def pair(run, scores):
    return pair_of(run, scores, WEIGHTED, PLAIN)


def edit(store, change):
    values = json.loads(store.run_file.read_text())
    change(values)
    store.run_file.write_text(json.dumps(values))


def rows_of(text):
    """The cells of every line of tables, split where two spaces stand."""
    return [re.split(r"\s{2,}", line.strip()) for line in text.splitlines()]


def test_differences_are_those_of_the_strategy_table(pair, scores):
    """What the report says of a strategy against doing nothing, computed there on its own."""
    found = {(one.name, one.threshold_kind): one.difference for one in compare_metrics(pair)}
    table = next(
        one
        for one in strategy_differences(scores, "tumours")
        if one.strategy == "class_weight" and one.family == "logistic_regression"
    )
    ranking, at_half, recall, precision, tuned, brier = (change.mean for change in table.estimates)
    compared = [found["AP", ""], found["F1", "half"], found["Recall", "half"], found["Precision", "half"]]
    compared += [found["F1", "tuned"], found["Brier", ""]]
    assert [change.mean for change in compared] == pytest.approx([ranking, at_half, recall, precision, tuned, brier])


def test_p_values_are_adjusted_over_all_that_is_shown(pair):
    everything_ = [*compare_metrics(pair), *decompose_differences(pair)]
    assert [one.adjusted_p for one in adjust_difference_p_values(everything_)] == holm(
        [one.difference.p for one in everything_]
    )
    for one in adjust_difference_p_values(everything_):
        assert (one.direction != 0) == (one.adjusted_p < 0.05)
        if one.direction:
            assert (one.direction == 1) == ((one.difference.mean > 0) == one.greater_is_better)


def test_a_difference_of_decisions_is_the_best_of_all_thresholds_and_what_the_chosen_one_loses(pair):
    found = {one.name: one for one in decompose_differences(pair)}
    best, lost = found["F1 at the best of all thresholds"], found["F1 lost by the threshold chosen"]
    f1 = next(one for one in compare_metrics(pair) if (one.name, one.threshold_kind) == ("F1", "tuned"))
    assert best.a + lost.a == pytest.approx(f1.a, abs=1e-12)
    assert best.difference.mean + lost.difference.mean == pytest.approx(f1.difference.mean, abs=1e-12)
    mine = []
    for seen, _ in pair.predictions.values():
        precision, recall, _ = precision_recall_curve(seen.y, seen.proba[:, 1])
        mine.append(np.nanmax(2 * precision * recall / np.maximum(precision + recall, 1e-12)))
    assert best.a == pytest.approx(np.mean(mine))
    assert lost.a <= 0


def test_brier_scores_are_miscalibration_less_discrimination_plus_what_the_classes_decide(pair):
    found = {one.name: one for one in decompose_differences(pair)}
    missed, told = found["Brier: miscalibration"], found["Brier: discrimination"]
    for side in (0, 1):
        brier = np.mean([brier_score_loss(both[side].y, both[side].proba[:, 1]) for both in pair.predictions.values()])
        by_class = np.mean([both[side].y.mean() * (1 - both[side].y.mean()) for both in pair.predictions.values()])
        parts = (missed.a - told.a) if side == 0 else (missed.b - told.b)
        assert parts + by_class == pytest.approx(brier, abs=1e-6)
    assert min(missed.a, missed.b, told.a, told.b) >= 0
    assert missed.a > missed.b  # weighting classes distorts probabilities


def test_the_same_ranking_at_other_probabilities_has_no_difference_in_ranking(run, scores):
    pair = pair_of(run, scores, PLAIN, PLAIN)
    assert rank_correlation(pair) == 1
    assert all(one.difference.mean == 0 for one in [*compare_metrics(pair), *decompose_differences(pair)])
    assert all(
        one.direction == 0 for one in adjust_difference_p_values([*compare_metrics(pair), *decompose_differences(pair)])
    )
    assert find_changed_rows(pair, "tuned") == []


@pytest.mark.parametrize(
    ("a", "b"), [(WEIGHTED, PLAIN), ("three_digits/bayes/none", "three_digits/logistic_regression/none")]
)
def test_rows_that_changed_sides_are_counted_as_by_hand(run, scores, a, b):
    pair = pair_of(run, scores, a, b)
    for kind in pair.threshold_kinds:
        truth, decided = [], ([], [])
        for both in pair.predictions.values():
            truth.append(both[0].y)
            for seen, said in zip(both, decided, strict=True):
                threshold = 0.5 if kind == "half" else seen.threshold
                binary = seen.proba.shape[1] == 2
                said.append((seen.proba[:, 1] >= threshold).astype(int) if binary else seen.proba.argmax(axis=1))
        truth, one, other = np.concatenate(truth), np.concatenate(decided[0]), np.concatenate(decided[1])
        rows = find_changed_rows(pair, kind)
        assert len(rows) == (one != other).sum() > 0
        assert sorted((row.label, row.predicted_a, row.predicted_b) for row in rows) == sorted(
            (int(t), int(x), int(y)) for t, x, y in zip(truth, one, other, strict=True) if x != y
        )
        for count in count_class_agreement(pair, kind):
            here = truth == count.label
            right = one[here] == count.label, other[here] == count.label
            expected = [(right[0] & right[1]).sum(), (right[0] & ~right[1]).sum(), (~right[0] & right[1]).sum()]
            assert [count.both_correct, count.only_a_correct, count.only_b_correct] == expected
            assert (
                count.both_correct + count.only_a_correct + count.only_b_correct + count.neither_correct
                == count.rows
                == here.sum()
            )
            assert count.disagreements == (one[here] != other[here]).sum()


def test_an_entry_and_its_own_default_that_the_search_kept_are_said_to_be_one(run, evenhand):
    code, said, _ = evenhand("compare", str(run.folder), "tumours/majority/none", "tumours/majority/none/default")
    assert code == 0
    assert "- the search kept the default parameters in every split, so both predict the same for every row" in said
    assert "By AP the two are equal in each of 4 splits." in said
    assert "same ranking" not in said


def test_recall_per_class_is_scikit_learns(run, scores):
    from sklearn.metrics import recall_score

    pair = pair_of(run, scores, "three_digits/bayes/none", "three_digits/logistic_regression/none")
    found = {one.name: one.a for one in compare_class_metrics(pair, "half")}
    mine = [recall_score(seen.y, seen.proba.argmax(axis=1), average=None) for seen, _ in pair.predictions.values()]
    assert [found[f"recall of {name}"] for name in "089"] == pytest.approx(np.mean(mine, axis=0).tolist())
    f1 = next(one for one in compare_metrics(pair) if one.name == "F1")
    assert f1.a == pytest.approx(
        np.mean([f1_score(seen.y, seen.proba.argmax(axis=1), average="macro") for seen, _ in pair.predictions.values()])
    )


def test_the_command_says_it_and_writes_the_rows(run, evenhand, tmp_path):
    code, said, _ = evenhand("compare", str(run.folder), WEIGHTED, PLAIN, "--rows", "3", "--out", "rows.csv")
    assert code == 0
    assert "A  tumours/logistic_regression/class_weight/tuned" in said
    assert "4 splits that both have, of the same rows" in said
    assert "Rows whose prediction changed" in said
    assert "those furthest apart" in said
    with (tmp_path / "rows.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    pair = pair_of(run, collect_scores(run, BY_NAME), WEIGHTED, PLAIN)
    for kind in ("half", "tuned"):
        assert len(find_changed_rows(pair, kind)) == sum(row["threshold_kind"] == kind for row in rows)
    assert {row["truth"] for row in rows} <= {"No", "Yes"}
    assert evenhand("compare", str(run.folder), WEIGHTED, PLAIN, "--rows", "3", "--out", "rows.csv")[1] == said


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ((), "name two runs, or a run and two entries like caravan/xgb/smote"),
        ((PLAIN,), "found 1 run and 1 entry"),
        ((PLAIN, PLAIN, PLAIN), "found 1 run and 3 entries"),
        ((PLAIN, "tumours/logistic_regression/nones"), f"did you mean '{PLAIN}'?"),
    ],
)
def test_what_cannot_be_compared_is_said(run, named, said):
    with pytest.raises(EvenhandError, match=re.escape(said)):
        compare_runs_or_entries([str(run.folder), *named], BY_NAME)


def test_a_run_compared_with_itself_is_equal_to_the_last_digit(run, other):
    said = compare_runs_or_entries([str(run.folder), str(other.folder)], BY_NAME)
    assert "Made alike: the same protocol, versions, host, data and strategies." in said
    entries_ = [cells for cells in rows_of(said) if "/" in cells[0] and cells[-1] == "equal to the last digit"]
    assert len(entries_) == 2 * (2 * (1 + 2 * 3) - 1)  # bayes with class weights has none on three classes
    assert "better by" not in said


def test_how_two_runs_were_made_otherwise_comes_first(run, other):
    edit(other, lambda values: values["versions"].update({"scikit-learn": "1.8"}))
    edit(other, lambda values: values["protocol"].update(trials=9))
    edit(other, lambda values: values.update(cells=[cell for cell in values["cells"] if cell["family"] != "bayes"]))
    edit(other, lambda values: values["strategies"]["class_weight"].update(digest="new"))
    said = compare_runs_or_entries([str(run.folder), str(other.folder)], BY_NAME, task="tumours")
    assert (
        said.index("protocol: trials 3 and 9") < said.index("versions: scikit-learn 1.9 and 1.8") < said.index("Entry")
    )
    assert "declared otherwise: strategy class_weight" in said
    assert "Only in A: bayes/class_weight/default, bayes/class_weight/tuned" in said
    assert "three_digits" not in said


def test_other_data_are_not_compared_row_by_row(run, other):
    edit(other, lambda values: values["tasks"]["tumours"].update(fingerprint="e" * 64))
    said = compare_runs_or_entries([str(run.folder), str(other.folder)], BY_NAME, task="tumours")
    assert "Not comparable row by row: the data of tumours differ between the runs" in said
    assert "±" not in said.partition("Entry")[2]
    both = compare_runs_or_entries([str(run.folder), str(other.folder), PLAIN], BY_NAME)
    assert "There are two means and no test" in both
    assert "What they are made of" not in both


def test_other_splits_are_not_compared_row_by_row(run, tmp_path):
    import fixtures_run

    before = fixtures_run.PROTOCOL
    try:
        fixtures_run.PROTOCOL = fixtures_run.replace(before, seed=8)
        reseeded = write_run(tmp_path / "reseeded", [tumours()])
    finally:
        fixtures_run.PROTOCOL = before
    said = compare_runs_or_entries([str(run.folder), str(reseeded.folder)], BY_NAME)
    assert "the rows of tumours are split otherwise in the second run" in said
    assert "protocol: seed 7 and 8" in said
    assert "better by" not in said


def test_means_of_splits_that_are_not_the_same_are_those_of_each_run(run, scores, tmp_path):
    one_split = write_run(tmp_path / "one", [tumours(splits=1)])
    edit(one_split, lambda values: values["tasks"]["tumours"].update(fingerprint="e" * 64))
    theirs = collect_scores(one_split, BY_NAME)
    pair = pair_entries(
        ComparedEntry(run, scores, *find_entry_by_name(scores, PLAIN)),
        ComparedEntry(one_split, theirs, *find_entry_by_name(theirs, PLAIN)),
    )
    ap = next(one for one in compare_metrics(pair) if one.name == "AP")
    task, entry = find_entry_by_name(scores, PLAIN)
    assert ap.a == scores.score_rows_of_entry(task, entry, "tuned").mean("average_precision")
    assert ap.b == theirs.score_rows_of_entry(task, entry, "tuned").mean("average_precision")
    assert (ap.difference.mean, math.isnan(ap.difference.ci_half_width)) == (ap.a - ap.b, True)
    said = compare_runs_or_entries([str(run.folder), str(one_split.folder)], BY_NAME, task="tumours")
    assert [cells[1] for cells in rows_of(said) if cells[0].count("/") == 2 and len(cells) > 3] == ["4, 1"] * 14


def test_one_entry_in_two_runs(run, other):
    said = compare_runs_or_entries([str(run.folder), str(other.folder), PLAIN, "tumours/bayes/none"], BY_NAME)
    assert f"A  {run.folder}  tumours/logistic_regression/none/tuned" in said
    assert f"B  {other.folder}  tumours/bayes/none/tuned" in said
    assert "p after Holm" in said


def test_missing_cells_one_split_forward_time_and_made_entries_are_sentences(full_run):
    run = full_run
    folder = str(run.folder)
    one = compare_runs_or_entries([folder, "one_split/bayes/none", "one_split/logistic_regression/none"], BY_NAME)
    assert "With fewer than three splits there is nothing to measure chance by: no test." in one
    later = compare_runs_or_entries([folder, "later_rows/bayes/none", "later_rows/logistic_regression/none"], BY_NAME)
    assert "The splits follow time" in later
    fewer = compare_runs_or_entries([folder, "tumours/bayes/class_weight", "tumours/bayes/none"], BY_NAME)
    assert "2 splits that both have" in fewer
    assert "B has 2 splits more" in fewer
    assert "Cost at the best of all thresholds" in fewer  # the task has a cost matrix
    assert "not stored: no rows" not in fewer
    with pytest.raises(EvenhandError, match="has no scores to compare"):
        compare_runs_or_entries([folder, "tumours/bayes/searched", "tumours/bayes/none"], BY_NAME)
    chosen = compare_runs_or_entries([folder, "tumours/any/any/chosen", "tumours/bayes/none"], BY_NAME)
    assert "Rows whose prediction changed" in chosen
    two_tasks = compare_runs_or_entries([folder, "later_rows/bayes/none", "tumours/bayes/none"], BY_NAME)
    assert "later_rows and tumours are different tasks" in two_tasks
    assert compare_runs_or_entries([folder, folder], BY_NAME).count("equal to the last digit") > 10


def test_entries_without_a_split_in_common_are_a_sentence(tmp_path):
    lost = {("tumours", "bayes", "none", fold): ("timeout", "long") for fold in (0, 1)}
    lost |= {("tumours", "bayes", "class_weight", fold): ("timeout", "long") for fold in (2, 3)}
    run = write_run(tmp_path / "run", [tumours()], lost)
    said = compare_runs_or_entries([str(run.folder), "bayes/none", "bayes/class_weight"], BY_NAME)
    assert "No split has scores of both." in said
    assert "A has 2 splits more" in said


def test_entries_without_a_split_in_common_are_a_sentence_of_two_runs_too(tmp_path):
    for name, folds in (("a", (0, 1)), ("b", (2, 3))):
        write_run(tmp_path / name, [tumours()], {("tumours", "bayes", "none", at): ("timeout", "long") for at in folds})
    said = compare_runs_or_entries([str(tmp_path / "a"), str(tmp_path / "b")], BY_NAME)
    assert "Without a split that has scores of both: bayes/none/default, bayes/none/tuned" in said
    shown = [cells[0] for cells in rows_of(said) if cells[0].count("/") == 2 and len(cells) > 3]
    assert "bayes/none/tuned" not in shown
    assert "bayes/class_weight/tuned" in shown


def test_hostile_names_are_text(tmp_path):
    run = write_run(tmp_path / "run", [tumours()])
    edit(
        run, lambda values: values["tasks"]["tumours"].update(classes=["=cmd()", "\x1b[31mred"], positive="\x1b[31mred")
    )
    said = compare_runs_or_entries([str(run.folder), WEIGHTED, PLAIN], BY_NAME, out=tmp_path / "rows.csv")
    assert "\x1b" not in said
    assert "'=cmd()" in (tmp_path / "rows.csv").read_text(encoding="utf-8")
    assert ",=cmd()" not in (tmp_path / "rows.csv").read_text(encoding="utf-8")


def test_figures_that_a_side_lacks_are_left_out(pair):
    assert not any(math.isnan(one.a) or math.isnan(one.b) for one in compare_metrics(pair))
    assert "Cost" not in {one.name for one in compare_metrics(pair)}
