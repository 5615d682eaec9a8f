"""Replacing the folder of a bundle: it holds either the old content or all of the new one, and no other files remain."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.errors import BundleError

MANIFEST = "bundle.json"


def check_target_folder(folder: Path) -> None:
    """Check that a bundle may be written to a folder.

    Raises
    ------
    BundleError
        If the folder exists and is neither empty nor a bundle, or if it is the current folder.
    """
    if folder.exists() and not (folder / MANIFEST).is_file() and (not folder.is_dir() or any(folder.iterdir())):
        raise BundleError(f"{folder} is there and no bundle: name a new folder with --out")
    if folder.resolve() == Path.cwd():  # a process whose current folder is replaced has no current folder
        raise BundleError(f"{folder} is the folder that this is run in: name another one with --out")


@contextmanager
def replaced_folder(folder: Path) -> Iterator[Path]:
    """Provide an empty folder to be filled, which replaces `folder` when the block ends without an error.

    Yields
    ------
    Path
        A new folder beside the target.

    Raises
    ------
    OSError
        If the folder cannot be created or replaced; the target then keeps its content.
    """
    target = folder.resolve()  # a symbolic link stays a link
    new = _sibling(target, "part")
    _remove_leftovers(target)
    try:
        new.mkdir(parents=True)
        yield new
        _swap(new, target)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _sibling(target: Path, suffix: str) -> Path:
    """Path of a hidden folder beside the target that belongs to this process."""
    return target.with_name(f".{target.name}.{os.getpid()}.{suffix}")


def _swap(new: Path, target: Path) -> None:
    """Rename the new folder to the target; a kill between the two renames leaves the old one under another name."""
    old = _sibling(target, "old")
    if target.exists():
        target.rename(old)
    new.rename(target)
    shutil.rmtree(old, ignore_errors=True)


def _remove_leftovers(target: Path) -> None:
    """Remove the folders that killed processes left beside the target.

    A bundle that such a process had moved away and not replaced is moved back.
    """
    if not target.parent.is_dir():
        return
    pattern = re.compile(rf"\.{re.escape(target.name)}\.(\d{{1,9}})\.(part|old)")
    leftovers, old_bundles = [], []
    for path in target.parent.iterdir():
        match = pattern.fullmatch(path.name)
        if match is None or not _has_ended(int(match[1])):
            continue
        leftovers.append(path)
        if match[2] == "old" and (path / MANIFEST).is_file():
            old_bundles.append(path)
    if old_bundles and not target.exists():
        max(old_bundles, key=lambda path: path.stat().st_mtime_ns).rename(target)
    for path in leftovers:
        shutil.rmtree(path, ignore_errors=True)


def _has_ended(process_id: int) -> bool:
    """Tell whether a process has ended; a folder with our own id was left by an earlier process that had the same id."""
    if process_id == os.getpid():
        return True
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return True
    except PermissionError:  # it runs as another user
        return False
    return False
