"""The pictures of insights."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from harness.deploy.insights.confidence import Bin
from harness.deploy.insights.gains import SHARES, Band, Gains
from harness.deploy.insights.importance import Driver
from harness.deploy.insights.page import Picture
from harness.deploy.markdown import visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "0.45"
STYLE: dict[Any, Any] = {
    "font.size": 9,
    "text.parse_math": False,  # a dollar in a name begins no formula
    "svg.hashsalt": "evenhand",  # the same figure gives the same bytes
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": "0.92",
}
REFERENCE: dict[str, Any] = {"color": GREY, "linewidth": 1, "linestyle": (0, (1, 2))}
LONGEST = 28
PANELS = 6


def cut(text: str, longest: int = LONGEST) -> str:
    """A name that fits; the whole of it stands in the tables."""
    plain = visible(text)
    return plain if len(plain) <= longest else f"{plain[: longest - 1]}…"


def drivers_picture(units: Sequence[Driver], label: str) -> Picture:
    """What is lost without each column or group, with intervals."""
    from matplotlib import rc_context

    with rc_context(STYLE):
        drawn = _figure(6.2, 0.9 + 0.27 * len(units))
        axes = drawn.subplots()
        names = [cut(" + ".join(one.columns), 34) for one in units]
        place = np.arange(len(units))[::-1]
        half = [0.0 if np.isnan(one.half) else one.half for one in units]
        axes.errorbar([one.loss for one in units], place, xerr=half, fmt="o", color=BLUE, markersize=4, linewidth=1.2)
        axes.axvline(0, color="0.3", linewidth=0.8)
        axes.set_yticks(place, names)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel(f"loss of {label} when shuffled")
        return _picture(
            drawn, f"What is lost without each column: dot and line are the mean and its 95 % interval; {label}"
        )


def curves_picture(found: Sequence[Driver], positive: str) -> Picture | None:
    """Partial dependence of the first few columns that have a curve, on one scale."""
    from matplotlib import rc_context

    shown = [one for one in found if one.curve][:PANELS]
    if not shown:
        return None
    with rc_context(STYLE):
        across = min(3, len(shown))
        down = -(-len(shown) // across)
        drawn = _figure(2.15 * across + 0.4, 2.1 * down + 0.2)
        panels = drawn.subplots(down, across, sharey=True, squeeze=False).ravel()
        for axes, one in zip(panels, shown, strict=False):
            _curve(axes, one)
        for axes in panels[len(shown) :]:
            axes.set_visible(False)
        for axes in panels[::across]:
            axes.set_ylabel(f"probability of {cut(positive, 12)}")
        names = ", ".join(one.columns[0] for one in shown)
        return _picture(drawn, f"The mean probability of {positive} with each value of {names}, with 95 % intervals")


def gains_picture(found: Gains, pays: bool) -> Picture:
    """The share found by the share contacted; beside it what that earns, or how much better than chance it is."""
    from matplotlib import rc_context

    with rc_context(STYLE):
        drawn = _figure(6.4, 3.0)
        left, right = drawn.subplots(1, 2)
        _band(left, found.share_found, BLUE, 100)
        left.plot([0, 100], [0, 100], **REFERENCE)
        left.plot([0, 100 * found.positives / found.rows, 100], [0, 100, 100], color=GREY, linewidth=0.8)
        left.set(xlabel="contacted, % of rows", ylabel="found, % of positive rows", xlim=(0, 100), ylim=(0, 102))
        if pays and found.profit:
            _band(right, found.profit, ORANGE, 1)
            right.axhline(0, color="0.3", linewidth=0.8)
            right.set(xlabel="contacted, % of rows", ylabel="profit per 1,000 rows", xlim=(0, 100))
            said = "the profit"
        else:
            share = found.share_found
            lift = Band(*(one[1:] / SHARES[1:] for one in (share.value, share.low, share.high)))
            _band(right, lift, ORANGE, 1, SHARES[1:])
            right.axhline(1, **REFERENCE)
            right.set(xlabel="contacted, % of rows", ylabel="times as many as by chance", xlim=(0, 100), ylim=(0, None))
            said = "how many times as many as by chance"
        return _picture(
            drawn,
            f"By the share of rows contacted: the share of positive rows found, and {said}; bands are 95 % intervals, the "
            "dotted line is chance, the grey one what nobody could better",
        )


def sureness_picture(p: npt.NDArray[np.float64], threshold: float, bins: Sequence[Bin]) -> Picture:
    """How probabilities are spread, and whether they came true where outcomes are known."""
    from matplotlib import rc_context

    with rc_context(STYLE):
        drawn = _figure(6.4 if bins else 4.2, 2.7)
        panels = drawn.subplots(1, 2 if bins else 1, squeeze=False)[0]
        panels[0].hist(p, bins=np.linspace(0, 1, 41), color=BLUE)
        panels[0].axvline(threshold, color=ORANGE, linewidth=1.2)
        panels[0].set(xlabel="probability", ylabel="rows", xlim=(0, 1))
        if bins:
            said = np.array([one.said for one in bins])
            true = np.array([one.positives / one.rows for one in bins])
            reach = np.array([[t - one.low, one.high - t] for t, one in zip(true, bins, strict=True)]).T.clip(0)
            panels[1].errorbar(said, true, yerr=reach, fmt="o", color=BLUE, markersize=4, linewidth=1.2)
            top = min(1.0, 1.08 * max(said.max(), *(one.high for one in bins)))
            panels[1].plot([0, top], [0, top], **REFERENCE)
            panels[1].set(xlabel="probability said", ylabel="share that came true", xlim=(0, top), ylim=(0, top))
        more = (
            "; beside it, what was said of tenths of the rows and what came true, with 95 % intervals" if bins else ""
        )
        return _picture(drawn, f"How many rows have which probability, and the threshold (line){more}")


def _curve(axes: Axes, one: Driver) -> None:
    assert one.curve is not None  # noqa: S101 -- chosen so
    points = one.curve.points
    means = [point.mean for point in points]
    half = [0.0 if np.isnan(point.half) else point.half for point in points]
    at = [point.at for point in points if point.at is not None]
    if len(at) == len(points):
        axes.plot(at, means, "o-", color=BLUE, markersize=3, linewidth=1.2)
        low, high = (np.array(means) + sign * np.array(half) for sign in (-1, 1))
        axes.fill_between(np.array(at), low.clip(0, 1), high.clip(0, 1), color=BLUE, alpha=0.15, linewidth=0)
        axes.locator_params(axis="x", nbins=5)
        if points[0].shown != f"{at[0]:.6g}":  # a date
            few = points[:: max(1, len(points) // 2)]
            axes.set_xticks([point.at or 0.0 for point in few], [point.shown for point in few], rotation=30, ha="right")
    else:
        place = np.arange(len(points))
        axes.errorbar(place, means, yerr=half, fmt="o", color=BLUE, markersize=4, linewidth=1.2)
        axes.set_xticks(place, [cut(point.shown, 14) for point in points], rotation=40, ha="right")
        axes.set_xlim(-0.5, len(points) - 0.5)
    axes.set_title(cut(one.columns[0], 24), fontsize=9)


def _band(axes: Axes, band: Band, colour: str, scale: float, at: npt.NDArray[np.float64] = SHARES) -> None:
    axes.plot(100 * at, scale * band.value, color=colour, linewidth=1.4)
    axes.fill_between(100 * at, scale * band.low, scale * band.high, color=colour, alpha=0.2, linewidth=0)


def _figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _picture(drawn: Figure, said: str) -> Picture:
    file = io.BytesIO()
    drawn.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    return Picture(said, file.getvalue())
