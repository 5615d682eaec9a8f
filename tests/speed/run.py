"""What the engine itself costs, as tables: within a cell, from cell to cell, at the start of a cell, at the start of the command.

    python tests/speed/run.py [overhead] [cells] [start] [help]

CPU seconds except where wall-clock is named. Data: EVENHAND_DATA.
"""

import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

import numpy as np
import pandas as pd

from harness.data.user_data import UserData
from harness.execution.cell import run_cell
from harness.execution.engines.base import CellJob, Limits, RunCallbacks, load_engine
from harness.execution.engines.local import Worker
from harness.execution.plan import RunRequest, make_plan
from harness.execution.trainer import CellTrainer
from harness.execution.worker import WorkerContext
from harness.preprocessing.tabular import TabularPreprocessor
from harness.registry.protocol import EvaluationProtocol
from harness.registry.registry import load_registry
from harness.search import pipeline, study, table_preparation
from harness.store.store import Store

DATA = os.environ.get("EVENHAND_DATA")
REGISTRY = load_registry()


class Clock:
    """CPU seconds by name; time spent in something named inside something named counts for the inner one alone."""

    def __init__(self):
        self.seconds, self.open = Counter(), []

    @contextmanager
    def measure(self, name):
        self._stamp()
        self.open.append(name)
        try:
            yield
        finally:
            self._stamp()
            self.open.pop()

    def _stamp(self):
        now = time.process_time()
        if self.open:
            self.seconds[self.open[-1]] += now - self.since
        self.since = now

    def timed(self, name, function):
        def call(*args, **kwargs):
            with self.measure(name):
                return function(*args, **kwargs)

        return call


def watched(family, clock):
    """The same family, its fits and predictions timed."""

    def build(seed, **params):
        made = family.build(seed, **params)
        made.fit, made.predict_proba = clock.timed("fit", made.fit), clock.timed("predict", made.predict_proba)
        return made

    return replace(family, build=build)


@contextmanager
def engine_timed(clock):
    """The engine's own steps timed where they are looked up."""
    import optuna

    steps = [
        ("resample", pipeline, "resample_table_rows"),
        ("resample", pipeline, "resample_encoded_rows"),
        ("prepare", table_preparation, "fit_table_preprocessor"),
        ("prepare", TabularPreprocessor, "transform"),
        ("encode", type(pipeline.ENCODINGS["native"].fit(None, None, None)), "transform"),
        ("score", CellTrainer, "_compute_metric"),
        ("propose", study, "_make_sampler"),
        ("propose", study, "suggest_params"),
        ("propose", optuna.Study, "ask"),
        ("tell", optuna.Study, "tell"),
        ("journal", study, "_open_study"),
        ("journal", optuna.Study, "add_trial"),
        ("store", Store, "write_search_cache"),
        ("store", Store, "write_cell"),
    ]
    before = [(owner, name, getattr(owner, name)) for _, owner, name in steps]
    for (label, owner, name), (*_, function) in zip(steps, before, strict=True):
        setattr(owner, name, clock.timed(label, function))
    try:
        yield
    finally:
        for owner, name, function in before:
            setattr(owner, name, function)


def planned(task, family, strategy, protocol):
    """A worker's context and the cells of a task."""
    request = RunRequest((task,), (family,), (strategy,), protocol, DATA)
    plan = make_plan(request, REGISTRY)
    return WorkerContext(request), [cell for cell in plan.cells if cell.family == family], plan.tasks[0].fingerprint


def overhead(trials=100):
    """Where the CPU seconds of a whole xgb cell go."""
    names = ("fit", "resample", "predict", "prepare", "encode", "propose", "tell", "journal", "store", "score", "rest")
    print(
        f"\nOne xgb cell of {trials} trials, per cent of its CPU s (target: at most 5 outside fit, resample, predict)\n"
    )
    print("| task | strategy | CPU s | outside | " + " | ".join(names) + " |\n" + "|---" * (len(names) + 4) + "|")
    for task, strategy in (("telco_churn", "none"), ("telco_churn", "smote")):
        context, cells, rows = planned(task, "xgb", strategy, EvaluationProtocol(trials=trials))
        context.registry.family("xgb").build(0).fit(np.eye(4), [0, 1, 0, 1])  # imports are another table's
        for number, one in enumerate((replace(cells[1]), cells[0])):
            clock = Clock()
            cell_data = context.cell_data(one, rows)
            if number == 0:
                cell_data = replace(cell_data, protocol=EvaluationProtocol(trials=2))
            spec = replace(cell_data.spec, family=watched(cell_data.spec.family, clock))
            with tempfile.TemporaryDirectory() as folder, engine_timed(clock), clock.measure("rest"):
                record = run_cell(one, replace(cell_data, spec=spec), Store(Path(folder)))
            assert record.status == "ok", record.reason
        whole = sum(clock.seconds.values())
        share = {name: 100 * clock.seconds[name] / whole for name in names}
        outside = sum(share[name] for name in names[3:])
        print(f"| {task} | {strategy} | {whole:.1f} | {outside:.1f} | "
              + " | ".join(f"{share[name]:.1f}" for name in names) + " |", flush=True)  # fmt: skip


def cells():
    """Five hundred small cells in one run by one worker."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 4))
    frame = pd.DataFrame(X, columns=list("abcd")).assign(y=X[:, 0] + rng.normal(size=200) > 1)
    with tempfile.TemporaryDirectory() as folder:
        frame.to_csv(path := Path(folder) / "rows.csv", index=False)
        protocol = EvaluationProtocol(folds=5, repeats=100, inner_folds=2, trials=3)
        own = UserData(str(path), "y")
        request = RunRequest((own.task().name,), ("logistic_regression",), ("smote",), protocol, own=own)
        plan = make_plan(request, REGISTRY)
        jobs = [CellJob(cell, plan.tasks[0].fingerprint) for cell in plan.cells if cell.family != "majority"]
        done, store = [], Store(Path(folder) / "run")

        def on_event(event):
            if event.record is not None:
                done.append((time.perf_counter(), time.process_time(), event.record))

        load_engine().run(request, store, jobs, 1, Limits(60, 4000), RunCallbacks(on_event, lambda: "no"))
        assert all(record.status == "ok" for *_, record in done)
        sizes = [sum(file.stat().st_size for file in store.cell_folder(record.id).iterdir()) for *_, record in done]
    print(f"\n{len(done)} cells of one run, one worker (logistic regression, 200 rows, 3 trials): medians\n")
    print("| cells | worker, CPU s | supervisor, CPU s | wall-clock s a cell | bytes on disk |\n|---|--:|--:|--:|--:|")
    for first in (5, 100, 250, 480):
        few = range(first, first + 20)
        print(f"| {first + 1} to {first + 20} | {median(done[i][2].cpu_seconds for i in few):.4f} "
              f"| {median(done[i][1] - done[i - 1][1] for i in few):.4f} "
              f"| {median(done[i][0] - done[i - 1][0] for i in few):.3f} | {median(sizes[i] for i in few):.0f} |")  # fmt: skip


def start(times=7):
    """What a cell costs besides its fits: cells of `majority`, one trial, nothing to fit, in one worker."""
    print("\nA whole cell of `majority`, whose fits take nothing: the start of any cell, and its storing\n")
    print("| task | rows | first cell of a worker, wall-clock s | the cells after it | the same, CPU s | target |")
    print("|---|--:|--:|--:|--:|--:|")
    for task in ("telco_churn", "bank_marketing"):
        request = RunRequest((task,), ("majority",), ("none",), EvaluationProtocol(folds=times + 1), DATA)
        plan = make_plan(request, REGISTRY)
        with tempfile.TemporaryDirectory() as folder:
            store, taken, cpu = Store(Path(folder)), [], []
            begun = time.perf_counter()
            worker = Worker(request, store)
            for cell in plan.cells:
                worker.start_cell(CellJob(cell, plan.tasks[0].fingerprint))
                assert worker.process.receive()["status"] == "ok"
                taken.append(time.perf_counter() - begun)
                begun = time.perf_counter()
                cpu.append(store.read_record(cell.id).cpu_seconds)
            worker.process.kill()
        rows = len(plan.tasks[0].table.y)
        print(
            f"| {task} | {rows} | {taken[0]:.2f} | {median(taken[1:]):.3f} | {median(cpu[1:]):.3f} | 0.3 |", flush=True
        )


def help_():
    """How long the command takes to say what it can."""
    wall, cpu = [], []
    for _ in range(9):
        before, begun = os.times(), time.perf_counter()
        subprocess.run([Path(sys.executable).with_name("evenhand"), "--help"], stdout=subprocess.DEVNULL, check=True)
        after = os.times()
        wall.append(time.perf_counter() - begun)
        cpu.append(after.children_user + after.children_system - before.children_user - before.children_system)
    print("\n`evenhand --help`, medians of 9\n\n| wall-clock s | CPU s | target |\n|--:|--:|--:|")
    print(f"| {median(wall):.2f} | {median(cpu):.2f} | 0.3 |")


def main():
    warnings.simplefilter("ignore")
    tables = {"overhead": overhead, "cells": cells, "start": start, "help": help_}
    for name in sys.argv[1:] or tables:
        tables[name]()


if __name__ == "__main__":
    main()
