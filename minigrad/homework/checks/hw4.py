"""What homework 4 asks and what is right: the minimax game.

Divergences are compared with other formulas for them: entropies, closed forms of normals, answers
found by bisection. Steps of networks are compared with a game played in NumPy, whose gradients are
written by hand for networks of two layers::

    h = leaky(x W0 + b0),  a = h W1 + b1       dW1 = h^T da,  dh = da W1^T leaky'(h), ...

Leaves out: everything of minigrad and gans.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy

from ..check import Check, Fault, Kind, Outcome
from ..runs import hw4 as runs
from .tools import Arrays, normal, numeric_gradients

__all__ = ["CHECKS"]

LOG2 = numpy.log(2.0)
EXACT = 1e-9  # for values that only rounding in float64 can change


def _filled(
    want: Callable[[Arrays], Arrays], suspects: dict[str, Callable[[Arrays], Arrays]]
) -> dict[str, Callable[[Arrays], Arrays]]:
    """Suspects that name some outputs only, with what is right for all others."""

    def fill(suspect: Callable[[Arrays], Arrays]) -> Callable[[Arrays], Arrays]:
        return lambda inputs: {**want(inputs), **suspect(inputs)}

    return {sentence: fill(suspect) for sentence, suspect in suspects.items()}



# ------------------------------------------------------------------------- Q1: D* and the value V


def _weights(rng: numpy.random.Generator, n: int) -> numpy.ndarray:
    """Probabilities of n outcomes, none of them tiny."""
    w = rng.uniform(0.2, 2.0, n)
    return w / w.sum()


def _two(rng: numpy.random.Generator) -> Arrays:
    n = int(rng.integers(4, 9))
    return {"p": _weights(rng, n), "q": _weights(rng, n)}


def _with_empty_outcomes(rng: numpy.random.Generator) -> Arrays:
    """Probabilities where the first outcome lacks mass of p, and the second of q."""
    n = int(rng.integers(5, 9))
    p, q = rng.uniform(0.2, 2.0, n), rng.uniform(0.2, 2.0, n)
    p[0] = q[1] = 0.0
    return {"p": p / p.sum(), "q": q / q.sum()}


def _without_p(rng: numpy.random.Generator) -> Arrays:
    """Probabilities where the first outcome lacks mass of p, so that p / q is finite."""
    inputs = _two(rng)
    p = inputs["p"].copy()
    p[0] = 0.0
    return {"p": p / p.sum(), "q": inputs["q"]}


def _nowhere(rng: numpy.random.Generator) -> Arrays:
    inputs = _with_empty_outcomes(rng)
    p, q = inputs["p"].copy(), inputs["q"].copy()
    p[2] = q[2] = 0.0
    return {"p": p / p.sum(), "q": q / q.sum()}


def _smooth(rng: numpy.random.Generator) -> Arrays:
    return {**_two(rng), "real_label": rng.uniform(0.7, 0.95), "fake_label": rng.uniform(0.05, 0.2)}


def _bisected(inputs: Arrays) -> Arrays:
    """The D at which the slope of the expected log likelihood of the labels is 0."""
    p, q = inputs["p"], inputs["q"]
    ones = p * inputs.get("real_label", 1.0) + q * inputs.get("fake_label", 0.0)
    zeros = p * (1 - inputs.get("real_label", 1.0)) + q * (1 - inputs.get("fake_label", 0.0))
    low, high = numpy.zeros_like(p), numpy.ones_like(p)
    for _ in range(60):
        middle = (low + high) / 2
        rising = ones * (1 - middle) > zeros * middle
        low, high = numpy.where(rising, middle, low), numpy.where(rising, high, middle)
    return {"D*": numpy.where(p + q > 0, (low + high) / 2, numpy.nan)}


def _answers(rng: numpy.random.Generator) -> Arrays:
    inputs = _two(rng)
    return {**inputs, "D": rng.uniform(0.1, 0.9, inputs["p"].size)}


def _certain(rng: numpy.random.Generator) -> Arrays:
    """D is 0 and 1 where it is right to be: no mass of p, no mass of q."""
    inputs = _with_empty_outcomes(rng)
    D = rng.uniform(0.1, 0.9, inputs["p"].size)
    D[0], D[1] = 0.0, 1.0
    return {**inputs, "D": D}


def _certain_and_wrong(rng: numpy.random.Generator) -> Arrays:
    """Ten answers, of which some are 0 or 1 somewhere, where both kinds of samples come."""
    inputs = _two(rng)
    D = rng.uniform(0.1, 0.9, (10, inputs["p"].size))
    for i in rng.permutation(10)[:int(rng.integers(4, 7))]:
        D[i, int(rng.integers(D.shape[1]))] = float(rng.integers(2))
    return {**inputs, "D": D}


def _uneven_grid(rng: numpy.random.Generator, points: int) -> numpy.ndarray:
    """Increasing points from about -16 to 16, closer together in the middle."""
    u = numpy.linspace(-1.0, 1.0, points)
    return 16.0 * (0.4 * u + 0.6 * u**3) + rng.uniform(-0.3, 0.3)


def _normals(rng: numpy.random.Generator) -> Arrays:
    """Two normal densities on a grid, and their parameters."""
    x = _uneven_grid(rng, 4001)
    mu, sigma = rng.uniform(-1.0, 1.0, 2), rng.uniform(0.7, 1.4, 2)
    sigma[1] = sigma[0] * rng.choice([0.7, 1.4])  # so that KL depends much on the order
    p, q = (numpy.exp(-((x - m) / s) ** 2 / 2) / (s * numpy.sqrt(2 * numpy.pi))
            for m, s in zip(mu, sigma, strict=True))
    return {"p": p, "q": q, "x": x, "mu of p": mu[0], "mu of q": mu[1],
            "sigma of p": sigma[0], "sigma of q": sigma[1]}


def _logistic_answers(rng: numpy.random.Generator) -> Arrays:
    inputs = _normals(rng)
    return {**inputs, "D": 1 / (1 + numpy.exp(-rng.uniform(0.3, 1.0) * inputs["x"] - 0.2))}


def _boxes(rng: numpy.random.Generator) -> Arrays:
    """Densities on a grid, made of boxes: p has two with a gap between; q has more than these.

    Right of the gap the first point has mass of both, left of it the last one, so that a trapezoid
    over the gap counts. The third box is of q alone.
    """
    x = numpy.cumsum(rng.uniform(0.02, 0.08, 60))
    first, gap, second, third = rng.integers(6, 12, 4)
    start = int(rng.integers(1, 4))
    ends = start + numpy.cumsum([first, gap, second, third])
    p, q = numpy.zeros(60), numpy.zeros(60)
    p[start:ends[0]], q[start:ends[0]] = rng.uniform(0.6, 1.2), rng.uniform(0.2, 0.4)
    p[ends[1]:ends[2]], q[ends[1]:ends[2]] = rng.uniform(0.2, 0.4), rng.uniform(0.6, 1.2)
    q[ends[2]:ends[3]] = rng.uniform(0.3, 0.9)
    return {"p": p, "q": q, "x": x}


def _boxes_and_answers(rng: numpy.random.Generator) -> Arrays:
    """D is 0 where only q has mass, and 1 at one end of the first box, where q has none here."""
    inputs = _boxes(rng)
    p, q = inputs["p"], inputs["q"].copy()
    D = rng.uniform(0.1, 0.9, p.size)
    D[(p == 0) & (q > 0)] = 0.0
    first = int(numpy.flatnonzero(p)[0])
    q[first], D[first] = 0.0, 1.0
    return {**inputs, "q": q, "D": D}


def _bridged(parts: Sequence[tuple[numpy.ndarray, numpy.ndarray]], x: numpy.ndarray) -> float:
    """Trapezoids over the points with mass alone, which also span the gaps: a usual mistake."""
    return sum(_trapezoids((mass[mass > 0] * logs[mass > 0]), x[mass > 0])
               for mass, logs in parts)


BRIDGED = ("points without mass were left out, so one trapezoid spans each gap between the others: "
           "keep all points, with 0 there")


def _value(inputs: Arrays) -> Arrays:
    """V as minus the cross entropies of a coin, added up outcome by outcome."""
    total = 0.0
    for p, q, D in zip(inputs["p"], inputs["q"], inputs["D"], strict=True):
        total += p * numpy.log(D) if p else 0.0
        total += q * numpy.log1p(-D) if q else 0.0
    return {"V": total}


def _values(inputs: Arrays) -> Arrays:
    """V of every answer."""
    return {"V": numpy.array([_value({**inputs, "D": D})["V"] for D in inputs["D"]])}


def _value_on_grid(inputs: Arrays) -> Arrays:
    """V on a grid: trapezoids of its terms, which are computed from the logits of D."""
    return {"V": _trapezoids(_terms(inputs), inputs["x"])}


def _value_of_boxes(inputs: Arrays) -> Arrays:
    """V on a grid, point by point: what has no mass counts nothing."""
    terms = [_value({name: inputs[name][i:i + 1] for name in ("p", "q", "D")})["V"]
             for i in range(inputs["x"].size)]
    return {"V": _trapezoids(numpy.array(terms), inputs["x"])}


def _terms(inputs: Arrays) -> numpy.ndarray:
    logits = numpy.log(inputs["D"]) - numpy.log1p(-inputs["D"])
    return -(inputs["p"] * numpy.logaddexp(0, -logits) + inputs["q"] * numpy.logaddexp(0, logits))


def _trapezoids(f: numpy.ndarray, x: numpy.ndarray) -> float:
    return float(((f[1:] + f[:-1]) / 2 * (x[1:] - x[:-1])).sum())


VALUE_SUSPECTS: dict[str, Callable[[Arrays], Arrays]] = {
    "sign: this is the loss J_D of the discriminator; V is minus that":
        lambda i: {"V": -_value(i)["V"]},
    "log(1 - D) has to be weighted by q, the model, not by p":
        lambda i: _value({**i, "q": i["p"]}),
    "p and q are exchanged: D is paid for the data where it says 1":
        lambda i: _value({**i, "p": i["q"], "q": i["p"]}),
    "the second logarithm is of 1 - D": lambda i: {
        "V": float(((i["p"] + i["q"]) * numpy.log(i["D"])).sum())},
    "a mean over the outcomes; probabilities are weights already, so their sum is wanted":
        lambda i: {"V": _value(i)["V"] / i["p"].size},
    "logarithms of base 2; V is in natural ones": lambda i: {"V": _value(i)["V"] / LOG2},
    "the second half, q log(1 - D), is missing":
        lambda i: {"V": float((i["p"] * numpy.log(i["D"])).sum())},
}


def _best_and_beside(rng: numpy.random.Generator) -> Arrays:
    inputs = _two(rng)
    changes = rng.uniform(0.02, 0.2, (6, inputs["p"].size)) * rng.choice([-1, 1], (6, 1))
    return {**inputs, "changes": changes}


def _is_largest(inputs: Arrays, outputs: Arrays) -> Fault | None:
    """V(D*) is what a search finds, and larger than V beside D*."""
    grid = numpy.linspace(0.0005, 0.9995, 1000)
    p, q = inputs["p"][:, None], inputs["q"][:, None]
    searched = float((p * numpy.log(grid) + q * numpy.log(1 - grid)).max(axis=1).sum())
    fault = _one_number("V(D*)", outputs["V(D*)"])
    if fault is not None:
        return fault
    found = float(outputs["V(D*)"])
    if not abs(found - searched) < 1e-5:
        return Fault(f"V(D*): yours {found:.6f}, a search among 1,000 answers at every outcome "
                     f"finds {searched:.6f}",
                     "V(D*) is the largest V: one of both functions is wrong")
    beside = outputs["V beside D*"]
    if beside.shape != (len(inputs["changes"]),):
        return Fault(f"V beside D*: shape {beside.shape}, want one number each", "V is a number",
                     Outcome.SHAPE)
    if not (beside < found).all():
        return Fault(f"V beside D* is {beside.max():.6f}, and at D* {found:.6f}; want it lower",
                     "D* is the maximum of V: every other D is paid less")
    return None


def _one_number(name: str, got: numpy.ndarray) -> Fault | None:
    if got.shape != ():
        return Fault(f"{name}: shape got {got.shape}, want ()", "one number is wanted",
                     Outcome.SHAPE)
    return None


Q1 = (
    Check("hw4.Q1.best.share", runs.best_answer, _without_p, _bisected, tol=EXACT,
          suspects={
              "p and q are exchanged: D answers how likely a sample is real":
                  lambda i: {"D*": 1 - _bisected(i)["D*"]},
              "a ratio p / q; D* is the share of p in both together":
                  lambda i: {"D*": i["p"] / i["q"]},
              "divided by the mean of p and q instead of by their sum":
                  lambda i: {"D*": 2 * _bisected(i)["D*"]},
              "the smaller one over the larger one; D* is a share of the sum":
                  lambda i: {"D*": numpy.minimum(i["p"], i["q"]) / numpy.maximum(i["p"], i["q"])},
          }),
    Check("hw4.Q1.best.nowhere", runs.best_answer, _nowhere, _bisected, tol=EXACT),
    Check("hw4.Q1.best.smooth", runs.best_answer, _smooth, _bisected, tol=EXACT, suspects={
        "the labels are not used": lambda i: _bisected({"p": i["p"], "q": i["q"]}),
        "real_label is not used": lambda i: _bisected({**i, "real_label": 1.0}),
        "fake_label is not used": lambda i: _bisected({**i, "fake_label": 0.0}),
        "the labels weigh p and q in the denominator, too; there all samples count":
            lambda i: {"D*": i["real_label"] * i["p"] / (i["real_label"] * i["p"]
                                                         + i["fake_label"] * i["q"])},
        "the labels are exchanged: real_label belongs to p, fake_label to q":
            lambda i: _bisected({**i, "real_label": i["fake_label"],
                                 "fake_label": i["real_label"]}),
    }),
    Check("hw4.Q1.value.weights", runs.value, _answers, _value, tol=EXACT,
          suspects=VALUE_SUSPECTS),
    Check("hw4.Q1.value.grid", runs.value, _logistic_answers, _value_on_grid, tol=1e-7, suspects={
        "sign: this is the loss J_D of the discriminator; V is minus that":
            lambda i: {"V": -_value_on_grid(i)["V"]},
        "a plain sum: with the points x given, integrate over x":
            lambda i: {"V": float(_terms(i).sum())},
        "a sum times one step of the grid: the points need not have equal distances":
            lambda i: {"V": float(_terms(i).sum() * (i["x"][1] - i["x"][0]))},
    }),
    Check("hw4.Q1.value.boxes", runs.value, _boxes_and_answers, _value_of_boxes, tol=EXACT,
          suspects={BRIDGED: lambda i: {"V": _bridged(
              [(i["p"], numpy.log(i["D"])), (i["q"], numpy.log1p(-i["D"]))], i["x"])}}),
    Check("hw4.Q1.value.certain", runs.value, _certain, _value, tol=EXACT,
          suspects=VALUE_SUSPECTS),
    Check("hw4.Q1.value.wrong", runs.values, _certain_and_wrong, _values, tol=EXACT),
    Check("hw4.Q1.value.largest", runs.value_of_best, _best_and_beside, _is_largest,
          kind=Kind.PROPERTY, blames={"D*": "optimal_discriminator"}),
)


# ------------------------------------------------------------------------------- Q2: divergences


def _half_empty(rng: numpy.random.Generator) -> Arrays:
    """p lacks an outcome of q, so KL(p, q) is finite and KL(q, p) is not; both lack another."""
    n = int(rng.integers(5, 9))
    p, q = rng.uniform(0.2, 2.0, n), rng.uniform(0.2, 2.0, n)
    p[0] = p[2] = q[2] = 0.0
    return {"p": p / p.sum(), "q": q / q.sum()}


def _entropy(p: numpy.ndarray) -> float:
    inside = p[p > 0]
    return float(-(inside * numpy.log(inside)).sum())


def _cross(p: numpy.ndarray, q: numpy.ndarray) -> float:
    """The cross entropy of p and q: infinite where q lacks mass that p has."""
    if (q[p > 0] == 0).any():
        return float("inf")
    inside = p > 0
    return float(-(p[inside] * numpy.log(q[inside])).sum())


def _kl(p: numpy.ndarray, q: numpy.ndarray) -> float:
    """How many nats longer p's code gets with the code words of q."""
    return _cross(p, q) - _entropy(p)


def _kls(inputs: Arrays) -> Arrays:
    p, q = inputs["p"], inputs["q"]
    return {"KL(p, q)": _kl(p, q), "KL(q, p)": _kl(q, p)}


def _kls_of_normals(inputs: Arrays) -> Arrays:
    """In closed form."""
    m, n, s, t = (inputs[name] for name in ("mu of p", "mu of q", "sigma of p", "sigma of q"))

    def closed(m: float, s: float, n: float, t: float) -> float:
        return float(numpy.log(t / s) + (s**2 + (m - n) ** 2) / (2 * t**2) - 0.5)

    return {"KL(p, q)": closed(m, s, n, t), "KL(q, p)": closed(n, t, m, s)}


def _x_log_x(a: numpy.ndarray) -> numpy.ndarray:
    return a * numpy.log(numpy.where(a > 0, a, 1.0))


def _kls_of_boxes(inputs: Arrays) -> Arrays:
    """On a grid; infinite the other way round, where p lacks mass that q has."""
    p, q, x = inputs["p"], inputs["q"], inputs["x"]
    crossed = p * numpy.log(numpy.where(q > 0, q, 1.0))
    return {"KL(p, q)": _trapezoids(_x_log_x(p) - crossed, x), "KL(q, p)": float("inf")}


def _js_of_boxes(inputs: Arrays) -> Arrays:
    p, q, x = inputs["p"], inputs["q"], inputs["x"]
    return {"JS": _trapezoids((_x_log_x(p) + _x_log_x(q)) / 2 - _x_log_x((p + q) / 2), x)}


def _turned(wanted: Arrays) -> Arrays:
    return {"KL(p, q)": wanted["KL(q, p)"], "KL(q, p)": wanted["KL(p, q)"]}


def _scaled(wanted: Arrays, factor: float) -> Arrays:
    return {name: factor * number for name, number in wanted.items()}


def _kl_suspects(wanted: Callable[[Arrays], Arrays]) -> dict[str, Callable[[Arrays], Arrays]]:
    return {
        "KL the wrong way round: KL(p, q) weighs the logarithm of p / q by p":
            lambda i: _turned(wanted(i)),
        "sign: KL is never negative; the logarithm is of p / q, not of q / p":
            lambda i: _scaled(wanted(i), -1.0),
        "logarithms of base 2; nats are asked for": lambda i: _scaled(wanted(i), 1 / LOG2),
        "the mean of both directions; KL has one": lambda i: dict.fromkeys(
            ("KL(p, q)", "KL(q, p)"), sum(wanted(i).values()) / 2),
        "the cross entropy alone: the entropy of p has to be taken off": lambda i: {
            "KL(p, q)": _cross(i["p"], i["q"]), "KL(q, p)": _cross(i["q"], i["p"])},
    }


def _entropies(inputs: Arrays) -> Arrays:
    """JS as the entropy of the mixture less the mean of both entropies."""
    p, q = inputs["p"], inputs["q"]
    return {"JS": _entropy((p + q) / 2) - (_entropy(p) + _entropy(q)) / 2}


def _js_of_normals(inputs: Arrays) -> Arrays:
    """log 2 plus half of what the best D, by its logit, is paid; on a grid of its own."""
    m, n, s, t = (inputs[name] for name in ("mu of p", "mu of q", "sigma of p", "sigma of q"))
    x = numpy.linspace(-18.0, 18.0, 6001)
    log_p, log_q = (-((x - c) / w) ** 2 / 2 - numpy.log(w * numpy.sqrt(2 * numpy.pi))
                    for c, w in ((m, s), (n, t)))
    logit = log_p - log_q
    paid = -(numpy.exp(log_p) * numpy.logaddexp(0, -logit)
             + numpy.exp(log_q) * numpy.logaddexp(0, logit))
    return {"JS": LOG2 + _trapezoids(paid, x) / 2}


def _js_suspects(wanted: Callable[[Arrays], Arrays]) -> dict[str, Callable[[Arrays], Arrays]]:
    return {
        "the halves are missing: JS is the mean of two KL, not their sum":
            lambda i: _scaled(wanted(i), 2.0),
        "logarithms of base 2; nats are asked for": lambda i: _scaled(wanted(i), 1 / LOG2),
        "the mixture is not halved: m = (p + q) / 2":
            lambda i: {"JS": wanted(i)["JS"] - LOG2},
        "the mixture is not halved, and the halves are missing: m = (p + q) / 2":
            lambda i: {"JS": 2 * wanted(i)["JS"] - 2 * LOG2},
        "the mean of KL(p, q) and KL(q, p); both have to be compared with the mixture":
            lambda i: {"JS": sum(_kls(i).values()) / 2},
        "KL the wrong way round: p and q are weighed, not the mixture": lambda i: {
            "JS": sum(_kl((i["p"] + i["q"]) / 2, i[name]) for name in "pq") / 2},
        "the root of JS; this is the distance, not the divergence":
            lambda i: {"JS": numpy.sqrt(max(wanted(i)["JS"], 0.0))},
    }


def _keeps_its_properties(inputs: Arrays, outputs: Arrays) -> Fault | None:
    """0 <= JS <= log 2, symmetric, 0 of equal and log 2 of disjoint ones, and V(D*) by it."""
    for name, got in outputs.items():
        fault = _one_number(name, got)
        if fault is not None:
            return fault
    there, back, same, apart = (float(outputs[name]) for name in (
        "JS(p, q)", "JS(q, p)", "JS(p, p)", "JS of disjoint ones"))
    p, q = inputs["p"], inputs["q"]
    best = _bisected(inputs)["D*"]
    paid = _value({**inputs, "D": best})["V"]
    if not abs(there - back) < 1e-10:
        return Fault(f"JS(p, q) is {there:.6f} and JS(q, p) is {back:.6f}; want them equal",
                     "JS is symmetric: p and q have equal parts in it")
    if not abs(same) < 1e-10:
        return Fault(f"JS(p, p): yours {same:.6f}, want 0",
                     "the mixture of p with itself is p: is it halved?")
    if not 0.0 <= there <= LOG2:
        return Fault(f"JS(p, q): yours {there:.6f}, want it from 0 to log 2 = {LOG2:.6f}",
                     "the mixture is (p + q) / 2, and each KL counts half")
    if not abs(apart - LOG2) < 1e-10:
        return Fault(f"JS of disjoint distributions: yours {apart:.6f}, want log 2 = {LOG2:.6f}",
                     "where only one has mass, the mixture is half of it; 0 log 0 is 0")
    if not abs(2 * there - 2 * LOG2 - paid) < 1e-9:
        return Fault(f"2 JS - 2 log 2: yours {2 * there - 2 * LOG2:.6f}, want V(D*) = {paid:.6f}, "
                     f"for p {p.round(3).tolist()} and q {q.round(3).tolist()}",
                     "V(D*, G) = -2 log 2 + 2 JS")
    return None


Q2 = (
    Check("hw4.Q2.kl.weights", runs.divergence_kl, _two, _kls, tol=EXACT,
          suspects=_kl_suspects(_kls)),
    Check("hw4.Q2.kl.normals", runs.divergence_kl, _normals, _kls_of_normals, tol=2e-5, suspects={
        **_kl_suspects(_kls_of_normals),
        "a plain sum: with the points x given, integrate over x": _kls,
    }),
    Check("hw4.Q2.kl.boxes", runs.divergence_kl, _boxes, _kls_of_boxes, tol=EXACT, suspects={
        BRIDGED: lambda i: {"KL(p, q)": _bridged(
            [(i["p"], numpy.log(i["p"]) - numpy.log(i["q"]))], i["x"])},
    }),
    Check("hw4.Q2.kl.empty", runs.divergence_kl, _half_empty, _kls, tol=EXACT,
          suspects=_kl_suspects(_kls)),
    Check("hw4.Q2.js.weights", runs.divergence_js, _two, _entropies, tol=EXACT,
          suspects=_js_suspects(_entropies)),
    Check("hw4.Q2.js.normals", runs.divergence_js, _normals, _js_of_normals, tol=2e-5,
          suspects=_js_suspects(_js_of_normals)),
    Check("hw4.Q2.js.boxes", runs.divergence_js, _boxes, _js_of_boxes, tol=EXACT, suspects={
        BRIDGED: lambda i: {"JS": _bridged(
            [(i[name], numpy.log(2 * i[name] / (i["p"] + i["q"]))) for name in "pq"],
            i["x"]) / 2},
    }),
    Check("hw4.Q2.js.empty", runs.divergence_js, _with_empty_outcomes, _entropies, tol=EXACT,
          suspects=_js_suspects(_entropies)),
    Check("hw4.Q2.js.properties", runs.js_properties, _two, _keeps_its_properties,
          kind=Kind.PROPERTY),
)


# --------------------------------------------------------------------------------- Q3: objectives


def _softplus(a: numpy.ndarray) -> numpy.ndarray:
    """-log(1 - s(a)); as for -log s(a), take -a."""
    return numpy.logaddexp(0.0, a)


def _sigmoid(a: numpy.ndarray) -> numpy.ndarray:
    return 0.5 + 0.5 * numpy.tanh(a / 2)


def _logits(rng: numpy.random.Generator) -> Arrays:
    """Logits of a real and a fake batch, which have different sizes."""
    real = int(rng.integers(3, 6))
    return {"real": normal(rng, real, 1) + 0.5, "fake": normal(rng, real + 2, 1) - 0.5}


def _labelled_logits(rng: numpy.random.Generator) -> Arrays:
    return {**_logits(rng), "real_label": rng.uniform(0.7, 0.95)}


def _logits_of_any_shape(rng: numpy.random.Generator) -> Arrays:
    """A list of logits, and a map of them for every sample; batches of different sizes."""
    real, fake = (int(n) for n in rng.permutation([3, 4, 5])[:2])
    maps = (int(rng.integers(1, 3)), 3, 2)
    return {"list of real": normal(rng, real) + 0.5, "list of fake": normal(rng, fake) - 0.5,
            "maps of real": normal(rng, real, *maps) + 0.5,
            "maps of fake": normal(rng, fake, *maps) - 0.5}


def _large_logits(rng: numpy.random.Generator) -> Arrays:
    """Logits around 1000 of both signs, where exp overflows and 1 - s(a) is 0."""
    large = numpy.array([[1000.0], [-1000.0], [400.0], [-40.0]])
    return {name: rng.permutation(large) + normal(rng, 4, 1) for name in ("real", "fake")}


def _d_cost(real: numpy.ndarray, fake: numpy.ndarray, real_label: float = 1.0,
            fake_label: float = 0.0) -> numpy.ndarray:
    """J_D of logits: log likelihoods of the labels under s(a), as means over each batch."""
    of_real = real_label * _softplus(-real) + (1 - real_label) * _softplus(real)
    of_fake = fake_label * _softplus(-fake) + (1 - fake_label) * _softplus(fake)
    return of_real.mean() + of_fake.mean()


def _by_differences(
    f: Callable[..., numpy.ndarray], names: Sequence[str]
) -> Callable[[Arrays], Arrays]:
    """The loss, and its gradients by differences."""

    def want(inputs: Arrays) -> Arrays:
        labels = [float(inputs["real_label"])] if "real_label" in inputs else []

        def cost(*logits: numpy.ndarray) -> numpy.ndarray:
            return f(*logits, *labels)

        gradients = numeric_gradients(cost, {**inputs, "upstream": numpy.ones(())}, names)
        return {"loss": cost(*(inputs[name] for name in names)), **gradients}

    return want


def _d_suspect(real_label: float | None = None, fake_label: float = 0.0, both: float = 1.0,
               ) -> Callable[[Arrays], Arrays]:
    """J_D with other labels, or times a factor; ``real_label`` None is that of the inputs."""

    def suspect(inputs: Arrays) -> Arrays:
        label = float(inputs.get("real_label", 1.0)) if real_label is None else real_label
        return _by_differences(
            lambda a, b: both * _d_cost(a, b, label, fake_label), ["real", "fake"])(
                {name: inputs[name] for name in ("real", "fake")})

    return suspect


def _sums(inputs: Arrays) -> Arrays:
    def cost(real: numpy.ndarray, fake: numpy.ndarray) -> numpy.ndarray:
        return _softplus(-real).sum() + _softplus(fake).sum()

    return _by_differences(cost, ["real", "fake"])({n: inputs[n] for n in ("real", "fake")})


def _one_batch(inputs: Arrays) -> Arrays:
    """One mean over both batches together."""

    def cost(real: numpy.ndarray, fake: numpy.ndarray) -> numpy.ndarray:
        return numpy.concatenate([_softplus(-real), _softplus(fake)]).mean()

    return _by_differences(cost, ["real", "fake"])({n: inputs[n] for n in ("real", "fake")})


D_SUSPECTS: dict[str, Callable[[Arrays], Arrays]] = {
    "the labels are exchanged: real samples have label 1, fakes 0":
        lambda i: _d_suspect(1.0 - float(i.get("real_label", 1.0)), 1.0)(i),
    "sign: this is V; D minimizes J_D = -V": _d_suspect(both=-1.0),
    "half of J_D: it is a sum of two means": _d_suspect(both=0.5),
    "fakes have label 1 here; D is asked to call them 0": _d_suspect(fake_label=1.0),
    "one mean over both batches; each batch has a mean of its own": _one_batch,
    "sums over the batches instead of means": _sums,
}


def _costs_of_g(inputs: Arrays) -> Arrays:
    fake = inputs["fake"]
    return {"minimax": -_softplus(fake).mean(), "non-saturating": _softplus(-fake).mean()}


def _g_suspects(right: str) -> dict[str, Callable[[Arrays], Arrays]]:
    as_loss = _g_wanted

    def smooth(inputs: Arrays) -> Arrays:
        label = float(inputs["real_label"])
        sign, label = (-1, 1 - label) if right == "minimax" else (1, label)
        return as_loss(lambda a: sign * (label * _softplus(-a)
                                         + (1 - label) * _softplus(a)).mean())(inputs)

    other = {
        "minimax": {
            "this is the non-saturating loss, -log D; minimax has log(1 - D)":
                as_loss(lambda a: _softplus(-a).mean()),
            "sign: this is what D pays for fakes; G gets the opposite, and pushes logits up":
                as_loss(lambda a: _softplus(a).mean()),
            "sign: log D has to be log(1 - D)": as_loss(lambda a: -_softplus(-a).mean()),
        },
        "non-saturating": {
            "this is the minimax loss, log(1 - D); the non-saturating one flips the label, -log D":
                as_loss(lambda a: -_softplus(a).mean()),
            "sign: G maximizes log D, so it minimizes -log D":
                as_loss(lambda a: -_softplus(-a).mean()),
            "label 0: this teaches G to be caught; its fakes get label 1":
                as_loss(lambda a: _softplus(a).mean()),
        },
    }
    total = {"minimax": lambda a: -_softplus(a).sum(),
             "non-saturating": lambda a: _softplus(-a).sum()}
    return {**other[right], "real_label is D's; g_loss knows no smoothing": smooth,
            "a sum over the batch instead of a mean": as_loss(total[right])}


def _costs_of_any_shape(inputs: Arrays, shared: Callable | None = None) -> Arrays:
    """The three losses of both forms; ``shared`` is by what a sum of one is divided."""
    found = {}
    for form in ("list", "maps"):
        real, fake = inputs[f"{form} of real"], inputs[f"{form} of fake"]
        mean = numpy.mean if shared is None else (lambda a: a.sum() / shared(a))
        found |= {f"d_loss of {form}": mean(_softplus(-real)) + mean(_softplus(fake)),
                  f"minimax of {form}": -mean(_softplus(fake)),
                  f"non-saturating of {form}": mean(_softplus(-fake))}
    return found


def _g_wanted(f: Callable[[numpy.ndarray], numpy.ndarray]) -> Callable[[Arrays], Arrays]:
    """G's loss and its gradient by differences, whatever the label for D is."""
    return lambda inputs: _by_differences(f, ["fake"])({"fake": inputs["fake"]})


def _depths(rng: numpy.random.Generator) -> Arrays:
    """Logits of a sure fake, of one that D doubts, and of a good one."""
    return {"logits": numpy.array([-14.0, -7.0, 0.0, 4.0]) + rng.uniform(-0.5, 0.5, 4)}


def _slopes(inputs: Arrays) -> Arrays:
    """-D and -(1 - D): they are the slopes that the lecture derives."""
    found = {}
    for i, a in enumerate(inputs["logits"]):
        D = _sigmoid(numpy.full((1, 1), a, dtype="longdouble")).astype("float64")
        not_D = _sigmoid(numpy.full((1, 1), -a, dtype="longdouble")).astype("float64")
        found[f"minimax slope {i}"], found[f"non-saturating slope {i}"] = -D, -not_D
    return found


def _in_float32(rng: numpy.random.Generator) -> Arrays:
    return {name: array.astype("float32") if name != "real_label" else array
            for name, array in _labelled_logits(rng).items()}


def _float32_costs(inputs: Arrays) -> Arrays:
    exact = {name: inputs[name].astype("float64") for name in ("real", "fake")}
    d_loss = _d_cost(exact["real"], exact["fake"], float(inputs["real_label"]))
    return {name: numpy.asarray(cost, dtype="float32")
            for name, cost in {"d_loss": d_loss, **_costs_of_g(exact)}.items()}


BLAMES = {"d_loss": "Minimax.d_loss", "minimax": "Minimax.g_loss",
          "non-saturating": "NonSaturating.g_loss"}

_d_wanted = _by_differences(_d_cost, ["real", "fake"])

Q3 = (
    Check("hw4.Q3.d_loss", runs.loss_of_d, _logits, _d_wanted, tol=1e-7, suspects=D_SUSPECTS),
    Check("hw4.Q3.d_loss.smooth", runs.loss_of_d, _labelled_logits, _d_wanted, tol=1e-7, suspects={
        "real_label is not used": _d_suspect(real_label=1.0),
        "two-sided smoothing: fakes keep the label 0":
            lambda i: _d_suspect(fake_label=1.0 - float(i["real_label"]))(i),
        "the loss is multiplied by real_label; the label is what changes":
            lambda i: _d_suspect(real_label=1.0)(i) | {"loss": (
                float(i["real_label"]) * _softplus(-i["real"]).mean()
                + _softplus(i["fake"]).mean())},
        "one-sided smoothing is of the real samples; here the fakes' label is smoothed":
            lambda i: _d_suspect(1.0, 1.0 - float(i["real_label"]))(i),
        **D_SUSPECTS,
    }),
    Check("hw4.Q3.d_loss.stable", runs.loss_of_d, _large_logits, _d_wanted, tol=1e-5,
          suspects=D_SUSPECTS),
    Check("hw4.Q3.minimax", runs.loss_of_g_minimax, _labelled_logits,
          _g_wanted(lambda a: -_softplus(a).mean()), tol=1e-7, suspects=_g_suspects("minimax")),
    Check("hw4.Q3.non_saturating", runs.loss_of_g_non_saturating, _labelled_logits,
          _g_wanted(lambda a: _softplus(-a).mean()), tol=1e-7,
          suspects=_g_suspects("non-saturating")),
    Check("hw4.Q3.shapes", runs.losses_of_any_shape, _logits_of_any_shape, _costs_of_any_shape,
          tol=EXACT, blames=BLAMES, suspects={
              "divided by the number of samples: logits may have any shape, and the mean is over "
              "all of them": lambda i: _costs_of_any_shape(i, shared=len),
              "sums over the batches instead of means":
                  lambda i: _costs_of_any_shape(i, shared=lambda a: 1)}),
    Check("hw4.Q3.stable", runs.losses_of_g, _large_logits, _costs_of_g, tol=EXACT,
          blames=BLAMES),
    Check("hw4.Q3.slopes", runs.slopes_of_g, _depths, _slopes, tol=1e-8, kind=Kind.GRADIENT,
          blames=BLAMES),
    Check("hw4.Q3.float32", runs.losses_in_float32, _in_float32, _float32_costs, tol=1e-5,
          blames=BLAMES),
)


# --------------------------------------------------------- two players in NumPy, with hand-written
# gradients. A network is the list [W0, b0, W1, b1]; slope is that of its leaky ReLU.


def _forward(weights: Sequence[numpy.ndarray], x: numpy.ndarray, slope: float,
             ) -> tuple[numpy.ndarray, numpy.ndarray]:
    """The hidden layer and the output."""
    h = x @ weights[0] + weights[1]
    h = numpy.where(h > 0, h, slope * h)
    return h, h @ weights[2] + weights[3]


def _backward(weights: Sequence[numpy.ndarray], x: numpy.ndarray, up: numpy.ndarray, slope: float,
              ) -> tuple[list[numpy.ndarray], numpy.ndarray]:
    """The gradients by the weights and by x, from that by the output."""
    h, _ = _forward(weights, x, slope)
    down = (up @ weights[2].T) * numpy.where(h > 0, 1.0, slope)
    return [x.T @ down, down.sum(0, keepdims=True), h.T @ up, up.sum(0, keepdims=True)], \
        down @ weights[0].T


class _Descent:
    """Plain gradient descent."""

    def __init__(self, lr: float) -> None:
        self.lr = lr

    def step(self, weights: list[numpy.ndarray], gradients: list[numpy.ndarray],
             ) -> list[numpy.ndarray]:
        return [w - self.lr * g for w, g in zip(weights, gradients, strict=True)]


class _AdamByFormula:
    """Kingma and Ba 2015, algorithm 1, with the sums over all gradients so far written out."""

    def __init__(self, lr: float, beta1: float) -> None:
        self.lr, self.beta1, self.beta2, self.seen = lr, beta1, 0.999, []

    def step(self, weights: list[numpy.ndarray], gradients: list[numpy.ndarray],
             ) -> list[numpy.ndarray]:
        self.seen.append(gradients)
        t, moved = len(self.seen), []
        age = numpy.arange(t)[::-1]
        for i, w in enumerate(weights):
            past = numpy.stack([g[i] for g in self.seen], axis=-1)
            mean = (past * self.beta1**age).sum(-1) / (self.beta1**age).sum()
            square = (past**2 * self.beta2**age).sum(-1) / (self.beta2**age).sum()
            moved.append(w - self.lr * mean / (numpy.sqrt(square) + 1e-8))
        return moved


# ------------------------------------------------------------------------------------- Q4: GANLoss

SLOPE_OF_D = 0.2


def _network(rng: numpy.random.Generator, sizes: Sequence[int], names: Sequence[str]) -> Arrays:
    width, hidden, out = sizes
    return dict(zip(names, (normal(rng, width, hidden), normal(rng, 1, hidden),
                            normal(rng, hidden, out), normal(rng, 1, out)), strict=True))


def _unit(rng: numpy.random.Generator) -> Arrays:
    """A small D, one batch of each kind, and the targets of an objective made of squares."""
    n, width = int(rng.integers(3, 6)), int(rng.integers(2, 4))
    return {**_network(rng, (width, 4, 1), runs.LAYERS_OF_D),
            "real": normal(rng, n, width) + 1, "fake": normal(rng, n, width) - 1,
            "targets": rng.uniform(0.5, 1.5, 3) * [1, -1, 1], "lr": rng.uniform(0.01, 0.03)}


def _of_d(inputs: Arrays) -> list[numpy.ndarray]:
    return [inputs[name] for name in runs.LAYERS_OF_D]


def _named(names: Sequence[str], weights: Sequence[numpy.ndarray]) -> Arrays:
    return dict(zip(names, weights, strict=True))


def _squares(inputs: Arrays, weights: list[numpy.ndarray], real: numpy.ndarray,
             fake: numpy.ndarray, parts: tuple[float, float] = (1.0, 2.0),
             ) -> tuple[float, list[numpy.ndarray]]:
    """d_loss of the objective of squares, and D's gradients."""
    loss, total = 0.0, None
    for x, target, part in zip((real, fake), inputs["targets"], parts, strict=False):
        _, a = _forward(weights, x, SLOPE_OF_D)
        loss += part * float(((a - target) ** 2).mean())
        gradients, _ = _backward(weights, x, part * 2 * (a - target) / len(a), SLOPE_OF_D)
        total = gradients if total is None else [
            s + g for s, g in zip(total, gradients, strict=True)]
    return loss, total


def _after_d_step(inputs: Arrays, *, fake: str = "fake", sign: float = 1.0,
                  parts: tuple[float, float] = (1.0, 2.0), when: str = "before") -> Arrays:
    """All that one step of D by plain descent leaves; the options are usual mistakes."""
    weights, lr = _of_d(inputs), float(inputs["lr"])
    loss, gradients = _squares(inputs, weights, inputs["real"], inputs[fake], parts)
    moved = _Descent(sign * lr).step(weights, gradients)
    read = weights if when == "before" else moved
    beliefs = {name: _sigmoid(_forward(read, inputs[source], SLOPE_OF_D)[1]).mean()
               for name, source in (("d_real", "real"), ("d_fake", fake))}
    if when == "after":
        loss, _ = _squares(inputs, moved, inputs["real"], inputs[fake], parts)
    return {"d_loss": loss, **_named(runs.LAYERS_OF_D, moved), **beliefs,
            "samples that D judged": len(inputs["real"]) + len(inputs[fake]), "D.training": True}


def _not_moved(inputs: Arrays) -> Arrays:
    return {**_after_d_step(inputs), **_named(runs.LAYERS_OF_D, _of_d(inputs))}


def _logits_as_belief(inputs: Arrays) -> Arrays:
    weights = _of_d(inputs)
    return {name: _forward(weights, inputs[source], SLOPE_OF_D)[1].mean()
            for name, source in (("d_real", "real"), ("d_fake", "fake"))}


def _weights_of_d(found: Arrays) -> Arrays:
    return {name: found[name] for name in runs.LAYERS_OF_D}


D_STEP_SUSPECTS: dict[str, Callable[[Arrays], Arrays]] = {
    "D was not moved: opt_D has to minimize d_loss": _not_moved,
    "sign: D went up its loss": lambda i: _after_d_step(i, sign=-1.0),
    "real and fake are exchanged": lambda i: _after_d_step(
        {**i, "real": i["fake"], "fake": i["real"]}),
    "two steps instead of one": lambda i: _weights_of_d(_after_d_step(
        {**i, **_weights_of_d(_after_d_step(i))})),
    "the loss of D after the step; the one that was minimized is asked for":
        lambda i: {"d_loss": _after_d_step(i, when="after")["d_loss"]},
    "computed after the step; D's belief from the logits that it gave before is asked for":
        lambda i: {name: _after_d_step(i, when="after")[name] for name in ("d_real", "d_fake")},
    "the mean logit; belief is how the objective turns logits into probabilities":
        _logits_as_belief,
    "d_real and d_fake are exchanged": lambda i: {
        "d_real": _after_d_step(i)["d_fake"], "d_fake": _after_d_step(i)["d_real"]},
    "D was asked twice about the same batches; the beliefs are of the logits that d_loss got":
        lambda i: {"samples that D judged": 2 * _after_d_step(i)["samples that D judged"]},
    "D was left in eval mode": lambda i: {"D.training": False},
}


def _with_g(rng: numpy.random.Generator) -> Arrays:
    inputs = _unit(rng)
    (n, width), latent = inputs["fake"].shape, int(rng.integers(2, 4))
    del inputs["fake"]
    return {**inputs, "W of G": normal(rng, latent, width), "b of G": normal(rng, 1, width),
            "z": normal(rng, n, latent), "old gradient": normal(rng, latent, width)}


def _g_is_left_alone(inputs: Arrays) -> Arrays:
    fake = inputs["z"] @ inputs["W of G"] + inputs["b of G"]
    moved = _after_d_step({**inputs, "fake": fake})
    return {**_weights_of_d(moved), "W of G": inputs["W of G"],
            "b of G": inputs["b of G"], "gradient in G": inputs["old gradient"]}


def _flown_back(inputs: Arrays) -> Arrays:
    """What stands in G's gradient if d_loss goes back through the fakes."""
    weights = _of_d(inputs)
    fake = inputs["z"] @ inputs["W of G"] + inputs["b of G"]
    _, a = _forward(weights, fake, SLOPE_OF_D)
    up = 2.0 * 2 * (a - inputs["targets"][1]) / len(a)
    _, down = _backward(weights, fake, up, SLOPE_OF_D)
    return {"gradient in G": inputs["z"].T @ down}


def _with_pool(rng: numpy.random.Generator) -> Arrays:
    inputs = _unit(rng)
    return {**inputs, "pooled": normal(rng, *inputs["fake"].shape) - 0.5}


def _from_the_pool(inputs: Arrays, fake: str = "pooled") -> Arrays:
    found = _after_d_step(inputs, fake=fake)
    del found["d_real"], found["samples that D judged"], found["D.training"]
    return {"calls of the pool": 1, "what the pool got": inputs["fake"], **found,
            "requires_grad of what the pool got": False}


def _with_old_gradient(rng: numpy.random.Generator) -> Arrays:
    inputs = _with_pool(rng)
    return {**inputs, "old gradient": normal(rng, *inputs["W0 of D"].shape)}


def _g_loss(inputs: Arrays, fake: str = "fake", target: int = 2) -> Arrays:
    weights, goal = _of_d(inputs), inputs["targets"][target]
    _, a = _forward(weights, inputs[fake], SLOPE_OF_D)
    _, down = _backward(weights, inputs[fake], 2 * (a - goal) / len(a), SLOPE_OF_D)
    return {"g_loss": float(((a - goal) ** 2).mean()), "grad of fake": down,
            **_named(runs.LAYERS_OF_D, weights), "gradient in D": inputs["old gradient"],
            "D.training": True}


def _rounds(rng: numpy.random.Generator) -> Arrays:
    inputs = _unit(rng)
    n, width = inputs["real"].shape
    del inputs["real"], inputs["fake"]
    return {**inputs, "reals": normal(rng, 3, n, width) + 1, "fakes": normal(rng, 3, n, width) - 1}


def _played_rounds(inputs: Arrays) -> Arrays:
    weights, adam, found = _of_d(inputs), _AdamByFormula(float(inputs["lr"]), 0.9), {}
    for i, (real, fake) in enumerate(zip(inputs["reals"], inputs["fakes"], strict=True), 1):
        loss, gradients = _squares(inputs, weights, real, fake)
        weights = adam.step(weights, gradients)
        a = _forward(weights, fake, SLOPE_OF_D)[1]
        found[f"d_loss of step {i}"] = loss
        found[f"g_loss after step {i}"] = float(((a - inputs["targets"][2]) ** 2).mean())
    return {**found, **_named(runs.LAYERS_OF_D, weights)}


LEAK_SUSPECTS: dict[str, Callable[[Arrays], Arrays]] = {
    "the loss went back into G: fake was not detached": _flown_back,
    "the loss went back into G and added to its gradient: fake was not detached": lambda i: {
        "gradient in G": i["old gradient"] + _flown_back(i)["gradient in G"]},
    "G's gradient was cleared; it is not D's business": lambda i: {
        "gradient in G": numpy.zeros_like(i["old gradient"])},
}

POOL_SUSPECTS: dict[str, Callable[[Arrays], Arrays]] = {
    "the pool was not asked": lambda i: {"calls of the pool": 0},
    "D saw the fakes themselves, not what the pool returned":
        lambda i: _from_the_pool(i, fake="fake"),
    "the pool got fakes that G's graph hangs on, and keeps them: detach comes first":
        lambda i: {"requires_grad of what the pool got": True},
}

G_LOSS_SUSPECTS: dict[str, Callable[[Arrays], Arrays]] = {
    "the pool is for D; G is judged by its own fakes": lambda i: _g_loss(i, fake="pooled"),
    "D was not asked: the objective takes D's logits, not the fakes": lambda i: {
        "g_loss": float(((i["fake"] - i["targets"][2]) ** 2).mean())},
    "this is what D pays for fakes; g_loss of the objective is asked for": lambda i: {
        name: _g_loss(i, target=1)[name] for name in ("g_loss", "grad of fake")},
    "sign: the objective's g_loss is minimized as it is": lambda i: {
        name: -_g_loss(i)[name] for name in ("g_loss", "grad of fake")},
    "nothing comes back to the fakes: D's answer must not be detached here":
        lambda i: {"grad of fake": numpy.zeros_like(i["fake"])},
    "D's gradient was cleared: D learns nothing here, so leave opt_D and its gradients alone":
        lambda i: {"gradient in D": numpy.zeros_like(i["old gradient"])},
    "D was left in eval mode; it goes on learning after this": lambda i: {"D.training": False},
}

Q4 = (
    Check("hw4.Q4.d_step.exact", runs.d_step, _unit, _after_d_step, tol=1e-8,
          suspects=_filled(_after_d_step, D_STEP_SUSPECTS)),
    Check("hw4.Q4.d_step.alone", runs.d_step_and_g, _with_g, _g_is_left_alone, tol=1e-8,
          suspects=_filled(_g_is_left_alone, LEAK_SUSPECTS)),
    Check("hw4.Q4.d_step.pool", runs.d_step_with_pool, _with_pool, _from_the_pool, tol=1e-8,
          suspects=_filled(_from_the_pool, POOL_SUSPECTS)),
    Check("hw4.Q4.g_loss", runs.step_of_g_loss, _with_old_gradient, _g_loss, tol=1e-8,
          suspects=_filled(_g_loss, G_LOSS_SUSPECTS)),
    Check("hw4.Q4.rounds", runs.play, _rounds, _played_rounds, tol=1e-7,
          blames={"g_loss": "GANLoss.g_loss"}),
)


# ---------------------------------------------------------------------------------- Q5: train_step

SLOPE_OF_G = 0.0


def _game(rng: numpy.random.Generator, *, k: int, steps: int, plain: bool, decay: float = 0.0,
          ) -> Arrays:
    """Weights, batches and noise of a tiny GAN: (steps, k, n, ...)."""
    n, latent = int(rng.integers(4, 7)), int(rng.integers(2, 4))
    inputs = {**_network(rng, (latent, 5, 2), runs.LAYERS_OF_G),
              **_network(rng, (2, 5, 1), runs.LAYERS_OF_D),
              "real": normal(rng, steps, k, n, 2) + 1,
              "spare batches": normal(rng, 2, n, 2) + 1, "z": normal(rng, steps, k, n, latent),
              "k": k, "plain": plain, "minimax": bool(rng.integers(2)),
              "lr_G": rng.uniform(0.05, 0.1), "lr_D": rng.uniform(0.01, 0.04),
              "beta1": rng.uniform(0.4, 0.6), "ema_decay": decay}
    if decay:
        average = _network(rng, (latent, 5, 2), runs.LAYERS_OF_G)
        inputs |= {f"average {name}": w for name, w in average.items()}
    return inputs


@dataclass
class _Played:
    """Where a game of NumPy's has come to."""

    G: list[numpy.ndarray]
    D: list[numpy.ndarray]
    report: Arrays


def _d_gradients(D: list[numpy.ndarray], real: numpy.ndarray, fake: numpy.ndarray,
                 ) -> tuple[list[numpy.ndarray], Arrays]:
    """Gradients of J_D by D's weights, by the slopes s(a) - label; and what to report."""
    a_real, a_fake = _forward(D, real, SLOPE_OF_D)[1], _forward(D, fake, SLOPE_OF_D)[1]
    of_real, _ = _backward(D, real, (_sigmoid(a_real) - 1) / len(real), SLOPE_OF_D)
    of_fake, _ = _backward(D, fake, _sigmoid(a_fake) / len(fake), SLOPE_OF_D)
    return [r + f for r, f in zip(of_real, of_fake, strict=True)], {
        "d_loss": _d_cost(a_real, a_fake), "d_real": _sigmoid(a_real).mean(),
        "d_fake": _sigmoid(a_fake).mean()}


def _g_gradients(G: list[numpy.ndarray], D: list[numpy.ndarray], z: numpy.ndarray, minimax: bool,
                 ) -> tuple[list[numpy.ndarray], float]:
    """Gradients of G's loss by G's weights, through D; and the loss."""
    fake = _forward(G, z, SLOPE_OF_G)[1]
    a = _forward(D, fake, SLOPE_OF_D)[1]
    slope = -_sigmoid(a) if minimax else _sigmoid(a) - 1
    _, down = _backward(D, fake, slope / len(a), SLOPE_OF_D)
    gradients, _ = _backward(G, z, down, SLOPE_OF_G)
    return gradients, float(-_softplus(a).mean() if minimax else _softplus(-a).mean())


def _players(inputs: Arrays) -> tuple[list[numpy.ndarray], list[numpy.ndarray]]:
    return [inputs[name] for name in runs.LAYERS_OF_G], _of_d(inputs)


def _play(inputs: Arrays, slip: str = "") -> _Played:
    """The game of the inputs; ``slip`` is a usual mistake, by name."""
    G, D = _players(inputs)
    lr_G, lr_D = float(inputs["lr_G"]), float(inputs["lr_D"])
    if inputs["plain"]:
        opt_G, opt_D = _Descent(lr_G), _Descent(lr_D)
    else:
        beta1 = float(inputs["beta1"])
        opt_G, opt_D = _AdamByFormula(lr_G, beta1), _AdamByFormula(lr_D, beta1)
    report: Arrays = {}
    minimax = bool(inputs["minimax"])
    for reals, noise in zip(inputs["real"], inputs["z"], strict=True):
        rounds = 1 if slip == "k is 1" else len(reals)
        if slip == "G first":
            G = opt_G.step(G, _g_gradients(G, D, noise[-1], minimax)[0])
        for j in range(rounds):
            z = noise[0 if slip == "one noise" else j]
            fake = _forward(G, z, SLOPE_OF_G)[1]
            real = reals[0 if slip == "one batch" else j]
            gradients, report = _d_gradients(D, real, fake)
            before, D = D, (D if slip == "D stays" else opt_D.step(D, gradients))
            if slip == "G every time" and j + 1 < rounds:
                G = opt_G.step(G, _g_gradients(G, D, z, minimax)[0])
        judge = before if slip == "old D" else D
        gradients, report["g_loss"] = _g_gradients(G, judge, z, minimax)
        if slip not in ("G first", "G stays"):
            G = opt_G.step(G, gradients)
    return _Played(G, D, report)


def _weights_after(inputs: Arrays, slip: str = "") -> Arrays:
    played = _play(inputs, slip)
    found = {"batches taken beyond k": 0,
             **_named(runs.LAYERS_OF_D, played.D), **_named(runs.LAYERS_OF_G, played.G)}
    if inputs["ema_decay"]:
        decay = min(float(inputs["ema_decay"]), 2 / 11)  # the warm-up of the first update
        found |= {f"average {name}": decay * inputs[f"average {name}"] + (1 - decay) * w
                  for name, w in _named(runs.LAYERS_OF_G, played.G).items()}
    return found


def _reported(inputs: Arrays) -> Arrays:
    return _play(inputs).report


def _not_averaged(inputs: Arrays) -> Arrays:
    return {f"average {name}": inputs[f"average {name}"] for name in runs.LAYERS_OF_G}


def _averaged_too_early(inputs: Arrays) -> Arrays:
    decay = min(float(inputs["ema_decay"]), 2 / 11)
    return {f"average {name}": decay * inputs[f"average {name}"] + (1 - decay) * inputs[name]
            for name in runs.LAYERS_OF_G}


def _slips(**sentences: str) -> dict[str, Callable[[Arrays], Arrays]]:
    """Suspects: the weights after a game with each slip; underscores stand for spaces."""
    def after(slip: str) -> Callable[[Arrays], Arrays]:
        return lambda inputs: _weights_after(inputs, slip)

    return {sentence: after(slip.replace("_", " ")) for slip, sentence in sentences.items()}


STEP_SUSPECTS = _slips(
    G_first="G moved first; in Algorithm 1 D moves first, and G follows the new D",
    D_stays="D was not moved: call loss.d_step",
    G_stays="G was not moved: opt_G has to minimize g_loss",
    G_every_time="G moved in every round; it moves once, after the k steps of D",
    one_noise="the same noise in all k steps of D; every step draws its own",
    one_batch="the same real batch in all k steps of D; every step takes the next one",
    k_is_1="D made one step; k are asked for",
)

STEP_SUSPECTS |= {
    "the loop went to the end of the stream, and a real one has no end: take k batches with next":
        lambda i: {"batches taken beyond k": 2 * len(i["real"])},
    "one batch too many was taken, and its samples are lost: each step of D takes one, G's none":
        lambda i: {"batches taken beyond k": len(i["real"])},
}

AVERAGE_SUSPECTS: dict[str, Callable[[Arrays], Arrays]] = {
    "the average of G was not updated": _not_averaged,
    "the average of G was updated before G moved": _averaged_too_early,
}

REPORT_SUSPECTS: dict[str, Callable[[Arrays], Arrays]] = {
    "the generator's loss under D before its step; g_loss has to see the new D":
        lambda i: {"g_loss": _play(i, "old D").report["g_loss"]},
    "d_loss and g_loss are exchanged": lambda i: {
        "d_loss": _play(i).report["g_loss"], "g_loss": _play(i).report["d_loss"]},
    "d_real and d_fake are exchanged": lambda i: {
        "d_real": _play(i).report["d_fake"], "d_fake": _play(i).report["d_real"]},
}

Q5 = (
    Check("hw4.Q5.step", runs.train_step, lambda rng: _game(rng, k=1, steps=1, plain=True),
          _weights_after, tol=1e-8, suspects=STEP_SUSPECTS),
    Check("hw4.Q5.k", runs.train_step,
          lambda rng: _game(rng, k=int(rng.integers(2, 4)), steps=1, plain=True),
          _weights_after, tol=1e-8, suspects=STEP_SUSPECTS),
    Check("hw4.Q5.adam", runs.train_step,
          lambda rng: _game(rng, k=int(rng.integers(1, 3)), steps=2, plain=False),
          _weights_after, tol=1e-6, suspects=STEP_SUSPECTS),
    Check("hw4.Q5.average", runs.train_step,
          lambda rng: _game(rng, k=1, steps=1, plain=True, decay=float(rng.uniform(0.1, 0.9))),
          _weights_after, tol=1e-8, suspects={**_filled(_weights_after, AVERAGE_SUSPECTS),
                                              **STEP_SUSPECTS}),
    Check("hw4.Q5.report", runs.train_step_report,
          lambda rng: _game(rng, k=int(rng.integers(1, 3)), steps=1, plain=True),
          _reported, tol=1e-8, suspects=_filled(_reported, REPORT_SUSPECTS)),
)


# -------------------------------------------------------------------------------- Q6: a ring of 8


def _mixture(rng: numpy.random.Generator) -> Arrays:
    """Centres at least 20 deviations apart, not around the origin, and a scale that is not 1."""
    k = int(rng.integers(3, 7))
    angles = 2 * numpy.pi * (numpy.arange(k) + rng.uniform(0, 1)) / k
    points = 3.0 * numpy.stack([numpy.cos(angles), numpy.sin(angles)], axis=1) + [1.0, -0.5]
    return {"points": points, "noise": rng.uniform(0.06, 0.12), "scale": rng.uniform(1.3, 2.0),
            "n": 4000, "seed": int(rng.integers(2**31))}


def _is_the_mixture(inputs: Arrays, outputs: Arrays) -> Fault | None:
    """Shape, dtype, repeatable; then places, shares, widths and independence, within 6 errors."""
    got, n = outputs["sample"], int(inputs["n"])
    if got.shape != (n, 2):
        return Fault(f"sample: shape got {got.shape}, want {(n, 2)}", "n points in the plane",
                     Outcome.SHAPE)
    if got.dtype != numpy.float32:
        return Fault(f"sample: dtype got {got.dtype}, want float32", "batches are in float32",
                     Outcome.DTYPE)
    if not numpy.array_equal(got, outputs["sample of an equal generator"]):
        return Fault("two equal generators gave different samples; want equal ones",
                     "not repeatable: all random numbers have to come from the generator given")
    scale = float(inputs["scale"])
    centres, sigma = inputs["points"] / scale, float(inputs["noise"]) / scale
    distances = numpy.linalg.norm(got[:, None].astype("float64") - centres, axis=2)
    which, far = distances.argmin(axis=1), distances.min(axis=1)
    return (_places(inputs, got, far, sigma) or _shares(which, len(centres))
            or _widths(got - centres[which], sigma) or _new_numbers(outputs, centres))


def _new_numbers(outputs: Arrays, centres: numpy.ndarray) -> Fault | None:
    """Another generator, and the same one again, have to give other points."""
    for name, cause in (
            ("sample of another generator", "not random: all random numbers have to come from the "
             "generator given, and none from one made here"),
            ("second sample", "not random: every call draws new numbers from the generator given")):
        same = _repeated(outputs["sample"], outputs[name], centres)
        if same:
            return Fault(f"{name}: {same} as in the first sample, want others", cause)
    return None


def _repeated(got: numpy.ndarray, other: numpy.ndarray, centres: numpy.ndarray) -> str:
    """What two samples have in common that ought to be random in both, or nothing."""
    if other.shape != got.shape:
        return ""  # of another shape, so not the same
    if numpy.array_equal(got, other):
        return "the same points"
    first, second = (numpy.linalg.norm(a[:, None] - centres, axis=2).argmin(axis=1)
                     for a in (got, other))
    if numpy.array_equal(first, second):
        return "the same centres in the same order"
    if numpy.allclose(got - centres[first], other - centres[second], rtol=0, atol=1e-6):
        return "the same offsets from the centres"
    return ""


def _places(inputs: Arrays, got: numpy.ndarray, far: numpy.ndarray, sigma: float) -> Fault | None:
    if not far.max() > 7 * sigma:
        return None
    cause = "centre[i] + sigma times N(0, I): is the spread right, and are both numbers scaled?"
    radius, want = (float(numpy.linalg.norm(a - a.mean(0), axis=1).mean())
                    for a in (got, inputs["points"] / inputs["scale"]))
    if abs(radius / want - float(inputs["scale"])) < 0.1:
        cause = "not scaled: everything is divided by the scale, as centres and sigma are"
    return Fault(f"a point lies {far.max():.4f} from its nearest centre, {far.max() / sigma:.1f} "
                 "sigma; want less than 7 sigma", cause)


def _shares(which: numpy.ndarray, k: int) -> Fault | None:
    n = len(which)
    counts = numpy.bincount(which, minlength=k)
    worst = int(abs(counts - n / k).argmax())
    if abs(counts[worst] - n / k) > 6 * numpy.sqrt(n / k * (1 - 1 / k)):
        cause = "not independent: draw a centre for every point" if counts.max() == n else \
            "all centres are equally likely"
        return Fault(f"centre {worst} got {counts[worst]} of {n} points, want about {n / k:.0f}",
                     cause)
    stays = float((which[1:] == which[:-1]).mean())
    if abs(stays - 1 / k) > 6 * numpy.sqrt((1 - 1 / k) / (k * n)):
        return Fault(f"a point has the centre of the point before in {stays:.4f} of all cases, "
                     f"want about {1 / k:.4f}",
                     "not independent: draw a centre for every point")
    return None


def _widths(offsets: numpy.ndarray, sigma: float) -> Fault | None:
    n = len(offsets)
    along = offsets.std(axis=0)
    for axis in (0, 1):
        if abs(along[axis] / sigma - 1) > 6 / numpy.sqrt(2 * n):
            return Fault(f"deviation along axis {axis}: yours {along[axis]:.5f}, want {sigma:.5f}",
                         "sigma is the standard deviation within a mode, along each axis")
    turn = float((offsets[:, 0] * offsets[:, 1]).mean() / sigma**2)
    if abs(turn) > 6 / numpy.sqrt(n):
        return Fault(f"correlation of the offsets along both axes: yours {turn:.4f}, want about 0",
                     "the two axes share a random number: two for every point are needed")
    tails = float((offsets**4).mean() / sigma**4)
    if abs(tails - 3) > 6 * numpy.sqrt(96 / (2 * n)):
        return Fault(f"mean fourth power of the offsets: yours {tails:.3f} sigma^4, want about 3",
                     "the noise is not normal")
    return None


def _around(rng: numpy.random.Generator, centres: numpy.ndarray, sigma: float,
            good: Sequence[int], bad: Sequence[int]) -> numpy.ndarray:
    """Samples in any order, so many within 3 sigma of each centre, and so many further out."""
    k, d = centres.shape
    which = numpy.concatenate([numpy.repeat(numpy.arange(k), good),
                               numpy.repeat(numpy.arange(k), bad)])
    ways = normal(rng, len(which), d)
    ways /= numpy.linalg.norm(ways, axis=1, keepdims=True)
    far = numpy.concatenate([rng.uniform(0.1, 2.8, sum(good)), rng.uniform(3.3, 6.0, sum(bad))])
    return rng.permutation(centres[which] + sigma * far[:, None] * ways)


def _scattered(rng: numpy.random.Generator) -> Arrays:
    """200 samples: one mode with exactly 1 %, one with bad samples only, one with none at all.

    And 250, of which 1 % are 2.5, with modes of 1, 2 and 3 good ones; fewer than 100 are good.
    """
    k, d, sigma = int(rng.integers(5, 8)), int(rng.integers(2, 4)), float(rng.uniform(0.05, 0.15))
    centres = numpy.zeros((k, d))
    centres[:, 0] = 3.0 * numpy.arange(k)
    centres += rng.uniform(-0.5, 0.5, (k, d))
    left = k - 3
    good = numpy.array([2, 0, 0] + [130 // left] * left)
    bad = numpy.array([0, 8, 0] + [60 // left] * left)
    bad[-1] += 200 - good.sum() - bad.sum()
    few, others = numpy.array([1, 2, 3] + [80 // left] * left), numpy.zeros(k, dtype=int)
    others[3:] = 160 // left
    others[-1] += 250 - few.sum() - others.sum()
    return {"samples": _around(rng, centres, sigma, good, bad),
            "250 samples": _around(rng, centres, sigma, few, others),
            "centres": centres, "sigma": sigma}


def _counted(inputs: Arrays, *, within: float | None = None, strict: bool = False) -> Arrays:
    """All numbers of the report, sample by sample."""
    samples, centres, sigma = inputs["samples"], inputs["centres"], float(inputs["sigma"])
    limit, k = 3 * sigma if within is None else within, len(centres)
    histogram, good = [0] * k, [0] * k
    for x in samples:
        far = [float(numpy.sqrt(((x - c) ** 2).sum())) for c in centres]
        mode = far.index(min(far))
        histogram[mode] += 1
        good[mode] += far[mode] <= limit
    n = len(samples)
    least = [100 * count > n if strict else 100 * count >= n for count in good]
    shares = [count / n for count in histogram if count]
    return {"histogram": histogram, "high_quality_histogram": good,
            "high_quality": sum(good) / n, "modes": sum(count > 0 for count in good),
            "modes_one_percent": sum(least), "total_modes": k,
            "reverse_kl": sum(share * numpy.log(share * k) for share in shares)}


def _scored(inputs: Arrays, **limits: Any) -> Arrays:
    """The report, and which modes that of the 250 samples finds."""
    other = _counted({**inputs, "samples": inputs["250 samples"]}, **limits)
    return {**_counted(inputs, **limits),
            **{f"{name} of 250 samples": other[name] for name in ("modes", "modes_one_percent")}}


def _few_enough(inputs: Arrays, least: float) -> Arrays:
    """The second report if so many good samples make a mode."""
    good = _counted({**inputs, "samples": inputs["250 samples"]})["high_quality_histogram"]
    return {"modes_one_percent of 250 samples": sum(count >= least for count in good)}


def _quality(counted: Arrays) -> Arrays:
    """What a wrong limit shows in first; the numbers after that are judged by themselves."""
    return {name: counted[name] for name in ("high_quality_histogram", "high_quality")}


SCORE_SUSPECTS: dict[str, Callable[[Arrays], Arrays]] = {
    "squared distances are compared with 3 sigma: square both, or neither":
        lambda i: _quality(_counted(i, within=float(numpy.sqrt(3 * i["sigma"])))),
    "high quality is within 3 sigma; this is within 1":
        lambda i: _quality(_counted(i, within=float(i["sigma"]))),
    "high quality is within 3 sigma; this is within 2":
        lambda i: _quality(_counted(i, within=2 * float(i["sigma"]))),
    "only samples of high quality are counted; the histogram has all of them":
        lambda i: {"histogram": _counted(i)["high_quality_histogram"]},
    "a mode counts if a sample is nearest to it; it has to be a sample of high quality":
        lambda i: {"modes": sum(c > 0 for c in _counted(i)["histogram"]),
                   "modes_one_percent": sum(
                       100 * c >= len(i["samples"]) for c in _counted(i)["histogram"])},
    "at least 1 % is asked for; here a mode with exactly 1 % does not count":
        lambda i: {"modes_one_percent": _counted(i, strict=True)["modes_one_percent"]},
    "the number of samples of high quality; their share is asked for":
        lambda i: {"high_quality": sum(_counted(i)["high_quality_histogram"])},
    "1 % of 250 samples are 2.5, so 2 are too few: do not round": lambda i: _few_enough(i, 2),
    "1 % of all samples are wanted; this is 1 % of those of high quality":
        lambda i: _few_enough(i, 1),
    "sign: this is minus the KL": lambda i: {"reverse_kl": -_counted(i)["reverse_kl"]},
    "the entropy alone; KL to the uniform is log k minus it": lambda i: {
        "reverse_kl": numpy.log(len(i["centres"])) - _counted(i)["reverse_kl"]},
    "logarithms of base 2; nats are asked for":
        lambda i: {"reverse_kl": _counted(i)["reverse_kl"] / LOG2},
}


def _ring(rng: numpy.random.Generator) -> Arrays:
    """Eight wide modes on a circle, turned by a random angle, and where its middle lies."""
    angles = 2 * numpy.pi * (numpy.arange(8) + rng.uniform(0, 1)) / 8
    return {"points": 2.0 * numpy.stack([numpy.cos(angles), numpy.sin(angles)], axis=1),
            "noise": 0.2, "scale": 1.414, "steps": 800, "n": 1000,
            "middle": rng.uniform(-20, 20, 2), "seed": int(rng.integers(2**31))}


def _covers_the_ring(inputs: Arrays, outputs: Arrays) -> Fault | None:
    """Samples lie near centres, and near almost all of them.

    The reference, under 200 seeds: 7 or 8 modes with 1 % of the samples, a share of 0.56 to 0.87
    within 3 sigma. With a D or a G that does not learn: at most 2 modes, and a share below 0.3.
    """
    got, n = outputs["samples"], int(inputs["n"])
    if got.shape != (n, 2):
        return Fault(f"samples: shape got {got.shape}, want {(n, 2)}", "points in the plane",
                     Outcome.SHAPE)
    if not numpy.isfinite(got).all():
        return Fault(f"{int((~numpy.isfinite(got)).any(1).sum())} of {n} samples are NaN or "
                     "infinite; want none", "the training diverged")
    different = len(numpy.unique(got, axis=0))
    if different < 0.9 * n:
        return Fault(f"{different} of {n} samples are different; want all of them",
                     "every sample is made from noise of its own")
    scored = _counted({"samples": got.astype("float64") - inputs["middle"],
                       "centres": inputs["points"] / inputs["scale"],
                       "sigma": inputs["noise"] / inputs["scale"]})
    if scored["modes_one_percent"] < LEAST_MODES or scored["high_quality"] < LEAST_QUALITY:
        return Fault(f"modes with 1 % of the samples: {scored['modes_one_percent']} of 8, want "
                     f"{LEAST_MODES}; share within 3 sigma: {scored['high_quality']:.3f}, want "
                     f"{LEAST_QUALITY}",
                     "the training data do not come from the ring, or a player learns wrongly")
    return None


LEAST_MODES, LEAST_QUALITY = 6, 0.4

Q6 = (
    Check("hw4.Q6.sample", runs.sample_mixture, _mixture, _is_the_mixture, kind=Kind.PROPERTY),
    Check("hw4.Q6.score", runs.score_modes, _scattered, _scored, tol=EXACT,
          suspects=_filled(_scored, SCORE_SUSPECTS)),
    Check("hw4.Q6.ring", runs.ring, _ring, _covers_the_ring, kind=Kind.PROPERTY),
)

CHECKS: tuple[Check, ...] = Q1 + Q2 + Q3 + Q4 + Q5 + Q6
