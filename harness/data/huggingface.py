"""Data sets of the Hugging Face hub: the Parquet files that the hub makes of each, as one table or one folder of images."""

from __future__ import annotations

import json
import re
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.data.arrow_table import arrow_to_pandas
from harness.data.image_folders import SPLIT_PARTS
from harness.data.source_cache import CacheFolder, FetchedData, ServerError, make_folder, server_address
from harness.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

SERVER = "https://huggingface.co"
SERVER_VARIABLE = "HF_ENDPOINT"  #: the hub's own name for the address of a mirror
SPLIT_COLUMN = "published split"
ROWS, IMAGES = "rows.parquet", "images"
MARKER = "images.json"  #: written when all images are there
TARGET_NAMES = ("label", "labels", "target", "class")
INDEX_NAMES = ("idx", "id", "index")  #: columns that do not make a table of a text
IMAGE_SUFFIXES = {b"\x89PNG": ".png", b"\xff\xd8\xff": ".jpg"}
NO_LABEL = -1  #: of rows whose class is not published
PART = r"[A-Za-z0-9][\w.-]*"
ADDRESS = re.compile(rf"hf:({PART}/{PART})(?:/({PART}))?(?:/({PART}))?")
MAX_LISTED = 8  #: names in a message


@dataclass(frozen=True)
class HubFiles:
    """The Parquet files of a configuration in the cache, by split, and what the hub says of the features.

    Attributes
    ----------
    folder : CacheFolder
        Where they are.
    splits : dict
        Name of the split → its files.
    features : dict
        Column → its type as the library `datasets` describes it; empty where the files do not say.
    """

    folder: CacheFolder
    splits: dict[str, list[Path]]
    features: dict[str, Any]

    def columns_of_type(self, kind: str) -> list[str]:
        """Names of the columns of a type such as ClassLabel or Image."""
        names = []
        for name, feature in self.features.items():
            if isinstance(feature, dict) and feature.get("_type") == kind:
                names.append(name)
        return names

    def class_names(self, column: str) -> list[str]:
        """Names of the classes of a column, in the order of their numbers; empty where it has none."""
        feature = self.features.get(column)
        names = feature.get("names") if isinstance(feature, dict) else None
        return list(map(str, names)) if isinstance(names, list) else []


def fetch_huggingface(text: str) -> list[FetchedData]:
    """Fetch a data set of the hub.

    Parameters
    ----------
    text : str
        `hf:owner/name`, with `/configuration` and `/split` where there are several.

    Returns
    -------
    list of FetchedData
        The one data set, in the cache.

    Raises
    ------
    Unavailable
        If it is not in the cache and the network cannot be reached.
    DataError
        If there is no such data set, or it is none for classification of tables, texts or images.
    """
    match = ADDRESS.fullmatch(text.strip())
    if match is None:
        raise DataError(
            f"{text!r} is no address of Hugging Face: expected hf:owner/name, hf:owner/name/configuration(/split)"
        )
    repository, configuration, split = match[1], match[2], match[3]
    folder = CacheFolder(text.strip(), ("huggingface", *repository.split("/")))
    listing = _fetch_json(folder, "files.json", f"{repository}/parquet")
    information = _fetch_json(folder, "information.json", repository)
    configuration = _choose_configuration(listing, configuration, text)
    files = _fetch_files(folder, configuration, _choose_splits(listing[configuration], split, text))
    data_folder = CacheFolder(folder.address, (*folder.parts, configuration, *filter(None, [split])))
    origin = _describe_origin(repository, configuration, information)
    name = re.sub(r"[^a-z0-9]+", "_", f"hf_{repository}_{configuration}".lower().removesuffix("_default")).strip("_")
    target = _find_target(files)
    images = files.columns_of_type("Image")
    if images:
        return [_collect_images(files, data_folder, (images, target), name, origin)]
    return [_collect_rows(files, data_folder, target, name, origin)]


def _fetch_json(folder: CacheFolder, name: str, query: str) -> Any:
    url = f"{server_address(SERVER_VARIABLE, SERVER)}/api/datasets/{query}"
    try:
        content = folder.fetch(name, url).read_bytes()
    except ServerError as error:
        reason = "there is no such data set, or no Parquet files have been made of it"
        if error.status in (401, 403):
            reason = "there is no such public data set; those that need a login are not read"
        raise DataError(f"{folder.address}: {reason} (the hub answers {error.status})") from error
    try:
        return json.loads(content)
    except ValueError as error:
        (folder.path / name).unlink(missing_ok=True)
        raise DataError(f"{folder.address}: {url} did not answer with JSON") from error


def _choose_configuration(listing: Any, configuration: str | None, address: str) -> str:
    """The named configuration, the only one, or the one that is called default."""
    if not isinstance(listing, dict) or not listing:
        raise DataError(f"{address}: no Parquet files have been made of this data set")
    names = list(listing)
    chosen = configuration
    if chosen is None and len(names) == 1:
        chosen = names[0]
    elif chosen is None and "default" in names:
        chosen = "default"
    if chosen not in names:
        problem = "it has several configurations" if chosen is None else f"no configuration {chosen!r}"
        raise DataError(
            f"{address}: {problem}: say hf:OWNER/NAME/CONFIGURATION, with one of {', '.join(names[:MAX_LISTED])}"
        )
    return str(chosen)


def _choose_splits(splits: Mapping[str, Sequence[str]], split: str | None, address: str) -> dict[str, list[str]]:
    """Addresses of the files of the named split, or of all splits."""
    if split is not None and split not in splits:
        raise DataError(f"{address}: no split {split!r}: there are {', '.join(list(splits)[:MAX_LISTED])}")
    return {name: list(urls) for name, urls in splits.items() if split in (None, name)}


def _fetch_files(folder: CacheFolder, configuration: str, urls_by_split: Mapping[str, Sequence[str]]) -> HubFiles:
    import pyarrow.parquet

    splits: dict[str, list[Path]] = {}
    features: dict[str, Any] = {}
    for split, urls in urls_by_split.items():
        splits[split] = []
        for number, url in enumerate(urls):
            address = urllib.parse.urljoin(f"{server_address(SERVER_VARIABLE, SERVER)}/", url)
            path = folder.fetch(f"{configuration}/{split}-{number}.parquet", address)
            splits[split].append(path)
            try:
                metadata = pyarrow.parquet.read_schema(path).metadata or {}
                features = features or json.loads(metadata.get(b"huggingface", b"{}")).get("info", {}).get(
                    "features", {}
                )
            except (pyarrow.ArrowException, ValueError, AttributeError) as error:
                raise DataError(f"{folder.address}: {address} is not a Parquet file of the hub") from error
    return HubFiles(folder, splits, features)


def _describe_origin(repository: str, configuration: str, information: Any) -> dict[str, str]:
    details = information if isinstance(information, dict) else {}
    card = details.get("cardData")
    if not isinstance(card, dict):
        card = {}
    licence = card.get("license") or ""
    if isinstance(licence, list):
        licence = ", ".join(map(str, licence))
    revision = str(details.get("sha") or "")[:12]
    return {
        "title": str(card.get("pretty_name") or repository),
        "description": " ".join(str(details.get("description") or "").split())[:300],
        "source": f"hf:{repository}, configuration {configuration}, revision {revision or 'unknown'}: {SERVER}/datasets/{repository}",
        "licence": str(licence),
        "citation": " ".join(str(details.get("citation") or "").split())[:300],
    }


def _find_target(files: HubFiles) -> str | None:
    """The only column of classes, or the one with the usual name; None where that is not clear."""
    labels = files.columns_of_type("ClassLabel")
    if len(labels) == 1:
        return labels[0]
    return next((name for name in TARGET_NAMES if name in files.features), None)


def _read_split(files: HubFiles, split: str) -> pd.DataFrame:
    """Rows of a split, with the names of classes for their numbers; lists and structures are left out."""
    import pandas as pd
    import pyarrow
    import pyarrow.parquet

    frames = []
    for path in files.splits[split]:
        table = pyarrow.parquet.read_table(path)
        simple = [field.name for field in table.schema if not pyarrow.types.is_nested(field.type)]
        frames.append(arrow_to_pandas(table.select(simple)))
    frame = pd.concat(frames, ignore_index=True)
    for column in frame.columns:
        names = files.class_names(column)
        if names:
            frame[column] = frame[column].map(dict(enumerate(names))).astype("str")
    return frame


@dataclass(frozen=True)
class UsedSplits:
    """The splits that are used: name → part, which is empty where they are no published split; and why others are not."""

    parts: dict[str, str]
    remarks: tuple[str, ...] = ()

    @property
    def is_published(self) -> bool:
        """Whether the splits say which rows are tested."""
        return any(self.parts.values())


def _choose_used_splits(names: Sequence[str], address: str) -> UsedSplits:
    """The splits named train, validation and test, or the only one; raises `DataError` for several others."""
    parts = {name: SPLIT_PARTS.get(name.lower(), "") for name in names}
    if "train" in parts.values() and {"test", "validation"} & set(parts.values()):
        used = dict(filter(itemgetter(1), parts.items()))
        remarks = []
        if others := sorted(parts.keys() - used.keys()):
            remarks.append(f"left out, neither train, validation nor test: {', '.join(others[:MAX_LISTED])}")
        return UsedSplits(used, tuple(remarks))
    if len(names) != 1:
        raise DataError(f"{address}: its splits ({', '.join(names) or 'none'}) are no train and test: name one of them")
    return UsedSplits({names[0]: ""})


def _collect_rows(
    files: HubFiles, folder: CacheFolder, target: str | None, name: str, origin: dict[str, str]
) -> FetchedData:
    """Store the rows of all splits as one table, with a column of their parts where these are a published split."""
    import pandas as pd

    frames, remarks = _labelled_frames(files, target)
    used = _choose_used_splits(list(frames), folder.address)
    remarks += used.remarks
    parts = []
    for split, part in used.parts.items():
        parts.append(frames[split].assign(**{SPLIT_COLUMN: part}) if used.is_published else frames[split])
    rows = pd.concat(parts, ignore_index=True)
    left_out = sorted(files.features.keys() - set(rows.columns))
    if left_out:
        remarks.append(f"columns that hold lists or structures are left out: {', '.join(left_out[:MAX_LISTED])}")
    return FetchedData(
        path=_write_rows(folder, rows),
        name=name,
        target=target,
        text=_find_text(rows, target),
        split=SPLIT_COLUMN if used.is_published else None,
        origin=origin,
        note="; ".join(remarks),
    )


def _labelled_frames(files: HubFiles, target: str | None) -> tuple[dict[str, pd.DataFrame], list[str]]:
    """The rows of the splits that have labels, and remarks on those that have none."""
    frames, remarks = {}, []
    for split in files.splits:
        frame = _read_split(files, split)
        if target in frame.columns and bool(frame[target].isna().all()):
            remarks.append(f"the split {split} has no labels and is left out")
        else:
            frames[split] = frame
    return frames, remarks


def _write_rows(folder: CacheFolder, rows: pd.DataFrame) -> Path:
    make_folder(folder.path)
    rows.attrs = {}
    rows.to_parquet(folder.path / ROWS, index=False)
    return folder.record_checksum(ROWS)


def _find_text(rows: pd.DataFrame, target: str | None) -> str | None:
    """The column of texts, where there is no other feature."""
    features = [name for name in rows.columns if name not in (target, SPLIT_COLUMN, *INDEX_NAMES)]
    return features[0] if len(features) == 1 and str(rows[features[0]].dtype) == "str" else None


def _collect_images(
    files: HubFiles, folder: CacheFolder, roles: tuple[list[str], str | None], name: str, origin: dict[str, str]
) -> FetchedData:
    """Write the images of all splits into folders of their classes, below folders of the splits where these are published."""
    images, target = roles
    if len(images) != 1 or target is None or not files.class_names(target):
        found = ", ".join(files.features)
        raise DataError(f"{folder.address}: expected one column of images and one of classes, found {found}")
    used = _choose_used_splits(list(files.splits), folder.address)
    path = folder.path / IMAGES
    if not folder.has(MARKER):
        counts: dict[str, int] = {}
        for split, part in used.parts.items():
            counts[split] = _write_images(files, split, (images[0], target), path / part)
        folder.write(MARKER, json.dumps(counts).encode())
    return FetchedData(path=path, name=name, origin=origin, note="; ".join(used.remarks))


def _write_images(files: HubFiles, split: str, columns: tuple[str, str], folder: Path) -> int:
    """Write the images of a split; returns their number. Rows without a label, and files of other kinds, are left out."""
    classes = files.class_names(columns[1])
    number = 0
    for content, label in _image_rows(files.splits[split], *columns):
        suffix = _image_suffix(content)
        if not suffix or label is None or label == NO_LABEL:
            continue
        below = folder / re.sub(r"[^\w.+-]+", "_", classes[label])
        make_folder(below)
        (below / f"{split}-{number:06d}{suffix}").write_bytes(content)
        number += 1
    return number


def _image_suffix(content: bytes) -> str:
    """The suffix of a file by its first bytes; empty where it is neither PNG nor JPEG."""
    for magic, suffix in IMAGE_SUFFIXES.items():
        if content.startswith(magic):
            return suffix
    return ""


def _image_rows(paths: Sequence[Path], column: str, target: str) -> Iterator[tuple[bytes, int | None]]:
    import pyarrow.parquet

    for path in paths:
        for batch in pyarrow.parquet.ParquetFile(path).iter_batches(256, columns=[column, target]):
            cells = batch.column(column).to_pylist()
            for cell, label in zip(cells, batch.column(target).to_pylist(), strict=True):
                yield (cell or {}).get("bytes") or b"", label
