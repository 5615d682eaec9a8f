"""Who is first on a task, and what the splits can say about the others."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from harness.evaluation import evaluate
from harness.evaluation.metric_cache import TUNED_THRESHOLD
from harness.evaluation.scores import ANY, MADE_OF_SEVERAL, Entry, ScoreRows, Scores, entries
from harness.evaluation.significance import FEWEST_SPLITS, LEVEL, Estimate, estimate, holm, told_apart
from harness.metrics.metric import Metric

BASELINE = evaluate.BASELINE


@dataclass(frozen=True)
class RankedEntry:
    """One line of a ranking.

    `complete` says whether the entry has figures in all splits that count; `tied` whether it cannot be told from the
    best one, None where nothing is claimed. What inner scores choose or combine is shown where it belongs but has no rank.
    `also_default` says that the search kept the default configuration in every split: one entry under two names.
    """

    entry: Entry
    score: Estimate
    status: str
    complete: bool
    rank: int | None
    tied: bool | None
    rows: ScoreRows
    also_default: bool = False

    @property
    def name(self) -> str:
        """How the line is named in tables."""
        return self.entry.name + (" = default" if self.also_default else "")


@dataclass(frozen=True)
class Ranking:
    """The entries of a task, best first; those without all splits after them, those without any last.

    `silent` says why nothing is claimed about differences; it is empty where something is. `above_floor` tells whether
    the best entry differs from the majority row, None where that is not known.
    """

    task: str
    metric: Metric
    kind: str
    threshold: str  #: which threshold decides, in words; empty with several classes, where none does
    splits: int
    entries: tuple[RankedEntry, ...]
    no_test_reason: str
    above_baseline: bool | None

    @property
    def digits(self) -> int:
        """How many decimals its scores need."""
        whole = [place.score.mean for place in self.entries if place.complete and place.entry.family != BASELINE]
        return choose_decimals(whole, greater_is_better=self.metric.greater_is_better)

    @property
    def best(self) -> RankedEntry | None:
        """The first place, which nothing made of several entries ever takes: that is no configuration but a way to find one."""
        return next((place for place in self.entries if place.rank == 1), None)

    def place(self, family: str, strategy: str, stage: str = "tuned") -> RankedEntry | None:
        """The line of one entry, as it is without recalibration."""
        return self._line(Entry(family, strategy, stage))

    def family(self, family: str) -> RankedEntry | None:
        """The line of a family: with the strategy that inner scores chose in each split, so that nothing saw the test rows.

        Of a family without a choice it is its first tuned entry; what Optuna searched itself is no candidate for the
        choice and counts where it was all there is. None where no tuned entry has any figure.
        """
        tuned = [p for p in self.entries if p.entry.family == family and p.entry.stage == "tuned" and len(p.rows)]
        tuned = [p for p in tuned if p.entry.strategy != "searched"] or tuned
        return self.place(family, ANY, "chosen") or (tuned[0] if tuned else None)

    def place_of(self, entry: Entry) -> RankedEntry | None:
        """The line on which an entry stands: that of the tuned one for a default that is the same."""
        return self._line(entry) or self.place(entry.family, entry.strategy)

    def _line(self, entry: Entry) -> RankedEntry | None:
        return next((place for place in self.entries if place.entry == entry), None)

    @property
    def baseline(self) -> RankedEntry | None:
        """The line of the majority row."""
        return self.place(BASELINE, "none")


def rank(scores: Scores, task: str) -> Ranking:
    """Rank the entries of a task by its objective; a decision objective at 0.5, where the search was after it too.

    Where a search ended with the default configuration in every split, the two entries are one and the tuned one stays.
    """
    metric, kind = scores.objective(task), scores.objective_kind(task)
    everyone = entries(scores, task)
    same = {entry for entry in everyone if _same_as_tuned(scores, task, entry)}
    found = {entry: status for entry, status in everyone.items() if entry not in same}
    rows = {entry: scores.rows_of(task, entry, kind) for entry in found}
    covered = _covered(rows.values())
    planned = max(len(covered), int(scores.run["tasks"][task].get("splits", 0)))
    silent = _silent(scores, task, len(covered))
    grain = max((scores.grain(task, metric, one) for one in rows.values() if len(one)), default=0.0)
    counts = {
        e: estimate(one[metric.name], one.mean("ratio"), claims=not silent, grain=grain) for e, one in rows.items()
    }
    whole = {e: len(rows[e]) > 0 and rows[e].splits == covered and not math.isnan(counts[e].mean) for e in found}
    sign = -1 if metric.greater_is_better else 1
    order = sorted(
        found,
        key=lambda e: (not whole[e], not len(rows[e]), _low(sign * counts[e].mean), e.stage in MADE_OF_SEVERAL, e),
    )
    complete = [e for e in order if whole[e]]
    singles = [e for e in complete if e.stage not in MADE_OF_SEVERAL]
    above_floor = None if silent or not singles else _above_floor(rows, metric, singles, grain)
    tied = {} if silent or not singles else _ties(rows, metric, complete, singles[0], grain)
    if above_floor is not None:
        tied |= {e: not above_floor for e in singles[1:] if e.family == BASELINE}
    ranks = {e: position for position, e in enumerate(singles, start=1)}
    places = [
        RankedEntry(
            e, counts[e], found[e], whole[e], ranks.get(e), tied.get(e), rows[e], e._replace(stage="default") in same
        )
        for e in order
    ]
    return Ranking(task, metric, kind, _in_words(scores, task, kind), planned, tuple(places), silent, above_floor)


def choose_decimals(scores: Iterable[float], *, greater_is_better: bool = True) -> int:
    """Choose how many decimals scores need, so that none that is not perfect is printed as if it were.

    Parameters
    ----------
    scores : iterable of float
        The scores to print in one column; NaN is ignored.
    greater_is_better : bool, default=True
        Whether a perfect score is 1; it is 0 otherwise.

    Returns
    -------
    int
        From 3 to 6 decimals: scores are stored with six significant digits.
    """
    perfect = 1.0 if greater_is_better else 0.0
    imperfect = [score for score in scores if not math.isnan(score) and abs(score - perfect) > 1e-6]
    for decimals in range(3, 6):
        if all(abs(round(score, decimals) - perfect) > 1e-9 for score in imperfect):
            return decimals
    return 6


def _in_words(scores: Scores, task: str, kind: str) -> str:
    if len(scores.kinds(task)) == 1:
        return ""
    return "at the tuned threshold" if kind == TUNED_THRESHOLD else "at 0.5"


def can_test(scores: Scores, task: str) -> bool:
    """Whether the splits of a task allow intervals at all: forward-chained ones do not."""
    return not scores.run["tasks"][task].get("forward", False)


def _covered(rows: Iterable[ScoreRows]) -> tuple[tuple[int, int], ...]:
    """The splits that count: all that some entry has, or, where none has them all, those of the entry with most."""
    splits = [one.splits for one in rows]
    everywhere = tuple(sorted({split for some in splits for split in some}))
    return everywhere if everywhere in splits else max(splits, key=len, default=())


def _silent(scores: Scores, task: str, splits: int) -> str:
    if not can_test(scores, task):
        return "the splits follow time, so they are no repetitions of one experiment"
    return "" if splits >= FEWEST_SPLITS else "with fewer than three splits there is nothing to measure chance by"


def _same_as_tuned(scores: Scores, task: str, entry: Entry) -> bool:
    if entry.stage != "default":
        return False
    default, tuned = (scores.rows_of(task, entry._replace(stage=stage), "half") for stage in ("default", "tuned"))
    return len(default) > 0 and np.array_equal(default["trial"], tuned["trial"])


def _ties(
    rows: dict[Entry, ScoreRows], metric: Metric, complete: list[Entry], best: Entry, grain: float
) -> dict[Entry, bool]:
    figures = np.array([rows[entry][metric.name] for entry in complete])
    apart = told_apart(figures, rows[best].mean("ratio"), grain)[complete.index(best)]
    return {e: not different for e, different in zip(complete, apart, strict=True) if e != best}


def _above_floor(rows: dict[Entry, ScoreRows], metric: Metric, singles: list[Entry], grain: float) -> bool | None:
    """Whether the best differs from the majority row, which was fixed beforehand: Holm over the entries."""
    floor = next((entry for entry in singles if entry.family == BASELINE), None)
    others = [entry for entry in singles if entry.family != BASELINE]
    if floor is None or singles[0] == floor:
        return None
    against = [rows[e][metric.name] - rows[floor][metric.name] for e in others]
    adjusted = holm([estimate(difference, rows[floor].mean("ratio"), grain=grain).p for difference in against])
    return adjusted[others.index(singles[0])] < 1 - LEVEL


def _low(value: float) -> float:
    return math.inf if math.isnan(value) else value
