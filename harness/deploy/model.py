"""A fitted pipeline on disk and back: what a bundle predicts with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.deploy.keras_runtime import write_network
from harness.deploy.pack import pack, unpack
from harness.deploy.serialize import read_objects, write_objects
from harness.errors import BundleError
from harness.metrics.calibration import Calibrator
from harness.registry.task import Features
from harness.search.pipeline import FittedPipeline

PIPELINE = "pipeline.skops"


@dataclass(frozen=True)
class Model:
    """A fitted pipeline and its calibrator, None for none; holds no training rows."""

    fitted: FittedPipeline
    calibrator: Calibrator | None

    def predict_proba(self, X: Features) -> npt.NDArray[np.float64]:
        """Calibrated probabilities (n, k) of raw rows, of which there may be none."""
        if len(X) == 0:
            return np.empty((0, self.fitted.classes))
        proba = self.fitted.predict_proba(X)
        return np.asarray(self.calibrator(proba) if self.calibrator else proba, dtype=np.float64)


def save_model(fitted: FittedPipeline, calibrator: Calibrator | None, folder: Path) -> list[str]:
    """Write a model into a folder; returns the names of the files.

    Those are `pipeline.skops`, of networks `network.keras` (of several `network_2.keras` and so on), and `features.keras`
    where the pretrained network encodes pictures. Raises `EvenhandError` where the model holds anything that a bundle may
    not, such as the classifier of a plugin.
    """
    names = [PIPELINE]

    def keep(kind: str, model: Any) -> str:
        number = sum(name.startswith(kind) for name in names) + 1
        names.append(f"{kind}_{number}.keras" if number > 1 else f"{kind}.keras")
        write_network(model, folder / names[-1])
        return names[-1]

    packed = pack(fitted, keep)
    (folder / PIPELINE).write_bytes(write_objects(Model(packed, calibrator)))
    return names


def load_model(read: Callable[[str], bytes]) -> Model:
    """A saved model; `read(name)` returns the content of a file of the bundle, or raises.

    Raises `BundleError` in one line for a file that is damaged, or holds anything but what `save_model` writes.
    """
    model = read_objects(read(PIPELINE), PIPELINE)
    if not isinstance(model, Model) or not isinstance(getattr(model, "fitted", None), FittedPipeline):
        raise BundleError(f"{PIPELINE} holds a {type(model).__name__} and no model: export the bundle again")
    try:
        return Model(unpack(model.fitted, read), model.calibrator)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise BundleError(
            f"{PIPELINE} holds parts that do not fit together ({type(error).__name__}): export the bundle again"
        ) from error
