"""How searches went: what journals hold, score against effort, what tuning brought, importances, what a report says."""

import json
import math
import shutil
from dataclasses import replace

import numpy as np
import optuna
import pytest
from fixtures_across import rankings_of, scores_of
from fixtures_run import three_digits, tumours, write_run
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from harness.evaluation.corrected_t import Estimate
from harness.evaluation.gains import DEFAULT_KEPT, NOT_SIGNIFICANT, PAYS, SearchGain, search_gains
from harness.evaluation.ranking import rank_entries
from harness.evaluation.score_collection import collect_scores
from harness.evaluation.scores import Entry
from harness.evaluation.search_history import (
    CPU_CLOCK,
    MAX_TRIALS,
    MIN_TRIALS,
    WALL_CLOCK,
    CellSearch,
    SearchParameter,
    SearchTrial,
    anytime_curve,
    best_scores_so_far,
    best_strategy_by_family,
    choose_search_clock,
    parameter_importances,
    read_searches,
)
from harness.metrics.classification import METRICS
from harness.registry.space import choice, integer, log_float, when
from harness.report.content import Evidence, Figure
from harness.report.figures.search_space import ParameterAxis, TrialPath, parallel_coordinates_figure
from harness.report.render.markdown import render_markdown_part
from harness.report.sections.gains import summarize_search_gains
from harness.report.sections.search import make_search_sections
from harness.search.study import SearchCache, StudyPlan, TrialResult, run_study
from harness.store.store import Store

METRIC = {metric.name: metric for metric in METRICS}
SPACES = {
    "logistic_regression": {
        "C": log_float(1e-3, 10, default=1.0),
        "encode.select": choice("all", "half", default="all"),
    },
    "bayes": {"var_smoothing": log_float(1e-9, 1, default=1e-9)},
    "majority": {},
}
STRATEGY = {
    "strategy": choice("none", "smote", default="none"),
    "smote.k": when("strategy", "smote", integer(1, 9, default=5)),
}
HOSTILE = "<b>ValueError</b> | *bold* $x$"


def evaluate(params, number):
    """A smooth score that knows a few parameters; the second trial fails."""
    if number == 1:
        raise ValueError(HOSTILE)
    x = math.log10(params.get("C", params.get("var_smoothing", 1.0)))
    score = 0.9 - 0.01 * (x - 0.5) ** 2 + 0.02 * (params.get("strategy") == "smote")
    return TrialResult(score, np.full((4, 2), 0.5, dtype=np.float32))


def search_all(store: Store, trials: int = 6) -> Store:
    """Give every finished cell a study, made by the engine's own search."""
    for record in store.read_every_record():
        space = SPACES[record.family] | (STRATEGY if record.strategy == "searched" else {})
        name = f"{record.task}/{record.family}/{record.strategy}/r{record.repeat}f{record.fold}"
        made = 1 if not space else trials
        plan = StudyPlan(name, space, made, None, record.seed, "average_precision", True, store.journal_path(record.id))
        kept: dict = {}
        run_study(plan, evaluate, SearchCache(kept.update, lambda kept=kept: dict(kept)))
    return store


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Store:
    """A run that left no journals."""
    return write_run(tmp_path_factory.mktemp("runs") / "whole", [tumours()])


@pytest.fixture
def plain(whole, tmp_path) -> Store:
    """The same in a folder of its own."""
    shutil.copytree(whole.folder, tmp_path / "copy")
    return Store(tmp_path / "copy")


@pytest.fixture(scope="module")
def store(whole, tmp_path_factory) -> Store:
    """The same with journals of six trials each."""
    folder = tmp_path_factory.mktemp("runs") / "searched"
    shutil.copytree(whole.folder, folder)
    return search_all(Store(folder))


def evidence(store: Store) -> Evidence:
    scores = collect_scores(store, METRIC)
    return Evidence(store, scores, tuple(rank_entries(scores, task) for task in scores.run["tasks"]))


def text_of(found) -> str:
    parts = [part for section in found for part in section.parts]
    return "\n".join(render_markdown_part(part) for part in parts if not isinstance(part, Figure))


def pictures(found) -> list[Figure]:
    return [part for section in found for part in section.parts if isinstance(part, Figure)]


def test_a_journal_is_read_as_optuna_reads_it(store):
    scores = collect_scores(store, METRIC)
    found = {one.name: one for one in read_searches(store, scores).searches}
    assert len(found) == len(store.read_every_record())
    for record in store.read_every_record():
        name = f"{record.task}/{record.family}/{record.strategy}/r{record.repeat}f{record.fold}"
        storage = JournalStorage(JournalFileBackend(str(store.journal_path(record.id))))
        told = optuna.load_study(study_name=name, storage=storage).trials
        assert [t.params for t in found[name].trials] == [t.params for t in told]
        assert [t.value for t in found[name].complete_trials] == [t.value for t in told if t.value is not None]
        assert [t.cpu_seconds for t in found[name].trials] == [t.user_attrs["cpu_seconds"] for t in told]
    failed = found["tumours/bayes/none/r0f0"].trials[1]
    assert math.isnan(failed.value)
    assert (failed.reason.code, failed.reason.message) == ("unexpected_error", f"ValueError: {HOSTILE}")


def test_what_was_read_is_kept_and_comes_back(store):
    scores = collect_scores(store, METRIC)
    first = read_searches(store, scores)
    kept = store.folder / "derived" / "searches"
    before = kept.read_bytes()
    assert repr(read_searches(store, scores)) == repr(first)
    kept.write_bytes(before[:-9])
    assert repr(read_searches(store, scores)) == repr(first)
    assert kept.read_bytes() == before


def test_a_broken_journal_is_named_and_hides_no_other(plain):
    store = search_all(plain, trials=2)
    records = store.read_every_record()
    store.journal_path(records[0].id).write_text('{"op_code": 4, "broken')
    store.journal_path(records[1].id).write_text("[1, 2]\n" * 3)
    store.journal_path(records[2].id).write_text("")
    found = read_searches(store, collect_scores(store, METRIC))
    assert len(found.searches) + len(found.unreadable) == len(records)
    assert any(reason.startswith(records[1].id) for reason in found.unreadable)
    text = text_of(make_search_sections(evidence(store)))
    assert "could not be read" in text


@pytest.mark.parametrize(
    "torn", [b'{"op_code": 4, "bro', '"é'.encode()[:-1], b"\0" * 100], ids=["record", "character", "NUL"]
)
def test_the_records_before_an_incomplete_one_are_read_and_nothing_is_written(plain, torn):
    store = search_all(plain, trials=2)
    records = store.read_every_record()
    expected = read_searches(store, collect_scores(store, METRIC))
    journal = store.journal_path(records[0].id)
    journal.write_bytes(journal.read_bytes() + torn)
    before = journal.read_bytes()
    found = read_searches(store, collect_scores(store, METRIC))
    assert found.unreadable == ()
    assert repr(found) == repr(expected)
    assert journal.read_bytes() == before


def test_journals_of_older_versions_have_their_own_times(plain):
    store = plain
    record = store.read_every_record()[0]
    storage = JournalStorage(JournalFileBackend(str(store.journal_path(record.id))))
    study = optuna.create_study(storage=storage, study_name="old")
    study.add_trial(optuna.trial.create_trial(value=0.5))
    (one,) = read_searches(store, collect_scores(store, METRIC)).searches
    took = study.trials[0].duration
    assert one.trials[0].seconds == took.total_seconds()
    assert math.isnan(one.trials[0].cpu_seconds)
    assert choose_search_clock([one]) == WALL_CLOCK


def made(values, seconds, split=0) -> CellSearch:
    trials = tuple(SearchTrial(at, v, {}, "", 2 * s, s) for at, (v, s) in enumerate(zip(values, seconds, strict=True)))
    return CellSearch("t", "f", "s", (0, split), trials, (SearchParameter("x", 0, 1),), {})


@pytest.mark.parametrize("greater", [True, False])
def test_score_against_effort_is_the_mean_of_the_best_so_far(greater):
    draws = np.random.default_rng(4)
    searches = []
    for split in range(4):
        values = np.where(draws.random(12) < 0.2, np.nan, draws.random(12))
        searches.append(made(values.tolist(), draws.exponential(size=12).tolist(), split))
    assert choose_search_clock(searches) == CPU_CLOCK
    curve = anytime_curve(searches, CPU_CLOCK, greater=greater)
    best = np.nanmax if greater else np.nanmin
    for moment, mean in curve:
        reached = []
        for one in searches:
            ends = np.cumsum([trial.cpu_seconds for trial in one.trials])
            reached.append(
                best([t.value for t, end in zip(one.trials, ends, strict=True) if end <= moment * (1 + 1e-5)])
            )
        assert mean == pytest.approx(np.mean(reached), abs=1e-5)
    first = max(
        np.cumsum([t.cpu_seconds for t in one.trials])[[math.isnan(t.value) for t in one.trials].index(False)]
        for one in searches
    )
    assert curve[0][0] == pytest.approx(first, rel=1e-5)
    assert [mean for _, mean in curve] == sorted((mean for _, mean in curve), reverse=not greater)


def test_searches_without_a_score_have_no_curve_and_long_ones_are_thinned():
    nothing = made([math.nan] * 3, [1.0] * 3)
    assert anytime_curve([nothing], CPU_CLOCK, greater=True) == ()
    assert anytime_curve([nothing, made([0.5], [1.0])], CPU_CLOCK, greater=True) == ((1.0, 0.5),)
    long = made(np.linspace(0, 1, 2000).tolist(), [1.0] * 2000)
    curve = anytime_curve([long], CPU_CLOCK, greater=True)
    assert len(curve) == 150
    assert (curve[0], curve[-1]) == ((1.0, 0.0), (2000.0, 1.0))
    assert all(mean == pytest.approx(long.trials[int(moment + 1e-3) - 1].value, abs=1e-3) for moment, mean in curve)


def test_the_best_so_far_ignores_failures():
    trials = made([math.nan, 0.5, math.nan, 0.7, 0.6], [1.0] * 5).trials
    assert best_scores_so_far(trials, greater=True)[1:] == [0.5, 0.5, 0.7, 0.7]
    assert best_scores_so_far(trials, greater=False)[1:] == [0.5, 0.5, 0.5, 0.5]
    assert math.isnan(best_scores_so_far(trials, greater=True)[0])


def test_the_best_strategy_is_another_than_doing_nothing():
    curves = {
        ("f", "none"): ((1.0, 0.9),),
        ("f", "a"): ((1.0, 0.2), (2.0, 0.8)),
        ("f", "b"): ((1.0, 0.7),),
        ("g", "none"): ((1.0, 0.3),),
    }
    assert best_strategy_by_family(curves, greater=True) == {"f": "a"}
    assert best_strategy_by_family(curves, greater=False) == {"f": "b"}


def test_what_tuning_brought_is_a_paired_difference_with_an_interval_that_its_reading_follows(store):
    found = evidence(store)
    for one in search_gains(found.scores, found.rankings[0]):
        rows = {
            stage: found.scores.score_rows_of_entry("tumours", one.entry._replace(stage=stage), "tuned")
            for stage in ("default", "tuned")
        }
        d = rows["tuned"]["average_precision"] - rows["default"]["average_precision"]
        assert one.outer.mean == pytest.approx(d.mean())
        assert one.outer.ci_half_width > 0
        significant = abs(one.outer.mean) > one.outer.ci_half_width
        assert significant == (one.reading in ("pays", "hurts"))
        assert one.inner == pytest.approx((rows["tuned"]["inner"] - rows["default"]["inner"]).mean())
    assert {one.entry.family for one in search_gains(found.scores, found.rankings[0])} == {
        "logistic_regression",
        "bayes",
    }


def test_less_is_better_turns_gains_around(store):
    found = evidence(store)
    ranking = found.rankings[0]
    better = {one.entry: one for one in search_gains(found.scores, ranking)}
    loss = replace(METRIC["average_precision"], greater_is_better=False)
    for one in search_gains(found.scores, replace(ranking, metric=loss)):
        assert one.outer.mean == -better[one.entry].outer.mean
        assert one.inner == -better[one.entry].inner


def test_a_search_that_kept_the_default_says_so(plain):
    for path in plain.folder.glob("cells/*/record.json"):
        record = json.loads(path.read_text())
        for outcome in record["outcomes"]:
            outcome["trial"] = 0
        path.write_text(json.dumps(record))
    found = evidence(plain)
    readings = {one.reading for one in search_gains(found.scores, found.rankings[0])}
    assert readings == {DEFAULT_KEPT}


def test_readings_are_adjusted_over_the_entries_that_were_tested():
    gained = Estimate(0.02, 0.01, 0.001, 5)
    found = [
        SearchGain(Entry("xgb", strategy, "tuned"), 0.03, gained, word)
        for strategy, word in (("none", PAYS), ("smote", NOT_SIGNIFICANT), ("searched", DEFAULT_KEPT))
    ]
    ranking = rankings_of(scores_of({"one": {("xgb", "none"): [0.5] * 5}}))[0]
    assert "Holm's adjustment over 2 entries" in summarize_search_gains(found, ranking)
    assert "Holm" not in summarize_search_gains(found[2:], ranking)


@pytest.mark.parametrize("about", [{"splits": 1}, {"forward": True}])
def test_nothing_is_claimed_where_nothing_can_be(tmp_path, about):
    store = search_all(write_run(tmp_path / "run", [tumours(**about)]), trials=2)
    found = evidence(store)
    assert {one.reading for one in search_gains(found.scores, found.rankings[0])} == {""}
    text = text_of(make_search_sections(found))
    assert "No verdict:" in text
    assert found.rankings[0].no_test_reason in text


def study_of(score, space, n=60) -> optuna.Study:
    """A study of random trials of a closed form."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(direction="maximize", study_name="t/f/s", sampler=optuna.samplers.RandomSampler(seed=1))

    def objective(trial):
        params = {}
        for name, (kind, *range_) in space.items():
            params[name] = (
                trial.suggest_categorical(name, range_) if kind == "choice" else trial.suggest_float(name, *range_)
            )
        if params.get("strategy") == "smote":
            params["k"] = trial.suggest_int("smote.k", 1, 9)
        return score(params)

    study.optimize(objective, n_trials=n)
    return study


SPACE = {"strategy": ("choice", "none", "smote", "adasyn"), "x": ("float", 0, 1), "y": ("float", 0, 1)}


def test_the_share_of_the_strategy_is_that_of_the_variance_it_explains():
    effect = {"none": 0.0, "smote": 1.0, "adasyn": 2.0}
    shares = parameter_importances(study_of(lambda p: effect[p["strategy"]] + 2 * p["x"], SPACE, 150), "searched")
    # Additive and independent: the exact shares are those of the variances, 2/3 against 4/12.
    assert shares["strategy"] == pytest.approx(2 / 3, abs=0.1)
    assert shares["x"] == pytest.approx(1 / 3, abs=0.1)
    assert shares["y"] < 0.05
    assert sum(shares.values()) == pytest.approx(1)
    assert "smote.k" not in shares, "a parameter that only some trials have"


def test_of_very_many_trials_some_stand_for_all():
    study = study_of(lambda p: p["x"] + (p["strategy"] == "smote"), SPACE, 3 * MAX_TRIALS)
    # Variances of 1/3 · 2/3 and 1/12.
    assert parameter_importances(study, "searched")["strategy"] == pytest.approx(8 / 11, abs=0.1)


def test_a_strategy_that_does_nothing_has_no_share():
    assert parameter_importances(study_of(lambda p: p["x"], SPACE), "searched")["strategy"] < 0.02


def test_within_a_family_the_parameter_that_decides_has_the_largest_share():
    space = {"x": ("float", 0, 1), "y": ("float", 0, 1)}
    shares = parameter_importances(study_of(lambda p: -abs(p["x"] - 0.3) + 0.01 * p["y"], space), "none")
    assert shares["x"] > 0.8
    assert parameter_importances(study_of(lambda p: p["x"], space), "smote") == {}


def test_importances_are_the_same_again():
    study = study_of(lambda p: p["x"] * p["y"], SPACE)
    assert parameter_importances(study, "searched") == parameter_importances(study, "searched")


def test_few_or_equal_trials_say_nothing():
    assert parameter_importances(study_of(lambda p: p["x"], SPACE, MIN_TRIALS - 1), "searched") == {}
    assert parameter_importances(study_of(lambda _: 0.5, SPACE), "searched") == {}
    assert parameter_importances(study_of(lambda p: p["x"], {"x": ("float", 0, 1)}), "none") == {}


def test_the_report_tells_how_searches_went(store):
    found = make_search_sections(evidence(store))
    text = text_of(found)
    assert [one.task for one in found] == ["tumours", ""]
    assert "24 searches of 6 trials" in text
    assert "24 trials failed: 24 × ValueError: &lt;b&gt;ValueError&lt;/b&gt; \\| \\*bold\\* \\$x\\$" in text
    assert "in every split, and these searches have 5 at most" in text
    assert "tumours/bayes/searched/r0f3" in text
    assert "evenhand dashboard" in text
    kinds = {picture.name for picture in pictures(found)}
    assert {"tumours.anytime", "tumours.anytime-strategies", "tumours.history", "tumours.gains"} <= kinds


def test_pictures_are_drawn_from_plain_values_that_stay_the_same(store):
    first, second = (pictures(make_search_sections(evidence(store))) for _ in range(2))
    assert [repr(one.draw) for one in first] == [repr(one.draw) for one in second]
    assert first[0].draw() == second[0].draw()
    for picture in first:
        assert "array(" not in repr(picture.draw.args)
        assert picture.draw().startswith(b"<svg")


def test_with_trials_enough_importances_and_parallel_coordinates_are_there(tmp_path):
    lost = {
        ("three_digits", "bayes", "class_weight", fold): ("failed", "two priors, three classes") for fold in range(4)
    }
    store = search_all(write_run(tmp_path / "run", [three_digits()], lost), trials=14)
    found = make_search_sections(evidence(store))
    text = text_of(found)
    assert "The choice of the strategy has a share of" in text
    assert "Every line is a trial of" in text
    names = {picture.name.split(".")[1] for picture in pictures(found)}
    assert {"importances-fANOVA", "parallel"} <= names
    assert all(
        picture.draw() for picture in pictures(found) if "anova" in picture.name.lower() or "parallel" in picture.name
    )


def test_many_tasks_are_drawn_once_each_and_none_is_an_error(tmp_path):
    store = search_all(write_run(tmp_path / "run", [tumours(f"task_{at}", splits=1) for at in range(9)]), trials=3)
    found = make_search_sections(evidence(store))
    assert {picture.name.partition(".anytime")[2] for picture in pictures(found) if "anytime" in picture.name} == {""}
    assert not any("history" in picture.name or "parallel" in picture.name for picture in pictures(found))


def test_a_run_without_journals_has_no_such_sections(plain):
    assert make_search_sections(evidence(plain)) == []


def test_parallel_coordinates_show_what_is_absent_and_every_kind_of_axis():
    scales = (
        ParameterAxis("C", 1e-3, 10, True, ()),
        ParameterAxis("n", 3, 3, False, ()),
        ParameterAxis("a_long.name_of_it", math.nan, math.nan, False, ("x", "$y$")),
    )
    trials = tuple(TrialPath((10.0**-at, 3.0, math.nan if at else 1.0), 0.1 * at, at == 0) for at in range(4))
    for greater in (True, False):
        assert parallel_coordinates_figure(scales, trials, "AP", greater=greater)
