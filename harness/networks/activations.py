"""What hidden layers bend their values with: the function, its slope, and the first weights that suit it.

Each is what Keras calls by the same name. They are written for speed: where arithmetic is as small as on tables, a general
error function or exponential would cost more than the products of matrices around it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from harness.networks.losses import Floats

SELU_SCALE, SELU_ALPHA = np.float32(1.05070098735548), np.float32(1.67326324235438)


class Activation(NamedTuple):
    """A function and its slope; both spoil their argument."""

    both: Callable[[Floats], tuple[Floats, Floats]]  #: values and slopes
    value: Callable[[Floats], Floats]  #: the values alone
    gain: float  #: the variance of first weights times the width before that keeps values in size


def _relu(z: Floats) -> tuple[Floats, Floats]:
    slope = (z > 0).astype(np.float32)
    z *= slope
    return z, slope


def _relu_value(z: Floats) -> Floats:
    return np.maximum(z, np.float32(0), out=z)


def _selu(z: Floats) -> tuple[Floats, Floats]:
    low = np.minimum(z, np.float32(0))
    np.exp(low, out=low)
    slope = low * (SELU_SCALE * SELU_ALPHA)
    np.copyto(slope, SELU_SCALE, where=z > 0)
    low -= np.float32(1)  # 0 where z is positive
    low *= SELU_SCALE * SELU_ALPHA
    np.maximum(z, np.float32(0), out=z)
    z *= SELU_SCALE
    z += low
    return z, slope


def _gelu(z: Floats) -> tuple[Floats, Floats]:
    share, density = _normal(z)
    density *= z
    density += share
    z *= share
    return z, density


def _normal(z: Floats) -> tuple[Floats, Floats]:
    """The normal distribution function and density at z.

    The error function is formula 7.1.26 of Abramowitz & Stegun (Handbook of mathematical functions, 1964), exact to 1.5e-7,
    which is all that single precision holds; its exponential is the density's.
    """
    t = np.abs(z)
    t *= np.float32(0.3275911 * np.sqrt(0.5))
    t += np.float32(1)
    np.divide(np.float32(1), t, out=t)
    density = z * z
    density *= np.float32(-0.5)
    np.exp(density, out=density)
    tail = t * np.float32(0.5 * 1.061405429)
    for factor in (-1.453152027, 1.421413741, -0.284496736, 0.254829592):
        tail += np.float32(0.5 * factor)
        tail *= t
    tail *= density  # the share beyond |z|
    density *= np.float32(1 / np.sqrt(2 * np.pi))
    np.subtract(np.float32(1), tail, out=tail, where=z > 0)
    return tail, density


#: He et al. (ICCV 2015) for those that cut off the negative half; LeCun's for SELU (Klambauer et al., NIPS 2017).
ACTIVATIONS = {
    "relu": Activation(_relu, _relu_value, gain=2.0),
    "selu": Activation(_selu, lambda z: _selu(z)[0], gain=1.0),
    "gelu": Activation(_gelu, lambda z: _gelu(z)[0], gain=2.0),
}
