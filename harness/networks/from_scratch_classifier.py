"""The network from first principles as a classifier with the interface of scikit-learn."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.networks.base import LayerSummary, NetworkClassifier
from harness.networks.from_scratch import (
    SCRATCH_ACTIVATIONS,
    DescentConfig,
    Matrix,
    ScratchNetwork,
    descend,
    forward,
    log_softmax,
    new_network,
)
from harness.networks.history import EarlyStopping, EpochOutput, StepStats, TrainingHistory
from harness.networks.losses import Floats, Loss
from harness.networks.rows import MatrixInput, WeightedRows, one_thread, training_rows, validation_rows

CHUNK = 4096  #: rows predicted together: the values of all layers for these rows are in memory


@dataclass(eq=False)
class ScratchClassifier(NetworkClassifier):
    """A network whose code can be read in `harness.networks.from_scratch`. It runs on one thread.

    Parameters
    ----------
    seed : int
        Seed of every draw.
    units : tuple of int, default (32, 32)
        Widths of the hidden layers.
    activation : str, default "tanh"
        One of `SCRATCH_ACTIVATIONS`.
    descent : DescentConfig
        How to train.

    Attributes
    ----------
    classes_ : array of shape (n_classes,)
        The classes.
    history_ : TrainingHistory
        The learning curves and the best epoch.
    network_ : list of DenseLayer
        The trained network.
    """

    seed: int
    units: tuple[int, ...] = (32, 32)
    activation: str = "tanh"
    descent: DescentConfig = field(default_factory=DescentConfig)

    def fit(
        self,
        X: npt.ArrayLike,
        y: npt.ArrayLike,
        sample_weight: npt.ArrayLike | None = None,
        validation: tuple[npt.ArrayLike, npt.ArrayLike] | None = None,
    ) -> ScratchClassifier:
        """Train the network.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_columns)
            Training rows.
        y : array-like of shape (n_rows,)
            Their classes.
        sample_weight : array-like of shape (n_rows,), optional
            Weights, which count relative to each other.
        validation : tuple of (X, y), optional
            Real rows for early stopping, weighted as in `validation_rows`.

        Returns
        -------
        ScratchClassifier
            Itself.

        Raises
        ------
        DataError
            If the rows cannot be trained on.
        EvenhandError
            If the training diverges.
        """
        rows, self.classes_ = training_rows(X, y, sample_weight)
        held_out = None if validation is None else validation_rows(validation, rows, self.classes_)
        with one_thread(), np.errstate(over="ignore", invalid="ignore"):  # `EarlyStopping` reports it, in one line
            self.network_, self.history_ = self._train(rows, held_out)
        return self

    def _train(self, rows: WeightedRows, held_out: WeightedRows | None) -> tuple[ScratchNetwork, TrainingHistory]:
        """Return the network after its best epoch, and the curves."""
        rng, activation = np.random.default_rng(self.seed), SCRATCH_ACTIVATIONS[self.activation]
        stopping = EarlyStopping(Loss(len(self.classes_)), rows, held_out, self.descent.patience)
        network = new_network([rows.X.shape[1], *self.units, len(self.classes_)], activation, rng)

        def epochs() -> Iterator[EpochOutput]:
            nonlocal network
            for epoch in descend(network, activation, rows, self.descent, rng):
                network = epoch.network
                step = StepStats(self.descent.learning_rate, epoch.norms)
                validation_logits = None
                if held_out is not None:
                    validation_logits = merge_logits(self._logits(network, held_out.X))
                yield EpochOutput(step, merge_logits(epoch.logits), validation_logits)

        return stopping.keep_best(epochs(), lambda: network), stopping.history(self.descent.batch_size)

    def _logits(self, network: ScratchNetwork, X: Floats) -> Matrix:
        activation, chunks = SCRATCH_ACTIVATIONS[self.activation], []
        for start in range(0, max(len(X), 1), CHUNK):
            chunks.append(forward(network, activation, X[start : start + CHUNK].astype(np.float64))[-1])
        return np.vstack(chunks)

    @property
    def inputs(self) -> MatrixInput:
        """Converter of rows to the input of `keras_model`, shape (n_rows, n_columns)."""
        return MatrixInput(len(self.network_[0].kernel))

    def predict_proba(self, X: npt.ArrayLike) -> Floats:
        """Return the probability of every class, shape (n_rows, n_classes), float32."""
        rows = self.inputs(X)
        with one_thread():
            return np.exp(log_softmax(self._logits(self.network_, rows))).astype(np.float32)

    @property
    def parameters(self) -> int:
        """Number of trained parameters."""
        return sum(layer.kernel.size + layer.bias.size for layer in self.network_)

    @property
    def architecture(self) -> tuple[LayerSummary, ...]:
        """The layers of the network."""
        layers = [LayerSummary("rows", "Input", (len(self.network_[0].kernel),), 0)]
        for number, (kernel, bias) in enumerate(self.network_, start=1):
            name, kind = f"dense_{number}", f"Dense, {self.activation}"
            if number == len(self.network_):
                name, kind = "probabilities", "Dense, softmax"
            layers.append(LayerSummary(name, kind, (len(bias),), kernel.size + bias.size))
        return tuple(layers)

    def keras_model(self) -> Any:
        """Return the trained network as a compiled `keras.Sequential` that can be saved, plotted, explained and trained further."""
        from harness.networks.keras_export import scratch_to_keras

        return scratch_to_keras(self.network_, self.activation, self.descent)


def merge_logits(logits: Matrix) -> Floats:
    """Convert logits (n_rows, n_classes) to those of `Loss`: two classes share one, the difference of their logits."""
    if logits.shape[1] == 2:
        logits = logits[:, 1:] - logits[:, :1]
    return logits.astype(np.float32)
