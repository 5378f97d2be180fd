"""What is measured: real data score like real data, bad samples do not; reports keep numbers."""

import dataclasses
import json

import numpy as np
import pytest
from kill_and_resume import ROOT

from gans.evaluation import Evaluation, judge, open_data, spread
from gans.plots import to_images
from gans.toys import TOYS
from minigrad.data import DataError, to_tanh_range
from minigrad.data import load as load_set


@pytest.fixture(scope="module")
def digits():
    return open_data("digits")


@pytest.fixture(scope="module")
def digits_judge(digits):
    return judge(digits)


def test_digits(digits):
    assert (digits.name, digits.shape, len(digits.dataset)) == ("digits", (1, 28, 28), 8000)
    assert digits.is_digits and digits.held_out.shape == (1000, 28, 28)
    assert digits.train is not digits.held_out
    batch = digits.dataset[np.arange(3)][0]
    assert batch.dtype == np.float32 and batch.min() == -1
    assert (to_images(batch) == digits.train[:3]).all()


def test_real_digits_score_like_real_digits(digits, digits_judge):
    # 2,000 training images stand in for a perfect generator (it copies: the last score says so)
    rows = np.random.default_rng(5).permutation(8000)[:2000]
    found = digits_judge.evaluate(to_tanh_range(digits.train[rows]))
    assert found["score"].value > 9 and found["score"].real > 9
    assert found["min_share"].value > 8
    assert found["class_tv"].value < 4
    assert found["fcd"].value < 3 * found["fcd"].floor
    assert found["fcd"].floor < found["fcd"].real  # 1,000 rows are further off than 2,000
    assert found["nn_ratio"].value == 0 and 0.9 < found["nn_ratio"].real < 1.15


def test_bad_digits_score_badly(digits, digits_judge):
    noise = np.random.default_rng(0).uniform(-1, 1, (2000, 1, 28, 28)).astype("f4")
    found = digits_judge.evaluate(noise)
    assert found["score"].value < 0.5 * found["score"].real
    assert found["fcd"].value > 20 * found["fcd"].floor
    ones = to_tanh_range(digits.train[load_set("digits").train_labels == 1][:500])
    collapsed = digits_judge.evaluate(ones)
    assert collapsed["score"].value < 1.3 and collapsed["min_share"].value == 0
    assert collapsed["class_tv"].value > 80
    assert digits_judge.live(ones)["score"] < 1.3


def test_live_numbers_stand_beside_those_of_real_data(digits, digits_judge):
    real = to_tanh_range(digits.held_out[:500])
    assert abs(digits_judge.live(real)["score"] - digits_judge.perfect["score"]) < 0.3


@pytest.mark.parametrize("name", ["ring8", "grid25"])
def test_mixtures(name):
    data = open_data(name)
    assert data.shape == (2,) and len(data.dataset) == 65536
    referee, toy = judge(data), TOYS[name]
    found = referee.evaluate(toy.sample(2000, np.random.default_rng(3)))
    k = len(toy.centres)
    assert (found["modes"].value, found["modes"].real) == (k, k)
    assert 98 < found["quality"].value < 99.7
    one = toy.centres[:1].repeat(1000, axis=0)
    assert referee.live(one) == {"modes": 1.0, "quality": 1.0}
    assert referee.perfect["modes"] == k
    assert round(100 * referee.perfect["quality"], 1) == 98.9


@pytest.mark.parametrize("name", ["gaussian", "swissroll"])
def test_clouds(name):
    referee, toy = judge(open_data(name)), TOYS[name]
    good = toy.sample(2000, np.random.default_rng(3))
    found = referee.evaluate(good)
    assert found["mean_error"].value < 0.15 and found["cov_error"].value < 10
    assert 45 < found["two_sample"].value < 55
    moved = referee.evaluate(good + np.float32(1.0))
    assert abs(moved["mean_error"].value - 2**0.5) < 0.15
    assert moved["two_sample"].value > 55
    wide = referee.evaluate(((good - toy.mean) * 2 + toy.mean).astype("f4"))
    assert 250 < wide["cov_error"].value < 350  # 4 S - S
    line = np.linalg.eigh(toy.cov)[1][:, 1:]  # the long direction, and nothing across it
    flat = referee.evaluate(((good - toy.mean) @ line @ line.T + toy.mean).astype("f4"))
    assert flat["variance_error"].value > 95
    if name == "gaussian":
        assert flat["cov_error"].value < 15  # so the norm alone would not see it


def test_other_images():
    referee = judge(open_data("emoji:a"))
    found = referee.evaluate(to_tanh_range(open_data("emoji:b").held_out))
    assert {score.name for score in found.scores} == {"sharpness", "nn_ratio"}
    assert abs(found["sharpness"].value - 1) < 0.5
    assert "only blur and copying were measured" in found.notes[0]
    flat = np.zeros((50, 3, 32, 32), "f4")
    assert referee.live(flat) == {"sharpness": 0.0}


def test_both_halves_of_the_held_out_emoji_hold_both_styles():
    emoji, held_out = load_set("emoji"), open_data("emoji").held_out
    assert held_out.shape == (200, 32, 32, 3)
    for half, rows in ((held_out[:100], slice(0, None, 2)), (held_out[100:], slice(1, None, 2))):
        wanted = [*emoji.test_a_images[rows], *emoji.test_b_images[rows]]
        assert (half == np.stack(wanted)).all()  # an emoji is in one half, in both styles
    found = judge(open_data("emoji")).evaluate(to_tanh_range(emoji.a_images[:50]))
    assert abs(found["nn_ratio"].real - 1) < 0.1  # one style against the other: 1.17
    assert (open_data("digits").held_out == load_set("digits").test_images).all()


def test_emoji_are_trained_on_in_both_styles_without_the_test_pairs():
    emoji, data = load_set("emoji"), open_data("emoji")
    assert (data.train == np.concatenate([emoji.a_images, emoji.b_images])).all()
    assert len(data.dataset) == 934 and data.shape == (3, 32, 32)
    train = {image.tobytes() for image in data.train}
    assert not train & {image.tobytes() for image in data.held_out}


def test_reports_come_back_from_json(digits_judge):
    found = judge(open_data("ring8")).evaluate(TOYS["ring8"].sample(500, np.random.default_rng(0)))
    again = Evaluation.from_json(json.loads(json.dumps(found.to_json())))
    assert again == found
    lines = again.lines()
    assert len(lines) == 5 and "real data" in lines[0]
    with pytest.raises(KeyError, match="no score 'fid'; there are"):
        found["fid"]


def test_samples_that_are_no_numbers_are_refused(digits_judge):
    with pytest.raises(DataError, match="holds NaN"):
        digits_judge.live(np.full((2, 1, 28, 28), np.nan, "f4"))


def test_fingerprints():
    a, b = open_data("ring8"), open_data("ring8")
    assert a.sha256 == b.sha256 and len(a.sha256) == 64
    assert a.sha256 != open_data("grid25").sha256
    assert dataclasses.replace(a, train=a.train + 1).sha256 != a.sha256


def test_paths_become_absolute_and_names_do_not(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez("a set (1).npz", images=np.zeros((5, 4, 4), np.uint8) + 7)
    data = open_data("a set (1).npz")
    assert data.spec == str(tmp_path / "a set (1).npz")
    assert data.name == "a-set-1"
    assert data.held_out is None
    assert open_data("digits").spec == "digits"


@pytest.mark.parametrize("spec, message", [
    ("digit", "did you mean 'digits'?"), ("ring", "did you mean 'ring8'?"),
    ("q", "there are digits"), ("no/such.npz", "not a file or folder that exists"),
])
def test_unknown_data(spec, message):
    with pytest.raises(DataError, match=message.replace("?", r"\?")):
        open_data(spec)


def test_spread():
    assert spread(np.ones((100, 2))) == 0
    assert spread(np.array([[0.0, 0.0], [3.0, 4.0]])) == 5


def test_the_classifier_is_there():
    assert (ROOT / "gans" / "weights" / "classifier_v1.npz").is_file()
