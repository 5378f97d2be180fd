"""The lecture's GAN, step by step against eager PyTorch, and the cost of the tape itself.

G is Linear(2, 2), D is 2-20-10-2 with ReLU, batch 32, Adam on both, cross entropy on two logits.
Both programs do the same work: the fake batch is made once, D learns on real and fake, then G
learns through D, whose own gradients are not computed. One thread each, alternated in one process;
the ratios are of medians over the rounds.

    pip install -e ".[bench]"
    python tests/benchmarks/lecture_gan.py
"""

from __future__ import annotations

import argparse
import statistics
import time
import timeit

import numpy as np

import minigrad as ndl
from minigrad import nn, optim

BATCH = 32
A, MU = np.array([[1, 2], [-0.2, 0.5]], dtype="float32"), np.array([2, 1], dtype="float32")


def minigrad_step():
    """A function that takes one training step and returns the two losses."""
    G = nn.Linear(2, 2)
    D = nn.Sequential(nn.Linear(2, 20), nn.ReLU(), nn.Linear(20, 10), nn.ReLU(), nn.Linear(10, 2))
    opt_G, opt_D = optim.Adam(G.parameters(), lr=0.01), optim.Adam(D.parameters(), lr=0.01)
    loss = nn.SoftmaxLoss()
    ones, zeros = np.ones(BATCH, dtype="int64"), np.zeros(BATCH, dtype="int64")
    g = np.random.default_rng(0)

    def step():
        real = ndl.Tensor(g.standard_normal((BATCH, 2), dtype="float32") @ A + MU)
        fake = G(ndl.Tensor(g.standard_normal((BATCH, 2), dtype="float32")))
        d_loss = loss(D(real), ones) + loss(D(fake.detach()), zeros)
        d_loss.backward()
        opt_D.step()
        g_loss = loss(D(fake), ones)
        opt_G.minimize(g_loss)
        return d_loss.item(), g_loss.item()

    return step


def torch_step(fused: bool | None, freeze: bool):
    """The same in PyTorch; ``freeze`` leaves D's gradients out of the generator step."""
    import torch
    from torch import nn as tnn

    torch.manual_seed(0)
    G = tnn.Linear(2, 2)
    D = tnn.Sequential(tnn.Linear(2, 20), tnn.ReLU(), tnn.Linear(20, 10), tnn.ReLU(),
                       tnn.Linear(10, 2))
    opt_G = torch.optim.Adam(G.parameters(), lr=0.01, fused=fused)
    opt_D = torch.optim.Adam(D.parameters(), lr=0.01, fused=fused)
    loss = tnn.CrossEntropyLoss()
    ones = torch.ones(BATCH, dtype=torch.int64)
    zeros = torch.zeros(BATCH, dtype=torch.int64)
    a, mu = torch.from_numpy(A), torch.from_numpy(MU)

    def step():
        real = torch.randn(BATCH, 2) @ a + mu
        fake = G(torch.randn(BATCH, 2))
        opt_D.zero_grad()
        d_loss = loss(D(real), ones) + loss(D(fake.detach()), zeros)
        d_loss.backward()
        opt_D.step()
        opt_G.zero_grad()
        if freeze:
            D.requires_grad_(False)
        g_loss = loss(D(fake), ones)
        g_loss.backward()
        if freeze:
            D.requires_grad_(True)
        opt_G.step()
        return d_loss.item(), g_loss.item()

    return step


def tape_cost() -> None:
    """What one recorded addition costs, forward and backward, against a bare np.add."""
    g = np.random.default_rng(0)
    a = ndl.Tensor(g.random((32, 10), dtype="float32"))
    b = ndl.Tensor(g.random((32, 10), dtype="float32"))
    x, y = a.cached_data, b.cached_data
    upstream = ndl.ones(32, 10)

    def chain():
        t = a
        for _ in range(50):
            t = t + b
        return t

    def best(f, n):
        return min(timeit.repeat(f, number=n, repeat=5)) / n * 1e6

    rows = []
    for _ in range(9):
        bare = best(lambda: np.add(x, y), 5000)
        forward = best(chain, 100) / 50
        both = best(lambda: chain().backward(upstream), 60) / 50
        rows.append((bare, forward / bare, (both - forward) / bare))
    bare, forward, backward = (statistics.median(column) for column in zip(*rows, strict=True))
    print(f"np.add on (32, 10) float32: {bare:.2f} us; one op of the tape costs {forward:.2f} "
          f"times that forward and {backward:.2f} times backward")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--steps", type=int, default=150, help="steps a round")
    options = parser.parse_args()
    import torch

    ndl.set_threads(1)
    torch.set_num_threads(1)
    subjects = {
        "minigrad": minigrad_step(),
        "PyTorch, default Adam": torch_step(None, True),
        "PyTorch, default Adam, D not frozen": torch_step(None, False),
        "PyTorch, fused Adam": torch_step(True, True),
    }
    for step in subjects.values():
        for _ in range(100):
            step()
    times = {name: [] for name in subjects}
    for _ in range(options.rounds):
        for name, step in subjects.items():
            time.sleep(0.02)
            start = time.perf_counter()
            for _ in range(options.steps):
                step()
            times[name].append((time.perf_counter() - start) / options.steps * 1e6)
    print(f"NumPy {np.__version__}, PyTorch {torch.__version__}, one thread, "
          f"{options.rounds} rounds of {options.steps} steps")
    print(f"{'lecture GAN step':38s} {'us':>7s} {'min':>7s} {'max':>7s}   minigrad / it")
    ours = times["minigrad"]
    for name, column in times.items():
        ratio = statistics.median(o / t for o, t in zip(ours, column, strict=True))
        print(f"{name:38s} {statistics.median(column):7.0f} {min(column):7.0f} "
              f"{max(column):7.0f}   {ratio:.2f}")
    tape_cost()


if __name__ == "__main__":
    main()
