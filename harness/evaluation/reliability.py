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
    for ranked_entry in ranking.entries:
        rows = ranked_entry.rows
        if ranked_entry.complete and ranked_entry.entry.family != BASELINE and not math.isnan(rows.mean("inner")):
            optimism_gap = estimate_paired_difference(
                scores, ranking.task, ranking.metric, inner_minus_outer_scores(ranking, rows), rows
            )
            mean_trials, inner_mean, outer_mean = map(rows.mean, ("trials", "inner", ranking.metric.name))
            entries.append(
                EntryOptimism(ranked_entry.entry, ranked_entry.name, mean_trials, inner_mean, outer_mean, optimism_gap)
            )
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
    splits = next((ranked_entry.rows.splits for ranked_entry in ranking.entries if ranked_entry.complete), ())
    mean_gaps, stage_pairs = [], []
    for entry in entry_statuses(scores, ranking.task):
        if entry.stage != "tuned" or entry.family == BASELINE:
            continue
        default_rows = scores.score_rows_of_entry(ranking.task, entry._replace(stage="default"), ranking.threshold_kind)
        tuned_rows = scores.score_rows_of_entry(ranking.task, entry, ranking.threshold_kind)
        if not splits or not default_rows.splits == tuned_rows.splits == splits or max(tuned_rows["trials"]) <= 1:
            continue
        stage_gaps = inner_minus_outer_scores(ranking, default_rows), inner_minus_outer_scores(ranking, tuned_rows)
        if not np.isnan(stage_gaps).any():
            mean_gaps.append(stage_gaps)
            stage_pairs.append(tuned_rows)
    if not stage_pairs:
        return None
    default_gap, tuned_gap = np.mean(mean_gaps, axis=0)
    trials = float(np.mean([rows.mean("trials") for rows in stage_pairs]))
    estimates = []
    for optimism_gap in (default_gap, tuned_gap, tuned_gap - default_gap):
        estimates.append(estimate_paired_difference(scores, ranking.task, ranking.metric, optimism_gap, stage_pairs[0]))
    return SelectionOptimism(len(stage_pairs), trials, *estimates)


def inner_minus_outer_scores(ranking: Ranking, rows: ScoreRows) -> npt.NDArray[np.float64]:
    """Compute inner minus outer score per split, signed so that positive is too good."""
    return (rows["inner"] - rows[ranking.metric.name]) * ranking.metric.sign
