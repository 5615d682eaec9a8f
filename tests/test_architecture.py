"""The direction of imports, and what must stay light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
#: Room → the rooms it may import. Everything may import `errors`; the command line and the contract stand above the rest.
ARROWS = {
    "declare": {"declare"},
    "store": {"store"},
    "data": {"data", "declare"},
    "search": {"search", "data", "declare", "networks"},
    "networks": {"networks"},
    "report": {"report", "store", "declare"},
    "run": {"run", "search", "store", "data", "declare"},
    "deploy": {"deploy", "store", "search", "data", "declare"},
    "tasks": {"tasks", "declare", "data.sources", "data.images"},
    "searchspaces": {"searchspaces", "declare", "networks", "data.sources"},
    "checks": {"checks", "declare", "data", "search"},
    "dashboard": {"store", "report.markdown"},
    "tensorboard": {"store"},
    "explain": {"networks", "store", "declare"},
}
#: What stored data must stay readable without.
LIVE = {"declare.task", "declare.family", "declare.strategy", "declare.registry"}


def imports(path: Path) -> set[str]:
    """The project's own modules that a file imports, without the leading `harness.`."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("harness"):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.startswith("harness")}
    return {name.removeprefix("harness.") for name in found}


def files(room: str) -> list[Path]:
    for place in (ROOT / "harness" / room, ROOT / room):
        if place.is_dir():
            return sorted(place.rglob("*.py"))
    return [ROOT / "harness" / f"{room}.py"]


@pytest.mark.parametrize("room", ARROWS)
def test_a_room_imports_only_what_its_arrows_allow(room):
    assert files(room)
    allowed = ARROWS[room] | {"errors"}
    for path in files(room):
        wrong = [
            name for name in imports(path) if not any(name == one or name.startswith(one + ".") for one in allowed)
        ]
        assert not wrong, f"{path.relative_to(ROOT)} imports {wrong}"


@pytest.mark.parametrize("room", ["store", "report"])
def test_what_reads_stored_data_needs_no_live_declaration(room):
    for path in files(room):
        wrong = [name for name in imports(path) if any(name.startswith(one) for one in LIVE)]
        assert not wrong, f"{path.relative_to(ROOT)} imports {wrong}"


def test_only_the_study_drives_optuna_and_only_two_places_read_what_it_left():
    users = [
        path.relative_to(ROOT / "harness").as_posix()
        for path in (ROOT / "harness").rglob("*.py")
        if "import optuna" in path.read_text(encoding="utf-8")
    ]
    assert sorted(users) == [
        "api/dashboard.py",
        "evaluation/search_history.py",
        "evaluation/search_history.py",
        "search/study.py",
    ]


@pytest.mark.parametrize("module", ["harness.cli", "harness.registry.registry"])
def test_starting_up_loads_nothing_heavy(module):
    code = (
        f"import sys, {module}; heavy = {{'pandas', 'sklearn', 'optuna', 'tensorflow', 'xgboost', 'imblearn', 'scipy'}}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.strip() == "[]"


def test_declarations_load_nothing_heavy():
    code = (
        "import sys; from harness.registry.registry import load_registry; load_registry(); "
        "print(sorted({'pandas', 'sklearn', 'optuna', 'tensorflow', 'xgboost', 'imblearn'} & set(sys.modules)))"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.strip() == "[]"


def test_every_package_is_named_for_the_wheel():
    import tomllib

    named = set(tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["packages"])
    inside = {".".join(path.parent.relative_to(ROOT).parts) for path in (ROOT / "harness").rglob("__init__.py")}
    assert named == inside | {"harness.tasks", "harness.searchspaces"}
