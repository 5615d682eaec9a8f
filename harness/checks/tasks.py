"""The contract of a task."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from harness.checks.verdict import Verdict, named, run_checks
from harness.declare.protocol import EvaluationProtocol
from harness.declare.task import Task


def check_task(task: Task, data_dir: Path | None = None) -> Iterator[Verdict]:
    """Hold a task to the contract: it says where it comes from, loads to the same rows twice, and can be split."""
    from harness.data.content import fingerprint
    from harness.data.splits import make_splitter
    from harness.data.table import load_table

    def says_where_from() -> str:
        missing = [name for name in ("title", "description", "source", "licence") if not getattr(task, name)]
        return f"{', '.join(missing)} must be said" if missing else ""

    def loads() -> str:
        table = load_table(task, data_dir)
        if len(table.y) != len(table.X) or 0 in table.X.shape:
            return f"{len(table.y)} targets for features of shape {table.X.shape}"
        leaked = [name for name in (task.target, *task.banned) if name in getattr(table.X, "columns", ())]
        return f"columns {leaked} must not be among the features" if leaked else ""

    def loads_the_same_twice() -> str:
        first, second = (fingerprint(load_table(task, data_dir)) for _ in range(2))
        return "" if first == second else "two loads gave different rows: load must not draw without a seed"

    def can_be_split() -> str:
        table = load_table(task, data_dir)
        make_splitter(table).outer(EvaluationProtocol(folds=2))
        return ""

    checks = [named(task.name), says_where_from, loads, loads_the_same_twice, can_be_split]
    yield from run_checks("task", task.name, checks)
