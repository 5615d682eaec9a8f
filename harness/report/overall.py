"""All tasks together: mean rank, wins, normalised score."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy import stats

from harness.report.markdown import bold_best, count, escape, folded_table, number
from harness.report.ranking import Ranking
from harness.report.scores import Entry


def overall(rankings: list[Ranking]) -> str:
    """A table of the entries that have all splits of all tasks, and who is left out of it for lacking some."""
    rankings = [ranking for ranking in rankings if ranking.best is not None]
    if len(rankings) < 2:
        return "There is one task only, so there is nothing to average over."
    scored = [_tuned_scores(ranking) for ranking in rankings]
    everyone = list(dict.fromkeys(entry for one in scored for entry in one))
    shared = [entry for entry in everyone if all(entry in one for one in scored)]
    left_out = [entry for entry in everyone if entry not in shared]
    said = (
        f"Tuned entries over {count(len(rankings), 'task')}, each ranked by the objective of the task. *Wins* are first places "
        "(shared ones count for each), *normalised* is 0 at the majority row of a task, or below it, and 1 at its best entry. "
        "Nothing is claimed about other tasks."
    )
    if not shared:
        return f"{said}\n\nNo entry has all splits of all tasks."
    parts = [said, _table(shared, np.array([[one[entry] for one in scored] for entry in shared]), rankings)]
    if left_out:
        names = ", ".join(sorted({escape(f"{entry.family}/{entry.strategy}") for entry in left_out}))
        parts.append(f"Left out, because some splits of some task are lacking: {names}.")
    return "\n\n".join(parts)


def _tuned_scores(ranking: Ranking) -> dict[Entry, float]:
    """The mean objective of the complete tuned entries, turned so that more is better."""
    sign = 1 if ranking.metric.greater_is_better else -1
    return {p.entry: sign * p.score.mean for p in ranking.places if p.complete and p.entry.stage == "tuned"}


def _table(shared: list[Entry], figures: npt.NDArray[np.float64], rankings: list[Ranking]) -> str:
    """`figures` (entries, tasks): more is better."""
    ranks = stats.rankdata(-figures, axis=0)
    wins = (figures == figures.max(axis=0)).sum(axis=1)
    normalised = np.array([_normalised(figures[:, at], ranking) for at, ranking in enumerate(rankings)])
    score = np.array([float(column.mean()) if len(column) else math.nan for column in _without_nan(normalised)])
    order = sorted(range(len(shared)), key=lambda at: (ranks[at].mean(), shared[at]))
    mean_ranks = [float(ranks[at].mean()) for at in order]
    columns = [
        bold_best(mean_ranks, [number(value, 2) for value in mean_ranks], greater=False),
        [str(wins[at]) for at in order],
        bold_best([score[at] for at in order], [number(score[at]) for at in order], greater=True),
    ]
    rows = [[escape(shared[at].name), *cells] for at, *cells in zip(order, *columns, strict=True)]
    return folded_table(["Entry", "Mean rank", "Wins", "Normalised"], rows)


def _normalised(column: npt.NDArray[np.float64], ranking: Ranking) -> npt.NDArray[np.float64]:
    sign = 1 if ranking.metric.greater_is_better else -1
    floor = ranking.floor
    low = sign * floor.score.mean if floor is not None and floor.complete else float(column.min())
    high = max(_tuned_scores(ranking).values())
    return np.clip((column - low) / (high - low), 0, None) if high > low else np.full(len(column), math.nan)


def _without_nan(normalised: npt.NDArray[np.float64]) -> list[npt.NDArray[np.float64]]:
    return [column[~np.isnan(column)] for column in normalised.T]
