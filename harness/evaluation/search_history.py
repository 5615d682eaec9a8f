"""What the journals of a run's searches hold, as plain values: trials, spaces, importances of parameters.

Reading a journal and weighing its parameters is dear, so both are done once and kept under `<run>/derived/` by the SHA-256 of
the journal. Deleting that file, or breaking it, costs the time to do it again.
"""

from __future__ import annotations

import hashlib
import math
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.evaluation.metric_cache import MetricCache, read_kept, write_kept
from harness.evaluation.scores import CellStatus, Scores
from harness.seeding import seed_of
from harness.store.journal import read_journal
from harness.store.record import Record
from harness.store.store import Store

if TYPE_CHECKING:
    import optuna
if TYPE_CHECKING:
    import optuna


FEWEST = 10  #: complete trials; with fewer, importances are noise
BEST = 5  #: trials that PED-ANOVA wants among the best at least
TREES = (
    32  #: half of what Optuna takes: twice as fast, and the spread over splits is far larger than that between forests
)
MOST = 150  #: trials that fANOVA is shown; its time grows faster than their number (1,000: 8 s)
METHODS = {"searched": "fANOVA", "none": "PED-ANOVA"}  #: by strategy; searches of others are not weighed


def importances(study: optuna.Study, strategy: str) -> dict[str, float]:
    """The share of every parameter, which add up to 1; empty where trials are too few, alike, or there is no choice."""
    import optuna
    from optuna.importance import FanovaImportanceEvaluator, PedAnovaImportanceEvaluator, get_param_importances

    trials = [trial for trial in study.get_trials(deepcopy=False) if trial.value is not None]
    if strategy not in METHODS or len(trials) < FEWEST or len({trial.value for trial in trials}) == 1:
        return {}
    evaluator: optuna.importance.BaseImportanceEvaluator
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", category=optuna.exceptions.ExperimentalWarning)
        if METHODS[strategy] == "fANOVA":
            study = _thinned(study, trials)
            evaluator = FanovaImportanceEvaluator(n_trees=TREES, seed=seed_of("importance", study.study_name))
        else:
            evaluator = PedAnovaImportanceEvaluator(target_quantile=max(0.1, BEST / len(trials)))
        shares = get_param_importances(study, evaluator=evaluator)
    total = sum(shares.values())
    return (
        {name: float(share / total) for name, share in sorted(shares.items())} if total > 0 and len(shares) > 1 else {}
    )


def _thinned(study: optuna.Study, trials: list[optuna.trial.FrozenTrial]) -> optuna.Study:
    """The study with trials from all of its course, evenly spaced, where it has very many."""
    import optuna

    if len(trials) <= MOST:
        return study
    chosen = [trials[at * len(trials) // MOST] for at in range(MOST)]
    fewer = optuna.create_study(direction=study.direction, study_name=study.study_name)
    fewer.add_trials(chosen)
    return fewer


KEPT = "searches"  #: the name of the file
VERSION = 1  #: of what is kept of a journal
ALWAYS = ("inapplicable always: ", "inapplicable: ")  #: how reasons begin that are no crash


@dataclass(frozen=True)
class Trial:
    """One settled trial: what was tried, the inner score (NaN: it failed, and why), and what it took (NaN: not known)."""

    number: int
    value: float
    params: dict[str, Any]
    reason: str
    seconds: float
    cpu_seconds: float


@dataclass(frozen=True)
class Axis:
    """One parameter of a space: its range, or its options spelled out; `log` where it is searched by its logarithm."""

    name: str
    low: float = math.nan
    high: float = math.nan
    log: bool = False
    options: tuple[str, ...] = ()


@dataclass(frozen=True)
class Search:
    """The study of one cell. `importances` are shares by parameter; empty where too few trials say anything."""

    task: str
    family: str
    strategy: str
    split: tuple[int, int]
    trials: tuple[Trial, ...]
    axes: tuple[Axis, ...]
    importances: dict[str, float]

    @property
    def name(self) -> str:
        """What the study is called in Optuna's dashboard."""
        return f"{self.task}/{self.family}/{self.strategy}/r{self.split[0]}f{self.split[1]}"

    @property
    def complete(self) -> list[Trial]:
        """The trials that have a score."""
        return [trial for trial in self.trials if not math.isnan(trial.value)]


@dataclass(frozen=True)
class Searches:
    """The searches of a run in the order of its cells, and the journals that could not be read, each with the reason."""

    found: tuple[Search, ...]
    unreadable: tuple[str, ...] = ()

    def of(self, task: str) -> dict[tuple[str, str], list[Search]]:
        """The searches of a task that have something to search, by family and strategy."""
        grouped: dict[tuple[str, str], list[Search]] = {}
        for one in self.found:
            if one.task == task and one.axes:
                grouped.setdefault((one.family, one.strategy), []).append(one)
        return grouped


def read_searches(store: Store, scores: Scores) -> Searches:
    """The search of every cell that left a journal; what was read is kept under `derived/`."""
    kept, used = read_kept(store, KEPT), MetricCache()
    found, unreadable = [], []
    for record, path in _journals(store, scores.cells):
        key = f"{VERSION}/{hashlib.sha256(path.read_bytes()).hexdigest()}"
        plain = kept.get(key)
        if plain is None:
            try:
                plain = _read(path, record.strategy)
            except Exception as error:  # noqa: BLE001 -- what a broken journal makes Optuna raise is written nowhere
                unreadable.append(f"{record.id}: {type(error).__name__}: {error}")
                continue
        used[key] = plain
        found.append(_search(record, plain))
    if used != kept:
        write_kept(store, used, KEPT)
    return Searches(tuple(found), tuple(unreadable))


def _journals(store: Store, cells: Iterable[CellStatus]) -> Iterator[tuple[Record, Path]]:
    for record in (cell.record for cell in cells if cell.record):
        path = store.journal(record.id)
        if path.exists():
            yield record, path


def _read(path: Path, strategy: str) -> dict[str, Any]:
    """A journal as values that JSON can hold."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    storage = read_journal(path)
    names = optuna.get_all_study_names(storage)
    if not names:
        return {"trials": [], "axes": [], "importances": {}}
    study = optuna.load_study(study_name=names[0], storage=storage)
    trials = study.get_trials(deepcopy=False)
    spaces: dict[str, Any] = {}
    for trial in trials:
        spaces |= {name: one for name, one in trial.distributions.items() if name not in spaces}
    return {
        "trials": [_plain(trial) for trial in trials],
        "axes": [_axis(name, one) for name, one in spaces.items()],
        "importances": importances(study, strategy),
    }


def _plain(trial: optuna.trial.FrozenTrial) -> list[Any]:
    said, took = trial.user_attrs, trial.duration
    seconds = said.get("seconds", None if took is None else took.total_seconds())
    return [trial.number, trial.value, trial.params, said.get("reason", ""), seconds, said.get("cpu_seconds")]


def _axis(name: str, space: Any) -> list[Any]:
    options = getattr(space, "choices", None)
    if options is not None:
        return [name, None, None, False, [str(option) for option in options]]
    return [name, space.low, space.high, space.log, []]


def _search(record: Record, plain: dict[str, Any]) -> Search:
    trials = tuple(
        Trial(number, _number(value), params, _bare(reason), _number(seconds), _number(cpu))
        for number, value, params, reason, seconds, cpu in plain["trials"]
    )
    axes = tuple(
        Axis(name, _number(low), _number(high), log, tuple(options)) for name, low, high, log, options in plain["axes"]
    )
    place = (record.repeat, record.fold)
    return Search(record.task, record.family, record.strategy, place, trials, axes, plain["importances"])


def _bare(reason: str) -> str:
    for prefix in ALWAYS:
        reason = reason.removeprefix(prefix)
    return reason


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)
