"""A winner exported: which entry, the procedure on all rows, what the run says of it, and what is refused."""

import json
import math
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from harness.api.benchmark import benchmark
from harness.data.table import hash_rows
from harness.data.user_data import UserData
from harness.deploy.bundle import read_bundle
from harness.deploy.error_analysis import ErrorAnalysis, SubgroupProportion, analyze_errors, class_recalls
from harness.deploy.export import (
    STORES_ROWS,
    ExportRequest,
    key_probabilities_by_row_hash,
    make_bundle,
    summarize_bundle,
)
from harness.deploy.model_card import ModelCardInputs, write_model_card
from harness.deploy.run_entry import (
    HeldOutPredictions,
    ModelCardMetric,
    RankingPosition,
    average_held_out_predictions,
    choose_entry,
    read_run_entry,
)
from harness.deploy.schema import Feature, Schema
from harness.errors import EvenhandError
from harness.evaluation.ranking import rank_entries
from harness.evaluation.score_collection import collect_scores
from harness.evaluation.scores import Entry
from harness.execution.engines.base import Limits, RunCallbacks
from harness.execution.plan import RunRequest, load_task
from harness.metrics.calibration import make_calibrator
from harness.metrics.classification import METRICS
from harness.metrics.metric import Predictions, best_threshold
from harness.processes import run_in_subprocess
from harness.registry.protocol import EvaluationProtocol
from harness.registry.registry import load_registry
from harness.registry.task import take
from harness.report.render.cells import format_number
from harness.store.store import Store

METRIC = {metric.name: metric for metric in METRICS}
PROTOCOL = EvaluationProtocol(trials=3, folds=3, inner_folds=2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A user's file and a run on it."""
    folder = tmp_path_factory.mktemp("export")
    rng = np.random.default_rng(0)
    churned = np.arange(150) % 4 == 0
    frame = pd.DataFrame(
        {
            "age": np.round(rng.normal(40, 12, 150) + 12 * churned, 1),
            "plan": rng.choice(["basic", "plus"], 150),
            "churned": np.where(churned, "Yes", "No"),
        }
    )
    frame.to_csv(folder / "customers.csv", index=False)
    own = UserData(str(folder / "customers.csv"), "churned")
    request = RunRequest(("customers",), ("logistic_regression",), ("none", "class_weight", "smote"), PROTOCOL, own=own)
    benchmark(
        request,
        load_registry(),
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
    """The run to be changed."""
    shutil.copytree(folder / "run", tmp_path / "run")
    return tmp_path


def exported(folder, out, tell=lambda _: None, **options):
    """In this process, so that each costs a few fits and not the start of an interpreter."""
    options = {"drivers": False} | options
    return make_bundle(ExportRequest(str(folder / "run"), str(out), **options), tell)


def edit(folder, change):
    path = folder / "run" / "run.json"
    description = json.loads(path.read_text())
    change(description)
    path.write_text(json.dumps(description))


def table(folder):
    return load_task(UserData(str(folder / "customers.csv"), "churned").task(), PROTOCOL, None).table


@pytest.fixture(scope="module")
def weighted(folder, tmp_path_factory):
    """A bundle of the weighted entry, and the progress lines of its export."""
    progress = []
    out = tmp_path_factory.mktemp("weighted") / "bundle"
    return exported(folder, out, progress.append, entry="logistic_regression/class_weight", drivers=True), progress


# --- which entry ------------------------------------------------------------------------------------------------------


def scores_and_ranking(folder):
    scores = collect_scores(Store(folder / "run"), METRIC)
    return scores, rank_entries(scores, "customers")


def test_without_a_name_it_is_the_first_single_entry_of_the_ranking(folder):
    scores, ranking = scores_and_ranking(folder)
    assert choose_entry(scores, ranking, None, None) == ranking.best.entry
    floor, others = ranking.baseline, [place for place in ranking.entries if place.rank and place != ranking.baseline]
    turned = replace(ranking, entries=(replace(floor, rank=1), *(replace(p, rank=p.rank + 1) for p in others)))
    assert choose_entry(scores, turned, None, None) == others[0].entry  # the baseline only if there is nothing else
    lost = replace(ranking, entries=(floor, *(replace(p, rank=None, complete=False) for p in others)))
    assert choose_entry(scores, lost, None, None) == others[0].entry  # not even where the others lack splits
    alone = replace(ranking, entries=(replace(floor, rank=1),))
    assert choose_entry(scores, alone, None, None) == floor.entry


@pytest.mark.parametrize(
    ("named", "entry"),
    [
        ("logistic_regression/none", Entry("logistic_regression", "none", "tuned")),
        ("logistic_regression/none/default", Entry("logistic_regression", "none", "default")),
        ("customers/logistic_regression/smote/tuned", Entry("logistic_regression", "smote", "tuned")),
        ("logistic_regression/smote/tuned/sigmoid", Entry("logistic_regression", "smote", "tuned", "sigmoid")),
    ],
)
def test_an_entry_is_named_as_in_the_tables(folder, named, entry):
    assert choose_entry(*scores_and_ranking(folder), named, None) == entry


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"entry": "any/any/chosen"}, "made of several entries.* logistic_regression/.* can be exported"),
        ({"entry": "any/greedy/ensembled"}, "made of several entries"),
        ({"entry": "logistic_regresion/none"}, "did you mean"),
        ({"task": "customer"}, "did you mean 'customers'"),
        ({"entry": "logistic_regression/none", "calibration": "platt"}, "no such calibration 'platt'"),
        ({"entry": "logistic_regression/smote", "calibration": "prior"}, "not for the strategy smote"),
        ({"entry": "logistic_regression/none/default", "calibration": "sigmoid"}, "has no recalibrated scores"),
        ({"entry": "majority/none", "calibration": "sigmoid"}, "has no recalibrated scores"),
    ],
)
def test_what_cannot_be_exported_is_refused_in_one_line(folder, tmp_path, options, message):
    with pytest.raises(EvenhandError, match=message) as refused:
        exported(folder, tmp_path / "bundle", **options)
    assert "\n" not in str(refused.value)
    assert not list(tmp_path.iterdir())


def test_nothing_of_anybodys_is_replaced(folder, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    progress = []
    with pytest.raises(EvenhandError, match="no bundle: name a new folder"):
        exported(folder, tmp_path, progress.append)
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert not progress  # it is refused before anything is searched


def test_rows_or_declarations_that_are_not_those_of_the_run_are_refused(copy, folder, tmp_path):
    shutil.copy(folder / "customers.csv", copy / "customers.csv")
    edit(copy, lambda run: run["tasks"]["customers"]["own"].update(path=str(copy / "customers.csv")))
    text = (copy / "customers.csv").read_text()
    (copy / "customers.csv").write_text(text.replace("plus", "more", 1))
    with pytest.raises(EvenhandError, match=r"the data of customers are not those of the run .*150 rows then, 150 now"):
        exported(copy, tmp_path / "bundle")
    (copy / "customers.csv").unlink()
    with pytest.raises(EvenhandError, match="--file"):
        exported(copy, tmp_path / "bundle")
    shutil.copy(folder / "customers.csv", tmp_path / "renamed.csv")
    moved = exported(copy, tmp_path / "bundle", file=str(tmp_path / "renamed.csv"))
    assert moved.manifest["rows"] == 150
    edit(copy, lambda run: run["strategies"]["class_weight"].update(digest="0" * 64))
    for record in (copy / "run" / "cells").glob("*/record.json"):
        stored = json.loads(record.read_text())
        record.write_text(json.dumps(stored | {"key": "0" * 32}))
    edit(copy, lambda run: [cell.update(key="0" * 32) for cell in run["cells"]])
    with pytest.raises(EvenhandError, match=r"strategy class_weight.* has changed since.*run it again"):
        exported(copy, tmp_path / "other", entry="logistic_regression/class_weight", file=str(folder / "customers.csv"))


# --- the procedure on all rows ----------------------------------------------------------------------------------------


def test_the_model_is_what_the_same_procedure_gives_on_all_rows(folder, weighted):
    """Against scikit-learn by hand: the configuration of the export's own study, fitted to every row with its weights."""
    from sklearn.linear_model import LogisticRegression

    bundle, progress = weighted
    rows, params = table(folder), bundle.manifest["params"]
    assert [line for line in progress if line.startswith("trial")] == ["trial 1 of 3", "trial 2 of 3", "trial 3 of 3"]
    age = rows.X["age"].to_numpy()
    assert np.isfinite(age).all()
    X = np.stack([(age - age.mean()) / age.std(), rows.X["plan"] == "plus"], axis=1).astype(float)
    by_hand = LogisticRegression(C=params["C"], class_weight="balanced", max_iter=1000).fit(X, rows.y)
    gap = np.abs(bundle.predict_proba(rows.X)[:, 1] - by_hand.predict_proba(X)[:, 1]).max()
    assert (
        gap < 0.05
    )  # the encoder scales and drops levels otherwise; rows left out or unweighted would differ by far more
    assert bundle.manifest["trials"] == 3


def test_threshold_and_calibrator_come_from_the_inner_rows_of_the_export(folder, weighted, tmp_path):
    bundle, _ = weighted
    store = next((folder / "run" / "derived" / "exports").glob("*/cells/*/search.npz"))
    inner, y = np.load(store)["best"], table(folder).y
    assert bundle.threshold == best_threshold(y, inner)
    calibrated = exported(folder, tmp_path / "bundle", entry="logistic_regression/class_weight", calibration="isotonic")
    whole = make_calibrator("isotonic", inner, y, (), ())
    plain = bundle.predict_proba(table(folder).X).astype(np.float32)
    assert calibrated.predict_proba(table(folder).X) == pytest.approx(whole(plain), abs=1e-9)
    assert calibrated.threshold not in (bundle.threshold, best_threshold(y, whole(inner)))  # cross-fitted


def test_an_export_that_was_killed_continues_and_a_second_one_searches_nothing(copy, weighted, tmp_path):
    class Killed(BaseException):
        pass

    def kill(line):
        if line.startswith("trial 3"):
            raise Killed

    shutil.rmtree(copy / "run" / "derived", ignore_errors=True)
    with pytest.raises(Killed):
        exported(copy, tmp_path / "bundle", kill, entry="logistic_regression/class_weight")
    assert not (tmp_path / "bundle").exists()
    progress = []
    done = exported(copy, tmp_path / "bundle", progress.append, entry="logistic_regression/class_weight")
    assert [line for line in progress if line.startswith("trial")] == ["trial 3 of 3"]
    again = exported(copy, tmp_path / "again", progress.append, entry="logistic_regression/class_weight")
    assert sum(line.startswith("trial") for line in progress) == 1
    assert done.id == again.id == weighted[0].id  # nor does it depend on the interruption
    X = table_of(copy).X
    assert (done.predict_proba(X) == weighted[0].predict_proba(X)).all()
    default = exported(copy, tmp_path / "default", progress.append, entry="logistic_regression/class_weight/default")
    assert default.manifest["trial"] == 0
    assert sum(line.startswith("trial") for line in progress) == 1  # trial 0 was there


def test_a_search_whose_asker_was_killed_takes_that_for_no_failed_trial(tmp_path):
    work = """
import pathlib, sys
from harness.processes import answer_parent_question

def work(question, tell):
    try:
        tell("trial 1 of 3")
    except Exception as error:
        pathlib.Path(question["journal"]).write_text(repr(error))

answer_parent_question(work)
"""
    with subprocess.Popen([sys.executable, "-c", work], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.close()
        process.stdin.write(json.dumps({"journal": str(tmp_path / "journal")}).encode() + b"\n")
        process.stdin.flush()
        assert process.wait() == 1
    assert not (tmp_path / "journal").exists()


def table_of(copy):
    return table(Path(json.loads((copy / "run" / "run.json").read_text())["tasks"]["customers"]["own"]["path"]).parent)


# --- what the run says of it ------------------------------------------------------------------------------------------


def test_figures_are_those_of_the_runs_own_report(folder, weighted):
    measured, entry = weighted[0].manifest["measured"], Entry("logistic_regression", "class_weight", "tuned")
    scores, ranking = scores_and_ranking(folder)
    score = ranking.resolve_entry(entry).score
    assert measured["average_precision"]["mean"] == score.mean
    assert (measured["average_precision"]["low"], measured["average_precision"]["high"]) == (score.low, score.high)
    for kind, name in (("tuned", "f1"), ("half", "f1_at_half")):
        assert measured[name]["mean"] == scores.score_rows_of_entry("customers", entry, kind).mean("f1")
    assert measured["f1"]["mean"] != measured["f1_at_half"]["mean"]
    assert "expected_cost" not in measured  # the task has no costs
    text = (weighted[0].folder / "MODEL_CARD.md").read_text()
    assert f"{score.mean:.3f} [{score.low:.3f}, {score.high:.3f}]" in text
    assert f"{measured['f1']['mean']:.3f} [" in text


@pytest.mark.parametrize("calibration", ["none", "sigmoid", "prior"])
def test_what_was_said_of_sealed_rows_gives_the_figures_of_the_report(folder, calibration):
    store = Store(folder / "run")
    nested = read_run_entry(store, METRIC, None, "logistic_regression/class_weight", calibration)
    held_out, y = average_held_out_predictions(nested), table(folder).y
    assert (held_out.labels >= 0).all()
    for split, (record, _) in enumerate(nested.records_with_results):
        rows = store.read_predictions(record).test_rows
        loss = METRIC["log_loss"].compute(Predictions(y[rows], held_out.proba[rows]))
        assert loss == pytest.approx(nested.score_rows["log_loss"][split])
        recall = ((held_out.labels[rows] == 1) & (y[rows] == 1)).sum() / (y[rows] == 1).sum()
        assert recall == pytest.approx(nested.score_rows["recall"][split])


def test_rows_that_were_never_sealed_are_not_spoken_of(copy):
    nested = read_run_entry(Store(copy / "run"), METRIC, None, "logistic_regression/none", None)
    lost = nested.records_with_results[0][0]
    rows = nested.store.read_predictions(lost).test_rows
    shutil.rmtree(copy / "run" / "cells" / lost.id)
    left = average_held_out_predictions(
        read_run_entry(Store(copy / "run"), METRIC, None, "logistic_regression/none", None)
    )
    assert np.isnan(left.proba[rows]).all()
    assert (left.labels[rows] == -1).all()
    assert np.isfinite(np.delete(left.proba, rows, axis=0)).all()


def test_where_splits_follow_time_a_copy_of_a_row_that_was_learnt_from_is_no_word_on_it(folder):
    loaded = load_task(UserData(str(folder / "customers.csv"), "churned").task(), PROTOCOL, None)
    rows = np.array([0, 1, 0, 2, 0])
    X, y = take(loaded.table.X, rows), loaded.table.y[rows]
    timed = replace(loaded, table=replace(loaded.table, X=X, y=y, time=np.array([3, 0, 1, 2, 4])))
    held_out = HeldOutPredictions(np.full((5, 2), 0.5, dtype=np.float32), np.zeros(5, dtype=np.int64))
    assert np.isnan(key_probabilities_by_row_hash(timed, held_out).proba[:, 0]).tolist() == [
        True,
        False,
        False,
        False,
        True,
    ]
    assert not np.isnan(
        key_probabilities_by_row_hash(replace(timed, table=replace(timed.table, time=None)), held_out).proba
    ).any()


def test_a_bundle_knows_its_training_rows_by_key_and_what_moves_it(folder, weighted):
    bundle, rows = weighted[0], table(folder)
    held_out = bundle.read_held_out_proba()
    assert (held_out.keys == hash_rows(rows.X)).all()
    nested = read_run_entry(Store(folder / "run"), METRIC, None, "logistic_regression/class_weight", None)
    assert (held_out.proba == average_held_out_predictions(nested).proba).all()
    drivers = bundle.read_permutation_importances()
    assert drivers["columns"][0]["columns"] == ["age"]  # the only column with anything in it
    assert drivers["rows"] == 150


# --- the card ---------------------------------------------------------------------------------------------------------


def test_the_card_says_that_weights_make_no_frequencies_and_that_the_winner_was_selected(folder, weighted, tmp_path):
    text = (weighted[0].folder / "MODEL_CARD.md").read_text()
    assert "**They are not frequencies.**" in text
    assert "`evenhand export --calibration prior`" in text
    assert "of the procedure and not of this very model" in text
    first = exported(folder, tmp_path / "first")
    text = (first.folder / "MODEL_CARD.md").read_text()
    best = first.manifest["entry"].split("/")[2]
    assert "**It was selected**" in text
    assert ("They are not frequencies" in text) == (best == "class_weight")


def card_inputs(**changed):
    position = RankingPosition(
        rank=2,
        entries=3,
        tied=1,
        is_tied=True,
        chosen_by_name=True,
        splits=3,
        planned_splits=3,
        no_test_reason="",
        inner_choice=None,
        baseline=0.2,
    )
    metrics = (ModelCardMetric("average_precision", "AP", "ranking", "", 0.5, math.nan),)
    inputs = {
        "target": "y", "description": "", "notes": (), "metrics": metrics, "position": position, "strategy": "nothing",
        "counts_before": (8.0, 2.0), "counts_after": (8.0, 2.0), "mean_proba": (0.7, 0.3), "class_shares": (0.8, 0.2),
        "held_out_rows": 10,
    }  # fmt: skip
    return ModelCardInputs(**(inputs | changed))


MANIFEST = {
    "title": "T", "task": "t", "entry": "t/f/s/tuned", "family": "f", "strategy": "s", "stage": "tuned", "params": {},
    "trials": 1, "trial": 0, "classes": ["No", "Yes"], "positive": "Yes", "rows": 10, "counts": [8, 2],
    "objective": "average_precision",
    "threshold": 0.4, "costs": None, "calibration": "none", "modality": "tabular", "source": "", "licence": "",
    "fingerprint": "f", "versions": {"numpy": "2"},
    "run": {"name": "r", "command": "evenhand run", "protocol": PROTOCOL.as_dict()},
}  # fmt: skip


def test_a_card_says_what_is_known_and_takes_text_of_others_as_text():
    text = write_model_card(MANIFEST, card_inputs())
    assert "number 2 of the 3 ranked entries" in text
    assert "It is one of those." in text
    assert "**It was selected**" not in text
    assert "mean probability of `Yes` was 0.300; 0.200 of them were" in text
    assert "nan" not in text
    assert "class shares" not in text
    assert "consists of its training rows" not in text
    assert "consists of its training rows" in write_model_card(MANIFEST | {STORES_ROWS: True}, card_inputs())
    encoded = write_model_card(MANIFEST, card_inputs(target_encoded={"shop": 1000}))
    assert "read as the class shares of their levels" in encoded
    assert "`shop` (1,000 levels)" in encoded
    hostile = write_model_card(
        MANIFEST | {"title": "<script>alert(1)</script> | **x**"}, card_inputs(notes=("a | b\n# c",))
    )
    assert "<script>" not in hostile.replace("\\<script>", "")
    assert "\n# c" not in hostile


def test_what_is_written_as_nothing_has_no_sign():
    assert (format_number(-0.0001), format_number(-0.1234), format_number(0.9)) == ("0.000", "−0.123", "0.900")


def test_parts_in_which_a_model_fails_are_found_and_others_left_in_peace():
    rng = np.random.default_rng(1)
    n = 4000
    X = pd.DataFrame(
        {
            "age": rng.normal(size=n),
            "plan": pd.Categorical(rng.choice(["a", "b", "c"], n)),
            "copy": pd.Categorical(np.full(n, "x")),
        }
    )
    X["copy"] = X["plan"]
    y = (rng.random(n) < 0.4).astype(np.int64)
    decided = np.where(rng.random(n) < 0.1, 1 - y, y)
    decided[(X["plan"] == "c").to_numpy() & (rng.random(n) < 0.5)] = 0
    features = (
        Feature("age", "number"),
        Feature("plan", "category", levels=("a", "b", "c")),
        Feature("copy", "category", levels=("a", "b", "c")),
    )
    schema = Schema("tabular", "y", ("No", "Yes"), features, n)
    recall, precision = analyze_errors(X, schema, y, decided)
    assert [share.subgroup for share in recall.worse] == ["plan = c"]  # and not `copy = c` too: these are the same rows
    share = recall.worse[0]
    inside = (X["plan"] == "c").to_numpy() & (y == 1)
    assert (share.rows, share.correct) == (inside.sum(), (decided[inside] == 1).sum())
    assert share.low < share.share < share.high < recall.overall.share
    assert not precision.worse
    assert precision.lowest is not None
    several = analyze_errors(X, replace(schema, classes=("a", "b", "c")), y, decided)
    assert [analysis.metric for analysis in several] == ["share decided correctly"]


@pytest.mark.parametrize(("kind", "name"), [("text", "characters"), ("picture", "mean brightness")])
def test_texts_are_parted_by_their_length_and_pictures_by_their_brightness(kind, name):
    much = np.arange(400) % 200 + 1
    X = np.array(["x" * n for n in much], dtype=object)
    if kind == "picture":
        X = np.broadcast_to(much[:, None, None, None], (400, 2, 2, 1)).astype(np.uint8)
    y = (np.arange(400) >= 200).astype(np.int64)
    schema = Schema("text", "y", ("No", "Yes"), (Feature(kind, kind),), 400)
    recall, _ = analyze_errors(X, schema, y, np.where(much > 150, 0, y))
    assert [share.subgroup for share in recall.worse] == [f"{name} > 150"]


def test_the_class_that_is_found_least_stands_first_with_what_it_is_taken_for():
    y = np.repeat([0, 1, 2], 50)
    decided = y.copy()
    decided[50:70] = 2
    (worst, other), *others = class_recalls(("a", "b", "c"), y, decided)
    assert (worst.subgroup, worst.correct, worst.rows, other) == ("b", 30, 50, "c")
    assert [name for _, name in others] == ["", ""]


# --- in a process of its own ------------------------------------------------------------------------------------------


def test_the_command_tells_its_progress_and_prints_what_was_written(folder, tmp_path):
    command = [sys.executable, "-m", "harness", "export", str(folder / "run"), "--out", "bundle", "--no-drivers"]
    done = subprocess.run(
        [*command, "--entry", "logistic_regression/smote"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[:4] == [
        "exporting customers/logistic_regression/smote/tuned", "trial 1 of 3", "trial 2 of 3", "trial 3 of 3",
    ]  # fmt: skip
    bundle = read_bundle(tmp_path / "bundle")
    assert done.stdout.replace("bundle", str(tmp_path / "bundle"), 1).startswith(
        summarize_bundle(bundle).splitlines()[0]
    )
    assert "average_precision" in done.stdout
    assert bundle.read_permutation_importances() is None
    refused = subprocess.run(
        [*command, "--entry", "any/any/chosen"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert refused.returncode == 2
    assert refused.stderr.startswith("evenhand: any/any/chosen is made of several entries")
    assert len(refused.stderr.splitlines()) == 1


def test_a_process_that_dies_is_said_in_one_line():
    with pytest.raises(EvenhandError, match=r"the process that did nothing ended with exit code 1: .*no_such_module"):
        run_in_subprocess("harness.no_such_module", {}, "did nothing")


def test_a_card_says_in_how_many_parts_it_fails_and_not_only_the_worst():
    share = [SubgroupProportion(f"plan = {i}", 100, 10 + i, 0.05, 0.3) for i in range(7)]
    every = SubgroupProportion("all rows", 1000, 800, 0.77, 0.83)
    analysis = ErrorAnalysis("recall of Yes", every, 30, tuple(share), None)
    text = write_model_card(MANIFEST, card_inputs(error_analyses=(analysis,), held_out_rows=2000))
    assert "clearly lower in 7 of 30 parts, the lowest:" in text
    assert "plan = 4" in text
    assert "plan = 5" not in text
