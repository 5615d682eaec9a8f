"""`evenhand compare`: two entries or two runs, in words and tables for a terminal."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from harness.errors import EvenhandError
from harness.evaluation import paired_comparison
from harness.evaluation.corrected_t import MIN_SPLITS
from harness.evaluation.metric_cache import DEFAULT_THRESHOLD, TUNED_THRESHOLD
from harness.evaluation.paired_comparison import (
    ComparedEntry,
    EntryPair,
    MetricDifference,
    count_class_agreement,
    find_changed_rows,
    pair_entries,
)
from harness.evaluation.score_collection import collect_scores
from harness.evaluation.scores import find_entry_by_name
from harness.evaluation.task_comparisons import can_test_differences
from harness.metrics.metric import Metric
from harness.report.content import CellValue, ReportColumn, ReportTable, estimate_to_interval
from harness.report.render import markdown, terminal
from harness.report.render.cells import format_change, format_number, format_signed
from harness.report.render.csv import format_safe_csv
from harness.report.render.markdown import format_count
from harness.report.sections.run_comparison import describe_run_comparison
from harness.store.files import write_atomic
from harness.store.store import Store

CHANGED_ROW_COLUMNS = (
    "task", "a", "b", "threshold_kind", "repeat", "fold", "row", "truth", "decision_a", "decision_b", "probability_a", "probability_b",
)  # fmt: skip


def compare_runs_or_entries(
    arguments: Sequence[str],
    metrics: Mapping[str, Metric],
    *,
    task: str | None = None,
    rows: int = 20,
    out: Path | None = None,
) -> str:
    """Compare a run's two entries, two runs, or an entry of one run with an entry of another.

    Parameters
    ----------
    arguments : sequence of str
        A run and two of its entries, two runs, or two runs and one entry of each.
    metrics : mapping of str to Metric
        The metrics by their names.
    task : str, optional
        The only task of two runs that is compared; all tasks by default.
    rows : int, default=20
        How many of the rows whose prediction changed are shown.
    out : Path, optional
        Where all rows whose prediction changed are written as CSV.

    Returns
    -------
    str
        The comparison, for a terminal.

    Raises
    ------
    EvenhandError
        If the arguments are other ones, or a run or an entry does not exist.
    """
    stores = [Store(Path(argument)) for argument in arguments[:2]]
    if len(stores) == 2 and not stores[1].run_file.exists():
        stores = stores[:1]
    entries = arguments[len(stores) :]
    runs = [(store, collect_scores(store, metrics)) for store in stores]
    if len(runs) == 2 and not entries:
        if out is not None:
            raise EvenhandError("--out takes the rows of two entries: name one after the two runs")
        return _replace_unprintable(describe_run_comparison(runs[0], runs[1], task))
    if len(entries) not in (1, 2) or len(runs) + len(entries) < 3:
        raise EvenhandError(
            "name two runs, or a run and two entries like caravan/xgb/smote, or two runs and the entry of each: "
            f"found {format_count(len(runs), 'run')} and {format_count(len(entries), 'entry', 'entries')}"
        )
    compared = []
    for (store, scores), entry in zip((runs[0], runs[-1]), (entries[0], entries[-1]), strict=True):
        compared.append(ComparedEntry(store, scores, *find_entry_by_name(scores, entry)))
    pair = pair_entries(*compared)
    if out is not None:
        write_atomic(out, format_changed_rows_csv(pair).encode())
    return _replace_unprintable(describe_pair_comparison(pair, rows, out))


def format_changed_rows_csv(pair: EntryPair) -> str:
    """Format every row whose prediction differs as CSV, by threshold kind, in the order of splits and rows."""
    classes = pair.a.scores.classes(pair.a.task)
    names = [pair.a.task, pair.a.entry.name, pair.b.entry.name]
    lines: list[Sequence[str]] = [CHANGED_ROW_COLUMNS]
    for kind in pair.threshold_kinds:
        for row in sorted(find_changed_rows(pair, kind), key=lambda row: (row.split, row.row)):
            labels = [classes[label] for label in (row.label, row.predicted_a, row.predicted_b)]
            probabilities = [f"{row.proba_a:.6g}", f"{row.proba_b:.6g}"]
            lines.append([*names, kind, *map(str, row.split), str(row.row), *labels, *probabilities])
    return format_safe_csv(lines)


def _replace_unprintable(text: str) -> str:
    """Text of unknown origin for a terminal, without the characters that move the cursor or set colours."""
    return "".join(character if character.isprintable() or character == "\n" else "�" for character in text)


THRESHOLDS = {DEFAULT_THRESHOLD: "at 0.5", TUNED_THRESHOLD: "at its tuned threshold"}
MIN_SAME_RANKING = 0.99  #: rank correlation from which two rankings are called nearly the same
COST_LABELS = {
    "fit_seconds": "seconds of one fit",
    "predict_us_per_row": "microseconds per predicted row",
    "trials": "trials",
    "parameters": "parameters",
    "model_bytes": "bytes of the model",
}
VERDICTS = {1: "A is significantly better", -1: "B is significantly better", 0: "no significant difference"}
BETTER_LETTERS = {1: "A", -1: "B", 0: ""}
DifferencesByName = Mapping[tuple[str, str], MetricDifference]  #: by name and threshold kind
TerminalParts = list[str | ReportTable]


def describe_pair_comparison(pair: EntryPair, rows: int, out: Path | None = None) -> str:
    """Write everything there is to say about two entries.

    Parameters
    ----------
    pair : EntryPair
        The two entries.
    rows : int
        How many of the rows whose prediction changed are shown.
    out : Path, optional
        The file that holds all of them.
    """
    metrics, parts = paired_comparison.compare_metrics(pair), paired_comparison.decompose_differences(pair)
    by_class: list[MetricDifference] = []
    for kind in pair.threshold_kinds:
        by_class += paired_comparison.compare_class_metrics(pair, kind)
    differences = paired_comparison.adjust_difference_p_values([*metrics, *parts, *by_class])
    parts_end = len(metrics) + len(parts)
    chapters: dict[str, TerminalParts] = {
        "All metrics": [_tabulate_differences(pair, differences[: len(metrics)])],
        "What they are made of": [_tabulate_differences(pair, differences[len(metrics) : parts_end])] if parts else [],
        "Class by class": [_tabulate_differences(pair, differences[parts_end:])] if by_class else [],
        "Split by split": _tabulate_scores_by_split(pair),
        "Cost, means over the splits": [_tabulate_costs(pair)],
        "Rows whose prediction changed": _describe_changed_predictions(pair, rows, out),
    }
    texts = [_describe_compared_entries(pair, len(differences)), _explain_difference(pair, differences)]
    for title, chapter in chapters.items():
        if chapter:
            texts.append(f"{title}\n{'=' * len(title)}\n\n{terminal.render_terminal_parts(chapter)}")
    return "\n\n".join(texts)


def _describe_compared_entries(pair: EntryPair, tests: int) -> str:
    """Which entries are compared, on which splits, and whether there are tests."""
    lines = []
    for letter, side in (("A", pair.a), ("B", pair.b)):
        folder = "" if pair.a.store.folder == pair.b.store.folder else f"{side.store.folder}  "
        lines.append(f"{letter}  {folder}{side.name}")
    lines.append("")
    if pair.unpaired_reason:
        lines.append(f"Not comparable row by row: {pair.unpaired_reason}. There are two means and no test.")
        return "\n".join(lines)
    lines.append(
        f"{format_count(len(pair.splits), 'split')} that both have, of the same rows. Differences are A − B, ± half of the 95 % "
        f"interval corrected for shared training rows (Nadeau & Bengio 2003); p after Holm over all {tests} differences below."
    )
    for letter, side in (("A", pair.a), ("B", pair.b)):
        more = len(side.score_rows(DEFAULT_THRESHOLD)) - len(pair.splits)
        if more:
            lines.append(f"{letter} has {format_count(more, 'split')} more, which the other lacks: not counted here.")
    if not can_test_differences(pair.a.scores, pair.a.task):
        lines.append("The splits follow time, so they are no repetitions of one experiment: no test.")
    elif len(pair.splits) < MIN_SPLITS:
        lines.append("With fewer than three splits there is nothing to measure chance by: no test.")
    return "\n".join(lines)


def _explain_difference(pair: EntryPair, differences: Sequence[MetricDifference]) -> str:
    """Why one entry is above the other, as far as the metrics show it."""
    if not differences:
        return "No split has scores of both."
    if _have_equal_predictions(pair):
        reason = ""
        if _are_default_and_tuned(pair):
            reason = "the search kept the default parameters in every split, so "
        return f"- {reason}both predict the same for every row: one entry under two names, and nothing to explain"
    by_name = {(difference.name, difference.threshold_kind): difference for difference in differences}
    decision = pair.a.scores.metrics["expected_cost" if pair.costs else "f1"]
    lines = [*_describe_main_differences(pair, by_name, decision), *_decompose_differences(by_name, decision)]
    correlation = paired_comparison.rank_correlation(pair)
    if not math.isnan(correlation):
        line = f"- the rank correlation of their probabilities is {format_number(correlation)}"
        if correlation >= MIN_SAME_RANKING:
            line += ": nearly the same ranking, what differs is mostly thresholds and probabilities"
        lines.append(line)
    return "\n".join(lines)


def _describe_main_differences(pair: EntryPair, by_name: DifferencesByName, decision: Metric) -> Iterator[str]:
    """The difference in the objective, in ranking, in decisions and in probabilities."""
    objective, kind = pair.a.scores.objective(pair.a.task), ""
    if objective.metric_type == "decision":
        kind = pair.a.scores.objective_threshold_kind(pair.a.task)
    names = [("searched for", markdown.metric_name(objective), kind)]
    if objective.label != "ROC AUC":
        names.append(("ranking", "ROC AUC", ""))
    names += [("decision", decision.label, kind) for kind in (DEFAULT_THRESHOLD, TUNED_THRESHOLD)]
    for subject, name, kind in (*names, ("probability", "Brier", "")):
        difference = by_name.get((name, kind))
        if difference is not None:
            verdict = VERDICTS[difference.direction]
            if math.isnan(difference.difference.p):
                verdict = "no test"
            metric = " ".join(filter(None, (name, _describe_threshold(pair, kind))))
            means = f"{format_number(difference.a)} and {format_number(difference.b)}"
            yield f"- {subject}: {metric} {means}, {format_change(difference.difference)}: {verdict}"


def _decompose_differences(by_name: DifferencesByName, decision: Metric) -> Iterator[str]:
    """What the differences in decisions at tuned thresholds and in the Brier score are made of."""
    best = by_name.get((f"{decision.label} at the best of all thresholds", ""))
    loss = by_name.get((f"{decision.label} lost by the threshold chosen", TUNED_THRESHOLD))
    if best and loss:
        ranking, choice = best.difference.mean, loss.difference.mean
        yield (
            f"- of the difference in {decision.label} at the tuned thresholds ({format_signed(ranking + choice)}) "
            f"{format_signed(ranking)} is there with the best of all thresholds, so it comes of the ranking, and "
            f"{format_signed(choice)} of which threshold was chosen"
        )
    calibration, discrimination = by_name.get(("Brier: miscalibration", "")), by_name.get(("Brier: discrimination", ""))
    if calibration and discrimination:
        miscalibrated, discriminated = calibration.difference.mean, discrimination.difference.mean
        yield (
            f"- of the difference in Brier score ({format_signed(miscalibrated - discriminated)}, less is better) "
            f"{format_signed(miscalibrated)} is miscalibration and {format_signed(-discriminated)} is discrimination"
        )


def _have_equal_predictions(pair: EntryPair) -> bool:
    """Whether both have the same probabilities and thresholds for every row, as far as they are stored."""
    for a, b in pair.predictions.values():
        if not np.array_equal(a.proba, b.proba) or a.threshold != b.threshold:
            return False
    return bool(pair.predictions)


def _are_default_and_tuned(pair: EntryPair) -> bool:
    """Whether the two are what a search found and the default that it began with."""
    a, b = pair.a.entry, pair.b.entry
    return pair.a.store.folder == pair.b.store.folder and {a.stage, b.stage} == {"default", "tuned"} and a[:2] == b[:2]


def _describe_threshold(pair: EntryPair, kind: str) -> str:
    """Which threshold decides; with several classes none does."""
    return THRESHOLDS.get(kind, "") if len(pair.threshold_kinds) > 1 else ""


def _tabulate_differences(pair: EntryPair, differences: Sequence[MetricDifference]) -> ReportTable:
    thresholds = [_describe_threshold(pair, difference.threshold_kind) for difference in differences]
    columns = [ReportColumn("Type"), ReportColumn("Metric")]
    if any(thresholds):
        columns.append(ReportColumn("Threshold"))
    columns += [ReportColumn("A", "number"), ReportColumn("B", "number"), ReportColumn("A − B", "change")]
    columns += [ReportColumn("p", "p_value"), ReportColumn("Better")]
    rows: list[tuple[CellValue, ...]] = []
    for difference, threshold in zip(differences, thresholds, strict=True):
        names = [difference.metric_type, difference.name]
        if any(thresholds):
            names.append(threshold)
        scores = (difference.a, difference.b, estimate_to_interval(difference.difference), difference.adjusted_p)
        rows.append((*names, *scores, BETTER_LETTERS[difference.direction]))
    return ReportTable(tuple(columns), tuple(rows))


def _tabulate_scores_by_split(pair: EntryPair) -> TerminalParts:
    if not pair.splits:
        return ["None."]
    if pair.unpaired_reason:
        return ["Not paired."]
    scores, task = pair.a.scores, pair.a.task
    metric, kind = scores.objective(task), scores.objective_threshold_kind(task)
    a, b = (
        pair.a.score_rows(kind).select(pair.splits)[metric.name],
        pair.b.score_rows(kind).select(pair.splits)[metric.name],
    )
    rows = []
    for (repeat, fold), score_a, score_b in zip(pair.splits, a, b, strict=True):
        rows.append((f"r{repeat}f{fold}", score_a, score_b, score_a - score_b))
    ahead, behind = int((a > b).sum()), int((a < b).sum())
    if not metric.greater_is_better:
        ahead, behind = behind, ahead
    splits = format_count(len(rows), "split")
    text = f"By {markdown.metric_name(metric)} the two are equal in each of {splits}."
    if ahead or behind:
        text = f"By {markdown.metric_name(metric)} A is ahead in {ahead}, B in {behind} of {splits}."
    columns = (
        ReportColumn("Split"),
        ReportColumn("A", "number"),
        ReportColumn("B", "number"),
        ReportColumn("A − B", "change"),
    )
    return [text, ReportTable(columns, tuple(rows))]


def _tabulate_costs(pair: EntryPair) -> ReportTable:
    rows_a, rows_b = pair.score_rows(pair.a, DEFAULT_THRESHOLD), pair.score_rows(pair.b, DEFAULT_THRESHOLD)
    rows = []
    for name, label in COST_LABELS.items():
        a, b = rows_a.mean(name), rows_b.mean(name)
        rows.append((label, a, b, a / b if b else math.nan))
    columns = [ReportColumn(heading, "quantity") for heading in ("A", "B", "A / B")]
    return ReportTable((ReportColumn(""), *columns), tuple(rows))


def _describe_changed_predictions(pair: EntryPair, max_rows: int, out: Path | None) -> TerminalParts:
    """How many rows of each class each entry decides correctly, and the rows that they decide differently."""
    if pair.unpaired_reason:
        return ["Not comparable row by row."]
    if not pair.splits:
        return ["None that both have tested."]
    if len(pair.predictions) < len(pair.splits):
        return [
            "The probabilities of at least one of them are made when tables are made and are not stored: no rows to show."
        ]
    parts: TerminalParts = []
    for kind in pair.threshold_kinds:
        parts += [f"{_describe_decision_rule(pair, kind)}:", _tabulate_class_agreement(pair, kind)]
    parts.append("Counts of these fits on these rows, without a test: the fits share training rows.")
    parts += _list_changed_rows(pair, pair.threshold_kinds[-1], max_rows)
    parts.append(f"All of them: {out}" if out else "--out FILE.csv writes all of them.")
    return parts


def _tabulate_class_agreement(pair: EntryPair, kind: str) -> ReportTable:
    classes = pair.a.scores.classes(pair.a.task)
    headings = ("Rows", "Both right", "Only A right", "Only B right", "Neither", "Decided otherwise")
    columns = [ReportColumn(heading, "count") for heading in headings]
    rows = []
    for agreement in count_class_agreement(pair, kind):
        right = (agreement.both_correct, agreement.only_a_correct, agreement.only_b_correct, agreement.neither_correct)
        rows.append((classes[agreement.label], agreement.rows, *right, agreement.disagreements))
    return ReportTable((ReportColumn("Class"), *columns), tuple(rows))


def _list_changed_rows(pair: EntryPair, kind: str, max_rows: int) -> TerminalParts:
    """The rows whose prediction differs most; empty where none differs."""
    classes, changed = pair.a.scores.classes(pair.a.task), find_changed_rows(pair, kind)
    if not changed:
        return []
    rows: list[tuple[CellValue, ...]] = []
    for row in changed[:max_rows]:
        decisions = [classes[code] for code in (row.label, row.predicted_a, row.predicted_b)]
        rows.append((f"r{row.split[0]}f{row.split[1]}", row.row, *decisions, row.proba_a, row.proba_b))
    columns = [ReportColumn("Split"), ReportColumn("Row", "number", 0)]
    columns += [ReportColumn(heading) for heading in ("Truth", "A decides", "B decides")]
    columns += [ReportColumn("A says", "number"), ReportColumn("B says", "number")]
    probability = "of the positive class" if len(classes) == 2 else "of the true class"
    more = ""
    if len(rows) < len(changed):
        more = f" ({len(rows)} of {len(changed):,}, those furthest apart)"
    title = f"{_describe_decision_rule(pair, kind)}, by position in the task's table (from 0), probabilities {probability}{more}:"
    return [title, ReportTable(tuple(columns), tuple(rows))]


def _describe_decision_rule(pair: EntryPair, kind: str) -> str:
    if len(pair.threshold_kinds) == 1:
        return "By the most probable class"
    return "At 0.5" if kind == DEFAULT_THRESHOLD else "Each at its tuned threshold"
