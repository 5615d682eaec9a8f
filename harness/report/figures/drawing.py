"""Draws pictures into files, with a second process where there are many.

`python -m harness.report.figures.drawing` is that process: it reads from its standard input what it has to draw.
"""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

from harness.errors import StoreError
from harness.report.section import Picture
from harness.store.store import write_atomic

COLOURS = 128
MANY = 24  #: pictures from which on a second process, with a second or two to start, saves time
Order: TypeAlias = tuple[Picture, tuple[tuple[str, Path], ...]]  #: a picture, and where its files go by ending


def draw(orders: Sequence[Order]) -> None:
    """Draw pictures and write their files; raises `StoreError` where that cannot be done."""
    if len(orders) < MANY:
        _draw(orders)
        return
    command = [sys.executable, "-P", "-m", "harness.report.figures.drawing"]
    safe = os.environ | {"PYTHONSAFEPATH": "1"}  # nothing is imported from the current folder
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, env=safe) as other:  # noqa: S603 -- our own
        feed, complaints = other.stdin, other.stderr
        if feed is None or complaints is None:
            raise StoreError("the process that draws pictures cannot be spoken to")
        with contextlib.suppress(BrokenPipeError), feed:  # it ended early: what it said of that comes below
            feed.write(pickle.dumps(list(orders[1::2])))
        _draw(orders[::2])
        said = complaints.read().decode(errors="replace").strip()
    if other.returncode:
        raise StoreError(f"pictures cannot be drawn: {said.splitlines()[-1] if said else 'their process was killed'}")


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


if __name__ == "__main__":
    # What is unpickled here was pickled by `draw` a moment ago.
    _draw(pickle.load(sys.stdin.buffer))  # noqa: S301
