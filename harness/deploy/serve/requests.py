"""Parsing of request bodies: JSON or CSV into columns, checked for form; `read_rows` checks the values."""

from __future__ import annotations

import csv
import io
from base64 import b64decode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from harness.data.csv_format import SEPARATOR_LINE, name_column
from harness.deploy.schema import Schema
from harness.errors import EvenhandError

MAX_ROWS = 10_000
MAX_BODY_BYTES = 16 * 2**20
JSON, CSV = "application/json", "text/csv"
DELIMITERS = ",;\t|"
TYPE_NAMES = {type(None): "null", bool: "true or false", str: "a string", list: "a list", dict: "an object"}


class RequestError(EvenhandError):
    """A request that is not answered.

    Parameters
    ----------
    status : int
        HTTP status of the response.
    reason : str
        What is wrong with the request.
    field : str, optional
        The column it is wrong in.
    row : int, optional
        The row it is wrong in, counted from 0.
    """

    def __init__(self, status: int, reason: str, field: str | None = None, row: int | None = None) -> None:
        super().__init__(reason)
        self.status, self.field, self.row = status, field, row


@dataclass(frozen=True)
class ParsedRows:
    """Rows of a request by column, with values as they were sent; `ignored` are columns that the model does not read."""

    columns: Mapping[str, Sequence[Any]]
    count: int
    ignored: tuple[str, ...] = ()


def parse_request_rows(content_type: str, body: bytes, schema: Schema, max_rows: int = MAX_ROWS) -> ParsedRows:
    """Parse the rows of a request.

    Parameters
    ----------
    content_type : str
        The header of the request; JSON and CSV in UTF-8 are accepted.
    body : bytes
        The whole body.
    schema : Schema
        Names the columns that are kept.
    max_rows : int, default 10,000
        Largest number of rows.

    Returns
    -------
    ParsedRows
        1 to `max_rows` rows; images are decoded from base64 to the bytes of their files.

    Raises
    ------
    RequestError
        If the body has another form.
    """
    media_type, charset = parse_content_type(content_type)
    parsers = {JSON: _parse_json_rows, CSV: _parse_csv_rows}
    if media_type not in parsers:
        raise RequestError(415, f"Content-Type is {media_type or 'missing'}: send {JSON} or {CSV}")
    if charset not in {"utf-8", "utf8", "us-ascii"}:
        raise RequestError(415, f"charset {charset} is not read: send UTF-8")
    names = [feature.name for feature in schema.features]
    parsed_rows = parsers[media_type](body, names, max_rows)
    if schema.image_shape is not None:
        return _decode_images(parsed_rows, names[0])
    return parsed_rows


def parse_content_type(content_type: str) -> tuple[str, str]:
    """Return the media type and the charset of a Content-Type header in lower case; the charset is UTF-8 by default."""
    media_type, *parameters = content_type.lower().split(";")
    charset = "utf-8"
    for parameter in parameters:
        name, _, parameter_value = parameter.strip().partition("=")
        if name == "charset":
            charset = parameter_value
    return media_type.strip(), charset.strip('"')


def _decode_images(parsed_rows: ParsedRows, name: str) -> ParsedRows:
    """Decode image files from base64; their content is checked when rows are read."""
    files = []
    for row, encoded_image in enumerate(parsed_rows.columns[name]):
        try:
            _, _, base64_text = encoded_image.rpartition(",")  # a data URL has its base64 after a comma
            files.append(b64decode(base64_text, validate=True))
        except (AttributeError, ValueError):
            raise RequestError(422, f"row {row}: {name!r} must be a PNG or JPEG file in base64", name, row) from None
    return ParsedRows({name: files}, parsed_rows.count, parsed_rows.ignored)


def _parse_json_rows(body_bytes: bytes, names: Sequence[str], max_rows: int) -> ParsedRows:
    from pydantic_core import from_json

    try:
        document = from_json(body_bytes)
    except ValueError as error:
        raise RequestError(400, f"not JSON: {error}") from None
    if not isinstance(document, dict) or set(document) != {"rows"}:
        raise RequestError(422, 'the body must be {"rows": [{column: value, …}, …]} and nothing beside', "rows")
    rows = document["rows"]
    if not isinstance(rows, list):
        raise RequestError(422, f"rows must be a list, not {_json_type_name(rows)}", "rows")
    _check_row_count(len(rows), max_rows)
    for i, row in enumerate(rows):
        if not isinstance(row, dict):
            message = f"row {i} must be an object of columns and values, not {_json_type_name(row)}"
            raise RequestError(422, message, "rows", i)
    columns = {name: _column_of_json_rows(rows, name) for name in names}
    if b"NaN" in body_bytes:
        _refuse_nan_numbers(columns)
    ignored_columns = set().union(*rows) - columns.keys()
    return ParsedRows(columns, len(rows), tuple(sorted(ignored_columns)))


def _column_of_json_rows(rows: list[dict[str, Any]], name: str) -> list[Any]:
    try:
        return [row[name] for row in rows]
    except KeyError:
        row_index = next(i for i, row in enumerate(rows) if name not in row)
        message = f"row {row_index} has no {name!r}: send null where it is not known"
        raise RequestError(422, message, name, row_index) from None


def _refuse_nan_numbers(columns: Mapping[str, Sequence[Any]]) -> None:
    for name, cells in columns.items():
        for i, cell in enumerate(cells):
            if isinstance(cell, float) and cell != cell:  # noqa: PLR0124 -- NaN is what does not equal itself
                raise RequestError(422, f"row {i}: {name!r} is NaN, which JSON does not have: send null", name, i)


def _parse_csv_rows(body_bytes: bytes, names: Sequence[str], max_rows: int) -> ParsedRows:
    try:
        text = body_bytes.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RequestError(400, f"not UTF-8: byte {error.start} cannot be read") from None
    delimiter, text = _separate(text, names)
    reader: Iterable[list[str]] = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        header, *rows = islice(filter(None, reader), max_rows + 2)  # without empty lines; one row more than is allowed
    except csv.Error as error:
        raise RequestError(400, f"broken CSV: {error}") from None
    except ValueError:
        raise RequestError(400, "empty: the first line must name the columns") from None
    header = list(map(name_column, header))
    _check_row_count(len(rows), max_rows)
    _check_csv_header(header, names)
    if set(map(len, rows)) != {len(header)}:
        i = next(i for i, row in enumerate(rows) if len(row) != len(header))
        raise RequestError(400, f"row {i} has {len(rows[i])} cells and the header {len(header)}", None, i)
    cells_by_column = dict(zip(header, map(list, zip(*rows, strict=True)), strict=True))
    columns = dict(zip(names, map(cells_by_column.__getitem__, names), strict=True))
    ignored_columns = tuple(name for name in header if name not in columns)
    return ParsedRows(columns, len(rows), ignored_columns)


def _check_csv_header(header: Sequence[str], names: Sequence[str]) -> None:
    for name in names:
        if header.count(name) != 1:
            raise RequestError(422, f"column {name!r} is there {header.count(name)} times, not once", name)


def _separate(text: str, names: Sequence[str]) -> tuple[str, str]:
    """Return the delimiter of a CSV, and its lines without the one in which Excel names the delimiter."""
    first_line, _, following_lines = text.partition("\n")
    separator_match = SEPARATOR_LINE.fullmatch(first_line.strip(" \r"))
    if separator_match is not None:
        return separator_match[1], following_lines
    return _find_delimiter(text, names), text


def _find_delimiter(text: str, names: Sequence[str]) -> str:
    """Return the delimiter that splits the first line into most known columns."""
    first_line = text.partition("\n")[0]

    def count_known(delimiter: str) -> int:
        try:
            return len(set(names).intersection(next(csv.reader([first_line], delimiter=delimiter), [])))
        except csv.Error:
            return 0

    return max(DELIMITERS, key=count_known)


def _check_row_count(count: int, max_rows: int) -> None:
    if not 1 <= count <= max_rows:
        received_count = f"more than {max_rows:,}" if count > max_rows else "none"
        raise RequestError(422, f"1 to {max_rows:,} rows are answered at once, there are {received_count}", "rows")


def _json_type_name(parsed_json: Any) -> str:
    return TYPE_NAMES.get(type(parsed_json), "a number")
