"""Stored cells fitted again: what is confirmed, what is not, and what is said where that cannot be known."""

import json
import re
import shutil
import subprocess
import sys
import textwrap

import numpy as np
import pandas as pd
import pytest

from harness.api.benchmark import benchmark
from harness.api.session import describe_replay
from harness.data.user_data import UserData
from harness.errors import EvenhandError
from harness.execution.engines.base import Limits, RunCallbacks
from harness.execution.environment import describe_host, package_versions
from harness.execution.plan import RunRequest
from harness.execution.replay import ReplayRequest, _replay_tolerance, find_cell, replay_stored_cell
from harness.execution.replay_entry import _are_replays_within_tolerance, _probability_difference
from harness.registry.protocol import EvaluationProtocol
from harness.registry.registry import load_registry
from harness.store.store import Store

PLUGIN = """
from harness.registry.family import Family
from harness.registry.space import log_float

def build(seed, C):
    from sklearn.linear_model import LogisticRegression
    return LogisticRegression(C=C, random_state=seed, max_iter={rounds})

MINE = Family(name="mine", build=build, space={{"C": log_float(0.01, 10.0, default=1.0)}}, encodings={{"tabular": "one_hot_scaled"}})
"""


def evenhand_in(folder, *words):
    return subprocess.run(
        [sys.executable, "-m", "harness", *map(str, words)], cwd=folder, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A file of one's own, a plugin, and a run of both."""
    folder = tmp_path_factory.mktemp("replay")
    rng = np.random.default_rng(0)
    churned = np.arange(150) % 4 == 0
    frame = pd.DataFrame(
        {
            "age": np.round(rng.normal(40, 12, 150) + 8 * churned, 1),
            "plan": rng.choice(["basic", "plus"], 150),
            "note": "x",
            "churned": np.where(churned, "Yes", "No"),
        }
    )
    frame.to_csv(folder / "customers.csv", index=False)
    (folder / "mine.py").write_text(textwrap.dedent(PLUGIN.format(rounds=500)))
    plugins, own = (str(folder / "mine.py"),), UserData(str(folder / "customers.csv"), "churned", drop=("note",))
    protocol = EvaluationProtocol(trials=3, folds=3, inner_folds=2)
    families, strategies = ("mine", "logistic_regression"), ("none", "smote", "searched")
    request = RunRequest(("customers",), families, strategies, protocol, plugins=plugins, own=own)
    benchmark(
        request,
        load_registry(plugins),
        Store(folder / "run"),
        command="evenhand run customers.csv",
        jobs=1,
        limits=Limits(120, 4000),
        retry=(),
        on_start=lambda start: RunCallbacks(lambda event: None, lambda: "no"),
    )
    return folder


@pytest.fixture
def copy(folder, tmp_path):
    """The same to be changed."""
    shutil.copytree(folder, tmp_path / "copy")
    run = tmp_path / "copy" / "run" / "run.json"
    said = json.loads(run.read_text())
    said["tasks"]["customers"]["own"]["path"] = str(tmp_path / "copy" / "customers.csv")
    run.write_text(json.dumps(said))
    return tmp_path / "copy"


def replayed(folder, cell, *stages):
    """In this process, so that each costs one fit and not the start of an interpreter."""
    return replay_stored_cell(ReplayRequest(str(folder / "run"), cell, stages or ("default", "tuned")))


def as_bytes(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def edit(path, change):
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))


def record_file(folder, cell):
    run = Store(folder / "run").read_run()
    return folder / "run" / "cells" / find_cell(run, cell)["id"] / "record.json"


LINEAR = "customers/logistic_regression/none/r0f0"


def test_cells_come_again_to_the_last_digit_and_the_run_stays_as_it_was(folder):
    before = as_bytes(folder / "run")
    done = evenhand_in(folder, "replay", "run", "customers/mine/smote/r0f1", "--plugin", "mine.py")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "default (trial 0): confirmed: equal to the last digit" in done.stdout
    assert "\ntuned" in done.stdout
    assert "differs:" not in done.stdout
    found = replayed(folder, "customers/logistic_regression/searched/r0f2")
    assert found.is_confirmed
    assert [one.verdict for one in found.entries] == ["same", "same"]
    assert found.differences == ()
    assert as_bytes(folder / "run") == before


def test_a_record_that_says_another_configuration_is_not_confirmed(copy):
    edit(record_file(copy, LINEAR), lambda record: record["outcomes"][1]["params"].update(C=0.02))
    edit(record_file(copy, LINEAR), lambda record: record["outcomes"][1].update(trial=2))
    found = replayed(copy, LINEAR)
    assert not found.is_confirmed
    assert [one.verdict for one in found.entries] == ["same", "different"]
    assert found.entries[1].probability_differences["test"][1] > 0
    assert "tuned (trial 2): NOT confirmed" in describe_replay(found)


def test_a_figure_that_was_altered_is_found(copy):
    edit(record_file(copy, LINEAR), lambda record: record["outcomes"][0].update(inner_score=0.999))
    found = replayed(copy, LINEAR, "default")
    assert not found.is_confirmed
    assert found.entries[0].probability_differences == {"test": (0.0, 0.0), "inner": (0.0, 0.0)}
    assert "0.999" in describe_replay(found)


def test_other_versions_are_named_and_widen_what_is_accepted(copy):
    record = record_file(copy, LINEAR)
    score = json.loads(record.read_text())["outcomes"][0]["inner_score"]
    edit(copy / "run" / "run.json", lambda run: run["versions"].update({"scikit-learn": "1.8.0", "optuna": "4.0.0"}))
    edit(record, lambda record: record["outcomes"][0].update(inner_score=score + 0.005))
    found = replayed(copy, LINEAR, "default")
    assert found.is_confirmed
    assert [one.verdict for one in found.entries] == ["close"]
    assert len(found.differences) == 1
    assert found.differences[0].startswith("scikit-learn 1.8.0 → ")
    edit(record, lambda record: record["outcomes"][0].update(inner_score=score + 0.02))
    assert not replayed(copy, LINEAR, "default").is_confirmed


def test_other_rows_are_said_and_not_compared(copy):
    with (copy / "customers.csv").open("a") as file:
        file.write("40.5,basic,x,Yes\n")
    found = replayed(copy, LINEAR)
    assert not found.is_confirmed
    assert found.entries == ()
    assert "the data of customers have changed since" in describe_replay(found)
    assert "150 rows then, 151 now" in found.obstacle


def test_another_declaration_is_said_and_only_equality_counts(copy):
    words = ("replay", "run", "customers/mine/none/r0f0", "--plugin", "mine.py", "--stage", "default")
    (copy / "mine.py").write_text(textwrap.dedent(PLUGIN.format(rounds=499)))
    done = evenhand_in(copy, *words)
    assert done.returncode == 0
    assert (
        "differs: the declaration of the family mine, or what is searched of its encoding, has changed" in done.stdout
    )
    (copy / "mine.py").write_text(textwrap.dedent(PLUGIN.format(rounds=500)).replace("C=C", "D=C"))
    done = evenhand_in(copy, *words)
    assert done.returncode == 1
    assert "cannot be fitted again: TypeError" in done.stdout


def test_a_strategy_that_was_declared_otherwise_is_named(copy):
    edit(copy / "run" / "run.json", lambda run: run["strategies"]["smote"].update(digest="other"))
    cell = "customers/logistic_regression/smote/r0f0"
    edit(record_file(copy, cell), lambda record: record.update(key="other"))
    edit(
        copy / "run" / "run.json",
        lambda run: [one.update(key="other") for one in run["cells"] if one["id"] == find_cell(run, cell)["id"]],
    )
    found = replayed(copy, cell, "default")
    assert "the declaration of the strategy smote" in found.differences[0]
    assert found.is_confirmed


def test_data_that_were_moved_are_asked_for(copy):
    (copy / "customers.csv").rename(copy / "clients.csv")
    with pytest.raises(EvenhandError, match="say where they are now"):
        replayed(copy, LINEAR)
    (copy / "elsewhere").mkdir()
    moved = (copy / "clients.csv").rename(copy / "elsewhere" / "customers.csv")
    assert replay_stored_cell(ReplayRequest(str(copy / "run"), LINEAR, ("default",), file=str(moved))).is_confirmed


def test_data_that_were_renamed_are_still_those_of_their_task(copy):
    renamed = (copy / "customers.csv").rename(copy / "clients of last year.csv")
    assert replay_stored_cell(ReplayRequest(str(copy / "run"), LINEAR, ("default",), file=str(renamed))).is_confirmed


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("customers/mine/none", "stands for 3 cells"),
        ("customers/logistic/none/r0f0", "did you mean 'customers/logistic_regression/none/r0f0'?"),
    ],
)
def test_what_is_not_there_is_said(folder, cell, said):
    with pytest.raises(EvenhandError, match=re.escape(said)):
        replayed(folder, cell)


def test_cells_without_entries_are_refused_with_their_reason(copy):
    edit(record_file(copy, LINEAR), lambda record: record.update(outcomes=record["outcomes"][:1], reason="tuned broke"))
    with pytest.raises(EvenhandError, match=r"has no entry tuned \(tuned broke\)"):
        replayed(copy, LINEAR)
    edit(record_file(copy, LINEAR), lambda record: record.update(outcomes=[], status="timeout", reason="too long"))
    with pytest.raises(EvenhandError, match=r"ended as timeout \(too long\)"):
        replayed(copy, LINEAR)
    edit(record_file(copy, LINEAR), lambda record: record.update(key="before"))
    with pytest.raises(EvenhandError, match="before the run was planned anew"):
        replayed(copy, LINEAR)
    record_file(copy, LINEAR).unlink()
    with pytest.raises(EvenhandError, match="has not been run yet"):
        replayed(copy, LINEAR)


def test_a_refusal_is_one_line(folder, evenhand):
    code, _, said = evenhand("replay", str(folder / "run"), LINEAR, "--stage", "last")
    assert code == 2
    assert said == "evenhand: unknown stage 'last': there are default, tuned and both (--stage)\n"


def test_a_cell_is_found_by_the_beginning_of_its_id(folder):
    run = Store(folder / "run").read_run()
    wanted = run["cells"][3]
    assert find_cell(run, wanted["id"][:10]) == wanted
    with pytest.raises(EvenhandError, match="no such cell ''"):
        find_cell({**run, "cells": run["cells"][:1]}, "")


def test_the_tolerance_goes_by_what_differs():
    registry = load_registry()
    linear, network = registry.family("logistic_regression"), registry.family("dense_network")
    same = {"versions": package_versions(), "host": describe_host()}
    assert _replay_tolerance(same, linear)[:2] == ([], 0.0)
    elsewhere = same | {"host": describe_host() | {"processor": "vax"}}
    assert [_replay_tolerance(elsewhere, family)[1] for family in (linear, network)] == [0.001, 0.05]
    older = same | {"versions": package_versions() | {"numpy": "1.0"}}
    assert [_replay_tolerance(older, family)[1] for family in (linear, network)] == [0.01, 0.05]
    for family, matters in ((linear, False), (network, True)):
        assert bool(_replay_tolerance(same | {"versions": package_versions() | {"keras": "2.0"}}, family)[0]) is matters


def test_a_row_that_only_one_predicted_differs_by_all():
    one, other = np.array([[0.5, 0.5], [np.nan, np.nan]], np.float32), np.array([[0.5, 0.5], [0.2, 0.8]], np.float32)
    assert _probability_difference(one, one) == (0.0, 0.0)
    assert _probability_difference(one, other) == (0.5, 1.0)


@pytest.mark.parametrize(
    ("moved", "near"), [("inner score", False), ("f1 at 0.5", False), ("f1 at the threshold", True), ("log_loss", True)]
)
def test_the_tolerance_holds_for_an_objective_of_decisions_too(moved, near):
    gaps, f1 = {"test": (0.001, 0.2)}, load_registry().metrics["f1"]
    names = ("inner score", "f1 at 0.5", "f1 at the threshold", "log_loss")
    figures = [(name, 0.5, 0.52 if name == moved else 0.505) for name in names]
    assert _are_replays_within_tolerance(gaps, figures, f1, 0.01) is near
    assert not _are_replays_within_tolerance({"test": (0.02, 0.2)}, figures, f1, 0.01)
