"""What a network is made of, as plain values that need neither TensorFlow nor the network to be read."""

from __future__ import annotations

from typing import NamedTuple


class Layer(NamedTuple):
    """One layer: its name, its kind in a few words, the shape of one row's output, its parameters.

    Networks list theirs in the order of computation, the input first; frozen layers say so in their kind, and a length that
    varies from row to row is 0.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    parameters: int
