"""A fitted pipeline on disk and back: what a bundle predicts with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.deploy.keras_runtime import write_network
from harness.deploy.pack import pack_pipeline, unpack_pipeline
from harness.deploy.serialize import object_from_skops, object_to_skops
from harness.errors import BundleError
from harness.metrics.calibration import Calibrator
from harness.registry.task import Features
from harness.search.pipeline import FittedPipeline

PIPELINE_FILE = "pipeline.skops"


@dataclass(frozen=True)
class Model:
    """A fitted pipeline and its calibrator, None for none; contains no training rows."""

    pipeline: FittedPipeline
    calibrator: Calibrator | None

    def predict_proba(self, X: Features) -> npt.NDArray[np.float64]:
        """Predict calibrated probabilities, shape (n, k), of n raw rows; n may be 0."""
        if len(X) == 0:
            return np.empty((0, self.pipeline.classes))
        proba = self.pipeline.predict_proba(X)
        return np.asarray(self.calibrator(proba) if self.calibrator else proba, dtype=np.float64)


def save_model(pipeline: FittedPipeline, calibrator: Calibrator | None, folder: Path) -> list[str]:
    """Write a model into a folder.

    Parameters
    ----------
    pipeline : FittedPipeline
        The pipeline; not changed.
    calibrator : callable or None
        Recalibrates the probabilities.
    folder : Path
        An existing folder.

    Returns
    -------
    list of str
        Names of the files: ``pipeline.skops``; for networks ``network.keras``, ``network_2.keras`` and so on; and
        ``features.keras`` where the pretrained network encodes images.

    Raises
    ------
    EvenhandError
        If the model contains a type that a bundle may not, such as the classifier of a plugin.
    """
    names = [PIPELINE_FILE]

    def save_network(kind: str, network: Any) -> str:
        network_number = sum(name.startswith(kind) for name in names) + 1
        name = f"{kind}_{network_number}.keras" if network_number > 1 else f"{kind}.keras"
        names.append(name)
        write_network(network, folder / name)
        return name

    packed_pipeline = pack_pipeline(pipeline, save_network)
    (folder / PIPELINE_FILE).write_bytes(object_to_skops(Model(packed_pipeline, calibrator)))
    return names


def load_model(read_file: Callable[[str], bytes]) -> Model:
    """Load a saved model.

    Parameters
    ----------
    read_file : callable
        Returns the content of a file by its name.

    Returns
    -------
    Model
        The model, ready to predict.

    Raises
    ------
    BundleError
        If a file is damaged or contains anything that `save_model` does not write; the message has one line.
    """
    model = object_from_skops(read_file(PIPELINE_FILE), PIPELINE_FILE)
    if not isinstance(model, Model) or not isinstance(getattr(model, "pipeline", None), FittedPipeline):
        raise BundleError(f"{PIPELINE_FILE} holds a {type(model).__name__} and no model: export the bundle again")
    try:
        return Model(unpack_pipeline(model.pipeline, read_file), model.calibrator)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise BundleError(
            f"{PIPELINE_FILE} holds parts that do not fit together ({type(error).__name__}): export the bundle again"
        ) from error
