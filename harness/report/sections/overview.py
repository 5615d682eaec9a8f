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
    task_texts = []
    for ranking in rankings:
        advice_lines = recommendation_advice(scores, ranking, recommend_entry(scores, ranking))
        lines = [f"{line.label + ':':<{LABEL_WIDTH}}{line.text}" for line in advice_lines]
        task_texts.append("\n".join([f"{ranking.task}, ranked by {markdown.metric_name(ranking.metric)}", *lines]))
        task_texts += [_tabulate_for_terminal(scores, ranking), list_entries_without_scores(ranking)]
    statuses = list(map(attrgetter("status"), scores.cells))
    failed_statuses = [status for status in statuses if status not in ("ok", STATUS_MISSING)]
    if STATUS_MISSING in statuses:
        task_texts.append(f"These tables are not final: {describe_coverage(scores)}.")
    if failed_statuses:
        task_texts.append(
            f"{len(failed_statuses):,} of {format_count(len(statuses), 'cell')} {plural(failed_statuses, 'is', 'are')} not ok "
            f"({count_statuses(failed_statuses)}): see {FAILURES_TITLE} in leaderboard.md"
        )
    return "\n\n".join(filter(None, task_texts))


def _tabulate_for_terminal(scores: Scores, ranking: Ranking) -> str:
    """The recommended entry, the best one of every other family, and where the others are."""
    families = represent_families(scores, ranking)
    if ranking.baseline is not None and ranking.baseline.score.n:
        families.append(ranking.baseline)
    if not families:
        return ""
    families.sort(key=lambda family: family.score.n < ranking.splits)  # incomplete entries stand below, in their order
    text = terminal.render_terminal_table(tabulate_families(scores, ranking, families))
    entries = sum(ranked_entry.score.n > 0 for ranked_entry in ranking.entries)
    return f"{text}\nAll {entries} entries are in details.md." if entries > len(families) else text


def list_entries_without_scores(ranking: Ranking) -> str:
    """Name the pairs of family and strategy of which no cell is ok, and how their cells ended."""
    pair_texts = []
    for ranked_entry in ranking.entries:
        if ranked_entry.entry.stage == "tuned" and not ranked_entry.score.n and not ranked_entry.not_run:
            pair_texts.append(f"{ranked_entry.entry.family}/{ranked_entry.entry.strategy} ({ranked_entry.status})")
    if not pair_texts:
        return ""
    more_text = f" and {len(pair_texts) - MAX_PAIRS} more" if len(pair_texts) > MAX_PAIRS else ""
    return f"Without any ok cell: {'; '.join(pair_texts[:MAX_PAIRS])}{more_text}"


def describe_cells_without_predictions(scores: Scores) -> str:
    """Say how many cells have no predictions and why; empty where all have some."""
    statuses = list(map(attrgetter("status"), scores.cells))
    failed_statuses, missing_count = (
        [s for s in statuses if s not in ("ok", STATUS_MISSING)],
        statuses.count(STATUS_MISSING),
    )
    gap_phrases = []
    if failed_statuses:
        gap_phrases.append(f"{len(failed_statuses):,} ended without predictions ({count_statuses(failed_statuses)})")
    if missing_count:
        text = (
            f"{missing_count:,} {plural(missing_count, 'has', 'have')} not been run yet, so these tables are not final"
        )
        gap_phrases.append(f"{text} ({describe_coverage(scores)} so far)")
    sentences = []
    if gap_phrases:
        sentences.append(f"Of {format_count(len(scores.cells), 'planned cell')}, {' and '.join(gap_phrases)}")
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
    advice_lines = recommendation_advice(scores, ranking, recommend_entry(scores, ranking))
    return f"On {bold(escape(ranking.task))}, use {escape(advice_lines[0].text)}"


def summarize_over_tasks(scores: Scores, rankings: Sequence[Ranking]) -> str:
    """Say on how many tasks the first entry is significantly best, which entry is most often tied, and what strategies do."""
    evaluated_rankings = list(filter(attrgetter("best"), rankings))
    tested_rankings = [ranking for ranking in evaluated_rankings if not ranking.no_test_reason]
    summary_sentences = []
    if len(evaluated_rankings) < len(rankings):
        summary_sentences.append(f"{format_count(len(evaluated_rankings), 'task')} of {len(rankings)} could be ranked.")
    if evaluated_rankings and not tested_rankings:
        summary_sentences.append(
            "No task has splits from which to tell whether any entry is first by more than chance."
        )
    if len(tested_rankings) < 2:
        return " ".join(summary_sentences)
    summary_sentences += [
        _count_single_best_tasks(tested_rankings),
        _find_most_often_tied(tested_rankings),
        _summarize_strategies_over_tasks(scores, tested_rankings),
    ]
    return " ".join(filter(None, summary_sentences))


def _count_single_best_tasks(tested_rankings: Sequence[Ranking]) -> str:
    """On how many tasks the first entry is significantly different from every other one."""
    single_best_count = 0
    for ranking in tested_rankings:
        single_best_count += not any(ranked_entry.tied for ranked_entry in ranking.entries if ranked_entry.rank)
    tasks = f"{format_count(len(tested_rankings), 'task')} whose splits allow a test"
    if single_best_count:
        return f"On {single_best_count} of the {tasks}, the first entry is significantly different from every other."
    return f"On none of the {tasks} is the first entry significantly different from every other."


def _find_most_often_tied(tested_rankings: Sequence[Ranking]) -> str:
    """Which tuned entry is most often first or tied with the first, and how often."""
    evaluated_counts: Counter[Entry] = Counter()
    tied_counts: Counter[Entry] = Counter()
    for ranking in tested_rankings:
        for ranked_entry in ranking.entries:
            if ranked_entry.rank and ranked_entry.entry.stage == "tuned" and ranked_entry.entry.family != BASELINE:
                evaluated_counts[ranked_entry.entry] += 1
                tied_counts[ranked_entry.entry] += ranked_entry.rank == 1 or bool(ranked_entry.tied)
    if not tied_counts:
        return ""
    most_ties = max(tied_counts.values())
    entries = [entry for entry in sorted(tied_counts) if tied_counts[entry] == most_ties]
    if len(entries) > 1:  # to name one of them would be chance
        n = format_count(len(entries), "entry", "entries")
        return (
            f"{n} are first, or not significantly different from the first, on {format_count(most_ties, 'task')} each."
        )
    tasks = format_count(evaluated_counts[entries[0]], "task")
    name = bold(escape(entries[0].name))
    return (
        f"Most often first, or not significantly different from the first, is {name}: on {most_ties} of the {tasks} on which it "
        "has all splits."
    )


def _summarize_strategies_over_tasks(scores: Scores, tested_rankings: Sequence[Ranking]) -> str:
    """For how many pairs of family and task each strategy is shown to help or hurt."""
    counts_by_strategy: dict[str, Counter[str]] = {}
    for ranking in tested_rankings:
        for strategy_reading in strategy_readings(scores, ranking.task):
            if strategy_reading.reading != NO_READING:
                counts_by_strategy.setdefault(strategy_reading.strategy, Counter())[strategy_reading.main_reading] += 1
    if not counts_by_strategy:
        return ""
    total_counts = sum(counts_by_strategy.values(), Counter[str]())
    if not total_counts[HELPS] + total_counts[HURTS] + total_counts[MIXED]:
        return "No strategy is shown to help or to hurt any family on any of them, compared with doing nothing."
    strategy_phrases = []
    for strategy, reading_counts in counts_by_strategy.items():
        name = bold(escape(STRATEGY_NAMES.get(strategy, strategy)))
        strategy_phrase = f"{name} {reading_counts[HELPS]} and {reading_counts[HURTS]} of {reading_counts.total():,}"
        if reading_counts[MIXED]:
            strategy_phrase += f", and {reading_counts[MIXED]} {MIXED_PHRASE}"
        strategy_phrases.append(strategy_phrase)
    text = "Pairs of family and task for which a strategy is shown to help, and to hurt, each task judged by itself"
    return f"{text}: {'; '.join(strategy_phrases)}."
