"""How long `evenhand inspect` takes for a table of 50,000 rows and 50 columns: CPU seconds of the command, and of its steps.

    python tests/speed/inspection.py [--steps]

The table is made here: 25 columns of numbers, 20 categories of 3 to 40 levels, two dates, an identifier, numbers written as
text, missing values. The target is 10 seconds of wall-clock on an idle machine.
"""

from __future__ import annotations

import cProfile
import os
import pstats
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

ROWS, NUMBERS, CATEGORIES = 50_000, 25, 20
TARGET_SECONDS = 10
REPETITIONS = 3


def make_table(rows: int = ROWS, seed: int = 0) -> pd.DataFrame:
    """Draw a table as companies have it, with the target `y` (one row in ten is "yes")."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"customer_id": [f"C{number:07d}" for number in rng.permutation(rows)]})
    signal = np.zeros(rows)
    for number in range(NUMBERS):
        latent = rng.normal(size=rows)
        signal += (0.9 if number == 0 else 0.45) * latent * (number % 3 == 0)
        values = [latent.round(3), np.floor(np.exp(latent + 2)), np.exp(latent + 4).round(2)][number % 3]
        frame[f"number_{number}"] = values
        if number % 4 == 0:
            frame.loc[rng.random(rows) < 0.08, f"number_{number}"] = np.nan
    for number in range(CATEGORIES):
        levels = np.array([f"level {code}" for code in range(3 + 37 * number // (CATEGORIES - 1))])
        codes = (rng.beta(1, 3, size=rows) * len(levels)).astype(int)
        signal += 0.2 * (codes % 3 == 0) * (number % 5 == 0)
        frame[f"category_{number}"] = levels[codes]
        if number % 4 == 0:
            frame.loc[rng.random(rows) < 0.05, f"category_{number}"] = None
    days = pd.Timestamp("2022-01-01") + pd.to_timedelta(rng.integers(0, 900, rows), unit="D")
    frame["opened"] = days.strftime("%Y-%m-%d")
    frame["called"] = (days + pd.to_timedelta(rng.integers(0, 60, rows), unit="D")).strftime("%d.%m.%Y")
    frame["amount"] = [f"${amount:,.2f}" for amount in np.exp(rng.normal(7, 1, rows))]
    signal += rng.logistic(size=rows)
    frame["y"] = np.where(signal > np.quantile(signal, 0.9), "yes", "no")
    return frame


def time_command(path: Path) -> tuple[float, float, float]:
    """Wall-clock, user and system seconds of the command."""
    before, begun = os.times(), time.perf_counter()
    command = [Path(sys.executable).with_name("evenhand"), "inspect", str(path), "--target", "y"]
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    after, wall = os.times(), time.perf_counter() - begun
    return wall, after.children_user - before.children_user, after.children_system - before.children_system


def profile_steps(path: Path, lines: int = 45) -> None:
    """Print the functions of this project and the libraries' that take the most time."""
    profile = cProfile.Profile()
    profile.enable()
    import evenhand

    str(evenhand.inspect(path, target="y"))
    profile.disable()
    pstats.Stats(profile).sort_stats("cumulative").print_stats(lines)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.csv"
        frame = make_table()
        frame.to_csv(path, index=False)
        if "--steps" in sys.argv:
            profile_steps(path)
            return
        seconds = [time_command(path) for _ in range(REPETITIONS)]
    wall, user, system = min(seconds)
    print(f"\n`evenhand inspect`, {ROWS:,} rows, {frame.shape[1]} columns: the quickest of {REPETITIONS}\n")
    print("| wall-clock s | user CPU s | system CPU s | target, wall-clock s |\n|--:|--:|--:|--:|")
    print(f"| {wall:.1f} | {user:.1f} | {system:.1f} | {TARGET_SECONDS} |")


if __name__ == "__main__":
    main()
