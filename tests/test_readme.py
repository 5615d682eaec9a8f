"""What the README and docs/extending.md say works, and what they show is what the committed sample says."""

import ast
import re
import shlex
import shutil
from pathlib import Path

import pytest

from harness.registry.registry import load_registry
from harness.report.write import write_leaderboard
from harness.store.store import Store

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
EXTENDING = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
SAMPLE = ROOT / "results" / "sample"
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", flags=re.DOTALL | re.MULTILINE)
#: The most words that the README has outside of code, and those in which the first commands are.
MAX_WORDS, FIRST_WORDS = 900, 100


def blocks(page, language):
    """The fenced blocks of one language."""
    return [text for name, text in FENCE.findall(page) if name == language]


def commands(page):
    """Every `evenhand` command of a page, without its comment."""
    lines = [line.split("  #")[0].strip() for block in blocks(page, "") for line in block.splitlines()]
    return [line for line in lines if line.startswith("evenhand ")]


def words(text):
    """The words of a text; lines and bars of tables are none."""
    return [word for word in text.split() if re.search(r"\w", word)]


@pytest.fixture
def declared(tmp_path, monkeypatch):
    """The declarations of docs/extending.md, as files in a folder of one's own."""
    monkeypatch.chdir(tmp_path)
    for block in blocks(EXTENDING, "python"):
        name = block.splitlines()[0].removeprefix("# ").strip()
        (tmp_path / name).write_text(block)
        body = [line for line in block.splitlines()[1:] if line.strip()]
        assert len(body) < 20, f"{name} has {len(body)} lines"
    return sorted(path.name for path in tmp_path.glob("my_*.py"))


def test_the_examples_keep_the_contract(declared, evenhand):
    assert declared == ["my_family.py", "my_metric.py", "my_strategy.py", "my_task.py"]
    registry = load_registry(declared)
    from harness import checks

    found = [
        *checks.check_task(registry.task("third_wine")),
        *checks.check_family(registry.family("random_cut_trees")),
        *checks.check_strategy(registry.strategy("svm_smote")),
        *checks.check_metric(registry.metric("missed_share")),
    ]
    assert len(found) > 10
    assert not [verdict for verdict in found if verdict.complaint or verdict.skipped]


def test_the_examples_run_together(declared, evenhand):
    command = next(line for line in commands(EXTENDING) if "--plugin my_task" in line)
    code, out, err = evenhand(*shlex.split(command)[1:])
    assert code == 0, err
    assert "random_cut_trees/svm_smote" in out
    assert "missed_share" in Path("results/third_wine/leaderboard.csv").read_text(encoding="utf-8")


@pytest.mark.parametrize("command", commands(README))
def test_every_command_has_only_options_that_exist(command, evenhand):
    name, *arguments = shlex.split(command)[1:]
    code, out, err = evenhand(name, "--help")
    assert code == 0, err
    for option in (word for word in arguments if word.startswith("--")):
        assert option in out


def test_every_target_of_make_exists():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in set(re.findall(r"make ([a-z-]+)", README)) - {"and"}:
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target


def test_the_sample_renders_again_byte_for_byte(tmp_path):
    copy = tmp_path / "sample"
    shutil.copytree(SAMPLE, copy, ignore=shutil.ignore_patterns("derived", "leaderboard.*", "details.md"))
    (copy / "derived").mkdir()
    shutil.copy(SAMPLE / "derived" / "importances.json", copy / "derived")
    write_leaderboard(Store(copy), load_registry().metrics)
    for name in ("leaderboard.md", "leaderboard.csv", "details.md"):
        assert (copy / name).read_bytes() == (SAMPLE / name).read_bytes()


@pytest.mark.parametrize("page", ["README.md", "docs/leaderboard.md"])
def test_the_table_shown_is_the_sample_s(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    shown = text.split("<!-- sample -->")[1].split("<!-- /sample -->")[0].strip()
    assert "telco_churn_quarter" in shown
    leaderboard = (SAMPLE / "leaderboard.md").read_text(encoding="utf-8").splitlines()
    for line in shown.splitlines():
        assert line in leaderboard, line


def test_the_readme_is_short_and_begins_with_three_commands():
    assert len(words(FENCE.sub("", README))) <= MAX_WORDS
    first, begin = blocks(README, "")[0], README.index("```\n")
    assert len([line for line in first.splitlines() if "  # " in line]) == 3
    assert len(words(README[: begin + len(first)])) <= FIRST_WORDS


def test_the_readme_has_five_lines_of_python():
    (program,) = blocks(README, "python")
    assert len(ast.parse(program).body) == 5


def test_every_file_that_is_linked_exists():
    linked = [name for name in re.findall(r"\]\(([^)#]+)\)", README) if "://" not in name]
    assert len(linked) > 5
    assert not [name for name in linked if not (ROOT / name).exists()]
