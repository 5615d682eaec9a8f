"""Rows of one's own files, for the `load` of a declaration of a task."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.arguments import COLUMNS, FLAG, PATH, check_arguments


@check_arguments(path=PATH, test_path=PATH, written=COLUMNS, has_header=FLAG)
def load_rows(
    path: str | Path, test_path: str | Path | None = None, *, written: tuple[str, ...] = (), has_header: bool = True
) -> Any:
    """Read the rows of a file, and of a test file of the same columns behind them; or a folder of images.

    Parameters
    ----------
    path : str or Path
        A CSV, Parquet, Excel or JSON lines file, or a folder with a folder of images per class.
    test_path : str or Path, optional
        A file whose rows are tested; its columns may be in another order.
    written : tuple of str
        Columns that are read as they are written, such as the target: 7.0 is not rewritten as 7.
    has_header : bool, default True
        Whether the first line of a CSV, or the first row of a sheet, has the names of the columns.

    Returns
    -------
    DataFrame or LabeledImages
        The raw rows; with a test file, the column ``train or test`` says from which file each is.

    Raises
    ------
    DataError
        If a file cannot be read, or the test file lacks a column.
    """
    from harness.data import user_data

    return user_data.load_rows(
        Path(path), None if test_path is None else Path(test_path), written=written, has_header=has_header
    )
