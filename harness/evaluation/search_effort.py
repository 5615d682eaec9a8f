"""What searches reached by when: the best score so far against the time of the trials."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain
from typing import TypeAlias

import numpy as np

from harness.evaluation.search_history import CellSearch, SearchTrial

MAX_POINTS = 150  #: of a curve
Curve: TypeAlias = tuple[tuple[float, float], ...]  #: (seconds, best inner score so far), in order


@dataclass(frozen=True)
class SearchClock:
    """How the time of trials is measured: the attribute of a trial, and its name on an axis."""

    attribute: str
    label: str

    def seconds(self, trial: SearchTrial) -> float:
        """Give the time that a trial took, in seconds."""
        return float(getattr(trial, self.attribute))


CPU = SearchClock("cpu_seconds", "CPU seconds of the search")
WALL = SearchClock("seconds", "seconds of the search (wall clock)")


def search_clock(searches: Sequence[CellSearch]) -> SearchClock:
    """Choose CPU time where every trial has it, else the wall clock: older versions did not record it."""
    seconds = [trial.cpu_seconds for search in searches for trial in search.trials]
    return WALL if any(map(math.isnan, seconds)) else CPU


def running_best(trials: Sequence[SearchTrial], *, greater: bool) -> list[float]:
    """Give the best score after every trial; NaN until one is complete."""
    bests, best = [], math.nan
    for trial in trials:
        improved = trial.value > best if greater else trial.value < best
        if improved or math.isnan(best):
            best = trial.value
        bests.append(best)
    return bests


def anytime_curve(searches: Sequence[CellSearch], clock: SearchClock, *, greater: bool) -> Curve:
    """Average the best inner score so far, as a function of seconds of search, over the splits that have any.

    Parameters
    ----------
    searches : sequence of Search
        The searches of one entry, one per split.
    clock : SearchClock
        How time is measured; failed trials take their time too.
    greater : bool
        Whether a greater score is better.

    Returns
    -------
    Curve
        At most `MAX_POINTS` points from the moment when all splits have a complete trial; a search that has ended keeps its
        best. Empty where no trial is complete.
    """
    stairs = list(filter(None, (_stair(search, clock, greater=greater) for search in searches)))
    if not stairs:
        return ()
    start = max(stair[0][0] for stair in stairs)
    times = sorted({max(time, start) for time, _ in chain.from_iterable(stairs)})
    if len(times) > MAX_POINTS:
        low = max(start, 1e-6)
        times = [start, *np.geomspace(low, times[-1], MAX_POINTS)[1:-1].tolist(), times[-1]]
    curve = []
    for time in times:
        mean = sum(_best_at(stair, time) for stair in stairs) / len(stairs)
        curve.append((float(f"{time:.6g}"), float(f"{mean:.6g}")))
    return tuple(curve)


def _stair(search: CellSearch, clock: SearchClock, *, greater: bool) -> list[tuple[float, float]]:
    """The time and the best score after every trial, from the first complete trial on."""
    times = accumulate(map(clock.seconds, search.trials))
    steps = zip(times, running_best(search.trials, greater=greater), strict=True)
    return [step for step in steps if not math.isnan(step[1])]


def _best_at(stair: list[tuple[float, float]], moment: float) -> float:
    return stair[bisect_right(stair, (moment, math.inf)) - 1][1]


def best_strategies(curves: Mapping[tuple[str, str], Curve], *, greater: bool) -> dict[str, str]:
    """Find for every family the strategy, other than doing nothing, whose search ended with the best inner score."""
    sign = 1 if greater else -1
    best: dict[str, tuple[float, str]] = {}
    for (family, strategy), curve in sorted(curves.items()):
        if curve and strategy != "none":
            score = sign * curve[-1][1]
            if family not in best or score > best[family][0]:
                best[family] = (score, strategy)
    return {family: strategy for family, (_, strategy) in best.items()}
