"""Formats of dates in text: names of months, times of day, zones, quarters and weeks; a date as year, month, day and time."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from datetime import date
from functools import lru_cache
from itertools import pairwise
from typing import Literal, TypeAlias

from harness.data.time_zones import ABBREVIATION, ABBREVIATIONS, add_difference, split_region
from harness.readings import FIRST_YEAR

DateOrder: TypeAlias = Literal["year first", "day first", "month first", "unclear"]

#: Names of months in English, German, French, Spanish, Italian, Portuguese, Dutch, the Nordic languages, Polish and Russian,
#: in lower case and without accents.
MONTHS = (
    "january januar jaenner janvier enero gennaio janeiro januari styczen stycznia январь января",
    "february februar fevrier febrero febbraio fevereiro februari luty lutego февраль февраля",
    "march maerz mrz mars marzo marco maart mrt marts marzec marca март марта",
    "april avril abril aprile kwiecien kwietnia апрель апреля", "may mai mayo maggio maio mei maj maja маи мая",
    "june juni juin junio giugno junho czerwiec czerwca июнь июня", "july juli juillet julio luglio julho lipiec lipca июль июля",
    "august aout agosto augustus augusti sierpien sierpnia август августа",
    "september septembre septiembre settembre setembro sept wrzesien wrzesnia сентябрь сентября",
    "october oktober octobre octubre ottobre outubro pazdziernik pazdziernika октябрь октября",
    "november novembre noviembre novembro listopad listopada ноябрь ноября",
    "december dezember decembre diciembre dicembre dezembro desember grudzien grudnia декабрь декабря",
)  # fmt: skip
MONTH = r"(?P<month>[a-zа-я]{3,12})\.?"
DAY = r"(?P<day>\d{1,2})(?:st|nd|rd|th|er|\.|º)?"
YEAR = r"'?(?P<year>\d{4}|\d{2})"
GAP = r"(?:\s+of\s+|\s+de\s+|\s*[-/.,\s]\s*)"
CLOCK = (
    r"(?P<clock>(?:t|,?\s+(?:at\s+)?|:(?=\d{2}:\d{2}:))\d{1,2}(?::\d{2}.*|\.\d{2}\.\d{2}(?:\.\d+)?(?:\s?[ap]\.?m\.?)?"
    r"|\s?[ap]\.?m\.?))?"
)
WEEKDAY = r"(?:(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*\.?,?\s+)?"
FULL_YEAR = r"(?P<year>(?:19|20)\d{2})"
#: Formats of dates that no order of day and month makes unclear, on normalised text.
NAMED_MONTH = (
    re.compile(rf"{WEEKDAY}{DAY}{GAP}?{MONTH}{GAP}?{YEAR}{CLOCK}"),
    re.compile(rf"{WEEKDAY}{MONTH}{GAP}?{DAY}{GAP}(?P<year>\d{{4}}){CLOCK}"),
    re.compile(
        rf"{WEEKDAY}{MONTH}\s+{DAY}\s+(?P<clock>\d{{1,2}}:\d{{2}}(?::\d{{2}})?(?:\s+[a-z]{{3,4}})?)\s+(?P<year>\d{{4}})"
    ),
    re.compile(rf"(?P<year>\d{{4}}){GAP}?{MONTH}{GAP}?{DAY}{CLOCK}"),
    re.compile(rf"{MONTH}{GAP}{YEAR}"),
    re.compile(rf"{FULL_YEAR}-(?P<number>0[1-9]|1[0-2])"),
    re.compile(rf"(?P<number>0?[1-9]|1[0-2])[-/]{FULL_YEAR}"),
)
ISO = re.compile(rf"(?P<year>\d{{4}})(?P<separator>[-/.])(?P<number>\d{{1,2}})(?P=separator)(?P<day>\d{{1,2}}){CLOCK}")
#: A date and a time without separators, such as 20210131 and 20210131T235959Z.
COMPACT = re.compile(
    r"(?P<year>(?:19|20)\d{2}|9999)(?P<number>0[1-9]|1[0-2])(?P<day>0[1-9]|[12]\d|3[01])"
    r"(?:[t ]?(?P<hour>[01]\d|2[0-3])(?P<minute>[0-5]\d)(?P<second>[0-5]\d)?(?P<zone>\.\d+)?(?P<name>z|[+-]\d{2}:?\d{2})?)?"
)
#: Quarters, such as 2021-Q3 and Q3 2021, and weeks, such as 2021-W05: their first day.
QUARTER = re.compile(
    rf"{FULL_YEAR}[-/. ]?q(?P<quarter>[1-4])|q(?P<first_quarter>[1-4])[-/. ](?P<last_year>(?:19|20)\d{{2}})"
)
WEEK = re.compile(rf"{FULL_YEAR}-?w(?P<week>\d{{2}})(?:-(?P<day>[1-7]))?")
#: Day and month as numbers; after points, a year of two digits needs a day and a month of two, or versions would be dates.
NUMBERS = re.compile(
    rf"{WEEKDAY}(?P<first>\d{{1,2}})(?P<separator>[-/. ])(?P<second>\d{{1,2}})(?P=separator)(?P<year>\d{{4}}|\d{{2}}){CLOCK}"
)
VERSION = re.compile(r"\d{1,2}\.\d\.\d{2}|\d\.\d{1,2}\.\d{2}")
DIFFERENCE = re.compile(r"\s*(?:utc|gmt)\s?([+-])(\d{1,2})(?::?(\d{2}))?$")  #: of a zone, such as UTC+2
#: Characters that follow numbers in Chinese, Japanese and Korean dates → what is written there elsewhere.
UNITS_OF_TIME = (
    (r"\s*[年년月월]\s*", "-"),
    (r"\s*[日일]\s*", " "),
    (r"\s*[時时시分분]\s*", ":"),
    (r"\s*[秒초]\s*", ""),
)
MIN_YEAR_GAP = 20  #: years that do not occur in a column, for the hundred years to begin and end among them
LAST_BIRTH, LAST_FUTURE = (
    30,
    70,
)  #: years of two digits from here on are of the last century where nothing says otherwise
#: A year of four digits, which is no time of day and no difference of a zone, or a date without separators.
LONG_YEAR = re.compile(r"^[^:]*(?<!\d)\d{4}(?!\d)|(?<![\d+-])(?:19|20)\d{2}$|\d{8}")


def convert_to_iso_date(text: str, order: DateOrder, first_year: int = FIRST_YEAR) -> str | None:
    """Write a date as year, month, day and time.

    Parameters
    ----------
    text : str
        The date as it was written.
    order : {"year first", "day first", "month first"}
        Order of day and month where both are numbers.
    first_year : int, default 1969
        First of the hundred years in which a year of two digits lies.

    Returns
    -------
    str or None
        The date, which need not exist: 2021-02-30 stays so. None for texts without the format of a date.
    """
    normalized_text, zone_region = split_region(normalize_date_text(text))
    written_date = _written_date(normalized_text, order, first_year)
    return add_difference(written_date, zone_region) if written_date and zone_region else written_date


def _written_date(normalized_text: str, date_order: DateOrder, first_year: int) -> str | None:
    """Write a normalised date as year, month, day and time."""
    if (match := ISO.fullmatch(normalized_text)) is not None:
        return f"{match['year']}-{match['number']}-{match['day']}{_normalize_time_of_day(match['clock'])}"
    for pattern in NAMED_MONTH:
        match = pattern.fullmatch(normalized_text)
        if (
            match is not None
            and (named_month_date := _month_name_to_iso_date(match.groupdict(), first_year)) is not None
        ):
            return named_month_date
    return (
        _compact_to_iso_date(normalized_text)
        or _period_to_iso_date(normalized_text)
        or _numeric_to_iso_date(normalized_text, date_order, first_year)
    )


def find_first_year(texts: Iterable[str], order: DateOrder) -> tuple[int, bool]:
    """Find the hundred years in which the years of two digits of a column lie: they begin where the fewest dates are.

    Years 45 to 99 and 00 to 05 are those from 1945 to 2005, and 15 to 25 those from 2015 to 2025.

    Parameters
    ----------
    texts : iterable of str
        The dates of a column.
    order : {"year first", "day first", "month first"}
        Order of day and month where both are numbers.

    Returns
    -------
    first_year : int
        The first of the hundred years.
    is_assumed : bool
        Whether the years are so many that the beginning is that of `strptime`.
    """
    short_years = set()
    for text in texts:
        iso_date = None if LONG_YEAR.search(text) else convert_to_iso_date(text, order)
        if iso_date is not None:
            short_years.add(int(iso_date[:4]) % 100)
    if not short_years:
        return FIRST_YEAR, False
    sorted_years = sorted(short_years)
    year_gap, start_year = max(
        (after - before, after) for before, after in pairwise([sorted_years[-1] - 100, *sorted_years])
    )
    if year_gap < MIN_YEAR_GAP:
        return FIRST_YEAR, True
    end_year = start_year + 100 - year_gap  # above 99 where the years go on in the next century
    century_start = 1900 if start_year >= LAST_BIRTH or end_year > LAST_FUTURE else 2000
    return century_start + start_year - year_gap // 2, False


def normalize_date_text(text: str) -> str:
    """Write a text in lower case, with plain digits, single blanks and letters without accents."""
    if not text.isascii():
        for time_unit, separator in UNITS_OF_TIME:
            text = re.sub(rf"(?<=\d){time_unit}", separator, text)
        decomposed_text = unicodedata.normalize("NFKD", text.strip(" -:").replace("ä", "ae"))
        text = "".join(character for character in decomposed_text if not unicodedata.combining(character))
        text = text.removesuffix("г.").removesuffix("года")
    return " ".join(text.casefold().split())


def _compact_to_iso_date(text: str) -> str | None:
    """Write a date without separators."""
    match = COMPACT.fullmatch(text)
    if match is None:
        return None
    clock_text = ""
    if match["hour"]:
        clock_text = (
            f" {match['hour']}:{match['minute']}:{match['second'] or '00'}{match['zone'] or ''}{match['name'] or ''}"
        )
    return f"{match['year']}-{match['number']}-{match['day']}{clock_text.upper()}"


def _period_to_iso_date(text: str) -> str | None:
    """Write the first day of a quarter or a week."""
    match = QUARTER.fullmatch(text)
    if match is not None:
        quarter_number = int(match["quarter"] or match["first_quarter"])
        return f"{match['year'] or match['last_year']}-{3 * quarter_number - 2}-1"
    match = WEEK.fullmatch(text)
    if match is None:
        return None
    try:
        return date.fromisocalendar(int(match["year"]), int(match["week"]), int(match["day"] or 1)).isoformat()
    except ValueError:  # not every year has a week 53
        return f"{match['year']}-0-0"


def _numeric_to_iso_date(text: str, date_order: DateOrder, first_year: int) -> str | None:
    """Write a date whose day, month and year are numbers."""
    match = NUMBERS.fullmatch(text)
    if match is None or VERSION.match(text):
        return None
    year, month, day = match["year"], match["second"], match["first"]
    if date_order == "month first":
        month, day = day, month
    elif date_order == "year first":
        if len(year) == 4:
            return None
        year, day = day.zfill(2), year
    return f"{_complete_year(year, first_year)}-{month}-{day}{_normalize_time_of_day(match['clock'])}"


def _month_name_to_iso_date(date_parts: Mapping[str, str | None], first_year: int) -> str | None:
    """Write the parts of a date whose month is a name; without a day it is the first of the month."""
    month = date_parts.get("number")
    if month is None:
        month = _month_number(str(date_parts["month"]))
        if month is None:
            return None
    year = _complete_year(str(date_parts["year"]), first_year)
    return f"{year}-{month}-{date_parts.get('day') or 1}{_normalize_time_of_day(date_parts.get('clock'))}"


@lru_cache(maxsize=256)
def _month_number(word: str) -> str | None:
    """Find the month of a name or of the beginning of one."""
    for month, names in enumerate(MONTHS, start=1):
        if any(name.startswith(word) for name in names.split()):
            return str(month)
    return None


def _complete_year(year: str, first_year: int) -> str:
    if len(year) == 4:
        return year
    return f"{first_year + (int(year) - first_year) % 100}"


def _normalize_time_of_day(clock_text: str | None) -> str:
    """Write a time of day with its zone as a difference from UTC."""
    if not clock_text:
        return ""
    clock_text = clock_text.lstrip(",: t").removeprefix("at ").strip()
    clock_text = re.sub(r"\[[^\]]*\]$", "", clock_text)  # the name of a zone after its difference
    clock_text = re.sub(r"^(\d{1,2})\.(\d{2})\.(\d{2})", r"\1:\2:\3", clock_text)  # as Oracle writes it
    clock_text = DIFFERENCE.sub(_normalize_utc_offset, clock_text)
    zone = ABBREVIATION.search(clock_text)
    if zone is not None:
        difference = ABBREVIATIONS[zone[1].lower()]
        clock_text = clock_text[: zone.start()]
        if re.search(r"[+-]\d{2}:?\d{2}$", clock_text.strip()) is None:
            clock_text += difference
    if match := re.fullmatch(r"(\d{1,2})\s?([ap])\.?m\.?", clock_text):
        clock_text = f"{match[1]}:00 {match[2]}m"
    return " " + clock_text.strip()


def _normalize_utc_offset(zone: re.Match[str]) -> str:
    """Write a zone such as UTC+2 as +02:00."""
    return f"{zone[1]}{zone[2].zfill(2)}:{zone[3] or '00'}"
