"""The figures of notebook 01_autograd_tour: gradients, graphs, second order."""

from __future__ import annotations

from collections.abc import Callable

from gans.plots import Drawing

FIGURES: dict[str, Callable[[], Drawing]] = {}
