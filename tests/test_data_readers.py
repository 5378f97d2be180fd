"""IDX, npz, MNIST and CIFAR-10: good files give their content, bad ones a message that helps."""

import gzip
import io
import os
import pickle
import pickletools
import struct
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from minigrad.data import (
    CIFAR10Dataset,
    DataError,
    DataLoader,
    MNISTDataset,
    RandomCrop,
    RandomFlipHorizontal,
    UnsafePickleError,
    read_idx,
    read_npz,
    write_idx,
)
from minigrad.data.cifar import read_pickle

IDX_TYPES = ["u1", "i1", "i2", "i4", "f4", "f8"]


# ------------------------------------------------------------------------------------- IDX


@given(st.data())
def test_idx_round_trip(tmp_path_factory, data):
    dtype = np.dtype(data.draw(st.sampled_from(IDX_TYPES)))
    shape = data.draw(hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=5))
    array = data.draw(hnp.arrays(dtype.newbyteorder(data.draw(st.sampled_from("<>"))), shape))
    for name in ("x", "x.gz"):
        path = tmp_path_factory.getbasetemp() / name
        write_idx(path, array)
        got = read_idx(path)
        assert got.dtype == dtype
        assert got.dtype.isnative
        assert got.flags.writeable
        np.testing.assert_array_equal(got, array)


def test_idx_bytes_are_those_of_the_format(tmp_path):
    path = tmp_path / "labels"
    path.write_bytes(b"\0\0\x08\x01" + struct.pack(">I", 3) + bytes([7, 0, 255]))
    np.testing.assert_array_equal(read_idx(path), np.array([7, 0, 255], np.uint8))
    path.write_bytes(b"\0\0\x0b\x02" + struct.pack(">II", 1, 2) + b"\x01\x00\xff\xff")
    np.testing.assert_array_equal(read_idx(path), np.array([[256, -1]], np.int16))
    write_idx(path, np.array([[256, -1]], np.int16))
    assert path.read_bytes() == b"\0\0\x0b\x02\0\0\0\x01\0\0\0\x02\x01\x00\xff\xff"


def test_gzip_is_told_by_the_content_and_may_come_in_pieces(tmp_path):
    array = np.arange(1000, dtype=np.int32)
    write_idx(tmp_path / "plain", array)
    content = (tmp_path / "plain").read_bytes()
    (tmp_path / "odd_name").write_bytes(gzip.compress(content[:77]) + gzip.compress(content[77:]))
    np.testing.assert_array_equal(read_idx(tmp_path / "odd_name"), array)


def test_equal_arrays_make_equal_gz_files(tmp_path):
    write_idx(tmp_path / "a.gz", np.arange(9, dtype=np.uint8))
    assert (tmp_path / "a.gz").read_bytes()[4:8] == bytes(4)  # gzip's time stamp


@pytest.mark.parametrize("change", [-1, -500, 1, 30])
@pytest.mark.parametrize("pack", [lambda b: b, gzip.compress])
def test_idx_of_the_wrong_length(tmp_path, change, pack):
    path = tmp_path / "images"
    write_idx(path, np.ones((10, 28, 28), np.uint8))
    content = path.read_bytes()
    content = content[:change] if change < 0 else content + bytes(change)
    path.write_bytes(pack(content))
    with pytest.raises(DataError, match=rf"images: expected 7856 bytes for shape \(10, 28, 28\) of "
                                        rf"uint8, found {7856 + change}"):
        read_idx(path)


def test_gzip_cut_short(tmp_path):
    path = tmp_path / "images.gz"
    noise = np.random.default_rng(0).integers(0, 256, (10, 28, 28), dtype=np.uint8)
    write_idx(path, noise)
    whole = path.read_bytes()
    path.write_bytes(whole[:3000])
    with pytest.raises(DataError, match=r"images\.gz: expected 7856 bytes .* found \d+ \(the gzip "
                                        "stream ends early"):
        read_idx(path)
    path.write_bytes(whole[:-4])  # all data, half of the checksum
    with pytest.raises(DataError, match="before its checksum"):
        read_idx(path)


def test_gzip_damaged(tmp_path):
    path = tmp_path / "images.gz"
    write_idx(path, np.random.default_rng(0).integers(0, 256, 5000, dtype=np.uint8))
    whole = bytearray(path.read_bytes())
    whole[2500] ^= 0x55
    path.write_bytes(whole)
    with pytest.raises(DataError, match=r"images\.gz: the gzip data are damaged"):
        read_idx(path)


@pytest.mark.parametrize(("content", "message"), [
    (b"", "begins with nothing"),
    (b"<html>", "begins with 3c 68 74 6d"),
    (b"\0\0\x07\x01\0\0\0\0", "begins with 00 00 07 01"),
    (b"\0\0\x08\x03\0\0\0\x01", "expected 16 bytes for 3 axes, found 8"),
])
def test_not_idx(tmp_path, content, message):
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_idx(path)


def test_what_idx_cannot_hold(tmp_path):
    with pytest.raises(DataError, match="cannot hold int64"):
        write_idx(tmp_path / "x", np.arange(3))
    with pytest.raises(FileNotFoundError):
        read_idx(tmp_path / "missing")


# ------------------------------------------------------------------------------------- npz


def test_npz_round_trip(tmp_path):
    wanted = {"images": np.arange(12, dtype=np.uint8).reshape(3, 4), "names": np.array(["a", "bc"])}
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "x.npz", **wanted)
        got = read_npz(tmp_path / "x.npz")
        assert list(got) == ["images", "names"]
        for key, value in wanted.items():
            assert got[key].dtype == value.dtype
            np.testing.assert_array_equal(got[key], value)


def write_lzma(path, **arrays):
    """As the embedded sets are packed."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w") as member:
                np.lib.format.write_array(member, array)


@pytest.mark.parametrize("dtype", ["u1", "<f2", ">f4", "<i8", "<U5", "?"])
def test_npz_packed_with_lzma(tmp_path, dtype):
    wanted = np.random.default_rng(0).integers(0, 2, (7, 3, 5)).astype(dtype)
    write_lzma(tmp_path / "x.npz", a=wanted, none=wanted[:0])
    for got in (read_npz(tmp_path / "x.npz"), np.load(tmp_path / "x.npz")):
        assert got["a"].dtype == wanted.dtype
        assert got["a"].tobytes() == wanted.tobytes()
        assert got["none"].shape == (0, 3, 5)


def test_npz_packed_with_lzma_and_any_byte_wrong(tmp_path):
    """Either the error, or the byte carried nothing and all values are as they were."""
    path = tmp_path / "x.npz"
    wanted = np.arange(300, dtype=np.int16)
    write_lzma(path, images=wanted)
    whole = path.read_bytes()
    found = 0
    for position in range(len(whole)):
        spoiled = bytearray(whole)
        spoiled[position] ^= 1 << position % 8
        path.write_bytes(spoiled)
        try:
            (got,) = read_npz(path).values()
        except DataError as error:
            assert str(error).startswith(f"{path}: ")
            found += 1
        else:
            np.testing.assert_array_equal(got, wanted)
    assert found > len(whole) // 2


def test_python_without_lzma_is_named(tmp_path, monkeypatch):
    write_lzma(tmp_path / "x.npz", a=np.arange(3))
    monkeypatch.setattr(zipfile, "lzma", None)
    with pytest.raises(DataError, match=r"x\.npz: this Python cannot unpack it: .*lzma module"):
        read_npz(tmp_path / "x.npz")


class Bomb:
    """Leaves a file behind if anything unpickles it."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_npz_with_pickled_objects_is_refused_and_not_run(tmp_path):
    objects = np.empty(1, object)
    objects[0] = Bomb(tmp_path / "executed")
    np.savez(tmp_path / "x.npz", good=np.arange(3), bad=objects)
    with pytest.raises(DataError, match=r"x\.npz: array 'bad' holds Python objects.*np\.savez"):
        read_npz(tmp_path / "x.npz")
    assert not (tmp_path / "executed").exists()


def test_npz_cut_short_at_every_length(tmp_path):
    path = tmp_path / "x.npz"
    np.savez(path, images=np.arange(300, dtype=np.int16))
    whole = path.read_bytes()
    for length in range(0, len(whole), 37):
        path.write_bytes(whole[:length])
        with pytest.raises(DataError, match=r"x\.npz: .*(cut short|empty|begins with)"):
            read_npz(path)


def test_npz_with_a_flipped_byte(tmp_path):
    path = tmp_path / "x.npz"
    np.savez(path, images=np.arange(3000, dtype=np.int16))
    whole = bytearray(path.read_bytes())
    whole[3000] ^= 1
    path.write_bytes(whole)
    with pytest.raises(DataError, match=r"x\.npz: damaged \.npz file.*CRC"):
        read_npz(path)


def test_files_that_are_no_npz(tmp_path):
    np.save(tmp_path / "x.npy", np.arange(3))
    with pytest.raises(DataError, match=r"one bare array.*np\.savez"):
        read_npz(tmp_path / "x.npy")
    (tmp_path / "page.npz").write_bytes(b"<html>")
    with pytest.raises(DataError, match="begins with 3c 68"):
        read_npz(tmp_path / "page.npz")
    with zipfile.ZipFile(tmp_path / "other.npz", "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(DataError, match=r"entry 'readme\.txt' is no NumPy array"):
        read_npz(tmp_path / "other.npz")
    with zipfile.ZipFile(tmp_path / "none.npz", "w"):
        pass
    with pytest.raises(DataError, match="holds no arrays"):
        read_npz(tmp_path / "none.npz")
    with pytest.raises(FileNotFoundError):
        read_npz(tmp_path / "missing.npz")


# ------------------------------------------------------------------------------------- MNIST


@pytest.fixture
def mnist(tmp_path):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (25, 28, 28), dtype=np.uint8)
    images[0, 0, :2] = 0, 255
    labels = rng.integers(0, 10, 25, dtype=np.uint8)
    paths = tmp_path / "images.gz", tmp_path / "labels.gz"
    write_idx(paths[0], images)
    write_idx(paths[1], labels)
    return paths, images, labels


def test_mnist_without_transforms_is_flat_float32(mnist):
    paths, images, labels = mnist
    dataset = MNISTDataset(*map(str, paths))
    assert len(dataset) == 25
    image, label = dataset[3]
    assert image.shape == (784,)
    assert image.dtype == np.float32
    np.testing.assert_allclose(image, images[3].ravel() / 255, rtol=1e-6)
    assert label == labels[3]
    assert (dataset.images.min(), dataset.images.max()) == (0, 1)
    np.testing.assert_array_equal(dataset[np.array([5, 2])][1], labels[[5, 2]])


def test_mnist_with_transforms_is_height_width_one(mnist):
    paths, images, labels = mnist
    seen = []

    def spy(x):
        seen.append(x.shape)
        return x

    dataset = MNISTDataset(*paths, transforms=[spy, RandomFlipHorizontal(1), spy])
    image, label = dataset[4]
    assert seen == [(28, 28, 1)] * 2
    assert image.shape == (28, 28, 1)
    np.testing.assert_allclose(image[..., 0], images[4][:, ::-1] / 255, rtol=1e-6)
    assert label == labels[4]
    many, _ = dataset[2:7]
    assert many.shape == (5, 28, 28, 1)
    np.testing.assert_array_equal(many[2], image)


def test_mnist_crop_by_the_whole_image(mnist):
    """hw2 crops with padding 28: shifts as large as the image leave nothing of it."""
    dataset = MNISTDataset(*mnist[0], transforms=[RandomCrop(28), RandomFlipHorizontal()])
    assert all(dataset[i][0].shape == (28, 28, 1) for i in range(25))


def test_mnist_through_the_loader_as_hw2_tests_it(mnist):
    dataset = MNISTDataset(*mnist[0])
    for batch_size in (1, 5):
        for i, batch in enumerate(DataLoader(dataset, batch_size, shuffle=False)):
            truth = dataset[i * batch_size : (i + 1) * batch_size]
            np.testing.assert_allclose(truth[0], batch[0].numpy())
            np.testing.assert_allclose(truth[1], batch[1].numpy())
            assert batch[0].shape == (batch_size, 784)  # goes into Linear(784, ...) as it is


def test_mnist_files_that_do_not_fit(mnist, tmp_path):
    (images, labels), pixels, _ = mnist
    with pytest.raises(DataError, match=r"labels\.gz: wanted images.*\(25,\)\. Are the two"):
        MNISTDataset(labels, images)
    write_idx(tmp_path / "fewer", np.zeros(24, np.uint8))
    with pytest.raises(DataError, match=r"25 images and .*fewer has 24 labels"):
        MNISTDataset(images, tmp_path / "fewer")
    write_idx(tmp_path / "float", pixels.astype(np.float32))
    with pytest.raises(DataError, match=r"float: wanted images: uint8.*found float32"):
        MNISTDataset(tmp_path / "float", labels)


# ------------------------------------------------------------------------------------- CIFAR


class Python2Pickler(pickle._Pickler):
    """Writes protocol 2 the way Python 2 did: byte strings as strings, NumPy's old module names."""

    dispatch = pickle._Pickler.dispatch.copy()

    def save_bytes(self, value):
        if len(value) < 256:
            self.write(pickle.SHORT_BINSTRING + bytes([len(value)]) + value)
        else:
            self.write(pickle.BINSTRING + struct.pack("<i", len(value)) + value)
        self.memoize(value)

    dispatch[bytes] = save_bytes


def python2_pickle(value):
    file = io.BytesIO()
    Python2Pickler(file, protocol=2).dump(value)
    content = file.getvalue().replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")
    pickletools.dis(content, io.StringIO())  # well-formed
    return content


def cifar_batch(n, seed):
    rng = np.random.default_rng(seed)
    return {
        b"batch_label": b"training batch 1 of 5",
        b"labels": rng.integers(0, 10, n).tolist(),
        b"data": rng.integers(0, 256, (n, 3072), dtype=np.uint8),
        b"filenames": [f"image_{k}.png".encode() for k in range(n)],
    }


@pytest.fixture
def cifar(tmp_path):
    batches = {f"data_batch_{k}": cifar_batch(6, k) for k in range(1, 6)}
    batches["test_batch"] = cifar_batch(4, 9)
    for name, batch in batches.items():
        (tmp_path / name).write_bytes(python2_pickle(batch))
    return tmp_path, batches


def test_the_fixture_is_what_python_2_wrote(cifar):
    folder, batches = cifar
    content = (folder / "test_batch").read_bytes()
    assert b"cnumpy.core.multiarray\n_reconstruct\n" in content
    assert b"_codecs" not in content
    names = {op.name for op, _, _ in pickletools.genops(content)}
    assert {"SHORT_BINSTRING", "BINSTRING"} <= names
    assert not names & {"SHORT_BINBYTES", "BINBYTES"}
    got = pickle.loads(content, encoding="bytes")  # Python's own reader agrees
    np.testing.assert_array_equal(got[b"data"], batches["test_batch"][b"data"])


def test_cifar_reads_the_published_form(cifar):
    folder, batches = cifar
    train, test = CIFAR10Dataset(str(folder), train=True), CIFAR10Dataset(folder, False)
    assert (len(train), len(test)) == (30, 4)
    item = train[7]
    assert isinstance(item, tuple)
    image, label = item
    assert isinstance(image, np.ndarray)
    assert image.shape == (3, 32, 32)
    assert image.dtype == np.float32
    second = batches["data_batch_2"]
    np.testing.assert_allclose(image, second[b"data"][1].reshape(3, 32, 32) / 255, rtol=1e-6)
    assert label == second[b"labels"][1]
    assert train.X.shape == (30, 3, 32, 32)
    assert train.y.dtype == np.int64
    x, y = next(iter(DataLoader(test, 3)))
    assert x.shape == (3, 3, 32, 32)
    assert x.dtype == "float32"
    np.testing.assert_array_equal(y.numpy(), test.y[:3])


def test_cifar_transforms_see_height_width_channels(cifar):
    folder, _ = cifar
    plain = CIFAR10Dataset(folder, False)
    flipped = CIFAR10Dataset(folder, False, transforms=[RandomFlipHorizontal(1)])
    assert flipped[0][0].shape == (3, 32, 32)
    np.testing.assert_array_equal(flipped[0][0], plain[0][0][:, :, ::-1])
    np.testing.assert_array_equal(flipped[:3][0], plain[:3][0][:, :, :, ::-1])


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_malicious_pickles_are_refused_and_not_run(cifar, protocol):
    folder, batches = cifar
    target = folder / "executed"
    for payload in (Bomb(target), {b"data": Bomb(target)}, {**batches["test_batch"], b"x": [
            Bomb(target)]}):
        (folder / "test_batch").write_bytes(python2_pickle(payload) if protocol == 2
                                            else pickle.dumps(payload, protocol=protocol))
        with pytest.raises(UnsafePickleError, match=r"test_batch: the pickle asks for \w+\.mkdir.*"
                                                    "Nothing was executed"):
            CIFAR10Dataset(folder, train=False)
        assert not target.exists()


@pytest.mark.parametrize("name", [
    "builtins eval", "builtins getattr", "numpy load", "numpy.core.multiarray scalar",
    "numpy.core.multiarray fromstring", "numpy ndarray.__class__", "collections OrderedDict",
    "_codecs encode", "minigrad.data.cifar read_pickle"])
def test_every_other_name_is_refused(tmp_path, name):
    module, attribute = name.split()
    path = tmp_path / "test_batch"
    path.write_bytes(b"\x80\x02c" + module.encode() + b"\n" + attribute.encode() + b"\n.")
    with pytest.raises(UnsafePickleError, match=f"asks for {module}.{attribute}"):
        read_pickle(path)


def reconstruct(state):
    """A pickle {b'data': array} whose array gets ``state``, as raw opcodes of protocol 2."""
    head = b"\x80\x02}U\x04datacnumpy.core.multiarray\n_reconstruct\n"
    return head + b"cnumpy\nndarray\nK\x00\x85U\x01b\x87R" + state + b"bs."


def dtype(code, order=b"|"):
    return (b"cnumpy\ndtype\nU" + bytes([len(code)]) + code + b"K\x00K\x01\x87R(K\x03U\x01" + order
            + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb")


def test_crafted_arrays_are_refused(tmp_path):
    path = tmp_path / "test_batch"
    eight = b"U\x08" + bytes(8)

    def state(shape, kind, raw):
        return b"(K\x01" + shape + kind + b"\x89" + raw + b"t"

    path.write_bytes(reconstruct(state(b"K\x02\x85", dtype(b"i4", b"<"), eight)))
    np.testing.assert_array_equal(read_pickle(path)[b"data"], np.zeros(2, np.int32))  # a good one
    # bytes as object pointers: NumPy's own reconstruction would take them for addresses
    path.write_bytes(reconstruct(state(b"K\x01\x85", dtype(b"O8"), eight)))
    with pytest.raises(UnsafePickleError, match=r"an array of \|O8"):
        read_pickle(path)
    path.write_bytes(reconstruct(state(b"K\x01\x85", dtype(b"O8"), b"]K\x01a")))
    with pytest.raises(UnsafePickleError, match="an array of objects"):
        read_pickle(path)
    path.write_bytes(reconstruct(state(b"K\x09\x85", dtype(b"i4", b"<"), eight)))
    with pytest.raises(DataError, match=r"shape \(9,\) with 8 bytes"):
        read_pickle(path)
    path.write_bytes(reconstruct(state(b"J\xff\xff\xff\xff\x85", dtype(b"u1"), eight)))
    with pytest.raises(DataError, match=r"shape \(-1,\)"):
        read_pickle(path)
    shape = b"J\xff\xff\xff\xffJ\xf8\xff\xff\xff\x86"
    path.write_bytes(reconstruct(state(shape, dtype(b"u1"), eight)))
    with pytest.raises(DataError, match="damaged"):  # -1 times -8 is 8
        read_pickle(path)
    # calling ndarray, and BUILD on the stand-in classes themselves
    for call in (b"\x80\x02cnumpy\nndarray\nK\x03\x85R.",
                 b"\x80\x02cnumpy\ndtype\n}U\x06dtype.K\x01sb.",
                 b"\x80\x02cnumpy.core.multiarray\n_reconstruct\n}U\x05arrayK\x01sb."):
        path.write_bytes(call)
        with pytest.raises(DataError, match="test_batch: not a pickle of CIFAR-10, or damaged"):
            read_pickle(path)


def test_fortran_order_survives(tmp_path):
    array = np.asfortranarray(np.arange(6, dtype=np.uint8).reshape(2, 3))
    (tmp_path / "x").write_bytes(python2_pickle({b"data": array}))
    np.testing.assert_array_equal(read_pickle(tmp_path / "x")[b"data"], array)


def test_damaged_pickles(cifar):
    folder, _ = cifar
    path = folder / "test_batch"
    whole = path.read_bytes()
    for length in (0, 1, 10, 100, 1000, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(DataError, match="test_batch: not a pickle of CIFAR-10, or damaged"):
            CIFAR10Dataset(folder, train=False)


@pytest.mark.parametrize(("change", "message"), [
    ({b"data": None}, r"data: wanted uint8 of shape \(N, 3072\), found NoneType"),
    ({b"data": np.zeros((4, 3071), np.uint8)}, r"found uint8 of shape \(4, 3071\)"),
    ({b"data": np.zeros((4, 3072), np.float32)}, "found float32"),
    ({b"labels": [1, 2, 3]}, "4 images but 3 labels"),
    ({b"labels": [1, 2, 3, 10]}, r"labels: wanted a list of integers 0\.\.9"),
])
def test_content_that_is_not_cifar(cifar, change, message):
    folder, batches = cifar
    (folder / "test_batch").write_bytes(python2_pickle({**batches["test_batch"], **change}))
    with pytest.raises(DataError, match=message):
        CIFAR10Dataset(folder, train=False)


def test_other_content(cifar):
    folder, _ = cifar
    (folder / "test_batch").write_bytes(python2_pickle([1, 2]))
    with pytest.raises(DataError, match="wanted a dictionary, found list"):
        CIFAR10Dataset(folder, train=False)
    (folder / "test_batch").write_bytes(python2_pickle({b"labels": [1]}))
    with pytest.raises(DataError, match="lacks data; it holds b'labels'"):
        CIFAR10Dataset(folder, train=False)
    (folder / "test_batch").unlink()
    with pytest.raises(FileNotFoundError, match="test_batch"):
        CIFAR10Dataset(folder, train=False)
