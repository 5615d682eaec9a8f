"""Small real runs, written through `Store` as a benchmark would: real data, folds, fits, inner probabilities."""

import copy
import hashlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.model_selection import RepeatedStratifiedKFold, StratifiedKFold, cross_val_predict
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from harness.metrics.metric import best_threshold
from harness.registry.protocol import EvaluationProtocol
from harness.seeding import seed_of
from harness.store.record import EntryResult, Record, StoredPredictions
from harness.store.store import Store

PROTOCOL = EvaluationProtocol(folds=4, repeats=1, inner_folds=2, trials=3, seed=7)
FAMILIES = {
    "majority": {"network": False, "description": "predicts the training prior"},
    "logistic_regression": {"network": False, "description": "linear"},
    "bayes": {"network": True, "description": "stands where a network would stand"},
}
STRATEGIES = {
    "none": {"kind": "none", "description": "does nothing"},
    "class_weight": {"kind": "weight", "description": "weights rows by the inverse frequency of their class"},
    "searched": {"kind": "searched", "description": "Optuna chooses"},
}
VALUES = {"default": {"C": 1.0, "var_smoothing": 1e-9}, "tuned": {"C": 0.05, "var_smoothing": 1e-2}}


@dataclass(frozen=True)
class SmallTask:
    """Rows of a task and what `run.json` says about it."""

    name: str
    X: np.ndarray
    y: np.ndarray
    classes: tuple[str, ...]
    about: dict[str, Any] = field(default_factory=dict)


def tumours(name: str = "tumours", **about: Any) -> SmallTask:
    """Breast cancer with most malignant rows left out and a few noisy columns: 357 against 60, not easy."""
    X, y = load_breast_cancer(return_X_y=True)
    y = 1 - y
    keep = np.sort(np.concatenate([np.flatnonzero(y == 0), np.flatnonzero(y == 1)[:60]]))
    return SmallTask(name, X[keep][:, [4, 8, 9, 14, 18]], y[keep], ("No", "Yes"), about)


def three_digits() -> SmallTask:
    """Digits 0, 8 and 9 from a few pixels."""
    X, y = load_digits(return_X_y=True)
    keep = np.isin(y, (0, 8, 9))
    return SmallTask("three_digits", X[keep][:, 10:22], np.unique(y[keep], return_inverse=True)[1], ("0", "8", "9"))


def classifier(family: str, strategy: str, stage: str) -> Any:
    weight = "balanced" if strategy == "class_weight" else None
    if family == "majority":
        return DummyClassifier(strategy="prior")
    if family == "logistic_regression":
        return make_pipeline(StandardScaler(), LogisticRegression(C=VALUES[stage]["C"], class_weight=weight))
    priors = [0.5, 0.5] if weight else None
    return GaussianNB(var_smoothing=VALUES[stage]["var_smoothing"], priors=priors)


def splits(task: SmallTask) -> list[tuple[int, int, np.ndarray, np.ndarray]]:
    """(repeat, fold, training rows, test rows) of every outer split; one where the task brings its own."""
    rule = RepeatedStratifiedKFold(n_splits=PROTOCOL.folds, n_repeats=PROTOCOL.repeats, random_state=PROTOCOL.seed)
    found = [(i // PROTOCOL.folds, i % PROTOCOL.folds, *rows) for i, rows in enumerate(rule.split(task.X, task.y))]
    return found[: task.about.get("splits", len(found))]


def score(y: np.ndarray, proba: np.ndarray) -> float:
    if proba.shape[1] == 2:
        return float(average_precision_score(y, proba[:, 1]))
    return float(roc_auc_score(y, proba / proba.sum(axis=1, keepdims=True), multi_class="ovr"))


#: Evaluated cells by their rows and names: many tests start from the same run.
CELL_CACHE: dict[str, tuple[Record, StoredPredictions]] = {}


def evaluate(task: SmallTask, cell: Record, train: np.ndarray, test: np.ndarray) -> tuple[Record, StoredPredictions]:
    """Fit a cell as the engine would; each once per process, for it depends on nothing but its rows and its names."""
    digest = hashlib.sha256()
    for array in (task.X, task.y, train, test):
        digest.update(repr(array.shape).encode() + np.ascontiguousarray(array).tobytes())
    key = f"{digest.hexdigest()} {task.classes!r} {cell!r}"
    if key not in CELL_CACHE:
        CELL_CACHE[key] = fit_cell(task, cell, train, test)
    record, predictions = CELL_CACHE[key]
    return record, copy.deepcopy(predictions)


def fit_cell(task: SmallTask, cell: Record, train: np.ndarray, test: np.ndarray) -> tuple[Record, StoredPredictions]:
    """Fit a cell as the engine would, the search being two fixed configurations."""
    outcomes, tests, inners = [], {}, {}
    X, y = task.X[train], task.y[train]
    for trial, stage in enumerate(("default", "tuned")):
        model = classifier(cell.family, cell.strategy, stage)
        folds = StratifiedKFold(PROTOCOL.inner_folds, shuffle=True, random_state=cell.seed)
        inner = cross_val_predict(model, X, y, cv=folds, method="predict_proba").astype(np.float32)
        model.fit(X, y)
        inners[stage], tests[stage] = inner, model.predict_proba(task.X[test]).astype(np.float32)
        threshold = best_threshold(y, inner) if len(task.classes) == 2 else None
        counts = np.bincount(y).astype(float).tolist()
        objective = "average_precision" if len(task.classes) == 2 else "roc_auc"
        train_scores = {objective: score(y, model.predict_proba(X))}
        # Times are made up from the cell, so that two builds of one run are equal.
        seconds = 0.01 * (trial + 1) + cell.fold / 1000
        outcomes.append(
            EntryResult(
                stage,
                0 if cell.family == "majority" else trial,
                VALUES[stage],
                score(y, inner),
                threshold,
                counts,
                counts,
                seconds,
                0.002,
                train_scores,
            )
        )
    record = replace(cell, status="ok", trials=3, n_train=len(train), n_test=len(test), outcomes=tuple(outcomes))
    return record, StoredPredictions(test, task.y[test], train, y, tests, inners)


def planned(task: SmallTask) -> list[Record]:
    """Every cell of a task; the majority row has nothing to do with strategies."""
    found = []
    for family in FAMILIES:
        for strategy in ["none"] if family == "majority" else list(STRATEGIES):
            for repeat, fold, *_ in splits(task):
                parts = (task.name, family, strategy, repeat, fold)
                seed = seed_of(PROTOCOL.seed, *parts)
                found.append(Record(f"cell{seed}", f"key{seed}", *parts, seed, "skipped"))
    return found


def describe(tasks: list[SmallTask], cells: list[Record]) -> dict[str, Any]:
    """`run.json` of such a run."""
    return {
        "name": "small",
        "command": "evenhand run --task tumours --seed 7 --out results/small",
        "seed": PROTOCOL.seed,
        "protocol": PROTOCOL.as_dict(),
        "versions": {"python": "3.11", "scikit-learn": "1.9"},
        "host": {"cores": 2},
        "tasks": {task.name: about(task) for task in tasks},
        "families": FAMILIES,
        "strategies": STRATEGIES,
        "skipped": [
            {"kind": "family", "name": "xgb", "reason": "xgboost is not installed: pip install 'evenhand[cpu]'"}
        ],
        "cells": [
            {
                "id": c.id,
                "key": c.key,
                "task": c.task,
                "family": c.family,
                "strategy": c.strategy,
                "repeat": c.repeat,
                "fold": c.fold,
            }
            for c in cells
        ],
    }


def about(task: SmallTask) -> dict[str, Any]:
    """What `run.json` says about a task."""
    binary = len(task.classes) == 2
    return {
        "title": task.name.replace("_", " ").capitalize(),
        "description": "",
        "source": "scikit-learn",
        "licence": "BSD-3-Clause",
        "citation": "",
        "modality": "tabular",
        "classes": list(task.classes),
        "positive": task.classes[1] if binary else None,
        "counts": np.bincount(task.y).tolist(),
        "rows": len(task.y),
        "columns": task.X.shape[1],
        "fingerprint": "f" * 64,
        "costs": None,
        "forward": False,
        "splits": len(splits(task)),
        "objective": "average_precision" if binary else "roc_auc",
        "notes": [],
        "findings": [],
        **task.about,
    }


def finding(code: str, message: str, column: str = "") -> dict[str, object]:
    """A finding as the description of a run holds it."""
    return {"code": code, "severity": "note", "message": message, "column": column, "rows": None}


Ending = tuple[str, str] | None  # status and reason; None: the cell was never run


def write_run(
    folder: Path, tasks: list[SmallTask], endings: dict[tuple[str, str, str, int], Ending] | None = None
) -> Store:
    """A run folder with everything evaluated, except the cells (task, family, strategy, fold) that ended otherwise."""
    store = Store(folder)
    cells = [cell for task in tasks for cell in planned(task)]
    store.write_run(describe(tasks, cells))
    by_name = {task.name: task for task in tasks}
    for cell in cells:
        ending = (endings or {}).get((cell.task, cell.family, cell.strategy, cell.fold), ("ok", ""))
        if ending is None:
            continue
        if ending[0] != "ok":
            store.write_cell(replace(cell, status=ending[0], reason=ending[1]), None)
            continue
        task = by_name[cell.task]
        train, test = next(rows[2:] for rows in splits(task) if rows[:2] == (cell.repeat, cell.fold))
        store.write_cell(*evaluate(task, cell, train, test))
    return store


def everything(folder: Path) -> Store:
    """A run with all there is: failures of every kind, several classes, one split only, a forward-chained task, costs."""
    return write_run(
        folder,
        [
            tumours(costs=[[0.0, 1.0], [10.0, 0.0]]),
            three_digits(),
            tumours("one_split", splits=1),
            tumours("later_rows", forward=True),
        ],
        {
            ("tumours", "bayes", "class_weight", 1): ("timeout", "took longer than 60 s"),
            ("tumours", "bayes", "class_weight", 2): None,
            **{("tumours", "bayes", "searched", fold): ("inapplicable", "nothing to search") for fold in range(4)},
            ("three_digits", "bayes", "class_weight", 0): ("failed", "ValueError: Number of priors | must match"),
            ("three_digits", "bayes", "class_weight", 1): ("memory", "more than 2 GB"),
            ("three_digits", "bayes", "class_weight", 2): ("failed", "ValueError: Number of priors | must match"),
            ("three_digits", "bayes", "class_weight", 3): ("failed", "ValueError: Number of priors | must match"),
        },
    )
