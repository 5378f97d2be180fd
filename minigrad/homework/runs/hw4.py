"""What runs a student's code in homework 4: the minimax game.

Exact steps of a network are run in float64, so that one right answer has many digits.

Leaves out: everything that judges, and the true numbers.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy

from .tools import Arrays, scripted_random, tensor

__all__ = [
    "best_answer",
    "d_step",
    "d_step_and_g",
    "d_step_with_pool",
    "divergence_js",
    "divergence_kl",
    "js_properties",
    "loss_of_d",
    "loss_of_g_minimax",
    "loss_of_g_non_saturating",
    "losses_in_float32",
    "losses_of_any_shape",
    "losses_of_g",
    "play",
    "ring",
    "sample_mixture",
    "score_modes",
    "slopes_of_g",
    "step_of_g_loss",
    "train_step",
    "train_step_report",
    "value",
    "value_of_best",
    "values",
]

LAYERS_OF_D = ("W0 of D", "b0 of D", "W1 of D", "b1 of D")
LAYERS_OF_G = ("W0 of G", "b0 of G", "W1 of G", "b1 of G")


# ------------------------------------------------------------------------------- Q1, Q2: formulas


def best_answer(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """D* at the outcomes, with smooth labels where some are given."""
    labels = {name: float(inputs[name]) for name in ("real_label", "fake_label") if name in inputs}
    optimal = lib("gans.theory").optimal_discriminator
    return {"D*": optimal(inputs["p"], inputs["q"], **labels)}


def value(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """V of the given answers."""
    theory = lib("gans.theory")
    return {"V": theory.value(inputs["D"], inputs["p"], inputs["q"], inputs.get("x"))}


def values(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """V of several answers, one after the other."""
    found = [lib("gans.theory").value(D, inputs["p"], inputs["q"]) for D in inputs["D"]]
    return {"V": numpy.asarray(found, dtype="float64")}


def value_of_best(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """V of the student's own D*, and of answers beside it."""
    theory, p, q = lib("gans.theory"), inputs["p"], inputs["q"]
    best = theory.optimal_discriminator(p, q)
    beside = [theory.value(numpy.clip(best + change, 1e-6, 1 - 1e-6), p, q)
              for change in inputs["changes"]]
    return {"D*": best, "V(D*)": theory.value(best, p, q),
            "V beside D*": numpy.asarray(beside, dtype="float64")}


def divergence_kl(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """KL both ways round."""
    kl, p, q, x = lib("gans.theory").kl, inputs["p"], inputs["q"], inputs.get("x")
    return {"KL(p, q)": kl(p, q, x), "KL(q, p)": kl(q, p, x)}


def divergence_js(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """JS of one pair."""
    return {"JS": lib("gans.theory").js(inputs["p"], inputs["q"], inputs.get("x"))}


def js_properties(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """JS both ways round, of a distribution with itself, and of two that share nothing."""
    js, p, q = lib("gans.theory").js, inputs["p"], inputs["q"]
    nothing = numpy.zeros_like(p)
    return {"JS(p, q)": js(p, q), "JS(q, p)": js(q, p), "JS(p, p)": js(p, p),
            "JS of disjoint ones": js(numpy.append(p, nothing), numpy.append(nothing, q))}


# --------------------------------------------------------------------------------- Q3: objectives


def _loss_and_gradients(lib: Callable, loss: Any, leaves: dict[str, Any]) -> dict[str, Any]:
    gradients = lib("minigrad").grad(loss, list(leaves.values()))
    found = {f"grad of {name}": g for name, g in zip(leaves, gradients, strict=True)}
    return {"loss": loss, **found}


def loss_of_d(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """Minimax.d_loss and its gradients; "real_label" may be given."""
    labels = {"real_label": float(inputs["real_label"])} if "real_label" in inputs else {}
    leaves = {name: tensor(lib, inputs[name]) for name in ("real", "fake")}
    return _loss_and_gradients(lib, lib("gans.objectives").Minimax(**labels).d_loss(**leaves),
                               leaves)


def loss_of_g_minimax(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """Minimax.g_loss and its gradient, with a smooth label for D."""
    fake = tensor(lib, inputs["fake"])
    objective = lib("gans.objectives").Minimax(real_label=float(inputs["real_label"]))
    return _loss_and_gradients(lib, objective.g_loss(fake), {"fake": fake})


def loss_of_g_non_saturating(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """NonSaturating.g_loss and its gradient, with a smooth label for D."""
    fake = tensor(lib, inputs["fake"])
    objective = lib("gans.objectives").NonSaturating(real_label=float(inputs["real_label"]))
    return _loss_and_gradients(lib, objective.g_loss(fake), {"fake": fake})


def losses_of_g(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """Both losses of G."""
    objectives, fake = lib("gans.objectives"), tensor(lib, inputs["fake"])
    return {"minimax": objectives.Minimax().g_loss(fake),
            "non-saturating": objectives.NonSaturating().g_loss(fake)}


def losses_of_any_shape(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """All three losses of logits in a list, and of a map of logits for every sample."""
    found = {}
    for form in ("list", "maps"):
        real, fake = (tensor(lib, inputs[f"{form} of {kind}"]) for kind in ("real", "fake"))
        losses = {"d_loss": lib("gans.objectives").Minimax().d_loss(real, fake),
                  **losses_of_g(lib, {"fake": inputs[f"{form} of fake"]})}
        found |= {f"{name} of {form}": loss for name, loss in losses.items()}
    return found


def losses_in_float32(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """All three losses of float32 logits."""
    real, fake = tensor(lib, inputs["real"]), tensor(lib, inputs["fake"])
    d_loss = lib("gans.objectives").Minimax(float(inputs["real_label"])).d_loss(real, fake)
    return {"d_loss": d_loss, **losses_of_g(lib, inputs)}


def slopes_of_g(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """The slope of both losses at single logits, from sure fakes to good ones."""
    objectives, grad = lib("gans.objectives"), lib("minigrad").grad
    found = {}
    for i, logit in enumerate(inputs["logits"]):
        for name, objective in (("minimax", objectives.Minimax()),
                                ("non-saturating", objectives.NonSaturating())):
            fake = tensor(lib, logit.reshape(1, 1))
            found[f"{name} slope {i}"] = grad(objective.g_loss(fake), fake)
    return found


# ------------------------------------------------------------------------------------- Q4: GANLoss


@contextlib.contextmanager
def _float64(lib: Callable) -> Iterator[None]:
    """New networks and noise are in float64 inside."""
    minigrad = lib("minigrad")
    before = minigrad.default_dtype()
    minigrad.set_default_dtype("float64")
    try:
        yield
    finally:
        minigrad.set_default_dtype(before)


class _Squares:
    """An objective that no library has: squares with targets of its own, fakes counting twice."""

    def __init__(self, lib: Callable, targets: numpy.ndarray) -> None:
        self.ops, self.targets = lib("minigrad.ops"), [float(t) for t in targets]

    def d_loss(self, real: Any, fake: Any) -> Any:
        return (self.ops.mean((real - self.targets[0]) ** 2)
                + 2.0 * self.ops.mean((fake - self.targets[1]) ** 2))

    def g_loss(self, fake: Any) -> Any:
        return self.ops.mean((fake - self.targets[2]) ** 2)

    def belief(self, logits: Any) -> Any:
        return self.ops.sigmoid(logits)


def _put(module: Any, inputs: Arrays, names: Sequence[str]) -> None:
    """The given weights into a network of two layers."""
    for parameter, name in zip(module.parameters(), names, strict=True):
        parameter.copy_(inputs[name])


def _taken(module: Any, names: Sequence[str]) -> dict[str, Any]:
    """The weights of a network of two layers, copied."""
    return {name: parameter.numpy().copy()
            for name, parameter in zip(names, module.parameters(), strict=True)}


def _counting(lib: Callable, judged: list[int]) -> type:
    """A Sequential that notes how many samples it is asked about."""

    class Counting(lib("minigrad.nn").Sequential):
        def forward(self, x: Any) -> Any:
            judged.append(len(x))
            return super().forward(x)

    return Counting


def _unit(lib: Callable, inputs: Arrays, optimizer: Callable | None = None,
          pool: Callable | None = None, judged: list[int] | None = None) -> Any:
    """A GANLoss around a small D with the given weights; SGD unless told otherwise."""
    nn, optim = lib("minigrad.nn"), lib("minigrad.optim")
    width, hidden = inputs["W0 of D"].shape
    D = _counting(lib, [] if judged is None else judged)(
        nn.Linear(width, hidden), nn.LeakyReLU(0.2), nn.Linear(hidden, 1))
    _put(D, inputs, LAYERS_OF_D)
    opt_D = (optimizer or optim.SGD)(D.parameters(), lr=float(inputs["lr"]))
    return lib("gans.ganloss").GANLoss(D, opt_D, _Squares(lib, inputs["targets"]), pool=pool)


def d_step(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """One step of D by SGD."""
    judged: list[int] = []
    with _float64(lib):
        unit = _unit(lib, inputs, judged=judged)
        d_loss = unit.d_step(real=tensor(lib, inputs["real"], False),
                             fake=tensor(lib, inputs["fake"], False))
        return {"d_loss": d_loss, **_taken(unit.D, LAYERS_OF_D),
                "d_real": unit.d_real, "d_fake": unit.d_fake,
                "samples that D judged": sum(judged), "D.training": bool(unit.D.training)}


def _going_back_all_the_way(lib: Callable) -> type:
    """SGD that asks for the gradients of all leaves behind the loss, not of its own alone."""

    class BackwardSGD(lib("minigrad.optim").SGD):
        def minimize(self, loss: Any) -> None:
            self.reset_grad()
            loss.backward()
            self.step()

    return BackwardSGD


def d_step_and_g(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """One step of D on fakes that a linear G made; what became of G."""
    with _float64(lib):
        unit = _unit(lib, inputs, optimizer=_going_back_all_the_way(lib))
        G = lib("minigrad.nn").Linear(*inputs["W of G"].shape)
        G.weight.copy_(inputs["W of G"])
        G.bias.copy_(inputs["b of G"])
        G.weight.grad = tensor(lib, inputs["old gradient"], False)
        unit.d_step(real=tensor(lib, inputs["real"], False),
                    fake=G(tensor(lib, inputs["z"], False)))
        return {**_taken(unit.D, LAYERS_OF_D), "W of G": G.weight.numpy().copy(),
                "b of G": G.bias.numpy().copy(), "gradient in G": _or_zero(G.weight)}


def _or_zero(parameter: Any) -> Any:
    """The gradient that a parameter holds; zeros where it was cleared."""
    held = parameter.grad
    return numpy.zeros(parameter.shape) if held is None else held


def d_step_with_pool(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """One step of D where a pool decides what D sees, and G's loss, which has no pool."""
    given, graphs = [], []

    def pool(fake: Any) -> Any:
        given.append(fake.numpy().copy())
        graphs.append(bool(fake.requires_grad))
        return tensor(lib, inputs["pooled"], False)

    with _float64(lib):
        unit = _unit(lib, inputs, pool=pool)
        fake = tensor(lib, inputs["fake"]) * 1.0  # so that it has a history, as G's fakes have
        d_loss = unit.d_step(real=tensor(lib, inputs["real"], False), fake=fake)
        return {"calls of the pool": len(given),
                "what the pool got": given[0] if given else numpy.zeros_like(inputs["fake"]),
                "d_loss": d_loss, **_taken(unit.D, LAYERS_OF_D), "d_fake": unit.d_fake,
                "requires_grad of what the pool got": any(graphs)}


def step_of_g_loss(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """G's loss of a unit with a pool, its gradient by the fakes, and what became of D."""
    with _float64(lib):
        unit = _unit(lib, inputs, pool=lambda fake: tensor(lib, inputs["pooled"], False))
        first = unit.D.parameters()[0]
        first.grad = tensor(lib, inputs["old gradient"], False)
        fake = tensor(lib, inputs["fake"])
        loss = unit.g_loss(fake=fake)
        gradient = lib("minigrad").grad(loss, fake)
        return {"g_loss": loss,
                "grad of fake": numpy.zeros_like(inputs["fake"]) if gradient is None else gradient,
                **_taken(unit.D, LAYERS_OF_D), "gradient in D": _or_zero(first),
                "D.training": bool(unit.D.training)}


def play(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """Three rounds of d_step with Adam, each followed by g_loss."""
    with _float64(lib):
        unit = _unit(lib, inputs, optimizer=lib("minigrad.optim").Adam)
        d_losses, g_losses = [], []
        for real, fake in zip(inputs["reals"], inputs["fakes"], strict=True):
            fake = tensor(lib, fake, False)
            d_losses.append(unit.d_step(real=tensor(lib, real, False), fake=fake))
            g_losses.append(unit.g_loss(fake=fake))
        return {**{f"d_loss of step {i + 1}": loss for i, loss in enumerate(d_losses)},
                **{f"g_loss after step {i + 1}": loss for i, loss in enumerate(g_losses)},
                **_taken(unit.D, LAYERS_OF_D)}


# ---------------------------------------------------------------------------------- Q5: train_step


class _Stream:
    """An iterator over the given batches, which counts how many were taken."""

    def __init__(self, batches: Sequence[Any]) -> None:
        self.batches, self.taken = iter(batches), 0

    def __iter__(self) -> _Stream:
        return self

    def __next__(self) -> Any:
        batch = next(self.batches)
        self.taken += 1
        return batch


class _Noise(scripted_random):
    """The given noise for the k steps of D, and that of the last once more.

    So G's step may use the fakes at hand, or make them again from newly drawn noise. It may draw a
    multiple of the last noise, too: the same rows again, whose mean is the same.
    """

    def __init__(self, batches: numpy.ndarray, stream: _Stream, batch_size: int) -> None:
        super().__init__(batches)
        self.last, self.stream, self.batch_size, self.drawn = batches[-1], stream, batch_size, 0

    def standard_normal(self, size: Any = None, dtype: Any = None) -> numpy.ndarray:
        if self.used < self.numbers.size:
            if size[0] == self.batch_size:
                raise ValueError(f"{size[0]} rows of noise for a batch of {len(self.last)} real "
                                 "samples; a step of D wants as many fakes as the batch has "
                                 "samples, and it may be smaller than batch_size")
            return self._next(size, "float64")  # whatever is asked for: the step is in float64
        self.drawn += 1
        if self.drawn > 1 and self.stream.taken <= len(self.numbers) // self.last.size:
            raise ValueError("more noise was drawn than for the steps of D and one step of G")
        return numpy.resize(self.last, size)

    def integers(self, *args: Any, **kwargs: Any) -> numpy.ndarray:
        raise ValueError("integers were drawn; a step needs normal noise alone")

    def permutation(self, *args: Any, **kwargs: Any) -> numpy.ndarray:
        raise ValueError("a permutation was drawn; a step needs normal noise alone")


def _batch_size(inputs: Arrays) -> int:
    """A setting that is larger than the batches of the stream are."""
    return (int(inputs["k"]) + 1) * inputs["real"].shape[2]


def _gan(lib: Callable, inputs: Arrays) -> Any:
    """A tiny GAN on points in the plane, with the given weights and settings."""
    objective = lib("gans.objectives").Objective
    gan = lib("gans.gan").GAN(
        (2,), latent_dim=inputs["W0 of G"].shape[0], hidden_G=(inputs["W0 of G"].shape[1],),
        hidden_D=(inputs["W0 of D"].shape[1],), batch_size=_batch_size(inputs),
        k=int(inputs["k"]), lr_G=float(inputs["lr_G"]), lr_D=float(inputs["lr_D"]),
        beta1=float(inputs["beta1"]), ema_decay=float(inputs["ema_decay"]),
        objective=objective.MINIMAX if inputs["minimax"] else objective.NON_SATURATING)
    _put(gan.G, inputs, LAYERS_OF_G)
    _put(gan.D, inputs, LAYERS_OF_D)
    if gan.ema is not None:
        _put(gan.ema.module, inputs, [f"average {name}" for name in LAYERS_OF_G])
    if inputs["plain"]:  # steps of plain gradient descent, which show the size of a gradient
        sgd = lib("minigrad.optim").SGD
        gan.opt_G = sgd(gan.G.parameters(), lr=float(inputs["lr_G"]))
        gan.loss.opt_D = sgd(gan.D.parameters(), lr=float(inputs["lr_D"]))
    return gan


def _trained(lib: Callable, inputs: Arrays) -> tuple[Any, list[Any], int]:
    """The GAN after a call of train_step for every row of "real" and "z", and what they gave.

    Last how many batches too many were taken; the stream has two more than the steps need.
    """
    random = lib("minigrad.random")
    beyond = 0
    with _float64(lib):
        gan = _gan(lib, inputs)
        reports, before = [], random.generator()
        try:
            for reals, noise in zip(inputs["real"], inputs["z"], strict=True):
                stream = _Stream([tensor(lib, real, False)
                                  for real in (*reals, *inputs["spare batches"])])
                random.set_generator(_Noise(noise, stream, gan.batch_size))
                reports.append(gan.train_step(stream))
                beyond += max(0, stream.taken - gan.k)
        except AttributeError as error:
            if gan.ema is None and "'update'" in str(error):
                error.args = (f"{error}: self.ema is None in a GAN without an average",)
            raise
        finally:
            random.set_generator(before)
    return gan, reports, beyond


def train_step(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """The weights of both players, and of G's average if there is one."""
    gan, _, beyond = _trained(lib, inputs)
    found = {"batches taken beyond k": beyond, **_taken(gan.D, LAYERS_OF_D),
             **_taken(gan.G, LAYERS_OF_G)}
    if gan.ema is not None:
        found |= _taken(gan.ema.module, [f"average {name}" for name in LAYERS_OF_G])
    return found


def train_step_report(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """What train_step returned."""
    _, reports, _ = _trained(lib, inputs)
    if not isinstance(reports[-1], dict):
        raise TypeError(f"train_step returned {type(reports[-1]).__name__}, want a dictionary with "
                        "d_loss, g_loss, d_real and d_fake")
    return {name: reports[-1][name] for name in ("d_loss", "g_loss", "d_real", "d_fake")}


# ------------------------------------------------------------------------------- Q6: a ring of 8


def _mixture(lib: Callable, inputs: Arrays) -> Any:
    return lib("gans.toys").Mixture(tuple((float(x), float(y)) for x, y in inputs["points"]),
                                    float(inputs["noise"]), float(inputs["scale"]))


def sample_mixture(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """Samples of a mixture: of equal generators, of one again, and of another."""
    toy, n, seed = _mixture(lib, inputs), int(inputs["n"]), int(inputs["seed"])
    generator = numpy.random.default_rng(seed)
    return {"sample": toy.sample(n, generator), "second sample": toy.sample(n, generator),
            "sample of an equal generator": toy.sample(n, numpy.random.default_rng(seed)),
            "sample of another generator": toy.sample(n, numpy.random.default_rng(seed + 1))}


def score_modes(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """All numbers of a report on modes, and which modes a second one finds in other samples."""
    score, sigma = lib("gans.metrics").modes_and_quality, float(inputs["sigma"])
    report = score(inputs["samples"], inputs["centres"], sigma)
    other = score(inputs["250 samples"], inputs["centres"], sigma)
    return {
        "histogram": numpy.asarray(report.histogram),
        "high_quality_histogram": numpy.asarray(report.high_quality_histogram),
        "high_quality": report.high_quality, "modes": report.modes,
        "modes_one_percent": report.modes_one_percent, "total_modes": report.total_modes,
        "reverse_kl": report.reverse_kl,
        "modes of 250 samples": other.modes,
        "modes_one_percent of 250 samples": other.modes_one_percent,
    }


def ring(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """Samples of a small GAN after a short training on a mixture.

    The GAN sees the mixture around the origin; its samples are moved to where the middle lies.
    """
    minigrad, toy = lib("minigrad"), _mixture(lib, inputs)
    minigrad.manual_seed(int(inputs["seed"]))
    data = numpy.random.default_rng(int(inputs["seed"]) + 1)
    gan = lib("gans.gan").GAN((2,), latent_dim=2, hidden_G=(32, 32), hidden_D=(64, 64),
                              batch_size=128, lr_G=2e-3, lr_D=5e-3)

    def batches() -> Iterator[Any]:
        while True:
            yield minigrad.Tensor(toy.sample(gan.batch_size, data), requires_grad=False)

    stream = batches()
    for _ in range(int(inputs["steps"])):
        gan.train_step(stream)
    return {"samples": gan.sample(int(inputs["n"]), data).numpy() + inputs["middle"]}
