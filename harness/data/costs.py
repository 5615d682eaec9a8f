"""Costs of decisions: read from a line such as ``fn=200,fp=5``, a mapping, a frame or a file, and ordered by class."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from harness.errors import DataError, EvenhandError
from harness.registry.registry import suggest_similar_name
from harness.registry.task import Task

if TYPE_CHECKING:
    import pandas as pd

CostMatrix: TypeAlias = tuple[tuple[float, ...], ...]
CostsByClass: TypeAlias = dict[str, dict[str, float]]

#: Name of a decision about two classes → its position in the matrix: true class, predicted class; 1 is the positive one.
DECISIONS = {"tn": (0, 0), "fp": (0, 1), "fn": (1, 0), "tp": (1, 1)}
LONG_NAMES = {
    "true_negative": "tn", "false_positive": "fp", "false_negative": "fn", "true_positive": "tp",
}  # fmt: skip
EXAMPLE = "fn=200,fp=5"


@dataclass(frozen=True)
class DeclaredCosts:
    """Costs as they were declared: a matrix of two classes, or costs by the names of classes; neither where there are none."""

    matrix: CostMatrix | None = None
    by_class: CostsByClass = field(default_factory=dict)


def parse_costs(text: str) -> DeclaredCosts:
    """Read costs from the command line.

    Parameters
    ----------
    text : str
        ``fn=200,fp=5``, with ``tn`` and ``tp`` where right decisions cost something too; or the path of a file that
        `read_cost_file` reads.

    Returns
    -------
    DeclaredCosts
        The costs.

    Raises
    ------
    EvenhandError
        If it is neither, or a cost is no number from 0 on.
    """
    costs_text = text.strip()
    if Path(costs_text).expanduser().is_file():
        return DeclaredCosts(by_class=read_cost_file(Path(costs_text).expanduser()))
    if "=" not in costs_text:
        raise EvenhandError(f"costs {text!r}: no such file, and not like {EXAMPLE}")
    costs: dict[str, Any] = {}
    for cost_text in filter(None, map(str.strip, costs_text.split(","))):
        name, equals_sign, cost_number = cost_text.partition("=")
        if not equals_sign:
            raise EvenhandError(f"costs {text!r}: {cost_text!r} is not like fn=200")
        if name.strip() in costs:
            raise EvenhandError(f"costs {text!r}: {name.strip()!r} is given twice")
        costs[name.strip()] = cost_number.strip()
    return DeclaredCosts(_matrix_of_decisions(costs))


def check_costs(costs: Any) -> DeclaredCosts:
    """Read costs from an argument of Python.

    Parameters
    ----------
    costs : mapping, DataFrame, sequence, str, Path or None
        ``{"fn": 200, "fp": 5}``; a mapping of true classes to mappings of predicted classes to costs; a data frame with the true
        classes as index and the predicted ones as columns; a matrix whose classes are in order; or a text or path as of
        `parse_costs`.

    Returns
    -------
    DeclaredCosts
        The costs.

    Raises
    ------
    EvenhandError
        If it is none of these, or a cost is no number from 0 on.
    """
    if costs is None:
        return DeclaredCosts()
    if isinstance(costs, (str, Path)):
        return parse_costs(str(costs))
    if hasattr(costs, "columns") and hasattr(costs, "index"):
        return DeclaredCosts(by_class=_costs_of_frame(costs, "costs"))
    if isinstance(costs, Mapping):
        if costs and all(isinstance(line, Mapping) for line in costs.values()):
            return DeclaredCosts(by_class=_costs_of_lines(costs, "costs"))
        return DeclaredCosts(_matrix_of_decisions({str(name): cost for name, cost in costs.items()}))
    return DeclaredCosts(_matrix_of_lines(costs))


def read_cost_file(path: Path) -> CostsByClass:
    """Read a matrix of costs from a CSV: a line per true class, its name first, and a column per predicted class.

    Raises
    ------
    EvenhandError
        If the file is no such matrix.
    """
    from harness.data.files import read_table

    frame = read_table(path)
    if frame.shape[1] < 3:
        raise EvenhandError(
            f"{path} is no matrix of costs: expected a line per true class, with its name and the cost of predicting each class"
        )
    names = frame.iloc[:, 0].map(_class_name)
    return _costs_of_frame(frame.iloc[:, 1:].set_axis(list(names), axis=0), str(path))


def resolve_costs(task: Task, classes: tuple[str, ...]) -> Task:
    """The task with its costs as a matrix in the order of its classes.

    Parameters
    ----------
    task : Task
        The task.
    classes : tuple of str
        The classes of its rows, in order.

    Returns
    -------
    Task
        The same task where it has no costs by class.

    Raises
    ------
    DataError
        If a class has no cost, or a cost is of a class that does not occur.
    """
    if not task.costs_by_class:
        return task
    lines: list[tuple[float, ...]] = []
    for true_class in classes:
        _check_class_names(task, task.costs_by_class.get(true_class, {}), classes)
        lines.append(tuple(_find_cost(task, true_class, predicted_class) for predicted_class in classes))
    _check_class_names(task, task.costs_by_class, classes)
    return replace(task, costs=tuple(lines), costs_by_class={})


def _check_class_names(task: Task, costs_by_name: Mapping[str, Any], classes: tuple[str, ...]) -> None:
    for name in costs_by_name:
        if name not in classes:
            name_advice = suggest_similar_name(name, classes)
            raise DataError(f"costs of task {task.name!r}: no row is of class {name!r}: {name_advice}")


def _find_cost(task: Task, true_class: str, predicted_class: str) -> float:
    """The cost of a decision; a right one costs nothing where that is not said."""
    costs: Mapping[str, float] = task.costs_by_class.get(true_class, {})
    if not costs:
        raise DataError(f"costs of task {task.name!r}: class {true_class!r} has no line")
    if predicted_class in costs:
        return _check_cost(
            costs[predicted_class], f"costs of task {task.name!r}, {true_class!r} as {predicted_class!r}"
        )
    if predicted_class == true_class:
        return 0.0
    raise DataError(f"costs of task {task.name!r}: what does it cost to predict {true_class!r} as {predicted_class!r}?")


def _matrix_of_decisions(costs: Mapping[str, Any]) -> CostMatrix:
    """The matrix of two classes from costs of fn, fp and perhaps tn and tp, which are 0 otherwise."""
    matrix = [[0.0, 0.0], [0.0, 0.0]]
    named_decisions = set()
    for name, cost in costs.items():
        lowered_name = name.lower().replace(" ", "_").replace("-", "_").removesuffix("s")
        short_name = LONG_NAMES.get(lowered_name, lowered_name)
        if short_name not in DECISIONS:
            name_advice = suggest_similar_name(name, [*DECISIONS, *LONG_NAMES])
            raise EvenhandError(
                f"costs: unknown decision {name!r}: {name_advice} For several classes, give a matrix with their names"
            )
        true_class, predicted_class = DECISIONS[short_name]
        matrix[true_class][predicted_class] = _check_cost(cost, f"costs: {name}")
        named_decisions.add(short_name)
    if missing_decisions := sorted({"fn", "fp"} - named_decisions):
        raise EvenhandError(f"costs lack {' and '.join(missing_decisions)}: expected both errors, as in {EXAMPLE}")
    return (matrix[0][0], matrix[0][1]), (matrix[1][0], matrix[1][1])


def _matrix_of_lines(costs: Any) -> CostMatrix:
    """A matrix without names: its lines and columns are the classes in order."""
    try:
        lines = [list(line) for line in costs]
    except TypeError:
        raise EvenhandError(f"costs must be like {{'fn': 200, 'fp': 5}} or a matrix, but got {costs!r:.60}") from None
    if len(lines) < 2 or any(len(line) != len(lines) for line in lines):
        line_widths = ", ".join(str(len(line)) for line in lines)
        raise EvenhandError(f"costs must be a square matrix, but has {len(lines)} lines of {line_widths} numbers")
    return tuple(tuple(_check_cost(cost, "costs") for cost in line) for line in lines)


def _costs_of_frame(frame: pd.DataFrame, source_name: str) -> CostsByClass:
    lines: dict[str, dict[str, Any]] = {}
    columns = [_class_name(name) for name in frame.columns]
    for position, name in enumerate(map(_class_name, frame.index)):
        if name in lines:
            raise EvenhandError(f"{source_name}: two lines are of class {name!r}")
        lines[name] = dict(zip(columns, frame.iloc[position].tolist(), strict=True))
    return _costs_of_lines(lines, source_name)


def _costs_of_lines(lines: Mapping[Any, Mapping[Any, Any]], source: str) -> CostsByClass:
    """Costs by class, whose lines and columns name the same classes."""
    costs: CostsByClass = {}
    for true_class, line in lines.items():
        name = _class_name(true_class)
        costs[name] = {}
        for predicted_class, cost in line.items():
            costs[name][_class_name(predicted_class)] = _check_cost(
                cost, f"{source}: {name!r} as {_class_name(predicted_class)!r}"
            )
    predicted_names = {name for line in costs.values() for name in line}
    for name in sorted(predicted_names ^ costs.keys()):
        place = "line" if name in predicted_names else "column"
        raise EvenhandError(
            f"{source} is no square matrix of costs: class {name!r} has no {place} (lines are true classes, columns predicted ones)"
        )
    return costs


def _class_name(name: Any) -> str:
    """A class as its rows are read: 1.0 is the class 1."""
    if isinstance(name, float) and name.is_integer():
        name = int(name)
    return str(name).strip()


def _check_cost(cost: Any, name: str) -> float:
    """A cost as a number from 0 on."""
    try:
        cost_number = float(cost)
    except (TypeError, ValueError):
        raise EvenhandError(f"{name}: a cost is a number from 0 on, but got {cost!r:.40}") from None
    if not math.isfinite(cost_number) or cost_number < 0:
        raise EvenhandError(
            f"{name}: a cost is a number from 0 on, but got {cost}: a gain is the cost of missing it, on the other decision"
        )
    return cost_number
