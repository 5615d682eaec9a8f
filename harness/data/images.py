"""Pictures as arrays: a folder or a zip with a folder per class, and tables of pixels."""

from __future__ import annotations

import gzip
import io
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from harness.data.sources import MAX_UNPACKED
from harness.errors import DataError, Unavailable

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

SIZE = 160  #: pixels: the side of the largest picture that is kept
SUFFIXES = (".png", ".jpg", ".jpeg")
GZIP = b"\x1f\x8b"
#: What Pillow and `zipfile` raise for damaged content.
UNREADABLE = (OSError, ValueError, SyntaxError, EOFError, RuntimeError, struct.error, zlib.error, zipfile.BadZipFile)
EXPECTED = "expected a folder per class with PNG or JPEG files in it"

#: The name of a file below the given folder, and how to read it.
File: TypeAlias = tuple[PurePosixPath, Callable[[], bytes]]


class LabeledImages(NamedTuple):
    """Square pictures of one size, and what they show.

    `images` are uint8 of shape (n, side, side, 3), or (n, side, side, 1) where all are grey; `labels` (n,) are strings.
    `notes` name each file that was left out, with the reason.
    """

    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.str_]
    notes: tuple[str, ...] = ()


def load_folder(path: Path, size: int = SIZE) -> LabeledImages:
    """The pictures of a folder that holds a folder per class; PNG and JPEG, in the order of their names.

    Of each the middle square is taken, as ImageNet's evaluation does, and made smaller where it is larger than `size`;
    where sides then differ, all get the largest one. A file that cannot be read is left out and named in the notes.
    Raises `DataError` where that leaves fewer than two classes, `Unavailable` without Pillow.
    """
    if not path.is_dir():
        raise DataError(f"{path} is not a folder: {EXPECTED}")
    return _pictures(_files_of_folder(path), size, str(path))


def load_zip(content: bytes, what: str, size: int = SIZE) -> LabeledImages:
    """The same for a zip with a folder per class; `what` names it in messages."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return _pictures(_files_of_zip(archive, what), size, what)
    except zipfile.BadZipFile as error:
        raise DataError(f"{what} is not a zip that can be read ({error}): get it again") from error


def read_image(content: bytes, shape: tuple[int, int, int]) -> npt.NDArray[np.uint8]:
    """One PNG or JPEG file as a picture of this shape (height, width, 1 or 3), read as those of a folder are.

    Raises `DataError` where it cannot be read, `Unavailable` without Pillow.
    """
    import numpy as np

    height, width, channels = shape
    picture = _decoded(lambda: content, height)
    if isinstance(picture, str):
        raise DataError(f"this is no PNG or JPEG file that can be read ({picture})")
    sized = picture.convert("L" if channels == 1 else "RGB").resize((width, height), _pillow().Resampling.BILINEAR)
    return np.asarray(sized, dtype=np.uint8).reshape(shape)


def read_pixels(content: bytes, height: int, width: int, what: str) -> LabeledImages:
    """Grey pictures from a CSV, gzipped or not: a row has the pixels from 0 to 255, line by line, and then the label.

    Raises `DataError` where the rows are anything else.
    """
    import numpy as np

    try:
        text = gzip.decompress(content) if content[:2] == GZIP else content
        rows = np.array([line.split(",") for line in text.decode().split()], dtype=np.float64)
        with np.errstate(invalid="ignore"):  # compared below
            pixels = rows[:, :-1].astype(np.uint8)
    except (ValueError, IndexError, OSError, EOFError, zlib.error) as error:
        said = " ".join(str(error).split())[:120]
        raise DataError(f"{what} is not a table of pixels ({said}): get it again") from error
    if pixels.shape[1] != height * width or not np.array_equal(pixels, rows[:, :-1]):
        raise DataError(
            f"{what}: expected rows of {height * width} whole numbers from 0 to 255 and a label, "
            f"but got {rows.shape[1]} columns, or other numbers"
        )
    return LabeledImages(pixels.reshape(-1, height, width, 1), np.array([f"{label:g}" for label in rows[:, -1]]))


def one_against_rest(pictures: LabeledImages, label: str, name: str) -> LabeledImages:
    """The same pictures in two classes: those of `label`, now called `name`, and the `rest`."""
    import numpy as np

    return pictures._replace(labels=np.where(pictures.labels == label, name, "rest"))


def _files_of_folder(path: Path) -> Iterator[File]:
    try:
        files = sorted(file for file in path.rglob("*") if file.is_file() or not file.exists())
    except OSError as error:
        raise DataError(f"cannot read {error.filename or path}: {error.strerror or error}") from error
    for file in files:
        yield PurePosixPath(file.relative_to(path).as_posix()), file.read_bytes


def _files_of_zip(archive: zipfile.ZipFile, what: str) -> Iterator[File]:
    members = sorted((m for m in archive.infolist() if not m.is_dir()), key=lambda m: m.filename)
    if (unpacked := sum(m.file_size for m in members)) > MAX_UNPACKED:
        raise DataError(f"{what} unpacks to {unpacked / 1e9:.1f} GB: unpack it, and name the folder")
    for member in members:
        yield PurePosixPath(member.filename), partial(archive.read, member)


def _pictures(files: Iterable[File], size: int, what: str) -> LabeledImages:
    import numpy as np

    found, labels, notes = [], [], []
    for name, read in files:
        if any(part.startswith((".", "__MACOSX")) for part in name.parts):
            continue  # what a system leaves behind, not a person
        if len(name.parts) == 1:
            notes.append(f"{name}: left out, it lies in no folder of a class")
        elif name.suffix.lower() not in SUFFIXES:
            notes.append(f"{name}: left out, its name does not end in {', '.join(SUFFIXES)}")
        elif isinstance(picture := _decoded(read, size), str):
            notes.append(f"{name}: left out, it cannot be read ({picture})")
        else:
            found.append(picture)
            labels.append(name.parts[0])
    if len(set(labels)) < 2:
        left = f"; of {len(notes)} files left out the first is {notes[0]}" if notes else ""
        raise DataError(f"{what} has readable pictures of {len(set(labels))} classes: {EXPECTED}, two or more{left}")
    return LabeledImages(_stacked(found), np.array(labels), tuple(notes))


def _decoded(read: Callable[[], bytes], size: int) -> Any:
    """The middle square of a picture as a Pillow image, grey or RGB, no larger than `size`; else why it cannot be read."""
    pillow = _pillow()
    try:
        with pillow.open(io.BytesIO(read()), formats=("PNG", "JPEG")) as opened:
            opened.draft(None, (2 * size, 2 * size))  # a large JPEG is unpacked at a half, a quarter or an eighth
            picture = _plain(opened)
    except pillow.DecompressionBombError:
        return "more pixels than any photograph has"
    except UNREADABLE as error:
        # Pillow's message for what it does not know names an address in memory: notes must not change from run to run.
        return " ".join(str(getattr(error, "strerror", None) or error).split("<_io")[0].split())
    side = min(picture.size)
    left, top = ((length - side) // 2 for length in picture.size)
    picture = picture.crop((left, top, left + side, top + side))
    return picture if side <= size else picture.resize((size, size), pillow.Resampling.BILINEAR)


def _plain(opened: Any) -> Any:
    """The picture the right way up, in mode L or RGB, what is transparent white."""
    from PIL import Image, ImageOps

    picture = ImageOps.exif_transpose(opened)
    if picture.mode.startswith("I"):  # 16 bits
        return picture.point(lambda value: value / 256).convert("L")
    grey = picture.mode in {"1", "L", "LA"}
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    return picture.convert("L" if grey else "RGB")


def _stacked(found: list[Any]) -> npt.NDArray[np.uint8]:
    """Pictures as one array: as large as the largest, in colour where one of them is."""
    import numpy as np

    side = max(picture.width for picture in found)
    mode, channels = ("L", 1) if all(picture.mode == "L" for picture in found) else ("RGB", 3)
    images = np.empty((len(found), side, side, channels), np.uint8)
    bilinear = _pillow().Resampling.BILINEAR
    for row, picture in enumerate(found):
        larger = picture.convert(mode).resize((side, side), bilinear)
        images[row] = np.asarray(larger).reshape(side, side, channels)
    return images


def _pillow() -> Any:
    try:
        from PIL import Image
    except ImportError as error:
        raise Unavailable("pictures need Pillow: python -m pip install 'evenhand[images]'") from error
    return Image
