"""The commands that explore a trained generator: what they print and draw, and what they refuse.

The small GAN is real, but a few steps teach it nothing. `Album` knows everything from the start: of
its twelve latent numbers ten choose the digit, one makes it thick and one lets it lean. So the sums
of words have to come out, and the paths are known.
"""

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from kill_and_resume import Tiny
from PIL import Image, ImageFilter

from gans import __main__ as command_line
from gans import plots
from gans.classifier import load_classifier
from gans.models import MODELS
from minigrad import Tensor, nn
from minigrad.data import load as load_set
from minigrad.data import to_tanh_range

WORDS = ["--a", "thick 3", "--b", "thin 3", "--c", "thin 7"]
NUMBERS = ["--a", "0,1", "--b", "2", "--c", "3,4,5"]
EXPLORING = [(["interpolate"], []), (["neighbours"], []), (["arithmetic"], NUMBERS)]


@cache
def album() -> np.ndarray:
    """Of each digit the training image that the classifier knows best, and again with more ink."""
    digits = load_set("digits")
    answers = load_classifier().probabilities(digits.train_images)
    best = [np.where(digits.train_labels == digit, answers[:, digit], 0).argmax()
            for digit in range(10)]
    thin = [Image.fromarray(digits.train_images[i]) for i in best]
    thick = [image.filter(ImageFilter.MaxFilter(3)) for image in thin]
    return np.stack([np.stack(thin), np.stack(thick)]).astype(float)


def softmax(x: np.ndarray) -> np.ndarray:
    return np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)


@dataclass(eq=False)
class Album:
    """Draws digits of an album from latent vectors."""

    name: ClassVar[str] = "album"
    default_budget: ClassVar[float] = 1.0

    data_shape: tuple[int, ...] = (1, 28, 28)
    batch_size: int = 32
    cube: bool = False  # a uniform prior
    jumps: bool = True  # from digit to digit; else they fade

    def __post_init__(self) -> None:
        self.G = nn.Linear(1, 1)  # something to save

    @classmethod
    def laptop(cls, data: Any) -> "Album":
        return cls(data_shape=data.shape)

    def train_step(self, batches: Iterator[Tensor]) -> dict[str, Tensor]:
        return {"d_loss": next(batches).detach().sum() * 0 + 1}

    def noise(self, n: int, g: Any) -> Tensor:
        z = g.uniform(-1, 1, (n, 12)) if self.cube else g.standard_normal((n, 12))
        return Tensor(z.astype("f4"), requires_grad=False)

    def decode(self, z: Tensor) -> Tensor:
        z = z.numpy().astype(float)
        shares = np.eye(10)[z[:, :10].argmax(axis=1)] if self.jumps else softmax(z[:, :10])
        ink = 1 / (1 + np.exp(-z[:, 10, None, None]))
        thin, thick = np.tensordot(shares, album(), axes=([1], [1])).transpose(1, 0, 2, 3)
        pages = ((1 - ink) * thin + ink * thick).astype(np.uint8)
        leaning = [Image.fromarray(page).transform(
            (28, 28), Image.Transform.AFFINE, (1, shear, -13.5 * shear, 0, 1, 0),
            Image.Resampling.BILINEAR) for page, shear in zip(pages, 0.3 * np.tanh(z[:, 11]),
                                                              strict=True)]
        return Tensor(to_tanh_range(np.stack(leaning)), requires_grad=False)

    def sample(self, n: int, g: np.random.Generator) -> Tensor:
        return self.decode(self.noise(n, g))


@pytest.fixture(autouse=True)
def small_world(tmp_path, monkeypatch):
    """The models of the tests are known, and the folder is empty."""
    monkeypatch.setitem(MODELS, "tiny", Tiny)
    monkeypatch.setitem(MODELS, "album", Album)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MINIGRAD_DATA", raising=False)
    monkeypatch.setenv("COLUMNS", "100")


def gans(*words: object) -> int:
    return command_line.main([str(word) for word in words])


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> dict[str, Path]:
    """A short run of each kind; they are only read, or copied."""
    folder = tmp_path_factory.mktemp("runs")
    small = ["--hidden-G", 16, "--hidden-D", 8, "--latent-dim", 6]
    runs = {
        "digits": ["gan", "--data", "digits", "--steps", 40, *small, "--report-every", 10],
        "emoji": ["gan", "--data", "emoji:a", "--steps", 4, *small],
        "ring8": ["gan", "--data", "ring8", "--steps", 4, *small],
        "tiny": ["tiny", "--data", "digits", "--steps", 2, "--report-every", 2],
        "album": ["album", "--data", "digits", "--steps", 2],
        "cube": ["album", "--data", "digits", "--steps", 2, "--cube", "--no-jumps"],
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(MODELS, "tiny", Tiny)
        patch.setitem(MODELS, "album", Album)
        # what takes most of the time and is not looked at: the evaluation at the end, the curves
        patch.setattr(command_line, "SAMPLES", 200)
        patch.setattr(plots, "save_curves", lambda *_, **__: None)
        for name, words in runs.items():
            assert gans("train", *words, "--threads", 1, "--out", folder / name) == 0
    return {name: folder / name for name in runs}


@pytest.fixture
def runs(trained) -> dict[str, Path]:
    """Copies, since pictures are written into runs."""
    return {name: Path(shutil.copytree(path, Path("runs") / name))
            for name, path in trained.items()}


def files() -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in Path.cwd().rglob("*") if path.is_file()}


def samples_of(run: Path, n: int, seed: int = 0) -> np.ndarray:
    assert gans("sample", run, "--n", n, "--seed", seed, "--out", "found.npz") == 0
    return np.load("found.npz")["images"]


def tile(pixels: np.ndarray, left: int, top: int, size: int = 28, scale: int = 2) -> np.ndarray:
    """A tile of a picture in the size in which it was made."""
    return pixels[top:top + size * scale:scale, left:left + size * scale:scale]


@pytest.fixture
def drawn(monkeypatch) -> list[tuple[np.ndarray, list[str]]]:
    """The images and captions of all tiles that are drawn, in order."""
    found, tiles = [], plots.tiles

    def and_note(images, captions=(), **options):
        found.append((images, list(captions)))
        return tiles(images, captions, **options)

    monkeypatch.setattr(plots, "tiles", and_note)
    return found


def nearly(a: np.ndarray, b: np.ndarray) -> bool:
    """Equal but for rounding: batches of another size may differ in the last bit."""
    return bool(np.abs(a.astype(int) - b).max() <= 1)


# --------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize("words, message", [
    (["interpolate"], "STR"),
    (["interpolate", "nowhere"], "nowhere: no such run"),
    (["neighbours", "nowhere"], "no such run"),
    (["arithmetic", "nowhere", *NUMBERS], "no such run"),
    (["animate", "nowhere"], "no such run"),
    (["interpolate", "digits", "--path", "arc"], "invalid choice 'arc'"),
    (["interpolate", "digits", "--rows", "0"], "--rows: wants at least 1, got 0"),
    (["interpolate", "digits", "--rows", "101"], "--rows: wants at most 100, got 101"),
    (["interpolate", "digits", "--steps", "2"], "--steps: wants at least 3, got 2"),
    (["interpolate", "digits", "--steps", "101"], "--steps: wants at most 100"),
    (["interpolate", "digits", "--seed", "-1"], "--seed: wants at least 0, got -1"),
    (["interpolate", "digits", "--out", "a.gif"], "--out a.gif: the name must end in .png"),
    (["interpolate", "digits", "--out", "no/such/a.png"], "cannot write no/such/a.png"),
    (["interpolate", "digits", "--stesp", "3"], "unknown option --stesp; did you mean --steps?"),
    (["neighbours", "digits", "--n", "0"], "--n: wants at least 1, got 0"),
    (["neighbours", "digits", "--n", "101"], "--n: wants at most 100"),
    (["neighbours", "digits", "--k", "0"], "--k: wants at least 1, got 0"),
    (["neighbours", "digits", "--k", "31"], "--k: wants at most 30"),
    (["neighbours", "digits", "--seed", "-1"], "--seed: wants at least 0"),
    (["neighbours", "digits", "--out", "a.npz"], "must end in .png"),
    (["neighbours", "digits", "--out", "no/such/a.png"], "cannot write"),
    (["neighbours", "emoji", "--features"], "the digit classifier knows nothing of emoji-a"),
    (["arithmetic", "digits", "--a", "1", "--b", "2"], "--c"),
    (["arithmetic", "digits", "--a", "fat 3", *NUMBERS[2:]], "--a fat 3: 'fat' is none of thick"),
    (["arithmetic", "digits", *NUMBERS[:2], "--b", "3.5", *NUMBERS[4:]], "--b 3.5: '3.5' is none"),
    (["arithmetic", "digits", *NUMBERS[:4], "--c", "thick"], "--c thick: wants one digit"),
    (["arithmetic", "digits", *NUMBERS[:4], "--c", ""], "--c : wants one digit"),
    (["arithmetic", "digits", *NUMBERS[:4], "--c", "7,100001"], "--c: wants at most 100,000"),
    (["arithmetic", "emoji", *WORDS], "words are understood for digits only"),
    (["arithmetic", "digits", *WORDS, "--pool", "300"], "--a thick 3: of 300 samples only"),
    (["arithmetic", "digits", *WORDS, "--members", "0"], "--members: wants at least 1"),
    (["arithmetic", "digits", *WORDS, "--pool", "0"], "--pool: wants at least 1"),
    (["arithmetic", "digits", *NUMBERS, "--noise", "-1"], "--noise: wants a number of at least 0"),
    (["arithmetic", "digits", *NUMBERS, "--noise", "nan"], "--noise: wants a number of at least 0"),
    (["arithmetic", "digits", *NUMBERS, "--noise", "inf"], "--noise: wants a number of at least 0"),
    (["arithmetic", "digits", *NUMBERS, "--seed", "-1"], "--seed: wants at least 0"),
    (["arithmetic", "digits", *NUMBERS, "--out", "a"], "must end in .png"),
    (["arithmetic", "digits", *NUMBERS, "--out", "no/such/a.png"], "cannot write"),
    (["animate", "digits", "--fps", "0"], "--fps: wants a number from 0.1 to 50, got 0"),
    (["animate", "digits", "--fps", "51"], "--fps: wants"),
    (["animate", "digits", "--fps", "nan"], "--fps: wants"),
    (["animate", "digits", "--width", "63"], "--width: wants at least 64, got 63"),
    (["animate", "digits", "--width", "4001"], "--width: wants at most 4,000"),
    (["animate", "digits", "--out", "a.png"], "--out a.png: the name must end in .gif"),
    (["animate", "digits", "--out", "no/such/a.gif"], "cannot write"),
    (["sample", "digits", "--numbered", "--out", "a.npz"], "must end in .png"),
    (["sample", "digits", "--numbered", "--n", "1001"], "--n: wants at most 1,000"),
    (["sample", "digits", "--numbered", "--n", "0"], "--n: wants at least 1"),
    (["sample", "ring8", "--numbered"], "makes points in the plane, not images"),
    *(([*command, "ring8", *more], "its samples are points in the plane")
      for command, more in EXPLORING),
    *(([*command, "tiny", *more], "tiny does not make images from latent vectors")
      for command, more in EXPLORING),
])
def test_refusals(runs, capsys, words, message):
    before = files()
    assert gans(*words) == 2
    text = capsys.readouterr()
    assert text.out == ""
    assert text.err.startswith("gans: error: ") and text.err.count("\n") == 1, text.err
    assert message in text.err
    assert files() == before


def test_data_that_have_changed_are_refused(runs, capsys):
    config = runs["digits"] / "config.json"
    config.write_text(re.sub(r'"sha256": "..', '"sha256": "xx', config.read_text()))
    assert gans("neighbours", "digits") == 2
    assert "sha256: the run has" in capsys.readouterr().err
    assert not (runs["digits"] / "neighbours.png").exists()


# ---------------------------------------------------------------------------------- interpolation


def test_paths_begin_and_end_with_samples(runs, capsys):
    samples = samples_of(runs["digits"], 6, seed=3)
    capsys.readouterr()
    assert gans("interpolate", "digits", "--rows", 3, "--steps", 5, "--seed", 3) == 0
    text = capsys.readouterr().out
    assert "3 slerp paths of 5 images, samples 0 to 5 of seed 3, from step 40" in text
    pixels = np.asarray(Image.open("runs/digits/interpolation.png"))
    assert pixels.shape == (3 + 3 * 59, 3 + 5 * 59)
    for i in range(3):
        assert nearly(tile(pixels, 3, 3 + 59 * i), samples[2 * i])
        assert nearly(tile(pixels, 3 + 4 * 59, 3 + 59 * i), samples[2 * i + 1])
    found = re.search(r"mean step: (\S+) on the worst path \(row \d, after image \d\), (\S+) on a "
                      r"typical one", text)
    assert 1 <= float(found[2]) <= float(found[1]) <= 4
    assert "1 is even; 4 is a single jump" in text


def test_the_path_can_be_chosen_and_follows_the_prior(runs, capsys):
    for words, kind in ((["digits", "--path", "lerp"], "lerp"), (["cube"], "lerp"),
                        (["cube", "--path", "slerp"], "slerp"), (["album"], "slerp")):
        assert gans("interpolate", *words, "--out", f"{words[0]}-{kind}.png") == 0
        assert f"8 {kind} paths of 10 images" in capsys.readouterr().out
    pictures = [Path(f"cube-{kind}.png").read_bytes() for kind in ("lerp", "slerp")]
    assert pictures[0] != pictures[1]


def test_an_album_is_told_by_its_jumps(runs, capsys):
    """One of the models has nothing between its images, the other fades them."""
    worst = []
    for run in ("album", "cube"):
        assert gans("interpolate", run, "--steps", 20, "--rows", 5) == 0
        worst.append(float(re.search(r"mean step: (\S+)", capsys.readouterr().out)[1]))
    assert worst[0] > 6 and worst[1] < 3


# ------------------------------------------------------------------------------------- neighbours


def test_neighbours_are_training_images(runs, capsys):
    samples = samples_of(runs["digits"], 4, seed=2)
    train = load_set("digits").train_images
    capsys.readouterr()
    assert gans("neighbours", "digits", "--n", 4, "--k", 3, "--seed", 2) == 0
    text = capsys.readouterr().out
    assert "4 samples of seed 2, from step 40; nearest of 8,000 training images" in text
    pixels = np.asarray(Image.open("runs/digits/neighbours.png"))
    for i, line in enumerate(re.findall(r"^  sample +\d+  .*$", text, re.M)):
        top = 3 + 75 * i
        assert nearly(tile(pixels, 3, top), samples[i])
        distances = np.sqrt(((train / 255 - samples[i] / 255) ** 2).sum(axis=(1, 2)))
        nearest = np.argsort(distances)[:3]
        shown = [(float(x), int(j)) for x, j in re.findall(r"(\d+\.\d+) \(image (\d+)\)", line)]
        assert [j for _, j in shown] == nearest.tolist()
        np.testing.assert_allclose([x for x, _ in shown], distances[nearest], atol=0.03)
        for j in range(3):
            left = 3 + 56 + 15 + 59 * j
            assert (tile(pixels, left, top) == train[nearest[j]]).all()
    assert i == 3


def test_copies_are_told_from_what_is_new(runs, capsys):
    """Every image of the fading album is a mixture, those of the other are copies that lean."""
    assert gans("neighbours", "digits") == 0
    text = capsys.readouterr().out
    found = re.search(r"train/unseen, of 2,000 samples: (\S+); of real data: (\S+)", text)
    assert 0.8 < float(found[1]) < 1.2 and 0.95 < float(found[2]) < 1.1

    class Copier(Album):
        def decode(self, z):
            train = load_set("digits").train_images
            picked = (np.abs(z.numpy()[:, 0]) * 1e4).astype(int) % len(train)
            return Tensor(to_tanh_range(train[picked]), requires_grad=False)

    MODELS["album"] = Copier  # put back by the fixture
    for words in ([], ["--features"]):
        assert gans("neighbours", "album", "--n", 3, *words) == 0
        text = capsys.readouterr().out
        assert "2,000 samples: 0.00; of real data: 1.0" in text
        assert len(re.findall(r"sample +\d  0\.00 \(image", text)) == 3


def test_neighbours_by_features(runs, capsys):
    train, classifier = load_set("digits").train_images, load_classifier()
    sample = samples_of(runs["digits"], 1)
    capsys.readouterr()
    assert gans("neighbours", "digits", "--features", "--n", 1, "--k", 2, "--out", "f.png") == 0
    text = capsys.readouterr().out
    distances = np.linalg.norm(classifier.features(train) - classifier.features(sample), axis=1)
    assert "Euclidean on features" in text
    assert re.findall(r"\(image (\d+)\)", text) == [str(j) for j in np.argsort(distances)[:2]]
    assert not (runs["digits"] / "neighbours.png").exists() and Path("f.png").is_file()


def test_neighbours_in_colour_and_without_held_back_images(runs, capsys):
    assert gans("neighbours", "emoji", "--n", 2, "--k", 2) == 0
    with Image.open("runs/emoji/neighbours.png") as picture:
        assert picture.mode == "RGB"
    draw = np.random.default_rng(0)
    np.savez("own.npz", images=draw.integers(0, 256, (70, 8, 8), dtype=np.uint8))
    assert gans("train", "gan", "--data", "own.npz", "--steps", 1, "--threads", 1, "--out",
                "own") == 0
    capsys.readouterr()
    assert gans("neighbours", "own", "--n", 1) == 0
    assert "no held-back images, so copying cannot be measured" in capsys.readouterr().out


# ------------------------------------------------------------------------- numbers and arithmetic


def test_numbered_samples_are_the_samples(runs, capsys):
    samples = samples_of(runs["digits"], 23, seed=1)
    assert gans("sample", "digits", "--numbered", "--n", 23, "--seed", 1) == 0
    pixels = np.asarray(Image.open("samples.png"))
    for i in (0, 7, 19, 20, 22):
        left, top = 3 + 59 * (i % 20), 3 + 75 * (i // 20)
        assert nearly(tile(pixels, left, top), samples[i])
        number = pixels[top + 56:top + 72, left:left + 56]
        blank = Image.fromarray(pixels[top:top + 56, left:left + 56])
        assert (number == np.asarray(plots.with_caption(blank, str(i)))[56:]).all()
    assert gans("sample", "digits", "--numbered") == 0
    assert "100 numbered samples of seed 0" in capsys.readouterr().out
    assert not Path("samples.npz").exists()


def test_groups_by_numbers(runs, capsys, drawn):
    samples = samples_of(runs["digits"], 30, seed=5)
    capsys.readouterr()
    words = ["arithmetic", "digits", "--a", "4,29", "--b", "7", "--c", "7", "--seed", 5]
    assert gans(*words) == 0
    text = capsys.readouterr().out
    for part in ("mean(a) - mean(b) + mean(c), seed 5, from step 40", "a: samples 4, 29\n",
                 "b: samples 7\n", "groups are given by numbers", "mean of a", "the result"):
        assert part in text, part
    mean_a, a, mean_b, b, _, c, nine = drawn
    assert (mean_a[1], a[1], c[1]) == (["mean of a"], ["4", "29"], ["7"])
    assert nearly(a[0], samples[[4, 29]]) and nearly(b[0], samples[[7]])
    assert nearly(mean_b[0], b[0])  # of one sample
    assert not nearly(mean_a[0], a[0][:1]) and not nearly(mean_a[0], a[0][1:])
    assert nine[0].shape == (9, 28, 28)
    same = [nearly(image, mean_a[0][0]) for image in nine[0]]
    assert same == [False] * 4 + [True] + [False] * 4  # a - b + b is a, and noise around it
    with Image.open("runs/digits/arithmetic.png") as picture:
        pixels = np.asarray(picture)
    for image in (mean_a[0][0], *nine[0]):
        large = image.repeat(4, axis=0).repeat(4, axis=1)
        assert any((pixels[y:y + 112, x:x + 112] == large).all()
                   for y in range(pixels.shape[0] - 111) for x in range(pixels.shape[1] - 111)
                   if (pixels[y, x:x + 112] == large[0]).all())
    drawn.clear()
    assert gans(*words, "--noise", 0) == 0
    assert all(nearly(image, drawn[0][0][0]) for image in drawn[-1][0])


def test_groups_in_colour(runs, capsys):
    assert gans("arithmetic", "emoji", *NUMBERS) == 0
    text = capsys.readouterr().out
    assert "classifier" not in text and "c: samples 3, 4, 5" in text
    with Image.open("runs/emoji/arithmetic.png") as picture:
        assert picture.mode == "RGB"


@pytest.mark.parametrize("a, b, c, wanted", [
    ("thick 3", "thin 3", "thin 7", "thick 7"),
    ("thin 2", "thick 2", "thick 6", "thin 6"),
    ("left 1", "right 1", "right 4", "left 4"),
    ("right thick 8", "left thin 8", "left thin 2", "right thick 2"),
])
def test_the_sums_of_words_come_out_where_the_model_knows_them(runs, capsys, a, b, c, wanted):
    assert gans("arithmetic", "album", "--a", a, "--b", b, "--c", c, "--pool", 1500,
                "--members", 20) == 0
    text = capsys.readouterr().out
    assert f"mean({a}) - mean({b}) + mean({c})" in text
    assert re.search(f"wanted: a {wanted}; the result is one; of 8 images with noise, [5678] are",
                     text), text
    result = re.search(r"the result +(\d) \((\S+)\) +(\S+) \((\S+)\) +(\S+) \((\S+)\)", text)
    width, width_median, lean, lean_median = map(float, result.groups()[2:])
    is_so = {"thick": width > width_median, "thin": width < width_median,
             "right": lean > lean_median, "left": lean < lean_median, result[1]: True}
    assert all(is_so.get(word) for word in wanted.split()), text
    assert float(result[2]) > 0.5
    numbers = [line.split("samples ")[1].split(", ") for line in text.splitlines()[1:4]]
    assert [len(set(group)) for group in numbers] == [20, 20, 20]
    with Image.open("runs/album/arithmetic.png") as picture:
        picture.verify()
    assert gans("arithmetic", "album", "--a", a, "--b", b, "--c", c, "--pool", 1500,
                "--members", 20, "--noise", 0) == 0
    assert "the result is one; of 8 images with noise, 8 are" in capsys.readouterr().out


def test_a_sum_that_fails_is_called_so(runs, capsys):
    class Stubborn(Album):
        def decode(self, z):
            z = z.numpy().copy()
            if len(z) in (3, 9):  # of means and of sums it makes zeros
                z[:, 0] = 100
            return super().decode(Tensor(z))

    MODELS["album"] = Stubborn
    assert gans("arithmetic", "album", *WORDS, "--pool", 800, "--members", 4) == 0
    assert "wanted: a thick 7; the result is none; of 8 images with noise, 0 are" in \
        capsys.readouterr().out
    assert gans("arithmetic", "album", *WORDS[:4], "--c", "left 7", "--pool", 800,
                "--members", 4) == 0
    assert "nothing plain is left of these words" in capsys.readouterr().out


def test_commands_repeat_themselves(runs):
    for words in (["interpolate", "digits", "--rows", 2], ["neighbours", "emoji", "--n", 2],
                  ["arithmetic", "emoji", *NUMBERS], ["sample", "digits", "--numbered"]):
        pictures = []
        for seed in (7, 7, 8):
            assert gans(*words, "--seed", seed, "--out", "p.png") == 0
            pictures.append(Path("p.png").read_bytes())
        assert pictures[0] == pictures[1] != pictures[2]


# -------------------------------------------------------------------------------------- animation


def frames(path):
    """The frames of a GIF with their durations in milliseconds."""
    with Image.open(path) as gif:
        assert gif.format == "GIF" and gif.info["loop"] == 0
        found = []
        for i in range(gif.n_frames):
            gif.seek(i)
            found.append((np.asarray(gif.convert("RGB")), gif.info["duration"]))
    return found


def test_the_animation_shows_every_picture_in_order(runs, capsys):
    assert gans("animate", "digits", "--fps", 5) == 0
    assert "5 pictures from step 0 to 40, 582 x 598, 3 s" in capsys.readouterr().out
    found = frames("runs/digits/animation.gif")
    assert [duration for _, duration in found] == [200, 200, 200, 200, 2200]
    for (shown, _), step in zip(found, (0, 10, 20, 30, 40), strict=True):
        with Image.open(f"runs/digits/samples/step_{step:06d}.png") as file:
            wanted = plots.with_caption(file.convert("L"), f"step {step}").convert("RGB")
        assert (shown == np.asarray(wanted)).all()


def test_the_width_of_an_animation_and_points_in_the_plane(runs):
    assert gans("animate", "emoji", "--width", 100, "--out", "small.gif") == 0
    assert gans("animate", "ring8", "--fps", 2) == 0
    small, points = frames("small.gif"), frames("runs/ring8/animation.gif")
    assert small[0][0].shape == (100 + 16, 100, 3)
    assert [duration for _, duration in points] == [500] * (len(points) - 1) + [2500]
    assert len(points) == len(list(Path("runs/ring8/samples").glob("*.png"))) > 1


def test_an_animation_needs_two_pictures_that_can_be_read(runs, capsys):
    samples = runs["digits"] / "samples"
    (samples / "step_000020.png").write_bytes(b"no picture")
    assert gans("animate", "digits") == 2
    assert "step_000020.png: cannot be read as a picture" in capsys.readouterr().err
    for step in (10, 20, 30, 40):
        (samples / f"step_{step:06d}.png").unlink()
    assert gans("animate", "digits") == 2
    assert "an animation needs two pictures step_*.png, there is 1" in capsys.readouterr().err
    shutil.rmtree(samples)
    assert gans("animate", "digits") == 2
    assert "there are none" in capsys.readouterr().err
    assert not (runs["digits"] / "animation.gif").exists()
