"""What the training curves of networks say: when to stop, over-fitting, stability, what was odd."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.errors import StoreError
from harness.evaluation.ranking import Ranking
from harness.evaluation.scores import Entry, Scores
from harness.report.render.markdown import NONE, brief, count, escape, folded_table, listed, number
from harness.store.record import EntryResult, Record
from harness.store.store import Store

Curve = npt.NDArray[np.float64]
LOSS_HEADER = ("Entry", "Loss function", "Splits", "Training", "Validation", "Gap", "SD", "SD, inner folds")
LOSS_TEXT = (
    "Losses, apart where splits chose different functions: cross-entropy and focal losses, and focal ones of different γ, have "
    "different scales, so that no mean over them, and no comparison between them, would say anything."
)


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


def training_section(scores: Scores, ranking: Ranking, training: Training) -> list[str]:
    """How each network of a task was trained, its losses, what was odd, which trials failed; nothing without networks."""
    task = ranking.task
    lines = [
        (place.name, training.entries[task, place.entry])
        for place in ranking.entries
        if (task, place.entry) in training.entries
    ]
    label = scores.metrics["average_precision"].label
    header = ["Entry", "Epochs", f"{label} validation", f"{label} gap", f"SD {label}", "s/epoch", "Remarks"]
    parts = [folded_table(header, [_line(*line) for line in lines])] if lines else []
    parts += [LOSS_TEXT, folded_table(LOSS_HEADER, [row for line in lines for row in _losses(*line)])] if lines else []
    lost = [reason for where, reason in training.unreadable if where == task]
    parts += [f"No curves of {count(len(lost), 'cell')}: {escape(lost[0])}."] if lost else []
    return [*parts, *_listed("Remarks", _remarks(lines)), *_listed("Trials that failed", _failures(scores, task))]


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


def _line(name: str, trained: Trained) -> list[str]:
    fits = trained.fits
    epochs = [fit.epoch for fit in fits]
    spread = f" ({min(epochs)}–{max(epochs)})" if min(epochs) < max(epochs) else ""
    seen, found = (_mean(fits, f"{part}_average_precision") for part in ("train", "validation"))
    seconds = [float(fit.curves["seconds"].mean()) for fit in fits if "seconds" in fit.curves]
    remarks = sum(len(outcome.remarks) for outcome in trained.outcomes)
    figures = [found, seen - found, _deviation(fits, "validation_average_precision")]
    pace = brief(float(np.mean(seconds))) if seconds else NONE
    median = f"{np.median(epochs):g}{spread}"
    return [escape(name), median, *map(number, figures), pace, str(remarks) if remarks else NONE]


def _losses(name: str, trained: Trained) -> list[list[str]]:
    """A row per loss function: figures of different ones are never averaged."""
    rows = []
    for loss, fits in trained.by_loss.items():
        seen, found = (_mean(fits, f"{part}_loss") for part in ("train", "validation"))
        within = [_deviation(inner, "validation_loss") for inner in trained.inner if inner and inner[0].loss == loss]
        within = [one for one in within if not math.isnan(one)]
        figures = [seen, found, found - seen, _deviation(fits, "validation_loss")]
        figures.append(float(np.mean(within)) if within else math.nan)
        rows.append([escape(name), escape(loss) or NONE, str(splits_of(fits)), *map(number, figures)])
    return rows


def _mean(fits: Iterable[Fit], name: str) -> float:
    return float(np.mean([fit.kept(name) for fit in fits]))


def _deviation(fits: Iterable[Fit], name: str) -> float:
    values = [fit.kept(name) for fit in fits]
    return float(np.std(values, ddof=1)) if len(values) > 1 else math.nan


def _remarks(lines: Iterable[tuple[str, Trained]]) -> list[str]:
    """Every kind of remark with how many fits it was made on, and of which entries."""
    said = [(name, remark) for name, one in lines for outcome in one.outcomes for remark in outcome.remarks]
    return [f"{count(n, 'fit')}{where}: {escape(remark)}" for remark, n, where in _alike(said)]


def _failures(scores: Scores, task: str) -> list[str]:
    """Failed trials of networks by reason."""
    said = [
        (cell.family, reason)
        for cell in scores.cells
        if cell.record and cell.task == task and scores.run["families"].get(cell.family, {}).get("network")
        for reason, n in cell.record.trial_failures.items()
        for _ in range(n)
    ]
    return [f"{count(n, 'trial')}{where}: {escape(reason)}" for reason, n, where in _alike(said)]


def _alike(said: list[tuple[str, str]]) -> list[tuple[str, int, str]]:
    """Texts that differ in figures only as one: the first of them, how many, and whose they are (at most four names)."""
    kinds: dict[str, list[tuple[str, str]]] = {}
    for name, text in said:
        kinds.setdefault(re.sub(r"\d+([.,]\d+)*", "#", text), []).append((name, text))
    found = []
    for kind in kinds.values():
        names = [escape(name) for name in Counter(name for name, _ in kind)]
        where = listed([*names[:4], f"{len(names) - 4} more"] if len(names) > 5 else names)
        different = " for example" if len({text for _, text in kind}) > 1 else ""
        found.append((kind[0][1], len(kind), f" of {where}{different and ','}{different}"))
    return sorted(found, key=lambda one: -one[1])


def _listed(title: str, lines: list[str]) -> list[str]:
    return ["\n".join([f"{title}:", "", *(f"- {line}" for line in lines)])] if lines else []
