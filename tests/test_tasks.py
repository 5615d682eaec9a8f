"""The declared tasks on their real data, and the suites made of them."""

import functools
import pickle

import numpy as np
import pandas as pd
import pytest
from harness.tasks.bank_marketing import SUBSCRIPTION
from harness.tasks.keel import TASKS as KEEL
from harness.tasks.keel import parse_keel
from harness.tasks.suites import DEFAULT_STRATEGIES, SUITES

from harness.data.sources import data_directory
from harness.data.table import load_table, make_table
from harness.errors import DataError, Unavailable
from harness.registry.registry import load_registry
from harness.registry.task import Task

REGISTRY = load_registry()


@functools.cache
def loaded(name):
    """The table of a task; its test is skipped where the data cannot be had, as a run would skip it."""
    try:
        return load_table(REGISTRY.tasks[name])
    except Unavailable as reason:
        pytest.skip(str(reason))


@pytest.mark.parametrize(
    ("name", "rows", "columns", "negatives", "positives"),
    [
        ("telco_churn", 7043, 19, 5174, 1869),
        ("caravan", 5822, 85, 5474, 348),
        ("caravan_full", 9822, 85, 9236, 586),
        ("credit_default", 10000, 3, 9667, 333),
        ("digits_nine", 1797, 61, 1617, 180),
        ("bank_marketing", 45211, 15, 39922, 5289),
        ("bank_marketing_with_duration", 45211, 16, 39922, 5289),
        ("subscription", 43094, 15, 39922, 3172),
        ("customer_segmentation", 31647, 15, 28253, 3394),
        ("customer_segmentation_with_duration", 31647, 16, 28253, 3394),
    ],
)
def test_a_task_has_the_rows_and_classes_that_its_source_has(name, rows, columns, negatives, positives):
    table = loaded(name)
    assert table.X.shape == (rows, columns)
    assert list(np.bincount(table.y)) == [negatives, positives]


def test_telco_churn_is_typed_as_it_is_meant():
    table = loaded("telco_churn")
    numbers = table.X.select_dtypes("number")
    assert list(numbers.columns) == ["tenure", "MonthlyCharges", "TotalCharges"]
    assert numbers["TotalCharges"].isna().sum() == 11
    assert list(table.X["SeniorCitizen"].cat.categories) == ["0", "1"]
    assert [finding.note for finding in table.notes] == [
        "customerID: left out, it names the customer",
        "TotalCharges: numbers written as text, 11 blank ones missing",
    ]
    assert [(finding.code, finding.rows) for finding in table.notes] == [("banned", None), ("number_as_text", 11)]


def test_what_is_known_only_afterwards_is_banned_with_its_reason():
    for name, column in (("bank_marketing", "duration"), ("customer_segmentation", "last_contact_duration")):
        assert "known only after" in REGISTRY.tasks[name].banned[column]
        assert column not in REGISTRY.tasks[f"{name}_with_duration"].banned


def test_caravan_full_brings_its_own_test_rows():
    table = loaded("caravan_full")
    assert table.test is not None
    assert table.test.sum() == 4000
    assert "ORIGIN" not in table.X


def test_subscription_always_leaves_out_the_same_positives(tmp_path):
    rows = pd.DataFrame({"age": range(6000), "duration": 1, "y": ["yes", "yes", "no"] * 2000})
    (tmp_path / "bank-marketing").mkdir()
    rows.to_csv(tmp_path / "bank-marketing" / "bank-full.csv", sep=";", index=False)
    first, again = SUBSCRIPTION.load(tmp_path), SUBSCRIPTION.load(tmp_path)
    pd.testing.assert_frame_equal(first, again)
    assert dict(first["y"].value_counts()) == {"yes": 3172, "no": 2000}
    ages = first.loc[first["y"] == "yes", "age"]
    assert ages.is_monotonic_increasing
    assert abs(ages.mean() - 3000) < 100  # spread over the file, not its beginning


def test_a_task_without_its_file_says_what_to_put_where(tmp_path):
    for name in ("caravan_full", "customer_segmentation"):
        with pytest.raises(
            Unavailable, match=r"^put .*\.csv .* the folder [a-z-]+ of a data directory .*EVENHAND_DATA"
        ):
            REGISTRY.tasks[name].load(tmp_path)


def test_the_data_directory_is_the_one_given_else_the_variable(tmp_path, monkeypatch):
    monkeypatch.setenv("EVENHAND_DATA", "/elsewhere")
    assert data_directory(tmp_path) == tmp_path
    assert str(data_directory()) == "/elsewhere"
    monkeypatch.delenv("EVENHAND_DATA")
    assert data_directory() is None


@pytest.mark.parametrize("name", sorted(REGISTRY.tasks))
def test_a_task_says_where_it_comes_from_and_travels_to_other_processes(name):
    task = REGISTRY.tasks[name]
    for text in (task.title, task.description, task.source, task.licence, task.citation):
        assert text
    assert task.positive or task.name in {"handwritten_digits", "digits_photo"}, "of ten classes none is positive"
    assert pickle.loads(pickle.dumps(task)).name == name  # noqa: S301 -- made in this very line


# --- KEEL -----------------------------------------------------------------------------------------------------------


def test_every_keel_set_has_the_rows_its_line_says():
    assert len(KEEL) >= 40
    for task in KEEL:
        counts = np.bincount(loaded(task.name).y)
        text = f"{counts.sum()} rows, {counts[1]} of the rarer class ({counts[1] / counts.sum():.1%})."
        assert task.description == text
        assert 10 <= counts[1] <= counts[0]


def test_the_keel_format_is_understood():
    text = (
        "@relation small\n@attribute 'Atr 1' real [0.0, 9.0]\n@attribute Kind{1, 2}\n@attribute Out {a, b}\n"
        "@attribute Size integer [1, 9]\n@inputs Kind, Size\n@outputs Out\n@data\n"
        "0.5, 1, a, 4\n<null>, 2, b, 5\n9, 2, a, ?\n"
    )
    frame = parse_keel(text, "small")
    assert list(frame.columns) == ["Atr 1", "Kind", "class", "Size"]
    table = make_table(Task(name="t", load=KEEL[0].load, target="class"), frame)
    assert list(table.X["Kind"]) == ["1", "2", "2"]
    assert table.X[["Atr 1", "Size"]].isna().sum().tolist() == [1, 1]
    assert table.classes == ("a", "b")
    with pytest.raises(DataError, match="other is not in KEEL's format"):
        parse_keel("a,b\n1,2\n", "other")


# --- suites ---------------------------------------------------------------------------------------------------------


def test_suites_name_what_is_declared():
    for suite in SUITES.values():
        assert set(suite.task_names(REGISTRY.tasks)) <= set(REGISTRY.tasks)
        assert suite.task_names(REGISTRY.tasks)


def test_full_is_every_task_but_keels_and_keel_is_the_others():
    full, keel = (SUITES[name].task_names(REGISTRY.tasks) for name in ("full", "keel"))
    assert set(full) | set(keel) == set(REGISTRY.tasks) - {"telco_churn_quarter"}
    assert not set(full) & set(keel)
    assert keel == tuple(task.name for task in KEEL)


def test_keel_runs_every_family_but_networks():
    families = REGISTRY.families
    assert SUITES["full"].family_names(families) == tuple(families)
    meant = SUITES["keel"].family_names(families)
    assert set(families) - set(meant) == {name for name, family in families.items() if family.network}


def test_a_plain_name_is_kept_even_where_nothing_is_declared_under_it():
    assert SUITES["quick"].task_names([]) == ("telco_churn", "caravan", "digits_nine")


@pytest.mark.parametrize(
    ("name", "folds", "repeats", "inner", "trials"),
    [("quick", 5, 1, 2, 5), ("full", 5, 2, 3, 30), ("keel", 5, 1, 3, 10), ("smoke", 2, 1, 2, 2)],
)
def test_suites_have_their_protocol(name, folds, repeats, inner, trials):
    protocol = SUITES[name].protocol
    assert (protocol.folds, protocol.repeats, protocol.inner_folds, protocol.trials) == (folds, repeats, inner, trials)


def test_the_default_strategies_begin_with_doing_nothing():
    assert DEFAULT_STRATEGIES[0] == "none"
    assert set(SUITES["quick"].strategies) == set(SUITES["documents"].strategies)
