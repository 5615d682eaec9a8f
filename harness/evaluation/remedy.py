"""What would settle an undecided comparison: further repeats where training varies, more rows where the test rows decide."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from harness.evaluation.ranking import RankedEntry, Ranking
from harness.evaluation.scores import Entry, Scores
from harness.evaluation.task_comparisons import can_test_differences
from harness.evaluation.variance import STRETCH, ScoreSample, pair_difference_variances

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


def _undecided_entry_to_compare(used: RankedEntry, undecided: Sequence[RankedEntry]) -> RankedEntry | None:
    """The recommended entry if it is undecided against the best one, else the best of those that are."""
    if any(ranked is used for ranked in undecided):
        return used
    return undecided[0] if undecided else None


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
    compared, judged, best = _undecided_entry_to_compare(used, undecided), ranking.judged, ranking.best
    if compared is None or judged is None or best is None:
        return None
    rival, comparison = best if compared is used else compared, compared.comparison
    assert comparison is not None  # noqa: S101 -- it is undecided
    entries = judged.task_sample.entries
    first, second = entries.index(best.entry), entries.index(compared.entry)
    total = (comparison.standard_error / STRETCH) ** 2
    row = min(float(pair_difference_variances(judged.sample.row_covariance)[first, second]), total)
    critical = (comparison.high - comparison.low) / 2 / comparison.standard_error
    difference = abs(comparison.difference)
    margin = max(difference, ranking.rope - difference)  # to 0, or to the border of practical equivalence
    target = (margin / (critical * STRETCH)) ** 2  # the variance at which the comparison is settled
    share = 1 - row / total
    repeats, minutes = None, math.nan
    if share >= DOMINANT_SHARE and can_test_differences(scores, ranking.task):
        repeats, minutes = _repeats_until_significant(scores, ranking.task, (total - row, target - row), judged.sample)
    factor = total / target
    row_factor = factor if 1 < factor <= MAX_ROW_FACTOR else None
    return Remedy(rival.entry, comparison.difference, share, repeats, minutes, row_factor)


def _repeats_until_significant(
    scores: Scores, task: str, training: tuple[float, float], sample: ScoreSample
) -> tuple[int | None, float]:
    """The number of repeats with which the training variance is small enough, and the minutes of the further ones.

    `training` has the variance that it is and the one that it has to be.
    """
    variance, target = training
    repeats = sample.splits // sample.folds
    if target <= 0 or variance <= 0:
        return None, math.nan
    needed = math.ceil(repeats * variance / target)
    if needed <= repeats or needed > MAX_REPEATS:
        return None, math.nan
    seconds = sum(cell.record.seconds for cell in scores.cells if cell.record and cell.task == task)
    return needed, seconds / 60 * (needed - repeats) / repeats
