"""Weights of rows: a row of weight k is k equal rows, in preparation, fits, scores, thresholds and calibration."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import evenhand as public
from harness.data.table import fingerprint_table, make_table
from harness.errors import DataError
from harness.metrics import calibration
from harness.metrics.classification import METRICS
from harness.metrics.logits import conditional_logit
from harness.metrics.metric import Predictions, best_threshold
from harness.metrics.threshold import choose_threshold, parse_goal
from harness.networks.rows import make_training_rows, make_validation_rows
from harness.preprocessing.tabular import fit_table_preprocessor
from harness.preprocessing.target_encoding import WeightedTargetEncoder, _make_target_encoder
from harness.preprocessing.weighted import compute_lower_median, compute_quantiles
from harness.registry.fingerprint import declaration_fingerprint
from harness.registry.registry import load_registry
from harness.registry.space import defaults
from harness.registry.task import Table, Task
from harness.search.applicability import unweightable_reason
from harness.search.pipeline import PipelineSpec, TrainingSet, fit_pipeline
from harness.search.row_weights import compute_fit_weights, expand_weighted_rows

N = 300
REGISTRY = load_registry()
RNG = np.random.default_rng(5)
WEIGHTS = RNG.integers(1, 5, N).astype(float)
COPIES = np.repeat(np.arange(N), WEIGHTS.astype(int))
Y = (RNG.random(N) < 0.3).astype(np.int64)
X = pd.DataFrame({
    "number": np.where(RNG.random(N) < 0.1, np.nan, Y + RNG.normal(size=N)), "skewed": RNG.exponential(size=N) ** 3,
    "letter": pd.Categorical(RNG.choice(["a", "b", "rare"], N, p=[0.5, 0.48, 0.02])),
})  # fmt: skip
PROBA = np.clip(0.3 * Y + 0.6 * RNG.random(N), 0.01, 0.99).round(2)
PROBA = np.column_stack([1 - PROBA, PROBA]).astype(np.float32)
COSTS = ((0.0, 1.0), (5.0, 0.0))


def fit(family: str, strategy: str, rows, weights=None, y=Y, **params):
    spec = PipelineSpec(REGISTRY.family(family), (REGISTRY.strategy(strategy),), "tabular", 2)
    training = TrainingSet(X.iloc[rows], y[rows], 3, weights=weights)
    return fit_pipeline(spec, defaults(spec.space) | params, training)


@pytest.mark.parametrize("levels", [0.5, [0.0, 0.1, 0.37, 0.9, 1.0]])
def test_quantiles_are_those_of_repeated_rows(levels):
    column = RNG.normal(size=N)
    assert compute_quantiles(column, levels, WEIGHTS) == pytest.approx(np.quantile(column[COPIES], levels))
    assert compute_lower_median(column, WEIGHTS) == compute_lower_median(column[COPIES])
    assert compute_quantiles(column, levels, WEIGHTS / 100) == pytest.approx(np.quantile(column, levels), abs=0.2)


def test_a_preparation_is_that_of_repeated_rows():
    weighted, repeated = fit_table_preprocessor(X, WEIGHTS), fit_table_preprocessor(X.iloc[COPIES])
    assert weighted.layout == repeated.layout
    for name in ("medians", "means", "deviations"):
        assert getattr(weighted, name) == pytest.approx(getattr(repeated, name))


def test_class_shares_of_levels_are_weighted_and_without_weights_those_of_scikit_learn():
    codes, y = RNG.integers(0, 6, (N, 2)).astype(np.int32), RNG.integers(0, 3, N)
    folds = [(np.flatnonzero(np.arange(N) % 5 != i), np.flatnonzero(np.arange(N) % 5 == i)) for i in range(5)]
    expected, shares = _make_target_encoder([6, 6], folds, y), WeightedTargetEncoder([6, 6], folds, None)
    assert shares.fit_transform(codes, y) == pytest.approx(expected.fit_transform(codes, y))
    assert np.concatenate(shares.encodings_) == pytest.approx(np.concatenate(expected.encodings_))
    weighted, repeated = WeightedTargetEncoder([6, 6], [], WEIGHTS), WeightedTargetEncoder([6, 6], [], None)
    weighted.fit_transform(codes, y), repeated.fit_transform(codes[COPIES], y[COPIES])
    assert np.concatenate(weighted.encodings_) == pytest.approx(np.concatenate(repeated.encodings_))


@pytest.mark.parametrize("strategy", ["none", "class_weight", "cost_sensitive", "random_oversampling",
                                      "random_undersampling", "balanced_ensemble"])  # fmt: skip
@pytest.mark.parametrize("params", [{}, {"encode.scaling": "quantile", "encode.select": "half"}])
def test_logistic_regression_with_weights_is_that_with_repeated_rows(strategy, params):
    weighted = fit("logistic_regression", strategy, np.arange(N), WEIGHTS, **params)
    repeated = fit("logistic_regression", strategy, COPIES, **params)
    assert weighted.predict_proba(X) == pytest.approx(repeated.predict_proba(X), abs=1e-6)
    assert weighted.counts_before == pytest.approx(repeated.counts_before)
    assert weighted.counts_after == pytest.approx(repeated.counts_after)
    plain = fit("logistic_regression", strategy, np.arange(N), **params)
    assert np.abs(plain.predict_proba(X) - weighted.predict_proba(X)).max() > 0.01


def test_weights_that_are_no_whole_numbers_are_divided_among_copies():
    positions, copies = expand_weighted_rows(np.array([0.1, 0.5, 2.4]))
    assert np.bincount(positions, weights=copies) == pytest.approx([0.1, 0.5, 2.4])
    assert copies.max() / copies.min() < 3
    assert len(expand_weighted_rows(np.full(50, 4000.0))[0]) == 200
    weights = compute_fit_weights(REGISTRY.strategy("class_weight"), {}, Y, None, WEIGHTS / 7)
    assert np.bincount(Y, weights=weights) == pytest.approx(np.full(2, WEIGHTS.sum() / 14), rel=1e-4)


@pytest.mark.parametrize(("strategy", "is_applicable"), [("none", True), ("balanced_ensemble", True), ("smote", False),
                                                         ("smote_tomek", False), ("random_undersampling", True)])  # fmt: skip
def test_strategies_that_make_rows_are_inapplicable_with_weights(strategy, is_applicable):
    family = REGISTRY.family("logistic_regression")
    assert (unweightable_reason(family, REGISTRY.strategy(strategy)) == "") == is_applicable
    unweighted = replace(family, limits={"weight": "fit() of KNeighborsClassifier takes no sample_weight"})
    assert "takes no sample_weight" in unweightable_reason(unweighted, REGISTRY.strategy(strategy))


def test_a_limit_for_weights_changes_no_fingerprint():
    family = REGISTRY.family("network_from_scratch")
    assert unweightable_reason(family, REGISTRY.strategy("none"))
    assert declaration_fingerprint(family) == declaration_fingerprint(replace(family, limits={}))


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
@pytest.mark.parametrize("threshold", [0.5, 0.3])
def test_metrics_are_those_of_repeated_rows(metric, threshold):
    weighted = Predictions(Y, PROBA, threshold, COSTS, WEIGHTS)
    repeated = Predictions(Y[COPIES], PROBA[COPIES], threshold, COSTS)
    # The tenth of the rows ranked first is a whole number of repeated rows.
    tolerance = 0.02 if metric.name == "lift_at_10" else 1e-9
    assert metric.compute(weighted) == pytest.approx(metric.compute(repeated), rel=tolerance)
    assert metric.compute(Predictions(Y, PROBA, threshold, COSTS, np.ones(N))) == pytest.approx(
        metric.compute(Predictions(Y, PROBA, threshold, COSTS)), rel=tolerance
    )
    if metric.influence is not None:
        by_row = metric.influence(weighted, None)
        of_copies = np.bincount(COPIES, weights=metric.influence(repeated, None)) * N / len(COPIES)
        assert by_row == pytest.approx(of_copies, abs=2e-3 * np.abs(of_copies).max())


@pytest.mark.parametrize("goal", ["f1", "cost", "f-beta:2", "recall>=0.8", "precision>=0.6", "top:0.2"])
def test_thresholds_are_those_of_repeated_rows(goal):
    parsed = parse_goal(goal)
    weighted = choose_threshold(parsed, Y, PROBA, costs=COSTS, weights=WEIGHTS)
    assert weighted == choose_threshold(parsed, Y[COPIES], PROBA[COPIES], costs=COSTS)
    assert best_threshold(Y, PROBA, COSTS, weights=WEIGHTS) == best_threshold(Y[COPIES], PROBA[COPIES], COSTS)


@pytest.mark.parametrize("name", calibration.FITTED_CALIBRATIONS)
def test_calibrators_are_those_of_repeated_rows(name):
    weighted = calibration.fit_calibrator(name, PROBA, Y, WEIGHTS)(PROBA)
    assert weighted == pytest.approx(calibration.fit_calibrator(name, PROBA[COPIES], Y[COPIES])(PROBA), abs=1e-6)
    features, y = RNG.normal(size=(2, N, 3)), RNG.integers(0, 3, N)
    coefficients = conditional_logit(features, y, np.zeros(2), WEIGHTS)
    assert coefficients == pytest.approx(conditional_logit(features[:, COPIES], y[COPIES], np.zeros(2)), abs=1e-6)


def test_validation_rows_of_networks_keep_their_weights_within_a_class():
    matrix = RNG.normal(size=(N, 2)).astype(np.float32)
    rows, classes = make_training_rows(matrix, Y, WEIGHTS)
    validation = make_validation_rows((matrix, Y, WEIGHTS), rows, classes)
    assert validation.weight == pytest.approx(rows.weight, rel=1e-5)


def people(**columns) -> pd.DataFrame:
    return X.assign(churned=np.where(Y == 1, "Yes", "No"), weight=WEIGHTS, **columns)


def table(frame: pd.DataFrame, **fields) -> Table:
    return make_table(Task(name="people", load=lambda _folder: frame, target="churned", **fields), frame)


def test_rows_of_weight_0_are_left_out_and_a_weight_is_no_feature():
    weighted = table(people().assign(weight=np.where(np.arange(N) < 10, 0, WEIGHTS)), weights="weight")
    assert len(weighted.y) == len(weighted.X) == N - 10
    assert weighted.weights.tolist() == WEIGHTS[10:].tolist()
    assert "weight" not in weighted.X.columns
    codes = {finding.code for finding in weighted.notes}
    assert {"zero_weight", "row_weights"} <= codes
    assert "scale_of_weights" in [note.code for note in table(people(big=WEIGHTS * 1000), weights="big").notes]
    plain = table(people().drop(columns="weight"))
    assert fingerprint_table(plain) != fingerprint_table(table(people(), weights="weight"))


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([-1.0], "'-1.0' in row 1 is negative (1 such rows): weights are numbers from 0 on"),
        ([np.nan], "weight column 'weight' is missing in 1 of 300 rows"),
        (["many"], "'many' in row 1 is no finite number"),
        ([np.inf], "'inf' in row 1 is no finite number"),
    ],
)
def test_weights_that_cannot_be_meant_are_refused_in_one_line(weights, message):
    with pytest.raises(DataError) as error:
        table(people().assign(weight=[*weights, *WEIGHTS[1:]]), weights="weight")
    assert message in str(error.value)


def test_a_run_with_weights_scores_by_them_and_leaves_out_what_cannot_take_them(tmp_path):
    run = public.benchmark(
        people(), target="churned", weights="weight", families=["logistic_regression", "xgb"], strategies=["none", "smote", "searched"],
        trials=2, folds=2, inner_folds=2, jobs=1, out=tmp_path / "run", report=False, progress=False,
    )  # fmt: skip
    failures = run.failures()
    assert set(failures[failures.entry.str.endswith("smote")].status) == {"inapplicable"}
    assert set(failures.code) == {"unsupported_weights"}
    description = json.loads((tmp_path / "run" / "run.json").read_text())["tasks"]["data"]
    assert description["total_weight"] == WEIGHTS.sum()
    predictions = run.predictions("logistic_regression/none").sort_values("row")
    scores = run.scores().query("entry == 'logistic_regression/none/tuned' and threshold_kind == 'tuned'")
    accuracies = []
    for fold, rows in predictions.groupby("fold"):
        is_right = (rows.decision == rows.y).to_numpy(float)
        accuracies.append((fold, np.average(is_right, weights=WEIGHTS[rows.row])))
    assert dict(zip(scores.fold, scores.accuracy, strict=True)) == pytest.approx(dict(accuracies))
