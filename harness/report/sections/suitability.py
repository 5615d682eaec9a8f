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
    section_parts = compare_families_over_tasks(evidence.scores, evidence.rankings)
    groups = tabulate_ranks_by_group(evidence)
    if section_parts and groups:
        section_parts += [render_text_template("task_groups.md"), groups]
    elif section_parts:
        section_parts = describe_suitability(evidence.scores, evidence.rankings)
    return [Section("Which family suits which data", tuple(section_parts))] if section_parts else []


def describe_suitability(scores: Scores, rankings: Sequence[Ranking]) -> list[Part]:
    """Give a table of families by tasks, and the best families of each kind of data; nothing with fewer than two tasks."""
    section_parts, best_families_text = (
        compare_families_over_tasks(scores, rankings),
        _best_families_by_modality(scores, rankings),
    )
    return [*section_parts, best_families_text] if section_parts and best_families_text else section_parts


def compare_families_over_tasks(scores: Scores, rankings: Sequence[Ranking]) -> list[Part]:
    """Give a table of families by tasks, the longer of both downwards, and what it shows; nothing with fewer than two tasks."""
    rankings, families = select_completed_rankings(rankings), _planned_families(scores)
    if len(rankings) < 2:
        return []
    headings, cells = [], []
    for ranking in rankings:
        headings.append(f"{ranking.task} ({_task_modality(scores, ranking.task)}, {metric_name(ranking.metric)})")
        cells.append(_score_cells_of_families(scores, ranking, families))
    corner_heading, row_names = "Task", headings
    column_names: Sequence[str] = families
    if len(headings) <= len(families):
        corner_heading, row_names, column_names = "Family", families, headings
        cells = [list(family_cells) for family_cells in zip(*cells, strict=True)]
    columns = [ReportColumn(corner_heading), *(ReportColumn(name, "number") for name in column_names)]
    rows: list[tuple[str | ReportCell, ...]] = []
    for name, row_cells in zip(row_names, cells, strict=True):
        rows.append((name, *row_cells))
    return [render_text_template("families.md"), ReportTable(tuple(columns), tuple(rows))]


def _score_cells_of_families(scores: Scores, ranking: Ranking, families: Sequence[str]) -> list[ReportCell]:
    """What every family scored on a task, or why it has no score; with several classes a text with the accuracy."""
    family_means: list[float] = []
    for family in families:
        complete_entry = _complete_entry(ranking, family)
        family_means.append(math.nan if complete_entry is None else complete_entry.score.mean)
    is_compared, digits = [family != BASELINE for family in families], ranking.digits
    marked_cells = mark_best_cells(
        family_means, greater=ranking.metric.greater_is_better, digits=digits, compared=is_compared
    )
    cells = []
    for family, cell in zip(families, marked_cells, strict=True):
        complete_entry = _complete_entry(ranking, family)
        cell_value: CellValue = cell.value
        if complete_entry is None:
            cell_value = _explain_missing_score(scores, ranking.task, family)
        elif len(scores.classes(ranking.task)) > 2:
            score = format_number(complete_entry.score.mean, digits)
            cell_value = f"{score} ({format_number(complete_entry.rows.mean('accuracy'))})"
        cells.append(replace(cell, value=cell_value, digits=digits))
    return cells


def _planned_families(scores: Scores) -> list[str]:
    planned_families = set(map(attrgetter("family"), scores.cells))
    return list(filter(planned_families.__contains__, scores.run["families"]))


def _task_modality(scores: Scores, task: str) -> str:
    return str(scores.run["tasks"][task].get("modality", "tabular"))


def _complete_entry(ranking: Ranking, family: str) -> RankedEntry | None:
    """The entry of a family; None where it lacks splits."""
    ranked_entry = ranking.family_entry(family)
    return ranked_entry if ranked_entry is not None and ranked_entry.complete else None


def _explain_missing_score(scores: Scores, task: str, family: str) -> str:
    """Why a family has no score on a task: how its cells ended."""
    statuses = dict.fromkeys(cell.status for cell in scores.cells if (cell.task, cell.family) == (task, family))
    if set(statuses) <= {"inapplicable"}:
        return "n/a"
    return ", ".join(status for status in statuses if status != "ok")


def _best_families_by_modality(scores: Scores, rankings: Sequence[Ranking]) -> str:
    """The three families with the best mean rank on each kind of data, where there is more than one kind."""
    rankings_by_modality: dict[str, list[Ranking]] = {}
    for ranking in select_completed_rankings(rankings):
        rankings_by_modality.setdefault(_task_modality(scores, ranking.task), []).append(ranking)
    lines = []
    for task_modality, modality_rankings in rankings_by_modality.items():
        columns = {}
        for family in _planned_families(scores):
            errors = list(map(partial(_score_as_error, family), modality_rankings))
            if family != BASELINE and not any(map(math.isnan, errors)):
                columns[family] = errors
        if columns:
            mean_ranks = pd.DataFrame(list(columns.values())).rank().mean(axis=1).tolist()
            ranks = dict(zip(columns, mean_ranks, strict=True))
            first_families = sorted(ranks, key=lambda family: (ranks[family], family))[:MAX_BEST]
            names = markdown.join_words(
                [f"{escape(family)} ({format_number(ranks[family], 1)})" for family in first_families]
            )
            lines.append(f"- {task_modality}, {markdown.format_count(len(modality_rankings), 'task')}: {names}")
    if len(rankings_by_modality) < 2 or not lines:
        return ""
    return "\n".join(["Lowest mean ranks on each kind of data:\n", *lines])


def _score_as_error(family: str, ranking: Ranking) -> float:
    """The score of a family on a task, turned so that less is better; NaN where it has none."""
    complete_entry = _complete_entry(ranking, family)
    if complete_entry is None:
        return math.nan
    return -complete_entry.score.mean if ranking.metric.greater_is_better else complete_entry.score.mean


def tabulate_ranks_by_group(evidence: Evidence) -> ReportTable | None:
    """Tabulate mean ranks by groups of tasks; None where fewer than two families share two tasks, or with one group only."""
    common_tasks = find_common_tasks(select_completed_rankings(evidence.rankings), select_family_entry_rows)
    if len(common_tasks.entries) < 2 or len(common_tasks.tasks) < 2:
        return None
    ranks = task_ranks(common_tasks.mean_scores)
    groups_by_task = [groups_of_task(evidence.scores.run["tasks"][task]) for task in common_tasks.tasks]
    rows = []
    for names in zip(*groups_by_task, strict=True):
        for group in sorted(set(names), key=_group_sort_key):
            is_in_group = np.array(names) == group
            if not is_in_group.all():
                mean_ranks = ranks[:, is_in_group].mean(axis=1).tolist()
                rows.append((group, int(is_in_group.sum()), *mark_best_cells(mean_ranks, greater=False)))
    if not rows:
        return None
    columns = [ReportColumn("Tasks"), ReportColumn("Number", "count")]
    columns += [ReportColumn(entry.family, "number", 2) for entry in common_tasks.entries]
    return ReportTable(tuple(columns), tuple(rows), foldable=False)


def _group_sort_key(name: str) -> tuple[int, str]:
    names = list(dict((*SIZES, *SHARES)).values())
    return (names.index(name) if name in names else -1, name)


def groups_of_task(description: Mapping[str, Any]) -> tuple[str, str, str]:
    """Give the groups of a task, from its description in `run.json`: kind of data, size, share of its rarest class."""
    class_counts = description["counts"]
    rarest_share = min(class_counts) / sum(class_counts)
    size_group = next(name for size_limit, name in SIZES if description["rows"] <= size_limit)
    return (
        str(description.get("modality", "tabular")),
        size_group,
        next(name for size_limit, name in SHARES if rarest_share <= size_limit),
    )
