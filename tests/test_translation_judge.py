"""The judge of translations: each number against translators made by hand.

The identity map, the true map, a constant picture, an inverter and a random partner have known
scores; so has each number that they move. What one of them gets for nothing another number denies.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from PIL import Image

import minigrad as ndl
from gans import translation_judge
from gans.evaluation import SPREAD_ROWS, judge
from gans.translation import COLLECTIONS, INK, PAPER, between, open_collections, open_pairs, rotated
from gans.translation_data import TranslationData
from gans.translation_judge import (
    ROUNDS,
    SmallClassifier,
    TranslationJudge,
    colour_correlation,
    distance,
    psnr,
    retrieval,
)
from gans.translator import Direction, as_network
from minigrad import Tensor
from minigrad.data import to_tanh_range


class Maps:
    """A translator of two NumPy functions."""

    directions = tuple(Direction)

    def __init__(self, data, to_b, to_a=None):
        self.data_shape = data.shape
        self.maps = {Direction.A_TO_B: to_b, Direction.B_TO_A: to_a or to_b}
        if to_a is None and data.aligned:
            self.directions = (Direction.A_TO_B,)

    def translate(self, x, direction):
        out = self.maps[direction](x.numpy())
        return Tensor(np.asarray(out, dtype="float32"), requires_grad=False)


def same(x):
    return x


def inverted(x):
    return -x


def grey(x):
    return np.zeros_like(x)


def looked_up(keys, values):
    """A translator that knows its answers: what of ``keys`` x is, of ``values`` comes out."""
    def key(row):
        return np.rint((row + 1) * 127.5).astype("uint8").tobytes()

    keys, values = as_network(keys), as_network(values)
    number = {key(row): i for i, row in enumerate(keys)}
    return lambda x: values[[number[key(row)] for row in x]]


def uncoloured(x):
    """The way back of digits-coloured, by the red channel."""
    low, high = PAPER[0] / 127.5 - 1, INK[0] / 127.5 - 1
    return np.repeat((2 * (x[:, :1] - low) / (high - low)) - 1, 3, axis=1)


def coloured(x):
    low, high = (c[None, :, None, None] / 127.5 - 1 for c in (PAPER, INK))
    return low + (x + 1) / 2 * (high - low)


def few(data, n=60):
    """The same data with so few items that everything is fast."""
    fields = {name: getattr(data, name)[:n] for name in (
        "a", "b", "test_a", "test_b", "labels_a", "labels_b", "test_labels")
        if getattr(data, name) is not None}
    return dataclasses.replace(data, **fields)


def opened(path):
    """The height and width of a picture file."""
    with Image.open(path) as image:
        return image.size[::-1]


def values(evaluation):
    return {s.name: s.value for s in evaluation.scores}


@pytest.fixture(autouse=True)
def hasty(monkeypatch):
    """Classifiers learn hardly anything, where a test does not ask for more."""
    monkeypatch.setattr(translation_judge, "ROUNDS", 2)


@pytest.fixture(scope="module")
def inverted_digits():
    return open_collections("digits-inverted")


@pytest.fixture(scope="module")
def digits_judge(inverted_digits):
    """One judge for all tests, so that its classifiers learn once, and not for long."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(translation_judge, "ROUNDS", 120)
        referee = TranslationJudge(inverted_digits)
        assert referee._style_classifier and referee._class_classifier
    return referee


# ---------------------------------------------------------------------------------------- numbers


def test_distance_and_psnr():
    x, y = np.array([[0.0, 1.0]]), np.array([[0.5, 0.0]])
    assert distance(x, y) == 0.75 and distance(x, x) == 0
    assert psnr(x, y) == pytest.approx(10 * np.log10(4 / 0.625))
    assert psnr(x, x) == np.inf


def test_retrieval_of_partners_and_of_wrong_ones():
    y = np.random.default_rng(0).standard_normal((40, 1, 4, 4)).astype("float32")
    assert retrieval(y, y) == 1 and retrieval(y + 0.01, y) == 1
    assert retrieval(np.roll(y, 1, axis=0), y) == 0
    assert retrieval(np.zeros_like(y), y) == 1 / 40  # one picture is the nearest to grey
    assert retrieval(y[:20], y) == 1  # among more than asked for
    half = np.concatenate([y[:20], np.roll(y[20:], 1, axis=0)])
    assert retrieval(half, y) == 0.5


def test_colour_correlation_by_hand():
    x = np.random.default_rng(0).uniform(-1, 1, (5, 3, 4, 4)).astype("float32")
    assert colour_correlation(x, x) == pytest.approx(1)
    assert colour_correlation(x, -x) == pytest.approx(-1)
    assert colour_correlation(x, 0.1 * x + 0.5) == pytest.approx(1)  # contrast is no matter
    assert colour_correlation(x, np.concatenate([x[:1], -x[1:]])) == pytest.approx(-0.6)
    flat = np.full_like(x, 0.3)
    assert colour_correlation(x, flat) == 0  # says nothing, and divides by nothing
    mixed = np.concatenate([flat[:3], x[3:]])
    assert colour_correlation(x, mixed) == pytest.approx(1)
    y = np.random.default_rng(1).uniform(-1, 1, x.shape)
    by_hand = np.mean([np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(x, y, strict=True)])
    assert colour_correlation(x, y) == pytest.approx(by_hand)


# ------------------------------------------------------------------------- translators made by hand


def test_the_true_map_of_digits(inverted_digits, digits_judge):
    found = digits_judge.evaluate(Maps(inverted_digits, inverted), 400, 0)
    got = values(found)
    for way in ("ab", "ba"):
        assert got[f"l1_{way}"] < 1e-3 and got[f"gain_{way}"] == pytest.approx(100, abs=0.1)
        assert got[f"cycle_{way}"] == 0
        assert got[f"retrieval_{way}"] == 100
        assert got[f"colour_corr_{way}"] == pytest.approx(-1)
        assert found[f"kept_{way}"].value == pytest.approx(found[f"kept_{way}"].real, abs=2)
        assert found[f"style_{way}"].value == pytest.approx(found[f"style_{way}"].real, abs=1)
        assert found[f"kept_{way}"].real > 90 and found[f"style_{way}"].real > 99
    assert found.n == 400 and found.notes == ()  # here dark for light is right
    assert "of untranslated items 0" in found["retrieval_ab"].note


def test_doing_nothing_to_digits(inverted_digits, digits_judge):
    """The way back is perfect, and everything else says no."""
    found = digits_judge.evaluate(Maps(inverted_digits, same), 400, 0)
    got = values(found)
    for way in ("ab", "ba"):
        assert got[f"cycle_{way}"] == 0 and got[f"gain_{way}"] == 0
        note = f"identity map {got[f'l1_{way}']:.3f}"
        assert note in found[f"l1_{way}"].note
        assert got[f"style_{way}"] < 1 and got[f"colour_corr_{way}"] == pytest.approx(1)
        assert got[f"retrieval_{way}"] < 5
    assert got["kept_ba"] < 40  # by the classifier of white on black


def test_one_picture_for_all_digits(inverted_digits, digits_judge):
    """It has the style of B, and nothing of the digit."""
    picture = as_network(inverted_digits.b[:1])
    one = Maps(inverted_digits, lambda x: np.repeat(picture, len(x), axis=0), grey)
    got = values(digits_judge.evaluate(one, 400, 0))
    assert got["style_ab"] == 100
    assert got["retrieval_ab"] == pytest.approx(100 / 400)
    assert got["kept_ab"] < 20
    assert got["cycle_ab"] > 0.5
    assert digits_judge.spread(one, 0) == pytest.approx(0, abs=1e-6)


def test_random_partners_of_digits(inverted_digits, digits_judge):
    """Real images of B, each the wrong one: the style is right, the distance is that baseline."""
    wrong = Maps(inverted_digits,
                 looked_up(inverted_digits.test_a, np.roll(inverted_digits.test_b, 1, axis=0)),
                 looked_up(inverted_digits.test_b, np.roll(inverted_digits.test_a, 1, axis=0)))
    found = digits_judge.evaluate(wrong, 1000, 0)
    for way in ("ab", "ba"):
        assert found[f"style_{way}"].value == found[f"style_{way}"].real
        assert f"random partner {found[f'l1_{way}'].value:.3f}" in found[f"l1_{way}"].note
        assert found[f"retrieval_{way}"].value == 0
        assert found[f"kept_{way}"].value < 20


def test_half_of_the_digits_wrong_is_half_of_the_score(inverted_digits, digits_judge):
    """Numbers are shares, not verdicts: a fault in half of the items is seen as half."""
    b = inverted_digits.test_b.copy()
    b[1::2] = inverted_digits.test_a[1::2]  # left as they were
    half = Maps(inverted_digits, looked_up(inverted_digits.test_a, b), inverted)
    got = values(digits_judge.evaluate(half, 1000, 0))
    assert got["gain_ab"] == pytest.approx(50, abs=2)
    assert got["style_ab"] == pytest.approx(50, abs=1)


def test_coloured_digits_keep_their_class_by_a_classifier_of_their_own(monkeypatch):
    monkeypatch.setattr(translation_judge, "ROUNDS", 100)
    data = open_collections("digits-coloured")
    referee = TranslationJudge(data)
    found = referee.evaluate(Maps(data, coloured, uncoloured), 300, 0)
    got = values(found)
    assert got["l1_ab"] < 0.005 and got["cycle_ab"] < 0.005 and got["style_ab"] == 100
    assert got["kept_ab"] == pytest.approx(found["kept_ab"].real, abs=1) and got["kept_ab"] > 85
    # a classifier of B, which knows no white digits on black
    of_a = referee._right(as_network(data.test_a[:300]), data.test_labels[:300], Direction.A_TO_B)
    assert 100 * of_a < found["kept_ab"].real - 5


def test_pairs_have_one_direction_and_numbers_of_sharpness():
    data = few(open_pairs("digits-halves"), 100)
    referee = TranslationJudge(data)
    perfect = Maps(data, looked_up(np.concatenate([data.a, data.test_a]),
                                   np.concatenate([data.b, data.test_b])))
    found = referee.evaluate(perfect, 100, 0)
    got = values(found)
    assert set(got) == {"l1_ab", "gain_ab", "psnr_ab", "sharpness_ab", "retrieval_ab",
                        "colour_corr_ab", "kept_ab"}
    assert got["l1_ab"] == 0 and got["psnr_ab"] == np.inf
    assert got["sharpness_ab"] == pytest.approx(1) and got["retrieval_ab"] == 100
    assert got["kept_ab"] == found["kept_ab"].real > 90
    assert referee.live(perfect, 0)["l1"] == 0

    def shown_half_wrong(x):
        y = looked_up(np.concatenate([data.a, data.test_a]),
                      np.concatenate([data.b, data.test_b]))(x)
        y[..., :14] = 0.7
        return y

    wrong = values(referee.evaluate(Maps(data, shown_half_wrong), 100, 0))
    assert wrong["l1_ab"] == 0 and wrong["sharpness_ab"] == pytest.approx(1)  # of the hidden part
    assert wrong["retrieval_ab"] < 100
    blurred = values(referee.evaluate(Maps(data, lambda x: 0 * x - 0.7), 100, 0))
    assert blurred["sharpness_ab"] == 0 and blurred["psnr_ab"] < 15


def test_points():
    data = open_collections("rotation")
    referee = judge(data)

    def undone(x):
        c, s = np.cos(2.0), np.sin(2.0)
        return (x - np.array([0.5, -0.5])) @ np.array([[c, -s], [s, c]])

    found = referee.evaluate(Maps(data, rotated, undone), 1000, 0)
    got = values(found)
    assert set(got) == {f"{name}_{way}" for name in ("l1", "gain", "cycle", "two_sample")
                        for way in ("ab", "ba")}
    assert got["l1_ab"] < 1e-5 and got["cycle_ab"] < 1e-5
    assert 42 < got["two_sample_ab"] < 58 and 42 < got["two_sample_ba"] < 58
    nothing = values(referee.evaluate(Maps(data, same), 1000, 0))
    assert nothing["gain_ab"] == 0 and nothing["two_sample_ab"] > 80
    half_a_turn = Maps(data, lambda x: 2 * rotated(np.zeros((1, 2))) - rotated(x))
    assert values(referee.evaluate(half_a_turn, 1000, 0))["two_sample_ab"] > 70
    assert referee.perfect == {"cycle_error": 0.0}
    assert referee.live(Maps(data, rotated, undone), 0)["cycle_error"] < 1e-5


# ---------------------------------------------------------------------------------- colours, notes


def stripes(n, seed, size=16):
    """Colour images that differ, light and dark."""
    g = np.random.default_rng(seed)
    return np.clip(g.normal(128, 60, (n, 1, size, 3)).repeat(size, axis=1), 0, 255).astype("uint8")


def test_inverted_colours_are_noted_where_colours_are_to_stay():
    a, b = stripes(20, 0), stripes(20, 1)
    data = between("stripes", a, b, test_a=stripes(12, 2), test_b=stripes(12, 3))
    notes = TranslationJudge(data).evaluate(Maps(data, inverted), 100, 0).notes
    assert any("colours are inverted" in note for note in notes)
    assert TranslationJudge(data).evaluate(Maps(data, same), 100, 0).notes == ()
    one_way = Maps(data, same, inverted)
    assert any("inverted" in n for n in TranslationJudge(data).evaluate(one_way, 100, 0).notes)
    assert TranslationJudge(data).live(Maps(data, inverted), 0)["colour_corr"] < -0.99


@pytest.mark.parametrize("spec", [*COLLECTIONS])
def test_live_numbers(spec):
    data = few(open_collections(spec))
    referee = TranslationJudge(data)
    found = referee.live(Maps(data, same), 0)
    assert list(found) == list(referee.perfect) and found["cycle_error"] == 0
    assert ("colour_corr" in found) == (spec not in ("digits-inverted", "rotation"))
    assert ("class_kept" in found) == spec.startswith("digits")
    assert referee.perfect["cycle_error"] == 0
    if spec == "digits-inverted":
        assert found["class_kept"] < 0.5 < 0.9 < referee.live(Maps(data, inverted), 0)["class_kept"]


def test_without_held_back_items_the_report_says_so():
    data = between("stripes", stripes(20, 0), stripes(20, 1))
    referee = TranslationJudge(data)
    assert any("A and B" in n and "trained on" in n
               for n in referee.evaluate(Maps(data, same), 100, 0).notes)
    data = between("stripes", stripes(20, 0), stripes(20, 1), test_a=stripes(9, 2))
    found = TranslationJudge(data).evaluate(Maps(data, same), 100, 0)
    assert any("no held-back items of B" in n for n in found.notes)
    assert "l1_ab" not in values(found) and found.n == 9


def test_equal_partners_are_no_division_by_nothing():
    """A test part that is the same on both sides: nothing can be gained over doing nothing."""
    test = stripes(12, 2)
    data = between("stripes", stripes(20, 0), stripes(20, 1), test_a=test, test_b=test,
                   partners=True)
    got = values(TranslationJudge(data).evaluate(Maps(data, same), 100, 0))
    assert got["l1_ab"] == 0 and "gain_ab" not in got


def test_spread():
    data = open_collections("digits-striped")
    referee = TranslationJudge(data)
    exact = looked_up(data.a[:SPREAD_ROWS], data.b[:SPREAD_ROWS])
    assert referee.spread(Maps(data, exact), 0) == pytest.approx(1)
    assert referee.spread(Maps(data, lambda x: 0.5 * exact(x)), 0) == pytest.approx(0.5)


# ------------------------------------------------------------------------------------- classifiers


def test_the_style_classifier_is_right_about_emoji_it_has_not_seen(monkeypatch):
    """On both styles of the 100 held-back emoji, of which it has seen neither."""
    monkeypatch.setattr(translation_judge, "ROUNDS", ROUNDS)
    data = open_collections("emoji")
    classifier = TranslationJudge(data)._style_classifier
    right = [classifier.accuracy(to_tanh_range(x), k)
             for k, x in enumerate((data.test_a, data.test_b))]
    assert min(right) >= 0.85, right
    # pictures of one colour are of no style in particular, but of one each time
    assert classifier.accuracy(np.zeros((4, 3, 32, 32), "float32"), 0) in (0, 1)


def test_classifiers_repeat_and_leave_the_training_s_draws_alone(monkeypatch):
    monkeypatch.setattr(translation_judge, "ROUNDS", 3)
    x = as_network(stripes(30, 0))
    labels = np.arange(30) % 2
    before = ndl.random.get_state()
    one, two = (SmallClassifier(x, labels, flip=True, patches=True) for _ in range(2))
    assert ndl.random.get_state() == before
    other = SmallClassifier(x, labels, flip=True, patches=True, seed=1)
    weights = [{k: v.numpy().tobytes() for k, v in c.net.named_parameters()}
               for c in (one, two, other)]
    assert weights[0] == weights[1] != weights[2]


def test_classifiers_are_trained_on_training_items_only(monkeypatch):
    seen = []

    class Spy:
        def __init__(self, x, labels, **options):
            seen.append((x, labels))

        def accuracy(self, x, labels):
            return 1.0

    monkeypatch.setattr(translation_judge, "SmallClassifier", Spy)
    data = open_collections("digits-striped")
    TranslationJudge(data).evaluate(Maps(data, same), 100, 0)
    test = {row.tobytes() for x in (data.test_a, data.test_b) for row in as_network(x)}
    assert len(seen) == 2
    for x, labels in seen:
        assert len(x) == len(labels) and not {row.tobytes() for row in x} & test
    styles, classes = sorted(seen, key=lambda pair: -len(pair[0]))
    assert np.array_equal(styles[1], np.repeat([0, 1], 4000))
    assert np.array_equal(classes[1], data.labels_b)


def test_a_planted_fault_is_told():
    """One in a hundred labels wrong or all of them shuffled: the share of right answers says it."""
    g = np.random.default_rng(0)
    x = as_network(np.concatenate([stripes(60, 0), stripes(60, 1).swapaxes(1, 2)]))
    labels = np.repeat([0, 1], 60)
    test = as_network(np.concatenate([stripes(30, 5), stripes(30, 6).swapaxes(1, 2)]))
    wanted = np.repeat([0, 1], 30)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(translation_judge, "ROUNDS", 60)
        good = SmallClassifier(x, labels, flip=False, patches=True)
        bad = SmallClassifier(x, g.permutation(labels), flip=False, patches=True)
    assert good.accuracy(test, wanted) == 1
    assert bad.accuracy(test, wanted) < 0.8
    assert good.accuracy(test, 1 - wanted) == 0


# ---------------------------------------------------------------------------------------- pictures


def test_strips_show_the_way_there_and_back(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(translation_judge.plots, "tiles",
                        lambda images, **options: drawn.append(images) or Image.new("L", (4, 4)))
    data = open_collections("digits-inverted")
    referee = TranslationJudge(data)
    referee.draw(Maps(data, inverted), tmp_path / "x.png", 0)
    a, b = data.test_a[:10], data.test_b[:10]
    assert len(drawn) == 8
    for got, wanted in zip(drawn, (a, b, b, a, b, a, a, b), strict=True):
        assert abs(got.astype(int) - wanted).max() <= 1
    assert opened(tmp_path / "x.png")[1] > 4


def test_every_kind_of_picture_is_drawn(tmp_path):
    for k, data in enumerate((few(open_collections("rotation")), few(open_collections("emoji")),
                              few(open_pairs("digits-edges")),
                              between("stripes", stripes(8, 0), stripes(8, 1)))):
        TranslationJudge(data).draw(Maps(data, same), tmp_path / f"{k}.png", 0)
        assert min(opened(tmp_path / f"{k}.png")) > 60


def test_the_sheet_shows_what_the_network_sees(tmp_path):
    data = open_collections("emoji")
    before = ndl.random.get_state()
    TranslationJudge(data).sheet(tmp_path / "data.png", data.collections(flip=True, shift=2))
    assert ndl.random.get_state() == before
    first = (tmp_path / "data.png").read_bytes()
    TranslationJudge(data).sheet(tmp_path / "data.png", data.collections(flip=True, shift=2))
    assert (tmp_path / "data.png").read_bytes() == first
    TranslationJudge(data).sheet(tmp_path / "data.png", data.collections())
    assert (tmp_path / "data.png").read_bytes() != first


def test_data_of_the_judge_are_what_judge_gives():
    data = open_collections("rotation")
    assert isinstance(judge(data), TranslationJudge) and isinstance(data, TranslationData)
