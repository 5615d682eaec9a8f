"""The pictures of a run as files: drawn where what they show is new, else left as they are."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from pathlib import Path

from harness.report.figures.drawing import draw
from harness.report.section import Picture
from harness.store.store import Store, remove_file, write_atomic

VERSION = 9  #: of how pictures are drawn: of another one they are drawn again
ALL = "all-tasks"  #: stands for a task in the names of files that are about no single one
UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


def draw_all(store: Store, pictures: Iterable[Picture]) -> None:
    """Write every picture into `figures/`, as PNG and SVG, and small ones for the page under `derived/`.

    One that shows what it showed before is not drawn again: what each was made of is kept under `derived/`. Those that an
    earlier report drew and this one does not are deleted.
    Raises `StoreError` where that cannot be done.
    """
    drawn, made_of, orders = _read_drawn(store), dict[str, str](), []
    for picture in {picture.name: picture for picture in pictures}.values():
        values = (VERSION, picture.draw.args, picture.draw.keywords)
        made_of[picture.name] = hashlib.sha256(repr(values).encode()).hexdigest()
        files = _files(store, picture.name)
        if drawn.get(picture.name) != made_of[picture.name] or not all(
            path.exists() and path.stat().st_size for _, path in files
        ):
            orders.append((picture, files))
    draw(orders)
    for name in filter(made_here, drawn.keys() - made_of.keys()):
        for _, path in _files(store, name):
            remove_file(path)
    if made_of != drawn:
        write_atomic(_drawn_file(store), json.dumps(made_of, indent=1).encode())


def small_picture(store: Store, name: str) -> bytes:
    """The picture of that name for the page, as WebP."""
    return dict(_files(store, name))["webp"].read_bytes()


def file_name(task: str, kind: str, *more: str) -> str:
    """What a file about a task is called, whatever it and families are called; without a task that of what is about all.

    Dots stand between the parts and in none of them, so that no two files have one name.
    """
    parts = tuple(part for part in (task or ALL, kind, *more) if part)
    plain = ".".join(parts)
    safe = UNSAFE.sub("-", plain).strip(".-")
    ours = safe == plain and plain.count(".") == len(parts) - 1 and task != ALL
    return safe if ours else f"{safe}-{hashlib.sha256(repr((task, *parts)).encode()).hexdigest()[:8]}".lstrip("-")


def made_here(name: str) -> bool:
    """Whether a file of that name can be one that `file_name` named: no list says of another that it may be deleted."""
    return bool(name) and not UNSAFE.search(name) and name == name.strip(".-")


def _files(store: Store, name: str) -> tuple[tuple[str, Path], ...]:
    """Where the files of a picture go, by ending."""
    shown = [(ending, store.folder / "figures" / f"{name}.{ending}") for ending in ("png", "svg")]
    return (*shown, ("webp", store.folder / "derived" / "pictures" / f"{name}.webp"))


def _drawn_file(store: Store) -> Path:
    return store.folder / "derived" / "figures.json"


def _read_drawn(store: Store) -> dict[str, str]:
    """What the pictures that lie there were made of; nothing where that is not known."""
    try:
        found = json.loads(_drawn_file(store).read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
