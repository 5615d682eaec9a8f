"""How a network learns, with numbers: one row forward and backward, then gradient descent on two spirals."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from harness.networks import from_scratch
from harness.networks.from_scratch import DenseLayer, DescentConfig, Matrix, ScratchNetwork
from harness.networks.rows import WeightedRows

if TYPE_CHECKING:
    from matplotlib.axes import Axes


TANH = from_scratch.SCRATCH_ACTIVATIONS["tanh"]
#: The network of the example: two columns, three hidden units, two classes, weights that are easy to follow.
EXAMPLE_NETWORK: ScratchNetwork = [
    DenseLayer(np.array([[0.5, -0.3, 0.8], [0.2, 0.7, -0.6]]), np.array([0.1, 0.0, -0.2])),
    DenseLayer(np.array([[0.6, -0.4], [-0.5, 0.3], [0.2, 0.9]]), np.array([0.0, 0.0])),
]
EXAMPLE_ROW, EXAMPLE_CLASS, EXAMPLE_WEIGHT = np.array([[0.5, -1.0]]), np.array([0]), np.ones(1)
PLOTTED_EPOCHS = (0, 20, 200)  #: epochs whose decision regions are plotted
TABLE_EPOCHS = (0, 1, 5, 20, 50, 100, 200)  #: epochs in the table
PLOT_LIMIT = 2.2  #: half the side of the plots
CANVAS = (19, 47)  #: lines and characters of the plot of the rows


@dataclass(frozen=True)
class SpiralLesson:
    """Training on the spirals.

    Attributes
    ----------
    training, test : WeightedRows
        The rows.
    networks : list of ScratchNetwork
        The network after each epoch, the untrained one first.
    """

    training: WeightedRows
    test: WeightedRows
    networks: list[ScratchNetwork]

    def loss(self, epoch: int, rows: WeightedRows) -> float:
        """Return the mean loss of rows after an epoch."""
        return from_scratch.cross_entropy(_network_logits(self.networks[epoch], rows.X), rows.y, np.ones(len(rows.y)))

    def losses(self, rows: WeightedRows) -> list[float]:
        """Return the mean loss of rows after every epoch."""
        return [self.loss(epoch, rows) for epoch in range(len(self.networks))]

    def accuracy(self, epoch: int, rows: WeightedRows) -> float:
        """Return the share of rows that are classified correctly after an epoch."""
        return _network_accuracy(self.networks[epoch], rows)


def make_spirals(count: int, rng: np.random.Generator) -> WeightedRows:
    """Draw two classes of `count` rows each that form interleaved spirals, which no straight line separates."""
    y = np.repeat([0, 1], count)
    point_radii = np.sqrt(rng.uniform(0.01, 1, 2 * count))
    point_angles = 3 * np.pi * point_radii + np.pi * y
    point_noise = rng.normal(0, 0.06, (2 * count, 2))
    X = 2 * point_radii[:, None] * np.column_stack([np.cos(point_angles), np.sin(point_angles)]) + point_noise
    return WeightedRows(X.astype(np.float32), y, np.ones(2 * count, np.float32))


def finite_differences(
    loss: Callable[[ScratchNetwork], float], network: ScratchNetwork, step: float = 1e-5
) -> ScratchNetwork:
    """Compute the derivatives of a loss numerically, by changing one weight at a time.

    Parameters
    ----------
    loss : callable
        Returns the loss of a network.
    network : list of DenseLayer
        The network.
    step : float, default 1e-5
        By how much a weight is increased and decreased.

    Returns
    -------
    list of DenseLayer
        The derivatives, in the form of the network.
    """
    network, gradient = from_scratch.map_networks(np.copy, network), from_scratch.map_networks(np.zeros_like, network)
    for weights, weight_derivatives in zip(chain(*network), chain(*gradient), strict=True):
        for index in np.ndindex(weights.shape):
            original_weight = weights[index]
            weights[index] = original_weight + step
            loss_above = loss(network)
            weights[index] = original_weight - step
            weight_derivatives[index] = (loss_above - loss(network)) / (2 * step)
            weights[index] = original_weight
    return gradient


def train_on_spirals() -> SpiralLesson:
    """Train a network with two hidden layers of 32 units on the spirals."""
    rng = np.random.default_rng(1)
    training_rows, test_rows = make_spirals(200, rng), make_spirals(200, rng)
    start_network = from_scratch.new_network([2, 32, 32, 2], TANH, rng)
    config = DescentConfig(learning_rate=5e-3, batch_size=64, penalty=0.0, epochs=PLOTTED_EPOCHS[-1])
    trained_networks = [
        epoch.network for epoch in from_scratch.run_gradient_descent(start_network, TANH, training_rows, config, rng)
    ]
    return SpiralLesson(training_rows, test_rows, [start_network, *trained_networks])


def describe_walkthrough(lesson: SpiralLesson) -> str:
    """Return the text of the whole walk-through."""
    sections = [
        _introduction_lines(lesson),
        _forward_pass_lines(),
        _backward_pass_lines(),
        _gradient_step_lines(),
        _descent_lines(lesson),
        _closing_lines(),
    ]
    return "\n\n".join(map("\n".join, sections))


def loss_on_example(network: ScratchNetwork) -> float:
    """Return the loss of the example's row."""
    return from_scratch.cross_entropy(
        from_scratch.forward(network, TANH, EXAMPLE_ROW)[-1], EXAMPLE_CLASS, EXAMPLE_WEIGHT
    )


def example_gradients() -> tuple[ScratchNetwork, ScratchNetwork]:
    """Return the derivatives of `loss_on_example`, by backpropagation and by finite differences."""
    layer_outputs = from_scratch.forward(EXAMPLE_NETWORK, TANH, EXAMPLE_ROW)
    gradient = from_scratch.backward(EXAMPLE_NETWORK, TANH, layer_outputs, EXAMPLE_CLASS, EXAMPLE_WEIGHT)
    return gradient, finite_differences(loss_on_example, EXAMPLE_NETWORK)


def _introduction_lines(spiral_lesson: SpiralLesson) -> list[str]:
    rng = np.random.default_rng(2)
    linear_network = from_scratch.new_network([2, 2], TANH, rng)
    *_, last_epoch = from_scratch.run_gradient_descent(
        linear_network, TANH, spiral_lesson.training, DescentConfig(penalty=0.0, learning_rate=0.02), rng
    )
    linear_accuracy = _network_accuracy(last_epoch.network, spiral_lesson.test)
    character_canvas = np.full(CANVAS, " ")
    position = np.rint((spiral_lesson.training.X / PLOT_LIMIT + 1) / 2 * (np.array(CANVAS[::-1]) - 1)).astype(int)
    character_canvas[CANVAS[0] - 1 - position[:, 1], position[:, 0]] = np.array(["o", "+"])[spiral_lesson.training.y]
    plot_lines = [f"   {''.join(line)}".rstrip() for line in character_canvas if (line != " ").any()]
    return [
        "1. THE QUESTION",
        "Two classes, o and +, form two interleaved spirals. Without hidden layers a network separates them by a straight line",
        f"and classifies {linear_accuracy:.0%} of new rows correctly. With hidden layers it can learn a curved boundary.",
        *plot_lines,
    ]


def _forward_pass_lines() -> list[str]:
    _, hidden_outputs, logits = from_scratch.forward(EXAMPLE_NETWORK, TANH, EXAMPLE_ROW)
    p = np.exp(from_scratch.log_softmax(logits))[0]
    true_class, row = EXAMPLE_CLASS[0], _format_vector(EXAMPLE_ROW[0])
    lines = [
        "2. FORWARD PASS OF ONE ROW",
        f"x = {row} of class {true_class}; three hidden units with f = tanh, then a logit per class. z = x W + b:",
    ]
    for x, name, (kernel, bias) in zip(
        (EXAMPLE_ROW[0], hidden_outputs[0]), ("hidden", "logit "), EXAMPLE_NETWORK, strict=True
    ):
        for unit_index in range(len(bias)):
            products_text = " + ".join(f"({a:.3g})({w:.3g})" for a, w in zip(x, kernel[:, unit_index], strict=True))
            z = x @ kernel[:, unit_index] + bias[unit_index]
            line = f"   {name} {unit_index}   {products_text} + ({bias[unit_index]:.3g}) = {z:7.4f}"
            if name == "hidden":
                line += f"   tanh {np.tanh(z):7.4f}"
            lines.append(line)
    return [
        *lines,
        f"Probabilities p = softmax(z) = {_format_vector(p)}: exp of every logit, divided by their sum.",
        f"Loss = -log p[{true_class}] = -log {p[true_class]:.4f} = {loss_on_example(EXAMPLE_NETWORK):.4f}",
    ]


def _backward_pass_lines() -> list[str]:
    gradient, numerical_gradient = example_gradients()
    dz, dz_hidden = gradient[1].bias, gradient[0].bias  # of one row: the derivative by the bias is that by z
    table = []
    for layer, (exact_layer, numerical_layer) in enumerate(zip(gradient, numerical_gradient, strict=True), start=1):
        for name, exact_array, numerical_array in zip(("kernel", "bias"), exact_layer, numerical_layer, strict=True):
            for index in np.ndindex(exact_array.shape):
                difference = abs(exact_array[index] / numerical_array[index] - 1)
                comparison_text = f"{exact_array[index]:15.9f} {numerical_array[index]:19.9f} {difference:20.0e}"
                table.append(f"   {layer} {name:6} {index!s:7} {comparison_text}")
    hidden_derivative = _format_vector(EXAMPLE_NETWORK[1].kernel @ dz)
    return [
        "3. BACKWARD PASS: THE CHAIN RULE",
        "dz is the derivative of the loss with respect to z: the rate at which the loss changes with z. From loss to rows:",
        f"   logits   dz = p - true class       {_format_vector(dz)}",
        f"   hidden   dx = dz Wᵀ                {hidden_derivative}   derivative by the output of each unit",
        f"            dz = dx · (1 - tanh²)     {_format_vector(dz_hidden)}   small where a unit is saturated",
        "   weights  dW = xᵀ dz,  db = dz      in both layers: input of the layer times derivative by its z",
        "The same derivatives by finite differences, moving each weight up and down by 0.00001:",
        "   layer  weight     backpropagation  finite difference  relative difference",
        *table,
        f"One backward pass gave all {len(table)}; finite differences took {2 * len(table)} forward passes, two per weight.",
    ]


def _gradient_step_lines() -> list[str]:
    gradient, _ = example_gradients()
    loss = loss_on_example(EXAMPLE_NETWORK)
    squared_norm = sum(float((array**2).sum()) for array in chain(*gradient))
    table = []
    for learning_rate in (0.01, 0.1, 1.0):
        moved_network = from_scratch.map_networks(
            lambda w, g, learning_rate=learning_rate: w - learning_rate * g, EXAMPLE_NETWORK, gradient
        )
        table.append(
            f"   {learning_rate:<6} {loss - learning_rate * squared_norm:15.4f} {loss_on_example(moved_network):8.4f}"
        )
    return [
        "4. ONE STEP OF GRADIENT DESCENT",
        f"Every weight moves against its derivative: w - rate · dw. The loss was {loss:.4f}. The loss after the step, as the gradient",
        "predicts it and as it is: they agree for small steps only.",
        "   rate   by the gradient   actual",
        *table,
    ]


def _descent_lines(spiral_lesson: SpiralLesson) -> list[str]:
    training_losses, test_losses = (
        spiral_lesson.losses(spiral_lesson.training),
        spiral_lesson.losses(spiral_lesson.test),
    )
    table = []
    for epoch in TABLE_EPOCHS:
        losses = f"{training_losses[epoch]:14.4f} {test_losses[epoch]:9.4f}"
        table.append(f"   {epoch:5} {losses} {spiral_lesson.accuracy(epoch, spiral_lesson.test):18.1%}")
    decision_regions = [_decision_region_lines(spiral_lesson.networks[epoch]) for epoch in PLOTTED_EPOCHS]
    plot_captions = ", ".join(f"epoch {epoch}" for epoch in PLOTTED_EPOCHS)
    return [
        f"5. TRAINING: {len(spiral_lesson.training.y)} rows, two hidden layers of 32, batches of 64, Adam",
        "   epoch  training loss  test loss  accuracy on test rows",
        *table,
        f"Training loss, epoch 0 to {PLOTTED_EPOCHS[-1]}:  {_loss_sparkline(training_losses[::4])}",
        f"Regions where the network predicts + (dark) and o (light), {plot_captions}:",
        *(f"   {'   '.join(lines)}".rstrip() for lines in zip(*decision_regions, strict=True)),
    ]


def _closing_lines() -> list[str]:
    return [
        "6. THE CODE",
        "All of this is harness/networks/from_scratch.py: `forward`, `backward` and `make_adam_step` are a few lines each.",
        "To compare it with other families on real rows:",
        "   evenhand run --task telco_churn --family network_from_scratch --family dense_network --family logistic_regression",
    ]


def _network_logits(scratch_network: ScratchNetwork, X: npt.NDArray[np.floating]) -> Matrix:
    return from_scratch.forward(scratch_network, TANH, X.astype(np.float64))[-1]


def _network_accuracy(scratch_network: ScratchNetwork, rows: WeightedRows) -> float:
    return float((_network_logits(scratch_network, rows.X).argmax(axis=1) == rows.y).mean())


def probability_grid(network: ScratchNetwork, height: int, width: int) -> Matrix:
    """Return the probability of class 1 on a grid that covers the plot, shape (height, width), the top row first."""
    x, y = np.meshgrid(np.linspace(-PLOT_LIMIT, PLOT_LIMIT, width), np.linspace(PLOT_LIMIT, -PLOT_LIMIT, height))
    logits = _network_logits(network, np.column_stack([x.ravel(), y.ravel()]))
    probabilities: Matrix = np.exp(from_scratch.log_softmax(logits))[:, 1]
    return probabilities.reshape(height, width)


def _decision_region_lines(scratch_network: ScratchNetwork) -> list[str]:
    shade_characters = np.array(list(" ·░▒▓█"))
    shade_indices = np.rint(probability_grid(scratch_network, 15, 31) * (len(shade_characters) - 1)).astype(int)
    return list(map("".join, shade_characters[shade_indices]))


def _loss_sparkline(losses: list[float]) -> str:
    bars = np.array(list("▁▂▃▄▅▆▇█"))
    relative_losses = (np.array(losses) - min(losses)) / (max(losses) - min(losses))
    return "".join(bars[np.rint(relative_losses * (len(bars) - 1)).astype(int)])


def _format_vector(vector_entries: Matrix) -> str:
    return f"({', '.join(f'{vector_entry:.4g}' for vector_entry in vector_entries)})"


def draw_walkthrough_figure(lesson: SpiralLesson) -> bytes:
    """Plot the walk-through with matplotlib: rows, loss and gradients above, decision regions below.

    Parameters
    ----------
    lesson : SpiralLesson
        The training.

    Returns
    -------
    bytes
        A PNG file.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 7.6), layout="constrained")
    (rows_axes, loss_axes, gradient_axes), region_axes = figure.subplots(2, 3)
    _draw_spirals(rows_axes, lesson.training)
    rows_axes.set_title("Training rows")
    for label, rows in (("training rows", lesson.training), ("test rows", lesson.test)):
        loss_axes.plot(lesson.losses(rows), label=label)
    loss_axes.set(title="Training", xlabel="epoch", ylabel="mean loss", yscale="log")
    loss_axes.legend()
    exact_gradient, numerical_gradient = (
        np.concatenate(list(map(np.ravel, chain(*gradient)))) for gradient in example_gradients()
    )
    gradient_axes.axline((0, 0), slope=1, color="0.8")
    gradient_axes.plot(numerical_gradient, exact_gradient, "o")
    gradient_axes.set(title=f"{len(exact_gradient)} derivatives", xlabel="finite differences", ylabel="backpropagation")
    plot_extent = (-PLOT_LIMIT, PLOT_LIMIT, -PLOT_LIMIT, PLOT_LIMIT)
    for axes, epoch in zip(region_axes, PLOTTED_EPOCHS, strict=True):
        class_probabilities = probability_grid(lesson.networks[epoch], 200, 200)
        axes.imshow(class_probabilities, extent=plot_extent, cmap="PuOr", vmin=0, vmax=1, alpha=0.45)
        _draw_spirals(axes, lesson.test)
        axes.set_title(f"Epoch {epoch}: accuracy on test rows {lesson.accuracy(epoch, lesson.test):.1%}")
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=110, metadata={"Software": None})
    return file.getvalue()


def _draw_spirals(axes: Axes, rows: WeightedRows) -> None:
    for label, (point_marker, point_color) in enumerate((("o", "tab:orange"), ("+", "indigo"))):
        x, y = rows.X[rows.y == label].T
        axes.scatter(x, y, s=14, marker=point_marker, color=point_color, linewidths=0.8)
    axes.set(xlim=(-PLOT_LIMIT, PLOT_LIMIT), ylim=(-PLOT_LIMIT, PLOT_LIMIT), aspect="equal", xticks=[], yticks=[])
