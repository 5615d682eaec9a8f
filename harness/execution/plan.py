"""The plan of a run: protocol × declarations → the list of cells, and the description of the run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from harness.data.audit import audit_table
from harness.data.column_summaries import describe_features, summarize_columns
from harness.data.costs import resolve_costs
from harness.data.splits import Fold, Splitter, make_splitter
from harness.data.table import fingerprint_table, load_table
from harness.data.user_data import UserData
from harness.errors import DataError, Unavailable
from harness.execution.cell import Cell
from harness.execution.environment import describe_host, package_versions
from harness.execution.known_outcomes import MISSING_PACKAGE, KnownCellOutcome, known_outcome
from harness.findings import Finding
from harness.metrics.metric import Metric
from harness.preprocessing.encodings import ENCODINGS, has_many_levels
from harness.registry.family import Family, missing_packages
from harness.registry.fingerprint import declaration_fingerprint, digest
from harness.registry.protocol import EvaluationProtocol
from harness.registry.published import PublishedTable
from harness.registry.registry import Registry
from harness.registry.strategy import Strategy
from harness.registry.task import Table, Task
from harness.seeding import seed_of

#: The baseline is part of every run, so that every table shows what the majority class scores.
BASELINE = "majority"
#: The fields of a task that the description of a run repeats.
TASK_FIELDS = ("title", "description", "source", "licence", "citation", "modality")


@dataclass(frozen=True)
class RunRequest:
    """What a run was asked for; `as_dict` and `from_dict` convert it for JSON, so that workers get it too."""

    tasks: tuple[str, ...]
    families: tuple[str, ...]
    strategies: tuple[str, ...]
    protocol: EvaluationProtocol
    data_dir: str | None = None
    plugins: tuple[str, ...] = ()
    own: UserData | None = None
    sources: tuple[UserData, ...] = ()  #: further tasks, of data that were fetched from public sources
    pickled_declarations: str = ""  #: declarations of the calling program, for its own workers; never stored
    #: task → family → strategies, for tasks on which not every family is combined with every strategy
    combinations: Mapping[str, Mapping[str, tuple[str, ...]]] = field(default_factory=dict)
    published: tuple[PublishedTable, ...] = ()  #: tables for the report, which workers do without

    def task(self, registry: Registry, name: str) -> Task:
        """A registered task, or one that is made of the user's own file or of fetched data."""
        user_data = self.user_data(name)
        return registry.task(name) if user_data is None else user_data.task()

    def user_data(self, name: str) -> UserData | None:
        """The user's own file or the fetched data that a task is made of; None for a registered task."""
        for user_data in filter(None, (self.own, *self.sources)):
            if user_data.task_name == name:
                return user_data
        return None

    def strategy_names(self, task: str, family: Family) -> tuple[str, ...]:
        """The strategies that a family is combined with on a task; none where the suite leaves the family out there."""
        if family.strategies is not None:
            return family.strategies
        if task in self.combinations:
            return tuple(self.combinations[task].get(family.name, ()))
        return self.strategies

    def applicable_strategies(self, registry: Registry, name: str) -> tuple[Strategy, ...]:
        """The strategies that a cell may apply: its own, or for `searched` all others of the run."""
        strategy = registry.strategy(name)
        if strategy.kind != "searched":
            return (strategy,)
        requested_strategies = map(registry.strategy, self.strategies)
        return tuple(
            other_strategy for other_strategy in requested_strategies if other_strategy.kind != "searched"
        ) or (registry.strategy("none"),)

    def strategy_key(self, registry: Registry, name: str) -> str:
        """A digest that changes with a strategy, or with any that may be chosen where it is searched."""
        return digest(list(map(declaration_fingerprint, self.applicable_strategies(registry, name))))

    @property
    def data_folder(self) -> Path | None:
        """The user's data directory."""
        return Path(self.data_dir) if self.data_dir else None

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> RunRequest:
        """A request from the plain values that `as_dict` returned."""
        return cls(
            tasks=tuple(fields["tasks"]),
            families=tuple(fields["families"]),
            strategies=tuple(fields["strategies"]),
            protocol=EvaluationProtocol(**fields["protocol"]),
            data_dir=fields.get("data_dir"),
            plugins=tuple(fields.get("plugins", ())),
            own=UserData.from_dict(fields["own"]) if fields.get("own") else None,
            sources=tuple(map(UserData.from_dict, fields.get("sources", ()))),
            pickled_declarations=fields.get("pickled_declarations", ""),
            combinations=fields.get("combinations", {}),
        )


@dataclass(frozen=True)
class LoadedTask:
    """A task with its rows and its outer folds."""

    task: Task
    table: Table
    splitter: Splitter
    folds: list[Fold]
    fingerprint: str
    many_levels: bool = False  #: whether a category has many levels

    def count_omitted_training_rows(self) -> int:
        """How many rows a predefined split leaves out of training because equal or grouped ones are tested; most of a fold."""
        if not self.table.has_predefined_split:
            return 0
        return max(len(self.table.y) - len(fold.train) - len(fold.test) for fold in self.folds)

    def outer_fold_of_cell(self, cell: Cell) -> Fold:
        """The outer fold that a cell is about."""
        return next(fold for fold in self.folds if (fold.repeat, fold.fold) == (cell.repeat, cell.fold))


@dataclass(frozen=True)
class Plan:
    """All cells of a run, those that need no work with the reason why, and what was left out before there were cells."""

    tasks: tuple[LoadedTask, ...]
    cells: tuple[Cell, ...]
    settled: Mapping[str, KnownCellOutcome]  #: cell id → its outcome, known before any work
    skipped: tuple[dict[str, str], ...]  #: kind, name, code and reason of tasks and families without cells
    findings: Mapping[str, tuple[Finding, ...]]  #: task → problems of its data that its results must be read with


def load_task(task: Task, protocol: EvaluationProtocol, data_dir: Path | None) -> LoadedTask:
    """Read the rows of a task and split them.

    Parameters
    ----------
    task : Task
        The task.
    protocol : EvaluationProtocol
        Gives the outer and inner folds.
    data_dir : Path or None
        The user's data directory.

    Returns
    -------
    LoadedTask
        The rows with their outer folds.

    Raises
    ------
    Unavailable
        If the data cannot be had.
    DataError
        If they cannot be used or split; whether inner folds can be made is known before anything is searched.
    """
    table = load_table(task, data_dir)
    table_splitter = make_splitter(table)
    try:
        folds = table_splitter.outer(protocol)
        for fold in folds:
            table_splitter.take(fold.train).inner(protocol.inner_folds, seed=0)
    except DataError as error:
        raise DataError(f"task {task.name!r}: {error}") from error
    task = resolve_costs(task, table.classes)
    return LoadedTask(
        task, table, table_splitter, folds, fingerprint_table(table), has_many_levels(table, task.modality)
    )


def make_plan(request: RunRequest, registry: Registry) -> Plan:
    """Load every task and list the cells, task by task, networks first so that the longest do not come last.

    A task whose data are not available is skipped with the reason; so is, among several tasks, one that cannot be split.

    Parameters
    ----------
    request : RunRequest
        The tasks, families and strategies to be combined; the baseline is added.
    registry : Registry
        All declarations.

    Returns
    -------
    Plan
        The cells and what is known without work.

    Raises
    ------
    Unavailable, DataError
        If no task is left.
    """
    tasks, skipped_declarations = _load_tasks(request, registry)
    families = [registry.family(name) for name in dict.fromkeys((*request.families, BASELINE))]
    for family in families:
        if missing_reason := missing_packages(family):
            skipped_declarations.append(
                {"kind": "family", "name": family.name, "code": MISSING_PACKAGE, "reason": missing_reason}
            )
    families.sort(key=lambda family: not family.network)
    cells, settled_outcomes = [], {}
    for loaded_task in tasks:
        for family in families:
            for strategy in map(registry.strategy, request.strategy_names(loaded_task.task.name, family)):
                outcome = known_outcome(loaded_task.task, family, strategy)
                for fold in loaded_task.folds:
                    cell = make_cell(request, registry, loaded_task, (family, strategy.name), fold)
                    cells.append(cell)
                    if outcome:
                        settled_outcomes[cell.id] = outcome
    findings = {loaded_task.task.name: audit_table(loaded_task.table) for loaded_task in tasks}
    return Plan(tuple(tasks), tuple(cells), settled_outcomes, tuple(skipped_declarations), findings)


def _load_tasks(request: RunRequest, registry: Registry) -> tuple[list[LoadedTask], list[dict[str, str]]]:
    """The tasks that can be used, and why others are skipped; raises where there is no task left."""
    tasks, skipped_declarations = [], []
    for name in request.tasks:
        try:
            loaded_task = load_task(request.task(registry, name), request.protocol, request.data_folder)
            objective = request.protocol.objective_for(len(loaded_task.table.classes))
            _check_objective(loaded_task, registry.metric(objective))
        except (Unavailable, DataError) as error:
            if len(request.tasks) == 1:
                raise
            skipped_declarations.append({"kind": "task", "name": name, "code": error.code, "reason": str(error)})
        else:
            tasks.append(loaded_task)
    if not tasks:
        reasons = "; ".join(f"{task['name']}: {task['reason']}" for task in skipped_declarations)
        raise Unavailable(f"none of the tasks can be had: {reasons}")
    return tasks, skipped_declarations


def _check_objective(loaded_task: LoadedTask, metric: Metric) -> None:
    """Raise `DataError` where a metric cannot be computed on a task, so that nothing is searched in vain."""
    name, classes = loaded_task.task.name, len(loaded_task.table.classes)
    if metric.needs_costs and loaded_task.task.costs is None:
        raise DataError(f"task {name!r} has no cost matrix, which the objective {metric.name!r} needs")
    if metric.binary_only and classes > 2:
        raise DataError(f"task {name!r} has {classes} classes, the objective {metric.name!r} is for two")


def make_cell(
    request: RunRequest, registry: Registry, loaded: LoadedTask, combination: tuple[Family, str], fold: Fold
) -> Cell:
    """The cell of a family and a strategy on one outer fold, with the key of its data and declarations as they are now.

    Parameters
    ----------
    request : RunRequest
        Gives the protocol and the strategies that may be searched.
    registry : Registry
        All declarations.
    loaded : LoadedTask
        The task.
    combination : tuple of Family and str
        The family and the name of the strategy.
    fold : Fold
        The outer fold.
    """
    (family, strategy), protocol = combination, request.protocol
    names = (loaded.task.name, family.name, strategy, fold.repeat, fold.fold)
    encoding_key: list[Any] = []
    if encoding := ENCODINGS.get(family.encodings.get(loaded.task.modality, "")):
        interpolation_key = encoding.interpolation_space and sorted(encoding.interpolation_space.items())
        encoding_key = [sorted(encoding.space_of(loaded.many_levels).items()), interpolation_key]
    data_key = (protocol.as_dict(), loaded.fingerprint, loaded.task.costs)
    key = digest(*data_key, declaration_fingerprint(family), encoding_key, request.strategy_key(registry, strategy))
    return Cell(digest(protocol.seed, *names)[:16], key[:32], *names, seed_of(protocol.seed, *names))


def describe_run(request: RunRequest, registry: Registry, plan: Plan, command: str, name: str) -> dict[str, Any]:
    """The description of a run as `run.json` holds it: all that a report needs, without any live declaration.

    Parameters
    ----------
    request : RunRequest
        What the run was asked for.
    registry : Registry
        All declarations.
    plan : Plan
        The cells.
    command : str
        The command that started the run.
    name : str
        The name of the run.
    """
    planned_strategies = {cell.strategy: None for cell in plan.cells}
    strategies, families = {}, {}
    for strategy in map(registry.strategy, dict.fromkeys((*request.strategies, *planned_strategies))):
        if strategy.name in planned_strategies:
            strategies[strategy.name] = {
                "kind": strategy.kind,
                "chooses": strategy.selects_existing_rows,
                "description": strategy.description,
                "digest": request.strategy_key(registry, strategy.name),
            }
    for family in map(registry.family, dict.fromkeys(cell.family for cell in plan.cells)):
        families[family.name] = {"description": family.description, "network": family.network}
    cells = list(map(asdict, plan.cells))
    for cell in cells:
        del cell["seed"]
    return {
        "name": name,
        "command": command,
        "seed": request.protocol.seed,
        "protocol": request.protocol.as_dict(),
        "versions": package_versions(),
        "host": describe_host(),
        "tasks": {
            loaded_task.task.name: _task_as_dict(loaded_task, request, plan.findings) for loaded_task in plan.tasks
        },
        "families": families,
        "strategies": strategies,
        "skipped": list(plan.skipped),
        "cells": cells,
    }


def _task_as_dict(
    loaded_task: LoadedTask, request: RunRequest, findings: Mapping[str, Iterable[Finding]]
) -> dict[str, Any]:
    task, table = loaded_task.task, loaded_task.table
    classes = len(table.classes)
    table_findings = list(table.notes)
    if omitted_rows := loaded_task.count_omitted_training_rows():
        message = f"{omitted_rows} training rows left out: equal rows stand in the test part of the split column"
        table_findings.append(Finding("test_duplicates", "note", message, rows=omitted_rows))
    finding_notes = [finding.note for finding in table_findings]
    finding_notes += [f"{finding.code}: {finding.message}" for finding in findings[task.name]]
    description = {name: getattr(task, name) for name in TASK_FIELDS} | {
        "classes": list(table.classes),
        "positive": table.classes[1] if classes == 2 else None,
        "counts": np.bincount(table.y, minlength=classes).tolist(),
        "rows": len(table.y),
        "columns": table.X.shape[1] if task.modality == "tabular" else None,
        "features": describe_features(table),
        "fingerprint": loaded_task.fingerprint,
        "costs": task.costs,
        "forward": table.time is not None,
        "splits": len(loaded_task.folds),
        "objective": request.protocol.objective_for(classes),
        "notes": finding_notes,
        "findings": list(map(Finding.as_dict, (*table_findings, *findings[task.name]))),
        "column_summaries": summarize_columns(task, table),
    }
    if table.weights is not None:
        description["total_weight"] = table.total_weight
    published_tables = [
        asdict(published_table) for published_table in request.published if published_table.task == task.name
    ]
    if published_tables:
        description["published"] = published_tables
    user_data = request.user_data(task.name)
    if user_data is not None:
        description["own"] = user_data.as_dict()  # how a user's data are read: a replay needs it
    return description
