"""cupusim: the unmodified CuPy wheel on a CPU "device"; no GPU, driver or CUDA toolkit is needed.

Real are CuPy's Python and Cython host code: rules for dtypes and shapes, errors, the memory pool,
the streams API and the CUDA C++ that it generates. Stand-ins are the parts below it: g++ for NVRTC,
a scheduler that runs blocks and threads one after another for the GPU, plain loops for cuBLAS and
cuRAND, host memory for device memory. Launches, copies and synchronisations are counted.

    import cupusim
    cupusim.install()  # before the first `import cupy`
    import cupy as cp

    with cupusim.trace() as t:
        y = cp.tanh(cp.arange(6, dtype="float32")).sum()
    t.names          # ['cupy_arange__float_float_float32', ..., 'cupy_sum']
    t.delta["sync"]  # 0

Left out on purpose: data races, hazards between streams, TF32, the order of a card's sums, running
out of device memory, speed. What it shows is evidence about the CuPy path, never a test on a GPU.
"""

from __future__ import annotations

import ctypes
import importlib.metadata
import os
import platform
import shlex
import shutil
import sys
from collections import Counter

from . import libraries, wrappers

__all__ = ["CUPY_VERSION", "counters", "install", "installed", "missing", "order", "trace"]

CUPY_WHEEL = "cupy-cuda13x"
CUPY_VERSION = "14.2.0"

# The order of `enum Counter` in device.h. "launch" counts kernels. cuBLAS calls ("gemm") and fills
# ("memset") are launches on a card too and are counted apart; cuRAND calls are not counted.
# "malloc", "bytes_live" and "bytes_peak" count what CuPy's memory pool takes from the device: an
# array that fits into a free block of the pool adds nothing.
COUNTERS = (
    "launch",
    "h2d",
    "d2h",
    "d2d",
    "sync",
    "malloc",
    "bytes_live",
    "bytes_peak",
    "h2d_bytes",
    "d2h_bytes",
    "memset",
    "gemm",
)

_device: ctypes.CDLL | None = None


def missing() -> str | None:
    """What keeps cupusim from running here and what to do about it, or None when nothing does."""
    if not sys.platform.startswith("linux") or platform.machine() != "x86_64":
        return f"cupusim runs on Linux x86-64 only, this is {sys.platform} {platform.machine()}"
    try:
        version = importlib.metadata.version(CUPY_WHEEL)
    except importlib.metadata.PackageNotFoundError:
        return f'{CUPY_WHEEL} is not installed: pip install -e ".[gpu-test]"'
    if version != CUPY_VERSION:
        return f"cupusim is made for {CUPY_WHEEL} {CUPY_VERSION}, found {version}"
    for tool in (shlex.split(os.environ.get("CXX") or "g++")[0], "nm"):
        if shutil.which(tool) is None:
            return f"cupusim needs {tool}, which is not on the PATH (Debian: build-essential)"
    return None


def installed() -> bool:
    """Whether `install` has run in this process, so that "cupy" means the CPU device."""
    return _device is not None


def install(cache: str | None = None) -> None:
    """Build the stand-ins (the first time), load them and put them under CuPy. Again: no effect.

    `cache` is the folder for everything compiled; the default is the environment variable
    CPUSIM_CACHE, else `cupusim-UID` in the temporary folder. It may be deleted between runs.

    Raises RuntimeError where something is missing, or when cupy has been imported before.
    """
    global _device
    if _device is not None:
        return
    reason = missing()
    if reason:
        raise RuntimeError(reason)
    if "cupy" in sys.modules:
        raise RuntimeError("cupusim.install() must run before the first `import cupy`")
    build = libraries.build_folder(cache, CUPY_VERSION)
    os.environ.update(
        CPUSIM_BUILD=build,
        CPUSIM_HOME=libraries.HOME,
        CUDA_PATH=os.path.join(libraries.HOME, "fakecuda"),
        CUDA_HOME=os.path.join(libraries.HOME, "fakecuda"),
        CUPY_ACCELERATORS="",  # CUB and cuTENSOR are precompiled CUDA code
        CUPY_CACHE_IN_MEMORY="1",  # one cache on disk is enough, and it is the stand-in's
    )
    device = libraries.load(build)
    wrappers.repoint_runtime(device)
    _device = device
    wrappers.block_precompiled()


def _installed_device() -> ctypes.CDLL:
    if _device is None:
        raise RuntimeError("cupusim.install() has not run")
    return _device


def counters() -> dict[str, int]:
    """All counters since `install`, by name."""
    values = (ctypes.c_long * 16).in_dll(_installed_device(), "cpusim_counters")
    return dict(zip(COUNTERS, values, strict=False))


class order:
    """Set the order in which simulated threads run: results must not depend on it.

    Parameters
    ----------
    reverse : run blocks and threads from the last to the first.
    lanes : number of simulated threads of elementwise kernels (each loops over its share).

    As a plain call it holds until the next one (`order()` is the default); as a context manager it
    restores what was set before.
    """

    def __init__(self, reverse: bool = False, lanes: int = 1) -> None:
        if not 1 <= lanes <= 1024:
            raise ValueError(f"lanes is the size of a thread block, 1 to 1024; got {lanes}")
        self._before = (self._reverse().value, self._lanes().value)
        self._reverse().value, self._lanes().value = int(reverse), lanes

    @staticmethod
    def _reverse() -> ctypes.c_int:
        return ctypes.c_int.in_dll(_installed_device(), "cpusim_reverse")

    @staticmethod
    def _lanes() -> ctypes.c_uint:
        return ctypes.c_uint.in_dll(_installed_device(), "cpusim_lanes")

    def __enter__(self) -> order:
        return self

    def __exit__(self, *exception) -> None:
        self._reverse().value, self._lanes().value = self._before


class trace:
    """Count what a block of code does: `with trace() as t: ...`, may be nested.

    Attributes (after the block)
    ----------------------------
    names : list of str, the kernels launched, in order.
    delta : Counter, how much each counter of `COUNTERS` grew; 0 for one that did not.
    """

    names: list[str]
    delta: Counter

    def __enter__(self) -> trace:
        device = _installed_device()
        device.cpusim_log_open.restype = device.cpusim_log_size.restype = ctypes.c_size_t
        device.cpusim_log_name.argtypes = [ctypes.c_size_t]
        device.cpusim_log_name.restype = ctypes.c_char_p
        self._start = device.cpusim_log_open()
        self._before = counters()
        return self

    def __exit__(self, *exception) -> None:
        device, after = _installed_device(), counters()
        growth = {name: after[name] - self._before[name] for name in COUNTERS}
        self.delta = Counter({name: amount for name, amount in growth.items() if amount})
        positions = range(self._start, device.cpusim_log_size())
        self.names = [device.cpusim_log_name(i).decode() for i in positions]
        device.cpusim_log_close()
