"""The training curves and remarks of fitted networks, as plain arrays to be stored."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

#: By these a history of `harness.networks` is known; this package does not import that one.
HISTORY_FIELDS = {"train_loss", "validation_loss", "validation_bounded", "epoch", "remarks"}


@dataclass(frozen=True)
class Curves:
    """What the fits of one trial or refit left: arrays by `<fold>/<curve>`, and what was odd."""

    arrays: dict[str, npt.NDArray[Any]] = field(default_factory=dict)
    remarks: dict[str, None] = field(default_factory=dict)  #: in the order met, each once

    def add(self, fold: str, classifier: Any, seed: int) -> None:
        """Take in a fitted classifier; one that keeps no history leaves nothing. Empty curves are left out."""
        for place, network in _networks(classifier):
            curves = asdict(network.history)
            self.remarks.update(dict.fromkeys(curves.pop("remarks")))
            found = {name: np.asarray(values) for name, values in curves.items() if np.size(values)}
            self.arrays.update(
                {f"{fold}{place}/{name}": values for name, values in (found | {"seed": np.array(seed)}).items()}
            )


def epoch_of(classifier: Any) -> int | None:
    """The epoch whose weights a network kept, counted from 1; None for an ensemble and for what is no network."""
    return next((network.history.epoch for place, network in _networks(classifier) if not place), None)


def _is_history(candidate: object) -> bool:
    """Whether this is the history of our networks: classifiers of other libraries have other attributes of that name."""
    if not is_dataclass(candidate) or isinstance(candidate, type):
        return False
    return {curve.name for curve in fields(candidate)} >= HISTORY_FIELDS


def _networks(classifier: Any) -> Iterator[tuple[str, Any]]:
    """A network, or those in an ensemble, each with its place there."""
    if _is_history(getattr(classifier, "history", None)):
        yield "", classifier
    members = getattr(classifier, "fitted_", None)
    if not isinstance(members, list):  # of LightGBM it is a bool
        return
    for i, member in enumerate(members):
        yield from ((f"/member_{i}{place}", network) for place, network in _networks(member))
