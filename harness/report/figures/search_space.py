"""What a search tried: which parameters its score depends on, and the trials in parallel coordinates."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from harness.report.figures.style import BLUE, LABEL, ORANGE, STYLE, cut, figure, files

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PANELS, BARS = 6, 8
STRATEGY = "strategy"
NAME, TITLE = 28, 44  #: characters of a name, of a line above a panel
ABSENT = -0.14  #: where a trial crosses the axis of a parameter that it does not have
WIDEST = 14  #: characters in a line of a name


class Weights(NamedTuple):
    """Shares of the parameters of one family: a share for every split."""

    title: str
    shares: tuple[tuple[str, tuple[float, ...]], ...]


class Scale(NamedTuple):
    """An axis: its range, or its options spelled out; `log` where it is searched by its logarithm."""

    name: str
    low: float
    high: float
    log: bool
    options: tuple[str, ...]


class Tried(NamedTuple):
    """A trial: a place on every axis (an option's position; NaN where it has none), its score, whether it is the default."""

    places: tuple[float, ...]
    score: float
    default: bool


def importance_figure(families: tuple[Weights, ...], label: str) -> dict[str, bytes]:
    """A panel for every family: shares of its parameters, the mean of the splits as bars, every split as a dot."""
    from matplotlib import rc_context

    families = families[:PANELS]
    across = min(len(families), 2)
    down = -(-len(families) // across)
    most = max(min(len(one.shares), BARS) for one in families)
    with rc_context(STYLE):
        drawn = figure(max(0.6 + 4.0 * across, 6.4), 0.6 + down * (0.6 + 0.22 * most))
        panels = drawn.subplots(down, across, squeeze=False, sharex=True).ravel()
        for axes in panels[len(families) :]:
            axes.remove()
        for axes, one in zip(panels, families, strict=False):
            _bars(axes, one)
            axes.tick_params(labelbottom=True)
        drawn.supxlabel(label, fontsize=9)
        return files(drawn)


def parallel_figure(
    scales: tuple[Scale, ...], trials: tuple[Tried, ...], label: str, *, greater: bool
) -> dict[str, bytes]:
    """Every trial a line through its parameters, coloured by its inner score, the better ones on top."""
    from matplotlib import colormaps, rc_context
    from matplotlib.cm import ScalarMappable
    from matplotlib.collections import LineCollection
    from matplotlib.colors import Normalize

    order = sorted(trials, key=lambda one: one.score if greater else -one.score)
    # Dark is better: what is best must stand out on white. A few very bad trials would leave all others one colour.
    worst, best = order[len(order) // 10].score, order[-1].score
    norm, colours = Normalize(min(worst, best), max(worst, best)), colormaps["cividis_r" if greater else "cividis"]
    with rc_context(STYLE):
        drawn = figure(2.2 + 1.15 * len(scales), 4.4)
        axes = drawn.subplots()
        paths = [[(x, _height(scale, at)) for x, (scale, at) in enumerate(_on(scales, one))] for one in order]
        shown = [colours(norm(one.score)) for one in order]
        axes.add_collection(LineCollection(paths, colors=shown, linewidths=1.1))
        firsts = [path for path, one in zip(paths, order, strict=True) if one.default][:1]
        axes.add_collection(
            LineCollection(firsts, colors=ORANGE, linewidths=2, linestyles="--", label="default configuration")
        )
        absent = [any(math.isnan(one.places[x]) for one in trials) for x in range(len(scales))]
        for x, scale in enumerate(scales):
            _scale(axes, x, scale, absent=absent[x])
        wide = 0.2 if scales[-1].options or absent[-1] else 0.6
        axes.set(xlim=(-0.1, len(scales) - wide), ylim=(ABSENT - 0.06 if any(absent) else -0.05, 1.05))
        axes.axis("off")
        bar = drawn.colorbar(
            ScalarMappable(norm, colours), ax=axes, label=f"inner {label}", extend="min" if greater else "max"
        )
        bar.outline.set_visible(False)
        drawn.legend(loc="outside lower left", frameon=False)
        return files(drawn)


def _bars(axes: Axes, one: Weights) -> None:
    shares = sorted(one.shares, key=lambda share: -_mean(share[1]))
    shown = shares[:BARS]
    if STRATEGY in dict(shares[BARS:]):
        shown = [*shown[:-1], (STRATEGY, dict(shares)[STRATEGY])]
    for at, (name, values) in enumerate(shown):
        chosen = name == STRATEGY
        look: dict[str, Any] = {
            "color": ORANGE if chosen else BLUE,
            "hatch": "//" if chosen else "",
            "edgecolor": "white",
        }
        axes.barh(at, _mean(values), height=0.7, **look)
        axes.scatter(values, [at] * len(values), s=10, facecolors="white", edgecolors="black", linewidths=0.7, zorder=3)
    axes.set_yticks(range(len(shown)), [cut(name, NAME) for name, _ in shown])
    axes.set(xlim=(0, 1), ylim=(len(shown) - 0.4, -0.6))
    axes.set_title("\n".join(cut(line, TITLE) for line in one.title.split("\n")), fontsize=9)
    axes.grid(visible=True, axis="x")


def _mean(values: tuple[float, ...]) -> float:
    return sum(values) / len(values)


def _on(scales: tuple[Scale, ...], one: Tried) -> list[tuple[Scale, float]]:
    return list(zip(scales, one.places, strict=True))


def _height(scale: Scale, place: float) -> float:
    """How high, from 0 to 1, a value lies on its axis."""
    if math.isnan(place):
        return ABSENT
    if scale.options:
        return (place + 0.5) / len(scale.options)
    low, high = scale.low, scale.high
    if scale.log:
        low, high, place = math.log(low), math.log(high), math.log(place)
    return (place - low) / (high - low) if high > low else 0.5


def _scale(axes: Axes, x: int, scale: Scale, *, absent: bool) -> None:
    """An axis with its name above and its values beside it."""
    axes.plot([x, x], [0, 1], color="0.25", linewidth=1)
    axes.text(
        x, 1.04, _broken(cut(scale.name)) + ("\n(log)" if scale.log else ""), ha="center", va="bottom", fontsize=LABEL
    )
    marks = [(float(at), option) for at, option in enumerate(scale.options)] or [
        (value, f"{value:.3g}") for value in (scale.low, _middle(scale), scale.high)
    ]
    behind = {"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 0.6}
    heights = [(_height(scale, value), text) for value, text in marks] + ([(ABSENT, "not used")] if absent else [])
    for height, text in heights:
        axes.plot([x - 0.02, x + 0.02], [height, height], color="0.25", linewidth=1)
        axes.text(x + 0.04, height, _broken(cut(text)), ha="left", va="center", fontsize=7, bbox=behind, zorder=5)


def _middle(scale: Scale) -> float:
    return math.sqrt(scale.low * scale.high) if scale.log else (scale.low + scale.high) / 2


def _broken(text: str) -> str:
    """A long name in lines, broken after dots and underscores; what has none stays whole."""
    lines = [""]
    for part in re.findall(r"[^._]*[._]+|[^._]+", text):
        if lines[-1] and len(lines[-1]) + len(part) > WIDEST:
            lines.append("")
        lines[-1] += part
    return "\n".join(lines)
