"""Numbers and categories side by side, as networks take rows of a table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from harness.networks.loss import Floats


@dataclass(frozen=True)
class Mixed:
    """Rows whose categories are still level indices: numbers (n, p), codes (n, q), and how many levels each category has.

    A network of no embeddings takes them as `spread` columns, one with embeddings as `coded` ones.
    """

    numbers: Floats
    codes: npt.NDArray[np.int32]
    levels: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, index: Any) -> Mixed:
        """The rows at these positions."""
        return Mixed(self.numbers[index], self.codes[index], self.levels)

    @property
    def embedded(self) -> tuple[int, ...]:
        """Positions of the categories of more than two levels: two are one column of 0 and 1 in any case."""
        return tuple(j for j, levels in enumerate(self.levels) if levels > 2)

    def spread(self) -> Floats:
        """The numbers, then a column of 0 and 1 for every level; one for a category of two levels, none for one level."""
        blocks = [self.numbers]
        for codes, levels in zip(self.codes.T, self.levels, strict=True):
            if levels > 1:
                blocks.append((codes[:, None] == (np.arange(levels) if levels > 2 else 1)).astype(np.float32))
        return np.ascontiguousarray(np.hstack(blocks), dtype=np.float32)

    def coded(self) -> Floats:
        """The numbers, a column of 0 and 1 per category of two levels, then one of level indices per embedded category.

        The indices count through all embedded categories: those of the second begin where those of the first end.
        """
        pairs = [j for j, levels in enumerate(self.levels) if levels == 2]
        starts = np.cumsum([0, *(self.levels[j] for j in self.embedded)])[:-1]
        indices = self.codes[:, list(self.embedded)] + starts
        return np.ascontiguousarray(np.hstack([self.numbers, self.codes[:, pairs], indices]), dtype=np.float32)
