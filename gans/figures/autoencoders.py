"""The figures of notebook 10_vae_and_autoencoders."""

from __future__ import annotations

from collections.abc import Callable

from gans.plots import Drawing

FIGURES: dict[str, Callable[[], Drawing]] = {}
