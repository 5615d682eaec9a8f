"""How the searches of a run went, as sections of its report: one for every task, and an index of all studies."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from functools import partial
from typing import TypeAlias

from harness.evaluation.ranking import Ranking
from harness.evaluation.search_history import Search, Searches, read_searches
from harness.report.content import Evidence, Figure, Section
from harness.report.figures.search import (
    PANELS,
    Bar,
    History,
    Labels,
    Line,
    anytime_figure,
    gains_figure,
    history_figure,
    strategies_figure,
)
from harness.report.figures.writer import file_name
from harness.report.render.markdown import brief, count, details, escape, folded_table, number
from harness.report.sections.search_effort import (
    Clock,
    Curve,
    Gain,
    anytime,
    best_so_far,
    best_strategies,
    clock_of,
    gains,
    gains_table,
    gains_text,
    ranked,
)
from harness.report.sections.search_space import tried

FEW_TASKS = 8  #: with more, only what compares families is drawn; the dashboard shows the rest
BARS = 20
REASONS = 5
Parts: TypeAlias = list[str | Figure]
ByEntry: TypeAlias = dict[tuple[str, str], list[Search]]


def sections(evidence: Evidence) -> list[Section]:
    """How the search went on every task, and where its studies are found in Optuna's dashboard."""
    searches = read_searches(evidence.store, evidence.scores)
    found = [_section(evidence, ranking, searches.of(ranking.task)) for ranking in evidence.rankings]
    greater = {ranking.task: ranking.metric.greater_is_better for ranking in evidence.rankings}
    return [*(one for one in found if one.parts), *_index(searches, greater)]


def _section(evidence: Evidence, ranking: Ranking, by_entry: ByEntry) -> Section:
    task = ranking.task
    if not any(one.complete for some in by_entry.values() for one in some):
        return Section("How the search went", (), task)
    few = len(evidence.rankings) <= FEW_TASKS
    families = tuple(evidence.scores.run["families"])
    clock = clock_of([one for some in by_entry.values() for one in some])
    labels = Labels(ranking.metric.label or ranking.metric.name, clock.said, ranking.metric.greater_is_better)
    parts: Parts = [_said(by_entry)]
    parts += _effort(by_entry, clock, families, labels, task)[: None if few else 2]
    parts += _history(by_entry, ranking, labels) if few else []
    parts += _gained(gains(evidence.scores, ranking), ranking, labels)
    parts += tried(by_entry, ranking, labels) if few else []
    return Section("How the search went", tuple(parts), task)


def _said(by_entry: ByEntry) -> str:
    """How much was searched, and what failed."""
    searches = [one for some in by_entry.values() for one in some]
    made = Counter(len(one.trials) for one in searches)
    least, most = min(made), max(made)
    each = count(most, "trial") if least == most else f"{least} to {count(most, 'trial')}"
    said = (
        f"{count(len(searches), 'search', 'searches')} of {each}, one for every family, strategy and split. The first "
        "trial of each is the default configuration. All scores here are inner ones: of the training rows' own folds."
    )
    failed = Counter(trial.reason for one in searches for trial in one.trials if math.isnan(trial.value))
    if not failed:
        return said
    reasons = [f"{n:,} × {escape(reason or 'no reason noted')}" for reason, n in failed.most_common(REASONS)]
    rest = f"; {count(len(failed) - REASONS, 'other reason')}" if len(failed) > REASONS else ""
    return f"{said} {count(failed.total(), 'trial')} failed: {'; '.join(reasons)}{rest}."


def _effort(by_entry: ByEntry, clock: Clock, families: tuple[str, ...], labels: Labels, task: str) -> Parts:
    """Score against seconds, of all families together, and of the strategies of each."""
    curves = {who: anytime(some, clock, greater=labels.greater) for who, some in by_entry.items()}
    curves = {who: curve for who, curve in curves.items() if curve}
    best = best_strategies(curves, greater=labels.greater)
    shown = [who for who in curves if who[1] in ("none", best.get(who[0]))]
    lines = tuple(
        _line(curves, who) for who in sorted(shown, key=lambda who: (families.index(who[0]), who[1] != "none"))
    )
    text = (
        "### Score against effort\n\nThe best inner score so far against the seconds that trials took, failed ones "
        "included: the mean over the splits, from the moment when all of them have a score. A line ends where the "
        "longest of its searches does. *Best strategy* is the one whose search ended highest. "
        "Encoded rows are kept from one search to the next, so who comes first pays for "
        "them: seconds compare families roughly, and strategies of one family not at all."
    )
    if clock.attribute == "seconds":
        text += (
            " Seconds are those of the clock on the wall, which other work on the machine lengthens: "
            "at least one search did not note CPU time."
        )
    overall = partial(anytime_figure, lines, families, labels)
    parts: Parts = [
        text,
        Figure(file_name(task, "anytime"), f"Best inner score against {clock.said}, by family", overall),
    ]
    if len(curves) > len(shown):
        every = tuple(_line(curves, who) for who in curves)
        draw = partial(strategies_figure, every, labels)
        parts.append(
            Figure(file_name(task, "anytime-strategies"), f"Best inner score against {clock.said}, by strategy", draw)
        )
    return parts


def _line(curves: dict[tuple[str, str], Curve], who: tuple[str, str]) -> Line:
    return Line(*who, curves[who])


def _history(by_entry: ByEntry, ranking: Ranking, labels: Labels) -> Parts:
    """The trials of the first entries, one by one."""
    shown = [who for who in ranked(ranking) if any(one.complete for one in by_entry.get(who, ()))][:PANELS]
    if not shown or max(len(one.trials) for who in shown for one in by_entry[who]) < 2:
        return []
    histories = tuple(_trials("\n".join(who), by_entry[who], greater=labels.greater) for who in shown)
    which = f"the {len(shown)} entries that rank first" if len(by_entry) > len(shown) else "every entry"
    text = (
        f"### Trial by trial\n\nThe trials of {which}, in the order in which they were made; within a split each was chosen "
        "from what those before it showed."
    )
    draw = partial(history_figure, histories, labels)
    return [text, Figure(file_name(ranking.task, "history"), "Inner score of every trial, by number", draw)]


def _trials(title: str, searches: list[Search], *, greater: bool) -> History:
    trials = tuple((trial.number, float(f"{trial.value:.6g}")) for one in searches for trial in one.complete)
    failed = tuple(sorted({t.number for one in searches for t in one.trials if math.isnan(t.value)}))
    bests = [best_so_far(one.trials, greater=greater) for one in searches if one.complete]
    # A search that ended keeps its best, so that the mean is always one over the same splits.
    longest = max(map(len, bests))
    table = [best + best[-1:] * (longest - len(best)) for best in bests]
    means = [(at, sum(column) / len(column)) for at, column in enumerate(zip(*table, strict=True))]
    return History(title, trials, failed, tuple((at, float(f"{y:.6g}")) for at, y in means if not math.isnan(y)))


def _gained(found: list[Gain], ranking: Ranking, labels: Labels) -> Parts:
    """What the search brought over the default configuration, in words, as a table and a picture."""
    if not found:
        return []
    bars = tuple(
        Bar("/".join(one.entry[:2]), _six(one.inner), _six(one.outer.mean), _six(one.outer.half)) for one in found
    )
    draw = partial(gains_figure, bars[:BARS], labels.score)
    picture = Figure(file_name(ranking.task, "gains"), "What the search brought over the default configuration", draw)
    return ["### What the search brought", gains_text(found, ranking), gains_table(found, labels.score), picture]


def _six(value: float) -> float:
    return float(f"{value:.6g}")


def _index(searches: Searches, greater: Mapping[str, bool]) -> list[Section]:
    """Every study: its name in the dashboard and how it ended."""
    if not searches.found and not searches.unreadable:
        return []
    header = ["Study", "Complete", "Failed", "Best inner", "Seconds", "CPU s"]
    rows = []
    for one in searches.found:
        best = best_so_far(one.trials, greater=greater[one.task])[-1:] or [math.nan]
        failed = len(one.trials) - len(one.complete)
        rows.append([escape(one.name), str(len(one.complete)), str(failed), number(best[0]), *_times(one)])
    text = (
        "`evenhand dashboard RUN` opens all of these studies in Optuna's dashboard, on this machine only: their trials, "
        "slices, contours and timelines, and a note on each. A study is named task/family/strategy/split, `r0f2` being "
        "the third fold of the first repeat."
    )
    parts: Parts = [text]
    parts += [folded_table(header, rows)] if rows else []
    if searches.unreadable:
        lost = "\n".join(f"- {escape(reason)}" for reason in searches.unreadable)
        parts.append(details(f"{count(len(searches.unreadable), 'journal')} could not be read", lost))
    return [Section("Studies in Optuna's dashboard", tuple(parts))]


def _times(one: Search) -> list[str]:
    return [brief(sum(trial.seconds for trial in one.trials)), brief(sum(trial.cpu_seconds for trial in one.trials))]
