"""The folder that a bundle is written to: it holds either what it held or all of the new one, and nothing is left beside it."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.errors import BundleError

MANIFEST = "bundle.json"


def check_place(folder: Path) -> None:
    """Raise `BundleError` where something else than a bundle is already, or we ourselves: nothing of anybody's is replaced."""
    if folder.exists() and not (folder / MANIFEST).is_file() and (not folder.is_dir() or any(folder.iterdir())):
        raise BundleError(f"{folder} is there and no bundle: name a new folder with --out")
    if folder.resolve() == Path.cwd():  # whoever stands in a folder that is replaced stands nowhere
        raise BundleError(f"{folder} is the folder that this is run in: name another one with --out")


@contextmanager
def filled(folder: Path) -> Iterator[Path]:
    """A folder to be filled, which then takes the place of the given one; raises `OSError` where it cannot."""
    place = folder.resolve()  # a link stays one
    beside = _beside(place, "part")
    _clear(place)
    try:
        beside.mkdir(parents=True)
        yield beside
        _swap(beside, place)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _beside(place: Path, what: str) -> Path:
    return place.with_name(f".{place.name}.{os.getpid()}.{what}")


def _swap(new: Path, folder: Path) -> None:
    """Put the new folder where the old one is; a kill between the two renames leaves the old one beside."""
    old = _beside(folder, "old")
    if folder.exists():
        folder.rename(old)
    new.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def _clear(place: Path) -> None:
    """Take away what killed processes left beside; a bundle that one of them moved away and did not replace is put back."""
    left = re.compile(rf"\.{re.escape(place.name)}\.(\d{{1,9}})\.(part|old)")
    beside = place.parent.iterdir() if place.parent.is_dir() else ()
    found = [(path, told) for path in beside if (told := left.fullmatch(path.name)) and _is_gone(int(told[1]))]
    moved = [path for path, told in found if told[2] == "old" and (path / MANIFEST).is_file()]
    if moved and not place.exists():
        max(moved, key=lambda path: path.stat().st_mtime_ns).rename(place)
    for path, _ in found:
        shutil.rmtree(path, ignore_errors=True)


def _is_gone(process: int) -> bool:
    """Whether there is no such process; what bears our own number was left by another that had it before."""
    if process == os.getpid():
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except PermissionError:  # somebody else's
        return False
    return False
