"""Published data sets: found on this machine, or downloaded once and checked.

``fetch`` has the four files of MNIST and Fashion-MNIST; ``fetch_pictures`` the collections of the
CycleGAN paper, each a folder with trainA, trainB, testA and testB in it.

A download is accepted by its published SHA-256 only. Files of MNIST that were put in place by hand
are accepted by that of their unpacked content, since packers differ; folders of pictures as they
are. Nobody has run the download of ``PICTURES`` with this code yet: the checksums are from a public
list, and the tests fetch small archives from a server of their own.

Leaves out: data sets without a stable published checksum, and resuming a broken download.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import zipfile
from pathlib import Path, PurePosixPath
from types import ModuleType
from typing import NamedTuple

from .errors import DataError
from .idx import unpacked

__all__ = ["DOWNLOADS", "PICTURES", "IDXFiles", "data_folders", "fetch", "fetch_pictures"]


class IDXFiles(NamedTuple):
    """Where the four files of a set lie."""

    train_images: Path
    train_labels: Path
    test_images: Path
    test_labels: Path


class _File(NamedTuple):
    name: str
    packed: str  # SHA-256 of the .gz file as published
    content: str  # SHA-256 of what is in it


class _Archive(NamedTuple):
    size: int  # bytes of the .zip file as published
    sha256: str
    mirrors: tuple[str, ...] = (
        "https://efrosgans.eecs.berkeley.edu/cyclegan/datasets/",
        "https://people.eecs.berkeley.edu/~taesung_park/CycleGAN/datasets/",
    )


class _Set(NamedTuple):
    mirrors: tuple[str, ...]  # tried in this order
    files: tuple[_File, _File, _File, _File]  # in the order of IDXFiles


DOWNLOADS = {
    "mnist": _Set(
        mirrors=(
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
        ),
        files=(
            _File("train-images-idx3-ubyte.gz",
                  "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
                  "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"),
            _File("train-labels-idx1-ubyte.gz",
                  "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
                  "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"),
            _File("t10k-images-idx3-ubyte.gz",
                  "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
                  "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"),
            _File("t10k-labels-idx1-ubyte.gz",
                  "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
                  "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"),
        ),
    ),
    "fashion-mnist": _Set(
        mirrors=(
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
            "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
        ),
        files=(
            _File("train-images-idx3-ubyte.gz",
                  "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
                  "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888"),
            _File("train-labels-idx1-ubyte.gz",
                  "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
                  "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9"),
            _File("t10k-images-idx3-ubyte.gz",
                  "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
                  "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b"),
            _File("t10k-labels-idx1-ubyte.gz",
                  "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
                  "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"),
        ),
    ),
}

PICTURES = {
    "horse2zebra": _Archive(
        116867962, "a74d9d392eecca9966b51287a76ca126af473d9de4f3e8fc0e9cda08fa1730a1"),
    "apple2orange": _Archive(
        78456409, "845a191e9af8926408ea597001cd03a452e3300a1f44a79fe329b3d59f6e3eb8"),
    "summer2winter_yosemite": _Archive(
        132640856, "167fe1726807a9d22bd106b4a6c0bd7953b688af924ac1bf967439c4961e49f9"),
    "monet2photo": _Archive(
        305231073, "88f91b00fc228f97c9411fbf1880ec1d119c98f1722e4cfcfaa2fb35fac05b04"),
}
"""Collections of pictures in two styles, 256 x 256 pixels (Zhu et al. 2017, section 7)."""


def _pooch() -> ModuleType:
    """pooch, imported on first use: ``import minigrad`` does without."""
    import pooch

    return pooch


def data_folders(folder: str | os.PathLike[str] | None = None) -> list[Path]:
    """Where data sets are looked for by name: ``folder``, then what ``MINIGRAD_DATA`` names."""
    named = [folder, os.environ.get("MINIGRAD_DATA")]
    return [Path(place) for place in named if place]


def fetch(
    name: str,
    folder: str | os.PathLike[str] | None = None,
    *,
    cache: str | os.PathLike[str] | None = None,
) -> IDXFiles:
    """The four files of ``mnist`` or ``fashion-mnist``: the local ones, else downloaded.

    Parameters
    ----------
    name : str
    folder : path, optional
        Looked at first, then the folder that ``MINIGRAD_DATA`` names, then
        ``/usr/share/datasets`` (Debian); in each the subfolder ``name`` before the folder itself.
        The files may be packed (.gz) or not.
    cache : path, optional
        Where downloads are kept; the default is the user's cache folder.

    Raises
    ------
    DataError
        If there is no such set, a local file is not the published one, or neither a local file nor
        a mirror gives the right content.
    """
    if name not in DOWNLOADS:
        raise DataError(f"no set to download is called {name!r}; there are {', '.join(DOWNLOADS)}")
    places = [*data_folders(folder), Path("/usr/share/datasets")]
    return IDXFiles(*(
        _local(name, file, places) or _downloaded(name, file, cache)
        for file in DOWNLOADS[name].files
    ))


def _local(name: str, file: _File, places: list[Path]) -> Path | None:
    """The file if it lies in one of the places, after checking that it is the published one."""
    for place in places:
        for path in (place / name / file.name, place / name / file.name.removesuffix(".gz"),
                     place / file.name, place / file.name.removesuffix(".gz")):
            if path.is_file():
                sha256 = _pooch().hashes.ALGORITHMS_AVAILABLE["sha256"]
                found = sha256(unpacked(path)[0]).hexdigest()
                if found != file.content:
                    raise DataError(
                        f"{path}: not the published {file.name} of {name}: the SHA-256 of its "
                        f"content is {found}, wanted {file.content}; remove it, or put the right "
                        f"one at {place / name / file.name}")
                return path
    return None


def _downloaded(name: str, file: _File, cache: str | os.PathLike[str] | None) -> Path:
    pooch = _pooch()
    store = Path(cache if cache is not None else pooch.os_cache("minigrad")) / name
    failures = []
    for mirror in DOWNLOADS[name].mirrors:
        try:
            return Path(pooch.retrieve(mirror + file.name, known_hash=f"sha256:{file.packed}",
                                       fname=file.name, path=store))
        except (OSError, ValueError) as error:  # no connection; another checksum
            failures.append(f"  {mirror}: {type(error).__name__}: {error}")
    raise DataError(
        f"{name}: could not download {file.name}:\n" + "\n".join(failures)
        + "\nWithout a connection, get the four files elsewhere, put them in a folder "
        f"FOLDER/{name}/ and set the variable MINIGRAD_DATA=FOLDER (or pass folder=FOLDER): "
        + ", ".join(f.name for f in DOWNLOADS[name].files))


def fetch_pictures(
    name: str,
    folder: str | os.PathLike[str] | None = None,
    *,
    cache: str | os.PathLike[str] | None = None,
) -> Path:
    """The folder of a set of ``PICTURES``, with trainA, trainB, testA and testB in it.

    Parameters
    ----------
    name : str
    folder : path, optional
        Looked at first, then the folder that ``MINIGRAD_DATA`` names: a folder ``name`` in it.
    cache : path, optional
        Where downloads are unpacked and kept; the default is the user's cache folder.

    Raises
    ------
    DataError
        If there is no such set, no mirror gives the published archive, or the archive cannot be
        unpacked.
    """
    if name not in PICTURES:
        raise DataError(f"no pictures to download are called {name!r}; there are "
                        f"{', '.join(PICTURES)}")
    for place in data_folders(folder):
        if (place / name).is_dir():
            return place / name
    store = Path(cache if cache is not None else _pooch().os_cache("minigrad"))
    found = store / name
    if not found.is_dir():
        archive = _archive(name, store)
        _unpack(archive, name, found)
        archive.unlink(missing_ok=True)
    return found


def _archive(name: str, store: Path) -> Path:
    """The .zip file of a set, from the first mirror that has the published one."""
    pooch, entry, failures = _pooch(), PICTURES[name], []
    show = pooch.HTTPDownloader(progressbar=sys.stderr.isatty())
    for mirror in entry.mirrors:
        try:
            return Path(pooch.retrieve(f"{mirror}{name}.zip", known_hash=f"sha256:{entry.sha256}",
                                       fname=f"{name}.zip", path=store, downloader=show))
        except (OSError, ValueError) as error:  # no connection; another checksum
            failures.append(f"  {mirror}: {type(error).__name__}: {error}")
    raise DataError(
        f"{name}: could not download {name}.zip ({entry.size / 1e6:.0f} MB):\n"
        + "\n".join(failures)
        + f"\nWithout a connection, get the file elsewhere, unpack it to a folder FOLDER/{name}/ "
        "with trainA and trainB in it, and set the variable MINIGRAD_DATA=FOLDER (or give the path "
        "of the folder instead of its name)")


def _unpack(archive: Path, name: str, target: Path) -> None:
    """Unpack the folder ``name`` of an archive as ``target``: whole or not at all.

    Raises
    ------
    DataError
        If it is damaged, or a member is a link or would lie elsewhere; nothing is unpacked then.
    """
    with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=target.parent) as work:
        try:
            with zipfile.ZipFile(archive) as packed:
                members = packed.infolist()
                for member in members:
                    _refuse_escape(archive, name, member)
                for member in members:
                    path = Path(work, member.filename)
                    if member.is_dir():
                        path.mkdir(parents=True, exist_ok=True)
                        continue
                    path.parent.mkdir(parents=True, exist_ok=True)
                    with packed.open(member) as source, open(path, "wb") as file:
                        shutil.copyfileobj(source, file)
        except (zipfile.BadZipFile, NotImplementedError, EOFError) as error:
            raise DataError(f"{archive}: cannot be unpacked ({error})") from error
        if not Path(work, name).is_dir():
            raise DataError(f"{archive}: wanted a folder {name} in it")
        try:
            os.replace(Path(work, name), target)
        except OSError:
            if not target.is_dir():  # else another process was faster
                raise


def _refuse_escape(archive: Path, name: str, member: zipfile.ZipInfo) -> None:
    """Only plain files and folders below ``name`` may be in an archive."""
    parts = PurePosixPath(member.filename).parts
    kind = member.external_attr >> 16 & 0o170000  # of the Unix mode, 0 where none was stored
    if parts[:1] != (name,) or ".." in parts or "\\" in member.filename or (
            kind not in (0, 0o100000, 0o040000)):
        raise DataError(f"{archive}: holds {member.filename!r}, wanted plain files and folders "
                        f"below {name}/ only; nothing was unpacked")
