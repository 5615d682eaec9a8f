"""Arguments of public functions: what each of them must be is declared beside the function and checked when it is called."""

from __future__ import annotations

import functools
import inspect
import math
import operator
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from harness.errors import DeclarationError, EvenhandError

Parameters = ParamSpec("Parameters")
Returned = TypeVar("Returned")

LONGEST_ECHO = 80  #: characters of a wrong argument that a message repeats
LONGEST_PATH = 300  #: characters of a path that a message repeats


@dataclass(frozen=True)
class ArgumentKind:
    """What an argument must be.

    Attributes
    ----------
    expected : str
        Its description, for the message ``trials must be <expected>, but got ...``.
    convert : callable
        Returns the argument as the function uses it; raises `TypeError` or `ValueError` for one of another kind.
    """

    expected: str
    convert: Callable[[Any], Any]

    def check(self, name: str, argument: Any) -> Any:
        """Convert an argument; raises `EvenhandError` where it is of another kind."""
        try:
            return self.convert(argument)
        except (TypeError, ValueError, OverflowError, RuntimeError):  # the last one where a home folder is not known
            raise EvenhandError(f"{name} must be {self.expected}, but got {describe_argument(argument)}") from None


def describe_argument(argument: Any) -> str:
    """Write an argument in one short line: its value where that is plain, and its type where it is not clear from that."""
    kind = type(argument).__name__
    if argument is None or isinstance(argument, (bool, int, float)):
        return repr(argument)
    if not isinstance(argument, (str, bytes, list, tuple, dict, set)):
        return f"a {kind}"
    text = " ".join(repr(argument).split())
    if len(text) > LONGEST_ECHO:
        text = f"{text[:LONGEST_ECHO]}…"
    return f"{text} (a {kind})"


def check_arguments(
    **kinds: ArgumentKind,
) -> Callable[[Callable[Parameters, Returned]], Callable[Parameters, Returned]]:
    """Check the arguments of a function before it is called, and convert them.

    A parameter whose default is None may be None. Missing and unknown arguments, and errors of the operating system such as
    missing permissions, become an `EvenhandError` too, so that a caller has one class of errors to catch.

    Parameters
    ----------
    **kinds : ArgumentKind
        What each parameter must be; parameters that are not named are not checked.
    """

    def decorate(function: Callable[Parameters, Returned]) -> Callable[Parameters, Returned]:
        signature = inspect.signature(function)

        @functools.wraps(function)
        def checked(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Returned:
            try:
                bound = signature.bind(*args, **kwargs)
            except TypeError as error:
                raise EvenhandError(_describe_call_error(function.__name__, signature, kwargs, error)) from None
            for name in bound.arguments.keys() & kinds.keys():
                argument = bound.arguments[name]
                if argument is not None or signature.parameters[name].default is not None:
                    bound.arguments[name] = kinds[name].check(name, argument)
            try:
                return function(*bound.args, **bound.kwargs)
            except OSError as error:
                raise EvenhandError(describe_os_error(error)) from error

        return checked

    return decorate


def _describe_call_error(
    function: str, signature: inspect.Signature, keywords: Mapping[str, Any], error: TypeError
) -> str:
    """Say what is wrong with the names or the number of the arguments of a call."""
    import difflib

    for name in keywords:
        if name not in signature.parameters:
            similar = difflib.get_close_matches(name, signature.parameters, n=1, cutoff=0.5)
            known = ", ".join(parameter for parameter in signature.parameters if parameter != "self")
            hint = f"did you mean {similar[0]}=?" if similar else f"it takes {known or 'none'}"
            return f"{function}() has no argument {name}=: {hint}"
    return f"{function}(): {error}"


def describe_os_error(error: OSError) -> str:
    """Describe an error of the operating system: the file and the reason."""
    reason = error.strerror or str(error) or type(error).__name__
    return f"{str(error.filename)[:LONGEST_PATH]}: {reason}" if error.filename is not None else reason


def check_declaration_fields(declaration: Any, **kinds: ArgumentKind) -> None:
    """Check the fields of a declaration; raises `DeclarationError` for a wrong one.

    Parameters
    ----------
    declaration : dataclass
        The declaration; the message names its class and, where it has one, its name.
    **kinds : ArgumentKind
        What the fields must be.
    """
    title = type(declaration).__name__
    name = getattr(declaration, "name", None)
    if isinstance(name, str):
        title = f"{title.lower()} {name!r}"
    for field, kind in kinds.items():
        try:
            kind.check(field, getattr(declaration, field))
        except EvenhandError as error:
            raise DeclarationError(f"{title}: {error}") from None


def _convert_text(argument: Any) -> str:
    if not isinstance(argument, str):
        raise TypeError
    return str(argument)


def _convert_nonempty_text(argument: Any) -> str:
    if not _convert_text(argument).strip():
        raise ValueError
    return str(argument)


def _convert_path(argument: Any) -> Path:
    path = os.fspath(argument)
    if not isinstance(path, str) or not path or "\0" in path:
        raise TypeError
    return Path(path).expanduser()


def _convert_flag(argument: Any) -> bool:
    if type(argument).__name__ not in ("bool", "bool_"):  # of Python or NumPy
        raise TypeError
    return bool(argument)


def _convert_column_name(argument: Any) -> str:
    if isinstance(argument, str):
        return str(argument)
    if isinstance(argument, bool):
        raise TypeError
    return str(argument) if isinstance(argument, float) else str(operator.index(argument))


def _convert_class_name(argument: Any) -> str:
    """The name of a class as its rows are read: 1.0 is the class 1."""
    if hasattr(argument, "item") and not hasattr(argument, "columns"):  # a number of NumPy
        argument = argument.item()
    if not isinstance(argument, (str, bool, int, float)):
        raise TypeError
    if isinstance(argument, float) and argument.is_integer():
        argument = int(argument)
    return str(argument)


def _convert_sequence(argument: Any) -> tuple[Any, ...]:
    """Several arguments as a tuple; a single one is a tuple of itself."""
    if isinstance(argument, (bytes, Mapping)):
        raise TypeError
    if isinstance(argument, (str, int, float, os.PathLike)):
        return (argument,)
    return tuple(argument)


def several_of_kind(kind: ArgumentKind, expected: str) -> ArgumentKind:
    """Several arguments of one kind: an iterable of them, or a single one."""
    return ArgumentKind(expected, lambda argument: tuple(map(kind.convert, _convert_sequence(argument))))


def optional_kind(kind: ArgumentKind) -> ArgumentKind:
    """An argument of a kind, or None."""

    def convert(argument: Any) -> Any:
        return None if argument is None else kind.convert(argument)

    return ArgumentKind(f"{kind.expected}, or None", convert)


def whole_number_kind(low: int, high: int | None = None) -> ArgumentKind:
    """A whole number of Python or NumPy, within bounds that are included."""

    def convert(argument: Any) -> int:
        if isinstance(argument, bool):
            raise TypeError
        number = operator.index(argument)
        if number < low or (high is not None and number > high):
            raise ValueError
        return number

    return ArgumentKind(f"a whole number from {low} {'on' if high is None else f'to {high}'}", convert)


def option_kind(*names: str) -> ArgumentKind:
    """One of several names."""

    def convert(argument: Any) -> str:
        if _convert_text(argument) not in names:
            raise ValueError
        return str(argument)

    return ArgumentKind(f"one of {', '.join(names)}", convert)


def _convert_number(argument: Any) -> float:
    if isinstance(argument, (bool, str, bytes)):
        raise TypeError
    number = float(argument)
    if not math.isfinite(number):
        raise ValueError
    return number


def _convert_whole_number(argument: Any) -> int:
    if isinstance(argument, bool):
        raise TypeError
    return operator.index(argument)


def _convert_function(argument: Any) -> Callable[..., Any]:
    if not callable(argument):
        raise TypeError
    function: Callable[..., Any] = argument
    return function


def _convert_mapping(argument: Any) -> Mapping[str, Any]:
    if not isinstance(argument, Mapping) or not all(isinstance(key, str) for key in argument):
        raise TypeError
    return argument


def _convert_names(argument: Any) -> tuple[str, ...]:
    if not isinstance(argument, (tuple, list)):
        raise TypeError
    return tuple(map(_convert_nonempty_text, argument))


def _convert_matrix(argument: Any) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(map(_convert_number, line)) for line in _convert_objects(argument))


def _convert_objects(argument: Any) -> tuple[Any, ...]:
    if not isinstance(argument, Iterable):
        raise TypeError
    return _convert_sequence(argument)


TEXT = ArgumentKind("a str", _convert_text)
NAME = ArgumentKind("a str that is not empty", _convert_nonempty_text)
NAME_TUPLE = ArgumentKind("a tuple of names", _convert_names)
NAMES = several_of_kind(NAME, "a name or a list of names")
PATH = ArgumentKind("a path (str or Path)", _convert_path)
FLAG = ArgumentKind("True or False", _convert_flag)
PLUGINS = several_of_kind(
    ArgumentKind("a module or file", lambda argument: str(_convert_path(argument))),
    "a module, a file or a list of them",
)
COLUMN = ArgumentKind("the name of a column", _convert_column_name)
COLUMNS = several_of_kind(COLUMN, "the name of a column or a list of them")
CLASS_NAME = ArgumentKind("a class as it is written in the target", _convert_class_name)
NUMBER = ArgumentKind("a finite number", _convert_number)
WHOLE_NUMBER = ArgumentKind("a whole number", _convert_whole_number)
FUNCTION = ArgumentKind("a function", _convert_function)
MAPPING = ArgumentKind("a dictionary whose keys are texts", _convert_mapping)
MATRIX = ArgumentKind("a matrix of finite numbers, a tuple per line", _convert_matrix)
DECLARATIONS = ArgumentKind("a list of Task, Family, Strategy or Metric", _convert_objects)
