"""What cannot be combined: families with kinds of data, with strategies, and with rows that have weights."""

from __future__ import annotations

from harness.preprocessing.encodings import ENCODINGS
from harness.registry.family import ROW_WEIGHTS, Family, strategy_limit
from harness.registry.strategy import Strategy

#: Codes of `Inapplicable` where a family takes no data of a modality, or is not combined with a strategy on them.
UNSUPPORTED_MODALITY, UNSUPPORTED_STRATEGY = "unsupported_modality", "unsupported_strategy"
#: Code where a family or a strategy does not take rows with weights.
UNSUPPORTED_WEIGHTS = "unsupported_weights"


def needs_interpolation(strategy: Strategy, modality: str) -> bool:
    """Whether a strategy interpolates or compares rows and an encoding must allow it; prepared rows of tables always do."""
    return modality != "tabular" and strategy.kind == "resample" and not strategy.selects_existing_rows


def inapplicable_reason(family: Family, modality: str, strategy: Strategy | None = None) -> str:
    """Say why a family cannot be combined with data of a modality, or with a strategy on them; empty where it can."""
    name = family.encodings.get(modality)
    if name is None:
        return f"{family.name} does not take {modality} data"
    if strategy is None:
        return ""
    if reason := strategy_limit(family, strategy):
        return reason
    if needs_interpolation(strategy, modality) and ENCODINGS[name].interpolation_space is None:
        return f"{strategy.name} makes rows between neighbours: {ENCODINGS[name].reason}"
    return ""


def unweightable_reason(family: Family, strategy: Strategy) -> str:
    """Say why a family and a strategy cannot be fitted to rows with weights; empty where they can.

    Parameters
    ----------
    family : Family
        A family that takes no `sample_weight`, or to which a row of weight k is not what k equal rows are, says so in its
        limits.
    strategy : Strategy
        Rows that a strategy makes or compares have no weight; those that it selects keep theirs.
    """
    for limit in (ROW_WEIGHTS, "weight"):
        if limit in family.limits:
            return family.limits[limit]
    if strategy.kind == "resample" and not strategy.selects_existing_rows:
        return f"{strategy.name} makes or compares rows without regard to the weights of the table's rows"
    return ""
