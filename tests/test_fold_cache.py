"""The fold cache: within its bound, and nobody changes what it holds."""

import numpy as np
import pytest

from harness.preprocessing.cache import FoldCache
from harness.preprocessing.tabular import PreparedRows


def test_a_value_is_computed_once_while_it_is_held():
    cache, asked = FoldCache(), []
    for _ in range(3):
        assert cache.get("key", lambda: asked.append(1) or 7) == 7
    assert asked == [1]


def test_what_was_used_longest_ago_goes_first():
    cache = FoldCache(max_bytes=1700)
    for key in ("a", "b"):
        cache.get(key, lambda: np.zeros(100))
    cache.get("a", lambda: pytest.fail("it is held"))
    cache.get("c", lambda: np.zeros(100))
    assert cache.n_bytes == 1600
    cache.get("a", lambda: pytest.fail("it was used last but one"))
    assert cache.get("b", lambda: "again") == "again"


def test_what_is_held_cannot_be_changed_in_place():
    rows, y = FoldCache().get(
        "rows", lambda: (PreparedRows(np.zeros((2, 2)), np.zeros((2, 1), dtype=np.int32)), np.zeros(2))
    )
    for array in (rows.numbers, rows.codes, y):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1
