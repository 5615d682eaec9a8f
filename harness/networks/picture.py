"""The picture of the walk-through; the only module here that imports matplotlib."""

from __future__ import annotations

import io
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from harness.networks.rows import Rows
from harness.networks.walkthrough import EDGE, SHOWN, Lesson, both_gradients, positive

if TYPE_CHECKING:
    from matplotlib.axes import Axes


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
