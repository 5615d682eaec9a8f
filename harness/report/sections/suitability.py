"""Which family suits which kind of data: every family on every task, and mean ranks by groups of tasks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from operator import attrgetter
from typing import Any

import numpy as np
from scipy import stats

from harness.evaluation.cross_task import common_tasks, evaluated_rankings, family_rows
from harness.evaluation.ranking import BASELINE, RankedEntry, Ranking
from harness.evaluation.scores import Scores
from harness.evaluation.task_statistics import task_ranks
from harness.report.content import Evidence, Section
from harness.report.render import markdown
from harness.report.render.cells import format_number
from harness.report.render.markdown import bold_best, escape, folded_table

SIZES = ((1_000, "up to 1,000 rows"), (10_000, "up to 10,000 rows"), (float("inf"), "more than 10,000 rows"))
SHARES = ((0.05, "rarest class up to 5 %"), (0.2, "rarest class up to 20 %"), (1.0, "rarest class above 20 %"))
MAX_BEST = 3  #: families that are named for a kind of data
FAMILY_TEXT = (
    "The score of each family by the objective of the task, tuned, with the strategy that the inner scores chose in each split "
    "(its only one, where it had no choice), so that nothing was picked by looking at test rows. *n/a*: the family does not take "
    "that kind of data. In brackets the accuracy, where there are several classes: there the ROC AUC soon shows no difference "
    "between families. Bold is the best of a task; whether the difference is more than chance, the task's own table says."
)
GROUP_TEXT = (
    "Mean ranks of the families that have all these tasks (1 is best), by what the tasks are like. The groups are small and "
    "overlap in more than one property, so this describes and proves nothing."
)


def suitability_sections(evidence: Evidence) -> list[Section]:
    """Write a section with every family on every task, and mean ranks by groups of tasks where there are groups.

    Kinds of data are among the groups: the list by kind alone is written where there is no table of groups.
    """
    scores, rankings = evidence.scores, evidence.rankings
    groups = group_table(evidence)
    parts = [family_table(scores, rankings), GROUP_TEXT, groups] if groups else [suitability(scores, rankings)]
    return [Section("Which family suits which data", tuple(parts))] if parts[0] else []


def suitability(scores: Scores, rankings: Sequence[Ranking]) -> str:
    """Write a table of families by tasks, and the best families of each kind of data; empty with fewer than two tasks."""
    table = family_table(scores, rankings)
    return "\n\n".join(filter(None, (table, _best_by_kind(scores, rankings)))) if table else ""


def family_table(scores: Scores, rankings: Sequence[Ranking]) -> str:
    """Write a table of families by tasks, the longer of both downwards, and what it shows; empty with fewer than two tasks."""
    rankings, families = evaluated_rankings(rankings), _planned_families(scores)
    if len(rankings) < 2:
        return ""
    heads, columns = [], []
    for ranking in rankings:
        heads.append(f"{escape(ranking.task)} ({_modality(scores, ranking.task)}, {ranking.metric.label})")
        columns.append(_task_cells(scores, ranking, families))
    names = list(map(escape, families))
    if len(heads) <= len(names):
        table = folded_table(["Family", *heads], list(zip(names, *columns, strict=True)))
    else:
        table = folded_table(["Task", *names], [[head, *cells] for head, cells in zip(heads, columns, strict=True)])
    return f"{FAMILY_TEXT}\n\n{table}"


def _task_cells(scores: Scores, ranking: Ranking, families: Sequence[str]) -> list[str]:
    """What every family scored on a task, or why it has no score."""
    multiclass = len(scores.classes(ranking.task)) > 2
    texts, compared = [], []
    for family in families:
        ranked = _complete_entry(ranking, family)
        mean = math.nan
        if ranked is None:
            text = _missing_reason(scores, ranking.task, family)
        else:
            text = format_number(ranked.score.mean, ranking.digits)
            if multiclass:
                text += f" ({format_number(ranked.rows.mean('accuracy'))})"
            if family != BASELINE:
                mean = ranked.score.mean
        texts.append(text)
        compared.append(mean)
    return bold_best(compared, texts, greater=ranking.metric.greater_is_better, digits=ranking.digits)


def _planned_families(scores: Scores) -> list[str]:
    planned = set(map(attrgetter("family"), scores.cells))
    return list(filter(planned.__contains__, scores.run["families"]))


def _modality(scores: Scores, task: str) -> str:
    return str(scores.run["tasks"][task].get("modality", "tabular"))


def _complete_entry(ranking: Ranking, family: str) -> RankedEntry | None:
    """The entry of a family; None where it lacks splits."""
    ranked = ranking.family_entry(family)
    return ranked if ranked is not None and ranked.complete else None


def _missing_reason(scores: Scores, task: str, family: str) -> str:
    """Why a family has no score on a task: how its cells ended."""
    statuses = dict.fromkeys(cell.status for cell in scores.cells if (cell.task, cell.family) == (task, family))
    if set(statuses) <= {"inapplicable"}:
        return "n/a"
    return ", ".join(status for status in statuses if status != "ok")


def _best_by_kind(scores: Scores, rankings: Sequence[Ranking]) -> str:
    """The three families with the best mean rank on each kind of data, where there is more than one kind."""
    by_kind: dict[str, list[Ranking]] = {}
    for ranking in evaluated_rankings(rankings):
        by_kind.setdefault(_modality(scores, ranking.task), []).append(ranking)
    lines = []
    for kind, of_kind in by_kind.items():
        columns = {}
        for family in _planned_families(scores):
            errors = list(map(partial(_error, family), of_kind))
            if family != BASELINE and not any(map(math.isnan, errors)):
                columns[family] = errors
        if columns:
            mean_ranks = stats.rankdata(list(columns.values()), axis=0).mean(axis=1).tolist()
            ranks = dict(zip(columns, mean_ranks, strict=True))
            first = sorted(ranks, key=lambda family: (ranks[family], family))[:MAX_BEST]
            names = markdown.join_words([f"{escape(family)} ({format_number(ranks[family], 1)})" for family in first])
            lines.append(f"- {kind}, {markdown.format_count(len(of_kind), 'task')}: {names}")
    if len(by_kind) < 2 or not lines:
        return ""
    return "\n".join(["Lowest mean ranks on each kind of data:\n", *lines])


def _error(family: str, ranking: Ranking) -> float:
    """The score of a family on a task, turned so that less is better; NaN where it has none."""
    ranked = _complete_entry(ranking, family)
    if ranked is None:
        return math.nan
    return -ranked.score.mean if ranking.metric.greater_is_better else ranked.score.mean


def group_table(evidence: Evidence) -> str:
    """Write mean ranks by groups of tasks; empty where fewer than two families share two tasks, or with one group only."""
    common = common_tasks(evaluated_rankings(evidence.rankings), family_rows)
    if len(common.entries) < 2 or len(common.tasks) < 2:
        return ""
    ranks = task_ranks(common.means)
    properties = [task_groups(evidence.scores.run["tasks"][task]) for task in common.tasks]
    rows = []
    for names in zip(*properties, strict=True):
        for group in sorted(set(names), key=_group_order):
            inside = np.array(names) == group
            if not inside.all():
                means = ranks[:, inside].mean(axis=1).tolist()
                cells = bold_best(means, list(map("{:.2f}".format, means)), greater=False)
                rows.append([group, str(int(inside.sum())), *cells])
    if not rows:
        return ""
    return markdown.format_table(["Tasks", "Number", *map(escape, map(attrgetter("family"), common.entries))], rows)


def _group_order(name: str) -> tuple[int, str]:
    names = list(dict((*SIZES, *SHARES)).values())
    return (names.index(name) if name in names else -1, name)


def task_groups(description: Mapping[str, Any]) -> tuple[str, str, str]:
    """Give the groups of a task, from its description in `run.json`: kind of data, size, share of its rarest class."""
    counts = description["counts"]
    share = min(counts) / sum(counts)
    size = next(name for limit, name in SIZES if description["rows"] <= limit)
    return str(description.get("modality", "tabular")), size, next(name for limit, name in SHARES if share <= limit)
