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
    return hashlib.sha256("\n".join(repr(digested_part) for digested_part in parts).encode()).hexdigest()


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

    def _write_first_mention(self, mentioned_object: Any, module: str) -> str:
        if isinstance(mentioned_object, FunctionType):
            return self._write_function(mentioned_object)
        if isinstance(mentioned_object, type):
            return self._write_class(mentioned_object)
        return self._write_instance(mentioned_object, module)

    def write_enclosed(self, value: Any, module: str) -> str:
        """The text of what a closure, a default argument or a partial holds: functions count with their code."""
        if isinstance(value, (FunctionType, type, partial, MethodType)):
            return self.write(value, _module_of(value))
        return self.write(value, module)

    def _write_container(self, written_container: Any, module: str) -> str:
        if id(written_container) in self.open_containers:
            return "recursive"
        self.open_containers.add(id(written_container))
        if isinstance(written_container, Mapping):
            entries = [
                f"{self.write(key, module)}: {self.write(entry, module)}" for key, entry in written_container.items()
            ]
        else:
            entries = [self.write_enclosed(entry, module) for entry in written_container]
        if isinstance(written_container, Set):
            entries.sort()
        self.open_containers.remove(id(written_container))
        return f"{type(written_container).__name__}({', '.join(entries)})"

    def _write_foreign_name(self, foreign_object: FunctionType | type) -> str:
        """A function or class of another module by its name, with the function that it wraps."""
        name = f"{_module_of(foreign_object).partition('.')[0]}.{foreign_object.__qualname__}"
        wrapped_function = getattr(foreign_object, WRAPPED, None)
        return (
            f"{name}({self.write_enclosed(wrapped_function, '')})"
            if isinstance(wrapped_function, FunctionType)
            else name
        )

    def _write_function(self, written_function: FunctionType) -> str:
        code_text = _function_text(_source_file(written_function), written_function.__code__) or _code_text(
            written_function.__code__
        )
        return f"function({code_text}, {self._write_dependencies(written_function)})"

    def _write_dependencies(self, written_function: FunctionType) -> str:
        """What a function uses and does not define: default arguments, closure, names of its module, what it wraps."""
        module = _module_of(written_function)
        text_parts = [
            self.write_enclosed(written_function.__defaults__, module),
            self.write_enclosed(written_function.__kwdefaults__, module),
        ]
        for name, cell in zip(written_function.__code__.co_freevars, written_function.__closure__ or (), strict=True):
            text_parts.append(f"{name}={self._write_closure_cell(cell, module)}")
        for name in _global_names(written_function.__code__):
            if name in written_function.__globals__:
                text_parts.append(f"{name}={self.write(written_function.__globals__[name], module)}")
        if hasattr(written_function, WRAPPED):
            text_parts.append(self.write_enclosed(getattr(written_function, WRAPPED), module))
        return ", ".join(text_parts)

    def _write_closure_cell(self, cell: Any, module: str) -> str:
        try:
            return self.write_enclosed(cell.cell_contents, module)
        except ValueError:  # a name that is not bound yet
            return "unbound"

    def _write_class(self, written_class: type) -> str:
        module, code_text = (
            written_class.__module__,
            _class_text(_source_file(written_class), written_class.__qualname__),
        )
        text_parts = [self.write(base_class, module) for base_class in written_class.__bases__]
        for name, member in sorted(vars(written_class).items()):
            for class_function in _functions_of(member, module, is_generated=not code_text):
                is_covered = code_text and _module_of(class_function) == module  # by the syntax of the class
                text_parts.append(
                    self._write_dependencies(class_function) if is_covered else self.write(class_function, module)
                )
            if not name.startswith("_") and isinstance(member, (int, float, str, bytes, tuple, list, Mapping, Set)):
                text_parts.append(f"{name}={self.write(member, module)}")
        return f"class({code_text or written_class.__qualname__}, {', '.join(text_parts)})"

    def _write_instance(self, written_object: Any, module: str) -> str:
        if isinstance(written_object, partial):
            partial_function = self.write_enclosed(written_object.func, module)
            arguments = [
                self.write_enclosed(arguments, module) for arguments in (written_object.args, written_object.keywords)
            ]
            return f"partial({partial_function}, {', '.join(arguments)})"
        if isinstance(written_object, MethodType):
            return f"method({self.write_enclosed(written_object.__func__, module)}, {self.write(written_object.__self__, module)})"
        if isinstance(getattr(written_object, WRAPPED, None), FunctionType):  # `functools.lru_cache` returns one
            return (
                f"{type(written_object).__qualname__}({self.write_enclosed(getattr(written_object, WRAPPED), module)})"
            )
        if is_dataclass(written_object):
            return self._write_dataclass(written_object, module)
        if type(written_object).__module__ == module:
            return self._write_object_attributes(written_object, getattr(written_object, "__dict__", {}), module)
        return self._write_library_object(written_object, module)

    def _write_dataclass(self, written_object: Any, module: str) -> str:
        attributes_by_name = {}
        for dataclass_field in fields(written_object):
            if dataclass_field.metadata.get(FINGERPRINTED, True):
                attributes_by_name[dataclass_field.name] = getattr(written_object, dataclass_field.name)
        if isinstance(written_object, (Family, Strategy)):
            module = _module_of(written_object)
            for name in DESCRIPTIVE_FIELDS:
                attributes_by_name.pop(name, None)
        return self._write_object_attributes(written_object, attributes_by_name, module)

    def _write_object_attributes(self, written_object: Any, attributes_by_name: Mapping[str, Any], module: str) -> str:
        text_parts = [
            f"{name}={self.write_enclosed(attribute_value, module)}"
            for name, attribute_value in attributes_by_name.items()
        ]
        return f"object({self.write(type(written_object), module)}, {', '.join(text_parts)})"

    def _write_library_object(self, written_object: Any, module: str) -> str:
        """An object of a library: an array by its numbers, others by their `repr`, unless that gives an address."""
        if hasattr(written_object, "dtype") and hasattr(written_object, "tolist"):
            return f"{written_object.dtype}({self.write(written_object.tolist(), module)})"
        object_repr = repr(written_object)
        return type(written_object).__qualname__ if " at 0x" in object_repr else object_repr


def _module_of(declared_object: Any) -> str:
    """The module whose functions and classes count with their code."""
    if isinstance(declared_object, partial):
        return _module_of(declared_object.func)
    if isinstance(declared_object, (Family, Strategy)):
        return _module_of(declared_object.build)
    if isinstance(declared_object, MethodType):
        return _module_of(declared_object.__func__)
    if isinstance(declared_object, FunctionType):  # `functools.wraps` gives a wrapper the `__module__` of what it wraps
        return str(declared_object.__globals__.get("__name__"))
    return str(getattr(declared_object, "__module__", ""))


def _functions_of(member: Any, module: str, *, is_generated: bool) -> list[FunctionType]:
    """The functions that an attribute of a class consists of: a method, or those of a property.

    Of these only those that the class's own module defines, and with `is_generated` also those that `exec` has made: the
    methods that `dataclass` adds depend on the version of Python.
    """
    if isinstance(member, (staticmethod, classmethod)):
        member = member.__func__
    member_parts = [member, *(getattr(member, name, None) for name in ("fget", "fset", "fdel", "func"))]
    own_functions = []
    for member_part in member_parts:
        if not isinstance(member_part, FunctionType):
            continue
        innermost_function = inspect.unwrap(member_part)
        is_own_function = isinstance(innermost_function, FunctionType) and _module_of(innermost_function) == module
        if is_own_function and (is_generated or innermost_function.__code__.co_filename != "<string>"):
            own_functions.append(member_part)
    return own_functions


def _source_file(declared_object: FunctionType | type) -> str:
    """The source file of a function or class; empty where there is none."""
    try:
        file = inspect.getsourcefile(declared_object)
    except (OSError, TypeError):  # a class of a notebook, or one that is built in
        file = None
    if file is None:
        return ""
    linecache.checkcache(file)
    return "".join(linecache.getlines(file))


@lru_cache(maxsize=64)
def _source_tree(source_path: str) -> ast.Module:
    try:
        return ast.parse(source_path)
    except SyntaxError:  # a cell of a notebook that is not only Python
        return ast.Module(body=[], type_ignores=[])


@lru_cache(maxsize=1024)
def _function_text(source_path: str, code_object: CodeType) -> str:
    """The syntax of the function or lambda with this code; empty where the source has none."""
    tree = _source_tree(source_path)
    if code_object.co_name == "<lambda>":
        enclosing_node = _lambda_node(code_object, tree)
        return _syntax_text(enclosing_node) if enclosing_node else ""
    for node in ast.walk(tree):
        if isinstance(node, FunctionNode) and node.name == code_object.co_name:
            first_line = min([node.lineno, *(decorator_node.lineno for decorator_node in node.decorator_list)])
            if first_line == code_object.co_firstlineno:  # compiled code begins with the first decorator
                return _syntax_text(node)
    return ""


def _lambda_node(code_object: CodeType, tree: ast.Module) -> ast.Lambda | None:
    """The smallest lambda that all instructions come from: several can stand in one line."""
    start_positions, end_positions = [], []
    for line, end_line, column, end_column in code_object.co_positions():
        if line and end_line and end_column:  # the first instruction has no position in the source
            start_positions.append((line, column or 0))
            end_positions.append((end_line, end_column))
    if not start_positions:
        return None
    enclosing_lambdas = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Lambda) and _encloses_lines(node, start_positions, end_positions)
    ]
    return max(enclosing_lambdas, key=lambda node: (node.body.lineno, node.body.col_offset), default=None)


def _encloses_lines(
    node: ast.Lambda, start_positions: list[tuple[int, int]], end_positions: list[tuple[int, int]]
) -> bool:
    lambda_body = node.body
    end_position = (lambda_body.end_lineno or lambda_body.lineno, lambda_body.end_col_offset or 0)
    return (lambda_body.lineno, lambda_body.col_offset) <= min(start_positions) and max(end_positions) <= end_position


@lru_cache(maxsize=1024)
def _class_text(source_path: str, qualified_name: str) -> str:
    """The syntax of the class with this name; empty where the source has none."""
    pending_parents: list[tuple[str, ast.AST]] = [("", _source_tree(source_path))]
    while pending_parents:
        prefix, parent_node = pending_parents.pop()
        for child_node in ast.iter_child_nodes(parent_node):
            name = prefix + (getattr(child_node, "name", None) or "")
            if isinstance(child_node, ast.ClassDef):
                if name == qualified_name:
                    return _syntax_text(child_node)
                pending_parents.append((f"{name}.", child_node))
            else:
                pending_parents.append(
                    (f"{name}.<locals>." if isinstance(child_node, FunctionNode) else prefix, child_node)
                )
    return ""


def _syntax_text(node: Any) -> str:
    """A syntax tree as text; fields that are empty are left out, for newer versions of Python have more of them."""
    if isinstance(node, list):
        return f"[{', '.join(_syntax_text(child_syntax) for child_syntax in node)}]"
    if not isinstance(node, ast.AST):
        return repr(node)
    text_parts = []
    for name, child_syntax in ast.iter_fields(node):
        if name == "body" and isinstance(child_syntax, list):
            child_syntax = _without_docstring(node, child_syntax)  # noqa: PLW2901 -- the same field, shortened
        if name not in LAYOUT_FIELDS and child_syntax is not None and child_syntax != []:
            text_parts.append(f"{name}={_syntax_text(child_syntax)}")
    return f"{type(node).__name__}({', '.join(text_parts)})"


def _without_docstring(node: ast.AST, body_statements: list[Any]) -> list[Any]:
    if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
        return body_statements if ast.get_docstring(node, clean=False) is None else body_statements[1:]
    return body_statements


def _code_text(code_object: CodeType) -> str:
    """Compiled code as text, without docstrings and line numbers."""
    arguments = code_object.co_varnames[: code_object.co_argcount + code_object.co_kwonlyargcount]
    text_parts = [repr((arguments, code_object.co_argcount, code_object.co_posonlyargcount, code_object.co_flags))]
    code_instructions = list(dis.get_instructions(code_object))
    for code_instruction, next_instruction in zip(code_instructions, [*code_instructions[1:], None], strict=True):
        if (
            next_instruction is not None
            and next_instruction.opname == "STORE_NAME"
            and next_instruction.argval == "__doc__"
        ):
            continue  # loads the docstring of a class
        instruction_argument = code_instruction.argval
        text = (
            _code_text(instruction_argument)
            if isinstance(instruction_argument, CodeType)
            else canonical_text(instruction_argument)
        )
        text_parts.append(f"{code_instruction.opname} {text}")
    return "; ".join(text_parts)


@lru_cache(maxsize=1024)
def _global_names(code_object: CodeType) -> tuple[str, ...]:
    """Names that code reads of its module and never assigns: what it assigns is state, and no part of a declaration."""
    code_instructions = list(dis.get_instructions(code_object))
    names = {
        code_instruction.argval for code_instruction in code_instructions if code_instruction.opname in GLOBAL_READS
    }
    names -= {
        code_instruction.argval for code_instruction in code_instructions if code_instruction.opname == "STORE_GLOBAL"
    }
    for code_constant in code_object.co_consts:
        if isinstance(code_constant, CodeType):
            names.update(_global_names(code_constant))
    return tuple(sorted(name for name in names if not name.startswith("__")))
