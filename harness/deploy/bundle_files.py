"""The folder of a bundle: it is replaced as a whole, and its content is hashed, equal for equal content.

The folder holds either the old content or all of the new one, and no other files remain.

A skops file names its arrays by their addresses in memory, and a .keras file contains the time of writing, so that the bytes
of two equal models differ. Here the descriptions of objects and layers are hashed without these, and arrays by their values.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from harness.deploy.keras_runtime import CONFIG
from harness.deploy.serialize import DESCRIPTION_FILE, iterate_json_objects
from harness.errors import BundleError

MANIFEST = "bundle.json"


def check_bundle_target_folder(folder: Path) -> None:
    """Check that a bundle may be written to a folder.

    Raises
    ------
    BundleError
        If the folder exists and is neither empty nor a bundle, or if it is the current folder.
    """
    if folder.exists() and not (folder / MANIFEST).is_file() and (not folder.is_dir() or any(folder.iterdir())):
        raise BundleError(f"{folder} is there and no bundle: name a new folder (--out, in Python: out=)")
    if folder.resolve() == Path.cwd():  # a process whose current folder is replaced has no current folder
        raise BundleError(f"{folder} is the folder that this is run in: name another one (--out, in Python: out=)")


@contextmanager
def replace_folder_on_success(folder: Path) -> Iterator[Path]:
    """Provide an empty folder to be filled, which replaces `folder` when the block ends without an error.

    Yields
    ------
    Path
        A new folder beside the target.

    Raises
    ------
    OSError
        If the folder cannot be created or replaced; the target then keeps its content.
    """
    target = folder.resolve()  # a symbolic link stays a link
    new_folder = _hidden_sibling_path(target, "part")
    _remove_leftover_folders(target)
    try:
        new_folder.mkdir(parents=True)
        yield new_folder
        _rename_over_folder(new_folder, target)
    finally:
        shutil.rmtree(new_folder, ignore_errors=True)


def _hidden_sibling_path(target: Path, suffix: str) -> Path:
    """Path of a hidden folder beside the target that belongs to this process."""
    return target.with_name(f".{target.name}.{os.getpid()}.{suffix}")


def _rename_over_folder(new_folder: Path, target: Path) -> None:
    """Rename the new folder to the target; a kill between the two renames leaves the old one under another name."""
    old_folder = _hidden_sibling_path(target, "old")
    if target.exists():
        target.rename(old_folder)
    new_folder.rename(target)
    shutil.rmtree(old_folder, ignore_errors=True)


def _remove_leftover_folders(target: Path) -> None:
    """Remove the folders that killed processes left beside the target.

    A bundle that such a process had moved away and not replaced is moved back.
    """
    if not target.parent.is_dir():
        return
    pattern = re.compile(rf"\.{re.escape(target.name)}\.(\d{{1,9}})\.(part|old)")
    leftover_folders, old_bundles = [], []
    for path in target.parent.iterdir():
        match = pattern.fullmatch(path.name)
        if match is None or not _has_process_ended(int(match[1])):
            continue
        leftover_folders.append(path)
        if match[2] == "old" and (path / MANIFEST).is_file():
            old_bundles.append(path)
    if old_bundles and not target.exists():
        max(old_bundles, key=lambda path: path.stat().st_mtime_ns).rename(target)
    for path in leftover_folders:
        shutil.rmtree(path, ignore_errors=True)


def _has_process_ended(process_id: int) -> bool:
    """Tell whether a process has ended; a folder with our own id was left by an earlier process that had the same id."""
    if process_id == os.getpid():
        return True
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return True
    except PermissionError:  # it runs as another user
        return False
    return False


WEIGHTS, SHARED_ID = "model.weights.h5", "shared_object_id"
#: Keys of a skops description that are no content: addresses, file names made of them or at random, the version of skops.
IGNORED_KEYS = {"__id__", "_skops_version", "file"}


def hash_file_contents(folder: Path, names: Sequence[str]) -> str:
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
        file_bytes = (folder / name).read_bytes()
        hash_function = HASH_FUNCTIONS.get(Path(name).suffix, _hash_bytes)
        try:
            file_hash = hash_function(file_bytes)
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            message = f"{folder / name} is damaged ({type(error).__name__}): export the bundle again"
            raise BundleError(message) from error
        digest.update(f"{name} {file_hash}\n".encode())
    return digest.hexdigest()


def _hash_bytes(hashed_bytes: bytes) -> str:
    return hashlib.sha256(hashed_bytes).hexdigest()


def _hash_json(document: Any) -> str:
    return _hash_bytes(json.dumps(document, sort_keys=True).encode())


def _hash_skops(skops_bytes: bytes) -> str:
    """Hash the description in a skops file, each file that it refers to replaced by the hash of that file."""
    with zipfile.ZipFile(io.BytesIO(skops_bytes)) as archive:

        def replace_files_by_hashes(node: Any) -> Any:
            if isinstance(node, list):
                return list(map(replace_files_by_hashes, node))
            if not isinstance(node, dict):
                return node
            copied_node = {
                key: replace_files_by_hashes(child_node) for key, child_node in node.items() if key not in IGNORED_KEYS
            }
            if "__loader__" in node and isinstance(node.get("file"), str):
                copied_node["holds"] = _hash_archive_member(archive.read(node["file"]))
            return copied_node

        return _hash_json(replace_files_by_hashes(json.loads(archive.read(DESCRIPTION_FILE))))


def _hash_archive_member(member_bytes: bytes) -> str:
    """Hash an array by its type, shape and values, any other file by its bytes."""
    if member_bytes.startswith(b"\x93NUMPY"):
        return _hash_array(np.load(io.BytesIO(member_bytes), allow_pickle=False))
    return _hash_bytes(member_bytes)


def _hash_keras(keras_bytes: bytes) -> str:
    """Hash the description in a .keras file and the values of its weights."""
    import h5py  # type: ignore[import-untyped]  # it ships no types; Keras brings it

    with zipfile.ZipFile(io.BytesIO(keras_bytes)) as archive:
        config, weights = json.loads(archive.read(CONFIG)), archive.read(WEIGHTS)
    hashes: list[str] = []

    def add_weights_hash(name: str, node: Any) -> None:
        if hasattr(node, "dtype"):
            hashes.append(f"{name} {_hash_array(node[()])}")

    with h5py.File(io.BytesIO(weights), "r") as file:
        file.visititems(add_weights_hash)
    return _hash_json([_renumber_layers(config), sorted(hashes)])


def _renumber_layers(config: Any) -> Any:
    """Copy a description with layers and shared objects numbered in their order.

    Keras counts layers over the whole process (`get_item_3`), and names shared objects by their addresses.
    """
    names: dict[Any, str] = {}
    address_numbers: dict[Any, int] = {}
    for node in iterate_json_objects(config):
        if isinstance(node.get("name"), str | int):
            names.setdefault(node["name"], f"layer {len(names)}")
        if isinstance(node.get(SHARED_ID), str | int):
            address_numbers.setdefault(node[SHARED_ID], len(address_numbers))

    def renumber(node: Any) -> Any:
        if isinstance(node, list):
            return list(map(renumber, node))
        if not isinstance(node, dict):
            return names.get(node, node) if isinstance(node, str) else node
        copied_node = dict(zip(node, map(renumber, node.values()), strict=True))
        if SHARED_ID in node:
            copied_node[SHARED_ID] = address_numbers[node[SHARED_ID]]
        return copied_node

    return renumber(config)


def _hash_array(array_values: Any) -> str:
    """Hash an array by type, shape and values; field by field where it has fields, as the bytes between them are undefined."""
    array = np.asarray(array_values)
    if array.dtype.names:
        return _hash_bytes("\n".join(f"{name} {_hash_array(array[name])}" for name in array.dtype.names).encode())
    header = f"{array.dtype.str} {array.shape} ".encode()
    return _hash_bytes(header + np.ascontiguousarray(array).tobytes())


HASH_FUNCTIONS = {".skops": _hash_skops, ".keras": _hash_keras}
