"""The plan of a run: order of cells, estimates, the time of a whole run and its shares."""

import shutil
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import LONGEST_WAIT

from harness.api.refresh import TableRefresh
from harness.api.run_plan import CellForecast
from harness.api.time_budget import TimeBudget, TimeShares, divide_time, find_unequal_families
from harness.evaluation.score_collection import collect_scores
from harness.evaluation.strategy_effects import list_unequal_efforts, strategy_differences
from harness.execution.cell import Cell
from harness.execution.estimate import RunEstimate, TrialTimes, extrapolate_seconds, order_cells
from harness.execution.plan import RunRequest
from harness.registry.protocol import EvaluationProtocol
from harness.report.sections.overview import describe_cells_without_predictions
from harness.report.write import write_preliminary_report
from harness.store.store import Store

WORDS = ("--target", "y", "--folds", 2, "--inner-folds", 2, "--trials", 2, "--no-importance", "--jobs", 1)
FAMILIES = ("--family", "logistic_regression", "--strategy", "none", "--strategy", "class_weight")


def make_cells(families=("slow", "cheap"), strategies=("smote", "none", "weights"), repeats=2, folds=2):
    cells = []
    for family in families:
        for strategy in strategies:
            for repeat in range(repeats):
                for fold in range(folds):
                    name = f"{family}/{strategy}/{repeat}/{fold}"
                    cells.append(Cell(name, "key", "t", family, strategy, repeat, fold, 0))
    return cells


def forecast(cells, seconds, first):
    return CellForecast(
        {cell.id: seconds[cell.family] for cell in cells}, {cell.id: first[cell.family] for cell in cells},
        jobs=1, trials={cell.id: 10 for cell in cells},
    )  # fmt: skip


def test_every_family_is_executed_without_a_strategy_first_and_repeats_come_last():
    cells = make_cells()
    ordered = order_cells(cells, {"cheap": 1.0, "slow": 9.0})
    assert sorted(cell.id for cell in ordered) == sorted(cell.id for cell in cells)
    blocks = list(dict.fromkeys((cell.repeat, cell.strategy, cell.family) for cell in ordered))
    assert blocks[:4] == [(0, "none", "cheap"), (0, "none", "slow"), (0, "smote", "cheap"), (0, "smote", "slow")]
    assert [repeat for repeat, _, _ in blocks] == [0] * 6 + [1] * 6


@pytest.mark.parametrize(
    ("few", "many", "rows", "expected"),
    [
        ((1000, 1.0), (3000, 2.0), 10_000, 5.5),  # a line with a start of 0.5
        ((1000, 1.0), (10_000, 100.0), 30_000, 900.0),  # the square of the rows
        ((1000, 1.0), (3000, 9.0), 30_000, 9 * 10**1.2),  # too similar numbers of rows for a power of two
        ((300, 2.0), (300, 2.0), 300, 2.0),
        ((1000, 2.0), (10_000, 1.0), 100_000, 5.5),  # a network that stopped early on more rows
    ],
)
def test_seconds_are_extrapolated_to_all_rows(few, many, rows, expected):
    assert extrapolate_seconds(few, many, rows) == pytest.approx(expected)


def test_a_strategy_that_was_not_timed_takes_the_ratio_of_other_families():
    times = {
        ("t", "a", "none"): TrialTimes(1.0, 1.0),
        ("t", "a", "smote"): TrialTimes(3.0, 3.0),
        ("t", "b", "none"): TrialTimes(10.0, 20.0),
    }
    assert RunEstimate(times).trial_times("t", "b", "smote") == pytest.approx((30.0, 60.0))
    assert RunEstimate(times).trial_times("t", "c", "none") is None
    assert TrialTimes(1.0, 2.0).cell_seconds(3, 3) == pytest.approx(1 + 2 * 2 + 1 / 2 + 2 / 2)


@pytest.mark.parametrize("seconds", [15.0, 30.0, 100.0, 300.0, 100_000.0])
def test_trials_are_equal_and_every_family_is_chosen_before_a_further_strategy(seconds):
    cells = order_cells(make_cells(repeats=1), {"cheap": 1.0, "slow": 9.0})
    expected = forecast(cells, {"cheap": 10.0, "slow": 100.0}, {"cheap": 1.0, "slow": 10.0})
    shares = divide_time(cells, expected, seconds, TimeShares())
    assert {cell.id for cell in shares.cells} | {cell.id for cell in shares.omitted} == {cell.id for cell in cells}
    assert bool(shares.omitted) == (seconds < 300)
    first = {cell.family for cell in shares.cells if cell.strategy == "none"}
    assert first == ({"cheap"} if seconds < 22 else {"cheap", "slow"})
    has_further = any(cell.strategy != "none" for cell in shares.cells)
    assert has_further == (seconds not in (30.0,)), "one trial in both families leaves nothing for three"
    assert len({shares.trials.get(cell.family) for cell in shares.cells}) == 1
    used = sum(expected.seconds_of_trials(cell.id, shares.trials.get(cell.family)) for cell in shares.cells)
    assert used <= seconds
    for cell in shares.cells:
        assert shares.cell_seconds[cell.family] > expected.seconds_of_trials(cell.id, shares.trials.get(cell.family))
    again = divide_time(shares.omitted, expected, 10_000.0, shares)
    for family in set(shares.cell_seconds) & set(again.cell_seconds):
        assert again.cell_seconds[family] == shares.cell_seconds[family], "what is continued gets the same time"
        assert again.trials.get(family) == shares.trials.get(family), "and the same number of trials"


def test_families_with_earlier_cells_without_limit_are_unequal():
    cells = make_cells()
    finished = [cells[0].make_record(status="ok"), cells[-1].make_record(status="failed")]
    assert find_unequal_families(finished, cells, {}) == ["slow"]
    assert find_unequal_families(finished, cells, {"slow": 3.0}) == []


def test_a_budget_leaves_time_for_the_tables():
    for seconds in (20.0, 60.0, 600.0, 36_000.0):
        budget = TimeBudget(seconds, time.monotonic())
        assert 0.4 * seconds >= budget.report_seconds > 0
        assert budget.cell_deadline < budget.deadline
    measured = TimeBudget(60.0, time.monotonic(), table_seconds=2.0)
    assert measured.report_seconds < TimeBudget(60.0, time.monotonic()).report_seconds


@pytest.fixture
def own_file(tmp_path):
    generator = np.random.default_rng(1)
    frame = pd.DataFrame({"a": generator.normal(size=240).round(4), "b": generator.normal(size=240).round(4)})
    frame["y"] = np.where(frame["a"] + generator.normal(size=240) > 1, "yes", "no")
    frame.to_csv(tmp_path / "own.csv", index=False)
    return tmp_path / "own.csv"


def test_a_plan_is_shown_alone_and_nothing_is_written(evenhand, own_file):
    code, out, _ = evenhand("run", "own.csv", *WORDS, *FAMILIES, "--plan")
    assert code == 0
    assert "own: 6 cells (2 outer splits), 6 to do" in out
    assert len(out.splitlines()) < 12, "a plan is read in a minute"
    assert "shorter: --quick" in out
    assert "order: majority, logistic_regression; each with none first, then class_weight" in out
    assert not (own_file.parent / "results").exists()


def test_a_run_whose_time_is_over_continues_with_a_further_budget(evenhand, own_file):
    code, _, err = evenhand("run", "own.csv", *WORDS, *FAMILIES, "--no-report", "--out", "out", "--budget", "0.1s")
    assert code == 0, err
    store = Store(own_file.parent / "out")
    assert store.read_run()["budget"]["seconds"] == [0.1]
    assert not any(record.status == "failed" for record in store.read_every_record())
    code, out, err = evenhand("run", "own.csv", *WORDS, *FAMILIES, "--out", "out", "--budget", "60s")
    assert code == 0, err
    assert store.read_run()["budget"]["seconds"] == [0.1, 60.0]
    assert "importance of columns" not in err, "it was not asked for"
    assert {record.status for record in store.read_every_record()} == {"ok"}
    assert len(store.read_every_record()) == 6
    assert (own_file.parent / "out" / "report.html").exists()
    assert "own, ranked by" in out


def test_strategies_are_not_compared_where_the_time_ended_first(registry, tmp_path):
    folder = shutil.copytree(Path(__file__).parents[1] / "results" / "sample", tmp_path / "sample")
    scores = collect_scores(Store(folder), registry.metrics)
    task = next(iter(scores.run["tasks"]))
    assert strategy_differences(scores, task)
    unequal = {"budget": {"unequal_families": list(scores.run["families"])}}
    limited = replace(scores, run={**scores.run, **unequal})
    assert not strategy_differences(limited, task)
    assert list_unequal_efforts(limited)
    assert "not compared with none" in describe_cells_without_predictions(limited)


def test_a_quick_run_compares_less_and_says_so(evenhand, own_file):
    code, out, err = evenhand("run", "own.csv", "--target", "y", "--quick", "--plan", "--strategy", "none")
    assert code == 0, err
    assert "quick: up to 10 trials per cell, as many as fit, without" in err
    assert "dense_network" in err
    assert "order: majority, logistic_regression" in out
    assert evenhand("run", "--suite", "smoke", "--quick")[0] == 2


def test_tables_are_written_in_time_or_not_at_all(tmp_path):
    folder = shutil.copytree(Path(__file__).parents[1] / "results" / "sample", tmp_path / "sample")
    pages = (folder / "report.html").read_bytes()
    refresh = TableRefresh(Store(folder), RunRequest((), (), (), EvaluationProtocol()))
    assert refresh.write_until(time.monotonic(), full=False) is None
    assert (folder / "report.html").read_bytes() == pages
    summary = refresh.write_until(time.monotonic() + LONGEST_WAIT, full=False)
    assert summary is not None
    assert "ranked by" in summary
    assert "<svg" not in (folder / "details.html").read_text()


def scores_planned(store):
    return next(iter(store.read_run()["tasks"].values()))["splits"]


def test_tables_of_an_unfinished_run_say_what_they_lack(registry, tmp_path):
    folder = shutil.copytree(Path(__file__).parents[1] / "results" / "sample", tmp_path / "sample")
    store = Store(folder)
    for record in store.read_every_record():
        if record.family == "xgb" and (record.strategy != "none" or record.fold):
            store.discard_cell(record.id)
    files = write_preliminary_report(store, registry.metrics)
    finished, cells = len(store.read_every_record()), len(store.read_run()["cells"])
    assert finished < cells
    table = files.summary[files.summary.index("Family") :]
    assert table.index("majority") < table.index(f"of {scores_planned(store)} splits")
    for text in (files.headline, files.summary, files.markdown.read_text(), files.page.read_text()):
        assert f"{finished} of {cells} cells" in text
