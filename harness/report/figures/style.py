"""The style of all figures of a report, the placement of labels, and the only place that turns a figure into files.

The colours are those of Okabe and Ito (Color Universal Design, 2008), which colour-blind readers can distinguish; markers
repeat what colours say.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from functools import wraps
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple, ParamSpec, TypeAlias

from harness.report.render.cells import replace_control_characters
from harness.report.render.fonts import replace_missing_characters
from harness.report.render.svg import compact_svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

BLUE, ORANGE = "#0072B2", "#D55E00"
COLOURS = (BLUE, ORANGE, "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = "os^Dv<>"
LABEL_SIZE = 8  #: points
DPI = 72  #: an SVG file counts in points
MAX_OPACITY = 0.7  #: of coloured cells: black is readable on them, and so is the text of a dark page
CENTRED_TEXT: dict[str, Any] = {"ha": "center", "va": "center"}
MAX_NAME_LENGTH = 50  #: characters
STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.titley": 1.0,  # no ticks at the top: the position need not be searched for, which measures all ticks twice
    "legend.frameon": False,
    "text.parse_math": False,  # a dollar sign in a name starts no formula
    "svg.hashsalt": "evenhand",  # the same figure gives the same bytes
    "svg.fonttype": "none",  # texts stay texts: smaller, and in the font of the page
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": "0.92",
}

PLACEMENT_PASSES = 3
CROSSING_COST = 300.0  #: of a line that crosses another line or a label, in hidden pixels
LABEL_DISTANCES = (9.0, 18.0, 30.0, 45.0, 65.0, 90.0, 120.0, 160.0)
LABEL_DIRECTIONS = (0, 180, 45, 315, 135, 225, 90, 270)  #: degrees, the most readable first

P = ParamSpec("P")
Point: TypeAlias = tuple[float, float]
Segment: TypeAlias = tuple[Point, Point]


class Box(NamedTuple):
    """A rectangle."""

    x0: float
    y0: float
    x1: float
    y1: float

    def overlap_area(self, other: Box) -> float:
        """The area that two rectangles share."""
        width = min(self.x1, other.x1) - max(self.x0, other.x0)
        height = min(self.y1, other.y1) - max(self.y0, other.y0)
        return max(width, 0.0) * max(height, 0.0)

    def area_outside(self, frame: Box) -> float:
        """The part of its area that lies outside a frame."""
        return (self.x1 - self.x0) * (self.y1 - self.y0) - self.overlap_area(frame)


def create_figure(width: float, height: float) -> Figure:
    """Create an empty figure, of a size in inches, whose layout leaves room for its labels."""
    from matplotlib.figure import Figure

    from harness.report.figures.layout import PanelLayout

    return Figure(figsize=(width, height), dpi=DPI, layout=PanelLayout())


def create_axes(width: float, height: float) -> tuple[Figure, Axes]:
    """Create a figure with one panel, of a size in inches."""
    figure = create_figure(width, height)
    return figure, figure.subplots()


def styled_figure(build: Callable[P, Figure]) -> Callable[P, bytes]:
    """Decorate a function that builds a figure: it is called in the style of all figures and returns the SVG file."""

    @wraps(build)
    def draw(*args: P.args, **options: P.kwargs) -> bytes:
        from matplotlib import rc_context

        with rc_context(STYLE):
            return encode_figure(build(*args, **options))

    return draw


def create_panels(
    n: int, columns: int, *, width: float, margin: float, row_height: float, **options: Any
) -> tuple[Figure, list[Axes]]:
    """Create a figure with panels in rows.

    Parameters
    ----------
    n : int
        The number of panels.
    columns : int
        The number of panels in a row.
    width : float
        The width of the figure in inches.
    margin, row_height : float
        The height of the figure in inches is `margin` and `row_height` for every row.
    **options
        Arguments of `Figure.subplots`.

    Returns
    -------
    tuple of Figure and list of Axes
        The figure and its panels, row by row.
    """
    rows = -(-n // columns)
    figure = create_figure(width, margin + row_height * rows)
    figure_panels = figure.subplots(rows, columns, squeeze=False, **options).ravel().tolist()
    for unused_panel in figure_panels[n:]:
        unused_panel.remove()
    return figure, figure_panels[:n]


def label_outer_axes(panels: Sequence[Axes], columns: int, xlabel: str, ylabel: str) -> None:
    """Label the first panel of each row, and the last one of each column."""
    for axes in panels[::columns]:
        axes.set_ylabel(ylabel)
    for axes in panels[-columns:]:
        axes.set_xlabel(xlabel)


def split_coordinates(points: Sequence[Point]) -> tuple[list[float], list[float]]:
    """The x and the y coordinates of points."""
    return [x for x, _ in points], [y for _, y in points]


def encode_figure(figure: Figure) -> bytes:
    """Encode a figure as SVG.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        The figure, which is drawn once.

    Returns
    -------
    bytes
        The file; the same figure gives the same bytes.
    """
    replace_missing_characters(figure)
    fix_layout(figure)
    file = io.BytesIO()
    figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    return compact_svg(file.getvalue().decode()).encode()


def fix_layout(figure: Figure) -> None:
    """Make the layout of a figure, if that has not been done, and leave it at that."""
    layout_engine = figure.get_layout_engine()
    if layout_engine is not None:
        layout_engine.execute(figure)
    figure.set_layout_engine(
        None
    )  # with any engine, even one that does nothing, `savefig` draws all a second time, unseen


def cell_colour(depth: float) -> tuple[str, float]:
    """The colour of a cell of a heatmap with its opacity: from -1 (orange) over 0 (none) to 1 (blue)."""
    return ORANGE if depth < 0 else BLUE, MAX_OPACITY * min(abs(depth), 1.0)


def shorten_name(text: str, max_length: int = MAX_NAME_LENGTH) -> str:
    """Shorten a name to a number of characters; the tables have all of it."""
    name = replace_control_characters(text)
    return name if len(name) <= max_length else f"{name[: max_length - 1]}…"


def shorten_lines(text: str, max_length: int) -> str:
    """Shorten every line of a title to a number of characters."""
    return "\n".join(shorten_name(line, max_length) for line in text.split("\n"))


def line_colour(index: int) -> str:
    """The colour of a family or a line by its number."""
    return COLOURS[index % len(COLOURS)]


def family_marker(index: int) -> str:
    """The marker of a family by its number; families that share a colour have different markers."""
    return MARKERS[(index + index // len(COLOURS)) % len(MARKERS)]


def collect_legend_handles(panels: Sequence[Axes]) -> dict[str, Any]:
    """The handles of the legends of all panels by label, each label once."""
    handle_by_label: dict[str, Any] = {}
    for axes in panels:
        for legend_handle, legend_label in zip(*axes.get_legend_handles_labels(), strict=True):
            handle_by_label.setdefault(legend_label, legend_handle)
    return handle_by_label


def set_plain_log_ticks(axis: Axis) -> None:
    """Label a logarithmic axis at 1, 2, 5, 10 and so on, without powers of ten."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    axis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=8))
    axis.set_major_formatter(FuncFormatter(lambda tick, _: f"{tick:,.0f}" if tick >= 1000 else f"{tick:g}"))
    axis.set_minor_locator(NullLocator())


def position_labels(
    anchors: Sequence[Point], sizes: Sequence[tuple[float, float]], obstacles: Sequence[Box], frame: Box
) -> list[Box]:
    """Position labels near the points that they name.

    Of all positions around a point, the nearest is chosen that is free of obstacles, of other labels and of the lines
    between other points and their labels; where none is free, the position that hides least.

    Parameters
    ----------
    anchors : sequence of (x, y)
        The points.
    sizes : sequence of (width, height)
        The sizes of the labels.
    obstacles : sequence of Box
        Rectangles that no label should cover.
    frame : Box
        The rectangle in which labels should lie.

    Returns
    -------
    list of Box
        The rectangle of every label.
    """
    positioned_boxes: dict[int, Box] = {}
    for _ in range(PLACEMENT_PASSES):  # early labels move once the positions of the others are known
        for label_index, (anchor, label_size) in enumerate(zip(anchors, sizes, strict=True)):
            other_labels = [
                (anchors[other_index], box)
                for other_index, box in positioned_boxes.items()
                if other_index != label_index
            ]
            occupied_boxes = [*obstacles, *(box for _, box in other_labels)]
            lines = [(point, nearest_point_of_box(point, box)) for point, box in other_labels]
            min_cost = math.inf
            for candidate_box in _label_candidates(anchor, label_size):
                hidden_area = sum(map(candidate_box.overlap_area, occupied_boxes)) + candidate_box.area_outside(frame)
                cost = hidden_area + CROSSING_COST * _count_crossings(anchor, candidate_box, other_labels, lines)
                if cost < min_cost:
                    min_cost, positioned_boxes[label_index] = cost, candidate_box
    return [positioned_boxes[label_index] for label_index in range(len(anchors))]


def nearest_point_of_box(point: Point, box: Box) -> Point:
    """The point of a rectangle that is nearest to another point: there the line to a label ends."""
    return min(max(point[0], box.x0), box.x1), min(max(point[1], box.y0), box.y1)


def _label_candidates(label_anchor: Point, label_size: tuple[float, float]) -> list[Box]:
    """The rectangles of a label around a point, by distance, then by direction."""
    width, height = label_size
    candidate_boxes = []
    for distance in LABEL_DISTANCES:
        for label_direction in map(math.radians, LABEL_DIRECTIONS):
            dx, dy = round(math.cos(label_direction), 6), round(math.sin(label_direction), 6)
            x0 = label_anchor[0] + distance * dx - width * (1 - dx) / 2
            y0 = label_anchor[1] + distance * dy - height * (1 - dy) / 2
            candidate_boxes.append(Box(x0, y0, x0 + width, y0 + height))
    return candidate_boxes


def _count_crossings(
    label_anchor: Point, label_box: Box, other_labels: Sequence[tuple[Point, Box]], other_lines: Sequence[Segment]
) -> int:
    """How often the line to a label crosses other lines and labels, and other lines cross this label."""
    line = label_anchor, nearest_point_of_box(label_anchor, label_box)
    crossed_lines = sum(_segments_cross(line, other_line) for other_line in other_lines)
    crossed_labels = sum(_segment_crosses_box(line, other_line) for _, other_line in other_labels)
    return (
        crossed_lines + crossed_labels + sum(_segment_crosses_box(other_line, label_box) for other_line in other_lines)
    )


def _segments_cross(first_segment: Segment, second_segment: Segment) -> bool:
    """Whether two segments cross at a point within both."""
    return (
        _signed_side_of_line(first_segment, second_segment[0]) * _signed_side_of_line(first_segment, second_segment[1])
        < 0
        and _signed_side_of_line(second_segment, first_segment[0])
        * _signed_side_of_line(second_segment, first_segment[1])
        < 0
    )


def _signed_side_of_line(line: Segment, point: Point) -> float:
    """Positive on one side of a line, negative on the other."""
    (x0, y0), (x1, y1) = line
    return (x1 - x0) * (point[1] - y0) - (y1 - y0) * (point[0] - x0)


def _segment_crosses_box(line_segment: Segment, box: Box) -> bool:
    x0, y0, x1, y1 = box
    box_corners = [(x0, y1), (x0, y0), (x1, y0), (x1, y1), (x0, y1)]
    return any(_segments_cross(line_segment, box_edge) for box_edge in pairwise(box_corners))
