"""Why a row got its answer, and what a model goes by."""

import json
import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest

from harness.deploy.insights.dependence import (
    NO_DIRECTION,
    CurvePoint,
    PartialDependence,
    dependence_swing_per_fold,
    describe_dependence,
)
from harness.deploy.insights.importance import (
    ColumnImportance,
    find_associated_columns,
    importances_from_json,
    measure_importances,
)
from harness.deploy.insights.scored_rows import _find_identifier_columns
from harness.deploy.insights.shapley import log_odds, shapley_values
from harness.deploy.schema import Feature, Schema
from harness.evaluation.corrected_t import estimate_mean_with_interval
from harness.registry.registry import load_registry

METRIC = load_registry().metric("average_precision")
SCHEMA = Schema(
    "tabular",
    "left",
    ("No", "Yes"),
    (
        Feature("age", "number", low=18, high=90, median=40.0, edges=(25.0, 40.0, 60.0)),
        Feature("plan", "category", levels=("basic", "plus", "gold")),
        Feature("since", "date", low=0, high=20_000, median=10_000.0, edges=(5_000.0, 10_000.0, 15_000.0)),
        *(Feature(f"more{i}", "number", low=0, high=1, median=0.0, edges=(0.0, 0.5, 1.0)) for i in range(5)),
    ),
    1000,
)


def rows(**columns):
    n = len(next(iter(columns.values())))
    made = {}
    for one in SCHEMA.features:
        usual = one.levels[0] if one.kind == "category" else one.median
        values = columns.get(one.name, [usual] * n)
        made[one.name] = (
            pd.Categorical(values, categories=pd.Index(dict.fromkeys(v for v in values if v is not None), dtype="str"))
            if one.kind == "category"
            else np.array(values, dtype=float)
        )
    return pd.DataFrame(made)


def of_odds(odds):
    p = 1 / (1 + np.exp(-np.asarray(odds, dtype=float)))
    return np.column_stack([1 - p, p])


def additive(X):
    plan = X["plan"].astype("str").map({"basic": 0.0, "plus": 0.5, "gold": -1.0}).fillna(2.0)
    return of_odds(0.05 * (X["age"].fillna(100) - 40) + plan + 0.3 * X["more0"])


def test_reasons_of_an_additive_model_are_its_terms():
    (found,) = shapley_values(additive, SCHEMA, rows(age=[60], plan=["gold"]), 0)
    values = dict(zip(found.names, found.contributions, strict=True))
    assert values["age"] == pytest.approx(1.0)
    assert values["plan"] == pytest.approx(-1.0)
    assert values["since"] == 0
    assert (found.row_values[1], found.references[1], found.row_values[2]) == ("gold", "basic", "1997-05-19")
    assert [found.names[j] for j in found.largest_contributions(5)] == ["age", "plan"]


def test_reasons_sum_to_the_answer_whatever_acts_on_what():
    def model(X):
        return of_odds(X["age"] / 40 * X["more0"] * X["more1"] - X["more2"] * X["more3"] + X["more4"] ** 2)

    X = rows(age=[70], **{f"more{i}": [0.5 + i / 4] for i in range(5)})
    (found,) = shapley_values(model, SCHEMA, X, 3)
    assert found.base + sum(found.contributions) == pytest.approx(found.total)
    assert found.total == pytest.approx(log_odds(model(X))[0, 1])
    # Two that act on each other only share evenly, without error: a walk and its reverse tell all.
    values = dict(zip(found.names, found.contributions, strict=True))
    assert values["more2"] == pytest.approx(values["more3"])
    assert max(found.errors) > 0  # of the three that act on each other sampling is not exact, and says so


def test_few_players_are_exact():
    def model(X):
        return of_odds(X["more0"] * X["more1"] * X["more2"])

    (found,) = shapley_values(model, SCHEMA, rows(more0=[3.0], more1=[1.0], more2=[1.0]), 0)
    assert [found.contributions[found.names.index(f"more{i}")] for i in range(3)] == pytest.approx([1.0] * 3)
    assert set(found.errors) == {0.0}


def test_missing_values_and_unknown_levels_are_reasons_too():
    (found,) = shapley_values(additive, SCHEMA, rows(age=[math.nan], plan=["new"]), 0)
    values = dict(zip(found.names, found.contributions, strict=True))
    assert values["age"] == pytest.approx(3.0)
    assert values["plan"] == pytest.approx(2.0)
    assert found.row_values[0] == "(missing)"
    assert found.row_values[1] == "new"


def test_a_row_has_the_same_reasons_alone_and_among_others_and_one_call_is_enough():
    calls = []

    def model(X):
        calls.append(len(X))
        return additive(X)

    X = rows(age=[60, 30, 40], plan=["gold", "plus", "basic"])
    together = shapley_values(model, SCHEMA, X, 0)
    assert len(calls) == 3
    assert shapley_values(additive, SCHEMA, X.iloc[1:2], 0) == together[1:2]
    typical = together[2]
    assert set(typical.contributions) == {0.0}
    assert typical.total == typical.base


def test_a_probability_of_zero_has_finite_reasons():
    (found,) = shapley_values(lambda X: np.tile([1.0, 0.0], (len(X), 1)), SCHEMA, rows(age=[60]), 0)
    assert np.isfinite([found.base, found.total, *found.contributions]).all()


TEXT = Schema("text", "label", ("ham", "spam"), (Feature("text", "text"),), 10)


def test_words_of_a_text_are_its_players():
    def model(texts):
        return of_odds([2.0 * ("prize" in text) - 1 for text in texts])

    text = "  you won a prize  today"
    (found,) = shapley_values(model, TEXT, np.array([text], dtype=object), 0)
    assert found.names == ("you", "won", "a", "prize", "today")
    assert found.contributions == pytest.approx((0, 0, 0, 2, 0))


def test_all_words_together_are_the_text_to_the_letter():
    seen = set()

    def model(texts):
        seen.update(texts)
        return of_odds([len(text) for text in texts])

    text = " " + "\tword\n " * 300
    (found,) = shapley_values(model, TEXT, np.array([text], dtype=object), 0)
    assert len(found.names) == 40
    assert {text, ""} <= seen
    (empty,) = shapley_values(model, TEXT, np.array([""], dtype=object), 0)
    assert empty.names == ()
    assert empty.base == empty.total


def test_squares_of_a_picture_are_its_players_and_the_likeliest_class_is_explained():
    schema = Schema("image", "folder", ("a", "b", "c"), (Feature("picture", "picture"),), 10, (12, 12, 1))
    picture = np.zeros((1, 12, 12, 1), np.uint8)
    picture[0, 2:4, 4:6] = 255

    def model(images):
        bright = images[:, 2:4, 4:6, 0].mean(axis=(1, 2)) / 255
        return np.column_stack([np.full(len(images), 0.2), 0.1 + 0.6 * bright, 0.7 - 0.6 * bright])

    (found,) = shapley_values(model, schema, picture, 0)
    assert found.class_index == 1
    assert [found.names[j] for j in found.largest_contributions(3)] == ["rows 2-3, columns 4-5"]
    assert found.base + sum(found.contributions) == pytest.approx(found.total)


def test_columns_that_say_the_same_are_found():
    rng = np.random.default_rng(0)
    a, other = rng.normal(size=500), rng.normal(size=500)
    plan = pd.Categorical(np.where(a > 0, "high", "low"))
    X = pd.DataFrame(
        {"a": a, "twice": a * 2 + 1, "other": other, "plan": plan, "copy": plan.rename_categories(str.upper)}
    )
    assert find_associated_columns([X]) == [("a", "twice", "plan", "copy")]


@dataclass
class Mean:
    mean: float
    ci_half_width: float


def interval(values, ratio):
    return Mean(float(np.mean(values)), float(np.std(values)))


def folds(count=3):
    made = []
    for seed in range(count):
        rng = np.random.default_rng(seed)
        X = rows(
            age=rng.uniform(18, 90, 400), plan=rng.choice(["basic", "plus", "gold"], 400), more1=rng.normal(size=400)
        )
        y = (rng.random(400) < additive(X)[:, 1]).astype(int)
        made.append((additive, X, y))
    return made


def test_drivers_are_what_the_model_reads_and_how():
    found = measure_importances(folds(), SCHEMA, METRIC, 0.5, interval, 0)
    loss = {one.columns[0]: one.loss for one in found.columns}
    assert [one.columns[0] for one in found.columns][:2] == ["age", "plan"]
    assert loss["more1"] == 0  # never read, whatever it holds
    curve = found.columns[0].curve
    assert [point.number for point in curve.points] == [18, 25, 40, 60, 90]  # few deciles: the ends too
    assert (np.diff([point.mean for point in curve.points]) > 0).all()
    assert (curve.lowest, curve.highest) == (0, 4)
    plan = found.columns[1].curve
    assert plan.points[plan.highest].value_text == "plus"
    assert plan.points[plan.lowest].value_text == "gold"


def test_drivers_survive_json_and_are_the_same_again():
    found = measure_importances(folds(), SCHEMA, METRIC, 0.5, interval, 0)
    assert importances_from_json(json.loads(json.dumps(found.as_json()))) == found
    assert measure_importances(folds(), SCHEMA, METRIC, 0.5, interval, 0) == found


def test_with_rows_to_compare_with_reasons_add_up_from_their_mean():
    rng = np.random.default_rng(0)
    others = rows(age=rng.uniform(18, 90, 16), plan=rng.choice(["basic", "plus"], 16))
    (found,) = shapley_values(additive, SCHEMA, rows(age=[60], plan=["gold"]), 0, background=others)
    assert found.base + sum(found.contributions) == pytest.approx(found.total)
    values = dict(zip(found.names, found.contributions, strict=True))
    assert values["age"] == pytest.approx(0.05 * (60 - others["age"].mean()))
    assert values["more0"] == 0


def test_a_swing_is_not_chosen_where_it_is_counted():
    """Of a column that the model never reads the largest of many differences would be above 0 in every fold."""
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.01, size=(5, 12))
    flattering = (noise.max(axis=1) - noise.min(axis=1)).mean()
    assert flattering > 0.02
    assert abs(np.mean(dependence_swing_per_fold(noise))) < flattering / 2
    clear = noise + np.linspace(0, 1, 12)
    assert np.mean(dependence_swing_per_fold(clear)) == pytest.approx(1, abs=0.05)


def test_columns_of_noise_are_told_no_direction():
    """The models of the folds share most rows, and so what is chance in these: that they agree says little."""
    from sklearn.linear_model import LogisticRegression

    told = 0
    for seed in range(12):
        rng = np.random.default_rng(seed)
        X = pd.DataFrame(rng.normal(size=(200, 4)), columns=list("abcd"))
        y = (rng.random(200) < 1 / (1 + np.exp(1 - 2 * X["a"]))).astype(int).to_numpy()
        features = tuple(Feature(name, "number", edges=tuple(np.linspace(-1, 1, 5))) for name in X)
        made = []
        for test in (np.arange(200) % 5 == fold for fold in range(5)):
            model = LogisticRegression().fit(X[~test], y[~test])
            made.append((model.predict_proba, X[test].reset_index(drop=True), y[test]))
        found = measure_importances(
            made, Schema("tabular", "y", ("no", "yes"), features, 200), METRIC, 0.25, estimate_mean_with_interval, seed
        )
        assert describe_dependence(found.columns[0].curve).startswith("rises")
        told += sum(describe_dependence(one.curve) != NO_DIRECTION for one in found.columns[1:])
    assert told <= 4  # of 36; corrected as the losses are, it was every third


def curve(means, half=0.01, at=None):
    points = tuple(CurvePoint(float(i) if at is None else None, str(i), mean, half) for i, mean in enumerate(means))
    swing = max(means) - min(means)
    return ColumnImportance(
        ("a",), 0.1, 0.0, PartialDependence(points, swing, half, means.index(min(means)), means.index(max(means)))
    )


@pytest.mark.parametrize(
    ("driver", "said"),
    [
        (curve([0.1, 0.2, 0.4]), "rises from 10"),
        (curve([0.4, 0.2, 0.1]), "falls from 40"),
        (curve([0.28, 0.12, 0.5, 0.83]), "rises on the whole, from 28 % at 0 to 83 % at 3, but is 12 % at 1"),
        (curve([0.83, 0.5, 0.66, 0.12]), "falls on the whole, from 83 % at 0 to 12 % at 3, but is 66 % at 2"),
        (curve([0.1, 0.4, 0.1]), "highest in between, 40"),
        (curve([0.4, 0.1, 0.4]), "lowest in between, 10"),
        (curve([0.1, 0.105, 0.1], half=0.01), NO_DIRECTION),
        (curve([0.1, 0.4], at=()), "highest with 1 (40"),
        (ColumnImportance(("a",), 0.1, 0.0), "–"),
    ],
)
def test_a_shape_in_words_says_no_more_than_its_interval(driver, said):
    assert describe_dependence(driver.curve).startswith(said)


def test_columns_that_name_rows_are_on_the_list_also_where_their_values_repeat():
    frame = pd.DataFrame(
        {
            "customer_id": [f"00{i % 30}" for i in range(100)],
            "email": [f"{i}@example.org" for i in range(100)],
            "age": range(100),
            "note": [f"text {i}" for i in range(100)],
            "(no name)": range(100),
            "plan": ["a", "b"] * 50,
        }
    )
    assert _find_identifier_columns(frame, {"age", "plan"}) == ["customer_id", "email", "note"]
