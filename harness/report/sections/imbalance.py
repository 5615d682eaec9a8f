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
from harness.report.render.cells import MISSING_DASH, format_number
from harness.report.render.markdown import bullet_list, escape, format_count, join_words, plural
from harness.report.render.templates import render_text_template

Effect = TypeVar("Effect")

TITLE = "Does handling the imbalance help?"
KIND = "imbalance"
MAX_FIGURE_TASKS = 12  #: of more tasks none has figures of its own: the tables say what these would
MAX_NAMES = 6
PLURAL_READINGS = {  # a reading, and the same of several strategies
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
    scores, readings_by_task, strategy_sections = evidence.scores, {}, []
    with_figure = len(evidence.rankings) <= MAX_FIGURE_TASKS
    for ranking in evidence.rankings:
        strategy_readings = strategy_effects.strategy_readings(scores, ranking.task)
        if strategy_readings:
            readings_by_task[ranking.task] = strategy_readings
            strategy_sections.append(
                _make_strategy_section(scores, ranking, strategy_readings, with_figure=with_figure)
            )
    if len(readings_by_task) > 1:
        strategy_sections.append(_make_section_over_tasks(scores, readings_by_task))
    return strategy_sections


def _make_strategy_section(
    scores: Scores, ranking: Ranking, strategy_readings: Sequence[StrategyReading], *, with_figure: bool
) -> Section:
    task = ranking.task
    reason = ranking.no_test_reason or "no split has both sides of a comparison"
    section_parts: list[Part] = [summarize_strategy_effects(scores, task) or f"No reading: {reason}."]
    lines = [
        f"{markdown.bold(escape(family))}: {family_verdict}"
        for family, family_verdict in describe_strategies_by_family(strategy_readings).items()
    ]
    if lines:
        section_parts.append(bullet_list(lines[: markdown.MAX_VISIBLE_ROWS]))
    if len(lines) > markdown.MAX_VISIBLE_ROWS:
        more_families = format_count(len(lines) - markdown.MAX_VISIBLE_ROWS, "more family", "more families")
        section_parts.append(CollapsedParts(more_families, (bullet_list(lines[markdown.MAX_VISIBLE_ROWS :]),)))
    if with_figure:
        section_parts += [
            render_text_template("strategy_map.md"),
            _draw_difference_heatmap(scores, task, strategy_readings),
        ]
    section_parts += [render_text_template("strategy_differences.md"), tabulate_strategy_effects(scores, task)]
    return Section(TITLE, tuple(section_parts), task)


def tabulate_strategy_effects(scores: Scores, task: str) -> ReportTable:
    """Make a table of the paired differences of a task with their intervals and readings."""
    columns = [ReportColumn("Family"), ReportColumn("Strategy"), ReportColumn("Reading")]
    for comparison in strategy_effects.strategy_comparisons(scores, task):
        columns.append(ReportColumn(comparison.title, "change"))
    rows = []
    for strategy_reading in strategy_effects.strategy_readings(scores, task):
        words = None if strategy_reading.reading == NO_READING else strategy_reading.reading
        metric_changes = map(estimate_to_interval, strategy_reading.difference.estimates)
        rows.append(
            (
                strategy_reading.family,
                strategy_reading.strategy,
                words,
                *metric_changes,
                strategy_reading.difference.splits,
            )
        )
    return ReportTable((*columns, ReportColumn("Splits", "count")), tuple(rows))


def summarize_strategy_effects(scores: Scores, task: str) -> str:
    """Say in one sentence which strategies have a significant effect for which family, and how many have none.

    Returns
    -------
    str
        Empty where the splits of the task allow no test.
    """
    tested_readings = _select_tested_readings(strategy_effects.strategy_readings(scores, task))
    if not tested_readings:
        return ""
    reading_phrases = []
    for reading_word, plural_phrase in PLURAL_READINGS.items():
        names = [
            f"{escape(r.strategy)} for {escape(r.family)}" for r in tested_readings if r.main_reading == reading_word
        ]
        if reading_word == NOT_SIGNIFICANT and len(names) == len(tested_readings):
            reading_phrases.append("none is shown to rank or decide differently")
        elif names and reading_word == NOT_SIGNIFICANT:
            reading_phrases.append(
                f"{format_count(len(names), 'is not', 'are not')} shown to rank or decide differently"
            )
        elif names:
            reading_phrases.append(
                f"{len(names)} {plural(names, reading_word, plural_phrase)} ({markdown.join_names(names, MAX_NAMES)})"
            )
    worse_count = sum(strategy_reading.directions[-1] < 0 for strategy_reading in tested_readings)
    sentence_end = f"; {format_count(worse_count, 'gives', 'give')} worse probabilities." if worse_count else "."
    pair_count = format_count(len(tested_readings), "pair")
    return f"Of {pair_count} of family and strategy, compared with doing nothing, {join_words(reading_phrases)}{sentence_end}"


def describe_strategies_by_family(readings: Sequence[StrategyReading]) -> dict[str, str]:
    """Say for every family which strategies help, hurt or only move the threshold, and which have no significant effect."""
    readings_by_family: dict[str, list[StrategyReading]] = {}
    for strategy_reading in _select_tested_readings(readings):
        readings_by_family.setdefault(strategy_reading.family, []).append(strategy_reading)
    return dict(zip(readings_by_family, map(_describe_strategies_of_family, readings_by_family.values()), strict=True))


def _select_tested_readings(strategy_readings: Iterable[StrategyReading]) -> list[StrategyReading]:
    return [strategy_reading for strategy_reading in strategy_readings if strategy_reading.reading != NO_READING]


def _describe_strategies_of_family(strategy_readings: Sequence[StrategyReading]) -> str:
    strategies_by_reading: dict[str, list[str]] = {}
    strategies_by_direction: dict[int, list[str]] = {}
    for strategy_reading in strategy_readings:
        strategies_by_reading.setdefault(strategy_reading.main_reading, []).append(escape(strategy_reading.strategy))
        strategies_by_direction.setdefault(strategy_reading.directions[-1], []).append(
            escape(strategy_reading.strategy)
        )
    reading_phrases = []
    for reading_word, plural_phrase in PLURAL_READINGS.items():
        names = strategies_by_reading.get(reading_word, [])
        if names and reading_word != NOT_SIGNIFICANT:
            singular_and_plural = MIXED_PHRASES if reading_word == MIXED else (reading_word, plural_phrase)
            reading_phrases.append(f"{join_words(names)} {plural(names, *singular_and_plural)}")
        elif len(names) == len(strategy_readings):
            reading_phrases.append("of ranking and decisions nothing can be told")
        elif names:
            reading_phrases.append(f"of {join_words(names)} nothing can be told")
    for direction, adjective in ((1, "better"), (-1, "worse")):
        if direction in strategies_by_direction:
            reading_phrases.append(f"{adjective} probabilities with {join_words(strategies_by_direction[direction])}")
    return "; ".join(reading_phrases) + "."


def _draw_difference_heatmap(scores: Scores, task: str, strategy_readings: Sequence[StrategyReading]) -> Figure:
    """The differences of every strategy and family as a heat map; the better of two thresholds is in the table only."""
    readings_by_pair = {
        (strategy_reading.strategy, strategy_reading.family): strategy_reading for strategy_reading in strategy_readings
    }
    heatmap_panels = []
    for position, column in enumerate(strategy_effects.strategy_comparisons(scores, task)):
        if column.threshold is not None:
            title = column.title
            if not column.metric.greater_is_better:
                title += " (less is better)"
            strategies, families, heatmap_tiles = _arrange_heatmap_cells(
                readings_by_pair, partial(_make_difference_cell, column, position)
            )
            heatmap_panels.append(Heatmap(title, heatmap_tiles))
    caption = f"Differences of every strategy to none on {escape(task)}, by family, as in the table below"
    return Figure(
        report_file_name(task, KIND), caption, partial(heatmap_figure, strategies, families, tuple(heatmap_panels))
    )


def _arrange_heatmap_cells(
    effects_by_pair: Mapping[tuple[str, str], Effect], make_heatmap_cell: Callable[[Effect | None], HeatmapCell]
) -> tuple[tuple[str, ...], tuple[str, ...], tuple[tuple[HeatmapCell, ...], ...]]:
    """Strategies, families, and a row of tiles for every strategy, from what is known by strategy and family."""
    strategies, families = (tuple(dict.fromkeys(names)) for names in zip(*effects_by_pair, strict=True))
    tile_rows = []
    for strategy in strategies:
        tile_rows.append(tuple(make_heatmap_cell(effects_by_pair.get((strategy, family))) for family in families))
    return strategies, families, tuple(tile_rows)


def _make_difference_cell(
    comparison_column: strategy_effects.StrategyComparisonColumn,
    position: int,
    strategy_reading: StrategyReading | None,
) -> HeatmapCell:
    if strategy_reading is None or math.isnan(strategy_reading.difference.estimates[position].mean):
        return HeatmapCell(math.nan, MISSING_DASH)
    difference = strategy_reading.difference.estimates[position]
    text = format_number(difference.mean)
    if round(difference.mean, 3) > 0:
        text = f"+{text}"
    if not math.isnan(difference.ci_half_width):
        text += f"\n± {format_number(difference.ci_half_width)}"
    metric_sign = 1 if comparison_column.metric.greater_is_better else -1
    return HeatmapCell(metric_sign * float(difference.mean), text, bool(strategy_reading.directions[position]))


def _make_section_over_tasks(scores: Scores, readings_by_task: Mapping[str, Sequence[StrategyReading]]) -> Section:
    effect_counts = sorted(
        strategy_effects.strategy_counts(scores, readings_by_task), key=attrgetter("strategy", "family")
    )
    section_parts: list[Part] = [
        _summarize_readings_over_tasks(effect_counts),
        render_text_template("strategy_counts.md", min_tasks=strategy_effects.MIN_TASKS),
    ]
    if any(effect_count.readings[HELPS] or effect_count.readings[HURTS] for effect_count in effect_counts):
        strategies, families, heatmap_tiles = _arrange_heatmap_cells(
            {(effect_count.strategy, effect_count.family): effect_count for effect_count in effect_counts},
            _make_count_cell,
        )
        draw_figure = partial(
            heatmap_figure, strategies, families, (Heatmap("Tasks", heatmap_tiles, span=1.0),), COUNT_LEGEND
        )
        caption = "How often every strategy was shown to help or hurt, by family"
        section_parts.append(Figure(report_file_name("", KIND), caption, draw_figure))
    section_parts.append(_tabulate_reading_counts(effect_counts))
    return Section(f"{TITLE} Over {format_count(len(readings_by_task), 'task')}", tuple(section_parts))


def _tabulate_reading_counts(strategy_counts: Sequence[strategy_effects.StrategyCount]) -> ReportTable:
    """The readings of every pair of strategy and family over the tasks."""
    words = (*strategy_effects.READINGS, NO_READING)
    headings = ["Tasks", *map(str.capitalize, strategy_effects.READINGS), "No reading"]
    headings += ["Worse probabilities", "Better probabilities", "Ranks better on"]
    columns = [ReportColumn("Strategy"), ReportColumn("Family")]
    columns += [ReportColumn(heading, "count") for heading in headings]
    columns += [ReportColumn("Mean Δ", "change"), ReportColumn("p", "p_value")]
    rows: list[tuple[CellValue, ...]] = []
    for strategy_count in strategy_counts:
        reading_counts = map(strategy_count.readings.__getitem__, words)
        higher_tasks_text = f"{strategy_count.higher}/{strategy_count.tasks}"
        count_numbers = (strategy_count.tasks, *reading_counts, strategy_count.worse, strategy_count.better)
        rows.append(
            (
                strategy_count.strategy,
                strategy_count.family,
                *count_numbers,
                higher_tasks_text,
                strategy_count.mean_gain,
                strategy_count.p,
            )
        )
    return ReportTable(tuple(columns), tuple(rows))


def _make_count_cell(strategy_count: strategy_effects.StrategyCount | None) -> HeatmapCell:
    if strategy_count is None:
        return HeatmapCell(math.nan, MISSING_DASH)
    helped_tasks, hurt_tasks = strategy_count.readings[HELPS], strategy_count.readings[HURTS]
    return HeatmapCell(
        (helped_tasks - hurt_tasks) / strategy_count.tasks, f"↑{helped_tasks}  ↓{hurt_tasks}\nof {strategy_count.tasks}"
    )


def _summarize_readings_over_tasks(strategy_counts: Sequence[strategy_effects.StrategyCount]) -> str:
    """The readings of all tasks together in a sentence, and which effects on ranking are significant over the tasks."""
    count_by_reading = sum(map(attrgetter("readings"), strategy_counts), Counter[str]())
    reading_phrases = []
    for reading_word in strategy_effects.READINGS[:-1]:
        if count_by_reading[reading_word]:
            verb = {MIXED: "are mixed"}.get(
                reading_word, plural(count_by_reading[reading_word], reading_word, PLURAL_READINGS[reading_word])
            )
            reading_phrases.append(f"{count_by_reading[reading_word]:,} {verb}")
    if count_by_reading[NOT_SIGNIFICANT]:
        n = (
            "all"
            if count_by_reading[NOT_SIGNIFICANT] == count_by_reading.total()
            else f"{count_by_reading[NOT_SIGNIFICANT]:,}"
        )
        reading_phrases.append(f"of {n} nothing can be told")
    if count_by_reading[NO_READING]:
        reading_phrases.append(
            f"{count_by_reading[NO_READING]:,} {plural(count_by_reading[NO_READING], 'has', 'have')} no reading"
        )
    comparisons_text = format_count(count_by_reading.total(), "comparison")
    summary = f"Of {comparisons_text} of a strategy with doing nothing (task × family × strategy), {join_words(reading_phrases)}."
    return " ".join(filter(None, (summary, _describe_significant_strategies(strategy_counts))))


def _describe_significant_strategies(strategy_counts: Sequence[strategy_effects.StrategyCount]) -> str:
    tested_counts = [strategy_count for strategy_count in strategy_counts if not math.isnan(strategy_count.p)]
    if not tested_counts:
        return ""
    names = []
    for strategy_count in tested_counts:
        if strategy_count.p < 1 - CONFIDENCE:
            effect_direction = "better" if strategy_count.rank_sum > 0 else "worse"
            names.append(f"{escape(strategy_count.strategy)} for {escape(strategy_count.family)} ({effect_direction})")
    significance_verdict = f"{len(names)} {plural(names, 'differs', 'differ')} in ranking by more than chance explains"
    if names:
        significance_verdict += f": {', '.join(names)}"
    return f"Of {format_count(len(tested_counts), 'pair')} of family and strategy tested over the tasks, {significance_verdict}."
