"""How a run is to be judged, where it is not as usual: the region of practical equivalence, and what is preferred."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias, get_args

from harness.errors import EvenhandError
from harness.store.store import Store

Preference: TypeAlias = Literal["simple", "score"]
PREFERENCES: tuple[Preference, ...] = get_args(Preference)


def store_preferences(store: Store, rope: float | None, prefer: str | None) -> None:
    """Store the preferences of a run, which its reports, its recommendation and exports follow.

    Parameters
    ----------
    store : Store
        The run.
    rope : float, optional
        Differences of the objective up to this size are practically none; what is stored stays without it.
    prefer : {"simple", "score"}, optional
        Whether the simplest of the entries close to the best one is recommended, or always the best one.

    Raises
    ------
    EvenhandError
        If one of them is no such value.
    """
    changed_preferences: dict[str, Any] = {}
    if rope is not None:
        if not math.isfinite(rope) or rope <= 0:
            raise EvenhandError(
                f"--rope must be above 0, but got {rope:g}: it is a difference of the objective, such as 0.01"
            )
        changed_preferences["rope"] = rope
    if prefer is not None:
        if prefer not in PREFERENCES:
            raise EvenhandError(f"--prefer must be one of {', '.join(PREFERENCES)}, but got {prefer!r}")
        changed_preferences["prefer"] = prefer
    if changed_preferences:
        run = store.read_run()
        store.write_run(run | {"preferences": run.get("preferences", {}) | changed_preferences})


def stored_rope(run: Mapping[str, Any]) -> float | None:
    """Look up the region of practical equivalence of the objectives; None where it is the usual one."""
    rope = run.get("preferences", {}).get("rope")
    return float(rope) if rope is not None else None


def stored_preference(run: Mapping[str, Any]) -> Preference:
    """Look up what the recommendation prefers; by default the simplest of the entries close to the best one."""
    preference = run.get("preferences", {}).get("prefer")
    return "score" if preference == "score" else "simple"
