"""What would settle an undecided comparison: further repeats where training varies, more rows where the test rows decide."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from harness.evaluation.ranking import RankedEntry, Ranking
from harness.evaluation.scores import Entry, Scores
from harness.evaluation.task_comparisons import can_test_differences
from harness.evaluation.variance import ERROR_STRETCH, ScoreSample, pair_difference_variances

DOMINANT_SHARE = 0.5  #: of the variance: if training makes up more, repeats help more than rows
MAX_REPEATS = 50
MAX_ROW_FACTOR = 1000.0


@dataclass(frozen=True)
class Remedy:
    """What would settle an undecided comparison of the recommended entry with a rival.

    `repeats` is the number of repeats of the whole cross-validation, with the minutes that the further ones take; `row_factor`
    how many times as many rows are needed. None where it would not help, or where it would take too many.
    """

    rival: Entry
    difference: float
    training_share: float
    repeats: int | None
    minutes: float
    row_factor: float | None


def _undecided_entry_to_compare(
    used_entry: RankedEntry, undecided_entries: Sequence[RankedEntry]
) -> RankedEntry | None:
    """The recommended entry if it is undecided against the best one, else the best of those that are."""
    if any(ranked_entry is used_entry for ranked_entry in undecided_entries):
        return used_entry
    return undecided_entries[0] if undecided_entries else None


def find_remedy(scores: Scores, ranking: Ranking, used: RankedEntry, undecided: Sequence[RankedEntry]) -> Remedy | None:
    """Find what would settle the comparison with the best entry, if it is undecided, or else with the best undecided one.

    Parameters
    ----------
    scores : Scores
        The scores of the run.
    ranking : Ranking
        The ranking of the task.
    used : RankedEntry
        The recommended entry.
    undecided : sequence of RankedEntry
        The entries that are undecided against the best one, best first.

    Returns
    -------
    Remedy or None
        None where nothing is undecided.
    """
    compared_entry, judged_sample, best_entry = (
        _undecided_entry_to_compare(used, undecided),
        ranking.judged,
        ranking.best,
    )
    if compared_entry is None or judged_sample is None or best_entry is None:
        return None
    rival_entry, comparison = best_entry if compared_entry is used else compared_entry, compared_entry.comparison
    assert comparison is not None  # noqa: S101 -- it is undecided
    entries = judged_sample.task_sample.entries
    best_position, compared_position = entries.index(best_entry.entry), entries.index(compared_entry.entry)
    total_variance = (comparison.standard_error / ERROR_STRETCH) ** 2
    row_variance = min(
        float(pair_difference_variances(judged_sample.sample.row_covariance)[best_position, compared_position]),
        total_variance,
    )
    critical_value = (comparison.high - comparison.low) / 2 / comparison.standard_error
    difference = abs(comparison.difference)
    needed_margin = max(difference, ranking.rope - difference)  # to 0, or to the border of practical equivalence
    target_variance = (
        needed_margin / (critical_value * ERROR_STRETCH)
    ) ** 2  # the variance at which the comparison is settled
    training_share = 1 - row_variance / total_variance
    repeats, minutes = None, math.nan
    if training_share >= DOMINANT_SHARE and can_test_differences(scores, ranking.task):
        repeats, minutes = _repeats_until_significant(
            scores, ranking.task, (total_variance - row_variance, target_variance - row_variance), judged_sample.sample
        )
    variance_factor = total_variance / target_variance
    row_factor = variance_factor if 1 < variance_factor <= MAX_ROW_FACTOR else None
    return Remedy(rival_entry.entry, comparison.difference, training_share, repeats, minutes, row_factor)


def _repeats_until_significant(
    scores: Scores, task: str, variance_and_target: tuple[float, float], sample: ScoreSample
) -> tuple[int | None, float]:
    """The number of repeats with which the training variance is small enough, and the minutes of the further ones.

    `variance_and_target` has the variance that it is and the one that it has to be.
    """
    training_variance, target_variance = variance_and_target
    repeats = sample.splits // sample.folds
    if target_variance <= 0 or training_variance <= 0:
        return None, math.nan
    needed_repeats = math.ceil(repeats * training_variance / target_variance)
    if needed_repeats <= repeats or needed_repeats > MAX_REPEATS:
        return None, math.nan
    seconds = sum(cell.record.seconds for cell in scores.cells if cell.record and cell.task == task)
    return needed_repeats, seconds / 60 * (needed_repeats - repeats) / repeats
