"""Pairs over all tasks: is a difference worth having?"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import combinations

import numpy as np

from harness.declare.protocol import seed_of
from harness.report.across import gains, practical
from harness.report.across.overview import FEWEST_TASKS, Overview, name_of, ranked
from harness.report.across.practical import Posterior
from harness.report.across.together import Together, evaluated, families, shared
from harness.report.figures.across import practical_figure
from harness.report.figures.gallery import file_name
from harness.report.markdown import count, escape, folded_table, number
from harness.report.section import Evidence, Picture, Section

LEADERS = 5
FAMILIES = 8
SAID = (
    f"How probable is it that one entry is better than another on tasks like these by more than {practical.ROPE:g}, and how "
    f"probable that they are as good as equal? {practical.ROPE:g} is taken for the largest difference that does not matter in "
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
    return [Section("Is the difference worth having?", (SAID, *parts))] if parts else []


def duels(together: Together, first: int) -> dict[tuple[int, int], Posterior]:
    """How the first entries compare in pairs, by their places; over the tasks on which a difference has a scale."""
    scales = gains.scales(together)
    means = (together.means / scales)[:first, ~np.isnan(scales)]
    if means.shape[1] < FEWEST_TASKS:
        return {}
    drawn = practical.weights(means.shape[1], seed_of("practical", *together.tasks))
    return {(i, j): practical.signed_rank(means[i] - means[j], drawn) for i, j in combinations(range(len(means)), 2)}


def _duels(together: Together, first: int, kind: str, said: str) -> Sequence[str | Picture]:
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
    said = said.format(tasks=count(int((~np.isnan(gains.scales(together))).sum()), "task"))
    return [said, Picture(file_name("", "practical", kind), told, draw), folded_table(head, rows)]
