"""No test row is ever fitted, resampled, stopped on or used for a threshold; nor a scored inner row in its own fold.

Two kinds of proof. Spies record every row that a strategy or a family is given, and rows are recognised by a column that is
different in each. And everything that happens before the seal is opened must come out equal to the byte when the
sealed rows are replaced by rubbish.
"""

from collections.abc import Mapping
from dataclasses import replace
from types import FunctionType, ModuleType

import numpy as np
import pandas as pd
import pytest
from conftest import cell, cell_data, marked_table, modality_of
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from harness.checks.small_tables import make_small_table
from harness.data.sources import wheel_member
from harness.data.splits import make_splitter
from harness.errors import EvenhandError, Unavailable
from harness.execution.cell import make_study_plan, run_cell
from harness.execution.trainer import CellTrainer
from harness.networks.pretrained import SOURCE
from harness.registry.family import Family, missing_packages
from harness.registry.strategy import Strategy
from harness.registry.user_declarations import estimator_family
from harness.seeding import seed_of
from harness.store.store import Store

RESAMPLED = ("smote", "adasyn", "smote_tomek", "smote_enn", "random_undersampling", "random_oversampling")


class Spy:
    """Remembers the column `mark` of what it is given, still standardised by its training rows."""

    def __init__(self):
        self.fitted, self.validation, self.resampled, self.scored = [], [], [], []

    def family(self):
        return Family(
            name="spy",
            build=lambda seed: SpyClassifier(self),
            space={},
            encodings={"tabular": "one_hot_scaled"},
            stops_early=True,
        )

    def strategy(self):
        return Strategy(name="spy", kind="resample", build=lambda seed: SpySampler(self))


class SpyClassifier:
    def __init__(self, spy):
        self.spy = spy

    def fit(self, X, y, sample_weight=None, validation=None):
        self.spy.fitted.append(np.asarray(X[:, 0]))
        self.spy.validation.append(np.asarray(validation[0][:, 0]))
        self.prior = np.bincount(y, minlength=2) / len(y)
        return self

    def predict_proba(self, X):
        self.spy.scored.append(np.asarray(X[:, 0]))
        return np.tile(self.prior, (len(X), 1))


class SpySampler:
    def __init__(self, spy):
        self.spy = spy

    def get_params(self):
        return {}

    def set_params(self, **_params):
        return self

    def fit_resample(self, X, y):
        self.spy.resampled.append(X[:, 0].copy())
        return X[::2], y[::2]


class SpyEstimator(ClassifierMixin, BaseEstimator):
    """A classifier of a user's own program that remembers what it is given."""

    fitted: list = []  # noqa: RUF012 -- one for all copies that are made of it
    scored: list = []  # noqa: RUF012

    def fit(self, X, y):
        self.fitted.append(np.asarray(X[:, 0]))
        self.classes_, self.prior_ = np.unique(y), np.bincount(y) / len(y)
        return self

    def predict_proba(self, X):
        self.scored.append(np.asarray(X[:, 0]))
        return np.tile(self.prior_, (len(X), 1))


def marks(standardised, training):
    """The marks behind standardised values, had the preparation been fitted on rows with these `training` marks."""
    return standardised.astype(np.float64) * training.std() + training.mean()


def rounded(values):
    """Marks lie in [i, i + 1/2), so this tells rows apart whatever single precision makes of them."""
    return set(np.floor(values + 0.25).astype(int))


@pytest.fixture
def spied(tmp_path, registry):
    spy, table = Spy(), marked_table()
    given = cell_data(table, spy.family(), (spy.strategy(),), registry, trials=1)
    record = run_cell(cell(), given, Store(tmp_path))
    assert record.status == "ok", record.reason
    mark = table.X["mark"].to_numpy()
    train = given.fold.train
    inner = (
        make_splitter(table)
        .take(train)
        .inner(given.protocol.inner_folds, seed_of(given.protocol.seed, "task", 0, 0, "inner"))
    )
    learned = [mark[train][rows] for rows, _ in inner] + [mark[train]]
    scored = [mark[train][rows] for _, rows in inner] + [mark[given.fold.test]]
    return spy, learned, scored


def test_what_is_fitted_resampled_and_watched_are_training_rows_of_that_fold_and_nothing_else(spied):
    spy, learned, scored = spied
    assert len(spy.fitted) == len(spy.resampled) == len(learned) == 4
    for given, watched, resampled, training, test in zip(
        spy.fitted, spy.validation, spy.resampled, learned, scored, strict=True
    ):
        for seen in (given, watched, resampled):
            # Had a row more been used to standardise, no value would come back to a mark.
            assert rounded(marks(seen, training)) <= rounded(training)
            assert not rounded(marks(seen, training)) & rounded(test)
        assert rounded(marks(resampled, training)) | rounded(marks(watched, training)) == rounded(training)


def test_a_classifier_of_one_s_own_is_fitted_on_training_rows_and_sees_the_sealed_rows_last(registry, tmp_path):
    SpyEstimator.fitted.clear()
    SpyEstimator.scored.clear()
    table = marked_table()
    family = estimator_family("own", make_pipeline(FunctionTransformer(), SpyEstimator()))
    given = cell_data(table, family, (registry.strategy("none"),), registry, trials=1)
    assert run_cell(cell(), given, Store(tmp_path)).status == "ok"
    mark, train = table.X["mark"].to_numpy(), given.fold.train
    inner = (
        make_splitter(table)
        .take(train)
        .inner(given.protocol.inner_folds, seed_of(given.protocol.seed, "task", 0, 0, "inner"))
    )
    learned = [mark[train][rows] for rows, _ in inner] + [mark[train]]
    for seen, training in zip(SpyEstimator.fitted, learned, strict=True):
        assert rounded(marks(seen, training)) == rounded(training)
    predicted = [mark[train][rows] for _, rows in inner] + [mark[train], mark[given.fold.test]]
    for seen, training, rows in zip(SpyEstimator.scored, [*learned, mark[train]], predicted, strict=True):
        assert rounded(marks(seen, training)) == rounded(rows)


def test_watched_rows_are_never_resampled_or_fitted(spied):
    spy, learned, _ = spied
    for given, watched, resampled, training in zip(spy.fitted, spy.validation, spy.resampled, learned, strict=True):
        aside = rounded(marks(watched, training))
        assert aside
        assert not aside & rounded(marks(resampled, training))
        assert not aside & rounded(marks(given, training))


def test_the_test_rows_are_predicted_once_and_after_everything_else(spied):
    spy, learned, scored = spied
    # Three inner folds are scored, then the training rows (for over-fitting), then the sealed rows; default and tuned are one.
    assert len(spy.scored) == 5
    assert rounded(marks(spy.scored[-1], learned[-1])) == rounded(scored[-1])
    for seen, training, test in zip(spy.scored[:3], learned, scored, strict=False):
        assert rounded(marks(seen, training)) == rounded(test)
    assert rounded(marks(spy.scored[3], learned[-1])) == rounded(learned[-1])


def reachable_values(root):
    """Every object that can be reached from another one by attributes, containers and closures."""
    pending, visited = [root], {}
    while pending:
        current = pending.pop()
        if id(current) in visited or isinstance(current, type | ModuleType | str | bytes | int | float | None):
            continue
        visited[id(current)] = current
        if isinstance(current, np.ndarray):
            pending += [current.base] if current.base is not None else []
        elif isinstance(current, Mapping):
            pending += [*current.keys(), *current.values()]
        elif isinstance(current, list | tuple | set | frozenset):
            pending += current
        elif isinstance(current, FunctionType):
            pending += [cell.cell_contents for cell in current.__closure__ or ()]
        else:
            pending += [getattr(current, "__self__", None), *getattr(current, "__dict__", {}).values()]
    return visited.values()


def test_no_test_row_can_be_reached_from_what_the_search_receives(registry, tmp_path):
    table = marked_table()
    given = cell_data(table, registry.family("gradient_boosting"), (registry.strategy("smote"),), registry)
    training = given.separate_training_data()
    trainer = CellTrainer(cell(), training)
    plan = make_study_plan(cell(), training, Store(tmp_path))
    mark = table.X["mark"].to_numpy()
    test_marks, trained_marks = set(mark[given.fold.test]), set(mark[given.fold.train])
    reached, lengths = set(), set()
    for reachable in reachable_values([trainer, trainer.score_inner, plan]):
        if isinstance(reachable, pd.DataFrame):
            reached |= set(reachable["mark"])
        if isinstance(reachable, np.ndarray) and reachable.dtype == float:
            assert not test_marks & set(reachable.ravel())
        if isinstance(reachable, np.ndarray | pd.DataFrame):
            lengths |= set(reachable.shape)
    assert reached == trained_marks
    assert len(given.fold.train) in lengths
    assert len(table.y) not in lengths
    assert len(given.fold.test) not in lengths
    # The same search of everything that a cell has does find them.
    found = [reachable for reachable in reachable_values(given) if isinstance(reachable, pd.DataFrame)]
    assert test_marks <= set().union(*(set(frame["mark"]) for frame in found))


def test_an_entry_is_scored_once_and_every_use_of_the_sealed_rows_is_counted(registry):
    table = marked_table()
    given = cell_data(table, registry.family("logistic_regression"), (registry.strategy("none"),), registry)
    trainer, sealed = CellTrainer(cell(), given.separate_training_data()), given.sealed_test()
    fitted, _, _ = trainer.fit("default", {"C": 1.0})
    first = sealed.score("default", fitted)
    assert np.array_equal(first.rows, given.fold.test)
    assert np.array_equal(first.y, table.y[given.fold.test])
    assert np.array_equal(first.proba, fitted.predict_proba(table.X.iloc[given.fold.test]))
    with pytest.raises(EvenhandError, match="'default' before: an entry is scored once"):
        sealed.score("default", fitted)
    sealed.score("tuned", fitted)
    assert sealed.diagnose("importance").X.equals(table.X.iloc[given.fold.test])
    sealed.diagnose("importance")
    assert (sealed.count_scored_entries, sealed.count_diagnoses) == (2, 2)


@pytest.mark.parametrize(("trials", "scored"), [(1, 1), (6, 2)])
def test_a_record_says_how_often_its_sealed_rows_were_used(registry, tmp_path, trials, scored):
    family, strategy = registry.family("gradient_boosting"), registry.strategy("none")
    store = Store(tmp_path)
    record = run_cell(cell(), cell_data(marked_table(), family, (strategy,), registry, trials=trials), store)
    assert len({entry.trial for entry in record.outcomes}) == scored
    stored = store.read_record(record.id)
    assert (stored.test_scored, stored.test_diagnosed) == (scored, 0)


def rubbish(table, rows, seed=99):
    """The same table with rubbish in these rows: other features, other labels."""
    rng = np.random.default_rng(seed)
    X, y = table.X.copy(), table.y.copy()
    if modality_of(table) == "text":
        X[rows] = [f"{text} rubbish{number} rubbish" for number, text in enumerate(rng.permutation(X[rows]))]
    elif modality_of(table) == "image":
        X[rows] = rng.integers(0, 256, X[rows].shape)
    else:
        X.loc[rows, "number"] = rng.normal(1e6, 1e5, len(rows))
        X.loc[rows, "mark"] = -rng.permutation(len(rows)) * 1e4
        X.loc[rows, "letter"] = rng.permutation(X.loc[rows, "letter"].to_numpy())
    y[rows] = 1 - y[rows]
    return replace(table, X=X, y=y)


def before_the_seal(table, fold, family, strategy, registry, folder, **protocol):
    """All that a cell decides before it sees a test row."""
    given = replace(
        cell_data(table, registry.family(family), (registry.strategy(strategy),), registry, **protocol), fold=fold
    )
    store = Store(folder)
    record = run_cell(cell(), given, store)
    assert record.status == "ok", record.reason
    stored = store.read_predictions(record)
    return (
        [
            (o.stage, o.trial, o.params, o.inner_score, o.threshold, o.counts_after, o.train_scores)
            for o in record.outcomes
        ],
        {stage: proba.tobytes() for stage, proba in stored.inner.items()},
        {stage: proba.tobytes() for stage, proba in stored.test.items()},
    )


def decides_before_the_seal(table, family, strategy, registry, folder, **protocol):
    """Hold a cell to deciding everything as it does when the sealed rows are rubbish."""
    fold = make_splitter(table).outer(cell_data(table, registry.family(family), (), registry).protocol)[0]
    spoiled = rubbish(table, fold.test)
    decided, inner, test = before_the_seal(table, fold, family, strategy, registry, folder / "a", **protocol)
    decided_too, inner_too, test_too = before_the_seal(
        spoiled, fold, family, strategy, registry, folder / "b", **protocol
    )
    assert decided == decided_too
    assert inner == inner_too
    assert test != test_too, "the rubbish must reach the predictions of the sealed rows, or nothing was tried"


@pytest.mark.parametrize(
    ("family", "strategy"),
    [
        *[("logistic_regression", strategy) for strategy in (*RESAMPLED, "none", "class_weight")],
        ("gradient_boosting", "smote"),
        ("logistic_regression", "balanced_ensemble"),
        ("dense_network", "smote"),
        ("dense_network", "class_weight"),
    ],
)
def test_rubbish_in_the_sealed_rows_changes_nothing_but_their_predictions(family, strategy, registry, tmp_path):
    decides_before_the_seal(marked_table(), family, strategy, registry, tmp_path)


@pytest.mark.parametrize(("family", "strategy"), [("logistic_regression", "smote"), ("dense_network", "none")])
def test_a_category_with_many_levels_is_encoded_without_the_sealed_rows(family, strategy, registry, tmp_path):
    table = marked_table()
    letters = pd.Categorical([f"letter {number}" for number in np.random.default_rng(1).integers(0, 80, len(table.y))])
    table = replace(table, X=table.X.assign(letter=letters))
    decides_before_the_seal(table, family, strategy, registry, tmp_path)


@pytest.mark.parametrize(
    ("modality", "family", "strategy", "trials"),
    [
        ("text", "logistic_regression", "smote", 2),
        ("text", "xgb", "random_oversampling", 2),
        ("text", "recurrent_network", "class_weight", 2),
        ("image", "small_convolutional_network", "random_oversampling", 1),  # a fit takes seconds
        ("image", "logistic_regression", "smote", 2),
        ("image", "pretrained_network", "class_weight", 1),
    ],
)
def test_texts_and_pictures_are_sealed_alike(modality, family, strategy, trials, registry, tmp_path):
    table = make_small_table(modality, 2)
    if missing := missing_packages(registry.family(family)):
        pytest.skip(missing)
    if registry.family(family).encodings[modality] in {"embedding", "activations"}:
        weights_or_skip()
    decides_before_the_seal(table, family, strategy, registry, tmp_path, trials=trials, inner_folds=2)


def weights_or_skip():
    try:
        wheel_member(*SOURCE)
    except Unavailable as reason:
        pytest.skip(str(reason))
