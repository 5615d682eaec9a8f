"""What rows look like that a bundle takes: names, types, ranges, levels, and how each column was spread in training."""

from __future__ import annotations

import datetime
import itertools
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from harness.data.columns import typed
from harness.preprocessing.tabular import fit_preparer
from harness.registry.task import Features, Modality, Raw, Table, Task

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

Kind: TypeAlias = Literal["number", "date", "category", "text", "picture"]

PICTURE = "picture"  #: what the one feature of an image task is called
BINS = 10
GREY = 128
#: The kinds of column of each modality, and the ways in which the text of each kind may be written.
KINDS = {"tabular": ("number", "date", "category"), "text": ("text",), "image": (PICTURE,)}
WRITTEN = {
    "number": ("", "decimal comma"),
    "date": ("", "day first", "month first"),
    "category": ("", "true or false", "whole numbers", "numbers"),
    "text": ("",),
    PICTURE: ("",),
}
LARGEST_PICTURE = 100_000_000  #: values of one picture
LARGEST = 1e300  #: of all that is a number here; infinity and NaN are not below it


@dataclass(frozen=True)
class Feature:
    """One column that a bundle reads, and how it was spread over the training rows.

    `written` says how the text of a value is to be understood: the order of dates, a decimal comma, numbers or true and
    false that are names. `low`, `high` and `median` are of the known numbers, of dates in days since 1970, of texts in
    characters, of pictures in mean brightness from 0 to 255. `levels` are the values of a category that the model tells
    apart, commonest first. `shares` (sum 1) are the training rows per bin between `edges`, or per level and then of all
    other values; the last one is that of missing values.
    """

    name: str
    kind: Kind
    written: str = ""
    low: float | None = None
    high: float | None = None
    median: float | None = None
    levels: tuple[str, ...] = ()
    edges: tuple[float, ...] = ()
    shares: tuple[float, ...] = ()

    def shown(self, value: float | None) -> str:
        """A number of this column as a person writes it, a date as 2024-01-31."""
        if value is None:
            return ""
        if self.kind == "date" and -719_162 <= value < 2_932_897:  # the years 1 to 9999
            return str(datetime.date(1970, 1, 1) + datetime.timedelta(days=int(value // 1)))
        return f"{value:.6g}"


@dataclass(frozen=True)
class Schema:
    """The rows that a bundle takes. Of a text task there is one feature, the text; of an image task one, the picture."""

    modality: Modality
    target: str
    classes: tuple[str, ...]
    features: tuple[Feature, ...]
    rows: int  #: training rows
    picture: tuple[int, int, int] | None = None  #: height, width and channels of pictures

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Schema:
        """A schema from what `as_dict` gave; raises `KeyError`, `TypeError` or `ValueError` where it is none."""
        lists = ("levels", "edges", "shares")
        features = tuple(Feature(**one | {name: _tuple(one[name]) for name in lists}) for one in values["features"])
        picture = None if values["picture"] is None else _tuple(values["picture"])
        schema = cls(**{**values, "classes": _tuple(values["classes"]), "features": features, "picture": picture})
        _check(schema)
        return schema


def describe(task: Task, raw: Raw, table: Table) -> Schema:
    """The schema of a task's rows, from the raw ones that were read and the table that they became."""
    X, picture = table.X, None
    if task.modality == "image":
        features: tuple[Feature, ...] = (_measured(Feature(PICTURE, "picture"), _measure(X)),)
        picture = tuple(X.shape[1:])
    elif task.modality == "text":
        features = (_measured(Feature(str(task.text), "text"), _measure(X)),)
    else:
        frame = raw.set_axis([str(name) for name in raw.columns], axis=1)
        told = dict(fit_preparer(X).layout.categories)
        features = tuple(_feature(task, frame[name], X[name], told.get(str(name), ())) for name in X.columns)
    return Schema(task.modality, task.target, table.classes, features, len(table.y), picture)


def typical(schema: Schema) -> Features:
    """One row like no other: medians and commonest levels; an empty text; a grey picture."""
    import numpy as np
    import pandas as pd

    if schema.picture:
        return np.full((1, *schema.picture), GREY, dtype=np.uint8)
    if schema.modality == "text":
        return np.array([""], dtype=object)
    row: dict[str, Any] = {}
    for one in schema.features:
        if one.kind == "category":
            row[one.name] = pd.Categorical(one.levels[:1] or (None,), categories=pd.Index(one.levels, dtype="str"))
        else:
            row[one.name] = np.array([one.median], dtype=np.float64)
    return pd.DataFrame(row)


def binned(schema: Schema, X: Features) -> tuple[npt.NDArray[np.int64], ...]:
    """How many of these rows fall into each bin of each feature, in the order of `Feature.shares`."""
    if schema.modality != "tabular":
        return (_counts(schema.features[0], _measure(X)),)
    return tuple(_counts(one, X[one.name]) for one in schema.features)


def _tuple(values: Any) -> tuple[Any, ...]:
    if not isinstance(values, list):
        raise TypeError("no list where one is due")  # of a text it would be the letters
    return tuple(values)


def _check(schema: Schema) -> None:
    """Raise `ValueError` where a schema says what `describe` never does: rows would be misread, or end in a traceback."""
    names = [one.name for one in schema.features]
    kinds = KINDS.get(schema.modality, ()) if isinstance(schema.modality, str) else ()
    _expect(bool(kinds), "its modality")
    _expect(isinstance(schema.target, str), "the target")
    _expect(are_names(schema.classes) and len(schema.classes) > 1, "the classes")
    _expect(are_names(names), "the names of columns")
    _expect(len(names) == 1 if schema.modality != "tabular" else len(names) > 0, "how many columns there are")
    _expect(type(schema.rows) is int and schema.rows > 0, "the training rows")
    _expect(
        _is_shape(schema.picture) if schema.modality == "image" else schema.picture is None, "the shape of pictures"
    )
    for one in schema.features:
        _expect(one.kind in kinds and one.written in WRITTEN[one.kind], f"the kind of {one.name[:60]!r}")
        _expect(_is_spread(one), f"how {one.name[:60]!r} was spread")


def are_names(values: Any) -> bool:
    """Whether these are texts, each another one."""
    return all(isinstance(one, str) for one in values) and len(set(values)) == len(values)


def _is_shape(picture: tuple[Any, ...] | None) -> bool:
    if picture is None or len(picture) != 3 or not all(type(side) is int and side > 0 for side in picture):
        return False
    return picture[2] in (1, 3) and picture[0] * picture[1] * picture[2] <= LARGEST_PICTURE


def _is_spread(one: Feature) -> bool:
    limits, bins = (one.low, one.median, one.high), max(len(one.levels), len(one.edges)) + 2
    if one.kind == "category":
        sound = are_names(one.levels) and not one.edges and limits == (None, None, None)
    else:
        known = limits == (None, None, None) or (_are_numbers(limits) and one.low <= one.median <= one.high)  # type: ignore[operator]
        sound = known and _are_numbers(one.edges) and not one.levels
        sound = sound and all(below < above for below, above in itertools.pairwise(one.edges))
    shares = _are_numbers(one.shares) and all(0 <= share <= 1 for share in one.shares)
    return sound and shares and len(one.shares) == bins and abs(sum(one.shares) - 1) < 1e-6


def _are_numbers(values: tuple[Any, ...]) -> bool:
    return all(type(one) in (int, float) and abs(one) < LARGEST for one in values)


def _expect(sound: bool, what: str) -> None:
    if not sound:
        raise ValueError(f"{what} cannot be so")


def _feature(task: Task, raw: pd.Series, values: pd.Series, told: tuple[str, ...]) -> Feature:
    name = str(values.name)
    column = typed(raw, task.types.get(name))
    if column.kind != "category":
        return _measured(Feature(name, column.kind, _writing(column.note)), values.to_numpy())
    # What the preparation calls the values that it folds together is none of them.
    known = set(values.cat.categories)
    levels = tuple(level for level in told if level in known)
    return _shared(Feature(name, "category", _naming(raw), levels=levels), values)


def _measured(feature: Feature, values: npt.NDArray[np.float64]) -> Feature:
    """With the range, median and deciles of its known numbers."""
    import numpy as np

    known = values[~np.isnan(values)]
    if len(known):
        edges = np.unique(np.quantile(known, np.linspace(0, 1, BINS + 1)[1:-1])).tolist()
        low, high, middle = float(known.min()), float(known.max()), float(np.median(known))
        feature = replace(feature, low=low, high=high, median=middle, edges=tuple(edges))
    return _shared(feature, values)


def _shared(feature: Feature, values: Any) -> Feature:
    counts = _counts(feature, values)
    return replace(feature, shares=tuple((counts / max(counts.sum(), 1)).tolist()))


def _counts(feature: Feature, values: Any) -> npt.NDArray[np.int64]:
    import numpy as np

    if feature.kind == "category":
        places, other = {level: i for i, level in enumerate(feature.levels)}, len(feature.levels)
        # The last place serves code -1, which is pandas' way to say missing.
        where = np.array([places.get(str(level), other) for level in values.cat.categories] + [other + 1])
        return np.bincount(where[values.cat.codes.to_numpy()], minlength=other + 2).astype(np.int64)
    numbers, last = np.asarray(values, dtype=np.float64), len(feature.edges) + 1
    found = np.where(np.isnan(numbers), last, np.searchsorted(feature.edges, numbers, side="right"))
    return np.bincount(found, minlength=last + 1).astype(np.int64)


def _measure(X: Features) -> npt.NDArray[np.float64]:
    """The one number (n,) by which texts and pictures are binned: characters, mean brightness."""
    import numpy as np

    if X.ndim == 1:
        return np.array([len(text) for text in X], dtype=np.float64)
    return np.asarray(X.reshape(len(X), -1).mean(axis=1), dtype=np.float64)


def _writing(note: str) -> str:
    """How text was understood, from what was noted of the column."""
    return next((way for way in ("decimal comma", "day first", "month first") if way in note), "")


def _naming(raw: pd.Series) -> str:
    """What values were before they became names, so that 1.0 or TRUE finds its level again."""
    import pandas as pd

    known = set(map(type, raw.dropna()))
    if pd.api.types.is_bool_dtype(raw) or known == {bool}:  # with gaps they are objects
        return "true or false"
    if not pd.api.types.is_numeric_dtype(raw):
        return ""
    return "whole numbers" if bool((raw.dropna() % 1 == 0).all()) else "numbers"
