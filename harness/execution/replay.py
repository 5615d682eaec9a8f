"""A stored cell fitted again from its record, to see whether the same predictions result. Nothing is written into the run.

It happens in a process of its own, with the threads that a worker has: see `harness.processes.answer_parent_question`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from harness.data.user_data import UserData
from harness.errors import EvenhandError
from harness.execution.cell import Cell, CellData
from harness.execution.environment import describe_host, package_versions
from harness.execution.plan import LoadedTask, RunRequest, make_cell
from harness.execution.replay_entry import EntryReplay, refit_entry
from harness.execution.trainer import CellTrainer
from harness.execution.worker import WorkerContext
from harness.processes import ProgressCallback, answer_parent_question
from harness.registry.family import Family
from harness.registry.protocol import EvaluationProtocol
from harness.registry.registry import suggest_similar_name
from harness.store.record import EntryResult, Record, StoredPredictions
from harness.store.store import FRAME_FOLDER, Store

#: Mean difference of probabilities, and difference of a score, up to which another machine or version confirms a record.
MACHINE_TOLERANCE, VERSION_TOLERANCE, NETWORK_TOLERANCE = 0.001, 0.01, 0.05
#: Packages that decide which configurations are tried, but not what a given configuration predicts.
SEARCH_PACKAGES = ("optuna",)
#: Packages that only some families need: a family with none of these in its `needs` does not depend on them.
OPTIONAL_PACKAGES = ("xgboost", "lightgbm", "catboost", "interpret", "tensorflow", "keras")


@dataclass(frozen=True, kw_only=True)
class RunSources:
    """Where a stored run, its data and its declarations are on this machine.

    Attributes
    ----------
    run : str
        The folder of the run.
    data_dir : str or None
        The data directory.
    plugins : tuple of str
        Modules and files that declare what is not built in.
    file : str or None
        Where a user's data file is, if it was moved.
    pickled_declarations : str
        Declarations of the calling program (see `harness.registry.user_declarations`).
    """

    run: str = field(kw_only=False)
    data_dir: str | None = None
    plugins: tuple[str, ...] = ()
    file: str | None = None
    pickled_declarations: str = ""


@dataclass(frozen=True)
class ReplayRequest(RunSources):
    """Which entries of which cell are to be fitted again, and what it takes; all of it can be converted to JSON and back."""

    cell: str
    stages: tuple[str, ...]


@dataclass(frozen=True)
class CellReplay:
    """The outcome of a replay; `obstacle` says why nothing could be fitted again, `differences` what has changed since."""

    cell: str
    name: str
    differences: tuple[str, ...]
    tolerance: float
    reason: str  #: for the tolerance
    entries: tuple[EntryReplay, ...] = ()
    obstacle: str = ""

    @property
    def is_confirmed(self) -> bool:
        """Whether every requested entry was reproduced, to the last digit or within the tolerance."""
        return bool(self.entries) and all(entry.verdict != "different" for entry in self.entries)

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> CellReplay:
        """A replay from what `dataclasses.asdict` returned, converted to JSON and back."""
        entries = tuple(EntryReplay(**entry) for entry in fields["entries"])
        return cls(**(dict(fields) | {"entries": entries, "differences": tuple(fields["differences"])}))


def replay_stored_cell(request: ReplayRequest) -> CellReplay:
    """Fit entries of a stored cell again and compare the predictions and scores with what is stored.

    Parameters
    ----------
    request : ReplayRequest
        The cell and the stages.

    Returns
    -------
    CellReplay
        What differs, and the comparison of each entry.

    Raises
    ------
    EvenhandError
        If there is no such cell or entry, or its data or packages are not available.
    """
    store = Store(Path(request.run))
    run = store.read_run()
    record = _stored_record(store, run, request.cell)
    cell = make_cell_of_record(record)
    stored_predictions, entries = store.read_predictions(record), _stored_entries(record, request.stages)
    context = WorkerContext(request_of_stored_cell(run, record, request))
    loaded_task, family = context.loaded_task(record.task), context.registry.family(record.family)
    differences, allowed_difference, reason = _replay_tolerance(run, family)
    cell_replay = CellReplay(record.id, cell.name, tuple(differences), allowed_difference, reason)
    if data_change := describe_data_change(run, record, stored_predictions, loaded_task):
        return replace(cell_replay, obstacle=data_change)
    cell_data = context.cell_data(cell, loaded_task.fingerprint)
    if declaration_change := describe_declaration_change(run, record, context, loaded_task, cell_data):
        reason = "only equality to the last digit could show that what has changed makes no difference here"
        cell_replay = replace(cell_replay, differences=(*differences, declaration_change), tolerance=0.0, reason=reason)
    trainer, sealed_rows = CellTrainer(cell, cell_data.separate_training_data()), cell_data.sealed_test()
    replay_by_trial: dict[int, EntryReplay] = {}
    entry_replays = []
    for entry in entries:
        if entry.trial not in replay_by_trial:
            replay_by_trial[entry.trial] = refit_entry(
                trainer, sealed_rows, entry, stored_predictions, cell_replay.tolerance
            )
        entry_replays.append(replace(replay_by_trial[entry.trial], stage=entry.stage))
    return replace(cell_replay, entries=tuple(entry_replays))


def find_cell(run: Mapping[str, Any], query: str) -> dict[str, Any]:
    """Find a planned cell by its name, its id, or the beginning of either.

    Parameters
    ----------
    run : mapping
        The description of the run.
    query : str
        ``task/family/strategy/r0f0``, a leading part of it, or a leading part of an id.

    Returns
    -------
    dict
        The cell as the description of the run holds it.

    Raises
    ------
    EvenhandError
        If there is no such cell, or several.
    """
    cells = {}
    for cell in run["cells"]:
        cells[f"{cell['task']}/{cell['family']}/{cell['strategy']}/r{cell['repeat']}f{cell['fold']}"] = dict(cell)
    if query in cells:
        return cells[query]
    matching_names = [name for name, cell in cells.items() if query and cell["id"].startswith(query)]
    if not matching_names:
        matching_names = [name for name in cells if name.startswith(query.rstrip("/") + "/")]
    if not matching_names:
        raise EvenhandError(
            f"no such cell {query!r} in this run: {suggest_similar_name(query, cells)} (an id will do as well)"
        )
    if len(matching_names) > 1:
        names = ", ".join(matching_names[:3]) + (" …" if len(matching_names) > 3 else "")
        raise EvenhandError(f"{query!r} stands for {len(matching_names)} cells ({names}): name one of them")
    return cells[matching_names[0]]


def _stored_record(store: Store, run: Mapping[str, Any], cell_query: str) -> Record:
    """The record of a planned cell, if there is anything in it to confirm."""
    planned_cell = find_cell(run, cell_query)
    record = store.read_record(planned_cell["id"])
    if record is None:
        raise EvenhandError(f"cell {cell_query!r} has not been run yet: the command of the run does it")
    if record.key != planned_cell["key"]:  # of other data or declarations, and not part of the run
        raise EvenhandError(
            f"what is stored of cell {cell_query!r} was made before the run was planned anew: run it again"
        )
    if not record.outcomes:
        raise EvenhandError(f"cell {cell_query!r} ended as {record.status} ({record.reason}): nothing to confirm")
    return record


def _stored_entries(record: Record, entry_stages: Sequence[str]) -> list[EntryResult]:
    entries = [entry for entry in record.outcomes if entry.stage in entry_stages]
    if missing_stages := set(entry_stages) - {entry.stage for entry in entries}:
        reason = f" ({record.reason})" if record.reason else ""
        raise EvenhandError(f"{record.name} has no entry {' or '.join(sorted(missing_stages))}{reason}")
    return entries


def make_cell_of_record(record: Record) -> Cell:
    """The cell that a record is of."""
    return Cell(**{name: getattr(record, name) for name in Cell.__dataclass_fields__})


def _user_data_path(stored_path: str, task: str, run_sources: RunSources) -> Path:
    """Find the user's own data: where the caller says, where they were, or in the folder of a run that was moved."""
    if run_sources.file:
        if not Path(run_sources.file).exists():
            raise EvenhandError(f"no such file or folder: {run_sources.file} (--file, in Python: file=)")
        return Path(run_sources.file)
    # Rows of a data frame are stored in the run, below a name that depends on their content.
    for path in (Path(stored_path), Path(run_sources.run) / FRAME_FOLDER / Path(stored_path).name):
        if path.exists():
            return path
    raise EvenhandError(
        f"the data of {task!r} are no longer at {stored_path}: say where they are now (--file PATH, in Python: file=PATH)"
    )


def _test_file_path(stored_path: str, path: Path) -> Path:
    """Find the test file: where it was, or beside the file of the training rows, wherever that is now."""
    for candidate_path in (Path(stored_path), path.with_name(Path(stored_path).name)):
        if candidate_path.exists():
            return candidate_path
    raise EvenhandError(f"the test file is no longer at {stored_path}, and not beside {path}: put it there")


def request_of_stored_cell(run: Mapping[str, Any], record: Record, sources: RunSources) -> RunRequest:
    """What the run was asked for, as far as one cell is concerned.

    Parameters
    ----------
    run : mapping
        The description of the run.
    record : Record
        The record of the cell.
    sources : RunSources
        Where data and declarations are on this machine.

    Raises
    ------
    EvenhandError
        If a user's own data are no longer where they were.
    """
    user_data_fields = run["tasks"][record.task].get("own")
    user_data: UserData | None = None
    if user_data_fields is not None:
        path = _user_data_path(user_data_fields["path"], record.task, sources)
        moved_fields = {"path": str(path), "name": record.task}
        if user_data_fields.get("test_path"):
            moved_fields["test_path"] = str(_test_file_path(user_data_fields["test_path"], path))
        user_data = UserData.from_dict({**user_data_fields, **moved_fields})
    elif sources.file:
        raise EvenhandError(
            f"the data of {record.task!r} belong to the task and are not read from {sources.file}: leave out --file (in Python: "
            "file=)"
        )
    return RunRequest(
        (record.task,),
        (record.family,),
        tuple(run["strategies"]),
        EvaluationProtocol(**run["protocol"]),
        data_dir=sources.data_dir,
        plugins=sources.plugins,
        own=user_data,
        pickled_declarations=sources.pickled_declarations,
    )


def _replay_tolerance(run: Mapping[str, Any], family: Family) -> tuple[list[str], float, str]:
    """The differences of versions and machine, up to what difference a record is confirmed for that, and why."""
    package_changes = describe_package_changes(run, family)
    stored_host, machine_differences = (
        run.get("host", {}),
        [],
    )  # cores decide over no number, but they distinguish machines
    for name, current_value in describe_host().items():
        if stored_host.get(name) != current_value:
            machine_differences.append(f"{name} {stored_host.get(name)} → {current_value}")
    differences = [*package_changes, *machine_differences]
    if not differences:
        return [], 0.0, "the same versions on a machine of the same kind: everything must be equal to the last digit"
    if family.network:
        reason = "training a network magnifies the rounding of other versions or machines"
        return differences, NETWORK_TOLERANCE, reason
    if package_changes:
        return differences, VERSION_TOLERANCE, "other versions may compute otherwise"
    return differences, MACHINE_TOLERANCE, "another machine may round otherwise"


def describe_package_changes(run: Mapping[str, Any], family: Family, others: Sequence[str] = ()) -> list[str]:
    """Describe the changes since the run of packages that affect predictions of a family, and of some others."""
    stored_versions, current_versions = run.get("versions", {}), package_versions()
    package_changes = []
    for name in dict.fromkeys((*stored_versions, *current_versions)):
        is_relevant = name in others or affects_predictions(name, family)
        if is_relevant and stored_versions.get(name) != current_versions.get(name):
            package_changes.append(f"{name} {stored_versions.get(name, '–')} → {current_versions.get(name, '–')}")
    return package_changes


def affects_predictions(package: str, family: Family) -> bool:
    """Whether the predictions of a family can depend on a package."""
    if package in SEARCH_PACKAGES:
        return False
    optional_package = next((name for name in OPTIONAL_PACKAGES if package.startswith(name)), None)
    return optional_package is None or family.network or optional_package in family.needs


def describe_data_change(run: Mapping[str, Any], record: Record, stored: StoredPredictions, loaded: LoadedTask) -> str:
    """Why the current rows are not those that a record was made from; empty where they are."""
    description = run["tasks"][record.task]
    if loaded.fingerprint != description["fingerprint"]:
        counts = f"{description['rows']:,} rows then, {len(loaded.table.y):,} now"
        digests_text = f"SHA-256 {description['fingerprint'][:12]}… then, {loaded.fingerprint[:12]}… now"
        return f"the data of {record.task} have changed since ({digests_text}; {counts}): these predictions cannot be confirmed"
    for fold in loaded.folds:
        same_split = (fold.repeat, fold.fold) == (record.repeat, record.fold)
        if same_split and np.array_equal(fold.train, stored.train_rows) and np.array_equal(fold.test, stored.test_rows):
            return ""
    return f"the same rows of {record.task} are split otherwise now: these predictions cannot be confirmed"


def describe_declaration_change(
    run: Mapping[str, Any], record: Record, context: WorkerContext, loaded: LoadedTask, cell_data: CellData
) -> str:
    """Which declaration has changed since a record was made; empty where the key of the cell is the same.

    It is found by elimination from what the description of the run holds of each.
    """
    request, registry, strategy = context.request, context.registry, record.strategy
    current_cell = make_cell(request, registry, loaded, (registry.family(record.family), strategy), cell_data.fold)
    if current_cell.key == record.key:
        return ""
    costs = json.loads(json.dumps(loaded.task.costs))
    if costs != run["tasks"][record.task].get("costs"):
        return f"the cost matrix of {record.task} has changed since"
    if run["strategies"].get(strategy, {}).get("digest") != request.strategy_key(registry, strategy):
        return f"the declaration of the strategy {strategy}, or of one that it may choose, has changed since"
    return f"the declaration of the family {record.family}, or what is searched of its encoding, has changed since"


def _answer_replay_request(replay_request: dict[str, Any], _on_progress: ProgressCallback) -> dict[str, Any]:
    tuple_fields = {name: tuple(replay_request[name]) for name in ("stages", "plugins")}
    return asdict(replay_stored_cell(ReplayRequest(**(replay_request | tuple_fields))))


if __name__ == "__main__":
    answer_parent_question(_answer_replay_request)
