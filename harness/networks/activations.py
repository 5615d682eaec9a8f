"""The activations of hidden layers: their values, their derivatives, and the scale of initial weights that suits them.

Each equals the Keras activation of the same name. They are written for speed: where the arithmetic is as small as on
tables, a general error function or exponential would cost more than the matrix products around it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from harness.networks.losses import Floats

SELU_SCALE, SELU_ALPHA = np.float32(1.05070098735548), np.float32(1.67326324235438)


class Activation(NamedTuple):
    """An activation function and its derivative. Both functions overwrite their argument.

    Attributes
    ----------
    with_derivative : callable
        Returns the activations and their derivatives.
    function : callable
        Returns the activations alone.
    gain : float
        Variance of the initial weights, times the width of the layer below, that preserves the scale of the activations.
    """

    with_derivative: Callable[[Floats], tuple[Floats, Floats]]
    function: Callable[[Floats], Floats]
    gain: float


def _relu(z: Floats) -> Floats:
    return np.maximum(z, np.float32(0), out=z)


def _relu_with_derivative(z: Floats) -> tuple[Floats, Floats]:
    derivative = (z > 0).astype(np.float32)
    z *= derivative
    return z, derivative


def _selu_with_derivative(z: Floats) -> tuple[Floats, Floats]:
    negative_part = np.minimum(z, np.float32(0))
    np.exp(negative_part, out=negative_part)
    derivative = negative_part * (SELU_SCALE * SELU_ALPHA)
    np.copyto(derivative, SELU_SCALE, where=z > 0)
    negative_part -= np.float32(1)  # 0 where z is positive
    negative_part *= SELU_SCALE * SELU_ALPHA
    np.maximum(z, np.float32(0), out=z)
    z *= SELU_SCALE
    z += negative_part
    return z, derivative


def _gelu_with_derivative(z: Floats) -> tuple[Floats, Floats]:
    normal_cdf, normal_density = _normal_cdf_and_density(z)
    normal_density *= z
    normal_density += normal_cdf
    z *= normal_cdf
    return z, normal_density


def _normal_cdf_and_density(z: Floats) -> tuple[Floats, Floats]:
    """Cumulative distribution function and density of the standard normal distribution at z.

    The error function is formula 7.1.26 of Abramowitz & Stegun (Handbook of mathematical functions, 1964), whose error of
    1.5e-7 is below single precision; its exponential is also that of the density.
    """
    t = np.abs(z)
    t *= np.float32(0.3275911 * np.sqrt(0.5))
    t += np.float32(1)
    np.divide(np.float32(1), t, out=t)
    normal_density = z * z
    normal_density *= np.float32(-0.5)
    np.exp(normal_density, out=normal_density)
    tail_probability = t * np.float32(0.5 * 1.061405429)
    for tail_coefficient in (-1.453152027, 1.421413741, -0.284496736, 0.254829592):
        tail_probability += np.float32(0.5 * tail_coefficient)
        tail_probability *= t
    tail_probability *= normal_density  # the probability beyond |z|
    normal_density *= np.float32(1 / np.sqrt(2 * np.pi))
    np.subtract(np.float32(1), tail_probability, out=tail_probability, where=z > 0)
    return tail_probability, normal_density


#: Gains: He et al. (ICCV 2015) where negative inputs are cut off; LeCun's for SELU (Klambauer et al., NIPS 2017).
ACTIVATIONS = {
    "relu": Activation(_relu_with_derivative, _relu, gain=2.0),
    "selu": Activation(_selu_with_derivative, lambda z: _selu_with_derivative(z)[0], gain=1.0),
    "gelu": Activation(_gelu_with_derivative, lambda z: _gelu_with_derivative(z)[0], gain=2.0),
}
