"""Reading weights from a PyTorch file as data: nothing in the file is executed, and PyTorch is not needed.

`torch.save` writes instructions in the language of `pickle`, which could call any function. Here they are only interpreted,
and only the few that put tensors into a dictionary are accepted. The file has the layout that PyTorch used until version
1.5: five pickles (magic number, version, system of the writer, tensors, order of the storages), then the numbers of each
storage, preceded by their count.
"""

from __future__ import annotations

import io
import pickletools
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from math import prod
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import as_strided

from harness.errors import DataError

Floats: TypeAlias = npt.NDArray[np.float32]

MAGIC, VERSION = 0x1950A86A20F9469CFC6C, 1001
STORAGE_DTYPES = {"torch FloatStorage": "<f4", "torch LongStorage": "<i8"}
DICTIONARY, TENSOR = "collections OrderedDict", "torch._utils _rebuild_tensor_v2"
CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
LITERALS = ("LONG1", "BININT", "BININT1", "BININT2", "BINUNICODE")  # numbers and strings
IGNORED = ("PROTO", "STOP")


class GlobalName(NamedTuple):
    """The name of an object in a Python module, which is never imported."""

    name: str


class TensorStorage(NamedTuple):
    """An array of `length` numbers that is stored further down in the file under `key`."""

    dtype: str
    key: str
    length: int


class StoredTensor(NamedTuple):
    """A view of a storage: `offset` and `strides` count numbers."""

    storage: TensorStorage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


@dataclass
class PickleStack:
    """State of the pickle machine: the stack, the positions of its marks, and the memo."""

    stack: list[Any] = field(default_factory=list)
    marks: list[int] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)

    def push(self, element: Any) -> None:
        """Put an element on the stack."""
        self.stack.append(element)

    def pop(self, count: int) -> list[Any]:
        """Remove and return the last `count` elements."""
        if count > len(self.stack):
            raise IndexError("an instruction takes more than there is")
        start = len(self.stack) - count
        popped, self.stack[start:] = self.stack[start:], []
        return popped

    def pop_to_mark(self) -> list[Any]:
        """Remove and return the elements above the last mark."""
        return self.pop(len(self.stack) - self.marks.pop())


def read_torch_weights(content: bytes) -> dict[str, Floats]:
    """Read the float tensors of a PyTorch weight file.

    Parameters
    ----------
    content : bytes
        The file.

    Returns
    -------
    dict of str to array
        Tensors by name, as read-only views into `content`; integer ones are left out.

    Raises
    ------
    DataError
        If the file holds anything but tensors in a dictionary, or is truncated.
    """
    file = io.BytesIO(content)
    weights: dict[str, Floats] = {}
    try:
        if _read_pickle(file) != MAGIC or _read_pickle(file) != VERSION:
            raise DataError("not a PyTorch weight file of the layout before version 1.6: expected its magic number")
        _read_pickle(file)  # the system of the writer: the numbers are little-endian on every system
        tensors, keys = _read_pickle(file), _read_pickle(file)
        storages = _read_storages(file, keys, _storages_of_tensors(tensors))
        for name, tensor in tensors.items():
            if tensor.storage.dtype == "<f4":
                numbers = storages[tensor.storage.key]
                strides = [stride * numbers.itemsize for stride in tensor.strides]
                weights[name] = as_strided(numbers[tensor.offset :], tensor.shape, strides, writeable=False)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, struct.error) as error:
        message = " ".join(str(error).split())[:120]
        raise DataError(f"the weight file is damaged ({type(error).__name__}: {message}): get it again") from error
    return weights


def _read_pickle(file: io.BytesIO) -> Any:
    """The object that the next pickle of the file describes; raises `DataError` for an instruction that is not listed here."""
    stack = PickleStack()
    for instruction, argument, _ in pickletools.genops(file):
        name = instruction.name
        if name in LITERALS:
            stack.push(argument)
        elif name in CONSTANTS:
            stack.push(CONSTANTS[name])
        elif name in INSTRUCTIONS:
            INSTRUCTIONS[name](stack, argument)
        elif name not in IGNORED:
            raise DataError(f"the weight file holds the instruction {name}: only tensors are read, nothing is run")
    (described,) = stack.stack
    return described


def _push_global(stack: PickleStack, argument: str) -> None:
    if argument not in (*STORAGE_DTYPES, DICTIONARY, TENSOR):
        raise DataError(f"the weight file asks for {argument!r:.60}: only tensors are read, nothing is run")
    stack.push(GlobalName(argument))


def _call_unpickled(stack: PickleStack, _argument: None) -> None:
    function, arguments = stack.pop(2)
    if function == GlobalName(DICTIONARY) and arguments == ():
        stack.push({})
    elif function == GlobalName(TENSOR):
        stack.push(_read_tensor(*arguments))
    else:
        raise DataError(f"the weight file calls {str(function)[:80]}: only tensors are read, nothing is run")


def _read_tensor(
    storage: TensorStorage, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_options: object
) -> StoredTensor:
    """A tensor within its storage; `_options` are whether it was trained, and its hooks."""
    if not isinstance(storage, TensorStorage) or len(shape) != len(strides) or min(0, offset, *shape, *strides) < 0:
        raise DataError("the weight file describes a tensor that makes no sense: get it again")
    last = offset + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
    if max(last + 1, prod(shape)) > storage.length:
        raise DataError(
            f"the weight file holds a tensor of shape {shape} in {storage.length} numbers: it is damaged, get it again"
        )
    return StoredTensor(storage, offset, tuple(shape), tuple(strides))


def _push_storage(stack: PickleStack, _argument: None) -> None:
    ((kind, dtype, key, _device, length, _view),) = stack.pop(1)
    if kind != "storage" or not isinstance(dtype, GlobalName) or dtype.name not in STORAGE_DTYPES:
        raise DataError("the weight file refers to something that is no storage of numbers: it is not read")
    stack.push(TensorStorage(STORAGE_DTYPES[dtype.name], key, length))


def _memoize_unpickled(stack: PickleStack, argument: int) -> None:
    stack.memo[argument] = stack.stack[-1]


def _update_dictionary(stack: PickleStack, pairs: list[Any]) -> None:
    """Put alternating keys and values into the dictionary on top of the stack."""
    dictionary = stack.stack[-1]
    if not isinstance(dictionary, dict):
        raise DataError("the weight file puts items into something that is no dictionary: it is not read")
    dictionary.update(zip(pairs[::2], pairs[1::2], strict=True))


def _extend_list(stack: PickleStack, elements: list[Any]) -> None:
    stack.stack[-1].extend(elements)


def _discard_attributes(stack: PickleStack, _argument: None) -> None:
    stack.pop(1)  # PyTorch gives the dictionary version numbers of its layers as attributes


INSTRUCTIONS: dict[str, Callable[[PickleStack, Any], None]] = {
    "MARK": lambda stack, _: stack.marks.append(len(stack.stack)),
    "EMPTY_DICT": lambda stack, _: stack.push({}),
    "EMPTY_LIST": lambda stack, _: stack.push([]),
    "APPEND": lambda stack, _: _extend_list(stack, stack.pop(1)),
    "APPENDS": lambda stack, _: _extend_list(stack, stack.pop_to_mark()),
    "SETITEM": lambda stack, _: _update_dictionary(stack, stack.pop(2)),
    "SETITEMS": lambda stack, _: _update_dictionary(stack, stack.pop_to_mark()),
    "TUPLE": lambda stack, _: stack.push(tuple(stack.pop_to_mark())),
    "TUPLE1": lambda stack, _: stack.push(tuple(stack.pop(1))),
    "TUPLE2": lambda stack, _: stack.push(tuple(stack.pop(2))),
    "BINPUT": _memoize_unpickled,
    "LONG_BINPUT": _memoize_unpickled,
    "BINGET": lambda stack, argument: stack.push(stack.memo[argument]),
    "LONG_BINGET": lambda stack, argument: stack.push(stack.memo[argument]),
    "GLOBAL": _push_global,
    "REDUCE": _call_unpickled,
    "BUILD": _discard_attributes,
    "BINPERSID": _push_storage,
}


def _storages_of_tensors(tensors: Any) -> dict[str, TensorStorage]:
    """The storages of the tensors by key; raises `DataError` for a file that is more than a dictionary of tensors."""
    if not isinstance(tensors, dict):
        raise DataError(f"the weight file holds a {type(tensors).__name__}: expected a dictionary of tensors")
    storages = {}
    for name, tensor in tensors.items():
        if not isinstance(name, str) or not isinstance(tensor, StoredTensor):
            raise DataError(
                f"the weight file holds a {type(tensor).__name__} under {name!r:.60}: only tensors are read"
            )
        storages[tensor.storage.key] = tensor.storage
    return storages


def _read_storages(
    file: io.BytesIO, keys: list[str], expected: dict[str, TensorStorage]
) -> dict[str, npt.NDArray[Any]]:
    content = file.getvalue()  # no copy of the bytes
    storages = {}
    for key in keys:
        storage, start = expected[key], file.tell() + 8
        (length,) = struct.unpack("<q", file.read(8))
        if length != storage.length:
            raise DataError(
                f"the weight file holds {length} numbers under {key}, expected {storage.length}: it is damaged, get it again"
            )
        storages[key] = np.frombuffer(content, storage.dtype, length, start)
        file.seek(start + storages[key].nbytes)
    return storages
