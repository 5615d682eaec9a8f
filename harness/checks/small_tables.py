"""Small data with a signal, uneven classes and the usual nuisances, made from a fixed seed: what declarations are tried on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.registry.task import Modality, Table

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

ROWS = 240


def small(modality: Modality, classes: int) -> Table:
    """A small table, small texts or small pictures, of two or three classes."""
    import numpy as np

    rng = np.random.default_rng(classes)
    y = rng.choice(classes, ROWS, p=[0.75, 0.25] if classes == 2 else [0.6, 0.25, 0.15]).astype(np.int64)
    X = {"tabular": _columns, "text": _texts, "image": _pictures}[modality](y, rng)
    return Table(X, y, tuple(f"class {i}" for i in range(classes)))


def _columns(y: npt.NDArray[np.int64], rng: np.random.Generator) -> object:
    import numpy as np
    import pandas as pd

    number = y + rng.normal(size=ROWS)
    number[rng.random(ROWS) < 0.1] = np.nan
    letters = np.where(rng.random(ROWS) < 0.5, "a", np.where(y == 1, "b", "c")).astype(object)
    letters[:3] = "rare"
    return pd.DataFrame({"number": number, "noise": rng.normal(size=ROWS), "letter": pd.Categorical(letters)})


def _texts(y: npt.NDArray[np.int64], rng: np.random.Generator) -> object:
    """Words of which some tell the class; one text is empty."""
    import numpy as np

    common = ["we", "meet", "at", "noon", "and", "walk", "home", "42"]
    telling = [["tea", "garden"], ["win", "prize"], ["train", "late"]]
    texts = [
        " ".join(
            rng.permutation([*rng.choice(common, 5), *(rng.choice(telling[label], 1) if rng.random() < 0.8 else [])])
        )
        for label in y
    ]
    texts[0] = ""
    return np.array(texts, dtype=object)


def _pictures(y: npt.NDArray[np.int64], rng: np.random.Generator) -> object:
    """A bright bar whose place tells the class, on noise."""
    import numpy as np

    pictures = rng.integers(0, 90, size=(ROWS, 12, 12, 1), dtype=np.uint8)
    for row, label in enumerate(y):
        pictures[row, 2 + 3 * label : 4 + 3 * label, 2:10] += 120
    return pictures
