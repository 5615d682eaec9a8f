"""What is to be seen in the pictures of a task, in sentences and tables."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from harness.evaluation.curves import Bin, Diagnosis, Ranks
from harness.evaluation.diagnosis import FAMILIES, Shown
from harness.evaluation.metric_cache import DEFAULT_THRESHOLD, TUNED_THRESHOLD
from harness.evaluation.ranking import RankedEntry, Ranking, can_test
from harness.evaluation.scores import Scores
from harness.metrics.classification import class_report
from harness.report.render.markdown import NONE, count, escape, folded_table, listed, number, plus_minus, table

PAIRS = 10  #: confused pairs in the table
TENTH = 0.1


def per_hundred(share: float) -> str:
    """How many of 100, with a decimal where whole numbers would say none or all and that is not so."""
    percent = 100 * share
    if percent in (0, 100) or 1 <= percent <= 99:
        return f"{percent:.0f}"
    if 0.05 <= percent < 99.95:
        return f"{percent:.1f}"
    return "fewer than 0.1" if percent < 1 else "more than 99.9"


def counted(shown: Shown) -> str:
    """What a count of test rows is."""
    more = f"; with {shown.diagnosis.repeats} repeats every row counts {shown.diagnosis.repeats} times"
    out = more if shown.diagnosis.repeats > 1 else ""
    return f"Counts, and what is said of 100 rows, are of the test rows of all splits together{out}. The table has means over splits."


def which(ranking: Ranking, places: Sequence[RankedEntry], shown: Sequence[Shown]) -> str:
    """Which entries the pictures show, and whose figures lack splits."""
    said = "Shown is the best tuned entry of each family" if len(places) > 1 else "Shown is the best tuned entry"
    said += f", of the {FAMILIES} best of {len(places)} families." if len(places) > FAMILIES else "."
    best = ranking.best
    if best and best.entry != places[0].entry:
        said += f" First on the leaderboard is {escape(best.entry.name)}, which is not among them."
    short = [one for one in shown if one.diagnosis.splits < ranking.splits]
    if short:
        which_ones = listed([f"{escape(one.name)} ({one.diagnosis.splits})" for one in short])
        said += f" Not all {ranking.splits} splits are there for {which_ones}."
    return said


def how_averaged(scores: Scores, ranking: Ranking, shown: Sequence[Shown]) -> str:
    """What a curve and its band are."""
    splits = max(one.diagnosis.splits for one in shown)
    lost = [(one, one.diagnosis.splits - (one.diagnosis.ranks.splits if one.diagnosis.ranks else 0)) for one in shown]
    said = [f"{escape(one.name)} ({n})" for one, n in lost if n]
    out = f" Splits with rows of one class only have no curve: {listed(said)}." if said else ""
    if splits == 1:
        return "There is one split only, so there are no bands." + out
    text = (
        f"Curves are means over {splits} splits. Bands are ± one standard deviation over the splits: how much single splits "
        "differ, no confidence intervals"
    )
    text += "." if can_test(scores, ranking.task) else "; the splits follow time, so a change over time is in them too."
    return text + out


def ranks_said(first: Shown, classes: Sequence[str]) -> str:
    """How well the first entry ranks, in numbers that can be pictured."""
    ranks, name = first.diagnosis.ranks, escape(first.name)
    if ranks is None:
        return f"{name}: no split has rows of more than one class, so there is no order to look at."
    areas = f"ROC AUC {number(ranks.roc_auc)}, average precision {number(ranks.average_precision)}"
    pairs = f"{per_hundred(ranks.roc_auc)} of 100 pairs"
    if len(classes) > 2:
        return (
            f"{name}: of a row of a class and one of another class, that of the class gets the higher probability for it in "
            f"{pairs}, a tie counted half ({areas}: means over {len(classes)} classes, each against the rest)."
        )
    negative, positive = map(escape, classes)
    found = ranks.gain.mean[ranks.gain.x.index(TENTH)]
    return (
        f"{name}: of a row that is {positive} and one that is {negative}, the first gets the higher score in {pairs}, a tie "
        f"counted half ({areas}; without any order 0.5 and {number(ranks.prevalence)}). The tenth of the rows with the highest "
        f"scores holds {per_hundred(found)} of 100 {positive}: {found / TENTH:.1f} times what as many rows drawn at random hold (lift)."
    )


def classes_table(diagnosis: Diagnosis, classes: Sequence[str]) -> str:
    """Every class against the rest, the hardest first."""
    known = [(name, ranks) for name, ranks in zip(classes, diagnosis.classes, strict=True) if ranks]
    known.sort(key=lambda one: one[1].average_precision)
    rows = [
        [escape(name), number(ranks.roc_auc), number(ranks.average_precision), number(ranks.prevalence)]
        for name, ranks in known
    ]
    return folded_table(["Class", "ROC AUC against the rest", "Average precision", "Share of the rows"], rows)


def decisions_said(scores: Scores, ranking: Ranking, shown: Shown) -> str:
    """What an entry decides at each threshold kind, in rows of 100."""
    entry, classes = shown.place.entry, scores.classes(ranking.task)
    if len(classes) > 2:
        confusion = scores.pooled(ranking.task, entry, DEFAULT_THRESHOLD)
        right = per_hundred(float(np.trace(confusion) / max(confusion.sum(), 1)))
        return f"{escape(shown.name)} calls the most probable class: {right} of 100 rows rightly."
    said = [
        f"{at}, {_found(scores.pooled(ranking.task, entry, kind), escape(classes[1]))}"
        for kind, at in (
            (DEFAULT_THRESHOLD, "at 0.5"),
            (TUNED_THRESHOLD, f"at the tuned threshold ({_spread(shown.tuned)})"),
        )
        if len(scores.rows_of(ranking.task, entry, kind))
    ]
    return f"{escape(shown.name)}: {'; '.join(said)}."


def axis_said(classes: Sequence[str], *, log_odds: bool) -> str:
    """What the common axis of scores and figures is."""
    said = (
        f"At each threshold the rows with at least that score are called {escape(classes[1])}. Heights above are shares of each "
        "class, so the rare one is as large as the other."
    )
    stretched = (
        " The axis is stretched at both ends (log-odds, the logarithm of score / (1 − score)): half of the scores of an entry "
        "lie within 0.05 of one end."
    )
    return said + (stretched if log_odds else "")


def costs_said(scores: Scores, ranking: Ranking, shown: Shown) -> str:
    """What decisions cost at both thresholds, and where the curve is lowest; nothing where the task has no costs."""
    sweep = shown.diagnosis.sweep_log_odds
    if not scores.run["tasks"][ranking.task].get("costs") or sweep is None or sweep.cost is None:
        return ""
    curves = [curve for curve in (shown.diagnosis.sweep, sweep) if curve and curve.cost]
    least = min(cost for curve in curves if curve.cost for cost in curve.cost.mean if not math.isnan(cost))
    paid = [
        f"{number(scores.rows_of(ranking.task, shown.place.entry, kind).mean('expected_cost'))} at {at}"
        for kind, at in ((DEFAULT_THRESHOLD, "0.5"), (TUNED_THRESHOLD, "the tuned threshold"))
    ]
    return (
        f"A decision of {escape(shown.name)} costs {listed(paid)}; the lowest point of the curve is {number(least)}, but that "
        "threshold was found on the test rows themselves: no promise for others."
    )


def class_table(scores: Scores, ranking: Ranking, detail: Sequence[Shown], most: int) -> str:
    """What rows of every class were called, with at most so many classes, and its precision, recall and F1.

    Counts are of all splits, figures means and standard deviations over them.
    """
    classes = scores.classes(ranking.task)
    rows, counted = [], len(classes) <= most
    for shown in detail:
        for kind in scores.kinds(ranking.task):
            found = scores.rows_of(ranking.task, shown.place.entry, kind)
            if not len(found):
                continue
            reports = np.array([class_report(scores.figures[view].confusion) for view in found.views])
            confusion = scores.pooled(ranking.task, shown.place.entry, kind)
            decision = "most probable" if len(classes) > 2 else "at 0.5" if kind == DEFAULT_THRESHOLD else "tuned"
            for at, name in enumerate(classes):
                figures = [_mean_and_spread(reports[:, figure, at]) for figure in range(3)]
                called = [f"{n:,}" for n in confusion[at]] if counted else []
                rows.append([escape(shown.name), decision, escape(name), *figures, f"{confusion[at].sum():,}", *called])
    header = ["Entry", "Decision", "Class", "Precision ± SD", "Recall ± SD", "F1 ± SD", "Rows"]
    return folded_table([*header, *(f"called {escape(name)}" for name in classes if counted)], rows)


def confused(shown: Shown, confusion: npt.NDArray[np.int64], classes: Sequence[str]) -> list[str]:
    """Which classes an entry takes for which, the most frequent pairs as a table; a sentence where it never errs."""
    pairs, body = int((confusion - np.diag(np.diagonal(confusion)) > 0).sum()), confused_table(confusion, classes)
    if not body:
        return [f"{escape(shown.name)} takes no class for another."]
    most = f"the {PAIRS} most frequent of {pairs:,} pairs" if pairs > PAIRS else count(pairs, "pair")
    return [f"What {escape(shown.name)} takes for what, {most}, most rows first:", body]


def confused_table(confusion: npt.NDArray[np.int64], classes: Sequence[str]) -> str:
    """Which class is most often taken for which; empty where none ever is."""
    wrong = confusion - np.diag(np.diagonal(confusion))
    pairs = sorted(zip(*np.nonzero(wrong), strict=True), key=lambda pair: (-wrong[pair], *pair))[:PAIRS]
    rows = [
        [escape(classes[true]), escape(classes[called]), f"{n:,}", f"{100 * n / confusion[true].sum():.1f}"]
        for true, called in pairs
        for n in [int(wrong[true, called])]
    ]
    return table(["True class", "Called", "Rows", "% of the true class"], rows) if rows else ""


def probabilities_said(shown: Shown, classes: Sequence[str]) -> str:
    """What was said on the whole and at the upper end against what was so."""
    found = shown.diagnosis
    what = (
        f"{escape(classes[1])} with a mean probability of"
        if len(classes) == 2
        else "on the called class a mean probability of"
    )
    was = "are" if len(classes) == 2 else "are called rightly"
    top = found.bins[-1]
    outside = sum(not one.low <= one.said <= one.high for one in found.bins)
    return (
        f"{escape(shown.name)} says {what} {number(found.said)}; {per_hundred(found.was)} of 100 rows {was}. "
        f"In the bin of the highest scores it says {number(top.said)}, and {number(top.was)} is so "
        f"(95 % interval {number(top.low)} to {number(top.high)}, {count(top.rows, 'row')}). "
        f"What was said lies outside its bin's interval in {outside} of {count(len(found.bins), 'bin')}{_by_chance(found.bins)}."
    )


def bins_said(shown: Sequence[Shown]) -> str:
    """How the bins and their intervals were made, and which axes are stretched."""
    distinct = ", each counted once" if shown[0].diagnosis.repeats > 1 else ""
    stretched = " Axes of log-odds are stretched at both ends, where most scores of that entry lie."
    return (
        "Rows are put in order of their score and cut into bins of as many rows, all splits together; intervals are Wilson's for "
        f"that many independent rows{distinct}. Points below the dotted line: more was said than was so."
        f"{stretched if any(one.diagnosis.heavy for one in shown) else ''}"
    )


def _by_chance(bins: Sequence[Bin]) -> str:
    return f", where chance alone would put about {0.05 * len(bins):.1g}"


def _found(confusion: npt.NDArray[np.int64], positive: str) -> str:
    called, true, hits = confusion[:, 1].sum(), confusion[1].sum(), confusion[1, 1]
    right = (
        f"{per_hundred(hits / called)} of 100 rows called {positive} are (precision)"
        if called
        else f"no row is called {positive}"
    )
    return f"{right}, and {per_hundred(hits / true)} of 100 that are {positive} are found (recall)" if true else right


def _spread(values: Sequence[float]) -> str:
    low, high, mean = min(values), max(values), sum(values) / len(values)
    return f"{mean:.3g} on average, {low:.3g} to {high:.3g} over the splits" if low < high else f"{mean:.3g}"


def _mean_and_spread(values: npt.NDArray[np.float64]) -> str:
    known = values[~np.isnan(values)]
    if not len(known):
        return NONE
    return plus_minus(float(known.mean()), float(known.std(ddof=1)) if len(known) > 1 else math.nan)


def hardest(diagnosis: Diagnosis, classes: Sequence[str], most: int) -> list[tuple[str, Ranks]]:
    """The classes that are hardest to tell from the rest, in the order of the classes."""
    known = [(at, ranks) for at, ranks in enumerate(diagnosis.classes) if ranks]
    keep = sorted(sorted(known, key=lambda one: one[1].average_precision)[:most], key=lambda one: one[0])
    return [(classes[at], ranks) for at, ranks in keep]
