"""The engine's command line: ``python -m minigrad kernels | selfcheck``.

Leaves out: training, which is the command ``gans``.
"""

from __future__ import annotations

import argparse
import inspect
import platform
import sys
from collections.abc import Callable, Sequence

import numpy

from . import __version__, get_threads, kernels, selfcheck
from .backend import all_devices

__all__ = ["main"]


def kernels_command(argv: Sequence[str]) -> int:
    """Print which kernels there are, which of them are in use, and on what they run."""
    parser = argparse.ArgumentParser(
        prog="minigrad kernels", description="List the kernels: every function from arrays to "
        "arrays that the operations are made of, in its fast and in its simple form.")
    parser.parse_args(argv)
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
    return 0


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
