"""What there is: lists of declarations, fetching of data, and what this machine can do."""

from __future__ import annotations

import functools
import os
import platform
import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from harness.data.sources import cache_dir, data_directory
from harness.data.table import load_table
from harness.errors import DataError, EvenhandError, Unavailable, UnknownNameError
from harness.execution.plan import features_in_words, versions
from harness.registry.family import missing_packages
from harness.registry.registry import Registry, load_registry
from harness.registry.task import Task


def listing(what: str, plugins: Iterable[str] = ()) -> str:
    """A table of what can be named: tasks, families, strategies, metrics or suites."""
    registry = load_registry(plugins)
    known: dict[str, Callable[[], list[tuple[str, str, str]]]] = {
        "tasks": lambda: [(t.name, t.modality, t.title) for t in registry.tasks.values()],
        "families": lambda: [(f.name, missing_packages(f), f.description) for f in registry.families.values()],
        "strategies": lambda: [(s.name, s.kind, s.description) for s in registry.strategies.values()],
        "metrics": lambda: [(m.name, m.metric_type, m.description) for m in registry.metrics.values()],
        "suites": lambda: _suites(registry),
    }
    if what not in known:
        raise UnknownNameError(f"cannot list {what!r}: there are {', '.join(known)}")
    rows = known[what]()
    widths = [max((len(row[i]) for row in rows), default=0) for i in range(2)]
    return "\n".join(f"{row[0]:{widths[0]}}  {row[1]:{widths[1]}}  {row[2]}".rstrip() for row in rows)


def fetch_tasks(
    names: Sequence[str], data_dir: Path | None, plugins: Iterable[str], say: Callable[[str], None]
) -> bool:
    """Load tasks once, so that their data are in the cache; returns whether all that were named could be had."""
    registry = load_registry(plugins)
    chosen = [registry.task(name) for name in names] or list(registry.tasks.values())
    whole = True
    for task in chosen:
        try:
            table = load_table(task, data_dir)
        except (Unavailable, DataError) as error:
            whole = whole and not names
            say(f"{task.name}: not here: {error}")
        else:
            say(f"{task.name}: {len(table.y)} rows, {features_in_words(table)}")
    return whole


def write_rows(names: Sequence[str], out: Path, data_dir: Path | None, plugins: Iterable[str]) -> str:
    """Write the raw rows of a task as CSV, to look into or to try things on; says what was written.

    Raises `EvenhandError` where not exactly one task is named, or its rows are pictures or not here.
    """
    if len(names) != 1:
        raise EvenhandError(f"--csv writes the rows of one task, but {len(names)} were named")
    task = load_registry(plugins).task(names[0])
    if task.modality == "image":
        raise EvenhandError(f"--csv: the rows of {task.name} are pictures")
    frame = task.load(data_directory(data_dir))
    try:
        frame.to_csv(out, index=False)
    except OSError as error:
        raise EvenhandError(f"cannot write {out}: {error.strerror or error}") from error
    return f"{out}: {len(frame)} rows, {frame.shape[1]} columns"


def diagnosis(data_dir: Path | None, plugins: Iterable[str] = ()) -> str:
    """Versions, threads, cores, memory, data directory, and what would be skipped and why."""
    import psutil

    registry = load_registry(plugins)
    given = data_directory(data_dir)
    free = shutil.disk_usage(Path.cwd()).free / 1e9
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    lines = [
        f"system          {platform.platform()}",
        f"cores           {affinity} usable of {os.cpu_count()}; one thread per cell, one cell per core unless --jobs says otherwise",
        f"memory          {psutil.virtual_memory().total / 1e9:.1f} GB, {psutil.virtual_memory().available / 1e9:.1f} GB free",
        f"disk            {free:.0f} GB free here",
        f"cache           {cache_dir()} (EVENHAND_CACHE)",
        f"data directory  {_place(given)}",
        "versions        " + ", ".join(f"{name} {version}" for name, version in versions().items()),
        "",
    ]
    skipped = [
        f"  family {family.name}: {why}" for family in registry.families.values() if (why := missing_packages(family))
    ]
    skipped += [f"  task {name}: {why}" for name, why in absent(registry, given)]
    return "\n".join([*lines, "would be skipped:" if skipped else "nothing would be skipped", *skipped])


def _place(given: Path | None) -> str:
    if given is None:
        return "none (--data-dir, EVENHAND_DATA)"
    return f"{given}" + ("" if given.is_dir() else ": NO SUCH DIRECTORY")


def absent(registry: Registry, data_dir: Path | None) -> list[tuple[str, str]]:
    """(tasks, why they cannot be had): one task is tried for all that one function reads from one source."""
    alike: dict[Any, list[Task]] = {}
    for task in registry.tasks.values():
        load = task.load.func if isinstance(task.load, functools.partial) else task.load
        alike.setdefault((load, task.source or task.name), []).append(task)
    found = []
    for tasks in alike.values():
        try:
            tasks[0].load(data_dir)
        except EvenhandError as error:
            others = f" and {len(tasks) - 1} more" if len(tasks) > 1 else ""
            found.append((tasks[0].name + others, str(error)))
    return found


def _suites(registry: Registry) -> list[tuple[str, str, str]]:
    from harness.tasks.suites import SUITES

    return [
        (
            suite.name,
            (
                f"{len(suite.task_names(registry.tasks))} tasks, {len(suite.family_names(registry.families))} families, "
                f"{len(suite.strategies)} strategies, {suite.protocol.folds} × {suite.protocol.repeats} outer, "
                f"{suite.protocol.inner_folds} inner, {suite.protocol.trials} trials"
            ),
            suite.description,
        )
        for suite in SUITES.values()
    ]
