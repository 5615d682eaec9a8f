"""Keras models on disk and back, and how they predict: traced once, whatever the number of rows."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from harness.deploy.serialize import KERAS, opened, said
from harness.errors import BundleError, Unavailable
from harness.preprocessing.image import PixelEncoder

CONFIG = "config.json"  #: the member of a .keras file that describes the layers
AT_ONCE = 2_000_000  #: numbers that enter at once: more rows than that are predicted in parts
PICTURES = 16  #: that are encoded at once, the fastest of 8, 16 and 32 on one core

Call: TypeAlias = Callable[[npt.NDArray[Any]], npt.NDArray[Any]]


@dataclass(frozen=True)
class Network:
    """A network as it is saved: the file of its Keras model, how rows enter it, and how logits become probabilities."""

    file: str
    inputs: Any
    loss: Any


@dataclass(frozen=True)
class Running:
    """A network that predicts."""

    network: Network
    logits: Call

    def predict_proba(self, X: Any) -> npt.NDArray[np.float32]:
        """The probability of every class, shape (n, k)."""
        proba: npt.NDArray[np.float32] = self.network.loss.probabilities(self.logits(self.network.inputs(X)))
        return proba


@dataclass(frozen=True)
class Frozen:
    """The pretrained part below a classifier as it is saved; `half`: what it makes is kept in half precision."""

    file: str
    half: bool


@dataclass(frozen=True)
class Seeing:
    """The pretrained part that encodes pictures; nothing of them is kept on disk."""

    frozen: Frozen
    features: Call

    def transform(self, rows: npt.NDArray[np.uint8]) -> npt.NDArray[Any]:
        """Pictures (n, h, w, 1 or 3) as the classifier takes them."""
        found = self.features(PixelEncoder().transform(rows))  # which takes nothing but pictures
        return found.astype(np.float16) if self.frozen.half else found


def write_network(model: Any, path: Path) -> None:
    """Save a Keras model that is not compiled."""
    model.save(path)


def read_network(content: bytes, name: str) -> Any:
    """The Keras model in a .keras file, built of listed layers alone; `name` is what the file is called in messages.

    Raises `BundleError` for a file that is none, is damaged, or holds anything else: a Lambda layer, an object of one's own.
    """
    try:
        with opened(content) as file:
            config = json.loads(file.read(CONFIG))
    except Exception as error:
        raise BundleError(
            f"{name} is not a .keras file or is damaged ({said(error)}): export the bundle again"
        ) from error
    if foreign := sorted(set(_asked(config)) - KERAS):
        raise BundleError(f"{name} holds {', '.join(foreign[:3])}, which no bundle of evenhand holds: it is not opened")
    keras = _keras()
    try:
        with tempfile.TemporaryDirectory() as folder:  # Keras reads from a path alone
            path = Path(folder) / "network.keras"
            path.write_bytes(content)
            return keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:
        raise BundleError(f"{name} is damaged ({said(error)}): export the bundle again") from error


def called(model: Any) -> Call:
    """A model as a function of arrays; it is traced once, here, and rows (n, ...) of any number n may come."""
    tf = _tensorflow()
    spec = tf.TensorSpec(model.input_shape, model.inputs[0].dtype)
    traced = tf.function(lambda rows: model(rows, training=False), input_signature=[spec], jit_compile=False)
    return _in_parts(traced.get_concrete_function(), spec.dtype.as_numpy_dtype)


def seeing(model: Any) -> Call:
    """A model of colour pictures of its own size as a function of pictures (n, h, w, 1 or 3) in uint8 of any size.

    They are scaled as `harness.networks.pretrained.run` does it; every number of rows and every size by one trace.
    """
    tf = _tensorflow()
    size = model.input_shape[1]

    def features(pictures: Any) -> Any:
        scaled = tf.image.resize(tf.cast(pictures, tf.float32), (size, size), antialias=True)
        coloured = tf.repeat(scaled, 3 // tf.shape(pictures)[3], axis=3)
        return model(tf.ensure_shape(coloured, (None, size, size, 3)), training=False)

    spec = tf.TensorSpec((None, None, None, None), tf.uint8)
    traced = tf.function(features, input_signature=[spec], jit_compile=False)
    return _in_parts(traced.get_concrete_function(), np.uint8, PICTURES)


def _in_parts(traced: Any, dtype: Any, most: int = 8192) -> Call:
    """A traced function of arrays, called with as many rows at once as memory bears, and never with one.

    A lone row is multiplied by another routine, which adds up in another order: of probabilities that changed up to 2e-6.
    """
    tf = _tensorflow()

    def call(rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
        step = max(1, min(most, AT_ONCE // max(1, int(np.prod(rows.shape[1:])))))
        parts = [rows[start : start + step] for start in range(0, len(rows), step)]
        pairs = [part if len(part) > 1 else np.repeat(part, 2, axis=0) for part in parts]
        return np.concatenate([traced(tf.constant(pair, dtype)).numpy() for pair in pairs])[: len(rows)]

    return call


def _asked(config: Any) -> Iterator[str]:
    """Every class that the description of a Keras model names, with its module."""
    waiting = [config]
    while waiting:
        found = waiting.pop()
        if isinstance(found, dict):
            if "class_name" in found or "module" in found:
                yield f"{found.get('module')}.{found.get('registered_name') or found.get('class_name')}"
                yield f"{found.get('module')}.{found.get('class_name')}"
            waiting.extend(found.values())
        elif isinstance(found, list):
            waiting.extend(found)


@contextmanager
def _greetings_kept_back() -> Iterator[None]:
    """TensorFlow writes to standard error from C++ when it is imported, whatever log level it is asked for."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _keras() -> Any:
    if "keras" in sys.modules:
        return sys.modules["keras"]
    try:
        with _greetings_kept_back():
            import keras
    except ModuleNotFoundError as error:
        raise Unavailable("this bundle holds a network, which needs TensorFlow: pip install 'evenhand[cpu]'") from error
    return keras


def _tensorflow() -> Any:
    _keras()
    import tensorflow as tf

    return tf
