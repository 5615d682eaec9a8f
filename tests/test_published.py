"""Published results beside those of a run, the suite that repeats them, and its combinations of families and strategies."""

from __future__ import annotations

import math
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from fixtures_run import tumours, write_run
from harness.tasks.published import DOCUMENTS, SUBSCRIPTION_METHODS
from harness.tasks.suites import SUITES

from harness.api.request import RunOptions, describe_cost_of_fewer_folds, make_run_request
from harness.errors import DeclarationError
from harness.evaluation.published import (
    PublishedAndRunValue,
    are_published_values_consistent,
    compare_published_tables,
    implied_positive_shares,
)
from harness.evaluation.score_collection import collect_scores
from harness.execution.plan import RunRequest, describe_run, make_plan
from harness.registry.published import PublishedRow, PublishedTable
from harness.registry.registry import load_registry
from harness.report.sections.published import (
    compare_published_with_run,
    describe_published_results,
    tabulate_published_and_run,
)
from harness.report.write import write_leaderboard

REGISTRY = load_registry()
METRICS = ("accuracy", "precision_negative", "recall_negative", "precision", "recall")


def options(**fields):
    """The options of a run without data of its own."""
    return RunOptions(**({"file": None, "suite": None, "tasks": (), "families": (), "strategies": ()} | fields))


def methods(values):
    """A table of methods with these published values by label, family and strategy."""
    rows = tuple(PublishedRow(*names, METRICS, numbers) for names, numbers in values.items())
    return PublishedTable(
        task="tumours",
        title="Methods",
        source="A study",
        protocol="one split",
        label_heading="Method",
        columns=("Accuracy", "Precision (No)", "Recall (No)", "Precision (Yes)", "Recall (Yes)"),
        rows=rows,
    )


PLAIN = ("Plain", "logistic_regression", "none")
WEIGHTED = ("Weighted", "logistic_regression", "class_weight")
OTHER = ("Other", "bayes", "none")
ABSENT = ("Absent", "bayes", "smote")
# 60 of 417 rows are positive, 14.4 %: 0.9 · 0.144 + 0.95 · 0.856 = 0.943.
FITTING = ("0.943", "0.98", "0.95", "0.75", "0.90")
NUMBERS = {PLAIN: FITTING, WEIGHTED: ("0.90", "0.80", "0.95", "0.75", "0.30"), OTHER: FITTING, ABSENT: FITTING}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("published") / "run", [tumours()]).folder


def with_table(folder: Path, table: PublishedTable):
    """The scores of the run as if its suite had this published table."""
    from harness.store.store import Store

    scores = collect_scores(Store(folder), REGISTRY.metrics)
    task = scores.run["tasks"]["tumours"] | {"published": [asdict(table)]}
    return replace(scores, run={**scores.run, "tasks": {"tumours": task}})


def compared(row: PublishedRow) -> dict[str, PublishedAndRunValue]:
    values = {}
    for metric, text in zip(row.metrics, row.values, strict=True):
        values[metric] = PublishedAndRunValue(metric, float(text), len(text.partition(".")[2]), math.nan)
    return values


# --- are published numbers possible? ----------------------------------------------------------------------------------


@pytest.mark.parametrize("row", SUBSCRIPTION_METHODS.rows, ids=lambda row: row.strategy)
def test_of_the_published_methods_only_the_baseline_is_possible(row):
    assert are_published_values_consistent(compared(row)) is (row.strategy == "none")


def test_numbers_of_a_real_confusion_matrix_are_consistent_at_its_share_of_positives():
    tp, fn, fp, tn = 54, 6, 18, 339
    exact = ((tp + tn) / 417, tn / (tn + fn), tn / (tn + fp), tp / (tp + fp), tp / 60)
    row = PublishedRow("", "", "", METRICS, tuple(f"{number:.2f}" for number in exact))
    assert are_published_values_consistent(compared(row)) is True
    full = compared(replace(row, values=tuple(f"{number:.9f}" for number in exact)))
    assert implied_positive_shares(full) == pytest.approx(
        dict.fromkeys(METRICS[:1] + METRICS[3:0:-2], 60 / 417), abs=1e-6
    )
    wrong = full | {"precision": replace(full["precision"], published=0.5)}
    assert are_published_values_consistent(wrong) is False


def test_with_too_few_numbers_nothing_is_said_about_consistency():
    values = compared(PublishedRow("", "", "", ("accuracy", "recall"), ("0.9", "0.5")))
    assert are_published_values_consistent(values) is None
    assert implied_positive_shares(values) == {}


# --- tables and sentences ---------------------------------------------------------------------------------------------


def test_the_values_of_the_run_stand_beside_the_published_ones(folder):
    scores = with_table(folder, methods(NUMBERS))
    (table,) = compare_published_tables(scores, "tumours")
    rendered = tabulate_published_and_run(table)
    assert [column.heading for column in rendered.columns][:5] == [
        "Method", "Accuracy", "Accuracy, here", "Precision (No)", "Precision (No), here",
    ]  # fmt: skip
    plain = rendered.rows[0]
    assert (plain[0], plain[1].value, plain[1].digits) == ("Plain", 0.943, 3)
    confusion = scores.pooled_confusion("tumours", table.rows[0].entry, "half")
    assert plain[2] == pytest.approx(confusion.trace() / confusion.sum())
    assert plain[10] == pytest.approx(confusion[1, 1] / confusion[1].sum())
    assert table.rows[3].status == "not part of this run"
    assert math.isnan(rendered.rows[3][2])


def test_key_observations_follow_from_the_numbers(folder):
    (table,) = compare_published_tables(with_table(folder, methods(NUMBERS)), "tumours")
    scores = with_table(folder, methods(NUMBERS))
    text = "\n".join(compare_published_with_run(scores, table))
    recalls = {row.label: row.values[4].run for row in table.rows if not row.status}
    best = max(recalls, key=recalls.get)
    assert "Always predicting the larger class is right for 85.6% of the rows" in text
    assert "The recall of Yes is highest in the publication with Plain (0.90)" in text
    assert f"and here with {best} ({recalls[best]:.2f}" in text
    assert "The published numbers of 1 of 4 rows contradict themselves (Weighted)" in text

    flipped = NUMBERS | {
        PLAIN: NUMBERS[WEIGHTED],
        WEIGHTED: FITTING,
        OTHER: NUMBERS[WEIGHTED],
        ABSENT: NUMBERS[WEIGHTED],
    }
    scores = with_table(folder, methods(flipped))
    text = "\n".join(compare_published_with_run(scores, compare_published_tables(scores, "tumours")[0]))
    assert "in the publication with Weighted (0.90, 0.30 with Plain)" in text
    assert "of 3 of 4 rows contradict themselves (Plain, Other and Absent)" in text


def test_an_entry_that_could_not_be_evaluated_is_named_with_its_reason(folder):
    parts = describe_published_results(with_table(folder, methods(NUMBERS)), "tumours")
    assert "Not evaluated here: bayes/smote (not part of this run)." in parts[-1]


def test_a_publication_without_numbers_has_a_table_and_no_observations(folder):
    table = replace(methods({PLAIN: ()}), protocol="no numbers")
    scores = with_table(folder, table)
    (title, _) = describe_published_results(scores, "tumours")
    assert title.startswith("**Methods**. A study: no numbers. Here: 4 outer splits, 3 trials")


def test_tables_of_runs_without_published_results_have_no_such_part(folder):
    from harness.store.store import Store

    files = write_leaderboard(Store(folder), REGISTRY.metrics)
    assert "Published results" not in files.markdown.read_text(encoding="utf-8")


def test_a_row_needs_a_metric_per_column():
    with pytest.raises(DeclarationError, match=r"row 'Plain' has 5 metrics and 2 values, but there are 5 columns"):
        methods({PLAIN: ("0.9", "0.8")})


# --- the suite --------------------------------------------------------------------------------------------------------


def test_every_published_row_is_a_combination_of_the_suite():
    suite = SUITES["documents"]
    assert set(suite.combinations) == set(suite.tasks)
    for table in DOCUMENTS:
        for row in table.rows:
            assert row.strategy in suite.combinations[table.task][row.family]
            for metric in filter(None, row.metrics):
                REGISTRY.metric(metric)


def test_a_suite_with_combinations_runs_these_unless_families_or_strategies_are_named():
    request = make_run_request(options(suite="documents"), REGISTRY)
    spam = request.strategy_names("sms_spam", REGISTRY.family("recurrent_network"))
    assert (spam, request.strategy_names("sms_spam", REGISTRY.family("dense_network"))) == (("none",), ())
    assert request.strategy_names("sms_spam", REGISTRY.family("majority")) == ("none",)
    named = make_run_request(options(suite="documents", strategies=("none", "smote")), REGISTRY)
    assert named.strategy_names("sms_spam", REGISTRY.family("dense_network")) == ("none", "smote")
    assert named.published == DOCUMENTS


def test_cells_and_description_of_a_run_with_combinations():
    table = PublishedTable(
        task="digits_nine", title="t", source="s", protocol="p", label_heading="Model", columns=("Accuracy",),
        rows=(PublishedRow("LR", "logistic_regression", "none", ("accuracy",), ("0.9",)),),
    )  # fmt: skip
    request = RunRequest(
        ("digits_nine",), ("logistic_regression", "gradient_boosting"), ("none", "smote"), SUITES["smoke"].protocol,
        combinations={"digits_nine": {"logistic_regression": ("smote",)}}, published=(table,),
    )  # fmt: skip
    assert RunRequest.from_dict(request.as_dict()).combinations == request.combinations
    plan = make_plan(request, REGISTRY)
    pairs = {(cell.family, cell.strategy) for cell in plan.cells}
    assert pairs == {("majority", "none"), ("logistic_regression", "smote")}
    assert describe_run(request, REGISTRY, plan, "", "")["tasks"]["digits_nine"]["published"] == [asdict(table)]


# --- fewer folds ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("suite", "protocol", "ratio"),
    [
        (
            None,
            {"folds": 3},
            "2 instead of 4 degrees of freedom, so at equal spread 95 % intervals are 1.02 times",
        ),
        (None, {"folds": 3}, "and 1.55 times where nothing else does"),
        (None, {"folds": 2}, "and 4.58 times"),
        (
            "full",
            {"folds": 3},
            "5 instead of 9 degrees of freedom",
        ),
        (None, {"folds": 3, "repeats": 2}, ""),
        (None, {"folds": 5}, ""),
        (None, {}, ""),
    ],
)
def test_fewer_folds_say_what_they_cost(suite, protocol, ratio):
    note = describe_cost_of_fewer_folds(options(suite=suite, protocol=protocol))
    assert (ratio in note) if ratio else not note
