"""What stands around the digits of numbers: currencies, units, and letters and words that multiply."""

from __future__ import annotations

import unicodedata
from functools import lru_cache

CURRENCIES = frozenset({
    "usd", "eur", "gbp", "chf", "jpy", "cny", "inr", "rs", "r$", "us$", "a$", "c$", "hk$", "s$", "nz$", "kr", "sek", "nok", "dkk",
    "isk", "pln", "czk", "huf", "ron", "bgn", "cad", "aud", "nzd", "brl", "mxn", "zar", "try", "rub", "krw", "rmb", "sgd", "hkd",
    "thb", "idr", "myr", "php", "vnd", "aed", "sar", "ils", "egp", "ngn", "clp", "cop", "ars", "pen", "uah", "kč", "zł", "ft", "fr",
    "sfr", "euro", "euros", "dollar", "dollars",
})  # fmt: skip
#: Signs of currencies → the code of the same currency.
CURRENCY_SIGNS = {"$": "usd", "us$": "usd", "€": "eur", "euro": "eur", "£": "gbp", "¥": "jpy", "₹": "inr", "rs": "inr"}
MULTIPLIERS_BY_WORD = {
    "k": 3, "tsd": 3, "thousand": 3, "thousands": 3, "mn": 6, "mio": 6, "mill": 6, "million": 6, "millions": 6, "bn": 9, "mrd": 9,
    "bln": 9, "billion": 9, "billions": 9, "tn": 12, "trillion": 12, "lakh": 5, "crore": 7,
}  # fmt: skip
#: Letters that multiply, or are units such as metres and tonnes where no other multiplier and no number without one occurs.
WEAK_MULTIPLIERS = {"m": 6, "b": 9, "t": 12}
MAX_UNIT_CHARACTERS, MAX_UNIT_WORDS = 24, 3


def may_be_unit(suffix: str) -> bool:
    """Tell whether a text is short enough for a unit."""
    return len(suffix) <= MAX_UNIT_CHARACTERS and len(suffix.split()) <= MAX_UNIT_WORDS


@lru_cache(maxsize=4_096)
def is_currency(text: str) -> bool:
    """Tell whether a text is the sign or the code of a currency."""
    text = text.strip()
    if text and all(unicodedata.category(character) == "Sc" for character in text):
        return True
    return text.rstrip(".").casefold() in CURRENCIES


@lru_cache(maxsize=4_096)
def split_multiplier_and_unit(suffix: str) -> tuple[str, str]:
    """Separate a multiplier from a unit: a multiplier stands alone, before a currency, or before a blank."""
    first_word, _, following_words = suffix.partition(" ")
    if (multiplier_word := _normalize_multiplier(first_word)) and (not following_words or is_currency(following_words)):
        return multiplier_word, following_words.strip()
    for multiplier_length in (1, 2):  # 1.2M€
        if is_currency(suffix[multiplier_length:]) and (
            multiplier_word := _normalize_multiplier(suffix[:multiplier_length])
        ):
            return multiplier_word, suffix[multiplier_length:].strip()
    return "", suffix


def _normalize_multiplier(word: str) -> str:
    if word == "M":
        return "mn"
    name = word.rstrip(".").casefold()
    return name if name in MULTIPLIERS_BY_WORD or name in WEAK_MULTIPLIERS else ""


@lru_cache(maxsize=4_096)
def normalize_unit(unit: str) -> str:
    """One spelling of a unit: in lower case, without a final point, in the singular."""
    key = unit.casefold().strip().rstrip(".")
    key = CURRENCY_SIGNS.get(key, key)
    if len(key) > 3 and key.endswith("s"):
        key = key[:-1]
    return {"percent": "%", "pct": "%", "per cent": "%"}.get(key, key)
