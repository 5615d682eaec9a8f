"""The direction of imports, what must stay light, and how the code reads, measured."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import code_style
import pytest

ROOT = Path(__file__).parent.parent
#: Modules below all rooms: everything may import them, and they import nothing but each other.
BASE = {"arguments", "errors", "findings", "readings", "seeding", "processes"}
#: Room → the rooms (or modules) it may import besides itself and the base.
ARROWS = {
    "store": set(),
    "metrics": set(),
    "networks": set(),
    "registry": {"metrics"},
    "data": {"registry"},
    "preprocessing": {"data", "registry", "networks"},
    "search": {"preprocessing", "data", "registry", "metrics", "networks"},
    "execution": {"search", "preprocessing.cache", "preprocessing.encodings", "store", "data", "registry", "metrics"},
    "evaluation": {"metrics", "store"},
    "inspection": {"registry", "data", "evaluation.significance", "evaluation.task_comparisons", "evaluation.variance"},
    "report": {"evaluation", "metrics", "store", "inspection.summary"},
    "deploy": {
        "report.content", "report.render", "evaluation", "execution", "search", "preprocessing", "data", "registry", "metrics", "store",
    },
    "checks": {"registry", "data", "search", "preprocessing", "metrics"},
    "tasks": {"registry", "data.sources", "data.files", "data.images"},
    "searchspaces": {"registry", "networks", "data.sources"},
    "api": {
        "report", "inspection", "evaluation", "deploy", "execution", "search", "preprocessing", "data", "registry", "metrics",
        "store", "networks", "checks", "tasks",
    },
}  # fmt: skip
#: Stored data must stay readable without these.
LIVE = {"registry", "tasks", "searchspaces", "execution", "search"}
HEAVY = ("numpy", "pandas", "sklearn", "optuna", "matplotlib", "scipy", "tensorflow", "keras", "xgboost", "imblearn")


def imported_names(path: Path) -> set[str]:
    """The project's own modules and names that a file imports, without the leading `harness.`."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "harness":
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names if alias.name.split(".")[0] == "harness"}
    return {name.removeprefix("harness.") for name in names}


def files_of(room: str) -> list[Path]:
    for folder in (ROOT / "harness" / room, ROOT / room):
        if folder.is_dir():
            return sorted(folder.rglob("*.py"))
    raise LookupError(room)


def is_within(name: str, rooms: set[str]) -> bool:
    return any(name == room or name.startswith(room + ".") for room in rooms)


@pytest.mark.parametrize("room", ARROWS)
def test_a_room_imports_only_what_its_arrows_allow(room):
    allowed = ARROWS[room] | BASE | {room}
    for path in files_of(room):
        forbidden = sorted(name for name in imported_names(path) if not is_within(name, allowed))
        assert not forbidden, f"{path.relative_to(ROOT)} imports {forbidden}"


def test_every_room_has_its_arrows():
    rooms = {path.parent.name for path in (ROOT / "harness").glob("*/__init__.py")}
    assert rooms == set(ARROWS) - {"tasks", "searchspaces"} | {"cli"}


@pytest.mark.parametrize("module", sorted(BASE))
def test_modules_below_all_rooms_import_no_room(module):
    assert not [name for name in imported_names(ROOT / "harness" / f"{module}.py") if not is_within(name, BASE)]


@pytest.mark.parametrize("room", ["store", "evaluation", "report"])
def test_what_reads_stored_data_needs_no_live_declaration(room):
    for path in files_of(room):
        live = [name for name in imported_names(path) if is_within(name, LIVE)]
        assert not live, f"{path.relative_to(ROOT)} imports {live}"


def test_only_engines_know_which_engine_runs():
    for path in (ROOT / "harness").rglob("*.py"):
        if path.parent.name != "engines":
            concrete = [
                name for name in imported_names(path)
                if name.startswith("execution.engines.") and not is_within(name, {"execution.engines.base"})
            ]  # fmt: skip
            assert not concrete, f"{path.relative_to(ROOT)} imports {concrete}"


def test_one_module_starts_child_processes():
    starters = {
        path.relative_to(ROOT / "harness").as_posix()
        for path in (ROOT / "harness").rglob("*.py")
        if {"subprocess", "multiprocessing"} & code_style.imported_modules(path)
        or "ProcessPoolExecutor" in path.read_text(encoding="utf-8")
    }
    assert starters == {"processes.py", "data/sources.py"}  # sources runs pip, which is no module of ours


def test_only_the_study_drives_optuna_and_only_two_places_read_what_it_left():
    users = {
        path.relative_to(ROOT / "harness").as_posix()
        for path in (ROOT / "harness").rglob("*.py")
        if "import optuna" in path.read_text(encoding="utf-8")
    }
    assert users == {"api/dashboard.py", "evaluation/search_history.py", "search/study.py"}


@pytest.mark.parametrize("statement", ["import harness", "import harness.cli", "import harness.registry.registry"])
def test_starting_up_loads_nothing_heavy(statement):
    assert loaded_after(statement) == []


def test_the_help_of_the_command_line_loads_nothing_heavy():
    arguments = "import sys; sys.argv = ['evenhand', '--help']"
    call = (
        "import contextlib, io\nwith contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()): main()"
    )
    assert loaded_after(f"{arguments}; from harness.__main__ import main\n{call}") == []


def test_declarations_load_nothing_heavy():
    loaded = loaded_after("from harness.registry.registry import load_registry; load_registry()")
    assert set(loaded) <= {"numpy"}


def loaded_after(statement: str) -> list[str]:
    """The heavy libraries in memory after a statement, in a process of its own."""
    code = f"{statement}\nimport sys; print(*[name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_every_package_is_named_for_the_wheel():
    named = set(tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["packages"])
    inside = {".".join(path.parent.relative_to(ROOT).parts) for path in (ROOT / "harness").rglob("__init__.py")}
    assert named == inside | {"harness.tasks", "harness.searchspaces"}


@pytest.fixture(scope="module")
def style() -> code_style.Style:
    return code_style.measure([ROOT / folder for folder in ("harness", "tasks", "searchspaces")])


def test_names_say_what_they_name(style):
    assert style.vague_share <= 0.003, style.most_vague
    assert style.empty_share <= 0.03


def test_no_two_classes_share_a_name(style):
    assert style.repeated_classes == []


def test_statements_are_plain(style):
    assert style.per_thousand("conditional expressions") <= 12
    assert style.per_thousand("comprehensions") <= 20
    assert style.per_thousand("nested comprehensions") <= 0.7


def test_few_functions_are_complex(style):
    complex_functions = {name: complexity for name, complexity in style.complexities.items() if complexity > 10}
    assert len(complex_functions) <= 35, complex_functions
    assert max(style.complexities.values()) <= 20


def test_modules_hold_one_subject(style):
    # 200 when the rooms were made; decisions, inspection, readers of files, plans, row weights and further families
    # are subjects that came later.
    assert len(style.module_lines) <= 330
    assert max(style.module_lines.values()) <= 400
