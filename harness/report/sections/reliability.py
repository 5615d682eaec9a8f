"""How reliable the results of a run are: optimism, how sure the first place is, coverage and protocol."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from operator import attrgetter

import numpy as np

from harness.evaluation import reliability
from harness.evaluation.corrected_t import Estimate
from harness.evaluation.ranking import BASELINE, RankedEntry, Ranking
from harness.evaluation.scores import Scores
from harness.evaluation.significance import Comparison
from harness.evaluation.variance import ERROR_STRETCH
from harness.report.content import (
    CellValue,
    Evidence,
    Figure,
    MeanInterval,
    Part,
    ReportColumn,
    ReportTable,
    Section,
    estimate_to_interval,
)
from harness.report.figures.reliability import OptimismPoint, optimism_figure
from harness.report.figures.writer import report_file_name
from harness.report.render import markdown
from harness.report.render.cells import format_change, format_estimate, format_quantity
from harness.report.render.markdown import escape, format_count
from harness.report.render.templates import render_text_template
from harness.report.sections import protocol
from harness.report.sections.imbalance import MAX_FIGURE_TASKS

TITLE = "How far may this be believed?"
KIND = "honesty"
POWER = 0.8
Z_POWER = 0.8416  #: the normal quantile of `POWER`


def make_reliability_sections(evidence: Evidence) -> list[Section]:
    """Write a section per task, one over them where there are several, coverage, and how everything was evaluated."""
    scores, rankings = evidence.scores, list(filter(attrgetter("best"), evidence.rankings))
    task_sections = []
    for ranking in rankings:
        section_parts = _describe_reliability(scores, ranking, with_figure=len(rankings) <= MAX_FIGURE_TASKS)
        task_sections.append(Section(TITLE, section_parts, ranking.task))
    if len(rankings) > 1:
        table = tabulate_detectable_by_task(scores, rankings)
        task_sections.append(Section(f"{TITLE} All tasks", (table,)))
    return [*task_sections, *protocol.make_protocol_sections(scores)]


def select_compared_entries(ranking: Ranking) -> list[RankedEntry]:
    """List the ranked entries but the baseline that are compared with the best one, in the order of the ranking."""
    entries = []
    for ranked_entry in ranking.entries:
        if (
            ranked_entry.rank is not None
            and ranked_entry.comparison is not None
            and ranked_entry.entry.family != BASELINE
        ):
            entries.append(ranked_entry)
    return entries


def detectable_difference(comparison: Comparison) -> float:
    """Compute the smallest true difference that an interval as wide as this one would exclude from 0 in 80 % of runs.

    Parameters
    ----------
    comparison : Comparison
        A comparison with the best entry.

    Returns
    -------
    float
        In units of the metric.
    """
    half_width = (comparison.high - comparison.low) / 2
    return half_width + Z_POWER * comparison.standard_error / ERROR_STRETCH


def _describe_reliability(scores: Scores, ranking: Ranking, *, with_figure: bool) -> tuple[Part, ...]:
    entry_optimism, compared_entries = (
        reliability.measure_entry_optimism(scores, ranking),
        select_compared_entries(ranking),
    )
    sentences = [_describe_selection_optimism(ranking, reliability.measure_selection_optimism(scores, ranking))]
    if ranking.no_test_reason:
        sentences.append(f"Whether any entry is better than another is not known: {ranking.no_test_reason}.")
    section_parts: list[Part] = [markdown.bullet_list(sentences)]
    if with_figure and entry_optimism:
        section_parts.append(_optimism_figure(ranking, entry_optimism))
    if entry_optimism:
        section_parts += [render_text_template("optimism.md"), _tabulate_optimism(ranking, entry_optimism)]
    if compared_entries:
        section_parts += [
            render_text_template("certainty.md", power=round(100 * POWER)),
            _tabulate_detectable_differences(compared_entries),
        ]
    return tuple(section_parts)


def _describe_selection_optimism(ranking: Ranking, chosen: reliability.SelectionOptimism | None) -> str:
    if chosen is None:
        return "Nothing was searched, so there is no optimism."
    added = chosen.difference
    note = ""
    if not math.isnan(added.ci_half_width) and abs(added.mean) <= added.ci_half_width:
        note = ", which chance may explain"
    trials, metric = format_quantity(chosen.trials), escape(markdown.metric_name(ranking.metric))
    return (
        f"Over {format_count(chosen.pairs, 'pair')} of family and strategy, searches of {trials} trials promised "
        f"{_format_optimism_gap(chosen.tuned)} of {metric} than held on test rows; default configurations, "
        f"which nothing chose, {_format_optimism_gap(chosen.default)}. Choosing added {format_change(added)}{note}."
    )


def _format_optimism_gap(optimism_gap: Estimate) -> str:
    """`0.003 ± 0.010 more`: by how much an inner score was above the one on test rows."""
    return f"{format_estimate(replace(optimism_gap, mean=abs(optimism_gap.mean)))} {'more' if optimism_gap.mean >= 0 else 'less'}"


def _tabulate_optimism(ranking: Ranking, entry_optimism: Sequence[reliability.EntryOptimism]) -> ReportTable:
    name = markdown.metric_name(ranking.metric)
    columns = (
        ReportColumn("Entry"),
        ReportColumn("Trials", "quantity"),
        ReportColumn(f"Inner {name}", "number"),
        ReportColumn(f"Test {name}", "number"),
        ReportColumn("Believed too much", "change"),
    )
    rows = []
    for entry in entry_optimism:
        rows.append((entry.name, entry.trials, entry.inner, entry.outer, estimate_to_interval(entry.gap)))
    return ReportTable(columns, tuple(rows))


def _tabulate_detectable_differences(compared_entries: Sequence[RankedEntry]) -> ReportTable:
    columns = (
        ReportColumn("Entry"),
        ReportColumn("Minus the best", "change"),
        ReportColumn("Against the best"),
        ReportColumn("Detectable", "number"),
        ReportColumn("May be the best"),
        ReportColumn("P(best)", "percent", 0),
    )
    rows = []
    for ranked_entry in compared_entries:
        comparison = ranked_entry.comparison
        assert comparison is not None  # noqa: S101 -- others are not compared
        difference = MeanInterval(comparison.difference, (comparison.high - comparison.low) / 2)
        may_be_best = "yes" if ranked_entry.may_be_best else "no"
        smallest_detectable = detectable_difference(comparison)
        rows.append(
            (
                ranked_entry.name,
                difference,
                comparison.verdict,
                smallest_detectable,
                may_be_best,
                ranked_entry.best_probability,
            )
        )
    return ReportTable(columns, tuple(rows))


def tabulate_detectable_by_task(scores: Scores, rankings: Sequence[Ranking]) -> ReportTable:
    """Tabulate the tasks: the first entry, how sure it is, and what differences can be detected."""
    rows = []
    for ranking in rankings:
        selection_optimism, compared_entries = (
            reliability.measure_selection_optimism(scores, ranking),
            select_compared_entries(ranking),
        )
        cells: list[CellValue] = [None] * 6
        if ranking.best:
            cells[:2] = ranking.best.entry.name, ranking.best.best_probability
        if selection_optimism:
            cells[2] = estimate_to_interval(selection_optimism.tuned)
        comparisons = [
            ranked_entry.comparison for ranked_entry in compared_entries if ranked_entry.comparison is not None
        ]
        if comparisons:
            cells[3] = float(np.median(list(map(detectable_difference, comparisons))))
            cells[4:] = comparisons[0].difference, comparisons[0].verdict
        rows.append((ranking.task, *cells))
    columns = (
        ReportColumn("Task"),
        ReportColumn("First"),
        ReportColumn("P(best)", "percent", 0),
        ReportColumn("Searches believed too much", "change"),
        ReportColumn("Detectable", "number"),
        ReportColumn("Second minus first", "change"),
        ReportColumn("Second against first"),
    )
    return ReportTable(columns, tuple(rows))


def _optimism_figure(ranking: Ranking, entry_optimism: Sequence[reliability.EntryOptimism]) -> Figure:
    points = []
    for entry in entry_optimism:
        points.append(OptimismPoint(entry.entry.stage, entry.trials, entry.inner, entry.outer, entry.gap.mean))
    caption = f"Inner against test scores on {escape(ranking.task)}"
    draw_figure = partial(optimism_figure, markdown.metric_name(ranking.metric), tuple(points))
    return Figure(report_file_name(ranking.task, KIND), caption, draw_figure)
