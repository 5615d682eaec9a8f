"""What the tuned entries of a task make together: their ensembles, who is in them, and whether it pays."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from harness.evaluation.ensembles import GREEDY, KINDS, LIBRARY, ROUNDS, STACKING
from harness.evaluation.evaluate import ENSEMBLE_PARTS
from harness.evaluation.ranking import Ranking, can_test
from harness.evaluation.scores import ANY, Entry, Scores
from harness.evaluation.significance import LEVEL, Estimate, estimate, holm
from harness.report.content import Evidence, Section
from harness.report.render.markdown import NONE, brief, count, escape, folded_table, listed, number, plus_minus, table

TITLE = "Would several entries together be better?"
TEXT = (
    "Ensembles of the tuned entries, made afterwards from stored probabilities without fitting any entry again. Their weights "
    "are chosen anew in every outer split, on inner out-of-fold rows that no member had learnt from. *greedy* is a mean to "
    f"which, {ROUNDS} times, the member is added that helps the objective most (Caruana et al. 2004); it stops where more did not "
    "help. *stacking* is a regularised logistic regression on the members' log-odds; its weights may be negative and need not "
    f"add up to 1. Where there are more than {LIBRARY} entries, the {LIBRARY} best on those rows compete. Left out: the majority "
    "row, and what Optuna chose among strategies itself (`searched`), as those strategies are there in their own right. "
    f"Weights fitted on all inner rows look better on them than they are, so *inner* and the decision threshold come from "
    f"{ENSEMBLE_PARTS} parts of these rows, each predicted with weights that the others gave. Ensembles had the trials of all "
    "their candidates together and cost as much as all members with a weight, so they get no rank."
)
CHOSEN = Entry(ANY, ANY, "chosen")


@dataclass(frozen=True)
class Member:
    """An entry in one kind of ensemble: its weight in every split where it could be chosen, by split."""

    entry: Entry
    weights: dict[tuple[int, int], float]

    @property
    def used(self) -> int:
        """In how many splits it has a weight."""
        return sum(weight != 0 for weight in self.weights.values())


def members(scores: Scores, task: str, kind: str) -> list[Member]:
    """Who is in the ensembles of a kind, the largest mean weight first; those that never have a weight are left out."""
    who = {cell.record.id: Entry(cell.family, cell.strategy, "tuned") for cell in scores.cells if cell.record}
    found: dict[Entry, dict[tuple[int, int], float]] = {}
    for (of, made, split), one in scores.combined.items():
        if (of, made) == (task, kind):
            for cell, weight in one.weights.items():
                found.setdefault(who[cell], {})[split] = weight
    used = [one for one in (Member(entry, weights) for entry, weights in found.items()) if one.used]
    return sorted(used, key=lambda one: (-abs(float(np.mean([*one.weights.values()]))), one.entry))


def gains(scores: Scores, ranking: Ranking) -> dict[str, Estimate]:
    """By kind, the objective of the ensemble minus that of the entry that inner scores choose, over the splits of both.

    Both had the same trials (but for the majority row's one), so this asks what combining adds to choosing.
    """
    found = {}
    for kind in KINDS:
        mine = scores.rows_of(ranking.task, Entry(ANY, kind, "ensembled"), ranking.kind)
        chosen = scores.rows_of(ranking.task, CHOSEN, ranking.kind).at(mine.splits)
        mine = mine.at(chosen.splits)
        if len(mine):
            change = mine[ranking.metric.name] - chosen[ranking.metric.name]
            grain = scores.grain(ranking.task, ranking.metric, chosen)
            ratio = chosen.mean("ratio")
            found[kind] = estimate(change, ratio, claims=can_test(scores, ranking.task), grain=grain)
    return found


def sections(evidence: Evidence) -> list[Section]:
    """One section per task that has ensembles, or a sentence why it has none."""
    return [
        Section(TITLE, _parts(evidence.scores, ranking), ranking.task)
        for ranking in evidence.rankings
        if any(len(place.rows) for place in ranking.entries)
    ]


def _parts(scores: Scores, ranking: Ranking) -> tuple[str, ...]:
    lost = _lost(scores, ranking.task)
    if not any(of == ranking.task for of, _, _ in scores.combined):
        if lost:
            return tuple(lost)
        needed = f"two tuned entries with the same rows in a split and {ENSEMBLE_PARTS} inner rows of every class"
        return (f"No ensemble was made: that takes {needed}.",)
    parts = [TEXT, verdict(ranking, gains(scores, ranking)), _scored(scores, ranking)]
    return (*parts, *lost, "Who is in them, over the splits:", _weighed(scores, ranking.task))


def _lost(scores: Scores, task: str) -> list[str]:
    """A sentence about the splits whose ensembles could not be made because something went wrong."""
    why = [reason for (of, _), reason in scores.uncombined.items() if of == task]
    return [f"Of {count(len(why), 'split')} ensembles could not be made: {escape(why[0])}."] if why else []


def verdict(ranking: Ranking, found: dict[str, Estimate]) -> str:
    """In a sentence: whether an ensemble is shown to be better than the entry that inner scores choose."""
    if not found:
        return "There is no entry chosen by inner scores to compare with."
    differ = {kind: plus_minus(one.mean, one.half, signed=True) for kind, one in found.items()}
    label = escape(ranking.metric.label)
    amounts = listed([f"{kind} {said}" for kind, said in differ.items()])
    against = f"Against the entry that inner scores choose in each split (`{CHOSEN.name}`), in {label}: {amounts}."
    if all(math.isnan(one.p) for one in found.values()):
        reason = f": {ranking.no_test_reason}" if ranking.no_test_reason else ""
        return f"{against} Whether that is more than chance is not known{reason}."
    adjusted = dict(zip(found, holm([one.p for one in found.values()]), strict=True))
    sure = [kind for kind in found if adjusted[kind] < 1 - LEVEL]
    if not sure:
        return (
            f"{against} Neither difference is more than chance explains."
            if len(found) > 1
            else f"{against} That may be chance."
        )
    said = [
        f"{kind} is {'better' if (found[kind].mean > 0) == ranking.metric.greater_is_better else 'worse'}"
        for kind in sure
    ]
    return f"{against} After Holm's adjustment {listed(said)} by more than chance explains."


def _scored(scores: Scores, ranking: Ranking) -> str:
    """The ensembles beside what is chosen and what is best alone."""
    names = [ranking.metric.name, "log_loss", "brier"]
    rows = []
    best = [ranking.best.entry] if ranking.best else []
    for entry in (*(Entry(ANY, kind, "ensembled") for kind in KINDS), CHOSEN, *best):
        found = scores.rows_of(ranking.task, entry, ranking.kind)
        if len(found):
            figures = [number(found.mean(name)) for name in names]
            inner = number(found.mean("inner"))
            size = [
                *(brief(found.mean(name)) for name in ("fit_seconds", "trials")),
                _size(scores, ranking.task, entry),
            ]
            rows.append([escape(entry.name), figures[0], inner, *figures[1:], *size, str(len(found))])
    label = ranking.metric.label
    header = ["Entry", label, f"{label} inner", "Log loss", "Brier", "Fit s", "Trials", "Members", "Splits"]
    return table(header, rows)


def _size(scores: Scores, task: str, entry: Entry) -> str:
    """How many members have a weight, from the fewest to the most over the splits."""
    sizes = [
        sum(weight != 0 for weight in one.weights.values())
        for (of, kind, _), one in scores.combined.items()
        if (of, kind) == (task, entry.strategy) and entry.stage == "ensembled"
    ]
    if not sizes:
        return "1"
    return str(min(sizes)) if min(sizes) == max(sizes) else f"{min(sizes)} to {max(sizes)}"


def _weighed(scores: Scores, task: str) -> str:
    by_kind = {kind: {one.entry: one for one in members(scores, task, kind)} for kind in KINDS}
    everyone = list(dict.fromkeys(entry for kind in KINDS for entry in by_kind[kind]))
    header = ["Entry", "Greedy: mean weight", "in splits", "Stacking: mean weight", "from", "to"]
    rows = []
    for entry in everyone:
        greedy, stacked = by_kind[GREEDY].get(entry), by_kind[STACKING].get(entry)
        share = (
            [number(float(np.mean([*greedy.weights.values()]))), f"{greedy.used}/{len(greedy.weights)}"]
            if greedy
            else None
        )
        weights = [*stacked.weights.values()] if stacked else []
        spread = [number(value) for value in (float(np.mean(weights)), min(weights), max(weights))] if weights else None
        rows.append([escape(entry.name), *(share or [NONE, NONE]), *(spread or [NONE] * 3)])
    made = {kind: sum((of, which) == (task, kind) for of, which, _ in scores.combined) for kind in KINDS}
    said = f"Mean weights are over the splits in which an entry could be chosen; ensembles of {count(max(made.values()), 'split')}."
    return f"{folded_table(header, rows)}\n\n{said}"
