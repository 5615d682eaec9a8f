"""Types of raw columns: number, date or category. Labels are not used, so the inference may read the whole table."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from harness.data import repairs
from harness.data.column_types import DeclaredType
from harness.data.dates import are_compact_dates, learn_date_format, to_days
from harness.data.durations import are_durations
from harness.data.numbers import LearnedNumbers, learn_number_format
from harness.data.omissions import is_identifier_name
from harness.data.reader import (
    column_to_text,
    count_texts,
    dtype_to_numbers,
    find_category_writing,
    parse_numbers,
    read_values,
)
from harness.data.sentinels import find_date_sentinels, find_number_sentinels
from harness.data.spellings import map_spellings_to_names, normalize_spelling
from harness.data.written_columns import may_separate_thousands
from harness.errors import DataError
from harness.findings import Finding
from harness.readings import MISSING_WORDS, ColumnKind, ColumnReading, Repair

if TYPE_CHECKING:
    import pandas as pd

DECIMAL_COMMA = r"[+-]?[0-9]+(?:,[0-9]+)?"
THOUSANDS_COMMA = r"[+-]?[0-9]+(?:,[0-9]{3})?"
WHOLE_NUMBER = r"[+-]?\d+"
MAX_EXACT_INTEGER = 2**53  #: larger whole numbers are rounded in double precision
MIN_CODE_DIGITS = 3  #: whole numbers with a leading zero are codes from this number of digits on

CODE_NAME = re.compile(
    r"(?:.*[^a-z])?(?:zip|zipcode|zip_code|postal|postcode|postal_code|plz|code)(?:[^a-z].*)?", re.IGNORECASE
)


@dataclass(frozen=True)
class Column:
    """A column with its type.

    Attributes
    ----------
    values : Series
        float64 (a date: days since 1970) or a category of strings, missing values NaN.
    reading : ColumnReading
        How its values were read, and how values of new rows are to be read.
    findings : tuple of Finding, default ()
        How the values were read, where that was not obvious.
    """

    values: pd.Series
    reading: ColumnReading
    findings: tuple[Finding, ...] = ()

    @property
    def kind(self) -> ColumnKind:
        """Type of the column."""
        return self.reading.kind


def infer_column(column: pd.Series, declared: DeclaredType | None = None) -> Column:
    """Infer the type of a raw column and convert it.

    Parameters
    ----------
    column : Series
        The raw column.
    declared : DeclaredType or None, default None
        Declared type; a column with one is not repaired beyond what the type says.

    Returns
    -------
    Column
        The converted column.

    Raises
    ------
    DataError
        If numbers are infinite, or if a column does not hold what is declared.
    """
    inferred = _convert_declared_column(column, declared) if declared else _infer_untyped_column(column)
    if inferred.kind == "number" and (infinite := int(np.isinf(inferred.values).sum())):
        raise DataError(f"column {column.name!r} has {infinite} infinite values: replace them, or leave them empty")
    return inferred


def _infer_untyped_column(column: pd.Series) -> Column:
    number = _number_from_dtype(column, repair=True)
    if number is not None:
        return number
    text = column_to_text(column)
    if not _has_category_dtype(column):
        number = _number_from_text(column, text, is_declared=False)
    return number or _category_from_text(column, text, repair=True)


def _convert_declared_column(column: pd.Series, declared: DeclaredType) -> Column:
    if declared.kind == "date":
        return _convert_declared_date(column, declared.date_format)
    if declared.kind == "category":
        return _category_from_text(column, column_to_text(column), repair=False)
    number = _number_from_dtype(column, repair=False)
    text = column_to_text(column)
    if number is None and not _has_category_dtype(column):
        number = _number_from_text(column, text, is_declared=True)
    if number is None and declared.kind == "number":
        raise DataError(f"column {column.name!r} is declared a number, but holds {_first_non_number(text)!r}")
    return number or _category_from_text(column, text, repair=False)


def _has_category_dtype(column: pd.Series) -> bool:
    """Whether the dtype says that the column is a category."""
    import pandas as pd

    return pd.api.types.is_bool_dtype(column) or isinstance(column.dtype, pd.CategoricalDtype)


def _category_from_text(column: pd.Series, text: pd.Series, *, repair: bool) -> Column:
    import pandas as pd

    name, written = str(text.name), find_category_writing(column)
    counts = count_texts(text)
    spellings: dict[str, str] = {}
    made: list[Repair] = []
    findings: list[Finding] = []
    merges = repair and not written
    if merges:
        spellings = map_spellings_to_names(counts)
        names = set(counts) - spellings.keys()
        merges = len(set(map(normalize_spelling, names))) == len(names)
        findings += repairs.mixed_column_findings(counts, name)
    if spellings:
        text = text.replace(spellings)
        made.append(repairs.spellings_repair(counts, spellings))
        findings.append(repairs.repair_to_finding(made[0], name))
    levels = pd.Index(sorted(text.dropna().unique()), dtype="str")
    category = pd.Series(pd.Categorical(text, categories=levels), index=text.index, name=text.name)
    reading = ColumnReading(
        "category",
        written,
        literals=tuple(filter(set(levels).__contains__, MISSING_WORDS)),
        spellings=tuple(sorted(spellings.items())),
        merges_spellings=merges,
        repairs=tuple(made),
    )
    return Column(category, reading, tuple(findings))


def _number_from_dtype(column: pd.Series, *, repair: bool) -> Column | None:
    """A column of a numeric or temporal dtype; None for any other, and for whole numbers that must not be rounded."""
    import pandas as pd

    types = pd.api.types
    if types.is_complex_dtype(column):
        raise DataError(f"column {column.name!r} holds complex numbers: split them into two columns")
    numbers = dtype_to_numbers(column)
    name = str(column.name)
    if numbers is None:
        return None
    if types.is_datetime64_any_dtype(column):
        finding = Finding("read_as_date", "note", "dates as days since 1970", name)
        return _replace_sentinels(Column(numbers, ColumnReading("date"), (finding,)), repair=repair)
    if types.is_timedelta64_dtype(column):
        return Column(numbers, ColumnReading("number", "duration"), (repairs.duration_finding(name),))
    if repair and (_is_rounded_integer_column(column, numbers) or _holds_compact_dates(numbers)):
        return None
    findings = repairs.coded_number_findings(numbers, name) if repair and CODE_NAME.fullmatch(name) else []
    return _replace_sentinels(Column(numbers, ColumnReading("number"), tuple(findings)), repair=repair)


def _is_rounded_integer_column(column: pd.Series, numbers: pd.Series) -> bool:
    import pandas as pd

    return pd.api.types.is_integer_dtype(column) and _loses_integer_digits(numbers, column.nunique())


def _holds_compact_dates(numbers: pd.Series) -> bool:
    """Whether whole numbers are dates such as 20210131, and not called an identifier."""
    return are_compact_dates(numbers) and not is_identifier_name(str(numbers.name))


def _loses_integer_digits(numbers: pd.Series, distinct: int) -> bool:
    """Whether different whole numbers beyond 2^53 become equal in double precision."""
    return bool(numbers.abs().max() >= MAX_EXACT_INTEGER) and numbers.nunique() < distinct


def _number_from_text(column: pd.Series, text: pd.Series, *, is_declared: bool) -> Column | None:
    """A column of strings whose known values are numbers or dates, with few others; None for any other."""
    known = text.dropna()
    if known.empty:
        return None
    if is_declared:
        return _plain_number_from_text(text, known) or _formatted_number_from_text(
            column, count_texts(known), is_declared=True
        )
    inferred = None if _are_digit_codes(known) else _infer_from_text(column, text, known)
    return inferred and _replace_sentinels(inferred, repair=True)


def _infer_from_text(column: pd.Series, text: pd.Series, known: pd.Series) -> Column | None:
    """A column of plain numbers, dates or numbers in another format."""
    inferred = None if may_separate_thousands(known) else _plain_number_from_text(text, known)
    if inferred is None or _holds_compact_dates(inferred.values):
        counts = count_texts(known)
        inferred = _date_from_text(column, text, counts) or inferred or _duration_from_text(column, counts)
        inferred = inferred or _formatted_number_from_text(column, counts, is_declared=False)
    return inferred


def _formatted_number_from_text(column: pd.Series, counts: Mapping[str, int], *, is_declared: bool) -> Column | None:
    """A column of numbers that are more than plain digits; None for any other."""
    learned = learn_number_format(counts, declared=is_declared)
    return None if learned is None else _make_formatted_number_column(column, learned, counts)


def _are_digit_codes(known: pd.Series) -> bool:
    """Whether texts of digits are codes: too long for a number, or with leading zeros as no number is written."""
    if not known.str.fullmatch(WHOLE_NUMBER).all():
        return False
    lengths = known.str.len()
    has_zero = known.str.match(r"0\d")
    is_padded = bool(has_zero.any()) and lengths.nunique() == 1 and lengths.iloc[0] >= MIN_CODE_DIGITS
    if is_padded or (has_zero.mean() > 0.5 and lengths.max() >= MIN_CODE_DIGITS):
        return True
    return bool(lengths.max() > 15) and _loses_integer_digits(parse_numbers(known), known.nunique())


def _plain_number_from_text(text: pd.Series, known: pd.Series) -> Column | None:
    """A column of plain numbers, with a decimal point or a decimal comma; None for any other."""
    numbers = parse_numbers(text)
    if numbers.notna().sum() == len(known):
        finding = _describe_text_reading("number_as_text", "numbers written as text", text)
        return Column(numbers, ColumnReading("number"), (finding,))
    # Where every comma is followed by three digits it may separate thousands.
    if known.str.fullmatch(DECIMAL_COMMA).all() and not known.str.fullmatch(THOUSANDS_COMMA).all():
        numbers = parse_numbers(text, "decimal comma")
        finding = _describe_text_reading("decimal_comma", "numbers with a decimal comma", text)
        return Column(numbers, ColumnReading("number", "decimal comma"), (finding,))
    return None


def _date_from_text(column: pd.Series, text: pd.Series, counts: Mapping[str, int]) -> Column | None:
    """A column of dates; None for any other."""
    learned = learn_date_format(counts)
    if learned is None:
        return None
    name = str(text.name)
    written = "" if learned.order == "year first" else learned.order
    findings = repairs.date_findings(learned, name)
    made = repairs.non_number_repairs(learned.strangers)
    if learned.impossible:
        made.append(repairs.missing_value_repair("impossible_date", learned.impossible))
    findings += [repairs.repair_to_finding(repair, name) for repair in made]
    skips = any(repair.code != "placeholder" for repair in made)
    reading = ColumnReading("date", written, skips_unreadable=skips, first_year=learned.first_year, repairs=tuple(made))
    return Column(_read_as_new_rows(column, reading), reading, tuple(findings))


def _duration_from_text(column: pd.Series, counts: Mapping[str, int]) -> Column | None:
    """A column of times of day or durations; None for any other."""
    strangers = are_durations(counts)
    if strangers is None:
        return None
    made = repairs.non_number_repairs(strangers)
    findings = [repairs.duration_finding(str(column.name))]
    findings += [repairs.repair_to_finding(repair, str(column.name)) for repair in made]
    skips = any(repair.code != "placeholder" for repair in made)
    reading = ColumnReading("number", "duration", skips_unreadable=skips, repairs=tuple(made))
    return Column(_read_as_new_rows(column, reading), reading, tuple(findings))


def _convert_declared_date(column: pd.Series, date_format: str) -> Column:
    """A column that is declared as dates, in a format or in any."""
    import pandas as pd

    name = str(column.name)
    if pd.api.types.is_datetime64_any_dtype(column):
        return Column(to_days(column), ColumnReading("date"))
    text = column_to_text(column)
    if not date_format:
        inferred = _date_from_text(column, text, count_texts(text.dropna()))
        if inferred is None:
            raise DataError(
                f"column {name!r} is declared a date, but holds {_first_non_number(text)!r}: name its format too"
            )
        return inferred
    reading = ColumnReading("date", date_format=date_format, skips_unreadable=True)
    days = _read_as_new_rows(column, reading)
    unread = count_texts(text[text.notna() & days.isna()])
    if days.notna().sum() <= sum(unread.values()):
        first = next(iter(unread), "no date")
        raise DataError(f"column {name!r} is declared a date like {date_format}, but holds {first!r}")
    made = repairs.non_number_repairs(unread)
    findings = tuple(repairs.repair_to_finding(repair, name) for repair in made)
    return Column(days, replace(reading, repairs=tuple(made)), findings)


def _make_formatted_number_column(column: pd.Series, learned: LearnedNumbers, counts: Mapping[str, int]) -> Column:
    """A column of numbers that are more than plain digits, or with few other texts."""
    name = str(column.name)
    made = [*repairs.number_format_repairs(learned, counts), *repairs.non_number_repairs(learned.strangers)]
    findings = [repairs.repair_to_finding(repair, name) for repair in made]
    if learned.ambiguous:
        findings.append(repairs.ambiguous_number_finding(learned, name))
    skips = any(repair.code in ("unreadable_value", "censored_number") for repair in made)
    written = "decimal comma" if learned.format.decimal == "," else ""
    reading = ColumnReading("number", written, number=learned.format, skips_unreadable=skips, repairs=tuple(made))
    return Column(_parse_formatted_numbers(column, learned, reading), reading, tuple(findings))


def _parse_formatted_numbers(column: pd.Series, learned: LearnedNumbers, reading: ColumnReading) -> pd.Series:
    """The numbers of a column; those of texts were read while their format was learned."""
    import pandas as pd

    if not isinstance(column.dtype, pd.StringDtype):
        return _read_as_new_rows(column, reading)
    return column_to_text(column).map(learned.numbers).astype("float64")


def _replace_sentinels(column: Column, *, repair: bool) -> Column:
    """The column without numbers or dates far outside the others that stand for missing values."""
    if not repair:
        return column
    if column.kind == "date":
        counts = find_date_sentinels(column.values)
        sentinels_repair = repairs.date_sentinel_repair(counts)
    else:
        counts = find_number_sentinels(column.values)
        sentinels_repair = repairs.sentinel_repair(counts)
    if not counts:
        return column
    reading = replace(
        column.reading, sentinels=tuple(sorted(counts)), repairs=(*column.reading.repairs, sentinels_repair)
    )
    values = column.values.mask(column.values.isin(list(counts)))
    finding = repairs.repair_to_finding(sentinels_repair, str(values.name))
    return Column(values, reading, (*column.findings, finding))


def _read_as_new_rows(column: pd.Series, reading: ColumnReading) -> pd.Series:
    """Read a column as new rows are read."""
    values = read_values(column, reading)
    values.index, values.name = column.index, column.name
    return values


def _describe_text_reading(code: str, message: str, text: pd.Series) -> Finding:
    """Describe how text was read, and how many of its values are missing."""
    n_missing = int(text.isna().sum())
    if not n_missing:
        return Finding(code, "note", message, str(text.name))
    return Finding(code, "note", f"{message}, {n_missing} blank ones missing", str(text.name), n_missing)


def _first_non_number(text: pd.Series) -> str:
    """First known value that is not a number."""
    import pandas as pd

    known = text.dropna()
    return str(known[pd.to_numeric(known, errors="coerce").isna()].iloc[0])
