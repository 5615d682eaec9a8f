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
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.deploy.atomic_folder import MANIFEST, check_place, filled
from harness.deploy.bundle_hash import content_hash
from harness.deploy.model import Model, load_model, save_model
from harness.deploy.schema import Kind, Schema, are_names
from harness.deploy.serialize import said
from harness.errors import BundleError
from harness.metrics.calibration import Calibrator
from harness.metrics.threshold import ABOVE_ALL
from harness.registry.task import Features
from harness.search.pipeline import FittedPipeline

SCHEMA = 1
ROWS, HELD_OUT, DRIVERS, CARD = "schema.json", "held_out.npz", "drivers.json", "MODEL_CARD.md"
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
    fitted: FittedPipeline
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
    try:
        with filled(folder) as beside:
            _fill(beside, parts)
    except OSError as error:
        raise BundleError(f"cannot write {folder}: {error.strerror or error}: what was there before is kept") from error
    return read_bundle(folder)


def read_bundle(folder: Path) -> Bundle:
    """Read a bundle, each file checked against the manifest; raises `BundleError`, in one line, for anything that is wrong."""
    manifest = read_manifest(folder)
    try:
        schema = Schema.from_dict(_json(_read(folder, manifest, ROWS), folder / ROWS))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise BundleError(f"{folder / ROWS} does not describe rows ({said(error)}): export the bundle again") from error
    model = load_model(lambda name: _read(folder, manifest, name))
    if list(schema.classes) != manifest["classes"] or model.fitted.classes != len(schema.classes):
        raise BundleError(f"{folder}: the manifest, the schema and the model do not agree on the classes")
    try:
        agree = _columns(model) == [{one.name for one in schema.features if one.kind in kinds} for kinds in PREPARED]
    except (AttributeError, TypeError, ValueError):
        agree = False
    if not agree:
        raise BundleError(f"{folder}: the schema and the model do not agree on the columns: export the bundle again")
    return Bundle(folder, manifest, schema, model)


def read_manifest(folder: Path) -> dict[str, Any]:
    """What a bundle says of itself; of its files nothing is read. Raises `BundleError` where there is none, or a newer one."""
    path = folder / MANIFEST
    try:
        if path.stat().st_size > LARGEST:
            raise BundleError(f"{path} is larger than any manifest: this is no bundle")
        manifest = _json(_plain(path), path)
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
    _check(manifest, path)
    return manifest


def _check(manifest: Mapping[str, Any], path: Path) -> None:
    """Raise `BundleError` where a manifest is not what was written, or says what none of ours does."""
    for name, kind in NEEDED.items():
        if not isinstance(manifest.get(name, ...), kind):
            raise BundleError(f"{path} has no sound {name!r}: export the bundle again")
    if manifest.get("manifest_sha256") != _digest(manifest):
        raise BundleError(f"{path} was changed after it was written: export the bundle again")
    for name, is_sound in DECIDING.items():
        if not is_sound(manifest):
            raise BundleError(f"{path} has no sound {name!r} ({str(manifest[name])[:60]!r}): export the bundle again")
    for name in manifest["files"]:
        if Path(name).name != name or name in ("", ".", "..") or "\\" in name:
            raise BundleError(f"{path} names {name!r}, which is no file in the bundle's folder: it is not loaded")


def _are_classes(manifest: Mapping[str, Any]) -> bool:
    return len(manifest["classes"]) > 1 and are_names(manifest["classes"])


def _is_threshold(manifest: Mapping[str, Any]) -> bool:
    """Whether it is None, or of two classes a share, or just above all of them."""
    value = manifest["threshold"]
    return value is None or (type(value) is not bool and 0 <= value <= ABOVE_ALL and len(manifest["classes"]) == 2)


#: What is looked at more closely, since decisions hang on it.
DECIDING = {"classes": _are_classes, "threshold": _is_threshold}


#: Which kinds of column the preparation of tables takes as numbers, and which as categories.
PREPARED: tuple[set[Kind], ...] = ({"number", "date"}, {"category"})


def _columns(model: Model) -> list[set[str]]:
    """The columns of tables that a model takes: numbers, then categories."""
    preparer = model.fitted.preparer
    if preparer is None:
        return [set(), set()]
    layout = preparer.layout
    plain = len(layout.categories) - len(layout.indicators)
    return [set(layout.numbers), {name for name, _ in layout.categories[:plain]}]


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


def _read(folder: Path, manifest: Mapping[str, Any], name: str) -> bytes:
    """The content of a file that the manifest names, if it is what it was."""
    path, expected = folder / name, manifest["files"].get(name)
    if expected is None:
        raise BundleError(f"{folder / MANIFEST} names no file {name!r}: it is not loaded")
    try:
        if path.is_symlink():
            raise BundleError(f"{path} points elsewhere: only files of the bundle itself are loaded")
        content = _plain(path)
    except OSError as error:
        raise BundleError(f"cannot read {path}: {error.strerror or error}: export the bundle again") from error
    if (found := _sha256(content)) != expected:
        raise BundleError(
            f"{path} is not what was exported (SHA-256 {found[:12]}… instead of {str(expected)[:12]}…): it is not loaded"
        )
    return content


def _plain(path: Path) -> bytes:
    """The content of a plain file; a pipe would be waited for, for ever."""
    if not S_ISREG(path.stat().st_mode):
        raise BundleError(f"{path} is no plain file: export the bundle again")
    return path.read_bytes()


def _json(content: bytes, path: Path) -> dict[str, Any]:
    try:
        values = json.loads(content)
        _bytes(values)  # halves of characters, which JSON can write and nothing else can
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
