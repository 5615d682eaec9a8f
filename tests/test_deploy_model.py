"""A fitted pipeline on disk and back: the same answers, nothing that it learnt from, and nothing but data in the files."""

import copy
import io
import json
import os
import pickle
import subprocess
import sys
import zipfile
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from harness.checks.small_tables import make_small_table
from harness.deploy.bundle_files import hash_file_contents
from harness.deploy.keras_runtime import read_network, trace_prediction_function
from harness.deploy.model import Model, load_model, save_model
from harness.deploy.pack import LightGBMTrees, XGBoostTrees, stores_training_rows
from harness.deploy.serialize import object_to_skops, read_skops_description
from harness.deploy.tree_checks import check_lightgbm_trees, check_xgboost_trees
from harness.errors import BundleError, EvenhandError
from harness.metrics.calibration import CALIBRATIONS, PriorCorrection, make_calibrator
from harness.preprocessing.encodings import ENCODINGS
from harness.registry.family import missing_packages
from harness.registry.registry import load_registry
from harness.registry.space import defaults
from harness.search.pipeline import PipelineSpec, TrainingSet, fit_pipeline

LEARNED = 160
REGISTRY = load_registry()
TABULAR = [name for name, family in REGISTRY.families.items() if "tabular" in family.encodings and not family.network]


@cache
def fitted(family, modality="tabular", classes=2, strategy="none", **params):
    """A family fitted to small data; skipped where a package is not here."""
    family = REGISTRY.family(family)
    if missing := missing_packages(family, ENCODINGS[family.encodings[modality]].needs):
        pytest.skip(missing)
    rows = make_small_table(modality, classes)
    recipe = PipelineSpec(family, (REGISTRY.strategy(strategy),), modality, classes)
    watched = np.arange(0, LEARNED, 5) if family.stops_early else None
    training = TrainingSet(rows.X[:LEARNED], rows.y[:LEARNED], 3, watched)
    return fit_pipeline(recipe, defaults(recipe.space) | params, training)


def reader(folder):
    return lambda name: (folder / name).read_bytes()


def save_and_load(pipeline, folder, calibrator=None):
    save_model(pipeline, calibrator, folder)
    return load_model(reader(folder))


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("family", TABULAR)
def test_a_loaded_model_answers_as_the_saved_one(family, classes, tmp_path):
    pipeline, rows = fitted(family, classes=classes), make_small_table("tabular", classes)
    model = save_and_load(pipeline, tmp_path)
    before = pipeline.predict_proba(rows.X)
    assert np.abs(model.predict_proba(rows.X) - before).max() <= 1e-6
    assert np.abs(model.predict_proba(rows.X[:1]) - before[:1]).max() <= 1e-6
    assert model.predict_proba(rows.X[:0]).shape == (0, classes)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("calibration", CALIBRATIONS)
def test_a_calibrator_comes_along(calibration, classes, tmp_path):
    pipeline, rows = fitted("logistic_regression", classes=classes), make_small_table("tabular", classes)
    proba, before = pipeline.predict_proba(rows.X), np.bincount(rows.y).astype(float)
    calibrator = make_calibrator(calibration, proba, rows.y, before, before[::-1])
    model = save_and_load(pipeline, tmp_path, calibrator)
    expected = calibrator(proba) if calibrator else proba
    assert model.predict_proba(rows.X) == pytest.approx(expected, abs=1e-6)


def test_saving_leaves_the_pipeline_as_it_is(tmp_path):
    classic, histograms = fitted("classic_gradient_boosting"), fitted("gradient_boosting")
    for pipeline in (classic, histograms):
        save_model(pipeline, None, tmp_path)
    assert all(tree.random_state is not None for tree in classic.classifier.estimators_.ravel())
    assert histograms.classifier._feature_subsample_rng is not None


@pytest.mark.parametrize("family", ["logistic_regression", "catboost"])
def test_a_balanced_ensemble_is_the_mean_of_its_members(family, tmp_path):
    pipeline, rows = fitted(family, strategy="balanced_ensemble"), make_small_table("tabular", 2)
    model = save_and_load(pipeline, tmp_path)
    assert np.abs(model.predict_proba(rows.X) - pipeline.predict_proba(rows.X)).max() <= 1e-6


@pytest.mark.parametrize("family", [name for name, one in REGISTRY.families.items() if "text" in one.encodings])
def test_a_model_of_texts_answers_as_the_saved_one(family, tmp_path):
    holds(family, "text", 2, tmp_path)


@pytest.mark.parametrize(
    ("family", "params"),
    [
        ("logistic_regression", {"encode.cut": "features"}),
        ("dense_network", {}),
        ("small_convolutional_network", {}),
        ("pretrained_network", {"units": 32}),
        ("pretrained_network", {"encode.cut": "last_blocks", "encode.views": 1}),
    ],
)
def test_a_model_of_pictures_answers_as_the_saved_one(family, params, tmp_path):
    holds(family, "image", 3, tmp_path, **params)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize(
    ("family", "modality", "params"),
    [
        ("dense_network", "tabular", {}),
        ("dense_network", "tabular", {"embedding": 4, "skip": False, "batch_norm": False, "activation": "gelu"}),
        ("dense_network", "tabular", {"loss": "focal", "activation": "selu", "encode.scaling": "piecewise"}),
        ("network_from_scratch", "tabular", {}),
        ("recurrent_network", "text", {"cell": "lstm", "bidirectional": True}),
    ],
)
def test_a_network_answers_as_the_saved_one(family, modality, params, classes, tmp_path):
    holds(family, modality, classes, tmp_path, **params)


def holds(family, modality, classes, folder, **params):
    """Saved and loaded, a model gives the same probabilities within 1e-6, to many rows and to one."""
    pipeline, rows = fitted(family, modality, classes, **params), make_small_table(modality, classes)
    model, before = save_and_load(pipeline, folder), pipeline.predict_proba(rows.X)
    assert np.abs(model.predict_proba(rows.X) - before).max() <= 1e-6
    for row in (slice(0, 1), slice(5, 8)):
        assert np.abs(model.predict_proba(rows.X[row]) - before[row]).max() <= 1e-6
    assert model.predict_proba(rows.X[:0]).shape == (0, classes)


ROWED = [(name, "tabular", "none") for name, family in REGISTRY.families.items() if "tabular" in family.encodings]
ROWED.remove(("nearest_neighbors", "tabular", "none"))  # it consists of its rows, as the next test says
ROWED += [("logistic_regression", "tabular", "smote"), ("xgb", "tabular", "balanced_ensemble")]
ROWED += [(name, "text", "none") for name in ("logistic_regression", "gradient_boosting", "recurrent_network")]
ROWED += [(name, "image", "none") for name in ("pretrained_network", "small_convolutional_network")]


@pytest.mark.parametrize(("family", "modality", "strategy"), ROWED)
def test_no_training_row_is_in_a_file(family, modality, strategy, tmp_path):
    pipeline, rows = fitted(family, modality, strategy=strategy), make_small_table(modality, 2).X[:LEARNED]
    names = save_model(pipeline, None, tmp_path)
    contents = list(members(tmp_path, names))
    for content in contents:
        assert not any(trace in content for trace in traces(rows, pipeline))
        if content.startswith(b"\x93NUMPY"):
            shape = np.load(io.BytesIO(content), allow_pickle=False).shape
            assert not {LEARNED, LEARNED - LEARNED // 5, LEARNED // 5} & set(shape), (
                f"an array as long as the rows: {shape}"
            )


@pytest.mark.parametrize(
    ("modality", "strategy"), [("tabular", "none"), ("tabular", "balanced_ensemble"), ("text", "none")]
)
def test_a_model_that_consists_of_its_rows_is_known_as_such(modality, strategy):
    from sklearn.pipeline import make_pipeline
    from sklearn.svm import SVC

    rows = make_small_table("tabular", 2)
    assert stores_training_rows(fitted("nearest_neighbors", modality, strategy=strategy).classifier)
    assert stores_training_rows(make_pipeline(SVC()).fit(rows.X[["noise"]], rows.y))
    for family in ("random_forest", "linear_svm", "naive_bayes", "gradient_boosting"):
        assert not stores_training_rows(fitted(family, strategy=strategy).classifier)


@pytest.mark.parametrize("harm", ["label", "columns", "neighbors", "sparse"])
def test_stored_rows_that_compiled_code_would_read_beyond_are_refused(harm, tmp_path):
    pipeline = copy.deepcopy(fitted("nearest_neighbors", "text" if harm == "sparse" else "tabular"))
    classifier = pipeline.classifier.model_
    if harm == "label":
        classifier._y[0] = 2
    elif harm == "columns":
        classifier._fit_X = classifier._fit_X[:, 1:].copy()
    elif harm == "neighbors":
        classifier.n_neighbors = LEARNED + 1
    else:
        classifier._fit_X.indices[0] = classifier.n_features_in_
    with pytest.raises(BundleError):
        save_and_load(pipeline, tmp_path)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("family", ["catboost", "naive_bayes"])
def test_the_members_of_a_boosted_ensemble_keep_their_weights(family, classes, tmp_path):
    pipeline, rows = fitted(family, classes=classes, strategy="rusboost"), make_small_table("tabular", classes)
    model = save_and_load(pipeline, tmp_path)
    assert np.abs(model.predict_proba(rows.X) - pipeline.predict_proba(rows.X)).max() <= 1e-6
    assert model.pipeline.classifier.weights.tolist() == pipeline.classifier.member_weights_.tolist()


def traces(rows, pipeline):
    """What a training row would look like in a file."""
    if isinstance(rows, pd.DataFrame):
        numbers = rows[["number", "noise"]].to_numpy()
        for seen in (numbers, pipeline.preparer.transform(rows).numbers):
            yield from (row.astype(kind).tobytes() for row in seen for kind in ("f8", "f4"))
    elif rows.dtype == object:
        yield from (text.encode() for text in rows if len(text) > 30)
    else:
        yield from (picture.tobytes() for picture in rows)


def members(folder, names):
    """The content of every file within the files of a model."""
    for name in names:
        with zipfile.ZipFile(folder / name) as file:
            yield from (file.read(one) for one in file.namelist())


REPEATED = [(name, "tabular") for name in ("xgb", "random_forest", "classic_gradient_boosting", "catboost", "ebm")]
REPEATED += [("dense_network", "tabular"), ("logistic_regression", "text"), ("recurrent_network", "text")]
REPEATED = [(name, modality) for name, modality in REPEATED if not missing_packages(REGISTRY.families[name])]
REPEAT = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import test_deploy_model as tests
for position, (family, modality) in reversed(list(enumerate(tests.REPEATED))):
    (folder := Path(sys.argv[2]) / str(position)).mkdir()
    tests.save_model(tests.fitted(family, modality), None, folder)
"""


def test_the_same_fit_has_the_same_content_whatever_the_bytes(tmp_path):
    """Another process has other addresses, other counters of layers and another clock."""
    subprocess.run([sys.executable, "-c", REPEAT, Path(__file__).parent, tmp_path], check=True, capture_output=True)
    for at, (family, modality) in enumerate(REPEATED):
        (here := tmp_path / f"{at} here").mkdir()
        names, there = save_model(fitted(family, modality), None, here), tmp_path / str(at)
        assert hash_file_contents(here, names) == hash_file_contents(there, names), family
        assert any((here / name).read_bytes() != (there / name).read_bytes() for name in names)


def test_another_fit_has_another_content(tmp_path):
    found = set()
    for family, params in [("logistic_regression", {}), ("logistic_regression", {"C": 0.5}), ("random_forest", {})]:
        found.add(hash_file_contents(tmp_path, save_model(fitted(family, **params), None, tmp_path)))
    names = save_model(fitted("logistic_regression"), PriorCorrection((3.0, 1.0), (1.0, 1.0)), tmp_path)
    assert len(found | {hash_file_contents(tmp_path, names)}) == 4


@pytest.mark.parametrize(("change", "what"), [("weight", "model.weights.h5"), ("option", "config.json")])
def test_another_network_has_another_content(change, what, tmp_path):
    names = save_model(fitted("dense_network"), None, tmp_path)
    before = hash_file_contents(tmp_path, names)
    path = tmp_path / "network.keras"

    with zipfile.ZipFile(path) as file:
        held = {name: file.read(name) for name in file.namelist()}
    if change == "weight":
        import h5py

        with h5py.File(buffer := io.BytesIO(held[what]), "r+") as weights:
            weights["layers/dense/vars/0"][0, 0] += 1
        held[what] = buffer.getvalue()
    else:
        held[what] = held[what].replace(b'"epsilon": 0.001', b'"epsilon": 0.002')
    path.write_bytes(zipped(held))
    assert hash_file_contents(tmp_path, names) != before


class Evil:
    """What a pickle would run."""

    def __reduce__(self):
        return (os.system, ("true",))


def swapped(content, change):
    """A skops file whose description was changed."""
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        held = {name: file.read(name) for name in file.namelist()}
    schema = json.loads(held["schema.json"])
    change(schema)
    held["schema.json"] = json.dumps(schema).encode()
    return zipped(held)


def zipped(held):
    with zipfile.ZipFile(buffer := io.BytesIO(), "w") as file:
        for name, content in held.items():
            file.writestr(name, content)
    return buffer.getvalue()


def asks_for(module, name, loader="ObjectNode"):
    return lambda schema: schema["content"]["content"].update(
        calibrator={"__class__": name, "__module__": module, "__loader__": loader, "__id__": 1}
    )


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda content: pickle.dumps(Evil()), "not a skops file"),
        (lambda content: b"", "not a skops file"),
        (lambda content: content[: len(content) // 2], "not a skops file"),
        (lambda content: zipped({"other": b""}), "not a skops file"),
        (lambda content: zipped({"schema.json": b"[" * 100_000}), "not a skops file"),
        (lambda content: swapped(content, lambda schema: schema.update(protocol=0)), "protocol"),
        (lambda content: swapped(content, asks_for("os", "system", "FunctionNode")), "os.system"),
        (lambda content: swapped(content, asks_for("builtins", "eval", "TypeNode")), "builtins.eval"),
        (lambda content: swapped(content, asks_for("subprocess", "Popen")), "subprocess.Popen"),
        (lambda content: swapped(content, asks_for("sklearn.utils._bunch", "Bunch")), "sklearn.utils._bunch.Bunch"),
        (lambda content: swapped(content, asks_for("builtins", "str", "MethodNode")), "builtins.str"),
        (lambda content: object_to_skops({"no": "model"}), "no model"),
        (lambda content: swapped(content, lambda schema: schema["content"].update(content={})), "damaged|no model|fit"),
    ],
)
def test_what_is_no_saved_model_is_refused_in_one_line(spoil, says, tmp_path):
    save_model(fitted("logistic_regression"), None, tmp_path)
    spoilt = spoil((tmp_path / "pipeline.skops").read_bytes())
    with pytest.raises(BundleError, match=says) as refused:
        load_model(lambda name: spoilt)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("family", ["logistic_regression", "xgb", "lightgbm", "catboost", "gradient_boosting"])
def test_members_cut_short_are_refused_or_harmless(family, tmp_path):
    save_model(fitted(family), None, tmp_path)
    with zipfile.ZipFile(tmp_path / "pipeline.skops") as file:
        held = {name: file.read(name) for name in file.namelist()}
    rng, refused = np.random.default_rng(5), 0
    for _ in range(15):
        name = str(rng.choice([one for one in held if one.endswith((".npy", ".bin", ".json"))]))
        content = bytearray(held[name][: rng.integers(1, len(held[name]))])
        try:
            spoilt = zipped(held | {name: bytes(content)})
            load_model({"pipeline.skops": spoilt}.__getitem__)
        except BundleError:
            refused += 1
    assert refused


def test_a_file_that_would_fill_the_memory_is_not_unpacked(monkeypatch):
    monkeypatch.setattr("harness.deploy.serialize.ALWAYS_ALLOWED_BYTES", 1_000_000)
    with zipfile.ZipFile(buffer := io.BytesIO(), "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("schema.json", b" " * 5_000_000)
    bomb = buffer.getvalue()
    with pytest.raises(BundleError, match="unpacks to"):
        read_skops_description(bomb)
    with pytest.raises(BundleError, match="unpacks to"):
        read_network(bomb, "network.keras")


@pytest.mark.parametrize("family", ["random_forest", "classic_gradient_boosting", "gradient_boosting", "xgb"])
def test_a_tree_that_leads_out_of_itself_is_refused(family, tmp_path):
    """Who uses it would follow it into memory that is not the tree's."""
    pipeline = copy.deepcopy(fitted(family))
    if family == "xgb":
        trees = json.loads(pipeline.classifier.get_booster().save_raw("json"))
        trees["learner"]["gradient_booster"]["model"]["trees"][3]["left_children"][0] = 10_000
        pipeline = replace(pipeline, classifier=XGBoostTrees(json.dumps(trees).encode()))
    elif family == "gradient_boosting":
        pipeline.classifier._predictors[0][0].nodes["left"][0] = 10_000
    else:
        first = np.ravel(pipeline.classifier.estimators_)[0].tree_
        state = first.__getstate__()
        state["nodes"]["left_child"][0] = 10_000
        first.__setstate__(state)
    save_model(pipeline, None, tmp_path)
    with pytest.raises(BundleError, match="do not fit together"):
        load_model(reader(tmp_path))


@pytest.mark.parametrize(("name", "content"), [("split_type", [1] * 100), ("parents", [2**70] * 100)])
def test_a_tree_of_xgboost_whose_arrays_do_not_fit_is_refused_in_one_line(name, content, tmp_path):
    """Numpy raises IndexError and OverflowError for these."""
    trees = json.loads(fitted("xgb").classifier.get_booster().save_raw("json"))
    trees["learner"]["gradient_booster"]["model"]["trees"][0][name] = content
    save_model(replace(fitted("xgb"), classifier=XGBoostTrees(json.dumps(trees).encode())), None, tmp_path)
    with pytest.raises(BundleError, match="do not fit together") as refused:
        load_model(reader(tmp_path))
    assert "\n" not in str(refused.value)


def boosted_with_categories():
    """A small model of XGBoost's, as it is read from JSON, in which each tree splits by a category."""
    from xgboost import XGBClassifier

    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"size": rng.normal(size=200), "plan": pd.Categorical(rng.choice(list("abcdef"), 200))})
    model = XGBClassifier(n_estimators=2, max_depth=2, enable_categorical=True, max_cat_to_onehot=1, n_jobs=1)
    model.fit(frame, (frame["size"] > 0) ^ frame["plan"].isin(["a", "c"]))
    return json.loads(model.get_booster().save_raw("json"))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("id", 1),
        ("parents", [2**31 - 1] * 7),
        ("parents", [10_000] * 7),
        ("split_type", [1] * 7),
        ("categories_segments", [10_000, 10_000]),
        ("categories_sizes", [10_000, 10_000]),
        ("categories", [-10_000] * 8),
    ],
)
def test_what_ends_the_process_in_xgboost_is_refused_before(name, value):
    description = boosted_with_categories()
    check_xgboost_trees(description)
    model = description["learner"]["gradient_booster"]["model"]
    model["trees"][0][name] = value
    with pytest.raises(ValueError, match="out of itself"):
        check_xgboost_trees(description)


def test_a_tree_of_xgboost_that_votes_for_no_class_is_refused():
    description = boosted_with_categories()
    description["learner"]["gradient_booster"]["model"]["tree_info"][1] = 10_000
    with pytest.raises(ValueError, match="out of itself"):
        check_xgboost_trees(description)


def leafwise(classes=2, rows=200, **params):
    """A small model of LightGBM's that splits by numbers, some of them missing, and by sets of categories; and its rows."""
    lightgbm = pytest.importorskip("lightgbm")

    rng = np.random.default_rng(0)
    size = np.where(rng.random(rows) < 0.2, np.nan, rng.normal(size=rows))
    plan = pd.Categorical(rng.choice(list("abcdefgh"), rows))
    frame = pd.DataFrame({"size": size, "plan": plan, "same": 1.0})
    params = {
        "n_estimators": 5,
        "min_child_samples": 5,
        "max_cat_to_onehot": 1,
        "min_data_per_group": 10,
        "n_jobs": 1,
    } | params
    model = lightgbm.LGBMClassifier(verbosity=-1, **params)
    return model.fit(frame, ((size > 0) + plan.codes) % classes), frame


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize(
    ("rows", "params"), [(200, {}), (200, {"class_weight": "balanced"}), (12, {"min_child_samples": 20})]
)
def test_the_trees_of_lightgbm_come_back_to_the_last_bit(classes, rows, params):
    """Also where no tree has a split."""
    model, frame = leafwise(classes, rows, **params)
    model.booster_.best_iteration = best = min(3, model.booster_.current_iteration())
    back = LightGBMTrees.from_booster(model.booster_).to_booster(classes)
    assert back.best_iteration == best
    assert (back.predict(frame) == model.booster_.predict(frame)).all()
    assert best == 1 or (back.predict(frame) != back.predict(frame, num_iteration=5)).any()


def test_a_saved_model_of_lightgbm_answers_to_the_last_bit(tmp_path):
    pipeline, X = fitted("lightgbm"), make_small_table("tabular", 2).X
    assert (save_and_load(pipeline, tmp_path).predict_proba(X) == pipeline.predict_proba(X)).all()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("num_class", "3"),
        ("num_tree_per_iteration", "0"),
        ("max_feature_idx", "0"),
        ("objective", "multiclass num_class:1000"),
        ("tree_sizes", "100000 1 1 1 1"),
        ("num_leaves", "100000"),
        ("num_cat", "100000"),
        ("split_feature", lambda old: old.replace("0", "10000")),
        ("left_child", lambda old: "10000" + old[old.index(" ") :]),
        ("left_child", lambda old: "0" + old[old.index(" ") :]),
        ("right_child", lambda old: "-10000" + old[old.index(" ") :]),
        ("right_child", lambda old: old[: old.rindex(" ")]),
        ("decision_type", lambda old: " ".join("1" for _ in old.split(" "))),
        ("cat_boundaries", lambda old: old[: old.rindex(" ")] + " 100000"),
        ("cat_threshold", lambda old: f"{old} 1"),
        ("leaf_value", "0.5"),
        ("leaf_count", ""),
        ("is_linear", "1"),
        ("is_linear", "0\nis_linear=1"),
        ("is_linear", "0\nnum_features=1000"),
    ],
)
def test_what_ends_the_process_in_lightgbm_is_refused_before(name, value):
    text = LightGBMTrees.from_booster(leafwise()[0].booster_).trees.decode()
    check_lightgbm_trees(text, 2, -1)
    at = text.index(f"\n{name}=") + len(name) + 2
    old = text[at : text.index("\n", at)]
    new = value(old) if callable(value) else value
    spoilt = text[:at] + new + text[at + len(old) :]
    if name != "tree_sizes":  # else it would be the size of the tree that is wrong
        sizes = spoilt.partition("tree_sizes=")[2].partition("\n")[0]
        first, *others = sizes.split(" ")
        longer = len(new) - len(old) if spoilt.index("Tree=0") < at else 0
        spoilt = spoilt.replace(f"tree_sizes={sizes}", "tree_sizes=" + " ".join([str(int(first) + longer), *others]))
    assert new != old
    with pytest.raises(ValueError, match="no text of LightGBM's"):
        check_lightgbm_trees(spoilt, 2, -1)


@pytest.mark.parametrize(("classes", "best"), [(3, -1), (2, 6), (2, True), (1, -1)])
def test_trees_of_lightgbm_for_other_classes_or_further_than_there_are_are_refused(classes, best):
    text = LightGBMTrees.from_booster(leafwise()[0].booster_).trees.decode()
    with pytest.raises(ValueError, match="no text of LightGBM's"):
        check_lightgbm_trees(text, classes, best)


def test_a_saved_model_of_lightgbm_that_leads_out_of_itself_is_refused(tmp_path):
    pipeline = copy.deepcopy(fitted("lightgbm"))
    leaves = LightGBMTrees.from_booster(pipeline.classifier.booster_)
    pipeline.classifier._Booster = replace(leaves, trees=leaves.trees.replace(b"left_child=1", b"left_child=9"))
    (tmp_path / "pipeline.skops").write_bytes(object_to_skops(Model(pipeline, None)))
    with pytest.raises(BundleError, match="do not fit together"):
        load_model(reader(tmp_path))


def test_a_tree_is_found_wherever_a_classifier_holds_it(tmp_path):
    """Boosting may start from another classifier, which was not looked at."""
    pipeline, bad = copy.deepcopy(fitted("classic_gradient_boosting")), copy.deepcopy(fitted("random_forest"))
    first = bad.classifier.estimators_[0].tree_
    state = first.__getstate__()
    state["nodes"]["left_child"][0] = 10_000
    first.__setstate__(state)
    pipeline.classifier.init_ = bad.classifier
    save_model(pipeline, None, tmp_path)
    with pytest.raises(BundleError, match="do not fit together"):
        load_model(reader(tmp_path))


def lambda_layer(config):
    config["config"]["layers"][-1]["class_name"] = "Lambda"


def own_object(config):
    config["config"]["layers"][-1].update(module="os", class_name="system", registered_name="system")


@pytest.mark.parametrize(("change", "says"), [(lambda_layer, "Lambda"), (own_object, "os.system")])
def test_a_network_of_foreign_layers_is_refused_in_one_line(change, says, tmp_path):
    names = save_model(fitted("dense_network"), None, tmp_path)
    with zipfile.ZipFile(tmp_path / names[1]) as file:
        held = {name: file.read(name) for name in file.namelist()}
    config = json.loads(held["config.json"])
    change(config)
    (tmp_path / names[1]).write_bytes(zipped(held | {"config.json": json.dumps(config).encode()}))
    with pytest.raises(BundleError, match=says) as refused:
        load_model(reader(tmp_path))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("part", [0.0, 0.3, 0.9])
def test_half_a_network_is_refused_in_one_line(part, tmp_path):
    names = save_model(fitted("dense_network"), None, tmp_path)
    content = (tmp_path / names[1]).read_bytes()
    (tmp_path / names[1]).write_bytes(content[: int(part * len(content))])
    with pytest.raises(BundleError, match="damaged") as refused:
        load_model(reader(tmp_path))
    assert "\n" not in str(refused.value)


class ForeignClassifier:
    """A class that neither this project nor scikit-learn has."""


def test_a_classifier_of_somebody_else_cannot_be_saved_and_one_of_scikit_learn_can(tmp_path):
    from sklearn.naive_bayes import GaussianNB

    pipeline = replace(fitted("logistic_regression"), classifier=ForeignClassifier())
    with pytest.raises(EvenhandError, match="ForeignClassifier is not among the types"):
        save_model(pipeline, None, tmp_path)
    save_model(replace(pipeline, classifier=GaussianNB()), None, tmp_path)
    restored = load_model(lambda name: (tmp_path / name).read_bytes())
    assert isinstance(restored.pipeline.classifier, GaussianNB)


def test_a_lone_row_gets_the_numbers_that_it_gets_among_others():
    import keras

    rng = np.random.default_rng(0)
    model = keras.Sequential([keras.Input((1728,)), keras.layers.Dense(3)])
    model.set_weights([rng.normal(size=(1728, 3)), np.zeros(3)])
    rows, call = rng.normal(size=(20, 1728)).astype(np.float32), trace_prediction_function(model)
    assert (call(rows) == np.concatenate([call(rows[k : k + 1]) for k in range(20)])).all()


LOAD = """
import sys
from pathlib import Path
from harness.deploy.model import load_model
load_model(lambda name: (Path(sys.argv[1]) / name).read_bytes())
print(sorted(name for name in sys.modules if name.startswith(("harness.tasks", "harness.searchspaces", "optuna", "tensorflow"))))
"""


@pytest.mark.parametrize("family", ["xgb", "catboost"])
def test_a_model_is_loaded_without_any_declaration(family, tmp_path):
    save_model(fitted(family), None, tmp_path)
    said = subprocess.run([sys.executable, "-c", LOAD, tmp_path], check=True, capture_output=True, text=True).stdout
    assert said.strip() == "[]"


def test_of_predicted_pictures_nothing_is_kept_and_nothing_is_needed(tmp_path, monkeypatch):
    """The weights are in the file; what pictures become while a model is searched is remembered on disk, but not here."""
    (tmp_path / "model").mkdir()
    pipeline, pictures = fitted("gradient_boosting", "image", 3), 255 - make_small_table("image", 3).X[:5]
    save_model(pipeline, None, tmp_path / "model")
    monkeypatch.setenv("EVENHAND_CACHE", str(tmp_path / "cache"))
    proba = load_model(reader(tmp_path / "model")).predict_proba(pictures)
    assert proba.shape == (5, 3)
    assert not (tmp_path / "cache").exists()
