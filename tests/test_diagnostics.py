"""What predictions show of a task: curves against scikit-learn and by hand, sentences, pictures, what is missing."""

import math
import re
import shutil
import warnings
from dataclasses import replace

import numpy as np
import pytest
from fixtures_run import SmallTask, three_digits, tumours, write_run
from scipy.stats import binomtest
from sklearn.calibration import calibration_curve
from sklearn.metrics import (
    average_precision_score,
    classification_report,
    confusion_matrix,
    f1_score,
    precision_score,
    recall_score,
    roc_auc_score,
)

from harness.evaluation.calibration_bins import reliability_bins
from harness.evaluation.curves import (
    RECALLS,
    THRESHOLDS,
    SplitPredictions,
    clipped_logit,
    diagnose_predictions,
    expit,
    mean_curve,
)
from harness.evaluation.diagnosis import CACHE_NAME, best_of_families, diagnose_entry, select_entries_for_details
from harness.evaluation.ranking import rank_entries
from harness.evaluation.score_collection import collect_scores
from harness.metrics.classification import METRICS
from harness.report.content import Evidence, Figure
from harness.report.figures.curves import axis_position
from harness.report.figures.style import MAX_NAME_LENGTH, shorten_name
from harness.report.render.markdown import render_markdown_part
from harness.report.sections import diagnostics_text as words
from harness.report.sections.diagnostics import (
    DECISIONS_TITLE,
    MAX_DETAILED_TASKS,
    PROBABILITIES_TITLE,
    RANKING_TITLE,
    make_diagnostic_sections,
)
from harness.store.store import Store

METRIC = {metric.name: metric for metric in METRICS}
HOSTILE = ("<b>$x_1$|", "a very long name of a class\nthat nobody can read in a picture `*_")


def evidence(store):
    scores = collect_scores(store, METRIC)
    return Evidence(store, scores, tuple(rank_entries(scores, task) for task in scores.run["tasks"]))


@pytest.fixture(scope="module")
def everywhere(full_run):
    return evidence(full_run)


@pytest.fixture(scope="module")
def told(everywhere):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return make_diagnostic_sections(everywhere)


def of_task(told, task):
    return {section.title: section for section in told if section.task == task}


def text(section):
    return "\n\n".join(render_markdown_part(part) for part in section.parts if not isinstance(part, Figure))


def pictures(section):
    return {part.name.rpartition(".")[2]: part for part in section.parts if isinstance(part, Figure)}


def weightless(task):
    """Naive Bayes has no weights for more than two classes here."""
    return {(task, "bayes", "class_weight", fold): ("inapplicable", "two classes only") for fold in range(4)}


def two_classes(score):
    score = np.asarray(score, dtype=float)
    return np.column_stack([1 - score, score])


def noisy(n=400, seed=0, share=0.3):
    random = np.random.default_rng(seed)
    y = (random.random(n) < share).astype(np.int64)
    return y, two_classes(expit(random.normal(y * 1.5 - 1, 1).round(1)))


# --- curves ---------------------------------------------------------------------------------------------------------


def test_a_tiny_case_by_hand():
    # In the order of the scores: yes, no, yes, no.
    found = diagnose_predictions([SplitPredictions(np.array([1, 0, 1, 0]), two_classes([0.9, 0.8, 0.7, 0.1]))], 1, None)
    ranks = found.rank_curves
    assert ranks.roc.spread == ()  # one split
    for alarms, share in zip(ranks.roc.x, ranks.roc.mean, strict=True):
        assert share == (0.5 if alarms < 0.5 else 1.0)  # up, right, up, right
    for recall, precision in zip(ranks.precision.x, ranks.precision.mean, strict=True):
        assert precision == pytest.approx(1.0 if recall <= 0.5 else 2 / 3, abs=1e-3)  # no line between the two
    gain = dict(zip(ranks.gain.x, ranks.gain.mean, strict=True))
    assert (gain[0], gain[0.26], gain[0.5], gain[1]) == (0, 0.5, 0.5, 1)
    assert (ranks.roc_auc, ranks.prevalence, found.observed, found.predicted) == (0.75, 0.5, 0.5, 0.625)


def test_areas_below_mean_curves_are_the_means_of_the_areas():
    splits = [SplitPredictions(*noisy(seed=seed)) for seed in range(5)]
    ranks = diagnose_predictions(splits, 1, None).rank_curves
    aucs = [roc_auc_score(y, proba[:, 1]) for y, proba, _ in splits]
    aps = [average_precision_score(y, proba[:, 1]) for y, proba, _ in splits]
    assert ranks.roc_auc == pytest.approx(np.mean(aucs), abs=1e-4)
    assert ranks.average_precision == pytest.approx(np.mean(aps), abs=1e-4)
    assert np.trapezoid(ranks.roc.mean, ranks.roc.x) == pytest.approx(np.mean(aucs), abs=5e-3)
    assert np.trapezoid(ranks.precision.mean, ranks.precision.x) == pytest.approx(np.mean(aps), abs=5e-3)
    assert len(ranks.roc.x) <= 200
    assert max(ranks.roc.spread) > 0


def test_precision_at_a_recall_is_that_of_the_first_threshold_that_reaches_it():
    y, proba = noisy(n=30)
    found = diagnose_predictions([SplitPredictions(y, proba)], 1, None).rank_curves.precision
    for recall, precision in zip(RECALLS[1:], found.mean[1:], strict=True):
        reached = [t for t in np.unique(proba[:, 1]) if recall_score(y, proba[:, 1] >= t) >= recall - 1e-9]
        assert precision == pytest.approx(precision_score(y, proba[:, 1] >= max(reached)), abs=1e-4)


def test_a_band_is_the_mean_and_standard_deviation_where_half_of_the_splits_have_values():
    nan = math.nan
    found = mean_curve(
        np.array([0.0, 1.0, 2.0]), [np.array([1.0, 1.0, nan]), np.array([3.0, nan, nan]), np.array([5.0, 2, 1])]
    )
    assert found.mean == pytest.approx((3, 1.5, nan), nan_ok=True)
    assert found.spread == pytest.approx((2, round(math.sqrt(0.5), 6), nan), nan_ok=True)


def test_the_sweep_is_what_scikit_learn_says_at_each_threshold():
    costs = [[0, 1], [7, -1]]
    y, proba = noisy()
    score = proba[:, 1] = np.clip(proba[:, 1], 0.1, 0.8)
    sweep = diagnose_predictions([SplitPredictions(y, proba)], 1, costs).sweep
    for at, threshold in enumerate(THRESHOLDS):
        called = score >= threshold
        counts = confusion_matrix(y, called)
        assert sweep.cost.mean[at] == pytest.approx((counts * costs).sum() / len(y), abs=1e-4)
        assert sweep.recall.mean[at] == pytest.approx(recall_score(y, called), abs=1e-4)
        assert sweep.f1.mean[at] == pytest.approx(f1_score(y, called), abs=1e-4)
        if called.any():
            assert sweep.precision.mean[at] == pytest.approx(precision_score(y, called), abs=1e-4)
        else:
            assert math.isnan(sweep.precision.mean[at])
    assert diagnose_predictions([SplitPredictions(y, proba)], 1, None).sweep.cost is None


def test_bins_hold_equally_many_rows_and_have_wilson_intervals():
    random = np.random.default_rng(0)
    score = random.random(1000)
    so = random.random(1000) < score
    bins = reliability_bins(so, score)
    assert [one.rows for one in bins] == [100] * 10
    order = np.argsort(score)
    for at, one in enumerate(bins):
        rows = order[100 * at : 100 * at + 100]
        wide = binomtest(int(so[rows].sum()), 100).proportion_ci(method="wilson")
        expected = (score[rows].mean(), so[rows].mean(), wide.low, wide.high)
        assert one[:4] == pytest.approx(expected, abs=1e-4)
    assert sum(one.low <= one.predicted <= one.high for one in bins) >= 8


@pytest.mark.parametrize(("n", "bins"), [(61, 3), (64, 3), (124, 6), (148, 7), (500, 10)])
def test_bins_are_scikit_learns_also_where_scores_lie_on_their_edges(n, bins):
    for seed in range(20):
        random = np.random.default_rng(seed)
        score = random.integers(0, 2 + seed % 6, n) / (2 + seed % 6)
        so = random.random(n) < score
        was, said = calibration_curve(so.astype(int), score, n_bins=bins, strategy="quantile")
        found = reliability_bins(so, score)
        assert [one.predicted for one in found] == pytest.approx(said.tolist(), abs=1e-4)
        assert [one.observed for one in found] == pytest.approx(was.tolist(), abs=1e-4)
        assert sum(one.rows for one in found) == n


def test_repeats_make_no_interval_narrower():
    random = np.random.default_rng(0)
    score = random.random(500)
    so = random.random(500) < score
    once, thrice = reliability_bins(so, score), reliability_bins(np.tile(so, 3), np.tile(score, 3), repeats=3)
    assert [one.rows * 3 for one in once] == [one.rows for one in thrice]
    for one, other in zip(once, thrice, strict=True):
        assert one[:4] == pytest.approx(other[:4], abs=1e-3)


def test_equal_scores_are_one_bin():
    (only,) = reliability_bins(np.arange(100) < 7, np.full(100, 0.07))
    assert (only.predicted, only.observed, only.rows) == (0.07, 0.07, 100)


def test_log_odds_are_cut_at_both_ends():
    assert clipped_logit(np.array([0.0, 0.5, 1.0])) == pytest.approx([-7, 0, 7])
    assert expit(clipped_logit(np.array([0.01, 0.9]))) == pytest.approx([0.01, 0.9])
    for score in (0.0, 0.2, 1.0):
        assert axis_position(score, log_odds=True) == pytest.approx(float(clipped_logit(np.array([score]))[0]))
        assert axis_position(score, log_odds=False) == score


@pytest.mark.parametrize("classes", [2, 3])
def test_curves_of_weighted_rows_are_those_of_repeated_rows(classes):
    random = np.random.default_rng(5)
    y, weights = np.arange(120) % classes, random.integers(1, 4, 120)
    proba = random.dirichlet(np.ones(classes), 120).round(1) + 0.5 * np.eye(classes)[y]
    proba /= proba.sum(axis=1, keepdims=True)
    copies = np.repeat(np.arange(120), weights)
    costs = [[0, 1], [7, -1]] if classes == 2 else None
    weighted = diagnose_predictions([SplitPredictions(y, proba, weights.astype(float))], 1, costs)
    repeated = diagnose_predictions([SplitPredictions(y[copies], proba[copies])], 1, costs)
    for name in ("rank_curves", "classes", "predicted", "observed", "sweep", "sweep_log_odds", "scores", "log_odds"):
        flat = [np.array(flatten(getattr(found, name))) for found in (weighted, repeated)]
        assert flat[0] == pytest.approx(flat[1], abs=2e-6, nan_ok=True), name
    assert (weighted.weighted, repeated.weighted) == (True, False)


def flatten(values):
    """All numbers of nested tuples."""
    if values is None:
        return []
    if not isinstance(values, tuple):
        return [float(values)]
    return [number for value in values for number in flatten(value)]


def test_bins_of_weighted_rows_have_weighted_shares_and_wider_intervals():
    score, so = np.full(100, 0.3), np.arange(100) < 30
    (plain,) = reliability_bins(so, score)
    (equal,) = reliability_bins(so, score, weights=np.full(100, 2.5))
    (uneven,) = reliability_bins(so, score, weights=np.where(so, 3.0, 1.0))
    assert plain == equal
    assert uneven.observed == pytest.approx(90 / 160, abs=1e-6)
    assert uneven.high - uneven.low > plain.high - plain.low
    assert uneven.rows == 100


def test_several_classes_are_each_against_the_rest_and_their_mean():
    random = np.random.default_rng(1)
    y = np.arange(300) % 3
    proba = random.dirichlet(np.ones(3), 300) + 0.5 * np.eye(3)[y]
    proba /= proba.sum(axis=1, keepdims=True)
    found = diagnose_predictions([SplitPredictions(y, proba)], 1, None)
    assert found.rank_curves.roc_auc == pytest.approx(roc_auc_score(y, proba, multi_class="ovr"), abs=1e-4)
    assert found.classes[2].roc_auc == pytest.approx(roc_auc_score(y == 2, proba[:, 2]), abs=1e-4)
    assert found.sweep is None
    assert found.observed == pytest.approx((proba.argmax(axis=1) == y).mean(), abs=1e-4)


def test_a_split_of_one_class_has_no_curve_and_no_warning():
    y, proba = noisy()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = diagnose_predictions([SplitPredictions(y, proba), SplitPredictions(np.zeros_like(y), proba)], 1, None)
        none = diagnose_predictions([SplitPredictions(np.zeros_like(y), proba)], 1, None)
    assert (found.splits, found.rank_curves.splits) == (2, 1)
    assert found.rank_curves.roc == diagnose_predictions([SplitPredictions(y, proba)], 1, None).rank_curves.roc
    assert none.rank_curves is None
    assert none.sweep is None


# --- which entries --------------------------------------------------------------------------------------------------


def test_shown_is_the_best_tuned_entry_of_each_family(everywhere):
    for ranking in everywhere.rankings:
        places = best_of_families(ranking)
        assert {place.entry.family for place in places} == {"logistic_regression", "bayes"}
        for place in places:
            rivals = [p for p in ranking.entries if p.entry.family == place.entry.family and p.entry.stage == "tuned"]
            assert place == rivals[0]
        detail = select_entries_for_details(ranking, places[0])
        assert detail[-1].entry.strategy == "none"
        assert {place.entry.family for place in detail} == {places[0].entry.family}


def test_what_was_kept_is_the_same_as_what_is_computed(everywhere):
    ranking = everywhere.rankings[0]
    place = best_of_families(ranking)[0]
    seen, row = diagnose_entry(everywhere.store, everywhere.scores, ranking, place, {})
    again, same = diagnose_entry(everywhere.store, everywhere.scores, ranking, place, row)
    assert repr(again) == repr(seen)
    assert same == row


def test_a_second_report_reads_no_predictions(everywhere, told, tmp_path):
    shutil.copytree(everywhere.store.folder, tmp_path / "run")
    store = Store(tmp_path / "run")
    for file in store.folder.glob("cells/*/predictions.npz"):
        file.unlink()
    assert repr(make_diagnostic_sections(replace(everywhere, store=store))) == repr(told)
    (store.folder / "derived" / CACHE_NAME).write_bytes(b"broken")
    (first, *_) = make_diagnostic_sections(replace(everywhere, store=store))
    assert "is not shown: cannot read" in text(first)


# --- words ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("share", "said"),
    [
        (0, "0"),
        (0.0001, "fewer than 0.1"),
        (0.004, "0.4"),
        (0.623, "62"),
        (0.994, "99.4"),
        (0.9999, "more than 99.9"),
        (1, "100"),
    ],
)
def test_shares_are_rows_of_100(share, said):
    assert words.format_per_hundred(share) == said


def test_a_task_has_three_sections(told):
    assert [section.title for section in told if section.task == "tumours"] == [
        RANKING_TITLE,
        DECISIONS_TITLE,
        PROBABILITIES_TITLE,
    ]


def test_sentences_say_what_predictions_say(everywhere, told):
    ranking = next(one for one in everywhere.rankings if one.task == "tumours")
    first = best_of_families(ranking)[0]
    counts = everywhere.scores.pooled_confusion("tumours", first.entry, "tuned")
    right, found = (words.format_per_hundred(counts[1, 1] / total) for total in (counts[:, 1].sum(), counts[1].sum()))
    decides = text(of_task(told, "tumours")[DECISIONS_TITLE])
    assert (
        f"{right} of 100 rows predicted Yes are (precision), and {found} of 100 that are Yes are found (recall)"
        in decides
    )
    assert f"ROC AUC {first.rows.mean('roc_auc'):.3f}" in text(of_task(told, "tumours")[RANKING_TITLE])
    costs = everywhere.scores.score_rows_of_entry("tumours", first.entry, "tuned").mean("expected_cost")
    assert (
        f"costs {everywhere.scores.score_rows_of_entry('tumours', first.entry, 'half').mean('expected_cost'):.3f} at 0.5"
        in decides
    )
    assert f"{costs:.3f} at the tuned threshold" in decides


def test_the_class_report_is_that_of_scikit_learn(everywhere, told):
    ranking = next(one for one in everywhere.rankings if one.task == "three_digits")
    first = best_of_families(ranking)[0]
    records = {cell.record.id: cell.record for cell in everywhere.scores.cells if cell.record}
    f1 = []
    for cell, stage, _ in first.rows.score_keys:
        seen = everywhere.store.read_predictions(records[cell])
        report = classification_report(seen.test_y, seen.test[stage].argmax(axis=1), output_dict=True)
        f1.append(report["1"]["f1-score"])
    table = text(of_task(told, "three_digits")[DECISIONS_TITLE])
    assert re.search(rf"\| 8 +\|.*{np.mean(f1):.3f} ± {np.std(f1, ddof=1):.3f}", table)


def test_rows_that_count_more_than_once_are_said(everywhere):
    ranking = everywhere.rankings[0]
    shown, _ = diagnose_entry(everywhere.store, everywhere.scores, ranking, best_of_families(ranking)[0], {})
    assert "repeats" not in words.describe_counted_rows(shown)
    twice = replace(shown, diagnosis=shown.diagnosis._replace(repeats=2))
    assert "with 2 repeats every row counts 2 times" in words.describe_counted_rows(twice)


def test_confused_pairs_come_in_order():
    counts = np.array([[9, 1, 0], [0, 5, 5], [2, 0, 8]])
    table = words.tabulate_confused_pairs(counts, ["a", "b", "c|"])
    assert table.rows == (("b", "c|", 5, 50.0), ("c|", "a", 2, 20.0), ("a", "b", 1, 10.0))
    assert words.tabulate_confused_pairs(np.eye(3, dtype=np.int64), ["a", "b", "c"]).rows == ()


def test_one_split_and_splits_that_follow_time_are_said(told):
    assert "one split only, so there are no bands" in text(of_task(told, "one_split")[RANKING_TITLE])
    assert "the splits follow time" in text(of_task(told, "later_rows")[RANKING_TITLE])
    assert "no confidence intervals." in text(of_task(told, "tumours")[RANKING_TITLE])


def test_missing_splits_are_said(tmp_path):
    lost = {("tumours", "bayes", strategy, 1): ("timeout", "took too long") for strategy in ("none", "class_weight")}
    lost |= {("tumours", "bayes", "searched", fold): ("timeout", "took too long") for fold in range(4)}
    told = make_diagnostic_sections(evidence(write_run(tmp_path / "run", [tumours()], lost)))
    assert re.search(r"Not all 4 splits are there for bayes/\w+/tuned \(3\)", text(told[0]))


def test_nothing_but_the_majority_row_is_a_sentence(tmp_path):
    lost = {
        ("tumours", family, strategy, fold): ("failed", "ValueError: no")
        for family in ("bayes", "logistic_regression")
        for strategy in ("none", "class_weight", "searched")
        for fold in range(4)
    }
    (only,) = make_diagnostic_sections(evidence(write_run(tmp_path / "run", [tumours()], lost)))
    assert only.parts == ("No tuned entry of this task has predictions, so there are no curves.",)


# --- pictures -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", ["tumours", "three_digits", "one_split", "later_rows"])
def test_every_picture_is_drawn_without_a_warning_from_plain_values(told, task):
    found = [picture for section in of_task(told, task).values() for picture in pictures(section).values()]
    assert len(found) == (4 if task == "three_digits" else 5)
    for picture in found:
        assert "..." not in repr(picture.draw)
        assert "array" not in repr(picture.draw)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            svg = picture.draw()
        assert b"<image" not in svg  # nothing is a bitmap in there


def test_the_same_values_give_the_same_bytes(told):
    picture = pictures(of_task(told, "tumours")[DECISIONS_TITLE])["thresholds"]
    assert picture.draw() == picture.draw()


def test_many_tasks_have_their_first_picture_only(everywhere):
    many = everywhere.rankings * 4
    assert len(many) > MAX_DETAILED_TASKS
    found = make_diagnostic_sections(replace(everywhere, rankings=many))
    assert len([part for section in found for part in section.parts if isinstance(part, Figure)]) == len(many)
    assert "as many tasks" in text(found[0])


def test_hostile_class_names_are_text(tmp_path):
    task = replace(tumours(), classes=HOSTILE)
    several = replace(three_digits(), classes=(*HOSTILE, "c"))
    found = make_diagnostic_sections(evidence(write_run(tmp_path / "run", [task, several], weightless("three_digits"))))
    assert all("<b>" not in text(section) for section in found)
    for section in found:
        for kind, picture in pictures(section).items():
            if kind in {"thresholds", "confusion", "classes"}:
                assert b"<b>" not in picture.draw()


def test_many_classes_have_a_table_and_no_matrix(tmp_path):
    random = np.random.default_rng(0)
    y = np.arange(156) % 13
    task = SmallTask("letters", random.normal(size=(156, 3)) + 0.3 * y[:, None], y, tuple("abcdefghijklm"))
    ranks, decides, _ = make_diagnostic_sections(evidence(write_run(tmp_path / "run", [task], weightless("letters"))))
    assert pictures(decides) == {}
    assert "The 12 hardest classes" in pictures(ranks)["classes"].alt_text
    assert len(re.findall(r"^\| +[a-m] +\|", text(ranks), re.MULTILINE)) == 13


def test_names_are_cut_at_their_end():
    assert shorten_name("short") == "short"
    assert shorten_name("x" * 100) == "x" * (MAX_NAME_LENGTH - 1) + "…"
    assert shorten_name("two\nlines") == "two lines"
