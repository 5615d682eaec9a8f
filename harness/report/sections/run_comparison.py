"""Two runs: how they were made otherwise, and the entries that both have, in pairs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from harness.errors import EvenhandError
from harness.evaluation.metric_cache import DEFAULT_THRESHOLD
from harness.evaluation.paired_comparison import Difference, Pair, Side, adjusted, figures, make_pair
from harness.evaluation.scores import STAGES, Entry, Scores, entries
from harness.report.render.markdown import brief, count, listed, number, plus_minus, table
from harness.store.store import Store

Run = tuple[Store, Scores]
PARTS = ("protocol", "versions", "host")
ABOUT = ("fingerprint", "rows", "classes", "costs", "objective", "splits")
SOME = 12


def two_runs(a: Run, b: Run, task: str | None = None) -> str:
    """Everything there is to say of two runs; `task` keeps to one. Raises `EvenhandError` where they share no task."""
    tasks = [name for name in a[1].run["tasks"] if name in b[1].run["tasks"]]
    if task is not None and task not in tasks:
        raise EvenhandError(f"no task {task!r} in both runs: {_shared(tasks)}")
    if not tasks:
        raise EvenhandError("the runs share no task: name two entries to compare")
    chosen = [task] if task else tasks
    parts = [f"A  {a[0].folder}\nB  {b[0].folder}", "\n".join(made_otherwise(a[1].run, b[1].run, chosen))]
    pairs = {name: [(pair, _shown(pair)) for pair in _pairs(a, b, name)] for name in chosen}
    read = adjusted([one for name in chosen for _, shown in pairs[name] for one in shown])
    parts.append(
        "Differences are A − B, ± half of the 95 % interval corrected for shared training rows (Nadeau & Bengio 2003); a reading "
        f"is given where p after Holm over all {len(read)} differences below is under 0.05."
    )
    rest = iter(read)
    for name in chosen:
        parts.append(f"{name}\n{'=' * len(name)}\n\n{_task(a[1], b[1], name, pairs[name], rest)}")
    return "\n\n".join(parts)


def made_otherwise(a: Mapping[str, Any], b: Mapping[str, Any], tasks: list[str]) -> list[str]:
    """What differs in how two runs were made: protocol, versions, host, data of these tasks, strategies."""
    lines = [
        f"{part}: {name} {_short(mine)} and {_short(theirs)}"
        for part in PARTS
        for name, mine, theirs in _unlike(a.get(part, {}), b.get(part, {}))
    ]
    for task in tasks:
        mine, theirs = ({key: run["tasks"][task].get(key) for key in ABOUT} for run in (a, b))
        lines += [f"{task}: {name} {_short(x)} and {_short(y)}" for name, x, y in _unlike(mine, theirs)]
    digests = [{name: about.get("digest") for name, about in run["strategies"].items()} for run in (a, b)]
    changed = [name for name in digests[0] if name in digests[1] and digests[0][name] != digests[1][name]]
    if changed:
        lines.append(f"declared otherwise: {listed([f'strategy {name}' for name in changed])}")
    lines += [f"only in {x}: {one}" for x, one in (("A", _only(a, b, tasks)), ("B", _only(b, a, tasks))) if one]
    return lines or ["Made alike: the same protocol, versions, host, data and strategies."]


def _only(a: Mapping[str, Any], b: Mapping[str, Any], tasks: list[str]) -> str:
    """What one run has and the other has not: tasks, families, strategies."""
    names = [
        f"{what} {name}"
        for what, part in (("task", "tasks"), ("family", "families"), ("strategy", "strategies"))
        for name in a[part]
        if name not in b[part] and (part != "tasks" or len(tasks) != 1)
    ]
    return listed(names) if names else ""


def _unlike(a: Mapping[str, Any], b: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    for name in dict.fromkeys((*a, *b)):
        if a.get(name) != b.get(name):
            yield name, a.get(name), b.get(name)


def _short(value: Any) -> str:
    text = "–" if value is None else str(value)
    return f"{text[:12]}…" if len(text) > 40 else text


def _pairs(a: Run, b: Run, task: str) -> Iterator[Pair]:
    """The entries of a task that have figures in both, without what was made of several and without recalibrated ones."""
    theirs = entries(b[1], task)
    for entry in entries(a[1], task):
        if entry in theirs and entry.stage in STAGES[:2]:
            sides = Side(*a, task, entry), Side(*b, task, entry)
            if all(len(side.rows(DEFAULT_THRESHOLD)) for side in sides):
                yield make_pair(*sides)


def _shown(pair: Pair) -> list[Difference]:
    """The objective, the decision at the last threshold and the Brier score; nothing where no split has figures of both."""
    scores, task = pair.a.scores, pair.a.task
    names = _columns(scores, task)
    found = {(one.name, one.kind): one for one in figures(pair)}
    empty = replace(next(iter(found.values())), a=math.nan, b=math.nan) if found else None
    if empty is None:
        return []
    nothing = replace(empty, difference=replace(empty.difference, mean=math.nan, half=math.nan, p=math.nan))
    return [found.get(name, nothing) for name in names]


def _columns(scores: Scores, task: str) -> list[tuple[str, str]]:
    """Label and threshold kind of what is shown of each entry."""
    objective, metrics, kind = scores.objective(task), scores.metrics, scores.kinds(task)[-1]
    decision = metrics["expected_cost" if scores.costs(task) else "f1"]
    first = (
        objective.label or objective.name,
        scores.objective_kind(task) if objective.metric_type == "decision" else "",
    )
    return [first, (decision.label, kind), (metrics["brier"].label, "")]


def _task(
    a: Scores, b: Scores, task: str, pairs: list[tuple[Pair, list[Difference]]], rest: Iterator[Difference]
) -> str:
    """The entries of one task that both have, which only one has, what all cost; `rest` yields the differences read."""
    lines = []
    if reasons := dict.fromkeys(pair.unpaired for pair, _ in pairs if pair.unpaired):
        lines.append(f"Not comparable row by row: {'; '.join(reasons)}. There are two means and no test.")
    rows = []
    for pair, shown in pairs:
        some = [next(rest) for _ in shown]
        if not some:
            continue
        rows.append(
            [
                pair.a.entry.name,
                _splits(pair),
                *(cell for one in some for cell in _cells(one)),
                _reading(pair, some),
            ]
        )
    labels = [label for label, _ in _columns(a, task)]
    header = ["Entry", "Splits", *(cell for label in labels for cell in (f"{label} A", "B", "A − B")), "Reading"]
    lines.append(table(header, rows, pipes=False) if rows else "No entry has figures of the same splits in both.")
    if apart := [pair.a.entry.name for pair, shown in pairs if not shown]:
        lines.append(f"Without a split that has figures of both: {_some(apart)}")
    known = [{entry for entry in entries(scores, task) if entry.stage in STAGES[:2]} for scores in (a, b)]
    for name, only in (("A", known[0] - known[1]), ("B", known[1] - known[0])):
        if only:
            lines.append(f"Only in {name}: {_some([entry.name for entry in sorted(only)])}")
    lost = [f"{pair.name} ({x})" for pair in sorted(known[0] & known[1]) if (x := _without(a, b, task, pair))]
    if lost:
        lines.append(f"Without figures: {'; '.join(lost[:SOME])}{' …' if len(lost) > SOME else ''}")
    seconds = [
        sum(cell.record.cpu_seconds for cell in scores.cells if cell.record and cell.task == task) for scores in (a, b)
    ]
    lines.append(f"CPU seconds of all cells: {brief(seconds[0])} and {brief(seconds[1])}.")
    return "\n\n".join(lines)


def _splits(pair: Pair) -> str:
    """How many splits the means are of; where they are not the same, how many each side has."""
    mine, theirs = (len(pair.rows(side, DEFAULT_THRESHOLD)) for side in (pair.a, pair.b))
    return str(mine) if mine == theirs else f"{mine}, {theirs}"


def _cells(one: Difference) -> list[str]:
    return [number(one.a), number(one.b), plus_minus(one.difference.mean, one.difference.half, signed=True)]


def _reading(pair: Pair, some: list[Difference]) -> str:
    """Who is better by what, or that both said the same of every row."""
    equal = (
        pair.seen
        and len(pair.seen) == len(pair.splits)
        and all(
            one.proba.tobytes() == other.proba.tobytes() and one.threshold == other.threshold
            for one, other in pair.seen.values()
        )
    )
    if equal:
        return "equal to the last digit"
    said = [f"{'A' if one.better > 0 else 'B'} better by {one.name}" for one in some if one.better]
    if said:
        return ", ".join(said)
    return "no test" if all(math.isnan(one.difference.p) for one in some) else "cannot be told"


def _without(a: Scores, b: Scores, task: str, entry: Entry) -> str:
    lacking = [name for name, scores in (("A", a), ("B", b)) if not len(scores.rows_of(task, entry, DEFAULT_THRESHOLD))]
    return f"in {' and '.join(lacking)}" if lacking else ""


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:SOME]) + (f" and {len(names) - SOME} more" if len(names) > SOME else "")


def _shared(tasks: list[str]) -> str:
    return f"they share {listed(tasks)}" if tasks else f"they share {count(0, 'task')}"
