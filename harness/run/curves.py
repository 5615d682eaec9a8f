"""The training curves and remarks of fitted networks, as plain arrays to be stored."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, is_dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


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


def _networks(classifier: Any) -> Iterator[tuple[str, Any]]:
    """A network, or those in an ensemble, each with its place there."""
    if is_dataclass(getattr(classifier, "history", None)):  # other libraries' classifiers have other histories
        yield "", classifier
    for i, member in enumerate(getattr(classifier, "fitted_", ())):
        yield from ((f"/member_{i}{place}", network) for place, network in _networks(member))
