"""The figures of notebook 06_mode_collapse: modes lost, and the cures."""

from __future__ import annotations

from collections.abc import Callable

from gans.plots import Drawing

FIGURES: dict[str, Callable[[], Drawing]] = {}
