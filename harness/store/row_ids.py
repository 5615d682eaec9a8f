"""What names the rows of a task, stored once per run: a CSV with a line per row of the table."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import StoreError
from harness.store.files import write_atomic
from harness.store.store import Store

if TYPE_CHECKING:
    import pandas as pd

ID_FOLDER = "ids"  #: folder of a run with the names of rows


def write_row_ids(store: Store, task: str, ids: pd.DataFrame) -> None:
    """Store the columns that name the rows of a task, in the order of its table."""
    write_atomic(_id_file(store, task), ids.to_csv(index=False, lineterminator="\n").encode())


def read_row_ids(store: Store, task: str) -> pd.DataFrame | None:
    """Read the columns that name the rows of a task, as texts.

    Parameters
    ----------
    store : Store
        The run.
    task : str
        The task.

    Returns
    -------
    DataFrame or None
        A line per row of the table; None where the task names no such column.

    Raises
    ------
    StoreError
        If the file cannot be read.
    """
    import pandas as pd

    path = _id_file(store, task)
    if not path.exists():
        return None
    try:
        csv_content = io.BytesIO(path.read_bytes())
        return pd.read_csv(csv_content, dtype="str", keep_default_na=False, skip_blank_lines=False)
    except (OSError, ValueError) as error:
        raise StoreError(f"cannot read {path}: {error}: run again, which writes it") from error


def _id_file(store: Store, task: str) -> Path:
    return store.folder / ID_FOLDER / f"{task}.csv"
