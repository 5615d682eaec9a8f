"""Insights: whom to contact, what that finds and earns, segments, counterfactuals, and what is left out and said to be."""

import csv
import io
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from harness.data.table import hash_rows, make_table
from harness.deploy.bundle import BundleContents, HeldOutProba, write_bundle
from harness.deploy.error_analysis import clopper_pearson_interval as exact_interval
from harness.deploy.error_analysis import wilson_interval
from harness.deploy.insights.confidence import (
    assess_confidence,
    warn_of_changed_training_rows,
    warn_of_leakage,
    warn_of_miscalibration,
)
from harness.deploy.insights.contact_list import make_contact_list
from harness.deploy.insights.contributions import compute_tree_contributions, estimate_contributions_by_sampling
from harness.deploy.insights.counterfactuals import find_counterfactuals
from harness.deploy.insights.gains import Campaign, measure_gains
from harness.deploy.insights.importance import measure_importances
from harness.deploy.insights.run import write_insights
from harness.deploy.insights.scored_rows import HELD_OUT, LEARNT, NEW, InsightsRequest, read_scored_rows
from harness.deploy.insights.segments import TreeSplitQuestion, describe_tree_path, find_segments
from harness.deploy.insights.shapley import log_odds
from harness.deploy.schema import Feature, describe_task_rows
from harness.errors import EvenhandError
from harness.evaluation.corrected_t import estimate_mean_with_interval
from harness.preprocessing.tabular_encoders import source_columns_of_encoding
from harness.registry.registry import load_registry
from harness.registry.space import defaults
from harness.registry.task import Task, take
from harness.search.pipeline import PipelineSpec, TrainingSet, fit_pipeline

REGISTRY = load_registry()
TASK = Task(name="leaving", load=lambda _: None, target="left", positive="yes", banned={"id": "it names the customer"})


def customers(n=600, seed=0):
    """Who pays by the month leaves, and sooner the newer; the line decides nothing. No line goes with no filter."""
    rng = np.random.default_rng(seed)
    months = rng.integers(1, 61, n)
    plan = rng.choice(["month", "year", "two years"], n, p=[0.5, 0.3, 0.2])
    line = rng.choice(["dsl", "fibre", "none"], n)
    guard = np.where(line == "none", "none", rng.choice(["on", "off"], n))
    odds = -1.5 + 2.2 * (plan == "month") - 0.05 * (months - 20) + 0.8 * (guard == "off")
    left = np.where(rng.random(n) < 1 / (1 + np.exp(-odds)), "yes", "no")
    name = [f"=c{seed}-{i}" for i in range(n)]
    return pd.DataFrame({"id": name, "months": months, "plan": plan, "line": line, "guard": guard, "left": left})


def bundle_of(folder, frame, family="logistic_regression", task=TASK):
    """A bundle as export makes it: fitted to all rows, with what two folds said of them while they were sealed."""
    table = make_table(task, frame)
    recipe = PipelineSpec(REGISTRY.family(family), (REGISTRY.strategy("none"),), task.modality, len(table.classes))
    params = defaults(recipe.space)

    def fit(rows):
        return fit_pipeline(recipe, params, TrainingSet(take(table.X, rows), table.y[rows], 0))

    proba = np.full((len(table.y), len(table.classes)), np.nan, dtype=np.float32)
    rows, folds = np.arange(len(table.y)), []
    for fold in (0, 1, 2):
        test = rows[rows % 3 == fold]
        model = fit(rows[rows % 3 != fold])
        proba[test] = model.predict_proba(take(table.X, test))
        folds.append((model.predict_proba, take(table.X, test), table.y[test]))
    schema, drivers = describe_task_rows(task, table), None
    if task.modality == "tabular":
        drivers = measure_importances(
            folds, schema, REGISTRY.metric("average_precision"), 0.5, estimate_mean_with_interval, 0
        ).as_json()
    about = {
        "task": task.name,
        "title": "Who leaves <b>us</b>",
        "entry": f"{task.name}/{family}/none/default",
        "calibration": "none",
        "classes": list(table.classes),
        "threshold": 0.5 if len(table.classes) == 2 else None,
        "versions": {},
    }
    held = HeldOutProba(hash_rows(table.X), proba)
    return write_bundle(folder, BundleContents(about, schema, fit(rows), None, "card", held, drivers))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return bundle_of(tmp_path_factory.mktemp("made") / "bundle", customers())


def request_for(bundle, tmp_path, frame, **more):
    path = tmp_path / "rows.csv"
    frame.to_csv(path, index=False)
    return InsightsRequest(bundle.folder, path, out=tmp_path / "out", **more)


def scored_rows_of(bundle, tmp_path, frame, **more):
    return read_scored_rows(bundle, request_for(bundle, tmp_path, frame, **more))


def listed(tmp_path):
    return list(csv.DictReader(io.StringIO((tmp_path / "out" / "contacts.csv").read_text(encoding="utf-8"))))


# --- rows ---


def test_a_class_that_is_a_number_is_named_with_its_column(tmp_path):
    coded = customers().replace({"left": {"no": 0, "yes": 1}})
    made = bundle_of(tmp_path / "bundle", coded, task=replace(TASK, positive="1"))
    page = write_insights(request_for(made, tmp_path, coded, campaign=Campaign(capacity=50)))[0].read_text(
        encoding="utf-8"
    )
    assert re.search(r"hold \d+ of \d+ left = 1 ", page)
    assert not re.search(r"\d 1 \(", page)


def test_a_row_that_was_learnt_from_is_judged_by_what_was_said_while_it_was_sealed(bundle, tmp_path):
    frame = pd.concat([customers().iloc[:50], customers(50, seed=9)])
    scored = scored_rows_of(bundle, tmp_path, frame)
    assert set(scored.source[:50]) == {HELD_OUT}
    held = bundle.read_held_out_proba()
    place = {int(key): at for at, key in enumerate(held.keys)}
    own = hash_rows(scored.X)
    single = [i for i in range(50) if (held.keys == own[i]).sum() == 1]
    assert len(single) > 20
    assert scored.proba[single] == pytest.approx(held.proba[[place[int(own[i])] for i in single]])
    new = np.flatnonzero(scored.source == NEW)
    assert len(new) > 10
    assert scored.proba[new] == pytest.approx(bundle.predict_proba(scored.X)[new])


def test_rows_learnt_from_and_never_sealed_are_counted_nowhere(tmp_path):
    frame = customers(200)
    made = bundle_of(tmp_path / "b", frame)
    proba = made.read_held_out_proba().proba.copy()
    table = make_table(TASK, frame)
    proba[:100] = np.nan
    part = BundleContents(
        {k: v for k, v in made.manifest.items() if k not in ("schema", "files", "manifest_sha256", "content_sha256")},
        made.schema,
        made.model.pipeline,
        None,
        "card",
        HeldOutProba(hash_rows(table.X), proba),
    )
    scored = scored_rows_of(write_bundle(tmp_path / "c", part), tmp_path, frame)
    assert (scored.source == LEARNT).sum() > 50
    assert not set(scored.evaluated_rows) & set(np.flatnonzero(scored.source == LEARNT))


def test_outcomes_may_be_missing_and_must_be_classes(bundle, tmp_path):
    frame = customers(30, seed=5)
    frame.loc[:9, "left"] = None
    scored = scored_rows_of(bundle, tmp_path, frame)
    assert (scored.y[:10] == -1).all()
    assert (scored.y[10:] >= 0).all()
    frame.loc[12, "left"] = "perhaps"
    with pytest.raises(EvenhandError, match=r"'perhaps' \(row 12, from 0\).*no, yes"):
        scored_rows_of(bundle, tmp_path, frame)


# --- whom to contact ---


def test_the_list_holds_only_rows_whose_outcome_is_open(bundle, tmp_path):
    frame = customers(100, seed=5)
    frame.loc[:59, "left"] = None
    found = make_contact_list(scored_rows_of(bundle, tmp_path, frame), Campaign(capacity=10), 0)
    assert not found.retrospective
    assert found.candidates == 60
    assert max(one.row for one in found.contacts) < 60
    p = [one.probability for one in found.contacts]
    assert p == sorted(p, reverse=True)
    assert len(p) == 10


def test_a_list_ends_where_capacity_budget_or_profit_ends_it(bundle, tmp_path):
    scored = scored_rows_of(bundle, tmp_path, customers(200, seed=5).drop(columns="left"))
    assert len(make_contact_list(scored, Campaign(capacity=7), 0).contacts) == 7
    assert len(make_contact_list(scored, Campaign(budget=30.2, cost=0.1), 0).contacts) == 200
    assert len(make_contact_list(scored, Campaign(capacity=90, budget=30, cost=1), 0).contacts) == 30
    pays = make_contact_list(scored, Campaign(cost=10, value=50, success=0.4), 0)
    assert len(pays.contacts) == (scored.positive_proba >= 0.5).sum()
    assert min(one.probability for one in pays.contacts) >= 0.5
    assert len(make_contact_list(scored, Campaign(), 0).contacts) == (scored.positive_proba >= bundle.threshold).sum()
    for nobody in (Campaign(budget=3, cost=5, value=500), Campaign(budget=3, cost=5), Campaign(cost=5, value=4)):
        assert not make_contact_list(scored, nobody, 0).contacts


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"capacity": 0}, "--capacity must be more than 0"),
        ({"budget": 10.0}, "--contact-cost"),
        ({"value": 10.0}, "--contact-cost"),
        ({"cost": -1.0}, "--contact-cost must be 0 or more"),
        ({"success": 1.5}, "--success is a share"),
        ({"value": float("nan"), "cost": 1.0}, "--value must be more than 0"),
        ({"value": 1e308, "cost": 1.0}, r"--value must be more than 0 and at most 1e\+15"),
    ],
)
def test_a_campaign_that_makes_no_sense_is_refused(how, said):
    with pytest.raises(EvenhandError, match=said):
        Campaign(**how)


def test_reasons_add_up_to_the_log_odds_by_arithmetic_and_by_sampling(bundle, tmp_path):
    scored = scored_rows_of(bundle, tmp_path, customers(60, seed=5))
    rows = np.arange(20)
    target = log_odds(bundle.predict_proba(scored.X.iloc[rows])[:, 1])
    found = compute_tree_contributions(scored, rows)
    assert np.ptp(target - found.contributions.sum(axis=1)) < 1e-5
    # Of an additive model both are coefficient times distance from the mean of the rows compared with.
    other = estimate_contributions_by_sampling(scored, rows, 0)
    assert np.corrcoef(found.contributions.ravel(), other.contributions.ravel())[0, 1] > 0.97


@pytest.mark.parametrize("family", ["xgb", "lightgbm", "catboost"])
def test_reasons_of_trees_add_up_over_raw_columns(family, tmp_path):
    pytest.importorskip({"xgb": "xgboost"}.get(family, family))
    frame = customers(300)
    frame.loc[::7, "months"] = np.nan  # an indicator belongs to its number
    made = bundle_of(tmp_path / "b", frame, family)
    scored = scored_rows_of(made, tmp_path, frame)
    rows = np.arange(len(scored))
    found = compute_tree_contributions(scored, rows)
    target = log_odds(made.predict_proba(scored.X)[:, 1])
    assert found.contributions.shape == (300, 4)
    assert np.ptp(target - found.contributions.sum(axis=1)) < 1e-4


def test_an_encoded_column_knows_its_raw_one(bundle):
    fitted = bundle.model.pipeline
    sources = source_columns_of_encoding(fitted.encoder, fitted.preparer.layout)
    assert sources == ("months", *["plan"] * 3, *["line"] * 3, *["guard"] * 3)


# --- what it finds and earns ---


def test_gains_count_what_the_likeliest_hold():
    y = np.array([1, 1, 0, 1] + [0] * 96)
    found = measure_gains(y, np.linspace(1, 0, 100), Campaign(), 4, 0)
    four = next(one for one in found.table if one.contacted == 4)
    assert four.positives == 3
    assert four.low <= 3 <= four.high
    assert four.chance[0] == pytest.approx(0.12)
    assert measure_gains(np.zeros(10, dtype=int), np.linspace(0, 1, 10), Campaign(), 4, 0) is None


def test_rows_in_no_order_gain_nothing_and_the_best_cut_does_not_flatter_itself():
    rng = np.random.default_rng(0)
    y = (rng.random(400) < 0.2).astype(int)
    found = measure_gains(y, rng.random(400), Campaign(cost=1, value=5.0), None, 0)
    half = found.share_of_positives.estimate[50]
    assert abs(half - 0.5) < 0.12
    best = found.rules[0]
    chosen_and_counted_on_the_same = found.profit.estimate.max()
    assert best.profit[0] < chosen_and_counted_on_the_same
    assert best.profit[1] < 0  # nothing can be earned here, and the interval says so


def test_profit_is_gain_less_cost():
    y = np.array([1] * 50 + [0] * 50)
    found = measure_gains(y, np.linspace(1, 0, 100), Campaign(cost=1, value=10, success=0.5), None, 0)
    assert found.profit.estimate[50] == pytest.approx(1000 * (0.5 * 5 - 0.5))
    assert found.profit.estimate[100] == pytest.approx(1000 * (0.5 * 5 - 1))
    everybody = next(one for one in found.rules if one.description == "everybody")
    assert everybody.profit[0] == pytest.approx(1500, rel=0.05)


def test_three_contacts_that_found_nothing_prove_nothing():
    rng = np.random.default_rng(0)
    y = np.append([0, 0, 0], np.append(np.ones(10, dtype=int), np.zeros(187, dtype=int)))
    p = np.append([0.9, 0.8, 0.7], rng.random(197) / 10)
    found = measure_gains(y, p, Campaign(cost=1, value=4), None, 0)
    pays = next(one for one in found.rules if one.description.startswith("a contact should pay"))
    assert pays.profit[0] == pytest.approx(-15)
    assert pays.profit[1] < -15 < 0 < pays.profit[2]
    fewest = found.table[0]
    assert (fewest.contacted, fewest.positives) == (2, 0)
    assert fewest.high > 0.5


def test_profits_of_a_list_with_an_end_are_told_too():
    y = np.array([1] * 50 + [0] * 50)
    found = measure_gains(y, np.linspace(1, 0, 100), Campaign(capacity=20, cost=1, value=10), 10, 0)
    listed_ = next(one for one in found.rules if one.description == "as many as on the list")
    assert listed_.share == (0.1, 0.1, 0.1)
    assert listed_.profit[0] == pytest.approx(1000 * (0.1 * 10 - 0.1))


# --- doubts ---


def saying(scored, **about):
    return replace(scored, bundle=replace(scored.bundle, manifest={**scored.bundle.manifest, **about}))


def test_probabilities_that_are_no_frequencies_are_said_to_be_none_without_outcomes_too(bundle, tmp_path):
    scored = scored_rows_of(bundle, tmp_path, customers(50, seed=5).drop(columns="left"))
    share = float(np.nanmean(bundle.read_held_out_proba().proba[:, 1]))
    sound = saying(scored, counts=[round(600 * (1 - share)), round(600 * share)])
    assert not warn_of_miscalibration(sound, assess_confidence(sound))
    weighted = saying(scored, counts=[round(600 * (1 - share / 2)), round(600 * share / 2)])
    said = warn_of_miscalibration(weighted, assess_confidence(weighted))
    assert said.startswith("**The probabilities are no frequencies.** Of the 600 training rows")
    assert "--calibration sigmoid" in said


def test_outcomes_that_contradict_the_probabilities_are_said_to(bundle, tmp_path):
    frame = customers(400, seed=5)
    scored = scored_rows_of(bundle, tmp_path, frame)
    assert not warn_of_miscalibration(scored, assess_confidence(scored))
    rare = scored_rows_of(bundle, tmp_path, frame[(frame["left"] == "no") | (np.arange(400) % 4 == 0)])
    assert warn_of_miscalibration(rare, assess_confidence(rare)).startswith("**The probabilities do not hold here.**")


def test_rows_learnt_from_in_a_changed_form_do_not_pass_for_new_ones(tmp_path):
    made = bundle_of(tmp_path / "b", customers(), family="random_forest")
    measured = {"roc_auc": {"mean": 0.75, "low": 0.7, "high": 0.8}}
    a_bit_later = customers().assign(months=lambda frame: frame["months"] + 0.25)
    changed = saying(scored_rows_of(made, tmp_path, a_bit_later), measured=measured)
    assert set(changed.source) == {NEW}
    assert warn_of_leakage(changed).startswith("**Too good to be new?** On the 600 rows")
    new = saying(scored_rows_of(made, tmp_path, customers(seed=7)), measured=measured)
    assert not warn_of_leakage(new)
    assert "the same customer a month later" in warn_of_changed_training_rows(new)
    learnt = scored_rows_of(made, tmp_path, customers())
    assert not warn_of_changed_training_rows(learnt)


# --- segments ---


def test_segments_are_counted_on_rows_that_did_not_find_them(bundle, tmp_path):
    frame = customers(2000, seed=3)
    scored = scored_rows_of(bundle, tmp_path, frame)
    found = find_segments(scored, 0)
    assert sum(one.rows for one in found.segments) == found.rows
    assert abs(found.rows - 1000) < 60
    first = found.segments[0]
    assert any("plan is month" in condition for condition in first.conditions)
    assert first.low > found.positives / found.rows
    shares = [one.share for one in found.segments]
    assert shares == sorted(shares, reverse=True)


def test_segments_of_noise_are_told_from_nothing(bundle, tmp_path):
    frame = customers(2000, seed=3)
    frame["left"] = np.random.default_rng(1).permutation(frame["left"])
    found = find_segments(scored_rows_of(bundle, tmp_path, frame), 0)
    overall = found.positives / found.rows
    assert all(one.low <= overall <= one.high for one in found.segments)


def test_rare_noise_is_told_from_nothing_too(bundle, tmp_path):
    scored = scored_rows_of(bundle, tmp_path, customers(2000, seed=3))
    wrong = 0
    for seed in range(60):
        y = (np.random.default_rng(seed).random(2000) < 0.01).astype(np.int64)
        found = find_segments(replace(scored, y=y), seed)
        overall = found.positives / found.rows
        wrong += any(not one.low <= overall <= one.high for one in found.segments)
    assert wrong <= 3


def test_intervals_of_shares():
    assert wilson_interval(10, 100) == pytest.approx((0.0552, 0.1744), abs=5e-4)
    assert exact_interval(10, 100) == pytest.approx((0.0490, 0.1762), abs=5e-4)
    assert exact_interval(0, 20) == pytest.approx((0, 0.1684), abs=5e-4)
    assert wilson_interval(0, 0) == exact_interval(0, 0) == (0.0, 1.0)


# --- counterfactuals ---


def test_a_counterfactual_changes_actionable_columns_alone_and_only_to_what_occurs(bundle, tmp_path):
    scored = scored_rows_of(bundle, tmp_path, customers(500, seed=4))
    rows = np.argsort(-scored.positive_proba)[:40].tolist()
    found = find_counterfactuals(scored, rows, ("plan", "guard"))
    flipped = [one for one in found if one.sufficient]
    assert len(flipped) > 20
    assert {name for one in flipped for name, _, _ in one.changes} <= {"plan", "guard"}
    assert all(one.probability >= 0.5 > one.new_probability for one in flipped)
    assert min(len(one.changes) for one in flipped) == 1
    lines = scored.X["line"].astype("str")
    # No guard is only what those without a line have.
    assert not any(to == "none" and lines.iloc[one.row] != "none" for one in flipped for name, _, to in one.changes)


def test_what_cannot_be_acted_on_is_named(bundle, tmp_path):
    with pytest.raises(EvenhandError, match=r"--actionable plam: .*'plan'"):
        write_insights(request_for(bundle, tmp_path, customers(50), actionable=("plam",)))


# --- the files ---


def test_everything_is_written_without_network_or_script_and_nothing_runs(bundle, tmp_path):
    frame = customers(400, seed=6)
    campaign = Campaign(capacity=30, cost=2, value=40, success=0.5)
    files = write_insights(request_for(bundle, tmp_path, frame, campaign=campaign, actionable=("plan",)))
    assert [path.name for path in files] == ["insights.md", "insights.html", "contacts.csv"]
    page = files[1].read_text(encoding="utf-8")
    assert "<script" not in page
    assert "https://" not in page.replace("http://www.w3.org", "")
    assert "<b>us</b>" not in page
    assert "associations, not causes" in page
    assert len(re.findall(r'<svg class="plot"', page)) == 4
    table = pd.read_csv(files[0].parent / "tables" / "what_contacting_the_likeliest_first_finds.csv")
    assert {"Contacted", "Found", "Found low", "Found high", "Of all rows (%)"} <= set(table.columns)
    assert (table["Found low"] <= table["Found"]).all()
    assert "| Contacted |" in files[0].read_text(encoding="utf-8")
    rows = listed(tmp_path)
    assert len(rows) == 30
    assert rows[0]["id"].startswith("'=c6-")  # a spreadsheet runs nothing
    assert {"rank", "row", "probability", "expected_profit", "reasons", "sureness", "outcome"} <= set(rows[0])
    assert "odds ×" in rows[0]["reasons"]
    assert float(rows[0]["expected_profit"]) == pytest.approx(float(rows[0]["probability"]) * 20 - 2, abs=1e-4)


def test_the_same_is_written_again(bundle, tmp_path):
    frame, campaign = customers(200, seed=6), Campaign(capacity=5, cost=1, value=4)
    first, second = (
        [path.read_bytes() for path in write_insights(request_for(bundle, tmp_path, frame, campaign=campaign))]
        for _ in (0, 1)
    )
    assert first == second


def test_without_outcomes_what_needs_them_is_left_out_with_a_sentence(bundle, tmp_path):
    frame = customers(100, seed=6).drop(columns="left")
    said = write_insights(request_for(bundle, tmp_path, frame, campaign=Campaign(capacity=5)))[0].read_text(
        encoding="utf-8"
    )
    assert "name their column with `--target`" in said
    assert "Found" not in said.split("## ")[0]
    assert "outcome" not in listed(tmp_path)[0]
    assert "The likeliest rows are not always those that a contact changes most" in said


def test_outcomes_in_another_column_are_named(bundle, tmp_path):
    frame = customers(300, seed=6).rename(columns={"left": "gone"})
    said = write_insights(request_for(bundle, tmp_path, frame, target="gone"))[0].read_text(encoding="utf-8")
    assert "whose outcome is known" in said
    with pytest.raises(EvenhandError, match=r"no such column 'gome'.*'gone'"):
        write_insights(request_for(bundle, tmp_path, frame, target="gome"))


def test_texts_get_a_list_with_words_as_reasons(tmp_path):
    rng = np.random.default_rng(0)
    words = ["meeting", "tomorrow", "lunch", "report", "weather", "train"]
    spam = rng.random(200) < 0.3
    texts = [" ".join(rng.choice(words, 5)) + (" prize call now" if one else "") for one in spam]
    frame = pd.DataFrame({"message": texts, "label": np.where(spam, "spam", "ham")})
    task = Task(name="messages", load=lambda _: None, target="label", positive="spam", modality="text", text="message")
    made = bundle_of(tmp_path / "b", frame, task=task)
    write_insights(request_for(made, tmp_path, frame, campaign=Campaign(capacity=5)))
    assert any(word in listed(tmp_path)[0]["reasons"] for word in ("prize", "call", "now"))
    with pytest.raises(EvenhandError, match="no columns that could be changed"):
        write_insights(request_for(made, tmp_path, frame, actionable=("message",)))


def test_several_classes_have_no_list(tmp_path):
    frame = customers(300)
    frame["left"] = np.where(frame["left"] == "yes", "yes", np.where(frame["months"] > 40, "never", "no"))
    made = bundle_of(
        tmp_path / "b", frame, task=Task(name="three", load=lambda _: None, target="left", banned={"id": "-"})
    )
    files = write_insights(request_for(made, tmp_path, frame))
    assert [path.name for path in files] == ["insights.md", "insights.html"]
    assert "never" in files[0].read_text(encoding="utf-8")
    with pytest.raises(EvenhandError, match="predicts 3 classes"):
        write_insights(request_for(made, tmp_path, frame, campaign=Campaign(capacity=5)))
    assert json.loads((made.folder / "drivers.json").read_text(encoding="utf-8"))["columns"][0]["curve"] is None
    assert Path(made.folder).is_dir()


def test_no_interval_finds_more_than_was_contacted():
    y = np.array([1] * 200 + [0] * 1300)
    found = measure_gains(y, np.linspace(1, 0, 1500), Campaign(), 100, 0)
    hundred = next(one for one in found.table if one.contacted == 100)
    assert hundred.positives == 100
    assert hundred.high <= 100


def test_a_file_without_rows_is_refused_in_one_line(bundle, tmp_path):
    with pytest.raises(EvenhandError, match="holds no rows"):
        write_insights(request_for(bundle, tmp_path, customers().iloc[:0]))


def test_one_row_is_enough_for_what_needs_no_more(bundle, tmp_path):
    files = write_insights(request_for(bundle, tmp_path, customers(1, seed=8), campaign=Campaign(capacity=3)))
    assert len(listed(tmp_path)) == 1
    assert "odds ×" in listed(tmp_path)[0]["reasons"]  # compared with the typical row: it is its own average
    assert "of both classes" in files[0].read_text(encoding="utf-8")


def test_columns_of_few_rows_go_together_as_in_training_and_not_as_chance_has_it(bundle, tmp_path):
    few = customers(3, seed=8).assign(months=[1, 2, 60], plan=["month", "month", "two years"])
    found = make_contact_list(scored_rows_of(bundle, tmp_path, few), Campaign(capacity=3), 0)
    assert any(reason.startswith("plan = two years") for one in found.contacts for reason in one.reasons)
    assert not any(
        "×1)" in reason for one in found.contacts for reason in one.reasons
    )  # what changes nothing is no reason
    assert not any("months" in reason and "plan" in reason for one in found.contacts for reason in one.reasons)
    assert found.reference == "the typical row of training"


def test_names_from_the_data_are_text_and_nothing_else(bundle, tmp_path):
    frame = customers(40, seed=8)
    frame["id"] = [f"<img src=x onerror=alert({i})>|**x**" for i in range(40)]
    files = write_insights(request_for(bundle, tmp_path, frame, campaign=Campaign(capacity=3)))
    page = files[1].read_text(encoding="utf-8")
    assert "<img src=x" not in page
    assert "&lt;img src=x" in page
    assert "|**x**</td>" in page


def test_several_answers_about_a_category_are_one():
    """Not this and not that, of three levels that are all, is the third."""
    contract = Feature("Contract", "category", levels=("month", "two", "one"), shares=(0.5, 0.3, 0.2, 0.0, 0.0))
    plan = Feature("plan", "category", levels=("a", "b", "c"), shares=(0.3, 0.3, 0.3, 0.1, 0.0))
    levels = [(contract, "month"), (contract, "one"), (plan, "a"), (plan, "b")]
    questions = [TreeSplitQuestion(feature, level) for feature, level in levels]

    def describe(*answers: tuple[int, bool]) -> list[str]:
        return describe_tree_path([(position, answer, 0.5) for position, answer in answers], questions)

    assert describe((0, False), (1, False)) == ["Contract is two"]
    assert describe((2, False), (0, False), (3, False)) == ["plan is none of a, b", "Contract is not month"]
    assert describe((2, False), (3, True)) == ["plan is b"]
