"""Explanations of single predictions: the contribution of each column, word or image patch to the log-odds of a class.

Contributions are Shapley values of a cooperative game. Its players are raw columns, words of a text, or square patches of
an image. A player in the coalition has the row's own value, a player outside it has a reference value (baseline Shapley
values: Sundararajan & Najmi, The many Shapley values for model explanation, ICML 2020). The values are estimated over
random orders in which players join (Štrumbelj & Kononenko, Knowledge and Information Systems 41, 2014); each order is
followed by its reverse, which makes the estimate exact if no more than two players interact (Mitchell et al., Sampling
permutations for Shapley value estimation, JMLR 23, 2022).

With background rows, each pair of orders starts from another background row instead of the typical row of training, so
that contributions compare a row with the average row, as in Štrumbelj & Kononenko.

Contributions describe the model, not what would happen if somebody changed the row.
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
import pandas as pd

from harness.deploy.schema import Feature, Schema, typical_row
from harness.registry.task import Features
from harness.seeding import seed_of

PredictProba: TypeAlias = Callable[[Features], npt.NDArray[Any]]  #: features of n rows → probabilities (n, k)
Coalitions: TypeAlias = npt.NDArray[np.bool_]  #: (m, players)
Floats: TypeAlias = npt.NDArray[np.float64]
Positions: TypeAlias = npt.NDArray[np.int64]

MAX_EVALUATIONS = 800  #: rows predicted to explain one row
MAX_IMAGE_EVALUATIONS = 240  #: the same for images, each of which takes a network milliseconds
MAX_WORDS = 40  #: players of a text; in longer texts runs of words are players
MAX_PATCHES_PER_SIDE = 6  #: of an image
MAX_EXACT_PLAYERS = 5  #: up to this number every order is evaluated, and the values are exact
MAX_ORDER_PAIRS = 32
MIN_PROBABILITY = 1e-4  #: probabilities are clipped here: calibration can return 0, whose log-odds are infinite
MIN_CONTRIBUTION = 1e-9  #: contributions below it are rounding errors


@dataclass(frozen=True)
class ShapleyValues:
    """Contributions to the log-odds of one class of one row: `base` plus their sum equals `total`.

    `names` are columns, words, or patches, written as `rows 0-6, columns 7-13` in pixels.
    """

    names: tuple[str, ...]
    row_values: tuple[str, ...]  #: the row's values as text
    references: tuple[str, ...]  #: the values that they are compared with, as text
    contributions: tuple[float, ...]
    errors: tuple[float, ...]  #: standard errors of the sampling, 0 for exact values
    base: float  #: log-odds of the typical row, the empty text, or the image in its mean colour
    total: float  #: log-odds of the row
    class_index: int

    def largest_contributions(self, count: int) -> list[int]:
        """Return positions of the largest contributions, at most `count`; those within twice their error are left out."""
        sizes = np.abs(self.contributions)
        order = np.argsort(-sizes, kind="stable")
        limits = np.maximum(MIN_CONTRIBUTION, 2 * np.array(self.errors))
        return [int(j) for j in order if sizes[j] > limits[j]][:count]


@dataclass(frozen=True)
class CooperativeGame:
    """The players of one row, and how coalitions become rows of features."""

    names: tuple[str, ...]
    row_values: tuple[str, ...]
    references: tuple[str, ...]
    active: Positions  #: players whose value differs from the reference; all others contribute 0
    build: Callable[[Coalitions, Positions], Features]  #: coalitions (m, players), reference row of each (m,) → m rows
    evaluations: int = MAX_EVALUATIONS
    n_references: int = 1


def shapley_values(
    predict_proba: PredictProba,
    schema: Schema,
    X: Features,
    seed: int,
    *,
    class_index: int | None = None,
    background: Features | None = None,
) -> tuple[ShapleyValues, ...]:
    """Estimate the Shapley values of every row, with one call of `predict_proba` per row.

    The values of a row do not depend on the other rows of `X`.

    Parameters
    ----------
    predict_proba : callable
        Maps features of n rows to probabilities (n, k).
    schema : Schema
        Describes the columns, and gives the typical row of training.
    X : features of n rows
        As `read_rows` returns them.
    seed : int
        Seed of the random orders.
    class_index : int, optional
        Class whose log-odds are explained. By default the positive class of two, otherwise the row's most probable class.
    background : DataFrame, optional
        Rows to compare with instead of the typical row. Not used for texts and images, whose reference is the empty text
        or the image's mean colour.

    Returns
    -------
    tuple of ShapleyValues
        One per row.

    References
    ----------
    Štrumbelj & Kononenko (2014), Explaining prediction models and individual predictions with feature contributions.
    Sundararajan & Najmi (2020), The many Shapley values for model explanation.
    Mitchell et al. (2022), Sampling permutations for Shapley value estimation.
    """
    references = typical_row(schema) if background is None else background
    explained = []
    for position in range(len(X)):
        if schema.modality == "tabular":
            game = _column_game(schema, X.iloc[position : position + 1], references)
        elif schema.modality == "text":
            game = _word_game(str(X[position]))
        else:
            game = _patch_game(X[position])
        explained.append(_estimate_shapley_values(predict_proba, game, class_index, seed))
    return tuple(explained)


def log_odds(proba: npt.NDArray[Any]) -> Floats:
    """Log-odds of probabilities of any shape, clipped to 0.0001 and 0.9999."""
    p = np.clip(np.asarray(proba, dtype=np.float64), MIN_PROBABILITY, 1 - MIN_PROBABILITY)
    return np.asarray(np.log(p) - np.log1p(-p))


def format_feature_value(feature: Feature, value: Any) -> str:
    """Write a value of a column as text, a missing value as `(missing)`."""
    if value is None or value != value:  # noqa: PLR0124 -- NaN
        return "(missing)"
    return str(value) if feature.kind == "category" else feature.format_number(float(value))


def _estimate_shapley_values(
    predict_proba: PredictProba, game: CooperativeGame, class_index: int | None, seed: int
) -> ShapleyValues:
    """Evaluate all orders at once; each distinct coalition is predicted once."""
    count = len(game.active)
    orders = _sample_player_orders(count, game.evaluations, seed, exact=game.n_references == 1)
    joined = np.argsort(orders, axis=1)  # the step at which each player joins
    steps: Coalitions = joined[:, None, :] < np.arange(count + 1)[None, :, None]  # (orders, count + 1, count)
    flat = steps.reshape(math.prod(steps.shape[:2]), count)
    coalitions = np.concatenate([np.zeros((1, count), bool), np.ones((1, count), bool), flat])
    reference = np.repeat(np.arange(len(orders)) // 2 % game.n_references, count + 1)
    reference = np.where(coalitions.all(axis=1), 0, np.concatenate([[0, 0], reference]))
    positions, distinct = _distinct_coalitions(coalitions, reference)
    masks = np.ones((len(distinct), len(game.names)), dtype=bool)
    masks[:, game.active] = coalitions[distinct]
    proba = np.asarray(predict_proba(game.build(masks, reference[distinct])), dtype=np.float64)
    if class_index is None:
        class_index = 1 if proba.shape[1] == 2 else int(proba[positions[1]].argmax())
    scores = log_odds(proba[:, class_index])
    step_scores = scores[positions[2:]].reshape(steps.shape[:2])
    contributions, errors = np.zeros(len(game.names)), np.zeros(len(game.names))
    contributions[game.active], errors[game.active] = _average_contributions_over_orders(orders, step_scores)
    return ShapleyValues(
        names=game.names,
        row_values=game.row_values,
        references=game.references,
        contributions=tuple(contributions.tolist()),
        errors=tuple(errors.tolist()),
        base=float(step_scores[:, 0].mean()),
        total=float(scores[positions[1]]),
        class_index=class_index,
    )


def _distinct_coalitions(coalitions: Coalitions, reference: Positions) -> tuple[Positions, list[int]]:
    """Return each coalition's position among the distinct ones, and the first occurrence of each distinct one."""
    first_seen: dict[bytes, int] = {}
    distinct: list[int] = []
    positions = np.empty(len(coalitions), dtype=np.int64)
    packed = np.hstack([np.packbits(coalitions, axis=1), reference.astype("<u4")[:, None].view(np.uint8)])
    for index, packed_row in enumerate(packed):
        key = packed_row.tobytes()
        if key not in first_seen:
            first_seen[key] = len(distinct)
            distinct.append(index)
        positions[index] = first_seen[key]
    return positions, distinct


def _sample_player_orders(count: int, evaluations: int, seed: int, *, exact: bool) -> Positions:
    """Return orders of players (m, count): every order of few players if `exact`, else random ones and their reverses."""
    if exact and count <= MAX_EXACT_PLAYERS:
        orders = np.array(list(itertools.permutations(range(count))), dtype=np.int64)
        return orders.reshape(math.factorial(count), count)
    pairs = max(2, min(MAX_ORDER_PAIRS, evaluations // (2 * max(1, count - 1))))
    rng = np.random.default_rng(seed_of(seed, "reasons", count))
    drawn = np.array([rng.permutation(count) for _ in range(pairs)])
    return np.stack([drawn, drawn[:, ::-1]], axis=1).reshape(-1, count)


def _average_contributions_over_orders(orders: Positions, step_scores: Floats) -> tuple[Floats, Floats]:
    """Average each player's contribution over all orders; `step_scores` is (m, count + 1). Also return standard errors."""
    contributions = np.empty(orders.shape)
    np.put_along_axis(contributions, orders, np.diff(step_scores, axis=1), axis=1)
    if len(orders) == math.factorial(orders.shape[1]):
        return contributions.mean(axis=0), np.zeros(orders.shape[1])
    paired = contributions.reshape(-1, 2, orders.shape[1]).mean(axis=1)
    return paired.mean(axis=0), paired.std(axis=0, ddof=1) / math.sqrt(len(paired))


def _column_game(schema: Schema, row: Features, references: Features) -> CooperativeGame:
    """Make a game of a table's columns; a column whose value is that of every reference row is not active."""
    choices = {}  # column → its values in the reference rows, then the row's own
    row_texts, reference_texts, active = [], [], []
    for index, feature in enumerate(schema.features):
        *others, own = map(_none_if_missing, [*references[feature.name], row[feature.name].iloc[0]])
        choices[feature.name] = [*others, own]
        row_texts.append(format_feature_value(feature, own))
        reference_texts.append(format_feature_value(feature, others[0]))
        if any(other != own for other in others):
            active.append(index)

    def build_rows(coalitions: Coalitions, reference: Positions) -> Features:
        columns: dict[str, Any] = {}
        for index, feature in enumerate(schema.features):
            chosen = np.where(coalitions[:, index], len(references), reference)
            columns[feature.name] = _make_single_value_column(feature, choices[feature.name])[chosen]
        return pd.DataFrame(columns)

    if len(references) > 1:
        reference_texts = [""] * len(row_texts)
    names = tuple(feature.name for feature in schema.features)
    texts, positions = (tuple(row_texts), tuple(reference_texts)), np.array(active, dtype=np.int64)
    return CooperativeGame(names, *texts, positions, build_rows, n_references=len(references))


def _make_single_value_column(feature: Feature, values: list[Any]) -> Any:
    """Make a column of single values, as `read_rows` returns it."""
    if feature.kind != "category":
        return np.array(values, dtype=np.float64)  # None becomes NaN
    levels = list(dict.fromkeys(value for value in values if value is not None))
    return pd.Categorical(values, categories=pd.Index(levels, dtype="str"))


def _none_if_missing(value: Any) -> Any:
    return None if value != value else value  # noqa: PLR0124 -- NaN is what does not equal itself


def _word_game(text: str) -> CooperativeGame:
    """Make a game of a text's words, each with the space that follows it, so that all players together are the text."""
    words = re.findall(r"\S+\s*", text)
    if not words and text:
        words = [text]
    if words:
        words[0] = text[: len(text) - sum(map(len, words))] + words[0]
    edges = np.linspace(0, len(words), min(len(words), MAX_WORDS) + 1).round().astype(int)
    runs = ["".join(words[start:stop]) for start, stop in itertools.pairwise(edges.tolist())]

    def build_rows(coalitions: Coalitions, _reference: Positions) -> Features:
        return np.array(["".join(itertools.compress(runs, mask)) for mask in coalitions.tolist()], dtype=object)

    names = tuple(" ".join(run.split()) for run in runs)
    return CooperativeGame(names, names, ("",) * len(runs), np.arange(len(runs)), build_rows)


def _patch_game(image: npt.NDArray[np.uint8]) -> CooperativeGame:
    """Make a game of square patches of an image (height, width, channels); the reference is the image's mean colour."""
    height, width = image.shape[:2]
    side = max(1, math.ceil(max(height, width) / MAX_PATCHES_PER_SIDE))
    names = []
    for y, x in itertools.product(range(0, height, side), range(0, width, side)):
        names.append(f"rows {y}-{min(y + side, height) - 1}, columns {x}-{min(x + side, width) - 1}")
    plain = np.broadcast_to(image.mean(axis=(0, 1)).round().astype(np.uint8), image.shape)
    patch = (np.arange(height) // side)[:, None] * math.ceil(width / side) + (np.arange(width) // side)[None, :]

    def build_rows(coalitions: Coalitions, _reference: Positions) -> Features:
        return np.where(coalitions[:, patch][..., None], image[None], plain[None])

    differs = np.bincount(patch.ravel(), weights=(image != plain).any(axis=2).ravel(), minlength=len(names)) > 0
    references = ("the picture's mean colour",) * len(names)
    row_values, active = ("",) * len(names), np.flatnonzero(differs)
    return CooperativeGame(tuple(names), row_values, references, active, build_rows, MAX_IMAGE_EVALUATIONS)
