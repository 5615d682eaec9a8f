"""Importance of columns for the recommended entry: measured on sealed rows by refits, stored, and out of date with its entry."""

import numpy as np
import pandas as pd
import pytest

import evenhand
from harness.evaluation.permutation_importance import average_column_losses
from harness.metrics.classification import METRICS
from harness.metrics.permutation import permutation_losses
from harness.store.importances import TaskImportances, read_importances
from harness.store.store import Store

AUC = next(metric for metric in METRICS if metric.name == "roc_auc")


def rows(n: int = 400) -> pd.DataFrame:
    """One column decides, one helps, one is noise."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(n, 3)), columns=["decides", "helps", "noise"])
    logits = 2.5 * frame.decides + 0.7 * frame.helps - 1
    return frame.assign(y=np.where(rng.random(n) < 1 / (1 + np.exp(-logits)), "yes", "no"))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    options = {"families": ["logistic_regression"], "strategies": ["none"], "trials": 1, "folds": 3, "inner_folds": 2}
    out = tmp_path_factory.mktemp("importance") / "run"
    return evenhand.benchmark(rows(), target="y", out=out, jobs=1, progress=False, report=True, **options)


def test_the_column_that_decides_comes_first_and_noise_last(run):
    importance = run.importance()
    assert importance.column.tolist() == ["decides", "helps", "noise"]
    assert importance.loss[0] > 0.2
    assert importance.low[0] > 0
    assert abs(importance.loss[2]) < 0.02
    assert (importance.low <= importance.loss).all()
    assert (importance.loss <= importance.high).all()


def test_the_page_has_the_columns_and_the_entry(run):
    stored = read_importances(Store(run.folder))["data"]
    assert stored.entry == run.best
    assert len(stored.losses) == 3
    assert "Which columns matter" in (run.folder / "report.html").read_text(encoding="utf-8")


def test_a_damaged_file_is_measured_again_and_not_read(run):
    path = run.folder / "derived" / "importances.json"
    content = path.read_text()
    path.write_text(content[: len(content) // 2])
    assert read_importances(Store(run.folder)) == {}
    assert run.importance().empty
    path.write_text(content)


def test_losses_are_seeded_and_zero_for_columns_that_the_model_ignores():
    frame = rows(200)
    y = (frame.y == "yes").to_numpy(dtype=np.int64)

    def predict_proba(X: pd.DataFrame) -> np.ndarray:
        positive = 1 / (1 + np.exp(-X["decides"].to_numpy()))
        return np.column_stack([1 - positive, positive])

    units = [("decides",), ("noise",), ("decides", "noise")]
    losses = permutation_losses(predict_proba, frame, y, AUC, units, seed=1)
    assert losses == permutation_losses(predict_proba, frame, y, AUC, units, seed=1)
    assert losses[1] == 0
    assert losses[0] == losses[2] > 0.2


def test_losses_of_folds_are_averaged_with_an_interval():
    losses = ((0.10, 0.0), (0.12, 0.01), (0.11, -0.01))
    first, second = average_column_losses(TaskImportances("t", "e", "k", "roc_auc", 0.5, ("a", "b"), losses))
    assert (first.column, first.loss) == ("a", pytest.approx(0.11))
    assert first.low > 0 > second.low
