"""What is stored of a cell, as plain values that need no live declaration to be read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

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
    """What one entry of a cell scored: configuration, inner score, how it was fitted.

    `threshold` is the one chosen on inner out-of-fold probabilities, None where there is none (several classes).
    `counts_before` and `counts_after` are training rows per class before and after the strategy (sums of weights for
    weighting ones). `train_scores` are metrics on the outer training rows, to see over-fitting.

    `parameters` are the trained parameters of a network, the coefficients of a linear model or the nodes of trees, None
    where they cannot be counted; `model_bytes` what the fitted encoder and classifier take when pickled, 0 where that is not
    known. `epoch` is the one whose weights a network kept and `architecture` its layers: name, kind, shape of one row's
    output, parameters. `remarks` say what was odd about the fit. `predict_seconds` are without what a frozen network makes of
    pictures: that is computed once, and kept on disk for all cells.
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
    remarks: tuple[str, ...] = ()
    epoch: int | None = None
    architecture: tuple[Layer, ...] = ()


@dataclass(frozen=True)
class Record:
    """What is stored of a cell. Only `ok` means that there are outcomes and predictions; `reason` says why not.

    Of an `ok` cell it says which entry is not among its outcomes because its refit failed.
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
    reason: str = ""
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_mb: float = 0.0
    trials: int = 0  #: complete ones
    failed_trials: int = 0
    trial_failures: dict[str, int] = field(default_factory=dict)  #: reason → how many trials
    n_train: int = 0
    n_test: int = 0
    test_scored: int = 0  #: entries with which the sealed test rows were predicted; 0 where that was not counted yet
    test_diagnosed: int = 0  #: uses of the sealed test rows afterwards, for diagnoses
    outcomes: tuple[EntryResult, ...] = ()
    predictions_sha256: str = ""
    history_sha256: str = ""  #: of the training curves; empty where nothing left any
    schema: int = SCHEMA

    @property
    def name(self) -> str:
        """How the cell is named in messages."""
        return f"{self.task}/{self.family}/{self.strategy}/r{self.repeat}f{self.fold}"

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Record:
        """A record from what `as_dict` wrote; unknown fields of a newer version are left out.

        Raises `TypeError` or `ValueError` where it is not one.
        """
        known = {k: v for k, v in values.items() if k in RECORD_FIELDS and k != "outcomes"}
        _check(known, RECORD_FIELDS)
        if known.get("status") not in STATUSES:
            raise ValueError(f"its status is {known.get('status')!r}")
        return cls(**known, outcomes=tuple(_outcome(one) for one in values.get("outcomes", ())))


RECORD_FIELDS, OUTCOME_FIELDS = ({f.name: str(f.type) for f in fields(one)} for one in (Record, EntryResult))
PLAIN: dict[str, tuple[type, ...]] = {  #: what the types of fields may be in JSON; others are made of several
    "str": (str,),
    "int": (int,),
    "float": (int, float),
    "int | None": (int, type(None)),
    "float | None": (int, float, type(None)),
    "dict[str, Any]": (dict,),
    "dict[str, float]": (dict,),
    "dict[str, int]": (dict,),
    "list[float]": (list,),
}


def _check(values: dict[str, Any], types: Mapping[str, str]) -> None:
    """Raise `TypeError` where a field holds something else than it should."""
    for name, value in values.items():
        if not isinstance(value, PLAIN.get(types[name], object)):
            raise TypeError(f"its {name} is {value!r:.40}")


def _outcome(values: dict[str, Any]) -> EntryResult:
    known = {k: v for k, v in values.items() if k in OUTCOME_FIELDS}
    _check(known, OUTCOME_FIELDS)
    outcome = EntryResult(**known)
    layers = tuple((name, kind, tuple(shape), parameters) for name, kind, shape, parameters in outcome.architecture)
    return replace(outcome, remarks=tuple(outcome.remarks), architecture=layers)


@dataclass(frozen=True)
class StoredPredictions:
    """Predictions of the entries of a cell.

    `test[stage]` (n_test, k) and `inner[stage]` (n_train, k) are float32 probabilities; `inner` holds out-of-fold
    probabilities, NaN in rows that no inner fold predicted. Rows are positions in the task's table.
    """

    test_rows: npt.NDArray[np.int64]
    test_y: npt.NDArray[np.int64]
    train_rows: npt.NDArray[np.int64]
    train_y: npt.NDArray[np.int64]
    test: dict[str, npt.NDArray[np.float32]]
    inner: dict[str, npt.NDArray[np.float32]]
