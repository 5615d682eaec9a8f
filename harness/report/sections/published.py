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
from harness.report.render.cells import MISSING, format_number
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
    written = []
    for ranking in evidence.rankings:
        parts = describe_published_results(evidence.scores, ranking.task)
        if parts:
            written.append(Section(TITLE, (TEXT, *parts), ranking.task))
    return written


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
    parts: list[Part] = []
    for table in compare_published_tables(scores, task):
        parts.append(
            f"{bold(escape(table.title))}. {escape(table.source)}: {escape(table.protocol)}. {_describe_run_splits(scores, task)}"
        )
        parts.append(tabulate_published_and_run(table))
        notes = [*_explain_missing_entries(scores, table), *compare_published_with_run(scores, table)]
        if notes:
            parts.append("Key observations:\n\n" + bullet_list(notes))
    return parts


def tabulate_published_and_run(table: PublishedAndRunTable) -> ReportTable:
    """Tabulate published values in their form, each with the value of the run beside it."""
    columns = [ReportColumn(table.label_heading)]
    for heading in table.columns:
        columns += [ReportColumn(heading, "number"), ReportColumn(f"{heading}, here", "number")]
    rows: list[tuple[CellValue | ReportCell, ...]] = []
    for row in table.rows:
        cells: list[CellValue | ReportCell] = [row.label]
        for compared in row.values:
            cells += [ReportCell(compared.published, digits=compared.decimals), compared.run]
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
    negative, positive = _class_names(scores, table.task)
    entries = list(table.values_by_entry().values())
    sentences = [
        _compare_with_majority_class(scores, table, entries),
        _describe_best_methods(entries, f"recall of {positive}", _recall_from_source) if positive else "",
        _describe_best_methods(entries, f"F1 of {positive} (from precision and recall)", _f1_from_source)
        if positive
        else "",
        _find_contradictions(entries, negative, positive) if positive else "",
        _describe_largest_difference(table),
    ]
    return [sentence for sentence in sentences if sentence]


def _describe_run_splits(scores: Scores, task: str) -> str:
    """The splits of the run in a sentence."""
    splits = scores.run["tasks"][task].get("splits", 0)
    trials = scores.run["protocol"].get("trials")
    searched = f"{format_count(trials, 'trial')} of search on inner folds" if trials else "a search on inner folds"
    return f"Here: {format_count(splits, 'outer split')}, {searched}, test rows used for nothing but the scores."


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
    compared = [values["accuracy"] for _, values in entries if "accuracy" in values]
    published = [value.published - baseline for value in compared if not math.isnan(value.published - baseline)]
    run = [value.run - baseline for value in compared if not math.isnan(value.run - baseline)]
    if not published or not run:
        return ""
    return (
        f"Always predicting the larger class is right for {baseline:.1%} of the rows: the published accuracy is "
        f"{_format_range_of_points(published)}, the accuracy here {_format_range_of_points(run)}."
    )


def _format_range_of_points(differences: Sequence[float]) -> str:
    """The span of differences in words: ``0.1 points above it`` or ``1.5 points below it to 0.1 points above it``."""
    ends = dict.fromkeys(_format_points(difference) for difference in (min(differences), max(differences)))
    return " to ".join(ends)


def _format_points(difference: float) -> str:
    points = round(abs(difference) * 100, 1)
    if not points:
        return "the same"
    return (
        f"{points:.1f} {plural(int(points != 1.0) + 1, 'point', 'points')} {'above' if difference > 0 else 'below'} it"
    )


def _recall_from_source(values: Mapping[str, PublishedAndRunValue], source: str) -> float:
    return _metric_from_source(values, "recall", source)


def _f1_from_source(values: Mapping[str, PublishedAndRunValue], source: str) -> float:
    """F1 from precision and recall."""
    precision, recall = _metric_from_source(values, "precision", source), _metric_from_source(values, "recall", source)
    return 2 * precision * recall / (precision + recall) if precision + recall else math.nan


def _metric_from_source(values: Mapping[str, PublishedAndRunValue], metric: str, source: str) -> float:
    if metric not in values:
        return math.nan
    return values[metric].published if source == "published" else values[metric].run


def _describe_best_methods(
    entries: Sequence[Labelled],
    phrase: str,
    score: Callable[[Mapping[str, PublishedAndRunValue], str], float],
) -> str:
    """Which method is best by a score, in the publication and in the run, and the score of the first method."""
    if len(entries) < MIN_METHODS:
        return ""
    clauses = []
    for source, where in (("published", "in the publication"), ("run", "here")):
        numbers = {label: score(values, source) for label, values in entries}
        known = {label: number for label, number in numbers.items() if not math.isnan(number)}
        if not known:
            return ""
        best = max(known, key=lambda label: known[label])
        first_label = entries[0][0]
        first = f", {format_number(numbers[first_label], 2)} with {escape(first_label)}"
        clauses.append(
            f"{where} with {escape(best)} ({format_number(known[best], 2)}{first if best != first_label else ''})"
        )
    return f"The {phrase} is highest {' and '.join(clauses)}."


def _find_contradictions(entries: Sequence[Labelled], negative: str, positive: str) -> str:
    """Which published rows no share of the positive class can explain."""
    verdicts = {label: are_published_values_consistent(values) for label, values in entries}
    tested = [label for label, verdict in verdicts.items() if verdict is not None]
    contradictory = [label for label in tested if not verdicts[label]]
    if not contradictory:
        return ""
    label, values = next((label, values) for label, values in entries if label == contradictory[0])
    shares = []
    for metric, share in implied_positive_shares(values).items():
        shares.append(f"{share:.1%} by the {METRIC_PHRASES[metric].format(positive=positive, negative=negative)}")
    names = join_words([escape(name) for name in contradictory])
    return (
        f"The published numbers of {len(contradictory)} of {format_count(len(tested), 'row')} contradict themselves ({names}): "
        f"no share of {positive} among the rows fits accuracy, precisions and recalls at once. With the recalls of "
        f"{escape(label)} it would be {join_words(shares)}."
    )


def _describe_largest_difference(table: PublishedAndRunTable) -> str:
    """The cell in which publication and run differ most."""
    largest, sentence = 0.0, ""
    for row in table.rows:
        for heading, compared in zip(table.columns, row.values, strict=True):
            difference = abs(compared.run - compared.published)
            if difference > largest:
                largest = difference
                published = format_number(compared.published, compared.decimals) or MISSING
                sentence = (
                    f"The largest difference: {escape(heading)}, {escape(row.label)}: {published} published, "
                    f"{format_number(compared.run)} here."
                )
    return sentence
