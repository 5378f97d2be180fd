"""What a trained generator knows, asked through its latent vectors: paths, neighbours, arithmetic.

A generator that has learned more than its training images maps nearby vectors to similar images.
Three looks at it (Radford et al. 2016, section 6, and the lecture on generative models):

- `path` between two vectors: images must change step by step (`evenness`). A jump means that the
  model knows the two ends and nothing between them.
- `nearest_neighbours` of samples among the training images: copies would be at distance 0.
- `arithmetic` on means of a few vectors: thick 3 - thin 3 + thin 7 should be a thick 7.

Vectors are host arrays (n, d), images as networks give them (n, c, h, w) in [-1, 1] or as uint8.

A model takes part if it has ``noise(n, generator)``, which draws latent vectors, and ``decode(z)``,
which maps them to images: the averaged generator in eval mode, nothing recorded.

Leaves out: finding directions without examples, the inverse way from an image to its vector,
perceptual distances.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, StrEnum
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from minigrad import Tensor

from . import plots
from .classifier import load_classifier

__all__ = [
    "ATTRIBUTES", "Attribute", "Evenness", "Interpolation", "JudgedDigits", "Wish",
    "animation_durations", "animation_frames", "arithmetic", "decode", "evenness", "latents",
    "lerp", "natural_interpolation", "nearest_neighbours", "parse_numbers", "path", "result_of",
    "slant", "slerp", "step_pictures", "stroke_width", "surround",
]

CHUNK = 250  # images made at once
SURE = 0.5  # how probable a digit must be to the classifier to count as one
_BLOCK = 2048  # training images compared at once: 2048 x 784 float64 are 13 MB
_PARALLEL = 1e-7  # sine of an angle below which two directions are one line


# ---------------------------------------------------------------------------------------- vectors


def latents(model: Any, n: int, generator: np.random.Generator) -> np.ndarray:
    """The vectors of the first ``n`` samples that the model draws from ``generator``, (n, d)."""
    return model.noise(n, generator).numpy()


def decode(model: Any, z: np.ndarray) -> np.ndarray:
    """The model's images of vectors (n, d), made in pieces: host array (n, c, h, w)."""
    parts = [model.decode(Tensor(z[i:i + CHUNK], requires_grad=False)).numpy()
             for i in range(0, len(z), CHUNK)]
    return np.concatenate(parts)


class Interpolation(Enum):
    """How to go from one latent vector to another."""

    SLERP = "slerp"
    LERP = "lerp"


def natural_interpolation(z: np.ndarray) -> Interpolation:
    """Slerp for draws of a Gaussian prior, lerp for draws from a cube.

    In many dimensions all draws of a Gaussian lie near one sphere. The middle of a straight line
    lies deep inside it, where the generator was never trained; a great circle stays outside. A cube
    is the other way round: it holds every straight line between its points, and no great circle.
    The draws, some hundreds, tell which it is: a cube ends at sqrt(3) = 1.73 standard deviations.
    """
    is_cube = np.abs(z - z.mean()).max() <= 1.8 * z.std()
    return Interpolation.LERP if is_cube else Interpolation.SLERP


def lerp(a: np.ndarray, b: np.ndarray, t: float | np.ndarray) -> np.ndarray:
    """(1 - t) a + t b: the straight line; ``t`` of shape s gives vectors (*s, d)."""
    a, b, t = _ends(a, b, t)
    return (1 - t) * a + t * b


def slerp(a: np.ndarray, b: np.ndarray, t: float | np.ndarray) -> np.ndarray:
    """The great circle from ``a`` to ``b``; the length goes from |a| to |b| linearly.

    ``a`` and ``b`` are vectors (d,); ``t`` of shape s gives vectors (*s, d). Both directions turn
    in the plane of ``a`` and ``b``: u(t) = cos(t w) u + sin(t w) p, where w is the angle between
    them and p the unit vector that makes a right angle with u.

    Opposite vectors span no plane; the path then goes through the axis to which they are most
    nearly perpendicular, the same one in both directions. A zero vector has no direction, and in
    one dimension there is nothing to go around: there the path is the straight line.

    Source: Shoemake 1985; for generators, White 2016, "Sampling generative networks".
    """
    a, b, t = _ends(a, b, t)
    length_a, length_b = np.linalg.norm(a), np.linalg.norm(b)
    if len(a) == 1 or length_a == 0 or length_b == 0:
        return (1 - t) * a + t * b
    u, v = a / length_a, b / length_b
    across = v - (u @ v) * u
    if np.linalg.norm(across) < _PARALLEL:
        if u @ v > 0:
            return (1 - t) * a + t * b
        # The first of the smallest components: also of -u, so that the way back is the same way.
        across = np.eye(len(u))[np.abs(u).argmin()]
        angle = math.pi
    else:
        # Between unit vectors; exact for small and for wide angles, where arccos is not.
        angle = 2 * math.atan2(np.linalg.norm(v - u), np.linalg.norm(v + u))
    p = across / np.linalg.norm(across)
    p = p - (u @ p) * u  # again: rounding is magnified where `across` was short
    p /= np.linalg.norm(p)
    direction = np.cos(t * angle) * u + np.sin(t * angle) * p
    turned = ((1 - t) * length_a + t * length_b) * direction
    return np.where(t == 0, a, np.where(t == 1, b, turned))  # the ends exactly


def _ends(a: np.ndarray, b: np.ndarray, t: float | np.ndarray) -> tuple[np.ndarray, ...]:
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if a.ndim != 1 or a.shape != b.shape or len(a) == 0:
        raise ValueError(f"a and b must be vectors of one length, got {a.shape} and {b.shape}")
    return a, b, np.asarray(t, dtype=np.float64)[..., None]


def path(a: np.ndarray, b: np.ndarray, steps: int, interpolation: Interpolation) -> np.ndarray:
    """``steps`` vectors from ``a`` to ``b``, both included, (steps, d) of the dtype of ``a``."""
    if steps < 2:
        raise ValueError(f"a path has at least 2 steps, its ends, got {steps}")
    way = {Interpolation.SLERP: slerp, Interpolation.LERP: lerp}[interpolation]
    return way(a, b, np.linspace(0.0, 1.0, steps)).astype(np.asarray(a).dtype)


@dataclass(frozen=True)
class Evenness:
    """How evenly images change along paths.

    Attributes
    ----------
    ratio : float
        The largest step over the mean step of its path; the worst path counts. 1 if all steps are
        equal, n - 1 if the whole change of n images is one jump. 1 where nothing changes at all.
    row, step : int
        The path with this step, and the image before it.
    typical : float
        The median over the paths.
    """

    ratio: float
    row: int
    step: int
    typical: float


def evenness(images: np.ndarray) -> Evenness:
    """The largest of the Euclidean distances between neighbours, over their mean, on each path.

    ``images`` is (paths, steps, ...) with at least 3 steps.
    """
    images = np.asarray(images)
    if images.ndim < 3 or images.shape[1] < 3 or 0 in images.shape:
        raise ValueError(f"evenness: wants (paths, 3 steps or more, ...), got {images.shape}")
    flat = images.reshape(*images.shape[:2], -1).astype(np.float64)
    distances = np.sqrt((np.diff(flat, axis=1) ** 2).sum(axis=-1))
    mean = distances.mean(axis=1)
    ratios = np.where(mean > 0, distances.max(axis=1) / np.where(mean > 0, mean, 1), 1.0)
    row = int(ratios.argmax())
    return Evenness(float(ratios[row]), row, int(distances[row].argmax()),
                    float(np.median(ratios)))


# ------------------------------------------------------------------------------------- neighbours


def nearest_neighbours(queries: np.ndarray, references: np.ndarray, k: int
                       ) -> tuple[np.ndarray, np.ndarray]:
    """The ``k`` references nearest to each query, nearest first.

    Parameters
    ----------
    queries, references : array, (n, ...) and (m, ...)
        Rows are flattened. uint8 pixels count from 0 to 1, so that a distance does not depend on
        how an image is kept.
    k : int

    Returns
    -------
    index, distance : int64 and float64 arrays, (n, k)
        Euclidean. Equal distances are sorted by index, and equal rows are at exactly 0.

    Raises
    ------
    ValueError
        If the rows are not equally long, or ``k`` is not from 1 to m.
    """
    queries, references = np.asarray(queries), np.asarray(references)
    n, m = len(queries), len(references)
    if queries.shape[1:] != references.shape[1:] or queries.ndim < 2:
        raise ValueError(f"queries and references must have rows of one shape, got {queries.shape} "
                         f"and {references.shape}")
    if not 1 <= k <= m:
        raise ValueError(f"k must be from 1 to {m}, the number of references, got {k}")
    width = math.prod(queries.shape[1:])  # -1 would not do for no queries
    rows, references = _unit(queries.reshape(n, width)), references.reshape(m, width)
    index, squared = np.empty((n, 0), np.int64), np.empty((n, 0))
    for start in range(0, m, _BLOCK):
        block = _unit(references[start:start + _BLOCK])
        # |q - r|^2 = |q|^2 + |r|^2 - 2 q.r: one product of matrices for all pairs
        more = (rows**2).sum(axis=1)[:, None] + (block**2).sum(axis=1) - 2 * rows @ block.T
        places = np.broadcast_to(np.arange(start, start + len(block)), more.shape)
        squared, index = np.hstack([squared, more]), np.hstack([index, places])
        best = np.argsort(squared, axis=1, kind="stable")[:, :k]
        squared, index = (np.take_along_axis(x, best, axis=1) for x in (squared, index))
    # The few that are left once more, by differences: the product leaves 1e-7 of a distance of 0.
    distance = np.stack([np.sqrt(((rows[i] - _unit(references[index[i]])) ** 2).sum(axis=1))
                         for i in range(n)]) if n else squared
    order = np.lexsort((index, distance), axis=1)
    return np.take_along_axis(index, order, axis=1), np.take_along_axis(distance, order, axis=1)


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / 255.0 if rows.dtype == np.uint8 else rows.astype(np.float64)


# ------------------------------------------------------------------------------------- arithmetic


def arithmetic(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The means of three groups of vectors (n, d), (3, d), and mean(a) - mean(b) + mean(c), (d,).

    Single vectors give unstable results (Radford et al. 2016, section 6.3.2); means of three and
    more do not. They need not be equally many.
    """
    for name, group in zip("abc", (a, b, c), strict=True):
        if np.ndim(group) != 2 or len(group) == 0:
            raise ValueError(f"group {name} must be vectors (n, d), n >= 1, got {np.shape(group)}")
    means = np.stack([np.mean(group, axis=0) for group in (a, b, c)])
    return means, means[0] - means[1] + means[2]


def surround(z: np.ndarray, n: int, scale: float, generator: np.random.Generator) -> np.ndarray:
    """``n`` vectors (n, d): the middle one is ``z``, the others have uniform noise added.

    The noise is between -scale and scale in each component, as in figure 7 of Radford et al. 2016
    (n = 9, scale 0.25).
    """
    noise = generator.uniform(-scale, scale, (n, len(z)))
    noise[n // 2] = 0.0
    return (z + noise).astype(z.dtype)


def parse_numbers(text: str) -> list[int] | None:
    """``3,17,42`` as numbers, in order; None if the text is something else."""
    if not re.fullmatch(r"\s*\d+(\s*,\s*\d+)*\s*,?\s*", text):
        return None
    return [int(word) for word in re.findall(r"\d+", text)]


# ------------------------------------------------------------------------------ digits' attributes


class Attribute(StrEnum):
    """What can be asked of a digit besides its class."""

    THICK = "thick"
    THIN = "thin"
    LEFT = "left"
    RIGHT = "right"


# Of each attribute: the measure that it is about, and the end of it that is meant.
ATTRIBUTES: Mapping[Attribute, tuple[str, int]] = {
    Attribute.THICK: ("width", +1),
    Attribute.THIN: ("width", -1),
    Attribute.LEFT: ("slant", -1),
    Attribute.RIGHT: ("slant", +1),
}


@dataclass(frozen=True)
class Wish:
    """A digit with attributes, such as ``thick 3`` or ``thin left 7``."""

    digit: int
    attributes: tuple[Attribute, ...]

    def __str__(self) -> str:
        return " ".join([*self.attributes, str(self.digit)])

    @staticmethod
    def parse(text: str) -> Wish:
        """The wish that a user typed.

        Raises
        ------
        ValueError
            Unless the text holds one digit and one attribute or two that do not contradict.
        """
        words = text.lower().split()
        digits = [int(word) for word in words if word in set("0123456789")]
        known = [Attribute(word) for word in words if word in set(Attribute)]
        unknown = [word for word in words if not word.isdigit() and word not in set(Attribute)]
        measures = [ATTRIBUTES[attribute][0] for attribute in known]
        if unknown:
            raise ValueError(f"{unknown[0]!r} is none of {', '.join(Attribute)}")
        if len(digits) != 1 or len(digits) + len(known) != len(words):
            raise ValueError("wants one digit from 0 to 9")
        if not known or len(set(measures)) != len(measures):
            raise ValueError(f"wants one of {', '.join(Attribute)}, or one of thick and thin with "
                             "one of left and right")
        return Wish(digits[0], tuple(known))


def result_of(a: Wish, b: Wish, c: Wish) -> Wish | None:
    """The same sum in words: thick 3 - thin 3 + thin 7 is a thick 7; None if nothing plain is left.

    What b takes away, a or c must have; then one digit is left.
    """
    words: Counter[Any] = Counter()
    for wish, sign in ((a, 1), (b, -1), (c, 1)):
        for word in (wish.digit, *wish.attributes):
            words[word] += sign
    left = [word for word, count in words.items() if count]
    digits = [word for word in left if not isinstance(word, Attribute)]
    attributes = [word for word in left if isinstance(word, Attribute)]
    measures = [ATTRIBUTES[attribute][0] for attribute in attributes]
    is_plain = all(words[word] > 0 for word in left) and len(set(measures)) == len(measures)
    return Wish(digits[0], tuple(attributes)) if is_plain else None


def stroke_width(images: np.ndarray) -> np.ndarray:
    """The mean width of the strokes of uint8 images (n, h, w), bright on dark, in pixels, (n,).

    Twice the area over the length of the outline: a stroke of length L and width w has area L w and
    an outline of 2 L. The area is the zeroth moment; the length of the outline is the sum of
    |gradient| (coarea formula), so grey edges count as what they are, and a pale digit is as wide
    as a bright one. An image without any ink has width 0.
    """
    x = np.pad(_ink(images), ((0, 0), (1, 1), (1, 1)))
    # both differences in the middle of four pixels, so that no direction is preferred
    down, across = np.diff(x, axis=1), np.diff(x, axis=2)
    down = (down[:, :, 1:] + down[:, :, :-1]) / 2
    across = (across[:, 1:] + across[:, :-1]) / 2
    outline = np.sqrt(down**2 + across**2).sum(axis=(1, 2))
    area = x.sum(axis=(1, 2))
    return 2 * area / np.where(outline > 0, outline, 1.0)


def slant(images: np.ndarray) -> np.ndarray:
    """How far uint8 images (n, h, w) lean to the right: columns for each row upwards, (n,).

    The second moments of the ink give the line x = -slant * y that fits it best: mu_11 / mu_02, as
    in the deskewing of digits. 0 is upright, 1 leans by 45 degrees; an image without height has 0.
    """
    x = _ink(images)
    mass = x.sum(axis=(1, 2))
    share = x / np.where(mass > 0, mass, 1.0)[:, None, None]
    rows, columns = np.arange(x.shape[1])[:, None], np.arange(x.shape[2])[None, :]
    y = rows - (share * rows).sum(axis=(1, 2))[:, None, None]
    across = columns - (share * columns).sum(axis=(1, 2))[:, None, None]
    mu_11 = (share * y * across).sum(axis=(1, 2))
    mu_02 = (share * y**2).sum(axis=(1, 2))
    return np.where(mu_02 > 0, -mu_11 / np.where(mu_02 > 0, mu_02, 1.0), 0.0)


def _ink(images: np.ndarray) -> np.ndarray:
    images = np.asarray(images)
    if images.dtype != np.uint8 or images.ndim != 3:
        raise ValueError(f"wants grey uint8 images (n, h, w), got {images.dtype} {images.shape}")
    return images / 255.0


@dataclass(frozen=True, eq=False)
class JudgedDigits:
    """What the frozen classifier and the measures say of digits.

    Attributes
    ----------
    probabilities : array, (n, 10)
    measures : mapping of name to array (n,)
        Those that `ATTRIBUTES` are about.
    """

    probabilities: np.ndarray
    measures: Mapping[str, np.ndarray]

    @staticmethod
    def of(images: np.ndarray) -> JudgedDigits:
        """Judge uint8 images (n, 28, 28)."""
        measures = {"width": stroke_width(images), "slant": slant(images)}
        return JudgedDigits(load_classifier().probabilities(images), measures)

    def sure(self, digit: int) -> np.ndarray:
        """The numbers of those that the classifier takes for ``digit``, at least `SURE` of it."""
        return np.flatnonzero(self.probabilities[:, digit] >= SURE)

    def median(self, name: str, digit: int) -> float:
        """The median of a measure among those; NaN if there are none."""
        found = self.measures[name][self.sure(digit)]
        return float(np.median(found)) if len(found) else math.nan

    def best(self, wish: Wish, n: int) -> np.ndarray:
        """The numbers of the ``n`` best examples of a wish, best first.

        Of the digit's quarter that has most of the attributes, those of which the classifier is
        most sure. The utmost in an attribute would be worse examples: what is thinnest among
        generated digits is often torn, and what is thickest a blot. Attributes are compared in
        standard deviations, so that two of them weigh alike.

        Raises
        ------
        ValueError
            If fewer than ``n`` are of the digit and on the wished side of its medians.
        """
        found = self.sure(wish.digit)
        total, fits = np.zeros(len(found)), np.ones(len(found), dtype=bool)
        if len(found):
            for attribute in wish.attributes:
                name, sign = ATTRIBUTES[attribute]
                offset = sign * (self.measures[name][found] - self.median(name, wish.digit))
                total += offset / (offset.std() or 1.0)
                fits &= offset > 0
        if fits.sum() < n:
            raise ValueError(f"of {len(self.probabilities):,} samples only {fits.sum()} are a "
                             f"{wish} to the classifier and the measures, {n} are wanted")
        order = np.argsort(-total[fits], kind="stable")[:max(n, len(found) // 4)]
        quarter = found[fits][order]
        certain = np.argsort(-self.probabilities[quarter, wish.digit], kind="stable")
        return quarter[certain[:n]]

    def meets(self, wish: Wish, pool: JudgedDigits) -> np.ndarray:
        """Whether each is a ``wish`` (n,): of the digit, and beyond the medians of it in ``pool``.

        Where ``pool`` has none of the digit, nothing is.
        """
        good = self.probabilities.argmax(axis=1) == wish.digit
        for attribute in wish.attributes:
            name, sign = ATTRIBUTES[attribute]
            good &= sign * (self.measures[name] - pool.median(name, wish.digit)) > 0
        return good


# -------------------------------------------------------------------------------------- animation


def step_pictures(folder: Path) -> list[tuple[int, Path]]:
    """The pictures ``step_XXXXXX.png`` in a folder with their steps, first step first.

    Raises
    ------
    ValueError
        If there are fewer than two: nothing would move.
    """
    names = [(re.fullmatch(r"step_(\d+)\.png", file.name), file) for file in folder.glob("*.png")]
    found = sorted((int(name[1]), file) for name, file in names if name)
    if len(found) < 2:
        raise ValueError(f"{folder}: an animation needs two pictures step_*.png, there "
                         f"{'is 1' if len(found) == 1 else 'are none'}")
    return found


def animation_frames(pictures: Sequence[tuple[int, Path]], width: int | None = None
                     ) -> list[Image.Image]:
    """Pictures as frames of one size, each with its step written below.

    Parameters
    ----------
    pictures : sequence of (step, path)
    width : int, optional
        Of the frames in pixels; that of the first picture without it. A multiple of the pictures'
        width repeats pixels, other widths are interpolated.

    Raises
    ------
    ValueError
        If a picture cannot be read, or its size is not that of the first.
    """
    frames = []
    size = None
    for step, file in pictures:
        try:
            with Image.open(file) as opened:
                picture = opened.convert("L" if opened.mode == "L" else "RGB")
        except (OSError, SyntaxError) as error:  # Pillow raises both
            raise ValueError(f"{file}: cannot be read as a picture ({error})") from error
        size = size or picture.size
        if picture.size != size:
            raise ValueError(f"{file}: the picture is {picture.width} x {picture.height}, the "
                             f"first one {size[0]} x {size[1]}; they must be of one size")
        if width is not None:
            height = max(1, round(size[1] * width / size[0]))
            exact = width % size[0] == 0
            picture = picture.resize((width, height), Image.Resampling.NEAREST if exact
                                     else Image.Resampling.LANCZOS)
        frames.append(plots.with_caption(picture, f"step {step:,}"))
    return frames


def animation_durations(n: int, fps: float, hold: float = 2.0) -> list[int]:
    """Milliseconds of each of ``n`` frames: equal, and the last one stays ``hold`` seconds longer.

    GIF counts in hundredths of a second, so they are rounded to those.
    """
    each = max(1, round(100 / fps))
    return [10 * each] * (n - 1) + [10 * (each + round(100 * hold))]
