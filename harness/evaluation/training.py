"""How tuned entries were trained: their costs against their scores, and architectures and training curves of networks."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import itemgetter
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from harness.errors import StoreError
from harness.evaluation.ranking import BASELINE, RankedEntry, Ranking
from harness.evaluation.scores import Entry, Scores
from harness.store.record import EntryResult, Layer, Record
from harness.store.store import Store

Layers = tuple[Layer, ...]


@dataclass(frozen=True)
class Architecture:
    """The layers of a network, how many splits chose them, and how many of their parameters were trained."""

    layers: Layers
    splits: int
    trained: int

    @property
    def parameters(self) -> int:
        """All parameters, trained or not."""
        return sum(layer_parameters for *_, layer_parameters in self.layers)

    @property
    def frozen_parameters(self) -> int:
        """The parameters that were not trained."""
        return max(self.parameters - self.trained, 0)


@dataclass(frozen=True)
class ChosenArchitectures:
    """An entry with the architectures that its splits chose, the most frequent first."""

    entry: Entry
    architectures: tuple[Architecture, ...]

    @property
    def splits(self) -> int:
        """The number of splits."""
        return sum(architecture.splits for architecture in self.architectures)


def chosen_architectures(scores: Scores, ranking: Ranking) -> list[ChosenArchitectures]:
    """Collect the architectures of the tuned networks of a task, best entry first."""
    architecture_counts: dict[tuple[str, str], Counter[tuple[Layers, int]]] = {}
    for cell in scores.cells:
        if cell.record is None or cell.task != ranking.task:
            continue
        for entry_outcome in cell.record.outcomes:
            if entry_outcome.stage == "tuned" and entry_outcome.architecture:
                network_layers = entry_outcome.architecture, _count_trained_parameters(entry_outcome)
                architecture_counts.setdefault((cell.family, cell.strategy), Counter())[network_layers] += 1
    entry_architectures = []
    for ranked_entry in ranking.entries:
        if ranked_entry.entry.stage == "tuned" and ranked_entry.entry[:2] in architecture_counts:
            most_common = architecture_counts[ranked_entry.entry[:2]].most_common()
            network_architectures = [
                Architecture(layers, splits, trained_parameters) for (layers, trained_parameters), splits in most_common
            ]
            entry_architectures.append(ChosenArchitectures(ranked_entry.entry, tuple(network_architectures)))
    return entry_architectures


def _count_trained_parameters(entry_outcome: EntryResult) -> int:
    if entry_outcome.parameters is None:
        return sum(layer_parameters for *_, layer_parameters in entry_outcome.architecture)
    return entry_outcome.parameters


COST_NAMES = {"fit_seconds": "fit", "model_bytes": "size", "predict_us_per_row": "predict"}  #: column → its short name


@dataclass(frozen=True)
class EntryCosts:
    """A tuned entry: its score, its costs, and the costs at which it is on the Pareto front."""

    entry: Entry
    name: str
    score: float
    costs: dict[str, float]  #: by column: `COST_NAMES` and `parameters`; NaN where one is not known
    fronts: tuple[str, ...]


def pareto_front(costs: Sequence[float], scores: Sequence[float], *, greater: bool = True) -> list[bool]:
    """Mark the points on the Pareto front of low cost and good score.

    Parameters
    ----------
    costs, scores : sequences of float
        One per point; a point with a NaN is never on the front.
    greater : bool, default True
        Whether a greater score is better.

    Returns
    -------
    list of bool
        True where no other point is at least as cheap and as good, and better in one of both.
    """
    cost, score = np.asarray(costs, dtype=float), np.asarray(scores, dtype=float)
    if not greater:
        score = -score
    is_on_front = []
    for point_cost, point_score in zip(cost, score, strict=True):
        is_different = (cost != point_cost) | (score != point_score)
        is_dominated = bool(((cost <= point_cost) & (score >= point_score) & is_different).any())
        is_on_front.append(not (np.isnan(point_cost) or np.isnan(point_score) or is_dominated))
    return is_on_front


def entry_costs(ranking: Ranking) -> list[EntryCosts]:
    """Give the tuned entries of a task that have all splits, best first, with the fronts they are on."""
    candidate_entries = list(filter(_is_pareto_candidate, ranking.entries))
    costs, scores = (
        list(map(_fit_costs, candidate_entries)),
        [ranked_entry.score.mean for ranked_entry in candidate_entries],
    )
    front_by_cost, greater_is_better = {}, ranking.metric.greater_is_better
    for name in COST_NAMES:
        front_by_cost[name] = pareto_front(list(map(itemgetter(name), costs)), scores, greater=greater_is_better)
    entries = []
    for position, ranked_entry in enumerate(candidate_entries):
        own_fronts = tuple(name for name in COST_NAMES if front_by_cost[name][position])
        entries.append(EntryCosts(ranked_entry.entry, ranked_entry.name, scores[position], costs[position], own_fronts))
    return entries


def _is_pareto_candidate(ranked_entry: RankedEntry) -> bool:
    return ranked_entry.complete and ranked_entry.entry.stage == "tuned" and ranked_entry.entry.family != BASELINE


def _fit_costs(ranked_entry: RankedEntry) -> dict[str, float]:
    names = (*COST_NAMES, "parameters")
    return dict(zip(names, map(ranked_entry.rows.mean, names), strict=True))


Curves: TypeAlias = Mapping[str, npt.NDArray[np.float64]]


@dataclass(frozen=True)
class NetworkFit:
    """The curves of one training, one value per epoch.

    `loss` is the function that the losses are values of, empty where there was no choice: those of two functions have
    different scales.
    """

    split: tuple[int, int]
    curves: Curves
    loss: str = ""

    @property
    def best_epoch(self) -> int:
        """The epoch whose weights were kept, from 1."""
        return int(self.curves["epoch"][0])

    def metric_at_epoch(self, name: str) -> float:
        """Get a value of a curve at the epoch whose weights were kept; NaN where there is none."""
        curve = self.curves.get(name, np.zeros(0))
        return float(curve[self.best_epoch - 1]) if 0 < self.best_epoch <= len(curve) else math.nan


@dataclass(frozen=True)
class EntryTraining:
    """How the networks of one entry were trained: the refits of all splits, and per split the fits of its inner folds."""

    fits: tuple[NetworkFit, ...]
    inner_fits: tuple[tuple[NetworkFit, ...], ...]
    outcomes: tuple[EntryResult, ...]

    @property
    def refits_by_loss(self) -> dict[str, tuple[NetworkFit, ...]]:
        """The refits by loss function, that of most splits first."""
        grouped_refits: dict[str, tuple[NetworkFit, ...]] = {}
        for network_fit in self.fits:
            grouped_refits[network_fit.loss] = (*grouped_refits.get(network_fit.loss, ()), network_fit)
        return dict(sorted(grouped_refits.items(), key=lambda group: (-count_splits_of_fits(group[1]), group[0])))


def count_splits_of_fits(fits: Iterable[NetworkFit]) -> int:
    """Count the splits that fits are of: an ensemble has several in each."""
    return len({network_fit.split for network_fit in fits})


@dataclass(frozen=True)
class RunTraining:
    """The networks of a run by task and entry, and the cells whose curves could not be read, with the reason."""

    entries: Mapping[tuple[str, Entry], EntryTraining] = field(default_factory=dict)
    unreadable: tuple[tuple[str, str], ...] = ()  #: task and reason


def collect_training_curves(store: Store, scores: Scores) -> RunTraining:
    """Read the training curves of every cell that has some.

    Parameters
    ----------
    store : Store
        The run folder.
    scores : Scores
        The scores of the run.

    Returns
    -------
    RunTraining
        Cells with unreadable curves are listed in `unreadable`.
    """
    entries: dict[tuple[str, Entry], EntryTraining] = {}
    unreadable = []
    for record in (cell.record for cell in scores.cells if cell.record):
        try:
            fits_by_name = _fits_by_name(record, store.read_curves(record))
        except StoreError as error:
            unreadable.append((record.task, str(error)))
            continue
        for entry_outcome in record.outcomes:
            entry_refits = _add_loss_names(_entry_refits(record, entry_outcome, fits_by_name), entry_outcome)
            if entry_refits:
                key = record.task, Entry(record.family, record.strategy, entry_outcome.stage)
                entry_training = entries.get(key, EntryTraining((), (), ()))
                inner_fits = _add_loss_names(fits_by_name.get(f"trial_{entry_outcome.trial}", []), entry_outcome)
                entry_refits, all_inner_fits = (
                    (*entry_training.fits, *entry_refits),
                    (*entry_training.inner_fits, inner_fits),
                )
                entries[key] = EntryTraining(entry_refits, all_inner_fits, (*entry_training.outcomes, entry_outcome))
    return RunTraining(entries, tuple(unreadable))


def loss_name(params: Mapping[str, Any]) -> str:
    """Name the loss function of a configuration: `cross-entropy`, `focal, γ 2.13`; empty where it had no choice."""
    name, focal_gamma = str(params.get("loss") or "").replace("_", "-"), params.get("gamma")
    return f"{name}, γ {focal_gamma:.3g}" if name and isinstance(focal_gamma, int | float) else name


def _fits_by_name(record: Record, curves_by_path: Curves) -> dict[str, list[NetworkFit]]:
    """Fits by trial or refit: one per inner fold or one on all training rows, of an ensemble one per member."""
    curves_by_fit: dict[str, dict[str, npt.NDArray[np.float64]]] = {}
    for path, curve in curves_by_path.items():
        fit_path, _, name = path.rpartition("/")
        curves_by_fit.setdefault(fit_path, {})[name] = curve
    fits_by_name: dict[str, list[NetworkFit]] = {}
    for fit_path, fit_curves in curves_by_fit.items():
        if "epoch" in fit_curves:
            name = fit_path.partition("/")[0]
            fits_by_name.setdefault(name, []).append(NetworkFit((record.repeat, record.fold), fit_curves))
    return fits_by_name


def _entry_refits(
    record: Record, entry_outcome: EntryResult, fits_by_name: Mapping[str, list[NetworkFit]]
) -> list[NetworkFit]:
    """The refits of an entry; one with the same trial as another was not fitted twice."""
    possible_stages = [
        entry_outcome.stage,
        *(other_outcome.stage for other_outcome in record.outcomes if other_outcome.trial == entry_outcome.trial),
    ]
    return next((fits_by_name[f"final_{stage}"] for stage in possible_stages if f"final_{stage}" in fits_by_name), [])


def _add_loss_names(network_fits: Iterable[NetworkFit], entry_outcome: EntryResult) -> tuple[NetworkFit, ...]:
    """Fits with the loss function of their configuration."""
    return tuple(replace(network_fit, loss=loss_name(entry_outcome.params)) for network_fit in network_fits)
