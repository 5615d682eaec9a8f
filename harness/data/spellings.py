"""Spellings of one name: differences of case, blanks, a final point and Unicode form; names of classes and categories."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from functools import lru_cache

#: Names of one letter differ by case where there are more of them than yes and no may need.
MAX_LETTERS = 6
#: Codes with digits differ by case where there are so many of them.
MAX_CODES = 50


@lru_cache(maxsize=65_536)
def normalize_spelling(name: str) -> str:
    """Write a name so that its spellings are equal: in lower case, with single blanks, without a final point, in one Unicode form.

    Characters without a width are left out.

    Returns
    -------
    str
        The key; for a name of points alone, the name.
    """
    normalized_name = name
    if not name.isascii():  # characters without a width, such as the mark that begins a file
        normalized_name = unicodedata.normalize("NFKC", name)
        normalized_name = "".join(character for character in normalized_name if unicodedata.category(character) != "Cf")
    folded_name = " ".join(normalized_name.casefold().split())
    return folded_name.rstrip(". ") or folded_name or name


def normalize_class_label(name: str) -> str:
    """Write the name of a class so that its spellings are equal: as `normalize_spelling`, and 1.0 is 1 but 01 is not."""
    key = normalize_spelling(name)
    if not key.isascii() or "_" in key or (key.lstrip("+-").startswith("0") and key.lstrip("+-")[1:2].isdigit()):
        return key
    try:
        label_number = float(key)
    except ValueError:
        return key
    return str(int(label_number)) if label_number.is_integer() and abs(label_number) < 2**53 else key


def map_spellings_to_names(counts: Mapping[str, int], key_of: Mapping[str, str] | None = None) -> dict[str, str]:
    """Find names that are spellings of another name.

    Parameters
    ----------
    counts : mapping of str to int
        The different names with their counts.
    key_of : mapping of str to str, optional
        The key of each name; `normalize_spelling` by default.

    Returns
    -------
    dict of str to str
        Each spelling that is not the commonest of its name → the commonest.
    """
    names_by_normalized = _group_by_spelling(counts, key_of)
    names_by_spelling: dict[str, str] = {}
    if len(names_by_normalized) == len(counts):
        return names_by_spelling
    n_letters = sum(len(name) == 1 for name in counts)
    n_codes = sum(map(_has_digit, counts))
    for key, names in names_by_normalized.items():
        is_letter = len(key) == 1 and n_letters > MAX_LETTERS
        if len(names) == 1 or is_letter or (n_codes > MAX_CODES and _has_digit(key)):
            continue
        most_common_name, *other_names = sorted(names, key=lambda name: (-counts[name], name))
        names_by_spelling |= dict.fromkeys(other_names, most_common_name)
    return names_by_spelling


def _group_by_spelling(names: Iterable[str], key_of: Mapping[str, str] | None) -> dict[str, list[str]]:
    """Group names by their keys."""
    names_by_normalized: dict[str, list[str]] = {}
    for name in names:
        key = normalize_spelling(name)
        if key_of is not None:
            key = key_of[name]
        names_by_normalized.setdefault(key, []).append(name)
    return names_by_normalized


def _has_digit(name: str) -> bool:
    return any(map(str.isdecimal, name))


def match_known_names(names: Iterable[str], known: Iterable[str]) -> dict[str, str]:
    """Match new spellings of names with known names.

    Parameters
    ----------
    names : iterable of str
        New names.
    known : iterable of str
        The known names.

    Returns
    -------
    dict of str to str
        Each new name that is a spelling of exactly one known name and is not known itself → the known name.
    """
    known_names = set(known)
    name_by_normalized: dict[str, str | None] = {}
    for name in known_names:
        key = normalize_class_label(name)
        name_by_normalized[key] = None if key in name_by_normalized else name
    matched_names: dict[str, str] = {}
    for name in names:
        match = name_by_normalized.get(normalize_class_label(name))
        if match is not None and name not in known_names:
            matched_names[name] = match
    return matched_names
