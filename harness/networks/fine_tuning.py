"""The pretrained network as a classifier: a head on its frozen features, or its last blocks trained together with one.

It takes what `harness.preprocessing.image` makes of pictures, so that of the frozen part nothing is computed here. Which of
both it is shows in the shape of a row.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from harness.errors import DataError
from harness.networks import pretrained
from harness.networks.base import Learner
from harness.networks.dense import without_batch_norm
from harness.networks.dense_classifier import DenseClassifier, Entering
from harness.networks.history import EarlyStopping
from harness.networks.keras_training import Course, built, finish, fresh, predict, train
from harness.networks.last_blocks import LEARNING, Activations, Upper, activations
from harness.networks.layers import Layer
from harness.networks.losses import Floats, Loss
from harness.networks.optimizer import Schedule
from harness.networks.pretrained import CUTS, FEATURES, GRID, SIZE, TABLE, lower, working_size
from harness.networks.rows import matrix, training_rows, watched_rows
from harness.networks.torch_weights import read_weights

COLUMNS = {GRID * GRID * TABLE[LEARNING[1] - 1].channels: "grid", FEATURES: "features"}
LEAST_SPREAD = (
    0.1  #: of a column, in mean spreads of all: a feature that is nearly always the same must not become large
)

SLOWER = 0.7  #: the learning rate of blocks, in that of a head
PICTURES = (
    2_500  #: that blocks are trained on, however many different ones there are: a picture costs 7 ms at 160 pixels
)

Dense: TypeAlias = list[tuple[Floats, Floats]]  #: kernel and bias of each layer
Given: TypeAlias = tuple[npt.ArrayLike, npt.ArrayLike, npt.ArrayLike | None]  #: X, y, sample_weight


def head_schedule(**params: Any) -> Schedule:
    """How a head is trained, `params` apart: features are well made, and few epochs suffice."""
    usual: dict[str, Any] = {"learning_rate": 1e-3, "batch_size": 32, "epochs": 20, "patience": 3}
    return Schedule(**usual | {"least_steps": 200, "least_patience": 20} | params)


@dataclass(eq=False)
class PretrainedClassifier(Learner):
    """A classifier of pictures that the frozen part of the pretrained network has seen; every draw comes from `seed`.

    Rows of features (n, d) get a head trained in NumPy: linear, or with a hidden layer of `units`. From activations
    (n, h, w, 112) or, with views, (n, 1 + views, h, w, 112) the last blocks are trained together with such a head; each
    epoch then draws one of a training picture's views, while watched and predicted pictures are taken as they are.

    `schedule` is the head's, from which `course_of` makes that of blocks and head together; `gamma` above 0 makes the loss
    focal. `published` reads the file of the weights.

    Attributes after `fit`: `classes_` (k,), `history_`, and `weights_`: kernels and biases of the head, behind those of
    the blocks where they were trained.
    """

    seed: int
    published: Callable[[], bytes]
    units: int = 0
    gamma: float = 0.0
    schedule: Schedule = field(default_factory=head_schedule)

    def fit(
        self,
        X: npt.ArrayLike,
        y: npt.ArrayLike,
        sample_weight: npt.ArrayLike | None = None,
        validation: tuple[npt.ArrayLike, npt.ArrayLike] | None = None,
    ) -> PretrainedClassifier:
        """Learn from rows X and labels y (n,); returns itself.

        `validation` (X, y) are real rows that decide which epoch is kept, weighted to the class shares of the training rows as in
        `harness.networks.rows`. Weights count relative to each other. Raises `DataError` for rows that cannot be learned
        from, `EvenhandError` where training diverges.
        """
        self.upper_: Upper | None = None
        learn = self._fit_head if np.ndim(X) == 2 else self._fit_blocks
        learn((X, y, sample_weight), validation)
        return self

    def predict_proba(self, X: npt.ArrayLike) -> Floats:
        """The probability of every class, shape (n, k), float32."""
        if self.upper_ is None:
            return self.head_.predict_proba(X)
        return self.loss.probabilities(predict(self.upper_, self.weights_, activations(X, self.upper_.row)))

    @property
    def inputs(self) -> Entering | Activations:
        """How rows enter what was trained: `inputs(X)` is what `keras_logits` takes."""
        return Activations(self.upper_.form) if self.upper_ else Entering(len(self.weights_[0]))

    @property
    def parameters(self) -> int:
        """The number of trained parameters; frozen ones do not count."""
        return sum(values.size for values in self.weights_)

    @property
    def architecture(self) -> tuple[Layer, ...]:
        """What the network is made of, the frozen part as one layer and the trained blocks as another."""
        if self.upper_ is None:
            columns = len(self.weights_[0])
            cut = COLUMNS.get(columns, "features")
            layers = [Layer(cut, "EfficientNet-Lite0, frozen", (columns,), pretrained.parameters(0, CUTS[cut]))]
        else:
            first, last = LEARNING
            form = pretrained.activation_shape(last, self.upper_.size)
            layers = [
                Layer("stages", "EfficientNet-Lite0, frozen", self.upper_.form, pretrained.parameters(0, first - 1)),
                Layer("last_blocks", f"blocks {first} to {last}", form, pretrained.parameters(first, last)),
                Layer("grid", "means over parts of the picture", (len(self._dense[0][0]),), 0),
            ]
        for (kernel, bias), name in zip(self._dense, ["hidden", "logits"][-len(self._dense) :], strict=True):
            kind = "dense, ReLU" if name == "hidden" else "dense"
            layers.append(Layer(name, kind, bias.shape, kernel.size + bias.size))
        return tuple(layers)

    def keras_model(self, picture: tuple[int, int, int] | None = None) -> Any:
        """The whole network as an ordinary compiled Keras model, of pictures (h, w, 1 or 3) with values 0 to 255.

        `picture` is the shape of the pictures that the rows were made from; they are scaled inside. Without it the model is
        one of colour pictures that need no scaling: what rows of features came from does not show in them. Its
        probabilities are those of `predict_proba` within 1e-4, behind trained blocks within what the half precision
        of activations costs (0.01). The frozen part is frozen in it too, plain `fit` goes on with the rest.
        """
        import keras

        own = self.upper_.size if self.upper_ else SIZE
        height, width, channels = picture or (own, own, 3)
        size = own if self.upper_ else working_size(max(height, width))
        below = lower(pretrained.without_batch_norm(read_weights(self.published())), self._cut, size)
        below.trainable = False
        entry = x = keras.Input((height, width, channels), name="pictures")
        if (height, width) != (size, size):
            x = keras.layers.Resizing(size, size, antialias=True, name="scaled_pictures")(x)
        if channels == 1:
            x = keras.layers.Concatenate(name="grey_as_colour")([x, x, x])
        model = keras.Model(entry, self.keras_logits()(below(x)), name="pretrained_network")
        return finish(model, self.schedule if self.upper_ is None else course_of(self.schedule), self.loss)

    def _fit_head(self, rows: Given, validation: tuple[npt.ArrayLike, npt.ArrayLike] | None) -> None:
        """Train the head alone, on standardised features; the scaling is then multiplied into its first layer."""
        X, y, sample_weight = rows
        features = matrix(X)
        mean, spread = features.mean(axis=0), features.std(axis=0)
        spread = np.maximum(spread, LEAST_SPREAD * spread.mean()) + np.float32(1e-6)
        self.head_ = DenseClassifier(self.seed, (self.units,) if self.units else (), False, self.gamma, self.schedule)
        watched = validation and ((matrix(validation[0], features.shape[1]) - mean) / spread, validation[1])
        self.head_.fit((features - mean) / spread, y, sample_weight, watched)
        weights = self.head_.network_.weights
        weights.kernels[0][:] /= spread[:, None]
        weights.shifts[0][:] -= mean @ weights.kernels[0]
        self.classes_, self.history_ = self.head_.classes_, self.head_.history
        self.weights_ = [values for layer in without_batch_norm(self.head_.network_) for values in layer]

    def _fit_blocks(self, rows: Given, validation: tuple[npt.ArrayLike, npt.ArrayLike] | None) -> None:
        """Train blocks and head together, from ImageNet's blocks and a head that begins at the class shares."""
        X, y, sample_weight = rows
        held = activations(X)
        loss = Loss(len(np.unique(np.asarray(y))), self.gamma)
        views = held.shape[1] - 1 if held.ndim == 5 else 0
        form = (held.shape[-3], held.shape[-2], held.shape[-1])
        upper = self.upper_ = Upper(form, views, self.units, loss.outputs, self.published)
        real, self.classes_ = training_rows(held, y, sample_weight, activations)
        watched = validation and watched_rows(validation, real, self.classes_, lambda X: activations(X, upper.row))
        course = course_of(self.schedule, len(real.y)).stretched(len(real.y))
        course = replace(course, augment=float(views > 0))
        watch = EarlyStopping(loss, real, watched, course.patience)
        drawn = fresh(upper, np.random.default_rng(self.seed), watch.prior_logits)
        start = built(upper, watch.prior_logits)[: -upper.head] + drawn[-upper.head :]
        self.weights_ = train(upper, start, course, watch, self.seed)
        self.history_ = watch.history(course.batch_size)

    def keras_logits(self) -> Any:
        """What was trained, as a Keras model that is not compiled: from features or activations to logits."""
        import keras

        if self.upper_ is not None:
            model = replace(self.upper_, views=0).build(lambda: keras.layers.Dropout(self.schedule.dropout))
        else:
            model = keras.Sequential([keras.Input((len(self.weights_[0]),))], name="head")
            for _, bias in self._dense[:-1]:
                model.add(keras.layers.Dense(len(bias), activation="relu", name="hidden"))
                model.add(keras.layers.Dropout(self.schedule.dropout))
            model.add(keras.layers.Dense(self.loss.outputs, name="logits"))
        model.set_weights(self.weights_)
        return model

    @property
    def _cut(self) -> str:
        columns = len(self._dense[0][0])
        if columns not in COLUMNS:
            raise DataError(
                f"these {columns} features came from no cut of the network: expected one of {list(COLUMNS)}"
            )
        return "last_blocks" if self.upper_ else COLUMNS[columns]

    @property
    def _dense(self) -> Dense:
        """Kernel and bias of the head's layers."""
        head = self.weights_[-self.upper_.head :] if self.upper_ else self.weights_
        return list(zip(head[::2], head[1::2], strict=True))


def course_of(schedule: Schedule, rows: int = 0) -> Course:
    """How blocks are trained with a head that `schedule` is for: more slowly, and on about `PICTURES` pictures in all."""
    return Course(
        learning_rate=SLOWER * schedule.learning_rate,
        batch_size=schedule.batch_size,
        dropout=schedule.dropout,
        weight_decay=schedule.weight_decay,
        clip=schedule.clip,
        epochs=max(1, min(6, round(PICTURES / max(rows, 1)))),
        least_steps=schedule.least_steps // 7,
    )
