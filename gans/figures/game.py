"""The figures of notebook 02_minimax_game: two players, saddle points, min-max against max-min."""

from __future__ import annotations

from collections.abc import Callable

from gans.plots import Drawing

FIGURES: dict[str, Callable[[], Drawing]] = {}
