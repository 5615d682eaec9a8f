"""Complexity against quality, which family suits which data, and the pictures."""

import math
import re
import shutil
from dataclasses import replace
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from fixtures_across import drawn, rankings_of, scores_of
from fixtures_curves import LOST, with_curves
from fixtures_run import three_digits, tumours, write_run
from test_report import METRIC

from harness.evaluation.ranking import rank_entries
from harness.evaluation.score_collection import collect_scores
from harness.evaluation.scores import Entry
from harness.evaluation.training import NetworkFit, entry_costs, pareto_front
from harness.report.content import Evidence
from harness.report.figures.style import Box, _segments_cross, nearest_point_of_box, position_labels
from harness.report.figures.training import loss_curves_figure
from harness.report.figures.writer import report_file_name
from harness.report.render.cells import column_headings, format_table_rows
from harness.report.sections.suitability import (
    compare_families_over_tasks,
    describe_suitability,
    make_suitability_sections,
)
from harness.report.sections.training import round_loss_curves, tabulate_complexity
from harness.report.write import write_leaderboard, write_report
from harness.store.store import Store

#: `bayes` takes tables but no pictures.
NO_PICTURES = {
    ("three_digits", "bayes", strategy, fold): ("inapplicable", "bayes does not take image data")
    for strategy in ("none", "class_weight", "searched")
    for fold in range(4)
}


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Store:
    return with_curves(tmp_path_factory.mktemp("runs") / "small", [tumours(), three_digits()], LOST)


@pytest.fixture(scope="module")
def kinds(tmp_path_factory) -> Store:
    """A task of tables and one of pictures."""
    digits = replace(three_digits(), about={"modality": "image"})
    return write_run(tmp_path_factory.mktemp("runs") / "kinds", [tumours(), digits], NO_PICTURES)


# --- complexity ------------------------------------------------------------------------------------------------------


def test_the_front_holds_what_no_other_beats_at_its_cost():
    costs, scores = [1, 2, 3, 3, 5], [0.5, 0.7, 0.6, 0.9, 0.9]
    assert pareto_front(costs, scores) == [True, True, False, True, False]
    assert pareto_front(costs, [-score for score in scores], greater=False) == [True, True, False, True, False]


def test_equal_points_are_both_on_the_front_and_unknown_ones_never():
    assert pareto_front([1, 1, float("nan")], [0.5, 0.5, 0.9]) == [True, True, False]
    assert pareto_front([], []) == []


def test_everything_off_the_front_is_beaten_by_something_on_it():
    rng = np.random.default_rng(0)
    costs, scores = rng.random(60), rng.random(60)
    front = pareto_front(costs.tolist(), scores.tolist())
    for cost, score, on in zip(costs, scores, front, strict=True):
        better = (costs <= cost) & (scores >= score) & np.array(front)
        assert better.any()
        assert not on or better.sum() == 1


def test_the_table_holds_the_means_of_what_the_records_say(store):
    ranking = rank_entries(collect_scores(store, METRIC), "tumours")
    table = tabulate_complexity(ranking)
    header = [column.heading for column in table.columns]
    found = next(dict(zip(header, row, strict=True)) for row in table.rows if row[0] == "bayes/none/tuned")
    outcomes = [
        outcome
        for record in store.read_every_record()
        if (record.task, record.family, record.strategy) == ("tumours", "bayes", "none")
        for outcome in record.outcomes
        if outcome.stage == "tuned"
    ]
    assert found["Parameters"] == 99
    assert found["Size kB"] == pytest.approx(np.mean([o.model_bytes for o in outcomes]) / 1000)
    assert found["Fit s"] == pytest.approx(np.mean([o.fit_seconds for o in outcomes]))
    assert not any(row[0].startswith("majority") for row in table.rows)
    linear = next(
        dict(zip(header, row, strict=True)) for row in table.rows if row[0] == "logistic_regression/none/tuned"
    )
    assert math.isnan(linear["Parameters"])
    assert math.isnan(linear["Size kB"])


def test_the_best_entry_is_on_the_front_of_every_cost_that_is_known(store):
    best = entry_costs(rank_entries(collect_scores(store, METRIC), "tumours"))[0]
    assert {"fit_seconds", "predict_us_per_row"} <= set(best.fronts)


def test_parameters_and_size_are_columns_of_the_leaderboard(store):
    board = pd.read_csv(write_leaderboard(store, METRIC).csv)
    line = board[(board.task == "tumours") & (board.entry == "bayes/none/tuned")].iloc[0]
    assert (line.parameters, line.model_bytes) == (99, 99 * 4 + 500)
    assert board[board.family == "majority"][["parameters", "model_bytes"]].isna().all(axis=None)


# --- which family suits which data -----------------------------------------------------------------------------------


def test_families_stand_against_tasks_with_their_kind_of_data(kinds):
    scores = collect_scores(kinds, METRIC)
    rankings = [rank_entries(scores, task) for task in scores.run["tasks"]]
    _, table = compare_families_over_tasks(scores, rankings)
    assert column_headings(table) == ["Family", "tumours (tabular, AP)", "three_digits (image, ROC AUC)"]
    found = {row[0]: row[1:] for row in table.rows}
    assert found["bayes"][1].value == "n/a"
    chosen = rankings[0].find_line("bayes", "any", "chosen")
    assert found["bayes"][0].value == chosen.score.mean
    accuracy = rankings[1].find_line("majority", "none", "tuned").rows.mean("accuracy")
    texts = {row[0]: row[1:] for row in format_table_rows(table)}
    assert texts["majority"] == ["0.144", f"0.500 ({accuracy:.3f})"]


def test_the_page_says_mean_ranks_by_kind_of_data_once_and_the_markdown_its_list():
    lines = {("xgb", "none"): 0.02, ("bayes", "none"): 0.0, ("net", "none"): 0.01}
    scores = scores_of(drawn(6, lines), task_01={"modality": "text"})
    rankings = tuple(rankings_of(scores))
    text, _, _, groups = make_suitability_sections(Evidence(None, scores, rankings))[0].parts
    assert "text" in [row[0] for row in groups.rows]
    assert describe_suitability(scores, rankings)[0] == text
    assert describe_suitability(scores, rankings)[-1].startswith("Lowest mean ranks")


def test_a_family_is_what_inner_scores_chose_else_its_first_tuned_entry_else_what_optuna_searched():
    figures = {("xgb", "none"): [0.5] * 3, ("xgb", "searched"): [0.9] * 3, ("bayes", "searched"): [0.8] * 3}
    scores = scores_of({"one": figures | {("net", "none"): [None] * 3, ("net", "searched"): [None] * 3}})
    ranking = rankings_of(scores)[0]
    assert [ranking.family_entry(name).entry.strategy for name in ("xgb", "bayes")] == ["none", "searched"]
    assert ranking.family_entry("net") is None
    chosen = Entry("xgb", "any", "chosen")
    made = {
        ("one", chosen, kind): scores.score_rows_of_entry("one", Entry("xgb", "none", "tuned"), kind)
        for kind in ("half", "tuned")
    }
    chose = rank_entries(replace(scores, by_entry={**scores.by_entry, **made}), "one")
    assert chose.family_entry("xgb").entry == chosen


def test_a_line_is_that_of_the_whole_entry():
    ranking = rankings_of(scores_of({"one": {("xgb", "none"): [0.5] * 3}}))[0]
    line = ranking.find_line("xgb", "none")
    other = replace(line, entry=line.entry._replace(calibration="isotonic"))
    both = replace(ranking, entries=(other, line))
    assert both.find_line("xgb", "none") == both.resolve_entry(line.entry) == line
    assert both.resolve_entry(other.entry) == other


def test_the_best_families_of_each_kind_are_named_and_one_that_does_not_take_it_is_not(kinds):
    text = write_leaderboard(kinds, METRIC).details.read_text(encoding="utf-8")
    assert "- tabular, 1 task: logistic_regression (1.0) and bayes (2.0)" in text
    assert "- image, 1 task: logistic_regression (1.0)\n" in text


def test_many_tasks_stand_below_one_another(tmp_path):
    store = write_run(tmp_path / "run", [tumours(name, splits=1) for name in ("one", "two", "three", "four")])
    scores = collect_scores(store, METRIC)
    # Without a list by kind of data, as there is one kind only.
    _, table = describe_suitability(scores, [rank_entries(scores, task) for task in scores.run["tasks"]])
    assert column_headings(table) == ["Task", "majority", "logistic_regression", "bayes"]


def test_a_family_that_failed_says_so(tmp_path):
    lost = {
        ("tumours", "bayes", s, f): ("timeout", "slow") for s in ("none", "class_weight", "searched") for f in range(4)
    }
    scores = collect_scores(write_run(tmp_path / "run", [tumours(splits=1), three_digits()], LOST | lost), METRIC)
    _, table = compare_families_over_tasks(scores, [rank_entries(scores, task) for task in scores.run["tasks"]])
    assert [row[1].value for row in table.rows if row[0] == "bayes"] == ["timeout"]


# --- pictures --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def leaderboard_text(store) -> str:
    """The leaderboard of a report whose figures are drawn."""
    return write_report(store, METRIC).details.read_text(encoding="utf-8")


def test_every_picture_shown_is_there_as_svg(store, leaderboard_text):
    shown = re.findall(r"!\[[^\]]+\]\((figures/[^)]+)\.svg\)", leaderboard_text)
    assert [name.removeprefix("figures/tumours.") for name in shown[:3]] == [
        "complexity",
        "training.bayes",
        "layers.bayes",
    ]
    assert len(shown) == len(set(shown)) == 6
    for name in shown:
        assert (store.folder / f"{name}.svg").read_text(encoding="utf-8").rstrip().endswith("</svg>")


def test_pictures_drawn_again_are_the_same_and_unchanged_ones_are_left_alone(store, leaderboard_text, tmp_path):
    copy = Store(shutil.copytree(store.folder, tmp_path / "copy"))
    first = {path.name: path.read_bytes() for path in (copy.folder / "figures").iterdir()}
    times = {path.name: path.stat().st_mtime_ns for path in (copy.folder / "figures").iterdir()}
    kinds = {name.partition(".")[2]: name for name in first if name.endswith(".svg")}  # a figure of every kind
    missing = set()
    for name in kinds.values():
        (copy.folder / "figures" / name).unlink()
        missing.add(name)
    write_report(copy, METRIC)
    assert {path.name: path.read_bytes() for path in (copy.folder / "figures").iterdir()} == first
    again = {path.name: path.stat().st_mtime_ns for path in (copy.folder / "figures").iterdir()}
    assert {name for name in again if again[name] != times[name]} == missing
    assert 5 < len(missing) < len(first)


def test_a_picture_s_file_has_a_plain_name_whatever_its_task_is_called():
    assert report_file_name("telco_churn", "training", "dense_network") == "telco_churn.training.dense_network"
    hostile = report_file_name("../a|b`<script>$x$", "complexity")
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", hostile)
    assert hostile != report_file_name("../a|b`<script>$y$", "complexity")


def test_hostile_names_are_drawn_as_they_are(tmp_path):
    store = with_curves(tmp_path / "run", [replace(tumours("a$|$b", splits=1), classes=("$No", "Yes$"))])
    assert len(re.findall(r"!\[", write_leaderboard(store, METRIC).details.read_text(encoding="utf-8"))) == 3


def test_losses_over_several_magnitudes_have_plain_numbers_at_their_axis():
    epochs = np.arange(40)
    curves = {name: np.exp(-epochs / 5) for name in ("train_loss", "validation_loss")} | {"epoch": np.array([40])}
    drawn = loss_curves_figure([("none", round_loss_curves([NetworkFit((0, 0), curves)]))]).decode()
    assert {"0.01", "0.1", "1"} <= set(re.findall(r">([^<>]+)</text>", drawn))  # the texts of the picture
    assert "math" not in drawn


FRAME = Box(0, 0, 600, 400)


@pytest.mark.parametrize("seed", range(5))
def test_labels_hide_neither_points_nor_each_other_nor_leave_the_frame(seed):
    rng = np.random.default_rng(seed)
    anchors = [(float(x), float(y)) for x, y in rng.uniform((20, 20), (580, 380), (8, 2))]
    points = [Box(x - 5, y - 5, x + 5, y + 5) for x, y in anchors]
    boxes = position_labels(anchors, [(150, 12)] * 8, points, FRAME)
    assert all(one.overlap_area(other) < 1e-6 for one, other in combinations([*boxes, *points], 2) if one in boxes)
    assert all(box.area_outside(FRAME) < 1e-6 for box in boxes)


def test_lines_from_points_to_their_labels_do_not_cross():
    anchors = [(300.0 + 6 * at, 380.0 - at) for at in range(6)]
    points = [Box(x - 6, y - 6, x + 6, y + 6) for x, y in anchors]
    boxes = position_labels(anchors, [(180, 12)] * 6, points, FRAME)
    lines = [(point, nearest_point_of_box(point, box)) for point, box in zip(anchors, boxes, strict=True)]
    assert not [1 for one, other in combinations(lines, 2) if _segments_cross(one, other)]


def test_a_label_alone_stands_right_beside_its_point_and_at_the_edge_on_the_other_side():
    (beside,) = position_labels([(100, 100)], [(50, 10)], [], FRAME)
    assert (beside.x0, (beside.y0 + beside.y1) / 2) == (109, 100)
    (turned,) = position_labels([(590, 100)], [(50, 10)], [], FRAME)
    assert turned.x1 == 581
