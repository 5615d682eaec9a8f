"""The only module that drives Optuna: one study per cell, resumable to the trial.

A search runs in memory; every settled trial is appended to the cell's journal, so an interruption leaves no trial half told.
The sampler is made anew for each trial from the cell's seed and the number of settled trials: a continued study proposes
exactly what an uninterrupted one would have.
"""

from __future__ import annotations

import time
import warnings
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from harness.errors import EvenhandError, Inapplicable, StoreError, Unavailable, failure
from harness.registry.space import Choice, Float, Integer, Space, defaults, fill
from harness.seeding import seed_of

if TYPE_CHECKING:
    import optuna

Proba = npt.NDArray[np.float32]


class TrialResult(NamedTuple):
    """What one trial gave: the mean score over the inner folds, out-of-fold probabilities of all training rows, and what
    was odd about its fits without having ended them."""

    score: float
    proba: Proba
    remarks: tuple[str, ...] = ()


#: Parameters, and the number of the trial → what it gave.
Evaluate = Callable[[dict[str, Any], int], TrialResult]

REASON = "reason"
REMARKS = "remarks"
SECONDS = "seconds"
CPU_SECONDS = "cpu_seconds"  #: for curves of score against effort; nothing is decided by it
#: A cell whose first so many trials all fail is not searched on: the rest would fail as well.
HOPELESS_AFTER = 5


@dataclass(frozen=True)
class Configuration:
    """One configuration and how it did on the inner folds."""

    trial: int
    params: dict[str, Any]
    score: float
    proba: Proba


@dataclass(frozen=True)
class SearchResult:
    """What a study found; `default` is None where the default configuration failed, `best` where every one did."""

    default: Configuration | None
    best: Configuration | None
    complete: int
    failures: dict[str, int]
    inapplicable: bool = False


@dataclass(frozen=True)
class StudyPlan:
    """What a cell's study needs to know: its name in the dashboard, its space, its effort, its seed, its place."""

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


@dataclass(frozen=True)
class SearchCache:
    """Where the probabilities of the default and of the best trial so far are kept while a search is under way."""

    write: Callable[[dict[str, npt.NDArray[Any]]], None]
    read: Callable[[], dict[str, npt.NDArray[Any]]]


def search(plan: StudyPlan, evaluate: Evaluate, kept: SearchCache) -> SearchResult:
    """Run, or continue, the study of a cell until its trials are settled or its budget is spent.

    Trial 0 is the default configuration. A trial that fails is settled as well, with its reason as an attribute, so that the same
    point does not come back for ever. Probabilities are kept before their trial is told: a kill loses neither.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    journal, study = _open(plan)
    arrays = kept.read()
    ended = False
    while not ended and _goes_on(study, plan, arrays):
        number = len(study.get_trials(deepcopy=False))  # copies of all trials for every trial would cost more than TPE
        study.sampler = _sampler(plan, number)
        trial = study.ask()
        params = suggest(trial, plan.space)
        started, cpu = time.monotonic(), time.process_time()
        try:
            found = evaluate(params, number)
            if not np.isfinite(found.score):
                raise EvenhandError(f"the objective is {found.score} on these inner folds: it is not defined there")  # noqa: TRY301 -- a failed trial like any other
        except (StoreError, Unavailable):
            raise  # a full disk or data that cannot be had say nothing about a configuration
        except Exception as error:  # noqa: BLE001 -- whatever a configuration raises is that trial's result
            trial.set_user_attr(REASON, _reason(error))
            _took(trial, started, cpu)
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
            ended = isinstance(error, Inapplicable) and error.always and plan.one_strategy
        else:
            _took(trial, started, cpu)
            if found.remarks:
                trial.set_user_attr(REMARKS, list(found.remarks))
            study.tell(trial, found.score)
            arrays = _keep(arrays, kept, study, number, found.proba)
        # One operation: the trial is there whole or not at all.
        journal.add_trial(study.get_trials(deepcopy=False)[number])
    return _result(study, evaluate, arrays)


def suggest(trial: optuna.Trial, space: Space) -> dict[str, Any]:
    """Ask a trial for every parameter that exists under the choices made so far."""

    def ask(name: str, parameter: Float | Integer | Choice) -> Any:
        if isinstance(parameter, Choice):
            return trial.suggest_categorical(name, parameter.options)
        if isinstance(parameter, Integer):
            return trial.suggest_int(name, parameter.low, parameter.high, log=parameter.log)
        return trial.suggest_float(name, parameter.low, parameter.high, log=parameter.log)

    return fill(space, ask)


def _open(plan: StudyPlan) -> tuple[optuna.Study, optuna.Study]:
    """The study in the cell's journal, and the one in memory that the search runs on, with the same trials."""
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend
    from optuna.study import StudyDirection

    direction = StudyDirection.MAXIMIZE if plan.greater_is_better else StudyDirection.MINIMIZE
    plan.journal.parent.mkdir(parents=True, exist_ok=True)
    storage = JournalStorage(JournalFileBackend(str(plan.journal)))
    journal = optuna.create_study(storage=storage, study_name=plan.name, direction=direction, load_if_exists=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", category=optuna.exceptions.ExperimentalWarning)
        if journal.metric_names is None:
            journal.set_metric_names([plan.objective])  # what the dashboard writes on its axes
    stored_attributes = journal.user_attrs
    for name, value in plan.attributes.items():
        if name not in stored_attributes:  # all of a new study, some where its beginning was interrupted
            journal.set_user_attr(name, value)
    study = optuna.create_study(direction=direction, study_name=plan.name)
    study.add_trials(journal.trials)
    return journal, study


def _goes_on(study: optuna.Study, plan: StudyPlan, arrays: Mapping[str, npt.NDArray[Any]]) -> bool:
    """Whether another trial is due. Probabilities kept of a trial that was never told are owed that trial."""
    trials = study.get_trials(deepcopy=False)
    if plan.trials is not None and len(trials) >= plan.trials:
        return False
    if trials and all(_failed_always(t) for t in trials) and plan.one_strategy:
        return False
    if len(trials) >= HOPELESS_AFTER and all(t.value is None for t in trials):
        return False
    if plan.budget is None or not trials or int(arrays.get("best_trial", -1)) >= len(trials):
        return True
    spent: float = sum(t.user_attrs.get(SECONDS, 0.0) for t in trials)
    return spent < plan.budget


def _failed_always(trial: optuna.trial.FrozenTrial) -> bool:
    return str(trial.user_attrs.get(REASON, "")).startswith(_ALWAYS)


def _sampler(plan: StudyPlan, settled: int) -> optuna.samplers.BaseSampler:
    """A fresh sampler for one trial; the first trial is the default configuration."""
    import optuna

    seed = seed_of(plan.seed, "trial", settled)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", category=optuna.exceptions.ExperimentalWarning)
        if settled == 0:
            fixed = defaults(plan.space)
            return optuna.samplers.PartialFixedSampler(fixed, optuna.samplers.RandomSampler(seed=seed))
        return optuna.samplers.TPESampler(seed=seed)


def _took(trial: optuna.Trial, started: float, cpu: float) -> None:
    """Say how long a trial took, by the clock and of this process."""
    trial.set_user_attr(SECONDS, time.monotonic() - started)
    trial.set_user_attr(CPU_SECONDS, time.process_time() - cpu)


_INAPPLICABLE, _ALWAYS = "inapplicable: ", "inapplicable always: "


def _reason(error: Exception) -> str:
    text = failure(error)
    if isinstance(error, Inapplicable):
        return (_ALWAYS if error.always else _INAPPLICABLE) + text
    return text


def _keep(
    arrays: dict[str, npt.NDArray[Any]], kept: SearchCache, study: optuna.Study, number: int, proba: Proba
) -> dict[str, npt.NDArray[Any]]:
    """Write the probabilities of this trial if it is the default or the best so far."""
    news: dict[str, npt.NDArray[Any]] = {}
    if number == 0:
        news["default"] = proba
    if study.best_trial.number == number:
        news |= {"best": proba, "best_trial": np.array(number)}
    if news:
        kept.write(arrays | news)
    return arrays | news


def _result(study: optuna.Study, evaluate: Evaluate, arrays: Mapping[str, npt.NDArray[Any]]) -> SearchResult:
    trials = study.get_trials(deepcopy=False)
    complete = [t for t in trials if t.value is not None]
    reasons = Counter(str(t.user_attrs.get(REASON, "")) for t in trials if t.value is None)
    inapplicable = not complete and all(r.startswith((_ALWAYS, _INAPPLICABLE)) for r in reasons)
    failures = {r.removeprefix(_ALWAYS).removeprefix(_INAPPLICABLE): n for r, n in reasons.items()}
    default = best = None
    if complete:
        first, top = trials[0], study.best_trial
        if first.value is not None:
            default = Configuration(0, dict(first.params), first.value, arrays.get("default", _NOTHING))
        right = int(arrays.get("best_trial", -1)) == top.number
        best = Configuration(
            top.number, dict(top.params), float(top.value or 0.0), arrays["best"] if right else _NOTHING
        )
    return SearchResult(_whole(default, evaluate), _whole(best, evaluate), len(complete), failures, inapplicable)


_NOTHING: Proba = np.empty((0, 0), dtype=np.float32)


def _whole(found: Configuration | None, evaluate: Evaluate) -> Configuration | None:
    """The same with its probabilities, computed again where what was kept of them is lost."""
    if found is None or found.proba.size:
        return found
    return replace(found, proba=evaluate(found.params, found.trial).proba)
