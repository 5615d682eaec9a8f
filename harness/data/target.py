"""The target of a task: its classes in order, and every row's class as a number."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.data.columns import texts
from harness.declare.task import Task
from harness.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

MOST_CLASSES = 100
FEW_NUMBERS = 20  #: no more different numbers than this are classes, whatever they look like


def encode_target(task: Task, column: pd.Series) -> tuple[npt.NDArray[np.int64], tuple[str, ...]]:
    """Classes in order (numbers by size, else by name; of two the positive one last) and every row's class (n,), 0..k-1.

    Raises `DataError` where the target has gaps or one class, looks like a quantity, or does not fit the task's declaration.
    """
    import numpy as np
    import pandas as pd

    text = texts(column)
    if gaps := int(text.isna().sum()):
        raise DataError(
            f"target {task.target!r} is missing in {gaps} of {len(text)} rows: fill them in or remove these rows"
        )
    counts = text.value_counts()
    if len(counts) < 2:
        raise DataError(f"target {task.target!r} has one class only ({counts.index[0]!r}): expected at least two")
    _refuse_quantity(task.target, counts)
    if len(counts) > MOST_CLASSES:
        raise DataError(
            f"target {task.target!r} has {len(counts)} different values, an identifier or text: "
            f"expected at most {MOST_CLASSES} classes"
        )
    numbers = pd.to_numeric(pd.Series(counts.index), errors="coerce")
    classes = (
        [str(counts.index[i]) for i in numbers.argsort()] if numbers.notna().all() else sorted(map(str, counts.index))
    )
    if task.positive is not None and task.positive not in classes:
        raise DataError(
            f"positive class {task.positive!r} is not in target {task.target!r}: its classes are {', '.join(classes)}"
        )
    if task.positive is not None and len(classes) > 2:
        raise DataError(
            f"target {task.target!r} has {len(classes)} classes: a positive class is named only where there are two"
        )
    if len(classes) == 2:
        # Of two equally rare classes the later one is the positive one, as 1 is of 0 and 1.
        positive = task.positive or min(reversed(classes), key=lambda name: int(counts[name]))
        classes.sort(key=lambda name: name == positive)
    if task.costs is not None and [len(row) for row in task.costs] != [len(classes)] * len(classes):
        raise DataError(f"task {task.name!r}: its cost matrix must be {len(classes)} × {len(classes)}, one row a class")
    return pd.Categorical(text, categories=classes).codes.astype(np.int64), tuple(classes)


def _refuse_quantity(target: str, counts: pd.Series) -> None:
    """Raise `DataError` where a target is a number to be estimated: many different ones, or some that occur once."""
    import pandas as pd

    if len(counts) <= FEW_NUMBERS:
        return
    many = len(counts) > min(MOST_CLASSES, counts.sum() / 2) or counts.min() == 1
    if many and pd.to_numeric(pd.Series(counts.index).str.replace(",", "."), errors="coerce").notna().all():
        raise DataError(
            f"target {target!r} has {len(counts)} different numbers: this looks like regression, evenhand compares "
            "classifiers (classes can be made of ranges of it)"
        )
