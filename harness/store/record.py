"""What is stored of cells and runs, as plain values that can be read without any live declaration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from harness.findings import Reason

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Status: TypeAlias = Literal["ok", "failed", "timeout", "memory", "inapplicable", "skipped"]
STATUSES: tuple[Status, ...] = ("ok", "failed", "timeout", "memory", "inapplicable", "skipped")
SCHEMA = 1

#: A layer of a network: name, kind, shape of one row's output, parameters.
Layer: TypeAlias = tuple[str, str, tuple[int, ...], int]


@dataclass(frozen=True)
class EntryResult:
    """One entry of a cell: its configuration, its inner score, how it was fitted.

    `threshold` is the one chosen on inner out-of-fold probabilities, None where there is none (several classes).
    `counts_before` and `counts_after` are training rows per class before and after the strategy (sums of weights for
    weighting ones). `train_scores` are metrics on the outer training rows, to see over-fitting.

    `parameters` are the trained parameters of a network, the coefficients of a linear model or the nodes of trees, None
    where they cannot be counted; `model_bytes` what the fitted encoder and classifier take when pickled, 0 where that is not
    known. `epoch` is the one whose weights a network has and `architecture` its layers: name, kind, shape of one row's
    output, parameters. `remarks` are warnings about the fit. `predict_seconds` are without the activations of a frozen network
    for images: these are computed once, and kept on disk for all cells.
    """

    stage: str
    trial: int
    params: dict[str, Any]
    inner_score: float
    threshold: float | None
    counts_before: list[float]
    counts_after: list[float]
    fit_seconds: float
    predict_seconds: float
    train_scores: dict[str, float]
    parameters: int | None = None
    model_bytes: int = 0
    remarks: tuple[Reason, ...] = ()
    epoch: int | None = None
    architecture: tuple[Layer, ...] = ()


@dataclass(frozen=True)
class Record:
    """What is stored of a cell. Only `ok` means that there are entries and predictions; otherwise `reason` says why not.

    The reason of an `ok` cell says which entry is missing because its refit failed. `code` names the kind of reason and does
    not change between versions; it is empty without a reason, and in records that were stored before there were codes.
    """

    id: str
    key: str
    task: str
    family: str
    strategy: str
    repeat: int
    fold: int
    seed: int
    status: Status
    code: str = ""
    reason: str = ""
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_mb: float = 0.0
    trials: int = 0  #: complete ones
    failed_trials: int = 0
    trial_failures: dict[Reason, int] = field(default_factory=dict)  #: reason → how many trials
    n_train: int = 0
    n_test: int = 0
    test_scored: int = 0  #: entries with which the sealed test rows were predicted; 0 where that was not counted yet
    test_diagnosed: int = 0  #: uses of the sealed test rows afterwards, for diagnoses
    outcomes: tuple[EntryResult, ...] = ()  #: the entries
    predictions_sha256: str = ""
    history_sha256: str = ""  #: of the training curves; empty where there are none
    schema: int = SCHEMA

    @property
    def name(self) -> str:
        """How the cell is named in messages."""
        return f"{self.task}/{self.family}/{self.strategy}/r{self.repeat}f{self.fold}"

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        plain_values = asdict(replace(self, trial_failures={}, outcomes=()))
        plain_values["trial_failures"] = [reason.as_dict() | {"trials": n} for reason, n in self.trial_failures.items()]
        plain_values["outcomes"] = list(map(_entry_as_dict, self.outcomes))
        return plain_values

    @classmethod
    def from_dict(cls, fields_by_name: dict[str, Any]) -> Record:
        """A record from what `as_dict` returned; unknown fields of a newer version are left out.

        Raises `TypeError` or `ValueError` where it is none.
        """
        known_fields = _known_fields(fields_by_name, RECORD_FIELDS)
        if known_fields.get("status") not in STATUSES:
            raise ValueError(f"its status is {known_fields.get('status')!r}")
        known_fields["trial_failures"] = _parse_trial_failures(fields_by_name.get("trial_failures", []))
        known_fields["outcomes"] = tuple(map(_entry_from_dict, fields_by_name.get("outcomes", ())))
        return cls(**known_fields)


RECORD_FIELDS = {field.name: str(field.type) for field in fields(Record)}
ENTRY_FIELDS = {field.name: str(field.type) for field in fields(EntryResult)}
#: The types that fields may have in JSON; types that are not listed here are checked elsewhere.
JSON_TYPES: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "int": (int,),
    "float": (int, float),
    "int | None": (int, type(None)),
    "float | None": (int, float, type(None)),
    "dict[str, Any]": (dict,),
    "dict[str, float]": (dict,),
    "list[float]": (list,),
}


def _known_fields(fields_by_name: dict[str, Any], type_by_field: Mapping[str, str]) -> dict[str, Any]:
    """The fields that this version knows; raises `TypeError` where one has another type than it should."""
    known_fields = {name: field_content for name, field_content in fields_by_name.items() if name in type_by_field}
    for name, field_content in known_fields.items():
        if not isinstance(field_content, JSON_TYPES.get(type_by_field[name], object)):
            raise TypeError(f"its {name} is {field_content!r:.40}")
    return known_fields


def _entry_from_dict(fields_by_name: dict[str, Any]) -> EntryResult:
    entry = EntryResult(**_known_fields(fields_by_name, ENTRY_FIELDS))
    architecture_layers = tuple(
        (name, layer_kind, tuple(shape), parameters) for name, layer_kind, shape, parameters in entry.architecture
    )
    stored_remarks: Any = entry.remarks
    return replace(entry, remarks=tuple(map(Reason.from_stored, stored_remarks)), architecture=architecture_layers)


def _entry_as_dict(entry: EntryResult) -> dict[str, Any]:
    return asdict(replace(entry, remarks=())) | {"remarks": [entry_remark.as_dict() for entry_remark in entry.remarks]}


def _parse_trial_failures(stored_failures: object) -> dict[Reason, int]:
    """Reasons with their counts; earlier versions stored a mapping of texts to counts."""
    reason_counts: list[tuple[Reason, object]] = []
    if isinstance(stored_failures, dict):
        for text, n in stored_failures.items():
            reason_counts.append((Reason.from_stored(text), n))
    elif isinstance(stored_failures, list):
        for stored_failure in stored_failures:
            reason_counts.append((Reason.from_stored(stored_failure), dict(stored_failure).get("trials")))
    else:
        raise TypeError(f"its trial_failures is {stored_failures!r:.40}")
    count_by_reason: dict[Reason, int] = {}
    for reason, n in reason_counts:
        if not isinstance(n, int):
            raise TypeError(f"its trial_failures has a count of {n!r:.40}")
        count_by_reason[reason] = count_by_reason.get(reason, 0) + n
    return count_by_reason


@dataclass(frozen=True)
class StoredPredictions:
    """Predictions of the entries of a cell.

    `test[stage]` (n_test, k) and `inner[stage]` (n_train, k) are float32 probabilities; `inner` holds out-of-fold
    probabilities, NaN in rows that no inner fold predicted. Rows are positions in the task's table. `test_blocks` (n_test,) is
    the same for test rows with equal features or of one group; None where every row is a block, and in older runs.
    `test_weights` (n_test,) and `train_weights` (n_train,) are those of the table; None where it has none.
    """

    test_rows: npt.NDArray[np.int64]
    test_y: npt.NDArray[np.int64]
    train_rows: npt.NDArray[np.int64]
    train_y: npt.NDArray[np.int64]
    test: dict[str, npt.NDArray[np.float32]]
    inner: dict[str, npt.NDArray[np.float32]]
    test_blocks: npt.NDArray[np.int64] | None = None
    test_weights: npt.NDArray[np.float64] | None = None
    train_weights: npt.NDArray[np.float64] | None = None


#: The fields of a description, and of each of its tasks, families, strategies and cells, with their types.
REQUIRED_RUN_FIELDS: dict[str, type] = {
    "name": str,
    "command": str,
    "protocol": dict,
    "families": dict,
    "strategies": dict,
    "tasks": dict,
    "cells": list,
}
REQUIRED_OF: dict[str, dict[str, Any]] = {
    "tasks": {
        "title": str,
        "source": str,
        "licence": str,
        "fingerprint": str,
        "classes": list,
        "counts": list,
        "rows": int,
        "columns": int | None,
        "splits": int,
        "objective": str,
    },
    "families": {"description": str, "network": bool},
    "strategies": {"kind": str, "description": str},
    "cells": {"id": str, "key": str, "task": str, "family": str, "strategy": str, "repeat": int, "fold": int},
}
#: Fields that older descriptions lack.
OPTIONAL_RUN_FIELDS: dict[str, Any] = {"versions": dict, "host": dict, "skipped": list, "thresholds": list}
OPTIONAL_OF: dict[str, dict[str, Any]] = {
    "tasks": {
        "description": str,
        "citation": str,
        "modality": str,
        "positive": str | None,
        "features": str,
        "costs": list | None,
        "forward": bool,
        "total_weight": float,
        "notes": list,
        "findings": list,
        "column_summaries": list,
        "own": dict | None,
    },
    "strategies": {"chooses": bool},
}
FINDING_FIELDS = {"code": str, "severity": str, "message": str, "column": str, "rows": int | None}
COLUMN_FIELDS = {"name": str, "kind": str, "missing": int | None, "levels": int | None}
SINGULAR_BY_SECTION = {"tasks": "task", "families": "family", "strategies": "strategy", "cells": "cell"}


def describe_incomplete_run(description: Mapping[str, Any]) -> str:
    """What the description of a run lacks, in words; empty where it has everything that reading needs."""
    if field_problem := _find_wrong_field(description, REQUIRED_RUN_FIELDS, OPTIONAL_RUN_FIELDS):
        return f"it {field_problem}"
    for section, required_fields in REQUIRED_OF.items():
        members = description[section]
        named_members = enumerate(members) if isinstance(members, list) else members.items()
        for name, member in named_members:
            if field_problem := _find_wrong_field(member, required_fields, OPTIONAL_OF.get(section, {})):
                return f"{SINGULAR_BY_SECTION[section]} {name!r} {field_problem}"
    return _find_wrong_task_description(description["tasks"]) or _find_wrong_cell_description(description)


def _find_wrong_field(
    fields_by_name: object, required_fields: Mapping[str, Any], optional_fields: Mapping[str, Any]
) -> str:
    if not isinstance(fields_by_name, dict):
        return f"is {fields_by_name!r:.40}"
    if missing_fields := [name for name in required_fields if name not in fields_by_name]:
        return f"lacks {', '.join(missing_fields)}"
    for name, expected_type in ({**required_fields, **optional_fields}).items():
        if name in fields_by_name and not isinstance(fields_by_name[name], expected_type):
            return f"says {name} is {fields_by_name[name]!r:.40}"
    return ""


def _find_wrong_task_description(tasks: Mapping[str, Mapping[str, Any]]) -> str:
    for name, task in tasks.items():
        if len(task["classes"]) != len(task["counts"]):
            return f"task {name!r} has {len(task['classes'])} classes and {len(task['counts'])} counts"
        if task["columns"] is None and "features" not in task:
            return f"task {name!r} lacks columns and features"
        for finding in task.get("findings", ()):
            if field_problem := _find_wrong_field(finding, FINDING_FIELDS, {}):
                return f"a finding of task {name!r} {field_problem}"
        for summary in task.get("column_summaries", ()):
            if field_problem := _find_wrong_field(summary, COLUMN_FIELDS, {}):
                return f"a column of task {name!r} {field_problem}"
    return ""


def _find_wrong_cell_description(description: Mapping[str, Any]) -> str:
    for section in ("tasks", "families", "strategies"):
        names = {cell[SINGULAR_BY_SECTION[section]] for cell in description["cells"]}
        if unknown_names := sorted(names - description[section].keys()):
            return f"its cells are of {section} that it does not describe: {', '.join(unknown_names)}"
    return ""
