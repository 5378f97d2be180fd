"""The pictures: right pixels in grids, right lines in figures, and files that are never half."""

import math
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from gans import plots
from gans.plots import save_curves, save_grid, save_scatter, to_grid, to_images


def images(n, h, w, colour, seed=0):
    shape = (n, h, w, 3) if colour else (n, h, w)
    pixels = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    return np.where(pixels == plots._SEPARATOR, 0, pixels).astype(np.uint8)


# to_images -----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_grey_level_survives_the_way_to_the_network_and_back(dtype):
    levels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    batch = (levels.astype(dtype) / 127.5 - 1)[:, None]
    np.testing.assert_array_equal(to_images(batch), levels)


def test_channels_come_last_and_values_are_cut():
    batch = np.zeros((2, 3, 4, 5), dtype=np.float32)
    batch[0, 0], batch[0, 1], batch[1, 2] = 1.7, -3.0, np.inf
    pixels = to_images(batch)
    assert pixels.shape == (2, 4, 5, 3) and pixels.dtype == np.uint8
    assert pixels[0, 0, 0].tolist() == [255, 0, 128] and pixels[1, 0, 0].tolist() == [128, 128, 255]
    for wrong, message in (
        (np.zeros((2, 4, 5)), r"must be \(n, 1 or 3, h, w\), got \(2, 4, 5\)"),
        (np.zeros((2, 4, 5, 3)), r"got \(2, 4, 5, 3\)"),
        (np.zeros((2, 3, 4, 5), dtype=np.uint8), "floats from -1 to 1, got uint8"),
        (np.full((1, 1, 2, 2), np.nan), "holds NaN"),
    ):
        with pytest.raises(ValueError, match=message):
            to_images(wrong)


# grids ---------------------------------------------------------------------------------------


@given(
    n=st.integers(1, 20),
    h=st.integers(1, 6),
    w=st.integers(1, 6),
    columns=st.integers(1, 9),
    colour=st.booleans(),
)
def test_a_grid_holds_every_image_in_its_place_and_grey_everywhere_else(n, h, w, columns, colour):
    pictures = images(n, h, w, colour)
    grid = to_grid(pictures, columns)
    wide = min(columns, n)
    rows = math.ceil(n / wide)
    assert grid.dtype == np.uint8
    assert grid.shape == (rows * (h + 1) + 1, wide * (w + 1) + 1) + ((3,) if colour else ())
    for i in range(n):
        top, left = (i // wide) * (h + 1) + 1, (i % wide) * (w + 1) + 1
        np.testing.assert_array_equal(grid[top : top + h, left : left + w], pictures[i])
    in_pictures = n * h * w * (3 if colour else 1)
    assert (grid != plots._SEPARATOR).sum() == in_pictures


def test_grid_refusals_say_what_to_do():
    with pytest.raises(ValueError, match="must be uint8, got float32; to_images brings"):
        to_grid(np.zeros((2, 4, 4), dtype=np.float32), 2)
    for shape in ((4, 4), (2, 3, 4, 4), (2, 4, 4, 1)):
        with pytest.raises(ValueError, match=r"must be \(n, h, w\) or \(n, h, w, 3\), got"):
            to_grid(np.zeros(shape, dtype=np.uint8), 2)
    with pytest.raises(ValueError, match="nothing to show"):
        to_grid(np.zeros((0, 4, 4), dtype=np.uint8), 2)
    with pytest.raises(ValueError, match="columns must be at least 1, got 0"):
        to_grid(images(2, 4, 4, False), 0)


@pytest.mark.parametrize("colour", [False, True])
@pytest.mark.parametrize("scale", [1, 3])
def test_the_png_holds_the_grid_pixel_for_pixel(tmp_path, colour, scale):
    pictures = images(7, 5, 4, colour)
    save_grid(tmp_path / "grid.png", pictures, columns=3, scale=scale)
    with Image.open(tmp_path / "grid.png") as file:
        assert file.format == "PNG" and file.mode == ("RGB" if colour else "L")
        pixels = np.asarray(file)
    expected = np.kron(
        to_grid(pictures, 3), np.ones((scale, scale) + (1,) * colour, dtype=np.uint8)
    )
    np.testing.assert_array_equal(pixels, expected)
    with pytest.raises(ValueError, match="scale must be at least 1, got 0"):
        save_grid(tmp_path / "grid.png", pictures, columns=3, scale=0)


# figures -------------------------------------------------------------------------------------


def log(n=300, seed=0):
    generator = np.random.default_rng(seed)
    fade = np.exp(-np.arange(n) / 60)
    noise = 0.05 * generator.standard_normal((4, n))
    return {
        "step": list(range(n)),
        "d_loss": 1.386 - 0.8 * fade + noise[0],
        "g_loss": 0.693 + 2 * fade + noise[1],
        "d_real": np.clip(0.5 + 0.4 * fade + noise[2], 0, 1),
        "d_fake": np.clip(0.5 - 0.4 * fade + noise[3], 0, 1),
        "score": [float(i) if i % 50 == 0 else math.nan for i in range(n)],
        "seconds": ["not", "drawn"] * (n // 2),
    }


@pytest.fixture
def figures(monkeypatch):
    """Figures as they are handed to the writer; they are written all the same."""
    kept = []
    write = plots._write_figure
    monkeypatch.setattr(
        plots, "_write_figure", lambda path, figure: (kept.append(figure), write(path, figure))
    )
    return kept


def heights_of_references(axes):
    return [line.get_ydata()[0] for line in axes.lines if len(line.get_xdata()) == 2]


def test_curves_draw_losses_answers_and_metrics_with_their_references(tmp_path, figures):
    save_curves(tmp_path / "c.png", log(), metrics=["score"], floors={"score": 1.5})
    losses, answers, metric = figures[0].axes
    labels = [text.get_text() for text in losses.get_legend().get_texts()]
    assert labels == ["d_loss", "g_loss", "D cannot tell: 1.386"]
    assert heights_of_references(losses) == [pytest.approx(2 * math.log(2))]
    assert heights_of_references(answers) == [0.5] and answers.get_ylim() == (-0.03, 1.03)
    assert heights_of_references(metric) == [1.5]
    np.testing.assert_array_equal(losses.lines[0].get_ydata(), log()["d_loss"])
    np.testing.assert_array_equal(metric.lines[0].get_xdata(), np.arange(0, 300, 50))
    np.testing.assert_array_equal(metric.lines[0].get_ydata(), np.arange(0, 300, 50))
    with Image.open(tmp_path / "c.png") as file:
        assert file.format == "PNG" and file.width == 1050


def test_the_two_lines_of_an_axis_differ_in_dash_and_in_colour(tmp_path, figures):
    save_curves(tmp_path / "c.png", log())
    for axes in figures[0].axes:
        first, second = axes.lines[1], axes.lines[3]
        assert first.get_linestyle() != second.get_linestyle()
        assert first.get_color() != second.get_color()


def test_the_reference_can_move_or_go(tmp_path, figures):
    save_curves(tmp_path / "c.png", log(), balance=0.693)
    save_curves(tmp_path / "c.png", log(), balance=None)
    assert heights_of_references(figures[0].axes[0]) == [0.693]
    assert heights_of_references(figures[1].axes[0]) == []


def test_one_jump_does_not_flatten_the_losses(tmp_path, figures):
    jump = log()
    jump["g_loss"][100] = 1e6
    save_curves(tmp_path / "c.png", jump)
    low, high = figures[0].axes[0].get_ylim()
    assert low < 2 * math.log(2) < high < 5


@pytest.mark.parametrize("n", [0, 1, 2])
def test_short_logs_and_logs_of_nan_are_drawn(tmp_path, n):
    save_curves(tmp_path / "c.png", {"step": range(n), "d_loss": [1.0] * n})
    save_curves(tmp_path / "n.png", {"step": range(n), "g_loss": [math.nan] * n}, balance=None)
    assert (tmp_path / "c.png").stat().st_size > 1000


@given(seed=st.integers(0, 50), n=st.integers(1, 400))
def test_the_moving_average_is_a_mean_of_the_known_neighbours(seed, n):
    generator = np.random.default_rng(seed)
    values = generator.standard_normal(n)
    values[generator.random(n) < 0.3] = np.nan
    half = (max(1, n // 50) | 1) // 2
    for i, got in enumerate(plots._smooth(values)):
        near = values[max(0, i - half) : i + half + 1]
        expected = near[np.isfinite(near)].mean() if np.isfinite(near).any() else np.nan
        np.testing.assert_allclose(got, expected, atol=1e-12)


def test_curves_refuse_logs_that_do_not_fit(tmp_path):
    path = tmp_path / "c.png"
    with pytest.raises(ValueError, match=r"no column 'step', only \['d_loss'\]"):
        save_curves(path, {"d_loss": [1.0]})
    with pytest.raises(ValueError, match="no column 'fcd'"):
        save_curves(path, log(), metrics=["fcd"])
    with pytest.raises(ValueError, match=r"'g_loss' has shape \(2,\), 'step' has \(1,\)"):
        save_curves(path, {"step": [0], "g_loss": [1.0, 2.0]})
    with pytest.raises(ValueError, match=r"nothing to draw in the columns \['seconds', 'step'\]"):
        save_curves(path, {"step": [0], "seconds": [1.0]})
    assert not path.exists()


def test_scatter_frames_the_real_points_and_counts_what_lies_outside(tmp_path, figures):
    generator = np.random.default_rng(0)
    real = generator.uniform(-1, 1, (500, 2))
    samples = np.concatenate([generator.uniform(-1, 1, (995, 2)), np.full((5, 2), 40.0)])
    save_scatter(tmp_path / "s.png", samples, real, np.zeros((1, 2)))
    axes = figures[0].axes[0]
    assert 1.0 < axes.get_xlim()[1] < 1.3 and axes.get_xlim() == pytest.approx(
        axes.get_ylim(), abs=0.05
    )
    assert axes.texts[0].get_text() == "0.5 % of the generated points lie outside"
    drawn = [collection.get_offsets() for collection in axes.collections]
    np.testing.assert_allclose(drawn[0], real)
    np.testing.assert_allclose(drawn[1], samples)
    np.testing.assert_allclose(drawn[2], 0)
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels == ["real", "generated", "modes"]


def test_scatter_needs_nothing_but_samples(tmp_path, figures):
    save_scatter(tmp_path / "s.png", np.array([[3.0, 4.0]]))
    axes = figures[0].axes[0]
    assert axes.get_xlim()[0] < 3 < axes.get_xlim()[1] and not axes.texts
    for wrong in (np.zeros((0, 2)), np.zeros((3, 3)), np.zeros(4)):
        with pytest.raises(ValueError, match=r"samples must be \(n, 2\) with n >= 1, got"):
            save_scatter(tmp_path / "t.png", wrong)
    with pytest.raises(ValueError, match="real hold NaN or infinity"):
        save_scatter(tmp_path / "t.png", np.zeros((3, 2)), np.full((2, 2), np.nan))
    assert not (tmp_path / "t.png").exists()


# files ---------------------------------------------------------------------------------------


def write_all(folder):
    save_grid(folder / "g.png", images(4, 3, 3, True), columns=2)
    save_curves(folder / "c.png", log(60))
    save_scatter(folder / "s.png", np.random.default_rng(0).standard_normal((50, 2)))
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_equal_input_makes_equal_files_and_leaves_nothing_else(tmp_path):
    first, second = write_all(tmp_path), write_all(tmp_path)
    assert sorted(first) == ["c.png", "g.png", "s.png"]
    assert first == second


def test_a_failed_write_leaves_the_old_picture(tmp_path, monkeypatch):
    old = write_all(tmp_path)

    def full_disk(source, target):
        assert os.path.getsize(source) > 0, "the new picture must be complete before the rename"
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", full_disk)
    with pytest.raises(OSError, match="disk full"):
        save_grid(tmp_path / "g.png", images(4, 3, 3, True, seed=1), columns=2)
    with pytest.raises(OSError, match="disk full"):
        save_scatter(tmp_path / "s.png", np.ones((4, 2)))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == old


def test_only_png_and_only_existing_folders(tmp_path):
    with pytest.raises(ValueError, match=r"must end in \.png, got grid\.jpg"):
        save_grid(tmp_path / "grid.jpg", images(1, 2, 2, False), columns=1)
    with pytest.raises(FileNotFoundError):
        save_grid(tmp_path / "missing" / "grid.png", images(1, 2, 2, False), columns=1)


def test_pyplot_is_never_loaded(tmp_path):
    code = (
        "import sys, numpy as np; from gans.plots import save_scatter, save_curves;"
        f"save_scatter({str(tmp_path / 's.png')!r}, np.zeros((3, 2)));"
        f"save_curves({str(tmp_path / 'c.png')!r}, dict(step=[0, 1], d_loss=[1, 1]));"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=os.getcwd())


def test_losses_of_autoencoders_and_readings_of_critics_are_drawn(tmp_path):
    step = [10.0, 20.0, 30.0]
    one = {"step": step, "score": step}
    seen = []
    for more in ({}, {"loss": step, "kl": step}, {"wasserstein": step}, {"slope": step}):
        save_curves(tmp_path / "curves.png", {**one, **more}, metrics=["score"])
        with Image.open(tmp_path / "curves.png") as picture:
            seen.append(picture.size[1])
    alone, losses, distance, slope = seen
    assert losses > alone and distance > alone and slope > alone
