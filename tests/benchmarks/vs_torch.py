"""Convolutional GANs here and in eager PyTorch on the same CPU: whole steps, layers, memory.

Run with both installed (the ``bench`` extra)::

    python tests/benchmarks/vs_torch.py steps --threads 1
    python tests/benchmarks/vs_torch.py layers --threads 1
    python tests/benchmarks/vs_torch.py memory
    python tests/benchmarks/vs_torch.py switches
    python tests/benchmarks/vs_torch.py steps --threads 1 --only CycleGAN-64 CycleGAN-64/1

``steps`` trains the same networks from the same weights on the same numbers, alternating in one
process with a pause between (PyTorch's threads spin for a while), and prints the median of the
ratios of each pair, the smallest and the largest. PyTorch runs in its own order of memory and in
channels_last. It freezes D in the generator step, as minigrad does; the ratio to the usual code,
which computes D's unused weight gradients, stands beside it. The losses of the first step are
printed: they agree to five digits. CycleGAN is the class of ``gans`` without its pool of images,
and takes the same steps in PyTorch, translation and identity in one batch. ``memory`` measures the
peak of a fresh process for each side, without what the import alone needs, and with it.
``switches`` turns each trick of the kernels off. With ``--processor-time`` the seconds are those
that a processor worked for this process, not those of the wall: for a machine that others use.

Leaves out: GPUs.
"""

from __future__ import annotations

import argparse
import functools
import gc
import itertools
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np


class DCGANWork(NamedTuple):
    """A DCGAN: pixels and channels of its images, features, batch."""

    size: int
    channels: int
    features: int
    batch: int

    def ours(self) -> tuple[list, Callable]:
        """The networks and a training step in minigrad."""
        *networks, step = minigrad_side(self.size, self.channels, self.features)
        return networks, step

    def torchs(self, **options: bool) -> tuple[list, Callable]:
        """The same in PyTorch."""
        *networks, step = torch_side(self.size, self.channels, self.features, **options)
        return networks, step

    def numbers(self) -> tuple[np.ndarray, np.ndarray]:
        """A batch of images and of noise."""
        return numbers(self.size, self.channels, self.batch)


class CycleGANWork(NamedTuple):
    """A CycleGAN: pixels of its images, features of G and of D, residual blocks, batch."""

    size: int
    features_G: int
    features_D: int
    blocks: int
    batch: int

    def ours(self) -> tuple[list, Callable]:
        """The networks and a training step in minigrad."""
        return minigrad_cyclegan(self)

    def torchs(self, **options: bool) -> tuple[list, Callable]:
        """The same in PyTorch."""
        return torch_cyclegan(self, **options)

    def numbers(self) -> tuple[np.ndarray, np.ndarray]:
        """A batch of each collection."""
        g, shape = np.random.default_rng(0), (self.batch, 3, self.size, self.size)
        a, b = (g.random(shape, dtype="float32") * 2 - 1 for _ in range(2))
        return a, b


WORKLOADS = {
    "DCGAN-64/64": DCGANWork(64, 3, 64, 64),
    "DCGAN-28/64": DCGANWork(28, 1, 64, 64),
    "DCGAN-28/32": DCGANWork(28, 1, 32, 64),
    "CycleGAN-64": CycleGANWork(64, 64, 64, 6, 4),
    "CycleGAN-64/1": CycleGANWork(64, 64, 64, 6, 1),  # the paper's batch of one
    "CycleGAN-32": CycleGANWork(32, 16, 32, 3, 4),  # as CycleGAN.laptop
}
LATENT = 100


def widths(size: int, features: int) -> list[int]:
    """Channels of D's layers from the image on."""
    return [features * 2**i for i in range({28: 2, 32: 3, 64: 4}[size])]


# ------------------------------------------------------------------------------------ two sides


def minigrad_side(size: int, channels: int, features: int) -> tuple[Any, Any, Callable]:
    """G, D and a training step in minigrad."""
    from minigrad import Tensor, nn, ops, optim

    up = widths(size, features)[::-1]
    layers = [nn.ConvTranspose2d(LATENT, up[0], 7 if size == 28 else 4, bias=False),
              nn.BatchNorm2d(up[0]), nn.ReLU()]
    for a, b in itertools.pairwise(up):
        layers += [nn.ConvTranspose2d(a, b, 4, stride=2, padding=1, bias=False),
                   nn.BatchNorm2d(b), nn.ReLU()]
    G = nn.Sequential(*layers, nn.ConvTranspose2d(up[-1], channels, 4, stride=2, padding=1,
                                                  bias=False), nn.Tanh())
    down = widths(size, features)
    layers = [nn.Conv2d(channels, down[0], 4, stride=2, padding=1, bias=False), nn.LeakyReLU(0.2)]
    for a, b in itertools.pairwise(down):
        layers += [nn.Conv2d(a, b, 4, stride=2, padding=1, bias=False), nn.BatchNorm2d(b),
                   nn.LeakyReLU(0.2)]
    D = nn.Sequential(*layers, nn.Conv2d(down[-1], 1, 7 if size == 28 else 4, bias=False))
    opt_G = optim.Adam(G.parameters(), lr=2e-4, beta1=0.5)
    opt_D = optim.Adam(D.parameters(), lr=2e-4, beta1=0.5)

    def step(x: np.ndarray, z: np.ndarray) -> tuple[float, float]:
        fake = G(Tensor(z, requires_grad=False))
        d_loss = (ops.bce_with_logits(D(Tensor(x, requires_grad=False)), 1.0)
                  + ops.bce_with_logits(D(fake.detach()), 0.0))
        opt_D.minimize(d_loss)
        d_loss = d_loss.detach()  # as GANLoss does: what led to it need not be kept
        g_loss = ops.bce_with_logits(D(fake), 1.0)
        opt_G.minimize(g_loss)
        return d_loss.item(), g_loss.item()

    return G, D, step


def torch_side(size: int, channels: int, features: int, channels_last: bool = False,
               freeze: bool = True) -> tuple[Any, Any, Callable]:
    """The same in PyTorch."""
    import torch
    from torch import nn

    up = widths(size, features)[::-1]
    layers = [nn.ConvTranspose2d(LATENT, up[0], 7 if size == 28 else 4, bias=False),
              nn.BatchNorm2d(up[0]), nn.ReLU(True)]
    for a, b in itertools.pairwise(up):
        layers += [nn.ConvTranspose2d(a, b, 4, 2, 1, bias=False), nn.BatchNorm2d(b), nn.ReLU(True)]
    G = nn.Sequential(*layers, nn.ConvTranspose2d(up[-1], channels, 4, 2, 1, bias=False), nn.Tanh())
    down = widths(size, features)
    layers = [nn.Conv2d(channels, down[0], 4, 2, 1, bias=False), nn.LeakyReLU(0.2, True)]
    for a, b in itertools.pairwise(down):
        layers += [nn.Conv2d(a, b, 4, 2, 1, bias=False), nn.BatchNorm2d(b), nn.LeakyReLU(0.2, True)]
    D = nn.Sequential(*layers, nn.Conv2d(down[-1], 1, 7 if size == 28 else 4, bias=False))
    if channels_last:
        G, D = G.to(memory_format=torch.channels_last), D.to(memory_format=torch.channels_last)
    opt_G = torch.optim.Adam(G.parameters(), 2e-4, (0.5, 0.999))
    opt_D = torch.optim.Adam(D.parameters(), 2e-4, (0.5, 0.999))
    bce = nn.functional.binary_cross_entropy_with_logits

    def step(x: np.ndarray, z: np.ndarray) -> tuple[float, float]:
        x, z = torch.from_numpy(x), torch.from_numpy(z)
        if channels_last:
            x = x.contiguous(memory_format=torch.channels_last)
        opt_D.zero_grad()
        fake = G(z)
        real_logits, fake_logits = D(x), D(fake.detach())
        d_loss = (bce(real_logits, torch.ones_like(real_logits))
                  + bce(fake_logits, torch.zeros_like(fake_logits)))
        d_loss.backward()
        opt_D.step()
        opt_G.zero_grad()
        if freeze:
            D.requires_grad_(False)
        logits = D(fake)
        g_loss = bce(logits, torch.ones_like(logits))
        g_loss.backward()
        if freeze:
            D.requires_grad_(True)
        opt_G.step()
        return d_loss.item(), g_loss.item()

    return G, D, step


def minigrad_cyclegan(work: CycleGANWork) -> tuple[list, Callable]:
    """The four networks and a training step of ``gans.cyclegan``, without the pool of images."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    from gans.cyclegan import CycleGAN
    from minigrad import Tensor

    model = CycleGAN((3, work.size, work.size), features_G=work.features_G,
                     features_D=work.features_D, blocks=work.blocks, batch_size=work.batch,
                     pool_size=0)

    def step(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
        pair = Tensor(a, requires_grad=False), Tensor(b, requires_grad=False)
        report = model.train_step(iter([pair]))
        g_loss = (model.gan_weight * report["g_loss"] + model.cycle_weight * report["cycle"]
                  + model.identity_weight * report["identity"])
        return report["d_loss"].item(), g_loss.item()

    return [model.G_ab, model.G_ba, model.loss_a.D, model.loss_b.D], step


def torch_cyclegan(work: CycleGANWork, channels_last: bool = False, freeze: bool = True
                   ) -> tuple[list, Callable]:
    """The same in PyTorch."""
    import torch
    from torch import nn

    class Residual(nn.Module):
        def __init__(self, c: int) -> None:
            super().__init__()
            self.fn = nn.Sequential(
                nn.ReflectionPad2d(1), nn.Conv2d(c, c, 3, bias=False), nn.InstanceNorm2d(c),
                nn.ReLU(True),
                nn.ReflectionPad2d(1), nn.Conv2d(c, c, 3, bias=False), nn.InstanceNorm2d(c))

        def forward(self, x: Any) -> Any:
            return x + self.fn(x)

    def normalised(layer: Any, c: int, activation: Any) -> list:
        return [layer, nn.InstanceNorm2d(c), activation]

    def generator() -> Any:
        f = work.features_G
        return nn.Sequential(
            nn.ReflectionPad2d(3),
            *normalised(nn.Conv2d(3, f, 7, bias=False), f, nn.ReLU(True)),
            *[layer for c in (f, 2 * f) for layer in normalised(
                nn.Conv2d(c, 2 * c, 3, 2, 1, bias=False), 2 * c, nn.ReLU(True))],
            *[Residual(4 * f) for _ in range(work.blocks)],
            *[layer for c in (2 * f, f) for layer in normalised(
                nn.ConvTranspose2d(2 * c, c, 4, 2, 1, bias=False), c, nn.ReLU(True))],
            nn.ReflectionPad2d(3), nn.Conv2d(f, 3, 7), nn.Tanh())

    def discriminator() -> Any:
        f, halvings = work.features_D, 3 if work.size >= 64 else 2
        layers = [nn.Conv2d(3, f, 4, 2, 1), nn.LeakyReLU(0.2, True)]
        for i in range(halvings):
            layers += normalised(nn.Conv2d(f, 2 * f, 4, 2 if i < halvings - 1 else 1, 1,
                                           bias=False), 2 * f, nn.LeakyReLU(0.2, True))
            f *= 2
        return nn.Sequential(*layers, nn.Conv2d(f, 1, 4, 1, 1))

    networks = [generator(), generator(), discriminator(), discriminator()]
    if channels_last:
        networks = [net.to(memory_format=torch.channels_last) for net in networks]
    G_ab, G_ba, D_a, D_b = networks
    opt_G = torch.optim.Adam([*G_ab.parameters(), *G_ba.parameters()], 2e-4, (0.5, 0.999))
    opt_Ds = {D: torch.optim.Adam(D.parameters(), 2e-4, (0.5, 0.999)) for D in (D_a, D_b)}
    distance = nn.functional.l1_loss

    def squares(logits: Any, target: float) -> Any:
        return 0.5 * ((logits - target) ** 2).mean()

    def d_step(D: Any, real: Any, fake: Any) -> float:
        opt_Ds[D].zero_grad()
        loss = squares(D(real), 1.0) + squares(D(fake.detach()), 0.0)
        loss.backward()
        opt_Ds[D].step()
        return loss.item()

    def step(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
        a, b = torch.from_numpy(a), torch.from_numpy(b)
        if channels_last:
            a, b = (x.contiguous(memory_format=torch.channels_last) for x in (a, b))
        fake_b, same_b = G_ab(torch.cat([a, b])).split(len(a))
        fake_a, same_a = G_ba(torch.cat([b, a])).split(len(a))
        d_loss = d_step(D_a, a, fake_a) + d_step(D_b, b, fake_b)
        for D in (D_a, D_b):
            D.requires_grad_(not freeze)
        opt_G.zero_grad()
        gan = squares(D_a(fake_a), 1.0) + squares(D_b(fake_b), 1.0)
        cycle = distance(G_ba(fake_b), a) + distance(G_ab(fake_a), b)
        identity = distance(same_a, a) + distance(same_b, b)
        g_loss = 2 * gan + 10 * cycle + 5 * identity
        g_loss.backward()
        opt_G.step()
        for D in (D_a, D_b):
            D.requires_grad_(True)
        return d_loss, g_loss.item()

    return networks, step


def lecture_sides() -> dict[str, Callable]:
    """The lecture's GAN in the plane: G Linear(2, 2), D 2-20-10-2, batch 32, default Adam."""
    import torch

    from minigrad import Tensor, nn, optim

    G, D = nn.Sequential(nn.Linear(2, 2)), nn.Sequential(
        nn.Linear(2, 20), nn.ReLU(), nn.Linear(20, 10), nn.ReLU(), nn.Linear(10, 2))
    loss, opt_G, opt_D = nn.SoftmaxLoss(), optim.Adam(G.parameters()), optim.Adam(D.parameters())
    ones, zeros = np.ones(32, "int64"), np.zeros(32, "int64")

    def ours(x: np.ndarray, z: np.ndarray) -> tuple[float, float]:
        fake = G(Tensor(z, requires_grad=False))
        d_loss = loss(D(Tensor(x, requires_grad=False)), ones) + loss(D(fake.detach()), zeros)
        opt_D.minimize(d_loss)
        g_loss = loss(D(fake), ones)
        opt_G.minimize(g_loss)
        return d_loss.item(), g_loss.item()

    tG = torch.nn.Linear(2, 2)
    tD = torch.nn.Sequential(torch.nn.Linear(2, 20), torch.nn.ReLU(), torch.nn.Linear(20, 10),
                             torch.nn.ReLU(), torch.nn.Linear(10, 2))
    with torch.no_grad():
        theirs = [tG, *[m for m in tD if isinstance(m, torch.nn.Linear)]]
        mine = [G[0], *[m for m in D if isinstance(m, nn.Linear)]]
        for t, m in zip(theirs, mine, strict=True):
            t.weight.copy_(torch.from_numpy(m.weight.numpy().T))
            t.bias.copy_(torch.from_numpy(m.bias.numpy()[0]))
    cross = torch.nn.functional.cross_entropy
    t_opt_G, t_opt_D = torch.optim.Adam(tG.parameters(), 0.01), torch.optim.Adam(tD.parameters(),
                                                                                  0.01)
    t_ones, t_zeros = torch.from_numpy(ones), torch.from_numpy(zeros)

    def torchs(x: np.ndarray, z: np.ndarray) -> tuple[float, float]:
        x, z = torch.from_numpy(x), torch.from_numpy(z)
        t_opt_D.zero_grad()
        fake = tG(z)
        d_loss = cross(tD(x), t_ones) + cross(tD(fake.detach()), t_zeros)
        d_loss.backward()
        t_opt_D.step()
        t_opt_G.zero_grad()
        tD.requires_grad_(False)
        g_loss = cross(tD(fake), t_ones)
        g_loss.backward()
        tD.requires_grad_(True)
        t_opt_G.step()
        return d_loss.item(), g_loss.item()

    return {"minigrad": ours, "torch": torchs}


def copy_weights(mine: Any, theirs: Any) -> None:
    """Give a PyTorch network the weights of ours, whose layers come in the same order."""
    import torch

    with torch.no_grad():
        for p, q in zip(mine.parameters(), theirs.parameters(), strict=True):
            q.copy_(torch.from_numpy(np.ascontiguousarray(p.numpy())))


# ---------------------------------------------------------------------------------- measurement


clock = time.perf_counter


def alternate(sides: dict[str, Callable], arguments: tuple, repeats: int) -> dict[str, list[float]]:
    """Seconds of each side, run in turn with pauses."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    gc.disable()
    for _ in range(repeats):
        for name, run in sides.items():
            time.sleep(0.02)
            start = clock()
            run(*arguments)
            seconds[name].append(clock() - start)
    gc.enable()
    return seconds


def ratio(seconds: dict[str, list[float]], over: str, under: str) -> str:
    """The median of the ratios of each pair, and their range."""
    ratios = [a / b for a, b in zip(seconds[over], seconds[under], strict=True)]
    return f"{statistics.median(ratios):5.2f} ({min(ratios):.2f}-{max(ratios):.2f})"


def milliseconds(seconds: list[float]) -> str:
    return f"{statistics.median(seconds) * 1e3:9.2f}"


def use_processor_time() -> None:
    """Count the seconds of a processor, whichever else it works for."""
    global clock
    clock = time.process_time


def set_threads(n: int) -> None:
    import torch

    import minigrad

    minigrad.set_threads(n, blas=1)
    torch.set_num_threads(n)


def numbers(size: int, channels: int, batch: int) -> tuple[np.ndarray, np.ndarray]:
    g = np.random.default_rng(0)
    x = g.random((batch, channels, size, size), dtype="float32") * 2 - 1
    return x, g.standard_normal((batch, LATENT, 1, 1), dtype="float32")


def steps(threads: int, repeats: int, names: list[str]) -> None:
    """Whole training steps."""
    import torch

    import minigrad

    set_threads(threads)
    print(f"{threads} thread(s), {repeats} repeats; median (smallest-largest) of paired ratios")
    print(f"{'':13s} {'minigrad':>9s} {'torch':>9s}   ratio to torch     to channels_last   "
          "to torch, D not frozen")
    for name in names:
        if name == "lecture":
            sides = lecture_sides()
            g = np.random.default_rng(0)
            batch = (g.standard_normal((32, 2), dtype="float32"),) * 2
            for _ in range(20):
                alternate(sides, batch, 1)
            seconds = alternate(sides, batch, 40 * repeats)
            print(f"{name:13s} {milliseconds(seconds['minigrad'])} "
                  f"{milliseconds(seconds['torch'])}   {ratio(seconds, 'minigrad', 'torch')}")
            continue
        work = WORKLOADS[name]
        minigrad.manual_seed(0)
        torch.manual_seed(0)
        networks, ours = work.ours()
        sides = {"minigrad": ours}
        for key, options in (("torch", {}), ("last", {"channels_last": True}),
                             ("free", {"freeze": False})):
            twins, sides[key] = work.torchs(**options)
            for mine, theirs in zip(networks, twins, strict=True):
                copy_weights(mine, theirs)
        x, z = work.numbers()
        losses = {key: run(x, z) for key, run in sides.items()}
        alternate(sides, (x, z), 1)
        seconds = alternate(sides, (x, z), repeats)
        print(f"{name:13s} {milliseconds(seconds['minigrad'])} {milliseconds(seconds['torch'])}   "
              f"{ratio(seconds, 'minigrad', 'torch')}  {ratio(seconds, 'minigrad', 'last')}  "
              f"{ratio(seconds, 'minigrad', 'free')}")
        print(f"{'':13s} first step: " + ", ".join(
            f"{key} {a:.5f} {b:.5f}" for key, (a, b) in losses.items() if key != "free"))


# Channels and side of the image, channels of the result, kernel, stride, padding.
LAYERS = {
    "images - 64, 4x4/2, 64": (3, 64, 64, 4, 2, 1),
    "64 - 128, 4x4/2, 32": (64, 32, 128, 4, 2, 1),
    "128 - 256, 4x4/2, 16": (128, 16, 256, 4, 2, 1),
    "256 - 512, 4x4/2, 8": (256, 8, 512, 4, 2, 1),
    "64 - 128, 4x4/2, 14": (64, 14, 128, 4, 2, 1),
    "32 - 64, 4x4/2, 14": (32, 14, 64, 4, 2, 1),
    "64 - 64, 3x3, 32": (64, 32, 64, 3, 1, 1),
    "256 - 256, 3x3, 16": (256, 16, 256, 3, 1, 1),
}
CYCLEGAN_LAYERS = {  # reflected borders are there already
    "images - 64, 7x7, 70": (3, 70, 64, 7, 1, 0),
    "64 - 128, 3x3/2, 64": (64, 64, 128, 3, 2, 1),
    "128 - 256, 3x3/2, 32": (128, 32, 256, 3, 2, 1),
    "256 - 256, 3x3, 18": (256, 18, 256, 3, 1, 0),
    "64 - 64, 3x3, 10": (64, 10, 64, 3, 1, 0),
    "64 - images, 7x7, 70": (64, 70, 3, 7, 1, 0),
    "256 - 512, 4x4, 8": (256, 8, 512, 4, 1, 1),
    "512 - logits, 4x4, 7": (512, 7, 1, 4, 1, 1),
}


def layers(threads: int, repeats: int, batch: int, shapes: dict[str, tuple]) -> None:
    """Single convolutions, forward and both gradients."""
    import torch

    from minigrad.kernels import conv, fast
    from minigrad.kernels.geometry import Geometry

    set_threads(threads)
    print(f"{threads} thread(s), {batch} images, {repeats} repeats; ratio to torch NCHW and to "
          "channels_last")
    print(f"{'':24s} {'way':15s} {'forward ms':>10s}  ratio to torch      to channels_last   "
          f"{'gradients ms':>12s}  ratio to torch      to channels_last")
    g = np.random.default_rng(0)
    for name, (c, side, o, k, stride, padding) in shapes.items():
        xt = torch.from_numpy(g.standard_normal((batch, c, side, side), dtype="float32"))
        wt = torch.from_numpy(g.standard_normal((o, c, k, k), dtype="float32"))
        yt = torch.nn.functional.conv2d(xt, wt, stride=stride, padding=padding)
        last = [t.contiguous(memory_format=torch.channels_last) for t in (xt, wt, yt)]
        x, w, y = (np.ascontiguousarray(t.permute(0, 2, 3, 1).numpy()).transpose(0, 3, 1, 2)
                   for t in (xt, wt, yt))
        w = np.ascontiguousarray(w.transpose(2, 3, 1, 0)).transpose(3, 2, 0, 1)
        pairs = (stride, stride), (padding, padding)

        def forward(a: Any, b: Any, s: int = stride, p: int = padding) -> Any:
            return torch.nn.functional.conv2d(a, b, stride=s, padding=p)

        def backward(a: Any, b: Any, d: Any, s: int = stride, p: int = padding) -> Any:
            return torch.ops.aten.convolution_backward(
                d, a, b, None, [s, s], [p, p], [1, 1], False, [0, 0], 1, [True, True, False])

        cells = []
        for sides in (
            {"minigrad": functools.partial(fast.conv2d, x, w, *pairs),
             "torch": functools.partial(forward, xt, wt),
             "last": functools.partial(forward, *last[:2])},
            {"minigrad": functools.partial(fast.conv2d_gradient, x, w, y, *pairs, (True, True)),
             "torch": functools.partial(backward, xt, wt, yt),
             "last": functools.partial(backward, *last)},
        ):
            alternate(sides, (), 1)
            seconds = alternate(sides, (), repeats)
            cells.append(f"{milliseconds(seconds['minigrad'])}   "
                         f"{ratio(seconds, 'minigrad', 'torch')}  "
                         f"{ratio(seconds, 'minigrad', 'last')}")
        way = conv.choose(Geometry(*x.shape, o, k, k, *pairs[0], *pairs[1])).value
        print(f"{name:24s} {way:15s} " + "     ".join(cells))


def memory(threads: int, names: list[str]) -> None:
    """Peak memory of a process that takes three steps, for each side."""
    print("peak RSS in MB of a process that takes three steps (and of one that imports only)")
    print(f"{'':13s} {'minigrad':>16s} {'torch':>16s}   ratio")
    for name in names:
        if name not in WORKLOADS:
            continue
        peaks = {}
        for side in ("minigrad", "torch"):
            for count in (3, 0):
                command = [sys.executable, __file__, "peak", "--only", name, "--side", side,
                           "--threads", str(threads), "--repeats", str(count)]
                text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
                peaks[side, count] = float(text)
        cells = [f"{peaks[side, 3]:8.0f} ({peaks[side, 0]:4.0f})" for side in ("minigrad", "torch")]
        print(f"{name:13s} {cells[0]:>16s} {cells[1]:>16s}   "
              f"{peaks['minigrad', 3] / peaks['torch', 3]:.2f}")


def peak(name: str, side: str, threads: int, count: int) -> None:
    """Take some steps and print this process's peak memory in MB."""
    work = WORKLOADS[name]
    if side == "minigrad":
        import minigrad

        minigrad.set_threads(threads, blas=1)
    else:
        import torch

        torch.set_num_threads(threads)
    if count:
        step = (work.ours if side == "minigrad" else work.torchs)()[1]
        x, z = work.numbers()
        for _ in range(count):
            step(x, z)
    unit = 1 if sys.platform == "darwin" else 1024  # bytes, or kilobytes
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6)


@contextmanager
def without(module: Any, name: str, value: Any) -> Iterator[None]:
    """Inside, an attribute of the kernels has another value."""
    usual = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, usual)


def switches(threads: int, repeats: int, names: list[str]) -> None:
    """A step with one trick turned off, over a step as it is."""
    import minigrad
    from minigrad.kernels import conv, direct, fast, mirrored, norm, parallel, planar, reference
    from minigrad.kernels import winograd_k4s2 as k4s2
    from minigrad.nn import layers as nn_layers

    never = {way: (1 << 30, 1) for way in conv.Way}
    off = {
        "Winograd": [(conv, "_PAYS", never)],
        "planar images": [(conv, "FEW", 0)],
        "chunks (whole batch at once)": [(m, "ROWS", 1 << 30) for m in (direct, planar, k4s2)],
        "weight transform kept": [(sys.modules["minigrad.ops.conv"]._Convolution, "_transformed",
                                   lambda *_: None)],
        "fused batch norm": [(fast, "batch_norm", reference.batch_norm),
                             (fast, "batch_norm_gradient", reference.batch_norm_gradient)],
        "chunks in batch norm": [(norm, "ELEMENTS", 1 << 40)],
        "fused instance norm": [(fast, "instance_norm", reference.instance_norm),
                                (fast, "instance_norm_gradient",
                                 reference.instance_norm_gradient)],
        "mirrored images": [(mirrored, "fits", lambda g: False)],
        "norm and activation joined": [(nn_layers, "_JOINED", ())],
        "blocks in leaky ReLU": [(fast, "leaky_relu", reference.leaky_relu),
                                 (fast, "leaky_relu_gradient", reference.leaky_relu_gradient)],
    }
    if threads > 1:
        off["threads"] = [(parallel, "get_threads", lambda: 1)]
    minigrad.set_threads(threads, blas=1)
    print(f"{threads} thread(s): time of a step without it over time with it, {repeats} repeats")
    for name in names:
        if name not in WORKLOADS:
            continue
        step = WORKLOADS[name].ours()[1]
        x, z = WORKLOADS[name].numbers()
        for what, changes in off.items():

            def changed(x: np.ndarray, z: np.ndarray, changes: list = changes,
                        step: Callable = step) -> None:
                with ExitStack() as stack:
                    for change in changes:
                        stack.enter_context(without(*change))
                    step(x, z)

            sides = {"with": step, "without": changed}
            alternate(sides, (x, z), 1)
            seconds = alternate(sides, (x, z), repeats)
            print(f"{name:13s} {what:30s} {ratio(seconds, 'without', 'with')}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("steps", "layers", "memory", "switches", "peak"))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--batch", type=int, default=64, help="of DCGAN's layers")
    parser.add_argument("--only", nargs="*", default=[*WORKLOADS, "lecture"])
    parser.add_argument("--side", choices=("minigrad", "torch"), help="of peak")
    parser.add_argument("--processor-time", action="store_true",
                        help="of one thread, on a machine where others compute as well")
    options = parser.parse_args()
    if options.processor_time:
        if options.threads != 1:
            parser.error("--processor-time: the times of several threads would be added up")
        use_processor_time()
    if options.what == "steps":
        steps(options.threads, options.repeats, options.only)
    elif options.what == "layers":
        layers(options.threads, options.repeats, options.batch, LAYERS)
        layers(options.threads, options.repeats, 2 * WORKLOADS["CycleGAN-64"].batch,
               CYCLEGAN_LAYERS)
    elif options.what == "memory":
        memory(options.threads, options.only)
    elif options.what == "switches":
        switches(options.threads, options.repeats, options.only)
    else:
        peak(options.only[0], options.side, options.threads, options.repeats)


if __name__ == "__main__":
    main()
