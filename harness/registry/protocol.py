"""The evaluation protocol: outer and inner splits, objective, budget, seeds."""

from dataclasses import asdict, dataclass
from typing import Any

from harness.errors import EvenhandError


@dataclass(frozen=True, kw_only=True)
class EvaluationProtocol:
    """How every entry of a run is evaluated; `trials` and `budget` (seconds) are per cell, whichever ends first.

    Without `trials` the budget alone ends a search.
    """

    folds: int = 5
    repeats: int = 1
    inner_folds: int = 3
    trials: int | None = 20
    budget: float | None = None
    objective: str | None = None  #: a metric's name; None: average precision, or macro AUC for several classes
    seed: int = 0

    def __post_init__(self) -> None:
        for name, lowest_allowed in (("folds", 2), ("repeats", 1), ("inner_folds", 2), ("trials", 1), ("seed", 0)):
            protocol_number = getattr(self, name)
            if protocol_number is not None and protocol_number < lowest_allowed:
                raise EvenhandError(
                    f"--{name.replace('_', '-')} must be at least {lowest_allowed}, but got {protocol_number}"
                )
        if self.trials is None and self.budget is None:
            raise EvenhandError(
                "a search needs an end: say --trials, --cell-budget or both (in Python: trials=, cell_budget=)"
            )
        if self.budget is not None and self.budget <= 0:
            raise EvenhandError(f"--cell-budget must be positive, but got {self.budget}")

    def as_dict(self) -> dict[str, Any]:
        """The protocol as plain values, for a run's `run.json`."""
        return asdict(self)

    def objective_for(self, classes: int) -> str:
        """The metric that the search maximises and the leaderboard ranks by."""
        return self.objective or ("average_precision" if classes == 2 else "roc_auc")
