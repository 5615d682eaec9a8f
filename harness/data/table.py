"""From raw rows to a `Table`: types, target, classes, and what no model may see taken out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.data.columns import UNCLEAR, days, days_in_text, order_of, texts, typed, useless, written_as_date
from harness.data.sources import data_directory
from harness.errors import DataError
from harness.registry.registry import closest
from harness.registry.task import Features, Raw, Table, Task

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd
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


WHY_LEFT_OUT = {
    "constant": "left out, one value only",
    "id_like": "left out, an identifier: a different value in every row",
    "text": "text: a different one in every row, not used",
    "unclear_date": f"left out, dates that all differ: {UNCLEAR}",
}


def load_table(task: Task, data_dir: Path | None = None) -> Table:
    """The rows of a task, typed; `data_dir` None means `EVENHAND_DATA`.

    Raises `Unavailable` where the data are not here, `DataError` where they cannot be used.
    """
    return make_table(task, task.load(data_directory(data_dir)))


def make_table(task: Task, raw: Raw) -> Table:
    """Understand raw rows as a task declares them.

    Types are inferred without labels; banned, constant and identifying columns are left out, with a note. Raises
    `DataError` where a column is missing or infinite, the target has gaps or one class, or no feature is left.
    """
    if task.modality == "image":
        return _image_table(task, raw)
    frame = raw.reset_index(drop=True).set_axis([str(name) for name in raw.columns], axis=1)
    _check_columns(task, frame)
    y, classes = encode_target(task, frame[task.target])
    read = _text_features if task.modality == "text" else _typed_features
    X, notes, dates = read(task, frame)
    return Table(
        X=X,
        y=y,
        classes=classes,
        groups=_groups(frame[task.group]) if task.group else None,
        time=_time(frame[task.time]) if task.time else None,
        test=_test(frame[task.split]) if task.split else None,
        notes=(*(f"{name}: left out, {reason}" for name, reason in task.banned.items()), *notes),
        dates=dates,
    )


def _typed_features(task: Task, frame: pd.DataFrame) -> tuple[Features, list[str], tuple[str, ...]]:
    """The columns that a model may see, typed; what was noticed; which of them are dates."""
    import pandas as pd

    columns, notes, dates = {}, [], []
    for name in _free_columns(task, frame):
        column = typed(frame[name], task.types.get(name))
        reason = useless(column)
        if reason is not None and (reason == "constant" or name not in task.types):
            notes.append(f"{name}: {WHY_LEFT_OUT[reason]}")
            continue
        columns[name] = column.values
        dates += [name] if column.kind == "date" else []
        notes += [f"{name}: {column.note}"] if column.note else []
    if not columns:
        said = [*(f"{name}: left out, {reason}" for name, reason in task.banned.items()), *notes]
        raise DataError(f"task {task.name!r} has no feature left: {'; '.join(said) or 'the target is its only column'}")
    return pd.DataFrame(columns), notes, tuple(dates)


def _text_features(task: Task, frame: pd.DataFrame) -> tuple[Features, list[str], tuple[str, ...]]:
    """The texts of the column that is read; a missing one is empty."""
    column = texts(frame[task.text], blanks=("",))  # a question mark alone is something said
    notes = [
        f"{name}: left out, a text task reads {task.text!r} alone" for name in _free_columns(task, frame, task.text)
    ]
    missing = int(column.isna().sum())
    if missing == len(column) or column.nunique() < 2:
        raise DataError(f"column {task.text!r} of task {task.name!r} has fewer than two different texts")
    if missing:
        notes.append(f"{task.text}: {missing} texts are missing and read as empty")
    return column.fillna("").to_numpy(object), notes, ()


def _image_table(task: Task, pictures: Any) -> Table:
    import pandas as pd

    y, classes = encode_target(task, pd.Series(pictures.labels, name=task.target, dtype="str"))
    return Table(X=pictures.images, y=y, classes=classes, notes=tuple(pictures.notes))


def _free_columns(task: Task, frame: pd.DataFrame, *others: str | None) -> list[str]:
    """The columns that have no role."""
    taken = {task.target, task.group, task.time, task.split, *task.banned, *others}
    return [name for name in frame.columns if name not in taken]


def _check_columns(task: Task, frame: pd.DataFrame) -> None:
    if frame.empty:
        raise DataError(f"task {task.name!r} has no rows ({len(frame.columns)} columns): expected a table with rows")
    named = {"target": [task.target], "banned": task.banned, "typed": task.types}
    named |= {role: [name] for role in ("text", "group", "time", "split") if (name := getattr(task, role)) is not None}
    known = list(frame.columns)
    if task.target in (task.text, task.group, task.time, task.split):
        raise DataError(f"column {task.target!r} cannot be the target of task {task.name!r} and have another role too")
    if len(set(known)) < len(known):
        raise DataError(f"task {task.name!r} has two columns named {next(n for n in known if known.count(n) > 1)!r}")
    for role, names in named.items():
        for name in names:
            if name not in known:
                raise DataError(f"no such column {name!r} ({role} of task {task.name!r}): {closest(name, known)}")


def _complete(column: pd.Series, role: str) -> pd.Series:
    if gaps := int(column.isna().sum()):
        raise DataError(f"{role} column {column.name!r} is missing in {gaps} of {len(column)} rows: fill them in")
    return column


def _groups(column: pd.Series) -> npt.NDArray[np.int64]:
    import pandas as pd

    return pd.factorize(_complete(texts(column), "group"))[0].astype("int64")


def _time(column: pd.Series) -> npt.NDArray[np.int64]:
    """Ranks of the points in time, equal ones sharing a rank: only their order matters."""
    import pandas as pd

    _complete(column, "time")
    moments: pd.Series | None = pd.to_numeric(column, errors="coerce")
    if pd.api.types.is_datetime64_any_dtype(column):
        moments = days(column)
    elif moments is None or moments.isna().any():
        moments = days_in_text(texts(column))
    if moments is None or moments.isna().any():
        raise DataError(_no_time(column))
    ranks: npt.NDArray[np.int64] = moments.rank(method="dense").to_numpy().astype("int64")
    return ranks


def _no_time(column: pd.Series) -> str:
    """What is wrong with a time column, by its first value that is neither number nor date."""
    import pandas as pd

    text = texts(column)
    if order_of(text) == "unclear":
        return f"time column {column.name!r} holds dates like {text.iloc[0]!r}: {UNCLEAR} or 31.01.2024"
    bad = text[pd.to_numeric(text, errors="coerce").isna() & ~written_as_date(text)]
    first = str((text if bad.empty else bad).iloc[0])
    return f"time column {column.name!r} holds {first!r}: expected numbers, or dates all like 2024-01-31 or 31.01.2024"


def _test(column: pd.Series) -> npt.NDArray[np.bool_]:
    said = _complete(texts(column), "split").str.lower()
    found = sorted(said.unique())
    if found != ["test", "train"]:
        raise DataError(
            f"split column {column.name!r} must say train or test in every row, but says: {', '.join(found[:10])}"
        )
    return (said == "test").to_numpy(bool)
