"""Collections to translate between: what CycleGAN and pix2pix learn from.

``TranslationData`` holds two collections, A and B. Unaligned, they are just that: CycleGAN learns
from them. Aligned, row i of A belongs to row i of B, which pix2pix needs. ``open_collections`` and
``open_pairs`` turn what a user typed into such data::

    emoji                  Noto and Twemoji: other emoji in each collection; 100 held-back pairs
    digits-inverted        digits, and other digits with black and white exchanged
    digits-striped         digits, and other digits cut by diagonal stripes
    digits-coloured        digits, and other digits in orange ink on blue paper
    rotation               points in the plane: a cloud, and the same cloud turned and moved
    A::B                   two folders of pictures; also --a A --b B
    FOLDER                 with trainA, trainB and perhaps testA, testB in it, as horse2zebra has
    horse2zebra            and the other sets of ``minigrad.data.download.PICTURES``: such folders,
                           in MINIGRAD_DATA, or downloaded
    FILE.npz               with a_images, b_images and perhaps test_a_images, test_b_images

    digits-edges           pairs: the outline of a digit, and the digit
    digits-halves          pairs: a digit whose right half is hidden, and the digit
    emoji-pairs            pairs: the same emoji in both styles (needs emoji_noto32.npz)

The maps of the digits are known, so a translation can be compared with the truth; digits of A and
of B are different ones, so nothing of it is there to be learned by heart. Of emoji the 100 test
pairs are known, and they are in no training set.

Leaves out: collections of different shapes, more than two, and pictures that do not fit into
memory.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from minigrad.data import EMBEDDED, ArrayDataset, DataError, ImageFolder, load, read_npz
from minigrad.data.download import DOWNLOADS, PICTURES, data_folders, fetch_pictures

from .translation_data import TranslationData
from .translation_judge import TranslationJudge
from .translator import as_network

__all__ = ["COLLECTIONS", "PAIRS", "between", "open_collections", "open_pairs"]

LEAST = 8  # pictures of a collection
HELD_BACK = 10  # every tenth picture of a folder without a test part
MARK = "::"  # between the two folders of a spec


def between(spec: str, a: np.ndarray, b: np.ndarray, **more: Any) -> TranslationData:
    """``TranslationData`` of two arrays of training items; ``more`` are its other attributes.

    Raises
    ------
    DataError
        If the items differ in shape, are too few, or are the same in both.
    """
    name = more.pop("name", spec)
    tests = [more.get("test_a"), more.get("test_b")]
    for part, items in (("B", b), ("the test part of A", tests[0]), ("the test part of B",
                                                                     tests[1])):
        if items is not None and items.shape[1:] != a.shape[1:]:
            raise DataError(f"{name}: the items of A have shape {a.shape[1:]}, those of {part} "
                            f"{items.shape[1:]}; one network reads all, so they must be alike")
        if items is not None and not len(items):
            raise DataError(f"{name}: {part} holds no items")
    for side, items in (("A", a), ("B", b)):
        if len(items) < LEAST:
            raise DataError(f"{name}: collection {side} has {len(items)} item"
                            f"{'s' * (len(items) != 1)}; a collection needs at least {LEAST}, "
                            "better hundreds, for D to learn what they have in common")
    notes = [*more.pop("notes", ())]
    if not more.get("aligned"):
        notes += _overlap(name, a, b)
    notes += _leaks(a, b, *tests)
    x = as_network(a)
    return TranslationData(
        spec=spec, name=re.sub(r"[^A-Za-z0-9.]+", "-", name).strip("-.") or "data",
        shape=x.shape[1:], dataset=ArrayDataset((x,)), train=np.concatenate([a, b]), a=a, b=b,
        notes=tuple(notes), judged_by=TranslationJudge, **more)


def _overlap(name: str, a: np.ndarray, b: np.ndarray) -> list[str]:
    """A note if some items are in both collections; DataError if the collections are the same."""
    seen = {x.tobytes() for x in a}
    both = sum(x.tobytes() in seen for x in b)
    if 2 * both >= min(len(a), len(b)):
        raise DataError(f"{name}: {both} of the {len(b)} items of B are in A, too; a translation "
                        "between a collection and itself is to do nothing. Are a and b the same "
                        "by mistake?")
    return [f"{both} items are in A and in B"] if both else []


def _leaks(a: np.ndarray, b: np.ndarray, *tests: np.ndarray | None) -> list[str]:
    """A note if test items are trained on."""
    trained = {x.tobytes() for items in (a, b) for x in items}
    found = [(side, sum(x.tobytes() in trained for x in items), len(items))
             for side, items in zip("AB", tests, strict=True) if items is not None]
    return [f"{n} of the {of} test items of {side} are among the training items, too: what is "
            "measured on them says little" for side, n, of in found if n]


# ------------------------------------------------------------------------------------------ tasks


def _inverted(x: np.ndarray) -> np.ndarray:
    return 255 - x


def _striped(x: np.ndarray) -> np.ndarray:
    """Ink in every second diagonal stripe, each two pixels wide."""
    row, column = np.indices(x.shape[1:])
    return x * ((row + column) // 2 % 2 == 0)


INK, PAPER = np.array([255, 140, 25]), np.array([25, 50, 130])  # orange on blue


def _coloured(x: np.ndarray) -> np.ndarray:
    """(n, h, w, 3): from paper to ink as the digit goes from black to white."""
    share = x[..., None] / 255
    return np.rint(PAPER + share * (INK - PAPER)).astype(np.uint8)


def _as_colour(x: np.ndarray) -> np.ndarray:
    return np.repeat(x[..., None], 3, axis=3)


def _outline(x: np.ndarray) -> np.ndarray:
    """White where ink borders on paper, from the side of the ink."""
    ink = np.pad(x > 127, ((0, 0), (1, 1), (1, 1)))
    inside = (ink[:, :-2, 1:-1] & ink[:, 2:, 1:-1] & ink[:, 1:-1, :-2] & ink[:, 1:-1, 2:])
    return np.where(ink[:, 1:-1, 1:-1] & ~inside, 255, 0).astype(np.uint8)


def _half_hidden(x: np.ndarray) -> np.ndarray:
    """The left half; the right half is grey."""
    x = x.copy()
    x[:, :, x.shape[2] // 2:] = 128
    return x


def _digits(spec: str, change: Callable[[np.ndarray], np.ndarray],
            before: Callable[[np.ndarray], np.ndarray] = np.asarray, **more: Any
            ) -> TranslationData:
    """Even rows of the training digits, and the others changed: no digit is in both."""
    digits = load("digits")
    images, labels = digits.train_images, digits.train_labels
    return between(
        spec, before(images[::2]), change(images[1::2]), test_a=before(digits.test_images),
        test_b=change(digits.test_images), partners=True, labels_a=labels[::2],
        labels_b=labels[1::2], test_labels=digits.test_labels, mirrored=False, **more)


def _digit_pairs(spec: str, change: Callable[[np.ndarray], np.ndarray], **more: Any
                 ) -> TranslationData:
    """Every training digit after a change, and as it is."""
    digits = load("digits")
    return between(
        spec, change(digits.train_images), digits.train_images, aligned=True, partners=True,
        test_a=change(digits.test_images), test_b=digits.test_images,
        labels_a=digits.train_labels, labels_b=digits.train_labels,
        test_labels=digits.test_labels, mirrored=False, **more)


def _emoji(spec: str) -> TranslationData:
    emoji = load("emoji")
    return between(spec, emoji.a_images, emoji.b_images, test_a=emoji.test_a_images,
                   test_b=emoji.test_b_images, partners=True)


def _emoji_pairs(spec: str) -> TranslationData:
    """The training emoji of B, which come in Noto's style in another file, joined by code point."""
    file = "emoji_noto32.npz"
    places = [folder / file for folder in (Path(), *data_folders(None))]
    found = next((path for path in places if path.is_file()), None)
    if found is None:
        raise DataError(f"{spec}: wants {file}, which holds the partners of the training emoji; "
                        f"looked in {', '.join(str(x.parent) for x in places)}; set MINIGRAD_DATA "
                        "to its folder")
    emoji, noto = load("emoji"), read_npz(found)
    row = {code: i for i, code in enumerate(noto["codes"].tolist())}
    missing = [code for code in emoji.b_codes.tolist() if code not in row]
    if missing:
        raise DataError(f"{found}: lacks {len(missing)} emoji of B, such as {missing[0]}")
    partners = noto["images"][[row[code] for code in emoji.b_codes.tolist()]]
    return between(spec, partners, emoji.b_images, aligned=True, partners=True,
                   test_a=emoji.test_a_images, test_b=emoji.test_b_images)


TURN = 2.0  # radians
MOVE = np.array([0.5, -0.5])


def rotated(points: np.ndarray) -> np.ndarray:
    """The true map of the task "rotation"."""
    c, s = np.cos(TURN), np.sin(TURN)
    return (points @ np.array([[c, s], [-s, c]]) + MOVE).astype(np.float32)


def _cloud(n: int, g: np.random.Generator) -> np.ndarray:
    """Two blobs of unequal size and shape, so that only one turn maps the cloud onto itself."""
    large = g.standard_normal((n, 2)) * (0.5, 0.15) + (-0.4, 0.0)
    small = g.standard_normal((n, 2)) * (0.1, 0.1) + (0.9, 0.5)
    return np.where(g.random((n, 1)) < 0.7, large, small).astype(np.float32)


def _rotation(spec: str) -> TranslationData:
    a, b, test = (_cloud(n, np.random.default_rng((5, k)))
                  for k, n in enumerate((4000, 4000, 1000)))
    return between(spec, a, rotated(b), test_a=test, test_b=rotated(test), partners=True,
                   mirrored=False, keeps_colours=False)


COLLECTIONS: dict[str, Callable[[str], TranslationData]] = {
    "emoji": _emoji,
    "digits-inverted": lambda spec: _digits(spec, _inverted, keeps_colours=False),
    "digits-striped": lambda spec: _digits(spec, _striped),
    "digits-coloured": lambda spec: _digits(spec, _coloured, _as_colour),
    "rotation": _rotation,
}
PAIRS: dict[str, Callable[[str], TranslationData]] = {
    "digits-edges": lambda spec: _digit_pairs(spec, _outline),
    "digits-halves": lambda spec: _digit_pairs(
        spec, _half_hidden, hidden=(slice(None), slice(14, None))),
    "emoji-pairs": _emoji_pairs,
}


# ------------------------------------------------------------------------------------------ doors


def open_collections(spec: str, *, size: int = 32, grey: bool = False) -> TranslationData:
    """Two collections, unpaired: a task by name, two folders, a folder of folders, or a file.

    ``size`` and ``grey`` say how pictures of folders are read.

    Raises
    ------
    DataError
        If there is no such thing, or the collections cannot be translated into each other.
    """
    if spec in COLLECTIONS:
        return replace(COLLECTIONS[spec](spec), size=size, grey=grey)
    path = _found(spec)
    if MARK in spec and path is None:
        return _from_folders(spec, size, grey)
    if spec in PICTURES and path is None:
        path = fetch_pictures(spec)
    if path is None:
        known = [*COLLECTIONS, *PICTURES]
        near = difflib.get_close_matches(spec, known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}"
        why = (f"{spec} are pairs, from which pix2pix learns" if spec in PAIRS
               else f"{spec} is one collection" if spec in (*EMBEDDED, *DOWNLOADS)
               else f"no collections are called {spec!r}")
        raise DataError(f"--data {spec}: {why}; {hint}; or give two folders of pictures: "
                        "--a FOLDER --b FOLDER")
    if path.is_dir():
        return _from_parts(path, size, grey)
    return _from_file(path)


def open_pairs(spec: str, *, size: int = 32, grey: bool = False) -> TranslationData:
    """Pairs, by the name of a task; errors as in ``open_collections``."""
    if spec not in PAIRS:
        near = difflib.get_close_matches(spec, [*PAIRS], n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(PAIRS)}"
        raise DataError(f"--data {spec}: no pairs are called so; {hint}")
    return replace(PAIRS[spec](spec), size=size, grey=grey)


def _found(spec: str) -> Path | None:
    """The file or folder that a spec means."""
    path = Path(spec).expanduser()
    if path.exists():
        return path.absolute()
    if path.name == spec:
        for folder in data_folders(None):
            for candidate in (folder / f"{spec}.npz", folder / spec):
                if candidate.exists():
                    return candidate.absolute()
    return None


def _from_file(path: Path) -> TranslationData:
    if path.suffix != ".npz":
        raise DataError(f"{path}: wanted a folder with trainA and trainB, or a .npz file with "
                        "a_images and b_images")
    arrays = read_npz(path)
    missing = {"a_images", "b_images"} - set(arrays)
    if missing:
        raise DataError(f"{path}: has no array {', '.join(sorted(missing))}; it holds "
                        f"{', '.join(arrays)}")
    images = {key: arrays[key] for key in ("a_images", "b_images", "test_a_images",
                                           "test_b_images") if key in arrays}
    for key, x in images.items():
        if x.dtype != np.uint8 or x.ndim not in (3, 4) or (x.ndim == 4 and x.shape[3] != 3):
            raise DataError(f"{path}: {key}: wanted uint8 images (n, h, w) or (n, h, w, 3), found "
                            f"{x.dtype} of shape {x.shape}")
    a, b, test_a, test_b = (images.get(key) for key in ("a_images", "b_images", "test_a_images",
                                                        "test_b_images"))
    known = {"test_codes", "test_labels"} & set(arrays)
    partners = bool(known) and test_a is not None and test_b is not None and (
        len(test_a) == len(test_b))
    return between(str(path), a, b, name=path.stem, test_a=test_a, test_b=test_b,
                   partners=partners)


def _from_parts(path: Path, size: int, grey: bool) -> TranslationData:
    """A folder with trainA, trainB and perhaps testA, testB in it."""
    parts = {child.name.lower(): child for child in path.iterdir() if child.is_dir()}
    if not {"traina", "trainb"} <= set(parts):
        raise DataError(f"{path}: wanted the folders trainA and trainB in it, found "
                        f"{', '.join(sorted(x.name for x in parts.values())) or 'no folders'}; "
                        "for two folders of other names: --a FOLDER --b FOLDER")
    read = {key: ImageFolder(parts[key], size=size, grey=grey)
            for key in ("traina", "trainb", "testa", "testb") if key in parts}
    test = {side: read[f"test{side}"].images if f"test{side}" in read else None for side in "ab"}
    notes = [note for side in "ab" for note in _notes(side, read[f"train{side}"])]
    return between(str(path), read["traina"].images, read["trainb"].images, name=path.name,
                   test_a=test["a"], test_b=test["b"], notes=notes, size=size, grey=grey)


def _from_folders(spec: str, size: int, grey: bool) -> TranslationData:
    """``A::B``: every tenth picture of each folder is held back, if there are enough."""
    paths = [Path(name).expanduser().absolute() for name in _two_names(spec)]
    if paths[0].resolve() == paths[1].resolve():
        raise DataError(f"--a and --b are the same folder, {paths[0]}; wanted two collections")
    folders = [ImageFolder(path, size=size, grey=grey) for path in paths]
    train, test, notes = [], [], []
    for side, folder in zip("ab", folders, strict=True):
        held_back = np.arange(len(folder.images)) % HELD_BACK == HELD_BACK - 1
        if len(folder.images) < HELD_BACK * LEAST:
            held_back[:] = False
        train.append(folder.images[~held_back])
        test.append(folder.images[held_back] if held_back.any() else None)
        notes += _notes(side, folder)
    first, second = (path.name.lower() for path in paths)
    if first.endswith("b") and second.endswith("a") and first[:-1] == second[:-1]:
        notes.append(f"a is {paths[0].name} and b is {paths[1].name}: are they swapped?")
    return between(MARK.join(map(os.fspath, paths)), *train,
                   name="-".join(path.name for path in paths), test_a=test[0], test_b=test[1],
                   notes=notes, size=size, grey=grey)


def _two_names(spec: str) -> tuple[str, str]:
    """The two folders of ``A::B``, whose names may have the mark in them, too."""
    parts = spec.split(MARK)
    ways = [(MARK.join(parts[:i]), MARK.join(parts[i:])) for i in range(1, len(parts))]
    ways = [way for way in ways if all(way)]
    fitting = [way for way in ways if all(Path(name).expanduser().is_dir() for name in way)]
    if len(fitting) == 1 or (not fitting and len(ways) == 1):
        return (fitting or ways)[0]
    what = "can be read in several ways" if fitting else "wanted two folders"
    raise DataError(f"--data {spec}: {what}; give folders as A{MARK}B, without {MARK} in their "
                    "names")


def _notes(side: str, folder: ImageFolder) -> list[str]:
    """What a user should know about the pictures of one side."""
    images, notes = folder.images, list(folder.notes)
    if images.ndim == 4:
        grey = int((images == images[..., :1]).all(axis=(1, 2, 3)).sum())
        if 0 < grey < len(images):
            notes.append(f"{grey} of {len(images)} pictures are grey, the others are coloured: "
                         "--grey makes all of them alike")
    return [f"{side.upper()}: {note}" for note in notes]
