"""What a bundle holds, as one hash: the same for the same content, whatever addresses and dates the files carry.

A skops file names its arrays by where they were in memory and a .keras file says when it was written, so that the bytes of two
equal models differ. Here the descriptions of objects and layers are read and hashed without that, arrays by what they hold.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from harness.deploy.keras_runtime import CONFIG
from harness.deploy.serialize import SCHEMA
from harness.errors import BundleError

WEIGHTS, SHARED = "model.weights.h5", "shared_object_id"
#: What a skops file says besides what it holds: addresses, names made of them or drawn at random, the version that wrote it.
ACCIDENTAL = {"__id__", "_skops_version", "file"}


def content_hash(folder: Path, names: Sequence[str]) -> str:
    """The SHA-256 of what these files of a folder hold: of .skops and .keras files the objects, of others the bytes.

    Raises `BundleError` for a file that is damaged.
    """
    digest = hashlib.sha256()
    for name in sorted(names):
        content = (folder / name).read_bytes()
        try:
            found = HASHES.get(Path(name).suffix, _plain)(content)
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise BundleError(
                f"{folder / name} is damaged ({type(error).__name__}): export the bundle again"
            ) from error
        digest.update(f"{name} {found}\n".encode())
    return digest.hexdigest()


def _plain(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _skops(content: bytes) -> str:
    """Of a skops file: its description, each file that it refers to replaced by what that holds."""
    with zipfile.ZipFile(io.BytesIO(content)) as file:

        def plain(found: Any) -> Any:
            if isinstance(found, list):
                return [plain(one) for one in found]
            if not isinstance(found, dict):
                return found
            kept = {key: plain(value) for key, value in found.items() if key not in ACCIDENTAL}
            if "__loader__" in found and isinstance(found.get("file"), str):
                kept["holds"] = _member(file.read(found["file"]))
            return kept

        return _plain(_written(plain(json.loads(file.read(SCHEMA)))))


def _member(content: bytes) -> str:
    """Of an array its form and values, of anything else the bytes."""
    if content.startswith(b"\x93NUMPY"):
        return _array(np.load(io.BytesIO(content), allow_pickle=False))
    return _plain(content)


def _keras(content: bytes) -> str:
    """Of a .keras file: its description, and the values of its weights in their order."""
    import h5py  # type: ignore[import-untyped]  # it ships no types; Keras brings it

    with zipfile.ZipFile(io.BytesIO(content)) as file:
        config, weights = json.loads(file.read(CONFIG)), file.read(WEIGHTS)
    with h5py.File(io.BytesIO(weights), "r") as held:
        values: list[str] = []
        held.visititems(lambda name, one: values.append(f"{name} {_array(one[()])}") if hasattr(one, "dtype") else None)
    return _plain(_written([_renamed(config), sorted(values)]))


def _renamed(config: Any) -> Any:
    """A description in which layers and shared objects are numbered.

    Keras counts layers through all that a process ever made (`get_item_3`), and names shared objects by their addresses.
    """
    numbers = {name: f"layer {at}" for at, name in enumerate(dict.fromkeys(_found(config, "name")))}
    shared = {address: at for at, address in enumerate(dict.fromkeys(_found(config, SHARED)))}

    def plain(found: Any) -> Any:
        if isinstance(found, list):
            return [plain(one) for one in found]
        if isinstance(found, dict):
            return {key: shared[value] if key == SHARED else plain(value) for key, value in found.items()}
        return numbers.get(found, found) if isinstance(found, str) else found

    return plain(config)


def _found(config: Any, key: str) -> Iterator[Any]:
    """What stands under a key anywhere in a description, in its order."""
    if isinstance(config, list):
        for one in config:
            yield from _found(one, key)
    elif isinstance(config, dict):
        if isinstance(config.get(key), str | int):
            yield config[key]
        for value in config.values():
            yield from _found(value, key)


def _array(values: Any) -> str:
    """Of an array its form and values; field by field where it has fields, since between them is what memory held before."""
    array = np.asarray(values)
    if array.dtype.names:
        return _plain("\n".join(f"{name} {_array(array[name])}" for name in array.dtype.names).encode())
    form = f"{array.dtype.str} {array.shape} ".encode()
    return _plain(form + np.ascontiguousarray(array).tobytes())


def _written(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True).encode()


HASHES = {".skops": _skops, ".keras": _keras}
