"""Data sets, tasks and suites of OpenML: metadata and ARFF files of its public REST interface, checked and cached as Parquet.

The package `openml` is not used: its cache holds pickles, which it reads again.
"""

from __future__ import annotations

import hashlib
import re
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.data.source_cache import CacheFolder, FetchedData, ServerError, server_address
from harness.errors import DataError, MissingPackageError

if TYPE_CHECKING:
    import pandas as pd

SERVER = "https://www.openml.org/api/v1/xml"
SERVER_VARIABLE = "EVENHAND_OPENML_SERVER"
NAMESPACE = "{http://openml.org/openml}"
ROWS, DESCRIPTION, FEATURES = "rows.parquet", "description.xml", "features.xml"
CLASSIFICATION = "1"  #: number of the type of tasks
MAX_DESCRIPTION = 300  #: characters of a description that a report repeats
#: Name of the column that says in which fold, or part, a task tests a row.
SPLIT_COLUMN = "published split"
ADDRESS = re.compile(r"openml(?:-(task|suite))?:(?:(task|suite|data)/)?(\d+)")
ADDRESS_FORMS = "openml:ID (a data set), openml:task/ID or openml:suite/ID"


@dataclass(frozen=True)
class OpenmlAddress:
    """What an address such as `openml:task/31` names: a data set, a task or a suite, and its number."""

    kind: str
    number: int

    def __str__(self) -> str:
        return f"openml:{self.number}" if self.kind == "data" else f"openml:{self.kind}/{self.number}"

    @property
    def folder(self) -> CacheFolder:
        """Its folder in the cache."""
        return CacheFolder(str(self), ("openml", f"{self.kind}-{self.number}"))


def parse_address(text: str) -> OpenmlAddress:
    """Read `openml:61`, `openml:task/31`, `openml-task:31` or `openml-suite:99`; raises `DataError` for any other form."""
    match = ADDRESS.fullmatch(text.strip())
    if match is None or (match[1] and match[2]):
        raise DataError(f"{text!r} is no address of OpenML: expected {ADDRESS_FORMS}")
    return OpenmlAddress(match[1] or match[2] or "data", int(match[3]))


def fetch_openml(text: str) -> list[FetchedData]:
    """Fetch what an address names: one data set, or all tasks of a suite.

    Parameters
    ----------
    text : str
        The address.

    Returns
    -------
    list of FetchedData
        The data, in the cache.

    Raises
    ------
    Unavailable
        If something is not in the cache and the network cannot be reached.
    DataError
        If there is no such thing, it is no classification, or a checksum is wrong.
    """
    address = parse_address(text)
    if address.kind == "data":
        return [_fetch_data(address)]
    if address.kind == "task":
        return [_fetch_task(address)]
    suite_xml = _fetch_xml(address, "suite.xml", f"study/{address.number}")
    task_numbers = [int(xml_element.text or 0) for xml_element in suite_xml.iter(f"{NAMESPACE}task_id")]
    if not task_numbers:
        raise DataError(f"{address} ({_text(suite_xml, 'name') or 'without a name'}) lists no tasks")
    return [_fetch_task(OpenmlAddress("task", task_number)) for task_number in task_numbers]


def _fetch_xml(address: OpenmlAddress, name: str, api_query: str) -> ET.Element:
    """Metadata of a thing; an error of the server is passed on in its own words."""
    url = f"{server_address(SERVER_VARIABLE, SERVER)}/{api_query}"
    try:
        path = address.folder.fetch(name, url)
    except ServerError as error:
        raise DataError(f"{address}: OpenML answers: {_server_message(error)}") from error
    try:
        return ET.fromstring(path.read_bytes())  # noqa: S314 -- the expat of Python 3.11 bounds the expansion of entities
    except ET.ParseError as error:
        path.unlink(missing_ok=True)
        raise DataError(f"{address}: {url} did not answer with XML ({error})") from error


def _server_message(error: ServerError) -> str:
    try:
        message = _text(ET.fromstring(error.body), "message")  # noqa: S314 -- as above
    except ET.ParseError:
        message = ""
    return message or str(error)


def _text(xml_element: ET.Element, name: str) -> str:
    """The text of the first element of a name below another; empty where there is none."""
    child_element = xml_element.find(f".//{NAMESPACE}{name}")
    return " ".join((child_element.text or "").split()) if child_element is not None else ""


def _fetch_data(address: OpenmlAddress) -> FetchedData:
    description = _fetch_xml(address, DESCRIPTION, f"data/{address.number}")
    features = _fetch_xml(address, FEATURES, f"data/features/{address.number}")
    if not address.folder.has(ROWS):
        _fetch_rows(address, description)
    targets = [name for name in _text(description, "default_target_attribute").split(",") if name]
    dropped_columns = []
    for feature in features.iter(f"{NAMESPACE}feature"):
        if "true" in (_text(feature, "is_ignore"), _text(feature, "is_row_identifier")):
            dropped_columns.append(_text(feature, "name"))
    name = _text(description, "name")
    return FetchedData(
        path=address.folder.path / ROWS,
        name=_safe_name(f"openml_{address.number}_{name}"),
        target=targets[0] if len(targets) == 1 else None,
        drop=tuple(column for column in dropped_columns if column not in targets),
        origin=_describe_origin(address, description),
    )


def _describe_origin(address: OpenmlAddress, description: ET.Element) -> dict[str, str]:
    text = _text(description, "description").replace("**", "")
    if len(text) > MAX_DESCRIPTION:
        text = text[:MAX_DESCRIPTION].rsplit(" ", 1)[0] + " …"
    return {
        "title": f"{_text(description, 'name')} ({address})",
        "description": text,
        "source": f"{address}, version {_text(description, 'version') or '1'}: https://www.openml.org/d/{_text(description, 'id')}",
        "licence": _text(description, "licence"),
        "citation": _text(description, "citation"),
    }


def _safe_name(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")


def _fetch_rows(address: OpenmlAddress, description: ET.Element) -> None:
    """Fetch the ARFF file of a data set, check it, and store its rows as Parquet."""
    folder = address.folder
    file_format = _text(description, "format").lower()
    if file_format != "arff":
        raise DataError(f"{address} is published as {file_format or 'nothing'}, and only ARFF with all values is read")
    arff_path = folder.download("data.arff", _text(description, "url"))
    try:
        file_bytes = arff_path.read_bytes()
        expected_md5 = _text(description, "md5_checksum")
        actual_md5 = hashlib.md5(file_bytes, usedforsecurity=False).hexdigest()
        if expected_md5 and actual_md5 != expected_md5:
            raise DataError(
                f"{address}: the rows have a wrong checksum: OpenML publishes MD5 {expected_md5[:12]}…, found {actual_md5[:12]}… "
                f"({len(file_bytes)} bytes): they were damaged or replaced, and are not used"
            )
        frame = read_arff(file_bytes, str(address))
        frame.to_parquet(folder.path / ROWS, index=False)
    finally:
        arff_path.unlink(missing_ok=True)
    folder.record_checksum(ROWS)


def read_arff(content: bytes, source: str) -> pd.DataFrame:
    """Read an ARFF file: nominal attributes are categories, numeric ones numbers, others text.

    Parameters
    ----------
    content : bytes
        The file, in UTF-8.
    source : str
        What it is, for messages.

    Returns
    -------
    DataFrame
        The raw rows.

    Raises
    ------
    MissingPackageError
        If `liac-arff` is not installed.
    DataError
        If the file cannot be read.
    """
    import pandas as pd

    try:
        import arff
    except ImportError as error:
        raise MissingPackageError(f"{source} needs liac-arff: pip install 'evenhand[openml]'") from error
    try:
        document = arff.loads(content.decode("utf-8"))
    except (arff.ArffException, UnicodeDecodeError, ValueError) as error:
        raise DataError(f"{source}: its ARFF file cannot be read ({' '.join(str(error).split())[:160]})") from error
    columns: dict[str, pd.Series] = {}
    for position, (name, attribute_type) in enumerate(document["attributes"]):
        column_values = [row[position] for row in document["data"]]
        columns[str(name)] = _typed_column(column_values, attribute_type)
    return pd.DataFrame(columns)


def _typed_column(column_values: Sequence[Any], attribute_type: Any) -> pd.Series:
    """Values of an attribute: its kind is a list of names, or the name of a type."""
    import pandas as pd

    if isinstance(attribute_type, list):
        return pd.Series(
            pd.Categorical(column_values, categories=pd.Index(list(dict.fromkeys(attribute_type)), dtype="str"))
        )
    if attribute_type.upper() in ("NUMERIC", "REAL", "INTEGER"):
        return pd.Series(column_values, dtype="float64")
    return pd.Series(column_values, dtype="str")


def _fetch_task(address: OpenmlAddress) -> FetchedData:
    task = _fetch_xml(address, "task.xml", f"task/{address.number}")
    if _text(task, "task_type_id") != CLASSIFICATION:
        task_type = _text(task, "task_type") or "another type"
        raise DataError(f"{address} is a task of {task_type}: expected one of Supervised Classification")
    data_address = OpenmlAddress("data", int(_text(task, "data_set_id") or 0))
    openml_data = _fetch_data(data_address)
    if not address.folder.has(ROWS):
        _write_split_rows(address, task, openml_data.path)
    target = _text(task, "target_feature")
    title = openml_data.origin["title"].removesuffix(f" ({data_address})")
    source_text = f"{address}, https://www.openml.org/t/{address.number}; {openml_data.origin['source']}"
    return FetchedData(
        path=address.folder.path / ROWS,
        name=_safe_name(f"openml_task_{address.number}_{title}"),
        target=target,
        split=SPLIT_COLUMN,
        drop=tuple(column for column in openml_data.drop if column != target),
        origin=openml_data.origin | {"title": f"{title} ({address})", "source": source_text},
        note=_describe_repeats(task),
    )


def _describe_repeats(task: ET.Element) -> str:
    """Say that only the first repeat of repeated cross-validation is used; empty where there is one."""
    for parameter in task.iter(f"{NAMESPACE}parameter"):
        if parameter.get("name") == "number_repeats" and (parameter.text or "1").strip() not in ("", "1"):
            return f"of the {parameter.text} published repeats, the folds of the first one are used"
    return ""


def _write_split_rows(address: OpenmlAddress, task: ET.Element, rows: Path) -> None:
    """Store the rows of a task with a column that holds its published splits."""
    import pandas as pd

    from harness.data.published_splits import split_column

    folder = address.folder
    splits_file = folder.fetch("splits.arff", _text(task, "data_splits_url"))
    frame = pd.read_parquet(rows)
    if SPLIT_COLUMN in frame.columns:
        raise DataError(f"{address}: its data have a column {SPLIT_COLUMN!r}, whose name is needed for the splits")
    split_assignments = read_arff(splits_file.read_bytes(), f"the splits of {address}")
    missing_columns = {"type", "rowid", "repeat", "fold"} - set(split_assignments.columns)
    if missing_columns:
        raise DataError(f"{address}: its splits have no column {sorted(missing_columns)[0]!r}")
    frame[SPLIT_COLUMN] = split_column(split_assignments, len(frame), str(address))
    frame = frame[frame[SPLIT_COLUMN].notna()]
    frame.to_parquet(folder.path / ROWS, index=False)
    folder.record_checksum(ROWS)
