"""How a network learns, told with numbers: one row forward and backward by hand, then descent on two spirals."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from harness.networks.from_scratch import (
    BENDS,
    Descent,
    Layer,
    Matrix,
    Network,
    backward,
    cross_entropy,
    descend,
    each,
    forward,
    log_softmax,
    new_network,
)
from harness.networks.rows import Rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes


TANH = BENDS["tanh"]
#: The network of the walk-through: two columns, three hidden units, two classes, weights that are easy to follow.
SMALL: Network = [
    Layer(np.array([[0.5, -0.3, 0.8], [0.2, 0.7, -0.6]]), np.array([0.1, 0.0, -0.2])),
    Layer(np.array([[0.6, -0.4], [-0.5, 0.3], [0.2, 0.9]]), np.array([0.0, 0.0])),
]
ROW, OWN_CLASS, ONE = np.array([[0.5, -1.0]]), np.array([0]), np.ones(1)
SHOWN = (0, 20, 200)  # epochs whose decision regions are shown
TOLD = (0, 1, 5, 20, 50, 100, 200)  # epochs in the table
EDGE = 2.2  # half the side of the pictures


@dataclass(frozen=True)
class Lesson:
    """What was learned about the spirals: the networks after every epoch, the untrained one first."""

    seen: Rows  #: learned from
    held: Rows  #: never learned from
    networks: list[Network]

    def loss(self, epoch: int, rows: Rows) -> float:
        """The mean loss of some rows after an epoch."""
        return cross_entropy(_logits(self.networks[epoch], rows.X), rows.y, np.ones(len(rows.y)))

    def accuracy(self, epoch: int, rows: Rows) -> float:
        """The share of some rows that is called right after an epoch."""
        return float((_logits(self.networks[epoch], rows.X).argmax(axis=1) == rows.y).mean())


def spirals(count: int, rng: np.random.Generator) -> Rows:
    """Two spirals that wind around each other, `count` rows each: no straight line parts them."""
    y = np.repeat([0, 1], count)
    along = np.sqrt(rng.uniform(0.01, 1, 2 * count))
    angle = 3 * np.pi * along + np.pi * y
    X = 2 * along[:, None] * np.column_stack([np.cos(angle), np.sin(angle)]) + rng.normal(0, 0.06, (2 * count, 2))
    return Rows(X.astype(np.float32), y, np.ones(2 * count, np.float32))


def finite_differences(loss: Callable[[Network], float], network: Network, step: float = 1e-5) -> Network:
    """The derivatives of a loss by every weight, the slow way: move one weight a little and see what the loss does."""
    network, gradient = each(np.copy, network), each(np.zeros_like, network)
    for weights, slopes in zip(chain(*network), chain(*gradient), strict=True):
        for place in np.ndindex(weights.shape):
            before = weights[place]
            weights[place] = before + step
            higher = loss(network)
            weights[place] = before - step
            slopes[place] = (higher - loss(network)) / (2 * step)
            weights[place] = before
    return gradient


def learn() -> Lesson:
    """Descend on the spirals, two hidden layers of 32."""
    rng = np.random.default_rng(1)
    seen, held = spirals(200, rng), spirals(200, rng)
    start = new_network([2, 32, 32, 2], TANH, rng)
    how = Descent(learning_rate=5e-3, batch_size=64, penalty=0.0, epochs=SHOWN[-1])
    return Lesson(seen, held, [start, *(epoch.network for epoch in descend(start, TANH, seen, how, rng))])


def tell(lesson: Lesson) -> str:
    """The whole walk-through."""
    return "\n\n".join([_question(lesson), _forward(), _backward(), _step(), _descent(lesson), _closing()])


def small_loss(network: Network) -> float:
    """The loss of the one row of the walk-through."""
    return cross_entropy(forward(network, TANH, ROW)[-1], OWN_CLASS, ONE)


def both_gradients() -> tuple[Network, Network]:
    """The derivatives of `small_loss` by every weight: by one walk back, and by finite differences."""
    stages = forward(SMALL, TANH, ROW)
    return backward(SMALL, TANH, stages, OWN_CLASS, ONE), finite_differences(small_loss, SMALL)


def _question(lesson: Lesson) -> str:
    rng = np.random.default_rng(2)
    line = new_network([2, 2], TANH, rng)
    *_, last = descend(line, TANH, lesson.seen, Descent(penalty=0.0, learning_rate=0.02), rng)
    right = (_logits(last.network, lesson.held.X).argmax(axis=1) == lesson.held.y).mean()
    canvas = np.full((19, 47), " ")
    at = np.rint((lesson.seen.X / EDGE + 1) / 2 * (np.array(canvas.shape[::-1]) - 1)).astype(int)
    canvas[canvas.shape[0] - 1 - at[:, 1], at[:, 0]] = np.array(["o", "+"])[lesson.seen.y]
    return "\n".join([
        "1. THE QUESTION",
        "Two classes, o and +, wound around each other. Without hidden layers a network draws one straight line:",
        f"{right:.0%} of new rows are called right. With hidden layers it must find weights that bend the line.",
        *("   " + "".join(row).rstrip() for row in canvas if (row != " ").any()),
    ])  # fmt: skip


def _forward() -> str:
    _, hidden, logits = forward(SMALL, TANH, ROW)
    p = np.exp(log_softmax(logits))[0]
    lines = [
        "2. FORWARD, ONE ROW BY HAND",
        f"x = {_vector(ROW[0])} of class {OWN_CLASS[0]}; three hidden units with f = tanh, then one logit per class. z = x W + b:",
    ]
    for layer, (x, name) in enumerate(((ROW[0], "hidden"), (hidden[0], "logit "))):
        kernel, bias = SMALL[layer]
        for unit in range(len(bias)):
            terms = " + ".join(f"({a:.3g})({w:.3g})" for a, w in zip(x, kernel[:, unit], strict=True))
            z = x @ kernel[:, unit] + bias[unit]
            bent = f"   tanh {np.tanh(z):7.4f}" if layer == 0 else ""
            lines.append(f"   {name} {unit}   {terms} + ({bias[unit]:.3g}) = {z:7.4f}{bent}")
    return "\n".join([
        *lines,
        f"Probabilities p = softmax(z) = {_vector(p)}: exp of every logit, divided by their sum.",
        f"Loss = -log p[{OWN_CLASS[0]}] = -log {p[OWN_CLASS[0]]:.4f} = {small_loss(SMALL):.4f}",
    ])  # fmt: skip


def _backward() -> str:
    gradient, slow = both_gradients()
    dz, dz_hidden = gradient[1].bias, gradient[0].bias  # of one row: the bias of a layer adds nothing to it
    table = [
        f"   {layer} {name:6} {place!s:7} {one[place]:13.9f} {other[place]:13.9f} {abs(one[place] / other[place] - 1):12.0e}"
        for layer, (fast, moved) in enumerate(zip(gradient, slow, strict=True), start=1)
        for name, one, other in zip(("kernel", "bias"), fast, moved, strict=True)
        for place in np.ndindex(one.shape)
    ]
    return "\n".join([
        "3. BACKWARD, THE CHAIN RULE",
        "dz is the derivative of the loss by z: what the loss does when z grows a little. From the loss to the rows:",
        f"   logits   dz = p - own class        {_vector(dz)}",
        f"   hidden   dx = dz Wᵀ                {_vector(SMALL[1].kernel @ dz)}   what each unit is to blame for",
        f"            dz = dx · (1 - tanh²)     {_vector(dz_hidden)}   a saturated unit passes little on",
        "   weights  dW = xᵀ dz,  db = dz      in both layers: what came in, times what comes back",
        "The same derivatives by moving each weight 0.00001 up and down and looking at the loss:",
        "   layer  weight      walk back  moving weight  relative difference",
        *table,
        f"One walk back gave all {len(table)}; moving them took {2 * len(table)} walks forward: a million weights, two million.",
    ])  # fmt: skip


def _step() -> str:
    gradient, _ = both_gradients()
    now = small_loss(SMALL)
    squared = sum(float((slopes**2).sum()) for slopes in chain(*gradient))
    steps = [(rate, each(lambda w, g, rate=rate: w - rate * g, SMALL, gradient)) for rate in (0.01, 0.1, 1.0)]
    return "\n".join([
        "4. ONE STEP DOWN",
        f"Every weight moves against its derivative: w - rate · dw. The loss was {now:.4f}. Where a straight slope would lead,",
        "and where the step does lead: they agree for short steps only.",
        "   rate   by the slope     truly",
        *(f"   {rate:<6} {now - rate * squared:12.4f} {small_loss(moved):9.4f}" for rate, moved in steps),
    ])  # fmt: skip


def _descent(lesson: Lesson) -> str:
    losses = [lesson.loss(epoch, lesson.seen) for epoch in range(len(lesson.networks))]
    table = [
        f"   {epoch:5} {losses[epoch]:12.4f} {lesson.loss(epoch, lesson.held):10.4f} {lesson.accuracy(epoch, lesson.held):12.1%}"
        for epoch in TOLD
    ]
    pictures = [_shades(lesson.networks[epoch]) for epoch in SHOWN]
    return "\n".join([
        f"5. DESCENT: {len(lesson.seen.y)} rows, two hidden layers of 32, batches of 64, Adam",
        "   epoch   loss: rows seen   new rows   right, new rows",
        *table,
        f"Loss of the rows seen, epoch 0 to {SHOWN[-1]}:  {_sparkline(losses[::4])}",
        "Where the network says + (dark) and o (light), " + ", ".join(f"epoch {epoch}" for epoch in SHOWN) + ":",
        *("   " + "   ".join(rows).rstrip() for rows in zip(*pictures, strict=True)),
    ])  # fmt: skip


def _closing() -> str:
    return "\n".join([
        "6. READ IT, RUN IT",
        "All of this is harness/networks/from_scratch.py: `forward`, `backward` and `adam` are a few lines each.",
        "On real rows, next to other families:",
        "   evenhand run --task telco_churn --family network_from_scratch --family dense_network --family logistic_regression",
    ])  # fmt: skip


def _logits(network: Network, X: npt.NDArray[np.floating]) -> Matrix:
    return forward(network, TANH, X.astype(np.float64))[-1]


def positive(network: Network, height: int, width: int) -> Matrix:
    """The probability of class 1 all over the picture, (height, width), the top row first."""
    across, up = np.meshgrid(np.linspace(-EDGE, EDGE, width), np.linspace(EDGE, -EDGE, height))
    logits = _logits(network, np.column_stack([across.ravel(), up.ravel()]))
    probabilities: Matrix = np.exp(log_softmax(logits))[:, 1]
    return probabilities.reshape(height, width)


def _shades(network: Network) -> list[str]:
    marks = np.array(list(" ·░▒▓█"))
    return ["".join(row) for row in marks[np.rint(positive(network, 15, 31) * (len(marks) - 1)).astype(int)]]


def _sparkline(values: list[float]) -> str:
    bars = "▁▂▃▄▅▆▇█"
    low, high = min(values), max(values)
    return "".join(bars[round((value - low) / (high - low) * (len(bars) - 1))] for value in values)


def _vector(values: Matrix) -> str:
    return "(" + ", ".join(f"{value:.4g}" for value in values) + ")"


def draw(lesson: Lesson) -> bytes:
    """The walk-through as a PNG: rows, loss and gradients above, decision regions below. Needs matplotlib."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 7.6), layout="constrained")
    (rows, loss, check), regions = figure.subplots(2, 3)
    _draw_rows(rows, lesson.seen)
    rows.set_title("Rows to learn from")
    epochs = range(len(lesson.networks))
    for name, part in (("rows seen", lesson.seen), ("new rows", lesson.held)):
        loss.plot(epochs, [lesson.loss(epoch, part) for epoch in epochs], label=name)
    loss.set(title="Descent", xlabel="epoch", ylabel="mean loss", yscale="log")
    loss.legend()
    fast, slow = (np.concatenate([one.ravel() for one in chain(*gradient)]) for gradient in both_gradients())
    check.axline((0, 0), slope=1, color="0.8")
    check.plot(slow, fast, "o")
    check.set(title=f"{len(fast)} derivatives, twice", xlabel="moving each weight", ylabel="one walk back")
    for axes, epoch in zip(regions, SHOWN, strict=True):
        region = positive(lesson.networks[epoch], 200, 200)
        axes.imshow(region, extent=(-EDGE, EDGE, -EDGE, EDGE), cmap="PuOr", vmin=0, vmax=1, alpha=0.45)
        _draw_rows(axes, lesson.held)
        axes.set_title(f"Epoch {epoch}: {lesson.accuracy(epoch, lesson.held):.1%} of new rows right")
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=110, metadata={"Software": None})
    return file.getvalue()


def _draw_rows(axes: Axes, rows: Rows) -> None:
    for label, (marker, colour) in enumerate((("o", "tab:orange"), ("+", "indigo"))):
        across, up = rows.X[rows.y == label].T
        axes.scatter(across, up, s=14, marker=marker, color=colour, linewidths=0.8)
    axes.set(xlim=(-EDGE, EDGE), ylim=(-EDGE, EDGE), aspect="equal", xticks=[], yticks=[])
