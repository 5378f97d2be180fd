"""Numbers that say how good samples are: coverage, quality, distance, copying.

A GAN's losses do not say whether it works; these do. Each compares generated samples with known
modes (`modes_and_quality`), with real samples (`frechet_distance`, `kid`, `two_sample_accuracy`,
`sharpness`), with a classifier's opinion (`classifier_score`, `class_total_variation`), or asks
whether the generator repeats its training set (`nearest_neighbour_ratio`).

Three rules hold for all of them:

- Inputs are host arrays (NumPy) of any dtype, and sums run in float64. Distances are computed in
  pieces, so memory stays at some tens of MB.
- A perfect generator does not score a perfect value, because samples are finite. Print the floor
  (two real sets of the same size, `frechet_floor`) beside the number.
- Numbers of different sample sizes, or of different classifiers, are not comparable. In
  particular none of these is the Inception Score or the FID of a paper.

NaN in the input is refused with the row where it is, never averaged away.

Left out: Inception features and their published scores, precision/recall curves, log-likelihood
by Parzen windows (misleading: Theis et al. 2016), the classifier itself, any plot.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

_CHUNK = 512  # rows of one block of a distance matrix: 512 x 4096 float64 are 16 MB


# ---------------------------------------------------------------------------------------------
# checks and distances


def _rows(name: str, array: np.ndarray, least: int = 1) -> np.ndarray:
    """The array as (n, d), trailing axes flattened, refused unless finite with n >= least."""
    array = np.asarray(array)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{name} must hold real numbers, got dtype {array.dtype}")
    if array.ndim < 2:
        raise ValueError(f"{name} must have one row per sample, shape (n, d), got {array.shape}")
    if len(array) < least:
        raise ValueError(f"{name} must have at least {least} rows, got shape {array.shape}")
    array = array.reshape(len(array), -1)
    if array.shape[1] == 0:
        raise ValueError(f"{name} must have at least one column, got shape {array.shape}")
    bad = ~np.isfinite(array).all(axis=1)
    if bad.any():
        raise ValueError(
            f"{name}: {int(bad.sum())} of {len(array)} rows hold NaN or infinity, the first is "
            f"row {int(bad.argmax())}; the network that made them has diverged"
        )
    return array


def _features(name: str, array: np.ndarray, least: int = 1) -> np.ndarray:
    """The array as (n, d) float64; unlike `_rows` it takes no images."""
    array = np.asarray(array)
    if array.ndim != 2:
        raise ValueError(
            f"{name} must be features of shape (n, d), got {array.shape}; "
            f"flatten images or pass them through a classifier first"
        )
    return _rows(name, array, least).astype(np.float64)


def _same_width(name_a: str, a: np.ndarray, name_b: str, b: np.ndarray) -> None:
    if a.shape[1] != b.shape[1]:
        raise ValueError(
            f"{name_a} and {name_b} must have equally long rows, got {a.shape} and {b.shape}"
        )


def _chunks(n: int, size: int) -> Iterator[slice]:
    for start in range(0, n, size):
        yield slice(start, min(start + size, n))


def _squared_distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """|a_i - b_j|^2 for all pairs, (n, m), by one matrix product: |a|^2 + |b|^2 - 2 a.b."""
    sums = (a * a).sum(axis=1)[:, None] + (b * b).sum(axis=1)[None, :]
    squared = sums - 2.0 * (a @ b.T)
    squared[squared < 1e-13 * sums] = 0.0  # what rounding leaves of the distance of equal rows
    return squared


def _nearest(queries: np.ndarray, references: np.ndarray) -> np.ndarray:
    """Euclidean distance of each query row to its nearest reference row, shape (n,) float64."""
    centre = references.mean(axis=0, dtype=np.float64)  # small numbers keep small differences
    best = np.full(len(queries), np.inf)
    for columns in _chunks(len(references), 8 * _CHUNK):
        block = references[columns] - centre
        for rows in _chunks(len(queries), _CHUNK):
            squared = _squared_distances(queries[rows] - centre, block)
            best[rows] = np.minimum(best[rows], squared.min(axis=1))
    return np.sqrt(best)


def _probabilities(name: str, probabilities: np.ndarray) -> np.ndarray:
    p = _features(name, probabilities)
    if p.min() < -1e-6 or np.abs(p.sum(axis=1) - 1.0).max() > 1e-3:
        raise ValueError(
            f"{name} must be rows of probabilities: values >= 0 that sum to 1, got a smallest "
            f"value of {p.min():.4g} and row sums from {p.sum(axis=1).min():.4g} to "
            f"{p.sum(axis=1).max():.4g}; apply softmax to logits first"
        )
    return p / p.sum(axis=1, keepdims=True)


def _entropy(p: np.ndarray) -> np.ndarray:
    """-sum p log p along the last axis in nats, with 0 log 0 = 0."""
    return -(p * np.log(np.where(p > 0, p, 1.0))).sum(axis=-1)


# ---------------------------------------------------------------------------------------------
# known modes


@dataclass(frozen=True)
class ModeReport:
    """What `modes_and_quality` found.

    Attributes
    ----------
    modes : int
        Modes with at least one high-quality sample.
    modes_one_percent : int
        Modes whose high-quality samples are at least 1 % of all samples: the stricter count.
    total_modes : int
        How many modes there are.
    high_quality : float
        Share of samples within 3 sigma of a centre, 0 to 1. In the plane a perfect sampler
        scores 1 - exp(-9/2) = 0.989, not 1.
    reverse_kl : float
        KL(generated modes || uniform) in nats, every sample counted for its nearest centre. A
        perfect sampler scores about (k - 1) / (2 n): 0.0014 for 8 modes, 0.005 for 25, n = 2500.
    histogram : tuple of int
        Samples per nearest centre; sums to n.
    high_quality_histogram : tuple of int
        High-quality samples per centre.
    """

    modes: int
    modes_one_percent: int
    total_modes: int
    high_quality: float
    reverse_kl: float
    histogram: tuple[int, ...]
    high_quality_histogram: tuple[int, ...]


def modes_and_quality(samples: np.ndarray, centres: np.ndarray, sigma: float) -> ModeReport:
    """Which modes of a known mixture are hit, and how many samples lie close to one.

    Parameters
    ----------
    samples : array, (n, d)
        Generated points; the usual number is 2500.
    centres : array, (k, d)
        The true centres.
    sigma : float
        Standard deviation of each mode along each axis. A sample is of high quality when it is
        at most 3 sigma from a centre.

    Raises ValueError for shapes that do not fit, NaN, or sigma <= 0.

    Source: the protocol of VEEGAN (Srivastava et al. 2017); reverse KL over nearest modes as in
    PacGAN (Lin et al. 2018).
    """
    samples = _features("samples", samples)
    centres = _features("centres", centres)
    _same_width("samples", samples, "centres", centres)
    if not (math.isfinite(sigma) and sigma > 0):
        raise ValueError(f"sigma must be a positive number, got {sigma!r}")
    n, k = len(samples), len(centres)
    nearest = np.empty(n, dtype=np.int64)
    squared = np.empty(n)
    for rows in _chunks(n, _CHUNK):
        block = _squared_distances(samples[rows], centres)
        nearest[rows] = block.argmin(axis=1)
        squared[rows] = block.min(axis=1)
    good = squared <= (3.0 * sigma) ** 2
    histogram = np.bincount(nearest, minlength=k)
    good_histogram = np.bincount(nearest[good], minlength=k)
    return ModeReport(
        modes=int((good_histogram > 0).sum()),
        modes_one_percent=int((100 * good_histogram >= n).sum()),
        total_modes=k,
        high_quality=float(good.mean()),
        reverse_kl=float(max(0.0, math.log(k) - _entropy(histogram / n))),
        histogram=tuple(histogram.tolist()),
        high_quality_histogram=tuple(good_histogram.tolist()),
    )


def mean_pairwise_distance(batch: np.ndarray) -> float:
    """Mean Euclidean distance over all pairs of different rows: the spread of a small batch.

    Takes (n, d) or images, flattened; n >= 2 (16 to 64 is plenty, cost grows as n^2). The spread
    of generated samples over that of real ones is what `gans.monitor` watches for collapse.
    Raises ValueError for fewer than two rows or NaN.
    """
    rows = _rows("batch", batch, least=2).astype(np.float64)
    rows -= rows.mean(axis=0)
    distances = np.sqrt(_squared_distances(rows, rows))
    np.fill_diagonal(distances, 0.0)
    return float(distances.sum() / (len(rows) * (len(rows) - 1)))


# ---------------------------------------------------------------------------------------------
# a classifier's opinion


def classifier_score(probabilities: np.ndarray) -> float:
    """exp(mean KL(p(y|x) || p(y))): high when each image is clear and the classes are varied.

    Parameters
    ----------
    probabilities : array, (n, k)
        p(y|x) of a classifier trained on the real images, one row per generated image.

    Lies between 1 (every row the same) and k (certain, and classes equally frequent). It cannot
    see copying, nor a single image per class. Raises ValueError for rows that are no
    probabilities.

    Source: the formula of the Inception Score (Salimans et al. 2016), with our own classifier:
    not comparable with published Inception Scores.
    """
    p = _probabilities("probabilities", probabilities)
    # mean KL(p(y|x) || p(y)) = entropy of the mean - mean of the entropies
    return float(np.exp(max(0.0, _entropy(p.mean(axis=0)) - _entropy(p).mean())))


def class_histogram(probabilities: np.ndarray) -> np.ndarray:
    """Share of samples that the classifier puts into each class, shape (k,), sums to 1.

    Takes p(y|x) of shape (n, k); the class is the most probable one. Raises ValueError for rows
    that are no probabilities.
    """
    p = _probabilities("probabilities", probabilities)
    return np.bincount(p.argmax(axis=1), minlength=p.shape[1]) / len(p)


def class_total_variation(histogram: np.ndarray, reference: np.ndarray | None = None) -> float:
    """Half the sum of |p - q| over classes: the share of samples that are in the wrong class.

    Parameters
    ----------
    histogram : array, (k,)
        Class counts or shares of the generated samples (`class_histogram`).
    reference : array, (k,), optional
        Those of the real samples; equal shares if left out.

    0 is equal, 1 disjoint. A perfect sampler of k equal classes scores about
    sqrt((k - 1) / (2 pi n)): 0.027 for 10 classes and 2000 samples. Raises ValueError for
    different lengths, negative entries or an empty histogram.
    """
    p = np.asarray(histogram, dtype=np.float64)
    q = np.ones(p.shape) if reference is None else np.asarray(reference, dtype=np.float64)
    if p.ndim != 1 or p.shape != q.shape:
        raise ValueError(f"histograms must be two vectors of k, got {p.shape} and {q.shape}")
    for name, h in (("histogram", p), ("reference", q)):
        if not (np.isfinite(h).all() and (h >= 0).all() and h.sum() > 0):
            raise ValueError(f"{name} must be counts or shares >= 0, not all zero, got {h}")
    return float(0.5 * np.abs(p / p.sum() - q / q.sum()).sum())


# ---------------------------------------------------------------------------------------------
# distance of two sets of features


def _mean_and_covariance(name: str, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean (d,) and unbiased covariance (d, d) of features (n, d), n >= 2d."""
    features = _features(name, features)
    n, d = features.shape
    if n < 2 * d or n < 2:
        raise ValueError(
            f"{name}: {n} rows are too few to estimate a covariance of {d} features; give at "
            f"least {max(2, 2 * d)} rows or use fewer features (kid needs only 2 rows)"
        )
    mean = features.mean(axis=0)
    offsets = features - mean
    return mean, offsets.T @ offsets / (n - 1)


def frechet_distance(features_a: np.ndarray, features_b: np.ndarray) -> float:
    """Squared Frechet distance of two sets, each taken for a Gaussian.

    |m_a - m_b|^2 + tr S_a + tr S_b - 2 tr (S_a S_b)^(1/2), means m and covariances S.

    Parameters
    ----------
    features_a, features_b : array, (n, d) and (m, d)
        Features of one network for both sets; n and m at least 2d.

    Notes
    -----
    The trace of the root is the sum of the roots of the eigenvalues of S_a^(1/2) S_b S_a^(1/2),
    which is symmetric, so two `eigh` do it and nothing can turn complex. Raises ValueError for
    too few rows, different widths or NaN.

    The value depends on the units of the features: `whitened_frechet_distance` does not.

    Source: Frechet distance of Gaussians (Dowson and Landau 1982); for GANs, Heusel et al. 2017.
    """
    mean_a, cov_a = _mean_and_covariance("features_a", features_a)
    mean_b, cov_b = _mean_and_covariance("features_b", features_b)
    _same_width("features_a", np.atleast_2d(mean_a), "features_b", np.atleast_2d(mean_b))
    values, vectors = np.linalg.eigh(cov_a)
    root_a = (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
    product = root_a @ cov_b @ root_a
    trace_root = np.sqrt(np.maximum(np.linalg.eigvalsh((product + product.T) / 2), 0.0)).sum()
    difference = mean_a - mean_b
    distance = difference @ difference + np.trace(cov_a) + np.trace(cov_b) - 2.0 * trace_root
    return float(max(0.0, distance))


def whiten(reference: np.ndarray, *feature_sets: np.ndarray) -> list[np.ndarray]:
    """Shift and scale every set so that the reference has mean 0 and covariance I.

    Parameters
    ----------
    reference : array, (n, d)
        The real features, n >= 2d; their statistics are used for all sets.
    *feature_sets : array, (m, d)
        The sets to transform; the reference itself comes back only if it is listed.

    Returns
    -------
    One float64 array per set.

    Notes
    -----
    Raises ValueError for too few rows, different widths, NaN,
    and for a reference in which some direction has no variance (a dead unit of the classifier, a
    feature given twice), since nothing says how far apart two values in it would be.
    """
    mean, covariance = _mean_and_covariance("reference", reference)
    values, vectors = np.linalg.eigh(covariance)
    flat = int((values <= 1e-12 * values[-1]).sum()) if values[-1] > 0 else len(values)
    if flat:
        constant = np.flatnonzero(np.diag(covariance) <= 1e-12 * max(values[-1], 1e-300))
        columns = f"; constant columns: {constant[:8].tolist()}" if len(constant) else ""
        raise ValueError(
            f"reference: {flat} of {len(values)} directions have no variance{columns}; drop "
            f"constant or repeated features before whitening"
        )
    transform = vectors / np.sqrt(values)
    whitened = []
    for i, features in enumerate(feature_sets):
        features = _features(f"feature set {i}", features)
        _same_width(f"feature set {i}", features, "reference", np.atleast_2d(mean))
        whitened.append((features - mean) @ transform)
    return whitened


def whitened_frechet_distance(generated: np.ndarray, real: np.ndarray) -> float:
    """Frechet distance after whitening both sets on the real one: every direction counts alike.

    Takes features (n, d) and (m, d), n and m >= 2d. Any invertible linear map of the features
    leaves the value as it is, so a few large features cannot drown the others. With a
    classifier's features it is what the results table calls FCD. Raises ValueError as `whiten`
    and `frechet_distance` do.

    Two *real* sets of 2000 and 64 features are 1.15 apart: compare with `frechet_floor`.
    """
    return frechet_distance(*whiten(real, generated, real))


def frechet_floor(real_features: np.ndarray, n: int, generator: np.random.Generator) -> float:
    """The whitened Frechet distance of two disjoint real sets of n rows: the best a GAN can do.

    Parameters
    ----------
    real_features : array, (m, d)
        Features of real samples, m >= 2n.
    n : int
        Size of each set; use the number of generated samples that will be scored, against a real
        set that is as large.
    generator : numpy.random.Generator
        Chooses the two sets.

    About d (d + 1) / (2n) + 2d / n for large n. Raises ValueError if there are fewer than 2n
    rows, or n < 2d.
    """
    real_features = _features("real_features", real_features)
    if n < 1 or len(real_features) < 2 * n:
        raise ValueError(
            f"frechet_floor: two disjoint sets of n = {n} need {2 * n} real rows, "
            f"got {len(real_features)}"
        )
    order = generator.permutation(len(real_features))
    return whitened_frechet_distance(real_features[order[:n]], real_features[order[n : 2 * n]])


def kid(features_a: np.ndarray, features_b: np.ndarray) -> float:
    """Kernel distance: unbiased squared MMD with the kernel (x.y / d + 1)^3.

    Parameters
    ----------
    features_a, features_b : array, (n, d) and (m, d)
        Features of both sets, n and m at least 2.

    Its expectation is 0 for equal distributions at every sample size, so it has no floor, only
    scatter; small negative values are normal. It depends on the units of the features. Raises
    ValueError for different widths, single rows or NaN.

    Source: Demystifying MMD GANs (Binkowski et al. 2018), one estimate over all rows where the
    paper averages over subsets.
    """
    a = _features("features_a", features_a, least=2)
    b = _features("features_b", features_b, least=2)
    _same_width("features_a", a, "features_b", b)

    def kernel_sum(x: np.ndarray, y: np.ndarray) -> float:
        total = 0.0
        for rows in _chunks(len(x), _CHUNK):
            kernel = x[rows] @ y.T / x.shape[1] + 1.0
            total += float((kernel * kernel * kernel).sum())
        return total

    def pairs_mean(x: np.ndarray) -> float:
        own = ((x * x).sum(axis=1) / x.shape[1] + 1.0) ** 3  # a row with itself: the biased part
        return (kernel_sum(x, x) - float(own.sum())) / (len(x) * (len(x) - 1))

    return pairs_mean(a) + pairs_mean(b) - 2.0 * kernel_sum(a, b) / (len(a) * len(b))


@dataclass(frozen=True)
class TwoSampleAccuracy:
    """What `two_sample_accuracy` found: shares of right guesses, each 0.5 for a perfect sampler.

    Attributes
    ----------
    overall : float
        Mean of the two below.
    on_samples : float
        Generated rows whose nearest other row is generated; near 1 for a collapsed generator.
    on_real : float
        Real rows whose nearest other row is real; near 1 where samples miss parts of the data.
    """

    overall: float
    on_samples: float
    on_real: float


def two_sample_accuracy(samples: np.ndarray, real: np.ndarray) -> TwoSampleAccuracy:
    """How often the nearest neighbour tells generated from real: leave-one-out, ideal 0.5.

    Parameters
    ----------
    samples, real : array, (n, d) or images
        Two sets of equal size, better features than pixels.

    All 2n rows are put together; each is guessed to be of the kind of its nearest other row. 1
    means that the sets are apart, 0.5 that they are mixed; well below 0.5, that samples sit on
    top of these very real rows. Look at all three numbers: digits with a little pixel noise score
    0.49 overall, because noise moves every sample away from its kind, so that the nearest row of
    anything is real (0.95 on real rows, 0.04 on samples). Scatter of a perfect sampler is about
    0.5 / sqrt(n). Raises ValueError for sets of different size or width, or NaN.

    Source: classifier two-sample tests (Lopez-Paz and Oquab 2017); the 1-NN form and its two
    halves from Xu et al. 2018.
    """
    samples, real = _rows("samples", samples, least=2), _rows("real", real, least=2)
    _same_width("samples", samples, "real", real)
    if len(samples) != len(real):
        raise ValueError(
            f"samples and real must be equally many, else 0.5 is not the ideal; got "
            f"{len(samples)} and {len(real)}"
        )
    n = len(real)
    both = np.concatenate([samples, real]).astype(np.float64)
    both -= both.mean(axis=0)
    guess_generated = np.empty(2 * n, dtype=bool)
    for rows in _chunks(2 * n, _CHUNK):
        squared = _squared_distances(both[rows], both)
        index = np.arange(rows.start, rows.stop)
        squared[np.arange(len(index)), index] = np.inf  # not itself
        guess_generated[rows] = squared.argmin(axis=1) < n
    on_samples = float(guess_generated[:n].mean())
    on_real = float((~guess_generated[n:]).mean())
    return TwoSampleAccuracy((on_samples + on_real) / 2, on_samples, on_real)


# ---------------------------------------------------------------------------------------------
# copying and blur


def nearest_neighbour_ratio(samples: np.ndarray, train: np.ndarray, held_out: np.ndarray) -> float:
    """Are samples nearer to the training set than to unseen data? 1 is ideal, copies give 0.

    The median distance of a sample to its nearest training row, over the median distance that a
    set *as large, but never trained on* would give.

    Parameters
    ----------
    samples : array, (n, d) or images
        Generated samples.
    train : array, (m, d)
        All rows that the model was trained on.
    held_out : array, (h, d)
        Rows of the same source that it never saw; better h >= 500.

    Why not simply compare with the held-out set? A nearest neighbour in a larger set is nearer by
    chance: honest digits score 0.82 with 8000 against 1000 rows. And why not cut the training set
    to 1000 rows? Then seven copies of eight miss the row they copy, and a generator that only
    copies scores 0.997. The held-out set may be cut, since nothing can remember it. So:

    - fewer training rows than held-out rows: as many held-out rows are used;
    - more: the held-out distance is carried on to m rows by the law that nearest distances follow
      in a cloud of dimension D, distance ~ m^(-1/D). The exponent is measured at these very
      samples, from the whole held-out set to its quarters, so blurred or noisy samples are
      compared with the distances that blurred or noisy samples have.

    On digits (8000 training and 600 unseen rows) other unseen digits score 1.00 to 1.05, blurred
    or noisy ones the same, pure noise 1.0 (it copies nothing: read a quality metric too); copies
    score 0, blurred copies 0.7, and one copy in two, three or four samples 0.12, 0.84 or 0.91.

    Raises ValueError for different widths, fewer than 8 rows of real data, NaN, or if the held-out
    distance is zero: then samples are held-out rows, and that set was not held out.
    """
    samples, train = _rows("samples", samples), _rows("train", train, least=8)
    held_out = _rows("held_out", held_out, least=8)
    _same_width("samples", samples, "train", train)
    _same_width("samples", samples, "held_out", held_out)
    order = np.random.default_rng(0).permutation(len(held_out))  # rows may come sorted by class
    held_out = held_out[order[: len(train)]]
    quarters = np.stack([_nearest(samples, held_out[i::4]) for i in range(4)])
    expected = float(np.median(quarters.min(axis=0)))
    if expected > 0 and len(train) > len(held_out):
        exponent = math.log(expected / float(np.median(quarters))) / math.log(4.0)  # -1/D
        expected *= (len(train) / len(held_out)) ** exponent
    if expected <= 0:
        raise ValueError(
            "held_out: half of the samples equal a held-out row; these rows have been trained "
            "on, or are the samples themselves"
        )
    return float(np.median(_nearest(samples, train))) / expected


def _gradient_energy(name: str, images: np.ndarray) -> float:
    """Mean squared difference of neighbouring pixels, across plus down."""
    if images.ndim not in (3, 4) or (images.ndim == 4 and images.shape[3] not in (1, 3)):
        raise ValueError(
            f"{name} must be (n, h, w) or (n, h, w, c) with c = 1 or 3, got {images.shape}; "
            f"x.transpose(0, 2, 3, 1) brings NCHW to channels last"
        )
    if min(images.shape[1:3]) < 2:
        raise ValueError(f"{name} must be at least 2 x 2 pixels, got {images.shape}")
    _rows(name, images)
    n, h, w = images.shape[:3]
    c = math.prod(images.shape[3:])
    across = down = 0.0
    for rows in _chunks(n, _CHUNK):
        block = images[rows].astype(np.float64)
        across += float((np.diff(block, axis=2) ** 2).sum())
        down += float((np.diff(block, axis=1) ** 2).sum())
    return across / (n * h * (w - 1) * c) + down / (n * (h - 1) * w * c)


def sharpness(images: np.ndarray, real: np.ndarray) -> float:
    """Gradient energy of generated images over that of real ones: below 1 blurred, above 1 noisy.

    Parameters
    ----------
    images, real : array, (n, h, w) or (n, h, w, c) with c = 1 or 3
        Two sets on one scale (both uint8, or both float), channels last.

    The energy is the mean square of the difference of neighbouring pixels, across plus down. A
    model of noise with the right energy scores 1 too: read it beside a distance. Raises
    ValueError for other layouts, different sizes or scales, NaN, or flat real images.
    """

    images, real = np.asarray(images), np.asarray(real)
    if images.shape[1:] != real.shape[1:]:
        raise ValueError(f"images and real must be of one size, got {images.shape}, {real.shape}")
    if (images.dtype.kind == "f") != (real.dtype.kind == "f"):
        raise ValueError(
            f"images and real must be on one scale, got {images.dtype} and {real.dtype}"
        )
    real_energy = _gradient_energy("real", real)
    if real_energy == 0:
        raise ValueError("real: every image is flat, there is no sharpness to compare with")
    return _gradient_energy("images", images) / real_energy
