"""Target encoding of categories with many levels: cross-fitted on training rows, searched only where a table has such a category."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from harness.data.table import make_table
from harness.deploy.bundle import BundleContents, write_bundle
from harness.deploy.model import load_model, save_model
from harness.deploy.predict import read_rows
from harness.deploy.schema import describe_task_rows
from harness.execution.plan import LoadedTask, make_cell
from harness.preprocessing.encodings import ENCODINGS, has_many_levels
from harness.preprocessing.native_levels import MAX_NATIVE_LEVELS, keep_levels
from harness.preprocessing.tabular import fit_table_preprocessor, many_level_categories
from harness.preprocessing.tabular_encoders import source_columns_of_encoding
from harness.preprocessing.target_encoding import FOLDS, SMOOTHING, add_target_encoding
from harness.registry.family import Family, missing_packages
from harness.registry.fingerprint import declaration_fingerprint, digest
from harness.registry.protocol import EvaluationProtocol
from harness.registry.space import defaults
from harness.registry.task import Table, Task
from harness.search.pipeline import PipelineSpec, TrainingSet, fit_pipeline
from harness.search.table_preparation import prepare_table

N_SHOPS = 200


def shops(n: int = 2000, effect: float = 2.0, classes: int = 2, seed: int = 0) -> Table:
    """Rows of 200 shops of equal size; the shop decides by `effect`, a number and a colour do not matter."""
    rng = np.random.default_rng(seed)
    shop = rng.integers(0, N_SHOPS, n)
    log_odds = effect * rng.normal(size=N_SHOPS)[shop] - 1
    y = (rng.random(n) < 1 / (1 + np.exp(-log_odds))).astype(np.int64)
    if classes == 3:
        y[(y == 1) & (shop % 2 == 1)] = 2
    names = pd.Categorical([f"shop {number}" for number in shop])
    colour = pd.Categorical(rng.choice(["red", "green", "blue"], n))
    frame = pd.DataFrame({"number": rng.normal(size=n), "shop": names, "colour": colour})
    return Table(frame, y, ("a", "b", "c")[:classes])


def spec_of(registry, family: str, strategy: str = "none", table: Table | None = None) -> PipelineSpec:
    many_levels = table is None or has_many_levels(table, "tabular")
    classes = 2 if table is None else len(table.classes)
    return PipelineSpec(
        registry.family(family), (registry.strategy(strategy),), "tabular", classes, many_levels=many_levels
    )


def fit(registry, family: str, table: Table, rows: np.ndarray, **params):
    spec = spec_of(registry, family, table=table)
    configuration = defaults(spec.space) | params
    return fit_pipeline(spec, configuration, TrainingSet(table.X.iloc[rows], table.y[rows], seed=3))


# --- where it is searched ---


def test_only_categories_whose_merged_levels_hold_many_rows_have_many_levels():
    rng = np.random.default_rng(0)
    few = pd.Categorical(rng.integers(0, 50, 5000).astype(str))
    rare = pd.Categorical(np.where(np.arange(5000) < 100, np.arange(5000), 0).astype(str))
    many = pd.Categorical(rng.integers(0, 1000, 5000).astype(str))
    assert many_level_categories(pd.DataFrame({"few": few, "rare": rare, "many": many})) == ("many",)


@pytest.mark.parametrize("family", ["logistic_regression", "xgb", "random_forest", "dense_network"])
def test_a_table_without_such_a_category_has_the_space_and_the_key_of_before(registry, family):
    table = shops()
    table = replace(table, X=table.X.drop(columns="shop"))
    declared, encoding = registry.family(family), ENCODINGS[registry.family(family).encodings["tabular"]]
    assert list(spec_of(registry, family, table=table).space) == [
        *declared.space,
        *(f"encode.{name}" for name in encoding.space),
    ]
    task = Task(name="few", load=lambda _: table.X, target="y")
    loaded = LoadedTask(task, table, None, [], "rows", has_many_levels(table, "tabular"))
    protocol = EvaluationProtocol()
    request = SimpleNamespace(protocol=protocol, strategy_key=lambda _registry, name: name)
    fold = SimpleNamespace(repeat=0, fold=0)
    key = digest(
        *(protocol.as_dict(), "rows", None),
        declaration_fingerprint(declared),
        [sorted(encoding.space.items()), None],
        "none",
    )
    assert make_cell(request, registry, loaded, (declared, "none"), fold).key == key[:32]
    assert make_cell(request, registry, replace(loaded, many_levels=True), (declared, "none"), fold).key != key[:32]


@pytest.mark.parametrize("family", ["logistic_regression", "xgb", "random_forest", "dense_network"])
def test_target_encoding_is_the_default_where_there_is_one(registry, family):
    assert defaults(spec_of(registry, family, table=shops()).space)["encode.categories"] == "target"


# --- what it computes ---


def test_training_rows_are_encoded_by_other_rows_and_new_rows_by_all():
    table = shops(classes=2)
    preparer, encoded = add_target_encoding(fit_table_preprocessor(table.X), table.X, table.y, None, seed=1)
    encoding = preparer.target_encoding
    shop, y = table.X["shop"], table.y
    # A row is encoded by four fifths of the others: recompute a shop's shares from the rows of each other fold.
    rows = np.flatnonzero(shop == "shop 7")
    shares = {(y[rows].sum() - taken + SMOOTHING * y.mean()) / (len(rows) - left_out + SMOOTHING)
              for left_out in range(1, len(rows)) for taken in range(left_out + 1)}  # fmt: skip
    assert all(min(abs(share - known) for known in shares) < 0.01 for share in encoded[rows, 0])
    assert len(np.unique(encoded[rows, 0])) > 1
    full = (y[rows].sum() + SMOOTHING * y.mean()) / (len(rows) + SMOOTHING)
    assert encoding.transform(table.X)[rows, 0] == pytest.approx(full)
    # The label of the row itself lowers its own cross-fitted share: a positive row is encoded by fewer positive ones.
    positive, negative = encoded[rows[y[rows] == 1]].mean(), encoded[rows[y[rows] == 0]].mean()
    assert positive < negative
    assert FOLDS == 5


def test_several_classes_have_a_share_each_that_add_up_to_one():
    table = shops(classes=3)
    preparer, encoded = add_target_encoding(fit_table_preprocessor(table.X), table.X, table.y, None, seed=1)
    assert encoded.shape == (len(table.y), 3)
    assert encoded.sum(axis=1) == pytest.approx(1)
    assert preparer.layout.numbers == ("number", "shop", "shop", "shop")
    assert [name for name, _ in preparer.layout.categories] == ["colour"]
    prepared = preparer.transform(table.X, unscaled=True)
    assert prepared.numbers.shape == prepared.unscaled.shape == (len(table.y), 4)
    assert prepared.unscaled[:, 1:] == pytest.approx(preparer.target_encoding.transform(table.X))


def test_unknown_levels_have_the_share_of_all_rows_and_missing_ones_their_own():
    table = shops()
    X, y = table.X.copy(), table.y.copy()
    X.loc[:199, "shop"] = np.nan
    y[:200] = 1
    preparer, _ = add_target_encoding(fit_table_preprocessor(X), X, y, None, seed=1)
    rows = pd.DataFrame({"number": [0.0, 0.0], "shop": pd.Categorical([None, "never"]), "colour": ["red", "red"]})
    missing, unknown = preparer.target_encoding.transform(rows)[:, 0]
    assert missing > 0.95
    assert unknown == pytest.approx(y.mean())


def test_rows_of_a_group_are_not_encoded_by_each_other():
    table = shops()
    groups = table.X["shop"].cat.codes.to_numpy().astype(np.int64)
    _, encoded = add_target_encoding(fit_table_preprocessor(table.X), table.X, table.y, groups, seed=1)
    assert len(np.unique(encoded.round(9))) <= FOLDS  # the share of all rows of the other folds, whatever the shop


def test_a_class_of_fewer_rows_than_folds_is_cross_fitted_too():
    table = shops()
    y = np.zeros(len(table.y), dtype=np.int64)
    y[:2] = 1
    _, encoded = add_target_encoding(fit_table_preprocessor(table.X), table.X, y, None, seed=1)
    assert np.isfinite(encoded).all()


def test_validation_rows_and_synthetic_rows_take_no_part(registry):
    table, validation = shops(), np.arange(0, 2000, 5)
    changed = table.y.copy()
    changed[validation] = 1 - changed[validation]
    encodings = []
    for y in (table.y, changed):
        training = TrainingSet(table.X, y, 3, validation)
        prepared = prepare_table(ENCODINGS["mixed"], "target", training)
        encodings.append(prepared.preparer.target_encoding)
        X = table.X.iloc[validation]
        assert np.array_equal(prepared.validation_rows.numbers, prepared.preparer.transform(X).numbers)
    assert np.array_equal(encodings[0].shares[0], encodings[1].shares[0])
    fitted = {}
    for strategy in ("none", "smote"):
        spec = spec_of(registry, "logistic_regression", strategy, table)
        fitted[strategy] = fit_pipeline(spec, defaults(spec.space), TrainingSet(table.X, table.y, 3))
    assert fitted["smote"].counts_after != fitted["smote"].counts_before
    shares = [pipeline.preparer.target_encoding.shares[0] for pipeline in fitted.values()]
    assert np.array_equal(*shares)


class Recorder:
    """A classifier that remembers what it is fitted to."""

    rows = np.empty((0, 0))

    def fit(self, X, y, sample_weight=None):
        Recorder.rows, self.prior = np.asarray(X), np.bincount(y, minlength=2) / len(y)
        return self

    def predict_proba(self, X):
        return np.tile(self.prior, (len(X), 1))


def test_a_classifier_is_fitted_to_the_cross_fitted_shares(registry):
    table = shops()
    family = Family(name="recorder", build=lambda seed: Recorder(), space={}, encodings={"tabular": "ordinal"})
    spec = PipelineSpec(family, (registry.strategy("none"),), "tabular", 2, many_levels=True)
    fitted = fit_pipeline(spec, {"encode.categories": "target"}, TrainingSet(table.X, table.y, seed=3))
    own = fitted.encode(table.X)
    assert Recorder.rows.shape == own.shape == (2000, 3)
    assert roc_auc_score(table.y, own[:, 1]) > roc_auc_score(table.y, Recorder.rows[:, 1]) + 0.02


# --- what comes of it ---


@pytest.mark.parametrize("family", ["logistic_regression", "xgb"])
def test_shops_that_decide_are_learned(registry, family):
    table, train, test = shops(), np.arange(1500), np.arange(1500, 2000)
    auc = {}
    for categories in ("frequent", "target"):
        pipeline = fit(registry, family, table, train, **{"encode.categories": categories})
        auc[categories] = roc_auc_score(table.y[test], pipeline.predict_proba(table.X.iloc[test])[:, 1])
    assert auc["target"] > auc["frequent"] + 0.08


@pytest.mark.parametrize("family", ["xgb", "gradient_boosting", "lightgbm", "catboost"])
def test_families_that_take_categories_themselves_may_get_all_levels_and_are_saved_with_them(
    registry, family, tmp_path
):
    declared = registry.family(family)
    if missing_packages(declared):
        pytest.skip(missing_packages(declared))
    # HistGradientBoosting looks at levels of ten rows and more only.
    table, train, test = shops(5000), np.arange(4000), np.arange(4000, 5000)
    assert spec_of(registry, family, table=table).space["encode.categories"].options == ("frequent", "target", "native")
    auc = {}
    for categories in ("frequent", "native"):
        pipeline = fit(registry, family, table, train, **{"encode.categories": categories})
        auc[categories] = roc_auc_score(table.y[test], pipeline.predict_proba(table.X.iloc[test])[:, 1])
    assert auc["native"] > auc["frequent"] + 0.05
    X = pd.DataFrame({"number": [0.0], "shop": pd.Categorical(["never"]), "colour": pd.Categorical(["red"])})
    assert pipeline.encode(X)["c0"].cat.codes.tolist() == [N_SHOPS]  # the level of unknown shops
    assert np.isfinite(pipeline.predict_proba(X)).all()
    save_model(pipeline, None, tmp_path)
    model = load_model(lambda name: (tmp_path / name).read_bytes())
    shop_names = np.array(table.X["shop"].iloc[test], dtype=object)
    shop_names[:5], shop_names[5:9] = "never", None
    rows = table.X.iloc[test].assign(shop=pd.Categorical(shop_names))
    assert np.abs(model.predict_proba(rows) - pipeline.predict_proba(rows)).max() <= 1e-6


def test_more_levels_than_families_take_are_merged_with_the_rarest():
    rng = np.random.default_rng(0)
    names = np.append(np.arange(400), np.repeat(np.arange(300), 5)).astype(str)
    X = pd.DataFrame({"code": pd.Categorical(np.where(rng.random(1900) < 0.1, None, names))})
    preparer = keep_levels(fit_table_preprocessor(X), X)
    levels = preparer.layout.categories[0][1]
    assert len(levels) == len(set(levels)) == MAX_NATIVE_LEVELS
    assert levels[-2:] == ("(other)", "(missing)")
    new = pd.DataFrame({"code": pd.Categorical(["399", "never", None, levels[0]])})
    assert preparer.transform(new).codes[:, 0].tolist() == [253, 253, 254, 0]


@pytest.mark.parametrize("family", ["logistic_regression", "random_forest"])
def test_a_category_that_is_noise_predicts_nothing(registry, family):
    table, train, test = shops(effect=0), np.arange(1500), np.arange(1500, 2000)
    pipeline = fit(registry, family, table, train)
    auc = roc_auc_score(table.y[test], pipeline.predict_proba(table.X.iloc[test])[:, 1])
    assert abs(auc - 0.5) < 0.09  # three standard errors


@pytest.mark.parametrize(("family", "colours"), [("logistic_regression", 3), ("random_forest", 1), ("xgb", 1)])
def test_an_encoded_column_belongs_to_its_category(registry, family, colours):
    fitted = fit(registry, family, shops(600), np.arange(600))
    sources = source_columns_of_encoding(fitted.encoder, fitted.preparer.layout)
    assert sources == ("number", "shop", *["colour"] * colours)
    assert fitted.preparer.table_columns == ({"number"}, {"shop", "colour"})


def raw_shops(n: int = 800) -> pd.DataFrame:
    table = shops(n)
    return table.X.assign(left=np.where(table.y == 1, "yes", "no")).astype({"shop": "str", "colour": "str"})


@pytest.mark.parametrize(
    ("family", "categories"),
    [("logistic_regression", "target"), ("xgb", "target"), ("xgb", "native"), ("gradient_boosting", "native")],
)
def test_a_bundle_predicts_as_the_pipeline_that_it_holds_also_new_levels(registry, family, categories, tmp_path):
    raw = raw_shops()
    task = Task(name="shops", load=lambda _: raw, target="left", positive="yes")
    table = make_table(task, raw)
    fitted = fit(registry, family, table, np.arange(len(raw)), **{"encode.categories": categories})
    assert (fitted.preparer.target_encoding is None) == (categories == "native")
    about = {"task": "shops", "entry": "shops/x", "classes": ["no", "yes"], "threshold": 0.5, "calibration": "none"}
    contents = BundleContents(
        about | {"versions": {}}, describe_task_rows(task, table), fitted, None, "# A card\n", None
    )
    bundle = write_bundle(tmp_path / "bundle", contents)
    new = raw.drop(columns="left").head(50)
    new.loc[0, "shop"] = "never"
    rows = read_rows(bundle.schema, new)
    assert not [flag for flag in rows.flags if flag.row > 0]
    expected = fitted.predict_proba(new.astype({"shop": "category", "colour": "category"}))
    np.testing.assert_allclose(bundle.predict_proba(rows.X), expected, atol=1e-6)
