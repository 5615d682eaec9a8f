"""A dense network as a classifier in scikit-learn's manner."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.errors import DataError
from harness.networks.base import Learner
from harness.networks.dense import Network, Shape, infer
from harness.networks.layers import Layer
from harness.networks.losses import Floats
from harness.networks.optimizer import Schedule, train
from harness.networks.rows import Mixed, matrix, one_thread, training_rows, watched_rows
from harness.networks.summary import dense_layers


@dataclass(frozen=True)
class Entering:
    """How rows enter a dense network of so many `columns`: a matrix as it is, categories `coded` or spread over columns."""

    columns: int
    coded: bool = False

    def __call__(self, X: Any) -> Floats:
        """Rows as `keras_model` takes them, shape (n, columns), or a `DataError`."""
        rows = entering(X, self.coded)
        if rows.shape[1] != self.columns:
            raise DataError(f"expected {self.columns} columns as in training, but got {rows.shape[1]}")
        return rows


@dataclass(eq=False)
class DenseClassifier(Learner):
    """A dense network for rows of scaled numbers, or `Mixed` ones; every draw comes from `seed`, and one thread is used.

    `units` are the hidden widths, equal ones with `skip` connections; `gamma` above 0 makes the loss focal; `embedding` is
    the length of the vector that a level of a category becomes, 0 for a column per level. One sigmoid output for two
    classes, a softmax for more. Attributes after `fit`: `classes_` (k,), `history_` (its curves and the epoch chosen) and
    `network_`.
    """

    seed: int
    units: tuple[int, ...] = (64, 64)
    batch_norm: bool = False
    gamma: float = 0.0
    schedule: Schedule = field(default_factory=Schedule)
    activation: str = "relu"
    skip: bool = False
    embedding: int = 0

    def fit(
        self,
        X: Any,
        y: npt.ArrayLike,
        sample_weight: npt.ArrayLike | None = None,
        validation: tuple[Any, npt.ArrayLike] | None = None,
    ) -> DenseClassifier:
        """Learn from rows X, a matrix (n, d) or `Mixed`, and labels y (n,); returns itself.

        `validation` (X, y) are real rows that decide when to stop. Their loss is weighted per class so that the classes
        have the shares they have among the (weighted, resampled) training rows: a strategy moves the prior on purpose,
        and that alone must not look like over-fitting. Classes unknown to the training rows are left out of it.

        Weights count relative to each other: they are divided by their mean. Raises `DataError` for rows that cannot be
        learned from, `EvenhandError` where training diverges.
        """
        rows, self.classes_ = training_rows(X, y, sample_weight, self.entering)
        watched = None if validation is None else watched_rows(validation, rows, self.classes_, self.entering)
        loss = self.loss
        shape = self.shape_for(X, rows.X.shape[1], loss.outputs)
        with one_thread(), np.errstate(over="ignore", invalid="ignore"):  # the watch tells of it, in one line
            self.network_, self.history_ = train(shape, loss, self.schedule, rows, watched, self.seed)
        return self

    @property
    def inputs(self) -> Entering:
        """How rows enter the network: `inputs(X)` is what `keras_model` takes, shape (n, d)."""
        shape = self.network_.shape
        return Entering(shape.columns + len(shape.levels), coded=bool(self.embedding))

    def predict_proba(self, X: Any) -> Floats:
        """The probability of every class, shape (n, k), float32."""
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
        return dense_layers(self.network_.shape, self.schedule.dropout)

    def keras_model(self) -> Any:
        """The trained network as an ordinary compiled `keras.Model`: to save, to plot, to explain, to train on."""
        from harness.networks.keras_export import to_keras

        return to_keras(self.network_, self.schedule, self.loss)

    def entering(self, X: Any) -> Floats:
        """Rows (n, d) as the network takes them: a matrix as it is, categories as columns or as level indices."""
        return entering(X, coded=bool(self.embedding))

    def shape_for(self, X: Any, columns: int, outputs: int) -> Shape:
        """The shape of a network for rows `X` that take so many columns."""
        levels = tuple(X.levels[j] for j in X.embedded) if self.embedding and isinstance(X, Mixed) else ()
        skip, embedding = self.skip and len(self.units) > 0, self.embedding if levels else 0
        form = (self.batch_norm, self.activation, skip, levels, embedding)
        return Shape(columns - len(levels), tuple(self.units), outputs, *form)


def entering(X: Any, coded: bool) -> Floats:
    """Rows (n, d) as a network takes them: a matrix as it is, categories as level indices or as columns."""
    if isinstance(X, Mixed):
        return matrix(X.coded() if coded else X.spread())
    return matrix(X)
