"""Wrong arguments of the Python API and the command line: one line that says what was wrong, what was found and what to do."""

import inspect
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from decimal import Decimal
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import evenhand
from harness.api.dashboard import RunningDashboard
from harness.api.data_frames import refuse_object_cells
from harness.cli import app
from harness.store.files import write_atomic
from harness.store.store import Store

ROOT = Path(__file__).parent.parent
SAMPLE = ROOT / "results" / "sample"
BUNDLE = ROOT / "tests" / "fixtures" / "bundles_7327cbb" / "logistic_regression_quantile.zip"
FRAME = pd.DataFrame({"x": np.sqrt(np.arange(40.0)), "y": ["a", "b"] * 20})
#: Of no type that any argument may have.
WRONG = (object(), 3.5j, b"\xff", [object()])


def build(*_, **__):
    """Any function of a declaration."""


#: Public name → a call of it that is valid.
VALID = {
    "benchmark": {"data": FRAME, "target": "y", "families": ["logistic_regression"], "strategies": ["none"]},
    "open_run": {"folder": SAMPLE},
    "inspect": {"data": FRAME, "target": "y"},
    "open_bundle": {"folder": SAMPLE},
    "load_rows": {"path": SAMPLE},
    "estimator_family": {"name": "mine", "estimator": object()},
    "choice": {"default": 1},
    "integer": {"low": 1, "high": 3, "default": 2},
    "real": {"low": 1, "high": 3, "default": 2},
    "log_float": {"low": 1, "high": 3, "default": 2},
    "when": {"parent": "a", "value": 1, "parameter": evenhand.real(0, 1, default=0.5)},
    "Family": {"name": "mine", "build": build, "space": {}, "encodings": {"tabular": "matrix"}},
    "Metric": {"name": "mine", "compute": build, "metric_type": "ranking"},
    "Strategy": {"name": "mine", "kind": "weight", "build": build},
    "Task": {"name": "mine", "load": build, "target": "y"},
    "Table": {"X": FRAME[["x"]], "y": np.zeros(40, dtype=int), "classes": ("a", "b")},
    "Predictions": {"y": np.zeros(4, dtype=int), "proba": np.full((4, 2), 0.5)},
}
#: Method of `Run` → a valid call.
RUN_METHODS = {
    "summary": {}, "recommend": {}, "importance": {}, "evaluate_thresholds": {"threshold": "f1"},
    "leaderboard": {}, "scores": {}, "findings": {}, "failures": {}, "report": {}, "dashboard": {},
    "params": {"entry": "xgb/none"}, "predictions": {"entry": "xgb/none"},
    "compare": {"entry": "xgb/none", "other": "xgb/smote"}, "export": {"out": "bundle"},
}  # fmt: skip
MODEL_METHODS = {"predict": {"data": FRAME}, "predict_proba": {"data": FRAME}}
#: Made by functions of the API only.
RESULTS = ("Run", "TaskRecommendation", "ExportedModel", "DataInspection")
#: Rows in memory: their other fields are checked where a task is read.
UNCHECKED = {
    "Table": {"classes", "groups", "time", "test", "notes", "dates", "readings", "folds", "weights", "ids"},
    "Predictions": {"threshold", "costs"},
}


def parameter_names(function) -> list[str]:
    """The names of all parameters that can be named in a call."""
    names = []
    for parameter in inspect.signature(function).parameters.values():
        if parameter.name != "self" and parameter.kind is not inspect.Parameter.VAR_POSITIONAL:
            names.append(parameter.name)
    return names


def public_parameters() -> list:
    parameters = []
    for name, arguments in VALID.items():
        for parameter in parameter_names(getattr(evenhand, name)):
            if parameter not in UNCHECKED.get(name, ()):
                parameters.append(pytest.param(name, arguments, parameter, id=f"{name} {parameter}"))
    return parameters


def method_parameters() -> list:
    parameters = []
    for owner, methods in ((evenhand.Run, RUN_METHODS), (evenhand.ExportedModel, MODEL_METHODS)):
        for name, arguments in methods.items():
            for parameter in parameter_names(getattr(owner, name)):
                title = f"{owner.__name__}.{name} {parameter}"
                parameters.append(pytest.param(owner, name, arguments, parameter, id=title))
    return parameters


def assert_refused(call, *parts: str) -> None:
    with pytest.raises(evenhand.EvenhandError) as error:
        call()
    message = str(error.value)
    assert "\n" not in message
    assert len(message) < 600
    for part in parts:
        assert part in message


@pytest.fixture(scope="module")
def run() -> evenhand.Run:
    return evenhand.open_run(SAMPLE)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> evenhand.ExportedModel:
    folder = tmp_path_factory.mktemp("bundle")
    with zipfile.ZipFile(BUNDLE) as archive:
        archive.extractall(folder)
    return evenhand.open_bundle(next(folder.rglob("bundle.json")).parent)


def test_every_public_callable_is_tried():
    public = {name for name in evenhand.__all__ if not _is_error(getattr(evenhand, name))}
    assert public == {*VALID, *RESULTS}
    assert public_methods(evenhand.Run) == set(RUN_METHODS)
    assert public_methods(evenhand.ExportedModel) == set(MODEL_METHODS)
    assert public_methods(RunningDashboard) == {"close", "wait"}  # which take nothing


def _is_error(attribute) -> bool:
    return isinstance(attribute, type) and issubclass(attribute, Exception)


def public_methods(owner: type) -> set[str]:
    return {name for name, member in vars(owner).items() if inspect.isfunction(member) and not name.startswith("_")}


@pytest.mark.parametrize(("name", "arguments", "parameter"), public_parameters())
def test_a_wrong_type_is_refused_by_name(name, arguments, parameter, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for wrong in WRONG:
        assert_refused(partial(getattr(evenhand, name), **(arguments | {parameter: wrong})))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("owner", "name", "arguments", "parameter"), method_parameters())
def test_a_wrong_type_is_refused_by_methods(owner, name, arguments, parameter, run, model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    method = getattr(run if owner is evenhand.Run else model, name)
    for wrong in WRONG:
        assert_refused(partial(method, **(arguments | {parameter: wrong})))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", [name for name in VALID if inspect.isfunction(getattr(evenhand, name))])
def test_a_misspelled_argument_gets_a_suggestion(name):
    function = getattr(evenhand, name)
    parameter = parameter_names(function)[-1]
    assert_refused(partial(function, **{f"{parameter}s": 1}), f"has no argument {parameter}s=")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"trials": "5"}, "trials must be a whole number from 1 on, but got '5' (a str)"),
        ({"trials": 0}, "trials must be a whole number from 1 on, but got 0"),
        ({"folds": 1}, "folds must be a whole number from 2 on, but got 1"),
        ({"folds": True}, "folds must be"),
        ({"seed": -1}, "seed must be a whole number from 0 on"),
        ({"jobs": 0}, "jobs must be"),
        ({"report": "no"}, "report must be True or False"),
        ({"cell_budget": -5}, "not a length of time: -5"),
        ({"data": ""}, "data must be a path"),
        ({"data": "nowhere.csv"}, "no such file or folder: nowhere.csv"),
        ({"out": "a\0b"}, "out must be a path"),
        ({"data_dir": "nowhere"}, "no such directory: nowhere"),
        ({"positive": ["a"]}, "positive must be a class"),
        ({"families": 5}, "families:"),
        ({"families": {5: object()}}, "name must be a str"),
    ],
)
def test_a_benchmark_with_a_wrong_value_is_refused(arguments, reason, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert_refused(partial(evenhand.benchmark, **(VALID["benchmark"] | arguments)), reason)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (lambda run: run.dashboard(port=99999), "port must be a whole number from 0 to 65535, but got 99999"),
        (lambda run: run.predictions(None), "entry must be"),
        (lambda run: run.predictions("xgb/nome"), "did you mean"),
        (lambda run: run.leaderboard(task="telco_churn"), "did you mean 'telco_churn_quarter'"),
        (lambda run: run.export(ROOT / "pyproject.toml"), "no bundle"),
        (lambda run: run.export("b", calibration="magic"), "no such calibration 'magic'"),
        (lambda _: evenhand.open_run(ROOT / "pyproject.toml"), "is not a run folder"),
        (lambda _: evenhand.open_run("a" * 5000), "File name too long"),
        (lambda _: evenhand.open_bundle("nowhere"), "no bundle"),
        (lambda _: evenhand.open_bundle(ROOT / "pyproject.toml"), "no bundle"),
        (lambda _: evenhand.open_run(SAMPLE, plugins=["nowhere.py"]), "no such file: nowhere.py"),
        (lambda _: evenhand.choice([1, 2], default=1), "listed one by one"),
        (lambda _: evenhand.real(0, float("inf"), default=1), "finite"),
        (lambda _: evenhand.integer(3, 1, default=2), "low <= default <= high"),
    ],
)
def test_what_cannot_be_done_in_python_is_said_in_a_line(call, reason, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert_refused(partial(call, run), reason)


@pytest.mark.parametrize("cell", [{"a", "b"}, frozenset("ab"), ["a"], {"a": 1}, ("a",), np.array([1, 2]), object()])
def test_cells_without_a_text_of_their_own_are_refused_by_column(cell, tmp_path):
    frame = FRAME.assign(tags=pd.Series([None, *[cell] * 39], dtype=object))
    call = partial(evenhand.benchmark, frame, target="y", out=tmp_path / "run")
    assert_refused(call, "column 'tags' holds a", "in row 1 (from 0)", type(cell).__name__)
    assert not (tmp_path / "run").exists()
    emptied = refuse_object_cells(frame, ["tags"])
    assert emptied["tags"].isna().all()
    assert emptied["x"].equals(frame["x"])


def test_plain_cells_of_several_types_are_taken():
    cells = [None, "a", 1, 2.5, True, pd.Timestamp("2024-01-31"), np.int64(3), Decimal("1.5"), date(2024, 1, 31)]
    frame = pd.DataFrame({"mixed": pd.Series(cells, dtype=object)})
    assert refuse_object_cells(frame, []) is frame


def test_a_second_run_in_the_same_folder_is_refused_in_a_line(tmp_path):
    call = partial(evenhand.benchmark, **VALID["benchmark"], out=tmp_path, progress=False)
    with Store(tmp_path).lock():
        assert_refused(call, "is being written by another run")
    assert not (tmp_path / "run.json").exists()


def test_two_threads_write_one_file_without_an_error(tmp_path):
    content = [bytes([number]) * 100_000 for number in range(8)]
    start = threading.Barrier(len(content))

    def write(rows: bytes) -> None:
        start.wait()
        for _ in range(20):
            write_atomic(tmp_path / "rows.parquet", rows)

    with ThreadPoolExecutor(len(content)) as executor:
        list(executor.map(write, content))
    assert (tmp_path / "rows.parquet").read_bytes() in content
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("command", ["dashboard", "tensorboard"])
def test_a_port_beyond_its_range_is_refused_by_the_command_line(command):
    outcome = CliRunner().invoke(app, [command, str(SAMPLE), "--port", "99999"])
    assert outcome.exit_code == 2
    assert "--port" in outcome.stderr
    assert "65535" in outcome.stderr
