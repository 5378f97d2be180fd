"""The seventeen tips of the ganhacks list as experiments: one thing changed, all else equal.

The list (Chintala, Denton, Arjovsky, Mathieu 2016, "How to train a GAN? Tips and tricks to make
GANs work") is quoted in many lectures and says of itself that it is no longer maintained since
2020. Every tip here is a claim with a number: a run that follows the tip, a run that does not, a
metric, and a verdict over seeds.

A run is an experiment, a small dataclass whose fields are its settings. Two runs that are compared
differ in one field. There are six kinds::

    Ring      eight narrow Gaussians on a circle, fully connected networks; FastRing has
              a G ten times as fast as D
    Digits    28 x 28 digits, fully connected or convolutional, scored by the digit classifier
    TwoModes  two modes on a line and a generator that runs from one to the other
    Lines     two parallel lines that never touch, and a discriminator that knows it
    Belief    a discriminator alone, between two Gaussians whose best answer is known
    Watched   a training that fails, or does not, with the monitor beside it

The verdict is paired by seed. With d_i = (metric with the tip) - (metric without it) on seed i::

    helped or hurt     |mean d| > 2 sd(d) / sqrt(n)  and  |mean d| > least
    no effect          otherwise

where ``least`` is the smallest difference that matters, stated with the tip before any run.

Leaves out: large images, long trainings, and every combination of tips. What a tip does here in
some hundred steps is evidence about these settings, not about all.
"""

from __future__ import annotations

import contextlib
import functools
import math
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

import numpy as np

from minigrad import Tensor, init, manual_seed, no_grad, ops, random
from minigrad.data import load, to_tanh_range, to_uint8
from minigrad.nn import (
    Conv2d,
    Dropout,
    Identity,
    LeakyReLU,
    MaxPool2d,
    Module,
    Parameter,
    ReLU,
    Sequential,
    Sigmoid,
    Tanh,
)
from minigrad.optim import EMA, SGD, Adam, Optimizer

from . import dcgan, gan
from .classifier import load_classifier
from .dcgan import Prior, dcgan_init
from .dynamics import (
    InstanceNoise,
    Recording,
    Rule,
    collapse,
    diagnose,
    flips,
    healthy,
    mode_cycle,
    oscillation,
    strong_discriminator,
    weak_discriminator,
)
from .evaluation import spread
from .gan import GAN
from .ganloss import GANLoss
from .latent import slerp
from .metrics import (
    class_histogram,
    class_total_variation,
    classifier_score,
    mean_pairwise_distance,
    modes_and_quality,
)
from .minibatch import MinibatchGAN, Statistic
from .monitor import Diagnosis, Monitor, Sickness
from .objectives import OBJECTIVES, GameObjective, NonSaturating, Objective
from .theory import normal_pdf, optimal_discriminator
from .toys import TOYS, Toy

__all__ = ["TIPS", "Belief", "Digits", "Experiment", "FastRing", "Lines", "Ring", "Tip",
           "TwoModes", "Verdict", "Watched", "arms", "verdict", "verdict_table"]


class Experiment(Protocol):
    """A run: called with a seed it trains and returns its metrics.

    Attributes
    ----------
    steps : int
        How long it trains; a test makes it short.
    metrics : tuple of str
        The names of the numbers that come back.
    """

    steps: int

    @property
    def metrics(self) -> tuple[str, ...]: ...

    def __call__(self, seed: int) -> dict[str, float]: ...


def stream(rows: np.ndarray, batch_size: int, seed: int) -> Iterator[Tensor]:
    """Endless batches of randomly chosen rows, from a generator of their own."""
    g = np.random.default_rng(seed)
    while True:
        yield Tensor(rows[g.integers(len(rows), size=batch_size)], requires_grad=False)


def norm_of_gradients(parameters: Sequence[Tensor]) -> float:
    """The length of all the parameters' gradients together, as the last step left them."""
    return math.sqrt(sum(float((p.grad.numpy().astype(np.float64) ** 2).sum())
                         for p in parameters))


# ------------------------------------------------------------------------------------------ labels


class Targets(Enum):
    """What D is taught to answer: for real rows, for fakes, and how often the two are exchanged.

    Each value is (lowest for real, highest for real, lowest for fake, highest for fake, share
    exchanged); a target between lowest and highest is drawn for every row.
    """

    HARD = (1.0, 1.0, 0.0, 0.0, 0.0)
    ONE_SIDED = (0.9, 0.9, 0.0, 0.0, 0.0)
    TWO_SIDED = (0.7, 1.2, 0.0, 0.3, 0.0)
    FLIPPED = (1.0, 1.0, 0.0, 0.0, 0.05)

    @property
    def means(self) -> tuple[float, float]:
        """The mean targets a of real rows and b of fakes.

        A discriminator that learns from them answers, at its best, (a p + b q) / (p + q).
        """
        low_real, high_real, low_fake, high_fake, exchanged = self.value
        real, fake = (low_real + high_real) / 2, (low_fake + high_fake) / 2
        return real + exchanged * (fake - real), fake + exchanged * (real - fake)


@dataclass(frozen=True)
class SoftTargets(NonSaturating):
    """The non-saturating game with targets for D that need be neither 0 nor 1, nor certain."""

    targets: Targets = Targets.HARD

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        low_real, high_real, low_fake, high_fake, share = self.targets.value
        is_real, is_fake = self._drawn(real, low_real, high_real), self._drawn(
            fake, low_fake, high_fake)
        if share:
            exchanged = random.generator().random(real.shape, dtype="float32") < share
            is_real, is_fake = (np.where(exchanged, is_fake, is_real),
                                np.where(exchanged, is_real, is_fake))
        return ops.bce_with_logits(real, Tensor(is_real, requires_grad=False)) \
            + ops.bce_with_logits(fake, Tensor(is_fake, requires_grad=False))

    @staticmethod
    def _drawn(logits: Tensor, low: float, high: float) -> np.ndarray:
        if low == high:
            return np.full(logits.shape, low, dtype="float32")
        draw = random.generator().random(logits.shape, dtype="float32")
        return np.float32(low) + np.float32(high - low) * draw


# -------------------------------------------------------------------------------------------- ring


class Schedule(Enum):
    """Whose turn it is: k steps of D to one of G, or a player goes on until its loss is low."""

    FIXED = "fixed"
    BY_LOSS = "by loss"


def ring_scores(samples: np.ndarray, toy: Toy) -> dict[str, float]:
    """How much of the ring the samples (n, 2) cover, how many modes, how many samples lie on one.

    ``covered`` is the sum over modes of min(share of good samples there, 1 / k): 1 / 8 for a
    generator that makes one mode well, 1 at most, and about 0.97 for 1,000 real points. A generator
    that has diverged covers nothing.
    """
    if not np.isfinite(samples).all():
        return {"covered": 0.0, "modes": 0.0, "quality": 0.0}
    report = modes_and_quality(samples, toy.centres, toy.sigma)
    share = np.array(report.high_quality_histogram) / len(samples)
    return {"covered": float(np.minimum(share, 1 / len(share)).sum()),
            "modes": float(report.modes_one_percent), "quality": report.high_quality}


@dataclass(frozen=True)
class Ring:
    """``GAN`` on ring8 with the library's sizes and rates; samples of averaged weights are judged.

    ``steps`` counts pairs of one step of D and one of G: whatever the schedule, there are
    2 * ``steps`` steps in all. With ``Rule.SGD`` a player takes plain gradient steps of rate 0.01.
    """

    steps: int = 2000
    k: int = 1  # steps of D to one of G
    schedule: Schedule = Schedule.FIXED
    targets: Targets = Targets.HARD
    rule_G: Rule = Rule.ADAM
    rule_D: Rule = Rule.ADAM
    noise: float = 0.0  # on all that D sees; falls to 0 along the run

    metrics = ("covered", "modes", "quality")

    def __call__(self, seed: int) -> dict[str, float]:
        manual_seed(seed)
        toy = TOYS["ring8"]
        model = GAN((2,), latent_dim=2, hidden_G=(128, 128), hidden_D=(128, 128), batch_size=256,
                    k=self.k, lr_G=2e-4, lr_D=1e-3, ema_decay=0.99)
        noise = InstanceNoise(self.noise)
        opt_D = optimizer(self.rule_D, model.D, 1e-3)
        model.loss = GANLoss(Sequential(noise, model.D), opt_D, SoftTargets(targets=self.targets))
        model.opt_G = optimizer(self.rule_G, model.G, 2e-4)
        real = toy.sample(1 << 16, np.random.default_rng(0))
        batches = stream(real, model.batch_size, seed)
        if self.schedule is Schedule.BY_LOSS:
            play_by_loss(model, batches, 2 * self.steps)
        else:
            rounds = max(1, 2 * self.steps // (self.k + 1))
            for i in range(rounds):
                noise.sigma = self.noise * (1 - i / rounds)
                model.train_step(batches)
        return ring_scores(model.sample(1000, np.random.default_rng(seed)).numpy(), toy)


def optimizer(rule: Rule, net: Module, lr: float) -> Optimizer:
    """Adam of this rate, or plain gradient descent of rate 0.01."""
    if rule is Rule.SGD:
        return SGD(net.parameters(), lr=0.01)
    return Adam(net.parameters(), lr=lr, beta1=0.5)


@dataclass(frozen=True)
class FastRing:
    """ring8 where G learns ten times as fast as D: its samples crowd together, or fly apart.

    ``spread`` is the mean distance of samples over that of real points, ``spread_error`` how far
    it is from 1. The steps are few: later D catches up, with or without help.
    """

    steps: int = 500
    statistic: Statistic = Statistic.NONE  # what D is told about the batch

    metrics = ("covered", "modes", "quality", "spread", "spread_error")

    def points(self, seed: int) -> np.ndarray:
        """1,000 points of the trained generator, (1000, 2)."""
        manual_seed(seed)
        model = MinibatchGAN((2,), latent_dim=2, hidden_G=(128, 128), hidden_D=(128, 128),
                             batch_size=64, lr_G=1e-3, lr_D=1e-4, ema_decay=0.99,
                             statistic=self.statistic, kernels=8, dims=4)
        real = TOYS["ring8"].sample(1 << 16, np.random.default_rng(0))
        batches = stream(real, model.batch_size, seed)
        for _ in range(self.steps):
            model.train_step(batches)
        return model.sample(1000, np.random.default_rng(seed)).numpy()

    def __call__(self, seed: int) -> dict[str, float]:
        toy, points = TOYS["ring8"], self.points(seed)
        real = toy.sample(len(points), np.random.default_rng(0))
        ratio = mean_pairwise_distance(points) / mean_pairwise_distance(real)
        return {**ring_scores(points, toy), "spread": ratio, "spread_error": abs(1 - ratio)}


def play_by_loss(model: GAN, batches: Iterator[Tensor], steps: int) -> None:
    """``steps`` steps of either player: each goes on until it is better than at the balance.

    So D learns while d_loss > 2 log 2, then G while g_loss > log 2, then D again.
    """
    turn_of_D = True
    for _ in range(steps):
        if turn_of_D:
            real = next(batches)
            with no_grad():
                fake = model.G(model.noise(len(real)))
            turn_of_D = model.loss.d_step(real=real, fake=fake).item() > 2 * math.log(2)
        else:
            g_loss = model.loss.g_loss(fake=model.G(model.noise(model.batch_size)))
            model.opt_G.minimize(g_loss)
            model.ema.update()
            turn_of_D = g_loss.item() <= math.log(2)


# ------------------------------------------------------------------------------------------ digits


class Network(Enum):
    """Fully connected with batch norm in G, or the DCGAN with 16 channels next to the image."""

    MLP = "mlp"
    DCGAN = "dcgan"


class Pixels(Enum):
    """The range of the pixels, and the function at G's end that has it."""

    TANH = "[-1, 1], tanh"
    UNIT = "[0, 1], sigmoid"
    BYTES = "[0, 255], no function"


class Batches(Enum):
    """What D normalises over: real and fake apart, or both at once where it learns, or always."""

    SEPARATE = "separate"
    MIXED_IN_D = "mixed where D learns"
    MIXED = "mixed in both steps"


class Activation(Enum):
    """The slopes below zero of the hidden units of G and of D."""

    DCGAN = (0.0, 0.2)
    LEAKY = (0.2, 0.2)
    RELU = (0.0, 0.0)


class Shrink(Enum):
    """How D halves an image: a convolution of stride 2, or one of stride 1 and the maximum."""

    STRIDE = "stride"
    MAX_POOL = "max pool"


class Labels(Enum):
    """Whether both players are told the class, and in how many numbers; 0: not told."""

    NONE = 0
    EMBEDDING = 4
    ONE_HOT = 10


class DropoutIn(Enum):
    """Where half of G's hidden units are dropped."""

    NOTHING = "nothing"
    TRAINING = "training"
    TRAINING_AND_SAMPLES = "training and samples"


CLASSES = 10


class LabelCode(Module):
    """(n, d + 10) to (n, d + width): the one-hot label behind d numbers becomes its embedding.

    A one-hot row times a table of (10, width) is that label's row of the table. With
    ``Labels.ONE_HOT`` the label stays as it is.
    """

    def __init__(self, labels: Labels) -> None:
        embed = labels is Labels.EMBEDDING
        self.table = Parameter(init.randn(CLASSES, labels.value)) if embed else None

    def forward(self, x: Tensor) -> Tensor:
        if self.table is None:
            return x
        d = x.shape[1] - CLASSES
        return ops.concat([x[:, :d], x[:, d:] @ self.table], axis=1)


class LabelChannels(Module):
    """(n, 784 + width) to images (n, 1 + width, 28, 28): the label as constant channels."""

    def forward(self, x: Tensor) -> Tensor:
        n, width = x.shape[0], x.shape[1] - 784
        image = x[:, :784].reshape((n, 1, 28, 28))
        channels = x[:, 784:].reshape((n, width, 1, 1)).broadcast_to((n, width, 28, 28))
        return ops.concat([image, channels], axis=1)


class MixedBatches(GANLoss):
    """A GANLoss whose D sees real and fake rows in one batch, against tip 4.

    D's batch norm then takes its mean and variance over both. ``also_for_G``: the last real batch
    is beside the fakes in G's step, too; else G's step shows D fakes alone.
    """

    def __init__(self, D: Module, opt_D: Optimizer, objective: GameObjective,
                 also_for_G: bool) -> None:
        super().__init__(D, opt_D, objective)
        self.also_for_G, self.real = also_for_G, None

    def d_step(self, real: Tensor, fake: Tensor) -> Tensor:
        self.real = real
        logits = self.D(ops.concat([real, fake.detach()]))
        d_loss = self.objective.d_loss(logits[:len(real)], logits[len(real):])
        self.opt_D.minimize(d_loss)
        return d_loss.detach()

    def g_loss(self, fake: Tensor) -> Tensor:
        if not self.also_for_G:
            return super().g_loss(fake)
        return self.objective.g_loss(self.D(ops.concat([self.real, fake]))[len(self.real):])


@functools.cache
def digits() -> tuple[np.ndarray, np.ndarray]:
    """The training digits, float32 (8000, 1, 28, 28) in [-1, 1], and their classes (8000,)."""
    data = load("digits")
    return to_tanh_range(data.train_images), data.train_labels


@dataclass(frozen=True, eq=False)
class TrainedDigits:
    """The averaged G, ready for samples, D as it is, and the length of G's first gradient."""

    G: Module
    D: Module
    gradient: float


@dataclass(frozen=True)
class Digits:
    """A GAN on digits, 64 in a batch; samples of averaged weights are judged by the classifier.

    ``head_start`` steps are D's alone, before any of G. Both players learn by Adam, 1e-3.
    """

    network: Network = Network.MLP
    steps: int = 1000
    objective: Objective = Objective.NON_SATURATING
    head_start: int = 0
    prior: Prior = Prior.NORMAL
    pixels: Pixels = Pixels.TANH
    batches: Batches = Batches.SEPARATE
    activation: Activation = Activation.DCGAN
    shrink: Shrink = Shrink.STRIDE
    labels: Labels = Labels.NONE
    dropout: DropoutIn = DropoutIn.NOTHING

    latent_dim = 32
    batch_size = 64
    samples = 1000

    @property
    def metrics(self) -> tuple[str, ...]:
        """``gradient`` is the length of G's first one; ``same_z`` see ``__call__``."""
        labelled = ("obeyed",) if self.labels is not Labels.NONE else ()
        return ("score", "class_tv", "gradient", "lerp_length", "lerp_score", "slerp_score",
                "same_z", *labelled)

    def __call__(self, seed: int) -> dict[str, float]:
        """Train, then judge 1,000 samples.

        ``score`` is the classifier score and ``class_tv`` the share of samples in a wrong class;
        ``lerp_score`` and ``slerp_score`` are those of images halfway between two latent vectors
        on a straight line and on a great circle, ``lerp_length`` the length of the former over
        that of its ends; ``same_z`` is the spread of images of one z over that of all; ``obeyed``
        the share of samples of the class that was asked for.
        """
        load_classifier()  # draws random weights at its first call: before the run is seeded
        trained = self.train(seed)
        return {"gradient": trained.gradient,
                **self._judged(trained.G, np.random.default_rng(seed))}

    def train(self, seed: int) -> TrainedDigits:
        """The players after ``steps`` steps."""
        manual_seed(seed)
        G, loss = self._generator(), self._loss()
        opt_G = Adam(G.parameters(), lr=1e-3, beta1=0.5)
        ema = EMA(G, decay=0.99, warmup=True)
        images, classes = digits()
        g = np.random.default_rng(seed)
        gradient = 0.0
        for step in range(-self.head_start, self.steps):
            rows = g.integers(len(images), size=self.batch_size)
            z, y = self._noise(self.batch_size), one_hot(classes[rows])
            real = self._seen_by_D(Tensor(self._scaled(images[rows]), requires_grad=False), y)
            with (no_grad if step < 0 else contextlib.nullcontext)():
                fake = self._seen_by_D(self._made(G, z, y), y)
            loss.d_step(real=real, fake=fake)
            if step >= 0:
                opt_G.minimize(loss.g_loss(fake=fake))
                ema.update()
            if step == 0:
                gradient = norm_of_gradients(G.parameters())
        G = ema.module.eval()
        if self.dropout is DropoutIn.TRAINING_AND_SAMPLES:
            for _, layer in G.named_modules():
                layer.training = isinstance(layer, Dropout)
        return TrainedDigits(G, loss.D, gradient)

    def pictures(self, G: Module, z: np.ndarray, classes: np.ndarray) -> np.ndarray:
        """G's images of latent vectors z (n, 32), of classes (n,) if it is told them, as uint8."""
        parts = []
        with no_grad():
            for i in range(0, len(z), 250):
                rows = slice(i, i + 250)
                y = one_hot(classes[rows])
                parts.append(self._as_bytes(
                    self._made(G, Tensor(z[rows], requires_grad=False), y).numpy()))
        return np.concatenate(parts)

    # the networks ----------------------------------------------------------------------------

    def _generator(self) -> Module:
        """(n, latent_dim), and labels behind them if there are any, to images."""
        width = self.latent_dim + self.labels.value
        if self.network is Network.DCGAN:
            net = dcgan_init(dcgan.generator(width, 16, (1, 28, 28)))
        else:
            net = gan.generator(width, (128, 256), (1, 28, 28), batch_norm=True)
        layers = with_slope(net, self.activation.value[0])
        if self.dropout is not DropoutIn.NOTHING:
            layers = [m for layer in layers for m in
                      ([layer, Dropout(0.5)] if isinstance(layer, LeakyReLU) else [layer])]
        last = {Pixels.TANH: Tanh, Pixels.UNIT: Sigmoid, Pixels.BYTES: Identity}[self.pixels]
        layers = [last() if isinstance(layer, Tanh) else layer for layer in layers]
        return Sequential(*([LabelCode(self.labels)] if self.labels is not Labels.NONE else []),
                          *layers)

    def _loss(self) -> GANLoss:
        shape = (1 + self.labels.value, 28, 28)
        if self.network is Network.DCGAN:
            net = dcgan_init(dcgan.discriminator(shape, 16))
        else:
            net = gan.discriminator(shape, (256, 128))
        layers = with_slope(net, self.activation.value[1])
        if self.shrink is Shrink.MAX_POOL:
            layers = [m for layer in layers for m in pooled(layer)]
        if self.labels is not Labels.NONE:
            layers = [LabelCode(self.labels), LabelChannels(), *layers]
        D = Sequential(*layers)
        opt_D = Adam(D.parameters(), lr=1e-3, beta1=0.5)
        objective = OBJECTIVES[self.objective]
        if self.batches is Batches.SEPARATE:
            return GANLoss(D, opt_D, objective)
        return MixedBatches(D, opt_D, objective, also_for_G=self.batches is Batches.MIXED)

    # what goes in ----------------------------------------------------------------------------

    def _noise(self, n: int, g: Any = None) -> Tensor:
        g = random.generator() if g is None else g
        z = g.standard_normal((n, self.latent_dim), dtype="float32")
        if self.prior is Prior.UNIFORM:
            z = 2 * g.random((n, self.latent_dim), dtype="float32") - 1
        return Tensor(z, requires_grad=False)

    def _scaled(self, images: np.ndarray) -> np.ndarray:
        """Images in [-1, 1] in the range that the networks shall see."""
        return {Pixels.TANH: images, Pixels.UNIT: (images + 1) / 2,
                Pixels.BYTES: (images + 1) * np.float32(127.5)}[self.pixels]

    def _as_bytes(self, images: np.ndarray) -> np.ndarray:
        """G's images as uint8 (n, 28, 28)."""
        return to_uint8({Pixels.TANH: images, Pixels.UNIT: images * 2 - 1,
                         Pixels.BYTES: images / 127.5 - 1}[self.pixels])

    def _made(self, G: Module, z: Tensor, y: Tensor) -> Tensor:
        """G's images of z, of the classes y if it is told them."""
        return G(z if self.labels is Labels.NONE else ops.concat([z, y], axis=1))

    def _seen_by_D(self, x: Tensor, y: Tensor) -> Tensor:
        """Images, with their classes behind them in one row if D is told them."""
        if self.labels is Labels.NONE:
            return x
        return ops.concat([x.reshape((x.shape[0], 784)), y], axis=1)

    # what comes out --------------------------------------------------------------------------

    def _judged(self, G: Module, g: np.random.Generator) -> dict[str, float]:
        asked = np.arange(self.samples) % CLASSES

        def answers(z: np.ndarray) -> np.ndarray:
            return load_classifier().probabilities(self.pictures(G, z, asked[:len(z)]))

        z = self._noise(self.samples, g).numpy()
        a, b = z[::2], z[1::2]
        line = (a + b) / 2
        circle = np.stack([slerp(u, v, 0.5) for u, v in zip(a, b, strict=True)]).astype("float32")
        ends = (np.linalg.norm(a, axis=1) + np.linalg.norm(b, axis=1)) / 2
        found = answers(z)
        scores = {
            "score": classifier_score(found),
            "class_tv": class_total_variation(class_histogram(found)),
            "lerp_length": float((np.linalg.norm(line, axis=1) / ends).mean()),
            "lerp_score": classifier_score(answers(line)),
            "slerp_score": classifier_score(answers(circle)),
        }
        # One z and one class again and again, against as many different ones of that class.
        zeros = np.zeros(64, dtype=int)
        one, many = (spread(self.pictures(G, rows, zeros) / 255.0)
                     for rows in (np.repeat(z[:1], 64, axis=0), z[:64]))
        scores["same_z"] = one / many if many else 0.0
        if self.labels is not Labels.NONE:
            scores["obeyed"] = float((found.argmax(axis=1) == asked).mean())
        return scores


def one_hot(classes: np.ndarray) -> Tensor:
    """Classes (n,) as rows (n, 10) of a one and nine zeros."""
    return Tensor(np.eye(CLASSES, dtype="float32")[classes], requires_grad=False)


def with_slope(net: Sequential, slope: float) -> list[Module]:
    """The layers of a network, with this slope below zero in every (leaky) ReLU."""
    return [LeakyReLU(slope) if isinstance(layer, (ReLU, LeakyReLU)) else layer for layer in net]


def pooled(layer: Module) -> list[Module]:
    """A convolution of stride 2 as one of 3 x 3 and stride 1, and the largest of 2 x 2."""
    if not isinstance(layer, Conv2d) or layer.stride != (2, 2):
        return [layer]
    conv = Conv2d(layer.in_channels, layer.out_channels, 3, padding=1, bias=False)
    return [dcgan_init(conv), MaxPool2d(2)]


# ------------------------------------------------------------------------- small worlds


@dataclass(frozen=True)
class TwoModes:
    """``gans.dynamics.mode_cycle``: a G of one number runs from mode to mode of a D that forgets.

    ``flips`` counts how often G goes from below -1 to above 1 or back, ``swing`` is the standard
    deviation of its place in the second half of the run.
    """

    steps: int = 2000
    pool: bool = False  # whether half of what D sees are older samples

    metrics = ("flips", "swing")

    def recording(self, seed: int) -> Recording:
        """The run; its column "mean" is where G was."""
        return mode_cycle(self.steps, pool=self.pool, seed=seed)

    def __call__(self, seed: int) -> dict[str, float]:
        means = self.recording(seed)["mean"]
        return {"flips": float(flips(means)), "swing": float(means[len(means) // 2:].std())}


class Line(Module):
    """G of the parallel lines: u uniform on [0, 1] to the point (x, u), with one parameter x."""

    def __init__(self, x: float) -> None:
        self.x = Parameter(np.array([[x]], dtype="float32"))

    def forward(self, u: Tensor) -> Tensor:
        return ops.concat([self.x.broadcast_to(u.shape), u], axis=1)


@dataclass(frozen=True)
class Lines:
    """Real points on the line x = 0, fakes on x = 1: the minimax game against a trained D.

    D first learns for 1,000 steps while G stands still; then both move, G by plain gradient steps
    of rate 0.1. ``gradient`` is that of G's loss by x after D's head start, ``distance`` is |x| in
    the end. Source of the example: Arjovsky et al. 2017, example 1.
    """

    steps: int = 300
    noise: float = 0.0  # on all that D sees; falls to 0 while G learns
    head_start: int = 1000

    metrics = ("gradient", "distance")

    def __call__(self, seed: int) -> dict[str, float]:
        manual_seed(seed)
        g = random.generator()
        G = Line(1.0)
        opt_G = SGD(G.parameters(), lr=0.1)
        noise = InstanceNoise(self.noise)
        D = Sequential(noise, gan.discriminator((2,), (64, 64)))
        loss = GANLoss(D, Adam(D.parameters(), lr=1e-3, beta1=0.5), OBJECTIVES[Objective.MINIMAX])
        gradient = 0.0
        for step in range(-self.head_start, self.steps):
            noise.sigma = self.noise * min(1.0, 1 - step / self.steps)
            height = g.random((128, 1), dtype="float32")
            real = Tensor(np.concatenate([0 * height, height], axis=1), requires_grad=False)
            fake = G(Tensor(g.random((128, 1), dtype="float32"), requires_grad=False))
            loss.d_step(real=real, fake=fake)
            if step >= 0:
                opt_G.minimize(loss.g_loss(fake=fake))
            if step == 0:
                gradient = norm_of_gradients(G.parameters())
        return {"gradient": gradient, "distance": abs(G.x.item())}


@dataclass(frozen=True)
class Belief:
    """D alone between p = N(-1, 1), real, and q = N(1, 1), fake: what do its answers mean?

    ``bias`` is the mean of |D - p / (p + q)| over both kinds of rows, ``rest`` that of
    |D - (a p + b q) / (p + q)|, the best answer to targets of mean a and b.
    """

    steps: int = 1500
    targets: Targets = Targets.HARD

    metrics = ("bias", "rest")

    def curve(self, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Places x from -4 to 4, and what D answers there after training."""
        manual_seed(seed)
        g = np.random.default_rng(seed)
        D = gan.discriminator((1,), (32, 32))
        opt_D = Adam(D.parameters(), lr=3e-3)
        loss = GANLoss(D, opt_D, SoftTargets(targets=self.targets))
        for i in range(self.steps):
            opt_D.lr = 3e-3 * (1 - i / self.steps)  # lets the last answers settle
            real, fake = (Tensor((m + g.standard_normal((256, 1))).astype("float32"),
                                 requires_grad=False) for m in (-1, 1))
            loss.d_step(real=real, fake=fake)
        x = np.linspace(-4, 4, 401)
        with no_grad():
            answers = ops.sigmoid(D(Tensor(x[:, None].astype("float32"), requires_grad=False)))
        return x, answers.numpy()[:, 0].astype(np.float64)

    def best(self, x: np.ndarray) -> np.ndarray:
        """(a p + b q) / (p + q) at the places x."""
        real, fake = self.targets.means
        honest = optimal_discriminator(normal_pdf(x, -1.0), normal_pdf(x, 1.0))
        return fake + (real - fake) * honest

    def __call__(self, seed: int) -> dict[str, float]:
        x, answers = self.curve(seed)
        p, q = normal_pdf(x, -1.0), normal_pdf(x, 1.0)
        weight = (p + q) / (p + q).sum()
        return {"bias": float((weight * np.abs(answers - optimal_discriminator(p, q))).sum()),
                "rest": float((weight * np.abs(answers - self.best(x))).sum())}


# ----------------------------------------------------------------------------------------- monitor


class Course(Enum):
    """Four failures that are provoked, and four trainings that go well.

    The failures are those of the lecture STAT 453, "GAN training problems"; they and the first two
    of the others are the demonstrations of ``gans.dynamics``.
    """

    OSCILLATION = "failing, oscillation"
    COLLAPSE = "failing, mode collapse"
    STRONG_D = "failing, D too strong"
    WEAK_D = "failing, D too weak"
    LINE = "healthy, two modes"
    FAST_D = "healthy, non-saturating against a strong D"
    RING = "healthy, ring"
    DIGITS = "healthy, digits"


SIGN = {Course.OSCILLATION: Sickness.OSCILLATION, Course.COLLAPSE: Sickness.COLLAPSE,
        Course.STRONG_D: Sickness.DISCRIMINATOR_WON}


@dataclass(frozen=True)
class Watched:
    """A training with the monitor beside it; ``steps`` of 0: as many as its demonstration has.

    ``alarm`` is 1 if it reported anything, ``named`` 1 if it reported what was provoked. The
    monitor has no sign of a weak discriminator, so that is never named. ``w``, on a line, is the
    Wasserstein distance of samples and data in the end: did the run fail?
    """

    course: Course
    steps: int = 0

    @property
    def metrics(self) -> tuple[str, ...]:
        """``w`` is there for the trainings on a line."""
        on_a_line = self.course not in (Course.RING, Course.DIGITS)
        return ("alarm", "named", "w") if on_a_line else ("alarm", "named")

    def __call__(self, seed: int) -> dict[str, float]:
        on_a_line: dict[Course, Callable[..., Recording]] = {
            Course.OSCILLATION: oscillation, Course.COLLAPSE: collapse,
            Course.STRONG_D: functools.partial(strong_discriminator, Objective.MINIMAX),
            Course.FAST_D: functools.partial(strong_discriminator, Objective.NON_SATURATING),
            Course.WEAK_D: weak_discriminator, Course.LINE: healthy}
        if self.course in on_a_line:
            steps = (self.steps,) if self.steps else ()
            recording = on_a_line[self.course](*steps, seed=seed)
            diagnoses, numbers = diagnose(recording), {"w": float(recording["w"][-1])}
        else:
            diagnoses, numbers = self._watched_gan(seed), {}
        found = [diagnosis.name for diagnosis in diagnoses]
        return {"alarm": float(bool(found)), "named": float(SIGN.get(self.course) in found),
                **numbers}

    def _watched_gan(self, seed: int) -> list[Diagnosis]:
        """What the monitor says at every step of a ``GAN`` on the ring or on digits."""
        manual_seed(seed)
        if self.course is Course.DIGITS:
            model = GAN((1, 28, 28), latent_dim=32, hidden_G=(128, 256), hidden_D=(256, 128),
                        batch_norm=True, batch_size=64, lr_G=1e-3, lr_D=1e-3)
            rows, steps = digits()[0], self.steps or 800
        else:
            model = GAN((2,), latent_dim=2, hidden_G=(128, 128), hidden_D=(128, 128),
                        batch_size=256, lr_G=2e-4, lr_D=1e-3)
            rows = TOYS["ring8"].sample(1 << 16, np.random.default_rng(seed))
            steps = self.steps or 1500
        monitor, found = Monitor(), []
        batches, draw = stream(rows, model.batch_size, seed), np.random.default_rng(seed)
        real_spread = spread(rows[:64])
        for step in range(steps):
            report = model.train_step(batches)
            numbers = {name: value.item() for name, value in report.items()}
            numbers["d_grad_norm"] = norm_of_gradients(model.D.parameters())
            numbers["g_grad_norm"] = norm_of_gradients(model.G.parameters())
            if step % 20 == 0:
                with no_grad():
                    fake = model.G(model.noise(64, draw)).numpy()
                numbers |= {"fake_spread": spread(fake), "real_spread": real_spread}
            found += monitor.update(step, numbers)
        return found


# ----------------------------------------------------------------------------------------- verdict


class Verdict(Enum):
    """What a tip did."""

    HELPED = "helped"
    NO_EFFECT = "no effect"
    HURT = "hurt"


def verdict(with_values: Sequence[float], without_values: Sequence[float],
            higher_is_better: bool, least: float = 0.0) -> Verdict:
    """Whether a tip helped: the mean paired difference, beyond its scatter and beyond ``least``.

    Parameters
    ----------
    with_values, without_values : sequences of float
        The metric of the runs with and without the tip, of the same seeds in the same order.
    higher_is_better : bool
        Of the metric.
    least : float
        The smallest difference that matters, in the metric's unit.

    Raises
    ------
    ValueError
        If there are not equally many values, or fewer than two, or one is not finite.
    """
    if len(with_values) != len(without_values) or len(with_values) < 2:
        raise ValueError(f"verdict: wants at least two seeds on both sides, got "
                         f"{len(with_values)} and {len(without_values)} values")
    if not all(map(math.isfinite, (*with_values, *without_values))):
        raise ValueError(f"verdict: wants finite numbers, got {[*with_values, *without_values]}")
    gains = [a - b if higher_is_better else b - a
             for a, b in zip(with_values, without_values, strict=True)]
    mean = statistics.fmean(gains)
    error = statistics.stdev(gains) / math.sqrt(len(gains))
    if abs(mean) <= max(2 * error, least):
        return Verdict.NO_EFFECT
    return Verdict.HELPED if mean > 0 else Verdict.HURT


# -------------------------------------------------------------------------------------------- tips


@dataclass(frozen=True)
class Tip:
    """One entry of the list as an experiment.

    Attributes
    ----------
    number : int
        In the list.
    name : str
        In two or three words.
    advice : str
        What it says, in our words.
    claim : str
        What a run can show.
    metric : str
        The number that decides.
    higher_is_better : bool
    least : float
        The smallest difference that matters, in the metric's unit.
    arms : dict of str to Experiment
        All runs of the tip by their unique names.
    followed, ignored : tuple of str
        The arms with and without the tip; where there are several, their mean counts.
    conflict : str
        Where the lectures say otherwise.
    """

    number: int
    name: str
    advice: str
    claim: str
    metric: str
    higher_is_better: bool
    least: float
    arms: Mapping[str, Experiment]
    followed: tuple[str, ...]
    ignored: tuple[str, ...]
    conflict: str = ""

    def values(self, names: Sequence[str], column: Column) -> list[float]:
        """The metric by seed, averaged over the named arms."""
        return [statistics.fmean(row) for row in
                zip(*(column(self.metric, name) for name in names), strict=True)]

    def gains(self, column: Column) -> list[float]:
        """By seed, how much better the metric is with the tip; below 0 it is worse."""
        sign = 1 if self.higher_is_better else -1
        return [sign * (a - b) for a, b in zip(self.values(self.followed, column),
                                               self.values(self.ignored, column), strict=True)]

    def verdict(self, column: Column) -> Verdict:
        """What the tip did."""
        return verdict(self.values(self.followed, column), self.values(self.ignored, column),
                       self.higher_is_better, self.least)


Column = Callable[[str, str], Sequence[float]]
"""(metric, arm) to that arm's values by seed, such as ``gans.notebook.Rows.values``."""


def verdict_table(column: Column) -> str:
    """All tips with their numbers and verdicts as a Markdown table."""
    lines = ["| | tip | metric | followed | ignored | gain ± 2 errors | matters from | verdict |",
             "|---:|---|---|---:|---:|---:|---:|---|"]
    for tip in TIPS:
        gains = tip.gains(column)
        error = statistics.stdev(gains) / math.sqrt(len(gains))
        means = (statistics.fmean(tip.values(names, column)) for names in
                 (tip.followed, tip.ignored))
        lines.append(f"| {tip.number} | {tip.name} | {tip.metric} | "
                     + " | ".join(f"{mean:.3g}" for mean in means)
                     + f" | {statistics.fmean(gains):+.2g} ± {2 * error:.2g} | {tip.least:g} | "
                     f"**{tip.verdict(column).value}** |")
    return "\n".join(lines)


CONV_STEPS = 500  # about as long as 1,750 steps of the fully connected networks
RING, MLP, CONV = "00 ring8", "00 digits, fully connected", "00 digits, DCGAN"
LABELLED = "00 digits, DCGAN, one-hot labels"
BASE: dict[str, Experiment] = {RING: Ring(), MLP: Digits(), CONV: Digits(Network.DCGAN, CONV_STEPS),
                               LABELLED: Digits(Network.DCGAN, CONV_STEPS, labels=Labels.ONE_HOT)}



def _tip(number: int, name: str, advice: str, claim: str, metric: str, least: float,
         arms: Mapping[str, Experiment], followed: str | tuple[str, ...],
         ignored: str | tuple[str, ...], *, lower_is_better: bool = False,
         conflict: str = "") -> Tip:
    """A tip; the arms that are no baseline get its number in front of their name."""
    def full(arm: str) -> str:
        return arm if arm in BASE else f"{number:02} {arm}"

    def named(names: str | tuple[str, ...]) -> tuple[str, ...]:
        return tuple(full(arm) for arm in ((names,) if isinstance(names, str) else names))

    return Tip(number, name, advice, claim, metric, not lower_is_better, least,
               {full(key): arm for key, arm in arms.items()}, named(followed), named(ignored),
               conflict)


def _base(*names: str) -> dict[str, Experiment]:
    return {name: BASE[name] for name in names}


_SATURATION = {
    f"{words}, D {ahead} steps ahead": Digits(objective=objective, head_start=ahead)
    for words, objective in (("minimax", Objective.MINIMAX),
                             ("non-saturating", Objective.NON_SATURATING))
    for ahead in (0, 50, 200)
    if (objective, ahead) != (Objective.NON_SATURATING, 0)}  # that is the baseline

TIPS: tuple[Tip, ...] = (
    _tip(1, "pixels in [-1, 1]",
         "Scale images to [-1, 1] and end G in tanh.",
         "Scaled pixels are learned, raw ones are not.", "score", 0.3,
         {**_base(MLP), "[0, 1], sigmoid": Digits(pixels=Pixels.UNIT),
          "[0, 255], no function": Digits(pixels=Pixels.BYTES)},
         MLP, "[0, 255], no function"),
    _tip(2, "G maximizes log D",
         "Let G maximize log D instead of minimizing log(1 - D).",
         "With D 200 steps ahead G still learns.", "score", 0.3,
         {**_base(MLP), **_SATURATION},
         "non-saturating, D 200 steps ahead", "minimax, D 200 steps ahead"),
    _tip(3, "Gaussian z",
         "Draw z from a Gaussian, and interpolate along great circles.",
         "A Gaussian z makes better digits than a uniform one.", "score", 0.3,
         {**_base(MLP), "uniform z": Digits(prior=Prior.UNIFORM)}, MLP, "uniform z",
         conflict="In the figures of STAT 453, of the first GAN and of DCGAN, z is uniform."),
    _tip(4, "separate batches",
         "Give D batches of only real or only fake rows.",
         "With batch norm in D, mixed batches make worse digits.", "score", 0.3,
         {**_base(CONV),
          "mixed where D learns": Digits(Network.DCGAN, CONV_STEPS, batches=Batches.MIXED_IN_D),
          "mixed in both steps": Digits(Network.DCGAN, CONV_STEPS, batches=Batches.MIXED)},
         CONV, "mixed where D learns"),
    _tip(5, "no sparse gradients",
         "Avoid sparse gradients: leaky ReLU in both networks, no max pooling.",
         "Leaky ReLU in both makes better digits than ReLU in both.", "score", 0.3,
         {**_base(CONV),
          "leaky in both": Digits(Network.DCGAN, CONV_STEPS, activation=Activation.LEAKY),
          "ReLU in both": Digits(Network.DCGAN, CONV_STEPS, activation=Activation.RELU),
          "max pooling in D": Digits(Network.DCGAN, CONV_STEPS, shrink=Shrink.MAX_POOL)},
         "leaky in both", "ReLU in both",
         conflict="INF5860, on DCGAN: ReLU in G, leaky ReLU in D alone."),
    _tip(6, "soft labels",
         "Use soft and noisy labels for D: 0.7 to 1.2 and 0 to 0.3, some of them exchanged.",
         "Soft labels on both sides cover more of the ring than hard ones.", "covered", 0.05,
         {**_base(RING), "one-sided 0.9": Ring(targets=Targets.ONE_SIDED),
          "two-sided": Ring(targets=Targets.TWO_SIDED),
          "5 % exchanged": Ring(targets=Targets.FLIPPED),
          "D alone, hard": Belief(), "D alone, one-sided 0.9": Belief(targets=Targets.ONE_SIDED),
          "D alone, two-sided": Belief(targets=Targets.TWO_SIDED),
          "D alone, 5 % exchanged": Belief(targets=Targets.FLIPPED)},
         "two-sided", RING,
         conflict="INF5860, on one-sided label smoothing: leave the labels of fakes alone."),
    _tip(7, "DCGAN",
         "Use a DCGAN where you can.",
         "At equal steps the DCGAN makes better digits than a fully connected GAN.", "score", 0.3,
         {**_base(CONV), "fully connected, as many steps": Digits(steps=CONV_STEPS),
          "fully connected, as much time": Digits(steps=1750)},
         CONV, "fully connected, as many steps"),
    _tip(8, "replay",
         "Show D some of G's older samples.",
         "Half of D's fakes from a pool calm the cycle between two modes.", "flips", 2.0,
         {"new fakes only": TwoModes(), "half old fakes": TwoModes(pool=True)},
         "half old fakes", "new fakes only", lower_is_better=True),
    _tip(9, "SGD for D",
         "Use Adam for G and plain gradient descent for D.",
         "SGD in D covers more of the ring than Adam in D.", "covered", 0.05,
         {**_base(RING), "Adam for G, SGD for D": Ring(rule_D=Rule.SGD),
          "SGD for G, Adam for D": Ring(rule_G=Rule.SGD),
          "SGD for both": Ring(rule_G=Rule.SGD, rule_D=Rule.SGD)},
         "Adam for G, SGD for D", RING,
         conflict="INF5860, on DCGAN: Adam for both."),
    _tip(10, "watch for failure",
         "Watch for failure early: D's loss at 0, gradients above 100, a loss that falls.",
         "The monitor rings in failing runs and is silent in healthy ones.", "alarm", 0.25,
         {course.value: Watched(course) for course in Course},
         tuple(course.value for course in tuple(Course)[:4]),
         tuple(course.value for course in tuple(Course)[4:])),
    _tip(11, "no balancing by loss",
         "Do not balance the players by their losses.",
         "Fixed turns cover more of the ring than turns that end at a threshold.", "covered", 0.05,
         {**_base(RING), "turns by loss": Ring(schedule=Schedule.BY_LOSS)},
         RING, "turns by loss"),
    _tip(12, "use labels",
         "If you have labels, use them.",
         "Players that are told the class make better digits.", "score", 0.3,
         _base(CONV, LABELLED), LABELLED, CONV),
    _tip(13, "instance noise",
         "Add noise to what D sees, less and less of it.",
         "Noise on two lines that never touch gives G a gradient.", "distance", 0.1,
         {"lines": Lines(), "lines, noise": Lines(noise=0.5), **_base(RING),
          "ring8, noise": Ring(noise=0.1)},
         "lines, noise", "lines", lower_is_better=True),
    _tip(14, "more steps of D",
         "Train D more often than G (the list says: especially with noise).",
         "Five steps of D to one of G cover more of the ring, at as many steps in all.",
         "covered", 0.05,
         {**_base(RING), "k = 2": Ring(k=2), "k = 5": Ring(k=5)}, "k = 5", RING,
         conflict="CS231n, on the training algorithm: there is no best number."),
    _tip(15, "minibatch features",
         "Let D see the whole batch (the list only says: mixed results).",
         "Minibatch discrimination keeps the spread of a G that is too fast.", "spread_error",
         0.1,
         {"one by one": FastRing(),
          "minibatch discrimination": FastRing(statistic=Statistic.DISCRIMINATION),
          "standard deviation": FastRing(statistic=Statistic.STDDEV),
          "packs of two": FastRing(statistic=Statistic.PACKING)},
         "minibatch discrimination", "one by one", lower_is_better=True,
         conflict="INF5860, on minibatch discrimination: it works well."),
    _tip(16, "embedded labels",
         "Turn labels into few numbers by an embedding, and add them as channels.",
         "An embedding of 4 numbers is obeyed more often than 10 one-hot channels.", "obeyed",
         0.05,
         {**_base(LABELLED),
          "embedding of 4": Digits(Network.DCGAN, CONV_STEPS, labels=Labels.EMBEDDING)},
         "embedding of 4", LABELLED),
    _tip(17, "dropout in samples",
         "Drop half of G's units in training and in samples, as noise.",
         "Dropout left on in samples makes better digits than dropout in training only.", "score",
         0.3,
         {**_base(MLP), "dropout in training": Digits(dropout=DropoutIn.TRAINING),
          "dropout in training and samples": Digits(dropout=DropoutIn.TRAINING_AND_SAMPLES)},
         "dropout in training and samples", "dropout in training"),
)
"""The list, in its order."""


def arms() -> dict[str, Experiment]:
    """Every run of every tip by its name; the baselines, which tips share, come once."""
    return {name: arm for tip in TIPS for name, arm in tip.arms.items()}
