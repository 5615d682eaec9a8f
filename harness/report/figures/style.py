"""How every picture of a report looks; the only place that makes files of them.

Colours are Okabe and Ito's (Color Universal Design, 2008), told apart by the colour-blind; shapes tell the same again.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from harness.report.markdown import visible

if TYPE_CHECKING:
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

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
