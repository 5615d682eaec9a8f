"""Ensembles: against brute force, never worse than their members where they are fitted, honest where they are judged."""

import shutil
from dataclasses import replace
from itertools import combinations_with_replacement

import numpy as np
import pytest
from fixtures_run import three_digits, tumours, write_run
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, roc_auc_score

from harness.evaluation import ensembles as combining
from harness.evaluation import evaluate as workers
from harness.evaluation.ensembles import ENSEMBLE_KINDS, GREEDY, STACKING, fit_ensemble
from harness.evaluation.gains import ensemble_gains, ensemble_members
from harness.evaluation.metric_cache import read_cache, write_cache
from harness.evaluation.ranking import rank_entries
from harness.evaluation.score_collection import collect_scores
from harness.evaluation.scores import Entry, entry_statuses
from harness.metrics.classification import METRICS
from harness.metrics.metric import Predictions
from harness.report.content import Evidence, ReportTable
from harness.report.leaderboard import make_leaderboard_frame
from harness.report.sections.gains import make_ensemble_sections
from harness.report.sections.ranking import describe_first_entry, format_rank
from harness.store.store import Store

METRIC = {metric.name: metric for metric in METRICS}


def area(y, proba) -> float:
    return float(roc_auc_score(y, proba[:, 1]))


def minus_brier(y, proba) -> float:
    return -float(((proba[:, 1] - y) ** 2).mean())


def said(n: int, m: int, seed: int = 0, noise: float = 1.0):
    """Labels and what m members say, who see the same signal with noise of their own."""
    rng = np.random.default_rng(seed)
    signal = rng.normal(size=n) * 1.5 - 1
    y = (rng.random(n) < 1 / (1 + np.exp(-signal))).astype(np.int64)
    positive = 1 / (1 + np.exp(-(signal + rng.normal(size=(m, n)) * noise)))
    return y, np.stack([1 - positive, positive], axis=2).astype(np.float32)


# --- weights ---------------------------------------------------------------------------------------------------------


def test_greedy_finds_what_trying_every_mean_finds_in_a_small_case(monkeypatch):
    monkeypatch.setattr(combining, "GREEDY_ROUNDS", 3)
    for seed in range(5):
        y, members = said(60, 3, seed)
        found = fit_ensemble(GREEDY, members, y, minus_brier)
        tried = {
            picks: minus_brier(y, np.mean([members[at] for at in picks], axis=0))
            for size in (1, 2, 3)
            for picks in combinations_with_replacement(range(3), size)
        }
        # Greedy adds one at a time: the best mean that can be reached so is the one to find.
        first = max(range(3), key=lambda at: tried[at,])
        second = max(range(3), key=lambda at: tried[tuple(sorted((first, at)))])
        third = max(range(3), key=lambda at: tried[tuple(sorted((first, second, at)))])
        paths = [(first,), tuple(sorted((first, second))), tuple(sorted((first, second, third)))]
        best = max(paths, key=tried.get)
        assert found.weights == pytest.approx(np.bincount(best, minlength=3) / len(best))
        assert minus_brier(y, found(members)) == pytest.approx(max(tried.values()), abs=2e-3)


@pytest.mark.parametrize("score", [area, minus_brier])
def test_greedy_is_never_worse_than_its_best_member_on_the_rows_it_was_chosen_on(score):
    for seed in range(6):
        y, members = said(150, 6, seed)
        found = fit_ensemble(GREEDY, members, y, score)
        assert found.weights.sum() == pytest.approx(1)
        assert found.weights.min() >= 0
        assert score(y, found(members)) >= max(score(y, one) for one in members) - 1e-7


@pytest.mark.parametrize("name", ["average_precision", "roc_auc"])
def test_scores_of_the_positive_class_alone_select_the_same_members(name):
    metric = METRIC[name]
    positive_score = combining.make_positive_score(metric)
    for decimals in (1, 6):  # with and without ties
        y, members = said(200, 8)
        members = members.round(decimals)

        def score(labels, proba):
            return metric.sign * metric.compute(Predictions(labels, proba.astype(np.float32)))

        for proba in members:
            assert positive_score(y, proba[:, 1]) == score(y, proba)
        weights = fit_ensemble(GREEDY, members, y, score).weights
        assert fit_ensemble(GREEDY, members, y, score, None, positive_score).weights.tolist() == weights.tolist()
    assert combining.make_positive_score(METRIC["brier"]) is None


def test_of_equal_members_the_earlier_is_taken():
    y, members = said(100, 1)
    twins = np.concatenate([members, members, members])
    assert fit_ensemble(GREEDY, twins, y, area).weights.tolist() == [1, 0, 0]


def test_only_the_best_compete_for_a_place(monkeypatch):
    monkeypatch.setattr(combining, "MAX_LIBRARY_MEMBERS", 2)
    y, members = said(300, 5)
    alone = [area(y, one) for one in members]
    best = set(np.argsort(alone)[-2:].tolist())
    for kind in ENSEMBLE_KINDS:
        assert set(np.flatnonzero(fit_ensemble(kind, members, y, area).weights).tolist()) <= best


def test_stacking_is_a_penalised_logistic_regression_on_log_odds():
    y, members = said(400, 4)
    odds = np.log(members[..., 1].astype(float)) - np.log(members[..., 0].astype(float))
    scale = np.sqrt((odds**2 / 2).mean(axis=1) + combining.MIN_MEMBER_PROBA)
    model = LogisticRegression(C=1 / combining.STACKING_RIDGE, tol=1e-10, max_iter=1000).fit(
        (odds / scale[:, None]).T, y
    )
    found = fit_ensemble(STACKING, members, y, area)
    assert found.weights * scale == pytest.approx(model.coef_[0], abs=1e-4)
    assert found(members)[:, 1] == pytest.approx(model.predict_proba((odds / scale[:, None]).T)[:, 1], abs=1e-4)


@pytest.mark.parametrize("kind", ENSEMBLE_KINDS)
def test_members_that_err_apart_are_better_together_on_new_rows(kind):
    y, members = said(6000, 5, noise=2.0)
    old, new = slice(0, 3000), slice(3000, None)
    together = fit_ensemble(kind, members[:, old], y[old], area)(members[:, new])
    assert area(y[new], together) > max(area(y[new], one[new]) for one in members) + 0.02


def test_stacking_of_several_classes_mends_what_all_members_get_wrong():
    rng = np.random.default_rng(1)
    score = rng.normal(size=(3000, 3))
    true = combining.softmax(score)
    y = (true.cumsum(axis=1) > rng.random(3000)[:, None]).argmax(axis=1)
    tilted = combining.softmax(2 * (score + rng.normal(size=(3, 3000, 3)) * 0.3).reshape(-1, 3) + [1, 0, 0])
    members = tilted.reshape(3, 3000, 3).astype(np.float32)

    def likelihood(y, proba):
        return float(np.log(proba[np.arange(len(y)), y]).mean())

    found = fit_ensemble(STACKING, members[:, :2000], y[:2000], likelihood)(members[:, 2000:])
    assert found.sum(axis=1) == pytest.approx(1)
    assert likelihood(y[2000:], found) > max(likelihood(y[2000:], one[2000:]) for one in members) + 0.1


# --- in a run --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Store:
    failed = {("three_digits", "bayes", "class_weight", fold): ("failed", "two priors") for fold in range(4)}
    return write_run(tmp_path_factory.mktemp("runs") / "two", [tumours(), three_digits()], failed)


@pytest.fixture(scope="module")
def scores(store):
    return collect_scores(store, METRIC)


def test_ensembles_are_means_of_stored_probabilities_with_the_weights_that_are_told(store, scores):
    rows = scores.score_rows_of_entry("tumours", Entry("any", "greedy", "ensembled"), "tuned")
    assert len(rows) == 4
    by_id = {record.id: record for record in store.read_every_record()}
    for split, figure, trials in zip(rows.splits, rows["average_precision"], rows["trials"], strict=True):
        weights = scores.ensembles["tumours", "greedy", split].weights
        whose = [by_id[at] for at in weights]
        assert {(r.family, r.strategy) for r in whose} == {
            (family, strategy) for family in ("logistic_regression", "bayes") for strategy in ("none", "class_weight")
        }  # neither the majority row nor what was searched
        stored = [store.read_predictions(r) for r in whose]
        mean = sum(w * one.test["tuned"][:, 1].astype(float) for w, one in zip(weights.values(), stored, strict=True))
        assert figure == pytest.approx(average_precision_score(stored[0].test_y, mean.astype(np.float32)))
        assert trials == sum(r.trials for r in whose)


def test_costs_are_the_sums_of_the_members_used(store, scores):
    by_id = {record.id: record for record in store.read_every_record()}
    rows = scores.score_rows_of_entry("tumours", Entry("any", "greedy", "ensembled"), "half")
    for split, seconds in zip(rows.splits, rows["fit_seconds"], strict=True):
        used = [by_id[at] for at, weight in scores.ensembles["tumours", "greedy", split].weights.items() if weight]
        assert seconds == pytest.approx(sum(r.outcomes[1].fit_seconds for r in used))


def test_they_stand_on_the_leaderboard_without_a_rank_and_are_never_called_best(store, scores):
    for task in ("tumours", "three_digits"):
        ranking = rank_entries(scores, task)
        made = [place for place in ranking.entries if place.entry.stage == "ensembled"]
        assert {place.entry[:3] for place in made} == {("any", kind, "ensembled") for kind in ENSEMBLE_KINDS}
        assert all(place.rank is None and format_rank(place) == "†" for place in made)
        assert ranking.best.entry.stage not in ("chosen", "ensembled")
        assert "ensembled" not in describe_first_entry(ranking)
        assert all(entry_statuses(scores, task)[place.entry] == "ok" for place in made)
    table = make_leaderboard_frame(scores, [rank_entries(scores, "tumours")])
    rows = table[table.stage == "ensembled"]
    assert len(rows) == 2
    assert rows["rank"].isna().all()
    assert rows[["average_precision", "inner_score", "threshold", "ci_low"]].notna().all(axis=None)


def test_members_of_other_rows_are_left_out(store, tmp_path):
    shutil.copytree(store.folder, tmp_path / "run")
    run = Store(tmp_path / "run")
    odd = next(
        r for r in run.read_every_record() if (r.task, r.family, r.strategy, r.fold) == ("tumours", "bayes", "none", 2)
    )
    seen = run.read_predictions(odd)
    run.write_cell(odd, replace(seen, train_rows=seen.train_rows + 1))
    found = collect_scores(run, METRIC)
    for kind in ENSEMBLE_KINDS:
        assert odd.id not in found.ensembles["tumours", kind, (0, 2)].weights
        assert len(found.ensembles["tumours", kind, (0, 2)].weights) == 3
        assert len(found.ensembles["tumours", kind, (0, 1)].weights) == 4


def test_the_inner_score_is_of_rows_that_the_weights_were_not_fitted_on(tmp_path):
    """Members that say nothing: what fits noise looks good on the rows it was fitted on, and must not here."""
    store = write_run(tmp_path / "run", [tumours()])
    rng = np.random.default_rng(0)
    for record in store.read_every_record():
        seen = store.read_predictions(record)
        positive = rng.random(len(seen.train_y))
        inner = dict.fromkeys(seen.inner, np.stack([1 - positive, positive], axis=1).astype(np.float32))
        store.write_cell(record, replace(seen, inner=inner))
    found = collect_scores(store, METRIC)
    share = 60 / 417
    for kind in ENSEMBLE_KINDS:
        inner = found.score_rows_of_entry("tumours", Entry("any", kind, "ensembled"), "half")["inner"]
        assert inner.mean() < share + 0.06


def test_processes_give_the_same_as_one(store, scores, tmp_path, monkeypatch):
    shutil.copytree(store.folder, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "derived")
    kept = []
    for pays in (1, 10_000):
        monkeypatch.setattr(workers, "MIN_PARALLEL_CELLS", pays)
        collect_scores(Store(tmp_path / "run"), METRIC)
        kept.append((tmp_path / "run" / "derived" / "metrics").read_bytes())
        shutil.rmtree(tmp_path / "run" / "derived")
    assert kept[0] == kept[1] == (store.folder / "derived" / "metrics").read_bytes()


def test_the_section_tells_the_members_and_what_combining_adds(store, scores):
    rankings = tuple(rank_entries(scores, task) for task in scores.run["tasks"])
    found = make_ensemble_sections(Evidence(store, scores, rankings))
    assert [one.task for one in found] == ["tumours", "three_digits"]
    ensembles, members = (part for part in found[0].parts if isinstance(part, ReportTable))
    assert ensembles.rows[0][0] == "any/greedy/ensembled"
    assert "bayes/none/tuned" in [row[0] for row in members.rows]
    for one in ensemble_members(scores, "tumours", "greedy"):
        assert one.count_used_splits
    whole = sum(np.mean([*one.weights.values()]) for one in ensemble_members(scores, "tumours", "greedy"))
    assert whole == pytest.approx(1)
    mine, chosen = (
        scores.score_rows_of_entry("tumours", Entry("any", *rest), "tuned")["average_precision"].mean()
        for rest in (("stacking", "ensembled"), ("any", "chosen"))
    )
    assert ensemble_gains(scores, rankings[0])["stacking"].mean == pytest.approx(mine - chosen)


def test_one_entry_alone_makes_no_ensemble(tmp_path):
    lost = {
        ("tumours", family, strategy, fold): ("failed", "lost")
        for family in ("logistic_regression", "bayes")
        for strategy in ("none", "class_weight", "searched")
        for fold in range(4)
        if (family, strategy) != ("bayes", "none")
    }
    store = write_run(tmp_path / "run", [tumours()], lost)
    found = collect_scores(store, METRIC)
    assert not found.ensembles
    (section,) = make_ensemble_sections(Evidence(store, found, (rank_entries(found, "tumours"),)))
    assert section.parts[0].startswith("No ensemble was made")


def test_ensembles_that_went_with_their_predictions_are_said_to_be_lost(store, tmp_path):
    """The figures of every entry are kept, so nothing reads predictions but a new ensemble."""
    copy = Store(shutil.copytree(store.folder, tmp_path / "run"))
    collect_scores(copy, METRIC)
    kept = read_cache(copy)
    write_cache(copy, {key: row for key, row in kept.items() if not key.startswith("ensemble/")})
    lost = next(
        record
        for record in copy.read_every_record()
        if (record.task, record.fold, record.family) == ("tumours", 2, "bayes")
    )
    (copy.cell_folder(lost.id) / "predictions.npz").write_bytes(b"spoilt")
    found = collect_scores(copy, METRIC)
    ((where, why),) = found.ensemble_failures.items()
    assert where == ("tumours", (0, 2))
    section = make_ensemble_sections(Evidence(copy, found, (rank_entries(found, "tumours"),)))[0]
    texts = [part for part in section.parts if isinstance(part, str)]
    said = [text for text in texts if text.startswith("Of 1 split ensembles could not be made: ")]
    assert len(said) == 1
    assert why.split(":")[0].rpartition("/")[2] in said[0]
    nothing = replace(found, ensembles={})
    assert make_ensemble_sections(Evidence(copy, nothing, (rank_entries(nothing, "tumours"),)))[0].parts == tuple(said)
