"""From raw rows to a typed table: types, targets, fingerprints, and what is wrong with them."""

import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from harness.data.audit import audit_table
from harness.data.column_summaries import summarize_columns
from harness.data.table import fingerprint_table, load_table, make_table
from harness.data.user_data import UserData
from harness.errors import DataError
from harness.registry.task import Task

N = 40


def raw(**columns):
    """A frame of N rows with one good feature and a target of 30 no and 10 yes."""
    usual = {"amount": np.linspace(0.5, 9.5, N) ** 2, "y": ["no", "no", "no", "yes"] * (N // 4)}
    return pd.DataFrame({**usual, **columns})


def table(frame, **declared):
    return make_table(Task(**{"name": "t", "load": lambda _: frame, "target": "y", **declared}), frame)


def test_a_file_becomes_a_task(tmp_path):
    path = tmp_path / "My Customers (2).csv"
    raw(id=[f"c{i}" for i in range(N)], shop=list("abcd") * (N // 4), secret=range(0, 2 * N, 2)).to_csv(
        path, index=False
    )
    task = UserData(str(path), target="y", drop=("secret",), group="shop").task()
    result = load_table(task)
    assert task.name == "my_customers_2"
    assert list(result.X.columns) == ["amount"]
    assert result.classes == ("no", "yes")
    assert result.groups is not None
    assert sorted(set(result.groups)) == [0, 1, 2, 3]
    assert [(finding.code, finding.column) for finding in result.notes] == [
        ("banned", "secret"),
        ("omitted_identifier", "id"),
    ]
    assert [finding.note for finding in result.notes] == [
        "secret: left out, as asked",
        "id: left out, an identifier: a different value in every row",
    ]


# --- types -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, 2, 3, 3], [1.0, 2.0, 3.0, 3.0]),
        (pd.array([1, None, 3, 3], dtype="Int64"), [1.0, np.nan, 3.0, 3.0]),
        (["1.5", " ", " 3 ", "?"], [1.5, np.nan, 3.0, np.nan]),
        (["1,5", "2", None, "-0,25"], [1.5, 2.0, np.nan, -0.25]),
        (["2024-01-01", "2024-01-02 12:00:00", None, "1970-01-02"], [19723.0, 19724.5, np.nan, 1.0]),
        (["02.01.1970", "01.01.1970 12:00", None, "11.01.1970"], [1.0, 0.5, np.nan, 10.0]),
        (["1/13/1970", "2/1/1970", None, "1/1/1970 6:00 PM"], [12.0, 31.0, np.nan, 0.75]),
        (["13-1-1970", "1-2-1970", None, "1-1-1970"], [12.0, 31.0, np.nan, 0.0]),
        (["1970/1/13", "1970/2/1", None, "1970/1/1"], [12.0, 31.0, np.nan, 0.0]),
        (pd.to_datetime(["1970-01-01", "1970-01-03", None, "1970-01-02"]), [0.0, 2.0, np.nan, 1.0]),
        (pd.to_timedelta([24, 36, None, 12], unit="h"), [1.0, 1.5, np.nan, 0.5]),
    ],
)
def test_numbers_dates_and_numbers_written_as_text_are_numbers(values, expected):
    column = table(raw(v=list(values) * (N // 4) if isinstance(values, list) else values.repeat(N // 4))).X["v"]
    assert column.dtype == np.float64
    expected = expected * (N // 4) if isinstance(values, list) else np.repeat(expected, N // 4)
    np.testing.assert_allclose(column, expected)


@pytest.mark.parametrize(
    ("values", "expected", "levels"),
    [
        (["b", "a", " b ", ""], ["b", "a", "b", None], ["a", "b"]),
        ([True, False, True, True], ["True", "False", "True", "True"], ["False", "True"]),
        ([True, False, None, True], ["True", "False", None, "True"], ["False", "True"]),
        ([1, "x", 2.5, "x"], ["1", "x", "2.5", "x"], ["1", "2.5", "x"]),
        (pd.Categorical([2, 1, 2, 2]), ["2", "1", "2", "2"], ["1", "2"]),
    ],
)
def test_text_booleans_and_mixtures_are_categories_of_strings(values, expected, levels):
    values = values.repeat(N // 4) if isinstance(values, pd.Categorical) else values * (N // 4)
    expected = list(np.repeat(expected, N // 4)) if isinstance(values, pd.Categorical) else expected * (N // 4)
    column = table(raw(v=values)).X["v"]
    assert list(column.cat.categories) == levels
    assert [None if pd.isna(value) else value for value in column] == expected


def test_a_declared_type_wins():
    frame = raw(code=[1, 2, 3, 3] * (N // 4), number=["1", "2", "3", "3"] * (N // 4))
    result = table(frame, types={"code": "category", "number": "category"})
    assert list(result.X["code"].cat.categories) == ["1", "2", "3"]
    assert list(result.X["number"].cat.categories) == ["1", "2", "3"]
    with pytest.raises(DataError, match="column 'v' is declared a number, but holds 'x'"):
        table(raw(v=["1", "x"] * (N // 2)), types={"v": "number"})


def test_constants_and_identifiers_are_left_out_and_said():
    frame = raw(
        name=[f"customer {i}" for i in range(N)],
        row=range(100, 100 + N),
        same=["x"] * N,
        nothing=[None] * N,
        quantity=np.arange(N) ** 2,
        known_for_some=[1.0, None] * (N // 2),
        city=[f"city {i // 2}" for i in range(N)],
    )
    result = table(frame)
    assert list(result.X.columns) == ["amount", "quantity", "known_for_some", "city"]
    assert [finding.column for finding in result.notes] == ["name", "row", "same", "nothing"]


@pytest.mark.parametrize("pattern", ["%Y-%m-%d", "%d.%m.%Y", "%m/%d/%Y", "%Y-%m-%d %H:%M:%S", None])
def test_dates_that_all_differ_or_count_the_days_are_no_identifier(pattern):
    when = pd.date_range("2021-01-01", periods=N, freq="D").to_series(index=range(N))
    result = table(raw(joined=when.dt.strftime(pattern) if pattern else when))
    assert list(result.X["joined"]) == list(range(18628, 18628 + N))
    (finding,) = result.notes
    assert (finding.code, finding.column) == ("read_as_date", "joined")
    assert "days since 1970" in finding.message
    assert "id_like" not in [finding.code for finding in audit_table(result)]


def test_an_order_of_dates_that_is_assumed_is_warned_of():
    result = table(raw(joined=["1/2/2021", "3/4/2021"] * (N // 2)))
    assert list(result.X["joined"][:2]) == [18659.0, 18720.0]  # 1 February, 3 April
    assert result.notes[1].severity == "warning"
    assert "the day or the month may come first, write them like 2024-01-31" in result.notes[1].message


def test_sentences_are_called_text_and_names_identifiers():
    notes = table(
        raw(said=[f"it broke after {i} days" for i in range(N)], name=[f"Kim Lee {i}" for i in range(N)])
    ).notes
    assert [finding.note for finding in notes] == [
        "said: text: a different one in every row, not used",
        "name: left out, an identifier: a different value in every row",
    ]
    assert [finding.code for finding in notes] == ["text_column", "omitted_identifier"]


@pytest.mark.parametrize("y", [[*range(20)] * 2, [*range(10), *range(30)], ["a", "b"] * (N // 2)])
def test_numbers_may_be_classes_while_there_are_few_or_they_recur(y):
    if len(set(y)) > 20:
        y = y * 4  # 30 numbers in 160 rows, the rarest in four of them
    frame = pd.concat([raw()] * (len(y) // N)).assign(y=y)
    assert len(table(frame).classes) == len(set(y))


def test_rows_without_any_value_are_fine():
    frame = raw(city=["Bonn", "Köln"] * (N // 2))
    frame.loc[3, ["amount", "city"]] = None
    result = table(frame)
    assert len(result.y) == N
    assert result.X.iloc[3].isna().all()


def test_infinite_values_are_refused_by_column():
    with pytest.raises(DataError, match="column 'v' has 2 infinite values"):
        table(raw(v=[np.inf, -np.inf, *range(N - 2)]))


# --- target, groups, time, split --------------------------------------------------------------------------------------


def test_the_rarer_class_is_positive_unless_said():
    assert table(raw()).classes == ("no", "yes")
    assert table(raw()).y.sum() == N // 4
    said = table(raw(), positive="no")
    assert said.classes == ("yes", "no")
    assert said.y.sum() == N - N // 4
    assert table(raw(y=[0.0, 1.0] * (N // 2))).classes == ("0", "1")


def test_several_classes_keep_their_order():
    result = table(raw(y=[10, 9, 2, 2] * (N // 4)))
    assert result.classes == ("2", "9", "10")
    assert list(result.y[:4]) == [2, 1, 0, 0]


@pytest.mark.parametrize(
    ("frame", "declared", "complaint"),
    [
        (raw(), {"target": "Y"}, "no such column 'Y' .target of task 't'.: (did you mean 'y'|there are: amount, y)"),
        (raw(), {"banned": {"amont": "late"}}, "no such column 'amont' .*did you mean 'amount'"),
        (raw(), {"banned": {"amount": "late"}}, "has no feature left: amount: left out, late"),
        (raw(), {"positive": "maybe"}, "positive class 'maybe' is not in target 'y': its classes are no, yes"),
        (raw(y=[1, 2, 3, 4] * (N // 4)), {"positive": "1"}, "has 4 classes: a positive class is named only where"),
        (raw(y=["no", None] * (N // 2)), {}, "target 'y' is missing in 20 of 40 rows"),
        (raw(y=["no", "  "] * (N // 2)), {}, "target 'y' is missing in 20 of 40 rows"),
        (raw(y="no"), {}, "target 'y' has one class only .'no'."),
        (
            pd.DataFrame({"a": np.arange(200) / 7, "y": np.arange(200) / 3}),
            {},
            "has 200 different numbers: .* regression",
        ),
        (
            raw(y=[f"{i},5" for i in range(N)]),
            {},
            "has 40 different numbers: this looks like regression, evenhand compares",
        ),
        (pd.concat([raw(y=[*range(20)] * 2), raw(y=99).head(1)]), {}, "has 21 different numbers: this looks like regr"),
        (
            pd.concat([raw(y=[f"{a}{i}" for i in range(N)]) for a in "abc"]),
            {},
            "has 120 different values, an identifier",
        ),
        (raw().head(0), {}, "has no rows"),
        (raw(), {"group": "y"}, "cannot be the target of task 't' and have another role too"),
        (raw(), {"costs": ((0, 1, 2), (1, 0, 1))}, "its cost matrix must be 2 × 2"),
        (raw(g=["a", None] * (N // 2)), {"group": "g"}, "group column 'g' is missing in 20"),
        (raw(t=["a", "b"] * (N // 2)), {"time": "t"}, "time column 't' holds 'a': expected numbers, or dates"),
        (raw(t=["01.02.2024", "soon"] * (N // 2)), {"time": "t"}, "time column 't' holds 'soon': expected"),
        (
            raw(t=["01.02.2024", "2024-03-01"] * (N // 2)),
            {"time": "t"},
            "holds '01.02.2024': expected numbers, or dates all",
        ),
        (
            raw(t=["13/01/2024", "01/13/2024"] * (N // 2)),
            {"time": "t"},
            "holds '13/01/2024': expected numbers, or dates",
        ),
        (raw(t=["1/2/2024", "3/4/2024"] * (N // 2)), {"time": "t"}, "dates like '1/2/2024': the day or the month may"),
        (
            raw(s=["train", "held"] * (N // 2)),
            {"split": "s"},
            "or hold 2 to 100 numbers of folds, but says: held, train",
        ),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_line(frame, declared, complaint):
    with pytest.raises(DataError, match=complaint) as caught:
        table(frame, **declared)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "times",
    [
        [3, 1, 2, 2],
        ["2024-01-03", "2024-01-01", "2024-01-02", "2024-01-02"],
        ["01.03.2024", "01.01.2024", "02.02.2024", "02.02.2024"],
        ["1/3/2024", "31/1/2023", "2/2/2024", "2/2/2024"],
    ],
)
def test_time_becomes_its_order_and_is_no_feature(times):
    result = table(raw(t=times * (N // 4)), time="t")
    assert list(result.time[:4]) == [3, 1, 2, 2]
    assert list(result.X.columns) == ["amount"]


def test_a_split_column_marks_the_test_rows():
    result = table(raw(part=["train", "train", "train", "Test"] * (N // 4)), split="part")
    assert list(result.test[:4]) == [False, False, False, True]
    assert list(result.X.columns) == ["amount"]


# --- fingerprints ---------------------------------------------------------------------------------------------------


def test_a_fingerprint_tells_every_change_and_nothing_else():
    frame = raw(city=["Bonn", "Köln"] * (N // 2), zero=[0.0, 1.0] * (N // 2))
    known = fingerprint_table(table(frame))
    assert fingerprint_table(table(frame.assign(zero=[-0.0, 1.0] * (N // 2)))) == known
    assert fingerprint_table(table(frame.assign(city=frame["city"].astype("category")))) == known
    others = [
        table(frame.assign(zero=[0.0, 1.0000001] * (N // 2))),
        table(frame.assign(city=["Bonn", "Kiel"] * (N // 2))),
        table(frame.rename(columns={"city": "town"})),
        table(frame, positive="no"),
        table(frame.iloc[::-1]),
        table(frame.assign(g=[1, 2] * (N // 2)), group="g"),
        table(frame.assign(g=[1, 2] * (N // 2)), time="g"),
    ]
    assert len({known, *map(fingerprint_table, others)}) == len(others) + 1


def test_a_fingerprint_is_the_same_in_another_process():
    code = (
        "import pandas as pd; from harness.data.table import fingerprint_table; from harness.data.table import make_table;"
        "from harness.registry.task import Task;"
        "f = pd.DataFrame({'a': [1.5, None, 2.5] * 9, 'b': ['x', 'y', None] * 9, 'y': ['no', 'no', 'yes'] * 9});"
        "print(fingerprint_table(make_table(Task(name='t', load=len, target='y'), f)))"
    )
    runs = [
        subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, check=True
        )
        for seed in ("1", "2")
    ]
    assert runs[0].stdout == runs[1].stdout
    assert len(runs[0].stdout.strip()) == 64


# --- audit ----------------------------------------------------------------------------------------------------------


def codes(frame, **declared):
    return [finding.code for finding in audit_table(table(frame, **declared))]


def plenty(**columns):
    """400 rows of two classes, with which nothing is wrong."""
    rng = np.random.default_rng(0)
    usual = {"a": rng.normal(size=400), "c": rng.choice(["u", "v", "w"], 400), "y": rng.choice(["no", "yes"], 400)}
    return pd.DataFrame({**usual, **columns})


def test_a_good_table_has_no_finding():
    assert codes(plenty()) == []


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (plenty(y=["yes"] * 20 + ["no"] * 380), "few_positives"),
        (pd.concat([plenty(), plenty().head(5)]), "duplicates"),
        (plenty(late=plenty()["y"].map({"no": 0.0, "yes": 1.0}) + 7), "leaky_column"),
        (plenty(late=plenty()["y"].map({"no": "open", "yes": "closed"})), "leaky_column"),
        (plenty(number=np.arange(400) * 3), "id_like"),
        (plenty(town=[f"town {i // 4}" for i in range(400)]), "high_cardinality"),
        (plenty(some=[1.0, 2.0, None, None] * 100), "missing"),
        (plenty(few=[1.0, 2.0] * 199 + [None] * 2), "missing"),
    ],
)
def test_each_finding_is_found_alone(frame, code):
    assert codes(frame) == [code]


def test_conflicting_labels_are_duplicates_too():
    twice = pd.concat([plenty(), plenty().head(5).assign(y=plenty()["y"].head(5).map({"no": "yes", "yes": "no"}))])
    assert codes(twice) == ["conflicting_labels", "duplicates"]


def test_a_nearly_constant_column_is_found():
    big = pd.concat([plenty()] * 5).assign(a=np.random.default_rng(1).normal(size=2000), flag=[1.0] + [0.0] * 1999)
    assert codes(big) == ["constant"]


def test_a_category_of_single_rows_is_not_taken_for_a_leak():
    frame = plenty(town=[f"town {i}" for i in range(399)] + ["town 0"])
    assert codes(frame) == ["high_cardinality"]


# --- what a run stores of the columns -------------------------------------------------------------------------


def test_columns_are_summarized_with_roles_and_without_values():
    frame = raw(
        shop=list("abcd") * (N // 4), colour=["red", None] * (N // 2), day=pd.date_range("2024-01-01", periods=N),
        id=[f"c{number}" for number in range(N)],
    )  # fmt: skip
    task = Task(name="t", load=lambda _: frame, target="y", group="shop")
    summaries = {summary.pop("name"): summary for summary in summarize_columns(task, make_table(task, frame))}
    unknown = {"missing": None, "levels": None}
    assert summaries == {
        "amount": {"kind": "number", "missing": 0, "levels": N},
        "colour": {"kind": "category", "missing": N // 2, "levels": 1},
        "day": {"kind": "date", "missing": 0, "levels": N},
        "y": {"kind": "target", **unknown},
        "shop": {"kind": "group", **unknown},
        "id": {"kind": "left out", **unknown},
    }
