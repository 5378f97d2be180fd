"""The figures of notebook 09_batch_norm_in_gans: the batch leaks into the sample."""

from __future__ import annotations

from collections.abc import Callable

from gans.plots import Drawing

FIGURES: dict[str, Callable[[], Drawing]] = {}
