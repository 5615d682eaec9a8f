"""One reader of raw columns: a value of new rows, from whatever source, is read as the same value was read in training."""

from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from harness.data.reader import UnreadableValueError, read_values
from harness.data.table import make_table
from harness.data.user_data import UserData
from harness.deploy.bundle import Bundle
from harness.deploy.predict import read_row_batches, read_rows
from harness.deploy.schema import Schema, describe_task_rows
from harness.deploy.validate import InvalidRowsError
from harness.errors import DataError
from harness.readings import BLANKS, MISSING_WORDS, ColumnReading
from harness.registry.task import Table, Task

ROWS = 24
#: Values that make training take a column for one of each kind, written in one way.
COLUMNS = {
    "number": ["1", "2.5", "3"],
    "decimal comma": ["1,5", "2", "3,25"],
    "year first": ["2024-01-31", "2023-12-01 12:30"],
    "day first": ["31.01.2024", "01.12.2023"],
    "month first": ["1/31/2024", "12/1/2023"],
    "boolean": ["True", "False"],
    "category": ["red", "dark blue"],
    "whole-number category": ["1", "2"],
    "number category": ["1.5", "2"],
    "text": ["see you", "win a prize"],
}
CATEGORIES = ("whole-number category", "number category")
TEXTS = [
    *("1", "1.0", "2", " 2", "2 ", "+3", "-2", "0.5", ".5", "5.", "1e3", "1E-2", "007", "0", "-0", "-0.0"),
    *("0.1234567890123456789", "12345678901234567", "123456789012345678901", "1_000", "1 000", "1,234", "1.234,5"),
    *("1,5", "0x10", "3\u00a0", "\u0663", "1%", "$1", "12.5.1"),
    *("2024-02-29", "2024-02-30", "2024/01/02", "2024-1-2T06:00", "29.02.2024", "1.1.1970", "02/29/2024", "13/13/2024"),
    *("true", "TRUE", "False", "tRuE", "yes"),
    *("red", " red ", "dark  blue", "Dark Blue", "a, b", "naïve", '"quoted"', "0 "),
    *("", " ", "?", " ? ", "NA", "None", "nan", "<NA>", " NA ", "na"),
]  # fmt: skip
#: Texts that mean something else in a data frame than in a file.
FRAME_TEXTS = ["1.0", "1,5", "true", " red ", "", "?", "NA", "None", " NA "]


def raw_rows(texts: list[str], text: str) -> pd.DataFrame:
    """Rows of texts, one of them the given text; the target has two classes."""
    column = [texts[row % len(texts)] for row in range(ROWS)]
    column[5] = text
    return pd.DataFrame({"size": np.arange(ROWS) % 7, "x": column, "y": ["a", "b", "a"] * (ROWS // 3)})


def task_of(name: str, path: Path) -> Task:
    types = {"x": "category"} if name in CATEGORIES else {}
    user_data = UserData(str(path), "y", text="x" if name == "text" else None).task()
    return Task(
        name="t", load=user_data.load, target="y", modality=user_data.modality, text=user_data.text, types=types
    )


def trained(task: Task, raw: pd.DataFrame) -> tuple[Table, Schema]:
    table = make_table(task, raw)
    return table, describe_task_rows(task, table)


def values_of(X: object) -> list[object]:
    """The column x as numbers or names, None for a missing value."""
    column = X["x"] if isinstance(X, pd.DataFrame) else pd.Series(X)
    return [None if pd.isna(cell) else cell for cell in column]


SOURCES = [*(("csv", text) for text in TEXTS), *(("frame", text) for text in FRAME_TEXTS)]


@pytest.mark.parametrize(("source", "text"), SOURCES, ids=ascii)
@pytest.mark.parametrize("name", COLUMNS)
def test_a_text_is_read_in_new_rows_as_in_training(tmp_path: Path, name: str, source: str, text: str) -> None:
    path = tmp_path / "rows.csv"
    frame = raw_rows(COLUMNS[name], text)
    frame.to_csv(path, index=False)
    task = task_of(name, path)
    raw = task.load(None) if source == "csv" else frame
    table, schema = trained(task, raw)
    learnt = values_of(table.X)
    cells = frame["x"].tolist()
    new_rows = {"size": frame["size"].tolist()}
    assert values_of(read_rows(schema, {**new_rows, "x": cells}).X) == learnt
    assert values_of(read_rows(schema, raw).X) == learnt
    ((batch, _),) = read_row_batches(Bundle(tmp_path, {}, schema, None), path)  # type: ignore[arg-type]  # no model is needed
    assert values_of(batch.inputs.X) == learnt
    # What a value means does not depend on the rows beside it.
    assert values_of(read_rows(schema, {"size": [1], "x": [text]}).X) == [learnt[5]]


@pytest.mark.parametrize("text", ["inf", "-Infinity", "1e400"])
def test_infinite_numbers_are_refused_in_training_and_in_new_rows(tmp_path: Path, text: str) -> None:
    with pytest.raises(DataError, match="infinite"):
        make_table(task_of("number", tmp_path / "rows.csv"), raw_rows(COLUMNS["number"], text))
    _, schema = trained(task_of("number", tmp_path / "rows.csv"), raw_rows(COLUMNS["number"], "4"))
    with pytest.raises(InvalidRowsError, match="infinite"):
        read_rows(schema, {"size": [1], "x": [text]})


DTYPES = {
    "categorical floats": pd.Categorical([1.0, 2.0, None, 3.0]),
    "categorical integers": pd.Categorical([1, 2, 1, 3]),
    "mixed objects": pd.Series([1, "x", 2.0, None], dtype=object),
    "decimals": pd.Series([Decimal("1.50"), Decimal("2"), None, Decimal("-1")], dtype=object),
    "nullable integers": pd.array([1, None, 3, 2**53 + 1], dtype="Int64"),
    "nullable booleans": pd.array([True, None, False, True], dtype="boolean"),
    "single precision": pd.Series([0.1, 2.0, np.nan, 3.0], dtype="float32"),
    "dates": pd.to_datetime(["2024-01-31", "2023-12-01 06:00", None, "9999-12-31"], format="ISO8601"),
    "dates with a zone": pd.to_datetime(["2024-01-31", "2023-12-01", None, "2020-01-01"]).tz_localize("Europe/Berlin"),
    "durations": pd.to_timedelta([24, 36, None, 12], unit="h"),
    "words for missing values": pd.Series(["None", "NA", None, "brick"], dtype="str"),
}


@pytest.mark.parametrize("declared", [None, "category"])
@pytest.mark.parametrize("name", DTYPES)
def test_a_data_frame_is_read_in_new_rows_as_in_training(name: str, declared: str | None) -> None:
    column = pd.concat([pd.Series(DTYPES[name])] * (ROWS // 4), ignore_index=True)
    raw = pd.DataFrame({"size": np.arange(ROWS) % 7, "x": column, "y": ["a", "b", "a"] * (ROWS // 3)})
    types = {} if declared is None else {"x": declared}
    table, schema = trained(Task(name="t", load=lambda _: raw, target="y", types=types), raw)
    learnt = values_of(table.X)
    assert values_of(read_rows(schema, raw).X) == learnt
    for row in range(4):
        assert values_of(read_rows(schema, raw.iloc[[row]]).X) == [learnt[row]]


def test_a_level_that_is_a_word_for_missing_values_stays_a_value_in_a_file(tmp_path: Path) -> None:
    """A data frame may hold the name "None", which in a CSV of another model would be a missing value."""
    raw = raw_rows(["None", "brick"], "brick")
    _, schema = trained(task_of("category", tmp_path / "rows.csv"), raw)
    assert schema.features[1].literals == ("None",)
    raw.to_csv(tmp_path / "new.csv", index=False)
    ((batch, _),) = read_row_batches(Bundle(tmp_path, {}, schema, None), tmp_path / "new.csv")  # type: ignore[arg-type]
    assert values_of(batch.inputs.X) == raw["x"].tolist()
    assert batch.frame["x"].tolist() == raw["x"].tolist()
    assert not batch.inputs.flags


@pytest.mark.parametrize("word", [*BLANKS, *MISSING_WORDS])
@pytest.mark.parametrize("name", ["number", "day first", "boolean", "category"])
def test_words_for_missing_values_are_missing_in_json_as_in_a_file_of_training(
    tmp_path: Path, name: str, word: str
) -> None:
    raw_rows(COLUMNS[name], COLUMNS[name][0]).to_csv(tmp_path / "rows.csv", index=False)
    task = task_of(name, tmp_path / "rows.csv")
    _, schema = trained(task, task.load(None))
    read = read_rows(schema, {"size": [1], "x": [word]})
    assert values_of(read.X) == [None]
    assert read.flags == ((0, "x", "missing", "missing_value"),)


def test_names_of_whole_numbers_are_not_rounded() -> None:
    reading = ColumnReading("category", "whole numbers")
    assert read_values(["12345678901234567", "7.0", "x"], reading).tolist() == ["12345678901234567", "7", "x"]


def test_the_first_value_of_another_format_is_named_with_its_row() -> None:
    with pytest.raises(UnreadableValueError) as refused:
        read_values(["2024-01-31", None, "2024-02-30", "soon"], ColumnReading("date"))
    assert (refused.value.row, refused.value.description) == (2, "'2024-02-30'")


@pytest.mark.parametrize("kind", ["number", "category", "text", "date"])
@pytest.mark.parametrize("cell", ["\ud800", 10**5000], ids=["half a character", "thousands of digits"])
def test_what_cannot_be_written_is_refused_not_a_traceback(kind: str, cell: object) -> None:
    with pytest.raises(UnreadableValueError) as refused:
        read_values(["1", cell], ColumnReading(kind))  # type: ignore[arg-type]
    assert refused.value.row == 1
