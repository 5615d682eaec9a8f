"""The best entry of a task in words: how good it is, and from which other entries it differs significantly."""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter

from harness.evaluation.ranking import BASELINE, RankedEntry, Ranking
from harness.evaluation.scores import ANY_NAME, STATUS_MISSING, Entry
from harness.metrics.metric import Metric
from harness.report.render.markdown import bold, escape, format_count, format_number, format_quantity
from harness.report.sections.wording import estimate_text, metric_name

MAX_QUICK_SHARE = 0.5  #: of the first entry's time to fit: less of a difference may be the noise of a busy machine
METRIC_PHRASES = {  # metrics whose column heading does not read well within a sentence
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


def headline(ranking: Ranking, describe: Callable[[Entry], str] = attrgetter("name")) -> str:
    """Say which entry is first, by how much, and from how many others it does not differ significantly.

    Parameters
    ----------
    ranking : Ranking
        The ranking of the task.
    describe : callable, default the name of the entry
        Turns the first entry into text.

    Returns
    -------
    str
        A sentence that begins with the entry; without any ranked entry, the reason.
    """
    best = ranking.best
    if best is None:
        return _no_best(ranking)
    threshold = ""
    if ranking.metric.metric_type == "decision" and ranking.threshold_text:
        threshold = f" {ranking.threshold_text}"
    score = f"{_score(ranking, best)}{_against_baseline(ranking)}"
    first = f"{bold(escape(describe(best.entry)))} is first by {metric_phrase(ranking.metric)}{threshold}, {score}"
    if ranking.no_test_reason:
        return f"{first}; whether by more than chance is not known: {ranking.no_test_reason}."
    others = [ranked for ranked in ranking.entries if ranked.rank is not None and ranked is not best]
    if not others:
        return f"{first}; it had no competitor."
    return f"{first}; {_differences(others)}."


def _differences(others: list[RankedEntry]) -> str:
    """How many of the other ranked entries differ significantly from the first one."""
    n, tied = len(others), sum(bool(ranked.tied) for ranked in others)
    if not tied:
        below = {1: "the other entry is", 2: "both other entries are"}.get(n, f"all {n} other entries are")
        return f"{below} significantly below it"
    if tied < n:
        differ = "is" if tied == 1 else "are"
        return f"{tied} of the {format_count(n, 'other entry', 'other entries')} {differ} not significantly different from it"
    none = {1: "the other entry is not", 2: "neither of the other entries is"}.get(
        n, f"none of the {n} other entries is"
    )
    return f"{none} significantly different from it"


def verdict(ranking: Ranking) -> str:
    """Give the headline of a task, the quickest tied entry, and the score of choosing without the test rows."""
    sentence = headline(ranking)
    parts = [sentence[0].upper() + sentence[1:], _quickest_tied(ranking)]
    chosen = ranking.find(ANY_NAME, ANY_NAME, "chosen")
    if chosen is not None and chosen.complete:
        parts.append(
            "The first place is known only after looking at the test rows; choosing by inner scores alone, as one has "
            f"to in practice, gives {_score(ranking, chosen)} (`{chosen.entry.name}`)."
        )
    return " ".join(filter(None, parts))


def unchanged_defaults(ranking: Ranking) -> str:
    """Say how many tuned entries equal their default; the baseline, with nothing to search, always does."""
    unchanged = sum(ranked.also_default and ranked.entry.family != BASELINE for ranked in ranking.entries)
    if not unchanged:
        return ""
    return (
        f"For {format_count(unchanged, 'pair')} of family and strategy the search kept the default parameters in every split: "
        "default and tuned are one entry then, marked *= default*."
    )


def metric_phrase(metric: Metric) -> str:
    """Name a metric within a sentence: with its abbreviation where it has one, a common noun in lower case."""
    return METRIC_PHRASES.get(metric.name) or escape(metric_name(metric))


def _no_best(ranking: Ranking) -> str:
    if any(ranked.score.n for ranked in ranking.entries):
        return f"{metric_phrase(ranking.metric)} is defined for no entry."
    if all(ranked.status.startswith(STATUS_MISSING) for ranked in ranking.entries):
        return "nothing has been evaluated yet."
    return "no cell is ok, so there is nothing to rank."


def _score(ranking: Ranking, ranked: RankedEntry) -> str:
    return estimate_text(ranked.score, digits=ranking.digits)


def _quickest_tied(ranking: Ranking) -> str:
    """Which entry that is tied with the best one takes clearly less time to fit than it does."""
    tied = [ranked for ranked in ranking.entries if ranked.tied and ranked.rank and ranked.entry.family != BASELINE]
    if ranking.best is None or not tied:
        return ""
    quickest = min(tied, key=lambda ranked: ranked.rows.mean("fit_seconds"))
    seconds, best_seconds = quickest.rows.mean("fit_seconds"), ranking.best.rows.mean("fit_seconds")
    if not seconds <= MAX_QUICK_SHARE * best_seconds:
        return ""
    times = f"{format_quantity(seconds)} s; the first {format_quantity(best_seconds)} s"
    return f"Of these, {escape(quickest.entry.name)} is the quickest to fit ({times})."


def _against_baseline(ranking: Ranking) -> str:
    baseline = ranking.baseline
    if baseline is None or not baseline.score.n or baseline is ranking.best:
        return ""
    tied = ""
    if ranking.above_baseline is False:
        tied = ", not significantly different"
    return f" (majority: {format_number(baseline.score.mean)}{tied})"
