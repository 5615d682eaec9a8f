"""The map of strategies against doing nothing: its tiles, verdicts and counts against the differences they come from."""

import math
import re
from dataclasses import replace

import numpy as np
import pytest
from fixtures_across import rankings_of, scores_of
from fixtures_run import tumours, write_run
from scipy import stats

from harness.evaluation.corrected_t import Estimate
from harness.evaluation.ranking import rank_entries
from harness.evaluation.score_collection import collect_scores
from harness.evaluation.scores import Scores
from harness.evaluation.strategy_effects import (
    NOT_SIGNIFICANT,
    StrategyDifference,
    StrategyReading,
    read_strategy_directions,
    strategy_comparisons,
    strategy_counts,
    strategy_readings,
)
from harness.metrics.classification import METRICS
from harness.report.content import Evidence, Figure
from harness.report.figures.imbalance import PALE_DEPTH, Heatmap, HeatmapCell, colour_depths, heatmap_figure
from harness.report.render.cells import MISSING_DASH
from harness.report.render.markdown import render_markdown_part
from harness.report.sections.imbalance import describe_strategies_by_family, make_strategy_sections
from harness.report.sections.overview import summarize_over_tasks

METRIC = {metric.name: metric for metric in METRICS}


@pytest.fixture(scope="module")
def evidence(full_run) -> Evidence:
    return evidence_of(full_run)


def evidence_of(store) -> Evidence:
    scores = collect_scores(store, METRIC)
    return Evidence(store, scores, tuple(rank_entries(scores, task) for task in scores.run["tasks"]))


def picture_of(evidence: Evidence, task: str) -> Figure:
    section = next(one for one in make_strategy_sections(evidence) if one.task == task)
    return next(part for part in section.parts if isinstance(part, Figure))


def words_of(evidence: Evidence, task: str) -> str:
    section = next(one for one in make_strategy_sections(evidence) if one.task == task)
    return "\n".join(render_markdown_part(part) for part in section.parts if not isinstance(part, Figure))


def reading(family: str, strategy: str, better: tuple[int, ...]) -> StrategyReading:
    estimate = Estimate(0.01, 0.02, 0.5, 5)
    return StrategyReading(
        StrategyDifference(family, strategy, 5, (estimate,) * len(better), ("undecided",) * len(better)),
        better,
        read_strategy_directions(list(better)),
    )


def test_tiles_are_the_differences_of_the_table_and_coloured_by_what_is_better(evidence):
    rows, columns, panels = picture_of(evidence, "tumours").draw.args
    assert [panel.title for panel in panels] == [
        "Δ AP",
        "Δ Cost, both at 0.5 (less is better)",
        "Δ Recall, both at 0.5",
        "Δ Precision, both at 0.5",
        "Δ Cost, both tuned (less is better)",
        "Δ Brier (less is better)",
    ]
    compared = range(len(strategy_comparisons(evidence.scores, "tumours")))
    for one in strategy_readings(evidence.scores, "tumours"):
        across, down = columns.index(one.difference.family), rows.index(one.difference.strategy)
        for panel, at in zip(panels, compared, strict=True):
            tile, found = panel.cells[down][across], one.difference.estimates[at]
            sign = -1 if "less is better" in panel.title else 1
            assert tile.value == pytest.approx(sign * found.mean)
            assert tile.marked == bool(one.directions[at])
            assert f"{abs(found.mean):.3f}" in tile.text
            assert (f"± {found.ci_half_width:.3f}" in tile.text) == (not math.isnan(found.ci_half_width))


def test_pairs_without_figures_are_empty_tiles(evidence):
    rows, columns, panels = picture_of(evidence, "tumours").draw.args
    empty = panels[0].cells[rows.index("searched")][columns.index("bayes")]
    assert math.isnan(empty.value)
    assert empty.text == MISSING_DASH


def test_what_only_shifts_the_probabilities_has_worse_ones_and_nothing_else(tmp_path):
    """A strategy that says what `none` says to the power of 0.05, tuned threshold included: same ranking, same decisions."""
    store = write_run(tmp_path / "run", [tumours()])
    records = {(r.family, r.strategy, r.fold): r for r in store.read_every_record()}
    for (family, strategy, fold), record in records.items():
        if (family, strategy) == ("logistic_regression", "class_weight"):
            plain, said = records[family, "none", fold], store.read_predictions(records[family, "none", fold])
            test = {stage: np.column_stack([1 - p[:, 1] ** 0.05, p[:, 1] ** 0.05]) for stage, p in said.test.items()}
            outcomes = tuple(replace(o, threshold=o.threshold**0.05) for o in plain.outcomes)
            store.write_cell(replace(record, outcomes=outcomes), replace(said, test=test))
    evidence = evidence_of(store)
    rows, columns, panels = picture_of(evidence, "tumours").draw.args
    ranking, _, _, _, tuned, probability = (
        one.cells[rows.index("class_weight")][columns.index("logistic_regression")] for one in panels
    )
    assert (ranking.value, tuned.value) == pytest.approx((0, 0))
    assert (probability.marked, ranking.marked, tuned.marked) == (True, False, False)
    assert probability.value < 0
    assert "worse probabilities with class_weight" in words_of(evidence, "tumours")


def test_a_verdict_names_every_strategy_once_and_says_what_it_does():
    found = describe_strategies_by_family(
        [
            reading("forest", "smote", (1, 0, 0, 0, 0)),
            reading("forest", "weight", (0, 1, 0, 0, -1)),
            reading("forest", "under", (-1, 0, 0, 0, -1)),
            reading("forest", "over", (0, 0, 0, 0, 0)),
            reading("linear", "smote", (0, 0, 0, 0, 0)),
            reading("mixed", "smote", (1, 0, 0, -1, 0)),
        ]
    )
    assert found == {
        "forest": "smote helps; under hurts; weight acts like another threshold, no other gain shown; of over nothing can be told; "
        "worse probabilities with weight and under.",
        "linear": "of ranking and decisions nothing can be told.",
        "mixed": "smote both helps and hurts.",
    }


def test_several_strategies_take_the_plural():
    found = describe_strategies_by_family([reading("forest", name, (1, 0, 0, 0, 0)) for name in ("smote", "weight")])
    assert found["forest"] == "smote and weight help."


@pytest.mark.parametrize("task", ["one_split", "later_rows"])
def test_where_nothing_is_claimed_there_is_a_sentence_and_no_interval(evidence, task):
    words = words_of(evidence, task)
    assert "No reading: " in words
    tiles = [tile for panel in picture_of(evidence, task).draw.args[2] for line in panel.cells for tile in line]
    assert not any(tile.marked for tile in tiles)
    assert not any("±" in tile.text for tile in tiles)


def test_several_classes_have_three_panels(evidence):
    assert [panel.title for panel in picture_of(evidence, "three_digits").draw.args[2]] == [
        "Δ ROC AUC",
        "Δ F1",
        "Δ Brier (less is better)",
    ]


def test_counts_over_tasks_add_up(evidence):
    read = {ranking.task: strategy_readings(evidence.scores, ranking.task) for ranking in evidence.rankings}
    for one in strategy_counts(evidence.scores, read):
        who = (one.family, one.strategy)
        everywhere = [r for some in read.values() for r in some]
        mine = [r for r in everywhere if (r.difference.family, r.difference.strategy) == who]
        assert one.tasks == len(mine) == one.readings.total()
        assert one.readings[MISSING_DASH] == sum(r.reading == MISSING_DASH for r in mine)
        assert one.readings[NOT_SIGNIFICANT] == sum(
            r.reading != MISSING_DASH and r.main_reading == NOT_SIGNIFICANT for r in mine
        )
        assert one.worse == sum(r.directions[-1] < 0 for r in mine)
        assert math.isnan(one.p)  # tasks of two objectives: their differences cannot be ranked together


def test_one_task_has_no_section_over_tasks(tumours_run):
    found = make_strategy_sections(evidence_of(tumours_run))
    assert [section.task for section in found] == ["tumours"]


def test_tasks_of_one_objective_are_tested_together_from_six_on(tmp_path):
    names = [f"tumours_{at}" for at in range(6)]
    evidence = evidence_of(write_run(tmp_path / "run", [tumours(name) for name in names]))
    read = {name: strategy_readings(evidence.scores, name) for name in names}
    found = strategy_counts(evidence.scores, read)
    assert all(one.tasks == 6 for one in found)
    tested = {(one.family, one.strategy) for one in found if not math.isnan(one.p)}
    assert tested == {
        ("logistic_regression", "class_weight")
    }  # priors of bayes change no rank, `searched` is `none` here
    one = next(one for one in found if (one.family, one.strategy) == ("logistic_regression", "class_weight"))
    assert one.p == pytest.approx(2 / 64)  # the six tasks are the same, so all differences have one sign
    said = make_strategy_sections(evidence)[-1].parts[0]
    assert f"class_weight for logistic_regression ({'better' if one.mean_gain > 0 else 'worse'})" in said


SMOTE = ("xgb", "smote")
LITTLE = np.array([0.01, -0.01, 0.02, 0.0, -0.02]) / 10  #: chance over five splits


def scores_with(figures: dict[tuple[str, str], dict[str, dict[str, float]]], tasks: int = 1, **about: object) -> Scores:
    """Entries with these means by threshold kind and metric, on so many tasks alike, with a little chance of their own."""
    names = [f"task_{at}" for at in range(tasks)]
    scores = scores_of({name: {entry: [0.5] * 5 for entry in figures} for name in names}, **dict.fromkeys(names, about))
    made = {}
    for (task, entry, kind), rows in scores.by_entry.items():
        means = figures[entry[:2]][kind]
        noise = np.roll(LITTLE, list(figures).index(entry[:2]))
        made[task, entry, kind] = replace(rows, columns={**rows.columns, **{m: v + noise for m, v in means.items()}})
    return replace(scores, by_entry=made)


def faces(ranking: float, decision: float, probability: float) -> dict[str, float]:
    return {
        "average_precision": ranking,
        "f1": decision,
        "mcc": decision,
        "brier": probability,
        "log_loss": probability,
    }


def decisions(metric: str) -> list[str]:
    return [f"{metric}, both at 0.5", "Recall, both at 0.5", "Precision, both at 0.5", f"{metric}, both tuned"]


@pytest.mark.parametrize(
    ("objective", "titles"),
    [
        ("average_precision", ["AP", *decisions("F1"), "Brier"]),
        ("roc_auc", ["ROC AUC", *decisions("F1"), "Brier"]),
        ("f1", ["AP", *decisions("F1"), "Brier"]),
        ("mcc", ["AP", *decisions("MCC"), "Brier"]),
        ("brier", ["AP", *decisions("F1"), "Brier"]),
        ("log_loss", ["AP", *decisions("F1"), "Log loss"]),
    ],
)
def test_every_face_is_compared_once_by_the_objective_where_it_looks_at_it(objective, titles):
    scores = scores_of({"one": {("xgb", "none"): [0.5] * 5}}, one={"objective": objective})
    assert [column.title for column in strategy_comparisons(scores, "one")] == [f"Δ {title}" for title in titles]


def test_several_classes_are_ranked_by_the_area_under_the_curve_where_the_objective_is_a_decision():
    scores = scores_of({"one": {("xgb", "none"): [0.5] * 5}}, one={"objective": "f1", "classes": ["a", "b", "c"]})
    assert [column.title for column in strategy_comparisons(scores, "one")] == ["Δ ROC AUC", "Δ F1", "Δ Brier"]


@pytest.mark.parametrize("objective", ["f1", "mcc", "average_precision"])
def test_what_only_moves_the_threshold_is_called_so_whatever_the_objective(objective):
    plain = {"half": faces(0.5, 0.3, 0.1), "tuned": faces(0.5, 0.6, 0.1)}
    moved = {"half": faces(0.5, 0.6, 0.1), "tuned": faces(0.5, 0.6, 0.1)}
    scores = scores_with({("xgb", "none"): plain, SMOTE: moved}, objective=objective)
    assert [one.reading for one in strategy_readings(scores, "task_0")] == [
        "acts like another threshold, no other gain shown"
    ]


def test_mixed_effects_over_the_tasks_are_not_called_none():
    plain, mixed = (
        dict.fromkeys(("half", "tuned"), faces(0.5, 0.5, 0.1)),
        dict.fromkeys(("half", "tuned"), faces(0.7, 0.3, 0.1)),
    )
    scores = scores_with({("xgb", "none"): plain, SMOTE: mixed}, tasks=2)
    said = summarize_over_tasks(scores, rankings_of(scores))
    assert "No strategy is shown" not in said
    assert "**smote** 0 and 0 of 2, and 2 to help in one respect and to hurt in another." in said


def test_over_tasks_the_direction_is_that_of_the_signed_ranks_and_not_of_the_mean():
    """Eleven tasks with a gain, of which the twelfth loses more than all together."""
    gains = [0.01 + 0.001 * at for at in range(11)] + [-0.5]
    figures = {f"task_{at:02d}": {("xgb", "none"): [0.6] * 5, SMOTE: [0.6 + gain] * 5} for at, gain in enumerate(gains)}
    scores = scores_of(figures)
    read = {task: strategy_readings(scores, task) for task in figures}
    one = strategy_counts(scores, read)[0]
    assert one.mean_gain < 0 < one.rank_sum
    assert one.p == pytest.approx(stats.wilcoxon(gains, method="exact").pvalue)
    found = make_strategy_sections(Evidence(None, scores, tuple(rankings_of(scores))))
    assert "smote for xgb (better)" in found[-1].parts[0]


def test_over_tasks_the_gain_is_of_ranking_whatever_the_objective():
    plain, better = ({kind: faces(ap, 0.5, 0.1) for kind in ("half", "tuned")} for ap in (0.5, 0.6))
    scores = scores_with({("xgb", "none"): plain, SMOTE: better}, tasks=6, objective="log_loss")
    one = strategy_counts(scores, {task: strategy_readings(scores, task) for task in scores.run["tasks"]})[0]
    assert (one.mean_gain, one.higher, one.p) == (pytest.approx(0.1), 6, pytest.approx(2 / 64))


def colours_of(heatmap: Heatmap) -> set[tuple[str, str]]:
    """The colours of the shapes of a figure of one heatmap with one row and three columns, and their opacities."""
    svg = heatmap_figure(["smote"], ["a", "b", "c"], [heatmap]).decode()
    return set(re.findall(r'fill="(#\w+)" (?:opacity|fill-opacity)="([\d.]+)"', svg))


def test_the_sign_of_a_cell_is_the_colour_and_unknown_ones_are_grey():
    row = (
        HeatmapCell(0.2, "+0.200", marked=True),
        HeatmapCell(-0.2, "−0.200", marked=True),
        HeatmapCell(math.nan, MISSING_DASH),
    )
    assert {("#0072b2", "0.7"), ("#d55e00", "0.7"), ("#808080", "0.1")} <= colours_of(Heatmap("Δ", (row,)))


def test_a_heatmap_of_counts_keeps_its_span_when_rows_and_columns_are_swapped():
    row = (HeatmapCell(1.0, "↑2"), HeatmapCell(-1.0, "↓2"), HeatmapCell(0.0, "0"))
    assert {("#0072b2", "0.7"), ("#d55e00", "0.7")} <= colours_of(Heatmap("Tasks", (row,), span=1.0))


def test_what_chance_may_explain_is_equally_pale_however_large():
    unproven, proven = HeatmapCell(0.3, "+0.300"), HeatmapCell(-0.01, "−0.010", marked=True)
    assert colour_depths(Heatmap("Δ", ((unproven, HeatmapCell(-0.001, "−0.001")),))) == [[PALE_DEPTH, -PALE_DEPTH]]
    small, pale, nothing = colour_depths(Heatmap("Δ", ((proven, unproven, HeatmapCell(math.nan, MISSING_DASH)),)))[0]
    assert (-0.5 < small < -2 * PALE_DEPTH, pale, math.isnan(nothing)) == (True, PALE_DEPTH, True)
    assert (
        colour_depths(Heatmap("Δ", ((HeatmapCell(0.1, "", marked=True), HeatmapCell(0.2, "", marked=True)),)))[0][1]
        == 1
    )


@pytest.mark.parametrize("gain", [0.0, 0.1])
def test_a_picture_over_tasks_is_drawn_only_where_a_strategy_was_shown_to_do_something(gain):
    plain, other = (dict.fromkeys(("half", "tuned"), faces(0.5 + more, 0.5 + more, 0.2)) for more in (0, gain))
    scores = scores_with({("xgb", "none"): plain, SMOTE: other}, tasks=2)
    last = make_strategy_sections(Evidence(None, scores, tuple(rankings_of(scores))))[-1]
    assert not last.task
    assert any(isinstance(part, Figure) for part in last.parts) == (gain > 0)


def test_the_same_tiles_give_the_same_bytes(evidence):
    draw = picture_of(evidence, "tumours").draw
    assert draw() == draw()


def test_hostile_names_are_text(tmp_path):
    evidence = evidence_of(write_run(tmp_path / "run", [tumours("a|b<script>_$x$"), tumours("plain")]))
    for section in make_strategy_sections(evidence):
        for part in section.parts:
            text = part.alt_text + part.name if isinstance(part, Figure) else render_markdown_part(part)
            assert "<script>" not in text
    picture_of(evidence, "a|b<script>_$x$").draw()
