"""Which family suits which kind of data: every family on every task."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy import stats

from harness.evaluation import friedman as ranks
from harness.evaluation.cross_task import evaluated, families, shared
from harness.evaluation.ranking import BASELINE, RankedEntry, Ranking
from harness.evaluation.scores import Scores
from harness.report.content import Evidence, Section
from harness.report.render.markdown import bold_best, count, escape, folded_table, listed, number, table

CAPTION = (
    "The score of each family by the objective of the task, tuned, with the strategy that the inner scores chose in each split "
    "(its only one, where it had no choice), so that nothing was picked by looking at test rows. *n/a*: the family does not take "
    "that kind of data. In brackets the accuracy, where there are several classes: there the ROC AUC soon tells no families "
    "apart. Bold is the best of a task; whether the difference is more than chance, the task's own table says."
)


def suitability(scores: Scores, rankings: list[Ranking]) -> str:
    """A table of families by tasks, and the best families of each kind of data; empty with fewer than two tasks."""
    body = family_table(scores, rankings)
    return "\n\n".join(part for part in (body, _by_kind(scores, rankings)) if part) if body else ""


def family_table(scores: Scores, rankings: list[Ranking]) -> str:
    """A table of families by tasks, the longer of both downwards, and what it shows; empty with fewer than two tasks."""
    rankings, families = _ranked(rankings), _planned(scores)
    if len(rankings) < 2:
        return ""
    columns = [_column(scores, ranking, families) for ranking in rankings]
    heads = [
        f"{escape(ranking.task)} ({_modality(scores, ranking.task)}, {ranking.metric.label})" for ranking in rankings
    ]
    names = [escape(family) for family in families]
    if len(heads) <= len(names):
        body = folded_table(["Family", *heads], [[name, *row] for name, *row in zip(names, *columns, strict=True)])
    else:
        body = folded_table(["Task", *names], [[head, *column] for head, column in zip(heads, columns, strict=True)])
    return f"{CAPTION}\n\n{body}"


def _ranked(rankings: list[Ranking]) -> list[Ranking]:
    return [ranking for ranking in rankings if ranking.best is not None]


def _planned(scores: Scores) -> list[str]:
    planned = {cell.family for cell in scores.cells}
    return [family for family in scores.run["families"] if family in planned]


def _modality(scores: Scores, task: str) -> str:
    return str(scores.run["tasks"][task].get("modality", "tabular"))


def _best(ranking: Ranking, family: str) -> RankedEntry | None:
    """The line of a family; None where it lacks splits."""
    place = ranking.family(family)
    return place if place is not None and place.complete else None


def _column(scores: Scores, ranking: Ranking, families: list[str]) -> list[str]:
    places = [_best(ranking, family) for family in families]
    several = len(scores.classes(ranking.task)) > 2
    texts = [
        number(place.score.mean, ranking.digits) + (f" ({number(place.rows.mean('accuracy'))})" if several else "")
        if place
        else _why_not(scores, ranking.task, family)
        for family, place in zip(families, places, strict=True)
    ]
    compared = [
        place.score.mean if place and family != BASELINE else math.nan
        for family, place in zip(families, places, strict=True)
    ]
    return bold_best(compared, texts, greater=ranking.metric.greater_is_better, digits=ranking.digits)


def _why_not(scores: Scores, task: str, family: str) -> str:
    """Why a family has no figure on a task: what became of its cells."""
    ended = dict.fromkeys(cell.status for cell in scores.cells if (cell.task, cell.family) == (task, family))
    return "n/a" if set(ended) <= {"inapplicable"} else ", ".join(one for one in ended if one != "ok")


def _by_kind(scores: Scores, rankings: list[Ranking]) -> str:
    """The three families with the best mean rank on each kind of data, where there is more than one kind."""
    kinds: dict[str, list[Ranking]] = {}
    for ranking in _ranked(rankings):
        kinds.setdefault(_modality(scores, ranking.task), []).append(ranking)
    lines = []
    for kind, some in kinds.items():
        figures = {
            family: [_figure(ranking, family) for ranking in some] for family in _planned(scores) if family != BASELINE
        }
        whole = [family for family, values in figures.items() if not np.isnan(values).any()]
        if whole:
            ranks = stats.rankdata([figures[family] for family in whole], axis=0).mean(axis=1)
            order = sorted(range(len(whole)), key=lambda at: (ranks[at], whole[at]))[:3]
            first = listed([f"{escape(whole[at])} ({number(float(ranks[at]), 1)})" for at in order])
            lines.append(f"- {kind}, {count(len(some), 'task')}: {first}")
    return "Lowest mean ranks on each kind of data:\n\n" + "\n".join(lines) if len(kinds) > 1 and lines else ""


def _figure(ranking: Ranking, family: str) -> float:
    """The score of a family on a task, turned so that less is better; NaN where it has none."""
    place = _best(ranking, family)
    return math.nan if place is None else (-1 if ranking.metric.greater_is_better else 1) * place.score.mean


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
