"""Malformed inputs: each is read, or refused in one line, within a time and a size.

``python tests/fuzz.py [COUNT] [SEED]`` writes COUNT files and folders (2,000 by default), reads each as a run and as
`evenhand predict` would, and reports what else happened, the slowest input and the memory. Equal arguments make equal inputs.
"""

import contextlib
import gzip
import io
import json
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
import zipfile
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from harness.data.table import load_table
from harness.data.user_data import UserData
from harness.deploy.bundle import Bundle
from harness.deploy.predict import read_row_batches
from harness.deploy.schema import Schema, describe_task_rows
from harness.errors import EvenhandError, failure
from harness.execution.plan import load_task
from harness.registry.protocol import EvaluationProtocol

PROTOCOL = EvaluationProtocol(folds=2, inner_folds=2)
MAX_SECONDS = 30
MAX_GROWTH = 1_500_000_000  #: bytes of memory beyond what the process had at the start
CELLS = [
    "", " ", "?", "NA", "nan", "None", "-", "n.d.", "1e309", "-1e309", "inf", "-inf", "9" * 400, "0x1F", "1_000", "1,5", "1.234,56",
    "$1,234.50",
    "12.3%", "192.9k", "<0.5", "0000-00-00", "2021-02-30", "31.12.9999", "07-MAR-19", "1/2/2020", "24:61", "=1+1",
    "@cmd",
    "true", "TRUE", "Yes", "yes ", "😀", "違約", "e\u0301", "\u202e", "\ufeff", "\u200b", "a" * 5000, "line\nbreak", 'quo"te', "com,ma",
    "semi;colon", "tab\t", "\x00", "\x1b[31m", "<b>", "..", "/", "1e-320", "-0", "0.1", "007", "1.0", "9007199254740993", "1e10",
    "-999",
]  # fmt: skip
NAMES = [
    "x", "y", "target", "", " ", "flags", "predicted_class", "probability_a", "age", "age missing", "<b>", "a" * 300, "Unnamed: 0",
    "x.1",
    "line\nbreak", 'q"', "a,b", "a;b", "😀", "__proto__", "index", "0", "row", "(no name)", "(missing)", "id", "e\u0301", "\x00",
]  # fmt: skip
DATES = ["%Y-%m-%d", "%d.%m.%Y", "%m/%d/%y", "%d-%b-%y"]
ENCODINGS = ["utf-8"] * 4 + [
    "utf-8-sig",
    "utf-16",
    "utf-16-le",
    "utf-32",
    "latin-1",
    "cp1252",
    "cp1251",
    "shift_jis",
    "gb18030",
]


class Outcome(NamedTuple):
    """What came of one input: "read", "refused" or a failure, with the message and the seconds that it took."""

    number: int
    outcome: str
    message: str
    seconds: float


class TooSlowError(BaseException):
    """Raised after `MAX_SECONDS`, past all handlers of errors."""


def random_frame(rng: np.random.Generator) -> pd.DataFrame:
    """A small table with columns of all kinds, among them odd ones, and a target."""
    n = int(rng.choice([0, 1, 2, 5, 30, 60], p=[0.02, 0.02, 0.02, 0.04, 0.3, 0.6]))
    makers = [
        lambda: rng.normal(size=n),
        lambda: rng.normal(size=n) * 10.0 ** rng.integers(-320, 308),
        lambda: rng.integers(-(2**62), 2**62, n),
        lambda: rng.integers(0, 3, n),
        lambda: rng.choice(["a", "b", "c"], n),
        lambda: rng.choice(CELLS, n),
        lambda: np.where(rng.random(n) < 0.1, rng.choice(CELLS), rng.integers(0, 99, n).astype(str)),
        lambda: np.full(n, np.nan),
        lambda: np.full(n, rng.choice(CELLS)),
        lambda: pd.date_range("1950-01-01", periods=n, freq="37D").strftime(str(rng.choice(DATES))),
        lambda: np.arange(n),
        lambda: [" ".join(rng.choice(["win", "money", "now", "😀", ""], 5)) for _ in range(n)],
    ]  # fmt: skip
    count = int(rng.integers(1, 6))
    names = [str(name) for name in rng.choice(NAMES, count, replace=bool(rng.random() < 0.1))]
    columns = [pd.Series(makers[rng.integers(len(makers))](), name=name) for name in names]
    classes = [["no", "yes"], ["0", "1"], ["a", "b", "c"], [">50K", ">50K."], ["x"], ["", "y"], CELLS]
    labels = classes[rng.choice(7, p=[0.55, 0.12, 0.12, 0.1, 0.03, 0.05, 0.03])]
    columns.insert(int(rng.integers(0, count + 1)), pd.Series(rng.choice(labels, n), name="target"))
    return pd.concat(columns, axis=1)


def damaged(content: bytes, rng: np.random.Generator) -> bytes:
    """Content with a few random changes; often with none."""
    data = bytearray(content)
    for _ in range(int(rng.choice([0, 1, 2, 8], p=[0.7, 0.12, 0.1, 0.08]))):
        if not data:
            break
        start = int(rng.integers(len(data)))
        length = int(rng.choice([1, 4, 50, 1000]))
        match int(rng.integers(6)):
            case 0:
                data[start] = int(rng.integers(256))
            case 1:
                del data[start:]
            case 2:
                del data[start : start + length]
            case 3:
                data[start:start] = rng.bytes(length)
            case 4:
                data[start:start] = data[start : start + length] * int(rng.integers(1, 20))
            case 5:
                data[start:start] = rng.choice(
                    np.array([b'"', b",", b"\n", b";", b"\r", b"\x00", b"\xff\xfe", b"sep=;\n"], dtype=object)
                )
    return bytes(data)


def text_bytes(frame: pd.DataFrame, rng: np.random.Generator) -> bytes:
    text = frame.to_csv(
        index=bool(rng.random() < 0.1),
        sep=str(rng.choice([",", ";", "\t", "|", ":"], p=[0.5, 0.2, 0.1, 0.1, 0.1])),
        header=bool(rng.random() < 0.9),
        quoting=int(rng.choice([0, 1])),
        lineterminator=str(rng.choice(["\n", "\r\n", "\r"], p=[0.8, 0.15, 0.05])),
    )
    if rng.random() < 0.05:
        text = "sep=;\n" + text
    return text.encode(str(rng.choice(ENCODINGS)), errors="replace")


def parquet_bytes(frame: pd.DataFrame, rng: np.random.Generator) -> bytes:
    table = pa.Table.from_pandas(frame.loc[:, ~frame.columns.duplicated()])
    n = table.num_rows
    extra = {
        "list": pa.array([[1, 2]] * n, pa.list_(pa.int64())),
        "struct": pa.array([{"a": 1}] * n, pa.struct([("a", pa.int64())])),
        "dictionary": pa.array([str(i % 2) for i in range(n)], pa.string()).dictionary_encode(),
        "decimal": pa.array(range(n), pa.decimal128(38, 0)),
        "time": pa.array(range(n), pa.time64("ns")),
        "timestamp": pa.array([-(2**62), *range(n - 1)][:n], pa.timestamp("ns")),
        "seconds": pa.array([-(2**50), *range(n - 1)][:n], pa.timestamp("s")),
        "duration": pa.array(range(n), pa.duration("ns")),
        "binary": pa.array([b"\xff"] * n, pa.binary()),
        "null": pa.nulls(n),
        "unsigned": pa.array([2**64 - 1, *range(n - 1)][:n], pa.uint64()),
        "half": pa.array(np.full(n, np.inf, np.float16)),
    }
    for name in rng.choice(list(extra), int(rng.integers(0, 4)), replace=False):
        table = table.append_column(str(name), extra[str(name)])
    if rng.random() < 0.3:
        table = table.replace_schema_metadata(
            {b"pandas": bytes(rng.choice(np.array([b"{", b"{}", b'{"index_columns": 3}'], dtype=object)))}
        )
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return buffer.getvalue()


def json_bytes(frame: pd.DataFrame, rng: np.random.Generator) -> bytes:
    records = json.loads(frame.loc[:, ~frame.columns.duplicated()].to_json(orient="records"))
    for record in records[: int(rng.integers(0, 3))]:
        record[str(rng.choice(["x", "extra"]))] = [1, {"deep": None}, 1e400, 10**400, True, None, "x"][
            int(rng.integers(7))
        ]
    if rng.random() < 0.3:
        return json.dumps(records).encode()
    return "\n".join(map(json.dumps, records)).encode()


def excel_bytes(frame: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    legal = frame.map(lambda cell: "".join(c for c in cell if c.isprintable()) if isinstance(cell, str) else cell)
    legal.columns = ["".join(c for c in name if c.isprintable()) for name in legal.columns]
    legal.to_excel(buffer, index=False)
    return buffer.getvalue()


def packed(content: bytes, kind: str) -> bytes:
    if kind == "gz":
        return gzip.compress(content)
    if kind == "zst":
        return bytes(pa.compress(content, codec="zstd", asbytes=True))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("rows.csv", content)
    return buffer.getvalue()


def write_table(folder: Path, rng: np.random.Generator) -> Path:
    """Write one file that may or may not be a table."""
    frame = random_frame(rng)
    kind = str(rng.choice(["csv", "parquet", "jsonl", "xlsx", "packed", "noise"], p=[0.5, 0.2, 0.1, 0.05, 0.1, 0.05]))
    if kind == "csv":
        path, content = folder / str(rng.choice(["rows.csv", "rows.txt", "rows", "rows.tsv"])), text_bytes(frame, rng)
    elif kind == "parquet":
        path, content = folder / "rows.parquet", parquet_bytes(frame, rng)
    elif kind == "jsonl":
        path, content = folder / "rows.jsonl", json_bytes(frame, rng)
    elif kind == "xlsx":
        path, content = folder / "rows.xlsx", excel_bytes(frame)
    elif kind == "packed":
        packing = str(rng.choice(["gz", "zst", "zip"]))
        path, content = folder / f"rows.csv.{packing}", packed(damaged(text_bytes(frame, rng), rng), packing)
    else:
        path, content = (
            folder / str(rng.choice(["rows.csv", "rows.parquet", "rows.xlsx", "rows.jsonl", "rows.zip"])),
            rng.bytes(int(rng.integers(0, 3000))),
        )
    path.write_bytes(damaged(content, rng))
    return path


def write_images(folder: Path, rng: np.random.Generator) -> Path:
    """Write a folder of images, some of them damaged, in folders of odd names."""
    from PIL import Image

    root = folder / "photos"
    root.mkdir()
    places = [
        "cat",
        "dog",
        "train/cat",
        "train/dog",
        "test/cat",
        "test/dog",
        "val/cat",
        "train",
        "test",
        ".",
        "😀",
        "a/b/c/d",
        "CAT",
        "cat ",
    ]
    for place in rng.choice(places, int(rng.integers(0, 7))):
        (root / str(place)).mkdir(parents=True, exist_ok=True)
        for number in range(int(rng.integers(0, 5))):
            mode = str(rng.choice(["L", "RGB", "RGBA", "1", "LA", "P"]))
            size = (int(rng.integers(1, 40)), int(rng.integers(1, 40)))
            buffer = io.BytesIO()
            image = Image.frombytes("L", size, rng.bytes(size[0] * size[1])).convert(mode)
            suffix = str(rng.choice(["png", "jpg", "PNG", "gif", "txt"], p=[0.5, 0.3, 0.1, 0.05, 0.05]))
            if suffix == "jpg":
                image = image.convert("RGB")
            image.save(buffer, "JPEG" if suffix == "jpg" else "PNG")
            (root / str(place) / f"{number}.{suffix}").write_bytes(damaged(buffer.getvalue(), rng))
    return root


def read_as_a_run(path: Path, rng: np.random.Generator) -> str:
    """Read an input as `evenhand run` does, and then as `evenhand predict` would; returns what came of it."""
    if path.is_dir():
        load_task(UserData(str(path), "folder").task(), PROTOCOL, None)
        return "read"
    user_data = UserData(
        str(path),
        "target",
        text="x" if rng.random() < 0.1 else None,
        has_header=bool(rng.random() < 0.95),
        drop_missing_target=bool(rng.random() < 0.7),
    )
    task = user_data.task()
    table = load_table(task)
    schema: Schema = describe_task_rows(task, table)
    bundle = Bundle(path.parent, {}, Schema.from_dict(json.loads(json.dumps(schema.as_dict()))), None)  # type: ignore[arg-type]
    rows = sum(len(batch.frame) for batch, _ in read_row_batches(bundle, path, user_data.has_header))
    left_out = sum(note.rows or 0 for note in table.notes if note.code == "missing_target")
    assert rows == len(table.y) + left_out, f"{rows} rows to predict and {len(table.y)} to learn from"
    load_task(task, PROTOCOL, None)
    return "read"


def run_one(seed: int, number: int, folder: Path) -> tuple[str, str]:
    """Make and read one input: what came of it ("read", "refused" or a failure), and its message."""
    rng = np.random.default_rng([seed, number])
    place = folder / str(number)
    place.mkdir()
    is_image = rng.random() < 0.15
    path = write_images(place, rng) if is_image else write_table(place, rng)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            outcome, message = read_as_a_run(path, rng), ""
    except EvenhandError as error:
        outcome, message = "refused", failure(error)
        if not message.isprintable() or not 10 < len(message) < 3000:
            outcome = "refused, but not in one line"
    except Exception:  # noqa: BLE001 -- that is what is looked for
        outcome, message = "traceback", traceback.format_exc()
    shutil.rmtree(place)
    return outcome, message


def _too_slow(*_: object) -> None:
    raise TooSlowError


def fuzz(count: int, seed: int = 0, first: int = 0) -> list[Outcome]:
    """Read malformed inputs.

    Parameters
    ----------
    count, seed : int
        How many, and the seed of all.
    first : int, default 0
        Number of the first: one input can be made again alone.

    Returns
    -------
    list of Outcome
        Of each input.
    """
    outcomes = []
    signal.signal(signal.SIGALRM, _too_slow)
    start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    folder = Path(tempfile.mkdtemp(prefix="evenhand-fuzz-"))
    try:
        for number in range(first, first + count):
            began = time.perf_counter()
            signal.alarm(MAX_SECONDS)
            try:
                outcome, message = run_one(seed, number, folder)
            except TooSlowError:
                outcome, message = "slow", f"more than {MAX_SECONDS} s"
            finally:
                signal.alarm(0)
            seconds = time.perf_counter() - began
            growth = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - start)
            if growth > MAX_GROWTH and outcome in ("read", "refused"):
                outcome, message = "large", f"{growth / 1e9:.1f} GB after {seconds:.1f} s"
            outcomes.append(Outcome(number, outcome, message, seconds))
    finally:
        with contextlib.suppress(OSError):
            shutil.rmtree(folder)
    return outcomes


if __name__ == "__main__":
    arguments = [int(argument) for argument in sys.argv[1:]]
    all_outcomes = fuzz(*(arguments or [2000]))
    print(Counter(entry.outcome for entry in all_outcomes))
    slowest = max(all_outcomes, key=lambda entry: entry.seconds)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"the slowest, {slowest.number}, took {slowest.seconds:.2f} s; at most {memory:.0f} MB of memory")
    failures = [entry for entry in all_outcomes if entry.outcome not in ("read", "refused")]
    for failed in failures:
        print(f"--- {failed.number}: {failed.outcome}\n{failed.message}")
    sys.exit(bool(failures))
