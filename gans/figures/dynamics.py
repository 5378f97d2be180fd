"""The figures of notebook 05_training_dynamics: Goodfellow's figure 1 and the four sicknesses."""

from __future__ import annotations

from collections.abc import Callable

from gans.plots import Drawing

FIGURES: dict[str, Callable[[], Drawing]] = {}
