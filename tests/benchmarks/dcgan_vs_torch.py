"""Time to a classifier score on digits: this project's DCGAN here and in eager PyTorch.

For each seed both sides train the same networks on the same batches, from the same weights, until
500 samples (of the same noise throughout) score ``--score``. They take turns of ``--every`` steps
in one process, so that both see the machine's ups and downs; samples are judged after each turn,
and neither that nor the start of the process is counted::

    pip install -e ".[bench]"
    python tests/benchmarks/dcgan_vs_torch.py --threads 2 --seeds 0 1 2
    python tests/benchmarks/dcgan_vs_torch.py --threads 2 --seeds 0 1 2 --torch-setting paper

minigrad trains as ``DCGAN.laptop`` says. PyTorch has the same batch size and prior, and one of two
settings, of which the better one is to be compared: that of ``laptop``, or the ``paper``'s rate
without averaged weights. It freezes D in the generator step, as minigrad does. Its twin of the
networks is made from minigrad's modules; the losses of a first step from the same weights on the
same numbers are printed, and must agree to five digits.

A ratio is minigrad's seconds over PyTorch's: below 1 minigrad was there first. A side that runs
into ``--limit`` counts as later than everything, and the ratios with it are bounds.
"""

from __future__ import annotations

import argparse
import copy
import math
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

import minigrad
from gans.dcgan import DCGAN, Margin, Prior
from gans.evaluation import LIVE_SAMPLES, TrainingData, judge, open_data
from minigrad import Tensor, nn

PAPER = {"lr_G": 2e-4, "lr_D": 2e-4, "ema_decay": 0.0}


def batches(data: TrainingData, size: int, seed: int) -> Iterator[np.ndarray]:
    """Endless shuffled batches, the last short one dropped."""
    images = data.dataset[np.arange(len(data.train))][0]
    g = np.random.default_rng(seed)
    while True:
        order = g.permutation(len(images))
        for i in range(len(images) // size):
            yield images[order[i * size:(i + 1) * size]]


def twin(layer: nn.Module) -> Any:
    """The PyTorch module that does the same, with weights of its own."""
    from torch import nn as tnn

    match layer:
        case nn.Sequential():
            return tnn.Sequential(*map(twin, layer))
        case nn.Conv2d() | nn.ConvTranspose2d():
            kind = tnn.Conv2d if isinstance(layer, nn.Conv2d) else tnn.ConvTranspose2d
            return kind(layer.in_channels, layer.out_channels, layer.kernel_size, layer.stride,
                        layer.padding, bias=layer.bias is not None)
        case nn.BatchNorm2d():
            return tnn.BatchNorm2d(layer.dim, layer.eps, layer.momentum)
        case nn.LeakyReLU():
            return tnn.LeakyReLU(layer.negative_slope, inplace=True)
        case nn.ReLU():
            return tnn.ReLU(inplace=True)
        case nn.Tanh():
            return tnn.Tanh()
        case nn.Reshape():
            return tnn.Unflatten(1, layer.shape)
        case nn.Flatten():
            return tnn.Flatten()
        case Margin():
            return tnn.ConstantPad2d(layer.margin, -1.0)  # a negative one cuts, in PyTorch too
    raise TypeError(f"no twin of {type(layer).__name__}")


class TorchDCGAN:
    """A DCGAN in PyTorch with the networks, weights and settings of ``model``.

    ``changes`` replace settings by name.
    """

    def __init__(self, model: DCGAN, channels_last: bool = False, **changes: float) -> None:
        import torch

        settings = {name: getattr(model, name) for name in PAPER} | changes
        self.batch_size, self.latent_dim, self.prior = (
            model.batch_size, model.latent_dim, model.prior)
        self.layout = torch.channels_last if channels_last else torch.contiguous_format
        self.G, self.D = twin(model.G), twin(model.D)
        with torch.no_grad():
            for mine, theirs in ((model.G, self.G), (model.D, self.D)):
                for p, q in zip(mine.parameters(), theirs.parameters(), strict=True):
                    q.copy_(torch.from_numpy(np.ascontiguousarray(p.numpy())))
                theirs.to(memory_format=self.layout)
        betas = (model.beta1, 0.999)
        self.opt_G = torch.optim.Adam(self.G.parameters(), settings["lr_G"], betas)
        self.opt_D = torch.optim.Adam(self.D.parameters(), settings["lr_D"], betas)
        self.decay, self.updates = settings["ema_decay"], 0
        self.average = copy.deepcopy(self.G).requires_grad_(False) if self.decay else None

    def noise(self) -> Any:
        """A batch of z from the prior."""
        import torch

        shape = self.batch_size, self.latent_dim
        return 2 * torch.rand(shape) - 1 if self.prior is Prior.UNIFORM else torch.randn(shape)

    def train_step(self, real: np.ndarray, z: Any) -> dict[str, Any]:
        """What ``DCGAN.train_step`` does."""
        import torch
        from torch.nn.functional import binary_cross_entropy_with_logits as bce

        real = torch.from_numpy(real).contiguous(memory_format=self.layout)
        fake = self.G(z)
        self.opt_D.zero_grad()
        on_real, on_fake = self.D(real), self.D(fake.detach())
        one, zero = torch.ones_like(on_real), torch.zeros_like(on_fake)
        d_loss = bce(on_real, one) + bce(on_fake, zero)
        d_loss.backward()
        self.opt_D.step()
        self.D.requires_grad_(False)
        self.opt_G.zero_grad()
        g_loss = bce(self.D(fake), one)
        g_loss.backward()
        self.opt_G.step()
        self.D.requires_grad_(True)
        if self.average is not None:
            self._update_average()
        return {"d_loss": d_loss.detach(), "g_loss": g_loss.detach()}

    def _update_average(self) -> None:
        """What ``EMA.update`` does to the weights, with its warm-up."""
        import torch

        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        with torch.no_grad():
            torch._foreach_lerp_(list(self.average.parameters()), list(self.G.parameters()),
                                 1 - decay)

    def decode(self, z: np.ndarray) -> np.ndarray:
        """Images by the averaged generator if there is one, with the running statistics of G."""
        import torch

        net = self.G if self.average is None else self.average
        for mine, theirs in zip(net.buffers(), self.G.buffers(), strict=True):
            mine.copy_(theirs)
        net.eval()
        with torch.no_grad():
            images = net(torch.from_numpy(z)).numpy()
        net.train()
        return images


def check_twin(data: TrainingData, channels_last: bool) -> None:
    """Print both sides' losses of a first step, which warms them up too.

    Raises
    ------
    SystemExit
        If they do not agree to five digits.
    """
    minigrad.manual_seed(0)
    model = DCGAN.laptop(data)
    other = TorchDCGAN(model, channels_last)
    x = next(batches(data, model.batch_size, 0))
    z = model.noise(len(x), np.random.default_rng(0)).numpy()
    minigrad.manual_seed(0)  # so that the model draws this z
    mine = model.train_step(iter([Tensor(x, requires_grad=False)]))
    import torch

    theirs = other.train_step(x, torch.from_numpy(z))
    pairs = [(mine[name].item(), theirs[name].item()) for name in ("d_loss", "g_loss")]
    for side, losses in zip(("minigrad", "PyTorch"), zip(*pairs, strict=True), strict=True):
        print(f"first step, {side:8s}: d_loss {losses[0]:.6f}, g_loss {losses[1]:.6f}")
    if not all(math.isclose(a, b, rel_tol=1e-5) for a, b in pairs):
        sys.exit("the twin is none: these losses must agree to five digits")


@dataclass
class Side:
    """A training under way: what it has cost and what it has reached."""

    step: Callable[[], Any]
    samples: Callable[[], np.ndarray]
    seconds: float = 0.0
    steps: int = 0
    score: float = 0.0
    reached: bool = False

    def turn(self, steps: int) -> None:
        """Take some steps; their time counts."""
        time.sleep(0.02)  # until the other's threads sleep
        start = time.perf_counter()
        for _ in range(steps):
            self.step()
        self.seconds += time.perf_counter() - start
        self.steps += steps

    @property
    def time(self) -> float:
        """Seconds to the score, infinite where it was not reached."""
        return self.seconds if self.reached else math.inf


def sides(data: TrainingData, seed: int, options: argparse.Namespace) -> dict[str, Side]:
    """Both trainings of a seed, not begun."""
    import torch

    minigrad.manual_seed(seed)
    torch.manual_seed(seed)
    model = DCGAN.laptop(data)
    other = TorchDCGAN(model, options.channels_last,
                       **(PAPER if options.torch_setting == "paper" else {}))
    mine = (Tensor(x, requires_grad=False) for x in batches(data, model.batch_size, seed))
    theirs = batches(data, model.batch_size, seed)
    z = model.noise(LIVE_SAMPLES, np.random.default_rng(1))
    return {
        "minigrad": Side(lambda: model.train_step(mine), lambda: model.decode(z).numpy()),
        "PyTorch": Side(lambda: other.train_step(next(theirs), other.noise()),
                        lambda: other.decode(z.numpy())),
    }


def race(pair: dict[str, Side], score: Callable[[np.ndarray], float],
         options: argparse.Namespace) -> None:
    """Train both in turn, each to the score or to the limit."""
    running = list(pair.values())
    while running:
        for side in running:
            side.turn(options.every)
            side.score = score(side.samples())
            side.reached = side.score >= options.score
        running = [side for side in running
                   if not side.reached and side.seconds < options.limit]


def seconds(value: float, limit: float) -> str:
    return f"{value:.1f}" if math.isfinite(value) else f">{limit:.0f}"


def ratio(mine: float, theirs: float, limit: float) -> str:
    """mine / theirs, or its bound where one of them is infinite."""
    if math.isinf(mine) and math.isinf(theirs):
        return "-"
    bound = ">" if math.isinf(mine) else "<" if math.isinf(theirs) else ""
    mine, theirs = (limit if math.isinf(value) else value for value in (mine, theirs))
    return f"{bound}{mine / theirs:.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--score", type=float, default=6.5)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--torch-setting", choices=("laptop", "paper"), default="laptop")
    parser.add_argument("--channels-last", action="store_true", help="PyTorch's order of memory")
    parser.add_argument("--every", type=int, default=25, help="steps between two judgements")
    parser.add_argument("--limit", type=float, default=600, help="seconds of training, each")
    options = parser.parse_args()
    import torch

    minigrad.set_threads(options.threads, blas=1)
    torch.set_num_threads(options.threads)
    data = open_data("digits")
    verdict = judge(data)
    print(f"digits to a score of {options.score:g}, {options.threads} thread(s), judged every "
          f"{options.every} steps; PyTorch: {options.torch_setting}"
          f"{', channels_last' if options.channels_last else ''}")
    check_twin(data, options.channels_last)
    print(f"{'':8s}{'minigrad':^24s} {'PyTorch':^24s}\n{'seed':8s}" + " ".join(
        f"{'seconds':>9s} {'steps':>7s} {'score':>6s}" for _ in range(2)) + f" {'ratio':>7s}")
    times: dict[str, list[float]] = {"minigrad": [], "PyTorch": []}
    steps: dict[str, list[int]] = {"minigrad": [], "PyTorch": []}
    for seed in options.seeds:
        pair = sides(data, seed, options)
        race(pair, lambda samples: verdict.live(samples)["score"], options)
        for name, side in pair.items():
            times[name].append(side.time)
            steps[name].append(side.steps)
        print(f"{seed:<8d}" + " ".join(
            f"{seconds(side.time, options.limit):>9s} {side.steps:7d} {side.score:6.2f}"
            for side in pair.values())
            + f" {ratio(*(side.time for side in pair.values()), options.limit):>7s}", flush=True)
    medians = [statistics.median(column) for column in times.values()]
    print(f"{'median':8s}" + " ".join(
        f"{seconds(median, options.limit):>9s} {statistics.median(column):7.0f} {'':6s}"
        for median, column in zip(medians, steps.values(), strict=True))
        + f" {ratio(*medians, options.limit):>7s}")


if __name__ == "__main__":
    main()
