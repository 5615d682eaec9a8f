"""Encodings: how the rows of a modality are converted to the input of a classifier; all of them by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from harness.networks.pretrained import CUT_STAGES
from harness.preprocessing import image, tabular_encoders, text
from harness.preprocessing.tabular import many_level_categories
from harness.preprocessing.transforms import FIT_SCALER
from harness.registry.space import Space, choice, integer, when
from harness.registry.task import Modality, Table

NETWORK_PACKAGES = ("tensorflow", "keras")  #: packages that compute the pretrained network
#: How categories with many levels are prepared: their rare levels are merged, each level becomes its class shares, or levels
#: are kept for families that take categories themselves.
CATEGORIES, FREQUENT, TARGET, NATIVE = "categories", "frequent", "target", "native"


class Encoder(Protocol):
    """A fitted encoding: small, picklable, and without any training row in it."""

    def transform(self, rows: Any) -> Any:
        """Convert rows to the input of the classifier: an array (n_rows, …), a sparse matrix or a data frame."""


@dataclass(frozen=True)
class Encoding:
    """A way to encode rows.

    Attributes
    ----------
    name : str
        Name by which families refer to the encoding.
    fit : callable
        Fits the encoder to real training rows. For tables, ``fit(rows, y, layout, **params)`` with prepared rows, on which
        strategies act before; for texts and images, ``fit(X, y, seed, **params)`` with raw rows, and strategies act on the
        encoded rows.
    space : Space
        Parameters of `fit` that are searched.
    modality : str, default "tabular"
        Kind of rows.
    interpolation_space : Space or None, default None
        For texts and images, the space within which encoded rows are an array or sparse matrix (n_rows, n_features) of
        points that strategies may interpolate between; None if they never are.
    reason : str, default ""
        Why there is no `interpolation_space`.
    needs : tuple of str, default ()
        Packages without which rows cannot be encoded.
    unscaled : bool, default False
        For tables, whether numbers are encoded as they are, for trees, and not standardised.
    many_levels_space : Space, default {}
        For tables, parameters of the preparation that are searched, besides those of `space`, where a category has many levels.
    """

    name: str
    fit: Callable[..., Encoder]
    space: Space
    modality: Modality = "tabular"
    interpolation_space: Space | None = None
    reason: str = ""
    needs: tuple[str, ...] = ()
    unscaled: bool = False
    many_levels_space: Space = field(default_factory=dict)

    def space_of(self, many_levels: bool) -> Space:
        """All that is searched for a table in which a category has many levels, or in which none has."""
        return {**self.space, **self.many_levels_space} if many_levels else self.space


def has_many_levels(table: Table, modality: Modality) -> bool:
    """Whether a category of a table has many levels, so that `many_levels_space` is searched too."""
    return modality == "tabular" and bool(many_level_categories(table.X, table.weights))


def _scaling_and_selection_space(*scalings: str, default: str) -> Space:
    share_choice = choice("all", *tabular_encoders.SELECTED_SHARES, default="all")
    return {"scaling": choice(*scalings, default=default), "select": share_choice}


#: ROC AUC of logistic regression, forests and two kinds of boosting was .21 to .28 higher with the default where 1,000 levels
#: decide, equal up to .01 where they are noise, and from .008 lower to .006 higher on real flights. For families that take
#: categories themselves it stays the default: with 1,000 levels XGBoost attained .775 on its own, and .813 with class shares.
MANY_LEVELS: Space = {CATEGORIES: choice(FREQUENT, TARGET, default=TARGET)}
MANY_NATIVE_LEVELS: Space = {CATEGORIES: choice(FREQUENT, TARGET, NATIVE, default=TARGET)}
#: A pipeline of the user that selects columns by name must find categories there, not numbers.
MANY_NAMED_LEVELS: Space = {CATEGORIES: choice(FREQUENT, NATIVE, default=NATIVE)}
_LINEAR = _scaling_and_selection_space("standard", "quantile", default="standard")
_NETWORK = _scaling_and_selection_space("standard", "quantile", default="quantile")
_MIXED = _scaling_and_selection_space("standard", *FIT_SCALER, default="robust")
TABULAR = (
    Encoding("one_hot_scaled", tabular_encoders.fit_one_hot_encoder, _LINEAR, many_levels_space=MANY_LEVELS),
    Encoding("one_hot", tabular_encoders.fit_one_hot_single, _NETWORK, many_levels_space=MANY_LEVELS),
    Encoding("mixed", tabular_encoders.fit_mixed_encoder, _MIXED, many_levels_space=MANY_LEVELS),
    Encoding("ordinal", tabular_encoders.fit_ordinal_encoder, {}, unscaled=True, many_levels_space=MANY_LEVELS),
    Encoding("native", tabular_encoders.fit_native_encoder, {}, unscaled=True, many_levels_space=MANY_NATIVE_LEVELS),
    Encoding("frame", tabular_encoders.fit_frame_encoder, {}, many_levels_space=MANY_NAMED_LEVELS),
    Encoding("matrix", tabular_encoders.fit_one_hot_encoder, {}, many_levels_space=MANY_LEVELS),
)
TEXT = (
    Encoding("texts", text.fit_raw_texts, {}, "text", reason="texts have no points between them"),
    Encoding("tfidf", text.fit_tfidf, {}, "text", interpolation_space={}),
    Encoding("lsa", text.fit_lsa, {}, "text", interpolation_space={}),
    Encoding(
        "tokens",
        text.fit_token_encoder,
        {"vocabulary": integer(500, 20_000, default=5000, log=True)},
        "text",
        reason="between two sequences of words there is no third",
    ),
)
IMAGE = (
    Encoding("embedding", image.fit_pretrained_embedding, {}, "image", {}, needs=NETWORK_PACKAGES),
    Encoding(
        "pixels", image.fit_pixels, {}, "image", reason="halfway between two pictures, pixel by pixel, is no picture"
    ),
    Encoding(
        "activations",
        image.fit_pretrained_activations,
        {"cut": choice(*CUT_STAGES, default="grid"), "views": when("cut", "last_blocks", integer(0, 4, default=0))},
        "image",
        {"cut": choice(*image.VECTOR_CUTS, default="grid")},
        reason="activations within a network are no points",
        needs=NETWORK_PACKAGES,
    ),
)
PRINCIPAL = Encoding("principal", image.fit_pretrained_svd, {}, "image", {}, needs=NETWORK_PACKAGES)

ENCODINGS: dict[str, Encoding] = {encoding.name: encoding for encoding in (*TABULAR, *TEXT, *IMAGE, PRINCIPAL)}
