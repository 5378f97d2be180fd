"""The results behind GANs as functions of arrays: divergences, the optimal discriminator, games.

Distributions are given in one of three ways. As weights: ``p`` and ``q`` are probabilities of the
same outcomes, and integrals are sums. As densities on a grid: ``p`` and ``q`` are values at the
points ``x``, and integrals are trapezoidal sums, which for smooth densities that vanish at both
ends err by less than rounding. As samples: arrays of numbers. The identities, with D the
discriminator, p the data, q the model, s the sigmoid and logarithms natural::

    V(D, G)     =  int p log D + q log(1 - D)
    D*          =  p / (p + q)                      maximizes V pointwise
    V(D*, G)    =  2 JS(p, q) - 2 log 2             -2 log 2 = -1.3863 where p = q
    JS(p, q)    =  KL(p, m) / 2 + KL(q, m) / 2      m = (p + q) / 2; at most log 2
    W(p, q)     =  int |P - Q|                      of distribution functions, in one dimension
    J_G         =  log(1 - D), -log D, -D/(1 - D)   minimax, non-saturating, maximum likelihood

Everything here is plain NumPy in float64, so that the engine's results can be checked against it.
Sources: Goodfellow et al. 2014, sections 3 and 4, Goodfellow 2016, Arjovsky et al. 2017 and the
five lectures, whose slides the notebooks name.

Leaves out: optimal transport in more than one dimension (the notebook on Wasserstein distances
solves small cases by linear programming), estimates of divergences from samples of unknown density.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

__all__ = [
    "GENERATOR_COSTS",
    "GeneratorCost",
    "alternating_descent",
    "js",
    "js_monte_carlo",
    "js_of_shifted_boxes",
    "kl",
    "kl_monte_carlo",
    "kl_of_normals",
    "kl_to_standard_normal",
    "log_normal_pdf",
    "max_min",
    "min_max",
    "monotone_plan",
    "normal_pdf",
    "optimal_discriminator",
    "simultaneous_descent",
    "total_variation",
    "value",
    "value_of_logits",
    "wasserstein_1d",
    "wasserstein_1d_of_densities",
]

Array = np.ndarray


# ---------------------------------------------------------------------------------- distributions


def log_normal_pdf(x: Array, mu: float = 0.0, sigma: float = 1.0) -> Array:
    """The logarithm of the density of N(mu, sigma^2) at ``x``, of any shape.

    Raises
    ------
    ValueError
        Unless sigma > 0.
    """
    if not sigma > 0:
        raise ValueError(f"normal density: sigma must be above 0, got {sigma}")
    return -0.5 * ((np.asarray(x) - mu) / sigma) ** 2 - np.log(sigma * np.sqrt(2 * np.pi))


def normal_pdf(x: Array, mu: float = 0.0, sigma: float = 1.0) -> Array:
    """The density of N(mu, sigma^2) at ``x``, of any shape; ValueError unless sigma > 0."""
    return np.exp(log_normal_pdf(x, mu, sigma))


def _pair(name: str, p: Array, q: Array, x: Array | None) -> tuple[Array, Array]:
    """Both as float64, checked: equal shapes, not negative, one value for each x."""
    p, q = np.asarray(p, dtype=np.float64), np.asarray(q, dtype=np.float64)
    if p.shape != q.shape or p.ndim != 1 or len(p) == 0:
        raise ValueError(f"{name}: wants two lists of equal length, got {p.shape} and {q.shape}")
    if not (np.isfinite(p).all() and np.isfinite(q).all() and (p >= 0).all() and (q >= 0).all()):
        raise ValueError(f"{name}: probabilities and densities are finite and not negative")
    if x is not None:
        x = np.asarray(x)
        if x.shape != p.shape or len(x) < 2 or not (np.diff(x) > 0).all():
            raise ValueError(f"{name}: x must be {p.shape} increasing points, at least two, got "
                             f"{x.shape}")
    return p, q


def _distributions(name: str, p: Array, q: Array, x: Array | None) -> tuple[Array, Array]:
    """As ``_pair``, and weights (no x) must sum to 1."""
    p, q = _pair(name, p, q, x)
    if x is None and not (abs(p.sum() - 1) < 1e-6 and abs(q.sum() - 1) < 1e-6):
        raise ValueError(f"{name}: probabilities sum to 1, got {p.sum():.6g} and {q.sum():.6g}; "
                         "densities need the points x")
    return p, q


def _integral(values: Array, x: Array | None) -> float:
    return float(values.sum() if x is None else np.trapezoid(values, x))


def _times_log(weight: Array, ratio: Array) -> Array:
    """weight * log(ratio), which is 0 where the weight is 0 whatever the ratio."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(weight > 0, weight * np.log(ratio), 0.0)


def _ratio(a: Array, b: Array) -> Array:
    with np.errstate(divide="ignore", invalid="ignore"):
        return a / b


# ------------------------------------------------------------------------------------ divergences


def kl(p: Array, q: Array, x: Array | None = None) -> float:
    """The Kullback-Leibler divergence KL(p, q) = int p log(p / q), in nats.

    Parameters
    ----------
    p, q : array, (n,)
        Probabilities, or densities at the points ``x``. Infinite where p has mass and q has none.
    x : array, (n,), optional
        Increasing points of a grid.

    Raises
    ------
    ValueError
        For other shapes, negative values, points that do not increase, or, without points, weights
        that do not sum to 1.
    """
    p, q = _distributions("kl", p, q, x)
    return _integral(_times_log(p, p) - _times_log(p, q), x)  # p / q itself may overflow


def js(p: Array, q: Array, x: Array | None = None) -> float:
    """The Jensen-Shannon divergence, in nats: from 0 where p = q to log 2 where they are disjoint.

    Arguments and errors as for ``kl``. Source: S4, "Comparison of distributions".
    """
    p, q = _distributions("js", p, q, x)
    both = p + q  # twice the mean, which would underflow where this does not
    return 0.5 * _integral(
        _times_log(p, _ratio(2 * p, both)) + _times_log(q, _ratio(2 * q, both)), x)


def total_variation(p: Array, q: Array, x: Array | None = None) -> float:
    """Half the integral of |p - q|: the mass that would have to move, from 0 to 1.

    Arguments and errors as for ``kl``. 1/2 + TV/2 is the accuracy of the best discriminator.
    """
    p, q = _distributions("total_variation", p, q, x)
    return 0.5 * _integral(np.abs(p - q), x)


def kl_of_normals(mu_p: float, sigma_p: float, mu_q: float, sigma_q: float) -> float:
    """KL of N(mu_p, sigma_p^2) from N(mu_q, sigma_q^2) in closed form, in nats.

    Raises
    ------
    ValueError
        Unless both sigmas are above 0.
    """
    if not (sigma_p > 0 and sigma_q > 0):
        raise ValueError(f"kl_of_normals: sigmas must be above 0, got {sigma_p} and {sigma_q}")
    ratio = sigma_p / sigma_q
    return 0.5 * float(ratio**2 + ((mu_p - mu_q) / sigma_q) ** 2 - 1) - float(np.log(ratio))


def kl_to_standard_normal(mu: Array, sigma: Array) -> float:
    """KL of N(mu, diag sigma^2) from N(0, I), summed over all dimensions: the VAE's second term.

    sum (mu^2 + sigma^2 - log sigma^2 - 1) / 2 over arrays of one shape, in nats. Source: Kingma
    and Welling 2014, appendix B; slide S4 "Variational autoencoders".
    """
    mu, variance = np.asarray(mu, dtype=np.float64), np.square(np.asarray(sigma, dtype=np.float64))
    if mu.shape != variance.shape:
        raise ValueError(f"kl_to_standard_normal: mu and sigma must have one shape, got {mu.shape} "
                         f"and {variance.shape}")
    if not (variance > 0).all():
        raise ValueError("kl_to_standard_normal: every sigma must be other than 0")
    return 0.5 * float(np.sum(np.square(mu) + variance - np.log(variance) - 1))


def js_of_shifted_boxes(shift: float) -> float:
    """JS of the uniform distributions on [0, 1] and [shift, 1 + shift]: log 2 times min(|s|, 1).

    Outside the overlap one density is 0, and the mass there, |s| of each, counts log 2; inside
    both are equal and count nothing. From |s| = 1 on JS no longer feels the distance.
    """
    return float(np.log(2.0) * min(abs(shift), 1.0))


LogDensity = Callable[[Array], Array]


def kl_monte_carlo(samples: Array, log_p: LogDensity, log_q: LogDensity) -> tuple[float, float]:
    """KL(p, q) from samples of p, and the standard error of the estimate, in nats.

    The mean of log p - log q over ``samples`` (n,), n >= 2; ValueError for fewer.
    """
    terms = np.asarray(log_p(samples)) - np.asarray(log_q(samples))
    return _mean_and_error("kl_monte_carlo", terms)


def js_monte_carlo(
    samples_p: Array, samples_q: Array, log_p: LogDensity, log_q: LogDensity
) -> tuple[float, float]:
    """JS(p, q) from samples of both, and the standard error of the estimate, in nats.

    log 2 + (mean over p of log D* + mean over q of log(1 - D*)) / 2: what a discriminator that is
    optimal would be paid. The logit of D* is log p - log q.
    """
    logits_p = np.asarray(log_p(samples_p)) - np.asarray(log_q(samples_p))
    logits_q = np.asarray(log_p(samples_q)) - np.asarray(log_q(samples_q))
    real, real_error = _mean_and_error("js_monte_carlo", -np.logaddexp(0, -logits_p))
    fake, fake_error = _mean_and_error("js_monte_carlo", -np.logaddexp(0, logits_q))
    return float(np.log(2) + (real + fake) / 2), float(np.hypot(real_error, fake_error) / 2)


def _mean_and_error(name: str, terms: Array) -> tuple[float, float]:
    if terms.ndim != 1 or len(terms) < 2:
        raise ValueError(f"{name}: wants at least two samples in one list, got {terms.shape}")
    return float(terms.mean()), float(terms.std(ddof=1) / np.sqrt(len(terms)))


# ------------------------------------------------------------------------------- the discriminator


def optimal_discriminator(
    p: Array, q: Array, *, real_label: float = 1.0, fake_label: float = 0.0
) -> Array:
    """D* at every point: p / (p + q), or (real_label p + fake_label q) / (p + q) for smooth labels.

    Parameters
    ----------
    p, q : array, (n,)
        Probabilities or densities of data and model at the same points.
    real_label, fake_label : float
        What D is asked to answer. 0.9 and 0 is one-sided smoothing (Salimans et al. 2016).

    Returns
    -------
    array, (n,)
        NaN where neither has mass: nothing is ever asked there. Source: Goodfellow et al. 2014,
        proposition 1; slide S4 "Optimal discriminator loss".
    """
    p, q = _pair("optimal_discriminator", p, q, None)
    return _ratio(real_label * p + fake_label * q, p + q)


def value(D: Array, p: Array, q: Array, x: Array | None = None) -> float:
    """V(D, G) = int p log D + q log(1 - D), what the discriminator maximizes; -J_D.

    ``D`` (n,) holds probabilities; the other arguments are those of ``kl``. Minus infinity where
    D is certain and wrong, which D* is never, but for rounding: far out, where one density is more
    than 10^16 times the other, use ``value_of_logits``. Source: Goodfellow et al. 2014, equation 1.

    Raises
    ------
    ValueError
        Also for answers outside [0, 1] where p or q has mass.
    """
    p, q = _distributions("value", p, q, x)
    D = np.asarray(D, dtype=np.float64)
    if D.shape != p.shape:
        raise ValueError(f"value: D must have the shape of p, {p.shape}, got {D.shape}")
    asked = (p > 0) | (q > 0)
    if not ((D[asked] >= 0) & (D[asked] <= 1)).all():
        raise ValueError("value: D holds probabilities, from 0 to 1 wherever p or q has mass")
    return _integral(_times_log(p, D) + _times_log(q, 1 - D), x)


def value_of_logits(logits: Array, p: Array, q: Array, x: Array | None = None) -> float:
    """V of D = s(a), given by its logits a (n,): int -p softplus(-a) - q softplus(a).

    Finite for every finite logit. The logit of D* is log p - log q. Arguments and errors as for
    ``value``.
    """
    p, q = _distributions("value_of_logits", p, q, x)
    logits = np.asarray(logits, dtype=np.float64)
    if logits.shape != p.shape:
        raise ValueError(f"value_of_logits: logits must have the shape of p, {p.shape}, got "
                         f"{logits.shape}")
    return -_integral(p * np.logaddexp(0, -logits) + q * np.logaddexp(0, logits), x)


# ---------------------------------------------------------------------------------- earth movers


def wasserstein_1d(a: Array, b: Array) -> float:
    """The Wasserstein-1 distance of two samples on a line: mean distance in sorted order.

    In one dimension the cheapest plan keeps the order. Samples of different sizes, (n,) and (m,),
    are compared through their quantile functions, which are steps of height 1/n and 1/m.

    Raises
    ------
    ValueError
        For empty samples, NaN, or more than one dimension. Source: slide S4 "Wasserstein
        distance"; Arjovsky et al. 2017, equation 1.
    """
    a, b = (np.sort(np.asarray(v, dtype=np.float64)) for v in (a, b))
    for name, v in (("a", a), ("b", b)):
        if v.ndim != 1 or len(v) == 0 or not np.isfinite(v).all():
            raise ValueError(f"wasserstein_1d: {name} must be a list of finite numbers, got "
                             f"{v.shape}")
    # Levels at which either quantile function jumps, in units of 1/(n m) so that none is missed.
    levels = np.union1d(np.arange(len(a) + 1) * len(b), np.arange(len(b) + 1) * len(a))
    start, width = levels[:-1], np.diff(levels)
    distance = np.abs(a[start // len(b)] - b[start // len(a)])
    return float((distance * width).sum() / (len(a) * len(b)))


def wasserstein_1d_of_densities(p: Array, q: Array, x: Array) -> float:
    """The Wasserstein-1 distance of two densities on the grid ``x``: int |P - Q|.

    P and Q are the distribution functions, made of trapezoids. Arguments and errors as for ``kl``.
    """
    p, q = _pair("wasserstein_1d_of_densities", p, q, x)
    steps = np.diff(x) * (p[1:] + p[:-1] - q[1:] - q[:-1]) / 2
    return _integral(np.abs(np.concatenate([[0.0], np.cumsum(steps)])), x)


def monotone_plan(p: Array, q: Array) -> Array:
    """The cheapest way to move earth on a line: plan[i, j] goes from place i to place j.

    Fills the piles of q from the left with those of p from the left. A plan is a joint
    distribution with p as sum of its rows and q as sum of its columns.

    Parameters
    ----------
    p, q : array, (n,) and (m,)
        Masses at increasing places, of equal sum.

    Raises
    ------
    ValueError
        For negative masses or sums that differ.
    """
    p, q = np.asarray(p, dtype=np.float64), np.asarray(q, dtype=np.float64)
    for v in (p, q):
        if v.ndim != 1 or not np.isfinite(v).all() or (v < 0).any():
            raise ValueError(f"monotone_plan: wants two lists of finite masses, none negative, got "
                             f"{p.shape} and {q.shape}")
    if not np.isclose(p.sum(), q.sum(), rtol=1e-9, atol=0):
        raise ValueError(f"monotone_plan: {p.sum()} of earth cannot fill holes of {q.sum()}")
    ends_p, ends_q = np.cumsum(p), np.cumsum(q)
    overlap = np.minimum(ends_p[:, None], ends_q) - np.maximum((ends_p - p)[:, None], ends_q - q)
    return np.maximum(overlap, 0.0)


# ------------------------------------------------------------------------------------- the players


@dataclass(frozen=True)
class GeneratorCost:
    """What a generator pays for one sample, as a function of D's logit a for it.

    Attributes
    ----------
    name, formula : str
        ``formula`` in D = s(a).
    cost, slope : callable
        Array to array: the cost, and its derivative with respect to a.
    """

    name: str
    formula: str
    cost: Callable[[Array], Array]
    slope: Callable[[Array], Array]


def _sigmoid(a: Array) -> Array:
    return np.exp(-np.logaddexp(0.0, -np.asarray(a, dtype=np.float64)))


GENERATOR_COSTS: tuple[GeneratorCost, ...] = (
    GeneratorCost("minimax", "log(1 - D)",
                  lambda a: -np.logaddexp(0.0, a), lambda a: -_sigmoid(a)),
    GeneratorCost("non-saturating", "-log D",
                  lambda a: np.logaddexp(0.0, np.negative(a)), lambda a: -_sigmoid(np.negative(a))),
    GeneratorCost("maximum likelihood", "-D / (1 - D)",
                  lambda a: -np.exp(a), lambda a: -np.exp(a)),
)
"""The three costs of Goodfellow 2016, figure 16 (slide S4 "The generator cost function"), where all
three are halved. With D = D* the mean slope of the third is that of KL(data, model), and of the
second that of KL(model, data) - 2 JS, which is 2 KL((data + model) / 2, data)."""


def min_max(payoff: Array) -> float:
    """min over rows of the max over columns: the minimizer moves first and D answers.

    ``payoff`` (n, m) is V for every choice of G (row) and D (column).
    """
    return float(_payoff(payoff).max(axis=1).min())


def max_min(payoff: Array) -> float:
    """max over columns of the min over rows: D moves first and G answers; never above ``min_max``.

    ``payoff`` (n, m) is V for every choice of G (row) and D (column).
    """
    return float(_payoff(payoff).min(axis=0).max())


def _payoff(payoff: Array) -> Array:
    payoff = np.asarray(payoff, dtype=np.float64)
    if payoff.ndim != 2 or 0 in payoff.shape or np.isnan(payoff).any():
        raise ValueError(f"a game wants a table of payoffs, (n, m) without NaN, got {payoff.shape}")
    return payoff


def _path(x: float, y: float, steps: int) -> Array:
    if steps < 0:
        raise ValueError(f"descent: wants 0 steps or more, got {steps}")
    path = np.empty((steps + 1, 2))
    path[0] = x, y
    return path


def simultaneous_descent(x: float, y: float, rate: float, steps: int) -> Array:
    """The path of both players on V = x y who step at once: (steps + 1, 2) points.

    x goes down its slope y, y up its slope x. Every step is a turn and a growth of the radius by
    sqrt(1 + rate^2): the only rest point, 0, repels. Source: slide S4 "Challenges".
    """
    path = _path(x, y, steps)
    for i in range(steps):
        x, y = x - rate * y, y + rate * x
        path[i + 1] = x, y
    return path


def alternating_descent(x: float, y: float, rate: float, steps: int) -> Array:
    """The path where y answers the new x, as in Algorithm 1: it circles, and never leaves.

    The step has determinant 1 and keeps x^2 + y^2 - rate x y, an ellipse for rate < 2; (steps + 1,
    2) points.
    """
    path = _path(x, y, steps)
    for i in range(steps):
        x = x - rate * y
        y = y + rate * x
        path[i + 1] = x, y
    return path
