"""What a run says of one of its entries: which one is first, its nested figures, what it said of sealed test rows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.deploy.card_inputs import CardMetric, Standing
from harness.errors import EvenhandError
from harness.evaluation.evaluate import RECALIBRATED
from harness.evaluation.find_entry import find_entry
from harness.evaluation.metric_cache import DEFAULT_THRESHOLD
from harness.evaluation.ranking import BASELINE, Ranking, can_test, rank
from harness.evaluation.scores import ANY, MADE_OF_SEVERAL, Entry, ScoreRows, Scores, collect
from harness.evaluation.significance import estimate
from harness.metrics.calibration import FITTED, NONE, PRIOR, Calibrator, calibrator_of, prior_is_known
from harness.metrics.metric import Metric
from harness.registry.registry import closest
from harness.store.record import EntryResult, Record
from harness.store.store import Store


@dataclass(frozen=True)
class RunEntry:
    """An entry of a run, with all that the run's own report knows of it."""

    store: Store
    scores: Scores
    ranking: Ranking
    entry: Entry

    @property
    def task(self) -> str:
        """The entry's task."""
        return self.ranking.task

    @property
    def about(self) -> Mapping[str, Any]:
        """What `run.json` says of the task."""
        found: Mapping[str, Any] = self.scores.run["tasks"][self.task]
        return found

    @property
    def rows(self) -> ScoreRows:
        """Its figures split by split, at the tuned threshold where there is one."""
        return self.scores.rows_of(self.task, self.entry, self.scores.kinds(self.task)[-1])

    @property
    def records(self) -> list[tuple[Record, EntryResult]]:
        """Its stored cells with the outcome of its stage, by split."""
        found = [
            (cell.record, outcome)
            for cell in self.scores.cells
            if cell.record and (cell.task, cell.family, cell.strategy) == (self.task, *self.entry[:2])
            for outcome in cell.record.outcomes
            if outcome.stage == self.entry.stage
        ]
        return sorted(found, key=lambda pair: (pair[0].repeat, pair[0].fold))


@dataclass(frozen=True)
class HeldOutPredictions:
    """What an entry said of the rows of its task (n,) when they were sealed test rows: means over repeats.

    `proba` (n, k) is NaN, and `decided` (n,) −1, where a row never was one. Of two classes `decided` is by the threshold of
    each split, which was chosen without that row.
    """

    proba: npt.NDArray[np.float32]
    decided: npt.NDArray[np.int64]


def read_nested(
    store: Store, metrics: Mapping[str, Metric], task: str | None, entry: str | None, calibration: str | None
) -> RunEntry:
    """The entry of a run that is meant, with its figures; see `find_task` and `choose`."""
    scores = collect(store, metrics)
    ranking = rank(scores, find_task(scores, task))
    return RunEntry(store, scores, ranking, choose(scores, ranking, entry, calibration))


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
        # The ranked ones in their order, then those that lack splits and so have no rank.
        single = [p.entry for p in ranking.entries if p.entry.stage not in MADE_OF_SEVERAL and len(p.rows)]
        entry = next((one for one in single if one.family != BASELINE), next(iter(single), None))
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
    names = [p.entry.name for p in ranking.entries if p.rank is not None and p.entry.family != BASELINE]
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more if names else "nothing of this task"


def _check_calibration(scores: Scores, task: str, entry: Entry) -> None:
    if entry.calibration not in (*FITTED, PRIOR):
        raise EvenhandError(
            f"no such calibration {entry.calibration!r}: {closest(entry.calibration, (NONE, *FITTED, PRIOR))}"
        )
    if entry.stage not in RECALIBRATED or entry.family == BASELINE:
        raise EvenhandError(f"{entry.family}/{entry.strategy}/{entry.stage} has no recalibrated figures: tuned ones do")
    about = scores.run["strategies"].get(entry.strategy, {})
    if entry.calibration == PRIOR and not prior_is_known(about, entry.strategy):
        raise EvenhandError(
            f"--calibration prior is for weights and random over- or undersampling, not for the strategy {entry.strategy}"
        )
    if not len(scores.rows_of(task, entry, DEFAULT_THRESHOLD)):
        raise EvenhandError(f"{entry.name} has no figures: a class had too few inner rows to fit a calibration")


def figures(nested: RunEntry) -> tuple[CardMetric, ...]:
    """Every metric of an entry with its interval, as the report has it; those of decisions once per threshold.

    The objective stands first.
    """
    scores, task, found = nested.scores, nested.task, []
    for kind in scores.kinds(task):
        rows = scores.rows_of(task, nested.entry, kind)
        for metric in scores.metrics.values():
            if metric.metric_type != "decision" and kind != scores.kinds(task)[-1]:
                continue
            grain = scores.grain(task, metric, rows)
            one = estimate(rows[metric.name], rows.mean("ratio"), claims=can_test(scores, task), grain=grain)
            if not math.isnan(one.mean):
                at = "" if metric.metric_type != "decision" or len(scores.kinds(task)) == 1 else kind
                found.append(
                    CardMetric(metric.name, metric.label or metric.name, metric.metric_type, at, one.mean, one.half)
                )
    objective = scores.objective(task).name
    return tuple(sorted(found, key=lambda figure: figure.name != objective))


def sealed(nested: RunEntry) -> HeldOutPredictions:
    """What the entry said of sealed test rows, recalibrated in every split as its nested figures are."""
    n, k = int(nested.about["rows"]), len(nested.about["classes"])
    thresholds = dict(zip(nested.rows.splits, nested.rows["threshold"], strict=True))
    total, above, times = np.zeros((n, k)), np.zeros(n), np.zeros(n)
    for record, outcome in nested.records:
        if (record.repeat, record.fold) in thresholds:
            at, proba = _said(nested, record, outcome)
            total[at] += proba
            above[at] += proba[:, -1].astype(float) - thresholds[record.repeat, record.fold]
            times[at] += 1
    ever = times > 0
    mean = np.full((n, k), np.nan, dtype=np.float32)
    mean[ever] = (total[ever] / times[ever, None]).astype(np.float32)
    decided = np.where(ever, above >= 0 if k == 2 else total.argmax(axis=1), -1)
    return HeldOutPredictions(mean, decided.astype(np.int64))


def _said(
    nested: RunEntry, record: Record, outcome: EntryResult
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """The sealed rows of one split, and the probabilities that the entry gave them."""
    stored = nested.store.predictions(record)
    calibrate, proba = calibrator_in(nested, record, outcome), stored.test[outcome.stage]
    return stored.test_rows, proba if calibrate is None else calibrate(proba).astype(np.float32)


def calibrator_in(nested: RunEntry, record: Record, outcome: EntryResult) -> Calibrator | None:
    """What recalibrates the entry in one split, fitted on that split's inner rows; None where nothing does."""
    stored, counts = nested.store.predictions(record), (outcome.counts_before, outcome.counts_after)
    return calibrator_of(nested.entry.calibration, stored.inner[outcome.stage], stored.train_y, *counts)


def standing(nested: RunEntry, *, by_hand: bool) -> Standing:
    """How the entry stands in its run; `by_hand` says that it was named."""
    ranking, plain = nested.ranking, nested.entry._replace(calibration="none")
    place, chosen = ranking.place_of(plain), ranking.place(ANY, ANY, "chosen")
    ranked = [one for one in ranking.entries if one.rank is not None]
    return Standing(
        rank=place.rank if place else None,
        entries=len(ranked),
        tied=None if ranking.no_test_reason else sum(bool(one.tied) for one in ranked),
        tie=place.tied if place else None,
        by_hand=by_hand,
        splits=len(nested.rows),
        planned=ranking.splits,
        no_test_reason=ranking.no_test_reason,
        chosen=(chosen.score.mean, chosen.score.half) if chosen and chosen.complete else None,
        baseline=ranking.baseline.score.mean if ranking.baseline and ranking.baseline.score.n else None,
    )
