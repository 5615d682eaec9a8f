"""Dates written as text: the order of day, month and year, names of months, times and zones; days since 1970."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, TypeAlias

from harness.data.numbers import is_placeholder

if TYPE_CHECKING:
    import pandas as pd

DateOrder: TypeAlias = Literal["year first", "day first", "month first", "unclear"]

TIME_OF_DAY = r"(?:[T ]\d{1,2}:\d{2}.*)?"
YEAR_FIRST = rf"\d{{4}}([-/.])\d{{1,2}}\1\d{{1,2}}{TIME_OF_DAY}"
YEAR_LAST = rf"(\d{{1,2}})([-/.])(\d{{1,2}})\2(\d{{4}})({TIME_OF_DAY})"
#: Order of day and month → replacement that writes a match of `YEAR_LAST` as an ISO date.
ISO_DATE = {"day first": r"\4-\3-\1\5", "month first": r"\4-\1-\3\5"}

#: Names of months in English, German, French, Spanish, Italian and Portuguese, in lower case and without accents.
MONTHS = (
    "january januar jaenner janvier enero gennaio janeiro", "february februar fevrier febrero febbraio fevereiro",
    "march maerz mrz mars marzo marco", "april avril abril aprile", "may mai mayo maggio maio", "june juni juin junio giugno junho",
    "july juli juillet julio luglio julho", "august aout agosto", "september septembre septiembre settembre setembro sept",
    "october oktober octobre octubre ottobre outubro", "november novembre noviembre novembro",
    "december dezember decembre diciembre dicembre dezembro",
)  # fmt: skip
MONTH = r"(?P<month>[a-z]{3,10})\.?"
DAY = r"(?P<day>\d{1,2})(?:st|nd|rd|th|er|\.|º)?"
YEAR = r"'?(?P<year>\d{4}|\d{2})"
GAP = r"(?:\s+of\s+|\s+de\s+|\s*[-/.,\s]\s*)"
CLOCK = r"(?P<clock>(?:t|,?\s+(?:at\s+)?|:(?=\d{2}:\d{2}:))\d{1,2}(?::\d{2}.*|\s?[ap]\.?m\.?))?"
WEEKDAY = r"(?:(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*\.?,?\s+)?"
#: Formats of dates that no order of day and month makes unclear, on normalised text.
NAMED_MONTH = (
    re.compile(rf"{WEEKDAY}{DAY}{GAP}?{MONTH}{GAP}?{YEAR}{CLOCK}"),
    re.compile(rf"{WEEKDAY}{MONTH}{GAP}?{DAY}{GAP}(?P<year>\d{{4}}){CLOCK}"),
    re.compile(
        rf"{WEEKDAY}{MONTH}\s+{DAY}\s+(?P<clock>\d{{1,2}}:\d{{2}}(?::\d{{2}})?(?:\s+[a-z]{{3,4}})?)\s+(?P<year>\d{{4}})"
    ),
    re.compile(rf"(?P<year>\d{{4}}){GAP}?{MONTH}{GAP}?{DAY}{CLOCK}"),
    re.compile(rf"{MONTH}{GAP}{YEAR}"),
    re.compile(r"(?P<year>(?:19|20)\d{2})-(?P<number>0[1-9]|1[0-2])"),
)
ISO = re.compile(rf"(?P<year>\d{{4}})(?P<separator>[-/.])(?P<number>\d{{1,2}})(?P=separator)(?P<day>\d{{1,2}}){CLOCK}")
#: Day and month as numbers; after points, a year of two digits needs a day and a month of two, or versions would be dates.
NUMBERS = re.compile(
    rf"{WEEKDAY}(?P<first>\d{{1,2}})(?P<separator>[-/. ])(?P<second>\d{{1,2}})(?P=separator)(?P<year>\d{{4}}|\d{{2}}){CLOCK}"
)
VERSION = re.compile(r"\d{1,2}\.\d\.\d{2}|\d\.\d{1,2}\.\d{2}")
#: Names of zones → difference from UTC.
ZONES = {
    "z": "+00:00", "utc": "+00:00", "gmt": "+00:00", "wet": "+00:00", "cet": "+01:00", "mez": "+01:00", "cest": "+02:00",
    "mesz": "+02:00", "eet": "+02:00", "eest": "+03:00", "est": "-05:00", "edt": "-04:00", "cst": "-06:00", "cdt": "-05:00",
    "mst": "-07:00", "mdt": "-06:00", "pst": "-08:00", "pdt": "-07:00", "jst": "+09:00",
}  # fmt: skip
ZONE_NAME = re.compile(r"\s*\(?\b(" + "|".join(ZONES) + r")\b\)?$")
MAX_MONTH, MAX_DAY = 12, 31
PIVOT = 69  #: a year of two digits from here on is one of the last century, as `strptime` has it
MAX_OTHER_SHARE = 0.05  #: of the values that are neither dates nor words for a missing value
MAX_IMPOSSIBLE_SHARE = 0.2
MIN_ORDER_SHARE = 0.99  #: of the dates that say so, for the others to be taken for mistakes
MIN_YEAR_SHARE = 0.05  #: of the dates that begin with a number above 31, for that to be a year of two digits
SAMPLE, MIN_SAMPLE_SHARE = 200, 0.5


@dataclass(frozen=True)
class LearnedDates:
    """The order of the dates of a column, and which texts are none.

    Attributes
    ----------
    order : {"year first", "day first", "month first"}
        Order where day and month are numbers.
    ambiguous : bool
        Whether the order was assumed.
    days : dict of str to float
        Days since 1970 of each text that is a date.
    impossible, strangers : dict of str to int
        Texts with the format of a date that are none, such as 2021-02-30, and all other texts, with their counts.
    """

    order: DateOrder
    ambiguous: bool
    days: dict[str, float]
    impossible: dict[str, int]
    strangers: dict[str, int]


def date_order(text: pd.Series) -> DateOrder | None:
    """Find the order of day, month and year in a column of dates.

    Parameters
    ----------
    text : Series
        Strings, missing values NaN.

    Returns
    -------
    {"year first", "day first", "month first", "unclear"} or None
        The order of all values; None if they are not dates in one format.
    """
    known = text.dropna()
    if known.empty:
        return None
    if known.str.fullmatch(YEAR_FIRST).all():
        return "year first"
    if not known.str.fullmatch(YEAR_LAST).all():
        return None
    parts = known.str.extract(YEAR_LAST)
    first, separator, second = parts[0].astype(int), parts[1], parts[2].astype(int)
    # A number above 12 is a day. Without one, dots mean that the day comes first, as months are not written so.
    day_first, month_first = first.max() > 12 or separator.iloc[0] == ".", second.max() > 12
    if separator.nunique() > 1 or (month_first and day_first):
        return None
    if month_first:
        return "month first"
    return "day first" if day_first else "unclear"


def looks_like_date(text: pd.Series) -> pd.Series:
    """Test for each string whether it has the format of a date."""
    return text.str.fullmatch(YEAR_FIRST).astype(bool) | text.str.fullmatch(YEAR_LAST).astype(bool)


def learn_dates(counts: Mapping[str, int]) -> LearnedDates | None:
    """Learn how the dates of a column are written.

    Parameters
    ----------
    counts : mapping of str to int
        The different known texts of the column with their counts.

    Returns
    -------
    LearnedDates or None
        The order of day and month, and the dates; None where the column holds something else.
    """
    import pandas as pd

    if not _sample_has_dates(list(counts)):
        return None
    order, ambiguous = _learn_order(counts)
    if order is None:
        return None
    texts = pd.Series(list(counts), dtype="str")
    days: dict[str, float] = {}
    impossible: dict[str, int] = {}
    strangers: dict[str, int] = {}
    other = 0
    for text, day in zip(texts.tolist(), parse_dates(texts, order).tolist(), strict=True):
        if not pd.isna(day):
            days[text] = day
        elif iso_date(text, order) is not None:
            impossible[text] = counts[text]
        else:
            strangers[text] = counts[text]
            other += 0 if is_placeholder(text) else counts[text]
    total = sum(counts.values())
    if not days or other > MAX_OTHER_SHARE * total or sum(impossible.values()) > MAX_IMPOSSIBLE_SHARE * total:
        return None
    return LearnedDates(order, ambiguous, days, impossible, strangers)


def _sample_has_dates(texts: list[str]) -> bool:
    sample = [text for text in texts[:: max(1, len(texts) // SAMPLE)] if not is_placeholder(text)]
    with_date = sum(iso_date(text, "day first") is not None for text in sample)
    return with_date > 0 and with_date >= MIN_SAMPLE_SHARE * len(sample)


@dataclass
class _OrderEvidence:
    """What numbers in dates say of the order of day, month and year: counts of dates, and the different numbers."""

    firsts: set[int] = field(default_factory=set)
    seconds: set[int] = field(default_factory=set)
    separators: set[str] = field(default_factory=set)
    year_first: int = 0
    day_first: int = 0
    month_first: int = 0

    def add(self, match: re.Match[str], count: int) -> None:
        """Add a date that occurs so often."""
        first, second = int(match["first"]), int(match["second"])
        self.firsts.add(first)
        self.seconds.add(second)
        self.separators.add(match["separator"])
        if first > MAX_DAY and len(match["year"]) == 2:
            self.year_first += count
        elif MAX_MONTH < first <= MAX_DAY and second <= MAX_MONTH:
            self.day_first += count
        elif MAX_MONTH < second <= MAX_DAY and first <= MAX_MONTH:
            self.month_first += count

    def order(self, total: int) -> tuple[DateOrder | None, bool]:
        """The order, None where dates contradict each other, and whether it is assumed only."""
        if self.year_first:
            is_common = self.year_first >= MIN_YEAR_SHARE * total and not self.month_first
            return ("year first" if is_common else None), False
        if not self.day_first and not self.month_first:
            return self._assumed_order()
        order: DateOrder = "month first" if self.month_first > self.day_first else "day first"
        is_clear = max(self.day_first, self.month_first) >= MIN_ORDER_SHARE * (self.day_first + self.month_first)
        return (order if is_clear else None), False

    def _assumed_order(self) -> tuple[DateOrder, bool]:
        """The order where no number is above 12: of dates with points, or always on the first day of a month, it is clear."""
        if self.separators == {"."} or (self.firsts == {1} and len(self.seconds) > 2):
            return "day first", False
        if self.seconds == {1} and len(self.firsts) > 2:
            return "month first", False
        return "day first", True


def _learn_order(counts: Mapping[str, int]) -> tuple[DateOrder | None, bool]:
    """Find whether the day or the month comes first where both are numbers, and whether that is assumed only."""
    evidence = _OrderEvidence()
    for text, count in counts.items():
        match = NUMBERS.fullmatch(_normalized(text))
        if match is not None:
            evidence.add(match, count)
    if not evidence.firsts:
        return "year first", False
    return evidence.order(sum(counts.values()))


def parse_dates(text: pd.Series, order: DateOrder) -> pd.Series:
    """Convert dates in strings to days since 1970.

    Parameters
    ----------
    text : Series
        Stripped strings, missing values NaN.
    order : {"year first", "day first", "month first"}
        Order of day, month and year where all three are numbers.

    Returns
    -------
    Series
        Days; NaN for missing values and for strings that are no dates of this order.
    """
    import pandas as pd

    pattern = YEAR_FIRST if order == "year first" else YEAR_LAST
    usual = text.where(text.str.fullmatch(pattern).astype(bool))
    if order == "year first":
        iso_dates = usual.str.replace(r"^(\d{4})[/.](\d+)[/.]", r"\1-\2-", regex=True)
    else:
        iso_dates = usual.str.replace(rf"^{YEAR_LAST}$", ISO_DATE[order], regex=True)
    # "mixed" only allows several formats of the time of day: the date itself is year, month, day by now.
    days = to_days(pd.to_datetime(iso_dates, errors="coerce", format="mixed", utc=True))
    others = text[text.notna() & days.isna()]
    if others.empty:
        return days
    converted = {other: iso_date(other, order) for other in others.unique()}
    iso_others = others.map(converted).astype("str")
    iso_others = iso_others.where(others.map(converted).notna())
    return days.fillna(to_days(pd.to_datetime(iso_others, errors="coerce", format="mixed", utc=True)))


def parse_declared_dates(text: pd.Series, date_format: str) -> pd.Series:
    """Convert dates of a declared format to days since 1970; NaN for strings of another one."""
    import pandas as pd

    return to_days(pd.to_datetime(text, errors="coerce", format=date_format, utc=True))


def iso_date(text: str, order: DateOrder) -> str | None:
    """Write a date as year, month, day and time.

    Parameters
    ----------
    text : str
        The date as it was written.
    order : {"year first", "day first", "month first"}
        Order of day and month where both are numbers.

    Returns
    -------
    str or None
        The date, which need not exist: 2021-02-30 stays so. None for texts without the format of a date.
    """
    normalized = _normalized(text)
    if (match := ISO.fullmatch(normalized)) is not None:
        return f"{match['year']}-{match['number']}-{match['day']}{_clock(match['clock'])}"
    for pattern in NAMED_MONTH:
        match = pattern.fullmatch(normalized)
        if match is not None and (date := _named_month_date(match.groupdict())) is not None:
            return date
    match = NUMBERS.fullmatch(normalized)
    if match is None or VERSION.match(normalized):
        return None
    year, month, day = match["year"], match["second"], match["first"]
    if order == "month first":
        month, day = day, month
    elif order == "year first":
        if len(year) == 4:
            return None
        year, day = day.zfill(2), year
    return f"{_four_digits(year)}-{month}-{day}{_clock(match['clock'])}"


def _named_month_date(parts: Mapping[str, str | None]) -> str | None:
    """Write the parts of a date whose month is a name; without a day it is the first of the month."""
    month = parts.get("number")
    if month is None:
        month = _month_number(str(parts["month"]))
        if month is None:
            return None
    return f"{_four_digits(str(parts['year']))}-{month}-{parts.get('day') or 1}{_clock(parts.get('clock'))}"


@lru_cache(maxsize=256)
def _month_number(word: str) -> str | None:
    """Find the month of a name or of the beginning of one."""
    for month, names in enumerate(MONTHS, start=1):
        if any(name.startswith(word) for name in names.split()):
            return str(month)
    return None


def _four_digits(year: str) -> str:
    if len(year) == 4:
        return year
    return f"{'19' if int(year) >= PIVOT else '20'}{year}"


def _clock(clock: str | None) -> str:
    """Write a time of day with its zone as a difference from UTC."""
    if not clock:
        return ""
    clock = clock.lstrip(",: t").removeprefix("at ").strip()
    clock = re.sub(r"\[[^\]]*\]$", "", clock)  # the name of a zone after its difference
    zone = ZONE_NAME.search(clock)
    if zone is not None:
        difference = ZONES[zone[1]]
        clock = clock[: zone.start()]
        if re.search(r"[+-]\d{2}:?\d{2}$", clock.strip()) is None:
            clock += difference
    if match := re.fullmatch(r"(\d{1,2})\s?([ap])\.?m\.?", clock):
        clock = f"{match[1]}:00 {match[2]}m"
    return " " + clock.strip()


def _normalized(text: str) -> str:
    """Write a text in lower case, with plain digits, single blanks and letters without accents."""
    if not text.isascii():
        decomposed = unicodedata.normalize("NFKD", text.replace("ä", "ae"))
        text = "".join(character for character in decomposed if not unicodedata.combining(character))
    return " ".join(text.casefold().split())


def parse_days(text: pd.Series) -> pd.Series | None:
    """Convert dates in strings to days since 1970, in the order that all of them have; None if they have none."""
    order = date_order(text)
    if order in (None, "unclear"):
        return None
    days = parse_dates(text, order)
    return days if days.notna().sum() == text.notna().sum() else None


def to_days(column: pd.Series) -> pd.Series:
    """Convert a column of dates to days since 1970 (UTC), or of durations to days; missing values are NaN."""
    import pandas as pd

    if pd.api.types.is_datetime64_any_dtype(column):
        column = pd.to_datetime(column, utc=True) - pd.Timestamp(0, tz="UTC").as_unit("us")  # 9999-12-31 is beyond ns
    days: pd.Series = column.dt.total_seconds() / 86_400
    return days
