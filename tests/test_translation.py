"""Collections to translate between: the tasks' known maps, nothing of the tests trained on, folders
of pictures of every kind, and how what cannot be translated is refused."""

from __future__ import annotations

import os
import re

import numpy as np
import pytest
from PIL import Image

import minigrad as ndl
from gans import translation
from gans.metrics import two_sample_accuracy
from gans.translation import (
    COLLECTIONS,
    INK,
    PAIRS,
    PAPER,
    between,
    open_collections,
    open_pairs,
    rotated,
)
from gans.translation_data import Jittered
from gans.translation_judge import TranslationJudge
from gans.translator import Direction, as_network, read_pictures, translated
from minigrad import Tensor
from minigrad.data import DataError, load


@pytest.fixture(autouse=True)
def no_data_folder(monkeypatch):
    monkeypatch.delenv("MINIGRAD_DATA", raising=False)


def picture(seed=0, size=(20, 20), grey=False):
    values = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    if grey:
        values[:] = values[..., :1]
    return Image.fromarray(values)


def folder(path, n=10, seed=0, **options):
    """A folder of n pictures of noise."""
    path.mkdir(parents=True, exist_ok=True)
    for k in range(n):
        picture(1000 * seed + k, **options).save(path / f"{k:03}.png")
    return path


def rows(x):
    return {row.tobytes() for row in x}


# ------------------------------------------------------------------------------------------ tasks


@pytest.mark.parametrize("spec", [*COLLECTIONS])
def test_every_collection_opens(spec):
    data = open_collections(spec)
    assert data.name == data.spec == spec and data.judged_by is TranslationJudge
    assert data.a.shape[1:] == data.b.shape[1:] and data.a.dtype == data.b.dtype
    assert data.shape == as_network(data.a[:1]).shape[1:]
    assert not data.aligned and data.partners and data.notes == ()
    assert len(data.test_a) == len(data.test_b) >= 100
    assert data.mirrored == (spec == "emoji")
    assert data.keeps_colours == (spec not in ("digits-inverted", "rotation"))
    sets = data.collections()
    assert [len(s) for s in sets] == [len(data.a), len(data.b)]
    assert sets[0][0][0].shape == data.shape and sets[0][0][0].dtype == np.float32
    with pytest.raises(DataError, match="not paired"):
        data.pairs()


@pytest.mark.parametrize("spec", ["digits-edges", "digits-halves"])
def test_every_pair_opens(spec):
    data = open_pairs(spec)
    assert data.aligned and data.partners and len(data.a) == len(data.b) == 8000
    assert np.array_equal(data.b, load("digits").train_images)
    assert np.array_equal(data.labels_a, load("digits").train_labels)
    a, b = data.pairs()[3]
    assert np.array_equal(a, as_network(data.a[3:4])[0])
    assert np.array_equal(b, as_network(data.b[3:4])[0])


MAPS = {
    "digits-inverted": lambda x: 255 - x,
    "digits-striped": lambda x: np.where(
        np.add.outer(np.arange(28), np.arange(28)) % 4 < 2, x, 0),
    "digits-coloured": lambda x: np.stack(
        [np.rint(PAPER[c] + x / 255.0 * (INK[c] - PAPER[c])) for c in range(3)], axis=3),
}


@pytest.mark.parametrize("spec", [*MAPS])
def test_the_maps_of_digits_are_the_known_ones(spec):
    digits, data = load("digits"), open_collections(spec)
    grey = data.test_a if data.test_a.ndim == 3 else data.test_a[..., 0]
    assert np.array_equal(grey, digits.test_images)
    if data.test_a.ndim == 4:
        assert (data.test_a == data.test_a[..., :1]).all()
    assert np.array_equal(data.test_b, MAPS[spec](digits.test_images))
    assert np.array_equal(data.b, MAPS[spec](digits.train_images[1::2]))
    assert np.array_equal(data.test_labels, digits.test_labels)
    assert np.array_equal(data.labels_a, digits.train_labels[::2])
    assert np.array_equal(data.labels_b, digits.train_labels[1::2])


@pytest.mark.parametrize("spec", [*MAPS])
def test_no_digit_is_in_both_collections(spec):
    """Neither by its number nor by its pixels."""
    digits, data = load("digits"), open_collections(spec)
    assert len(data.a) + len(data.b) == len(digits.train_images)
    assert not rows(digits.train_images[::2]) & rows(digits.train_images[1::2])
    assert not rows(MAPS[spec](digits.train_images[::2]).astype(np.uint8)) & rows(data.b)
    a = data.a if data.a.ndim == 3 else data.a[..., 0]
    assert np.array_equal(a, digits.train_images[::2])
    for test, train in ((data.test_a, data.a), (data.test_b, data.b)):
        assert not rows(test) & rows(train)


def test_the_colours_of_ink_and_paper():
    """Black becomes paper, white becomes ink; nearly all shades stay apart."""
    x = np.array([[[0, 255]]], dtype=np.uint8)
    assert translation._coloured(x)[0, 0].tolist() == [PAPER.tolist(), INK.tolist()]
    steps = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    assert len(np.unique(translation._coloured(steps).reshape(-1, 3), axis=0)) >= 240


def test_edges_are_the_ink_that_borders_on_paper():
    x = np.zeros((1, 7, 7), dtype=np.uint8)
    x[0, 1:6, 1:6] = 200
    x[0, 0, 0] = 100  # too faint to be ink
    expected = np.zeros((7, 7), dtype=np.uint8)
    expected[1:6, 1:6] = 255
    expected[2:5, 2:5] = 0
    assert np.array_equal(translation._outline(x)[0], expected)
    full = np.full((1, 3, 3), 255, dtype=np.uint8)  # the border of the picture is paper, too
    assert translation._outline(full)[0].tolist() == [[255] * 3, [255, 0, 255], [255] * 3]


def test_halves_hide_the_right_half_and_say_where():
    data = open_pairs("digits-halves")
    assert np.array_equal(data.a[..., :14], data.b[..., :14])
    assert (data.a[..., 14:] == 128).all()
    hidden = np.ones((1, 1, 28, 28))
    hidden[(..., *data.hidden)] = 0
    assert np.array_equal(hidden[0, 0].all(axis=0), np.arange(28) < 14)


def test_rotation_is_a_rotation_and_a_shift():
    x = np.random.default_rng(0).standard_normal((50, 2))
    y = rotated(x).astype(float)
    assert rotated(x).dtype == np.float32
    between_x, between_y = (np.linalg.norm(p[:, None] - p[None], axis=2) for p in (x, y))
    np.testing.assert_allclose(between_x, between_y, atol=1e-5)
    turned = y - rotated(np.zeros((1, 2)))
    angle = np.angle((turned @ [1, 1j]) / (x @ [1, 1j]))
    np.testing.assert_allclose(angle, translation.TURN, atol=1e-4)
    data = open_collections("rotation")
    assert np.array_equal(data.test_b, rotated(data.test_a))
    assert len(rows(data.a) & rows(data.b)) == 0
    cloud = data.a[:500] - data.a.mean(axis=0)  # half a turn does not map it onto itself
    other = data.a[500:1000] - data.a.mean(axis=0)
    assert two_sample_accuracy(cloud, other).overall < 0.55
    assert two_sample_accuracy(cloud, -other).overall > 0.7


# ------------------------------------------------------------------- emoji: the test is not trained


def test_the_emoji_test_is_in_no_training_set():
    """By code point, and by pixels."""
    emoji, data = load("emoji"), open_collections("emoji")
    test = set(emoji.test_codes.tolist())
    assert len(test) == len(data.test_a) == len(data.test_b) == 100
    assert not test & set(emoji.a_codes.tolist()) and not test & set(emoji.b_codes.tolist())
    assert not set(emoji.a_codes.tolist()) & set(emoji.b_codes.tolist())
    for images, of in ((data.a, emoji.a_images), (data.b, emoji.b_images),
                       (data.test_a, emoji.test_a_images), (data.test_b, emoji.test_b_images)):
        assert np.array_equal(images, of)
    assert not (rows(data.test_a) | rows(data.test_b)) & (rows(data.a) | rows(data.b))
    trained = [images for part in data.collections() for images in part.arrays]
    assert sum(map(len, trained)) == len(data.a) + len(data.b)


def noto(path, codes, images):
    path.mkdir(exist_ok=True)
    np.savez(path / "emoji_noto32.npz", codes=np.array(codes), images=images)


def test_the_emoji_pairs_are_joined_by_code_point_without_the_test(tmp_path, monkeypatch):
    emoji = load("emoji")
    codes = emoji.b_codes.tolist() + emoji.test_codes.tolist() + emoji.a_codes.tolist()
    order = np.random.default_rng(0).permutation(len(codes))
    marked = np.zeros((len(codes), 32, 32, 3), dtype=np.uint8)
    marked[:, 0, 0, :2] = np.array(divmod(np.arange(len(codes)), 256)).T
    noto(tmp_path / "data", [codes[i] for i in order], marked[order])
    monkeypatch.setenv("MINIGRAD_DATA", str(tmp_path / "data"))
    data = open_pairs("emoji-pairs")
    assert data.aligned and len(data.a) == len(emoji.b_codes)
    assert np.array_equal(data.b, emoji.b_images)
    number = data.a[:, 0, 0, 0].astype(int) * 256 + data.a[:, 0, 0, 1]
    assert number.tolist() == list(range(len(emoji.b_codes)))  # row i shows the emoji of row i
    learned = {codes[i] for i in number}
    assert not learned & set(emoji.test_codes.tolist())
    assert np.array_equal(data.test_a, emoji.test_a_images)


def test_the_emoji_pairs_need_their_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r"wants emoji_noto32.npz.*MINIGRAD_DATA"):
        open_pairs("emoji-pairs")
    noto(tmp_path / "data", load("emoji").b_codes.tolist()[1:], np.zeros((466, 32, 32, 3), "uint8"))
    monkeypatch.setenv("MINIGRAD_DATA", str(tmp_path / "data"))
    with pytest.raises(DataError, match="lacks 1 emoji of B"):
        open_pairs("emoji-pairs")


# ----------------------------------------------------------------------------------------- jitter


def marked_images(n=6, side=12):
    return np.random.default_rng(0).uniform(-1, 1, (n, 1, side, side)).astype("float32")


def test_jitter_moves_pairs_together():
    x = marked_images()
    data = Jittered((x, -x), flip=True, shift=3)
    seen = set()
    for _ in range(40):
        a, b = data[2]
        assert np.array_equal(a, -b)
        seen.add(a.tobytes())
    assert len(seen) > 20
    a, b = data[np.arange(6)]
    assert a.shape == b.shape == x.shape and np.array_equal(a, -b)


def test_jitter_makes_all_moves_and_only_these():
    x = marked_images(1)
    wide = np.pad(x[0], ((0, 0), (2, 2), (2, 2)), mode="edge")
    wanted = {np.ascontiguousarray(base[:, i:i + 12, j:j + 12]).tobytes(): (flip, i - 2, j - 2)
              for flip, base in ((False, wide), (True, wide[..., ::-1]))
              for i in range(5) for j in range(5)}
    assert len(wanted) == 50
    data, count = Jittered((x,), flip=True, shift=2), dict.fromkeys(wanted.values(), 0)
    for _ in range(3000):
        count[wanted[np.ascontiguousarray(data[0][0]).tobytes()]] += 1
    assert min(count.values()) > 25 and max(count.values()) < 110  # 60 of each


def test_without_jitter_items_are_the_rows_and_nothing_is_drawn():
    x = marked_images()
    before = ndl.random.get_state()
    data = Jittered((x,))
    assert np.array_equal(data[np.array([4, 1])][0], x[[4, 1]])
    assert np.array_equal(data[1:3][0], x[1:3]) and np.array_equal(data[5][0], x[5])
    assert ndl.random.get_state() == before


def test_jitter_draws_from_minigrad_only():
    x, data = marked_images(), Jittered((marked_images(),), flip=True, shift=2)
    ndl.manual_seed(3)
    one = data[np.arange(6)][0]
    np.random.default_rng().random()  # NumPy's own say nothing
    ndl.manual_seed(3)
    assert np.array_equal(data[np.arange(6)][0], one)
    ndl.manual_seed(4)
    assert not np.array_equal(data[np.arange(6)][0], one)
    assert np.array_equal(data.arrays[0], x)  # the items themselves stay


def test_points_are_neither_mirrored_nor_moved():
    """Mirrored along the last axis they would change x for y."""
    data = open_collections("rotation").collections(flip=True, shift=2)[0]
    before = ndl.random.get_state()
    assert np.array_equal(data[np.arange(100)][0], data.arrays[0][:100])
    assert ndl.random.get_state() == before


def test_a_negative_shift_is_refused():
    with pytest.raises(DataError, match="at least 0 pixels, got -1"):
        Jittered((marked_images(),), shift=-1)


# ---------------------------------------------------------------------------------------- folders


def test_two_folders(tmp_path, monkeypatch):
    folder(tmp_path / "day", 9), folder(tmp_path / "night", 12, seed=1)
    monkeypatch.chdir(tmp_path)
    data = open_collections("day::night", size=16)
    assert data.a.shape == (9, 16, 16, 3) and data.b.shape == (12, 16, 16, 3)
    assert data.name == "day-night" and data.size == 16
    assert data.test_a is None and data.test_b is None  # too few to hold any back
    assert any("few" in note for note in data.notes)
    again = open_collections(data.spec, size=16)  # absolute: from anywhere
    assert data.spec == f"{tmp_path / 'day'}::{tmp_path / 'night'}"
    assert again.sha256 == data.sha256
    assert open_collections("night::day", size=16).sha256 != data.sha256
    assert open_collections("day::night", size=16, grey=True).shape == (1, 16, 16)


def test_every_tenth_picture_is_held_back_where_there_are_enough(tmp_path):
    folder(tmp_path / "a", 85), folder(tmp_path / "b", 79, seed=1)
    data = open_collections(f"{tmp_path / 'a'}::{tmp_path / 'b'}", size=16)
    assert (len(data.a), len(data.test_a), len(data.b), data.test_b) == (77, 8, 79, None)
    assert not rows(data.a) & rows(data.test_a) and not data.partners
    assert data.sources[Direction.A_TO_B] is data.test_a
    assert data.sources[Direction.B_TO_A] is data.b


def test_a_folder_as_horse2zebra_has_it(tmp_path):
    for k, (part, n) in enumerate((("trainA", 9), ("trainB", 8), ("testA", 3), ("testB", 2))):
        folder(tmp_path / "h2z" / part, n, seed=k)
    data = open_collections(str(tmp_path / "h2z"), size=16)
    assert [len(x) for x in (data.a, data.b, data.test_a, data.test_b)] == [9, 8, 3, 2]
    assert data.name == "h2z" and not data.partners and not data.aligned


def test_the_parts_may_be_spelled_otherwise_and_the_tests_missing(tmp_path):
    for k, part in enumerate(("TrainA", "trainb")):
        folder(tmp_path / part, 8, seed=k)
    data = open_collections(str(tmp_path), size=16)
    assert data.test_a is None and data.test_b is None


def test_names_in_the_data_folder(tmp_path, monkeypatch):
    for k, part in enumerate(("trainA", "trainB")):
        folder(tmp_path / "mine" / part, 8, seed=k)
    np.savez(tmp_path / "other.npz", a_images=np.zeros((8, 16, 16), "uint8"),
             b_images=np.ones((9, 16, 16), "uint8"))
    monkeypatch.setenv("MINIGRAD_DATA", str(tmp_path))
    data = open_collections("mine", size=16)
    assert data.spec == str(tmp_path / "mine")
    assert open_collections("other").b.shape == (9, 16, 16)


def test_horse2zebra_is_looked_for_before_it_is_downloaded(tmp_path, monkeypatch):
    asked = []

    def fetch_pictures(name):
        asked.append(name)
        for k, part in enumerate(("trainA", "trainB", "testA", "testB")):
            folder(tmp_path / "cache" / name / part, 8, seed=k)
        return tmp_path / "cache" / name

    monkeypatch.setattr(translation, "fetch_pictures", fetch_pictures)
    data = open_collections("horse2zebra", size=16)
    assert asked == ["horse2zebra"] and data.name == "horse2zebra"
    assert data.spec == str(tmp_path / "cache" / "horse2zebra")  # a resume needs no connection
    monkeypatch.setenv("MINIGRAD_DATA", str(tmp_path / "cache"))
    assert open_collections("horse2zebra", size=16).sha256 == data.sha256
    assert asked == ["horse2zebra"]
    with pytest.raises(DataError, match="did you mean 'horse2zebra'"):
        open_collections("horse2zebr")


def test_files(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (4, 9, 16, 16, 3), dtype=np.uint8)
    keys = ("a_images", "b_images", "test_a_images", "test_b_images")
    path = tmp_path / "two.npz"
    np.savez(path, **dict(zip(keys, images, strict=True)))
    data = open_collections(str(path))
    assert all(np.array_equal(x, y) for x, y in zip(
        (data.a, data.b, data.test_a, data.test_b), images, strict=True))
    assert not data.partners and data.name == "two"
    np.savez(path, **dict(zip(keys, images, strict=True)), test_codes=np.arange(9))
    assert open_collections(str(path)).partners


@pytest.mark.parametrize("arrays, message", [
    (dict(a_images=np.zeros((9, 16, 16), "uint8")), "has no array b_images"),
    (dict(a_images=np.zeros((9, 16, 16)), b_images=np.zeros((9, 16, 16))), "wanted uint8 images"),
    (dict(a_images=np.zeros((9, 16, 16, 4), "uint8"), b_images=np.zeros((9, 16, 16, 4), "uint8")),
     r"found uint8 of shape \(9, 16, 16, 4\)"),
    (dict(a_images=np.zeros((9, 16, 16), "uint8"), b_images=np.ones((9, 16, 16, 3), "uint8")),
     r"A have shape \(16, 16\), those of B \(16, 16, 3\)"),
    (dict(a_images=np.zeros((9, 16, 16), "uint8"), b_images=np.ones((9, 16, 16), "uint8"),
          test_a_images=np.ones((9, 20, 20), "uint8")), r"those of the test part of A \(20, 20\)"),
    (dict(a_images=np.zeros((9, 16, 16), "uint8"), b_images=np.ones((9, 16, 16), "uint8"),
          test_b_images=np.ones((0, 16, 16), "uint8")), "the test part of B holds no items"),
])
def test_files_that_are_no_collections(tmp_path, arrays, message):
    np.savez(tmp_path / "x.npz", **arrays)
    with pytest.raises(DataError, match=message):
        open_collections(str(tmp_path / "x.npz"))


# --------------------------------------------------------------------------------------- bad input


def test_names_with_marks_spaces_and_letters_of_all_kinds(tmp_path):
    one, two = folder(tmp_path / "a::b", 8), folder(tmp_path / "ein Bild äöü 画像", 8, seed=1)
    data = open_collections(f"{one}::{two}", size=16)
    assert len(data.a) == len(data.b) == 8
    assert open_collections(f"{two}::{one}", size=16).sha256 != data.sha256
    assert open_collections(data.spec, size=16).sha256 == data.sha256
    assert re.fullmatch(r"[A-Za-z0-9.-]+", data.name)
    one, two = folder(tmp_path / "画", 8), folder(tmp_path / "像", 8, seed=1)
    only = open_collections(f"{one}::{two}", size=16)
    assert only.name == "data"


def test_a_spec_that_can_be_read_in_two_ways(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for k, name in enumerate(("x", "y::z", "x::y", "z")):
        folder(tmp_path / name, 8, seed=k)
    with pytest.raises(DataError, match="can be read in several ways"):
        open_collections("x::y::z")
    for spec in ("::", "x::", "::x", "no::such::folder"):
        with pytest.raises(DataError, match="wanted two folders"):
            open_collections(spec)


@pytest.mark.parametrize("make, message", [
    (lambda p: (folder(p / "a", 1), folder(p / "b")), "collection A has 1 item; a collection needs "
                                                      "at least 8"),
    (lambda p: (folder(p / "a"), folder(p / "b", 7, 1)), "collection B has 7 items"),
    (lambda p: (folder(p / "a"), p / "a"), "the same folder"),
    (lambda p: (folder(p / "a"), p / "a" / ".." / "a"), "the same folder"),
    (lambda p: (folder(p / "a"), folder(p / "b")), "10 of the 10 items of B are in A, too"),
    (lambda p: (folder(p / "a"), folder(p / "b", 6) and folder(p / "b" / "more", 4, 1)
                and p / "b"), "6 of the 10 items of B are in A"),
    (lambda p: (folder(p / "a"), p / "nowhere"), "nowhere: no such folder"),
    (lambda p: (folder(p / "a"), p / "a" / "000.png"), "000.png: not a folder"),
    (lambda p: (folder(p / "a"), folder(p / "b", 0)), "b: no pictures here .* found no files"),
])
def test_folders_that_cannot_be_translated(tmp_path, make, message):
    a, b = make(tmp_path)
    with pytest.raises(DataError, match=message) as caught:
        open_collections(f"{a}::{b}", size=16)
    assert "\n" not in str(caught.value)


def test_a_link_to_the_other_folder_is_the_same_folder(tmp_path):
    folder(tmp_path / "a")
    os.symlink(tmp_path / "a", tmp_path / "b")
    with pytest.raises(DataError, match="the same folder"):
        open_collections(f"{tmp_path / 'a'}::{tmp_path / 'b'}")


def test_the_same_pictures_under_other_names(tmp_path):
    folder(tmp_path / "a"), folder(tmp_path / "b", 0)
    for path in (tmp_path / "a").iterdir():
        with Image.open(path) as image:
            image.save(tmp_path / "b" / f"copy-{path.stem}.bmp")
    with pytest.raises(DataError, match="by mistake"):
        open_collections(f"{tmp_path / 'a'}::{tmp_path / 'b'}", size=16)


def test_notes_on_what_is_allowed(tmp_path):
    a = folder(tmp_path / "a", 10)
    for k in range(3):
        picture(50 + k, grey=True).save(a / f"grey{k}.png")
    picture(60, size=(70, 30)).save(a / "wide.png")
    see_through = picture(61).convert("RGBA")
    see_through.putalpha(100)
    see_through.save(a / "glass.png")
    (a / "notes.txt").write_text("no picture")
    b = folder(tmp_path / "b", 9, seed=1)
    picture(0).save(b / "also-in-a.png")
    data = open_collections(f"{a}::{b}", size=24)
    text = "\n".join(data.notes)
    for part in ("A: 3 of 15 pictures are grey, the others are coloured: --grey",
                 "A: pictures of 2 sizes, from 20x20 to 70x30",
                 "A: 1 of 15 pictures have transparent parts, which became white",
                 "A: 1 files that are no pictures were left out, such as notes.txt",
                 "B: only 10 pictures", "1 items are in A and in B", "smaller than 24x24"):
        assert part in text, part
    assert "B: 3" not in text and "are grey" not in text.split("B: ", 1)[1]


def test_swapped_folders_are_noted(tmp_path):
    a, b = folder(tmp_path / "trainA"), folder(tmp_path / "trainB", seed=1)
    assert "swapped" not in "".join(open_collections(f"{a}::{b}", size=16).notes)
    assert "a is trainB and b is trainA: are they swapped?" in open_collections(
        f"{b}::{a}", size=16).notes


def test_tests_that_are_trained_on_are_noted(tmp_path):
    for k, (part, n) in enumerate((("trainA", 9), ("trainB", 9), ("testA", 3), ("testB", 3))):
        folder(tmp_path / part, n, seed=k)
    assert not any("test items" in n for n in open_collections(str(tmp_path), size=16).notes)
    folder(tmp_path / "testB", 2, seed=0)  # of trainA
    assert any("2 of the 3 test items of B are among the training items" in note
               for note in open_collections(str(tmp_path), size=16).notes)


@pytest.mark.parametrize("make, message", [
    (lambda path: path.write_bytes(b"\x89PNG cut"), "cannot be read as a picture"),
    (lambda path: picture().save(path, save_all=True, append_images=[picture(1)]),
     "an animation of 2 frames"),
])
def test_damaged_and_animated_pictures_are_named(tmp_path, make, message):
    a, b = folder(tmp_path / "a"), folder(tmp_path / "b", seed=1)
    make(b / "bad.png")
    with pytest.raises(DataError, match=rf"bad.png: {message}"):
        open_collections(f"{a}::{b}", size=16)


@pytest.mark.parametrize("spec, message", [
    ("digits-invert", "did you mean 'digits-inverted'"),
    ("digits", "digits is one collection"), ("emoij", "did you mean 'emoji'"),
    ("mnist", "mnist is one collection"), ("xyzzy", "there are emoji, "),
    ("digits-edges", "digits-edges are pairs, from which pix2pix learns"),
])
def test_names_that_are_no_collections(spec, message):
    with pytest.raises(DataError, match=message) as caught:
        open_collections(spec)
    assert "--a FOLDER --b FOLDER" in str(caught.value)


def test_other_paths(tmp_path):
    (tmp_path / "x.txt").write_text("text")
    with pytest.raises(DataError, match=r"wanted a folder with trainA and trainB, or a \.npz"):
        open_collections(str(tmp_path / "x.txt"))
    folder(tmp_path / "horses")
    with pytest.raises(DataError, match="wanted the folders trainA and trainB in it, found ho"):
        open_collections(str(tmp_path))
    with pytest.raises(DataError, match="found no folders"):
        open_collections(str(tmp_path / "horses"))
    with pytest.raises(DataError, match=r"no pairs are called so; did you mean 'digits-edges'"):
        open_pairs("digits-edge")
    assert [*PAIRS] == ["digits-edges", "digits-halves", "emoji-pairs"]


def test_between_leaves_aligned_items_alone():
    """Pairs may be equal: a half-hidden empty digit is one."""
    x = np.zeros((9, 16, 16), "uint8")
    assert between("same", x, x, aligned=True).notes == ()
    with pytest.raises(DataError, match="9 of the 9"):
        between("same", x, x)


# ------------------------------------------------------------------------------------ translating


class Doubler:
    """Doubles values, and remembers how many items came at once."""

    data_shape = (1, 16, 16)
    directions = tuple(Direction)

    def __init__(self):
        self.seen = []

    def translate(self, x, direction):
        self.seen.append(len(x))
        return x * (2.0 if direction is Direction.A_TO_B else 0.5)


@pytest.mark.parametrize("n, shape, chunks", [
    (120, (2,), [50, 50, 20]), (101, (1, 16, 16), [50, 50, 1]), (3, (3, 64, 64), [3]),
    (30, (1, 128, 128), [12, 12, 6]), (2, (1, 1024, 1024), [1, 1])])
def test_arrays_are_translated_in_pieces_of_limited_size(n, shape, chunks):
    x = np.random.default_rng(0).standard_normal((n, *shape)).astype("float32")
    model = Doubler()
    assert np.array_equal(translated(model, x, Direction.A_TO_B), 2 * x)
    assert model.seen == chunks
    assert np.array_equal(translated(model, x, Direction.B_TO_A), x / 2)


def test_translations_that_are_no_numbers():
    class Broken(Doubler):
        def translate(self, x, direction):
            return Tensor(np.full(x.shape, np.nan, "float32"))

    with pytest.raises(FloatingPointError, match="not finite"):
        translated(Broken(), np.zeros((2, 2), "float32"), Direction.A_TO_B)


def test_directions():
    assert Direction.A_TO_B.back is Direction.B_TO_A and Direction.B_TO_A.back is Direction.A_TO_B
    assert [d.value for d in Direction] == ["ab", "ba"]


def test_pictures_get_names_of_their_own(tmp_path):
    folder(tmp_path / "in", 2)
    picture(7).save(tmp_path / "000.jpg")
    picture(8).save(tmp_path / "000-2.png")
    picture(9, grey=True).save(tmp_path / "A b.png")
    picture(9).save(tmp_path / "a B.bmp")
    paths = [tmp_path / "in", tmp_path / "000.jpg", tmp_path / "000-2.png", tmp_path / "A b.png",
             tmp_path / "a B.bmp", tmp_path / "in" / "000.png"]
    names, images = read_pictures(paths, size=16, grey=False)
    assert names == ["000", "001", "000-2", "000-2-2", "A b", "a B-2", "000-3"]
    assert images.shape == (7, 16, 16, 3) and np.array_equal(images[0], images[6])
    assert read_pictures(paths[3:4], size=20, grey=True)[1].shape == (1, 20, 20)
    with pytest.raises(DataError, match=r"nowhere\.png: no such file"):
        read_pictures([tmp_path / "nowhere.png"], size=16, grey=False)
    with pytest.raises(DataError, match="no pictures here"):
        read_pictures([folder(tmp_path / "empty", 0)], size=16, grey=False)
