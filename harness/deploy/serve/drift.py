"""Whether the rows that come look like those of training, column by column.

The population stability index compares the shares of bins then and now: Σ (now − then) · ln(now / then). By rule of thumb
0.1 is a shift worth a look and 0.25 a large one (Siddiqi, Credit Risk Scorecards, 2006). Of n and m rows of one and the same
population it is about (1/n + 1/m) times a χ² with a degree of freedom less than bins (Yurdakul and Naranjo, Statistical
properties of the population stability index, Journal of Risk Model Validation, 2020): what chance alone would give is said beside it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from harness.declare.task import Features
    from harness.deploy.schema import Schema

BLOCK = 1_000  #: rows counted together
BLOCKS = 20  #: that are remembered; older ones are forgotten
TOGETHER = 50  #: requests whose rows are counted together: each column costs its time once
FEWEST = 200  #: rows below which nothing is said
A_LOOK, LARGE = 0.1, 0.25
IN_LINE_95 = 1.6449  #: of a normal distribution, 95 % lie below


@dataclass
class Drift:
    """Counts per bin of the last `BLOCK * BLOCKS` rows; its size does not grow with them."""

    schema: Schema
    fresh: list[Features] = field(default_factory=list)  #: rows that wait to be counted
    blocks: deque[tuple[npt.NDArray[np.int64], ...]] = field(default_factory=lambda: deque(maxlen=BLOCKS))

    def see(self, X: Features) -> None:
        """Count rows, a few requests at a time."""
        self.fresh.append(X)
        if len(self.fresh) >= TOGETHER or sum(map(len, self.fresh)) >= BLOCK:
            self._count()

    def _count(self) -> None:
        from harness.deploy.schema import binned

        for X in _joined(self.fresh):
            counts = binned(self.schema, X)
            if self.blocks and self.blocks[-1][0].sum() < BLOCK:
                counts = tuple(a + b for a, b in zip(self.blocks.pop(), counts, strict=True))
            self.blocks.append(counts)
        self.fresh.clear()

    def report(self) -> dict[str, Any]:
        """Per column: the index, what chance alone would stay below 95 times of 100, and a verdict."""
        self._count()
        seen = [sum(of_one) for of_one in zip(*self.blocks, strict=True)]
        rows = int(seen[0].sum()) if seen else 0
        columns: list[dict[str, Any]] = []
        for one, now in zip(self.schema.features, seen, strict=False):
            index, chance = stability(one.shares, self.schema.rows, now)
            columns.append(
                {
                    "name": one.name,
                    "psi": round(index, 4),
                    "by_chance": round(chance, 4),
                    "verdict": _verdict(index, chance, rows),
                }
            )
        columns.sort(key=lambda one: one["psi"], reverse=True)
        return {"rows": rows, "training_rows": self.schema.rows, "fewest_rows": FEWEST, "columns": columns}


def _joined(fresh: list[Features]) -> list[Features]:
    """The rows in one piece, where all their columns are of one type: of a value that no level is, they are not."""
    import numpy as np
    import pandas as pd

    if len(fresh) < 2:
        return fresh
    if not hasattr(fresh[0], "columns"):
        return [np.concatenate(fresh)]
    whole: Features = pd.concat(fresh, ignore_index=True)
    return [whole] if (whole.dtypes == fresh[0].dtypes).all() else fresh


def stability(then: tuple[float, ...], rows: int, now: npt.NDArray[np.int64]) -> tuple[float, float]:
    """The index of counts against the shares of training, and its 95 % point were both of one population.

    Half a row is added to each bin of both, so that an empty one is no infinity.
    """
    import numpy as np

    bins, count = len(then), int(now.sum())
    before = (np.array(then) * rows + 0.5) / (rows + 0.5 * bins)
    after = (now + 0.5) / (count + 0.5 * bins)
    index = float(((after - before) * np.log(after / before)).sum())
    free = max(int(((np.array(then) > 0) | (now > 0)).sum()) - 1, 1)
    # The 95 % point of χ² as Wilson and Hilferty (1931) approximate it.
    quantile = free * (1 - 2 / (9 * free) + IN_LINE_95 * (2 / (9 * free)) ** 0.5) ** 3
    return index, (1 / max(rows, 1) + 1 / max(count, 1)) * quantile


def _verdict(index: float, chance: float, rows: int) -> str:
    if rows < FEWEST:
        return "too few rows to say"
    if index < A_LOOK or index <= chance:
        return "steady"
    return "shifted: worth a look" if index < LARGE else "shifted: large"
