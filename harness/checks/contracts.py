"""The contract of a model family."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from harness.checks.small_tables import small
from harness.errors import Unavailable, failure
from harness.metrics.metric import Metric, Predictions
from harness.registry.family import Family, missing_packages
from harness.registry.protocol import EvaluationProtocol
from harness.registry.space import defaults
from harness.registry.strategy import Strategy
from harness.registry.task import Modality, Table, Task

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


NAME = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True)
class Verdict:
    """What came of one check: `complaint` is empty where it passed, `skipped` says why it could not be made."""

    kind: str
    name: str
    check: str
    complaint: str = ""
    skipped: str = ""


def named(name: str) -> Callable[[], str]:
    """The check that a declaration's name is one that can be typed."""

    def has_a_plain_name() -> str:
        return "" if NAME.fullmatch(name) else f"a name is lower-case letters, digits and underscores, but got {name!r}"

    return has_a_plain_name


def run_checks(kind: str, name: str, checks: list[Callable[[], str]], on: str = "") -> Iterator[Verdict]:
    """Make checks one by one, `on` what; data that are not here skip the rest."""
    for check in checks:
        title = check.__name__.replace("_", " ") + (f" on {on}" if on else "")
        try:
            yield Verdict(kind, name, title, complaint=check())
        except Unavailable as reason:
            yield Verdict(kind, name, title, skipped=str(reason))
            return
        except Exception as error:  # noqa: BLE001 -- whatever a declaration raises is the complaint
            yield Verdict(kind, name, title, complaint=failure(error))


#: So many rows of the small data are learned from, the others only predicted.
LEARNED = 160
#: What the small data of a modality are called.
SMALL = {"tabular": "", "text": "texts", "image": "pictures"}


def check_family(family: Family) -> Iterator[Verdict]:
    """Hold a family to the contract: its declaration, then its fits on a small mixed table."""
    from harness.preprocessing.encodings import ENCODINGS

    yield from run_checks("family", family.name, [named(family.name), *_declared(family)])
    if missing := missing_packages(family):
        yield Verdict("family", family.name, "fits", skipped=missing)
        return
    for modality, name in family.encodings.items():
        if name in ENCODINGS and (missing := missing_packages(family, ENCODINGS[name].needs)):
            yield Verdict("family", family.name, f"fits {modality} data", skipped=missing)
            continue
        yield from run_checks("family", family.name, _fits(family, cast("Modality", modality)), SMALL[modality])


def _declared(family: Family) -> list[Callable[[], str]]:
    """What can be said of a family without fitting it."""
    from harness.preprocessing.encodings import ENCODINGS

    def knows_its_encodings() -> str:
        if unknown := [name for name in family.encodings.values() if name not in ENCODINGS]:
            return f"unknown encodings {unknown}: there are {', '.join(ENCODINGS)}"
        wrong = [name for kind, name in family.encodings.items() if ENCODINGS[name].modality != kind]
        return f"encodings {wrong} are for another kind of data" if wrong else ""

    def takes_its_space() -> str:
        accepted = inspect.signature(family.build).parameters
        if any(one.kind is one.VAR_KEYWORD for one in accepted.values()):
            return ""
        unknown = [name for name in family.space if name not in accepted]
        return f"build does not take {unknown}" if unknown else ""

    return [knows_its_encodings, takes_its_space]


def _fits(family: Family, modality: Modality) -> list[Callable[[], str]]:
    """What a family must keep when it is fitted: probabilities, weights, seeds."""
    from harness.search.pipeline import PipelineSpec, TrainingSet, fit_pipeline

    nothing = Strategy(name="none", kind="none")

    def proba(table: Table, seed: int, strategy: Strategy = nothing) -> npt.NDArray[np.float32]:
        import numpy as np

        learned = table.take(np.arange(LEARNED))
        watched = np.arange(0, LEARNED, 5) if family.stops_early else None
        recipe = PipelineSpec(family, (strategy,), modality, len(table.classes))
        fitted = fit_pipeline(recipe, defaults(recipe.space), TrainingSet(learned.X, learned.y, seed, watched))
        return fitted.predict_proba(table.X)

    def gives_probabilities() -> str:
        for classes in (2, 3):
            found = proba(small(modality, classes), 1)
            if found.shape != (len(small(modality, classes).y), classes) or abs(found.sum(axis=1) - 1).max() > 1e-3:
                return f"with {classes} classes: rows of shape {found.shape} must sum to one"
        return ""

    def repeats_itself() -> str:
        first, second = proba(small(modality, 2), 7), proba(small(modality, 2), 7)
        return "" if (first == second).all() else "the same seed gave other probabilities: draw from `seed` alone"

    def takes_weights() -> str:
        if family.strategies is not None:
            return ""
        heavy = Strategy(name="heavy", kind="weight", build=_nine_to_one)
        # Rows that were not fitted are looked at: a full-grown tree reproduces those that were, whatever they weigh.
        plain, weighted = (proba(small(modality, 2), 3, strategy)[LEARNED:] for strategy in (nothing, heavy))
        return "" if (plain != weighted).any() else "nine times the weight on class 1 changed no prediction"

    return [gives_probabilities, repeats_itself, takes_weights]


def _nine_to_one(y: npt.NDArray[np.int64], _costs: object) -> npt.NDArray[np.float64]:
    import numpy as np

    return np.where(y == 1, 9.0, 1.0)


FACES = ("ranking", "decision", "probability")


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
        return "" if metric.metric_type in FACES else f"face must be one of {FACES}, but got {metric.metric_type!r}"

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

    checks = [named(metric.name), has_a_face, is_a_finite_float, prefers_the_better, does_not_mind_the_order]
    yield from run_checks("metric", metric.name, checks)


def check_strategy(strategy: Strategy) -> Iterator[Verdict]:
    """Hold a strategy to the contract, on a small mixed table: what its kind must give, and the same for the same seed."""

    def describes_itself() -> str:
        return "" if strategy.description else "a description must be given"

    by_kind = {"weight": _weighting, "resample": _resampling, "ensemble": _ensemble}
    own = by_kind[strategy.kind](strategy) if strategy.kind in by_kind else []
    yield from run_checks("strategy", strategy.name, [named(strategy.name), describes_itself, *own])


def _weighting(strategy: Strategy) -> list[Callable[[], str]]:
    import numpy as np

    def weighs_every_row() -> str:
        y = small("tabular", 2).y
        weights = np.asarray(_built(strategy, y, None))
        if weights.shape != y.shape or not (weights > 0).all() or not np.isfinite(weights).all():
            return f"one positive weight per row is expected, but got shape {weights.shape}"
        return ""

    return [weighs_every_row]


def _resampling(strategy: Strategy) -> list[Callable[[], str]]:
    import numpy as np

    from harness.preprocessing.cache import FoldCache
    from harness.preprocessing.resampling import resample
    from harness.preprocessing.tabular import fit_preparer

    def resampled() -> Any:
        table = small("tabular", 2)
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
        """Probabilities of a shape that sums to one, the same for the same seed."""
        from sklearn.linear_model import LogisticRegression

        y = small("tabular", 2).y
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


def check_task(task: Task, data_dir: Path | None = None) -> Iterator[Verdict]:
    """Hold a task to the contract: it says where it comes from, loads to the same rows twice, and can be split."""
    from harness.data.hashing import fingerprint
    from harness.data.splits import make_splitter
    from harness.data.table import load_table

    def says_where_from() -> str:
        missing = [name for name in ("title", "description", "source", "licence") if not getattr(task, name)]
        return f"{', '.join(missing)} must be said" if missing else ""

    def loads() -> str:
        table = load_table(task, data_dir)
        if len(table.y) != len(table.X) or 0 in table.X.shape:
            return f"{len(table.y)} targets for features of shape {table.X.shape}"
        leaked = [name for name in (task.target, *task.banned) if name in getattr(table.X, "columns", ())]
        return f"columns {leaked} must not be among the features" if leaked else ""

    def loads_the_same_twice() -> str:
        first, second = (fingerprint(load_table(task, data_dir)) for _ in range(2))
        return "" if first == second else "two loads gave different rows: load must not draw without a seed"

    def can_be_split() -> str:
        table = load_table(task, data_dir)
        make_splitter(table).outer(EvaluationProtocol(folds=2))
        return ""

    checks = [named(task.name), says_where_from, loads, loads_the_same_twice, can_be_split]
    yield from run_checks("task", task.name, checks)
