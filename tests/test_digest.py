"""Fingerprints change with whatever decides over numbers, and with nothing else."""

import importlib.util
import sys
import textwrap
from dataclasses import replace
from functools import partial

import pytest

from evenhand import Family, Strategy, log_float
from harness.registry.fingerprint import canonical_text, declaration_fingerprint

DECLARATION = '''\
"""A family of a plug-in."""

import functools
import math as numerics
from dataclasses import dataclass

from evenhand import Family, log_float

DEPTH = 3
OPTIONS = {"kinds": ["a", "b"], "limits": (1, None), "names": {"x", "y", "z"}, "mask": b"01"}


@dataclass(frozen=True)
class Settings:
    """Of the classifier."""

    rounds: int = 5


SETTINGS = Settings(rounds=7)


class Base:
    """What classifiers share."""

    def scale(self):
        return 10


class Classifier(Base):
    """A classifier."""

    smooth = 0.5

    def fit(self, X, y):
        """Fit it."""
        return numerics.log(len(X)) + helper(X)


def factory(power):
    return lambda X: X ** power  # closed over


raised = factory(2)


@functools.lru_cache
def table(size):
    """A table."""
    return list(range(size))


def helper(X):
    # A comment.
    return raised(X)


def build(seed, depth=DEPTH, *, rate=0.1, **params):
    """Build it."""
    scores = [lambda x: x + 1, lambda x: x + 2]
    return Classifier(), seed, depth, rate, params, DEPTH, OPTIONS, SETTINGS, table(3), scores


FAMILY = Family(
    name="mine",
    build=build,
    space={"C": log_float(0.1, 1, default=1)},
    encodings={"tabular": "ordinal"},
    description="my own",
)
'''

HARMLESS = {
    "the docstring of the module": ('"""A family of a plug-in."""', '"""My family."""'),
    "the docstring of a function": ('"""Build it."""', '"""Build it\n\n    with care."""'),
    "no docstring": ('    """Fit it."""\n', ""),
    "the docstring of a class": ('"""What classifiers share."""', '"""Shared."""'),
    "the docstring of a cached function": ('"""A table."""', '"""Numbers."""'),
    "a comment": ("# A comment.", "# Another comment,\n    # of two lines."),
    "a comment beside code": ("  # closed over", ""),
    "layout": ("def build(seed, depth=DEPTH, *, rate=0.1, **params):", "def build(\n    seed,depth=(DEPTH),*,rate=.10,**params,\n):"),
    "quotes": ('"kinds": ["a", "b"]', "'kinds': ['a', 'b']"),
    "lines before it": ("DEPTH = 3\n", "\n\n\n# Deep.\nDEPTH = 3\n"),
    "what nothing uses": ("raised = factory(2)\n", "raised = factory(2)\nUNUSED = 4\n"),
    "the description": ('description="my own"', 'description="another"'),
}  # fmt: skip
DECISIVE = {
    "code of the builder": ("return Classifier(), seed", "return Classifier(), seed + 1"),
    "code of a helper": ("return raised(X)", "return -raised(X)"),
    "code of a method": ("numerics.log(len(X))", "numerics.log1p(len(X))"),
    "code of a base class": ("return 10", "return 11"),
    "code of a cached function": ("list(range(size))", "list(range(size + 1))"),
    "a decorator": ("@functools.lru_cache\n", ""),
    "one lambda of a line": ("lambda x: x + 2", "lambda x: x + 3"),
    "code of a closure": ("X ** power", "X * power"),
    "the value of a closure": ("factory(2)", "factory(3)"),
    "a default argument": ("rate=0.1", "rate=0.2"),
    "a constant": ("DEPTH = 3", "DEPTH = 4"),
    "a list in a constant": ('["a", "b"]', '["a", "c"]'),
    "None in a constant": ("(1, None)", "(1, 0)"),
    "a set in a constant": ('{"x", "y", "z"}', '{"x", "y", "w"}'),
    "bytes in a constant": ('b"01"', 'b"10"'),
    "a dataclass as a constant": ("Settings(rounds=7)", "Settings(rounds=8)"),
    "a default of a dataclass": ("rounds: int = 5", "rounds: int = 6"),
    "an attribute of a class": ("smooth = 0.5", "smooth = 0.6"),
    "another module under the same name": ("import math as numerics", "import cmath as numerics"),
    "a string that is no docstring": ('"mask"', '"mark"'),
    "the space": ("log_float(0.1, 1, default=1)", "log_float(0.1, 2, default=1)"),
    "the encoding": ('"ordinal"', '"native"'),
}


@pytest.fixture
def fingerprint(tmp_path, monkeypatch):
    """Write a module into a folder of its own, import it, and return the fingerprint of its family."""
    folders = iter(range(100))

    def of(text):
        folder = tmp_path / str(next(folders))
        folder.mkdir()
        (folder / "plugin.py").write_text(text, encoding="utf-8")
        name = f"digest_plugin_{folder.name}"
        spec = importlib.util.spec_from_file_location(name, folder / "plugin.py")
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, module)
        spec.loader.exec_module(module)
        return declaration_fingerprint(module.FAMILY)

    return of


def changed(old, new):
    assert old in DECLARATION
    return DECLARATION.replace(old, new)


@pytest.mark.parametrize("change", HARMLESS.values(), ids=list(HARMLESS))
def test_what_computes_nothing_changes_no_fingerprint(fingerprint, change):
    assert fingerprint(changed(*change)) == fingerprint(DECLARATION)


@pytest.mark.parametrize("change", DECISIVE.values(), ids=list(DECISIVE))
def test_a_change_that_matters_changes_the_fingerprint(fingerprint, change):
    assert fingerprint(changed(*change)) != fingerprint(DECLARATION)


def test_a_fingerprint_is_the_same_in_every_process_and_version_of_python(fingerprint):
    # Computed under Python 3.11, 3.12 and 3.13; hashes of strings differ between processes.
    assert fingerprint(DECLARATION)[:16] == "53aa4f410a84e656"


def executed(text):
    """Functions without source."""
    names = {"__name__": "executed"}
    exec(textwrap.dedent(text), names)  # noqa: S102 -- as a notebook does
    return names["build"]


@pytest.mark.parametrize(
    ("text", "equal"),
    [
        ('def build(seed):\n    "Another docstring."\n\n    return seed, [n + 1 for n in range(3)]', True),
        ("def build(seed):\n    return seed, [n + 1 for n in range(3)]", True),
        ("def build(seed):\n    return seed, [n + 2 for n in range(3)]", False),
        ("def build(seed, depth=1):\n    return seed, [n + 1 for n in range(3)]", False),
    ],
)
def test_compiled_code_stands_for_source_that_is_missing(text, equal):
    original = executed('def build(seed):\n    """A docstring."""\n    return seed, [n + 1 for n in range(3)]')
    assert (canonical_text(executed(text)) == canonical_text(original)) is equal


def build(seed, **params):
    return seed, params


FAMILY = Family(name="f", build=build, space={"C": log_float(0.1, 1, default=1)}, encodings={"tabular": "ordinal"})


@pytest.mark.parametrize(
    "change",
    [{"stops_early": True}, {"trials": 3}, {"build": lambda seed: None}, {"build": partial(build, depth=1)}],
    ids=["a flag", "the number of trials", "a lambda", "a partial"],
)
def test_every_field_but_the_descriptive_ones_counts(change):
    assert declaration_fingerprint(replace(FAMILY, **change)) != declaration_fingerprint(FAMILY)


def test_partials_differ_by_their_arguments():
    assert canonical_text(partial(build, depth=1)) == canonical_text(partial(build, depth=1))
    assert canonical_text(partial(build, depth=1)) != canonical_text(partial(build, depth=2))
    assert canonical_text(partial(build, 1)) != canonical_text(partial(build, depth=1))


def test_lambdas_of_one_line_are_distinguished():
    first, second, nested = (lambda seed: seed + 1), (lambda seed: seed + 2), (lambda seed: lambda: seed)
    assert len({canonical_text(function) for function in (first, second, nested, nested(1), nested(2))}) == 5


def test_a_strategy_counts_with_the_class_that_it_builds():
    class Ensemble:
        def fit(self, X, y):
            return "fitted with care"

    ensemble = Strategy(name="s", kind="ensemble", build=Ensemble)
    assert "fitted with care" in canonical_text(Ensemble)
    assert declaration_fingerprint(ensemble) != declaration_fingerprint(
        replace(ensemble, build=lambda member, seed: None)
    )


def test_values_that_contain_themselves_have_a_text():
    values = [1]
    values.append(values)
    assert canonical_text(values) == "list(1, recursive)"


GUARDED = """
try:
    import package_that_is_not_there
except ImportError:
    class Guarded:
        def build(self):
            return {value}
"""


def test_a_class_that_is_defined_where_an_import_failed_counts_with_its_code(tmp_path):
    texts = []
    for value in (1, 2):
        path = tmp_path / f"guarded_{value}.py"
        path.write_text(GUARDED.format(value=value))
        spec = importlib.util.spec_from_file_location("guarded", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        texts.append(canonical_text(module.Guarded))
    assert texts[0] != texts[1]
