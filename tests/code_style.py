"""Measures of how Python code reads: names, density of expressions, complexity, sizes."""

from __future__ import annotations

import ast
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

#: Pronouns, adverbs and participles: as a name they say that there is a value, not what it is.
VAGUE_WORDS = """
    one some found said told asked given seen kept made wanted mine theirs place about at here there rest whole beside
    before after lost left thing how who what why where was were shown held taken both many much such
"""
#: Nouns that say nothing of their own.
EMPTY_WORDS = (
    "item items value values data obj thing info result results tmp temp foo stuff elem element val vals res ret"
)
VAGUE, EMPTY = frozenset(VAGUE_WORDS.split()), frozenset(EMPTY_WORDS.split())
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
BRANCHES = (ast.If, ast.For, ast.AsyncFor, ast.While, ast.IfExp, ast.ExceptHandler, ast.Assert, ast.match_case)
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass
class Style:
    """Measures of a set of files."""

    lines: int = 0
    names: Counter[str] = field(default_factory=Counter)
    expressions: Counter[str] = field(default_factory=Counter)
    classes: Counter[str] = field(default_factory=Counter)
    complexities: dict[str, int] = field(default_factory=dict)
    module_lines: dict[str, int] = field(default_factory=dict)

    @property
    def vague_share(self) -> float:
        return self._share(VAGUE)

    @property
    def empty_share(self) -> float:
        return self._share(EMPTY)

    @property
    def most_vague(self) -> list[tuple[str, int]]:
        return [(name, count) for name, count in self.names.most_common() if name in VAGUE]

    @property
    def repeated_classes(self) -> list[str]:
        return sorted(name for name, count in self.classes.items() if count > 1)

    def per_thousand(self, kind: str) -> float:
        """How many expressions of a kind there are per 1,000 lines."""
        return self.expressions[kind] / self.lines * 1000

    def _share(self, names: frozenset[str]) -> float:
        return sum(count for name, count in self.names.items() if name in names) / self.names.total()


def measure(folders: list[Path]) -> Style:
    """Measure all Python files below some folders."""
    style = Style()
    for folder in folders:
        for path in sorted(folder.rglob("*.py")):
            text = path.read_text(encoding="utf-8")
            style.lines += text.count("\n")
            if path.name != "__init__.py":
                style.module_lines[path.as_posix()] = text.count("\n")
            for node in ast.walk(ast.parse(text)):
                _measure_node(style, node, path)
    return style


def _measure_node(style: Style, node: ast.AST, path: Path) -> None:
    name = _bound_name(node)
    if name is not None and name not in ("self", "cls", "_"):
        style.names[name.strip("_").lower()] += 1
    if isinstance(node, ast.IfExp):
        style.expressions["conditional expressions"] += 1
    if isinstance(node, COMPREHENSIONS):
        style.expressions["comprehensions"] += 1
        style.expressions["nested comprehensions"] += _is_nested(node)
    if isinstance(node, ast.ClassDef):
        style.classes[node.name] += 1
    if isinstance(node, FUNCTIONS):
        style.complexities[f"{path.as_posix()}:{node.lineno} {node.name}"] = complexity(node)


def _bound_name(node: ast.AST) -> str | None:
    """The name that a node binds: a variable, an argument, a function or a class."""
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        return node.id
    if isinstance(node, ast.arg):
        return node.arg
    if isinstance(node, (*FUNCTIONS, ast.ClassDef)):
        return node.name
    return None


def _is_nested(node: ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp) -> bool:
    inner = [child for child in ast.walk(node) if isinstance(child, COMPREHENSIONS)]
    return len(inner) > 1 or len(node.generators) > 1


def complexity(function: ast.AST) -> int:
    """Branches of a function, those inside expressions included."""
    total = 1
    for node in ast.walk(function):
        if isinstance(node, BRANCHES):
            total += 1
        elif isinstance(node, ast.comprehension):
            total += 1 + len(node.ifs)
        elif isinstance(node, ast.BoolOp):
            total += len(node.values) - 1
    return total


def imported_modules(path: Path) -> set[str]:
    """All modules that a file imports, anywhere in it."""
    modules = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            modules.add(node.module)
    return modules
