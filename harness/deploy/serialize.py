"""Fitted objects in a skops file and back: data, never pickled code, and only of the types listed here.

A bundle names the types of its objects by module and class, and their attributes by name. Bundles written before a type
was moved or renamed are rewritten to today's names when they are read. Which types are allowed is checked afterwards, by
the same list for all.
"""

from __future__ import annotations

import importlib
import io
import json
import zipfile
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

from harness.errors import BundleError, EvenhandError, Unavailable

#: Type as an earlier version wrote it → type today. The left side never changes; the right side follows every move, and
#: lists the types of ours that a bundle may hold.
TYPE_ALIASES: dict[str, str] = {
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
    "harness.networks.last_blocks.Activations": "harness.networks.fine_tuning.ActivationInput",
    "harness.networks.last_blocks.ActivationInput": "harness.networks.fine_tuning.ActivationInput",
    "harness.networks.loss.Loss": "harness.networks.losses.Loss",
    "harness.networks.recurrent_classifier.Sequences": "harness.networks.recurrent_classifier.TokenInput",
    "harness.preprocessing.scalers.PiecewiseLinear": "harness.preprocessing.transforms.PiecewiseLinear",
    "harness.preprocessing.scalers.QuantileMap": "harness.preprocessing.transforms.QuantileMap",
    "harness.preprocessing.scalers.RobustScale": "harness.preprocessing.transforms.RobustScale",
    "harness.preprocessing.svd.TruncatedSvd": "harness.preprocessing.transforms.TruncatedSvd",
    "harness.search.directions.Directions": "harness.preprocessing.transforms.TruncatedSvd",
    "harness.search.encode.MixedEncoder": "harness.preprocessing.tabular_encoders.MixedEncoder",
    "harness.search.encode.NativeEncoder": "harness.preprocessing.tabular_encoders.NativeEncoder",
    "harness.search.encode.Numbers": "harness.preprocessing.tabular_encoders.NumericEncoder",
    "harness.search.encode.OneHotEncoder": "harness.preprocessing.tabular_encoders.OneHotEncoder",
    "harness.search.encode.OrdinalEncoder": "harness.preprocessing.tabular_encoders.OrdinalEncoder",
    "harness.search.encode.Pieces": "harness.preprocessing.transforms.PiecewiseLinear",
    "harness.search.encode.Ramp": "harness.preprocessing.transforms.QuantileMap",
    "harness.search.encode.Squash": "harness.preprocessing.transforms.RobustScale",
    "harness.search.pictures.PixelEncoder": "harness.preprocessing.image.PixelEncoder",
    "harness.search.pipeline.Fitted": "harness.search.pipeline.FittedPipeline",
    "harness.search.principal.PrincipalEncoder": "harness.preprocessing.image.PretrainedSvdEncoder",
    "harness.search.texts.LsaEncoder": "harness.preprocessing.text.LsaEncoder",
    "harness.search.texts.TextsAsTheyAre": "harness.preprocessing.text.RawTextEncoder",
    "harness.search.texts.TfidfEncoder": "harness.preprocessing.text.TfidfEncoder",
    "harness.search.tokens.TokenEncoder": "harness.preprocessing.text.TokenEncoder",
}
#: Type today → {attribute as an earlier version wrote it: attribute today}.
ATTRIBUTE_ALIASES: dict[str, dict[str, str]] = {
    "harness.metrics.calibration.IsotonicFunction": {"at": "x", "comes": "y"},
    "harness.metrics.calibration.PriorCorrection": {"before": "true_counts", "after": "training_counts"},
    "harness.deploy.keras_runtime.SavedImageNetwork": {"half": "half_precision"},
    "harness.deploy.model.Model": {"fitted": "pipeline"},
    "harness.deploy.pack.PackedStrings": {"written": "json_text"},
    "harness.deploy.pack.PackedTerms": {"rarity": "idf"},
    "harness.networks.rows.MatrixInput": {"coded": "index_encoded"},
    "harness.networks.convolutional.ImageInput": {"form": "shape"},
    "harness.networks.fine_tuning.ActivationInput": {"form": "shape"},
    "harness.preprocessing.image.PretrainedSvdEncoder": {"frozen": "pretrained", "directions": "svd"},
    "harness.preprocessing.transforms.TruncatedSvd": {"axes": "components", "spread": "scale"},
    "harness.preprocessing.tabular.TabularPreprocessor": {"fallbacks": "unknown_levels", "missing": "missing_levels"},
    "harness.preprocessing.tabular_encoders.NumericEncoder": {"kept": "columns", "maps": "scalers"},
    "harness.preprocessing.transforms.PiecewiseLinear": {"squash": "robust"},
    "harness.preprocessing.transforms.QuantileMap": {"values": "quantiles"},
    "harness.preprocessing.transforms.RobustScale": {"middle": "median", "spread": "scale"},
    "harness.preprocessing.text.LsaEncoder": {"directions": "svd"},
    "harness.preprocessing.text.TfidfEncoder": {"parts": "vectorizers"},
}
NUMBER_TYPES = frozenset({"numpy.float32", "numpy.float64", "numpy.int32", "numpy.int64"})
#: Loader of skops → the types (module and name) that it may create.
ALLOWED_TYPES: dict[str, frozenset[str]] = {
    "JsonNode": frozenset({"builtins.str"}),
    "DictNode": frozenset({"builtins.dict", "collections.OrderedDict"}),
    "DefaultDictNode": frozenset({"collections.defaultdict"}),
    "ListNode": frozenset({"builtins.list"}),
    "TupleNode": frozenset({"builtins.tuple"}),
    "SliceNode": frozenset({"builtins.slice"}),
    "BytesNode": frozenset({"builtins.bytes"}),
    "DTypeNode": frozenset({"numpy.dtype"}),
    "TypeNode": frozenset(
        {"builtins.bool", "builtins.float", "builtins.int", "builtins.str", "collections.OrderedDict"}
    )
    | NUMBER_TYPES,
    "NdArrayNode": frozenset({"numpy.bool", "numpy.ndarray", "numpy.uint64"}) | NUMBER_TYPES,
    "SparseMatrixNode": frozenset({"scipy.sparse._csr.csr_matrix"}),  # texts that nearest neighbours are searched among
    "TreeNode": frozenset({"sklearn.tree._tree.Tree"}),
    "LossNode": frozenset({"sklearn._loss._loss.CyHalfBinomialLoss", "sklearn._loss._loss.CyHalfMultinomialLoss"}),
    # HistGradientBoosting prepares columns with partial(check_array, ...), which looks at rows and changes nothing.
    "PartialNode": frozenset({"functools.partial"}),
    "FunctionNode": frozenset({"sklearn.utils.validation.check_array"}),
    "ObjectNode": frozenset(
        {
            *TYPE_ALIASES.values(),  # ours, and below it those that no earlier version wrote
            "harness.deploy.pack.NaiveBayesProduct",
            "harness.preprocessing.tabular_encoders.FrameEncoder",
            "harness.preprocessing.target_encoding.TargetEncoding",
            "harness.registry.user_declarations.EstimatorClassifier",
            "catboost.core.CatBoostClassifier",
            "interpret.glassbox._ebm._ebm.ExplainableBoostingClassifier",
            "lightgbm.sklearn.LGBMClassifier",
            "sklearn._loss.link.Interval",
            "sklearn._loss.link.LogitLink",
            "sklearn._loss.link.MultinomialLogit",
            "sklearn._loss.loss.HalfBinomialLoss",
            "sklearn._loss.loss.HalfMultinomialLoss",
            "sklearn.compose._column_transformer.ColumnTransformer",
            "sklearn.dummy.DummyClassifier",
            "sklearn.ensemble._forest.RandomForestClassifier",
            "sklearn.ensemble._gb.GradientBoostingClassifier",
            "sklearn.ensemble._hist_gradient_boosting.binning._BinMapper",
            "sklearn.ensemble._hist_gradient_boosting.gradient_boosting.HistGradientBoostingClassifier",
            "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
            "sklearn.linear_model._logistic.LogisticRegression",
            "sklearn.preprocessing._encoders.OrdinalEncoder",
            "sklearn.preprocessing._function_transformer.FunctionTransformer",
            "sklearn.preprocessing._label.LabelEncoder",
            "sklearn.tree._classes.DecisionTreeClassifier",
            "sklearn.tree._classes.DecisionTreeRegressor",
        }
    ),
}
TRUSTED_TYPES = tuple(sorted(frozenset[str]().union(*ALLOWED_TYPES.values())))

_LAYERS = """
    Activation AdaptiveAveragePooling2D Add AveragePooling2D BatchNormalization Bidirectional Concatenate Conv2D Dense
    DepthwiseConv2D Dropout Embedding Flatten GRU GlobalAveragePooling1D GlobalAveragePooling2D InputLayer LSTM MaxPooling2D
    ReLU Rescaling SpatialDropout1D
"""
_INITIALIZERS = "GlorotUniform HeUniform Ones Orthogonal RandomUniform Zeros"
#: The classes, with their modules, that the description of a saved network may name.
KERAS_CLASSES = frozenset(
    {
        "None.__keras_tensor__",
        "None.__slice__",
        "keras.DTypePolicy",
        "keras.Sequential",
        "keras.regularizers.L2",
        "keras.src.models.functional.Functional",
        *map("keras.src.ops.numpy.{}".format, ("GetItem", "Less", "NotEqual", "Where")),
        *map("keras.layers.{}".format, _LAYERS.split()),
        *map("keras.initializers.{}".format, _INITIALIZERS.split()),
    }
)

PROTOCOL = 2  #: of skops files, fixed here so that a file cannot choose another one
#: What zips may unpack to: this many bytes in any case, and this multiple of their own size (10 to 20 for our forests).
ALWAYS_ALLOWED_BYTES, MAX_UNPACK_RATIO = 500_000_000, 100
DESCRIPTION_FILE = "schema.json"  #: the member of a skops file that describes its objects


def object_to_skops(content: Any) -> bytes:
    """Serialize an object as a skops file.

    Raises
    ------
    EvenhandError
        If the object contains a type that is not in `ALLOWED_TYPES`.
    """
    skops_bytes: bytes = _import_skops_io().dumps(content, compression=zipfile.ZIP_DEFLATED, compresslevel=6)
    if disallowed_names := disallowed_types(_object_types(read_skops_description(skops_bytes))):
        raise EvenhandError(
            f"this model cannot be saved: {', '.join(disallowed_names[:3])} is not among the types that a bundle may hold: choose "
            "an entry of a family that comes with evenhand"
        )
    return skops_bytes


def object_from_skops(content: bytes, name: str) -> Any:
    """Load the object in a skops file.

    Parameters
    ----------
    content : bytes
        The skops file; names that earlier versions used are understood.
    name : str
        Name of the file in messages.

    Returns
    -------
    object
        What `object_to_skops` was given.

    Raises
    ------
    BundleError
        If this is no skops file, if it is damaged, or if it contains a type that is not in `ALLOWED_TYPES`.
    """
    stored_description = read_skops_description(content, name)
    description = _rename_node_types(stored_description)
    if description != stored_description:
        content = _replace_description(content, description)
    if disallowed_names := disallowed_types(_object_types(description)):
        raise BundleError(
            f"{name} holds {', '.join(disallowed_names[:3])}, which no bundle of evenhand holds: it is not opened, export again"
        )
    try:
        estimator_names = {
            name for loader_name, name in _object_types(description) if _is_sklearn_estimator(loader_name, name)
        }
        return _import_skops_io().loads(content, trusted=sorted(estimator_names.union(TRUSTED_TYPES)))
    except ImportError as error:
        missing_package = str(error.name).split(".")[0]
        raise BundleError(f"{name} needs the package {missing_package}, which is not installed: install it") from error
    except Exception as error:  # five libraries read damaged content here, each with its own errors
        raise BundleError(f"{name} is damaged ({summarize_error(error)}): export the bundle again") from error


def read_skops_description(content: bytes, name: str = "pipeline.skops") -> dict[str, Any]:
    """Read the description of its objects that a skops file contains.

    Raises
    ------
    BundleError
        If there is none that can be read, or if it was written in another protocol.
    """
    try:
        with open_zip(content) as file:
            description = json.loads(file.read(DESCRIPTION_FILE))
    except Exception as error:  # zipfile and json raise a dozen kinds of error on damaged content
        raise BundleError(
            f"{name} is not a skops file or is damaged ({summarize_error(error)}): export the bundle again; "
            "a pickle is never read"
        ) from error
    if not isinstance(description, dict) or description.get("protocol") != PROTOCOL:
        raise BundleError(f"{name} was not written in protocol {PROTOCOL} of skops: export the bundle again")
    return description


def open_zip(content: bytes) -> zipfile.ZipFile:
    """Open a zip file in memory.

    Raises
    ------
    ValueError
        If it unpacks to far more than any model of ours, as a zip bomb does.
    """
    file = zipfile.ZipFile(io.BytesIO(content))
    unpacked_bytes = sum(member.file_size for member in file.infolist())
    if unpacked_bytes > max(ALWAYS_ALLOWED_BYTES, MAX_UNPACK_RATIO * len(content)):
        raise ValueError(f"it unpacks to {unpacked_bytes / 1e9:,.0f} GB")
    return file


def iterate_json_objects(document: Any) -> Iterator[dict[str, Any]]:
    """Yield every object of a JSON document, each one before the objects inside it; nesting may have any depth."""
    pending_nodes = [document]
    while pending_nodes:
        node = pending_nodes.pop()
        if isinstance(node, dict):
            yield node
            pending_nodes.extend(reversed(node.values()))
        elif isinstance(node, list):
            pending_nodes.extend(reversed(node))


def disallowed_types(loaders_and_types: Iterable[tuple[str, str]]) -> list[str]:
    """Return the types of pairs (loader, type) that a bundle may not hold, without duplicates, sorted.

    It may hold what is in `ALLOWED_TYPES`, and the estimators of scikit-learn, which skops trusts too.
    """
    names = set()
    for loader_name, name in loaders_and_types:
        if name not in ALLOWED_TYPES.get(loader_name, ()) and not _is_sklearn_estimator(loader_name, name):
            names.add(name)
    return sorted(names)


@cache
def _is_sklearn_estimator(loader_name: str, name: str) -> bool:
    """Whether a type is an estimator of scikit-learn; only modules of scikit-learn are imported to find out."""
    module_name, _, class_name = name.rpartition(".")
    if loader_name != "ObjectNode" or not module_name.startswith("sklearn.") or "tests" in module_name.split("."):
        return False
    from sklearn.base import BaseEstimator

    try:
        estimator = getattr(importlib.import_module(module_name), class_name, None)
    except (ImportError, ValueError):  # no module, or no name of one
        return False
    return isinstance(estimator, type) and issubclass(estimator, BaseEstimator) and estimator.__module__ == module_name


def _object_types(description: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Loader and type of every object in the description of a skops file."""
    for node in iterate_json_objects(description):
        if "__loader__" in node or "__class__" in node:
            yield str(node.get("__loader__")), f"{node.get('__module__')}.{node.get('__class__')}"


def summarize_error(error: Exception) -> str:
    """Format the error of a library in one line of limited length."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:120]}"


@cache
def _import_skops_io() -> Any:
    """Import `skops.io` without its scan of all of scikit-learn.

    On import it lists every estimator to trust it by default, which imports each module of scikit-learn and costs a second
    at every start. Our own list of types replaces that one.
    """
    import sklearn.utils

    all_estimators, sklearn.utils.all_estimators = sklearn.utils.all_estimators, list
    try:
        import skops.io
    except ModuleNotFoundError as error:
        if error.name != "skops":
            raise
        raise Unavailable("bundles need skops: pip install 'evenhand[deploy]'") from error
    finally:
        sklearn.utils.all_estimators = all_estimators
    return skops.io


def _replace_description(skops_bytes: bytes, description: dict[str, Any]) -> bytes:
    """Copy a skops file with another description of its objects; the other members are unchanged."""
    target = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(skops_bytes)) as source_archive, zipfile.ZipFile(target, "w") as copied_archive:
        for member_info in source_archive.infolist():
            if member_info.filename != DESCRIPTION_FILE:
                copied_archive.writestr(member_info, source_archive.read(member_info.filename))
        copied_archive.writestr(DESCRIPTION_FILE, json.dumps(description))
    return target.getvalue()


def _rename_node_types(node: Any) -> Any:
    """Copy a node of the description, with all nodes below it, under today's names."""
    if isinstance(node, list):
        return list(map(_rename_node_types, node))
    if not isinstance(node, dict):
        return node
    copied_node = dict(zip(node, map(_rename_node_types, node.values()), strict=True))
    name = f"{copied_node.get('__module__')}.{copied_node.get('__class__')}"
    if name in TYPE_ALIASES:
        name = TYPE_ALIASES[name]
        copied_node["__module__"], _, copied_node["__class__"] = name.rpartition(".")
    if name in ATTRIBUTE_ALIASES:
        copied_node["content"] = _rename_attributes(copied_node["content"], ATTRIBUTE_ALIASES[name])
    return copied_node


def _rename_attributes(state_node: Any, names: dict[str, str]) -> Any:
    """Rename the attributes in the state of an object, which is the description of a dict."""
    if not isinstance(state_node, dict) or not isinstance(state_node.get("content"), dict):
        return state_node
    renamed_attributes = {names.get(name, name): node for name, node in state_node["content"].items()}
    return {**state_node, "content": renamed_attributes}
