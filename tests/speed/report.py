"""How long tables take: `python tests/speed/report.py [--cells 1000] [--rows 2000] [--derived 100000] [--whole]`.

Makes a run in a temporary folder (made-up predictions, written through `Store`), and prints the seconds until all figures are
there: cold, with one metric more, and warm; then reads a run of which so many rows of figures are kept. Budgets on two
cores, for 1,000 cells of 2,000 test rows: cold 60 s, one more metric 15 s; 100,000 rows of figures 10 s and 2 GB.
`--whole` also writes the whole report, twice.
"""

import argparse
import json
import os
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}

import numpy as np

from harness.evaluation.metric_cache import read_cache
from harness.evaluation.ranking import rank_entries
from harness.evaluation.score_collection import collect_scores
from harness.metrics.classification import METRICS
from harness.metrics.metric import Metric
from harness.registry.protocol import EvaluationProtocol
from harness.report.leaderboard import format_frame_csv, make_leaderboard_frame
from harness.report.write import write_report
from harness.seeding import seed_of
from harness.store.record import EntryResult, Record, StoredPredictions
from harness.store.store import Store

FOLDS = 5
FAMILIES = ("majority", *(f"family_{at}" for at in range(10)))
KINDS = {
    "none": "none",
    "class_weight": "weight",
    "random_undersampling": "resample",
    "smote": "resample",
    "other": "resample",
}
NAMES = ("id", "key", "task", "family", "strategy", "repeat", "fold")
METRIC = {metric.name: metric for metric in METRICS}
ROWS = 2000  #: in a test part
SHARE = 0.15  #: of positive rows


def seconds(what: str, work: Callable[[], Any]) -> Any:
    """Do it and say how long it took, processes that it started included."""
    wall, cpu = time.monotonic(), cpu_seconds()
    done = work()
    print(f"{what:<44} {time.monotonic() - wall:7.1f} s, {cpu_seconds() - cpu:7.1f} s of CPU", flush=True)
    return done


def cpu_seconds() -> float:
    return sum(
        one.ru_utime + one.ru_stime for one in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


def write_run(store: Store, cells: int, rows: int) -> None:
    """A run of about so many cells: tasks of five splits, families that see the same signal with noise of their own."""
    per_task = FOLDS * ((len(FAMILIES) - 1) * len(KINDS) + 1)
    tasks = [f"task_{at}" for at in range(max(1, round(cells / per_task)))]
    planned = []
    for task in tasks:
        rng = np.random.default_rng(seed_of("speed", task))
        signal = rng.normal(size=rows * FOLDS)
        y = (rng.random(len(signal)) < SHARE * np.exp(signal)).astype(np.int64)
        part = rng.permutation(np.arange(len(signal)) % FOLDS)
        for family in FAMILIES:
            for strategy in KINDS if family != "majority" else ("none",):
                for fold in range(FOLDS):
                    parts = (task, family, strategy, 0, fold)
                    cell = Record(f"{seed_of(*parts):x}", "key", *parts, seed_of(*parts), "ok")
                    store.write_cell(*predicted(cell, signal, y, part == fold))
                    planned.append(
                        {
                            "id": cell.id,
                            "key": "key",
                            **{n: getattr(cell, n) for n in ("task", "family", "strategy", "repeat", "fold")},
                        }
                    )
    store.write_run(description(tasks, rows, planned))


def predicted(cell: Record, signal: np.ndarray, y: np.ndarray, test: np.ndarray) -> tuple[Record, StoredPredictions]:
    """What a cell would store: probabilities of a noisy signal."""
    rng = np.random.default_rng(cell.seed)
    quality = 0.4 + seed_of(cell.family) % 100 / 200

    def proba() -> np.ndarray:
        odds = quality * signal - 2 + rng.normal(size=len(signal)) * 0.5
        positive = np.full(len(y), 0.15) if cell.family == "majority" else 1 / (1 + np.exp(-odds))
        return np.stack([1 - positive, positive], axis=1).astype(np.float32)

    said = {stage: proba() for stage in ("default", "tuned")}
    counts = np.bincount(y[~test]).astype(float).tolist()
    even = [sum(counts) / 2] * 2
    outcomes = tuple(
        EntryResult(stage, trial, {}, 0.5, 0.3, counts, even, 0.1, 0.01, {"average_precision": 0.6}, 100, 1000)
        for trial, stage in enumerate(said)
    )
    rows = np.arange(len(y))
    stored = StoredPredictions(
        rows[test], y[test], rows[~test], y[~test],
        {stage: one[test] for stage, one in said.items()}, {stage: one[~test] for stage, one in said.items()},
    )  # fmt: skip
    return Record(
        **{
            **cell.as_dict(),
            "outcomes": outcomes,
            "trials": 10,
            "n_train": int((~test).sum()),
            "n_test": int(test.sum()),
        }
    ), stored


def description(tasks: list[str], rows: int, planned: list[dict[str, Any]]) -> dict[str, Any]:
    """`run.json` of such a run."""
    about = {
        "title": "Made up", "description": "", "source": "", "licence": "", "citation": "", "modality": "tabular",
        "classes": ["no", "yes"], "positive": "yes", "counts": [rows * 4, rows], "rows": rows * FOLDS, "columns": 1,
        "features": "1 column", "fingerprint": "0" * 64, "costs": None, "forward": False, "splits": FOLDS,
        "objective": "average_precision", "notes": [],
    }  # fmt: skip
    return {
        "name": "speed", "command": "evenhand run", "seed": 0,
        "protocol": EvaluationProtocol(folds=FOLDS, repeats=1, inner_folds=3, trials=10, seed=0).as_dict(),
        "versions": {}, "host": {}, "tasks": dict.fromkeys(tasks, about), "skipped": [],
        "families": {name: {"description": "", "network": False} for name in FAMILIES},
        "strategies": {name: {"kind": kind, "chooses": name.startswith("random"), "description": ""} for name, kind in KINDS.items()},
        "cells": planned,
    }  # fmt: skip


def tables(store: Store, metrics: dict[str, Metric]) -> None:
    """All figures, and the CSV of them."""
    scores = collect_scores(store, metrics)
    format_frame_csv(make_leaderboard_frame(scores, [rank_entries(scores, task) for task in scores.run["tasks"]]))


def many_rows(derived: int) -> None:
    """Tables of a run of which so many rows of figures are kept, with few rows to predict: what counts is their number."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        write_run(store, 100, 60)
        collect_scores(store, METRIC)
        share = len(read_cache(store)) / len(store.read_every_record())
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        write_run(store, round(derived / share), 60)
        seconds(f"{derived:,} rows of figures, cold", lambda: collect_scores(store, METRIC))
        print(
            f"  {len(read_cache(store)):,} rows, {(Path(folder) / 'derived' / 'metrics').stat().st_size / 1e6:.0f} MB kept"
        )
        seconds("the same, tables of what is kept", lambda: tables(store, METRIC))
        print(f"  most memory so far: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB")


def main() -> None:
    asked = argparse.ArgumentParser()
    asked.add_argument("--cells", type=int, default=1000)
    asked.add_argument("--rows", type=int, default=ROWS)
    asked.add_argument("--derived", type=int, default=0)
    asked.add_argument("--whole", action="store_true")
    given = asked.parse_args()
    more = METRIC | {
        "hits": Metric(name="hits", compute=lambda p: float(np.trace(p.confusion)), metric_type="decision")
    }
    more |= {"spread": Metric(name="spread", compute=lambda p: float(p.proba[:, 1].std()), metric_type="probability")}
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        seconds("writing the run", lambda: write_run(store, given.cells, given.rows))
        print(f"  {len(store.read_run()['cells']):,} cells of {given.rows:,} test rows")
        seconds("all figures, cold", lambda: collect_scores(store, METRIC))
        kept = Path(folder) / "derived" / "metrics"
        digest = json.loads(kept.read_bytes().partition(b"\n")[2])
        print(f"  {len(digest):,} rows, {kept.stat().st_size / 1e6:.1f} MB kept")
        seconds("one metric more", lambda: collect_scores(store, {name: more[name] for name in [*METRIC, "spread"]}))
        seconds("figures and CSV, warm", lambda: tables(store, {name: more[name] for name in [*METRIC, "spread"]}))
        if given.whole:
            seconds("whole report, first", lambda: write_report(store, METRIC))
            seconds("whole report, again", lambda: write_report(store, METRIC))
    print(f"  most memory so far: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB")
    if given.derived:
        many_rows(given.derived)


if __name__ == "__main__":
    main()
