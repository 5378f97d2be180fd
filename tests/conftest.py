"""What every test starts from: repeatable draws, no window system, nothing left over."""

import os
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

# Figures are written to files, also where a test starts a child process.
os.environ.setdefault("MPLBACKEND", "Agg")

if "PYTEST_XDIST_WORKER" in os.environ:  # one of several processes, which share the cores already
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With ``-n``, each file is run by one process: its fixtures are made once, its tests in order.

    The files themselves are handed out in their order too, so that the long ones come early.
    """
    from xdist.scheduler import LoadFileScheduling  # here only: pytest runs without it too

    config.option.loadscopereorder = False  # by the number of their tests, which tells no time
    return LoadFileScheduling(config, log)

settings.register_profile(
    "minigrad",
    deadline=None,  # a shared core makes any time limit a false alarm
    derandomize=True,  # the same examples in every run and on every machine
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("minigrad")


@pytest.fixture(autouse=True)
def fresh_engine() -> Iterator[None]:
    """Every test starts at seed 0 and with the engine's own settings, whatever ran before it."""
    engine = sys.modules.get("minigrad")  # tests of the source do without it
    if engine is not None:
        engine.manual_seed(0)
        threads = engine.kernels.parallel._threads
        before = threads[:]
    yield
    if engine is not None:
        engine.set_default_dtype("float32")
        engine.course_mode(False)
        if threads != before:
            threads[:] = before
            engine.set_threads(engine.get_threads())  # BLAS follows
            threads[:] = before
