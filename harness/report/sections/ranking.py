"""The ranking of one task: its best entry in words, tables of entries and confusion matrices, the usual results summary."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from operator import attrgetter

import numpy as np
import numpy.typing as npt

from harness.evaluation.metric_cache import DEFAULT_THRESHOLD
from harness.evaluation.ranking import BASELINE, RankedEntry, Ranking, choose_decimals
from harness.evaluation.scores import ANY_NAME, COMBINED_STAGES, Entry, Scores, entry_statuses
from harness.metrics.classification import class_report
from harness.metrics.metric import Metric
from harness.report.content import (
    CellValue,
    ReportCell,
    ReportColumn,
    ReportTable,
    estimate_to_interval,
    mark_best_cells,
)
from harness.report.leaderboard import METRIC_COLUMNS
from harness.report.render import markdown
from harness.report.render.cells import format_estimate, format_number
from harness.report.render.markdown import bold, escape, metric_name

QUALITY_METRICS = ("roc_auc", "average_precision", "f1", "precision", "recall", "balanced_accuracy", "mcc")
PROBABILITY_METRICS = ("log_loss", "brier", "ece")
CLASS_METRICS = ("Precision", "Recall", "F1")  #: in the order of `class_report`
MAX_BASELINE_ROW = 15  #: so that the baseline is not folded away
MAX_QUICK_SHARE = 0.5  #: of the first entry's time to fit: less of a difference may be the noise of a busy machine
METRIC_PHRASES = {  # metrics whose column heading does not read well within a sentence
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "precision": "precision",
    "recall": "recall",
    "precision_negative": "precision of the negative class",
    "recall_negative": "recall of the negative class",
    "f1_negative": "F1 of the negative class",
    "average_precision": "average precision (AP)",
    "log_loss": "log loss",
    "brier": "Brier score",
    "ece": "calibration error (ECE)",
    "lift_at_10": "lift of the first tenth",
    "expected_cost": "expected cost",
}
Counts = npt.NDArray[np.int64]


def describe_first_entry(ranking: Ranking, describe: Callable[[Entry], str] = attrgetter("name")) -> str:
    """Say which entry is first, by how much, and from how many others it does not differ significantly.

    Parameters
    ----------
    ranking : Ranking
        The ranking of the task.
    describe : callable, default the name of the entry
        Turns the first entry into text.

    Returns
    -------
    str
        A sentence that begins with the entry; without any ranked entry, the reason.
    """
    best_entry = ranking.best
    if best_entry is None:
        return _explain_no_best_entry(ranking)
    threshold = ""
    if ranking.metric.metric_type == "decision" and ranking.threshold_text:
        threshold = f" {ranking.threshold_text}"
    score = f"{_format_score(ranking, best_entry)}{_compare_with_baseline(ranking)}"
    first_phrase = (
        f"{bold(escape(describe(best_entry.entry)))} is first by {metric_phrase(ranking.metric)}{threshold}, {score}"
    )
    if ranking.no_test_reason:
        return f"{first_phrase}; whether by more than chance is not known: {ranking.no_test_reason}."
    other_entries = [
        ranked_entry
        for ranked_entry in ranking.entries
        if ranked_entry.rank is not None and ranked_entry is not best_entry
    ]
    if not other_entries:
        return f"{first_phrase}; it had no competitor."
    return f"{first_phrase}; {_count_significantly_different_entries(other_entries)}."


def _count_significantly_different_entries(other_entries: list[RankedEntry]) -> str:
    """How many of the other ranked entries differ significantly from the first one."""
    n, tied = len(other_entries), sum(bool(ranked_entry.tied) for ranked_entry in other_entries)
    if not tied:
        below_phrase = {1: "the other entry is", 2: "both other entries are"}.get(n, f"all {n} other entries are")
        return f"{below_phrase} significantly below it"
    if tied < n:
        differ = "is" if tied == 1 else "are"
        return f"{tied} of the {markdown.format_count(n, 'other entry', 'other entries')} {differ} not significantly different from it"
    sentence_subjects = {1: "the other entry is not", 2: "neither of the other entries is"}
    sentence_subject = sentence_subjects.get(n, f"none of the {n} other entries is")
    return f"{sentence_subject} significantly different from it"


def describe_unchanged_defaults(ranking: Ranking) -> str:
    """Say how many tuned entries equal their default; the baseline, with nothing to search, always does."""
    unchanged = sum(
        ranked_entry.also_default and ranked_entry.entry.family != BASELINE for ranked_entry in ranking.entries
    )
    if not unchanged:
        return ""
    return (
        f"For {markdown.format_count(unchanged, 'pair')} of family and strategy the search kept the default parameters in every split: "
        "default and tuned are one entry then, marked *= default*."
    )


def metric_phrase(metric: Metric) -> str:
    """Name a metric within a sentence: with its abbreviation where it has one, a common noun in lower case."""
    return METRIC_PHRASES.get(metric.name) or escape(metric_name(metric))


def _explain_no_best_entry(ranking: Ranking) -> str:
    if any(ranked_entry.score.n for ranked_entry in ranking.entries):
        return f"{metric_phrase(ranking.metric)} is defined for no entry."
    if all(ranked_entry.not_run for ranked_entry in ranking.entries):
        return "nothing has been evaluated yet."
    return "no cell is ok, so there is nothing to rank."


def _format_score(ranking: Ranking, ranked_entry: RankedEntry) -> str:
    return format_estimate(ranked_entry.score, digits=ranking.digits)


def _compare_with_baseline(ranking: Ranking) -> str:
    baseline = ranking.baseline
    if baseline is None or not baseline.score.n or baseline is ranking.best:
        return ""
    tied_phrase = ""
    if ranking.above_baseline is False:
        tied_phrase = ", not significantly different"
    return f" (majority: {format_number(baseline.score.mean)}{tied_phrase})"


def list_plugin_metrics(scores: Scores, task: str) -> list[Metric]:
    """List the metrics that plug-ins declare, as far as they are defined for a task."""
    plugins = []
    for metric in scores.metrics.values():
        is_defined = len(scores.classes(task)) == 2 or not metric.binary_only
        if metric.needs_costs and scores.costs(task) is None:
            is_defined = False
        if is_defined and metric.name not in METRIC_COLUMNS and not metric.is_detail:
            plugins.append(metric)
    return plugins


def list_quality_metrics(scores: Scores, task: str) -> list[Metric]:
    """List the metrics that say how well entries rank and decide, cost where decisions have costs, plug-ins last."""
    names = [*QUALITY_METRICS]
    if scores.costs(task):
        names.append("expected_cost")
    plugins = [metric for metric in list_plugin_metrics(scores, task) if metric.metric_type != "probability"]
    return [*map(scores.metrics.__getitem__, names), *plugins]


def list_probability_metrics(scores: Scores, task: str) -> list[Metric]:
    """List the metrics that say how good probabilities are, plug-ins last."""
    plugins = [metric for metric in list_plugin_metrics(scores, task) if metric.metric_type == "probability"]
    return [*map(scores.metrics.__getitem__, PROBABILITY_METRICS), *plugins]


def tabulate_quality(scores: Scores, ranking: Ranking) -> ReportTable:
    """Tabulate how well each entry ranks and decides, in the order of the ranking."""
    entries = _displayed_entries(ranking)
    columns = [ReportColumn("#", "count"), ReportColumn("Entry"), ReportColumn(metric_name(ranking.metric), "number")]
    cells: list[Sequence[CellValue | ReportCell]] = [
        [format_rank(ranked_entry) for ranked_entry in entries],
        [ranked_entry.name for ranked_entry in entries],
        [make_score_cell(ranking, ranked_entry) for ranked_entry in entries],
    ]
    for metric in list_quality_metrics(scores, ranking.task):
        if metric.name != ranking.metric.name:
            columns.append(_make_metric_column(entries, metric))
            cells.append(_make_metric_cells(entries, metric))
    cells.append([f"{ranked_entry.score.n}/{ranking.splits}" for ranked_entry in entries])
    return ReportTable((*columns, ReportColumn("Splits", "count")), tuple(zip(*cells, strict=True)))


def tabulate_effort(scores: Scores, ranking: Ranking) -> ReportTable:
    """Tabulate how good the probabilities of each entry are, how much it over-fits, and its effort, in the same order."""
    entries, objective = _displayed_entries(ranking), metric_name(ranking.metric)
    columns = [ReportColumn("#", "count"), ReportColumn("Entry")]
    cells: list[Sequence[CellValue | ReportCell]] = [
        [format_rank(ranked_entry) for ranked_entry in entries],
        [ranked_entry.name for ranked_entry in entries],
    ]
    for metric in list_probability_metrics(scores, ranking.task):
        columns.append(_make_metric_column(entries, metric))
        cells.append(_make_metric_cells(entries, metric))
    effort_columns = {
        "inner": ReportColumn(f"{objective} inner", "number", ranking.digits),
        "train": ReportColumn(f"{objective} training", "number", ranking.digits),
        "fit_seconds": ReportColumn("Fit s", "quantity"),
        "predict_us_per_row": ReportColumn("Predict µs/row", "quantity"),
        "trials": ReportColumn("Trials", "quantity"),
    }
    for name, column in effort_columns.items():
        columns.append(column)
        cells.append([ranked_entry.rows.mean(name) for ranked_entry in entries])
    cells.append([ranked_entry.status for ranked_entry in entries])
    return ReportTable((*columns, ReportColumn("Status")), tuple(zip(*cells, strict=True)))


def tabulate_confusion_matrix(scores: Scores, ranking: Ranking, best: RankedEntry) -> ReportTable:
    """Tabulate the confusion matrix and the report per class of the best entry and of its family without any strategy."""
    entries, plain_entry = [best.entry], ranking.find_line(best.entry.family, "none")
    if plain_entry is not None and plain_entry.entry != best.entry and plain_entry.score.n:
        entries.append(plain_entry.entry)
    rows = []
    for entry in entries:
        for threshold_kind in scores.threshold_kinds(ranking.task):
            rows += _class_rows_of_confusion(scores, ranking.task, entry, threshold_kind)
    columns = [ReportColumn("Entry"), ReportColumn("Decision"), ReportColumn("Class")]
    columns += [ReportColumn(f"called {name}", "count") for name in scores.classes(ranking.task)]
    columns += [ReportColumn(name, "number") for name in CLASS_METRICS]
    return ReportTable(tuple(columns), tuple(rows), foldable=False)


def _class_rows_of_confusion(
    scores: Scores, task: str, entry: Entry, threshold_kind: str
) -> list[tuple[CellValue, ...]]:
    """A row per class: counts by predicted class, precision, recall and F1; entry and threshold in the first row only."""
    confusion = scores.pooled_confusion(task, entry, threshold_kind)
    threshold = scores.score_rows_of_entry(task, entry, threshold_kind).mean("threshold")
    threshold_text = f"at tuned {threshold:.3f}"
    if math.isnan(threshold):
        threshold_text = "most probable"
    elif threshold_kind == DEFAULT_THRESHOLD:
        threshold_text = "at 0.5"
    first_cells = (entry.name, threshold_text)
    rows: list[tuple[CellValue, ...]] = []
    for name, predicted_counts, metrics in zip(
        scores.classes(task), confusion, _metrics_by_class(confusion).T, strict=True
    ):
        rows.append((*first_cells, name, *predicted_counts.tolist(), *metrics.tolist()))
        first_cells = ("", "")
    return rows


def _displayed_entries(ranking: Ranking) -> list[RankedEntry]:
    """The entries with scores; the baseline moves up so that it is not folded away."""
    entries = list(filter(attrgetter("score.n"), ranking.entries))
    baseline = ranking.baseline
    if baseline is not None and baseline in entries[MAX_BASELINE_ROW:]:
        entries.remove(baseline)
        entries.insert(MAX_BASELINE_ROW - 1, baseline)
    return entries


def format_rank(ranked: RankedEntry) -> int | str | None:
    """Give the rank: a dagger for what inner scores chose or combined, None for what cannot be ranked."""
    return "†" if ranked.entry.stage in COMBINED_STAGES else ranked.rank


def make_score_cell(ranking: Ranking, ranked: RankedEntry) -> ReportCell:
    """Give the objective with its interval, marked with `≈` where it is not significantly different from the best."""
    tie_mark = "≈" if ranked.tied else ""
    return ReportCell(estimate_to_interval(ranked.score), ranked.rank == 1, tie_mark, digits=ranking.digits)


def _make_metric_column(entries: Sequence[RankedEntry], metric: Metric) -> ReportColumn:
    """The column of a metric, with the decimals that its means need."""
    return ReportColumn(metric_name(metric), "number", _choose_metric_digits(entries, metric))


def _choose_metric_digits(entries: Sequence[RankedEntry], metric: Metric) -> int:
    metric_means = [
        ranked_entry.rows.mean(metric.name) for ranked_entry in entries if _is_eligible_as_best(ranked_entry)
    ]
    return choose_decimals(metric_means, greater_is_better=metric.greater_is_better)


def _make_metric_cells(entries: Sequence[RankedEntry], metric: Metric) -> list[ReportCell]:
    """The means of a metric, the best one among complete entries marked, the baseline aside."""
    return mark_best_cells(
        [ranked_entry.rows.mean(metric.name) for ranked_entry in entries],
        greater=metric.greater_is_better,
        digits=_choose_metric_digits(entries, metric),
        compared=[_is_eligible_as_best(ranked_entry) for ranked_entry in entries],
    )


def _is_eligible_as_best(ranked_entry: RankedEntry) -> bool:
    return ranked_entry.complete and ranked_entry.entry.family != BASELINE


def tabulate_models(scores: Scores, task: str) -> ReportTable:
    """Tabulate "Model | Accuracy | ROC AUC" of every family without a strategy, tuned, at threshold 0.5."""
    labels, accuracies, aucs = [], [], []
    for entry in _select_tuned_entries(scores, task):
        if entry.strategy == "none":
            labels.append(_label_row(scores, task, entry.family, entry))
            accuracies.append(_accuracy_of_confusion(scores.pooled_confusion(task, entry, DEFAULT_THRESHOLD)))
            aucs.append(scores.score_rows_of_entry(task, entry, DEFAULT_THRESHOLD).mean("roc_auc"))
    columns = (ReportColumn("Model"), ReportColumn("Accuracy", "number"), ReportColumn("ROC AUC", "number"))
    cells = zip(labels, mark_best_cells(accuracies, greater=True), mark_best_cells(aucs, greater=True), strict=True)
    return ReportTable(columns, tuple(cells))


def tabulate_networks(scores: Scores, task: str) -> list[tuple[str, ReportTable]]:
    """Tabulate "Metric | Class 0 (No) | Class 1 (Yes)" of every network before imbalance is handled.

    Returns
    -------
    list of (str, ReportTable)
        The title in Markdown and the table of every network; with several classes a table has a row per class.
    """
    titled_tables = []
    for entry in _select_tuned_entries(scores, task):
        if entry.strategy != "none" or not scores.run["families"][entry.family].get("network"):
            continue
        confusion = scores.pooled_confusion(task, entry, DEFAULT_THRESHOLD)
        accuracy = format_number(_accuracy_of_confusion(confusion))
        title = f"{escape(_label_row(scores, task, entry.family, entry))}: overall accuracy {accuracy}"
        titled_tables.append((title, _tabulate_network(scores.classes(task), confusion)))
    return titled_tables


def _tabulate_network(classes: Sequence[str], confusion: Counts) -> ReportTable:
    """A column per class, with several classes a row per class."""
    labels = [f"Class {class_number} ({name})" for class_number, name in enumerate(classes)]
    metrics, class_counts = _metrics_by_class(confusion).tolist(), confusion.sum(axis=1).tolist()
    if len(classes) == 2:
        columns = [ReportColumn("Metric"), *(ReportColumn(class_heading, "number") for class_heading in labels)]
        rows = [(name, *class_values) for name, class_values in zip(CLASS_METRICS, metrics, strict=True)]
        class_sizes: tuple[str | ReportCell, ...] = ("Rows", *(ReportCell(n, format="count") for n in class_counts))
        return ReportTable(tuple(columns), (*rows, class_sizes), foldable=False)
    columns = [ReportColumn("Class"), *(ReportColumn(name, "number") for name in CLASS_METRICS)]
    return ReportTable(
        (*columns, ReportColumn("Rows", "count")), tuple(zip(labels, *metrics, class_counts, strict=True))
    )


def tabulate_methods(scores: Scores, task: str) -> ReportTable:
    """Tabulate "Method | Accuracy | Precision (No) | …" of every family × strategy, tuned, at threshold 0.5.

    With several classes precision, recall and F1 are unweighted means over them ("macro").
    """
    headings = ["Macro precision", "Macro recall", "Macro F1"]
    is_multiclass = len(scores.classes(task)) > 2
    if not is_multiclass:
        headings = []
        for name in scores.classes(task):
            headings += [f"Precision ({name})", f"Recall ({name})"]
    rows: list[tuple[str | float, ...]] = []
    for entry in _select_tuned_entries(scores, task):
        confusion = scores.pooled_confusion(task, entry, DEFAULT_THRESHOLD)
        metrics = _metrics_by_class(confusion)[:2].T.ravel()
        if is_multiclass:
            metrics = np.mean(class_report(confusion), axis=1)
        row_label = _label_row(scores, task, f"{entry.family}, {entry.strategy}", entry)
        rows.append((row_label, _accuracy_of_confusion(confusion), *metrics.tolist()))
    columns = [ReportColumn(heading, "number") for heading in ("Accuracy", *headings)]
    return ReportTable((ReportColumn("Method"), *columns), tuple(rows))


def _select_tuned_entries(scores: Scores, task: str) -> list[Entry]:
    entries = []
    for entry in entry_statuses(scores, task):
        is_tuned = entry.stage == "tuned" and entry.strategy != ANY_NAME
        if is_tuned and len(scores.score_rows_of_entry(task, entry, DEFAULT_THRESHOLD)):
            entries.append(entry)
    return entries


def _label_row(scores: Scores, task: str, row_text: str, entry: Entry) -> str:
    """The name of a row, with the number of splits where some are missing: its rows are others then."""
    splits, planned_splits = (
        len(scores.score_rows_of_entry(task, entry, DEFAULT_THRESHOLD)),
        scores.run["tasks"][task].get("splits", 0),
    )
    return row_text if splits >= planned_splits else f"{row_text} ({splits} of {planned_splits} splits)"


def _accuracy_of_confusion(confusion: Counts) -> float:
    return float(confusion.trace() / confusion.sum())


def _metrics_by_class(confusion: Counts) -> npt.NDArray[np.float64]:
    """Precision, recall and F1 (rows) of every class (columns); no precision where no row was predicted as the class."""
    metrics = np.array(class_report(confusion), dtype=float)
    metrics[0, confusion.sum(axis=0) == 0] = math.nan
    return metrics
