"""What the files of a model hold, as one hash: the same for the same content, whatever addresses and dates they carry."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any


def content_hash(folder: Path, names: Iterable[str]) -> str:
    """SHA-256 of what these files of a folder hold, in the order of their names.

    Of a skops file that are its objects, which it numbers by their addresses in memory; of a .keras file the
    configuration and the weights, which it keeps beside a date; of any other file its bytes.
    """
    digest = hashlib.sha256()
    for name in sorted(names):
        content = (folder / name).read_bytes()
        parts = {".skops": _of_skops, ".keras": _of_keras}.get(Path(name).suffix, _of_bytes)(content)
        for part in (name.encode(), *parts):
            digest.update(len(part).to_bytes(8, "big"))
            digest.update(part)
    return digest.hexdigest()


def _of_bytes(content: bytes) -> Iterator[bytes]:
    yield content


def _of_skops(content: bytes) -> Iterator[bytes]:
    """Its description with objects numbered in the order in which they come, and arrays by what they hold."""
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        numbers: dict[int, int] = {}

        def plain(value: Any) -> Any:
            if isinstance(value, list):
                return [plain(one) for one in value]
            if not isinstance(value, dict):
                return value
            found: dict[str, Any] = {}
            for name, one in sorted(value.items()):
                if name == "__id__":
                    found[name] = numbers.setdefault(one, len(numbers))
                elif name == "file":
                    found[name] = hashlib.sha256(file.read(one)).hexdigest()
                else:
                    found[name] = plain(one)
            return found

        yield json.dumps(plain(json.loads(file.read("schema.json")))).encode()


def _of_keras(content: bytes) -> Iterator[bytes]:
    import h5py
    import numpy as np

    with zipfile.ZipFile(io.BytesIO(content)) as file:
        yield json.dumps(json.loads(file.read("config.json")), sort_keys=True).encode()
        weights = io.BytesIO(file.read("model.weights.h5"))
    names: list[str] = []
    with h5py.File(weights, "r") as file:
        file.visit(names.append)
        for name in sorted(names):
            if isinstance(file[name], h5py.Dataset):
                values = np.asarray(file[name])
                yield f"{name} {values.dtype} {values.shape}".encode()
                yield np.ascontiguousarray(values).tobytes()
