"""The training curves of networks, by entry and by loss function."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from harness.errors import StoreError
from harness.evaluation.scores import Entry, Scores
from harness.store.record import EntryResult, Record
from harness.store.store import Store

Curves: TypeAlias = Mapping[str, npt.NDArray[np.float64]]


@dataclass(frozen=True)
class NetworkFit:
    """The curves of one training, one value per epoch.

    `loss` is the function that the losses are values of, empty where there was no choice: those of two functions have
    different scales.
    """

    split: tuple[int, int]
    curves: Curves
    loss: str = ""

    @property
    def epoch(self) -> int:
        """The epoch whose weights were kept, from 1."""
        return int(self.curves["epoch"][0])

    def metric_at_epoch(self, name: str) -> float:
        """Get a value of a curve at the epoch whose weights were kept; NaN where there is none."""
        curve = self.curves.get(name, np.zeros(0))
        return float(curve[self.epoch - 1]) if 0 < self.epoch <= len(curve) else math.nan


@dataclass(frozen=True)
class EntryTraining:
    """How the networks of one entry were trained: the refits of all splits, and per split the fits of its inner folds."""

    fits: tuple[NetworkFit, ...]
    inner_fits: tuple[tuple[NetworkFit, ...], ...]
    outcomes: tuple[EntryResult, ...]

    @property
    def by_loss(self) -> dict[str, tuple[NetworkFit, ...]]:
        """The refits by loss function, that of most splits first."""
        grouped: dict[str, tuple[NetworkFit, ...]] = {}
        for fit in self.fits:
            grouped[fit.loss] = (*grouped.get(fit.loss, ()), fit)
        return dict(sorted(grouped.items(), key=lambda group: (-count_splits(group[1]), group[0])))


def count_splits(fits: Iterable[NetworkFit]) -> int:
    """Count the splits that fits are of: an ensemble has several in each."""
    return len({fit.split for fit in fits})


@dataclass(frozen=True)
class RunTraining:
    """The networks of a run by task and entry, and the cells whose curves could not be read, with the reason."""

    entries: Mapping[tuple[str, Entry], EntryTraining] = field(default_factory=dict)
    unreadable: tuple[tuple[str, str], ...] = ()  #: task and reason


def collect_training(store: Store, scores: Scores) -> RunTraining:
    """Read the training curves of every cell that has some.

    Parameters
    ----------
    store : Store
        The run folder.
    scores : Scores
        The scores of the run.

    Returns
    -------
    RunTraining
        Cells with unreadable curves are listed in `unreadable`.
    """
    entries: dict[tuple[str, Entry], EntryTraining] = {}
    unreadable = []
    for record in (cell.record for cell in scores.cells if cell.record):
        try:
            fits = _fits_by_name(record, store.curves(record))
        except StoreError as error:
            unreadable.append((record.task, str(error)))
            continue
        for outcome in record.outcomes:
            refits = _with_loss(_refits(record, outcome, fits), outcome)
            if refits:
                key = record.task, Entry(record.family, record.strategy, outcome.stage)
                training = entries.get(key, EntryTraining((), (), ()))
                inner_fits = _with_loss(fits.get(f"trial_{outcome.trial}", []), outcome)
                entries[key] = EntryTraining(
                    (*training.fits, *refits),
                    (*training.inner_fits, inner_fits),
                    (*training.outcomes, outcome),
                )
    return RunTraining(entries, tuple(unreadable))


def loss_name(params: Mapping[str, Any]) -> str:
    """Name the loss function of a configuration: `cross-entropy`, `focal, γ 2.13`; empty where it had no choice."""
    name, gamma = str(params.get("loss") or "").replace("_", "-"), params.get("gamma")
    return f"{name}, γ {gamma:.3g}" if name and isinstance(gamma, int | float) else name


def _fits_by_name(record: Record, curves: Curves) -> dict[str, list[NetworkFit]]:
    """Fits by trial or refit: one per inner fold or one on all training rows, of an ensemble one per member."""
    by_fit: dict[str, dict[str, npt.NDArray[np.float64]]] = {}
    for path, curve in curves.items():
        fit_path, _, name = path.rpartition("/")
        by_fit.setdefault(fit_path, {})[name] = curve
    fits: dict[str, list[NetworkFit]] = {}
    for fit_path, fit_curves in by_fit.items():
        if "epoch" in fit_curves:
            name = fit_path.partition("/")[0]
            fits.setdefault(name, []).append(NetworkFit((record.repeat, record.fold), fit_curves))
    return fits


def _refits(record: Record, outcome: EntryResult, fits: Mapping[str, list[NetworkFit]]) -> list[NetworkFit]:
    """The refits of an entry; one with the same trial as another was not fitted twice."""
    stages = [outcome.stage, *(other.stage for other in record.outcomes if other.trial == outcome.trial)]
    return next((fits[f"final_{stage}"] for stage in stages if f"final_{stage}" in fits), [])


def _with_loss(fits: Iterable[NetworkFit], outcome: EntryResult) -> tuple[NetworkFit, ...]:
    """Fits with the loss function of their configuration."""
    return tuple(replace(fit, loss=loss_name(outcome.params)) for fit in fits)
