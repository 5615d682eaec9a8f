"""What is published: a wheel that is built from the source distribution and runs outside the clone."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from build import ProjectBuilder
from build.env import DefaultIsolatedEnv

ROOT = Path(__file__).parents[1]
#: The five lines of the README on a data set of scikit-learn.
FIVE_LINES = """
import evenhand, harness
from sklearn.datasets import load_breast_cancer
frame = load_breast_cancer(as_frame=True).frame.sample(120, random_state=1)
run = evenhand.benchmark(frame, target="target", families=["logistic_regression"], strategies=["none"], trials=2, folds=2,
                         inner_folds=2, jobs=1, out="run", progress=False)
assert run.leaderboard()["average_precision"].notna().all()
print(evenhand.__file__, harness.__file__, run.folder / "report.html", sep="\\n")
"""


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("distributions")
    command = [sys.executable, "-m", "build", "--outdir", str(out), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    return out


@pytest.fixture(scope="module")
def installed(distributions: Path) -> Path:
    """The folder in which the wheel is installed, without its dependencies: those of this environment serve."""
    site = distributions / "site"
    wheel = next(distributions.glob("*.whl"))
    command = [*(sys.executable, "-m", "pip", "install", "--no-deps", "--quiet", "--target"), site, wheel]
    subprocess.run(command, check=True)
    return site


def test_wheel_and_source_hold_every_module_and_every_file_that_pages_are_made_of(distributions):
    with zipfile.ZipFile(next(distributions.glob("*.whl"))) as wheel:
        names = set(wheel.namelist())
    for top in ("harness", "tasks", "searchspaces"):
        for file in (ROOT / top).rglob("*"):
            name = file.relative_to(ROOT).as_posix()
            if file.suffix in (".py", ".html", ".css", ".js", ".md"):
                assert (name if top == "harness" else f"harness/{name}") in names
    assert {"evenhand.py", "harness/py.typed"} <= names
    with tarfile.open(next(distributions.glob("*.tar.gz"))) as source:
        assert any(name.endswith("/LICENSE") for name in source.getnames())


def test_the_five_lines_run_from_the_wheel_outside_the_clone(installed, tmp_path):
    environment = os.environ | {"PYTHONPATH": str(installed)}
    done = subprocess.run(
        [sys.executable, "-P", "-c", FIVE_LINES], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    module, package, page = done.stdout.splitlines()
    assert Path(module) == installed / "evenhand.py"
    assert Path(package).is_relative_to(installed)
    assert (tmp_path / page).exists()


def test_a_folder_named_evenhand_does_not_hide_the_package(installed, tmp_path):
    (tmp_path / "evenhand" / "tests").mkdir(parents=True)
    environment = os.environ | {"PYTHONPATH": str(installed)}
    script = "import evenhand; print(evenhand.__file__)"
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.stdout.strip() == str(installed / "evenhand.py")


def test_an_editable_install_is_found_before_the_folder_of_its_clone(tmp_path):
    clone = tmp_path / "parent" / "evenhand"
    for part in ("harness", "tasks", "searchspaces"):
        shutil.copytree(ROOT / part, clone / part, ignore=shutil.ignore_patterns("__pycache__"))
    for part in ("evenhand.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / part, clone)
    with DefaultIsolatedEnv() as environment:
        builder = ProjectBuilder.from_isolated_env(environment, clone)
        environment.install(builder.build_system_requires)
        environment.install(builder.get_requires_for_build("editable"))
        wheel = builder.build("editable", tmp_path)
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")  # noqa: S202 -- our own wheel
    # Without this environment's own packages, in which another clone is installed.
    script = (
        "import site, sys; site.addsitedir(sys.argv[1]); import evenhand, harness.tasks.suites, harness.searchspaces\n"
        "print(evenhand.__file__, harness.tasks.__file__, harness.searchspaces.__file__)"
    )
    command = [sys.executable, "-S", "-c", script, tmp_path / "site"]
    done = subprocess.run(command, cwd=clone.parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [
        str(clone / file) for file in ("evenhand.py", "tasks/__init__.py", "searchspaces/__init__.py")
    ]
