"""Does the strategy help? Every strategy against doing nothing, in pairs, per family."""

from __future__ import annotations

import math
from dataclasses import dataclass

from harness.declare.metric import Metric
from harness.report.derived import HALF, TUNED
from harness.report.markdown import NONE, escape, folded_table, plus_minus
from harness.report.ranking import claims
from harness.report.scores import ANY, Entry, Scores, entries
from harness.report.statistics import LEVEL, Estimate, estimate, holm


@dataclass(frozen=True)
class Comparison:
    """A column: the figure, the strategy's threshold (None: its better one) and that of doing nothing."""

    title: str
    metric: Metric
    mine: str | None
    others: str


@dataclass(frozen=True)
class Difference:
    """One strategy of one family against doing nothing: an estimate for every comparison."""

    family: str
    strategy: str
    splits: int
    estimates: tuple[Estimate, ...]


def comparisons(scores: Scores, task: str) -> list[Comparison]:
    """What is compared: ranking, decision at 0.5, decision with both thresholds tuned, and probability.

    Decisions are compared by F1, or by cost where the task has a cost matrix. The last decision column gives the
    strategy whichever threshold serves it better, seen on the test rows, while doing nothing keeps its tuned one: a
    strategy that does not win even so only moves the threshold.
    """
    costs = scores.run["tasks"][task].get("costs")
    decision = scores.metrics["expected_cost" if costs else "f1"]
    ranking, brier = scores.objective(task), scores.metrics["brier"]
    last = scores.kinds(task)[-1]
    found = [Comparison(f"Δ {ranking.label}", ranking, last, last)]
    if last == TUNED:
        found.append(Comparison(f"Δ {decision.label}, both at 0.5", decision, HALF, HALF))
        found.append(Comparison(f"Δ {decision.label}, both tuned", decision, TUNED, TUNED))
        found.append(Comparison(f"Δ {decision.label}, better threshold", decision, None, TUNED))
    else:
        found.append(Comparison(f"Δ {decision.label}", decision, HALF, HALF))
    return [*found, Comparison(f"Δ {brier.label}", brier, HALF, HALF)]


def differences(scores: Scores, task: str) -> list[Difference]:
    """Every tuned strategy against `none` of the same family, over the splits that both have."""
    columns = comparisons(scores, task)
    found = []
    for entry in entries(scores, task):
        if entry.stage == "tuned" and entry.strategy not in ("none", ANY):
            plain = entry._replace(strategy="none")
            estimates = tuple(_difference(scores, task, (entry, plain), column) for column in columns)
            splits = max(one.n for one in estimates)
            if splits:
                found.append(Difference(entry.family, entry.strategy, splits, estimates))
    return found


def strategy_table(scores: Scores, task: str) -> str:
    """Paired differences with intervals, and what they allow to say."""
    columns, found = comparisons(scores, task), differences(scores, task)
    if not found:
        return ""
    adjusted = [holm([one.estimates[column].p for one in found]) for column in range(len(columns))]
    header = ["Family", "Strategy", *(column.title for column in columns), "Splits", "Reading"]
    rows = []
    for at, one in enumerate(found):
        better = [_direction(c, e, p[at]) for c, e, p in zip(columns, one.estimates, adjusted, strict=True)]
        cells = [NONE if not e.n else plus_minus(e.mean, e.half, signed=True) for e in one.estimates]
        known = not all(math.isnan(e.p) for e in one.estimates)
        who = [escape(one.family), escape(one.strategy)]
        rows.append([*who, *cells, str(one.splits), _reading(better) if known else NONE])
    return folded_table(header, rows, left=2, what="comparisons")


def _difference(scores: Scores, task: str, pair: tuple[Entry, Entry], column: Comparison) -> Estimate:
    name, sign = column.metric.name, 1 if column.metric.greater_is_better else -1
    plain = scores.rows_of(task, pair[1], column.others)
    tried = []
    for kind in scores.kinds(task) if column.mine is None else (column.mine,):
        mine = scores.rows_of(task, pair[0], kind).at(plain.splits)
        other = plain.at(mine.splits)
        tried.append(estimate(mine[name] - other[name], other.mean("ratio"), claims=claims(scores, task)))
    return max(tried, key=lambda found: -math.inf if math.isnan(found.mean) else sign * found.mean)


def _direction(column: Comparison, difference: Estimate, adjusted: float) -> int:
    """1 where the strategy is better by more than chance explains, −1 where it is worse, 0 where that is not known."""
    if math.isnan(adjusted) or adjusted >= 1 - LEVEL:
        return 0
    return 1 if (difference.mean > 0) == column.metric.greater_is_better else -1


def _reading(better: list[int]) -> str:
    """One word for a line of directions: ranking, decision …, probability."""
    ranking, *decisions, probability = better
    beyond = (ranking, decisions[-1])
    if 1 in beyond and -1 in beyond:
        word = "mixed"
    elif 1 in beyond:
        word = "helps"
    elif -1 in beyond:
        word = "hurts"
    else:
        word = {1: "helps at 0.5 only", -1: "hurts at 0.5 only"}.get(decisions[0], "cannot be told")
    return word + {1: ", better probabilities", -1: ", worse probabilities"}.get(probability, "")
