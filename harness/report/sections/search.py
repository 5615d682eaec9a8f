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
    run_searches = search_history.read_searches(evidence.store, evidence.scores)
    task_sections = []
    for ranking in evidence.rankings:
        searches_by_entry = run_searches.searches_by_entry(ranking.task)
        if any(map(attrgetter("complete_trials"), chain.from_iterable(searches_by_entry.values()))):
            task_sections.append(
                Section(TITLE, tuple(_describe_searches(evidence, ranking, searches_by_entry)), ranking.task)
            )
    maximized_by_task = {ranking.task: ranking.metric.greater_is_better for ranking in evidence.rankings}
    return [*task_sections, *_list_studies(run_searches, maximized_by_task)]


def _describe_searches(evidence: Evidence, ranking: Ranking, searches_by_entry: SearchesByEntry) -> Parts:
    shows_details = len(evidence.rankings) <= MAX_DETAILED_TASKS
    cell_searches = list(chain.from_iterable(searches_by_entry.values()))
    search_clock = search_history.choose_search_clock(cell_searches)
    labels = AxisLabels(markdown.metric_name(ranking.metric), search_clock.label, ranking.metric.greater_is_better)
    effort_parts = _describe_score_over_time(
        searches_by_entry, search_clock, tuple(evidence.scores.run["families"]), labels, ranking.task
    )
    gain_parts = describe_search_gains(search_gains(evidence.scores, ranking), ranking, labels.score)
    if not shows_details:
        return [_describe_search_extent(cell_searches), *effort_parts[:2], *gain_parts]
    history_parts, space_parts = (
        _describe_trial_histories(searches_by_entry, ranking, labels),
        describe_search_spaces(searches_by_entry, ranking, labels),
    )
    return [_describe_search_extent(cell_searches), *effort_parts, *history_parts, *gain_parts, *space_parts]


def _describe_search_extent(cell_searches: Sequence[CellSearch]) -> str:
    """How much was searched, and which trials failed."""
    trial_counts = list(map(len, map(attrgetter("trials"), cell_searches)))
    trials = format_count(max(trial_counts), "trial")
    if min(trial_counts) < max(trial_counts):
        trials = f"{min(trial_counts)} to {trials}"
    text = (
        f"{format_count(len(cell_searches), 'search', 'searches')} of {trials}, one for every family, strategy and split. The first "
        "trial of each is the default configuration. All scores here are inner ones: of the training rows' own folds."
    )
    failure_reasons: Counter[Reason] = Counter()
    for cell_search in cell_searches:
        failure_reasons.update(trial.reason for trial in cell_search.trials if trial.reason is not None)
    failed_trials = count_causes(failure_reasons)
    if not failed_trials:
        return text
    reasons = [
        f"{n:,} × {escape(reason.message or 'no reason noted')}" for reason, n in failed_trials.most_common(MAX_REASONS)
    ]
    if len(failed_trials) > MAX_REASONS:
        reasons.append(format_count(len(failed_trials) - MAX_REASONS, "other reason"))
    return f"{text} {format_count(failed_trials.total(), 'trial')} failed: {'; '.join(reasons)}."


def _describe_score_over_time(
    searches_by_entry: SearchesByEntry,
    search_clock: search_history.SearchClock,
    families: tuple[str, ...],
    axis_labels: AxisLabels,
    task: str,
) -> Parts:
    """Score against seconds, of all families together, and of the strategies of each."""
    curves = {}
    for entry, cell_searches in searches_by_entry.items():
        curve = search_history.anytime_curve(cell_searches, search_clock, greater=axis_labels.greater)
        if curve:
            curves[entry] = figures.SearchProgressCurve(*entry, curve)
    points = {entry: curve.curve for entry, curve in curves.items()}
    best_strategies = search_history.best_strategy_by_family(points, greater=axis_labels.greater)
    drawn_entries = [entry for entry in curves if entry[1] in ("none", best_strategies.get(entry[0]))]
    drawn_entries.sort(key=lambda entry: (families.index(entry[0]), entry[1] != "none"))
    text = render_text_template("search_effort.md", wall_clock=search_clock.attribute == "seconds")
    draw_figure = partial(figures.anytime_figure, tuple(map(curves.__getitem__, drawn_entries)), families, axis_labels)
    caption = f"Best inner score against {search_clock.label}"
    section_parts: Parts = [text, Figure(report_file_name(task, "anytime"), f"{caption}, by family", draw_figure)]
    if len(curves) > len(drawn_entries):
        draw_figure = partial(figures.strategy_curves_figure, tuple(curves.values()), axis_labels)
        section_parts.append(
            Figure(report_file_name(task, "anytime-strategies"), f"{caption}, by strategy", draw_figure)
        )
    return section_parts


def _describe_trial_histories(searches_by_entry: SearchesByEntry, ranking: Ranking, axis_labels: AxisLabels) -> Parts:
    """The trials of the first entries in their order."""
    drawn_entries: list[tuple[str, str]] = []
    trial_counts: list[int] = []
    for entry in list_searched_entries(ranking):
        cell_searches = searches_by_entry.get(entry, ())
        if (
            any(map(attrgetter("complete_trials"), cell_searches))
            and len(drawn_entries) < figures.MAX_TWO_COLUMN_PANELS
        ):
            drawn_entries.append(entry)
            trial_counts += map(len, map(attrgetter("trials"), cell_searches))
    if max(trial_counts, default=0) < 2:
        return []
    trial_histories = tuple(
        _make_trial_history("\n".join(entry), searches_by_entry[entry], greater_is_better=axis_labels.greater)
        for entry in drawn_entries
    )
    entries = (
        f"the {len(drawn_entries)} entries that rank first"
        if len(searches_by_entry) > len(drawn_entries)
        else "every entry"
    )
    text = (
        f"### Trial by trial\n\nThe trials of {entries}, in the order in which they were made; within a split each was chosen "
        "from what those before it showed."
    )
    draw_figure = partial(figures.trial_history_figure, trial_histories, axis_labels)
    return [
        text,
        Figure(report_file_name(ranking.task, "history"), "Inner score of every trial, by number", draw_figure),
    ]


def _make_trial_history(
    title: str, cell_searches: Sequence[CellSearch], *, greater_is_better: bool
) -> figures.TrialHistory:
    trials: list[tuple[int, float]] = []
    failed_positions: set[int] = set()
    best_score_curves = []
    for cell_search in cell_searches:
        trials += [(trial.number, _round_score(trial.value)) for trial in cell_search.complete_trials]
        failed_positions.update(trial.number for trial in cell_search.trials if math.isnan(trial.value))
        if cell_search.complete_trials:
            best_score_curves.append(search_history.best_scores_so_far(cell_search.trials, greater=greater_is_better))
    # A search that ended keeps its best, so that the mean is always taken over the same splits.
    longest_search = max(map(len, best_score_curves))
    history_means = []
    for position in range(longest_search):
        mean_best_scores = sum(
            best_scores[min(position, len(best_scores) - 1)] for best_scores in best_score_curves
        ) / len(best_score_curves)
        if not math.isnan(mean_best_scores):
            history_means.append((position, _round_score(mean_best_scores)))
    return figures.TrialHistory(title, tuple(trials), tuple(sorted(failed_positions)), tuple(history_means))


def _round_score(score: float) -> float:
    return float(f"{score:.6g}")


def _list_studies(run_searches: search_history.RunSearches, maximized_by_task: Mapping[str, bool]) -> list[Section]:
    """Every study: its name in the dashboard and how it ended."""
    if not run_searches.searches and not run_searches.unreadable:
        return []
    rows = []
    for cell_search in run_searches.searches:
        best_scores = search_history.best_scores_so_far(cell_search.trials, greater=maximized_by_task[cell_search.task])
        score = best_scores[-1] if best_scores else math.nan
        complete_count, failed_count = (
            len(cell_search.complete_trials),
            len(cell_search.trials) - len(cell_search.complete_trials),
        )
        seconds = sum(map(attrgetter("seconds"), cell_search.trials))
        cpu_seconds = sum(map(attrgetter("cpu_seconds"), cell_search.trials))
        rows.append((cell_search.name, complete_count, failed_count, score, seconds, cpu_seconds))
    section_parts: Parts = [render_text_template("dashboard.md")]
    if rows:
        section_parts.append(ReportTable(INDEX_COLUMNS, tuple(rows)))
    if run_searches.unreadable:
        reasons = markdown.bullet_list(map(escape, run_searches.unreadable))
        unreadable_journals = format_count(len(run_searches.unreadable), "journal")
        section_parts.append(CollapsedParts(f"{unreadable_journals} could not be read", (reasons,)))
    return [Section("Studies in Optuna's dashboard", tuple(section_parts))]


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
    section_parts: list[Part] = []
    for strategy, importance_method in search_history.IMPORTANCE_METHODS.items():
        searches_by_family = {family: by_entry[family, name] for family, name in by_entry if name == strategy}
        if searches_by_family:
            section_parts += _describe_parameter_importances(searches_by_family, ranking.task, importance_method)
    if section_parts:
        section_parts = list(
            dict.fromkeys(["### What the score depends on", *section_parts])
        )  # the same reason is given once
    return [*section_parts, *_describe_best_trials(by_entry, ranking, labels)]


def _describe_parameter_importances(
    searches_by_family: Mapping[str, list[CellSearch]], task: str, importance_method: str
) -> list[Part]:
    shares_by_family = {
        family: importance_shares_by_parameter(family_searches)
        for family, family_searches in searches_by_family.items()
    }
    known_shares = {
        family: parameter_shares for family, parameter_shares in shares_by_family.items() if parameter_shares
    }
    if not known_shares:
        return [
            f"Nothing can be said about which parameters matter: {_explain_missing_importances(searches_by_family)}."
        ]
    sentences = [TEXTS[importance_method]]
    if importance_method == "fANOVA":
        sentences.append(_describe_strategy_share(known_shares))
    families_without_shares = [escape(family) for family in searches_by_family if family not in known_shares]
    if families_without_shares:
        sentences.append(f"Too few trials, or no choice between parameters, for {join_words(families_without_shares)}.")
    if len(known_shares) > MAX_PANELS:
        sentences.append(f"The figure shows the first {MAX_PANELS} families.")
    parameter_importances = tuple(
        search_space.ParameterImportances(family, tuple(parameter_shares.items()))
        for family, parameter_shares in known_shares.items()
    )
    draw_figure = partial(
        search_space.parameter_importance_figure, parameter_importances[:MAX_PANELS], AXIS_LABELS[importance_method]
    )
    caption = f"Importances of parameters by {importance_method}, by family"
    return [
        " ".join(sentences),
        Figure(report_file_name(task, f"importances-{importance_method}"), caption, draw_figure),
    ]


def _explain_missing_importances(searches_by_family: Mapping[str, list[CellSearch]]) -> str:
    most_trials = 0
    for family_searches in searches_by_family.values():
        most_trials = max(most_trials, *(len(cell_search.complete_trials) for cell_search in family_searches))
    if most_trials >= MIN_TRIALS:
        return "in no family does every split have trials enough, different scores and more than one parameter"
    return f"that takes {MIN_TRIALS} complete trials in every split, and these searches have {most_trials} at most"


def importance_shares_by_parameter(searches: Sequence[CellSearch]) -> dict[str, tuple[float, ...]]:
    """Give the share of every parameter in every split; empty where it is not known in some split."""
    if not all(cell_search.importances for cell_search in searches):
        return {}
    shares_by_parameter: dict[str, list[float]] = {}
    for position, cell_search in enumerate(searches):
        for name, importance_share in cell_search.importances.items():
            shares_by_parameter.setdefault(name, [0.0] * len(searches))[position] = float(f"{importance_share:.4g}")
    return dict(zip(shares_by_parameter, map(tuple, shares_by_parameter.values()), strict=True))


def _describe_strategy_share(shares_by_family: Mapping[str, Mapping[str, tuple[float, ...]]]) -> str:
    """The share of the strategy, family by family, with its range over the splits."""
    family_phrases = []
    for family, shares_by_parameter in shares_by_family.items():
        strategy_percents = [100 * strategy_share for strategy_share in shares_by_parameter.get(STRATEGY, ())]
        if strategy_percents:
            family_phrase = (
                f"{100 * sum(shares_by_parameter[STRATEGY]) / len(strategy_percents):.0f} % for {escape(family)}"
            )
            if len(strategy_percents) > 1:
                family_phrase += f" ({min(strategy_percents):.0f} to {max(strategy_percents):.0f} % over the splits)"
            family_phrases.append(family_phrase)
    return f"The choice of the strategy has a share of {join_words(family_phrases)}." if family_phrases else ""


def _describe_best_trials(
    searches_by_entry: Mapping[tuple[str, str], list[CellSearch]], ranking: Ranking, axis_labels: AxisLabels
) -> list[Part]:
    """All trials of the best entry that searched anything."""
    searched_entries = [entry for entry in list_searched_entries(ranking) if entry in searches_by_entry][:1]
    trials: list[SearchTrial] = []
    axes: dict[str, SearchParameter] = {}
    for cell_search in searches_by_entry[searched_entries[0]] if searched_entries else ():
        trials += cell_search.complete_trials
        axes |= {axis.name: axis for axis in cell_search.axes}
    if len(trials) < MIN_TRIALS:
        return []
    drawn_axes = _select_most_important_axes(axes, searches_by_entry[searched_entries[0]])
    name = "/".join(searched_entries[0])
    text = (
        f"### What was tried\n\nEvery line is a trial of {escape(name)}, from all its splits, and crosses each "
        "axis at the value that it tried. Dark ones scored better."
    )
    undrawn_names = [escape(name) for name, axis in axes.items() if axis not in drawn_axes]
    if undrawn_names:
        text += f" Without room: {join_words(undrawn_names)}."
    if len(trials) > MAX_LINES:
        text += f" Only the best {MAX_LINES} of {len(trials):,} trials are drawn."
    draw_figure = _draw_parallel_coordinates(trials, drawn_axes, axis_labels)
    caption = f"Trials of {name} in parallel coordinates"
    return [text, Figure(report_file_name(ranking.task, "parallel", *searched_entries[0]), caption, draw_figure)]


def _draw_parallel_coordinates(
    trials: Sequence[SearchTrial], parameters: Sequence[SearchParameter], axis_labels: AxisLabels
) -> partial[bytes]:
    """The best trials in parallel coordinates."""
    axes, paths = [], []
    for parameter in parameters:
        axes.append(search_space.ParameterAxis(**vars(parameter)))
    for trial in sorted(trials, key=lambda trial: trial.value, reverse=axis_labels.greater)[:MAX_LINES]:
        paths.append(_make_trial_path(trial, parameters))
    return partial(
        search_space.parallel_coordinates_figure,
        tuple(axes),
        tuple(paths),
        axis_labels.score,
        greater=axis_labels.greater,
    )


def _select_most_important_axes(
    axes: Mapping[str, SearchParameter], cell_searches: Sequence[CellSearch]
) -> list[SearchParameter]:
    """The axes for which there is room: the most important where that is known, else the first; in the space's order."""
    shares_by_parameter = importance_shares_by_parameter(cell_searches)
    names = sorted(axes, key=lambda name: -sum(shares_by_parameter.get(name, ())))[:MAX_AXES]
    return [axis for name, axis in axes.items() if name in names]


def _make_trial_path(trial: SearchTrial, axes: Sequence[SearchParameter]) -> TrialPath:
    axis_heights = []
    for axis in axes:
        height = math.nan
        if axis.name in trial.params and axis.options:
            height = float(axis.options.index(str(trial.params[axis.name])))
        elif axis.name in trial.params:
            height = float(f"{trial.params[axis.name]:.6g}")
        axis_heights.append(height)
    return TrialPath(tuple(axis_heights), float(f"{trial.value:.6g}"), trial.number == 0)
