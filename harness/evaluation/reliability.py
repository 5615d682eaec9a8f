"""How reliable the scores of a search are: inner scores against scores on test rows."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from harness.evaluation.corrected_t import Estimate
from harness.evaluation.ranking import BASELINE, Ranking, estimate_paired_difference
from harness.evaluation.scores import Entry, ScoreRows, Scores, entry_statuses


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


def measure_entry_optimism(scores: Scores, ranking: Ranking) -> list[EntryOptimism]:
    """Compare inner with outer scores of the entries that have both in all splits, best first, without the baseline."""
    entries = []
    for ranked in ranking.entries:
        rows = ranked.rows
        if ranked.complete and ranked.entry.family != BASELINE and not math.isnan(rows.mean("inner")):
            gap = estimate_paired_difference(
                scores, ranking.task, ranking.metric, inner_minus_outer_scores(ranking, rows), rows
            )
            trials, inner, outer = map(rows.mean, ("trials", "inner", ranking.metric.name))
            entries.append(EntryOptimism(ranked.entry, ranked.name, trials, inner, outer, gap))
    return entries


def measure_selection_optimism(scores: Scores, ranking: Ranking) -> SelectionOptimism | None:
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
    gaps, pairs = [], []
    for entry in entry_statuses(scores, ranking.task):
        if entry.stage != "tuned" or entry.family == BASELINE:
            continue
        default = scores.score_rows_of_entry(ranking.task, entry._replace(stage="default"), ranking.threshold_kind)
        tuned = scores.score_rows_of_entry(ranking.task, entry, ranking.threshold_kind)
        if not splits or not default.splits == tuned.splits == splits or max(tuned["trials"]) <= 1:
            continue
        stage_gaps = inner_minus_outer_scores(ranking, default), inner_minus_outer_scores(ranking, tuned)
        if not np.isnan(stage_gaps).any():
            gaps.append(stage_gaps)
            pairs.append(tuned)
    if not pairs:
        return None
    default_gap, tuned_gap = np.mean(gaps, axis=0)
    trials = float(np.mean([rows.mean("trials") for rows in pairs]))
    estimates = []
    for gap in (default_gap, tuned_gap, tuned_gap - default_gap):
        estimates.append(estimate_paired_difference(scores, ranking.task, ranking.metric, gap, pairs[0]))
    return SelectionOptimism(len(pairs), trials, *estimates)


def inner_minus_outer_scores(ranking: Ranking, rows: ScoreRows) -> npt.NDArray[np.float64]:
    """Compute inner minus outer score per split, signed so that positive is too good."""
    return (rows["inner"] - rows[ranking.metric.name]) * ranking.metric.sign
