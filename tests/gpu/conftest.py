"""Fixtures for tests of the CuPy path, with a real GPU or with cupusim, the stand-in for one.

A test asks for the fixture `cp` and gets the module cupy. It never imports cupy itself: cupusim has
to be installed first. `trace` counts launches, copies and synchronisations, `cupusim` is the
stand-in's module; tests that use one of these two are left out on a real GPU, which cannot count.

Environment
-----------
MINIGRAD_DEVICE=cuda : the tests must run on a real GPU; without one they fail.
MINIGRAD_GPU_TESTS=required : fail, not skip, where there is neither a GPU nor what cupusim needs.
MINIGRAD_GPU_TESTS=cupusim : the same, and use cupusim even where there is a GPU.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
if str(HERE) not in sys.path:  # whatever import mode pytest runs in
    sys.path.insert(0, str(HERE))

standin = importlib.import_module("cupusim")

MODES = ("", "required", "cupusim")

# Runs apart: asking the driver here would load it, and then cupusim could not take its place.
FIND_CARD = """
import ctypes, sys
try:
    driver = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
except OSError:
    sys.exit(1)
count = ctypes.c_int(0)
failed = driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count))
sys.exit(1 if failed or not count.value else 0)
"""

_where: str | None = None  # what the tests ran on, for the summary


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark this directory's tests, and run them first: before something else imports cupy."""
    ours = [item for item in items if HERE in item.path.parents]
    others = [item for item in items if HERE not in item.path.parents]
    for item in ours:
        item.add_marker(pytest.mark.gpu)
    if ours and on_card():
        counting = [item for item in ours if "cupusim" in getattr(item, "fixturenames", ())]
        config.hook.pytest_deselected(items=counting)
        ours = [item for item in ours if item not in counting]
    items[:] = ours + others


def pytest_terminal_summary(terminalreporter) -> None:
    if _where:
        terminalreporter.write_line(f"tests/gpu: {_where}")


def card_wanted() -> bool:
    return os.environ.get("MINIGRAD_DEVICE", "").startswith("cuda")


@functools.cache
def on_card() -> bool:
    """Whether the tests run on a real GPU, or fail for want of one, and not on cupusim."""
    if card_wanted() or mode() == "cupusim":
        return card_wanted()
    return subprocess.run([sys.executable, "-c", FIND_CARD]).returncode == 0


def mode() -> str:
    value = os.environ.get("MINIGRAD_GPU_TESTS", "")
    if value not in MODES:
        raise pytest.UsageError(f"MINIGRAD_GPU_TESTS={value!r}: known are {MODES[1:]}")
    return value


def missing() -> str | None:
    """What has to be installed before the tests can run."""
    if not on_card():
        return standin.missing()
    if importlib.util.find_spec("cupy") is None:
        return 'CuPy is not installed: pip install -e ".[cupy]"'
    return None


@pytest.fixture(scope="session")
def cp():
    """The module cupy, on a real GPU or on cupusim."""
    global _where
    if reason := missing():
        _where = f"not run: {reason}"
        if mode() or card_wanted():
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    if not on_card():
        standin.install()
    import cupy

    try:
        cupy.zeros(1).sum().item()  # compiles, launches, copies back
    except Exception as error:
        _where = f"not run: {type(error).__name__}: {error}"
        pytest.fail(f"CuPy finds no working GPU: {type(error).__name__}: {error}", pytrace=False)
    name = cupy.cuda.runtime.getDeviceProperties(0)["name"].decode()
    _where = f"CuPy {cupy.__version__} on {name}" + ("" if on_card() else ", which is not a GPU")
    return cupy


@pytest.fixture(scope="session")
def cupusim(cp):
    """The stand-in's module: `counters`, `order`, `trace`. Its tests are left out on a real GPU."""
    if not standin.installed():
        pytest.fail("a real GPU counts nothing: name the fixture cupusim or trace as an argument")
    return standin


@pytest.fixture(scope="session")
def trace(cupusim):
    """`with trace() as t: ...`, then `t.names` and `t.delta`; see `cupusim.trace`."""
    return cupusim.trace


@pytest.fixture(autouse=True)
def _every_test(cp):
    """Every test here needs CuPy, and leaves the stand-in in its default thread order."""
    yield
    if standin.installed():
        standin.order()
