"""The types that a saved pipeline may hold: a list of ours, never what a file asks for.

skops trusts some four hundred types by itself, among them every estimator of scikit-learn. A file of ours holds only what is
written here, by the loader that makes it: nothing here runs code that a file brings, or calls what a file names.
"""

from __future__ import annotations

from collections.abc import Iterable

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
            "harness.data.prepare.Layout",
            "harness.data.prepare.Preparer",
            "harness.declare.calibration.Curve",
            "harness.declare.calibration.EachClass",
            "harness.declare.calibration.Prior",
            "harness.declare.calibration.Steps",
            "harness.declare.calibration.Temperature",
            "harness.deploy.model.Model",
            "harness.deploy.networks.Frozen",
            "harness.deploy.networks.Network",
            "harness.deploy.packing.Boosted",
            "harness.deploy.packing.Leaves",
            "harness.deploy.packing.Mean",
            "harness.deploy.packing.OneThread",
            "harness.deploy.packing.Strings",
            "harness.deploy.packing.Terms",
            "harness.networks.classifier.Entering",
            "harness.networks.convolutional.Pictures",
            "harness.networks.last_blocks.Activations",
            "harness.networks.loss.Loss",
            "harness.networks.recurrent_classifier.Sequences",
            "harness.search.directions.Directions",
            "harness.search.encode.MixedEncoder",
            "harness.search.encode.NativeEncoder",
            "harness.search.encode.Numbers",
            "harness.search.encode.OneHotEncoder",
            "harness.search.encode.OrdinalEncoder",
            "harness.search.encode.Pieces",
            "harness.search.encode.Ramp",
            "harness.search.encode.Squash",
            "harness.search.pictures.PixelEncoder",
            "harness.search.pipeline.Fitted",
            "harness.search.principal.PrincipalEncoder",
            "harness.search.texts.LsaEncoder",
            "harness.search.texts.TextsAsTheyAre",
            "harness.search.texts.TfidfEncoder",
            "harness.search.tokens.TokenEncoder",
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
