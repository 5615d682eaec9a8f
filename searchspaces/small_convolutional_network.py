"""A small convolutional network trained from scratch, with which pretrained ones can be compared."""

from dataclasses import replace
from typing import Any

from harness.registry.family import Family
from harness.registry.space import choice, integer, log_float, real, when


def build(seed: int, **params: Any) -> Any:
    """A classifier of `blocks` blocks: `filters` filters in the first, twice as many in each further one."""
    from harness.networks.convolutional import DEFAULT_CONFIG, ConvolutionalClassifier
    from harness.networks.losses import pop_gamma

    first = params.pop("filters", 8)
    filters = tuple(first * 2**block for block in range(params.pop("blocks", 3)))
    batch_norm, gamma = params.pop("batch_norm", True), pop_gamma(params)
    augment = float(params.pop("augment", True))
    return ConvolutionalClassifier(seed, filters, batch_norm, gamma, replace(DEFAULT_CONFIG, augment=augment, **params))


FAMILY = Family(
    name="small_convolutional_network",
    build=build,
    space={
        "blocks": integer(2, 4, default=3),
        "filters": choice(4, 6, 8, default=8),
        "batch_norm": choice(True, False, default=True),
        "dropout": real(0.0, 0.5, default=0.2),
        "augment": choice(True, False, default=True),
        "learning_rate": log_float(1e-3, 3e-2, default=1e-2),
        "batch_size": choice(32, 64, default=64),
        "loss": choice("cross_entropy", "focal", default="cross_entropy"),
        "gamma": when("loss", "focal", real(0.5, 4.0, default=2.0)),
    },
    encodings={"image": "pixels"},
    description="a small convolutional Keras network trained from scratch on augmented images",
    needs=("tensorflow", "keras"),
    stops_early=True,
    network=True,
)
