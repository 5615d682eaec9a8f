"""Reasons of failures, skips and remarks are values with a code, from where they arise to where they are shown."""

import json
from dataclasses import replace

import numpy as np
import pytest
from fixtures_run import tumours, write_run

from harness.errors import DataError, EvenhandError, Inapplicable, failure_reason
from harness.evaluation.frames import collect_failure_frame
from harness.evaluation.score_collection import collect_scores
from harness.findings import Reason, count_causes, trial_reason
from harness.metrics.classification import METRICS as DECLARED
from harness.networks.history import EarlyStopping, StepStats
from harness.networks.losses import Loss
from harness.networks.rows import make_training_rows
from harness.report.write import write_leaderboard

METRICS = {metric.name: metric for metric in DECLARED}


def diverged(epoch: int) -> Reason:
    message = f"the loss is nan after epoch {epoch}"
    return Reason("nonfinite_loss", message, (("epoch", epoch),))


def raised(error: Exception) -> Exception:
    try:
        raise error
    except type(error) as caught:
        return caught


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (EvenhandError("no"), "error", "no"),
        (EvenhandError("no", code="nonfinite_loss", parameters={"epoch": 3}), "nonfinite_loss", "no"),
        (DataError("two\nlines"), "unusable_data", "two lines"),
        (Inapplicable("one row"), "inapplicable", "one row"),
        (Inapplicable("one row", always=True, code="single_row_of_class"), "single_row_of_class", "one row"),
        (MemoryError("5 GB"), "out_of_memory", "MemoryError: 5 GB"),
        (ValueError("3 rows"), "unexpected_error", "ValueError: 3 rows"),
    ],
)
def test_every_error_has_a_code_and_one_line(error, code, message):
    reason = failure_reason(raised(error))
    assert (reason.code, reason.message) == (code, message)
    assert Reason.from_stored(json.loads(json.dumps(reason.as_dict()))) == reason


def test_errors_of_one_function_that_differ_in_numbers_have_one_cause():
    first, second = (failure_reason(raised(ValueError(f"{n} rows"))) for n in (3, 40))
    assert first != second
    assert first.cause == second.cause == ("unexpected_error", f"{__name__}.raised", "ValueError")
    assert failure_reason(raised(KeyError("rows"))).cause != first.cause


def test_causes_are_counted_under_the_first_reason_of_each():
    counts = {diverged(3): 2, Reason("inapplicable", "one row"): 1, diverged(7): 4, Reason("inapplicable", "no"): 1}
    assert count_causes(counts) == {
        diverged(3): 6,
        Reason("inapplicable", "one row"): 1,
        Reason("inapplicable", "no"): 1,
    }


def test_a_text_of_an_earlier_version_is_shown_as_it_is():
    assert trial_reason({"reason": "inapplicable: 3 rows"}) == Reason("unknown", "inapplicable: 3 rows")
    assert trial_reason({}) == Reason("unknown", "")
    assert trial_reason({"reason": "the loss is nan", "failure": diverged(3).as_dict()}) == diverged(3)


def test_a_network_that_diverges_says_at_which_epoch_and_rate():
    X, y = np.zeros((8, 1), dtype=np.float32), np.arange(8) % 2
    rows, classes = make_training_rows(X, y, None)
    stopping = EarlyStopping(Loss(len(classes)), rows, None, patience=5)
    logits = np.full((8, 1), np.nan, dtype=np.float32)
    with pytest.raises(EvenhandError, match="training diverged: the loss is nan") as caught:
        stopping.record_epoch(StepStats(0.5, np.array([1.0])), logits)
    assert failure_reason(caught.value).code == "nonfinite_loss"
    assert caught.value.parameters == {"epoch": 1, "learning_rate": 0.5}


def test_codes_are_in_the_frame_of_failures_and_causes_in_the_leaderboard(tmp_path):
    store = write_run(tmp_path / "run", [tumours()])
    for number, record in enumerate(store.read_every_record()):
        failures = {diverged(number + 1): 1, diverged(number + 50): 2}
        store.write_cell(replace(record, failed_trials=3, trial_failures=failures), store.read_predictions(record))
    cells = len(store.read_every_record())
    frame = collect_failure_frame(collect_scores(store, METRICS))
    assert set(frame["code"]) == {"nonfinite_loss"}
    assert frame["trials"].sum() == 3 * cells
    text = write_leaderboard(store, METRICS).markdown.read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if "trial failed" in line]
    assert len(lines) == 1
    assert f"{3 * cells} trials" in lines[0]
