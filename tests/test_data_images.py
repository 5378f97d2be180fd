"""Folders of real pictures, written by Pillow into a temporary folder, and the contact sheet."""

import numpy as np
import pytest
from PIL import Image

from minigrad.data import (
    ArrayDataset,
    DataError,
    DataLoader,
    ImageFolder,
    NDArrayDataset,
    RandomFlipHorizontal,
    contact_sheet,
    to_tanh_range,
)


def save(path, colour=(200, 30, 60), size=(40, 40), mode="RGB", **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, colour).save(path, **options)


def near(got, wanted, tolerance=0):
    got = np.asarray(got, dtype=int).reshape(-1, np.size(wanted))
    assert np.abs(got - np.asarray(wanted)).max() <= tolerance, (got[0], wanted)


@pytest.mark.parametrize(("name", "options", "tolerance"), [
    ("x.png", {}, 0), ("x.PNG", {}, 0), ("x.bmp", {}, 0), ("x.webp", {"lossless": True}, 0),
    ("x.jpg", {"quality": 95}, 4), ("x.JPEG", {"quality": 95}, 4), ("x.gif", {}, 4)])
def test_every_format(tmp_path, name, options, tolerance):
    save(tmp_path / name, **options)
    folder = ImageFolder(tmp_path, size=16)
    assert folder.images.shape == (1, 16, 16, 3)
    assert folder.images.dtype == np.uint8
    near(folder.images, (200, 30, 60), tolerance)


def test_order_is_that_of_the_paths_and_subfolders_are_searched(tmp_path):
    for name, value in [("b/1.png", 1), ("a.png", 2), ("b/c/0.png", 3), ("a/9.png", 4),
                        (".hidden.png", 5), (".git/x.png", 6), ("__MACOSX/x.png", 7)]:
        save(tmp_path / name, (value,) * 3)
    folder = ImageFolder(tmp_path, size=4)
    assert [p.relative_to(tmp_path).as_posix() for p in folder.paths] == [
        "a/9.png", "a.png", "b/1.png", "b/c/0.png"]
    assert folder.images[:, 0, 0, 0].tolist() == [4, 2, 1, 3]
    assert folder.labels is None
    assert len(folder[0]) == 1


def test_subfolders_are_classes_when_every_picture_is_in_one(tmp_path):
    for name in ("dog/1.png", "cat/1.png", "cat/more/2.png", "emu/1.png"):
        save(tmp_path / name)
    folder = ImageFolder(tmp_path, size=4)
    assert folder.label_names == ("cat", "dog", "emu")
    assert folder.labels.tolist() == [0, 0, 1, 2]
    assert folder[2][1] == 1
    assert ImageFolder(tmp_path / "cat", size=4).labels is None  # 1.png is in no subfolder
    save(tmp_path / "one" / "only" / "1.png")
    assert ImageFolder(tmp_path / "one", size=4).labels is None  # one class is none


def test_the_middle_square_is_kept(tmp_path):
    wide = np.zeros((10, 30, 3), np.uint8)
    wide[:, 10:20] = 255
    Image.fromarray(wide).save(tmp_path / "wide.png")
    Image.fromarray(wide.transpose(1, 0, 2)).save(tmp_path / "high.png")
    assert (ImageFolder(tmp_path, size=10).images == 255).all()


def test_resizing_averages(tmp_path):
    board = np.indices((64, 64)).sum(axis=0) % 2 * 255
    Image.fromarray(board.astype(np.uint8)).save(tmp_path / "x.png")
    near(ImageFolder(tmp_path, size=8).images[0, 2:6, 2:6], (128, 128, 128), 3)


def test_mixed_sizes_modes_and_transparency(tmp_path):
    save(tmp_path / "a.png", (10, 20, 30), (50, 20))
    save(tmp_path / "b.png", 77, (20, 60), "L")
    save(tmp_path / "c.png", (0, 0, 255, 0), mode="RGBA")  # clear: white shows
    save(tmp_path / "d.png", (0, 0, 255, 128), mode="RGBA")
    save(tmp_path / "e.png", (100, 0), mode="LA")
    save(tmp_path / "f.png", 1, mode="1")
    indexed = Image.new("P", (20, 20), 3)
    indexed.putpalette([50] * 9 + [255, 0, 0])
    indexed.save(tmp_path / "g.png", transparency=3)
    indexed.save(tmp_path / "g2.png")
    save(tmp_path / "h.jpg", (0, 0, 0, 0), mode="CMYK")
    save(tmp_path / "i.png", 50, mode="L", transparency=50)
    got = ImageFolder(tmp_path, size=16).images
    wanted = [(10, 20, 30), (77,) * 3, (255,) * 3, (127, 127, 255), (255,) * 3, (255,) * 3,
              (255,) * 3, (255, 0, 0), (255,) * 3, (255,) * 3]
    for image, colour in zip(got, wanted, strict=True):
        near(image, colour, 1)


def test_sixteen_bits_are_scaled_down_not_cut_off(tmp_path):
    values = np.arange(256, dtype=np.uint16).reshape(16, 16)
    Image.fromarray(values * 257).save(tmp_path / "x.png")
    folder = ImageFolder(tmp_path, size=16, grey=True)
    np.testing.assert_array_equal(folder.images[0], values)


def test_grey(tmp_path):
    save(tmp_path / "a.png", (255, 0, 0))
    save(tmp_path / "b.png", (0, 0, 0, 0), mode="RGBA")
    folder = ImageFolder(tmp_path, size=8, grey=True)
    assert folder.images.shape == (2, 8, 8)
    near(folder.images[0], 76)  # 0.299 * 255
    near(folder.images[1], 255)


def test_cameras_turn_pictures(tmp_path):
    x = np.zeros((20, 20, 3), np.uint8)
    x[:10] = 255  # white on top
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    Image.fromarray(x).save(tmp_path / "x.png", exif=exif)
    got = ImageFolder(tmp_path, size=20).images[0]
    assert got[:10].max() == 0
    assert got[10:].min() == 255


@pytest.mark.parametrize("name", ["x.gif", "x.png", "x.webp"])
def test_animations_are_refused_unless_asked_for(tmp_path, name):
    frames = [Image.new("RGB", (20, 20), c) for c in ("red", "green", "blue")]
    frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])
    with pytest.raises(DataError, match=rf"{name}: an animation of 3 frames.*first_frame=True"):
        ImageFolder(tmp_path, size=8)
    near(ImageFolder(tmp_path, size=8, first_frame=True).images, (255, 0, 0), 4)


def test_phone_pictures_with_a_second_view_are_no_animations(tmp_path):
    views = [Image.new("RGB", (20, 20), c) for c in ("red", "blue")]
    views[0].save(tmp_path / "x.jpg", format="MPO", save_all=True, append_images=views[1:])
    with Image.open(tmp_path / "x.jpg") as image:
        assert image.n_frames == 2
    near(ImageFolder(tmp_path, size=8).images, (254, 0, 0), 3)


@pytest.mark.parametrize("name", ["x.png", "x.jpg", "x.webp", "x.bmp", "x.gif"])
def test_damaged_pictures_are_named(tmp_path, name):
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    path = tmp_path / name
    Image.fromarray(noise).save(path)
    whole = path.read_bytes()
    for content in (b"", whole[:10], whole[: len(whole) // 2], b"not a picture at all"):
        path.write_bytes(content)
        with pytest.raises(DataError, match=rf"{name}: cannot be read as a picture"):
            ImageFolder(tmp_path, size=8)


def test_a_picture_under_another_name_is_read(tmp_path):
    Image.new("RGB", (8, 8), (1, 2, 3)).save(tmp_path / "x.jpg", format="PNG")
    near(ImageFolder(tmp_path, size=8).images, (1, 2, 3))


def test_notes_say_what_may_hurt(tmp_path):
    save(tmp_path / "a.png", size=(20, 90))
    save(tmp_path / "b.png", size=(12, 31))
    save(tmp_path / "c.png", size=(32, 32))
    (tmp_path / "readme.txt").write_text("hello")
    notes = "\n".join(ImageFolder(tmp_path, size=32).notes)
    assert "2 of 3 pictures are smaller than 32x32" in notes
    assert "smallest: b.png, 12x31" in notes
    assert "only 3 pictures" in notes
    assert "1 files that are no pictures were left out, such as readme.txt" in notes


def test_nothing_to_note(tmp_path):
    tile = Image.new("RGB", (4, 4))
    for k in range(500):
        tile.save(tmp_path / f"{k}.bmp")
    assert ImageFolder(tmp_path, size=4).notes == []
    (tmp_path / "0.bmp").unlink()
    assert len(ImageFolder(tmp_path, size=4).notes) == 1


def test_folders_that_are_none(tmp_path):
    with pytest.raises(DataError, match="nowhere: no such folder"):
        ImageFolder(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"no pictures here.*found no files"):
        ImageFolder(tmp_path)
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(DataError, match=r"found 1 other files, such as a\.txt"):
        ImageFolder(tmp_path)
    with pytest.raises(DataError, match=r"a\.txt: not a folder"):
        ImageFolder(tmp_path / "a.txt")
    with pytest.raises(DataError, match="size must be at least 1"):
        ImageFolder(tmp_path, size=0)


def test_a_folder_goes_through_the_loader(tmp_path):
    for k in range(5):
        save(tmp_path / f"{k}.png", (k, 0, 0))
    (x,) = next(iter(DataLoader(ImageFolder(tmp_path, size=8), 5)))
    assert x.dtype == "uint8"
    assert x.numpy()[:, 0, 0, 0].tolist() == [0, 1, 2, 3, 4]


# ------------------------------------------------------------------------------- contact sheet


def test_contact_sheet_picks_evenly_and_draws_lines():
    images = np.repeat(np.arange(8, dtype=np.uint8), 12).reshape(8, 3, 4)
    sheet = contact_sheet(NDArrayDataset(images), 4)
    assert sheet.shape == (2 * 3 + 1, 2 * 4 + 1)
    assert (sheet[3] == 128).all()
    assert (sheet[:, 4] == 128).all()
    assert [sheet[0, 0], sheet[0, 5], sheet[4, 0], sheet[4, 5]] == [0, 2, 4, 6]
    assert contact_sheet(NDArrayDataset(images), 4, columns=4).shape == (3, 4 * 5 - 1)
    assert contact_sheet(NDArrayDataset(images), 100).shape == (3 * 4 - 1, 3 * 5 - 1)


def test_contact_sheet_shows_what_the_network_sees():
    images = np.zeros((2, 4, 4, 3), np.uint8)
    images[:, :, :2] = 255, 0, 0
    x = to_tanh_range(images)
    labels = np.arange(2)
    np.testing.assert_array_equal(contact_sheet(NDArrayDataset(x, labels)),
                                  contact_sheet(NDArrayDataset(images)))
    mirrored = ArrayDataset((images, labels), [RandomFlipHorizontal(1)])
    np.testing.assert_array_equal(contact_sheet(mirrored, 1), images[0, :, ::-1])


def test_contact_sheet_refuses_what_is_no_image():
    for bad in (np.zeros((3, 784), np.float32), np.zeros((3, 5, 5, 4), np.uint8),
                np.zeros((3, 5, 5)), np.arange(3)):
        with pytest.raises(DataError, match="contact_sheet: wants images"):
            contact_sheet(NDArrayDataset(bad))
    with pytest.raises(DataError, match="at least one image"):
        contact_sheet(NDArrayDataset(np.zeros((0, 5, 5), np.uint8)))
