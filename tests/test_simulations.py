"""A/A and A/B: runs on freshly generated data, of entries that are equal and of entries that are not.

Among equal entries any verdict is wrong; where one is truly better it must be found as often as `power` says.
"""

import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from harness.evaluation.ranking import BASELINE, rank_entries
from harness.evaluation.score_collection import collect_scores
from harness.evaluation.scores import Scores
from harness.evaluation.strategy_effects import EQUAL, NOT_SIGNIFICANT, strategy_readings
from harness.execution.cell import CellData, run_cell
from harness.execution.plan import RunRequest, describe_run, make_plan
from harness.metrics.classification import METRICS
from harness.registry.family import Family
from harness.registry.protocol import EvaluationProtocol
from harness.registry.registry import Registry, load_registry
from harness.registry.strategy import Strategy
from harness.registry.task import Task
from harness.report.render.cells import MISSING_DASH
from harness.report.sections.reliability import detectable_difference
from harness.search.pipeline import PipelineSpec
from harness.store.record import REQUIRED_OF, EntryResult, Record, StoredPredictions
from harness.store.store import Store

METRIC = {metric.name: metric for metric in METRICS if metric.name in ("average_precision", "f1", "brier", "roc_auc")}
LEVEL, POWER = 0.05, 0.8
#: So many runs without a single wrong verdict are the fewest that bound the rate of wrong ones by 5 %, exactly, at 95 %.
EQUAL_RUNS = 59
TRUE_RUNS = 60


def tree(seed: int) -> Any:
    """A tree of random splits: another seed is another tree, and none is better than another."""
    from sklearn.tree import ExtraTreeClassifier

    return ExtraTreeClassifier(random_state=seed, max_depth=4, max_features=1)


def twin(name: str) -> Family:
    """The same family under another name, and so with other seeds."""
    encodings = {"tabular": "one_hot_scaled"}
    return Family(name=name, build=tree, space={}, encodings=encodings, trials=1)


IDLE = Strategy(name="idle", kind="weight", build=lambda y, costs: np.ones(len(y)))


def table(seed: int, rows: int = 200) -> pd.DataFrame:
    """A weak signal in two of four columns, one row in four positive."""
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.arange(rows) < rows // 4)
    frame = pd.DataFrame(rng.normal(size=(rows, 4)), columns=list("abcd"))
    return frame.assign(a=frame.a + y, b=frame.b + 0.5 * y, target=np.where(y, "yes", "no"))


def whole_run(folder: Path, seed: int) -> Scores:
    """Two equal families, each doing nothing and under an idle strategy, on rows that nobody has seen.

    Planned, searched, refitted and stored as in any run, only without processes of their own for the cells.
    """
    known, families = load_registry(), (twin("twin_1"), twin("twin_2"))
    registry = Registry(
        {"fresh": Task(name="fresh", load=lambda _: table(seed), target="target", positive="yes")},
        {one.name: one for one in (*families, known.family(BASELINE))},
        {one.name: one for one in (known.strategy("none"), IDLE)},
        known.metrics,
    )
    protocol = EvaluationProtocol(folds=3, inner_folds=2, trials=1, seed=seed)
    request = RunRequest(("fresh",), ("twin_1", "twin_2"), ("none", "idle"), protocol)
    plan, store = make_plan(request, registry), Store(folder)
    store.write_run(describe_run(request, registry, plan, "simulated", "simulated"))
    one = plan.tasks[0]
    for cell in plan.cells:
        fold = next(fold for fold in one.folds if (fold.repeat, fold.fold) == (cell.repeat, cell.fold))
        recipe = PipelineSpec(registry.family(cell.family), (registry.strategy(cell.strategy),), "tabular", 2)
        material = CellData(one.table, one.splitter, fold, recipe, protocol, registry.metrics)
        assert run_cell(cell, material, store).status == "ok"
    return collect_scores(store, METRIC)


class Verdict(NamedTuple):
    """Whether a run of equal entries claims anything about entries, about strategies, or by single, uncorrected tests."""

    ranking: bool
    strategies: bool
    naive: bool


def verdict(scores: Scores) -> Verdict:
    """Entries said to be below the best one, or strategies said to do anything."""
    equals = [p for p in rank_entries(scores, "fresh").entries if p.rank and p.entry.family != BASELINE]
    read = strategy_readings(scores, "fresh")
    assert len(equals) == 4
    assert len(read) == 2
    figures = [place.rows["average_precision"] for place in equals]
    naive = min(stats.ttest_rel(figures[0], other).pvalue for other in figures[1:])
    told = any(place.tied is False for place in equals)
    strategies = any(one.reading not in (NOT_SIGNIFICANT, EQUAL, MISSING_DASH) for one in read)
    return Verdict(told, strategies, bool(naive < LEVEL))


def test_the_number_of_runs_is_the_least_that_can_show_five_per_cent():
    assert stats.beta.ppf(0.95, 1, EQUAL_RUNS) < LEVEL < stats.beta.ppf(0.95, 1, EQUAL_RUNS - 1)


def test_among_equal_entries_of_whole_runs_hardly_any_run_claims_anything(tmp_path):
    found = [verdict(whole_run(tmp_path / str(seed), seed)) for seed in range(EQUAL_RUNS)]
    wrong, wrong_strategies, naive = (sum(column) for column in zip(*found, strict=True))
    assert stats.binomtest(wrong, EQUAL_RUNS).proportion_ci(0.9, "exact").high <= LEVEL
    # Strategies are judged by four metrics, each a question with its own error rate.
    assert wrong_strategies <= stats.binom.ppf(0.95, EQUAL_RUNS, 4 * LEVEL)
    # Without correction and adjustment the same runs would claim differences: the simulation is able to see it.
    assert stats.binomtest(naive, EQUAL_RUNS).proportion_ci(0.9, "exact").low > LEVEL


FOLDS = 5
ROWS = 1200  #: with them the true difference is just about detectable
SEES = {"strong": ["a", "b"], "weak": ["b"], "weak_too": ["b", "c"]}  #: family → columns; only a and b matter


def fitted_run(folder: Path, seed: int, rows: int) -> Scores:
    """Real fits of a family that is truly better and of two that are not, stored split by split; no search."""
    from sklearn.model_selection import StratifiedKFold
    from sklearn.naive_bayes import GaussianNB

    store, frame, cells = Store(folder), table(seed, rows), []
    y = (frame.target == "yes").to_numpy(dtype=np.int64)
    for fold, (train, test) in enumerate(StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(frame, y)):
        for name, columns in SEES.items():
            X = frame[columns].to_numpy()
            model = GaussianNB().fit(X[train], y[train])
            said = {"default": model.predict_proba(X[test]).astype(np.float32)}
            unseen = {"default": np.full((len(train), 2), np.nan, dtype=np.float32)}
            outcome = EntryResult("default", 0, {}, math.nan, 0.5, [1.0, 1.0], [1.0, 1.0], 0.0, 0.0, {})
            who = ("fresh", name, "none", 0, fold)
            record = Record(
                f"{name}{fold}", "key", *who, 0, "ok", n_train=len(train), n_test=len(test), outcomes=(outcome,)
            )
            store.write_cell(record, StoredPredictions(test, y[test], train, y[train], said, unseen))
            cells.append(
                {
                    "id": record.id,
                    "key": "key",
                    "task": "fresh",
                    "family": name,
                    "strategy": "none",
                    "repeat": 0,
                    "fold": fold,
                }
            )
    about = {"classes": ["no", "yes"], "objective": "roc_auc", "forward": False, "costs": None, "splits": FOLDS}
    about |= dict.fromkeys(REQUIRED_OF["tasks"], "") | about | {"columns": 4}
    about |= {"fingerprint": "", "rows": rows, "counts": [rows - rows // 2, rows // 2]}
    protocol = EvaluationProtocol(folds=FOLDS).as_dict()
    families = {name: {"description": "", "network": False} for name in SEES}
    strategies = {"none": {"kind": "none", "description": ""}}
    parts = {"tasks": {"fresh": about}, "families": families, "strategies": strategies, "cells": cells}
    store.write_run({"name": "fitted", "command": "fitted", "protocol": protocol, **parts})
    return collect_scores(store, METRIC)


def test_a_true_difference_of_detectable_size_is_found_with_the_stated_power(tmp_path):
    """What is detectable is said from the runs' own variance; the true difference is the mean over all runs."""
    true, detectable, found = [], [], 0
    for seed in range(TRUE_RUNS):
        scores = fitted_run(tmp_path / str(seed), seed, rows=ROWS)
        ranking = rank_entries(scores, "fresh")
        place = {p.entry.family: p for p in ranking.entries if p.rank}
        true.append(place["strong"].score.mean - place["weak"].score.mean)
        comparison = place["weak"].comparison
        if comparison is not None and ranking.best.entry.family == "strong":
            detectable.append(detectable_difference(comparison))
            found += comparison.verdict == "worse"
    assert np.mean(true) >= np.median(detectable)
    assert found >= POWER * TRUE_RUNS
