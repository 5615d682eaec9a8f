"""`--quick`: fewer families, strategies, trials and inner folds, so that a first answer takes two minutes at most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec

from harness.api.request import RunOptions
from harness.api.run_plan import REPORT_SECONDS, WORKER_START_SECONDS, CellForecast
from harness.errors import EvenhandError
from harness.execution.cell import Cell
from harness.execution.estimate import TrialTimes
from harness.registry.registry import Registry

#: Families, of which those whose packages are missing are left out, and strategies; with them 10,000 rows with 30 columns
#: take about a minute on two cores.
FAMILIES = ("logistic_regression", "xgb", "gradient_boosting")
STRATEGIES = ("none", "class_weight", "random_undersampling")
PROTOCOL = {"trials": 5, "inner_folds": 2}
#: Seconds of the whole run, tables included.
BUDGET = 115.0


def apply_quick_settings(options: RunOptions, registry: Registry) -> RunOptions:
    """Replace what an own file or named tasks are compared with by default; what was asked for by name stays.

    Parameters
    ----------
    options : RunOptions
        The options as they were given.
    registry : Registry
        All declarations.

    Returns
    -------
    RunOptions
        The options of a quick run.

    Raises
    ------
    EvenhandError
        If a suite is named, which says itself what it compares.
    """
    if options.suite:
        raise EvenhandError(
            f"{options.spell_option('quick')} goes with your own data or with tasks: a suite says itself what it compares"
        )
    protocol = dict(options.protocol)
    for name, setting in PROTOCOL.items():
        if protocol.get(name) is None:
            protocol[name] = setting
    families = []
    for name in FAMILIES:
        if all(map(find_spec, registry.family(name).needs)):
            families.append(name)
    return replace(
        options,
        families=options.families or tuple(families),
        strategies=options.strategies or STRATEGIES,
        protocol=protocol,
    )


def describe_quick_settings(options: RunOptions, families: Sequence[str], strategies: Sequence[str]) -> str:
    """Say what a quick run leaves out.

    Parameters
    ----------
    options : RunOptions
        The options after `apply_quick_settings`.
    families, strategies : sequence of str
        What a run without the option would compare.

    Returns
    -------
    str
        A line.
    """
    text = f"quick: {options.protocol['trials']} trials and {options.protocol['inner_folds']} inner folds per cell"
    omitted = [name for name in (*families, *strategies) if name not in (*options.families, *options.strategies)]
    if omitted:
        text += f", without {', '.join(omitted)}"
    return f"{text}, at most {BUDGET:.0f} s"


def estimate_quick_seconds(cells: Sequence[Cell], forecast: CellForecast, inner_folds: int) -> float:
    """Estimate how long a quick run takes.

    Parameters
    ----------
    cells : sequence of Cell
        The cells of the full run.
    forecast : CellForecast
        What they are expected to take, from timed fits.
    inner_folds : int
        Inner folds of the full run: a trial with `k` of them takes as long as `k - 1` fits on all rows.

    Returns
    -------
    float
        Seconds, at most `BUDGET`.
    """
    work = 0.0
    for cell in cells:
        times = forecast.estimate.trial_times(cell.task, cell.family, cell.strategy)
        if times is not None and cell.family in FAMILIES and cell.strategy in STRATEGIES:
            quick_times = TrialTimes(times.first / (inner_folds - 1), times.other / (inner_folds - 1))
            work += quick_times.cell_seconds(PROTOCOL["trials"], PROTOCOL["inner_folds"])
    return min(BUDGET, WORKER_START_SECONDS + work / forecast.jobs + REPORT_SECONDS)
