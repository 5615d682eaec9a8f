"""A stored cell fitted again from its record, to see whether the same comes out. Nothing is written into the run.

It happens in a process of its own, `python -m harness.execution.replay`, with the threads that a worker has: what is asked comes
as JSON on standard input, what came of it goes to standard output.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from harness.data.user_data import UserData
from harness.errors import EvenhandError
from harness.execution.cell import Cell, CellData, CellTrainer
from harness.execution.plan import LoadedTask, Request, cell_of, host, versions
from harness.execution.replay_entry import EntryReplay, refit_entry
from harness.execution.worker import WorkerContext
from harness.processes import ProgressCallback, serve_subprocess
from harness.registry.family import Family
from harness.registry.protocol import EvaluationProtocol
from harness.registry.registry import closest
from harness.store.record import EntryResult, Record, StoredPredictions
from harness.store.store import Store

#: Mean difference of probabilities, and difference of a score, up to which another machine or version confirms a record.
OTHER_MACHINE, OTHER_VERSIONS, OTHER_NETWORK = 0.001, 0.01, 0.05
#: Packages that decide over what is searched, and not over what a given configuration gives.
ONLY_SEARCH = ("optuna",)
#: Of packages that only some families need: with none of these in its `needs` a family does not depend on them.
OF_SOME = ("xgboost", "lightgbm", "catboost", "tensorflow", "keras")


class ReplaySource(Protocol):
    """What it takes here to do again what a run did: where its data are now, and what declares the rest."""

    @property
    def data_dir(self) -> str | None: ...  # noqa: D102
    @property
    def plugins(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def file(self) -> str | None: ...  # noqa: D102


@dataclass(frozen=True)
class ReplayRequest:
    """Which entries of which cell are to be fitted again, and what it takes; everything in it survives a trip through JSON.

    `file` is where a user's own data lie now, None where they lie where they did.
    """

    run: str
    cell: str
    stages: tuple[str, ...]
    data_dir: str | None = None
    plugins: tuple[str, ...] = ()
    file: str | None = None


@dataclass(frozen=True)
class CellReplay:
    """What came of a replay; `against` says why nothing could be fitted again, `differs` what is not as it was."""

    cell: str
    name: str
    differs: tuple[str, ...]
    tolerance: float
    why: str  #: the tolerance in words
    entries: tuple[EntryReplay, ...] = ()
    against: str = ""

    @property
    def confirmed(self) -> bool:
        """Whether every entry that was asked for came again, to the last digit or within the tolerance."""
        return bool(self.entries) and all(one.verdict != "different" for one in self.entries)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> CellReplay:
        """What `dataclasses.asdict` gave, after a trip through JSON."""
        entries = tuple(EntryReplay(**one) for one in values["entries"])
        return cls(**(dict(values) | {"entries": entries, "differs": tuple(values["differs"])}))


def replay(asked: ReplayRequest) -> CellReplay:
    """Fit entries of a stored cell again and hold what comes against what is stored.

    Raises `EvenhandError` where there is no such cell or entry, or where its data or packages are not here.
    """
    store = Store(Path(asked.run))
    run = store.read_run()
    record = _record(store, run, asked.cell)
    stored, outcomes = store.predictions(record), _outcomes(record, asked.stages)
    desk = WorkerContext(request_of(run, record, asked))
    one, family = desk.loaded(record.task), desk.registry.family(record.family)
    differs, tolerance, why = _tolerance(run, family)
    whole = CellReplay(record.id, cell_of_record(record).name, tuple(differs), tolerance, why)
    if against := other_rows(run, record, stored, one):
        return replace(whole, against=against)
    material = desk.material(cell_of_record(record), one.fingerprint)
    changed = changed_since(run, record, desk, one, material)
    if changed:
        why = "only equality to the last digit could show that what has changed makes no difference here"
        whole = replace(whole, differs=(*differs, changed), tolerance=0.0, why=why)
    learner = CellTrainer(cell_of_record(record), material, lambda _name, _arrays: None)
    entries: list[EntryReplay] = []
    for outcome in outcomes:
        twin = next((again for again in entries if again.trial == outcome.trial), None)
        entries.append(
            replace(twin, stage=outcome.stage)
            if twin
            else refit_entry(learner, material, outcome, stored, whole.tolerance)
        )
    return replace(whole, entries=tuple(entries))


def find_cell(run: Mapping[str, Any], named: str) -> dict[str, Any]:
    """The planned cell of this id, of an id that begins so, or of this name; raises `EvenhandError` where there is not one."""
    cells = {f"{c['task']}/{c['family']}/{c['strategy']}/r{c['repeat']}f{c['fold']}": dict(c) for c in run["cells"]}
    if named in cells:
        return cells[named]
    found = {name: cell for name, cell in cells.items() if named and cell["id"].startswith(named)}
    found = found or {name: cell for name, cell in cells.items() if name.startswith(named.rstrip("/") + "/")}
    if len(found) == 1:
        return next(iter(found.values()))
    if found:
        some = ", ".join(list(found)[:3]) + (" …" if len(found) > 3 else "")
        raise EvenhandError(f"{named!r} stands for {len(found)} cells ({some}): name one of them")
    raise EvenhandError(f"no such cell {named!r} in this run: {closest(named, cells)} (an id will do as well)")


def _record(store: Store, run: Mapping[str, Any], named: str) -> Record:
    planned = find_cell(run, named)
    record = store.record(planned["id"])
    if record is None:
        raise EvenhandError(f"cell {named!r} has not been run yet: the command of the run does it")
    if record.key != planned["key"]:  # of other data or declarations, and not part of the run
        raise EvenhandError(f"what is stored of cell {named!r} was made before the run was planned anew: run it again")
    if not record.outcomes:
        raise EvenhandError(f"cell {named!r} ended as {record.status} ({record.reason}): nothing to confirm")
    return record


def _outcomes(record: Record, stages: Sequence[str]) -> list[EntryResult]:
    found = [outcome for outcome in record.outcomes if outcome.stage in stages]
    if lost := set(stages) - {outcome.stage for outcome in found}:
        why = f" ({record.reason})" if record.reason else ""
        raise EvenhandError(f"{cell_of_record(record).name} has no entry {' or '.join(sorted(lost))}{why}")
    return found


def cell_of_record(record: Record) -> Cell:
    """The cell that a record is of."""
    return Cell(**{name: getattr(record, name) for name in Cell.__dataclass_fields__})


def request_of(run: Mapping[str, Any], record: Record, asked: ReplaySource) -> Request:
    """What the run was asked for, as far as one cell is concerned."""
    own = run["tasks"][record.task].get("own")
    if own is not None:
        moved = {"path": asked.file} if asked.file else {}
        own = UserData(**(own | moved | {"drop": tuple(own["drop"]), "name": record.task}))
        if not Path(own.path).exists():
            raise EvenhandError(f"the data of {record.task!r} are no longer at {own.path}: say --file PATH")
    return Request(
        (record.task,),
        (record.family,),
        tuple(run["strategies"]),
        EvaluationProtocol(**run["protocol"]),
        data_dir=asked.data_dir,
        plugins=asked.plugins,
        own=own,
    )


def _tolerance(run: Mapping[str, Any], family: Family) -> tuple[list[str], float, str]:
    """What is not as it was, up to what difference a record is confirmed for that, and that in words."""
    then, now = run.get("versions", {}), versions()
    names = [name for name in dict.fromkeys((*then, *now)) if matters(name, family)]
    packages = [
        f"{name} {then.get(name, '–')} → {now.get(name, '–')}" for name in names if then.get(name) != now.get(name)
    ]
    here, there = host(), run.get("host", {})  # cores decide over no number, but tell machines apart
    machine = [f"{name} {there.get(name)} → {here[name]}" for name in here if there.get(name) != here[name]]
    if not packages and not machine:
        return [], 0.0, "the same versions on a machine of the same kind: everything must be equal to the last digit"
    if family.network:
        return (
            [*packages, *machine],
            OTHER_NETWORK,
            "training a network magnifies the rounding of other versions or machines",
        )
    if packages:
        return [*packages, *machine], OTHER_VERSIONS, "other versions may compute otherwise"
    return machine, OTHER_MACHINE, "another machine may round otherwise"


def matters(package: str, family: Family) -> bool:
    """Whether what a family gives can depend on a package."""
    if package in ONLY_SEARCH:
        return False
    of = next((name for name in OF_SOME if package.startswith(name)), None)
    return of is None or family.network or of in family.needs


def other_rows(run: Mapping[str, Any], record: Record, stored: StoredPredictions, one: LoadedTask) -> str:
    """Why the rows of now are not those that the record was made from; empty where they are."""
    about = run["tasks"][record.task]
    if one.fingerprint != about["fingerprint"]:
        counts = f"{about['rows']:,} rows then, {len(one.table.y):,} now"
        prints = f"SHA-256 {about['fingerprint'][:12]}… then, {one.fingerprint[:12]}… now"
        return (
            f"the data of {record.task} have changed since ({prints}; {counts}): these predictions cannot be confirmed"
        )
    fold = next((fold for fold in one.folds if (fold.repeat, fold.fold) == (record.repeat, record.fold)), None)
    if fold is None or not (
        np.array_equal(fold.train, stored.train_rows) and np.array_equal(fold.test, stored.test_rows)
    ):
        return f"the same rows of {record.task} are split otherwise now: these predictions cannot be confirmed"
    return ""


def changed_since(
    run: Mapping[str, Any], record: Record, desk: WorkerContext, one: LoadedTask, material: CellData
) -> str:
    """Which declaration is not what it was, by elimination from what is stored of each; empty where the key is the same."""
    family = desk.registry.family(record.family)
    live = cell_of(desk.request, desk.registry, one, (family, record.strategy), material.fold)
    if live.key == record.key:
        return ""
    about, strategies = run["tasks"][record.task], run["strategies"]
    if _plain(one.task.costs) != about.get("costs"):
        return f"the cost matrix of {record.task} has changed since"
    if strategies.get(record.strategy, {}).get("digest") != desk.request.strategy_key(desk.registry, record.strategy):
        return f"the declaration of the strategy {record.strategy}, or of one that it may choose, has changed since"
    return f"the declaration of the family {record.family}, or what is searched of its encoding, has changed since"


def _plain(value: Any) -> Any:
    """A value as it comes back from JSON."""
    return json.loads(json.dumps(value))


def _answer(values: dict[str, Any], _tell: ProgressCallback) -> dict[str, Any]:
    return asdict(replay(ReplayRequest(**(values | {name: tuple(values[name]) for name in ("stages", "plugins")}))))


if __name__ == "__main__":
    serve_subprocess(_answer)
