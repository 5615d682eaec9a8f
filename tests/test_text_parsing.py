"""Nothing is taken out of texts that the package has written itself: regular expressions read other people's data only."""

import ast
from pathlib import Path

import pytest

HARNESS = Path(__file__).parents[1] / "harness"
#: The modules that use regular expressions, with what these are applied to.
ALLOWED = {
    "api/call_data.py": "names of a user's data, which become names of tasks",
    "api/merged_storage.py": "addresses that a browser asks for",
    "api/request.py": "durations that a user writes, such as 30m",
    "api/task_file.py": "a name that a user gives a task",
    "checks/contracts.py": "names of declarations, those of plug-ins, too",
    "data/addresses.py": "addresses that a user writes, such as openml:61",
    "data/arrow_table.py": "names that other programs give to columns without a name",
    "data/column_types.py": "kinds of columns that a user writes",
    "data/columns.py": "names of a user's columns that call them identifiers or codes",
    "data/csv_format.py": "lines of a user's CSV",
    "data/date_formats.py": "dates as a user's file has them",
    "data/dates.py": "dates as a user's file has them",
    "data/durations.py": "times of day and durations as a user's file has them",
    "data/huggingface.py": "addresses that a user writes and names of files of the hub",
    "data/number_parts.py": "numbers as a user's file has them",
    "data/numbers.py": "numbers as a user's file has them",
    "data/openml.py": "addresses that a user writes, such as openml:task/59",
    "data/omissions.py": "names of a user's columns that call them identifiers",
    "data/time_zones.py": "names of time zones in a user's dates",
    "data/user_data.py": "names of a user's files, which become names of tasks",
    "deploy/bundle_files.py": "names of files that an interrupted export has left",
    "deploy/insights/shapley.py": "texts of a user, divided into words",
    "deploy/schema.py": "names of a user's columns that call them identifiers",
    "deploy/serve/monitoring.py": "ids of requests that clients send",
    "deploy/tree_checks.py": "trees as LightGBM writes them, before they are loaded",
    "inspection/structure.py": "names of a user's columns that call them identifiers",
    "metrics/threshold.py": "threshold goals that a user writes, such as recall>=0.8",
    "preprocessing/text.py": "texts of a user, divided into tokens",
    "report/figures/search_space.py": "names of parameters of declarations, broken into lines",
    "report/figures/writer.py": "names of tasks and families, which become names of files",
    "report/render/cells.py": "text of unknown origin: control characters are replaced when it is written",
    "report/render/html.py": "names: marks where a narrow screen may break them, when they are written",
    "report/render/markdown.py": "text of unknown origin: characters of Markdown are escaped when it is written",
    "report/render/svg.py": "figures as matplotlib writes them, whose colours become those of the page",
    "report/sections/protocol.py": "names of classes, quoted where a comma or a digit would mislead",
    "store/files.py": "names of files that an interrupted write has left",
}
#: Methods with which our own texts were taken apart, and the modules in which messages, readings and statuses arise.
READERS = {"startswith", "endswith", "partition", "rpartition", "removeprefix", "removesuffix", "split"}
TEXT_NAMES = {"reason", "reading", "message", "status", "remark", "remarks", "note"}
#: Modules in which such a name is no text that is taken apart.
EXEMPT = {
    "processes.py": "messages between processes are mappings",
    "report/sections/protocol.py": "a full stop follows where a finding is no question",
}


def modules() -> dict[str, ast.Module]:
    return {
        path.relative_to(HARNESS).as_posix(): ast.parse(path.read_text(encoding="utf-8"))
        for path in sorted(HARNESS.rglob("*.py"))
    }


def test_regular_expressions_are_used_where_other_peoples_data_are_read():
    users = {name for name, module in modules().items() if imported(module) & {"re", "regex"}}
    assert users == set(ALLOWED)


def imported(module: ast.Module) -> set[str]:
    names = set()
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return names


def text_readers(module: ast.Module) -> list[int]:
    """The lines on which a message, a reason, a reading, a status or an error is searched for a part."""
    return [node.lineno for node in ast.walk(module) if reads_part(node)]


def reads_part(node: ast.AST) -> bool:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in READERS:
        # `" ".join(text.split())`, without arguments, puts a text on one line.
        return is_own_text(node.func.value) and bool(node.args or node.func.attr != "split")
    if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.In | ast.NotIn):
        return isinstance(node.left, ast.Constant) and is_own_text(node.comparators[0])
    return False


def is_own_text(node: ast.expr) -> bool:
    if isinstance(node, ast.Call):  # str(error)
        return isinstance(node.func, ast.Name) and node.func.id == "str" and is_own_text(node.args[0])
    name = node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")
    return name in TEXT_NAMES or name == "error"


def test_reasons_readings_and_statuses_are_not_searched_for_words():
    found = {name: text_readers(module) for name, module in modules().items() if name not in EXEMPT}
    assert {name: lines for name, lines in found.items() if lines} == {}


@pytest.mark.parametrize(
    ("code", "searched"),
    [
        ('reason.startswith("inapplicable")', True),
        ('str(error).split(": ", 1)', True),
        ('"missing" in flag.remark', True),
        ('effect.reading.rpartition(", ")', True),
        ('" ".join(str(error).split())', False),
        ('name.startswith("a")', False),
        ('flag.code == "missing"', False),
    ],
)
def test_the_check_sees_what_takes_texts_apart(code, searched):
    assert bool(text_readers(ast.parse(code))) is searched
