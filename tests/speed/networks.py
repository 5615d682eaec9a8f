"""Trials of the dense network per CPU-second, against the usual way: `model.fit` with EarlyStopping for every inner fold.

    python tests/speed/networks.py [TRIALS [TASK…]]

Both train the same random configurations of the family's own space, on the same inner folds, epochs, batches and watched
rows, on one thread, and both are scored by average precision on rows that neither watched. Data: EVENHAND_DATA.
"""

import os
import sys
import time

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import numpy as np

from harness.data.prepare import fit_preparer
from harness.data.sources import data_directory
from harness.data.splits import make_splitter
from harness.data.table import load_table
from harness.declare.registry import load_registry
from harness.declare.space import Choice, Integer, defaults, fill
from harness.networks.training import Schedule
from harness.search.encodings import ENCODINGS

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
    """Encoded rows of three inner folds: to train on, to watch, to score on."""
    table = load_table(load_registry().task(name), data_directory())
    splitter, folds = make_splitter(table), []
    for train, test in splitter.inner(3, seed=0):
        rest, watched = splitter.take(train).slice_off(np.arange(len(train)), 0.15, seed=0)
        preparer = fit_preparer(table.X.iloc[train])
        rows = preparer.transform(table.X)
        X = ENCODINGS["one_hot"].fit(rows.take(train), table.y[train], preparer.layout).transform(rows)
        folds.append([(X[part], table.y[part]) for part in (train[rest], train[watched], test)])
    return folds


def usual(point, folds):
    import keras

    keras.utils.set_random_seed(0)
    schedule, made = Schedule(), []
    for (X, y), watched, (test, _) in folds:
        layers = [keras.Input((X.shape[1],))]
        for _ in range(point["layers"]):
            layers += [keras.layers.Dense(point["units"])]
            layers += [keras.layers.BatchNormalization()] if point["batch_norm"] else []
            layers += [keras.layers.ReLU(), keras.layers.Dropout(point["dropout"])]
        model = keras.Sequential([*layers, keras.layers.Dense(1, activation="sigmoid")])
        optimiser = keras.optimizers.AdamW(point["learning_rate"], point["weight_decay"], global_clipnorm=schedule.clip)
        optimiser.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
        focal = point["loss"] == "focal"
        model.compile(
            optimiser,
            keras.losses.BinaryFocalCrossentropy(gamma=point["gamma"]) if focal else "binary_crossentropy",
            jit_compile=False,
        )
        stop = keras.callbacks.EarlyStopping(patience=schedule.patience, restore_best_weights=True)
        options = {"batch_size": point["batch_size"], "epochs": schedule.epochs, "callbacks": [stop], "verbose": 0}
        model.fit(X, y, validation_data=watched, **options)
        made.append(model.predict(test, batch_size=4096, verbose=0)[:, 0])
    return made


def ours(point, folds):
    fits = [{"X": X, "y": y, "validation": watched} for (X, y), watched, _ in folds]
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


def main():
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    trials = int(sys.argv[1]) if len(sys.argv) > 1 else 6
    points = configurations(trials)
    print("| task | rows × columns | trials | usual, CPU s a trial | ours | times faster | AP usual | AP ours |")
    print("|---|---|---|---|---|---|---|---|")
    for name in sys.argv[2:] or ("telco_churn", "bank_marketing"):
        folds = inner_folds(name)
        for train in (usual, ours):
            train(points[0], [[(X[:300], y[:300]) for X, y in fold] for fold in folds])  # what only the first one pays
        (slow, slow_ap), (fast, fast_ap) = (measure(train, points, folds) for train in (usual, ours))
        size = "{} × {}".format(*folds[0][0][0].shape)
        ratio = slow.sum() / fast.sum()
        print(f"| {name} | {size} | {trials} | {slow.mean():.2f} | {fast.mean():.2f} | {ratio:.1f} "
              f"| {slow_ap.mean():.4f} (best {slow_ap.max():.4f}) | {fast_ap.mean():.4f} (best {fast_ap.max():.4f}) |")  # fmt: skip


if __name__ == "__main__":
    main()
