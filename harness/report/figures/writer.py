"""The pictures of a run as files: drawn where what they show is new, else left as they are."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import pickle
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from harness.errors import EvenhandError, StoreError
from harness.processes import ChildProcess, ProgressCallback, receive_answer, serve_subprocess
from harness.report.content import Figure
from harness.store.files import remove_file, write_atomic
from harness.store.store import Store

COLOURS = 128
MANY = 24  #: pictures from which on a second process, with a second or two to start, saves time
Order: TypeAlias = tuple[Figure, tuple[tuple[str, Path], ...]]  #: a picture, and where its files go by ending


def draw(orders: Sequence[Order]) -> None:
    """Draw pictures and write their files; raises `StoreError` where that cannot be done."""
    if len(orders) < MANY:
        _draw(orders)
        return
    try:
        with ChildProcess("harness.report.figures.writer") as child:
            child.send({"pickled": base64.b64encode(pickle.dumps(list(orders[1::2]))).decode()})
            _draw(orders[::2])
            receive_answer(child, "drew half of them")
    except StoreError:
        raise
    except EvenhandError as error:
        raise StoreError(f"pictures cannot be drawn: {error}") from error


def small(png: bytes) -> bytes:
    """A picture for the page: of 128 colours, without loss as WebP, a quarter of the PNG in size."""
    from PIL import Image

    # The white ground must stay white: of the ways to choose colours, this one keeps what fills most of the picture.
    few = Image.open(io.BytesIO(png)).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    file = io.BytesIO()
    few.convert("RGB").save(file, "WEBP", lossless=True, method=4)
    return file.getvalue()


def _draw(orders: Sequence[Order]) -> None:
    import matplotlib as mpl

    with mpl.rc_context():
        mpl.rcdefaults()  # a file `matplotlibrc`, in the current folder or of the user, changes no figure
        for picture, files in orders:
            drawn = picture.draw()
            drawn["webp"] = small(drawn["png"])
            for ending, path in files:
                write_atomic(path, drawn[ending])


VERSION = 9  #: of how pictures are drawn: of another one they are drawn again
ALL = "all-tasks"  #: stands for a task in the names of files that are about no single one
UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


def draw_all(store: Store, pictures: Iterable[Figure]) -> None:
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


def _draw_pickled(message: Mapping[str, str], _on_progress: ProgressCallback) -> None:
    """Draw what `draw` pickled a moment ago."""
    _draw(pickle.loads(base64.b64decode(message["pickled"])))  # noqa: S301


if __name__ == "__main__":
    serve_subprocess(_draw_pickled)
