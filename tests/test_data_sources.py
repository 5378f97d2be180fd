"""The embedded sets, opening data by name or path, and checked downloads from a local server."""

import functools
import gzip
import hashlib
import http.server
import io
import stat
import subprocess
import sys
import threading
import zipfile
from importlib import resources

import numpy as np
import pytest
from PIL import Image

from minigrad.data import (
    EMBEDDED,
    DataError,
    LabelledImages,
    MNISTDataset,
    UnpairedImages,
    download,
    fetch,
    load,
    open_dataset,
    read_npz,
    write_idx,
)

FILES = resources.files("minigrad.data") / "files"
SHA256 = {
    "digits.npz": "635132eba837b6f60ae3bf65ce10af58590b53860b44d82e461f2d2a904ade3a",
    "emoji32.npz": "f39bb6a5dcbdb68bdf771c369559efcbd29b9dbbe981bb72b39c1f0cc136ecaa",
    "optdigits.npz": "4722481e60c4291364020061e012d06093fef5c0edb7a97260a9efafdd661fcd",
}
# However they are packed: over names, types, shapes and bytes of the arrays as published.
ARRAYS = {
    "digits.npz": "5386469ab4da0ee454d35a6d97295b75f3b99d6851b09b04191a8a84a7f9deef",
    "emoji32.npz": "c2baba18f29500cf6d98e5818f7b72cd1211060d57c34b5c609b56ef2fd858b8",
    "optdigits.npz": "1a04753b14717bbfb6ce6a04c87f4ca5414339476921bd527a645eb4ca18546a",
}


@pytest.fixture(autouse=True)
def no_data_folder(monkeypatch):
    monkeypatch.delenv("MINIGRAD_DATA", raising=False)


# ------------------------------------------------------------------------------------ embedded


def test_files_are_the_published_ones_and_bring_their_terms():
    assert {f.name for f in FILES.iterdir()} == {*SHA256, "LICENSES.txt", "PROVENANCE.md"}
    provenance = (FILES / "PROVENANCE.md").read_text(encoding="utf-8")
    for name, wanted in SHA256.items():
        content = (FILES / name).read_bytes()
        assert hashlib.sha256(content).hexdigest() == wanted
        assert wanted in provenance
        assert str(len(content)) in provenance
    licences = (FILES / "LICENSES.txt").read_text(encoding="utf-8")
    for owner in ("Juan Cazala", "Twitter", "Google", "scikit-learn developers", "Apache License"):
        assert owner in licences


def test_arrays_are_the_published_ones():
    """The packing may change, no bit of any array may."""
    for name, wanted in ARRAYS.items():
        digest = hashlib.sha256()
        for key, array in read_npz(FILES / name).items():
            digest.update(f"{key} {array.dtype.str} {array.shape}".encode() + array.tobytes())
        assert digest.hexdigest() == wanted


def test_digits():
    digits = load("digits")
    assert isinstance(digits, LabelledImages)
    assert digits.train_images.shape == (8000, 28, 28)
    assert digits.test_images.shape == (1000, 28, 28)
    assert digits.train_images.dtype == np.uint8
    assert np.bincount(digits.train_labels).tolist() == [
        801, 901, 793, 826, 784, 691, 810, 856, 756, 782]
    assert np.bincount(digits.test_labels).tolist() == [
        100, 113, 99, 103, 98, 86, 102, 107, 94, 98]
    assert digits.train_images.max() == digits.maximum == 255


def test_optdigits():
    optdigits = load("optdigits")
    assert optdigits.train_images.shape == (1397, 8, 8)
    assert optdigits.test_labels.shape == (200,)
    assert optdigits.train_images.max() == optdigits.maximum == 16


def test_emoji():
    emoji = load("emoji")
    assert isinstance(emoji, UnpairedImages)
    assert emoji is load("emoji32")
    assert emoji.a_images.shape == emoji.b_images.shape == (467, 32, 32, 3)
    assert emoji.test_a_images.shape == emoji.test_b_images.shape == (100, 32, 32, 3)
    assert not set(emoji.a_codes) & set(emoji.b_codes)  # unpaired
    assert len(emoji.categories) == 7
    assert emoji.a_labels.max() == emoji.b_labels.max() == 6


def test_loaded_once_and_read_only():
    assert load("digits") is load("digits")
    with pytest.raises(ValueError, match="read-only"):
        load("digits").train_images[0] = 0
    with pytest.raises(DataError, match="'mnist'; there are digits, optdigits, emoji"):
        load("mnist")


def test_importing_loads_no_heavy_library_and_reads_nothing():
    code = ("import sys, minigrad.data.embedded as e; "
            "bad = {'PIL', 'pooch', 'cupy', 'matplotlib'} & set(sys.modules); "
            "assert not bad, bad; assert e._load.cache_info().currsize == 0")
    subprocess.run([sys.executable, "-c", code], check=True)


# ------------------------------------------------------------------------------- open_dataset


@pytest.mark.parametrize(("name", "train", "shape"), [
    ("digits", True, (8000, 28, 28)), ("digits", False, (1000, 28, 28)),
    ("optdigits", True, (1397, 8, 8)), ("optdigits", False, (200, 8, 8)),
    ("emoji", True, (934, 32, 32, 3)), ("emoji", False, (200, 32, 32, 3)),
    ("emoji32", True, (934, 32, 32, 3)),
    ("emoji:a", True, (467, 32, 32, 3)), ("emoji:b", False, (100, 32, 32, 3))])
def test_embedded_by_name(name, train, shape):
    data = open_dataset(name, train=train)
    assert data.images.shape == shape
    assert data.images.dtype == np.uint8
    assert data.images.max() == 255
    assert data.labels.shape == shape[:1]
    assert data.labels.max() == len(data.label_names) - 1
    assert data.name == {"emoji32": "emoji", "emoji:a": "emoji-a", "emoji:b": "emoji-b"}.get(
        name, name)


def test_every_embedded_name_opens_and_the_parts_are_the_right_ones():
    for name in EMBEDDED:
        open_dataset(name)
    emoji = load("emoji")
    np.testing.assert_array_equal(open_dataset("emoji:b").images, emoji.b_images)
    np.testing.assert_array_equal(open_dataset("emoji:b").labels, emoji.b_labels)
    np.testing.assert_array_equal(open_dataset("emoji:a", train=False).images, emoji.test_a_images)
    np.testing.assert_array_equal(open_dataset("emoji").images[467:], emoji.b_images)
    with pytest.raises(DataError, match="digits has no parts"):
        open_dataset("digits:a")


def test_optdigits_are_brought_to_255_without_losing_a_value():
    raw, scaled = load("optdigits").train_images, open_dataset("optdigits").images
    np.testing.assert_array_equal(np.rint(scaled * (16 / 255)), raw)


@pytest.mark.parametrize(("arrays", "train", "length"), [
    ({"images": 5}, True, 5), ({"train_images": 5, "test_images": 3}, True, 5),
    ({"train_images": 5, "test_images": 3}, False, 3), ({"x_train": 4, "x_test": 2}, True, 4),
    ({"x_train": 4, "x_test": 2}, False, 2)])
def test_npz_by_path(tmp_path, arrays, train, length):
    path = tmp_path / "mine.npz"
    np.savez(path, **{key: np.full((n, 6, 6, 3), n, np.uint8) for key, n in arrays.items()})
    data = open_dataset(path, train=train)
    assert data.images.shape == (length, 6, 6, 3)
    assert (data.images == length).all()
    assert data.labels is None
    assert data.name == "mine"


def test_npz_labels_and_layouts(tmp_path):
    path = tmp_path / "mine.npz"
    x = np.arange(4 * 3 * 5 * 5, dtype=np.uint8).reshape(4, 3, 5, 5)
    np.savez(path, x_train=x, y_train=np.array([[3], [1], [2], [0]]))  # as CIFAR from Keras
    data = open_dataset(str(path))
    np.testing.assert_array_equal(data.images, x.transpose(0, 2, 3, 1))
    assert data.labels.tolist() == [3, 1, 2, 0]
    np.savez(path, images=x[:, :1].transpose(0, 2, 3, 1), labels=np.arange(4),
             categories=np.array(["p", "q", "r", "s"]))
    data = open_dataset(str(path))
    np.testing.assert_array_equal(data.images, x[:, 0])
    assert data.label_names == ("p", "q", "r", "s")


def test_npz_with_two_parts(tmp_path):
    path = tmp_path / "pair.npz"
    np.savez(path, a_images=np.zeros((3, 4, 4), np.uint8), b_images=np.ones((2, 4, 4), np.uint8))
    assert open_dataset(f"{path}:b").images.mean() == 1
    assert len(open_dataset(f"{path}:a").images) == 3
    both = open_dataset(path)
    assert len(both.images) == 5
    assert both.labels is None
    with pytest.raises(DataError, match="has no array 'test_a_images'"):
        open_dataset(path, train=False)


@pytest.mark.parametrize(("arrays", "options", "message"), [
    ({"images": np.zeros((2, 4, 4))}, {}, r"wanted uint8.*found float64 of shape \(2, 4, 4\)"),
    ({"images": np.zeros((2, 4, 4, 4), np.uint8)}, {}, r"found uint8 of shape \(2, 4, 4, 4\)"),
    ({"images": np.zeros((0, 4, 4), np.uint8)}, {}, r"found uint8 of shape \(0, 4, 4\)"),
    ({"images": np.zeros((2, 4, 4), np.uint8), "labels": np.zeros(3, int)}, {},
     r"labels: wanted integers of shape \(2,\); found int64 of shape \(3,\)"),
    ({"pics": np.zeros((2, 4, 4), np.uint8)}, {}, r"no images found; it holds pics uint8"),
    ({"images": np.zeros((2, 4, 4), np.uint8)}, {"train": False}, "has no test part"),
    ({"pics": np.array([None])}, {}, "holds Python objects")])
def test_npz_that_are_no_images(tmp_path, arrays, options, message):
    np.savez(tmp_path / "x.npz", **arrays)
    with pytest.raises(DataError, match=rf"x\.npz: .*{message}"):
        open_dataset(tmp_path / "x.npz", **options)


def test_names_are_found_in_the_argument_and_the_variable(tmp_path, monkeypatch):
    for folder, value in (("one", 1), ("two", 2)):
        (tmp_path / folder).mkdir()
        np.savez(tmp_path / folder / "fashion10k.npz",
                 images=np.full((2, 4, 4), value, np.uint8))
    with pytest.raises(DataError, match="MINIGRAD_DATA"):
        open_dataset("fashion10k")
    monkeypatch.setenv("MINIGRAD_DATA", str(tmp_path / "two"))
    assert open_dataset("fashion10k").images.max() == 2
    assert open_dataset("fashion10k", folder=tmp_path / "one").images.max() == 1
    with pytest.raises(DataError, match="did you mean 'fashion10k'"):
        open_dataset("fashion")


def test_unknown_names_list_what_there_is(tmp_path):
    np.savez(tmp_path / "celeba.npz", images=np.zeros((2, 4, 4), np.uint8))
    with pytest.raises(DataError) as caught:
        open_dataset("digit", folder=tmp_path)
    for word in ("'digit'", "did you mean 'digits'", "optdigits", "emoji:a", "mnist",
                 "fashion-mnist", "celeba"):
        assert word in str(caught.value)
    np.savez(tmp_path / ".npz", images=np.zeros((2, 4, 4), np.uint8))
    for nothing in ("", ":a", "no/such/file.npz"):
        with pytest.raises(DataError, match="neither a data set nor a file nor a folder"):
            open_dataset(nothing, folder=tmp_path)


def test_folders_of_pictures(tmp_path, monkeypatch):
    for name in ("digits/a.png", "digits/b.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (20, 20), (9, 9, 9)).save(tmp_path / name)
    for spec in (f"folder:{tmp_path}/digits", tmp_path / "digits"):
        data = open_dataset(spec, size=8, grey=True)
        assert data.images.shape == (2, 8, 8)
        assert data.name == "digits"
        assert any("only 2 pictures" in note for note in data.notes)
    monkeypatch.chdir(tmp_path)
    assert len(open_dataset("digits").images) == 8000  # names go before paths
    assert len(open_dataset("./digits").images) == 2
    assert len(open_dataset("folder:digits").images) == 2
    (tmp_path / "digits").rename(tmp_path / "cats")
    assert open_dataset("cats").images.shape == (2, 32, 32, 3)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert len(open_dataset("cats", folder=tmp_path).images) == 2
    with pytest.raises(DataError, match="no test part"):
        open_dataset("cats", folder=tmp_path, train=False)
    with pytest.raises(DataError, match="no such folder"):
        open_dataset("folder:digits")
    np.savez(tmp_path / "cats.npz", images=np.zeros((7, 4, 4), np.uint8))
    assert len(open_dataset("cats", folder=tmp_path).images) == 7  # the file before the folder
    assert len(open_dataset(tmp_path / "cats", folder=tmp_path).images) == 2  # but not by path


def test_idx_by_path_finds_its_labels(tmp_path):
    images, labels = np.ones((3, 4, 4), np.uint8), np.array([2, 0, 1], np.uint8)
    write_idx(tmp_path / "t10k-images-idx3-ubyte.gz", images)
    assert open_dataset(tmp_path / "t10k-images-idx3-ubyte.gz").labels is None
    write_idx(tmp_path / "t10k-labels-idx1-ubyte.gz", labels)
    assert open_dataset(tmp_path / "t10k-images-idx3-ubyte.gz").labels.tolist() == [2, 0, 1]
    with pytest.raises(DataError, match=r"labels-idx1-ubyte\.gz: images: wanted uint8 images"):
        open_dataset(tmp_path / "t10k-labels-idx1-ubyte.gz")
    write_idx(tmp_path / "faces", images)
    assert open_dataset(tmp_path / "faces").labels is None
    with pytest.raises(DataError, match="no test part"):
        open_dataset(tmp_path / "t10k-images-idx3-ubyte.gz", train=False)
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(DataError, match=r"notes\.txt: wanted a \.npz file, an IDX file.*68 65"):
        open_dataset(tmp_path / "notes.txt")


# ----------------------------------------------------------------------------------- download


NAMES = ["train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz",
         "t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"]


@pytest.fixture
def served(tmp_path, monkeypatch):
    """A set called tiny on a local server; gives the folder served and the requests made."""
    root = tmp_path / "served"
    root.mkdir()
    for k, name in enumerate(NAMES):
        write_idx(root / name, np.full((6, 5, 5) if "images" in name else 6, k, np.uint8))
    requests = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            requests.append(self.path)

    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Handler, directory=str(root)))
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setitem(download.DOWNLOADS, "tiny", download._Set(
        mirrors=(f"http://127.0.0.1:{server.server_port}/gone/",
                 f"http://127.0.0.1:{server.server_port}/"),
        files=tuple(
            download._File(name, hashlib.sha256((root / name).read_bytes()).hexdigest(),
                           hashlib.sha256(gzip.decompress((root / name).read_bytes())).hexdigest())
            for name in NAMES)))
    yield root, requests
    server.shutdown()
    server.server_close()
    thread.join()


def test_the_registry_is_complete():
    for name, entry in download.DOWNLOADS.items():
        assert [file.name for file in entry.files] == NAMES, name
        assert len(entry.mirrors) >= 2
        hashes = [h for file in entry.files for h in (file.packed, file.content)]
        assert len(set(hashes)) == 8
        assert all(len(h) == 64 and set(h) <= set("0123456789abcdef") for h in hashes)


def test_download_tries_the_next_mirror_and_keeps_the_files(served, tmp_path):
    _, requests = served
    files = fetch("tiny", cache=tmp_path / "cache")
    assert files.train_images == tmp_path / "cache" / "tiny" / NAMES[0]
    dataset = MNISTDataset(files.test_images, files.test_labels)
    assert len(dataset) == 6
    assert dataset[0][1] == 3
    asked = len(requests)
    assert asked >= 8  # each file at both mirrors
    assert fetch("tiny", cache=tmp_path / "cache") == files
    assert len(requests) == asked  # nothing new


def test_a_download_with_another_checksum_is_refused(served, tmp_path):
    root, _ = served
    write_idx(root / NAMES[1], np.full(6, 9, np.uint8))
    with pytest.raises(DataError, match=r"could not download train-labels(.|\n)*SHA256") as caught:
        fetch("tiny", cache=tmp_path / "cache")
    assert "MINIGRAD_DATA" in str(caught.value)
    assert not (tmp_path / "cache" / "tiny" / NAMES[1]).exists()


def test_without_a_connection_the_message_says_what_to_do(tmp_path, monkeypatch):
    entry = download.DOWNLOADS["mnist"]
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setitem(download.DOWNLOADS, "mnist", download._Set(
        mirrors=("http://127.0.0.1:9/",), files=entry.files))
    with pytest.raises(DataError) as caught:
        fetch("mnist", cache=tmp_path)
    for word in ("http://127.0.0.1:9/", "ConnectionError", "MINIGRAD_DATA", "FOLDER/mnist/",
                 *NAMES):
        assert word in str(caught.value)


@pytest.mark.parametrize("subfolder", ["", "tiny"])
@pytest.mark.parametrize("pack", [None, gzip.compress, gzip.decompress])
def test_local_files_come_first_however_they_are_packed(
        served, tmp_path, monkeypatch, subfolder, pack):
    root, requests = served
    place = tmp_path / "mine" / subfolder
    place.mkdir(parents=True)
    for name in NAMES:
        content = (root / name).read_bytes()
        if pack is gzip.decompress:
            (place / name.removesuffix(".gz")).write_bytes(gzip.decompress(content))
        else:
            (place / name).write_bytes(
                content if pack is None else gzip.compress(gzip.decompress(content), 1))
    files = fetch("tiny", tmp_path / "mine", cache=tmp_path / "cache")
    assert files.train_images.parent == place
    monkeypatch.setenv("MINIGRAD_DATA", str(tmp_path / "mine"))
    assert fetch("tiny", cache=tmp_path / "cache") == files
    data = open_dataset("tiny", train=False)
    assert (data.name, data.images.max(), data.labels.tolist()) == ("tiny", 2, [3] * 6)
    assert requests == []
    assert not (tmp_path / "cache").exists()


def test_a_wrong_local_file_is_refused_not_replaced(served, tmp_path):
    write_idx(tmp_path / NAMES[0], np.zeros((6, 5, 5), np.int8))
    with pytest.raises(DataError, match=rf"{NAMES[0]}: not the published .* of tiny: the SHA-256"):
        fetch("tiny", tmp_path, cache=tmp_path / "cache")


def test_unknown_sets():
    with pytest.raises(DataError, match="'kmnist'; there are mnist, fashion-mnist"):
        fetch("kmnist")


# ------------------------------------------------------------------------------------ pictures


PARTS = ("trainA", "trainB", "testA", "testB")


def zipped(members):
    """A .zip file of (name or ZipInfo, content)."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as packed:
        for member, content in members:
            packed.writestr(member, content)
    return buffer.getvalue()


def good_members():
    picture = io.BytesIO()
    Image.new("RGB", (8, 8), (200, 30, 60)).save(picture, "png")
    return [("tiny/", b""), *((f"tiny/{part}/n{k}.png", picture.getvalue())
                              for part in PARTS for k in range(2))]


@pytest.fixture
def archive(served, monkeypatch):
    """A function that serves a .zip file as the set tiny, and the requests made."""
    root, requests = served
    mirrors = download.DOWNLOADS["tiny"].mirrors

    def serve(content, published=None):
        (root / "tiny.zip").write_bytes(content)
        sha256 = hashlib.sha256(content if published is None else published).hexdigest()
        monkeypatch.setitem(download.PICTURES, "tiny",
                            download._Archive(len(content), sha256, mirrors))

    return serve, requests


def test_the_registry_of_pictures_is_complete():
    assert set(download.PICTURES) == {"horse2zebra", "apple2orange", "summer2winter_yosemite",
                                      "monet2photo"}
    for entry in download.PICTURES.values():
        assert len(entry.sha256) == 64 and set(entry.sha256) <= set("0123456789abcdef")
        assert entry.size > 70e6
        assert len(entry.mirrors) == 2 and all(m.startswith("https://") and m.endswith("/")
                                               for m in entry.mirrors)
    assert len({entry.sha256 for entry in download.PICTURES.values()}) == 4


def test_pictures_are_downloaded_once_and_unpacked(archive, tmp_path):
    serve, requests = archive
    serve(zipped(good_members()))
    found = download.fetch_pictures("tiny", cache=tmp_path / "cache")
    assert found == tmp_path / "cache" / "tiny"
    assert sorted(p.name for p in found.iterdir()) == sorted(PARTS)
    assert all(len(list((found / part).iterdir())) == 2 for part in PARTS)
    assert [p.name for p in found.parent.iterdir()] == ["tiny"]  # no archive, nothing half done
    asked = len(requests)
    assert asked >= 2  # the first mirror does not have it
    assert download.fetch_pictures("tiny", cache=tmp_path / "cache") == found
    assert len(requests) == asked


def test_local_pictures_come_first(archive, tmp_path, monkeypatch):
    serve, requests = archive
    serve(zipped(good_members()))
    (tmp_path / "mine" / "tiny").mkdir(parents=True)
    cache = tmp_path / "cache"
    assert download.fetch_pictures("tiny", tmp_path / "mine", cache=cache).parent.name == "mine"
    monkeypatch.setenv("MINIGRAD_DATA", str(tmp_path / "mine"))
    assert download.fetch_pictures("tiny", cache=cache) == tmp_path / "mine" / "tiny"
    assert requests == [] and not cache.exists()


def test_an_archive_with_another_checksum_is_refused(archive, tmp_path):
    serve, _ = archive
    serve(zipped(good_members()), published=b"what was published")
    with pytest.raises(DataError, match=r"could not download tiny.zip(.|\n)*SHA256") as caught:
        download.fetch_pictures("tiny", cache=tmp_path / "cache")
    assert "FOLDER/tiny/ with trainA and trainB" in str(caught.value)
    assert not (tmp_path / "cache" / "tiny").exists()


def test_pictures_without_a_connection(tmp_path, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    entry = download.PICTURES["horse2zebra"]
    monkeypatch.setitem(download.PICTURES, "horse2zebra",
                        entry._replace(mirrors=("http://127.0.0.1:9/",)))
    with pytest.raises(DataError) as caught:
        download.fetch_pictures("horse2zebra", cache=tmp_path)
    for word in ("horse2zebra.zip (117 MB)", "http://127.0.0.1:9/", "ConnectionError",
                 "MINIGRAD_DATA=FOLDER", "FOLDER/horse2zebra/"):
        assert word in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def link(name, to):
    member = zipfile.ZipInfo(name)
    member.external_attr = (stat.S_IFLNK | 0o777) << 16
    return member, to


@pytest.mark.parametrize("bad", [
    ("../evil.png", b"x"), ("/evil.png", b"x"), ("tiny/../../evil.png", b"x"),
    ("tiny/..\\evil.png", b"x"), ("other/evil.png", b"x"), ("C:/evil.png", b"x"),
    link("tiny/trainA/link.png", "/etc/passwd"), link("tiny/out", ".."), ("..", b"x")])
def test_members_that_would_lie_elsewhere(archive, tmp_path, bad):
    serve, _ = archive
    serve(zipped([*good_members(), bad]))
    with pytest.raises(DataError, match="wanted plain files and folders below tiny/ only"):
        download.fetch_pictures("tiny", cache=tmp_path / "world" / "cache")
    left = [p.name for p in (tmp_path / "world").rglob("*")]
    assert sorted(left) == ["cache", "tiny.zip"]


@pytest.mark.parametrize("content, message", [
    (b"no archive at all", "cannot be unpacked"),
    (zipped([("tinyfile", b"x")]), "holds 'tinyfile'"),
    (zipped([]), "wanted a folder tiny in it"),
    (zipped(good_members()).replace(b"IDAT", b"IDOT", 1), "cannot be unpacked"),
])
def test_damaged_archives(archive, tmp_path, content, message):
    """Even if that is what was published."""
    serve, _ = archive
    serve(content)
    with pytest.raises(DataError, match=message):
        download.fetch_pictures("tiny", cache=tmp_path / "cache")
    assert [p.name for p in (tmp_path / "cache").iterdir()] == ["tiny.zip"]


def test_unknown_pictures():
    with pytest.raises(DataError, match="'zebra2horse'; there are horse2zebra, apple2orange"):
        download.fetch_pictures("zebra2horse")
