"""How the searches of a run went: a section for every task, and an index of all studies."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import chain
from operator import attrgetter
from typing import TypeAlias

from harness.evaluation import search_history
from harness.evaluation.gains import list_searched_entries, search_gains
from harness.evaluation.ranking import Ranking
from harness.evaluation.search_history import MIN_TRIALS, CellSearch, SearchParameter, SearchTrial
from harness.findings import Reason, count_causes
from harness.report.content import CollapsedParts, Evidence, Figure, Part, ReportColumn, ReportTable, Section
from harness.report.figures import search as figures
from harness.report.figures import search_space
from harness.report.figures.search import AxisLabels
from harness.report.figures.search_space import MAX_PANELS, STRATEGY, TrialPath
from harness.report.figures.writer import report_file_name
from harness.report.render import markdown
from harness.report.render.markdown import escape, format_count, join_words
from harness.report.render.templates import render_text_template
from harness.report.sections.gains import describe_search_gains

TITLE = "How the search went"
MAX_DETAILED_TASKS = 8  #: with more, only what compares families is drawn; the dashboard shows the rest
MAX_REASONS = 5
Parts: TypeAlias = list[Part]
SearchesByEntry: TypeAlias = dict[tuple[str, str], list[CellSearch]]
INDEX_COLUMNS = (
    ReportColumn("Study"),
    ReportColumn("Complete", "count"),
    ReportColumn("Failed", "count"),
    ReportColumn("Best inner", "number"),
    ReportColumn("Seconds", "quantity"),
    ReportColumn("CPU s", "quantity"),
)


def make_search_sections(evidence: Evidence) -> list[Section]:
    """Write how the search went on every task, and where its studies are found in Optuna's dashboard."""
    searches = search_history.read_searches(evidence.store, evidence.scores)
    written = []
    for ranking in evidence.rankings:
        by_entry = searches.searches_by_entry(ranking.task)
        if any(map(attrgetter("complete_trials"), chain.from_iterable(by_entry.values()))):
            written.append(Section(TITLE, tuple(_describe_searches(evidence, ranking, by_entry)), ranking.task))
    greater = {ranking.task: ranking.metric.greater_is_better for ranking in evidence.rankings}
    return [*written, *_list_studies(searches, greater)]


def _describe_searches(evidence: Evidence, ranking: Ranking, by_entry: SearchesByEntry) -> Parts:
    detailed = len(evidence.rankings) <= MAX_DETAILED_TASKS
    searches = list(chain.from_iterable(by_entry.values()))
    clock = search_history.choose_search_clock(searches)
    labels = AxisLabels(markdown.metric_name(ranking.metric), clock.label, ranking.metric.greater_is_better)
    effort = _describe_score_over_time(by_entry, clock, tuple(evidence.scores.run["families"]), labels, ranking.task)
    gains = describe_search_gains(search_gains(evidence.scores, ranking), ranking, labels.score)
    if not detailed:
        return [_describe_search_extent(searches), *effort[:2], *gains]
    history, space = (
        _describe_trial_histories(by_entry, ranking, labels),
        describe_search_spaces(by_entry, ranking, labels),
    )
    return [_describe_search_extent(searches), *effort, *history, *gains, *space]


def _describe_search_extent(searches: Sequence[CellSearch]) -> str:
    """How much was searched, and which trials failed."""
    lengths = list(map(len, map(attrgetter("trials"), searches)))
    trials = format_count(max(lengths), "trial")
    if min(lengths) < max(lengths):
        trials = f"{min(lengths)} to {trials}"
    text = (
        f"{format_count(len(searches), 'search', 'searches')} of {trials}, one for every family, strategy and split. The first "
        "trial of each is the default configuration. All scores here are inner ones: of the training rows' own folds."
    )
    failures: Counter[Reason] = Counter()
    for search in searches:
        failures.update(trial.reason for trial in search.trials if trial.reason is not None)
    failed = count_causes(failures)
    if not failed:
        return text
    reasons = [
        f"{n:,} × {escape(reason.message or 'no reason noted')}" for reason, n in failed.most_common(MAX_REASONS)
    ]
    if len(failed) > MAX_REASONS:
        reasons.append(format_count(len(failed) - MAX_REASONS, "other reason"))
    return f"{text} {format_count(failed.total(), 'trial')} failed: {'; '.join(reasons)}."


def _describe_score_over_time(
    by_entry: SearchesByEntry,
    clock: search_history.SearchClock,
    families: tuple[str, ...],
    labels: AxisLabels,
    task: str,
) -> Parts:
    """Score against seconds, of all families together, and of the strategies of each."""
    curves = {}
    for entry, searches in by_entry.items():
        curve = search_history.anytime_curve(searches, clock, greater=labels.greater)
        if curve:
            curves[entry] = figures.SearchProgressCurve(*entry, curve)
    points = {entry: curve.curve for entry, curve in curves.items()}
    best = search_history.best_strategy_by_family(points, greater=labels.greater)
    drawn = [entry for entry in curves if entry[1] in ("none", best.get(entry[0]))]
    drawn.sort(key=lambda entry: (families.index(entry[0]), entry[1] != "none"))
    text = render_text_template("search_effort.md", wall_clock=clock.attribute == "seconds")
    draw = partial(figures.anytime_figure, tuple(map(curves.__getitem__, drawn)), families, labels)
    caption = f"Best inner score against {clock.label}"
    parts: Parts = [text, Figure(report_file_name(task, "anytime"), f"{caption}, by family", draw)]
    if len(curves) > len(drawn):
        draw = partial(figures.strategy_curves_figure, tuple(curves.values()), labels)
        parts.append(Figure(report_file_name(task, "anytime-strategies"), f"{caption}, by strategy", draw))
    return parts


def _describe_trial_histories(by_entry: SearchesByEntry, ranking: Ranking, labels: AxisLabels) -> Parts:
    """The trials of the first entries in their order."""
    drawn: list[tuple[str, str]] = []
    lengths: list[int] = []
    for entry in list_searched_entries(ranking):
        searches = by_entry.get(entry, ())
        if any(map(attrgetter("complete_trials"), searches)) and len(drawn) < figures.MAX_TWO_COLUMN_PANELS:
            drawn.append(entry)
            lengths += map(len, map(attrgetter("trials"), searches))
    if max(lengths, default=0) < 2:
        return []
    histories = tuple(_make_trial_history("\n".join(entry), by_entry[entry], greater=labels.greater) for entry in drawn)
    entries = f"the {len(drawn)} entries that rank first" if len(by_entry) > len(drawn) else "every entry"
    text = (
        f"### Trial by trial\n\nThe trials of {entries}, in the order in which they were made; within a split each was chosen "
        "from what those before it showed."
    )
    draw = partial(figures.trial_history_figure, histories, labels)
    return [text, Figure(report_file_name(ranking.task, "history"), "Inner score of every trial, by number", draw)]


def _make_trial_history(title: str, searches: Sequence[CellSearch], *, greater: bool) -> figures.TrialHistory:
    trials: list[tuple[int, float]] = []
    failed: set[int] = set()
    bests = []
    for search in searches:
        trials += [(trial.number, _round_score(trial.value)) for trial in search.complete_trials]
        failed.update(trial.number for trial in search.trials if math.isnan(trial.value))
        if search.complete_trials:
            bests.append(search_history.best_scores_so_far(search.trials, greater=greater))
    # A search that ended keeps its best, so that the mean is always taken over the same splits.
    longest = max(map(len, bests))
    means = []
    for position in range(longest):
        mean = sum(best[min(position, len(best) - 1)] for best in bests) / len(bests)
        if not math.isnan(mean):
            means.append((position, _round_score(mean)))
    return figures.TrialHistory(title, tuple(trials), tuple(sorted(failed)), tuple(means))


def _round_score(score: float) -> float:
    return float(f"{score:.6g}")


def _list_studies(searches: search_history.RunSearches, greater: Mapping[str, bool]) -> list[Section]:
    """Every study: its name in the dashboard and how it ended."""
    if not searches.searches and not searches.unreadable:
        return []
    rows = []
    for search in searches.searches:
        best = search_history.best_scores_so_far(search.trials, greater=greater[search.task])
        score = best[-1] if best else math.nan
        complete, failed = len(search.complete_trials), len(search.trials) - len(search.complete_trials)
        seconds = sum(map(attrgetter("seconds"), search.trials))
        cpu_seconds = sum(map(attrgetter("cpu_seconds"), search.trials))
        rows.append((search.name, complete, failed, score, seconds, cpu_seconds))
    parts: Parts = [render_text_template("dashboard.md")]
    if rows:
        parts.append(ReportTable(INDEX_COLUMNS, tuple(rows)))
    if searches.unreadable:
        reasons = markdown.bullet_list(map(escape, searches.unreadable))
        journals = format_count(len(searches.unreadable), "journal")
        parts.append(CollapsedParts(f"{journals} could not be read", (reasons,)))
    return [Section("Studies in Optuna's dashboard", tuple(parts))]


MAX_AXES = 8  #: of parallel coordinates
MAX_LINES = 80
AXIS_LABELS = {
    "fANOVA": "share of the explained spread (fANOVA); a dot is a split",
    "PED-ANOVA": "share in being among the best (PED-ANOVA); a dot is a split",
}
TEXTS = {
    "fANOVA": (
        "Where Optuna chose the strategy itself (`searched`), how much of the score's spread over the whole space is due "
        "to that choice, and how much to other parameters. What only combinations explain is left out, as are parameters "
        "that only some strategies have. A large share says that a choice matters, not that it should be made differently."
    ),
    "PED-ANOVA": "Without any strategy, which parameters decide whether a trial is among the best tenth (or the best five).",
}


def describe_search_spaces(
    by_entry: Mapping[tuple[str, str], list[CellSearch]], ranking: Ranking, labels: AxisLabels
) -> list[Part]:
    """Show importances of parameters, where there are enough trials, and the best entry's trials in parallel coordinates.

    Parameters
    ----------
    by_entry : mapping of (str, str) to list of Search
        The searches of a task by family and strategy.
    ranking : Ranking
        The ranking of the task.
    labels : AxisLabels
        What the axes of figures are called.

    Returns
    -------
    list of str or Figure
        Markdown and figures in turn.
    """
    parts: list[Part] = []
    for strategy, method in search_history.METHODS.items():
        searches = {family: by_entry[family, name] for family, name in by_entry if name == strategy}
        if searches:
            parts += _describe_parameter_importances(searches, ranking.task, method)
    if parts:
        parts = list(dict.fromkeys(["### What the score depends on", *parts]))  # the same reason is given once
    return [*parts, *_describe_best_trials(by_entry, ranking, labels)]


def _describe_parameter_importances(searches: Mapping[str, list[CellSearch]], task: str, method: str) -> list[Part]:
    by_family = {family: importance_shares_by_parameter(of_family) for family, of_family in searches.items()}
    known = {family: shares for family, shares in by_family.items() if shares}
    if not known:
        return [f"Nothing can be said about which parameters matter: {_explain_missing_importances(searches)}."]
    sentences = [TEXTS[method]]
    if method == "fANOVA":
        sentences.append(_describe_strategy_share(known))
    missing = [escape(family) for family in searches if family not in known]
    if missing:
        sentences.append(f"Too few trials, or no choice between parameters, for {join_words(missing)}.")
    if len(known) > MAX_PANELS:
        sentences.append(f"The figure shows the first {MAX_PANELS} families.")
    importances = tuple(
        search_space.ParameterImportances(family, tuple(shares.items())) for family, shares in known.items()
    )
    draw = partial(search_space.parameter_importance_figure, importances[:MAX_PANELS], AXIS_LABELS[method])
    caption = f"Importances of parameters by {method}, by family"
    return [" ".join(sentences), Figure(report_file_name(task, f"importances-{method}"), caption, draw)]


def _explain_missing_importances(searches: Mapping[str, list[CellSearch]]) -> str:
    most = 0
    for of_family in searches.values():
        most = max(most, *(len(search.complete_trials) for search in of_family))
    if most >= MIN_TRIALS:
        return "in no family does every split have trials enough, different scores and more than one parameter"
    return f"that takes {MIN_TRIALS} complete trials in every split, and these searches have {most} at most"


def importance_shares_by_parameter(searches: Sequence[CellSearch]) -> dict[str, tuple[float, ...]]:
    """Give the share of every parameter in every split; empty where it is not known in some split."""
    if not all(search.importances for search in searches):
        return {}
    shares: dict[str, list[float]] = {}
    for position, search in enumerate(searches):
        for name, share in search.importances.items():
            shares.setdefault(name, [0.0] * len(searches))[position] = float(f"{share:.4g}")
    return dict(zip(shares, map(tuple, shares.values()), strict=True))


def _describe_strategy_share(known: Mapping[str, Mapping[str, tuple[float, ...]]]) -> str:
    """The share of the strategy, family by family, with its range over the splits."""
    phrases = []
    for family, shares in known.items():
        percent = [100 * share for share in shares.get(STRATEGY, ())]
        if percent:
            phrase = f"{100 * sum(shares[STRATEGY]) / len(percent):.0f} % for {escape(family)}"
            if len(percent) > 1:
                phrase += f" ({min(percent):.0f} to {max(percent):.0f} % over the splits)"
            phrases.append(phrase)
    return f"The choice of the strategy has a share of {join_words(phrases)}." if phrases else ""


def _describe_best_trials(
    by_entry: Mapping[tuple[str, str], list[CellSearch]], ranking: Ranking, labels: AxisLabels
) -> list[Part]:
    """All trials of the best entry that searched anything."""
    searched = [entry for entry in list_searched_entries(ranking) if entry in by_entry][:1]
    trials: list[SearchTrial] = []
    axes: dict[str, SearchParameter] = {}
    for search in by_entry[searched[0]] if searched else ():
        trials += search.complete_trials
        axes |= {axis.name: axis for axis in search.axes}
    if len(trials) < MIN_TRIALS:
        return []
    drawn_axes = _select_most_important_axes(axes, by_entry[searched[0]])
    name = "/".join(searched[0])
    text = (
        f"### What was tried\n\nEvery line is a trial of {escape(name)}, from all its splits, and crosses each "
        "axis at the value that it tried. Dark ones scored better."
    )
    undrawn = [escape(name) for name, axis in axes.items() if axis not in drawn_axes]
    if undrawn:
        text += f" Without room: {join_words(undrawn)}."
    if len(trials) > MAX_LINES:
        text += f" Only the best {MAX_LINES} of {len(trials):,} trials are drawn."
    draw = _draw_parallel_coordinates(trials, drawn_axes, labels)
    caption = f"Trials of {name} in parallel coordinates"
    return [text, Figure(report_file_name(ranking.task, "parallel", *searched[0]), caption, draw)]


def _draw_parallel_coordinates(
    trials: Sequence[SearchTrial], parameters: Sequence[SearchParameter], labels: AxisLabels
) -> partial[bytes]:
    """The best trials in parallel coordinates."""
    axes, paths = [], []
    for parameter in parameters:
        axes.append(search_space.ParameterAxis(**vars(parameter)))
    for trial in sorted(trials, key=lambda trial: trial.value, reverse=labels.greater)[:MAX_LINES]:
        paths.append(_make_trial_path(trial, parameters))
    return partial(
        search_space.parallel_coordinates_figure, tuple(axes), tuple(paths), labels.score, greater=labels.greater
    )


def _select_most_important_axes(
    axes: Mapping[str, SearchParameter], searches: Sequence[CellSearch]
) -> list[SearchParameter]:
    """The axes for which there is room: the most important where that is known, else the first; in the space's order."""
    shares = importance_shares_by_parameter(searches)
    names = sorted(axes, key=lambda name: -sum(shares.get(name, ())))[:MAX_AXES]
    return [axis for name, axis in axes.items() if name in names]


def _make_trial_path(trial: SearchTrial, axes: Sequence[SearchParameter]) -> TrialPath:
    heights = []
    for axis in axes:
        height = math.nan
        if axis.name in trial.params and axis.options:
            height = float(axis.options.index(str(trial.params[axis.name])))
        elif axis.name in trial.params:
            height = float(f"{trial.params[axis.name]:.6g}")
        heights.append(height)
    return TrialPath(tuple(heights), float(f"{trial.value:.6g}"), trial.number == 0)
