"""What is trained on, and how good samples of it are: one report for every kind of data.

``open_data`` turns what a user typed (a set, a toy, a file, a folder) into ``TrainingData``, and
``judge`` gives the ``Judge`` of such data: a few numbers on a small sample while training
(``live``) and the whole report on many samples (``evaluate``). Nothing here draws from the
generator that training uses.

============  ==============================================================================
digits        classifier score, class shares, Frechet distance (FCD), nearest-neighbour ratio
mixtures      modes found, share of samples near a mode
other toys    error of mean and covariance, two-sample accuracy
other images  sharpness and, where there are held-back images, the nearest-neighbour ratio
============  ==============================================================================

Every value stands beside what real data score, and beside its floor: what a perfect generator
scores with so many samples.

Leaves out: data that come in pairs or in two collections (``gans.translation``), and judging of
images that have labels but no classifier here.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import hashlib
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from minigrad.data import (
    EMBEDDED,
    ArrayDataset,
    DataError,
    Dataset,
    ImageArrays,
    UnknownDataError,
    open_dataset,
    to_tanh_range,
    to_uint8,
)
from minigrad.data.download import DOWNLOADS

from . import metrics
from .classifier import load_classifier
from .toys import TOYS, Toy

__all__ = ["Evaluation", "Judge", "ModelJudge", "Score", "TrainingData", "judge", "open_data",
           "real_rows", "spread"]

TOY_POINTS = 1 << 16  # points drawn from a toy: the data set that is trained on
SAMPLES = 2000  # generated and training images that a full evaluation compares
LIVE_SAMPLES = 500
SPREAD_ROWS = 64  # rows whose mean distance the monitor compares
PERFECT_QUALITY = 1.0 - float(np.exp(-4.5))  # share of a plane Gaussian within 3 sigma: 0.989
DIGITS = ("digits", "mnist")


# ------------------------------------------------------------------------------------------- data


@dataclass(frozen=True, eq=False)
class TrainingData:
    """A data set as training and judging need it.

    Attributes
    ----------
    spec : str
        What opens it again; paths are absolute.
    name : str
        For the names of run folders.
    shape : tuple of int
        Of one item as networks see it: (c, h, w) for images in [-1, 1], (2,) for points.
    dataset : Dataset
        Float32 items of this shape.
    train, held_out : array or None
        uint8 images (n, h, w) or (n, h, w, 3), or points (n, 2); images that are not trained on,
        None where the source has no test part.
    toy : Toy or None
        The true distribution, if the data are points.
    notes : tuple of str
        What the user should know: few pictures, enlarged pictures.
    size, grey
        How pictures of a folder were read.
    judged_by : callable or None
        Makes the judge of data that need one of their own.
    """

    spec: str
    name: str
    shape: tuple[int, ...]
    dataset: Dataset
    train: np.ndarray
    held_out: np.ndarray | None = None
    toy: Toy | None = None
    notes: tuple[str, ...] = ()
    size: int = 32
    grey: bool = False
    judged_by: Callable[[TrainingData], ModelJudge] | None = None

    @functools.cached_property
    def sha256(self) -> str:
        """A fingerprint of the training items, so that changed data are noticed."""
        digest = hashlib.sha256(f"{self.train.dtype} {self.train.shape}".encode())
        digest.update(np.ascontiguousarray(self.train).data)
        return digest.hexdigest()

    @property
    def is_digits(self) -> bool:
        """Whether the project's digit classifier can judge samples of it."""
        return self.name in DIGITS and self.shape == (1, 28, 28)

    def describe(self) -> dict[str, Any]:
        """What a run's ``config.json`` holds about its data."""
        return {"spec": self.spec, "name": self.name, "shape": list(self.shape),
                "items": len(self.train), "size": self.size, "grey": self.grey,
                "sha256": self.sha256}


def open_data(spec: str, *, size: int = 32, grey: bool = False) -> TrainingData:
    """A toy by name, or images by name or path (see ``minigrad.data.open_dataset``).

    All items are kept in memory as float32: four bytes for each value.

    Raises
    ------
    DataError
        If there is nothing of this name (the message suggests the nearest), or it is damaged.
    """
    if spec in TOYS:
        toy = TOYS[spec]
        points = toy.sample(TOY_POINTS, np.random.default_rng(0))
        return TrainingData(spec, spec, (2,), ArrayDataset((points,)), points, toy=toy)
    try:
        found = open_dataset(spec, size=size, grey=grey)
    except UnknownDataError:
        raise DataError(_unknown(spec)) from None
    except FileNotFoundError as error:
        raise DataError(f"{error.filename}: no such file") from None
    images = to_tanh_range(found.images)
    name = re.sub(r"[^A-Za-z0-9.]+", "-", found.name).strip("-.") or "data"
    return TrainingData(_absolute(spec), name, images.shape[1:], ArrayDataset((images,)),
                        found.images, _held_out(spec, found, size, grey), notes=found.notes,
                        size=size, grey=grey)


def _absolute(spec: str) -> str:
    """The spec with a relative path made absolute, so that a run can be resumed from anywhere."""
    if spec.startswith("folder:"):
        return f"folder:{Path(spec.removeprefix('folder:')).expanduser().absolute()}"
    path, part = (spec[:-2], spec[-2:]) if spec[-2:] in (":a", ":b") else (spec, "")
    is_name = path in (*EMBEDDED, "emoji32", *DOWNLOADS) or not Path(path).exists()
    return spec if is_name else f"{Path(path).absolute()}{part}"


def _held_out(spec: str, found: ImageArrays, size: int, grey: bool) -> np.ndarray | None:
    """Images that are not trained on, in an order in which the two halves are alike.

    Rows may be sorted, by class or, as emoji, by style: one style is no measure of what is unseen
    in the other. Every second row comes first, so that both styles of an emoji are in one half.
    """
    try:
        test = open_dataset(spec, train=False, size=size, grey=grey).images
    except DataError:
        return None
    if test.shape[1:] != found.images.shape[1:]:
        return None
    if found.name in DIGITS:
        return test  # shuffled already, and published numbers are of this order
    return np.concatenate([test[::2], test[1::2]])


def _unknown(spec: str) -> str:
    known = [*EMBEDDED, "emoji:a", "emoji:b", *DOWNLOADS, *TOYS]
    near = difflib.get_close_matches(spec, known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}"
    missing = os.sep in spec or spec.endswith(".npz")
    wanted = "a file or folder that exists" if missing else "a data set, a file or a folder"
    return f"--data {spec}: not {wanted}; {hint} (gans list shows all)"


# ----------------------------------------------------------------------------------------- scores


@dataclass(frozen=True)
class Score:
    """One number of a report.

    Attributes
    ----------
    name, label : str
        For files and for people.
    value : float
        Of the generated samples.
    real : float or None
        Of real data that were not trained on, measured in the same way.
    floor : float or None
        Of a perfect generator with as many samples, where that differs from its ideal value.
    note : str
    """

    name: str
    label: str
    value: float
    real: float | None = None
    floor: float | None = None
    note: str = ""


@dataclass(frozen=True)
class Evaluation:
    """What ``Judge.evaluate`` found on ``n`` samples of a model of ``data``."""

    data: str
    n: int
    scores: tuple[Score, ...]
    notes: tuple[str, ...] = ()

    def __getitem__(self, name: str) -> Score:
        for score in self.scores:
            if score.name == name:
                return score
        raise KeyError(f"no score {name!r}; there are {[score.name for score in self.scores]}")

    def lines(self) -> list[str]:
        """The report as a table of text."""
        width = max(len(score.label) for score in self.scores)
        head = f"{self.n:,} samples against {self.data}"
        lines = [f"{head:{width + 2}}  {'samples':>9} {'real data':>10} {'floor':>8}"]
        for score in self.scores:
            real, floor = _short(score.real), _short(score.floor)
            lines.append(f"  {score.label:{width}}  {_short(score.value):>9} {real:>10} "
                         f"{floor:>8}  {score.note}".rstrip())
        return lines + [f"  note: {note}" for note in self.notes]

    def to_json(self) -> dict[str, Any]:
        """Plain values that JSON can hold."""
        return dataclasses.asdict(self)

    @staticmethod
    def from_json(values: Mapping[str, Any]) -> Evaluation:
        """The report that ``to_json`` gave."""
        scores = tuple(Score(**score) for score in values["scores"])
        return Evaluation(values["data"], values["n"], scores, tuple(values["notes"]))


def _short(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"


class Judge(Protocol):
    """Measures samples of one data set.

    Attributes
    ----------
    live_samples : int
        How many samples ``live`` wants.
    perfect : dict of str to float
        What real data score in each number of ``live``, for curves and the progress bar.
    """

    live_samples: int
    perfect: dict[str, float]

    def live(self, samples: np.ndarray) -> dict[str, float]:
        """A few numbers on a small sample; the first is the one that the progress bar shows."""

    def evaluate(self, samples: np.ndarray) -> Evaluation:
        """The whole report. Samples are as the model gives them: NCHW in [-1, 1], or (n, 2)."""


class ModelJudge(ABC):
    """Measures and draws a model itself, where samples from noise are not what it makes.

    Attributes
    ----------
    perfect : dict of str to float
        What a perfect model scores in each number of ``live``.
    """

    perfect: dict[str, float]

    @abstractmethod
    def live(self, model: Any, seed: int) -> dict[str, float]:
        """A few numbers; the first is the one that the progress bar shows."""

    @abstractmethod
    def spread(self, model: Any, seed: int) -> float:
        """How different what it makes is, as a share of how different real items are."""

    @abstractmethod
    def draw(self, model: Any, path: Path, seed: int) -> None:
        """Write a picture of what it makes."""

    @abstractmethod
    def evaluate(self, model: Any, n: int, seed: int) -> Evaluation:
        """The whole report."""


def judge(data: TrainingData) -> Judge | ModelJudge:
    """The judge of ``data``; data may bring their own."""
    if data.judged_by is not None:
        return data.judged_by(data)
    if data.is_digits:
        return DigitsJudge(data)
    if data.toy is None:
        return ImagesJudge(data)
    return MixtureJudge(data) if data.toy.centres is not None else CloudJudge(data)


def _pick(rows: np.ndarray, n: int) -> np.ndarray:
    """``n`` rows (or all), always the same ones."""
    return rows[np.random.default_rng(0).permutation(len(rows))[:n]]


class DigitsJudge:
    """Digits are judged by ``classifier_v1``, whose opinion of real test digits stands beside."""

    live_samples = LIVE_SAMPLES

    def __init__(self, data: TrainingData) -> None:
        if data.held_out is None:
            raise DataError(f"{data.name}: the digits have no test part to compare with")
        self.data, self.held_out = data, data.held_out
        self.classifier = load_classifier()
        real = self.classifier.probabilities(_pick(self.held_out, LIVE_SAMPLES))
        self.perfect = {"score": metrics.classifier_score(real)}

    def live(self, samples: np.ndarray) -> dict[str, float]:
        """The classifier score."""
        answers = self.classifier.probabilities(to_uint8(samples))
        return {"score": metrics.classifier_score(answers)}

    def evaluate(self, samples: np.ndarray) -> Evaluation:
        """Classifier score, class shares, FCD and nearest-neighbour ratio."""
        images = to_uint8(samples)
        answers, real_answers = map(self.classifier.probabilities, (images, self.held_out))
        shares, real_shares = map(metrics.class_histogram, (answers, real_answers))
        score, real_score = map(metrics.classifier_score, (answers, real_answers))
        scores = [
            Score("score", "classifier score, at most 10", score, real_score,
                  note=f"score/real {score / real_score:.2f}"),
            Score("min_share", "smallest class, % of samples", 100 * shares.min(),
                  100 * real_shares.min(), note=f"class {shares.argmin()}"),
            Score("class_tv", "% in the wrong class", 100 * metrics.class_total_variation(
                shares, real_shares), 0.0, 100 * _floor_of_class_tv(len(images), real_shares)),
            self._frechet(images),
            self._neighbours(images),
        ]
        return Evaluation(self.data.name, len(images), tuple(scores))

    def _frechet(self, images: np.ndarray) -> Score:
        train = self.classifier.features(self.data.train)
        n = min(len(images), len(train) // 2)
        reference = _pick(train, n)
        value, real = (
            metrics.whitened_frechet_distance(self.classifier.features(x), reference)
            for x in (images[:n], self.held_out)
        )
        floor = metrics.frechet_floor(train, n, np.random.default_rng(1))
        return Score("fcd", f"Frechet distance to {n:,} training digits", value, real, floor,
                     f"real: {len(self.held_out):,} test digits")

    def _neighbours(self, images: np.ndarray) -> Score:
        half = len(self.held_out) // 2
        value = metrics.nearest_neighbour_ratio(images, self.data.train, self.held_out)
        real = metrics.nearest_neighbour_ratio(self.held_out[:half], self.data.train,
                                               self.held_out[half:])
        return Score("nn_ratio", "nearest neighbours, train/unseen", value, real,
                     note="copies of training digits give 0")


def _floor_of_class_tv(n: int, shares: np.ndarray) -> float:
    """The mean class error of ``n`` real digits: what chance alone does."""
    draws = np.random.default_rng(0).multinomial(n, shares, size=200) / n
    return float(0.5 * np.abs(draws - shares).sum(axis=1).mean())


class MixtureJudge:
    """Rings and grids: are all modes there, and do the samples lie on them?"""

    live_samples = 1000

    def __init__(self, data: TrainingData) -> None:
        assert data.toy is not None
        self.data, self.toy = data, data.toy
        self.perfect = {"modes": float(len(self.toy.centres)), "quality": PERFECT_QUALITY}

    def live(self, samples: np.ndarray) -> dict[str, float]:
        """Modes with at least 1 % of the samples, and the share of samples near a mode."""
        report = metrics.modes_and_quality(samples, self.toy.centres, self.toy.sigma)
        return {"modes": float(report.modes_one_percent), "quality": report.high_quality}

    def evaluate(self, samples: np.ndarray) -> Evaluation:
        """Modes, share of high quality, evenness of the modes."""
        real = self.toy.sample(len(samples), np.random.default_rng(1))
        found, true = (metrics.modes_and_quality(x, self.toy.centres, self.toy.sigma)
                       for x in (samples, real))
        total = found.total_modes
        scores = (
            Score("modes", f"modes found, of {total}", found.modes, true.modes),
            Score("modes_1pct", "modes with 1 % or more", found.modes_one_percent,
                  true.modes_one_percent),
            Score("quality", "% of samples within 3 sigma", 100 * found.high_quality,
                  100 * true.high_quality, note=f"perfect: {100 * PERFECT_QUALITY:.1f}"),
            Score("reverse_kl", "unevenness of modes, nats", found.reverse_kl, true.reverse_kl),
        )
        return Evaluation(self.data.name, len(samples), scores)


class CloudJudge:
    """Toys without modes: mean, covariance, and whether a neighbour tells samples from real."""

    live_samples = 1000

    def __init__(self, data: TrainingData) -> None:
        assert data.toy is not None
        self.data, self.toy = data, data.toy
        real = self._errors(self.toy.sample(self.live_samples, np.random.default_rng(1)))
        self.perfect = {"mean_error": real[0], "variance_error": real[2]}

    def _errors(self, points: np.ndarray) -> tuple[float, float, float]:
        """Of the mean: distance; of the covariance: share of its norm, and the worst direction.

        The norm of a stretched covariance is that of its long direction alone: samples on a line
        can be within 12 %. So the variance is compared in every direction, too: the largest
        |v - 1| over the eigenvalues v of S_true^-1 S.
        """
        points = np.asarray(points, dtype=np.float64)
        covariance, true = np.cov(points, rowvar=False), self.toy.cov
        values = np.linalg.eigvals(np.linalg.solve(true, covariance)).real
        return (float(np.linalg.norm(points.mean(axis=0) - self.toy.mean)),
                float(np.linalg.norm(covariance - true) / np.linalg.norm(true)),
                float(np.abs(values - 1).max()))

    def live(self, samples: np.ndarray) -> dict[str, float]:
        """Error of the mean, and of the variance in the worst direction (a share)."""
        mean, _, variance = self._errors(samples)
        return {"mean_error": mean, "variance_error": variance}

    def evaluate(self, samples: np.ndarray) -> Evaluation:
        """Errors of mean and covariance, and two-sample accuracy."""
        draw = np.random.default_rng(1)
        real, other = (self.toy.sample(len(samples), draw) for _ in range(2))
        (mean, cov, variance), (real_mean, real_cov, real_variance) = map(
            self._errors, (samples, real))
        told, real_told = (metrics.two_sample_accuracy(x, other).overall for x in (samples, real))
        scores = (
            Score("mean_error", "distance of the means", mean, real_mean),
            Score("cov_error", "error of the covariance, %", 100 * cov, 100 * real_cov),
            Score("variance_error", "the same in the worst direction, %", 100 * variance,
                  100 * real_variance, note="100: all samples on a line"),
            Score("two_sample", "told from real by 1 neighbour, %", 100 * told, 100 * real_told,
                  note="ideal: 50"),
        )
        centre = np.asarray(samples, dtype=np.float64).mean(axis=0)
        learned = f"learned mean ({centre[0]:.3g}, {centre[1]:.3g}), true mean " \
                  f"({self.toy.mean[0]:.3g}, {self.toy.mean[1]:.3g})"
        return Evaluation(self.data.name, len(samples), scores, (learned,))


class ImagesJudge:
    """Images without a judge of their own: only blur and copying can be measured."""

    live_samples = 200
    perfect: dict[str, float]

    def __init__(self, data: TrainingData) -> None:
        self.data = data
        self.perfect = {"sharpness": 1.0}

    def live(self, samples: np.ndarray) -> dict[str, float]:
        """Gradient energy over that of the training images."""
        return {"sharpness": metrics.sharpness(to_uint8(samples), _pick(self.data.train, 2000))}

    def evaluate(self, samples: np.ndarray) -> Evaluation:
        """Sharpness, and the nearest-neighbour ratio where there are held-back images."""
        images, held_out = to_uint8(samples), self.data.held_out
        train = self.data.train
        enough = held_out is not None and len(held_out) >= 16
        real = metrics.sharpness(held_out, train) if enough else None
        scores = [Score("sharpness", "sharpness", metrics.sharpness(images, train), real,
                        note="1 is ideal; below blurred, above noisy")]
        notes = [f"{self.data.name} has no classifier here: only blur and copying were measured, "
                 "not how real the images look"]
        if enough:
            half = len(held_out) // 2
            scores.append(Score(
                "nn_ratio", "nearest neighbours, train/unseen",
                metrics.nearest_neighbour_ratio(images, train, held_out),
                metrics.nearest_neighbour_ratio(held_out[:half], train, held_out[half:]),
                note="copies of training images give 0"))
        else:
            notes.append("there are no held-back images, so copying cannot be measured")
        return Evaluation(self.data.name, len(images), tuple(scores), tuple(notes))


def spread(samples: np.ndarray) -> float:
    """Mean distance of a few samples, for the monitor (see ``metrics.mean_pairwise_distance``)."""
    return metrics.mean_pairwise_distance(samples[:SPREAD_ROWS])


def real_rows(data: TrainingData, n: int) -> np.ndarray:
    """``n`` training items as networks see them, always the same."""
    return data.dataset[np.arange(len(data.train))[:: max(1, len(data.train) // n)][:n]][0]
