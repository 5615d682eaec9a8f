"""A file of new rows scored, however large it is: read in parts, answered in parts, written as one."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeAlias

from harness.data.images import SUFFIXES
from harness.data.sources import separator_of, unindexed
from harness.deploy.bundle import Bundle
from harness.deploy.input_rows import BadRows, Read, read_pictures, read_rows
from harness.errors import BundleError, DataError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

#: Rows at once: what they take does not grow with the file.
PART, PICTURES = 20_000, 256
#: What is added to the columns of a table.
CLASS, FLAGS = "predicted_class", "flags"

#: Called with rows done and how much of the file has been read, 0 to 1.
Progress: TypeAlias = Callable[[int, float], None]


@dataclass(frozen=True)
class Scored:
    """How many rows were scored, how many of them were flagged, and how many were called each class."""

    rows: int
    flagged: int
    called: dict[str, int]


def predict_file(bundle: Bundle, source: Path, out: Path, progress: Progress) -> Scored:
    """Score the rows of a CSV or Parquet file, or the pictures of a folder, into a CSV.

    Tables keep their columns, in their order; added are the class, the probability of each class and what is odd about a
    row. Pictures are listed by name. `out` is there whole or not at all. Raises `DataError` or `BadRows`, with the
    number of the row in the file, where a row cannot be answered.
    """
    _check_kind(bundle, source)
    if out.resolve() == source.resolve():
        raise DataError(f"{out} is the file that is to be read: name another one with --out")
    if out.exists() and not out.is_file():  # a file that takes the place of /dev/stdout is there to stay
        raise DataError(f"{out} is no file that can be replaced: name another one with --out")
    out = out.resolve()  # a link stays one
    temporary = out.with_name(f".{out.name}.{os.getpid()}.part")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("w", encoding="utf-8", newline="") as file:
            scored = _score(bundle, source, file, progress)
        temporary.replace(out)
    except OSError as error:
        raise BundleError(f"cannot write {out}: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)
    return scored


def _score(bundle: Bundle, source: Path, file: IO[str], progress: Progress) -> Scored:
    import numpy as np

    classes = bundle.schema.classes
    called, flagged, done = np.zeros(len(classes), dtype=np.int64), 0, 0
    for part, share in parts(bundle, source):
        proba = bundle.predict_proba(part.read.X)
        decided = bundle.decide(proba)
        frame = _with_answers(part, classes, proba, decided)
        frame.to_csv(file, index=False, header=done == 0, lineterminator="\n")
        called += np.bincount(decided, minlength=len(classes))
        flagged += len({row for row, _, _ in part.read.flags})
        done += len(decided)
        progress(done, share)
    if not done:
        raise DataError(f"{source} holds no rows: there is nothing to predict")
    return Scored(done, flagged, dict(zip(classes, called.tolist(), strict=True)))


@dataclass(frozen=True)
class Part:
    """Some rows of a file: as they were given, and as the bundle reads them."""

    shown: pd.DataFrame  #: columns as they were given, or the names of pictures
    read: Read


def _with_answers(
    part: Part, classes: tuple[str, ...], proba: npt.NDArray[np.float64], decided: npt.NDArray[np.int64]
) -> pd.DataFrame:
    flags: dict[int, list[str]] = {}
    for row, name, what in part.read.flags:
        flags.setdefault(row, []).append(f"{name}: {what}")
    answers: dict[str, Any] = {CLASS: [classes[i] for i in decided]}
    answers |= {f"probability_{name}": [f"{p:.6g}" for p in proba[:, i]] for i, name in enumerate(classes)}
    answers[FLAGS] = ["; ".join(flags.get(row, ())) for row in range(len(decided))]
    taken = [name for name in answers if name in part.shown.columns]
    if taken:
        raise DataError(f"the rows have a column {taken[0]!r} already: rename it, scoring adds one of that name")
    return part.shown.assign(**answers)


def parts(bundle: Bundle, source: Path) -> Iterator[tuple[Part, float]]:
    """The rows of a file or of a folder of pictures, part by part, and how much of it has been read, 0 to 1.

    Raises as `predict_file` does.
    """
    _check_kind(bundle, source)
    try:
        yield from _of_folder(bundle, source) if source.is_dir() else _of_file(bundle, source)
    except OSError as error:
        raise DataError(f"cannot read {source}: {error.strerror or error}") from error


def _check_kind(bundle: Bundle, source: Path) -> None:
    if not source.exists():
        raise DataError(f"no such file: {source}")
    if (bundle.schema.modality == "image") != source.is_dir():
        wanted = "a folder of pictures" if bundle.schema.modality == "image" else "a CSV or Parquet file"
        raise DataError(f"{source}: this bundle takes {wanted}")


def _of_file(bundle: Bundle, source: Path) -> Iterator[tuple[Part, float]]:
    done = 0
    for frame, share in (
        _of_parquet(source) if source.suffix.lower() in (".parquet", ".pq") else _of_csv(bundle, source)
    ):
        try:
            yield Part(frame, read_rows(bundle.schema, frame)), share
        except BadRows as error:
            if error.row is None:
                raise
            said = str(error).replace(f"row {error.row}", f"row {done + error.row + 1} of {source.name}", 1)
            raise BadRows(said, error.field, done + error.row) from error
        done += len(frame)


def _of_csv(bundle: Bundle, source: Path) -> Iterator[tuple[pd.DataFrame, float]]:
    """Rows as they are written: how a value is to be understood was learnt in training and not from these rows."""
    import pandas as pd

    texts = bundle.schema.modality == "text"
    separator = separator_of(source, fewest=1)
    size = max(source.stat().st_size, 1)
    try:
        with source.open("rb") as file:
            reader = pd.read_csv(
                file, sep=separator, dtype="str", encoding="utf-8-sig", chunksize=PART, na_filter=not texts
            )
            for frame in reader:
                if not isinstance(frame.index, pd.RangeIndex):
                    raise DataError(f"{source}: its rows have more fields than its first line has names")
                yield frame.reset_index(drop=True), min(1.0, file.tell() / size)
    except UnicodeDecodeError as error:
        raise DataError(f"{source} is not UTF-8 (byte {error.start}): save it as UTF-8") from error
    except (pd.errors.ParserError, pd.errors.EmptyDataError, csv.Error) as error:
        said = " ".join(str(error).split())[:160]
        raise DataError(f"{source} is not a table that can be read ({said})") from error


def _of_parquet(source: Path) -> Iterator[tuple[pd.DataFrame, float]]:
    import pyarrow.parquet

    try:
        file = pyarrow.parquet.ParquetFile(source)
        rows, done = max(file.metadata.num_rows, 1), 0
        for batch in file.iter_batches(PART):
            done += batch.num_rows
            yield unindexed(batch.to_pandas()), done / rows
    except (pyarrow.ArrowException, ValueError) as error:
        said = " ".join(str(error).split())[:160]
        raise DataError(f"{source} is not a Parquet file that can be read ({said})") from error


def _of_folder(bundle: Bundle, source: Path) -> Iterator[tuple[Part, float]]:
    import pandas as pd

    files = sorted(file for file in source.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())
    for start in range(0, len(files), PICTURES):
        some = files[start : start + PICTURES]
        names = [file.relative_to(source).as_posix() for file in some]
        try:
            read = read_pictures(bundle.schema, (file.read_bytes() for file in some))
        except BadRows as error:
            name = names[error.row or 0]
            raise BadRows(f"{name}: {str(error).split(': ', 1)[-1]}", error.field, error.row) from error
        yield Part(pd.DataFrame({"file": names}), read), min(1.0, (start + len(some)) / len(files))
