"""Optimism, P(best) and power against scikit-learn, scipy, closed forms and simulation."""

import math
import shutil
from dataclasses import replace

import numpy as np
import pytest
from fixtures_across import rankings_of, scores_of
from fixtures_run import tumours, write_run
from scipy import stats
from sklearn.metrics import average_precision_score, brier_score_loss, f1_score, log_loss, roc_auc_score

from harness.evaluation.corrected_t import (
    POWER,
    PairedSpread,
    estimate,
    min_detectable_difference,
    power,
    repeats_needed,
    significant_pairs,
)
from harness.evaluation.ranking import rank
from harness.evaluation.reliability import (
    CACHE_NAME,
    RESAMPLES,
    best_probabilities,
    bootstrap_scores,
    draw_resamples,
    entry_optimism,
    optimism_gaps,
    selection_optimism,
)
from harness.evaluation.score_collection import collect_scores
from harness.metrics.classification import METRICS
from harness.metrics.metric import Metric, Predictions
from harness.report.content import Evidence, Figure
from harness.report.render.markdown import render_part
from harness.report.sections.protocol import coverage
from harness.report.sections.reliability import overview_parts, power_sentences, rivals, sections
from harness.store.store import Store

METRIC = {metric.name: metric for metric in METRICS}


@pytest.fixture(scope="module")
def evidence(full_run) -> Evidence:
    return evidence_of(full_run)


def evidence_of(store: Store, metrics: dict[str, Metric] = METRIC) -> Evidence:
    scores = collect_scores(store, metrics)
    return Evidence(store, scores, tuple(rank(scores, task) for task in scores.run["tasks"]))


def ranking_of(evidence: Evidence, task: str):
    return next(one for one in evidence.rankings if one.task == task)


def words(evidence: Evidence, task: str = "") -> str:
    parts = [part for section in sections(evidence) if section.task == task for part in section.parts]
    return "\n".join(render_part(part) for part in parts if not isinstance(part, Figure))


# Power: the corrected variance, the noncentral t, repeats


def test_with_five_folds_repeats_take_the_half_width_from_1_86_to_0_98_deviations_at_best():
    assert PairedSpread(1.0, 5, 0.25).min_significant == pytest.approx(1.86, abs=0.005)
    assert PairedSpread(1.0, 5_000_000, 0.25).min_significant == pytest.approx(0.98, abs=0.005)
    assert PairedSpread(1.0, 5_000_000, 0.25).min_significant == pytest.approx(
        stats.norm.ppf(0.975) * math.sqrt(0.25), rel=1e-5
    )


def test_the_half_width_is_that_of_the_estimate():
    values = [0.1, 0.3, 0.2, 0.5, 0.2]
    assert PairedSpread(float(np.std(values, ddof=1)), 5, 0.25).min_significant == pytest.approx(
        estimate(values, 0.25).ci_half_width
    )


@pytest.mark.parametrize(("n", "tests"), [(3, 1), (5, 1), (10, 45), (50, 10)])
@pytest.mark.parametrize("shift", [0.5, 3.0, 6.0])
def test_power_is_the_noncentral_t(n, tests, shift):
    spread = PairedSpread(2.0, n, 1 / 4, tests)
    limit = stats.t.isf(0.025 / tests, n - 1)
    expected = stats.nct.sf(limit, n - 1, shift) + stats.nct.cdf(-limit, n - 1, shift)
    assert power(shift * spread.error, spread) == pytest.approx(expected, abs=1e-5)


def test_power_holds_far_in_the_tails_where_scipy_gives_nothing():
    spread = PairedSpread(1.0, 5, 0.25, 66)
    rng = np.random.default_rng(0)
    t = (8 + rng.normal(size=400_000)) / np.sqrt(rng.chisquare(4, 400_000) / 4)
    simulated = (np.abs(t) > stats.t.isf(0.025 / 66, 4)).mean()
    assert power(8 * spread.error, spread) == pytest.approx(simulated, abs=0.004)


@pytest.mark.parametrize(("n", "tests"), [(3, 1), (3, 190), (5, 66), (25, 5000)])
def test_what_is_detectable_has_the_power_wanted(n, tests):
    spread = PairedSpread(0.3, n, 1 / 4, tests)
    assert power(min_detectable_difference(spread), spread) == pytest.approx(POWER)
    assert power(0.0, spread) == pytest.approx(0.05 / tests, rel=1e-2)


def test_a_textbook_sample_size():
    """Cohen (1988, table 2.4.1): a paired test of d = 0.5 at 5 % needs 34 pairs for a power of 80 %."""
    assert power(0.5, PairedSpread(1.0, 34, 0.0)) > 0.8 > power(0.5, PairedSpread(1.0, 33, 0.0))


def test_two_splits_could_detect_nothing():
    assert math.isnan(min_detectable_difference(PairedSpread(1.0, 2, 0.5)))
    assert math.isnan(power(1.0, PairedSpread(1.0, 2, 0.5)))


@pytest.mark.parametrize("tests", [1, 30])
@pytest.mark.parametrize("difference", [4.0, 1.7, 1.2, 1.0, 0.99])
def test_repeats_needed_are_the_first_that_suffice(difference, tests):
    spread = PairedSpread(1.0, 5, 0.25, tests)
    found = repeats_needed(difference, spread, 5)
    enough = [r for r in range(1, 2000) if difference > PairedSpread(1.0, 5 * r, 0.25, tests).min_significant]
    assert found == (enough[0] if enough else None)
    assert repeats_needed(-difference, spread, 5) == found


def test_below_the_asymptote_no_number_of_repeats_would_do():
    spread, edge = PairedSpread(1.0, 5, 0.25), 0.98 * 1.0
    assert repeats_needed(0.97 * edge, spread, 5) is None
    assert repeats_needed(1.02 * edge, spread, 5) is not None
    assert repeats_needed(0.97 * edge, replace(spread, ratio=0.0), 5) is not None  # samples that share nothing


def test_one_fold_repeated_needs_three_of_them():
    assert repeats_needed(1000.0, PairedSpread(1.0, 3, 0.25), 1) == 3


# P(best): resamples


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_every_metric_on_resamples_is_the_metric_of_the_resampled_rows(metric, classes):
    rng = np.random.default_rng(classes)
    y = np.append(np.arange(classes), rng.integers(0, classes, 150))
    proba = rng.dirichlet(np.ones(classes), len(y)).round(2)  # many rows of one score
    costs = tuple(tuple(float(a != b) * (a + 1) for b in range(classes)) for a in range(classes))
    seen = Predictions(y, proba.astype(np.float32), 0.4 if classes == 2 else None, costs)
    counts = draw_resamples(y, 8, seed=1)
    found = bootstrap_scores(metric, seen, counts)
    for line, figure in zip(counts, found, strict=True):
        rows = np.repeat(np.arange(len(y)), line)
        again = metric.compute(Predictions(y[rows], seen.proba[rows], seen.threshold, costs))
        assert figure == pytest.approx(again, abs=1e-6, nan_ok=True)


def test_resampled_metrics_are_those_of_scikit_learn_with_weights():
    rng = np.random.default_rng(5)
    y = rng.integers(0, 2, 200)
    score = np.clip(rng.normal(0.3 + 0.3 * y, 0.3), 0.01, 0.99).round(2)
    seen = Predictions(y, np.column_stack([1 - score, score]), 0.5)
    counts = draw_resamples(y, 5, seed=2)
    for name, theirs in (
        ("average_precision", lambda w: average_precision_score(y, score, sample_weight=w)),
        ("roc_auc", lambda w: roc_auc_score(y, score, sample_weight=w)),
        ("brier", lambda w: brier_score_loss(y, score, sample_weight=w)),
        ("log_loss", lambda w: log_loss(y, score, sample_weight=w)),
        ("f1", lambda w: f1_score(y, score >= 0.5, sample_weight=w)),
        ("accuracy", lambda w: np.average((score >= 0.5) == y, weights=w)),
    ):
        assert bootstrap_scores(METRIC[name], seen, counts) == pytest.approx([theirs(line) for line in counts])


def test_a_resample_has_as_many_rows_of_each_class_and_draws_them_evenly():
    y = np.repeat([0, 1, 2], [40, 10, 1])
    counts = draw_resamples(y, 4000, seed=3)
    assert (counts[:, y == 0].sum(axis=1) == 40).all()
    assert (counts[:, y == 1].sum(axis=1) == 10).all()
    assert (counts[:, y == 2] == 1).all()
    assert counts[:, y == 0].mean(axis=0) == pytest.approx(np.ones(40), abs=0.08)
    assert counts[:, 0].var() == pytest.approx(1 - 1 / 40, abs=0.08)  # binomial: 40 draws of one in 40
    assert (draw_resamples(y, 3, seed=3) == draw_resamples(y, 3, seed=3)).all()


def test_many_rows_are_worked_on_in_parts(monkeypatch):
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 100)
    seen, counts = Predictions(y, np.column_stack([1 - y * 0.3, y * 0.3]), 0.2), draw_resamples(y, 20, seed=4)
    whole = bootstrap_scores(METRIC["roc_auc"], seen, counts)
    monkeypatch.setattr("harness.evaluation.reliability.BATCH_SIZE", 300)
    assert (bootstrap_scores(METRIC["roc_auc"], seen, counts) == whole).all()


def test_shares_are_those_of_counting_winners_row_by_row(evidence):
    """The whole of it done again with the metric itself, resample by resample."""
    ranking = ranking_of(evidence, "three_digits")
    found = best_probabilities(evidence.store, evidence.scores, (ranking,))["three_digits"]
    places = [place for place in ranking.entries if place.entry in found.entries]
    assert [place.entry for place in places] == list(found.entries)
    records = {record.id: record for record in evidence.store.records()}
    from harness.seeding import seed_of

    totals = np.zeros((len(places), 20))
    for at, split in enumerate(places[0].rows.splits):
        stored = [evidence.store.predictions(records[place.rows.score_keys[at][0]]) for place in places]
        counts = draw_resamples(stored[0].test_y, RESAMPLES, seed_of("P(best)", "three_digits", *split))[:20]
        for line, place, said in zip(totals, places, stored, strict=True):
            for b, drawn in enumerate(counts):
                rows = np.repeat(np.arange(len(drawn)), drawn)
                line[b] += METRIC["roc_auc"].compute(Predictions(said.test_y[rows], said.test[place.entry.stage][rows]))
    assert sum(found.shares) == pytest.approx(1.0)
    close = np.abs(np.bincount(totals.argmax(axis=0), minlength=len(places)) / 20 - found.shares)
    assert (close < 3 * math.sqrt(0.25 / 20)).all()


def test_shares_are_kept_and_computed_anew_where_predictions_have_changed(tmp_path):
    store = write_run(tmp_path / "run", [tumours()])
    evidence = evidence_of(store)
    first = best_probabilities(store, evidence.scores, evidence.rankings)
    kept = (store.folder / "derived" / CACHE_NAME).read_bytes()
    assert best_probabilities(store, evidence.scores, evidence.rankings) == first
    assert (store.folder / "derived" / CACHE_NAME).read_bytes() == kept
    shutil.rmtree(store.folder / "derived")
    assert best_probabilities(store, evidence.scores, evidence.rankings) == first
    best = evidence.rankings[0].best.entry
    for record in store.records():
        if (record.family, record.strategy) == (best.family, best.strategy):
            said = store.predictions(record)
            turned = {stage: proba[:, ::-1].copy() for stage, proba in said.test.items()}
            store.write_cell(record, replace(said, test=turned))
    changed = evidence_of(store)
    after = best_probabilities(store, changed.scores, changed.rankings)["tumours"]
    assert after.shares[after.entries.index(best)] == 0


def test_predictions_that_were_spoilt_cost_a_sentence_and_no_more(tmp_path):
    store = write_run(tmp_path / "run", [tumours()])
    evidence_of(store)
    for record in store.records():
        (store.cell_folder(record.id) / "predictions.npz").write_bytes(b"spoilt")
    said = words(evidence_of(store), "tumours")
    assert "predictions cannot be read any more" in said
    assert "stays first" not in said


def test_of_a_metric_of_which_less_is_better_the_least_wins(tmp_path):
    store = write_run(tmp_path / "run", [tumours(objective="log_loss")])
    evidence = evidence_of(store)
    found = best_probabilities(store, evidence.scores, evidence.rankings)["tumours"]
    assert found.entries[0] == evidence.rankings[0].best.entry
    assert found.shares[0] == max(found.shares)


def test_only_the_first_places_are_resampled_and_the_report_says_so(evidence, tmp_path, monkeypatch):
    shutil.copytree(evidence.store.folder, tmp_path / "copy")
    copied = replace(evidence, store=Store(tmp_path / "copy"))
    monkeypatch.setattr("harness.evaluation.reliability.MAX_ENTRIES", 2)
    found = best_probabilities(copied.store, copied.scores, copied.rankings)["tumours"]
    ranked = [p.entry for p in ranking_of(evidence, "tumours").entries if p.rank]
    assert found.entries == tuple(ranked[:2])
    assert found.n_omitted == len(ranked) - 2
    assert f"{found.n_omitted} were not" in words(copied, "tumours")


# Optimism


def test_beliefs_are_inner_minus_outer_scores_of_the_records(evidence):
    ranking = ranking_of(evidence, "tumours")
    one = next(
        b for b in entry_optimism(evidence.scores, ranking) if b.entry[:3] == ("logistic_regression", "none", "tuned")
    )
    cells = [r for r in evidence.store.records() if (r.task, r.family, r.strategy) == ("tumours", *one.entry[:2])]
    inner = [next(o for o in cell.outcomes if o.stage == "tuned").inner_score for cell in cells]
    outer = []
    for cell in cells:
        said = evidence.store.predictions(cell)
        outer.append(average_precision_score(said.test_y, said.test["tuned"][:, 1]))
    assert one.gap.mean == pytest.approx(np.mean(inner) - np.mean(outer), abs=1e-6)
    assert one.trials == 3
    assert not any(b.entry.family == "majority" for b in entry_optimism(evidence.scores, ranking))


def test_too_much_belief_is_positive_whichever_way_the_metric_goes(tmp_path):
    store = write_run(tmp_path / "run", [tumours(objective="log_loss")])
    for record in store.records():  # a search that believed in a log loss of nothing
        outcomes = tuple(replace(outcome, inner_score=0.0) for outcome in record.outcomes)
        store.write_cell(replace(record, outcomes=outcomes), store.predictions(record))
    evidence = evidence_of(store)
    found = [b for b in entry_optimism(evidence.scores, evidence.rankings[0]) if b.entry.stage in ("default", "tuned")]
    assert found
    assert all(one.gap.mean == pytest.approx(one.outer) and one.outer > 0 for one in found)


def test_what_choosing_added_is_the_difference_of_the_stages(evidence):
    ranking = ranking_of(evidence, "tumours")
    found = selection_optimism(evidence.scores, ranking)
    assert found.difference.mean == pytest.approx(found.tuned.mean - found.default.mean)
    tuned = [b for b in entry_optimism(evidence.scores, ranking) if b.entry.stage == "tuned"]
    assert found.pairs == len(tuned)
    assert found.tuned.mean == pytest.approx(np.mean([b.gap.mean for b in tuned]))


def test_choosing_among_trials_of_pure_luck_is_found_out():
    """The best of k scores that are all noise is too good by the expected maximum of k normal draws."""
    rng, trials, noise = np.random.default_rng(2), 20, 0.05
    inner = (0.8 + noise * rng.normal(size=(4000, trials))).max(axis=1)
    ranking = type("Ranked", (), {"metric": METRIC["roc_auc"]})
    found = optimism_gaps(ranking, {"inner": inner, "roc_auc": np.full(4000, 0.8)}).mean()
    expected = noise * stats.norm.expect(lambda x: x * trials * stats.norm.cdf(x) ** (trials - 1))
    assert found == pytest.approx(expected, rel=0.02)


# The first against the others, and the words


def test_rivals_agree_with_what_the_ranking_tells_apart(evidence):
    ranking = ranking_of(evidence, "tumours")
    complete = [place for place in ranking.entries if place.complete]
    figures = np.array([place.rows["average_precision"] for place in complete])
    apart = significant_pairs(figures, complete[0].rows.mean("ratio"))
    first = complete.index(ranking.best)
    for one in rivals(evidence.scores, ranking):
        assert one.spread.tests == len(complete) * (len(complete) - 1) // 2
        strict = abs(one.difference.mean) > one.spread.min_significant
        assert not strict or apart[first, complete.index(one.ranked)]
        assert one.ranked.tied == (not apart[first, complete.index(one.ranked)])
        if one.ranked.tied and one.repeats_alone is not None and one.repeats_among_all is not None:
            assert one.repeats_alone <= one.repeats_among_all


@pytest.mark.parametrize("task", ["one_split", "later_rows", "three_digits", "tumours"])
def test_every_task_has_sentences(evidence, task):
    said = words(evidence, task)
    assert "stays first in" in said
    assert ("What difference could have been significant is not known" in said) == (task in ("one_split", "later_rows"))
    assert "nan" not in said.lower().replace("finance", "")


def test_on_noise_the_majority_row_takes_part_and_only_who_is_first_stays_first(tmp_path):
    task = tumours(objective="log_loss")
    noise = replace(task, y=np.random.default_rng(0).permutation(task.y))
    evidence = evidence_of(write_run(tmp_path / "run", [noise]))
    assert evidence.rankings[0].best.entry.family == "majority"
    firm = best_probabilities(evidence.store, evidence.scores, evidence.rankings)["tumours"]
    assert firm.entries[0] == evidence.rankings[0].best.entry
    said = words(evidence, "tumours")
    assert "**majority/none/tuned** stays first in" in said
    assert "some entry of majority" not in said
    second = next(place for place in evidence.rankings[0].entries if place.rank == 2)
    assert f"The second, {second.entry.name}, is" in said


def test_a_majority_row_in_the_second_place_is_no_rival_and_is_named(tmp_path):
    figures = {
        ("majority", "none"): [0.6, 0.6, 0.6],
        ("xgb", "none"): [0.7, 0.71, 0.72],
        ("net", "none"): [0.5, 0.52, 0.51],
    }
    scores = scores_of(
        {"one": figures, "two": {name: values for name, values in figures.items() if name[0] != "majority"}}
    )
    scores = replace(scores, run={**scores.run, "protocol": {"repeats": 1}})
    rankings = rankings_of(scores)
    against = rivals(scores, rankings[0])
    assert power_sentences(rankings[0], against)[1].startswith(
        "The baseline is second; the next, net/none/tuned, is 0.2"
    )
    assert power_sentences(rankings[1], rivals(scores, rankings[1]))[1].startswith("The second, net/none/tuned, is 0.2")
    assert "itself second on one, is passed over there" in overview_parts(scores, rankings, {})[-1]


def test_over_several_tasks_there_is_a_line_for_each(evidence):
    said = words(evidence)
    for task in ("tumours", "three_digits", "one_split", "later_rows"):
        assert said.count(f"| {task} ") >= 2  # the overview, and the coverage


def test_a_task_where_nothing_is_ok_is_in_the_coverage_alone(tmp_path):
    failed = {
        ("tumours", family, strategy, fold): ("failed", "no")
        for family in ("majority", "logistic_regression", "bayes")
        for strategy in ("none", "class_weight", "searched")
        for fold in range(4)
    }
    evidence = evidence_of(write_run(tmp_path / "run", [tumours()], failed))
    (row,) = coverage(evidence.scores).rows
    assert row[-1] == 0
    assert all(section.task == "" for section in sections(evidence))


def test_coverage_counts_every_planned_cell(evidence):
    table = coverage(evidence.scores)
    names = [column.heading for column in table.columns]
    for row in table.rows:
        counts = dict(zip(names, row, strict=True))
        assert sum(counts[name] for name in names[2:-1]) == counts["Cells"]
        assert counts["Covered"] == counts["ok"] / counts["Cells"]


def test_pictures_are_drawn_from_plain_values_and_are_the_same_each_time(evidence):
    pictures = [p for section in sections(evidence) for p in section.parts if isinstance(p, Figure)]
    assert {picture.name for picture in pictures} >= {"tumours.honesty", "one_split.honesty"}
    assert "array(" not in repr([picture.draw.args for picture in pictures])
    drawn = pictures[0].draw()
    assert drawn == pictures[0].draw()
    assert drawn["png"].startswith(b"\x89PNG")
    for picture in pictures[1:]:
        assert picture.draw()["svg"]
