"""Fingerprints of declarations: what must change for a cell to be done again."""

import hashlib
import inspect
from collections.abc import Callable
from types import CodeType, FunctionType
from typing import Any

from harness.declare.family import Family
from harness.declare.strategy import Strategy


def digest(*parts: Any) -> str:
    """SHA-256 over the `repr` of plain values, as 64 hexadecimal digits."""
    return hashlib.sha256("\n".join(repr(part) for part in parts).encode()).hexdigest()


def family_digest(family: Family) -> str:
    """Changes with the search space, the encodings and the source of the builder."""
    return digest(family.name, list(family.space.items()), dict(family.encodings), family.trials, source(family.build))


def strategy_digest(strategy: Strategy) -> str:
    """Changes with the kind, the search space and the source of the builder."""
    built = source(strategy.build) if strategy.build else ""
    return digest(strategy.name, strategy.kind, list(strategy.space.items()), built)


def source(function: Callable[..., Any]) -> str:
    """The source of a function and of the functions of its own module that it names, or its bytecode where there is no file."""
    found: dict[str, str] = {}
    waiting = [function]
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


def _names(code: CodeType) -> list[str]:
    inside = [name for constant in code.co_consts if isinstance(constant, CodeType) for name in _names(constant)]
    return [*code.co_names, *inside]
