"""A recurrent network for texts: LSTM or GRU on word embeddings that are learned with it."""

from typing import Any

from harness.registry.family import Family
from harness.registry.space import choice, integer, log_float, real, when


def build(seed: int, **params: Any) -> Any:
    """A classifier of token sequences, with early stopping on validation rows."""
    from dataclasses import replace

    from harness.networks.losses import pop_gamma
    from harness.networks.recurrent_classifier import DEFAULT_CONFIG, RecurrentClassifier

    architecture = {name: params.pop(name) for name in ARCHITECTURE if name in params}
    gamma = pop_gamma(params)
    return RecurrentClassifier(seed, **architecture, gamma=gamma, config=replace(DEFAULT_CONFIG, **params))


#: Parameters of the architecture; the others are those of the training.
ARCHITECTURE = ("cell", "units", "bidirectional", "embedding")


FAMILY = Family(
    name="recurrent_network",
    build=build,
    space={
        "cell": choice("lstm", "gru", default="gru"),
        "units": integer(12, 48, default=32, log=True),
        "bidirectional": choice(False, True, default=False),
        "embedding": integer(16, 64, default=32, log=True),
        "dropout": real(0.0, 0.6, default=0.3),
        "learning_rate": log_float(1e-3, 2e-2, default=5e-3),
        "batch_size": choice(64, 128, default=64),
        "loss": choice("cross_entropy", "focal", default="cross_entropy"),
        "gamma": when("loss", "focal", real(0.5, 4.0, default=2.0)),
    },
    encodings={"text": "tokens"},
    description="an LSTM or GRU network on learned word embeddings, one or both ways, with dropout and early stopping",
    needs=("tensorflow", "keras"),
    stops_early=True,
    network=True,
)
