"""The importances of columns that a run has stored: losses per outer fold for the recommended entry of every task."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from harness.store.files import json_to_bytes, write_atomic
from harness.store.store import Store

FILE_NAME = "importances.json"  #: under derived/


@dataclass(frozen=True)
class TaskImportances:
    """What the metric of a task loses without each column, fold by fold, for one entry.

    `key` says which stored predictions they belong to: those of another key are out of date. `losses` has a line per fold and a
    number per column, positive is worse; `ratio` is n_test/n_train of the folds.
    """

    task: str
    entry: str
    key: str
    metric: str
    ratio: float
    columns: tuple[str, ...]
    losses: tuple[tuple[float, ...], ...]


def write_importances(store: Store, importances: Mapping[str, TaskImportances]) -> None:
    """Store the importances of the tasks of a run, by task."""
    plain_importances = {}
    for task, task_importances in importances.items():
        plain_importances[task] = asdict(task_importances)
    write_atomic(store.folder / "derived" / FILE_NAME, json_to_bytes(plain_importances))


def read_importances(store: Store) -> dict[str, TaskImportances]:
    """Read the stored importances by task; empty where there are none, or the file is damaged."""
    importances = {}
    try:
        plain_importances = json.loads((store.folder / "derived" / FILE_NAME).read_text(encoding="utf-8"))
        for task, importance_fields in plain_importances.items():
            columns, losses = tuple(importance_fields["columns"]), tuple(map(tuple, importance_fields["losses"]))
            importances[task] = TaskImportances(**(importance_fields | {"columns": columns, "losses": losses}))
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}  # measured again by the next run
    return importances
