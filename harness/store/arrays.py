"""Predictions and training curves as archives of arrays, and back."""

from __future__ import annotations

import io
import struct
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile
from zlib import error as ZlibError  # noqa: N812 -- an error, whatever it is called there

from harness.store.record import StoredPredictions

if TYPE_CHECKING:
    import numpy.typing as npt

#: What reading an archive of arrays raises where it is not what it should be.
BROKEN = (
    ValueError,
    KeyError,
    IndexError,
    TypeError,
    AttributeError,
    EOFError,
    OSError,
    RuntimeError,
    struct.error,
    BadZipFile,
    ZlibError,
)


class NotSoundError(ValueError):
    """Arrays that are there and cannot be what a cell predicted."""


def pack(predictions: StoredPredictions) -> bytes:
    """Predictions as bytes, the same for the same predictions."""
    import numpy as np

    return save(
        {
            "test_rows": predictions.test_rows.astype(np.int32),
            "test_y": predictions.test_y.astype(np.int16),
            "train_rows": predictions.train_rows.astype(np.int32),
            "train_y": predictions.train_y.astype(np.int16),
            **{f"test_{stage}": proba for stage, proba in predictions.test.items()},
            **{f"inner_{stage}": proba for stage, proba in predictions.inner.items()},
        }
    )


def unpack(data: bytes, stages: Sequence[str]) -> StoredPredictions:
    """Predictions from what `pack` gave; raises one of `BROKEN` where they are none."""
    import numpy as np

    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        found = StoredPredictions(
            test_rows=arrays["test_rows"].astype(np.int64),
            test_y=arrays["test_y"].astype(np.int64),
            train_rows=arrays["train_rows"].astype(np.int64),
            train_y=arrays["train_y"].astype(np.int64),
            test={stage: arrays[f"test_{stage}"] for stage in stages},
            inner={stage: arrays[f"inner_{stage}"] for stage in stages},
        )
    if what := _unsound(found):
        raise NotSoundError(what)
    return found


def save(arrays: Mapping[str, npt.NDArray[Any]]) -> bytes:
    """Arrays by name as bytes."""
    import numpy as np

    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]  # its stub takes the next argument for a keyword
    return buffer.getvalue()


def save_curves(curves: Mapping[str, npt.NDArray[Any]]) -> bytes:
    """All curves as one: a member of its own for each would be three times as large and twenty times as slow to read."""
    import numpy as np

    arrays = [np.atleast_1d(curve) for curve in curves.values()]
    return save(
        {
            "names": np.array(list(curves), dtype=np.str_),
            "lengths": np.array([len(one) for one in arrays], dtype=np.int64),
            "values": np.concatenate([np.zeros(0), *arrays], dtype=np.float64),
        }
    )


def read_curves(data: bytes) -> dict[str, npt.NDArray[Any]]:
    """Curves by name from what `save_curves` gave; raises one of `BROKEN` where they are none."""
    import numpy as np

    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        names, ends = arrays["names"].tolist(), arrays["lengths"].cumsum()
        return dict(zip(names, np.split(arrays["values"], ends[:-1]), strict=True))


def _unsound(found: StoredPredictions) -> str:
    """What is wrong with predictions that could be read; empty where nothing is. Inner rows may lack probabilities."""
    import numpy as np

    for said, y, rows in ((found.test, found.test_y, found.test_rows), (found.inner, found.train_y, found.train_rows)):
        if y.ndim != 1 or y.shape != rows.shape:
            return "its rows and labels do not belong together"
        for stage, proba in said.items():
            if proba.dtype.kind != "f" or proba.ndim != 2 or len(proba) != len(y):
                return f"the probabilities of {stage} are {proba.dtype} of shape {proba.shape}, for {len(y):,} rows"
            if len(y) and not 0 <= y.min() <= y.max() < proba.shape[1]:
                return f"its labels are not those of {proba.shape[1]} classes"
            unknown = np.isnan(proba).all(axis=1) if said is found.inner else np.zeros(len(y), dtype=bool)
            if not np.isfinite(proba[~unknown]).all():
                return f"the probabilities of {stage} are not all numbers"
    return ""
