"""The sections of a report about all tasks together."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import combinations

import numpy as np

from harness.evaluation import bayesian_signed_rank, cross_task, friedman
from harness.evaluation.bayesian_signed_rank import ROPE, Posterior
from harness.evaluation.cross_task import Array, Together, evaluated, families, shared
from harness.evaluation.ranking import BASELINE, Ranking
from harness.evaluation.significance import LEVEL
from harness.report.content import Evidence, Figure, Section
from harness.report.figures.cross_task import battle_figure, practical_figure, rank_figure, strength_figure
from harness.report.figures.writer import file_name
from harness.report.render.markdown import NONE, count, details, escape, folded_table, number, table
from harness.report.sections.cross_task_table import (
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
    ranked,
    too_few,
    unfinished,
)
from harness.report.sections.suitability import kinds_part
from harness.seeding import seed_of

LEADERS = 5
FAMILIES = 8
PRACTICAL_TEXT = (
    f"How probable is it that one entry is better than another on tasks like these by more than {ROPE:g}, and how "
    f"probable that they are as good as equal? {ROPE:g} is taken for the largest difference that does not matter in "
    "practice (of log loss, cost and lift: 1 % of the majority row's figure); where the positive class is rare, smaller ones may "
    "matter. The Bayesian signed-rank test (Benavoli and others 2017) answers with three probabilities per pair; its prior "
    "holds all entries for equal and weighs half a task. Below 95 % nothing is settled."
)
LEADING = (
    "The first entries by mean rank in pairs, over {tasks}. Who leads is known only after looking, which favours leaders a "
    "little, and nothing is adjusted for the number of pairs:"
)
IN_FAMILIES = (
    "Families in pairs, over {tasks}, each with the strategy that the inner scores chose in each split, so that nothing was "
    "picked by looking at test rows; families with more strategies had more trials:"
)


def practical_part(evidence: Evidence, seen: Overview) -> list[Section]:
    """A section about leading entries and about families, in pairs; none where there is no pair to speak of."""
    parts = [*_duels(seen.together, LEADERS, "entries", LEADING)]
    chosen = shared(evaluated(evidence.rankings), families)
    if len(chosen.entries) > 1 and len(chosen.tasks) >= FEWEST_TASKS:
        parts += _duels(ranked(chosen), FAMILIES, "families", IN_FAMILIES)
    return [Section("Is the difference worth having?", (PRACTICAL_TEXT, *parts))] if parts else []


def duels(together: Together, first: int) -> dict[tuple[int, int], Posterior]:
    """How the first entries compare in pairs, by their places; over the tasks on which a difference has a scale."""
    scales = cross_task.scales(together)
    means = (together.means / scales)[:first, ~np.isnan(scales)]
    if means.shape[1] < FEWEST_TASKS:
        return {}
    drawn = bayesian_signed_rank.weights(means.shape[1], seed_of("practical", *together.tasks))
    return {
        (i, j): bayesian_signed_rank.signed_rank(means[i] - means[j], drawn)
        for i, j in combinations(range(len(means)), 2)
    }


def _duels(together: Together, first: int, kind: str, said: str) -> Sequence[str | Figure]:
    found = duels(together, first)
    if not found:
        return []
    names = [entry.family if kind == "families" else name_of(entry) for entry in together.entries[:first]]
    pairs = tuple((names[i], names[j]) for i, j in found)
    draw = partial(practical_figure, pairs, tuple((one.first, one.equal, one.second) for one in found.values()))
    told = f"For {count(len(pairs), 'pair')} of {kind}: probability that the first is better, both are equal, the second is better"
    rows = [
        [escape(a), escape(b), *(number(p, 2) for p in one)] for (a, b), one in zip(pairs, found.values(), strict=True)
    ]
    head = ["First", "Second", "First is better", "Practically equal", "Second is better"]
    said = said.format(tasks=count(int((~np.isnan(cross_task.scales(together))).sum()), "task"))
    return [said, Figure(file_name("", "practical", kind), told, draw), folded_table(head, rows)]


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


def _ranks_part(seen: Overview, families: Sequence[str]) -> tuple[str | Figure, ...]:
    means, k, n = seen.together.means, len(seen.together.entries), len(seen.together.tasks)
    p_values = friedman.apart(means)
    pairs, told = k * (k - 1) // 2, int((p_values < 1 - LEVEL).sum()) // 2
    said = f"{_friedman(means)}{told} of {count(pairs, 'pair')} can be told apart."
    if n < (needed := friedman.tasks_needed(k)):
        said += (
            f" With {pairs} pairs no pair could have been told apart on {count(n, 'task')}, whatever they showed: that takes "
            f"{needed} at least."
        )
    shown = range(min(k, DRAWN))
    names = tuple(name_of(seen.together.entries[at]) for at in shown)
    spans = tuple((a, min(b, len(names) - 1)) for a, b in friedman.spans(p_values) if a < len(names) - 1)
    draw = partial(
        rank_figure, names, _kinds(seen, families), tuple(map(float, mean_ranks(seen.together)[: len(names)])), spans
    )
    picture = Figure(
        file_name("", "ranks"), "Mean ranks of the entries, with lines that join who cannot be told apart", draw
    )
    return said, RANKS_SAID, picture, *_beyond(k), details("p values of all pairs", _p_table(names, p_values))


def _friedman(means: Array) -> str:
    """What the test says of all entries together; nothing of two, where it would be a rough test of their pair."""
    if len(means) < 3:
        return ""
    test = friedman.friedman(friedman.ranks(means))
    f = "beyond every bound" if np.isinf(test.f) else f"= {number(test.f, 2)}"
    verdict = (
        "the entries differ by more than chance" if test.p < 1 - LEVEL else "no difference among the entries is shown"
    )
    return (
        f"Friedman's test over {count(means.shape[1], 'task')}: χ² = {number(test.chi2, 2)}, in Iman and Davenport's form "
        f"F({test.degrees[0]}, {test.degrees[1]}) {f}, p {_p(test.p)}: {verdict}. "
    )


def _battles_part(seen: Overview, families: Sequence[str]) -> tuple[str | Figure, ...]:
    order = sorted(range(len(seen.strengths)), key=lambda at: (-seen.strengths[at], at))[:DRAWN]
    names = tuple(name_of(seen.together.entries[at]) for at in order)
    kinds = tuple(_kinds(seen, families, len(seen.strengths))[at] for at in order)
    sure = not np.isnan(seen.lower).any()
    ends = tuple((float(seen.lower[at]), float(seen.upper[at])) for at in order) if sure else ()
    draw = partial(strength_figure, names, kinds, tuple(float(seen.strengths[at]) for at in order), ends)
    said = "Strength of every entry on the Elo scale" + (", with intervals" if sure else "")
    won = _with_floor(seen, order)
    rows = names if len(won) == len(names) else (*names, BASELINE)
    values = tuple(tuple(round(float(value), 4) for value in row) for row in won)
    battle = Figure(
        file_name("", "battles"), "How often each entry beats each other", partial(battle_figure, rows, values)
    )
    heads = ["Entry", "No.", *(str(at + 1) for at in range(len(rows)))]
    lines = [
        [escape(name), str(i + 1), *(NONE if i == j else f"{100 * value:.0f}" for j, value in enumerate(row))]
        for i, (name, row) in enumerate(zip(rows, values, strict=True))
    ]
    return (
        ELO_SAID + (f" {INTERVALS_SAID}" if sure else ""),
        Figure(file_name("", "strengths"), said, draw),
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
    known = list(dict.fromkeys([*(f for f in families if f != BASELINE), *(e.family for e in seen.together.entries)]))
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
