"""The training loop: epochs of shuffled batches, AdamW, early stopping on real rows.

One network after another: the inner folds of a trial as one network with a leading fold axis took 1.8 times as long at 64
units and 1.1 times at 128, because they leave the processor's cache, and 0.6 times at 16, where calls are dear.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from harness.errors import EvenhandError
from harness.networks.dense import Network, Shape, backward, fold, forward, infer, lay_out, new_network
from harness.networks.loss import Floats, Loss
from harness.networks.rows import Rows

BETA_1, BETA_2, ADAM_EPSILON = 0.9, 0.999, np.float32(1e-7)  # Keras's defaults


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """How a network is trained.

    `weight_decay` is the decoupled one: a step shrinks kernels by `learning_rate * weight_decay`. `epochs` bounds the
    training, `patience` (epochs without improvement) usually ends it; both are stretched on small tables, where an epoch
    is only a few steps, to at least `least_steps` and `least_patience` steps. `clip` bounds the norm of the whole gradient.
    """

    learning_rate: float = 2e-3
    batch_size: int = 256
    dropout: float = 0.2
    weight_decay: float = 1.0
    epochs: int = 40
    patience: int = 5
    least_steps: int = 400
    least_patience: int = 40
    clip: float = 1.0

    def stretched(self, rows: int) -> Schedule:
        """The same for a table of so many rows, with `epochs` and `patience` that allow for enough steps."""
        steps = -(-rows // self.batch_size)
        return replace(
            self,
            epochs=max(self.epochs, -(-self.least_steps // steps)),
            patience=max(self.patience, -(-self.least_patience // steps)),
        )


@dataclass(frozen=True)
class History:
    """The curves of one fit, one figure per epoch; `epoch` is the one whose weights were kept, counted from 1.

    The training loss is the mean over an epoch's batches, dropout on, as in Keras; the curves of validation are empty
    where nothing was watched. `validation_bounded`, the loss that no odd row can dominate, decides when to stop.
    """

    train_loss: tuple[float, ...]
    validation_loss: tuple[float, ...]
    validation_bounded: tuple[float, ...]
    epoch: int


@dataclass
class Adam:
    """Adam with decoupled weight decay (Kingma & Ba 2015; Loshchilov & Hutter 2019), on one flat vector.

    Step for step what `keras.optimizers.AdamW` with `global_clipnorm` does when only kernels decay.
    """

    schedule: Schedule
    mean: Floats
    square: Floats
    step: int = 0

    def update(self, flat: Floats, gradient: Floats, decayed: int) -> None:
        """Move `flat` against `gradient`, both (p,); the first `decayed` parameters also shrink. Spoils `gradient`."""
        rate, norm = self.schedule.learning_rate, float(np.sqrt(gradient @ gradient))
        if norm > self.schedule.clip:
            gradient *= np.float32(self.schedule.clip / norm)
        if self.schedule.weight_decay:
            flat[:decayed] *= np.float32(1 - rate * self.schedule.weight_decay)
        self.step += 1
        self.mean *= np.float32(BETA_1)
        self.mean += np.float32(1 - BETA_1) * gradient
        gradient *= gradient
        self.square *= np.float32(BETA_2)
        self.square += np.float32(1 - BETA_2) * gradient
        move = np.sqrt(self.square)
        move += ADAM_EPSILON
        np.divide(self.mean, move, out=move)
        move *= np.float32(rate * np.sqrt(1 - BETA_2**self.step) / (1 - BETA_1**self.step))
        flat -= move


def train(
    shape: Shape, loss: Loss, schedule: Schedule, rows: Rows, watched: Rows | None, seed: int
) -> tuple[Network, History]:
    """Train a network; with `watched` rows stop when their bounded loss has not improved for `patience` epochs.

    Bounded: no row counts as if its class had less than a tenth of the probability that the class shares give it, so
    that one odd row among the few of a rare class cannot end the training while all others still improve.
    The weights of the best epoch are restored. Without watched rows all `epochs` are made and the last weights kept.
    Raises `EvenhandError` where the loss is no longer finite.
    """
    rng, schedule = np.random.default_rng(seed), schedule.stretched(len(rows.y))
    shares = np.bincount(rows.y, weights=rows.weight, minlength=loss.classes) / rows.weight.sum(dtype=np.float64)
    least = (shares / 10).clip(1e-6).astype(np.float32)
    network = new_network(shape, rng, loss.prior_logits(np.maximum(shares, 1 / (len(rows.y) + 1))))
    adam = Adam(schedule, np.zeros(shape.size, np.float32), np.zeros(shape.size, np.float32))
    seen: list[float] = []
    watch: list[float] = []
    bounded: list[float] = []
    best, kept = 0, _snapshot(network)
    for epoch in range(1, schedule.epochs + 1):
        seen.append(train_epoch(network, adam, loss, rows, rng))
        if watched is not None:
            logits = infer(fold(network), watched.X)
            watch.append(mean_loss(loss, logits, watched))
            bounded.append(mean_loss(loss, logits, watched, least))
        if not np.isfinite([seen[-1], *watch]).all():
            raise EvenhandError(_diverged(epoch, seen[-1], schedule))
        if watched is None or best == 0 or bounded[-1] < bounded[best - 1]:
            best, kept = epoch, _snapshot(network)
        elif epoch - best >= schedule.patience:
            break
    _restore(network, kept)
    return network, History(tuple(seen), tuple(watch), tuple(bounded), best)


def train_epoch(network: Network, adam: Adam, loss: Loss, rows: Rows, rng: np.random.Generator) -> float:
    """One pass over all rows in a fresh order, the smaller last batch included; returns the mean training loss."""
    gradient = lay_out(network.shape, np.empty(network.shape.size, np.float32))
    logits = np.empty((len(rows.y), loss.outputs), np.float32)
    order = rng.permutation(len(rows.y))
    for start in range(0, len(order), adam.schedule.batch_size):
        batch = order[start : start + adam.schedule.batch_size]
        out, tape = forward(network, rows.X[batch], adam.schedule.dropout, rng)
        logits[batch] = out
        slopes = loss.slopes(out, rows.y[batch])
        slopes *= (rows.weight[batch] / np.float32(len(batch)))[:, None]
        backward(network, tape, slopes, gradient)
        adam.update(network.weights.flat, gradient.flat, network.shape.decayed)
    return mean_loss(loss, logits, rows)


def mean_loss(loss: Loss, logits: Floats, rows: Rows, least: Floats | None = None) -> float:
    """The weighted mean loss of some rows, bounded by the `least` probabilities (classes,) where they are given."""
    values = loss.values(logits, rows.y, least)
    return float((values * rows.weight).mean(dtype=np.float64))


def _snapshot(network: Network) -> list[Floats]:
    return [network.weights.flat.copy(), *(statistics.copy() for statistics in network.running)]


def _restore(network: Network, kept: list[Floats]) -> None:
    for place, values in zip([network.weights.flat, *network.running], kept, strict=True):
        place[:] = values


def _diverged(epoch: int, value: float, schedule: Schedule) -> str:
    return (
        f"training diverged: the loss is {value} after epoch {epoch} at learning rate {schedule.learning_rate:.3g}; "
        "lower the learning rate, or look for extreme values in the features"
    )
