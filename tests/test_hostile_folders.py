"""Files in the current folder and in the folder of a run are data: no command executes them."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

#: The console script: with `python -m`, Python itself puts the current folder first.
EVENHAND = Path(sys.executable).with_name("evenhand")
#: Modules that the program, its libraries or Python import while they work, and files that tools run by themselves.
NAMES = (
    "optuna", "pandas", "queue", "numpy", "sklearn", "xgboost", "json", "typer", "harness", "tasks", "searchspaces", "sitecustomize",
    "usercustomize", "conftest", "matplotlib", "pip", "subprocess", "uvicorn", "fastapi", "tensorflow", "tensorboard", "my_plugin",
)  # fmt: skip
MARKER = "executed.txt"
CELL = "customers/logistic_regression/none/r0f0"
RUN = (
    "run", "customers.csv", "--target", "churned", "--family", "logistic_regression", "--strategy", "none", "--trials", "1",
    "--folds", "2", "--inner-folds", "2", "--jobs", "1", "--out", ".",
)  # fmt: skip
PLUGIN = (
    "from harness import Metric\nHALF = Metric(name='half', compute=lambda predictions: 0.5, metric_type='ranking')\n"
)


def poison(folder: Path) -> None:
    """Put modules into a folder that leave a marker beside them when they are executed."""
    for name in NAMES:
        (folder / f"{name}.py").write_text(f"open({str(folder / MARKER)!r}, 'a').write({name!r} + ' ')\n")


def call(folder: Path, *words: object, code: int = 0) -> str:
    """Run the console script in a folder; returns what it wrote to both streams."""
    done = subprocess.run([EVENHAND, *map(str, words)], cwd=folder, env=environment(), capture_output=True, text=True)
    assert not (folder / MARKER).exists(), f"{words} executed {(folder / MARKER).read_text()}"
    assert done.returncode == code, done.stderr
    return done.stdout + done.stderr


def environment() -> dict[str, str]:
    """Without variables that add to the path of modules."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory) -> Path:
    """The folder of a small run with hostile files in it, in which every command is started."""
    folder = tmp_path_factory.mktemp("hostile")
    poison(folder)
    rng = np.random.default_rng(0)
    churned = np.arange(120) % 3 == 0
    columns = {"age": rng.normal(40, 12, 120) + 8 * churned, "visits": rng.poisson(3, 120)}
    frame = pd.DataFrame(columns | {"churned": np.where(churned, "yes", "no")})
    frame.to_csv(folder / "customers.csv", index=False)
    assert "leaderboard.md" in call(folder, *RUN)
    return folder


@pytest.fixture(scope="module")
def bundle(run_folder) -> Path:
    """An export from that run, in its folder."""
    call(run_folder, "export", ".", "--out", "bundle", "--entry", "logistic_regression/none/default", "--no-drivers")
    poison(run_folder / "bundle")
    return run_folder / "bundle"


@pytest.mark.parametrize(
    ("words", "written"),
    [
        ("--help", "replay"),
        ("list families", "xgb"),
        ("fetch digits_nine --csv rows.csv", "rows.csv"),
        ("explain", "backprop"),
        ("doctor", "optuna"),
        ("compare . customers/logistic_regression/none customers/majority/none", "rows"),
        (f"replay . {CELL} --stage default", "confirmed"),
    ],
)
def test_reading_commands_execute_nothing_from_the_folder_of_the_run(run_folder, words, written):
    assert written in call(run_folder, *words.split())


def test_continuing_a_run_executes_nothing_from_its_folder(run_folder):
    shutil.rmtree(next((run_folder / "cells").iterdir()))
    call(run_folder, *RUN, "--quiet")
    assert len(list(run_folder.glob("cells/*/record.json"))) == 4


def test_bundles_execute_nothing_from_the_current_folder(bundle):
    assert "120 rows" in call(bundle.parent, "predict", "bundle", "customers.csv", "--out", "scored.csv")
    assert "insights.md" in call(bundle.parent, "insights", "bundle", "customers.csv", "--out", "insights")


@pytest.mark.parametrize("words", ["serve bundle --port 0", "dashboard . --port 0"])
def test_pages_execute_nothing_from_the_current_folder(bundle, words):
    command = [EVENHAND, *words.split()]
    server = subprocess.Popen(
        command, cwd=bundle.parent, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    with server:
        lines = []
        for line in server.stdout:
            lines.append(line)
            if re.search(r"http://127\.0\.0\.1:\d+", line):
                break
        server.terminate()  # not SIGINT: what is started in the background ignores it
        server.stdout.read()
    assert "http://127.0.0.1" in "".join(lines)
    assert not (bundle.parent / MARKER).exists()


def test_tensorboard_executes_nothing_from_the_current_folder(run_folder):
    assert "has no training curves" in call(run_folder, "tensorboard", ".", code=2)


def test_a_module_is_only_imported_where_it_is_installed_and_a_file_only_where_it_is_named(run_folder, tmp_path):
    assert "No module named 'my_plugin'" in call(run_folder, "list", "metrics", "--plugin", "my_plugin", code=2)
    poison(tmp_path)
    (tmp_path / "json.py").write_text(PLUGIN)
    assert "half" in call(tmp_path, "list", "metrics", "--plugin", "json.py")


def main_in(folder: Path, changes: str, *words: str) -> None:
    """Run the command line after some changes to it; as the console script does, without the current folder first."""
    script = f"import sys; from harness.__main__ import main; {changes}; sys.argv = {['evenhand', *words]}; main()"
    command = [sys.executable, "-P", "-c", script]
    done = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not (folder / MARKER).exists(), (folder / MARKER).read_text()


def test_the_contract_is_checked_without_the_current_folder(run_folder):
    # Of the whole registry two declarations are enough here.
    changes = (
        "from harness.registry import registry; load = registry.load_registry; registry.load_registry = lambda plugins: "
        "registry.Registry(metrics={'mcc': load(plugins).metrics['mcc']}, strategies={'none': load(plugins).strategies['none']})"
    )
    main_in(run_folder, changes, "check")


def test_the_process_that_draws_reads_nothing_from_the_folder_of_the_run(run_folder):
    figures = {path: path.read_bytes() for path in (run_folder / "figures").glob("*.*")}
    assert len(figures) > 2
    shutil.rmtree(run_folder / "figures")
    # A file of settings for figures is no code, but would change them.
    (run_folder / "matplotlibrc").write_text("lines.linewidth: 9\naxes.facecolor: red\n")
    main_in(run_folder, "from harness.report.figures import writer; writer.MIN_PARALLEL_FIGURES = 1", "report", ".")
    assert {path: path.read_bytes() for path in (run_folder / "figures").glob("*.*")} == figures
