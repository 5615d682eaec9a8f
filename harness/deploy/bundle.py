"""A bundle: the folder in which a fitted model is exported, and the only way to read one.

    bundle.json     the manifest: what this is, how it decides, how it was measured, the SHA-256 of every other file
    schema.json     the rows that it takes
    pipeline.skops  network.keras  features.keras      the model
    held_out.npz    keys of the training rows, and the probabilities that each got as a sealed test row
    drivers.json    permutation importances, measured on held-out rows
    MODEL_CARD.md

A file is loaded only if the manifest names it with the SHA-256 that it has.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.deploy.bundle_files import (
    MANIFEST,
    check_bundle_target_folder,
    hash_file_contents,
    replace_folder_on_success,
)
from harness.deploy.model import Model, load_model, save_model
from harness.deploy.schema import Kind, Schema, are_unique_strings
from harness.deploy.serialize import summarize_error
from harness.errors import BundleError
from harness.metrics.calibration import Calibrator
from harness.metrics.metric import ABOVE_ALL, CostMatrix
from harness.metrics.threshold import least_cost_labels
from harness.registry.task import Features
from harness.search.pipeline import FittedPipeline

MANIFEST_VERSION = 1
SCHEMA_FILE, HELD_OUT_FILE, DRIVERS_FILE, CARD_FILE = "schema.json", "held_out.npz", "drivers.json", "MODEL_CARD.md"
#: The fields that every manifest has, and their types.
REQUIRED_FIELDS: dict[str, type | tuple[type, ...]] = {
    "task": str,
    "entry": str,
    "classes": list,
    "threshold": (float, int, type(None)),
    "calibration": str,
    "versions": dict,
    "content_sha256": str,
    "files": dict,
}
#: The field of the costs by which one of several classes is chosen; only in bundles that do so.
DECISION_COSTS = "decision_costs"
MAX_MANIFEST_BYTES = 20_000_000
#: The kinds of column that the preparation of tables takes as numbers, and those that it takes as categories.
PREPARED_KINDS: tuple[set[Kind], ...] = ({"number", "date"}, {"category"})


@dataclass(frozen=True)
class HeldOutProba:
    """Training rows by key (n,), and the probabilities (n, k) that each got as a sealed test row; NaN if it never was one."""

    keys: npt.NDArray[np.uint64]
    proba: npt.NDArray[np.float32]


@dataclass(frozen=True)
class BundleContents:
    """All that a bundle is written from.

    Attributes
    ----------
    manifest : mapping
        The manifest without the fields that are computed on writing.
    schema : Schema
        The rows that it takes.
    pipeline : FittedPipeline
        The model.
    calibrator : callable or None
        Recalibrates the probabilities.
    card : str
        The model card in Markdown.
    held_out : HeldOutProba or None
        Probabilities of the training rows as sealed test rows.
    drivers : mapping or None
        Permutation importances.
    """

    manifest: Mapping[str, Any]
    schema: Schema
    pipeline: FittedPipeline
    calibrator: Calibrator | None
    card: str
    held_out: HeldOutProba | None = None
    drivers: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Bundle:
    """A bundle that was read and checked: its manifest, the rows that it takes, the model."""

    folder: Path
    manifest: Mapping[str, Any]
    schema: Schema
    model: Model

    @property
    def id(self) -> str:
        """First 12 digits of the SHA-256 of the content: equal for bundles that predict the same."""
        return str(self.manifest["content_sha256"])[:12]

    @property
    def threshold(self) -> float | None:
        """Probability of the second of two classes from which it is predicted; None with several classes."""
        threshold = self.manifest["threshold"]
        return None if threshold is None else float(threshold)

    @property
    def decision_costs(self) -> CostMatrix:
        """The costs, truth × decision, by which one of several classes is chosen; None where the most probable one is."""
        costs = self.manifest.get(DECISION_COSTS)
        return None if costs is None else tuple(map(tuple, costs))

    def predict_proba(self, X: Features) -> npt.NDArray[np.float64]:
        """Predict calibrated probabilities (n, k)."""
        return self.model.predict_proba(X)

    def choose_classes(self, proba: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
        """Choose the class (n,) for rows of probabilities (n, k), as positions in `schema.classes`."""
        if self.decision_costs is not None:
            return least_cost_labels(proba, self.decision_costs)
        if self.threshold is None:
            return np.asarray(proba.argmax(axis=1), dtype=np.int64)
        return (proba[:, 1] >= self.threshold).astype(np.int64)

    def read_held_out_proba(self) -> HeldOutProba | None:
        """Read the probabilities that training rows got as sealed test rows; None where the bundle has none."""
        if HELD_OUT_FILE not in self.manifest["files"]:
            return None
        file_bytes = _read_file_with_checksum(self.folder, self.manifest, HELD_OUT_FILE)
        try:
            with np.load(io.BytesIO(file_bytes), allow_pickle=False) as arrays:
                return HeldOutProba(arrays["keys"], arrays["proba"])
        except (ValueError, KeyError, OSError, zipfile.BadZipFile) as error:
            message = f"{self.folder / HELD_OUT_FILE} cannot be read ({error}): export the bundle again"
            raise BundleError(message) from error

    def read_permutation_importances(self) -> dict[str, Any] | None:
        """Read the permutation importances that were measured at export; None where the bundle has none."""
        if DRIVERS_FILE not in self.manifest["files"]:
            return None
        return _parse_bundle_json(
            _read_file_with_checksum(self.folder, self.manifest, DRIVERS_FILE), self.folder / DRIVERS_FILE
        )


def write_bundle(folder: Path, contents: BundleContents) -> Bundle:
    """Write a bundle; at any time the folder holds either its old content or all of the new one.

    Parameters
    ----------
    folder : Path
        A new or empty folder, or a bundle, which is replaced.
    contents : BundleContents
        What to write.

    Returns
    -------
    Bundle
        The bundle as it is read again.

    Raises
    ------
    BundleError
        If the folder holds anything else, or cannot be written.
    """
    check_bundle_target_folder(folder)
    try:
        with replace_folder_on_success(folder) as new_folder:
            _write_bundle_files(new_folder, contents)
    except OSError as error:
        raise BundleError(f"cannot write {folder}: {error.strerror or error}: what was there before is kept") from error
    return read_bundle(folder)


def _write_bundle_files(folder: Path, bundle_contents: BundleContents) -> None:
    names = save_model(bundle_contents.pipeline, bundle_contents.calibrator, folder)
    (folder / SCHEMA_FILE).write_bytes(_json_bytes(bundle_contents.schema.as_dict()))
    manifest = dict(bundle_contents.manifest)
    decision_fields = {name: manifest[name] for name in ("classes", "threshold", "calibration")}
    if DECISION_COSTS in manifest:
        decision_fields[DECISION_COSTS] = manifest[DECISION_COSTS]
    manifest["content_sha256"] = _sha256(
        _json_bytes([hash_file_contents(folder, [*names, SCHEMA_FILE]), decision_fields])
    )
    (folder / CARD_FILE).write_text(bundle_contents.card, encoding="utf-8")
    names += [SCHEMA_FILE, CARD_FILE]
    if bundle_contents.held_out is not None:
        with (folder / HELD_OUT_FILE).open("wb") as file:
            np.savez_compressed(file, keys=bundle_contents.held_out.keys, proba=bundle_contents.held_out.proba)
        names.append(HELD_OUT_FILE)
    if bundle_contents.drivers is not None:
        (folder / DRIVERS_FILE).write_bytes(_json_bytes(dict(bundle_contents.drivers)))
        names.append(DRIVERS_FILE)
    manifest["files"] = {name: _sha256((folder / name).read_bytes()) for name in sorted(names)}
    manifest["schema"] = MANIFEST_VERSION
    manifest["manifest_sha256"] = _manifest_digest(manifest)
    (folder / MANIFEST).write_bytes(_json_bytes(manifest))


def read_bundle(folder: Path) -> Bundle:
    """Read a bundle, each file checked against the manifest.

    Parameters
    ----------
    folder : Path
        The folder.

    Returns
    -------
    Bundle
        The bundle, ready to predict.

    Raises
    ------
    BundleError
        If anything is wrong with it; the message has one line.
    """
    manifest = read_manifest(folder)
    schema_json = _parse_bundle_json(_read_file_with_checksum(folder, manifest, SCHEMA_FILE), folder / SCHEMA_FILE)
    try:
        schema = Schema.from_dict(schema_json)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        message = f"{folder / SCHEMA_FILE} does not describe rows ({summarize_error(error)}): export the bundle again"
        raise BundleError(message) from error
    model = load_model(lambda name: _read_file_with_checksum(folder, manifest, name))
    if list(schema.classes) != manifest["classes"] or model.pipeline.classes != len(schema.classes):
        raise BundleError(f"{folder}: the manifest, the schema and the model do not agree on the classes")
    schema_columns = [
        {feature.name for feature in schema.features if feature.kind in prepared_kinds}
        for prepared_kinds in PREPARED_KINDS
    ]
    columns_agree = False
    with suppress(AttributeError, TypeError, ValueError):
        columns_agree = _columns_of_model(model) == schema_columns
    if not columns_agree:
        raise BundleError(f"{folder}: the schema and the model do not agree on the columns: export the bundle again")
    return Bundle(folder, manifest, schema, model)


def _columns_of_model(model: Model) -> list[set[str]]:
    """The columns of tables that a model takes: numbers, then categories."""
    feature_preparer = model.pipeline.preparer
    return [set(), set()] if feature_preparer is None else list(feature_preparer.table_columns)


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read and check the manifest of a bundle, and none of its other files.

    Raises
    ------
    BundleError
        If there is none, if it was changed after it was written, or if a newer version wrote it.
    """
    path = folder / MANIFEST
    try:
        if path.stat().st_size > MAX_MANIFEST_BYTES:
            raise BundleError(f"{path} is larger than any manifest: this is no bundle")
        manifest = _parse_bundle_json(_read_regular_file(path), path)
    except OSError as error:
        message = f"{folder} is no bundle ({MANIFEST}: {error.strerror or error}): evenhand export makes one"
        raise BundleError(message) from error
    schema_version = manifest.get("schema")
    if schema_version != MANIFEST_VERSION:
        error_advice = "this is no manifest of a bundle"
        if isinstance(schema_version, int) and schema_version > MANIFEST_VERSION:
            error_advice = f"this evenhand reads schema {MANIFEST_VERSION}: install a newer one"
        raise BundleError(f"{path} has schema {schema_version!r}; {error_advice}")
    _check_manifest(manifest, path)
    return manifest


def _check_manifest(manifest: Mapping[str, Any], path: Path) -> None:
    """Raise `BundleError` where a manifest is not as it was written, or has a field that `write_bundle` never writes."""
    for name, field_type in REQUIRED_FIELDS.items():
        if not isinstance(manifest.get(name, ...), field_type):
            raise BundleError(f"{path} has no sound {name!r}: export the bundle again")
    if manifest.get("manifest_sha256") != _manifest_digest(manifest):
        raise BundleError(f"{path} was changed after it was written: export the bundle again")
    for name, is_valid in (
        ("classes", _are_valid_classes),
        ("threshold", _is_valid_threshold),
        (DECISION_COSTS, _are_valid_costs),
    ):
        if not is_valid(manifest):
            raise BundleError(f"{path} has no sound {name!r} ({str(manifest[name])[:60]!r}): export the bundle again")
    for name in manifest["files"]:
        if Path(name).name != name or name in ("", ".", "..") or "\\" in name:
            raise BundleError(f"{path} names {name!r}, which is no file in the bundle's folder: it is not loaded")


def _are_valid_classes(manifest: Mapping[str, Any]) -> bool:
    return len(manifest["classes"]) > 1 and are_unique_strings(manifest["classes"])


def _is_valid_threshold(manifest: Mapping[str, Any]) -> bool:
    """Tell whether the threshold is None, or with two classes a probability or just above all of them."""
    threshold = manifest["threshold"]
    if threshold is None:
        return True
    return type(threshold) is not bool and 0 <= threshold <= ABOVE_ALL and len(manifest["classes"]) == 2


def _are_valid_costs(manifest: Mapping[str, Any]) -> bool:
    """Tell whether there is a cost for every true and every predicted class, or none at all."""
    if DECISION_COSTS not in manifest:
        return True
    classes = len(manifest["classes"])
    try:
        costs = np.asarray(manifest[DECISION_COSTS], dtype=float)
    except (TypeError, ValueError):
        return False
    return costs.shape == (classes, classes) and bool(np.isfinite(costs).all())


def _read_file_with_checksum(folder: Path, manifest: Mapping[str, Any], name: str) -> bytes:
    """Read a file that the manifest names, and check its SHA-256."""
    path, expected_digest = folder / name, manifest["files"].get(name)
    if expected_digest is None:
        raise BundleError(f"{folder / MANIFEST} names no file {name!r}: it is not loaded")
    try:
        if path.is_symlink():
            raise BundleError(f"{path} points elsewhere: only files of the bundle itself are loaded")
        file_bytes = _read_regular_file(path)
    except OSError as error:
        raise BundleError(f"cannot read {path}: {error.strerror or error}: export the bundle again") from error
    digest = _sha256(file_bytes)
    if digest != expected_digest:
        message = f"{path} is not what was exported (SHA-256 {digest[:12]}… instead of {str(expected_digest)[:12]}…): it is not loaded"
        raise BundleError(message)
    return file_bytes


def _read_regular_file(path: Path) -> bytes:
    """Read a regular file; reading a pipe could wait for ever."""
    if not S_ISREG(path.stat().st_mode):
        raise BundleError(f"{path} is no plain file: export the bundle again")
    return path.read_bytes()


def _parse_bundle_json(json_bytes: bytes, path: Path) -> dict[str, Any]:
    try:
        document = json.loads(json_bytes)
        _json_bytes(document)  # raises for lone surrogates, which JSON can contain and files cannot
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{path} is no JSON that can be read: export the bundle again") from error
    if not isinstance(document, dict):
        raise BundleError(f"{path} holds no object: export the bundle again")
    return document


def _json_bytes(document: Any) -> bytes:
    return (json.dumps(document, indent=1, ensure_ascii=False, sort_keys=True) + "\n").encode()


def _manifest_digest(manifest: Mapping[str, Any]) -> str:
    """The SHA-256 of a manifest without the field that holds it."""
    return _sha256(
        _json_bytes({name: manifest_field for name, manifest_field in manifest.items() if name != "manifest_sha256"})
    )


def _sha256(hashed_bytes: bytes) -> str:
    return hashlib.sha256(hashed_bytes).hexdigest()
