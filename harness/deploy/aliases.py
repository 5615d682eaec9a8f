"""Names that saved pipelines used for our types before these were moved or renamed.

A bundle names the types of its objects by module and class, and their attributes by name. Bundles written before a move
are rewritten to today's names when they are read. Which types are allowed is checked afterwards, by the same list for all.
"""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

#: Type as an earlier version wrote it → type today. The left side never changes; the right side follows every move, and
#: lists the types of ours that a bundle may hold.
TYPES: dict[str, str] = {
    "harness.data.prepare.Layout": "harness.preprocessing.tabular.ColumnLayout",
    "harness.data.prepare.Preparer": "harness.preprocessing.tabular.TabularPreprocessor",
    "harness.declare.calibration.Curve": "harness.metrics.calibration.SigmoidFunction",
    "harness.declare.calibration.EachClass": "harness.metrics.calibration.OneVsRestCalibrator",
    "harness.declare.calibration.Prior": "harness.metrics.calibration.PriorCorrection",
    "harness.declare.calibration.Steps": "harness.metrics.calibration.IsotonicFunction",
    "harness.declare.calibration.Temperature": "harness.metrics.calibration.TemperatureScaling",
    "harness.deploy.model.Model": "harness.deploy.model.Model",
    "harness.deploy.networks.Frozen": "harness.deploy.keras_runtime.SavedImageNetwork",
    "harness.deploy.networks.Network": "harness.deploy.keras_runtime.SavedNetwork",
    "harness.deploy.packing.Boosted": "harness.deploy.pack.XGBoostTrees",
    "harness.deploy.packing.Leaves": "harness.deploy.pack.LightGBMTrees",
    "harness.deploy.packing.Mean": "harness.deploy.pack.MeanClassifier",
    "harness.deploy.packing.OneThread": "harness.deploy.pack.SingleThreadCatBoost",
    "harness.deploy.packing.Strings": "harness.deploy.pack.PackedStrings",
    "harness.deploy.packing.Terms": "harness.deploy.pack.PackedTerms",
    "harness.networks.classifier.Entering": "harness.networks.rows.MatrixInput",
    "harness.networks.convolutional.Pictures": "harness.networks.convolutional.ImageInput",
    "harness.networks.last_blocks.Activations": "harness.networks.last_blocks.ActivationInput",
    "harness.networks.loss.Loss": "harness.networks.losses.Loss",
    "harness.networks.recurrent_classifier.Sequences": "harness.networks.recurrent_classifier.TokenInput",
    "harness.search.directions.Directions": "harness.preprocessing.svd.TruncatedSvd",
    "harness.search.encode.MixedEncoder": "harness.preprocessing.tabular_encoders.MixedEncoder",
    "harness.search.encode.NativeEncoder": "harness.preprocessing.tabular_encoders.NativeEncoder",
    "harness.search.encode.Numbers": "harness.preprocessing.tabular_encoders.NumericEncoder",
    "harness.search.encode.OneHotEncoder": "harness.preprocessing.tabular_encoders.OneHotEncoder",
    "harness.search.encode.OrdinalEncoder": "harness.preprocessing.tabular_encoders.OrdinalEncoder",
    "harness.search.encode.Pieces": "harness.preprocessing.scalers.PiecewiseLinear",
    "harness.search.encode.Ramp": "harness.preprocessing.scalers.QuantileMap",
    "harness.search.encode.Squash": "harness.preprocessing.scalers.RobustScale",
    "harness.search.pictures.PixelEncoder": "harness.preprocessing.image.PixelEncoder",
    "harness.search.pipeline.Fitted": "harness.search.pipeline.FittedPipeline",
    "harness.search.principal.PrincipalEncoder": "harness.preprocessing.image.PretrainedSvdEncoder",
    "harness.search.texts.LsaEncoder": "harness.preprocessing.text.LsaEncoder",
    "harness.search.texts.TextsAsTheyAre": "harness.preprocessing.text.RawTextEncoder",
    "harness.search.texts.TfidfEncoder": "harness.preprocessing.text.TfidfEncoder",
    "harness.search.tokens.TokenEncoder": "harness.preprocessing.text.TokenEncoder",
}
#: Type today → {attribute as an earlier version wrote it: attribute today}.
ATTRIBUTES: dict[str, dict[str, str]] = {
    "harness.metrics.calibration.IsotonicFunction": {"at": "x", "comes": "y"},
    "harness.metrics.calibration.PriorCorrection": {"before": "true_counts", "after": "training_counts"},
    "harness.deploy.keras_runtime.SavedImageNetwork": {"half": "half_precision"},
    "harness.deploy.model.Model": {"fitted": "pipeline"},
    "harness.deploy.pack.PackedStrings": {"written": "json_text"},
    "harness.deploy.pack.PackedTerms": {"rarity": "idf"},
    "harness.networks.rows.MatrixInput": {"coded": "index_encoded"},
    "harness.networks.convolutional.ImageInput": {"form": "shape"},
    "harness.networks.last_blocks.ActivationInput": {"form": "shape"},
    "harness.preprocessing.image.PretrainedSvdEncoder": {"frozen": "pretrained", "directions": "svd"},
    "harness.preprocessing.svd.TruncatedSvd": {"axes": "components", "spread": "scale"},
    "harness.preprocessing.tabular.TabularPreprocessor": {"fallbacks": "unknown_levels", "missing": "missing_levels"},
    "harness.preprocessing.tabular_encoders.NumericEncoder": {"kept": "columns", "maps": "scalers"},
    "harness.preprocessing.scalers.PiecewiseLinear": {"squash": "robust"},
    "harness.preprocessing.scalers.QuantileMap": {"values": "quantiles"},
    "harness.preprocessing.scalers.RobustScale": {"middle": "median", "spread": "scale"},
    "harness.preprocessing.text.LsaEncoder": {"directions": "svd"},
    "harness.preprocessing.text.TfidfEncoder": {"parts": "vectorizers"},
}


def update_description(description: dict[str, Any]) -> dict[str, Any]:
    """Replace the earlier names in the description of a skops file by today's.

    Parameters
    ----------
    description : dict
        Content of the member ``schema.json``; not changed.

    Returns
    -------
    dict
        The same description with today's names; equal to `description` where it holds no earlier name.
    """
    updated: dict[str, Any] = _updated_node(description)
    return updated


def replace_description(content: bytes, description: dict[str, Any], member: str) -> bytes:
    """Copy a skops file with another description of its objects.

    Parameters
    ----------
    content : bytes
        A skops file.
    description : dict
        The new description.
    member : str
        Name of the zip member that holds the description.

    Returns
    -------
    bytes
        A skops file whose other members are unchanged.
    """
    target = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as source, zipfile.ZipFile(target, "w") as copy:
        for member_info in source.infolist():
            if member_info.filename != member:
                copy.writestr(member_info, source.read(member_info.filename))
        copy.writestr(member, json.dumps(description))
    return target.getvalue()


def _updated_node(node: Any) -> Any:
    """Copy a node of the description, with all nodes below it, under today's names."""
    if isinstance(node, list):
        return list(map(_updated_node, node))
    if not isinstance(node, dict):
        return node
    copy = dict(zip(node, map(_updated_node, node.values()), strict=True))
    name = f"{copy.get('__module__')}.{copy.get('__class__')}"
    if name in TYPES:
        name = TYPES[name]
        copy["__module__"], _, copy["__class__"] = name.rpartition(".")
    if name in ATTRIBUTES:
        copy["content"] = _rename_attributes(copy["content"], ATTRIBUTES[name])
    return copy


def _rename_attributes(state: Any, names: dict[str, str]) -> Any:
    """Rename the attributes in the state of an object, which is the description of a dict."""
    if not isinstance(state, dict) or not isinstance(state.get("content"), dict):
        return state
    attributes = {names.get(name, name): node for name, node in state["content"].items()}
    return {**state, "content": attributes}
