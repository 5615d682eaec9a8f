"""Simulate clean tables of many kinds and count what the inspection says of them.

    python tests/simulations_inspection.py 200

Ends with exit code 1 where a finding has severity error: on clean tables there must be none.
"""

from __future__ import annotations

import sys
from collections import Counter

import numpy as np
import numpy.typing as npt
import pandas as pd

from harness.data.user_data import UserData
from harness.inspection.inspector import inspect_rows
from harness.inspection.summary import Inspection
from harness.registry.protocol import EvaluationProtocol

#: Whole numbers, skewed and heavy-tailed ones, and plain ones, as in real tables.
NUMBERS = ("normal", "lognormal", "count", "uniform", "heavy tails")


def simulate_table(seed: int, max_rows: int = 3000) -> pd.DataFrame:
    """Draw a table without faults.

    Parameters
    ----------
    seed : int
        Gives the size, the kinds of columns, the strength of the signal, and the shares of the classes.
    max_rows : int, default 3000
        The largest number of rows; the smallest is 150.

    Returns
    -------
    DataFrame
        Columns of numbers and categories, with missing values at random, and the target `y`.
    """
    rng = np.random.default_rng(seed)
    n_rows = int(np.exp(rng.uniform(np.log(150), np.log(max_rows))))
    columns: dict[str, npt.NDArray[np.generic]] = {}
    n_columns = int(rng.integers(2, 25))
    signal = np.zeros(n_rows)
    for number in range(n_columns):
        latent = rng.normal(size=n_rows)
        weight = rng.normal() * (rng.random() < 0.5)
        signal += weight * latent
        if rng.random() < 0.3:
            columns[f"category_{number}"] = _levels(latent, rng)
        else:
            columns[f"number_{number}"] = _numbers(latent, str(rng.choice(NUMBERS)))
    signal = signal * rng.uniform(0, 2) + rng.logistic(size=n_rows)
    frame = pd.DataFrame(columns)
    for name in frame.columns[rng.random(n_columns) < 0.3]:
        frame.loc[rng.random(n_rows) < rng.uniform(0, 0.3), name] = None
    frame["y"] = _classes(signal, rng)
    return frame


def _numbers(latent: npt.NDArray[np.float64], kind: str) -> npt.NDArray[np.float64]:
    if kind == "lognormal":
        return np.exp(latent + 3).round(2)
    if kind == "count":
        return np.floor(np.exp(latent + 1))
    if kind == "uniform":
        return np.asarray(latent.argsort().argsort() / len(latent))
    if kind == "heavy tails":
        return np.sign(latent) * np.abs(latent) ** 4
    return latent


def _levels(latent: npt.NDArray[np.float64], rng: np.random.Generator) -> npt.NDArray[np.str_]:
    """Levels that are ranges of a latent number."""
    n_levels = int(rng.integers(2, 12))
    borders = np.sort(rng.normal(size=n_levels - 1))
    return np.array([f"level {code}" for code in np.searchsorted(borders, latent)])


def _classes(signal: npt.NDArray[np.float64], rng: np.random.Generator) -> npt.NDArray[np.str_]:
    """Two to four classes as ranges of a signal, each with enough rows for the default protocol."""
    n_classes = int(rng.choice([2, 2, 2, 3, 4]))
    smallest = max(0.05, 25 / len(signal))
    shares = rng.dirichlet(np.full(n_classes, 1.5))
    shares = smallest + (1 - n_classes * smallest) * shares
    ranks = (signal.argsort().argsort() + 0.5) / len(signal)
    return np.array([f"class {code}" for code in np.searchsorted(np.cumsum(shares)[:-1], ranks)])


def inspect_simulated(seed: int, max_rows: int = 3000) -> Inspection:
    """Inspect a simulated table."""
    frame = simulate_table(seed, max_rows)
    return inspect_rows(UserData("simulated.csv", "y").task(), frame, EvaluationProtocol())


def main(n_tables: int) -> int:
    """Inspect tables, print how many have a finding of every severity and code, and return the number of errors."""
    counts: Counter[tuple[str, str]] = Counter()
    n_errors = 0
    for seed in range(n_tables):
        inspection = inspect_simulated(seed)
        counts.update({(finding.severity, finding.code) for finding in inspection.findings})
        n_errors += len(inspection.of_severity("error"))
    for (severity, code), count in sorted(counts.items()):
        print(f"{severity:8} {code:22} {count:4} of {n_tables} tables")
    print(f"{n_errors} errors")
    return n_errors


if __name__ == "__main__":
    sys.exit(bool(main(int(sys.argv[1]) if len(sys.argv) > 1 else 200)))
