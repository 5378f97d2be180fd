"""The digits GAN at equal training time: minigrad and eager PyTorch, judged by one classifier.

Both train the same networks with the same settings (``GAN.laptop``) on the same 8,000 digits for
the same number of seconds, in alternation: a slice of each in turn, so that both see the machine's
ups and downs. PyTorch freezes D in the generator step too. Time spent in judging is not counted.

    pip install -e ".[bench]"
    python tests/benchmarks/mlp_gan_vs_torch.py --seconds 180 --seed 0
"""

from __future__ import annotations

import argparse
import itertools
import time
from types import SimpleNamespace

import numpy as np

import minigrad as ndl
from gans import metrics
from gans.classifier import load_classifier
from gans.gan import GAN
from minigrad.data import load, to_uint8


def batches(images, size, seed):
    """Endless shuffled batches, the last short one dropped."""
    g = np.random.default_rng(seed)
    while True:
        order = g.permutation(len(images))
        for i in range(len(images) // size):
            yield images[order[i * size:(i + 1) * size]]


def minigrad_program(images, seed):
    """(step, sample) of the project's own GAN."""
    ndl.manual_seed(seed)
    model = GAN.laptop(SimpleNamespace(name="digits", shape=(1, 28, 28)))
    stream = (ndl.Tensor(x, requires_grad=False) for x in batches(images, model.batch_size, seed))

    def sample(n):
        return model.sample(n, np.random.default_rng(1)).numpy()

    return (lambda: model.train_step(stream)), sample, model


def torch_program(images, seed, model: GAN):
    """The same networks, objective, optimizers and moving average in PyTorch."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    torch.manual_seed(seed)

    def stack(sizes, activation, batch_norm):
        layers = []
        for a, b in itertools.pairwise(sizes[:-1]):
            layers += [nn.Linear(a, b, bias=not batch_norm)]
            layers += [nn.BatchNorm1d(b)] if batch_norm else []
            layers += [activation()]
        return nn.Sequential(*layers, nn.Linear(sizes[-2], sizes[-1]))

    G = nn.Sequential(
        *stack([model.latent_dim, *model.hidden_G, 784], nn.ReLU, model.batch_norm), nn.Tanh())
    D = stack([784, *model.hidden_D, 1], lambda: nn.LeakyReLU(0.2), False)
    for net in (G, D):  # the same initialisation: He's uniform, as nn.Linear of minigrad has it
        for m in net.modules():
            if isinstance(m, nn.Linear):
                nn.init.uniform_(m.weight, -(6 / m.in_features) ** 0.5, (6 / m.in_features) ** 0.5)
                if m.bias is not None:
                    nn.init.uniform_(m.bias, -(6 / m.out_features) ** 0.5,
                                     (6 / m.out_features) ** 0.5)
    average = None
    if model.ema_decay:
        average = torch.optim.swa_utils.AveragedModel(
            G, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(model.ema_decay),
            use_buffers=False)
    opt_G = torch.optim.Adam(G.parameters(), lr=model.lr_G, betas=(model.beta1, 0.999))
    opt_D = torch.optim.Adam(D.parameters(), lr=model.lr_D, betas=(model.beta1, 0.999))
    stream = (torch.from_numpy(x.reshape(len(x), -1))
              for x in batches(images, model.batch_size, seed))
    one, zero = torch.ones(model.batch_size, 1), torch.zeros(model.batch_size, 1)

    def step():
        for _ in range(model.k):
            real = next(stream)
            fake = G(torch.randn(len(real), model.latent_dim))
            opt_D.zero_grad()
            d_loss = (F.binary_cross_entropy_with_logits(D(real), one)
                      + F.binary_cross_entropy_with_logits(D(fake.detach()), zero))
            d_loss.backward()
            opt_D.step()
        D.requires_grad_(False)
        opt_G.zero_grad()
        g_loss = F.binary_cross_entropy_with_logits(D(fake), one)
        g_loss.backward()
        opt_G.step()
        D.requires_grad_(True)
        if average is not None:
            average.update_parameters(G)

    def sample(n):
        net = G if average is None else average.module
        if average is not None:
            for mine, theirs in zip(net.buffers(), G.buffers(), strict=True):
                mine.copy_(theirs)
        net.eval()
        with torch.no_grad():
            z = torch.randn(n, model.latent_dim, generator=torch.Generator().manual_seed(1))
            out = net(z).numpy().reshape(n, 1, 28, 28)
        net.train()
        return out

    return step, sample


def judge(samples, classifier, features):
    """Classifier score, smallest class share and Frechet distance to 2,000 training images."""
    images = to_uint8(samples)
    p = classifier.probabilities(images)
    return (metrics.classifier_score(p), metrics.class_histogram(p).min(),
            metrics.whitened_frechet_distance(classifier.features(images), features))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=180, help="of training, each")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--slice", type=float, default=2.0, help="seconds before the other's turn")
    options = parser.parse_args()
    import torch

    ndl.set_threads(options.threads)
    torch.set_num_threads(options.threads)
    digits = load("digits")
    images = (digits.train_images.astype(np.float32) / 127.5 - 1)[:, None]
    classifier = load_classifier()
    features = classifier.features(digits.train_images[:2000])
    step, sample, model = minigrad_program(images, options.seed)
    programs = {"minigrad": (step, sample),
                "PyTorch": torch_program(images, options.seed, model)}
    spent = dict.fromkeys(programs, 0.0)
    steps = dict.fromkeys(programs, 0)
    marks = [options.seconds * i / 6 for i in range(1, 7)]
    print(f"{model}\n{'program':10s} {'seconds':>8s} {'steps':>7s} {'ms/step':>8s} {'score':>6s} "
          f"{'least class':>11s} {'Frechet':>8s}")
    for mark in marks:
        while min(spent.values()) < mark:
            for name, (step, _) in programs.items():
                time.sleep(0.02)
                start = time.perf_counter()
                while (passed := time.perf_counter() - start) < min(
                        options.slice, max(mark - spent[name], 0)):
                    step()
                    steps[name] += 1
                spent[name] += passed
        for name, (_, sample) in programs.items():
            score, least, distance = judge(sample(2000), classifier, features)
            print(f"{name:10s} {spent[name]:8.1f} {steps[name]:7d} "
                  f"{1000 * spent[name] / steps[name]:8.2f} {score:6.2f} {least:11.3f} "
                  f"{distance:8.2f}", flush=True)


if __name__ == "__main__":
    main()
