"""A bundle: the folder in which a winner leaves the house, and the only way to read one.

    bundle.json     the manifest: what this is, how it decides, how it was measured, the SHA-256 of every other file
    schema.json     what rows it takes
    pipeline.skops  network.keras  features.keras      the model
    held_out.npz    keys of the training rows, and what was said of each when it was a sealed test row
    drivers.json    what moves the predictions, measured on held-out rows
    MODEL_CARD.md

Nothing is loaded that the manifest does not name with the SHA-256 that the file has.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.declare.calibration import Calibrator
from harness.declare.task import Features
from harness.deploy.content import content_hash
from harness.deploy.model import Model, load_model, save_model
from harness.deploy.schema import Schema
from harness.errors import BundleError
from harness.search.pipeline import Fitted

SCHEMA = 1
MANIFEST, ROWS, HELD_OUT, DRIVERS, CARD = "bundle.json", "schema.json", "held_out.npz", "drivers.json", "MODEL_CARD.md"
#: What every manifest has, and of what type.
NEEDED: dict[str, type | tuple[type, ...]] = {
    "task": str,
    "entry": str,
    "classes": list,
    "threshold": (float, int, type(None)),
    "calibration": str,
    "versions": dict,
    "content_sha256": str,
    "files": dict,
}
LARGEST = 20_000_000  #: bytes of a manifest


@dataclass(frozen=True)
class HeldOut:
    """Training rows by key (n,), and the probabilities (n, k) that the entry gave each as a sealed test row; NaN: never one."""

    keys: npt.NDArray[np.uint64]
    proba: npt.NDArray[np.float32]


@dataclass(frozen=True)
class Parts:
    """All that a bundle is made of; `about` is the manifest without what is computed when it is written."""

    about: Mapping[str, Any]
    schema: Schema
    fitted: Fitted
    calibrator: Calibrator | None
    card: str
    held_out: HeldOut | None = None
    drivers: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Bundle:
    """A bundle that was read and checked: what it says of itself, the rows it takes, the model."""

    folder: Path
    manifest: Mapping[str, Any]
    schema: Schema
    model: Model

    @property
    def id(self) -> str:
        """The beginning of the SHA-256 of its content: equal where predictions are."""
        return str(self.manifest["content_sha256"])[:12]

    @property
    def threshold(self) -> float | None:
        """From which probability of the second of two classes a row is called so; None of several classes."""
        value = self.manifest["threshold"]
        return None if value is None else float(value)

    def predict_proba(self, X: Features) -> npt.NDArray[np.float64]:
        """Calibrated probabilities (n, k)."""
        return self.model.predict_proba(X)

    def decide(self, proba: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
        """The class (n,) of each row of probabilities (n, k), as a position in `schema.classes`."""
        if self.threshold is None:
            return np.asarray(proba.argmax(axis=1), dtype=np.int64)
        return (proba[:, 1] >= self.threshold).astype(np.int64)

    def held_out(self) -> HeldOut | None:
        """What was said of training rows when they were sealed test rows; None where the bundle does not hold it."""
        if HELD_OUT not in self.manifest["files"]:
            return None
        try:
            with np.load(io.BytesIO(_read(self.folder, self.manifest, HELD_OUT)), allow_pickle=False) as arrays:
                return HeldOut(arrays["keys"], arrays["proba"])
        except (ValueError, KeyError, OSError, zipfile.BadZipFile) as error:
            raise BundleError(f"{self.folder / HELD_OUT} cannot be read ({error}): export the bundle again") from error

    def drivers(self) -> dict[str, Any] | None:
        """What moves the predictions, as it was measured at export; None where it was not."""
        if DRIVERS not in self.manifest["files"]:
            return None
        return _json(_read(self.folder, self.manifest, DRIVERS), self.folder / DRIVERS)


def write_bundle(folder: Path, parts: Parts) -> Bundle:
    """Write a bundle so that the folder holds either what it held or all of it; returns it as it is read again.

    A bundle that is there is replaced. Raises `BundleError` where something else is, or where it cannot be written.
    """
    check_place(folder)
    place = folder.resolve()  # a link stays one
    beside = place.with_name(f".{place.name}.{os.getpid()}.part")
    try:
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir(parents=True)
        _fill(beside, parts)
        _swap(beside, place)
    except OSError as error:
        raise BundleError(f"cannot write {folder}: {error.strerror or error}: what was there before is kept") from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return read_bundle(folder)


def check_place(folder: Path) -> None:
    """Raise `BundleError` where something else than a bundle is already, or we ourselves: nothing of anybody's is replaced."""
    if folder.exists() and not (folder / MANIFEST).is_file() and (not folder.is_dir() or any(folder.iterdir())):
        raise BundleError(f"{folder} is there and no bundle: name a new folder with --out")
    if folder.resolve() == Path.cwd():  # whoever stands in a folder that is replaced stands nowhere
        raise BundleError(f"{folder} is the folder that this is run in: name another one with --out")


def read_bundle(folder: Path) -> Bundle:
    """Read a bundle, each file checked against the manifest; raises `BundleError`, in one line, for anything that is wrong."""
    manifest = read_manifest(folder)
    try:
        schema = Schema.from_dict(_json(_read(folder, manifest, ROWS), folder / ROWS))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise BundleError(f"{folder / ROWS} does not describe rows ({error}): export the bundle again") from error
    model = load_model(lambda name: _read(folder, manifest, name))
    if list(schema.classes) != manifest["classes"] or model.fitted.classes != len(schema.classes):
        raise BundleError(f"{folder}: the manifest, the schema and the model do not agree on the classes")
    return Bundle(folder, manifest, schema, model)


def read_manifest(folder: Path) -> dict[str, Any]:
    """What a bundle says of itself; of its files nothing is read. Raises `BundleError` where there is none, or a newer one."""
    path = folder / MANIFEST
    try:
        if path.stat().st_size > LARGEST:
            raise BundleError(f"{path} is larger than any manifest: this is no bundle")
        manifest = _json(path.read_bytes(), path)
    except OSError as error:
        raise BundleError(
            f"{folder} is no bundle ({MANIFEST}: {error.strerror or error}): evenhand export makes one"
        ) from error
    if (schema := manifest.get("schema")) != SCHEMA:
        newer = (
            f"this evenhand reads schema {SCHEMA}: install a newer one"
            if isinstance(schema, int) and schema > SCHEMA
            else "this is no manifest of a bundle"
        )
        raise BundleError(f"{path} has schema {schema!r}; {newer}")
    for name, kind in NEEDED.items():
        if not isinstance(manifest.get(name, ...), kind):
            raise BundleError(f"{path} has no sound {name!r}: export the bundle again")
    if manifest.get("manifest_sha256") != _digest(manifest):
        raise BundleError(f"{path} was changed after it was written: export the bundle again")
    for name in manifest["files"]:
        if Path(name).name != name or name in ("", ".", "..") or "\\" in name:
            raise BundleError(f"{path} names {name!r}, which is no file in the bundle's folder: it is not loaded")
    return manifest


def _fill(folder: Path, parts: Parts) -> None:
    names = save_model(parts.fitted, parts.calibrator, folder)
    (folder / ROWS).write_bytes(_bytes(parts.schema.as_dict()))
    about = dict(parts.about)
    decision = {name: about[name] for name in ("classes", "threshold", "calibration")}
    about["content_sha256"] = _sha256(_bytes([content_hash(folder, [*names, ROWS]), decision]))
    (folder / CARD).write_text(parts.card, encoding="utf-8")
    names += [ROWS, CARD]
    if parts.held_out is not None:
        with (folder / HELD_OUT).open("wb") as file:
            np.savez_compressed(file, keys=parts.held_out.keys, proba=parts.held_out.proba)
        names.append(HELD_OUT)
    if parts.drivers is not None:
        (folder / DRIVERS).write_bytes(_bytes(dict(parts.drivers)))
        names.append(DRIVERS)
    about["files"] = {name: _sha256((folder / name).read_bytes()) for name in sorted(names)}
    about["schema"] = SCHEMA
    about["manifest_sha256"] = _digest(about)
    (folder / MANIFEST).write_bytes(_bytes(about))


def _swap(new: Path, folder: Path) -> None:
    """Put the new folder where the old one is; a kill between the two renames leaves the old one beside."""
    old = folder.with_name(f".{folder.name}.{os.getpid()}.old")
    if folder.exists():
        folder.rename(old)
    new.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def _read(folder: Path, manifest: Mapping[str, Any], name: str) -> bytes:
    """The content of a file that the manifest names, if it is what it was."""
    path, expected = folder / name, manifest["files"].get(name)
    if expected is None:
        raise BundleError(f"{folder / MANIFEST} names no file {name!r}: it is not loaded")
    try:
        if path.is_symlink():
            raise BundleError(f"{path} points elsewhere: only files of the bundle itself are loaded")
        content = path.read_bytes()
    except OSError as error:
        raise BundleError(f"cannot read {path}: {error.strerror or error}: export the bundle again") from error
    if (found := _sha256(content)) != expected:
        raise BundleError(
            f"{path} is not what was exported (SHA-256 {found[:12]}… instead of {str(expected)[:12]}…): it is not loaded"
        )
    return content


def _json(content: bytes, path: Path) -> dict[str, Any]:
    try:
        values = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{path} is no JSON that can be read: export the bundle again") from error
    if not isinstance(values, dict):
        raise BundleError(f"{path} holds no object: export the bundle again")
    return values


def _bytes(values: Any) -> bytes:
    return (json.dumps(values, indent=1, ensure_ascii=False, sort_keys=True) + "\n").encode()


def _digest(manifest: Mapping[str, Any]) -> str:
    return _sha256(_bytes({name: value for name, value in manifest.items() if name != "manifest_sha256"}))


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
