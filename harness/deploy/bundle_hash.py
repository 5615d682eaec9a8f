"""The content of a bundle as one hash: equal for equal content, whatever addresses and dates the files contain.

A skops file names its arrays by their addresses in memory, and a .keras file contains the time of writing, so that the bytes
of two equal models differ. Here the descriptions of objects and layers are hashed without these, and arrays by their values.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from harness.deploy.keras_runtime import CONFIG
from harness.deploy.serialize import DESCRIPTION_FILE, iterate_json_objects
from harness.errors import BundleError

WEIGHTS, SHARED_ID = "model.weights.h5", "shared_object_id"
#: Keys of a skops description that are no content: addresses, file names made of them or at random, the version of skops.
IGNORED_KEYS = {"__id__", "_skops_version", "file"}


def content_hash(folder: Path, names: Sequence[str]) -> str:
    """Compute the SHA-256 of the content of some files.

    Parameters
    ----------
    folder : Path
        Folder of the files.
    names : sequence of str
        Names of the files. Of .skops and .keras files the objects are hashed, of others the bytes.

    Returns
    -------
    str
        64 hexadecimal digits.

    Raises
    ------
    BundleError
        If a file is damaged.
    """
    digest = hashlib.sha256()
    for name in sorted(names):
        content = (folder / name).read_bytes()
        hash_function = HASH_FUNCTIONS.get(Path(name).suffix, _hash_bytes)
        try:
            file_hash = hash_function(content)
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise BundleError(
                f"{folder / name} is damaged ({type(error).__name__}): export the bundle again"
            ) from error
        digest.update(f"{name} {file_hash}\n".encode())
    return digest.hexdigest()


def _hash_bytes(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _hash_json(document: Any) -> str:
    return _hash_bytes(json.dumps(document, sort_keys=True).encode())


def _hash_skops(content: bytes) -> str:
    """Hash the description in a skops file, each file that it refers to replaced by the hash of that file."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:

        def stable(node: Any) -> Any:
            if isinstance(node, list):
                return list(map(stable, node))
            if not isinstance(node, dict):
                return node
            copy = {key: stable(child) for key, child in node.items() if key not in IGNORED_KEYS}
            if "__loader__" in node and isinstance(node.get("file"), str):
                copy["holds"] = _hash_member(archive.read(node["file"]))
            return copy

        return _hash_json(stable(json.loads(archive.read(DESCRIPTION_FILE))))


def _hash_member(content: bytes) -> str:
    """Hash an array by its type, shape and values, any other file by its bytes."""
    if content.startswith(b"\x93NUMPY"):
        return _hash_array(np.load(io.BytesIO(content), allow_pickle=False))
    return _hash_bytes(content)


def _hash_keras(content: bytes) -> str:
    """Hash the description in a .keras file and the values of its weights."""
    import h5py  # type: ignore[import-untyped]  # it ships no types; Keras brings it

    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        config, weights = json.loads(archive.read(CONFIG)), archive.read(WEIGHTS)
    hashes: list[str] = []

    def add_hash(name: str, node: Any) -> None:
        if hasattr(node, "dtype"):
            hashes.append(f"{name} {_hash_array(node[()])}")

    with h5py.File(io.BytesIO(weights), "r") as file:
        file.visititems(add_hash)
    return _hash_json([_numbered(config), sorted(hashes)])


def _numbered(config: Any) -> Any:
    """Copy a description with layers and shared objects numbered in their order.

    Keras counts layers over the whole process (`get_item_3`), and names shared objects by their addresses.
    """
    names: dict[Any, str] = {}
    addresses: dict[Any, int] = {}
    for node in iterate_json_objects(config):
        if isinstance(node.get("name"), str | int):
            names.setdefault(node["name"], f"layer {len(names)}")
        if isinstance(node.get(SHARED_ID), str | int):
            addresses.setdefault(node[SHARED_ID], len(addresses))

    def renamed(node: Any) -> Any:
        if isinstance(node, list):
            return list(map(renamed, node))
        if not isinstance(node, dict):
            return names.get(node, node) if isinstance(node, str) else node
        copy = dict(zip(node, map(renamed, node.values()), strict=True))
        if SHARED_ID in node:
            copy[SHARED_ID] = addresses[node[SHARED_ID]]
        return copy

    return renamed(config)


def _hash_array(values: Any) -> str:
    """Hash an array by type, shape and values; field by field where it has fields, as the bytes between them are undefined."""
    array = np.asarray(values)
    if array.dtype.names:
        return _hash_bytes("\n".join(f"{name} {_hash_array(array[name])}" for name in array.dtype.names).encode())
    header = f"{array.dtype.str} {array.shape} ".encode()
    return _hash_bytes(header + np.ascontiguousarray(array).tobytes())


HASH_FUNCTIONS = {".skops": _hash_skops, ".keras": _hash_keras}
