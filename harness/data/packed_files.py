"""Files that are packed with gzip, zstandard or zip."""

from __future__ import annotations

import gzip
import io
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from harness.data.sources import MAX_UNPACKED
from harness.errors import DataError

MAX_RATIO = 200  #: of unpacked to packed bytes, above `MAX_UNPACKED`; tables reach 50
#: First bytes of a packed file.
GZIP, ZSTANDARD, ZIP = b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"PK\x03\x04"


@contextmanager
def open_unpacked(path: Path) -> Iterator[tuple[BinaryIO, BinaryIO]]:
    """Open a file, or the one file that is packed in it with gzip, zstandard or zip.

    Parameters
    ----------
    path : Path
        The file; what it is packed with is found from its first bytes.

    Yields
    ------
    content : binary file
        The unpacked content.
    packed : binary file
        The file itself; its position says how much was read.

    Raises
    ------
    DataError
        If it is damaged, holds several files, or unpacks to far more than a table would.
    """
    import pyarrow

    with path.open("rb") as packed:
        magic = packed.read(4)
        packed.seek(0)
        try:
            if magic.startswith(GZIP):
                content: BinaryIO = cast("BinaryIO", gzip.GzipFile(fileobj=packed))
            elif magic == ZSTANDARD:
                content = cast("BinaryIO", pyarrow.CompressedInputStream(packed, "zstd"))
            elif magic == ZIP:
                content = _open_member(packed, path)
            else:
                yield packed, packed
                return
            unpacked = io.BufferedReader(_BoundedReader(content, path))
            if unpacked.peek(len(ZIP)).startswith((GZIP, ZSTANDARD, ZIP)):
                raise DataError(f"{path} is packed twice: unpack it once")
            yield cast("BinaryIO", unpacked), packed
        except (EOFError, zipfile.BadZipFile, gzip.zlib.error, gzip.BadGzipFile, pyarrow.ArrowException) as error:  # type: ignore[attr-defined]
            raise DataError(
                f"{path} cannot be unpacked ({' '.join(str(error).split())[:160]}): get it again"
            ) from error


def _open_member(packed: BinaryIO, path: Path) -> BinaryIO:
    """Open the one file in a zip."""
    archive = zipfile.ZipFile(packed)
    members = []
    for member in archive.infolist():
        parts = Path(member.filename).parts
        if not member.is_dir() and not any(part.startswith((".", "__MACOSX")) for part in parts):
            members.append(member)
    if len(members) != 1:
        names = ", ".join(member.filename for member in members[:5])
        raise DataError(f"{path} holds {len(members)} files ({names}): expected one table; unpack it and name the file")
    try:
        return cast("BinaryIO", archive.open(members[0]))
    except (RuntimeError, NotImplementedError) as error:
        raise DataError(f"{path} cannot be unpacked ({error}): unpack it and name the file") from error


class _BoundedReader(io.RawIOBase):
    """Reads unpacked content, up to a size that no table reaches from so few bytes."""

    def __init__(self, content: BinaryIO, path: Path) -> None:
        self._content = content
        self._path = path
        self._limit = max(MAX_UNPACKED, MAX_RATIO * path.stat().st_size)
        self._size = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        chunk = self._content.read(len(buffer))
        buffer[: len(chunk)] = chunk
        self._size += len(chunk)
        if self._size > self._limit:
            raise DataError(
                f"{self._path} unpacks to more than {self._limit / 1e9:.1f} GB: unpack it and name the file"
            )
        return len(chunk)
