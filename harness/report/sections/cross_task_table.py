"""All tasks together in one table: mean rank, wins, distance from the best, strength; and what is missing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.evaluation import bradley_terry, cross_task, friedman
from harness.evaluation.cross_task import Array, Coverage, Together, coverage, evaluated, imputed, shared, tuned
from harness.evaluation.ranking import Ranking
from harness.evaluation.scores import MISSING, Entry, Scores
from harness.report.render.markdown import NONE, bold_best, count, details, escape, folded_table, listed, number, table
from harness.seeding import seed_of

ONE_TASK = "There is one task only, so there is nothing to average over."
NOBODY = "No entry has all splits of two tasks."
FEWEST_TASKS = 5  #: with fewer, intervals and tests over tasks say nothing
SAID = (
    "*Mean rank*: over the tasks, 1 being best. *Wins*: first places (shared ones count for each). *Normalised*: 0 at the "
    "majority row of a task, or below it, and 1 at its best entry. *Improvability*: by which part the error (1 − score, or the "
    "score where less is better) would fall if this entry were the best of each task, as in TabArena; 0 is best."
)


@dataclass(frozen=True)
class Overview:
    """The entries over the tasks that they share, in the order of their mean ranks, and their strengths.

    `won` are the battles (tasks, entries, entries); `lower` and `upper` are NaN where there are too few tasks.
    """

    together: Together
    won: Array
    strengths: Array
    lower: Array
    upper: Array


def overview(together: Together) -> Overview:
    """Rank the entries of at least two tasks and measure their strengths."""
    together = ranked(together)
    won = np.array([bradley_terry.battles(figures) for figures in together.figures])
    strengths = bradley_terry.strengths(won)
    lower = upper = np.full(len(strengths), np.nan)
    if len(together.tasks) >= FEWEST_TASKS and len(strengths) > 1:
        lower, upper = bradley_terry.intervals(
            won, seed_of("across", *together.tasks, *(e.name for e in together.entries))
        )
    return Overview(together, won, strengths, lower, upper)


def ranked(together: Together) -> Together:
    """The same in the order of mean ranks, best first."""
    found = mean_ranks(together)
    return together.ordered(sorted(range(len(found)), key=lambda at: (found[at], together.entries[at])))


def mean_ranks(together: Together) -> Array:
    """The mean rank of every entry over the tasks."""
    return np.asarray(friedman.ranks(together.means).mean(axis=1))


def overall(rankings: list[Ranking]) -> str:
    """A short table of the entries over the tasks that they share, and who is left out of it for lacking some."""
    some = evaluated(rankings)
    if len(some) < 2:
        return too_few(rankings)
    together = shared(some)
    if len(together.tasks) < 2:
        return "\n\n".join([NOBODY, *unfinished(rankings)])
    said = [*left_out(some, together), *unfinished(rankings)]
    return "\n\n".join([_opening(rankings, together), short_table(ranked(together)), *said])


def too_few(rankings: Sequence[Ranking]) -> str:
    """Why nothing is said over tasks where fewer than two have been evaluated."""
    if len(rankings) < 2:
        return ONE_TASK
    n = len(evaluated(rankings))
    return (
        f"{n or 'None'} of {len(rankings)} tasks {'has' if n == 1 else 'have'} been evaluated: too few to average over."
    )


def unfinished(rankings: Sequence[Ranking]) -> list[str]:
    """Sentences that name the tasks of the run without figures, and those of whose planned splits nobody has all."""
    some = evaluated(rankings)
    lacking = [escape(one.task) for one in rankings if one.best is None]
    said = [f"Not evaluated, as no entry has figures: {listed(lacking)}."] if lacking else []
    found: dict[tuple[int, int], list[str]] = {}
    for ranking in some:
        has = len({split for place in ranking.entries for split in place.rows.splits})
        if has < ranking.splits:
            found.setdefault((has, ranking.splits), []).append(escape(ranking.task))
    return said + [
        f"Of {count(planned, 'planned split')} only {has} {'has' if has == 1 else 'have'} figures of any entry on "
        f"{'every task' if len(tasks) == len(rankings) else listed(tasks)}: what is said there is said of "
        f"{'it' if has == 1 else 'these'} alone."
        for (has, planned), tasks in found.items()
    ]


def _opening(rankings: Sequence[Ranking], together: Together) -> str:
    n, every = len(together.tasks), len(rankings)
    tasks = count(n, "task") if n == every else f"{n} of {every} tasks"
    return (
        f"Tuned entries over {tasks}, each ranked by the objective of the task; the majority row does not compete. *Wins* are "
        "first places (shared ones count for each), *normalised* is 0 at the majority row of a task, or below it, and 1 at its "
        "best entry. Nothing is claimed about other tasks."
    )


def short_table(together: Together) -> str:
    """Mean rank, wins and normalised score."""
    columns = [
        _ranks(together),
        [str(won) for won in cross_task.wins(together.means)],
        _best(cross_task.normalised(together)),
    ]
    return folded_table(["Entry", "Mean rank", "Wins", "Normalised"], _rows(together, columns))


def long_table(seen: Overview) -> str:
    """All that is known of every entry over the tasks that they share."""
    together = seen.together
    columns = [
        _ranks(together),
        [str(won) for won in cross_task.wins(together.means)],
        _best(cross_task.normalised(together)),
        _best(cross_task.improvability(together), greater=False),
        [number(value, 0) for value in seen.strengths],
        *([] if np.isnan(seen.lower).any() else [_interval(seen)]),
        [NONE if math.isnan(value) else f"{100 * value:.0f}" for value in beaten(together)],
    ]
    heads = ["Entry", "Mean rank", "Wins", "Normalised", "Improvability", "Elo"]
    heads += [] if np.isnan(seen.lower).any() else ["95 % interval"]
    return folded_table([*heads, "Beats majority, % of splits"], _rows(together, columns))


def left_out(rankings: Sequence[Ranking], together: Together) -> list[str]:
    """Sentences that name the tasks and the entries which are not in the comparison."""
    tasks = [escape(one.task) for one in rankings if one.task not in together.tasks]
    names = sorted({name_of(one.entry) for one in coverage(rankings) if one.entry not in together.entries})
    said = [f"Tasks left out, because some of these entries lack splits of them: {listed(tasks)}."] if tasks else []
    if names:
        said.append(f"Left out, because some splits of some task are lacking: {', '.join(map(escape, names))}.")
    return said


def coverage_part(scores: Scores, rankings: Sequence[Ranking]) -> str:
    """How many of all tasks and planned splits every entry has: a sentence where they have everything, else a table."""
    found, splits = coverage(rankings), sum(ranking.splits for ranking in rankings)
    if all(one.splits == splits for one in found):
        return f"Coverage: every entry has all {count(splits, 'split')} of all {count(len(rankings), 'task')}."
    has = [(ranking.splits, tuned(ranking)) for ranking in rankings]
    whole = {one.entry: sum(len(rows.get(one.entry, ())) == planned for planned, rows in has) for one in found}
    rows = [
        [name_of(one.entry), _of(whole[one.entry], len(rankings)), _of(one.splits, splits), _why(scores, one)]
        for one in found
    ]
    lines = [[escape(name), *rest] for name, *rest in rows]
    head = ["Entry", "Tasks with all splits", "Splits", "What became of the others"]
    return details("Coverage: which entries have how much", table(head, lines))


def imputed_part(rankings: Sequence[Ranking]) -> list[str]:
    """A second table, of all entries and tasks: what is lacking has the majority row's figure of the same split."""
    whole = imputed(rankings)
    lacking = {one.entry: one.lacking for one in coverage(rankings)}
    if not any(lacking.values()):
        return []
    if len(whole.tasks) < 2:
        return ["What is lacking cannot be filled in: the majority row has not got all splits of two tasks."]
    whole = ranked(whole)
    filled = {one.entry: one for one in coverage([r for r in rankings if r.task in whole.tasks])}
    splits = [_of(filled[entry].lacking, filled[entry].splits + filled[entry].lacking) for entry in whole.entries]
    said = (
        f"All entries on {count(len(whole.tasks), 'task')}. A split that an entry lacks, for whatever reason, has the majority "
        "row's figure here: as if the entry had given up there and predicted the training prior. This is hard on entries that do "
        "not apply to a kind of data and on runs that are not finished; *filled in* says how much of a row is made so."
    )
    columns = [_ranks(whole), [number(v) for v in cross_task.normalised(whole)], splits]
    head = ["Entry", "Mean rank", "Normalised", "Splits filled in"]
    return [said, folded_table(head, _rows(whole, columns))]


def beaten(together: Together) -> Array:
    """The part of the splits on which each entry is above the majority row, ties half, every task counting 1; NaN without one."""
    told = [
        ((mine > floor) + (mine == floor) / 2).mean(axis=1)
        for mine, floor in zip(together.figures, together.floors, strict=True)
        if floor is not None
    ]
    return np.asarray(np.mean(told, axis=0)) if told else np.full(len(together.entries), np.nan)


def name_of(entry: Entry) -> str:
    """How an entry is called where all are tuned."""
    return f"{entry.family}/{entry.strategy}"


def _rows(together: Together, columns: Sequence[Sequence[str]]) -> list[list[str]]:
    return [[escape(e.name), *cells] for e, *cells in zip(together.entries, *columns, strict=True)]


def _ranks(together: Together) -> list[str]:
    values = mean_ranks(together).tolist()
    return bold_best(values, [number(value, 2) for value in values], greater=False)


def _best(values: Array, *, greater: bool = True) -> list[str]:
    return bold_best(values.tolist(), [number(value) for value in values], greater=greater)


def _interval(seen: Overview) -> list[str]:
    return [f"{number(low, 0)} to {number(high, 0)}" for low, high in zip(seen.lower, seen.upper, strict=True)]


def _of(some: int, every: int) -> str:
    return f"{some} of {every}"


def _why(scores: Scores, one: Coverage) -> str:
    """How the cells of an entry ended that have no figures, by their status."""
    ended = [
        cell.status for cell in scores.cells if (cell.family, cell.strategy) == one.entry[:2] and cell.status != "ok"
    ]
    known = {status: ended.count(status) for status in dict.fromkeys(ended)}
    words = {MISSING: "not run yet"}
    return ", ".join(f"{words.get(status, status)} {number}" for status, number in known.items()) or NONE
