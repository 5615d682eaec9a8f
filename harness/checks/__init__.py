"""The contract that every declaration must pass; shipped, so that plug-ins can be checked as well.

Each check is a function that returns a complaint, or nothing; an exception is a complaint too. `evenhand check` runs them over
the whole registry, and so do the tests. Families and strategies are tried on small data made from a seed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from harness.checks.contracts import CheckResult, check_family, check_metric, check_strategy, check_task
from harness.registry.registry import Registry

__all__ = ["CheckResult", "check_all", "check_family", "check_metric", "check_strategy", "check_task", "iterate_checks"]


def check_all(registry: Registry, data_dir: Path | None, write_line: Callable[[str], None]) -> bool:
    """Run every check over every declaration.

    Progress is written to standard error, as fitting all families takes a while.

    Parameters
    ----------
    registry : Registry
        The declarations.
    data_dir : Path or None
        The data directory; tasks whose data are not available are skipped.
    write_line : callable
        Called with a line for each failed or skipped check, and for the totals.

    Returns
    -------
    bool
        Whether no check failed.
    """
    failed_count = passed_count = skipped_count = 0
    for check_result in iterate_checks(registry, data_dir, lambda line: print(line, file=sys.stderr, flush=True)):
        if check_result.complaint:
            failed_count += 1
            write_line(
                f"FAILED   {check_result.kind} {check_result.name}: {check_result.check}: {check_result.complaint}"
            )
        elif check_result.skipped:
            skipped_count += 1
            write_line(
                f"skipped  {check_result.kind} {check_result.name}: {check_result.check}: {check_result.skipped}"
            )
        else:
            passed_count += 1
    write_line(f"{passed_count} checks passed, {failed_count} failed, {skipped_count} skipped")
    return not failed_count


def iterate_checks(
    registry: Registry, data_dir: Path | None = None, on_kind: Callable[[str], object] = str
) -> Iterator[CheckResult]:
    """Run every check over every declaration, one by one.

    Parameters
    ----------
    registry : Registry
        The declarations.
    data_dir : Path or None, optional
        The data directory.
    on_kind : callable, optional
        Called with a line of text before the checks of each kind of declaration.

    Yields
    ------
    CheckResult
        The result of one check.
    """
    on_kind(f"{len(registry.tasks)} tasks: loaded, loaded again, split")
    for task in registry.tasks.values():
        yield from check_task(task, data_dir)
    on_kind(f"{len(registry.families)} families: fitted on a small table")
    for family in registry.families.values():
        yield from check_family(family)
    on_kind(f"{len(registry.strategies)} strategies: applied to a small table")
    for strategy in registry.strategies.values():
        yield from check_strategy(strategy)
    on_kind(f"{len(registry.metrics)} metrics: computed")
    for metric in registry.metrics.values():
        yield from check_metric(metric)
