"""How searches went: score against effort, trial by trial, and what they brought over the default configuration."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from harness.report.figures.style import BLUE, COLOURS, MARKERS, ORANGE, STYLE, cut, figure, files, plain_numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Curve: TypeAlias = tuple[tuple[float, float], ...]
PANELS = 6
NAME, TITLE = 28, 44  #: characters of a name, of a line above a panel
STYLES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1, 1)), (0, (5, 1, 1, 1)), (0, (7, 1, 1, 1, 1, 1)))
LEFT_OUT = 0.1  #: the share of the worst trials that may lie outside a panel


class Line(NamedTuple):
    """A curve of best score so far against seconds, of one family and strategy."""

    family: str
    strategy: str
    curve: Curve


class Labels(NamedTuple):
    """What stands on the axes, and whether more of the score is better."""

    score: str
    time: str
    greater: bool


class History(NamedTuple):
    """The trials of one entry over all its splits: (number, score), those that failed, and the mean best so far."""

    title: str
    trials: tuple[tuple[int, float], ...]
    failed: tuple[int, ...]
    best: tuple[tuple[int, float], ...]


class Bar(NamedTuple):
    """What a search brought to one entry: on inner folds, on test rows, and half the interval's width (NaN: none)."""

    name: str
    inner: float
    outer: float
    half: float


def anytime_figure(lines: tuple[Line, ...], families: tuple[str, ...], labels: Labels) -> dict[str, bytes]:
    """All families in one picture: without any strategy in full, with their best one dashed; `families` order the colours."""
    from matplotlib import rc_context

    with rc_context(STYLE):
        drawn = figure(8.2, max(4.0, 0.9 + 0.2 * len(lines)))
        axes = drawn.subplots()
        for line in lines:
            at = families.index(line.family)
            look = {"color": COLOURS[at % len(COLOURS)], "marker": MARKERS[(at + at // len(COLOURS)) % len(MARKERS)]}
            plain = line.strategy == "none"
            name = "/".join(cut(part, NAME) for part in (line.family, line.strategy)[: 1 if plain else 2])
            _stair(axes, line.curve, name, look | {"linestyle": "-" if plain else (0, (5, 2))})
        _dress(axes, labels)
        axes.set_ylabel(f"best inner {labels.score} so far")
        axes.set_xlabel(labels.time)
        drawn.legend(loc="outside right center", frameon=False, title="full: no strategy\ndashed: best strategy")
        return files(drawn)


def strategies_figure(lines: tuple[Line, ...], labels: Labels) -> dict[str, bytes]:
    """A panel for every family, a line for every strategy."""
    from matplotlib import rc_context

    families = list(dict.fromkeys(line.family for line in lines))
    strategies = list(dict.fromkeys(line.strategy for line in lines))
    with rc_context(STYLE):
        drawn, panels = _panels(len(families))
        for axes, family in zip(panels, families, strict=True):
            for line in (one for one in lines if one.family == family):
                at = strategies.index(line.strategy)
                style = STYLES[(at + at // len(COLOURS)) % len(STYLES)]
                look = {"color": COLOURS[at % len(COLOURS)], "linestyle": style, "marker": MARKERS[at % len(MARKERS)]}
                _stair(axes, line.curve, line.strategy, look)
            _dress(axes, labels)
            axes.set_title(cut(family, NAME), fontsize=9)
        _name_axes(panels, labels.time, f"best inner {labels.score} so far")
        _legend(drawn, panels)
        return files(drawn)


def history_figure(histories: tuple[History, ...], labels: Labels) -> dict[str, bytes]:
    """A panel for every entry: its trials in the order in which they were made, the default first."""
    from matplotlib import rc_context

    with rc_context(STYLE):
        drawn, panels = _panels(len(histories))
        for axes, one in zip(panels, histories, strict=True):
            _trials(axes, one, greater=labels.greater)
        _name_axes(panels, "number of the trial", f"inner {labels.score}")
        _legend(drawn, panels)
        return files(drawn)


def gains_figure(bars: tuple[Bar, ...], label: str) -> dict[str, bytes]:
    """What searches brought, an entry a line: on test rows with its interval, and on the rows that were searched."""
    from matplotlib import rc_context

    with rc_context(STYLE):
        drawn = figure(7.6, 1.2 + 0.27 * len(bars))
        axes = drawn.subplots()
        rows = range(len(bars))
        axes.axvline(0, color="0.6", linewidth=1, zorder=1)
        intervals = [(at, one) for at, one in zip(rows, bars, strict=True) if one.half == one.half]
        axes.errorbar(
            [one.outer for _, one in intervals],
            [at for at, _ in intervals],
            xerr=[one.half for _, one in intervals],
            fmt="none",
            ecolor=BLUE,
            elinewidth=1.6,
            label="95 % interval" if intervals else None,
        )
        axes.scatter([one.outer for one in bars], rows, s=30, color=BLUE, zorder=3, label="on test rows")
        diamond: dict[str, Any] = {"s": 34, "marker": "D", "facecolors": "none", "edgecolors": ORANGE, "zorder": 4}
        axes.scatter([one.inner for one in bars], rows, label="on inner folds, which it searched", **diamond)
        axes.set_yticks(list(rows), [cut(one.name) for one in bars])
        axes.set_ylim(len(bars) - 0.5, -0.5)
        axes.grid(visible=True, axis="x")
        axes.set_xlabel(f"gain in {label} over the default configuration (right of 0 is better)")
        drawn.legend(loc="outside upper center", frameon=False, ncols=3)
        return files(drawn)


def _panels(n: int) -> tuple[Any, list[Axes]]:
    """A figure with n panels in rows, those that are too many taken away."""
    across = _across(n)
    down = -(-n // across)
    drawn = figure(1.2 + 2.9 * across, 1.0 + 2.2 * down)
    panels = drawn.subplots(down, across, squeeze=False).ravel().tolist()
    for axes in panels[n:]:
        axes.remove()
    return drawn, panels[:n]


def _across(n: int) -> int:
    """How many panels stand beside each other: two are easier to read on a page than three."""
    return min(n, 2 if n <= PANELS else 3)


def _name_axes(panels: list[Axes], below: str, beside: str) -> None:
    """Names on the outer panels only; those of the last row, and those that have none below them, have one below."""
    across = _across(len(panels))
    for at, axes in enumerate(panels):
        if at % across == 0:
            axes.set_ylabel(beside)
        if at + across >= len(panels):
            axes.set_xlabel(below)


def _legend(drawn: Any, panels: list[Axes]) -> None:
    """One legend for all panels, below them."""
    found: dict[str, Any] = {}
    for axes in panels:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    room = 48 * _across(len(panels))  # characters beside each other
    names = [cut(name) for name in found]
    ncols = max(1, min(len(found), room // (max(map(len, names)) + 8)))
    drawn.legend(list(found.values()), names, loc="outside lower center", frameon=False, ncols=ncols)


def _stair(axes: Axes, curve: Curve, name: str, look: dict[str, Any]) -> None:
    """A curve that rises in steps, marked where it begins and where the search ended."""
    xs, ys = [x for x, _ in curve], [y for _, y in curve]
    ends = [0, len(curve) - 1]
    axes.step(xs, ys, where="post", label=name, markevery=ends, markersize=5, linewidth=1.6, **look)


def _dress(axes: Axes, labels: Labels) -> None:
    axes.set_xscale("log")
    plain_numbers(axes.xaxis)
    axes.ticklabel_format(axis="y", useOffset=False)
    axes.grid(visible=True)
    if not labels.greater:
        axes.invert_yaxis()


def _trials(axes: Axes, one: History, *, greater: bool) -> None:
    from matplotlib.ticker import MaxNLocator

    searched = [(x, y) for x, y in one.trials if x > 0]
    default = [(x, y) for x, y in one.trials if x == 0]
    axes.scatter(*_apart(searched), s=9, color=BLUE, alpha=0.5, linewidths=0, label="trial of one split")
    look: dict[str, Any] = {"s": 24, "marker": "D", "facecolors": "none", "edgecolors": ORANGE, "zorder": 4}
    axes.scatter(*_apart(default), label="default configuration", **look)
    axes.step(*_apart(one.best), where="post", color="black", linewidth=1.4, label="best so far, mean of the splits")
    if one.trials:
        _limits(axes, [y for _, y in one.trials], [y for _, y in (*default, *one.best)], greater=greater)
    outside: dict[str, Any] = {
        "transform": axes.get_xaxis_transform(),
        "clip_on": False,
        "zorder": 5,
        "linewidths": 1.0,
    }
    low, high = sorted(axes.get_ylim())
    beyond = [x for x, y in searched if not low <= y <= high]
    if beyond:
        axes.scatter(beyond, [0.03] * len(beyond), s=14, marker="v", color=BLUE, **outside, label="worse than is shown")
    if one.failed:
        axes.scatter(
            one.failed,
            [0.1] * len(one.failed),
            s=18,
            marker="x",
            color="black",
            **outside,
            label="failed, without a score",
        )
    axes.ticklabel_format(axis="y", useOffset=False)
    axes.set_title("\n".join(cut(line, TITLE) for line in one.title.split("\n")), fontsize=9)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.grid(visible=True)


def _apart(points: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [x for x, _ in points], [y for _, y in points]


def _limits(axes: Axes, values: list[float], needed: list[float], *, greater: bool) -> None:
    """Let the worst tenth of the trials lie outside, or a few bad ones would press all others into a line."""
    order = sorted(values, reverse=not greater)
    worst = order[int(LEFT_OUT * len(order))]
    limit = min([worst, *needed]) if greater else max([worst, *needed])
    best = order[-1]
    margin = 0.12 * abs(best - limit) or 0.01
    edges = (limit - margin, best + margin) if greater else (limit + margin, best - margin)
    axes.set_ylim(*edges)
