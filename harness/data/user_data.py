"""A user's own data as a task: a table, texts in a table, or a folder of images."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from harness.data.images import load_folder
from harness.data.table_files import read_table
from harness.registry.task import Modality, Raw, Task

#: The name of the target of a folder of images: the folders are the classes.
FOLDER = "folder"


@dataclass(frozen=True)
class UserData:
    """A user's own data as the command line describes them; all fields survive a conversion to JSON.

    Attributes
    ----------
    path : str
        A CSV or Parquet file, or a folder with a folder of images per class.
    target : str
        The column to predict.
    positive : str, optional
        The positive class; the rarer one by default.
    drop : tuple of str
        Columns that are left out.
    group, time : str, optional
        Columns by which rows are split.
    text : str, optional
        The column of texts that is read instead of a table's features.
    name : str, optional
        The name of the task; derived from the file by default.
    """

    path: str
    target: str
    positive: str | None = None
    drop: tuple[str, ...] = ()
    group: str | None = None
    time: str | None = None
    text: str | None = None
    name: str = ""

    def task(self) -> Task:
        """Make the task of these data; nothing is read yet."""
        path = Path(self.path).absolute()
        stem, load, modality = path.stem, functools.partial(_load_rows, path, self.text), "tabular"
        if path.is_dir():
            stem, load, modality = path.name, functools.partial(_load_images, path), "image"
        elif self.text:
            modality = "text"
        safe_name = re.sub(r"[^a-z0-9]+", "_", stem.lower()).strip("_") or "table"
        return Task(
            name=self.name or safe_name,
            load=load,
            target=self.target,
            positive=self.positive,
            title=path.name,
            description="Data of one's own.",
            source=path.name,
            modality=cast("Modality", modality),
            text=self.text,
            banned=dict.fromkeys(self.drop, "as asked"),
            group=self.group,
            time=self.time,
        )


def _load_rows(path: Path, text: str | None, _data_dir: Path | None) -> Raw:
    return read_table(path, text=text)


def _load_images(path: Path, _data_dir: Path | None) -> Raw:
    return load_folder(path)
