"""The command line: bad input is one line and exit code 2, and what was stored is kept."""

import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import LONGEST_WAIT

from harness.store.store import Store

SMOKE = [
    "--family",
    "logistic_regression",
    "--strategy",
    "none",
    "--trials",
    "2",
    "--folds",
    "2",
    "--inner-folds",
    "2",
    "--jobs",
    "1",
    "--out",
    "out",
]


def own(n=60, **columns):
    rng = np.random.default_rng(1)
    base = {"x": rng.normal(size=n), "z": rng.normal(size=n), "y": np.where(np.arange(n) % 3 == 0, "b", "a")}
    return pd.DataFrame(base | columns)


def refused(result, *said):
    code, out, err = result
    assert code == 2, (out, err)
    assert "Traceback" not in err
    last = err.strip().splitlines()[-1]
    assert last.startswith("evenhand: "), err
    for part in said:
        assert part in last, last


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        (own()[["x", "z"]], ["no such column", "y"]),
        (own(y="a"), ["one class"]),
        (own(n=4), ["class 'a' has 2 rows", "fewer than the 3 that any folds need"]),
        (own(y=np.random.default_rng(2).normal(size=60)), ["60 different numbers", "looks like regression"]),
        (own(y=[None] * 5 + ["a", "b"] * 27 + ["a"]), ["missing", "5"]),
        (own(x=[np.inf] * 2 + [1.5] * 58), ["infinite", "x"]),
    ],
    ids=[
        "no such column",
        "one class only",
        "fewer rows than folds",
        "a quantity",
        "missing target",
        "infinite values",
    ],
)
def test_a_table_that_cannot_be_used_is_refused_in_a_line(evenhand, tmp_path, frame, said):
    frame.to_csv(tmp_path / "own.csv", index=False)
    refused(evenhand("run", "own.csv", "--target", "y", *SMOKE), *said)
    assert not list(tmp_path.glob("out/cells/*"))


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "no such file"), (b"", "empty"), (b"\x00\x01\x02" * 50, ""), (b"<html><body>no</body></html>\n", "")],
    ids=["no such file", "empty", "not a table", "a web page"],
)
def test_a_file_that_is_no_table_is_refused_in_a_line(evenhand, tmp_path, content, said):
    if content is not None:
        (tmp_path / "own.csv").write_bytes(content)
    refused(evenhand("run", "own.csv", "--target", "y", *SMOKE), "own.csv", said)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--drop phone", "no such column 'phone' (--drop): there are: x, z, y"),
        ("--drop y", "--drop names the target 'y'"),
        ("--group y", "--group names the target 'y'"),
        ("--time zz", "no such column 'zz' (--time)"),
        ("--target yy", "no such column 'yy' (--target): did you mean 'y'?"),
    ],
)
@pytest.mark.parametrize("file", ["own.csv", "own.parquet"])
def test_columns_that_options_name_are_looked_up_before_the_rows_are_read(evenhand, tmp_path, file, words, said):
    own().to_csv(tmp_path / "own.csv", index=False)
    own().to_parquet(tmp_path / "own.parquet")
    refused(evenhand("run", file, "--target", "y", *words.split(), *SMOKE), said)
    assert not (tmp_path / "out").exists()


def test_a_plugin_may_be_named_by_its_file(evenhand, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "my_metric.py").write_text(
        "from harness import Metric\nM = Metric(name='my_metric', compute=lambda p: 0.5, metric_type='ranking')\n"
    )
    code, out, err = evenhand("list", "metrics", "--plugin", "mine/my_metric.py")
    assert code == 0, err
    assert "my_metric" in out
    refused(evenhand("list", "metrics", "--plugin", "mine/other.py"), "no such file: mine/other.py (--plugin)")


def test_plugin_files_may_be_named_like_installed_modules_and_like_one_another(evenhand, tmp_path):
    for folder in ("first", "second"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "json.py").write_text(
            f"from harness import Metric\nM = Metric(name='{folder}', compute=lambda p: 0.5, metric_type='ranking')\n"
        )
    path = sys.path.copy()
    words = ("--plugin", "first/json.py", "--plugin", "second/json.py", "--plugin", str(tmp_path / "first" / "json.py"))
    code, out, err = evenhand("list", "metrics", *words)
    assert code == 0, err
    assert [line.split()[0] for line in out.splitlines()[-2:]] == ["first", "second"]
    assert sys.path == path


def test_a_module_beside_a_plugin_is_not_imported_and_the_message_says_what_to_do(evenhand, tmp_path):
    (tmp_path / "helpers.py").write_text("(lambda: 1 / 0)()\n")
    (tmp_path / "mine.py").write_text("import helpers\n")
    refused(
        evenhand("list", "metrics", "--plugin", "mine.py"),
        "ModuleNotFoundError: No module named 'helpers'",
        "put both into one file, or install them as a package",
    )
    refused(
        evenhand("list", "metrics", "--plugin", "helpers"), "No module named 'helpers'", "--plugin path/to/helpers.py"
    )


def test_two_hundred_megabytes_of_one_column_are_refused_in_a_line(evenhand, tmp_path):
    with (tmp_path / "own.csv").open("wb") as file:
        file.write(b"y\n")
        file.writelines(b"a" * 1_000_000 for _ in range(200))
    refused(evenhand("run", "own.csv", "--target", "y", *SMOKE), "own.csv")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("run --task telco", "did you mean 'telco_churn'"),
        ("run --task digits_nine --family xgboost", "unknown family 'xgboost': did you mean 'xgb'?"),
        ("run --task digits_nine --family rf", "did you mean 'random_forest'?"),
        ("run --task digits_nine --family LR", "did you mean 'logistic_regression'?"),
        ("run --task digits_nine --seed -1", "--seed must be at least 0, but got -1"),
        ("doctor --data-dir nowhere", "no such directory: nowhere"),
        ("run --task digits_nine --strategy smoote", "did you mean 'smote'"),
        ("run --suite quik", "did you mean 'quick'"),
        ("run --task digits_nine --objective aucc", "unknown metric 'aucc'"),
        ("run --task digits_nine --objective expected_cost", "cost matrix"),
        ("run", "nothing to run"),
        ("run --task digits_nine --folds 1", "--folds must be at least 2, but got 1"),
        ("run --task digits_nine --trials 0", "--trials must be at least 1"),
        ("run --task digits_nine --cell-budget soon", "not a length of time: 'soon'"),
        ("run --task digits_nine --jobs 0", "--jobs must be at least 1"),
        ("run --task digits_nine --retry sometimes", "unknown status 'sometimes'"),
        ("run --task digits_nine --target y", "goes with your own data"),
        ("run --task digits_nine --plugin nowhere", "plugin 'nowhere' cannot be imported"),
        ("run --task digits_nine --data-dir nowhere", "no such directory: nowhere"),
        ("report nowhere", "nowhere is not a run folder"),
        ("dashboard nowhere", "nowhere is not a run folder"),
        ("list familys", "cannot list 'familys'"),
        ("fetch caravann", "did you mean 'caravan'"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(evenhand, words, said):
    refused(evenhand(*words.split()), said)


def test_an_unknown_name_among_many_does_not_list_them_all(evenhand):
    result = evenhand("run", "--task", "zzz")
    refused(result, "unknown task 'zzz': there are ", "(evenhand list tasks)")
    assert len(result[2]) < 100


def test_a_wrong_checksum_is_refused_in_a_line(evenhand, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "wrong.py").write_text(
        "from harness import Task\n"
        "def load(data_dir):\n"
        "    from harness.data.sources import check_sha256\n"
        "    check_sha256(b'content', 'f' * 64, 'member.csv')\n"
        "TASK = Task(name='wrong', load=load, target='y')\n"
    )
    refused(evenhand("run", "--plugin", "wrong", "--task", "wrong", *SMOKE), "member.csv", "SHA-256")


def test_a_run_folder_that_cannot_be_read_is_refused_and_left_alone(evenhand, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "run.json").write_text("{ half a file")
    refused(evenhand("report", "out"), "cannot read")
    refused(evenhand("run", "--task", "digits_nine", *SMOKE), "cannot read")
    assert (tmp_path / "out" / "run.json").read_text() == "{ half a file"


def test_a_disk_that_fills_up_while_a_record_is_written_loses_nothing(evenhand, tmp_path):
    own(4000).to_csv(tmp_path / "own.csv", index=False)
    call = ["run", "own.csv", "--target", "y", *SMOKE, "--no-report"]
    assert evenhand(*call)[0] == 0
    before = Store(tmp_path / "out").read_every_record()

    def nearly_full():
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    more = [*call, "--family", "random_forest"]
    words = [sys.executable, "-m", "harness", *more]
    full = subprocess.run(
        words, cwd=tmp_path, capture_output=True, text=True, timeout=LONGEST_WAIT, preexec_fn=nearly_full
    )
    assert full.returncode == 2
    assert "Traceback" not in full.stderr
    assert "what was stored before is kept" in full.stderr.strip().splitlines()[-1]
    between = Store(tmp_path / "out").read_every_record()
    assert all(record in between for record in before)
    assert len(between) < len(before) + 2, "the disk must fill up before all is stored, or nothing was tried"
    assert evenhand(*more)[0] == 0
    assert len(Store(tmp_path / "out").read_every_record()) == len(before) + 2


def test_one_s_own_file_needs_no_declaration(evenhand, tmp_path):
    own(id=np.arange(60), same=1, plan=["basic", "pro"] * 30).to_csv(tmp_path / "own.csv", index=False)
    code, out, err = evenhand("run", "own.csv", "--target", "y", *SMOKE)
    assert code == 0, err
    assert "own, ranked by AP" in out
    written = (tmp_path / "out" / "leaderboard.md").read_text()
    assert "id" in written
    run = Store(tmp_path / "out").read_run()
    assert run["tasks"]["own"]["positive"] == "b"
    findings = run["tasks"]["own"]["findings"]
    omitted = {(finding["code"], finding["column"]) for finding in findings if finding["code"].startswith("omitted")}
    assert omitted == {("omitted_identifier", "id"), ("omitted_constant", "same")}
    assert "same: left out, one value only" in run["tasks"]["own"]["notes"]
    code, again, _ = evenhand("report", "out")
    assert code == 0
    assert again == out
    (tmp_path / "out" / "leaderboard.md").unlink()
    assert evenhand("run", "own.csv", "--target", "y", *SMOKE, "--quiet") == (0, "", "")
    assert (tmp_path / "out" / "leaderboard.md").exists()


def test_a_quiet_run_shows_no_progress(evenhand, tmp_path):
    own().to_csv(tmp_path / "own.csv", index=False)
    assert evenhand("run", "own.csv", "--target", "y", *SMOKE, "--quiet", "--no-report") == (0, "", "")


@pytest.mark.parametrize("what", ["tasks", "families", "strategies", "metrics", "suites"])
def test_lists_name_what_there_is(evenhand, what):
    code, out, _ = evenhand("list", what)
    assert code == 0
    known = {"tasks": "caravan", "families": "xgb", "strategies": "smote_tomek", "metrics": "mcc", "suites": "keel"}
    assert known[what] in [line.split()[0] for line in out.splitlines()]


COMMANDS = ["run", "report", "compare", "replay", "dashboard", "list", "fetch", "check", "doctor"]


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_an_example(evenhand, command):
    code, out, _ = evenhand(command, "--help")
    assert code == 0
    assert command == "doctor" or f"evenhand {command} " in out


def test_the_dashboard_serves_every_study(evenhand, tmp_path):
    import json
    import urllib.request

    own().to_csv(tmp_path / "own.csv", index=False)
    assert evenhand("run", "own.csv", "--target", "y", *SMOKE, "--no-report")[0] == 0
    served = subprocess.Popen(
        [sys.executable, "-m", "harness", "dashboard", "out", "--cells", "--port", "0"],
        cwd=tmp_path, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    try:
        line = served.stdout.readline()
        assert line.startswith("2 studies of out: http://127.0.0.1:")  # the baseline searches nothing
        request = urllib.request.Request(line.split()[4] + "api/studies", headers={"Accept-Encoding": "identity"})  # noqa: S310 -- our own server
        with urllib.request.urlopen(request, timeout=LONGEST_WAIT) as answer:  # noqa: S310 -- our own server
            studies = json.load(answer)["study_summaries"]
        names = sorted(study["study_name"].partition(": best 0.")[0] for study in studies)
        assert names == ["logistic_regression/none/r0f0", "logistic_regression/none/r0f1"]
    finally:
        served.kill()
        served.wait()


def test_a_budget_alone_bounds_the_search_by_time(evenhand, tmp_path):
    own().to_csv(tmp_path / "own.csv", index=False)
    words = [*SMOKE[: SMOKE.index("--trials")], *SMOKE[SMOKE.index("--folds") :], "--no-report"]
    assert evenhand("run", "own.csv", "--target", "y", *words, "--cell-budget", "2s")[0] == 0
    assert evenhand("report", "out", "--leaderboard-only")[0] == 0
    store = Store(tmp_path / "out")
    assert store.read_run()["protocol"]["trials"] is None
    made = [record.trials for record in store.read_every_record() if record.family == "logistic_regression"]
    assert max(made) > 5, "on a busy machine one trial may take all of it"
    assert "2 s" in (tmp_path / "out" / "details.md").read_text()


def test_the_leaderboard_alone_is_written_without_page_and_figures(evenhand, tmp_path):
    run = Path(shutil.copytree(Path(__file__).parents[1] / "results" / "sample", tmp_path / "sample"))
    expected = (run / "leaderboard.md").read_bytes()
    for name in ("leaderboard.md", "leaderboard.csv", "report.html"):
        (run / name).unlink()
    code, out, err = evenhand("report", str(run), "--leaderboard-only")
    assert (code, err) == (0, "")
    assert "leaderboard.csv" in out
    assert (run / "leaderboard.md").read_bytes() == expected
    assert not (run / "report.html").exists()
    assert evenhand("report", str(run), "--leaderboard-only", "--open")[0] == 2
