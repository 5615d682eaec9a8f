"""Weights out of a PyTorch file, read as data: nothing in the file is run, and PyTorch is not needed.

`torch.save` writes instructions in the language of `pickle`, which could call any function. Here they are only walked
through, and only the few that put tensors into a dictionary are understood. The file is in the layout that PyTorch used
until version 1.5: five pickles (magic number, version, the writer's machine, tensors, order of the storages), then the
numbers of each storage behind their count.
"""

from __future__ import annotations

import io
import pickletools
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from math import prod
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import as_strided

from harness.errors import DataError

Floats: TypeAlias = npt.NDArray[np.float32]

MAGIC, VERSION = 0x1950A86A20F9469CFC6C, 1001
STORAGES = {"torch FloatStorage": "<f4", "torch LongStorage": "<i8"}
DICTIONARY, TENSOR = "collections OrderedDict", "torch._utils _rebuild_tensor_v2"
CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
ARGUMENTS = ("LONG1", "BININT", "BININT1", "BININT2", "BINUNICODE")  # numbers and strings
IGNORED = ("PROTO", "STOP")


class Named(NamedTuple):
    """The name of something in a Python module; it is never looked up."""

    name: str


class Storage(NamedTuple):
    """A run of `length` numbers that stands further down in the file under `key`."""

    dtype: str
    key: str
    length: int


class Tensor(NamedTuple):
    """Numbers of a storage, from `offset` on, `strides` apart along each axis."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


@dataclass
class Machine:
    """What the instructions read so far have left on the stack."""

    stack: list[Any] = field(default_factory=list)
    marks: list[int] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)

    def take(self, count: int) -> list[Any]:
        """Take the last `count` values off the stack."""
        if count > len(self.stack):
            raise IndexError("an instruction takes more than there is")
        start = len(self.stack) - count
        taken, self.stack[start:] = self.stack[start:], []
        return taken

    def since_mark(self) -> list[Any]:
        """Take everything above the last mark."""
        return self.take(len(self.stack) - self.marks.pop())


def read_weights(content: bytes) -> dict[str, Floats]:
    """The float tensors of a PyTorch weight file by name, read-only views into `content`; integer ones are left out.

    Raises `DataError` where the file holds anything but tensors in a dictionary, or ends early.
    """
    file = io.BytesIO(content)
    try:
        if _pickled(file) != MAGIC or _pickled(file) != VERSION:
            raise DataError("not a PyTorch weight file of the layout before version 1.6: expected its magic number")
        _pickled(file)  # the writer's machine: the numbers are little-endian on every machine
        named, keys = _pickled(file), _pickled(file)
        numbers = dict(_storages(file, keys, _expected(named)))
        return {name: _array(one, numbers[one.storage.key]) for name, one in named.items() if _is_float(one)}
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, struct.error) as error:
        said = " ".join(str(error).split())[:120]
        raise DataError(f"the weight file is damaged ({type(error).__name__}: {said}): get it again") from error


def _pickled(file: io.BytesIO) -> Any:
    """The value that the next pickle of the file describes; refuses any instruction that is not listed here."""
    machine = Machine()
    for instruction, argument, _ in pickletools.genops(file):
        name = instruction.name
        if name in ARGUMENTS:
            machine.stack.append(argument)
        elif name in CONSTANTS:
            machine.stack.append(CONSTANTS[name])
        elif name in STEPS:
            STEPS[name](machine, argument)
        elif name not in IGNORED:
            raise DataError(f"the weight file holds the instruction {name}: only tensors are read, nothing is run")
    (value,) = machine.stack
    return value


def _name(machine: Machine, argument: str) -> None:
    if argument not in (*STORAGES, DICTIONARY, TENSOR):
        raise DataError(f"the weight file asks for {argument!r:.60}: only tensors are read, nothing is run")
    machine.stack.append(Named(argument))


def _call(machine: Machine, _argument: None) -> None:
    arguments, called = machine.stack.pop(), machine.stack.pop()
    if called == Named(DICTIONARY) and arguments == ():
        machine.stack.append({})
    elif called == Named(TENSOR):
        machine.stack.append(_tensor(*arguments))
    else:
        raise DataError(f"the weight file calls {str(called)[:80]}: only tensors are read, nothing is run")


def _tensor(storage: Storage, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_rest: object) -> Tensor:
    """A tensor within its storage; `_rest` says whether it was being trained, and what hung on it."""
    if not isinstance(storage, Storage) or len(shape) != len(strides) or min(0, offset, *shape, *strides) < 0:
        raise DataError("the weight file describes a tensor that makes no sense: get it again")
    last = offset + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
    if max(last + 1, prod(shape)) > storage.length:
        raise DataError(
            f"the weight file holds a tensor of shape {shape} in {storage.length} numbers: it is damaged, get it again"
        )
    return Tensor(storage, offset, tuple(shape), tuple(strides))


def _storage(machine: Machine, _argument: None) -> None:
    kind, dtype, key, _device, length, _view = machine.stack.pop()
    if kind != "storage" or not isinstance(dtype, Named) or dtype.name not in STORAGES:
        raise DataError("the weight file refers to something that is no storage of numbers: it is not read")
    machine.stack.append(Storage(STORAGES[dtype.name], key, length))


def _remember(machine: Machine, argument: int) -> None:
    machine.memo[argument] = machine.stack[-1]


def _set_items(machine: Machine, items: list[Any]) -> None:
    target = machine.stack[-1]
    if not isinstance(target, dict):
        raise DataError("the weight file puts items into something that is no dictionary: it is not read")
    target.update(zip(items[::2], items[1::2], strict=True))


def _set_item(machine: Machine, _argument: None) -> None:
    value, key = machine.stack.pop(), machine.stack.pop()
    _set_items(machine, [key, value])


def _append(machine: Machine, items: list[Any]) -> None:
    machine.stack[-1].extend(items)


def _drop_attributes(machine: Machine, _argument: None) -> None:
    machine.stack.pop()  # PyTorch hangs version numbers of its layers on the dictionary


STEPS: dict[str, Callable[[Machine, Any], None]] = {
    "MARK": lambda machine, _: machine.marks.append(len(machine.stack)),
    "EMPTY_DICT": lambda machine, _: machine.stack.append({}),
    "EMPTY_LIST": lambda machine, _: machine.stack.append([]),
    "APPEND": lambda machine, _: _append(machine, machine.take(1)),
    "APPENDS": lambda machine, _: _append(machine, machine.since_mark()),
    "SETITEM": _set_item,
    "SETITEMS": lambda machine, _: _set_items(machine, machine.since_mark()),
    "TUPLE": lambda machine, _: machine.stack.append(tuple(machine.since_mark())),
    "TUPLE1": lambda machine, _: machine.stack.append((machine.stack.pop(),)),
    "TUPLE2": lambda machine, _: machine.stack.append(tuple(machine.take(2))),
    "BINPUT": _remember,
    "LONG_BINPUT": _remember,
    "BINGET": lambda machine, argument: machine.stack.append(machine.memo[argument]),
    "LONG_BINGET": lambda machine, argument: machine.stack.append(machine.memo[argument]),
    "GLOBAL": _name,
    "REDUCE": _call,
    "BUILD": _drop_attributes,
    "BINPERSID": _storage,
}


def _expected(named: Any) -> dict[str, Storage]:
    """The storages that the tensors lie in; refuses a file that is more than a dictionary of tensors."""
    if not isinstance(named, dict):
        raise DataError(f"the weight file holds a {type(named).__name__}: expected a dictionary of tensors")
    for name, value in named.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise DataError(f"the weight file holds a {type(value).__name__} under {name!r:.60}: only tensors are read")
    return {tensor.storage.key: tensor.storage for tensor in named.values()}


def _storages(
    file: io.BytesIO, keys: list[str], expected: dict[str, Storage]
) -> Iterator[tuple[str, npt.NDArray[Any]]]:
    content = file.getvalue()  # no copy of the bytes
    for key in keys:
        storage, start = expected[key], file.tell() + 8
        (length,) = struct.unpack("<q", file.read(8))
        if length != storage.length:
            raise DataError(
                f"the weight file holds {length} numbers under {key}, expected {storage.length}: it is damaged, get it again"
            )
        numbers = np.frombuffer(content, storage.dtype, length, start)
        yield key, numbers
        file.seek(start + numbers.nbytes)


def _array(tensor: Tensor, numbers: npt.NDArray[Any]) -> Floats:
    steps = [stride * numbers.itemsize for stride in tensor.strides]
    return as_strided(numbers[tensor.offset :], tensor.shape, steps, writeable=False)


def _is_float(tensor: Tensor) -> bool:
    return tensor.storage.dtype == "<f4"
