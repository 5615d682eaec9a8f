"""How long tables take: `python tests/speed/report.py [--cells 1000] [--rows 2000] [--derived 100000] [--whole]`.

Makes a run in a temporary folder (made-up predictions, written through `Store`), and prints the seconds until all figures are
there: cold, with one metric more, and warm; then reads a run of which so many rows of figures are kept. Budgets on two
cores, for 1,000 cells of 2,000 test rows: cold 60 s, one more metric 15 s; 100,000 rows of figures 10 s and 2 GB.
`--whole` also writes the whole report, twice.

`python tests/speed/report.py --run results/quick` measures instead the reports of copies of that run and of a tiny one (one task, two
families, two folds of 150 rows): the first report, of which nothing is cached, and the second one, in processes of their own as
`evenhand report` is, in seconds and in CPU seconds of all processes; then the CPU seconds of every stage in one process.
Aims on two cores: the quick suite 6 s, a tiny run 3 s.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
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


class StageClock:
    """CPU seconds of functions while they run, without those of other measured functions that they call."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.calls: dict[str, int] = {}
        self._open_stages: list[str] = []
        self._switched = time.process_time()

    def _switch(self) -> None:
        now = time.process_time()
        if self._open_stages:
            stage = self._open_stages[-1]
            self.seconds[stage] = self.seconds.get(stage, 0.0) + now - self._switched
        self._switched = now

    def measure(self, module_name: str, path: str) -> None:
        """Measure a function of a module, or a method as `Class.method`, wherever it has been imported."""
        *owners, name = path.split(".")
        owner: Any = sys.modules[module_name]
        for attribute in owners:
            owner = getattr(owner, attribute)
        function = getattr(owner, name)

        def measured(*args: Any, **options: Any) -> Any:
            self._switch()
            self._open_stages.append(path)
            try:
                return function(*args, **options)
            finally:
                self._switch()
                self._open_stages.pop()
                self.calls[path] = self.calls.get(path, 0) + 1

        setattr(owner, name, measured)
        for module in [module for key, module in sys.modules.items() if key.startswith("harness.")]:
            for key in [key for key, content in vars(module).items() if content is function]:
                setattr(module, key, measured)


STAGES = (
    ("harness.report.write", "write_report"),
    ("harness.evaluation.score_collection", "collect_scores"),
    ("harness.evaluation.evaluate", "_fit_ensemble_row"),
    ("harness.evaluation.evaluate", "_Recalibration.compute_fit_row"),
    ("harness.evaluation.evaluate", "_Recalibration.recalibrate_test_rows"),
    ("harness.evaluation.metric_cache", "score_predictions"),
    ("harness.store.store", "Store.read_predictions"),
    ("harness.evaluation.search_history", "read_searches"),
    ("harness.evaluation.samples", "SampleReader._compute_sample_moments"),
    ("harness.evaluation.significance", "compare_pairs"),
    ("harness.evaluation.significance", "compare_all_with_best"),
    ("harness.evaluation.threshold_goals", "evaluate_goals"),
    ("harness.report.topics", "collect_sections"),
    ("harness.report.figures.writer", "draw_all_figures"),
    ("harness.report.html_report", "build_pages"),
    ("harness.report.write", "_write_leaderboard"),
    ("harness.store.files", "write_atomic"),
)


def stages_of_report(folder: Path) -> None:
    """Write the report of a run in this process alone, and print the CPU seconds of its stages."""
    from harness import processes

    processes.usable_cores = lambda: 1
    clock = StageClock()
    for module_name, path in STAGES:
        clock.measure(module_name, path)
    seconds(f"{folder.name}, first report in one process", lambda: write_report(Store(folder), METRIC))
    print(f"  {'stage, without the stages in it':<50} {'calls':>6} {'CPU s':>7}")
    for stage, cpu in sorted(clock.seconds.items(), key=lambda entry: -entry[1]):
        print(f"  {stage:<50} {clock.calls[stage]:>6} {cpu:>7.2f}")


def copy_without_report(run: Path, folder: Path) -> Path:
    """Copy a run as it is before its first report: without caches, but with the importances, which a run measures itself."""
    copied = folder / run.name
    shutil.rmtree(copied, ignore_errors=True)
    shutil.copytree(run, copied, ignore=shutil.ignore_patterns("figures", "tables", "*.html", "*.md", "*.csv"))
    for path in (copied / "derived").glob("*"):
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != "importances.json":
            path.unlink()
    return copied


def reports_of_run(run: Path) -> None:
    """Measure the first and the second report of a copy of a run, then the stages of the first one."""
    with tempfile.TemporaryDirectory() as folder:
        copied = copy_without_report(run, Path(folder))
        command = [sys.executable, "-m", "harness", "report", str(copied)]
        print(f"{run.name}: {len(Store(copied).read_run()['cells'])} cells")
        for which in ("first", "second"):
            report = f"{run.name}, {which} report"
            seconds(report, lambda: subprocess.run(command, check=True, capture_output=True))
        stages_of_report(copy_without_report(run, Path(folder)))


def run_tiny(folder: Path) -> Path:
    """A run of one task, two families and two folds of 150 rows."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(300, 4))
    labels = np.where(rows[:, 0] + rng.normal(size=300) > 1, "yes", "no")
    lines = ["a,b,c,d,y"]
    for features, label in zip(rows, labels, strict=True):
        lines.append(",".join([*(f"{number:.4f}" for number in features), label]))
    table, run = folder / "tiny.csv", folder / "tiny"
    table.write_text("\n".join(lines))
    arguments = f"run {table} --target y --family logistic_regression --strategy none --trials 2 --folds 2 --out {run}"
    command = [sys.executable, "-m", "harness", *arguments.split(), "--no-report"]
    subprocess.run(command, check=True, capture_output=True)
    return run


def main() -> None:
    asked = argparse.ArgumentParser()
    asked.add_argument("--run", type=Path)
    asked.add_argument("--cells", type=int, default=1000)
    asked.add_argument("--rows", type=int, default=ROWS)
    asked.add_argument("--derived", type=int, default=0)
    asked.add_argument("--whole", action="store_true")
    given = asked.parse_args()
    if given.run:
        with tempfile.TemporaryDirectory() as folder:
            reports_of_run(run_tiny(Path(folder)))
        reports_of_run(given.run)
        return
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
