"""The leaderboard of a small real run: what its tables say, against what its stored predictions say."""

import csv
import math
import re
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from fixtures_run import PROTOCOL, tumours, write_run
from markdown_it import MarkdownIt
from sklearn.metrics import f1_score, roc_auc_score

from harness.errors import StoreError
from harness.evaluation.ranking import choose_decimals, rank_entries
from harness.evaluation.score_collection import collect_scores
from harness.evaluation.scores import Entry, Scores, count_statuses
from harness.evaluation.strategy_effects import (
    NO_READING,
    read_strategy_directions,
    strategy_comparisons,
    strategy_differences,
    strategy_readings,
)
from harness.metrics.classification import METRICS
from harness.metrics.metric import Metric
from harness.report.content import ReportCell, ReportColumn, ReportTable, mark_best_cells
from harness.report.html_leaderboard import build_leaderboard
from harness.report.leaderboard import KEY_COLUMNS, METRIC_COLUMNS
from harness.report.render.cells import (
    column_headings,
    format_interval,
    format_number,
    format_percent,
    format_table_rows,
)
from harness.report.render.markdown import escape, render_markdown_table
from harness.report.sections.cross_task_table import summarize_cross_task_ranks
from harness.report.sections.entry_tables import MAX_ENTRIES, tabulate_strategy_readings
from harness.report.sections.imbalance import summarize_strategy_effects, tabulate_strategy_effects
from harness.report.sections.ranking import (
    describe_first_entry,
    tabulate_effort,
    tabulate_methods,
    tabulate_models,
    tabulate_networks,
    tabulate_quality,
)
from harness.report.write import write_leaderboard, write_report
from harness.store.store import Store

METRIC = {metric.name: metric for metric in METRICS}
NONE_TUNED = Entry("logistic_regression", "none", "tuned")


@pytest.fixture(scope="module")
def store(full_run) -> Store:
    return full_run


@pytest.fixture(scope="module")
def scores(store) -> Scores:
    return collect_scores(store, METRIC)


@pytest.fixture(scope="module")
def markdown(store) -> str:
    return write_leaderboard(store, METRIC).details.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def board(store) -> pd.DataFrame:
    return pd.read_csv(write_leaderboard(store, METRIC).csv, keep_default_na=False, na_values=[""])


@pytest.fixture
def copy(tumours_run, tmp_path) -> Store:
    """A run of one task in a folder of its own, to be spoilt."""
    return Store(shutil.copytree(tumours_run.folder, tmp_path / "copy"))


def cells(store: Store, task: str, family: str, strategy: str) -> list:
    return [
        r
        for r in store.read_every_record()
        if (r.task, r.family, r.strategy) == (task, family, strategy) and r.status == "ok"
    ]


def line(board: pd.DataFrame, task: str, entry: str, kind: str = "tuned") -> pd.Series:
    found = board[(board.task == task) & (board.entry == entry) & (board.threshold_kind == kind)]
    assert len(found) == 1
    return found.iloc[0]


def tables(text: str) -> list[list[list[str]]]:
    """The pipe tables of a text: rows of cells, header first, without bold."""
    found: list[list[list[str]]] = []
    fresh = True
    for row in text.splitlines():
        if row.startswith("|"):
            found += [[]] if fresh else []
            parts = [cell.strip().replace("**", "") for cell in re.split(r"(?<!\\)\|", row)[1:-1]]
            found[-1] += [] if set("".join(parts)) <= set(":-") else [parts]
        fresh = not row.startswith("|")
    return found


def texts(table: ReportTable) -> list[list[str]]:
    """The headings and the cells of a table as texts."""
    return [list(column_headings(table)), *format_table_rows(table)]


# --- leaderboard.csv -------------------------------------------------------------------------------------------------


def test_columns_are_the_promised_ones_and_metrics_from_elsewhere_come_last(copy):
    extra = Metric(name="hits", compute=lambda p: float(np.trace(p.confusion)), metric_type="decision")
    columns = pd.read_csv(write_leaderboard(copy, METRIC | {"hits": extra}).csv).columns.tolist()
    who = ["task", "entry", "family", "strategy", "stage", "calibration", "threshold_kind", "folds", "status"]
    names = [*METRIC_COLUMNS, "threshold", "fit_seconds", "predict_us_per_row", "trials", "parameters", "model_bytes"]
    ranked = [
        *(
            "objective",
            "score",
            "score_sd",
            "ci_low",
            "ci_high",
            "rank",
            "verdict",
            "tied",
            "may_be_best",
            "best_probability",
        ),
        *("splits_planned", "inner_score", "training_score", "positive"),
    ]
    pairs = [column for name in names for column in (name, f"{name}_sd")]
    assert columns == [*who, *pairs, *ranked, "hits", "hits_sd"]


def test_means_are_over_outer_splits_and_come_from_the_stored_predictions(store, board):
    f1, auc = [], []
    for record in cells(store, "tumours", "logistic_regression", "none"):
        seen = store.read_predictions(record)
        threshold = next(o.threshold for o in record.outcomes if o.stage == "tuned")
        f1.append(f1_score(seen.test_y, seen.test["tuned"][:, 1] >= threshold))
        auc.append(roc_auc_score(seen.test_y, seen.test["tuned"][:, 1]))
    found = line(board, "tumours", NONE_TUNED.name)
    assert (found.folds, found.status, found.calibration) == (4, "ok", "none")
    assert found[["f1", "f1_sd"]].tolist() == pytest.approx([np.mean(f1), np.std(f1, ddof=1)], rel=1e-5)
    assert found[["roc_auc", "roc_auc_sd"]].tolist() == pytest.approx([np.mean(auc), np.std(auc, ddof=1)], rel=1e-5)


def test_threshold_moves_decisions_and_nothing_else(store, board):
    splits = pd.read_csv(store.folder / "scores.csv")
    of_entry = splits[(splits.task == "tumours") & (splits.entry == NONE_TUNED.name)]
    half, tuned = (of_entry[of_entry.threshold_kind == kind].reset_index() for kind in ("half", "tuned"))
    assert (half.threshold == 0.5).all()
    assert (tuned.threshold != 0.5).any()
    assert half.f1.tolist() != tuned.f1.tolist()
    same = [
        "roc_auc",
        "average_precision",
        "log_loss",
        "brier",
        "ece",
        "lift_at_10",
        "fit_seconds",
        "trials",
        "inner_score",
    ]
    assert half[same].equals(tuned[same])
    found = line(board, "tumours", NONE_TUNED.name)
    assert found[["f1", "threshold", "brier"]].tolist() == pytest.approx(
        tuned[["f1", "threshold", "brier"]].mean().tolist(), rel=1e-5
    )


def test_the_leaderboard_has_a_row_per_entry_and_the_scores_have_the_others(store, board):
    assert not board.duplicated(["task", "entry"]).any()
    assert set(board.calibration) == {"none"}
    splits = pd.read_csv(store.folder / "scores.csv")
    assert not splits.duplicated(["task", "entry", "calibration", "threshold_kind", "repeat", "fold"]).any()
    assert {"isotonic", "sigmoid", "temperature"} < set(splits.calibration)
    by_family = board[board.task == "tumours"].groupby("family").score.max()
    assert by_family["majority"] < by_family["bayes"]


def test_the_verdicts_of_the_leaderboard_are_those_of_the_ranking(scores, board):
    ranking = rank_entries(scores, "tumours")
    for ranked in ranking.entries:
        found = line(board, "tumours", ranked.entry.name)
        if ranked.rank == 1:
            assert found.verdict == "best"
        elif ranked.comparison is not None:
            assert found.verdict == ranked.comparison.verdict
        if ranked.best_probability is not None:
            assert found.best_probability == pytest.approx(ranked.best_probability, rel=1e-5)
            assert found.may_be_best == ("yes" if ranked.may_be_best else "no")
    assert set(board[board.task == "one_split"].verdict.dropna()) == set()


def test_numbers_have_six_significant_digits(store):
    with write_leaderboard(store, METRIC).csv.open(newline="") as file:
        rows = list(csv.DictReader(file))
    words = {*KEY_COLUMNS, "objective", "verdict", "tied", "may_be_best", "positive"}
    numbers = [cell for row in rows for name, cell in row.items() if name not in words and cell]
    assert len(numbers) > 500
    assert max(len(re.sub(r"e.*|[-.]", "", format_number).lstrip("0")) for format_number in numbers) == 6


def test_cells_that_failed_or_are_missing_are_counted_and_their_entry_stays(board):
    partly = line(board, "tumours", "bayes/class_weight/tuned")
    assert (partly.folds, partly.status) == (2, "ok 2, timeout 1, missing 1")
    nothing = line(board, "tumours", "bayes/searched/tuned")
    assert (nothing.folds, nothing.status) == (0, "inapplicable 4")
    known = {"objective": "average_precision", "splits_planned": 4, "positive": "Yes"}
    assert nothing.iloc[9:].dropna().to_dict() == known
    assert line(board, "three_digits", "bayes/class_weight/tuned", "half").status == "failed 3, memory 1"


def test_statuses_are_listed_in_one_order():
    assert count_statuses(["ok", "ok"]) == "ok"
    assert count_statuses(["timeout", "ok", "missing", "ok", "timeout"]) == "ok 2, timeout 2, missing 1"


def test_several_classes_have_one_decision_and_no_binary_figures(board):
    digits = board[board.task == "three_digits"]
    assert set(digits.threshold_kind) == {"half"}
    ok = digits[digits.folds > 0]
    empty = {name for name in METRIC_COLUMNS if ok[name].isna().all()}
    assert empty == {"precision_negative", "recall_negative", "f1_negative", "lift_at_10", "expected_cost"}
    assert ok[["f1", "roc_auc", "average_precision", "mcc"]].notna().all(axis=None)


def test_costs_are_known_only_where_the_task_has_them(board):
    ok = board[board.folds > 0]
    assert ok[ok.task == "tumours"].expected_cost.notna().all()
    assert ok[ok.task != "tumours"].expected_cost.isna().all()


def test_one_split_has_means_and_no_deviations(board):
    found = line(board, "one_split", NONE_TUNED.name)
    assert found.folds == 1
    assert found.filter(like="_sd").isna().all()


# --- chosen ----------------------------------------------------------------------------------------------------------


def test_chosen_takes_the_best_inner_score_of_every_split_and_owns_up_to_all_trials(store, scores):
    found = scores.score_rows_of_entry("tumours", Entry("any", "any", "chosen"), "half")
    assert len(found) == 4
    for (repeat, fold), view, trials in zip(found.splits, found.score_keys, found["trials"], strict=True):
        here = [
            r
            for r in store.read_every_record()
            if (r.task, r.repeat, r.fold, r.status) == ("tumours", repeat, fold, "ok")
        ]
        here = [r for r in here if r.strategy != "searched"]
        inner = {r.id: next(o.inner_score for o in r.outcomes if o.stage == "tuned") for r in here}
        assert view[:2] == (max(inner, key=inner.get), "tuned")
        assert trials == sum(r.trials for r in here)


def test_chosen_per_family_stays_in_the_family_and_needs_a_choice(scores):
    names = {entry.name for task, entry, _ in scores.by_entry if task == "tumours" and entry.stage == "chosen"}
    assert names == {"logistic_regression/any/chosen", "bayes/any/chosen", "any/any/chosen"}
    family = {c.record.id for c in scores.cells if c.record and c.family == "bayes"}
    assert {
        view[0] for view in scores.score_rows_of_entry("tumours", Entry("bayes", "any", "chosen"), "half").score_keys
    } <= family


def test_chosen_has_no_rank_and_takes_no_part_among_strategies(scores):
    places = rank_entries(scores, "tumours").entries
    assert all(
        (place.rank is None) == (place.entry.stage in ("chosen", "ensembled") or not place.complete) for place in places
    )
    assert {one.strategy for one in strategy_differences(scores, "tumours")} == {"class_weight", "searched"}


# --- ranking and its claims ------------------------------------------------------------------------------------------


def test_entries_are_ranked_by_the_objective_and_those_lacking_splits_come_after(scores):
    for task in ("tumours", "three_digits"):
        places = rank_entries(scores, task).entries
        complete = [place.score.mean for place in places if place.complete]
        assert complete == sorted(complete, reverse=True)
        assert [place.complete for place in places] == sorted([place.complete for place in places], reverse=True)
    assert {p.entry.strategy for p in rank_entries(scores, "tumours").entries if not p.complete} == {
        "class_weight",
        "searched",
    }


def test_the_floor_is_told_apart_from_a_clear_winner_and_close_entries_are_not(scores):
    ranking = rank_entries(scores, "three_digits")
    assert ranking.above_baseline
    assert ranking.baseline.tied is False
    assert ranking.find_line("logistic_regression", "none").tied


@pytest.mark.parametrize("task", ["one_split", "later_rows"])
def test_nothing_is_claimed_for_one_split_nor_for_splits_in_time(scores, markdown, task):
    ranking = rank_entries(scores, task)
    assert ranking.no_test_reason
    assert all(place.tied is None and math.isnan(place.score.ci_half_width) for place in ranking.entries)
    section = markdown.split(f"## {task}")[1].split("\n## ")[0]
    assert "whether any difference is more than chance" in section
    assert "≈" not in section
    assert "±" not in section


def test_a_decision_metric_as_the_objective_ranks_at_the_threshold_it_was_searched_at(copy):
    run = copy.read_run()
    run["tasks"]["tumours"]["objective"] = "brier"
    copy.write_run(run)
    ranking = rank_entries(collect_scores(copy, METRIC), "tumours")
    means = [place.score.mean for place in ranking.entries]
    assert means == sorted(means)  # less is better
    run["tasks"]["tumours"]["objective"] = "f1"
    copy.write_run(run)
    ranking = rank_entries(collect_scores(copy, METRIC), "tumours")
    assert ranking.best.score.mean == max(p.rows.mean("f1") for p in ranking.entries if p.rank)
    assert "by F1 at 0.5" in describe_first_entry(ranking)


def test_an_objective_that_is_gone_is_named_and_the_usual_one_ranks(copy):
    run = copy.read_run()
    run["tasks"]["tumours"]["objective"] = "profit"
    copy.write_run(run)
    text = write_leaderboard(copy, METRIC).details.read_text(encoding="utf-8")
    assert "The search was after profit, which no metric of this installation is named." in text
    assert "/none/tuned: average precision (AP)" in text


def test_a_default_that_the_search_kept_is_one_entry_with_the_tuned_one(scores):
    names = [place.entry.name for place in rank_entries(scores, "tumours").entries if place.entry.family == "majority"]
    assert names == ["majority/none/tuned"]


def test_splits_that_entries_do_not_share_are_never_compared(tmp_path):
    lost = {("tumours", "bayes", s, 0): ("timeout", "slow") for s in ("none", "class_weight", "searched")}
    others = {("tumours", f, "none", 1): ("timeout", "slow") for f in ("majority", "logistic_regression")}
    ranking = rank_entries(collect_scores(write_run(tmp_path / "run", [tumours()], lost | others), METRIC), "tumours")
    assert {p.entry.name.rsplit("/", 1)[0] for p in ranking.entries if p.complete and p.rank} == {
        "logistic_regression/class_weight",
        "logistic_regression/searched",
    }


# --- the documented summary ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", ["tumours", "one_split", "later_rows"])
def test_every_row_of_the_documented_tables_is_arithmetically_possible(scores, task):
    """One prevalence explains accuracy, recalls and precisions of a row, up to the third decimal."""
    header, *rows = texts(tabulate_methods(scores, task))
    assert header == ["Method", "Accuracy", "Precision (No)", "Recall (No)", "Precision (Yes)", "Recall (Yes)"]
    assert len(rows) >= 6
    for method, *figures in rows:
        accuracy, precision_no, recall_no, precision_yes, recall_yes = (0.0 if f == "–" else float(f) for f in figures)
        yes = prevalence(scores, task, *method.split(" (")[0].split(", "))
        assert accuracy == pytest.approx(yes * recall_yes + (1 - yes) * recall_no, abs=0.0011)
        called_yes = yes * recall_yes + (1 - yes) * (1 - recall_no)
        assert precision_yes * called_yes == pytest.approx(yes * recall_yes, abs=0.0011)
        assert precision_no * (1 - called_yes) == pytest.approx((1 - yes) * recall_no, abs=0.0011)


def prevalence(scores: Scores, task: str, family: str, strategy: str) -> float:
    confusion = scores.pooled_confusion(task, Entry(family, strategy, "tuned"), "half")
    return float(confusion[1].sum() / confusion.sum())


def test_counts_of_all_splits_add_up_to_the_rows_of_the_task(scores):
    for task in ("tumours", "later_rows"):
        confusion = scores.pooled_confusion(task, NONE_TUNED, "half")
        assert confusion.sum(axis=1).tolist() == scores.run["tasks"][task]["counts"]


def test_rows_over_fewer_splits_say_so(scores):
    methods = [row[0] for row in texts(tabulate_methods(scores, "tumours"))]
    assert "bayes, class_weight (2 of 4 splits)" in methods
    assert not any("bayes, searched" in method for method in methods)


def test_models_and_networks_before_imbalance_is_handled_agree_with_the_methods(scores):
    header, *models = texts(tabulate_models(scores, "tumours"))
    assert header == ["Model", "Accuracy", "ROC AUC"]
    assert [row[0] for row in models] == ["majority", "logistic_regression", "bayes"]
    accuracy = {row[0]: row[1] for row in texts(tabulate_methods(scores, "tumours"))}
    assert {row[0]: row[1] for row in models} == {name: accuracy[f"{name}, none"] for name, *_ in models}
    ((title, network),) = tabulate_networks(scores, "tumours")
    assert title == f"bayes: overall accuracy {accuracy['bayes, none']}"
    header, *figures = texts(network)
    assert header == ["Metric", "Class 0 (No)", "Class 1 (Yes)"]
    assert [row[0] for row in figures] == ["Precision", "Recall", "F1", "Rows"]
    assert figures[-1][1:] == ["357", "60"]


def test_a_precision_of_nothing_is_a_dash(scores):
    majority = next(row for row in texts(tabulate_methods(scores, "tumours")) if row[0] == "majority, none")
    assert majority[2:] == ["0.856", "1.000", "–", "0.000"]


# --- does the strategy help? -----------------------------------------------------------------------------------------


def test_strategies_are_compared_with_doing_nothing_split_by_split(store, scores):
    found = next(
        d for d in strategy_differences(scores, "later_rows") if (d.family, d.strategy) == ("bayes", "class_weight")
    )
    gains = {"half": [], "tuned": []}
    for mine, none in zip(
        cells(store, "later_rows", "bayes", "class_weight"), cells(store, "later_rows", "bayes", "none"), strict=True
    ):
        for kind, gain in gains.items():
            gain.append(np.subtract(*(f1_of(store, record, kind) for record in (mine, none))))
    titles = [column.title for column in strategy_comparisons(scores, "later_rows")]
    means = dict(zip(titles, [e.mean for e in found.estimates], strict=True))
    assert means["Δ F1, both at 0.5"] == pytest.approx(np.mean(gains["half"]))
    assert means["Δ F1, both tuned"] == pytest.approx(np.mean(gains["tuned"]))


def f1_of(store: Store, record, kind: str) -> float:
    seen = store.read_predictions(record)
    threshold = 0.5 if kind == "half" else next(o.threshold for o in record.outcomes if o.stage == "tuned")
    return f1_score(seen.test_y, seen.test["tuned"][:, 1] >= threshold)


def test_a_strategy_that_does_nothing_cannot_be_told_from_nothing(scores):
    rows = {row[:2]: row for row in tabulate_strategy_effects(scores, "three_digits").rows}
    assert rows["logistic_regression", "searched"][2] in ("practically equal", "undecided")
    assert summarize_strategy_effects(scores, "three_digits").endswith(
        "compared with doing nothing, none is shown to rank or decide differently."
    )


@pytest.mark.parametrize(
    ("better", "word"),
    [
        ([0, 0, 0, 0, 0], "undecided"),
        ([0, 0, 0, 0, -1], "worse probabilities"),
        ([0, 1, 0, 0, -1], "acts like another threshold, no other gain shown, worse probabilities"),
        ([0, 1, 1, 1, 0], "helps"),
        ([1, 0, 0, 0, 0], "helps"),
        ([-1, 1, 0, 0, 0], "hurts"),
        ([1, 0, 0, -1, 0], "mixed"),
        ([0, -1, 0, 0, 1], "acts like another threshold, no other gain shown, better probabilities"),
    ],
)
def test_a_gain_at_one_half_alone_is_not_called_help(better, word):
    assert read_strategy_directions(better) == word


def test_splits_in_time_carry_no_reading(scores):
    assert {row[2] for row in tabulate_strategy_effects(scores, "later_rows").rows} == {None}
    assert summarize_strategy_effects(scores, "later_rows") == ""


def test_decisions_are_compared_by_cost_where_the_task_has_costs(scores):
    assert [c.title for c in strategy_comparisons(scores, "tumours")][1] == "Δ Cost, both at 0.5"
    assert [c.title for c in strategy_comparisons(scores, "three_digits")] == ["Δ ROC AUC", "Δ F1", "Δ Brier"]


# --- over all tasks --------------------------------------------------------------------------------------------------


def test_ranks_over_tasks_use_entries_that_all_tasks_share(scores):
    rankings = [rank_entries(scores, task) for task in scores.run["tasks"]]
    parts = summarize_cross_task_ranks(rankings)
    (table,) = (part for part in parts if isinstance(part, ReportTable))
    rows = {row[0]: row for row in table.rows}
    assert "bayes/class_weight/tuned" not in rows
    assert "Left out, because some splits of some task are lacking: bayes/class_weight, bayes/searched." in parts
    assert "majority/none/tuned" not in rows  # it is what others are measured by
    assert sum(row[1].value for row in rows.values()) == pytest.approx(sum(range(1, len(rows) + 1)))
    assert summarize_cross_task_ranks(rankings[:1]) == ["There is one task only, so there is nothing to average over."]


# --- leaderboard.md --------------------------------------------------------------------------------------------------


def test_sections_come_in_order_and_the_verdict_first(markdown):
    heads = re.findall(r"^## (.*)$", markdown, flags=re.MULTILINE)
    assert heads == [
        *("tumours", "three_digits", "one_split", "later_rows", "The results summary, as it is usually written"),
        *(
            "Does the strategy help?",
            "Over all tasks",
            "Failures",
            "Protocol, data, versions",
        ),
    ]
    assert markdown.splitlines()[2].startswith(
        "- On **tumours**, use logistic_regression/none/tuned: average precision"
    )


def test_at_most_fifteen_rows_are_in_sight_and_the_majority_row_is_one_of_them(markdown):
    seen = re.sub(r"<details>.*?</details>", "", markdown, flags=re.DOTALL)
    assert max(len(format_table) - 1 for format_table in tables(seen)) == 15
    ranked = [format_table for format_table in tables(seen) if format_table[0][:2] == ["#", "Entry"]]
    assert len(ranked) == 8
    assert all("majority/none/tuned = default" in [row[1] for row in format_table] for format_table in ranked)


def test_nothing_of_the_ranking_is_lost_in_folding(markdown):
    section = markdown.split("## one_split")[1].split("\n## ")[0]
    quality = [row[1] for format_table in tables(section) if format_table[0][2:3] == ["AP"] for row in format_table[1:]]
    assert len(quality) == len(set(quality)) == 18


def test_what_failed_is_grouped_by_reason(markdown):
    rows = {
        tuple(row[:2]): row[2:]
        for format_table in tables(markdown)
        if format_table[0][0] == "What"
        for row in format_table[1:]
    }
    assert rows["failed", "ValueError: Number of priors \\| must match"] == [
        "3 cells",
        "three_digits/bayes/class_weight ×3",
    ]
    assert rows["inapplicable", "nothing to search"] == ["4 cells", "tumours/bayes/searched ×4"]
    assert rows["missing", "not run yet"] == ["1 cell", "tumours/bayes/class_weight"]
    assert [where for (what, _), where in rows.items() if what == "skipped"] == [["family", "xgb"]]
    (lost,) = re.findall(r"Of 91 planned cells, (.*?), so", markdown)
    assert (
        lost == "9 ended without predictions (failed 3, timeout 1, memory 1, inapplicable 4) and 1 has not been run yet"
    )


def test_every_table_has_as_many_cells_in_each_row_as_in_its_header(markdown):
    assert all(len(row) == len(format_table[0]) for format_table in tables(markdown) for row in format_table)


def test_protocol_names_what_it_takes_to_do_it_again(markdown):
    section = markdown.split("## Protocol")[1]
    assert "evenhand run --task tumours --seed 7 --out results/small" in section
    assert "scikit-learn 1.9" in section
    assert str(PROTOCOL.seed) in [row[-1] for row in tables(section)[0]]


def test_hostile_names_are_text(tmp_path):
    hostile = replace(tumours("a|b`<script>*"), classes=("<b>No", "Y|es\n# 1"))
    text = write_leaderboard(write_run(tmp_path / "run", [hostile]), METRIC).details.read_text(encoding="utf-8")
    assert "<script>" not in text
    assert "<b>" not in text
    assert "\n# 1" not in text
    html = MarkdownIt("commonmark").enable("table").render(text)
    assert html.count("<table>") == len(tables(text))
    assert "a|b`&lt;script&gt;*" in html
    assert "called Y|es # 1" in html
    assert all(len(row) == len(format_table[0]) for format_table in tables(text) for row in format_table)


def test_figures_are_written_with_three_decimals_and_no_negative_nothing():
    assert [format_number(value) for value in (0.12345, -0.5, -0.0001, math.nan)] == ["0.123", "−0.500", "0.000", "–"]
    assert format_interval(0.5, 0.1, signed=True) == "+0.500 ± 0.100"
    assert format_interval(-0.5, math.nan, signed=True) == "−0.500"


def test_scores_that_are_not_perfect_are_never_written_as_if_they_were():
    assert choose_decimals([0.84, 0.9994, math.nan]) == 3
    assert choose_decimals([0.9998, 0.99996]) == 5
    assert choose_decimals([1.0, 0.9]) == 3
    assert (choose_decimals([0.0002], greater_is_better=False), choose_decimals([0.0002])) == (4, 3)
    cells = mark_best_cells([0.9998, 0.9996, math.nan], greater=True, digits=4)
    assert [cell.best for cell in cells] == [True, False, False]
    assert [format_percent(share) for share in (0, 0.005, 0.5, 0.996, 1)] == ["0 %", "0.5 %", "50 %", "99.6 %", "100 %"]


def test_columns_of_numbers_are_right_aligned_and_words_are_not():
    columns = (
        ReportColumn("Entry"),
        ReportColumn("Score", "number"),
        ReportColumn("Members", "count"),
        ReportColumn("p", "p_value"),
    )
    rows = (("a", ReportCell(0.5, mark="≈"), 2, None), ("b", ReportCell(1.25, best=True), "2 to 5", math.nan))
    rule = render_markdown_table(ReportTable(columns, rows)).splitlines()[1]
    assert [cell.strip()[-1] for cell in rule.split("|")[1:-1]] == ["-", ":", ":", "-"]


def test_names_stay_readable():
    assert escape("logistic_regression/none") == "logistic_regression/none"
    assert escape("_a_ *b* `c` [d] e|f <g> & #") == "\\_a\\_ \\*b\\* \\`c\\` \\[d\\] e\\|f &lt;g&gt; &amp; \\#"


@pytest.fixture(scope="module")
def short(store) -> str:
    write_leaderboard(store, METRIC)
    return (store.folder / "leaderboard.md").read_text(encoding="utf-8")


def test_the_leaderboard_says_per_task_what_to_use_and_has_one_table_of_entries(short, scores):
    heads = re.findall(r"^## (.*)$", short, flags=re.MULTILINE)
    assert heads == ["tumours", "three_digits", "one_split", "later_rows", "Over all tasks", "Failures"]
    for task in heads[:4]:
        section = short.split(f"\n## {task}\n")[1].split("\n## ")[0]
        assert section.count("- **Use**: ") == 1
        entries = [table for table in tables(section) if table[0][:2] == ["#", "Entry"]]
        assert len(entries) == 1
        assert ("Against the best" in entries[0][0]) == (task in ("tumours", "three_digits"))
        assert len(entries[0]) - 1 <= MAX_ENTRIES
        names = [row[1].removesuffix(" (recommended)") for row in entries[0][1:]]
        assert sum(row[1].endswith(" (recommended)") for row in entries[0][1:]) <= 1
        assert "majority/none/tuned = default" in names
        assert rank_entries(scores, task).best.name in names
        assert not [name for name in names if "/chosen" in name or "/ensembled" in name]
        assert section.count("| Model | Accuracy | ROC AUC |") == section.count("| Method | Accuracy |") == 1


def test_derived_entries_have_a_table_of_their_own_in_which_any_has_one_meaning(short):
    derived = next(table for table in tables(short) if table[0][0] == "Derived")
    names = {row[0] for row in derived[1:]}
    assert {"best inner score of all", "greedy ensemble of all entries"} <= names
    assert not re.search(r"\bany/", short)


def test_the_matrix_of_strategies_has_the_readings(short, scores):
    matrix = tabulate_strategy_readings(scores, "tumours")
    readings = [found for found in strategy_readings(scores, "tumours") if found.reading != NO_READING]
    assert [row[0] for row in matrix.rows] == list(dict.fromkeys(found.family for found in readings))
    assert render_markdown_table(matrix, padded=False) in short
    assert tabulate_strategy_readings(scores, "one_split") is None


def test_summary_is_short(store):
    text = write_leaderboard(store, METRIC).summary
    assert all(part.count("\n") <= 14 for part in text.split("\n\n"))
    assert text.startswith("tumours, ranked by AP\nUse:         logistic_regression/none/tuned: average precision")
    assert "**" not in text


# --- again -----------------------------------------------------------------------------------------------------------


def test_rendering_again_gives_the_same_bytes_with_and_without_derived_figures(copy):
    def render() -> list[bytes]:
        files = write_leaderboard(copy, METRIC)
        return [path.read_bytes() for path in (files.markdown, files.details, files.csv, files.scores)]

    first = render()
    assert render() == first
    kept = copy.folder / "derived" / "metrics"
    whole = kept.read_text()
    for broken in ("", whole[: len(whole) // 2], whole.replace('"f1@1":0.', '"f1@1":1.')):
        kept.write_text(broken)
        assert render() == first
    assert kept.read_text() == whole
    shutil.rmtree(copy.folder / "derived")
    assert render() == first


@pytest.mark.parametrize("metric_type", ["ranking", "decision", "probability"])
def test_a_metric_of_a_plugin_is_in_every_table_of_its_kind(store, tmp_path, metric_type):
    copy = Store(shutil.copytree(store.folder, tmp_path / "copy"))
    own = Metric(name="own", compute=lambda p: float(p.proba[:, -1].mean()), metric_type=metric_type, label="Own")
    scores = collect_scores(copy, METRIC | {"own": own})
    text = write_leaderboard(copy, METRIC | {"own": own}).details.read_text(encoding="utf-8")
    for task, kinds in (("tumours", ["half", "tuned"]), ("three_digits", [""])):
        ranking = rank_entries(scores, task)
        with_own, without_own = tabulate_quality(scores, ranking), tabulate_effort(scores, ranking)
        if metric_type == "probability":
            with_own, without_own = without_own, with_own
        assert "Own" not in column_headings(without_own)
        assert render_markdown_table(with_own) in text
        position = column_headings(with_own).index("Own")
        cells = {row[1]: row[position].value for row in with_own.rows}
        assert cells[ranking.best.name] == ranking.best.rows.mean("own")
        columns = [column for column in build_leaderboard(scores, ranking).columns if column.label == "Own"]
        group = "probabilities" if metric_type == "probability" else "decisions"
        assert [column.group for column in columns] == [group] * len(columns)
        assert [column.kind for column in columns] == (kinds if metric_type == "decision" else [""])


@pytest.mark.parametrize(("metric_type", "table"), [("decision", tabulate_quality), ("probability", tabulate_effort)])
def test_a_metric_of_a_plugin_that_needs_costs_or_two_classes_is_where_it_is_defined(
    store, tmp_path, metric_type, table
):
    copy = Store(shutil.copytree(store.folder, tmp_path / "copy"))

    def mean_of_first_class(predictions) -> float:  # it differs between entries: constant columns are left out
        return float(predictions.proba[:, 0].mean())

    regret = Metric(name="regret", compute=mean_of_first_class, metric_type=metric_type, needs_costs=True)
    pair = Metric(name="pair", compute=mean_of_first_class, metric_type=metric_type, binary_only=True)
    run = copy.read_run()
    run["tasks"]["tumours"]["costs"] = [[0, 1], [5, 0]]
    copy.write_run(run)
    scores = collect_scores(copy, METRIC | {"regret": regret, "pair": pair})
    displayed = {}
    for task in ("tumours", "one_split", "three_digits"):
        ranking = rank_entries(scores, task)
        displayed[task] = [name for name in column_headings(table(scores, ranking)) if name in ("regret", "pair")]
        labels = [column.label for column in build_leaderboard(scores, ranking).columns]
        assert list(dict.fromkeys(name for name in labels if name in ("regret", "pair"))) == displayed[task]
    assert displayed == {"tumours": ["regret", "pair"], "one_split": ["pair"], "three_digits": []}


def test_figures_are_computed_once_per_version(copy):
    asked = []

    def compute(predictions) -> float:
        asked.append(len(predictions.y))
        return 1.0

    hits = Metric(name="hits", compute=compute, metric_type="decision")
    collect_scores(copy, METRIC | {"hits": hits})
    often = len(asked)
    cells = 4 * 7
    calibrations = 4 * (3 * 6 + 2)  # three of all but the majority row's, the prior of what is weighted
    assert often == 2 * (2 * cells + calibrations + 2 * 4)  # thresholds: two stages, calibrations, two ensembles
    collect_scores(copy, METRIC | {"hits": hits})
    assert len(asked) == often
    collect_scores(copy, METRIC | {"hits": replace(hits, version=2)})
    assert len(asked) == 2 * often


def test_other_costs_make_figures_of_probabilities_anew_that_look_at_costs(copy):
    def compute(predictions) -> float:
        return float(predictions.costs[1][0] * predictions.proba[:, 1].mean())

    metrics = METRIC | {"risk": Metric(name="risk", compute=compute, metric_type="probability", needs_costs=True)}
    found, run = [], copy.read_run()
    for dear in (5, 10):
        run["tasks"]["tumours"]["costs"] = [[0, 1], [dear, 0]]
        copy.write_run(run)
        found.append(collect_scores(copy, metrics).score_rows_of_entry("tumours", NONE_TUNED, "half")["risk"])
    assert found[1] == pytest.approx(2 * found[0])


def test_with_derived_figures_no_predictions_are_read(copy):
    first = write_leaderboard(copy, METRIC).csv.read_bytes()
    for path in copy.folder.glob("cells/*/predictions.npz"):
        path.write_bytes(b"nobody reads this")
    assert write_leaderboard(copy, METRIC).csv.read_bytes() == first


def test_predictions_that_went_away_are_said_with_derived_figures_as_without(copy):
    write_leaderboard(copy, METRIC)
    record = cells(copy, "tumours", "logistic_regression", "none")[0]
    (copy.cell_folder(record.id) / "predictions.npz").unlink()
    files = write_leaderboard(copy, METRIC)
    assert line(pd.read_csv(files.csv), "tumours", NONE_TUNED.name).status == "ok 3, failed 1"
    said = files.details.read_text(encoding="utf-8")
    assert "predictions.npz: No such file" in said
    shutil.rmtree(copy.folder / "derived")
    assert write_leaderboard(copy, METRIC).details.read_text(encoding="utf-8") == said


def spoilt(store, record, **changed):
    """Predictions of a cell of which some are others, and a record that vouches for them."""
    shutil.rmtree(store.folder / "derived", ignore_errors=True)
    store.write_cell(record, replace(store.read_predictions(record), **changed))


def test_a_cell_with_probabilities_that_are_no_numbers_costs_that_cell_only(copy):
    record = cells(copy, "tumours", "logistic_regression", "none")[0]
    test = copy.read_predictions(record).test
    spoilt(copy, record, test=test | {"tuned": np.full_like(test["tuned"], np.nan)})
    board = pd.read_csv(write_leaderboard(copy, METRIC).csv)
    assert line(board, "tumours", NONE_TUNED.name).status == "ok 3, failed 1"
    assert line(board, "tumours", "bayes/none/tuned").status == "ok"
    assert "the probabilities of tuned are not all numbers" in (copy.folder / "details.md").read_text()


def test_a_cell_with_other_classes_costs_that_cell_only(copy):
    record = cells(copy, "tumours", "logistic_regression", "none")[0]
    stored = copy.read_predictions(record)
    three = [{stage: np.pad(p, ((0, 0), (0, 1))) for stage, p in said.items()} for said in (stored.test, stored.inner)]
    spoilt(copy, record, test=three[0], inner=three[1])
    board = pd.read_csv(write_leaderboard(copy, METRIC).csv)
    assert line(board, "tumours", NONE_TUNED.name).status == "ok 3, failed 1"
    assert "are of 3 classes, not of 2" in (copy.folder / "details.md").read_text()


@pytest.mark.parametrize("damage", ["record", "folder"])
def test_a_cell_that_cannot_be_read_costs_that_cell_only(copy, damage):
    record = cells(copy, "tumours", "logistic_regression", "none")[0]
    folder = copy.cell_folder(record.id)
    if damage == "record":
        (folder / "record.json").write_text("{")
    else:
        shutil.rmtree(folder)
        folder.write_text("no folder")
    board = pd.read_csv(write_leaderboard(copy, METRIC).csv)
    assert line(board, "tumours", NONE_TUNED.name).status == "ok 3, failed 1"
    assert f"cannot read {folder / 'record.json'}" in (copy.folder / "details.md").read_text()


def test_predictions_that_are_not_what_the_record_vouches_for_count_as_failed(copy):
    shutil.rmtree(copy.folder / "derived", ignore_errors=True)
    record = cells(copy, "tumours", "logistic_regression", "none")[0]
    (copy.cell_folder(record.id) / "predictions.npz").write_bytes(b"no predictions")
    board = pd.read_csv(write_leaderboard(copy, METRIC).csv)
    assert line(board, "tumours", NONE_TUNED.name).status == "ok 3, failed 1"
    assert "SHA-256 differs" in (copy.folder / "details.md").read_text()


def test_a_record_of_other_data_or_declarations_does_not_count(copy):
    run = copy.read_run()
    for cell in run["cells"]:
        cell["key"] += "of another space" if cell["family"] == "bayes" else ""
    copy.write_run(run)
    board = pd.read_csv(write_leaderboard(copy, METRIC).csv)
    assert line(board, "tumours", "bayes/none/tuned").status == "missing 4"


def test_a_run_that_has_just_begun_has_tables(tmp_path):
    files = write_report(write_run(tmp_path / "run", [tumours()], dict.fromkeys(all_cells())), METRIC)
    text = files.details.read_text(encoding="utf-8")
    assert "On **tumours**, use none; nothing has been evaluated yet." in text
    assert set(pd.read_csv(files.csv).status) == {"missing 4"}
    assert "nothing has been evaluated yet" in files.summary


def all_cells() -> list[tuple[str, str, str, int]]:
    pairs = [
        ("majority", "none"),
        *((f, s) for f in ("logistic_regression", "bayes") for s in ("none", "class_weight", "searched")),
    ]
    return [("tumours", family, strategy, fold) for family, strategy in pairs for fold in range(PROTOCOL.folds)]


@pytest.mark.parametrize("face", ["decision", "probability", "ranking"])
def test_a_metric_that_fails_costs_its_own_column_and_is_named_in_one_line(copy, face):
    broken = Metric(name="broken", compute=lambda _: 1 / 0, metric_type=face, label="Broken")
    expected, scores = collect_scores(copy, METRIC), collect_scores(copy, METRIC | {"broken": broken})
    assert scores.by_entry.keys() == expected.by_entry.keys()
    for key, rows in expected.by_entry.items():
        assert np.isnan(scores.by_entry[key]["broken"]).all()
        for name, column in rows.columns.items():
            assert np.array_equal(scores.by_entry[key].columns[name], column, equal_nan=True)
    assert scores.metric_failures.keys() == {"broken"}
    message = r"metric 'broken' fails on \w+/.*: ZeroDivisionError: division by zero"
    assert all(re.fullmatch(message, reason) for reason in scores.metric_failures["broken"])
    for _ in range(2):  # the second report computes only what failed
        text = write_leaderboard(copy, METRIC | {"broken": broken}).details.read_text(encoding="utf-8")
        assert len(re.findall(r"metric failed \| metric 'broken' fails on .*ZeroDivisionError", text)) == 1


def test_a_metric_that_writes_into_predictions_falsifies_no_other(copy):
    def compute(predictions):
        predictions.proba[:] = predictions.proba[::-1].copy()
        return 0.0

    spoiler = Metric(name="a_spoiler", compute=compute, metric_type="probability")
    expected, scores = collect_scores(copy, METRIC), collect_scores(copy, {"a_spoiler": spoiler} | METRIC)
    for key, rows in expected.by_entry.items():
        for name, column in rows.columns.items():
            assert np.array_equal(scores.by_entry[key].columns[name], column, equal_nan=True)
    assert "read-only" in scores.metric_failures["a_spoiler"][0]


def test_an_objective_that_fails_leaves_a_report(copy):
    objective = collect_scores(copy, METRIC).objective("tumours").name
    broken = replace(METRIC[objective], compute=lambda _: 1 / 0, version=99)
    text = write_leaderboard(copy, METRIC | {objective: broken}).details.read_text(encoding="utf-8")
    assert f"metric '{objective}' fails on" in text.replace("\\_", "_")


def test_a_folder_that_is_no_run_says_so(tmp_path):
    with pytest.raises(StoreError, match="is not a run folder"):
        write_report(Store(tmp_path), METRIC)
