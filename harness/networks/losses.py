"""Cross-entropy and focal loss of logits: values, slopes and probabilities."""

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.special import expit, log_expit, log_softmax, softmax

Floats: TypeAlias = npt.NDArray[np.float32]
Labels: TypeAlias = npt.NDArray[np.int64]

TINY = np.float32(1e-7)  # keeps (1 - p) ** (gamma - 1) finite where a row is learned perfectly


def taken_gamma(params: dict[str, Any]) -> float:
    """The `gamma` of a `Loss` that searched parameters name by `loss` and `gamma`, which are taken out of them."""
    gamma = float(params.pop("gamma", 2.0))
    return gamma if params.pop("loss", "cross_entropy") == "focal" else 0.0


@dataclass(frozen=True)
class Loss:
    """The loss -(1 - p) ** gamma * log(p), where p is the probability given to a row's own class.

    `gamma` 0 is cross-entropy; above, rows that are already right count less (Lin et al., Focal loss for dense object
    detection, ICCV 2017; without its class weights, which are a strategy here). Two classes have one logit, that of
    class 1; more have one logit each.
    """

    classes: int
    gamma: float = 0.0

    @property
    def outputs(self) -> int:
        """The number of logits."""
        return 1 if self.classes == 2 else self.classes

    def values(self, logits: Floats, y: Labels, least: Floats | None = None) -> Floats:
        """The loss of every row, shape (n,), from logits (n, outputs) and labels (n,).

        With `least` (classes,) no row counts as if its own class had a smaller probability than that.
        """
        log_p = self._log_p(logits, y)
        if least is not None:
            log_p = np.maximum(log_p, np.log(least)[y])
        if self.gamma == 0:
            return -log_p
        values: Floats = -((-np.expm1(log_p)) ** np.float32(self.gamma)) * log_p
        return values

    def slopes(self, logits: Floats, y: Labels) -> Floats:
        """The derivative of every row's loss by its logits, shape (n, outputs)."""
        if self.outputs == 1:
            slopes = expit(logits)
            slopes[:, 0] -= y
        else:
            slopes = softmax(logits, axis=1)
            slopes[np.arange(len(y)), y] -= 1
        if self.gamma:
            slopes *= self._focus(self._log_p(logits, y))[:, None]
        return np.asarray(slopes, dtype=np.float32)

    def probabilities(self, logits: Floats) -> Floats:
        """The probability of every class, shape (n, classes)."""
        if self.outputs == 1:
            return np.hstack([expit(-logits), expit(logits)]).astype(np.float32, copy=False)
        return np.asarray(softmax(logits, axis=1), dtype=np.float32)

    def prior_logits(self, shares: npt.NDArray[np.float64]) -> Floats:
        """The logits, shape (outputs,), that predict these class shares: where an untrained network should begin."""
        logs = np.log(shares)
        return np.asarray(logs[1:] - logs[:1] if self.outputs == 1 else logs, dtype=np.float32)

    def _log_p(self, logits: Floats, y: Labels) -> Floats:
        if self.outputs == 1:
            signed = np.where(y == 1, logits[:, 0], -logits[:, 0])
            return np.asarray(log_expit(signed), dtype=np.float32)
        return np.asarray(log_softmax(logits, axis=1)[np.arange(len(y)), y], dtype=np.float32)

    def _focus(self, log_p: Floats) -> Floats:
        """What focusing multiplies the slopes of cross-entropy by: the product rule on (1 - p) ** gamma * log p."""
        gamma = np.float32(self.gamma)
        rest = np.maximum(-np.expm1(log_p), TINY)
        focus = rest**gamma - gamma * np.exp(log_p) * log_p * rest ** (gamma - 1)
        return np.asarray(focus, dtype=np.float32)
