"""The figures of notebook 03_optimal_discriminator_and_js: D*, KL, JS."""

from __future__ import annotations

from collections.abc import Callable

from gans.plots import Drawing

FIGURES: dict[str, Callable[[], Drawing]] = {}
