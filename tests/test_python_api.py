"""`import evenhand`: a benchmark from a program, its results as data frames, classifiers of one's own."""

import csv
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import LONGEST_WAIT
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_breast_cancer
from sklearn.frozen import FrozenEstimator
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import SVC

import evenhand
from harness.registry.registry import load_registry
from harness.registry.user_declarations import estimator_fingerprint
from harness.report.write import write_leaderboard
from harness.store.store import Store

#: Columns of `leaderboard.csv` that are measured anew in every run.
MEASURED = (
    "fit_seconds",
    "fit_seconds_sd",
    "predict_us_per_row",
    "predict_us_per_row_sd",
    "model_bytes",
    "model_bytes_sd",
)
SMALL = {"trials": 2, "folds": 2, "inner_folds": 2, "seed": 3, "progress": False, "report": False, "jobs": 1}


class CodedClassifier(LogisticRegression):
    """A classifier whose class no worker can import."""

    def predict_proba(self, X):
        return super().predict_proba(X * 1.0)


class ShiftedInPlace(LogisticRegression):
    def predict_proba(self, X):
        X -= 1.0
        return super().predict_proba(X)


class Drawing(LogisticRegression):
    def predict_proba(self, X):
        proba = np.random.default_rng().random(len(X))
        return np.column_stack([proba, 1 - proba])


class CenteredOnBatch(LogisticRegression):
    def predict_proba(self, X):
        return super().predict_proba(X - X.mean(axis=0))


def small_frame() -> pd.DataFrame:
    """A sample of a real table with numbers, a category and missing values."""
    frame = load_breast_cancer(as_frame=True).frame.sample(160, random_state=1).reset_index(drop=True)
    frame = frame[["mean radius", "mean texture", "mean area", "target"]].rename(
        columns=lambda name: name.replace(" ", "_")
    )
    frame["size"] = np.where(frame["mean_area"] > 600, "large", "small")
    frame.loc[::9, "mean_texture"] = np.nan
    return frame.assign(target=frame["target"].map({0: "malignant", 1: "benign"}))


COLUMNS = make_column_transformer(
    (make_pipeline(SimpleImputer(), StandardScaler()), ["mean_radius", "mean_texture"]),
    (OneHotEncoder(handle_unknown="ignore"), ["size"]),
)
FAMILIES = {
    "mine": make_pipeline(StandardScaler(), LogisticRegression()),
    "by_column": make_pipeline(COLUMNS, LogisticRegression()),
    "bayes": (GaussianNB(), {"var_smoothing": evenhand.log_float(1e-9, 1e-3, default=1e-9)}),
    "coded": CodedClassifier(),
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> evenhand.Run:
    out = tmp_path_factory.mktemp("python") / "run"
    return evenhand.benchmark(
        small_frame(),
        target="target",
        families=FAMILIES,
        strategies=["none", "class_weight"],
        out=out,
        **(SMALL | {"jobs": 2}),
    )


def stored_predictions(folder: Path) -> dict[str, dict[str, np.ndarray]]:
    """The arrays of every cell."""
    arrays = {}
    for file in sorted(folder.glob("cells/*/predictions.npz")):
        with np.load(file) as archive:
            arrays[file.parent.name] = {name: archive[name] for name in archive.files}
    return arrays


def assert_same_predictions(folder: Path, other: Path) -> None:
    stored, expected = stored_predictions(folder), stored_predictions(other)
    assert stored.keys() == expected.keys() != set()
    for cell, arrays in stored.items():
        for name, array in arrays.items():
            np.testing.assert_array_equal(array, expected[cell][name], err_msg=f"{cell} {name}")


def test_leaderboard_has_a_row_per_entry_by_rank(run):
    board = run.leaderboard()
    assert board["entry"].is_unique
    assert {"mine/none/tuned", "by_column/none/tuned", "bayes/class_weight/default", "majority/none/tuned"} <= {
        *board["entry"]
    }
    ranks = board["rank"].dropna().tolist()
    assert ranks == sorted(ranks)
    stored = pd.read_csv(write_leaderboard(Store(run.folder), run.registry.metrics).csv).set_index("entry")
    for line in board.itertuples():
        assert stored.loc[line.entry, "average_precision"] == pytest.approx(line.average_precision, rel=1e-5)


def test_scores_are_tidy_and_their_means_are_the_leaderboard(run):
    scores = run.scores()
    keys = ["task", "entry", "threshold_kind", "repeat", "fold"]
    assert not scores.duplicated(keys).any()
    means = scores[scores["threshold_kind"] == "tuned"].groupby("entry")["roc_auc"].mean()
    board = run.leaderboard().set_index("entry")["roc_auc"].dropna()
    pd.testing.assert_series_equal(means.loc[board.index], board, check_names=False)


def test_params_have_a_row_per_split_with_the_searched_parameter(run):
    params = run.params("bayes/none/tuned")
    assert params[["repeat", "fold"]].to_numpy().tolist() == [[0, 0], [0, 1]]
    assert params["var_smoothing"].between(1e-9, 1e-3).all()


def test_a_classifier_without_a_space_has_one_configuration(run):
    params = run.params("mine/none/tuned")
    assert params["trial"].tolist() == [0, 0]
    assert set(params) == {"repeat", "fold", "trial", "inner_score", "threshold"}


def test_predictions_hold_every_row_once_and_decide_at_the_threshold_of_their_split(run):
    predictions, frame = run.predictions("mine/none/tuned"), small_frame()
    assert sorted(predictions["row"]) == list(range(len(frame)))
    assert predictions["y"].tolist() == frame["target"].loc[predictions["row"]].tolist()
    thresholds = run.params("mine/none/tuned").set_index("fold")["threshold"]
    positive = predictions["proba_malignant"].to_numpy() >= predictions["fold"].map(thresholds).to_numpy()
    assert (predictions["decision"] == np.where(positive, "malignant", "benign")).all()


def test_comparison_of_two_entries_changes_its_sign_with_their_order(run):
    forward, backward = run.compare("mine/none", "bayes/none"), run.compare("bayes/none", "mine/none")
    np.testing.assert_allclose(forward["difference"], -backward["difference"])
    auc = forward.set_index("metric").loc["ROC AUC"]
    assert auc["difference"] == pytest.approx(auc["a"] - auc["b"])


def test_weights_are_inapplicable_where_fit_takes_none(tmp_path):
    from sklearn.neighbors import KNeighborsClassifier

    run = evenhand.benchmark(
        small_frame(), target="target", families={"near": KNeighborsClassifier()}, strategies=["none", "class_weight"],
        out=tmp_path / "run", **SMALL,
    )  # fmt: skip
    failures = run.failures()
    assert set(failures["status"]) == {"inapplicable"}
    assert set(failures["code"]) == {"unsupported_strategy"}
    assert failures["reason"].str.contains("takes no sample_weight").all()


def test_the_same_call_executes_nothing_again_and_changed_code_does(run):
    files = {file: file.stat().st_mtime_ns for file in run.folder.glob("cells/*/record.json")}
    again = evenhand.benchmark(
        small_frame(), target="target", families=FAMILIES, strategies=["none", "class_weight"], out=run.folder, **SMALL
    )
    assert {file: file.stat().st_mtime_ns for file in again.folder.glob("cells/*/record.json")} == files
    assert estimator_fingerprint(CodedClassifier()) != estimator_fingerprint(ShiftedInPlace())
    assert estimator_fingerprint(GaussianNB()) != estimator_fingerprint(GaussianNB(var_smoothing=1e-5))


def test_python_and_command_line_give_the_same_bytes(tmp_path):
    evenhand.benchmark(
        small_frame(), target="target", families=["logistic_regression"], strategies=["none", "smote"],
        out=tmp_path / "python", **SMALL,
    )  # fmt: skip
    (stored,) = (tmp_path / "python" / "data").iterdir()
    data = shutil.copy(stored, tmp_path / "data.parquet")  # the name of the file is that of the task
    command = [*(sys.executable, "-m", "harness", "run", data, "--target", "target", "--family", "logistic_regression")]
    command += [*("--strategy", "none", "--strategy", "smote", "--trials", "2", "--folds", "2", "--inner-folds", "2")]
    command += [*("--seed", "3", "--jobs", "1", "--quiet", "--no-report", "--out", tmp_path / "command")]
    subprocess.run(command, check=True, cwd=tmp_path)
    assert_same_predictions(tmp_path / "python", tmp_path / "command")
    boards = []
    for name in ("python", "command"):
        with write_leaderboard(Store(tmp_path / name), load_registry().metrics).csv.open(newline="") as file:
            lines = list(csv.DictReader(file))
        boards.append([{column: cell for column, cell in line.items() if column not in MEASURED} for line in lines])
    assert boards[0] == boards[1]


def test_a_run_in_another_thread_beside_one_in_this_thread(tmp_path):
    def benchmark(name):
        evenhand.benchmark(
            small_frame(), target="target", families=["logistic_regression"], strategies=["none"], out=tmp_path / name,
            **SMALL,
        )  # fmt: skip

    thread = threading.Thread(target=benchmark, args=["thread"])
    thread.start()
    benchmark("main")
    thread.join()
    assert_same_predictions(tmp_path / "thread", tmp_path / "main")


INTERRUPTED = """
import sys
import evenhand
from test_python_api import FAMILIES, SMALL, small_frame

if __name__ == "__main__":
    evenhand.benchmark(small_frame(), target="target", families=FAMILIES, strategies=["none", "class_weight"], out=sys.argv[1],
                       **SMALL)
"""


def test_an_interrupted_call_continues_to_the_same_numbers(run, tmp_path):
    script, out = tmp_path / "program.py", tmp_path / "run"
    script.write_text(INTERRUPTED)
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
    command = [sys.executable, script, out]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + LONGEST_WAIT
    while not list(out.glob("cells/*/record.json")) and time.monotonic() < deadline:
        assert process.poll() is None, process.stderr.read()
        os.sched_yield()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=LONGEST_WAIT)
    assert process.returncode != 0
    assert "KeyboardInterrupt" in errors
    assert len(stored_predictions(out)) < len(stored_predictions(run.folder))
    subprocess.run(command, env=environment, check=True)
    assert_same_predictions(out, run.folder)


@pytest.mark.parametrize(
    ("estimator", "reason"),
    [
        (SVC(), "has no predict_proba"),
        (LogisticRegression, "give an object"),
        (object(), "has no fit"),
        (ShiftedInPlace(), "changed the rows"),
        (Drawing(), "draw"),
        (CenteredOnBatch(), "a row alone got other probabilities"),
    ],
)
def test_a_classifier_that_breaks_its_contract_is_refused_with_the_reason(estimator, reason, tmp_path):
    with pytest.raises(evenhand.EvenhandError, match=reason):
        evenhand.benchmark(small_frame(), target="target", families={"mine": estimator}, out=tmp_path / "run", **SMALL)
    assert not (tmp_path / "run" / "run.json").exists()


def test_export_predicts_for_frames_and_refuses_types_by_name(run, tmp_path):
    frame = small_frame()
    model = run.export(tmp_path / "bundle", entry="by_column/class_weight")
    proba = model.predict_proba(frame.drop(columns="target"))
    assert list(proba.columns) == ["benign", "malignant"]
    np.testing.assert_allclose(proba.sum(axis=1), 1)
    opened = evenhand.open_bundle(tmp_path / "bundle")
    pd.testing.assert_frame_equal(opened.predict_proba(frame), proba)
    assert (opened.predict(frame) == frame["target"]).mean() > 0.7
    frame.to_csv(tmp_path / "rows.csv", index=False)
    np.testing.assert_allclose(opened.predict_proba(tmp_path / "rows.csv"), proba, atol=1e-9)
    with pytest.raises(evenhand.EvenhandError, match="CodedClassifier"):
        run.export(tmp_path / "refused", entry="coded/none")
    with pytest.raises(evenhand.EvenhandError, match="declarations="):
        evenhand.open_run(run.folder).export(tmp_path / "refused", entry="bayes/none")


def test_frames_of_polars_are_read_like_those_of_pandas(tmp_path):
    polars = pytest.importorskip("polars")
    frames = {"polars": polars.from_pandas(small_frame()), "pandas": small_frame()}
    for name, frame in frames.items():
        evenhand.benchmark(
            frame, target="target", families=["logistic_regression"], strategies=["none"], out=tmp_path / name, **SMALL
        )
    assert_same_predictions(tmp_path / "polars", tmp_path / "pandas")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"data": small_frame()}, "target=COLUMN"),
        ({"data": small_frame(), "target": "targte"}, "did you mean 'target'"),
        ({"data": small_frame(), "target": "target", "drop": ["target"]}, "it is what is to be predicted"),
        ({"data": [1, 2], "target": "target"}, "but got a list"),
        ({"data": small_frame(), "target": "target", "families": ["xbg"]}, "did you mean 'xgb'"),
        ({"data": small_frame(), "target": "target", "families": GaussianNB()}, "'mine': GaussianNB"),
        ({"data": small_frame(), "target": "target", "strategies": ["SMOTE"]}, "did you mean 'smote'"),
        ({"data": small_frame(), "target": "target", "budget": "soon"}, "not a length of time"),
        ({"data": small_frame(), "target": "target", "cell_budget": "soon"}, "not a length of time"),
        ({"suite": "qick"}, "did you mean 'quick'"),
        ({}, "nothing to run"),
        ({"target": "target"}, "goes with your own data"),
    ],
)
def test_wrong_arguments_are_named_as_they_are_written_in_python(arguments, reason, tmp_path):
    with pytest.raises(evenhand.EvenhandError, match=reason) as error:
        evenhand.benchmark(**arguments, out=tmp_path / "run")
    assert "--target" not in str(error.value)
    assert not (tmp_path / "run").exists()


def test_a_run_of_several_tasks_asks_which_one(tmp_path):
    for name, seed in (("first", 1), ("second", 2)):
        small_frame().sample(120, random_state=seed).to_csv(tmp_path / f"{name}.csv", index=False)
    for name in ("first", "second"):
        run = evenhand.benchmark(
            tmp_path / f"{name}.csv", target="target", families=["logistic_regression"], strategies=["none"],
            out=tmp_path / "run", **SMALL,
        )  # fmt: skip
    assert set(run.leaderboard()["task"]) == {"first", "second"}
    assert set(run.leaderboard(task="first")["task"]) == {"first"}
    with pytest.raises(evenhand.EvenhandError, match="task=, one of first, second"):
        run.params("logistic_regression/none")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"families": {"mine": FrozenEstimator(GaussianNB())}}, "fitted before"),
        ({"declarations": [evenhand.estimator_family("mine", CenteredOnBatch())], "families": ["mine"]}, "a row alone"),
        ({"seed": -1}, "whole number"),
        ({"folds": 2.5}, "whole number"),
        ({"retry": ["sometimes"]}, "unknown status"),
        ({"group": ["size"]}, "name of a column"),
        ({"drop": 5}, "no such column"),
    ],
)
def test_what_would_falsify_a_run_is_refused_before_it(arguments, reason, tmp_path):
    with pytest.raises(evenhand.EvenhandError, match=reason):
        evenhand.benchmark(small_frame(), target="target", out=tmp_path / "run", **(SMALL | arguments))
    assert not (tmp_path / "run" / "run.json").exists()


def test_a_refused_call_leaves_the_rows_of_the_stored_run(run, tmp_path):
    other = small_frame().head(100)
    with pytest.raises(evenhand.EvenhandError, match="another protocol"):
        evenhand.benchmark(
            other, target="target", families=["logistic_regression"], out=run.folder, **(SMALL | {"trials": 3})
        )
    assert len(run.export(tmp_path / "bundle", entry="bayes/none").predict(small_frame())) == len(small_frame())


def test_an_index_with_a_name_is_a_column_in_training_and_prediction(tmp_path):
    frame = small_frame().set_index("mean_radius")
    run = evenhand.benchmark(
        frame, target="target", families=["logistic_regression"], strategies=["none"], out=tmp_path / "run", **SMALL
    )
    assert len(run.export(tmp_path / "bundle").predict(frame)) == len(frame)


def test_a_metric_of_this_program_is_computed_for_a_stored_run(run):
    share = evenhand.Metric(
        name="positive_share", compute=lambda predictions: float(predictions.labels.mean()), metric_type="decision"
    )
    opened = evenhand.open_run(run.folder, declarations=[share])
    assert opened.leaderboard()["positive_share"].dropna().between(0, 1).all()
    with pytest.raises(evenhand.EvenhandError, match="no run"):
        evenhand.open_run(run.folder / "cells")


def test_names_are_still_imported_from_harness_with_a_warning():
    import harness

    with pytest.warns(FutureWarning, match="import Task from evenhand"):
        assert harness.Task is evenhand.Task


def test_another_package_named_harness_is_named_in_the_error(tmp_path):
    (tmp_path / "harness.py").write_text("")
    script = "import sys; sys.path.insert(0, sys.argv[1]); import evenhand"
    done = subprocess.run([sys.executable, "-c", script, tmp_path], capture_output=True, text=True)
    assert "another project" in done.stderr.strip().splitlines()[-1]


@pytest.mark.parametrize("module", ["evenhand", "harness"])
def test_import_loads_no_heavy_library(module):
    heavy = ("numpy", "pandas", "sklearn", "optuna", "matplotlib", "scipy")
    script = f"import sys, {module}; sys.exit(sum(name in sys.modules for name in {heavy}))"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True).returncode == 0


NOTEBOOK_CELLS = (
    """
import evenhand
from sklearn.linear_model import LogisticRegression
from test_python_api import SMALL, small_frame

class Mine(LogisticRegression):
    def predict_proba(self, X):
        return super().predict_proba(X * 1.0)

def benchmark():
    run = evenhand.benchmark(small_frame(), target="target", families={"mine": Mine()}, strategies=["none"], out="run",
                             **(SMALL | {"progress": True}))
    return {path.parent.name: path.stat().st_mtime_ns for path in run.folder.glob("cells/*/record.json")}, run
first, run = benchmark()
run
""",
    """
again, _ = benchmark()
assert again == first, "a stored cell was executed again"
""",
    """
class Mine(LogisticRegression):
    def predict_proba(self, X):
        return super().predict_proba(X * 0.5)
changed, _ = benchmark()
assert sum(changed[cell] != first[cell] for cell in first) == 2, "the cells of the changed class, and no other"
""",
)


def test_a_class_of_a_notebook_runs_resumes_and_changes_its_cells_with_its_code(tmp_path, monkeypatch):
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    notebook = nbformat.v4.new_notebook(cells=list(map(nbformat.v4.new_code_cell, NOTEBOOK_CELLS)))
    kernel = {"metadata": {"path": tmp_path}}
    executed = nbclient.NotebookClient(
        notebook, timeout=LONGEST_WAIT, kernel_name="python3", resources=kernel
    ).execute()
    outputs = executed.cells[0].outputs
    assert any("<table" in output.get("data", {}).get("text/html", "") for output in outputs)
    assert any("4/4 cells" in output.get("data", {}).get("text/plain", "") for output in outputs)
