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
IMAGES_MARKER = "images.json"  #: written when all images are there
TARGET_NAMES = ("label", "labels", "target", "class")
INDEX_NAMES = ("idx", "id", "index")  #: columns that do not make a table of a text
IMAGE_SUFFIXES = {b"\x89PNG": ".png", b"\xff\xd8\xff": ".jpg"}
NO_LABEL = -1  #: of rows whose class is not published
NAME_PATTERN = r"[A-Za-z0-9][\w.-]*"
ADDRESS = re.compile(rf"hf:({NAME_PATTERN}/{NAME_PATTERN})(?:/({NAME_PATTERN}))?(?:/({NAME_PATTERN}))?")
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
    repository_name, configuration_name, split = match[1], match[2], match[3]
    folder = CacheFolder(text.strip(), ("huggingface", *repository_name.split("/")))
    parquet_listing = _fetch_json(folder, "files.json", f"{repository_name}/parquet")
    repository_information = _fetch_json(folder, "information.json", repository_name)
    configuration_name = _choose_configuration(parquet_listing, configuration_name, text)
    files = _fetch_files(folder, configuration_name, _choose_splits(parquet_listing[configuration_name], split, text))
    data_folder = CacheFolder(folder.address, (*folder.parts, configuration_name, *filter(None, [split])))
    origin_fields = _describe_origin(repository_name, configuration_name, repository_information)
    name = re.sub(
        r"[^a-z0-9]+", "_", f"hf_{repository_name}_{configuration_name}".lower().removesuffix("_default")
    ).strip("_")
    target = _find_target(files)
    images = files.columns_of_type("Image")
    if images:
        return [_collect_images(files, data_folder, (images, target), name, origin_fields)]
    return [_collect_rows(files, data_folder, target, name, origin_fields)]


def _fetch_json(folder: CacheFolder, name: str, api_query: str) -> Any:
    url = f"{server_address(SERVER_VARIABLE, SERVER)}/api/datasets/{api_query}"
    try:
        json_bytes = folder.fetch(name, url).read_bytes()
    except ServerError as error:
        reason = "there is no such data set, or no Parquet files have been made of it"
        if error.status in (401, 403):
            reason = "there is no such public data set; those that need a login are not read"
        raise DataError(f"{folder.address}: {reason} (the hub answers {error.status})") from error
    try:
        return json.loads(json_bytes)
    except ValueError as error:
        (folder.path / name).unlink(missing_ok=True)
        raise DataError(f"{folder.address}: {url} did not answer with JSON") from error


def _choose_configuration(parquet_listing: Any, wanted_configuration: str | None, address: str) -> str:
    """The named configuration, the only one, or the one that is called default."""
    if not isinstance(parquet_listing, dict) or not parquet_listing:
        raise DataError(f"{address}: no Parquet files have been made of this data set")
    names = list(parquet_listing)
    chosen_configuration = wanted_configuration
    if chosen_configuration is None and len(names) == 1:
        chosen_configuration = names[0]
    elif chosen_configuration is None and "default" in names:
        chosen_configuration = "default"
    if chosen_configuration not in names:
        configuration_problem = (
            "it has several configurations"
            if chosen_configuration is None
            else f"no configuration {chosen_configuration!r}"
        )
        raise DataError(
            f"{address}: {configuration_problem}: say hf:OWNER/NAME/CONFIGURATION, with one of {', '.join(names[:MAX_LISTED])}"
        )
    return str(chosen_configuration)


def _choose_splits(splits: Mapping[str, Sequence[str]], split: str | None, address: str) -> dict[str, list[str]]:
    """Addresses of the files of the named split, or of all splits."""
    if split is not None and split not in splits:
        raise DataError(f"{address}: no split {split!r}: there are {', '.join(list(splits)[:MAX_LISTED])}")
    return {name: list(file_urls) for name, file_urls in splits.items() if split in (None, name)}


def _fetch_files(folder: CacheFolder, configuration_name: str, urls_by_split: Mapping[str, Sequence[str]]) -> HubFiles:
    import pyarrow.parquet

    splits: dict[str, list[Path]] = {}
    features: dict[str, Any] = {}
    for split, file_urls in urls_by_split.items():
        splits[split] = []
        for file_number, url in enumerate(file_urls):
            address = urllib.parse.urljoin(f"{server_address(SERVER_VARIABLE, SERVER)}/", url)
            path = folder.fetch(f"{configuration_name}/{split}-{file_number}.parquet", address)
            splits[split].append(path)
            try:
                metadata = pyarrow.parquet.read_schema(path).metadata or {}
                features = features or json.loads(metadata.get(b"huggingface", b"{}")).get("info", {}).get(
                    "features", {}
                )
            except (pyarrow.ArrowException, ValueError, AttributeError) as error:
                raise DataError(f"{folder.address}: {address} is not a Parquet file of the hub") from error
    return HubFiles(folder, splits, features)


def _describe_origin(repository: str, configuration: str, repository_information: Any) -> dict[str, str]:
    repository_details = repository_information if isinstance(repository_information, dict) else {}
    card = repository_details.get("cardData")
    if not isinstance(card, dict):
        card = {}
    licence_name = card.get("license") or ""
    if isinstance(licence_name, list):
        licence_name = ", ".join(map(str, licence_name))
    revision = str(repository_details.get("sha") or "")[:12]
    return {
        "title": str(card.get("pretty_name") or repository),
        "description": " ".join(str(repository_details.get("description") or "").split())[:300],
        "source": f"hf:{repository}, configuration {configuration}, revision {revision or 'unknown'}: {SERVER}/datasets/{repository}",
        "licence": str(licence_name),
        "citation": " ".join(str(repository_details.get("citation") or "").split())[:300],
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
        simple_columns = [
            schema_field.name for schema_field in table.schema if not pyarrow.types.is_nested(schema_field.type)
        ]
        frames.append(arrow_to_pandas(table.select(simple_columns)))
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
    parts_by_split = {name: SPLIT_PARTS.get(name.lower(), "") for name in names}
    if "train" in parts_by_split.values() and {"test", "validation"} & set(parts_by_split.values()):
        used_splits = dict(filter(itemgetter(1), parts_by_split.items()))
        split_remarks = []
        if unused_splits := sorted(parts_by_split.keys() - used_splits.keys()):
            split_remarks.append(
                f"left out, neither train, validation nor test: {', '.join(unused_splits[:MAX_LISTED])}"
            )
        return UsedSplits(used_splits, tuple(split_remarks))
    if len(names) != 1:
        raise DataError(f"{address}: its splits ({', '.join(names) or 'none'}) are no train and test: name one of them")
    return UsedSplits({names[0]: ""})


def _collect_rows(
    files: HubFiles, folder: CacheFolder, target: str | None, name: str, origin_fields: dict[str, str]
) -> FetchedData:
    """Store the rows of all splits as one table, with a column of their parts where these are a published split."""
    import pandas as pd

    frames, split_remarks = _labelled_frames(files, target)
    used_splits = _choose_used_splits(list(frames), folder.address)
    split_remarks += used_splits.remarks
    split_frames = []
    for split, split_part in used_splits.parts.items():
        split_frames.append(
            frames[split].assign(**{SPLIT_COLUMN: split_part}) if used_splits.is_published else frames[split]
        )
    rows = pd.concat(split_frames, ignore_index=True)
    left_out = sorted(files.features.keys() - set(rows.columns))
    if left_out:
        split_remarks.append(f"columns that hold lists or structures are left out: {', '.join(left_out[:MAX_LISTED])}")
    return FetchedData(
        path=_write_rows(folder, rows),
        name=name,
        target=target,
        text=_find_text(rows, target),
        split=SPLIT_COLUMN if used_splits.is_published else None,
        origin=origin_fields,
        note="; ".join(split_remarks),
    )


def _labelled_frames(files: HubFiles, target: str | None) -> tuple[dict[str, pd.DataFrame], list[str]]:
    """The rows of the splits that have labels, and remarks on those that have none."""
    frames, split_remarks = {}, []
    for split in files.splits:
        frame = _read_split(files, split)
        if target in frame.columns and bool(frame[target].isna().all()):
            split_remarks.append(f"the split {split} has no labels and is left out")
        else:
            frames[split] = frame
    return frames, split_remarks


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
    files: HubFiles,
    folder: CacheFolder,
    column_roles: tuple[list[str], str | None],
    name: str,
    origin_fields: dict[str, str],
) -> FetchedData:
    """Write the images of all splits into folders of their classes, below folders of the splits where these are published."""
    images, target = column_roles
    if len(images) != 1 or target is None or not files.class_names(target):
        found_features = ", ".join(files.features)
        raise DataError(f"{folder.address}: expected one column of images and one of classes, found {found_features}")
    used_splits = _choose_used_splits(list(files.splits), folder.address)
    path = folder.path / IMAGES
    if not folder.has(IMAGES_MARKER):
        counts: dict[str, int] = {}
        for split, split_part in used_splits.parts.items():
            counts[split] = _write_images(files, split, (images[0], target), path / split_part)
        folder.write(IMAGES_MARKER, json.dumps(counts).encode())
    return FetchedData(path=path, name=name, origin=origin_fields, note="; ".join(used_splits.remarks))


def _write_images(files: HubFiles, split: str, columns: tuple[str, str], folder: Path) -> int:
    """Write the images of a split; returns their number. Rows without a label, and files of other kinds, are left out."""
    classes = files.class_names(columns[1])
    image_number = 0
    for image_bytes, label in _image_rows(files.splits[split], *columns):
        suffix = _image_suffix(image_bytes)
        if not suffix or label is None or label == NO_LABEL:
            continue
        class_folder = folder / re.sub(r"[^\w.+-]+", "_", classes[label])
        make_folder(class_folder)
        (class_folder / f"{split}-{image_number:06d}{suffix}").write_bytes(image_bytes)
        image_number += 1
    return image_number


def _image_suffix(image_bytes: bytes) -> str:
    """The suffix of a file by its first bytes; empty where it is neither PNG nor JPEG."""
    for magic_bytes, suffix in IMAGE_SUFFIXES.items():
        if image_bytes.startswith(magic_bytes):
            return suffix
    return ""


def _image_rows(paths: Sequence[Path], column: str, target: str) -> Iterator[tuple[bytes, int | None]]:
    import pyarrow.parquet

    for path in paths:
        for batch in pyarrow.parquet.ParquetFile(path).iter_batches(256, columns=[column, target]):
            cells = batch.column(column).to_pylist()
            for cell, label in zip(cells, batch.column(target).to_pylist(), strict=True):
                yield (cell or {}).get("bytes") or b"", label
