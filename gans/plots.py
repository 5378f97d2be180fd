"""Pictures of runs and the parts of figures: grids, curves, scatter plots, densities, bars, tables.

Every function draws on a `Figure` of its own or on a plain array, never through pyplot, so no
window system is needed and no global state is touched. What is called `save_` writes a PNG file
beside its final name and renames it, so a viewer never sees half a picture and a failed write
leaves the old one; the rest gives arrays, or images of Pillow that the caller writes.

The figures of the notebooks (``gans.figures``) are put together from the parts under "parts of
figures": ``drawing`` makes a figure that a notebook shows by itself, the others draw into its axes.

Colours are the set by Okabe and Ito, which colour-blind readers can tell apart; lines differ in
dash as well, for print without colour.

Left out: themes, captions in other scripts than Latin.
"""

from __future__ import annotations

import io
import math
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageFont

BLUE, VERMILION, GREY, BLACK = "#0072B2", "#D55E00", "#8C8C8C", "#222222"
GREEN, ORANGE, SKY, PURPLE = "#009E73", "#E69F00", "#56B4E9", "#CC79A7"
# What sets the lines of one axes apart, in this order: first by colour, in print by dash.
LINES = ((BLUE, "-"), (VERMILION, "--"), (GREEN, "-."), (PURPLE, (0, (1, 1))),
         (ORANGE, (0, (5, 1, 1, 1))), (SKY, (0, (8, 2))), (BLACK, (0, (3, 3))))
_LOSSES, _ANSWERS = ("d_loss", "g_loss", "loss", "reconstruction", "kl"), ("d_real", "d_fake")
_READINGS = ("wasserstein", "slope")  # of critics; each has an axis of its own
RUN_COLUMNS = (*_LOSSES, *_ANSWERS, *_READINGS)  # of a run's log, that its curves show
_SEPARATOR = 128  # grey level between images: visible beside black and beside white
_PAPER, _INK = 225, 20  # grey levels behind tiles with captions, and of the captions
_GAP = 3  # pixels between tiles
_CAPTION = 16  # pixels of a line of text


# ---------------------------------------------------------------------------------------------
# image grids


def to_images(batch: np.ndarray) -> np.ndarray:
    """A network's output as pictures: NCHW floats from -1 to 1 become uint8, channels last.

    Parameters
    ----------
    batch : array, (n, c, h, w) with c = 1 or 3
        The inverse of `images / 127.5 - 1`; values beyond -1 and 1 are cut.

    Returns
    -------
    array, (n, h, w) for one channel, (n, h, w, 3) for three

    Raises
    ------
    ValueError
        For other shapes, integers, or NaN.
    """
    batch = np.asarray(batch)
    if batch.ndim != 4 or batch.shape[1] not in (1, 3):
        raise ValueError(f"to_images: batch must be (n, 1 or 3, h, w), got {batch.shape}")
    if batch.dtype.kind != "f":
        raise ValueError(f"to_images: batch must be floats from -1 to 1, got {batch.dtype}")
    if np.isnan(batch).any():
        raise ValueError("to_images: batch holds NaN; the generator has diverged")
    pixels = np.rint((np.clip(batch, -1.0, 1.0) + 1.0) * 127.5).astype(np.uint8)
    return pixels[:, 0] if pixels.shape[1] == 1 else pixels.transpose(0, 2, 3, 1)


def to_grid(images: np.ndarray, columns: int) -> np.ndarray:
    """Lay images out row by row, with a grey line of one pixel between and around them.

    Parameters
    ----------
    images : uint8 array, (n, h, w) grey or (n, h, w, 3) colour
    columns : int
        Images in a row; the last row may be short, its free places are grey.

    Returns one uint8 array, (rows (h + 1) + 1, columns (w + 1) + 1) and 3 for colour. Raises
    ValueError for other shapes or types, no images, or columns < 1.
    """
    images = np.asarray(images)
    if images.dtype != np.uint8:
        raise ValueError(
            f"to_grid: images must be uint8, got {images.dtype}; to_images brings floats from "
            f"-1 to 1 to uint8"
        )
    if images.ndim not in (3, 4) or (images.ndim == 4 and images.shape[3] != 3):
        raise ValueError(f"to_grid: images must be (n, h, w) or (n, h, w, 3), got {images.shape}")
    if 0 in images.shape:
        raise ValueError(f"to_grid: there is nothing to show in shape {images.shape}")
    if columns < 1:
        raise ValueError(f"to_grid: columns must be at least 1, got {columns}")
    n, h, w = images.shape[:3]
    columns = min(columns, n)
    rows = math.ceil(n / columns)
    size = (rows * (h + 1) + 1, columns * (w + 1) + 1)
    grid = np.full(size + images.shape[3:], _SEPARATOR, dtype=np.uint8)
    for i, image in enumerate(images):
        top, left = i // columns * (h + 1) + 1, i % columns * (w + 1) + 1
        grid[top : top + h, left : left + w] = image
    return grid


def save_grid(
    path: str | os.PathLike, images: np.ndarray, columns: int = 8, scale: int = 1
) -> None:
    """Write `to_grid(images, columns)` as a PNG, every pixel drawn scale x scale.

    Pixels are repeated, not interpolated: what you see is what the network made. Raises
    ValueError as `to_grid`, for scale < 1, and for a path that does not end in .png.
    """
    if scale < 1:
        raise ValueError(f"save_grid: scale must be at least 1, got {scale}")
    grid = to_grid(images, columns).repeat(scale, axis=0).repeat(scale, axis=1)
    _write(path, lambda file: Image.fromarray(grid).save(file, format="png"))


# ---------------------------------------------------------------------------------------------
# tiles: images with a line of text below


def tile_scale(height: int) -> int:
    """How often a pixel is repeated so that a tile is at least 56 pixels high."""
    return math.ceil(56 / height)


def tiles(
    images: np.ndarray,
    captions: Sequence[str] = (),
    *,
    columns: int,
    scale: int = 1,
    first_apart: bool = False,
) -> Image.Image:
    """Images row by row on grey paper, each with its caption below.

    Parameters
    ----------
    images : uint8 array, (n, h, w) grey or (n, h, w, 3) colour
    captions : sequence of n texts, or none
        Letters shrink until a caption is as wide as its image.
    columns : int
        Images in a row; the last row may be short.
    scale : int
        Every pixel is drawn scale x scale.
    first_apart : bool
        Leave a wide gap behind the first column.

    Raises ValueError for other shapes or types, no images, or another number of captions.
    """
    images = np.asarray(images)
    to_grid(images[:1], columns)  # refuses what is no image
    if captions and len(captions) != len(images):
        raise ValueError(f"tiles: {len(images)} images, but {len(captions)} captions")
    parts = [Image.fromarray(x.repeat(scale, axis=0).repeat(scale, axis=1)) for x in images]
    if captions:
        parts = [with_caption(x, text) for x, text in zip(parts, captions, strict=True)]
    rows = []
    for start in range(0, len(parts), columns):
        row = parts[start : start + columns]
        if first_apart and len(row) > 1:
            row = [row[0], side_by_side(row[1:])]
        rows.append(side_by_side(row, gap=5 * _GAP if first_apart else _GAP))
    return stacked(rows)


def with_caption(image: Image.Image, text: str) -> Image.Image:
    """The image with a line of text below, in letters that fit its width."""
    width, height = image.size
    paper = Image.new(image.mode, (width, height + _CAPTION), _grey(image, _PAPER))
    paper.paste(image, (0, 0))
    draw = ImageDraw.Draw(paper)
    for size in range(12, 5, -1):
        font = ImageFont.load_default(size)
        if draw.textlength(text, font=font) <= width:
            break
    middle = (width / 2, height + _CAPTION / 2)
    draw.text(middle, text, fill=_grey(image, _INK), font=font, anchor="mm")
    return paper


def side_by_side(parts: Sequence[Image.Image], *, gap: int = _GAP) -> Image.Image:
    """Images in a row, each in the middle of its height."""
    return _joined(parts, gap, 0)


def stacked(parts: Sequence[Image.Image], *, gap: int = _GAP) -> Image.Image:
    """Images below each other, flush left."""
    return _joined(parts, gap, 1)


def framed(image: Image.Image) -> Image.Image:
    """The image with a margin of paper."""
    paper = Image.new(
        image.mode, (image.width + 2 * _GAP, image.height + 2 * _GAP), _grey(image, _PAPER)
    )
    paper.paste(image, (_GAP, _GAP))
    return paper


def sign(text: str, like: Image.Image) -> Image.Image:
    """A large sign, such as + or =, to stand between parts of the mode of `like`."""
    paper = Image.new(like.mode, (26, 30), _grey(like, _PAPER))
    draw = ImageDraw.Draw(paper)
    draw.text((13, 15), text, fill=_grey(like, _INK), font=ImageFont.load_default(26), anchor="mm")
    return paper


def _joined(parts: Sequence[Image.Image], gap: int, axis: int) -> Image.Image:
    size = [max(part.size[i] for part in parts) for i in (0, 1)]
    size[axis] = sum(part.size[axis] for part in parts) + gap * (len(parts) - 1)
    paper = Image.new(parts[0].mode, tuple(size), _grey(parts[0], _PAPER))
    at = 0
    for part in parts:
        place = (at, (size[1] - part.height) // 2) if axis == 0 else (0, at)
        paper.paste(part, place)
        at += part.size[axis] + gap
    return paper


def _grey(image: Image.Image, level: int) -> int | tuple[int, ...]:
    return level if image.mode == "L" else (level,) * 3


# ---------------------------------------------------------------------------------------------
# figures


def save_curves(
    path: str | os.PathLike,
    log: Mapping[str, Sequence[float]],
    *,
    metrics: Sequence[str] = (),
    floors: Mapping[str, float] | None = None,
    balance: float | None = 2.0 * math.log(2.0),
) -> None:
    """Draw the log of a run: losses, D's answers, and metrics, one above the other.

    Parameters
    ----------
    path : path of a .png file
    log : mapping of column name to values
        Columns of equal length; `step` is the horizontal axis and must be there. Drawn are the
        losses (`d_loss` and `g_loss`; `loss`, `reconstruction` and `kl` of autoencoders), `d_real`
        and `d_fake` (mean D(x) and D(G(z))), `wasserstein` and `slope` of critics, and `metrics`.
        Values may be NaN where nothing was measured. Other columns are left alone.
    metrics : sequence of column names
        Each gets an axis of its own.
    floors : mapping of metric name to value, optional
        What a perfect generator would score: drawn as a line.
    balance : float or None
        The discriminator loss at which D can tell nothing, 2 log 2 = 1.386 for the sum of both
        cross-entropies (0.693 if halved). None for losses that have no such value.

    Thin lines are the values, thick ones their moving average. The axis of the losses shows the
    middle 98 % of values, so that a single jump does not flatten the rest.

    Raises ValueError for a missing `step` or metric column, columns of different length, or a log
    in which there is nothing to draw. Source of the reference line: Goodfellow et al. 2014.
    """
    columns = _columns(log, metrics)
    step = columns["step"]
    pairs = [pair for pair in (_LOSSES, _ANSWERS) if any(name in columns for name in pair)]
    readings = [(name,) for name in _READINGS if name in columns]
    panels = [*pairs, *readings, *((name,) for name in metrics)]
    if not panels:
        raise ValueError(f"save_curves: nothing to draw in the columns {sorted(log)}")
    heights = [3.0] + [2.2] * (len(panels) - 1)
    figure = Figure(figsize=(7.0, 0.6 + sum(heights)), layout="constrained")
    all_axes = figure.subplots(
        len(panels), 1, sharex=True, squeeze=False, gridspec_kw={"height_ratios": heights}
    )[:, 0]
    for axes, names in zip(all_axes, panels, strict=True):
        if names is _LOSSES:
            _draw_losses(axes, step, columns, balance)
        elif names is _ANSWERS:
            _draw_answers(axes, step, columns)
        elif names in readings:
            _draw_line(axes, step, columns[names[0]], BLUE, "-", names[0])
            axes.set_ylabel(names[0])
        else:
            _draw_metric(axes, step, names[0], columns[names[0]], (floors or {}).get(names[0]))
        _plain(axes)
        if len(step):
            axes.set_xlim(step.min(), max(step.max(), step.min() + 1))
    all_axes[-1].set_xlabel("step")
    _write_figure(path, figure)


def save_scatter(
    path: str | os.PathLike,
    samples: np.ndarray,
    real: np.ndarray | None = None,
    centres: np.ndarray | None = None,
) -> None:
    """Draw generated points in the plane over real ones, and the centres of the modes.

    Parameters
    ----------
    path : path of a .png file
    samples, real : array, (n, 2) and (m, 2)
        Real points are grey and lie below; they, or the centres, set the limits of the axes,
        which grow to at most twice that size for samples outside. The share of samples that are
        still outside is written into the corner.
    centres : array, (k, 2), optional
        Drawn as open rings, so that the points in them stay visible.

    Raises ValueError for other shapes, no samples, or NaN among the points.
    """
    samples = _points("samples", samples)
    real = None if real is None else _points("real", real)
    centres = None if centres is None else _points("centres", centres)
    frame = np.concatenate([p for p in (real, centres) if p is not None] or [samples])
    low, high = frame.min(axis=0), frame.max(axis=0)
    middle, half = (low + high) / 2, max(float((high - low).max()) / 2, 1e-6)
    reach = np.abs(samples - middle).max(axis=1)
    half = 1.12 * max(half, min(2.0 * half, float(np.quantile(reach, 0.99))))
    outside = float((reach > half).mean())

    figure = Figure(figsize=(5.4, 5.7), layout="constrained")
    axes = figure.subplots()
    size = float(np.clip(8000 / len(samples), 3, 14))
    if real is not None:
        axes.scatter(*real.T, s=size, c="#BDBDBD", linewidths=0, label="real")
    axes.scatter(*samples.T, s=size, c=BLUE, alpha=0.55, linewidths=0, label="generated")
    if centres is not None:
        axes.scatter(
            *centres.T,
            s=170,
            facecolors="none",
            edgecolors=VERMILION,
            linewidths=1.2,
            label="modes",
        )
    if outside:
        axes.text(
            0.99,
            0.01,
            f"{100 * outside:.2g} % of the generated points lie outside",
            transform=axes.transAxes,
            ha="right",
            va="bottom",
            fontsize=9,
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 2},
        )
    axes.set_xlim(middle[0] - half, middle[0] + half)
    axes.set_ylim(middle[1] - half, middle[1] + half)
    axes.set_aspect("equal")
    _plain(axes)
    legend = axes.legend(
        loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, frameon=False, fontsize=10
    )
    for handle in legend.legend_handles:
        handle.set_alpha(1.0)
        handle.set_sizes([40.0])
    _write_figure(path, figure)


# ---------------------------------------------------------------------------------------------
# parts of a figure


def _columns(log: Mapping[str, Sequence[float]], metrics: Sequence[str]) -> dict[str, np.ndarray]:
    """The columns to draw as float64, all as long as `step`."""
    wanted = ["step", *RUN_COLUMNS, *metrics]
    for name in ("step", *metrics):
        if name not in log:
            raise ValueError(f"save_curves: the log has no column {name!r}, only {sorted(log)}")
    columns = {name: np.asarray(log[name], dtype=np.float64) for name in wanted if name in log}
    for name, values in columns.items():
        if values.shape != columns["step"].shape or values.ndim != 1:
            raise ValueError(
                f"save_curves: column {name!r} has shape {values.shape}, 'step' has "
                f"{columns['step'].shape}; both must be one list of equal length"
            )
    return columns


def _smooth(values: np.ndarray) -> np.ndarray:
    """Centred moving average over a fiftieth of the run; NaN is left out, edges use less."""
    if len(values) == 0:
        return values
    width = max(1, len(values) // 50) | 1  # odd, so that it has a centre
    known = np.isfinite(values)
    kernel = np.ones(width)
    total = np.convolve(np.where(known, values, 0.0), kernel, mode="full")
    count = np.convolve(known.astype(float), kernel, mode="full")
    cut = slice(width // 2, width // 2 + len(values))
    return np.where(count[cut] > 0.5, total[cut] / np.maximum(count[cut], 1.0), np.nan)


def _draw_line(
    axes: Axes, step: np.ndarray, values: np.ndarray, colour: str, dash: str, label: str
) -> None:
    axes.plot(step, values, color=colour, alpha=0.25, linewidth=0.6)
    axes.plot(step, _smooth(values), color=colour, linestyle=dash, linewidth=1.8, label=label)


def _draw_losses(
    axes: Axes, step: np.ndarray, columns: Mapping[str, np.ndarray], balance: float | None
) -> None:
    shown = []
    names = [name for name in _LOSSES if name in columns]
    for name, (colour, dash) in zip(names, LINES, strict=False):
        _draw_line(axes, step, columns[name], colour, dash, name)
        shown.append(columns[name][np.isfinite(columns[name])])
    if balance is not None and "d_loss" in columns:
        level(axes, balance, f"D cannot tell: {balance:.3f}")
        shown.append(np.array([balance]))
    values = np.concatenate(shown)
    if len(values):
        low, high = np.quantile(values, [0.01, 0.99])
        if balance is not None and "d_loss" in columns:
            low, high = min(low, balance), max(high, balance)
        margin = 0.08 * (high - low) or 0.1
        axes.set_ylim(low - margin, high + margin)
    axes.set_ylabel("loss")


def _draw_answers(axes: Axes, step: np.ndarray, columns: Mapping[str, np.ndarray]) -> None:
    lines = (("d_real", BLUE, "-", "D(x), real"), ("d_fake", VERMILION, "--", "D(G(z)), generated"))
    for name, colour, dash, label in lines:
        if name in columns:
            _draw_line(axes, step, columns[name], colour, dash, label)
    level(axes, 0.5, "cannot tell: 0.5")
    axes.set_ylim(-0.03, 1.03)
    axes.set_ylabel("mean answer of D")


def _draw_metric(
    axes: Axes, step: np.ndarray, name: str, values: np.ndarray, floor: float | None
) -> None:
    known = np.isfinite(values)
    axes.plot(
        step[known],
        values[known],
        color=BLUE,
        linewidth=1.8,
        marker="o",
        markersize=4,
        clip_on=False,
        zorder=3,
    )
    if floor is not None:
        level(axes, floor, f"real data: {floor:.3g}")
    axes.set_ylabel(name)


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#E4E4E4", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=9)
    if axes.get_legend_handles_labels()[1] and axes.get_ylabel():
        axes.legend(
            loc="lower right",
            bbox_to_anchor=(1.0, 1.0),
            ncols=3,
            frameon=False,
            fontsize=9,
            borderaxespad=0.1,
            columnspacing=1.4,
        )


def _points(name: str, points: np.ndarray) -> np.ndarray:
    points = np.asarray(points, dtype=np.float64)
    if points.ndim != 2 or points.shape[1] != 2 or len(points) == 0:
        raise ValueError(f"save_scatter: {name} must be (n, 2) with n >= 1, got {points.shape}")
    if not np.isfinite(points).all():
        raise ValueError(f"save_scatter: {name} hold NaN or infinity")
    return points


# ---------------------------------------------------------------------------------------------
# parts of figures


class Drawing(Figure):
    """A figure that a notebook shows as a picture when it is the last line of a cell."""

    def _repr_png_(self) -> bytes:
        return self.png()

    def png(self, dpi: int = 96) -> bytes:
        """The picture as the content of a PNG file; equal drawings are equal bytes."""
        content = io.BytesIO()
        self.savefig(content, format="png", dpi=dpi, metadata={"Software": None})
        return content.getvalue()

    def save(self, path: str | os.PathLike) -> None:
        """Write a PNG file for print; ValueError for a name that ends otherwise."""
        content = self.png(dpi=200)
        _write(path, lambda file: file.write(content))


def drawing(
    rows: int = 1,
    columns: int = 1,
    *,
    title: str = "",
    width: float = 7.2,
    height: float = 2.8,
    sharex: bool = False,
    sharey: bool = False,
) -> tuple[Drawing, np.ndarray]:
    """A new figure and its axes, (rows, columns), each row ``height`` inches high.

    ``title`` says in one line what the figure shows: the story must be readable from pictures.
    """
    figure = Drawing(figsize=(width, rows * height + (0.4 if title else 0.0)),
                     layout="constrained")
    if title:
        figure.suptitle(title, fontsize=11, x=0.01, ha="left")
    return figure, figure.subplots(rows, columns, squeeze=False, sharex=sharex, sharey=sharey)


def curves(axes: Axes, x: np.ndarray, lines: Mapping[str, np.ndarray], *, start: int = 0) -> None:
    """Lines over ``x`` by their labels, told apart by colour and dash, from style ``start`` on."""
    for i, (label, y) in enumerate(lines.items()):
        colour, dash = LINES[(start + i) % len(LINES)]
        axes.plot(x, y, color=colour, linestyle=dash, linewidth=1.8, label=label)


def density(axes: Axes, x: np.ndarray, y: np.ndarray, label: str, style: int = 0) -> None:
    """A density over ``x``: a line with the mass below it shaded. ``style`` counts as in LINES."""
    colour, dash = LINES[style % len(LINES)]
    axes.fill_between(x, y, color=colour, alpha=0.18, linewidth=0)
    axes.plot(x, y, color=colour, linestyle=dash, linewidth=1.8, label=label)


def level(axes: Axes, value: float, label: str = "", *, vertical: bool = False) -> None:
    """A thin dotted line across the axes at a value to compare with."""
    line = axes.axvline if vertical else axes.axhline
    line(value, color=BLACK, linewidth=0.9, linestyle=(0, (1, 2)), label=label or None)


def points(
    axes: Axes,
    samples: np.ndarray,
    real: np.ndarray | None = None,
    centres: np.ndarray | None = None,
    *,
    size: float = 4.0,
) -> None:
    """Generated points in the plane, (n, 2), over grey real ones and rings around the modes."""
    if real is not None:
        axes.scatter(*_points("real", real).T, s=size, c="#BDBDBD", linewidths=0, label="real")
    axes.scatter(*_points("samples", samples).T, s=size, c=BLUE, alpha=0.55, linewidths=0,
                 label="generated")
    if centres is not None:
        axes.scatter(*_points("centres", centres).T, s=90, facecolors="none",
                     edgecolors=VERMILION, linewidths=1.0, label="modes")
    axes.set_aspect("equal")


def bars(
    axes: Axes,
    values: Mapping[str, float],
    errors: Mapping[str, float] | None = None,
    *,
    colours: Mapping[str, str] | None = None,
) -> None:
    """Horizontal bars by their labels, the first on top, with whiskers of ``errors`` either way."""
    names = list(values)
    places = np.arange(len(names))[::-1]
    axes.barh(places, list(values.values()), height=0.62,
              color=[(colours or {}).get(name, BLUE) for name in names],
              xerr=None if errors is None else [errors.get(name, 0.0) for name in names],
              ecolor=BLACK, capsize=2.5)
    axes.set_yticks(places, names)


def table(
    axes: Axes,
    values: np.ndarray,
    *,
    rows: Sequence[str] = (),
    columns: Sequence[str] = (),
    form: str = "{:.2g}",
    highest: float | None = None,
) -> None:
    """A matrix as coloured cells, each with its number written in it by ``form``.

    ``rows`` and ``columns`` name them; ``form`` of "" writes no numbers; ``highest`` is the value
    of the darkest colour (that of the largest cell).
    """
    values = np.asarray(values, dtype=np.float64)
    highest = float(np.nanmax(np.abs(values))) if highest is None else highest
    signed = bool((values < 0).any())
    axes.imshow(values, cmap="PuOr" if signed else "Blues", aspect="auto",
                vmin=-highest if signed else 0.0, vmax=highest or 1.0)
    axes.set_xticks(range(len(columns)), columns)
    axes.set_yticks(range(len(rows)), rows)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    for (i, j), number in np.ndenumerate(values):
        if form and np.isfinite(number):
            dark = abs(number) > 0.6 * highest
            axes.text(j, i, form.format(number), ha="center", va="center", fontsize=9,
                      color="white" if dark else BLACK)


def pictures(
    axes: Axes, images: np.ndarray, columns: int, *, rows: Sequence[str] = ()
) -> None:
    """uint8 images, (n, h, w) or (n, h, w, 3), as one grid, with a name beside each row."""
    grid = to_grid(images, columns)
    axes.imshow(grid, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    height = images.shape[1] + 2
    places = [i * grid.shape[0] / max(1, len(rows)) + height / 2 for i in range(len(rows))]
    axes.set_xticks([])
    axes.set_yticks(places, rows)
    axes.tick_params(length=0, labelsize=9)
    axes.spines[:].set_visible(False)


def finish(axes: Axes, *, title: str = "", x: str = "", y: str = "", legend: str = "") -> None:
    """Labels and the house's plain frame; ``legend`` is a place such as "upper right", or none."""
    axes.set_title(title, fontsize=10)
    axes.set_xlabel(x, fontsize=9)
    axes.set_ylabel(y, fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#E4E4E4", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=8)
    if legend:
        axes.legend(loc=legend, frameon=False, fontsize=8)


# ---------------------------------------------------------------------------------------------
# files


def _write_figure(path: str | os.PathLike, figure: Figure) -> None:
    # Without the version of matplotlib in it, equal figures are equal files.
    def save(file: BinaryIO) -> None:
        figure.savefig(file, format="png", dpi=150, metadata={"Software": None})

    _write(path, save)


def _write(path: str | os.PathLike, save: Callable[[BinaryIO], None]) -> None:
    """Let `save` write a temporary file in the same folder, then rename it to `path`."""
    path = Path(path)
    if path.suffix.lower() != ".png":
        raise ValueError(f"pictures are written as PNG: the name must end in .png, got {path.name}")
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            save(file)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
