"""What is asked of insights, and what that is worth to whoever pays for contacts."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from harness.deploy.schema import Schema
from harness.errors import EvenhandError
from harness.registry.registry import closest

MOST = 1e15  #: contacts or money; beyond it sums are no longer exact


@dataclass(frozen=True)
class Campaign:
    """How many rows can be contacted, what a contact costs, and what it brings where it succeeds, in any one currency.

    `success` is the share of contacted positive rows with which the contact achieves what it is for: a customer about to
    leave stays, an interested one buys. It is 1 where nothing is known of it.
    """

    capacity: int | None = None
    budget: float | None = None
    cost: float | None = None
    value: float | None = None
    success: float = 1.0

    def __post_init__(self) -> None:
        for name, given in (("--capacity", self.capacity), ("--budget", self.budget), ("--value", self.value)):
            if given is not None and not 0 < given <= MOST:
                raise EvenhandError(f"{name} must be more than 0 and at most {MOST:g}, but got {given}")
        if self.cost is not None and not 0 <= self.cost <= MOST:
            raise EvenhandError(f"--contact-cost must be 0 or more and at most {MOST:g}, but got {self.cost}")
        if not 0 < self.success <= 1:
            raise EvenhandError(f"--success is a share above 0 and at most 1, but got {self.success}")
        if self.budget is not None and not self.cost:
            raise EvenhandError("--budget says how much may be spent: say what one contact costs, --contact-cost")
        if self.value is not None and self.cost is None:
            raise EvenhandError(
                "--value says what a success is worth: say what one contact costs, --contact-cost (0 is one)"
            )

    @property
    def limit(self) -> int | None:
        """The most contacts that capacity and budget allow; None where neither is given."""
        limits = [] if self.capacity is None else [self.capacity]
        if self.budget is not None and self.cost:
            limits.append(int(self.budget / self.cost + 1e-9))
        return min(limits, default=None)

    @property
    def gain(self) -> float | None:
        """What a contacted positive row brings on average, before its cost; None where no value is given."""
        return None if self.value is None else self.value * self.success

    @property
    def pays_from(self) -> float | None:
        """The probability from which a contact pays, if probabilities are right."""
        if self.gain is None or self.cost is None:
            return None
        return self.cost / self.gain


@dataclass(frozen=True)
class Asked:
    """One call of `evenhand insights`. `target` None: the bundle's own target, where the data have that column."""

    bundle: Path
    data: Path
    target: str | None = None
    campaign: Campaign = field(default_factory=Campaign)
    actionable: tuple[str, ...] = ()
    out: Path | None = None  #: None: a folder beside the data, `<name>-insights`
    seed: int = 0

    @property
    def folder(self) -> Path:
        """Where the files go."""
        return self.out or self.data.with_name(f"{self.data.stem}-insights")

    def check_actionable(self, schema: Schema) -> None:
        """Raise `EvenhandError` where an actionable column is not one that the model reads."""
        names = [one.name for one in schema.features]
        for name in self.actionable:
            if schema.modality != "tabular":
                raise EvenhandError(
                    f"--actionable {name}: a bundle of {schema.modality}s has no columns that could be changed"
                )
            if name not in names:
                raise EvenhandError(f"--actionable {name}: the model reads no such column: {closest(name, names)}")
