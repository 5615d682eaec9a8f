"""What recalibration, ensembling and the search bring: sections about the first two, a part of the section about searches."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from operator import attrgetter, itemgetter
from typing import TypeAlias

from harness.evaluation import gains as measured_gains
from harness.evaluation.corrected_t import CONFIDENCE, Estimate, holm
from harness.evaluation.ensembles import ENSEMBLE_KINDS, GREEDY, LIBRARY, ROUNDS, STACKING
from harness.evaluation.evaluate import ENSEMBLE_PARTS
from harness.evaluation.gains import EnsembleMember, RecalibrationEffect, SearchGain
from harness.evaluation.ranking import Ranking
from harness.evaluation.scores import ANY_NAME, Entry, Scores
from harness.metrics.calibration import CALIBRATIONS, N_FOLDS
from harness.report.content import (
    CellValue,
    Evidence,
    Figure,
    Part,
    ReportColumn,
    ReportTable,
    Section,
    estimate_to_interval,
)
from harness.report.figures.reliability import recalibration_figure
from harness.report.figures.search import GainInterval, search_gains_figure
from harness.report.figures.writer import report_file_name
from harness.report.render import markdown
from harness.report.render.cells import format_change
from harness.report.render.markdown import escape, join_names, join_words
from harness.report.render.templates import render_text_template

CALIBRATION_TITLE = "Are the probabilities sound?"
ADJECTIVES = {1: "better", -1: "worse"}  #: by direction
MAX_DRAWN = 12  #: entries in the figure, the first ones by rank
MAX_NAMES = 3  #: of entries with a change of their probabilities or decisions
MAX_BARS, MAX_SEARCH_NAMES = 20, 5  #: searches in the figure, and entries named with what their search brought
Parts: TypeAlias = tuple[Part, ...]
#: A recalibration; log loss and Brier with half intervals.
MetricChange: TypeAlias = tuple[str, float, float, float, float]


def make_calibration_sections(evidence: Evidence) -> list[Section]:
    """Write one section per task that was evaluated."""
    return _make_section_per_task(evidence, CALIBRATION_TITLE, _describe_recalibration_effects)


def _describe_recalibration_effects(scores: Scores, ranking: Ranking) -> Parts:
    effects = measured_gains.recalibration_effects(scores, ranking)
    if not effects:
        return ("No tuned entry but the baseline has predictions, and that gives every row the same answer.",)
    recalibrated = list(filter(attrgetter("differences"), effects))
    table = _tabulate_recalibration_effects(scores, ranking.task, effects)
    if not recalibrated:
        reason = f"Nothing was recalibrated: that takes {N_FOLDS} inner rows of every class, which no entry has."
        return render_text_template("recalibration.md"), reason, table
    reason = ranking.no_test_reason or "the splits of no pair allow one"
    caption = "Change of log loss and of Brier by every recalibration, for the first entries"
    draw = partial(recalibration_figure, _figure_entries_of_recalibration(recalibrated))
    figure = Figure(report_file_name(ranking.task, "recalibration"), caption, draw)
    return (
        render_text_template("recalibration.md"),
        _summarize_recalibration_effects(effects) or f"No reading: {reason}.",
        table,
        figure,
    )


def _tabulate_recalibration_effects(scores: Scores, task: str, effects: Sequence[RecalibrationEffect]) -> ReportTable:
    """Every tuned entry with every recalibration: the reading, differences with intervals, and mean metrics."""
    labels = list(map(attrgetter("label"), measured_gains.calibration_metrics(scores, task)))
    if len(scores.threshold_kinds(task)) > 1:
        labels[3] += " tuned"
    columns = [ReportColumn("Entry"), ReportColumn("Recalibration"), ReportColumn("Reading")]
    columns += [ReportColumn(f"Δ {label}", "change") for label in (*labels[:2], labels[3])]
    columns += [ReportColumn(label, "number") for label in labels]
    rows = []
    for effect in effects:
        row: list[CellValue] = ["/".join(effect.entry[:3]), effect.entry.calibration, effect.effect_reading or None]
        row += list(map(estimate_to_interval, effect.tested_differences)) or [None] * 3
        rows.append((*row, *effect.means, effect.splits))
    return ReportTable((*columns, ReportColumn("Splits", "count")), tuple(rows))


def _summarize_recalibration_effects(effects: Sequence[RecalibrationEffect]) -> str:
    """Which recalibration makes probabilities significantly better or worse, and whether decisions change."""
    read = list(filter(attrgetter("directions"), effects))
    if not read:
        return ""
    by_calibration: dict[str, list[RecalibrationEffect]] = {name: [] for name in CALIBRATIONS[1:]}
    decisions = []
    for effect in read:
        calibration = effect.entry.calibration
        by_calibration[calibration].append(effect)
        if effect.directions[-1]:
            adjective = ADJECTIVES[effect.directions[-1]]
            decisions.append(f"{adjective} decisions with {calibration} for {_family_and_strategy(effect)}")
    sentences = []
    for name, of_calibration in by_calibration.items():
        if of_calibration:
            sentences.append(_describe_calibration_effect(name, of_calibration))
    change = "No recalibration is shown to change decisions."
    if decisions:
        change = f"Decisions are shown to change: {join_names(decisions, MAX_NAMES)}."
    return f"Probabilities of tuned entries: {'; '.join(sentences)}. {change}"


def _describe_calibration_effect(calibration: str, effects: Sequence[RecalibrationEffect]) -> str:
    parts = []
    for direction, adjective in ADJECTIVES.items():
        names = []
        for effect in effects:
            if effect.probability_direction == direction:
                names.append(_family_and_strategy(effect))
        if names:
            parts.append(f"{adjective} for {len(names)} ({join_names(names, MAX_NAMES)})")
    if parts:
        return f"*{calibration}* is shown to make probabilities {join_words(parts)} of {len(effects)}"
    return f"*{calibration}* is not shown to change those of any of {len(effects)}"


def _family_and_strategy(effect: RecalibrationEffect) -> str:
    return escape("/".join(effect.entry[:2]))


def _figure_entries_of_recalibration(
    recalibrated: Sequence[RecalibrationEffect],
) -> tuple[tuple[str, tuple[MetricChange, ...]], ...]:
    """Of the first entries: the name, and by calibration the differences of log loss and Brier with half intervals."""
    by_entry: dict[str, list[MetricChange]] = {}
    for effect in recalibrated:
        log_loss, brier = effect.differences[:2]
        change = (effect.entry.calibration, log_loss.mean, log_loss.ci_half_width, brier.mean, brier.ci_half_width)
        by_entry.setdefault("/".join(effect.entry[:2]), []).append(change)
    return tuple(zip(list(by_entry)[:MAX_DRAWN], map(tuple, by_entry.values()), strict=False))


ENSEMBLE_TITLE = "Would several entries together be better?"


def make_ensemble_sections(evidence: Evidence) -> list[Section]:
    """Write one section per task that was evaluated; without ensembles it gives the reason."""
    return _make_section_per_task(evidence, ENSEMBLE_TITLE, _describe_ensembles)


def _make_section_per_task(
    evidence: Evidence, title: str, make_parts: Callable[[Scores, Ranking], Parts]
) -> list[Section]:
    written = []
    for ranking in evidence.rankings:
        if any(len(ranked.rows) for ranked in ranking.entries):
            written.append(Section(title, make_parts(evidence.scores, ranking), ranking.task))
    return written


def _describe_ensembles(scores: Scores, ranking: Ranking) -> Parts:
    reasons = []
    for (task, _), reason in scores.ensemble_failures.items():
        if task == ranking.task:
            reasons.append(reason)
    failures = []
    if reasons:
        n = markdown.format_count(len(reasons), "split")
        failures.append(f"Of {n} ensembles could not be made: {escape(reasons[0])}.")
    if ranking.task in map(itemgetter(0), scores.ensembles):
        verdict = _describe_ensemble_gain(ranking, measured_gains.ensemble_gains(scores, ranking))
        parts: list[Part] = [
            render_text_template("ensembles.md", rounds=ROUNDS, library=LIBRARY, parts=ENSEMBLE_PARTS),
            verdict,
            _tabulate_ensemble_scores(scores, ranking),
        ]
        return (*parts, *failures, "Who is in them, over the splits:", *_describe_member_weights(scores, ranking.task))
    if failures:
        return tuple(failures)
    needed = f"two tuned entries with the same rows in a split and {ENSEMBLE_PARTS} inner rows of every class"
    return (f"No ensemble was made: that takes {needed}.",)


def _describe_ensemble_gain(ranking: Ranking, gains: Mapping[str, Estimate]) -> str:
    """Whether an ensemble is significantly better than the entry that inner scores choose."""
    if not gains:
        return "There is no entry chosen by inner scores to compare with."
    changes = join_words([f"{kind} {format_change(gain)}" for kind, gain in gains.items()])
    against = f"Against the entry that inner scores choose in each split (`{measured_gains.CHOSEN.name}`)"
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


def _tabulate_ensemble_scores(scores: Scores, ranking: Ranking) -> ReportTable:
    """The scores of the ensembles, of what inner scores choose and of the best single entry."""
    entries = [*(Entry(ANY_NAME, kind, "ensembled") for kind in ENSEMBLE_KINDS), measured_gains.CHOSEN]
    if ranking.best:
        entries.append(ranking.best.entry)
    label = ranking.metric.label
    columns = [ReportColumn("Entry")]
    columns += [ReportColumn(heading, "number") for heading in (label, f"{label} inner", "Log loss", "Brier")]
    columns += [ReportColumn("Fit s", "quantity"), ReportColumn("Trials", "quantity")]
    columns += [ReportColumn("Members", "count"), ReportColumn("Splits", "count")]
    body = []
    for entry in entries:
        rows = scores.score_rows_of_entry(ranking.task, entry, ranking.threshold_kind)
        if len(rows):
            names = (ranking.metric.name, "inner", "log_loss", "brier", "fit_seconds", "trials")
            members = _format_member_count(scores, ranking.task, entry)
            body.append((entry.name, *map(rows.mean, names), members, len(rows)))
    return ReportTable(tuple(columns), tuple(body))


def _format_member_count(scores: Scores, task: str, entry: Entry) -> int | str:
    """How many members have a weight, from the fewest to the most over the splits."""
    if entry.stage != "ensembled":
        return 1
    counts = []
    for (ensemble_task, kind, _), combined in scores.ensembles.items():
        if (ensemble_task, kind) == (task, entry.strategy):
            counts.append(len(list(filter(None, combined.weights.values()))))
    if min(counts) < max(counts):
        return f"{min(counts)} to {max(counts)}"
    return min(counts)


def _describe_member_weights(scores: Scores, task: str) -> list[Part]:
    """The weights of every member as a table, and over how many splits they are means."""
    by_kind: dict[str, dict[Entry, EnsembleMember]] = {}
    for kind in ENSEMBLE_KINDS:
        by_kind[kind] = {member.entry: member for member in measured_gains.ensemble_members(scores, task, kind)}
    rows = []
    for entry in {**by_kind[GREEDY], **by_kind[STACKING]}:
        greedy, stacked = by_kind[GREEDY].get(entry), by_kind[STACKING].get(entry)
        cells: list[CellValue] = [None] * 5
        if greedy:
            cells[:2] = greedy.mean, f"{greedy.count_used_splits}/{len(greedy.weights)}"
        if stacked:
            weights = stacked.weights.values()
            cells[2:] = stacked.mean, min(weights), max(weights)
        rows.append((entry.name, *cells))
    columns = (
        ReportColumn("Entry"),
        ReportColumn("Greedy: mean weight", "number"),
        ReportColumn("in splits", "count"),
        ReportColumn("Stacking: mean weight", "number"),
        ReportColumn("from", "number"),
        ReportColumn("to", "number"),
    )
    counts = Counter(kind for ensemble_task, kind, _ in scores.ensembles if ensemble_task == task)
    n = markdown.format_count(max(counts.values()), "split")
    note = f"Mean weights are over the splits in which an entry could be chosen; ensembles of {n}."
    return [ReportTable(columns, tuple(rows)), note]


def describe_search_gains(gains: Sequence[SearchGain], ranking: Ranking, label: str) -> list[Part]:
    """What the search gained over the default configuration, in words, as a table and a figure."""
    if not gains:
        return []
    bars = []
    for gain in gains[:MAX_BARS]:
        numbers = []
        for gain_part in (gain.inner, gain.outer.mean, gain.outer.ci_half_width):
            numbers.append(float(f"{gain_part:.6g}"))
        bars.append(GainInterval("/".join(gain.entry[:2]), *numbers))
    draw = partial(search_gains_figure, tuple(bars), label)
    figure = Figure(
        report_file_name(ranking.task, "gains"), "What the search brought over the default configuration", draw
    )
    return [
        "### What the search brought",
        summarize_search_gains(gains, ranking),
        _tabulate_search_gains(gains, label),
        figure,
    ]


def summarize_search_gains(gains: Sequence[SearchGain], ranking: Ranking) -> str:
    """Say for which entries the search paid on rows that it never saw, and what the two columns of gains mean."""
    by_reading: dict[str, list[SearchGain]] = {}
    for gain in gains:
        by_reading.setdefault(gain.reading, []).append(gain)
    parts = []
    for reading, ends in ((measured_gains.PAYS, "scores higher"), (measured_gains.HURTS, "scores lower")):
        if reading in by_reading:
            parts.append(
                f"the configuration found {ends} on the test rows for {_list_entries_with_gains(by_reading[reading])}"
            )
    unchanged = "it is not significantly different from the default configuration"
    for reading, ends in (
        (measured_gains.NOT_SIGNIFICANT, unchanged),
        (measured_gains.DEFAULT_KEPT, "every split kept the default configuration"),
    ):
        if reading in by_reading:
            parts.append(f"for {markdown.format_count(len(by_reading[reading]), 'entry', 'entries')} {ends}")
    verdict = "; ".join(parts) or f"No verdict: {ranking.no_test_reason or 'splits are missing'}"
    readings = measured_gains.PAYS, measured_gains.HURTS, measured_gains.NOT_SIGNIFICANT
    tested = sum(len(by_reading.get(reading, ())) for reading in readings)
    adjusted = ""
    if tested > 1:
        entries = markdown.format_count(tested, "entry", "entries")
        adjusted = (
            f"; readings are after Holm's adjustment over {entries}, so an interval without 0 in it need not be enough"
        )
    return (
        f"{verdict[0].upper()}{verdict[1:]}. *Inner* is the gain on the folds that the search looked at: the largest of many "
        "tries, so it is never negative and tends to promise too much. *Outer* is the gain on sealed test rows, with its "
        f"corrected 95 % interval{adjusted}. Above zero is better."
    )


def _list_entries_with_gains(gains: Sequence[SearchGain]) -> str:
    names = []
    for gain in gains:
        names.append(f"{escape('/'.join(gain.entry[:2]))} ({format_change(gain.outer)})")
    return join_names(names, MAX_SEARCH_NAMES)


def _tabulate_search_gains(gains: Sequence[SearchGain], label: str) -> ReportTable:
    """Every tuned entry against its own default configuration."""
    columns = (
        ReportColumn("Family"),
        ReportColumn("Strategy"),
        ReportColumn(f"{label}: inner gain", "change"),
        ReportColumn("Outer gain", "change"),
        ReportColumn("Splits", "count"),
        ReportColumn("Tuning"),
    )
    rows = []
    for gain in gains:
        row = (gain.entry.family, gain.entry.strategy, gain.inner, estimate_to_interval(gain.outer), gain.outer.n)
        rows.append((*row, gain.reading or None))
    return ReportTable(columns, tuple(rows))
