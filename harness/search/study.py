"""The only module that drives Optuna: one study per cell, resumable to the trial.

A search runs in memory; every finished trial is appended to the cell's journal, so that an interruption leaves no incomplete
trial. The sampler is made anew for each trial from the cell's seed and the number of finished trials: a continued study
proposes exactly what an uninterrupted one would have.
"""

from __future__ import annotations

import time
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from harness.errors import EvenhandError, Inapplicable, StoreError, Unavailable, failure_reason
from harness.findings import TRIAL_FAILURE, TRIAL_REASON, Reason, trial_reason
from harness.registry.space import Choice, Float, Integer, Space, defaults, fill
from harness.seeding import seed_of

if TYPE_CHECKING:
    import optuna

Proba = npt.NDArray[np.float32]
Arrays = Mapping[str, npt.NDArray[Any]]

#: User attributes of a trial besides those of `findings.trial_reason`: remarks about its fits; its wall-clock and CPU seconds
#: (for curves of score against effort; nothing is decided by CPU seconds).
REMARKS, SECONDS, CPU_SECONDS = "remarks", "seconds", "cpu_seconds"
#: User attribute of a trial whose configuration is inapplicable: `THIS` one, or `EVERY` one.
INAPPLICABLE, THIS, EVERY = "inapplicable", "this configuration", "every configuration"
#: A search ends where the first trials all fail, so many of them: the others would fail as well.
MAX_INITIAL_FAILURES = 5
#: A trial is expected to take as long as this quantile of the earlier ones.
EXPECTED_QUANTILE = 0.75
#: The reason where no trial was finished.
NO_TRIAL = Reason("no_complete_trial", "no trial was settled")


class TrialResult(NamedTuple):
    """The mean score of a trial over the inner folds, its out-of-fold probabilities of all training rows, and remarks."""

    score: float
    proba: Proba
    remarks: tuple[Reason, ...] = ()


#: Fits and scores a configuration, given its parameters and the number of the trial.
Evaluate = Callable[[dict[str, Any], int], TrialResult]


@dataclass(frozen=True)
class Configuration:
    """A configuration with its score and its out-of-fold probabilities on the inner folds."""

    trial: int
    params: dict[str, Any]
    score: float
    proba: Proba


@dataclass(frozen=True)
class SearchResult:
    """The outcome of a search; `default` is None where the default configuration failed, `best` where every one did."""

    default: Configuration | None
    best: Configuration | None
    complete: int
    failures: dict[Reason, int]
    inapplicable: bool = False


@dataclass(frozen=True)
class StudyPlan:
    """The parameters of a cell's study: its name in the dashboard, its space, its effort, its seed, its journal."""

    name: str
    space: Space
    trials: int | None
    budget: float | None
    seed: int
    objective: str
    greater_is_better: bool
    journal: Path
    attributes: dict[str, Any] = field(default_factory=dict)
    one_strategy: bool = True  #: an inapplicability that holds for every configuration ends the cell
    #: When the cell was started, by `time.monotonic`: its budget counts what precedes the search, too.
    started: float = field(default_factory=time.monotonic)
    refit_share: float = 0.0  #: seconds of a refit per second of a trial, which the budget leaves for both refits


@dataclass(frozen=True)
class SearchCache:
    """Where the probabilities of the default and of the best trial are kept while a search is under way."""

    write: Callable[[dict[str, npt.NDArray[Any]]], None]
    read: Callable[[], dict[str, npt.NDArray[Any]]]


def run_study(plan: StudyPlan, evaluate: Evaluate, cache: SearchCache) -> SearchResult:
    """Run, or continue, the study of a cell until its trials are finished or its budget is spent.

    The budget counts everything from the start of the cell to its last refit: a trial that is expected to end too late for the
    refits is not begun. Trial 0 is always executed.

    Trial 0 is the default configuration. A trial that fails is finished too, with its reason as an attribute, so that the same
    configuration is not proposed again. Probabilities are kept before the trial is reported to the study, so that an
    interruption loses neither.

    Parameters
    ----------
    plan : StudyPlan
        What is searched, and where the journal is.
    evaluate : callable
        Fits and scores a configuration. Whatever it raises is a failed trial, except `StoreError` and `Unavailable`, which
        are raised again.
    cache : SearchCache
        Where the probabilities of the default and of the best trial are kept.

    Returns
    -------
    SearchResult
        The default and the best configuration with their probabilities, and why trials failed.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study_journal, study = _open_study(plan)
    arrays = cache.read()
    has_ended = False
    earlier_seconds = sum(_trial_seconds(study))
    while not has_ended and _has_next_trial(study, plan, arrays, earlier_seconds):
        trial_number = len(
            study.get_trials(deepcopy=False)
        )  # copies of all trials for every trial would cost more than TPE
        study.sampler = _make_sampler(plan, trial_number)
        trial = study.ask()
        params = suggest_params(trial, plan.space)
        start_seconds, cpu_started = time.monotonic(), time.process_time()
        error, trial_result = None, None
        try:
            trial_result = evaluate(params, trial_number)
            if not np.isfinite(trial_result.score):
                _refuse_undefined_score(trial_result.score)
        except (StoreError, Unavailable):
            raise  # a full disk or data that cannot be had say nothing about a configuration
        except Exception as failed:  # noqa: BLE001 -- whatever a configuration raises is that trial's result
            error = failed
            _store_failure_reason(trial, error)
        trial.set_user_attr(SECONDS, time.monotonic() - start_seconds)
        trial.set_user_attr(CPU_SECONDS, time.process_time() - cpu_started)
        if error is not None or trial_result is None:
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
            has_ended = isinstance(error, Inapplicable) and error.always and plan.one_strategy
        else:
            if trial_result.remarks:
                trial.set_user_attr(REMARKS, [training_remark.as_dict() for training_remark in trial_result.remarks])
            study.tell(trial, trial_result.score)
            arrays = _store_probabilities_if_best(arrays, cache, study, trial_number, trial_result.proba)
        # One operation: the trial is in the journal completely or not at all.
        study_journal.add_trial(study.get_trials(deepcopy=False)[trial_number])
    return _make_search_result(study, evaluate, arrays)


def suggest_params(trial: optuna.Trial, space: Space) -> dict[str, Any]:
    """Have a trial suggest every parameter that exists under the choices made so far."""

    def suggest_parameter(name: str, parameter: Float | Integer | Choice) -> Any:
        if isinstance(parameter, Choice):
            return trial.suggest_categorical(name, parameter.options)
        if isinstance(parameter, Integer):
            return trial.suggest_int(name, parameter.low, parameter.high, log=parameter.log)
        return trial.suggest_float(name, parameter.low, parameter.high, log=parameter.log)

    return fill(space, suggest_parameter)


def _open_study(plan: StudyPlan) -> tuple[optuna.Study, optuna.Study]:
    """The study in the cell's journal, and the one in memory that the search runs on, with the same trials."""
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend
    from optuna.study import StudyDirection

    study_direction = StudyDirection.MAXIMIZE if plan.greater_is_better else StudyDirection.MINIMIZE
    plan.journal.parent.mkdir(parents=True, exist_ok=True)
    journal_storage = JournalStorage(JournalFileBackend(str(plan.journal)))
    journal_study = optuna.create_study(
        storage=journal_storage, study_name=plan.name, direction=study_direction, load_if_exists=True
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", category=optuna.exceptions.ExperimentalWarning)
        if journal_study.metric_names is None:
            journal_study.set_metric_names([plan.objective])  # the dashboard writes it on its axes
    stored_attributes = journal_study.user_attrs
    for name, attribute_value in plan.attributes.items():
        if name not in stored_attributes:  # all of a new study, some where its beginning was interrupted
            journal_study.set_user_attr(name, attribute_value)
    study = optuna.create_study(direction=study_direction, study_name=plan.name)
    study.add_trials(journal_study.trials)
    return journal_study, study


def _has_next_trial(study: optuna.Study, plan: StudyPlan, arrays: Arrays, earlier_seconds: float) -> bool:
    """Whether another trial is due.

    Where the kept probabilities are of a trial that was not reported to the study, that trial is due in any case.
    """
    trials = study.get_trials(deepcopy=False)
    if _have_all_trials_failed(trials, plan) or (plan.trials is not None and len(trials) >= plan.trials):
        return False
    is_reported = int(arrays.get("best_trial", -1)) < len(trials)
    if plan.budget is None or not trials or not is_reported:
        return True
    seconds = _trial_seconds(study)
    expected = float(np.quantile(seconds, EXPECTED_QUANTILE))
    refits = plan.refit_share * (seconds[0] + max(seconds))  # the best configuration may be the slowest
    elapsed = earlier_seconds + time.monotonic() - plan.started
    return elapsed + expected + refits <= plan.budget


def _trial_seconds(study: optuna.Study) -> list[float]:
    """Wall-clock seconds of the trials of a study."""
    return [float(trial.user_attrs.get(SECONDS, 0.0)) for trial in study.get_trials(deepcopy=False)]


def _have_all_trials_failed(trials: Sequence[optuna.trial.FrozenTrial], plan: StudyPlan) -> bool:
    """Whether all trials have failed, and in a way or a number that leaves no hope for others."""
    if not trials or any(trial.value is not None for trial in trials):
        return False
    inapplicable_always = plan.one_strategy and all(trial.user_attrs.get(INAPPLICABLE) == EVERY for trial in trials)
    return inapplicable_always or len(trials) >= MAX_INITIAL_FAILURES


def _make_sampler(plan: StudyPlan, finished_trials: int) -> optuna.samplers.BaseSampler:
    """A new sampler for one trial, seeded by the number of finished trials; trial 0 is the default configuration."""
    import optuna

    seed = seed_of(plan.seed, "trial", finished_trials)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", category=optuna.exceptions.ExperimentalWarning)
        if finished_trials == 0:
            return optuna.samplers.PartialFixedSampler(defaults(plan.space), optuna.samplers.RandomSampler(seed=seed))
        return optuna.samplers.TPESampler(seed=seed)


def _refuse_undefined_score(score: float) -> None:
    raise EvenhandError(
        f"the objective is {score} on these inner folds: it is not defined there", code="undefined_objective"
    )


def _store_failure_reason(trial: optuna.Trial, error: Exception) -> None:
    """Store why a trial failed."""
    reason = failure_reason(error)
    trial.set_user_attr(TRIAL_REASON, reason.message)
    trial.set_user_attr(TRIAL_FAILURE, reason.as_dict())
    if isinstance(error, Inapplicable):
        trial.set_user_attr(INAPPLICABLE, EVERY if error.always else THIS)


def _store_probabilities_if_best(
    arrays: Arrays, probability_cache: SearchCache, study: optuna.Study, trial_number: int, proba: Proba
) -> dict[str, npt.NDArray[Any]]:
    """Write the probabilities of this trial if it is the default or the best so far."""
    changed_arrays: dict[str, npt.NDArray[Any]] = {}
    if trial_number == 0:
        changed_arrays["default"] = proba
    if study.best_trial.number == trial_number:
        changed_arrays |= {"best": proba, "best_trial": np.array(trial_number)}
    updated_arrays = dict(arrays) | changed_arrays
    if changed_arrays:
        probability_cache.write(updated_arrays)
    return updated_arrays


def _make_search_result(study: optuna.Study, evaluate_trial: Evaluate, arrays: Arrays) -> SearchResult:
    """The default and the best configuration; probabilities that were lost are computed again."""
    trials = study.get_trials(deepcopy=False)
    failed_trials = []
    for trial in trials:
        if trial.value is None:
            failed_trials.append(trial)
    failures_by_reason = dict(Counter(trial_reason(trial.user_attrs) for trial in failed_trials))
    if len(failed_trials) == len(trials):
        is_inapplicable = all(INAPPLICABLE in trial.user_attrs for trial in trials)
        return SearchResult(None, None, 0, failures_by_reason, is_inapplicable)
    default, best_trial = None, study.best_trial
    if trials[0].value is not None:
        default = _make_configuration(trials[0], evaluate_trial, arrays.get("default"))
    best_is_kept = int(arrays.get("best_trial", -1)) == best_trial.number
    best_configuration = _make_configuration(best_trial, evaluate_trial, arrays["best"] if best_is_kept else None)
    return SearchResult(default, best_configuration, len(trials) - len(failed_trials), failures_by_reason)


def _make_configuration(
    trial: optuna.trial.FrozenTrial, evaluate_trial: Evaluate, proba: Proba | None
) -> Configuration:
    params = dict(trial.params)
    if proba is None or not proba.size:
        proba = evaluate_trial(params, trial.number).proba
    return Configuration(trial.number, params, float(trial.value or 0.0), proba)
