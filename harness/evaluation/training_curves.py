"""What the training curves of networks say: when to stop, over-fitting, stability, what was odd."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.errors import StoreError
from harness.evaluation.scores import Entry, Scores
from harness.store.record import EntryResult, Record
from harness.store.store import Store

Curve = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Fit:
    """The curves of one training, one figure per epoch; `epoch` is the one that was kept, from 1.

    `loss` is the function that the losses are values of, empty where there was no choice: those of two functions have
    different scales.
    """

    split: tuple[int, int]
    curves: Mapping[str, Curve]
    loss: str = ""

    @property
    def epoch(self) -> int:
        """The epoch whose weights were kept."""
        return int(self.curves["epoch"][0])

    def kept(self, name: str) -> float:
        """A figure at the epoch that was kept; NaN where there is none."""
        curve = self.curves.get(name, np.zeros(0))
        return float(curve[self.epoch - 1]) if 0 < self.epoch <= len(curve) else math.nan


@dataclass(frozen=True)
class Trained:
    """How the networks of one entry were trained: the refits of all splits, and per split the fits of its inner folds."""

    fits: tuple[Fit, ...]
    inner: tuple[tuple[Fit, ...], ...]
    outcomes: tuple[EntryResult, ...]

    @property
    def by_loss(self) -> dict[str, tuple[Fit, ...]]:
        """The refits by loss function, that of most splits first."""
        found: dict[str, tuple[Fit, ...]] = {}
        for fit in self.fits:
            found[fit.loss] = (*found.get(fit.loss, ()), fit)
        return dict(sorted(found.items(), key=lambda one: (-splits_of(one[1]), one[0])))


def splits_of(fits: Iterable[Fit]) -> int:
    """How many splits fits are of: an ensemble has several in each."""
    return len({fit.split for fit in fits})


@dataclass(frozen=True)
class Training:
    """The networks of a run by task and entry, and the cells whose curves could not be read, with the reason."""

    entries: Mapping[tuple[str, Entry], Trained] = field(default_factory=dict)
    unreadable: tuple[tuple[str, str], ...] = ()  #: task and reason


def collect_training(store: Store, scores: Scores) -> Training:
    """Read the training curves of every cell that left some."""
    found: dict[tuple[str, Entry], list[tuple[list[Fit], tuple[Fit, ...], EntryResult]]] = {}
    unreadable = []
    for record in (cell.record for cell in scores.cells if cell.record):
        try:
            fits = _fits(record, store.curves(record))
        except StoreError as error:
            unreadable.append((record.task, str(error)))
            continue
        for outcome in record.outcomes:
            if refits := _of_loss(_refits(record, outcome, fits), outcome):
                entry = Entry(record.family, record.strategy, outcome.stage)
                part = (refits, tuple(_of_loss(fits.get(f"trial_{outcome.trial}", []), outcome)), outcome)
                found.setdefault((record.task, entry), []).append(part)
    return Training({key: _joined(parts) for key, parts in found.items()}, tuple(unreadable))


def _fits(record: Record, curves: Mapping[str, Curve]) -> dict[str, list[Fit]]:
    """Fits by trial or refit: one per inner fold or one on all training rows, of an ensemble one per member."""
    grouped: dict[str, dict[str, Curve]] = {}
    for name, curve in curves.items():
        place, _, what = name.rpartition("/")
        grouped.setdefault(place, {})[what] = curve
    found: dict[str, list[Fit]] = {}
    for place, one in grouped.items():
        if "epoch" in one:
            found.setdefault(place.partition("/")[0], []).append(Fit((record.repeat, record.fold), one))
    return found


def _refits(record: Record, outcome: EntryResult, fits: Mapping[str, list[Fit]]) -> list[Fit]:
    """The refits of an outcome; one whose trial is that of another was not fitted twice."""
    same = [outcome.stage, *(other.stage for other in record.outcomes if other.trial == outcome.trial)]
    return next((fits[name] for stage in same if (name := f"final_{stage}") in fits), [])


def _of_loss(fits: Iterable[Fit], outcome: EntryResult) -> list[Fit]:
    """Fits with the loss function that their configuration chose."""
    return [replace(fit, loss=loss_name(outcome.params)) for fit in fits]


def loss_name(params: Mapping[str, Any]) -> str:
    """The loss function of a configuration: `cross-entropy`, `focal, γ 2.13`; empty where it had no choice."""
    name, gamma = str(params.get("loss") or "").replace("_", "-"), params.get("gamma")
    return f"{name}, γ {gamma:.3g}" if name and isinstance(gamma, int | float) else name


def _joined(parts: Iterable[tuple[list[Fit], tuple[Fit, ...], EntryResult]]) -> Trained:
    refits, inner, outcomes = zip(*parts, strict=True)
    return Trained(tuple(fit for some in refits for fit in some), tuple(inner), tuple(outcomes))
