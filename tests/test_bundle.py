"""A bundle is read only as it was written: whole, unchanged, by whoever can read its schema."""

import csv
import hashlib
import json
import os
import pickle
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from harness.data.table import hash_rows, make_table
from harness.deploy.bundle import (
    CARD_FILE,
    HELD_OUT_FILE,
    Bundle,
    BundleContents,
    HeldOutProba,
    read_bundle,
    write_bundle,
)
from harness.deploy.bundle_files import MANIFEST
from harness.deploy.predict import predict_file
from harness.deploy.predict import read_row_batches as parts_of_file
from harness.deploy.schema import describe_task_rows
from harness.deploy.validate import InvalidRowsError
from harness.errors import BundleError, DataError
from harness.registry.registry import load_registry
from harness.registry.space import defaults
from harness.registry.task import Task
from harness.search.pipeline import PipelineSpec, TrainingSet, fit_pipeline

ROWS = 120


def customers() -> pd.DataFrame:
    rng = np.random.default_rng(3)
    months = rng.integers(0, 72, ROWS)
    plan = rng.choice(["basic", "plus"], ROWS)
    left = np.where(months + 20 * (plan == "plus") + rng.normal(0, 8, ROWS) < 25, "yes", "no")
    return pd.DataFrame({"months": months, "plan": plan, "left": left})


def parts_of(family: str = "logistic_regression") -> BundleContents:
    raw, registry = customers(), load_registry()
    task = Task(name="customers", load=lambda _: raw, target="left", positive="yes")
    table = make_table(task, raw)
    recipe = PipelineSpec(registry.family(family), (registry.strategy("none"),), "tabular", 2)
    fitted = fit_pipeline(recipe, defaults(recipe.space), TrainingSet(table.X, table.y, seed=1))
    about = {
        "task": "customers",
        "entry": f"customers/{family}/none/default",
        "classes": ["no", "yes"],
        "threshold": 0.3,
        "calibration": "none",
        "versions": {},
    }
    held_out = HeldOutProba(hash_rows(table.X), fitted.predict_proba(table.X))
    return BundleContents(about, describe_task_rows(task, table), fitted, None, "# A card\n", held_out)


@pytest.fixture(scope="module")
def parts() -> BundleContents:
    return parts_of()


@pytest.fixture
def bundle(parts: BundleContents, tmp_path: Path) -> Bundle:
    return write_bundle(tmp_path / "bundle", parts)


def test_a_bundle_predicts_and_decides_as_what_it_was_made_of(bundle: Bundle, parts: BundleContents) -> None:
    X = customers()[["months", "plan"]].astype({"months": "float64", "plan": "category"})
    np.testing.assert_allclose(bundle.predict_proba(X), parts.pipeline.predict_proba(X), atol=1e-6)
    decided = bundle.choose_classes(np.array([[0.71, 0.29], [0.7, 0.3], [0.1, 0.9]]))
    assert decided.tolist() == [0, 1, 1]


def test_what_was_said_of_held_out_rows_comes_back(bundle: Bundle, parts: BundleContents) -> None:
    held_out = bundle.read_held_out_proba()
    assert held_out is not None
    assert parts.held_out is not None
    np.testing.assert_array_equal(held_out.keys, parts.held_out.keys)
    np.testing.assert_array_equal(held_out.proba, parts.held_out.proba)


@pytest.mark.parametrize("family", ["logistic_regression", "gradient_boosting"])
def test_the_same_model_has_the_same_content_hash_and_another_has_not(tmp_path: Path, family: str) -> None:
    first, second = (write_bundle(tmp_path / name, parts_of(family)) for name in ("a", "b"))
    assert first.manifest["content_sha256"] == second.manifest["content_sha256"]
    other = parts_of("random_forest")
    assert write_bundle(tmp_path / "c", other).manifest["content_sha256"] != first.manifest["content_sha256"]


def test_a_bundle_is_replaced_and_nothing_else_is(parts: BundleContents, tmp_path: Path) -> None:
    write_bundle(tmp_path / "b", parts)
    (tmp_path / "b" / "old.txt").write_text("of the first one")
    write_bundle(tmp_path / "b", parts)
    assert not (tmp_path / "b" / "old.txt").exists()
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "letter.txt").write_text("dear")
    with pytest.raises(BundleError, match="is there and no bundle"):
        write_bundle(tmp_path / "home", parts)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b", "home"]


def test_a_link_to_a_bundle_stays_one_and_the_folder_one_stands_in_is_not_replaced(
    parts: BundleContents, tmp_path: Path, monkeypatch
) -> None:
    write_bundle(tmp_path / "b", parts)
    (tmp_path / "link").symlink_to("b")
    write_bundle(tmp_path / "link", parts)
    assert (tmp_path / "link").is_symlink()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b", "link"]
    monkeypatch.chdir(tmp_path / "b")
    with pytest.raises(BundleError, match="the folder that this is run in"):
        write_bundle(Path(), parts)
    assert read_bundle(Path())


def change(folder: Path, **values: object) -> None:
    """Change the manifest as somebody with an editor would."""
    manifest = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps(manifest | values))


def craft(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change a manifest so that it is sound in its hashes, as somebody with a program would."""
    from harness.deploy import bundle as bundle_module

    manifest = json.loads((folder / MANIFEST).read_text())
    change(manifest)
    manifest["manifest_sha256"] = bundle_module._manifest_digest(manifest)
    (folder / MANIFEST).write_text(json.dumps(manifest))


def name_anew(folder: Path, name: str, target: str) -> None:
    """A manifest that is sound in itself and names a file elsewhere."""
    craft(folder, lambda manifest: manifest["files"].update({name: manifest["files"].pop(target)}))


def describe_anew(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Another description of the rows, of which the manifest has the hash."""
    schema = json.loads((folder / "schema.json").read_text())
    change(schema)
    content = json.dumps(schema).encode()
    (folder / "schema.json").write_bytes(content)
    craft(folder, lambda manifest: manifest["files"].update({"schema.json": hashlib.sha256(content).hexdigest()}))


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "a file changed": (lambda b: (b / "pipeline.skops").open("ab").write(b"x"), "is not what was exported"),
    "rows changed": (lambda b: (b / "schema.json").write_text("{}"), "is not what was exported"),
    "a pickle": (lambda b: (b / "pipeline.skops").write_bytes(pickle.dumps({"a": 1})), "is not what was exported"),
    "a file lost": (lambda b: (b / "pipeline.skops").unlink(), "cannot read"),
    "the threshold moved": (lambda b: change(b, threshold=0.9), "was changed after it was written"),
    "a newer schema": (lambda b: change(b, schema=2), "this evenhand reads schema 1: install a newer one"),
    "another kind of schema": (lambda b: change(b, schema="new"), "this is no manifest of a bundle"),
    "no classes": (lambda b: change(b, classes=None), "has no sound 'classes'"),
    "no JSON": (lambda b: (b / MANIFEST).write_text("{"), "is no JSON that can be read"),
    "deep JSON": (lambda b: (b / MANIFEST).write_text("[" * 100_000), "is no JSON that can be read"),
    "a list": (lambda b: (b / MANIFEST).write_text("[]"), "holds no object"),
    "no manifest": (lambda b: (b / MANIFEST).unlink(), "is no bundle"),
    "a path out": (lambda b: name_anew(b, "../schema.json", "schema.json"), "no file in the bundle's folder"),
    "an absolute path": (lambda b: name_anew(b, "/schema.json", "schema.json"), "no file in the bundle's folder"),
    "a file not named": (lambda b: name_anew(b, "other.skops", "pipeline.skops"), "names no file 'pipeline.skops'"),
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_bundle_is_refused_with_one_line(bundle: Bundle, how: str) -> None:
    breaking, message = BROKEN[how]
    breaking(bundle.folder)
    with pytest.raises(BundleError) as refused:
        read_bundle(bundle.folder)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


MONTHS, PLAN = 0, 1
DESCRIPTIONS: dict[str, Callable[[dict[str, Any]], object]] = {
    "a kind that is none": lambda s: s["features"][MONTHS].update(kind="colour"),
    "a kind of another modality": lambda s: s["features"][MONTHS].update(kind="text"),
    "a way of writing that is none": lambda s: s["features"][MONTHS].update(written="day first"),
    "a share too few": lambda s: s["features"][MONTHS]["shares"].pop(),
    "a share too few of levels": lambda s: s["features"][PLAN]["shares"].pop(),
    "shares of more than all": lambda s: s["features"][PLAN].update(shares=[1, 1, 0, 0]),
    "edges that are texts": lambda s: s["features"][MONTHS].update(edges=["3"] * 9),
    "edges that are no list": lambda s: s["features"][MONTHS].update(edges="123456789"),
    "edges that fall": lambda s: s["features"][MONTHS]["edges"].reverse(),
    "an edge that is NaN": lambda s: s["features"][MONTHS]["edges"].__setitem__(-1, float("nan")),
    "an edge beyond all floats": lambda s: s["features"][MONTHS]["edges"].__setitem__(-1, 10**400),
    "half a range": lambda s: s["features"][MONTHS].update(low=None),
    "a range the wrong way round": lambda s: s["features"][MONTHS].update(low=99.0),
    "a level twice": lambda s: s["features"][PLAN].update(levels=["plus", "plus"]),
    "levels that are numbers": lambda s: s["features"][PLAN].update(levels=[1, 2]),
    "a field that is none": lambda s: s["features"][PLAN].update({"a\nb": 1}),
    "no columns": lambda s: s.update(features=[]),
    "a column that is a text": lambda s: s.update(features=["months"]),
    "a column twice": lambda s: s["features"].append(s["features"][MONTHS]),
    "a column that the model does not know": lambda s: s["features"][MONTHS].update(name="weeks"),
    "a column that the model needs": lambda s: s["features"].pop(),
    "a modality that is none": lambda s: s.update(modality="sound"),
    "a modality that is a list": lambda s: s.update(modality=["tabular"]),
    "another modality": lambda s: s.update(modality="text", features=[text()]),
    "pictures of no size": lambda s: s.update(modality="image", picture=[0, 8, 3], features=[text("picture")]),
    "pictures of any size": lambda s: s.update(modality="image", picture=[10**6, 10**6, 3], features=[text("picture")]),
    "pictures that are flat": lambda s: s.update(modality="image", picture=[8, 8], features=[text("picture")]),
    "a table of pictures": lambda s: s.update(picture=[8, 8, 1]),
    "one class": lambda s: s.update(classes=["yes"]),
    "half a character": lambda s: s.update(target="\ud800"),
    "no rows": lambda s: s.update(rows=0),
}


def text(kind: str = "text") -> dict[str, Any]:
    limits = {"low": 1.0, "median": 1.0, "high": 1.0}
    return {"name": kind, "kind": kind, "levels": [], "edges": [], "shares": [1.0, 0.0], **limits}


@pytest.mark.parametrize("how", DESCRIPTIONS)
def test_a_description_that_none_of_ours_is_is_refused_when_it_is_read(bundle: Bundle, how: str) -> None:
    describe_anew(bundle.folder, DESCRIPTIONS[how])
    with pytest.raises(BundleError, match=r"does not describe rows|do not agree on the columns|is no JSON") as refused:
        read_bundle(bundle.folder)
    assert "\n" not in str(refused.value)


MANIFESTS: dict[str, dict[str, Any]] = {
    "a threshold that is NaN": {"threshold": float("nan")},
    "a threshold below all": {"threshold": -0.1},
    "a threshold above all": {"threshold": 1.1},
    "a threshold that is true": {"threshold": True},
    "a threshold of three classes": {"classes": ["a", "b", "c"]},
    "classes that are numbers": {"classes": [0, 1]},
    "a class twice": {"classes": ["no", "no"]},
    "a single class": {"classes": ["yes"]},
}


@pytest.mark.parametrize("how", MANIFESTS)
def test_a_manifest_that_decides_as_none_of_ours_is_refused(bundle: Bundle, how: str) -> None:
    craft(bundle.folder, lambda manifest: manifest.update(MANIFESTS[how]))
    with pytest.raises(BundleError, match=r"has no sound '(classes|threshold)'") as refused:
        read_bundle(bundle.folder)
    assert "\n" not in str(refused.value)


def test_a_manifest_that_no_file_can_hold_is_refused(bundle: Bundle) -> None:
    change(bundle.folder, task="\ud800")
    with pytest.raises(BundleError, match="is no JSON that can be read"):
        read_bundle(bundle.folder)


def test_no_threshold_or_one_above_all_probabilities_is_one_of_ours(bundle: Bundle) -> None:
    for threshold in (None, 0, 1 + 1e-6):
        craft(bundle.folder, lambda manifest, value=threshold: manifest.update(threshold=value))
        assert read_bundle(bundle.folder).threshold == threshold


@pytest.mark.parametrize("name", [MANIFEST, "schema.json", "pipeline.skops"])
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_no_plain_file_is_not_read(bundle: Bundle, name: str, make: Callable[[Path], None]) -> None:
    """Of a pipe that nobody writes to, one would wait for ever."""
    (bundle.folder / name).unlink()
    make(bundle.folder / name)
    with pytest.raises(BundleError, match="is no plain file") as refused:
        read_bundle(bundle.folder)
    assert "\n" not in str(refused.value)


#: The number of a process that does not exist: larger than any system gives.
GONE = 999_999_999


def test_what_killed_processes_left_beside_is_taken_away_and_nothing_else(
    parts: BundleContents, tmp_path: Path
) -> None:
    write_bundle(tmp_path / "b", parts)
    lost = [f".b.{GONE}.part", f".b.{GONE}.old", f".b.{os.getpid()}.old", f".b.{os.getpid()}.part"]
    kept = [f".b.{os.getppid()}.part", f".bb.{GONE}.part", ".b.part", f".b.{GONE}.part.txt"]
    for name in [*lost, *kept]:
        (tmp_path / name).mkdir()
        (tmp_path / name / "half.txt").write_text("half")
    write_bundle(tmp_path / "b", parts)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*kept, "b"])


def test_a_bundle_that_a_killed_process_moved_away_is_there_again(parts: BundleContents, tmp_path: Path) -> None:
    before = write_bundle(tmp_path / "b", parts)
    (tmp_path / "b").rename(tmp_path / f".b.{GONE}.old")
    with pytest.raises(KeyError, match="threshold"):  # a write that fails leaves what it found
        write_bundle(tmp_path / "b", replace(parts, manifest={"classes": []}))
    assert [path.name for path in tmp_path.iterdir()] == ["b"]
    assert read_bundle(tmp_path / "b").id == before.id


def test_a_link_out_of_the_folder_is_not_followed(bundle: Bundle, tmp_path: Path) -> None:
    shutil.move(bundle.folder / "schema.json", tmp_path / "schema.json")
    (bundle.folder / "schema.json").symlink_to(tmp_path / "schema.json")
    with pytest.raises(BundleError, match="points elsewhere"):
        read_bundle(bundle.folder)


def test_held_out_rows_are_checked_too(bundle: Bundle) -> None:
    (bundle.folder / HELD_OUT_FILE).write_bytes(b"junk")
    with pytest.raises(BundleError, match="is not what was exported"):
        bundle.read_held_out_proba()


def test_no_training_row_lies_in_a_bundle_of_names(tmp_path: Path, parts: BundleContents) -> None:
    """A category that is too rare to learn from is a person's name, and stays at home."""
    raw = customers()
    raw["nickname"] = [f"zaphod{i}" if i < 3 else "none" for i in range(ROWS)]
    registry = load_registry()
    task = Task(name="customers", load=lambda _: raw, target="left", positive="yes")
    table = make_table(task, raw)
    recipe = PipelineSpec(registry.family("logistic_regression"), (registry.strategy("smote"),), "tabular", 2)
    fitted = fit_pipeline(recipe, defaults(recipe.space), TrainingSet(table.X, table.y, seed=1))
    made = BundleContents(parts.manifest, describe_task_rows(task, table), fitted, None, "")
    written = write_bundle(tmp_path / "b", made)
    import zipfile

    with zipfile.ZipFile(written.folder / "pipeline.skops") as file:
        inside = b"".join(file.read(name) for name in file.namelist())
    outside = b"".join(path.read_bytes() for path in written.folder.iterdir() if path.suffix != ".skops")
    assert b"none" in inside
    assert b"zaphod" not in inside + outside


def silent(_rows: int, _share: float) -> None:
    """Nobody watches."""


def test_a_file_is_scored_in_parts_as_it_would_be_at_once(bundle: Bundle, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("harness.deploy.predict.BATCH_ROWS", 50)
    raw = customers().drop(columns="left")
    raw.to_csv(tmp_path / "new.csv", index=False)
    progress: list[tuple[int, float]] = []
    scored = predict_file(bundle, tmp_path / "new.csv", tmp_path / "out" / "s.csv", lambda *at: progress.append(at))
    found = pd.read_csv(tmp_path / "out" / "s.csv", keep_default_na=False)
    X = raw.astype({"months": "float64", "plan": "category"})
    np.testing.assert_allclose(found["probability_yes"], bundle.predict_proba(X)[:, 1], rtol=1e-5)
    assert list(found.columns) == ["months", "plan", "predicted_class", "probability_no", "probability_yes", "flags"]
    assert found["months"].tolist() == raw["months"].tolist()
    assert scored.rows == ROWS
    assert scored.predicted == found["predicted_class"].value_counts().to_dict()
    assert [rows for rows, _ in progress] == [50, 100, 120]


def test_csv_and_parquet_are_scored_alike(bundle: Bundle, tmp_path: Path) -> None:
    raw = customers()
    raw.loc[3, "months"] = 999
    raw.to_csv(tmp_path / "new.csv", index=False, sep=";")
    raw.to_parquet(tmp_path / "new.parquet")
    for name in ("new.csv", "new.parquet"):
        assert predict_file(bundle, tmp_path / name, tmp_path / f"{name}.out", silent).flagged == 1
    assert (tmp_path / "new.csv.out").read_text() == (tmp_path / "new.parquet.out").read_text()
    assert "months: 999 is beyond the range" in (tmp_path / "new.csv.out").read_text()


def test_columns_that_predictions_are_called_like_stay_and_the_others_are_renamed(
    bundle: Bundle, tmp_path: Path
) -> None:
    raw = customers().assign(flags="S0", predicted_class="mine", **{"": range(ROWS)})
    raw.to_csv(tmp_path / "new.csv", index=False)
    summary = predict_file(bundle, tmp_path / "new.csv", tmp_path / "s.csv", silent)
    found = pd.read_csv(tmp_path / "s.csv", dtype="str", keep_default_na=False)
    assert set(found["flags"]) == {"S0"}
    assert set(found["evenhand_predicted_class"]) <= {"no", "yes"}
    assert "evenhand_flags" in summary.describe()
    assert (tmp_path / "s.csv").read_text().splitlines()[0].startswith("months,plan,left,flags,predicted_class,,")


TEXTS = [
    "007", "1.50", "NA", " two  words ", "=1+1", 'say "x", y', "line\nbreak", "line\r\nbreak", "a\rb", "\x00", "1e5", "0.1000",
    "e\u0301", "\ufeffx", "9007199254740993", "TRUE", "'", "\\", "🙂", "nan",
]  # fmt: skip


def test_columns_that_the_model_does_not_read_come_back_as_they_came(bundle: Bundle, tmp_path: Path) -> None:
    raw = customers().assign(note=[TEXTS[i % len(TEXTS)] for i in range(ROWS)])
    raw.to_csv(tmp_path / "new.csv", index=False, quoting=csv.QUOTE_ALL)
    predict_file(bundle, tmp_path / "new.csv", tmp_path / "s.csv", silent)
    with (tmp_path / "s.csv").open(newline="", encoding="utf-8") as file:
        assert [record["note"] for record in csv.DictReader(file)] == raw["note"].tolist()
    numbers = pa.array([2**53 + 1, None, 5] * (ROWS // 3))
    pq.write_table(pa.Table.from_pandas(customers()).append_column("number", numbers), tmp_path / "new.parquet")
    predict_file(bundle, tmp_path / "new.parquet", tmp_path / "s.csv", silent)
    assert pd.read_csv(tmp_path / "s.csv", dtype="str")["number"].tolist()[::3] == [str(2**53 + 1)] * (ROWS // 3)


def test_a_row_that_cannot_be_answered_is_named_by_its_place_in_the_file(
    bundle: Bundle, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr("harness.deploy.predict.BATCH_ROWS", 50)
    raw = customers().astype({"months": "str"})
    raw.loc[70, "months"] = "many"
    raw.to_csv(tmp_path / "new.csv", index=False)
    with pytest.raises(
        InvalidRowsError, match=r"row 71 of new\.csv, column 'months': expected a finite number, found 'many'"
    ):
        predict_file(bundle, tmp_path / "new.csv", tmp_path / "s.csv", silent)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle", "new.csv"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"months,plan\n", "holds no rows"),
        (b"", "is empty"),
        (b"months\n3\n", "column 'plan' is missing"),
        (b"months,plan\n3,plus,4\n5,plus,6\n", "more fields"),
    ],
)
def test_a_file_that_is_no_table_of_such_rows_is_refused(
    bundle: Bundle, tmp_path: Path, content: bytes, message: str
) -> None:
    (tmp_path / "new.csv").write_bytes(content)
    with pytest.raises((DataError, InvalidRowsError), match=message):
        predict_file(bundle, tmp_path / "new.csv", tmp_path / "s.csv", silent)
    assert not (tmp_path / "s.csv").exists()


def test_answers_take_the_place_of_a_file_and_of_nothing_else(bundle: Bundle, tmp_path: Path) -> None:
    customers().to_csv(tmp_path / "new.csv", index=False)
    (tmp_path / "kept.csv").write_text("old")
    (tmp_path / "link.csv").symlink_to("kept.csv")
    predict_file(bundle, tmp_path / "new.csv", tmp_path / "link.csv", silent)
    assert (tmp_path / "link.csv").is_symlink()
    assert (tmp_path / "kept.csv").read_text() != "old"
    os.mkfifo(tmp_path / "pipe")
    for out in ("pipe", "bundle"):
        with pytest.raises(DataError, match="is no file that can be replaced"):
            predict_file(bundle, tmp_path / "new.csv", tmp_path / out, silent)
    assert (tmp_path / "pipe").is_fifo()
    with pytest.raises(DataError, match=r"no such file: .*none\.csv"):
        predict_file(bundle, tmp_path / "none.csv", tmp_path / "s.csv", silent)


def test_whoever_reads_a_file_is_told_in_one_line_that_it_cannot_be(bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^no such file: .*none\.csv$"):
        next(parts_of_file(bundle, tmp_path / "none.csv"))
    with pytest.raises(DataError, match="this bundle takes a CSV or Parquet file"):
        next(parts_of_file(bundle, tmp_path))


def test_the_card_is_there(bundle: Bundle) -> None:
    assert (bundle.folder / CARD_FILE).read_text() == "# A card\n"
