"""Protocol × declarations → the list of cells, and the description of a run."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from harness.data.audit import Finding, audit
from harness.data.hashing import fingerprint
from harness.data.splits import Fold, Splitter, make_splitter
from harness.data.table import load_table
from harness.data.user_data import UserData
from harness.errors import DataError, Unavailable
from harness.execution.cell import Cell
from harness.metrics.metric import Metric
from harness.preprocessing.encodings import ENCODINGS
from harness.registry.family import Family, missing_packages
from harness.registry.fingerprint import declaration_digest, digest
from harness.registry.protocol import EvaluationProtocol
from harness.registry.registry import Registry
from harness.registry.strategy import Strategy
from harness.registry.task import Table, Task
from harness.search.pipeline import inapplicable
from harness.seeding import seed_of

#: The floor: always there, so that every table shows what knowing nothing scores.
BASELINE = "majority"
PACKAGES = (
    "evenhand", "numpy", "pandas", "scipy", "scikit-learn", "imbalanced-learn", "optuna", "xgboost-cpu", "xgboost", "lightgbm",
    "catboost", "tensorflow-cpu", "tensorflow", "keras",
)  # fmt: skip


@dataclass(frozen=True)
class Request:
    """What a run was asked for; everything in it survives a trip through JSON, so that workers get it too."""

    tasks: tuple[str, ...]
    families: tuple[str, ...]
    strategies: tuple[str, ...]
    protocol: EvaluationProtocol
    data_dir: str | None = None
    plugins: tuple[str, ...] = ()
    own: UserData | None = None

    def task(self, registry: Registry, name: str) -> Task:
        """A registered task, or the one that the user's own file makes."""
        if self.own is not None:
            own = self.own.task()
            if own.name == name:
                return own
        return registry.task(name)

    def strategies_of(self, registry: Registry, name: str) -> tuple[Strategy, ...]:
        """The strategies that a cell may apply: its own, or for `searched` all others of the run."""
        strategy = registry.strategy(name)
        if strategy.kind != "searched":
            return (strategy,)
        others = tuple(registry.strategy(other) for other in self.strategies)
        return tuple(other for other in others if other.kind != "searched") or (registry.strategy("none"),)

    def strategy_key(self, registry: Registry, name: str) -> str:
        """Changes with a strategy, or with any that may be chosen where it is searched."""
        return digest([declaration_digest(other) for other in self.strategies_of(registry, name)])

    @property
    def data_folder(self) -> Path | None:
        """The user's data directory."""
        return Path(self.data_dir) if self.data_dir else None

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Request:
        """A request from what `as_dict` gave."""
        own = values.get("own")
        return cls(
            tasks=tuple(values["tasks"]),
            families=tuple(values["families"]),
            strategies=tuple(values["strategies"]),
            protocol=EvaluationProtocol(**values["protocol"]),
            data_dir=values.get("data_dir"),
            plugins=tuple(values.get("plugins", ())),
            own=UserData(**(own | {"drop": tuple(own["drop"])})) if own else None,
        )


@dataclass(frozen=True)
class LoadedTask:
    """A task with its rows and its outer folds."""

    task: Task
    table: Table
    splitter: Splitter
    folds: list[Fold]
    fingerprint: str


@dataclass(frozen=True)
class Plan:
    """All cells of a run, those that need no work with the reason why, and what was left out before there were cells."""

    tasks: tuple[LoadedTask, ...]
    cells: tuple[Cell, ...]
    settled: Mapping[str, tuple[str, str]]  #: cell id → (status, reason), known before any work
    skipped: tuple[dict[str, str], ...]
    findings: Mapping[str, tuple[Finding, ...]]  #: task → what its results should be read with


def load_task(task: Task, protocol: EvaluationProtocol, data_dir: Path | None) -> LoadedTask:
    """Read a task's rows and split them; raises `Unavailable` or `DataError` where that cannot be done."""
    table = load_table(task, data_dir)
    splitter = make_splitter(table)
    try:
        folds = splitter.outer(protocol)
        for fold in folds:  # whether inner folds can be made is known before anything is searched
            splitter.take(fold.train).inner(protocol.inner_folds, seed=0)
    except DataError as error:
        raise DataError(f"task {task.name!r}: {error}") from error
    return LoadedTask(task, table, splitter, folds, fingerprint(table))


def make_plan(request: Request, registry: Registry) -> Plan:
    """Load every task and list the cells, task by task, networks first so that the longest do not come last.

    Data that are not here are skipped with the reason; so is, among several tasks, one that cannot be split. Raises
    `Unavailable` or `DataError` where no task is left.
    """
    loaded, skipped = [], []
    for name in request.tasks:
        try:
            one = load_task(request.task(registry, name), request.protocol, request.data_folder)
            _check_objective(one, registry.metric(request.protocol.objective_for(len(one.table.classes))))
            loaded.append(one)
        except (Unavailable, DataError) as error:
            if len(request.tasks) == 1:
                raise
            skipped.append({"kind": "task", "name": name, "reason": str(error)})
    if not loaded:
        raise Unavailable(
            "none of the tasks can be had: " + "; ".join(f"{one['name']}: {one['reason']}" for one in skipped)
        )
    families = [registry.family(name) for name in dict.fromkeys((*request.families, BASELINE))]
    missing = {family.name: why for family in families if (why := missing_packages(family))}
    skipped += [{"kind": "family", "name": name, "reason": reason} for name, reason in missing.items()]
    families = sorted(families, key=lambda family: not family.network)
    cells, settled = [], {}
    for one in loaded:
        for family in families:
            for strategy in _strategies(family, request.strategies):
                known = _settled(one.task, family, registry.strategy(strategy))
                for fold in one.folds:
                    cell = cell_of(request, registry, one, (family, strategy), fold)
                    cells.append(cell)
                    if known:
                        settled[cell.id] = known
    findings = {one.task.name: audit(one.table) for one in loaded}
    return Plan(tuple(loaded), tuple(cells), settled, tuple(skipped), findings)


def _check_objective(one: LoadedTask, metric: Metric) -> None:
    """Raise `DataError` where a metric cannot be computed on a task, so that nothing is searched in vain."""
    if metric.needs_costs and one.task.costs is None:
        raise DataError(f"task {one.task.name!r} has no cost matrix, which the objective {metric.name!r} needs")
    if metric.binary_only and len(one.table.classes) > 2:
        raise DataError(
            f"task {one.task.name!r} has {len(one.table.classes)} classes, the objective {metric.name!r} is for two"
        )


def describe(request: Request, registry: Registry, plan: Plan, command: str, name: str) -> dict[str, Any]:
    """The description of a run as `run.json` holds it: all that a report needs and no live declaration."""
    there = dict.fromkeys(cell.strategy for cell in plan.cells)
    strategies = [name for name in dict.fromkeys((*request.strategies, *there)) if name in there]
    families = dict.fromkeys(cell.family for cell in plan.cells)
    return {
        "name": name,
        "command": command,
        "seed": request.protocol.seed,
        "protocol": request.protocol.as_dict(),
        "versions": versions(),
        "host": host(),
        "tasks": {
            one.task.name: _describe_task(one, request.protocol, plan.findings) | _describe_own(request, one.task.name)
            for one in plan.tasks
        },
        "families": {
            name: {"description": family.description, "network": family.network}
            for name in families
            for family in [registry.family(name)]
        },
        "strategies": {
            name: {
                "kind": strategy.kind,
                "chooses": strategy.selects_existing_rows,
                "description": strategy.description,
                "digest": request.strategy_key(registry, name),
            }
            for name in strategies
            for strategy in [registry.strategy(name)]
        },
        "skipped": list(plan.skipped),
        "cells": [_without_seed(cell) for cell in plan.cells],
    }


def host() -> dict[str, Any]:
    """The machine, as far as numbers may depend on it."""
    return {"system": platform.system(), "processor": platform.machine(), "cores": os.cpu_count()}


def versions() -> dict[str, str]:
    """The versions that decide over numbers."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _strategies(family: Family, asked: Sequence[str]) -> Iterable[str]:
    """What a family is combined with; one that no strategy changes is there once."""
    return asked if family.strategies is None else family.strategies


def _settled(task: Task, family: Family, strategy: Strategy) -> tuple[str, str] | None:
    encoding = ENCODINGS.get(family.encodings.get(task.modality, ""))
    if missing := missing_packages(family, encoding.needs if encoding else ()):
        return "skipped", missing
    if reason := inapplicable(family, task.modality, strategy):
        return "inapplicable", reason
    return None


def cell_of(request: Request, registry: Registry, one: LoadedTask, what: tuple[Family, str], fold: Fold) -> Cell:
    """The cell of a family and a strategy on one split, under the key of its data and declarations as they are now."""
    (family, strategy), protocol = what, request.protocol
    names = (one.task.name, family.name, strategy, fold.repeat, fold.fold)
    encoding = family.encodings.get(one.task.modality, "")
    key = digest(
        protocol.as_dict(), one.fingerprint, one.task.costs, declaration_digest(family),
        _encoding_key(encoding),
        request.strategy_key(registry, strategy),
    )  # fmt: skip
    seed = seed_of(protocol.seed, *names)
    return Cell(
        digest(protocol.seed, *names)[:16], key[:32], one.task.name, family.name, strategy, fold.repeat, fold.fold, seed
    )


def _encoding_key(name: str) -> list[Any]:
    """Changes with what is searched of an encoding."""
    if name not in ENCODINGS:
        return []
    encoding = ENCODINGS[name]
    return [sorted(encoding.space.items()), encoding.points and sorted(encoding.points.items())]


def _left_out(one: LoadedTask) -> list[str]:
    """How many training rows a published split costs because equal rows stand in its test part."""
    if one.table.test is None:
        return []
    lost = int((~one.table.test).sum()) - len(one.folds[0].train)
    return [f"{lost} training rows left out: equal rows stand in the test part of the split column"] if lost else []


def features_in_words(table: Table) -> str:
    """How much there is to learn from: `20 columns`, `texts of 61 characters`, `pictures of 28 × 28`."""
    import numpy as np

    X = table.X
    if hasattr(X, "columns"):
        return f"{X.shape[1]} columns"
    if X.ndim == 1:
        return f"texts of {np.median([len(text) for text in X]):.0f} characters (median)"
    return f"{'grey' if X.shape[3] == 1 else 'colour'} pictures of {X.shape[1]} × {X.shape[2]}"


def _without_seed(cell: Cell) -> dict[str, Any]:
    return {name: value for name, value in asdict(cell).items() if name != "seed"}


def _describe_own(request: Request, task: str) -> dict[str, Any]:
    """How a user's own data are read, where the task is made of them: it takes that to fit a cell again."""
    return {"own": asdict(request.own)} if request.own and request.own.task().name == task else {}


def _describe_task(
    one: LoadedTask, protocol: EvaluationProtocol, findings: Mapping[str, tuple[Finding, ...]]
) -> dict[str, Any]:
    import numpy as np

    task, table = one.task, one.table
    binary = len(table.classes) == 2
    return {
        **{name: getattr(task, name) for name in ("title", "description", "source", "licence", "citation", "modality")},
        "classes": list(table.classes),
        "positive": table.classes[1] if binary else None,
        "counts": np.bincount(table.y, minlength=len(table.classes)).tolist(),
        "rows": len(table.y),
        "columns": table.X.shape[1] if task.modality == "tabular" else None,
        "features": features_in_words(table),
        "fingerprint": one.fingerprint,
        "costs": task.costs,
        "forward": table.time is not None,
        "splits": len(one.folds),
        "objective": protocol.objective_for(len(table.classes)),
        "notes": [
            *table.notes,
            *_left_out(one),
            *(f"{finding.code}: {finding.message}" for finding in findings[task.name]),
        ],
    }
