"""How every picture of a report looks; the only place that makes files of them.

Colours are Okabe and Ito's (Color Universal Design, 2008), told apart by the colour-blind; shapes tell the same again.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from harness.report.render.markdown import visible

if TYPE_CHECKING:
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure


class Box(NamedTuple):
    """A rectangle: left, bottom, right, top."""

    left: float
    bottom: float
    right: float
    top: float

    def overlap(self, other: Box) -> float:
        """The area that both share."""
        wide = min(self.right, other.right) - max(self.left, other.left)
        high = min(self.top, other.top) - max(self.bottom, other.bottom)
        return max(wide, 0.0) * max(high, 0.0)

    def outside(self, frame: Box) -> float:
        """The part of its area that lies outside a frame."""
        return (self.right - self.left) * (self.top - self.bottom) - self.overlap(frame)


Point: TypeAlias = tuple[float, float]
Line: TypeAlias = tuple[Point, Point]

PASSES = 3
CROSSING = 300.0  #: what a line that crosses another or a label costs, in hidden area
RADII = (9.0, 18.0, 30.0, 45.0, 65.0, 90.0, 120.0, 160.0)
DIRECTIONS = (0, 180, 45, 315, 135, 225, 90, 270)  #: degrees, best readable first


def place_labels(
    anchors: Sequence[tuple[float, float]], sizes: Sequence[tuple[float, float]], obstacles: Sequence[Box], frame: Box
) -> list[Box]:
    """A box of the given (width, height) near each anchor, clear of obstacles and of one another where there is room.

    The nearest free place wins, free also of lines from other points to their labels; where nothing is free, the place that
    hides least.
    """
    placed: dict[int, Box] = {}
    for _ in range(PASSES):  # one that was placed early moves once it is known where the others stand
        for at, (anchor, size) in enumerate(zip(anchors, sizes, strict=True)):
            others = [(anchors[other], box) for other, box in placed.items() if other != at]
            taken = [*obstacles, *(box for _, box in others)]
            lines = [(point, nearest(point, box)) for point, box in others]
            candidates = (_beside(*anchor, *size, (r, d)) for r in RADII for d in DIRECTIONS)
            costs = [
                (
                    sum(map(box.overlap, taken))
                    + box.outside(frame)
                    + CROSSING * _crossings(anchor, box, others, lines),
                    box,
                )
                for box in candidates
            ]
            placed[at] = min(costs, key=lambda one: one[0])[1]
    return [placed[at] for at in range(len(anchors))]


def nearest(point: Point, box: Box) -> Point:
    """Where in a box the line from a point ends: at its nearest point."""
    return min(max(point[0], box.left), box.right), min(max(point[1], box.bottom), box.top)


def _crossings(anchor: Point, box: Box, others: Sequence[tuple[Point, Box]], lines: Sequence[Line]) -> int:
    """How often the line to a label crosses other lines and labels, and other lines this label."""
    line = anchor, nearest(anchor, box)
    crossed = sum(_crosses(line, other) for other in lines) + sum(_hits(line, other) for _, other in others)
    return crossed + sum(_hits(other, box) for other in lines)


def _crosses(one: Line, other: Line) -> bool:
    """Whether two lines cross, each at a point within the other."""

    def side(line: Line, point: Point) -> float:
        (a, b), (c, d) = line
        return (c - a) * (point[1] - b) - (d - b) * (point[0] - a)

    return side(one, other[0]) * side(one, other[1]) < 0 and side(other, one[0]) * side(other, one[1]) < 0


def _hits(line: Line, box: Box) -> bool:
    """Whether a line passes through a box."""
    corners = ((box.left, box.bottom), (box.right, box.bottom), (box.right, box.top), (box.left, box.top))
    return any(_crosses(line, (corners[at - 1], corners[at])) for at in range(4))


def _beside(x: float, y: float, width: float, height: float, at: tuple[float, float]) -> Box:
    """The box whose nearest edge is `at` = (distance, direction in degrees) from a point."""
    radius, direction = at[0], math.radians(at[1])
    across, up = round(math.cos(direction), 6), round(math.sin(direction), 6)
    left = x + radius * across - width * (1 - across) / 2
    bottom = y + radius * up - height * (1 - up) / 2
    return Box(left, bottom, left + width, bottom + height)


BLUE, ORANGE = "#0072B2", "#D55E00"
COLOURS = (BLUE, ORANGE, "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = "os^Dv<>"
LABEL = 8  #: points
LONGEST = 50  #: characters of a name
STYLE: dict[Any, Any] = {
    "font.size": 9,
    "text.parse_math": False,  # a dollar in a name begins no formula
    "svg.hashsalt": "evenhand",  # the same figure gives the same bytes
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": "0.92",
}


def cut(text: str, longest: int = LONGEST) -> str:
    """A name that fits; the whole of it stands in the tables."""
    plain = visible(text)
    return plain if len(plain) <= longest else f"{plain[: longest - 1]}…"


def figure(width: float, height: float) -> Figure:
    """An empty figure of so many inches, that finds room for its labels itself."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def files(drawn: Figure) -> dict[str, bytes]:
    """A figure by the ending of its file; the same figure gives the same bytes."""
    found = {}
    for ending, metadata in (("png", {"Software": None}), ("svg", {"Date": None, "Creator": None})):
        file = io.BytesIO()
        drawn.savefig(file, format=ending, dpi=130, metadata=metadata)
        found[ending] = file.getvalue()
        drawn.set_layout_engine("none")  # what was placed once stays there: placing takes a third of the time
    return found


def plain_numbers(axis: Axis) -> None:
    """Label a logarithmic axis at 1, 2, 5, 10 and so on, without powers."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=8))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}" if value >= 1000 else f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())
