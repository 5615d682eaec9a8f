"""The sections of a task about its predictions: how well rows are ranked, where to decide, whether probabilities hold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from operator import attrgetter

from harness.errors import StoreError
from harness.evaluation import diagnosis
from harness.evaluation.curves import RankCurves
from harness.evaluation.diagnosis import CACHE_NAME, MAX_FAMILIES, EntryDiagnosis, select_entries_for_details
from harness.evaluation.metric_cache import DEFAULT_THRESHOLD, TUNED_THRESHOLD, MetricCache, read_cache, write_cache
from harness.evaluation.ranking import RankedEntry, Ranking
from harness.evaluation.scores import Entry, Scores
from harness.report.content import Evidence, Figure, Part, Section
from harness.report.figures.curves import gain_and_lift_figure, ranking_curves_figure, reliability_figure
from harness.report.figures.thresholds import Counts, ThresholdSweep, confusion_figure, threshold_sweep_figure
from harness.report.figures.writer import report_file_name
from harness.report.render.markdown import escape, format_count
from harness.report.sections import diagnostics_text as words

RANKING_TITLE, DECISIONS_TITLE = "How well it ranks", "Where to decide"
PROBABILITIES_TITLE = "Whether its probabilities hold"
MAX_DETAILED_TASKS = 12  #: of more, each has only its first figure, or the page would be too large
MAX_CLASSES = 12  #: in a figure; tables have them all
MAX_PANELS = 4  #: entries whose probabilities are drawn


@dataclass(frozen=True)
class TaskDiagnosis:
    """What is known of a task: the best entries of its families, and those that are described in detail."""

    scores: Scores
    ranking: Ranking
    entries: tuple[EntryDiagnosis, ...]
    detailed: tuple[EntryDiagnosis, ...]
    brief: bool  #: there are many tasks

    @property
    def classes(self) -> list[str]:
        """The class names, in encoded order."""
        return self.scores.classes(self.ranking.task)

    @property
    def binary(self) -> bool:
        """Whether there are two classes."""
        return len(self.classes) == 2

    @property
    def log_odds(self) -> bool:
        """Whether scores are drawn as log-odds: one axis for all entries of a figure."""
        return any(map(attrgetter("diagnosis.concentrated"), self.detailed))

    def figure_file_name(self, kind: str) -> str:
        """Name the file of a figure."""
        return report_file_name(self.ranking.task, kind)


def make_diagnostic_sections(evidence: Evidence) -> list[Section]:
    """Write three sections per task, from the predictions of its best entries, which are read once and cached."""
    cached_diagnoses, used_diagnoses = read_cache(evidence.store, CACHE_NAME), MetricCache()
    task_sections: list[Section] = []
    for ranking in evidence.rankings:
        task_sections += _make_task_diagnostic_sections(evidence, ranking, cached_diagnoses, used_diagnoses)
    if used_diagnoses != cached_diagnoses:
        write_cache(evidence.store, used_diagnoses, CACHE_NAME)
    return task_sections


def _make_task_diagnostic_sections(
    evidence: Evidence, ranking: Ranking, cached_diagnoses: MetricCache, used_diagnoses: MetricCache
) -> Iterator[Section]:
    best_of_families = diagnosis.best_of_families(ranking)
    if not best_of_families:
        reason = "No tuned entry of this task has predictions, so there are no curves."
        yield Section(RANKING_TITLE, (reason,), ranking.task)
        return
    diagnoses: dict[Entry, EntryDiagnosis] = {}
    unreadable_notes = []
    candidate_entries = {
        ranked_entry.entry: ranked_entry
        for ranked_entry in (
            *best_of_families[:MAX_FAMILIES],
            *select_entries_for_details(ranking, best_of_families[0]),
        )
    }
    for entry, ranked_entry in candidate_entries.items():
        try:
            diagnoses[entry], row = diagnosis.diagnose_entry(
                evidence.store, evidence.scores, ranking, ranked_entry, cached_diagnoses
            )
            used_diagnoses.update(row)
        except StoreError as error:
            unreadable_notes.append(f"{escape(entry.name)} is not shown: {escape(str(error))}.")
    entries = _select_diagnoses(diagnoses, best_of_families[:MAX_FAMILIES])
    if not entries:
        yield Section(RANKING_TITLE, tuple(unreadable_notes), ranking.task)
        return
    detailed_diagnoses = _select_diagnoses(diagnoses, select_entries_for_details(ranking, entries[0].ranked))
    is_brief = len(evidence.rankings) > MAX_DETAILED_TASKS
    task = TaskDiagnosis(evidence.scores, ranking, entries, detailed_diagnoses, is_brief)
    section_notes = [words.describe_drawn_entries(ranking, best_of_families, entries), *unreadable_notes]
    if is_brief:
        section_notes.append(f"With as many tasks as here ({len(evidence.rankings)}) only one figure of each is drawn.")
    yield Section(RANKING_TITLE, tuple(filter(None, (*section_notes, *_describe_ranking_curves(task)))), ranking.task)
    yield Section(DECISIONS_TITLE, tuple(filter(None, _describe_decisions(task))), ranking.task)
    yield Section(PROBABILITIES_TITLE, tuple(filter(None, _describe_calibration(task))), ranking.task)


def _select_diagnoses(
    diagnoses_by_entry: Mapping[Entry, EntryDiagnosis], entries: Iterable[RankedEntry]
) -> tuple[EntryDiagnosis, ...]:
    """The diagnoses of these entries, where there are any."""
    return tuple(
        diagnoses_by_entry[ranked_entry.entry] for ranked_entry in entries if ranked_entry.entry in diagnoses_by_entry
    )


def _describe_ranking_curves(task: TaskDiagnosis) -> Iterator[Part]:
    """ROC and precision-recall curves of the best entries, and gain and lift or the classes of the first one."""
    curves = _rank_curves_by_name(task.entries)
    yield words.describe_ranking_quality(task.entries[0], task.classes)
    if not curves:
        return
    reference_name = "the baseline" if task.ranking.baseline else "rows in no order"
    caption = f"ROC and precision-recall curves of {format_count(len(curves), 'entry', 'entries')}"
    yield Figure(task.figure_file_name("ranks"), caption, partial(ranking_curves_figure, curves, reference_name))
    yield words.describe_curve_averaging(task.scores, task.ranking, task.entries)
    gain_curves = _rank_curves_by_name(task.detailed)
    if not task.binary:
        yield from _describe_each_class(task)
    elif gain_curves and not task.brief:
        caption = f"Gain and lift of {' and '.join(name for name, _ in gain_curves)}"
        yield Figure(task.figure_file_name("lift"), caption, partial(gain_and_lift_figure, gain_curves))


def _rank_curves_by_name(entries: Iterable[EntryDiagnosis]) -> tuple[tuple[str, RankCurves], ...]:
    """Name and curves of the entries that have any."""
    curves = ((entry.name, entry.diagnosis.rank_curves) for entry in entries)
    return tuple((name, rank_curves) for name, rank_curves in curves if rank_curves)


def _describe_each_class(task: TaskDiagnosis) -> Iterator[Part]:
    """Of the first entry, every class against the rest."""
    first_entry, classes = task.entries[0], task.classes
    yield f"{escape(first_entry.name)}, each class against the rest, the hardest first:"
    yield words.tabulate_class_areas(first_entry.diagnosis, classes)
    hardest_classes = tuple(words.select_hardest_classes(first_entry.diagnosis, classes, MAX_CLASSES))
    if hardest_classes and not task.brief:
        drawn_classes_text = (
            f"The {len(hardest_classes)} hardest classes" if len(hardest_classes) < len(classes) else "Each class"
        )
        caption = f"{drawn_classes_text} against the rest: ROC and precision-recall curves"
        yield Figure(
            task.figure_file_name("classes"),
            caption,
            partial(ranking_curves_figure, hardest_classes, "rows in no order"),
        )


def _describe_decisions(task: TaskDiagnosis) -> Iterator[Part]:
    """Thresholds, confusion matrices and the report per class of the entries in detail."""
    scores, ranking, classes, first_entry = task.scores, task.ranking, task.classes, task.detailed[0]
    for entry in task.detailed:
        yield words.describe_decisions_per_hundred(scores, ranking, entry)
    yield words.describe_decision_costs(scores, ranking, first_entry)
    if not task.brief:
        yield from _describe_thresholds(task)
        yield from _confusion_figure(task)
    yield words.describe_counted_rows(first_entry)
    yield words.tabulate_class_report(scores, ranking, task.detailed, MAX_CLASSES)
    if not task.binary:
        confusion = scores.pooled_confusion(ranking.task, first_entry.ranked.entry, DEFAULT_THRESHOLD)
        yield from words.describe_confused_classes(first_entry, confusion, classes)


def _describe_thresholds(task: TaskDiagnosis) -> Iterator[Part]:
    """Scores by class, and metrics of decisions at every threshold; nothing with several classes."""
    entry_sweeps = []
    for entry in task.detailed:
        score_histogram, threshold_curves = entry.diagnosis.scores, entry.diagnosis.sweep
        if task.log_odds:
            score_histogram, threshold_curves = entry.diagnosis.log_odds, entry.diagnosis.sweep_log_odds
        if threshold_curves:
            entry_sweeps.append(ThresholdSweep(entry.name, score_histogram, threshold_curves, entry.tuned_thresholds))
    if entry_sweeps:
        names = " and ".join(map(attrgetter("name"), entry_sweeps))
        caption = f"Scores by class, and precision, recall and F1 at every threshold, of {names}"
        negative_class, positive_class = task.classes
        draw_figure = partial(
            threshold_sweep_figure, tuple(entry_sweeps), (negative_class, positive_class), log_odds=task.log_odds
        )
        yield Figure(task.figure_file_name("thresholds"), caption, draw_figure)
        yield words.describe_score_axis(task.classes, log_odds=task.log_odds)


def _confusion_figure(task: TaskDiagnosis) -> Iterator[Figure]:
    """The confusion matrices of the entries in detail at both thresholds; with several classes of the first one."""
    if len(task.classes) > MAX_CLASSES:
        return
    entries = task.detailed if task.binary else task.detailed[:1]
    titled_matrices: list[tuple[str, Counts]] = []
    for entry in entries:
        for threshold_kind in task.scores.threshold_kinds(task.ranking.task):
            if len(task.scores.score_rows_of_entry(task.ranking.task, entry.ranked.entry, threshold_kind)):
                confusion_counts = task.scores.pooled_confusion(
                    task.ranking.task, entry.ranked.entry, threshold_kind
                ).tolist()
                title = f"{entry.name}{_format_threshold_title(entry, threshold_kind)}" if task.binary else entry.name
                titled_matrices.append((title, tuple(map(tuple, confusion_counts))))
    caption = f"Confusion matrices of {' and '.join(map(attrgetter('name'), entries))}"
    draw_figure = partial(confusion_figure, tuple(titled_matrices), tuple(task.classes))
    yield Figure(task.figure_file_name("confusion"), caption, draw_figure)


def _format_threshold_title(entry: EntryDiagnosis, threshold_kind: str) -> str:
    if threshold_kind != TUNED_THRESHOLD:
        return "\nat 0.5"
    return f"\ntuned threshold, mean {sum(entry.tuned_thresholds) / len(entry.tuned_thresholds):.3g}"


def _describe_calibration(task: TaskDiagnosis) -> Iterator[Part]:
    """Whether predicted probabilities agree with observed frequencies."""
    for entry in task.detailed:
        yield words.describe_probability_calibration(entry, task.classes)
    if task.brief:
        return
    drawn_entries = task.entries[:MAX_PANELS]
    calibration_panels = []
    for entry in drawn_entries:
        is_concentrated = entry.diagnosis.concentrated
        histogram = entry.diagnosis.log_odds if is_concentrated else entry.diagnosis.scores
        calibration_panels.append((entry.name, entry.diagnosis.bins, histogram, is_concentrated))
    axis_label, group_names = "score of the predicted class", ("predicted wrongly", "predicted correctly")
    if task.binary:
        negative_class, positive_class = task.classes
        axis_label, group_names = f"score for {positive_class}", (f"truly {negative_class}", f"truly {positive_class}")
    caption = f"Reliability of the probabilities of {format_count(len(calibration_panels), 'entry', 'entries')}"
    yield Figure(
        task.figure_file_name("reliability"),
        caption,
        partial(reliability_figure, tuple(calibration_panels), axis_label, group_names),
    )
    yield words.describe_calibration_bins(drawn_entries)
