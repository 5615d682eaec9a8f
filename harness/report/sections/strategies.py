"""Does the strategy help? Every strategy against doing nothing, in pairs, per family."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from harness.evaluation.metric_cache import DEFAULT_THRESHOLD, TUNED_THRESHOLD
from harness.evaluation.ranking import can_test
from harness.evaluation.scores import ANY, Entry, Scores, entries
from harness.evaluation.significance import LEVEL, Estimate, estimate, holm
from harness.metrics.metric import Metric
from harness.report.render.markdown import NONE, count, escape, folded_table, listed, plus_minus

NAMED = 6
UNTOLD = "cannot be told"
WORDS = {  # a reading, and the same of several
    "helps": "help",
    "hurts": "hurt",
    "mixed": "mixed",
    "only moves the threshold": "only move the threshold",
    UNTOLD: UNTOLD,
}

STRATEGY_TEXT = (
    "Paired differences to `none` of the same family, tuned parameters, over the same splits, with 95 % intervals; Δ above "
    "zero is more than `none` (for Brier, log loss, ECE and cost less is better). *both at 0.5* and *both tuned* compare decisions at "
    "the same kind of threshold. *better threshold* gives the strategy whichever of its two thresholds served it better on the "
    "test rows (its p value counts twice for that), and `none` its tuned one: the question is whether a strategy does "
    "anything that moving the threshold does not. The reading takes only what is significant after Holm's adjustment over "
    "the whole table: *helps* or *hurts* in ranking or at its better threshold, *only moves the threshold* where decisions at "
    "0.5 differ but neither was shown, *cannot be told* where nothing was."
)


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


@dataclass(frozen=True)
class Reading:
    """What a difference allows to say: in which comparisons the strategy is better (1), worse (−1) or neither (0), in a word.

    The word is a dash where nothing is claimed.
    """

    difference: Difference
    better: tuple[int, ...]
    word: str

    @property
    def beyond(self) -> str:
        """The part of the word that speaks of ranking and decisions: one of WORDS."""
        first = self.word.partition(", ")[0]
        return first if first in WORDS else UNTOLD


def comparisons(scores: Scores, task: str) -> list[Comparison]:
    """What is compared: ranking, decision at 0.5, decision with both thresholds tuned, and probability.

    Each by the task's objective where that looks at it, otherwise ranking as `ranking_metric` says, decisions by F1 (by
    cost where the task has a cost matrix) and probabilities by the Brier score: an objective that moves with the
    threshold says nothing of ranking. The last decision column gives the strategy whichever threshold serves it better,
    seen on the test rows, while doing nothing keeps its tuned one: a strategy that does not win even so only moves the
    threshold.
    """
    objective, kind = scores.objective(task), scores.kinds(task)[-1]
    usual = scores.metrics["expected_cost" if scores.costs(task) else "f1"]
    decision = objective if objective.metric_type == "decision" else usual
    probability = objective if objective.metric_type == "probability" else scores.metrics["brier"]
    ranking = ranking_metric(scores, task)
    found = [Comparison(f"Δ {ranking.label}", ranking, kind, kind)]
    if kind == TUNED_THRESHOLD:
        found.append(Comparison(f"Δ {decision.label}, both at 0.5", decision, DEFAULT_THRESHOLD, DEFAULT_THRESHOLD))
        found.append(Comparison(f"Δ {decision.label}, both tuned", decision, TUNED_THRESHOLD, TUNED_THRESHOLD))
        found.append(Comparison(f"Δ {decision.label}, better threshold", decision, None, TUNED_THRESHOLD))
    else:
        found.append(Comparison(f"Δ {decision.label}", decision, DEFAULT_THRESHOLD, DEFAULT_THRESHOLD))
    return [*found, Comparison(f"Δ {probability.label}", probability, DEFAULT_THRESHOLD, DEFAULT_THRESHOLD)]


def ranking_metric(scores: Scores, task: str) -> Metric:
    """What ranking is measured by: the objective where it ranks, else average precision, with several classes ROC AUC."""
    objective = scores.objective(task)
    if objective.metric_type == "ranking":
        return objective
    return scores.metrics["average_precision" if len(scores.classes(task)) == 2 else "roc_auc"]


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


def readings(scores: Scores, task: str) -> list[Reading]:
    """Every difference with what it allows to say, after Holm's adjustment over all figures of the task's table."""
    columns, found = comparisons(scores, task), differences(scores, task)
    adjusted = iter(holm([e.p for one in found for e in one.estimates]))
    read = []
    for one in found:
        better = [_direction(column, e, next(adjusted)) for column, e in zip(columns, one.estimates, strict=True)]
        known = not all(math.isnan(e.p) for e in one.estimates)
        read.append(Reading(one, tuple(better), in_a_word(better) if known else NONE))
    return read


def strategy_table(scores: Scores, task: str) -> str:
    """Paired differences with intervals, and what they allow to say."""
    header = ["Family", "Strategy", "Reading", *(column.title for column in comparisons(scores, task)), "Splits"]
    rows = []
    for reading in readings(scores, task):
        one = reading.difference
        cells = [NONE if math.isnan(e.mean) else plus_minus(e.mean, e.half, signed=True) for e in one.estimates]
        rows.append([escape(one.family), escape(one.strategy), reading.word, *cells, str(one.splits)])
    return folded_table(header, rows)


def strategy_verdict(scores: Scores, task: str) -> str:
    """In one sentence: which strategies are shown to do something for which family, and for how many nothing is."""
    read = [reading for reading in readings(scores, task) if reading.word != NONE]
    if not read:
        return ""
    said = []
    for word, several in WORDS.items():
        chosen = [reading.difference for reading in read if reading.beyond == word]
        names = [f"{escape(one.strategy)} for {escape(one.family)}" for one in chosen]
        if names and word == UNTOLD:
            how_many = "none is" if len(names) == len(read) else count(len(names), "is not", "are not")
            said.append(f"{how_many} shown to rank or decide differently")
        elif names:
            said.append(f"{len(names)} {word if len(names) == 1 else several} ({_some(names)})")
    pairs = count(len(read), "pair")
    worse = sum(reading.better[-1] < 0 for reading in read)
    last = f"; {count(worse, 'gives', 'give')} worse probabilities" if worse else ""
    return f"Of {pairs} of family and strategy, compared with doing nothing, {listed(said)}{last}."


def _some(names: list[str]) -> str:
    return listed(names) if len(names) <= NAMED else f"{', '.join(names[:NAMED])} and {len(names) - NAMED} more"


def _difference(scores: Scores, task: str, pair: tuple[Entry, Entry], column: Comparison) -> Estimate:
    name, sign = column.metric.name, 1 if column.metric.greater_is_better else -1
    plain = scores.rows_of(task, pair[1], column.others)
    grain = scores.grain(task, column.metric, plain)
    tried = []
    for kind in scores.kinds(task) if column.mine is None else (column.mine,):
        mine = scores.rows_of(task, pair[0], kind).at(plain.splits)
        other = plain.at(mine.splits)
        tried.append(
            estimate(mine[name] - other[name], other.mean("ratio"), claims=can_test(scores, task), grain=grain)
        )
    best = max(tried, key=lambda found: -math.inf if math.isnan(found.mean) else sign * found.mean)
    # The better of two was picked by looking at both: its p value counts for two.
    return replace(best, p=min(1.0, len(tried) * best.p) if not math.isnan(best.p) else best.p)


def _direction(column: Comparison, difference: Estimate, adjusted: float) -> int:
    """1 where the strategy is better by more than chance explains, −1 where it is worse, 0 where that is not known."""
    if math.isnan(adjusted) or adjusted >= 1 - LEVEL:
        return 0
    return 1 if (difference.mean > 0) == column.metric.greater_is_better else -1


def in_a_word(better: list[int]) -> str:
    """What a line of directions (1 better, −1 worse, 0 not known) says: ranking, decisions (0.5 first), probability."""
    ranking, *decisions, probability = better
    beyond = (ranking, decisions[-1])
    if 1 in beyond and -1 in beyond:
        word = "mixed"
    elif 1 in beyond:
        word = "helps"
    elif -1 in beyond:
        word = "hurts"
    else:
        word = "only moves the threshold" if decisions[0] else UNTOLD
    sound = {1: "better probabilities", -1: "worse probabilities"}.get(probability, "")
    if word == UNTOLD:
        return sound or word
    return f"{word}, {sound}" if sound else word
