"""A declaration of a task, written from the options with which a file was read."""

from __future__ import annotations

import keyword
import re
from pathlib import Path
from typing import Any

from harness.data.user_data import UserData
from harness.errors import EvenhandError
from harness.store.files import write_atomic

#: Fields of `UserData` that a declaration repeats under the same name, in the order of its lines.
REPEATED_FIELDS = (
    "positive", "text", "group", "time", "weights", "ids", "types", "drop_missing_target", "costs", "costs_by_class",
)  # fmt: skip


def task_name_of_file(path: Path) -> str:
    """The name of the task that a file declares: that of the file.

    Raises
    ------
    EvenhandError
        If the file is no ``.py``, or its name none of a task.
    """
    name = path.stem
    if path.suffix != ".py":
        raise EvenhandError(f"--save-task writes a Python file: name it {path.name}.py instead of {path.name}")
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or keyword.iskeyword(name):
        raise EvenhandError(
            f"--save-task {path}: the task is named as the file, with lower-case letters, digits and underscores, as in churn.py"
        )
    return name


def write_task_file(own: UserData | None, path: Path) -> None:
    """Write the declaration of a task that reads a file with the same options.

    Parameters
    ----------
    own : UserData or None
        The file and how it is read; its name is that of the task.
    path : Path
        The Python file.

    Raises
    ------
    EvenhandError
        If there is no file of one's own, or `path` exists with another content.
    """
    if own is None:
        raise EvenhandError(
            "--save-task goes with your own data: evenhand run FILE --target COLUMN --save-task NAME.py"
        )
    text = describe_task(own, path)
    if path.exists() and path.read_text(encoding="utf-8") != text:
        raise EvenhandError(f"{path} exists already and says something else: delete it, or name another file")
    try:
        write_atomic(path, text.encode())
    except OSError as error:
        raise EvenhandError(f"cannot write {path}: {error.strerror or error}") from error


def describe_task(own: UserData, path: Path) -> str:
    """The text of a declaration of a task, in Python."""
    name = task_name_of_file(path)
    task = own.task()
    folder = path.resolve().parent
    reading_arguments = [_write_path(Path(own.path), folder)]
    if own.test_path:
        reading_arguments.append(_write_path(Path(own.test_path), folder))
    options = []
    if not Path(own.path).is_dir():
        options.append(f"written={own.columns_as_written!r}")
    if not own.has_header:
        options.append("has_header=False")
    task_fields: dict[str, Any] = {"name": name, "target": task.target}
    for field_name in REPEATED_FIELDS:
        field_setting = getattr(task, field_name)
        if field_setting:
            task_fields[field_name] = field_setting
    if task.split:
        task_fields["split"] = task.split
    if task.banned:
        task_fields["banned"] = dict(task.banned)
    if task.modality != "tabular":
        task_fields["modality"] = task.modality
    task_fields |= {
        "title": task.title,
        "description": "Data of one's own.",
        "source": task.source,
        "licence": "not published",
    }
    lines = [
        f'"""The task {name}, as it was described when `--save-task` wrote this file.',
        "",
        f"    evenhand run --plugin {path.name} --task {name}",
        '"""',
        "",
        "from pathlib import Path",
        "",
        "import evenhand",
        "",
        "",
        "def load(data_dir):",
        '    """Read the rows; the columns in `written` are read as they are written, without taking 7.0 for 7."""',
        f"    return evenhand.load_rows({', '.join([*reading_arguments, *options])})",
        "",
        "",
        "TASK = evenhand.Task(",
        f"    name={name!r},",
        "    load=load,",
    ]
    del task_fields["name"]
    for field_name, field_setting in task_fields.items():
        lines.append(f"    {field_name}={field_setting!r},")
    return "\n".join([*lines, ")", ""])


def _write_path(path: Path, folder: Path) -> str:
    """A path as Python: relative to the declaration where it is below its folder."""
    path = path.resolve()
    if path.is_relative_to(folder):
        return f"Path(__file__).parent / {path.relative_to(folder).as_posix()!r}"
    return f"Path({str(path)!r})"
