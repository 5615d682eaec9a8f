"""Texts as sequences of word numbers, for recurrent networks: the vocabulary is learned on training rows only."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from harness.declare.space import Space, integer

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
