"""What imbalance strategies change: paired differences to doing nothing, per family, task by task and over all tasks."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from harness.evaluation.corrected_t import Estimate, estimate_mean_with_interval, holm, signed_rank_test
from harness.evaluation.metric_cache import DEFAULT_THRESHOLD, TUNED_THRESHOLD
from harness.evaluation.scores import ANY_NAME, STATUS_MISSING, Entry, Scores, entry_statuses
from harness.evaluation.significance import Verdict
from harness.evaluation.task_comparisons import read_task_sample
from harness.metrics.metric import Metric

#: Readings of what a strategy does to ranking and decisions.
HELPS, HURTS, MIXED, ONLY_THRESHOLD = "helps", "hurts", "mixed", "acts like another threshold, no other gain shown"
EQUAL, NOT_SIGNIFICANT = "practically equal", "undecided"  #: as it is written in tables
READINGS = (HELPS, HURTS, MIXED, ONLY_THRESHOLD, EQUAL, NOT_SIGNIFICANT)
NO_READING = "–"  #: where the splits allow no test
MIN_TASKS = 6  #: with five tasks no two-sided signed-rank test can give less than 0.0625


@dataclass(frozen=True)
class StrategyComparisonColumn:
    """A column of the comparison: the metric, and the kind of threshold of both sides."""

    title: str
    metric: Metric
    threshold: str


@dataclass(frozen=True)
class StrategyDifference:
    """One strategy of one family against doing nothing: an estimate and a verdict for every comparison.

    A verdict is None where nothing can be tested; otherwise the interval of the estimate is simultaneous over all strategies of
    all families in its column.
    """

    family: str
    strategy: str
    splits: int
    estimates: tuple[Estimate, ...]
    verdicts: tuple[Verdict | None, ...]


@dataclass(frozen=True)
class StrategyReading:
    """The reading of a difference, and for every comparison its direction: better (1), worse (−1) or neither (0).

    The reading is `NO_READING` where nothing can be tested.
    """

    difference: StrategyDifference
    directions: tuple[int, ...]
    reading: str

    @property
    def family(self) -> str:
        """The family."""
        return self.difference.family

    @property
    def strategy(self) -> str:
        """The strategy."""
        return self.difference.strategy

    @property
    def main_reading(self) -> str:
        """The part of the reading about ranking and decisions: one of `READINGS`."""
        return EQUAL if self.reading == EQUAL else read_main_directions(self.directions)


@dataclass(frozen=True)
class StrategyCount:
    """The effects of one strategy of one family over several tasks.

    `readings` counts the tasks by their reading of ranking and decisions, `better` and `worse` those with significantly
    better or worse probabilities. On `higher` of `tasks` the mean of the ranking metric is better, by `mean_gain` on average
    over all; `rank_sum` is the sum of the signed ranks of these differences, and `p` the adjusted p value of their test. All
    but `higher` are NaN where the tasks' ranking is measured by several metrics.
    """

    family: str
    strategy: str
    tasks: int
    readings: Counter[str]
    better: int
    worse: int
    higher: int
    mean_gain: float
    rank_sum: float
    p: float


def strategy_comparisons(scores: Scores, task: str) -> list[StrategyComparisonColumn]:
    """List what is compared: ranking, decisions at 0.5, decisions with both thresholds tuned, and probabilities.

    Each is measured by the task's objective where that is of its type, otherwise ranking as `ranking_metric` says, decisions
    by F1 (by cost where the task has a cost matrix) and probabilities by the Brier score: an objective that moves with the
    threshold says nothing about ranking. At 0.5 recall and precision are compared as well, as most strategies trade one for the
    other there. A strategy whose decisions are better at 0.5, but not with both thresholds tuned, acts like another threshold: no
    other gain is shown, which does not mean that there is none.
    """
    objective, threshold_kind = scores.objective(task), scores.threshold_kinds(task)[-1]
    decision_metric = scores.metrics["expected_cost" if scores.costs(task) else "f1"]
    probability_metric = scores.metrics["brier"]
    if objective.metric_type == "decision":
        decision_metric = objective
    elif objective.metric_type == "probability":
        probability_metric = objective
    ranking, title = ranking_metric(scores, task), f"Δ {decision_metric.label}"
    columns = [StrategyComparisonColumn(f"Δ {ranking.label}", ranking, threshold_kind)]
    if threshold_kind == TUNED_THRESHOLD:
        columns.append(StrategyComparisonColumn(f"{title}, both at 0.5", decision_metric, DEFAULT_THRESHOLD))
        for name in ("recall", "precision"):
            metric = scores.metrics.get(name, decision_metric)
            if metric.name != decision_metric.name:
                columns.append(StrategyComparisonColumn(f"Δ {metric.label}, both at 0.5", metric, DEFAULT_THRESHOLD))
        columns.append(StrategyComparisonColumn(f"{title}, both tuned", decision_metric, TUNED_THRESHOLD))
    else:
        columns.append(StrategyComparisonColumn(title, decision_metric, DEFAULT_THRESHOLD))
    columns.append(StrategyComparisonColumn(f"Δ {probability_metric.label}", probability_metric, DEFAULT_THRESHOLD))
    return columns


def ranking_metric(scores: Scores, task: str) -> Metric:
    """Give the metric of ranking: the objective where it ranks, else average precision, with several classes ROC AUC."""
    objective = scores.objective(task)
    if objective.metric_type == "ranking":
        return objective
    return scores.metrics["average_precision" if len(scores.classes(task)) == 2 else "roc_auc"]


def strategy_differences(scores: Scores, task: str) -> list[StrategyDifference]:
    """Compare every tuned strategy with `none` of the same family, over the splits that both have.

    Each column is a question of its own: its intervals cover the differences of all families and strategies with 95 %.
    """
    return scores.compute_once(("strategy differences", task), lambda: _compare_strategies(scores, task))


def _compare_strategies(scores: Scores, task: str) -> list[StrategyDifference]:
    columns = strategy_comparisons(scores, task)
    entries = []
    for entry in entry_statuses(scores, task):
        if (
            entry.stage == "tuned"
            and entry.strategy not in ("none", ANY_NAME)
            and has_equal_effort(scores, task, entry)
        ):
            entries.append(entry)
    comparisons_by_column = [_compare_with_none_by_column(scores, task, entries, column) for column in columns]
    differences = []
    for entry in entries:
        estimates = tuple(comparison_by_entry[entry][0] for comparison_by_entry in comparisons_by_column)
        column_verdicts = tuple(comparison_by_entry[entry][1] for comparison_by_entry in comparisons_by_column)
        splits = max(estimate.n for estimate in estimates)
        if splits:
            differences.append(StrategyDifference(entry.family, entry.strategy, splits, estimates, column_verdicts))
    return differences


def has_equal_effort(scores: Scores, task: str, entry: Entry) -> bool:
    """Whether a strategy had the effort that `none` had, as far as the time of a run with a budget went.

    It had not where cells of either were not finished in time, or where cells of the family were executed without the time
    limit that later ones had.
    """
    budget = scores.run.get("budget")
    if not budget:
        return True
    if entry.family in budget.get("unequal_families", ()):
        return False
    for cell in scores.cells:
        is_compared = cell.task == task and cell.family == entry.family and cell.strategy in ("none", entry.strategy)
        if is_compared and cell.status == STATUS_MISSING:
            return False
    return True


def list_unequal_efforts(scores: Scores) -> list[str]:
    """Name the families with strategies that are not compared because the time of the run ended first."""
    names: dict[str, None] = {}
    for task in scores.run["tasks"]:
        for entry in entry_statuses(scores, task):
            is_strategy = entry.stage == "tuned" and entry.strategy not in ("none", ANY_NAME)
            if is_strategy and not has_equal_effort(scores, task, entry):
                names[f"{entry.family}/{entry.strategy}"] = None
    return list(names)


def _compare_with_none_by_column(
    scores: Scores, task: str, entries: Sequence[Entry], comparison_column: StrategyComparisonColumn
) -> dict[Entry, tuple[Estimate, Verdict | None]]:
    """The differences of all entries to `none` of their families by one metric, with their verdicts."""
    comparison_by_entry: dict[Entry, tuple[Estimate, Verdict | None]] = {}
    rows = {}
    for entry in entries:
        for compared_entry in (entry, entry._replace(strategy="none")):
            rows[compared_entry] = scores.score_rows_of_entry(task, compared_entry, comparison_column.threshold)
        comparison_by_entry[entry] = _mean_difference(scores, task, entry, comparison_column), None
    splits = max((entry_rows.splits for entry_rows in rows.values()), key=len, default=())
    rows_by_complete_entry = {
        entry: entry_rows for entry, entry_rows in rows.items() if splits and entry_rows.splits == splits
    }
    task_sample = read_task_sample(
        scores, task, rows_by_complete_entry, comparison_column.metric, comparison_column.threshold
    )
    if task_sample is None:
        return comparison_by_entry
    sample_entries = set(task_sample.task_sample.entries)
    pairs_with_none = []
    for entry in entries:
        none_entry = entry._replace(strategy="none")
        if {entry, none_entry} <= sample_entries:
            pairs_with_none.append((entry, none_entry))
    for (entry, _), comparison in zip(
        pairs_with_none, task_sample.compare_pairs("strategies", pairs_with_none).pairs, strict=True
    ):
        half_width = (comparison.high - comparison.low) / 2
        difference = Estimate(comparison.difference, half_width, comparison.p, task_sample.sample.splits)
        comparison_by_entry[entry] = difference, comparison.verdict
    return comparison_by_entry


def _mean_difference(scores: Scores, task: str, entry: Entry, comparison_column: StrategyComparisonColumn) -> Estimate:
    """The mean difference over the splits that both have, without a test."""
    none_rows = scores.score_rows_of_entry(task, entry._replace(strategy="none"), comparison_column.threshold)
    rows = scores.score_rows_of_entry(task, entry, comparison_column.threshold).select(none_rows.splits)
    none_rows_of_splits = none_rows.select(rows.splits)
    score_change = rows[comparison_column.metric.name] - none_rows_of_splits[comparison_column.metric.name]
    return estimate_mean_with_interval(score_change, none_rows_of_splits.mean("ratio"), can_test=False)


def strategy_readings(scores: Scores, task: str) -> list[StrategyReading]:
    """Read every difference from its verdicts."""
    directions_of = {"better": 1, "worse": -1}
    all_readings = []
    for difference in strategy_differences(scores, task):
        effect_directions = tuple(directions_of.get(column_verdict or "", 0) for column_verdict in difference.verdicts)
        effect_reading = read_strategy_directions(effect_directions)
        if all(column_verdict is None for column_verdict in difference.verdicts):
            effect_reading = NO_READING
        elif effect_reading == NOT_SIGNIFICANT and set(difference.verdicts[:-1]) == {EQUAL}:
            effect_reading = EQUAL
        all_readings.append(StrategyReading(difference, effect_directions, effect_reading))
    return all_readings


def read_main_directions(directions: Sequence[int]) -> str:
    """Read ranking and decisions, without probabilities: one of `READINGS`; the directions are those of `read_strategy_directions`."""
    ranking_direction, *decision_directions, _probability = directions
    main_directions = {ranking_direction, decision_directions[-1]}
    if main_directions >= {1, -1}:
        return MIXED
    if 1 in main_directions:
        return HELPS
    if -1 in main_directions:
        return HURTS
    return ONLY_THRESHOLD if any(decision_directions[:-1]) else NOT_SIGNIFICANT


def read_strategy_directions(directions: Sequence[int]) -> str:
    """Put directions (1 better, −1 worse, 0 not significant) into a reading.

    Parameters
    ----------
    directions : sequence of int
        Of ranking, of decisions (at 0.5 first, with both thresholds tuned last) and of probabilities, in this order.

    Returns
    -------
    str
        One of `READINGS`, with ``", better probabilities"`` or ``", worse probabilities"`` where these change.
    """
    effect_reading = read_main_directions(directions)
    probabilities = {1: "better probabilities", -1: "worse probabilities"}.get(directions[-1], "")
    if probabilities and effect_reading == NOT_SIGNIFICANT:
        return probabilities
    return ", ".join(filter(None, (effect_reading, probabilities)))


def strategy_counts(scores: Scores, readings: Mapping[str, Sequence[StrategyReading]]) -> list[StrategyCount]:
    """Count the effects of every family and strategy over the tasks that compare them.

    Parameters
    ----------
    scores : Scores
        The scores of the run.
    readings : mapping of str to sequence of StrategyReading
        The readings of every task.

    Returns
    -------
    list of StrategyCount
        One per family and strategy, with Wilcoxon's signed-rank test over the tasks' mean differences (Demšar 2006), adjusted
        by Holm over all of them; tested with at least `MIN_TASKS` tasks of one ranking metric.
    """
    readings_by_pair: dict[tuple[str, str], dict[str, StrategyReading]] = {}
    for task, task_readings in readings.items():
        for strategy_reading in task_readings:
            readings_by_pair.setdefault((strategy_reading.family, strategy_reading.strategy), {})[task] = (
                strategy_reading
            )
    same_metric = len({ranking_metric(scores, task).name for task in readings}) == 1
    pair_counts = [
        _count_effects(scores, readings_by_task, same_metric=same_metric)
        for readings_by_task in readings_by_pair.values()
    ]
    adjusted_p_values = holm([pair_count.p for pair_count in pair_counts])
    return [replace(pair_count, p=p) for pair_count, p in zip(pair_counts, adjusted_p_values, strict=True)]


def _count_effects(
    scores: Scores, readings_by_task: Mapping[str, StrategyReading], *, same_metric: bool
) -> StrategyCount:
    """The effects of one strategy of one family, with the p value as it is without adjustment."""
    reading_counts: Counter[str] = Counter()
    probabilities: Counter[int] = Counter()
    mean_gains = []
    for task, strategy_reading in readings_by_task.items():
        reading_counts[NO_READING if strategy_reading.reading == NO_READING else strategy_reading.main_reading] += 1
        probabilities[strategy_reading.directions[-1]] += 1
        mean_gains.append(
            ranking_metric(scores, task).sign * strategy_reading.difference.estimates[0].mean
        )  # above 0 is better
    signed_rank_result, mean_gain, rank_sum, p = signed_rank_test(mean_gains), math.nan, math.nan, math.nan
    if same_metric:
        mean_gain, rank_sum = sum(mean_gains) / len(mean_gains), signed_rank_result.sum
    if same_metric and signed_rank_result.n >= MIN_TASKS:
        p = signed_rank_result.p
    family_and_strategy, higher_tasks = (
        (strategy_reading.family, strategy_reading.strategy),
        sum(task_gain > 0 for task_gain in mean_gains),
    )
    changed_directions = probabilities[1], probabilities[-1]
    return StrategyCount(
        *family_and_strategy, len(mean_gains), reading_counts, *changed_directions, higher_tasks, mean_gain, rank_sum, p
    )
