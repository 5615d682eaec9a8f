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
INCOMING = "incoming"


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
    parsed = urllib.parse.urlsplit(url)
    file_name = PurePosixPath(urllib.parse.unquote(parsed.path)).name or parsed.netloc
    if parsed.scheme == "file":
        path = Path(urllib.request.url2pathname(parsed.path))
        if not path.is_file():
            raise DataError(f"no such file: {path} ({url})")
        return [FetchedData(path=path, name=_task_name(file_name), origin=_describe_origin(file_name, url))]
    folder = CacheFolder(url, ("url", hashlib.sha256(url.encode()).hexdigest()[:16]))
    note = ""
    try:
        path = _copy(url, folder, file_name)
    except Unavailable:
        newest = _newest_copy(folder)
        if newest is None:
            raise
        path = newest
        fetched = time.strftime("%Y-%m-%d %H:%M", time.localtime(path.stat().st_mtime))
        note = f"{url} cannot be reached: the copy of {fetched} in the cache is used ({path})"
    return [FetchedData(path=path, name=_task_name(file_name), origin=_describe_origin(file_name, url), note=note)]


def _task_name(file_name: str) -> str:
    stem = file_name.partition(".")[0].lower()
    return "_".join("".join(char if char.isascii() and char.isalnum() else " " for char in stem).split()) or "table"


def _describe_origin(file_name: str, url: str) -> dict[str, str]:
    plain = urllib.parse.urlsplit(url)._replace(query="", fragment="")
    netloc = plain.netloc.rpartition("@")[2]  # a name and a password are not stored
    return {"title": file_name, "source": urllib.parse.urlunsplit(plain._replace(netloc=netloc))}


def _copy(url: str, folder: CacheFolder, file_name: str) -> Path:
    """Copy what stands at an address; raises `Unavailable` where it cannot be reached."""
    make_folder(folder.path)
    incoming = folder.path / f".{INCOMING}"
    try:
        with closing(_open(url, folder)) as source, incoming.open("wb") as file:
            shutil.copyfileobj(source, file, BLOCK_BYTES)
        _check_is_no_page(incoming, url)
        name = f"{file_sha256(incoming)[:12]}-{file_name}"
        incoming.replace(folder.path / name)
    except (EvenhandError, MemoryError):
        raise
    except Exception as error:  # whatever the packages of object stores raise while they are read
        raise folder.unavailable(describe_failure(error)) from error
    finally:
        incoming.unlink(missing_ok=True)
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
        beginning = file.read(512).lstrip().lower()
    if beginning.startswith((b"<!doctype html", b"<html")):
        raise DataError(f"{url} answers with a web page and not with a table: copy the address of the file itself")


def _newest_copy(folder: CacheFolder) -> Path | None:
    """The copy that was made last; None where there is none, or where it is damaged."""
    if not folder.has(LATEST):
        return None
    name = json.loads((folder.path / LATEST).read_bytes())["file"]
    return folder.path / name if folder.has(name) else None
