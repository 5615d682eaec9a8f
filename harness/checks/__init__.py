"""The contract that every declaration must pass; shipped, so that plugins hold themselves to it as well.

Each check is a function that returns a complaint, or nothing; what it raises is a complaint as well. `evenhand check` runs them
over the whole registry and the tests do the same. Families and strategies are tried on small data made from a seed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from harness.checks.contracts import Verdict, check_family, check_metric, check_strategy, check_task
from harness.registry.registry import Registry

__all__ = ["Verdict", "check_all", "check_family", "check_metric", "check_strategy", "check_task", "verdicts"]


def check_all(registry: Registry, data_dir: Path | None, say: Callable[[str], None]) -> bool:
    """Run every check over every declaration, say what fails, and return whether all is well.

    Which kind is looked at is written to standard error, as fitting all families takes a while.
    """
    failed = passed = skipped = 0
    for verdict in verdicts(registry, data_dir, lambda line: print(line, file=sys.stderr, flush=True)):
        if verdict.complaint:
            failed += 1
            say(f"FAILED   {verdict.kind} {verdict.name}: {verdict.check}: {verdict.complaint}")
        elif verdict.skipped:
            skipped += 1
            say(f"skipped  {verdict.kind} {verdict.name}: {verdict.check}: {verdict.skipped}")
        else:
            passed += 1
    say(f"{passed} checks passed, {failed} failed, {skipped} skipped")
    return not failed


def verdicts(
    registry: Registry, data_dir: Path | None = None, begun: Callable[[str], object] = str
) -> Iterator[Verdict]:
    """Every check over every declaration; `begun` is told which kind comes next."""
    begun(f"{len(registry.tasks)} tasks: loaded, loaded again, split")
    for task in registry.tasks.values():
        yield from check_task(task, data_dir)
    begun(f"{len(registry.families)} families: fitted on a small table")
    for family in registry.families.values():
        yield from check_family(family)
    begun(f"{len(registry.strategies)} strategies: applied to a small table")
    for strategy in registry.strategies.values():
        yield from check_strategy(strategy)
    begun(f"{len(registry.metrics)} metrics: computed")
    for metric in registry.metrics.values():
        yield from check_metric(metric)
