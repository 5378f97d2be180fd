"""What runs a student's code in homework 6: CycleGAN and WGAN-GP.

Exact steps of networks are run in float64, so that one right answer has many digits.

Leaves out: everything that judges, and the true numbers.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy

from .tools import Arrays, scripted_random, tensor

__all__ = [
    "AVERAGED",
    "CRITIC",
    "NETWORKS",
    "instance_norm",
    "instance_norm_gradient",
    "least_squares_d",
    "least_squares_g",
    "losses_in_float32",
    "patch_logits",
    "patch_sees",
    "patch_sizes",
    "penalty",
    "penalty_flows",
    "penalty_where",
    "pool",
    "pool_flows",
    "segment",
    "slopes",
    "slopes_differentiated",
    "slopes_of_flat",
    "train_cyclegan",
    "train_cyclegan_on",
    "train_cyclegan_report",
    "train_ring",
    "train_wgan_gp",
    "train_wgan_gp_on",
    "train_wgan_gp_report",
    "wasserstein_d",
    "wasserstein_g",
    "weights_of",
]


def weights_of(network: str, layers: int) -> list[str]:
    """The names of the weights and biases of a network of linear layers."""
    return [f"{kind}{i} of {network}" for i in range(layers) for kind in "Wb"]


NETWORKS = ("G_ab", "G_ba", "D_a", "D_b")
AVERAGED = [f"average {name}" for network in NETWORKS[:2] for name in weights_of(network, 3)]


# -------------------------------------------------------------------------------- Q1: instance norm


def _slope(inputs: Arrays) -> float | None:
    return float(inputs["slope"]) if "slope" in inputs else None


def instance_norm(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """The three results of the kernel; "slope", "mean" and "var" may be given."""
    moments = (inputs["mean"], inputs["var"]) if "mean" in inputs else None
    y, mean, var = lib("minigrad.kernels.reference").instance_norm(
        inputs["x"], float(inputs["eps"]), _slope(inputs), moments)
    return {"mean": mean, "var": var, "y": y}


def instance_norm_gradient(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """The gradient with respect to x; y, mean and var are given."""
    return {"grad of x": lib("minigrad.kernels.reference").instance_norm_gradient(
        inputs["x"], inputs["y"], inputs["mean"], inputs["var"], inputs["upstream"],
        float(inputs["eps"]), _slope(inputs))}


# -------------------------------------------------------------------- Q2: least squares and patches


def _loss_and_gradients(lib: Callable, loss: Any, leaves: dict[str, Any]) -> dict[str, Any]:
    gradients = lib("minigrad").grad(loss, list(leaves.values()))
    found = {f"grad of {name}": g for name, g in zip(leaves, gradients, strict=True)}
    return {"loss": loss, **found}


def _least_squares(lib: Callable, inputs: Arrays) -> Any:
    labels = {name: float(inputs[name]) for name in "abc" if name in inputs}
    return lib("gans.objectives").LeastSquares(**labels)


def least_squares_d(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """LeastSquares.d_loss and its gradients; the labels a, b and c may be given."""
    leaves = {name: tensor(lib, inputs[name]) for name in ("real", "fake")}
    return _loss_and_gradients(lib, _least_squares(lib, inputs).d_loss(**leaves), leaves)


def least_squares_g(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """LeastSquares.g_loss and its gradient."""
    fake = tensor(lib, inputs["fake"])
    return _loss_and_gradients(lib, _least_squares(lib, inputs).g_loss(fake), {"fake": fake})


def losses_in_float32(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """Both losses of least squares, of float32 outputs."""
    objective = _least_squares(lib, inputs)
    real, fake = tensor(lib, inputs["real"]), tensor(lib, inputs["fake"])
    return {"d_loss": objective.d_loss(real, fake), "g_loss": objective.g_loss(fake)}


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


@contextlib.contextmanager
def _without_instance_norm(lib: Callable) -> Iterator[None]:
    """Inside, instance norm leaves images as they are: it mixes all pixels of an image.

    A leaky ReLU that is joined to it still happens.
    """
    reference = lib("minigrad.kernels.reference")
    before = reference.instance_norm

    def unchanged(x: Any, eps: float, slope: float | None, moments: Any = None) -> tuple:
        none = numpy.zeros(x.shape[:2], x.dtype)
        return (x.copy() if slope is None else numpy.maximum(x, slope * x)), none, none

    reference.instance_norm = unchanged
    try:
        yield
    finally:
        reference.instance_norm = before


def _patches(lib: Callable, shape: Sequence[int], features: int) -> Any:
    shape = tuple(int(size) for size in shape)
    return lib("gans.patchgan").patch_discriminator(shape, int(features))


def patch_sizes(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """For images of some sizes: the shape of the map of two images, and how many weights D has."""
    no_grad, found = lib("minigrad").no_grad, {}
    for channels, height, width in inputs["sizes"].tolist():
        D = _patches(lib, (channels, height, width), int(inputs["features"]))
        with no_grad(), _without_instance_norm(lib):
            out = D(tensor(lib, numpy.zeros((2, channels, height, width), "float32"), False))
        name = f"{height} x {width} pixels"
        found[f"shape of the map of {name}"] = numpy.asarray(out.shape)
        found[f"weights in D for {name}"] = sum(p.numpy().size for p in D.parameters())
    return found


def patch_logits(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """The map of D with the given weights."""
    with _float64(lib):
        D = _patches(lib, inputs["images"].shape[1:], int(inputs["features"]))
        names = ("W0", "b0", "W1", "W2", "W3", "b3")
        got, want = ([tuple(a.shape) for a in arrays] for arrays in (
            D.parameters(), [inputs[name] for name in names]))
        if got != want:
            raise ValueError(f"the weights of D have the shapes {got}; want {want}")
        for parameter, name in zip(D.parameters(), names, strict=True):
            parameter.copy_(inputs[name])
        return {"logits": D(tensor(lib, inputs["images"], False))}


def patch_sees(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """Which logits change with one pixel, where no statistics of the whole image come in."""
    with _float64(lib), lib("minigrad").no_grad(), _without_instance_norm(lib):
        D = _patches(lib, inputs["image"].shape, int(inputs["features"]))
        moved = inputs["image"].copy()
        moved[0, int(inputs["row"]), int(inputs["column"])] += 1e4
        before, after = (D(tensor(lib, image[None], False)).numpy()
                         for image in (inputs["image"], moved))
    return {"changed": (before != after)[0, 0]}


# ------------------------------------------------------------------------------------- Q3: the pool


def pool(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """What a pool shows for each batch, what it stores then, and what became of the batches."""
    lib("minigrad").manual_seed(int(inputs["seed"]))
    capacity = int(inputs["capacity"])
    replay = lib("gans.replay").ReplayPool(capacity, float(inputs["share"]))
    fakes = [tensor(lib, batch, False) for batch in inputs["fakes"]]
    shown, at_once, stored = [], [], []
    for fake in fakes:
        shown.append(replay(fake))
        at_once.append(shown[-1].numpy().copy())
        rows = replay.state_dict()["stored"]
        slots = numpy.full((capacity, *inputs["fakes"].shape[2:]), -1.0)
        slots[:len(rows)] = rows
        stored.append(slots)
    return {"shown": numpy.stack(at_once), "shown, at the end": numpy.stack(
                [batch.numpy() for batch in shown]),
            "stored": numpy.stack(stored),
            "fakes": numpy.stack([fake.numpy() for fake in fakes])}


def pool_flows(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """Whether a graph leads from what is shown to the fakes, and twice the same chance."""
    found: dict[str, Any] = {}
    for run in ("shown", "shown with the same seed"):
        lib("minigrad").manual_seed(int(inputs["seed"]))
        replay = lib("gans.replay").ReplayPool(int(inputs["capacity"]), 0.5)
        batches = [replay(tensor(lib, batch) * 1.0) for batch in inputs["fakes"]]
        found[run] = numpy.stack([batch.numpy() for batch in batches])
    found["shown has a graph"] = any(batch.requires_grad for batch in batches)
    return found


# ------------------------------------------------------------------------------------- Q4: CycleGAN


def _put(module: Any, inputs: Arrays, names: Sequence[str]) -> None:
    """The given weights into a network of linear layers."""
    for parameter, name in zip(module.parameters(), names, strict=True):
        parameter.copy_(inputs[name])


def _taken(module: Any, names: Sequence[str]) -> dict[str, Any]:
    """The weights of a network of linear layers, copied."""
    return {name: parameter.numpy().copy()
            for name, parameter in zip(names, module.parameters(), strict=True)}


def _cyclegan(lib: Callable, inputs: Arrays) -> Any:
    """A tiny CycleGAN on points, with the given weights; its optimizers are plain descent."""
    sgd, width = lib("minigrad.optim").SGD, inputs["W0 of G_ab"].shape
    settings = {name: float(inputs[name]) for name in
                ("gan_weight", "cycle_weight", "identity_weight", "ema_decay", "cool_down")}
    gan = lib("gans.cyclegan").CycleGAN(
        (width[0],), features_G=width[1], features_D=width[1], batch_size=inputs["a"].shape[1],
        pool_size=0, flip=False, **settings)
    for module, name in zip((gan.G_ab, gan.G_ba, gan.loss_a.D, gan.loss_b.D), NETWORKS,
                            strict=True):
        _put(module, inputs, weights_of(name, 3))
    gan.opt_G = sgd(gan.G_ab.parameters() + gan.G_ba.parameters(), lr=float(inputs["lr_G"]))
    for unit, name in ((gan.loss_a, "pooled a"), (gan.loss_b, "pooled b")):
        unit.opt_D = sgd(unit.D.parameters(), lr=float(inputs["lr_D"]))
        if name in inputs:
            unit.pool = lambda fake, name=name: tensor(lib, inputs[name], False)
    if gan.ema_ab is not None:
        for average, names in ((gan.ema_ab, AVERAGED[:6]), (gan.ema_ba, AVERAGED[6:])):
            _put(average.module, inputs, names)
    if "total" in inputs:
        gan.set_total_steps(int(inputs["total"]))
    return gan


def _cycled(lib: Callable, inputs: Arrays) -> tuple[Any, dict[str, Any], int]:
    """The CycleGAN after a step for each row of "a", the last report, how many batches it took."""
    with _float64(lib):
        gan = _cyclegan(lib, inputs)
        pairs = [(tensor(lib, a, False), tensor(lib, b, False))
                 for a, b in zip(inputs["a"], inputs["b"], strict=True)]
        batches = iter(2 * pairs)
        for _ in pairs:
            report = gan.train_step(batches)
        return gan, report, 2 * len(pairs) - len(list(batches))


def train_cyclegan(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """The weights of all four networks."""
    gan, _, _ = _cycled(lib, inputs)
    found: dict[str, Any] = {}
    for module, name in zip((gan.loss_a.D, gan.loss_b.D, gan.G_ab, gan.G_ba),
                            NETWORKS[2:] + NETWORKS[:2], strict=True):
        found |= _taken(module, weights_of(name, 3))
    return found


def train_cyclegan_report(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """What train_step returned."""
    _, report, taken = _cycled(lib, inputs)
    names = ("d_loss", "g_loss", "cycle", "identity", "d_real", "d_fake")
    return {**{name: report[name] for name in names}, "batches taken": taken}


def train_cyclegan_on(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """What follows a step: averages of the generators, and learning rates."""
    gan, _, _ = _cycled(lib, inputs)
    return {**_taken(gan.ema_ab.module, AVERAGED[:6]), **_taken(gan.ema_ba.module, AVERAGED[6:]),
            "rate of G": gan.opt_G.lr, "rate of D_a": gan.loss_a.opt_D.lr,
            "rate of D_b": gan.loss_b.opt_D.lr}


# ------------------------------------------------------------------- Q5: slopes and their penalty


def wasserstein_d(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """Wasserstein.d_loss and its gradients."""
    leaves = {name: tensor(lib, inputs[name]) for name in ("real", "fake")}
    return _loss_and_gradients(lib, lib("gans.objectives").Wasserstein().d_loss(**leaves), leaves)


def wasserstein_g(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """Wasserstein.g_loss and its gradient."""
    fake = tensor(lib, inputs["fake"])
    return _loss_and_gradients(lib, lib("gans.objectives").Wasserstein().g_loss(fake),
                               {"fake": fake})


CRITIC = ("W0", "b0", "W1")


class _Critic:
    """tanh(x W0 + b0) W1 of the flattened rows of x: (n, 1). It keeps the x that it was given."""

    def __init__(self, lib: Callable, inputs: Arrays) -> None:
        self.tanh = lib("minigrad.ops").tanh
        self.leaves = {name: tensor(lib, inputs[name]) for name in CRITIC}
        self.given: list[numpy.ndarray] = []

    def __call__(self, x: Any) -> Any:
        self.given.append(x.numpy().copy())
        W0, b0, W1 = self.leaves.values()
        return self.tanh(x.reshape((x.shape[0], W0.shape[0])) @ W0 + b0) @ W1

    def gradients(self, lib: Callable, loss: Any) -> dict[str, Any]:
        """Those of a loss by the weights: zeros for a loss that none of them leads to."""
        found = [None] * len(self.leaves)
        if loss.requires_grad:
            found = lib("minigrad").grad(loss, list(self.leaves.values()))
        return {f"grad of {name}": tensor(lib, numpy.zeros(leaf.shape)) if g is None else g
                for (name, leaf), g in zip(self.leaves.items(), found, strict=True)}


def segment(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """Points on segments, from a generator and from minigrad's; and what they depend on."""
    random, points = lib("minigrad.random"), lib("gans.wgan_gp").segment_points
    real, fake = tensor(lib, inputs["real"]), tensor(lib, inputs["fake"]) * 1.0
    found, seed = {}, int(inputs["seed"])
    for run in ("points", "points of an equal generator"):
        x = points(real, fake, numpy.random.default_rng(seed))
        found[run] = x.numpy().copy()
    for run in ("points of minigrad's generator", "points of minigrad's with the same seed"):
        random.manual_seed(seed)
        found[run] = points(real, fake).numpy().copy()
    return {**found, "is a leaf": x.is_leaf(), "can be differentiated by": x.requires_grad}


def slopes(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """The slopes of a smooth critic at x."""
    critic = _Critic(lib, inputs)
    return {"slopes": lib("gans.wgan_gp").slopes(critic, tensor(lib, inputs["x"]))}


def slopes_differentiated(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """The gradients of sum(upstream * slopes) by the critic's weights."""
    critic = _Critic(lib, inputs)
    found = lib("gans.wgan_gp").slopes(critic, tensor(lib, inputs["x"]))
    loss = lib("minigrad.ops").summation(found * tensor(lib, inputs["upstream"], False))
    return critic.gradients(lib, loss)


def slopes_of_flat(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """The slopes of several critics, some the same everywhere, and the gradients of their sums."""
    found: dict[str, list[numpy.ndarray]] = {}
    for is_flat in inputs["flat"]:
        critic = _Critic(lib, {**inputs, "W1": inputs["W1"] * (not is_flat)})
        steep = lib("gans.wgan_gp").slopes(critic, tensor(lib, inputs["x"]))
        back = critic.gradients(lib, lib("minigrad.ops").summation(steep))
        for name, value in {"slopes": steep, **back}.items():
            found.setdefault(name, []).append(value.numpy())
    return {name: numpy.stack(values) for name, values in found.items()}


class _Halfway:
    """A generator whose uniform numbers all lie in the middle, whatever is asked for."""

    def random(self, size: Any = None, dtype: Any = "float64", out: Any = None) -> Any:
        return numpy.full(() if size is None else size, 0.5, dtype)

    def uniform(self, low: Any = 0.0, high: Any = 1.0, size: Any = None) -> Any:
        return numpy.full(() if size is None else size, (low + high) / 2)


def penalty(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """The penalty half way between real and fake, its gradients, and the mean slope."""
    critic = _Critic(lib, inputs)
    real, fake = (tensor(lib, inputs[name], False) for name in ("real", "fake"))
    found, slope = lib("gans.wgan_gp").gradient_penalty(critic, real, fake, _Halfway())
    return {"penalty": found, "mean slope": slope, **critic.gradients(lib, found)}


def penalty_where(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """The points at which the critic was asked, and those of an equal generator."""
    found = {}
    for run in ("points", "points of an equal generator"):
        critic = _Critic(lib, inputs)
        real, fake = (tensor(lib, inputs[name], False) for name in ("real", "fake"))
        g = numpy.random.default_rng(int(inputs["seed"]))
        value, _ = lib("gans.wgan_gp").gradient_penalty(critic, real, fake, g)
        found[run] = critic.given[0]
    return {**found, "penalty": value}


def penalty_flows(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """The gradient of the penalty by a factor in what makes the fakes."""
    critic, factor = _Critic(lib, inputs), tensor(lib, inputs["factor"])
    real, fake = tensor(lib, inputs["real"], False), tensor(lib, inputs["fake"], False)
    found, _ = lib("gans.wgan_gp").gradient_penalty(critic, real, fake * factor, _Halfway())
    back = lib("minigrad").grad(found, factor) if found.requires_grad else None
    return {"gradient in G": numpy.zeros(factor.shape) if back is None else back,
            **critic.gradients(lib, found)}


# --------------------------------------------------------------------------------------- Q6: WGANGP


class _Noise(scripted_random):
    """The given noise, in order, in float64; uniform numbers all lie in the middle."""

    random, uniform = _Halfway.random, _Halfway.uniform

    def standard_normal(self, size: Any = None, dtype: Any = None) -> numpy.ndarray:
        return self._next(size, "float64")

    def integers(self, *args: Any, **kwargs: Any) -> numpy.ndarray:
        raise ValueError("integers were drawn; a step needs normal and uniform numbers alone")

    def permutation(self, *args: Any, **kwargs: Any) -> numpy.ndarray:
        raise ValueError("a permutation was drawn; a step needs normal and uniform numbers alone")


def _wgan_gp(lib: Callable, inputs: Arrays) -> Any:
    """A tiny WGAN-GP on points, with the given weights; its optimizers are plain descent."""
    sgd, latent = lib("minigrad.optim").SGD, inputs["W0 of G"].shape
    gan = lib("gans.wgan_gp").WGANGP(
        (2,), latent_dim=latent[0], hidden_G=(latent[1],), hidden_D=inputs["W1 of D"].shape,
        batch_size=inputs["real"].shape[2], n_critic=int(inputs["n_critic"]),
        gp_weight=float(inputs["gp_weight"]), ema_decay=float(inputs["ema_decay"]),
        cool_down=float(inputs["cool_down"]))
    _put(gan.G, inputs, weights_of("G", 2))
    _put(gan.D, inputs, weights_of("D", 3))
    if gan.ema is not None:
        _put(gan.ema.module, inputs, [f"average {name}" for name in weights_of("G", 2)])
    gan.opt_G = sgd(gan.G.parameters(), lr=float(inputs["lr_G"]))
    gan.loss.opt_D = sgd(gan.D.parameters(), lr=float(inputs["lr_D"]))
    if "total" in inputs:
        gan.set_total_steps(int(inputs["total"]))
    return gan


def _criticised(lib: Callable, inputs: Arrays) -> tuple[Any, dict[str, Any]]:
    """The WGAN-GP after a step for each row of "real" and "z", and the last report."""
    random = lib("minigrad.random")
    with _float64(lib):
        gan, before = _wgan_gp(lib, inputs), random.generator()
        try:
            for reals, noise in zip(inputs["real"], inputs["z"], strict=True):
                random.set_generator(_Noise(noise))
                report = gan.train_step(iter([tensor(lib, real, False) for real in reals]))
        finally:
            random.set_generator(before)
    return gan, report


def train_wgan_gp(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """The weights of critic and generator."""
    gan, _ = _criticised(lib, inputs)
    return {**_taken(gan.D, weights_of("D", 3)), **_taken(gan.G, weights_of("G", 2))}


def train_wgan_gp_report(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """What train_step returned."""
    _, report = _criticised(lib, inputs)
    return {name: report[name] for name in ("wasserstein", "slope", "d_loss", "g_loss")}


def train_wgan_gp_on(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """What follows a step: the average of the generator, and learning rates."""
    gan, _ = _criticised(lib, inputs)
    return {**_taken(gan.ema.module, [f"average {name}" for name in weights_of("G", 2)]),
            "rate of G": gan.opt_G.lr, "rate of D": gan.loss.opt_D.lr}


def train_ring(lib: Callable, inputs: Arrays) -> dict[str, Any]:
    """Samples of a small WGAN-GP after a short training on modes with the given centres.

    It sees them around the origin; its samples are moved to where the middle lies.
    """
    minigrad, steps = lib("minigrad"), int(inputs["steps"])
    minigrad.manual_seed(int(inputs["seed"]))
    data = numpy.random.default_rng(int(inputs["seed"]) + 1)
    gan = lib("gans.wgan_gp").WGANGP(
        (2,), latent_dim=2, hidden_G=(32, 32), hidden_D=(32, 32), batch_size=64, n_critic=2,
        gp_weight=0.3, lr_G=8e-3, lr_D=8e-3, beta1=0.5, cool_down=0.5)
    gan.set_total_steps(steps)

    def batches() -> Iterator[Any]:
        while True:
            which = data.integers(len(inputs["centres"]), size=gan.batch_size)
            noise = float(inputs["sigma"]) * data.standard_normal((gan.batch_size, 2))
            yield minigrad.Tensor((inputs["centres"][which] + noise).astype("float32"),
                                  requires_grad=False)

    stream = batches()
    for _ in range(steps):
        gan.train_step(stream)
    return {"samples": gan.sample(int(inputs["n"]), data).numpy() + inputs["middle"]}
