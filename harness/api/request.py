"""From the options of a benchmark to a request: suites, names, defaults and data frames, each checked."""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.api.source_data import describe_fetched_data, fetch_data, fetch_sources, names_address
from harness.data.addresses import is_suite
from harness.data.files import read_table
from harness.data.user_data import FOLDER_TARGET, UserData
from harness.errors import EvenhandError
from harness.registry.family import missing_packages
from harness.registry.protocol import EvaluationProtocol
from harness.registry.registry import Registry, lookup_declaration, suggest_similar_name
from harness.registry.task import Modality
from harness.tasks.suites import DEFAULT_STRATEGIES, SUITES, Suite

if TYPE_CHECKING:
    from harness.execution.plan import RunRequest

#: The families of a run that names neither a suite nor families, and those added for texts and images.
DEFAULT_FAMILIES = (
    "logistic_regression",
    "random_forest",
    "gradient_boosting",
    "xgb",
    "lightgbm",
    "catboost",
    "dense_network",
)
#: Default families of an extra of their own: left out where it is not installed, while others are reported as skipped.
OPTIONAL_FAMILIES = ("lightgbm", "catboost")
ADDED_FAMILIES: dict[Modality, tuple[str, ...]] = {
    "tabular": (),
    "text": ("recurrent_network",),
    "image": ("small_convolutional_network", "pretrained_network"),
}
#: Trials per cell without a suite, for a file as for the task that `--save-task` makes of it.
DEFAULT_TRIALS = 10
SECONDS_PER_UNIT = {"s": 1, "m": 60, "h": 3600}
#: Options that name columns of the user's file.
COLUMN_OPTIONS = ("target", "text", "drop", "group", "time", "split", "weights", "ids", "types")
#: Options that describe data of any kind, also a folder of images.
DATA_OPTIONS = ("positive", "title", "costs", "costs_by_class", "name")
#: Field of `UserData` → its option, where that has another name: on the command line and in Python.
OPTION_NAMES = {"ids": "id", "test_path": "test-file", "costs_by_class": "costs"}
ARGUMENT_NAMES = {"test_path": "test", "costs_by_class": "costs"}


@dataclass(frozen=True)
class RunOptions:
    """The options of a benchmark as they were given; None or empty where an option was not used."""

    file: Path | str | None  #: a text may be the address of a public source
    suite: str | None
    tasks: tuple[str, ...]
    families: tuple[str, ...]
    strategies: tuple[str, ...]
    protocol: dict[str, Any] = field(default_factory=dict)  #: fields of the protocol
    columns: dict[str, Any] = field(default_factory=dict)  #: fields of `UserData`
    data_dir: Path | None = None
    plugins: tuple[str, ...] = ()
    pickled_declarations: str = ""  #: see `harness.registry.user_declarations`
    in_python: bool = False  #: whether they are arguments of `evenhand.benchmark`

    def spell_option(self, name: str, example: str = "") -> str:
        """Spell an option as its user writes it: ``--target COLUMN`` or ``target=COLUMN``."""
        if not self.in_python:
            return f"--{OPTION_NAMES.get(name, name).replace('_', '-')} {example}".rstrip()
        return f"{ARGUMENT_NAMES.get(name, name)}={example}"


def make_run_request(options: RunOptions, registry: Registry) -> RunRequest:
    """Turn the options of `run` into a request.

    Parameters
    ----------
    options : RunOptions
        The options as typed.
    registry : Registry
        All declarations.

    Returns
    -------
    Request
        Tasks, families, strategies and protocol, all of which exist.

    Raises
    ------
    EvenhandError
        If options contradict each other, or name something that does not exist.
    """
    from harness.execution.plan import RunRequest  # it loads the search, which an inspection does without

    benchmark_suite: Suite | None = None
    strategies = options.strategies or DEFAULT_STRATEGIES
    if options.suite:
        benchmark_suite = lookup_declaration(SUITES, options.suite, "suite")
        strategies = options.strategies or benchmark_suite.strategies
    user_data = make_user_data(options)
    sources = fetch_sources(options)
    tasks = _task_names(options, benchmark_suite, (*filter(None, [user_data]), *sources), registry)
    families = options.families
    if not families and benchmark_suite:
        families = benchmark_suite.family_names(registry.families)
    elif not families:
        families = _default_families(tasks, (*filter(None, [user_data]), *sources), registry)
    check_family_and_strategy_names(families, strategies, registry)
    family_combinations: Mapping[str, Mapping[str, tuple[str, ...]]] = {}
    if benchmark_suite and not options.families and not options.strategies:
        family_combinations = benchmark_suite.combinations
    check_data_directory(options)
    return RunRequest(
        _unique_names(tasks),
        _unique_names(families),
        _unique_names(strategies),
        _make_protocol(options, benchmark_suite, registry),
        data_dir=str(options.data_dir.resolve()) if options.data_dir else None,
        plugins=options.plugins,
        own=user_data,
        sources=sources,
        pickled_declarations=options.pickled_declarations,
        combinations=family_combinations,
        published=benchmark_suite.published if benchmark_suite else (),
    )


def check_data_directory(options: RunOptions) -> None:
    """Raise `EvenhandError` for a data directory that does not exist."""
    if options.data_dir and not options.data_dir.is_dir():
        raise EvenhandError(f"no such directory: {options.data_dir} ({options.spell_option('data_dir')})")


def check_family_and_strategy_names(families: Iterable[str], strategies: Iterable[str], registry: Registry) -> None:
    """Raise `UnknownNameError` for a family or strategy that is not declared."""
    for name in families:
        registry.family(name)
    for name in strategies:
        registry.strategy(name)


def _default_families(tasks: tuple[str, ...], user_data: Sequence[UserData], registry: Registry) -> tuple[str, ...]:
    """List the default families for the modalities of the tasks."""
    task_modalities = {described.task().modality for described in user_data}
    task_modalities |= {registry.tasks[name].modality for name in tasks if name in registry.tasks}
    families: tuple[str, ...] = ()
    for name in DEFAULT_FAMILIES:
        if name not in OPTIONAL_FAMILIES or not missing_packages(registry.family(name)):
            families += (name,)
    for added_modality, added_families in ADDED_FAMILIES.items():
        if added_modality in task_modalities:
            families += added_families
    return families


def _task_names(
    options: RunOptions, benchmark_suite: Suite | None, user_data: Sequence[UserData], registry: Registry
) -> tuple[str, ...]:
    names = options.tasks
    if not names and benchmark_suite:
        names = benchmark_suite.task_names(registry.tasks)
    names = tuple(itertools.filterfalse(names_address, names))
    for name in names:
        registry.task(name)
    for described in user_data:
        name = described.task_name
        if name in registry.tasks:
            raise EvenhandError(f"{described.path}: a task named {name!r} is declared already: rename the file")
        names = (*names, name)
    if not names:
        raise EvenhandError(
            f"nothing to run: name {options.spell_option('suite')} ({', '.join(SUITES)}), a task (evenhand list tasks), a CSV or "
            "Parquet file, a folder of images, or an address such as openml:1461"
        )
    return names


def _make_protocol(options: RunOptions, benchmark_suite: Suite | None, registry: Registry) -> EvaluationProtocol:
    protocol_fields = {
        name: option_value for name, option_value in options.protocol.items() if option_value is not None
    }
    if "budget" in protocol_fields:
        protocol_fields.setdefault("trials", None)  # bounded by time instead of trials
    default = benchmark_suite.protocol if benchmark_suite else EvaluationProtocol()
    if benchmark_suite is None:
        default = replace(default, trials=DEFAULT_TRIALS)
    protocol = replace(default, **protocol_fields)
    if protocol.objective is not None:
        registry.metric(protocol.objective)
    return protocol


def describe_cost_of_fewer_folds(options: RunOptions) -> str:
    """Say what it costs to ask for fewer outer splits than the suite, or a run without one, has by default.

    Returns
    -------
    str
        A line; empty where no folds were asked for, or not fewer.
    """
    folds = options.protocol.get("folds")
    default = SUITES[options.suite].protocol if options.suite in SUITES else EvaluationProtocol()
    repeats = options.protocol.get("repeats") or default.repeats
    if not folds or folds < 2 or folds * repeats >= default.folds * default.repeats:
        return ""
    from scipy import special

    from harness.evaluation.variance import MAX_PRIOR_DEGREES

    few, usual = folds * repeats - 1, default.folds * default.repeats - 1
    width_ratios = []
    for prior in (MAX_PRIOR_DEGREES, 0):
        width_ratios.append(special.stdtrit(prior + few, 0.975) / special.stdtrit(prior + usual, 0.975))
    return (
        f"{options.spell_option('folds', str(folds))}: the spread between outer splits has {few} instead of {usual} degrees "
        f"of freedom, so at equal spread 95 % intervals are {width_ratios[0]:.2f} times as wide where test rows and other entries tell "
        f"most about it, and {width_ratios[1]:.2f} times where nothing else does"
    )


def _unique_names(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))


def make_user_data(options: RunOptions) -> UserData | None:
    """Describe the user's own file or folder, or the data of an address; None where the run has none."""
    used_options = [name for name, column in options.columns.items() if column and name not in {"name", "has_header"}]
    if options.file is None or is_suite(str(options.file)):
        _refuse_data_options(options, used_options)
        return None
    if names_address(options.file):
        return _make_fetched_user_data(options, str(options.file))
    file = Path(options.file)
    if file.is_dir():
        return _make_image_folder_data(options, file, used_options)
    return _make_file_data(options, file)


def _make_file_data(options: RunOptions, file: Path) -> UserData:
    """Describe a file, whose columns are checked."""
    if not file.is_file():
        raise EvenhandError(f"no such file or folder: {file}")
    columns = {name: setting for name, setting in options.columns.items() if setting is not None}
    check_column_options(options, str(file), list(map(str, _read_column_names(options, file))))
    if test_path := columns.get("test_path"):
        columns["test_path"] = str(_check_test_file(options, Path(test_path)))
    return UserData(path=str(file.resolve()), **columns)


def _make_fetched_user_data(options: RunOptions, address: str) -> UserData | None:
    """Describe the data of an address, with what the user says of them before what their source says."""
    fetched = fetch_data(address)
    described = replace(options, file=fetched.path, columns=describe_fetched_data(fetched, options.columns))
    user_data = make_user_data(described)
    return user_data and replace(user_data, origin=fetched.origin)


def _refuse_data_options(options: RunOptions, used_options: Sequence[str]) -> None:
    """Raise `EvenhandError` where an option describes data that are not there."""
    example_command = "evenhand run FILE --target COLUMN"
    if options.in_python:
        example_command = "evenhand.benchmark(data, target=...)"
    if used_options:
        raise EvenhandError(f"{options.spell_option(used_options[0])} goes with your own data: {example_command}")


def _check_test_file(options: RunOptions, path: Path) -> Path:
    """The path of a test file; raises `EvenhandError` where it is none, or without use."""
    path = path.expanduser()
    if not path.is_file():
        raise EvenhandError(f"no such file: {path} ({options.spell_option('test_path')})")
    for name in ("split", "time"):
        if options.columns.get(name):
            raise EvenhandError(
                f"{options.spell_option('test_path')} and {options.spell_option(name)} exclude each other: the rows are split in "
                "one way"
            )
    columns = list(map(str, _read_column_names(options, path)))
    target = options.columns["target"]
    if target not in columns:
        raise EvenhandError(
            f"{path} has no column {target!r} ({options.spell_option('target')}): a test file has the labels that are tested on"
        )
    return path.resolve()


def _read_column_names(options: RunOptions, file: Path) -> Iterable[Any]:
    columns: Iterable[Any] = read_table(
        file, names_only=True, has_header=options.columns.get("has_header", True)
    ).columns
    return columns


def _make_image_folder_data(options: RunOptions, folder: Path, used_options: Iterable[str]) -> UserData:
    """Describe a folder of images, which has no columns that an option could name."""
    for name in used_options:
        if name not in DATA_OPTIONS:
            raise EvenhandError(
                f"{folder} is a folder of images, whose folders are the classes: {options.spell_option(name)} goes with a "
                "table"
            )
    columns = {name: options.columns[name] for name in DATA_OPTIONS if options.columns.get(name)}
    return UserData(str(folder.resolve()), FOLDER_TARGET, **columns)


def check_column_options(options: RunOptions, source: str, known: Collection[str]) -> None:
    """Check the names of columns among options.

    Parameters
    ----------
    options : RunOptions
        The options.
    source : str
        What the columns belong to, for messages.
    known : collection of str
        The columns that there are.

    Raises
    ------
    EvenhandError
        If no target is named, or an option names a column that does not exist, or one column twice.
    """
    if not options.columns.get("target"):
        example_command = options.spell_option("target", "COLUMN")
        raise EvenhandError(f"{source}: which column is to be predicted? say {example_command}")
    for option in COLUMN_OPTIONS:
        names = options.columns.get(option) or ()
        for name in (names,) if isinstance(names, str) else names:
            if name not in known:
                raise EvenhandError(
                    f"no such column {name!r} ({options.spell_option(option)}): {suggest_similar_name(name, known)}"
                )
            _check_column_has_one_use(options, option, name)


def _check_column_has_one_use(options: RunOptions, option: str, name: str) -> None:
    """Raise `EvenhandError` where a column that an option names has another use already."""
    if option == "types" and name == options.columns["target"]:
        if options.columns["types"][name] != "category":
            raise EvenhandError(f"{options.spell_option(option)}: the target {name!r} can only be declared a category")
        return
    if option != "target" and name == options.columns["target"]:
        raise EvenhandError(f"{options.spell_option(option)} names the target {name!r}: it is what is to be predicted")
    if option not in ("target", "text", "types") and name == options.columns.get("text"):
        raise EvenhandError(f"{options.spell_option(option)} names the column {name!r} whose texts are to be read")


def default_run_folder(options: RunOptions, request: RunRequest, *, quick: bool = False) -> Path:
    """Name the folder of a run without --out: `results/` and the name of the suite or of the tasks, and of a quick run."""
    name = options.suite or "-".join(request.tasks)[:80]
    if is_suite(str(options.file)):
        name = re.sub(r"\W+", "_", str(options.file))
    if quick:  # it has a protocol of its own
        name += "_quick"
    return Path("results") / name


def parse_seconds(length: str | float | None) -> float | None:
    """Read a length of time such as 90, "90s", "5m" or "2h"; None for None.

    Raises
    ------
    EvenhandError
        If it is no positive length of time.
    """
    if length is None:
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(s|m|h)?", str(length).strip())
    if not match or not float(match[1]):
        raise EvenhandError(f"not a length of time: {length!r} (expected for example 60s, 5m or 2h)")
    return float(match[1]) * SECONDS_PER_UNIT[match[2] or "s"]
