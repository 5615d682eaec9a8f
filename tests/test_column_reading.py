"""Columns as people write them: numbers, dates, labels and names are read as what they mean, and every repair is said."""

import json
from collections import Counter
from datetime import date, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.data.column_types import parse_types_option
from harness.data.columns import infer_column
from harness.data.dates import learn_date_format
from harness.data.durations import parse_duration
from harness.data.numbers import learn_number_format
from harness.data.table import load_table, make_table
from harness.data.user_data import UserData
from harness.deploy.predict import read_rows
from harness.deploy.schema import Schema, describe_task_rows
from harness.errors import DataError, EvenhandError
from harness.registry.task import Task

N = 60
#: Ways to write a number: decimal character, separator of thousands, what stands before and after, negative numbers.
SEPARATORS = [
    (".", ""),
    (".", ","),
    (".", " "),
    (".", "'"),
    (".", "\u2019"),
    (",", "."),
    (",", "\u202f"),
    (",", "\u00a0"),
]
AFFIXES = [
    ("", ""), ("$", ""), ("€ ", ""), ("CHF ", ""), ("", " €"), ("", " USD"), ("", "%"), ("", " %"), ("", " kg"), ("", "m²"),
]  # fmt: skip
NEGATIVES = ["-{}", "\u2212{}", "({})", "{}-"]
STRANGERS = ["-", "n.d.", "<0.5", ">100", "unknown", "#N/A", "none", "N.A.", "\u2013", "keine Angabe"]
SPEED = settings(max_examples=30, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


def raw(**columns: object) -> pd.DataFrame:
    usual = {"amount": np.linspace(0.5, 9.5, N) ** 2, "y": ["no", "no", "no", "yes"] * (N // 4)}
    return pd.DataFrame({**usual, **columns})


def task_of(frame: pd.DataFrame, **declared: object) -> Task:
    return Task(**{"name": "t", "load": lambda _: frame, "target": "y", **declared})  # type: ignore[arg-type]


def write_number(
    number: float, decimals: int, separators: tuple[str, str], affixes: tuple[str, str], negative: str
) -> str:
    decimal, thousands = separators
    digits = f"{abs(number):,.{decimals}f}".replace(",", "\0").replace(".", decimal).replace("\0", thousands)
    text = f"{affixes[0]}{digits}{affixes[1]}"
    return negative.format(text) if number < 0 else text


@SPEED
@given(
    numbers=st.lists(st.floats(-(10**7), 10**7), min_size=20, max_size=40, unique=True),
    decimals=st.sampled_from([1, 2]),
    separators=st.sampled_from(SEPARATORS),
    affixes=st.sampled_from(AFFIXES),
    negative=st.sampled_from(NEGATIVES),
    strangers=st.sets(st.sampled_from(STRANGERS), max_size=3),
)
def test_a_number_comes_back_in_any_format_and_strangers_are_missing(
    numbers: list[float],
    decimals: int,
    separators: tuple[str, str],
    affixes: tuple[str, str],
    negative: str,
    strangers: set[str],
) -> None:
    rounded = [round(number, decimals) + 0.0 for number in numbers]
    texts = [write_number(number, decimals, separators, affixes, negative) for number in rounded]
    learned = learn_number_format(Counter([*texts, *strangers]))
    assert learned is not None
    assert [learned.numbers[text] for text in texts] == rounded
    assert set(learned.strangers) == strangers


@pytest.mark.parametrize(
    ("texts", "numbers"),
    [
        (["192.9k", "5M", "1.1bn", "12"], [192_900, 5e6, 1.1e9, 12]),
        (["5,5 Mio. €", "3 Mrd. €"], [5.5e6, 3e9]),
        (["$1.2M", "$900k"], [1.2e6, 9e5]),
        (["\uff11\uff12", "\uff13\uff0e\uff15"], [12, 3.5]),
        (["12,34,567", "1,00,000"], [1_234_567, 100_000]),
        (["36 months", "60 months"], [36, 60]),
        (["1 day", "2 days"], [1, 2]),
        (["1.234 €", "2.500 €"], [1234, 2500]),
        (["1.234 kg", "2.500 kg", "5000 kg"], [1.234, 2.5, 5000]),
        (["$(4.00)", "-$5.00"], [-4, -5]),
        (["1e5 kg", "2E-3 kg"], [1e5, 0.002]),
        (["'12.5", '="3"', '"4"'], [12.5, 3, 4]),
        (["12.\u2013", "5.--", "CHF 7.-"], [12, 5, 7]),
        (["\u0661\u0662", "\u096a"], [12, 4]),
    ],
)
def test_numbers_with_words_around_them(texts: list[str], numbers: list[float]) -> None:
    learned = learn_number_format(Counter(texts))
    assert learned is not None
    assert list(learned.numbers.values()) == numbers


@pytest.mark.parametrize(
    "texts",
    [
        ["1.2.3", "1.2.4", "2.0.1"],
        ["555-1234", "555-9999"],
        ["+1 555 123 4567"],
        ["123 456 789", "223 456 789"],
        ["0171 1234567", "030 123456"],
        ["10.0.0.1", "192.168.1.1"],
        ["A12", "B13"],
        ["12A", "13A", "14B"],
        ["12 kg", "900 g", "3 kg", "4 g"],
        ["$5", "€6", "$7", "€8"],
        ["1st", "2nd", "3rd"],
        ["18-25", "26-35", "65+"],
        ["1", "2", "3+", "none"],
        ["4 rooms near the lake", "3 rooms, garden"],
        ["12:30", "13:45"],
        ["3/4", "1/2"],
    ],
)
def test_codes_and_texts_are_no_numbers_and_no_dates(texts: list[str]) -> None:
    assert learn_number_format(Counter(texts)) is None
    assert learn_date_format(Counter(texts)) is None


DATE_FORMATS = [
    "%Y-%m-%d", "%Y/%m/%d", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%b-%y", "%d/%m/%y", "%m/%d/%y", "%b %d, %Y", "%B %d, %Y",
    "%d %B %Y",
    "%d-%b-%Y", "%a, %d %b %Y", "%Y-%b-%d",
]  # fmt: skip
CLOCKS = ["", " %H:%M", " %H:%M:%S", " %I:%M %p", " %H:%M:%S+02:00"]


@SPEED
@given(
    days=st.lists(st.dates(date(1970, 1, 1), date(2068, 12, 31)), min_size=40, max_size=60, unique=True),
    date_format=st.sampled_from(DATE_FORMATS),
    clock=st.sampled_from(CLOCKS),
    seconds=st.integers(0, 86_399),
    strangers=st.sets(st.sampled_from(["-", "unknown", "n.d."]), max_size=2),
)
def test_a_date_comes_back_in_any_format(
    days: list[date], date_format: str, clock: str, seconds: int, strangers: set[str]
) -> None:
    days = [*days, date(2020, 1, 31), date(2020, 12, 31)]  # these two say where the day stands
    seconds -= seconds % {"": 86_400, " %H:%M": 60, " %I:%M %p": 60}.get(clock, 1)
    moments = [datetime.combine(day, datetime.min.time()) + timedelta(seconds=seconds) for day in days]
    texts = [moment.strftime(date_format + clock) for moment in moments]
    learned = learn_date_format(Counter([*texts, *strangers]))
    assert learned is not None
    offset = 7200 if "+02:00" in clock else 0
    expected = [(moment - datetime(1970, 1, 1)).total_seconds() - offset for moment in moments]
    np.testing.assert_allclose([learned.days[text] * 86_400 for text in texts], expected, atol=1e-4)
    assert set(learned.strangers) == strangers


@pytest.mark.parametrize(
    ("texts", "first_day"),
    [
        (["5. März 2019", "1. Dez. 2020"], 17_960),
        (["7 mars 2019", "5 décembre 2020"], 17_962),
        (["5 de marzo de 2019"], 17_960),
        (["Tue Mar  5 10:00:00 UTC 2019"], 17_960 + 10 / 24),
        (["05/Mar/2019:10:00:00 +0000"], 17_960 + 10 / 24),
        (["2019-03-05 10:00:00 CET"], 17_960 + 9 / 24),
        (["Mar-19", "Apr-20"], 17_956),
        (["2019-03", "2019-04"], 17_956),
        (["19/03/05", "45/12/25"], 17_960),
        (["20190305", "20201231"], 17_960),
        (["20190305T100000Z", "20201231T235959Z"], 17_960 + 10 / 24),
        (["05-MAR-19 10.00.00.000000 AM"], 17_960 + 10 / 24),
        (["2019-03-05 10:00 UTC+2"], 17_960 + 8 / 24),
        (["05.03.2019 10:00 GMT-01:30"], 17_960 + 11.5 / 24),
        (["2019\u5e743\u67085\u65e5"], 17_960),
        (["5 maart 2019", "7 augustus 2020"], 17_960),
        (["5 \u043c\u0430\u0440\u0442\u0430 2019 \u0433."], 17_960),
        (["5 wrze\u015bnia 2019"], 18_144),
        (["2019-Q2", "2020-Q4"], 17_987),
        (["Q2 2019"], 17_987),
        (["2019-W10", "2020-W53"], 17_959),
        (["03/2019", "12/2020"], 17_956),
    ],
)
def test_dates_of_other_languages_and_programs(texts: list[str], first_day: float) -> None:
    learned = learn_date_format(Counter(texts))
    assert learned is not None
    assert learned.days[texts[0]] == pytest.approx(first_day)


@pytest.mark.parametrize(
    ("years", "first_year", "last_year"),
    [
        ([15, 20, 25], 2015, 2025),
        ([45, 70, 99, 0, 5], 1945, 2005),
        ([55, 58, 63], 1955, 1963),
        ([20, 35, 50], 2020, 2050),
        ([*range(25, 100, 4)], 1925, 1997),
        ([95, 2, 12], 1995, 2012),
    ],
)
def test_years_of_two_digits_lie_in_the_hundred_years_that_fit_the_column(
    years: list[int], first_year: int, last_year: int
) -> None:
    texts = [f"{day}/06/{year:02d}" for year in years for day in (1, 28)]
    frame = raw(when=[texts[row % len(texts)] for row in range(N)])
    task = task_of(frame)
    table = make_table(task, frame)
    days = table.X["when"]
    assert (pd.to_datetime(days, unit="D").dt.year.min(), pd.to_datetime(days, unit="D").dt.year.max()) == (
        first_year,
        last_year,
    )
    schema = Schema.from_dict(json.loads(json.dumps(describe_task_rows(task, table).as_dict())))
    assert read_rows(schema, frame).X["when"].tolist() == days.tolist()


def test_years_of_two_digits_of_a_whole_century_are_warned_of() -> None:
    frame = raw(when=[f"{1 + row % 28}/06/{(row * 7) % 100:02d}" for row in range(N)])
    assert "ambiguous_year" in [finding.code for finding in make_table(task_of(frame), frame).notes]


@pytest.mark.parametrize("kind", ["text", "datetime"])
def test_dates_for_no_end_are_missing_and_said(kind: str) -> None:
    texts = [f"20{10 + row % 9}-03-{1 + row % 28:02d}" for row in range(N)]
    texts[3] = texts[7] = "9999-12-31"
    texts[9] = "0001-01-01"
    when = pd.Series(texts)
    frame = raw(when=when.astype("datetime64[s]") if kind == "datetime" else when)
    task = task_of(frame)
    table = make_table(task, frame)
    assert table.X["when"].isna().sum() == 3
    (finding,) = [finding for finding in table.notes if finding.code == "date_sentinel"]
    assert (finding.rows, finding.severity) == (3, "warning")
    assert "'9999-12-31' as missing, '0001-01-01' as missing" in finding.message
    assert read_rows(describe_task_rows(task, table), frame).X["when"].isna().sum() == 3
    declared = task_of(frame, types={"when": "date"})
    assert make_table(declared, frame).X["when"].notna().all()


def test_a_first_day_near_the_others_is_no_sentinel() -> None:
    frame = raw(born=[f"{1900 + row}-01-01" for row in range(N)])
    assert make_table(task_of(frame), frame).X["born"].notna().all()


@pytest.mark.parametrize(
    ("text", "moment", "zone"),
    [
        ("2019-03-07 10:00 Europe/Berlin", "2019-03-07 09:00", "Europe/Berlin"),
        ("2019-07-07T10:00:30[europe/berlin]", "2019-07-07 08:00:30", "Europe/Berlin"),
        ("07/03/2019 10:15 PM America/New_York", "2019-03-08 03:15", "America/New_York"),
        ("2019-03-07T10:00:00+01:00[Europe/Berlin]", "2019-03-07 09:00", "Europe/Berlin"),
        ("7. M\u00e4rz 2019 10:00 CET", "2019-03-07 09:00", "CET"),
        ("2019-03-07 10:00 IST", "2019-03-07 04:30", "IST"),
    ],
)
def test_times_in_named_zones_are_counted_in_utc_and_said(text: str, moment: str, zone: str) -> None:
    learned = learn_date_format({text: 3})
    expected = (pd.Timestamp(moment) - pd.Timestamp(0)) / pd.Timedelta(days=1)
    assert learned.days[text] == pytest.approx(expected, abs=1e-9)
    assert learned.zones == (zone,)
    column = infer_column(pd.Series([text] * 3, name="at"))
    assert f"times in {zone}, counted in UTC" in column.findings[0].message


@pytest.mark.parametrize(
    "numbers", [[20_150_001 + row * 7 for row in range(N)], [20_150_131 + row * 13 for row in range(N)]]
)
def test_whole_numbers_that_are_no_dates_stay_numbers(numbers: list[int]) -> None:
    frame = raw(v=numbers)
    assert make_table(task_of(frame), frame).readings["v"].kind == "number"


def test_dates_that_do_not_exist_are_missing_and_said() -> None:
    days = [f"2021-{1 + i % 12:02d}-{1 + i % 28:02d}" for i in range(N)]
    days[3], days[7] = "0000-00-00", "2021-02-30"
    table = make_table(task_of(raw(when=days)), raw(when=days))
    assert table.X["when"].isna().sum() == 2
    (finding,) = [finding for finding in table.notes if finding.code == "impossible_date"]
    assert finding.rows == 2
    assert "'0000-00-00' as missing, '2021-02-30' as missing" in finding.message


@SPEED
@given(texts=st.lists(st.text(min_size=1, max_size=12), min_size=1, max_size=30))
def test_any_text_is_read_in_new_rows_as_in_training(texts: list[str]) -> None:
    try:
        frame = raw(v=[texts[row % len(texts)] for row in range(N)])
        task = task_of(frame)
        table = make_table(task, frame)
    except DataError:  # such as infinite numbers
        return
    if "v" not in table.X:
        return
    schema = Schema.from_dict(json.loads(json.dumps(describe_task_rows(task, table).as_dict())))
    columns = {name: frame[name].tolist() for name in schema_names(schema)}
    new_rows = read_rows(schema, columns).X["v"]
    assert [None if pd.isna(cell) else cell for cell in new_rows] == [
        None if pd.isna(cell) else cell for cell in table.X["v"]
    ]


def schema_names(schema: Schema) -> list[str]:
    return [feature.name for feature in schema.features]


# --- labels ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "classes", "code"),
    [
        (["Yes", "yes", "No", "No", "no", "Yes"], ("No", "Yes"), "merged_label"),
        ([">50K", ">50K.", "<=50K", "<=50K", "<=50K.", ">50K"], ("<=50K", ">50K"), "merged_label"),
        (["caf\u00e9", "cafe\u0301", "tea", "tea", "tea", "caf\u00e9"], ("caf\u00e9", "tea"), "merged_label"),
        (["a", "\ufeffa", "b", "b", "b", "b"], ("b", "a"), "merged_label"),
        (["a", " a", "b", "b", "b", "b"], ("b", "a"), "padded_label"),
        (["None", "brick", "brick", "brick", "None", "brick"], ("brick", "None"), "class_named_missing"),
    ],
)
def test_spellings_of_a_label_are_one_class_and_said(labels: list[str], classes: tuple[str, ...], code: str) -> None:
    frame = raw(y=labels * (N // 6))
    table = make_table(task_of(frame), frame)
    assert table.classes == classes
    assert [finding.code for finding in table.notes] == [code]


def test_a_target_that_is_declared_a_category_keeps_its_spellings() -> None:
    frame = raw(y=["Yes", "yes", "No", "No"] * (N // 4))
    assert len(make_table(task_of(frame, types={"y": "category"}), frame).classes) == 3


@pytest.mark.parametrize(
    ("labels", "positive", "classes"),
    [
        (("01", "02"), "01", ("02", "01")),
        (("1.0", "2.0"), "1.0", ("2.0", "1.0")),
        (("true", "false"), "true", ("false", "true")),
        (("NA", "EU"), "NA", ("EU", "NA")),
        (("Yes", "No"), "yes", ("No", "Yes")),
    ],
)
def test_labels_of_a_file_come_back_as_they_were_written(tmp_path, labels, positive, classes) -> None:
    raw(y=list(labels) * (N // 2)).to_csv(tmp_path / "rows.csv", index=False)
    assert load_table(UserData(str(tmp_path / "rows.csv"), "y", positive).task()).classes == classes


def test_rows_without_a_label_are_left_out_where_that_is_asked_for(tmp_path) -> None:
    labels = ["1", "0", "", "NA"] * (N // 4)
    raw(y=labels).to_csv(tmp_path / "rows.csv", index=False)
    with pytest.raises(DataError, match=r"missing in 30 of 60 rows.*--drop-missing-target"):
        load_table(UserData(str(tmp_path / "rows.csv"), "y").task())
    table = load_table(UserData(str(tmp_path / "rows.csv"), "y", drop_missing_target=True).task())
    assert (len(table.y), len(table.X), table.classes) == (30, 30, ("0", "1"))
    assert table.notes[0].rows == 30


# --- categories, identifiers, codes --------------------------------------------------------------------------------------


def test_spellings_of_a_name_are_one_level_in_training_and_in_new_rows() -> None:
    frame = raw(v=["France", " france ", "Spain", "FRANCE", "France"] * (N // 5))
    task = task_of(frame)
    table = make_table(task, frame)
    assert list(table.X["v"].cat.categories) == ["France", "Spain"]
    (finding,) = table.notes
    assert (finding.code, finding.rows) == ("merged_spelling", 2 * (N // 5))
    schema = describe_task_rows(task, table)
    assert read_rows(schema, {"amount": [1.0], "v": ["fRANCE."]}).X["v"].tolist() == ["France"]
    written = make_table(task_of(frame, types={"v": "category"}), frame)
    assert list(written.X["v"].cat.categories) == ["FRANCE", "France", "Spain", "france"]


def test_letters_that_differ_by_case_are_different_names() -> None:
    frame = raw(v=(list("abcdefABCDEF") * 5))
    assert len(make_table(task_of(frame), frame).X["v"].cat.categories) == 12


@pytest.mark.parametrize(
    ("codes", "levels"),
    [
        ([2**60 + 1, 2**60 + 3], ["1152921504606846977", "1152921504606846979"]),
        (["02134", "10001"], ["02134", "10001"]),
        (["12345678901234567890123456", "12345678901234567890123457"], None),
    ],
)
def test_codes_keep_all_their_digits(tmp_path, codes, levels) -> None:
    raw(v=codes * (N // 2)).to_csv(tmp_path / "rows.csv", index=False)
    table = load_table(UserData(str(tmp_path / "rows.csv"), "y").task())
    assert list(table.X["v"].cat.categories) == (levels or codes)


def test_an_identifier_by_its_name_is_left_out() -> None:
    numbers = np.arange(N) * 17 + 1000
    numbers[1] = numbers[0]
    table = make_table(task_of(raw(customer_id=numbers)), raw(customer_id=numbers))
    assert list(table.X.columns) == ["amount"]
    assert "an identifier by its name" in table.notes[0].message
    kept = make_table(task_of(raw(customer_id=numbers), types={"customer_id": "number"}), raw(customer_id=numbers))
    assert list(kept.X.columns) == ["amount", "customer_id"]


# --- numbers with strangers and sentinels ----------------------------------------------------------------------------------


@pytest.mark.parametrize("sentinel", [-999.0, 9_999_999_999.0, -1.0, 99_999.0])
def test_a_number_far_outside_the_others_is_missing_and_said(sentinel: float) -> None:
    ages = [18.0 + row % 60 for row in range(N)]
    ages[5] = ages[9] = sentinel
    frame = raw(v=ages)
    task = task_of(frame)
    table = make_table(task, frame)
    assert table.X["v"].isna().sum() == 2
    assert [(finding.code, finding.rows) for finding in table.notes] == [("sentinel", 2)]
    read = read_rows(describe_task_rows(task, table), {"amount": [1.0, 1.0], "v": [sentinel, 20]}).X["v"]
    assert read.isna().tolist() == [True, False]
    assert make_table(task_of(frame, types={"v": "number"}), frame).X["v"].notna().all()


@pytest.mark.parametrize("numbers", [[*range(-30, 30)], [row % 7 - 1 for row in range(N)], [99.0, *range(1, N)]])
def test_a_number_that_may_be_a_quantity_is_no_sentinel(numbers: list[float]) -> None:
    frame = raw(v=[float(number) + 0.25 * (number > 5) for number in numbers])
    assert make_table(task_of(frame), frame).X["v"].notna().all()


def test_strangers_among_numbers_are_listed_with_two_examples(tmp_path) -> None:
    values = [f"{row * 1.5:.2f}" for row in range(N)]
    values[2], values[3], values[4] = "-", "n.d.", "<0.5"
    raw(v=values).to_csv(tmp_path / "rows.csv", index=False)
    task = UserData(str(tmp_path / "rows.csv"), "y").task()
    table = load_table(task)
    assert table.X["v"].isna().sum() == 3
    assert {finding.code: finding.rows for finding in table.notes} == {"placeholder": 2, "censored_number": 1}
    assert "'-' as missing, 'n.d.' as missing" in table.notes[0].message
    repairs = table.readings["v"].repairs
    assert [(repair.code, repair.count) for repair in repairs] == [("placeholder", 2), ("censored_number", 1)]


@pytest.mark.parametrize(
    ("texts", "first", "codes"),
    [
        (
            ["960", *(f"{row}.{row * 37 % 1000:03d}" for row in range(1, N))],
            960,
            ["formatted_number", "ambiguous_number"],
        ),
        ([f"{row + 1}.{row * 37 % 1000:03d}" for row in range(N)], 1.0, ["ambiguous_number"]),
        (["0.960", *(f"{row}.{row * 37 % 1000:03d}" for row in range(1, N))], 0.96, []),
        (["1234", *(f"{row}.{row * 37 % 1000:03d}" for row in range(1, N))], 1234, []),
        ([f"{row}.{row % 7}" for row in range(N)], 0, []),
    ],
)
def test_points_before_three_digits_may_separate_thousands(tmp_path, texts, first, codes) -> None:
    raw(v=texts).to_csv(tmp_path / "rows.csv", index=False)
    table = load_table(UserData(str(tmp_path / "rows.csv"), "y").task())
    assert table.X["v"].iloc[0] == first
    assert table.X["v"].iloc[9] == (9333 if first == 960 else float(texts[9]))
    assert [finding.code for finding in table.notes] == codes
    declared = load_table(UserData(str(tmp_path / "rows.csv"), "y", types={"v": "number"}).task())
    assert declared.X["v"].iloc[9] == float(texts[9])


@pytest.mark.parametrize("texts", [["{} DR", "{} CR"], ["{} m", "{} cm"], ["~{}", "about {}"]])
def test_numbers_of_several_units_are_warned_of_even_where_they_all_differ(texts: list[str]) -> None:
    frame = raw(v=[texts[row % 2].format(row * 1.37) for row in range(N)])
    findings = {finding.code: finding for finding in make_table(task_of(frame), frame).notes}
    assert findings.keys() == {"omitted_identifier", "mixed_column"}
    assert "several units or formats" in findings["mixed_column"].message


@pytest.mark.parametrize(
    ("texts", "codes"),
    [
        ([f"0{1000 + row % 30}" for row in range(N)], ["coded_name"]),
        ([f"+49 171 {5_550_000 + row * 7}" for row in range(N)], ["omitted_identifier"]),
        ([str(10**25 + row) for row in range(N)], ["omitted_identifier"]),
    ],
)
def test_codes_and_telephone_numbers_are_no_numbers_to_be_warned_of(texts: list[str], codes: list[str]) -> None:
    frame = raw(v=texts)
    notes = make_table(task_of(frame), frame).notes
    assert [(finding.code, finding.severity) for finding in notes] == [(code, "note") for code in codes]


def test_a_category_that_holds_numbers_mostly_is_warned_of() -> None:
    frame = raw(v=[str(row) if row % 3 else "abc" for row in range(N)])
    (finding,) = make_table(task_of(frame), frame).notes
    assert (finding.code, finding.severity) == ("mixed_column", "warning")
    declared = make_table(task_of(frame, types={"v": "number"}), frame)
    assert declared.X["v"].isna().sum() == N // 3
    assert declared.notes[0].code == "unreadable_value"


@pytest.mark.parametrize(
    ("text", "hours"),
    [
        ("12:30", 12.5),
        ("08:15:36", 8.26),
        ("12:15 am", 0.25),
        ("12:15 PM", 12.25),
        ("36:00", 36),
        ("3 days 02:00:00", 74),
        ("-1 days +23:00:00", -1),
        ("PT1H30M", 1.5),
        ("P1DT6H", 30),
        ("-PT30M", -0.5),
        ("16:9", None),
        ("13:15 pm", None),
        ("12:75", None),
        ("P", None),
        ("PT", None),
    ],
)
def test_times_of_day_and_durations_are_days(text: str, hours: float | None) -> None:
    days = parse_duration(text)
    assert days == (None if hours is None else pytest.approx(hours / 24))


def test_a_column_of_times_is_one_of_numbers_and_few_times_are_names() -> None:
    frame = raw(opened=[f"{row % 24:02d}:15" for row in range(N)], shift=["06:00", "14:00", "22:00"] * (N // 3))
    table = make_table(task_of(frame), frame)
    assert (table.readings["opened"].written, table.readings["shift"].kind) == ("duration", "category")
    assert [finding.note for finding in table.notes] == ["opened: times of day or durations as days"]


# --- declared types ----------------------------------------------------------------------------------------------------


def test_types_are_read_from_one_option() -> None:
    texts = ["amount=number,when=date:%b %d, %Y,code=category", "a=b=id,free=drop"]
    expected = {"amount": "number", "when": "date:%b %d, %Y", "code": "category", "a=b": "id", "free": "drop"}
    assert parse_types_option(texts) == expected


@pytest.mark.parametrize("text", ["amount", "amount=float", "when=date:soon", "=number", "amount=number:x"])
def test_types_that_do_not_exist_are_refused(text: str) -> None:
    with pytest.raises(EvenhandError, match=r"amount=number,when=date|no format of dates|only a date has a format"):
        parse_types_option([text])


def test_declared_types_decide() -> None:
    columns = {
        "when": [f"{1 + row % 12:02d}/{1 + row % 11:02d}/21" for row in range(N)],
        "code": [row % 9 for row in range(N)],
        "card": [row % 50 for row in range(N)],
        "free": [f"text {row % 5}" for row in range(N)],
    }
    types = {"when": "date:%m/%d/%y", "code": "category", "card": "id", "free": "drop"}
    frame = raw(**columns)
    table = make_table(task_of(frame, types=types), frame)
    assert list(table.X.columns) == ["amount", "when", "code"]
    assert table.X["when"][1] == 18_660.0  # 2 February 2021
    assert table.X["code"].dtype == "category"
    assert [finding.note for finding in table.notes] == [
        "card: left out, an identifier, as declared",
        "free: left out, as asked",
    ]
    schema = describe_task_rows(task_of(frame, types=types), table)
    assert read_rows(schema, {"amount": [1], "when": ["03/04/21"], "code": ["1"]}).X["when"].tolist() == [18_690.0]


def test_a_target_without_any_label_is_refused_in_one_line() -> None:
    frame = raw(y=[None] * N)
    with pytest.raises(DataError, match="target 'y' is missing in every row"):
        make_table(task_of(frame, drop_missing_target=True), frame)
