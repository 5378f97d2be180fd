"""For tests that run the same thing on two devices."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from minigrad import backend, random


@contextmanager
def working_on(device, g: np.random.Generator) -> Iterator[None]:
    """Inside, new tensors are made there, as under MINIGRAD_DEVICE, and g draws the numbers."""
    before = random.set_generator(g)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINIGRAD_DEVICE", device.name)
        backend.default_device.cache_clear()
        try:
            yield
        finally:
            patch.undo()
            backend.default_device.cache_clear()
            random.set_generator(before)
