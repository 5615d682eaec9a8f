"""Which family suits which kind of data: every family on every task, and mean ranks by groups of tasks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from operator import attrgetter
from typing import Any

import numpy as np
import pandas as pd

from harness.evaluation.cross_task import find_common_tasks, select_completed_rankings, select_family_entry_rows
from harness.evaluation.ranking import BASELINE, RankedEntry, Ranking
from harness.evaluation.scores import Scores
from harness.evaluation.task_statistics import task_ranks
from harness.report.content import (
    CellValue,
    Evidence,
    Part,
    ReportCell,
    ReportColumn,
    ReportTable,
    Section,
    mark_best_cells,
)
from harness.report.render import markdown
from harness.report.render.cells import format_number
from harness.report.render.markdown import escape, metric_name
from harness.report.render.templates import render_text_template

SIZES = ((1_000, "up to 1,000 rows"), (10_000, "up to 10,000 rows"), (float("inf"), "more than 10,000 rows"))
SHARES = ((0.05, "rarest class up to 5 %"), (0.2, "rarest class up to 20 %"), (1.0, "rarest class above 20 %"))
MAX_BEST = 3  #: families that are named for a kind of data


def make_suitability_sections(evidence: Evidence) -> list[Section]:
    """Write a section with every family on every task, and mean ranks by groups of tasks where there are groups.

    Kinds of data are among the groups: the list by kind alone is written where there is no table of groups.
    """
    parts = compare_families_over_tasks(evidence.scores, evidence.rankings)
    groups = tabulate_ranks_by_group(evidence)
    if parts and groups:
        parts += [render_text_template("task_groups.md"), groups]
    elif parts:
        parts = describe_suitability(evidence.scores, evidence.rankings)
    return [Section("Which family suits which data", tuple(parts))] if parts else []


def describe_suitability(scores: Scores, rankings: Sequence[Ranking]) -> list[Part]:
    """Give a table of families by tasks, and the best families of each kind of data; nothing with fewer than two tasks."""
    parts, best = compare_families_over_tasks(scores, rankings), _best_families_by_modality(scores, rankings)
    return [*parts, best] if parts and best else parts


def compare_families_over_tasks(scores: Scores, rankings: Sequence[Ranking]) -> list[Part]:
    """Give a table of families by tasks, the longer of both downwards, and what it shows; nothing with fewer than two tasks."""
    rankings, families = select_completed_rankings(rankings), _planned_families(scores)
    if len(rankings) < 2:
        return []
    headings, cells = [], []
    for ranking in rankings:
        headings.append(f"{ranking.task} ({_task_modality(scores, ranking.task)}, {metric_name(ranking.metric)})")
        cells.append(_score_cells_of_families(scores, ranking, families))
    corner, row_names = "Task", headings
    column_names: Sequence[str] = families
    if len(headings) <= len(families):
        corner, row_names, column_names = "Family", families, headings
        cells = [list(of_family) for of_family in zip(*cells, strict=True)]
    columns = [ReportColumn(corner), *(ReportColumn(name, "number") for name in column_names)]
    rows: list[tuple[str | ReportCell, ...]] = []
    for name, of_row in zip(row_names, cells, strict=True):
        rows.append((name, *of_row))
    return [render_text_template("families.md"), ReportTable(tuple(columns), tuple(rows))]


def _score_cells_of_families(scores: Scores, ranking: Ranking, families: Sequence[str]) -> list[ReportCell]:
    """What every family scored on a task, or why it has no score; with several classes a text with the accuracy."""
    means: list[float] = []
    for family in families:
        ranked = _complete_entry(ranking, family)
        means.append(math.nan if ranked is None else ranked.score.mean)
    compared, digits = [family != BASELINE for family in families], ranking.digits
    marked = mark_best_cells(means, greater=ranking.metric.greater_is_better, digits=digits, compared=compared)
    cells = []
    for family, cell in zip(families, marked, strict=True):
        ranked = _complete_entry(ranking, family)
        value: CellValue = cell.value
        if ranked is None:
            value = _explain_missing_score(scores, ranking.task, family)
        elif len(scores.classes(ranking.task)) > 2:
            score = format_number(ranked.score.mean, digits)
            value = f"{score} ({format_number(ranked.rows.mean('accuracy'))})"
        cells.append(replace(cell, value=value, digits=digits))
    return cells


def _planned_families(scores: Scores) -> list[str]:
    planned = set(map(attrgetter("family"), scores.cells))
    return list(filter(planned.__contains__, scores.run["families"]))


def _task_modality(scores: Scores, task: str) -> str:
    return str(scores.run["tasks"][task].get("modality", "tabular"))


def _complete_entry(ranking: Ranking, family: str) -> RankedEntry | None:
    """The entry of a family; None where it lacks splits."""
    ranked = ranking.family_entry(family)
    return ranked if ranked is not None and ranked.complete else None


def _explain_missing_score(scores: Scores, task: str, family: str) -> str:
    """Why a family has no score on a task: how its cells ended."""
    statuses = dict.fromkeys(cell.status for cell in scores.cells if (cell.task, cell.family) == (task, family))
    if set(statuses) <= {"inapplicable"}:
        return "n/a"
    return ", ".join(status for status in statuses if status != "ok")


def _best_families_by_modality(scores: Scores, rankings: Sequence[Ranking]) -> str:
    """The three families with the best mean rank on each kind of data, where there is more than one kind."""
    by_kind: dict[str, list[Ranking]] = {}
    for ranking in select_completed_rankings(rankings):
        by_kind.setdefault(_task_modality(scores, ranking.task), []).append(ranking)
    lines = []
    for kind, of_kind in by_kind.items():
        columns = {}
        for family in _planned_families(scores):
            errors = list(map(partial(_score_as_error, family), of_kind))
            if family != BASELINE and not any(map(math.isnan, errors)):
                columns[family] = errors
        if columns:
            mean_ranks = pd.DataFrame(list(columns.values())).rank().mean(axis=1).tolist()
            ranks = dict(zip(columns, mean_ranks, strict=True))
            first = sorted(ranks, key=lambda family: (ranks[family], family))[:MAX_BEST]
            names = markdown.join_words([f"{escape(family)} ({format_number(ranks[family], 1)})" for family in first])
            lines.append(f"- {kind}, {markdown.format_count(len(of_kind), 'task')}: {names}")
    if len(by_kind) < 2 or not lines:
        return ""
    return "\n".join(["Lowest mean ranks on each kind of data:\n", *lines])


def _score_as_error(family: str, ranking: Ranking) -> float:
    """The score of a family on a task, turned so that less is better; NaN where it has none."""
    ranked = _complete_entry(ranking, family)
    if ranked is None:
        return math.nan
    return -ranked.score.mean if ranking.metric.greater_is_better else ranked.score.mean


def tabulate_ranks_by_group(evidence: Evidence) -> ReportTable | None:
    """Tabulate mean ranks by groups of tasks; None where fewer than two families share two tasks, or with one group only."""
    common = find_common_tasks(select_completed_rankings(evidence.rankings), select_family_entry_rows)
    if len(common.entries) < 2 or len(common.tasks) < 2:
        return None
    ranks = task_ranks(common.mean_scores)
    properties = [groups_of_task(evidence.scores.run["tasks"][task]) for task in common.tasks]
    rows = []
    for names in zip(*properties, strict=True):
        for group in sorted(set(names), key=_group_sort_key):
            inside = np.array(names) == group
            if not inside.all():
                means = ranks[:, inside].mean(axis=1).tolist()
                rows.append((group, int(inside.sum()), *mark_best_cells(means, greater=False)))
    if not rows:
        return None
    columns = [ReportColumn("Tasks"), ReportColumn("Number", "count")]
    columns += [ReportColumn(entry.family, "number", 2) for entry in common.entries]
    return ReportTable(tuple(columns), tuple(rows), foldable=False)


def _group_sort_key(name: str) -> tuple[int, str]:
    names = list(dict((*SIZES, *SHARES)).values())
    return (names.index(name) if name in names else -1, name)


def groups_of_task(description: Mapping[str, Any]) -> tuple[str, str, str]:
    """Give the groups of a task, from its description in `run.json`: kind of data, size, share of its rarest class."""
    counts = description["counts"]
    share = min(counts) / sum(counts)
    size = next(name for limit, name in SIZES if description["rows"] <= limit)
    return str(description.get("modality", "tabular")), size, next(name for limit, name in SHARES if share <= limit)
