"""Whole runs: the same numbers whatever the number of workers and whatever happens to them; every failure a record."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
from conftest import LONGEST_WAIT, cell, cell_data, marked_table, wait_until

import evenhand
from harness.registry.protocol import EvaluationProtocol
from harness.store.store import Store

TIMING = ["fit_seconds", "predict_us_per_row"]
SMALL = [
    "--family",
    "logistic_regression",
    "--family",
    "gradient_boosting",
    "--family",
    "dense_network",
    "--strategy",
    "none",
    "--strategy",
    "smote",
    "--strategy",
    "searched",
    "--trials",
    "3",
    "--folds",
    "2",
    "--inner-folds",
    "2",
    "--no-report",
]


@pytest.fixture(scope="module")
def customers(tmp_path_factory):
    """A table of one's own: 120 rows, numbers with gaps, a category, classes 1 : 4."""
    rng = np.random.default_rng(0)
    churned = np.where(np.arange(120) % 5 == 0, "Yes", "No")
    frame = pd.DataFrame(
        {
            "age": np.round(rng.normal(40, 12, 120) + 8 * (churned == "Yes"), 1),
            "spend": np.where(rng.random(120) < 0.1, np.nan, np.round(rng.gamma(2, 50, 120), 2)),
            "plan": rng.choice(["basic", "plus", "pro"], 120),
            "churned": churned,
        }
    )
    path = tmp_path_factory.mktemp("own") / "customers.csv"
    frame.to_csv(path, index=False)
    return path


def command(*words):
    return [sys.executable, "-m", "harness", "run", *map(str, words)]


def finish(*words, **options):
    return subprocess.run(command(*words), capture_output=True, text=True, timeout=LONGEST_WAIT, **options)


def table(out):
    """The leaderboard without its timing columns, as text."""
    frame = evenhand.open_run(out).leaderboard()
    return frame.drop(columns=[c for c in frame if c.removesuffix("_sd") in TIMING]).to_csv(index=False)


@pytest.fixture(scope="module")
def reference(customers, tmp_path_factory):
    """An uninterrupted run with one worker."""
    out = tmp_path_factory.mktemp("runs") / "one"
    done = finish(customers, "--target", "churned", *SMALL, "--jobs", 1, "--out", out)
    assert done.returncode == 0, done.stderr
    return out


def test_two_workers_give_the_same_table_as_one(customers, reference, tmp_path):
    done = finish(customers, "--target", "churned", *SMALL, "--jobs", 2, "--out", tmp_path / "two")
    assert done.returncode == 0, done.stderr
    assert table(tmp_path / "two") == table(reference)


def test_a_run_killed_at_random_moments_and_continued_gives_the_same_table(customers, reference, tmp_path):
    out, rng, kills = tmp_path / "killed", np.random.default_rng(5), 0
    words = command(customers, "--target", "churned", *SMALL, "--jobs", 2, "--out", out, "--quiet")
    finished: dict[str, int] = {}
    for files in rng.integers(1, 30, size=5):
        known = stored_files(out)
        process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(lambda: process.poll() is not None or len(stored_files(out) - known) >= files)  # noqa: B023
        if process.poll() is not None:
            break
        process.kill()
        process.wait()
        kills += 1
        for path in out.glob("cells/*/record.json"):
            known_time = finished.setdefault(path.parent.name, path.stat().st_mtime_ns)
            assert known_time == path.stat().st_mtime_ns, "a finished cell was done twice"
    assert kills >= 2, "the run must be killed at least twice, or nothing was tried"
    done = finish(customers, "--target", "churned", *SMALL, "--jobs", 1, "--out", out)
    assert done.returncode == 0, done.stderr
    assert table(out) == table(reference)


def stored_files(out):
    """The files of the cells of a run, each with its size: a journal that grows by a trial counts as new."""
    sizes = set()
    for path in out.glob("cells/*/*"):
        with contextlib.suppress(FileNotFoundError):
            sizes.add((path, path.stat().st_size))
    return sizes


def test_workers_end_when_the_run_is_killed(customers, tmp_path):
    out = tmp_path / "orphans"
    process = subprocess.Popen(
        command(customers, "--target", "churned", *SMALL, "--trials", 50, "--jobs", 2, "--out", out, "--quiet")
    )
    parent = psutil.Process(process.pid)
    wait_until(parent.children)
    children = parent.children()
    process.kill()
    process.wait()
    _, alive = psutil.wait_procs(children, timeout=LONGEST_WAIT)
    assert not alive


def test_the_same_command_does_nothing_twice(customers, reference, evenhand):
    before = {p: p.stat().st_mtime_ns for p in reference.glob("cells/*/record.json")}
    code, _, messages = evenhand("run", customers, "--target", "churned", *SMALL, "--jobs", 1, "--out", reference)
    assert code == 0
    assert "0 to do" in messages
    assert before == {p: p.stat().st_mtime_ns for p in reference.glob("cells/*/record.json")}


def test_another_protocol_on_the_same_folder_is_refused_with_what_differs(customers, reference, evenhand):
    code, _, messages = evenhand("run", customers, "--target", "churned", *SMALL, "--trials", 9, "--out", reference)
    assert code == 2
    assert messages.strip().splitlines()[-1].startswith("evenhand: ")
    assert "trials 3 → 9" in messages
    assert "Traceback" not in messages


def test_the_floor_is_always_there_and_every_cell_says_what_it_did(reference):
    store = Store(reference)
    records = store.read_every_record()
    assert {r.family for r in records} == {"majority", "logistic_regression", "gradient_boosting", "dense_network"}
    assert len(records) == 2 * (1 + 3 * 3)
    for record in records:
        assert record.status == "ok", record.reason
        assert [o.stage for o in record.outcomes] == ["default", "tuned"]
        assert record.trials + record.failed_trials == (1 if record.family == "majority" else 3)
        inner = store.read_predictions(record).inner
        assert all(np.isfinite(inner[stage]).all() for stage in inner)
        for outcome in record.outcomes:
            if record.strategy == "smote":
                before, after = np.sort(outcome.counts_before), np.sort(outcome.counts_after)
                assert before[0] < after[0] == after[1]


def test_first_interrupt_finishes_what_is_in_flight_and_writes_the_tables(customers, reference, tmp_path):
    out = tmp_path / "interrupted"
    words = command(customers, "--target", "churned", *SMALL, "--report", "--jobs", 1, "--out", out)
    process = subprocess.Popen(words, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    for line in process.stderr:
        if " ok " in line:
            process.send_signal(signal.SIGINT)
            break
    rest = process.stderr.read()
    assert process.wait(timeout=LONGEST_WAIT) == 130
    assert "the same command continues" in rest
    assert (out / "leaderboard.md").exists()
    assert 1 <= len(Store(out).read_every_record()) < 20
    assert finish(customers, "--target", "churned", *SMALL, "--jobs", 2, "--out", out).returncode == 0
    assert table(out) == table(reference)


@pytest.fixture
def bad_plugin(tmp_path):
    """Families that crash, hang, eat memory, or give up."""
    (tmp_path / "trouble.py").write_text(
        textwrap.dedent(
            """
            import os, time
            from harness.registry.family import Family
            from harness.errors import Inapplicable

            class Base:
                def __init__(self, seed): pass
                def predict_proba(self, X): raise AssertionError

            class Crashes(Base):
                def fit(self, X, y, sample_weight=None): os._exit(7)
            class Hangs(Base):
                def fit(self, X, y, sample_weight=None): time.sleep(600)
            class Eats(Base):
                def fit(self, X, y, sample_weight=None):
                    self.much = bytearray(os.urandom(1024) * 600_000)
                    time.sleep(600)
            class Raises(Base):
                def fit(self, X, y, sample_weight=None): raise ValueError("no such luck")
            class Refuses(Base):
                def fit(self, X, y, sample_weight=None): raise Inapplicable("only for Sundays", always=True)

            FAMILIES = tuple(
                Family(name=one.__name__.lower(), build=one, space={}, encodings={"tabular": "ordinal"})
                for one in (Crashes, Hangs, Eats, Raises, Refuses)
            )
            """
        )
    )
    return tmp_path


def test_every_kind_of_failure_is_a_record_with_its_reason(customers, bad_plugin):
    script = textwrap.dedent(
        f"""
        from pathlib import Path
        from harness.registry.protocol import EvaluationProtocol
        from harness.registry.registry import load_registry
        from harness.report.write import write_leaderboard
        from harness.api.benchmark import benchmark
        from harness.execution.plan import RunRequest, UserData
        from harness.execution.engines.base import Limits, RunCallbacks
        from harness.store.store import Store

        registry, store = load_registry(["trouble"]), Store(Path("out"))

        def run(seconds, *families):
            request = RunRequest(("customers",), families, ("none",), EvaluationProtocol(folds=2, trials=2, inner_folds=2),
                              plugins=("trouble",), own=UserData({str(customers)!r}, "churned"))
            benchmark(request, registry, store, command="", jobs=2, limits=Limits(seconds, 800), retry=(),
                      on_start=lambda start: RunCallbacks(lambda event: None, lambda: "no"))

        # A worker that imports nothing heavy needs a second to start; `majority` is stored before the hanging family runs.
        run({LONGEST_WAIT}, "crashes", "eats", "raises", "refuses", "logistic_regression")
        run(12, "hangs")
        write_leaderboard(store, registry.metrics)
        """
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=bad_plugin, capture_output=True, text=True, timeout=3 * LONGEST_WAIT,
        env=os.environ | {"PYTHONPATH": str(bad_plugin)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = {r.family: (r.status, r.reason) for r in Store(bad_plugin / "out").read_every_record()}
    assert found["crashes"] == ("failed", "the process ended with exit code 7")
    assert found["hangs"][0] == "timeout"
    assert found["eats"][0] == "memory"
    assert found["raises"] == ("failed", "ValueError: no such luck")
    assert found["refuses"] == ("inapplicable", "only for Sundays")
    assert found["logistic_regression"][0] == found["majority"][0] == "ok"
    written = (bad_plugin / "out" / "leaderboard.md").read_text()
    for reason in ("exit code 7", "longer than 12 s", "no such luck", "only for Sundays", "800 MB"):
        assert reason in written


def test_a_run_in_which_only_the_baseline_could_be_run_ends_with_an_error(customers, bad_plugin, evenhand):
    words = "--plugin trouble.py --family raises --strategy none --trials 1 --folds 2 --jobs 1 --no-report --out out"
    code, _, messages = evenhand("run", customers, "--target", "churned", *words.split())
    assert code == 2
    assert "only the baseline could be run: failed: ValueError: no such luck" in messages
    assert len(Store(bad_plugin / "out").read_every_record()) == 4


def test_a_changed_space_reruns_its_cells_and_no_others(customers, tmp_path, evenhand):
    plugin = tmp_path / "mine.py"
    text = textwrap.dedent(
        """
        from harness.registry.family import Family
        from harness.registry.space import log_float

        def build(seed, C):
            from sklearn.linear_model import LogisticRegression
            return LogisticRegression(C=C, random_state=seed)

        FAMILY = Family(name="mine", build=build, space={"C": log_float(0.1, HIGH, default=1.0)},
                        encodings={"tabular": "one_hot"})
        """
    )
    words = "--plugin mine.py --family mine --family logistic_regression --strategy none --trials 2 --folds 2 --jobs 1"
    call = ["run", customers, "--target", "churned", *words.split(), "--no-report", "--out", "out"]
    plugin.write_text(text.replace("HIGH", "10.0"))
    assert evenhand(*call)[0] == 0
    plugin.write_text(text.replace("HIGH", "100.0"))
    done = finish(*call[1:], cwd=tmp_path)  # another process: this one has imported the plug-in
    assert done.returncode == 0, done.stderr
    assert "2 to do; stored already: 4 ok\n2 stored cells are done again: their data, their declarations" in done.stderr


def test_a_run_says_with_what_it_was_made(reference):
    run = json.loads((reference / "run.json").read_text())
    assert run["protocol"]["trials"] == 3
    assert run["versions"]["optuna"]
    assert len(run["tasks"]["customers"]["fingerprint"]) == 64
    assert run["tasks"]["customers"]["counts"] == [96, 24]
    assert run["command"].startswith("evenhand run")
    assert str(Path.home()) not in json.dumps(run["tasks"])


def test_cells_of_other_rows_are_no_longer_part_of_a_run(tmp_path, evenhand):
    call = [
        "run",
        "own.csv",
        "--target",
        "y",
        "--trials",
        1,
        "--folds",
        2,
        "--inner-folds",
        2,
        "--strategy",
        "none",
        "--jobs",
        1,
        "--no-report",
        "--out",
        "out",
    ]
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.normal(size=80), "y": ["a", "b", "a", "a"] * 20})
    frame.to_csv(tmp_path / "own.csv", index=False)
    both = ["--family", "logistic_regression", "--family", "random_forest"]
    assert evenhand(*call, *both)[0] == 0
    frame.assign(x=frame["x"] + 1).to_csv(tmp_path / "own.csv", index=False)
    assert evenhand(*call, *both[:2])[0] == 0
    planned = Store(tmp_path / "out").read_run()["cells"]
    assert {cell["family"] for cell in planned} == {"logistic_regression", "majority"}
    assert "random_forest" not in table(tmp_path / "out")


def test_a_finished_cell_stands_when_its_package_has_gone(registry, tmp_path):
    from harness.api.benchmark import benchmark
    from harness.execution.engines.base import Limits, RunCallbacks
    from harness.execution.plan import RunRequest
    from harness.registry.family import Family

    def start(needs):
        from sklearn.naive_bayes import GaussianNB

        family = Family(
            name="mine", build=lambda seed: GaussianNB(), space={}, encodings={"tabular": "one_hot"}, needs=needs
        )
        known = replace(registry, families={"mine": family, "majority": registry.family("majority")})
        request = RunRequest(
            ("digits_nine",), ("mine",), ("none",), EvaluationProtocol(folds=2, inner_folds=2, trials=1)
        )
        told = []
        limits = Limits(LONGEST_WAIT, 4000)
        begun = lambda start: told.append(start) or RunCallbacks(lambda event: None, lambda: "now")  # noqa: E731
        benchmark(request, known, Store(tmp_path), command="", jobs=1, limits=limits, retry=(), on_start=begun)
        return told[0]

    first = start(())
    mine = [cell for cell in first.pending if cell.family == "mine"]
    for one in mine:
        Store(tmp_path).write_cell(one.make_record(status="ok"), None)
    assert {r.status for r in start(("nowhere_to_be_found",)).finished if r.family == "mine"} == {"ok"}
    assert len(mine) == 2


def test_on_a_terminal_the_run_is_shown_live(customers, tmp_path):
    import pty

    main, terminal = pty.openpty()
    words = command(customers, "--target", "churned", "--family", "logistic_regression", "--trials", 2, "--folds", 2)
    process = subprocess.Popen(
        [*words, "--strategy", "none", "--jobs", "1", "--no-report", "--out", tmp_path / "out"],
        stdout=subprocess.DEVNULL,
        stderr=terminal,
    )
    os.close(terminal)
    shown = b""
    while True:
        try:
            chunk = os.read(main, 4096)
        except OSError:  # how a terminal says that nobody is at the other end
            break
        if not chunk:
            break
        shown += chunk
    assert process.wait(timeout=LONGEST_WAIT) == 0, shown.decode()
    assert b"4/4 cells" in shown
    assert b"best so far" in shown
    assert b"Traceback" not in shown


def test_a_reader_that_goes_away_costs_neither_cells_nor_tables(customers, tmp_path):
    words = command(customers, "--target", "churned", "--family", "logistic_regression", "--trials", 2, "--folds", 2)
    process = subprocess.Popen(
        [*words, "--strategy", "none", "--jobs", "1", "--out", tmp_path / "out"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    process.stderr.readline()
    process.stderr.close()
    process.stdout.close()
    process.wait(timeout=LONGEST_WAIT)
    assert len(Store(tmp_path / "out").read_every_record()) == 4
    assert (tmp_path / "out" / "leaderboard.md").exists()


def test_a_refit_that_fails_is_a_record_and_not_the_end_of_the_run(registry, tmp_path):
    """The search went well; then the fit to all training rows gives no probabilities."""
    from harness.execution.cell import run_cell
    from harness.registry.family import Family

    class Moody:
        def fit(self, X, y, sample_weight=None):
            self.large = len(X) > 150

        def predict_proba(self, X):
            return np.full((len(X), 2), np.nan if self.large else 0.5)

    family = Family(name="moody", build=lambda seed: Moody(), space={}, encodings={"tabular": "one_hot_scaled"})
    given = cell_data(marked_table(), family, (registry.strategy("none"),), registry)
    record = run_cell(cell(), given, Store(tmp_path))
    assert record.status == "failed"
    assert "finite probabilities" in record.reason


@pytest.mark.parametrize("stage", ["default", "tuned"])
def test_a_refit_that_fails_costs_its_own_entry_and_no_other(registry, tmp_path, stage):
    """The inner fits all go well; then one of the two configurations gives no probabilities."""
    from harness.execution.cell import run_cell
    from harness.registry.family import Family
    from harness.registry.space import real

    class Moody:
        def __init__(self, sharpness):
            self.sharpness = sharpness

        def fit(self, X, y, sample_weight=None):
            self.fails = len(X) > 150 and (self.sharpness == 0.5) == (stage == "default")
            return self

        def predict_proba(self, X):
            positive = 1 / (1 + np.exp(-self.sharpness * X[:, 0] - (self.sharpness != 0.5) * X[:, 1]))
            return np.full((len(X), 2), np.nan) if self.fails else np.column_stack([1 - positive, positive])

    space = {"sharpness": real(0.1, 2.0, default=0.5)}
    family = Family(
        name="moody",
        build=lambda seed, sharpness: Moody(sharpness),
        space=space,
        encodings={"tabular": "one_hot_scaled"},
    )
    given = cell_data(marked_table(), family, (registry.strategy("none"),), registry, trials=3)
    store = Store(tmp_path)
    record = run_cell(cell(), given, store)
    kept = "tuned" if stage == "default" else "default"
    assert record.status == "ok"
    assert [outcome.stage for outcome in record.outcomes] == [kept]
    assert record.reason.startswith(f"the refit of {stage} failed: Moody did not return 2 finite probabilities")
    assert set(store.read_predictions(record).test) == set(store.read_predictions(record).inner) == {kept}


def test_what_is_kept_on_disk_of_pictures_is_made_before_the_prediction_is_timed(registry, tmp_path, monkeypatch):
    from harness.execution.cell import run_cell
    from harness.preprocessing.encodings import ENCODINGS, Encoding
    from harness.registry.family import ENCODING_NAMES, Family
    from harness.registry.task import Table

    called = []

    class Keeping:
        def fill_cache(self, rows):
            called.append(("fill_cache", len(rows)))

        def transform(self, rows):
            called.append(("transform", len(rows)))
            return rows.reshape(len(rows), -1).astype(float)

    monkeypatch.setitem(
        ENCODINGS, "keeping", Encoding("keeping", lambda X, y, seed: Keeping(), {}, "image", reason="no")
    )
    monkeypatch.setitem(ENCODING_NAMES, "image", (*ENCODING_NAMES["image"], "keeping"))
    y = np.arange(60) % 2
    pictures = np.random.default_rng(0).integers(0, 256, (60, 2, 2, 1)).astype(np.uint8)

    def build(seed):
        from sklearn.naive_bayes import GaussianNB

        return GaussianNB()

    family = Family(name="plain", build=build, space={}, encodings={"image": "keeping"})
    given = cell_data(Table(pictures, y, ("a", "b")), family, (registry.strategy("none"),), registry, trials=1)
    record = run_cell(cell(), given, Store(tmp_path))
    assert record.status == "ok", record.reason
    assert called[-2:] == [("fill_cache", record.n_test), ("transform", record.n_test)]
    assert [name for name, _ in called].count("fill_cache") == 1


WRONG = {
    "too few rows": (lambda n: np.full((n - 1, 2), 0.5), r"expected the shape \(\d+, 2\), found \(\d+, 2\)"),
    "a column": (lambda n: np.full(n, 0.5), r"expected the shape \(\d+, 2\), found \(\d+,\)"),
    "three classes": (lambda n: np.full((n, 3), 1 / 3), r"expected the shape \(\d+, 2\), found \(\d+, 3\)"),
    "not finite": (lambda n: np.full((n, 2), np.inf), r"\d+ of \d+ rows are not finite"),
    "below 0": (lambda n: np.tile([-0.25, 1.25], (n, 1)), r"expected values from 0 to 1, found -0.25 to 1.25"),
    "sums of 2": (lambda n: np.full((n, 2), 1.0), r"expected sums of 1 up to 0.001, found a row with 2"),
}


@pytest.mark.parametrize(("wrong", "message"), WRONG.values(), ids=WRONG)
def test_a_family_without_probabilities_costs_itself_and_says_what_was_found(registry, tmp_path, wrong, message):
    from harness.execution.cell import run_cell
    from harness.registry.family import Family

    class Wrong:
        def fit(self, X, y, sample_weight=None):
            return self

        def predict_proba(self, X):
            return wrong(len(X))

    family = Family(name="wrong", build=lambda seed: Wrong(), space={}, encodings={"tabular": "ordinal"})
    given = cell_data(marked_table(), family, (registry.strategy("none"),), registry, trials=1)
    record = run_cell(cell(), given, Store(tmp_path))
    assert record.status == "failed"
    assert re.search("Wrong did not return 2 finite probabilities per row that add up to 1: " + message, record.reason)


def test_probabilities_are_accepted_up_to_rounding_and_stored_as_they_are(registry, tmp_path):
    from harness.execution.cell import run_cell
    from harness.registry.family import Family

    class Rounded:
        def fit(self, X, y, sample_weight=None):
            return self

        def predict_proba(self, X):
            return np.tile([0.3002, 0.7001], (len(X), 1))

    family = Family(name="rounded", build=lambda seed: Rounded(), space={}, encodings={"tabular": "ordinal"})
    given = cell_data(marked_table(), family, (registry.strategy("none"),), registry, trials=1)
    store = Store(tmp_path)
    record = run_cell(cell(), given, store)
    assert record.status == "ok", record.reason
    assert np.array_equal(np.unique(store.read_predictions(record).test["default"]), np.float32([0.3002, 0.7001]))


def test_a_cell_whose_journal_was_cut_short_continues_to_the_same_bytes(registry, tmp_path):
    from harness.execution.cell import run_cell

    def run(folder, trials):
        given = cell_data(
            marked_table(),
            registry.family("logistic_regression"),
            (registry.strategy("none"),),
            registry,
            trials=trials,
        )
        store = Store(folder)
        return store, run_cell(cell(), given, store)

    _, expected = run(tmp_path / "intact", 4)
    store, _ = run(tmp_path / "torn", 3)
    journal = store.journal_path(expected.id)
    journal.write_bytes(journal.read_bytes()[:-40])
    journal.with_name("study.journal.lock").symlink_to(journal)
    (store.cell_folder(expected.id) / "record.json").unlink()
    _, record = run(tmp_path / "torn", 4)
    assert record.status == "ok", record.reason
    assert record.predictions_sha256 == expected.predictions_sha256
    assert [outcome.params for outcome in record.outcomes] == [outcome.params for outcome in expected.outcomes]
