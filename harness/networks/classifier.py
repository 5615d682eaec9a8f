"""A dense network as a classifier in scikit-learn's manner."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.networks.dense import Network, Shape, fold, infer
from harness.networks.loss import Floats, Loss
from harness.networks.rows import matrix, one_thread, training_rows, watched_rows
from harness.networks.training import History, Schedule, train


@dataclass(eq=False)
class DenseClassifier:
    """A dense network for rows of standardised numbers; every draw comes from `seed`, and one thread is used.

    `units` are the hidden widths; `gamma` above 0 makes the loss focal. One sigmoid output for two classes, a softmax
    for more. Attributes after `fit`: `classes_` (k,), `history_` (loss per epoch and the epoch chosen) and `network_`.
    """

    seed: int
    units: tuple[int, ...] = (64, 64)
    batch_norm: bool = False
    gamma: float = 0.0
    schedule: Schedule = field(default_factory=Schedule)

    def fit(
        self,
        X: npt.ArrayLike,
        y: npt.ArrayLike,
        sample_weight: npt.ArrayLike | None = None,
        validation: tuple[npt.ArrayLike, npt.ArrayLike] | None = None,
    ) -> DenseClassifier:
        """Learn from rows X (n, d) and labels y (n,); returns itself.

        `validation` (X, y) are real rows that decide when to stop. Their loss is weighted per class so that the classes
        have the shares they have among the (weighted, resampled) training rows: a strategy moves the prior on purpose,
        and that alone must not look like over-fitting. Classes unknown to the training rows are left out of it.

        Weights count relative to each other: they are divided by their mean. Raises `DataError` for rows that cannot be
        learned from, `EvenhandError` where training diverges.
        """
        rows, self.classes_ = training_rows(X, y, sample_weight)
        watched = None if validation is None else watched_rows(validation, rows, self.classes_)
        loss = Loss(len(self.classes_), self.gamma)
        shape = Shape(rows.X.shape[1], tuple(self.units), loss.outputs, self.batch_norm)
        with one_thread(), np.errstate(over="ignore", invalid="ignore"):  # the loss tells of it, in one line
            self.network_, self.history_ = train(shape, loss, self.schedule, rows, watched, self.seed)
        self._layers = fold(self.network_)
        return self

    def predict_proba(self, X: npt.ArrayLike) -> Floats:
        """The probability of every class, shape (n, k), float32."""
        rows = matrix(X, columns=len(self._layers[0][0]))
        with one_thread():
            return Loss(len(self.classes_), self.gamma).probabilities(infer(self._layers, rows))

    def predict(self, X: npt.ArrayLike) -> npt.NDArray[Any]:
        """The most probable class of every row, shape (n,)."""
        chosen: npt.NDArray[Any] = self.classes_[self.predict_proba(X).argmax(axis=1)]
        return chosen

    @property
    def history(self) -> History:
        """The curves of the fit."""
        return self.history_

    @property
    def parameters(self) -> int:
        """The number of trained parameters."""
        network: Network = self.network_
        return network.shape.size

    def keras_model(self) -> Any:
        """The trained network as an ordinary compiled `keras.Sequential`: to save, to plot, to explain, to train on."""
        from harness.networks.export import to_keras

        return to_keras(self.network_, self.schedule, Loss(len(self.classes_), self.gamma))
