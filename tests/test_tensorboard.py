"""Training curves in TensorBoard: what is stored is what its own reader finds, and its page is really served."""

import re
import shutil
import signal
import subprocess
import sys
import urllib.request

import pytest
from conftest import LONGEST_WAIT
from fixtures_curves import with_curves
from fixtures_run import tumours, write_run

from harness.api.tensorboard import require_tensorboard, write_tensorboard_logs
from harness.errors import StoreError, Unavailable
from harness.store.store import Store

pytest.importorskip("tensorboard", reason="TensorBoard is not installed: pip install 'evenhand[tensorboard]'")


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Store:
    return with_curves(tmp_path_factory.mktemp("runs") / "small", [tumours("one_split", splits=1)])


def scalars(folder):
    """Steps and values by tag, as TensorBoard reads them."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    read = EventAccumulator(str(folder))
    read.Reload()
    return {
        tag: ([event.step for event in read.Scalars(tag)], [event.value for event in read.Scalars(tag)])
        for tag in read.Tags()["scalars"]
    }


def test_curves_of_final_fits_are_found_under_their_names(store):
    folder = write_tensorboard_logs(store)
    record = next(one for one in store.read_every_record() if (one.family, one.strategy) == ("bayes", "none"))
    curves = store.read_curves(record)
    for stage in ("default", "tuned"):
        where = folder / "one_split" / "bayes" / "none" / "r0f0" / stage
        trained, watched = scalars(where / "train"), scalars(where / "validation")
        for found, name in ((trained, "train"), (watched, "validation")):
            expected = curves[f"final_{stage}/outer/{name}_loss"]
            assert found["loss"] == (list(range(1, len(expected) + 1)), pytest.approx(expected.tolist()))
            assert {"loss", "accuracy", "average_precision"} <= set(found)
        assert {"learning_rate", "gradient_norm", "seconds"} <= set(trained)
        assert not {"learning_rate", "epoch", "seed"} & set(watched)


def test_steps_stand_at_the_time_that_training_took(store):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    read = EventAccumulator(str(write_tensorboard_logs(store) / "one_split/bayes/none/r0f0/tuned/train"))
    read.Reload()
    events = read.Scalars("loss")
    record = next(one for one in store.read_every_record() if (one.family, one.strategy) == ("bayes", "none"))
    seconds = store.read_curves(record)["final_tuned/outer/seconds"]
    assert events[-1].wall_time - events[0].wall_time == pytest.approx(seconds[1:].sum(), abs=1e-5)


def test_logs_are_made_again_only_where_curves_have_changed(store, tmp_path):
    copy = Store(shutil.copytree(store.folder, tmp_path / "copy"))
    folder = write_tensorboard_logs(copy)
    first = {path: path.stat().st_mtime_ns for path in folder.rglob("events*")}
    assert len(first) == 3 * 2 * 2  # strategies, stages, parts
    write_tensorboard_logs(copy)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("events*")} == first
    gone = next(one for one in copy.read_every_record() if one.strategy == "searched" and one.family == "bayes")
    copy.discard_cell(gone.id)
    write_tensorboard_logs(copy)
    assert len(list(folder.rglob("events*"))) == 2 * 2 * 2


def test_names_that_would_lead_elsewhere_stay_in_the_folder(tmp_path):
    store = with_curves(tmp_path / "run", [tumours("../../up", splits=1)])
    folder = write_tensorboard_logs(store)
    assert all(folder in path.parents for path in tmp_path.rglob("events*"))
    assert len(list(folder.rglob("events*"))) == 12


def test_a_run_without_networks_has_nothing_to_show(tmp_path, evenhand):
    store = write_run(tmp_path / "run", [tumours("one_split", splits=1)])
    code, _, err = evenhand("tensorboard", str(store.folder))
    assert code != 0
    assert "has no training curves: no network has been trained in it yet" in err
    with pytest.raises(StoreError, match="is not a run folder"):
        write_tensorboard_logs(Store(tmp_path))


def test_without_tensorboard_the_command_that_installs_it_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(Unavailable, match=r"^TensorBoard is not installed: pip install 'evenhand\[tensorboard\]'$"):
        require_tensorboard()


@pytest.fixture
def served(store):
    """The command, serving; ended by Ctrl-C."""
    words = [sys.executable, "-m", "harness", "tensorboard", str(store.folder), "--port", "0"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    yield process
    process.kill()
    process.wait()


def test_the_page_is_served_on_this_machine_alone_and_ends_with_ctrl_c(served):
    said = served.stdout.readline()
    address = re.search(r"http://127\.0\.0\.1:\d+/", said)[0]
    for page in ("", "data/environment"):
        with urllib.request.urlopen(address + page, timeout=LONGEST_WAIT) as answer:  # noqa: S310 -- its scheme is matched above
            assert answer.status == 200
    served.send_signal(signal.SIGINT)
    assert served.wait(timeout=LONGEST_WAIT) == 0
