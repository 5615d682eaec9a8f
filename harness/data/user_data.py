"""A user's own data as a task: a table, texts in a table, or a folder of pictures."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from pathlib import Path

from harness.data.images import load_folder
from harness.data.sources import read_table
from harness.registry.task import Raw, Task

#: What the target of a folder of pictures is called: the folders are the classes.
FOLDER = "folder"


@dataclass(frozen=True)
class UserData:
    """A user's own data as the command line describes them; everything in it survives a trip through JSON.

    `path` is a CSV or Parquet file, or a folder with a folder of pictures per class; `text` names the column of a file
    that holds texts to be read instead of a table's features; `name` is what the task is called, empty: as the file.
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
        """The task that these data make, named as the file, made safe, unless it has a name; nothing is read yet."""
        path = Path(self.path).absolute()
        folder = path.is_dir()
        named = re.sub(r"[^a-z0-9]+", "_", (path.name if folder else path.stem).lower()).strip("_") or "table"
        return Task(
            name=self.name or named,
            load=functools.partial(_pictures, path) if folder else functools.partial(_rows, path, self.text),
            target=self.target,
            positive=self.positive,
            title=path.name,
            description="Data of one's own.",
            source=path.name,
            modality="image" if folder else "text" if self.text else "tabular",
            text=self.text,
            banned=dict.fromkeys(self.drop, "as asked"),
            group=self.group,
            time=self.time,
        )


def _rows(path: Path, text: str | None, _data_dir: Path | None) -> Raw:
    return read_table(path, text=text)


def _pictures(path: Path, _data_dir: Path | None) -> Raw:
    return load_folder(path)
