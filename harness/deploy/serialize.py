"""Fitted objects in a skops file and back: data, never pickled code, and only of the types in `harness.deploy.serialize`."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

from harness.deploy.aliases import current_schema, with_schema
from harness.errors import BundleError, EvenhandError, Unavailable

#: Loader of skops → the types (module and name) that it may make.
ALLOWED: dict[str, frozenset[str]] = {
    "JsonNode": frozenset({"builtins.str"}),
    "DictNode": frozenset({"builtins.dict", "collections.OrderedDict"}),
    "DefaultDictNode": frozenset({"collections.defaultdict"}),
    "ListNode": frozenset({"builtins.list"}),
    "TupleNode": frozenset({"builtins.tuple"}),
    "SliceNode": frozenset({"builtins.slice"}),
    "BytesNode": frozenset({"builtins.bytes"}),
    "TypeNode": frozenset(
        {
            "builtins.bool",
            "builtins.float",
            "builtins.int",
            "builtins.str",
            "collections.OrderedDict",
            "numpy.float32",
            "numpy.float64",
            "numpy.int32",
            "numpy.int64",
        }
    ),
    "NdArrayNode": frozenset(
        {
            "numpy.bool",
            "numpy.float32",
            "numpy.float64",
            "numpy.int32",
            "numpy.int64",
            "numpy.ndarray",
            "numpy.uint64",
        }
    ),
    "TreeNode": frozenset({"sklearn.tree._tree.Tree"}),
    "LossNode": frozenset({"sklearn._loss._loss.CyHalfBinomialLoss", "sklearn._loss._loss.CyHalfMultinomialLoss"}),
    # HistGradientBoosting prepares columns with partial(check_array, ...), which looks at rows and changes nothing.
    "PartialNode": frozenset({"functools.partial"}),
    "FunctionNode": frozenset({"sklearn.utils.validation.check_array"}),
    "ObjectNode": frozenset(
        {
            "catboost.core.CatBoostClassifier",
            "harness.preprocessing.tabular.Layout",
            "harness.preprocessing.tabular.Preparer",
            "harness.metrics.calibration.Curve",
            "harness.metrics.calibration.EachClass",
            "harness.metrics.calibration.Prior",
            "harness.metrics.calibration.Steps",
            "harness.metrics.calibration.Temperature",
            "harness.deploy.model.Model",
            "harness.deploy.keras_runtime.Frozen",
            "harness.deploy.keras_runtime.Network",
            "harness.deploy.pack.Boosted",
            "harness.deploy.pack.Leaves",
            "harness.deploy.pack.Mean",
            "harness.deploy.pack.OneThread",
            "harness.deploy.pack.Strings",
            "harness.deploy.pack.Terms",
            "harness.networks.dense_classifier.Entering",
            "harness.networks.convolutional.Pictures",
            "harness.networks.last_blocks.Activations",
            "harness.networks.losses.Loss",
            "harness.networks.recurrent_classifier.Sequences",
            "harness.preprocessing.svd.Directions",
            "harness.preprocessing.tabular_encoders.MixedEncoder",
            "harness.preprocessing.tabular_encoders.NativeEncoder",
            "harness.preprocessing.tabular_encoders.Numbers",
            "harness.preprocessing.tabular_encoders.OneHotEncoder",
            "harness.preprocessing.tabular_encoders.OrdinalEncoder",
            "harness.preprocessing.tabular_encoders.Pieces",
            "harness.preprocessing.tabular_encoders.Ramp",
            "harness.preprocessing.tabular_encoders.Squash",
            "harness.preprocessing.image.PixelEncoder",
            "harness.search.pipeline.FittedPipeline",
            "harness.preprocessing.image.PrincipalEncoder",
            "harness.preprocessing.text.LsaEncoder",
            "harness.preprocessing.text.TextsAsTheyAre",
            "harness.preprocessing.text.TfidfEncoder",
            "harness.preprocessing.text.TokenEncoder",
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
NAMES = tuple(sorted(frozenset[str]().union(*ALLOWED.values())))

_LAYERS = """
    Activation AdaptiveAveragePooling2D Add AveragePooling2D BatchNormalization Bidirectional Concatenate Conv2D Dense
    DepthwiseConv2D Dropout Embedding Flatten GRU GlobalAveragePooling1D GlobalAveragePooling2D InputLayer LSTM MaxPooling2D
    ReLU Rescaling SpatialDropout1D
"""
_INITIALIZERS = "GlorotUniform HeUniform Ones Orthogonal RandomUniform Zeros"
#: The classes, with their modules, that the description of a saved network may name.
KERAS = frozenset(
    {
        "None.__keras_tensor__",
        "None.__slice__",
        "keras.DTypePolicy",
        "keras.Sequential",
        "keras.regularizers.L2",
        "keras.src.models.functional.Functional",
        *(f"keras.src.ops.numpy.{name}" for name in ("GetItem", "Less", "NotEqual", "Where")),
        *(f"keras.layers.{name}" for name in _LAYERS.split()),
        *(f"keras.initializers.{name}" for name in _INITIALIZERS.split()),
    }
)


def unknown(asked: Iterable[tuple[str, str]]) -> list[str]:
    """Which types of pairs (loader, type) are not on the list, each once, in order."""
    return sorted({name for loader, name in asked if name not in ALLOWED.get(loader, ())})


PROTOCOL = 2  #: of skops files: what wrote and what reads them must agree, a file does not choose
#: What zips may unpack to, in bytes and as a multiple of their own size; of our forests it is 10 to 20.
ALWAYS, MOST_UNPACKED = 500_000_000, 100
SCHEMA = "schema.json"  #: the member of a skops file that describes its objects


def write_objects(value: Any) -> bytes:
    """A value as a skops file. Raises `EvenhandError` where it holds anything that is not on the list of types."""
    content: bytes = _skops().dumps(value, compression=zipfile.ZIP_DEFLATED, compresslevel=6)
    if foreign := unknown(_asked(described(content))):
        raise EvenhandError(
            f"this model cannot be saved: {', '.join(foreign[:3])} is not among the types that a bundle may hold: choose "
            "an entry of a family that comes with evenhand"
        )
    return content


def read_objects(content: bytes, name: str) -> Any:
    """The value in a skops file, of listed types alone; `name` is what the file is called in messages.

    Raises `BundleError` for a file that is no skops file, is damaged, or holds anything else.
    """
    written = described(content, name)
    schema = current_schema(written)
    if schema != written:
        content = with_schema(content, schema, SCHEMA)
    if foreign := unknown(_asked(schema)):
        raise BundleError(
            f"{name} holds {', '.join(foreign[:3])}, which no bundle of evenhand holds: it is not opened, export again"
        )
    try:
        return _skops().loads(content, trusted=list(NAMES))
    except ImportError as error:
        raise BundleError(
            f"{name} needs the package {str(error.name).split('.')[0]}, which is not here: install it"
        ) from error
    except Exception as error:  # whatever the readers of five libraries raise on damaged content
        raise BundleError(f"{name} is damaged ({said(error)}): export the bundle again") from error


def described(content: bytes, name: str = "pipeline.skops") -> dict[str, Any]:
    """The description of its objects that a skops file holds; `BundleError` where there is none that can be read."""
    try:
        with opened(content) as file:
            schema = json.loads(file.read(SCHEMA))
    except Exception as error:  # zipfile and json raise a dozen kinds of error on damaged content
        raise BundleError(
            f"{name} is not a skops file or is damaged ({said(error)}): export the bundle again; a pickle is never read"
        ) from error
    if not isinstance(schema, dict) or schema.get("protocol") != PROTOCOL:
        raise BundleError(f"{name} was not written in protocol {PROTOCOL} of skops: export the bundle again")
    return schema


def opened(content: bytes) -> zipfile.ZipFile:
    """A zip; raises `ValueError` for one that unpacks to far more than any model of ours: it is there to fill the memory."""
    file = zipfile.ZipFile(io.BytesIO(content))
    unpacked = sum(member.file_size for member in file.infolist())
    if unpacked > max(ALWAYS, MOST_UNPACKED * len(content)):
        raise ValueError(f"it unpacks to {unpacked / 1e9:,.0f} GB")
    return file


def _asked(schema: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Loader and type of every object that a description speaks of."""
    waiting: list[Any] = [schema]
    while waiting:
        found = waiting.pop()
        if isinstance(found, dict):
            if "__loader__" in found or "__class__" in found:
                yield str(found.get("__loader__")), f"{found.get('__module__')}.{found.get('__class__')}"
            waiting.extend(found.values())
        elif isinstance(found, list):
            waiting.extend(found)


def said(error: Exception) -> str:
    """What a library says of a damaged file, in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:120]}"


@cache
def _skops() -> Any:
    """`skops.io`, without its tour through all of scikit-learn.

    It lists every estimator to trust it by default, which imports each module there is and costs a second at every start.
    The list of types here is our own, so that nothing is lost.
    """
    import sklearn.utils

    tour, sklearn.utils.all_estimators = sklearn.utils.all_estimators, list
    try:
        import skops.io
    except ModuleNotFoundError as error:
        if error.name != "skops":
            raise
        raise Unavailable("bundles need skops: pip install 'evenhand[deploy]'") from error
    finally:
        sklearn.utils.all_estimators = tour
    return skops.io
