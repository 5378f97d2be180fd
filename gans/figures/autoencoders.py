"""The figures of notebook 10_vae_and_autoencoders: codes, noise, a prior for codes, blur.

The models are trained here from fixed seeds, each in a few seconds, and kept for all figures of a
process. Their settings are those of ``laptop``; their trainings are shorter than those of the
table of results.

Leaves out: the models themselves, which are in ``gans.autoencoder`` and ``gans.vae``.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from gans import metrics, models, notebook, plots, theory
from gans.autoencoder import Autoencoder
from gans.classifier import load_classifier
from gans.evaluation import TrainingData, open_data
from gans.plots import Drawing
from gans.pretrained import load_generator
from gans.vae import VAE, gaussian_kl, interpolation_weights, reparameterize
from minigrad import Tensor, no_grad, random
from minigrad.data import Stream, load, to_tanh_range, to_uint8

__all__ = [
    "FIGURES",
    "CodeSamples",
    "code_samples",
    "denoising_autoencoder",
    "digits",
    "plain_autoencoder",
    "plane_vae",
    "principal_components",
    "sharpness_of_models",
    "small_vae",
    "unseen",
]

Array = np.ndarray

NOISE = 0.4  # of the denoising autoencoder, on the scale [0, 1]
SHOWN = 10  # images in a row


# ---------------------------------------------------------------------------------------- models


@functools.cache
def digits() -> TrainingData:
    """The digits as models are trained on them."""
    return open_data("digits")


def unseen(n: int | None = None) -> Tensor:
    """The first ``n`` digits (or all) that no model was trained on, (n, 1, 28, 28) in [-1, 1]."""
    return Tensor(to_tanh_range(digits().held_out[:n]), requires_grad=False)


@functools.cache
def _trained(cls: type, steps: int, seed: int = 0, **changes: Any) -> Any:
    """A model with its laptop settings but for ``changes``, after ``steps`` steps on digits.

    minigrad's random numbers go on as if nothing had been trained.
    """
    previous = random.set_generator(np.random.default_rng(seed))
    try:
        settings = models.laptop_settings(cls, digits()) | changes
        model = models.build(cls, settings, seed)
        stream = Stream(digits().dataset, model.batch_size, seed=seed)
        for _ in range(steps):
            model.train_step(stream)
    finally:
        random.set_generator(previous)
    return model


def plain_autoencoder() -> Autoencoder:
    """Trained on digits: 32 numbers for each."""
    return _trained(Autoencoder, notebook.steps(1500, 30))


def denoising_autoencoder() -> Autoencoder:
    """Trained on digits with noise of standard deviation ``NOISE``."""
    return _trained(Autoencoder, notebook.steps(1500, 30), noise_std=NOISE)


def small_vae() -> VAE:
    """Trained on digits."""
    return _trained(VAE, notebook.steps(1200, 30))


def plane_vae() -> VAE:
    """Trained on digits with two latent numbers, so that its latent space can be drawn whole."""
    return _trained(VAE, notebook.steps(1200, 30), latent_dim=2)


def principal_components(k: int) -> Array:
    """The unseen digits through the best linear code of ``k`` numbers, uint8 (n, 28, 28).

    Best in squared error on the training digits: their mean, and the k directions of their largest
    variance.
    """
    train, test = (x.reshape(len(x), -1) / 255.0 for x in (digits().train, digits().held_out))
    mean = train.mean(axis=0)
    _, directions = np.linalg.eigh((train - mean).T @ (train - mean))
    largest = directions[:, -k:]
    restored = mean + (test - mean) @ largest @ largest.T
    return np.rint(255 * np.clip(restored, 0, 1)).astype(np.uint8).reshape(digits().held_out.shape)


# ---------------------------------------------------------------------------------- autoencoders


def autoencoder_reconstruction() -> Drawing:
    """Unseen digits, through 32 numbers by a linear code, and by an autoencoder."""
    real = digits().held_out
    linear = principal_components(32)
    learned = to_uint8(plain_autoencoder().reconstruct(unseen()).numpy())
    rows = [real, linear, learned]
    errors = [np.mean(((x.astype(float) - real) / 255) ** 2) for x in rows]
    figure, axes = plots.drawing(height=1.45, width=6.6, title=(
        "An autoencoder keeps a digit in 32 numbers, better than any linear code"))
    plots.pictures(axes[0, 0], np.concatenate([x[:SHOWN] for x in rows]), SHOWN, rows=(
        "unseen digit, 784 numbers", f"linear (PCA), error {errors[1]:.4f}",
        f"autoencoder, error {errors[2]:.4f}"))
    return figure


def denoising() -> Drawing:
    """Unseen digits, the same with noise, and what a denoising autoencoder makes of these."""
    model, x = denoising_autoencoder(), unseen(SHOWN)
    spoilt = model.corrupt(x, np.random.default_rng(1))
    rows = [x, spoilt, model.reconstruct(spoilt)]
    figure, axes = plots.drawing(height=1.45, width=6.6, title=(
        "A denoising autoencoder finds the digit behind the noise"))
    plots.pictures(axes[0, 0], np.concatenate([to_uint8(r.numpy()) for r in rows]), SHOWN, rows=(
        "unseen digit", f"noise {NOISE:g} added", "denoised"))
    return figure


@dataclass(frozen=True)
class CodeSamples:
    """Images that one rule to choose codes gave.

    Attributes
    ----------
    label : str
    images : uint8 array, (n, 28, 28)
    score, frechet : float
        Classifier score, and Frechet distance to as many training digits.
    """

    label: str
    images: Array
    score: float
    frechet: float


def code_samples(n: int = 2000) -> tuple[CodeSamples, ...]:
    """Decoded codes: the autoencoder's from N(0, I) and from the fitted Gaussian, and the VAE's."""
    return _code_samples(plain_autoencoder(), small_vae(), n)


@functools.cache
def _code_samples(ae: Autoencoder, vae: VAE, n: int) -> tuple[CodeSamples, ...]:
    g = np.random.default_rng(2)
    standard = Tensor(g.standard_normal((n, ae.code_dim), dtype="float32"), requires_grad=False)
    drawn = (("autoencoder, N(0, I)", ae.decode(standard)),
             ("autoencoder, fitted Gaussian", ae.sample(n, g)),
             ("VAE, N(0, I)", vae.sample(n, g)))
    classifier = load_classifier()
    reference = classifier.features(digits().train[:n])
    found = []
    for label, batch in drawn:
        images = to_uint8(batch.numpy())
        found.append(CodeSamples(
            label, images, metrics.classifier_score(classifier.probabilities(images)),
            metrics.whitened_frechet_distance(classifier.features(images), reference)))
    return tuple(found)


def autoencoder_samples() -> Drawing:
    """Ten samples of every rule that chooses codes, with the scores of 2,000."""
    found = code_samples()
    figure, axes = plots.drawing(height=1.45, width=7.2, title=(
        "An autoencoder has no prior of its own: drawn from N(0, I), its codes give junk"))
    plots.pictures(axes[0, 0], np.concatenate([x.images[:SHOWN] for x in found]), SHOWN,
                   rows=["{},\n{}\nscore {:.1f}, Frechet {:.0f}".format(
                       *x.label.split(", ", 1), x.score, x.frechet) for x in found])
    return figure


def code_clouds() -> Drawing:
    """Codes of training digits in their two widest directions, beside draws of N(0, I)."""
    x = Tensor(to_tanh_range(digits().train[:1000]), requires_grad=False)
    with no_grad():
        codes = plain_autoencoder().encode(x).numpy().astype(np.float64)
        mu, log_var = (t.numpy().astype(np.float64) for t in small_vae().encode(x))
    g = np.random.default_rng(0)
    drawn = mu + np.exp(log_var / 2) * g.standard_normal(mu.shape)
    figure, axes = plots.drawing(1, 2, width=6.8, height=3.0, title=(
        "A VAE's codes lie where N(0, I) does; an autoencoder's lie anywhere"))
    for ax, z, name in ((axes[0, 0], codes, "autoencoder"), (axes[0, 1], drawn, "VAE")):
        _, directions = np.linalg.eigh(np.cov(z, rowvar=False))
        wide = directions[:, :-3:-1]  # the two of largest variance
        standard = g.standard_normal((len(z), z.shape[1])) @ wide
        spread = np.sqrt(np.var(z @ wide, axis=0))
        plots.points(ax, z @ wide, standard, size=5.0)
        reach = 1.05 * np.abs(np.concatenate([z @ wide, standard])).max()
        ax.set(xlim=(-reach, reach), ylim=(-reach, reach))
        plots.finish(ax, title=f"{name}: deviations {spread[0]:.1f} and {spread[1]:.1f}",
                     x="widest direction", y="second direction")
    handles, _ = axes[0, 0].get_legend_handles_labels()
    axes[0, 0].legend(handles[::-1], ["codes of digits", "draws of N(0, I)"], loc="upper left",
                      frameon=False, fontsize=8, markerscale=2)
    return figure


# ----------------------------------------------------------------------------------------- the VAE


def kl_curves() -> Drawing:
    """The closed form over mu and over sigma, with estimates from draws on top."""
    g = np.random.default_rng(0)
    figure, axes = plots.drawing(1, 2, width=7.6, height=2.7, title=(
        "The KL to N(0, 1) pulls mu to 0 and sigma to 1; draws agree with the closed form"))
    mus, sigmas = np.linspace(-2.5, 2.5, 101), np.linspace(0.1, 2.5, 97)
    for ax, values, name, point in (
            (axes[0, 0], mus, "mu, with sigma = 1", lambda v: (v, 1.0)),
            (axes[0, 1], sigmas, "sigma, with mu = 0", lambda v: (0.0, v))):
        closed = [theory.kl_to_standard_normal(*point(v)) for v in values]
        plots.curves(ax, values, {"closed form": np.array(closed)})
        some = values[::12]
        drawn = []
        for v in some:
            mu, sigma = point(v)
            z = mu + sigma * g.standard_normal(20_000)
            drawn.append(np.mean(theory.log_normal_pdf(z, mu, sigma) - theory.log_normal_pdf(z)))
        ax.plot(some, drawn, "o", color=plots.VERMILION, markersize=4, label="20,000 draws")
        plots.finish(ax, x=name, y="KL, nats", legend="upper center")
    return figure


def sigma_or_variance() -> Drawing:
    """Draws with sigma and with sigma^2 as the factor, beside the Gaussian that was meant."""
    g = np.random.default_rng(0)
    figure, axes = plots.drawing(1, 2, width=7.6, height=2.6, sharey=False, title=(
        "z = mu + sigma eps is a draw of N(mu, sigma²); with sigma² for sigma it is not"))
    eps = Tensor(g.standard_normal(20_000))
    for ax, sigma in zip(axes[0], (0.5, 2.0), strict=True):
        log_var = 2 * np.log(sigma)
        x = np.linspace(-4 * max(sigma, sigma**2), 4 * max(sigma, sigma**2), 400)
        plots.density(ax, x, theory.normal_pdf(x, 0.0, sigma), f"N(0, {sigma:g}²)")
        for factor, colour, style in (("sigma", plots.VERMILION, "-"),
                                      ("sigma²", plots.GREEN, "--")):
            doubled = log_var if factor == "sigma" else 2 * log_var
            zeros = Tensor(np.zeros(len(eps)))
            z = reparameterize(zeros, zeros + doubled, eps).numpy()
            ax.hist(z, bins=80, range=(x[0], x[-1]), density=True, histtype="step", color=colour,
                    linestyle=style, label=f"eps times {factor}: deviation {z.std():.2f}")
        plots.finish(ax, title=f"sigma = {sigma:g}", x="z", y="density", legend="upper right")
        ax.set_ylim(0, 1.75 * ax.get_ylim()[1])
    return figure


def vae_reconstruction() -> Drawing:
    """Unseen digits, and what is decoded from the means of their codes."""
    model, x = small_vae(), unseen(SHOWN)
    rows = [x, model.reconstruct(x)]
    figure, axes = plots.drawing(height=1.0, width=6.6, title=(
        f"A VAE rebuilds unseen digits from {model.latent_dim} means, a little blurred"))
    plots.pictures(axes[0, 0], np.concatenate([to_uint8(r.numpy()) for r in rows]), SHOWN,
                   rows=("unseen digit", "from its mean"))
    return figure


def vae_generation() -> Drawing:
    """45 digits decoded from draws of the prior."""
    images = to_uint8(small_vae().sample(45, np.random.default_rng(0)).numpy())
    figure, axes = plots.drawing(height=1.4, width=6.4, title=(
        "New digits of a VAE: z from N(0, I), decoded, not chosen"))
    plots.pictures(axes[0, 0], images, 15)
    return figure


def vae_interpolation() -> Drawing:
    """Between two unseen digits: mixed means of their codes, and mixed pixels for comparison."""
    n, pairs = 7, _pairs()
    a, b = (to_tanh_range(digits().held_out[list(side)]) for side in zip(*pairs, strict=True))
    between = small_vae().interpolate(Tensor(a), Tensor(b), n).numpy()
    w = interpolation_weights(n)[:, None, None, None]
    rows = []
    for i in range(len(pairs)):
        for middle in (between[i], (1 - w) * a[i] + w * b[i]):
            rows.append(np.concatenate([a[i:i + 1], middle, b[i:i + 1]]))
    names = ["means mixed", "pixels mixed"] * len(pairs)
    figure, axes = plots.drawing(height=0.55 * len(rows), width=6.8, title=(
        "Mixed means pass through digits; mixed pixels are double exposures"))
    plots.pictures(axes[0, 0], to_uint8(np.concatenate(rows).astype(np.float32)), n + 2,
                   rows=names)
    marks = [f"{k}/{n + 1}" for k in range(1, n + 1)]
    axes[0, 0].set_xticks(15 + 29 * np.arange(n + 2), ["a", *marks, "b"])
    axes[0, 0].set_xlabel("w of b; a and b are unseen digits", fontsize=9)
    return figure


def _pairs() -> list[tuple[int, int]]:
    """Rows of unseen digits: the first 3 and the first 8, 4 and 9, 1 and 7."""
    labels = load("digits").test_labels
    return [tuple(int(np.flatnonzero(labels == d)[0]) for d in pair)
            for pair in ((3, 8), (4, 9), (1, 7))]


def vae_latent_map() -> Drawing:
    """All that a decoder with two latent numbers can say, and where unseen digits lie."""
    model, n = plane_vae(), 13
    edge = 2.2
    values = np.linspace(-edge, edge, n)
    z = np.stack(np.meshgrid(values, values[::-1]), axis=-1).reshape(-1, 2)
    images = to_uint8(model.decode(Tensor(z.astype("float32"), requires_grad=False)).numpy())
    with no_grad():
        mu = model.encode(unseen(500))[0].numpy()
    labels = load("digits").test_labels[:500]
    figure, axes = plots.drawing(1, 2, width=7.4, height=3.7, title=(
        "A latent space of two numbers, drawn whole: neighbours decode to similar digits"))
    grid, scatter = axes[0]
    grid.imshow(plots.to_grid(images, n), cmap="gray", vmin=0, vmax=255, interpolation="nearest",
                extent=(-edge, edge, -edge, edge))
    plots.finish(grid, title="decoded z", x="z1", y="z2")
    grid.grid(False)
    colours = [colour for colour, _ in plots.LINES]
    for digit in range(10):
        for point in mu[labels == digit]:
            scatter.text(*point, str(digit), fontsize=7, ha="center", va="center", clip_on=True,
                         color=colours[digit % len(colours)])
    scatter.set(xlim=(-3.3, 3.3), ylim=(-3.3, 3.3), aspect="equal")
    plots.finish(scatter, title="means of 500 unseen digits", x="mu1", y="mu2")
    return figure


def kl_of_each_number() -> Drawing:
    """The KL of every latent number, averaged over unseen digits."""
    with no_grad():
        kl = np.sort(gaussian_kl(*small_vae().encode(unseen())).numpy().mean(axis=0))[::-1]
    figure, axes = plots.drawing(width=6.2, height=2.5, title=(
        f"All {len(kl)} latent numbers are in use: {kl.sum():.1f} nats in sum"))
    axes[0, 0].bar(np.arange(1, len(kl) + 1), kl, color=plots.BLUE)
    plots.level(axes[0, 0], 0.01, "0.01 nats: in use")
    plots.finish(axes[0, 0], x="latent number, sorted", y="mean KL, nats", legend="upper right")
    return figure


# ----------------------------------------------------------------------------------- VAE and GAN


def sharpness_of_models(n: int = 1000) -> dict[str, tuple[float, Array]]:
    """Gradient energy over that of training digits, and the images: unseen digits, GAN, VAE."""
    return _sharpness(small_vae(), n)


@functools.cache
def _sharpness(vae: VAE, n: int) -> dict[str, tuple[float, Array]]:
    gan = load_generator("dcgan-digits").model.sample(n, np.random.default_rng(0))
    sets = {
        "unseen digits": digits().held_out[:n],
        "DCGAN, samples": to_uint8(gan.numpy()),
        "VAE, unseen digits rebuilt": to_uint8(vae.reconstruct(unseen(n)).numpy()),
        "VAE, samples": to_uint8(vae.sample(n, np.random.default_rng(0)).numpy()),
    }
    return {name: (metrics.sharpness(x, digits().train), x) for name, x in sets.items()}


def vae_gan_sharpness() -> Drawing:
    """Images of both kinds of model, and how sharp they are."""
    found = sharpness_of_models()
    figure, axes = plots.drawing(1, 2, width=8.6, height=2.3, title=(
        "A VAE's samples are less than half as sharp as real digits; a GAN's nearly as sharp"))
    plots.pictures(axes[0, 0], np.concatenate([x[:8] for _, x in found.values()]), 8,
                   rows=list(found))
    plots.bars(axes[0, 1], {name: value for name, (value, _) in found.items()})
    axes[0, 1].set_yticks([])
    plots.level(axes[0, 1], 1.0, vertical=True)
    plots.finish(axes[0, 1], x="sharpness; real training digits: 1")
    return figure


FIGURES: dict[str, Callable[[], Drawing]] = {
    "autoencoder-reconstruction": autoencoder_reconstruction,
    "denoising": denoising,
    "autoencoder-samples": autoencoder_samples,
    "code-clouds": code_clouds,
    "kl-curves": kl_curves,
    "sigma-or-variance": sigma_or_variance,
    "vae-reconstruction": vae_reconstruction,
    "vae-generation": vae_generation,
    "vae-interpolation": vae_interpolation,
    "vae-latent-map": vae_latent_map,
    "kl-of-each-number": kl_of_each_number,
    "vae-gan-sharpness": vae_gan_sharpness,
}
