"""Data of public sources in the cache: fetched once, checked by SHA-256 whenever they are used, readable without a network."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import shutil
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

from harness.data.sources import cache_directory, write_cached
from harness.errors import DataError, Unavailable

TIMEOUT_SECONDS = 60  #: without any answer
BLOCK_BYTES = 1 << 20
CHECKSUMS = "checksums.json"
LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, kw_only=True)
class FetchedData:
    """Rows of a public source in the cache, and what the source says of them.

    Attributes
    ----------
    path : Path
        The file of the rows, or a folder of images.
    name : str
        Name of the task.
    target, text, split : str or None
        Columns by their role, where the source says so.
    drop : tuple of str
        Columns that are identifiers, or that the source says to ignore.
    origin : dict of str to str
        Title, description, source, licence and citation.
    note : str
        What the user should know, such as that an old copy is used.
    """

    path: Path
    name: str
    target: str | None = None
    text: str | None = None
    split: str | None = None
    drop: tuple[str, ...] = ()
    origin: dict[str, str] = field(default_factory=dict)
    note: str = ""


class ServerError(DataError):
    """An answer of a server that is no data.

    Parameters
    ----------
    message : str
        What is shown to the user.
    status : int
        The status of HTTP.
    body : bytes
        The answer.
    """

    def __init__(self, message: str, status: int, body: bytes) -> None:
        super().__init__(message)
        self.status, self.body = status, body


@dataclass(frozen=True)
class CacheFolder:
    """The files of one data set in the cache, with their checksums.

    Parameters
    ----------
    address : str
        The data set as its user names it, for messages.
    parts : tuple of str
        Names of the folders below the cache.
    """

    address: str
    parts: tuple[str, ...]

    @property
    def path(self) -> Path:
        """The folder; it need not exist."""
        return cache_directory().joinpath(*self.parts)

    def has(self, name: str) -> bool:
        """Whether a file exists and has its checksum."""
        expected_checksum = self._checksums().get(name)
        try:
            return expected_checksum is not None and expected_checksum == file_sha256(self.path / name)
        except OSError:
            return False

    def write(self, name: str, content: bytes) -> Path:
        """Write a file and its checksum; returns its path."""
        write_cached(self.path / name, content)
        return self.record_checksum(name)

    def record_checksum(self, name: str) -> Path:
        """Store the checksum of a file that was written by other means; returns its path."""
        path = self.path / name
        checksums_by_name = self._checksums() | {name: file_sha256(path)}
        write_cached(self.path / CHECKSUMS, json.dumps(checksums_by_name, indent=1, sort_keys=True).encode())
        return path

    def fetch(self, name: str, url: str) -> Path:
        """Return the path of a file that is in the cache, or is fetched from its address.

        Raises
        ------
        Unavailable
            If it is not in the cache and the address cannot be reached.
        ServerError
            If the server answers with an error.
        """
        return self.path / name if self.has(name) else self.download(name, url)

    def download(self, name: str, url: str) -> Path:
        """Fetch a file, whether or not it is in the cache; errors as of `fetch`."""
        path = self.path / name
        make_folder(path.parent)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
        try:
            with open_url(url, self.address) as response, temporary.open("wb") as file:
                shutil.copyfileobj(response, file, BLOCK_BYTES)
            temporary.replace(path)
        except (OSError, http.client.HTTPException) as error:
            raise self.unavailable(f"{url}: {describe_failure(error)}") from error
        finally:
            temporary.unlink(missing_ok=True)
        return self.record_checksum(name)

    def unavailable(self, reason: str) -> Unavailable:
        """The error of data that are neither in the cache nor within reach."""
        return Unavailable(
            f"{self.address} is not in the cache at {self.path} and cannot be fetched ({reason}): once there is a network, "
            f"evenhand fetch {self.address}"
        )

    def _checksums(self) -> dict[str, str]:
        try:
            checksums_by_name = json.loads((self.path / CHECKSUMS).read_bytes())
        except (OSError, ValueError):
            return {}
        return checksums_by_name if isinstance(checksums_by_name, dict) else {}


def file_sha256(path: Path) -> str:
    """Compute the SHA-256 of a file in blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def make_folder(path: Path) -> None:
    """Make a folder of the cache; raises `DataError` where that is not allowed."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"cannot make {path} ({error.strerror}): set EVENHAND_CACHE to another folder") from error


def check_url(url: str) -> str:
    """Return an address that is safe to open: https, or http on this machine; raises `DataError` for any other."""
    parsed_url = urllib.parse.urlsplit(url)
    if parsed_url.scheme == "https" or (parsed_url.scheme == "http" and parsed_url.hostname in LOCAL_HOSTS):
        return url
    raise DataError(f"{url!r} is not read: expected an address that begins with https://")


def open_url(url: str, address: str) -> http.client.HTTPResponse:
    """Open a URL.

    Parameters
    ----------
    url : str
        The URL.
    address : str
        The data set as its user names it, for messages.

    Returns
    -------
    HTTPResponse
        The answer, not read yet.

    Raises
    ------
    ServerError
        If the server answers with an error.
    OSError, HTTPException
        If there is no answer.
    """
    try:
        response: http.client.HTTPResponse = urllib.request.urlopen(  # noqa: S310 -- only https is opened
            check_url(url), timeout=TIMEOUT_SECONDS
        )
    except urllib.error.HTTPError as error:
        host = urllib.parse.urlsplit(url).hostname
        message = f"{address}: {host} answers {error.code} {error.reason} for {url}"
        raise ServerError(message, error.code, _read_error_body(error)) from error
    return response


def _read_error_body(error: urllib.error.HTTPError) -> bytes:
    try:
        return error.read()[:BLOCK_BYTES]
    except (OSError, http.client.HTTPException):
        return b""


def describe_failure(error: BaseException) -> str:
    """The reason of a failed transfer, on one line."""
    reason = str(getattr(error, "reason", None) or error) or type(error).__name__
    return " ".join(reason.split())[:200]


def server_address(variable: str, default: str) -> str:
    """The address of a server: that of an environment variable, such as a mirror's, or the public one."""
    return check_url(os.environ.get(variable) or default).rstrip("/")
