"""How the searches of a run went: a section for every task, and an index of all studies."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import chain
from operator import attrgetter
from typing import TypeAlias

from harness.evaluation import search_history
from harness.evaluation.gains import (
    DEFAULT_KEPT,
    HURTS,
    NOT_SIGNIFICANT,
    PAYS,
    SearchGain,
    search_gains,
    searched_entries,
)
from harness.evaluation.ranking import Ranking
from harness.evaluation.search_history import CellSearch, running_best
from harness.report.content import Evidence, Figure, Section
from harness.report.figures.search import (
    MAX_TWO_COLUMN_PANELS,
    AxisLabels,
    GainInterval,
    SearchCurve,
    TrialHistory,
    anytime_figure,
    gains_figure,
    history_figure,
    strategies_figure,
)
from harness.report.figures.writer import file_name
from harness.report.render import markdown
from harness.report.render.markdown import escape, folded_table, format_count
from harness.report.sections.search_space import space_parts
from harness.report.sections.wording import bullets, change_text, join_names, metric_name, signed_text

TITLE = "How the search went"
MAX_DETAILED_TASKS = 8  #: with more, only what compares families is drawn; the dashboard shows the rest
MAX_BARS = 20
MAX_REASONS = 5
MAX_NAMES = 5
Parts: TypeAlias = list[str | Figure]
SearchesByEntry: TypeAlias = dict[tuple[str, str], list[CellSearch]]
EFFORT_TEXT = (
    "### Score against effort\n\nThe best inner score so far against the seconds that trials took, failed ones "
    "included: the mean over the splits, from the moment when all of them have a score. A line ends where the "
    "longest of its searches does. *Best strategy* is the one whose search ended highest. "
    "Encoded rows are kept from one search to the next, so who comes first pays for "
    "them: seconds compare families roughly, and strategies of one family not at all."
)
WALL_CLOCK_TEXT = (
    " Seconds are those of the clock on the wall, which other work on the machine lengthens: "
    "at least one search did not note CPU time."
)
INDEX_TEXT = (
    "`evenhand dashboard RUN` opens all of these studies in Optuna's dashboard, on this machine only: their trials, "
    "slices, contours and timelines, and a note on each. A study is named task/family/strategy/split, `r0f2` being "
    "the third fold of the first repeat."
)


def sections(evidence: Evidence) -> list[Section]:
    """Write how the search went on every task, and where its studies are found in Optuna's dashboard."""
    searches = search_history.read_searches(evidence.store, evidence.scores)
    written = []
    for ranking in evidence.rankings:
        by_entry = searches.of(ranking.task)
        if any(map(attrgetter("complete_trials"), chain.from_iterable(by_entry.values()))):
            written.append(Section(TITLE, tuple(_parts(evidence, ranking, by_entry)), ranking.task))
    greater = {ranking.task: ranking.metric.greater_is_better for ranking in evidence.rankings}
    return [*written, *_index(searches, greater)]


def _parts(evidence: Evidence, ranking: Ranking, by_entry: SearchesByEntry) -> Parts:
    detailed = len(evidence.rankings) <= MAX_DETAILED_TASKS
    searches = list(chain.from_iterable(by_entry.values()))
    clock = search_history.search_clock(searches)
    labels = AxisLabels(metric_name(ranking.metric), clock.label, ranking.metric.greater_is_better)
    families = tuple(evidence.scores.run["families"])
    effort = _effort_parts(by_entry, clock, families, labels, ranking.task)
    gains = _gain_parts(search_gains(evidence.scores, ranking), ranking, labels)
    if not detailed:
        return [_extent(searches), *effort[:2], *gains]
    history, space = _history_parts(by_entry, ranking, labels), space_parts(by_entry, ranking, labels)
    return [_extent(searches), *effort, *history, *gains, *space]


def _extent(searches: Sequence[CellSearch]) -> str:
    """How much was searched, and which trials failed."""
    lengths = list(map(len, map(attrgetter("trials"), searches)))
    trials = format_count(max(lengths), "trial")
    if min(lengths) < max(lengths):
        trials = f"{min(lengths)} to {trials}"
    text = (
        f"{format_count(len(searches), 'search', 'searches')} of {trials}, one for every family, strategy and split. The first "
        "trial of each is the default configuration. All scores here are inner ones: of the training rows' own folds."
    )
    failed: Counter[str] = Counter()
    for search in searches:
        failed.update(trial.reason for trial in search.trials if math.isnan(trial.value))
    if not failed:
        return text
    reasons = [f"{n:,} × {escape(reason or 'no reason noted')}" for reason, n in failed.most_common(MAX_REASONS)]
    if len(failed) > MAX_REASONS:
        reasons.append(format_count(len(failed) - MAX_REASONS, "other reason"))
    return f"{text} {format_count(failed.total(), 'trial')} failed: {'; '.join(reasons)}."


def _effort_parts(
    by_entry: SearchesByEntry,
    clock: search_history.SearchClock,
    families: tuple[str, ...],
    labels: AxisLabels,
    task: str,
) -> Parts:
    """Score against seconds, of all families together, and of the strategies of each."""
    curves = {}
    for entry, searches in by_entry.items():
        curve = search_history.anytime_curve(searches, clock, greater=labels.greater)
        if curve:
            curves[entry] = SearchCurve(*entry, curve)
    points = {entry: curve.curve for entry, curve in curves.items()}
    best = search_history.best_strategies(points, greater=labels.greater)
    drawn = [entry for entry in curves if entry[1] in ("none", best.get(entry[0]))]
    drawn.sort(key=lambda entry: (families.index(entry[0]), entry[1] != "none"))
    text = EFFORT_TEXT
    if clock.attribute == "seconds":
        text += WALL_CLOCK_TEXT
    draw = partial(anytime_figure, tuple(map(curves.__getitem__, drawn)), families, labels)
    caption = f"Best inner score against {clock.label}"
    parts: Parts = [text, Figure(file_name(task, "anytime"), f"{caption}, by family", draw)]
    if len(curves) > len(drawn):
        draw = partial(strategies_figure, tuple(curves.values()), labels)
        parts.append(Figure(file_name(task, "anytime-strategies"), f"{caption}, by strategy", draw))
    return parts


def _history_parts(by_entry: SearchesByEntry, ranking: Ranking, labels: AxisLabels) -> Parts:
    """The trials of the first entries in their order."""
    drawn: list[tuple[str, str]] = []
    lengths: list[int] = []
    for entry in searched_entries(ranking):
        searches = by_entry.get(entry, ())
        if any(map(attrgetter("complete_trials"), searches)) and len(drawn) < MAX_TWO_COLUMN_PANELS:
            drawn.append(entry)
            lengths += map(len, map(attrgetter("trials"), searches))
    if max(lengths, default=0) < 2:
        return []
    histories = tuple(_trial_history("\n".join(entry), by_entry[entry], greater=labels.greater) for entry in drawn)
    entries = f"the {len(drawn)} entries that rank first" if len(by_entry) > len(drawn) else "every entry"
    text = (
        f"### Trial by trial\n\nThe trials of {entries}, in the order in which they were made; within a split each was chosen "
        "from what those before it showed."
    )
    draw = partial(history_figure, histories, labels)
    return [text, Figure(file_name(ranking.task, "history"), "Inner score of every trial, by number", draw)]


def _trial_history(title: str, searches: Sequence[CellSearch], *, greater: bool) -> TrialHistory:
    trials: list[tuple[int, float]] = []
    failed: set[int] = set()
    bests = []
    for search in searches:
        trials += [(trial.number, _rounded(trial.value)) for trial in search.complete_trials]
        failed.update(trial.number for trial in search.trials if math.isnan(trial.value))
        if search.complete_trials:
            bests.append(running_best(search.trials, greater=greater))
    # A search that ended keeps its best, so that the mean is always taken over the same splits.
    longest = max(map(len, bests))
    means = []
    for position in range(longest):
        mean = sum(best[min(position, len(best) - 1)] for best in bests) / len(bests)
        if not math.isnan(mean):
            means.append((position, _rounded(mean)))
    return TrialHistory(title, tuple(trials), tuple(sorted(failed)), tuple(means))


def _rounded(score: float) -> float:
    return float(f"{score:.6g}")


def _gain_parts(gains: Sequence[SearchGain], ranking: Ranking, labels: AxisLabels) -> Parts:
    """What the search gained over the default configuration, in words, as a table and a figure."""
    if not gains:
        return []
    bars = []
    for gain in gains[:MAX_BARS]:
        numbers = map(_rounded, (gain.inner, gain.outer.mean, gain.outer.ci_half_width))
        bars.append(GainInterval("/".join(gain.entry[:2]), *numbers))
    draw = partial(gains_figure, tuple(bars), labels.score)
    figure = Figure(file_name(ranking.task, "gains"), "What the search brought over the default configuration", draw)
    return ["### What the search brought", gains_text(gains, ranking), _gains_table(gains, labels.score), figure]


def gains_text(gains: Sequence[SearchGain], ranking: Ranking) -> str:
    """Say for which entries the search paid on rows that it never saw, and what the two columns of gains mean."""
    by_reading: dict[str, list[SearchGain]] = {}
    for gain in gains:
        by_reading.setdefault(gain.reading, []).append(gain)
    parts = []
    for reading, ends in ((PAYS, "scores higher"), (HURTS, "scores lower")):
        if reading in by_reading:
            parts.append(f"the configuration found {ends} on the test rows for {_gain_names(by_reading[reading])}")
    unchanged = "it is not significantly different from the default configuration"
    for reading, ends in ((NOT_SIGNIFICANT, unchanged), (DEFAULT_KEPT, "every split kept the default configuration")):
        if reading in by_reading:
            parts.append(f"for {format_count(len(by_reading[reading]), 'entry', 'entries')} {ends}")
    verdict = "; ".join(parts) or f"No verdict: {ranking.no_test_reason or 'splits are missing'}"
    tested = sum(len(by_reading.get(reading, ())) for reading in (PAYS, HURTS, NOT_SIGNIFICANT))
    adjusted = ""
    if tested > 1:
        adjusted = (
            f"; readings are after Holm's adjustment over {format_count(tested, 'entry', 'entries')}, so an interval without 0 "
            "in it need not be enough"
        )
    return (
        f"{verdict[0].upper()}{verdict[1:]}. *Inner* is the gain on the folds that the search looked at: the largest of many "
        "tries, so it is never negative and tends to promise too much. *Outer* is the gain on sealed test rows, with its "
        f"corrected 95 % interval{adjusted}. Above zero is better."
    )


def _gain_names(gains: Sequence[SearchGain]) -> str:
    names = [f"{escape('/'.join(gain.entry[:2]))} ({change_text(gain.outer)})" for gain in gains]
    return join_names(names, MAX_NAMES)


def _gains_table(gains: Sequence[SearchGain], label: str) -> str:
    """Every tuned entry against its own default configuration."""
    rows = []
    for gain in gains:
        row = [escape(gain.entry.family), escape(gain.entry.strategy), signed_text(gain.inner)]
        rows.append([*row, change_text(gain.outer), str(gain.outer.n), gain.reading or markdown.MISSING])
    return folded_table(["Family", "Strategy", f"{label}: inner gain", "Outer gain", "Splits", "Tuning"], rows)


def _index(searches: search_history.RunSearches, greater: Mapping[str, bool]) -> list[Section]:
    """Every study: its name in the dashboard and how it ended."""
    if not searches.searches and not searches.unreadable:
        return []
    rows = []
    for search in searches.searches:
        best = running_best(search.trials, greater=greater[search.task])
        score = markdown.format_number(best[-1] if best else math.nan)
        complete, failed = len(search.complete_trials), len(search.trials) - len(search.complete_trials)
        seconds = sum(map(attrgetter("seconds"), search.trials))
        cpu_seconds = sum(map(attrgetter("cpu_seconds"), search.trials))
        row = [escape(search.name), str(complete), str(failed), score]
        rows.append([*row, *map(markdown.format_quantity, (seconds, cpu_seconds))])
    parts: Parts = [INDEX_TEXT]
    if rows:
        parts.append(folded_table(["Study", "Complete", "Failed", "Best inner", "Seconds", "CPU s"], rows))
    if searches.unreadable:
        reasons = bullets(map(escape, searches.unreadable))
        journals = format_count(len(searches.unreadable), "journal")
        parts.append(markdown.details(f"{journals} could not be read", reasons))
    return [Section("Studies in Optuna's dashboard", tuple(parts))]
