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
    inferred_column = _convert_declared_column(column, declared) if declared else _infer_untyped_column(column)
    if inferred_column.kind == "number" and (infinite_values := int(np.isinf(inferred_column.values).sum())):
        raise DataError(
            f"column {column.name!r} has {infinite_values} infinite values: replace them, or leave them empty"
        )
    return inferred_column


def _infer_untyped_column(column: pd.Series) -> Column:
    number_column = _number_from_dtype(column, should_repair=True)
    if number_column is not None:
        return number_column
    text = column_to_text(column)
    if not _has_category_dtype(column):
        number_column = _number_from_text(column, text, is_declared=False)
    return number_column or _category_from_text(column, text, should_repair=True)


def _convert_declared_column(column: pd.Series, declared_type: DeclaredType) -> Column:
    if declared_type.kind == "date":
        return _convert_declared_date(column, declared_type.date_format)
    if declared_type.kind == "category":
        return _category_from_text(column, column_to_text(column), should_repair=False)
    number_column = _number_from_dtype(column, should_repair=False)
    text = column_to_text(column)
    if number_column is None and not _has_category_dtype(column):
        number_column = _number_from_text(column, text, is_declared=True)
    if number_column is None and declared_type.kind == "number":
        raise DataError(f"column {column.name!r} is declared a number, but holds {_first_non_number(text)!r}")
    return number_column or _category_from_text(column, text, should_repair=False)


def _has_category_dtype(column: pd.Series) -> bool:
    """Whether the dtype says that the column is a category."""
    import pandas as pd

    return pd.api.types.is_bool_dtype(column) or isinstance(column.dtype, pd.CategoricalDtype)


def _category_from_text(column: pd.Series, text: pd.Series, *, should_repair: bool) -> Column:
    import pandas as pd

    name, written_form = str(text.name), find_category_writing(column)
    counts = count_texts(text)
    spelling_names: dict[str, str] = {}
    applied_repairs: list[Repair] = []
    findings: list[Finding] = []
    merges_spellings = should_repair and not written_form
    if merges_spellings:
        spelling_names = map_spellings_to_names(counts)
        names = set(counts) - spelling_names.keys()
        merges_spellings = len(set(map(normalize_spelling, names))) == len(names)
        findings += repairs.mixed_column_findings(counts, name)
    if spelling_names:
        text = text.replace(spelling_names)
        applied_repairs.append(repairs.spellings_repair(counts, spelling_names))
        findings.append(repairs.repair_to_finding(applied_repairs[0], name))
    text_codes, distinct_texts = pd.factorize(text)  # missing: -1, the last one below
    level_order = np.argsort(distinct_texts.to_numpy(dtype=object))
    levels = pd.Index(distinct_texts.to_numpy(dtype=object)[level_order], dtype="str")
    level_codes = np.append(np.argsort(level_order), -1)[text_codes]
    category = pd.Series(pd.Categorical.from_codes(level_codes, levels), index=text.index, name=text.name)
    column_reading = ColumnReading(
        "category",
        written_form,
        literals=tuple(filter(set(levels).__contains__, MISSING_WORDS)),
        spellings=tuple(sorted(spelling_names.items())),
        merges_spellings=merges_spellings,
        repairs=tuple(applied_repairs),
    )
    return Column(category, column_reading, tuple(findings))


def _number_from_dtype(column: pd.Series, *, should_repair: bool) -> Column | None:
    """A column of a numeric or temporal dtype; None for any other, and for whole numbers that must not be rounded."""
    import pandas as pd

    pandas_types = pd.api.types
    if pandas_types.is_complex_dtype(column):
        raise DataError(f"column {column.name!r} holds complex numbers: split them into two columns")
    column_numbers = dtype_to_numbers(column)
    name = str(column.name)
    if column_numbers is None:
        return None
    if pandas_types.is_datetime64_any_dtype(column):
        finding = Finding("read_as_date", "note", "dates as days since 1970", name)
        return _replace_sentinels(
            Column(column_numbers, ColumnReading("date"), (finding,)), should_repair=should_repair
        )
    if pandas_types.is_timedelta64_dtype(column):
        return Column(column_numbers, ColumnReading("number", "duration"), (repairs.duration_finding(name),))
    if should_repair and (_is_rounded_integer_column(column, column_numbers) or _holds_compact_dates(column_numbers)):
        return None
    findings = (
        repairs.coded_number_findings(column_numbers, name) if should_repair and CODE_NAME.fullmatch(name) else []
    )
    return _replace_sentinels(
        Column(column_numbers, ColumnReading("number"), tuple(findings)), should_repair=should_repair
    )


def _is_rounded_integer_column(column: pd.Series, column_numbers: pd.Series) -> bool:
    import pandas as pd

    return pd.api.types.is_integer_dtype(column) and _loses_integer_digits(column_numbers, column.nunique())


def _holds_compact_dates(column_numbers: pd.Series) -> bool:
    """Whether whole numbers are dates such as 20210131, and not called an identifier."""
    return are_compact_dates(column_numbers) and not is_identifier_name(str(column_numbers.name))


def _loses_integer_digits(column_numbers: pd.Series, distinct_numbers: int) -> bool:
    """Whether different whole numbers beyond 2^53 become equal in double precision."""
    return bool(column_numbers.abs().max() >= MAX_EXACT_INTEGER) and column_numbers.nunique() < distinct_numbers


def _number_from_text(column: pd.Series, text: pd.Series, *, is_declared: bool) -> Column | None:
    """A column of strings whose known values are numbers or dates, with few others; None for any other."""
    known_texts = text.dropna()
    if known_texts.empty:
        return None
    if is_declared:
        return _plain_number_from_text(text, known_texts) or _formatted_number_from_text(
            column, count_texts(known_texts), is_declared=True
        )
    inferred_column = None if _are_digit_codes(known_texts) else _infer_from_text(column, text, known_texts)
    return inferred_column and _replace_sentinels(inferred_column, should_repair=True)


def _infer_from_text(column: pd.Series, text: pd.Series, known_texts: pd.Series) -> Column | None:
    """A column of plain numbers, dates or numbers in another format."""
    inferred_column = None if may_separate_thousands(known_texts) else _plain_number_from_text(text, known_texts)
    if inferred_column is None or _holds_compact_dates(inferred_column.values):
        counts = count_texts(known_texts)
        inferred_column = (
            _date_from_text(column, text, counts) or inferred_column or _duration_from_text(column, counts)
        )
        inferred_column = inferred_column or _formatted_number_from_text(column, counts, is_declared=False)
    return inferred_column


def _formatted_number_from_text(column: pd.Series, counts: Mapping[str, int], *, is_declared: bool) -> Column | None:
    """A column of numbers that are more than plain digits; None for any other."""
    learned_format = learn_number_format(counts, declared=is_declared)
    return None if learned_format is None else _make_formatted_number_column(column, learned_format, counts)


def _are_digit_codes(known_texts: pd.Series) -> bool:
    """Whether texts of digits are codes: too long for a number, or with leading zeros as no number is written."""
    if not known_texts.str.fullmatch(WHOLE_NUMBER).all():
        return False
    text_lengths = known_texts.str.len()
    has_zero = known_texts.str.match(r"0\d")
    is_padded = bool(has_zero.any()) and text_lengths.nunique() == 1 and text_lengths.iloc[0] >= MIN_CODE_DIGITS
    if is_padded or (has_zero.mean() > 0.5 and text_lengths.max() >= MIN_CODE_DIGITS):
        return True
    return bool(text_lengths.max() > 15) and _loses_integer_digits(parse_numbers(known_texts), known_texts.nunique())


def _plain_number_from_text(text: pd.Series, known_texts: pd.Series) -> Column | None:
    """A column of plain numbers, with a decimal point or a decimal comma; None for any other."""
    column_numbers = parse_numbers(text)
    if column_numbers.notna().sum() == len(known_texts):
        finding = _describe_text_reading("number_as_text", "numbers written as text", text)
        return Column(column_numbers, ColumnReading("number"), (finding,))
    # Where every comma is followed by three digits it may separate thousands.
    if known_texts.str.fullmatch(DECIMAL_COMMA).all() and not known_texts.str.fullmatch(THOUSANDS_COMMA).all():
        column_numbers = parse_numbers(text, "decimal comma")
        finding = _describe_text_reading("decimal_comma", "numbers with a decimal comma", text)
        return Column(column_numbers, ColumnReading("number", "decimal comma"), (finding,))
    return None


def _date_from_text(column: pd.Series, text: pd.Series, counts: Mapping[str, int]) -> Column | None:
    """A column of dates; None for any other."""
    date_format = learn_date_format(counts)
    if date_format is None:
        return None
    name = str(text.name)
    order_text = "" if date_format.order == "year first" else date_format.order
    findings = repairs.date_findings(date_format, name)
    made_repairs = repairs.non_number_repairs(date_format.strangers)
    if date_format.impossible:
        made_repairs.append(repairs.missing_value_repair("impossible_date", date_format.impossible))
    findings += [repairs.repair_to_finding(applied_repair, name) for applied_repair in made_repairs]
    is_lenient = any(applied_repair.code != "placeholder" for applied_repair in made_repairs)
    column_reading = ColumnReading(
        "date", order_text, skips_unreadable=is_lenient, first_year=date_format.first_year, repairs=tuple(made_repairs)
    )
    return Column(_read_as_new_rows(column, column_reading), column_reading, tuple(findings))


def _duration_from_text(column: pd.Series, counts: Mapping[str, int]) -> Column | None:
    """A column of times of day or durations; None for any other."""
    unreadable_counts = are_durations(counts)
    if unreadable_counts is None:
        return None
    applied_repairs = repairs.non_number_repairs(unreadable_counts)
    findings = [repairs.duration_finding(str(column.name))]
    findings += [repairs.repair_to_finding(applied_repair, str(column.name)) for applied_repair in applied_repairs]
    skips_unreadable = any(applied_repair.code != "placeholder" for applied_repair in applied_repairs)
    column_reading = ColumnReading(
        "number", "duration", skips_unreadable=skips_unreadable, repairs=tuple(applied_repairs)
    )
    return Column(_read_as_new_rows(column, column_reading), column_reading, tuple(findings))


def _convert_declared_date(column: pd.Series, date_format: str) -> Column:
    """A column that is declared as dates, in a format or in any."""
    import pandas as pd

    name = str(column.name)
    if pd.api.types.is_datetime64_any_dtype(column):
        return Column(to_days(column), ColumnReading("date"))
    text = column_to_text(column)
    if not date_format:
        inferred_column = _date_from_text(column, text, count_texts(text.dropna()))
        if inferred_column is None:
            raise DataError(
                f"column {name!r} is declared a date, but holds {_first_non_number(text)!r}: name its format too"
            )
        return inferred_column
    column_reading = ColumnReading("date", date_format=date_format, skips_unreadable=True)
    day_numbers = _read_as_new_rows(column, column_reading)
    unread_counts = count_texts(text[text.notna() & day_numbers.isna()])
    if day_numbers.notna().sum() <= sum(unread_counts.values()):
        first_unread_text = next(iter(unread_counts), "no date")
        raise DataError(f"column {name!r} is declared a date like {date_format}, but holds {first_unread_text!r}")
    applied_repairs = repairs.non_number_repairs(unread_counts)
    findings = tuple(repairs.repair_to_finding(applied_repair, name) for applied_repair in applied_repairs)
    return Column(day_numbers, replace(column_reading, repairs=tuple(applied_repairs)), findings)


def _make_formatted_number_column(
    column: pd.Series, learned_format: LearnedNumbers, counts: Mapping[str, int]
) -> Column:
    """A column of numbers that are more than plain digits, or with few other texts."""
    name = str(column.name)
    made_repairs = [
        *repairs.number_format_repairs(learned_format, counts),
        *repairs.non_number_repairs(learned_format.strangers),
    ]
    findings = [repairs.repair_to_finding(applied_repair, name) for applied_repair in made_repairs]
    if learned_format.ambiguous:
        findings.append(repairs.ambiguous_number_finding(learned_format, name))
    skips_unread = any(
        applied_repair.code in ("unreadable_value", "censored_number") for applied_repair in made_repairs
    )
    written_form = "decimal comma" if learned_format.format.decimal == "," else ""
    column_reading = ColumnReading(
        "number", written_form, number=learned_format.format, skips_unreadable=skips_unread, repairs=tuple(made_repairs)
    )
    return Column(_parse_formatted_numbers(column, learned_format, column_reading), column_reading, tuple(findings))


def _parse_formatted_numbers(
    column: pd.Series, learned_format: LearnedNumbers, column_reading: ColumnReading
) -> pd.Series:
    """The numbers of a column; those of texts were read while their format was learned."""
    import pandas as pd

    if not isinstance(column.dtype, pd.StringDtype):
        return _read_as_new_rows(column, column_reading)
    return column_to_text(column).map(learned_format.numbers).astype("float64")


def _replace_sentinels(column: Column, *, should_repair: bool) -> Column:
    """The column without numbers or dates far outside the others that stand for missing values."""
    if not should_repair:
        return column
    if column.kind == "date":
        counts = find_date_sentinels(column.values)
        sentinels_repair = repairs.date_sentinel_repair(counts)
    else:
        counts = find_number_sentinels(column.values)
        sentinels_repair = repairs.sentinel_repair(counts)
    if not counts:
        return column
    column_reading = replace(
        column.reading, sentinels=tuple(sorted(counts)), repairs=(*column.reading.repairs, sentinels_repair)
    )
    replaced_values = column.values.mask(column.values.isin(list(counts)))
    finding = repairs.repair_to_finding(sentinels_repair, str(replaced_values.name))
    return Column(replaced_values, column_reading, (*column.findings, finding))


def _read_as_new_rows(column: pd.Series, column_reading: ColumnReading) -> pd.Series:
    """Read a column as new rows are read."""
    read_column = read_values(column, column_reading)
    read_column.index, read_column.name = column.index, column.name
    return read_column


def _describe_text_reading(finding_code: str, message: str, text: pd.Series) -> Finding:
    """Describe how text was read, and how many of its values are missing."""
    n_missing = int(text.isna().sum())
    if not n_missing:
        return Finding(finding_code, "note", message, str(text.name))
    return Finding(finding_code, "note", f"{message}, {n_missing} blank ones missing", str(text.name), n_missing)


def _first_non_number(text: pd.Series) -> str:
    """First known value that is not a number."""
    import pandas as pd

    known_texts = text.dropna()
    return str(known_texts[pd.to_numeric(known_texts, errors="coerce").isna()].iloc[0])
