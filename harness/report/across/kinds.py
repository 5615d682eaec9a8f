"""Which family suits which data: mean ranks of families by kind of data, size and share of the rarest class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from harness.report.across import ranks
from harness.report.across.together import evaluated, families, shared
from harness.report.markdown import bold_best, escape, number, table
from harness.report.section import Evidence, Section
from harness.report.suitability import family_table, suitability

SIZES = ((1_000, "up to 1,000 rows"), (10_000, "up to 10,000 rows"), (float("inf"), "more than 10,000 rows"))
SHARES = ((0.05, "rarest class up to 5 %"), (0.2, "rarest class up to 20 %"), (1.0, "rarest class above 20 %"))
SAID = (
    "Mean ranks of the families that have all these tasks (1 is best), by what the tasks are like. The groups are small and "
    "overlap in more than one property, so this describes and proves nothing."
)


def kinds_part(evidence: Evidence) -> list[Section]:
    """A section with every family on every task, and mean ranks by groups of tasks where there are groups.

    Kinds of data are among the groups: the list by kind alone stands where there is no table of groups.
    """
    groups = group_table(evidence)
    body = (family_table if groups else suitability)(evidence.scores, list(evidence.rankings))
    return [Section("Which family suits which data", (body, *([SAID, groups] if groups else [])))] if body else []


def group_table(evidence: Evidence) -> str:
    """Mean ranks by groups of tasks; empty where fewer than two families share two tasks, or there is one group only."""
    together = shared(evaluated(evidence.rankings), families)
    if len(together.entries) < 2 or len(together.tasks) < 2:
        return ""
    of_tasks = ranks.ranks(together.means)
    about = [groups_of(evidence.scores.run["tasks"][task]) for task in together.tasks]
    rows = []
    for group in dict.fromkeys(name for some in zip(*about, strict=True) for name in sorted(some, key=_order)):
        inside = np.array([group in some for some in about])
        if not inside.all():
            means = of_tasks[:, inside].mean(axis=1).tolist()
            rows.append(
                [group, str(int(inside.sum())), *bold_best(means, [number(m, 2) for m in means], greater=False)]
            )
    head = ["Tasks", "Number", *(escape(entry.family) for entry in together.entries)]
    return table(head, rows) if rows else ""


def groups_of(about: Mapping[str, Any]) -> tuple[str, str, str]:
    """The groups of a task, from what `run.json` says of it: kind of data, size, share of its rarest class."""
    counts = about["counts"]
    share = min(counts) / sum(counts)
    size = next(name for limit, name in SIZES if about["rows"] <= limit)
    return str(about.get("modality", "tabular")), size, next(name for limit, name in SHARES if share <= limit)


def _order(name: str) -> tuple[int, str]:
    names = [name for _, name in (*SIZES, *SHARES)]
    return (names.index(name) if name in names else -1, name)
