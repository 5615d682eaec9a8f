"""From raw rows to a `Table`: types, target, classes, and what no model may see taken out."""

from __future__ import annotations

import functools
import hashlib
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from harness.data.columns import UNCLEAR, texts, typed, useless
from harness.data.dates import days, days_in_text, order_of, written_as_date
from harness.data.sources import data_directory, read_table
from harness.declare.registry import closest
from harness.declare.task import Table, Task
from harness.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

MOST_CLASSES = 100
FEW_NUMBERS = 20  #: no more different numbers than this are classes, whatever they look like
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


def file_task(
    path: Path,
    target: str,
    positive: str | None = None,
    drop: Iterable[str] = (),
    group: str | None = None,
    time: str | None = None,
) -> Task:
    """A task for one's own CSV or Parquet file; nothing is read yet. Its name is the file's, made safe."""
    return Task(
        name=re.sub(r"[^a-z0-9]+", "_", path.stem.lower()).strip("_") or "table",
        load=functools.partial(_read_own, path.absolute()),
        target=target,
        positive=positive,
        title=path.name,
        description="A file of one's own.",
        source=path.name,
        banned=dict.fromkeys(drop, "as asked"),
        group=group,
        time=time,
    )


def make_table(task: Task, frame: pd.DataFrame) -> Table:
    """Understand raw rows as a task declares them.

    Types are inferred without labels; banned, constant and identifying columns are left out, with a note. Raises
    `DataError` where a column is missing or infinite, the target has gaps or one class, or no feature is left.
    """
    import pandas as pd

    frame = frame.reset_index(drop=True).set_axis([str(name) for name in frame.columns], axis=1)
    _check_columns(task, frame)
    y, classes = _target(task, frame[task.target])
    taken = {task.target, task.group, task.time, task.split, *task.banned}
    notes = [f"{name}: left out, {reason}" for name, reason in task.banned.items()]
    columns, dates = {}, []
    for name in (name for name in frame.columns if name not in taken):
        column = typed(frame[name], task.types.get(name))
        reason = useless(column)
        if reason is not None and (reason == "constant" or name not in task.types):
            notes.append(f"{name}: {WHY_LEFT_OUT[reason]}")
            continue
        columns[name] = column.values
        dates += [name] if column.kind == "date" else []
        notes += [f"{name}: {column.note}"] if column.note else []
    if not columns:
        raise DataError(
            f"task {task.name!r} has no feature left: {'; '.join(notes) or 'the target is its only column'}"
        )
    return Table(
        X=pd.DataFrame(columns),
        y=y,
        classes=classes,
        groups=_groups(frame[task.group]) if task.group else None,
        time=_time(frame[task.time]) if task.time else None,
        test=_test(frame[task.split]) if task.split else None,
        notes=tuple(notes),
        dates=tuple(dates),
    )


def fingerprint(table: Table) -> str:
    """SHA-256 of everything that a result may depend on: rows, target, classes, groups, time, test rows."""
    import numpy as np

    digest = hashlib.sha256(json.dumps([list(table.X.columns), table.classes, table.X.shape]).encode())
    for _, column in table.X.items():
        if column.dtype == "category":
            digest.update(json.dumps(list(column.cat.categories)).encode())
            digest.update(column.cat.codes.to_numpy("<i4").tobytes())
        else:
            values = column.to_numpy("<f8") + 0.0  # -0.0 becomes 0.0
            digest.update(np.where(np.isnan(values), np.nan, values).tobytes())  # one NaN of the many there are
    for rows in (table.y, table.groups, table.time, table.test):
        digest.update(b"none" if rows is None else rows.astype("<i8").tobytes())
    return digest.hexdigest()


def row_keys(X: pd.DataFrame) -> pd.Series:
    """One number per row, equal where all features are equal (a 64-bit hash; -0 equals 0, missing equals missing)."""
    import pandas as pd

    same = {name: column if column.dtype == "category" else column + 0.0 for name, column in X.items()}
    return pd.util.hash_pandas_object(pd.DataFrame(same), index=False)


def _read_own(path: Path, _data_dir: Path | None) -> pd.DataFrame:
    return read_table(path)


def _check_columns(task: Task, frame: pd.DataFrame) -> None:
    if frame.empty:
        raise DataError(f"task {task.name!r} has no rows ({len(frame.columns)} columns): expected a table with rows")
    named = {"target": [task.target], "banned": task.banned, "typed": task.types}
    named |= {role: [name] for role in ("group", "time", "split") if (name := getattr(task, role)) is not None}
    known = list(frame.columns)
    if task.target in (task.group, task.time, task.split):
        raise DataError(f"column {task.target!r} cannot be the target of task {task.name!r} and have another role too")
    if len(set(known)) < len(known):
        raise DataError(f"task {task.name!r} has two columns named {next(n for n in known if known.count(n) > 1)!r}")
    for role, names in named.items():
        for name in names:
            if name not in known:
                raise DataError(f"no such column {name!r} ({role} of task {task.name!r}): {closest(name, known)}")


def _target(task: Task, column: pd.Series) -> tuple[npt.NDArray[np.int64], tuple[str, ...]]:
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
