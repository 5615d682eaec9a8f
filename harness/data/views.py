"""Slightly different views of a picture, for a network to learn that they show the same thing."""

from __future__ import annotations

import hashlib
from math import cos, radians, sin
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from harness.errors import Unavailable

Images: TypeAlias = npt.NDArray[np.uint8]

VIEWS = 1  #: the version of what is below: another one makes other views
DEGREES, SHIFT, ZOOM, BRIGHTNESS = 12.0, 0.07, 0.12, 0.2  #: how far views differ; the shift in sides of the picture


def view(images: Images, number: int) -> Images:
    """View `number` of every picture (n, h, w, 1 or 3); view 0 is the picture itself.

    The others are a little turned, moved, larger or smaller, brighter or darker; never mirrored, because a mirrored digit
    or sign is another one. What comes in from outside has the median colour of the border. How a view differs is drawn
    from what the picture holds, so that it is the same in every fold and process. Raises `Unavailable` without Pillow.
    """
    return np.stack([_view(image, number) for image in images]) if number and len(images) else images


def _view(image: Images, number: int) -> Images:
    pillow, content = _pillow(), hashlib.blake2b(image.tobytes(), digest_size=8).digest()
    rng = np.random.default_rng([int.from_bytes(content), number])
    height, width, channels = image.shape
    angle, zoom = radians(rng.uniform(-DEGREES, DEGREES)), 1 + rng.uniform(-ZOOM, ZOOM)
    across, down = rng.uniform(-SHIFT, SHIFT, 2) * (width, height)
    bright = 1 + rng.uniform(-BRIGHTNESS, BRIGHTNESS)
    # Where each pixel of the view comes from: turned about the middle of the picture, and moved.
    c, s, x, y = cos(angle) / zoom, sin(angle) / zoom, (width - 1) / 2, (height - 1) / 2
    source = (c, -s, x - c * x + s * y + across, s, c, y - s * x - c * y + down)
    border = np.median(np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]]), axis=0)
    colour = tuple(int(value) for value in border)
    picture = pillow.fromarray(image[:, :, 0] if channels == 1 else image)
    turned = picture.transform(
        picture.size,
        pillow.Transform.AFFINE,
        source,
        pillow.Resampling.BILINEAR,
        fillcolor=colour[0] if channels == 1 else colour,
    )
    lit: Images = np.asarray(turned.point([min(255, round(value * bright)) for value in range(256)] * channels))
    return lit.reshape(image.shape)


def _pillow() -> Any:
    try:
        from PIL import Image
    except ImportError as error:
        raise Unavailable("views of pictures need Pillow: python -m pip install 'evenhand[images]'") from error
    return Image
