"""Scores over many tasks, made from figures: what `collect` would give for a run that scored them."""

from __future__ import annotations

import numpy as np

from harness.evaluation.ranking import Ranking, rank_entries
from harness.evaluation.scores import CellStatus, Entry, ScoreRows, Scores
from harness.metrics.classification import METRICS
from harness.store.record import Record

METRIC = {metric.name: metric for metric in METRICS}
Figures = dict[str, dict[tuple[str, str], list[float | None]]]  # task → (family, strategy) → per split, None: it failed


def about(splits: int, **more: object) -> dict[str, object]:
    """What `run.json` says about a task."""
    usual = {"classes": ["No", "Yes"], "counts": [900, 100], "rows": 1000, "modality": "tabular", "splits": splits}
    return usual | {"objective": "average_precision", "costs": None, "forward": False} | more


def scores_of(figures: Figures, **tasks: dict[str, object]) -> Scores:
    """Scores whose tuned entries have these figures at both thresholds; `tasks` add to what is said of a task."""
    cells, by_entry, described = [], {}, {}
    for task, entries in figures.items():
        splits = max(map(len, entries.values()))
        described[task] = about(splits) | tasks.get(task, {})
        metric = described[task]["objective"]
        for (family, strategy), values in entries.items():
            kept = [at for at, value in enumerate(values) if value is not None]
            columns = {metric: np.array([values[at] for at in kept], dtype=float), "trial": np.ones(len(kept))}
            columns |= {
                "ratio": np.full(len(kept), 0.25),
                "inner": np.zeros(len(kept)),
                "row_share": np.full(len(kept), 0.001),
                "rare_row_share": np.full(len(kept), 0.01),
            }
            rows = ScoreRows(tuple((0, at) for at in kept), tuple(("", "tuned", "half") for _ in kept), columns)
            for kind in ("half", "tuned"):
                by_entry[task, Entry(family, strategy, "tuned"), kind] = rows
            for at, value in enumerate(values):
                record = Record(f"{task}{family}{strategy}{at}", "", task, family, strategy, 0, at, 0, "ok")
                known = value is not None
                cells.append(
                    CellStatus(task, family, strategy, "ok" if known else "timeout", "", record if known else None)
                )
    families = {family: {} for entries in figures.values() for family, _ in entries}
    strategies = {strategy: {} for entries in figures.values() for _, strategy in entries}
    run = {"name": "many", "tasks": described, "families": families, "strategies": strategies}
    return Scores(run, tuple(cells), by_entry, {}, METRIC)


def rankings_of(scores: Scores) -> list[Ranking]:
    """The ranking of every task."""
    return [rank_entries(scores, task) for task in scores.run["tasks"]]


def drawn(tasks: int, entries: dict[tuple[str, str], float], seed: int = 0, splits: int = 5) -> Figures:
    """Tasks of unlike difficulty on which every entry has an effect of its own, and the majority row below them."""
    rng = np.random.default_rng(seed)
    figures: Figures = {}
    for at in range(tasks):
        base = rng.uniform(0.4, 0.8)
        one: dict[tuple[str, str], list[float | None]] = {("majority", "none"): [0.1] * splits}
        for entry, effect in entries.items():
            mean = base + effect + 0.02 * rng.standard_normal()
            one[entry] = [float(np.clip(mean + 0.01 * rng.standard_normal(), 0, 1)) for _ in range(splits)]
        figures[f"task_{at:02d}"] = one
    return figures
