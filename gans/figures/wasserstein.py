"""The figures of notebook 07_wasserstein: earth movers, W against JS, clipping against penalty."""

from __future__ import annotations

from collections.abc import Callable

from gans.plots import Drawing

FIGURES: dict[str, Callable[[], Drawing]] = {}
