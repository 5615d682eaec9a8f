"""Numbers in texts: currencies, units, percent signs, separators of thousands, k and M, and what stands between them."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

from harness.data.units import (
    MULTIPLIERS_BY_WORD,
    WEAK_MULTIPLIERS,
    is_currency,
    may_be_unit,
    normalize_unit,
    split_multiplier_and_unit,
)
from harness.readings import PLACEHOLDERS, NumberFormat

#: A number with what may stand around its digits; groups and fraction are taken apart by `_plain_digits`.
NUMBER = re.compile(
    r"(?P<opening>\()?\s*(?P<sign>[+-])?\s*(?P<prefix>[^\d+\-.,'()\s][^\d+\-,'()]*?)?\s*(?P<inner_sign>[+-])?\s*"
    r"(?P<digits>[.,]?\d(?:[\d.,' ]*\d)?[.,]?)(?P<exponent>[eE][+-]?\d+)?\s*"
    r"(?P<suffix>[^\d+\-()\s][^\d+\-()]*?)?\s*(?P<trailing>-)?\s*(?P<closing>\))?"
)
PREFIX_BEFORE_PARENTHESES = re.compile(r"^([^\d(]+)\((.+)\)$")
LONG_INTEGER, HUNDREDS = re.compile(r"[1-9]\d{3,}"), re.compile(r"[1-9]\d{2}")
DIGITS_TO_ONES = str.maketrans("0123456789", "1111111111")
MIN_GROUPS = 20  #: different numbers, for those without a separator to say what a point is
#: Values that only say on which side of a limit a number lies.
CENSORED_PATTERN = re.compile(
    r"(?:[<>≤≥~≈]|<=|>=|ca\.?|about|under|over)\s*[+-]?[\d.,' ]*\d.*|[\d.,' ]*\d\s*[^\d]*\+|\d+\s+or (?:more|less)"
)
#: Characters that are written for others: minus signs, apostrophes, spaces that do not break.
EQUIVALENT_CHARACTERS = str.maketrans({
    "²": "sq", "³": "cb",
    "−": "-", "–": "-", "‐": "-", "‑": "-", "﹣": "-", "’": "'", "‘": "'", "´": "'", "`": "'", "′": "'",
    "\u00a0": " ", "\u2007": " ", "\u2008": " ", "\u2009": " ", "\u200a": " ", "\u202f": " ", "\u066b": ".", "\u066c": ",",
})  # fmt: skip
OTHER_DIGIT = re.compile(r"[^\D0-9]")  #: Arabic and Indian digits
SPREADSHEET_TEXT = re.compile(
    r"^'([^']+)'?$|^=?\"([^\"]*)\"$"
)  #: an apostrophe, quotes or a formula that makes a cell a text
NO_CENTS = re.compile(r"(?<=\d)[.,]--?(?=\D*$)")  #: of prices without a fraction, such as 12.- and 12,-- €
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
class NumberParts:
    """The parts of a number in a text.

    Attributes
    ----------
    digits : str
        Digits with separators.
    exponent : str
        As it was written, such as ``e3``.
    negative : bool
        Whether a minus sign or parentheses make it negative.
    units : tuple of str
        What stands before and after the digits, in lower case.
    multiplier : str
        Such as ``k``; empty without one. M is written as ``mn``.
    """

    digits: str
    exponent: str
    negative: bool
    units: tuple[str, ...]
    multiplier: str


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


def normalize_number(text: str) -> str:
    """Write a text with plain digits, spaces, minus signs and apostrophes, without what spreadsheets write around texts."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text.translate(EQUIVALENT_CHARACTERS)).translate(EQUIVALENT_CHARACTERS)
        text = OTHER_DIGIT.sub(lambda digit: str(unicodedata.decimal(digit[0])), text)
    text = text.strip()
    if text.startswith(("'", "=", '"')):
        text = SPREADSHEET_TEXT.sub(r"\1\2", text)
    return NO_CENTS.sub("", text) if "-" in text[1:] else text


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


@lru_cache(maxsize=65_536)
def split_number_parts(text: str) -> NumberParts | None:
    """Take a number in a text apart; None where there is none."""
    normalized_text = normalize_number(text)
    if normalized_text.endswith(")"):
        normalized_text = PREFIX_BEFORE_PARENTHESES.sub(r"(\1\2)", normalized_text)
    match = NUMBER.fullmatch(normalized_text)
    if match is None:
        return None
    is_enclosed = bool(match["opening"])
    sign_characters = "".join(filter(None, match.group("sign", "inner_sign", "trailing")))
    prefix, suffix = match.groupdict("")["prefix"].strip(), match.groupdict("")["suffix"].strip()
    if is_enclosed != bool(match["closing"]) or len(sign_characters) + is_enclosed > 1:
        return None
    if (prefix and not is_currency(prefix)) or not may_be_unit(suffix):
        return None
    multiplier_word, unit_suffix = split_multiplier_and_unit(suffix)
    unit_names = tuple(filter(None, (normalize_unit(prefix), normalize_unit(unit_suffix))))
    return NumberParts(
        match["digits"], match["exponent"] or "", is_enclosed or sign_characters == "-", unit_names, multiplier_word
    )


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
        _remove_separators(number_parts.digits, decimal, other) is not None
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
    for text, parts_of_number in parts_by_text.items():
        shape = parts_of_number.digits[0] + parts_of_number.digits[1:].translate(DIGITS_TO_ONES)
        for decimal_separator, other_separators in ((".", ",' "), (",", ".' ")):
            if _has_valid_digit_groups(shape, decimal_separator, other_separators):
                readable_by_decimal[decimal_separator] += counts[text]
                separators_by_decimal[decimal_separator].update(
                    set(parts_of_number.digits.partition(decimal_separator)[0]) & set(other_separators)
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


@lru_cache(maxsize=4_096)
def _has_valid_digit_groups(shape: str, decimal_separator: str, thousands_separator: str) -> bool:
    """Tell whether digits have the groups of a number; of them, only the first one matters."""
    return _remove_separators(shape, decimal_separator, thousands_separator) is not None


def _remove_separators(digits: str, decimal_separator: str, thousands_separator: str) -> str | None:
    """Write digits without separators and with a decimal point; None where their groups are not those of a number."""
    integer_digits, point, decimal_digits = digits.partition(decimal_separator)
    if decimal_digits and not decimal_digits.isdecimal():
        return None
    used_separators = set(integer_digits).difference("0123456789")
    if len(used_separators) > 1 or not used_separators.issubset(thousands_separator):
        return None
    for separator in used_separators:
        if not _are_thousands_groups(integer_digits.split(separator)):
            return None
        integer_digits = integer_digits.replace(separator, "")
    return f"{integer_digits or '0'}.{decimal_digits}" if point else integer_digits


def _are_thousands_groups(groups: list[str]) -> bool:
    """Tell whether digits are grouped by thousands, or as in India: groups of two before the last one, which has three."""
    first_group, *middle_groups, last_group = groups
    if not 0 < len(first_group) <= 3 or first_group.startswith("0") or len(last_group) != 3:
        return False
    group_lengths = set(map(len, middle_groups))
    return group_lengths <= {3} or group_lengths == {2}


def _parts_to_number(number_parts: NumberParts, number_format: NumberFormat) -> float | None:
    """The number of these parts; None where its separators or unit are not those of the column."""
    digits = _remove_separators(number_parts.digits, number_format.decimal, number_format.thousands)
    multiplier_word, unit_names = number_parts.multiplier, set(number_parts.units)
    if multiplier_word and not number_format.multiplies:
        unit_names.add(multiplier_word)
        multiplier_word = ""
    if digits is None or not unit_names.issubset(number_format.units):
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
