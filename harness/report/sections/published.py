"""Published results beside those of the run: tables in the form of the publication, and what stands out in them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from harness.evaluation.published import (
    PublishedAndRunRow,
    PublishedAndRunTable,
    PublishedAndRunValue,
    are_published_values_consistent,
    compare_published_tables,
    implied_positive_shares,
    majority_accuracy,
)
from harness.evaluation.scores import Scores
from harness.report.content import CellValue, Evidence, Part, ReportCell, ReportColumn, ReportTable, Section
from harness.report.render.cells import MISSING_DASH, format_number
from harness.report.render.markdown import bold, bullet_list, escape, format_count, join_words, plural

TITLE = "Published results beside this run"
TEXT = (
    "Each table has the form of the publication; *here* is this run: tuned parameters, threshold 0.5, the counts of all outer "
    "splits added up, ROC AUC the mean over splits. The published numbers come from other splits and other code, and where "
    "nothing is said of their spread, a difference in the second decimal means nothing. A dash: no number."
)
MIN_METHODS = 3  #: strategies of one family in a table of which the best is named
METRIC_PHRASES = {
    "accuracy": "accuracy",
    "precision": "precision of {positive}",
    "precision_negative": "precision of {negative}",
}

Labelled = tuple[str, Mapping[str, PublishedAndRunValue]]  #: the label and the values by metric of an entry


def make_published_sections(evidence: Evidence) -> list[Section]:
    """Write a section for every task with published results."""
    published_sections = []
    for ranking in evidence.rankings:
        section_parts = describe_published_results(evidence.scores, ranking.task)
        if section_parts:
            published_sections.append(Section(TITLE, (TEXT, *section_parts), ranking.task))
    return published_sections


def describe_published_results(scores: Scores, task: str) -> list[Part]:
    """Write the published tables of a task with the values of the run, each with the key observations below it.

    Parameters
    ----------
    scores : Scores
        The scores of the run.
    task : str
        The task.

    Returns
    -------
    list of Part
        Paragraphs and tables; empty where nothing is published.
    """
    section_parts: list[Part] = []
    for table in compare_published_tables(scores, task):
        section_parts.append(
            f"{bold(escape(table.title))}. {escape(table.source)}: {escape(table.protocol)}. {_describe_run_splits(scores, task)}"
        )
        section_parts.append(tabulate_published_and_run(table))
        table_notes = [*_explain_missing_entries(scores, table), *compare_published_with_run(scores, table)]
        if table_notes:
            section_parts.append("Key observations:\n\n" + bullet_list(table_notes))
    return section_parts


def tabulate_published_and_run(table: PublishedAndRunTable) -> ReportTable:
    """Tabulate published values in their form, each with the value of the run beside it."""
    columns = [ReportColumn(table.label_heading)]
    for heading in table.columns:
        columns += [ReportColumn(heading, "number"), ReportColumn(f"{heading}, here", "number")]
    rows: list[tuple[CellValue | ReportCell, ...]] = []
    for row in table.rows:
        cells: list[CellValue | ReportCell] = [row.label]
        for compared_value in row.values:
            cells += [ReportCell(compared_value.published, digits=compared_value.decimals), compared_value.run]
        rows.append(tuple(cells))
    return ReportTable(tuple(columns), tuple(rows), foldable=False)


def compare_published_with_run(scores: Scores, table: PublishedAndRunTable) -> list[str]:
    """Say what stands out in a published table and the values of the run, in sentences made from the numbers.

    Parameters
    ----------
    scores : Scores
        The scores of the run.
    table : PublishedAndRunTable
        The table.

    Returns
    -------
    list of str
        Sentences in Markdown.
    """
    if not table.has_numbers:
        return []
    negative_class, positive_class = _class_names(scores, table.task)
    entries = list(table.values_by_entry().values())
    sentences = [
        _compare_with_majority_class(scores, table, entries),
        _describe_best_methods(entries, f"recall of {positive_class}", _recall_from_source) if positive_class else "",
        _describe_best_methods(entries, f"F1 of {positive_class} (from precision and recall)", _f1_from_source)
        if positive_class
        else "",
        _find_contradictions(entries, negative_class, positive_class) if positive_class else "",
        _describe_largest_difference(table),
    ]
    return [sentence for sentence in sentences if sentence]


def _describe_run_splits(scores: Scores, task: str) -> str:
    """The splits of the run in a sentence."""
    splits = scores.run["tasks"][task].get("splits", 0)
    trials = scores.run["protocol"].get("trials")
    search_phrase = f"{format_count(trials, 'trial')} of search on inner folds" if trials else "a search on inner folds"
    return f"Here: {format_count(splits, 'outer split')}, {search_phrase}, test rows used for nothing but the scores."


def _explain_missing_entries(scores: Scores, table: PublishedAndRunTable) -> list[str]:
    """Why the run has no values for an entry."""
    reasons = {}
    for row in table.rows:
        if row.status:
            reasons[f"{row.entry.family}/{row.entry.strategy}"] = _missing_entry_reason(scores, table.task, row)
    return [f"Not evaluated here: {escape(name)} ({escape(reason)})." for name, reason in reasons.items()]


def _missing_entry_reason(scores: Scores, task: str, row: PublishedAndRunRow) -> str:
    for cell in scores.cells:
        if (cell.task, cell.family, cell.strategy) == (task, row.entry.family, row.entry.strategy) and cell.reason:
            return f"{row.status}: {cell.reason}"
    return row.status


def _class_names(scores: Scores, task: str) -> tuple[str, str]:
    """The names of the negative and the positive class, escaped; empty with several classes."""
    classes = scores.classes(task)
    if len(classes) != 2:
        return "", ""
    return escape(classes[0]), escape(classes[1])


def _compare_with_majority_class(scores: Scores, table: PublishedAndRunTable, entries: Sequence[Labelled]) -> str:
    """The accuracies compared with always predicting the largest class."""
    baseline = majority_accuracy(scores, table.task)
    compared_accuracies = [
        values_by_metric["accuracy"] for _, values_by_metric in entries if "accuracy" in values_by_metric
    ]
    published_gaps = [
        compared_accuracy.published - baseline
        for compared_accuracy in compared_accuracies
        if not math.isnan(compared_accuracy.published - baseline)
    ]
    run = [
        compared_accuracy.run - baseline
        for compared_accuracy in compared_accuracies
        if not math.isnan(compared_accuracy.run - baseline)
    ]
    if not published_gaps or not run:
        return ""
    return (
        f"Always predicting the larger class is right for {baseline:.1%} of the rows: the published accuracy is "
        f"{_format_range_of_points(published_gaps)}, the accuracy here {_format_range_of_points(run)}."
    )


def _format_range_of_points(differences: Sequence[float]) -> str:
    """The span of differences in words: ``0.1 points above it`` or ``1.5 points below it to 0.1 points above it``."""
    end_texts = dict.fromkeys(_format_points(difference) for difference in (min(differences), max(differences)))
    return " to ".join(end_texts)


def _format_points(difference: float) -> str:
    points = round(abs(difference) * 100, 1)
    if not points:
        return "the same"
    return (
        f"{points:.1f} {plural(int(points != 1.0) + 1, 'point', 'points')} {'above' if difference > 0 else 'below'} it"
    )


def _recall_from_source(values_by_metric: Mapping[str, PublishedAndRunValue], value_source: str) -> float:
    return _metric_from_source(values_by_metric, "recall", value_source)


def _f1_from_source(values_by_metric: Mapping[str, PublishedAndRunValue], value_source: str) -> float:
    """F1 from precision and recall."""
    precision, recall = (
        _metric_from_source(values_by_metric, "precision", value_source),
        _metric_from_source(values_by_metric, "recall", value_source),
    )
    return 2 * precision * recall / (precision + recall) if precision + recall else math.nan


def _metric_from_source(values_by_metric: Mapping[str, PublishedAndRunValue], metric: str, value_source: str) -> float:
    if metric not in values_by_metric:
        return math.nan
    return values_by_metric[metric].published if value_source == "published" else values_by_metric[metric].run


def _describe_best_methods(
    entries: Sequence[Labelled],
    score_phrase: str,
    score_of_values: Callable[[Mapping[str, PublishedAndRunValue], str], float],
) -> str:
    """Which method is best by a score, in the publication and in the run, and the score of the first method."""
    if len(entries) < MIN_METHODS:
        return ""
    source_clauses = []
    for value_source, where in (("published", "in the publication"), ("run", "here")):
        scores_by_label = {
            method_label: score_of_values(values_by_metric, value_source) for method_label, values_by_metric in entries
        }
        known = {
            method_label: method_score
            for method_label, method_score in scores_by_label.items()
            if not math.isnan(method_score)
        }
        if not known:
            return ""
        best = max(known, key=lambda method_label: known[method_label])
        first_label = entries[0][0]
        first = f", {format_number(scores_by_label[first_label], 2)} with {escape(first_label)}"
        source_clauses.append(
            f"{where} with {escape(best)} ({format_number(known[best], 2)}{first if best != first_label else ''})"
        )
    return f"The {score_phrase} is highest {' and '.join(source_clauses)}."


def _find_contradictions(entries: Sequence[Labelled], negative_class: str, positive_class: str) -> str:
    """Which published rows no share of the positive class can explain."""
    verdicts_by_label = {
        row_label: are_published_values_consistent(values_by_metric) for row_label, values_by_metric in entries
    }
    tested = [row_label for row_label, is_consistent in verdicts_by_label.items() if is_consistent is not None]
    contradictory = [row_label for row_label in tested if not verdicts_by_label[row_label]]
    if not contradictory:
        return ""
    row_label, values_by_metric = next(
        (row_label, values_by_metric) for row_label, values_by_metric in entries if row_label == contradictory[0]
    )
    share_texts = []
    for metric, positive_share in implied_positive_shares(values_by_metric).items():
        share_texts.append(
            f"{positive_share:.1%} by the {METRIC_PHRASES[metric].format(positive=positive_class, negative=negative_class)}"
        )
    names = join_words([escape(name) for name in contradictory])
    return (
        f"The published numbers of {len(contradictory)} of {format_count(len(tested), 'row')} contradict themselves ({names}): "
        f"no share of {positive_class} among the rows fits accuracy, precisions and recalls at once. With the recalls of "
        f"{escape(row_label)} it would be {join_words(share_texts)}."
    )


def _describe_largest_difference(table: PublishedAndRunTable) -> str:
    """The cell in which publication and run differ most."""
    largest_difference, sentence = 0.0, ""
    for row in table.rows:
        for heading, compared_value in zip(table.columns, row.values, strict=True):
            difference = abs(compared_value.run - compared_value.published)
            if difference > largest_difference:
                largest_difference = difference
                published_text = format_number(compared_value.published, compared_value.decimals) or MISSING_DASH
                sentence = (
                    f"The largest difference: {escape(heading)}, {escape(row.label)}: {published_text} published, "
                    f"{format_number(compared_value.run)} here."
                )
    return sentence
