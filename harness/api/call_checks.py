"""Checks of the declarations that a call of the Python interface brings, on rows of its own data, before anything is run."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from harness.errors import DeclarationError
from harness.metrics.metric import Metric
from harness.registry.family import Family

if TYPE_CHECKING:
    from harness.checks.contracts import CheckResult
    from harness.execution.plan import RunRequest
    from harness.registry.registry import Registry
    from harness.registry.task import Table, Task

#: Rows of the data on which a user's classifier is tried before the run.
CHECKED_ROWS = 300
#: Reason to refuse a family where rows of a task have weights, and only there.
WEIGHT_CHECK = "counts weights as rows"
#: Checks that are no reason to refuse a declaration of a call: it may have no description, and rows that are easy to separate
#: may be predicted alike with and without weights.
TOLERATED_CHECKS = ("describes itself", "takes weights", WEIGHT_CHECK)


def check_call_declarations(declarations: Sequence[Any], request: RunRequest, registry: Registry) -> None:
    """Raise `DeclarationError` where a declaration of the call breaks its contract."""
    from harness.checks.contracts import check_metric, check_strategy
    from harness.registry.strategy import Strategy

    check_results: list[CheckResult] = []
    for declaration in declarations:
        if isinstance(declaration, Metric):
            check_results += check_metric(declaration)
        elif isinstance(declaration, Strategy):
            check_results += check_strategy(declaration)
    check_results += _check_families_on_task_rows(
        [declaration for declaration in declarations if isinstance(declaration, Family)], request, registry
    )
    tolerated = set(TOLERATED_CHECKS)
    if any(request.task(registry, name).weights for name in request.tasks):
        tolerated.remove(WEIGHT_CHECK)
    refuse_failed_checks(check_results, tolerated)


def refuse_failed_checks(checks: Iterable[CheckResult], tolerated: Collection[str]) -> None:
    """Raise `DeclarationError` for the first check that failed and is not tolerated."""
    for check in checks:
        if check.complaint and check.check not in tolerated:
            raise DeclarationError(
                f"{check.kind} {check.name!r} does not keep its contract ({check.check}): {check.complaint}"
            )


def _check_families_on_task_rows(
    families: Sequence[Family], request: RunRequest, registry: Registry
) -> Iterator[CheckResult]:
    """Try families on rows of the first task of every modality."""
    from harness.checks.contracts import check_family

    tried_modalities = set()
    for name in request.tasks if families else ():
        task = request.task(registry, name)
        if task.modality in tried_modalities:
            continue
        tried_modalities.add(task.modality)
        sample = (task.modality, _sample_task_rows(task, request))
        for family in families:
            yield from check_family(family, sample)


def _sample_task_rows(task: Task, request: RunRequest) -> Table:
    """Draw a few rows of every class of a task."""
    import numpy as np

    from harness.data.table import load_table

    table = load_table(task, request.data_folder)
    rng = np.random.default_rng(0)
    row_order = rng.permutation(len(table.y))
    rows_per_class = CHECKED_ROWS // len(table.classes)
    rows = np.concatenate(
        [row_order[table.y[row_order] == label][:rows_per_class] for label in range(len(table.classes))]
    )
    return table.take(rng.permutation(rows))
