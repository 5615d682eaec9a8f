"""A recurrent network as a classifier in scikit-learn's manner, and its training loop."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.errors import DataError
from harness.networks.base import Learner
from harness.networks.history import EarlyStopping, Epoch, History, Step
from harness.networks.layers import Layer
from harness.networks.losses import Floats, Labels, Loss
from harness.networks.optimizer import Adam, Schedule
from harness.networks.recurrent import (
    Network,
    Shape,
    Tokens,
    backward,
    forward,
    infer,
    lay_out,
    lengths_of,
    new_network,
)
from harness.networks.rows import Rows, one_thread, training_rows, watched_rows
from harness.networks.summary import recurrent_layers

#: Rows of like length share a batch, so that little padding is computed: sorted among the rows of so many batches.
CHUNK = 16
UNKNOWN = 1
MOST_TOKENS = 1_000_000

#: Plain Adam in small batches, its rate falling along a cosine: on sms_spam that brought 0.002 average precision over a constant
#: one and bounds the cost. Rates from 1.5e-3 to 6e-3, batches of 32 to 128, dropout of 0.3 and 0.5 were equal within noise.
SCHEDULE = Schedule(
    learning_rate=5e-3, batch_size=64, dropout=0.3, weight_decay=0.0, epochs=16, patience=3, course="cosine"
)


@dataclass(frozen=True)
class Sequences:
    """How token numbers enter a network that knows a vocabulary: those beyond it are unknown."""

    vocabulary: int

    def __call__(self, X: npt.ArrayLike) -> Tokens:
        """Token numbers (n, length) as `keras_model` takes them, or a `DataError`."""
        return sequences(X, self.vocabulary)


@dataclass(eq=False)
class RecurrentClassifier(Learner):
    """A recurrent network for token sequences; every draw comes from `seed`, and one thread is used.

    Rows are whole numbers (n, length): 0 is padding, at the end only, 1 an unknown token; a number above those of the
    training rows is unknown too. `cell` is `lstm` or `gru`, of `units` units, in each direction where `bidirectional`;
    `embedding` is the width of a token, `gamma` above 0 makes the loss focal. One sigmoid output for two classes, a
    softmax for more. Attributes after `fit`: `classes_` (k,), `history_` and `network_`.
    """

    seed: int
    cell: str = "gru"
    units: int = 32
    bidirectional: bool = False
    embedding: int = 32
    gamma: float = 0.0
    schedule: Schedule = field(default_factory=lambda: SCHEDULE)

    def fit(
        self,
        X: npt.ArrayLike,
        y: npt.ArrayLike,
        sample_weight: npt.ArrayLike | None = None,
        validation: tuple[npt.ArrayLike, npt.ArrayLike] | None = None,
    ) -> RecurrentClassifier:
        """Learn from sequences X (n, length) and labels y (n,); returns itself.

        `validation` (X, y) are real rows that decide when to stop; they are weighted to the class shares of the (weighted,
        resampled) training rows. Weights count relative to each other. Raises `DataError` for rows that cannot be learned
        from, `EvenhandError` where training diverges.
        """
        rows, self.classes_ = training_rows(X, y, sample_weight, sequences)
        loss = self.loss
        vocabulary = max(int(rows.X.max()), UNKNOWN) + 1
        shape = Shape(vocabulary, loss.outputs, self.embedding, self.units, self.cell, self.bidirectional)
        read = partial(sequences, vocabulary=vocabulary)
        watched = None if validation is None else watched_rows(validation, rows, self.classes_, read)
        with one_thread(), np.errstate(over="ignore", invalid="ignore"):  # the watch tells of it, in one line
            self.network_, self.history_ = train(shape, loss, self.schedule, rows, watched, self.seed)
        return self

    @property
    def inputs(self) -> Sequences:
        """How rows enter the network: `inputs(X)` is what `keras_model` takes, shape (n, length)."""
        return Sequences(self.network_.shape.vocabulary)

    def predict_proba(self, X: npt.ArrayLike) -> Floats:
        """The probability of every class, shape (n, k), float32; how far rows are padded changes nothing."""
        rows = self.inputs(X)
        with one_thread():
            return self.loss.probabilities(infer(self.network_, rows))

    @property
    def parameters(self) -> int:
        """The number of trained parameters."""
        network: Network = self.network_
        return network.shape.size

    @property
    def architecture(self) -> tuple[Layer, ...]:
        """What the network is made of."""
        return recurrent_layers(self.network_.shape, self.schedule.dropout)

    def keras_model(self) -> Any:
        """The trained network as an ordinary compiled `keras.Model`: to save, to plot, to explain, to train on."""
        from harness.networks.recurrent_export import to_keras

        return to_keras(self.network_, self.schedule, self.loss)


def train(
    shape: Shape, loss: Loss, schedule: Schedule, rows: Rows, watched: Rows | None, seed: int
) -> tuple[Network, History]:
    """Train a network under a `Watch`; the weights of its best epoch are restored."""
    rng, schedule = np.random.default_rng(seed), schedule.stretched(len(rows.y))
    watch = EarlyStopping(loss, rows, watched, schedule.patience)
    network = new_network(shape, rng, watch.prior_logits)
    flat = network.weights.flat
    adam = Adam(schedule, np.zeros_like(flat), np.zeros_like(flat), steps=schedule.steps(len(rows.y)))

    def epochs() -> Iterator[Epoch]:
        for _ in range(schedule.epochs):
            logits, norms = train_epoch(network, adam, loss, rows, rng)
            yield Epoch(Step(adam.used, norms), logits, None if watched is None else infer(network, watched.X))

    flat[:] = watch.keep_best(epochs(), flat.copy)
    return network, watch.history(schedule.batch_size)


def train_epoch(
    network: Network, adam: Adam, loss: Loss, rows: Rows, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """One pass over all rows; returns their logits (n, outputs), dropout on, and the norm of every batch's gradient."""
    gradient = lay_out(network.shape, np.empty(network.shape.size, np.float32))
    logits = np.empty((len(rows.y), loss.outputs), np.float32)
    norms = []
    for batch in batches(lengths_of(rows.X), adam.schedule.batch_size, rng):
        logits[batch], tape = forward(network, rows.X[batch], adam.schedule.dropout, rng)
        slopes = loss.slopes(logits[batch], rows.y[batch])
        slopes *= (rows.weight[batch] / np.float32(len(batch)))[:, None]
        backward(network, tape, slopes, gradient)
        norms.append(adam.update(network.weights.flat, gradient.flat, 0))
    return logits, np.array(norms, np.float32)


def batches(lengths: Labels, size: int, rng: np.random.Generator) -> list[Labels]:
    """All rows, by their `lengths` (n,), in batches of `size` rows of like length; the smaller one last, as in Keras.

    Rows are shuffled, cut into chunks, sorted within each and cut into batches, and the batches are shuffled: fresh company
    and fresh order for every row in every epoch.
    """
    order = rng.permutation(len(lengths))
    chunks = [order[at : at + CHUNK * size] for at in range(0, len(order), CHUNK * size)]
    order = np.concatenate([chunk[np.argsort(-lengths[chunk], kind="stable")] for chunk in chunks])
    full = len(order) // size
    made = [order[at * size : (at + 1) * size] for at in rng.permutation(full)]
    return made + ([order[full * size :]] if full * size < len(order) else [])


def sequences(X: npt.ArrayLike, vocabulary: int | None = None) -> Tokens:
    """Token numbers (n, length) as int32, those beyond the `vocabulary` as unknown, or a `DataError`."""
    found = np.asarray(X)
    if found.ndim != 2 or found.dtype.kind not in "iu":
        raise DataError(
            f"expected whole numbers of shape (rows, length), but got {found.dtype} of shape {found.shape}: encode texts first"
        )
    if found.size and not 0 <= found.min() <= found.max() < MOST_TOKENS:
        raise DataError(
            f"token numbers must be from 0 to {MOST_TOKENS - 1}, but are from {found.min()} to {found.max()}"
        )
    if not found.shape[1] or (found[:, 0] == 0).any() or ((found[:, :-1] == 0) & (found[:, 1:] > 0)).any():
        raise DataError("0 is padding behind at least one token, but some rows begin with it or have tokens after it")
    if vocabulary is not None:
        found = np.where(found < vocabulary, found, UNKNOWN)
    return np.ascontiguousarray(found, dtype=np.int32)
