"""Bundles that were exported before modules moved and classes were renamed are still read, and predict what they did.

The fixtures were made by commit 7327cbb: see tests/fixtures/bundles_7327cbb/README.md.
"""

import base64
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.deploy.bundle import read_bundle
from harness.deploy.predict import read_rows

FOLDER = Path(__file__).parent / "fixtures" / "bundles_7327cbb"
BUNDLES = sorted(path.stem for path in FOLDER.glob("*.zip"))
#: Packages without which a bundle cannot predict: name of the bundle → module.
PACKAGES = {"xgb": "xgboost", "text_xgb": "xgboost", "lightgbm": "lightgbm", "catboost": "catboost"}


def members(name: str) -> list[str]:
    with zipfile.ZipFile(FOLDER / f"{name}.zip") as archive:
        return archive.namelist()


def object_types(description: Any) -> Iterator[str]:
    """Every class of ours in the description that a skops file holds of its objects."""
    if isinstance(description, dict):
        if description.get("__loader__") == "ObjectNode" and description["__module__"].startswith("harness."):
            yield f"{description['__module__']}.{description['__class__']}"
        for part in description.values():
            yield from object_types(part)
    elif isinstance(description, list):
        for part in description:
            yield from object_types(part)


def types_in(name: str) -> set[str]:
    with (
        zipfile.ZipFile(FOLDER / f"{name}.zip") as archive,
        archive.open("pipeline.skops") as file,
        zipfile.ZipFile(file) as pipeline,
    ):
        return set(object_types(json.loads(pipeline.read("schema.json"))))


def columns_of(rows: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """Columns as they are read: the pictures of a fixture are PNG files in base64."""
    if "picture" in rows:
        return {"picture": [base64.b64decode(content) for content in rows["picture"]]}
    return rows


@pytest.mark.parametrize("name", BUNDLES)
def test_an_old_bundle_predicts_what_it_predicted(name: str, tmp_path: Path) -> None:
    is_network = any(member.endswith(".keras") for member in members(name))
    if is_network:
        pytest.importorskip("tensorflow")
    if name in PACKAGES:
        pytest.importorskip(PACKAGES[name])
    with zipfile.ZipFile(FOLDER / f"{name}.zip") as archive:
        archive.extractall(tmp_path)
    bundle = read_bundle(tmp_path)
    recorded = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    features = read_rows(bundle.schema, columns_of(recorded["rows"])).X
    # Networks multiply in single precision, whose last digit differs between processors.
    tolerance = 1e-6 if is_network else 1e-9
    expected = np.array(recorded["probabilities"])
    assert expected.shape == (5, len(bundle.schema.classes))
    np.testing.assert_allclose(bundle.predict_proba(features), expected, rtol=0, atol=tolerance)


def test_the_bundles_hold_every_type_of_ours_that_a_bundle_could_hold_then() -> None:
    covered: set[str] = set()
    for name in BUNDLES:
        covered |= types_in(name)
    assert sorted(covered) == json.loads((FOLDER / "types.json").read_text(encoding="utf-8"))
