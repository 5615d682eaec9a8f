"""Why a row got its answer: what each column, word or part of a picture adds to the log-odds of a class.

Contributions are Shapley values of a game whose players are raw columns, words of a text, or squares of a picture: a
player that takes part has the row's value, one that does not has a typical one (baseline Shapley: Sundararajan & Najmi,
The many Shapley values for model explanation, ICML 2020). They are estimated by walks from the typical row to the row
in question, players joining in random order (Štrumbelj & Kononenko, Knowledge and Information Systems 41, 2014), each
order followed by its reverse, which makes them exact where no more than two players act on each other (Mitchell et al.,
Sampling permutations for Shapley value estimation, JMLR 23, 2022).

Where other rows of the same table are given, each pair of walks begins at another one of them instead of the typical row,
so that the reasons compare a row with the average one, which is what Štrumbelj & Kononenko do.

They say what the model made of a row, not what would happen if somebody changed it.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from harness.deploy.schema import Feature, Schema, typical
from harness.registry.task import Features
from harness.seeding import seed_of

Predict: TypeAlias = Callable[[Features], npt.NDArray[Any]]  #: features of n rows → probabilities (n, k)
Masks: TypeAlias = npt.NDArray[np.bool_]  #: coalitions (m, players)
Values: TypeAlias = npt.NDArray[np.float64]
Index: TypeAlias = npt.NDArray[np.int64]

EVALUATIONS = 800  #: rows predicted for one that is explained
OF_A_PICTURE = 240  #: the same of pictures, of which each takes a network milliseconds
MOST_WORDS = 40  #: players of a text; longer texts play in runs of words
MOST_SIDE = 6  #: squares along a side of a picture
ALL_ORDERS = 5  #: players up to which every order is walked, and values are exact
MOST_PAIRS = 32
SURE = 1e-4  #: probabilities nearer to 0 or 1 are not told apart: a calibrator may say 0, whose log-odds are infinite


@dataclass(frozen=True)
class Reasons:
    """What made the log-odds of one class of one row: `base` + the sum of `values` = `total`.

    `names` are columns, words, or squares as `rows 0-6, columns 7-13` of pixels; `shown` what the row has there and
    `usual` what it is compared with. `errors` are standard errors of the sampling, 0 where values are exact.
    """

    names: tuple[str, ...]
    shown: tuple[str, ...]
    usual: tuple[str, ...]
    values: tuple[float, ...]
    errors: tuple[float, ...]
    base: float  #: log-odds of the typical row, the empty text, the picture in its mean colour
    total: float  #: log-odds of the row
    position: int  #: of the class, among the classes

    def strongest(self, most: int) -> list[int]:
        """Positions of the players that matter most, strongest first; those within their sampling error are left out."""
        order = np.argsort([-abs(value) for value in self.values], kind="stable")
        return [int(j) for j in order if abs(self.values[j]) > max(1e-9, 2 * self.errors[j])][:most]


@dataclass(frozen=True)
class _Game:
    """The players of one row, and the rows that coalitions of them are; the first `len(names)` may hold idle ones."""

    names: tuple[str, ...]
    shown: tuple[str, ...]
    usual: tuple[str, ...]
    playing: Index  #: positions of players whose value is not the typical one; others add 0
    build: Callable[[Masks, Index], Features]  #: coalitions (m, players), which row they begin at (m,) → m rows
    evaluations: int = EVALUATIONS
    starts: int = 1  #: rows that walks begin at


def reasons(
    predict_proba: Predict,
    schema: Schema,
    X: Features,
    seed: int,
    *,
    position: int | None = None,
    background: Features | None = None,
) -> tuple[Reasons, ...]:
    """The reasons of every row of `X`, in one call of `predict_proba` per row.

    `predict_proba` gives (n, k); `X` is as `read_rows` returns it. `position` says of which class: without it of two
    classes the positive one, of several the one that is most probable for the row. A row's reasons do not depend on the
    rows beside it. `background` are rows of the same table
    with which to compare instead of the typical one; texts and pictures are always compared with themselves.
    """
    base = typical(schema) if background is None else background
    found = []
    for at in range(len(X)):
        game = _game(schema, X, at, base)
        found.append(_played(predict_proba, game, position, (seed, game.evaluations)))
    return tuple(found)


def log_odds(proba: npt.NDArray[Any]) -> Values:
    """Log-odds of probabilities of any shape, cut off where they are all but 0 or 1."""
    p = np.clip(np.asarray(proba, dtype=np.float64), SURE, 1 - SURE)
    odds: Values = np.log(p) - np.log1p(-p)
    return odds


def _played(predict_proba: Predict, game: _Game, position: int | None, how: tuple[int, int]) -> Reasons:
    """Every order walked, all coalitions on the way predicted at once, each once."""
    seed, evaluations = how
    count = len(game.playing)
    orders = _orders(count, evaluations, seed, several=game.starts > 1)
    walks = _walks(orders)
    flat = walks.reshape(math.prod(walks.shape[:2]), count)
    coalitions = np.concatenate([np.zeros((1, count), bool), np.ones((1, count), bool), flat])
    start = np.repeat(np.arange(len(orders)) // 2 % game.starts, count + 1)
    start = np.where(coalitions.all(axis=1), 0, np.concatenate([[0, 0], start]))
    place, first = _distinct(coalitions, start)
    masks = np.ones((len(first), len(game.names)), dtype=bool)
    masks[:, game.playing] = coalitions[first]
    proba = np.asarray(predict_proba(game.build(masks, start[first])), dtype=np.float64)
    if position is None:
        position = 1 if proba.shape[1] == 2 else int(proba[place[1]].argmax())
    score = log_odds(proba[:, position])
    walked = score[place[2:]].reshape(walks.shape[:2])
    added, error = _shares(orders, walked)
    values, errors = np.zeros(len(game.names)), np.zeros(len(game.names))
    values[game.playing], errors[game.playing] = added, error
    return Reasons(
        game.names,
        game.shown,
        game.usual,
        tuple(values.tolist()),
        tuple(errors.tolist()),
        float(walked[:, 0].mean()),
        float(score[place[1]]),
        position,
    )


def _distinct(masks: Masks, start: Index) -> tuple[Index, list[int]]:
    """Where each coalition stands among the distinct ones, and where each of these occurs first."""
    seen: dict[bytes, int] = {}
    first: list[int] = []
    place = np.empty(len(masks), dtype=np.int64)
    packed = np.hstack([np.packbits(masks, axis=1), start.astype("<u4")[:, None].view(np.uint8)])
    for at, key in enumerate(row.tobytes() for row in packed):
        if key not in seen:
            seen[key] = len(first)
            first.append(at)
        place[at] = seen[key]
    return place, first


def _orders(count: int, evaluations: int, seed: int, *, several: bool) -> Index:
    """Orders of players (m, count): all there are of few players, else random ones, each followed by its reverse."""
    if count <= ALL_ORDERS and not several:
        return np.array(list(itertools.permutations(range(count))), dtype=np.int64).reshape(
            math.factorial(count), count
        )
    pairs = max(2, min(MOST_PAIRS, evaluations // (2 * max(1, count - 1))))
    rng = np.random.default_rng(seed_of(seed, "reasons", count))
    drawn = np.array([rng.permutation(count) for _ in range(pairs)])
    return np.stack([drawn, drawn[:, ::-1]], axis=1).reshape(-1, count)


def _walks(orders: Index) -> Masks:
    """Who takes part after each step of each order: (m, count + 1, count)."""
    joined = np.argsort(orders, axis=1)  # the step at which each player joins
    walks: Masks = joined[:, None, :] < np.arange(orders.shape[1] + 1)[None, :, None]
    return walks


def _shares(orders: Index, score: Values) -> tuple[Values, Values]:
    """What each player adds, the mean over all walks, and its standard error; `score` is (m, count + 1)."""
    added = np.empty(orders.shape)
    np.put_along_axis(added, orders, np.diff(score, axis=1), axis=1)
    if len(orders) == math.factorial(orders.shape[1]):
        return added.mean(axis=0), np.zeros(orders.shape[1])
    paired = added.reshape(-1, 2, orders.shape[1]).mean(axis=1)
    return paired.mean(axis=0), paired.std(axis=0, ddof=1) / math.sqrt(len(paired))


def _game(schema: Schema, X: Features, at: int, base: Features) -> _Game:
    if schema.modality == "tabular":
        return _columns(schema, X.iloc[at : at + 1], base)
    return _words(str(X[at])) if schema.modality == "text" else _squares(X[at])


def _columns(schema: Schema, row: Features, base: Features) -> _Game:
    """The columns of a table's row against those of `base`; a column that has the same value there does not play."""
    own = [_value(row[one.name]) for one in schema.features]
    usual = [[_value(base[one.name].iloc[at : at + 1]) for at in range(len(base))] for one in schema.features]

    def build(masks: Masks, start: Index) -> Features:
        import pandas as pd

        made: dict[str, Any] = {}
        for j, one in enumerate(schema.features):
            choices = [*usual[j], own[j]]
            place = np.where(masks[:, j], len(base), start)
            if one.kind == "category":
                levels = list(dict.fromkeys(value for value in choices if value is not None))
                code = np.array([-1 if value is None else levels.index(value) for value in choices])
                made[one.name] = pd.Categorical.from_codes(code[place], categories=pd.Index(levels, dtype="str"))
            else:
                made[one.name] = np.array([math.nan if value is None else value for value in choices])[place]
        return pd.DataFrame(made)

    return _Game(
        tuple(one.name for one in schema.features),
        tuple(written(one, value) for one, value in zip(schema.features, own, strict=True)),
        tuple(
            written(one, values[0]) if len(base) == 1 else ""
            for one, values in zip(schema.features, usual, strict=True)
        ),
        np.flatnonzero([any(value != mine for value in values) for mine, values in zip(own, usual, strict=True)]),
        build,
        starts=len(base),
    )


def _value(column: Any) -> Any:
    """The one value of a column: a float, a string, or None where it is missing."""
    value = column.iloc[0]
    return None if value is None or value != value else value  # noqa: PLR0124 -- NaN is what does not equal itself


def written(feature: Feature, value: Any) -> str:
    """A value of a column as people write it, also where it is missing."""
    if value is None or value != value:  # noqa: PLR0124 -- NaN
        return "(missing)"
    return str(value) if feature.kind == "category" else feature.shown(float(value))


def _words(text: str) -> _Game:
    """The words of a text, each with what follows it, so that all together are the text; many words play in runs."""
    words = re.findall(r"\S+\s*", text) or ([text] if text else [])
    if words:
        words[0] = text[: len(text) - sum(map(len, words))] + words[0]
    edges = np.linspace(0, len(words), min(len(words), MOST_WORDS) + 1).round().astype(int)
    runs = ["".join(words[start:stop]) for start, stop in itertools.pairwise(edges.tolist())]

    def build(masks: Masks, _start: Index) -> Features:
        return np.array(["".join(itertools.compress(runs, mask)) for mask in masks.tolist()], dtype=object)

    shown = tuple(" ".join(run.split()) for run in runs)
    return _Game(shown, shown, ("",) * len(runs), np.arange(len(runs)), build)


def _squares(picture: npt.NDArray[np.uint8]) -> _Game:
    """Squares of a picture (h, w, channels); one that does not take part has the picture's mean colour."""
    height, width = picture.shape[:2]
    side = max(1, math.ceil(max(height, width) / MOST_SIDE))
    boxes = [(top, left) for top in range(0, height, side) for left in range(0, width, side)]
    plain = np.broadcast_to(picture.mean(axis=(0, 1)).round().astype(np.uint8), picture.shape)
    number = (np.arange(height) // side)[:, None] * math.ceil(width / side) + (np.arange(width) // side)[None, :]

    def build(masks: Masks, _start: Index) -> Features:
        return np.where(masks[:, number][..., None], picture[None], plain[None])

    names = tuple(
        f"rows {top}-{min(top + side, height) - 1}, columns {left}-{min(left + side, width) - 1}" for top, left in boxes
    )
    differs = np.bincount(number.ravel(), weights=(picture != plain).any(axis=2).ravel(), minlength=len(boxes)) > 0
    usual = ("the picture's mean colour",) * len(boxes)
    return _Game(names, ("",) * len(boxes), usual, np.flatnonzero(differs), build, OF_A_PICTURE)
