"""The learning curves of a fit, and early stopping.

All networks train under `EarlyStopping`, whatever computes their steps, so that all stop by one rule and report the same
curves.
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
from harness.findings import Parameter, Reason
from harness.networks.losses import Floats, Labels, Loss
from harness.networks.rows import WeightedRows

Snapshot = TypeVar("Snapshot")

#: A gradient longer than this many times that of the first batch is called exploding.
MAX_NORM_RATIO = 1e4
#: A remark is made if at least this share of the batches is expected to lack the rarest class.
MIN_ABSENCE = 0.05


class StepStats(NamedTuple):
    """How the steps of an epoch were made: the learning rate of the last one, and the gradient norm of every batch."""

    learning_rate: float
    gradient_norms: npt.NDArray[np.floating]


class EpochOutput(NamedTuple):
    """One epoch as `EarlyStopping` records it: its steps, and the logits of the training and of the validation rows."""

    step: StepStats
    train_logits: Floats
    validation_logits: Floats | None


@dataclass(frozen=True)
class TrainingHistory:
    """The learning curves of one fit, one value per epoch.

    Training values are those of an epoch's batches, with dropout, as in Keras; validation curves are empty if there were no
    validation rows. Losses are weighted as in training; accuracies and average precisions (macro over the classes) count
    every row once.

    Attributes
    ----------
    train_loss, validation_loss : tuple of float
        Mean losses.
    validation_bounded : tuple of float
        Mean validation loss with the loss of each row bounded, which decides when to stop.
    train_accuracy, validation_accuracy : tuple of float
        Shares of rows whose most probable class is the true one.
    train_average_precision, validation_average_precision : tuple of float
        Areas under the precision-recall curve.
    learning_rate : tuple of float
        Learning rate of the last step.
    gradient_norm : tuple of float
        Largest norm of a batch's gradient, before clipping.
    seconds : tuple of float
        Duration.
    epoch : int
        The epoch whose weights were kept, counted from 1.
    remarks : tuple of Reason
        Problems with the training that did not end it.
    """

    train_loss: tuple[float, ...] = ()
    validation_loss: tuple[float, ...] = ()
    validation_bounded: tuple[float, ...] = ()
    train_accuracy: tuple[float, ...] = ()
    validation_accuracy: tuple[float, ...] = ()
    train_average_precision: tuple[float, ...] = ()
    validation_average_precision: tuple[float, ...] = ()
    learning_rate: tuple[float, ...] = ()
    gradient_norm: tuple[float, ...] = ()
    seconds: tuple[float, ...] = ()
    epoch: int = 0
    remarks: tuple[Reason, ...] = ()


#: Names of the curves, to which every epoch appends a value.
CURVES = tuple(curve.name for curve in fields(TrainingHistory) if curve.name not in {"epoch", "remarks"})


@dataclass
class EarlyStopping:
    """Record the curves of one fit, and decide which epoch is best and when to stop.

    Without validation rows every epoch counts as the best so far and nothing stops early.

    The criterion is a bounded loss: no row counts as if its class had less than a tenth of the probability that the class
    shares give it, so that a single outlier among the few rows of a rare class cannot end the training while all other rows
    still improve.

    Attributes
    ----------
    loss : Loss
        The training loss.
    rows : WeightedRows
        Training rows, of which only labels and weights are used here.
    validation : WeightedRows or None
        Validation rows, likewise.
    patience : int
        Number of epochs without improvement after which to stop.
    best_epoch : int
        The best epoch so far, counted from 1; 0 before the first.
    """

    loss: Loss
    rows: WeightedRows
    validation: WeightedRows | None
    patience: int
    best_epoch: int = 0
    _curves: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in CURVES})
    _epoch_start: float = field(default_factory=time.perf_counter)
    _reference_norm: float = 0.0

    @cached_property
    def class_shares(self) -> npt.NDArray[np.float64]:
        """Class shares of the weighted training rows, shape (n_classes,)."""
        weights = np.bincount(self.rows.y, weights=self.rows.weight, minlength=self.loss.classes)
        return np.asarray(weights / self.rows.weight.sum(dtype=np.float64))

    @property
    def prior_logits(self) -> Floats:
        """Logits (n_outputs,) of the class shares, from which an untrained network should start."""
        return self.loss.prior_logits(np.maximum(self.class_shares, 1 / (len(self.rows.y) + 1)))

    @property
    def should_stop(self) -> bool:
        """Whether the validation loss has not improved for `patience` epochs."""
        return self.validation is not None and len(self._curves["train_loss"]) - self.best_epoch >= self.patience

    def run_epochs_keeping_best(self, epochs: Iterator[EpochOutput], take_snapshot: Callable[[], Snapshot]) -> Snapshot:
        """Run epochs until none is left or `should_stop`, and return the weights of the best.

        Parameters
        ----------
        epochs : iterator of EpochOutput
            Trains for one epoch per item.
        take_snapshot : callable
            Returns a copy of the current weights.

        Returns
        -------
        The snapshot taken after the best epoch.

        Raises
        ------
        EvenhandError
            If the training diverges.
        """
        best_snapshot = take_snapshot()
        for epoch in epochs:
            if self.record_epoch(*epoch):
                best_snapshot = take_snapshot()
            if self.should_stop:
                break
        return best_snapshot

    def record_epoch(self, step: StepStats, train_logits: Floats, validation_logits: Floats | None = None) -> bool:
        """Record an epoch.

        Parameters
        ----------
        step : StepStats
            How the steps of the epoch were made.
        train_logits : array of shape (n_rows, n_outputs)
            Logits in the order of `rows`.
        validation_logits : array of shape (n_validation_rows, n_outputs), optional
            Logits in the order of `validation`.

        Returns
        -------
        bool
            Whether it is the best epoch so far.

        Raises
        ------
        EvenhandError
            If a loss or a gradient is not finite, or gradients explode.
        """
        curves, current_time = self._curves, time.perf_counter()
        self._append_scores("train", train_logits, self.rows)
        if self.validation is not None and validation_logits is not None:
            self._append_scores("validation", validation_logits, self.validation)
            min_probability = (self.class_shares / 10).clip(1e-6).astype(np.float32)
            bounded_loss = mean_loss(self.loss, validation_logits, self.validation, min_probability)
            curves["validation_bounded"].append(bounded_loss)
        curves["learning_rate"].append(step.learning_rate)
        curves["gradient_norm"].append(float(np.max(step.gradient_norms)))
        curves["seconds"].append(current_time - self._epoch_start)
        self._epoch_start = current_time
        epoch = len(curves["train_loss"])
        self._check_divergence(step, epoch)
        bounded_scores = curves["validation_bounded"]
        if not bounded_scores or self.best_epoch == 0 or bounded_scores[-1] < bounded_scores[self.best_epoch - 1]:
            self.best_epoch = epoch
            return True
        return False

    def history(self, batch_size: int) -> TrainingHistory:
        """Return the curves so far, with a remark if batches of `batch_size` rows often lack the rarest class."""
        counts = np.bincount(self.rows.y, minlength=self.loss.classes)
        rarest, rows = int(counts[counts > 0].min()), len(self.rows.y)
        absence = batch_lacks_class_probability(rarest, rows, min(batch_size, rows))
        training_remarks: tuple[Reason, ...] = ()
        if absence >= MIN_ABSENCE:
            message = (
                f"about {absence:.0%} of the batches of {batch_size} rows have none of the rarest class ({rarest} rows)"
            )
            parameters = (
                ("absence", round(absence, 4)),
                ("batch_size", batch_size),
                ("rows", rarest),
            )
            training_remarks = (Reason("batches_without_rarest_class", message, parameters),)
        curves = {name: tuple(curve) for name, curve in self._curves.items()}
        return TrainingHistory(**curves, epoch=self.best_epoch, remarks=training_remarks)

    def _append_scores(self, part_name: str, logits: Floats, rows: WeightedRows) -> None:
        self._curves[f"{part_name}_loss"].append(mean_loss(self.loss, logits, rows))
        predicted_labels = logits.argmax(axis=1) if logits.shape[1] > 1 else logits[:, 0] > 0
        self._curves[f"{part_name}_accuracy"].append(float((predicted_labels == rows.y).mean()))
        self._curves[f"{part_name}_average_precision"].append(average_precision(logits, rows.y))

    def _check_divergence(self, step: StepStats, epoch: int) -> None:
        curves = self._curves
        losses = np.array([curves["train_loss"][-1], *curves["validation_loss"][-1:]])
        if epoch == 1:
            # The first gradient precedes the first step, so it cannot have exploded. A network that starts at the prior may
            # have one near 0, hence the lower bound.
            self._reference_norm = max(float(step.gradient_norms[0]), 1.0)
        if not np.isfinite(losses).all():
            reason_code, problem_text = "nonfinite_loss", f"the loss is {losses[~np.isfinite(losses)][0]}"
        elif not np.isfinite(step.gradient_norms).all():
            reason_code, problem_text = "nonfinite_gradient", "a gradient is no longer finite"
        elif curves["gradient_norm"][-1] > MAX_NORM_RATIO * self._reference_norm:
            last_gradient_norm = curves["gradient_norm"][-1]
            reason_code, problem_text = (
                "exploding_gradient",
                f"gradients explode (norm {last_gradient_norm:.3g}, at first {self._reference_norm:.3g})",
            )
        else:
            return
        parameters: dict[str, Parameter] = {"epoch": epoch, "learning_rate": float(step.learning_rate)}
        raise EvenhandError(
            f"training diverged: {problem_text} after epoch {epoch} at learning rate {step.learning_rate:.3g}; "
            "lower the learning rate, or look for extreme values in the features",
            code=reason_code,
            parameters=parameters,
        )


def batch_lacks_class_probability(rarest: int, rows: int, batch_size: int) -> float:
    """Return the probability that a batch drawn from `rows` rows has none of the `rarest` rows of a class."""
    if batch_size + rarest > rows:
        return 0.0
    return float(np.exp(np.log1p(-rarest / (rows - np.arange(batch_size))).sum()))


def mean_loss(loss: Loss, logits: Floats, rows: WeightedRows, min_probability: Floats | None = None) -> float:
    """Return the weighted mean loss of rows, optionally bounded as in `Loss.row_losses`."""
    losses = loss.row_losses(logits, rows.y, min_probability)
    return float((losses * rows.weight).mean(dtype=np.float64))


def average_precision(logits: Floats, y: Labels) -> float:
    """Return the average precision, as scikit-learn's `average_precision_score`; for several classes the macro average.

    It is implemented here because it is computed in every epoch, where a general function would cost more than a step.

    Parameters
    ----------
    logits : array of shape (n_rows, n_outputs)
    y : array of shape (n_rows,)
        True classes; classes without a row are left out.

    Returns
    -------
    float
        NaN if there is no class with a row.
    """
    class_scores = {1: logits[:, 0]} if logits.shape[1] == 1 else dict(enumerate(log_softmax(logits, axis=1).T))
    precisions_by_class = []
    for label, scores in class_scores.items():
        is_positive = y == label
        if is_positive.any():
            # The mean, over the rows of the class, of the precision at a threshold equal to the row's own score.
            positive_scores, sorted_scores = np.sort(scores[is_positive]), np.sort(scores)
            true_positives = len(positive_scores) - np.searchsorted(positive_scores, positive_scores)
            predicted_positives = len(sorted_scores) - np.searchsorted(sorted_scores, positive_scores)
            precisions_by_class.append(float((true_positives / predicted_positives).mean()))
    return float(np.mean(precisions_by_class)) if precisions_by_class else float("nan")
