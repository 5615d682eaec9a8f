"""From the options of `evenhand run` to a request: suites, names and defaults, each checked."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness.data.files import FOLDER, UserData, read_table
from harness.errors import EvenhandError
from harness.execution.plan import Request
from harness.registry.protocol import EvaluationProtocol
from harness.registry.registry import Registry, lookup, suggestion
from harness.registry.task import Modality
from harness.store.record import STATUSES
from harness.tasks.suites import DEFAULT_STRATEGIES, SUITES, Suite

#: The families of a run that names neither a suite nor families, and those added for texts and images.
DEFAULT_FAMILIES = ("logistic_regression", "random_forest", "gradient_boosting", "xgb", "dense_network")
ADDED_FAMILIES: dict[Modality, tuple[str, ...]] = {
    "tabular": (),
    "text": ("recurrent_network",),
    "image": ("small_convolutional_network", "pretrained_network"),
}
STAGES = {"default": ("default",), "tuned": ("tuned",), "both": ("default", "tuned")}
SECONDS_PER_UNIT = {"s": 1, "m": 60, "h": 3600}
#: Options that name columns of the user's file.
COLUMN_OPTIONS = ("target", "text", "drop", "group", "time")


@dataclass(frozen=True)
class RunOptions:
    """The options of `run` as typed; None or empty where an option was not used."""

    file: Path | None
    suite: str | None
    tasks: tuple[str, ...]
    families: tuple[str, ...]
    strategies: tuple[str, ...]
    protocol: dict[str, Any]  #: fields of the protocol
    columns: dict[str, Any]  #: fields of `UserData`
    data_dir: Path | None
    plugins: tuple[str, ...]


def make_request(options: RunOptions, registry: Registry) -> Request:
    """Turn the options of `run` into a request.

    Parameters
    ----------
    options : RunOptions
        The options as typed.
    registry : Registry
        All declarations.

    Returns
    -------
    Request
        Tasks, families, strategies and protocol, all of which exist.

    Raises
    ------
    EvenhandError
        If options contradict each other, or name something that does not exist.
    """
    suite: Suite | None = None
    strategies = options.strategies or DEFAULT_STRATEGIES
    if options.suite:
        suite = lookup(SUITES, options.suite, "suite")
        strategies = options.strategies or suite.strategies
    user_data = _user_data(options)
    tasks = _task_names(options, suite, user_data, registry)
    families = options.families
    if not families and suite:
        families = suite.family_names(registry.families)
    elif not families:
        families = _default_families(tasks, user_data, registry)
    for name in families:
        registry.family(name)
    for name in strategies:
        registry.strategy(name)
    if options.data_dir and not options.data_dir.is_dir():
        raise EvenhandError(f"no such directory: {options.data_dir} (--data-dir)")
    names = (_unique(tasks), _unique(families), _unique(strategies))
    data_dir = str(options.data_dir.resolve()) if options.data_dir else None
    return Request(*names, _protocol(options, suite, registry), data_dir, options.plugins, user_data)


def _default_families(tasks: tuple[str, ...], user_data: UserData | None, registry: Registry) -> tuple[str, ...]:
    """List the default families for the modalities of the tasks."""
    modalities = set()
    for name in tasks:
        task = registry.tasks.get(name)
        if task is None and user_data is not None:
            task = user_data.task()
        if task is not None:
            modalities.add(task.modality)
    families: tuple[str, ...] = DEFAULT_FAMILIES
    for modality, added in ADDED_FAMILIES.items():
        if modality in modalities:
            families += added
    return families


def _task_names(
    options: RunOptions, suite: Suite | None, user_data: UserData | None, registry: Registry
) -> tuple[str, ...]:
    names = options.tasks
    if not names and suite:
        names = suite.task_names(registry.tasks)
    for name in names:
        registry.task(name)
    if user_data is not None:
        name = user_data.task().name
        if name in registry.tasks:
            raise EvenhandError(f"{user_data.path}: a task named {name!r} is declared already: rename the file")
        names = (*names, name)
    if not names:
        raise EvenhandError(
            f"nothing to run: name a --suite ({', '.join(SUITES)}), a --task (evenhand list tasks), a CSV or Parquet file, "
            "or a folder of images"
        )
    return names


def _protocol(options: RunOptions, suite: Suite | None, registry: Registry) -> EvaluationProtocol:
    fields = {name: setting for name, setting in options.protocol.items() if setting is not None}
    if "budget" in fields:
        fields.setdefault("trials", None)  # bounded by time instead of trials
    default = suite.protocol if suite else EvaluationProtocol()
    protocol = replace(default, **fields)
    if protocol.objective is not None:
        registry.metric(protocol.objective)
    return protocol


def _unique(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))


def _user_data(options: RunOptions) -> UserData | None:
    """Describe the user's own file or folder; None where the run has none."""
    typed = [f"--{name}" for name, column in options.columns.items() if column]
    file = options.file
    if file is None:
        if typed:
            raise EvenhandError(f"{typed[0]} goes with your own data: evenhand run FILE --target COLUMN")
        return None
    if file.is_dir():
        typed = [option for option in typed if option != "--positive"]
        if typed:
            message = f"{file} is a folder of images, whose folders are the classes: {typed[0]} goes with a CSV or Parquet file"
            raise EvenhandError(message)
        return UserData(str(file.resolve()), FOLDER, options.columns.get("positive"))
    if not file.is_file():
        raise EvenhandError(f"no such file or folder: {file}")
    if not options.columns.get("target"):
        raise EvenhandError(f"{file}: which column is to be predicted? say --target COLUMN")
    _check_columns(file, options.columns)
    return UserData(path=str(file.resolve()), **options.columns)


def _check_columns(file: Path, columns: dict[str, Any]) -> None:
    """Raise `EvenhandError` where an option names a column that the file does not have, or one column twice."""
    known = list(map(str, read_table(file, names_only=True).columns))
    target, text = columns["target"], columns.get("text")
    for option in COLUMN_OPTIONS:
        names = columns.get(option) or ()
        if isinstance(names, str):
            names = (names,)
        for name in names:
            if name not in known:
                raise EvenhandError(f"no such column {name!r} (--{option}): {suggestion(name, known)}")
            if option != "target" and name == target:
                raise EvenhandError(f"--{option} names the target {name!r}: it is what is to be predicted")
            if option not in ("target", "text") and name == text:
                raise EvenhandError(f"--{option} names the column {name!r} whose texts are to be read")


def parse_seconds(text: str | None) -> float | None:
    """Read a length of time such as 90, 90s, 5m or 2h; None for None.

    Raises
    ------
    EvenhandError
        If it is no positive length of time.
    """
    if text is None:
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(s|m|h)?", text.strip())
    if not match or not float(match[1]):
        raise EvenhandError(f"not a length of time: {text!r} (expected for example 60s, 5m or 2h)")
    return float(match[1]) * SECONDS_PER_UNIT[match[2] or "s"]


def parse_statuses(text: str) -> tuple[str, ...]:
    """Read statuses of cells, separated by commas; raises `EvenhandError` for one that does not exist."""
    statuses = tuple(filter(None, map(str.strip, text.split(","))))
    for status in statuses:
        if status not in STATUSES:
            raise EvenhandError(f"unknown status {status!r}: there are {', '.join(STATUSES)}")
    return statuses


def parse_stages(text: str) -> tuple[str, ...]:
    """Read `default`, `tuned` or `both` as stages of a cell; raises `EvenhandError` for anything else."""
    if text not in STAGES:
        raise EvenhandError(f"unknown stage {text!r}: there are default, tuned and both (--stage)")
    return STAGES[text]
