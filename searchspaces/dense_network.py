"""A dense network with embeddings, skip connections, batch norm, a learning-rate schedule, and cross-entropy or focal loss."""

from typing import Any

from harness.registry.family import Family
from harness.registry.space import choice, integer, log_float, real, when


def build(seed: int, **params: Any) -> Any:
    """A classifier of `layers` hidden layers of `units` each, with early stopping on validation rows."""
    from harness.networks.dense_classifier import DenseClassifier
    from harness.networks.losses import pop_gamma
    from harness.networks.optimizer import TrainConfig

    units = (params.pop("units", 64),) * params.pop("layers", 2)
    architecture = {name: params.pop(name) for name in ARCHITECTURE if name in params}
    gamma = pop_gamma(params)
    config = TrainConfig(rate_schedule=params.pop("course", "constant"), **params)
    return DenseClassifier(seed, units, gamma=gamma, config=config, **{"skip": True, "batch_norm": True} | architecture)


#: Parameters of the architecture; the others are those of the training.
ARCHITECTURE = ("batch_norm", "activation", "skip", "embedding")


FAMILY = Family(
    name="dense_network",
    build=build,
    space={
        "layers": integer(1, 3, default=2),
        "units": integer(16, 256, default=64, log=True),
        "activation": choice("relu", "selu", "gelu", default="relu"),
        "skip": choice(False, True, default=True),
        "embedding": choice(0, 4, default=0),
        "dropout": real(0.0, 0.5, default=0.2),
        "batch_norm": choice(False, True, default=True),
        "learning_rate": log_float(3e-4, 2e-2, default=2e-3),
        "course": choice("constant", "cosine", "one_cycle", default="constant"),
        "batch_size": choice(128, 256, 512, default=256),
        "weight_decay": log_float(1e-3, 10.0, default=1.0),
        "loss": choice("cross_entropy", "focal", default="cross_entropy"),
        "gamma": when("loss", "focal", real(0.5, 4.0, default=2.0)),
    },
    encodings={"tabular": "mixed", "text": "lsa", "image": "embedding"},
    description="a dense Keras network with skip connections, embeddings, dropout, batch norm and early stopping",
    needs=("tensorflow", "keras"),
    stops_early=True,
    network=True,
)
