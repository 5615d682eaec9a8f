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
IGNORED_INSTRUCTIONS = ("PROTO", "STOP")


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
        first_popped = len(self.stack) - count
        popped_objects, self.stack[first_popped:] = self.stack[first_popped:], []
        return popped_objects

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
        torch_tensors, keys = _read_pickle(file), _read_pickle(file)
        tensor_storages = _read_storages(file, keys, _storages_of_tensors(torch_tensors))
        for name, torch_tensor in torch_tensors.items():
            if torch_tensor.storage.dtype == "<f4":
                storage_numbers = tensor_storages[torch_tensor.storage.key]
                axis_strides = [axis_stride * storage_numbers.itemsize for axis_stride in torch_tensor.strides]
                weights[name] = as_strided(
                    storage_numbers[torch_tensor.offset :], torch_tensor.shape, axis_strides, writeable=False
                )
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, struct.error) as error:
        message = " ".join(str(error).split())[:120]
        raise DataError(f"the weight file is damaged ({type(error).__name__}: {message}): get it again") from error
    return weights


def _read_pickle(file: io.BytesIO) -> Any:
    """The object that the next pickle of the file describes; raises `DataError` for an instruction that is not listed here."""
    pickle_stack = PickleStack()
    for pickle_instruction, instruction_argument, _ in pickletools.genops(file):
        name = pickle_instruction.name
        if name in LITERALS:
            pickle_stack.push(instruction_argument)
        elif name in CONSTANTS:
            pickle_stack.push(CONSTANTS[name])
        elif name in INSTRUCTIONS:
            INSTRUCTIONS[name](pickle_stack, instruction_argument)
        elif name not in IGNORED_INSTRUCTIONS:
            raise DataError(f"the weight file holds the instruction {name}: only tensors are read, nothing is run")
    (described_tensors,) = pickle_stack.stack
    return described_tensors


def _push_global(pickle_stack: PickleStack, global_name: str) -> None:
    if global_name not in (*STORAGE_DTYPES, DICTIONARY, TENSOR):
        raise DataError(f"the weight file asks for {global_name!r:.60}: only tensors are read, nothing is run")
    pickle_stack.push(GlobalName(global_name))


def _call_unpickled(pickle_stack: PickleStack, _argument: None) -> None:
    called_function, arguments = pickle_stack.pop(2)
    if called_function == GlobalName(DICTIONARY) and arguments == ():
        pickle_stack.push({})
    elif called_function == GlobalName(TENSOR):
        pickle_stack.push(_read_tensor(*arguments))
    else:
        raise DataError(f"the weight file calls {str(called_function)[:80]}: only tensors are read, nothing is run")


def _read_tensor(
    tensor_storage: TensorStorage, offset: int, shape: tuple[int, ...], axis_strides: tuple[int, ...], *_options: object
) -> StoredTensor:
    """A tensor within its storage; `_options` are whether it was trained, and its hooks."""
    if (
        not isinstance(tensor_storage, TensorStorage)
        or len(shape) != len(axis_strides)
        or min(0, offset, *shape, *axis_strides) < 0
    ):
        raise DataError("the weight file describes a tensor that makes no sense: get it again")
    last_element = offset + sum((size - 1) * axis_stride for size, axis_stride in zip(shape, axis_strides, strict=True))
    if max(last_element + 1, prod(shape)) > tensor_storage.length:
        raise DataError(
            f"the weight file holds a tensor of shape {shape} in {tensor_storage.length} numbers: it is damaged, get it again"
        )
    return StoredTensor(tensor_storage, offset, tuple(shape), tuple(axis_strides))


def _push_storage(pickle_stack: PickleStack, _argument: None) -> None:
    ((storage_kind, dtype, key, _device, element_count, _view),) = pickle_stack.pop(1)
    if storage_kind != "storage" or not isinstance(dtype, GlobalName) or dtype.name not in STORAGE_DTYPES:
        raise DataError("the weight file refers to something that is no storage of numbers: it is not read")
    pickle_stack.push(TensorStorage(STORAGE_DTYPES[dtype.name], key, element_count))


def _memoize_unpickled(pickle_stack: PickleStack, memo_index: int) -> None:
    pickle_stack.memo[memo_index] = pickle_stack.stack[-1]


def _update_dictionary(pickle_stack: PickleStack, keys_and_values: list[Any]) -> None:
    """Put alternating keys and values into the dictionary on top of the stack."""
    updated_dictionary = pickle_stack.stack[-1]
    if not isinstance(updated_dictionary, dict):
        raise DataError("the weight file puts items into something that is no dictionary: it is not read")
    updated_dictionary.update(zip(keys_and_values[::2], keys_and_values[1::2], strict=True))


def _extend_list(pickle_stack: PickleStack, list_elements: list[Any]) -> None:
    pickle_stack.stack[-1].extend(list_elements)


def _discard_attributes(pickle_stack: PickleStack, _argument: None) -> None:
    pickle_stack.pop(1)  # PyTorch gives the dictionary version numbers of its layers as attributes


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


def _storages_of_tensors(torch_tensors: Any) -> dict[str, TensorStorage]:
    """The storages of the tensors by key; raises `DataError` for a file that is more than a dictionary of tensors."""
    if not isinstance(torch_tensors, dict):
        raise DataError(f"the weight file holds a {type(torch_tensors).__name__}: expected a dictionary of tensors")
    tensor_storages = {}
    for name, torch_tensor in torch_tensors.items():
        if not isinstance(name, str) or not isinstance(torch_tensor, StoredTensor):
            raise DataError(
                f"the weight file holds a {type(torch_tensor).__name__} under {name!r:.60}: only tensors are read"
            )
        tensor_storages[torch_tensor.storage.key] = torch_tensor.storage
    return tensor_storages


def _read_storages(
    file: io.BytesIO, keys: list[str], expected_storages: dict[str, TensorStorage]
) -> dict[str, npt.NDArray[Any]]:
    file_bytes = file.getvalue()  # no copy of the bytes
    tensor_storages = {}
    for key in keys:
        storage, first_byte = expected_storages[key], file.tell() + 8
        (length,) = struct.unpack("<q", file.read(8))
        if length != storage.length:
            raise DataError(
                f"the weight file holds {length} numbers under {key}, expected {storage.length}: it is damaged, get it again"
            )
        tensor_storages[key] = np.frombuffer(file_bytes, storage.dtype, length, first_byte)
        file.seek(first_byte + tensor_storages[key].nbytes)
    return tensor_storages
