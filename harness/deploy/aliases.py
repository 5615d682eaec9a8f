"""Names that saved pipelines used for our types before these were moved or renamed.

A bundle names the types of its objects by module and class, and their attributes by name. Bundles written before a move
are rewritten to today's names when they are read; what they may hold is decided afterwards, by the same list of types.
"""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

#: Type as an earlier version wrote it → type today. The left side is never changed; the right side follows every move.
TYPES: dict[str, str] = {
    "harness.data.prepare.Layout": "harness.preprocessing.tabular.Layout",
    "harness.data.prepare.Preparer": "harness.preprocessing.tabular.Preparer",
    "harness.declare.calibration.Curve": "harness.metrics.calibration.Curve",
    "harness.declare.calibration.EachClass": "harness.metrics.calibration.EachClass",
    "harness.declare.calibration.Prior": "harness.metrics.calibration.Prior",
    "harness.declare.calibration.Steps": "harness.metrics.calibration.Steps",
    "harness.declare.calibration.Temperature": "harness.metrics.calibration.Temperature",
    "harness.deploy.model.Model": "harness.deploy.model.Model",
    "harness.deploy.networks.Frozen": "harness.deploy.keras_runtime.Frozen",
    "harness.deploy.networks.Network": "harness.deploy.keras_runtime.Network",
    "harness.deploy.packing.Boosted": "harness.deploy.pack.Boosted",
    "harness.deploy.packing.Leaves": "harness.deploy.pack.Leaves",
    "harness.deploy.packing.Mean": "harness.deploy.pack.Mean",
    "harness.deploy.packing.OneThread": "harness.deploy.pack.OneThread",
    "harness.deploy.packing.Strings": "harness.deploy.pack.Strings",
    "harness.deploy.packing.Terms": "harness.deploy.pack.Terms",
    "harness.networks.classifier.Entering": "harness.networks.dense_classifier.Entering",
    "harness.networks.convolutional.Pictures": "harness.networks.convolutional.Pictures",
    "harness.networks.last_blocks.Activations": "harness.networks.last_blocks.Activations",
    "harness.networks.loss.Loss": "harness.networks.losses.Loss",
    "harness.networks.recurrent_classifier.Sequences": "harness.networks.recurrent_classifier.Sequences",
    "harness.search.directions.Directions": "harness.preprocessing.svd.Directions",
    "harness.search.encode.MixedEncoder": "harness.preprocessing.tabular_encoders.MixedEncoder",
    "harness.search.encode.NativeEncoder": "harness.preprocessing.tabular_encoders.NativeEncoder",
    "harness.search.encode.Numbers": "harness.preprocessing.tabular_encoders.Numbers",
    "harness.search.encode.OneHotEncoder": "harness.preprocessing.tabular_encoders.OneHotEncoder",
    "harness.search.encode.OrdinalEncoder": "harness.preprocessing.tabular_encoders.OrdinalEncoder",
    "harness.search.encode.Pieces": "harness.preprocessing.tabular_encoders.Pieces",
    "harness.search.encode.Ramp": "harness.preprocessing.tabular_encoders.Ramp",
    "harness.search.encode.Squash": "harness.preprocessing.tabular_encoders.Squash",
    "harness.search.pictures.PixelEncoder": "harness.preprocessing.image.PixelEncoder",
    "harness.search.pipeline.Fitted": "harness.search.pipeline.FittedPipeline",
    "harness.search.principal.PrincipalEncoder": "harness.preprocessing.image.PrincipalEncoder",
    "harness.search.texts.LsaEncoder": "harness.preprocessing.text.LsaEncoder",
    "harness.search.texts.TextsAsTheyAre": "harness.preprocessing.text.TextsAsTheyAre",
    "harness.search.texts.TfidfEncoder": "harness.preprocessing.text.TfidfEncoder",
    "harness.search.tokens.TokenEncoder": "harness.preprocessing.text.TokenEncoder",
}
#: Type today → {attribute as an earlier version wrote it: attribute today}.
ATTRIBUTES: dict[str, dict[str, str]] = {}


def current_schema(schema: dict[str, Any]) -> dict[str, Any]:
    """Replace the earlier names in the description of a skops file by today's.

    Parameters
    ----------
    schema : dict
        Content of the member ``schema.json``; not changed.

    Returns
    -------
    dict
        The same description; `schema` itself where it holds no earlier name.
    """
    renamed: dict[str, Any] = _renamed(schema)
    return renamed


def with_schema(content: bytes, schema: dict[str, Any], member: str) -> bytes:
    """Copy a skops file with another description of its objects."""
    target = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as source, zipfile.ZipFile(target, "w") as copy:
        for info in source.infolist():
            if info.filename != member:
                copy.writestr(info, source.read(info.filename))
        copy.writestr(member, json.dumps(schema))
    return target.getvalue()


def _renamed(node: Any) -> Any:
    """Copy a node of the description with today's names, with all nodes below it."""
    if isinstance(node, list):
        return list(map(_renamed, node))
    if not isinstance(node, dict):
        return node
    copy = {key: _renamed(child) for key, child in node.items()}
    name = f"{copy.get('__module__')}.{copy.get('__class__')}"
    if name in TYPES:
        name = TYPES[name]
        copy["__module__"], _, copy["__class__"] = name.rpartition(".")
    if name in ATTRIBUTES:
        copy["content"] = _with_attributes(copy["content"], ATTRIBUTES[name])
    return copy


def _with_attributes(state: Any, names: dict[str, str]) -> Any:
    """Rename the attributes in the state of an object, which is the description of a dict."""
    attributes = state.get("content") if isinstance(state, dict) else None
    if not isinstance(attributes, dict):
        return state
    return {**state, "content": {names.get(key, key): child for key, child in attributes.items()}}
