"""How well rows are ranked, and whether probabilities hold: curves averaged over splits."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from math import exp, log
from typing import TYPE_CHECKING, Any, TypeAlias

from harness.evaluation.curves import FARTHEST, Band, Bin, Histogram, Ranks
from harness.report.figures.style import COLOURS, MARKERS, STYLE, cut, figure, files

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

WIDTH = 6.2  #: inches, two panels: readable on a phone too
LINES: tuple[Any, ...] = ("-", "--", "-.", (0, (4, 1, 1, 1, 1, 1)))  # dots are for references
HALF = 38  #: characters of a label where two stand side by side
TITLE = 28  #: characters of a line above a panel
NEAR = 0.97  #: from this area on under every curve, only its part near the corner is shown
LOW = 0.5  #: precision that nowhere reaches this is drawn larger
SPREAD = "± 1 standard deviation over splits"
REFERENCE: dict[str, Any] = {"color": "0.45", "linewidth": 1.0, "linestyle": (0, (1, 2))}
Line: TypeAlias = tuple[str, Ranks]
Reliability: TypeAlias = tuple[str, tuple[Bin, ...], Histogram, bool]  #: whether its scores are log-odds
ODDS = (0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999)  #: the ticks of an axis of log-odds


def title(name: str) -> str:
    """The name of an entry above a panel: family and strategy on lines of their own, as is what follows."""
    return "\n".join(cut(line, TITLE) for line in name.replace("/", "\n", 1).split("\n"))


def ranks_figure(lines: Sequence[Line], reference: str) -> dict[str, bytes]:
    """ROC and precision-recall curves, a line an entry or class, with bands of one standard deviation over the splits.

    `reference` says what the dotted lines are, those of rows in no order. Where all come near the best corner, that part
    is shown.
    """
    from matplotlib import rc_context

    few = len(lines) <= len(COLOURS)
    with rc_context(STYLE):
        drawn = figure(WIDTH, 3.5 + 0.19 * (len(lines) + 2))
        roc, precision = drawn.subplots(1, 2)
        for at, (name, ranks) in enumerate(lines):
            label = f"{cut(name)}  ({ranks.roc_auc:.3f}; {ranks.average_precision:.3f})"
            _line(roc, _from_origin(ranks.roc), at, label=label, shaded=few)
            _line(precision, ranks.precision, at, steps=True, shaded=few)
        lost, missed = (
            1 - min(areas) for areas in zip(*((r.roc_auc, r.average_precision) for _, r in lines), strict=True)
        )
        seen = max(lost, missed) >= 1 - NEAR
        roc.plot((0, 1), (0, 1), label=reference if seen else None, **REFERENCE)
        for level in sorted({ranks.prevalence for _, ranks in lines}) if few else ():
            precision.axhline(level, **REFERENCE)
        _square(roc, precision)
        if lost < 1 - NEAR:
            wide, high = max(12 * lost, 0.02), max(20 * lost, 0.1)
            roc.set(xlim=(-0.01 * wide, wide), ylim=(1 - high, 1 + 0.03 * high))
        if missed < 1 - NEAR:
            wide = max(20 * missed, 0.2)
            precision.set(xlim=(1 - wide, 1 + 0.01 * wide), ylim=(1 - wide, 1 + 0.03 * wide))
        top = max(_top(ranks.precision) for _, ranks in lines)
        if top < LOW:
            precision.set_ylim(-0.01 * top, 1.1 * top)
        roc.set_title(f"ROC{', upper left part' if lost < 1 - NEAR else ''}", fontsize=9)
        roc.set_ylabel("share found (recall)")
        roc.set_xlabel("share of the others called (false alarms)")
        precision.set_title(f"Precision and recall{', upper right part' if missed < 1 - NEAR else ''}", fontsize=9)
        precision.set(xlabel="share found (recall)", ylabel="share right (precision)")
        _below(drawn, roc, spread=few and bool(lines[0][1].roc.spread), said="(area under ROC; average precision)")
        return files(drawn)


def gain_figure(lines: Sequence[Line]) -> dict[str, bytes]:
    """Gain and lift: what share of the class is found among how many rows, and how many times more than by chance."""
    from matplotlib import rc_context

    with rc_context(STYLE):
        drawn = figure(WIDTH, 4.2)
        gain, lift = drawn.subplots(1, 2)
        prevalence = lines[0][1].prevalence
        perfect = {"color": "0.45", "linewidth": 1.0, "linestyle": (0, (6, 2))}
        for at, (name, ranks) in enumerate(lines):
            _line(gain, ranks.gain, at, label=cut(name))
            _line(lift, _lift(ranks.gain), at)
        gain.plot((0, prevalence, 1), (0, 1, 1), label="perfect order", **perfect)
        gain.plot((0, 1), (0, 1), label="no order", **REFERENCE)
        shares = [share for share in lines[0][1].gain.x if share > 0]
        lift.plot(shares, [min(1 / share, 1 / prevalence) for share in shares], **perfect)
        lift.axhline(1, **REFERENCE)
        for axes, what, label in ((gain, "Gain", "share found (recall)"), (lift, "Lift", "times the share by chance")):
            axes.set_title(what, fontsize=9)
            axes.set(xlabel="rows called, highest scores first", ylabel=label)
        lift.set_xlim(-0.01, 1.01)
        lift.set_ylim(0, 1.1 * max(_top(_lift(ranks.gain)) for _, ranks in lines))  # the perfect one may be far above
        lift.grid(visible=True)
        _square(gain)
        _below(drawn, gain, spread=bool(lines[0][1].gain.spread))
        return files(drawn)


def reliability_figure(entries: Sequence[Reliability], axis: str, groups: tuple[str, str]) -> dict[str, bytes]:
    """What was said against what was so, in bins of as many rows each, and below it how often which score was given.

    `axis` says what a score is, `groups` who the two lines below are.
    """
    from matplotlib import rc_context

    across = min(len(entries), 2)
    down = -(-len(entries) // across)
    with rc_context(STYLE):
        drawn = figure(WIDTH if across == 2 else 4.4, 0.7 + 3.75 * down)
        panels = drawn.subplots(2 * down, across, squeeze=False, height_ratios=[2.6, 1] * down)
        pairs = [
            (panels[2 * row, column], panels[2 * row + 1, column]) for row in range(down) for column in range(across)
        ]
        for at, ((name, bins, scores, stretched), (above, below)) in enumerate(zip(entries, pairs, strict=False)):
            _reliable(above, bins, log_odds=stretched)
            _counted(below, scores, groups)
            above.set_title(title(name), fontsize=9)
            above.set_xlim(below.get_xlim())
            if stretched:
                odds_ticks(above.xaxis)
                odds_ticks(below.xaxis)
                odds_ticks(above.yaxis)
            above.tick_params(labelbottom=False)
            below.set_xlabel(cut(axis, HALF - 10) + (", log-odds scale" if stretched else ""))
            if at % across == 0:
                above.set_ylabel("share that was so")
                below.set_ylabel("rows")
        for above, below in pairs[len(entries) :]:
            above.remove()
            below.remove()
        parts = [one.get_legend_handles_labels() for one in pairs[0]]
        handles, labels = ([one for part in some for one in part] for some in zip(*parts, strict=True))
        drawn.legend(handles, labels, loc="outside lower center", frameon=False, ncols=2)
        return files(drawn)


def _line(axes: Axes, band: Band, at: int, *, label: str = "", steps: bool = False, shaded: bool = True) -> None:
    """A mean curve and its band; with `steps` a value holds up to its x from the one before."""
    colour, style = COLOURS[at % len(COLOURS)], LINES[(at % len(COLOURS) + at // len(COLOURS)) % len(LINES)]
    drawing: Any = {"drawstyle": "steps-pre"} if steps else {}
    axes.plot(
        band.x, band.mean, color=colour, linestyle=style, linewidth=1.5, label=label or None, zorder=3 - at / 100,
        **drawing,
    )  # fmt: skip
    if shaded:
        shade(axes, band, colour, steps=steps)


def _from_origin(band: Band) -> Band:
    """With the way up that a curve makes before the first false alarm."""
    return Band((0.0, *band.x), (0.0, *band.mean), (0.0, *band.spread) if band.spread else ())


def shade(axes: Axes, band: Band, colour: str, *, steps: bool = False) -> None:
    """One standard deviation on both sides of a mean, where there are splits to tell it; every second point will do."""
    if band.spread:
        x, mean, spread = (part[::2] for part in band)
        low, high = ([m + sign * s for m, s in zip(mean, spread, strict=True)] for sign in (-1, 1))
        axes.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0, step="pre" if steps else None)


def _lift(gain: Band) -> Band:
    keep = [at for at, share in enumerate(gain.x) if share > 0]
    parts = [tuple(part[at] / gain.x[at] for at in keep) if part else () for part in (gain.mean, gain.spread)]
    return Band(tuple(gain.x[at] for at in keep), *parts)


def _top(band: Band) -> float:
    """How high a band reaches."""
    return max(mean + spread for mean, spread in zip(band.mean, band.spread or (0.0,) * len(band.mean), strict=True))


def _square(*panels: Axes) -> None:
    for axes in panels:
        axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.03))
        axes.grid(visible=True)


def _below(drawn: Figure, axes: Axes, *, spread: bool, said: str = "") -> None:
    from matplotlib.patches import Patch

    handles, labels = axes.get_legend_handles_labels()
    if spread:
        handles, labels = [*handles, Patch(color="0.5", alpha=0.3, linewidth=0)], [*labels, SPREAD]
    columns = 1 if max(map(len, labels)) > HALF else 2
    drawn.legend(handles, labels, loc="outside lower center", frameon=False, ncols=columns, title=said or None)


def position(score: float, *, log_odds: bool) -> float:
    """Where a score stands on an axis."""
    if not log_odds:
        return score
    least = 1 / (1 + exp(FARTHEST))
    inside = min(max(score, least), 1 - least)
    return log(inside / (1 - inside))


def odds_ticks(axis: Axis) -> None:
    """Scores at an axis of log-odds; what lies beyond the last of them is put there."""
    texts = ["≤.001", *(f"{one:g}" for one in ODDS[1:-1]), "≥.999"]
    low, high = axis.get_view_interval()
    both = [(position(one, log_odds=True), text) for one, text in zip(ODDS, texts, strict=True)]
    kept = [(at, text) for at, text in both if low <= at <= high]
    axis.set_ticks([at for at, _ in kept], [text for _, text in kept], fontsize=8)


def _reliable(axes: Axes, bins: Sequence[Bin], *, log_odds: bool) -> None:
    at = partial(position, log_odds=log_odds)
    axes.plot((at(0), at(1)), (at(0), at(1)), label="said and so are equal", **REFERENCE)
    said, was = [at(one.said) for one in bins], [at(one.was) for one in bins]
    errors = [[at(one.was) - at(one.low) for one in bins], [at(one.high) - at(one.was) for one in bins]]
    axes.errorbar(
        said, was, errors, color=COLOURS[0], marker=MARKERS[0], markersize=4, linewidth=0.8, elinewidth=1.1,
        capsize=2, label="bins of as many rows, with 95 % intervals",
    )  # fmt: skip
    low, high = (end(at(end(one.said, bound)) for one in bins for bound in (one.low, one.high)) for end in (min, max))
    room = 0.06 * (high - low)
    axes.set_ylim(low - room, high + room)
    axes.grid(visible=True)


def _counted(axes: Axes, scores: Histogram, groups: tuple[str, str]) -> None:
    """How many rows got which score, by group, on a logarithmic axis with a place for 0; as wide as there are scores."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    for group, counts, colour, style in zip(groups, scores.counts, (COLOURS[5], COLOURS[1]), ("-", "--"), strict=True):
        axes.stairs(counts, scores.edges, color=colour, linestyle=style, linewidth=1.2, label=cut(group, 30))
    axes.set_yscale("symlog", linthresh=1)
    most = max(map(max, scores.counts))
    axes.yaxis.set_major_locator(FixedLocator([0, *(10**power for power in range(len(str(most))))]))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.set_ylim(0, 1.3 * most)
    seen = [at for at, both in enumerate(zip(*scores.counts, strict=True)) if any(both)]
    low, high = scores.edges[seen[0]], scores.edges[seen[-1] + 1]
    axes.set_xlim(low - 0.015 * (high - low), high + 0.015 * (high - low))
