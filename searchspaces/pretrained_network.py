"""EfficientNet-Lite0 with ImageNet weights: a head on its features of images, or its last blocks trained as well."""

from functools import partial
from typing import Any

from harness.registry.family import Family
from harness.registry.space import choice, log_float, real, when


def build(seed: int, **params: Any) -> Any:
    """A classifier of features or activations; the cut, `encode.cut`, decides whether blocks are trained too."""
    from harness.data.sources import wheel_member
    from harness.networks.fine_tuning import PretrainedClassifier, head_config
    from harness.networks.losses import pop_gamma
    from harness.networks.pretrained import SOURCE

    units, gamma = params.pop("units", 0), pop_gamma(params)
    return PretrainedClassifier(seed, partial(wheel_member, *SOURCE), units, gamma, head_config(**params))


FAMILY = Family(
    name="pretrained_network",
    build=build,
    space={
        "units": choice(0, 32, 64, default=0),
        "dropout": real(0.0, 0.5, default=0.2),
        "learning_rate": log_float(3e-4, 3e-3, default=1e-3),
        "weight_decay": log_float(1e-2, 10.0, default=1.0),
        "batch_size": choice(32, 64, default=32),
        "loss": choice("cross_entropy", "focal", default="cross_entropy"),
        "gamma": when("loss", "focal", real(0.5, 4.0, default=2.0)),
    },
    encodings={"image": "activations"},
    description="EfficientNet-Lite0 with ImageNet's weights: a head on frozen features, or its last blocks trained too",
    needs=("tensorflow", "keras", "PIL"),
    stops_early=True,
    network=True,
)
