"""Keras models on disk and back, and their prediction: traced once, whatever the number of rows."""

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

from harness.deploy.serialize import KERAS_CLASSES, iterate_json_objects, open_zip, summarize_error
from harness.errors import BundleError, Unavailable
from harness.preprocessing.image import PixelEncoder

CONFIG = "config.json"  #: the member of a .keras file that describes the layers
MAX_BATCH_NUMBERS = 2_000_000  #: input numbers per call: more rows than that are predicted in batches
MAX_BATCH_ROWS = 8_192
IMAGE_BATCH_SIZE = 16  #: images encoded per call, the fastest of 8, 16 and 32 on one core

ArrayFunction: TypeAlias = Callable[[npt.NDArray[Any]], npt.NDArray[Any]]


@dataclass(frozen=True)
class SavedNetwork:
    """A network as it is saved: the file of its Keras model, how rows enter it, and how logits become probabilities."""

    file: str
    inputs: Any
    loss: Any


@dataclass(frozen=True)
class TracedClassifier:
    """A network that predicts."""

    network: SavedNetwork
    logits: ArrayFunction

    def predict_proba(self, X: Any) -> npt.NDArray[np.float32]:
        """Predict the probability of every class, shape (n, k)."""
        return np.asarray(self.network.loss.probabilities(self.logits(self.network.inputs(X))))


@dataclass(frozen=True)
class SavedImageNetwork:
    """The pretrained part below a classifier as it is saved; `half_precision`: its features are cast to float16."""

    file: str
    half_precision: bool


@dataclass(frozen=True)
class ImageNetworkEncoder:
    """The pretrained part that encodes images; unlike in training, no features are cached on disk."""

    network: SavedImageNetwork
    features: ArrayFunction

    def transform(self, rows: npt.NDArray[np.uint8]) -> npt.NDArray[Any]:
        """Encode images (n, h, w, 1 or 3) as the features that the classifier takes."""
        features = self.features(PixelEncoder().transform(rows))  # which raises for anything but images
        return features.astype(np.float16) if self.network.half_precision else features


def write_network(model: Any, path: Path) -> None:
    """Save a Keras model that is not compiled."""
    model.save(path)


def read_network(content: bytes, name: str) -> Any:
    """Load the Keras model in a .keras file.

    Parameters
    ----------
    content : bytes
        The file.
    name : str
        Name of the file in messages.

    Returns
    -------
    keras.Model
        The model, not compiled.

    Raises
    ------
    BundleError
        If this is no .keras file, if it is damaged, or if it names a class that is not in `KERAS_CLASSES`, such as a Lambda
        layer.
    """
    try:
        with open_zip(content) as file:
            config = json.loads(file.read(CONFIG))
    except Exception as error:
        message = f"{name} is not a .keras file or is damaged ({summarize_error(error)}): export the bundle again"
        raise BundleError(message) from error
    if disallowed_classes := sorted(set(_keras_classes_in_config(config)) - KERAS_CLASSES):
        message = (
            f"{name} holds {', '.join(disallowed_classes[:3])}, which no bundle of evenhand holds: it is not opened"
        )
        raise BundleError(message)
    keras_module = _import_keras()
    try:
        with tempfile.TemporaryDirectory() as folder:  # Keras reads only from a path
            path = Path(folder) / "network.keras"
            path.write_bytes(content)
            return keras_module.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:
        raise BundleError(f"{name} is damaged ({summarize_error(error)}): export the bundle again") from error


def trace_prediction_function(model: Any) -> ArrayFunction:
    """Turn a Keras model into a function of arrays, traced once for any number of rows."""
    tf = _import_tensorflow()
    spec = tf.TensorSpec(model.input_shape, model.inputs[0].dtype)
    traced_function = tf.function(lambda rows: model(rows, training=False), input_signature=[spec], jit_compile=False)
    return _call_in_batches(traced_function.get_concrete_function(), spec.dtype.as_numpy_dtype)


def adapt_to_any_image_size(model: Any) -> ArrayFunction:
    """Turn a Keras model of colour images of a fixed size into a function of images of any size.

    Images are scaled as in `harness.networks.pretrained.apply_model_to_images`; one trace serves every number of images and every size.

    Parameters
    ----------
    model : keras.Model
        Takes images (n, size, size, 3).

    Returns
    -------
    callable
        Takes images (n, h, w, 1 or 3) in uint8.
    """
    tf = _import_tensorflow()
    size = model.input_shape[1]

    def compute_features(images: Any) -> Any:
        scaled_images = tf.image.resize(tf.cast(images, tf.float32), (size, size), antialias=True)
        coloured_images = tf.repeat(scaled_images, 3 // tf.shape(images)[3], axis=3)
        return model(tf.ensure_shape(coloured_images, (None, size, size, 3)), training=False)

    spec = tf.TensorSpec((None, None, None, None), tf.uint8)
    traced_function = tf.function(compute_features, input_signature=[spec], jit_compile=False)
    return _call_in_batches(traced_function.get_concrete_function(), np.uint8, IMAGE_BATCH_SIZE)


def _call_in_batches(traced_function: Any, dtype: Any, max_rows: int = MAX_BATCH_ROWS) -> ArrayFunction:
    """Call a traced function in batches that fit into memory, and never with a single row.

    A single row is multiplied by another routine, which adds in another order: probabilities changed by up to 2e-6.
    """
    tf = _import_tensorflow()

    def call(rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
        numbers_per_row = max(1, int(np.prod(rows.shape[1:])))
        batch_size = max(1, min(max_rows, MAX_BATCH_NUMBERS // numbers_per_row))
        batch_outputs = []
        for first_row in range(0, len(rows), batch_size):
            batch = rows[first_row : first_row + batch_size]
            if len(batch) == 1:
                batch = np.repeat(batch, 2, axis=0)
            batch_outputs.append(traced_function(tf.constant(batch, dtype)).numpy())
        return np.concatenate(batch_outputs)[: len(rows)]

    return call


def _keras_classes_in_config(config: Any) -> Iterator[str]:
    """Every class that the description of a Keras model names, with its module."""
    for node in iterate_json_objects(config):
        if "class_name" in node or "module" in node:
            yield f"{node.get('module')}.{node.get('registered_name') or node.get('class_name')}"
            yield f"{node.get('module')}.{node.get('class_name')}"


@contextmanager
def _suppressed_stderr() -> Iterator[None]:
    """Discard standard error, to which TensorFlow writes from C++ on import whatever the log level."""
    sys.stderr.flush()
    stderr_copy, null_device = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null_device, 2)
    try:
        yield
    finally:
        os.dup2(stderr_copy, 2)
        os.close(stderr_copy)
        os.close(null_device)


def _import_keras() -> Any:
    if "keras" in sys.modules:
        return sys.modules["keras"]
    try:
        with _suppressed_stderr():
            import keras
    except ModuleNotFoundError as error:
        raise Unavailable("this bundle holds a network, which needs TensorFlow: pip install 'evenhand[cpu]'") from error
    return keras


def _import_tensorflow() -> Any:
    _import_keras()
    import tensorflow as tf

    return tf
