"""A run folder survives whatever happens to it."""

import hashlib
import io
import json
import os
import resource
from dataclasses import replace

import numpy as np
import pytest

from harness.errors import StoreError
from harness.findings import Reason
from harness.store.files import arrays_to_bytes, predictions_to_bytes, remove_file, write_atomic
from harness.store.record import REQUIRED_OF, REQUIRED_RUN_FIELDS, EntryResult, Record, StoredPredictions
from harness.store.store import Store

OUTCOME = EntryResult(
    "default", 0, {"C": 1.0, "depth": None}, 0.7, 0.31, [80, 20], [80, 80], 0.1, 0.01, {"roc_auc": 0.9}
)
RECORD = Record(
    "id1", "key1", "task", "family", "none", 0, 1, 5, "ok", trials=3, n_train=4, n_test=2, outcomes=(OUTCOME,)
)


def predictions():
    proba = np.array([[0.25, 0.75], [0.5, 0.5]], dtype=np.float32)
    inner = np.array([[0.1, 0.9], [np.nan, np.nan], [0.3, 0.7], [0.4, 0.6]], dtype=np.float32)
    rows = np.arange(6)
    y = np.array([1, 0, 0, 1, 0, 1])
    return StoredPredictions(rows[:2], y[:2], rows[2:], y[2:], {"default": proba}, {"default": inner})


def test_what_is_written_is_read_again(tmp_path):
    store = Store(tmp_path)
    written = store.write_cell(RECORD, predictions())
    assert store.read_record("id1") == written
    assert store.read_every_record() == [written]
    found, expected = store.read_predictions(written), predictions()
    for name in ("test_rows", "test_y", "train_rows", "train_y"):
        assert np.array_equal(getattr(found, name), getattr(expected, name))
    assert np.array_equal(found.test["default"], expected.test["default"])
    assert np.array_equal(found.inner["default"], expected.inner["default"], equal_nan=True)


def test_equal_predictions_have_equal_hashes(tmp_path):
    one = Store(tmp_path / "a").write_cell(RECORD, predictions())
    two = Store(tmp_path / "b").write_cell(RECORD, predictions())
    assert one.predictions_sha256 == two.predictions_sha256 != ""


def test_predictions_that_were_changed_are_refused(tmp_path):
    store = Store(tmp_path)
    written = store.write_cell(RECORD, predictions())
    other = replace(predictions(), test_y=np.array([0, 0]))
    path = store.cell_folder("id1") / "predictions.npz"
    kept = path.read_bytes()
    Store(tmp_path / "other").write_cell(RECORD, other)
    path.write_bytes((tmp_path / "other" / "cells" / "id1" / "predictions.npz").read_bytes())
    with pytest.raises(StoreError, match="SHA-256 differs"):
        store.read_predictions(written)
    path.write_bytes(kept)
    assert store.read_predictions(written).test_y[0] == 1


def test_a_record_of_a_newer_version_is_read_without_its_new_fields():
    values = RECORD.as_dict() | {"novelty": 1}
    values["outcomes"][0]["more"] = 2
    assert Record.from_dict(values) == RECORD


def test_what_is_no_file_is_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(StoreError, match="no file that can be replaced"):
        write_atomic(tmp_path / "pipe", b"new")
    assert (tmp_path / "pipe").is_fifo()


def test_a_full_disk_leaves_what_was_there_and_says_so(tmp_path):
    path = tmp_path / "file"
    write_atomic(path, b"old")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    child = os.fork()
    if child == 0:  # a limit on the size of files is what a process can do to itself that a full disk does to all
        import signal

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (10, before[1]))
        try:
            write_atomic(path, b"x" * 1000)
        except StoreError as error:
            os._exit(0 if "what was stored before is kept" in str(error) else 1)
        os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert path.read_bytes() == b"old"
    assert [one.name for one in tmp_path.iterdir()] == ["file"]


def test_two_runs_cannot_write_the_same_folder(tmp_path):
    with Store(tmp_path).lock(), pytest.raises(StoreError, match="written by another run"), Store(tmp_path).lock():
        pytest.fail("the lock was given twice")
    with Store(tmp_path).lock():
        assert (tmp_path / ".lock").exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "not a run folder"), ("{", "cannot read"), ("[]", "expected an object"), ('{"schema": 99}', "upgrade")],
)
def test_a_folder_that_is_no_run_is_refused_in_a_sentence(tmp_path, content, said):
    if content is not None:
        (tmp_path / "run.json").write_text(content)
    with pytest.raises(StoreError, match=said):
        Store(tmp_path).read_run()


def test_a_study_of_another_key_is_forgotten_and_of_the_same_key_kept(tmp_path):
    store = Store(tmp_path)
    store.keep_or_delete_study("id1", "key1")
    store.journal_path("id1").write_text("trials")
    store.keep_or_delete_study("id1", "key1")
    assert store.journal_path("id1").exists()
    store.keep_or_delete_study("id1", "key2")
    assert not store.journal_path("id1").exists()


CURVES = {
    "inner_0/train_loss": np.array([0.7, 0.5, 0.4]),
    "inner_0/epoch": np.array(3),
    "inner_0/seed": np.array([2**31 - 1]),
}


def test_curves_of_trials_and_refits_are_brought_together_and_read_again(tmp_path):
    store = Store(tmp_path)
    store.write_curves("id1", "trial_0", CURVES)
    store.write_curves("id1", "final_tuned", {"outer/validation_loss": np.array([0.6], dtype=np.float32)})
    written = store.write_cell(RECORD, predictions())
    found = store.read_curves(written)
    assert list(found) == ["final_tuned/outer/validation_loss", *(f"trial_0/{name}" for name in CURVES)]
    assert found["trial_0/inner_0/train_loss"] == pytest.approx([0.7, 0.5, 0.4])
    assert found["trial_0/inner_0/epoch"].tolist() == [3]
    assert found["trial_0/inner_0/seed"].tolist() == [2**31 - 1]
    assert not (store.cell_folder("id1") / "curves").exists()
    assert store.read_record("id1") == written


def test_curves_of_a_cell_that_is_not_ok_wait_for_its_continuation(tmp_path):
    store = Store(tmp_path)
    store.write_curves("id1", "trial_0", CURVES)
    failed = store.write_cell(replace(RECORD, status="timeout", outcomes=()), None)
    assert store.read_curves(failed) == {}
    assert list(store.read_curves(store.write_cell(RECORD, predictions()))) == [f"trial_0/{name}" for name in CURVES]


def test_a_cell_without_curves_has_none(tmp_path):
    store = Store(tmp_path)
    assert store.read_curves(store.write_cell(RECORD, predictions())) == {}
    assert not (store.cell_folder("id1") / "history.npz").exists()


def test_curves_that_were_changed_are_refused(tmp_path):
    store = Store(tmp_path)
    store.write_curves("id1", "trial_0", CURVES)
    written = store.write_cell(RECORD, predictions())
    (store.cell_folder("id1") / "history.npz").write_bytes(b"no curves")
    with pytest.raises(StoreError, match="SHA-256 differs"):
        store.read_curves(written)


def test_a_record_keeps_what_an_entry_is_made_of():
    layers = (("rows", "Input", (8, 8, 1), 0), ("probabilities", "Dense, sigmoid", (1,), 65))
    network = replace(OUTCOME, parameters=65, model_bytes=900, epoch=7, architecture=layers)
    network = replace(network, remarks=(Reason("odd_batches", "3 batches are odd", (("batches", 3),)),))
    record = replace(RECORD, outcomes=(network,), trial_failures={Reason("nonfinite_loss", "the loss is nan"): 2})
    assert Record.from_dict(json.loads(json.dumps(record.as_dict()))) == record


def test_an_older_record_is_read():
    values = RECORD.as_dict()
    for name in ("parameters", "model_bytes", "remarks", "epoch", "architecture"):
        del values["outcomes"][0][name]
    del values["history_sha256"]
    assert Record.from_dict(values) == RECORD


def test_texts_of_an_older_record_have_the_code_unknown():
    values = RECORD.as_dict() | {"trial_failures": {"inapplicable: one row": 2}}
    values["outcomes"][0]["remarks"] = ["3 batches are odd"]
    record = Record.from_dict(values)
    assert record.trial_failures == {Reason("unknown", "inapplicable: one row"): 2}
    assert record.outcomes[0].remarks == (Reason("unknown", "3 batches are odd"),)
    assert Record.from_dict(json.loads(json.dumps(record.as_dict()))) == record


@pytest.mark.parametrize(
    "failures", [3, {"a": "b"}, [3], ["ab"], [{"code": "a"}], [{"code": "a", "message": "b", "trials": "c"}]]
)
def test_failures_of_another_form_are_refused(failures):
    with pytest.raises((TypeError, ValueError), match=r"reason|trial_failures|sequence"):
        Record.from_dict(RECORD.as_dict() | {"trial_failures": failures})


WHOLE = {name: kind() for name, kind in REQUIRED_RUN_FIELDS.items()}
TASK = dict.fromkeys(REQUIRED_OF["tasks"], "") | {"classes": ["a", "b"], "counts": [1, 2]}
TASK |= {"rows": 3, "columns": 4, "splits": 5}
CELL = dict.fromkeys(REQUIRED_OF["cells"], "") | {"task": "one", "repeat": 0, "fold": 0}


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"tasks": None}, "it lacks tasks"),
        ({"schema": "x"}, "its schema is 'x'"),
        *(
            ({"tasks": {"one": {k: v for k, v in TASK.items() if k != name}}}, f"task 'one' lacks {name}:")
            for name in TASK
        ),
        ({"tasks": {"one": 3}}, "task 'one' is 3"),
        ({"tasks": {"one": TASK | {"classes": None}}}, "task 'one' says classes is None"),
        ({"tasks": {"one": TASK | {"costs": 7}}}, "task 'one' says costs is 7"),
        ({"tasks": {"one": TASK | {"columns": None}}}, "task 'one' lacks columns and features"),
        ({"versions": 7}, "it says versions is 7"),
        ({"tasks": {"one": TASK | {"counts": [3]}}}, "task 'one' has 2 classes and 1 counts"),
        ({"tasks": []}, "it says tasks is"),
        ({"families": {"xgb": {"description": ""}}}, "family 'xgb' lacks network"),
        ({"strategies": {"none": {}}}, "strategy 'none' lacks kind, description"),
        ({"cells": {}}, "it says cells is {}"),
        ({"tasks": {"one": TASK}, "cells": [CELL, {"id": ""}]}, "cell 1 lacks key"),
        ({"cells": [CELL]}, "of tasks that it does not describe: one"),
    ],
)
def test_a_description_that_lacks_what_reading_needs_is_one_line(tmp_path, change, complaint):
    Store(tmp_path).write_run(WHOLE)
    assert Store(tmp_path).read_run()["tasks"] == {}
    broken = {name: value for name, value in (WHOLE | change).items() if value is not None}
    Store(tmp_path).write_run(broken)
    with pytest.raises(StoreError, match=complaint) as refused:
        Store(tmp_path).read_run()
    assert "\n" not in str(refused.value)


# --- what lies there and is not what it should be --------------------------------------------------------------------


def vouched(store, data):
    """A record that vouches for predictions that somebody wrote over."""
    written = store.write_cell(RECORD, predictions())
    (store.cell_folder("id1") / "predictions.npz").write_bytes(data)
    renewed = replace(written, predictions_sha256=hashlib.sha256(data).hexdigest())
    (store.cell_folder("id1") / "record.json").write_text(json.dumps(renewed.as_dict()))
    return renewed


def archive(**changed):
    """Predictions of which some arrays are others, or None and so not there."""
    with np.load(io.BytesIO(predictions_to_bytes(predictions()))) as arrays:
        whole = dict(arrays) | changed
    return arrays_to_bytes({name: array for name, array in whole.items() if array is not None})


NAN = np.array([[0.25, 0.75], [np.nan, np.nan]], dtype=np.float32)
HALF_NAN = np.array([[0.25, 0.75], [np.nan, 1.0], [0.5, 0.5], [0.5, 0.5]], dtype=np.float32)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "cannot read"),
        (b"no archive", "cannot read"),
        (b"PK\x03\x04 and no more", "cannot read"),
        (predictions_to_bytes(predictions())[:-40], "cannot read"),
        (archive(test_y=None), "test_y is not a file"),
        (archive(inner_default=None), "inner_default is not a file"),
        (archive(test_y=np.array(["a", "b"])), "invalid literal"),
        (archive(test_y=np.array([0, 2])), "its labels are not those of 2 classes"),
        (archive(test_y=np.array([0])), "do not belong together"),
        (archive(test_default=np.ones((3, 2))), "of shape \\(3, 2\\), for 2 rows"),
        (archive(test_default=NAN), "the probabilities of default are not all numbers"),
        (archive(inner_default=HALF_NAN), "the probabilities of default are not all numbers"),
    ],
)
def test_predictions_that_are_none_are_one_line_that_names_the_cell(tmp_path, data, said):
    store = Store(tmp_path)
    with pytest.raises(StoreError, match=said) as refused:
        store.read_predictions(vouched(store, data))
    assert "task/family/none/r0f1" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_curves_that_are_none_are_one_line(tmp_path):
    store = Store(tmp_path)
    store.write_curves("id1", "trial_0", CURVES)
    written = store.write_cell(RECORD, predictions())
    (store.cell_folder("id1") / "history.npz").write_bytes(b"junk")
    with pytest.raises(StoreError, match="task/family/none/r0f1"):
        store.read_curves(replace(written, history_sha256=hashlib.sha256(b"junk").hexdigest()))


def change(name, value):
    return json.dumps(RECORD.as_dict() | {name: value})


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "cannot read"),
        ("[]", "expected an object"),
        ("{}", "its status is None"),
        (change("n_test", "many"), "its n_test is 'many'"),
        (change("status", "fine"), "its status is 'fine'"),
        (change("outcomes", [{"stage": "default"}]), "missing 9 required"),
        (change("outcomes", [RECORD.as_dict()["outcomes"][0] | {"inner_score": "high"}]), "its inner_score is 'high'"),
    ],
)
def test_a_damaged_record_is_told_apart_and_the_others_are_read(tmp_path, content, said):
    store = Store(tmp_path)
    other = store.write_cell(replace(RECORD, id="id2"), predictions())
    store.write_cell(RECORD, predictions())
    (store.cell_folder("id1") / "record.json").write_text(content)
    found, unreadable = store.read_readable_records()
    assert found == [other]
    assert list(unreadable) == ["id1"]
    assert said in unreadable["id1"]
    with pytest.raises(StoreError, match="cannot read"):
        store.read_every_record()


def test_what_lies_in_the_place_of_a_cell_or_a_record_is_unreadable_and_not_missing(tmp_path):
    store = Store(tmp_path)
    (tmp_path / "cells" / "id2" / "record.json").mkdir(parents=True)
    (tmp_path / "cells" / "id1").write_text("a file")
    (tmp_path / "cells" / "id3").symlink_to("id3")
    (tmp_path / "cells" / "id4").mkdir()
    (tmp_path / "cells" / ".of_the_system").write_text("")
    found, unreadable = store.read_readable_records()
    assert found == []
    assert list(unreadable) == ["id1", "id2", "id3"]
    assert store.read_record("id4") is None


def test_a_record_without_its_predictions_is_of_no_use(tmp_path):
    store = Store(tmp_path)
    store.write_cell(RECORD, predictions())
    (store.cell_folder("id1") / "predictions.npz").unlink()
    found, unreadable = store.read_readable_records()
    assert found == []
    assert "predictions.npz: No such file" in unreadable["id1"]


def test_what_killed_writers_left_goes_when_the_folder_is_written_again(tmp_path):
    folder = tmp_path / "cells" / "id1"
    folder.mkdir(parents=True)
    orphaned = folder / f".record.json.{10**8}.part"  # Linux numbers processes up to 2 ** 22
    under_way, foreign = folder / f".record.json.{os.getpid()}.part", folder / ".mine.part"
    for path in (orphaned, under_way, foreign):
        path.write_text("half")
    with Store(tmp_path).lock():
        assert not orphaned.exists()
        assert under_way.exists()
        assert foreign.exists()


def test_a_folder_in_the_place_of_a_file_of_ours_stays(tmp_path):
    (tmp_path / "table.csv").mkdir()
    remove_file(tmp_path / "table.csv")
    remove_file(tmp_path / "never there.csv")
    (tmp_path / "old.csv").write_text("")
    remove_file(tmp_path / "old.csv")
    assert [one.name for one in tmp_path.iterdir()] == ["table.csv"]


LINE = b'{"op_code":0,"study_name":"t"}\n'
TORN = {
    "record": b'{"op_code": 4, "user_attr": {"reas',
    "character": '{"op_code": 4, "reason": "é'.encode()[:-1],
    "no newline": LINE[:-1],
    "NUL bytes": b"\0" * 4096,
}


@pytest.mark.parametrize("torn", TORN.values(), ids=TORN)
def test_an_incomplete_record_is_cut_off_when_the_cell_is_opened(tmp_path, torn):
    store = Store(tmp_path)
    store.keep_or_delete_study("id1", "key1")
    journal = store.journal_path("id1")
    journal.write_bytes(2 * LINE + torn)
    store.keep_or_delete_study("id1", "key1")
    assert journal.read_bytes() == 2 * LINE


def test_an_intact_journal_is_not_written_when_the_cell_is_opened(tmp_path):
    store = Store(tmp_path)
    store.keep_or_delete_study("id1", "key1")
    journal = store.journal_path("id1")
    journal.write_bytes(2 * LINE)
    before = journal.stat().st_mtime_ns
    store.keep_or_delete_study("id1", "key1")
    assert journal.read_bytes() == 2 * LINE
    assert journal.stat().st_mtime_ns == before


def test_what_killed_processes_left_of_locks_is_removed_when_the_cell_is_opened(tmp_path):
    store = Store(tmp_path)
    store.keep_or_delete_study("id1", "key1")
    journal = store.journal_path("id1")
    journal.write_bytes(LINE)
    locks = [journal.with_name(f"study.journal.lock{suffix}") for suffix in ("", "2f6d-41.rename")]
    for lock in locks:
        lock.symlink_to(journal)
    store.keep_or_delete_study("id1", "key1")
    assert not any(lock.is_symlink() for lock in locks)
    assert journal.read_bytes() == LINE
