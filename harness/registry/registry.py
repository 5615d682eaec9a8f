"""The registry finds declarations by their type: in the packages of this project, in plugins, in entry points."""

import difflib
import hashlib
import importlib
import importlib.metadata
import importlib.util
import pkgutil
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from harness.errors import DeclarationError, EvenhandError, UnknownNameError
from harness.metrics.metric import Metric
from harness.registry.family import Family
from harness.registry.strategy import Strategy
from harness.registry.task import Task

Declaration = TypeVar("Declaration")

#: The packages and modules of this project that hold declarations.
DECLARATION_PACKAGES = (
    "harness.tasks",
    "harness.searchspaces",
    "harness.metrics.classification",
    "harness.metrics.selection",
)
MAX_LISTED_NAMES = 16  #: in a message
#: What families and strategies are called elsewhere → their name, for suggestions only.
ALIASES = {
    "lr": "logistic_regression",
    "logreg": "logistic_regression",
    "logit": "logistic_regression",
    "rf": "random_forest",
    "forest": "random_forest",
    "gb": "gradient_boosting",
    "gbm": "gradient_boosting",
    "hgb": "gradient_boosting",
    "histgb": "gradient_boosting",
    "xgboost": "xgb",
    "lgb": "lightgbm",
    "lgbm": "lightgbm",
    "cat": "catboost",
    "cb": "catboost",
    "nn": "dense_network",
    "mlp": "dense_network",
    "ann": "dense_network",
    "dnn": "dense_network",
    "rnn": "recurrent_network",
    "lstm": "recurrent_network",
    "cnn": "small_convolutional_network",
    "knn": "nearest_neighbors",
    "kneighbors": "nearest_neighbors",
    "svm": "linear_svm",
    "svc": "linear_svm",
    "et": "extra_trees",
    "nb": "naive_bayes",
    "dummy": "majority",
    "baseline": "majority",
    "ros": "random_oversampling",
    "rus": "random_undersampling",
    "underbagging": "balanced_ensemble",
    "easy_ensemble": "balanced_ensemble",
    "spe": "self_paced_ensemble",
}
ENTRY_POINTS = "evenhand.plugins"
PLURALS: dict[type[Any], str] = {Task: "tasks", Family: "families", Strategy: "strategies", Metric: "metrics"}


@dataclass(frozen=True)
class Registry:
    """All declarations by name, in the order in which they were found."""

    tasks: dict[str, Task] = field(default_factory=dict)
    families: dict[str, Family] = field(default_factory=dict)
    strategies: dict[str, Strategy] = field(default_factory=dict)
    metrics: dict[str, Metric] = field(default_factory=dict)

    @property
    def n_declarations(self) -> int:
        """Number of declarations of all kinds."""
        return len(self.tasks) + len(self.families) + len(self.strategies) + len(self.metrics)

    def task(self, name: str) -> Task:
        """The task of this name."""
        return lookup_declaration(self.tasks, name, "task")

    def family(self, name: str) -> Family:
        """The family of this name."""
        return lookup_declaration(self.families, name, "family")

    def strategy(self, name: str) -> Strategy:
        """The strategy of this name."""
        return lookup_declaration(self.strategies, name, "strategy")

    def metric(self, name: str) -> Metric:
        """The metric of this name."""
        return lookup_declaration(self.metrics, name, "metric")

    def with_declarations(self, declarations: Iterable[Any], source: str) -> "Registry":
        """Return a registry with further declarations.

        Parameters
        ----------
        declarations : iterable of Task, Family, Strategy or Metric
            The declarations.
        source : str
            Where they come from, for the message of an error.

        Raises
        ------
        DeclarationError
            If a name exists already, or an object is no declaration.
        """
        registry = Registry(dict(self.tasks), dict(self.families), dict(self.strategies), dict(self.metrics))
        for declaration in declarations:
            if not isinstance(declaration, tuple(PLURALS)):
                declaration_type = type(declaration).__name__
                raise DeclarationError(
                    f"{source}: a Task, Family, Strategy or Metric is expected, but got a {declaration_type}"
                )
            _add_declaration(registry, declaration, source)
        return registry


def load_registry(plugins: Iterable[str] = ()) -> Registry:
    """Import everything that holds declarations and collect them.

    Nothing is imported from the current folder or from the folder of a run. `sys.path` is not changed.

    Parameters
    ----------
    plugins : iterable of str
        Installed modules by their names, and files by their paths (`my_task.py`), to import besides those under the
        entry-point group `evenhand.plugins`.

    Returns
    -------
    Registry
        All declarations.

    Raises
    ------
    DeclarationError
        If two declarations of one kind share a name.
    EvenhandError
        If a plugin cannot be imported.
    """
    registry = Registry()
    for module in _import_declaration_modules(plugins):
        _add_declarations_of_module(registry, module)
    return registry


def load_plugin_registry(plugins: Iterable[str]) -> Registry:
    """Collect the declarations of plugins without any other.

    Parameters
    ----------
    plugins : iterable of str
        As of `load_registry`.

    Raises
    ------
    EvenhandError
        If a plugin cannot be imported, or declares nothing.
    """
    registry = Registry()
    for plugin in make_plugin_paths_absolute(plugins):
        module, n_declared = _import_plugin(plugin), registry.n_declarations
        _add_declarations_of_module(registry, module)
        if registry.n_declarations == n_declared:
            raise EvenhandError(
                f"plugin {plugin!r} declares nothing: a Task, Family, Strategy or Metric must be a variable of the module"
            )
    return registry


def lookup_declaration(known: Mapping[str, Declaration], name: str, kind: str) -> Declaration:
    """Look up a declaration by its name.

    Parameters
    ----------
    known : mapping
        The declarations by name.
    name : str
        The name.
    kind : str
        What it is the name of, for the message: ``task``, ``family`` and so on.

    Returns
    -------
    Declaration
        ``known[name]``.

    Raises
    ------
    UnknownNameError
        If there is none of that name; the message has a suggestion.
    """
    if name in known:
        return known[name]
    plural_kind = {"family": "families", "strategy": "strategies"}.get(kind, kind + "s")
    raise UnknownNameError(
        f"unknown {kind} {name!r}: {suggest_similar_name(name, known)} (evenhand list {plural_kind})"
    )


def suggest_similar_name(name: str, known: Iterable[str]) -> str:
    """Suggest the known name that an unknown one is most similar to, or say which there are.

    Parameters
    ----------
    name : str
        The unknown name.
    known : iterable of str
        The known names; where none is similar, they are listed if there are at most `MAX_LISTED_NAMES`.
    """
    known = list(known)
    alias_name = ALIASES.get(name.lower())
    if alias_name in known:
        return f"did you mean {alias_name!r}?"
    lower_case = {known_name.lower(): known_name for known_name in known}
    similar_names = difflib.get_close_matches(name.lower(), lower_case, n=1, cutoff=0.5)
    if not similar_names and name:
        similar_names = [known_name for known_name in lower_case if name.lower() in known_name]
    if similar_names:
        return f"did you mean {lower_case[similar_names[0]]!r}?"
    return f"there are {len(known)}" if len(known) > MAX_LISTED_NAMES else f"there are: {', '.join(known)}"


def _import_declaration_modules(plugins: Iterable[str]) -> Iterator[ModuleType]:
    for name in DECLARATION_PACKAGES:
        declaration_package = importlib.import_module(name)
        yield declaration_package
        for declaration_module in pkgutil.iter_modules(getattr(declaration_package, "__path__", [])):
            yield importlib.import_module(f"{name}.{declaration_module.name}")
    published_plugins = [point.value.split(":")[0] for point in importlib.metadata.entry_points(group=ENTRY_POINTS)]
    for plugin in dict.fromkeys([*published_plugins, *make_plugin_paths_absolute(plugins)]):
        yield _import_plugin(plugin)


def _import_plugin(plugin: str) -> ModuleType:
    try:
        return _import_plugin_file(Path(plugin)) if plugin.endswith(".py") else importlib.import_module(plugin)
    except EvenhandError:
        raise
    except Exception as error:  # whatever the code of a plugin raises is reported in one line
        hint = _import_hint(plugin, error)
        message = f"plugin {plugin!r} cannot be imported: {type(error).__name__}: {error}{hint}"
        raise EvenhandError(message) from error


def make_plugin_paths_absolute(plugins: Iterable[str]) -> tuple[str, ...]:
    """Resolve the paths among plugins, so that they mean the same in another process.

    Parameters
    ----------
    plugins : iterable of str
        Names of installed modules, and paths of files, which end in ``.py``.

    Returns
    -------
    tuple of str
        The names as they are and the paths absolute, each once.

    Raises
    ------
    EvenhandError
        If there is no such file.
    """
    resolved_plugins = []
    for plugin in plugins:
        path = Path(plugin).expanduser().resolve()
        if plugin.endswith(".py") and not path.is_file():
            raise EvenhandError(f"no such file: {plugin} (--plugin)")
        resolved_plugins.append(str(path) if plugin.endswith(".py") else plugin)
    return tuple(dict.fromkeys(resolved_plugins))


def _import_plugin_file(path: Path) -> ModuleType:
    """Import one file, and nothing else of its folder; a file that has been imported is not imported again.

    Its module has a name that no installed module has: the folder is part of it.
    """
    digits = hashlib.sha256(str(path).encode()).hexdigest()[:12]
    name = f"evenhand_plugin_{digits}_{path.stem}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise EvenhandError(f"plugin {str(path)!r} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # before it runs: dataclasses and pickle look it up there
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _import_hint(plugin: str, error: Exception) -> str:
    """What to do where a plugin, or a module that it imports, is a file that is not installed."""
    if not isinstance(error, ModuleNotFoundError) or not error.name:
        return ""
    file = f"{error.name.partition('.')[0]}.py"
    if not plugin.endswith(".py"):
        return f" (a module must be installed; a file is named by its path: --plugin path/to/{file})"
    if (Path(plugin).parent / file).is_file() or (Path(plugin).parent / file.removesuffix(".py")).is_dir():
        return f" ({file.removesuffix('.py')} beside it is not imported: put both into one file, or install them as a package)"
    return ""


def _add_declarations_of_module(registry: Registry, module: ModuleType) -> None:
    """Add the declarations that are variables of a module, or entries of tuples among them."""
    for attribute in vars(module).values():
        for candidate in attribute if isinstance(attribute, tuple) else (attribute,):
            _add_declaration(registry, candidate, module.__name__)


def _add_declaration(registry: Registry, candidate_declaration: Any, declaring_module: str) -> None:
    """Add an object to the registry if it is a declaration."""
    for declaration_class, plural_kind in PLURALS.items():
        if isinstance(candidate_declaration, declaration_class):
            known_declarations = getattr(registry, plural_kind)
            if (
                known_declarations.setdefault(candidate_declaration.name, candidate_declaration)
                is not candidate_declaration
            ):
                raise DeclarationError(
                    f"{declaring_module}: {plural_kind} named {candidate_declaration.name!r} are declared twice"
                )
