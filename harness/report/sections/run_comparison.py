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
    pairs: dict[str, list[ComparedPair]] = {}
    all_differences: list[MetricDifference] = []
    for name in tasks:
        pairs[name] = [(pair, _measure_main_differences(pair)) for pair in _pair_entries(a, b, name)]
        for _, differences in pairs[name]:
            all_differences += differences
    adjusted = iter(paired_comparison.adjust_difference_p_values(all_differences))
    parts = [f"A  {a[0].folder}\nB  {b[0].folder}", "\n".join(list_setup_differences(a[1].run, b[1].run, tasks))]
    parts.append(
        "Differences are A − B, ± half of the 95 % interval corrected for shared training rows (Nadeau & Bengio 2003); a reading "
        f"is given where p after Holm over all {len(all_differences)} differences below is under 0.05."
    )
    for name in tasks:
        read = [(pair, [next(adjusted) for _ in differences]) for pair, differences in pairs[name]]
        body = terminal.render_terminal_parts(_describe_task_comparison(a[1], b[1], name, read))
        parts.append(f"{name}\n{'=' * len(name)}\n\n{body}")
    return "\n\n".join(parts)


def _select_compared_tasks(a: Scores, b: Scores, task: str | None) -> list[str]:
    shared = [name for name in a.run["tasks"] if name in b.run["tasks"]]
    if task is not None and task not in shared:
        names = join_words(shared) if shared else format_count(0, "task")
        raise EvenhandError(f"no task {task!r} in both runs: they share {names}")
    if not shared:
        raise EvenhandError("the runs share no task: name two entries to compare")
    return [task] if task else shared


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
    for part in SETUP_PARTS:
        setup_a, setup_b = a.get(part, {}), b.get(part, {})
        lines += _list_field_differences(part, setup_a, setup_b, {**setup_a, **setup_b})
    for task in tasks:
        lines += _list_field_differences(task, a["tasks"][task], b["tasks"][task], TASK_FIELDS)
    changed = []
    for name, strategy in a["strategies"].items():
        if name in b["strategies"] and strategy.get("digest") != b["strategies"][name].get("digest"):
            changed.append(f"strategy {name}")
    if changed:
        lines.append(f"declared otherwise: {join_words(changed)}")
    for letter, own, other in (("A", a, b), ("B", b, a)):
        names = _list_own_declarations(own, other, tasks)
        if names:
            lines.append(f"only in {letter}: {join_words(names)}")
    return lines or ["Made alike: the same protocol, versions, host, data and strategies."]


def _list_field_differences(
    title: str, a: Mapping[str, Any], b: Mapping[str, Any], names: Iterable[str]
) -> Iterator[str]:
    for name in names:
        if a.get(name) != b.get(name):
            yield f"{title}: {name} {_shorten_setting(a.get(name))} and {_shorten_setting(b.get(name))}"


def _shorten_setting(setting: Any) -> str:
    text = "–" if setting is None else str(setting)
    return f"{text[:12]}…" if len(text) > MAX_LENGTH else text


def _list_own_declarations(own: Mapping[str, Any], other: Mapping[str, Any], tasks: Sequence[str]) -> list[str]:
    """The tasks, families and strategies of one run that the other does not have; tasks only where several are compared."""
    names = []
    for kind, part in DECLARATIONS:
        if part != "tasks" or len(tasks) != 1:
            names += [f"{kind} {name}" for name in own[part] if name not in other[part]]
    return names


def _pair_entries(a: StoredScores, b: StoredScores, task: str) -> Iterator[EntryPair]:
    """The entries of a task that have scores in both, without those made of several and without recalibrated ones."""
    entries_b = set(_select_default_and_tuned(b[1], task))
    for entry in _select_default_and_tuned(a[1], task):
        pair = ComparedEntry(*a, task, entry), ComparedEntry(*b, task, entry)
        if entry in entries_b and all(len(side.score_rows(DEFAULT_THRESHOLD)) for side in pair):
            yield paired_comparison.pair_entries(*pair)


def _select_default_and_tuned(scores: Scores, task: str) -> list[Entry]:
    return [entry for entry in entry_statuses(scores, task) if entry.stage in STAGES[:2]]


def _measure_main_differences(pair: EntryPair) -> list[MetricDifference]:
    """The objective, the decision at the last threshold and the Brier score; nothing where no split has scores of both."""
    differences = paired_comparison.compare_metrics(pair)
    by_name = {(difference.name, difference.threshold_kind): difference for difference in differences}
    if not by_name:
        return []
    template = next(iter(by_name.values()))
    unknown = replace(template.difference, mean=math.nan, ci_half_width=math.nan, p=math.nan)
    missing = replace(template, a=math.nan, b=math.nan, difference=unknown)
    return [by_name.get(column, missing) for column in _metric_columns(pair.a.scores, pair.a.task)]


def _metric_columns(scores: Scores, task: str) -> list[tuple[str, str]]:
    """Label and threshold kind of what is shown of each entry."""
    objective, kind = scores.objective(task), ""
    if objective.metric_type == "decision":
        kind = scores.objective_threshold_kind(task)
    decision = scores.metrics["expected_cost" if scores.costs(task) else "f1"]
    last_kind = scores.threshold_kinds(task)[-1]
    return [(markdown.metric_name(objective), kind), (decision.label, last_kind), (scores.metrics["brier"].label, "")]


def _describe_task_comparison(
    a: Scores, b: Scores, task: str, pairs: Sequence[ComparedPair]
) -> Iterator[str | ReportTable]:
    """The entries of one task that both runs have, those that only one has, and what all cost."""
    reasons = dict.fromkeys(pair.unpaired_reason for pair, _ in pairs if pair.unpaired_reason)
    if reasons:
        yield f"Not comparable row by row: {'; '.join(reasons)}. There are two means and no test."
    yield _tabulate_entry_pairs(_metric_columns(a, task), pairs)
    without = [pair.a.entry.name for pair, differences in pairs if not differences]
    if without:
        yield f"Without a split that has scores of both: {_join_names(without)}"
    entries_a, entries_b = set(_select_default_and_tuned(a, task)), set(_select_default_and_tuned(b, task))
    for letter, entries in (("A", entries_a - entries_b), ("B", entries_b - entries_a)):
        if entries:
            yield f"Only in {letter}: {_join_names(list(map(attrgetter('name'), sorted(entries))))}"
    yield from _describe_missing_scores(a, b, task, sorted(entries_a & entries_b))
    seconds_a, seconds_b = (format_quantity(_sum_cpu_seconds(scores, task)) for scores in (a, b))
    yield f"CPU seconds of all cells: {seconds_a} and {seconds_b}."


def _sum_cpu_seconds(scores: Scores, task: str) -> float:
    return sum(cell.record.cpu_seconds for cell in scores.cells if cell.record and cell.task == task)


def _tabulate_entry_pairs(metrics: Sequence[tuple[str, str]], pairs: Sequence[ComparedPair]) -> str | ReportTable:
    columns = [ReportColumn("Entry"), ReportColumn("Splits", "count")]
    for label, _ in metrics:
        columns += [ReportColumn(f"{label} A", "number"), ReportColumn("B", "number"), ReportColumn("A − B", "change")]
    rows = []
    for pair, differences in pairs:
        if differences:
            cells: list[CellValue] = [pair.a.entry.name, _describe_split_count(pair)]
            for difference in differences:
                cells += [difference.a, difference.b, estimate_to_interval(difference.difference)]
            rows.append((*cells, _describe_better_run(pair, differences)))
    if not rows:
        return "No entry has scores of the same splits in both."
    return ReportTable((*columns, ReportColumn("Reading")), tuple(rows))


def _describe_split_count(pair: EntryPair) -> int | str:
    """How many splits the means are of; where they are not the same, how many each side has."""
    counts = [len(pair.score_rows(side, DEFAULT_THRESHOLD)) for side in (pair.a, pair.b)]
    if len(set(counts)) == 1:
        return counts[0]
    return ", ".join(map(str, counts))


def _describe_better_run(pair: EntryPair, differences: Sequence[MetricDifference]) -> str:
    """Which run is significantly better by which metric, or that both have the same probabilities for every row."""
    if pair.predictions and len(pair.predictions) == len(pair.splits) and _are_predictions_identical(pair):
        return "equal to the last digit"
    letters = {1: "A", -1: "B"}
    better = [f"{letters[d.direction]} better by {d.name}" for d in differences if d.direction]
    if better:
        return ", ".join(better)
    untested = all(map(math.isnan, map(attrgetter("difference.p"), differences)))
    return "no test" if untested else "not significant"


def _are_predictions_identical(pair: EntryPair) -> bool:
    predictions = pair.predictions.values()
    return all(a.proba.tobytes() == b.proba.tobytes() and a.threshold == b.threshold for a, b in predictions)


def _describe_missing_scores(a: Scores, b: Scores, task: str, entries: Sequence[Entry]) -> Iterator[str]:
    """Which entries lack scores in which run."""
    parts = []
    for entry in entries:
        letters = [
            x
            for x, scores in (("A", a), ("B", b))
            if not len(scores.score_rows_of_entry(task, entry, DEFAULT_THRESHOLD))
        ]
        if letters:
            parts.append(f"{entry.name} (in {' and '.join(letters)})")
    if parts:
        more = " …" if len(parts) > MAX_NAMES else ""
        yield f"Without scores: {'; '.join(parts[:MAX_NAMES])}{more}"


def _join_names(names: Sequence[str]) -> str:
    more = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
    return ", ".join(names[:MAX_NAMES]) + more
