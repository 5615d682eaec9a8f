"""Which parameters the score depends on, and which of their values were tried."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial

from harness.evaluation.gains import searched_entries
from harness.evaluation.ranking import Ranking
from harness.evaluation.search_history import METHODS, MIN_TRIALS, CellSearch, SearchParameter, SearchTrial
from harness.report.content import Figure
from harness.report.figures import search_space
from harness.report.figures.search import AxisLabels
from harness.report.figures.search_space import MAX_PANELS, STRATEGY, TrialPath
from harness.report.figures.writer import file_name
from harness.report.render.markdown import escape, join_words

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


def space_parts(
    by_entry: Mapping[tuple[str, str], list[CellSearch]], ranking: Ranking, labels: AxisLabels
) -> list[str | Figure]:
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
    parts: list[str | Figure] = []
    for strategy, method in METHODS.items():
        searches = {family: by_entry[family, name] for family, name in by_entry if name == strategy}
        if searches:
            parts += _importance_parts(searches, ranking.task, method)
    if parts:
        parts = list(dict.fromkeys(["### What the score depends on", *parts]))  # the same reason is given once
    return [*parts, *_parallel_parts(by_entry, ranking, labels)]


def _importance_parts(searches: Mapping[str, list[CellSearch]], task: str, method: str) -> list[str | Figure]:
    by_family = {family: importance_shares(of_family) for family, of_family in searches.items()}
    known = {family: shares for family, shares in by_family.items() if shares}
    if not known:
        return [f"Nothing can be said about which parameters matter: {_missing_reason(searches)}."]
    sentences = [TEXTS[method]]
    if method == "fANOVA":
        sentences.append(_strategy_share(known))
    missing = [escape(family) for family in searches if family not in known]
    if missing:
        sentences.append(f"Too few trials, or no choice between parameters, for {join_words(missing)}.")
    if len(known) > MAX_PANELS:
        sentences.append(f"The figure shows the first {MAX_PANELS} families.")
    importances = tuple(
        search_space.ParameterImportances(family, tuple(shares.items())) for family, shares in known.items()
    )
    draw = partial(search_space.importance_figure, importances[:MAX_PANELS], AXIS_LABELS[method])
    caption = f"Importances of parameters by {method}, by family"
    return [" ".join(sentences), Figure(file_name(task, f"importances-{method}"), caption, draw)]


def _missing_reason(searches: Mapping[str, list[CellSearch]]) -> str:
    most = 0
    for of_family in searches.values():
        most = max(most, *(len(search.complete_trials) for search in of_family))
    if most >= MIN_TRIALS:
        return "in no family does every split have trials enough, different scores and more than one parameter"
    return f"that takes {MIN_TRIALS} complete trials in every split, and these searches have {most} at most"


def importance_shares(searches: Sequence[CellSearch]) -> dict[str, tuple[float, ...]]:
    """Give the share of every parameter in every split; empty where it is not known in some split."""
    if not all(search.importances for search in searches):
        return {}
    shares: dict[str, list[float]] = {}
    for position, search in enumerate(searches):
        for name, share in search.importances.items():
            shares.setdefault(name, [0.0] * len(searches))[position] = float(f"{share:.4g}")
    return dict(zip(shares, map(tuple, shares.values()), strict=True))


def _strategy_share(known: Mapping[str, Mapping[str, tuple[float, ...]]]) -> str:
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


def _parallel_parts(
    by_entry: Mapping[tuple[str, str], list[CellSearch]], ranking: Ranking, labels: AxisLabels
) -> list[str | Figure]:
    """All trials of the best entry that searched anything."""
    searched = [entry for entry in searched_entries(ranking) if entry in by_entry][:1]
    trials: list[SearchTrial] = []
    axes: dict[str, SearchParameter] = {}
    for search in by_entry[searched[0]] if searched else ():
        trials += search.complete_trials
        axes |= {axis.name: axis for axis in search.axes}
    if len(trials) < MIN_TRIALS:
        return []
    drawn_axes = _most_important_axes(axes, by_entry[searched[0]])
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
    draw = _draw_parallel(trials, drawn_axes, labels)
    caption = f"Trials of {name} in parallel coordinates"
    return [text, Figure(file_name(ranking.task, "parallel", *searched[0]), caption, draw)]


def _draw_parallel(
    trials: Sequence[SearchTrial], parameters: Sequence[SearchParameter], labels: AxisLabels
) -> partial[dict[str, bytes]]:
    """The best trials in parallel coordinates."""
    axes, paths = [], []
    for parameter in parameters:
        axes.append(
            search_space.ParameterAxis(parameter.name, parameter.low, parameter.high, parameter.log, parameter.options)
        )
    for trial in sorted(trials, key=lambda trial: trial.value, reverse=labels.greater)[:MAX_LINES]:
        paths.append(_trial_path(trial, parameters))
    return partial(search_space.parallel_figure, tuple(axes), tuple(paths), labels.score, greater=labels.greater)


def _most_important_axes(axes: Mapping[str, SearchParameter], searches: Sequence[CellSearch]) -> list[SearchParameter]:
    """The axes for which there is room: the most important where that is known, else the first; in the space's order."""
    shares = importance_shares(searches)
    names = sorted(axes, key=lambda name: -sum(shares.get(name, ())))[:MAX_AXES]
    return [axis for name, axis in axes.items() if name in names]


def _trial_path(trial: SearchTrial, axes: Sequence[SearchParameter]) -> TrialPath:
    heights = []
    for axis in axes:
        height = math.nan
        if axis.name in trial.params and axis.options:
            height = float(axis.options.index(str(trial.params[axis.name])))
        elif axis.name in trial.params:
            height = float(f"{trial.params[axis.name]:.6g}")
        heights.append(height)
    return TrialPath(tuple(heights), float(f"{trial.value:.6g}"), trial.number == 0)
