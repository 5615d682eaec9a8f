"""The contract that every declaration must pass; shipped, so that plugins hold themselves to it as well.

Each check is a function that returns a complaint, or nothing; what it raises is a complaint as well. `evenhand check` runs them
over the whole registry and the tests do the same. Families and strategies are tried on a small mixed table made from a seed.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.declare.family import Family, missing_packages
from harness.declare.metric import Metric, Predictions
from harness.declare.protocol import EvaluationProtocol
from harness.declare.registry import Registry
from harness.declare.space import defaults
from harness.declare.strategy import Strategy
from harness.declare.task import Table, Task
from harness.errors import Unavailable, failure

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

NAME = re.compile(r"[a-z][a-z0-9_]*")
FACES = ("ranking", "decision", "probability")
#: So many rows of the small table are learned from, the others only predicted.
LEARNED = 160


@dataclass(frozen=True)
class Verdict:
    """What came of one check: `complaint` is empty where it passed, `skipped` says why it could not be made."""

    kind: str
    name: str
    check: str
    complaint: str = ""
    skipped: str = ""


def check_all(registry: Registry, data_dir: Path | None, say: Callable[[str], None]) -> bool:
    """Run every check over every declaration, say what fails, and return whether all is well.

    Which kind is looked at is written to standard error, as fitting all families takes a while.
    """
    failed = passed = skipped = 0
    for verdict in verdicts(registry, data_dir, lambda line: print(line, file=sys.stderr, flush=True)):
        if verdict.complaint:
            failed += 1
            say(f"FAILED   {verdict.kind} {verdict.name}: {verdict.check}: {verdict.complaint}")
        elif verdict.skipped:
            skipped += 1
            say(f"skipped  {verdict.kind} {verdict.name}: {verdict.check}: {verdict.skipped}")
        else:
            passed += 1
    say(f"{passed} checks passed, {failed} failed, {skipped} skipped")
    return not failed


def verdicts(
    registry: Registry, data_dir: Path | None = None, begun: Callable[[str], object] = str
) -> Iterator[Verdict]:
    """Every check over every declaration; `begun` is told which kind comes next."""
    begun(f"{len(registry.tasks)} tasks: loaded, loaded again, split")
    for task in registry.tasks.values():
        yield from check_task(task, data_dir)
    begun(f"{len(registry.families)} families: fitted on a small table")
    for family in registry.families.values():
        yield from check_family(family)
    begun(f"{len(registry.strategies)} strategies: applied to a small table")
    for strategy in registry.strategies.values():
        yield from check_strategy(strategy)
    begun(f"{len(registry.metrics)} metrics: computed")
    for metric in registry.metrics.values():
        yield from check_metric(metric)


def check_task(task: Task, data_dir: Path | None = None) -> Iterator[Verdict]:
    """Hold a task to the contract: it says where it comes from, loads to the same rows twice, and can be split."""
    from harness.data.content import fingerprint
    from harness.data.splits import make_splitter
    from harness.data.table import load_table

    def says_where_from() -> str:
        missing = [name for name in ("title", "description", "source", "licence") if not getattr(task, name)]
        return f"{', '.join(missing)} must be said" if missing else ""

    def loads() -> str:
        table = load_table(task, data_dir)
        if len(table.y) != len(table.X) or not len(table.X.columns):
            return f"{len(table.y)} targets for a table of shape {table.X.shape}"
        leaked = [column for column in (task.target, *task.banned) if column in table.X.columns]
        return f"columns {leaked} must not be among the features" if leaked else ""

    def loads_the_same_twice() -> str:
        first, second = (fingerprint(load_table(task, data_dir)) for _ in range(2))
        return "" if first == second else "two loads gave different rows: load must not draw without a seed"

    def can_be_split() -> str:
        table = load_table(task, data_dir)
        make_splitter(table).outer(EvaluationProtocol(folds=2))
        return ""

    checks = [_named(task.name), says_where_from, loads, loads_the_same_twice, can_be_split]
    yield from _run("task", task.name, checks)


def check_family(family: Family) -> Iterator[Verdict]:
    """Hold a family to the contract: its declaration, then its fits on a small mixed table."""
    yield from _run("family", family.name, [_named(family.name), *_declared(family)])
    if missing := missing_packages(family):
        yield Verdict("family", family.name, "fits", skipped=missing)
    elif "tabular" in family.encodings:
        yield from _run("family", family.name, _fits(family))


def _declared(family: Family) -> list[Callable[[], str]]:
    """What can be said of a family without fitting it."""
    from harness.search.encodings import ENCODINGS

    def knows_its_encodings() -> str:
        unknown = [name for name in family.encodings.values() if name not in ENCODINGS]
        return f"unknown encodings {unknown}: there are {', '.join(ENCODINGS)}" if unknown else ""

    def takes_its_space() -> str:
        accepted = inspect.signature(family.build).parameters
        if any(one.kind is one.VAR_KEYWORD for one in accepted.values()):
            return ""
        unknown = [name for name in family.space if name not in accepted]
        return f"build does not take {unknown}" if unknown else ""

    return [knows_its_encodings, takes_its_space]


def _fits(family: Family) -> list[Callable[[], str]]:
    """What a family must keep when it is fitted: probabilities, weights, seeds."""
    from harness.search.pipeline import Recipe, TrainingSet, fit_pipeline

    nothing = Strategy(name="none", kind="none")

    def proba(table: Table, seed: int, strategy: Strategy = nothing) -> npt.NDArray[np.float32]:
        import numpy as np

        learned = table.take(np.arange(LEARNED))
        watched = np.arange(0, LEARNED, 5) if family.stops_early else None
        recipe = Recipe(family, (strategy,), "tabular", len(table.classes))
        fitted = fit_pipeline(recipe, defaults(recipe.space), TrainingSet(learned.X, learned.y, seed, watched))
        return fitted.predict_proba(table.X)

    def gives_probabilities() -> str:
        for classes in (2, 3):
            found = proba(small_table(classes), 1)
            if found.shape != (len(small_table(classes).y), classes) or abs(found.sum(axis=1) - 1).max() > 1e-3:
                return f"with {classes} classes: rows of shape {found.shape} must sum to one"
        return ""

    def repeats_itself() -> str:
        first, second = proba(small_table(2), 7), proba(small_table(2), 7)
        return "" if (first == second).all() else "the same seed gave other probabilities: draw from `seed` alone"

    def takes_weights() -> str:
        if family.strategies is not None:
            return ""
        heavy = Strategy(name="heavy", kind="weight", build=_nine_to_one)
        # Rows that were not fitted are looked at: a full-grown tree reproduces those that were, whatever they weigh.
        plain, weighted = (proba(small_table(2), 3, strategy)[LEARNED:] for strategy in (nothing, heavy))
        return "" if (plain != weighted).any() else "nine times the weight on class 1 changed no prediction"

    return [gives_probabilities, repeats_itself, takes_weights]


def check_strategy(strategy: Strategy) -> Iterator[Verdict]:
    """Hold a strategy to the contract, on a small mixed table: what its kind must give, and the same for the same seed."""

    def describes_itself() -> str:
        return "" if strategy.description else "a description must be given"

    by_kind = {"weight": _weighting, "resample": _resampling, "ensemble": _ensemble}
    own = by_kind[strategy.kind](strategy) if strategy.kind in by_kind else []
    yield from _run("strategy", strategy.name, [_named(strategy.name), describes_itself, *own])


def _weighting(strategy: Strategy) -> list[Callable[[], str]]:
    import numpy as np

    def weighs_every_row() -> str:
        y = small_table(2).y
        weights = np.asarray(_built(strategy, y, None))
        if weights.shape != y.shape or not (weights > 0).all() or not np.isfinite(weights).all():
            return f"one positive weight per row is expected, but got shape {weights.shape}"
        return ""

    return [weighs_every_row]


def _resampling(strategy: Strategy) -> list[Callable[[], str]]:
    import numpy as np

    from harness.data.prepare import fit_preparer
    from harness.search.fold_cache import FoldCache
    from harness.search.resample import resample

    def resampled() -> Any:
        table = small_table(2)
        preparer = fit_preparer(table.X)
        rows, params = preparer.transform(table.X), defaults(strategy.space)
        return (*resample(strategy, params, rows, table.y, preparer.layout, 5, FoldCache()), preparer.layout)

    def makes_typed_rows() -> str:
        made, y, layout = resampled()
        if len(made) != len(y) or not np.isfinite(made.numbers).all():
            return f"{len(made)} rows for {len(y)} labels, or numbers that are not finite"
        if (made.codes < 0).any() or (made.codes >= np.array(layout.levels)).any():
            return "a category that does not exist was made"
        return "" if len(np.unique(y)) == 2 else "a class was lost"

    def repeats_itself() -> str:
        (first, y, _), (second, z, _) = resampled(), resampled()
        same = len(y) == len(z) and (first.numbers == second.numbers).all() and (y == z).all()
        return "" if same else "the same seed made other rows: draw from `seed` alone"

    return [makes_typed_rows, repeats_itself]


def _ensemble(strategy: Strategy) -> list[Callable[[], str]]:
    import numpy as np

    def makes_a_classifier() -> str:
        from sklearn.linear_model import LogisticRegression

        y = small_table(2).y
        X = (y + np.random.default_rng(1).normal(size=len(y))).reshape(-1, 1)
        members = (_built(strategy, lambda _seed: LogisticRegression(), 5) for _ in range(2))
        first, second = (one.fit(X, y).predict_proba(X) for one in members)
        if first.shape != (len(y), 2) or abs(first.sum(axis=1) - 1).max() > 1e-6:
            return f"rows of shape {first.shape} must sum to one"
        return "" if (first == second).all() else "the same seed gave other probabilities: draw from `seed` alone"

    return [makes_a_classifier]


def _built(strategy: Strategy, *given: Any) -> Any:
    assert strategy.build is not None  # noqa: S101 -- checked where strategies are declared
    return strategy.build(*given, **defaults(strategy.space))


def check_metric(metric: Metric) -> Iterator[Verdict]:
    """Hold a metric to the contract: a finite float, better for better predictions, indifferent to the order of rows."""
    import numpy as np

    rng = np.random.default_rng(4)
    y = (rng.random(400) < 0.3).astype(np.int64)
    costs = ((0.0, 1.0), (5.0, 0.0)) if metric.needs_costs else None

    def score(strength: float, order: npt.NDArray[np.int64] | None = None) -> float:
        noise = np.random.default_rng(6).random(len(y))
        positive = np.clip(strength * y + (1 - strength) * noise, 0.01, 0.99)
        proba = np.column_stack([1 - positive, positive])
        rows = np.arange(len(y)) if order is None else order
        return metric.compute(Predictions(y[rows], proba[rows], costs=costs))

    def has_a_face() -> str:
        return "" if metric.face in FACES else f"face must be one of {FACES}, but got {metric.face!r}"

    def is_a_finite_float() -> str:
        value = score(0.5)
        return (
            "" if isinstance(value, float) and np.isfinite(value) else f"a finite float is expected, but got {value!r}"
        )

    def prefers_the_better() -> str:
        good, bad = score(0.9), score(0.1)
        better = good > bad if metric.greater_is_better else good < bad
        return "" if better else f"good predictions scored {good:.3f}, bad ones {bad:.3f}: look at greater_is_better"

    def does_not_mind_the_order() -> str:
        one, other = score(0.4), score(0.4, rng.permutation(len(y)))
        return "" if abs(one - other) < 1e-9 else f"other order, other value: {one} and {other}"

    checks = [_named(metric.name), has_a_face, is_a_finite_float, prefers_the_better, does_not_mind_the_order]
    yield from _run("metric", metric.name, checks)


def small_table(classes: int) -> Table:
    """A small mixed table with a signal, uneven classes, missing values and a rare category, made from a fixed seed."""
    import numpy as np
    import pandas as pd

    rng = np.random.default_rng(classes)
    n = 240
    y = rng.choice(classes, n, p=[0.75, 0.25] if classes == 2 else [0.6, 0.25, 0.15]).astype(np.int64)
    number = y + rng.normal(size=n)
    number[rng.random(n) < 0.1] = np.nan
    letters = np.where(rng.random(n) < 0.5, "a", np.where(y == 1, "b", "c")).astype(object)
    letters[:3] = "rare"
    frame = pd.DataFrame({"number": number, "noise": rng.normal(size=n), "letter": pd.Categorical(letters)})
    return Table(frame, y, tuple(f"class {i}" for i in range(classes)))


def _nine_to_one(y: npt.NDArray[np.int64], _costs: object) -> npt.NDArray[np.float64]:
    import numpy as np

    return np.where(y == 1, 9.0, 1.0)


def _named(name: str) -> Callable[[], str]:
    def has_a_plain_name() -> str:
        return "" if NAME.fullmatch(name) else f"a name is lower-case letters, digits and underscores, but got {name!r}"

    return has_a_plain_name


def _run(kind: str, name: str, checks: list[Callable[[], str]]) -> Iterator[Verdict]:
    """Make checks one by one; data that are not here skip the rest."""
    for check in checks:
        title = check.__name__.replace("_", " ")
        try:
            yield Verdict(kind, name, title, complaint=check())
        except Unavailable as reason:
            yield Verdict(kind, name, title, skipped=str(reason))
            return
        except Exception as error:  # noqa: BLE001 -- whatever a declaration raises is the complaint
            yield Verdict(kind, name, title, complaint=failure(error))
