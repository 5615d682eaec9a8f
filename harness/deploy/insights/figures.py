"""The figures of insights, drawn as SVG."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from harness.deploy.insights.confidence import ReliabilityBin
from harness.deploy.insights.dependence import PartialDependence
from harness.deploy.insights.gains import CURVE_SHARES, Gains
from harness.deploy.insights.importance import ColumnImportance
from harness.report.content import Figure
from harness.report.render.cells import replace_control_characters
from harness.report.render.fonts import replace_missing_characters
from harness.report.render.svg import compact_svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

Floats = npt.NDArray[np.float64]
BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "0.45"
STYLE: dict[Any, Any] = {
    "font.size": 9,
    "text.parse_math": False,  # a dollar sign in a name does not start a formula
    "svg.hashsalt": "evenhand",  # the same figure has the same bytes
    "svg.fonttype": "none",  # texts stay texts
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": "0.92",
}
DOTTED_LINE: dict[str, Any] = {"color": GREY, "linewidth": 1, "linestyle": (0, (1, 2))}
ZERO_LINE: dict[str, Any] = {"color": "0.3", "linewidth": 0.8}
DOT_STYLE: dict[str, Any] = {"fmt": "o", "color": BLUE, "markersize": 4, "linewidth": 1.2}
MAX_NAME_LENGTH = 28
MAX_PANELS = 6


def shorten_label(name: str, max_length: int = MAX_NAME_LENGTH) -> str:
    """Shorten a name with an ellipsis; the tables contain it in full."""
    printable_name = replace_control_characters(name)
    return printable_name if len(printable_name) <= max_length else f"{printable_name[: max_length - 1]}…"


def plot_importances(units: Sequence[ColumnImportance], label: str) -> Figure:
    """Plot the loss without each column or group, with intervals; `label` names the metric."""
    size = 6.2, 0.9 + 0.27 * len(units)
    description = f"What is lost without each column: dot and line are the mean and its 95 % interval; {label}"
    return Figure("importances", description, partial(draw_importances, tuple(units), label, size))


def draw_importances(units: Sequence[ColumnImportance], label: str, size: tuple[float, float]) -> bytes:
    """Draw what `plot_importances` describes."""
    with _open_styled_figure(size) as figure:
        axes = figure.subplots()
        names = [shorten_label(" + ".join(column_group.columns), 34) for column_group in units]
        bar_heights = np.arange(len(units))[::-1]
        ci_half_widths = np.nan_to_num(list(map(attrgetter("ci_half_width"), units)))
        axes.errorbar(list(map(attrgetter("loss"), units)), bar_heights, xerr=ci_half_widths, **DOT_STYLE)
        axes.axvline(0, **ZERO_LINE)
        axes.set_yticks(bar_heights, names)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel(f"loss of {label} when shuffled")
        return _to_svg(figure)


def plot_dependence(importances: Sequence[ColumnImportance], positive: str) -> Figure | None:
    """Plot the partial dependence of the first six columns that have a curve, on one scale; None without curves."""
    curves = [(column.columns[0], column.curve) for column in importances if column.curve is not None][:MAX_PANELS]
    if not curves:
        return None
    n_columns = min(3, len(curves))
    n_rows = -(-len(curves) // n_columns)
    size = 2.15 * n_columns + 0.4, 2.1 * n_rows + 0.2
    names = ", ".join(name for name, _ in curves)
    description = f"The mean probability of {positive} with each value of {names}, with 95 % intervals"
    draw_figure = partial(draw_dependence, tuple(curves), positive, (n_rows, n_columns), size)
    return Figure("dependence", description, draw_figure)


def draw_dependence(
    curves: Sequence[tuple[str, PartialDependence]], positive: str, grid: tuple[int, int], size: tuple[float, float]
) -> bytes:
    """Draw what `plot_dependence` describes, in panels of `grid` rows and columns."""
    n_rows, n_columns = grid
    with _open_styled_figure(size) as figure:
        panel_axes = figure.subplots(n_rows, n_columns, sharey=True, squeeze=False).ravel()
        for axes, (name, curve) in zip(panel_axes, curves, strict=False):
            _draw_dependence(axes, curve)
            axes.set_title(shorten_label(name, 24), fontsize=9)
        for axes in panel_axes[len(curves) :]:
            axes.set_visible(False)
        for axes in panel_axes[::n_columns]:
            axes.set_ylabel(f"probability of {shorten_label(positive, 12)}")
        return _to_svg(figure)


def plot_gains(gains: Gains, *, with_profit: bool) -> Figure:
    """Plot the share of positives found by the share contacted; beside it the profit, or the ratio to chance."""
    ratio_title = "how many times as many as by chance"
    if with_profit and gains.profit:
        ratio_title = "the profit"
    description = (
        f"By the share of rows contacted: the share of positive rows found, and {ratio_title}; bands are 95 % "
        "intervals, the dotted line is chance, the grey one what nobody could better"
    )
    size = 6.4, 3.0
    return Figure("gains", description, partial(draw_gains, gains, size, with_profit=with_profit))


def draw_gains(gains: Gains, size: tuple[float, float], *, with_profit: bool) -> bytes:
    """Draw what `plot_gains` describes."""
    with _open_styled_figure(size) as figure:
        share_axes, ratio_axes = figure.subplots(1, 2)
        positive_shares = gains.share_of_positives
        _draw_estimate_and_interval(
            share_axes, CURVE_SHARES, (positive_shares.estimate, positive_shares.low, positive_shares.high), BLUE, 100
        )
        share_axes.plot([0, 100], [0, 100], **DOTTED_LINE)
        share_axes.plot([0, 100 * gains.positives / gains.rows, 100], [0, 100, 100], color=GREY, linewidth=0.8)
        share_axes.set(xlabel="contacted, % of rows", ylabel="found, % of positive rows", xlim=(0, 100), ylim=(0, 102))
        ratio_axes.set(xlabel="contacted, % of rows", xlim=(0, 100))
        if with_profit and gains.profit:
            profit = gains.profit
            _draw_estimate_and_interval(ratio_axes, CURVE_SHARES, (profit.estimate, profit.low, profit.high), ORANGE, 1)
            ratio_axes.axhline(0, **ZERO_LINE)
            ratio_axes.set(ylabel="profit per 1,000 rows")
        else:
            lift_ratios = (
                np.array([positive_shares.estimate, positive_shares.low, positive_shares.high])[:, 1:]
                / CURVE_SHARES[1:]
            )
            _draw_estimate_and_interval(ratio_axes, CURVE_SHARES[1:], lift_ratios, ORANGE, 1)
            ratio_axes.axhline(1, **DOTTED_LINE)
            ratio_axes.set(ylabel="times as many as by chance", ylim=(0, None))
        return _to_svg(figure)


def plot_confidence(p: Floats, threshold: float, bins: Sequence[ReliabilityBin]) -> Figure:
    """Plot the distribution of probabilities (n,), and in bins of the rows with an outcome whether they came true."""
    description = "How many rows have which probability, and the threshold (line)"
    size = 4.2, 2.7
    if bins:
        size = 6.4, 2.7
        description += "; beside it, what was said of tenths of the rows and what came true, with 95 % intervals"
    return Figure("confidence", description, partial(draw_confidence, p, threshold, tuple(bins), size))


def draw_confidence(p: Floats, threshold: float, bins: Sequence[ReliabilityBin], size: tuple[float, float]) -> bytes:
    """Draw what `plot_confidence` describes."""
    with _open_styled_figure(size) as figure:
        panel_axes = figure.subplots(1, 2 if bins else 1, squeeze=False)[0]
        panel_axes[0].hist(p, bins=np.linspace(0, 1, 41), color=BLUE)
        panel_axes[0].axvline(threshold, color=ORANGE, linewidth=1.2)
        panel_axes[0].set(xlabel="probability", ylabel="rows", xlim=(0, 1))
        if bins:
            get_bin_fields = attrgetter("mean_probability", "share", "low", "high")
            means, observed_shares, interval_lows, interval_highs = np.array(list(map(get_bin_fields, bins))).T
            interval_margins = np.array([observed_shares - interval_lows, interval_highs - observed_shares]).clip(0)
            panel_axes[1].errorbar(means, observed_shares, yerr=interval_margins, **DOT_STYLE)
            axis_top = min(1.0, 1.08 * max(means.max(), interval_highs.max()))
            panel_axes[1].plot([0, axis_top], [0, axis_top], **DOTTED_LINE)
            panel_axes[1].set(
                xlabel="probability said", ylabel="share that came true", xlim=(0, axis_top), ylim=(0, axis_top)
            )
        return _to_svg(figure)


def _draw_dependence(axes: Axes, curve: PartialDependence) -> None:
    points = curve.points
    means = np.array(list(map(attrgetter("mean"), points)))
    ci_half_widths = np.nan_to_num(list(map(attrgetter("ci_half_width"), points)))
    if all(point.number is not None for point in points):
        grid_numbers = np.array(list(map(attrgetter("number"), points)), dtype=np.float64)
        axes.plot(grid_numbers, means, "o-", color=BLUE, markersize=3, linewidth=1.2)
        band_low, band_high = (means - ci_half_widths).clip(0, 1), (means + ci_half_widths).clip(0, 1)
        axes.fill_between(grid_numbers, band_low, band_high, color=BLUE, alpha=0.15, linewidth=0)
        axes.locator_params(axis="x", nbins=5)
        if points[0].value_text != f"{grid_numbers[0]:.6g}":
            step = max(1, len(points) // 2)  # dates are long, so only three are written
            texts = list(map(attrgetter("value_text"), points[::step]))
            axes.set_xticks(grid_numbers[::step], texts, rotation=30, ha="right")
    else:
        positions = np.arange(len(points))
        axes.errorbar(positions, means, yerr=ci_half_widths, **DOT_STYLE)
        axes.set_xticks(positions, [shorten_label(point.value_text, 14) for point in points], rotation=40, ha="right")
        axes.set_xlim(-0.5, len(points) - 0.5)


def _draw_estimate_and_interval(
    axes: Axes, contacted_shares: Floats, curve: Sequence[Floats] | Floats, line_colour: str, scale: float
) -> None:
    """Draw an estimate and its interval over shares of rows; `curve` holds the estimate, the lower and the upper end."""
    estimate, band_low, band_high = curve
    axes.plot(100 * contacted_shares, scale * estimate, color=line_colour, linewidth=1.4)
    axes.fill_between(
        100 * contacted_shares, scale * band_low, scale * band_high, color=line_colour, alpha=0.2, linewidth=0
    )


@contextmanager
def _open_styled_figure(size: tuple[float, float]) -> Iterator[Canvas]:
    """Provide an empty figure; it must be drawn and saved within the block, in which our style holds."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure as Canvas

    with rc_context(STYLE):
        yield Canvas(figsize=size, layout="constrained")


def _to_svg(figure: Canvas) -> bytes:
    replace_missing_characters(figure)
    figure.set_dpi(72)
    layout_engine = figure.get_layout_engine()
    if layout_engine is not None:
        layout_engine.execute(figure)
    figure.set_layout_engine(None)
    file = io.BytesIO()
    figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    return compact_svg(file.getvalue().decode()).encode()
