"""Optimism of the search: inner scores against scores on test rows."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from harness.evaluation.ranking import BASELINE, Ranking, can_test
from harness.evaluation.scores import Entry, ScoreRows, Scores, entry_statuses
from harness.evaluation.significance import Estimate, estimate


@dataclass(frozen=True)
class EntryOptimism:
    """One entry: its number of trials, its mean inner and outer score, and by how much the inner one was too good.

    `gap` is positive where the inner score was too good, whether greater or less is better.
    """

    entry: Entry
    name: str
    trials: float
    inner: float
    outer: float
    gap: Estimate


@dataclass(frozen=True)
class SelectionOptimism:
    """What choosing by inner scores adds to them, on average over the pairs of family and strategy that have both stages.

    `default` is the gap of configurations that were not chosen, `tuned` that of the searches' choices, `difference` is
    tuned − default.
    """

    pairs: int
    trials: float
    default: Estimate
    tuned: Estimate
    difference: Estimate


def entry_optimism(scores: Scores, ranking: Ranking) -> list[EntryOptimism]:
    """Compare inner with outer scores of the entries that have both in all splits, best first, without the baseline."""
    entries = []
    for ranked in ranking.entries:
        rows = ranked.rows
        if ranked.complete and ranked.entry.family != BASELINE and not math.isnan(rows.mean("inner")):
            gap = _estimate(scores, ranking, optimism_gaps(ranking, rows), rows)
            outer = rows.mean(ranking.metric.name)
            entries.append(
                EntryOptimism(ranked.entry, ranked.name, rows.mean("trials"), rows.mean("inner"), outer, gap)
            )
    return entries


def selection_optimism(scores: Scores, ranking: Ranking) -> SelectionOptimism | None:
    """Estimate what the search adds to inner scores by choosing the best of them.

    Parameters
    ----------
    scores : Scores
        The scores of the run.
    ranking : Ranking
        The ranking of one task.

    Returns
    -------
    SelectionOptimism or None
        None where no pair of family and strategy has both stages in all splits that count.
    """
    splits = next((ranked.rows.splits for ranked in ranking.entries if ranked.complete), ())
    default_gaps, tuned_gaps, pairs = [], [], []
    for entry in entry_statuses(scores, ranking.task):
        if entry.stage != "tuned" or entry.family == BASELINE:
            continue
        default = scores.rows_of(ranking.task, entry._replace(stage="default"), ranking.threshold_kind)
        tuned = scores.rows_of(ranking.task, entry, ranking.threshold_kind)
        if not splits or not default.splits == tuned.splits == splits or max(tuned["trials"]) <= 1:
            continue
        gaps = optimism_gaps(ranking, default), optimism_gaps(ranking, tuned)
        if not np.isnan(gaps).any():
            default_gaps.append(gaps[0])
            tuned_gaps.append(gaps[1])
            pairs.append(tuned)
    if not pairs:
        return None
    default_gap, tuned_gap = np.mean(default_gaps, axis=0), np.mean(tuned_gaps, axis=0)
    trials = float(np.mean([rows.mean("trials") for rows in pairs]))
    stages = (default_gap, tuned_gap, tuned_gap - default_gap)
    estimates = [_estimate(scores, ranking, gap, pairs[0]) for gap in stages]
    return SelectionOptimism(len(pairs), trials, *estimates)


def optimism_gaps(ranking: Ranking, rows: ScoreRows) -> npt.NDArray[np.float64]:
    """Compute inner minus outer score per split, signed so that positive is too good."""
    return (rows["inner"] - rows[ranking.metric.name]) * ranking.metric.sign


def _estimate(scores: Scores, ranking: Ranking, gaps: npt.NDArray[np.float64], rows: ScoreRows) -> Estimate:
    resolution = scores.resolution(ranking.task, ranking.metric, rows)
    testable = can_test(scores, ranking.task)
    return estimate(gaps, rows.mean("ratio"), can_test=testable, resolution=resolution)
