"""Texts and pictures: how they come in, how strategies act on them, how one's own are run."""

import sys

import numpy as np
import pandas as pd
import pytest
from conftest import cell, cell_data
from PIL import Image
from scipy.sparse import csr_matrix, issparse

from harness.checks.small_tables import make_small_table
from harness.data.audit import audit_table
from harness.data.images import LabeledImages
from harness.data.splits import make_splitter
from harness.data.table import fingerprint_table, hash_rows, make_table
from harness.errors import DataError, DeclarationError, Inapplicable
from harness.execution.cell import run_cell
from harness.findings import Finding
from harness.preprocessing.cache import FoldCache
from harness.preprocessing.encodings import ENCODINGS
from harness.preprocessing.resampling import resample_encoded_rows
from harness.registry.protocol import EvaluationProtocol
from harness.registry.space import defaults
from harness.registry.strategy import Strategy
from harness.registry.task import Task
from harness.search.applicability import inapplicable_reason
from harness.search.pipeline import PipelineSpec, TrainingSet, fit_pipeline
from harness.store.store import Store

MESSAGES = pd.DataFrame(
    {
        "id": range(8),
        "message": ["Win NOW", "win  now", "see you", None, "see you at 8", "call me", "prize!", "prize!!"],
        "label": ["spam", "spam", "ham", "ham", "ham", "ham", "spam", "spam"],
    }
)


def text_task(**fields):
    return Task(name="messages", load=lambda _: None, target="label", modality="text", text="message", **fields)


def test_of_a_text_task_one_column_is_read():
    table = make_table(text_task(), MESSAGES)
    assert table.X.tolist()[:3] == ["Win NOW", "win  now", "see you"]
    assert table.X[3] == ""
    assert [finding.note for finding in table.notes] == [
        "id: left out, a text task reads 'message' alone",
        "message: 1 texts are missing and read as empty",
    ]
    assert [(finding.code, finding.rows) for finding in table.notes] == [("unread_column", None), ("missing_text", 1)]


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        (MESSAGES.drop(columns="message"), "no such column 'message'"),
        (MESSAGES.assign(message="the same"), "fewer than two different texts"),
    ],
)
def test_bad_texts_are_refused(frame, said):
    with pytest.raises(DataError, match=said):
        make_table(text_task(), frame)


def test_a_task_says_what_its_texts_are_and_pictures_have_no_columns():
    with pytest.raises(DeclarationError, match="names the column"):
        Task(name="t", load=len, target="y", modality="text")
    with pytest.raises(DeclarationError, match="no columns"):
        Task(name="t", load=len, target="y", modality="image", group="shop")


def test_copies_of_a_text_or_a_picture_stay_on_one_side():
    table = make_table(text_task(), MESSAGES)
    keys = hash_rows(table.X)
    assert keys[0] == keys[1], "case and spaces alone make no other text"
    assert len(set(keys)) == 7
    assert [finding.code for finding in audit_table(table)] == ["few_positives", "few_positives", "duplicates"]
    pictures = make_small_table("image", 2)
    doubled = pictures.take(np.repeat(np.arange(240), 2))
    for fold in make_splitter(doubled).outer(EvaluationProtocol(folds=3)):
        assert not set(fold.train // 2) & set(fold.test // 2)


@pytest.mark.parametrize("modality", ["text", "image"])
def test_a_fingerprint_changes_with_any_row(modality):
    table, other = make_small_table(modality, 2), make_small_table(modality, 2)
    assert fingerprint_table(table) == fingerprint_table(other)
    other.X[7] = "another text" if modality == "text" else 0
    assert fingerprint_table(table) != fingerprint_table(other)


def test_pictures_become_a_table_and_keep_their_notes():
    unreadable = Finding("unreadable_image", "note", "it is empty", "x.png")
    notes = (unreadable, "a text of another package")
    pictures = LabeledImages(np.zeros((4, 5, 5, 3), np.uint8), np.array(["b", "a", "a", "a"]), notes)
    table = make_table(Task(name="p", load=len, target="folder", modality="image"), pictures)
    assert (table.classes, table.y.tolist()) == (("a", "b"), [1, 0, 0, 0])
    assert table.notes == (unreadable, Finding("note", "note", "a text of another package"))
    assert [finding.note for finding in table.notes] == ["x.png: left out, it is empty", "a text of another package"]


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("name", ["smote", "borderline_smote", "adasyn", "smote_tomek", "smote_enn"])
def test_rows_are_made_between_encoded_rows(name, sparse, registry):
    rng = np.random.default_rng(0)
    X = rng.random((90, 6)).astype(np.float32)
    y = (np.arange(90) < 20).astype(np.int64)
    X[:20] += 0.3
    strategy = registry.strategy(name)
    made, made_y = resample_encoded_rows(
        strategy, defaults(strategy.space), csr_matrix(X) if sparse else X, y, 1, (FoldCache(), "X")
    )
    assert issparse(made) == sparse
    assert made.dtype == np.float32
    assert made.shape[0] == len(made_y) != 90
    assert made.max() <= X.max() + 1e-6


@pytest.mark.parametrize("form", [(4,), (3, 3, 1), (2, 5)])
@pytest.mark.parametrize("name", ["random_oversampling", "random_undersampling"])
def test_rows_of_any_form_can_be_chosen(name, form, registry):
    X = np.arange(40 * int(np.prod(form))).reshape(40, *form)
    y = (np.arange(40) < 8).astype(np.int64)
    strategy = registry.strategy(name)
    made, made_y = resample_encoded_rows(strategy, defaults(strategy.space), X, y, 1, (FoldCache(), "X"))
    assert np.bincount(made_y).tolist() == ([32, 32] if name == "random_oversampling" else [8, 8])
    assert all(any((row == one).all() for one in X[y == label]) for row, label in zip(made, made_y, strict=True))


def test_the_same_points_are_resampled_alike_whether_sparse_or_not(registry):
    X = np.random.default_rng(0).random((60, 5)).astype(np.float32)
    y = (np.arange(60) < 15).astype(np.int64)
    strategy = registry.strategy("smote")
    one, other = (
        resample_encoded_rows(strategy, {"k_neighbors": 20}, form(X), y, 1, (FoldCache(), "X"))[0]
        for form in (np.asarray, csr_matrix)
    )
    np.testing.assert_allclose(one, other.toarray(), atol=1e-6)


@pytest.mark.parametrize(
    ("family", "modality", "strategy", "said"),
    [
        ("recurrent_network", "text", "smote", "between two sequences of words there is no third"),
        ("recurrent_network", "text", "random_oversampling", ""),
        ("small_convolutional_network", "image", "smote_enn", "halfway between two pictures"),
        ("small_convolutional_network", "image", "class_weight", ""),
        ("recurrent_network", "tabular", "none", "recurrent_network does not take tabular data"),
        ("pretrained_network", "image", "smote", ""),
        ("logistic_regression", "text", "adasyn", ""),
    ],
)
def test_what_does_not_apply_says_why(family, modality, strategy, said, registry):
    reason = inapplicable_reason(registry.family(family), modality, registry.strategy(strategy))
    assert (said in reason) if said else not reason


def test_where_rows_are_made_only_what_gives_points_is_searched(registry):
    family = registry.family("pretrained_network")
    wide = PipelineSpec(family, (registry.strategy("none"),), "image", 2).encoding_space
    narrow = PipelineSpec(family, (registry.strategy("smote"),), "image", 2).encoding_space
    assert set(narrow["cut"].options) < set(wide["cut"].options)
    assert narrow == ENCODINGS["activations"].interpolation_space


def test_a_searched_strategy_that_cannot_act_is_a_failed_trial_with_its_reason(registry):
    table = make_small_table("text", 2)
    strategies = tuple(registry.strategy(name) for name in ("none", "smote"))
    recipe = PipelineSpec(registry.family("recurrent_network"), strategies, "text", 2)
    training = TrainingSet(table.X, table.y, 1)
    with pytest.raises(Inapplicable, match="no third"):
        fit_pipeline(recipe, defaults(recipe.space) | {"strategy": "smote", "smote.k_neighbors": 3}, training)


def test_texts_are_encoded_once_for_all_cells_of_a_fold(registry, tmp_path):
    table = make_small_table("text", 2)
    none, weight = registry.strategy("none"), registry.strategy("class_weight")
    given = cell_data(table, registry.family("logistic_regression"), (none,), registry, trials=1)
    assert run_cell(cell(), given, Store(tmp_path / "a")).status == "ok"
    held = given.shared.n_bytes
    other = cell_data(table, registry.family("logistic_regression"), (weight,), registry, trials=1)
    again = other.__class__(**{**other.__dict__, "shared": given.shared})
    assert run_cell(cell(), again, Store(tmp_path / "b")).status == "ok"
    assert given.shared.n_bytes == held > 0


def test_a_strategy_that_claims_to_choose_but_makes_rows_is_found_out(registry):
    import imblearn.over_sampling

    liar = Strategy(
        name="liar",
        kind="resample",
        selects_existing_rows=True,
        build=lambda seed: imblearn.over_sampling.SMOTE(random_state=seed),
    )
    with pytest.raises(Exception, match="declared to choose"):
        resample_encoded_rows(
            liar, {}, np.zeros((40, 2, 2)), (np.arange(40) < 9).astype(np.int64), 1, (FoldCache(), "X")
        )


QUICK = "--family logistic_regression --strategy none --strategy smote --trials 2 --folds 2 --inner-folds 2 --jobs 1 --no-report"


def test_own_messages_are_run_with_text(evenhand, tmp_path):
    table = make_small_table("text", 2)
    label = np.where(table.y == 1, "spam", "ham")
    pd.DataFrame({"label": label, "message": table.X, "sender": "x"}).to_csv(tmp_path / "my messages.csv", index=False)
    words = ["run", "my messages.csv", "--target", "label", "--text", "message", *QUICK.split(), "--out", "out"]
    code, _, err = evenhand(*words)
    assert code == 0, err
    run = Store(tmp_path / "out").read_run()["tasks"]["my_messages"]
    assert (run["modality"], run["positive"]) == ("text", "spam")
    assert {record.status for record in Store(tmp_path / "out").read_every_record()} == {"ok"}


def test_own_pictures_are_run_as_a_folder(evenhand, tmp_path, registry):
    table = make_small_table("image", 2)
    for row, (picture, label) in enumerate(zip(table.X, table.y, strict=True)):
        folder = tmp_path / "photos" / ("bar low" if label else "bar high")
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture[:, :, 0]).save(folder / f"{row:03}.png")
    (tmp_path / "photos" / "bar low" / "broken.png").write_bytes(b"no picture")
    words = "--family majority --folds 2 --jobs 1 --no-report --out out".split()  # noqa: SIM905 -- as typed
    code, _, err = evenhand("run", "photos", *words)
    assert code == 0, err
    about = Store(tmp_path / "out").read_run()["tasks"]["photos"]
    assert (about["modality"], about["positive"], about["rows"]) == ("image", "bar low", 240)
    assert any(note.startswith("bar low/broken.png: left out") for note in about["notes"])
    code, _, err = evenhand("run", "photos", "--target", "label")
    assert code == 2
    assert "folders are the classes" in err


def test_a_column_has_one_role(evenhand, tmp_path):
    MESSAGES.to_csv(tmp_path / "m.csv", index=False)
    for words, said in [
        (["--target", "label", "--text", "label"], "names the target"),
        (["--target", "label", "--text", "messag"], "did you mean 'message'"),
        (["--target", "label", "--text", "message", "--drop", "message"], "whose texts are to be read"),
    ]:
        code, _, err = evenhand("run", "m.csv", *words)
        assert code == 2
        assert said in err


def test_without_tensorflow_what_needs_it_is_skipped_with_what_to_install(evenhand, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow", None)  # what `find_spec` takes for a package that is not there
    table = make_small_table("image", 2)
    for row, (picture, label) in enumerate(zip(table.X, table.y, strict=True)):
        folder = tmp_path / "photos" / ("low" if label else "high")
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture[:, :, 0]).save(folder / f"{row:03}.png")
    families = [word for name in ("logistic_regression", "pretrained_network") for word in ("--family", name)]
    words = [
        "run",
        "photos",
        *families,
        "--strategy",
        "none",
        "--folds",
        "2",
        "--jobs",
        "1",
        "--no-report",
        "--out",
        "out",
    ]
    code, _, err = evenhand(*words)
    assert code == 2
    assert "only the baseline could be run: skipped: needs tensorflow: pip install 'evenhand[cpu]'" in err
    said = {record.family: (record.status, record.reason) for record in Store(tmp_path / "out").read_every_record()}
    assert said["majority"][0] == "ok"
    for name in ("logistic_regression", "pretrained_network"):
        assert said[name] == ("skipped", "needs tensorflow: pip install 'evenhand[cpu]'")
    about = Store(tmp_path / "out").read_run()["skipped"]
    assert [one["name"] for one in about] == ["pretrained_network"]


def test_texts_that_share_no_word_are_known_by_pieces_of_words(registry):
    X = np.array([f"{a}{b}{c}" for a in "kmt" for b in ("ari", "olo") for c in ("na", "si", "ve")] * 3, dtype=object)
    X = np.array([f"{text}{number}x" for number, text in enumerate(X)], dtype=object)
    encoded = ENCODINGS["tfidf"].fit(X, np.zeros(len(X), np.int64), 0).transform(X)
    assert encoded.shape[0] == len(X)
    assert (encoded.getnnz(axis=1) > 0).all()


def test_texts_that_look_alike_are_copies():
    keys = hash_rows(np.array(["caf\u00e9 now", "cafe\u0301 NOW", "caf\u00e9\u200b  now", "cafe now"], dtype=object))
    assert keys[0] == keys[1] == keys[2] != keys[3]


def test_what_is_said_of_copies_with_a_time_column_is_true():
    rows = pd.concat([MESSAGES, MESSAGES]).assign(day=range(16))
    said = {one.code: one.message for one in audit_table(make_table(text_task(time="day"), rows))}
    assert "may stand on both sides" in said["duplicates"]


def test_own_texts_are_texts_whatever_they_look_like(tmp_path):
    from harness.data.table import load_table
    from harness.data.user_data import UserData

    path = tmp_path / "messages.csv"
    said = ["NA", "null", "None", "007", "1.50", "nan", "?", ""]
    path.write_text("message;label\n" + "".join(f"{text};{'ab'[i % 2]}\n" for i, text in enumerate(said)))
    table = load_table(UserData(str(path), "label", text="message").task())
    assert table.X.tolist() == said
    assert [finding.rows for finding in table.notes if finding.code == "missing_text"] == [1]
