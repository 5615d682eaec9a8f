"""The curves of a fit, and who watches them: which epoch is kept, when to stop, what was odd.

Every network of this room trains under a `Watch`, whatever computes its steps, so that all stop by one rule and leave
the same curves.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
from scipy.special import log_softmax

from harness.errors import EvenhandError
from harness.networks.losses import Floats, Labels, Loss
from harness.networks.rows import Rows

Kept = TypeVar("Kept")

#: A gradient this much longer than that of the very first batch is said to explode.
EXPLODED = 1e4


class Step(NamedTuple):
    """What an epoch was made with: the learning rate at its end, and the norms of its batches' gradients (b,)."""

    learning_rate: float
    gradient_norms: npt.NDArray[np.floating]  #: in the order of the batches


class Epoch(NamedTuple):
    """One epoch as a `Watch` looks at it: how it was made, and the logits of the rows learned from and of those watched."""

    step: Step
    train_logits: Floats
    watched_logits: Floats | None


@dataclass(frozen=True)
class History:
    """The curves of one fit, one figure per epoch; `epoch` is the one whose weights were kept, counted from 1.

    The training figures are those of an epoch's batches, dropout on, as in Keras; the curves of validation are empty where
    nothing was watched. `validation_bounded`, the loss that no odd row can dominate, decides when to stop. Losses are
    weighted as in training; accuracies and average precisions (macro over the classes) count every row once.
    `remarks` say what was odd about the training without having ended it.
    """

    train_loss: tuple[float, ...] = ()
    validation_loss: tuple[float, ...] = ()
    validation_bounded: tuple[float, ...] = ()
    train_accuracy: tuple[float, ...] = ()
    validation_accuracy: tuple[float, ...] = ()
    train_average_precision: tuple[float, ...] = ()
    validation_average_precision: tuple[float, ...] = ()
    learning_rate: tuple[float, ...] = ()
    gradient_norm: tuple[float, ...] = ()  #: the longest of the epoch, before clipping
    seconds: tuple[float, ...] = ()
    epoch: int = 0
    remarks: tuple[str, ...] = ()


#: The curves that an epoch adds to.
CURVES = tuple(one.name for one in fields(History) if one.name not in {"epoch", "remarks"})


@dataclass
class EarlyStopping:
    """Looks at every epoch of one fit: records its curves, says whether it is the best so far and when to stop.

    `rows` are learned from, `watched` decide; of both only labels and weights are used. Without watched rows every epoch
    counts as the best so far and nothing stops early.

    A bounded loss decides: no row counts as if its class had less than a tenth of the probability that the class shares
    give it, so that one odd row among the few of a rare class cannot end the training while all others still improve.
    """

    loss: Loss
    rows: Rows
    validation: Rows | None
    patience: int
    best: int = 0
    _curves: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in CURVES})
    _began: float = field(default_factory=time.perf_counter)
    _usual: float = 0.0

    @cached_property
    def shares(self) -> npt.NDArray[np.float64]:
        """The class shares (classes,) of the weighted training rows."""
        weights = np.bincount(self.rows.y, weights=self.rows.weight, minlength=self.loss.classes)
        return np.asarray(weights / self.rows.weight.sum(dtype=np.float64))

    @property
    def prior_logits(self) -> Floats:
        """The logits (outputs,) from which an untrained network should begin: those of the class shares."""
        return self.loss.prior_logits(np.maximum(self.shares, 1 / (len(self.rows.y) + 1)))

    @property
    def over(self) -> bool:
        """Whether nothing has improved for so long that training should end."""
        return self.validation is not None and len(self._curves["train_loss"]) - self.best >= self.patience

    def keep_best(self, epochs: Iterator[Epoch], weights: Callable[[], Kept]) -> Kept:
        """Let epochs be made, one after another, until none is left or training is over; the `weights` after the best one.

        Raises `EvenhandError` where the training diverges.
        """
        kept = weights()
        for epoch in epochs:
            if self.look(*epoch):
                kept = weights()
            if self.over:
                break
        return kept

    def look(self, step: Step, train_logits: Floats, watched_logits: Floats | None = None) -> bool:
        """Record an epoch; returns whether it is the best so far, so that its weights should be kept.

        `train_logits` (n, outputs) are in the order of `rows`, `watched_logits` in that of `watched`. Raises
        `EvenhandError` where a loss is no longer finite or gradients explode.
        """
        curves, now = self._curves, time.perf_counter()
        self._add("train", train_logits, self.rows)
        if self.validation is not None and watched_logits is not None:
            self._add("validation", watched_logits, self.validation)
            least = (self.shares / 10).clip(1e-6).astype(np.float32)
            curves["validation_bounded"].append(mean_loss(self.loss, watched_logits, self.validation, least))
        curves["learning_rate"].append(step.learning_rate)
        curves["gradient_norm"].append(float(np.max(step.gradient_norms)))
        curves["seconds"].append(now - self._began)
        self._began = now
        epoch = len(curves["train_loss"])
        self._refuse_divergence(step, epoch)
        bounded = curves["validation_bounded"]
        if not bounded or self.best == 0 or bounded[-1] < bounded[self.best - 1]:
            self.best = epoch
            return True
        return False

    def history(self, batch_size: int) -> History:
        """The curves so far; batches of `batch_size` rows were drawn, which remarks may speak of."""
        return History(
            **{name: tuple(values) for name, values in self._curves.items()},
            epoch=self.best,
            remarks=tuple(self._remarks(batch_size)),
        )

    def _add(self, part: str, logits: Floats, rows: Rows) -> None:
        self._curves[f"{part}_loss"].append(mean_loss(self.loss, logits, rows))
        self._curves[f"{part}_accuracy"].append(float((decided(logits) == rows.y).mean()))
        self._curves[f"{part}_average_precision"].append(average_precision(logits, rows.y))

    def _refuse_divergence(self, step: Step, epoch: int) -> None:
        curves = self._curves
        losses = [curves["train_loss"][-1], *curves["validation_loss"][-1:]]
        if (
            epoch == 1
        ):  # taken before a step was made, that one cannot have exploded; near nothing where all begins at the prior
            self._usual = max(float(step.gradient_norms[0]), 1.0)
        if not np.isfinite(losses).all():
            what = f"the loss is {next(x for x in losses if not np.isfinite(x))}"
        elif not np.isfinite(step.gradient_norms).all():
            what = "a gradient is no longer finite"
        elif curves["gradient_norm"][-1] > EXPLODED * self._usual:
            what = f"gradients explode (norm {curves['gradient_norm'][-1]:.3g}, at first {self._usual:.3g})"
        else:
            return
        raise EvenhandError(
            f"training diverged: {what} after epoch {epoch} at learning rate {step.learning_rate:.3g}; "
            "lower the learning rate, or look for extreme values in the features"
        )

    def _remarks(self, batch_size: int) -> list[str]:
        count = np.bincount(self.rows.y, minlength=self.loss.classes)
        rarest, rows = int(count[count > 0].min()), len(self.rows.y)
        absent = without(rarest, rows, min(batch_size, rows))
        if absent < 0.05:
            return []
        return [f"about {absent:.0%} of the batches of {batch_size} rows have none of the rarest class ({rarest} rows)"]


def without(rarest: int, rows: int, batch: int) -> float:
    """The probability that a batch drawn from `rows` rows has none of the `rarest` rows of a class."""
    if batch + rarest > rows:
        return 0.0
    return float(np.exp(np.log1p(-rarest / (rows - np.arange(batch))).sum()))


def mean_loss(loss: Loss, logits: Floats, rows: Rows, least: Floats | None = None) -> float:
    """The weighted mean loss of some rows, bounded by the `least` probabilities (classes,) where they are given."""
    values = loss.values(logits, rows.y, least)
    return float((values * rows.weight).mean(dtype=np.float64))


def decided(logits: Floats) -> Labels:
    """The most probable class of every row, shape (n,)."""
    if logits.shape[1] == 1:
        return (logits[:, 0] > 0).astype(np.int64)
    return np.asarray(logits.argmax(axis=1), dtype=np.int64)


def average_precision(logits: Floats, y: Labels) -> float:
    """The area under the precision-recall curve, as scikit-learn's `average_precision_score`; several classes: macro.

    Written out because it is computed for every epoch, where a general function would cost more than a step.
    Classes without a row are left out.
    """
    ranked = {1: logits[:, 0]} if logits.shape[1] == 1 else dict(enumerate(log_softmax(logits, axis=1).T))
    found = [_area(scores, y == label) for label, scores in ranked.items() if (y == label).any()]
    return float(np.mean(found)) if found else float("nan")


def _area(scores: Floats, truth: npt.NDArray[np.bool_]) -> float:
    """The mean over the rows of the class of the precision that a threshold at their own score would have."""
    hits, every = np.sort(scores[truth]), np.sort(scores)
    found, named = (len(of) - np.searchsorted(of, hits) for of in (hits, every))  # rows that score as high or higher
    return float((found / named).mean())
