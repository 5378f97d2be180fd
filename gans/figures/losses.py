"""The figures of notebook 04_generator_losses: saturation and the three costs."""

from __future__ import annotations

from collections.abc import Callable

from gans.plots import Drawing

FIGURES: dict[str, Callable[[], Drawing]] = {}
