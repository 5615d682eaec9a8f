"""Trials, effort, search spaces and importances of parameters from the journals of a run's searches, as plain values.

Reading a journal and computing importances takes long, so both are done once and cached under `<run>/derived/` by the SHA-256
of the journal. If that file is deleted or damaged, its content is computed again.
"""

from __future__ import annotations

import hashlib
import math
import warnings
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from harness.evaluation.metric_cache import MetricCache, read_cache, write_cache
from harness.evaluation.scores import Scores
from harness.findings import Reason, trial_reason
from harness.seeding import seed_of
from harness.store.files import read_journal
from harness.store.record import Record
from harness.store.store import Store

if TYPE_CHECKING:
    import optuna


CACHE_NAME = "searches"  #: the name of the file
VERSION = 2  #: of what is cached of a journal
MIN_TRIALS = 10  #: complete trials; with fewer, importances are noise
MIN_BEST_TRIALS = 5  #: trials that PED-ANOVA needs among the best
#: Half of Optuna's default: twice as fast, and the spread over splits is far larger than that between forests.
N_TREES = 32
MAX_TRIALS = 150  #: trials that fANOVA is fitted on; its time grows faster than their number (1,000: 8 s)
IMPORTANCE_METHODS = {"searched": "fANOVA", "none": "PED-ANOVA"}  #: by strategy; no importances for searches of others


@dataclass(frozen=True)
class SearchTrial:
    """One finished trial: its number, inner score (NaN where it failed), parameters, reason of failure, times (NaN: unknown)."""

    number: int
    value: float
    params: dict[str, Any]
    reason: Reason | None
    seconds: float
    cpu_seconds: float


@dataclass(frozen=True)
class SearchParameter:
    """One parameter of a space: its range, or its options as text; `log` where it is searched by its logarithm."""

    name: str
    low: float = math.nan
    high: float = math.nan
    log: bool = False
    options: tuple[str, ...] = ()


@dataclass(frozen=True)
class CellSearch:
    """The study of one cell. `importances` are shares by parameter; empty where there are too few trials."""

    task: str
    family: str
    strategy: str
    split: tuple[int, int]
    trials: tuple[SearchTrial, ...]
    axes: tuple[SearchParameter, ...]
    importances: dict[str, float]

    @property
    def name(self) -> str:
        """The name of the study in Optuna's dashboard."""
        return f"{self.task}/{self.family}/{self.strategy}/r{self.split[0]}f{self.split[1]}"

    @property
    def complete_trials(self) -> list[SearchTrial]:
        """The trials that have a score."""
        return [trial for trial in self.trials if not math.isnan(trial.value)]


@dataclass(frozen=True)
class RunSearches:
    """The searches of a run in the order of its cells, and the journals that could not be read, each with the reason."""

    searches: tuple[CellSearch, ...]
    unreadable: tuple[str, ...] = ()

    def searches_by_entry(self, task: str) -> dict[tuple[str, str], list[CellSearch]]:
        """Group the searches of a task that have parameters to search by family and strategy."""
        grouped_searches: dict[tuple[str, str], list[CellSearch]] = {}
        for cell_search in self.searches:
            if cell_search.task == task and cell_search.axes:
                grouped_searches.setdefault((cell_search.family, cell_search.strategy), []).append(cell_search)
        return grouped_searches


def read_searches(store: Store, scores: Scores) -> RunSearches:
    """Read the search of every cell that has a journal; the content is cached under `derived/`.

    Parameters
    ----------
    store : Store
        The run folder.
    scores : Scores
        The scores of the run.

    Returns
    -------
    RunSearches
        Journals that cannot be read are listed in `unreadable`.
    """
    cached_content, used_content = read_cache(store, CACHE_NAME), MetricCache()
    cell_searches, unreadable = [], []
    for record in (cell.record for cell in scores.cells if cell.record):
        path = store.journal_path(record.id)
        if not path.exists():
            continue
        key = f"{VERSION}/{hashlib.sha256(path.read_bytes()).hexdigest()}"
        journal_content = cached_content.get(key)
        if journal_content is None:
            try:
                journal_content = _convert_journal_to_json(path, record.strategy)
            except Exception as error:  # noqa: BLE001 -- Optuna documents no errors for a damaged journal
                unreadable.append(f"{record.id}: {type(error).__name__}: {error}")
                continue
        used_content[key] = journal_content
        cell_searches.append(_make_cell_search(record, journal_content))
    if used_content != cached_content:
        write_cache(store, used_content, CACHE_NAME)
    return RunSearches(tuple(cell_searches), tuple(unreadable))


def parameter_importances(study: optuna.Study, strategy: str) -> dict[str, float]:
    """Compute the importance of every parameter of a search.

    Parameters
    ----------
    study : optuna.Study
        The study of a cell.
    strategy : str
        The strategy of the cell: fANOVA [1]_ for ``searched``, PED-ANOVA [2]_ for ``none``.

    Returns
    -------
    dict of str to float
        Shares that add up to 1; empty where trials are too few, their scores all equal, or there is no choice.

    References
    ----------
    .. [1] Hutter, Hoos & Leyton-Brown (2014), An Efficient Approach for Assessing Hyperparameter Importance, ICML.
    .. [2] Watanabe, Bansal & Hutter (2023), PED-ANOVA: Efficiently Quantifying Hyperparameter Importance in Arbitrary
       Subspaces, IJCAI.
    """
    trials = []
    for trial in study.get_trials(deepcopy=False):
        if trial.value is not None:
            trials.append(trial)
    if strategy not in IMPORTANCE_METHODS or len(trials) < MIN_TRIALS or len({trial.value for trial in trials}) == 1:
        return {}
    # Imported here because it imports scikit-learn and scipy.stats, in more than a second.
    import optuna
    from optuna.importance import FanovaImportanceEvaluator, PedAnovaImportanceEvaluator, get_param_importances

    importance_evaluator: optuna.importance.BaseImportanceEvaluator
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", category=optuna.exceptions.ExperimentalWarning)
        if IMPORTANCE_METHODS[strategy] == "fANOVA":
            study = _thin_study(study, trials)
            importance_evaluator = FanovaImportanceEvaluator(
                n_trees=N_TREES, seed=seed_of("importance", study.study_name)
            )
        else:
            importance_evaluator = PedAnovaImportanceEvaluator(target_quantile=max(0.1, MIN_BEST_TRIALS / len(trials)))
        importance_shares = get_param_importances(study, evaluator=importance_evaluator)
    importance_total = sum(importance_shares.values())
    if not importance_total > 0 or len(importance_shares) < 2:
        return {}
    return {
        name: float(importance_share / importance_total) for name, importance_share in sorted(importance_shares.items())
    }


def _thin_study(study: optuna.Study, trials: list[optuna.trial.FrozenTrial]) -> optuna.Study:
    """The study with at most `MAX_TRIALS` evenly spaced trials."""
    import optuna

    if len(trials) <= MAX_TRIALS:
        return study
    selected_trials = []
    for trial_number in range(MAX_TRIALS):
        selected_trials.append(trials[trial_number * len(trials) // MAX_TRIALS])
    thinned_study = optuna.create_study(direction=study.direction, study_name=study.study_name)
    thinned_study.add_trials(selected_trials)
    return thinned_study


def _convert_journal_to_json(path: Path, strategy: str) -> dict[str, Any]:
    """A journal as values that JSON can hold."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    journal_storage = read_journal(path)
    names = optuna.get_all_study_names(journal_storage)
    if not names:
        return {"trials": [], "axes": [], "importances": {}}
    study = optuna.load_study(study_name=names[0], storage=journal_storage)
    trials = study.get_trials(deepcopy=False)
    distributions: dict[str, Any] = {}
    for trial in trials:
        for name, distribution in trial.distributions.items():
            distributions.setdefault(name, distribution)
    return {
        "trials": list(map(_trial_row, trials)),
        "axes": [_parameter_row(name, distribution) for name, distribution in distributions.items()],
        "importances": parameter_importances(study, strategy),
    }


def _trial_row(trial: optuna.trial.FrozenTrial) -> list[Any]:
    trial_attributes, trial_duration = trial.user_attrs, trial.duration
    seconds = trial_attributes.get("seconds", None if trial_duration is None else trial_duration.total_seconds())
    reason: Any = None
    if trial.value is None:
        reason = trial_reason(trial_attributes).as_dict()
    return [trial.number, trial.value, trial.params, reason, seconds, trial_attributes.get("cpu_seconds")]


def _parameter_row(name: str, distribution: Any) -> list[Any]:
    options = getattr(distribution, "choices", None)
    if options is not None:
        return [name, None, None, False, list(map(str, options))]
    return [name, distribution.low, distribution.high, distribution.log, []]


def _make_cell_search(record: Record, journal_content: dict[str, Any]) -> CellSearch:
    trials = []
    for trial_number, score, params, reason, seconds, cpu_seconds in journal_content["trials"]:
        trial_times = _json_number(seconds), _json_number(cpu_seconds)
        failure_reason = None if reason is None else Reason.from_stored(reason)
        trials.append(SearchTrial(trial_number, _json_number(score), params, failure_reason, *trial_times))
    axes = []
    for name, range_low, range_high, is_log, parameter_options in journal_content["axes"]:
        axes.append(
            SearchParameter(name, _json_number(range_low), _json_number(range_high), is_log, tuple(parameter_options))
        )
    names, split = (record.task, record.family, record.strategy), (record.repeat, record.fold)
    return CellSearch(*names, split, tuple(trials), tuple(axes), journal_content["importances"])


def _json_number(json_number: float | None) -> float:
    return math.nan if json_number is None else float(json_number)


MAX_POINTS = 150  #: of a curve
Curve: TypeAlias = tuple[tuple[float, float], ...]  #: (seconds, best inner score so far), in order


@dataclass(frozen=True)
class SearchClock:
    """How the time of trials is measured: the attribute of a trial, and its name on an axis."""

    attribute: str
    label: str

    def trial_seconds(self, trial: SearchTrial) -> float:
        """Give the time that a trial took, in seconds."""
        return float(getattr(trial, self.attribute))


CPU_CLOCK = SearchClock("cpu_seconds", "CPU seconds of the search")
WALL_CLOCK = SearchClock("seconds", "seconds of the search (wall clock)")


def choose_search_clock(searches: Sequence[CellSearch]) -> SearchClock:
    """Choose CPU time where every trial has it, else the wall clock: older versions did not record it."""
    all_trial_seconds = [trial.cpu_seconds for cell_search in searches for trial in cell_search.trials]
    return WALL_CLOCK if any(map(math.isnan, all_trial_seconds)) else CPU_CLOCK


def best_scores_so_far(trials: Sequence[SearchTrial], *, greater: bool) -> list[float]:
    """Give the best score after every trial; NaN until one is complete."""
    best_scores, best_score = [], math.nan
    for trial in trials:
        is_improved = trial.value > best_score if greater else trial.value < best_score
        if is_improved or math.isnan(best_score):
            best_score = trial.value
        best_scores.append(best_score)
    return best_scores


def anytime_curve(searches: Sequence[CellSearch], clock: SearchClock, *, greater: bool) -> Curve:
    """Average the best inner score so far, as a function of seconds of search, over the splits that have any.

    Parameters
    ----------
    searches : sequence of Search
        The searches of one entry, one per split.
    clock : SearchClock
        How time is measured; failed trials take their time too.
    greater : bool
        Whether a greater score is better.

    Returns
    -------
    Curve
        At most `MAX_POINTS` points from the moment when all splits have a complete trial; a search that has ended keeps its
        best. Empty where no trial is complete.
    """
    score_stairs = list(
        filter(None, (_best_score_steps(cell_search, clock, greater_is_better=greater) for cell_search in searches))
    )
    if not score_stairs:
        return ()
    start_seconds = max(score_stair[0][0] for score_stair in score_stairs)
    curve_seconds = sorted(
        {max(score_seconds, start_seconds) for score_seconds, _ in chain.from_iterable(score_stairs)}
    )
    if len(curve_seconds) > MAX_POINTS:
        lowest_seconds = max(start_seconds, 1e-6)
        curve_seconds = [
            start_seconds,
            *np.geomspace(lowest_seconds, curve_seconds[-1], MAX_POINTS)[1:-1].tolist(),
            curve_seconds[-1],
        ]
    curve = []
    for score_seconds in curve_seconds:
        mean_best_score = sum(_best_score_at_time(score_stair, score_seconds) for score_stair in score_stairs) / len(
            score_stairs
        )
        curve.append((float(f"{score_seconds:.6g}"), float(f"{mean_best_score:.6g}")))
    return tuple(curve)


def _best_score_steps(
    cell_search: CellSearch, search_clock: SearchClock, *, greater_is_better: bool
) -> list[tuple[float, float]]:
    """The time and the best score after every trial, from the first complete trial on."""
    trial_seconds = accumulate(map(search_clock.trial_seconds, cell_search.trials))
    steps = zip(trial_seconds, best_scores_so_far(cell_search.trials, greater=greater_is_better), strict=True)
    return [step for step in steps if not math.isnan(step[1])]


def _best_score_at_time(score_stair: list[tuple[float, float]], moment_seconds: float) -> float:
    return score_stair[bisect_right(score_stair, (moment_seconds, math.inf)) - 1][1]


def best_strategy_by_family(curves: Mapping[tuple[str, str], Curve], *, greater: bool) -> dict[str, str]:
    """Find for every family the strategy, other than doing nothing, whose search ended with the best inner score."""
    score_sign = 1 if greater else -1
    best_by_family: dict[str, tuple[float, str]] = {}
    for (family, strategy), curve in sorted(curves.items()):
        if curve and strategy != "none":
            score = score_sign * curve[-1][1]
            if family not in best_by_family or score > best_by_family[family][0]:
                best_by_family[family] = (score, strategy)
    return {family: strategy for family, (_, strategy) in best_by_family.items()}
