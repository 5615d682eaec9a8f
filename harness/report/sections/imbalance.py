"""What strategies against uneven classes do: a map of differences per task, a verdict per family, a count over tasks."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from harness.evaluation.ranking import Ranking
from harness.evaluation.scores import Scores
from harness.evaluation.significance import LEVEL, holm, signed_ranks
from harness.report.content import Evidence, Figure, Section
from harness.report.figures.imbalance import Panel, Tile, tile_figure
from harness.report.figures.writer import file_name
from harness.report.render.markdown import (
    IN_SIGHT,
    NONE,
    bold,
    count,
    details,
    escape,
    folded_table,
    listed,
    number,
    plus_minus,
)
from harness.report.sections.strategies import (
    STRATEGY_TEXT,
    UNTOLD,
    WORDS,
    Comparison,
    Reading,
    comparisons,
    ranking_metric,
    readings,
    strategy_table,
    strategy_verdict,
)

BOTH = ("both helps and hurts", "both help and hurt")  #: *mixed* within a sentence
TITLE = "Does handling the imbalance help?"
KIND = "imbalance"
PICTURED = 12  #: tasks at most that have pictures of their own: of more, the tables say what these would
FEWEST_TASKS = 6  #: with five tasks no two-sided signed-rank test can give less than 0.0625
MAP_TEXT = (
    "Each tile is the paired difference to doing nothing (`none`) of the same family, tuned parameters, over the same splits, "
    "± half of its 95 % interval: ranking, decisions at 0.5, decisions at the tuned threshold, probabilities. Blue is better than "
    "`none`, orange worse, whatever the sign (for Brier, log loss, ECE and cost less is better). A frame marks what is significant "
    "after Holm's adjustment over all figures of the table below, in a deeper colour the larger it is, every panel on a scale of "
    "its own. All others are equally pale, however large: chance may explain them. A pale tile proves no equality."
)
TASKS_TEXT = (
    "On how many tasks a strategy was shown to help, to hurt, to do either in different respects (*mixed*) or only to move the "
    "threshold; *cannot be told* is where nothing was shown, *no reading* where a task's splits allow none. Readings are adjusted "
    "within each task, not over the tasks, so now and then one of many will be there by chance. *Ranks better on* counts the tasks "
    "with a better mean of what ranking is measured by (the task's objective where it ranks, else average precision, with several "
    "classes ROC AUC), however small, *Mean Δ* is its mean over the tasks (above zero: better), and *p* is that of Wilcoxon's "
    "signed-rank test over the tasks' mean differences (Demšar 2006) after Holm's adjustment over this table, with at least "
    f"{FEWEST_TASKS} tasks of one such metric that differ at all."
)


@dataclass(frozen=True)
class Count:
    """How one strategy of one family did over tasks.

    `words` counts the readings by their word on ranking and decisions, NONE where there is none. `worse` and `better`
    count those with probabilities shown to be so. `higher` of `tasks` have a better mean of the metric of ranking, by
    `gain` on average over all; `ranks` is the sum of the signed ranks of its differences, and `p` that of their test,
    adjusted. All but `higher` are NaN where the tasks' ranking is measured by several metrics.
    """

    family: str
    strategy: str
    tasks: int
    words: Counter[str]
    better: int
    worse: int
    higher: int
    gain: float
    ranks: float
    p: float


def sections(evidence: Evidence) -> list[Section]:
    """A section per task that has anything to compare, and one over the tasks where there are several of them."""
    read = {ranking.task: readings(evidence.scores, ranking.task) for ranking in evidence.rankings}
    found = [
        _of_task(evidence.scores, ranking, read[task], pictured=len(evidence.rankings) <= PICTURED)
        for ranking in evidence.rankings
        if read[task := ranking.task]
    ]
    compared = {task: some for task, some in read.items() if some}
    return [*found, _over_tasks(evidence.scores, compared)] if len(compared) > 1 else found


def family_verdicts(read: Sequence[Reading]) -> dict[str, str]:
    """Per family a sentence: which strategies help, hurt, only move the threshold, and of how many nothing can be told."""
    by_family: dict[str, list[Reading]] = {}
    for one in read:
        if one.word != NONE:
            by_family.setdefault(one.difference.family, []).append(one)
    return {family: _in_words(some) for family, some in by_family.items()}


def counts(scores: Scores, read: dict[str, list[Reading]]) -> list[Count]:
    """Every family and strategy over the tasks that compare them."""
    pairs: dict[tuple[str, str], dict[str, Reading]] = {}
    for task, some in read.items():
        for one in some:
            pairs.setdefault((one.difference.family, one.difference.strategy), {})[task] = one
    gains = {pair: [_gain(scores, task, one) for task, one in found.items()] for pair, found in pairs.items()}
    alike = len({ranking_metric(scores, task).name for task in read}) == 1
    tests = [signed_ranks(values) for values in gains.values()]
    adjusted = holm([test.p if alike and test.n >= FEWEST_TASKS else math.nan for test in tests])
    return [
        Count(
            *pair,
            tasks=len(found),
            words=Counter(NONE if one.word == NONE else one.beyond for one in found.values()),
            better=sum(one.better[-1] > 0 for one in found.values()),
            worse=sum(one.better[-1] < 0 for one in found.values()),
            higher=sum(gain > 0 for gain in gains[pair]),
            gain=sum(gains[pair]) / len(found) if alike else math.nan,
            ranks=test.sum if alike else math.nan,
            p=p,
        )
        for (pair, found), test, p in zip(pairs.items(), tests, adjusted, strict=True)
    ]


def _gain(scores: Scores, task: str, one: Reading) -> float:
    """The mean difference in ranking, which is the first one compared; above zero for the better."""
    return one.difference.estimates[0].mean * (1 if ranking_metric(scores, task).greater_is_better else -1)


def _of_task(scores: Scores, ranking: Ranking, read: list[Reading], *, pictured: bool) -> Section:
    task, silent = ranking.task, ranking.no_test_reason
    said = [f"- {bold(escape(family))}: {words}" for family, words in family_verdicts(read).items()]
    verdict = "\n".join(said[:IN_SIGHT])
    if more := said[IN_SIGHT:]:
        verdict += f"\n\n{details(count(len(more), 'more family', 'more families'), chr(10).join(more))}"
    shown: list[str | Figure] = [MAP_TEXT, _picture(scores, task, read)] if pictured else []
    parts: list[str | Figure] = [
        strategy_verdict(scores, task) or f"No reading: {silent or 'no split has both sides of a comparison'}.",
        *([verdict] if verdict else []),
        *shown,
        STRATEGY_TEXT,
        strategy_table(scores, task),
    ]
    return Section(TITLE, tuple(parts), task)


def _in_words(some: list[Reading]) -> str:
    said = []
    for word in WORDS:
        names = [escape(one.difference.strategy) for one in some if one.beyond == word]
        if names and word != UNTOLD:
            does = BOTH if word == "mixed" else (word, WORDS[word])
            said.append(f"{listed(names)} {does[len(names) > 1]}")
        elif names:
            rest = (
                "of ranking and decisions nothing can be told"
                if len(names) == len(some)
                else f"of {listed(names)} nothing can be told"
            )
            said.append(rest)
    for sign, word in ((1, "better"), (-1, "worse")):
        names = [escape(one.difference.strategy) for one in some if one.better[-1] == sign]
        if names:
            said.append(f"{word} probabilities with {listed(names)}")
    return "; ".join(said) + "."


def _picture(scores: Scores, task: str, read: list[Reading]) -> Figure:
    strategies = list(dict.fromkeys(one.difference.strategy for one in read))
    families = list(dict.fromkeys(one.difference.family for one in read))
    by_pair = {(one.difference.strategy, one.difference.family): one for one in read}
    panels = []
    for at, column in enumerate(comparisons(scores, task)):
        if column.mine is not None:  # the better of two thresholds stands in the table
            tiles = tuple(tuple(_tile(column, by_pair.get((s, f)), at) for f in families) for s in strategies)
            panels.append(Panel(_title(column), tiles))
    said = f"Differences of every strategy to none on {escape(task)}, by family, as in the table below"
    draw = partial(tile_figure, tuple(strategies), tuple(families), tuple(panels))
    return Figure(file_name(task, KIND), said, draw)


def _title(column: Comparison) -> str:
    return column.title if column.metric.greater_is_better else f"{column.title} (less is better)"


def _tile(column: Comparison, reading: Reading | None, at: int) -> Tile:
    found = reading.difference.estimates[at] if reading else None
    if reading is None or found is None or math.isnan(found.mean):
        return Tile(math.nan, NONE)
    sign = 1 if column.metric.greater_is_better else -1
    text = ("+" if round(found.mean, 3) > 0 else "") + number(found.mean)
    text += "" if math.isnan(found.half) else f"\n± {number(found.half)}"
    return Tile(sign * float(found.mean), text, bool(reading.better[at]))


def _over_tasks(scores: Scores, read: dict[str, list[Reading]]) -> Section:
    found = sorted(counts(scores, read), key=lambda one: (one.strategy, one.family))
    header = ["Strategy", "Family", "Tasks", *(word.capitalize() for word in WORDS), "No reading"]
    header += ["Worse probabilities", "Better probabilities", "Ranks better on", "Mean Δ", "p"]
    rows = [
        [escape(one.strategy), escape(one.family), str(one.tasks)]
        + [str(one.words[word]) for word in (*WORDS, NONE)]
        + [
            str(one.worse),
            str(one.better),
            f"{one.higher}/{one.tasks}",
            plus_minus(one.gain, math.nan, signed=True),
            _p(one.p),
        ]
        for one in found
    ]
    pictured = [_counted(found)] if any(one.words["helps"] or one.words["hurts"] for one in found) else []
    parts: tuple[str | Figure, ...] = (_summary(found), TASKS_TEXT, *pictured, folded_table(header, rows))
    return Section(f"{TITLE} Over {count(len(read), 'task')}", parts)


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else number(value)


def _summary(found: list[Count]) -> str:
    """Readings of all tasks together, in a sentence, and what holds over the tasks."""
    total = Counter[str]()
    for one in found:
        total.update(one.words)
    shown = [
        (total[word], word if total[word] == 1 else WORDS[word]) for word in WORDS if word != UNTOLD and total[word]
    ]
    parts = [f"{n:,} {'are ' if word == 'mixed' else ''}{word}" for n, word in shown]
    all_of = "all" if total[UNTOLD] == total.total() else f"{total[UNTOLD]:,}"
    parts += [f"of {all_of} nothing can be told"] if total[UNTOLD] else []
    parts += [f"{total[NONE]:,} {'has' if total[NONE] == 1 else 'have'} no reading"] if total[NONE] else []
    compared = count(sum(total.values()), "comparison")
    said = f"Of {compared} of a strategy with doing nothing (task × family × strategy), {listed(parts)}."
    tested = [one for one in found if not math.isnan(one.p)]
    if not tested:
        return said
    differ = [
        f"{escape(one.strategy)} for {escape(one.family)} ({'better' if one.ranks > 0 else 'worse'})"
        for one in tested
        if one.p < 1 - LEVEL
    ]
    verdict = f"{len(differ)} {'differs' if len(differ) == 1 else 'differ'} in ranking by more than chance explains"
    names = f": {', '.join(differ)}" if differ else ""
    return f"{said} Of {count(len(tested), 'pair')} of family and strategy tested over the tasks, {verdict}{names}."


def _counted(found: list[Count]) -> Figure:
    strategies, families = (list(dict.fromkeys(getattr(one, name) for one in found)) for name in ("strategy", "family"))
    by_pair = {(one.strategy, one.family): one for one in found}
    tiles = tuple(tuple(_count_tile(by_pair.get((s, f))) for f in families) for s in strategies)
    legend = "helps ↑, hurts ↓, of so many tasks\nblue: helps more often than it hurts · orange: hurts more often"
    draw = partial(tile_figure, tuple(strategies), tuple(families), (Panel("Tasks", tiles, span=1.0),), legend)
    return Figure(file_name("", KIND), "How often every strategy was shown to help or hurt, by family", draw)


def _count_tile(one: Count | None) -> Tile:
    if one is None:
        return Tile(math.nan, NONE)
    helps, hurts = one.words["helps"], one.words["hurts"]
    return Tile((helps - hurts) / one.tasks, f"↑{helps}  ↓{hurts}\nof {one.tasks}")
