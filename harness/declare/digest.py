"""Fingerprints of declarations: what must change for a cell to be done again."""

import hashlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import fields
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
    """The source of a builder and of the functions of its own module that it names, or its bytecode where there is no file."""
    if isinstance(builder, type):
        return inspect.getsource(builder)
    found: dict[str, str] = {}
    waiting = [builder]
    while waiting:
        one = inspect.unwrap(waiting.pop())
        if not isinstance(one, FunctionType) or one.__qualname__ in found:
            continue
        try:
            found[one.__qualname__] = inspect.getsource(one)
        except (OSError, TypeError):
            found[one.__qualname__] = repr(one.__code__.co_code) + repr(one.__code__.co_consts)
        named = (one.__globals__.get(name) for name in _names(one.__code__))
        waiting += [other for other in named if isinstance(other, FunctionType) and other.__module__ == one.__module__]
    return "\n".join(found[name] for name in sorted(found))


def _plain(value: Any) -> Any:
    return list(value.items()) if isinstance(value, Mapping) else value


def _names(code: CodeType) -> list[str]:
    inside = [name for constant in code.co_consts if isinstance(constant, CodeType) for name in _names(constant)]
    return [*code.co_names, *inside]
