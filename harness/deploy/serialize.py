"""Fitted objects in a skops file and back: data, never pickled code, and only of the types listed here."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

from harness.deploy.aliases import TYPES, replace_description, update_description
from harness.errors import BundleError, EvenhandError, Unavailable

NUMBER_TYPES = frozenset({"numpy.float32", "numpy.float64", "numpy.int32", "numpy.int64"})
#: Loader of skops → the types (module and name) that it may create.
ALLOWED: dict[str, frozenset[str]] = {
    "JsonNode": frozenset({"builtins.str"}),
    "DictNode": frozenset({"builtins.dict", "collections.OrderedDict"}),
    "DefaultDictNode": frozenset({"collections.defaultdict"}),
    "ListNode": frozenset({"builtins.list"}),
    "TupleNode": frozenset({"builtins.tuple"}),
    "SliceNode": frozenset({"builtins.slice"}),
    "BytesNode": frozenset({"builtins.bytes"}),
    "TypeNode": frozenset(
        {"builtins.bool", "builtins.float", "builtins.int", "builtins.str", "collections.OrderedDict"}
    )
    | NUMBER_TYPES,
    "NdArrayNode": frozenset({"numpy.bool", "numpy.ndarray", "numpy.uint64"}) | NUMBER_TYPES,
    "TreeNode": frozenset({"sklearn.tree._tree.Tree"}),
    "LossNode": frozenset({"sklearn._loss._loss.CyHalfBinomialLoss", "sklearn._loss._loss.CyHalfMultinomialLoss"}),
    # HistGradientBoosting prepares columns with partial(check_array, ...), which looks at rows and changes nothing.
    "PartialNode": frozenset({"functools.partial"}),
    "FunctionNode": frozenset({"sklearn.utils.validation.check_array"}),
    "ObjectNode": frozenset(
        {
            *TYPES.values(),  # ours
            "catboost.core.CatBoostClassifier",
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
TRUSTED_TYPES = tuple(sorted(frozenset[str]().union(*ALLOWED.values())))

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


def write_objects(content: Any) -> bytes:
    """Serialize an object as a skops file.

    Raises
    ------
    EvenhandError
        If the object contains a type that is not in `ALLOWED`.
    """
    serialized: bytes = _skops().dumps(content, compression=zipfile.ZIP_DEFLATED, compresslevel=6)
    if disallowed := disallowed_types(_object_types(read_description(serialized))):
        raise EvenhandError(
            f"this model cannot be saved: {', '.join(disallowed[:3])} is not among the types that a bundle may hold: choose "
            "an entry of a family that comes with evenhand"
        )
    return serialized


def read_objects(content: bytes, name: str) -> Any:
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
        What `write_objects` was given.

    Raises
    ------
    BundleError
        If this is no skops file, if it is damaged, or if it contains a type that is not in `ALLOWED`.
    """
    stored_description = read_description(content, name)
    description = update_description(stored_description)
    if description != stored_description:
        content = replace_description(content, description, DESCRIPTION_FILE)
    if disallowed := disallowed_types(_object_types(description)):
        raise BundleError(
            f"{name} holds {', '.join(disallowed[:3])}, which no bundle of evenhand holds: it is not opened, export again"
        )
    try:
        return _skops().loads(content, trusted=list(TRUSTED_TYPES))
    except ImportError as error:
        package = str(error.name).split(".")[0]
        raise BundleError(f"{name} needs the package {package}, which is not installed: install it") from error
    except Exception as error:  # five libraries read damaged content here, each with its own errors
        raise BundleError(f"{name} is damaged ({error_summary(error)}): export the bundle again") from error


def read_description(content: bytes, name: str = "pipeline.skops") -> dict[str, Any]:
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
            f"{name} is not a skops file or is damaged ({error_summary(error)}): export the bundle again; "
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
    unpacked = sum(member.file_size for member in file.infolist())
    if unpacked > max(ALWAYS_ALLOWED_BYTES, MAX_UNPACK_RATIO * len(content)):
        raise ValueError(f"it unpacks to {unpacked / 1e9:,.0f} GB")
    return file


def iterate_json_objects(document: Any) -> Iterator[dict[str, Any]]:
    """Yield every object of a JSON document, each one before the objects inside it; nesting may have any depth."""
    pending = [document]
    while pending:
        node = pending.pop()
        if isinstance(node, dict):
            yield node
            pending.extend(reversed(node.values()))
        elif isinstance(node, list):
            pending.extend(reversed(node))


def disallowed_types(loaders_and_types: Iterable[tuple[str, str]]) -> list[str]:
    """Return the types of pairs (loader, type) that are not in `ALLOWED`, without duplicates, sorted."""
    return sorted({name for loader, name in loaders_and_types if name not in ALLOWED.get(loader, ())})


def _object_types(description: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Loader and type of every object in the description of a skops file."""
    for node in iterate_json_objects(description):
        if "__loader__" in node or "__class__" in node:
            yield str(node.get("__loader__")), f"{node.get('__module__')}.{node.get('__class__')}"


def error_summary(error: Exception) -> str:
    """Format the error of a library in one line of limited length."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:120]}"


@cache
def _skops() -> Any:
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
