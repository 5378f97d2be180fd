"""Paths, neighbours, arithmetic and attributes of latent vectors, each against another way."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

import minigrad as ndl
from gans import latent, plots
from gans.gan import GAN
from gans.latent import (
    Attribute,
    Interpolation,
    JudgedDigits,
    Wish,
    arithmetic,
    evenness,
    lerp,
    nearest_neighbours,
    path,
    slant,
    slerp,
    stroke_width,
)
from minigrad import Tensor
from minigrad.data import load as load_set
from minigrad.nn import BatchNorm1d

SEEDS = st.integers(0, 10_000)
TIMES = np.linspace(0, 1, 11)


def vectors(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape)


def norms(rows):
    return np.linalg.norm(rows, axis=-1)


# ------------------------------------------------------------------------------------------ paths


@given(seed=SEEDS, d=st.integers(1, 70))
def test_lerp_is_the_straight_line(seed, d):
    a, b = vectors(seed, 2, d)
    way = lerp(a, b, TIMES)
    assert way.shape == (11, d)
    np.testing.assert_array_equal(way[[0, -1]], [a, b])
    np.testing.assert_allclose(way[5], (a + b) / 2, atol=1e-12)
    np.testing.assert_allclose(np.diff(way, axis=0), np.tile((b - a) / 10, (10, 1)), atol=1e-12)


@given(seed=SEEDS, d=st.integers(2, 70), stretch=st.floats(0.1, 10))
def test_slerp_turns_evenly_and_its_length_changes_linearly(seed, d, stretch):
    a, b = vectors(seed, 2, d)
    b *= stretch
    way = slerp(a, b, TIMES)
    np.testing.assert_array_equal(way[[0, -1]], [a, b])
    np.testing.assert_allclose(norms(way), (1 - TIMES) * norms(a) + TIMES * norms(b), rtol=1e-9)
    directions = way / norms(way)[:, None]
    turns = (directions[1:] * directions[:-1]).sum(axis=1)
    angle = math.acos(np.clip(a @ b / norms(a) / norms(b), -1, 1))
    np.testing.assert_allclose(turns, math.cos(angle / 10), atol=1e-7)


@given(seed=SEEDS, d=st.integers(2, 70), stretch=st.floats(0.1, 10))
def test_the_way_back_is_the_same_way(seed, d, stretch):
    a, b = vectors(seed, 2, d)
    b *= stretch
    np.testing.assert_allclose(slerp(a, b, TIMES), slerp(b, a, 1 - TIMES), atol=1e-9)


@given(seed=SEEDS, d=st.integers(2, 70))
def test_slerp_of_equal_lengths_is_the_formula_of_the_paper(seed, d):
    a, b = vectors(seed, 2, d)
    b *= norms(a) / norms(b)
    angle = math.acos(a @ b / norms(a) ** 2)
    t = TIMES[:, None]
    wanted = (np.sin((1 - t) * angle) * a + np.sin(t * angle) * b) / math.sin(angle)
    np.testing.assert_allclose(slerp(a, b, TIMES), wanted, atol=1e-6)


@given(seed=SEEDS, d=st.integers(2, 70), stretch=st.floats(0.1, 10),
       off=st.sampled_from([0, 1e-300, 1e-17, 1e-12, 1e-9, 1e-7, 1e-6, 1e-3]),
       opposite=st.booleans())
def test_slerp_between_vectors_on_one_line_or_nearly(seed, d, stretch, off, opposite):
    a, aside = vectors(seed, 2, d)
    b = (-stretch if opposite else stretch) * a + off * aside
    way = slerp(a, b, TIMES)
    assert np.isfinite(way).all()
    np.testing.assert_array_equal(way[[0, -1]], [a, b])
    np.testing.assert_allclose(norms(way), (1 - TIMES) * norms(a) + TIMES * norms(b), rtol=1e-6)
    np.testing.assert_allclose(way, slerp(b, a, 1 - TIMES), atol=1e-5 * norms(a) * (1 + stretch))
    if opposite:  # half a circle: its middle is at a right angle to both ends
        assert abs(way[5] @ a) < 0.01 * (1 + off * d) * norms(way[5]) * norms(a)
    else:
        np.testing.assert_allclose(way, lerp(a, b, TIMES), atol=1e-2 * norms(a) * (1 + stretch))


def test_slerp_where_there_is_no_circle():
    zero, a = np.zeros(3), np.array([0.0, 3.0, 4.0])
    for ends in ((zero, a), (a, zero), (zero, zero)):
        np.testing.assert_array_equal(slerp(*ends, TIMES), lerp(*ends, TIMES))
    line = np.array([2.0]), np.array([-1.0])
    np.testing.assert_array_equal(slerp(*line, TIMES), lerp(*line, TIMES))
    for axis in np.eye(3):  # opposite, and along the axes that the way may go through
        way = slerp(axis, -axis, TIMES)
        np.testing.assert_allclose(norms(way), 1)
        assert abs(way[5] @ axis) < 1e-9
    for wrong in ((a, np.ones(2)), (np.ones((2, 2)), np.ones((2, 2))), (np.ones(0), np.ones(0))):
        with pytest.raises(ValueError, match="vectors of one length"):
            slerp(*wrong, 0.5)
        with pytest.raises(ValueError, match="vectors of one length"):
            lerp(*wrong, 0.5)


def test_a_path_has_its_ends_and_the_dtype_of_latent_vectors():
    a, b = vectors(0, 2, 30).astype("f4")
    for kind, way in ((Interpolation.SLERP, slerp), (Interpolation.LERP, lerp)):
        found = path(a, b, 7, kind)
        assert found.shape == (7, 30) and found.dtype == np.float32
        np.testing.assert_array_equal(found[[0, -1]], [a, b])
        np.testing.assert_allclose(found[2], way(a, b, 1 / 3), rtol=1e-5, atol=1e-6)
    assert not np.allclose(path(a, b, 7, Interpolation.SLERP), path(a, b, 7, Interpolation.LERP))
    with pytest.raises(ValueError, match="at least 2 steps, its ends, got 1"):
        path(a, b, 1, Interpolation.LERP)


@pytest.mark.parametrize("d", [2, 100])
def test_the_prior_says_which_path_is_natural(d):
    g = np.random.default_rng(0)
    assert latent.natural_interpolation(g.standard_normal((500, d))) is Interpolation.SLERP
    assert latent.natural_interpolation(g.uniform(-1, 1, (500, d))) is Interpolation.LERP
    assert latent.natural_interpolation(g.uniform(0, 1, (500, d))) is Interpolation.LERP


def test_evenness_is_one_without_jumps_and_the_number_of_steps_for_one_jump():
    line = np.linspace(0, 5, 9)[:, None, None] * np.ones((1, 4, 4))
    jump = (np.arange(9) > 5)[:, None, None] * np.ones((1, 4, 4))
    still = np.ones((9, 4, 4))
    assert evenness(line[None]).ratio == pytest.approx(1)
    assert evenness(still[None]).ratio == 1
    found = evenness(np.stack([line, jump, still]))
    assert (found.ratio, found.row, found.step, found.typical) == (pytest.approx(8), 1, 5, 1)
    # the distances are Euclidean: 3, 4 and 5, with mean 4
    steps = np.array([[0.0, 0.0], [3.0, 0.0], [3.0, 4.0], [6.0, 8.0]])
    assert evenness(steps[None]).ratio == pytest.approx(5 / 4)
    for shape in ((3, 2, 4), (4, 4), (0, 5, 3), (2, 5, 0)):
        with pytest.raises(ValueError, match="3 steps or more"):
            evenness(np.zeros(shape))


# ------------------------------------------------------------------------------------- neighbours


@given(seed=SEEDS, n=st.integers(0, 4), m=st.integers(1, 25), d=st.integers(1, 5),
       k=st.integers(1, 25), levels=st.sampled_from([2, 256]), block=st.integers(1, 9))
def test_neighbours_are_those_of_a_full_search(seed, n, m, d, k, levels, block):
    g, k = np.random.default_rng(seed), min(k, m)
    queries, references = (g.integers(0, levels, (rows, d)).astype("f8") for rows in (n, m))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(latent, "_BLOCK", block)
        index, distance = nearest_neighbours(queries, references, k)
    assert index.shape == distance.shape == (n, k)
    for i in range(n):
        every = np.sqrt(((references - queries[i]) ** 2).sum(axis=1))
        order = sorted(range(m), key=lambda j: (every[j], j))[:k]
        assert index[i].tolist() == order
        np.testing.assert_allclose(distance[i], every[order], rtol=1e-12)


def test_copies_are_at_distance_zero_and_bytes_count_from_0_to_1():
    g = np.random.default_rng(0)
    train = g.integers(0, 256, (60, 5, 4, 3), dtype=np.uint8)
    index, distance = nearest_neighbours(train[[41, 7]], train, 2)
    assert index[:, 0].tolist() == [41, 7]
    assert (distance[:, 0] == 0).all() and (distance[:, 1] > 1).all()
    as_floats = nearest_neighbours(train[[41, 7]] / 255, train / 255, 2)
    np.testing.assert_array_equal(as_floats[0], index)
    np.testing.assert_allclose(as_floats[1], distance)
    white, black = np.full((1, 2, 2), 255, np.uint8), np.zeros((1, 2, 2), np.uint8)
    assert nearest_neighbours(white, black, 1)[1] == 2  # the root of four pixels


def test_neighbours_refuse_what_has_none():
    rows = np.zeros((3, 4))
    for k in (0, 4):
        with pytest.raises(ValueError, match="k must be from 1 to 3"):
            nearest_neighbours(rows, rows, k)
    with pytest.raises(ValueError, match="rows of one shape"):
        nearest_neighbours(rows, np.zeros((3, 5)), 1)
    with pytest.raises(ValueError, match="rows of one shape"):
        nearest_neighbours(np.zeros(3), np.zeros(3), 1)


# ------------------------------------------------------------------------------------- arithmetic


@given(seed=SEEDS, sizes=st.tuples(*[st.integers(1, 5)] * 3), d=st.integers(1, 9))
def test_arithmetic_is_linear(seed, sizes, d):
    one, two = ([vectors((seed, i, j), n, d) for i, n in enumerate(sizes)] for j in (0, 1))
    means, result = arithmetic(*one)
    assert means.shape == (3, d) and result.shape == (d,)
    loops = [sum(row) / len(group) for group in one for row in [list(group)]]
    np.testing.assert_allclose(means, loops, atol=1e-12)
    np.testing.assert_allclose(result, loops[0] - loops[1] + loops[2], atol=1e-12)
    both = arithmetic(*(2 * x - 3 * y for x, y in zip(one, two, strict=True)))[1]
    np.testing.assert_allclose(both, 2 * result - 3 * arithmetic(*two)[1], atol=1e-12)
    np.testing.assert_allclose(arithmetic(one[0], one[0], one[2])[1], loops[2], atol=1e-12)
    np.testing.assert_allclose(arithmetic(one[0], one[2], one[2])[1], loops[0], atol=1e-12)


def test_a_linear_generator_adds_images_as_vectors():
    gan = GAN((1, 2, 3), latent_dim=4, hidden_G=(), hidden_D=(4,))
    gan.G = ndl.nn.Linear(4, 6)
    groups = [vectors(i, 3, 4).astype("f4") for i in range(3)]
    means, result = arithmetic(*groups)
    a, b, c, found = latent.decode(gan, np.vstack([means, result]))
    np.testing.assert_allclose(found, a - b + c, atol=1e-5)


def test_arithmetic_refuses_empty_groups():
    full = np.zeros((2, 3))
    with pytest.raises(ValueError, match=r"group b must be vectors \(n, d\), n >= 1, got \(0, 3\)"):
        arithmetic(full, np.zeros((0, 3)), full)
    with pytest.raises(ValueError, match="group c"):
        arithmetic(full, full, np.zeros(3))


def test_the_noise_leaves_the_middle_alone_and_stays_within_its_bounds():
    z = vectors(0, 500).astype("f4")
    around = latent.surround(z, 9, 0.25, np.random.default_rng(0))
    assert around.shape == (9, 500) and around.dtype == np.float32
    np.testing.assert_array_equal(around[4], z)
    noise = np.delete(around, 4, axis=0) - z
    assert 0.24 < noise.max() <= 0.2501 and 0.24 < -noise.min() <= 0.2501
    assert abs(noise.mean()) < 0.01 and abs(np.abs(noise).mean() - 0.125) < 0.01
    assert len(np.unique(around, axis=0)) == 9


@pytest.mark.parametrize("text, numbers", [
    ("3", [3]), ("3,17,42", [3, 17, 42]), (" 3, 17 ,42, ", [3, 17, 42]), ("0,0", [0, 0]),
    ("", None), (",", None), ("3 17", None), ("-3", None), ("3.5", None), ("thick 3", None),
])
def test_numbers(text, numbers):
    assert latent.parse_numbers(text) == numbers


# ------------------------------------------------------------------------------ digits' attributes


def test_wishes():
    assert Wish.parse("thick 3") == Wish(3, (Attribute.THICK,))
    assert Wish.parse("  7 Left  THIN ") == Wish(7, (Attribute.LEFT, Attribute.THIN))
    assert str(Wish.parse("left thin 7")) == "left thin 7"
    for text, message in (
        ("fat 3", "'fat' is none of thick, thin, left, right"),
        ("thick", "wants one digit from 0 to 9"), ("thick 3 7", "wants one digit"),
        ("thick 12", "wants one digit"), ("thick -1", "'-1' is none of"), ("", "wants one digit"),
        ("thick thin 3", "wants one of thick, thin, left, right, or one of thick and thin with"),
        ("thick thick 3", "wants one of"), ("three thick", "'three' is none of"),
    ):
        with pytest.raises(ValueError, match=message):
            Wish.parse(text)


@pytest.mark.parametrize("a, b, c, result", [
    ("thick 3", "thin 3", "thin 7", "thick 7"),
    ("left 1", "right 1", "right 4", "left 4"),
    ("thick 3", "thick 4", "thin 4", "thin 3"),
    ("thick 3", "thick 3", "thin 7", "thin 7"),
    ("thick left 3", "thin left 3", "thin left 7", "thick left 7"),
    ("thick left 3", "thin left 3", "thin right 7", "thick right 7"),
    ("thick left 3", "thin 3", "thin right 7", None),  # leans both ways
    ("thick 3", "thin 5", "thin 7", None),  # a 3, a 7, and not a 5
    ("thick 3", "left 3", "thick 7", None),  # nothing leans to the left
    ("thick 3", "thin 3", "left 7", None),  # what is the opposite of thin is not said
])
def test_the_sum_in_words(a, b, c, result):
    found = latent.result_of(*map(Wish.parse, (a, b, c)))
    assert found == (None if result is None else Wish.parse(result))


def bar(width, angle, brightness=255, length=36, size=64):
    """An upright stroke turned clockwise by an angle, drawn with soft edges."""
    large = Image.new("L", (8 * size, 8 * size))
    middle, half = 4 * size, 4 * length * np.array([math.sin(angle), -math.cos(angle)])
    across = 4 * width * np.array([math.cos(angle), math.sin(angle)])
    corners = [half + across, half - across, -half - across, -half + across]
    ImageDraw.Draw(large).polygon([tuple(middle + corner) for corner in corners], fill=brightness)
    return np.asarray(large.resize((size, size), Image.Resampling.BOX))


@pytest.mark.parametrize("width", [2, 4, 7])
@pytest.mark.parametrize("angle", [0.0, 0.3, -0.6, math.pi / 4])
def test_the_width_of_strokes_is_known_for_bars(width, angle):
    found = stroke_width(np.stack([bar(width, angle), bar(width, angle, 120)]))
    outline = 2 * (36 + width)  # the two short sides count as well
    np.testing.assert_allclose(found, 2 * 36 * width / outline, rtol=0.12)
    assert found[1] == pytest.approx(found[0], rel=0.01)  # a pale bar is as wide


@pytest.mark.parametrize("angle", [0.0, 0.2, 0.5, -0.2, -0.5])
def test_slant_is_the_tangent_of_the_angle(angle):
    found = slant(np.stack([bar(2, angle), bar(2, angle, 120)]))
    np.testing.assert_allclose(found, math.tan(angle), atol=0.03)


def test_measures_of_empty_images_and_of_no_images():
    empty = np.zeros((2, 8, 8), np.uint8)
    assert stroke_width(empty).tolist() == slant(empty).tolist() == [0, 0]
    # the border of an image is the border of the ink
    assert stroke_width(np.full((1, 8, 8), 255, np.uint8)) == pytest.approx(4, rel=0.05)
    flat = empty.copy()
    flat[:, 4] = 200  # one row has no height
    assert slant(flat).tolist() == [0, 0]
    for wrong in (np.zeros((2, 8, 8)), np.zeros((2, 8, 8, 3), np.uint8)):
        for measure in (stroke_width, slant):
            with pytest.raises(ValueError, match="wants grey uint8 images"):
                measure(wrong)


def judged(digits, widths, slants=None, certainty=None):
    """Samples that are of these digits, as certainly and of these measures."""
    probabilities = np.zeros((len(digits), 10))
    sure = np.full(len(digits), 0.9) if certainty is None else np.asarray(certainty)
    probabilities[np.arange(len(digits)), digits] = sure
    return JudgedDigits(probabilities, {"width": np.asarray(widths, float), "slant": np.asarray(
        np.zeros(len(digits)) if slants is None else slants, float)})


def test_the_best_are_of_the_digit_and_of_the_quarter_with_most_of_the_attribute():
    digits = [3] * 40 + [7] * 40
    certainty = np.full(80, 0.9)
    certainty[[35, 31, 2, 5]] = [0.99, 0.98, 0.97, 0.96]
    certainty[39] = 0.4  # the widest, but hardly a 3: not counted
    pool = judged(digits, np.r_[np.arange(40), 1000 + np.arange(40)], certainty=certainty)
    assert pool.median("width", 3) == 19 and math.isnan(pool.median("width", 5))
    # the quarter: 9 of 39; 30 ... 38 are widest, 0 ... 8 thinnest
    assert pool.best(Wish.parse("thick 3"), 3).tolist() == [35, 31, 38]
    assert pool.best(Wish.parse("thin 3"), 3).tolist() == [2, 5, 0]
    assert set(pool.best(Wish.parse("thick 3"), 9)) == set(range(30, 39))
    assert set(pool.best(Wish.parse("thick 3"), 19)) == set(range(20, 39))  # more than a quarter
    assert set(pool.best(Wish.parse("thin 7"), 10)) == set(range(40, 50))
    for wish, n in (("thick 3", 20), ("thick 5", 1)):
        with pytest.raises(ValueError, match=f"are a {wish} to the classifier and the measures, "
                                             f"{n} are wanted"):
            pool.best(Wish.parse(wish), n)


def test_two_attributes_must_both_be_there():
    g = np.random.default_rng(0)
    widths, slants = g.standard_normal(400), 100 * g.standard_normal(400)
    pool = judged([2] * 400, widths, slants)
    best = pool.best(Wish.parse("thin right 2"), 40)
    assert (widths[best] < np.median(widths)).all() and (slants[best] > np.median(slants)).all()
    # in their own units, slants would drown the widths
    assert -widths[best].mean() > 0.8 and slants[best].mean() / 100 > 0.8


def test_a_wish_is_met_by_digit_and_beyond_the_median():
    pool = judged([3] * 5 + [7], [1, 2, 3, 4, 5, 9], [0, 0, 1, 2, 2, 9])
    found = judged([3, 3, 3, 7], [3.1, 2.9, 3.1, 3.1], [1.1, 1.1, 0.9, 1.1])
    assert found.meets(Wish.parse("thick 3"), pool).tolist() == [True, False, True, False]
    assert found.meets(Wish.parse("thin 3"), pool).tolist() == [False, True, False, False]
    assert found.meets(Wish.parse("thick right 3"), pool).tolist() == [True, False, False, False]
    assert found.meets(Wish.parse("left 7"), pool).tolist() == [False, False, False, True]
    assert not judged([5], [1]).meets(Wish.parse("thick 5"), pool).any()


def test_real_digits_are_found_by_words():
    digits = load_set("digits")
    images, labels = digits.train_images[:3000], digits.train_labels[:3000]
    pool = JudgedDigits.of(images)
    ink = images.reshape(3000, -1).mean(axis=1)
    groups = {text: pool.best(Wish.parse(text), 20)
              for text in ("thick 3", "thin 3", "left 1", "right 1")}
    for text, group in groups.items():
        assert (labels[group] == Wish.parse(text).digit).mean() > 0.9
    assert ink[groups["thick 3"]].mean() > 1.3 * ink[groups["thin 3"]].mean()
    # how far the upper half of a digit is right of its lower half
    columns = np.arange(28)
    halves = [images[:, rows].sum(axis=1) for rows in (slice(4, 14), slice(14, 24))]
    upper, lower = (half @ columns / half.sum(axis=1) for half in halves)
    lean = upper - lower
    assert lean[groups["right 1"]].mean() > 3 > 1 > lean[groups["left 1"]].mean()


# ------------------------------------------------------------------------------------- the models


def gan_with_history(**options):
    settings = dict(data_shape=(1, 4, 4), latent_dim=3, hidden_G=(8,), hidden_D=(8,),
                    batch_size=16, batch_norm=True)
    gan = GAN(**{**settings, **options})

    def batches():
        while True:
            yield ndl.randn(16, *gan.data_shape, requires_grad=False)

    for _ in range(5):
        gan.train_step(batches())
    return gan


def test_samples_are_decoded_noise():
    gan = gan_with_history()
    z = latent.latents(gan, 300, np.random.default_rng(3))
    assert z.shape == (300, 3) and z.dtype == np.float32
    samples = gan.sample(300, np.random.default_rng(3)).numpy()
    np.testing.assert_array_equal(gan.decode(Tensor(z)).numpy(), samples)
    in_pieces = latent.decode(gan, z)  # 250 and 50
    assert in_pieces.shape == (300, 1, 4, 4)
    np.testing.assert_allclose(in_pieces, samples, atol=1e-6)
    first = latent.latents(gan, 7, np.random.default_rng(3))
    np.testing.assert_array_equal(first, z[:7])  # numbers of samples do not depend on how many


def test_nothing_is_recorded():
    gan = gan_with_history()
    weight = gan.G.parameters()[0]
    found = gan.decode(gan.noise(2))
    assert weight.requires_grad and not found.requires_grad and found.op is None
    assert (weight * 2).op is not None  # recording goes on


def test_decode_uses_the_average_in_eval_mode_and_puts_the_mode_back():
    gan = gan_with_history(ema_decay=0.5)
    z = gan.noise(6, np.random.default_rng(0))
    together, alone = gan.decode(z).numpy(), gan.decode(Tensor(z.numpy()[:1])).numpy()
    np.testing.assert_allclose(together[:1], alone, atol=1e-6)  # no statistics of the batch
    average = gan.ema.module
    for training in (True, False):
        average.train(training)
        gan.decode(z)
        assert average.training is training
        norms = [layer for layer in average.layers if isinstance(layer, BatchNorm1d)]
        assert [layer.training for layer in norms] == [training]
    weight = average.parameters()[0]
    weight.copy_(weight.cached_data * 0)
    assert not np.allclose(gan.decode(z).numpy(), together)
    average.train()
    with pytest.raises(ValueError):
        gan.decode(Tensor(np.zeros((2, 5), "f4")))
    assert average.training


# -------------------------------------------------------------------------------------- animation


def write_pictures(folder, sizes, mode="L"):
    folder.mkdir(exist_ok=True)
    for step, size in sizes.items():
        Image.new(mode, size, 40 if mode == "L" else (200, 30, 30)).save(
            folder / f"step_{step:06d}.png")


def test_pictures_come_in_the_order_of_their_steps(tmp_path):
    write_pictures(tmp_path, {1000000: (4, 4), 20: (4, 4), 0: (4, 4), 300000: (4, 4)})
    for other in ("step_x.png", "curves.png", ".step_000005.png.1.tmp"):
        (tmp_path / other).write_bytes(b"")
    found = latent.step_pictures(tmp_path)
    assert [step for step, _ in found] == [0, 20, 300000, 1000000]
    assert all(file.name == f"step_{step:06d}.png" for step, file in found)


@pytest.mark.parametrize("n, message", [(0, "there are none"), (1, "there is 1")])
def test_one_picture_does_not_move(tmp_path, n, message):
    write_pictures(tmp_path / "samples", {10 * i: (4, 4) for i in range(n)})
    with pytest.raises(ValueError, match=f"needs two pictures step_\\*.png, {message}"):
        latent.step_pictures(tmp_path / "samples")
    with pytest.raises(ValueError, match="there are none"):
        latent.step_pictures(tmp_path / "missing")


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_frames_are_the_pictures_with_their_steps_below(tmp_path, mode):
    write_pictures(tmp_path, {0: (90, 60), 1500: (90, 60)}, mode)
    pictures = latent.step_pictures(tmp_path)
    frames = latent.animation_frames(pictures)
    for frame, (step, file) in zip(frames, pictures, strict=True):
        original = Image.open(file).convert(frame.mode)
        assert frame.mode == ("L" if mode == "L" else "RGB") and frame.width == 90
        assert frame.crop((0, 0, 90, 60)).tobytes() == original.tobytes()
        expected = plots.with_caption(original, f"step {step:,}")
        assert frame.tobytes() == expected.tobytes()
    assert frames[0].tobytes() != frames[1].tobytes()  # only the captions differ
    wide, narrow = (latent.animation_frames(pictures, width)[0] for width in (180, 45))
    caption = frames[0].height - 60
    assert wide.size == (180, 120 + caption) and narrow.size == (45, 30 + caption)


def test_frames_refuse_pictures_that_do_not_fit(tmp_path):
    write_pictures(tmp_path, {0: (9, 6), 10: (6, 9)})
    with pytest.raises(ValueError, match=r"step_000010\.png: the picture is 6 x 9, the first one"):
        latent.animation_frames(latent.step_pictures(tmp_path))
    whole = (tmp_path / "step_000000.png").read_bytes()
    for damage in (b"", b"nonsense", whole[:45]):
        (tmp_path / "step_000010.png").write_bytes(damage)
        with pytest.raises(ValueError, match=r"step_000010\.png: cannot be read as a picture"):
            latent.animation_frames(latent.step_pictures(tmp_path))


@pytest.mark.parametrize("fps, each", [(4, 250), (3, 330), (50, 20), (0.5, 2000)])
def test_the_last_frame_stays(fps, each):
    assert latent.animation_durations(3, fps, hold=1.5) == [each, each, each + 1500]


# -------------------------------------------------------------------------------- tiles (of plots)


def test_tiles_hold_their_images_and_captions_are_below():
    images = np.random.default_rng(0).integers(0, 256, (5, 28, 28), dtype=np.uint8)
    picture = plots.tiles(images, ["7", "12", "a", "b", "c"], columns=2, scale=2)
    pixels = np.asarray(picture)
    tile, below = 56, picture.height
    step = (below + 3) // 3  # three rows, 3 pixels between them
    assert picture.size == (2 * tile + 3, 3 * step - 3)
    for i, image in enumerate(images):
        top, left = i // 2 * step, i % 2 * (tile + 3)
        np.testing.assert_array_equal(pixels[top:top + tile, left:left + tile],
                                      image.repeat(2, 0).repeat(2, 1))
        strip = pixels[top + tile:top + step - 3, left:left + tile]
        assert strip.min() < 120 and np.median(strip) == 225  # letters on paper
    assert (pixels[2 * step:, tile + 3:] == 225).all()  # the free place


def test_tiles_in_colour_without_captions_and_with_the_first_column_apart():
    images = np.random.default_rng(0).integers(0, 200, (6, 8, 8, 3), dtype=np.uint8)
    pixels = np.asarray(plots.tiles(images, columns=3, first_apart=True))
    assert pixels.shape == (2 * 8 + 3, 3 * 8 + 15 + 3, 3)
    np.testing.assert_array_equal(pixels[:8, :8], images[0])
    np.testing.assert_array_equal(pixels[11:, 23:31], images[4])
    assert (pixels[:, 8:23] == 225).all()


def test_tiles_refuse_what_does_not_fit():
    images = np.zeros((2, 4, 4), np.uint8)
    with pytest.raises(ValueError, match="2 images, but 1 captions"):
        plots.tiles(images, ["a"], columns=1)
    with pytest.raises(ValueError, match="nothing to show"):
        plots.tiles(images[:0], columns=1)
    with pytest.raises(ValueError, match="columns must be at least 1"):
        plots.tiles(images, columns=0)
    with pytest.raises(ValueError, match="must be uint8"):
        plots.tiles(images / 255, columns=1)
    assert [plots.tile_scale(h) for h in (8, 28, 32, 64, 200)] == [7, 2, 2, 1, 1]


def test_long_captions_shrink_to_the_width_of_the_image():
    image = Image.new("L", (56, 20), 0)
    for text in ("sample 99", "4.17", "mean of thick 3"):
        strip = np.asarray(plots.with_caption(image, text))[20:]
        dark = np.flatnonzero((strip < 150).any(axis=0))
        assert 0 < dark.min() and dark.max() < 55 and len(dark) > 5
