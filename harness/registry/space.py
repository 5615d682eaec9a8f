"""Search spaces: named parameters with ranges and defaults, as plain values."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from harness.arguments import (
    FLAG,
    NAME,
    NUMBER,
    WHOLE_NUMBER,
    ArgumentKind,
    check_arguments,
    check_declaration_fields,
    describe_argument,
)
from harness.errors import DeclarationError

Value: TypeAlias = bool | int | float | str | None
PLAIN_TYPES = (bool, int, float, str, type(None))  #: the types of `Value`


@dataclass(frozen=True)
class Float:
    """A real number in [low, high]; `log` searches its logarithm."""

    low: float
    high: float
    default: float
    log: bool = False

    def __post_init__(self) -> None:
        check_declaration_fields(self, low=NUMBER, high=NUMBER, default=NUMBER, log=FLAG)
        _check_range(self.low, self.high, self.default, self.log)


@dataclass(frozen=True)
class Integer:
    """A whole number in [low, high]; `log` searches its logarithm."""

    low: int
    high: int
    default: int
    log: bool = False

    def __post_init__(self) -> None:
        check_declaration_fields(self, low=WHOLE_NUMBER, high=WHOLE_NUMBER, default=WHOLE_NUMBER, log=FLAG)
        _check_range(self.low, self.high, self.default, self.log)


@dataclass(frozen=True)
class Choice:
    """One of some options."""

    options: tuple[Value, ...]
    default: Value

    def __post_init__(self) -> None:
        if not isinstance(self.options, tuple):
            raise DeclarationError(f"options must be a tuple, but got {describe_argument(self.options)}")
        for parameter_setting in (*self.options, self.default):
            if not isinstance(parameter_setting, PLAIN_TYPES):
                raise DeclarationError(
                    f"options are plain values, listed one by one as in choice('a', 'b', default='a'), but got "
                    f"{describe_argument(parameter_setting)}"
                )
        if self.default not in self.options:
            raise DeclarationError(f"the default must be one of the options {self.options}, but got {self.default!r}")


@dataclass(frozen=True)
class When:
    """A parameter that exists only where the parameter `parent` has this value."""

    parent: str
    value: Value
    parameter: "Float | Integer | Choice"

    def __post_init__(self) -> None:
        check_declaration_fields(self, parent=NAME, parameter=PLAIN_PARAMETER)
        if not isinstance(self.value, PLAIN_TYPES):
            raise DeclarationError(f"When: value must be a plain value, but got {describe_argument(self.value)}")


def _plain_parameter(space_argument: Any) -> Any:
    if not isinstance(space_argument, (Float, Integer, Choice)):
        raise TypeError
    return space_argument


def _check_space_argument(space_argument: Any) -> Any:
    for name, parameter in space_argument.items() if isinstance(space_argument, Mapping) else [(None, None)]:
        if not isinstance(name, str) or not isinstance(parameter, (Float, Integer, Choice, When)):
            raise TypeError
    return space_argument


PLAIN_PARAMETER = ArgumentKind("made by choice, integer, real or log_float", _plain_parameter)
SPACE = ArgumentKind("a dictionary from parameters to choice, integer, real, log_float or when", _check_space_argument)

Parameter: TypeAlias = Float | Integer | Choice | When
Space: TypeAlias = Mapping[str, Parameter]


@check_arguments()
def log_float(low: float, high: float, default: float) -> Float:
    """A positive number searched on a logarithmic scale."""
    return Float(low, high, default, log=True)


@check_arguments()
def real(low: float, high: float, default: float) -> Float:
    """A number searched on a linear scale."""
    return Float(low, high, default)


@check_arguments()
def integer(low: int, high: int, default: int, log: bool = False) -> Integer:
    """A whole number, both ends included."""
    return Integer(low, high, default, log)


@check_arguments()
def choice(*options: Value, default: Value) -> Choice:
    """One of the options."""
    return Choice(options, default)


@check_arguments()
def when(parent: str, value: Value, parameter: Float | Integer | Choice) -> When:
    """A parameter that exists only where `parent` has this value; the parent precedes it in the space."""
    return When(parent, value, parameter)


def fill(space: Space, choose: Callable[[str, Float | Integer | Choice], Any]) -> dict[str, Any]:
    """Build a configuration from a space.

    Parameters
    ----------
    space : mapping of str to Parameter
        The parameters; a conditional one exists only where its parent has the required value.
    choose : callable
        Takes the name and range of a parameter and returns its value.

    Returns
    -------
    dict
        The value of every parameter that exists.
    """
    params: dict[str, Any] = {}
    for name, parameter in space.items():
        if not isinstance(parameter, When):
            params[name] = choose(name, parameter)
        elif parameter.parent in params and params[parameter.parent] == parameter.value:
            params[name] = choose(name, parameter.parameter)
    return params


def defaults(space: Space) -> dict[str, Any]:
    """The default configuration: every parameter that exists has its default."""
    return fill(space, lambda _name, parameter: parameter.default)


def add_prefix(space: Space, prefix: str, selector: str | None = None) -> dict[str, Any]:
    """The same space with `<prefix>.` before its names.

    With `selector` it exists only where the parameter of that name has the value `prefix`.
    """
    prefixed_space: dict[str, Any] = {}
    for name, parameter in space.items():
        if isinstance(parameter, When):
            prefixed_space[f"{prefix}.{name}"] = When(
                f"{prefix}.{parameter.parent}", parameter.value, parameter.parameter
            )
        elif selector is not None:
            prefixed_space[f"{prefix}.{name}"] = When(selector, prefix, parameter)
        else:
            prefixed_space[f"{prefix}.{name}"] = parameter
    return prefixed_space


def strip_prefix(params: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """The parameters whose names begin with `<prefix>.`, without it."""
    stripped_params = {}
    for name, parameter_setting in params.items():
        if name.startswith(f"{prefix}."):
            stripped_params[name.removeprefix(f"{prefix}.")] = parameter_setting
    return stripped_params


def check_space(space: Space) -> None:
    """Raise `DeclarationError` where a conditional parameter precedes its parent, or has none."""
    previous_names: set[str] = set()
    for name, parameter in space.items():
        if isinstance(parameter, When) and parameter.parent not in previous_names:
            raise DeclarationError(f"parameter {name!r} depends on {parameter.parent!r}, which must stand before it")
        previous_names.add(name)


def _check_range(lower_bound: float, upper_bound: float, default: float, is_logarithmic: bool) -> None:
    if not lower_bound <= default <= upper_bound:
        raise DeclarationError(f"low <= default <= high must hold, but got {lower_bound}, {default}, {upper_bound}")
    if is_logarithmic and lower_bound <= 0:
        raise DeclarationError(f"a logarithmic range must be positive, but got low={lower_bound}")
