"""Trials of the dense network per CPU-second, against the usual way: `model.fit` with EarlyStopping for every inner fold.

    python tests/speed/networks.py [TRIALS [SAMPLE [TASK…]]]

Both train the same random configurations of the family's own space, on the same inner folds, epochs, batches and validation
rows, on one thread, and both are scored by average precision on rows that neither trained with; the usual way only the first
SAMPLE of them, because it takes so long. A second table says what each step on the way brought. Data: EVENHAND_DATA.
"""

import os
import sys
import time

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

from dataclasses import dataclass, replace

import numpy as np

from harness.data.sources import data_directory
from harness.data.splits import make_splitter
from harness.data.table import load_table
from harness.networks.dense import new_network
from harness.networks.dense_classifier import DenseClassifier
from harness.networks.history import EarlyStopping
from harness.networks.keras_export import dense_to_keras
from harness.networks.keras_training import KerasTrainConfig, initial_weights, train_compiled_network
from harness.networks.losses import Loss
from harness.networks.rows import make_training_rows, make_validation_rows
from harness.preprocessing.encodings import ENCODINGS
from harness.preprocessing.tabular import fit_table_preprocessor
from harness.registry.registry import load_registry
from harness.registry.space import Choice, Integer, defaults, fill

FAMILY = load_registry().family("dense_network")


def configurations(trials):
    """The defaults, then random points of the space."""
    rng = np.random.default_rng(0)
    drawn = [fill(FAMILY.space, lambda _name, parameter: draw(parameter, rng)) for _ in range(trials - 1)]
    return [defaults(FAMILY.space), *drawn]


def draw(parameter, rng):
    if isinstance(parameter, Choice):
        return parameter.options[rng.integers(len(parameter.options))]
    low, high = parameter.low, parameter.high
    value = float(np.exp(rng.uniform(np.log(low), np.log(high))) if parameter.log else rng.uniform(low, high))
    return round(value) if isinstance(parameter, Integer) else value


def inner_folds(name):
    """Rows of three inner folds as the family takes them: to train on, to validate on, to score on."""
    table = load_table(load_registry().task(name), data_directory())
    splitter, folds = make_splitter(table), []
    for learned, test in splitter.inner(3, seed=0):
        rest, validation = splitter.take(learned).split_validation(np.arange(len(learned)), 0.15, seed=0)
        preparer = fit_table_preprocessor(table.X.iloc[learned])
        rows = preparer.transform(table.X)
        X = ENCODINGS["mixed"].fit(rows.take(learned), table.y[learned], preparer.layout).transform(rows)
        folds.append([(X[part], table.y[part]) for part in (learned[rest], learned[validation], test)])
    return folds


def usual(point, folds):
    import keras

    keras.utils.set_random_seed(0)
    made = []
    for (given, y), (held_out, validation_y), (scored, _) in folds:
        same, loss = FAMILY.build(0, **point), Loss(2, point.get("gamma", 0.0))
        X, validation_X, test, config = *map(same.convert, (given, held_out, scored)), same.config.scaled_to(len(y))
        start = new_network(same.shape_for(given, X.shape[1], 1), np.random.default_rng(0), prior(y))
        model = dense_to_keras(start, config, loss, config.total_steps(len(y)))
        stop = keras.callbacks.EarlyStopping(patience=config.patience, restore_best_weights=True)
        options = {"batch_size": config.batch_size, "epochs": config.epochs, "callbacks": [stop], "verbose": 0}
        model.fit(X, y, validation_data=(validation_X, validation_y), **options)
        made.append(model.predict(test, batch_size=4096, verbose=0)[:, 0])
    return made


def prior(y):
    return Loss(2).prior_logits(np.bincount(y) / len(y))


def ours(point, folds):
    fits = [{"X": X, "y": y, "validation": validation} for (X, y), validation, _ in folds]
    fitted = [FAMILY.build(seed, **point).fit(**fit) for seed, fit in enumerate(fits)]
    return [one.predict_proba(test)[:, 1] for one, (_, _, (test, _)) in zip(fitted, folds, strict=True)]


def measure(train, points, folds):
    """CPU seconds of each trial, and its mean average precision."""
    from sklearn.metrics import average_precision_score

    seconds, scores = [], []
    for point in points:
        start = time.process_time()
        made = train(point, folds)
        seconds.append(time.process_time() - start)
        scored = [fold[2][1] for fold in folds]
        scores.append(np.mean([average_precision_score(y, p) for y, p in zip(scored, made, strict=True)]))
    return np.array(seconds), np.array(scores)


@dataclass(frozen=True)
class Default:
    """The default network as Keras describes it, for the compiled loop."""

    columns: int
    dtype = "float32"

    def build(self, dropout):
        from keras import Input, Model, layers

        rows = Input((self.columns,))
        x = layers.Dense(64)(rows)
        for _ in range(2):
            x = layers.Add()(
                [x, dropout()(layers.ReLU()(layers.BatchNormalization(momentum=0.9)(layers.Dense(64)(x))))]
            )
        return Model(rows, layers.Dense(1, kernel_initializer="zeros")(x))

    def augment(self, X, _key, _amount):
        return X


def steps(fold, epochs=10):
    """CPU seconds of the default fit of one fold, ten epochs in any case, on every step of the way."""
    (given, y), (validation_X, validation_y), _ = fold
    same: DenseClassifier = FAMILY.build(0, epochs=epochs, patience=epochs, min_steps=0)
    X, config = same.convert(given), replace(same.config, epochs=epochs, patience=epochs)
    shape = same.shape_for(given, X.shape[1], 1)

    def plain():
        model = dense_to_keras(new_network(shape, np.random.default_rng(0), prior(y)), config, Loss(2))
        options = {"batch_size": config.batch_size, "epochs": epochs, "verbose": 0}
        model.fit(X, y, validation_data=(same.convert(validation_X), validation_y), **options)

    def epoch_a_call():
        rows, classes = make_training_rows(X, y, None)
        stopping = EarlyStopping(
            Loss(2), rows, make_validation_rows((same.convert(validation_X), validation_y), rows, classes), epochs
        )
        keras_config = KerasTrainConfig(**config.__dict__)
        train_compiled_network(
            Default(X.shape[1]),
            initial_weights(Default(X.shape[1]), np.random.default_rng(0), prior(y)),
            keras_config,
            stopping,
            0,
        )

    def numpy():
        same.fit(given, y, None, (validation_X, validation_y))

    said = ("plain `fit`", "an epoch a call, traced for this fit", "the same, traced before", "NumPy, written out")
    for name, run in zip(said, (plain, epoch_a_call, epoch_a_call, numpy), strict=True):
        start = time.process_time()
        run()
        yield name, time.process_time() - start


def main():
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    trials = int(sys.argv[1]) if len(sys.argv) > 1 else 6
    sample = min(trials, int(sys.argv[2]) if len(sys.argv) > 2 else 4)
    points, ways = configurations(trials), []
    print(
        "| task | rows | trials, usual | CPU s a trial, usual | ours | times faster | AP usual | AP ours | ours, all |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for name in sys.argv[3:] or ("telco_churn", "bank_marketing"):
        folds = inner_folds(name)
        for way in (usual, ours):
            way(points[0], [[(X[:300], y[:300]) for X, y in fold] for fold in folds])  # what only the first one pays
        fast, fast_ap = measure(ours, points, folds)
        slow, slow_ap = measure(usual, points[:sample], folds)
        ratio = slow.sum() / fast[:sample].sum()
        print(f"| {name} | {len(folds[0][0][1])} | {trials}, {sample} | {slow.mean():.2f} | {fast[:sample].mean():.2f} "
              f"| {ratio:.1f} | {slow_ap.mean():.4f} (best {slow_ap.max():.4f}) "
              f"| {fast_ap[:sample].mean():.4f} (best {fast_ap[:sample].max():.4f}) "
              f"| {fast.mean():.2f} s, best AP {fast_ap.max():.4f} |", flush=True)  # fmt: skip
        ways.append((name, dict(steps(folds[0]))))
    print(
        "\n| ten epochs of the default, CPU s |", " | ".join(name for name, _ in ways), "|\n|---|" + "---|" * len(ways)
    )
    for way in ways[0][1]:
        print(f"| {way} |", " | ".join(f"{taken[way]:.2f}" for _, taken in ways), "|")


if __name__ == "__main__":
    main()
