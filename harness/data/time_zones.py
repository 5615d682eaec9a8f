"""Named time zones of dates in text, such as Europe/Berlin and CET: their difference from UTC on that day."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime
from functools import cache
from itertools import islice
from zoneinfo import ZoneInfo, available_timezones

#: Abbreviations of zones → difference from UTC. IST is taken for that of India, CST for that of America, BST for that of Britain.
ABBREVIATIONS = {
    "z": "+00:00", "utc": "+00:00", "gmt": "+00:00", "wet": "+00:00", "west": "+01:00", "bst": "+01:00", "cet": "+01:00",
    "mez": "+01:00", "cest": "+02:00", "mesz": "+02:00", "eet": "+02:00", "eest": "+03:00", "sast": "+02:00", "msk": "+03:00",
    "trt": "+03:00", "pkt": "+05:00", "ist": "+05:30", "wib": "+07:00", "sgt": "+08:00", "hkt": "+08:00", "awst": "+08:00",
    "jst": "+09:00", "kst": "+09:00", "acst": "+09:30", "acdt": "+10:30", "aest": "+10:00", "aedt": "+11:00", "nzst": "+12:00",
    "nzdt": "+13:00", "brt": "-03:00", "est": "-05:00", "edt": "-04:00", "cst": "-06:00", "cdt": "-05:00", "mst": "-07:00",
    "mdt": "-06:00", "pst": "-08:00", "pdt": "-07:00", "akst": "-09:00", "akdt": "-08:00", "hst": "-10:00",
}  # fmt: skip
ABBREVIATION = re.compile(r"\s*\(?\b(" + "|".join(ABBREVIATIONS) + r")\b\)?$", re.IGNORECASE)
REGION = re.compile(r"\s*[\[(]?\b([a-z]+(?:/[a-z0-9_+-]+){1,2})[\])]?$", re.IGNORECASE)
UTC_OFFSET_PATTERN = re.compile(r":\d{2}.*[+-]\d{2}:?\d{2}$")
LOCAL_TIME = re.compile(r"(\d+)-(\d+)-(\d+) (\d+):(\d+)(?::(\d+))?(?:\.\d+)?(?:\s?([ap])\.?m\.?)?", re.IGNORECASE)
SAMPLE, MAX_NAMES = 200, 3


@cache
def _zone_keys() -> dict[str, str]:
    """The zones of this machine by their names in lower case."""
    return {key.casefold(): key for key in available_timezones()}


def split_region(text: str) -> tuple[str, str]:
    """Divide a date into what is written before the name of a region, such as Europe/Berlin, and that name, empty without one."""
    match = REGION.search(text) if "/" in text else None
    key = None if match is None else _zone_keys().get(match[1].casefold())
    if match is None or key is None:
        return text, ""
    return text[: match.start()], key


def add_difference(local: str, region: str) -> str | None:
    """Add the difference from UTC that a region has at a local time.

    Parameters
    ----------
    local : str
        Year, month, day and time of day.
    region : str
        Name of the zone.

    Returns
    -------
    str or None
        The time with its difference; unchanged where it has one already or is a day only, None where it does not exist.
    """
    if UTC_OFFSET_PATTERN.search(local):
        return local
    match = LOCAL_TIME.fullmatch(local)
    if match is None:
        return local
    year, month, day, hour, minute, second_of_minute = (int(time_part or 0) for time_part in match.groups()[:6])
    if match[7]:
        hour = hour % 12 + 12 * (match[7].lower() == "p")
    try:
        local_time = datetime(year, month, day, hour, minute, second_of_minute, tzinfo=ZoneInfo(region))
    except ValueError:  # such as February 30, which is told from other texts by its format
        return local
    offset = local_time.strftime("%z")
    return f"{local}{offset[:3]}:{offset[3:5]}"


def zone_names(texts: Iterable[str]) -> tuple[str, ...]:
    """Name the zones that dates are written with, of regions or by abbreviations, in the order in which they occur."""
    names: dict[str, None] = {}
    for text in islice(texts, SAMPLE):
        _, zone_region = split_region(text)
        abbreviation_match = None if zone_region else ABBREVIATION.search(text)
        if zone_region:
            names[zone_region] = None
        elif abbreviation_match is not None and abbreviation_match[1].lower() != "z":
            names[abbreviation_match[1].upper()] = None
    return tuple(names)[:MAX_NAMES]
