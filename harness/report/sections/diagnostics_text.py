"""What the diagnostic figures of a task show, in sentences and tables."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from operator import attrgetter

import numpy as np
import numpy.typing as npt

from harness.evaluation.curves import Diagnosis, RankCurves
from harness.evaluation.diagnosis import MAX_FAMILIES, EntryDiagnosis
from harness.evaluation.metric_cache import DEFAULT_THRESHOLD, TUNED_THRESHOLD
from harness.evaluation.ranking import RankedEntry, Ranking
from harness.evaluation.scores import Scores
from harness.evaluation.task_comparisons import can_test_differences
from harness.metrics.classification import class_report
from harness.report.content import CellValue, MeanInterval, Part, ReportColumn, ReportTable
from harness.report.render.cells import format_number
from harness.report.render.markdown import escape, format_count, join_words
from harness.report.sections.ranking import CLASS_METRICS

MAX_PAIRS = 10  #: confused pairs in the table
TENTH = 0.1
Counts = npt.NDArray[np.int64]


def format_per_hundred(share: float) -> str:
    """Write a share as rows of 100, with a decimal where whole numbers would give none or all and that is not so."""
    percent = 100 * share
    if percent in (0, 100) or 1 <= percent <= 99:
        return f"{percent:.0f}"
    if 0.05 <= percent < 99.95:
        return f"{percent:.1f}"
    return "fewer than 0.1" if percent < 1 else "more than 99.9"


def describe_counted_rows(entry: EntryDiagnosis) -> str:
    """Say which rows are counted."""
    repeats, more = entry.diagnosis.repeats, ""
    if entry.diagnosis.weighted:
        more = "; every row counts with its weight"
    if repeats > 1:
        more += f"; with {repeats} repeats every row counts {repeats} times"
    return f"Counts, and what is said of 100 rows, are of the test rows of all splits together{more}. The table has means over splits."


def describe_drawn_entries(ranking: Ranking, best: Sequence[RankedEntry], entries: Sequence[EntryDiagnosis]) -> str:
    """Say which entries the figures show, and which of them lack splits.

    Parameters
    ----------
    ranking : Ranking
        The ranking of the task.
    best : sequence of RankedEntry
        The best tuned entry of each family, best first.
    entries : sequence of EntryDiagnosis
        The entries that are shown.
    """
    text = "Shown is the best tuned entry."
    if len(best) > MAX_FAMILIES:
        text = f"Shown is the best tuned entry of each family, of the {MAX_FAMILIES} best of {len(best)} families."
    elif len(best) > 1:
        text = "Shown is the best tuned entry of each family."
    first_entry = ranking.best
    if first_entry and first_entry.entry != best[0].entry:
        text += f" First on the leaderboard is {escape(first_entry.entry.name)}, which is not among them."
    incomplete_names = []
    for entry in entries:
        if entry.diagnosis.splits < ranking.splits:
            incomplete_names.append(f"{escape(entry.name)} ({entry.diagnosis.splits})")
    if incomplete_names:
        text += f" Not all {ranking.splits} splits are there for {join_words(incomplete_names)}."
    return text


def describe_curve_averaging(scores: Scores, ranking: Ranking, entries: Sequence[EntryDiagnosis]) -> str:
    """Say what a curve and its band are."""
    splits = max(map(attrgetter("diagnosis.splits"), entries))
    missing_curve_texts = []
    for entry in entries:
        curves = entry.diagnosis.rank_curves
        missing_splits = entry.diagnosis.splits - (curves.splits if curves else 0)
        if missing_splits:
            missing_curve_texts.append(f"{escape(entry.name)} ({missing_splits})")
    sentence_end = (
        f" Splits with rows of one class only have no curve: {join_words(missing_curve_texts)}."
        if missing_curve_texts
        else ""
    )
    if splits == 1:
        return f"There is one split only, so there are no bands.{sentence_end}"
    time_order_note = (
        ""
        if can_test_differences(scores, ranking.task)
        else "; the splits follow time, so a change over time is in them too"
    )
    return (
        f"Curves are means over {splits} splits. Bands are ± one standard deviation over the splits: how much single splits "
        f"differ, no confidence intervals{time_order_note}.{sentence_end}"
    )


def describe_ranking_quality(first: EntryDiagnosis, classes: Sequence[str]) -> str:
    """Say how well the first entry ranks, in rows of 100."""
    curves, name = first.diagnosis.rank_curves, escape(first.name)
    if curves is None:
        return f"{name}: no split has rows of more than one class, so there is no order to look at."
    areas_text = f"ROC AUC {format_number(curves.roc_auc)}, average precision {format_number(curves.average_precision)}"
    pairs = f"{format_per_hundred(curves.roc_auc)} of 100 pairs"
    if len(classes) > 2:
        return (
            f"{name}: of a row of a class and one of another class, that of the class gets the higher probability for it in "
            f"{pairs}, a tie counted half ({areas_text}: means over {len(classes)} classes, each against the rest)."
        )
    negative, positive = map(escape, classes)
    gain = curves.gain.mean[curves.gain.x.index(TENTH)]
    return (
        f"{name}: of a row that is {positive} and one that is {negative}, the first gets the higher score in {pairs}, a tie "
        f"counted half ({areas_text}; without any order 0.5 and {format_number(curves.prevalence)}). The tenth of the rows with the "
        f"highest scores holds {format_per_hundred(gain)} of 100 {positive}: {gain / TENTH:.1f} times what as many rows drawn at "
        "random hold (lift)."
    )


def select_hardest_classes(diagnosis: Diagnosis, classes: Sequence[str], most: int) -> list[tuple[str, RankCurves]]:
    """Select the classes with the lowest average precision against the rest, in the order of the classes."""
    curves_by_class = _rank_curves_by_class(diagnosis, classes)
    hardest_classes = sorted(curves_by_class, key=lambda name: curves_by_class[name].average_precision)[:most]
    return [(name, curves) for name, curves in curves_by_class.items() if name in hardest_classes]


def tabulate_class_areas(diagnosis: Diagnosis, classes: Sequence[str]) -> ReportTable:
    """Tabulate the areas of every class against the rest, the hardest first."""
    curves_by_class = _rank_curves_by_class(diagnosis, classes)
    rows = []
    for name, curves in sorted(curves_by_class.items(), key=lambda pair: pair[1].average_precision):
        rows.append((name, curves.roc_auc, curves.average_precision, curves.prevalence))
    columns = [ReportColumn("Class")]
    for heading in ("ROC AUC against the rest", "Average precision", "Share of the rows"):
        columns.append(ReportColumn(heading, "number"))
    return ReportTable(tuple(columns), tuple(rows))


def _rank_curves_by_class(diagnosis: Diagnosis, classes: Sequence[str]) -> dict[str, RankCurves]:
    return {name: curves for name, curves in zip(classes, diagnosis.classes, strict=True) if curves}


def describe_decisions_per_hundred(scores: Scores, ranking: Ranking, entry: EntryDiagnosis) -> str:
    """Say what an entry decides at each threshold kind, in rows of 100."""
    task, classes = ranking.task, scores.classes(ranking.task)
    if len(classes) > 2:
        confusion = scores.pooled_confusion(task, entry.ranked.entry, DEFAULT_THRESHOLD)
        correct_text = format_per_hundred(float(np.trace(confusion) / max(confusion.sum(), 1)))
        return f"{escape(entry.name)} predicts the most probable class: {correct_text} of 100 rows correctly."
    decision_sentences = []
    for threshold_kind, threshold_phrase in (
        (DEFAULT_THRESHOLD, "at 0.5"),
        (TUNED_THRESHOLD, "at the tuned threshold"),
    ):
        if len(scores.score_rows_of_entry(task, entry.ranked.entry, threshold_kind)):
            threshold_range = (
                f" ({_describe_threshold_range(entry.tuned_thresholds)})" if threshold_kind == TUNED_THRESHOLD else ""
            )
            confusion = scores.pooled_confusion(task, entry.ranked.entry, threshold_kind)
            decision_sentences.append(
                f"{threshold_phrase}{threshold_range}, {_describe_precision_and_recall(confusion, escape(classes[1]))}"
            )
    return f"{escape(entry.name)}: {'; '.join(decision_sentences)}."


def _describe_precision_and_recall(confusion: Counts, positive_class: str) -> str:
    predicted_positive_rows, positive_rows, true_positives = confusion[:, 1].sum(), confusion[1].sum(), confusion[1, 1]
    text = f"no row is predicted {positive_class}"
    if predicted_positive_rows:
        text = f"{format_per_hundred(true_positives / predicted_positive_rows)} of 100 rows predicted {positive_class} are (precision)"
    if positive_rows:
        text += f", and {format_per_hundred(true_positives / positive_rows)} of 100 that are {positive_class} are found (recall)"
    return text


def _describe_threshold_range(thresholds: Sequence[float]) -> str:
    lowest_threshold, highest_threshold, mean_threshold = (
        min(thresholds),
        max(thresholds),
        sum(thresholds) / len(thresholds),
    )
    return (
        f"{mean_threshold:.3g} on average, {lowest_threshold:.3g} to {highest_threshold:.3g} over the splits"
        if lowest_threshold < highest_threshold
        else f"{mean_threshold:.3g}"
    )


def describe_score_axis(classes: Sequence[str], *, log_odds: bool) -> str:
    """Say what the common axis of scores and metrics is."""
    text = (
        f"At each threshold the rows with at least that score are predicted {escape(classes[1])}. Heights above are shares of each "
        "class, so the rare one is as large as the other."
    )
    if log_odds:
        text += (
            " The axis is stretched at both ends (log-odds, the logarithm of score / (1 − score)): half of the scores of an entry "
            "lie within 0.05 of one end."
        )
    return text


def describe_decision_costs(scores: Scores, ranking: Ranking, entry: EntryDiagnosis) -> str:
    """Say what decisions cost at both thresholds, and where the curve is lowest; nothing where the task has no costs."""
    if not scores.run["tasks"][ranking.task].get("costs"):
        return ""
    curve_costs: list[float] = []
    for threshold_curves in (entry.diagnosis.sweep, entry.diagnosis.sweep_log_odds):
        if threshold_curves and threshold_curves.cost:
            curve_costs += [cost for cost in threshold_curves.cost.mean if not math.isnan(cost)]
    if not curve_costs:
        return ""
    cost_phrases = []
    for threshold_kind, threshold_phrase in ((DEFAULT_THRESHOLD, "0.5"), (TUNED_THRESHOLD, "the tuned threshold")):
        cost = scores.score_rows_of_entry(ranking.task, entry.ranked.entry, threshold_kind).mean("expected_cost")
        cost_phrases.append(f"{format_number(cost)} at {threshold_phrase}")
    return (
        f"A decision of {escape(entry.name)} costs {join_words(cost_phrases)}; the lowest point of the curve is "
        f"{format_number(min(curve_costs))}, but that threshold was found on the test rows themselves: no promise for others."
    )


def tabulate_class_report(
    scores: Scores, ranking: Ranking, entries: Sequence[EntryDiagnosis], max_classes: int
) -> ReportTable:
    """Tabulate as which class the rows of every class were predicted, with its precision, recall and F1.

    Parameters
    ----------
    scores : Scores
        The scores of the run.
    ranking : Ranking
        The ranking of the task.
    entries : sequence of EntryDiagnosis
        The entries of the table.
    max_classes : int
        With more classes, counts by predicted class are left out.

    Returns
    -------
    ReportTable
        Counts are of all splits, metrics means and standard deviations over them.
    """
    classes = scores.classes(ranking.task)
    columns = [ReportColumn("Entry"), ReportColumn("Decision"), ReportColumn("Class")]
    columns += [ReportColumn(f"{name} ± SD", "number") for name in CLASS_METRICS]
    columns.append(ReportColumn("Rows", "count"))
    if len(classes) <= max_classes:
        columns += [ReportColumn(f"called {name}", "count") for name in classes]
    rows = []
    for entry in entries:
        for threshold_kind in scores.threshold_kinds(ranking.task):
            for cells in _class_report_rows(scores, ranking.task, entry, threshold_kind):
                rows.append(cells[: len(columns)])
    return ReportTable(tuple(columns), tuple(rows))


def _class_report_rows(
    scores: Scores, task: str, entry: EntryDiagnosis, threshold_kind: str
) -> Iterator[tuple[CellValue, ...]]:
    """A row of cells per class: the counts by predicted class come last."""
    score_rows, classes = scores.score_rows_of_entry(task, entry.ranked.entry, threshold_kind), scores.classes(task)
    if not len(score_rows):
        return
    reports = np.array([class_report(scores.metric_values[key].confusion) for key in score_rows.score_keys])
    confusion = scores.pooled_confusion(task, entry.ranked.entry, threshold_kind)
    threshold_text = {DEFAULT_THRESHOLD: "at 0.5", TUNED_THRESHOLD: "tuned"}[threshold_kind]
    if len(classes) > 2:
        threshold_text = "most probable"
    for position, (name, predicted_counts) in enumerate(zip(classes, confusion.tolist(), strict=True)):
        metrics = map(_mean_and_deviation, reports[:, :, position].T)
        yield entry.name, threshold_text, name, *metrics, sum(predicted_counts), *predicted_counts


def _mean_and_deviation(score_column: npt.NDArray[np.float64]) -> MeanInterval | None:
    known_scores = score_column[~np.isnan(score_column)]
    if not len(known_scores):
        return None
    return MeanInterval(
        float(known_scores.mean()), float(known_scores.std(ddof=1)) if len(known_scores) > 1 else math.nan
    )


def describe_confused_classes(entry: EntryDiagnosis, confusion: Counts, classes: Sequence[str]) -> list[Part]:
    """Say which classes an entry confuses, with the most frequent pairs as a table; a sentence where it never errs."""
    n = int(np.count_nonzero(_misclassification_counts(confusion)))
    if not n:
        return [f"{escape(entry.name)} takes no class for another."]
    pairs_text = format_count(n, "pair")
    if n > MAX_PAIRS:
        pairs_text = f"the {MAX_PAIRS} most frequent of {n:,} pairs"
    text = f"What {escape(entry.name)} takes for what, {pairs_text}, most rows first:"
    return [text, tabulate_confused_pairs(confusion, classes)]


def tabulate_confused_pairs(confusion: Counts, classes: Sequence[str]) -> ReportTable:
    """Tabulate which class is most often predicted as which other one."""
    errors = _misclassification_counts(confusion)
    confused_pairs = sorted(zip(*np.nonzero(errors), strict=True), key=lambda pair: (-errors[pair], *pair))[:MAX_PAIRS]
    rows = []
    for true_class, predicted_class in confused_pairs:
        n = int(errors[true_class, predicted_class])
        rows.append((classes[true_class], classes[predicted_class], n, float(100 * n / confusion[true_class].sum())))
    columns = [ReportColumn("True class"), ReportColumn("Called"), ReportColumn("Rows", "count")]
    columns.append(ReportColumn("% of the true class", "number", 1))
    return ReportTable(tuple(columns), tuple(rows), foldable=False)


def _misclassification_counts(confusion: Counts) -> Counts:
    return np.asarray(confusion - np.diag(np.diagonal(confusion)))


def describe_probability_calibration(entry: EntryDiagnosis, classes: Sequence[str]) -> str:
    """Compare predicted probabilities with observed frequencies, over all rows and in the bin of the highest scores."""
    diagnosis, top = entry.diagnosis, entry.diagnosis.bins[-1]
    predicts, correct_phrase = "the predicted class with a mean probability of", "are predicted correctly"
    if len(classes) == 2:
        predicts, correct_phrase = f"{escape(classes[1])} with a mean probability of", "are"
    interval = f"95 % interval {format_number(top.low)} to {format_number(top.high)}, {format_count(top.rows, 'row')}"
    outside = sum(
        not calibration_bin.low <= calibration_bin.predicted <= calibration_bin.high
        for calibration_bin in diagnosis.bins
    )
    bins = format_count(len(diagnosis.bins), "bin")
    return (
        f"{escape(entry.name)} predicts {predicts} {format_number(diagnosis.predicted)}; {format_per_hundred(diagnosis.observed)} of "
        f"100 rows {correct_phrase}. In the bin of the highest scores it predicts {format_number(top.predicted)}, and "
        f"{format_number(top.observed)} is observed ({interval}). The mean prediction is outside its bin's interval in {outside} "
        f"of {bins}, where chance alone would put about {0.05 * len(diagnosis.bins):.1g}."
    )


def describe_calibration_bins(entries: Sequence[EntryDiagnosis]) -> str:
    """Say how the bins and their intervals were made, and which axes are stretched."""
    distinct = ", each counted once" if entries[0].diagnosis.repeats > 1 else ""
    if entries[0].diagnosis.weighted:
        distinct += "; shares are weighted, and rows of unequal weights count as fewer"
    stretched = ""
    if any(map(attrgetter("diagnosis.concentrated"), entries)):
        stretched = " Axes of log-odds are stretched at both ends, where most scores of that entry lie."
    return (
        "Rows are put in order of their score and cut into bins of as many rows, all splits together; intervals are Wilson's for "
        f"that many independent rows{distinct}. Points below the dotted line: more was predicted than observed.{stretched}"
    )
