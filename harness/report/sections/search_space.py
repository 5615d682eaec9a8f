"""Which parameters scores depend on, and what was tried: words and pictures of the spaces that were searched."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial

from harness.evaluation.ranking import Ranking
from harness.evaluation.search_history import FEWEST, METHODS, Axis, Search, Trial
from harness.report.content import Figure
from harness.report.figures.search import Labels
from harness.report.figures.search_space import (
    PANELS,
    STRATEGY,
    Scale,
    Tried,
    Weights,
    importance_figure,
    parallel_figure,
)
from harness.report.figures.writer import file_name
from harness.report.render.markdown import escape, listed
from harness.report.sections.search_effort import ranked

AXES = 8  #: of parallel coordinates
LINES = 80
SHARES = {
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


def tried(by_entry: Mapping[tuple[str, str], list[Search]], ranking: Ranking, labels: Labels) -> list[str | Figure]:
    """Importances of parameters, where there are trials enough, and the trials of the best entry in parallel coordinates."""
    parts: list[str | Figure] = ["### What the score depends on"]
    for strategy, method in METHODS.items():
        searches = {family: some for (family, of), some in by_entry.items() if of == strategy}
        parts += _importances(searches, ranking.task, method) if searches else []
    parts = list(dict.fromkeys(parts)) if len(parts) > 1 else []  # what cannot be said is said once
    return [*parts, *_parallel(by_entry, ranking, labels)]


def _importances(searches: Mapping[str, list[Search]], task: str, method: str) -> list[str | Figure]:
    enough = {family: weighed for family, some in searches.items() if (weighed := shares(some))}
    if not enough:
        most = max(len(one.complete) for some in searches.values() for one in some)
        why = f"that takes {FEWEST} complete trials in every split, and these searches have {most} at most"
        if most >= FEWEST:
            why = "in no family does every split have trials enough, different scores and more than one parameter"
        return [f"Nothing can be said about which parameters matter: {why}."]
    said = [TEXTS[method]]
    if method == "fANOVA":
        said.append(_of_strategy(enough))
    short = [escape(family) for family in searches if family not in enough]
    said += [f"Too few trials, or no choice between parameters, for {listed(short)}."] if short else []
    weights = tuple(Weights(family, tuple(weighed.items())) for family, weighed in enough.items())
    said += [f"The picture shows the first {PANELS} families."] if len(weights) > PANELS else []
    draw = partial(importance_figure, weights[:PANELS], SHARES[method])
    picture = Figure(
        file_name(task, f"importances-{method}"), f"Importances of parameters by {method}, by family", draw
    )
    return [" ".join(said), picture]


def shares(searches: Sequence[Search]) -> dict[str, tuple[float, ...]]:
    """The share of every parameter in every split; empty where one split cannot say."""
    if any(not one.importances for one in searches):
        return {}
    names = {name: None for one in searches for name in one.importances}
    return {name: tuple(float(f"{one.importances.get(name, 0.0):.4g}") for one in searches) for name in names}


def _of_strategy(enough: Mapping[str, Mapping[str, tuple[float, ...]]]) -> str:
    """The share of the strategy, family by family, with its range over the splits."""
    said = []
    for family, weighed in enough.items():
        if values := weighed.get(STRATEGY, ()):
            spread = (
                f" ({100 * min(values):.0f} to {100 * max(values):.0f} % over the splits)" if len(values) > 1 else ""
            )
            said.append(f"{100 * sum(values) / len(values):.0f} % for {escape(family)}{spread}")
    return f"The choice of the strategy has a share of {listed(said)}." if said else ""


def _parallel(by_entry: Mapping[tuple[str, str], list[Search]], ranking: Ranking, labels: Labels) -> list[str | Figure]:
    """All trials of the best entry that searched anything."""
    who = next((one for one in ranked(ranking) if one in by_entry), None)
    trials = [(one, trial) for one in by_entry.get(who, ()) for trial in one.complete] if who else []
    if who is None or len(trials) < FEWEST:
        return []
    searches = by_entry[who]
    axes = _shown(searches)
    best = sorted(trials, key=lambda pair: -pair[1].value if labels.greater else pair[1].value)[:LINES]
    lines = tuple(_tried(trial, axes) for _, trial in best)
    scales = tuple(Scale(*(getattr(axis, name) for name in ("name", "low", "high", "log", "options"))) for axis in axes)
    all_axes = {axis.name: None for one in searches for axis in one.axes}
    left = [escape(name) for name in all_axes if name not in {axis.name for axis in axes}]
    text = (
        f"### What was tried\n\nEvery line is a trial of {escape('/'.join(who))}, from all its splits, and crosses each axis "
        "at the value that it tried. Dark ones scored better."
    )
    text += f" Without room: {listed(left)}." if left else ""
    text += f" Only the best {LINES} of {len(trials):,} trials are drawn." if len(trials) > LINES else ""
    draw = partial(parallel_figure, scales, lines, labels.score, greater=labels.greater)
    return [
        text,
        Figure(
            file_name(ranking.task, "parallel", *who),
            f"Trials of {'/'.join(who)} in parallel coordinates",
            draw,
        ),
    ]


def _shown(searches: Sequence[Search]) -> list[Axis]:
    """The axes for which there is room: those that matter most where that is known, else the first; in the space's order."""
    axes = {axis.name: axis for one in searches for axis in one.axes}
    weighed = {name: sum(values) for name, values in shares(searches).items()}
    first = sorted(axes, key=lambda name: -weighed.get(name, 0.0))[:AXES]
    return [axis for name, axis in axes.items() if name in first]


def _tried(trial: Trial, axes: Sequence[Axis]) -> Tried:
    return Tried(tuple(_place(axis, trial) for axis in axes), float(f"{trial.value:.6g}"), trial.number == 0)


def _place(axis: Axis, trial: Trial) -> float:
    if axis.name not in trial.params:
        return math.nan
    value = trial.params[axis.name]
    return float(axis.options.index(str(value)) if axis.options else f"{value:.6g}")
