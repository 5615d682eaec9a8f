"""What the report says beside its figures: what to beware of, what stands twice, what is missing, what a column means."""

import re
import shutil

import numpy as np
import pandas as pd
import pytest
from fixtures_across import rankings_of, scores_of
from fixtures_run import PROTOCOL, finding, three_digits, tumours, write_run

from harness.evaluation.ranking import rank_entries
from harness.evaluation.score_collection import collect_scores
from harness.evaluation.scores import Entry
from harness.metrics.classification import METRICS
from harness.report.leaderboard import RANKING_COLUMNS
from harness.report.render.cells import column_headings
from harness.report.render.markdown import escape, render_markdown_table
from harness.report.sections.protocol import list_data_remarks, list_data_warnings, quote_class_name
from harness.report.sections.ranking import (
    describe_first_entry,
    describe_unchanged_defaults,
    metric_phrase,
    tabulate_methods,
    tabulate_models,
    tabulate_networks,
)
from harness.report.write import write_leaderboard
from harness.store.store import Store

METRIC = {metric.name: metric for metric in METRICS}
LEAK = finding(
    "leaky_column", "column 'area' alone tells the classes apart (ROC AUC 0.998): is it known beforehand?", "area"
)
FEW = finding("few_positives", "class 'Yes' has 12 of 400 rows: scores vary much from fold to fold")
CONFLICT = finding("conflicting_labels", "rows with equal features and different labels: 31 (7.4%)")


@pytest.fixture
def store(tumours_run, tmp_path) -> Store:
    """A run of one task in a folder of its own, whose description may be changed."""
    return Store(shutil.copytree(tumours_run.folder, tmp_path / "copy"))


@pytest.fixture(scope="module")
def digits(tmp_path_factory) -> Store:
    lost = {
        ("three_digits", "bayes", "class_weight", fold): ("failed", "two priors, three classes") for fold in range(4)
    }
    return write_run(tmp_path_factory.mktemp("runs") / "digits", [three_digits()], lost)


def changed(store: Store, protocol: dict | None = None, **about) -> Store:
    run = store.read_run()
    run["tasks"]["tumours"] |= about
    run["protocol"] |= protocol or {}
    store.write_run(run)
    return store


def search_kept_the_default(store: Store, family: str, strategy: str) -> Store:
    """As if trial 0 had been the best one in every split of this family and strategy."""
    for path in store.folder.glob("cells/*/record.json"):
        text = path.read_text()
        if f'"family": "{family}"' in text.replace('":"', '": "') and f'"{strategy}"' in text:
            path.write_text(re.sub(r'("trial":\s*)1\b', r"\g<1>0", text))
    return store


def markdown(store: Store) -> str:
    return write_leaderboard(store, METRIC).details.read_text(encoding="utf-8")


def section(text: str, name: str) -> str:
    return text.partition(f"\n## {name}")[2].partition("\n## ")[0]


# --- the data --------------------------------------------------------------------------------------------------------


def test_warnings_about_the_data_stand_beside_every_verdict(store):
    files = write_leaderboard(changed(store, findings=[FEW, LEAK]), METRIC)
    text = files.details.read_text(encoding="utf-8")
    said = (
        "Beware: column 'area' alone tells the classes apart (ROC AUC 0.998): is it known beforehand? "
        "Class 'Yes' has 12 of 400 rows: scores vary much from fold to fold."
    )
    first, top = text.split("<details>")[0], section(text, "tumours")
    assert said in first
    assert said in top.split("|")[0]
    assert "Check first: " in files.summary
    assert LEAK["message"].rstrip(".?") in files.summary


def test_columns_that_were_left_out_and_conflicting_labels_stand_with_the_data(store):
    findings = [
        finding("banned", "known only after the call", "duration"),
        finding("omitted_constant", "one value only", "a"),
        finding("text_column", "text: a different one in every row, not used", "comment"),
        finding("omitted_constant", "one value only", "b"),
        CONFLICT,
    ]
    text = markdown(changed(store, findings=findings))
    line = next(row for row in text.splitlines() if row.startswith("Data:"))
    assert line.endswith(
        "Rows with equal features and different labels: 31 (7.4%). "
        "Left out: duration (known only after the call); a and b (one value only)."
    )


def test_a_task_without_notes_has_nothing_to_beware_of():
    assert list_data_warnings({"findings": []}) == list_data_remarks({"findings": []}) == list_data_remarks({}) == ""
    constant = finding("constant", "column 'c' has one value in 99.94% of the rows", "c")
    assert list_data_warnings({"findings": [CONFLICT, constant]}) == ""


def test_notes_of_a_run_without_findings_are_listed_as_they_are():
    notes = ["duration: left out, as asked", "leaky_column: column 'a_b' alone tells the classes apart", "c", "d", "e"]
    assert list_data_warnings({"notes": notes}) == ""
    listed = "duration: left out, as asked; leaky_column: column 'a_b' alone tells the classes apart; c; d"
    assert list_data_remarks({"notes": notes}) == f"Noticed in the data: {listed}; 1 more: see the last section."


def test_rows_that_a_published_split_costs_stand_with_the_data():
    message = "7 training rows left out: equal rows stand in the test part of the split column"
    assert list_data_remarks({"findings": [finding("test_duplicates", message)]}) == f"{message}."


def test_many_columns_are_counted_not_listed():
    findings = [finding("omitted_constant", "one value only", f"pixel_{column}") for column in range(9)]
    assert (
        list_data_remarks({"findings": findings})
        == "Left out: pixel_0, pixel_1, pixel_2, pixel_3 and 5 more (one value only)."
    )


def test_class_names_that_look_like_lists_are_quoted(store):
    assert [quote_class_name(name) for name in ("a, b", "8", "Yes")] == ["“a, b”", "“8”", "Yes"]
    text = markdown(changed(store, classes=["no, never", "Yes"]))
    assert "357 (85.6%); Yes 60 (14.4%)" in text
    assert "| “no, never” 357; Yes 60 " in text


# --- one entry, two names --------------------------------------------------------------------------------------------


def test_a_tuned_entry_that_is_its_default_says_so_and_is_counted(store):
    ranking = rank_entries(collect_scores(search_kept_the_default(store, "bayes", "class_weight"), METRIC), "tumours")
    names = {place.name for place in ranking.entries}
    assert {"bayes/class_weight/tuned = default", "majority/none/tuned = default"} <= names
    assert "bayes/class_weight/default" not in names
    assert {"bayes/none/default", "bayes/none/tuned"} <= names
    assert describe_unchanged_defaults(ranking).startswith(
        "For 1 pair of family and strategy the search kept the default parameters"
    )
    text = markdown(store)
    assert describe_unchanged_defaults(ranking) in section(text, "tumours")
    assert "**= default** marks" in text


def test_a_majority_row_alone_is_not_counted_for_it_has_nothing_to_search(store):
    assert describe_unchanged_defaults(rank_entries(collect_scores(store, METRIC), "tumours")) == ""


# --- leaderboard.csv -------------------------------------------------------------------------------------------------


def test_rank_and_interval_are_those_of_the_ranking(store):
    store = search_kept_the_default(store, "bayes", "class_weight")
    ranking = rank_entries(collect_scores(store, METRIC), "tumours")
    board = pd.read_csv(write_leaderboard(store, METRIC).csv)
    rows = board[board.threshold_kind == "tuned"].set_index("entry")
    for place in ranking.entries:
        row = rows.loc[place.entry.name]
        assert row["rank"] == place.rank or (np.isnan(row["rank"]) and place.rank is None)
        assert row[["ci_low", "ci_high"]].tolist() == pytest.approx([place.score.low, place.score.high], rel=1e-5)
        assert pd.isna(row.tied) if place.tied is None else row.tied == {True: "yes", False: "no"}[place.tied]
        assert row.inner_score == pytest.approx(place.rows.mean("inner"), rel=1e-5)
    assert rows.loc["bayes/class_weight/default", "rank"] == rows.loc["bayes/class_weight/tuned", "rank"]
    assert set(rows.splits_planned) == {PROTOCOL.folds}
    assert set(rows.positive) == {"Yes"}


def test_a_default_entry_took_one_trial_and_no_search(store):
    board = pd.read_csv(write_leaderboard(store, METRIC).csv)
    of = board[board.family == "bayes"].groupby("stage").trials
    assert of.unique().to_dict() == {"default": [1], "tuned": [3], "chosen": [6]}


def test_every_column_is_explained(store):
    text = markdown(store).split("How to read the tables")[1].split("</details>")[0]
    assert all(
        f"`{name}`" in text for name in [*METRIC, *RANKING_COLUMNS, "folds", "status", "threshold_kind", "trials"]
    )


# --- several classes -------------------------------------------------------------------------------------------------


def test_several_classes_have_a_results_summary_of_their_own_shape(digits):
    scores = collect_scores(digits, METRIC)
    methods = tabulate_methods(scores, "three_digits")
    assert column_headings(methods) == ["Method", "Accuracy", "Macro precision", "Macro recall", "Macro F1"]
    found = next(row for row in methods.rows if row[0] == "logistic_regression, none")
    counts = scores.pooled_confusion("three_digits", Entry("logistic_regression", "none", "tuned"), "half")
    recalls = counts.diagonal() / counts.sum(axis=1)
    precisions = counts.diagonal() / counts.sum(axis=0)
    expected = [counts.trace() / counts.sum(), precisions.mean(), recalls.mean()]
    assert found[1:4] == pytest.approx(expected)
    assert column_headings(tabulate_models(scores, "three_digits"))[0] == "Model"
    ((_, network),) = tabulate_networks(scores, "three_digits")
    assert column_headings(network) == ["Class", "Precision", "Recall", "F1", "Rows"]
    assert [row[0] for row in network.rows] == [f"Class {i} ({d})" for i, d in enumerate("089")]
    assert render_markdown_table(methods) in section(markdown(digits), "The results summary")


# --- the terminal ----------------------------------------------------------------------------------------------------


def test_f1_as_the_objective_has_one_column_that_names_its_threshold(store):
    text = write_leaderboard(changed(store, objective="f1"), METRIC).summary
    header = next(row for row in text.splitlines() if "95 % interval" in row)
    assert re.split(r"\s{2,}", header.strip()) == [
        *("Family", "Entry", "F1 at 0.5", "95 % interval", "Against the best", "Fit s")
    ]


def test_of_several_classes_the_most_probable_is_taken_so_no_threshold_is_named(digits):
    header = next(row for row in write_leaderboard(digits, METRIC).summary.splitlines() if "95 % interval" in row)
    assert re.split(r"\s{2,}", header.strip())[2] == "ROC AUC"


def test_an_entry_with_some_of_the_splits_says_so_instead_of_a_verdict(tmp_path):
    lost = {("tumours", "bayes", strategy, 0): None for strategy in ("none", "class_weight", "searched")}
    files = write_leaderboard(write_run(tmp_path / "run", [tumours()], lost), METRIC)
    row = next(line for line in files.summary.splitlines() if line.startswith("bayes "))
    assert "3 of 4 splits" in row
    assert "undecided" not in row
    assert "3 of 4 splits" in files.markdown.read_text(encoding="utf-8")


def test_what_failed_is_in_the_terminal_too(tmp_path):
    lost = {("tumours", "bayes", "class_weight", fold): ("failed", "singular") for fold in range(3)}
    lost |= {("tumours", "bayes", "class_weight", 3): ("timeout", "slow"), ("tumours", "bayes", "none", 0): None}
    text = write_leaderboard(write_run(tmp_path / "run", [tumours()], lost), METRIC).summary
    assert "Without any ok cell: bayes/class_weight (failed 3, timeout 1)\n" in text
    assert "These tables are not final: 27 of 28 cells, 2 of 2 families." in text
    assert text.endswith("4 of 28 cells are not ok (failed 3, timeout 1): see Failures in leaderboard.md")


def test_a_run_in_which_everything_failed_does_not_say_that_nothing_was_tried(tmp_path):
    families = [
        ("majority", "none"),
        *((f, s) for f in ("logistic_regression", "bayes") for s in ("none", "class_weight")),
    ]
    families += [("logistic_regression", "searched"), ("bayes", "searched")]
    lost = {
        ("tumours", *pair, fold): ("memory", "more than 2 GB") for pair in families for fold in range(PROTOCOL.folds)
    }
    files = write_leaderboard(write_run(tmp_path / "run", [tumours()], lost), METRIC)
    assert files.summary.startswith(
        "tumours, ranked by AP\nUse:         none; no cell is ok, so there is nothing to rank."
    )
    assert "and 1 more" in files.summary
    assert "Nothing was evaluated." in section(files.details.read_text(), "The results summary")


def test_a_run_without_failures_does_not_speak_of_them(store):
    assert "not ok" not in write_leaderboard(store, METRIC).summary
    assert "any ok cell" not in write_leaderboard(store, METRIC).summary


# --- sentences -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "words"),
    [("log_loss", "log loss"), ("brier", "Brier score"), ("mcc", "MCC"), ("accuracy", "accuracy"), ("f1", "F1")],
)
def test_a_metric_within_a_sentence_is_lower_case_unless_it_is_a_name(store, name, words):
    assert metric_phrase(METRIC[name]) == words
    assert f"is first by {words}" in describe_first_entry(
        rank_entries(collect_scores(changed(store, objective=name), METRIC), "tumours")
    )


# --- tables ----------------------------------------------------------------------------------------------------------


def test_the_protocol_shows_what_was_in_force(store):
    text = section(markdown(changed(store, protocol={"budget": 3.0}, licence="")), "Protocol")
    header, _, values = [
        [cell.strip() for cell in row.split("|")[1:-1]] for row in text.splitlines() if row.startswith("|")
    ][:3]
    said = dict(zip(header, values, strict=True))
    assert said["objective"] == "average_precision (default)"
    assert said["budget"] == "3 s"
    assert "Licence" not in text


def test_what_acts_instead_of_being_seen_is_shown_as_a_mark():
    assert escape("a\x1b[31mb\u202ec\td") == "a�\\[31mb�c d"


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        (2, "; the other entry is not significantly different from it."),
        (3, "; neither of the other entries is significantly different from it."),
        (4, "; none of the 3 other entries is significantly different from it."),
    ],
)
def test_entries_not_significantly_different_from_the_first_are_counted_in_words(entries, said):
    figures = {(f"family_{at}", "none"): [0.5, 0.6, 0.7] for at in range(entries)}
    assert describe_first_entry(rankings_of(scores_of({"one": figures}))[0]).endswith(said)
