"""Outcomes of cells that are known before any work: packages that are missing, combinations that do not apply."""

from __future__ import annotations

from typing import NamedTuple

from harness.errors import MissingPackageError
from harness.preprocessing.encodings import ENCODINGS
from harness.registry.family import Family, missing_packages
from harness.registry.strategy import Strategy
from harness.registry.task import Task
from harness.search.applicability import (
    UNSUPPORTED_MODALITY,
    UNSUPPORTED_STRATEGY,
    UNSUPPORTED_WEIGHTS,
    inapplicable_reason,
    unweightable_reason,
)
from harness.store.record import Status

MISSING_PACKAGE = MissingPackageError.code


class KnownCellOutcome(NamedTuple):
    """Status, code and reason of a cell that cannot be executed."""

    status: Status
    code: str
    reason: str


def known_outcome(task: Task, family: Family, strategy: Strategy) -> KnownCellOutcome | None:
    """The outcome of cells that cannot be executed; None where they can."""
    encoding = ENCODINGS.get(family.encodings.get(task.modality, ""))
    if missing := missing_packages(family, encoding.needs if encoding else ()):
        return KnownCellOutcome("skipped", MISSING_PACKAGE, missing)
    if reason := inapplicable_reason(family, task.modality):
        return KnownCellOutcome("inapplicable", UNSUPPORTED_MODALITY, reason)
    if reason := inapplicable_reason(family, task.modality, strategy):
        return KnownCellOutcome("inapplicable", UNSUPPORTED_STRATEGY, reason)
    if task.weights and (reason := unweightable_reason(family, strategy)):
        return KnownCellOutcome("inapplicable", UNSUPPORTED_WEIGHTS, reason)
    return None
