"""What is gained over an entry by tuning, by ensembling and by recalibration, in pairs over the same splits."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from harness.evaluation.corrected_t import Estimate, estimate_mean_with_interval, holm, significant_direction
from harness.evaluation.ensembles import ENSEMBLE_KINDS
from harness.evaluation.ranking import BASELINE, Ranking, estimate_paired_difference
from harness.evaluation.scores import ANY_NAME, Entry, Scores
from harness.evaluation.significance import Comparison
from harness.metrics.calibration import CALIBRATIONS
from harness.metrics.metric import Metric

DEFAULT_KEPT, PAYS, HURTS = "kept the default", "pays", "hurts"
NOT_SIGNIFICANT = "undecided"  #: as it is written in tables
TUNING_READINGS = {
    "better": PAYS,
    "worse": HURTS,
    "practically equal": "practically equal",
    "undecided": NOT_SIGNIFICANT,
}
CHOSEN_ENTRY = Entry(ANY_NAME, ANY_NAME, "chosen")  #: what inner scores choose in each split


@dataclass(frozen=True)
class SearchGain:
    """What the search of one entry gained over its default configuration, better is positive.

    `inner` is measured by the score that was searched, so it is never negative and optimistic; `outer` on test rows.
    `effect_reading` is from intervals that are simultaneous over the task's entries; empty where nothing can be tested.
    """

    entry: Entry
    inner: float
    outer: Estimate
    reading: str


def list_searched_entries(ranking: Ranking) -> list[tuple[str, str]]:
    """List family and strategy of every entry that was searched, best first."""
    tuned_entries = (ranked_entry.entry for ranked_entry in ranking.entries if ranked_entry.entry.stage == "tuned")
    return list(dict.fromkeys((entry.family, entry.strategy) for entry in tuned_entries))


def search_gains(scores: Scores, ranking: Ranking) -> list[SearchGain]:
    """Measure what the search gained for every tuned entry of a task, over the splits that both stages have.

    Parameters
    ----------
    scores : Scores
        The scores of the run.
    ranking : Ranking
        The ranking of the task.

    Returns
    -------
    list of SearchGain
        Best entries first; the baseline, which has nothing to search, is left out.
    """
    return scores.compute_once(("search gains", ranking), lambda: _measure_gains(scores, ranking))


def _measure_gains(scores: Scores, ranking: Ranking) -> list[SearchGain]:
    task, metric = ranking.task, ranking.metric
    tuning_verdicts = _tuning_verdicts(ranking)
    measured_gains = []
    for family, strategy in list_searched_entries(ranking):
        entry = Entry(family, strategy, "tuned")
        default_rows = scores.score_rows_of_entry(task, entry._replace(stage="default"), ranking.threshold_kind)
        tuned_rows = scores.score_rows_of_entry(task, entry, ranking.threshold_kind)
        default_rows, tuned_rows = default_rows.select(tuned_rows.splits), tuned_rows.select(default_rows.splits)
        if family == BASELINE or not len(tuned_rows):
            continue
        score_change = metric.sign * (tuned_rows[metric.name] - default_rows[metric.name])
        outer_gain, gain_reading = (
            estimate_mean_with_interval(score_change, tuned_rows.mean("ratio"), can_test=False),
            "",
        )
        if np.array_equal(default_rows["trial"], tuned_rows["trial"]):
            gain_reading = DEFAULT_KEPT
        elif entry in tuning_verdicts:
            comparison = tuning_verdicts[entry]
            half_width = (comparison.high - comparison.low) / 2
            outer_gain = Estimate(metric.sign * comparison.difference, half_width, comparison.p, len(tuned_rows))
            gain_reading = TUNING_READINGS[comparison.verdict]
        measured_gains.append(
            SearchGain(
                entry, metric.sign * (tuned_rows.mean("inner") - default_rows.mean("inner")), outer_gain, gain_reading
            )
        )
    return measured_gains


def _tuning_verdicts(ranking: Ranking) -> dict[Entry, Comparison]:
    """The comparisons of every tuned entry with its default configuration, judged together."""
    if ranking.judged is None:
        return {}
    entries = ranking.judged.task_sample.entries
    tuning_pairs = []
    for entry in entries:
        default_entry = entry._replace(stage="default")
        if entry.stage == "tuned" and default_entry in entries:
            tuning_pairs.append((entry, default_entry))
    pair_comparisons = ranking.judged.compare_pairs("tuning", tuning_pairs).pairs
    return {
        tuned_entry: comparison for (tuned_entry, _), comparison in zip(tuning_pairs, pair_comparisons, strict=True)
    }


@dataclass(frozen=True)
class EnsembleMember:
    """An entry in one kind of ensemble: its weight in every split where it could be chosen, by split."""

    entry: Entry
    weights: dict[tuple[int, int], float]

    @property
    def count_used_splits(self) -> int:
        """In how many splits it has a weight."""
        return sum(member_weight != 0 for member_weight in self.weights.values())

    @property
    def mean(self) -> float:
        """Its mean weight."""
        return float(np.mean([*self.weights.values()]))


def ensemble_members(scores: Scores, task: str, kind: str) -> list[EnsembleMember]:
    """List the members of the ensembles of a kind, the largest mean weight first, without those that never have a weight."""
    entry_of = {cell.record.id: Entry(cell.family, cell.strategy, "tuned") for cell in scores.cells if cell.record}
    weights: dict[Entry, dict[tuple[int, int], float]] = {}
    for (ensemble_task, ensemble_kind, split), split_ensemble in scores.ensembles.items():
        if (ensemble_task, ensemble_kind) == (task, kind):
            for cell, member_weight in split_ensemble.weights.items():
                weights.setdefault(entry_of[cell], {})[split] = member_weight
    members = filter(lambda member: member.count_used_splits, map(EnsembleMember, weights, weights.values()))
    return sorted(members, key=lambda member: (-abs(member.mean), member.entry))


def ensemble_gains(scores: Scores, ranking: Ranking) -> dict[str, Estimate]:
    """Measure by kind what ensembling adds to choosing by inner scores: the difference of the objective.

    Both had the same trials (but for the baseline's single one). Taken over the splits of both.
    """
    gains_by_kind = {}
    for ensemble_kind in ENSEMBLE_KINDS:
        ensembled_rows = scores.score_rows_of_entry(
            ranking.task, Entry(ANY_NAME, ensemble_kind, "ensembled"), ranking.threshold_kind
        )
        chosen_rows = scores.score_rows_of_entry(ranking.task, CHOSEN_ENTRY, ranking.threshold_kind).select(
            ensembled_rows.splits
        )
        ensembled_rows = ensembled_rows.select(chosen_rows.splits)
        if len(ensembled_rows):
            score_change = ensembled_rows[ranking.metric.name] - chosen_rows[ranking.metric.name]
            gains_by_kind[ensemble_kind] = estimate_paired_difference(
                scores, ranking.task, ranking.metric, score_change, chosen_rows
            )
    return gains_by_kind


@dataclass(frozen=True)
class RecalibrationEffect:
    """A tuned entry with one calibration: its mean metrics, and the differences to itself without, with a reading.

    `means` and `differences` are in the order of `calibration_metrics`; an entry with calibration `none` has no differences.
    `directions` are those of log loss, Brier score and decisions: 1 better, −1 worse, 0 not significant; they are empty where
    nothing can be tested.
    """

    entry: Entry
    means: tuple[float, ...]
    splits: int
    differences: tuple[Estimate, ...] = ()
    directions: tuple[int, ...] = ()

    @property
    def effect_reading(self) -> str:
        """The directions in words; empty where nothing can be tested."""
        return read_calibration_directions(*self.directions) if self.directions else ""

    @property
    def probability_direction(self) -> int:
        """Whether probabilities are better (1), worse (−1) or neither by log loss and Brier score together."""
        changed_directions = set(self.directions[:2]) - {0}
        return changed_directions.pop() if len(changed_directions) == 1 else 0

    @property
    def tested_differences(self) -> list[Estimate]:
        """The differences that are tested: of log loss, Brier score and decisions, not of ECE."""
        return [*self.differences[:2], *self.differences[3:]]


def calibration_metrics(scores: Scores, task: str) -> tuple[Metric, ...]:
    """Give log loss, Brier score, ECE, and the metric of decisions: F1, or cost where the task has a cost matrix."""
    decision_metric = "expected_cost" if scores.costs(task) else "f1"
    return tuple(map(scores.metrics.__getitem__, ("log_loss", "brier", "ece", decision_metric)))


def recalibration_effects(scores: Scores, ranking: Ranking) -> list[RecalibrationEffect]:
    """Compare every tuned entry with its recalibrations, in the order of the ranking; the baseline has none."""
    measured_effects: list[RecalibrationEffect] = []
    for ranked_entry in ranking.entries:
        if ranked_entry.entry.stage == "tuned" and ranked_entry.entry.family != BASELINE and len(ranked_entry.rows):
            for calibration in CALIBRATIONS:
                measured_effects.append(
                    _recalibration_effect(scores, ranking.task, ranked_entry.entry._replace(calibration=calibration))
                )
    measured_effects = [calibration_effect for calibration_effect in measured_effects if calibration_effect.splits]
    adjusted_p_values = iter(
        holm(
            [
                difference.p
                for calibration_effect in measured_effects
                for difference in calibration_effect.tested_differences
            ]
        )
    )
    tested_effects = []
    for calibration_effect in measured_effects:
        effect_directions = _effect_directions(
            scores,
            ranking.task,
            calibration_effect,
            [next(adjusted_p_values) for _ in calibration_effect.tested_differences],
        )
        tested_effects.append(replace(calibration_effect, directions=effect_directions))
    return tested_effects


def _recalibration_effect(scores: Scores, task: str, entry: Entry) -> RecalibrationEffect:
    threshold_kind, metrics = scores.threshold_kinds(task)[-1], calibration_metrics(scores, task)
    rows = scores.score_rows_of_entry(task, entry, threshold_kind)
    metric_means = tuple(rows.mean(metric.name) for metric in metrics)
    if entry.calibration == "none" or not len(rows):
        return RecalibrationEffect(entry, metric_means, len(rows))
    plain_rows = scores.score_rows_of_entry(task, entry._replace(calibration="none"), threshold_kind).select(
        rows.splits
    )
    differences = []
    for metric in metrics:
        differences.append(
            estimate_paired_difference(scores, task, metric, rows[metric.name] - plain_rows[metric.name], plain_rows)
        )
    return RecalibrationEffect(entry, metric_means, len(rows), tuple(differences))


def _effect_directions(
    scores: Scores, task: str, calibration_effect: RecalibrationEffect, adjusted_p_values: list[float]
) -> tuple[int, ...]:
    if all(map(math.isnan, adjusted_p_values)):
        return ()
    log_loss, brier, _, decision_metric = calibration_metrics(scores, task)
    effect_directions = []
    for metric, difference, p in zip(
        (log_loss, brier, decision_metric), calibration_effect.tested_differences, adjusted_p_values, strict=True
    ):
        effect_directions.append(significant_direction(difference, p, greater_is_better=metric.greater_is_better))
    return tuple(effect_directions)


def read_calibration_directions(log_loss: int, brier: int, decision: int) -> str:
    """Put the directions (1 better, −1 worse, 0 not significant) of log loss, Brier score and decisions into words."""
    adjective_by_direction = {1: "better", -1: "worse"}
    probabilities = {log_loss, brier} - {0}
    direction_phrases = []
    if len(probabilities) == 2:
        direction_phrases.append("log loss and Brier disagree")
    else:
        direction_phrases += [f"{adjective_by_direction[direction]} probabilities" for direction in probabilities]
    if decision:
        direction_phrases.append(f"{adjective_by_direction[decision]} decisions")
    return ", ".join(direction_phrases) or NOT_SIGNIFICANT
