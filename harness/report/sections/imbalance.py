"""What strategies against class imbalance change: a table and a heat map per task, a verdict per family, counts over tasks."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from operator import attrgetter
from typing import TypeVar

from harness.evaluation import strategy_effects
from harness.evaluation.corrected_t import CONFIDENCE
from harness.evaluation.ranking import Ranking
from harness.evaluation.scores import Scores
from harness.evaluation.strategy_effects import HELPS, HURTS, MIXED, NO_READING, NOT_SIGNIFICANT, StrategyReading
from harness.report.content import (
    CellValue,
    CollapsedParts,
    Evidence,
    Figure,
    Part,
    ReportColumn,
    ReportTable,
    Section,
    estimate_to_interval,
)
from harness.report.figures.imbalance import Heatmap, HeatmapCell, heatmap_figure
from harness.report.figures.writer import report_file_name
from harness.report.render import markdown
from harness.report.render.cells import MISSING, format_number
from harness.report.render.markdown import bullet_list, escape, format_count, join_words, plural
from harness.report.render.templates import render_text_template

Effect = TypeVar("Effect")

TITLE = "Does handling the imbalance help?"
KIND = "imbalance"
MAX_FIGURE_TASKS = 12  #: of more tasks none has figures of its own: the tables say what these would
MAX_NAMES = 6
PLURALS = {  # a reading, and the same of several strategies
    HELPS: "help",
    HURTS: "hurt",
    MIXED: "mixed",
    strategy_effects.ONLY_THRESHOLD: "act like another threshold, no other gain shown",
    NOT_SIGNIFICANT: NOT_SIGNIFICANT,
}
MIXED_PHRASES = ("both helps and hurts", "both help and hurt")  #: *mixed* within a sentence
COUNT_LEGEND = "helps ↑, hurts ↓, of so many tasks\nblue: helps more often than it hurts · orange: hurts more often"


def make_strategy_sections(evidence: Evidence) -> list[Section]:
    """Write a section per task that compares strategies, and one over the tasks where there are several of them."""
    scores, compared, written = evidence.scores, {}, []
    with_figure = len(evidence.rankings) <= MAX_FIGURE_TASKS
    for ranking in evidence.rankings:
        readings = strategy_effects.strategy_readings(scores, ranking.task)
        if readings:
            compared[ranking.task] = readings
            written.append(_make_strategy_section(scores, ranking, readings, with_figure=with_figure))
    if len(compared) > 1:
        written.append(_make_section_over_tasks(scores, compared))
    return written


def _make_strategy_section(
    scores: Scores, ranking: Ranking, readings: Sequence[StrategyReading], *, with_figure: bool
) -> Section:
    task = ranking.task
    reason = ranking.no_test_reason or "no split has both sides of a comparison"
    parts: list[Part] = [summarize_strategy_effects(scores, task) or f"No reading: {reason}."]
    lines = [
        f"{markdown.bold(escape(family))}: {verdict}"
        for family, verdict in describe_strategies_by_family(readings).items()
    ]
    if lines:
        parts.append(bullet_list(lines[: markdown.MAX_VISIBLE_ROWS]))
    if len(lines) > markdown.MAX_VISIBLE_ROWS:
        more = format_count(len(lines) - markdown.MAX_VISIBLE_ROWS, "more family", "more families")
        parts.append(CollapsedParts(more, (bullet_list(lines[markdown.MAX_VISIBLE_ROWS :]),)))
    if with_figure:
        parts += [render_text_template("strategy_map.md"), _draw_difference_heatmap(scores, task, readings)]
    parts += [render_text_template("strategy_differences.md"), tabulate_strategy_effects(scores, task)]
    return Section(TITLE, tuple(parts), task)


def tabulate_strategy_effects(scores: Scores, task: str) -> ReportTable:
    """Make a table of the paired differences of a task with their intervals and readings."""
    columns = [ReportColumn("Family"), ReportColumn("Strategy"), ReportColumn("Reading")]
    for comparison in strategy_effects.strategy_comparisons(scores, task):
        columns.append(ReportColumn(comparison.title, "change"))
    rows = []
    for reading in strategy_effects.strategy_readings(scores, task):
        words = None if reading.reading == NO_READING else reading.reading
        changes = map(estimate_to_interval, reading.difference.estimates)
        rows.append((reading.family, reading.strategy, words, *changes, reading.difference.splits))
    return ReportTable((*columns, ReportColumn("Splits", "count")), tuple(rows))


def summarize_strategy_effects(scores: Scores, task: str) -> str:
    """Say in one sentence which strategies have a significant effect for which family, and how many have none.

    Returns
    -------
    str
        Empty where the splits of the task allow no test.
    """
    readings = _select_tested_readings(strategy_effects.strategy_readings(scores, task))
    if not readings:
        return ""
    parts = []
    for word, several in PLURALS.items():
        names = [f"{escape(r.strategy)} for {escape(r.family)}" for r in readings if r.main_reading == word]
        if word == NOT_SIGNIFICANT and len(names) == len(readings):
            parts.append("none is shown to rank or decide differently")
        elif names and word == NOT_SIGNIFICANT:
            parts.append(f"{format_count(len(names), 'is not', 'are not')} shown to rank or decide differently")
        elif names:
            parts.append(f"{len(names)} {plural(names, word, several)} ({markdown.join_names(names, MAX_NAMES)})")
    worse = sum(reading.directions[-1] < 0 for reading in readings)
    end = f"; {format_count(worse, 'gives', 'give')} worse probabilities." if worse else "."
    pairs = format_count(len(readings), "pair")
    return f"Of {pairs} of family and strategy, compared with doing nothing, {join_words(parts)}{end}"


def describe_strategies_by_family(readings: Sequence[StrategyReading]) -> dict[str, str]:
    """Say for every family which strategies help, hurt or only move the threshold, and which have no significant effect."""
    by_family: dict[str, list[StrategyReading]] = {}
    for reading in _select_tested_readings(readings):
        by_family.setdefault(reading.family, []).append(reading)
    return dict(zip(by_family, map(_describe_strategies_of_family, by_family.values()), strict=True))


def _select_tested_readings(readings: Iterable[StrategyReading]) -> list[StrategyReading]:
    return [reading for reading in readings if reading.reading != NO_READING]


def _describe_strategies_of_family(readings: Sequence[StrategyReading]) -> str:
    by_word: dict[str, list[str]] = {}
    by_direction: dict[int, list[str]] = {}
    for reading in readings:
        by_word.setdefault(reading.main_reading, []).append(escape(reading.strategy))
        by_direction.setdefault(reading.directions[-1], []).append(escape(reading.strategy))
    parts = []
    for word, several in PLURALS.items():
        names = by_word.get(word, [])
        if names and word != NOT_SIGNIFICANT:
            verbs = MIXED_PHRASES if word == MIXED else (word, several)
            parts.append(f"{join_words(names)} {plural(names, *verbs)}")
        elif len(names) == len(readings):
            parts.append("of ranking and decisions nothing can be told")
        elif names:
            parts.append(f"of {join_words(names)} nothing can be told")
    for direction, adjective in ((1, "better"), (-1, "worse")):
        if direction in by_direction:
            parts.append(f"{adjective} probabilities with {join_words(by_direction[direction])}")
    return "; ".join(parts) + "."


def _draw_difference_heatmap(scores: Scores, task: str, readings: Sequence[StrategyReading]) -> Figure:
    """The differences of every strategy and family as a heat map; the better of two thresholds is in the table only."""
    by_pair = {(reading.strategy, reading.family): reading for reading in readings}
    panels = []
    for position, column in enumerate(strategy_effects.strategy_comparisons(scores, task)):
        if column.threshold is not None:
            title = column.title
            if not column.metric.greater_is_better:
                title += " (less is better)"
            strategies, families, tiles = _arrange_heatmap_cells(
                by_pair, partial(_make_difference_cell, column, position)
            )
            panels.append(Heatmap(title, tiles))
    caption = f"Differences of every strategy to none on {escape(task)}, by family, as in the table below"
    return Figure(report_file_name(task, KIND), caption, partial(heatmap_figure, strategies, families, tuple(panels)))


def _arrange_heatmap_cells(
    by_pair: Mapping[tuple[str, str], Effect], tile: Callable[[Effect | None], HeatmapCell]
) -> tuple[tuple[str, ...], tuple[str, ...], tuple[tuple[HeatmapCell, ...], ...]]:
    """Strategies, families, and a row of tiles for every strategy, from what is known by strategy and family."""
    strategies, families = (tuple(dict.fromkeys(names)) for names in zip(*by_pair, strict=True))
    rows = []
    for strategy in strategies:
        rows.append(tuple(tile(by_pair.get((strategy, family))) for family in families))
    return strategies, families, tuple(rows)


def _make_difference_cell(
    column: strategy_effects.StrategyComparisonColumn, position: int, reading: StrategyReading | None
) -> HeatmapCell:
    if reading is None or math.isnan(reading.difference.estimates[position].mean):
        return HeatmapCell(math.nan, MISSING)
    difference = reading.difference.estimates[position]
    text = format_number(difference.mean)
    if round(difference.mean, 3) > 0:
        text = f"+{text}"
    if not math.isnan(difference.ci_half_width):
        text += f"\n± {format_number(difference.ci_half_width)}"
    sign = 1 if column.metric.greater_is_better else -1
    return HeatmapCell(sign * float(difference.mean), text, bool(reading.directions[position]))


def _make_section_over_tasks(scores: Scores, readings: Mapping[str, Sequence[StrategyReading]]) -> Section:
    counts = sorted(strategy_effects.strategy_counts(scores, readings), key=attrgetter("strategy", "family"))
    parts: list[Part] = [
        _summarize_readings_over_tasks(counts),
        render_text_template("strategy_counts.md", min_tasks=strategy_effects.MIN_TASKS),
    ]
    if any(count.readings[HELPS] or count.readings[HURTS] for count in counts):
        strategies, families, tiles = _arrange_heatmap_cells(
            {(count.strategy, count.family): count for count in counts}, _make_count_cell
        )
        draw = partial(heatmap_figure, strategies, families, (Heatmap("Tasks", tiles, span=1.0),), COUNT_LEGEND)
        caption = "How often every strategy was shown to help or hurt, by family"
        parts.append(Figure(report_file_name("", KIND), caption, draw))
    parts.append(_tabulate_reading_counts(counts))
    return Section(f"{TITLE} Over {format_count(len(readings), 'task')}", tuple(parts))


def _tabulate_reading_counts(counts: Sequence[strategy_effects.StrategyCount]) -> ReportTable:
    """The readings of every pair of strategy and family over the tasks."""
    words = (*strategy_effects.READINGS, NO_READING)
    headings = ["Tasks", *map(str.capitalize, strategy_effects.READINGS), "No reading"]
    headings += ["Worse probabilities", "Better probabilities", "Ranks better on"]
    columns = [ReportColumn("Strategy"), ReportColumn("Family")]
    columns += [ReportColumn(heading, "count") for heading in headings]
    columns += [ReportColumn("Mean Δ", "change"), ReportColumn("p", "p_value")]
    rows: list[tuple[CellValue, ...]] = []
    for count in counts:
        readings = map(count.readings.__getitem__, words)
        higher = f"{count.higher}/{count.tasks}"
        numbers = (count.tasks, *readings, count.worse, count.better)
        rows.append((count.strategy, count.family, *numbers, higher, count.mean_gain, count.p))
    return ReportTable(tuple(columns), tuple(rows))


def _make_count_cell(count: strategy_effects.StrategyCount | None) -> HeatmapCell:
    if count is None:
        return HeatmapCell(math.nan, MISSING)
    helps, hurts = count.readings[HELPS], count.readings[HURTS]
    return HeatmapCell((helps - hurts) / count.tasks, f"↑{helps}  ↓{hurts}\nof {count.tasks}")


def _summarize_readings_over_tasks(counts: Sequence[strategy_effects.StrategyCount]) -> str:
    """The readings of all tasks together in a sentence, and which effects on ranking are significant over the tasks."""
    total = sum(map(attrgetter("readings"), counts), Counter[str]())
    parts = []
    for word in strategy_effects.READINGS[:-1]:
        if total[word]:
            verb = {MIXED: "are mixed"}.get(word, plural(total[word], word, PLURALS[word]))
            parts.append(f"{total[word]:,} {verb}")
    if total[NOT_SIGNIFICANT]:
        n = "all" if total[NOT_SIGNIFICANT] == total.total() else f"{total[NOT_SIGNIFICANT]:,}"
        parts.append(f"of {n} nothing can be told")
    if total[NO_READING]:
        parts.append(f"{total[NO_READING]:,} {plural(total[NO_READING], 'has', 'have')} no reading")
    comparisons = format_count(total.total(), "comparison")
    summary = f"Of {comparisons} of a strategy with doing nothing (task × family × strategy), {join_words(parts)}."
    return " ".join(filter(None, (summary, _describe_significant_strategies(counts))))


def _describe_significant_strategies(counts: Sequence[strategy_effects.StrategyCount]) -> str:
    tested = [count for count in counts if not math.isnan(count.p)]
    if not tested:
        return ""
    names = []
    for count in tested:
        if count.p < 1 - CONFIDENCE:
            direction = "better" if count.rank_sum > 0 else "worse"
            names.append(f"{escape(count.strategy)} for {escape(count.family)} ({direction})")
    verdict = f"{len(names)} {plural(names, 'differs', 'differ')} in ranking by more than chance explains"
    if names:
        verdict += f": {', '.join(names)}"
    return f"Of {format_count(len(tested), 'pair')} of family and strategy tested over the tasks, {verdict}."
