"""The contract of a model family."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, cast

from harness.checks.small import small
from harness.checks.verdict import Verdict, named, run_checks
from harness.declare.family import Family, missing_packages
from harness.declare.space import defaults
from harness.declare.strategy import Strategy
from harness.declare.task import Modality, Table

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

#: So many rows of the small data are learned from, the others only predicted.
LEARNED = 160
#: What the small data of a modality are called.
SMALL = {"tabular": "", "text": "texts", "image": "pictures"}


def check_family(family: Family) -> Iterator[Verdict]:
    """Hold a family to the contract: its declaration, then its fits on a small mixed table."""
    from harness.search.encodings import ENCODINGS

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
    from harness.search.encodings import ENCODINGS

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
    from harness.search.pipeline import Recipe, TrainingSet, fit_pipeline

    nothing = Strategy(name="none", kind="none")

    def proba(table: Table, seed: int, strategy: Strategy = nothing) -> npt.NDArray[np.float32]:
        import numpy as np

        learned = table.take(np.arange(LEARNED))
        watched = np.arange(0, LEARNED, 5) if family.stops_early else None
        recipe = Recipe(family, (strategy,), modality, len(table.classes))
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
