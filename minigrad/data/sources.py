"""One door for "train on this": a name or a path becomes images and labels.

Leaves out: guessing what the numbers in float arrays mean; images are uint8, 0 to 255.
"""

from __future__ import annotations

import difflib
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .download import DOWNLOADS, data_folders, fetch
from .embedded import EMBEDDED, LabelledImages, load
from .errors import DataError, UnknownDataError
from .idx import read_idx
from .images import ImageFolder
from .npz import read_npz

__all__ = ["ImageArrays", "open_dataset"]

_EMOJI = {"emoji32": "emoji", "emoji": "emoji"}
_PARTS = ("a", "b")  # the two sides of an unpaired set


class ImageArrays(NamedTuple):
    """Images with a name: uint8 (N, H, W) or (N, H, W, 3), labels of integers (N,) or None.

    ``label_names`` is empty where names are not known; ``notes`` are remarks for the user.
    """

    name: str
    images: np.ndarray
    labels: np.ndarray | None = None
    label_names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def open_dataset(
    spec: str | os.PathLike[str],
    *,
    train: bool = True,
    folder: str | os.PathLike[str] | None = None,
    size: int = 32,
    grey: bool = False,
    first_frame: bool = False,
) -> ImageArrays:
    """Images by name or path.

    Parameters
    ----------
    spec : str or path
        One of, looked for in this order (names go before paths: write ``./digits`` for a path):

        - ``folder:PATH``, a folder of pictures, whatever it is called;
        - an embedded set: ``digits``, ``optdigits`` (brought to 0..255), ``emoji`` (both styles) or
          one of its styles, ``emoji:a`` and ``emoji:b``;
        - ``NAME`` for ``NAME.npz`` in ``folder`` or in the folder that ``MINIGRAD_DATA`` names;
        - ``mnist`` or ``fashion-mnist``, in these folders or downloaded;
        - the path of a ``.npz`` file, an IDX file of images (the labels beside it are found) or a
          folder of pictures; ``FILE.npz:a`` is one part of an unpaired set;
        - ``NAME`` for a folder of pictures in ``folder`` or ``MINIGRAD_DATA``.
    train : bool
        The training part, or the test part of sets that have one.
    folder : path, optional
    size, grey, first_frame
        Of pictures in folders; see ``ImageFolder``. Arrays keep their size.

    Raises
    ------
    DataError
        If nothing has this name (the message lists what there is), the file is damaged or of
        another kind, or a test part is asked for and there is none.
    """
    text = os.fspath(spec)
    pictures = {"size": size, "grey": grey, "first_frame": first_frame}
    if text.startswith("folder:"):
        return _from_folder(Path(text.removeprefix("folder:")).expanduser(), train, pictures)
    name, part = (text[:-2], text[-1]) if text[-2:] in (":a", ":b") else (text, "")
    if name in (*EMBEDDED, *_EMOJI):
        return _from_embedded(name, part, train)
    path = Path(name)
    places = data_folders(folder) if name and path.name == name else []  # not for paths
    for place in places:
        if (place / f"{name}.npz").is_file():
            return _from_file(place / f"{name}.npz", part, train)
    if name in DOWNLOADS and not part:
        files = fetch(name, folder)
        images, labels = ((files.train_images, files.train_labels) if train
                          else (files.test_images, files.test_labels))
        return _from_idx(images, labels)._replace(name=name)
    if path.is_file():
        return _from_file(path, part, train)
    for place in (Path(), *places):
        if name and not part and (place / name).is_dir():
            return _from_folder(place / name, train, pictures)
    raise UnknownDataError(_unknown(text, name, folder))


def _unknown(text: str, name: str, folder: str | os.PathLike[str] | None) -> str:
    places = data_folders(folder)
    found = sorted({file.stem for place in places for file in place.glob("*.npz")})
    known = [*EMBEDDED, "emoji:a", "emoji:b", *DOWNLOADS, *found]
    near = difflib.get_close_matches(name, known, n=1)
    where = ", ".join(str(place) for place in places)
    return (
        f"{text!r} is neither a data set nor a file nor a folder"
        + (f"; did you mean {near[0]!r}?" if near else "")
        + f"\n  embedded: {', '.join(EMBEDDED)} (emoji:a and emoji:b for one style)"
        + f"\n  downloaded on first use: {', '.join(DOWNLOADS)}"
        + (f"\n  in {where}: {', '.join(found) or 'no .npz files'}" if places else
           "\n  set MINIGRAD_DATA=FOLDER to find FOLDER/NAME.npz by name")
        + "\n  or give the path of a .npz file, of an IDX file, or of a folder of pictures"
    )


def _from_folder(path: Path, train: bool, pictures: dict[str, int | bool]) -> ImageArrays:
    if not train:
        raise DataError(f"{path}: a folder of pictures has no test part; put test pictures in a "
                        "folder of their own")
    folder = ImageFolder(path, **pictures)
    return ImageArrays(path.resolve().name, folder.images, folder.labels, folder.label_names,
                       tuple(folder.notes))


def _from_embedded(name: str, part: str, train: bool) -> ImageArrays:
    data = load(name)
    if isinstance(data, LabelledImages):
        if part:
            raise DataError(f"{name}:{part}: {name} has no parts a and b")
        images = data.train_images if train else data.test_images
        if data.maximum != 255:
            images = np.rint(images * (255 / data.maximum)).astype(np.uint8)
        return ImageArrays(name, images, data.train_labels if train else data.test_labels,
                           tuple("0123456789"))
    spec = f"{name}:{part}" if part else name
    return _from_arrays(data._asdict(), _EMOJI[name], part, train, spec)


def _from_file(path: Path, part: str, train: bool) -> ImageArrays:
    if path.suffix == ".npz":
        return _from_arrays(read_npz(path), path.stem, part, train, str(path))
    with path.open("rb") as file:
        start = file.read(2)
    if start not in (b"\x1f\x8b", b"\0\0"):
        raise DataError(f"{path}: wanted a .npz file, an IDX file or a folder of pictures; this "
                        f"file begins with {start.hex(' ') or 'nothing'}")
    if part or not train:
        raise DataError(f"{path}: an IDX file has no {f'part {part}' if part else 'test part'}; "
                        "give the path of the file that you want")
    twin = path.with_name(path.name.replace("images", "labels").replace("idx3", "idx1"))
    return _from_idx(path, twin if twin != path and twin.is_file() else None)


def _from_idx(path: Path, labels: Path | None) -> ImageArrays:
    return _checked(path.name, str(path), read_idx(path),
                    None if labels is None else read_idx(labels))


def _from_arrays(
    arrays: dict[str, np.ndarray], name: str, part: str, train: bool, source: str
) -> ImageArrays:
    """Pick images and labels out of an archive by the names that such archives use."""
    if "a_images" in arrays and "b_images" in arrays:
        before = "" if train else "test_"
        picked = [_image_array(arrays.get(f"{before}{p}_images"), source, f"{before}{p}_images")
                  for p in (part or _PARTS)]
        labels = [arrays.get(f"{p}_labels" if train else "test_labels") for p in (part or _PARTS)]
        return _checked(f"{name}-{part}" if part else name, source, np.concatenate(picked),
                        np.concatenate(labels) if all(x is not None for x in labels) else None,
                        arrays.get("categories"))
    if part:
        raise DataError(f"{source}: has no parts a and b; it holds {_listing(arrays)}")
    kinds = (("train_images", "train_labels"), ("x_train", "y_train")) if train else (
        ("test_images", "test_labels"), ("x_test", "y_test"))
    whole = ("images", "labels")
    if not train and "images" in arrays and not any(key in arrays for key, _ in kinds):
        raise DataError(f"{source}: has no test part; it holds {_listing(arrays)}")
    for images, labels in (*kinds, whole) if train else kinds:
        if images in arrays:
            return _checked(name, source, arrays[images], arrays.get(labels),
                            arrays.get("categories"))
    raise DataError(f"{source}: no images found; it holds {_listing(arrays)}. Wanted an array "
                    f"{kinds[0][0]!r}, {kinds[1][0]!r} or 'images'")


def _listing(arrays: dict[str, np.ndarray]) -> str:
    return ", ".join(f"{key} {value.dtype} {value.shape}" for key, value in arrays.items()
                     if isinstance(value, np.ndarray))


def _image_array(array: np.ndarray | None, source: str, key: str) -> np.ndarray:
    """``array`` as (N, H, W) or (N, H, W, 3), if it is uint8 images."""
    if array is None:
        raise DataError(f"{source}: has no array {key!r}")
    if array.ndim == 4 and array.shape[3] not in (1, 3) and array.shape[1] in (1, 3):
        array = array.transpose(0, 2, 3, 1)  # channels first
    if array.ndim == 4 and array.shape[3] == 1:
        array = array[..., 0]
    if (array.dtype != np.uint8 or array.ndim not in (3, 4) or array.size == 0
            or (array.ndim == 4 and array.shape[3] != 3)):
        raise DataError(f"{source}: {key}: wanted uint8 images, 0 to 255, of shape (N, H, W) or "
                        f"(N, H, W, 3); found {array.dtype} of shape {array.shape}")
    return array


def _checked(
    name: str,
    source: str,
    images: np.ndarray,
    labels: np.ndarray | None,
    categories: np.ndarray | None = None,
) -> ImageArrays:
    images = _image_array(images, source, "images")
    if labels is not None:
        if labels.ndim == 2 and labels.shape[1] == 1:
            labels = labels[:, 0]
        if labels.dtype.kind not in "iu" or labels.shape != (len(images),):
            raise DataError(f"{source}: labels: wanted integers of shape ({len(images)},); found "
                            f"{labels.dtype} of shape {labels.shape}")
    names = () if labels is None or categories is None else tuple(str(x) for x in categories)
    return ImageArrays(name, images, labels, names)
