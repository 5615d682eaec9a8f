"""The answer of a run in a few sentences for who decides: what the statistics carry, and nothing beyond."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence

from harness.evaluation.metric_cache import DEFAULT_THRESHOLD
from harness.evaluation.ranking import BASELINE, RankedEntry, Ranking
from harness.evaluation.scores import MISSING, Entry, Scores, count_statuses
from harness.report.render.markdown import (
    NONE,
    bold,
    count,
    escape,
    folded_table,
    listed,
    number,
    plain,
    plus_minus,
    table,
)
from harness.report.sections.best_entry import headline
from harness.report.sections.data_notes import beware
from harness.report.sections.ranking import marked, rank_mark
from harness.report.sections.strategies import Reading, readings

ROWS = 12
SUMMARY_NAMED = 6


def summary(scores: Scores, rankings: list[Ranking]) -> str:
    """Verdict, warnings, at most 12 entries and the failures of every task, as plain text."""
    parts = [part for ranking in rankings for part in _task(scores, ranking)]
    return "\n\n".join(part for part in [*parts, _failures(scores)] if part)


def _task(scores: Scores, ranking: Ranking) -> list[str]:
    places = [place for place in ranking.entries if place.score.n]
    said = [f"{ranking.task}: {plain(headline(ranking))}", plain(beware(scores.run["tasks"][ranking.task]))]
    return [*said, _table(ranking, places) if places else "", without_figures(ranking)]


def _table(ranking: Ranking, places: list[RankedEntry]) -> str:
    tuned = f" {ranking.threshold}".replace("the ", "").rstrip()
    objective = ranking.metric.label or ranking.metric.name
    second = [] if ranking.metric.name == "f1" else [f"F1{tuned}"]
    header = ["#", "Entry", objective + (tuned if ranking.metric.metric_type == "decision" else ""), *second, "Status"]
    rows = [
        [rank_mark(p), p.name, marked(ranking, p, str), *(number(p.rows.mean("f1")) for _ in second), p.status]
        for p in places[:ROWS]
    ]
    more = len(places) - ROWS
    return table(header, rows, pipes=False) + (f"\n… and {more} more in leaderboard.md" if more > 0 else "")


def without_figures(ranking: Ranking) -> str:
    """The pairs of family and strategy of which no cell is ok, and how their cells ended."""
    tried = [p for p in ranking.entries if p.entry.stage == "tuned" and not p.status.startswith(MISSING)]
    lost = [f"{p.entry.family}/{p.entry.strategy} ({p.status})" for p in tried if not p.score.n]
    more = f" and {len(lost) - SUMMARY_NAMED} more" if len(lost) > SUMMARY_NAMED else ""
    return f"Without any ok cell: {'; '.join(lost[:SUMMARY_NAMED])}{more}" if lost else ""


def _failures(scores: Scores) -> str:
    statuses = [cell.status for cell in scores.cells]
    lost = [status for status in statuses if status != "ok"]
    if not lost:
        return ""
    are = "is" if len(lost) == 1 else "are"
    return (
        f"{len(lost):,} of {count(len(statuses), 'cell')} {are} not ok ({count_statuses(lost)}): "
        "see What failed, was skipped or does not apply, in leaderboard.md"
    )


WHERE = "What is there and what is not"  #: the section of the page
FEW = 6  #: tasks whose answers are all in sight
NAMED = 3
NAMES = {"searched": "what Optuna chose"}
OTHER_EFFECTS = {  # a reading, and how it is told
    "mixed": "to help in one respect and to hurt in another",
    "hurts": "to hurt",
    "only moves the threshold": "only to move the threshold",
}
STRATEGIES = {"none": "no strategy for uneven classes", "searched": "the strategy that Optuna chose"}


def overview(scores: Scores, rankings: Sequence[Ranking]) -> list[str]:
    """What came out: over all tasks where there are several, then per task, as sentences or, of many, as a table."""
    answers = [answer(scores, ranking) for ranking in rankings]
    lost = gaps(scores)
    last = f"{lost}: see *{WHERE}*." if lost else ""
    if len(rankings) == 1:
        return [part for part in (*answers, last) if part]
    listing = "\n".join(f"- {one}" for one in answers)
    parts = [over_tasks(scores, rankings), listing if len(answers) <= FEW else _glance(rankings), last]
    return [part for part in parts if part]


def gaps(scores: Scores) -> str:
    """How many cells have no predictions and why, so that nobody takes tables for more than they are; empty where all have."""
    lost = [cell.status for cell in scores.cells if cell.status not in ("ok", MISSING)]
    ahead = sum(cell.status == MISSING for cell in scores.cells)
    said = [f"{len(lost):,} ended without predictions ({count_statuses(lost)})"] if lost else []
    said += (
        [f"{ahead:,} {'has' if ahead == 1 else 'have'} not been run yet, so these tables are not final"]
        if ahead
        else []
    )
    return f"Of {count(len(scores.cells), 'planned cell')}, {' and '.join(said)}" if said else ""


def answer(scores: Scores, ranking: Ranking) -> str:
    """A task in three sentences: who is first, what its decisions are like, whether strategies help."""
    said = f"On {bold(escape(ranking.task))}, {headline_of(ranking)}"
    parts = [said, _decisions(scores, ranking), _strategies(scores, ranking), beware(scores.run["tasks"][ranking.task])]
    return " ".join(part for part in parts if part)


def headline_of(ranking: Ranking) -> str:
    """The headline of a task, its first entry called by what it does."""
    return headline(ranking, _called)


def over_tasks(scores: Scores, rankings: Sequence[Ranking]) -> str:
    """How often somebody is first beyond doubt, who is most often not beaten, and how often strategies help."""
    ranked = [ranking for ranking in rankings if ranking.best]
    claimed = [ranking for ranking in ranked if not ranking.no_test_reason]
    said = [f"{count(len(ranked), 'task')} of {len(rankings)} could be ranked."] if len(ranked) < len(rankings) else []
    if ranked and not claimed:
        return " ".join([*said, "No task has splits from which to tell whether anybody is first by more than chance."])
    if len(claimed) < 2:
        return " ".join(said)
    alone = sum(not any(place.tied for place in ranking.entries if place.rank) for ranking in claimed)
    where = f"{count(len(claimed), 'task')} whose splits allow to tell"
    chance = "by more than chance explains"
    if alone:
        said.append(f"On {alone} of the {where}, the first entry is told from every other {chance}.")
    else:
        said.append(f"No entry is told from every other {chance} on any of the {where}.")
    said += [_unbeaten(claimed), _helped(scores, claimed)]
    return " ".join(part for part in said if part)


def _called(entry: Entry) -> str:
    """An entry by what it does: `xgb with smote and tuned parameters`."""
    if entry.family == BASELINE:
        return "majority, which gives every row the same answer,"
    strategy = STRATEGIES.get(entry.strategy, entry.strategy)
    return f"{entry.family} with {strategy} and {entry.stage} parameters"


def _decisions(scores: Scores, ranking: Ranking) -> str:
    """What the decisions of the first entry are like, in rows."""
    best, task = ranking.best, ranking.task
    if best is None or best.entry.family == BASELINE:
        return ""
    kind = scores.kinds(task)[-1]
    rows = scores.rows_of(task, best.entry, kind)
    if len(scores.classes(task)) > 2:
        floor = ranking.baseline
        accuracy = rows.mean("accuracy")
        plain = floor.rows.mean("accuracy") if floor is not None else math.nan
        against = "" if math.isnan(plain) else f"; the same answer for every row is right for {_share(plain)}"
        return "" if math.isnan(accuracy) else f"It decides {_share(accuracy)} of the rows rightly{against}."
    recall, precision = rows.mean("recall"), rows.mean("precision")
    if math.isnan(recall) or math.isnan(precision):
        return ""
    name = escape(scores.classes(task)[1])
    threshold = "Deciding at 0.5" if kind == DEFAULT_THRESHOLD else "Deciding at its tuned threshold"
    return f"{threshold}, it finds {_share(recall)} of the “{name}” rows, and {_share(precision)} of those it calls so are."


def _strategies(scores: Scores, ranking: Ranking) -> str:
    """Which strategies are shown to help, hurt or move the threshold, and that the others are not."""
    read = readings(scores, ranking.task)
    known = [one for one in read if one.word != NONE]
    if not known:
        return (
            f"Whether any strategy helps is not known: {ranking.no_test_reason}."
            if read and ranking.no_test_reason
            else ""
        )
    strategies = list(dict.fromkeys(one.difference.strategy for one in known))
    helps = _effects(known, "helps")
    rest = [name for name in strategies if name not in helps and name not in _effects(known, "mixed")]
    said = [f"{_of(helps)} {'is' if len(helps) == 1 else 'are'} shown to help"] if helps else []
    if rest:
        names = _some([escape(NAMES.get(name, name)) for name in rest])
        said.append(f"{names} {'is' if len(rest) == 1 else 'are'} not shown to help any family")
    for word, meaning in OTHER_EFFECTS.items():
        if found := _effects(known, word):
            said.append(f"{_of(found)} {'is' if len(found) == 1 else 'are'} shown {meaning}")
    text = "; ".join(said)
    return f"Compared with doing nothing about the uneven classes, {text}."


def _effects(known: Iterable[Reading], word: str) -> dict[str, list[str]]:
    """The families by strategy for which the strategy does that."""
    found: dict[str, list[str]] = {}
    for one in known:
        if one.beyond == word:
            found.setdefault(one.difference.strategy, []).append(one.difference.family)
    return found


def _of(effects: dict[str, list[str]]) -> str:
    return _some(
        [
            f"{bold(escape(NAMES.get(name, name)))} for {_some([escape(family) for family in of])}"
            for name, of in effects.items()
        ]
    )


def _unbeaten(claimed: Sequence[Ranking]) -> str:
    """Which tuned entry is most often first or not told from the first, and how often."""
    evaluated: Counter[Entry] = Counter()
    unbeaten: Counter[Entry] = Counter()
    for ranking in claimed:
        for place in ranking.entries:
            if place.rank and place.entry.stage == "tuned" and place.entry.family != BASELINE:
                evaluated[place.entry] += 1
                unbeaten[place.entry] += place.rank == 1 or bool(place.tied)
    if not unbeaten:
        return ""
    most = max(unbeaten.values())
    names = [entry for entry in sorted(unbeaten) if unbeaten[entry] == most]
    if names[1:]:  # to name one of them would be chance
        return f"{count(len(names), 'entry', 'entries')} are first, or not to be told from the first, on {count(most, 'task')} each."
    of = f"{most} of the {count(evaluated[names[0]], 'task')} on which it has all splits"
    return f"Most often first, or not to be told from the first, is {bold(escape(_called(names[0])))}: on {of}."


def _helped(scores: Scores, claimed: Sequence[Ranking]) -> str:
    """Of how many pairs of family and task each strategy is shown to help or hurt."""
    words: dict[str, Counter[str]] = {}
    for ranking in claimed:
        for one in readings(scores, ranking.task):
            if one.word != NONE:
                words.setdefault(one.difference.strategy, Counter())[one.beyond] += 1
    if words and not any(found["helps"] or found["hurts"] or found["mixed"] for found in words.values()):
        return "No strategy is shown to help or to hurt any family on any of them, compared with doing nothing."
    said = [
        f"{bold(escape(NAMES.get(name, name)))} {found['helps']} and {found['hurts']} of {found.total():,}"
        + (f", and {found['mixed']} {OTHER_EFFECTS['mixed']}" if found["mixed"] else "")
        for name, found in words.items()
    ]
    text = "Pairs of family and task for which a strategy is shown to help, and to hurt, each task judged by itself"
    return f"{text}: {'; '.join(said)}." if said else ""


def _glance(rankings: Sequence[Ranking]) -> str:
    """A line per task: who is first, by how much, and how many cannot be told from it."""
    rows = []
    for ranking in rankings:
        best, floor = ranking.best, ranking.baseline
        if best is None:
            rows.append([escape(ranking.task), NONE, NONE, NONE, NONE, NONE])
            continue
        others = [place for place in ranking.entries if place.rank and place is not best]
        tied = NONE if ranking.no_test_reason else f"{sum(bool(place.tied) for place in others)} of {len(others)}"
        score = plus_minus(best.score.mean, best.score.half, digits=ranking.digits)
        low = number(floor.score.mean) if floor is not None else NONE
        rows.append([escape(ranking.task), escape(best.entry.name), ranking.metric.label, score, low, tied])
    header = ["Task", "First", "By", "Score", "Majority", "Not told from it"]
    return folded_table(header, rows)


def _share(value: float) -> str:
    """A share in per cent: never all or nothing where it is not."""
    whole = f"{value:.0%}"
    return f"{value:.1%}" if whole in ("0%", "100%") and value not in (0.0, 1.0) else whole


def _some(names: list[str]) -> str:
    return listed(names) if len(names) <= NAMED + 1 else f"{', '.join(names[:NAMED])} and {len(names) - NAMED} others"
