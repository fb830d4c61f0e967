"""Where a learning curve will end: Bayesian model averaging over families of curves. Losses, to be minimised.

Notation:
    t: (n,) steps, ascending; y: (n,) losses there; T: the last step.
    u: (n,) steps counted from 1 in their mean distance, so that the unit of steps does not matter.
    g_m(u): the decreasing shape of family m, 1 at the first step: powers u^-b and exponentials exp(-(u - 1) / tau).
    Model m: y = c + a g_m(u) + noise, noise ~ N(0, s2), with the conjugate prior (c, a) ~ N((y_n, 0), s2 V0), s2 ~
    inverse gamma. Its posterior is in closed form, so there is nothing to sample: the loss at T has a Student t
    distribution, and its weight is the marginal likelihood of y.

Source: the families of Domhan et al., Speeding up automatic hyperparameter optimization of deep neural networks by
extrapolation of learning curves, IJCAI 2015, section 3.1 (pow3, exp3), averaged as in Hoeting et al., Bayesian model
averaging, Statistical Science 14 (1999), equations 1 to 3, instead of weighted by MCMC.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

POWERS = (0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.5, 2.0)
TIMES = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6)  # of an exponential, as shares of the whole curve
PRIOR_SPREAD = 2.0  # standard deviation of c and a, in the range of the reported losses
NOISE = 0.1  # what the noise is guessed to be, in that range, before it is seen ...
NOISE_WEIGHT = 2.0  # ... and how many observations this guess is worth
RECENT = 1.0  # the weight of a point is (its place / n) to this power: the last ones predict best what follows


@dataclass(frozen=True)
class Prediction:
    """A mixture of Student t distributions: the loss at the last step, as it would be reported."""

    weights: np.ndarray  # (m,) sum 1
    centres: np.ndarray  # (m,)
    scales: np.ndarray  # (m,) > 0
    freedom: float

    def below(self, loss: float) -> float:
        """The probability of a lower loss."""
        from scipy.special import stdtr

        return min(1.0, float(self.weights @ stdtr(self.freedom, (loss - self.centres) / self.scales)))

    def draws(self, quantiles: np.ndarray) -> np.ndarray:  # (k,) in (0, 1) -> (k,)
        """Losses with these quantiles, of the mixture's members in turn by their weights."""
        from scipy.special import stdtrit

        k = len(quantiles)
        member = np.minimum(np.searchsorted(np.cumsum(self.weights), (np.arange(k) + 0.5) / k), len(self.weights) - 1)
        return np.asarray(self.centres[member] + self.scales[member] * stdtrit(self.freedom, quantiles))


def extrapolated(t: np.ndarray, y: np.ndarray, last: float) -> Prediction:  # (n,), (n,) with n >= 2 -> at `last`
    """The loss at the step `last`, which is beyond t[-1]; losses and steps are finite."""
    n, gap = len(t), (t[-1] - t[0]) / (len(t) - 1)
    u, end = (t - t[0]) / gap + 1, (last - t[0]) / gap + 1
    spread = float(y.max() - y.min()) or max(abs(float(y[-1])), 1e-12) * 1e-3
    z = (y - y[-1]) / spread
    shapes = _shapes(np.append(u, end), end)  # (m, n + 1)
    weights = (np.arange(1, n + 1) / n) ** RECENT
    weights *= n / weights.sum()

    x = np.stack([np.ones_like(shapes), shapes], axis=2)  # (m, n + 1, 2)
    seen, there = x[:, :-1], x[:, -1]
    precision = np.eye(2) * (NOISE / PRIOR_SPREAD) ** 2  # of the prior, in units of the noise's variance
    posterior = precision + np.einsum("mni,n,mnj->mij", seen, weights, seen)
    mean = np.linalg.solve(posterior, np.einsum("mni,n->mi", seen, weights * z)[:, :, None])[:, :, 0]  # (m, 2)
    shape = (NOISE_WEIGHT + n) / 2
    misfit = weights @ z**2 - np.einsum("mi,mij,mj->m", mean, posterior, mean)
    rate = NOISE_WEIGHT / 2 * NOISE**2 + np.maximum(misfit, 0) / 2  # (m,)

    evidence = -np.linalg.slogdet(posterior)[1] / 2 - shape * np.log(rate)
    probability = np.exp(evidence - evidence.max())
    variance = rate / shape * (1 + np.einsum("mi,mij,mj->m", there, np.linalg.inv(posterior), there))
    return Prediction(
        probability / probability.sum(),
        y[-1] + spread * np.einsum("mi,mi->m", mean, there),
        spread * np.sqrt(variance),
        2 * shape,
    )


def _shapes(u: np.ndarray, end: float) -> np.ndarray:  # (k,) -> (m, k)
    powers = u[None] ** -np.array(POWERS)[:, None]
    return np.concatenate([powers, np.exp(-(u[None] - 1) / (np.array(TIMES)[:, None] * end))])
