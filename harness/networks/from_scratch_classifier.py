"""The network written from first principles as a classifier in scikit-learn's manner."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.networks.base import Learner
from harness.networks.dense_classifier import Entering
from harness.networks.from_scratch import (
    BENDS,
    Descent,
    Matrix,
    Network,
    descend,
    forward,
    log_softmax,
    new_network,
)
from harness.networks.history import EarlyStopping, Epoch, History, Step
from harness.networks.layers import Layer
from harness.networks.losses import Floats, Loss
from harness.networks.rows import Rows, matrix, one_thread, training_rows, watched_rows
from harness.networks.summary import scratch_layers

CHUNK = 4096  # rows predicted at once: every layer's values of so many are in memory


@dataclass(eq=False)
class ScratchClassifier(Learner):
    """A network that can be read in `harness.networks.from_scratch`; every draw comes from `seed`, one thread is used.

    `units` are the hidden widths, `activation` one of `BENDS`. Attributes after `fit`: `classes_` (k,), `network_` and
    `history_` (its curves and the epoch chosen).
    """

    seed: int
    units: tuple[int, ...] = (32, 32)
    activation: str = "tanh"
    descent: Descent = field(default_factory=Descent)

    def fit(
        self,
        X: npt.ArrayLike,
        y: npt.ArrayLike,
        sample_weight: npt.ArrayLike | None = None,
        validation: tuple[npt.ArrayLike, npt.ArrayLike] | None = None,
    ) -> ScratchClassifier:
        """Learn from rows X (n, d) and labels y (n,); returns itself.

        `validation` (X, y) are real rows that decide when to stop, weighted to the class shares of the training rows as in
        `harness.networks.rows`. Weights count relative to each other. Raises `DataError` for rows that cannot be learned
        from, `EvenhandError` where training diverges.
        """
        rows, self.classes_ = training_rows(X, y, sample_weight)
        watched = None if validation is None else watched_rows(validation, rows, self.classes_)
        with one_thread(), np.errstate(over="ignore", invalid="ignore"):  # the loss tells of it, in one line
            self.network_, self.history_ = self._learn(rows, watched)
        return self

    def _learn(self, rows: Rows, watched: Rows | None) -> tuple[Network, History]:
        """The network after the epoch that served the watched rows best, or after the last one."""
        rng, bend = np.random.default_rng(self.seed), BENDS[self.activation]
        watch = EarlyStopping(Loss(len(self.classes_)), rows, watched, self.descent.patience)
        network = new_network([rows.X.shape[1], *self.units, len(self.classes_)], bend, rng)

        def epochs() -> Iterator[Epoch]:
            nonlocal network
            for made in descend(network, bend, rows, self.descent, rng):
                network = made.network
                seen = None if watched is None else watchable(self._logits(network, watched.X))
                yield Epoch(Step(self.descent.learning_rate, made.norms), watchable(made.logits), seen)

        return watch.keep_best(epochs(), lambda: network), watch.history(self.descent.batch_size)

    def _logits(self, network: Network, X: Floats) -> Matrix:
        parts = (X[start : start + CHUNK].astype(np.float64) for start in range(0, max(len(X), 1), CHUNK))
        return np.vstack([forward(network, BENDS[self.activation], part)[-1] for part in parts])

    @property
    def inputs(self) -> Entering:
        """How rows enter the network: `inputs(X)` is what `keras_model` takes, shape (n, d)."""
        return Entering(len(self.network_[0].kernel))

    def predict_proba(self, X: npt.ArrayLike) -> Floats:
        """The probability of every class, shape (n, k), float32."""
        rows = matrix(X, columns=len(self.network_[0].kernel))
        with one_thread():
            return np.exp(log_softmax(self._logits(self.network_, rows))).astype(np.float32)

    @property
    def parameters(self) -> int:
        """The number of trained parameters."""
        return sum(layer.kernel.size + layer.bias.size for layer in self.network_)

    @property
    def architecture(self) -> tuple[Layer, ...]:
        """What the network is made of."""
        return scratch_layers(self.network_, self.activation)

    def keras_model(self) -> Any:
        """The trained network as an ordinary compiled `keras.Sequential`: to save, to plot, to explain, to train on."""
        from harness.networks.keras_export import scratch_to_keras

        return scratch_to_keras(self.network_, self.activation, self.descent)


def watchable(logits: Matrix) -> Floats:
    """Logits (n, k) as other networks have them, where two classes share one: how much higher that of class 1 is."""
    return (logits[:, 1:] - logits[:, :1] if logits.shape[1] == 2 else logits).astype(np.float32)
