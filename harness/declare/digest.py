"""Fingerprints of declarations: what must change for a cell to be done again."""

import hashlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import partial
from types import CodeType, FunctionType
from typing import Any

from harness.declare.family import Family
from harness.declare.strategy import Strategy

#: What may change without any number changing.
ONLY_DESCRIBES = ("description", "needs", "extra")


def digest(*parts: Any) -> str:
    """SHA-256 over the `repr` of plain values, as 64 hexadecimal digits."""
    return hashlib.sha256("\n".join(repr(part) for part in parts).encode()).hexdigest()


def declaration_digest(declared: Family | Strategy) -> str:
    """Changes with everything that a declaration says, the source of its builder included, except how it is described."""
    said = [
        (field.name, source(value) if field.name == "build" and value else _plain(value))
        for field in fields(declared)
        if field.name not in ONLY_DESCRIBES
        for value in [getattr(declared, field.name)]
    ]
    return digest(said)


def source(builder: Callable[..., Any]) -> str:
    """The source of a builder and of what it uses of its own module: functions, classes, plain values, closures."""
    found: dict[str, str] = {}
    waiting: list[Any] = [builder]
    while waiting:
        one = inspect.unwrap(waiting.pop())
        if isinstance(one, partial):
            waiting.append(one.func)
            found[f"partial of {one.func!r}"] = repr((one.args, one.keywords))
        elif isinstance(one, (FunctionType, type)) and one.__qualname__ not in found:
            found[one.__qualname__] = _text(one)
            waiting += [other for other in _around(one) if isinstance(other, (FunctionType, type, partial))]
    return "\n".join(found[name] for name in sorted(found))


def _text(one: FunctionType | type) -> str:
    """The source of a function or class, with the plain values that it takes from around it."""
    try:
        text = inspect.getsource(one)
    except (OSError, TypeError):
        code = getattr(one, "__code__", None)
        text = repr(one) if code is None else repr((code.co_code, code.co_consts))
    return text + repr(
        [value for value in _around(one) if isinstance(value, (bool, int, float, str, tuple, frozenset))]
    )


def _around(one: FunctionType | type) -> list[Any]:
    """What a function or class uses of its own module, what a closure holds, and the defaults of its arguments."""
    if isinstance(one, type):
        return [value for method in vars(one).values() if isinstance(method, FunctionType) for value in _around(method)]
    named = [one.__globals__[name] for name in _names(one.__code__) if name in one.__globals__]
    own = [value for value in named if getattr(value, "__module__", one.__module__) == one.__module__]
    return [*own, *(cell.cell_contents for cell in one.__closure__ or ()), *(one.__defaults__ or ())]


def _plain(value: Any) -> Any:
    return list(value.items()) if isinstance(value, Mapping) else value


def _names(code: CodeType) -> list[str]:
    inside = [name for constant in code.co_consts if isinstance(constant, CodeType) for name in _names(constant)]
    return [*code.co_names, *inside]
