"""Folders of pictures as training data, and the sheet that shows what a network will see.

Pictures of any size and kind become squares of one size: turned upright as the camera noted it,
laid on white where transparent, cut to the central square, resized. What a user should know but
need not stop for is collected in ``ImageFolder.notes``.

Leaves out: reading while training (the whole folder is in memory, ``size * size * 3`` bytes a
picture), other crops, and video.
"""

from __future__ import annotations

import os
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from .dataset import ArrayDataset, Dataset
from .errors import DataError
from .transforms import to_uint8

__all__ = ["ImageFolder", "contact_sheet", "read_image"]

_EXTENSIONS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif")
_FEW = 500  # pictures; with fewer a GAN mostly learns them by heart


def _pillow() -> tuple[ModuleType, ModuleType]:
    """PIL, imported on first use: ``import minigrad`` does without."""
    from PIL import Image, ImageOps

    return Image, ImageOps


class ImageFolder(ArrayDataset):
    """Every PNG, JPEG, WebP, BMP and GIF below a folder, in the order of their paths.

    Item: (image,), or (image, label) if all pictures lie in two or more subfolders, which then are
    the classes in alphabetical order. Hidden files and folders are skipped.

    Parameters
    ----------
    path : path
    size : int
        Side of the square images, in pixels.
    grey : bool
        One channel instead of three.
    first_frame : bool
        Whether to take the first frame of an animation, which otherwise is an error.

    Attributes
    ----------
    images : uint8 array, (N, size, size, 3), or (N, size, size) if grey
    labels : int64 array (N,), or None
    label_names : tuple of str, empty without labels
    paths : tuple of pathlib.Path
    notes : list of str
        What may hurt training: few pictures, pictures smaller than ``size``, files left out.

    Raises
    ------
    DataError
        If ``path`` is no folder or holds no pictures, or if one is damaged or animated.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        size: int = 32,
        grey: bool = False,
        first_frame: bool = False,
    ) -> None:
        if size < 1:
            raise DataError(f"ImageFolder: size must be at least 1 pixel, got {size}")
        root = Path(path)
        self.notes: list[str] = []
        self.paths = tuple(self._find(root))
        shape = (len(self.paths), size, size) if grey else (len(self.paths), size, size, 3)
        self.images = np.empty(shape, np.uint8)
        small, sizes, transparent = [], set(), 0
        for k, file in enumerate(self.paths):
            picture = _read(file, size, grey, first_frame)
            self.images[k], width, height = picture.pixels, picture.width, picture.height
            sizes.add((width, height))
            transparent += picture.transparent
            if min(width, height) < size:
                small.append((min(width, height), f"{file.relative_to(root)}, {width}x{height}"))
        if len(sizes) > 1:
            least, most = min(sizes, key=min), max(sizes, key=max)
            self.notes.append(f"pictures of {len(sizes)} sizes, from {least[0]}x{least[1]} to "
                              f"{most[0]}x{most[1]}: of each the central square was taken")
        if transparent:
            self.notes.append(f"{transparent} of {len(self.paths)} pictures have transparent "
                              "parts, which became white")
        if small:
            self.notes.append(f"{len(small)} of {len(self.paths)} pictures are smaller than "
                              f"{size}x{size} and were enlarged (the smallest: {min(small)[1]})")
        if len(self.paths) < _FEW:
            self.notes.append(f"only {len(self.paths)} pictures: with fewer than {_FEW} a GAN "
                              "tends to learn them by heart; add pictures or mirror them")
        self.labels, self.label_names = self._classes(root)
        super().__init__((self.images,) if self.labels is None else (self.images, self.labels))

    def _find(self, root: Path) -> list[Path]:
        if not root.is_dir():
            raise DataError(f"{root}: {'not a folder' if root.exists() else 'no such folder'}; "
                            "wanted a folder of pictures")
        found, others = [], []
        for folder, subfolders, files in os.walk(root):
            subfolders[:] = [name for name in subfolders if not name.startswith((".", "__"))]
            for name in files:
                if not name.startswith("."):
                    picture = name.lower().endswith(_EXTENSIONS)
                    (found if picture else others).append(Path(folder, name))
        if not found:
            seen = f"{len(others)} other files, such as {others[0].name}" if others else "no files"
            raise DataError(f"{root}: no pictures here ({' '.join(_EXTENSIONS)}); found {seen}")
        if others:
            self.notes.append(f"{len(others)} files that are no pictures were left out, such as "
                              f"{min(others).relative_to(root)}")
        return sorted(found, key=lambda file: file.relative_to(root).parts)

    def _classes(self, root: Path) -> tuple[np.ndarray | None, tuple[str, ...]]:
        parts = [file.relative_to(root).parts for file in self.paths]
        names = tuple(sorted({p[0] for p in parts}))
        if min(map(len, parts)) < 2 or len(names) < 2:
            return None, ()
        number = {name: k for k, name in enumerate(names)}
        return np.array([number[p[0]] for p in parts], dtype=np.int64), names


class _Picture(NamedTuple):
    """A picture as it was read, and what it was before."""

    pixels: np.ndarray  # uint8, square
    width: int
    height: int
    transparent: bool


def read_image(path: str | os.PathLike[str], *, size: int, grey: bool = False) -> np.ndarray:
    """One picture as ``ImageFolder`` reads it: uint8 (size, size, 3), or (size, size) if grey.

    Raises
    ------
    DataError
        If it is damaged or animated, or no picture.
    """
    return _read(Path(path), size, grey, False).pixels


def _read(path: Path, size: int, grey: bool, first_frame: bool) -> _Picture:
    """One picture of the folder."""
    Image, ImageOps = _pillow()
    try:
        with Image.open(path) as image:
            # MPO: a JPEG of a phone that keeps a second view behind the picture; no animation.
            frames = getattr(image, "n_frames", 1) if image.format != "MPO" else 1
            if frames > 1 and not first_frame:
                raise DataError(f"{path}: an animation of {frames} frames, wanted a still picture; "
                                "ask for the first frame of each (first_frame=True) or remove it")
            image.seek(0)
            image.load()
            transparent = image.has_transparency_data and (
                image.convert("RGBA").getchannel("A").getextrema()[0] < 255)
            upright = _on_white(ImageOps.exif_transpose(image), Image)
            side = min(upright.size)
            left, top = (upright.width - side) // 2, (upright.height - side) // 2
            square = upright.crop((left, top, left + side, top + side))
            if grey:
                square = square.convert("L")
            square = square.resize((size, size), Image.Resampling.LANCZOS)
            return _Picture(np.asarray(square), *upright.size, transparent)
    except DataError:
        raise
    except Exception as error:  # every decoder fails in its own way on damaged files
        raise DataError(f"{path}: cannot be read as a picture ({type(error).__name__}: {error}); "
                        "replace or remove it") from error


def _on_white(image: Any, Image: ModuleType) -> Any:
    """``image`` as RGB: 16-bit grey scaled down, transparency composited on white."""
    if image.mode.startswith("I"):
        return Image.fromarray((np.asarray(image) / 257).round().astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")


def contact_sheet(dataset: Dataset, n: int = 64, *, columns: int | None = None) -> np.ndarray:
    """``n`` images of a dataset in a grid, as the network will see them, evenly picked.

    Parameters
    ----------
    dataset : Dataset
        Its items (or their first parts) are uint8 images, H x W or H x W x 3, or float images,
        C x H x W from -1 to 1. Transforms are applied, so the sheet shows them.
    n : int
        At most so many images.
    columns : int, optional
        The default makes the grid about square.

    Returns
    -------
    uint8 array, (height, width) or (height, width, 3), grey lines between the images

    Raises
    ------
    DataError
        If the dataset is empty or its items are no images.
    """
    if len(dataset) < 1 or n < 1:
        raise DataError(f"contact_sheet: wants at least one image, got n={n} of {len(dataset)}")
    n = min(n, len(dataset))
    images = []
    for k in range(n):
        item = dataset[k * len(dataset) // n]
        images.append(_picture(item[0] if isinstance(item, (tuple, list)) else item))
    columns = min(columns or int(np.ceil(np.sqrt(n))), n)
    rows = -(-n // columns)
    h, w = images[0].shape[:2]
    sheet = np.full((rows * (h + 1) - 1, columns * (w + 1) - 1, *images[0].shape[2:]), 128,
                    np.uint8)
    for k, image in enumerate(images):
        if image.shape != images[0].shape:
            raise DataError(f"contact_sheet: image {k} has shape {image.shape}, the first has "
                            f"{images[0].shape}")
        top, left = k // columns * (h + 1), k % columns * (w + 1)
        sheet[top : top + h, left : left + w] = image
    return sheet


def _picture(x: Any) -> np.ndarray:
    x = np.asarray(x)
    if x.dtype == np.uint8 and (x.ndim == 2 or (x.ndim == 3 and x.shape[2] == 3)):
        return x
    if x.dtype.kind == "f" and x.ndim == 3 and x.shape[0] in (1, 3):
        return to_uint8(x[None])[0]
    raise DataError("contact_sheet: wants images, uint8 of shape (H, W) or (H, W, 3) or float of "
                    f"shape (1, H, W) or (3, H, W), got {x.dtype} of shape {x.shape}")
