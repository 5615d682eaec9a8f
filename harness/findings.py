"""What is noticed in the data or the results of a task: values with a code, a column and a message."""

from __future__ import annotations

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
