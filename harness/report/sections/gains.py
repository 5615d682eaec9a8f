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
from harness.evaluation.ensembles import ENSEMBLE_KINDS, GREEDY, GREEDY_ROUNDS, MAX_LIBRARY_MEMBERS, STACKING
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
ADJECTIVE_BY_DIRECTION = {1: "better", -1: "worse"}  #: by direction
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
    calibration_effects = measured_gains.recalibration_effects(scores, ranking)
    if not calibration_effects:
        return ("No tuned entry but the baseline has predictions, and that gives every row the same answer.",)
    tested_effects = list(filter(attrgetter("differences"), calibration_effects))
    table = _tabulate_recalibration_effects(scores, ranking.task, calibration_effects)
    if not tested_effects:
        reason = f"Nothing was recalibrated: that takes {N_FOLDS} inner rows of every class, which no entry has."
        return render_text_template("recalibration.md"), reason, table
    reason = ranking.no_test_reason or "the splits of no pair allow one"
    caption = "Change of log loss and of Brier by every recalibration, for the first entries"
    draw_figure = partial(recalibration_figure, _figure_entries_of_recalibration(tested_effects))
    figure = Figure(report_file_name(ranking.task, "recalibration"), caption, draw_figure)
    return (
        render_text_template("recalibration.md"),
        _summarize_recalibration_effects(calibration_effects) or f"No reading: {reason}.",
        table,
        figure,
    )


def _tabulate_recalibration_effects(
    scores: Scores, task: str, calibration_effects: Sequence[RecalibrationEffect]
) -> ReportTable:
    """Every tuned entry with every recalibration: the reading, differences with intervals, and mean metrics."""
    labels = list(map(attrgetter("label"), measured_gains.calibration_metrics(scores, task)))
    if len(scores.threshold_kinds(task)) > 1:
        labels[3] += " tuned"
    columns = [ReportColumn("Entry"), ReportColumn("Recalibration"), ReportColumn("Reading")]
    columns += [ReportColumn(f"Δ {metric_label}", "change") for metric_label in (*labels[:2], labels[3])]
    columns += [ReportColumn(metric_label, "number") for metric_label in labels]
    rows = []
    for calibration_effect in calibration_effects:
        row: list[CellValue] = [
            "/".join(calibration_effect.entry[:3]),
            calibration_effect.entry.calibration,
            calibration_effect.effect_reading or None,
        ]
        row += list(map(estimate_to_interval, calibration_effect.tested_differences)) or [None] * 3
        rows.append((*row, *calibration_effect.means, calibration_effect.splits))
    return ReportTable((*columns, ReportColumn("Splits", "count")), tuple(rows))


def _summarize_recalibration_effects(calibration_effects: Sequence[RecalibrationEffect]) -> str:
    """Which recalibration makes probabilities significantly better or worse, and whether decisions change."""
    tested_effects = list(filter(attrgetter("directions"), calibration_effects))
    if not tested_effects:
        return ""
    effects_by_calibration: dict[str, list[RecalibrationEffect]] = {name: [] for name in CALIBRATIONS[1:]}
    decision_phrases = []
    for calibration_effect in tested_effects:
        calibration = calibration_effect.entry.calibration
        effects_by_calibration[calibration].append(calibration_effect)
        if calibration_effect.directions[-1]:
            adjective = ADJECTIVE_BY_DIRECTION[calibration_effect.directions[-1]]
            decision_phrases.append(
                f"{adjective} decisions with {calibration} for {_family_and_strategy(calibration_effect)}"
            )
    sentences = []
    for name, effects_of_calibration in effects_by_calibration.items():
        if effects_of_calibration:
            sentences.append(_describe_calibration_effect(name, effects_of_calibration))
    decision_change = "No recalibration is shown to change decisions."
    if decision_phrases:
        decision_change = f"Decisions are shown to change: {join_names(decision_phrases, MAX_NAMES)}."
    return f"Probabilities of tuned entries: {'; '.join(sentences)}. {decision_change}"


def _describe_calibration_effect(calibration: str, calibration_effects: Sequence[RecalibrationEffect]) -> str:
    effect_phrases = []
    for direction, adjective in ADJECTIVE_BY_DIRECTION.items():
        names = []
        for calibration_effect in calibration_effects:
            if calibration_effect.probability_direction == direction:
                names.append(_family_and_strategy(calibration_effect))
        if names:
            effect_phrases.append(f"{adjective} for {len(names)} ({join_names(names, MAX_NAMES)})")
    if effect_phrases:
        return (
            f"*{calibration}* is shown to make probabilities {join_words(effect_phrases)} of {len(calibration_effects)}"
        )
    return f"*{calibration}* is not shown to change those of any of {len(calibration_effects)}"


def _family_and_strategy(calibration_effect: RecalibrationEffect) -> str:
    return escape("/".join(calibration_effect.entry[:2]))


def _figure_entries_of_recalibration(
    tested_effects: Sequence[RecalibrationEffect],
) -> tuple[tuple[str, tuple[MetricChange, ...]], ...]:
    """Of the first entries: the name, and by calibration the differences of log loss and Brier with half intervals."""
    changes_by_entry: dict[str, list[MetricChange]] = {}
    for calibration_effect in tested_effects:
        log_loss_difference, brier_difference = calibration_effect.differences[:2]
        metric_change = (
            calibration_effect.entry.calibration,
            log_loss_difference.mean,
            log_loss_difference.ci_half_width,
            brier_difference.mean,
            brier_difference.ci_half_width,
        )
        changes_by_entry.setdefault("/".join(calibration_effect.entry[:2]), []).append(metric_change)
    return tuple(zip(list(changes_by_entry)[:MAX_DRAWN], map(tuple, changes_by_entry.values()), strict=False))


ENSEMBLE_TITLE = "Would several entries together be better?"


def make_ensemble_sections(evidence: Evidence) -> list[Section]:
    """Write one section per task that was evaluated; without ensembles it gives the reason."""
    return _make_section_per_task(evidence, ENSEMBLE_TITLE, _describe_ensembles)


def _make_section_per_task(
    evidence: Evidence, title: str, make_parts: Callable[[Scores, Ranking], Parts]
) -> list[Section]:
    task_sections = []
    for ranking in evidence.rankings:
        if any(len(ranked_entry.rows) for ranked_entry in ranking.entries):
            task_sections.append(Section(title, make_parts(evidence.scores, ranking), ranking.task))
    return task_sections


def _describe_ensembles(scores: Scores, ranking: Ranking) -> Parts:
    reasons = []
    for (task, _), reason in scores.ensemble_failures.items():
        if task == ranking.task:
            reasons.append(reason)
    failure_texts = []
    if reasons:
        n = markdown.format_count(len(reasons), "split")
        failure_texts.append(f"Of {n} ensembles could not be made: {escape(reasons[0])}.")
    if ranking.task in map(itemgetter(0), scores.ensembles):
        gain_verdict = _describe_ensemble_gain(ranking, measured_gains.ensemble_gains(scores, ranking))
        section_parts: list[Part] = [
            render_text_template(
                "ensembles.md", rounds=GREEDY_ROUNDS, library=MAX_LIBRARY_MEMBERS, parts=ENSEMBLE_PARTS
            ),
            gain_verdict,
            _tabulate_ensemble_scores(scores, ranking),
        ]
        return (
            *section_parts,
            *failure_texts,
            "Who is in them, over the splits:",
            *_describe_member_weights(scores, ranking.task),
        )
    if failure_texts:
        return tuple(failure_texts)
    requirement_text = f"two tuned entries with the same rows in a split and {ENSEMBLE_PARTS} inner rows of every class"
    return (f"No ensemble was made: that takes {requirement_text}.",)


def _describe_ensemble_gain(ranking: Ranking, gains_by_kind: Mapping[str, Estimate]) -> str:
    """Whether an ensemble is significantly better than the entry that inner scores choose."""
    if not gains_by_kind:
        return "There is no entry chosen by inner scores to compare with."
    change_phrases = join_words(
        [f"{ensemble_kind} {format_change(ensemble_gain)}" for ensemble_kind, ensemble_gain in gains_by_kind.items()]
    )
    reference_sentence = (
        f"Against the entry that inner scores choose in each split (`{measured_gains.CHOSEN_ENTRY.name}`)"
    )
    reference_sentence += f", in {escape(ranking.metric.label)}: {change_phrases}."
    p_values = list(map(attrgetter("p"), gains_by_kind.values()))
    if all(map(math.isnan, p_values)):
        reason = ": ".join(filter(None, ("Whether that is more than chance is not known", ranking.no_test_reason)))
        return f"{reference_sentence} {reason}."
    significant_gains = []
    for (ensemble_kind, ensemble_gain), adjusted_p in zip(gains_by_kind.items(), holm(p_values), strict=True):
        if adjusted_p < 1 - CONFIDENCE:
            is_better = (ensemble_gain.mean > 0) == ranking.metric.greater_is_better
            significant_gains.append(f"{ensemble_kind} is {'better' if is_better else 'worse'}")
    if significant_gains:
        return f"{reference_sentence} After Holm's adjustment {join_words(significant_gains)} by more than chance explains."
    if len(gains_by_kind) > 1:
        return f"{reference_sentence} Neither difference is more than chance explains."
    return f"{reference_sentence} That may be chance."


def _tabulate_ensemble_scores(scores: Scores, ranking: Ranking) -> ReportTable:
    """The scores of the ensembles, of what inner scores choose and of the best single entry."""
    entries = [
        *(Entry(ANY_NAME, ensemble_kind, "ensembled") for ensemble_kind in ENSEMBLE_KINDS),
        measured_gains.CHOSEN_ENTRY,
    ]
    if ranking.best:
        entries.append(ranking.best.entry)
    metric_label = ranking.metric.label
    columns = [ReportColumn("Entry")]
    columns += [
        ReportColumn(heading, "number") for heading in (metric_label, f"{metric_label} inner", "Log loss", "Brier")
    ]
    columns += [ReportColumn("Fit s", "quantity"), ReportColumn("Trials", "quantity")]
    columns += [ReportColumn("Members", "count"), ReportColumn("Splits", "count")]
    table_rows = []
    for entry in entries:
        rows = scores.score_rows_of_entry(ranking.task, entry, ranking.threshold_kind)
        if len(rows):
            names = (ranking.metric.name, "inner", "log_loss", "brier", "fit_seconds", "trials")
            members = _format_member_count(scores, ranking.task, entry)
            table_rows.append((entry.name, *map(rows.mean, names), members, len(rows)))
    return ReportTable(tuple(columns), tuple(table_rows))


def _format_member_count(scores: Scores, task: str, entry: Entry) -> int | str:
    """How many members have a weight, from the fewest to the most over the splits."""
    if entry.stage != "ensembled":
        return 1
    member_counts = []
    for (ensemble_task, ensemble_kind, _), split_ensemble in scores.ensembles.items():
        if (ensemble_task, ensemble_kind) == (task, entry.strategy):
            member_counts.append(len(list(filter(None, split_ensemble.weights.values()))))
    if min(member_counts) < max(member_counts):
        return f"{min(member_counts)} to {max(member_counts)}"
    return min(member_counts)


def _describe_member_weights(scores: Scores, task: str) -> list[Part]:
    """The weights of every member as a table, and over how many splits they are means."""
    members_by_kind: dict[str, dict[Entry, EnsembleMember]] = {}
    for ensemble_kind in ENSEMBLE_KINDS:
        members_by_kind[ensemble_kind] = {
            member.entry: member for member in measured_gains.ensemble_members(scores, task, ensemble_kind)
        }
    rows = []
    for entry in {**members_by_kind[GREEDY], **members_by_kind[STACKING]}:
        greedy_member, stacked_member = members_by_kind[GREEDY].get(entry), members_by_kind[STACKING].get(entry)
        cells: list[CellValue] = [None] * 5
        if greedy_member:
            cells[:2] = greedy_member.mean, f"{greedy_member.count_used_splits}/{len(greedy_member.weights)}"
        if stacked_member:
            weights = stacked_member.weights.values()
            cells[2:] = stacked_member.mean, min(weights), max(weights)
        rows.append((entry.name, *cells))
    columns = (
        ReportColumn("Entry"),
        ReportColumn("Greedy: mean weight", "number"),
        ReportColumn("in splits", "count"),
        ReportColumn("Stacking: mean weight", "number"),
        ReportColumn("from", "number"),
        ReportColumn("to", "number"),
    )
    splits_by_kind = Counter(
        ensemble_kind for ensemble_task, ensemble_kind, _ in scores.ensembles if ensemble_task == task
    )
    n = markdown.format_count(max(splits_by_kind.values()), "split")
    weights_note = f"Mean weights are over the splits in which an entry could be chosen; ensembles of {n}."
    return [ReportTable(columns, tuple(rows)), weights_note]


def describe_search_gains(gains: Sequence[SearchGain], ranking: Ranking, label: str) -> list[Part]:
    """What the search gained over the default configuration, in words, as a table and a figure."""
    if not gains:
        return []
    bars = []
    for search_gain in gains[:MAX_BARS]:
        bar_numbers = []
        for gain_number in (search_gain.inner, search_gain.outer.mean, search_gain.outer.ci_half_width):
            bar_numbers.append(float(f"{gain_number:.6g}"))
        bars.append(GainInterval("/".join(search_gain.entry[:2]), *bar_numbers))
    draw_figure = partial(search_gains_figure, tuple(bars), label)
    figure = Figure(
        report_file_name(ranking.task, "gains"), "What the search brought over the default configuration", draw_figure
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
    for search_gain in gains:
        by_reading.setdefault(search_gain.reading, []).append(search_gain)
    verdict_phrases = []
    for reading, ends in ((measured_gains.PAYS, "scores higher"), (measured_gains.HURTS, "scores lower")):
        if reading in by_reading:
            verdict_phrases.append(
                f"the configuration found {ends} on the test rows for {_list_entries_with_gains(by_reading[reading])}"
            )
    unchanged_phrase = "it is not significantly different from the default configuration"
    for reading, ends in (
        (measured_gains.NOT_SIGNIFICANT, unchanged_phrase),
        (measured_gains.DEFAULT_KEPT, "every split kept the default configuration"),
    ):
        if reading in by_reading:
            verdict_phrases.append(f"for {markdown.format_count(len(by_reading[reading]), 'entry', 'entries')} {ends}")
    gain_verdict = "; ".join(verdict_phrases) or f"No verdict: {ranking.no_test_reason or 'splits are missing'}"
    gain_readings = measured_gains.PAYS, measured_gains.HURTS, measured_gains.NOT_SIGNIFICANT
    tested_count = sum(len(by_reading.get(reading, ())) for reading in gain_readings)
    adjustment_text = ""
    if tested_count > 1:
        entries = markdown.format_count(tested_count, "entry", "entries")
        adjustment_text = (
            f"; readings are after Holm's adjustment over {entries}, so an interval without 0 in it need not be enough"
        )
    return (
        f"{gain_verdict[0].upper()}{gain_verdict[1:]}. *Inner* is the gain on the folds that the search looked at: the largest of many "
        "tries, so it is never negative and tends to promise too much. *Outer* is the gain on sealed test rows, with its "
        f"corrected 95 % interval{adjustment_text}. Above zero is better."
    )


def _list_entries_with_gains(search_gains: Sequence[SearchGain]) -> str:
    names = []
    for search_gain in search_gains:
        names.append(f"{escape('/'.join(search_gain.entry[:2]))} ({format_change(search_gain.outer)})")
    return join_names(names, MAX_SEARCH_NAMES)


def _tabulate_search_gains(search_gains: Sequence[SearchGain], score_label: str) -> ReportTable:
    """Every tuned entry against its own default configuration."""
    columns = (
        ReportColumn("Family"),
        ReportColumn("Strategy"),
        ReportColumn(f"{score_label}: inner gain", "change"),
        ReportColumn("Outer gain", "change"),
        ReportColumn("Splits", "count"),
        ReportColumn("Tuning"),
    )
    rows = []
    for search_gain in search_gains:
        row = (
            search_gain.entry.family,
            search_gain.entry.strategy,
            search_gain.inner,
            estimate_to_interval(search_gain.outer),
            search_gain.outer.n,
        )
        rows.append((*row, search_gain.reading or None))
    return ReportTable(columns, tuple(rows))
