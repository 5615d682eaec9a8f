"""Encodings of texts: TF-IDF of words and characters, its leading singular vectors, and sequences of words."""

from __future__ import annotations

import functools
import re
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from harness.errors import DataError
from harness.preprocessing.transforms import TruncatedSvd, fit_truncated_svd

Texts: TypeAlias = npt.NDArray[np.object_]
Labels: TypeAlias = npt.NDArray[np.int64]

PADDING, UNKNOWN = 0, 1  #: token numbers
#: Rarer words are unknown ones, so that the network also learns what an unknown word means.
MIN_COUNT = 2
#: Sequences are so long that they hold this share of the training texts entirely, but never longer than `MAX_TOKENS`.
FULL_TEXT_SHARE, MAX_TOKENS = 0.98, 256
#: Lengths to which numbers are rounded down: up to five digits each length counts (a short code has five), then 6-9 and more.
NUMBER_LENGTHS = (1, 2, 3, 4, 5, 6, 10)
TOKEN_PATTERN = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*|\d+|[^\w\s]|_")

#: Words of one character count too: `2`, `u` and `£` are informative in short messages.
WORD_PATTERN = r"(?u)\b\w+\b|[£$€!?%]"
TERM_TYPES = ("words", "characters")
MAX_TERMS = 50_000  #: character n-grams that are kept, the most frequent
N_COMPONENTS = 100
MAX_CACHED_LENGTH = 300  #: characters of a text whose n-grams are cached


@dataclass(frozen=True)
class TokenEncoder:
    """Texts as sequences of token numbers.

    Attributes
    ----------
    words : tuple of str
        Words of the training texts, the most frequent first.
    length : int
        Number of tokens of a text that are read.
    """

    words: tuple[str, ...]
    length: int

    def transform(self, rows: Texts) -> npt.NDArray[np.int32]:
        """Encode texts.

        Parameters
        ----------
        rows : array of shape (n_texts,), str
            The texts; of longer ones the beginning is read.

        Returns
        -------
        array of shape (n_texts, length), int32
            Token numbers: 0 is padding at the end, 1 an unknown word, others follow the order of `words`. A text without
            any token is one unknown word.
        """
        token_numbers = {word: token_number for token_number, word in enumerate(self.words, start=UNKNOWN + 1)}
        out = np.full((len(rows), self.length), PADDING, dtype=np.int32)
        for row, text in enumerate(rows):
            text_token_numbers = [token_numbers.get(token, UNKNOWN) for token in tokenise(text)[: self.length]] or [
                UNKNOWN
            ]
            out[row, : len(text_token_numbers)] = text_token_numbers
        return out


def fit_token_encoder(X: Texts, y: Labels, seed: int, vocabulary: int = 5000) -> TokenEncoder:  # noqa: ARG001 -- a contract
    """Find the most frequent words and the length of training texts.

    Parameters
    ----------
    X : array of shape (n_texts,), str
        Training texts.
    y, seed
        Not used.
    vocabulary : int, default 5000
        Maximum number of words. Words of equal count are ordered alphabetically.

    Returns
    -------
    TokenEncoder
        The encoder.
    """
    texts = list(map(tokenise, X))
    counts = Counter(chain.from_iterable(texts))
    frequent_words = [word for word, count in counts.items() if count >= MIN_COUNT]
    words = sorted(frequent_words, key=lambda word: (-counts[word], word))
    text_length = np.quantile(list(map(len, texts)), FULL_TEXT_SHARE, method="higher")
    return TokenEncoder(tuple(words[:vocabulary]), int(np.clip(text_length, 1, MAX_TOKENS)))


def tokenise(text: str) -> list[str]:
    """Split a text into lower-cased words, single symbols, and numbers, whose digits become zeros.

    >>> tokenise("Don't wait: £1000 on 08712300220!")
    ["don't", 'wait', ':', '£', '0000', 'on', '0000000000', '!']
    """
    return list(map(_mask_number_token, TOKEN_PATTERN.findall(text.lower())))


def _mask_number_token(token: str) -> str:
    """Replace a number by zeros, of a length in `NUMBER_LENGTHS`; any other token is returned as it is."""
    if not token.isdecimal():
        return token
    return "0" * max(number_length for number_length in NUMBER_LENGTHS if number_length <= len(token))


@dataclass(frozen=True)
class TfidfEncoder:
    """Texts as weights of words and of character n-grams; contains the vocabulary of the training texts.

    `vectorizers` are fitted vectorizers of scikit-learn, one per type of term.
    """

    vectorizers: tuple[Any, ...]

    def transform(self, rows: Texts) -> Any:
        """Encode texts (n_texts,) as a float32 sparse matrix (n_texts, n_terms).

        The weights of a text have norm 1 within each type of term, or 0 where none of its terms is known.
        """
        from scipy.sparse import hstack

        return hstack(
            [fitted_vectorizer.transform(rows) for fitted_vectorizer in self.vectorizers],
            format="csr",
            dtype=np.float32,
        )


@dataclass(frozen=True)
class LsaEncoder:
    """TF-IDF projected onto its leading singular vectors, so that trees and networks have few and dense columns."""

    tfidf: TfidfEncoder
    svd: TruncatedSvd

    def transform(self, rows: Texts) -> npt.NDArray[np.float32]:
        """Encode texts (n_texts,) as an array (n_texts, n_components) with variance 1 on the training texts."""
        return self.svd.transform(self.tfidf.transform(rows))


@dataclass(frozen=True)
class RawTextEncoder:
    """The texts themselves, for a classifier that reads texts, or ignores its input."""

    def transform(self, rows: Texts) -> Texts:
        """Return the same texts."""
        return rows


def fit_raw_texts(X: Texts, y: Labels, seed: int) -> RawTextEncoder:  # noqa: ARG001 -- a contract
    """Return an encoder that learns nothing."""
    return RawTextEncoder()


def fit_tfidf(X: Texts, y: Labels, seed: int) -> TfidfEncoder:  # noqa: ARG001 -- a contract
    """Fit the vocabulary and the inverse document frequency of each term, with logarithmic counts.

    Terms are words and pairs of words, and 2 to 5 characters within words. In words, every digit counts as 0, which
    increased the accuracy on sms_spam by 0.001. No parameter is searched, so that all families share one computation.

    Parameters
    ----------
    X : array of shape (n_texts,), str
        Training texts.
    y, seed
        Not used.

    Returns
    -------
    TfidfEncoder
        The encoder, without types of terms of which no term occurs in two texts.

    Raises
    ------
    DataError
        If no term occurs in two texts.

    References
    ----------
    Salton and Buckley (1988), Term-weighting approaches in automatic text retrieval.
    """
    fitted_vectorizers = []
    for unfitted_vectorizer in map(make_tfidf_vectorizer, TERM_TYPES):
        try:
            fitted_vectorizers.append(unfitted_vectorizer.fit(X))
        except ValueError:  # scikit-learn's error where no term is left: short texts may share n-grams but no word
            continue
    if not fitted_vectorizers:
        raise DataError(f"no word or piece of a word occurs in two of the {len(X)} texts: are these texts?")
    return TfidfEncoder(tuple(fitted_vectorizers))


def make_tfidf_vectorizer(term_type: str) -> Any:
    """Build the unfitted vectorizer for one of `TERM_TYPES`."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    common_settings = {"min_df": 2, "sublinear_tf": True, "dtype": np.float32}
    if term_type == "words":
        return TfidfVectorizer(
            preprocessor=mask_digits, token_pattern=WORD_PATTERN, ngram_range=(1, 2), **common_settings
        )
    return TfidfVectorizer(analyzer=character_ngrams, max_features=MAX_TERMS, **common_settings)


def mask_digits(text: str) -> str:
    """Lower-case a text and replace every digit by 0: the length of a number is more informative than its digits."""
    return re.sub(r"\d", "0", text.lower())


def character_ngrams(text: str) -> Sequence[str]:
    """List the sequences of 2 to 5 characters within the words of a text.

    Those of short texts are cached, in up to 100 MB: finding them was half of the time of an encoding.
    """
    return _cached_character_ngrams(text) if len(text) <= MAX_CACHED_LENGTH else _make_ngram_analyzer()(text)


@functools.lru_cache(maxsize=10_000)
def _cached_character_ngrams(text: str) -> tuple[str, ...]:
    return tuple(map(sys.intern, _make_ngram_analyzer()(text)))


@functools.cache
def _make_ngram_analyzer() -> Callable[[str], list[str]]:
    from sklearn.feature_extraction.text import TfidfVectorizer

    ngram_analyzer: Callable[[str], list[str]] = TfidfVectorizer(
        analyzer="char_wb", ngram_range=(2, 5)
    ).build_analyzer()
    return ngram_analyzer


def fit_lsa(X: Texts, y: Labels, seed: int) -> LsaEncoder:
    """Fit TF-IDF and its leading singular vectors (latent semantic analysis).

    Parameters
    ----------
    X : array of shape (n_texts,), str
        Training texts.
    y : array of shape (n_texts,), int
        Not used.
    seed : int
        Seed of the decomposition.

    Returns
    -------
    LsaEncoder
        The encoder.

    References
    ----------
    Deerwester, Dumais, Furnas, Landauer and Harshman (1990), Indexing by latent semantic analysis.
    """
    tfidf = fit_tfidf(X, y, seed)
    return LsaEncoder(tfidf, fit_truncated_svd(tfidf.transform(X), N_COMPONENTS, seed))
