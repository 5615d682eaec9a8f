"""A dense network from first principles, in NumPy alone: written to be read.

**Forward.** Every layer turns the values x of the layer below into z = x W + b. A hidden layer applies an activation, f(z),
and the result is the x of the next layer: without the activation, any number of layers would be equivalent to one. The last z
are the logits; they become probabilities p = softmax(z), and the loss of a row is -log p of its true class.

**Backward.** The chain rule, from the loss to the first layer. `dz` is the derivative of the loss with respect to z:

    of the last layer     dz = p - true class (one-hot)    exponential and logarithm cancel, and only this is left
    of a layer's weights  dW = xᵀ dz,  db = Σ dz           because z = x W + b, and every row of the batch adds its part
    of the layer below    dx = dz Wᵀ, then dz = dx · f'    because x = f(z) there

so one backward pass costs about as much as two forward passes, however many weights there are: that is backpropagation
(Rumelhart, Hinton & Williams, Nature 1986). `evenhand explain backprop` shows it with numbers.

`harness.networks.dense` is the fast version: single precision, one flat vector changed in place, one logit for two classes, and
dropout, batch norm, focal loss, gradient clipping. Here numbers are in double precision, so that a derivative agrees with finite
differences to nine digits, nothing is changed in place, two classes are treated like three, and each rule above is one line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import chain, pairwise
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from harness.networks.base import LayerSummary, NetworkClassifier
from harness.networks.history import EarlyStopping, EpochOutput, StepStats
from harness.networks.losses import Floats, Labels
from harness.networks.rows import MatrixInput, WeightedRows, convert_to_matrix, limit_blas_to_one_thread

Matrix: TypeAlias = npt.NDArray[np.float64]

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8  #: of Adam, as in its paper
CHUNK = 4096  #: rows predicted together: the values of all layers for these rows are in memory


class ScratchActivation(NamedTuple):
    """An activation of hidden layers.

    Attributes
    ----------
    function : callable
        x = f(z).
    derivative : callable
        The derivative of f at z, as a function of x = f(z).
    gain : float
        Variance of the initial weights, times the width of the layer below, that preserves the scale of the values.
    """

    function: Callable[[Matrix], Matrix]
    derivative: Callable[[Matrix], Matrix]
    gain: float


SCRATCH_ACTIVATIONS = {
    # The derivative is 1 where x > 0; He et al., ICCV 2015.
    "relu": ScratchActivation(lambda z: np.maximum(z, 0), np.sign, gain=2.0),
    "tanh": ScratchActivation(np.tanh, lambda x: 1 - x * x, gain=1.0),  # Glorot & Bengio, AISTATS 2010
}


class DenseLayer(NamedTuple):
    """The weights of one layer, or their gradient, or Adam's averages of it: kernel (width below, width), bias (width,)."""

    kernel: Matrix
    bias: Matrix


ScratchNetwork: TypeAlias = list[DenseLayer]


def new_network(widths: list[int], activation: ScratchActivation, rng: np.random.Generator) -> ScratchNetwork:
    """Initialise a network; `widths` are those of the rows and of every hidden layer, and the number of classes."""
    network = []
    for input_width, width in pairwise(widths):
        kernel = rng.normal(0, np.sqrt(activation.gain / input_width), (input_width, width))
        network.append(DenseLayer(kernel, np.zeros(width)))
    return network


def forward(network: ScratchNetwork, activation: ScratchActivation, x: Matrix) -> list[Matrix]:
    """Return the values of every stage for rows x (n_rows, n_columns): the rows, each hidden layer, the logits."""
    layer_outputs = [x]
    for kernel, bias in network[:-1]:
        layer_outputs.append(activation.function(layer_outputs[-1] @ kernel + bias))
    kernel, bias = network[-1]
    return [*layer_outputs, layer_outputs[-1] @ kernel + bias]


def log_softmax(logits: Matrix) -> Matrix:
    """Return the log-probabilities (n_rows, n_classes); a row's largest logit is subtracted first to avoid an overflow."""
    logits = logits - logits.max(axis=1, keepdims=True)
    log_probabilities: Matrix = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return log_probabilities


def cross_entropy(logits: Matrix, y: Labels, weight: Matrix) -> float:
    """Return the weighted mean of -log p of each row's true class."""
    return float(-(weight * log_softmax(logits)[np.arange(len(y)), y]).mean())


def backward(
    network: ScratchNetwork, activation: ScratchActivation, stages: list[Matrix], y: Labels, weight: Matrix
) -> ScratchNetwork:
    """Return the derivatives of `cross_entropy` with respect to every weight, in the form of the network.

    Parameters
    ----------
    network : list of DenseLayer
        The network.
    activation : ScratchActivation
        Activation of its hidden layers.
    stages : list of arrays
        Result of `forward`.
    y : array of shape (n_rows,)
        True classes, 0..k-1.
    weight : array of shape (n_rows,)
        Weights of the rows.

    Returns
    -------
    list of DenseLayer
    """
    true_class = np.eye(stages[-1].shape[1])[y]
    dz = (np.exp(log_softmax(stages[-1])) - true_class) * weight[:, None] / len(y)
    gradient = []
    for layer in reversed(range(len(network))):
        x = stages[layer]
        gradient.append(DenseLayer(x.T @ dz, dz.sum(axis=0)))
        if layer > 0:  # the derivative with respect to the rows is not needed
            dx = dz @ network[layer].kernel.T
            dz = dx * activation.derivative(x)
    return gradient[::-1]


def map_networks(function: Callable[..., Matrix], *networks: ScratchNetwork) -> ScratchNetwork:
    """Apply a function to the corresponding arrays of networks of one shape, and return the results as a network."""
    layers = []
    for corresponding_layers in zip(*networks, strict=True):
        kernel, bias = map(function, *corresponding_layers)
        layers.append(DenseLayer(kernel, bias))
    return layers


class AdamState(NamedTuple):
    """Adam's moving averages of the gradient and of its square, and the number of steps made."""

    mean: ScratchNetwork
    square: ScratchNetwork
    steps: int = 0


def make_adam_step(
    network: ScratchNetwork, gradient: ScratchNetwork, state: AdamState, learning_rate: float
) -> tuple[ScratchNetwork, AdamState]:
    """Make one step of Adam (Kingma & Ba, ICLR 2015, algorithm 1): return the new network and the new state.

    A weight moves against the moving average of its gradient, by a distance that the average of the square makes comparable.
    """
    mean = map_networks(lambda m, g: BETA_1 * m + (1 - BETA_1) * g, state.mean, gradient)
    squared_gradient_means = map_networks(lambda s, g: BETA_2 * s + (1 - BETA_2) * g * g, state.square, gradient)
    steps = state.steps + 1
    mean_share, square_share = 1 - BETA_1**steps, 1 - BETA_2**steps  # the averages began at 0 and are too small by this
    moved_network = map_networks(
        lambda w, m, s: w - learning_rate * (m / mean_share) / (np.sqrt(s / square_share) + EPSILON),
        network, mean, squared_gradient_means,
    )  # fmt: skip
    return moved_network, AdamState(mean, squared_gradient_means, steps)


@dataclass(frozen=True, kw_only=True)
class DescentConfig:
    """How a network is trained.

    Attributes
    ----------
    learning_rate : float, default 2e-3
        Learning rate of Adam.
    batch_size : int, default 128
        Rows per step.
    penalty : float, default 0.03
        L2 penalty: half of it times the sum of squared kernels is added to the loss.
    epochs : int, default 60
        Largest number of epochs.
    patience : int, default 5
        Number of epochs without improvement on the validation rows after which training stops.
    """

    learning_rate: float = 2e-3
    batch_size: int = 128
    penalty: float = 0.03
    epochs: int = 60
    patience: int = 5


class DescentEpoch(NamedTuple):
    """The network after an epoch, and the values computed during it.

    Attributes
    ----------
    network : list of DenseLayer
        The network.
    loss : float
        Mean loss of the batches.
    logits : array of shape (n_rows, n_classes)
        Logits of every row before its step.
    norms : array of shape (n_batches,)
        Norm of every batch's gradient.
    """

    network: ScratchNetwork
    loss: float
    logits: Matrix
    norms: Matrix


def run_gradient_descent(
    network: ScratchNetwork,
    activation: ScratchActivation,
    rows: WeightedRows,
    config: DescentConfig,
    rng: np.random.Generator,
) -> Iterator[DescentEpoch]:
    """Train epoch by epoch on shuffled batches.

    Parameters
    ----------
    network : list of DenseLayer
        The initial network.
    activation : ScratchActivation
        Activation of its hidden layers.
    rows : WeightedRows
        Training rows.
    config : DescentConfig
        How to train.
    rng : numpy Generator
        Source of the order of rows.

    Yields
    ------
    DescentEpoch
    """
    zero_network = map_networks(np.zeros_like, network)
    adam_state = AdamState(zero_network, zero_network)
    for _ in range(config.epochs):
        loss, logits, gradient_norms = 0.0, np.empty((len(rows.y), len(network[-1].bias))), list[float]()
        row_order = rng.permutation(len(rows.y))
        for first_row in range(0, len(row_order), config.batch_size):
            batch = row_order[first_row : first_row + config.batch_size]
            x, y, row_weights = rows.X[batch].astype(np.float64), rows.y[batch], rows.weight[batch].astype(np.float64)
            layer_outputs = forward(network, activation, x)
            loss += cross_entropy(layer_outputs[-1], y, row_weights) * len(batch) / len(row_order)
            logits[batch] = layer_outputs[-1]
            gradient = []
            for (dW, db), (W, _b) in zip(
                backward(network, activation, layer_outputs, y, row_weights), network, strict=True
            ):
                gradient.append(DenseLayer(dW + config.penalty * W, db))
            gradient_norms.append(np.sqrt(sum(float((array * array).sum()) for array in chain.from_iterable(gradient))))
            network, adam_state = make_adam_step(network, gradient, adam_state, config.learning_rate)
        yield DescentEpoch(network, loss, logits, np.array(gradient_norms))


@dataclass(eq=False)
class ScratchClassifier(NetworkClassifier):
    """The network above as a classifier of rows (n_rows, n_columns). It runs on one thread.

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

    @property
    def inputs(self) -> MatrixInput:
        """Converter of rows to the input of `keras_model`, shape (n_rows, n_columns)."""
        return MatrixInput(self.columns_)

    def predict_proba(self, X: npt.ArrayLike) -> Floats:
        """Return the probability of every class, shape (n_rows, n_classes), float32."""
        rows = self.inputs(X)
        with limit_blas_to_one_thread():
            return np.exp(log_softmax(self._class_logits(rows))).astype(np.float32)

    @property
    def architecture(self) -> tuple[LayerSummary, ...]:
        """The layers of the network."""
        layers = [LayerSummary("rows", "Input", (len(self.network_[0].kernel),), 0)]
        for layer_number, (kernel, bias) in enumerate(self.network_, start=1):
            name, layer_kind = f"dense_{layer_number}", f"Dense, {self.activation}"
            if layer_number == len(self.network_):
                name, layer_kind = "probabilities", "Dense, softmax"
            layers.append(LayerSummary(name, layer_kind, (len(bias),), kernel.size + bias.size))
        return tuple(layers)

    def keras_model(self) -> Any:
        """Return the trained network as a compiled `keras.Sequential` that can be saved, plotted, explained and trained further."""
        from harness.networks.keras_export import scratch_to_keras

        return scratch_to_keras(self.network_, self.activation, self.descent)

    def _convert_training_rows(self, X: npt.ArrayLike) -> Floats:
        matrix = convert_to_matrix(X)
        self.columns_ = matrix.shape[1]
        return matrix

    def _scaled_config(self, rows: WeightedRows) -> DescentConfig:  # noqa: ARG002 -- the same for every number of rows
        return self.descent

    def _train_network(self, config: DescentConfig, early_stopping: EarlyStopping) -> None:
        rng, rows, validation_rows = np.random.default_rng(self.seed), early_stopping.rows, early_stopping.validation
        self.network_ = new_network([self.columns_, *self.units, len(self.classes_)], self._activation, rng)

        def run_epochs() -> Iterator[EpochOutput]:
            for epoch in run_gradient_descent(self.network_, self._activation, rows, config, rng):
                self.network_ = epoch.network
                step = StepStats(config.learning_rate, epoch.norms)
                validation_logits = None if validation_rows is None else self._compute_logits(validation_rows.X)
                yield EpochOutput(step, merge_binary_logits(epoch.logits), validation_logits)

        self.network_ = early_stopping.run_epochs_keeping_best(run_epochs(), lambda: self.network_)

    def _compute_logits(self, X: Floats) -> Floats:
        return merge_binary_logits(self._class_logits(X))

    def _class_logits(self, X: Floats) -> Matrix:
        """Logits of all classes, shape (n_rows, n_classes)."""
        logits_of_chunks = []
        for first_row in range(0, max(len(X), 1), CHUNK):
            logits_of_chunks.append(
                forward(self.network_, self._activation, X[first_row : first_row + CHUNK].astype(np.float64))[-1]
            )
        return np.vstack(logits_of_chunks)

    @property
    def _activation(self) -> ScratchActivation:
        return SCRATCH_ACTIVATIONS[self.activation]


def merge_binary_logits(logits: Matrix) -> Floats:
    """Convert logits (n_rows, n_classes) to those of `Loss`: two classes share one, the difference of their logits."""
    if logits.shape[1] == 2:
        logits = logits[:, 1:] - logits[:, :1]
    return logits.astype(np.float32)
