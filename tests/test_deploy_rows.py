"""New rows: what was learnt of columns in training decides how they are read, checked and flagged."""

import json
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from harness.data.dates import to_days
from harness.data.table import hash_rows, make_table
from harness.data.user_data import UserData
from harness.deploy.bundle import Bundle
from harness.deploy.predict import read_row_batches, read_rows
from harness.deploy.schema import Schema, count_rows_per_bin, describe_task_rows, typical_row
from harness.deploy.validate import InvalidRowsError
from harness.preprocessing.tabular import fit_table_preprocessor
from harness.registry.task import Task

ROWS = 60


def customers() -> pd.DataFrame:
    """Rows of every kind of column, written as people write them."""
    rng = np.random.default_rng(5)
    plans = np.where(np.arange(ROWS) % 12 == 0, "free", np.where(np.arange(ROWS) % 2 == 0, "basic", "plus"))
    frame = pd.DataFrame(
        {
            "plan": plans,
            "months": rng.integers(0, 72, ROWS),
            "bill": [f"{value:.2f}".replace(".", ",") for value in rng.uniform(1, 90, ROWS)],
            "since": [f"{1 + i % 28:02d}.{1 + i % 12:02d}.{2015 + i % 9}" for i in range(ROWS)],
            "paperless": np.arange(ROWS) % 3 == 0,
            "region": (np.arange(ROWS) % 4).astype(float),
            "left": np.where(np.arange(ROWS) % 5 == 0, "yes", "no"),
        }
    )
    frame.loc[7, "plan"] = None
    frame.loc[9, "months"] = np.nan
    return frame


TASK = Task(name="customers", load=lambda _: customers(), target="left", positive="yes", types={"region": "category"})


@pytest.fixture(scope="module")
def schema() -> Schema:
    raw = customers()
    return describe_task_rows(TASK, make_table(TASK, raw))


def row(**other: object) -> dict[str, object]:
    values = {"plan": "basic", "months": 12, "bill": "29,90", "since": "31.01.2020", "paperless": True, "region": 2}
    return values | other


def columns_of(rows: Sequence[dict[str, object]]) -> dict[str, list[object]]:
    """Rows as the service passes them on: a list for each column."""
    return {name: [one[name] for one in rows] for name in rows[0]}


def test_a_schema_says_types_ranges_levels_and_how_text_is_meant(schema: Schema) -> None:
    found = {one.name: (one.kind, one.written) for one in schema.features}
    assert found == {
        "plan": ("category", ""),
        "months": ("number", ""),
        "bill": ("number", "decimal comma"),
        "since": ("date", "day first"),
        "paperless": ("category", "true or false"),
        "region": ("category", "whole numbers"),
    }
    months = schema.features[1]
    known = customers()["months"].dropna()
    assert (months.low, months.high, months.median) == (known.min(), known.max(), known.median())
    assert schema.features[0].levels == ("plus", "basic", "free")
    assert schema.features[3].format_number(schema.features[3].low) == "2015-01-01"


def test_a_schema_survives_json(schema: Schema) -> None:
    assert Schema.from_dict(json.loads(json.dumps(schema.as_dict()))) == schema


@pytest.mark.parametrize("way", ["csv", "json", "frame"])
def test_training_rows_written_out_and_read_again_are_the_same_rows(schema: Schema, tmp_path: Path, way: str) -> None:
    raw = customers()
    if way == "csv":
        raw.to_csv(tmp_path / "rows.csv", index=False)
        given = pd.read_csv(tmp_path / "rows.csv", dtype="str")
    else:
        given = raw if way == "frame" else columns_of(json.loads(raw.to_json(orient="records")))
    read = read_rows(schema, given)
    np.testing.assert_array_equal(hash_rows(read.X), hash_rows(make_table(TASK, raw).X))
    assert read.ignored == ("left",)
    assert {(flag[0], flag[1]) for flag in read.flags} == {(7, "plan"), (9, "months")}


def over(values: Sequence[object]) -> pd.Series:
    return pd.Series([values[i % len(values)] for i in range(ROWS)])


#: Columns that pandas gives another type in training than text has.
ODD = [
    pytest.param(over(["true", "FALSE", None]), "rows.csv", id="booleans with gaps"),
    pytest.param(over([True, False, None]), "rows.parquet", id="nullable booleans"),
    pytest.param(over([date(2024, 1, 31), date(2023, 2, 1), None]), "rows.parquet", id="days"),
    pytest.param(over([Decimal("1.50"), Decimal("2.25"), None]), "rows.parquet", id="decimals"),
    pytest.param(over([3, 4, 9]), "indexed.parquet", id="an index with a name"),
]


@pytest.mark.parametrize(("odd", "name"), ODD)
def test_a_file_of_training_is_read_again_as_it_was_learnt(tmp_path: Path, odd: pd.Series, name: str) -> None:
    frame = pd.DataFrame(
        {"size": np.arange(ROWS) % 7, "odd": odd, "left": np.where(np.arange(ROWS) % 5 == 0, "y", "n")}
    )
    if name == "rows.csv":
        frame.to_csv(tmp_path / name, index=False)
    else:
        (frame.set_index("odd") if name.startswith("indexed") else frame).to_parquet(tmp_path / name)
    task = UserData(str(tmp_path / name), "left").task()
    raw = task.load(None)
    table = make_table(task, raw)
    bundle = Bundle(tmp_path, {}, describe_task_rows(task, table), None)  # type: ignore[arg-type]  # rows need no model
    ((part, _),) = read_row_batches(bundle, tmp_path / name)
    prepare = fit_table_preprocessor(table.X).transform
    learnt, found = prepare(table.X), prepare(part.inputs.X)
    assert list(table.X.columns) == [one.name for one in bundle.schema.features]
    assert (learnt.numbers == found.numbers).all()
    assert (learnt.codes == found.codes).all()
    assert {flag.message for flag in part.inputs.flags} <= {"missing"}


def test_the_shares_of_a_schema_are_those_of_its_rows(schema: Schema) -> None:
    X = make_table(TASK, customers()).X
    for feature, counts in zip(schema.features, count_rows_per_bin(schema, X), strict=True):
        np.testing.assert_allclose(counts / ROWS, feature.shares)
        assert sum(feature.shares) == pytest.approx(1)
    assert count_rows_per_bin(schema, X)[0][-1] == 1  # one plan is missing


def test_a_level_unknown_to_training_counts_as_other(schema: Schema) -> None:
    read = read_rows(schema, columns_of([row(plan="gold")]))
    assert count_rows_per_bin(schema, read.X)[0].tolist() == [0, 0, 0, 1, 0]
    assert read.flags == ((0, "plan", "'gold' is not a value that the model distinguishes", "unknown_category"),)


@pytest.mark.parametrize(
    ("value", "flag"),
    [
        ({"months": None}, "missing"),
        ({"months": ""}, "missing"),
        ({"months": 500}, "500 is beyond the range in training"),
        ({"since": "01.01.9999"}, "9999-01-01 is beyond the range in training, 2015-01-01 to"),
        ({"plan": "?"}, "missing"),
        ({"plan": "\U0001f600"}, "is not a value that the model distinguishes"),
    ],
)
def test_odd_values_are_answered_and_flagged(schema: Schema, value: dict[str, object], flag: str) -> None:
    ((at, name, said, _),) = read_rows(schema, columns_of([row(), row(**value)])).flags
    assert (at, name) == (1, next(iter(value)))
    assert flag in said


@pytest.mark.parametrize(
    "value",
    [
        {"region": "2.0"},
        {"region": 2.0},
        {"paperless": "TRUE"},
        {"months": " 12 "},
        {"bill": 29.9},
        {"plan": " basic "},
        {"plan": "BASIC"},
    ],
)
def test_the_same_value_written_otherwise_is_the_same(schema: Schema, value: dict[str, object]) -> None:
    keys = hash_rows(read_rows(schema, columns_of([row(), row(**value)])).X)
    assert keys[0] == keys[1]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"months": "twelve"}, "expected a finite number, found 'twelve'"),
        ({"months": True}, "found True"),
        ({"months": float("inf")}, "found an infinite one"),
        ({"months": "1e999"}, "found an infinite one"),
        ({"months": 10**400}, "found one that is far too large"),
        ({"months": "1_000"}, "found '1_000'"),
        ({"months": [12]}, "found [12]"),
        ({"bill": "1.5.2"}, "found '1.5.2'"),
        ({"since": "01/31/2020"}, "expected a date like 31.01.2024, found '01/31/2020'"),
        ({"since": 5}, "found 5"),
        ({"plan": {"name": "basic"}}, "expected a text"),
        ({"plan": "\ud800"}, "no Unicode"),
    ],
)
def test_what_cannot_be_understood_is_refused_with_its_row_and_column(
    schema: Schema, value: dict[str, object], said: str
) -> None:
    with pytest.raises(InvalidRowsError) as refused:
        read_rows(schema, columns_of([row(), row(**value)]))
    assert said in str(refused.value)
    assert (refused.value.row, refused.value.field) == (1, next(iter(value)))


def test_a_missing_column_is_named_and_one_that_is_not_read_is_ignored(schema: Schema) -> None:
    lacking = row()
    del lacking["bill"]
    with pytest.raises(InvalidRowsError, match="column 'bill' is missing: expected plan, months"):
        read_rows(schema, pd.DataFrame([lacking]))
    assert read_rows(schema, columns_of([row(shoe_size=43)])).ignored == ("shoe_size",)


def test_a_typical_row_is_one_that_can_be_read(schema: Schema) -> None:
    X = typical_row(schema)
    assert X["plan"].tolist() == ["plus"]
    assert list(X.columns) == [one.name for one in schema.features]
    assert sum(int(counts.sum()) for counts in count_rows_per_bin(schema, X)) == len(schema.features)


def test_texts_are_stripped_and_missing_ones_are_empty() -> None:
    task = Task(name="texts", load=lambda _: None, target="kind", modality="text", text="said")
    raw = pd.DataFrame({"said": ["a b", "free prize", "?", "see you"], "kind": ["ham", "spam", "ham", "ham"]})
    schema = describe_task_rows(task, make_table(task, raw))
    read = read_rows(schema, {"said": [" a b ", None, "?"]})
    assert read.X.tolist() == ["a b", "", "?"]
    assert read.flags == ((1, "said", "missing", "missing_value"),)
    with pytest.raises(InvalidRowsError, match="row 0, column 'said': expected a text, found 5"):
        read_rows(schema, {"said": [5]})


def test_dates_beyond_nanoseconds_are_dates() -> None:
    """9999-12-31 is how many systems write "for ever"."""
    assert to_days(pd.Series(pd.to_datetime(["9999-12-31", "1970-01-02"]))).tolist() == [2_932_896, 1]


def test_what_was_usual_in_training_is_not_flagged() -> None:
    """918 of 1,000 rows were flagged because of a surname; so were new numbers of customers, and gaps that training had too."""
    rng = np.random.default_rng(0)
    names = [f"name {i}" for i in range(400)]
    frame = pd.DataFrame(
        {
            "surname": rng.choice(names, 200),
            "customer_id": rng.permutation(100_000)[:200],
            "gaps": np.where(rng.random(200) < 0.3, np.nan, rng.normal(size=200)),
            "age": rng.integers(18, 80, 200),
            "left": rng.choice(["no", "yes"], 200),
        }
    )
    task = UserData("rows.csv", "left").task()
    schema = describe_task_rows(task, make_table(task, frame))
    new = pd.DataFrame(
        {
            "surname": rng.choice(names, 99),
            "customer_id": range(10**6, 10**6 + 99),
            "gaps": np.nan,
            "age": [81, 200, *[30] * 97],
        }
    )
    flags = read_rows(schema, new).flags
    assert [(flag.row, flag.column) for flag in flags] == [(1, "age")]
