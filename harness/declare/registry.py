"""Finds declarations: by type, in the folders made for them, in plugins, in entry points."""

import difflib
import importlib
import importlib.metadata
import pkgutil
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from harness.declare.family import Family
from harness.declare.metric import Metric
from harness.declare.strategy import Strategy
from harness.declare.task import Task
from harness.errors import DeclarationError, EvenhandError, UnknownNameError

T = TypeVar("T")

PLACES = ("harness.tasks", "harness.searchspaces", "harness.declare.metrics")
MOST_NAMES = 12  #: more than these are not listed in a message
ENTRY_POINTS = "evenhand.plugins"
PLURALS: dict[type[Any], str] = {Task: "tasks", Family: "families", Strategy: "strategies", Metric: "metrics"}


@dataclass(frozen=True)
class Registry:
    """Every declaration there is, by name, in the order found."""

    tasks: dict[str, Task] = field(default_factory=dict)
    families: dict[str, Family] = field(default_factory=dict)
    strategies: dict[str, Strategy] = field(default_factory=dict)
    metrics: dict[str, Metric] = field(default_factory=dict)

    def task(self, name: str) -> Task:
        """The task of this name."""
        return find(self.tasks, name, "task")

    def family(self, name: str) -> Family:
        """The family of this name."""
        return find(self.families, name, "family")

    def strategy(self, name: str) -> Strategy:
        """The strategy of this name."""
        return find(self.strategies, name, "strategy")

    def metric(self, name: str) -> Metric:
        """The metric of this name."""
        return find(self.metrics, name, "metric")


def load_registry(plugins: Iterable[str] = ()) -> Registry:
    """Import every place where declarations live and collect them.

    `plugins` are modules, by name or by path (`my_task.py`), to import besides those under the entry-point group
    `evenhand.plugins`. Raises `DeclarationError` where two declarations of one kind share a name, `EvenhandError` where
    a plugin cannot be imported.
    """
    registry = Registry()
    for module in _modules(plugins):
        for value in vars(module).values():
            for one in value if isinstance(value, tuple) else (value,):
                _add(registry, one, module)
    return registry


def find(known: Mapping[str, T], name: str, kind: str) -> T:
    """`known[name]`, or an `UnknownNameError` that says what there is and what was probably meant."""
    if name in known:
        return known[name]
    plural = {"family": "families", "strategy": "strategies"}.get(kind, kind + "s")
    raise UnknownNameError(f"unknown {kind} {name!r}: {closest(name, known)} (evenhand list {plural})")


def closest(name: str, known: Iterable[str]) -> str:
    """What was probably meant by an unknown name, or what there is: all of it, where that is not too much to read."""
    known = list(known)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    close = close or [other for other in known if name and (other.startswith(name) or name in other)][:1]
    if close:
        return f"did you mean {close[0]!r}?"
    return f"there are {len(known)}" if len(known) > MOST_NAMES else f"there are: {', '.join(known)}"


def _modules(plugins: Iterable[str]) -> Iterator[ModuleType]:
    for place in PLACES:
        package = importlib.import_module(place)
        yield package
        for found in pkgutil.iter_modules(getattr(package, "__path__", [])):
            yield importlib.import_module(f"{place}.{found.name}")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))  # a plugin may lie beside the data
    published = [point.value.split(":")[0] for point in importlib.metadata.entry_points(group=ENTRY_POINTS)]
    for name in dict.fromkeys([*published, *plugins]):
        try:
            yield _plugin(name)
        except EvenhandError:
            raise
        except Exception as error:  # a plugin is foreign code: whatever it raises is the user's to read, in one line
            raise EvenhandError(f"plugin {name!r} cannot be imported: {type(error).__name__}: {error}") from error


def _plugin(name: str) -> ModuleType:
    """A module by name, or by the path of its file."""
    if not name.endswith(".py"):
        return importlib.import_module(name)
    path = Path(name).expanduser().resolve()
    if not path.is_file():
        raise EvenhandError(f"no such file: {name} (--plugin)")
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    module = importlib.import_module(path.stem)
    if Path(module.__file__ or "").resolve() != path:
        raise EvenhandError(f"plugin {name!r}: there is another module {path.stem!r} already: rename the file")
    return module


def _add(registry: Registry, value: Any, module: ModuleType) -> None:
    for kind, plural in PLURALS.items():
        if isinstance(value, kind):
            known = getattr(registry, plural)
            if known.setdefault(value.name, value) is not value:
                raise DeclarationError(f"{module.__name__}: {plural} named {value.name!r} are declared twice")
