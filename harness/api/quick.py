"""`--quick`: fewer families and strategies, and as many trials as fit, so that a first answer takes two minutes at most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from harness.api.interrupts import write_line_to_stderr
from harness.api.request import RunOptions
from harness.api.run_plan import REPORT_SECONDS, WORKER_START_SECONDS, CellForecast
from harness.api.time_budget import TimeBudget
from harness.errors import EvenhandError
from harness.execution.cell import Cell
from harness.execution.plan import RunRequest
from harness.registry.registry import Registry
from harness.store.store import Store

#: Families, of which those whose packages are missing are left out, and strategies. Which of them are begun, and with how many
#: trials, is decided by the time that they are expected to take, as for every run with a budget.
FAMILIES = ("logistic_regression", "lightgbm", "xgb")
STRATEGIES = ("none", "class_weight", "random_undersampling")
#: In place of the boosted trees whose package is missing.
SUBSTITUTE = "gradient_boosting"
#: Trials of a cell at most.
TRIALS = 10
#: Inner folds where the rows are many for the time of the run: a trial takes half as long as with three.
FEW_INNER_FOLDS = 2
#: Seconds of the whole run, tables included.
BUDGET = 115.0


def quick_families(registry: Registry) -> tuple[str, ...]:
    """The families of a quick run that are installed."""
    families = []
    for name in FAMILIES:
        if all(map(find_spec, registry.family(name).needs)):
            families.append(name)
    if len(families) < len(FAMILIES):
        families.append(SUBSTITUTE)
    return tuple(families)


def limit_inner_folds(
    request: RunRequest, options: RunOptions, store: Store, budget: float | None, *, quiet: bool
) -> RunRequest:
    """Let a run have two inner folds where its file is large for its budget, unless a number was asked for.

    A stored run keeps its number of inner folds, so that the same command continues it.

    Parameters
    ----------
    request : RunRequest
        The run.
    options : RunOptions
        Its options.
    store : Store
        The folder of the run.
    budget : float or None
        Seconds of the whole run.
    quiet : bool
        Whether nothing is said.

    Returns
    -------
    RunRequest
        The request, with as many inner folds as the run has.
    """
    if budget is None or options.protocol.get("inner_folds") is not None or options.suite or options.file is None:
        return request
    inner_folds = request.protocol.inner_folds
    if store.run_file.exists():
        inner_folds = store.read_run().get("protocol", {}).get("inner_folds", inner_folds)
    elif TimeBudget(budget, 0.0).is_short_for(Path(options.file)):
        inner_folds = FEW_INNER_FOLDS
        if not quiet:
            write_line_to_stderr(
                f"{inner_folds} inner folds instead of {request.protocol.inner_folds}: the file is large for {budget:g} seconds"
            )
    return replace(request, protocol=replace(request.protocol, inner_folds=inner_folds))


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
    if protocol.get("trials") is None:
        protocol["trials"] = TRIALS
    return replace(
        options,
        families=options.families or quick_families(registry),
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
    text = f"quick: up to {options.protocol['trials']} trials per cell, as many as fit"
    omitted = [name for name in (*families, *strategies) if name not in (*options.families, *options.strategies)]
    if omitted:
        text += f", without {', '.join(omitted)}"
    return f"{text}, at most {BUDGET:.0f} s"


def estimate_quick_seconds(cells: Sequence[Cell], forecast: CellForecast) -> float:
    """Estimate how long a quick run takes, from what the cells of a full run are expected to take; at most `BUDGET`."""
    work = 0.0
    for cell in cells:
        if cell.family in FAMILIES and cell.strategy in STRATEGIES:
            work += forecast.seconds_of_trials(cell.id, TRIALS)
    return min(BUDGET, WORKER_START_SECONDS + work / forecast.jobs + REPORT_SECONDS)
