"""The answer of a run in a few sentences: the best entry of every task, what strategies change, what is missing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from operator import attrgetter

from harness.evaluation.decision import recommend_entry, represent_families
from harness.evaluation.ranking import BASELINE, Ranking
from harness.evaluation.scores import STATUS_MISSING, Entry, Scores, count_statuses
from harness.evaluation.strategy_effects import HELPS, HURTS, MIXED, NO_READING, list_unequal_efforts, strategy_readings
from harness.report.render import markdown, terminal
from harness.report.render.markdown import bold, escape, format_count, plural
from harness.report.sections.protocol import FAILURES_TITLE
from harness.report.sections.recommendation import recommendation_advice, tabulate_families

LABEL_WIDTH = 13  #: of the recommendation in a terminal
MAX_PAIRS = 6  #: without scores, named for a terminal
STRATEGY_NAMES = {"searched": "what Optuna chose"}
MIXED_PHRASE = "to help in one respect and to hurt in another"


def summarize_for_terminal(scores: Scores, rankings: Sequence[Ranking]) -> str:
    """Give the recommendation, the best entry of every family and the failures of every task, as plain text for a terminal."""
    parts = []
    for ranking in rankings:
        advice = recommendation_advice(scores, ranking, recommend_entry(scores, ranking))
        lines = [f"{line.label + ':':<{LABEL_WIDTH}}{line.text}" for line in advice]
        parts.append("\n".join([f"{ranking.task}, ranked by {markdown.metric_name(ranking.metric)}", *lines]))
        parts += [_tabulate_for_terminal(scores, ranking), list_entries_without_scores(ranking)]
    statuses = list(map(attrgetter("status"), scores.cells))
    failed = [status for status in statuses if status not in ("ok", STATUS_MISSING)]
    if STATUS_MISSING in statuses:
        parts.append(f"These tables are not final: {describe_coverage(scores)}.")
    if failed:
        parts.append(
            f"{len(failed):,} of {format_count(len(statuses), 'cell')} {plural(failed, 'is', 'are')} not ok "
            f"({count_statuses(failed)}): see {FAILURES_TITLE} in leaderboard.md"
        )
    return "\n\n".join(filter(None, parts))


def _tabulate_for_terminal(scores: Scores, ranking: Ranking) -> str:
    """The recommended entry, the best one of every other family, and where the others are."""
    families = represent_families(scores, ranking)
    if ranking.baseline is not None and ranking.baseline.score.n:
        families.append(ranking.baseline)
    if not families:
        return ""
    text = terminal.render_terminal_table(tabulate_families(scores, ranking, families))
    entries = sum(ranked.score.n > 0 for ranked in ranking.entries)
    return f"{text}\nAll {entries} entries are in details.md." if entries > len(families) else text


def list_entries_without_scores(ranking: Ranking) -> str:
    """Name the pairs of family and strategy of which no cell is ok, and how their cells ended."""
    pairs = []
    for ranked in ranking.entries:
        if ranked.entry.stage == "tuned" and not ranked.score.n and not ranked.not_run:
            pairs.append(f"{ranked.entry.family}/{ranked.entry.strategy} ({ranked.status})")
    if not pairs:
        return ""
    more = f" and {len(pairs) - MAX_PAIRS} more" if len(pairs) > MAX_PAIRS else ""
    return f"Without any ok cell: {'; '.join(pairs[:MAX_PAIRS])}{more}"


def describe_cells_without_predictions(scores: Scores) -> str:
    """Say how many cells have no predictions and why; empty where all have some."""
    statuses = list(map(attrgetter("status"), scores.cells))
    failed, missing = [s for s in statuses if s not in ("ok", STATUS_MISSING)], statuses.count(STATUS_MISSING)
    parts = []
    if failed:
        parts.append(f"{len(failed):,} ended without predictions ({count_statuses(failed)})")
    if missing:
        text = f"{missing:,} {plural(missing, 'has', 'have')} not been run yet, so these tables are not final"
        parts.append(f"{text} ({describe_coverage(scores)} so far)")
    sentences = []
    if parts:
        sentences.append(f"Of {format_count(len(scores.cells), 'planned cell')}, {' and '.join(parts)}")
    if unequal := list_unequal_efforts(scores):
        names = unequal[:MAX_PAIRS]
        if len(unequal) > MAX_PAIRS:
            names.append("…")
        sentences.append(
            f"The time of the run ended before the effort was equal: not compared with none are {', '.join(names)}"
        )
    return ". ".join(sentences)


def describe_coverage(scores: Scores) -> str:
    """Say how many of the cells and of the families are finished: ``18 of 180 cells, 3 of 5 families``."""
    finished = 0
    families: dict[str, bool] = {}
    for cell in scores.cells:
        finished += cell.status != STATUS_MISSING
        if cell.family != BASELINE:
            families[cell.family] = families.get(cell.family, False) or cell.status == "ok"
    return f"{finished:,} of {format_count(len(scores.cells), 'cell')}, {sum(families.values())} of {len(families)} families"


def recommend_in_one_sentence(scores: Scores, ranking: Ranking) -> str:
    """Answer for one of several tasks: what to use."""
    advice = recommendation_advice(scores, ranking, recommend_entry(scores, ranking))
    return f"On {bold(escape(ranking.task))}, use {escape(advice[0].text)}"


def summarize_over_tasks(scores: Scores, rankings: Sequence[Ranking]) -> str:
    """Say on how many tasks the first entry is significantly best, which entry is most often tied, and what strategies do."""
    ranked = list(filter(attrgetter("best"), rankings))
    tested = [ranking for ranking in ranked if not ranking.no_test_reason]
    parts = []
    if len(ranked) < len(rankings):
        parts.append(f"{format_count(len(ranked), 'task')} of {len(rankings)} could be ranked.")
    if ranked and not tested:
        parts.append("No task has splits from which to tell whether any entry is first by more than chance.")
    if len(tested) < 2:
        return " ".join(parts)
    parts += [
        _count_single_best_tasks(tested),
        _find_most_often_tied(tested),
        _summarize_strategies_over_tasks(scores, tested),
    ]
    return " ".join(filter(None, parts))


def _count_single_best_tasks(tested: Sequence[Ranking]) -> str:
    """On how many tasks the first entry is significantly different from every other one."""
    single = 0
    for ranking in tested:
        single += not any(ranked.tied for ranked in ranking.entries if ranked.rank)
    tasks = f"{format_count(len(tested), 'task')} whose splits allow a test"
    if single:
        return f"On {single} of the {tasks}, the first entry is significantly different from every other."
    return f"On none of the {tasks} is the first entry significantly different from every other."


def _find_most_often_tied(tested: Sequence[Ranking]) -> str:
    """Which tuned entry is most often first or tied with the first, and how often."""
    evaluated: Counter[Entry] = Counter()
    tied: Counter[Entry] = Counter()
    for ranking in tested:
        for ranked in ranking.entries:
            if ranked.rank and ranked.entry.stage == "tuned" and ranked.entry.family != BASELINE:
                evaluated[ranked.entry] += 1
                tied[ranked.entry] += ranked.rank == 1 or bool(ranked.tied)
    if not tied:
        return ""
    most = max(tied.values())
    entries = [entry for entry in sorted(tied) if tied[entry] == most]
    if len(entries) > 1:  # to name one of them would be chance
        n = format_count(len(entries), "entry", "entries")
        return f"{n} are first, or not significantly different from the first, on {format_count(most, 'task')} each."
    tasks = format_count(evaluated[entries[0]], "task")
    name = bold(escape(entries[0].name))
    return (
        f"Most often first, or not significantly different from the first, is {name}: on {most} of the {tasks} on which it "
        "has all splits."
    )


def _summarize_strategies_over_tasks(scores: Scores, tested: Sequence[Ranking]) -> str:
    """For how many pairs of family and task each strategy is shown to help or hurt."""
    words: dict[str, Counter[str]] = {}
    for ranking in tested:
        for reading in strategy_readings(scores, ranking.task):
            if reading.reading != NO_READING:
                words.setdefault(reading.strategy, Counter())[reading.main_reading] += 1
    if not words:
        return ""
    total = sum(words.values(), Counter[str]())
    if not total[HELPS] + total[HURTS] + total[MIXED]:
        return "No strategy is shown to help or to hurt any family on any of them, compared with doing nothing."
    parts = []
    for strategy, counts in words.items():
        name = bold(escape(STRATEGY_NAMES.get(strategy, strategy)))
        part = f"{name} {counts[HELPS]} and {counts[HURTS]} of {counts.total():,}"
        if counts[MIXED]:
            part += f", and {counts[MIXED]} {MIXED_PHRASE}"
        parts.append(part)
    text = "Pairs of family and task for which a strategy is shown to help, and to hurt, each task judged by itself"
    return f"{text}: {'; '.join(parts)}."
