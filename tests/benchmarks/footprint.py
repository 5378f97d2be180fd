"""What minigrad costs besides time: import, memory over many steps, sizes on disk.

Import times are medians of fresh processes, alternated with a bare ``import numpy``. Memory is the
peak resident size of a process that trains the lecture's GAN, after 100 and after 10,000 steps.
Sizes are those of a wheel built from this checkout and of an environment it is installed into.

    python tests/benchmarks/footprint.py
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def seconds_to_run(code: str) -> float:
    """How long a fresh interpreter takes for ``code``."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, env=environment)
    return time.perf_counter() - start


def import_ratio(rounds: int) -> str:
    """Time of ``import minigrad`` against ``import numpy``, both with the interpreter's start."""
    seconds_to_run("import minigrad")  # writes the byte code
    pairs = [(seconds_to_run("import numpy"), seconds_to_run("import minigrad"))
             for _ in range(rounds)]
    ratio = statistics.median(ours / bare for bare, ours in pairs)
    numpy_ms, ours_ms = (1000 * statistics.median(column) for column in zip(*pairs, strict=True))
    return f"import numpy {numpy_ms:.0f} ms, import minigrad {ours_ms:.0f} ms: ratio {ratio:.2f}"


def memory_growth() -> str:
    """Peak resident size after 100 and after 10,000 steps of the lecture's GAN."""
    code = (
        "import resource, sys\n"
        "sys.path.insert(0, 'tests/benchmarks')\n"
        "from lecture_gan import minigrad_step\n"
        "step = minigrad_step()\n"
        "def peak(n):\n"
        "    for _ in range(n): step()\n"
        "    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "print(peak(100), peak(9900))\n"
    )
    out = subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, text=True,
                         capture_output=True).stdout
    unit = 1024 if sys.platform != "darwin" else 1
    first, last = (int(word) * unit / 1e6 for word in out.split())
    return f"peak memory after 100 steps {first:.1f} MB, after 10,000 {last:.1f} MB: " \
           f"+{last - first:.2f} MB"


def sizes() -> str:
    """The wheel, and what a fresh environment gains by installing it with its dependencies."""
    with tempfile.TemporaryDirectory() as folder:
        pip = [sys.executable, "-m", "pip"]
        subprocess.run([*pip, "wheel", "-q", "--no-deps", "-w", folder, str(ROOT)], check=True,
                       stderr=subprocess.DEVNULL)
        (wheel,) = Path(folder).glob("minigrad-*.whl")
        site = Path(folder) / "site"
        subprocess.run([*pip, "install", "-q", "--target", str(site), str(wheel)], check=True,
                       stderr=subprocess.DEVNULL)
        installed = sum(f.stat().st_size for f in site.rglob("*") if f.is_file())
        return f"wheel {wheel.stat().st_size / 1e6:.2f} MB, installed with dependencies " \
               f"{installed / 1e6:.0f} MB"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15, help="of the import timing")
    options = parser.parse_args()
    print(import_ratio(options.rounds))
    print(memory_growth())
    print(sizes())


if __name__ == "__main__":
    main()
