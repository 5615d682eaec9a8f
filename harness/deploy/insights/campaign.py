"""What a user asks of insights: the bundle, the rows, and what contacts cost and bring."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from harness.deploy.schema import Schema
from harness.errors import EvenhandError
from harness.registry.registry import suggestion

MAX_AMOUNT = 1e15  #: contacts or money; beyond it sums are no longer exact


@dataclass(frozen=True)
class Campaign:
    """How many rows can be contacted, what a contact costs, and what a successful contact brings.

    Parameters
    ----------
    capacity : int, optional
        Largest number of contacts.
    budget : float, optional
        Largest amount spent on contacts, in any one currency; requires `cost`.
    cost : float, optional
        Cost of one contact.
    value : float, optional
        Worth of one success; requires `cost`.
    success : float, default 1.0
        Share of contacted positive rows for which the contact achieves its purpose: a customer about to leave stays, an
        interested customer buys.

    Raises
    ------
    EvenhandError
        If a number is out of range or requires another one that is missing.
    """

    capacity: int | None = None
    budget: float | None = None
    cost: float | None = None
    value: float | None = None
    success: float = 1.0

    def __post_init__(self) -> None:
        for option, amount in (("--capacity", self.capacity), ("--budget", self.budget), ("--value", self.value)):
            if amount is not None and not 0 < amount <= MAX_AMOUNT:
                raise EvenhandError(f"{option} must be more than 0 and at most {MAX_AMOUNT:g}, but got {amount}")
        if self.cost is not None and not 0 <= self.cost <= MAX_AMOUNT:
            raise EvenhandError(f"--contact-cost must be 0 or more and at most {MAX_AMOUNT:g}, but got {self.cost}")
        if not 0 < self.success <= 1:
            raise EvenhandError(f"--success is a share above 0 and at most 1, but got {self.success}")
        if self.budget is not None and not self.cost:
            raise EvenhandError("--budget says how much may be spent: say what one contact costs, --contact-cost")
        if self.value is not None and self.cost is None:
            raise EvenhandError(
                "--value says what a success is worth: say what one contact costs, --contact-cost (0 is one)"
            )

    @property
    def max_contacts(self) -> int | None:
        """Largest number of contacts that capacity and budget allow; None if neither is set."""
        limits = []
        if self.capacity is not None:
            limits.append(self.capacity)
        if self.budget is not None and self.cost:
            limits.append(int(self.budget / self.cost + 1e-9))
        return min(limits, default=None)

    @property
    def gain(self) -> float | None:
        """Average worth of contacting a positive row, before the cost of the contact; None without `value`."""
        if self.value is None:
            return None
        return self.value * self.success

    @property
    def break_even(self) -> float | None:
        """Probability from which a contact pays, if the probabilities are calibrated."""
        if self.gain is None or self.cost is None:
            return None
        return self.cost / self.gain


@dataclass(frozen=True)
class InsightsRequest:
    """One call of `evenhand insights`.

    Parameters
    ----------
    bundle : Path
        Folder of the bundle.
    source : Path
        CSV or Parquet file with the rows; a folder for a bundle of images.
    target : str, optional
        Column of the outcomes. By default the bundle's own target, if the rows have that column.
    campaign : Campaign
        Limits, costs and worth of contacts.
    actionable : tuple of str
        Columns that can be changed for a customer.
    out : Path, optional
        Folder of the output. By default `<name>-insights` beside the rows.
    seed : int, default 0
        Seed of all sampling.
    """

    bundle: Path
    source: Path
    target: str | None = None
    campaign: Campaign = field(default_factory=Campaign)
    actionable: tuple[str, ...] = ()
    out: Path | None = None
    seed: int = 0

    @property
    def folder(self) -> Path:
        """Folder into which the files are written."""
        return self.out or self.source.with_name(f"{self.source.stem}-insights")

    def check_actionable(self, schema: Schema) -> None:
        """Raise `EvenhandError` if an actionable column is not read by the model."""
        names = [feature.name for feature in schema.features]
        for name in self.actionable:
            if schema.modality != "tabular":
                raise EvenhandError(
                    f"--actionable {name}: a bundle of {schema.modality}s has no columns that could be changed"
                )
            if name not in names:
                raise EvenhandError(f"--actionable {name}: the model reads no such column: {suggestion(name, names)}")
