"""The contract holds for every declaration here, and catches what breaks it."""

import functools
import itertools

import numpy as np
import pandas as pd
import pytest

from evenhand import Family, Metric, Strategy, Task, choice, integer
from harness import checks
from harness.api.declarations import find_unavailable_tasks
from harness.cli import app
from harness.errors import DeclarationError, EvenhandError, Unavailable, UnknownNameError
from harness.preprocessing.encodings import ENCODINGS
from harness.registry.family import ENCODING_NAMES, missing_packages
from harness.registry.registry import Registry, load_plugin_registry, load_registry

REGISTRY = load_registry()


def complaints(verdicts):
    return {v.check: v.complaint for v in verdicts if v.complaint}


@pytest.mark.parametrize("name", REGISTRY.families)
def test_every_family_keeps_the_contract(name):
    family = REGISTRY.families[name]
    if missing := missing_packages(family):
        pytest.skip(missing)
    assert not complaints(checks.check_family(family))


@pytest.mark.parametrize("name", REGISTRY.strategies)
def test_every_strategy_keeps_the_contract(name):
    assert not complaints(checks.check_strategy(REGISTRY.strategies[name]))


@pytest.mark.parametrize("name", REGISTRY.metrics)
def test_every_metric_keeps_the_contract(name):
    assert not complaints(checks.check_metric(REGISTRY.metrics[name]))


def test_a_bad_task_is_told_what_is_wrong():
    draws = itertools.count()

    def load(_data_dir):
        rng = np.random.default_rng(next(draws))
        return pd.DataFrame({"x": rng.normal(size=50), "y": ["a", "b"] * 25})

    task = Task(name="Bad-Task", load=load, target="y")
    failures = complaints(checks.check_task(task))
    assert "lower-case" in failures["has a plain name"]
    assert "title" in failures["names its source"]
    assert "two loads gave different rows" in failures["loads the same twice"]
    costly = Task(name="costly", load=lambda _: load(None), target="y", costs=((0.0, 1.0, 2.0),))
    assert "2 × 2" in complaints(checks.check_task(costly))["loads"]


def test_a_bad_family_is_told_what_is_wrong():
    class Careless:
        def fit(self, X, y, sample_weight=None):
            self.k = len(np.unique(y))
            return self

        def predict_proba(self, X):
            return np.random.rand(len(X), self.k)  # noqa: NPY002 -- the fault that must be found

    class Unseeded(Careless):
        def predict_proba(self, X):
            proba = super().predict_proba(X)
            return proba / proba.sum(axis=1, keepdims=True)

    family = Family(
        name="careless",
        build=lambda seed: Careless(),
        space={"depth": choice(1, 2, default=1)},
        encodings={"tabular": "ordinal"},
    )
    failures = complaints(checks.check_family(family))
    assert "build does not take" in failures["takes its space"]
    better = Family(name="careless", build=lambda seed: Careless(), space={}, encodings={"tabular": "ordinal"})
    failures = complaints(checks.check_family(better))
    assert "add up to 1" in failures["gives probabilities"]
    unseeded = Family(name="careless", build=lambda seed: Unseeded(), space={}, encodings={"tabular": "ordinal"})
    failures = complaints(checks.check_family(unseeded))
    assert set(failures) == {"repeats itself", "answers each row alone", "takes other sizes"}
    assert "same seed gave other probabilities" in failures["repeats itself"]


@pytest.mark.parametrize(
    ("encodings", "message"),
    [
        ({"tabular": "one_hott"}, r"unknown encoding 'one_hott' of tabular data: did you mean 'one_hot'\?"),
        ({"text": "native"}, "unknown encoding 'native' of text data: there are: texts, tfidf, lsa, tokens"),
        ({"tables": "native"}, r"no encoding is for 'tables' data: did you mean 'tabular'\?"),
    ],
)
def test_a_wrong_encoding_is_refused_where_it_is_declared(encodings, message):
    with pytest.raises(DeclarationError, match=message):
        Family(name="f", build=lambda seed: None, space={}, encodings=encodings)


def test_the_encodings_that_families_may_name_are_those_that_there_are():
    known = {}
    for encoding in ENCODINGS.values():
        known[encoding.modality] = (*known.get(encoding.modality, ()), encoding.name)
    assert known == ENCODING_NAMES


def test_predictions_that_depend_on_the_number_of_rows_are_complained_about():
    from sklearn.linear_model import LogisticRegression

    class Centred(LogisticRegression):
        def predict_proba(self, X):
            proba = super().predict_proba(X)
            return proba if len(X) < 1000 else np.tile(proba.mean(axis=0), (len(X), 1))

    family = Family(name="centred", build=lambda seed: Centred(), space={}, encodings={"tabular": "one_hot_scaled"})
    failures = complaints(checks.check_family(family))
    assert list(failures) == ["takes other sizes"]
    assert "among 1,200 rows than among 240" in failures["takes other sizes"]


PLUGIN = """
from evenhand import Family

def build(seed):
    from sklearn.naive_bayes import GaussianNB
    return GaussianNB()

FAMILY = Family(name="{name}", build=build, space={{}}, encodings={{"tabular": "{encoding}"}}, description="a test")
"""


def test_of_plugins_the_declarations_of_the_plugin_alone_are_checked(tmp_path, capfd):
    file = tmp_path / "my_family.py"
    file.write_text(PLUGIN.format(name="my_family", encoding="ordinal"))
    app(["check", "--plugin", str(file)], standalone_mode=False)
    out = capfd.readouterr().out
    assert out.splitlines()[-1].endswith("0 failed, 0 skipped")
    assert len(out.splitlines()) == 1
    registry = load_plugin_registry([str(file)])
    assert (list(registry.families), registry.n_declarations) == (["my_family"], 1)
    (tmp_path / "empty.py").write_text("x = 1\n")
    with pytest.raises(EvenhandError, match=r"empty\.py' declares nothing: a Task, Family"):
        load_plugin_registry([str(tmp_path / "empty.py")])
    wrong = tmp_path / "wrong.py"
    wrong.write_text(PLUGIN.format(name="wrong", encoding="ordinall"))
    with pytest.raises(EvenhandError, match="unknown encoding 'ordinall' of tabular data: did you mean 'ordinal'"):
        load_plugin_registry([str(wrong)])


def test_a_family_that_ignores_weights_is_told_so():
    from sklearn.linear_model import LogisticRegression

    class Deaf(LogisticRegression):
        def fit(self, X, y, sample_weight=None):
            return super().fit(X, y)

    family = Family(name="deaf", build=lambda seed: Deaf(), space={}, encodings={"tabular": "one_hot_scaled"})
    assert list(complaints(checks.check_family(family))) == ["takes weights", "counts weights as rows"]


def test_a_bad_strategy_is_told_what_is_wrong():
    class Careless:
        def get_params(self):
            return {}

        def set_params(self, **_params):
            return self

        def fit_resample(self, X, y):
            rows = np.random.permutation(len(y))[: len(y) // 2]  # noqa: NPY002 -- the fault that must be found
            return X[rows], y[rows]

    failures = complaints(
        checks.check_strategy(Strategy(name="careless", kind="resample", build=lambda seed: Careless()))
    )
    assert "must be given" in failures["describes itself"]
    assert "same seed made other rows" in failures["repeats itself"]
    lazy = Strategy(name="lazy", kind="weight", build=lambda y, costs: np.zeros(3), description="too few")
    assert "one positive weight per row" in complaints(checks.check_strategy(lazy))["weighs every row"]


def test_a_bad_metric_is_told_what_is_wrong():
    upside_down = Metric(name="wrong", compute=lambda p: float((p.labels != p.y).mean()), metric_type="decision")
    assert "greater_is_better" in complaints(checks.check_metric(upside_down))["prefers better predictions"]
    by_place = Metric(name="place", compute=lambda p: float(p.proba[0, 1]), metric_type="ranking")
    assert "other order" in complaints(checks.check_metric(by_place))["is independent of the order"]
    text = Metric(name="text", compute=lambda p: "much", metric_type="ranking")
    assert "is a finite float" in complaints(checks.check_metric(text))
    with pytest.raises(DeclarationError, match="metric_type must be one of"):
        Metric(name="mood", compute=len, metric_type="mood")


def test_contradictions_are_refused_where_they_are_declared():
    with pytest.raises(DeclarationError, match="low <= default <= high must hold, but got 1, 9, 5"):
        integer(1, 5, default=9)
    with pytest.raises(DeclarationError, match=r"\['strategy'\] have names"):
        Family(name="f", build=lambda seed: None, space={"strategy": choice(1, 2, default=1)}, encodings={})
    with pytest.raises(DeclarationError, match="also banned"):
        Task(name="t", load=lambda d: None, target="y", banned={"y": "why"})
    with pytest.raises(DeclarationError, match="build is None"):
        Strategy(name="s", kind="resample")


def test_names_are_suggested_and_duplicates_refused(tmp_path, monkeypatch):
    with pytest.raises(UnknownNameError, match="did you mean 'caravan'"):
        REGISTRY.task("caravann")
    with pytest.raises(UnknownNameError, match=r"there are: .*smote"):
        REGISTRY.strategy("zzz")
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "twice.py").write_text(
        "from harness import Strategy\nMINE = Strategy(name='smote', kind='none', description='another')\n"
    )
    with pytest.raises(DeclarationError, match="twice"):
        load_registry(["twice"])
    (tmp_path / "broken.py").write_text("1 / 0\n")
    with pytest.raises(EvenhandError, match="plugin 'broken' cannot be imported: ZeroDivisionError"):
        load_registry(["broken"])
    with pytest.raises(EvenhandError, match="No module named 'nowhere'"):
        load_registry(["nowhere"])


def test_the_kinds_are_named_as_they_are_checked(capsys):
    metric, strategy = REGISTRY.metrics["mcc"], REGISTRY.strategies["none"]
    lines = []
    assert checks.check_all(Registry(strategies={"none": strategy}, metrics={"mcc": metric}), None, lines.append)
    assert [line.split()[:2] for line in capsys.readouterr().err.splitlines()] == [
        ["0", "tasks:"], ["0", "families:"], ["1", "strategies:"], ["1", "metrics:"],
    ]  # fmt: skip
    assert lines == ["7 checks passed, 0 failed, 0 skipped"]


def test_what_one_function_reads_from_one_source_is_tried_once():
    loaded = []

    def load(name, _data_dir):
        loaded.append(name)
        raise Unavailable("no wheel")

    def here(_data_dir):
        loaded.append("here")

    tasks = [Task(name=name, load=functools.partial(load, name), target="y", source="a wheel") for name in "abc"]
    tasks += [Task(name=name, load=functools.partial(load, name), target="y") for name in "de"]
    tasks += [Task(name="f", load=here, target="y", source="a wheel")]
    reasons = find_unavailable_tasks(Registry(tasks={task.name: task for task in tasks}), None)
    assert loaded == ["a", "d", "e", "here"]
    assert reasons == [("a and 2 more", "no wheel"), ("d", "no wheel"), ("e", "no wheel")]
