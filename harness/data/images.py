"""Images as arrays: a folder or a zip with a folder per class, and tables of pixels."""

from __future__ import annotations

import gzip
import io
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import filterfalse
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from harness.data.image_folders import detect_folder_layout
from harness.data.sources import MAX_UNPACKED
from harness.errors import DataError, MissingPackageError
from harness.findings import Finding

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

MAX_IMAGE_SIDE = 160  #: pixels; larger images are reduced to this side
SUFFIXES = (".png", ".jpg", ".jpeg")
GZIP = b"\x1f\x8b"
#: What Pillow and `zipfile` raise for damaged content.
UNREADABLE_IMAGE_ERRORS = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    RuntimeError,
    struct.error,
    zlib.error,
    zipfile.BadZipFile,
)
EXPECTED_LAYOUT = "expected a folder per class with PNG or JPEG files in it"

#: The name of a file below a folder, and a function that reads it.
NamedFile: TypeAlias = tuple[PurePosixPath, Callable[[], bytes]]


class LabeledImages(NamedTuple):
    """Square images of one size with their labels.

    Attributes
    ----------
    images : ndarray of uint8, shape (n, side, side, 3) or (n, side, side, 1) where all are grey
    labels : ndarray of str, shape (n,)
    notes : tuple of Finding
        Each file that was left out, with the reason.
    test : ndarray of bool, shape (n,), or None
        Whether an image is in the test part of a published split; None where there is none.
    """

    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.str_]
    notes: tuple[Finding, ...] = ()
    test: npt.NDArray[np.bool_] | None = None


def load_folder(path: Path, size: int = MAX_IMAGE_SIDE) -> LabeledImages:
    """Load the images of a folder with a folder per class: PNG and JPEG, in the order of their names.

    The central square of each is taken, as in ImageNet's evaluation, and reduced where it is larger than `size`; where
    sides then differ, all are enlarged to the largest. A file that cannot be read is left out and named in the notes.
    Folders named train, val and test with the folders of the classes in them are a published split.

    Parameters
    ----------
    path : Path
        The folder.
    size : int, default 160
        Largest side in pixels.

    Returns
    -------
    LabeledImages
        The images; the name of the class folder is the label.

    Raises
    ------
    DataError
        If there are readable images of fewer than two classes.
    MissingPackageError
        If Pillow is not installed.
    """
    if not path.is_dir():
        raise DataError(f"{path} is not a folder: {EXPECTED_LAYOUT}")
    return _load_image_files(_list_folder_files(path), size, str(path))


def load_zip(content: bytes, what: str, size: int = MAX_IMAGE_SIDE) -> LabeledImages:
    """Load the images of a zip with a folder per class, as `load_folder` does; `what` names it in messages."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return _load_image_files(_list_zip_files(archive, what), size, what)
    except zipfile.BadZipFile as error:
        raise DataError(f"{what} is not a zip that can be read ({error}): get it again") from error


def read_image(content: bytes, shape: tuple[int, int, int]) -> npt.NDArray[np.uint8]:
    """Read one PNG or JPEG file, processed as the images of a folder are.

    Parameters
    ----------
    content : bytes
        Content of the file.
    shape : (int, int, int)
        Height, width and channels (1 or 3) of the image to return.

    Returns
    -------
    ndarray of uint8
        An image of that shape.

    Raises
    ------
    DataError
        If the file cannot be read.
    MissingPackageError
        If Pillow is not installed.
    """
    import numpy as np

    height, width, color_channels = shape
    try:
        image = _decode_image(lambda: content, height)
    except _UnreadableImageError as error:
        raise DataError(f"this is no PNG or JPEG file that can be read ({error})") from error
    color_mode = "L" if color_channels == 1 else "RGB"
    resized_image = image.convert(color_mode).resize((width, height), _import_pillow().Resampling.BILINEAR)
    return np.asarray(resized_image, dtype=np.uint8).reshape(shape)


def read_pixels(content: bytes, height: int, width: int, what: str) -> LabeledImages:
    """Read grey images from a CSV, gzipped or not: a row has the pixels from 0 to 255, line by line, then the label.

    Parameters
    ----------
    content : bytes
        Content of the file.
    height, width : int
        Size of the images in pixels.
    what : str
        Name of the file in messages.

    Returns
    -------
    LabeledImages
        One image per row.

    Raises
    ------
    DataError
        If the rows are anything else.
    """
    import numpy as np

    try:
        text = gzip.decompress(content) if content[:2] == GZIP else content
        rows = np.array([line.split(",") for line in text.decode().split()], dtype=np.float64)
        with np.errstate(invalid="ignore"):  # compared below
            pixels = rows[:, :-1].astype(np.uint8)
    except (ValueError, IndexError, OSError, EOFError, zlib.error) as error:
        reason = " ".join(str(error).split())[:120]
        raise DataError(f"{what} is not a table of pixels ({reason}): get it again") from error
    if pixels.shape[1] != height * width or not np.array_equal(pixels, rows[:, :-1]):
        raise DataError(
            f"{what}: expected rows of {height * width} whole numbers from 0 to 255 and a label, "
            f"but got {rows.shape[1]} columns, or other numbers"
        )
    return LabeledImages(pixels.reshape(-1, height, width, 1), np.array([f"{label:g}" for label in rows[:, -1]]))


def one_against_rest(images: LabeledImages, label: str, name: str) -> LabeledImages:
    """Reduce the classes to two: `label`, renamed to `name`, and `rest`."""
    import numpy as np

    return images._replace(labels=np.where(images.labels == label, name, "rest"))


def _list_folder_files(path: Path) -> Iterator[NamedFile]:
    try:
        files = sorted(file for file in path.rglob("*") if file.is_file() or not file.exists())
    except OSError as error:
        raise DataError(f"cannot read {error.filename or path}: {error.strerror or error}") from error
    for file in files:
        yield PurePosixPath(file.relative_to(path).as_posix()), file.read_bytes


def _list_zip_files(archive: zipfile.ZipFile, source_description: str) -> Iterator[NamedFile]:
    members = [member for member in archive.infolist() if not member.is_dir()]
    members.sort(key=lambda member: member.filename)
    unpacked_bytes = sum(member.file_size for member in members)
    if unpacked_bytes > MAX_UNPACKED:
        raise DataError(
            f"{source_description} unpacks to {unpacked_bytes / 1e9:.1f} GB: unpack it, and name the folder"
        )
    for member in members:
        yield PurePosixPath(member.filename), partial(archive.read, member)


class _UnreadableImageError(Exception):
    """Raised with the reason for an image that cannot be read."""


def _load_image_files(files: Iterable[NamedFile], size: int, source_description: str) -> LabeledImages:
    import numpy as np

    files = list(filterfalse(_is_hidden_file, files))
    folder_layout = detect_folder_layout([name for name, _ in files if name.suffix.lower() in SUFFIXES])
    images, labels, is_test_image = [], [], []
    image_notes = list(folder_layout.notes)
    for name, read_bytes in files:
        label = folder_layout.label(name)
        if label is None:
            image_notes.append(Finding("no_class_folder", "note", "it lies in no folder of a class", str(name)))
        elif name.suffix.lower() not in SUFFIXES:
            message = f"its name does not end in {', '.join(SUFFIXES)}"
            image_notes.append(Finding("unknown_file_type", "note", message, str(name)))
        else:
            try:
                images.append(_decode_image(read_bytes, size))
            except _UnreadableImageError as error:
                image_notes.append(Finding("unreadable_image", "note", f"it cannot be read ({error})", str(name)))
                continue
            labels.append(label)
            is_test_image.append(folder_layout.is_test(name))
    classes = len(set(labels))
    if classes < 2:
        raise DataError(
            f"{source_description} has readable images of {classes} classes: {EXPECTED_LAYOUT}, two or more"
            f"{_describe_first_omitted_file(image_notes[len(folder_layout.notes) :])}"
        )
    is_test = np.array(is_test_image) if folder_layout.test_part else None
    return LabeledImages(_stack_images(images), np.array(labels), tuple(image_notes), is_test)


def _is_hidden_file(file: NamedFile) -> bool:
    """Whether a file is one of the operating system."""
    return any(path_part.startswith((".", "__MACOSX")) for path_part in file[0].parts)


def _describe_first_omitted_file(layout_notes: Sequence[Finding]) -> str:
    return f"; of {len(layout_notes)} files left out the first is {layout_notes[0].note}" if layout_notes else ""


def _decode_image(read_bytes: Callable[[], bytes], size: int) -> Any:
    """Decode the central square of an image as a Pillow image, grey or RGB, no larger than `size`."""
    pillow_module = _import_pillow()
    try:
        with pillow_module.open(io.BytesIO(read_bytes()), formats=("PNG", "JPEG")) as file:
            file.draft(None, (2 * size, 2 * size))  # a large JPEG is decoded at a half, a quarter or an eighth
            image = _rotate_upright(file)
    except pillow_module.DecompressionBombError as error:
        raise _UnreadableImageError("more pixels than any photograph has") from error
    except UNREADABLE_IMAGE_ERRORS as error:
        # Pillow's message for unknown content names an address in memory: notes must not change from run to run.
        message = str(getattr(error, "strerror", None) or error).split("<_io")[0]
        raise _UnreadableImageError(" ".join(message.split())) from error
    square_side = min(image.size)
    left_margin, top_margin = (image.width - square_side) // 2, (image.height - square_side) // 2
    image = image.crop((left_margin, top_margin, left_margin + square_side, top_margin + square_side))
    if square_side <= size:
        return image
    return image.resize((size, size), pillow_module.Resampling.BILINEAR)


def _rotate_upright(file: Any) -> Any:
    """Rotate an image as its EXIF data say, and convert it to mode L or RGB, with transparency as white."""
    from PIL import Image, ImageOps

    image = ImageOps.exif_transpose(file)
    if image.mode.startswith("I"):  # 16 bits
        return image.point(lambda level: level / 256).convert("L")
    color_mode = "L" if image.mode in {"1", "L", "LA"} else "RGB"
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert(color_mode)


def _stack_images(images: list[Any]) -> npt.NDArray[np.uint8]:
    """Stack images to one array: of the size of the largest, in colour where one of them is."""
    import numpy as np

    largest_side = max(image.width for image in images)
    all_grey = all(image.mode == "L" for image in images)
    color_mode, color_channels = ("L", 1) if all_grey else ("RGB", 3)
    image_array = np.empty((len(images), largest_side, largest_side, color_channels), np.uint8)
    bilinear_filter = _import_pillow().Resampling.BILINEAR
    for row, image in enumerate(images):
        resized_image = image.convert(color_mode).resize((largest_side, largest_side), bilinear_filter)
        image_array[row] = np.asarray(resized_image).reshape(largest_side, largest_side, color_channels)
    return image_array


def _import_pillow() -> Any:
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingPackageError("images need Pillow: python -m pip install 'evenhand[images]'") from error
    return Image
