"""The engine's command line: ``python -m minigrad kernels | selfcheck``.

Leaves out: training, which is the command ``gans``.
"""

from __future__ import annotations

import argparse
import functools
import inspect
import platform
import sys
import time
from collections.abc import Callable, Iterator, Sequence

import numpy

from . import __version__, get_threads, kernels, selfcheck
from .backend import all_devices
from .kernels.conv import choose
from .kernels.geometry import Geometry, channels_last
from .kernels.parallel import parallel_for

__all__ = ["main"]


# Layers of the models in gans: channels and side of the image, channels of the result, kernel,
# stride, padding. What is forward in D is half of the gradients in G, and the reverse.
LAYERS = {
    "DCGAN-28, images, 32": (1, 28, 32, 4, 2, 1),
    "DCGAN-28, 32 - 64": (32, 14, 64, 4, 2, 1),
    "DCGAN-28, 64 - 128": (64, 14, 128, 4, 2, 1),
    "DCGAN-28, last": (128, 7, 1, 7, 1, 0),
    "DCGAN-64, images, 64": (3, 64, 64, 4, 2, 1),
    "DCGAN-64, 64 - 128": (64, 32, 128, 4, 2, 1),
    "DCGAN-64, 128 - 256": (128, 16, 256, 4, 2, 1),
    "DCGAN-64, 256 - 512": (256, 8, 512, 4, 2, 1),
    "ResNet, 3x3, 64": (64, 16, 64, 3, 1, 1),
    "ResNet, 3x3, 128": (128, 16, 128, 3, 1, 1),
    "CycleGAN, images, 64": (3, 70, 64, 7, 1, 0),
    "CycleGAN, 64 - 128": (64, 64, 128, 3, 2, 1),
    "CycleGAN, 256 - 256": (256, 18, 256, 3, 1, 0),
    "CycleGAN, 64 - images": (64, 70, 3, 7, 1, 0),
    "PatchGAN, 256 - 512": (256, 8, 512, 4, 1, 1),
    "PatchGAN, last": (512, 7, 1, 4, 1, 1),
}


def kernels_command(argv: Sequence[str]) -> int:
    """Print the kernels and which are in use; how fast they convolve; on what they run."""
    parser = argparse.ArgumentParser(
        prog="minigrad kernels", description="List the kernels: every function from arrays to "
        "arrays that the operations are made of, in its fast and in its simple form. Then, for "
        "layers of the models, the way in which they are convolved and how fast.")
    parser.add_argument("--batch", type=int, default=64, help="images to a batch (64)")
    parser.add_argument("--repeats", type=int, default=3, help="of which the best counts (3)")
    options = parser.parse_args(argv)
    if min(options.batch, options.repeats) < 1:
        parser.error("--batch and --repeats must be at least 1")
    devices = ", ".join(f"{device.name} ({'enabled' if device.enabled() else 'not here'})"
                        for device in all_devices())
    print(f"minigrad {__version__}, NumPy {numpy.__version__}, Python {platform.python_version()}; "
          f"{get_threads()} threads; devices: {devices}")
    print(f"in use: {kernels.active().__name__.split('.')[-1]} (MINIGRAD_KERNELS=reference or "
          "minigrad.reference_kernels() for the simple ones)")
    fast, reference = _functions(kernels.fast), _functions(kernels.reference)
    width = max(map(len, {**fast, **reference}))
    for name in sorted({**fast, **reference}):
        where = " and ".join(word for word, table in (("fast", fast), ("reference", reference))
                             if name in table)
        text = inspect.getdoc(fast.get(name) or reference[name]) or ""
        print(f"  {name:{width}}  {where:18}  {text.splitlines()[0] if text else ''}".rstrip())
    _print_layers(options.batch, options.repeats)
    return 0


def _print_layers(batch: int, repeats: int) -> None:
    """Time every layer forwards and backwards, against a matrix product of the same library."""
    g = numpy.random.default_rng(0)
    threads = get_threads()
    a = g.standard_normal((threads, 768, 768), dtype="float32")
    out = numpy.empty_like(a)

    def multiply(chunks: Iterator[slice]) -> None:
        for s in chunks:
            numpy.matmul(a[s], a[s], out=out[s])

    peak = 2 * threads * 768**3 / _best(lambda: parallel_for(multiply, threads, 1), repeats) / 1e9
    print(f"\n{batch} images, float32, {threads} threads; a product of large matrices runs at "
          f"{peak:.0f} GFLOP/s. Operations are counted as those of the direct sum, of which "
          "Winograd's way needs a part: it may pass 100 %.")
    print(f"  {'layer':22} {'way':15} {'forward':>10} {'GFLOP/s':>8} {'of peak':>8} "
          f"{'gradients':>11} {'GFLOP/s':>8} {'of peak':>8}")
    active = kernels.active()
    for name, (c, side, o, k, stride, padding) in LAYERS.items():
        x = channels_last(g.standard_normal((batch, c, side, side), dtype="float32"))
        weight = g.standard_normal((o, c, k, k), dtype="float32")
        x, weight = x.transpose(0, 3, 1, 2), weight.transpose(2, 3, 1, 0).copy().transpose(
            3, 2, 0, 1)
        pairs = (stride, stride), (padding, padding)
        y = active.conv2d(x, weight, *pairs)
        way = choose(Geometry(*x.shape, o, k, k, *pairs[0], *pairs[1])).value
        operations = 2 * y.size * c * k * k / 1e9
        row = f"  {name:22} {way if active is kernels.fast else 'reference':15}"
        forward = functools.partial(active.conv2d, x, weight, *pairs)
        backward = functools.partial(active.conv2d_gradient, x, weight, y, *pairs, (True, True))
        for run, count in ((forward, 1), (backward, 2)):
            seconds = _best(run, repeats)
            speed = count * operations / seconds
            row += f" {seconds * 1e3:8.2f} ms {speed:8.1f} {speed / peak:8.0%}"
        print(row)


def _best(run: Callable[[], object], repeats: int) -> float:
    """The shortest of some runs, in seconds; one before them warms up."""
    run()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def _functions(module: object) -> dict[str, Callable]:
    return {name: getattr(module, name) for name in getattr(module, "__all__", ())}


COMMANDS: dict[str, tuple[Callable[[Sequence[str]], int], str]] = {
    "kernels": (kernels_command, "list the kernels and say which are in use"),
    "selfcheck": (lambda argv: selfcheck.main(list(argv)), "compare a device with NumPy"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line; returns the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    lines = "\n".join(f"  {name:10} {text}" for name, (_, text) in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog="minigrad", formatter_class=argparse.RawDescriptionHelpFormatter,
        description=f"The engine's own commands:\n{lines}\n\n`gans` trains models.")
    parser.add_argument("--version", action="version", version=f"minigrad {__version__}")
    parser.add_argument("command", choices=[*COMMANDS])
    chosen = parser.parse_args(words[:1])
    return COMMANDS[chosen.command][0](words[1:])


if __name__ == "__main__":
    sys.exit(main())
