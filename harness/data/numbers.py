"""Numbers in texts: currencies, units, percent signs, separators of thousands, k and M, and what stands between them."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

from harness.data.units import (
    MULTIPLIERS,
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
ONES = str.maketrans("0123456789", "1111111111")
MIN_GROUPS = 20  #: different numbers, for those without a separator to say what a point is
#: Values that only say on which side of a limit a number lies.
CENSORED = re.compile(
    r"(?:[<>≤≥~≈]|<=|>=|ca\.?|about|under|over)\s*[+-]?[\d.,' ]*\d.*|[\d.,' ]*\d\s*[^\d]*\+|\d+\s+or (?:more|less)"
)
#: Characters that are written for others: minus signs, apostrophes, spaces that do not break.
EQUIVALENTS = str.maketrans({
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
        text = unicodedata.normalize("NFKC", text.translate(EQUIVALENTS)).translate(EQUIVALENTS)
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
    return CENSORED.fullmatch(normalize_number(text).casefold()) is not None


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
    parts = split_number_parts(text)
    if parts is None:
        return None
    return _parts_to_number(parts, number_format)


@lru_cache(maxsize=65_536)
def split_number_parts(text: str) -> NumberParts | None:
    """Take a number in a text apart; None where there is none."""
    normalized = normalize_number(text)
    if normalized.endswith(")"):
        normalized = PREFIX_BEFORE_PARENTHESES.sub(r"(\1\2)", normalized)
    match = NUMBER.fullmatch(normalized)
    if match is None:
        return None
    is_enclosed = bool(match["opening"])
    signs = "".join(filter(None, match.group("sign", "inner_sign", "trailing")))
    prefix, suffix = match.groupdict("")["prefix"].strip(), match.groupdict("")["suffix"].strip()
    if is_enclosed != bool(match["closing"]) or len(signs) + is_enclosed > 1:
        return None
    if (prefix and not is_currency(prefix)) or not may_be_unit(suffix):
        return None
    multiplier, unit = split_multiplier_and_unit(suffix)
    units = tuple(filter(None, (normalize_unit(prefix), normalize_unit(unit))))
    return NumberParts(match["digits"], match["exponent"] or "", is_enclosed or signs == "-", units, multiplier)


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
    parts: dict[str, NumberParts] = {}
    for text in counts:
        number_parts = split_number_parts(text)
        if number_parts is not None:
            parts[text] = number_parts
    number_format = _learn_number_unit(parts, counts)
    if number_format is None:
        return None
    number_format, ambiguous = _learn_separators(parts, counts, number_format)
    numbers: dict[str, float] = {}
    for text, number_parts in parts.items():
        number = _parts_to_number(number_parts, number_format)
        if number is not None:
            numbers[text] = number
    strangers = dict(counts)
    for text in numbers:
        del strangers[text]
    learned = LearnedNumbers(number_format, numbers, strangers, ambiguous)
    if _are_mostly_numbers(learned, counts, declared=declared):
        return learned
    return None


def _are_mostly_numbers(learned: LearnedNumbers, counts: Mapping[str, int], *, declared: bool) -> bool:
    """Tell whether a column holds numbers, with few other texts; where that is declared, with fewer than numbers."""
    if not declared:
        return not _are_phone_numbers(learned) and _are_few_non_numbers(learned, counts)
    n_strangers = sum(count for text, count in learned.strangers.items() if not is_missing_value_word(text))
    return sum(map(counts.__getitem__, learned.numbers)) > n_strangers


def share_of_numeric_texts(counts: Mapping[str, int]) -> float:
    """Share of the values that begin with digits, apart from words for missing values: for a message."""
    texts = list(counts)
    if not any(map(_may_be_number, texts[:: max(1, len(texts) // SAMPLE)])):
        return 0.0
    known = {text: count for text, count in counts.items() if not is_missing_value_word(text)}
    total = sum(known.values())
    numbers = [count for text, count in known.items() if _may_be_number(text)]
    return sum(numbers) / max(total, 1)


def _may_be_number(text: str) -> bool:
    """Tell whether a text is a limit, or has the digits of a number, and not those of a telephone number."""
    parts = split_number_parts(text)
    if parts is None:
        return is_censored_number(text)
    return any(
        _remove_separators(parts.digits, decimal, other) is not None for decimal, other in ((".", ",' "), (",", ".' "))
    )


def _sample_has_numbers(texts: list[str]) -> bool:
    sample = texts[:: max(1, len(texts) // SAMPLE)]
    known = [text for text in sample if not is_missing_value_word(text)]
    with_number = sum(split_number_parts(text) is not None for text in known)
    return with_number > 0 and with_number >= MIN_SAMPLE_SHARE * len(known)


def _learn_number_unit(parts: Mapping[str, NumberParts], counts: Mapping[str, int]) -> NumberFormat | None:
    """Find the unit of the numbers, and whether letters multiply; None where several units occur."""
    multipliers: Counter[str] = Counter()
    units: Counter[str] = Counter()
    for text, number in parts.items():
        multipliers[number.multiplier] += counts[text]
        for unit in number.units:
            units[unit] += counts[text]
    weak = WEAK_MULTIPLIERS.keys() & multipliers.keys()
    if len(weak) == len(multipliers) == 1:  # all numbers have one letter: metres, tonnes
        return NumberFormat(units=(*weak, *units)) if not units else None
    if units and units.most_common(1)[0][1] < MIN_UNIT_SHARE * units.total():
        return None
    common_units = tuple(unit for unit, _ in units.most_common(1))
    if weak and not all(map(is_currency, common_units)):  # codes such as 12A, 14B
        return None
    return NumberFormat(units=common_units, multiplies=any(multipliers))


def _learn_separators(
    parts: Mapping[str, NumberParts], counts: Mapping[str, int], number_format: NumberFormat
) -> tuple[NumberFormat, bool]:
    """Find which character separates the fraction and which separate thousands, and whether that is ambiguous."""
    readable = {".": 0, ",": 0}
    separators: dict[str, set[str]] = {".": set(), ",": set()}
    for text, number in parts.items():
        shape = number.digits[0] + number.digits[1:].translate(ONES)
        for decimal, other in ((".", ",' "), (",", ".' ")):
            if _has_valid_digit_groups(shape, decimal, other):
                readable[decimal] += counts[text]
                separators[decimal].update(set(number.digits.partition(decimal)[0]) & set(other))
    decimal, ambiguous = max(readable, key=readable.__getitem__), False
    if readable["."] == readable[","]:
        ambiguous = "." in separators[","] or "," in separators["."]
        decimal = _assume_decimal_separator(parts, separators, number_format)
    return replace(number_format, decimal=decimal, thousands="".join(sorted(separators[decimal]))), ambiguous


def _assume_decimal_separator(
    parts: Mapping[str, NumberParts], separators: Mapping[str, set[str]], number_format: NumberFormat
) -> str:
    """The decimal character where three digits follow every separator.

    Amounts of money have no three decimals, and where 1234 occurs, thousands are not separated. Where 960 occurs beside
    1.234, they are: a fraction would be written as 960.000.
    """
    all_digits = [number.digits for number in parts.values()]
    has_long_integers = any(map(LONG_INTEGER.fullmatch, all_digits))
    dots, commas = "." in separators[","], "," in separators["."]
    if dots in (commas, has_long_integers):  # both, none, points beside 1234, or commas alone
        return "."
    if commas:
        return ","
    is_money = any(map(is_currency, number_format.units))
    has_hundreds = len(parts) > MIN_GROUPS and any(map(HUNDREDS.fullmatch, all_digits))
    return "," if is_money or has_hundreds else "."


@lru_cache(maxsize=4_096)
def _has_valid_digit_groups(shape: str, decimal: str, thousands: str) -> bool:
    """Tell whether digits have the groups of a number; of them, only the first one matters."""
    return _remove_separators(shape, decimal, thousands) is not None


def _remove_separators(digits: str, decimal: str, thousands: str) -> str | None:
    """Write digits without separators and with a decimal point; None where their groups are not those of a number."""
    integer, point, fraction = digits.partition(decimal)
    if fraction and not fraction.isdecimal():
        return None
    separators = set(integer).difference("0123456789")
    if len(separators) > 1 or not separators.issubset(thousands):
        return None
    for separator in separators:
        if not _are_thousands_groups(integer.split(separator)):
            return None
        integer = integer.replace(separator, "")
    return f"{integer or '0'}.{fraction}" if point else integer


def _are_thousands_groups(groups: list[str]) -> bool:
    """Tell whether digits are grouped by thousands, or as in India: groups of two before the last one, which has three."""
    first, *others, last = groups
    if not 0 < len(first) <= 3 or first.startswith("0") or len(last) != 3:
        return False
    lengths = set(map(len, others))
    return lengths <= {3} or lengths == {2}


def _parts_to_number(parts: NumberParts, number_format: NumberFormat) -> float | None:
    """The number of these parts; None where its separators or unit are not those of the column."""
    digits = _remove_separators(parts.digits, number_format.decimal, number_format.thousands)
    multiplier, units = parts.multiplier, set(parts.units)
    if multiplier and not number_format.multiplies:
        units.add(multiplier)
        multiplier = ""
    if digits is None or not units.issubset(number_format.units):
        return None
    exponent = int(parts.exponent[1:] or 0)
    if multiplier:
        exponent += (MULTIPLIERS | WEAK_MULTIPLIERS)[multiplier]
    number = float(f"{digits}e{exponent}")
    return -number if parts.negative else number


def _are_phone_numbers(learned: LearnedNumbers) -> bool:
    """Tell whether all texts have groups of digits and equally many digits, as telephone numbers have."""
    if " " not in learned.format.thousands:
        return False
    lengths = set()
    for text in learned.numbers:
        if " " not in normalize_number(text):
            return False
        lengths.add(sum(map(str.isdecimal, text)))
    return len(lengths) == 1 and min(lengths) >= MIN_PHONE_DIGITS


def _are_few_non_numbers(learned: LearnedNumbers, counts: Mapping[str, int]) -> bool:
    """Tell whether the texts that are no numbers are few enough for a column of numbers."""
    if not learned.strangers:
        return True
    total = sum(counts.values())
    limits = placeholders = other = codes = 0
    for text, count in learned.strangers.items():
        if is_missing_value_word(text):
            placeholders += count
        elif is_censored_number(text):
            limits += count
        else:
            other += count
            codes += count if any(map(str.isdecimal, text)) else 0
    n_numbers = total - limits - placeholders - other
    if len(set(learned.numbers.values())) < MIN_DISTINCT or n_numbers < MIN_NUMBER_SHARE * (total - placeholders):
        return False
    return other <= MAX_OTHER_SHARE * total and codes <= MAX_CODE_SHARE * total
