"""The figures of guide/kernels.md; they are written beside this file.

Run::

    python docs/figures/kernels.py

Everything is drawn in units of one cell, so that the sizes in a figure are those of its arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, Rectangle

HERE = Path(__file__).resolve().parent
INK, LINE, PALE, WHITE = "#222222", "#8a8a8a", "#e4e4e4", "#ffffff"
# Okabe and Ito's colours, told apart by everybody, and the same as a wash behind text.
BLUE, ORANGE, GREEN, RED = "#0072b2", "#d98200", "#009e73", "#c0392b"
DARK = {BLUE: "#00486f", ORANGE: "#7d4a00", GREEN: "#005a42"}  # for letters
WASH = {BLUE: "#cfe5f3", ORANGE: "#fbe3b8", GREEN: "#c9ebdf", RED: "#f6d3cd"}


def canvas(width: float, height: float, inches: float) -> tuple[Figure, Axes]:
    """A blank page of width x height cells, ``inches`` wide; rows are counted downwards."""
    figure = plt.figure(figsize=(inches, inches * height / width))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(height, 0), aspect="equal")
    axes.axis("off")
    return figure, axes


def box(axes: Axes, x: float, y: float, w: float, h: float, fill: str = WHITE,
        edge: str = LINE, line: float = 0.7, **style: object) -> None:
    """A rectangle whose upper left corner is (x, y)."""
    axes.add_patch(Rectangle((x, y), w, h, facecolor=fill, edgecolor=edge, linewidth=line, **style))


def text(axes: Axes, x: float, y: float, words: str, size: float = 9, **style: object) -> None:
    axes.text(x, y, words, **{"ha": "center", "va": "center", "fontsize": size, "color": INK,
                              **style})


def arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float], colour: str = INK,
          line: float = 1.2, head: float = 9) -> None:
    axes.add_patch(FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=head, color=colour,
                                   linewidth=line, shrinkA=0, shrinkB=0))


def grid(axes: Axes, x: float, y: float, words: Sequence[Sequence[str]], w: float = 1, h: float = 1,
         fill: Callable[[int, int], str] = lambda i, j: WHITE, size: float = 8) -> None:
    """A matrix of cells with a text in each."""
    for i, row in enumerate(words):
        for j, word in enumerate(row):
            box(axes, x + j * w, y + i * h, w, h, fill(i, j))
            text(axes, x + (j + 0.5) * w, y + (i + 0.5) * h, word, size)


def im2col() -> Figure:
    """An image of 4 x 4 pixels, two filters of 3 x 3: four windows are four rows."""
    side, k, filters = 4, 3, 2
    out = side - k + 1
    windows = [(i, j) for i in range(out) for j in range(out)]
    taps = [(p, q) for p in range(k) for q in range(k)]
    colours = [BLUE, ORANGE, GREEN, RED]
    shared = 5  # the first pixel that lies in every window
    figure, axes = canvas(33.4, 12.0, 10.5)
    middle, tall = 6.0, 1.6
    top = middle - tall * len(windows) / 2

    def mark(x: float, y: float, w: float = 1, h: float = 1) -> None:
        box(axes, x, y, w, h, "none", INK, 1.8, zorder=3)

    left, up = 0.5, middle - side / 2
    grid(axes, left, up, [[str(i * side + j) for j in range(side)] for i in range(side)], size=9)
    mark(left + shared % side, up + shared // side)
    text(axes, left + side / 2, up - 0.8, "image")
    text(axes, left + side / 2, up + side + 0.8, "4 × 4, c = 1")

    small = 0.33
    thumbs, matrix = 6.0, 8.0
    arrow(axes, (left + side + 0.3, middle), (thumbs - 0.25, middle))
    for row, (i, j) in enumerate(windows):
        y = top + row * tall
        up = y + (tall - side * small) / 2
        for a in range(side):
            for b in range(side):
                inside = i <= a < i + k and j <= b < j + k
                box(axes, thumbs + b * small, up + a * small, small, small,
                    WASH[colours[row]] if inside else WHITE, line=0.4)
        box(axes, thumbs + j * small, up + i * small, k * small, k * small, "none", colours[row],
            1.6)
        for column, (p, q) in enumerate(taps):
            pixel = (i + p) * side + j + q
            box(axes, matrix + column, y, 1, tall, WASH[colours[row]])
            text(axes, matrix + column + 0.5, y + tall / 2, str(pixel), 9)
    for row, (i, j) in enumerate(windows):
        column = taps.index((shared // side - i, shared % side - j))
        mark(matrix + column, top + row * tall, 1, tall)
    text(axes, thumbs + 0.66, top - 0.8, "windows")
    text(axes, matrix + len(taps) / 2, top - 0.8, "columns, one window a row")
    bottom = top + tall * len(windows) + 0.8
    text(axes, matrix + len(taps) / 2, bottom, "(n · oh · ow) × (c · kh · kw)  =  4 × 9")

    weight = matrix + len(taps) + 1.8
    text(axes, weight - 0.9, middle, "×", 14)
    up, wide = middle - len(taps) / 2, 1.4
    grid(axes, weight, up, [[f"$w^{f}_{{{p}{q}}}$" for f in range(filters)]
                             for p, q in taps], wide, size=9)
    text(axes, weight + wide, up - 0.8, "weight, one filter a column")
    text(axes, weight + wide, up + len(taps) + 0.8, "(c · kh · kw) × o  =  9 × 2")

    result = weight + filters * wide + 1.8
    text(axes, result - 0.9, middle, "=", 14)
    for row, (i, j) in enumerate(windows):
        for f in range(filters):
            box(axes, result + f * wide, top + row * tall, wide, tall, WASH[colours[row]])
            text(axes, result + (f + 0.5) * wide, top + (row + 0.5) * tall, f"$y^{f}_{{{i}{j}}}$",
                 9)
    text(axes, result + wide, top - 0.8, "result")
    text(axes, result + wide, bottom, "4 × 2")

    planes = result + filters * wide + 2.0
    arrow(axes, (planes - 1.7, middle), (planes - 0.3, middle))
    step = 1.3
    for f, up in enumerate((middle - 3.3, middle + 0.7)):
        for row, (i, j) in enumerate(windows):
            box(axes, planes + j * step, up + i * step, step, step, WASH[colours[row]])
            text(axes, planes + (j + 0.5) * step, up + (i + 0.5) * step,
                 f"$y^{f}_{{{i}{j}}}$", 9)
        text(axes, planes + out * step + 0.3, up + step, f"filter {f}", 9, ha="left")
    text(axes, planes + step, top - 0.8, "as images")
    text(axes, planes + step, bottom, "2 × 2, o = 2")
    return figure


def adjoint() -> Figure:
    """A filter of three taps at stride 2 on seven pixels: its matrix, and the transposed one."""
    size, k, stride = 7, 3, 2
    out = (size - k) // stride + 1
    colours = [BLUE, ORANGE, GREEN]
    figure, axes = canvas(25.4, 15.6, 9.2)
    middle = 5.6

    def tap(i: int, j: int) -> int | None:
        """Which tap result i lays on pixel j."""
        return j - stride * i if 0 <= j - stride * i < k else None

    def matrix(x: float, transposed: bool) -> None:
        rows, columns = (size, out) if transposed else (out, size)
        y = middle - rows / 2
        for a in range(rows):
            for b in range(columns):
                t = tap(b, a) if transposed else tap(a, b)
                box(axes, x + b, y + a, 1, 1, WHITE if t is None else WASH[colours[t]])
                if t is None:
                    text(axes, x + b + 0.5, y + a + 0.5, "0", 8, color="#b5b5b5")
                else:
                    text(axes, x + b + 0.5, y + a + 0.5, f"$w_{t}$", 10, color=DARK[colours[t]])

    def vector(x: float, name: str, count: int) -> None:
        grid(axes, x, middle - count / 2, [[f"${name}_{i}$"] for i in range(count)], 1.1, size=10)

    def graph(left: float, back: bool, pixel: str) -> None:
        """Who touches whom, under a matrix."""
        high, low, step = 11.0, 14.0, 1.55
        place = [left + j * step for j in range(size)]
        centre = [left + (stride * i + 1) * step for i in range(out)]
        for i in range(out):
            for j in range(size):
                t = tap(i, j)
                if t is None:
                    continue
                # ends stand apart where several arrows meet
                meet = [b for b in range(out) if tap(b, j) is not None]
                at_pixel = place[j] + 0.22 * (2 * meet.index(i) - len(meet) + 1)
                at_result = centre[i] + 0.3 * (t - 1)
                ends = (at_pixel, high + 0.5), (at_result, low - 0.5)
                arrow(axes, *(ends[::-1] if back else ends), colours[t], 1.4, 10)
                text(axes, (at_pixel + at_result) / 2 + 0.22 + 0.2 * (t == 2),
                     (high + low) / 2 - 0.2 * (t == 1), f"$w_{t}$", 8, ha="left",
                     color=DARK[colours[t]])
        for names, xs, y in ((pixel, place, high), ("y", centre, low)):
            for i, x in enumerate(xs):
                box(axes, x - 0.5, y - 0.5, 1, 1, WHITE, INK, 1)
                text(axes, x, y, f"${names}_{i}$", 10)

    left, right = 0.8, 14.6
    text(axes, left + 5.2, 0.8, r"convolution, $y = A\,x$: every $y_i$ gathers a window", 11)
    vector(left, "y", out)
    text(axes, left + 1.75, middle, "=", 13)
    matrix(left + 2.4, False)
    vector(left + 2.4 + size + 0.4, "x", size)
    graph(left + 0.55, False, "x")
    text(axes, left + 5.2, 15.1, r"$y_1 = w_0\,x_2 + w_1\,x_3 + w_2\,x_4$", 10)

    text(axes, right + 5.2, 0.8, r"its adjoint, $z = A^{\mathsf{T}} y$: every $y_i$ feeds a window",
         11)
    inset = right + 1.7
    vector(inset, "z", size)
    text(axes, inset + 1.75, middle, "=", 13)
    matrix(inset + 2.4, True)
    vector(inset + 2.4 + out + 0.4, "y", out)
    graph(right + 0.55, True, "z")
    text(axes, right + 5.2, 15.1, r"$z_2 = w_2\,y_0 + w_0\,y_1$", 10)
    axes.plot([13.0, 13.0], [0.5, 15.3], color=PALE, linewidth=1)
    return figure


def winograd() -> Figure:
    """A 4 x 4 convolution with stride 2 and padding 1 of 8 x 8 pixels: what becomes of a tile."""
    figure, axes = canvas(36.4, 15.2, 10.5)
    top, side = 6.3, 5.0
    middle, under = top + side / 2, top + side + 0.7

    def squares(x: float, y: float, count: int, cell: float, fill: Callable[[int, int], str],
                line: float = 0.6) -> None:
        for i in range(count):
            for j in range(count):
                box(axes, x + j * cell, y + i * cell, cell, cell, fill(i, j), line=line)

    def caption(x: float, name: str, size: str, y: float = under) -> None:
        text(axes, x, y, name, 10, weight="bold")
        text(axes, x, y + 0.95, size, 9)

    def nine(x: float, w: float, h: float, rows: int, colour: str, wash: str) -> float:
        """Nine matrices in a square of three by three; a row of each is the tile's."""
        gap = (side - 3 * h) / 2 if h * 3 < side else 0.2
        start = middle - (3 * h + 2 * gap) / 2
        for i in range(3):
            for j in range(3):
                a, b = x + j * (w + 0.3), start + i * (h + gap)
                if rows:
                    for row in range(rows):
                        box(axes, a, b + row * h / rows, w, h / rows, WHITE if row else wash,
                            line=0.5)
                box(axes, a, b, w, h, "none" if rows else wash, colour, 1.2)
        return 3 * w + 0.6

    # the image, in pixels; a ring of zeros around it
    x = 0.7
    cell = side / 10

    def pixel(i: int, j: int) -> str:
        if i < 6 and j < 6:
            return WASH[ORANGE]
        return PALE if i in (0, 9) or j in (0, 9) else WHITE

    squares(x, top, 10, cell, pixel, 0.4)
    box(axes, x + cell, top + cell, 8 * cell, 8 * cell, "none", INK, 1)
    box(axes, x, top, 6 * cell, 6 * cell, "none", ORANGE, 2)
    caption(x + side / 2, "image, padded", "10 × 10 pixels, $c$ channels")
    arrow(axes, (x + side + 0.3, middle), (x + side + 1.7, middle))
    text(axes, x + side + 1.0, middle - 1.0, "space\nto depth", 8)

    # the same numbers in blocks
    x += side + 2.0
    squares(x, top, 5, side / 5, lambda i, j: WASH[ORANGE] if i < 3 and j < 3 else WHITE)
    box(axes, x, top, 0.6 * side, 0.6 * side, "none", ORANGE, 2)
    box(axes, x + 0.4 * side, top, 0.6 * side, 0.6 * side, "none", INK, 1.3, linestyle=(0, (4, 3)))
    caption(x + side / 2, "blocks", "5 × 5 blocks, $4c$ channels")
    arrow(axes, (x + side + 0.3, middle), (x + side + 2.6, middle))
    text(axes, x + side + 1.45, middle - 0.7, "differences", 8)

    x += side + 2.9
    width = nine(x, 1.35, 1.0, 4, ORANGE, WASH[ORANGE])
    first = x
    caption(x + width / 2, "$V$", r"9 × (4 tiles × $4c$)")
    x += width + 0.55
    text(axes, x, middle, "×", 14)

    x += 0.55
    start = x
    width = nine(x, 0.85, 1.35, 0, BLUE, WASH[BLUE])
    caption(x + width / 2, "$U$", r"9 × ($4c$ × $o$)")
    x += width + 0.55
    text(axes, x, middle, "=", 14)

    # the weight, above U
    centre, cell = start + width / 2, 0.6
    y = 1.9
    squares(centre - 2 * cell, y, 4, cell, lambda i, j: WASH[BLUE])
    for i in range(2):
        for j in range(2):
            box(axes, centre + (2 * j - 2) * cell, y + 2 * i * cell, 2 * cell, 2 * cell, "none",
                BLUE, 1.6)
    text(axes, centre, 0.6, "weight", 10, weight="bold")
    text(axes, centre, 1.35, "4 × 4 taps, $c$ × $o$", 9)
    arrow(axes, (centre, y + 4 * cell + 0.2), (centre, top - 0.35))
    text(axes, centre + 0.35, (y + 4 * cell + top) / 2, "sums", 8, ha="left")

    x += 0.55
    width = nine(x, 0.85, 1.0, 4, GREEN, WASH[GREEN])
    caption(x + width / 2, "$M$", r"9 × (4 tiles × $o$)")
    x += width
    low = under + 1.9
    axes.plot([first, first, x, x], [low - 0.25, low, low, low - 0.25], color=INK, linewidth=1)
    text(axes, (first + x) / 2, low + 0.7, "nine products of matrices", 9)
    arrow(axes, (x + 0.3, middle), (x + 1.7, middle))
    text(axes, x + 1.0, middle - 0.7, "sums", 8)

    x += 2.0
    squares(x, top + side / 10, 4, side / 5, lambda i, j: WASH[GREEN] if i < 2 and j < 2 else WHITE)
    box(axes, x, top + side / 10, 0.4 * side, 0.4 * side, "none", GREEN, 2)
    caption(x + 0.4 * side, "result", "4 × 4 pixels, $o$ channels")

    legend = ((WASH[ORANGE], ORANGE, "-", "what one tile reads: 3 × 3 blocks"),
              (WHITE, INK, (0, (4, 3)), "the next tile: they share blocks"),
              (WASH[GREEN], GREEN, "-", "the tile's results: 2 × 2 pixels"))
    for row, (fill, edge, style, words) in enumerate(legend):
        y = 1.3 + 1.3 * row
        box(axes, 0.7, y - 0.4, 0.8, 0.8, fill, edge, 1.5, linestyle=style)
        text(axes, 1.9, y, words, 9, ha="left")
    return figure


def main() -> None:
    for draw in (im2col, adjoint, winograd):
        figure = draw()
        figure.savefig(HERE / f"{draw.__name__}.png", dpi=150, metadata={"Software": None})
        plt.close(figure)


if __name__ == "__main__":
    main()
