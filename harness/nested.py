"""What a run says of one of its entries: which one is first, its nested figures, what it said of sealed test rows."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from harness.declare.calibration import FITTED, NONE, PRIOR, calibrator_of, prior_is_known
from harness.declare.registry import closest
from harness.deploy.facts import Figure
from harness.errors import EvenhandError
from harness.report.comparison.compare import find_entry
from harness.report.ranking import FLOOR, Ranking, claims
from harness.report.scoring.derived import HALF, TUNED
from harness.report.scoring.evaluate import RECALIBRATED
from harness.report.scoring.scores import MADE_OF_SEVERAL, Entry, Scores
from harness.report.statistics import estimate
from harness.store.record import Outcome, Record
from harness.store.store import Store


@dataclass(frozen=True)
class Sealed:
    """What an entry said of the rows of its task (n,) when they were sealed test rows: means over repeats.

    `proba` (n, k) is NaN, and `decided` (n,) −1, where a row never was one. Of two classes `decided` is by the threshold of
    each split, which was chosen without that row.
    """

    proba: npt.NDArray[np.float32]
    decided: npt.NDArray[np.int64]


def find_task(scores: Scores, named: str | None) -> str:
    """The task that is meant; raises `EvenhandError` where none is named among several, or one that is not there."""
    tasks = [str(task) for task in scores.run["tasks"]]
    if named is None and len(tasks) == 1:
        return tasks[0]
    if named is None:
        raise EvenhandError(f"the run has {len(tasks)} tasks: say --task, one of {', '.join(tasks)}")
    if named not in tasks:
        raise EvenhandError(f"no such task {named!r} in this run: {closest(named, tasks)}")
    return named


def choose(scores: Scores, ranking: Ranking, named: str | None, calibration: str | None) -> Entry:
    """The entry to be exported: the named one, else the first by the run's own ranking.

    Never the majority row while there is anything else. Raises `EvenhandError` for what is no single configuration, for
    what has no figures, and for a calibration whose figures the run does not have.
    """
    if named is None:
        single = [place.entry for place in ranking.places if place.rank is not None]
        entry = next((one for one in single if one.family != FLOOR), next(iter(single), None))
        if entry is None:
            raise EvenhandError(f"nothing of {ranking.task} has been evaluated: the command of the run does it")
    else:
        prefix = f"{ranking.task}/"
        _, entry = find_entry(scores, named if named.startswith(prefix) else prefix + named)
    if entry.stage in MADE_OF_SEVERAL:
        raise EvenhandError(
            f"{entry.name} is made of several entries and no procedure of its own: {_can_be(ranking)} can be exported"
        )
    wanted = entry._replace(calibration=calibration or entry.calibration)
    if wanted.calibration != NONE:
        _check_calibration(scores, ranking.task, wanted)
    return wanted


def _can_be(ranking: Ranking) -> str:
    names = [p.entry.name for p in ranking.places if p.rank is not None and p.entry.family != FLOOR]
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more if names else "nothing of this task"


def _check_calibration(scores: Scores, task: str, entry: Entry) -> None:
    if entry.calibration not in (*FITTED, PRIOR):
        raise EvenhandError(
            f"no such calibration {entry.calibration!r}: {closest(entry.calibration, (NONE, *FITTED, PRIOR))}"
        )
    if entry.stage not in RECALIBRATED or entry.family == FLOOR:
        raise EvenhandError(f"{entry.family}/{entry.strategy}/{entry.stage} has no recalibrated figures: tuned ones do")
    about = scores.run["strategies"].get(entry.strategy, {})
    if entry.calibration == PRIOR and not prior_is_known(about, entry.strategy):
        raise EvenhandError(
            f"--calibration prior is for weights and random over- or undersampling, not for the strategy {entry.strategy}"
        )
    if not len(scores.rows_of(task, entry, HALF)):
        raise EvenhandError(f"{entry.name} has no figures: a class had too few inner rows to fit a calibration")


def figures(scores: Scores, task: str, entry: Entry) -> tuple[Figure, ...]:
    """Every metric of an entry with its interval, as the report has it; those of decisions once per threshold.

    The objective stands first.
    """
    found = []
    for kind in scores.kinds(task):
        rows = scores.rows_of(task, entry, kind)
        for metric in scores.metrics.values():
            if metric.face != "decision" and kind != scores.kinds(task)[-1]:
                continue
            grain = scores.grain(task, metric, rows)
            one = estimate(rows[metric.name], rows.mean("ratio"), claims=claims(scores, task), grain=grain)
            if not math.isnan(one.mean):
                at = "" if metric.face != "decision" or len(scores.kinds(task)) == 1 else kind
                found.append(Figure(metric.name, metric.label or metric.name, metric.face, at, one.mean, one.half))
    objective = scores.objective(task).name
    return tuple(sorted(found, key=lambda figure: figure.name != objective))


def sealed(store: Store, scores: Scores, task: str, entry: Entry) -> Sealed:
    """What the entry said of sealed test rows, recalibrated in every split as its nested figures are."""
    n, k = int(scores.run["tasks"][task]["rows"]), len(scores.classes(task))
    rows = scores.rows_of(task, entry, scores.kinds(task)[-1])
    thresholds = dict(zip(rows.splits, rows["threshold"], strict=True))
    total, above, times = np.zeros((n, k)), np.zeros(n), np.zeros(n)
    for record, outcome in records_of(scores, task, entry):
        if (record.repeat, record.fold) in thresholds:
            at, proba = _said(store, record, outcome, entry)
            total[at] += proba
            above[at] += proba[:, -1].astype(float) - thresholds[record.repeat, record.fold]
            times[at] += 1
    ever = times > 0
    mean = np.full((n, k), np.nan, dtype=np.float32)
    mean[ever] = (total[ever] / times[ever, None]).astype(np.float32)
    binary = TUNED in scores.kinds(task)
    decided = np.where(ever, above >= 0 if binary else total.argmax(axis=1), -1)
    return Sealed(mean, decided.astype(np.int64))


def _said(
    store: Store, record: Record, outcome: Outcome, entry: Entry
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """The sealed rows of one split, and the probabilities that the entry gave them."""
    stored = store.predictions(record)
    inner, counts = stored.inner[entry.stage], (outcome.counts_before, outcome.counts_after)
    calibrate = calibrator_of(entry.calibration, inner, stored.train_y, *counts)
    proba = stored.test[entry.stage]
    return stored.test_rows, proba if calibrate is None else calibrate(proba).astype(np.float32)


def records_of(scores: Scores, task: str, entry: Entry) -> list[tuple[Record, Outcome]]:
    """The stored cells of an entry with the outcome of its stage, by split."""
    found = [
        (cell.record, outcome)
        for cell in scores.cells
        if cell.record and (cell.task, cell.family, cell.strategy) == (task, entry.family, entry.strategy)
        for outcome in cell.record.outcomes
        if outcome.stage == entry.stage
    ]
    return sorted(found, key=lambda pair: (pair[0].repeat, pair[0].fold))
