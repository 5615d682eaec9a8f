"""The rows that insights are about: read, predicted without flattery, their outcomes where these are known."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from harness.data.columns import texts
from harness.data.hashing import row_keys
from harness.deploy.bundle import Bundle
from harness.deploy.insights.campaign import Asked
from harness.deploy.predict import Part, parts
from harness.errors import DataError
from harness.registry.registry import closest
from harness.registry.task import Features, take

if TYPE_CHECKING:
    import pandas as pd

Index = npt.NDArray[np.int64]

NEW, HELD_OUT, LEARNT = 0, 1, 2  #: where a row's probability is from
FOLDERS = "the folder's name"  #: the target of pictures
AT_ONCE = 20_000
MOST_NAMES = 3  #: columns beside the model's that say who a row is


@dataclass(frozen=True)
class ScoredRows:
    """Rows with what is said of them.

    `proba` (n, k) is what the run's models said of a row while it was a sealed test row (`source` HELD_OUT) where the row
    is one that the bundle's model has learnt from, else the bundle's own (NEW). LEARNT are rows it has learnt from that
    were never sealed: what is said of them flatters, so they count for nothing where outcomes are counted.
    `y` (n,) is -1 where the outcome is not known.
    """

    bundle: Bundle
    X: Features
    proba: npt.NDArray[np.float64]
    source: npt.NDArray[np.int8]
    y: Index
    target: str | None  #: column of the outcomes; None: there are none
    flags: dict[int, tuple[tuple[str, str], ...]]  #: row → (column, what is odd there)
    names: pd.DataFrame  #: columns that say who a row is, for lists

    def __len__(self) -> int:
        return len(self.source)

    @property
    def binary(self) -> bool:
        """Whether there are two classes, the second of them the positive one."""
        return bool(self.proba.shape[1] == 2)

    @property
    def known(self) -> Index:
        """Rows whose outcome is known and which the predicting model had not learnt from."""
        return np.flatnonzero((self.y >= 0) & (self.source != LEARNT))

    @property
    def wanted(self) -> str:
        """The positive class of two as people ask for it, `Churn = Yes`, with the name of the bundle's target."""
        return f"{self.bundle.schema.target} = {self.bundle.schema.classes[1]}"

    @property
    def positive_name(self) -> str:
        """The positive class in a sentence: by its name, or where that is a number with its column, as "340 1" says nothing."""
        name = self.bundle.schema.classes[1]
        return name if any(map(str.isalpha, name)) else self.wanted

    @property
    def positive(self) -> npt.NDArray[np.float64]:
        """The probability (n,) of the positive class of two."""
        found: npt.NDArray[np.float64] = self.proba[:, 1]
        return found


def read_given(bundle: Bundle, asked: Asked) -> ScoredRows:
    """Read and predict the rows; raises `DataError` or `BadRows` where they cannot be."""
    if (bundle.schema.modality == "image") != asked.data.is_dir():
        wanted = "a folder of pictures" if bundle.schema.modality == "image" else "a CSV or Parquet file"
        raise DataError(f"{asked.data}: this bundle takes {wanted}")
    found = [part for part, _ in parts(bundle, asked.data)]
    if not sum(len(part.shown) for part in found):
        raise DataError(f"{asked.data} holds no rows: there is nothing to say of them")
    X, shown = _joined(found), _shown(found)
    proba, source = _said(bundle, X)
    target, y = _outcomes(bundle, asked, shown)
    flags: dict[int, list[tuple[str, str]]] = {}
    start = 0
    for part in found:
        for row, name, what in part.read.flags:
            flags.setdefault(start + row, []).append((name, what))
        start += len(part.shown)
    read = {one.name for one in bundle.schema.features} | {target}
    return ScoredRows(
        bundle,
        X,
        proba,
        source,
        y,
        target,
        {row: tuple(odd) for row, odd in flags.items()},
        shown[_names(shown, read)],
    )


def _joined(found: list[Part]) -> Features:
    import pandas as pd

    if len(found) == 1:
        return found[0].read.X
    if not hasattr(found[0].read.X, "columns"):
        return np.concatenate([part.read.X for part in found])
    columns: dict[str, Any] = {}
    for name, first in found[0].read.X.items():
        of_parts = [part.read.X[name] for part in found]
        if first.dtype == "category":  # parts know different levels
            columns[name] = pd.Categorical(pd.concat([one.astype("str") for one in of_parts], ignore_index=True))
        else:
            columns[name] = np.concatenate([one.to_numpy() for one in of_parts])
    return pd.DataFrame(columns)


def _shown(found: list[Part]) -> pd.DataFrame:
    import pandas as pd

    return pd.concat([part.shown for part in found], ignore_index=True)


def _said(bundle: Bundle, X: Features) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int8]]:
    """The probabilities of rows, held-out ones where there are, and where each is from."""
    rows = np.arange(len(X))
    starts = range(0, len(rows), AT_ONCE)
    proba = np.concatenate([bundle.predict_proba(take(X, rows[start : start + AT_ONCE])) for start in starts])
    source = np.full(len(rows), NEW, dtype=np.int8)
    held = bundle.held_out()
    if held is None or not len(held.keys):
        return proba, source
    keys, place = np.unique(held.keys, return_inverse=True)
    seen = ~np.isnan(held.proba).any(axis=1)
    sums = np.zeros((len(keys), proba.shape[1]))
    np.add.at(sums, place[seen], held.proba[seen])
    counts = np.bincount(place[seen], minlength=len(keys))
    own = row_keys(X)
    at = np.minimum(np.searchsorted(keys, own), len(keys) - 1)
    learnt = keys[at] == own
    sealed = learnt & (counts[at] > 0)
    proba[sealed] = sums[at[sealed]] / counts[at[sealed], None]
    source[learnt], source[sealed] = LEARNT, HELD_OUT
    return proba, source


def _outcomes(bundle: Bundle, asked: Asked, shown: pd.DataFrame) -> tuple[str | None, Index]:
    """The column of the outcomes and every row's class, -1 where it is not known."""
    classes, unknown = bundle.schema.classes, np.full(len(shown), -1, dtype=np.int64)
    if bundle.schema.modality == "image":
        said = texts(shown["file"].map(lambda name: Path(name).parent.name))
        found = _positions(said, classes)
        return (FOLDERS, found) if (found >= 0).any() else (None, unknown)
    target = asked.target or (bundle.schema.target if bundle.schema.target in shown.columns else None)
    if target is None:
        return None, unknown
    if target not in shown.columns:
        raise DataError(f"no such column {target!r} (--target): {closest(target, list(map(str, shown.columns)))}")
    said = texts(shown[target])
    strange = said[said.notna() & ~said.isin(classes)]
    if len(strange):
        raise DataError(
            f"column {target!r} holds {strange.iloc[0]!r} (row {strange.index[0] + 1}): the classes of this bundle are "
            f"{', '.join(classes)}, and an outcome that is not known is left empty"
        )
    found = _positions(said, classes)
    return (target, found) if (found >= 0).any() else (None, unknown)


def _positions(said: pd.Series, classes: tuple[str, ...]) -> Index:
    """Each text's position among the classes, -1 where it is none of them."""
    place = {name: i for i, name in enumerate(classes)}
    return np.array([place.get(name, -1) for name in said.astype(object)], dtype=np.int64)


def _names(shown: pd.DataFrame, read: set[str | None]) -> list[str]:
    """Columns that the model does not read and that differ in nearly every row: numbers of customers, names, files."""
    others = [name for name in shown.columns if name not in read]
    return [name for name in others if shown[name].nunique() > 0.9 * len(shown)][:MOST_NAMES]
