"""The parts of a number in a text: sign, currency or unit, digits with separators, exponent, multiplier."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

from harness.data.units import is_currency, may_be_unit, normalize_unit, split_multiplier_and_unit

#: A number with what may stand around its digits; groups and fraction are taken apart by `remove_separators`.
NUMBER = re.compile(
    r"(?P<opening>\()?\s*(?P<sign>[+-])?\s*(?P<prefix>[^\d+\-.,'()\s][^\d+\-,'()]*?)?\s*(?P<inner_sign>[+-])?\s*"
    r"(?P<digits>[.,]?\d(?:[\d.,' ]*\d)?[.,]?)(?P<exponent>[eE][+-]?\d+)?\s*"
    r"(?P<suffix>[^\d+\-()\s][^\d+\-()]*?)?\s*(?P<trailing>-)?\s*(?P<closing>\))?"
)
PREFIX_BEFORE_PARENTHESES = re.compile(r"^([^\d(]+)\((.+)\)$")
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
DIGITS_TO_ONES = str.maketrans("0123456789", "1111111111")


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


def normalize_number(text: str) -> str:
    """Write a text with plain digits, spaces, minus signs and apostrophes, without what spreadsheets write around texts."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text.translate(EQUIVALENT_CHARACTERS)).translate(EQUIVALENT_CHARACTERS)
        text = OTHER_DIGIT.sub(lambda digit: str(unicodedata.decimal(digit[0])), text)
    text = text.strip()
    if text.startswith(("'", "=", '"')):
        text = SPREADSHEET_TEXT.sub(r"\1\2", text)
    return NO_CENTS.sub("", text) if "-" in text[1:] else text


def split_number_parts(text: str) -> NumberParts | None:
    """Take a number in a text apart; None where there is none."""
    if not text.isascii() or "-" in text[1:]:  # what `normalize_number` rewrites
        return _split_written_number(text)
    # What stands around the digits does not depend on them: one pattern stands for thousands of numbers.
    number_pattern = _split_pattern(text.translate(DIGITS_TO_ONES))
    if number_pattern is None:
        return None
    parts, digits, exponent = number_pattern
    return NumberParts(text[digits], text[exponent], parts.negative, parts.units, parts.multiplier)


@lru_cache(maxsize=4_096)
def _split_pattern(pattern: str) -> tuple[NumberParts, slice, slice] | None:
    """Take a number whose digits are all 1 apart, and find its digits and its exponent in the text."""
    parts = _split_written_number(pattern)
    if parts is None:
        return None
    first_digit = pattern.index(parts.digits)
    digits_end = first_digit + len(parts.digits)
    return parts, slice(first_digit, digits_end), slice(digits_end, digits_end + len(parts.exponent))


@lru_cache(maxsize=65_536)
def _split_written_number(text: str) -> NumberParts | None:
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


def remove_separators(digits: str, decimal_separator: str, thousands_separator: str) -> str | None:
    """Write digits without separators and with a decimal point; None where their groups are not those of a number."""
    if digits.isdecimal():
        return digits
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
