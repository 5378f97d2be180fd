"""The figures of notebook 09_batch_norm_in_gans: the batch leaks into the sample.

The generators are those that come with the package, switched back to training mode, in which batch
norm takes its statistics from the batch at hand. ``changes``, ``fit_errors`` and
``discriminator_losses`` are the measurements; the notebook checks their numbers and hands them to
the figures.

Leaves out: trainings of whole GANs with other norms; notebook 12 has the one of tip 4.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Mapping

import numpy as np

from gans import theory
from gans.dcgan import dcgan_init, generator
from gans.notebook import steps as cut
from gans.plots import (
    LINES,
    VERMILION,
    Drawing,
    bars,
    curves,
    drawing,
    finish,
    level,
    pictures,
    table,
    to_images,
)
from gans.pretrained import Pretrained, load_generator
from minigrad import Tensor, grad, init, no_grad, ops, random
from minigrad.data import load
from minigrad.nn import (
    BatchNorm1d,
    BatchNorm2d,
    LeakyReLU,
    Linear,
    Module,
    ReferenceBatchNorm2d,
    Sequential,
    VirtualBatchNorm2d,
    WithReference,
    replace_batch_norm,
)
from minigrad.optim import Adam

Array = np.ndarray
SIZES = (4, 16, 64, 256)
EMOJI = "dcgan-emoji"


# ---------------------------------------------------------------------------------- measurements


def training_copy(shipped: Pretrained) -> Module:
    """The generator that samples, as a copy in training mode: batch norm uses the batch."""
    return copy.deepcopy(shipped.model.ema.module).train()


def make_images(G: Module, z: Array) -> Array:
    """Images (n, c, h, w) of latent vectors (n, latent_dim), without recording."""
    with no_grad():
        return G(Tensor(z)).numpy()


def with_norm(G: Module, kind: type[ReferenceBatchNorm2d], reference: Array) -> WithReference:
    """G with its weights and another norm in place of batch norm, on fixed reference latents."""
    r = len(reference)
    return WithReference(replace_batch_norm(G, lambda c: kind(c, r)), Tensor(reference))


def rms(a: Array, b: Array) -> float:
    """Root mean square difference."""
    return float(np.sqrt(((a - b) ** 2).mean()))


def changes(shipped: Pretrained, sizes: tuple[int, ...] = SIZES, draws: int = 64) -> Array:
    """How far an image moves when three quarters of its batch are drawn anew, for each batch size.

    The root mean square over pixels (of a range of 2) and over pairs of batches of n, of which
    there are draws / sqrt(n), each with n / 4 latent vectors in common.
    """
    G, rng = training_copy(shipped), np.random.default_rng(0)
    moved = []
    for n in sizes:
        squares = []
        for _ in range(max(1, int(draws / np.sqrt(n)))):
            z = shipped.model.noise(n // 4, rng).numpy()
            a, b = (make_images(G, np.concatenate(
                [z, shipped.model.noise(n - len(z), rng).numpy()]))[:len(z)] for _ in range(2))
            squares.append(rms(a, b) ** 2)
        moved.append(np.sqrt(np.mean(squares)))
    return np.array(moved)


def reference_choices(shipped: Pretrained, kind: type[ReferenceBatchNorm2d],
                      sizes: tuple[int, ...] = SIZES, choices: int = 6) -> Array:
    """How far images move when another reference batch is chosen, for each size of it.

    Root mean square differences of 8 images between pairs of choices.
    """
    G, rng = training_copy(shipped), np.random.default_rng(0)
    moved, z = [], shipped.model.noise(8, rng).numpy()
    for r in sizes:
        made = [make_images(with_norm(G, kind, shipped.model.noise(r, rng).numpy()), z)
                for _ in range(choices)]
        moved.append(np.sqrt(np.mean([rms(a, b) ** 2 for a, b in itertools.pairwise(made)])))
    return np.array(moved)


def blue_and_yellow(shipped: Pretrained, n: int = 1000, k: int = 56) -> tuple[Array, Array]:
    """Of n latent vectors, the k whose images are bluest and the k whose are most yellow."""
    G, rng = training_copy(shipped).eval(), np.random.default_rng(1)
    z = shipped.model.noise(n, rng).numpy()
    order = np.argsort(warmth(make_images(G, z)))
    return z[order[:k]], z[order[-k:]]


def warmth(images: Array) -> Array:
    """Mean of red minus blue of each image, (n,), from -2 to 2."""
    return (images[:, 0] - images[:, 2]).mean((1, 2))


DISCRIMINATORS: dict[str, tuple[bool, int]] = {
    "separate batches, batch norm first": (False, 0),
    "mixed batches, batch norm first": (True, 0),
    "separate batches, first layer without": (False, 1),
}
"""Arms: are real and fake in one batch, and behind which hidden layer does batch norm stand?"""


def discriminator(norm_behind: int) -> Module:
    """Points in the plane to logits; two hidden layers, batch norm behind the first or second."""
    layers: list[Module] = []
    for i, width in enumerate((2, 32)):
        layers += [Linear(width, 32), *([BatchNorm1d(32)] if i == norm_behind else []),
                   LeakyReLU(0.2)]
    return Sequential(*layers, Linear(32, 1))


def logits_of(D: Module, real: Tensor, fake: Tensor, mixed: bool) -> tuple[Tensor, Tensor]:
    """D's outputs for both, in one forward pass of the two together or in two passes."""
    if not mixed:
        return D(real), D(fake)
    both = D(ops.concat([real, fake]))
    return both[:len(real)], both[len(real):]


REAL, FAKE = (0.0, 1.0), (1.5, 1.6)
"""Mean and standard deviation of both coordinates of the points that D tells apart."""


def discriminator_losses(steps: int = 400) -> tuple[dict[str, Array], dict[str, Module]]:
    """d_loss at every step of each of ``DISCRIMINATORS``, and the trained networks.

    Real points are N(0, 1), fake ones N(1.5, 1.6^2) in both coordinates; batches of 128 and 128.
    minigrad's random numbers go on afterwards as if nothing had happened.
    """
    previous = random.set_generator(np.random.default_rng(0))
    losses, networks = {}, {}
    try:
        for name, (mixed, norm_behind) in DISCRIMINATORS.items():
            D = discriminator(norm_behind)
            opt_D, losses[name], networks[name] = Adam(D.parameters(), lr=3e-3), [], D
            for _ in range(steps):
                real, fake = (init.randn(128, 2, mean=mean, std=std) for mean, std in (REAL, FAKE))
                of_real, of_fake = logits_of(D, real, fake, mixed)
                d_loss = ops.mean(ops.softplus(-of_real)) + ops.mean(ops.softplus(of_fake))
                opt_D.minimize(d_loss)
                losses[name].append(d_loss.item())
    finally:
        random.set_generator(previous)
    return {name: np.array(values) for name, values in losses.items()}, networks


def best_loss() -> float:
    """The least d_loss of a D that judges single points of ``discriminator_losses``: -V(D*, G)."""
    side = np.linspace(-10, 13, 461)
    p, q = (np.outer(f, f) for f in (theory.normal_pdf(side, *which) for which in (REAL, FAKE)))
    p, q = p.ravel() / p.sum(), q.ravel() / q.sum()
    return -theory.value(theory.optimal_discriminator(p, q), p, q)


FITS: dict[str, tuple[type[ReferenceBatchNorm2d] | None, int]] = {
    "batch norm, batches of 4": (None, 4),
    "virtual norm, batches of 4": (VirtualBatchNorm2d, 4),
    "batch norm, batches of 16": (None, 16),
}
"""Arms of ``fit_errors``: the norm in place of batch norm, and the images in a batch."""


def fit_errors(steps: int = 600, seed: int = 0) -> dict[str, float]:
    """Mean square errors of generators that learned 64 emoji by heart, each from its own z.

    No discriminator: G(z_i) shall be image i, so that only the norm and the batch differ. Networks
    of 8 features; virtual norm has a reference batch of 16. Measured in batches of the training's
    size, over all images in 16 orders. minigrad's random numbers go on as if nothing had happened.
    """
    images = load("emoji").a_images[:64].transpose(0, 3, 1, 2)
    x, errors = (images / 127.5 - 1).astype("float32"), {}
    for name, (kind, size) in FITS.items():
        rng = np.random.default_rng([seed, 1])
        z, reference = rng.standard_normal((64, 16)), rng.standard_normal((16, 16))
        previous = random.set_generator(np.random.default_rng(seed))
        try:
            G = dcgan_init(generator(16, 8, (3, 32, 32)))
        finally:
            random.set_generator(previous)
        G = G if kind is None else with_norm(G, kind, reference)
        opt = Adam(G.parameters(), lr=3e-3)
        for step in range(steps):
            opt.lr = 3e-3 if step < 2 * steps // 3 else 3e-4
            i = rng.permutation(64)[:size]
            loss = ops.mean((G(Tensor(z[i])) - Tensor(x[i])) ** 2)
            opt.minimize(loss)
        orders = np.concatenate([rng.permutation(64).reshape(-1, size) for _ in range(16)])
        errors[name] = float(np.mean([rms(make_images(G, z[i]), x[i]) ** 2 for i in orders]))
    return errors


# --------------------------------------------------------------------------------------- figures


def jacobians(values: Array) -> dict[str, Array]:
    """d y_i / d x_j of three norms for n numbers, each (n, n); half of them are the reference."""
    n = len(values)
    layers = {
        "batch norm, training": BatchNorm2d(1, dtype="float64"),
        f"virtual, reference {n // 2}": VirtualBatchNorm2d(1, n // 2, dtype="float64"),
        "batch norm, evaluation": BatchNorm2d(1, dtype="float64").eval(),
    }
    found = {}
    for name, layer in layers.items():
        x = Tensor(values.reshape(n, 1, 1, 1), dtype="float64")
        y = layer(x)
        found[name] = np.stack([grad(y[i].sum(), x).numpy().ravel() for i in range(n)])
    return found


def batch_norm_jacobian() -> Drawing:
    """The Jacobian of batch norm over six numbers, beside those of virtual norm and evaluation."""
    figure, axes = drawing(1, 3, width=8.4, height=2.7, title="In training every output of batch "
                           "norm depends on every sample of the batch")
    found = jacobians(np.array([-1.5, -0.6, 0.1, 0.4, 0.7, 1.6]))
    names = [str(i + 1) for i in range(6)]
    highest = max(np.abs(J).max() for J in found.values())
    for ax, (name, J) in zip(axes[0], found.items(), strict=True):
        table(ax, J, rows=names, columns=names, form="{:.2f}", highest=highest)
        for text in ax.texts:
            text.set_fontsize(7)
        ax.set_title(name, fontsize=10)
        ax.set_xlabel("input of sample", fontsize=9)
    axes[0, 0].set_ylabel("output of sample", fontsize=9)
    return figure


def same_z_other_batch() -> Drawing:
    """One latent vector in eight batches of each size, and with norms that know no neighbours."""
    shipped = load_generator(EMOJI)
    G, rng = training_copy(shipped), np.random.default_rng(0)
    z = shipped.model.noise(8, rng).numpy()[:1]
    rows = {f"batch of {n}": (G, n) for n in SIZES}
    rows["evaluation"] = (copy.deepcopy(G).eval(), 16)
    for name, kind in (("reference", ReferenceBatchNorm2d), ("virtual", VirtualBatchNorm2d)):
        rows[f"{name} norm"] = (with_norm(G, kind, shipped.model.noise(64, rng).numpy()), 16)
    made = [make_images(net, np.concatenate([z, shipped.model.noise(n - 1, rng).numpy()]))[0]
            for net, n in rows.values() for _ in range(8)]
    figure, axes = drawing(height=4.5, width=5.8, title="The same z in eight batches: batch norm "
                           "paints eight pictures")
    pictures(axes[0, 0], to_images(np.stack(made)), 8, rows=list(rows))
    return figure


def change_against_batch(
    measured: Mapping[str, Array] | None = None, chosen: Array | None = None
) -> Drawing:
    """The change of an image by its batch over the batch size, on logarithmic scales.

    ``measured`` are ``changes`` by the generators' names, ``chosen`` the ``reference_choices`` of
    virtual norm for the first.
    """
    if measured is None:
        measured = {name: changes(load_generator(name), draws=cut(64, 16))
                    for name in (EMOJI, "dcgan-digits")}
    if chosen is None:
        chosen = reference_choices(load_generator(EMOJI), VirtualBatchNorm2d,
                                   choices=cut(6, 3))
    figure, axes = drawing(1, 2, width=8.4, height=3.0, sharey=True, title="The batch's part in an "
                           "image falls like 1 / sqrt(n); virtual norm freezes it, once chosen")
    sizes, (left, right) = np.array(SIZES), axes[0]
    curves(left, sizes, dict(measured))
    first = next(iter(measured.values()))
    curves(right, sizes, {"virtual norm, other reference": chosen}, start=2)
    for ax, values in ((left, first), (right, chosen)):
        scale = np.exp(np.mean(np.log(values * np.sqrt(sizes))))
        ax.plot(sizes, scale / np.sqrt(sizes), color="#222222", linewidth=0.9,
                linestyle=(0, (1, 2)), label="slope -1/2")
        ax.set_xscale("log", base=2)
        ax.set_yscale("log")
        ax.set_xticks(sizes, [str(n) for n in sizes])
        ax.minorticks_off()
        ax.set_yticks([0.01, 0.03, 0.1, 0.3], ["0.01", "0.03", "0.1", "0.3"])
    finish(left, title="training mode: the rest of the batch anew", x="images in the batch",
           y="rms change, of a range of 2", legend="lower left")
    finish(right, title="another choice of the reference batch", x="images in the reference batch",
           legend="lower left")
    return figure


def companions() -> Drawing:
    """The same eight latent vectors among 56 blue and among 56 yellow images."""
    shipped = load_generator(EMOJI)
    G, z = training_copy(shipped), shipped.model.noise(8, np.random.default_rng(3)).numpy()
    blue, yellow = blue_and_yellow(shipped)
    among = [make_images(G, np.concatenate([z, others]))[:8] for others in (blue, yellow)]
    alone = make_images(copy.deepcopy(G).eval(), np.concatenate([z, blue[:8], yellow[-8:]]))
    made = np.concatenate([alone[8:16], among[0], alone[:8], among[1], alone[16:]])
    figure, axes = drawing(height=3.3, width=5.8, title="The batch leaks: blue neighbours turn "
                           "the same z yellow")
    pictures(axes[0, 0], to_images(made), 8, rows=[
        "blue neighbours", "z among blue", "z in evaluation", "z among yellow",
        "yellow neighbours"])
    return figure


def small_batches(errors: Mapping[str, float] | None = None) -> Drawing:
    """Errors of three generators that learned emoji by heart; ``fit_errors`` gives them."""
    errors = fit_errors(cut(600, 20)) if errors is None else errors
    figure, axes = drawing(height=1.5, title="In batches of 4 virtual norm learns better; for its "
                           "price a larger batch does, too")
    bars(axes[0, 0], errors, colours={"virtual norm, batches of 4": VERMILION})
    finish(axes[0, 0], x="mean square error after as many steps, of a range of 4")
    return figure


def separate_batches(losses: Mapping[str, Array] | None = None) -> Drawing:
    """d_loss of three discriminators on two clouds of points; ``discriminator_losses`` gives it."""
    if losses is None:
        losses, _ = discriminator_losses(cut(400, 60))
    figure, axes = drawing(height=3.2, title="In separate batches the statistics hide the label "
                           "from D, or give it away")
    ax = axes[0, 0]
    for (name, values), (colour, dash) in zip(losses.items(), LINES, strict=False):
        width = max(1, len(values) // 20)
        mean = np.convolve(values, np.ones(width) / width, "valid")
        ax.plot(np.arange(len(mean)) + width / 2, mean, color=colour, linestyle=dash,
                linewidth=1.8, label=name)
    level(ax, 2 * np.log(2), "D cannot tell: 1.386")
    level(ax, best_loss())
    ax.text(len(mean), best_loss() + 0.07, f"best D of single points: {best_loss():.3f}",
            ha="right", va="bottom", fontsize=8)
    finish(ax, x="step", y="d_loss, moving average")
    ax.set_ylim(0.2, 2.0)
    ax.legend(loc="upper right", frameon=False, fontsize=8, ncols=2)
    return figure


def statistics_matter() -> Drawing:
    """Digits by right and wrong statistics: running, never collected, and those of a lone image."""
    shipped = load_generator("dcgan-digits")
    G, z = training_copy(shipped), shipped.model.noise(10, np.random.default_rng(4)).numpy()
    made = [make_images(copy.deepcopy(G).eval(), z), make_images(without_statistics(G), z),
            np.concatenate([make_images(G, row) for row in z[:, None]])]
    figure, axes = drawing(height=2.5, width=7.4, title="The weights are the same: the statistics "
                           "make the images")
    pictures(axes[0, 0], to_images(np.concatenate(made)), 10,
             rows=["running statistics", "mean 0, variance 1", "batches of one"])
    return figure


def without_statistics(G: Module) -> Module:
    """A copy in evaluation mode whose running statistics are those of a new network: 0 and 1."""
    G = copy.deepcopy(G).eval()
    for _, layer in G.named_modules():
        if isinstance(layer, BatchNorm2d):
            layer.running_mean.copy_(np.zeros(layer.dim, "float32"))
            layer.running_var.copy_(np.ones(layer.dim, "float32"))
    return G


FIGURES: dict[str, Callable[[], Drawing]] = {
    "batch-norm-jacobian": batch_norm_jacobian,
    "same-z-other-batch": same_z_other_batch,
    "change-against-batch": change_against_batch,
    "batch-norm-companions": companions,
    "batch-norm-small-batches": small_batches,
    "batch-norm-separate-batches": separate_batches,
    "batch-norm-statistics": statistics_matter,
}
