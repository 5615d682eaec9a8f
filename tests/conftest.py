"""What several rooms' tests share: a small table whose rows can be recognised, and the way to a cell."""

import fcntl
import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

# Compiled modules are stored: without, every process that a test starts would compile this package again, for half a second.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
# One thread, as in a worker: libraries read this when they are first imported.
os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}

import numpy as np
import pandas as pd
import pytest

from harness.data.splits import make_splitter
from harness.execution.cell import Cell, CellData
from harness.metrics.classification import METRICS
from harness.preprocessing.encodings import has_many_levels
from harness.registry.family import Family
from harness.registry.protocol import EvaluationProtocol
from harness.registry.registry import Registry, load_registry
from harness.registry.strategy import Strategy
from harness.registry.task import Table
from harness.report.write import write_leaderboard, write_report
from harness.search.pipeline import PipelineSpec
from harness.store.store import Store

#: Seconds after which an event that a test waits for will not come: far more than the slowest machine needs.
LONGEST_WAIT = 300


@pytest.fixture(scope="session")
def registry() -> Registry:
    """Every declaration of this project."""
    return load_registry()


def marked_table(n: int = 300, share: float = 0.2, seed: int = 0) -> Table:
    """A table with a signal, missing values and a category; column `mark` is different in every row."""
    rng = np.random.default_rng(seed)
    y = (np.arange(n) < n * share).astype(np.int64)
    rng.shuffle(y)
    number = y + rng.normal(size=n)
    number[rng.random(n) < 0.1] = np.nan
    frame = pd.DataFrame(
        {
            "mark": rng.permutation(n) + rng.random(n) / 2,
            "number": number,
            "letter": pd.Categorical(np.where(rng.random(n) < 0.5, "a", np.where(y == 1, "b", "c"))),
        }
    )
    return Table(frame, y, ("No", "Yes"))


def cell_data(
    table: Table, family: Family, strategies: tuple[Strategy, ...], registry: Registry, **protocol: Any
) -> CellData:
    """What a cell works on: the first outer fold of a table."""
    chosen = EvaluationProtocol(**({"folds": 3, "trials": 3} | protocol))
    splitter = make_splitter(table)
    modality = modality_of(table)
    many_levels = has_many_levels(table, modality)
    spec = PipelineSpec(family, strategies, modality, len(table.classes), many_levels=many_levels)
    return CellData(table, splitter, splitter.outer(chosen)[0], spec, chosen, registry.metrics)


def wait_until(condition: Callable[[], object]) -> None:
    """Wait for an event of another thread or process; fails after `LONGEST_WAIT` seconds, where it never comes."""
    end = time.monotonic() + LONGEST_WAIT
    while not condition():
        assert time.monotonic() < end, f"nothing happened in {LONGEST_WAIT} seconds"
        time.sleep(0.01)


def modality_of(table: Table) -> str:
    """What kind of data a table holds."""
    if isinstance(table.X, pd.DataFrame):
        return "tabular"
    return "text" if table.X.ndim == 1 else "image"


def cell(family: str = "family", strategy: str = "strategy") -> Cell:
    """A cell of the first outer fold."""
    return Cell("cell", "key", "task", family, strategy, 0, 0, 11)


def shared_store(factory: pytest.TempPathFactory, name: str, build: Callable[[Path], None], last_file: str) -> Store:
    """A run folder that is made once for all processes of the test suite; `last_file` is the file that is written last."""
    base = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent  # each worker process has a folder of its own below this one
    folder = base / name
    with (base / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / last_file).exists():
            shutil.rmtree(folder, ignore_errors=True)
            build(folder)
    return Store(folder)


@pytest.fixture(scope="session")
def reported_run(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """The run of `fixtures_run.everything` with its report, for reading and copying: its figures take a minute."""
    from fixtures_run import everything

    def build(folder: Path) -> None:
        write_report(everything(folder), {metric.name: metric for metric in METRICS})

    return shared_store(tmp_path_factory, "reported_run", build, "report.html")


@pytest.fixture(scope="module")
def full_run(reported_run: Store, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A copy of `reported_run` for the tests of one module."""
    return Store(shutil.copytree(reported_run.folder, tmp_path_factory.mktemp("runs") / "small"))


@pytest.fixture(scope="session")
def tumours_run(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A run of the task `fixtures_run.tumours` whose metrics are computed, for copying."""
    from fixtures_run import tumours, write_run

    def build(folder: Path) -> None:
        write_leaderboard(write_run(folder, [tumours()]), {metric.name: metric for metric in METRICS})

    return shared_store(tmp_path_factory, "tumours_run", build, "leaderboard.md")


@pytest.fixture
def evenhand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """Call the command line in a folder of its own: returns (exit code, standard output, standard error)."""
    from harness.__main__ import main

    monkeypatch.chdir(tmp_path)

    def call(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["evenhand", *map(str, words)])
        capfd.readouterr()
        try:
            main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        else:
            code = 0
        return code, *capfd.readouterr()

    return call
