"""Files as people have them: any usual encoding, packed or not, with or without a header; Excel, JSON lines, any Arrow type."""

import datetime
import decimal
import gzip
import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import evenhand
from harness.api.data_frames import convert_to_pandas
from harness.data.arrow_table import convert_arrow_types
from harness.data.csv_format import NO_NAME
from harness.data.files import read_row_batches, read_table
from harness.data.table import NOTES_ATTRIBUTE, load_table
from harness.data.user_data import UserData
from harness.deploy.predict import read_rows
from harness.deploy.schema import describe_task_rows
from harness.errors import DataError, EvenhandError

ROWS = pd.DataFrame({"größe": ["Köln, am Rhein", "Orléans", "señor"] * 10, "n": range(30), "y": ["a", "b", "c"] * 10})
TEXT = ROWS.to_csv(index=False)


def written(path: Path, content: bytes | str) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def messages(frame: pd.DataFrame) -> str:
    return "; ".join(note.message for note in frame.attrs.get(NOTES_ATTRIBUTE, ()))


def rejoined(path: Path, **options: bool) -> pd.DataFrame:
    """A file as it is read for predictions, in batches."""
    return pd.concat([frame for frame, _ in read_row_batches(path, 7, **options)], ignore_index=True)


def zipped(**members: str) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    return content.getvalue()


@pytest.mark.parametrize(
    ("encoding", "choice"),
    [
        ("utf-8", ""),
        ("utf-8-sig", ""),
        ("utf-16", ""),
        ("utf-32", ""),
        ("utf-16-le", "utf-16-le"),
        ("utf-16-be", "utf-16-be"),
        ("latin-1", "cp1252"),
        ("cp1252", "cp1252"),
    ],
)
def test_a_csv_in_any_usual_encoding_is_read_and_the_choice_is_said(tmp_path, encoding, choice):
    path = written(tmp_path / "rows.csv", TEXT.encode(encoding))
    frame = read_table(path)
    pd.testing.assert_frame_equal(frame, ROWS)
    assert choice in messages(frame)
    assert bool(messages(frame)) == bool(choice)
    assert rejoined(path)["größe"].tolist() == ROWS["größe"].tolist()


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("город,класс\nМосква,да\nКазань,нет\nСанкт-Петербург,нет\n", "cp1251"),
        ("名前,都市\n田中,東京\n鈴木,大阪\n佐藤,名古屋\n", "shift_jis"),
        ("城市,标签\n北京,违约\n上海,正常\n广州,正常\n", "gb18030"),
        ("πόλη,ναι\nΑθήνα,όχι\nΘεσσαλονίκη,ναι\n", "cp1253"),
        ("größe,y\n1,2\n", "latin-1"),
        ("price,y\n€ 12,1\n£ 14,2\n", "cp1252"),
        ("a,y\n" + "x,1\n" * 500_000 + "Köln,2\n", "latin-1"),
    ],
)
def test_scripts_are_told_apart(tmp_path, text, encoding):
    path = written(tmp_path / "rows.csv", text.encode(encoding))
    frame = read_table(path)
    lines = text.splitlines()
    assert list(frame.columns) == lines[0].split(",")
    assert str(frame.iloc[-1, 0]) == lines[-1].split(",")[0]


def test_a_character_that_cp1252_does_not_have_is_read_as_latin_1(tmp_path):
    frame = read_table(written(tmp_path / "rows.csv", b"a,y\nK\xf6ln\x81,1\n"))
    assert frame["a"].tolist() == ["Köln\x81"]


@pytest.mark.parametrize("packing", ["gz", "zst", "zip"])
def test_a_packed_csv_is_read(tmp_path, packing):
    content = {
        "gz": gzip.compress(TEXT.encode()),
        "zst": pa.compress(TEXT.encode(), codec="zstd", asbytes=True),
        "zip": zipped(**{"folder/rows.csv": TEXT, "__MACOSX/._rows.csv": "x"}),
    }[packing]
    path = written(tmp_path / f"rows.csv.{packing}", content)
    pd.testing.assert_frame_equal(read_table(path), ROWS)
    assert rejoined(path)["n"].tolist() == list(map(str, range(30)))
    assert UserData(str(path), "y").task().name == "rows"
    damaged = written(tmp_path / f"damaged.csv.{packing}", content[: len(content) // 2])
    with pytest.raises(DataError, match=r"damaged\.csv") as caught:
        read_table(damaged)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_packed_twice_is_refused(tmp_path):
    path = written(tmp_path / "rows.csv.gz", gzip.compress(zipped(**{"rows.csv": TEXT})))
    with pytest.raises(DataError, match=r"rows\.csv\.gz is packed twice"):
        read_table(path)


def test_a_zip_of_several_tables_is_refused_by_their_names(tmp_path):
    path = written(tmp_path / "rows.zip", zipped(**{"a.csv": TEXT, "b.csv": TEXT}))
    with pytest.raises(DataError, match=r"holds 2 files \(a\.csv, b\.csv\)"):
        read_table(path)


def test_what_unpacks_to_far_more_than_a_table_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("harness.data.packed_files.MAX_UNPACKED", 1_000_000)
    path = written(tmp_path / "bomb.csv.gz", gzip.compress(b"a,y\n" + b"1,2\n" * 2_000_000))
    with pytest.raises(DataError, match="unpacks to more than"):
        read_table(path)


@pytest.mark.parametrize(
    ("content", "names"),
    [
        ("sep=;\nx;z;y\n1;2;a\n", ["x", "z", "y"]),
        ('"sep=|"\nx|a,b|y\n1|2|a\n', ["x", "a,b", "y"]),
        ("sep=\t\r\nx\tz\ty\r\n1\t2\ta\r\n", ["x", "z", "y"]),
        ("\n\n \nsep=;\nx;z;y\n1;2;a\n", ["x", "z", "y"]),
        ("\r\n\r\nx,z,y\r\n1,2,a\r\n", ["x", "z", "y"]),
        ('"age, in years";"income, in USD, net";w;y\n1,5;2,5;3;a\n2,5;2,5;3;b\n', ["age, in years", "income, in USD, net", "w", "y"]),
        ('"a;b;c;d",y\n1,2\n', ["a;b;c;d", "y"]),
        ('"first\nsecond",y\n1,2\n', ["first\nsecond", "y"]),
        ('flags,predicted_class,<b>,age,age missing,y\n1,2,3,4,5,6\n', ["flags", "predicted_class", "<b>", "age", "age missing", "y"]),
        (",x,y\n0,1,2\n", [NO_NAME, "x", "y"]),
    ],
)  # fmt: skip
def test_separators_and_names(tmp_path, content, names):
    path = written(tmp_path / "rows.csv", content)
    assert list(read_table(path).columns) == list(read_table(path, names_only=True).columns) == names
    assert list(rejoined(path).columns) == names
    assert len(read_table(path)) == len(rejoined(path)) >= 1


def test_the_message_about_one_column_shows_the_first_line(tmp_path):
    path = written(tmp_path / "rows.csv", "Report of March\nx,y\n1,a\n")
    with pytest.raises(DataError, match="has one column only, 'Report of March'"):
        read_table(path)


@pytest.mark.parametrize(
    "titles",
    ["Report of March\n", "# exported by a tool\n# on 2024-01-31\n\n", '"Report, 2024",,\n', "Report;2024;;\n"],
    ids=["line", "comments", "padded", "two fields"],
)
def test_titles_above_the_names_are_left_out_and_said(tmp_path, titles):
    path = written(tmp_path / "rows.csv", titles + TEXT)
    frame = read_table(path)
    pd.testing.assert_frame_equal(frame, ROWS)
    assert "above the names of the columns" in messages(frame)
    assert rejoined(path)["n"].tolist() == list(map(str, range(30)))
    assert "title_lines" in set(evenhand.inspect(path, target="y").findings().code)


@pytest.mark.parametrize("content", ["city,,\nr,s,t\n1,2,3\n", "a,b\n1\n2,3\n", "plan,id\nx,a|b|c\ny,d|e|f\nz,g|h|i\n"])
def test_no_row_of_data_is_taken_for_a_title(tmp_path, content):
    path = written(tmp_path / "rows.csv", content)
    try:
        frame = read_table(path)
    except DataError:
        return
    assert not [note for note in frame.attrs[NOTES_ATTRIBUTE] if note.code == "title_lines"]


def test_the_message_about_columns_that_are_left_out_is_short(tmp_path):
    rows = ["1," * 500 + label for label in ("a", "b") * 30]
    path = written(tmp_path / "rows.csv", "\n".join([",".join(f"c{i}" for i in range(500)) + ",y", *rows]))
    with pytest.raises(DataError, match=r"no feature left: c0: left out.*and 490 more$") as caught:
        load_table(UserData(str(path), "y").task())
    assert len(str(caught.value)) < 1000


def test_a_file_without_a_header(tmp_path):
    path = written(tmp_path / "rows.csv", "5.1,3.5,setosa\n4.9,3.0,setosa\n6.3,3.3,virginica\n")
    warned = read_table(path)
    assert [(note.code, note.severity) for note in warned.attrs[NOTES_ATTRIBUTE]] == [("header_like_data", "warning")]
    frame = read_table(path, has_header=False)
    assert list(frame.columns) == ["column_1", "column_2", "column_3"]
    assert len(frame) == len(rejoined(path, has_header=False)) == 3
    assert not frame.attrs[NOTES_ATTRIBUTE]
    twice = written(tmp_path / "twice.csv", "1,1,a\n2,3,b\n")
    with pytest.raises(DataError, match="--no-header"):
        read_table(twice)


def test_names_that_are_numbers_are_no_data(tmp_path):
    frame = read_table(written(tmp_path / "rows.csv", "2019,2020,y\nlow,high,a\nhigh,low,b\n"))
    assert not frame.attrs[NOTES_ATTRIBUTE]


def test_json_lines_are_read_with_exact_integers(tmp_path):
    records = [{"id": 2**53 + 1, "x": 1, "y": "a"}, {"id": 2**53 + 2, "y": "b"}, {"id": 3, "x": 2.5, "y": "a"}]
    path = written(tmp_path / "rows.jsonl", "\n".join(map(json.dumps, records)) + "\n\n")
    frame = read_table(path)
    assert frame["id"].tolist() == [2**53 + 1, 2**53 + 2, 3]
    assert frame["x"].isna().tolist() == [False, True, False]
    as_list = written(tmp_path / "rows.json", json.dumps(records))
    pd.testing.assert_frame_equal(read_table(as_list), frame)
    assert sum(len(part) for part, _ in read_row_batches(path, 2)) == 3
    with pytest.raises(DataError, match="line 2"):
        read_table(written(tmp_path / "bad.jsonl", '{"a": 1}\n{"a"\n'))


def test_the_first_sheet_of_an_excel_file_is_read(tmp_path):
    pytest.importorskip("openpyxl")
    path = tmp_path / "rows.xlsx"
    with pd.ExcelWriter(path) as writer:
        ROWS.to_excel(writer, sheet_name="customers", index=False)
        ROWS.head(1).to_excel(writer, sheet_name="notes")
    frame = read_table(path)
    pd.testing.assert_frame_equal(frame, ROWS, check_dtype=False)
    assert "'customers'" in messages(frame)
    with pd.ExcelWriter(tmp_path / "titled.xlsx") as writer:
        ROWS.to_excel(writer, index=False, startrow=2)
        writer.sheets["Sheet1"]["A1"] = "Customers, March"
        writer.sheets["Sheet1"].merge_cells("A1:C1")
    titled = read_table(tmp_path / "titled.xlsx")
    pd.testing.assert_frame_equal(titled, ROWS, check_dtype=False)
    assert "'Customers, March'" in messages(titled)
    assert len(rejoined(path)) == 30
    with pytest.raises(DataError, match="not an Excel file"):
        read_table(written(tmp_path / "bad.xlsx", b"PK\3\4 and so on"))


N = 30
MOMENT = datetime.datetime(1950, 1, 1, tzinfo=datetime.UTC)
ARROW_COLUMNS = {
    "timestamp": pa.array([MOMENT + datetime.timedelta(i) for i in range(N)], pa.timestamp("ns")),
    "zone": pa.array([MOMENT + datetime.timedelta(i) for i in range(N)], pa.timestamp("us", "Europe/Berlin")),
    "date": pa.array([datetime.date(9999, 12, 31), *[datetime.date(2020, 1, 1)] * (N - 1)]),
    "time": pa.array([datetime.time(1, i) for i in range(N)]),
    "duration": pa.array([datetime.timedelta(i) for i in range(N)]),
    "dictionary": pa.array(["a", "b", None] * 10).dictionary_encode(),
    "numbers in a dictionary": pa.array([1, 2, None] * 10).dictionary_encode(),
    "nullable": pa.array([2**53 + 1, None, 5] * 10),
    "unsigned": pa.array([2**64 - 1, None, 5] * 10, pa.uint64()),
    "decimal": pa.array([decimal.Decimal("1.50"), decimal.Decimal("2.25"), None] * 10),
    "long decimal": pa.array([decimal.Decimal(10**20 + i % 2) for i in range(N)]),
    "bytes": pa.array([b"a", b"b", None] * 10),
    "bytes that are no text": pa.array([*[b"a", b"b"] * 14, b"b\xff", None]),
    "bytes of one size": pa.array([b"ab", b"\xff\xfe", None] * 10, pa.binary(2)),
    "boolean": pa.array([True, False, None] * 10),
    "half": pa.array(np.arange(N, dtype=np.float16)),
    "view": pa.array(["a", "b", None] * 10, pa.string_view()),
    "nothing": pa.nulls(N),
}


@pytest.mark.parametrize("name", ARROW_COLUMNS)
def test_parquet_of_any_arrow_type_is_read_exactly(tmp_path, name):
    column = ARROW_COLUMNS[name]
    table = pa.table({"x": column, "z": np.arange(N) * 1.5 + (np.arange(N) % 4), "y": ["a", "b"] * 15})
    path = tmp_path / "rows.parquet"
    pq.write_table(table.replace_schema_metadata({b"pandas": b"{broken"}), path)
    frame = read_table(path)
    assert not any(isinstance(dtype, pd.ArrowDtype) for dtype in frame.dtypes)
    if name in ("nullable", "unsigned"):
        assert frame["x"].dropna().tolist() == column.drop_null().to_pylist()
    task = UserData(str(path), "y").task()
    learnt = load_table(task)
    assert learnt.X.shape[0] == N
    if "x" in learnt.X:
        read = read_rows(describe_task_rows(task, learnt), rejoined(path)).X["x"].astype(object)
        assert (
            read.where(read.notna(), None).tolist()
            == learnt.X["x"].astype(object).where(learnt.X["x"].notna(), None).tolist()
        )


@pytest.mark.parametrize("column", [[[1, i % 2] for i in range(N)], [{"a": i % 3} for i in range(N)]])
def test_columns_of_lists_are_refused_by_name_unless_they_are_left_out(tmp_path, column):
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"parts": column, "z": np.arange(N) * 1.5, "y": ["a", "b"] * 15}), path)
    with pytest.raises(DataError, match=r"column 'parts' holds .*--drop parts"):
        load_table(UserData(str(path), "y").task())
    assert list(load_table(UserData(str(path), "y", drop=("parts",)).task()).X.columns) == ["z"]


def test_a_frame_with_types_of_arrow_becomes_one_without(tmp_path):
    frame = pd.DataFrame({"a": pd.Series([1, None, 3], dtype="int64[pyarrow]"), "b": [1.5, 2.5, 3.5]}, index=[5, 6, 7])
    plain = convert_arrow_types(frame)
    assert plain["a"].dtype == "Int64"
    assert plain.index.tolist() == [5, 6, 7]
    assert plain["b"] is not None


def test_an_index_that_numbers_the_rows_is_a_column_where_it_has_a_name(tmp_path):
    pd.DataFrame({"a": range(9)}, index=pd.RangeIndex(9, name="customer")).to_parquet(tmp_path / "rows.parquet")
    assert read_table(tmp_path / "rows.parquet")["customer"].tolist() == list(range(9))
    assert pd.concat([part for part, _ in read_row_batches(tmp_path / "rows.parquet", 4)])["customer"].tolist() == list(
        range(9)
    )


@pytest.mark.parametrize("header", ["", "Unnamed: 0"])
def test_row_numbers_that_pandas_wrote_are_left_out_with_a_word(tmp_path, header):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({header: rng.permutation(100)[:60], "x": rng.normal(size=60), "y": ["a", "b"] * 30})
    table = load_table(UserData(str(written(tmp_path / "rows.csv", frame.to_csv(index=False))), "y").task())
    assert list(table.X.columns) == ["x"]
    assert [note.code for note in table.notes] == ["unnamed_index"]
    named = frame.assign(**{header: rng.choice(["u", "v"], 60)})
    table = load_table(UserData(str(written(tmp_path / "rows.csv", named.to_csv(index=False))), "y").task())
    assert list(table.X.columns) == [header or NO_NAME, "x"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("wide.csv", b",".join(b"%d" % i for i in range(110_000)) + b"\n"),
        ("old.xls", b"\xd0\xcf\x11\xe0"),
        ("rows.csv", b"\x00\x01\x02" * 99),
        ("rows.csv", b"a,,\n1,2,3\n"),
    ],
)
def test_what_is_no_table_is_refused_in_one_line(tmp_path, name, content):
    with pytest.raises(EvenhandError) as caught:
        read_table(written(tmp_path / name, content))
    assert "\n" not in str(caught.value)


def test_frames_of_pandas_and_polars_keep_exact_integers():
    polars = pytest.importorskip("polars")
    cells = [2**53 + 1, None, 5]
    frames = [
        polars.DataFrame({"a": cells, "c": ["x", "y", None]}),
        pd.DataFrame({"a": pd.Series(cells, dtype="Int64"), "c": ["x", "y", None]}),
        pd.DataFrame(
            {"a": pd.Series(cells, dtype="int64[pyarrow]"), "c": pd.Series(["x", "y", None], dtype="string[pyarrow]")}
        ),
    ]
    for frame in frames:
        converted = convert_to_pandas(frame)
        assert converted["a"].dropna().tolist() == [2**53 + 1, 5]
        assert converted["c"].isna().tolist() == [False, False, True]
        assert not any(isinstance(dtype, pd.ArrowDtype) for dtype in converted.dtypes)


def test_a_polars_type_that_arrow_does_not_have_is_refused_in_one_line():
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame({"x": polars.Series([2**70, 1], dtype=polars.Int128), "y": ["a", "b"]})
    with pytest.raises(DataError, match="Int128"):
        convert_to_pandas(frame)
