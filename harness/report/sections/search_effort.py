"""What searches reached by when, and what they brought over the default configuration."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TypeAlias

import numpy as np

from harness.evaluation.ranking import BASELINE, Ranking, can_test
from harness.evaluation.scores import Entry, ScoreRows, Scores
from harness.evaluation.search_history import Search, Trial
from harness.evaluation.significance import LEVEL, Estimate, estimate, holm
from harness.report.render.markdown import count, escape, folded_table, listed, plus_minus

POINTS = 150  #: of a curve at most
Curve: TypeAlias = tuple[tuple[float, float], ...]  #: (seconds, best inner score so far), in order
KEPT, PAYS, HURTS, UNTOLD = "kept the default", "pays", "hurts", "cannot be told"


@dataclass(frozen=True)
class Clock:
    """How the time of trials is measured: the attribute, and its name on an axis."""

    attribute: str
    said: str

    def of(self, trial: Trial) -> float:
        """What a trial took, in seconds."""
        return float(getattr(trial, self.attribute))


CPU = Clock("cpu_seconds", "CPU seconds of the search")
WALL = Clock("seconds", "seconds of the search (wall clock)")


@dataclass(frozen=True)
class Gain:
    """What the search of one entry brought over its default configuration, better is positive.

    `inner` is the score that was searched, so its gain is never negative and flatters; `outer` is measured on sealed
    rows. `reading` is after Holm's adjustment over the task's entries; empty where nothing is claimed.
    """

    entry: Entry
    inner: float
    outer: Estimate
    reading: str


def clock_of(searches: Sequence[Search]) -> Clock:
    """CPU time where every trial has it, else the wall clock: runs of older versions did not note it."""
    trials = [trial for one in searches for trial in one.trials]
    return WALL if any(math.isnan(trial.cpu_seconds) for trial in trials) else CPU


def best_so_far(trials: Sequence[Trial], *, greater: bool) -> list[float]:
    """The best score after every trial; NaN until one is complete."""
    found, best = [], math.nan
    for trial in trials:
        if math.isnan(best) or (trial.value > best if greater else trial.value < best):
            best = trial.value
        found.append(best)
    return found


def anytime(searches: Sequence[Search], clock: Clock, *, greater: bool) -> Curve:
    """The best inner score so far against seconds of search, mean over the splits that have any.

    It begins when all of these have a complete trial. A search that has ended keeps its best. Failed trials take
    their time too.
    """
    stairs = []
    for one in searches:
        times = list(accumulate(clock.of(trial) for trial in one.trials))
        bests = best_so_far(one.trials, greater=greater)
        reached = [(time, best) for time, best in zip(times, bests, strict=True) if not math.isnan(best)]
        if reached:
            stairs.append(reached)
    if not stairs:
        return ()
    start = max(stair[0][0] for stair in stairs)
    moments = sorted({start, *(time for stair in stairs for time, _ in stair if time > start)})
    if len(moments) > POINTS:
        low = max(start, 1e-6)
        moments = [start, *np.geomspace(low, moments[-1], POINTS)[1:-1].tolist(), moments[-1]]
    means = [sum(_at(stair, moment) for stair in stairs) / len(stairs) for moment in moments]
    return tuple((float(f"{moment:.6g}"), float(f"{mean:.6g}")) for moment, mean in zip(moments, means, strict=True))


def _at(stair: list[tuple[float, float]], moment: float) -> float:
    return stair[bisect_right(stair, (moment, math.inf)) - 1][1]


def best_strategies(curves: Mapping[tuple[str, str], Curve], *, greater: bool) -> dict[str, str]:
    """By family the strategy other than doing nothing whose search ended with the best inner score."""
    sign = 1 if greater else -1
    found: dict[str, tuple[float, str]] = {}
    for (family, strategy), curve in sorted(curves.items()):
        if curve and strategy != "none":
            reached = sign * curve[-1][1]
            if family not in found or reached > found[family][0]:
                found[family] = (reached, strategy)
    return {family: strategy for family, (_, strategy) in found.items()}


def ranked(ranking: Ranking) -> list[tuple[str, str]]:
    """Family and strategy of every entry that was searched, best first."""
    return list(dict.fromkeys((p.entry.family, p.entry.strategy) for p in ranking.entries if p.entry.stage == "tuned"))


def gains(scores: Scores, ranking: Ranking) -> list[Gain]:
    """What the search brought to every tuned entry of a task, best entries first, over the splits that both stages have."""
    task, metric = ranking.task, ranking.metric
    entries = [Entry(*who, "tuned") for who in ranked(ranking) if who[0] != BASELINE]
    sign = 1 if metric.greater_is_better else -1
    measured = []
    for entry in entries:
        default, tuned = _paired(scores, ranking, entry)
        if len(tuned):
            outer = sign * (tuned[metric.name] - default[metric.name])
            grain = scores.grain(task, metric, tuned)
            found = estimate(outer, tuned.mean("ratio"), claims=can_test(scores, task), grain=grain)
            same = bool(np.array_equal(default["trial"], tuned["trial"]))
            measured.append((entry, sign * (tuned.mean("inner") - default.mean("inner")), found, same))
    adjusted = holm([math.nan if same else outer.p for *_, outer, same in measured])
    return [
        Gain(entry, inner, outer, KEPT if same else _reading(outer, p))
        for (entry, inner, outer, same), p in zip(measured, adjusted, strict=True)
    ]


def _paired(scores: Scores, ranking: Ranking, entry: Entry) -> tuple[ScoreRows, ScoreRows]:
    """The figures of the default and of the tuned configuration in the splits that both have."""
    default, tuned = (
        scores.rows_of(ranking.task, entry._replace(stage=one), ranking.kind) for one in ("default", "tuned")
    )
    return default.at(tuned.splits), tuned.at(default.splits)


def _reading(outer: Estimate, adjusted: float) -> str:
    if math.isnan(outer.p):
        return ""
    if adjusted >= 1 - LEVEL:
        return UNTOLD
    return PAYS if outer.mean > 0 else HURTS


NAMED = 5


def gains_text(found: Sequence[Gain], ranking: Ranking) -> str:
    """For which entries the search paid on rows that it never saw, and what the two columns mean."""
    by_reading = {word: [one for one in found if one.reading == word] for word in (PAYS, HURTS, UNTOLD, KEPT)}
    said = []
    for word, ends in ((PAYS, "scores higher"), (HURTS, "scores lower")):
        if some := by_reading[word]:
            names = [
                f"{escape('/'.join(one.entry[:2]))} ({plus_minus(one.outer.mean, one.outer.half, signed=True)})"
                for one in some
            ]
            more = [*names[:NAMED], f"{len(names) - NAMED} more"] if len(names) > NAMED else names
            said.append(f"the configuration found {ends} on the test rows for {listed(more)}")
    if some := by_reading[UNTOLD]:
        said.append(f"for {count(len(some), 'entry', 'entries')} it cannot be told from the default configuration")
    if some := by_reading[KEPT]:
        said.append(f"for {count(len(some), 'entry', 'entries')} every split kept the default configuration")
    tested = sum(len(by_reading[word]) for word in (PAYS, HURTS, UNTOLD))
    adjusted = f"; readings are after Holm's adjustment over {count(tested, 'entry', 'entries')}, so an interval without 0 in it "
    adjusted += "need not be enough"
    adjusted = adjusted if tested > 1 else ""
    verdict = "; ".join(said)
    verdict = (
        f"{verdict[0].upper()}{verdict[1:]}. "
        if said
        else f"No verdict: {ranking.no_test_reason or 'splits are missing'}. "
    )
    return (
        f"{verdict}*Inner* is the gain on the folds that the search looked at: the largest of many tries, so it is never "
        "negative and tends to promise too much. *Outer* is the gain on sealed test rows, with its corrected 95 % interval"
        f"{adjusted}. Above zero is better."
    )


def gains_table(found: Sequence[Gain], label: str) -> str:
    """Every tuned entry against its own default configuration."""
    header = ["Family", "Strategy", f"{label}: inner gain", "Outer gain", "Splits", "Tuning"]
    rows = [
        [
            escape(one.entry.family),
            escape(one.entry.strategy),
            plus_minus(one.inner, float("nan"), signed=True),
            plus_minus(one.outer.mean, one.outer.half, signed=True),
            str(one.outer.n),
            one.reading or "–",
        ]
        for one in found
    ]
    return folded_table(header, rows)
