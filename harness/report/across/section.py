"""The sections of a report about all tasks together."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from harness.report.across import ranks
from harness.report.across.duels import practical_part
from harness.report.across.kinds import kinds_part
from harness.report.across.overview import (
    FEWEST_TASKS,
    NOBODY,
    SAID,
    Overview,
    beaten,
    coverage_part,
    imputed_part,
    left_out,
    long_table,
    mean_ranks,
    name_of,
    overview,
    too_few,
    unfinished,
)
from harness.report.across.together import Array, evaluated, shared
from harness.report.figures.across import battle_figure, rank_figure, strength_figure
from harness.report.figures.gallery import file_name
from harness.report.markdown import NONE, count, details, escape, number, table
from harness.report.ranking import FLOOR, Ranking
from harness.report.section import Evidence, Picture, Section
from harness.report.statistics import LEVEL

TITLE = "Over all tasks"
DRAWN = 40  #: entries at most that a picture or a table of pairs has room for
SAMPLE = (
    "What is said about chance takes the tasks for a sample of tasks like these, drawn one by one: of other kinds of tasks it "
    "says nothing, and tasks cut from the same data count for less than their number."
)
FEW = (
    f"With fewer than {FEWEST_TASKS} tasks no test over tasks is made and strengths have no intervals: so few say nothing about "
    "further ones. Figures describe these tasks only."
)
RANKS_SAID = (
    "Mean ranks, best above (a critical-difference diagram on its side). A line beside them joins entries whose ends cannot be "
    "told apart; two entries that no line joins can. Told apart means that two tests over the tasks agree, each adjusted by Holm "
    "over all pairs: Conover's after Friedman's, which compares mean ranks, and Wilcoxon's signed-rank test of the pair "
    "alone. Conover's alone finds differences among equal entries too often as soon as others are always last. Not told apart "
    "is no proof of equality."
)
ELO_SAID = (
    "On every split any two entries meet, and the better figure wins (equal ones: half a win each); all splits of a task "
    "together count 1. *Elo* says it in one figure (Bradley and Terry's model): of two entries that are 100 points apart the "
    "stronger wins 64 of 100 battles, at 400 points 91. The mean of the entries is 1,000. One more task, on which all tie, is "
    "added, so that who never loses stays finite."
)
INTERVALS_SAID = (
    "Intervals come from a Bayesian bootstrap over the tasks, widened for their number. They are those of single strengths: "
    "overlapping ones are no test of a pair."
)
WON_SAID = "How many of 100 battles the entry of a row wins against that of a column:"


def sections(evidence: Evidence) -> list[Section]:
    """What can be said over the tasks that the entries share: one section where there are too few, else one per question."""
    rankings = evaluated(evidence.rankings)
    if len(rankings) < 2:
        return [Section(TITLE, (too_few(evidence.rankings),))]
    together = shared(rankings)
    filled = imputed_part(rankings)
    filled = ["With what is lacking filled in:", *filled] if filled else []
    if len(together.tasks) < 2:
        said = (NOBODY, *unfinished(evidence.rankings), coverage_part(evidence.scores, evidence.rankings))
        return [Section(TITLE, (*said, *filled))]
    seen = overview(together)
    few = len(together.tasks) < FEWEST_TASKS
    first = [
        _opening(evidence.rankings, seen),
        FEW if few else SAMPLE,
        SAID,
        long_table(seen),
        *left_out(rankings, together),
        *unfinished(evidence.rankings),
        coverage_part(evidence.scores, evidence.rankings),
        *filled,
    ]
    found = [Section(TITLE, tuple(first))]
    if len(together.entries) > 1:
        families = list(evidence.scores.run["families"])
        found += [] if few else [Section("Mean ranks, and who can be told apart", _ranks_part(seen, families))]
        found.append(Section("Who beats whom", _battles_part(seen, families)))
        found += [] if few else practical_part(evidence, seen)
    return [*found, *kinds_part(evidence)]


def _opening(rankings: Sequence[Ranking], seen: Overview) -> str:
    n, k, every = len(seen.together.tasks), len(seen.together.entries), len(rankings)
    tasks = f"all {count(n, 'task')}" if n == every else f"{n} of {count(every, 'task')}"
    who = f"{count(k, 'tuned entry', 'tuned entries')} on {tasks}: those that make the largest table without a gap."
    if n == every and not left_out(evaluated(rankings), seen.together):
        who = f"{count(k, 'tuned entry', 'tuned entries')} on {tasks}."
    return f"{who} Each task ranks by its own objective; the majority row is what others are measured by and does not compete."


def _ranks_part(seen: Overview, families: Sequence[str]) -> tuple[str | Picture, ...]:
    means, k, n = seen.together.means, len(seen.together.entries), len(seen.together.tasks)
    p_values = ranks.apart(means)
    pairs, told = k * (k - 1) // 2, int((p_values < 1 - LEVEL).sum()) // 2
    said = f"{_friedman(means)}{told} of {count(pairs, 'pair')} can be told apart."
    if n < (needed := ranks.tasks_needed(k)):
        said += (
            f" With {pairs} pairs no pair could have been told apart on {count(n, 'task')}, whatever they showed: that takes "
            f"{needed} at least."
        )
    shown = range(min(k, DRAWN))
    names = tuple(name_of(seen.together.entries[at]) for at in shown)
    spans = tuple((a, min(b, len(names) - 1)) for a, b in ranks.spans(p_values) if a < len(names) - 1)
    draw = partial(
        rank_figure, names, _kinds(seen, families), tuple(map(float, mean_ranks(seen.together)[: len(names)])), spans
    )
    picture = Picture(
        file_name("", "ranks"), "Mean ranks of the entries, with lines that join who cannot be told apart", draw
    )
    return said, RANKS_SAID, picture, *_beyond(k), details("p values of all pairs", _p_table(names, p_values))


def _friedman(means: Array) -> str:
    """What the test says of all entries together; nothing of two, where it would be a rough test of their pair."""
    if len(means) < 3:
        return ""
    test = ranks.friedman(ranks.ranks(means))
    f = "beyond every bound" if np.isinf(test.f) else f"= {number(test.f, 2)}"
    verdict = (
        "the entries differ by more than chance" if test.p < 1 - LEVEL else "no difference among the entries is shown"
    )
    return (
        f"Friedman's test over {count(means.shape[1], 'task')}: χ² = {number(test.chi2, 2)}, in Iman and Davenport's form "
        f"F({test.degrees[0]}, {test.degrees[1]}) {f}, p {_p(test.p)}: {verdict}. "
    )


def _battles_part(seen: Overview, families: Sequence[str]) -> tuple[str | Picture, ...]:
    order = sorted(range(len(seen.strengths)), key=lambda at: (-seen.strengths[at], at))[:DRAWN]
    names = tuple(name_of(seen.together.entries[at]) for at in order)
    kinds = tuple(_kinds(seen, families, len(seen.strengths))[at] for at in order)
    sure = not np.isnan(seen.lower).any()
    ends = tuple((float(seen.lower[at]), float(seen.upper[at])) for at in order) if sure else ()
    draw = partial(strength_figure, names, kinds, tuple(float(seen.strengths[at]) for at in order), ends)
    said = "Strength of every entry on the Elo scale" + (", with intervals" if sure else "")
    won = _with_floor(seen, order)
    rows = names if len(won) == len(names) else (*names, FLOOR)
    values = tuple(tuple(round(float(value), 4) for value in row) for row in won)
    battle = Picture(
        file_name("", "battles"), "How often each entry beats each other", partial(battle_figure, rows, values)
    )
    heads = ["Entry", "No.", *(str(at + 1) for at in range(len(rows)))]
    lines = [
        [escape(name), str(i + 1), *(NONE if i == j else f"{100 * value:.0f}" for j, value in enumerate(row))]
        for i, (name, row) in enumerate(zip(rows, values, strict=True))
    ]
    return (
        ELO_SAID + (f" {INTERVALS_SAID}" if sure else ""),
        Picture(file_name("", "strengths"), said, draw),
        *_beyond(len(seen.strengths)),
        WON_SAID,
        battle,
        details("The same as a table", table(heads, lines)),
    )


def _with_floor(seen: Overview, order: Sequence[int]) -> Array:
    """Mean battles of the entries in this order, and of the majority row after them where it has all these splits."""
    won = seen.won.mean(axis=0)[np.ix_(order, order)]
    if any(floor is None for floor in seen.together.floors):
        return np.asarray(won)
    last = 1 - beaten(seen.together)[list(order)]
    return np.block([[won, 1 - last[:, None]], [last[None, :], np.zeros((1, 1))]])


def _kinds(seen: Overview, families: Sequence[str], upto: int = DRAWN) -> tuple[int, ...]:
    """The number of every entry's family, which chooses its colour and shape."""
    known = list(dict.fromkeys([*(f for f in families if f != FLOOR), *(e.family for e in seen.together.entries)]))
    return tuple(known.index(entry.family) for entry in seen.together.entries[:upto])


def _beyond(k: int) -> list[str]:
    return [f"The picture shows the first {DRAWN} of {k} entries."] if k > DRAWN else []


def _p_table(names: Sequence[str], p_values: Array) -> str:
    k = len(names)
    pairs = sorted((float(p_values[i, j]), i, j) for i in range(k) for j in range(i + 1, k))
    rows = [[escape(names[i]), escape(names[j]), _p(p).removeprefix("= ")] for p, i, j in pairs]
    return table(["Entry", "Against", "p, adjusted"], rows)


def _p(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"= {number(p)}"
