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
CHOSEN = Entry(ANY_NAME, ANY_NAME, "chosen")  #: what inner scores choose in each split


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
    tuned = (ranked.entry for ranked in ranking.entries if ranked.entry.stage == "tuned")
    return list(dict.fromkeys((entry.family, entry.strategy) for entry in tuned))


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
    verdicts = _tuning_verdicts(ranking)
    gains = []
    for family, strategy in list_searched_entries(ranking):
        entry = Entry(family, strategy, "tuned")
        default = scores.score_rows_of_entry(task, entry._replace(stage="default"), ranking.threshold_kind)
        tuned = scores.score_rows_of_entry(task, entry, ranking.threshold_kind)
        default, tuned = default.select(tuned.splits), tuned.select(default.splits)
        if family == BASELINE or not len(tuned):
            continue
        change = metric.sign * (tuned[metric.name] - default[metric.name])
        outer, reading = estimate_mean_with_interval(change, tuned.mean("ratio"), can_test=False), ""
        if np.array_equal(default["trial"], tuned["trial"]):
            reading = DEFAULT_KEPT
        elif entry in verdicts:
            comparison = verdicts[entry]
            half_width = (comparison.high - comparison.low) / 2
            outer = Estimate(metric.sign * comparison.difference, half_width, comparison.p, len(tuned))
            reading = TUNING_READINGS[comparison.verdict]
        gains.append(SearchGain(entry, metric.sign * (tuned.mean("inner") - default.mean("inner")), outer, reading))
    return gains


def _tuning_verdicts(ranking: Ranking) -> dict[Entry, Comparison]:
    """The comparisons of every tuned entry with its default configuration, judged together."""
    if ranking.judged is None:
        return {}
    entries = ranking.judged.task_sample.entries
    pairs = []
    for entry in entries:
        default = entry._replace(stage="default")
        if entry.stage == "tuned" and default in entries:
            pairs.append((entry, default))
    compared = ranking.judged.compare_pairs("tuning", pairs).pairs
    return {tuned: comparison for (tuned, _), comparison in zip(pairs, compared, strict=True)}


@dataclass(frozen=True)
class EnsembleMember:
    """An entry in one kind of ensemble: its weight in every split where it could be chosen, by split."""

    entry: Entry
    weights: dict[tuple[int, int], float]

    @property
    def count_used_splits(self) -> int:
        """In how many splits it has a weight."""
        return sum(weight != 0 for weight in self.weights.values())

    @property
    def mean(self) -> float:
        """Its mean weight."""
        return float(np.mean([*self.weights.values()]))


def ensemble_members(scores: Scores, task: str, kind: str) -> list[EnsembleMember]:
    """List the members of the ensembles of a kind, the largest mean weight first, without those that never have a weight."""
    entry_of = {cell.record.id: Entry(cell.family, cell.strategy, "tuned") for cell in scores.cells if cell.record}
    weights: dict[Entry, dict[tuple[int, int], float]] = {}
    for (ensemble_task, ensemble_kind, split), combined in scores.ensembles.items():
        if (ensemble_task, ensemble_kind) == (task, kind):
            for cell, weight in combined.weights.items():
                weights.setdefault(entry_of[cell], {})[split] = weight
    members = filter(lambda member: member.count_used_splits, map(EnsembleMember, weights, weights.values()))
    return sorted(members, key=lambda member: (-abs(member.mean), member.entry))


def ensemble_gains(scores: Scores, ranking: Ranking) -> dict[str, Estimate]:
    """Measure by kind what ensembling adds to choosing by inner scores: the difference of the objective.

    Both had the same trials (but for the baseline's single one). Taken over the splits of both.
    """
    gains = {}
    for kind in ENSEMBLE_KINDS:
        ensembled = scores.score_rows_of_entry(ranking.task, Entry(ANY_NAME, kind, "ensembled"), ranking.threshold_kind)
        chosen = scores.score_rows_of_entry(ranking.task, CHOSEN, ranking.threshold_kind).select(ensembled.splits)
        ensembled = ensembled.select(chosen.splits)
        if len(ensembled):
            change = ensembled[ranking.metric.name] - chosen[ranking.metric.name]
            gains[kind] = estimate_paired_difference(scores, ranking.task, ranking.metric, change, chosen)
    return gains


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
        changes = set(self.directions[:2]) - {0}
        return changes.pop() if len(changes) == 1 else 0

    @property
    def tested_differences(self) -> list[Estimate]:
        """The differences that are tested: of log loss, Brier score and decisions, not of ECE."""
        return [*self.differences[:2], *self.differences[3:]]


def calibration_metrics(scores: Scores, task: str) -> tuple[Metric, ...]:
    """Give log loss, Brier score, ECE, and the metric of decisions: F1, or cost where the task has a cost matrix."""
    decision = "expected_cost" if scores.costs(task) else "f1"
    return tuple(map(scores.metrics.__getitem__, ("log_loss", "brier", "ece", decision)))


def recalibration_effects(scores: Scores, ranking: Ranking) -> list[RecalibrationEffect]:
    """Compare every tuned entry with its recalibrations, in the order of the ranking; the baseline has none."""
    measured: list[RecalibrationEffect] = []
    for ranked in ranking.entries:
        if ranked.entry.stage == "tuned" and ranked.entry.family != BASELINE and len(ranked.rows):
            for calibration in CALIBRATIONS:
                measured.append(
                    _recalibration_effect(scores, ranking.task, ranked.entry._replace(calibration=calibration))
                )
    measured = [effect for effect in measured if effect.splits]
    adjusted = iter(holm([difference.p for effect in measured for difference in effect.tested_differences]))
    effects = []
    for effect in measured:
        directions = _effect_directions(
            scores, ranking.task, effect, [next(adjusted) for _ in effect.tested_differences]
        )
        effects.append(replace(effect, directions=directions))
    return effects


def _recalibration_effect(scores: Scores, task: str, entry: Entry) -> RecalibrationEffect:
    kind, metrics = scores.threshold_kinds(task)[-1], calibration_metrics(scores, task)
    rows = scores.score_rows_of_entry(task, entry, kind)
    means = tuple(rows.mean(metric.name) for metric in metrics)
    if entry.calibration == "none" or not len(rows):
        return RecalibrationEffect(entry, means, len(rows))
    plain = scores.score_rows_of_entry(task, entry._replace(calibration="none"), kind).select(rows.splits)
    differences = []
    for metric in metrics:
        differences.append(
            estimate_paired_difference(scores, task, metric, rows[metric.name] - plain[metric.name], plain)
        )
    return RecalibrationEffect(entry, means, len(rows), tuple(differences))


def _effect_directions(
    scores: Scores, task: str, effect: RecalibrationEffect, adjusted: list[float]
) -> tuple[int, ...]:
    if all(map(math.isnan, adjusted)):
        return ()
    log_loss, brier, _, decision = calibration_metrics(scores, task)
    directions = []
    for metric, difference, p in zip((log_loss, brier, decision), effect.tested_differences, adjusted, strict=True):
        directions.append(significant_direction(difference, p, greater_is_better=metric.greater_is_better))
    return tuple(directions)


def read_calibration_directions(log_loss: int, brier: int, decision: int) -> str:
    """Put the directions (1 better, −1 worse, 0 not significant) of log loss, Brier score and decisions into words."""
    adjectives = {1: "better", -1: "worse"}
    probabilities = {log_loss, brier} - {0}
    parts = []
    if len(probabilities) == 2:
        parts.append("log loss and Brier disagree")
    else:
        parts += [f"{adjectives[direction]} probabilities" for direction in probabilities]
    if decision:
        parts.append(f"{adjectives[decision]} decisions")
    return ", ".join(parts) or NOT_SIGNIFICANT
