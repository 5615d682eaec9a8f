"""What a declaration of a task can say, said of a file or a frame: costs, test rows, splits, names of rows, a saved declaration."""

import json

import numpy as np
import pandas as pd
import pytest

import evenhand as public
from harness.api.request import RunOptions, make_run_request
from harness.api.task_file import describe_task, write_task_file
from harness.data.arrow_table import NOTES_ATTRIBUTE
from harness.data.costs import check_costs, parse_costs, resolve_costs
from harness.data.splits import make_splitter
from harness.data.table import fingerprint_table, load_table, make_table
from harness.data.user_data import FILE_SPLIT, UserData, load_rows
from harness.errors import DataError, EvenhandError
from harness.execution.plan import RunRequest, load_task, make_plan
from harness.registry.protocol import EvaluationProtocol
from harness.registry.registry import load_registry
from harness.registry.task import Task

N = 120
BINARY = ((0.0, 5.0), (200.0, 0.0))
BY_CLASS = {
    "a": {"a": 0.0, "b": 1.0, "c": 2.0},
    "b": {"a": 3.0, "b": 0.0, "c": 4.0},
    "c": {"a": 5.0, "b": 6.0, "c": 0.0},
}
QUICK = {"families": ["logistic_regression"], "strategies": ["none"], "trials": 1, "folds": 2, "inner_folds": 2,
         "jobs": 1, "report": False, "progress": False}  # fmt: skip


def people(n: int = N, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    age = rng.integers(18, 80, n)
    churned = np.where(rng.random(n) < 0.2 + 0.5 * (age > 50), "Yes", "No")
    return pd.DataFrame({
        "customer": [f"C{i:04}" for i in range(n)], "age": age, "plan": rng.choice(list("xyz"), n), "churned": churned,
        "part": np.where(np.arange(n) % 3 == 0, "test", "train"), "fold": np.arange(n) % 4 + 1,
    })  # fmt: skip


def task(**fields) -> Task:
    return Task(name="people", load=lambda _folder: people(), **({"target": "churned", "positive": "Yes"} | fields))


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Files of training and of test rows, the latter with their columns in another order."""
    monkeypatch.chdir(tmp_path)
    people().drop(columns=["part", "fold"]).to_csv("train.csv", index=False)
    people(60, 1)[["plan", "churned", "age", "customer"]].to_csv("test.csv", index=False)
    return tmp_path


@pytest.mark.parametrize(
    ("costs", "matrix"),
    [
        ("fn=200,fp=5", BINARY),
        (" FP = 5 , fn=200", BINARY),
        ("false_negative=200, false_positives=5", BINARY),
        ("fn=200,fp=5,tp=1,tn=0.5", ((0.5, 5.0), (200.0, 1.0))),
        ({"fn": 200, "fp": 5}, BINARY),
        ([[0, 5], [200, 0]], BINARY),
        (np.array(BINARY), BINARY),
    ],
)
def test_costs_of_two_classes_are_a_matrix(costs, matrix):
    assert check_costs(costs).matrix == matrix


def test_costs_of_several_classes_are_in_the_order_of_the_classes(tmp_path):
    frame = pd.DataFrame(BY_CLASS).T
    frame.to_csv(tmp_path / "costs.csv")
    of_file = parse_costs(str(tmp_path / "costs.csv")).by_class
    shuffled = frame.loc[["c", "a", "b"], ["b", "c", "a"]]
    assert of_file == BY_CLASS == check_costs(BY_CLASS).by_class == check_costs(shuffled).by_class
    resolved = resolve_costs(task(positive=None, costs_by_class=of_file), ("b", "a", "c"))
    assert resolved.costs == ((0.0, 3.0, 4.0), (1.0, 0.0, 2.0), (6.0, 5.0, 0.0))
    numbers = pd.DataFrame([[0, 1], [2, 0]], index=[0.0, 1.0], columns=[0, 1])
    assert check_costs(numbers).by_class == {"0": {"0": 0.0, "1": 1.0}, "1": {"0": 2.0, "1": 0.0}}


@pytest.mark.parametrize(
    ("costs", "message"),
    [
        ("fn=200", "costs lack fp"),
        ("fm=200,fp=5", "unknown decision 'fm': did you mean"),
        ("fn=200,fp=-5", "fp: a cost is a number from 0 on, but got -5"),
        ("fn=many,fp=5", "fn: a cost is a number from 0 on, but got 'many'"),
        ("fn=1,fn=2,fp=5", "'fn' is given twice"),
        ("fn=200,5", "'5' is not like fn=200"),
        ("costs.csv", "no such file, and not like fn=200,fp=5"),
        ([[0, 1, 2], [1, 0, 2]], "must be a square matrix"),
        ({"a": {"a": 0, "b": 1}, "b": {"a": 1, "b": 0, "c": 1}}, "class 'c' has no line"),
        (3, "must be like"),
    ],
)
def test_costs_that_cannot_be_meant_are_refused_in_one_line(costs, message):
    with pytest.raises(EvenhandError) as error:
        check_costs(costs)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("costs", "message"),
    [
        ({"Yes": {"No": 1.0}}, "class 'No' has no line"),
        ({"Yes": {"No": 1.0}, "No": {"Yse": 1.0}}, "no row is of class 'Yse': did you mean 'Yes'?"),
        ({"Yes": {"Yes": 1.0}, "No": {"Yes": 1.0}}, "what does it cost to predict 'Yes' as 'No'?"),
    ],
)
def test_costs_of_other_classes_than_the_rows_have_are_refused(costs, message):
    with pytest.raises(DataError, match=message.replace("?", r"\?")):
        load_task(task(costs_by_class=costs), EvaluationProtocol(folds=2, inner_folds=2), None)


def test_a_split_column_says_which_rows_are_tested_or_the_fold_of_each():
    table = load_table(task(split="part", ids=("customer",), banned={"fold": ""}))
    (fold,) = make_splitter(table).outer(EvaluationProtocol(folds=5))
    assert fold.test.tolist() == [i for i in range(N) if i % 3 == 0]
    assert set(table.X.columns) == {"age", "plan"}
    assert table.ids.customer.tolist() == people().customer.tolist()
    by_fold = load_table(task(split="fold", ids=("customer",), banned={"part": ""}))
    splits = make_splitter(by_fold).outer(EvaluationProtocol(folds=5))
    assert [split.test.tolist() for split in splits] == [list(range(first, N, 4)) for first in range(4)]
    assert fingerprint_table(table) != fingerprint_table(by_fold)


def test_validation_rows_of_a_split_column_are_training_rows_and_that_is_said():
    rows = people().assign(part=["train", "valid", "Test "] * (N // 3))
    table = make_table(task(split="part"), rows)
    assert table.test.tolist() == [False, False, True] * (N // 3)
    assert "validation_part" in [finding.code for finding in table.notes]
    assert make_table(task(split="part"), rows[rows.part != "Test "]).test.tolist() == [False, True] * (N // 3)


def test_rows_of_a_test_file_are_tested_whatever_the_order_of_its_columns(files):
    rows = load_rows(files / "train.csv", files / "test.csv")
    assert rows[FILE_SPLIT].tolist() == ["train"] * N + ["test"] * 60
    pd.testing.assert_frame_equal(rows.iloc[N:].drop(columns=FILE_SPLIT).reset_index(drop=True),
                                  people(60, 1).drop(columns=["part", "fold"]))  # fmt: skip
    loaded = load_task(UserData(str(files / "train.csv"), "churned", test_path=str(files / "test.csv")).task(),
                       EvaluationProtocol(inner_folds=2), None)  # fmt: skip
    assert [fold.test.tolist() for fold in loaded.folds] == [list(range(N, N + 60))]
    assert FILE_SPLIT not in loaded.table.X.columns


def test_numbers_in_one_file_and_text_in_the_other_are_read_as_they_are_written(tmp_path):
    pd.DataFrame({"code": ["007", "x"], "y": [0, 1]}).to_csv(tmp_path / "train.csv", index=False)
    pd.DataFrame({"y": [0, 1], "code": ["7", "8"], "more": 1}).to_csv(tmp_path / "test.csv", index=False)
    rows = load_rows(tmp_path / "train.csv", tmp_path / "test.csv")
    assert rows.code.tolist() == ["007", "x", "7", "8"]
    assert [(finding.code, finding.column) for finding in rows.attrs[NOTES_ATTRIBUTE]] == [("test_column", "more")]


def run_options(file, **columns) -> RunOptions:
    return RunOptions(file, None, (), ("logistic_regression",), ("none",), {"folds": 2, "inner_folds": 2}, columns)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"test_path": "none.csv"}, "no such file: none.csv (--test-file)"),
        ({"test_path": "unlabelled.csv"}, "has no column 'churned' (--target)"),
        ({"test_path": "test.csv", "time": "age"}, "--test-file and --time exclude each other"),
        ({"weights": "agee"}, "no such column 'agee' (--weights): did you mean 'age'?"),
        ({"ids": ("custmer",)}, "no such column 'custmer' (--id): did you mean 'customer'?"),
        ({"split": "churned"}, "--split names the target"),
    ],
)
def test_options_that_cannot_be_meant_are_refused_by_their_names(files, columns, message):
    people()[["age", "plan", "customer"]].to_csv("unlabelled.csv", index=False)
    with pytest.raises(EvenhandError) as error:
        make_run_request(run_options(files / "train.csv", target="churned", **columns), load_registry())
    assert message in str(error.value)


def test_a_saved_declaration_makes_the_same_cells_as_the_options_it_was_written_from(files):
    options = run_options(
        files / "train.csv", target="churned", positive="Yes", test_path="test.csv", ids=("customer",), title="Customers",
        costs=BINARY, types={"plan": "category"}, name="churn",
    )  # fmt: skip
    registry = load_registry()
    request = make_run_request(options, registry)
    assert RunRequest.from_dict(json.loads(json.dumps(request.as_dict()))).own == request.own
    write_task_file(request.own, files / "churn.py")
    write_task_file(request.own, files / "churn.py")  # the same once more
    declared = load_registry([str(files / "churn.py")])
    assert declared.task("churn").title == "Customers"
    protocol = {**options.protocol, "trials": request.protocol.trials}  # a file has fewer trials by default than a task
    by_name = RunOptions(None, None, ("churn",), ("logistic_regression",), ("none",), protocol)
    plans = [make_plan(request, registry), make_plan(make_run_request(by_name, declared), declared)]
    assert [cell.key for cell in plans[0].cells] == [cell.key for cell in plans[1].cells]
    assert plans[0].tasks[0].task.costs == BINARY
    with pytest.raises(EvenhandError, match="exists already and says something else"):
        write_task_file(UserData("train.csv", "churned", name="churn"), files / "churn.py")


@pytest.mark.parametrize("name", ["churn.txt", "Churn.py", "a-b.py", "class.py"])
def test_a_declaration_is_named_as_a_task(tmp_path, name):
    with pytest.raises(EvenhandError, match="--save-task"):
        describe_task(UserData("train.csv", "churned"), tmp_path / name)


def test_a_frame_with_test_rows_costs_and_names_of_rows_is_run_as_it_says(tmp_path):
    rows = people().drop(columns=["part", "fold"])
    tested = people(60, 1)[["plan", "churned", "age", "customer"]]
    run = public.benchmark(
        rows, target="churned", test=tested, ids=["customer"], costs={"fn": 200, "fp": 5}, title="Customers",
        out=tmp_path / "run", **QUICK,
    )  # fmt: skip
    predictions = run.predictions("logistic_regression/none")
    assert predictions.columns[:2].tolist() == ["row", "customer"]
    assert predictions.customer.tolist() == tested.customer.tolist()
    description = json.loads((tmp_path / "run" / "run.json").read_text())["tasks"]["data"]
    assert (description["title"], description["costs"]) == ("Customers", [[0.0, 5.0], [200.0, 0.0]])
    assert "expected_cost" in run.scores().columns
