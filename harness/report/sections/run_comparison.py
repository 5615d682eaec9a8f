"""Two runs compared, in words and tables for a terminal: how they were made, and the entries that both have, in pairs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from operator import attrgetter
from typing import Any

from harness.errors import EvenhandError
from harness.evaluation import paired_comparison
from harness.evaluation.metric_cache import DEFAULT_THRESHOLD
from harness.evaluation.paired_comparison import ComparedEntry, EntryPair, MetricDifference
from harness.evaluation.scores import STAGES, Entry, Scores, entry_statuses
from harness.report.content import CellValue, ReportColumn, ReportTable, estimate_to_interval
from harness.report.render import markdown, terminal
from harness.report.render.cells import format_quantity
from harness.report.render.markdown import format_count, join_words
from harness.store.store import Store

StoredScores = tuple[Store, Scores]  #: a run
ComparedPair = tuple[EntryPair, list[MetricDifference]]
SETUP_PARTS = ("protocol", "versions", "host")  #: of `run.json`
TASK_FIELDS = ("fingerprint", "rows", "classes", "costs", "objective", "splits")
DECLARATIONS = (("task", "tasks"), ("family", "families"), ("strategy", "strategies"))  #: and the part of `run.json`
MAX_NAMES = 12
MAX_LENGTH = 40  #: of a text that is written whole


def describe_run_comparison(a: StoredScores, b: StoredScores, task: str | None = None) -> str:
    """Write everything there is to say about two runs.

    Parameters
    ----------
    a, b : (Store, Scores)
        The runs.
    task : str, optional
        The only task that is compared; all shared tasks by default.

    Raises
    ------
    EvenhandError
        If the runs share no task, or not the given one.
    """
    tasks = _select_compared_tasks(a[1], b[1], task)
    pairs_by_task: dict[str, list[ComparedPair]] = {}
    all_differences: list[MetricDifference] = []
    for name in tasks:
        pairs_by_task[name] = [
            (entry_pair, _measure_main_differences(entry_pair)) for entry_pair in _pair_entries(a, b, name)
        ]
        for _, differences in pairs_by_task[name]:
            all_differences += differences
    adjusted_differences = iter(paired_comparison.adjust_difference_p_values(all_differences))
    text_parts = [f"A  {a[0].folder}\nB  {b[0].folder}", "\n".join(list_setup_differences(a[1].run, b[1].run, tasks))]
    text_parts.append(
        "Differences are A − B, ± half of the 95 % interval corrected for shared training rows (Nadeau & Bengio 2003); a reading "
        f"is given where p after Holm over all {len(all_differences)} differences below is under 0.05."
    )
    for name in tasks:
        adjusted_pairs = [
            (entry_pair, [next(adjusted_differences) for _ in differences])
            for entry_pair, differences in pairs_by_task[name]
        ]
        comparison_text = terminal.render_terminal_parts(_describe_task_comparison(a[1], b[1], name, adjusted_pairs))
        text_parts.append(f"{name}\n{'=' * len(name)}\n\n{comparison_text}")
    return "\n\n".join(text_parts)


def _select_compared_tasks(a: Scores, b: Scores, task: str | None) -> list[str]:
    shared_tasks = [name for name in a.run["tasks"] if name in b.run["tasks"]]
    if task is not None and task not in shared_tasks:
        names = join_words(shared_tasks) if shared_tasks else format_count(0, "task")
        raise EvenhandError(f"no task {task!r} in both runs: they share {names}")
    if not shared_tasks:
        raise EvenhandError("the runs share no task: name two entries to compare")
    return [task] if task else shared_tasks


def list_setup_differences(a: Mapping[str, Any], b: Mapping[str, Any], tasks: Sequence[str]) -> list[str]:
    """List what differs in how two runs were made: protocol, versions, host, data of these tasks, strategies.

    Parameters
    ----------
    a, b : mapping
        What is in `run.json`.
    tasks : sequence of str
        The tasks whose data are compared.

    Returns
    -------
    list of str
        A line for each difference, or the one line that there is none.
    """
    lines: list[str] = []
    for setup_part in SETUP_PARTS:
        setup_a, setup_b = a.get(setup_part, {}), b.get(setup_part, {})
        lines += _list_field_differences(setup_part, setup_a, setup_b, {**setup_a, **setup_b})
    for task in tasks:
        lines += _list_field_differences(task, a["tasks"][task], b["tasks"][task], TASK_FIELDS)
    changed_fields = []
    for name, strategy in a["strategies"].items():
        if name in b["strategies"] and strategy.get("digest") != b["strategies"][name].get("digest"):
            changed_fields.append(f"strategy {name}")
    if changed_fields:
        lines.append(f"declared otherwise: {join_words(changed_fields)}")
    for run_letter, own_run, other_run in (("A", a, b), ("B", b, a)):
        names = _list_own_declarations(own_run, other_run, tasks)
        if names:
            lines.append(f"only in {run_letter}: {join_words(names)}")
    return lines or ["Made alike: the same protocol, versions, host, data and strategies."]


def _list_field_differences(
    title: str, a: Mapping[str, Any], b: Mapping[str, Any], names: Iterable[str]
) -> Iterator[str]:
    for name in names:
        if a.get(name) != b.get(name):
            yield f"{title}: {name} {_shorten_setting(a.get(name))} and {_shorten_setting(b.get(name))}"


def _shorten_setting(setup_value: Any) -> str:
    text = "–" if setup_value is None else str(setup_value)
    return f"{text[:12]}…" if len(text) > MAX_LENGTH else text


def _list_own_declarations(own_run: Mapping[str, Any], other_run: Mapping[str, Any], tasks: Sequence[str]) -> list[str]:
    """The tasks, families and strategies of one run that the other does not have; tasks only where several are compared."""
    names = []
    for declaration_kind, run_part in DECLARATIONS:
        if run_part != "tasks" or len(tasks) != 1:
            names += [f"{declaration_kind} {name}" for name in own_run[run_part] if name not in other_run[run_part]]
    return names


def _pair_entries(a: StoredScores, b: StoredScores, task: str) -> Iterator[EntryPair]:
    """The entries of a task that have scores in both, without those made of several and without recalibrated ones."""
    entries_b = set(_select_default_and_tuned(b[1], task))
    for entry in _select_default_and_tuned(a[1], task):
        compared_pair = ComparedEntry(*a, task, entry), ComparedEntry(*b, task, entry)
        if entry in entries_b and all(
            len(compared_entry.score_rows(DEFAULT_THRESHOLD)) for compared_entry in compared_pair
        ):
            yield paired_comparison.pair_entries(*compared_pair)


def _select_default_and_tuned(scores: Scores, task: str) -> list[Entry]:
    return [entry for entry in entry_statuses(scores, task) if entry.stage in STAGES[:2]]


def _measure_main_differences(entry_pair: EntryPair) -> list[MetricDifference]:
    """The objective, the decision at the last threshold and the Brier score; nothing where no split has scores of both."""
    differences = paired_comparison.compare_metrics(entry_pair)
    differences_by_name = {(difference.name, difference.threshold_kind): difference for difference in differences}
    if not differences_by_name:
        return []
    difference_template = next(iter(differences_by_name.values()))
    unknown_difference = replace(difference_template.difference, mean=math.nan, ci_half_width=math.nan, p=math.nan)
    missing_difference = replace(difference_template, a=math.nan, b=math.nan, difference=unknown_difference)
    return [
        differences_by_name.get(column, missing_difference)
        for column in _metric_columns(entry_pair.a.scores, entry_pair.a.task)
    ]


def _metric_columns(scores: Scores, task: str) -> list[tuple[str, str]]:
    """Label and threshold kind of what is shown of each entry."""
    objective, threshold_kind = scores.objective(task), ""
    if objective.metric_type == "decision":
        threshold_kind = scores.objective_threshold_kind(task)
    decision_metric = scores.metrics["expected_cost" if scores.costs(task) else "f1"]
    last_kind = scores.threshold_kinds(task)[-1]
    return [
        (markdown.metric_name(objective), threshold_kind),
        (decision_metric.label, last_kind),
        (scores.metrics["brier"].label, ""),
    ]


def _describe_task_comparison(
    a: Scores, b: Scores, task: str, compared_pairs: Sequence[ComparedPair]
) -> Iterator[str | ReportTable]:
    """The entries of one task that both runs have, those that only one has, and what all cost."""
    unpaired_reasons = dict.fromkeys(
        entry_pair.unpaired_reason for entry_pair, _ in compared_pairs if entry_pair.unpaired_reason
    )
    if unpaired_reasons:
        yield f"Not comparable row by row: {'; '.join(unpaired_reasons)}. There are two means and no test."
    yield _tabulate_entry_pairs(_metric_columns(a, task), compared_pairs)
    names_without_scores = [entry_pair.a.entry.name for entry_pair, differences in compared_pairs if not differences]
    if names_without_scores:
        yield f"Without a split that has scores of both: {_join_names(names_without_scores)}"
    entries_a, entries_b = set(_select_default_and_tuned(a, task)), set(_select_default_and_tuned(b, task))
    for run_letter, entries in (("A", entries_a - entries_b), ("B", entries_b - entries_a)):
        if entries:
            yield f"Only in {run_letter}: {_join_names(list(map(attrgetter('name'), sorted(entries))))}"
    yield from _describe_missing_scores(a, b, task, sorted(entries_a & entries_b))
    seconds_a, seconds_b = (format_quantity(_sum_cpu_seconds(scores, task)) for scores in (a, b))
    yield f"CPU seconds of all cells: {seconds_a} and {seconds_b}."


def _sum_cpu_seconds(scores: Scores, task: str) -> float:
    return sum(cell.record.cpu_seconds for cell in scores.cells if cell.record and cell.task == task)


def _tabulate_entry_pairs(
    metrics: Sequence[tuple[str, str]], compared_pairs: Sequence[ComparedPair]
) -> str | ReportTable:
    columns = [ReportColumn("Entry"), ReportColumn("Splits", "count")]
    for metric_label, _ in metrics:
        columns += [
            ReportColumn(f"{metric_label} A", "number"),
            ReportColumn("B", "number"),
            ReportColumn("A − B", "change"),
        ]
    rows = []
    for entry_pair, differences in compared_pairs:
        if differences:
            cells: list[CellValue] = [entry_pair.a.entry.name, _describe_split_count(entry_pair)]
            for difference in differences:
                cells += [difference.a, difference.b, estimate_to_interval(difference.difference)]
            rows.append((*cells, _describe_better_run(entry_pair, differences)))
    if not rows:
        return "No entry has scores of the same splits in both."
    return ReportTable((*columns, ReportColumn("Reading")), tuple(rows))


def _describe_split_count(entry_pair: EntryPair) -> int | str:
    """How many splits the means are of; where they are not the same, how many each side has."""
    split_counts = [
        len(entry_pair.score_rows(compared_entry, DEFAULT_THRESHOLD)) for compared_entry in (entry_pair.a, entry_pair.b)
    ]
    if len(set(split_counts)) == 1:
        return split_counts[0]
    return ", ".join(map(str, split_counts))


def _describe_better_run(entry_pair: EntryPair, differences: Sequence[MetricDifference]) -> str:
    """Which run is significantly better by which metric, or that both have the same probabilities for every row."""
    if (
        entry_pair.predictions
        and len(entry_pair.predictions) == len(entry_pair.splits)
        and _are_predictions_identical(entry_pair)
    ):
        return "equal to the last digit"
    letter_by_direction = {1: "A", -1: "B"}
    better_phrases = [f"{letter_by_direction[d.direction]} better by {d.name}" for d in differences if d.direction]
    if better_phrases:
        return ", ".join(better_phrases)
    is_untested = all(map(math.isnan, map(attrgetter("difference.p"), differences)))
    return "no test" if is_untested else "not significant"


def _are_predictions_identical(entry_pair: EntryPair) -> bool:
    predictions = entry_pair.predictions.values()
    return all(a.proba.tobytes() == b.proba.tobytes() and a.threshold == b.threshold for a, b in predictions)


def _describe_missing_scores(a: Scores, b: Scores, task: str, entries: Sequence[Entry]) -> Iterator[str]:
    """Which entries lack scores in which run."""
    missing_phrases = []
    for entry in entries:
        run_letters = [
            x
            for x, scores in (("A", a), ("B", b))
            if not len(scores.score_rows_of_entry(task, entry, DEFAULT_THRESHOLD))
        ]
        if run_letters:
            missing_phrases.append(f"{entry.name} (in {' and '.join(run_letters)})")
    if missing_phrases:
        more_mark = " …" if len(missing_phrases) > MAX_NAMES else ""
        yield f"Without scores: {'; '.join(missing_phrases[:MAX_NAMES])}{more_mark}"


def _join_names(names: Sequence[str]) -> str:
    more_text = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
    return ", ".join(names[:MAX_NAMES]) + more_text
