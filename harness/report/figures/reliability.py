"""How far scores may be believed: inner against outer ones, how firm the first place is, what repeats can settle."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.evaluation.power import Spread
from harness.report.figures.style import BLUE, LABEL, ORANGE, STYLE, figure, files, plain_numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BARS = 10
ONE_LINE, LONGEST = 32, 40  #: characters of an entry's name
REPEATS = (1, 2, 3, 5, 10, 20, 50, 100, 200, 500, 1000)
LINE = ("default", "tuned", "chosen")  #: stages whose means are joined: what more and more choosing does
LOOKS = {  # stage → colour, marker, its words
    "default": ("#E69F00", "o", "default, nothing chosen"),
    "tuned": (BLUE, "s", "tuned, chosen by its search"),
    "chosen": ("#CC79A7", "^", "chosen among tuned ones"),
    "ensembled": ("#009E73", "D", "ensemble of tuned ones"),
}


@dataclass(frozen=True)
class Point:
    """An entry: stage, number of trials, inner and outer score, and by how much the inner one was too good."""

    stage: str
    trials: float
    inner: float
    outer: float
    gap: float


@dataclass(frozen=True)
class Tie:
    """What the first place is ahead of the next, and how that difference varies."""

    difference: float
    spread: Spread


def honesty_figure(
    label: str, points: tuple[Point, ...], shares: tuple[tuple[str, float], ...], tie: Tie | None, folds: int
) -> dict[str, bytes]:
    """Up to four panels, of which those are drawn that have something to show; `label` names the score."""
    from matplotlib import rc_context

    with rc_context(STYLE):
        panels = [_believed, _by_trials] if points else []
        many = len(panels) + bool(shares) + (tie is not None)
        across = min(2, many)
        down = -(-many // 2)
        drawn = figure(4.4 * across, 0.3 + 3.3 * down)
        places = iter(drawn.subplots(down, across, squeeze=False).ravel().tolist())
        for panel in panels:
            panel(next(places), label, points)
        if shares:
            _first(next(places), shares)
        if tie is not None:
            _settle(next(places), label, tie, folds)
        for rest in places:
            rest.remove()
        return files(drawn)


def _believed(axes: Axes, label: str, points: tuple[Point, ...]) -> None:
    for stage, (colour, marker, said) in LOOKS.items():
        some = [one for one in points if one.stage == stage]
        if some:
            look: dict[str, Any] = {
                "color": colour,
                "marker": marker,
                "s": 26,
                "alpha": 0.8,
                "label": said,
                "zorder": 3,
            }
            axes.scatter([one.outer for one in some], [one.inner for one in some], **look)
    seen = [value for one in points for value in (one.inner, one.outer)]
    edge = 0.06 * (max(seen) - min(seen)) or 0.01
    low, high = min(seen) - edge, max(seen) + edge
    axes.locator_params(nbins=5)
    axes.plot([low, high], [low, high], color="0.5", linewidth=1, label="believed what held")
    axes.set(xlim=(low, high), ylim=(low, high), xlabel=f"{label} on test rows", ylabel=f"{label} on inner folds")
    axes.set_title("What the search believed, what held", fontsize=9, fontweight="bold", loc="left")
    axes.legend(frameon=False, fontsize=LABEL - 1, loc="best")


def _by_trials(axes: Axes, label: str, points: tuple[Point, ...]) -> None:
    for stage, (colour, marker, _) in LOOKS.items():
        some = [one for one in points if one.stage == stage]
        if some:
            axes.scatter(
                [one.trials for one in some], [one.gap for one in some], color=colour, marker=marker, s=26, alpha=0.8
            )
    means = [_mean([one for one in points if one.stage == stage]) for stage in LINE]
    known = sorted(mean for mean in means if mean is not None)
    axes.plot(
        *zip(*known, strict=True), color="black", linewidth=1, marker="_", markersize=14, label="mean of each kind"
    )
    axes.axhline(0, color="0.5", linewidth=1)
    axes.set_xscale("log")
    plain_numbers(axes.xaxis)
    axes.margins(x=0.12)
    axes.set(xlabel="trials to choose among", ylabel=f"{label} believed too much")
    axes.set_title("Too much belief by number of trials", fontsize=9, fontweight="bold", loc="left")
    axes.legend(frameon=False, fontsize=LABEL - 1, loc="best")


def _mean(points: list[Point]) -> tuple[float, float] | None:
    if not points:
        return None
    return sum(one.trials for one in points) / len(points), sum(one.gap for one in points) / len(points)


def _first(axes: Axes, shares: tuple[tuple[str, float], ...]) -> None:
    shown = sorted(enumerate(shares), key=lambda one: (-one[1][1], one[0]))[:BARS]
    for down, (at, (_, share)) in enumerate(shown):
        axes.barh(down, 100 * share, color=BLUE if at == 0 else "0.75", height=0.7)
        axes.text(100 * share + 1.5, down, f"{100 * share:.0f} %", va="center", fontsize=LABEL)
    axes.set_yticks(range(len(shown)), [_folded(name) for _, (name, _) in shown], fontsize=LABEL - 1)
    axes.set(ylim=(max(len(shown), 4) - 0.5, -0.5), xlim=(0, 114), xlabel="% of resamples in which it is first")
    axes.set_xticks(range(0, 101, 25))
    axes.set_title("Who is first on other test rows", fontsize=9, fontweight="bold", loc="left")


def _settle(axes: Axes, label: str, tie: Tie, folds: int) -> None:
    alone = Spread(tie.spread.deviation, tie.spread.n, tie.spread.ratio)
    for spread, colour, style, said in (
        (tie.spread, ORANGE, "-", f"needed among {tie.spread.tests:,} pairs"),
        (alone, BLUE, "--", "needed as the only comparison"),
    ):
        wide = [(r, Spread(spread.deviation, r * folds, spread.ratio, spread.tests).half) for r in REPEATS]
        known = [(repeats, half) for repeats, half in wide if repeats * folds >= 3 and not math.isnan(half)]
        if spread.tests > 1 or colour == BLUE:
            axes.plot(*zip(*known, strict=True), color=colour, linestyle=style, linewidth=1.6, label=said)
    if tie.difference:  # which a logarithmic axis has no place for otherwise
        axes.axhline(abs(tie.difference), color="black", linewidth=1.2, linestyle=":", label="difference seen")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xticks((1, 10, 100, 1000), ("1", "10", "100", "1,000"))
    plain_numbers(axes.yaxis)
    axes.set(xlabel=f"repeats of {folds} folds", ylabel=f"difference in {label}")
    axes.set_title("What would settle first against the next", fontsize=9, fontweight="bold", loc="left")
    axes.legend(frameon=False, fontsize=LABEL - 1, loc="best")


def _folded(name: str) -> str:
    """An entry's name, on two lines where one would be long; cut where that is not enough: the table has all of it."""
    lines = name.replace("/", "/\n", 1).split("\n") if len(name) > ONE_LINE else [name]
    return "\n".join(line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…" for line in lines)
