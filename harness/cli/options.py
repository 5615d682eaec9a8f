"""What was typed becomes what is run: suites, names, defaults, each checked."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness.data.sources import read_table
from harness.data.user_data import FOLDER, UserData
from harness.errors import EvenhandError
from harness.execution.engines.base import Limits
from harness.execution.plan import Request
from harness.registry.protocol import EvaluationProtocol
from harness.registry.registry import Registry, closest, find
from harness.registry.task import Modality
from harness.store.record import STATUSES
from harness.tasks.suites import DEFAULT_STRATEGIES, SUITES, Suite

#: What `run` compares where neither a suite nor families are named, and what it adds where there are texts or pictures.
DEFAULT_FAMILIES = ("logistic_regression", "random_forest", "gradient_boosting", "xgb", "dense_network")
FAMILIES_FOR = {
    "tabular": (),
    "text": ("recurrent_network",),
    "image": ("small_convolutional_network", "pretrained_network"),
}
#: The share of the machine's memory that all cells at once may use.
MEMORY_SHARE = 0.85
#: A cell may take this many seconds, or so many times its budget if that is more.
CELL_SECONDS, CELL_BUDGETS = 3600.0, 10.0


@dataclass(frozen=True)
class Typed:
    """The options of `run` as typed; None or empty where nothing was."""

    file: Path | None
    suite: str | None
    tasks: tuple[str, ...]
    families: tuple[str, ...]
    strategies: tuple[str, ...]
    protocol: dict[str, Any]  #: fields of the protocol that were given
    own: dict[str, Any]  #: fields of `OwnFile` that were given
    data_dir: Path | None
    plugins: tuple[str, ...]


def request_of(typed: Typed, registry: Registry) -> Request:
    """What to run; raises `EvenhandError` (one line) where the options contradict each other or name what is not there."""
    suite: Suite | None = find(SUITES, typed.suite, "suite") if typed.suite else None
    own = _own_file(typed)
    strategies = typed.strategies or (suite.strategies if suite else DEFAULT_STRATEGIES)
    tasks = _tasks(typed, suite, own, registry)
    kinds = {own.task().modality if own and own.task().name == name else registry.task(name).modality for name in tasks}
    families = typed.families or (suite.family_names(registry.families) if suite else _families_for(kinds))
    for name in families:
        registry.family(name)
    for name in strategies:
        registry.strategy(name)
    if typed.data_dir and not typed.data_dir.is_dir():
        raise EvenhandError(f"no such directory: {typed.data_dir} (--data-dir)")
    return Request(
        _unique(tasks),
        _unique(families),
        _unique(strategies),
        _protocol(typed, suite, registry),
        data_dir=str(typed.data_dir.resolve()) if typed.data_dir else None,
        plugins=typed.plugins,
        own=own,
    )


def _families_for(kinds: set[Modality]) -> tuple[str, ...]:
    return (*DEFAULT_FAMILIES, *(name for kind, added in FAMILIES_FOR.items() if kind in kinds for name in added))


def _tasks(typed: Typed, suite: Suite | None, own: UserData | None, registry: Registry) -> tuple[str, ...]:
    names = typed.tasks or (suite.task_names(registry.tasks) if suite else ())
    for name in names:
        registry.task(name)
    if own is not None:
        name = own.task().name
        if name in registry.tasks:
            raise EvenhandError(f"{own.path}: a task named {name!r} is declared already: rename the file")
        names = (*names, name)
    if not names:
        raise EvenhandError(
            f"nothing to run: name a --suite ({', '.join(SUITES)}), a --task (evenhand list tasks), a CSV or Parquet file, "
            "or a folder of pictures"
        )
    return names


def _protocol(typed: Typed, suite: Suite | None, registry: Registry) -> EvaluationProtocol:
    given = typed.protocol
    if "budget" in given and "trials" not in given:
        given = {**given, "trials": None}  # bounded by time instead of trials
    protocol = replace(suite.protocol if suite else EvaluationProtocol(), **given)
    if protocol.objective is not None:
        registry.metric(protocol.objective)
    return protocol


def _unique(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))


def _own_file(typed: Typed) -> UserData | None:
    given = [f"--{name}" for name, value in typed.own.items() if value]
    if typed.file is None:
        if given:
            raise EvenhandError(f"{given[0]} goes with data of one's own: evenhand run FILE --target COLUMN")
        return None
    path = str(typed.file.resolve())
    if typed.file.is_dir():
        if not_meant := [option for option in given if option != "--positive"]:
            raise EvenhandError(
                f"{typed.file} is a folder of pictures, whose folders are the classes: {not_meant[0]} goes with a CSV or Parquet file"
            )
        return UserData(path, FOLDER, typed.own.get("positive"))
    if not typed.file.is_file():
        raise EvenhandError(f"no such file or folder: {typed.file}")
    if not typed.own.get("target"):
        raise EvenhandError(f"{typed.file}: which column is to be predicted? say --target COLUMN")
    _check_columns(typed.file, typed.own)
    return UserData(path=path, **typed.own)


def _check_columns(file: Path, own: Mapping[str, Any]) -> None:
    """Raise `EvenhandError` where an option names a column that the file does not have, or one column twice."""
    known = [str(name) for name in read_table(file, names_only=True).columns]
    for option in ("target", "text", "drop", "group", "time"):
        named = own.get(option) or ()
        for name in (named,) if isinstance(named, str) else named:
            if name not in known:
                raise EvenhandError(f"no such column {name!r} (--{option}): {closest(name, known)}")
            if option != "target" and name == own["target"]:
                raise EvenhandError(f"--{option} names the target {name!r}: it is what is to be predicted")
            if option not in ("target", "text") and name == own.get("text"):
                raise EvenhandError(f"--{option} names the column {name!r} whose texts are to be read")


def out_folder(typed: Typed, request: Request) -> Path:
    """Where a run goes if nothing was said: `results/` and the suite's or the tasks' names."""
    return Path("results") / (typed.suite or "-".join(request.tasks)[:80])


def seconds(text: str) -> float:
    """A length of time: 90, 90s, 5m, 2h."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(s|m|h)?", text.strip())
    if not found or not float(found[1]):
        raise EvenhandError(f"not a length of time: {text!r} (expected for example 60s, 5m or 2h)")
    return float(found[1]) * {"s": 1, "m": 60, "h": 3600}[found[2] or "s"]


def statuses(text: str) -> tuple[str, ...]:
    """Statuses of cells to do again, separated by commas."""
    named = tuple(filter(None, (part.strip() for part in text.split(","))))
    for one in named:
        if one not in STATUSES:
            raise EvenhandError(f"unknown status {one!r}: there are {', '.join(STATUSES)}")
    return named


def stages(text: str) -> tuple[str, ...]:
    """The stages of a cell that are meant by `default`, `tuned` or `both`."""
    found = {"default": ("default",), "tuned": ("tuned",), "both": ("default", "tuned")}.get(text)
    if found is None:
        raise EvenhandError(f"unknown stage {text!r}: there are default, tuned and both (--stage)")
    return found


def limits(jobs: int, budget: float | None) -> Limits:
    """What a cell may use when so many run at once."""
    import psutil

    memory = psutil.virtual_memory().total / 1e6 * MEMORY_SHARE / jobs
    return Limits(max(CELL_SECONDS, CELL_BUDGETS * (budget or 0)), int(memory))


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
