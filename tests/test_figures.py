"""The figures of the notebooks: each can be drawn by its name, says what it shows, and repeats."""

import io
import time

import numpy as np
import pytest
from PIL import Image

from gans import plots
from gans.figures import FIGURES

ONCE = 1.0  # seconds of CPU: what takes longer (a training inside) is drawn once only


def pixels(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)).convert("L"))


@pytest.mark.parametrize("name", FIGURES)
def test_figure(name, monkeypatch):
    monkeypatch.setenv("MINIGRAD_NOTEBOOKS", "fast")  # trainings inside are cut short
    began = time.process_time()
    figure = FIGURES[name]()
    took = time.process_time() - began
    assert isinstance(figure, plots.Drawing)
    titles = [figure.get_suptitle(), *(axes.get_title() for axes in figure.axes)]
    assert any(titles), "a figure says what it shows"
    assert figure.get_figwidth() <= 9.5, "wider than a printed page"
    content = figure.png()
    assert len(content) < 400_000
    drawn = pixels(content)
    assert (drawn < 128).sum() > 500, "nothing is drawn"
    if took < ONCE:
        assert FIGURES[name]().png() == content


def test_names_are_words_with_dashes_and_stand_once():
    modules = [name for name in FIGURES if name != name.lower() or "_" in name or " " in name]
    assert modules == [] and len(FIGURES) == len(set(FIGURES.values()))


# the parts -----------------------------------------------------------------------------------


def test_parts_draw_what_they_are_given():
    figure, axes = plots.drawing(2, 3, title="All parts")
    x = np.linspace(0, 1, 5)
    plots.curves(axes[0, 0], x, {"a": x, "b": x**2}, start=1)
    assert [line.get_color() for line in axes[0, 0].lines] == [plots.LINES[1][0], plots.LINES[2][0]]
    assert [line.get_label() for line in axes[0, 0].lines] == ["a", "b"]
    np.testing.assert_array_equal(axes[0, 0].lines[1].get_ydata(), x**2)
    plots.density(axes[0, 1], x, x, "p", 8)  # styles begin again
    assert axes[0, 1].lines[0].get_color() == plots.LINES[8 % len(plots.LINES)][0]
    plots.level(axes[0, 1], 0.5, "half", vertical=True)
    assert axes[0, 1].lines[1].get_xdata()[0] == 0.5
    plots.points(axes[0, 2], np.zeros((3, 2)), np.ones((4, 2)), np.ones((1, 2)))
    assert [len(c.get_offsets()) for c in axes[0, 2].collections] == [4, 3, 1]
    plots.bars(axes[1, 0], {"first": 1.0, "second": 2.0}, {"second": 0.5},
               colours={"first": plots.GREEN})
    top, below = axes[1, 0].patches
    assert top.get_y() > below.get_y() and below.get_width() == 2.0
    plots.table(axes[1, 1], np.array([[1.0, -2.0], [np.nan, 0.0]]), rows=["r", "s"],
                columns=["c", "d"], form="{:.1f}")
    assert [t.get_text() for t in axes[1, 1].texts] == ["1.0", "-2.0", "0.0"]
    plots.pictures(axes[1, 2], np.zeros((6, 4, 4), np.uint8), 3, rows=["one", "two"])
    assert [t.get_text() for t in axes[1, 2].get_yticklabels()] == ["one", "two"]
    plots.finish(axes[0, 0], title="t", x="u", y="v", legend="upper left")
    assert axes[0, 0].get_legend() is not None and axes[0, 0].get_xlabel() == "u"
    assert pixels(figure.png()).shape[1] == pixels(figure._repr_png_()).shape[1] == 691


def test_colours_can_be_told_apart_without_colour():
    dashes = [str(dash) for _, dash in plots.LINES]
    assert len(set(dashes)) == len(dashes)


def test_points_that_are_none_are_refused():
    _, axes = plots.drawing()
    with pytest.raises(ValueError, match="samples"):
        plots.points(axes[0, 0], np.zeros((3, 3)))


def test_a_figure_for_print(tmp_path):
    figure, axes = plots.drawing(title="t")
    plots.curves(axes[0, 0], np.arange(3), {"a": np.arange(3)})
    figure.save(tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.size[0] == 1440
    with pytest.raises(ValueError, match="PNG"):
        figure.save(tmp_path / "a.pdf")
