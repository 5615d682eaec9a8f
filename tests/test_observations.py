"""Key observations: other data give other sentences, and the numbers in them are those of the tables."""

from dataclasses import replace

import numpy as np
import pytest
from fixtures_run import three_digits, tumours, write_run

from harness.evaluation import observations as observed
from harness.evaluation.observations import Observation
from harness.evaluation.ranking import rank_entries
from harness.evaluation.score_collection import collect_scores
from harness.evaluation.scores import Entry
from harness.metrics.classification import METRICS
from harness.metrics.metric import Predictions
from harness.report.markdown_report import summarize_results
from harness.report.sections.observations import SENTENCES, describe_observations

METRIC = {metric.name: metric for metric in METRICS}
NETWORK = Entry("bayes", "none", "tuned")
#: Two class priors do not fit three classes.
FAILED = {("three_digits", "bayes", "class_weight", fold): ("failed", "ValueError") for fold in range(4)}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("observed") / "run", [tumours(), three_digits()], FAILED)


@pytest.fixture(scope="module")
def scores(store):
    return collect_scores(store, METRIC)


@pytest.fixture(scope="module")
def changed(store, scores):
    """A function that gives scores as of other predictions of the tuned entries, by family, strategy and true classes."""
    labels = {
        cell.record.id: store.read_predictions(cell.record).test_y for cell in scores.cells if cell.task == "tumours"
    }

    def score(change, train_accuracy=0.5):
        metric_values, by_entry, cells = dict(scores.metric_values), dict(scores.by_entry), []
        for (task, entry, kind), rows in scores.by_entry.items():
            if (task, kind, entry.stage, entry.calibration) != ("tumours", "half", "tuned", "none"):
                continue
            areas = []
            for key in rows.score_keys:
                positive = change(entry.family, entry.strategy, labels[key[0]])
                p = Predictions(labels[key[0]], np.column_stack([1 - positive, positive]))
                metric_values[key] = replace(metric_values[key], confusion=p.confusion)
                areas.append(METRIC["roc_auc"].compute(p))
            by_entry[task, entry, kind] = replace(rows, columns={**rows.columns, "roc_auc": np.array(areas)})
        for cell in scores.cells:
            outcomes = [replace(outcome, train_scores={"accuracy": train_accuracy}) for outcome in cell.record.outcomes]
            cells.append(cell._replace(record=replace(cell.record, outcomes=tuple(outcomes))))
        return replace(scores, metric_values=metric_values, by_entry=by_entry, cells=tuple(cells))

    return score


def found(y, share, false_share=0.0):
    """Probabilities with which this share of the positive and of the negative rows is predicted positive."""
    positive = np.full(len(y), 0.2)
    for label, part in ((1, share), (0, false_share)):
        rows = np.flatnonzero(y == label)
        positive[rows[: round(part * len(rows))]] = 0.8
    return positive


def codes(observations):
    return {observation.code for observation in observations}


def test_models_that_decide_for_one_class_and_models_that_do_not(changed):
    lazy = changed(lambda _family, _strategy, y: found(y, 0.1))
    assert codes(observed.model_observations(lazy, "tumours")) >= {
        "accuracy_near_majority",
        "recall_low",
        "ranking_poor",
    }
    able = changed(lambda _family, _strategy, y: found(y, 0.95, 0.01))
    assert codes(observed.model_observations(able, "tumours")) == {
        "accuracy_above_majority", "recall_sufficient", "ranking_outstanding",
    }  # fmt: skip
    wrong = changed(lambda _family, _strategy, y: found(y, 0.3, 0.7))
    assert "accuracy_below_majority" in codes(observed.model_observations(wrong, "tumours"))
    mixed = changed(lambda family, _strategy, y: found(y, 0.9 if family == "bayes" else 0.2))
    (recalls,) = [seen for seen in observed.model_observations(mixed, "tumours") if seen.code == "recall_differs"]
    assert recalls.entries[0].family == "bayes"
    assert recalls.numbers["highest"] == pytest.approx(0.9, abs=0.05)


def test_a_network_leans_to_the_majority_to_the_minority_or_to_neither(changed):
    for share, false_share, expected in (
        (0.13, 0.0, {"positive_recall_very_low", "bias_to_majority"}),
        (0.4, 0.0, {"positive_recall_low", "bias_to_majority"}),
        (0.9, 0.5, {"positive_recall_high", "bias_to_minority"}),
        (0.7, 0.05, {"positive_recall_moderate", "no_bias"}),
    ):
        scores = changed(lambda _f, _s, y, shares=(share, false_share): found(y, *shares), train_accuracy=0.5)
        assert codes(observed.network_observations(scores, "tumours", NETWORK)) == expected | {"training_close"}
    scores = changed(lambda _f, _s, y: found(y, 0.4), train_accuracy=0.999)
    assert "training_apart" in codes(observed.network_observations(scores, "tumours", NETWORK))


def test_the_method_that_raises_recall_is_named_with_its_price(changed):
    shares = {"none": (0.15, 0.0), "class_weight": (0.9, 0.3), "searched": (0.5, 0.01)}
    scores = changed(lambda _family, strategy, y: found(y, *shares.get(strategy, (0, 0))))
    by_code = {seen.code: seen for seen in observed.method_observations(scores, "tumours")}
    assert set(by_code) == {"recall_raised", "best_recall", "recall_has_price", "best_balance"}
    assert by_code["best_recall"].entries[0].strategy == "class_weight"
    assert by_code["best_balance"].entries[0].strategy == "searched"
    assert by_code["recall_raised"].numbers["before_lowest"] == pytest.approx(0.15, abs=0.05)
    assert by_code["recall_has_price"].numbers["accuracy"] < by_code["recall_has_price"].numbers["plain_accuracy"]
    reversed_shares = {"none": (0.9, 0.0), "class_weight": (0.1, 0.0), "searched": (0.9, 0.0)}
    scores = changed(lambda _family, strategy, y: found(y, *reversed_shares.get(strategy, (0, 0))))
    assert codes(observed.method_observations(scores, "tumours")) == {"recall_lowered", "best_recall", "best_balance"}
    scores = changed(lambda _family, _strategy, y: found(y, 0.6))
    assert "recall_unchanged" in codes(observed.method_observations(scores, "tumours"))
    free = {"none": (0.5, 0.01), "class_weight": (0.9, 0.01), "searched": (0.5, 0.01)}
    scores = changed(lambda _family, strategy, y: found(y, *free.get(strategy, (0, 0))))
    assert "recall_is_free" in codes(observed.method_observations(scores, "tumours"))


@pytest.mark.parametrize(
    ("weighted", "code"), [(0.4, "weights_find_less"), (0.6, "weights_find_as_much"), (0.8, "weights_find_more")]
)
def test_weights_are_compared_with_resampling(changed, weighted, code):
    shares = {"none": 0.1, "class_weight": weighted, "searched": 0.6}
    scores = changed(lambda _family, strategy, y: found(y, shares.get(strategy, 0.1)))
    strategies = scores.run["strategies"] | {"searched": {"kind": "resample", "description": ""}}
    scores = replace(scores, run=scores.run | {"strategies": strategies})
    assert code in codes(observed.method_observations(scores, "tumours"))


def test_several_classes_have_their_weakest_class_named(scores):
    assert codes(observed.method_observations(scores, "three_digits")) == {"best_accuracy", "weakest_class"}
    assert "weakest_class" in codes(observed.network_observations(scores, "three_digits", NETWORK))
    assert "weakest_class" in codes(observed.model_observations(scores, "three_digits"))


def test_the_summary_has_observations_under_each_of_its_tables(scores):
    for task in ("tumours", "three_digits"):
        texts = [part for part in summarize_results(scores, rank_entries(scores, task)) if isinstance(part, str)]
        assert sum(text.startswith("**Key observations**") for text in texts) == 3


def test_every_observation_has_a_sentence_with_its_numbers():
    class AnyNumber(dict):
        def __missing__(self, name):
            return 0.375

    entries = (Entry("dense", "smote", "tuned"), Entry("dense", "none", "tuned"))
    for code in SENTENCES:
        text = describe_observations([Observation(code, entries, AnyNumber(), "<b>Yes</b>")])
        assert text.startswith("**Key observations**\n\n- ")
        assert text.endswith(".")
        assert "<b>" not in text
    assert describe_observations([]) == ""
