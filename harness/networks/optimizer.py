"""The training loop: epochs of shuffled batches, AdamW with a schedule of its rate, early stopping on real rows.

One network after another: the inner folds of a trial as one network with a leading fold axis took 1.8 times as long at 64
units and 1.1 times at 128, because they leave the processor's cache, and 0.6 times at 16, where calls are dear.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from harness.networks.dense import Network, Shape, backward, forward, infer, lay_out, new_network
from harness.networks.history import EarlyStopping, Epoch, History, Step
from harness.networks.losses import Floats, Loss
from harness.networks.rows import Rows

BETA_1, BETA_2, ADAM_EPSILON = 0.9, 0.999, np.float32(1e-7)  # Keras's defaults
WARM_UP, FIRST = 0.1, 0.1  #: one cycle warms up for this share of the steps, from this share of the rate


def constant(_done: float) -> float:
    """The same learning rate throughout."""
    return 1.0


def cosine(done: float) -> float:
    """Down to nothing along half a cosine (Loshchilov & Hutter, SGDR, ICLR 2017, without restarts)."""
    return float(0.5 * (1 + np.cos(np.pi * done)))


def one_cycle(done: float) -> float:
    """A straight warm-up, then `cosine` (after Smith & Topin, Super-convergence, 2018)."""
    if done < WARM_UP:
        return FIRST + (1 - FIRST) * done / WARM_UP
    return cosine((done - WARM_UP) / (1 - WARM_UP))


#: What the learning rate is multiplied by, as a function of the share of the planned steps that is done.
COURSES = {"constant": constant, "cosine": cosine, "one_cycle": one_cycle}


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """How a network is trained.

    `weight_decay` is the decoupled one: a step shrinks kernels by `learning_rate * weight_decay`. `epochs` bounds the
    training, `patience` (epochs without improvement) usually ends it; both are stretched on small tables, where an epoch
    is only a few steps, to at least `least_steps` and `least_patience` steps. `clip` bounds the norm of the whole gradient.
    `course` is one of `COURSES`. One that falls needs an end to fall towards: it is planned over half of `epochs`, which is
    more than early stopping usually takes, and patience is half of that, or the plateau before the fall would end it.
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
    course: str = "constant"

    def stretched(self, rows: int) -> Schedule:
        """The same for a table of so many rows, with `epochs` and `patience` that allow for enough steps."""
        steps = -(-rows // self.batch_size)
        epochs = max(self.epochs, -(-self.least_steps // steps))
        patience = max(self.patience, -(-self.least_patience // steps))
        if self.course == "constant":
            return replace(self, epochs=epochs, patience=patience)
        return replace(self, epochs=(epochs + 1) // 2, patience=max(patience, epochs // 4))

    def steps(self, rows: int) -> int:
        """The steps of all epochs together."""
        return self.epochs * -(-rows // self.batch_size)


@dataclass
class Adam:
    """Adam with decoupled weight decay (Kingma & Ba 2015; Loshchilov & Hutter 2019), on one flat vector.

    Step for step what `keras.optimizers.AdamW` with `global_clipnorm` does when only kernels decay. The schedule's course
    is spread over `steps`; with 0 the learning rate is constant.
    """

    schedule: Schedule
    mean: Floats
    square: Floats
    step: int = 0
    steps: int = 0
    used: float = 0.0  #: the learning rate of the last step

    @property
    def learning_rate(self) -> float:
        """The learning rate of the next step."""
        done = min(self.step / self.steps, 1.0) if self.steps else 0.0
        return self.schedule.learning_rate * (COURSES[self.schedule.course](done) if self.steps else 1.0)

    def update(self, flat: Floats, gradient: Floats, decayed: int) -> float:
        """Move `flat` against `gradient`, both (p,); the first `decayed` parameters also shrink. Spoils `gradient`.

        Returns the norm of the gradient before it was clipped.
        """
        self.used = rate = self.learning_rate
        norm = float(np.sqrt(gradient @ gradient))
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
        return norm


def train(
    shape: Shape, loss: Loss, schedule: Schedule, rows: Rows, watched: Rows | None, seed: int
) -> tuple[Network, History]:
    """Train a network under a `Watch`; with `watched` rows stop when they have not improved for `patience` epochs.

    The weights of the best epoch are restored. Without watched rows all `epochs` are made and the last weights kept.
    Raises `EvenhandError` where the training diverges.
    """
    rng, schedule = np.random.default_rng(seed), schedule.stretched(len(rows.y))
    watch = EarlyStopping(loss, rows, watched, schedule.patience)
    network = new_network(shape, rng, watch.prior_logits)
    nothing = np.zeros(shape.size, np.float32)
    adam = Adam(schedule, nothing, nothing.copy(), steps=schedule.steps(len(rows.y)))

    def epochs() -> Iterator[Epoch]:
        for _ in range(schedule.epochs):
            logits, norms = train_epoch(network, adam, loss, rows, rng)
            yield Epoch(Step(adam.used, norms), logits, None if watched is None else infer(network, watched.X))

    _restore(network, watch.keep_best(epochs(), lambda: _snapshot(network)))
    return network, watch.history(schedule.batch_size)


def train_epoch(
    network: Network, adam: Adam, loss: Loss, rows: Rows, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """One pass over all rows in a fresh order, the smaller last batch included.

    Returns the logits met on the way, (n, outputs) in the order of `rows`, and the norm of every batch's gradient.
    """
    gradient = lay_out(network.shape, np.empty(network.shape.size, np.float32))
    logits, norms = np.empty((len(rows.y), loss.outputs), np.float32), []
    order = rng.permutation(len(rows.y))
    for start in range(0, len(order), adam.schedule.batch_size):
        batch = order[start : start + adam.schedule.batch_size]
        taken = rows.X[batch]
        out, tape = forward(network, taken, adam.schedule.dropout, rng)
        logits[batch] = out
        slopes = loss.slopes(out, rows.y[batch])
        slopes *= (rows.weight[batch] / np.float32(len(batch)))[:, None]
        backward(network, taken, tape, slopes, gradient)
        norms.append(adam.update(network.weights.flat, gradient.flat, network.shape.decayed))
    return logits, np.array(norms, np.float32)


def _snapshot(network: Network) -> list[Floats]:
    return [network.weights.flat.copy(), *(statistics.copy() for statistics in network.running)]


def _restore(network: Network, kept: list[Floats]) -> None:
    for place, values in zip([network.weights.flat, *network.running], kept, strict=True):
        place[:] = values
