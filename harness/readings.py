"""How the raw values of a column are read: learned once from the training rows, stored as JSON, applied to all others."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property, lru_cache
from typing import Any, Literal, TypeAlias

ColumnKind: TypeAlias = Literal["number", "date", "category", "text"]

#: The ways in which the values of a column of each kind may be written.
WRITTEN: dict[str, tuple[str, ...]] = {
    "number": ("", "decimal comma", "duration"),
    "date": ("", "day first", "month first"),
    "category": ("", "true or false", "whole numbers", "numbers"),
    "text": ("",),
}
BLANKS = ("", "?")  #: texts that mean a missing value in any source
TEXT_BLANKS = ("",)  #: texts that mean a missing text: a question mark alone is one
#: Further words that mean a missing value in files of text; a data frame may hold them as values.
MISSING_WORDS = (
    "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA", "NULL", "NaN",
    "None", "n/a", "nan", "null",
)  # fmt: skip
#: Words that mean a missing value among numbers and dates, in lower case; as names of categories they are values.
PLACEHOLDERS = frozenset({
    "-", "--", "---", "–", "—", ".", "..", "...", "*", "**", "#n/a", "#n/a n/a", "#na", "<na>", "#div/0!", "#ref!",
    "#value!", "#num!", "#name?", "#null!", "n/a", "n.a.", "n.a", "na", "nan", "-nan", "none", "null", "nil", "nd", "n.d.", "n.d",
    "n/d", "no data", "not available", "not applicable", "not known", "not reported", "not determined", "not detected", "no value",
    "missing", "unknown", "unk", "undefined", "undetermined", "unspecified", "tbd", "tba", "k.a.", "k. a.",
    "k.a", "s.d.", "s/d", "keine angabe", "unbekannt", "inconnu", "desconocido", "(blank)", "(null)", "(none)", "(missing)",
    "\\n", "not provided", "no response", "don't know",
})  # fmt: skip
MAX_EXAMPLES = 2  #: of each repair
MAX_DATE_FORMAT = 60  #: characters of a declared format of dates
FIRST_YEAR = 1969  #: of the hundred years in which a year of two digits lies, as `strptime` has it


@dataclass(frozen=True)
class NumberFormat:
    """How numbers are written that are more than plain digits.

    Attributes
    ----------
    decimal : {".", ","}, default "."
        Separates the fraction.
    thousands : str, default ""
        Characters that may separate groups of digits.
    units : tuple of str, default ()
        Units and currencies that may stand before or after the digits, in lower case; they do not change the number.
    multiplies : bool, default False
        Whether k, M, bn and the like after the digits multiply them.
    """

    decimal: str = "."
    thousands: str = ""
    units: tuple[str, ...] = ()
    multiplies: bool = False


@dataclass(frozen=True)
class Repair:
    """One kind of repair of a column.

    Attributes
    ----------
    code : str
        The code of its finding.
    count : int
        How many values were repaired in the training rows.
    examples : tuple of (str, str)
        Up to two values as they were written and as they are read; empty for a missing value.
    """

    code: str
    count: int
    examples: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class ColumnReading:
    """How the raw values of a column are to be understood.

    Attributes
    ----------
    kind : {"number", "date", "category", "text"}
        Type of the values.
    written : str, default ""
        How they are written, one of `WRITTEN`.
    literals : tuple of str, default ()
        Words of `MISSING_WORDS` that are values of this column.
    number : NumberFormat or None, default None
        How numbers are written; None for plain ones.
    date_format : str, default ""
        The declared format of dates, with the codes of ``strptime``.
    skips_unreadable : bool, default False
        Whether texts that are no number or date are missing values; otherwise they are refused.
    first_year : int, default 1969
        First of the hundred years in which a year of two digits lies.
    sentinels : tuple of float, default ()
        Numbers, or dates as days since 1970, that stand for a missing value.
    spellings : tuple of (str, str), default ()
        Names of categories as they were written, and as they are read.
    merges_spellings : bool, default False
        Whether new names are compared without regard to case, blanks and Unicode form.
    repairs : tuple of Repair, default ()
        What was repaired in the training rows.
    """

    kind: ColumnKind
    written: str = ""
    literals: tuple[str, ...] = ()
    number: NumberFormat | None = None
    date_format: str = ""
    skips_unreadable: bool = False
    first_year: int = FIRST_YEAR
    sentinels: tuple[float, ...] = ()
    spellings: tuple[tuple[str, str], ...] = ()
    merges_spellings: bool = False
    repairs: tuple[Repair, ...] = ()

    @cached_property
    def missing(self) -> frozenset[str]:
        """Texts that mean a missing value."""
        if self.kind == "text":  # "None" alone is a text
            return frozenset(TEXT_BLANKS)
        return texts_of_missing_values(self.literals)

    @cached_property
    def names_by_spelling(self) -> dict[str, str]:
        """Spellings of names of categories that differ from the name → the name."""
        return dict(self.spellings)

    def as_dict(self) -> dict[str, Any]:
        """Convert to plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> ColumnReading:
        """Read what `as_dict` returned; raises `KeyError`, `TypeError` or `ValueError` for anything else."""
        parsed = dict(fields)
        parsed["literals"] = _require_strings(fields["literals"])
        if fields["number"] is not None:
            number = dict(fields["number"])
            parsed["number"] = NumberFormat(**(number | {"units": _require_strings(number["units"])}))
        parsed["sentinels"] = tuple(map(_require_finite_number, _require_list(fields["sentinels"])))
        parsed["spellings"] = tuple(map(_require_string_pair, _require_list(fields["spellings"])))
        repairs = []
        for repair in _require_list(fields["repairs"]):
            examples = tuple(map(_require_string_pair, _require_list(repair["examples"])))
            repairs.append(Repair(**(repair | {"examples": examples})))
        parsed["repairs"] = tuple(repairs)
        reading = cls(**parsed)
        _check_column_reading(reading)
        return reading


@lru_cache(maxsize=256)
def texts_of_missing_values(literals: tuple[str, ...] = ()) -> frozenset[str]:
    """Return the texts that mean a missing value in a file, without those that are values."""
    return frozenset({*BLANKS, *MISSING_WORDS} - set(literals))


def _check_column_reading(reading: ColumnReading) -> None:
    """Raise `ValueError` for a reading that `from_dict` must not accept."""
    flags = [reading.skips_unreadable, reading.merges_spellings]
    is_sound = reading.kind in WRITTEN and reading.written in WRITTEN[reading.kind]
    if reading.number is not None:
        flags.append(reading.number.multiplies)
        is_sound = is_sound and _is_number_format(reading.number)
    for repair in reading.repairs:
        is_sound = is_sound and isinstance(repair.code, str) and type(repair.count) is int
    if not is_sound or set(map(type, flags)) != {bool}:
        raise ValueError("the reading of a column cannot be so")
    if not _is_date_format(reading):
        raise ValueError("the format of dates cannot be so")


def _is_date_format(reading: ColumnReading) -> bool:
    return len(reading.date_format) <= MAX_DATE_FORMAT and reading.first_year in range(1000, 9000)


def _is_number_format(number: NumberFormat) -> bool:
    has_characters = number.decimal in (".", ",") and isinstance(number.thousands, str)
    return has_characters and number.decimal not in number.thousands


def _require_list(sequence: Any) -> list[Any]:
    if not isinstance(sequence, list):
        raise TypeError("no list where one is due")
    return sequence


def _require_strings(sequence: Any) -> tuple[str, ...]:
    if not all(isinstance(text, str) for text in _require_list(sequence)):
        raise TypeError("no text where one is due")
    return tuple(sequence)


def _require_string_pair(sequence: Any) -> tuple[str, str]:
    pair = _require_strings(sequence)
    if len(pair) != 2:
        raise ValueError("no pair of texts where one is due")
    return pair[0], pair[1]


def _require_finite_number(number: Any) -> float:
    if type(number) not in (int, float) or not math.isfinite(number):
        raise TypeError("no number where one is due")
    return float(number)
