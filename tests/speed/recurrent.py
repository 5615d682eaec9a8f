"""Fits of the recurrent network per CPU-second, against plain Keras: `model.fit` with EarlyStopping.

    python tests/speed/recurrent.py [FOLDS]

Both train the same network from the same beginning on the same folds of sms_spam (equal messages on one side), tokens,
batch size and validation rows, on one thread, for at most as many epochs and with the same patience; both are scored on rows that
neither trained with. Keras gets its rows padded to one length, as `model.fit` takes them. Data: EVENHAND_DATA.
"""

import os
import sys
import time

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import numpy as np

from harness.data.sources import data_directory
from harness.data.splits import make_splitter
from harness.data.table import load_table
from harness.networks.history import EarlyStopping
from harness.networks.keras_export import recurrent_to_keras
from harness.networks.losses import Loss
from harness.networks.recurrent import RecurrentShape, new_network
from harness.networks.rows import make_training_rows, make_validation_rows
from harness.preprocessing.text import fit_token_encoder
from harness.registry.registry import load_registry

FAMILY = load_registry().family("recurrent_network")
KINDS = [{"cell": cell, "bidirectional": both} for cell in ("gru", "lstm") for both in (False, True)]


def folds(count):
    """Tokens of some folds: to train on, to validate on, to score on."""
    table = load_table(load_registry().task("sms_spam"), data_directory())
    splitter, made = make_splitter(table), []
    for train, test in splitter.inner(3, seed=0)[:count]:
        rest, validation = splitter.take(train).split_validation(np.arange(len(train)), 0.15, seed=0)
        encoder = fit_token_encoder(table.X[train[rest]], table.y[train[rest]], 0)
        made.append(
            [(encoder.transform(table.X[part]), table.y[part]) for part in (train[rest], train[validation], test)]
        )
    return made


def usual(kind, fold):
    import keras

    (X, y), validation, (test, _) = fold
    keras.utils.set_random_seed(0)
    config = FAMILY.build(0).config.scaled_to(len(y))
    rows, classes = make_training_rows(X, y, None, np.asarray)
    stopping = EarlyStopping(
        Loss(2), rows, make_validation_rows(validation, rows, classes, np.asarray), config.patience
    )
    network = new_network(RecurrentShape(int(X.max()) + 1, 1, **kind), np.random.default_rng(0), stopping.prior_logits)
    model = recurrent_to_keras(network, config, Loss(2))
    rate = keras.optimizers.schedules.CosineDecay(config.learning_rate, config.total_steps(len(y)))
    optimiser = keras.optimizers.Adam(rate, global_clipnorm=config.clip)
    model.compile(optimiser, "binary_crossentropy", jit_compile=False)
    stop = keras.callbacks.EarlyStopping(patience=config.patience, restore_best_weights=True)
    options = {"batch_size": config.batch_size, "epochs": config.epochs, "callbacks": [stop], "verbose": 0}
    known = np.where(validation[0] <= X.max(), validation[0], 1)
    done = model.fit(X, y[:, None], validation_data=(known, validation[1][:, None]), **options)
    return model.predict(test, batch_size=256, verbose=0)[:, 0], len(done.history["loss"])


def ours(kind, fold):
    (X, y), validation, (test, _) = fold
    fitted = FAMILY.build(0, **kind).fit(X, y, validation=validation)
    return fitted.predict_proba(test)[:, 1], len(fitted.history.train_loss)


def measure(train, kind, made):
    """CPU seconds of a fit and of an epoch, average precision and accuracy: means over the folds."""
    from sklearn.metrics import average_precision_score

    figures = []
    for fold in made:
        start, y = time.process_time(), fold[2][1]
        p, epochs = train(kind, fold)
        seconds = time.process_time() - start
        figures.append((seconds, seconds / epochs, average_precision_score(y, p), ((p > 0.5) == y).mean()))
    return np.mean(figures, axis=0)


def main():
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    made = folds(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
    for train in (usual, ours):
        train(KINDS[0], [(X[:200], y[:200]) for X, y in made[0]])  # what only the first one pays
    print("| network | rows × length | usual, CPU s a fit (an epoch) | ours | times faster | AP usual | AP ours "
          "| accuracy usual | ours |\n|---|---|---|---|---|---|---|---|---|")  # fmt: skip
    for kind in KINDS:
        (slow, slow_epoch, *slow_scores), (fast, fast_epoch, *fast_scores) = (
            measure(train, kind, made) for train in (usual, ours)
        )
        name = kind["cell"] + (", both ways" if kind["bidirectional"] else "")
        size = "{} × {}".format(*made[0][0][0].shape)
        scores = " | ".join(f"{a:.4f} | {b:.4f}" for a, b in zip(slow_scores, fast_scores, strict=True))
        print(f"| {name} | {size} | {slow:.1f} ({slow_epoch:.2f}) | {fast:.1f} ({fast_epoch:.2f}) "
              f"| {slow / fast:.1f} | {scores} |", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
