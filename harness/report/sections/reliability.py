"""How reliable the results of a run are: optimism, stability of the first place, power, coverage and protocol."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from operator import attrgetter

import numpy as np

from harness.evaluation import corrected_t, reliability
from harness.evaluation.corrected_t import POWER, Estimate, PairedSpread, repeats_needed
from harness.evaluation.ranking import BASELINE, RankedEntry, Ranking
from harness.evaluation.reliability import MAX_ENTRIES, RESAMPLES
from harness.evaluation.scores import Scores
from harness.report.content import (
    CellValue,
    Evidence,
    Figure,
    Part,
    ReportColumn,
    ReportTable,
    Section,
    as_interval,
)
from harness.report.figures.reliability import LeadingDifference, OptimismPoint, optimism_figure
from harness.report.figures.writer import file_name
from harness.report.render import markdown
from harness.report.render.cells import change_text, estimate_text, format_number, format_quantity, percent_text
from harness.report.render.markdown import escape, format_count
from harness.report.render.templates import render_text
from harness.report.sections import protocol
from harness.report.sections.imbalance import MAX_FIGURE_TASKS

TITLE = "How far may this be believed?"
KIND = "honesty"
REPEATS_COLUMNS = ReportColumn("Repeats to settle, alone", "count"), ReportColumn("Among all pairs", "count")


@dataclass(frozen=True)
class Rival:
    """An entry against the first one: the difference (above zero: the first is better), its spread, the number of folds."""

    ranked: RankedEntry
    difference: Estimate
    spread: PairedSpread
    folds: int

    @property
    def repeats_alone(self) -> int | None:
        """Repeats that would settle it as the only comparison; None: none ever would."""
        return repeats_needed(self.difference.mean, replace(self.spread, tests=1), self.folds)

    @property
    def repeats_among_all(self) -> int | None:
        """Repeats that would settle it at the strictest step among all pairs; None: none ever would."""
        return repeats_needed(self.difference.mean, self.spread, self.folds)

    @property
    def detectable(self) -> float:
        """The smallest true difference that would have been significant."""
        return corrected_t.min_detectable_difference(self.spread)

    @property
    def significant(self) -> bool:
        """Whether it is significantly different from the first entry."""
        return self.ranked.tied is False


def sections(evidence: Evidence) -> list[Section]:
    """Write a section per task, one over them where there are several, coverage, and how everything was evaluated."""
    scores, rankings = evidence.scores, list(filter(attrgetter("best"), evidence.rankings))
    by_task = reliability.best_probabilities(evidence.store, scores, tuple(rankings))
    with_figure = len(rankings) <= MAX_FIGURE_TASKS
    written = []
    for ranking in rankings:
        parts = _parts(scores, ranking, by_task.get(ranking.task), with_figure=with_figure)
        written.append(Section(TITLE, parts, ranking.task))
    if len(rankings) > 1:
        written.append(Section(f"{TITLE} All tasks", tuple(overview_parts(scores, rankings, by_task))))
    return [*written, *protocol.sections(scores)]


def rivals(scores: Scores, ranking: Ranking) -> list[Rival]:
    """Compare every ranked entry but the baseline with the first one.

    Returns
    -------
    list of Rival
        In the order of the ranking; empty where the splits allow no tests.
    """
    best, metric = ranking.best, ranking.metric
    if best is None or ranking.no_test_reason:
        return []
    complete = list(filter(attrgetter("complete"), ranking.entries))
    pairs = len(complete) * (len(complete) - 1) // 2
    resolution = max(scores.resolution(ranking.task, metric, ranked.rows) for ranked in complete)
    ratio, n = best.rows.mean("ratio"), len(best.rows)
    folds = max(1, n // int(scores.run["protocol"].get("repeats", 1)))
    sign = 1 if metric.greater_is_better else -1
    against = []
    for ranked in complete:
        if ranked.rank and ranked is not best and ranked.entry.family != BASELINE:
            change = sign * (best.rows[metric.name] - ranked.rows[metric.name])
            deviation = math.sqrt(max(float(change.var(ddof=1)), resolution**2 / 12))
            difference = corrected_t.estimate(change, ratio, resolution=resolution)
            against.append(Rival(ranked, difference, PairedSpread(deviation, n, ratio, pairs), folds))
    return against


def _parts(
    scores: Scores, ranking: Ranking, stability: reliability.BestProbabilities | None, *, with_figure: bool
) -> tuple[Part, ...]:
    optimism, against = reliability.entry_optimism(scores, ranking), rivals(scores, ranking)
    selection = reliability.selection_optimism(scores, ranking)
    sentences = [_selection_text(ranking, selection), _stability_text(ranking, stability)]
    if ranking.no_test_reason:
        sentences.append(f"What difference could have been significant is not known: {ranking.no_test_reason}.")
    sentences += power_sentences(ranking, against)
    parts: list[Part] = [markdown.bullets(sentences)]
    if with_figure and (optimism or stability):
        parts.append(_figure(ranking, optimism, stability, against))
    if optimism:
        parts += [render_text("optimism.md"), _optimism_table(ranking, optimism)]
    if stability:
        columns = ReportColumn("Entry"), ReportColumn("First in", "percent", 0)
        names = map(attrgetter("name"), stability.entries)
        parts += [
            render_text("stability.md", resamples=RESAMPLES),
            ReportTable(columns, tuple(zip(names, stability.shares, strict=True))),
        ]
    if against:
        parts += [render_text("power.md", power=round(100 * POWER)), _power_table(against)]
    return tuple(parts)


def _selection_text(ranking: Ranking, chosen: reliability.SelectionOptimism | None) -> str:
    if chosen is None:
        return "Nothing was searched, so there is no optimism."
    added = chosen.difference
    note = ""
    if not math.isnan(added.ci_half_width) and abs(added.mean) <= added.ci_half_width:
        note = ", which chance may explain"
    trials, metric = format_quantity(chosen.trials), escape(markdown.metric_name(ranking.metric))
    return (
        f"Over {format_count(chosen.pairs, 'pair')} of family and strategy, searches of {trials} trials promised "
        f"{_gap_text(chosen.tuned)} of {metric} than held on test rows; default configurations, "
        f"which nothing chose, {_gap_text(chosen.default)}. Choosing added {change_text(added)}{note}."
    )


def _gap_text(gap: Estimate) -> str:
    """`0.003 ± 0.010 more`: by how much an inner score was above the one on test rows."""
    return f"{estimate_text(replace(gap, mean=abs(gap.mean)))} {'more' if gap.mean >= 0 else 'less'}"


def _stability_text(ranking: Ranking, stability: reliability.BestProbabilities | None) -> str:
    if stability is None:
        if sum(ranked.rank is not None for ranked in ranking.entries) < 2:
            return "There is one entry only, so no other can be first."
        return "How often another entry would be first is not known: the stored predictions cannot be read any more."
    first, share = stability.entries[0], stability.shares[0]
    text = (
        f"With other test rows **{escape(first.name)}** stays first in {percent_text(share)} of {RESAMPLES} resamples, so the "
        f"winner changes in {percent_text(1 - share)}"
    )
    by_family: dict[str, list[float]] = {}
    for entry, entry_share in zip(stability.entries, stability.shares, strict=True):
        by_family.setdefault(entry.family, []).append(entry_share)
    own = by_family[first.family]
    if len(by_family) > 1 and len(own) > 1:
        text += f"; some entry of {escape(first.family)} is first in {percent_text(sum(own))}"
    if stability.n_omitted:
        text += f". Only the first {MAX_ENTRIES} places were resampled, {stability.n_omitted:,} were not"
    return f"{text}."


def power_sentences(ranking: Ranking, against: Sequence[Rival]) -> list[str]:
    """Say which difference would have been significant, and how many repeats would settle that of the second entry."""
    if not against:
        return []
    smallest = list(map(attrgetter("detectable"), against))
    median, low, high = map(format_number, (float(np.median(smallest)), min(smallest), max(smallest)))
    metric = escape(markdown.metric_name(ranking.metric))
    others = format_count(len(against), "other entry", "other entries")
    detectable = (
        f"The smallest difference in {metric} from the first entry that this run would have found in "
        f"{100 * POWER:.0f} % of its repetitions is {median} (median over {others}; from {low} to {high})."
    )
    second = against[0]
    lead = "The baseline is second; the next" if _baseline_is_second(ranking, second) else "The second"
    behind = f"{lead}, {escape(second.ranked.entry.name)}, is {format_number(second.difference.mean)} behind"
    if second.significant:
        return [detectable, f"{behind}, which is significant already."]
    alone, among_all = second.repeats_alone, second.repeats_among_all
    if alone is None:
        return [detectable, f"{behind}: if that is all there is, no number of repeats would ever make it significant."]
    times = f"{format_count(alone, 'repeat')} of the {format_count(second.folds, 'fold')}"
    among = f"{among_all:,}" if among_all is not None else "but none ever"
    text = f"{times} could make it significant as the only comparison, {among} among all {second.spread.tests:,} pairs"
    return [detectable, f"{behind}: if it stays so, {text}."]


def _baseline_is_second(ranking: Ranking, rival: Rival) -> bool:
    """Whether the baseline is between the first entry and the next one, its best rival."""
    return ranking.baseline is not None and ranking.baseline.rank == 2 and rival.ranked.rank == 3


def _optimism_table(ranking: Ranking, optimism: Sequence[reliability.EntryOptimism]) -> ReportTable:
    name = markdown.metric_name(ranking.metric)
    columns = (
        ReportColumn("Entry"),
        ReportColumn("Trials", "quantity"),
        ReportColumn(f"Inner {name}", "number"),
        ReportColumn(f"Test {name}", "number"),
        ReportColumn("Believed too much", "change"),
    )
    rows = []
    for entry in optimism:
        rows.append((entry.name, entry.trials, entry.inner, entry.outer, as_interval(entry.gap)))
    return ReportTable(columns, tuple(rows))


def _power_table(against: Sequence[Rival]) -> ReportTable:
    columns = (
        ReportColumn("Entry"),
        ReportColumn("Behind the first", "change"),
        ReportColumn("Told apart"),
        ReportColumn("Detectable", "number"),
        *REPEATS_COLUMNS,
    )
    words = {True: "no", False: "yes", None: None}
    rows = []
    for rival in against:
        repeats: list[CellValue] = [None, None]
        if not rival.significant:
            repeats = _repeats_cells(rival)
        told_apart = words[rival.ranked.tied]
        rows.append((rival.ranked.name, as_interval(rival.difference), told_apart, rival.detectable, *repeats))
    return ReportTable(columns, tuple(rows))


def _repeats_cells(rival: Rival) -> list[CellValue]:
    """How many repeats would settle a difference, alone and among all pairs."""
    cells: list[CellValue] = []
    for repeats in (rival.repeats_alone, rival.repeats_among_all):
        cells.append("none ever" if repeats is None else repeats)
    return cells


def overview_parts(
    scores: Scores, rankings: Sequence[Ranking], by_task: Mapping[str, reliability.BestProbabilities]
) -> list[Part]:
    """Make a table with a row per task, and say where the baseline is second and passed over."""
    rows, passed_over = [], []
    for ranking in rankings:
        chosen, against = reliability.selection_optimism(scores, ranking), rivals(scores, ranking)
        stability = by_task.get(ranking.task)
        cells: list[CellValue] = [None] * 7
        if ranking.best:
            cells[0] = ranking.best.entry.name
        if stability:
            cells[1] = stability.shares[0]
        if chosen:
            cells[2] = as_interval(chosen.tuned)
        if against:
            second = against[0]
            cells[3] = float(np.median(list(map(attrgetter("detectable"), against))))
            cells[4] = second.difference.mean
            cells[5:] = ["told apart"] * 2
            if not second.significant:
                cells[5:] = _repeats_cells(second)
            if _baseline_is_second(ranking, second):
                passed_over.append(escape(ranking.task))
        rows.append((ranking.task, *cells))
    columns = (
        ReportColumn("Task"),
        ReportColumn("First"),
        ReportColumn("Stays first in", "percent", 0),
        ReportColumn("Searches believed too much", "change"),
        ReportColumn("Detectable", "number"),
        ReportColumn("Second behind by", "number"),
        *REPEATS_COLUMNS,
    )
    parts: list[Part] = [ReportTable(columns, tuple(rows))]
    if passed_over:
        names = markdown.join_words(passed_over)
        parts.append(f"The baseline, itself second on {names}, is passed over there.")
    return parts


def _figure(
    ranking: Ranking,
    optimism: Sequence[reliability.EntryOptimism],
    stability: reliability.BestProbabilities | None,
    against: Sequence[Rival],
) -> Figure:
    points = []
    for entry in optimism:
        points.append(OptimismPoint(entry.entry.stage, entry.trials, entry.inner, entry.outer, entry.gap.mean))
    shares: tuple[tuple[str, float], ...] = ()
    if stability:
        shares = tuple(zip(map(attrgetter("name"), stability.entries), stability.shares, strict=True))
    difference, folds = None, 1
    if against:
        folds = against[0].folds
        if against[0].spread.deviation:
            difference = LeadingDifference(float(against[0].difference.mean), against[0].spread)
    caption = (
        "Inner against test scores, which entry is first when test rows are drawn anew, and what repeats could settle on "
        f"{escape(ranking.task)}"
    )
    draw = partial(optimism_figure, markdown.metric_name(ranking.metric), tuple(points), shares, difference, folds)
    return Figure(file_name(ranking.task, KIND), caption, draw)
