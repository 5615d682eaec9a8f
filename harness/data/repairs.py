"""What was repaired while a column was read: values with a code, a count and two examples, and their findings."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from itertools import islice
from typing import TYPE_CHECKING

from harness.data.dates import LearnedDates
from harness.data.numbers import (
    LearnedNumbers,
    is_censored_number,
    is_missing_value_word,
    learn_number_format,
    share_of_numeric_texts,
)
from harness.findings import Finding, Severity
from harness.readings import FIRST_YEAR, MAX_EXAMPLES, Repair

if TYPE_CHECKING:
    import pandas as pd

MAX_SHOWN = 40  #: characters of an example
MIN_MIXED_SHARE = 0.5  #: of the values of a category that are numbers, for that to be said
MIN_MIXED_LEVELS = 10
MIN_CODES = 10  #: different whole numbers of a column whose name is that of a code
#: Code of a repair → what its finding says, before the examples.
MESSAGES: dict[str, str] = {
    "formatted_number": "numbers with separators of thousands, units or signs",
    "placeholder": "words for a missing value among numbers or dates, read as missing",
    "censored_number": "limits such as <0.5 among numbers, read as missing",
    "unreadable_value": "values that are neither numbers nor dates, read as missing",
    "impossible_date": "dates that do not exist, read as missing",
    "sentinel": "numbers far outside all others, read as missing",
    "date_sentinel": "dates far outside all others, read as missing",
    "merged_spelling": "names that differ only in case, blanks, a final point or Unicode form, read as one",
    "merged_label": "labels that look alike, read as one class",
}
#: Repairs that change what a model sees so much that they are warned of.
WARNINGS = frozenset({"unreadable_value", "sentinel", "date_sentinel", "merged_label"})
#: How each kind of repair is switched off with --types.
SWITCHES = {
    "sentinel": "number",
    "date_sentinel": "date",
    "merged_spelling": "category",
    "merged_label": "category",
}


def repair_to_finding(repair: Repair, column: str) -> Finding:
    """Make the finding of a repair: how many values, two examples, and how to switch it off."""
    finding_severity: Severity = "warning" if repair.code in WARNINGS else "note"
    examples_text = ", ".join(
        f"{written_text!r} as {_format_repaired_text(repaired_text)}" for written_text, repaired_text in repair.examples
    )
    option_advice = ""
    if (option_switch := SWITCHES.get(repair.code)) is not None:
        option_advice = f"; --types {column}={option_switch} leaves them as they are"
    message = f"{repair.count} {MESSAGES[repair.code]}: {examples_text}{option_advice}"
    return Finding(repair.code, finding_severity, message, column, repair.count)


def number_format_repairs(learned: LearnedNumbers, counts: Mapping[str, int]) -> list[Repair]:
    """Repairs of numbers that are written with more than plain digits."""
    formatted_numbers = {
        text: parsed_number
        for text, parsed_number in learned.numbers.items()
        if not _is_plain_number(text, parsed_number)
    }
    if not formatted_numbers:
        return []
    repair_examples = tuple(
        (_shorten_text(text), f"{parsed_number:.12g}")
        for text, parsed_number in islice(formatted_numbers.items(), MAX_EXAMPLES)
    )
    return [Repair("formatted_number", sum(int(counts[text]) for text in formatted_numbers), repair_examples)]


def non_number_repairs(strangers: Mapping[str, int]) -> list[Repair]:
    """Repairs of texts among numbers or dates: words for a missing value, limits, and all others."""
    texts_by_code: dict[str, dict[str, int]] = {"placeholder": {}, "censored_number": {}, "unreadable_value": {}}
    for text, count in strangers.items():
        repair_code = "unreadable_value"
        if is_missing_value_word(text):
            repair_code = "placeholder"
        elif is_censored_number(text):
            repair_code = "censored_number"
        texts_by_code[repair_code][text] = count
    made_repairs = []
    for repair_code, texts in texts_by_code.items():
        if texts:
            made_repairs.append(missing_value_repair(repair_code, texts))
    return made_repairs


def missing_value_repair(code: str, texts: Mapping[str, int]) -> Repair:
    """A repair by which texts became missing values."""
    repair_examples = tuple((_shorten_text(text), "") for text in islice(texts, MAX_EXAMPLES))
    return Repair(code, sum(map(int, texts.values())), repair_examples)


def sentinel_repair(counts: Mapping[float, int]) -> Repair:
    """A repair by which numbers became missing values."""
    repair_examples = tuple((f"{sentinel_number:.12g}", "") for sentinel_number in islice(counts, MAX_EXAMPLES))
    return Repair("sentinel", sum(counts.values()), repair_examples)


def date_sentinel_repair(counts: Mapping[float, int]) -> Repair:
    """A repair by which dates became missing values."""
    repair_examples = tuple((format_days_as_date(day), "") for day in islice(counts, MAX_EXAMPLES))
    return Repair("date_sentinel", sum(counts.values()), repair_examples)


def format_days_as_date(day: float) -> str:
    """Write days since 1970 as a date, for a message."""
    return (date(1970, 1, 1) + timedelta(days=int(day // 1))).isoformat()


def spellings_repair(counts: Mapping[str, int], spellings: Mapping[str, str], code: str = "merged_spelling") -> Repair:
    """A repair by which spellings became one name."""
    merged_rows = 0
    repair_examples: list[tuple[str, str]] = []
    for written_spelling, name in spellings.items():
        merged_rows += int(counts[written_spelling])
        if len(repair_examples) < MAX_EXAMPLES:
            repair_examples.append((_shorten_text(written_spelling), _shorten_text(name)))
    return Repair(code, merged_rows, tuple(repair_examples))


def ambiguous_date_finding(column: str, example: str) -> Finding:
    """A warning of dates whose day and month are both at most 12 throughout."""
    message = (
        f"dates like {example!r} are read with the day first: the day or the month may come first, write them like 2024-01-31, "
        f"or say --types {column}=date:%m/%d/%Y"
    )
    return Finding("ambiguous_date", "warning", message, column)


def duration_finding(column: str) -> Finding:
    """A note that times are read as days."""
    return Finding("read_as_duration", "note", "times of day or durations as days", column)


def date_findings(learned: LearnedDates, column: str) -> list[Finding]:
    """How dates are read: the order of day and month, the years of two digits, and named time zones."""
    words: list[str] = []
    if learned.order != "year first":
        words.append(learned.order)
    if learned.first_year != FIRST_YEAR:
        first_year, last_year = (
            format_days_as_date(day)[:4] for day in (min(learned.days.values()), max(learned.days.values()))
        )
        words.append(f"years {first_year}" if first_year == last_year else f"years {first_year} to {last_year}")
    if learned.zones:
        words.append(f"times in {', '.join(learned.zones)}, counted in UTC")
    message = f"dates ({', '.join(words)}) as days since 1970" if words else "dates as days since 1970"
    findings = [Finding("read_as_date", "note", message, column)]
    example = next(iter(learned.days))
    if learned.ambiguous:
        findings.append(ambiguous_date_finding(column, example))
    if learned.assumed_century:
        message = f"years of two digits, as in {example!r}, are read as {FIRST_YEAR} to {FIRST_YEAR + 99}: write them with four digits"
        findings.append(Finding("ambiguous_year", "warning", message, column))
    return findings


def ambiguous_number_finding(learned: LearnedNumbers, column: str) -> Finding:
    """A warning of numbers whose separator may be a decimal point as well as one of thousands."""
    text = next(text for text in learned.numbers if "." in text or "," in text)
    message = (
        f"{text!r} is read as {learned.numbers[text]:.12g}: a separator that three digits follow throughout may be "
        "that of thousands or of the fraction; write numbers with a decimal point and without separators"
    )
    return Finding("ambiguous_number", "warning", message, column)


def mixed_column_findings(counts: Mapping[str, int], column: str) -> list[Finding]:
    """A warning of a category most of whose values are numbers; a note where all are codes of digits."""
    if len(counts) < MIN_MIXED_LEVELS:
        return []
    numeric_share = share_of_numeric_texts(counts)
    if numeric_share < MIN_MIXED_SHARE:
        return []
    if all(map(str.isdecimal, counts)):
        message = f"codes of digits, read as names: --types {column}=number reads numbers"
        return [Finding("coded_name", "note", message, column)]
    option_advice = f"--types {column}=number reads them as numbers and the others as missing"
    if learn_number_format(counts, declared=True) is None:
        option_advice = "they have several units or formats, or are limits; write all of them in one"
    message = f"read as names, although {numeric_share:.0%} of the values are numbers: {option_advice}"
    return [Finding("mixed_column", "warning", message, column)]


def coded_number_findings(numbers: pd.Series, column: str) -> list[Finding]:
    """A note on whole numbers in a column whose name is that of a code."""
    known_numbers = numbers.dropna()
    if known_numbers.nunique() < MIN_CODES or not bool((known_numbers % 1 == 0).all()):
        return []
    message = f"read as numbers, although its name is that of a code: --types {column}=category reads names"
    return [Finding("coded_number", "note", message, column)]


def _is_plain_number(text: str, parsed_number: float) -> bool:
    try:
        return float(text) == parsed_number
    except ValueError:
        return False


def _format_repaired_text(repaired_text: str) -> str:
    return repr(repaired_text) if repaired_text else "missing"


def _shorten_text(text: str) -> str:
    return text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + "…"
