"""The network written from first principles as a classifier in scikit-learn's manner."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.errors import EvenhandError
from harness.networks.from_scratch import (
    BENDS,
    Descent,
    Matrix,
    Network,
    cross_entropy,
    descend,
    forward,
    log_softmax,
    new_network,
)
from harness.networks.loss import Floats
from harness.networks.rows import Rows, matrix, one_thread, training_rows, watched_rows

CHUNK = 4096  # rows predicted at once: every layer's values of so many are in memory


@dataclass(frozen=True)
class History:
    """The loss per epoch, and the epoch (from 1) whose weights were kept; the second is empty where nothing was watched."""

    train_loss: tuple[float, ...]
    validation_loss: tuple[float, ...]
    epoch: int


@dataclass(eq=False)
class ScratchClassifier:
    """A network that can be read in `harness.networks.from_scratch`; every draw comes from `seed`, one thread is used.

    `units` are the hidden widths, `activation` one of `BENDS`. Attributes after `fit`: `classes_` (k,), `network_` and
    `history_` (loss per epoch and the epoch chosen).
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
        kept = new_network([rows.X.shape[1], *self.units, len(self.classes_)], bend, rng)
        best, met, seen = 0, list[float](), list[float]()
        for epoch, (network, loss) in enumerate(descend(kept, bend, rows, self.descent, rng), start=1):
            met.append(loss)
            if watched is not None:
                seen.append(
                    cross_entropy(self._logits(network, watched.X), watched.y, watched.weight.astype(np.float64))
                )
            if not np.isfinite([loss, *seen]).all():
                raise EvenhandError(
                    f"training diverged: the loss is {loss} after epoch {epoch} at learning rate "
                    f"{self.descent.learning_rate:.3g}; lower the learning rate, or look for extreme values in the features"
                )
            if watched is None or seen[-1] < min(seen[:-1], default=np.inf):
                best, kept = epoch, network
            elif epoch - best >= self.descent.patience:
                break
        return kept, History(train_loss=tuple(met), validation_loss=tuple(seen), epoch=best)

    def _logits(self, network: Network, X: Floats) -> Matrix:
        parts = (X[start : start + CHUNK].astype(np.float64) for start in range(0, max(len(X), 1), CHUNK))
        return np.vstack([forward(network, BENDS[self.activation], part)[-1] for part in parts])

    def predict_proba(self, X: npt.ArrayLike) -> Floats:
        """The probability of every class, shape (n, k), float32."""
        rows = matrix(X, columns=len(self.network_[0].kernel))
        with one_thread():
            return np.exp(log_softmax(self._logits(self.network_, rows))).astype(np.float32)

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
        return sum(layer.kernel.size + layer.bias.size for layer in self.network_)
