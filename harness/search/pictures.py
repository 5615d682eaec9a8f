"""Encodings of pictures: what the pretrained network makes of them, or their pixels."""

from __future__ import annotations

import functools
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.data.features import remembered
from harness.data.sources import wheel_member
from harness.data.views import VIEWS, view
from harness.declare.space import choice, integer, when
from harness.networks.pretrained import CUTS, PORT, SOURCE, Images, check, lower, run, without_batch_norm, working_size
from harness.networks.weights import read_weights
from harness.search.encoding import Encoding

Labels = npt.NDArray[np.int64]

POOLED = ("grid", "features")  #: cuts behind which a picture is a point


@dataclass(frozen=True)
class FrozenEncoder:
    """What the pretrained network makes of pictures up to a cut; it learns nothing and holds no weights.

    Pictures are scaled to `size` pixels. What was once computed comes from the cache on disk, without TensorFlow.
    """

    cut: str
    size: int
    views: int = 0

    def transform(self, rows: Images) -> npt.NDArray[Any]:
        """Pictures (n, h, w, 1 or 3) as float32 of (n, 1728) behind "grid" and (n, 1280) behind "features".

        Behind other cuts as float16 of (n, height, width, channels), what a picture and its views give side by side
        where there are views: (n, 1 + views, height, width, channels). Raises `DataError` for anything but images.
        """
        check(rows)
        if self.views:
            return np.stack([self._made(rows, number) for number in range(1 + self.views)], axis=1)
        return self._made(rows, 0)

    def remember(self, rows: Images) -> None:
        """Compute what the cache on disk does not hold of these pictures yet."""
        self.transform(rows)

    def _made(self, rows: Images, number: int) -> npt.NDArray[Any]:
        what = f"EfficientNet-Lite0 {SOURCE[-1]}, port {PORT}, {_versions()}, {self.size} pixels, {self.cut}"
        if number:
            what += f", view {number} of version {VIEWS}"
        return remembered(what, rows, lambda images: self._compute(view(images, number)))

    def keras_model(self) -> Any:
        """What lies below the cut, from pictures (n, size, size, 3), 0 to 255, as a Keras model with ImageNet's weights."""
        return lower(without_batch_norm(read_weights(wheel_member(*SOURCE))), self.cut, self.size)

    def _compute(self, images: Images) -> npt.NDArray[Any]:
        made = run(self.keras_model(), images)
        # Half precision costs a thousandth of a value (2 ** -11 of it), and spares half of disk and memory.
        return made if self.cut in POOLED else made.astype(np.float16)


@functools.cache
def _versions() -> str:
    """What may change the last digits of features: they must not outlive it."""
    found = []
    for package in ("tensorflow", "tensorflow-cpu", "keras", "pillow"):
        with suppress(PackageNotFoundError):  # one TensorFlow of the two is there
            found.append(f"{package} {version(package)}")
    return ", ".join(found)


@dataclass(frozen=True)
class PixelEncoder:
    """Pictures as they are."""

    def transform(self, rows: Images) -> Images:
        """The same array; raises `DataError` for anything but images."""
        check(rows)
        return rows


def fit_embedding(
    X: Images,
    y: Labels,  # noqa: ARG001 -- a contract
    seed: int,  # noqa: ARG001 -- a contract
    cut: str = "grid",
) -> FrozenEncoder:
    """Nothing is learnt; the side of the pictures decides at which size they are computed.

    "grid" keeps where in the picture something is, "features" only that it is there. With logistic regression the grid
    had 0.971 against 0.924 accuracy on photos of hand signs and 0.972 against 0.921 on 1,500 handwritten digits.
    """
    return FrozenEncoder(cut, working_size(max(X.shape[1:3])))


def fit_pixels(X: Images, y: Labels, seed: int) -> PixelEncoder:  # noqa: ARG001 -- a contract
    """Nothing is learnt."""
    return PixelEncoder()


def fit_activations(X: Images, y: Labels, seed: int, cut: str = "grid", views: int = 0) -> FrozenEncoder:
    """As `fit_embedding`, also with the cuts behind which blocks are trained, and there with `views` of each picture."""
    frozen = fit_embedding(X, y, seed, cut)
    return frozen if cut in POOLED else FrozenEncoder(cut, frozen.size, views)


FROZEN = ("tensorflow", "keras")  #: what computes the pretrained network
POINTS = {"cut": choice(*POOLED, default="grid")}

IMAGE = (
    Encoding("embedding", fit_embedding, {}, "image", {}, needs=FROZEN),
    Encoding("pixels", fit_pixels, {}, "image", why="halfway between two pictures, pixel by pixel, is no picture"),
    Encoding(
        "activations",
        fit_activations,
        {"cut": choice(*CUTS, default="grid"), "views": when("cut", "last_blocks", integer(0, 4, default=0))},
        "image",
        POINTS,
        why="activations within a network are no points",
        needs=FROZEN,
    ),
)
