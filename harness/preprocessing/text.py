"""Encodings of texts: TF-IDF of words and characters, its leading directions, and sequences of words."""

from __future__ import annotations

import functools
import re
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from harness.errors import DataError
from harness.preprocessing.encoder import Encoding
from harness.preprocessing.svd import Directions, fit_directions
from harness.registry.space import Space, integer

TOKENS_SPACE: Space = {"vocabulary": integer(500, 20_000, default=5000, log=True)}

PADDING, UNKNOWN = 0, 1
#: Rarer words are unknown ones: so the network also learns what an unknown word means.
LEAST_COUNT = 2
#: This share of the training rows is read to the end, but of no row more than `LONGEST` tokens.
WHOLE, LONGEST = 0.98, 256
#: A number counts by how many digits it has: up to five each length for itself (a short code has five), then 6–9 and more.
DIGITS = (1, 2, 3, 4, 5, 6, 10)

_TOKEN = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*|\d+|[^\w\s]|_")


@dataclass(frozen=True)
class TokenEncoder:
    """The words of the training rows, the most frequent first, and how many tokens of a text are read."""

    words: tuple[str, ...]
    length: int

    def transform(self, rows: npt.NDArray[np.object_]) -> npt.NDArray[np.int32]:
        """Texts (n,) as int32 (n, length): 0 is padding at the end, 1 an unknown word, others in the order of `words`.

        Of longer texts the beginning is kept; a text without any token is one unknown word.
        """
        known = {word: number for number, word in enumerate(self.words, start=UNKNOWN + 1)}
        out = np.full((len(rows), self.length), PADDING, dtype=np.int32)
        for row, text in enumerate(rows):
            numbers = [known.get(token, UNKNOWN) for token in tokenise(text)[: self.length]] or [UNKNOWN]
            out[row, : len(numbers)] = numbers
        return out


def fit_tokens(
    X: npt.NDArray[np.object_],
    y: npt.NDArray[np.int64],  # noqa: ARG001 -- a contract
    seed: int,  # noqa: ARG001 -- a contract
    vocabulary: int = 5000,
) -> TokenEncoder:
    """Learn from training texts (n,) their most frequent words, at most `vocabulary`, and how long such texts are.

    Words of equal count stand in alphabetical order. Of a text so long that only one in fifty is longer, the end is not read.
    """
    texts = [tokenise(text) for text in X]
    counts = Counter(token for text in texts for token in text)
    frequent = [word for word, count in counts.items() if count >= LEAST_COUNT]
    words = sorted(frequent, key=lambda word: (-counts[word], word))
    usual = np.quantile([len(text) for text in texts], WHOLE, method="higher")
    return TokenEncoder(tuple(words[:vocabulary]), int(np.clip(usual, 1, LONGEST)))


def tokenise(text: str) -> list[str]:
    """Lower-cased words, single symbols, and numbers as so many zeros as say how long they are.

    >>> tokenise("Don't wait: £1000 on 08712300220!")
    ["don't", 'wait', ':', '£', '0000', 'on', '0000000000', '!']
    """
    return [_shape(token) for token in _TOKEN.findall(text.lower())]


def _shape(token: str) -> str:
    return "0" * max(size for size in DIGITS if size <= len(token)) if token.isdecimal() else token


#: Words of one character count too: `2`, `u` and `£` tell much in short messages.
WORDS = r"(?u)\b\w+\b|[£$€!?%]"


PARTS = ("words", "characters")
MOST_TERMS = 50_000  #: pieces of words kept, the commonest
DIRECTIONS = 100
SHORT = 300  #: characters

Texts: TypeAlias = npt.NDArray[np.object_]
Labels: TypeAlias = npt.NDArray[np.int64]


@dataclass(frozen=True)
class TfidfEncoder:
    """Texts as weights of words and of characters within words; holds the vocabulary of the training texts."""

    parts: tuple[Any, ...]

    def transform(self, rows: Texts) -> Any:
        """A sparse matrix (n, width), float32; each part of a row has length 1, or 0 where nothing in it is known."""
        from scipy.sparse import hstack

        return hstack([part.transform(rows) for part in self.parts], format="csr", dtype=np.float32)


@dataclass(frozen=True)
class LsaEncoder:
    """TF-IDF along its leading directions, so that trees and networks have few and full columns."""

    tfidf: TfidfEncoder
    directions: Directions

    def transform(self, rows: Texts) -> npt.NDArray[np.float32]:
        """An array (n, kept), each column with variance 1 on the training texts."""
        return self.directions.transform(self.tfidf.transform(rows))


@dataclass(frozen=True)
class TextsAsTheyAre:
    """For a classifier that reads texts itself, or does not look."""

    def transform(self, rows: Texts) -> Texts:
        """The same texts."""
        return rows


def fit_texts(X: Texts, y: Labels, seed: int) -> TextsAsTheyAre:  # noqa: ARG001 -- a contract
    """Nothing is learnt."""
    return TextsAsTheyAre()


def without_figures(text: str) -> str:
    """A text in small letters with every digit as 0: how long a number is says more than which one it is."""
    return re.sub(r"\d", "0", text.lower())


def pieces(text: str) -> Sequence[str]:
    """The 2 to 5 characters in a row within the words of a text.

    Those of short texts are remembered: taking them apart was half of all the work, and as much as 100 MB are held.
    """
    return _remembered(text) if len(text) <= SHORT else _analyse()(text)


@functools.lru_cache(maxsize=10_000)
def _remembered(text: str) -> tuple[str, ...]:
    return tuple(map(sys.intern, _analyse()(text)))


@functools.cache
def _analyse() -> Callable[[str], list[str]]:
    from sklearn.feature_extraction.text import TfidfVectorizer

    analyse: Callable[[str], list[str]] = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5)).build_analyzer()
    return analyse


def fit_tfidf(X: Texts, y: Labels, seed: int) -> TfidfEncoder:  # noqa: ARG001 -- a contract
    """Learn the vocabulary and how rare each term is (Salton & Buckley 1988; logarithmic counts).

    Terms are words and pairs of words, and 2 to 5 characters within words. Among words, numbers of one length are one
    term, which brought 0.001 accuracy on sms_spam. Nothing of it is searched, so that it is computed once for all
    families. Raises `DataError` where the texts hold no term twice.
    """
    known = tuple(part for part in map(vectorizer, PARTS) if _learned(part, X))
    if not known:
        raise DataError(f"no word or piece of a word occurs in two of the {len(X)} texts: are these texts?")
    return TfidfEncoder(known)


def vectorizer(part: str) -> Any:
    """What makes weights of the terms of one of PARTS, unfitted."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    common = {"min_df": 2, "sublinear_tf": True, "dtype": np.float32}
    if part == "words":
        return TfidfVectorizer(preprocessor=without_figures, token_pattern=WORDS, ngram_range=(1, 2), **common)
    return TfidfVectorizer(analyzer=pieces, max_features=MOST_TERMS, **common)


def _learned(part: Any, X: Texts) -> bool:
    """Whether texts hold a term of this part twice; short ones may share no word and yet pieces of words."""
    try:
        part.fit(X)
    except ValueError:  # scikit-learn's way to say that no term is left
        return False
    return True


def fit_lsa(X: Texts, y: Labels, seed: int) -> LsaEncoder:
    """Learn the leading directions of TF-IDF (latent semantic analysis, Deerwester et al. 1990)."""
    tfidf = fit_tfidf(X, y, seed)
    return LsaEncoder(tfidf, fit_directions(tfidf.transform(X), DIRECTIONS, seed))


TEXT = (
    Encoding("texts", fit_texts, {}, "text", why="texts have no points between them"),
    Encoding("tfidf", fit_tfidf, {}, "text", points={}),
    Encoding("lsa", fit_lsa, {}, "text", points={}),
    Encoding("tokens", fit_tokens, TOKENS_SPACE, "text", why="between two sequences of words there is no third"),
)
