"""Fingerprints of declarations: a cell is computed again when one of these changes.

Code counts by its syntax tree, so that comments, docstrings and layout change no fingerprint. The text that is hashed
names no address, no path and no line, and is the same under every supported version of Python.
"""

import ast
import dis
import hashlib
import inspect
import linecache
from collections.abc import Mapping, Set
from dataclasses import fields, is_dataclass, replace
from functools import lru_cache, partial
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any, TypeAlias

from harness.registry.family import ROW_WEIGHTS, Family
from harness.registry.strategy import Strategy

#: Fields that can change without any number changing.
DESCRIPTIVE_FIELDS = ("description", "needs", "extra", "weighs_rows")
#: Fields of syntax nodes that say nothing about what the code does.
LAYOUT_FIELDS = ("kind", "type_comment", "type_ignores")
#: Metadata of a dataclass field; False where another field identifies what it holds.
FINGERPRINTED = "fingerprinted"
#: Instructions that read a name of the module.
GLOBAL_READS = ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS")
#: The attribute by which `functools.wraps` and `functools.lru_cache` name the function that is wrapped.
WRAPPED = "__wrapped__"

FunctionNode: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef


def digest(*parts: Any) -> str:
    """SHA-256 over the `repr` of plain values, as 64 hexadecimal digits."""
    return hashlib.sha256("\n".join(repr(part) for part in parts).encode()).hexdigest()


def declaration_fingerprint(declaration: Family | Strategy) -> str:
    """Compute the fingerprint of a declaration.

    It changes with every field of the declaration but its description, the packages it needs, the extra that installs them and
    whether it weighs rows, which its code does; of the builder it covers all that `canonical_text` covers.

    Parameters
    ----------
    declaration : Family or Strategy
        What is to be identified.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    if isinstance(declaration, Family) and ROW_WEIGHTS in declaration.limits:
        limits = {kind: reason for kind, reason in declaration.limits.items() if kind != ROW_WEIGHTS}
        declaration = replace(declaration, limits=limits)  # tables without weights are computed all the same
    return digest(canonical_text(declaration))


def canonical_text(declared: Any) -> str:
    """Write a value, and the code that it consists of, as one text that is equal if and only if these are equal.

    Of a function or class it covers the syntax tree without docstrings and comments; default arguments; values that a closure
    or a `functools.partial` holds; and the constants, functions and classes of its own module that the code reads. Functions
    and classes of other modules count by their names. Where there is no source, as for code run by `exec`, the compiled
    instructions are used.

    Parameters
    ----------
    declared : Any
        A declaration, a builder, or a plain value.

    Returns
    -------
    str
        The text, to be hashed.
    """
    return _CanonicalText().write(declared, _module_of(declared))


class _CanonicalText:
    """Writes values; every function, class and object is written once and is a number afterwards."""

    def __init__(self) -> None:
        self.numbers: dict[int, int] = {}
        self.open_containers: set[int] = set()

    def write(self, value: Any, module: str) -> str:
        """The text of a value that code of `module` uses."""
        if value is None or value is ... or isinstance(value, (bool, int, float, complex, str, bytes)):
            return repr(value)
        if isinstance(value, ModuleType):
            return f"module {value.__name__}"
        if isinstance(value, (Mapping, list, tuple, Set)):
            return self._write_container(value, module)
        if isinstance(value, (FunctionType, type)) and _module_of(value) != module:
            return self._write_foreign_name(value)
        if id(value) in self.numbers:
            return f"#{self.numbers[id(value)]}"
        self.numbers[id(value)] = len(self.numbers)
        return self._write_first_mention(value, module)

    def _write_first_mention(self, value: Any, module: str) -> str:
        if isinstance(value, FunctionType):
            return self._write_function(value)
        if isinstance(value, type):
            return self._write_class(value)
        return self._write_instance(value, module)

    def write_enclosed(self, value: Any, module: str) -> str:
        """The text of what a closure, a default argument or a partial holds: functions count with their code."""
        if isinstance(value, (FunctionType, type, partial, MethodType)):
            return self.write(value, _module_of(value))
        return self.write(value, module)

    def _write_container(self, container: Any, module: str) -> str:
        if id(container) in self.open_containers:
            return "recursive"
        self.open_containers.add(id(container))
        if isinstance(container, Mapping):
            entries = [f"{self.write(key, module)}: {self.write(entry, module)}" for key, entry in container.items()]
        else:
            entries = [self.write_enclosed(entry, module) for entry in container]
        if isinstance(container, Set):
            entries.sort()
        self.open_containers.remove(id(container))
        return f"{type(container).__name__}({', '.join(entries)})"

    def _write_foreign_name(self, value: FunctionType | type) -> str:
        """A function or class of another module by its name, with the function that it wraps."""
        name = f"{_module_of(value).partition('.')[0]}.{value.__qualname__}"
        wrapped = getattr(value, WRAPPED, None)
        return f"{name}({self.write_enclosed(wrapped, '')})" if isinstance(wrapped, FunctionType) else name

    def _write_function(self, function: FunctionType) -> str:
        code = _function_text(_source_file(function), function.__code__) or _code_text(function.__code__)
        return f"function({code}, {self._write_dependencies(function)})"

    def _write_dependencies(self, function: FunctionType) -> str:
        """What a function uses and does not define: default arguments, closure, names of its module, what it wraps."""
        module = _module_of(function)
        parts = [
            self.write_enclosed(function.__defaults__, module),
            self.write_enclosed(function.__kwdefaults__, module),
        ]
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
            parts.append(f"{name}={self._write_closure_cell(cell, module)}")
        for name in _global_names(function.__code__):
            if name in function.__globals__:
                parts.append(f"{name}={self.write(function.__globals__[name], module)}")
        if hasattr(function, WRAPPED):
            parts.append(self.write_enclosed(getattr(function, WRAPPED), module))
        return ", ".join(parts)

    def _write_closure_cell(self, cell: Any, module: str) -> str:
        try:
            return self.write_enclosed(cell.cell_contents, module)
        except ValueError:  # a name that is not bound yet
            return "unbound"

    def _write_class(self, declared: type) -> str:
        module, code = declared.__module__, _class_text(_source_file(declared), declared.__qualname__)
        parts = [self.write(base, module) for base in declared.__bases__]
        for name, member in sorted(vars(declared).items()):
            for function in _functions_of(member, module, generated=not code):
                covered = code and _module_of(function) == module  # by the syntax of the class
                parts.append(self._write_dependencies(function) if covered else self.write(function, module))
            if not name.startswith("_") and isinstance(member, (int, float, str, bytes, tuple, list, Mapping, Set)):
                parts.append(f"{name}={self.write(member, module)}")
        return f"class({code or declared.__qualname__}, {', '.join(parts)})"

    def _write_instance(self, instance: Any, module: str) -> str:
        if isinstance(instance, partial):
            function = self.write_enclosed(instance.func, module)
            arguments = [self.write_enclosed(arguments, module) for arguments in (instance.args, instance.keywords)]
            return f"partial({function}, {', '.join(arguments)})"
        if isinstance(instance, MethodType):
            return f"method({self.write_enclosed(instance.__func__, module)}, {self.write(instance.__self__, module)})"
        if isinstance(getattr(instance, WRAPPED, None), FunctionType):  # `functools.lru_cache` returns one
            return f"{type(instance).__qualname__}({self.write_enclosed(getattr(instance, WRAPPED), module)})"
        if is_dataclass(instance):
            return self._write_dataclass(instance, module)
        if type(instance).__module__ == module:
            return self._write_object_attributes(instance, getattr(instance, "__dict__", {}), module)
        return self._write_library_object(instance, module)

    def _write_dataclass(self, instance: Any, module: str) -> str:
        attributes = {}
        for field in fields(instance):
            if field.metadata.get(FINGERPRINTED, True):
                attributes[field.name] = getattr(instance, field.name)
        if isinstance(instance, (Family, Strategy)):
            module = _module_of(instance)
            for name in DESCRIPTIVE_FIELDS:
                attributes.pop(name, None)
        return self._write_object_attributes(instance, attributes, module)

    def _write_object_attributes(self, instance: Any, attributes: Mapping[str, Any], module: str) -> str:
        parts = [f"{name}={self.write_enclosed(attribute, module)}" for name, attribute in attributes.items()]
        return f"object({self.write(type(instance), module)}, {', '.join(parts)})"

    def _write_library_object(self, instance: Any, module: str) -> str:
        """An object of a library: an array by its numbers, others by their `repr`, unless that gives an address."""
        if hasattr(instance, "dtype") and hasattr(instance, "tolist"):
            return f"{instance.dtype}({self.write(instance.tolist(), module)})"
        representation = repr(instance)
        return type(instance).__qualname__ if " at 0x" in representation else representation


def _module_of(declared: Any) -> str:
    """The module whose functions and classes count with their code."""
    if isinstance(declared, partial):
        return _module_of(declared.func)
    if isinstance(declared, (Family, Strategy)):
        return _module_of(declared.build)
    if isinstance(declared, MethodType):
        return _module_of(declared.__func__)
    if isinstance(declared, FunctionType):  # `functools.wraps` gives a wrapper the `__module__` of what it wraps
        return str(declared.__globals__.get("__name__"))
    return str(getattr(declared, "__module__", ""))


def _functions_of(member: Any, module: str, *, generated: bool) -> list[FunctionType]:
    """The functions that an attribute of a class consists of: a method, or those of a property.

    Of these only those that the class's own module defines, and with `generated` also those that `exec` has made: the
    methods that `dataclass` adds depend on the version of Python.
    """
    if isinstance(member, (staticmethod, classmethod)):
        member = member.__func__
    parts = [member, *(getattr(member, name, None) for name in ("fget", "fset", "fdel", "func"))]
    functions = []
    for part in parts:
        if not isinstance(part, FunctionType):
            continue
        innermost = inspect.unwrap(part)
        own = isinstance(innermost, FunctionType) and _module_of(innermost) == module
        if own and (generated or innermost.__code__.co_filename != "<string>"):
            functions.append(part)
    return functions


def _source_file(declared: FunctionType | type) -> str:
    """The source file of a function or class; empty where there is none."""
    try:
        file = inspect.getsourcefile(declared)
    except (OSError, TypeError):  # a class of a notebook, or one that is built in
        file = None
    if file is None:
        return ""
    linecache.checkcache(file)
    return "".join(linecache.getlines(file))


@lru_cache(maxsize=64)
def _source_tree(source: str) -> ast.Module:
    try:
        return ast.parse(source)
    except SyntaxError:  # a cell of a notebook that is not only Python
        return ast.Module(body=[], type_ignores=[])


@lru_cache(maxsize=1024)
def _function_text(source: str, code: CodeType) -> str:
    """The syntax of the function or lambda with this code; empty where the source has none."""
    tree = _source_tree(source)
    if code.co_name == "<lambda>":
        enclosing = _lambda_node(code, tree)
        return _syntax_text(enclosing) if enclosing else ""
    for node in ast.walk(tree):
        if isinstance(node, FunctionNode) and node.name == code.co_name:
            first_line = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            if first_line == code.co_firstlineno:  # compiled code begins with the first decorator
                return _syntax_text(node)
    return ""


def _lambda_node(code: CodeType, tree: ast.Module) -> ast.Lambda | None:
    """The smallest lambda that all instructions come from: several can stand in one line."""
    starts, ends = [], []
    for line, end_line, column, end_column in code.co_positions():
        if line and end_line and end_column:  # the first instruction has no position in the source
            starts.append((line, column or 0))
            ends.append((end_line, end_column))
    if not starts:
        return None
    enclosing = [
        node for node in ast.walk(tree) if isinstance(node, ast.Lambda) and _encloses_lines(node, starts, ends)
    ]
    return max(enclosing, key=lambda node: (node.body.lineno, node.body.col_offset), default=None)


def _encloses_lines(node: ast.Lambda, starts: list[tuple[int, int]], ends: list[tuple[int, int]]) -> bool:
    body = node.body
    end = (body.end_lineno or body.lineno, body.end_col_offset or 0)
    return (body.lineno, body.col_offset) <= min(starts) and max(ends) <= end


@lru_cache(maxsize=1024)
def _class_text(source: str, qualified_name: str) -> str:
    """The syntax of the class with this name; empty where the source has none."""
    parents: list[tuple[str, ast.AST]] = [("", _source_tree(source))]
    while parents:
        prefix, parent = parents.pop()
        for child in ast.iter_child_nodes(parent):
            name = prefix + (getattr(child, "name", None) or "")
            if isinstance(child, ast.ClassDef):
                if name == qualified_name:
                    return _syntax_text(child)
                parents.append((f"{name}.", child))
            else:
                parents.append((f"{name}.<locals>." if isinstance(child, FunctionNode) else prefix, child))
    return ""


def _syntax_text(node: Any) -> str:
    """A syntax tree as text; fields that are empty are left out, for newer versions of Python have more of them."""
    if isinstance(node, list):
        return f"[{', '.join(_syntax_text(child) for child in node)}]"
    if not isinstance(node, ast.AST):
        return repr(node)
    parts = []
    for name, child in ast.iter_fields(node):
        if name == "body" and isinstance(child, list):
            child = _without_docstring(node, child)  # noqa: PLW2901 -- the same field, shortened
        if name not in LAYOUT_FIELDS and child is not None and child != []:
            parts.append(f"{name}={_syntax_text(child)}")
    return f"{type(node).__name__}({', '.join(parts)})"


def _without_docstring(node: ast.AST, body: list[Any]) -> list[Any]:
    if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
        return body if ast.get_docstring(node, clean=False) is None else body[1:]
    return body


def _code_text(code: CodeType) -> str:
    """Compiled code as text, without docstrings and line numbers."""
    arguments = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    parts = [repr((arguments, code.co_argcount, code.co_posonlyargcount, code.co_flags))]
    instructions = list(dis.get_instructions(code))
    for instruction, following in zip(instructions, [*instructions[1:], None], strict=True):
        if following is not None and following.opname == "STORE_NAME" and following.argval == "__doc__":
            continue  # loads the docstring of a class
        argument = instruction.argval
        text = _code_text(argument) if isinstance(argument, CodeType) else canonical_text(argument)
        parts.append(f"{instruction.opname} {text}")
    return "; ".join(parts)


@lru_cache(maxsize=1024)
def _global_names(code: CodeType) -> tuple[str, ...]:
    """Names that code reads of its module and never assigns: what it assigns is state, and no part of a declaration."""
    instructions = list(dis.get_instructions(code))
    names = {instruction.argval for instruction in instructions if instruction.opname in GLOBAL_READS}
    names -= {instruction.argval for instruction in instructions if instruction.opname == "STORE_GLOBAL"}
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            names.update(_global_names(constant))
    return tuple(sorted(name for name in names if not name.startswith("__")))
