"""The inspection of tables: what every check finds, what it says of clean tables, and how long texts are."""

import json

import numpy as np
import pandas as pd
import pytest
from simulations_inspection import inspect_simulated

import evenhand
from harness.data.user_data import UserData
from harness.inspection.inspector import inspect_rows
from harness.inspection.labels import MIN_LIKELIHOOD_RATIO, find_label_suspects, wrong_label_rate
from harness.inspection.quick_model import levels_to_codes, predict_by_code_shares, roc_auc_standard_error
from harness.inspection.summary import Inspection
from harness.registry.protocol import EvaluationProtocol
from harness.report.inspection import render_html, summarize_inspection


def clean_table(n: int = 600, seed: int = 0, share: float = 0.3) -> pd.DataFrame:
    """Rows with a signal in three columns, one category, and nothing wrong."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(rng.normal(size=(n, 6)), columns=[f"x{number}" for number in range(6)])
    frame["colour"] = rng.choice(["red", "green", "blue"], n)
    signal = frame.x0 + frame.x1 - frame.x2 + rng.normal(size=n)
    frame["y"] = np.where(signal > np.quantile(signal, 1 - share), "yes", "no")
    return frame


def inspected(frame: pd.DataFrame, **options: str) -> Inspection:
    task = UserData("rows.csv", "y", **options).task()
    return inspect_rows(task, frame, EvaluationProtocol())


def codes_of(inspection: Inspection) -> dict[str, str]:
    return {finding.code: finding.severity for finding in inspection.findings}


def finding_of(inspection: Inspection, code: str) -> evenhand.inspect:
    return next(finding for finding in inspection.findings if finding.code == code)


@pytest.mark.parametrize("seed", range(3))
def test_clean_tables_have_neither_errors_nor_warnings(seed):
    findings = inspected(clean_table(seed=seed)).findings
    assert [finding for finding in findings if finding.severity != "note"] == []


def test_simulated_clean_tables_have_no_error():
    # `make simulations` inspects 200 larger ones.
    for seed in range(1000, 1008):
        assert inspect_simulated(seed, max_rows=400).of_severity("error") == ()


def test_a_column_that_carries_most_of_the_score_is_found_although_its_auc_is_far_from_one():
    frame = clean_table(2000)
    rng = np.random.default_rng(1)
    is_yes = frame.y == "yes"
    frame["seconds"] = rng.gamma(np.where(is_yes, 4, 2), 100)
    frame[["x0", "x1", "x2"]] = frame[["x0", "x1", "x2"]] * 0.3 + 1.2 * rng.normal(size=(2000, 3))
    inspection = inspected(frame)
    finding = finding_of(inspection, "leaky_column")
    assert (finding.column, finding.severity) == ("seconds", "warning")
    assert "--drop seconds" in finding.advice
    column = inspection.scores.columns[0]
    assert column.name == "seconds"
    assert column.auc_alone < 0.95
    assert column.precision_without < inspection.scores.average_precision - 0.1


def test_columns_that_repeat_each_other_are_left_out_together():
    frame = clean_table(2000)
    rng = np.random.default_rng(1)
    frame["seconds"] = rng.gamma(np.where(frame.y == "yes", 6, 2), 100)
    frame[["x0", "x1", "x2"]] = frame[["x0", "x1", "x2"]] * 0.3 + 1.2 * rng.normal(size=(2000, 3))
    frame["minutes"] = frame.seconds / 60 + rng.normal(size=2000) / 1000
    finding = finding_of(inspected(frame), "leaky_column")
    assert "'minutes'" in finding.message
    assert "'seconds'" in finding.message


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (lambda y: y.map({"yes": "lost", "no": "active"}), "under other names"),
        (lambda y: (y == "yes") * 1.0, "under other names"),
        (lambda y: pd.Series(np.arange(len(y)) % 7.0).where(y == "yes"), "missing in all rows but those of one class"),
    ],
    ids=["words", "numbers", "missing"],
)
def test_a_copy_of_the_target_is_an_error(values, words):
    frame = clean_table()
    frame.insert(0, "copy", values(frame.y))
    finding = finding_of(inspected(frame), "target_copy")
    assert (finding.severity, finding.column) == ("error", "copy")
    assert words in finding.message
    assert inspected(frame).folds.detectable_difference > 0.005  # although the quick model makes no mistake


def test_rows_that_cannot_be_split_are_an_error():
    frame = clean_table(100)
    frame["y"] = ["no"] * 97 + ["yes"] * 3
    inspection = inspected(frame)
    assert codes_of(inspection)["no_split"] == "error"
    assert inspection.folds is None


def test_equal_rows_are_counted_with_other_labels_and_across_forward_splits():
    frame = clean_table(400)
    frame = pd.concat([frame, frame.iloc[:40]], ignore_index=True)
    frame.loc[400:409, "y"] = np.where(frame.y[400:410] == "yes", "no", "yes")
    inspection = inspected(frame)
    assert finding_of(inspection, "duplicates").rows == 40
    assert finding_of(inspection, "duplicates").examples[:2] == (400, 401)
    assert finding_of(inspection, "conflicting_labels").rows == 20
    frame["day"] = np.arange(len(frame))
    forward = inspected(frame, time="day")
    assert "test rows have an equal training row" in finding_of(forward, "duplicates").message
    assert finding_of(forward, "duplicates").severity == "warning"


def test_nearly_equal_rows_are_found_also_across_splits():
    frame = clean_table(600)
    copies = frame.iloc[:60].copy()
    copies["x3"] += 1e-6
    inspection = inspected(pd.concat([frame, copies], ignore_index=True))
    finding = finding_of(inspection, "near_duplicates")
    assert finding.severity == "warning"
    assert 110 <= finding.rows <= 130
    assert "whose training part has their counterpart" in finding.message
    assert "duplicates" not in codes_of(inspection)


def test_wrong_labels_of_separable_classes_are_the_first_suspects():
    rng = np.random.default_rng(0)
    frame = clean_table(1000)
    frame["y"] = np.where(frame.x0 + frame.x1 > 0, "yes", "no")
    flipped = rng.choice(np.flatnonzero((frame.x0 + frame.x1).abs() > 1), 30, replace=False)
    frame.loc[flipped, "y"] = np.where(frame.y[flipped] == "yes", "no", "yes")
    finding = finding_of(inspected(frame), "label_suspects")
    assert set(finding.examples) <= set(flipped.tolist())
    assert finding.rows >= 20


@pytest.mark.parametrize("wrong", [0.0, 0.05])
def test_labels_of_overlapping_classes_are_suspects_only_where_some_are_wrong(wrong):
    rng = np.random.default_rng(0)
    signal = rng.normal(size=4000) * 3
    proba = 1 / (1 + np.exp(-signal))
    y = np.where(rng.random(4000) < proba, 1, 0)
    y = np.where(rng.random(4000) < wrong, 1 - y, y)
    overconfident = 1 / (1 + np.exp(-1.5 * signal))
    rate, likelihood_ratio = wrong_label_rate(y, np.column_stack([1 - overconfident, overconfident]))
    assert rate == pytest.approx(wrong, abs=0.02)
    assert (likelihood_ratio > MIN_LIKELIHOOD_RATIO) == bool(wrong)


def test_hundreds_of_shops_tell_the_quick_model_as_much_as_they_know():
    rng = np.random.default_rng(0)
    shop = rng.integers(0, 300, 3000)
    is_yes = rng.random(3000) < rng.beta(0.5, 0.5, 300)[shop]
    frame = pd.DataFrame({"shop": [f"shop {code}" for code in shop], "x": rng.normal(size=3000)})
    frame["y"] = np.where(is_yes, "yes", "no")
    scores = inspected(frame).scores
    assert scores.auc > 0.85  # .76 where the 260 rarest are merged
    assert scores.auc == pytest.approx(scores.columns[0].auc_alone, abs=0.03)


def test_confident_learning_counts_a_row_by_the_mean_probability_of_its_class():
    proba = np.array([[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.4, 0.6], [0.2, 0.8], [0.95, 0.05]])
    y = np.array([0, 0, 0, 1, 1, 1])
    # Means of the own class: 0.6 of class 0, 0.483 of class 1. Row 2 reaches that of class 1 only, row 5 that of class 0 only.
    assert find_label_suspects(y, proba).tolist() == [5, 2]


def test_the_order_of_rows_and_of_identifiers_predicts():
    frame = clean_table(1500)
    rng = np.random.default_rng(0)
    order = np.argsort((frame.y == "yes") + 1.5 * rng.normal(size=1500), kind="stable")
    frame = frame.iloc[order].reset_index(drop=True)
    frame.insert(0, "number", np.arange(1500) * 3 + 7)
    frame.insert(1, "customer", [f"C{number:06d}" for number in range(1500)])
    inspection = inspected(frame)
    assert codes_of(inspection)["row_order"] == "warning"
    assert "predicts the class" in finding_of(inspection, "id_like").message
    assert finding_of(inspection, "predictive_identifier").column == "customer"


def test_sorted_rows_are_harmless_and_no_drift():
    frame = clean_table(600).sort_values("y", ignore_index=True)
    codes = codes_of(inspected(frame))
    assert codes["sorted_rows"] == "note"
    assert not codes.keys() & {"row_order", "drift"}


def test_drift_names_the_columns_that_differ():
    frame = clean_table(1000)
    frame["x4"] += np.linspace(0, 3, 1000)
    finding = finding_of(inspected(frame), "drift")
    assert finding.column == "x4"
    assert finding.severity == "warning"


def test_dates_without_a_column_of_time_are_noticed():
    frame = clean_table(400)
    frame["day"] = pd.date_range("2024-01-01", periods=400).strftime("%Y-%m-%d")
    assert finding_of(inspected(frame), "undeclared_time").advice.endswith("--time day")
    assert "undeclared_time" not in codes_of(inspected(frame, time="day"))


def test_repeated_customers_under_a_random_split_are_found_with_what_they_cost():
    rng = np.random.default_rng(0)
    customers = clean_table(300)
    customers["y"] = rng.permutation(customers.y)  # nothing can be learned but the customer
    frame = customers.loc[np.repeat(np.arange(300), 5)].reset_index(drop=True)
    frame["visit"] = rng.normal(size=len(frame))
    frame.insert(0, "kunde", np.repeat([f"K{number}" for number in rng.permutation(300)], 5))
    finding = finding_of(inspected(frame.sample(frac=1, random_state=0, ignore_index=True)), "undeclared_group")
    assert (finding.column, finding.severity, finding.rows) == ("kunde", "warning", 1500)
    assert "with the rows of a code on one side" in finding.message
    assert "undeclared_group" not in codes_of(inspected(frame, group="kunde"))


def test_a_column_that_says_train_and_test_is_no_feature():
    frame = clean_table(300)
    frame["part"] = np.where(np.arange(300) < 200, "train", "test")
    assert finding_of(inspected(frame), "published_split").column == "part"


def test_missing_values_that_predict_are_found():
    frame = clean_table(1000)
    rng = np.random.default_rng(0)
    frame.loc[rng.random(1000) < np.where(frame.y == "yes", 0.7, 0.2), "x5"] = np.nan
    finding = finding_of(inspected(frame), "predictive_missing")
    assert finding.column == "x5"
    assert "are of class 'yes'" in finding.message


def test_few_rows_come_with_the_difference_that_can_be_detected():
    inspection = inspected(clean_table(200, share=0.1))
    assert codes_of(inspection)["few_positives"] == "warning"
    assert "cannot be detected" in finding_of(inspection, "few_positives").message
    large, small = inspected(clean_table(4000)).folds, inspection.folds
    assert large.detectable_difference < small.detectable_difference / 3


def test_a_block_of_equal_rows_as_large_as_a_fold_is_found():
    frame = clean_table(500)
    for name in frame.columns.drop("y"):
        frame.loc[:149, name] = frame[name].iloc[0]
    assert finding_of(inspected(frame), "large_block").rows == 150


def test_overlapping_classes_are_noticed():
    frame = clean_table(600, share=0.2)
    frame["y"] = np.random.default_rng(0).permutation(frame.y)
    assert codes_of(inspected(frame))["class_overlap"] == "note"


def test_the_same_rows_give_the_same_inspection():
    frame = clean_table(300)
    assert inspected(frame) == inspected(frame.copy())


def test_levels_are_scored_in_other_folds_only():
    y, folds = np.array([0, 1, 0, 1]), np.array([0, 0, 1, 1])
    unique = pd.Series(pd.Categorical(["a", "b", "c", "d"]))
    assert predict_by_code_shares(levels_to_codes(unique), y, folds)[:, 1] == pytest.approx(0.5)


def test_the_error_of_an_area_is_that_of_hanley_and_mcneil():
    assert roc_auc_standard_error(0.9, 50, 50) == pytest.approx(0.03212, abs=1e-5)  # their formula, computed by hand


@pytest.mark.parametrize("kind", ["text", "image"])
def test_texts_and_images_get_the_checks_of_rows(kind, tmp_path):
    if kind == "text":
        words = [f"{word} {number % 45}" for number in range(60) for word in ("win", "meet")]
        frame = pd.DataFrame({"message": words, "y": ["spam", "ham"] * 60})
        found = evenhand.inspect(frame, target="y", text="message")
    else:
        from PIL import Image

        for name in ("cat", "dog"):
            (tmp_path / name).mkdir()
            for number in range(8):
                Image.new("L", (8, 8), (10 * (number // 2)) + (name == "dog")).save(tmp_path / name / f"{number}.png")
        found = evenhand.inspect(tmp_path)
    assert "duplicates" in set(found.findings().code)
    assert "5 stratified splits" in found.summary() or kind == "image"


def test_the_public_object_has_frames_texts_and_a_page(tmp_path):
    found = evenhand.inspect(clean_table(300), target="y")
    assert list(found.columns().columns[:3]) == ["name", "kind", "reading"]
    assert found.scores().name[0] in ("x0", "x1", "x2")
    assert 3 <= len(found.summary().splitlines()) <= 6
    assert found.markdown().startswith("# Inspection of")
    page = found.write_html(tmp_path / "page.html").read_text()
    assert page.count('<svg class="plot"') == 2
    assert page.count("<script") == 1  # that of the template, which works without a network
    assert 'src="http' not in page


def test_hostile_names_stay_text():
    frame = clean_table(200).rename(columns={"x0": "<b>&|x"})
    inspection = inspected(frame)
    assert "<b>&|x" not in render_html(inspection)
    assert len(summarize_inspection(inspection)) >= 3
    json.dumps([finding.as_dict() for finding in inspection.findings])


@pytest.mark.parametrize(("flipped_share", "n_left_out"), [(0.1, 3), (0.35, 1)])
def test_weak_columns_are_not_left_out_in_turn(flipped_share, n_left_out):
    rng = np.random.default_rng(3)
    y = rng.integers(0, 2, 400)
    columns = {}
    for name in "abc":
        is_flipped = rng.random(400) < flipped_share
        columns[name] = np.where(is_flipped, 1 - y, y) + rng.normal(scale=0.3, size=400)
    scores = evenhand.inspect(pd.DataFrame(columns).assign(label=y), target="label").scores()
    assert scores["auc_without"].notna().sum() == n_left_out
