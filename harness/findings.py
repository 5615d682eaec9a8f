"""Values with a stable code: what is noticed in the data or the results of a task, and why a fit failed or is remarked upon."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias

Severity: TypeAlias = Literal["note", "warning", "error"]

#: Codes of columns and image files that were left out; the message of such a finding is the reason.
OMISSION_CODES = frozenset({
    "banned", "unnamed_index", "omitted_constant", "omitted_identifier", "unclear_date", "unread_column",
    "no_class_folder", "unknown_file_type", "unreadable_image",
})  # fmt: skip


@dataclass(frozen=True)
class Finding:
    """A property of the data or the results of a task that matters for the interpretation of its scores.

    Attributes
    ----------
    code : str
        Name of the kind of finding; does not change between versions.
    severity : {"note", "warning", "error"}
        With a warning, scores may be meaningless; with an error, they almost certainly are, or there will be none.
    message : str
        What was found, in one sentence; of a code in `OMISSION_CODES`, why the column or file was left out.
    column : str, default ""
        Name of the column, of the file of an image, or of the entry; empty where the finding is about none of these.
    rows : int or None, default None
        How many rows it concerns; None where it is not about some of the rows.
    advice : str, default ""
        What to do, in one sentence; empty where there is nothing to do.
    examples : tuple of int, default ()
        Positions of the first or the clearest of these rows, from 0.
    """

    code: str
    severity: Severity
    message: str
    column: str = ""
    rows: int | None = None
    advice: str = ""
    examples: tuple[int, ...] = ()

    @property
    def note(self) -> str:
        """The text of a finding of the reader: ``column: left out, reason``, ``column: message``, or the message."""
        if not self.column:
            return self.message
        if self.code in OMISSION_CODES:
            return f"{self.column}: left out, {self.message}"
        return f"{self.column}: {self.message}"

    def as_dict(self) -> dict[str, Any]:
        """Convert to plain values for JSON; advice and examples only where there are any."""
        fields = asdict(self)
        for name in ("advice", "examples"):
            if not fields[name]:
                del fields[name]
        return fields


UNKNOWN = "unknown"  #: code of reasons that were stored as texts, before reasons had codes
Parameter: TypeAlias = str | int | float


@dataclass(frozen=True)
class Reason:
    """Why a trial failed, or what is remarked about a fit.

    Attributes
    ----------
    code : str
        Name of the kind of reason; does not change between versions.
    message : str
        The reason in one line.
    parameters : tuple of (str, str or number), default ()
        What the message says of this very case, by name. Texts distinguish causes of one code, numbers do not.
    """

    code: str
    message: str
    parameters: tuple[tuple[str, Parameter], ...] = ()

    @property
    def cause(self) -> tuple[str, ...]:
        """What is equal in reasons that are counted as one: the code with its texts, or with the message without parameters."""
        if not self.parameters:
            return self.code, self.message
        return self.code, *(parameter for _, parameter in self.parameters if isinstance(parameter, str))

    def as_dict(self) -> dict[str, Any]:
        """Convert to plain values for JSON."""
        return {"code": self.code, "message": self.message, "parameters": dict(self.parameters)}

    @classmethod
    def from_stored(cls, stored: str | Mapping[str, Any]) -> Reason:
        """Convert what `as_dict` returned, or a text that was stored before there were codes.

        Raises
        ------
        TypeError
            If it is neither.
        """
        if isinstance(stored, str):
            return cls(UNKNOWN, stored)
        if not isinstance(stored, Mapping):
            raise TypeError(f"a reason is {stored!r:.40}")
        code, message, parameters = stored.get("code"), stored.get("message"), stored.get("parameters", {})
        if not isinstance(code, str) or not isinstance(message, str) or not isinstance(parameters, Mapping):
            raise TypeError(f"a reason is {stored!r:.40}")
        return cls(code, message, tuple(sorted(parameters.items())))


def count_causes(counts: Mapping[Reason, int]) -> Counter[Reason]:
    """Add up the counts of reasons with one cause, each under the first of them."""
    examples: dict[tuple[str, ...], Reason] = {}
    totals: Counter[Reason] = Counter()
    for reason, count in counts.items():
        totals[examples.setdefault(reason.cause, reason)] += count
    return totals


#: User attributes of a failed trial: the message, for Optuna's dashboard, and the reason as a value.
TRIAL_REASON, TRIAL_FAILURE = "reason", "failure"


def trial_reason(attributes: Mapping[str, Any]) -> Reason:
    """Read why a trial failed from its user attributes; trials of earlier versions have a text only."""
    return Reason.from_stored(attributes.get(TRIAL_FAILURE) or str(attributes.get(TRIAL_REASON, "")))
