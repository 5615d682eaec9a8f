"""The user's own rows in a call of the Python interface: arguments that describe them, frames that are stored for workers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.arguments import PATH
from harness.errors import EvenhandError

if TYPE_CHECKING:
    import pandas as pd

    from harness.api.request import RunOptions

#: Arguments that describe the user's own rows, by the names of the fields of `UserData`.
DATA_ARGUMENTS = (
    "target", "text", "group", "time", "split", "weights", "ids", "title", "positive", "drop", "drop_missing_target",
)  # fmt: skip


def collect_data_arguments(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Collect the arguments of a call that describe the user's own rows, as fields of `UserData`.

    Parameters
    ----------
    arguments : mapping
        All arguments of the call.

    Returns
    -------
    dict
        The fields.

    Raises
    ------
    EvenhandError
        For types or costs that cannot be read.
    """
    from harness.data.costs import check_costs

    costs = check_costs(arguments["costs"])
    columns = {name: arguments[name] for name in DATA_ARGUMENTS}
    columns |= {"costs": costs.matrix, "costs_by_class": costs.by_class}
    return columns | {"types": check_column_types(arguments["types"])}


def check_column_types(types: Mapping[str, str] | None) -> dict[str, str]:
    """Types of columns, each of them valid."""
    from harness.data.column_types import parse_column_type

    if types is not None and not isinstance(types, Mapping):
        raise EvenhandError(f"types: a mapping of columns to types is expected, but got {types!r}")
    declared_types = {str(column): str(column_type) for column, column_type in (types or {}).items()}
    for column, column_type in declared_types.items():
        parse_column_type(column_type, column)
    return declared_types


def add_user_data(options: RunOptions, data: Any, test: Any, name: str, out: str | Path | None) -> RunOptions:
    """Options with the user's data as a file; a data frame is stored in the folder of the run.

    Parameters
    ----------
    options : RunOptions
        The options without data.
    data : DataFrame, str, Path or None
        Rows, or a file or folder.
    test : DataFrame, str, Path or None
        Rows of the same kind that are tested.
    name : str
        Name of the task; empty for the name of the file.
    out : str, Path or None
        Folder of the run.

    Raises
    ------
    EvenhandError
        If the data are of another type, or test rows of another kind than the others.
    """
    from harness.api.data_frames import is_data_frame, store_data_frame
    from harness.api.source_data import names_address
    from harness.store.store import FRAME_FOLDER

    if data is None:
        if test is not None:
            raise EvenhandError("test goes with your own data: evenhand.benchmark(data, target=..., test=...)")
        return options
    if isinstance(data, (str, Path)):
        columns = options.columns | ({"name": _make_task_name(name)} if name else {})
        if test is not None:
            columns["test_path"] = str(_check_test_path(test))
        file = data if names_address(data) else PATH.check("data", data)
        return replace(options, file=file, columns=columns)
    if not is_data_frame(data):
        data_type = type(data).__name__
        raise EvenhandError(f"data must be a data frame of pandas or polars, or a path, but got a {data_type}")
    frame, options = convert_frame(options, data, test)
    task_name = _make_task_name(name)
    folder = Path(out) if out is not None else Path("results") / task_name
    path = store_data_frame(frame, folder / FRAME_FOLDER, task_name)
    return replace(options, file=path, columns=options.columns | {"name": task_name})


def convert_frame(options: RunOptions, data: Any, test: Any = None) -> tuple[pd.DataFrame, RunOptions]:
    """Convert a data frame, and its test rows where there are any, to one frame of pandas.

    Returns
    -------
    DataFrame
        The rows; with test rows, a column says which is which.
    RunOptions
        The options, with this column as the split.
    """
    from harness.api.data_frames import convert_to_pandas, is_data_frame, refuse_object_cells
    from harness.api.request import check_column_options
    from harness.data.user_data import FILE_SPLIT, join_test_rows

    frame = convert_to_pandas(data)
    check_column_options(options, "the data frame", list(frame.columns))
    frame = refuse_object_cells(frame, options.columns["drop"])
    if test is None:
        return frame, options
    if not is_data_frame(test):
        raise EvenhandError(
            f"test must be a data frame of pandas or polars, as the data are, but got a {type(test).__name__}"
        )
    for name in ("split", "time"):
        if options.columns.get(name):
            raise EvenhandError(f"test and {name} exclude each other: the rows are split in one way")
    test_frame = refuse_object_cells(convert_to_pandas(test), options.columns["drop"])
    joined_frame = join_test_rows(frame, test_frame, "test")
    return joined_frame, replace(options, columns=options.columns | {"split": FILE_SPLIT})


def _check_test_path(test_path: Any) -> Path:
    if not isinstance(test_path, (str, Path)):
        raise EvenhandError(f"test must be a path, as the data are, but got a {type(test_path).__name__}")
    path: Path = PATH.check("test", test_path)
    return path


def _make_task_name(name: str) -> str:
    """A name that is also one of a file: lower-case letters, digits and underscores."""
    return re.sub(r"[^a-z0-9]+", "_", str(name).lower()).strip("_") or "data"
