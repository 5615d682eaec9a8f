"""The ensembles of a task's tuned entries: their members, their scores, and whether they are better than choosing."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from operator import attrgetter, itemgetter

from harness.evaluation.ensembles import ENSEMBLE_KINDS, GREEDY, LIBRARY, ROUNDS, STACKING
from harness.evaluation.evaluate import ENSEMBLE_PARTS
from harness.evaluation.gains import CHOSEN, EnsembleMember, ensemble_gains, ensemble_members
from harness.evaluation.ranking import Ranking
from harness.evaluation.scores import ANY_NAME, Entry, Scores
from harness.evaluation.significance import CONFIDENCE, Estimate, holm
from harness.report.content import Evidence, Section
from harness.report.render import markdown
from harness.report.render.markdown import escape, format_count, format_number, join_words
from harness.report.sections.wording import change_text

TITLE = "Would several entries together be better?"
TEXT = (
    "Ensembles of the tuned entries, made afterwards from stored probabilities without fitting any entry again. Their weights "
    "are chosen anew in every outer split, on inner out-of-fold rows that no member had learnt from. *greedy* is a mean to "
    f"which, {ROUNDS} times, the member is added that helps the objective most (Caruana et al. 2004); it stops where more did not "
    "help. *stacking* is a regularised logistic regression on the members' log-odds; its weights may be negative and need not "
    f"add up to 1. Where there are more than {LIBRARY} entries, the {LIBRARY} best on those rows compete. Left out: the "
    "baseline, and what Optuna chose among strategies itself (`searched`), as those strategies are there in their own right. "
    f"Weights fitted on all inner rows look better on them than they are, so *inner* and the decision threshold come from "
    f"{ENSEMBLE_PARTS} parts of these rows, each predicted with weights that the others gave. Ensembles had the trials of all "
    "their candidates together and cost as much as all members with a weight, so they get no rank."
)


def sections(evidence: Evidence) -> list[Section]:
    """Write one section per task that was evaluated; without ensembles it gives the reason."""
    written = []
    for ranking in evidence.rankings:
        if any(len(ranked.rows) for ranked in ranking.entries):
            written.append(Section(TITLE, _parts(evidence.scores, ranking), ranking.task))
    return written


def _parts(scores: Scores, ranking: Ranking) -> tuple[str, ...]:
    reasons = [reason for (task, _), reason in scores.ensemble_failures.items() if task == ranking.task]
    failures = []
    if reasons:
        n = format_count(len(reasons), "split")
        failures.append(f"Of {n} ensembles could not be made: {escape(reasons[0])}.")
    if ranking.task in map(itemgetter(0), scores.ensembles):
        parts = [TEXT, _verdict(ranking, ensemble_gains(scores, ranking)), _score_table(scores, ranking)]
        return (*parts, *failures, "Who is in them, over the splits:", *_member_parts(scores, ranking.task))
    if failures:
        return tuple(failures)
    needed = f"two tuned entries with the same rows in a split and {ENSEMBLE_PARTS} inner rows of every class"
    return (f"No ensemble was made: that takes {needed}.",)


def _verdict(ranking: Ranking, gains: Mapping[str, Estimate]) -> str:
    """Whether an ensemble is significantly better than the entry that inner scores choose."""
    if not gains:
        return "There is no entry chosen by inner scores to compare with."
    changes = join_words([f"{kind} {change_text(gain)}" for kind, gain in gains.items()])
    against = f"Against the entry that inner scores choose in each split (`{CHOSEN.name}`)"
    against += f", in {escape(ranking.metric.label)}: {changes}."
    p_values = list(map(attrgetter("p"), gains.values()))
    if all(map(math.isnan, p_values)):
        reason = ": ".join(filter(None, ("Whether that is more than chance is not known", ranking.no_test_reason)))
        return f"{against} {reason}."
    significant = []
    for (kind, gain), adjusted in zip(gains.items(), holm(p_values), strict=True):
        if adjusted < 1 - CONFIDENCE:
            better = (gain.mean > 0) == ranking.metric.greater_is_better
            significant.append(f"{kind} is {'better' if better else 'worse'}")
    if significant:
        return f"{against} After Holm's adjustment {join_words(significant)} by more than chance explains."
    if len(gains) > 1:
        return f"{against} Neither difference is more than chance explains."
    return f"{against} That may be chance."


def _score_table(scores: Scores, ranking: Ranking) -> str:
    """The scores of the ensembles, of what inner scores choose and of the best single entry."""
    entries = [*(Entry(ANY_NAME, kind, "ensembled") for kind in ENSEMBLE_KINDS), CHOSEN]
    if ranking.best:
        entries.append(ranking.best.entry)
    body = []
    for entry in entries:
        rows = scores.rows_of(ranking.task, entry, ranking.threshold_kind)
        if len(rows):
            metrics = map(rows.mean, (ranking.metric.name, "inner", "log_loss", "brier"))
            effort = map(rows.mean, ("fit_seconds", "trials"))
            cells = [escape(entry.name), *map(format_number, metrics), *map(markdown.format_quantity, effort)]
            body.append([*cells, _member_count(scores, ranking.task, entry), str(len(rows))])
    label = ranking.metric.label
    header = ["Entry", label, f"{label} inner", "Log loss", "Brier", "Fit s", "Trials", "Members", "Splits"]
    return markdown.format_table(header, body)


def _member_count(scores: Scores, task: str, entry: Entry) -> str:
    """How many members have a weight, from the fewest to the most over the splits."""
    if entry.stage != "ensembled":
        return "1"
    counts = []
    for (ensemble_task, kind, _), combined in scores.ensembles.items():
        if (ensemble_task, kind) == (task, entry.strategy):
            counts.append(len(list(filter(None, combined.weights.values()))))
    if min(counts) < max(counts):
        return f"{min(counts)} to {max(counts)}"
    return str(min(counts))


def _member_parts(scores: Scores, task: str) -> list[str]:
    """The weights of every member as a table, and over how many splits they are means."""
    by_kind: dict[str, dict[Entry, EnsembleMember]] = {}
    for kind in ENSEMBLE_KINDS:
        by_kind[kind] = {member.entry: member for member in ensemble_members(scores, task, kind)}
    rows = []
    for entry in {**by_kind[GREEDY], **by_kind[STACKING]}:
        greedy, stacked = by_kind[GREEDY].get(entry), by_kind[STACKING].get(entry)
        cells = [markdown.MISSING] * 5
        if greedy:
            cells[:2] = format_number(greedy.mean), f"{greedy.used}/{len(greedy.weights)}"
        if stacked:
            weights = stacked.weights.values()
            cells[2:] = map(format_number, (stacked.mean, min(weights), max(weights)))
        rows.append([escape(entry.name), *cells])
    header = ["Entry", "Greedy: mean weight", "in splits", "Stacking: mean weight", "from", "to"]
    counts = Counter(kind for ensemble_task, kind, _ in scores.ensembles if ensemble_task == task)
    n = format_count(max(counts.values()), "split")
    note = f"Mean weights are over the splits in which an entry could be chosen; ensembles of {n}."
    return [f"{markdown.folded_table(header, rows)}\n\n{note}"]
