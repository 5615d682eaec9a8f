"""Lists of declarations, fetching of data, what this machine can run, and explanations of how methods work."""

from __future__ import annotations

import functools
import os
import platform
import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from harness.api.source_data import make_source_user_data
from harness.data.addresses import fetch_address, is_address
from harness.data.column_summaries import describe_features
from harness.data.sources import cache_directory, data_directory
from harness.data.table import load_table
from harness.errors import DataError, EvenhandError, Unavailable, UnknownNameError
from harness.execution.environment import package_versions
from harness.processes import usable_cores
from harness.registry.family import missing_packages
from harness.registry.registry import Registry, load_registry, suggest_similar_name
from harness.registry.task import Task

#: What can be listed.
KINDS = ("tasks", "families", "strategies", "metrics", "suites")
#: What other libraries call them.
OTHER_NAMES = {"models": "families", "classifiers": "families", "datasets": "tasks", "samplers": "strategies"}
TOPICS = {"backprop": "how a network learns: forward pass, gradients and descent, with numbers"}


def list_declarations(kind: str, plugins: Iterable[str] = ()) -> str:
    """List declarations of one kind as a table of three columns.

    Parameters
    ----------
    kind : str
        `tasks`, `families`, `strategies`, `metrics` or `suites`.
    plugins : iterable of str
        Plugins to load first.

    Returns
    -------
    str
        A line per declaration.

    Raises
    ------
    UnknownNameError
        For any other kind.
    """
    if kind not in KINDS:
        name_hint = f"did you mean {OTHER_NAMES[kind]}? " if kind in OTHER_NAMES else ""
        raise UnknownNameError(f"cannot list {kind!r}: {name_hint}there are {', '.join(KINDS)}")
    rows = _declaration_rows(kind, load_registry(plugins))
    name_width = max((len(name) for name, _, _ in rows), default=0)
    kind_width = max((len(column) for _, column, _ in rows), default=0)
    lines = [f"{name:{name_width}}  {column:{kind_width}}  {text}".rstrip() for name, column, text in rows]
    return "\n".join(lines)


def _declaration_rows(declaration_kind: str, registry: Registry) -> list[tuple[str, str, str]]:
    """List name, kind and description of every declaration of a kind."""
    if declaration_kind == "tasks":
        return [(task.name, task.modality, task.title) for task in registry.tasks.values()]
    if declaration_kind == "families":
        families = registry.families.values()
        return [(family.name, missing_packages(family), family.description) for family in families]
    if declaration_kind == "strategies":
        strategies = registry.strategies.values()
        return [(strategy.name, strategy.kind, strategy.description) for strategy in strategies]
    if declaration_kind == "metrics":
        return [(metric.name, metric.metric_type, metric.description) for metric in registry.metrics.values()]
    return _suite_declaration_rows(registry)


def _suite_declaration_rows(registry: Registry) -> list[tuple[str, str, str]]:
    from harness.tasks.suites import SUITES

    rows = []
    for suite in SUITES.values():
        protocol = suite.protocol
        size = (
            f"{len(suite.task_names(registry.tasks))} tasks, {len(suite.family_names(registry.families))} families, "
            f"{len(suite.strategies)} strategies, {protocol.folds} × {protocol.repeats} outer, "
            f"{protocol.inner_folds} inner, {protocol.trials} trials"
        )
        rows.append((suite.name, size, suite.description))
    return rows


def fetch_task_data(
    names: Sequence[str], data_dir: Path | None, plugins: Iterable[str], show: Callable[[str], None]
) -> bool:
    """Load tasks once, so that their data are in the cache.

    Parameters
    ----------
    names : sequence of str
        Tasks, or addresses of public sources; empty for all tasks.
    data_dir : Path or None
        Folder with data that cannot be fetched.
    plugins : iterable of str
        Plugins to load first.
    show : callable
        Receives a line per task.

    Returns
    -------
    bool
        False where a named task could not be loaded.
    """
    registry = load_registry(plugins)
    tasks, is_complete = _fetch_named_tasks(names, registry, show)
    if not names:
        tasks = list(registry.tasks.values())
    for task in tasks:
        try:
            table = load_table(task, data_dir)
        except (Unavailable, DataError) as error:
            is_complete = is_complete and not names
            show(f"{task.name}: not here: {error}")
        else:
            show(f"{task.name}: {len(table.y)} rows, {describe_features(table)}")
    return is_complete


def _fetch_named_tasks(
    names: Iterable[str], registry: Registry, show: Callable[[str], None]
) -> tuple[list[Task], bool]:
    """Look up tasks and fetch those of addresses; the flag says whether all could be fetched."""
    tasks, complete = [], True
    for name in names:
        if not is_address(name):
            tasks.append(registry.task(name))
            continue
        try:
            for fetched in fetch_address(name):
                tasks.append(make_source_user_data(fetched).task())
        except EvenhandError as error:
            complete = False
            show(f"{name}: not here: {error}")
    return tasks, complete


def write_task_rows_csv(names: Sequence[str], out: Path, data_dir: Path | None, plugins: Iterable[str]) -> str:
    """Write the raw rows of one task as CSV.

    Parameters
    ----------
    names : sequence of str
        The one task.
    out : Path
        The CSV file.
    data_dir : Path or None
        Folder with data that cannot be fetched.
    plugins : iterable of str
        Plugins to load first.

    Returns
    -------
    str
        A sentence on what was written.

    Raises
    ------
    EvenhandError
        If not exactly one task is named, its rows are images, its data are not available, or `out` cannot be written.
    """
    if len(names) != 1:
        raise EvenhandError(f"--csv writes the rows of one task, but {len(names)} were named")
    task = load_registry(plugins).task(names[0])
    if task.modality == "image":
        raise EvenhandError(f"--csv: the rows of {task.name} are images")
    frame = task.load(data_directory(data_dir))
    try:
        frame.to_csv(out, index=False)
    except OSError as error:
        raise EvenhandError(f"cannot write {out}: {error.strerror or error}") from error
    return f"{out}: {len(frame)} rows, {frame.shape[1]} columns"


def diagnose_machine(data_dir: Path | None, plugins: Iterable[str] = ()) -> str:
    """Describe versions, cores, memory and data directory, and what would be skipped and why."""
    import psutil

    registry = load_registry(plugins)
    data_folder = data_directory(data_dir)
    memory_usage = psutil.virtual_memory()
    package_versions_text = ", ".join(
        f"{name} {package_version}" for name, package_version in package_versions().items()
    )
    cores_text = f"{usable_cores()} usable of {os.cpu_count()}; one thread per cell, one cell per core unless --jobs says otherwise"
    lines = [
        f"system          {platform.platform()}",
        f"cores           {cores_text}",
        f"memory          {memory_usage.total / 1e9:.1f} GB, {memory_usage.available / 1e9:.1f} GB free",
        f"disk            {shutil.disk_usage(Path.cwd()).free / 1e9:.0f} GB free here",
        f"cache           {cache_directory()} (EVENHAND_CACHE)",
        f"data directory  {_describe_data_directory(data_folder)}",
        f"versions        {package_versions_text}",
        "",
    ]
    skipped_packages = []
    for family in registry.families.values():
        reason = missing_packages(family)
        if reason:
            skipped_packages.append(f"  family {family.name}: {reason}")
    for tasks, reason in find_unavailable_tasks(registry, data_folder):
        skipped_packages.append(f"  task {tasks}: {reason}")
    lines.append("would be skipped:" if skipped_packages else "nothing would be skipped")
    return "\n".join(lines + skipped_packages)


def _describe_data_directory(data_folder: Path | None) -> str:
    if data_folder is None:
        return "none (--data-dir, EVENHAND_DATA)"
    if not data_folder.is_dir():
        return f"{data_folder}: NO SUCH DIRECTORY"
    return str(data_folder)


def find_unavailable_tasks(registry: Registry, data_dir: Path | None) -> list[tuple[str, str]]:
    """Find the tasks whose data cannot be loaded; of tasks that one function loads from one source, only one is tried.

    Returns
    -------
    list of (str, str)
        Name of the task, with the number of others like it, and the reason.
    """
    tasks_by_source: dict[Any, list[Task]] = {}
    for task in registry.tasks.values():
        load_function = task.load.func if isinstance(task.load, functools.partial) else task.load
        tasks_by_source.setdefault((load_function, task.source or task.name), []).append(task)
    unavailable_tasks = []
    for tasks in tasks_by_source.values():
        try:
            tasks[0].load(data_dir)
        except EvenhandError as error:
            other_tasks_text = f" and {len(tasks) - 1} more" if len(tasks) > 1 else ""
            unavailable_tasks.append((tasks[0].name + other_tasks_text, str(error)))
    return unavailable_tasks


def list_topics() -> str:
    """List the topics, one per line."""
    return "\n".join(f"{name:10}{description}" for name, description in TOPICS.items())


def explain_topic(topic: str, out: Path | None = None) -> str:
    """Explain a topic.

    Parameters
    ----------
    topic : str
        A name in `TOPICS`.
    out : Path, optional
        Folder to write the text and a figure to as well.

    Returns
    -------
    str
        The text, followed by the paths of the files or a hint how to write them.

    Raises
    ------
    UnknownNameError
        If there is no such topic.
    StoreError
        If `out` cannot be written.
    """
    if topic not in TOPICS:
        raise UnknownNameError(f"unknown topic {topic!r}: {suggest_similar_name(topic, TOPICS)} (evenhand explain)")
    from harness.networks.rows import limit_blas_to_one_thread
    from harness.networks.walkthrough import describe_walkthrough, draw_walkthrough_figure, train_on_spirals
    from harness.store.files import write_atomic

    with limit_blas_to_one_thread():
        spiral_lesson = train_on_spirals()
        text = describe_walkthrough(spiral_lesson)
    if out is None:
        return f"{text}\n\nWith --out FOLDER as files, with a figure."
    text_file, figure_file = out / f"{topic}.txt", out / f"{topic}.png"
    write_atomic(text_file, f"{text}\n".encode())
    with limit_blas_to_one_thread():
        write_atomic(figure_file, draw_walkthrough_figure(spiral_lesson))
    return f"{text}\n\n{text_file}\n{figure_file}"
