"""What a client sent, as columns: JSON or CSV, checked for shape; what the values must be, `read_rows` knows."""

from __future__ import annotations

import csv
import io
from base64 import b64decode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from harness.errors import EvenhandError

if TYPE_CHECKING:
    from harness.deploy.schema import Schema

MOST_ROWS = 10_000
MOST_BYTES = 16 * 2**20
JSON, CSV = "application/json", "text/csv"
DELIMITERS = ",;\t|"
#: Cells of a CSV in which nothing is known, as pandas has it, which read the file that the model learnt from.
GAPS = frozenset({
    "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA", "NULL", "NaN", "None",
    "n/a", "nan", "null",
})  # fmt: skip


class Refused(EvenhandError):  # noqa: N818 -- a reply, not an error of the service
    """A request that is not answered: the status it gets, and where in it the trouble is."""

    def __init__(self, status: int, reason: str, field: str | None = None, row: int | None = None) -> None:
        super().__init__(reason)
        self.status = status
        self.field = field
        self.row = row


@dataclass(frozen=True)
class Sent:
    """Rows as they came, column by column; `ignored` names columns that nothing was asked of."""

    columns: Mapping[str, Sequence[Any]]
    count: int
    ignored: tuple[str, ...] = ()


def read_body(content_type: str, body: bytes, schema: Schema, most: int = MOST_ROWS) -> Sent:
    """Rows of a request in JSON or CSV, 1 to `most`, of which the schema's columns are kept. Raises `Refused`."""
    kind, charset = media_type(content_type)
    if kind not in {JSON, CSV}:
        raise Refused(415, f"Content-Type is {kind or 'missing'}: send {JSON} or {CSV}")
    if charset not in {"utf-8", "utf8", "us-ascii"}:
        raise Refused(415, f"charset {charset} is not read: send UTF-8")
    names = [one.name for one in schema.features]
    sent = _json(body, names, most) if kind == JSON else _csv(body, names, most)
    if kind == CSV and schema.modality == "tabular":  # a message that says no more than "NA" says something
        sent = Sent({name: _known(values) for name, values in sent.columns.items()}, sent.count, sent.ignored)
    return sent if schema.picture is None else _pictures(sent, names[0])


def media_type(content_type: str) -> tuple[str, str]:
    """The kind and the charset that a Content-Type names, in small letters; UTF-8 where it names none."""
    kind, *rest = content_type.lower().split(";")
    given = dict(part.strip().partition("=")[::2] for part in rest)
    return kind.strip(), given.get("charset", "utf-8").strip('"')


def _pictures(sent: Sent, name: str) -> Sent:
    """Files out of base64; what they hold is looked at where rows are read."""
    files = []
    for row, value in enumerate(sent.columns[name]):
        try:
            _, _, text = value.rpartition(",")  # a data URL has its base64 after a comma
            files.append(b64decode(text, validate=True))
        except (AttributeError, ValueError):
            raise Refused(422, f"row {row}: {name!r} must be a PNG or JPEG file in base64", name, row) from None
    return Sent({name: files}, sent.count, sent.ignored)


def _json(body: bytes, names: Sequence[str], most: int) -> Sent:
    from pydantic_core import from_json

    try:
        parsed = from_json(body)
    except ValueError as error:
        raise Refused(400, f"not JSON: {error}") from None
    if not isinstance(parsed, dict) or set(parsed) != {"rows"}:
        raise Refused(422, 'the body must be {"rows": [{column: value, …}, …]} and nothing beside', "rows")
    rows = parsed["rows"]
    if not isinstance(rows, list):
        raise Refused(422, f"rows must be a list, not {_kind(rows)}", "rows")
    _bounded(len(rows), most)
    for i, row in enumerate(rows):
        if not isinstance(row, dict):
            raise Refused(422, f"row {i} must be an object of columns and values, not {_kind(row)}", "rows", i)
    columns = {name: _column(rows, name) for name in names}
    if b"NaN" in body:
        _no_nan(columns)
    ignored = set().union(*rows) - columns.keys()
    return Sent(columns, len(rows), tuple(sorted(ignored)))


def _column(rows: list[dict[str, Any]], name: str) -> list[Any]:
    try:
        return [row[name] for row in rows]
    except KeyError:
        at = next(i for i, row in enumerate(rows) if name not in row)
        raise Refused(422, f"row {at} has no {name!r}: send null where it is not known", name, at) from None


def _no_nan(columns: Mapping[str, Sequence[Any]]) -> None:
    for name, values in columns.items():
        for i, value in enumerate(values):
            if isinstance(value, float) and value != value:  # noqa: PLR0124 -- NaN is what does not equal itself
                raise Refused(422, f"row {i}: {name!r} is NaN, which JSON does not have: send null", name, i)


def _csv(body: bytes, names: Sequence[str], most: int) -> Sent:
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Refused(400, f"not UTF-8: byte {error.start} cannot be read") from None
    delimiter = _delimiter(text, names)
    try:
        header, *rows = _lines(text, delimiter, most)
    except csv.Error as error:
        raise Refused(400, f"broken CSV: {error}") from None
    except ValueError:
        raise Refused(400, "empty: the first line must name the columns") from None
    _bounded(len(rows), most)
    for name in names:
        if header.count(name) != 1:
            raise Refused(422, f"column {name!r} is there {header.count(name)} times, not once", name)
    if set(map(len, rows)) != {len(header)}:
        i, row = next((i, row) for i, row in enumerate(rows) if len(row) != len(header))
        raise Refused(400, f"row {i} has {len(row)} cells and the header {len(header)}", None, i)
    at = {name: header.index(name) for name in names}
    columns = {name: [row[j] for row in rows] for name, j in at.items()}
    ignored = tuple(name for name in header if name not in set(names))
    return Sent(columns, len(rows), ignored)


def _known(values: Sequence[str]) -> Sequence[str | None]:
    return values if GAPS.isdisjoint(values) else [None if value in GAPS else value for value in values]


def _lines(text: str, delimiter: str, most: int) -> list[list[str]]:
    """The header and the rows, one row more than may be at most; lines with nothing on them are none."""
    reader: Iterable[list[str]] = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    return list(islice((row for row in reader if row), most + 2))


def _delimiter(text: str, names: Sequence[str]) -> str:
    """What splits the first line into most columns that are known."""
    first, known = text[: text.find("\n")] if "\n" in text else text, set(names)

    def found(delimiter: str) -> int:
        try:
            return len(known & set(next(csv.reader([first], delimiter=delimiter), [])))
        except csv.Error:
            return 0

    return max(DELIMITERS, key=found)


def _bounded(count: int, most: int) -> None:
    if not 1 <= count <= most:
        many = f"more than {most:,}" if count > most else "none"
        raise Refused(422, f"1 to {most:,} rows are answered at once, there are {many}", "rows")


def _kind(value: Any) -> str:
    kinds = {type(None): "null", bool: "true or false", str: "a string", list: "a list", dict: "an object"}
    return kinds.get(type(value), "a number")
