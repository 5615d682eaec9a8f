"""A study per cell: exact continuation, failures that count, equal effort."""

import time

import numpy as np
import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from harness.errors import Inapplicable, StoreError, Unavailable
from harness.findings import TRIAL_REASON, Reason
from harness.registry.space import choice, integer, log_float, real, when
from harness.search.study import REMARKS, SearchCache, StudyPlan, TrialResult, run_study
from harness.store.store import Store

SPACE = {
    "x": real(-5, 5, default=0.0),
    "c": log_float(1e-3, 10, default=1.0),
    "kind": choice("a", "b", default="a"),
    "n": when("kind", "b", integer(1, 10, default=5)),
}


class Killed(BaseException):
    """Ends a search as a kill would: nothing after it runs."""


class Bench:
    """A search on a closed-form objective, which can be killed at chosen trials."""

    def __init__(self, folder, *, kill_at=(), seed=3):
        self.folder, self.kill_at, self.seed = folder, set(kill_at), seed
        self.kept, self.evaluated = {}, 0

    def evaluate(self, params, _number):
        self.evaluated += 1
        if self.evaluated in self.kill_at:
            raise Killed
        if params["x"] > 3:
            raise ValueError(f"x is too large: {params['x']:.0f}")
        score = -((params["x"] - 1) ** 2) - abs(params.get("n", 4) - 4)
        return TrialResult(score, np.full((4, 2), score, dtype=np.float32))

    def run(self, trials=30, budget=None, evaluate=None, **plan):
        return run_study(
            StudyPlan(
                "t/f/s/r0f0", SPACE, trials, budget, self.seed, "score", True, self.folder / "study.journal", **plan
            ),
            evaluate or self.evaluate,
            SearchCache(self.kept.update, lambda: dict(self.kept)),
        )

    def trials(self):
        storage = JournalStorage(JournalFileBackend(str(self.folder / "study.journal")))
        return optuna.load_study(study_name="t/f/s/r0f0", storage=storage).trials


def told(bench):
    return [(t.params, t.value, t.user_attrs.get(TRIAL_REASON), t.state) for t in bench.trials()]


def test_the_first_trial_is_the_default_configuration(tmp_path):
    bench = Bench(tmp_path)
    found = bench.run(trials=3)
    assert bench.trials()[0].params == {"x": 0.0, "c": 1.0, "kind": "a"}
    assert found.default.trial == 0
    assert found.default.score == -1.0


def test_a_killed_and_continued_study_equals_an_uninterrupted_one(tmp_path):
    whole, broken = Bench(tmp_path / "a"), Bench(tmp_path / "b", kill_at={1, 8, 9, 21})
    expected = whole.run()
    for _ in range(4):
        with pytest.raises(Killed):
            broken.run()
    found = broken.run()
    assert told(broken) == told(whole)
    assert any(reason for _, _, reason, _ in told(whole)), "some trials must fail, or their counting is not tried"
    assert (found.best.trial, found.best.params, found.best.score) == (
        expected.best.trial,
        expected.best.params,
        expected.best.score,
    )
    assert np.array_equal(found.best.proba, expected.best.proba)
    assert np.array_equal(found.default.proba, expected.default.proba)
    assert broken.evaluated == 30 + 4, "no told trial is done twice"


def test_a_finished_study_is_not_searched_again(tmp_path):
    bench = Bench(tmp_path)
    bench.run(trials=6)
    again = bench.evaluated
    bench.run(trials=6)
    assert bench.evaluated == again


def test_failures_are_settled_trials_with_their_reason(tmp_path):
    bench = Bench(tmp_path)
    found = bench.run()
    failed = [t for t in bench.trials() if t.value is None]
    assert found.complete + len(failed) == 30
    assert found.failures
    assert all(reason.message.startswith("ValueError: x is too large") for reason in found.failures)
    assert {reason.code for reason in found.failures} == {"unexpected_error"}
    assert len({reason.cause for reason in found.failures}) == 1, "the type and the function that raised it"


def test_kept_probabilities_that_are_lost_are_computed_again(tmp_path):
    bench = Bench(tmp_path)
    expected = bench.run(trials=10)
    bench.kept.clear()
    found = bench.run(trials=10)
    assert np.array_equal(found.best.proba, expected.best.proba)
    assert np.array_equal(found.default.proba, expected.default.proba)


def test_probabilities_kept_before_a_kill_belong_to_a_trial_that_is_then_done(tmp_path):
    bench = Bench(tmp_path)
    bench.run(trials=10)
    ahead = np.full((4, 2), 9.0, dtype=np.float32)
    bench.kept |= {"best": ahead, "best_trial": np.array(10)}  # written, but the kill came before it was told
    found = bench.run(trials=40, budget=1e-9)
    assert len(bench.trials()) == 11
    assert np.isclose(found.best.proba[0, 0], found.best.score)


def test_a_budget_ends_the_search_and_counts_what_earlier_runs_spent(tmp_path):
    bench = Bench(tmp_path)
    found = bench.run(trials=50, budget=1e-9)
    assert found.complete == 1
    bench.run(trials=50, budget=1e-9)
    assert len(bench.trials()) == 1


@pytest.mark.parametrize(("seconds_ago", "refit_share"), [(99.99, 0.0), (0.0, 1e9)])
def test_a_budget_counts_what_precedes_the_search_and_leaves_time_for_the_refits(tmp_path, seconds_ago, refit_share):
    bench = Bench(tmp_path)
    slow = lambda params, number: sum(range(400_000)) and bench.evaluate(params, number)  # noqa: E731
    found = bench.run(
        trials=50, budget=100.0, evaluate=slow, started=time.monotonic() - seconds_ago, refit_share=refit_share
    )
    assert found.complete == 1, "the default is always evaluated, and no trial is begun that would end too late"


def test_what_never_applies_ends_the_cell_at_once(tmp_path):
    def never(_params, _number):
        raise Inapplicable("one minority row", always=True)

    bench = Bench(tmp_path)
    found = bench.run(evaluate=never)
    assert found.inapplicable
    assert found.failures == {Reason("inapplicable", "one minority row"): 1}
    assert bench.run(evaluate=never).failures == {Reason("inapplicable", "one minority row"): 1}


def test_what_never_applies_is_one_trial_where_the_strategy_is_searched(tmp_path):
    def sometimes(params, _number):
        if params["kind"] == "a":
            raise Inapplicable("not so", always=True)
        return TrialResult(1.0, np.ones((4, 2), dtype=np.float32))

    bench = Bench(tmp_path)
    found = bench.run(trials=12, evaluate=sometimes, one_strategy=False)
    assert found.default is None
    assert found.best.params["kind"] == "b"
    assert found.complete + found.failures[Reason("inapplicable", "not so")] == 12


def test_another_seed_searches_elsewhere(tmp_path):
    one, other = Bench(tmp_path / "a"), Bench(tmp_path / "b", seed=4)
    one.run(trials=5)
    other.run(trials=5)
    assert told(one)[0] == told(other)[0]
    assert told(one)[1] != told(other)[1]


def test_an_objective_that_is_not_defined_is_a_failed_trial_with_its_reason(tmp_path):
    def undefined(_params, _number):
        return TrialResult(float("nan"), np.zeros((4, 2), dtype=np.float32))

    found = Bench(tmp_path).run(trials=3, evaluate=undefined)
    assert found.best is None
    message = "the objective is nan on these inner folds: it is not defined there"
    assert list(found.failures) == [Reason("undefined_objective", message)]


def test_what_was_odd_about_a_trial_stands_beside_it(tmp_path):
    remark = Reason("missing_class", "a class was missing", (("rows", 3),))

    def odd(params, number):
        return TrialResult(params["x"], np.zeros((4, 2), dtype=np.float32), (remark,) if number else ())

    bench = Bench(tmp_path)
    bench.run(trials=2, evaluate=odd)
    assert [t.user_attrs.get(REMARKS) for t in bench.trials()] == [None, [remark.as_dict()]]


@pytest.mark.parametrize("reason", [StoreError("the disk is full"), Unavailable("the weights cannot be had")])
def test_what_says_nothing_about_a_configuration_is_no_trial(tmp_path, reason):
    def evaluate(_params, _number):
        raise reason

    bench = Bench(tmp_path)
    with pytest.raises(type(reason)):
        bench.run(trials=2, evaluate=evaluate)
    assert [t for t in bench.trials() if t.state.is_finished()] == []


TORN = {
    "record": lambda last: last[: len(last) // 2],
    "character": lambda last: last[:20] + "é".encode()[:1],
    "no newline": lambda last: last[:-1],
    "NUL bytes": lambda last: b"\0" * len(last),
}


@pytest.mark.parametrize("tear", TORN.values(), ids=TORN)
@pytest.mark.parametrize("lines", [1, 3, 12])
def test_a_study_whose_last_record_is_incomplete_continues_to_the_same_numbers(tmp_path, tear, lines):
    """The journal ends in its first, third or twelfth line: before the study is described, and between its trials."""
    intact, torn = Bench(tmp_path / "intact"), Bench(Store(tmp_path).cell_folder("torn"))
    expected = intact.run(attributes={"task": "t", "family": "f"})
    torn.run(trials=20, attributes={"task": "t", "family": "f"})
    journal = torn.folder / "study.journal"
    written = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(written[: lines - 1]) + tear(written[lines - 1]))
    (torn.folder / "key").write_text("key1")
    (torn.folder / "study.journal.lock").symlink_to(journal)
    Store(tmp_path).keep_or_delete_study("torn", "key1")
    assert not (torn.folder / "study.journal.lock").is_symlink()
    found = torn.run(attributes={"task": "t", "family": "f"})
    assert told(torn) == told(intact)
    assert (found.best.trial, found.best.params) == (expected.best.trial, expected.best.params)
    assert np.array_equal(found.best.proba, expected.best.proba)
    assert np.array_equal(found.default.proba, expected.default.proba)
    storage = JournalStorage(JournalFileBackend(str(journal)))
    study = optuna.load_study(study_name="t/f/s/r0f0", storage=storage)
    assert study.user_attrs == {"task": "t", "family": "f"}
    assert study.metric_names == ["score"]
