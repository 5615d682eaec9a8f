"""Where to decide: confusion matrices, scores by class, and what every threshold brings."""

from __future__ import annotations

from collections.abc import Sequence
from math import isnan
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from harness.evaluation.curves import FARTHEST, Band, Histogram, Sweep
from harness.report.figures.curves import SPREAD, WIDTH, odds_ticks, position, shade, title
from harness.report.figures.style import BLUE, COLOURS, ORANGE, STYLE, cut, figure, files

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Counts: TypeAlias = tuple[tuple[int, ...], ...]
FEW = 4  #: classes whose matrices fit side by side
FIGURES = (("precision", BLUE, "-"), ("recall", ORANGE, "--"), ("F1", COLOURS[2], "-."))


class Swept(NamedTuple):
    """An entry whose thresholds are swept: name, scores by class, the curves, the tuned thresholds of the splits."""

    name: str
    scores: Histogram
    sweep: Sweep
    tuned: tuple[float, ...]


def confusion_figure(matrices: Sequence[tuple[str, Counts]], classes: Sequence[str]) -> dict[str, bytes]:
    """Confusion matrices: counts and shares of the true class, which the colours show too."""
    from matplotlib import rc_context

    many = len(classes) > FEW
    across = 1 if many else min(len(matrices), 2)
    down = -(-len(matrices) // across)
    size = (WIDTH, 0.86 * WIDTH) if many else (WIDTH if across == 2 else 4.4, 2.5)
    with rc_context(STYLE):
        drawn = figure(size[0], size[1] * down + 0.45)
        panels = drawn.subplots(down, across, squeeze=False)
        for axes, (name, counts) in zip(panels.ravel(), matrices, strict=False):
            _matrix(axes, counts, classes)
            axes.set_title(title(name), fontsize=9)
        for axes in panels.ravel()[len(matrices) :]:
            axes.remove()
        for axes in panels[:, 0]:
            axes.set_ylabel("true class")
        return files(drawn)


def sweep_figure(entries: Sequence[Swept], classes: tuple[str, str], *, log_odds: bool) -> dict[str, bytes]:
    """Over the same axis: the scores of both classes, precision, recall and F1, and the cost where there is one."""
    from matplotlib import rc_context

    rows = 3 if entries[0].sweep.cost else 2
    with rc_context(STYLE):
        drawn = figure(WIDTH, 1.25 + 2.1 * rows)
        panels = drawn.subplots(rows, len(entries), sharex=True, sharey="row", squeeze=False)
        for column, one in zip(panels.T, entries, strict=True):
            _scores(column[0], one.scores, classes)
            column[0].set_title(title(one.name), fontsize=9)
            for band, (name, colour, style) in zip(one.sweep[:3], FIGURES, strict=True):
                _swept(column[1], band, name, colour, style)
            column[1].set_ylim(-0.02, 1.04)
            if one.sweep.cost:
                _swept(column[2], one.sweep.cost, "cost per row", COLOURS[6], "-")
                column[2].set_ylim(bottom=0)
            for axes in column:
                _thresholds(axes, one.tuned, log_odds=log_odds)
            _axis(column[-1], classes[1], log_odds=log_odds)
        for axes, label in zip(panels[:, 0], ("% of the class", "share", "cost per row"), strict=False):
            axes.set_ylabel(label)
        _legend(drawn, list(panels[:, 0]), spread=bool(entries[0].sweep.recall.spread))
        return files(drawn)


def _matrix(axes: Axes, counts: Counts, classes: Sequence[str]) -> None:
    many = len(classes) > FEW
    names = [cut(name, 10 if many else 14) for name in classes]
    rows = [sum(row) for row in counts]
    shares = [[n / total if total else 0.0 for n in row] for row, total in zip(counts, rows, strict=True)]
    axes.pcolormesh(shares, cmap="Blues", vmin=0, vmax=1, edgecolors="white", linewidth=1)
    for down, (row, share) in enumerate(zip(counts, shares, strict=True)):
        for across, n in enumerate(row):
            text = f"{n:,}\n{100 * share[across]:.1f} %" if n or not many else "0"
            dark = share[across] > 0.5
            axes.text(
                across + 0.5, down + 0.5, text, ha="center", va="center", fontsize=6.5 if many else 9,
                color="white" if dark else "0.15",
            )  # fmt: skip
    middle = [at + 0.5 for at in range(len(classes))]
    steep = many and max(map(len, names)) > 4
    axes.set_xticks(
        middle, names, rotation=40 if steep else 0, ha="right" if steep else "center", rotation_mode="anchor"
    )
    axes.set_yticks(middle, names)
    axes.set(xlabel="called", xlim=(0, len(classes)), ylim=(len(classes), 0))
    axes.tick_params(length=0)
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)


def _scores(axes: Axes, scores: Histogram, classes: tuple[str, str]) -> None:
    """Each class as shares of its own rows, or the rare one would not be seen."""
    for name, counts, colour, style in zip(classes, scores.counts, (COLOURS[5], COLOURS[1]), ("-", "--"), strict=True):
        total = max(sum(counts), 1)
        shares = [100 * n / total for n in counts]
        axes.stairs(
            shares, scores.edges, fill=True, facecolor=(colour, 0.25), edgecolor=colour, linestyle=style, linewidth=1.3,
            label=f"truly {cut(name, 24)}",
        )  # fmt: skip
    axes.grid(visible=True)


def _swept(axes: Axes, band: Band, name: str, colour: str, style: str) -> None:
    axes.plot(band.x, band.mean, color=colour, linestyle=style, linewidth=1.5, label=name)
    if name != "F1":  # it lies between the two, and three bands hide each other
        shade(axes, band, colour)
    axes.grid(visible=True)


def _thresholds(axes: Axes, tuned: Sequence[float], *, log_odds: bool) -> None:
    """The tuned thresholds: a span from the least to the greatest, a line at their mean; and 0.5."""
    at = [position(one, log_odds=log_odds) for one in tuned if not isnan(one)]
    if at:
        spread = min(at) < max(at)
        if spread:
            label = "tuned thresholds, least to greatest"
            axes.axvspan(min(at), max(at), color="0.5", alpha=0.18, linewidth=0, label=label)
        mean = sum(one for one in tuned if not isnan(one)) / len(at)
        label = "their mean" if spread else "tuned threshold"
        axes.axvline(position(mean, log_odds=log_odds), color="0.3", linewidth=1.1, label=label)
    axes.axvline(position(0.5, log_odds=log_odds), color="0.3", linewidth=1.0, linestyle=(0, (1, 2)), label="0.5")


def _axis(axes: Axes, positive: str, *, log_odds: bool) -> None:
    end = FARTHEST if log_odds else 1.0
    axes.set_xlim(-end if log_odds else 0.0, end)
    if log_odds:
        odds_ticks(axes.xaxis)
    axes.set_xlabel(f"score for {cut(positive, 18)}{', log-odds scale' if log_odds else ''}")


def _legend(drawn: Figure, panels: Sequence[Axes], *, spread: bool) -> None:
    from matplotlib.patches import Patch

    found: dict[str, Any] = {}
    for axes in panels:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    found.pop("cost per row", None)  # alone in its panel, which says so
    if spread:
        found[f"{SPREAD} (not for F1)"] = Patch(color="0.5", alpha=0.3, linewidth=0)
    drawn.legend(list(found.values()), list(found), loc="outside lower center", frameon=False, ncols=2)
