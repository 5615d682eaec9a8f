"""Numbers in texts: currencies, units, percent signs, separators of thousands, k and M, and what stands between them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

from harness.data.number_parts import (
    DIGITS_TO_ONES,
    NumberParts,
    normalize_number,
    remove_separators,
    split_number_parts,
)
from harness.data.units import MULTIPLIERS_BY_WORD, WEAK_MULTIPLIERS, is_currency
from harness.readings import PLACEHOLDERS, NumberFormat

LONG_INTEGER, HUNDREDS = re.compile(r"[1-9]\d{3,}"), re.compile(r"[1-9]\d{2}")
MIN_GROUPS = 20  #: different numbers, for those without a separator to say what a point is
#: Values that only say on which side of a limit a number lies.
CENSORED_PATTERN = re.compile(
    r"(?:[<>≤≥~≈]|<=|>=|ca\.?|about|under|over)\s*[+-]?[\d.,' ]*\d.*|[\d.,' ]*\d\s*[^\d]*\+|\d+\s+or (?:more|less)"
)
MIN_UNIT_SHARE = 0.95  #: of the numbers with a unit, for another unit to be taken for a mistake
#: Where other texts occur among numbers, at least so many different numbers make a column of numbers.
MIN_DISTINCT = 5
MAX_OTHER_SHARE = 0.05  #: of the values that are neither numbers nor words for a missing value
MAX_CODE_SHARE = 0.01  #: of the values with digits that are no numbers: a sign of codes
MIN_NUMBER_SHARE = 0.5  #: of the values that are no words for a missing value
SAMPLE = 1000  #: different values that are looked at first
MIN_SAMPLE_SHARE = 0.3
MIN_PHONE_DIGITS = 7  #: numbers in groups that all have so many digits, or more, are taken for codes


@dataclass(frozen=True)
class LearnedNumbers:
    """The format of the numbers of a column.

    Attributes
    ----------
    format : NumberFormat
        The format.
    numbers : dict of str to float
        The number in each text that has one.
    strangers : dict of str to int
        The other texts, with their counts.
    ambiguous : bool
        Whether a separator may be a decimal point as well as one of thousands.
    """

    format: NumberFormat
    numbers: dict[str, float]
    strangers: dict[str, int]
    ambiguous: bool = False


def is_missing_value_word(text: str) -> bool:
    """Tell whether a text is a word for a missing value."""
    return text.strip().casefold() in PLACEHOLDERS


def is_censored_number(text: str) -> bool:
    """Tell whether a text says that a number lies beyond a limit, such as ``<0.5``."""
    return CENSORED_PATTERN.fullmatch(normalize_number(text).casefold()) is not None


def parse_number(text: str, number_format: NumberFormat) -> float | None:
    """Read a number in a text.

    Parameters
    ----------
    text : str
        The text.
    number_format : NumberFormat
        The format of the column.

    Returns
    -------
    float or None
        The number; None where it is none of this format.
    """
    number_parts = split_number_parts(text)
    if number_parts is None:
        return None
    return _parts_to_number(number_parts, number_format)


def learn_number_format(counts: Mapping[str, int], *, declared: bool = False) -> LearnedNumbers | None:
    """Learn how the numbers of a column are written.

    Parameters
    ----------
    counts : mapping of str to int
        The different known texts of the column with their counts.
    declared : bool, default False
        Whether the column is declared as numbers, so that half of its values may be something else.

    Returns
    -------
    LearnedNumbers or None
        The format and the numbers; None where the column holds something else.
    """
    if not _sample_has_numbers(list(counts)):
        return None
    parts_by_text: dict[str, NumberParts] = {}
    for text in counts:
        number_parts = split_number_parts(text)
        if number_parts is not None:
            parts_by_text[text] = number_parts
    number_format = _learn_number_unit(parts_by_text, counts)
    if number_format is None:
        return None
    number_format, is_ambiguous = _learn_separators(parts_by_text, counts, number_format)
    numbers_by_text: dict[str, float] = {}
    for text, number_parts in parts_by_text.items():
        parsed_number = _parts_to_number(number_parts, number_format)
        if parsed_number is not None:
            numbers_by_text[text] = parsed_number
    non_number_counts = dict(counts)
    for text in numbers_by_text:
        del non_number_counts[text]
    learned_numbers = LearnedNumbers(number_format, numbers_by_text, non_number_counts, is_ambiguous)
    if _are_mostly_numbers(learned_numbers, counts, is_declared=declared):
        return learned_numbers
    return None


def _are_mostly_numbers(learned_numbers: LearnedNumbers, counts: Mapping[str, int], *, is_declared: bool) -> bool:
    """Tell whether a column holds numbers, with few other texts; where that is declared, with fewer than numbers."""
    if not is_declared:
        return not _are_phone_numbers(learned_numbers) and _are_few_non_numbers(learned_numbers, counts)
    n_strangers = sum(count for text, count in learned_numbers.strangers.items() if not is_missing_value_word(text))
    return sum(map(counts.__getitem__, learned_numbers.numbers)) > n_strangers


def share_of_numeric_texts(counts: Mapping[str, int]) -> float:
    """Share of the values that begin with digits, apart from words for missing values: for a message."""
    texts = list(counts)
    if not any(map(_may_be_number, texts[:: max(1, len(texts) // SAMPLE)])):
        return 0.0
    known_counts = {text: count for text, count in counts.items() if not is_missing_value_word(text)}
    total_count = sum(known_counts.values())
    numeric_counts = [count for text, count in known_counts.items() if _may_be_number(text)]
    return sum(numeric_counts) / max(total_count, 1)


def _may_be_number(text: str) -> bool:
    """Tell whether a text is a limit, or has the digits of a number, and not those of a telephone number."""
    number_parts = split_number_parts(text)
    if number_parts is None:
        return is_censored_number(text)
    return any(
        remove_separators(number_parts.digits, decimal, other) is not None
        for decimal, other in ((".", ",' "), (",", ".' "))
    )


def _sample_has_numbers(texts: list[str]) -> bool:
    sample = texts[:: max(1, len(texts) // SAMPLE)]
    known_texts = [text for text in sample if not is_missing_value_word(text)]
    texts_with_number = sum(split_number_parts(text) is not None for text in known_texts)
    return texts_with_number > 0 and texts_with_number >= MIN_SAMPLE_SHARE * len(known_texts)


def _learn_number_unit(parts_by_text: Mapping[str, NumberParts], counts: Mapping[str, int]) -> NumberFormat | None:
    """Find the unit of the numbers, and whether letters multiply; None where several units occur."""
    multiplier_counts: Counter[str] = Counter()
    unit_counts: Counter[str] = Counter()
    for text, parts_of_number in parts_by_text.items():
        multiplier_counts[parts_of_number.multiplier] += counts[text]
        for unit_name in parts_of_number.units:
            unit_counts[unit_name] += counts[text]
    weak_multipliers = WEAK_MULTIPLIERS.keys() & multiplier_counts.keys()
    if len(weak_multipliers) == len(multiplier_counts) == 1:  # all numbers have one letter: metres, tonnes
        return NumberFormat(units=(*weak_multipliers, *unit_counts)) if not unit_counts else None
    if unit_counts and unit_counts.most_common(1)[0][1] < MIN_UNIT_SHARE * unit_counts.total():
        return None
    common_units = tuple(unit_name for unit_name, _ in unit_counts.most_common(1))
    if weak_multipliers and not all(map(is_currency, common_units)):  # codes such as 12A, 14B
        return None
    return NumberFormat(units=common_units, multiplies=any(multiplier_counts))


def _learn_separators(
    parts_by_text: Mapping[str, NumberParts], counts: Mapping[str, int], number_format: NumberFormat
) -> tuple[NumberFormat, bool]:
    """Find which character separates the fraction and which separate thousands, and whether that is ambiguous."""
    readable_by_decimal = {".": 0, ",": 0}
    separators_by_decimal: dict[str, set[str]] = {".": set(), ",": set()}
    for shape, count in _count_shapes(parts_by_text, counts).items():
        for decimal_separator, other_separators in ((".", ",' "), (",", ".' ")):
            if remove_separators(shape, decimal_separator, other_separators) is not None:
                readable_by_decimal[decimal_separator] += count
                separators_by_decimal[decimal_separator].update(
                    set(shape.partition(decimal_separator)[0]) & set(other_separators)
                )
    decimal_separator, is_ambiguous = max(readable_by_decimal, key=readable_by_decimal.__getitem__), False
    if readable_by_decimal["."] == readable_by_decimal[","]:
        is_ambiguous = "." in separators_by_decimal[","] or "," in separators_by_decimal["."]
        decimal_separator = _assume_decimal_separator(parts_by_text, separators_by_decimal, number_format)
    return replace(
        number_format, decimal=decimal_separator, thousands="".join(sorted(separators_by_decimal[decimal_separator]))
    ), is_ambiguous


def _assume_decimal_separator(
    parts_by_text: Mapping[str, NumberParts], separators_by_decimal: Mapping[str, set[str]], number_format: NumberFormat
) -> str:
    """The decimal character where three digits follow every separator.

    Amounts of money have no three decimals, and where 1234 occurs, thousands are not separated. Where 960 occurs beside
    1.234, they are: a fraction would be written as 960.000.
    """
    all_digits = [parts_of_number.digits for parts_of_number in parts_by_text.values()]
    has_long_integers = any(map(LONG_INTEGER.fullmatch, all_digits))
    points_as_thousands, commas_as_thousands = "." in separators_by_decimal[","], "," in separators_by_decimal["."]
    if points_as_thousands in (
        commas_as_thousands,
        has_long_integers,
    ):  # both, none, points beside 1234, or commas alone
        return "."
    if commas_as_thousands:
        return ","
    is_money = any(map(is_currency, number_format.units))
    has_hundreds = len(parts_by_text) > MIN_GROUPS and any(map(HUNDREDS.fullmatch, all_digits))
    return "," if is_money or has_hundreds else "."


def _count_shapes(parts_by_text: Mapping[str, NumberParts], counts: Mapping[str, int]) -> Counter[str]:
    """Count how digits and separators are arranged; of the digits, only the first one matters."""
    shape_counts: Counter[str] = Counter()
    for text, parts_of_number in parts_by_text.items():
        shape = parts_of_number.digits[0] + parts_of_number.digits[1:].translate(DIGITS_TO_ONES)
        shape_counts[shape] += counts[text]
    return shape_counts


def _parts_to_number(number_parts: NumberParts, number_format: NumberFormat) -> float | None:
    """The number of these parts; None where its separators or unit are not those of the column."""
    digits = remove_separators(number_parts.digits, number_format.decimal, number_format.thousands)
    multiplier_word, unit_names = number_parts.multiplier, number_parts.units
    if multiplier_word and not number_format.multiplies:
        unit_names = (*unit_names, multiplier_word)
        multiplier_word = ""
    if digits is None or not all(unit_name in number_format.units for unit_name in unit_names):
        return None
    power_of_ten = int(number_parts.exponent[1:] or 0)
    if multiplier_word:
        power_of_ten += (MULTIPLIERS_BY_WORD | WEAK_MULTIPLIERS)[multiplier_word]
    parsed_number = float(f"{digits}e{power_of_ten}")
    return -parsed_number if number_parts.negative else parsed_number


def _are_phone_numbers(learned_numbers: LearnedNumbers) -> bool:
    """Tell whether all texts have groups of digits and equally many digits, as telephone numbers have."""
    if " " not in learned_numbers.format.thousands:
        return False
    digit_lengths = set()
    for text in learned_numbers.numbers:
        if " " not in normalize_number(text):
            return False
        digit_lengths.add(sum(map(str.isdecimal, text)))
    return len(digit_lengths) == 1 and min(digit_lengths) >= MIN_PHONE_DIGITS


def _are_few_non_numbers(learned_numbers: LearnedNumbers, counts: Mapping[str, int]) -> bool:
    """Tell whether the texts that are no numbers are few enough for a column of numbers."""
    if not learned_numbers.strangers:
        return True
    total_count = sum(counts.values())
    limit_count = placeholder_count = other_count = code_count = 0
    for text, count in learned_numbers.strangers.items():
        if is_missing_value_word(text):
            placeholder_count += count
        elif is_censored_number(text):
            limit_count += count
        else:
            other_count += count
            code_count += count if any(map(str.isdecimal, text)) else 0
    n_numbers = total_count - limit_count - placeholder_count - other_count
    if len(set(learned_numbers.numbers.values())) < MIN_DISTINCT or n_numbers < MIN_NUMBER_SHARE * (
        total_count - placeholder_count
    ):
        return False
    return other_count <= MAX_OTHER_SHARE * total_count and code_count <= MAX_CODE_SHARE * total_count
