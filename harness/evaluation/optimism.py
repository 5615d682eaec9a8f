"""What the search believed, and what held: inner scores against scores on test rows."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from harness.evaluation.ranking import BASELINE, Ranking, can_test
from harness.evaluation.scores import Entry, ScoreRows, Scores, entries
from harness.evaluation.significance import Estimate, estimate


@dataclass(frozen=True)
class Belief:
    """One entry: how many trials it had, its mean inner and outer score, and by how much too good the inner one was.

    `gap` is above zero where the search believed too much, whether more or less of the metric is better.
    """

    entry: Entry
    name: str
    trials: float
    inner: float
    outer: float
    gap: Estimate


@dataclass(frozen=True)
class Selection:
    """What choosing by inner scores adds to them, on average over the pairs of family and strategy that have both stages.

    `default` is the gap of configurations that nobody chose, `tuned` that of the searches' choices, `added` their difference.
    """

    pairs: int
    trials: float
    default: Estimate
    tuned: Estimate
    added: Estimate


def beliefs(scores: Scores, ranking: Ranking) -> list[Belief]:
    """The entries that have all splits and an inner score in each of them, best first; the majority row has no search."""
    found = []
    for place in ranking.entries:
        rows = place.rows
        if place.complete and place.entry.family != BASELINE and not math.isnan(rows.mean("inner")):
            gap = _estimate(scores, ranking, gaps(ranking, rows), rows)
            outer = rows.mean(ranking.metric.name)
            found.append(Belief(place.entry, place.name, rows.mean("trials"), rows.mean("inner"), outer, gap))
    return found


def selection(scores: Scores, ranking: Ranking) -> Selection | None:
    """What the search added to inner scores by choosing; None where no pair has both stages in all splits that count."""
    splits = next((place.rows.splits for place in ranking.entries if place.complete), ())
    pairs = []
    for entry in entries(scores, ranking.task):
        if entry.stage == "tuned" and entry.family != BASELINE:
            rows = [scores.rows_of(ranking.task, entry._replace(stage=s), ranking.kind) for s in ("default", "tuned")]
            known = all(one.splits == splits and not math.isnan(gaps(ranking, one).sum()) for one in rows)
            if known and max(rows[1]["trials"]) > 1:
                pairs.append(rows)
    if not splits or not pairs:
        return None
    default, tuned = (np.mean([gaps(ranking, rows[stage]) for rows in pairs], axis=0) for stage in (0, 1))
    first = pairs[0][1]
    estimates = (_estimate(scores, ranking, values, first) for values in (default, tuned, tuned - default))
    return Selection(len(pairs), float(np.mean([rows[1].mean("trials") for rows in pairs])), *estimates)


def gaps(ranking: Ranking, rows: ScoreRows) -> npt.NDArray[np.float64]:
    """Inner minus outer score per split, turned so that above zero is too good."""
    return (rows["inner"] - rows[ranking.metric.name]) * (1 if ranking.metric.greater_is_better else -1)


def _estimate(scores: Scores, ranking: Ranking, values: npt.NDArray[np.float64], rows: ScoreRows) -> Estimate:
    grain = scores.grain(ranking.task, ranking.metric, rows)
    return estimate(values, rows.mean("ratio"), claims=can_test(scores, ranking.task), grain=grain)
