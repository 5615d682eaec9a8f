"""What a ranking says, in words: no more than the splits carry."""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter

from harness.evaluation.ranking import BASELINE, RankedEntry, Ranking
from harness.evaluation.scores import ANY, MISSING, Entry
from harness.metrics.metric import Metric
from harness.report.render.markdown import bold, brief, count, escape, number, plus_minus

CLEARLY = 0.5  #: of the first entry's time to fit: less of a difference may be the noise of a busy machine
IN_WORDS = {  # metrics whose column heading does not read well within a sentence
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "precision": "precision",
    "recall": "recall",
    "precision_negative": "precision of the negative class",
    "recall_negative": "recall of the negative class",
    "f1_negative": "F1 of the negative class",
    "average_precision": "average precision (AP)",
    "log_loss": "log loss",
    "brier": "Brier score",
    "ece": "calibration error (ECE)",
    "lift_at_10": "lift of the first tenth",
    "expected_cost": "expected cost",
}


def headline(ranking: Ranking, named: Callable[[Entry], str] = attrgetter("name")) -> str:
    """Who is first, by how much, and how many others cannot be told from it: no more than the splits carry.

    `named` says how the first entry is called.
    """
    best = ranking.best
    if best is None:
        return _nothing(ranking)
    others = [p for p in ranking.entries if p.rank is not None and p is not best]
    score = f"{_score(ranking, best)}{_floor(ranking)}"
    first = f"{bold(escape(named(best.entry)))} is first by {in_words(ranking.metric)}{_at(ranking)}, {score}"
    if ranking.no_test_reason:
        return f"{first}; whether by more than chance is not known: {ranking.no_test_reason}."
    tied = sum(bool(place.tied) for place in others)
    if not others:
        return f"{first}; it had no competitor."
    if tied == len(others):
        return f"{first}; {_none_of(tied)} be told from it."
    if tied:
        return f"{first}; {tied} of the {count(len(others), 'other entry', 'other entries')} cannot be told from it."
    return f"{first}; {_all_of(len(others))} below it by more than chance explains."


def verdict(ranking: Ranking) -> str:
    """The headline of a task, and what would have come out without looking at the test rows."""
    said = headline(ranking)
    said = said[0].upper() + said[1:]
    said += _quickest(ranking)
    chosen = ranking.place(ANY, ANY, "chosen")
    if chosen is not None and chosen.complete:
        said += (
            " The first place is known only after looking at the test rows; choosing by inner scores alone, as one has "
            f"to in practice, gives {_score(ranking, chosen)} (`{chosen.entry.name}`)."
        )
    return said


def repeated(ranking: Ranking) -> str:
    """How many defaults stand on the line of their tuned entry; the majority row, with nothing to search, always does."""
    same = sum(place.also_default and place.entry.family != BASELINE for place in ranking.entries)
    if not same:
        return ""
    return (
        f"For {count(same, 'pair')} of family and strategy the search kept the default parameters in every split: "
        "default and tuned are one entry then, marked *= default*."
    )


def in_words(metric: Metric) -> str:
    """A metric within a sentence: with its abbreviation where it has one, in lower case where it is a common noun."""
    return IN_WORDS.get(metric.name) or escape(metric.label or metric.name)


def _nothing(ranking: Ranking) -> str:
    if any(place.score.n for place in ranking.entries):
        return f"{in_words(ranking.metric)} is defined for no entry."
    ended = any(not place.status.startswith(MISSING) for place in ranking.entries)
    return "no cell is ok, so there is nothing to rank." if ended else "nothing has been evaluated yet."


def _at(ranking: Ranking) -> str:
    return f" {ranking.threshold}" if ranking.metric.metric_type == "decision" and ranking.threshold else ""


def _score(ranking: Ranking, place: RankedEntry) -> str:
    return plus_minus(place.score.mean, place.score.half, digits=ranking.digits)


def _quickest(ranking: Ranking) -> str:
    """Which of the entries that nobody can tell from the best takes clearly less time to fit than it does."""
    tied = [place for place in ranking.entries if place.tied and place.rank and place.entry.family != BASELINE]
    if ranking.best is None or not tied:
        return ""
    quickest = min(tied, key=lambda place: place.rows.mean("fit_seconds"))
    seconds, first = (place.rows.mean("fit_seconds") for place in (quickest, ranking.best))
    if not seconds <= CLEARLY * first:
        return ""
    return f" Of these, {escape(quickest.entry.name)} is the quickest to fit ({brief(seconds)} s; the first {brief(first)} s)."


def _none_of(n: int) -> str:
    return {1: "the other entry cannot", 2: "neither of the other entries can"}.get(
        n, f"none of the {n} other entries can"
    )


def _all_of(n: int) -> str:
    return {1: "the other entry is", 2: "both other entries are"}.get(n, f"all {n} other entries are")


def _floor(ranking: Ranking) -> str:
    floor = ranking.baseline
    if floor is None or not floor.score.n or floor is ranking.best:
        return ""
    doubt = ", from which it cannot be told" if ranking.above_baseline is False else ""
    return f" (majority: {number(floor.score.mean)}{doubt})"
