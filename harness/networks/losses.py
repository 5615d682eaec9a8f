"""Cross-entropy and focal loss of logits: values, gradients and probabilities."""

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.special import expit, log_expit, log_softmax, softmax

Floats: TypeAlias = npt.NDArray[np.float32]
Labels: TypeAlias = npt.NDArray[np.int64]

#: Lower bound of 1 - p: keeps (1 - p) ** (gamma - 1) finite for a row learned perfectly.
MIN_COMPLEMENT = np.float32(1e-7)


def pop_gamma(params: dict[str, Any]) -> float:
    """Remove the hyperparameters `loss` and `focal_gamma` and return the `focal_gamma` of the `Loss` that they describe."""
    focal_gamma = float(params.pop("gamma", 2.0))
    return focal_gamma if params.pop("loss", "cross_entropy") == "focal" else 0.0


@dataclass(frozen=True)
class Loss:
    """The loss -(1 - p) ** gamma * log(p), where p is the predicted probability of a row's true class.

    With `gamma` 0 it is cross-entropy; with a larger one, rows that are already classified correctly count less.

    Attributes
    ----------
    classes : int
        Number of classes. Two classes have a single logit, that of class 1; more have a logit each.
    gamma : float, default 0
        Focusing parameter.

    References
    ----------
    Lin et al., Focal loss for dense object detection, ICCV 2017. Its class weights are a strategy here.
    """

    classes: int
    gamma: float = 0.0

    @property
    def outputs(self) -> int:
        """Number of logits."""
        return 1 if self.classes == 2 else self.classes

    def row_losses(self, logits: Floats, y: Labels, min_probability: Floats | None = None) -> Floats:
        """Compute the loss of every row.

        Parameters
        ----------
        logits : array of shape (n_rows, n_outputs)
        y : array of shape (n_rows,)
            True classes, 0..k-1.
        min_probability : array of shape (n_classes,), optional
            Lower bounds of the probability of the true class, which bound the loss of a row.

        Returns
        -------
        array of shape (n_rows,)
        """
        log_p = self._log_p(logits, y)
        if min_probability is not None:
            log_p = np.maximum(log_p, np.log(min_probability)[y])
        if self.gamma == 0:
            return -log_p
        losses: Floats = -((-np.expm1(log_p)) ** np.float32(self.gamma)) * log_p
        return losses

    def gradient(self, logits: Floats, y: Labels) -> Floats:
        """Compute the derivative of every row's loss with respect to its logits, shape (n_rows, n_outputs)."""
        if self.outputs == 1:
            gradient = expit(logits)
            gradient[:, 0] -= y
        else:
            gradient = softmax(logits, axis=1)
            gradient[np.arange(len(y)), y] -= 1
        if self.gamma:
            gradient *= self._focal_factor(self._log_p(logits, y))[:, None]
        return np.asarray(gradient, dtype=np.float32)

    def probabilities(self, logits: Floats) -> Floats:
        """Convert logits (n_rows, n_outputs) to the probability of every class, shape (n_rows, n_classes)."""
        if self.outputs == 1:
            return np.hstack([expit(-logits), expit(logits)]).astype(np.float32, copy=False)
        return np.asarray(softmax(logits, axis=1), dtype=np.float32)

    def prior_logits(self, shares: npt.NDArray[np.float64]) -> Floats:
        """Return the logits (n_outputs,) that predict these class shares, as an untrained network should."""
        log_shares = np.log(shares)
        return np.asarray(log_shares[1:] - log_shares[:1] if self.outputs == 1 else log_shares, dtype=np.float32)

    def _log_p(self, logits: Floats, y: Labels) -> Floats:
        """Log-probability of every row's true class."""
        if self.outputs == 1:
            signed_logits = np.where(y == 1, logits[:, 0], -logits[:, 0])
            return np.asarray(log_expit(signed_logits), dtype=np.float32)
        return np.asarray(log_softmax(logits, axis=1)[np.arange(len(y)), y], dtype=np.float32)

    def _focal_factor(self, log_p: Floats) -> Floats:
        """Factor between the gradients of focal loss and cross-entropy, by the product rule on (1 - p) ** gamma * log p."""
        focal_gamma = np.float32(self.gamma)
        complement_probability = np.maximum(-np.expm1(log_p), MIN_COMPLEMENT)
        focal_factor = complement_probability**focal_gamma - focal_gamma * np.exp(
            log_p
        ) * log_p * complement_probability ** (focal_gamma - 1)
        return np.asarray(focal_factor, dtype=np.float32)
