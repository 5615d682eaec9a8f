"""Tables at addresses: https, and through fsspec object stores and other file systems; a copy of the content is in the cache."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
import urllib.parse
import urllib.request
from contextlib import closing
from pathlib import Path, PurePosixPath
from typing import Any

from harness.data.source_cache import (
    BLOCK_BYTES,
    CacheFolder,
    FetchedData,
    ServerError,
    describe_failure,
    file_sha256,
    make_folder,
    open_url,
)
from harness.errors import DataError, EvenhandError, MissingPackageError, Unavailable

LATEST = "latest.json"  #: names the newest copy
INCOMING_NAME = "incoming"


def fetch_remote_file(url: str) -> list[FetchedData]:
    """Copy a table at an address into the cache, below a name that depends on its content.

    The address is read once a run, because what stands there may change; where it cannot be reached, the newest copy is used.

    Parameters
    ----------
    url : str
        An address such as `https://…/rows.csv` or `s3://bucket/rows.parquet`.

    Returns
    -------
    list of FetchedData
        The one table.

    Raises
    ------
    Unavailable
        If it cannot be reached and there is no copy.
    DataError
        If it is no table.
    """
    parsed_url = urllib.parse.urlsplit(url)
    file_name = PurePosixPath(urllib.parse.unquote(parsed_url.path)).name or parsed_url.netloc
    if parsed_url.scheme == "file":
        path = Path(urllib.request.url2pathname(parsed_url.path))
        if not path.is_file():
            raise DataError(f"no such file: {path} ({url})")
        return [FetchedData(path=path, name=_task_name(file_name), origin=_describe_origin(file_name, url))]
    folder = CacheFolder(url, ("url", hashlib.sha256(url.encode()).hexdigest()[:16]))
    age_note = ""
    try:
        path = _copy(url, folder, file_name)
    except Unavailable:
        newest_copy = _newest_copy(folder)
        if newest_copy is None:
            raise
        path = newest_copy
        fetch_time = time.strftime("%Y-%m-%d %H:%M", time.localtime(path.stat().st_mtime))
        age_note = f"{url} cannot be reached: the copy of {fetch_time} in the cache is used ({path})"
    return [FetchedData(path=path, name=_task_name(file_name), origin=_describe_origin(file_name, url), note=age_note)]


def _task_name(file_name: str) -> str:
    file_stem = file_name.partition(".")[0].lower()
    return (
        "_".join("".join(char if char.isascii() and char.isalnum() else " " for char in file_stem).split()) or "table"
    )


def _describe_origin(file_name: str, url: str) -> dict[str, str]:
    plain_url = urllib.parse.urlsplit(url)._replace(query="", fragment="")
    network_location = plain_url.netloc.rpartition("@")[2]  # a name and a password are not stored
    return {"title": file_name, "source": urllib.parse.urlunsplit(plain_url._replace(netloc=network_location))}


def _copy(url: str, folder: CacheFolder, file_name: str) -> Path:
    """Copy what stands at an address; raises `Unavailable` where it cannot be reached."""
    make_folder(folder.path)
    incoming_path = folder.path / f".{INCOMING_NAME}"
    try:
        with closing(_open(url, folder)) as source_stream, incoming_path.open("wb") as file:
            shutil.copyfileobj(source_stream, file, BLOCK_BYTES)
        _check_is_no_page(incoming_path, url)
        name = f"{file_sha256(incoming_path)[:12]}-{file_name}"
        incoming_path.replace(folder.path / name)
    except (EvenhandError, MemoryError):
        raise
    except Exception as error:  # whatever the packages of object stores raise while they are read
        raise folder.unavailable(describe_failure(error)) from error
    finally:
        incoming_path.unlink(missing_ok=True)
    folder.write(LATEST, json.dumps({"file": name}).encode())
    return folder.record_checksum(name)


def _open(url: str, folder: CacheFolder) -> Any:
    """Open an address for reading."""
    if urllib.parse.urlsplit(url).scheme in ("http", "https"):
        try:
            return open_url(url, folder.address)
        except ServerError as error:
            raise DataError(str(error)) from error
    try:
        import fsspec
    except ImportError as error:
        raise MissingPackageError(f"{url} needs fsspec: pip install 'evenhand[objects]'") from error
    try:
        return fsspec.open(url, "rb").open()
    except ImportError as error:  # fsspec names the package of the protocol
        raise MissingPackageError(f"{url}: {error}: pip install 'evenhand[objects]'") from error
    except FileNotFoundError as error:
        raise DataError(f"no such file: {url}") from error
    except ValueError as error:  # an unknown protocol
        raise DataError(f"{url} cannot be read: {error}") from error


def _check_is_no_page(path: Path, url: str) -> None:
    with path.open("rb") as file:
        first_bytes = file.read(512).lstrip().lower()
    if first_bytes.startswith((b"<!doctype html", b"<html")):
        raise DataError(f"{url} answers with a web page and not with a table: copy the address of the file itself")


def _newest_copy(folder: CacheFolder) -> Path | None:
    """The copy that was made last; None where there is none, or where it is damaged."""
    if not folder.has(LATEST):
        return None
    name = json.loads((folder.path / LATEST).read_bytes())["file"]
    return folder.path / name if folder.has(name) else None
