"""Every kind of column is read equally in training, `predict`, `serve` and Python: one run of one table with all of them.

A new kind is one line of `KINDS`: values that are repeated over the rows, or one per row.
"""

import json
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest

import evenhand
from harness.data.table import load_table
from harness.data.user_data import UserData
from harness.deploy.bundle import Bundle, read_bundle
from harness.deploy.predict import predict_file, read_row_batches, read_rows
from harness.deploy.serve.requests import parse_request_rows
from harness.registry.task import Table

ROWS = 60
RNG = np.random.default_rng(3)
AMOUNTS = np.exp(RNG.normal(7, 1, ROWS)).round(2).tolist()
MOMENTS = (pd.Timestamp("2015-03-01 10:20:30") + pd.to_timedelta(RNG.integers(0, 3000, ROWS), unit="D")).to_series()
KINDS = {
    "number": [repr(amount) for amount in AMOUNTS],
    "number with gaps": ["1.5", "", "2", "NA", "-3", "?"],
    "whole number": ["1", "2", "3", "5", "8"],
    "tiny": [f"{amount * 1e-16!r}" for amount in AMOUNTS],
    "huge": [f"{amount * 1e300!r}" for amount in AMOUNTS],
    "decimal comma": ["1,5", "2", "3,25", "-0,5"],
    "dollars": [f"${amount:,.2f}" for amount in AMOUNTS],
    "euros": [f"{amount:,.2f} €".replace(",", "\0").replace(".", ",").replace("\0", ".") for amount in AMOUNTS],
    "negative in parentheses": ["(1.50)", "2.25", "3.75", "(4.00)", "5.10"],
    "points of thousands": [f"{amount * 10:,.0f}".replace(",", ".") for amount in [13, *AMOUNTS[1:]]],
    "blanks of thousands": ["1 234", "12 500", "980", "45 000", "7 100"],
    "apostrophes of thousands": ["1’234.5", "12’500.0", "980.2", "45’000.9", "7’100.1"],
    "Indian groups": ["12,34,567", "1,00,000", "4,560", "88,200", "9,870"],
    "Arabic digits": ["١٢", "٣٤", "٥٦", "٧٨", "٩٠"],
    "prices without cents": ["12.–", "5.-", "CHF 7,--", "3.50", "120.–"],
    "percentages": ["12.5%", "8 %", "99.9%", "0.5%", "3%"],
    "kilograms": ["12.3 kg", "4 kg", "5.25 kg", "70 kg", "8kg"],
    "multiples": ["192.9k", "5M", "1.1bn", "12", "3.3k"],
    "text of a spreadsheet": ["'12.5", '="3.75"', "'4'", '"5.5"', "'6"],
    "strangers": [*(f"{amount}" for amount in AMOUNTS[:-4]), "-", "n.d.", "<0.5", "unknown"],
    "sentinel": [*(str(18 + row) for row in range(ROWS - 2)), "-999", "9999999999"],
    "date": ["2024-01-31", "2023-12-01", "2020-02-29", "", "1969-07-20"],
    "date and time": [f"{moment:%Y-%m-%dT%H:%M:%S}" for moment in MOMENTS],
    "date with a zone": [f"{moment:%Y-%m-%d %H:%M:%S}{'+02:00' if moment.day % 2 else ' EST'}" for moment in MOMENTS],
    "zone as a difference": [f"{moment:%Y-%m-%d %H:%M} UTC+{moment.day % 5}" for moment in MOMENTS],
    "zone of a region": [f"{moment:%Y-%m-%d %H:%M} Europe/Berlin" for moment in MOMENTS],
    "zone of a region in brackets": [f"{moment:%d/%m/%Y %I:%M %p} [America/New_York]" for moment in MOMENTS],
    "day first": ["31.01.2024", "01.12.2023", "29.02.2020", "05.06.2019"],
    "month first": ["1/31/2024", "12/1/2023", "2/29/2020", "6/5/2019"],
    "name of the month": ["07-MAR-19", "08-APR-20", "09-DEC-21", "10-JAN-22"],
    "month first by its name": ["Mar 07, 2019", "Apr 08, 2020", "Dec 9, 2021", "Jan 10, 2022"],
    "years of two digits": ["13/02/45", "28/11/62", "30/05/99", "15/07/05"],
    "Oracle's moments": [f"{moment:%d-%b-%y %I.%M.%S}.000000 {moment:%p}".upper() for moment in MOMENTS],
    "date without separators": [f"{moment:%Y%m%d}" for moment in MOMENTS],
    "moment without separators": [f"{moment:%Y%m%dT%H%M%S}" for moment in MOMENTS],
    "Japanese date": ["2019年3月5日", "2020年12月31日", "2021年10月9日", "2022年1月2日"],
    "quarter": ["2019-Q1", "2020-Q4", "2021-Q3", "2022-Q2"],
    "month": ["03/2019", "12/2020", "10/2021", "01/2022"],
    "impossible dates": [*(f"{moment:%Y-%m-%d}" for moment in MOMENTS[:-2]), "0000-00-00", "2021-02-30"],
    "date for no end": [*(f"{moment:%Y-%m-%d}" for moment in MOMENTS[:-3]), "9999-12-31", "9999-12-31", "0001-01-01"],
    "true and false": ["True", "False", "True", "False", "False"],
    "yes and no": ["yes", "No", "NO", " yes ", "no"],
    "names": ["red", "dark blue", "naïve, or not", '"quoted"', ""],
    "spellings": ["France", " france ", "FRANCE", "Spain", "Spain."],
    "words for missing values": ["brick", "None", "wood", "none", "brick"],
    "codes": ["02134", "10001", "00501", "99950", "60601"],
    "whole numbers beyond 2^53": [str(2**60 + number) for number in range(5)],
    "markup": ["<b>", "</script>", "&amp;", "<b>", "x"],
    "time of day": ["12:30", "13:45", "08:15", "23:59", "00:00"],
    "time with halves of the day": ["12:30 AM", "1:45 PM", "08:15 a.m.", "11:59 PM", "12:00 pm"],
    "duration": ["3 days 02:00:00", "1 days 00:30:15", "0 days 12:00:00", "-1 days +23:00:00", "5 days 00:00:00", "-"],
    "ISO duration": ["PT1H30M", "P2DT12H", "PT45S", "P1D", "PT5M"],
}
#: Kinds that pandas reads with a loss before evenhand sees them, so that a data frame of `read_csv` holds something else.
LOST_BY_PANDAS = {"codes", "points of thousands"}
PATHS = ("predict", "serve csv", "serve json of texts", "serve json of values", "frame of texts", "frame of values")


@dataclass(frozen=True)
class Reading:
    """The table as training read it, the bundle, and the columns of new rows as every path reads them."""

    table: Table
    bundle: Bundle
    columns: dict[str, pd.DataFrame]


def table_of_kinds() -> pd.DataFrame:
    columns = {name: [values[row % len(values)] for row in range(ROWS)] for name, values in KINDS.items()}
    return pd.DataFrame({**columns, "target": RNG.permutation(["a", "b", "b"] * (ROWS // 3))})


@pytest.fixture(scope="module")
def reading(tmp_path_factory) -> Reading:
    folder = tmp_path_factory.mktemp("kinds")
    path = folder / "kinds.csv"
    table_of_kinds().to_csv(path, index=False)
    run = evenhand.benchmark(
        path, target="target", families=["logistic_regression"], strategies=["none"], trials=1, folds=2, inner_folds=2,
        jobs=1, out=folder / "run", report=False, importance=False, progress=False,
    )  # fmt: skip
    run.export(folder / "bundle", entry="logistic_regression/none/default")
    bundle = read_bundle(folder / "bundle")
    schema = bundle.schema
    texts = pd.read_csv(path, dtype="str", keep_default_na=False)
    values = pd.read_csv(path)
    records = values.astype(object).where(values.notna(), None).to_dict("records")
    bodies = {
        "serve csv": ("text/csv", path.read_bytes()),
        "serve json of texts": ("application/json", json.dumps({"rows": texts.to_dict("records")}).encode()),
        "serve json of values": ("application/json", json.dumps({"rows": records}).encode()),
    }
    (batch,) = [batch for batch, _ in read_row_batches(bundle, path)]
    columns = {"predict": batch.inputs.X, "frame of texts": read_rows(schema, texts).X}
    columns["frame of values"] = read_rows(schema, values).X
    for name, (content_type, body) in bodies.items():
        columns[name] = read_rows(schema, parse_request_rows(content_type, body, schema).columns).X
    return Reading(load_table(UserData(str(path), "target").task()), bundle, columns)


def cells(frame: pd.DataFrame, name: str) -> list[object]:
    """A column as numbers and names, None for a missing value."""
    return [None if pd.isna(cell) else cell for cell in frame[name]]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("name", KINDS)
def test_a_column_is_read_everywhere_as_in_training(reading: Reading, name: str, path: str) -> None:
    if "values" in path and name in LOST_BY_PANDAS:
        pytest.skip("pandas reads such a column with a loss")
    learnt, read = cells(reading.table.X, name), cells(reading.columns[path], name)
    if reading.table.readings[name].kind == "category":
        assert read == learnt
    else:
        np.testing.assert_allclose(np.array(read, float), np.array(learnt, float), rtol=1e-9)


def test_all_paths_predict_the_same(reading: Reading, tmp_path) -> None:
    path = tmp_path / "kinds.csv"
    table_of_kinds().to_csv(path, index=False)
    expected = reading.bundle.predict_proba(reading.table.X)
    predict_file(reading.bundle, path, tmp_path / "scored.csv", lambda *_: None)
    scored = pd.read_csv(tmp_path / "scored.csv")
    np.testing.assert_allclose(
        scored["probability_a"], expected[:, list(reading.bundle.schema.classes).index("a")], atol=1e-5
    )
    model = evenhand.open_bundle(reading.bundle.folder)
    np.testing.assert_allclose(model.predict_proba(path), expected)


def test_pass_through_columns_come_back_as_they_were_written(reading: Reading, tmp_path) -> None:
    path = tmp_path / "kinds.csv"
    frame = table_of_kinds()
    frame.to_csv(path, index=False)
    predict_file(reading.bundle, path, tmp_path / "scored.csv", lambda *_: None)
    scored = pd.read_csv(tmp_path / "scored.csv", dtype="str", keep_default_na=False)
    pd.testing.assert_frame_equal(scored[frame.columns.tolist()], frame.astype("str"))
